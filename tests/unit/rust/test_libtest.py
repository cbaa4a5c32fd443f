"""What cargo test prints, captured from real runs, and what is read out of it.

The crates a and b have the same 14 unit tests, of which 7 fail; a also has a test that aborts, one
that exits, and one with a harness of its own, whose output looks like libtest's.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.results import MOST_BYTES, Report
from rustvmm_sessions.rust.libtest import SuiteListener, location, tell

if TYPE_CHECKING:
    from rustvmm_sessions.results import Result

DATA = Path(__file__).parents[2] / "data/libtest"
UNIT_TESTS = {
    "tests::errs": None,
    "tests::fails": 40,
    "tests::fails_without_newline": 35,
    "tests::in_std": 43,
    "tests::in_thread": 45,
    "tests::should_panic_none": 57,
    "tests::should_panic_wrong": 54,
}
"""The unit tests that fail, each with its line."""


def result_of(stream: SuiteListener) -> Result:
    report = Report(Path("/crate"))
    tell(report, stream.suites(), report.file, "with default features")
    return report.result(session="unit-tests", result="failed", seconds=1)


def read(name: str, step: int = 1 << 16, *, errors_first: bool = True) -> Result:
    """Return what a captured run comes to; of both pipes nothing says which was written first."""
    stream = SuiteListener()
    out, err = ((DATA / f"{name}.{pipe}").read_bytes() for pipe in ("out", "err"))
    for first in (errors_first, not errors_first):
        data, take = (err, stream.stderr) if first else (out, stream.stdout)
        for start in range(0, len(data), step):
            take(data[start : start + step])
    return result_of(stream)


def failed(result: Result, suite: str) -> dict[str, int | None]:
    """Return the failed tests of a suite, each with the line of its finding."""
    lines = {finding.title: finding.line for finding in result.findings}
    return {
        case.name: lines[f"test {case.name} failed in {suite}"]
        for case in result.cases
        if case.suite == suite and case.result == "failed"
    }


@pytest.mark.parametrize("errors_first", [True, False])
@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("name", ["plain", "nocapture", "one-thread", "colour"])
def test_tests_are_found_with_suite_result_and_line(name: str, step: int, errors_first: bool) -> None:
    result = read(name, step, errors_first=errors_first)
    for crate in "ab":
        found = failed(result, f"{crate} (src/lib.rs)")
        assert found == UNIT_TESTS
    crashed = [f.title for f in result.findings if " ended with " in f.title]
    assert crashed == [
        "abort (tests/abort.rs) ended with signal: 6, SIGABRT: process abort signal",
        "zexit (tests/zexit.rs) ended with exit status: 7",
    ]
    assert {f.file for f in result.findings if f.line == 40} == {"a/src/lib.rs", "b/src/lib.rs"}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        # Unit tests of a: 5, 7 and 2, of b one less; documentation tests: 2, 3 and 1; `fine` and `custom`.
        ("plain", (15, 20, 6)),
        ("quiet", (14, 20, 6)),
        ("nocapture", (11, 14, 4)),
        ("colour", (11, 14, 4)),
        ("one-thread", (10, 14, 4)),  # `aborts` comes first
        ("nightly", (5, 7, 2)),
    ],
)
def test_counts_are_those_of_the_harness(name: str, counts: tuple[int, ...]) -> None:
    result = read(name)
    assert result.tests == dict(
        zip(("passed", "failed", "ignored", "cached", "quarantined"), (*counts, 0, 0), strict=True)
    )


@pytest.mark.parametrize("name", ["plain", "quiet"])
def test_documentation_tests_have_the_line_where_they_begin(name: str) -> None:
    places = {(f.file, f.line) for f in read(name).findings if "src/lib.rs - " in f.title}
    assert places == {(f"{crate}/src/lib.rs", line) for crate in "ab" for line in (1, 11, 23)}


def test_of_a_test_that_passed_nothing_is_kept_and_of_one_that_failed_its_own_output() -> None:
    cases = {case.name: case for case in read("plain").cases if case.suite == "a (src/lib.rs)"}
    assert cases["tests::passes"].output == ""
    output = cases["tests::fails"].output
    assert output.startswith("---- tests::passes stdout ----\nfailures:\n    x\ntest result: ok. 100 passed")
    assert "index out of bounds: the len is 0 but the index is 3" in output
    assert "tests::in_std" not in output
    assert cases["tests::errs"].output == 'Error: "an error"'
    assert cases["tests::in_thread"].features == "with default features"


@pytest.mark.parametrize("name", ["plain", "nocapture", "one-thread"])
def test_what_a_test_prints_is_no_result_of_another(name: str) -> None:
    cases = Counter(case.name for case in read(name).cases if case.suite == "a (src/lib.rs)")
    assert set(cases.values()) == {1}
    assert "tests::fake" not in {case.name for case in read(name).cases if case.result == "failed"}


def test_with_one_thread_the_test_that_ran_when_it_crashed_is_named() -> None:
    (crash,) = [f for f in read("one-thread").findings if f.title.startswith("abort ")]
    assert "it was running aborts" in crash.message
    assert "repeat: cargo test -p a --test abort" in crash.message


def test_times_are_read_where_the_harness_gives_them() -> None:
    assert all(case.seconds is not None for case in read("nightly").cases if case.result == "failed")


def test_successes_that_are_shown_are_none_of_what_failed() -> None:
    result = read("show-output")
    assert failed(result, "a (src/lib.rs)") == UNIT_TESTS
    assert not any("pass output" in finding.message for finding in result.findings)


def test_a_test_without_a_harness_that_fails_is_a_finding() -> None:
    stream = SuiteListener()
    stream.stderr(b"     Running tests/own.rs (target/debug/deps/own-8db6cacf1ccaea1b)\n")
    stream.stderr(b"error: test failed, to rerun pass `--test own`\n")
    (finding,) = result_of(stream).findings
    assert finding.title == "own (tests/own.rs) failed"
    assert finding.message == "repeat: cargo test --test own"


def test_of_endless_output_counts_hold_and_no_more_than_its_ends_are_kept() -> None:
    stream = SuiteListener()
    stream.stderr(b"     Running unittests src/lib.rs (target/debug/deps/a-8db6cacf1ccaea1b)\n")
    stream.stdout(
        b"\nrunning 2 tests\ntest loud ... FAILED\ntest fine ... ok\n\nfailures:\n\n---- loud stdout ----\n"
    )
    for number in range(300):
        stream.stdout(b"line %d\n" % number * 1000)
    stream.stdout(b"x" * 10_000_000)  # without a line's end
    stream.stdout(b"\nthread 'loud' (1) panicked at src/lib.rs:7:9:\nenough\n\n\nfailures:\n    loud\n\n")
    stream.stdout(b"test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\n")
    result = result_of(stream)
    assert result.tests is not None
    assert (result.tests["passed"], result.tests["failed"]) == (1, 1)
    (finding,) = result.findings
    assert (finding.file, finding.line) == ("src/lib.rs", 7)
    assert len(finding.message) <= MOST_BYTES + 100
    assert finding.message.startswith("line 0\n")
    assert finding.message.endswith("enough")


def test_a_failed_test_that_runs_cargo_test_itself_ends_no_suite() -> None:
    inner = (
        "running 1 test\ntest inner ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; "
    )
    failing = "failures:\n    inner\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; "
    listener = SuiteListener()
    listener.stderr(b"     Running unittests src/lib.rs (target/debug/deps/a-8db6cacf1ccaea1b)\n")
    listener.stdout(b"\nrunning 1 test\ntest outer ... FAILED\n\nfailures:\n\n---- outer stdout ----\n")
    listener.stdout(f"{inner}0 filtered out\n\n{failing}0 filtered out\n\nthe end of outer\n".encode())
    listener.stdout(
        b"\n\nfailures:\n    outer\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; "
    )
    listener.stdout(b"0 filtered out; finished in 0.00s\n\n")
    listener.stderr(b"error: test failed, to rerun pass `--lib`\n")
    result = result_of(listener)
    (finding,) = result.findings
    assert finding.title == "test outer failed in a (src/lib.rs)"
    assert finding.message.endswith("the end of outer")
    assert result.tests == {"passed": 0, "failed": 1, "ignored": 0, "cached": 0, "quarantined": 0}


def test_many_failures_that_print_much_are_kept_in_short() -> None:
    listener = SuiteListener()
    names = [f"t{number}" for number in range(100)]
    listener.stdout(b"\nrunning 100 tests\n")
    listener.stdout("".join(f"test {name} ... FAILED\n" for name in names).encode())
    listener.stdout(b"\nfailures:\n\n")
    for name in names:
        listener.stdout(f"---- {name} stdout ----\n".encode() + b"much and more of it\n" * 3000)
    listener.stdout(b"\nfailures:\n" + "".join(f"    {name}\n" for name in names).encode())
    listener.stdout(b"\ntest result: FAILED. 0 passed; 100 failed; 0 ignored; 0 measured; 0 filtered out\n")
    result = result_of(listener)
    assert len(result.findings) == 100
    assert sum(len(finding.message) for finding in result.findings) < 3_000_000  # of 6_000_000


@pytest.mark.parametrize(
    ("name", "output", "place"),
    [
        ("t", "thread 't' panicked at src/lib.rs:3:5:\nwhy", ("src/lib.rs", 3)),
        ("t", "thread 't' (77) panicked at src/a b.rs:3:5:\nwhy", ("src/a b.rs", 3)),
        ("t", "thread 't' panicked at 'why', src/lib.rs:3:5", ("src/lib.rs", 3)),
        ("t", "thread 'w' panicked at w.rs:1:1:\nthread 't' panicked at t.rs:2:2:", ("t.rs", 2)),
        ("t", "thread 'w' panicked at w.rs:1:1:\nwhy", ("w.rs", 1)),
        ("t", "note: test did not panic as expected at src/lib.rs:59:8", ("src/lib.rs", 59)),
        ("src/lib.rs - Bus::new (line 8)", "thread 'main' panicked at src/lib.rs:99:1:", ("src/lib.rs", 8)),
        ("README.md - (line 8) - compile fail", "", ("README.md", 8)),
        ("t", 'Error: "why"', ("", None)),
    ],
)
def test_the_place_of_a_failure(name: str, output: str, place: tuple[str, int | None]) -> None:
    assert location(name, output) == place
