"""The end of a run in a terminal."""

from __future__ import annotations

import pytest

from rustvmm_sessions.results import Finding, Result
from rustvmm_sessions.views.terminal import LEAST_LINES, MOST_LINES, Line, end, repeat

FMT = Result(session="fmt", result="passed", seconds=0.26, repeat="nox -s fmt")
COUNTS = {"passed": 17, "failed": 1, "ignored": 2, "cached": 0, "quarantined": 0}
BROKEN = Finding(
    kind="test",
    title="test tests::broken failed in vm_device (src/lib.rs)",
    message="own output\n\nthread 'tests::broken' (7) panicked at src/lib.rs:3:5:\nwhy\n"
    "stack backtrace:\n   0: std::panicking\n             at /rustc/std.rs:1:2\n"
    "note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.\n",
    file="src/lib.rs",
    line=3,
)
LINT = Finding(
    kind="lint",
    title="writing `&Vec` (clippy::ptr_arg)",
    message="error: writing `&Vec`\n --> src/lib.rs:290:16\n  |\n  = help: use a slice",
    file="src/lib.rs",
    line=290,
)
TESTS = Result(
    session="unit-tests",
    result="failed",
    seconds=83.04,
    message="sample with feature a fails; repeat it:\n  cargo test --features=a\n  exit status 101",
    fix="cargo test --features=a",
    repeat="nox -s unit-tests",
    findings=(BROKEN,),
    tests=COUNTS,
    output="\nrunning 18 tests\ntest sums ... ok\ntest tests::broken ... FAILED\n",
)
CLIPPY = Result(
    session="clippy", result="failed", seconds=1, fix="cargo clippy", repeat="nox -s clippy", findings=(LINT,)
)
AUDIT = Result(
    session="audit", result="skipped", seconds=0, message="audit is for aarch64\n  this is another machine"
)


def said(*results: Result) -> list[str]:
    return [line.text for line in end(results, 84.2)]


def test_what_failed_comes_once_then_the_table_then_the_command() -> None:
    assert said(FMT, CLIPPY, TESTS, AUDIT) == [
        "",
        "clippy failed",
        "  error: writing `&Vec`",
        "   --> src/lib.rs:290:16",
        "    |",
        "    = help: use a slice",
        "",
        "unit-tests failed: 1 of 18 tests",
        "  src/lib.rs:3: test tests::broken failed in vm_device (src/lib.rs)",
        "    own output",
        "",
        "    thread 'tests::broken' (7) panicked at src/lib.rs:3:5:",
        "    why",
        "",
        "session     result   seconds  tests           what to do",
        "fmt         passed       0.3",
        "clippy      failed       1.0                  cargo clippy",
        "unit-tests  failed      83.0  1 of 18 failed  cargo test --features=a",
        "audit       skipped      0.0                  audit is for aarch64",
        "4 sessions in 84.2 s: 2 failed, 1 passed, 1 skipped",
        "",
        "repeat: nox -s clippy unit-tests",
    ]


def test_one_session_that_fails_ends_with_its_findings_and_its_command() -> None:
    lines = said(TESTS)
    assert lines[:3] == ["", "unit-tests failed: 1 of 18 tests", f"  src/lib.rs:3: {BROKEN.title}"]
    assert lines[-1] == "repeat: nox -s unit-tests"


@pytest.mark.parametrize(
    "results", [(), (FMT,), (AUDIT,), (Result(session="a", result="failed", seconds=1),)]
)
def test_one_session_without_findings_has_said_all(results: tuple[Result, ...]) -> None:
    assert said(*results) == []


def test_where_nothing_failed_the_table_is_all() -> None:
    assert said(FMT, AUDIT)[-1] == "2 sessions in 84.2 s: 1 passed, 1 skipped"
    assert len(said(FMT, AUDIT)) == 5


def test_a_failure_that_two_sessions_come_to_is_shown_once() -> None:
    coverage = Result(
        session="coverage", result="failed", seconds=1, findings=(BROKEN,), repeat="nox -s coverage"
    )
    lines = said(TESTS, coverage)
    assert sum("own output" in line for line in lines) == 1
    assert f"  src/lib.rs:3: {BROKEN.title} (see unit-tests)" in lines


@pytest.mark.parametrize("sessions", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 7, 500])
@pytest.mark.parametrize("length", [0, 1, 1000])
def test_all_failures_together_fit_a_screen(sessions: int, count: int, length: int) -> None:
    failed = [
        Result(
            session=f"s{session}",
            result="failed",
            seconds=1,
            repeat=f"nox -s s{session}",
            findings=tuple(
                Finding(kind=kind, title=f"{session} {n}", message="\n".join(map(str, range(length))))
                for n in range(count)
                for kind in ("test", "lint", "coverage")
            ),
        )
        for session in range(sessions)
    ]
    lines = said(FMT, *failed)
    most = max(MOST_LINES, sessions * LEAST_LINES) + 3 * sessions
    assert lines.index("session  result  seconds  what to do") <= most + 1
    assert all(f"  {session} 0" in lines or length for session in range(sessions))
    if 3 * count > most:
        assert any(line.startswith("  and ") for line in lines)


def test_without_a_finding_the_end_of_the_output_and_the_message_are_shown() -> None:
    output = "\n".join(f"\x1b[31mline {n}\x1b[0m" for n in range(1000))
    failed = Result(
        session="own", result="failed", seconds=1, message="why", output=output, repeat="nox -s own"
    )
    lines = said(FMT, failed)
    start = lines.index("own failed")
    assert lines[start + 1] == f"  ({1000 - MOST_LINES // 2 + 1} lines before)"
    assert lines[start + MOST_LINES // 2 : start + MOST_LINES // 2 + 2] == ["  line 999", "  why"]


@pytest.mark.parametrize(
    ("commands", "together"),
    [
        (["nox -s a", "nox -s b"], "nox -s a b"),
        (["nox -s a -- --fix 'x y'", "nox -s 'b: c/d' -- --fix 'x y'"], "nox -s a 'b: c/d' -- --fix 'x y'"),
        (["nox -f ../noxfile.py -s a", "nox -f ../noxfile.py -s b"], "nox -f ../noxfile.py -s a b"),
        (["nox -s a"], "nox -s a"),
        (["rustvmm-sessions bench"], "rustvmm-sessions bench"),
        (["pytest -x", "pytest -x"], "pytest -x"),
    ],
)
def test_one_command_repeats_all_that_failed(commands: list[str], together: str) -> None:
    failed = [Result(session="any", result="failed", seconds=1, repeat=command) for command in commands]
    assert repeat(failed) == together


def test_a_line_is_coloured_as_its_result() -> None:
    styles = {line.text.split()[0]: line.style for line in end([FMT, TESTS, AUDIT], 1) if line.text}
    assert (styles["fmt"], styles["unit-tests"], styles["audit"]) == ("passed", "failed", "skipped")
    assert Line(text="a", style="failed").coloured("a") == "\x1b[31ma\x1b[0m"
    assert Line(text="a").coloured("a") == "a"


def test_a_row_that_is_wrapped_keeps_the_colour_of_its_result() -> None:
    long = Result(session="clippy", result="failed", seconds=1, fix="cargo " * 30, repeat="nox -s clippy")
    lines = [line for line in end([FMT, long], 1, 60) if line.text.startswith((" ", "clippy"))]
    wrapped = [line for line in lines if line.text.strip().startswith("cargo")]
    assert wrapped
    assert {line.style for line in wrapped} == {"failed"}
