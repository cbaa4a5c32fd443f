"""Build the benchmarks of HEAD, in place, and of the base, in a work tree of our own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.bench import criterion
from rustvmm_sessions.console import warn
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.process import run
from rustvmm_sessions.rust.cargo import Cargo, package_specs
from rustvmm_sessions.rust.configuration import configurations, rustflags
from rustvmm_sessions.rust.lockfile import lockfile_kept
from rustvmm_sessions.rust.messages import artifacts_in
from rustvmm_sessions.rust.tools import find_program
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

HARNESS = "main"
"""The benchmark target that is compared, as in rust-vmm-ci."""

WITH_CRITERION = f'write them with criterion, and `[[bench]] name = "{HARNESS}" harness = false`'


@dataclass(frozen=True, kw_only=True)
class Build:
    """One side of the comparison, to be built.

    Attributes:
        name: ``base`` or ``HEAD``, for messages.
        cargo: Cargo in the crate's directory of this side.
        target: Cargo's target directory for it; no other side may use it.
        package: The package whose benchmarks are meant; empty for the workspace's default members.
        remap: Folders of both sides with what they are called in the programs, so that equal
            sources give equal programs; the same for both, as flags are a part of what is built.
        config: Files that cargo reads for HEAD and would not find for this side.
        deadline: When the session's time is up.
    """

    name: str
    cargo: Cargo
    target: Path
    package: str = ""
    remap: tuple[tuple[Path, str], ...] = ()
    config: tuple[Path, ...] = ()
    deadline: Deadline = field(default_factory=Deadline)

    @property
    def harnesses(self) -> tuple[str, ...]:
        """The packages that have benchmarks, by name.

        Raises:
            UserError: There is no package of that name.
        """
        packages = self.cargo.metadata["packages"]
        if self.package:
            packages = [package for package in packages if package["name"] == self.package]
            if not packages:
                names = [member.name for member in self.cargo.workspace.members]
                raise UserError(
                    f"{self.name} has no package {self.package!r}",
                    where="--package, or the variable PACKAGE",
                    fix=did_you_mean(self.package, names),
                )
        else:
            chosen = self.cargo.metadata.get("workspace_default_members")
            packages = [p for p in packages if chosen is None or p["id"] in chosen]
        return tuple(package["name"] for package in packages if _has_harness(package))

    @property
    def others(self) -> tuple[str, ...]:
        """The benchmark targets that are not compared, as their name is another."""
        targets = [target for package in self.cargo.metadata["packages"] for target in package["targets"]]
        return tuple(t["name"] for t in targets if "bench" in t["kind"] and t["name"] != HARNESS)

    @property
    def has_package(self) -> bool:
        """Whether the package that is asked for is there."""
        return not self.package or self.package in {m.name for m in self.cargo.workspace.members}


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


def build_head(build: Build, own: Path) -> tuple[tuple[Executable, ...], str | None]:
    """Build HEAD; Cargo.lock stays as it is found.

    Returns:
        The executables, and the text of the Cargo.lock that they were built with.
    """
    workspace = build.cargo.workspace
    with lockfile_kept(workspace, own):
        built = _compile(build)
        lock = workspace.root / "Cargo.lock"
        return built, lock.read_text() if lock.exists() else None


def build_base(build: Build, lock: str | None) -> tuple[Executable, ...]:
    """Build the base, with HEAD's versions of dependencies where the base commits none of its own."""
    own = build.cargo.workspace.root / "Cargo.lock"
    if lock is not None and not own.exists():
        own.write_text(lock)
    return _compile(build)


def foreign_configuration(cargo: Cargo, base: Path) -> tuple[Path, ...]:
    """Return cargo's configuration files that count for HEAD's workspace and that `base` has no place for.

    Those above the repository, and those in it that are in no commit. The user's own in
    CARGO_HOME counts for both.
    """
    head = cargo.workspace.root
    cargo = replace(cargo, directory=head)
    found = [path for path, _ in configurations(cargo) if path.parent != cargo.home]
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


def _compile(build: Build) -> tuple[Executable, ...]:
    cargo = build.cargo
    remap = tuple(f"--remap-path-prefix={folder}={name}" for folder, name in build.remap)
    flags, variables = rustflags(cargo, "rustflags", remap)
    command = (
        *("bench", "--no-run", f"--bench={HARNESS}", "--all-features"),
        *((f"--package={package_specs(cargo).get(build.package, build.package)}",) if build.package else ()),
        *(f"--config={path}" for path in build.config),
        *(f"--target-dir={build.target}", "--message-format=json-render-diagnostics", *flags),
    )
    env: dict[str, str | None] = {**variables, "CARGO_BUILD_BUILD_DIR": str(build.target)}
    done = cargo.read(*command, env=env, echo=True, deadline=build.deadline)
    if not done.ok:
        raise CheckFailed(f"the benchmarks of {build.name} do not build ({done.ending})", output=done.output)
    return tuple(_executables(build, done.stdout))


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
                f"the benchmarks of {member.name} are no criterion harness",
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
