"""The annotations of a result on GitHub."""

from __future__ import annotations

from rustvmm_sessions.results import Finding, Result
from rustvmm_sessions.views.annotations import MOST, annotated

LINT = Finding(kind="lint", title="unused variable", message="all of it", file="src/a.rs", line=3, end_line=5)


def result(*findings: Finding, how: str = "failed", message: str = "") -> Result:
    ended = {"failed": "failed", "passed": "passed"}[how]
    return Result(session="clippy", result=ended, seconds=1, findings=findings, message=message)  # type: ignore[arg-type]


def test_a_finding_is_at_its_lines() -> None:
    (shown,) = annotated(result(LINT))
    assert (shown.name, shown.message) == ("error", "all of it")
    assert shown.properties == {"file": "src/a.rs", "line": "3", "endLine": "5", "title": "unused variable"}


def test_without_file_or_message_the_title_is_all() -> None:
    (shown,) = annotated(result(Finding(kind="coverage", title="lower", level="notice"), how="passed"))
    assert (shown.name, shown.message, shown.properties) == ("notice", "lower", {"title": "lower"})


def test_a_failure_without_an_error_says_why() -> None:
    warning = Finding(kind="lint", title="odd", level="warning")
    first, second = annotated(result(warning, message="the target is missing\nhelp: add it"))
    assert (first.name, first.message) == ("error", "the target is missing\nhelp: add it")
    assert first.properties == {"title": "clippy failed"}
    assert second.name == "warning"


def test_of_each_level_there_are_as_many_as_github_shows() -> None:
    many = [
        Finding(kind="test", title=f"{level} {number}", level=level)
        for number in range(20)
        for level in ("error", "warning", "notice")
    ]
    shown = list(annotated(result(*many)))
    assert len(shown) == 3 * MOST
    assert [each.message for each in shown if each.name == "notice"] == [f"notice {n}" for n in range(MOST)]


def test_a_message_without_end_is_cut() -> None:
    (shown,) = annotated(result(Finding(kind="test", title="t", message="x" * 100_000)))
    assert len(shown.message) < 5000
