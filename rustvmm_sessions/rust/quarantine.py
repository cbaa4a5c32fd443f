"""Tests that may fail until a date: whether they are all that failed."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rustvmm_sessions.results import ESCAPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rustvmm_sessions.results import Report
    from rustvmm_sessions.rust.libtest import Suite
    from rustvmm_sessions.settings import Excused

_TARGETS = re.compile(r"^error: (\d+) targets? failed:", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """The tests that may fail.

    Attributes:
        tests: Each by its exact name, with the reason and the last day.
        today: The day of the run.
    """

    tests: tuple[Excused, ...] = ()
    today: dt.date = field(default_factory=dt.date.today)

    @property
    def held(self) -> dict[str, Excused]:
        """The tests whose last day has not passed."""
        return {test.name: test for test in self.tests if self.today <= test.until}

    @property
    def released(self) -> tuple[str, ...]:
        """Say of which tests the last day has passed."""
        return tuple(
            f"{test.name} is no longer quarantined since {test.until} ({test.reason})"
            for test in self.tests
            if self.today > test.until
        )

    def settle(self, heard: Report, report: Report) -> tuple[str, ...]:
        """Pass on what a run of tests came to; return which failures are excused if no other is there.

        Args:
            heard: What the run came to.
            report: Where it goes, with the excused failures as such.
        """
        held = self.held
        excused: dict[str, Excused] = {}
        for case in heard.cases:
            excuse = held.get(case.name) if case.result == "failed" else None
            if excuse:
                excused[case.title] = excuse
            report.ran(replace(case, result="quarantined") if excuse else case)
        denied = False
        for finding in heard.findings:
            excuse = excused.get(finding.title)
            if excuse:
                title = f"{finding.title}, as it may until {excuse.until}: {excuse.reason}"
                report.found(replace(finding, level="notice", title=title))
            else:
                report.found(finding)
                denied = denied or finding.level == "error"
        report.unnamed(heard.nameless)
        if denied or heard.nameless["failed"]:
            return ()
        return tuple(
            f"quarantined until {test.until}: {title} ({test.reason})" for title, test in excused.items()
        )


def is_complete(suites: Iterable[Suite], stderr: str) -> bool:
    """Whether ``cargo test --no-fail-fast`` failed for nothing but tests that are named."""
    failing = [suite for suite in suites if suite.rerun or suite.ending]
    said = _TARGETS.search(ESCAPES.sub("", stderr))
    return (
        said is not None
        and int(said[1]) == len(failing)
        and all(
            not suite.ending
            and suite.totals["failed"] == sum(how == "failed" for how, _ in suite.results.values()) > 0
            for suite in failing
        )
    )
