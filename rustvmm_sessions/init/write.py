"""Bring a repository the files of this library: look, plan, show, ask, write all or nothing."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog, files, zipapp
from rustvmm_sessions.console import is_terminal, say, warn
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.init import scaffold
from rustvmm_sessions.init.look import look
from rustvmm_sessions.pipeline.github import with_newer_pins
from rustvmm_sessions.settings import parse_platforms
from rustvmm_sessions.vendored import DIGEST, VENDORED, described, digest
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from rustvmm_sessions.init.scaffold import Found, Wishes

Content = str | bytes
_STOPPING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@dataclass(frozen=True, kw_only=True)
class InitRequest:
    """What is asked for.

    Attributes:
        directory: The crate's directory.
        wishes: What the files are to say.
        workflow: Makes GitHub's workflow for the sessions of a noxfile's text, on platforms, from the
            text of the workflow that is there.
        replace: Files that may be replaced, from `directory` or the repository's top.
        yes: Whether to write without asking.
        dry_run: Whether only to show.
    """

    directory: Path
    wishes: Wishes
    workflow: Callable[[str, tuple[str, ...], str], str]
    replace: tuple[str, ...] = ()
    yes: bool = False
    dry_run: bool = False


def initialize(request: InitRequest) -> None:
    """Show what would be written as a diff, ask, and write it.

    Raises:
        UserError: There is no crate here, a file cannot be understood, or there is nobody to ask.
    """
    top = Git(directory=request.directory).top or request.directory
    found = look(request.directory, top)
    planned = scaffold.planned(found, request.wishes)
    vendored = zipapp.content() if request.wishes.vendor else None
    names = [*planned, *([scaffold.GITHUB] if request.wishes.github else [])]
    names += [VENDORED, DIGEST] if vendored else []
    replace = _replaced(request, top, names)
    before = {name: _current(top, name) for name in names}
    plan: dict[str, Content] = {**_with_workflows(request, found, planned, before, replace)}
    if vendored:
        plan[VENDORED] = vendored
        if VENDORED in replace:
            replace.add(DIGEST)
        if VENDORED in replace or before[VENDORED] in (None, vendored):  # it is of one that is kept else
            plan[DIGEST] = digest(vendored)
    write = _to_write(plan, before, replace)
    if not write:
        say("Nothing to write.")
    elif request.dry_run:
        say(f"Would write {', '.join(write)}.")
    elif request.yes or _agreed(write):
        _write_all(top, write, before)
        say(f"Wrote {', '.join(write)}.")
    else:
        say("Nothing written.")
        return
    if VENDORED in write and Git(directory=top).line("check-ignore", "--", VENDORED):
        warn(f"git ignores {VENDORED}; the agents need it: `git add --force -- {VENDORED}`")
    if any(name.endswith("noxfile.py") for name in write):  # later, the noxfile says it
        _say_list("Found of rust-vmm-ci, and what becomes of it:", scaffold.taken_over(found))
    _say_list("Left to do:", scaffold.left_to_do(found, request.wishes))


def _to_write(
    plan: Mapping[str, Content], before: Mapping[str, Content | None], replace: Collection[str]
) -> dict[str, Content]:
    """Return what is to be written of a plan, after showing it, and what is kept although it differs."""
    write = {
        name: text
        for name, text in plan.items()
        if before[name] is None or (before[name] != text and name in replace)
    }
    for name, text in plan.items():
        if name in write:
            _say_diff(name, before[name], text)
    for name, text in plan.items():
        if name not in write and before[name] != text:
            say(f"Kept: {name} is not what it would be; `--replace {name}` makes it so:")
            _say_diff(name, before[name], text)
    return write


def _say_list(heading: str, items: list[str]) -> None:
    if items:
        say("\n".join([heading, *(f"- {item}".replace("\n", "\n  ") for item in items)]))


def _with_workflows(
    request: InitRequest,
    found: Found,
    plan: Mapping[str, str],
    before: Mapping[str, Content | None],
    replace: set[str],
) -> dict[str, str]:
    """Return the plan with the workflow for the noxfile and the platforms that will be there.

    In all workflows, versions of actions that were raised stay.
    """
    there = {name: text for name, text in before.items() if isinstance(text, str)}
    plan = {name: with_newer_pins(text, there.get(name, "")) for name, text in plan.items()}
    if not request.wishes.github:
        return plan

    def text(name: str) -> str | None:
        kept = there.get(name)
        return plan.get(name) if kept is None or name in replace else kept

    names = text(".platform")
    platforms = found.platforms if names is None else parse_platforms(names, ".platform")
    made = request.workflow(
        text("noxfile.py") or "", platforms or catalog.DEFAULT_PLATFORMS, there.get(scaffold.GITHUB, "")
    )
    return {**plan, scaffold.GITHUB: made}


# Writing


def _replaced(request: InitRequest, top: Path, plan: Collection[str]) -> set[str]:
    """Return the files of the plan that the user allows to be replaced."""
    found = set()
    for given in request.replace:
        paths = [os.path.relpath(base.resolve() / given, top.resolve()) for base in (request.directory, top)]
        name = next((path for path in paths if path in plan), None)
        if name is None:
            raise UserError(
                f"init would not write {given!r}",
                where="--replace",
                fix=did_you_mean(given, plan),
            )
        found.add(name)
    return found


def _current(top: Path, name: str) -> Content | None:
    """Return what a file holds, None where there is none; it has to lie in the repository."""
    path = top / name
    if not path.resolve().is_relative_to(top.resolve()):
        raise UserError(
            "a symbolic link leads out of the repository",
            where=f"{path} -> {path.resolve()}",
            fix="remove the link",
        )
    if name == VENDORED:
        return path.read_bytes() if path.is_file() else None
    return files.read_text(path)


def _say_diff(name: str, before: Content | None, after: Content) -> None:
    old = "/dev/null" if before is None else f"a/{name}"
    lines = difflib.unified_diff(_lines(before or ""), _lines(after), old, f"b/{name}")
    say("".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines))


def _lines(content: Content) -> list[str]:
    """Return the lines with their ends, which may be all that differs; of a zipapp one that describes it."""
    text = described(content) if isinstance(content, bytes) else content
    return io.StringIO(text, newline="\n").readlines()


def _agreed(write: Collection[str]) -> bool:
    if not is_terminal(sys.stdin):
        raise UserError(
            "there is no terminal to ask on: nothing is written",
            where="standard input",
            fix="add --yes, or --dry-run",
        )
    try:
        answer = input(f"Write {', '.join(write)}? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _write_all(top: Path, write: Mapping[str, Content], before: Mapping[str, Content | None]) -> None:
    """Write all files or none: stop signals wait, and an error undoes what was done."""
    made: list[Path] = []
    done: list[str] = []
    with _signals_wait():
        try:
            for name, text in write.items():
                path = top / name
                missing = [folder for folder in path.parents if not folder.exists()]
                made += missing
                done.append(name)
                files.write_atomic(path.resolve(), text)
        except BaseException:
            for name in done:
                _restore(top / name, before[name])
            for folder in sorted(made, key=lambda folder: len(folder.parts), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise


def _restore(path: Path, before: Content | None) -> None:
    with contextlib.suppress(OSError, UserError):
        if before is None:
            path.unlink(missing_ok=True)
        else:
            files.write_atomic(path.resolve(), before)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
