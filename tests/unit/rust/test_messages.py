"""What the compiler, rustdoc and nextest say, and the findings that it comes to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions.results import Report
from rustvmm_sessions.rust import nextest
from rustvmm_sessions.rust.messages import Lines, finding, findings_said

if TYPE_CHECKING:
    from rustvmm_sessions.results import Kind

REPORT = Report(Path("/top/member"), Path("/top"))


def span(file: str = "src/lib.rs", first: int = 3, last: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "file_name": file,
        "line_start": first,
        "line_end": last,
        "is_primary": True,
        "expansion": None,
        **more,
    }


def told(message: str, code: str = "", *spans: dict[str, Any]) -> dict[str, Any]:
    return {
        "message": message,
        "code": {"code": code} if code else None,
        "spans": spans,
        "children": [],
        "rendered": f"\x1b[31merror\x1b[0m: {message}\n\n",
    }


@pytest.mark.parametrize(
    ("code", "kind", "title"),
    [
        ("E0308", "compile", "mismatched types (E0308)"),
        ("", "compile", "mismatched types"),
        ("unused_variables", "lint", "mismatched types (unused_variables)"),
        ("clippy::ptr_arg", "lint", "mismatched types (clippy::ptr_arg)"),
        ("rustdoc::broken_intra_doc_links", "doc", "mismatched types (rustdoc::broken_intra_doc_links)"),
    ],
)
def test_the_code_says_what_kind_it_is(code: str, kind: Kind, title: str) -> None:
    found = finding(told("mismatched types\nmore", code, span()), REPORT.file)
    assert found is not None
    assert (found.kind, found.title, found.level) == (kind, title, "error")
    assert found.message == "error: mismatched types\nmore"
    assert (found.file, found.line, found.end_line) == ("member/src/lib.rs", 3, None)


@pytest.mark.parametrize(
    ("spans", "place"),
    [
        ([span("../other/lib.rs", 3, 9)], ("other/lib.rs", 3, 9)),
        ([span("/rustc/abc/library/core.rs")], (None, None, None)),
        ([], (None, None, None)),
        ([span("a.rs", is_primary=False), span("b.rs", 7, 7)], ("member/b.rs", 7, None)),
        (
            [
                span(
                    "<::std::macros::panic>",
                    expansion={"span": span("<x>", expansion={"span": span("c.rs")})},
                )
            ],
            ("member/c.rs", 3, None),
        ),
    ],
)
def test_its_place_is_that_of_the_source(spans: list[dict[str, Any]], place: tuple[object, ...]) -> None:
    found = finding(told("why", "E0001", *spans), REPORT.file)
    assert found is not None
    assert (found.file, found.line, found.end_line) == place


def test_what_only_sums_up_is_none() -> None:
    assert finding(told("aborting due to 2 previous errors; 1 warning emitted"), REPORT.file) is None
    assert finding(told("linking with `cc` failed: exit status: 1"), REPORT.file) is not None


def test_errors_are_read_as_people_read_them() -> None:
    text = (
        "\x1b[1mwarning\x1b[0m: unused\n --> src/lib.rs:1:1\n\n"
        "\x1b[1m\x1b[91merror[E0423]\x1b[0m\x1b[1m: expected value\x1b[0m\n"
        "   \x1b[94m--> \x1b[0msrc/a b.rs:290:18\n    |\n290 | todo\n\n"
        "error: could not compile `a` (lib) due to 1 previous error\n"
    )
    (found,) = findings_said(text, REPORT.file)
    assert (found.kind, found.title) == ("compile", "expected value (E0423)")
    assert (found.file, found.line) == ("member/src/a b.rs", 290)
    assert found.message.endswith("290 | todo")


@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_stream_is_cut_into_its_lines(step: int) -> None:
    lines: list[bytes] = []
    cut = Lines(lines.append)
    data = b"one\n\ntwo\r\nthree"
    for start in range(0, len(data), step):
        cut.feed(data[start : start + step])
    cut.finish()
    cut.finish()
    assert lines == [b"one", b"", b"two\r", b"three"]


NEXTEST = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" skipped="0" failures="2" errors="0" time="0.137">
  <testsuite name="a" tests="2" skipped="0" errors="0" failures="1">
    <testcase name="tests::fine" classname="a" time="0.005"/>
    <testcase name="tests::flaky" classname="a" time="0.005">
      <flakyFailure timestamp="2026-11-28T14:53:17.687+00:00" time="0.011" type="test failure"/>
    </testcase>
    <testcase name="tests::bad" classname="a" time="0.011">
      <failure message="thread" type="test failure with exit code 101">thread</failure>
      <system-out>
running 1 test
own output
test tests::bad ... FAILED

failures:

failures:
    tests::bad

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 12 filtered out; finished in 0.00s
</system-out>
      <system-err>
thread &apos;tests::bad&apos; (14013) panicked at src/lib.rs:40:25:
index out of bounds
</system-err>
    </testcase>
  </testsuite>
  <testsuite name="a::abort" tests="1" skipped="0" errors="0" failures="1">
    <testcase name="aborts" classname="a::abort" time="0.060">
      <failure type="test abort with signal 6"/>
      <system-out>running 1 test
about to abort
</system-out>
    </testcase>
  </testsuite>
</testsuites>
"""


def test_nextest_s_tests_have_times_and_their_own_output(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    file.write_text(NEXTEST)
    report = Report(Path("/crate"))
    nextest.tell(report, file, report.file, "with all features")
    result = report.result(session="unit-tests", result="failed", seconds=1)
    assert result.tests == {"passed": 2, "failed": 2, "ignored": 0, "cached": 0, "quarantined": 0}
    bad = next(case for case in result.cases if case.name == "tests::bad")
    assert (bad.suite, bad.seconds, bad.features) == ("a", 0.011, "with all features")
    assert bad.output == (
        "own output\nthread 'tests::bad' (14013) panicked at src/lib.rs:40:25:\nindex out of bounds"
    )
    assert [(f.title, f.file, f.line) for f in result.findings] == [
        ("test tests::bad failed in a", "src/lib.rs", 40),
        ("test aborts failed in a::abort", None, None),
    ]


def test_where_nextest_wrote_nothing_nothing_is_reported(tmp_path: Path) -> None:
    report = Report()
    nextest.tell(report, tmp_path / "none.xml", report.file, "")
    assert report.result(session="unit-tests", result="failed", seconds=1).tests is None
