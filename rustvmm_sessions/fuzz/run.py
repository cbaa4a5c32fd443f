"""Find fuzz targets, build them, run them, and keep what they find."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import tempfile
import time
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say, tell, warn
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.fuzz.libfuzzer import HANG, Failure, Progress, failure_in, progress_in, test_of, told
from rustvmm_sessions.process import Finished, run
from rustvmm_sessions.results import Finding, Report
from rustvmm_sessions.rust.cargo import Cargo, own_folder
from rustvmm_sessions.rust.lockfile import lockfile_kept
from rustvmm_sessions.rust.tools import find_program, need_nightly
from rustvmm_sessions.wording import counted, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HANG_SECONDS = 60
"""How long an input may run."""
_MINIMIZING_SECONDS = 30
_BETWEEN_LINES = 10.0
"""Seconds between two lines of progress."""
_AT_ONCE = 500
"""Inputs that one process runs again: their names are its arguments."""
_MOST_FAILURES = 10
"""Known inputs of a target that may fail before the others are left alone."""


@dataclass(frozen=True, kw_only=True)
class FuzzRequest:
    """What fuzzing is asked to do.

    Attributes:
        cargo: Cargo in the crate's directory.
        called_from: The directory where nox was called.
        workspace: Whether fuzz targets of all members are meant, or only the crate's own.
        seconds: How long each target is fuzzed.
        targets: The names of those to fuzz; empty for all.
        jobs: Processes that fuzz a target side by side.
        corpus: The folder with a folder of inputs for each target; None for one in the target directory.
        regressions: Whether known inputs are run again, and nothing is fuzzed.
        hang: Seconds that an input may run.
        deadline: When the session's time is up.
        report: What it finds goes there.
    """

    cargo: Cargo
    called_from: Path
    workspace: bool = True
    seconds: int = 60
    targets: tuple[str, ...] = ()
    jobs: int = 1
    corpus: Path | None = None
    regressions: bool = False
    hang: int = HANG_SECONDS
    deadline: Deadline = field(default_factory=Deadline)
    report: Report = field(default_factory=Report)


@dataclass(frozen=True, kw_only=True)
class Project:
    """A package of fuzz targets, as ``cargo fuzz init`` makes it.

    Attributes:
        cargo: Cargo in its directory, on a nightly toolchain.
        kept: The folder of ours that its build and its inputs are kept in.
        targets: The sources of its targets by their names.
        links: A folder of links to the other folders while it is fuzzed: libFuzzer starts itself by a
            shell, and quotes no name.
    """

    cargo: Cargo
    kept: Path
    targets: dict[str, Path]
    links: Path = Path()

    @property
    def directory(self) -> Path:
        """Its directory."""
        return self.cargo.directory

    @property
    def build(self) -> Path:
        """Cargo's target directory for it: the flags of fuzzing build everything anew."""
        return self.kept / "build"

    def program(self, target: str) -> Path:
        """Return the executable of a target."""
        return self.links / "kept" / "build" / self.cargo.toolchain.host / "release" / target

    def artifacts(self, target: str) -> Path:
        """Return the folder of the inputs that failed."""
        return self.links / "kept" / "artifacts" / target

    def corpus(self, target: str) -> Path:
        """Return the folder of the inputs that reach something new."""
        return self.links / "corpus" / target

    @contextlib.contextmanager
    def linked(self, corpus: Path | None) -> Iterator[Project]:
        """Give the project with its links; `corpus` has a folder for each target."""
        with tempfile.TemporaryDirectory(prefix="rustvmm-fuzz-") as name:
            links = Path(name)
            corpora = corpus or self.kept / "corpus"
            try:
                corpora.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise files.unwritable("the folder for inputs cannot be made", corpora, error) from error
            for link, folder in (("kept", self.kept), ("corpus", corpora), ("fuzz", self.directory)):
                (links / link).symlink_to(folder.resolve())
            yield replace(self, links=links)


def fuzz(request: FuzzRequest) -> None:
    """Build the fuzz targets, run the known inputs again, fuzz each target, and minimize what is kept.

    Raises:
        CheckFailed: A target does not build, or an input crashes it, hangs, or runs out of memory.
        UserError: There are no fuzz targets, or no cargo-fuzz or nightly toolchain.
    """
    projects = _chosen(_projects(request), request.targets)
    tool = find_program("cargo-fuzz", "CARGO_FUZZ")
    if tool is None:
        raise UserError(
            "cargo-fuzz is missing",
            where="PATH and the Python packages",
            fix="run `cargo install --locked cargo-fuzz`; with register(fuzz={}), `nox -s setup` provides it",
        )
    failed = []
    for project in projects:
        with (
            files.locked(project.kept, on_wait=lambda: say("another run is fuzzing here; waiting for it")),
            lockfile_kept(project.cargo.workspace, project.kept),
        ):
            _build(request, project, tool)
            with project.linked(request.corpus) as linked:
                for target in project.targets:
                    failed += _run(request, linked, target, tool)
    if failed:
        raise CheckFailed(
            f"fuzzing found {counted(len(failed), 'failing input')}:\n" + "\n".join(failed),
            fix=failed[0].splitlines()[-1].strip(),
        )


# The targets


def _projects(request: FuzzRequest) -> list[Project]:
    cargo, workspace = request.cargo, request.cargo.workspace
    members = workspace.members if request.workspace else (cargo.package,)
    top = (cargo.directory, workspace.root) if request.workspace else (cargo.directory,)
    folders = [*(folder / "fuzz" for folder in top), *(m.directory / "fuzz" for m in members)]
    folders += [member.directory for member in members]
    own = own_folder(workspace, "rustvmm-fuzz")
    found = {}
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        if _is_project(folder / "Cargo.toml"):
            name = os.path.relpath(folder, workspace.root.resolve()).replace("/", "-")
            nightly = need_nightly(replace(cargo, directory=folder))
            bins = (
                (target["name"], Path(target["src_path"]))
                for package in nightly.metadata["packages"]
                if Path(package["manifest_path"]).parent.resolve() == folder
                for target in package["targets"]
                if "bin" in target["kind"]
            )
            found[name] = Project(cargo=nightly, kept=files.own_directory(own / name), targets=dict(bins))
    if not any(project.targets for project in found.values()):
        raise UserError(
            "there are no fuzz targets",
            where=str(cargo.directory / "fuzz"),
            fix="make the first with `cargo fuzz init`, which writes fuzz/Cargo.toml",
        )
    return list(found.values())


def _is_project(manifest: Path) -> bool:
    """Whether a manifest is of a package that cargo-fuzz runs."""
    try:
        content = tomllib.loads(files.read_text(manifest) or "")
    except ValueError:
        return False  # of another tool; a member's was read by cargo already
    return content.get("package", {}).get("metadata", {}).get("cargo-fuzz") is True


def _chosen(projects: Sequence[Project], names: Sequence[str]) -> list[Project]:
    known = {name for project in projects for name in project.targets}
    for name in names:
        if name not in known:
            raise UserError(
                f"there is no fuzz target {name!r}",
                where="--target, or register(fuzz={'targets': ...})",
                fix=did_you_mean(name, known),
            )
    if not names:
        return list(projects)
    chosen = (
        replace(project, targets={name: path for name, path in project.targets.items() if name in names})
        for project in projects
    )
    return [project for project in chosen if project.targets]


def _build(request: FuzzRequest, project: Project, tool: Path) -> None:
    """Build the targets; those that are chosen by their names one by one."""
    for name in project.targets if request.targets else [""]:
        words = ["build", f"--target-dir={project.build}", *filter(None, [name])]
        done = run([tool, *words], cwd=project.directory, env=project.cargo.env, deadline=request.deadline)
        if not done.ok:
            repeat = _repeat(request, project, words, tool)
            what = f"the fuzz targets of {project.directory} do not build"
            request.report.found(Finding(kind="fuzz", title=what, message=done.stderr))
            raise CheckFailed(
                f"{what}: {done.ending}; repeat it:\n  {repeat}", fix=repeat, output=done.output
            )


def _repeat(request: FuzzRequest, project: Project, words: Sequence[str], tool: Path) -> str:
    """Return a command of cargo-fuzz as it is typed where nox was called."""
    found = shutil.which(tool.name)
    program = tool.name if found and Path(found).samefile(tool) else str(tool)
    return project.cargo.pasteable(request.called_from, [program, *words])


# Running them


class _Progress(io.StringIO):
    """Takes what libFuzzer prints on standard error, and says now and then how far it is."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.last: Progress | None = None
        self.started = self.said = time.monotonic()

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self.last = progress_in(line) or self.last
        if self.last and time.monotonic() - self.said >= _BETWEEN_LINES:
            self.said = time.monotonic()
            say(f"{self.target}: {self.said - self.started:.0f} s, {self.last}")
        return len(text)


def _run(request: FuzzRequest, project: Project, target: str, tool: Path) -> list[str]:
    """Run a target's known inputs, then fuzz it; return what is said of each input that fails."""
    corpus, artifacts = project.corpus(target), project.artifacts(target)
    for folder in (corpus, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    fuzz = project.links / "fuzz"
    seeds = [folder for folder in (fuzz / "corpus" / target,) if folder.is_dir()]
    seeds = [folder for folder in seeds if folder.resolve() != corpus.resolve()]
    known = [*_inputs(artifacts), *_inputs(fuzz / "artifacts" / target)]
    if request.regressions:
        known += [path for folder in (corpus, *seeds) for path in _inputs(folder)]
    failures = list(_again(request, project, target, known))
    if known or request.regressions:
        fail = f"{len(failures)} of them fail" if failures else "none of them fails"
        say(f"{target}: {counted(len(known), 'known input')}, {fail}")
    if not request.regressions and not failures:
        failures = _fuzz(request, project, target, corpus, seeds)
    return [_tell(request, project, target, failure, tool) for failure in failures]


def _inputs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[!.]*") if path.is_file())


def _start(
    request: FuzzRequest, project: Project, target: str, words: Sequence[str | Path], *, echo: bool = True
) -> Finished:
    progress = _Progress(target)
    options = os.environ.get("ASAN_OPTIONS", "")
    done = run(
        [project.program(target), f"-timeout={request.hang}", *words],
        cwd=project.directory,
        # As cargo-fuzz sets it: linking drops duplicate symbols of Rust's crates.
        env={
            **project.cargo.env,
            "ASAN_OPTIONS": f"{options}:detect_odr_violation=0".lstrip(":"),
            "RUST_BACKTRACE": "0",  # libFuzzer prints one
        },
        deadline=request.deadline,
        stderr=progress,
        echo=echo,
    )
    if done.timed_out:
        raise CheckFailed(f"{target}: fuzzing was {done.ending} (settings: timeout_minutes, seconds)")
    if not done.ok and failure_in(done.stderr) is None:
        raise CheckFailed(f"{target} ended with {done.ending}", output=done.stderr)
    if progress.last and done.ok:
        say(f"{target}: {progress.last}")
        request.report.figures[target] = str(progress.last)
    return done


def _again(request: FuzzRequest, project: Project, target: str, known: Sequence[Path]) -> Iterator[Failure]:
    """Run known inputs again, and yield those that fail, each kept with the others that did."""
    left, failures, kept = list(known), 0, project.artifacts(target)
    while left and failures < _MOST_FAILURES:
        now, left = left[:_AT_ONCE], left[_AT_ONCE:]
        done = _start(request, project, target, now, echo=False)
        failure = failure_in(done.stderr)
        if failure:
            failures += 1
            found = Path(failure.input)
            left = now[now.index(found) + 1 :] + left
            tell(told(done.stderr))
            if found.parent != kept:
                copy = kept / f"{failure.kind.replace(' ', '-')}-{_sha1(found)}"
                files.write_atomic(copy, found.read_bytes())
                failure = _minimized(request, project, target, replace(failure, input=str(copy)))
            yield failure
    if left:
        warn(f"{target}: {counted(failures, 'input')} fail; {len(left)} more were not run")


def _sha1(path: Path) -> str:
    """Return the name that libFuzzer gives an input."""
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def _fuzz(
    request: FuzzRequest, project: Project, target: str, corpus: Path, seeds: Sequence[Path]
) -> list[Failure]:
    words: list[str | Path] = [
        f"-max_total_time={request.seconds}",
        f"-artifact_prefix={project.artifacts(target)}/",
    ]
    if request.jobs > 1:
        words += [f"-fork={request.jobs}", "-ignore_timeouts=0", "-ignore_ooms=0"]
    before = len(_inputs(corpus))
    try:
        done = _start(request, project, target, [*words, corpus, *seeds])
    finally:
        new = counted(len(_inputs(corpus)) - before, "new input")
        say(f"{target}: {new} in {corpus.resolve()}")
    failure = failure_in(done.stderr)
    if failure is None:
        _minimize_corpus(request, project, target, corpus)
        return []
    tell(told(done.stderr))
    return [_minimized(request, project, target, failure)]


def _minimize_corpus(request: FuzzRequest, project: Project, target: str, corpus: Path) -> None:
    """Remove the inputs that reach nothing that the others do not reach."""
    merged = files.own_directory(project.links / "kept" / "merged" / target)
    for path in _inputs(merged):
        path.unlink()
    before = _inputs(corpus)
    done = _start(request, project, target, ["-merge=1", merged, corpus], echo=False)
    needed = {path.name for path in _inputs(merged)}  # by the SHA-1 of their content
    if not done.ok or not needed:
        return
    removed = 0
    for path in before:
        if _sha1(path) not in needed:
            path.unlink()
            removed += 1
    say(f"{target}: {len(before) - removed} of {counted(len(before), 'input')} kept, which reach as much")


def _minimized(request: FuzzRequest, project: Project, target: str, failure: Failure) -> Failure:
    """Return the failure of the smallest input that libFuzzer makes of one, which takes its place."""
    found = Path(failure.input)
    if failure.kind == HANG:
        return failure  # every smaller input that hangs takes a minute to find
    smaller = project.links / "smaller"
    smaller.unlink(missing_ok=True)
    seconds = min(_MINIMIZING_SECONDS, request.deadline.left)
    words: list[str | Path] = ["-minimize_crash=1", "-runs=10000", f"-max_total_time={seconds:.0f}"]
    with contextlib.suppress(CheckFailed):
        _start(request, project, target, [*words, f"-exact_artifact_path={smaller}", found], echo=False)
    if not smaller.exists() or smaller.stat().st_size >= found.stat().st_size:
        return failure
    again = failure_in(_start(request, project, target, [smaller], echo=False).stderr)
    if again is None:  # it fails only now and then
        return failure
    kept = found.with_name(f"{found.name.partition('-')[0]}-{_sha1(smaller)}")
    original = files.own_directory(found.parent / "before-minimizing") / found.name
    found.replace(original)
    files.write_atomic(kept, smaller.read_bytes())
    size = counted(kept.stat().st_size, "byte")
    say(f"{target}: minimized to {size}; as it was found: {original.resolve()}")
    return replace(again, input=str(kept))


def _tell(request: FuzzRequest, project: Project, target: str, failure: Failure, tool: Path) -> str:
    """Report an input that fails; return what is said of it, the command that repeats it last."""
    path = Path(failure.input).resolve()
    data = path.read_bytes()
    name = f"fuzz_{re.sub(r'[^0-9A-Za-z_]', '_', target)}_{_sha1(path)[:8]}"
    source = files.read_text(project.targets[target]) or ""
    test = test_of(name, data, source, file=str(path))
    repeat = _repeat(request, project, ["run", f"--target-dir={project.build}", target, str(path)], tool)
    place = os.path.normpath(project.cargo.workspace.root / failure.file) if failure.file else ""
    say(f"\nA test that holds this input of {counted(len(data), 'byte')}:\n\n{test}\n")
    title = f"{target}: {failure.kind}: {failure.why}"
    request.report.found(
        Finding(
            kind="fuzz",
            title=title,
            message=f"{path}\n\n{repeat}\n\n{test}",
            file=request.report.file(place) if place else None,
            line=failure.line,
        )
    )
    where = f" ({place}:{failure.line})" if place else ""
    return f"  {title}{where}\n  {repeat}"
