"""The messages of commits that are not upstream yet are as the crate wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions import noxfile

if TYPE_CHECKING:
    from rustvmm_sessions.settings import Settings


def test_commit_format(crate_settings: Settings) -> None:
    """All faults of all commits are in the output."""
    noxfile.run("commit-format", [], crate_settings)
