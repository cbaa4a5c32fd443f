"""What makes a pass of a test executable hold again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rustvmm_sessions.gate import passes
from rustvmm_sessions.gate.passes import Book, Contents, Pass, Suite, book_of, digest, environment

SUITE = Suite(
    name="it (tests/it.rs)",
    path="/t/debug/deps/it-1",
    documentation=False,
    files=("/t/debug/deps/it-1",),
    packages=("a",),
    programs=(),
    parts={"what was built": "1", "the environment": "2"},
)
PASSED = Pass(suite=SUITE, runs=("a with default features",), cases=(("one", "passed"), ("two", "ignored")))
FAILED = Pass(suite=SUITE, runs=("a with default features",))


def test_texts_and_their_order_and_borders_count() -> None:
    lists: tuple[list[str], ...] = (
        ["ab", "c"],
        ["a", "bc"],
        ["c", "ab"],
        ["abc"],
        ["ab", "c", ""],
        ["ab", "\udcff"],
        [],
    )
    assert len({digest(texts) for texts in lists}) == len(lists)


@pytest.mark.parametrize("name", ["RUST_LOG", "PWD", "HOME", "TERM", "LANG", "A"])
def test_a_variable_counts_unless_it_is_of_the_terminal_alone(name: str) -> None:
    usual = {"PATH": "/bin"}
    assert environment({**usual, name: "x"}) != environment(usual)
    assert environment({**usual, "SHLVL": "2", "SSH_TTY": "/dev/pts/1"}) == environment(usual)


def test_of_other_packages_nothing_counts_but_what_is_common() -> None:
    now = Contents(common="c", sources={"a": "1", "b": "2"})
    others = [
        replace(now, common="d"),
        replace(now, sources={"a": "9", "b": "2"}),
        replace(now, sources={"b": "2"}),
    ]
    programs = [{"/t/vmm": "3"}, {"/t/vmm": "9"}, {"/t/other": "3"}, {}]
    assert len({each.of(["a"], program) for each in (now, *others) for program in programs}) == 16
    assert replace(now, sources={"a": "1", "b": "9"}).of(["a"], {}) == now.of(["a"], {})


def test_a_pass_holds_for_the_very_same_parts_and_no_others() -> None:
    book = Book().with_end(PASSED)
    assert book.passed(SUITE) == PASSED
    for part in SUITE.parts:
        assert book.passed(replace(SUITE, parts={**SUITE.parts, part: "other"})) is None
    assert book.passed(replace(SUITE, path="/t/debug/deps/it-2")) is None


def test_what_failed_on_the_same_bytes_runs_each_time() -> None:
    for ends in ([FAILED], [FAILED, PASSED], [PASSED, FAILED], [PASSED, FAILED, PASSED]):
        book = Book()
        for end in ends:
            book = book.with_end(end)
        assert book.passed(SUITE) is None


def test_the_runs_of_a_pass_are_gathered() -> None:
    book = Book().with_end(PASSED).with_end(replace(PASSED, runs=("the whole workspace",)))
    known = book.passed(SUITE)
    assert known is not None
    assert known.runs == ("a with default features", "the whole workspace")


def test_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "MOST", 2)
    suites = [replace(SUITE, path=f"/t/{number}") for number in range(3)]
    book = Book()
    for suite in (*suites[:2], suites[0], suites[2]):
        book = book.with_end(replace(PASSED, suite=suite))
    assert [book.passed(suite) is not None for suite in suites] == [True, False, True]


@pytest.mark.parametrize("entry", [PASSED, FAILED, replace(PASSED, cases=(), unnamed=3)])
def test_a_book_is_read_as_it_is_written(entry: Pass) -> None:
    book = Book().with_end(entry)
    assert book_of(json.loads(json.dumps(book.as_json()))) == book
