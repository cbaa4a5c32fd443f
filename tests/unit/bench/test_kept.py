"""Which work trees and builds of bases are kept."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rustvmm_sessions.git.worktree import KEPT_DAYS, own_place

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_nobody_has_used_for_a_month_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    crates = old, recent, gone, own = [tmp_path / name for name in ("old", "recent", "gone", "own")]
    for crate in crates:
        crate.mkdir()
    places = {crate: own_place(crate) for crate in crates}
    for crate, days in ((old, KEPT_DAYS + 1), (recent, KEPT_DAYS - 1), (own, KEPT_DAYS + 1)):
        used = time.time() - days * 24 * 3600
        os.utime(places[crate] / "of", (used, used))
    gone.rmdir()
    assert own_place(own) == places[own]
    assert [crate for crate in crates if places[crate].exists()] == [recent, own]
