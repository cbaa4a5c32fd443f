"""What sessions print: results on standard output, warnings on standard error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rustvmm_sessions.errors import printable

if TYPE_CHECKING:
    from typing import TextIO


def say(text: str) -> None:
    """Print a line of the result at once, in order with what programs print."""
    _print(sys.stdout, f"{printable(text)}\n")


def warn(text: str) -> None:
    """Print a warning, which does not change the result."""
    _print(sys.stdout, "")
    _print(sys.stderr, f"warning: {printable(text)}\n")


def _print(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        let_go(stream)


def let_go(stream: TextIO) -> None:
    """Drop what a stream still holds and all that follows: its reader has gone, as in ``nox | head``.

    What the run does and how it ends still counts.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
