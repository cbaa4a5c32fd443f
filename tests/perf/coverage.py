"""Time ``nox -s coverage`` against rust-vmm-ci's way, paired: ``nox -s speed``.

rust-vmm-ci wipes its build directory, then runs ``cargo llvm-cov test --json --summary-only
--workspace`` with the features of the crate's configuration.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.tools import find_cargo_llvm_cov, need_llvm_tools
from tests.crates import REPOSITORY, CrateBuilder
from tests.field.published import published
from tests.field.test_published_coverage import config_of
from tests.perf.checkouts import checkout
from tests.perf.timing import Way, alternate, machine_line, ratio

WARM = {"vm-superio": 0.35, "vmm-sys-util": 0.2}
COLD = 1.05
"""The highest ratios to reach, for the crates' repositories."""


def crate_rows(name: str, crate: CrateBuilder, place: Path, rounds: int) -> list[str]:
    """Time one crate; return its rows of the table, and say when a target is missed."""
    config = config_of(crate)
    cargo = Cargo(directory=crate.directory)
    llvm, tool = need_llvm_tools(cargo), find_cargo_llvm_cov()
    if tool is None:
        raise SystemExit("cargo-llvm-cov is missing: install the extra `tools`")
    features = (
        ["--all-features"]
        if "crate_features" not in config
        else [f"--features={config['crate_features']}"]
        if config["crate_features"]
        else []
    )
    theirs, ours, tests = place / "cov_build", place / "target", place / "plain"
    nox = [sys.executable, "-m", "nox", "-s", "coverage"]

    def wipe(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        crate.git("checkout", "--quiet", "--", ".")

    env = {"LLVM_COV": str(llvm.cov), "LLVM_PROFDATA": str(llvm.profdata)}
    predecessor = Way(
        name="rust-vmm-ci",
        command=[str(tool.path), "llvm-cov", "test", "--json", "--summary-only", "--workspace", *features],
        cwd=crate.directory,
        env={**env, "CARGO_TARGET_DIR": str(theirs)},
        prepare=lambda: wipe(theirs),
    )
    ours_env = {"CARGO_TARGET_DIR": str(ours), "PYTHONPATH": str(REPOSITORY)}
    cold = Way(name="cold", command=nox, cwd=crate.directory, env=ours_env, prepare=lambda: wipe(ours))
    warm = Way(name="warm", command=nox, cwd=crate.directory, env=ours_env)
    bare = Way(
        name="tests alone",
        command=["cargo", "test", "--tests", "--workspace", *features],
        cwd=crate.directory,
        env={"CARGO_TARGET_DIR": str(tests)},
    )
    alternate([bare], 1)
    times = alternate([predecessor, cold, warm, bare], rounds)
    median = {way: statistics.median(values) for way, values in times.items()}
    ratios = {way: ratio(times, way, "rust-vmm-ci") for way in ("cold", "warm")}
    overhead = statistics.median(w - b for w, b in zip(times["warm"], times["tests alone"], strict=True))
    for way, limit in (("cold", COLD), ("warm", WARM[name])):
        if ratios[way] > limit:
            sys.stderr.write(f"{name}, {way}: {ratios[way]:.2f} is over {limit}\n")
    return [
        f"| {name} | rust-vmm-ci | {median['rust-vmm-ci']:.2f} | |",
        f"| {name} | cold | {median['cold']:.2f} | {ratios['cold']:.2f} |",
        f"| {name} | warm | {median['warm']:.2f} | {ratios['warm']:.2f} |",
        f"| {name} | `cargo test --tests` alone, warm | {median['tests alone']:.2f} | |",
        f"| {name} | warm, beyond that | {overhead:.2f} | |",
    ]


def start_rows(place: Path, rounds: int) -> list[str]:
    """Time what register() and importing the package cost over bare nox and Python."""
    ours = place / "ours"
    bare = place / "bare"
    for folder, text in (
        (ours, "import nox\nfrom rustvmm_sessions import register\n\nregister()\n"),
        (bare, "import nox\n\n\n@nox.session(python=False)\ndef coverage(session):\n    pass\n"),
    ):
        folder.mkdir()
        (folder / "noxfile.py").write_text(text)
    env = {"PYTHONPATH": str(REPOSITORY)}
    rows = []
    for label, first, second in (
        (
            "`nox -l` with register(), over bare nox",
            Way(name="a", command=[sys.executable, "-m", "nox", "-l"], cwd=ours, env=env),
            Way(name="b", command=[sys.executable, "-m", "nox", "-l"], cwd=bare, env=env),
        ),
        (
            "`import rustvmm_sessions`, over `import sys`",
            Way(name="a", command=[sys.executable, "-c", "import rustvmm_sessions"], cwd=place, env=env),
            Way(name="b", command=[sys.executable, "-c", "import sys"], cwd=place, env=env),
        ),
    ):
        times = alternate([first, second], rounds)
        cost = statistics.median(a - b for a, b in zip(times["a"], times["b"], strict=True))
        rows.append(f"| | {label} | {cost:.3f} | |")
    return rows


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--checkouts", type=Path, help="folder with clones of the crates, instead of published ones"
    )
    given = parser.parse_args()
    rounds = given.rounds
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        for name in WARM:
            copy = place / name / "crate"
            crate = (
                published(name, copy) if given.checkouts is None else checkout(given.checkouts / name, copy)
            )
            rows += crate_rows(name, crate, place / name, rounds)
        rows += start_rows(place, 4 * rounds)
    print(f"{machine_line()}, medians of {rounds} rounds\n")
    print("| crate | way | seconds | by rust-vmm-ci |\n|---|---|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
