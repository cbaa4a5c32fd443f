"""Write the pages of a coverage run, in a folder that is replaced as a whole."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say
from rustvmm_sessions.coverage import page, sources
from rustvmm_sessions.coverage.changed import real_path
from rustvmm_sessions.coverage.versions import address_of_commits, read_history
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.page import GENERATOR
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rustvmm_sessions.coverage.outcome import Outcome
    from rustvmm_sessions.coverage.request import CoverageRequest

_OURS = frozenset(("files", "members", "workspace", "index.html"))
_ALWAYS = frozenset((".gitignore", ".new", ".old"))


def check_folder(folder: Path) -> None:
    """Refuse to put pages where there is anything else: what is there is replaced.

    Raises:
        UserError: There is something that is not ours.
    """
    if not folder.is_dir():
        if folder.exists():
            raise UserError("a file has that name", where=f"--html={folder}", fix="name a new folder")
        return
    entries = {entry.name for entry in folder.iterdir()} - _ALWAYS
    index = folder / "index.html"
    if entries and not (
        entries <= _OURS and index.is_file() and GENERATOR in index.read_text(errors="replace")
    ):
        raise UserError(
            "the folder holds files that are no coverage pages, and would be replaced",
            where=f"--html={folder}",
            fix="name a new or an empty folder",
        )


def pages(request: CoverageRequest, outcome: Outcome, top: str = "") -> Iterator[tuple[str, str]]:
    """Yield the pages of a crate, each with its path.

    Args:
        request: What was asked.
        outcome: What became of it; it was measured.
        top: Where the page of all members is, from the first one; empty for none.
    """
    measurement, decision, cargo = outcome.measurement, outcome.decision, request.cargo
    if measurement is None or decision is None:
        return
    workspace = cargo.workspace
    places = {file.path: real_path(workspace.root / file.path, workspace.roots) for file in measurement.files}
    counts = sources.read_lcov(outcome.lcov)
    history = None
    with contextlib.suppress(UserError):  # no repository, no commit
        history = read_history(request.directory, request.package)
    recorded = outcome.recorded
    site = sources.Site(
        crate=request.package or (workspace.current or workspace.root).name,
        revision=revision(request.directory),
        machine=f"{measurement.arch}, {platform.system()} {platform.release()}, "
        f"{counted(os.cpu_count() or 1, 'processor')}",
        measurement=measurement,
        recorded=recorded,
        decision=decision,
        passed=outcome.passed,
        record=recorded.path.relative_to(request.directory).as_posix() if recorded else "",
        commands=outcome.commands,
        changed=outcome.changed,
        required=request.patch,
        counts={path: counts.get(str(real), {}) for path, real in places.items()},
        history=history,
        top=top,
    )

    def source(path: str) -> str | None:
        with contextlib.suppress(OSError):
            return places[path].read_text(encoding="utf-8", errors="replace")
        return None

    yield from page.pages(site, source)


def revision(directory: Path) -> sources.Revision:
    """Return what the work tree has now."""
    git = Git(directory=directory)
    commit = git.line("rev-parse", "HEAD") or ""
    return sources.Revision(
        commit=commit,
        dirty=bool(git.line("status", "--porcelain", "--untracked-files=no")),
        address=address_of_commits(git) if commit else "",
        time=int(time.time()),
    )


def write(request: CoverageRequest, own: Path, content: Iterable[tuple[str, str]]) -> None:
    """Write pages, and put them in the place of earlier ones when all are written.

    Raises:
        UserError: They cannot be written; those before are still there.
    """
    if request.html is None:
        return
    folder = own / "report" if request.html == Path() else request.html
    files.own_directory(folder)
    fresh, old = folder / ".new", folder / ".old"
    try:
        for path in (fresh, old):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        for name, text in content:
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        for entry in list(folder.iterdir()):
            if entry.name not in _ALWAYS:
                entry.rename(old / entry.name)
        for entry in sorted(fresh.iterdir()):  # that which leads to the others comes last
            entry.rename(folder / entry.name)
        for path in (fresh, old):
            shutil.rmtree(path)
    except OSError as error:
        raise files.unwritable("the pages cannot be written", folder, error) from error
    say(f"HTML report: {folder / 'index.html'}")
    if request.open:
        _open(folder / "index.html")


def _open(index: Path) -> None:
    """Open a page in the browser, where there is a display."""
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform != "darwin" and not any(os.environ.get(name) for name in displays):
        say("There is no display to open it on.")
    elif not webbrowser.open(index.absolute().as_uri()):
        say("No browser was found to open it.")
