"""Line coverage is what the crate records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions import noxfile

if TYPE_CHECKING:
    from rustvmm_sessions.coverage.measurement import Profile
    from rustvmm_sessions.settings import Settings


def test_coverage(crate_settings: Settings, profile: Profile, *, no_cleanup: bool) -> None:
    """With the profile devel, coverage that got better is recorded."""
    html = ["--html"] if no_cleanup else []
    noxfile.run("coverage", [f"--profile={profile}", *html], crate_settings)
