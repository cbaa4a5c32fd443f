"""Turn profiles into counts and reports: by cargo-llvm-cov, or by the LLVM tools alone.

Both count the same lines. `LlvmReporter` leaves out what cargo-llvm-cov 0.9 leaves out by
default: files in tests/, examples/ and benches/, tests.rs and files that end in _tests.rs or
-tests.rs, generated code in the target directory, dependencies, and packages that are not tested.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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
    """What both reporters can do, after `take` gave them the profiles of a run."""

    @property
    def name(self) -> Backend:
        """What it is."""

    def take(self, profiles: Sequence[Path]) -> None:
        """Make `profiles`, and no others, those that the next reports are of."""

    def json(self) -> str:
        """Return the export in LLVM's JSON format, without functions."""

    def lcov(self) -> str:
        """Return the same as LCOV tracefile, with absolute paths."""

    def html(self, directory: Path) -> Path:
        """Write HTML pages below `directory`; return the first."""


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
        """The merged profile."""
        return self.build.directory / "merged.profdata"


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

    def take(self, profiles: Sequence[Path]) -> None:
        """Put the profiles where cargo-llvm-cov looks for them."""
        directory = self.counted.build.directory
        for old in (*directory.glob("*.profraw"), *directory.glob("*.profdata")):
            old.unlink()
        for number, profile in enumerate(profiles):
            shutil.copyfile(profile, directory / f"{number}.profraw")

    def _report(self, *options: str) -> str:
        counted = self.counted
        args: list[str | Path] = [self.tool.path, "llvm-cov", "report", *options]
        if counted.exclude:
            args.append(f"--ignore-filename-regex={'|'.join(counted.exclude)}")
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

    def html(self, directory: Path) -> Path:
        """Write HTML pages below `directory`/html; return the first."""
        self._report("--html", f"--output-dir={directory}")
        return directory / "html" / "index.html"


@dataclass(frozen=True, kw_only=True)
class LlvmReporter:
    """Reports by llvm-profdata and llvm-cov."""

    counted: Counted
    name: Backend = Backend.CARGO

    def take(self, profiles: Sequence[Path]) -> None:
        """Merge the profiles."""
        listed = self.counted.build.directory / "profiles.list"
        # With its weight before it a path may have commas.
        listed.write_text("".join(f"1,{profile}\n" for profile in profiles))
        _read(
            [
                self.counted.llvm.profdata,
                "merge",
                "-sparse",
                f"--input-files={listed}",
                "-o",
                self.counted.profile,
            ],
            self.counted,
        )

    def _llvm_cov(self, command: str, *options: str) -> str:
        counted = self.counted
        objects = [word for path in counted.build.objects for word in ("-object", str(path))]
        return _read(
            [
                counted.llvm.cov,
                command,
                *options,
                f"-instr-profile={counted.profile}",
                *objects,
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

    def html(self, directory: Path) -> Path:
        """Write HTML pages below `directory`/html; return the first."""
        self._llvm_cov(
            "show", "-format=html", f"-output-dir={directory / 'html'}", "-show-instantiations=false"
        )
        return directory / "html" / "index.html"


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
        counted.build.directory,
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
