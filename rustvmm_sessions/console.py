"""What sessions print: results on standard output, warnings on standard error."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from rustvmm_sessions.errors import UserError, printable, shortened

if TYPE_CHECKING:
    from typing import TextIO

    from rustvmm_sessions.errors import CheckFailed


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


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is a terminal; one that the caller has closed is None."""
    return stream is not None and stream.isatty()


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
