"""What one run does at a time, while other runs and other sessions wait; that is not of their time."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rustvmm_sessions.deadline import Deadline


@contextlib.contextmanager
def alone(path: Path, deadline: Deadline, waiting: str) -> Iterator[None]:
    """Hold the lock of `path`; where another run holds it, say `waiting`, and wait without limit."""
    started = time.monotonic()
    with files.locked(path, on_wait=lambda: say(waiting)):
        deadline.prolong(time.monotonic() - started)
        yield


def in_turn(root: Path, deadline: Deadline) -> AbstractContextManager[None]:
    """Run tests of the work tree at `root` while no other session does.

    Tests own devices, ports and files; what is built and checked meanwhile owns none.
    """
    return alone(root, deadline, f"Other tests of {root} run; waiting for them to end.")
