"""The lines changed since the merge base: read from a diff, and counted against what was measured."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions.coverage import changed, explain
from rustvmm_sessions.coverage.measurement import (
    Backend,
    ChangedLines,
    FileCoverage,
    Lines,
    Measurement,
    Ranges,
)
from rustvmm_sessions.coverage.request import CoverageRequest
from rustvmm_sessions.git.upstream import Base
from rustvmm_sessions.rust.cargo import Cargo

if TYPE_CHECKING:
    from pathlib import Path

SINCE = "since cccccccccccc (merge base with origin/main)"
BASE = Base(name="origin/main", tip="e" * 40, commit="c" * 40)


@pytest.mark.parametrize(
    ("diff", "found"),
    [
        ("", {}),
        ("--- a/x.rs\n+++ b/x.rs\n@@ -3 +4,2 @@ f() {\n-a\n+b\n+c\n@@ -9,0 +8 @@\n+d\n", {"x.rs": {4, 5, 8}}),
        ("--- a/x.rs\n+++ b/x.rs\n@@ -3,2 +2,0 @@\n-a\n-b\n", {"x.rs": set()}),
        ("--- a/x.rs\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", {}),
        ("--- /dev/null\n+++ b/a b.rs\t\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n", {"a b.rs": {1}}),
        # Lines that look like headers: of a file with a diff in it.
        (
            "+++ b/x.rs\n@@ -1,0 +2,2 @@\n+++ b/y.rs\n+@@ -1 +70 @@\n+++ b/z.rs\n@@ -1 +1 @@\n",
            {"x.rs": {2, 3}, "z.rs": {1}},
        ),
    ],
    ids=["nothing", "two hunks", "lines taken away", "a file deleted", "a new file", "a diff in a diff"],
)
def test_the_lines_that_a_diff_adds(diff: str, found: dict[str, set[int]]) -> None:
    assert changed.changed_lines(diff) == found


def request(directory: Path, patch: int | None = None, **more: Any) -> CoverageRequest:
    required = None if patch is None else Fraction(patch)
    return CoverageRequest(cargo=Cargo(directory=directory), patch=required, **{"diff": "", **more})


def measured(path: str, reached: Ranges, uncovered: Ranges) -> Measurement:
    lines = Lines(covered=90, count=99)
    file = FileCoverage(path=path, lines=lines, reached=reached, uncovered=uncovered)
    return Measurement(arch="x86_64", toolchain="1.95.0", backend=Backend.CARGO, lines=lines, files=(file,))


def of(tmp_path: Path, changes: dict[str, set[int]], *measurements: Measurement) -> ChangedLines:
    lines = {name: frozenset(numbers) for name, numbers in changes.items()}
    found = changed.Changes(base=BASE, top=tmp_path, lines=lines)
    return changed.coverage_of(found, measurements, [tmp_path / "crate"])


def test_only_changed_lines_that_can_be_covered_count(tmp_path: Path) -> None:
    changes = {"crate/src/a.rs": {1, 2, 5, 9}, "crate/src/new.rs": {1}, "README.md": {1}, "other/b.rs": {1}}
    lines = of(tmp_path, changes, measured("src/a.rs", ((2, 3),), ((5, 6),)))
    assert lines.lines == Lines(covered=1, count=2)
    (file,) = lines.files
    assert (file.path, file.reached, file.uncovered) == ("crate/src/a.rs", ((2, 2),), ((5, 5),))
    assert lines.unknown == ("crate/src/new.rs",)
    assert lines.touched == {"src/a.rs": ((1, 2), (5, 5), (9, 9))}


def test_a_line_that_the_tests_of_one_member_reach_is_covered(tmp_path: Path) -> None:
    both = [measured("src/a.rs", ((1, 1),), ((2, 3),)), measured("src/a.rs", ((2, 2),), ((1, 1), (3, 3)))]
    (file,) = of(tmp_path, {"crate/src/a.rs": {1, 2, 3}}, *both).files
    assert (file.lines, file.uncovered) == (Lines(covered=2, count=3), ((3, 3),))


@pytest.mark.parametrize(("required", "short"), [(None, False), (50, False), (Fraction(5001, 100), True)])
def test_short_is_less_than_required_and_not_as_much(
    tmp_path: Path, required: Fraction | None, short: bool
) -> None:
    lines = of(tmp_path, {"crate/a.rs": {1, 2}}, measured("a.rs", ((1, 1),), ((2, 2),)))
    assert bool(explain.short(lines, required)) is short


def test_where_no_line_can_be_covered_none_is_missing(tmp_path: Path) -> None:
    lines = of(tmp_path, {"crate/a.rs": {7}}, measured("a.rs", ((1, 1),), ()))
    assert explain.short(lines, Fraction(100)) == ""
    said = explain.changed(request(tmp_path / "crate", 100), lines)
    assert explain.changed(request(tmp_path / "crate", diff=None), lines) == []
    assert said == [f"No line that can be covered was changed {SINCE}."]


def test_paths_are_shown_from_the_crate_where_they_lie_in_it(tmp_path: Path) -> None:
    lines = of(tmp_path, {"crate/a.rs": {2, 3}, "crate/b.rs": {1}}, measured("a.rs", (), ((2, 3),)))
    crate = tmp_path / "crate"
    assert explain.changed(request(crate), lines)[1:] == [
        "  a.rs:2-3",
        f"Changed {SINCE}, and not in the report, as tests and what is left out are not: b.rs",
    ]
    assert "; 80 % required." in explain.changed(request(crate, 80), lines)[0]
    assert "  crate/a.rs:2-3" in explain.changed(request(crate / "src"), lines)
    assert len(explain.changed(request(crate, screen=(80, 24)), lines)) == 2
