"""JUnit files, read back by Python's own XML parser."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.results import Case, Finding, Report, Result
from rustvmm_sessions.views.junit import xml

if TYPE_CHECKING:
    from rustvmm_sessions.results import CaseResult


def read(result: Result) -> ET.Element:
    return ET.fromstring(xml(result))  # noqa: S314 - our own


def case(name: str, result: CaseResult, **more: object) -> Case:
    return Case(name=name, suite="a (src/lib.rs)", result=result, **more)  # type: ignore[arg-type]


def test_tests_have_names_times_outputs_and_their_features() -> None:
    report = Report()
    report.ran(case("m::fine", "passed", seconds=0.25, features="a with feature x", output="loud"))
    report.ran(case("m::bad", "failed", features="a with feature x", output="why\n<&\"'>]]>"))
    report.ran(case("m::bad", "passed", features="a with all features"))
    report.ran(case("m::slow", "ignored", features="a with all features"))
    report.ran(case("m::old", "cached", features="a with all features"))
    report.found(Finding(kind="test", title="test m::bad failed in a (src/lib.rs)"))
    root = read(report.result(session="unit-tests", result="failed", seconds=2.5))
    assert (root.tag, root.get("name"), root.get("time")) == ("testsuites", "unit-tests", "2.5")
    assert {key: root.get(key) for key in ("tests", "failures", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "skipped": "2",
    }
    first, second = root.findall("testsuite")
    assert [suite.find("properties/property").attrib for suite in (first, second)] == [  # type: ignore[union-attr]
        {"name": "features", "value": "a with feature x"},
        {"name": "features", "value": "a with all features"},
    ]
    fine, bad = first.findall("testcase")
    assert (fine.get("name"), fine.get("classname"), fine.get("time")) == (
        "m::fine",
        "a (src/lib.rs)",
        "0.25",
    )
    assert fine.find("system-out") is None
    assert bad.findtext("failure") == bad.findtext("system-out") == "why\n<&\"'>]]>"
    skipped = [each.find("skipped").get("message") for each in second.findall("testcase")[1:]]  # type: ignore[union-attr]
    assert skipped == ["ignored", "cached"]


def test_errors_that_are_no_tests_are_tests_that_failed() -> None:
    report = Report()
    report.found(Finding(kind="lint", title="unused", file="src/lib.rs", line=3, message="help"))
    report.found(Finding(kind="coverage", title="not covered", level="notice"))
    root = read(report.result(session="clippy", result="failed", seconds=1))
    (found,) = root.iter("testcase")
    assert found.get("name") == "src/lib.rs:3: unused"
    failure = found.find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message"), failure.text) == (
        "lint",
        "unused",
        "src/lib.rs:3: help",
    )


@pytest.mark.parametrize(("result", "tag"), [("passed", None), ("failed", "failure"), ("skipped", "skipped")])
def test_a_session_without_tests_is_one(result: str, tag: str | None) -> None:
    root = read(Result(session="own: a/b", result=result, seconds=1, message="why\nmore", output="end"))  # type: ignore[arg-type]
    (whole,) = root.iter("testcase")
    assert whole.get("name") == "own: a/b"
    assert [child.tag for child in whole if child.tag != "system-out"] == ([tag] if tag else [])
    if tag:
        assert whole[0].get("message", "").startswith("why")


def test_a_session_that_failed_shows_as_failed_although_all_its_tests_passed() -> None:
    report = Report()
    report.ran(case("fine", "passed"))
    root = read(report.result(session="coverage", result="failed", seconds=1, message="interrupted"))
    assert root.get("failures") == "1"


@pytest.mark.parametrize(
    "text", ["\0", "\x1b[31m", "\ud800", "\ufffe", "\x0b", "ü\U0001f600", "]]>", "\u2028"]
)
def test_any_text_makes_valid_xml(text: str) -> None:
    report = Report()
    report.ran(case(f"n{text}", "failed", output=f"o{text}", features=f"f{text}"))
    report.found(Finding(kind="commit", title=f"t{text}", message=f"m{text}"))
    root = read(report.result(session=f"s{text}", result="failed", seconds=1, message=text, output=text))
    assert root.get("failures") == "2"
