"""Tests that may fail: which failures are excused, until when, and beside what they are not."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest

from rustvmm_sessions.results import Case, Finding, Report
from rustvmm_sessions.rust.libtest import Suite, failure
from rustvmm_sessions.rust.quarantine import Quarantine, is_complete
from rustvmm_sessions.settings import Excused

LAST_DAY = dt.date(2027, 6, 30)
RACES = Excused(name="tests::races", reason="#12", until=LAST_DAY)


def heard(*failed: str, findings: tuple[Finding, ...] = ()) -> Report:
    report = Report()
    for name in failed:
        case = Case(name=name, suite="lib", result="failed", output="it broke")
        report.ran(case)
        report.found(failure(case, str))
    report.ran(Case(name="tests::fine", suite="lib", result="passed"))
    for finding in findings:
        report.found(finding)
    return report


def test_a_quarantined_failure_is_excused_and_said_with_its_reason() -> None:
    report = Report()
    excused = Quarantine(tests=(RACES,), today=LAST_DAY).settle(heard("tests::races"), report)
    assert excused == ("quarantined until 2027-06-30: test tests::races failed in lib (#12)",)
    assert [(case.name, case.result) for case in report.cases] == [
        ("tests::races", "quarantined"),
        ("tests::fine", "passed"),
    ]
    (finding,) = report.findings
    assert (finding.level, finding.message) == ("notice", "it broke")


@pytest.mark.parametrize(
    "run",
    [
        heard("tests::races", "tests::other"),
        heard("tests::races", findings=(Finding(kind="test", title="lib ended with signal: 6, SIGABRT"),)),
        heard("tests::races", findings=(Finding(kind="compile", title="unused variable"),)),
        heard("tests::races_too"),
        heard("races"),
    ],
)
def test_no_other_failure_is_excused_beside_it(run: Report) -> None:
    report = Report()
    assert Quarantine(tests=(RACES,), today=LAST_DAY).settle(run, report) == ()
    assert any(finding.level == "error" for finding in report.findings)


def test_failures_that_have_no_name_are_not_excused() -> None:
    run = heard("tests::races")
    run.unnamed(Counter({"failed": 1}))
    assert Quarantine(tests=(RACES,), today=LAST_DAY).settle(run, Report()) == ()


def test_after_its_day_it_fails_again_and_the_reason_is_said() -> None:
    report = Report()
    late = Quarantine(tests=(RACES,), today=LAST_DAY + dt.timedelta(days=1))
    assert late.settle(heard("tests::races"), report) == ()
    assert report.findings[0].level == "error"
    assert late.released == ("tests::races is no longer quarantined since 2027-06-30 (#12)",)
    assert Quarantine(tests=(RACES,), today=LAST_DAY).released == ()


def suite(*failed: str, rerun: str = "--lib", ending: str = "", total: int | None = None) -> Suite:
    return Suite(
        name="lib",
        results=dict.fromkeys(failed, ("failed", None)),
        totals=Counter({"failed": len(failed) if total is None else total}),
        outputs={},
        rerun=rerun,
        ending=ending,
    )


ONE_TARGET = "error: test failed, to rerun pass `--lib`\n\x1b[1merror\x1b[0m: 1 target failed:\n    `--lib`\n"


@pytest.mark.parametrize(
    ("suites", "said", "complete"),
    [
        ([suite("a")], ONE_TARGET, True),
        ([suite("a"), suite(rerun="")], ONE_TARGET, True),
        ([suite("a")], "error: could not compile `sample`\n", False),
        ([suite("a")], ONE_TARGET.replace("1 target", "2 targets"), False),
        ([suite("a", ending="signal: 6, SIGABRT")], ONE_TARGET, False),
        ([suite("a", total=2)], ONE_TARGET, False),
        ([suite()], ONE_TARGET, False),
    ],
)
def test_a_run_is_complete_where_only_named_tests_failed(
    suites: list[Suite], said: str, *, complete: bool
) -> None:
    assert is_complete(suites, said) is complete
