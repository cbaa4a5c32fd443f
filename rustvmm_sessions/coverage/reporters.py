"""Turn profiles into counts and reports: by cargo-llvm-cov, or by the LLVM tools alone.

Both count the same lines. `LlvmReporter` leaves out what cargo-llvm-cov 0.9 leaves out by
default: files in tests/, examples/ and benches/, tests.rs and files that end in _tests.rs or
-tests.rs, generated code in the target directory, dependencies, and packages that are not tested.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rustvmm_sessions.coverage.instrumented import crate_name, has_mappings
from rustvmm_sessions.coverage.measurement import Backend
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed
from rustvmm_sessions.process import run
from rustvmm_sessions.rust.configuration import source_directories

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rustvmm_sessions.coverage.instrumented import Instrumented, TestSelection
    from rustvmm_sessions.rust.cargo import Cargo, Package
    from rustvmm_sessions.rust.tools import CargoLlvmCov, LlvmTools


class Reporter(Protocol):
    """What both reporters can do with the merged profile."""

    @property
    def name(self) -> Backend:
        """What it is."""

    def json(self) -> str:
        """Return the export in LLVM's JSON format, without functions."""

    def lcov(self) -> str:
        """Return the same as LCOV tracefile, with absolute paths."""


NO_LINE = "nothing was measured: no line of the crate can be covered"


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What is reported on: a build, which of its files count, and the tools that know.

    Attributes:
        cargo: Cargo in the crate's directory.
        build: The instrumented build.
        selection: Which tests it holds.
        exclude: Regular expressions on absolute paths of files that do not count.
        llvm: The LLVM tools of rustc's version.
        deadline: When the session's time is up.
    """

    cargo: Cargo
    build: Instrumented
    selection: TestSelection
    exclude: tuple[str, ...]
    llvm: LlvmTools
    deadline: Deadline = field(default_factory=Deadline)

    @property
    def profile(self) -> Path:
        """The merged profile, by the name that cargo-llvm-cov gives it."""
        return self.build.directory / f"{self.cargo.workspace.root.name or 'default'}.profdata"


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A profile that LLVM cannot read, and why."""

    path: Path
    reason: str


def merge(counted: Counted, profiles: Sequence[Path]) -> tuple[Damaged, ...]:
    """Make `profiles`, and no others, those that the next reports are of; return what cannot be read.

    Raises:
        CheckFailed: None of them can be read.
    """
    empty = [path for path in profiles if not path.stat().st_size]
    if empty:  # LLVM passes over them in silence
        rest = [path for path in profiles if path not in empty]
        return (*(Damaged(path=path, reason="it is empty") for path in empty), *merge(counted, rest))
    listed = counted.build.directory / "profiles.list"
    # With its weight before it a path may have commas.
    listed.write_text("".join(f"1,{profile}\n" for profile in profiles))
    done = run(
        [
            counted.llvm.profdata,
            "merge",
            "-sparse",
            "-failure-mode=all",
            f"--input-files={listed}",
            "-o",
            counted.profile,
        ],
        cwd=counted.cargo.directory,
        env=dict(counted.cargo.env),
        deadline=counted.deadline,
        read_stdout=True,
        read_stderr=True,
    )
    warnings = (line.removeprefix("warning: ") for line in done.stderr.splitlines())
    said = {
        path: line.removeprefix(f"{path}: ")
        for line in warnings
        for path in profiles
        if line.startswith(f"{path}: ")
    }
    damaged = tuple(Damaged(path=path, reason=reason) for path, reason in said.items())
    if not done.ok:
        raise CheckFailed(f"the profiles cannot be merged: {done.stderr.strip() or done.ending}")
    if damaged:
        return damaged + merge(counted, [path for path in profiles if path not in said])
    return damaged


def _read(args: Sequence[str | Path], counted: Counted, env: dict[str, str | None] | None = None) -> str:
    cargo, env = counted.cargo, {**counted.cargo.env, **(env or {})}
    done = run(args, cwd=cargo.directory, env=env, deadline=counted.deadline, read_stdout=True)
    if "no coverage data found" in done.stderr:
        raise CheckFailed(NO_LINE)
    if not done.ok:
        raise CheckFailed(f"no report could be made: {Path(args[0]).name}: {done.ending}")
    return done.stdout


@dataclass(frozen=True, kw_only=True)
class CargoLlvmCovReporter:
    """Reports by ``cargo llvm-cov report``."""

    counted: Counted
    tool: CargoLlvmCov
    name: Backend = Backend.CARGO_LLVM_COV

    def _report(self, *options: str) -> str:
        counted = self.counted
        args: list[str | Path] = [self.tool.path, "llvm-cov", "report", *options]
        own = rf"^{re.escape(str(counted.build.directory.parent))}/"  # what build scripts generate
        args.append(f"--ignore-filename-regex={'|'.join((*counted.exclude, own))}")
        if counted.selection.workspace:
            args.append("--workspace")
        directory = str(counted.build.directory)
        return _read(
            args,
            counted,
            {
                "CARGO_LLVM_COV_TARGET_DIR": directory,
                "CARGO_LLVM_COV_BUILD_DIR": directory,
                "CARGO_LLVM_COV_SETUP": "no",
                "LLVM_COV": str(counted.llvm.cov),
                "LLVM_PROFDATA": str(counted.llvm.profdata),
            },
        )

    def json(self) -> str:
        """Return the export in LLVM's JSON format, without functions."""
        return self._report("--json", "--skip-functions")

    def lcov(self) -> str:
        """Return the same as LCOV tracefile."""
        return self._report("--lcov")


@dataclass(frozen=True, kw_only=True)
class LlvmReporter:
    """Reports by llvm-profdata and llvm-cov."""

    counted: Counted
    name: Backend = Backend.CARGO

    def _llvm_cov(self, command: str, *options: str) -> str:
        counted = self.counted
        objects = [*counted.build.objects, *compiled_by_tests(counted.cargo)]
        return _read(
            [
                counted.llvm.cov,
                command,
                *options,
                f"-instr-profile={counted.profile}",
                *(word for path in objects for word in ("-object", str(path))),
                f"-ignore-filename-regex={'|'.join(ignored(counted))}",
            ],
            counted,
        )

    def json(self) -> str:
        """Return the export in LLVM's JSON format, without functions."""
        return self._llvm_cov("export", "-format=text", "-skip-functions")

    def lcov(self) -> str:
        """Return the same as LCOV tracefile."""
        return self._llvm_cov("export", "-format=lcov")


def compiled_by_tests(cargo: Cargo) -> Iterator[Path]:
    """Yield the executables and libraries that trybuild and ui_test built, as cargo-llvm-cov counts them."""
    target = cargo.workspace.target_directory
    cases = set()
    for manifest in sorted((target / "tests" / "trybuild").glob("*/Cargo.toml")):
        content = tomllib.loads(manifest.read_text())
        cases |= {crate_name(each["name"]) for each in (content.get("package", {}), *content.get("bin", ()))}
    folders = [target / "tests" / "trybuild" / "debug"] if cases else []
    for folder in (*folders, target / "ui"):
        for path in _built(folder):
            if (
                folder.name == "ui"
                or crate_name(re.sub("-[0-9a-f]+$", "", path.name.partition(".")[0])) not in cases
            ):
                yield path


def _built(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        scripts = Path(place).parent == folder / "build"
        left_out = {"incremental", ".fingerprint", "fingerprint", *(("out",) if scripts else ())}
        folders[:] = [name for name in folders if name not in left_out]
        yield from (
            path
            for name in names
            if has_mappings(path := Path(place, name)) and not (scripts and name.startswith("build"))
        )


def ignored(counted: Counted) -> Iterator[str]:
    """Yield the regular expressions of the files that do not count, as LLVM's regex reads them."""
    workspace = counted.cargo.workspace
    root = re.escape(str(workspace.root))
    yield from counted.exclude
    yield r"/rustc/([0-9a-f]+|[0-9]+\.[0-9]+\.[0-9]+)/"
    yield rf"^{root}(/.*)?/(tests|examples|benches)/"
    yield rf"^{root}(/.*)?/(tests\.rs|[0-9a-zA-Z_-]+[_-]tests\.rs)$"
    yield rf"^{re.escape(str(counted.cargo.home))}/(registry|git)/"
    tested = counted.selection.members(counted.cargo)
    others = [member for member in workspace.members if member not in tested]
    for path in (
        counted.build.directory.parent,
        counted.cargo.rustup_home / "toolchains",
        *source_directories(counted.cargo),
        *untested(tested, others),
    ):
        yield rf"^{re.escape(str(path))}($|/)"


def untested(tested: Sequence[Package], others: Sequence[Package]) -> Iterator[Path]:
    """Yield the files and folders of `others`, less those of `tested` packages inside them."""
    inside = [member.directory for member in tested]

    def below(folder: Path) -> Iterator[Path]:
        if folder in inside:
            return
        if not any(directory.is_relative_to(folder) for directory in inside):
            yield folder
            return
        for entry in sorted(folder.iterdir()):
            if entry.is_dir():
                yield from below(entry)
            elif entry.suffix == ".rs":
                yield entry

    for member in others:
        yield from below(member.directory)
