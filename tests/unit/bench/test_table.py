"""The table of a benchmark run in the terminal, and the words that all its reports share."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.bench import words
from rustvmm_sessions.bench.model import BenchReport, BenchVerdict, Judgement, Looks
from rustvmm_sessions.bench.page import page
from rustvmm_sessions.bench.statistics import SUSPICION, plan_looks
from rustvmm_sessions.bench.table import PLAIN, lines
from rustvmm_sessions.wording import width
from tests.bench_reports import HOST, compared, eight, in_markdown, report


def said(run: BenchReport) -> str:
    return "\n".join(lines(run))


def table(run: BenchReport) -> list[str]:
    """Return the lines of the table, without its head."""
    whole = lines(run)
    start = next(n for n, line in enumerate(whole) if line.startswith("benchmark "))
    return whole[start + 1 : whole.index("", start)]


def findable(run: BenchReport) -> str:
    """Return the sentence on what the run could have found."""
    return words.findings(run, PLAIN)[-2]


# Figures


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0.2345678, "0.2346 ns"),
        (0.00012, "0.0001 ns"),
        (1.0, "1.000 ns"),
        (58.403, "58.40 ns"),
        (999.94, "999.9 ns"),
        (999.96, "1.000 µs"),
        (1000, "1.000 µs"),
        (123_456, "123.5 µs"),
        (999_999.9, "1.000 ms"),
        (31_200_000, "31.20 ms"),
        (2.5e9, "2.500 s"),
        (7.2e12, "7200 s"),
        (123_456e9, "123500 s"),
    ],
)
def test_times_have_four_digits_and_the_unit_that_suits(nanoseconds: float, text: str) -> None:
    assert words.duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("percent", "text"),
    [
        (2.204, "+2.20 %"),
        (-0.3, "-0.30 %"),
        (0.0, "0.00 %"),
        (0.004, "0.00 %"),
        (-0.004, "0.00 %"),
        (61.04, "+61.0 %"),
        (-58.31, "-58.3 %"),
        (250.0, "+250.0 %"),
        (1150.0, "x12.5"),
        (1e8, "x1e+06"),
    ],
)
def test_changes_have_a_sign_and_the_digits_that_matter(percent: float, text: str) -> None:
    assert words.signed(percent) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.018, 0.026, "+1.82 to +2.63 %"),
        (-0.01, 0.0, "-1.00 to 0.00 %"),
        (0.1, 3.0, "+10.5 % to x20.1"),
        (3.0, 4.0, "x20.1 to x54.6"),
        (-math.inf, math.inf, "too few pairs"),
    ],
)
def test_an_interval_is_read_from_its_low_end_to_its_high_end(low: float, high: float, text: str) -> None:
    judgement = Judgement(verdict=BenchVerdict.OK, change=0.0, low=low, high=high, settled=True)
    assert words.interval(judgement) == text


# The table


def test_a_row_says_what_was_measured_and_what_it_means() -> None:
    run = report(compared("queue/pop", 5.0, base=400.0, noise=0.1), compared("queue/push", -5.0, noise=0.1))
    pop, push = table(run)
    assert re.fullmatch(
        r"queue/pop   +40\d\.\d ns  42\d\.\d ns  \+[45]\.\d\d %  \+4\.\d\d to \+5\.\d\d %  slower", pop
    )
    assert push.startswith("queue/push ")
    assert push.endswith(" %  faster")


def test_columns_are_aligned() -> None:
    rows = table(eight())
    assert len(rows) == 8
    assert len({re.search(r"(ok|slower|faster|undecided)$", row).start() for row in rows}) == 1  # type: ignore[union-attr]
    assert all(row == row.rstrip() for row in rows)


def test_every_verdict_has_its_word_and_no_word_has_two() -> None:
    assert set(words.VERDICTS) == set(BenchVerdict)
    assert len(set(words.VERDICTS.values())) == len(BenchVerdict)


def test_a_long_id_has_a_line_of_its_own_and_does_not_widen_the_table() -> None:
    name = "descriptor chain/" + "x" * 70
    short, full, row = table(report(compared("pop"), compared(name)))
    assert full == name
    assert row.startswith(" " * len("benchmark  "))
    assert len(row) == len(short) < 90


def test_an_id_without_end_is_cut_in_its_middle() -> None:
    full, row = table(report(compared("start" + "x" * 5000 + "end")))
    assert full.startswith("startxxx")
    assert full.endswith("xxxend")
    assert "…" in full
    assert len(full) <= 200
    assert row.endswith("ok")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\tb\rc", r"a\tb\rc"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\u202eesrever", r"\u202eesrever"),
        ("a\u2028b", r"a\u2028b"),
        ("bad\udcff", r"bad\udcff"),
    ],
)
def test_an_id_cannot_move_the_cursor_or_begin_a_line(name: str, shown: str) -> None:
    (row,) = table(report(compared(name)))
    assert row.startswith(f"{shown} ")
    said(report(compared(name))).encode()


def test_wide_and_combining_characters_take_the_columns_they_take() -> None:
    rows = table(
        report(compared("日本/日本"), compared("crab 🦀"), compared("plain id"), compared("e\u0301/e\u0301"))
    )
    assert len({width(row[: row.rindex("ok")]) for row in rows}) == 1


names = st.text(min_size=1, max_size=100)


@settings(deadline=None)
@given(st.lists(names, min_size=1, max_size=3, unique=True), st.sampled_from([0.0, 5.0, -5.0]))
def test_no_id_breaks_a_report(ids: list[str], change: float) -> None:
    run = report(
        *(compared(name, change, count=12, note=name) for name in ids),
        only_in_base=tuple(ids),
        only_in_head=tuple(ids),
        host=replace(HOST, doubts=tuple(ids)),
    )
    for line in lines(run):
        assert len(line.splitlines()) <= 1
        assert not {unicodedata.category(char) for char in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    verdicts = [row for row in table(run) if row.endswith(tuple(words.VERDICTS.values()))]
    assert len({width(re.sub(r"\w+$", "", row)) for row in verdicts}) == 1


# What it comes to


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ((0.0, 0.0), "No slow-down found in 2 benchmarks"),
        ((0.0,), "No slow-down found in 1 benchmark"),
        ((5.0, 0.0), "1 of 2 benchmarks got slower by more than 1 %"),
        ((5.0, 6.0, -5.0), "2 of 3 benchmarks got slower by more than 1 %; 1 got faster"),
        ((-5.0, 0.0), "1 of 2 benchmarks got faster by more than 1 %, none is proven slower"),
    ],
)
def test_the_headline_counts(changes: tuple[float, ...], line: str) -> None:
    run = report(*(compared(f"bench {n}", change, noise=0.1) for n, change in enumerate(changes)))
    assert words.headline(run) == line
    assert f"{line}." in lines(run)


def test_the_headline_of_a_run_that_decides_too_little() -> None:
    run = report(compared("noisy", noise=30.0), compared("quiet", -5.0, noise=0.1))
    assert (
        words.headline(run) == "1 of 2 benchmarks could not be decided, none is proven slower; 1 got faster"
    )


def test_what_no_time_was_left_for_is_undecided_and_measured_next() -> None:
    run = report(compared("quiet", noise=0.1), unmeasured=("late one", "later"))
    assert run.verdict is BenchVerdict.INCONCLUSIVE
    assert words.headline(run) == "2 of 3 benchmarks could not be decided, none is proven slower"
    assert "No time was left for: `late one`, `later`." in lines(run)
    [(why, command)] = words.next_steps(run)
    assert (why, command) == (
        "Give these alone the time of all:",
        "nox -s bench -- --filter '^(late one|later)$'",
    )


def test_all_of_it_in_the_order_of_reading() -> None:
    text = said(eight())
    parts = [
        "base: `origin/main` (`111111111111`), now: `aaaaaaaaaaaa` with uncommitted changes",
        "benchmark ",
        "boot/load_kernel",
        "2 of 8 benchmarks got slower by more than 1 %; 1 got faster; 1 could not be decided.",
        "Slower: `queue/pop descriptor chain/16` +2.68 %, `boot/load_kernel` +60.7 %.",
        "Geometric mean of all changes: +",
        "Slow-downs of ",
        "At most 1 % of such runs report a slow-down although no benchmark got slower by more than 1 %.",
        "Only in the base: `queue/legacy_pop`.",
        "New, compared with nothing: `queue/pop in order`, `queue/event_idx`.",
        f"`layout/unlucky`: {SUSPICION}.",
        "Measured on Intel(R) Xeon(R) Processor @ 2.60GHz, x86_64, Linux 6.12.0-1-amd64, "
        "2 processors, pinned to number 1, load 0.31 at the start.",
        "See whether it is there again:",
        "  nox -s bench -- --filter '^(queue/pop descriptor chain/16|boot/load_kernel)$'",
        "  nox -s bench -- --report-only",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert text.endswith(parts[-1])


def test_what_could_have_been_found_is_said_of_the_quiet_and_of_the_noisy() -> None:
    quiet = [compared(f"quiet {n}", noise=0.2) for n in range(4)]
    all_quiet = findable(report(*quiet))
    found = re.fullmatch(
        r"Slow-downs of (\S+) % and more would have been found in every benchmark\.", all_quiet
    )
    assert found is not None
    assert 1 < float(found[1]) < 2
    mixed = findable(report(*quiet, compared("noisy", noise=9.0)))
    found = re.fullmatch(
        r"Slow-downs of (\S+) % and more would have been found in every benchmark but 1: "
        r"in `noisy` only from (\S+) %\.",
        mixed,
    )
    assert found is not None
    assert 2 * float(found[1]) < float(found[2])


def test_of_many_noisy_benchmarks_the_noisiest_are_named() -> None:
    quiet = [compared(f"quiet {n}", noise=0.2) for n in range(14)]
    noisy = [compared(f"noisy {n}", noise=9.0 + n) for n in range(13)]
    sentence = findable(report(*quiet, *noisy))
    assert "would have been found in every benchmark but 13: in `noisy " in sentence
    assert sentence.endswith(", and 3 more.")
    sizes = [float(size) for size in re.findall(r"only from (\S+) %", sentence)]
    assert len(sizes) == 10
    assert sizes == sorted(sizes, reverse=True)


def test_what_is_said_to_be_found_is_not_rounded_down() -> None:
    run = report(compared("a"))
    (comparison,) = run.benchmarks
    exact = replace(
        comparison, judgement=replace(comparison.judgement, change=0.0, low=-math.log(1.0132 / 1.01))
    )
    assert "Slow-downs of 1.4 % and" in findable(replace(run, benchmarks=(exact,)))


def test_too_few_pairs_find_nothing_and_that_is_said() -> None:
    run = report(compared("hasty", count=3))
    assert findable(run) == "There were too few pairs to find a slow-down, whatever its size."
    assert table(run)[0].endswith("too few pairs  undecided")
    mixed = report(compared("hasty", count=3), *(compared(f"{n}", noise=0.1) for n in range(3)))
    assert "but 1: in `hasty` none, there were too few pairs." in findable(mixed)


@pytest.mark.parametrize("looks", [(30, 60, 120), (20,)])
def test_the_error_rate_is_that_of_all_looks_of_all_benchmarks(looks: tuple[int, ...]) -> None:
    run = report(compared("a"), compared("b"), threshold=2.5)
    few = Looks(pairs=looks, alpha=0.01 / 2 / len(looks), wanted=looks[-1])
    run = replace(run, benchmarks=tuple(replace(c, looks=few) for c in run.benchmarks))
    sentence = words.findings(run, PLAIN)[-1]
    assert sentence.startswith("At most 1 % of such runs report a slow-down")
    assert sentence.endswith("got slower by more than 2.5 %.")


def test_long_lists_are_counted() -> None:
    ids = tuple(f"bench {n}" for n in range(25))
    run = report(*(compared(name, note="set by its group") for name in ids), only_in_head=ids)
    text = said(run)
    assert "`bench 9` and 15 more." in text
    assert "`bench 9`: set by its group." in text
    assert "`bench 10`: set by its group." not in text
    assert "Notes on 15 more benchmarks are left out." in text
    slow = said(report(*(compared(name, 9.0) for name in ids)))
    assert re.search(r"^Slower: `bench 0` \+\d.*, `bench 9` \+[^,]*, and 15 more\.$", slow, re.MULTILINE)


def test_doubts_about_the_machine_are_said() -> None:
    doubts = ("the governor is powersave", "the processor could not be pinned")
    text = said(report(compared("a"), host=replace(HOST, processor=None, processors=1, doubts=doubts)))
    assert "This machine could measure better: the governor is powersave." in text
    assert "This machine could measure better: the processor could not be pinned." in text
    assert ", 1 processor, not pinned to one, load 0.31" in text


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (BenchVerdict.IDENTICAL, "There is nothing to measure: "),
        (BenchVerdict.NOTHING, "There is nothing to compare: "),
    ],
)
def test_a_run_that_measured_nothing_says_why(verdict: BenchVerdict, line: str) -> None:
    run = report(verdict=verdict, reason="the base has no benchmarks", only_in_head=("walk",))
    assert lines(run)[2:] == [f"{line}the base has no benchmarks.", "New, compared with nothing: `walk`."]


# What to do next


def test_nothing_is_to_be_done_where_nothing_is_slower() -> None:
    assert words.next_steps(report(compared("a", noise=0.1))) == []
    assert words.next_steps(report(compared("a", -5.0, noise=0.1))) == []


def test_what_is_undecided_is_measured_longer_or_elsewhere() -> None:
    [(longer, command)] = words.next_steps(report(compared("a.b", noise=30.0), compared("c", noise=0.1)))
    assert longer == "Give these alone the time of all:"
    assert command == r"nox -s bench -- --filter '^(a\.b)$'"
    noisy = compared("a", noise=30.0)
    more = [("Give it more time, or fewer benchmarks:", "nox -s bench -- --max-minutes MINUTES")]
    assert words.next_steps(report(noisy)) == words.next_steps(report(noisy, unmeasured=("b",))) == more
    [(elsewhere, _)] = words.next_steps(report(compared("a", noise=90.0, count=240)))
    assert elsewhere == "Measure on a machine that does less beside:"
    # Its pairs took so long that it got all that a benchmark is given.
    slow = report(compared("a", noise=90.0, count=12), compared("b", noise=0.1))
    few = plan_looks(2, 12)
    slow = replace(slow, benchmarks=(replace(slow.benchmarks[0], looks=few), slow.benchmarks[1]))
    assert words.next_steps(slow) == [(elsewhere, "nox -s bench -- --filter '^(a)$'")]
    [(again, _)] = words.next_steps(report(compared("a", 5.0, instructions_change=0.0)))
    assert again == "See whether it is there again:"


def test_a_command_to_repeat_a_run_asks_for_the_same_comparison() -> None:
    options = ("--base=HEAD~1", "--package=a b", "--filter=-pop", "--threshold=2", "--witness=off")
    same = "nox -s bench -- --base 'HEAD~1' --package 'a b'"
    [(_, again), (_, let)] = words.next_steps(report(compared("pop", 9.0), options=options))
    assert again == f"{same} --threshold 2 --witness off --filter '^(pop)$'"
    assert let == f"{same} --filter=-pop --threshold 2 --witness off --report-only"
    [(_, longer)] = words.next_steps(report(compared("pop", noise=30.0), options=options))
    assert longer == f"{same} --filter=-pop --threshold 2 --witness off --max-minutes MINUTES"
    [(_, again), _] = words.next_steps(report(compared("pop", 9.0), command="rustvmm-sessions bench"))
    assert again == "rustvmm-sessions bench --filter '^(pop)$'"


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("queue/pop[3] (a+b)*", r"--filter '^(queue/pop\[3\] \(a\+b\)\*)$'"),
        ("it's; rm -rf $HOME", r"""--filter '^(it'"'"'s; rm -rf \$HOME)$'"""),
        ("two\nlines", "--filter REGEX"),
        ("x" * 300, "--filter REGEX"),
        ("\x1b[2J", "--filter REGEX"),
    ],
)
def test_a_command_to_copy_is_one_argument_or_none(name: str, option: str) -> None:
    (_, command), _ = words.next_steps(report(compared(name, 9.0)))
    assert command == f"nox -s bench -- {option}"


def test_a_run_that_measured_nothing_says_so_and_how_to_go_on() -> None:
    up = "the time was up while the benchmarks of HEAD were built"
    run = report(verdict=BenchVerdict.INCONCLUSIVE, reason=up)
    shown = lines(replace(run, options=("--package=a", "--features=")))
    assert f"Nothing was measured: {up}." in shown
    assert shown[-2:] == [
        "Go on, with the builds that are kept:",
        "  nox -s bench -- --package a --features ''",
    ]
    assert lines(run)[-1] == "  nox -s bench"
    assert "Nothing was measured" in in_markdown(run)
    assert "Nothing was measured" in page(run)
