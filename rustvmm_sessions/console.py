"""What sessions print: results on standard output, warnings on standard error.

While nothing is printed, the last line of a terminal says what is being done. GitHub's runner obeys what
it finds in the log: nothing that is printed commands it, but for `command`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rustvmm_sessions.errors import UserError, printable, shortened
from rustvmm_sessions.wording import width
from rustvmm_sessions.workflow import command, defused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rustvmm_sessions.errors import CheckFailed

SILENCE = 2.0
"""Seconds without output after which a terminal shows what is being done."""

_REDRAW = 0.5
"""Seconds between two looks of that line: what is measured beside it is to have the machine."""


@dataclass(kw_only=True)
class Task:
    """What is being done, as a terminal shows it while nothing is printed.

    Attributes:
        session: The session's name.
        share: Its place in the plan, as in ``3/7``.
        what: What it is; empty for the program that runs.
        since: When it began, by time.monotonic().
    """

    session: str = ""
    share: str = ""
    what: str = ""
    since: float = field(default_factory=time.monotonic)

    def line(self, program: str, seconds: float, columns: int) -> str:
        """Return the line that says it, of less than `columns`: names are cut off, the time never is."""
        place = " ".join(filter(None, (self.session, self.share)))
        text = " ".join(f"{place}{': ' if place else ''}{printable(self.what or program)}".split())
        clock = f"  {int(seconds) // 60}:{int(seconds) % 60:02}"
        room = columns - 1 - len(clock)
        if width(text) > room:
            while text and width(text) > room - 3:
                text = text[:-1]
            text += "..."
        return text + clock


@dataclass(kw_only=True)
class _Screen:
    """What the terminal shows.

    Attributes:
        tasks: What is being done; the last is part of those before it.
        line: The line that is shown for them; empty for none.
        drawn: When, by time.monotonic().
        printed: When something else was printed last, by time.monotonic().
        whole: Whether that ended with a newline.
    """

    tasks: list[Task] = field(default_factory=lambda: [Task()])
    line: str = ""
    drawn: float = 0.0
    printed: float = field(default_factory=time.monotonic)
    whole: bool = True


_screen = _Screen()


@contextlib.contextmanager
def task(*, session: str = "", share: str = "", what: str = "") -> Iterator[Task]:
    """Show what is done inside while nothing is printed; what is left out is that of the task around it."""
    around = _screen.tasks[-1]
    within = Task(session=session or around.session, share=share or around.share, what=what)
    _screen.tasks.append(within)
    try:
        yield within
    finally:
        _screen.tasks.pop()
        _clear()


def running(program: str, since: float) -> None:
    """Show what is being done if nothing was printed for `SILENCE`; called again and again.

    Args:
        program: The program that runs.
        since: When it began, by time.monotonic().
    """
    now = time.monotonic()
    if now - _screen.printed < SILENCE or not _screen.whole or not _is_watched():
        return
    if _screen.line and now - _screen.drawn < _REDRAW:
        return
    current = _screen.tasks[-1]
    columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    line = current.line(program, now - (current.since if current.what else since), columns)
    if line != _screen.line:
        _write(f"\r{line}\x1b[K", sys.stderr)
        _screen.line, _screen.drawn = line, now


def ended() -> None:
    """Take the line of a program that has ended away, unless it is of more than that program."""
    if not _screen.tasks[-1].what:
        _clear()


def _is_watched() -> bool:
    """Whether somebody looks at standard error: CI gives programs a terminal, and keeps what they print."""
    return is_terminal(sys.stderr) and os.environ.get("TERM", "dumb") != "dumb" and not in_ci()


def in_ci() -> bool:
    """Whether a CI service runs this."""
    said = (os.environ.get(name, "").lower() for name in ("CI", "BUILDKITE", "GITHUB_ACTIONS"))
    return any(value not in ("", "0", "false") for value in said)


def _clear() -> None:
    if _screen.line:
        _screen.line = ""
        _write("\r\x1b[K", sys.stderr)


def say(text: str) -> None:
    """Print a line of the result at once, in order with what programs print."""
    pass_on(f"{printable(text)}\n", sys.stdout)


def warn(text: str) -> None:
    """Print a warning, which does not change the result."""
    tell(f"warning: {printable(shortened(text))}\n")


def print_error(error: UserError | CheckFailed) -> None:
    """Print why something failed, in cargo's form: what, where, what to do."""
    tell(f"error: {error}\n")


def tell(text: str) -> None:
    """Print on standard error, as it is, after all that was printed on standard output."""
    pass_on("", sys.stdout)
    pass_on(text, sys.stderr)


def on_github() -> bool:
    """Whether GitHub's runner reads what is printed."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def on_buildkite() -> bool:
    """Whether Buildkite's agent runs us."""
    return os.environ.get("BUILDKITE") == "true"


def tell_runner(name: str, message: str = "", **properties: str) -> None:
    """Print a command for GitHub's runner, after all that was printed on standard output."""
    pass_on("", sys.stdout)
    _write(f"{command(name, message, **properties)}\n", sys.stderr)


@contextlib.contextmanager
def echoed(command_line: str) -> Iterator[None]:
    """Print a command that is run inside; where CI shows the log, what it prints is a group of that title."""
    if on_github():
        tell_runner("group", command_line)
    else:
        tell(f"{'---' if on_buildkite() else '+'} {command_line}\n")
    try:
        yield
    finally:
        if on_github():
            tell_runner("endgroup")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is a terminal; one that the caller has closed is None."""
    return stream is not None and stream.isatty()


def coloured(stream: TextIO | None) -> bool:
    """Whether what is printed there is to have colours."""
    if os.environ.get("NO_COLOR"):
        return False
    return is_terminal(stream) or bool(os.environ.get("FORCE_COLOR"))


def terminal_columns() -> int | None:
    """Return the columns of the terminal that results are printed on; None where it is none."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None


def pass_on(data: str | bytes, stream: TextIO | None) -> None:
    """Print `data` at once, as it is; what the terminal's encoding does not have is escaped.

    Where its reader has gone, as in ``nox | head``, or the caller has closed the stream, it is
    dropped: what the run does and how it ends still counts.

    Raises:
        UserError: It cannot be written, as where the disk is full.
    """
    if data and is_terminal(stream):
        _clear()
        _screen.printed = time.monotonic()
        _screen.whole = data[-1:] in ("\n", b"\n")
    if data and on_github() and not (stream is sys.stdout and _is_file(stream)):
        if isinstance(data, str):
            data = defused(data.encode(errors="surrogatepass")).decode(errors="surrogatepass")
        else:
            data = defused(data)
    _write(data, stream)


def _is_file(stream: TextIO | None) -> bool:
    """Whether a stream is redirected into a file, as that of a pipeline or JSON is: no runner reads it."""
    try:
        return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # a replaced stream has no descriptor
        return False


def _write(data: str | bytes, stream: TextIO | None) -> None:
    if stream is None:
        return
    try:
        stream.flush()
        if isinstance(data, str):
            encoding = stream.encoding or "utf-8"  # a replaced stream may have none
            stream.write(data.encode(encoding, "backslashreplace").decode(encoding))
        elif hasattr(stream, "buffer"):
            stream.buffer.write(data)
        else:  # a replaced stream (a test's, a report's): text only
            stream.write(data.decode(errors="replace"))
        stream.flush()
    except BrokenPipeError:
        let_go(stream)
    except OSError as error:
        let_go(stream)
        raise UserError(
            f"what is printed cannot be written: {error.strerror}",
            where="standard output" if stream is sys.stdout else "standard error",
            fix="free some space, or let the output go elsewhere",
        ) from error


def let_go(stream: TextIO) -> None:
    """Drop what a stream still holds and all that follows."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
