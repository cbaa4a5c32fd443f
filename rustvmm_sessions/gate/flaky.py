"""Tests that ran several times: which failed, how often, and what the first failure said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rustvmm_sessions.rust.libtest import failure
from rustvmm_sessions.wording import columns, counted

if TYPE_CHECKING:
    from rustvmm_sessions.results import Case, Level, Report
    from rustvmm_sessions.rust.messages import Place


@dataclass(kw_only=True)
class Repeated:
    """What the runs of one command came to.

    Attributes:
        runs: How many there were.
        failures: How often each test failed, with the first failure.
        last: What the last run came to.
    """

    runs: int = 0
    failures: dict[tuple[str, str], tuple[int, Case]] = field(default_factory=dict)
    last: Report | None = None

    def add(self, heard: Report) -> None:
        """Add what a run came to."""
        self.runs += 1
        self.last = heard
        for case in heard.cases:
            if case.result in ("failed", "quarantined"):
                count, first = self.failures.get((case.suite, case.name), (0, case))
                self.failures[case.suite, case.name] = count + 1, first

    @property
    def failed(self) -> bool:
        """Whether a test failed that may not."""
        return any(first.result == "failed" for _, first in self.failures.values())

    def table(self) -> list[str]:
        """Return the lines of a table of what failed, the most frequent first."""
        ordered = sorted(self.failures.values(), key=lambda each: -each[0])
        rows = [(f"{count} of {self.runs}", first.name, first.suite) for count, first in ordered]
        if not rows:
            return [f"No test failed in {counted(self.runs, 'run')}."]
        return columns([("failed", "test", "of"), *rows])

    def tell(self, report: Report, place: Place) -> None:
        """Report each test once, and how often it failed; of the last run what is no test's failure."""
        if self.last is None:
            return
        for case in self.last.cases:
            report.ran(self.failures.get((case.suite, case.name), (0, case))[1])
        report.unnamed(self.last.nameless)
        for count, first in self.failures.values():
            share = f"{count} of {counted(self.runs, 'run')}"
            level: Level = "error" if first.result == "failed" else "notice"
            title = f"test {first.name} failed in {share} ({first.suite})"
            report.found(replace(failure(first, place), title=title, level=level))
        of_tests = tuple(case.title for case in self.last.cases)
        for finding in self.last.findings:
            if not finding.title.startswith(of_tests):
                report.found(finding)
