"""Tests that ran several times: how often each failed."""

from __future__ import annotations

from rustvmm_sessions.gate.flaky import Repeated
from rustvmm_sessions.results import Case, CaseResult, Finding, Report
from rustvmm_sessions.rust.libtest import failure

PANIC = "thread 'tests::sometimes' panicked at src/lib.rs:7:5:\nrun {}\n"


def run(number: int, *, fails: bool) -> Report:
    report = Report()
    report.ran(Case(name="tests::always", suite="lib", result="passed"))
    output = PANIC.format(number)
    how: CaseResult = "failed" if fails else "passed"
    case = Case(name="tests::sometimes", suite="lib", result=how, output=output)
    report.ran(case)
    if fails:
        report.found(failure(case, str))
    return report


def test_a_test_that_fails_in_some_runs_is_one_finding_with_its_first_output() -> None:
    repeated, report = Repeated(), Report()
    for number in range(1, 5):
        repeated.add(run(number, fails=number % 2 == 0))
    assert repeated.failed
    assert repeated.table() == ["failed  test              of", "2 of 4  tests::sometimes  lib"]
    repeated.tell(report, str)
    (finding,) = report.findings
    assert finding.title == "test tests::sometimes failed in 2 of 4 runs (lib)"
    assert "run 2" in finding.message
    assert (finding.file, finding.line) == ("src/lib.rs", 7)
    assert [(case.name, case.result) for case in report.cases] == [
        ("tests::always", "passed"),
        ("tests::sometimes", "failed"),
    ]


def test_runs_without_a_failure_say_so() -> None:
    repeated, report = Repeated(), Report()
    repeated.add(run(1, fails=False))
    repeated.tell(report, str)
    assert not repeated.failed
    assert repeated.table() == ["No test failed in 1 run."]
    assert report.findings == ()


def test_what_is_no_failure_of_a_test_is_reported_of_the_last_run() -> None:
    repeated, report = Repeated(), Report()
    last = run(1, fails=True)
    last.found(Finding(kind="test", title="lib ended with signal: 6, SIGABRT"))
    repeated.add(last)
    repeated.tell(report, str)
    assert [finding.title for finding in report.findings] == [
        "test tests::sometimes failed in 1 of 1 run (lib)",
        "lib ended with signal: 6, SIGABRT",
    ]
