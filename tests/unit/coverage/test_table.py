"""The table of files that a person gets: short, and changed lines first."""

from __future__ import annotations

import pytest

from rustvmm_sessions.coverage.measurement import ChangedLines, FileCoverage, Lines, Ranges
from rustvmm_sessions.coverage.table import table
from rustvmm_sessions.wording import width

SCREEN = (100, 40)


def file(path: str, covered: int, count: int, *uncovered: tuple[int, int]) -> FileCoverage:
    return FileCoverage(path=path, lines=Lines(covered=covered, count=count), uncovered=uncovered)


def changed(touched: dict[str, Ranges]) -> ChangedLines:
    return ChangedLines(base="b", name="main", top="/", files=(), unknown=(), touched=touched)


def test_changed_lines_come_first_and_then_the_most_uncovered() -> None:
    files = [
        file("a.rs", 9, 10, (4, 4)),
        file("b.rs", 5, 10, (1, 5)),
        file("c.rs", 8, 10, (2, 2), (7, 7)),
        file("d.rs", 3, 3),
        file("e.rs", 1, 2),
    ]
    assert table(files, changed({"c.rs": ((3, 9),), "d.rs": ((1, 1),)}), SCREEN) == [
        "",
        "file  covered           not covered (+ changed)",
        "c.rs     8/10  80.00 %  +7, 2",
        "b.rs     5/10  50.00 %  1-5",
        "a.rs     9/10  90.00 %  4",
        "e.rs      1/2  50.00 %  in closures and functions on lines reached otherwise",
        "and 1 file covered in full",
        "",
    ]


def test_where_all_is_covered_there_is_no_table() -> None:
    assert table([file("a.rs", 3, 3)], None, SCREEN) == []


@pytest.mark.parametrize("screen", [(40, 10), (80, 24), (200, 60)])
def test_it_fits_the_screen_and_says_what_it_leaves_out(screen: tuple[int, int]) -> None:
    files = [
        file(f"src/{'größe' * 12}/f{n:03}.rs", 0, 99, *((line, line) for line in range(1, 99, 2)))
        for n in range(80)
    ]
    lines = table(files, None, screen)
    assert all(width(line) <= screen[0] for line in lines)
    assert len(lines) <= max(screen[1] // 2, 9)
    shown = len(lines) - 4
    assert lines[-2] == f"and {80 - shown} more files not fully covered"
