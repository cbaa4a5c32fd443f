"""Sessions of one work tree run their tests in turn, also when they run side by side.

Tests own devices, ports and files; what is built and checked meanwhile owns none.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def in_turn(root: Path) -> Iterator[float]:
    """Wait until no other session runs tests of the work tree at `root`; yield the seconds waited."""
    started = time.monotonic()
    with files.locked(root, on_wait=lambda: say(f"Other tests of {root} run; waiting for them to end.")):
        yield time.monotonic() - started
