"""What the session bench builds of both sides, with a criterion that is empty and quickly built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench_crates import read_json
from tests.crates import LIB, MANIFEST, CrateBuilder, Outcome, new_crate

if TYPE_CHECKING:
    from pathlib import Path

CRITERION = '[dev-dependencies]\ncriterion = "0.5"\n'
HARNESS = '[[bench]]\nname = "main"\nharness = false\n'
FEATURES = """\
[features]
postcopy = []
xen = []
[package.metadata.cargo-all-features]
skip_feature_sets = [["xen", "postcopy"]]
"""
APART = """\
#[cfg(all(feature = "xen", feature = "postcopy"))]
compile_error!("xen and postcopy exclude each other");
"""
SAME = "both builds give the same program"


def crate(tmp_path: Path, more: str = CRITERION + HARNESS, options: str = "") -> CrateBuilder:
    """Return a crate with benchmarks, whose base is its only commit, and a change that is none."""
    made = new_crate(tmp_path).with_published("criterion", "0.5.0").with_noxfile(options)
    made.with_file("Cargo.toml", MANIFEST.format(name="sample") + more)
    made.with_file("benches/main.rs", "fn main() {}\n").with_git()
    return made.with_lib(LIB + "// no change\n")


def bench(made: CrateBuilder, *options: str) -> Outcome:
    return made.nox("-s", "bench", "--", "--base", "HEAD", *options)


def test_features_that_exclude_each_other_are_not_built_together(tmp_path: Path) -> None:
    made = crate(tmp_path, CRITERION + HARNESS + FEATURES).with_lib(LIB + APART).commit("keep them apart")
    outcome = bench(made.with_lib(LIB + APART + "// no change\n"))
    assert (outcome.code, SAME in outcome.out) == (0, True), outcome.text
    assert "Building sample with feature postcopy: the table of cargo-all-features" in outcome.out
    chosen = bench(made, "--features", "xen")
    assert (chosen.code, chosen.err.count("--features=xen ")) == (0, 2), chosen.text
    both = bench(made, "--features", "xen,postcopy")
    assert (both.code, "xen and postcopy exclude each other" in both.err) == (1, True)
    assert "the benchmarks of HEAD do not build" in both.err
    unknown = bench(made, "--features", "zen")
    assert (unknown.code, "did you mean 'xen'?" in unknown.err) == (1, True)


def test_a_base_without_the_table_or_the_feature_is_built_as_head_is(tmp_path: Path) -> None:
    plain = FEATURES.partition("[package.metadata")[0]
    made = crate(tmp_path, CRITERION + HARNESS + plain).with_lib(LIB + APART).commit("exclude each other")
    manifest = MANIFEST.format(name="sample") + CRITERION + HARNESS + FEATURES
    outcome = bench(made.with_file("Cargo.toml", manifest))
    assert (outcome.code, SAME in outcome.out) == (0, True), outcome.text
    made.with_file("Cargo.toml", manifest.replace("xen = []", "xen = []\nnew = []"))
    outcome = bench(made, "--features=xen,new,sample/new")
    assert (outcome.code, SAME in outcome.out) == (0, True), outcome.text
    assert "the base is built without new, sample/new, which it has not" in outcome.err


def test_a_file_that_git_ignores_is_named_as_the_reason_and_can_be_brought(tmp_path: Path) -> None:
    made = crate(tmp_path).with_file(".gitignore", "/target\n__pycache__\n/vm\n/kernel.bin\n")
    source = 'const A: &[u8] = include_bytes!("../vm/a");\nfn main() { assert!(!A.is_empty()); }\n'
    made.with_file("benches/main.rs", source).commit("read files").with_lib(LIB + "// more\n")
    made.with_file("vm/a", "1").with_file("vm/b", "1").with_file("kernel.bin", "1")
    outcome = bench(made, "--report-only")
    assert outcome.code == 1
    assert "the benchmarks of base do not build" in outcome.err
    assert (
        'which has only what git has: name files that are untracked or ignored in register(bench={"files"'
        in (outcome.err)
    )
    made.with_noxfile("bench={'files': ['vm/**', '*.bin', 'Cargo.toml', 'no such']}")
    manifest = (made.directory / "Cargo.toml").read_text()
    made.with_file("Cargo.toml", manifest.replace("0.1.0", "0.1.1"))
    outcome = bench(made)
    assert (outcome.code, SAME in outcome.out) == (0, True), outcome.text
    assert "nothing here matches 'no such'" in outcome.err
    assert "Compiling sample v0.1.0" in outcome.err, "what the base has is not replaced"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (HARNESS, "it does not depend on criterion"),
        (CRITERION, "it is cargo's own, for want of `harness = false`"),
        (
            '[dev-dependencies]\ncriterion = { package = "divan-compat", version = "2" }\n' + HARNESS,
            "its criterion is divan-compat 2.0.0",
        ),
    ],
)
def test_what_is_no_criterion_harness_is_refused_before_a_build(tmp_path: Path, more: str, why: str) -> None:
    made = crate(tmp_path, more).with_published("divan-compat", "2.0.0").commit("the first change")
    outcome = bench(made.with_lib(LIB + "// another\n"), "--report-only")
    assert outcome.code == 1
    assert f"the benchmarks of sample do not use criterion: {why}" in outcome.err
    assert "Compiling" not in outcome.err
    # A base that is none is no hindrance to what replaces it.
    made.with_file("Cargo.toml", MANIFEST.format(name="sample") + CRITERION + HARNESS)
    outcome = bench(made)
    assert (outcome.code, "Compiling" in outcome.err) == (0, False), outcome.text
    assert "There is nothing to compare: the benchmarks of the base are not criterion's." in outcome.out


def test_criterion_by_way_of_another_crate_is_criterion(tmp_path: Path) -> None:
    made = crate(tmp_path, '[dev-dependencies]\nhelper = "1"\n' + HARNESS)
    outcome = bench(made.with_published("helper", "1.0.0", 'criterion = "0.5"'))
    assert outcome.code == 1  # the base's folder vendor has none yet, and cargo says so
    made.commit("help").with_lib(LIB + "// more\n")
    outcome = bench(made)
    assert (outcome.code, SAME in outcome.out) == (0, True), outcome.text


@pytest.mark.parametrize(
    ("name", "minutes", "doing"),
    [
        ("build.rs", 0.03, "benchmarks of HEAD were built"),
        ("benches/main.rs", 0.3, "benchmarks of base were listed"),
    ],
)
def test_time_that_is_up_before_a_measurement_is_no_verdict(
    tmp_path: Path, name: str, minutes: float, doing: str
) -> None:
    sleep = "fn main() { std::thread::sleep(std::time::Duration::from_secs(60)) }\n"
    made = crate(tmp_path).with_file(name, sleep).commit("be slow")
    made.with_file("benches/main.rs", sleep.replace("60", "61"))
    options = (f"--max-minutes={minutes}", "--json", str(tmp_path / "out.json"))
    outcome = bench(made, "--report-only", *options)
    assert (outcome.code, "do not build" in outcome.text) == (0, False), outcome.text
    assert f"Nothing was measured: the time was up while the {doing}." in outcome.out
    assert "  nox -s bench -- --base HEAD\n" in outcome.out
    assert read_json(tmp_path / "out.json")["verdict"] == "inconclusive"
    if name == "build.rs":
        outcome = bench(made, *options)
        assert (outcome.code, f"nothing was measured: the time was up while the {doing}" in outcome.err) == (
            1,
            True,
        )
