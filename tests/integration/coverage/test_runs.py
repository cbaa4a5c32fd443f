"""Lines that not every run reaches: the tests run again where measured and recorded differ, only there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.crates import CrateBuilder, Outcome, new_crate

LIB = """\
pub fn always(x: u32) -> u32 {
    x + 1
}

pub fn sometimes(run: usize) -> usize {
    if run % 2 == 1 {
        return 1;
    }
    0
}

#[cfg(test)]
mod tests {
    fn run() -> usize {
        let log = std::env::var("RUN_LOG").unwrap();
        let before = std::fs::read_to_string(&log).unwrap_or_default();
        std::fs::write(&log, before.clone() + "run\\n").unwrap();
        before.lines().count() + std::env::var("FIRST").map_or(0, |first| first.parse().unwrap())
    }

    #[test]
    fn tests() {
        super::sometimes(run());
    }

    #[test]
    fn more() {
        assert_eq!(super::always(1), 2);
    }
}
"""
"""Of 22 lines, each second run reaches line 7, the others reach lines 8 and 9, the first among them."""
BACKENDS = ("cargo", "cargo-llvm-cov")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    return new_crate(tmp_path_factory.mktemp("raced") / "raced", "raced").with_lib(LIB)


@pytest.fixture
def crate(built: CrateBuilder) -> CrateBuilder:
    built.with_lib(LIB).with_noxfile()
    (built.directory / "tests/coverage").unlink(missing_ok=True)
    return built


def coverage(crate: CrateBuilder, *options: str, first: int = 0) -> tuple[Outcome, dict[str, Any], int]:
    """Return how the session ended, its JSON, and how often the tests ran."""
    log, report = crate.directory / "target" / "log", crate.directory / "target" / "out.json"
    log.parent.mkdir(exist_ok=True)
    log.write_text("")
    variables: dict[str, str | None] = {"RUN_LOG": str(log), "FIRST": str(first)}
    outcome = crate.coverage(*options, f"--json={report}", env=variables)
    return outcome, json.loads(report.read_text()), len(log.read_text().splitlines())


def test_a_difference_that_varying_lines_explain_is_none(crate: CrateBuilder) -> None:
    """The first run reaches two lines of the three; the record has one more or one less."""
    _, result, runs = coverage(crate, "--profile=devel")
    assert runs == 1
    alone, count = result["lines"]["covered"], result["lines"]["count"]
    for covered in (alone - 1, alone + 1):
        crate.with_record(f"90.0\nx86_64 {covered}/{count} rustc-1.95.0\n")
        outcome, result, runs = coverage(crate)
        assert outcome.code == 0, outcome.text
        assert runs == 2
        assert result["verdict"] == "equal"
        assert [(u["path"], u["line"]) for u in result["unstable"]] == [
            ("src/lib.rs", line) for line in (7, 8, 9)
        ]
        assert "src/lib.rs:7-9" in outcome.err
        assert "now is" not in outcome.text


def test_without_a_difference_nothing_runs_twice(crate: CrateBuilder) -> None:
    coverage(crate, "--profile=devel")
    outcome, result, runs = coverage(crate)
    assert (outcome.code, runs, result["unstable"]) == (0, 1, [])


def test_a_crate_may_have_its_tests_run_once(crate: CrateBuilder) -> None:
    _, result, _ = coverage(crate, "--profile=devel")
    covered, count = result["lines"]["covered"], result["lines"]["count"]
    crate.with_record(f"90.0\nx86_64 {covered + 1}/{count} rustc-1.95.0\n")
    crate.with_noxfile("coverage_reruns=0")
    outcome, result, runs = coverage(crate)
    assert (outcome.code, runs, result["verdict"]) == (1, 1, "lower")


def test_a_loss_of_more_lines_than_vary_is_found(crate: CrateBuilder) -> None:
    crate.with_lib(LIB + "\npub fn never() {\n    std::hint::black_box(1);\n}\n")
    crate.with_record("92.0\nx86_64 23/25 rustc-1.95.0\n")  # 22 lines are reached in some run
    outcome, result, runs = coverage(crate)
    assert (outcome.code, runs, result["verdict"]) == (1, 4, "lower")
    assert "src/lib.rs:7-9" in outcome.err


def test_what_is_higher_in_each_run_is_recorded(crate: CrateBuilder) -> None:
    crate.with_record("50.0\nx86_64 18/22 rustc-1.95.0\n")
    outcome, result, runs = coverage(crate)
    assert (outcome.code, runs, result["verdict"]) == (1, 4, "higher")
    assert "src/lib.rs:7-9" in outcome.err
    assert "Coverage is higher by 4.55 points" in outcome.out  # 19 lines at least
    outcome, result, runs = coverage(crate, "--profile=devel")
    assert (outcome.code, runs, result["wrote"]) == (0, 4, True)
    assert "x86_64 21/22" in crate.record  # 20, 20, 21, 21


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_all_and_any_runs_reached_is_the_same_for_both_backends(
    crate: CrateBuilder, backend: str
) -> None:
    outcome, result, runs = coverage(crate, "--profile=devel", "--repeat=3", f"--backend={backend}")
    assert runs == 3
    assert result["lines"] == {"covered": 21, "count": 22, "percent": pytest.approx(95.45, abs=0.01)}
    assert "19 to 22 lines are covered in 3 runs of the same build" in outcome.err
