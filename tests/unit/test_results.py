"""The model of what a session found, and its JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from rustvmm_sessions.results import MOST_BYTES, Case, Finding, Report, clipped, file_name, from_json

LINT = Finding(kind="lint", title="clippy::ptr_arg", file="src/lib.rs", line=3, message="use a slice")


def test_a_finding_of_several_combinations_counts_once_with_what_was_said_first() -> None:
    report = Report()
    for message in ("first", "second"):
        report.found(Finding(kind="lint", title="unused", file="src/lib.rs", line=3, message=message))
    report.found(LINT)
    assert [finding.message for finding in report.findings] == ["first", "use a slice"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("src/lib.rs", "member/src/lib.rs"),
        ("../other/src/lib.rs", "other/src/lib.rs"),
        ("/top/member/./src/a b.rs", "member/src/a b.rs"),
        ("../../etc/passwd", None),
        ("/rustc/abc/library/core/src/lib.rs", None),
        ("/topmost/lib.rs", None),
    ],
)
def test_files_are_named_from_the_top_of_the_repository(path: str, named: str | None) -> None:
    assert Report(Path("/top/member"), Path("/top")).file(path) == named


def test_tests_are_counted_by_result_and_only_the_output_of_those_that_did_not_pass_is_kept() -> None:
    report = Report()
    report.ran(Case(name="a", suite="s", result="passed", output="loud"))
    report.ran(Case(name="b", suite="s", result="failed", output="why"))
    report.ran(Case(name="b", suite="s", result="failed", features="x"))
    result = report.result(session="unit-tests", result="failed", seconds=1)
    assert result.tests == {"passed": 1, "failed": 2, "ignored": 0, "cached": 0, "quarantined": 0}
    assert [case.output for case in result.cases] == ["", "why", ""]
    assert Report().result(session="fmt", result="passed", seconds=1).tests is None


def test_the_json_has_the_fields_of_its_schema_and_can_be_read_again() -> None:
    report = Report()
    report.found(LINT)
    report.figures["line coverage"] = "96.06 %"
    result = report.result(session="s", result="failed", seconds=1.23456, fix="f", repeat="nox -s s")
    data = json.loads(json.dumps(result.as_json()))
    assert data == {
        "schema": 1,
        "session": "s",
        "result": "failed",
        "seconds": 1.235,
        "message": "",
        "fix": "f",
        "repeat": "nox -s s",
        "findings": [asdict(LINT)],
        "tests": None,
    }
    assert from_json(data).as_json() == result.as_json()
    assert from_json({**data, "output": "end"}).output == "end"


def test_of_endless_text_the_beginning_and_the_end_are_kept_at_whole_lines() -> None:
    text = "".join(f"line {n}\n" for n in range(MOST_BYTES))
    short = clipped(text)
    assert len(short) <= MOST_BYTES
    assert short.startswith("line 0\nline 1\n")
    assert short.endswith(f"line {MOST_BYTES - 1}\n")
    (mark,) = [line for line in short.splitlines() if not line.startswith("line ")]
    left_out = int(mark.split()[1])
    assert left_out == len(text) - len(short) + len(mark) + 1
    assert clipped("x" * MOST_BYTES) == "x" * MOST_BYTES
    assert len(clipped("x" * (2 * MOST_BYTES))) <= MOST_BYTES


@pytest.mark.parametrize(
    "name", ["vm-memory: build/x", "../etc/passwd", "-rf", ".", "a\0b", "ä" * 200, "/", "x" * 300]
)
def test_every_session_has_a_file_name_of_its_own(name: str) -> None:
    file = file_name(name)
    assert file.isascii()
    assert 0 < len(file.encode()) <= 120
    assert not file.startswith(("-", "."))
    assert "/" not in file
    assert "\0" not in file
    assert file != file_name(name + " ")


def test_a_plain_name_is_its_own_file_name() -> None:
    assert file_name("unit-tests-musl") == "unit-tests-musl"
