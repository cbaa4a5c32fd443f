"""Words for cargo test and cargo-nextest: what runs is what these run in the workspace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.crates import CrateBuilder, run
from tests.integration.sessions import session

if TYPE_CHECKING:
    from tests.crates import Outcome

NEXTEST = 'overrides={"unit-tests": {"runner": "nextest"}}'


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    """A workspace with a member for each type of crate; only ``plain`` has documentation tests."""
    crate = CrateBuilder(tmp_path_factory.mktemp("mixed"))
    for kind in ("lib", "dylib", "cdylib", "staticlib", "rlib", "proc-macro", "bin"):
        name = {"lib": "plain", "proc-macro": "macros"}.get(kind, kind)
        manifest = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n'
        if kind == "proc-macro":
            manifest += "[lib]\nproc-macro = true\n"
        elif kind not in ("lib", "bin"):
            manifest += f'[lib]\ncrate-type = ["{kind}"]\n'
        if kind == "lib":
            manifest += '[features]\nextra = []\n[[test]]\nname = "needy"\nrequired-features = ["extra"]\n'
            crate.with_file("plain/tests/it.rs", f"{example('it')}#[test]\n#[ignore]\nfn ignored() {{}}\n")
            crate.with_file("plain/tests/needy.rs", example("needy"))
        documented = "//! ```\n//! assert_eq!(1, 1);\n//! ```\n" if kind == "lib" else ""
        main = "fn main() {}\n" if kind == "bin" else ""
        crate.with_file(f"{name}/Cargo.toml", manifest)
        crate.with_file(
            f"{name}/src/{'main' if main else 'lib'}.rs", documented + main + example(f"of_{name[:4]}")
        )
    crate.with_file("cdylib/tests/it.rs", example("it_of_cdylib"))
    crate.with_file(
        "Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["*"]\nexclude = ["target", ".git"]\n'
    )
    crate.with_file(".gitignore", "/target\n/Cargo.lock\n")
    crate.git("init", "--quiet")
    return crate.with_noxfile().commit("start")


def example(name: str) -> str:
    return f"#[test]\nfn {name}() {{}}\n"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--lib",),
        ("--bins",),
        ("--bin", "bin"),
        ("--test", "it"),
        ("--test", "i*", "--bin", "bin"),
        ("--test", "needy", "--all-features"),
        ("--doc",),
        ("--tests",),
        ("-p", "cdylib"),
        ("-p", "plain", "--package", "bin"),
        ("-p", "*dylib", "--lib"),
        ("--workspace", "--exclude", "plain"),
        ("--features", "extra", "--test", "needy"),
        ("--no-default-features",),
        ("of_plai",),
        ("--no-fail-fast", "--", "it", "--exact"),
    ],
)
def test_words_mean_what_they_mean_to_cargo_test(mixed: CrateBuilder, words: tuple[str, ...]) -> None:
    everywhere = () if "-p" in words or "--workspace" in words else ("--workspace",)
    features = () if {"--features", "--no-default-features"} & {*words} else ("--all-features",)
    right = run(["cargo", "test", *everywhere, *{*features} - {*words}, *words], cwd=mixed.directory)
    assert right.code == 0, right.text

    outcome = session(mixed, "unit-tests", *words)

    assert outcome.code == 0, outcome.text
    assert names_in(outcome) == names_in(right)


def test_a_target_with_features_runs_where_these_are_on(mixed: CrateBuilder) -> None:
    outcome = session(mixed, "unit-tests", "--test", "needy")

    assert outcome.code == 0, outcome.text
    assert names_in(outcome) == {"needy"}


@pytest.mark.parametrize(
    ("words", "says"), [(("--test", "none"), "no test target"), (("-p", "plian"), "plain")]
)
def test_what_nobody_has_is_an_error(mixed: CrateBuilder, words: tuple[str, ...], says: str) -> None:
    outcome = session(mixed, "unit-tests", *words)

    assert outcome.code == 1
    assert says in outcome.text


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--lib",),
        ("--test", "it"),
        ("-p", "plain"),
        ("--retries", "1", "-j", "1"),
        ("-E", "test(of_plai) + test(it)"),
        ("--run-ignored", "all"),
        ("of_plai", "needy"),
        ("--", "--skip", "of_plai"),
        ("--features", "extra"),
    ],
)
def test_words_mean_what_they_mean_to_nextest(mixed: CrateBuilder, words: tuple[str, ...]) -> None:
    mixed.with_noxfile(NEXTEST)
    everywhere = () if "-p" in words else ("--workspace",)
    features = () if "--features" in words else ("--all-features",)
    right = run(["cargo", "nextest", "run", *everywhere, *features, *words], cwd=mixed.directory)
    assert right.code == 0, right.text

    outcome = session(mixed, "unit-tests", *words)

    assert outcome.code == 0, outcome.text
    assert passed(outcome) == passed(right)
    chosen = {"--lib", "--test", "-E", "--run-ignored", "of_plai"} & {*words[:1]}
    assert ("plain/src/lib.rs - (line 1)" in names_in(outcome)) == (not chosen)


def names_in(outcome: Outcome) -> set[str]:
    """The tests that ran, by their names."""
    return set(re.findall(r"^test (.+?) \.\.\. (?:ok|ignored)$", outcome.out, re.MULTILINE))


def passed(outcome: Outcome) -> set[tuple[str, str]]:
    """The tests that nextest ran, each with its executable."""
    return set(re.findall(r"^ +PASS \[.*?\] (?:\(.*?\) )?(\S+) (\S+)$", outcome.err, re.MULTILINE))
