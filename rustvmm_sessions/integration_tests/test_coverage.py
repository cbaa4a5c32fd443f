"""Line coverage is what the crate records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.actions.coverage import CoverageRequest, check_coverage
from rustvmm_sessions.standard import override_in

if TYPE_CHECKING:
    from rustvmm_sessions.config import Settings
    from rustvmm_sessions.model import Profile, Scope


def test_coverage(crate_settings: Settings, profile: Profile, test_scope: Scope, *, no_cleanup: bool) -> None:
    """With the profile devel, coverage that got better is recorded."""
    override = override_in(crate_settings, "coverage")
    check_coverage(
        CoverageRequest(
            directory=crate_settings.directory,
            profile=profile,
            scope=test_scope,
            tolerance=crate_settings.coverage_tolerance,
            html=Path() if no_cleanup else None,
            env={**crate_settings.env, **override.env},
        )
    )
