"""The ratchet: every form of tests/coverage, every way it can be broken, and every decision."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.coverage import ratchet
from rustvmm_sessions.coverage.measurement import (
    Decision,
    FileCoverage,
    Lines,
    Profile,
    Recorded,
    Spread,
    UnstableLine,
    Verdict,
)
from rustvmm_sessions.coverage.ratchet import ArchRecord, CoverageFile, compare, decide, first_record, parse
from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = Path("/crate/tests/coverage")
CI, DEVEL = Profile.CI, Profile.DEVEL
EQUAL, HIGHER, LOWER, NONE = Verdict.EQUAL, Verdict.HIGHER, Verdict.LOWER, Verdict.NONE

BOTH = "92.70\nx86_64 470/507 rustc-1.95.0\naarch64 466/505 rustc-1.95.0\n"


def lines(text: str) -> Lines:
    """Return what ``470/507`` stands for."""
    covered, count = map(int, text.split("/"))
    return Lines(covered=covered, count=count)


def arch_record(text: str) -> ArchRecord:
    """Return what ``x86_64 470/507 1.95.0`` stands for."""
    arch, counts, toolchain = text.split()
    return ArchRecord(arch=arch, lines=lines(counts), toolchain=toolchain)


def recorded(text: str, *, tolerance: str = "0", arch: str = "x86_64") -> Recorded:
    return parse(text, PATH).recorded(PATH, arch, Fraction(tolerance))


# The file


@pytest.mark.parametrize(
    "text",
    ["80.1", "80.1\n", "80.1\r\n", "80.1 \n", "80.1\n\n\n"],
    ids=["no newline", "newline", "CRLF", "space", "blank lines"],
)
def test_a_bare_percentage_is_read_as_the_oldest_crates_write_it(text: str) -> None:
    assert parse(text, PATH) == CoverageFile(percent="80.1")


@pytest.mark.parametrize(
    ("percent", "decimals"), [("80", 0), ("80.1", 1), ("80.10", 2), ("0", 0), ("0.0", 1), ("100", 0)]
)
def test_the_percentage_says_how_many_decimals_count(percent: str, decimals: int) -> None:
    file = parse(f"{percent}\n", PATH)
    assert file.decimals == decimals
    assert file.recorded(PATH, "x86_64", Fraction(0)).percent == Fraction(percent)


def test_lines_of_architectures_are_read_in_their_order() -> None:
    assert parse(BOTH, PATH) == CoverageFile(
        percent="92.70", records=(arch_record("x86_64 470/507 1.95.0"), arch_record("aarch64 466/505 1.95.0"))
    )


@pytest.mark.parametrize("version", ["1.97.0-nightly", "1.96.0-beta.2", "1.95.0-dev", "1.95.0+local"])
def test_a_toolchain_may_be_any_release_of_rustc(version: str) -> None:
    (record,) = parse(f"50.0\nriscv64 1/2 rustc-{version}\n", PATH).records
    assert record.toolchain == version


def test_a_line_for_the_architecture_is_what_is_compared() -> None:
    assert recorded(BOTH, arch="aarch64", tolerance="0.2") == Recorded(
        path=PATH,
        percent=Fraction(46600, 505),
        decimals=None,
        tolerance=Fraction("0.2"),
        lines=lines("466/505"),
        toolchain="1.95.0",
    )


@pytest.mark.parametrize("arch", ["x86_64", "aarch64", "riscv64"])
def test_the_bare_percentage_is_every_architectures(arch: str) -> None:
    assert recorded("92.70", arch=arch) == Recorded(
        path=PATH, percent=Fraction("92.7"), decimals=2, tolerance=Fraction(0)
    )


RESTORE = "restore it with `git checkout -- tests/coverage`, or delete it and measure anew"
MERGED = "keep the side with the higher value, delete the markers, then measure again"

MALFORMED = [
    pytest.param("", 1, "", RESTORE, id="empty"),
    pytest.param("\n \n", 1, "", RESTORE, id="blank"),
    pytest.param("full coverage\n", 1, "'full coverage'", RESTORE, id="words"),
    pytest.param("nan\n", 1, "'nan'", RESTORE, id="nan"),
    pytest.param("NaN", 1, "'NaN'", RESTORE, id="NaN"),
    pytest.param("inf\n", 1, "'inf'", RESTORE, id="inf"),
    pytest.param("-inf\n", 1, "'-inf'", RESTORE, id="-inf"),
    pytest.param("-0.1\n", 1, "'-0.1'", RESTORE, id="negative"),
    pytest.param("-0\n", 1, "'-0'", RESTORE, id="minus zero"),
    pytest.param("+80.1\n", 1, "'+80.1'", RESTORE, id="plus"),
    pytest.param("100.1\n", 1, "'100.1'", RESTORE, id="over 100"),
    pytest.param("100.00000000000000000001", 1, "'100.00000000000000000001'", RESTORE, id="just over 100"),
    pytest.param("8010", 1, "'8010'", RESTORE, id="no point"),
    pytest.param("8e1\n", 1, "'8e1'", RESTORE, id="exponent"),
    pytest.param("80,1\n", 1, "'80,1'", RESTORE, id="decimal comma"),
    pytest.param("80.1%\n", 1, "'80.1%'", RESTORE, id="percent sign"),
    pytest.param("80.\n", 1, "'80.'", RESTORE, id="no decimals"),
    pytest.param(".5\n", 1, "'.5'", RESTORE, id="no whole part"),
    pytest.param("1_0\n", 1, "'1_0'", RESTORE, id="underscore"),
    pytest.param("401/501\n", 1, "'401/501'", RESTORE, id="fraction"),
    pytest.param("0x50\n", 1, "'0x50'", RESTORE, id="hexadecimal"),
    pytest.param("\u0668\u0660\n", 1, "'\u0668\u0660'", RESTORE, id="Arabic digits"),
    pytest.param("\ufeff80.1\n", 1, r"'\ufeff80.1'", RESTORE, id="byte order mark"),
    pytest.param("8\x000\x00\n", 1, r"'8\x000\x00'", RESTORE, id="NUL"),
    pytest.param("\x1b[2J80.1\n", 1, r"'\x1b[2J80.1'", RESTORE, id="escape sequence"),
    pytest.param("\n80.1\n", 1, "''", RESTORE, id="blank first line"),
    pytest.param(
        "x86_64 470/507 rustc-1.95.0\n", 1, "'x86_64 470/507 rustc-1.95.0'", RESTORE, id="no percentage"
    ),
    pytest.param('{"coverage_score": 80.1}', 1, "'{\"coverage_score\": 80.1}'", RESTORE, id="JSON"),
    pytest.param("1" * 1_000_000, 1, "'" + "1" * 40 + "...'", RESTORE, id="megabytes"),
    pytest.param("92.7\n92.8\n", 2, "'92.8'", RESTORE, id="two percentages"),
    pytest.param("92.7\n\nx86_64 1/2 rustc-1.95.0\n", 2, "''", RESTORE, id="blank line"),
    pytest.param("92.7\nx86_64 470/507\n", 2, "'x86_64 470/507'", RESTORE, id="no toolchain"),
    pytest.param("92.7\nx86_64 470/507 1.95.0\n", 2, "'x86_64 470/507 1.95.0'", RESTORE, id="no rustc-"),
    pytest.param("92.7\nx86_64 470/507 rustc-\n", 2, "'x86_64 470/507 rustc-'", RESTORE, id="empty version"),
    pytest.param(
        "92.7\nx86_64 -1/507 rustc-1.95.0\n", 2, "'x86_64 -1/507 rustc-1.95.0'", RESTORE, id="negative count"
    ),
    pytest.param(
        "92.7\nx86_64 92.7/100 rustc-1.95.0\n",
        2,
        "'x86_64 92.7/100 rustc-1.95.0'",
        RESTORE,
        id="point in a count",
    ),
    pytest.param(
        "92.7\nx86_64  470/507 rustc-1.95.0\n", 2, "'x86_64  470/507 rustc-1.95.0'", RESTORE, id="two spaces"
    ),
    pytest.param(
        "92.7\n x86_64 470/507 rustc-1.95.0\n", 2, "' x86_64 470/507 rustc-1.95.0'", RESTORE, id="indented"
    ),
    pytest.param(
        "92.7\nx86_64 470/507 rustc-1.95.0 ok\n",
        2,
        "'x86_64 470/507 rustc-1.95.0 ok'",
        RESTORE,
        id="a word more",
    ),
    pytest.param("92.7\n# x86_64\n", 2, "'# x86_64'", RESTORE, id="comment"),
    pytest.param(f"92.7\n{'x' * 999}\n", 2, f"'{'x' * 40}...'", RESTORE, id="a long line"),
    pytest.param(
        "92.7\nx86_64 508/507 rustc-1.95.0\n", 2, "508 lines covered of 507", RESTORE, id="covered > count"
    ),
    pytest.param("92.7\nx86_64 0/0 rustc-1.95.0\n", 2, "0 lines covered of 0", RESTORE, id="no lines"),
    pytest.param(
        BOTH + "x86_64 9/9 rustc-1.94.0\n", 4, "x86_64", "keep the one that is right", id="an arch twice"
    ),
    pytest.param(BOTH + "riscv64\n", 4, "'riscv64'", RESTORE, id="the last line"),
    pytest.param("<<<<<<< HEAD\n80.1\n=======\n80.2\n>>>>>>> topic\n", 1, "", MERGED, id="merge"),
    pytest.param("80.1\n<<<<<<< HEAD\n", 2, "", MERGED, id="merge of lines"),
    pytest.param("80.1\n||||||| 4a5b6c\n80.0\n", 2, "", MERGED, id="merge in diff3 style"),
    pytest.param("80.1\n=======\n80.2\n", 2, "", MERGED, id="half a merge"),
    pytest.param("80.1\n>>>>>>> topic\n", 2, "", MERGED, id="the end of a merge"),
]


@pytest.mark.parametrize(("text", "line", "shown", "fix"), MALFORMED)
def test_a_malformed_file_is_one_message_with_file_and_line(
    text: str, line: int, shown: str, fix: str
) -> None:
    with pytest.raises(UserError) as caught:
        parse(text, PATH)
    error = caught.value
    assert (error.where, error.fix) == (f"/crate/tests/coverage:{line}", fix)
    assert shown in error.what
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file is empty; a percentage such as 80.1 is expected"),
        ("nan\n", "invalid percentage 'nan'; expected a bare number from 0 to 100, such as 80.1"),
        (
            "80.1\nwords",
            "'words' is not understood; "
            "ARCH COVERED/COUNT rustc-VERSION is expected, such as x86_64 470/507 rustc-1.95.0",
        ),
        ("80.1\nx86_64 2/1 rustc-1.95.0", "2 lines covered of 1 is impossible"),
        ("<<<<<<< HEAD\n", "a merge left its conflict markers in the file"),
        (f"{BOTH}aarch64 1/2 rustc-1.95.0", "a second line for aarch64"),
    ],
)
def test_a_malformed_file_is_told_by_its_fault(text: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text, PATH)
    assert caught.value.what == what


@settings(deadline=None)
@given(st.text() | st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3})?(\n.*){0,3}\Z"))
def test_any_text_is_understood_or_refused_at_a_line(text: str) -> None:
    try:
        file = parse(text, PATH)
    except UserError as error:
        where = error.where
    else:
        assert parse(str(file), PATH) == file
        return
    line = where.removeprefix(f"{PATH}:")
    assert line.isdecimal(), where
    assert 1 <= int(line) <= text.count("\n") + 1


# Arbitrary files and measurements


def counts_to(most: int) -> st.SearchStrategy[Lines]:
    two = st.tuples(st.integers(0, most), st.integers(1, most))
    return two.map(lambda drawn: Lines(covered=min(drawn), count=max(drawn)))


counts = counts_to(12) | counts_to(10**9)
arch_records = st.builds(
    ArchRecord,
    arch=st.sampled_from(["x86_64", "aarch64", "riscv64", "s390x", "loongarch64"]),
    lines=counts,
    toolchain=st.sampled_from(["1.95.0", "1.96.0-beta.2", "1.97.0-nightly"]),
)


def percents_with(places: int) -> st.SearchStrategy[str]:
    return st.integers(0, 100 * 10**places).map(lambda scaled: f"{Decimal(f'{scaled}e-{places}'):f}")


percents = st.one_of([percents_with(places) for places in range(21)])
coverage_files = st.builds(
    CoverageFile,
    percent=percents,
    records=st.lists(arch_records, max_size=4, unique_by=lambda record: record.arch).map(tuple),
)


@settings(deadline=None)
@given(coverage_files)
def test_what_is_written_is_read_back(file: CoverageFile) -> None:
    assert parse(str(file), PATH) == file


@settings(deadline=None)
@given(coverage_files, arch_records)
def test_after_an_update_the_same_measurement_is_equal(file: CoverageFile, new: ArchRecord) -> None:
    again = parse(str(file.updated(new)), PATH)
    assert compare(new.lines, again.recorded(PATH, new.arch, Fraction(0))) == (EQUAL, False)
    # and for an architecture without a line of its own, whose measure is the percentage
    assert compare(new.lines, again.recorded(PATH, "mips", Fraction(0))) == (EQUAL, False)


@settings(deadline=None)
@given(coverage_files, arch_records)
def test_an_update_touches_no_other_architecture(file: CoverageFile, new: ArchRecord) -> None:
    updated = file.updated(new)
    others = [record for record in file.records if record.arch != new.arch]
    assert [record for record in updated.records if record.arch != new.arch] == others
    assert [record for record in updated.records if record.arch == new.arch] == [new]
    assert updated.decimals == file.decimals


def test_an_update_keeps_the_order_of_lines_and_the_decimals() -> None:
    file = parse(BOTH, PATH)
    assert str(file.updated(arch_record("x86_64 480/507 1.96.0"))) == (
        "94.67\nx86_64 480/507 rustc-1.96.0\naarch64 466/505 rustc-1.95.0\n"
    )
    assert str(file.updated(arch_record("riscv64 1/3 1.96.0"))) == (
        "33.33\nx86_64 470/507 rustc-1.95.0\naarch64 466/505 rustc-1.95.0\nriscv64 1/3 rustc-1.96.0\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [("80", "67"), ("80.1", "66.7"), ("80.1000", "66.6667"), ("80.12345678", "66.66666667")],
)
def test_an_old_crates_file_keeps_its_first_line_and_gains_one(before: str, after: str) -> None:
    updated = parse(before, PATH).updated(arch_record("x86_64 2/3 1.95.0"))
    assert str(updated) == f"{after}\nx86_64 2/3 rustc-1.95.0\n"


def test_no_coverage_at_all_is_written_as_a_plain_number() -> None:
    updated = parse("80.12345678", PATH).updated(arch_record("x86_64 0/3 1.95.0"))
    assert str(updated) == "0.00000000\nx86_64 0/3 rustc-1.95.0\n"


def test_a_first_record_has_two_decimals_and_one_line() -> None:
    assert str(first_record(arch_record("x86_64 949/984 1.95.0"))) == "96.44\nx86_64 949/984 rustc-1.95.0\n"


# The decision

SCORE = Recorded(
    path=Path("/crate/coverage_config_x86_64.json"),
    percent=Fraction("92.7"),
    decimals=None,
    tolerance=Fraction(1, 2),
)


@pytest.mark.parametrize(
    ("measured", "record", "verdict"),
    [
        # integers: one line more or less decides, whatever the percentage looks like
        ("470/507", recorded(BOTH), EQUAL),
        ("471/507", recorded(BOTH), HIGHER),
        ("469/507", recorded(BOTH), LOWER),
        ("471/508", recorded(BOTH), HIGHER),
        ("469/506", recorded(BOTH), LOWER),
        ("940/1014", recorded(BOTH), EQUAL),
        ("466/505", recorded(BOTH), LOWER),  # what aarch64 has recorded
        ("466/505", recorded(BOTH, arch="aarch64"), EQUAL),
        ("9999999/10000000", recorded("100.00\nx86_64 3/3 rustc-1.95.0"), LOWER),
        ("90001/100000", recorded("90\nx86_64 9/10 rustc-1.95.0"), HIGHER),
        # the first line has no say where there are integers
        ("470/507", recorded("10.0\nx86_64 470/507 rustc-1.95.0"), EQUAL),
        # a bare percentage: to its own decimals, half up
        ("80049/100000", recorded("80.0"), EQUAL),
        ("8005/10000", recorded("80.0"), HIGHER),
        ("8005/10000", recorded("80.1"), EQUAL),
        ("80049/100000", recorded("80.1"), LOWER),
        ("795/1000", recorded("80"), EQUAL),
        ("79499/100000", recorded("80"), LOWER),
        ("805/1000", recorded("80"), HIGHER),
        ("801/1000", recorded("80.10"), EQUAL),
        ("80106/100000", recorded("80.10"), HIGHER),
        ("466/505", recorded(BOTH, arch="riscv64"), LOWER),  # 92.28 against 92.70
        # rust-vmm-ci's score: half a point either way
        ("927/1000", SCORE, EQUAL),
        ("932/1000", SCORE, EQUAL),
        ("922/1000", SCORE, EQUAL),
        ("93201/100000", SCORE, HIGHER),
        ("92199/100000", SCORE, LOWER),
        ("694/738", SCORE, HIGHER),  # vm-device 0.1.0
        # a tolerance that register() sets
        ("472/507", recorded(BOTH, tolerance="0.4"), EQUAL),
        ("468/507", recorded(BOTH, tolerance="0.4"), EQUAL),
        ("473/507", recorded(BOTH, tolerance="0.4"), HIGHER),
        ("467/507", recorded(BOTH, tolerance="0.4"), LOWER),
        ("79550/100000", recorded("80.1", tolerance="0.5"), EQUAL),  # rounded first: 79.6
        ("79549/100000", recorded("80.1", tolerance="0.5"), LOWER),
    ],
)
def test_a_measurement_is_compared_with_what_is_recorded(
    measured: str, record: Recorded, verdict: Verdict
) -> None:
    assert decide(lines(measured), record, CI).verdict is verdict


KINDS: dict[str, Callable[[int], Recorded]] = {
    "counts": lambda n: recorded(f"50.0\nx86_64 {n}/1000 rustc-1.95.0"),
    "counts, tolerance": lambda n: recorded(f"50.0\nx86_64 {n}/1000 rustc-1.95.0", tolerance="0.5"),
    "bare": lambda n: recorded(f"{n / 10}"),
    "bare, tolerance": lambda n: recorded(f"{n / 10}", tolerance="0.5"),
    "bare, no decimals": lambda n: recorded(f"{n // 10}"),
    "score": lambda n: replace(SCORE, percent=Fraction(n, 10)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("profile", "before", "allow_lower", "verdict", "passed", "write"),
    [
        (CI, 801, False, EQUAL, True, False),
        (CI, 791, False, HIGHER, False, False),
        (CI, 811, False, LOWER, False, False),
        (CI, 811, True, LOWER, False, False),
        (CI, 791, True, HIGHER, False, False),
        (DEVEL, 801, False, EQUAL, True, False),
        (DEVEL, 801, True, EQUAL, True, False),
        (DEVEL, 791, False, HIGHER, True, True),
        (DEVEL, 791, True, HIGHER, True, True),
        (DEVEL, 811, False, LOWER, False, False),
        (DEVEL, 811, True, LOWER, True, True),
    ],
)
def test_the_table_of_the_contract(  # noqa: PLR0913 - its columns
    *,
    kind: str,
    profile: Profile,
    before: int,
    allow_lower: bool,
    verdict: Verdict,
    passed: bool,
    write: bool,
) -> None:
    assert decide(lines("801/1000"), KINDS[kind](before), profile, allow_lower=allow_lower) == Decision(
        verdict=verdict, passed=passed, write=write
    )


@pytest.mark.parametrize("allow_lower", [False, True])
def test_without_a_record_ci_fails_and_devel_makes_one(*, allow_lower: bool) -> None:
    ci, devel = (decide(lines("1/2"), None, profile, allow_lower=allow_lower) for profile in (CI, DEVEL))
    assert ci == Decision(verdict=NONE, passed=False, write=False)
    assert devel == Decision(verdict=NONE, passed=True, write=True)


@pytest.mark.parametrize(
    ("measured", "tolerance", "within"),
    [("470/507", "0", False), ("470/507", "0.5", False), ("471/507", "0.5", True), ("469/507", "0.5", True)],
)
def test_a_decision_says_when_the_tolerance_made_it(*, measured: str, tolerance: str, within: bool) -> None:
    decision = decide(lines(measured), recorded(BOTH, tolerance=tolerance), CI)
    assert decision.verdict is EQUAL
    assert decision.within_tolerance is within


any_record = st.none() | st.builds(
    lambda file, arch, tolerance: file.recorded(PATH, arch, tolerance),
    coverage_files,
    st.sampled_from(["x86_64", "aarch64", "riscv64"]),
    st.fractions(0, 100, max_denominator=1000),
)


@settings(deadline=None)
@given(measured=counts, record=any_record, allow_lower=st.booleans())
def test_ci_never_writes(*, measured: Lines, record: Recorded | None, allow_lower: bool) -> None:
    assert not decide(measured, record, CI, allow_lower=allow_lower).write


@settings(deadline=None)
@given(counts, any_record)
def test_devel_never_writes_a_lower_value_unless_allowed(measured: Lines, record: Recorded | None) -> None:
    decision = decide(measured, record, DEVEL)
    assert not decision.write or record is None or measured.percent > record.percent


@settings(deadline=None)
@given(measured=counts, record=any_record, profile=st.sampled_from(Profile), allow_lower=st.booleans())
def test_what_is_not_equal_passes_only_by_being_recorded(
    *, measured: Lines, record: Recorded | None, profile: Profile, allow_lower: bool
) -> None:
    decision = decide(measured, record, profile, allow_lower=allow_lower)
    assert decision.passed == (decision.verdict is EQUAL or decision.write)
    assert (decision.verdict is NONE) == (record is None)


@settings(deadline=None)
@given(coverage_files, arch_records, arch_records)
def test_a_merge_of_two_runs_keeps_both(file: CoverageFile, one: ArchRecord, other: ArchRecord) -> None:
    merged = file.updated(one).updated(other)
    assert other in merged.records
    assert one.arch == other.arch or one in merged.records


def test_the_format_has_an_example_that_is_right() -> None:
    example = (ratchet.__doc__ or "").split("::")[1]
    text = "\n".join(line.strip() for line in example.strip().splitlines())
    assert str(parse(text, PATH)) == text + "\n"
    assert recorded(text).lines == lines("470/507")


# Several runs


def file_of(path: str, counts: str) -> FileCoverage:
    return FileCoverage(path=path, lines=lines(counts))


def test_lines_that_some_runs_reach_are_found() -> None:
    one = {("a.rs", 1): True, ("a.rs", 2): False, ("b.rs", 1): False}
    assert ratchet.unstable([one, one]) == ()
    assert ratchet.unstable([one, {**one, ("a.rs", 2): True}]) == (UnstableLine(path="a.rs", line=2),)


def test_what_all_runs_reached_counts_a_line_that_each_run_missed_another_of() -> None:
    """Each run reached 9 lines, of 10 that one of them did; 8 are those that both did."""
    varying = [UnstableLine(path="a.rs", line=line) for line in (3, 4)]
    runs = [[file_of("a.rs", "9/12"), file_of("b.rs", "5/5")]] * 2
    together = [file_of("a.rs", "10/12"), file_of("b.rs", "5/5")]
    assert ratchet.spread(runs, together, varying) == Spread(
        runs=2, least=lines("13/17"), most=lines("15/17")
    )


def test_lines_that_only_closures_lose_are_in_the_counts_alone() -> None:
    runs = [[file_of("a.rs", "9/12")], [file_of("a.rs", "10/12")]]
    found = ratchet.spread(runs, [file_of("a.rs", "10/12")], [])
    assert (found.least, found.most) == (lines("9/12"), lines("10/12"))


def test_a_line_that_another_instance_reaches_anyway_widens_nothing() -> None:
    runs = [[file_of("a.rs", "10/12")]] * 2
    found = ratchet.spread(runs, [file_of("a.rs", "10/12")], [UnstableLine(path="a.rs", line=3)])
    assert found.least == found.most == lines("10/12")


@pytest.mark.parametrize(
    ("least", "most", "verdict"),
    [
        ("469/507", "471/507", EQUAL),
        ("470/507", "472/507", EQUAL),
        ("468/507", "470/507", EQUAL),
        ("471/507", "472/507", HIGHER),
        ("468/507", "469/507", LOWER),
        ("470/507", "470/507", EQUAL),
        ("469/507", "469/507", LOWER),
    ],
)
def test_a_record_between_what_all_and_any_runs_reached_is_equal(
    least: str, most: str, verdict: Verdict
) -> None:
    found = Spread(runs=4, least=lines(least), most=lines(most))
    assert compare(lines(least), recorded(BOTH), found)[0] is verdict
    assert decide(lines(most), recorded(BOTH), CI, spread=found).verdict is verdict


def simulated(rng: random.Random, lines_: int, p: float, lost: int, runs: int) -> Verdict:
    """Return the verdict on a record of the middle one of four runs, `lost` other lines later."""
    stable, count = 100, 200

    def run() -> list[bool]:
        return [rng.random() < p for _ in range(lines_)]

    record = stable + sorted(sum(run()) for _ in range(4))[2]
    was = recorded(f"50.0\nx86_64 {record}/{count} rustc-1.95.0")
    seen: list[list[bool]] = []
    verdict = EQUAL
    for number in range(1, runs + 1):
        seen.append(run())
        covered = [stable - lost + sum(map(which, zip(*seen, strict=True))) for which in (all, any)]
        least, most = (Lines(covered=each, count=count) for each in covered)
        verdict, _ = compare(least, was, Spread(runs=number, least=least, most=most))
        if verdict is EQUAL:
            break
    return verdict


@pytest.mark.parametrize(
    ("varying", "p", "lost", "runs", "percent"),
    [
        # what the docstring of compare says: unchanged code fails, with one run and with four
        (1, 0.1, 0, 4, 4),
        (1, 0.3, 0, 4, 9),
        (1, 0.5, 0, 4, 6),
        (1, 0.9, 0, 4, 0),
        (1, 0.5, 0, 1, 50),
        (10, 0.1, 0, 4, 4),
        (10, 0.5, 0, 4, 0),
        (10, 0.5, 0, 1, 80),
        # a loss of one line that does not vary fails
        (1, 0.3, 1, 4, 50),
        (1, 0.7, 1, 4, 92),
        (0, 0.5, 1, 4, 100),
        # more lines than vary
        (1, 0.3, 2, 4, 100),
        (3, 0.5, 4, 4, 100),
    ],
)
def test_the_error_rates_are_those_that_are_stated(
    varying: int, p: float, lost: int, runs: int, percent: float
) -> None:
    rng = random.Random(20)
    verdicts = [simulated(rng, varying, p, lost, runs) for _ in range(2000)]
    failed = sum(verdict is not EQUAL for verdict in verdicts)
    assert failed == 2000 if percent == 100 else abs(failed / 20 - percent) < 3


def test_passing_starts_the_file_where_a_score_is_the_baseline() -> None:
    score = replace(SCORE, is_score=True)
    within = decide(lines("93/100"), score, DEVEL)
    assert (within.verdict, within.passed, within.write) == (EQUAL, True, True)
    assert not decide(lines("93/100"), score, CI).write
    assert not decide(lines("50/100"), score, DEVEL).write
