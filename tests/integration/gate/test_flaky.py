"""Flaky tests, by real cargo and nextest: repeated until they fail, and quarantined until a day."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.sessions import crate_in, ending, session

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crates import CrateBuilder

EVERY_THIRD = """//! A test that fails in every third run, and one that never does.

/// ```
/// assert!(std::env::var_os("DOCTEST_FAILS").is_none());
/// ```
pub fn documented() {}

#[cfg(test)]
mod tests {
    #[test]
    fn sometimes() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/target/runs");
        let runs = std::fs::read(file).map_or(0, |runs| runs.len()) + 1;
        std::fs::write(file, vec![b'.'; runs]).unwrap();
        assert!(runs % 3 != 0, "run {runs}");
    }

    #[test]
    fn always() {}
}
"""
BROKEN = """#[test]
fn broken() {
    panic!("at once");
}
"""
NEXTEST = '"runner": "nextest", "doctests": False'


def flaky(directory: Path, options: str = "") -> CrateBuilder:
    return crate_in(directory, lib=EVERY_THIRD, options=options)


@pytest.mark.parametrize("runner", ["", NEXTEST])
def test_repeat_names_what_fails_and_how_often(tmp_path: Path, runner: str) -> None:
    options = f'overrides={{"unit-tests": {{{runner or "%doctests%: False".replace("%", chr(34))}}}}}'
    crate = flaky(tmp_path, options)
    outcome = session(crate, "unit-tests", "--repeat", "4", env={"RUSTVMM_RESULTS": "target/results"})
    assert outcome.code == 1
    assert re.search(r"^1 of 4  tests::sometimes  ", outcome.out, re.MULTILINE)
    assert "always" not in outcome.out.partition("failed  test")[2]
    result = json.loads((crate.directory / "target/results/unit-tests.json").read_text())
    (finding,) = result["findings"]
    assert finding["title"].startswith("test tests::sometimes failed in 1 of 4 runs")
    assert "run 3" in finding["message"]
    assert (finding["file"], finding["line"]) == ("src/lib.rs", 15)


def test_until_fail_stops_at_the_first_failure(tmp_path: Path) -> None:
    outcome = session(flaky(tmp_path), "unit-tests-release", "--repeat=50", "--until-fail", "sometimes")
    assert outcome.code == 1
    assert "Run 3 of 50" in outcome.out
    assert "Run 4 of 50" not in outcome.out
    assert "1 of 3  tests::sometimes" in outcome.out


def test_runs_that_all_pass_pass(tmp_path: Path) -> None:
    outcome = session(flaky(tmp_path), "unit-tests-release", "--repeat", "2", "always")
    assert outcome.code == 0, outcome.text
    assert "No test failed in 2 runs." in outcome.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--repeat", "1"), "'1' is not a number of runs from 2 to 100000"),
        (("--repeat", "often"), "'often' is not a number of runs"),
        (("--until-fail",), "--until-fail needs --repeat"),
    ],
)
def test_wrong_words(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    outcome = session(flaky(tmp_path), "unit-tests", *words)
    assert outcome.code == 1
    assert said in outcome.err


def quarantine(until: str, *names: str) -> str:
    return f"quarantine={{{', '.join(f'{name!r}: ({chr(34)}#12{chr(34)}, {until!r})' for name in names)}}}"


@pytest.mark.parametrize("runner", ["", NEXTEST])
def test_a_quarantined_test_may_fail_alone(tmp_path: Path, runner: str) -> None:
    excused = quarantine("2999-12-31", "broken")
    options = f'{excused}, overrides={{"unit-tests": {{{runner}}}}}'
    crate = flaky(tmp_path, options).with_file("tests/it.rs", BROKEN).commit("a broken test")
    results: dict[str, str | None] = {"RUSTVMM_RESULTS": "target/results"}
    outcome = session(crate, "unit-tests", env=results)
    assert outcome.code == 0, outcome.text
    assert "warning: quarantined until 2999-12-31: test broken failed in " in outcome.err
    tests = json.loads((crate.directory / "target/results/unit-tests.json").read_text())["tests"]
    assert (tests["quarantined"], tests["failed"]) == (1, 0)

    crate.with_file("tests/zz.rs", BROKEN.replace("broken", "other")).commit("another")
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1, "the one that is quarantined came first, and the other still ran"
    assert "other" in outcome.text


def test_a_documentation_test_may_be_quarantined_and_a_crash_may_not(tmp_path: Path) -> None:
    crate = flaky(tmp_path, quarantine("2999-12-31", "src/lib.rs - documented (line 3)", "broken"))
    outcome = session(crate, "unit-tests", env={"DOCTEST_FAILS": "1"})
    assert outcome.code == 0, outcome.text
    assert "src/lib.rs - documented (line 3) failed" in outcome.err
    crate.with_file("tests/it.rs", BROKEN.replace('panic!("at once")', "std::process::abort()"))
    outcome = session(crate.commit("a crash"), "unit-tests")
    assert outcome.code == 1
    assert "quarantined" not in outcome.err


def test_after_its_day_a_quarantined_test_fails(tmp_path: Path) -> None:
    crate = flaky(tmp_path, quarantine("2026-01-31", "broken")).with_file("tests/it.rs", BROKEN).commit("it")
    outcome = session(crate, "unit-tests-release")
    assert outcome.code == 1
    assert "warning: broken is no longer quarantined since 2026-01-31 (#12)" in outcome.err
    assert "error: sample with default features fails" in ending(outcome)


def test_coverage_is_measured_beside_a_quarantined_failure(tmp_path: Path) -> None:
    crate = flaky(tmp_path, quarantine("2999-12-31", "broken")).with_file("tests/it.rs", BROKEN).commit("it")
    outcome = crate.coverage("--profile", "devel")
    assert outcome.code == 0, outcome.text
    assert "quarantined until 2999-12-31: test broken failed" in outcome.err
    assert (crate.directory / "tests" / "coverage").exists()
