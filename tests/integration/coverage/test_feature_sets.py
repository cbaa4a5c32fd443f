"""Several builds, each with features of its own, in one figure: that of cargo-llvm-cov's merged report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crates import CrateBuilder
from tests.integration.coverage.measuring import BACKENDS, Counts, both, directly, measure

ROOT = """\
[package]
name = "backend"
version = "0.1.0"
edition = "2021"

[features]
default = ["usual"]
usual = []
xen = ["more/extra"]
postcopy = []

[dependencies]
more = { path = "more" }

[workspace]
members = ["more"]
"""
LIB = """\
#[cfg(all(feature = "xen", feature = "postcopy"))]
compile_error!("xen and postcopy exclude each other");

#[cfg(feature = "usual")]
pub fn usual() -> u32 {
    1
}

pub fn kind(number: u32) -> u32 {
    if cfg!(feature = "xen") {
        return number;
    }
    if cfg!(feature = "postcopy") {
        return number + 1;
    }
    number + 2
}

#[cfg(feature = "xen")]
pub fn xen() -> u32 {
    more::number()
}

#[cfg(feature = "postcopy")]
pub fn postcopy(number: u32) -> u32 {
    if number > 1 {
        return 2;
    }
    3
}

#[cfg(test)]
mod tests {
    #[test]
    fn works() {
        assert!(super::kind(1) > 0);
        #[cfg(feature = "xen")]
        assert_eq!(super::xen(), 5);
        #[cfg(feature = "postcopy")]
        assert_eq!(super::postcopy(0), 3);
    }
}
"""
PROGRAM = """\
#[cfg(feature = "xen")]
fn name() -> String {
    format!("xen {}", backend::xen())
}

#[cfg(feature = "postcopy")]
fn name() -> String {
    let number = backend::postcopy(2);
    format!("postcopy {number}")
}

fn main() {
    println!("{}", name());
}
"""
PROGRAM_TEST = """\
#[test]
fn it_prints() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_backend")).output().unwrap();
    let expected = if cfg!(feature = "xen") { "xen 5" } else { "postcopy 2" };
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected);
}
"""
MORE = """\
pub fn number() -> u32 {
    if cfg!(feature = "extra") {
        return 5;
    }
    4
}

#[test]
fn number_is_small() {
    assert!(number() < 6);
}
"""
BUILD = """\
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_EXTRA").is_some() {
        println!("cargo::rustc-cfg=built_with_extra");
    }
}
"""
SETS = 'coverage_features=[["xen"], ["postcopy"]]'


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    crate = CrateBuilder(tmp_path_factory.mktemp("sets") / "sets").with_noxfile(SETS)
    crate.with_file("Cargo.toml", ROOT).with_file("src/main.rs", PROGRAM)
    crate.with_file("tests/program.rs", PROGRAM_TEST).with_file("more/build.rs", BUILD)
    manifest = '[package]\nname = "more"\nversion = "0.1.0"\nedition = "2021"\n[features]\nextra = []\n'
    return crate.with_file("more/Cargo.toml", manifest).with_file("more/src/lib.rs", MORE)


@pytest.fixture
def crate(built: CrateBuilder) -> CrateBuilder:
    return built.with_lib(LIB).with_noxfile(SETS)


@pytest.fixture(scope="module")
def merged(built: CrateBuilder) -> Counts:
    built.with_lib(LIB)
    return directly(built, "--workspace", sets=("xen", "postcopy"))


def test_the_figure_is_that_of_cargo_llvm_cov_cold_and_warm(crate: CrateBuilder, merged: Counts) -> None:
    """Both programs count: that of the first set is no longer where cargo puts it."""
    assert merged["src/main.rs"] == (10, 10)
    assert both(crate) == merged
    assert both(crate) == merged


def test_one_member_alone_counts_its_sets(crate: CrateBuilder) -> None:
    assert both(crate, "--scope=crate") == directly(crate, sets=("xen", "postcopy"))


def test_after_an_edit_or_other_sets_it_counts_as_a_fresh_build(crate: CrateBuilder, merged: Counts) -> None:
    crate.with_lib(LIB.replace("postcopy(0), 3", "postcopy(2), 2"))
    assert both(crate) == directly(crate, "--workspace", sets=("xen", "postcopy")) != merged
    crate.with_lib(LIB).with_noxfile('coverage_features=[["postcopy"]]')
    assert both(crate) == directly(crate, "--workspace", "--features=postcopy")
    crate.with_noxfile(SETS)
    assert both(crate) == merged


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_configurations_features_give_way_and_its_exclusions_stay(
    crate: CrateBuilder, merged: Counts, backend: str
) -> None:
    config = crate.directory / "coverage_config_x86_64.json"
    crate.with_file(config.name, '{"crate_features": "no-such", "exclude_path": "main.rs"}')
    try:
        counted = measure(crate, f"--backend={backend}")
    finally:
        config.unlink()
    assert counted == {name: counts for name, counts in merged.items() if name != "src/main.rs"}


def test_a_set_that_fails_or_does_not_build_is_named(crate: CrateBuilder) -> None:
    crate.with_lib(LIB.replace("postcopy(0), 3", "postcopy(0), 4"))
    outcome = crate.coverage("--profile=devel")
    assert outcome.code == 1
    assert "--workspace --features=postcopy" in outcome.err
    assert not (Path(crate.directory) / "tests/coverage").exists()
    crate.with_lib(LIB).with_noxfile('coverage_features=[["xen"], ["xen", "postcopy"]]')
    outcome = crate.coverage("--profile=devel")
    assert outcome.code == 1
    assert "--features=xen,postcopy" in outcome.err
