"""Time the gate against rust-vmm-ci's list of commands, in one run: ``nox -s speed -- gate``.

Each crate is timed cold (target directories wiped), unchanged, and after a line was added to its
library; both sides have to pass. cargo-all-features is installed once, into the cache. Both sides
leave out what needs a musl target or the network; documentation tests are as each side has them by
default. What takes long is timed in pieces by ``--states``, ``--sessions`` and ``--share``, which find
the builds of the piece before with ``--place``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.gate.single import RUSTFMT_CONFIG
from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.tools import find_cargo_llvm_cov, need_llvm_tools
from tests.crates import REPOSITORY, CrateBuilder
from tests.field.published import published
from tests.field.test_published_coverage import config_of
from tests.perf.checkouts import checkout
from tests.perf.timing import Way, alternate, machine_line, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

SESSIONS = ("fmt", "clippy", "build-gnu", "doc", "unit-tests", "unit-tests-release", "coverage")
LIMITS = {"cold": 0.5, "unchanged": 0.4, "one line changed": 0.4}
MEMBERS = (
    "vm-superio",
    "vmm-sys-util",
    "vm-device",
    "event-manager",
    "seccompiler",
    "vm-allocator",
    "acpi_tables",
)
ALL_FEATURES = "1.12.0"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is timed: a crate, and the ratios it must not exceed."""

    name: str
    crate: CrateBuilder
    sources: tuple[Path, ...]
    coverage: bool
    limits: dict[str, float]


def all_features() -> Path:
    """Return the folder with cargo-all-features, installed on first use."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rustvmm-sessions"
    root = cache / f"cargo-all-features-{ALL_FEATURES}"
    if not (root / "bin" / "cargo-all-features").exists():
        command = ["cargo", "install", "--locked", "--quiet", f"--root={root}", f"--version={ALL_FEATURES}"]
        subprocess.run([*command, "cargo-all-features"], check=True)
    return root / "bin"


def predecessor(
    subject: Subject, target: Path, sessions: Sequence[str], share: str
) -> list[tuple[list[str], dict[str, str]]]:
    """Return rust-vmm-ci's commands for sessions, in the order of its test description, with variables."""
    lints = ["--", "-D", "warnings", "-D", "clippy::undocumented_unsafe_blocks"]
    number, _, count = share.partition("/")
    chunk = [f"--n-chunks={count}", f"--chunk={number}", "--chunk-granularity=feature"] if share else []
    every = ["cargo", "all-features", *chunk]
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "build-gnu": (
            [*every, "build", "--release", "--workspace", "--all-targets"],
            {"RUSTFLAGS": "-D warnings"},
        ),
        "fmt": (["cargo", "fmt", "--all", "--", "--check", "--config", RUSTFMT_CONFIG], {}),
        "doc": (
            ["cargo", "doc", "--workspace", "--all-features", "--no-deps"],
            {"RUSTDOCFLAGS": "-D warnings", "RUSTFLAGS": "--cfg RUSTDOC_disable_feature_compat_errors"},
        ),
        "unit-tests": ([*every, "test", "--workspace"], {}),
        "unit-tests-release": ([*every, "test", "--release", "--workspace"], {}),
        "clippy": ([*every, "clippy", "--workspace", "--all-targets", *lints], {}),
    }
    common = {"CARGO_TARGET_DIR": str(target)}
    described = [
        (command, {**common, **env}) for name, (command, env) in commands.items() if name in sessions
    ]
    return described + (coverage(subject, target / "cov_build") if "coverage" in sessions else [])


def coverage(subject: Subject, wiped: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Return rust-vmm-ci's commands for coverage."""
    llvm, tool = need_llvm_tools(Cargo(directory=subject.crate.directory)), find_cargo_llvm_cov()
    if tool is None:
        raise SystemExit("cargo-llvm-cov is missing: install the extra `tools`")
    config = config_of(subject.crate)
    features = ["--all-features"] if "crate_features" not in config else []
    if config.get("crate_features"):
        features = [f"--features={config['crate_features']}"]
    measure = [str(tool.path), "llvm-cov", "test", "--json", "--summary-only", "--workspace", *features]
    env = {"LLVM_COV": str(llvm.cov), "LLVM_PROFDATA": str(llvm.profdata), "CARGO_TARGET_DIR": str(wiped)}
    return [(["rm", "-rf", str(wiped)], {}), (measure, env)]


def run_all(commands: Sequence[tuple[list[str], dict[str, str]]], directory: Path, path: str) -> None:
    """Run commands one after the other, their output thrown away; each has to succeed."""
    for command, env in commands:
        subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, **env, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )


def rows(
    subject: Subject, place: Path, states: Sequence[str], sessions: Sequence[str], given: argparse.Namespace
) -> list[str]:
    """Time one subject in these states; return its rows of the table."""
    part = ["--", f"--partition={given.share}"] if given.share else []
    theirs, ours = place / "theirs", place / "ours"
    directory = subject.crate.directory
    path = f"{all_features()}{os.pathsep}{os.environ['PATH']}"
    sessions = [name for name in sessions if name != "coverage" or subject.coverage]
    table = []
    for state in states:

        def prepare(target: Path, state: str = state) -> None:
            if state == "cold":
                shutil.rmtree(target, ignore_errors=True)
            elif state == "one line changed":
                for source in subject.sources:
                    with source.open("a") as file:
                        file.write("const _: () = ();\n")
            if subject.crate.git("ls-files", "--", ":(glob)**/Cargo.lock"):
                subject.crate.git("checkout", "--quiet", "--", ":(glob)**/Cargo.lock")

        script = [sys.executable, "-m", "tests.perf.gate", "--replay", f"--place={place.parent}"]
        script += [subject.name, f"--share={given.share}", "--sessions", *sessions]
        ways = [
            Way(
                name="rust-vmm-ci",
                command=script,
                cwd=REPOSITORY,
                env={"PATH": path},
                prepare=partial(prepare, theirs),
                check=True,
            ),
            Way(
                name="nox",
                command=[sys.executable, "-m", "nox", f"-j{given.jobs}", "-s", *sessions, *part],
                cwd=directory,
                env={"CARGO_TARGET_DIR": str(ours), "PYTHONPATH": str(REPOSITORY)},
                prepare=partial(prepare, ours),
                check=True,
            ),
        ]
        times = alternate(ways, 1)
        share = ratio(times, "nox", "rust-vmm-ci")
        if share > subject.limits[state]:
            sys.stderr.write(f"{subject.name}, {state}: {share:.2f} is over {subject.limits[state]}\n")
        before, now = times["rust-vmm-ci"][0], times["nox"][0]
        table.append(f"| {subject.name} | {state} | {before:.1f} | {now:.1f} | {share:.2f} |")
    return table


def crate_roots(package: Path) -> list[Path]:
    """Return the files of a package that cargo starts to compile from."""
    patterns = ("src/lib.rs", "src/main.rs", "src/bin/*.rs", "tests/*.rs", "benches/*.rs", "examples/*.rs")
    return [path for pattern in patterns for path in package.glob(pattern)]


def subject(name: str, place: Path, checkouts: Path | None = None) -> Subject:
    """Return a crate to time; ``workspace`` is seven published crates joined."""
    directory = place / "crate"
    if name != "workspace":
        if directory.exists():
            crate = CrateBuilder(directory)
        elif checkouts is not None:
            crate = checkout(checkouts / name, directory)
        else:
            crate = published(name, directory)
        (source,) = [s for s in (directory, directory / name) if (s / "src" / "lib.rs").exists()]
        return Subject(
            name=name, crate=crate, sources=(source / "src" / "lib.rs",), coverage=True, limits=LIMITS
        )
    if not directory.exists():
        for member in MEMBERS:
            published(member, directory / member)
            shutil.rmtree(directory / member / ".git")
            for root in crate_roots(directory / member):  # lints that are younger than the crates
                root.write_text(f"#![allow(warnings, clippy::all)]\n{root.read_text()}")
        CrateBuilder(directory).with_file(
            "Cargo.toml", f'[workspace]\nresolver = "2"\nmembers = {list(MEMBERS)!r}\n'.replace("'", '"')
        ).with_noxfile()
        subprocess.run(
            ["cargo", "fmt", "--all", "--", f"--config={RUSTFMT_CONFIG}"], cwd=directory, check=True
        )
        CrateBuilder(directory).with_git()
    sources = (directory / MEMBERS[0] / "src" / "lib.rs",)
    limits = dict.fromkeys(LIMITS, 0.2)
    return Subject(name=name, crate=CrateBuilder(directory), sources=sources, coverage=False, limits=limits)


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--replay", action="store_true", help=argparse.SUPPRESS)
    add("--checkouts", type=Path, help="folder with clones of the crates, instead of published ones")
    add("--states", nargs="+", choices=LIMITS, default=list(LIMITS), help="what to time")
    add("--sessions", nargs="+", choices=SESSIONS, default=list(SESSIONS), help="of what")
    add("--share", default="", metavar="I/N", help="a share of each side's runs, of matrix sessions alone")
    add("--jobs", type=int, default=2, help="how many sessions nox may run side by side (default: 2)")
    add("--place", type=Path, help="folder to keep crates and builds in, for the next piece")
    add("names", nargs="*", default=["vm-superio", "vmm-sys-util", "workspace"])
    given = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.names:
            place = (given.place or Path(temporary)) / name
            place.mkdir(parents=True, exist_ok=True)
            timed = subject(name, place, given.checkouts)
            if given.replay:
                commands = predecessor(timed, place / "theirs", given.sessions, given.share)
                run_all(commands, timed.crate.directory, os.environ["PATH"])
            else:
                table += rows(timed, place, given.states, given.sessions, given)
    if table:
        print(f"{machine_line()}\n")
        print("| crate | state | rust-vmm-ci, s | nox, s | ratio |\n|---|---|---:|---:|---:|")
        print("\n".join(table))


if __name__ == "__main__":
    main()
