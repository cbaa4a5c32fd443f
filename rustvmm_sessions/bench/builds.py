"""Build the benchmarks of HEAD, in place, and of the base, in a work tree of our own."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.bench import criterion
from rustvmm_sessions.bench.model import TimeUp
from rustvmm_sessions.catalog import HARNESS
from rustvmm_sessions.console import say, warn
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.process import run
from rustvmm_sessions.rust.cargo import Cargo, package_specs
from rustvmm_sessions.rust.configuration import configuration_files, with_flags
from rustvmm_sessions.rust.features import Run, fullest
from rustvmm_sessions.rust.lockfile import lockfile_kept
from rustvmm_sessions.rust.messages import artifacts_in, messages_in
from rustvmm_sessions.rust.tools import find_program
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WITH_CRITERION = f'write them with criterion, and `[[bench]] name = "{HARNESS}" harness = false`'

_HASH = re.compile(r"-([0-9a-f]{16})(?=[./]|$)")
"""What tells builds of a package apart, in the names of cargo's files and folders."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """One side of the comparison, to be built.

    Attributes:
        name: ``base`` or ``HEAD``, for messages.
        cargo: Cargo in the crate's directory of this side.
        target: Cargo's target directory for it; no other side may use it.
        packages: The packages whose benchmarks are meant; None for the workspace's default members.
        remap: Folders of both sides with what they are called in the programs, so that equal
            sources give equal programs; the same for both, as flags are a part of what is built.
        config: Files that cargo reads for HEAD and would not find for this side.
        run: The packages and features that are built.
        deadline: When the session's time is up.
    """

    name: str
    cargo: Cargo
    target: Path
    packages: tuple[str, ...] | None = None
    remap: tuple[tuple[Path, str], ...] = ()
    config: tuple[Path, ...] = ()
    run: Run = field(default_factory=Run)
    deadline: Deadline = field(default_factory=Deadline)

    @property
    def harnesses(self) -> tuple[str, ...]:
        """The packages that have benchmarks, by name."""
        packages = self.cargo.metadata["packages"]
        if self.packages is not None:
            packages = [package for package in packages if package["name"] in self.packages]
        else:
            chosen = self.cargo.metadata.get("workspace_default_members")
            packages = [p for p in packages if chosen is None or p["id"] in chosen]
        return tuple(package["name"] for package in packages if _has_harness(package))

    @property
    def others(self) -> tuple[str, ...]:
        """The benchmark targets that are not compared, as their name is another."""
        targets = [target for package in self.cargo.metadata["packages"] for target in package["targets"]]
        return tuple(t["name"] for t in targets if "bench" in t["kind"] and t["name"] != HARNESS)


@dataclass(frozen=True, kw_only=True)
class Executable:
    """The benchmarks of one package, built.

    Attributes:
        side: ``base`` or ``HEAD``, for messages.
        package: Its name.
        path: The program.
        directory: Where it runs, as cargo would start it.
        env: Variables laid over the caller's.
        criterion: Version of criterion in it, major and minor.
    """

    side: str
    package: str
    path: Path
    directory: Path
    env: dict[str, str]
    criterion: tuple[int, int]


def build_both(
    base: Build, head: Build, own: Path, features: str | None
) -> tuple[tuple[Executable, ...], tuple[Executable, ...]]:
    """Build the base and HEAD, whose Cargo.lock stays as it is found.

    The base gets HEAD's versions of dependencies where it commits none of its own.

    Args:
        base: The one side.
        head: The other.
        own: Our folder in HEAD's target directory.
        features: Those to ask for, beside the default ones; None for as many as may go together.

    Returns:
        The executables of the base and of HEAD, none where benchmarks of the base are not criterion's.

    Raises:
        CheckFailed: One of them does not build.
        TimeUp: There is no time left.
        UserError: Benchmarks of HEAD are not criterion's, or a feature is unknown.
    """
    lock, base_lock = (build.cargo.workspace.root / "Cargo.lock" for build in (head, base))
    committed = base_lock.exists()

    def share_lock() -> None:
        if lock.exists() and not committed:
            shutil.copyfile(lock, base_lock)

    with lockfile_kept(head.cargo.workspace, own):
        for name, why in _not_criterion(head).items():
            raise UserError(
                f"the benchmarks of {name} do not use criterion: {why}",
                where=str(head.cargo.directory),
                fix=f"{WITH_CRITERION}, or name other packages with --package",
            )
        share_lock()
        others = _not_criterion(base)
        packages = [name for name in base.harnesses if name not in others]
        if not set(packages) & set(head.harnesses):
            return (), ()
        base, head = _with_features(base, packages, head, features)
        built, messages = _compile(head)
        share_lock()
    share_dependencies(messages, head.target, base.target)
    return _compile(base)[0], built


def _with_features(
    base: Build, packages: Sequence[str], head: Build, features: str | None
) -> tuple[Build, Build]:
    """Return both sides with what is built of them: the same features, as far as both have them."""
    if features is None:
        run, off = fullest(head.cargo.metadata, head.harnesses)
        other, _ = fullest(base.cargo.metadata, packages, off=off)
        for each in dict.fromkeys((run, other)):
            if not each.all_features:
                say(f"Building {each.describe()}: the table of cargo-all-features permits no more.")
        return replace(base, run=other), replace(head, run=run)
    asked = [name for name in re.split(r"[,\s]+", features) if name]
    known = _features(head, head.harnesses)
    for name in asked:
        if not _is_among(name, known):
            raise UserError(
                f"no package with benchmarks has the feature {name!r}",
                where="--features",
                fix=did_you_mean(name, known),
            )
    both = [name for name in asked if _is_among(name, _features(base, packages))]
    if both != asked:
        warn(f"the base is built without {', '.join(n for n in asked if n not in both)}, which it has not")
    return (
        replace(base, run=Run(packages=tuple(packages), features=tuple(both))),
        replace(head, run=Run(packages=head.harnesses, features=tuple(asked))),
    )


def _features(build: Build, packages: Sequence[str]) -> set[str]:
    """Return what can be asked for: ``feature`` of these packages, ``member/feature`` of all."""
    every = build.cargo.metadata["packages"]
    own = (name for each in every if each["name"] in packages for name in each["features"])
    return {"default", *own, *(f"{each['name']}/{name}" for each in every for name in each["features"])}


def _is_among(name: str, known: set[str]) -> bool:
    """Whether a feature is known; that of a dependency may be."""
    owner, slash, _ = name.rpartition("/")
    return name in known or bool(slash and not any(each.startswith(f"{owner}/") for each in known))


def _not_criterion(build: Build) -> dict[str, str]:
    """Return why benchmarks do not use criterion, by package; what cannot be known yet is not in it."""
    cargo, found = build.cargo, {}
    members = [each for each in cargo.metadata["packages"] if each["name"] in build.harnesses]
    for member in members:
        benches = tomllib.loads(Path(member["manifest_path"]).read_text()).get("bench", [])
        if not any(each.get("name") == HARNESS and each.get("harness") is False for each in benches):
            found[member["name"]] = "it is cargo's own, for want of `harness = false`"
    configuration = (f"--config={path}" for path in build.config)
    platform = f"--filter-platform={cargo.toolchain.host}"
    done = cargo.read("metadata", "--format-version=1", "--all-features", platform, *configuration)
    if not done.ok:
        return found  # what is wrong there is the build's to say
    resolved = json.loads(done.stdout)
    nodes = {node["id"]: node["deps"] for node in resolved["resolve"]["nodes"]}
    names = {each["id"]: f"{each['name']} {each['version']}" for each in resolved["packages"]}
    for member in members:
        reached, todo = set(), [member["id"]]
        while todo:
            package = todo.pop()
            if package not in reached:
                reached.add(package)
                todo += [each["pkg"] for each in nodes[package]]
        if not any(map(criterion.parse_version, reached)):
            stands_in = [names[each["pkg"]] for each in nodes[member["id"]] if each["name"] == "criterion"]
            why = f"its criterion is {stands_in[0]}" if stands_in else "it does not depend on criterion"
            found.setdefault(member["name"], why)
    return found


def of_base(side: str) -> str:
    """Return what else must be known of a failure of this side; empty for HEAD."""
    if side != "base":
        return ""
    return (
        "; the base is in a work tree of its own, which has only what git has: name files that are "
        'untracked or ignored in register(bench={"files": [...]})'
    )


def foreign_configuration(cargo: Cargo, base: Path) -> tuple[Path, ...]:
    """Return cargo's configuration files that count for HEAD's workspace and that `base` has no place for.

    Those above the repository, and those in it that are in no commit. The user's own in
    CARGO_HOME counts for both.
    """
    head = cargo.workspace.root
    cargo = replace(cargo, directory=head)
    found = [path for path, _ in configuration_files(cargo) if path.parent != cargo.home]
    return tuple(
        path
        for path in reversed(found)  # of two on the command line the later one counts
        if not path.is_relative_to(head) or not (base / path.relative_to(head)).exists()
    )


def same_program(one: Path, other: Path, scratch: Path) -> bool:
    """Whether two executables are the same program, whatever their symbols and build ids are."""
    if one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes():
        return True
    tool = find_program("objcopy", "OBJCOPY")
    if tool is None:
        return False
    stripped = [_strip(tool, path, scratch / side) for side, path in (("one", one), ("other", other))]
    return stripped[0] is not None and stripped[0] == stripped[1]


def _strip(tool: Path, path: Path, to: Path) -> bytes | None:
    words: list[str | Path] = [tool, "--strip-all", "--remove-section=.note.gnu.build-id", path, to]
    done = run(words, read_stdout=True, read_stderr=True, echo=False)
    if not done.ok:
        return None
    text = to.read_bytes()
    to.unlink()
    return text


def _has_harness(package: dict[str, Any]) -> bool:
    return any("bench" in t["kind"] and t["name"] == HARNESS for t in package["targets"])


def share_dependencies(messages: str, source: Path, target: Path) -> None:
    """Bring what cargo has built of other people's packages to another target directory, which lacks it.

    Not of packages that are a path: those of two work trees have the same names and other code
    (cargo#17312). What is named by the same hash is of the same version, features, flags and compiler,
    and whether it is current, cargo decides: its notes come last, so that what was cut short is built.

    Args:
        messages: What cargo has printed while it built in `source`.
        source: The one target directory.
        target: The other.
    """
    named = {
        path
        for each in (*artifacts_in(messages), *messages_in(messages, "build-script-executed"))
        if not each["package_id"].startswith("path+")
        for path in (*each.get("filenames", ()), each.get("out_dir", ""))
    }
    hashes = {found[-1] for path in named if (found := _HASH.findall(path))}
    with contextlib.suppress(OSError):  # a full disk: then cargo builds them
        for notes in sorted((*source.glob("*/.fingerprint"), *source.glob("*/*/.fingerprint"))):
            place = target / notes.parent.relative_to(source)
            there = {path.name[-16:] for path in (place / ".fingerprint").glob("*")}
            for folder in ("deps", "build", ".fingerprint"):
                for path in sorted((notes.parent / folder).glob("*")):
                    found = _HASH.findall(path.name)
                    if found and found[-1] in hashes - there:
                        _bring(path, place / folder / path.name)


def _bring(path: Path, to: Path) -> None:
    """Copy a file or folder, with its time stamps, by which cargo knows what is current."""
    fresh = to.with_name(f".{to.name}.new")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    for old in (fresh, to):
        if old.is_dir():
            shutil.rmtree(old)
    if path.is_dir():
        shutil.copytree(path, fresh, symlinks=True)
    else:
        shutil.copy2(path, fresh)
    fresh.replace(to)


def _compile(build: Build) -> tuple[tuple[Executable, ...], str]:
    """Build one side; return its executables, and what cargo has printed."""
    cargo = build.cargo
    remap = tuple(f"--remap-path-prefix={folder}={name}" for folder, name in build.remap)
    asked = replace(build.run, manifest=build.run.manifest and str(cargo.workspace.root / build.run.manifest))
    command = (
        *("bench", "--no-run", f"--bench={HARNESS}", *asked.arguments(package_specs(cargo))),
        *(f"--config={path}" for path in build.config),
        *(f"--target-dir={build.target}", "--message-format=json-render-diagnostics"),
    )
    flags = with_flags(cargo, "rustflags", remap, config=build.config)
    env: dict[str, str | None] = {**flags, "CARGO_BUILD_BUILD_DIR": str(build.target)}
    done = cargo.read(*command, env=env, echo=True, deadline=build.deadline)
    if done.timed_out:
        raise TimeUp(f"the time was up while the benchmarks of {build.name} were built")
    if not done.ok:
        raise CheckFailed(
            f"the benchmarks of {build.name} do not build ({done.ending}){of_base(build.name)}",
            output=done.output,
        )
    return tuple(_executables(build, done.stdout)), done.stdout


def _executables(build: Build, messages: str) -> Iterator[Executable]:
    artifacts = list(artifacts_in(messages))
    versions = [version for a in artifacts if (version := criterion.parse_version(a["package_id"]))]
    members = {member.id: member for member in build.cargo.workspace.members}
    for artifact in artifacts:
        member = members.get(artifact["package_id"])
        if member is None or not artifact["executable"] or artifact["target"]["kind"] != ["bench"]:
            continue
        if not versions:
            raise UserError(
                f"the benchmarks of {member.name} do not use criterion",
                where=f"{build.name}: {artifact['target']['src_path']}",
                fix=WITH_CRITERION,
            )
        yield Executable(
            side=build.name,
            package=member.name,
            path=Path(artifact["executable"]),
            directory=member.directory,
            env={**build.cargo.env, "CARGO_MANIFEST_DIR": str(member.directory)},
            criterion=max(versions),
        )


def warn_of_toolchains(base: Cargo, head: Cargo) -> None:
    """Say where the two sides are built by different compilers, which is a difference, too."""
    if base.toolchain.release != head.toolchain.release:
        warn(
            f"the base is built by rustc {base.toolchain.release}, HEAD by {head.toolchain.release}: "
            "what changes may be the compiler's doing"
        )


def empty(directory: Path) -> Path:
    """Return a directory with nothing in it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
