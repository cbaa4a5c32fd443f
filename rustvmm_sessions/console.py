"""What sessions print: results on standard output, warnings on standard error."""

from __future__ import annotations

import sys

from rustvmm_sessions.errors import printable


def say(text: str) -> None:
    """Print a line of the result at once, in order with what programs print."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print a warning, which does not change the result."""
    sys.stdout.flush()
    sys.stderr.write(f"warning: {printable(text)}\n")
    sys.stderr.flush()
