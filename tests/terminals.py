"""A terminal for tests: what a program prints on it, and what is left on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

from tests.crates import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = 60


def on_terminal(
    args: list[str], *, cwd: Path, env: dict[str, str] | None = None, redirected: bool = False
) -> tuple[int, str]:
    """Run a program on a terminal of `COLUMNS`; return its exit status and all that it prints there.

    Args:
        args: The program and its arguments.
        cwd: Where it runs.
        env: Variables beside PATH, HOME, TERM and what cargo needs.
        redirected: Whether its standard error is a pipe, and only its standard output the terminal.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    kept = {
        name: os.environ[name] for name in os.environ if name.startswith(("CARGO", "RUST", "PATH", "HOME"))
    }
    variables = {**kept, "TERM": "xterm", "PYTHONPATH": str(REPOSITORY), **(env or {})}
    with subprocess.Popen(
        args,
        cwd=cwd,
        env=variables,
        stdin=slave,
        stdout=slave,
        stderr=subprocess.STDOUT if not redirected else subprocess.PIPE,
    ) as process:
        os.close(slave)
        printed = bytearray()
        while True:
            try:
                data = os.read(master, 1 << 16)
            except OSError:  # Linux says so at the end
                break
            if not data:
                break
            printed += data
        piped = process.stderr.read() if process.stderr else b""
    os.close(master)
    return process.returncode, (bytes(printed) + piped).decode()


def python(script: str) -> list[str]:
    """Return the command that runs a script with the library."""
    return [sys.executable, "-c", script]


def screen(printed: str) -> list[str]:
    """Return the lines that are left; a carriage return goes back, and ``ESC [ K`` empties the rest."""
    lines = []
    for text in re.sub(r"\x1b\[[\d;]*m", "", printed).replace("\r\n", "\n").split("\n"):
        line = ""
        for part in re.split(r"(?=\r)", text):
            new = part.removeprefix("\r")
            at = 0 if part.startswith("\r") else len(line)
            kept, emptied, rest = new.partition("\x1b[K")
            line = line[:at] + kept + ("" if emptied else line[at + len(kept) :]) + rest
        lines.append(line)
    return lines
