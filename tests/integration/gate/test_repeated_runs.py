"""Of two runs of the matrix with the very same tests one is enough; what differs at all runs, and is found.

In each workspace here `asks` switches on a feature of `common` that `sample` lacks when it is run
alone. Real cargo, cargo-nextest and nox.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.crates import LIB, MANIFEST, CrateBuilder, Outcome
from tests.integration.sessions import combinations, ending, repeat, session

if TYPE_CHECKING:
    from pathlib import Path

GOOD_DOCTEST = "//! ```\n//! assert_eq!(1, 1);\n//! ```\n\n" + LIB.partition("\n\n")[2]
SAME = "Its tests are the very files that have run already."


def workspace(directory: Path, *, options: str = "", **members: str) -> CrateBuilder:
    """Return a committed workspace; a member is given by what its manifest has beside the package."""
    crate = CrateBuilder(directory).with_noxfile(options)
    names = ", ".join(f'"{name}"' for name in members)
    crate.with_file("Cargo.toml", f'[workspace]\nmembers = [{names}]\nresolver = "2"\n')
    for name, tables in members.items():
        manifest = MANIFEST.format(name=name).replace("[workspace]\n", tables)
        crate.with_file(f"{name}/Cargo.toml", manifest).with_file(f"{name}/src/lib.rs", GOOD_DOCTEST)
    return crate.with_git()


COMMON = "[features]\nx = []\n"
ASKS = "".join(
    f'[{kind}]\ncommon = {{ path = "../common", features = ["x"] }}\n'
    for kind in ("dependencies", "build-dependencies")
)


def with_common(directory: Path, sample: str, files: dict[str, str]) -> CrateBuilder:
    """Return a workspace in which all is well with common's feature x on; its members are judged alone."""
    crate = workspace(directory, options="alone=True", asks=ASKS, common=COMMON, sample=sample)
    crate.with_file("common/src/lib.rs", 'pub const X: bool = cfg!(feature = "x");\n')
    for name, text in files.items():
        crate.with_file(f"sample/{name}", text)
    return crate.commit("sample")


def ran(outcome: Outcome) -> list[str]:
    """The executables and documentation tests that cargo ran, as it names them."""
    named = r"^ +(?:Running .* \(.*/(\w+)-[0-9a-f]+\)|(Doc-tests \w+))$"
    return [executable or doctest for executable, doctest in re.findall(named, outcome.err, re.MULTILINE)]


@pytest.mark.parametrize("words", [(), ("sign",), ("--", "--test-threads=1")])
def test_the_same_tests_run_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    crate = workspace(tmp_path, one="", two="")
    outcome = session(crate, "unit-tests", *words)
    assert outcome.code == 0, outcome.text
    assert combinations(outcome) == [
        "the whole workspace with default features",
        "one without features",
        "two without features",
    ]
    doctests = [] if "sign" in words else ["Doc-tests one", "Doc-tests two"]  # cargo runs none by name
    assert ran(outcome) == ["one", "two", *doctests]
    assert outcome.out.splitlines().count(SAME) == 2
    release = session(crate, "unit-tests-release", *words)
    assert ran(release) == ["one", "two"]
    assert release.out.splitlines().count(SAME) == 2


def test_whoever_chooses_tests_gets_each_run(tmp_path: Path) -> None:
    outcome = session(workspace(tmp_path, one="", two=""), "unit-tests", "--lib")
    assert outcome.code == 0, outcome.text
    assert ran(outcome) == ["one", "two", "one", "two"]
    assert SAME not in outcome.out


def test_the_list_says_that_runs_may_turn_out_to_be_the_same(tmp_path: Path) -> None:
    crate = workspace(tmp_path, one="", two="")
    said = "A run whose tests turn out to be the very files of runs before it is not repeated.\n"
    assert said in session(crate, "unit-tests", "--list").out
    assert said not in session(crate, "unit-tests", "--list", "--lib").out
    assert said not in session(crate, "build-gnu", "--list").out
    assert said not in session(workspace(tmp_path / "one", one=COMMON), "unit-tests", "--list").out


def test_nextest_runs_the_same_tests_once(tmp_path: Path) -> None:
    options = 'overrides={"unit-tests": {"runner": "nextest"}}'
    outcome = session(workspace(tmp_path, one="", two="", options=options), "unit-tests", "positive")
    assert outcome.code == 0, outcome.text
    passed = re.findall(r"PASS .* (\S+ tests::positive)", outcome.err)
    assert sorted(passed) == ["one tests::positive", "two tests::positive"]
    assert outcome.out.splitlines().count(SAME) == 2


def test_a_test_that_does_not_build_names_its_combination(tmp_path: Path) -> None:
    crate = workspace(tmp_path, one="", two="")
    crate.with_file("two/src/lib.rs", '#[test]\nfn bad() { let x: u8 = ""; }\n').commit("bad")
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1
    assert ending(outcome) == (
        "error: the whole workspace with default features fails; repeat it:\n"
        "  cargo test --workspace\n"
        "  exit status 101, in run 1 of 3"
    )
    assert "mismatched types" in repeat(crate, outcome).err


# A fault that only one combination shows

DEPENDENCY = '[dependencies]\ncommon = { path = "../common" }\n'
ONLY_FOR_TESTS = '[dev-dependencies]\ncommon = { path = "../common" }\n'
UNIT_TEST = "#[test]\nfn with_x() {\n    assert!(common::X);\n}\n"
DOCTEST = "//! ```\n//! assert!(common::X);\n//! ```\n"
MAIN = "fn main() {\n    assert!(common::X);\n}\n"
RUNS_MAIN = """\
#[test]
fn runs() {
    assert!(std::process::Command::new(env!("CARGO_BIN_EXE_sample")).status().unwrap().success());
}
"""
SAYS = 'fn main() {\n    println!("cargo::rustc-env=X={}", common::X);\n}\n'
READS = '#[test]\nfn says() {\n    assert_eq!(env!("X"), "true");\n}\n'


@pytest.mark.parametrize(
    ("manifest", "files"),
    [
        (DEPENDENCY, {"src/lib.rs": UNIT_TEST}),
        (ONLY_FOR_TESTS, {"src/lib.rs": UNIT_TEST}),
        (ONLY_FOR_TESTS, {"src/lib.rs": "", "tests/whole.rs": UNIT_TEST}),
        (DEPENDENCY, {"src/lib.rs": DOCTEST}),
        (ONLY_FOR_TESTS, {"src/lib.rs": DOCTEST}),
        # neither the library nor an executable has anything of common in it
        (f"[lib]\ntest = false\n\n{ONLY_FOR_TESTS}", {"src/lib.rs": DOCTEST}),
        (DEPENDENCY, {"src/lib.rs": "", "src/main.rs": MAIN, "tests/whole.rs": RUNS_MAIN}),
        ('[build-dependencies]\ncommon = { path = "../common" }\n', {"build.rs": SAYS, "src/lib.rs": READS}),
    ],
    ids=[
        "a dependency",
        "one for tests",
        "one of an integration test",
        "a documentation test",
        "one with a dependency for tests",
        "a documentation test of a library without tests",
        "a program that a test runs",
        "a build script",
    ],
)
def test_what_fails_alone_is_found(tmp_path: Path, manifest: str, files: dict[str, str]) -> None:
    crate = with_common(tmp_path, manifest, files)
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1
    assert "error: sample without features fails" in ending(outcome)
    assert "exit status 101" in ending(outcome)
    assert repeat(crate, outcome).code == 101

    crate.with_noxfile().commit("as the workspace builds it")
    outcome = session(crate, "unit-tests")
    assert outcome.code == 0, outcome.text
    assert "warning: sample without features fails alone, and passes where" in outcome.err
    assert ": common with x. Let the Cargo.toml of sample require" in outcome.err


def test_what_fails_in_the_workspace_too_is_the_failure_that_was_found_alone(tmp_path: Path) -> None:
    lib = '#[cfg(all(test, feature = "a", not(feature = "b")))]\ncompile_error!("a without b");\n'
    crate = workspace(tmp_path, sample="[features]\na = []\nb = []\n", other="[features]\na = []\n")
    crate.with_file("sample/src/lib.rs", lib).commit("a fault")
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1
    assert ending(outcome).startswith("error: sample with feature a fails; repeat it:")
    assert outcome.out.count("Once more as the workspace builds it") == 1


def test_what_nextest_finds_alone_is_found(tmp_path: Path) -> None:
    crate = with_common(tmp_path, ONLY_FOR_TESTS, {"src/lib.rs": UNIT_TEST})
    crate.with_noxfile('alone=True, overrides={"unit-tests": {"runner": "nextest"}}').commit("nextest")
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1
    assert "error: sample without features fails" in ending(outcome)
    assert repeat(crate, outcome).code == 100
