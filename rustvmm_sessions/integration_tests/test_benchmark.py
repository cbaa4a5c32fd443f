"""No benchmark is slower than upstream's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions import noxfile

if TYPE_CHECKING:
    from rustvmm_sessions.settings import Settings


def test_bench(crate_settings: Settings) -> None:
    """Both sides, the changes and what they prove are in the output."""
    noxfile.run("bench", [], crate_settings)
