"""The messages of commits that are not upstream yet are as the crate wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.actions.commit_format import CommitFormatRequest, check_commits

if TYPE_CHECKING:
    from rustvmm_sessions.config import Settings


def test_commit_format(crate_settings: Settings) -> None:
    """All faults of all commits are in the output."""
    check_commits(CommitFormatRequest(directory=crate_settings.directory, rules=crate_settings.commit_format))
