"""What is read from ``llvm-cov export``: counts from the summaries, lines by LLVM's rule.

The rule is that of LineCoverageStats in LLVM's CoverageMapping.cpp. A segment is
``[line, column, count, has_count, is_region_entry, is_gap_region]``.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import pytest

from rustvmm_sessions.coverage import llvm_export
from rustvmm_sessions.coverage.llvm_export import reached_lines
from rustvmm_sessions.coverage.measurement import FileCoverage, Lines
from rustvmm_sessions.errors import UserError

ROOT = PurePosixPath("/work/crate")

Segment = list[Any]


def region(line: int, count: int, column: int = 1) -> Segment:
    """Return the start of a region that ran `count` times."""
    return [line, column, count, True, True, False]


def back(line: int, count: int, column: int = 9) -> Segment:
    """Return the end of an inner region: the outer one, which ran `count` times, goes on."""
    return [line, column, count, True, False, False]


def end(line: int, column: int = 9) -> Segment:
    """Return the end of the outermost region."""
    return [line, column, 0, False, False, False]


def gap(line: int, count: int, column: int = 5) -> Segment:
    """Return the start of a gap region, the space between two statements."""
    return [line, column, count, True, True, True]


def skipped(line: int, column: int = 1) -> Segment:
    """Return the start of a region that the compiler left out."""
    return [line, column, 0, False, True, False]


@pytest.mark.parametrize(
    ("segments", "lines"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param([region(3, 1), end(5)], {3: True, 4: True, 5: True}, id="a function that ran"),
        pytest.param([region(3, 0), end(5)], {3: False, 4: False, 5: False}, id="a function that did not"),
        pytest.param([region(3, 7), end(3)], {3: True}, id="one line"),
        pytest.param(
            [region(1, 1), end(2), region(5, 0), end(6)],
            {1: True, 2: True, 5: False, 6: False},
            id="between two functions no line counts",
        ),
        pytest.param(
            [region(1, 1), region(2, 0, 5), back(4, 1), end(5)],
            {1: True, 2: True, 3: False, 4: False, 5: True},
            id="a branch that was not taken: its first line is the outer region's too",
        ),
        pytest.param(
            [region(1, 1), region(2, 0, 12), back(2, 1, 20), end(3)],
            {1: True, 2: True, 3: True},
            id="a branch within one line does not make the line uncovered",
        ),
        pytest.param(
            [region(1, 0), region(2, 3, 12), back(2, 0, 20), end(3)],
            {1: False, 2: True, 3: False},
            id="the highest count of a line's regions is the line's",
        ),
        pytest.param(
            [region(1, 0), end(1, 10), region(1, 2, 12), end(1, 20)],
            {1: True},
            id="two functions on one line, the second ran",
        ),
        pytest.param(
            [region(1, 2), end(1, 10), region(1, 0, 12), end(1, 20)],
            {1: True},
            id="two functions on one line, the first ran",
        ),
        pytest.param(
            [region(1, 1), back(1, 0, 5), end(4)],
            {1: True, 2: False, 3: False, 4: False},
            id="the last segment of a line wraps to the next ones",
        ),
        pytest.param(
            [region(1, 0), gap(2, 5), end(3)],
            {1: False, 2: False, 3: True},
            id="a gap's count is not its line's, but wraps to the next ones",
        ),
        pytest.param([gap(2, 5), end(2)], {2: False}, id="a gap alone makes a line count"),
        pytest.param(
            [region(1, 1), skipped(2), end(4, 1), region(5, 1), end(6)],
            {1: True, 5: True, 6: True},
            id="a skipped region's lines do not count",
        ),
        pytest.param(
            [region(1, 1), skipped(2), back(4, 1, 1), end(5)],
            {1: True, 5: True},
            id="the line that a skipped region ends on does not count either",
        ),
        pytest.param(
            [region(1, 0), skipped(2), region(2, 4, 8), end(3)],
            {1: False, 2: True, 3: True},
            id="a region that starts behind a skipped one counts",
        ),
        pytest.param(
            [region(1, 1), end(1), region(2, 0)[:5], end(3)[:5]],
            {1: True, 2: False, 3: False},
            id="segments of old exports do not say whether they are gaps",
        ),
    ],
)
def test_a_line_is_reached_by_llvms_rule(segments: list[Segment], lines: dict[int, bool]) -> None:
    assert reached_lines(segments) == lines


def file_entry(name: str, covered: int, count: int, segments: list[Segment] | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filename": name,
        "summary": {"lines": {"count": count, "covered": covered, "percent": 12.5}},
    }
    return entry if segments is None else {**entry, "segments": segments}


def export(*files: dict[str, Any], covered: int = 5, count: int = 9) -> str:
    """Return what llvm-cov prints."""
    totals = {"lines": {"count": count, "covered": covered, "percent": 55.5}, "functions": {"count": 2}}
    return json.dumps(
        {
            "data": [{"files": list(files), "totals": totals}],
            "type": "llvm.coverage.json.export",
            "version": "3.1.0",
        }
    )


def test_totals_are_llvms_own() -> None:
    lines, files = llvm_export.parse(export(covered=949, count=984), ROOT)
    assert lines == Lines(covered=949, count=984)
    assert files == ()


def test_files_have_counts_and_ranges_of_uncovered_lines() -> None:
    segments = [region(1, 1), end(2), region(4, 0), end(6), region(8, 1), end(9), region(11, 0), end(11)]
    _, (file,) = llvm_export.parse(export(file_entry("/work/crate/src/lib.rs", 4, 8, segments)), ROOT)
    assert file == FileCoverage(
        path="src/lib.rs",
        lines=Lines(covered=4, count=8),
        uncovered=((4, 6), (11, 11)),
        reached=((1, 2), (8, 9)),
    )


def test_summaries_count_even_where_the_segments_say_less() -> None:
    # Two instances of a generic function count twice in the summary, once in the segments.
    _, (file,) = llvm_export.parse(export(file_entry("/work/crate/a.rs", 2, 4, [region(1, 1), end(2)])), ROOT)
    assert file.lines == Lines(covered=2, count=4)
    assert file.uncovered == ()


def test_files_are_in_the_order_of_their_paths() -> None:
    names = ["/work/crate/z.rs", "/work/crate/src/b.rs", "/opt/other/a.rs", "/work/crate/src/a.rs"]
    _, files = llvm_export.parse(export(*(file_entry(name, 1, 1) for name in names)), ROOT)
    assert [file.path for file in files] == ["/opt/other/a.rs", "src/a.rs", "src/b.rs", "z.rs"]


@pytest.mark.parametrize(
    ("filename", "path"),
    [
        ("/work/crate/src/lib.rs", "src/lib.rs"),
        ("/work/crate/members/a b/src/größe.rs", "members/a b/src/größe.rs"),
        ("/work/crate-two/src/lib.rs", "/work/crate-two/src/lib.rs"),
        ("/work/lib.rs", "/work/lib.rs"),
        ("src/lib.rs", "src/lib.rs"),
    ],
)
def test_paths_inside_the_root_are_relative_to_it(filename: str, path: str) -> None:
    assert llvm_export.relative(filename, ROOT) == path


def test_reached_names_every_line_of_every_file() -> None:
    text = export(
        file_entry("/work/crate/a.rs", 1, 2, [region(1, 1), end(1), region(3, 0), end(3)]),
        file_entry("/opt/b.rs", 1, 1, [region(1, 1), end(1)]),
        file_entry("/work/crate/no_segments.rs", 0, 0),
    )
    assert llvm_export.reached(text, ROOT) == {("a.rs", 1): True, ("a.rs", 3): False, ("/opt/b.rs", 1): True}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("error: no profile data", id="words"),
        pytest.param(export()[:-20], id="cut short"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param('{"data": []}', id="no data"),
        pytest.param('{"data": [{"files": []}]}', id="no totals"),
        pytest.param('{"data": [{"totals": {"lines": {"count": 1, "covered": 1}}}]}', id="no files"),
        pytest.param(export({"filename": "/a.rs"}), id="a file without a summary"),
        pytest.param(export({"summary": {"lines": {"count": 1, "covered": 1}}}), id="a file without a name"),
        pytest.param(export(file_entry("/a.rs", 1, 1, [[1, 2]])), id="a segment cut short"),
        pytest.param(export().replace('"covered": 5', '"covered": "many"'), id="words for numbers"),
    ],
)
def test_a_broken_export_is_one_message(text: str) -> None:
    with pytest.raises(UserError) as caught:
        llvm_export.parse(text, ROOT)
    assert "the output of llvm-cov is not understood" in str(caught.value)
    assert "help: check that its version is rustc's" in str(caught.value)
