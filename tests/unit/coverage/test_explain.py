"""What a coverage run says: which way the counts moved, where, and what to do."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rustvmm_sessions.coverage import explain
from rustvmm_sessions.coverage.measurement import (
    Backend,
    Decision,
    FileCoverage,
    Lines,
    Measurement,
    Profile,
    Recorded,
    Verdict,
)
from rustvmm_sessions.coverage.ratchet import decide, parse

PATH = Path("/crate/tests/coverage")
RECORD = "tests/coverage"


def lines(text: str) -> Lines:
    """Return what ``470/507`` stands for."""
    covered, count = map(int, text.split("/"))
    return Lines(covered=covered, count=count)


def source(path: str, counts: str, *uncovered: tuple[int, int]) -> FileCoverage:
    return FileCoverage(path=path, lines=lines(counts), uncovered=uncovered)


def measurement(counts: str, *, rustc: str = "1.95.0") -> Measurement:
    return Measurement(
        arch="x86_64", toolchain=rustc, backend=Backend.CARGO_LLVM_COV, lines=lines(counts), files=()
    )


def recorded(text: str, *, tolerance: str = "0") -> Recorded:
    return parse(text, PATH).recorded(PATH, "x86_64", Fraction(tolerance))


def counted(counts: str, *, rustc: str = "1.95.0", tolerance: str = "0") -> Recorded:
    return recorded(f"50.0\nx86_64 {counts} rustc-{rustc}", tolerance=tolerance)


def said(now: str, record: Recorded | None, *, rustc: str = "1.95.0") -> list[str]:
    """Return what is said about the difference."""
    decision = decide(lines(now), record, Profile.CI)
    return explain.difference(decision, measurement(now, rustc=rustc), record)


# The figures


def test_a_measurement_is_counts_and_percent_and_how_they_came_about() -> None:
    assert explain.measured(measurement("949/984")) == (
        "measured: 949/984 lines, 96.44 %  (x86_64, rustc 1.95.0, by cargo-llvm-cov)"
    )


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (None, "recorded: nothing"),
        (
            counted("902/939", rustc="1.94.0"),
            "recorded: 902/939 lines, 96.06 %  (tests/coverage, rustc 1.94.0)",
        ),
        (
            counted("902/939", tolerance="0.25"),
            "recorded: 902/939 lines, 96.06 %  (tests/coverage, rustc 1.95.0, tolerance 0.25 points)",
        ),
        (recorded("80"), "recorded: 80 %  (tests/coverage)"),
        (recorded("80.10"), "recorded: 80.10 %  (tests/coverage)"),
        (recorded("0.00000000"), "recorded: 0.00000000 %  (tests/coverage)"),
        (recorded("80.1", tolerance="1"), "recorded: 80.1 %  (tests/coverage, tolerance 1 point)"),
        (
            Recorded(path=PATH, percent=Fraction("92.7"), decimals=None, tolerance=Fraction(1, 2)),
            "recorded: 92.70 %  (tests/coverage, tolerance 0.5 points)",
        ),
    ],
)
def test_a_record_is_said_as_the_file_has_it(record: Recorded | None, text: str) -> None:
    assert explain.recorded(record, RECORD) == text


# What the difference means


def test_removing_tested_code_is_not_adding_untested_code() -> None:
    # vm-superio without one of its well-tested modules
    assert said("496/522", counted("902/939")) == [
        "Coverage is lower by 1.04 points.",
        "26 lines uncovered, 37 before; 522 lines in all, 939 before: "
        "no code lost its tests: tested code was removed, so what is left weighs more.",
    ]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        # more lines uncovered
        ("90/100", "90/110", "code was added that no test reaches"),
        ("90/100", "90/101", "code was added that no test reaches"),
        ("90/100", "99/111", "code was added that no test reaches"),
        ("50/100", "90/150", "code was added, better tested than the rest"),
        ("50/100", "75/150", "code was added that no test reaches"),
        ("90/100", "89/100", "code that was tested no longer is"),
        ("90/100", "70/90", "code that was tested no longer is"),
        # fewer
        ("90/100", "40/45", "no code lost its tests: tested code was removed, so what is left weighs more"),
        ("90/100", "91/100", "code that was not tested now is"),
        ("90/100", "90/95", "code that was not tested is gone, or now is"),
        ("90/100", "105/110", "code that was not tested now is"),
        # as many
        ("90/100", "100/110", "tested code was added"),
        ("90/100", "91/101", "tested code was added"),
        ("90/100", "80/90", "no code lost its tests: tested code was removed, so what is left weighs more"),
        ("10/10", "12/12", "tested code was added"),
        ("10/10", "8/8", "tested code was removed"),
    ],
)
def test_each_direction_of_the_counts_has_its_words(before: str, now: str, words: str) -> None:
    old, new = lines(before), lines(now)
    assert explain.meaning(new, old) == (
        f"{new.uncovered} lines uncovered, {old.uncovered} before; "
        f"{new.count} lines in all, {old.count} before: {words}."
    )


small = st.tuples(st.integers(0, 30), st.integers(1, 30)).map(
    lambda drawn: Lines(covered=min(drawn), count=max(drawn))
)


@settings(deadline=None)
@given(small, small)
def test_the_words_never_contradict_the_counts(now: Lines, before: Lines) -> None:
    assume(now != before)
    words = explain.meaning(now, before).partition(": ")[2]
    more_uncovered = now.uncovered > before.uncovered
    assert ("no test reaches" in words or "no longer is" in words) <= more_uncovered
    assert ("no code lost its tests" in words) <= (not more_uncovered and now.percent < before.percent)
    assert ("added" in words) <= (now.count > before.count)
    assert ("removed" in words) <= (now.count < before.count)
    assert ("now is" in words) <= (now.uncovered < before.uncovered)


def test_no_difference_needs_no_words() -> None:
    assert said("902/939", counted("902/939")) == []
    assert said("801/1000", recorded("80.1")) == []
    assert said("1/2", None) == []


def test_equal_coverage_of_other_code_is_still_said() -> None:
    assert said("10/10", counted("5/5")) == [
        "0 lines uncovered, 0 before; 10 lines in all, 5 before: tested code was added."
    ]
    assert said("1/1", counted("2/2")) == [
        "0 lines uncovered, 0 before; 1 line in all, 2 before: tested code was removed."
    ]


@pytest.mark.parametrize(
    ("now", "before", "line"),
    [
        ("6/10", "5/10", "Coverage is higher by 10 points."),
        ("4/10", "5/10", "Coverage is lower by 10 points."),
        ("901/939", "902/939", "Coverage is lower by 0.11 points."),
        ("9999/20000", "10000/20000", "Coverage is lower by 0.005 points."),
        ("4632/5116", "4633/5117", "Coverage is lower by 0.0018 points."),
        # as near as two fractions of a crate of this size come
        ("2499/4999", "2500/5001", "Coverage is lower by 0.000004 points."),
    ],
)
def test_the_difference_is_said_in_points_and_never_as_none(now: str, before: str, line: str) -> None:
    assert said(now, counted(before))[0] == line


@pytest.mark.parametrize(
    ("now", "record", "line"),
    [
        ("471/507", counted("470/507", tolerance="0.5"), "+0.2 points is within the tolerance of 0.5 points"),
        ("469/507", counted("470/507", tolerance="0.5"), "-0.2 points is within the tolerance of 0.5 points"),
        # rounded to the recorded decimals first: 79.55 counts as 79.6
        (
            "7955/10000",
            recorded("80.1", tolerance="0.5"),
            "-0.5 points is within the tolerance of 0.5 points",
        ),
    ],
)
def test_a_tolerance_that_decided_is_said(now: str, record: Recorded, line: str) -> None:
    assert said(now, record)[0] == f"The difference of {line}: equal."


def test_another_compiler_is_said() -> None:
    (*_, last) = said("901/939", counted("902/939", rustc="1.94.0"))
    assert last == (
        "The record was made with rustc 1.94.0, this is 1.95.0: compilers count some lines differently."
    )
    assert "rustc" not in " ".join(said("901/939", counted("902/939")))


def test_a_bare_percentage_that_differs_may_be_another_architectures() -> None:
    assert said("79/100", recorded("80.1")) == [
        "Coverage is lower by 1.1 points.",
        "The recorded percentage has no counts for this architecture; "
        "it may have been measured on another one.",
    ]


# Where


def test_files_that_moved_are_listed_the_largest_change_first() -> None:
    now = [
        source("src/a.rs", "10/12", (4, 4), (9, 9)),
        source("src/b.rs", "5/20", (2, 16)),
        source("src/new.rs", "0/3", (1, 3)),
        source("src/same.rs", "7/9"),
        source("src/tested.rs", "8/8"),
    ]
    before = {
        "src/a.rs": lines("11/12"),
        "src/b.rs": lines("15/20"),
        "src/gone.rs": lines("4/9"),
        "src/same.rs": lines("7/9"),
        "src/tested.rs": lines("6/6"),
    }
    assert explain.moved(now, before) == [
        "Files that moved since the last passing run here (covered/count):",
        "  src/b.rs  15/20 -> 5/20; uncovered: 2-16",
        "  src/gone.rs  4/9 -> gone",
        "  src/new.rs  new -> 0/3; uncovered: 1-3",
        "  src/a.rs  11/12 -> 10/12; uncovered: 4, 9",
        "  src/tested.rs  6/6 -> 8/8",
    ]


def test_nothing_moved_is_no_list() -> None:
    assert explain.moved([source("src/a.rs", "1/2")], {"src/a.rs": lines("1/2")}) == []


def test_files_with_most_uncovered_lines_are_listed_with_them() -> None:
    files = [
        source("src/b.rs", "8/10", (3, 3), (9, 9)),
        source("src/full.rs", "10/10"),
        source("src/a.rs", "8/10", (4, 5)),
        source("src/worst.rs", "1/9", (2, 6), (8, 8), (10, 11)),
        source("src/generic.rs", "1/2"),
        source("src/mixed.rs", "5/10", (3, 4)),
    ]
    assert explain.least_covered(files) == [
        "Files with most uncovered lines:",
        "  src/worst.rs  8 of 9: 2-6, 8, 10-11",
        "  src/mixed.rs  5 of 10: 3-4, and 3 in closures and functions on lines reached otherwise",
        "  src/a.rs  2 of 10: 4-5",
        "  src/b.rs  2 of 10: 3, 9",
        "  src/generic.rs  1 of 2: 1 in closures and functions on lines reached otherwise",
    ]


def test_full_coverage_is_no_list() -> None:
    assert explain.least_covered([source("src/a.rs", "2/2")]) == []


@pytest.mark.parametrize(("number", "rest"), [(10, []), (11, ["  and 1 more"]), (25, ["  and 15 more"])])
def test_long_lists_end_with_a_count(number: int, rest: list[str]) -> None:
    files = [source(f"src/{index:02}.rs", "0/1", (1, 1)) for index in range(number)]
    for listed in (explain.least_covered(files), explain.moved(files, {})):
        assert len(listed) == 1 + 10 + len(rest)
        assert listed[11:] == rest
        assert listed[10].startswith("  src/09.rs  ")


def test_many_ranges_end_with_a_count() -> None:
    spans = [(line, line) for line in range(1, 30, 2)]
    assert explain.ranges(spans[:12]) == "1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23"
    assert explain.ranges(spans) == "1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, and 3 more places"
    assert explain.ranges([(1, 2), *spans[1:13]]).startswith("1-2, 3, ")
    assert explain.ranges(spans[:13]).endswith(" 23, and 1 more place")


# What to do


@pytest.mark.parametrize(
    ("verdict", "write", "allow_lower", "said"),
    [
        (Verdict.EQUAL, False, False, []),
        (
            Verdict.HIGHER,
            False,
            False,
            ["Record it:", "  nox -s coverage -- --profile devel", "  git add tests/coverage"],
        ),
        (
            Verdict.NONE,
            False,
            False,
            [
                "There is no baseline to compare with. Make one:",
                "  nox -s coverage -- --profile devel",
                "  git add tests/coverage",
            ],
        ),
        (
            Verdict.LOWER,
            False,
            False,
            [
                "Next:",
                "  See the lines: nox -s coverage -- --html",
                "  Name lines that not every run reaches: nox -s coverage -- --repeat 10",
                "  If it is meant: nox -s coverage -- --profile devel --allow-lower",
                "  and then: git add tests/coverage",
            ],
        ),
        (Verdict.HIGHER, True, False, ["Recorded in tests/coverage. Next: git add tests/coverage"]),
        (Verdict.NONE, True, False, ["Recorded in tests/coverage. Next: git add tests/coverage"]),
        (
            Verdict.LOWER,
            True,
            True,
            [
                "Recorded the lower value in tests/coverage, as --allow-lower says. "
                "Next: git add tests/coverage"
            ],
        ),
    ],
)
def test_commands_follow_the_decision(
    *, verdict: Verdict, write: bool, allow_lower: bool, said: list[str]
) -> None:
    decision = Decision(verdict=verdict, passed=write or verdict is Verdict.EQUAL, write=write)
    assert explain.commands(decision, RECORD, allow_lower=allow_lower) == said


@pytest.mark.parametrize(
    ("now", "record", "line"),
    [
        ("496/522", counted("902/939"), "coverage is lower: 95.02 % measured, 96.06 % recorded"),
        ("81/100", recorded("80.1"), "coverage is higher: 81.00 % measured, 80.1 % recorded"),
        ("81/100", recorded("80"), "coverage is higher: 81.00 % measured, 80 % recorded"),
        ("81/100", None, "coverage is 81.00 % and nothing is recorded to compare it with"),
        # the percentages look the same: the counts do not
        (
            "9999999/10000000",
            counted("10000000/10000000"),
            "coverage is lower: 9999999/10000000 lines, 100.00 % measured, "
            "10000000/10000000 lines, 100.00 % recorded",
        ),
    ],
)
def test_the_last_line_is_the_verdict_with_both_figures(now: str, record: Recorded | None, line: str) -> None:
    decision = decide(lines(now), record, Profile.CI)
    assert explain.summary(decision, measurement(now), record) == line
