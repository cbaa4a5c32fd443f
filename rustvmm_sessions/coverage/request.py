"""What a coverage run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rustvmm_sessions.coverage.measurement import (
    Backend,
    Profile,
    Scope,
)
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.results import Report
from rustvmm_sessions.rust.quarantine import Quarantine

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from rustvmm_sessions.rust.cargo import Cargo


@dataclass(frozen=True, kw_only=True)
class CoverageRequest:
    """What a coverage run is asked to do.

    Attributes:
        cargo: Cargo in the crate's directory, where tests/coverage and the configuration lie.
        profile: Whether a better value is recorded.
        scope: Whether all members of the workspace are measured.
        backend: What counts the lines.
        feature_sets: The features of each build that counts, beside the default ones; empty for one build
            of those that the configuration names.
        default_features: Whether the crate's default features are on.
        tolerance: Points by which a measurement may differ from tests/coverage; None for 0, and
            for rust-vmm-ci's tolerance where ``coverage_score`` is the baseline.
        allow_lower: Whether `Profile.DEVEL` records a lower value as well.
        repeat: How often the tests are run to find lines that are not always reached.
        reruns: How often they are run again at most where measured and recorded differ.
        html: Folder for HTML pages; ``Path()`` for one in the target directory.
        open: Whether the first of them is opened in a browser.
        lcov: File for an LCOV tracefile.
        cobertura: File for a Cobertura report.
        json: File for the outcome as JSON.
        badge: File for a badge.
        diff: Reference whose merge base with HEAD the changed lines are taken against; empty for
            the upstream branch.
        look: Whether changed lines are looked at without `diff`, too, where upstream is known.
        patch: The percentage of changed lines that must be covered.
        screen: Columns and rows of the terminal, where a person looks.
        deadline: When the session's time is up.
        package: The member's name, where it is judged by itself.
        together: Whether it is one of several; reports and the changed lines are then of all together.
        folder: The member's folder, from that of the noxfile.
        report: What it finds goes there.
        quarantine: The tests that may fail.
    """

    cargo: Cargo
    profile: Profile = Profile.CI
    scope: Scope = Scope.WORKSPACE
    backend: Backend = Backend.AUTO
    feature_sets: tuple[tuple[str, ...], ...] = ()
    default_features: bool = True
    tolerance: Fraction | None = None
    allow_lower: bool = False
    repeat: int = 1
    reruns: int = 3
    html: Path | None = None
    open: bool = False
    lcov: Path | None = None
    cobertura: Path | None = None
    json: Path | None = None
    badge: Path | None = None
    diff: str | None = None
    look: bool = False
    patch: Fraction | None = None
    screen: tuple[int, int] | None = None
    deadline: Deadline = field(default_factory=Deadline)
    package: str = ""
    together: bool = False
    folder: str = ""
    report: Report = field(default_factory=Report)
    quarantine: Quarantine = field(default_factory=Quarantine)

    @property
    def directory(self) -> Path:
        """The crate's directory."""
        return self.cargo.directory
