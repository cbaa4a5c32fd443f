"""Each kind of fault is found by its session, which says what has it and how to repeat that.

Real cargo, rustc, clippy, rustfmt (also nightly's), cargo-nextest, git and nox.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.turns import in_turn
from tests.crates import LIB, MANIFEST, new_crate, run
from tests.integration.sessions import (
    combinations,
    crate_in,
    ending,
    repeat,
    script,
    session,
    status,
    untouched,
)

if TYPE_CHECKING:
    from pathlib import Path

# Formatting

BADLY = LIB.replace("    if x < 0 {", "    if x<0{")


def test_bad_format_fails_and_fix_mends_it(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=BADLY)
    outcome = session(crate, "fmt")
    assert outcome.code == 1
    assert "-    if x<0{" in outcome.out
    assert ending(outcome) == ("error: the formatting is not rustfmt's; `nox -s fmt -- --fix` corrects it")
    fixed = crate.nox("-s", "fmt", "--", "--fix")
    assert fixed.code == 0, fixed.text
    assert (crate.directory / "src/lib.rs").read_text() == LIB
    assert session(crate, "fmt").code == 0


@pytest.mark.parametrize("toolchain", [(), ("+nightly",)], ids=["default", "nightly"])
def test_bad_format_of_code_in_a_doc_comment_fails(tmp_path: Path, toolchain: tuple[str, ...]) -> None:
    crate = crate_in(tmp_path, lib="//! ```\n//! let x  =  1;\n//! assert_eq!( x , 1 );\n//! ```\n")
    outcome = session(crate, "fmt", *toolchain)
    assert outcome.code == 1
    assert "-//! let x  =  1;" in outcome.out
    assert "+//! let x = 1;" in outcome.out
    assert "`nox -s fmt -- --fix` corrects it" in ending(outcome)
    fixed = crate.nox("-s", "fmt", "--", *toolchain, "--fix")
    assert fixed.code == 0, fixed.text
    assert (crate.directory / "src/lib.rs").read_text() == (
        "//! ```\n//! let x = 1;\n//! assert_eq!(x, 1);\n//! ```\n"
    )


def test_what_rustfmt_cannot_read_is_not_called_badly_formatted(tmp_path: Path) -> None:
    outcome = session(crate_in(tmp_path, lib="fn ("), "fmt")
    assert outcome.code == 1
    assert "rustfmt failed: exit status 1; see what it says above" in ending(outcome)


def test_where_the_manifest_is_wrong_rustfmt_is_not_to_blame(tmp_path: Path) -> None:
    crate = crate_in(tmp_path)
    crate.with_file("Cargo.toml", "[package\n")
    assert "error: cargo metadata refuses the manifest" in session(crate, "fmt").err
    (crate.directory / "Cargo.toml").unlink()
    assert "there is no Cargo.toml here" in ending(session(crate, "fmt"))


# A target directory of several clones


def test_another_clone_in_the_same_target_directory_is_named(tmp_path: Path) -> None:
    variables: dict[str, str | None] = {"CARGO_TARGET_DIR": str(tmp_path / "target")}
    first, second = (new_crate(tmp_path / name) for name in ("first", "second"))
    other = new_crate(tmp_path / "other", name="other")

    for crate in (other, first):
        assert "cargo#17312" not in crate.nox("-s", "build-gnu", env=variables).text
    said = second.nox("-s", "build-gnu", env=variables)
    assert said.code == 0
    assert said.err.count("warning: ") == 1
    assert f"warning: {first.directory} is built in {tmp_path}/target as well" in said.err
    assert f"take its sample for those of {second.directory} (cargo#17312)" in said.err

    (first.directory / "Cargo.toml").unlink()
    assert "cargo#17312" not in second.nox("-s", "build-gnu", env=variables).text


# The compiler and clippy

UNUSED = LIB.replace("\n\n", "\n\nfn unused() {}\n\n", 1)
UNSAFE = """\
//! A crate for tests.

/// Reads the first byte.
pub fn first(bytes: &[u8; 2]) -> u8 {
    {comment}unsafe { *bytes.as_ptr() }
}
"""


def test_a_compiler_warning_fails_builds_and_clippy_but_no_tests(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=UNUSED)
    for _ in ("built", "taken from the cache"):
        outcome = session(crate, "build-gnu")
        assert outcome.code == 1
        # the library and its tests have the line in common; it is said once
        assert outcome.err.count("warning: function `unused` is never used\n --> src/lib.rs:3:4\n") == 1
        assert ending(outcome).startswith(
            "error: sample with default features fails; repeat it:\n"
            "  RUSTFLAGS='-D warnings' cargo build --release --all-targets --package=sample\n"
        )
        assert ending(outcome).endswith("\n  1 warning, in run 1 of 1")
        again = repeat(crate, outcome)
        assert again.code == 101
        assert "error: function `unused` is never used" in again.err

        outcome = session(crate, "clippy")
        assert outcome.code == 1
        assert "error: function `unused` is never used" in outcome.err
        assert ending(outcome).endswith("\n  exit status 101, in run 1 of 1")
        assert repeat(crate, outcome).code == 101
    assert session(crate, "unit-tests").code == 0


def test_flags_of_the_crate_stay_in_force_and_are_in_the_command_that_repeats(tmp_path: Path) -> None:
    lib = (
        LIB
        + '\n#[cfg(not(from_config))]\ncompile_error!("the crate\'s own flags are lost");\nfn unused() {}\n'
    )
    flags = 'rustflags = ["--cfg=from_config"]\n'
    for place in ("build", f"target.{Cargo(directory=tmp_path).toolchain.host}"):
        crate = crate_in(tmp_path / place, lib=lib).with_file(".cargo/config.toml", f"[{place}]\n{flags}")
        outcome = session(crate.commit("flags"), "build-gnu")
        assert outcome.code == 1
        assert "are lost" not in outcome.err
        again = repeat(crate, outcome)
        assert again.code == 101
        assert "are lost" not in again.err
        assert "function `unused` is never used" in again.err


def test_variables_of_the_crate_are_in_the_command_that_repeats(tmp_path: Path) -> None:
    lib = 'pub const NAME: &str = env!("SAMPLE_NAME");\nfn unused() {}\n'
    crate = crate_in(tmp_path, lib=lib, options='env={"SAMPLE_NAME": "it\'s & that"}')
    outcome = session(crate, "clippy")
    assert outcome.code == 1
    again = repeat(crate, outcome)
    assert again.code == 101
    assert "SAMPLE_NAME" not in again.err
    assert "function `unused` is never used" in again.err


def test_output_that_only_looks_like_cargo_s_is_passed_over(tmp_path: Path) -> None:
    crate = new_crate(tmp_path).with_file(
        "macros/Cargo.toml", MANIFEST.format(name="macros").replace("[workspace]", "[lib]\nproc-macro = true")
    )
    crate.with_file(
        "macros/src/lib.rs",
        "#[proc_macro]\npub fn talk(input: proc_macro::TokenStream) -> proc_macro::TokenStream {\n"
        '    println!("{{ not JSON");\n    println!("{{}}");\n    println!("[1]");\n    input\n}\n',
    )
    crate.with_file(
        "Cargo.toml", MANIFEST.format(name="sample") + '[dependencies]\nmacros = { path = "macros" }\n'
    )
    crate.with_lib("macros::talk! { fn unused() {} }\n").with_git()
    outcome = session(crate, "build-gnu")
    assert outcome.code == 1
    assert "sample with default features fails" in ending(outcome) or "the whole workspace" in ending(outcome)
    assert "1 warning" in ending(outcome)


def test_an_unsafe_block_needs_its_safety_comment(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=UNSAFE.replace("{comment}", ""))
    outcome = session(crate, "clippy")
    assert outcome.code == 1
    assert "error: unsafe block missing a safety comment" in outcome.err
    again = repeat(crate, outcome)
    assert again.code == 101
    assert "unsafe block missing a safety comment" in again.err
    assert session(crate, "build-gnu").code == 0
    crate.with_lib(UNSAFE.replace("{comment}", "// SAFETY: there are two.\n    ")).commit("comment")
    assert session(crate, "clippy").code == 0


def test_clippy_s_fix_mends_all_combinations_of_a_clean_work_tree(tmp_path: Path) -> None:
    lib = LIB + "\n".join(
        f'\n/// Returns.\n#[cfg(feature = "{name}")]\npub fn {name}() -> i32 {{\n    return 1;\n}}'
        for name in "ab"
    )
    crate = crate_in(tmp_path, lib=lib + "\n", features="a = []\nb = []")
    assert session(crate, "clippy").code == 1
    fixed = crate.nox("-s", "clippy", "--", "--fix")
    assert fixed.code == 0, fixed.text
    assert status(crate) == " M src/lib.rs\n"
    assert "return 1" not in (crate.directory / "src/lib.rs").read_text()
    assert session(crate, "clippy").code == 0


def test_clippy_s_fix_leaves_work_that_is_not_committed_alone(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=LIB.replace("    1\n", "    return 1;\n"))
    crate.with_file("notes.txt", "mine\n")
    outcome = session(crate, "clippy", "--fix")
    assert outcome.code == 1
    assert "notes.txt (dirty)" in outcome.err
    allowed = crate.nox("-s", "clippy", "--", "--fix", "--allow-dirty")
    assert allowed.code == 0, allowed.text
    assert "return 1" not in (crate.directory / "src/lib.rs").read_text()


def test_a_broken_link_in_the_documentation_fails(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib="//! See [`nothing::like_it`].\n")
    outcome = session(crate, "doc")
    assert outcome.code == 1
    assert "unresolved link to `nothing::like_it`" in outcome.err
    assert "the whole workspace with all features fails; repeat it:" in ending(outcome)
    again = repeat(crate, outcome)
    assert again.code == 101
    assert "unresolved link" in again.err
    assert session(crate, "clippy").code == 0


@pytest.mark.parametrize("colour", [None, "always"], ids=["plain", "coloured"])
def test_a_member_whose_features_exclude_each_other_is_documented_and_needed(
    tmp_path: Path, colour: str | None
) -> None:
    crate = crate_in(tmp_path).with_file(
        "Cargo.toml", MANIFEST.format(name="sample") + '[dependencies]\nmemory = { path = "memory" }\n'
    )
    manifest = MANIFEST.format(name="memory").replace("[workspace]", "[features]\nxen = []\nraw = []\n")
    excluded = 'feature = "xen", feature = "raw", not(any(doc, RUSTDOC_disable_feature_compat_errors))'
    lib = f'#![allow(unexpected_cfgs)]\n#[cfg(all({excluded}))]\ncompile_error!("they exclude each other");\n'
    crate.with_file("memory/Cargo.toml", manifest).with_file("memory/src/lib.rs", lib).commit("memory")
    assert session(crate, "build-gnu").code == 1
    outcome = session(crate, "doc", env={"CARGO_TERM_COLOR": colour})
    assert outcome.code == 0, outcome.text
    assert "Once more, for crates whose features exclude each other." in outcome.out

    crate.with_file("memory/src/lib.rs", "fn (").commit("broken")
    outcome = session(crate, "doc", env={"CARGO_TERM_COLOR": colour})
    assert outcome.code == 1
    assert "the whole workspace with all features fails; repeat it:" in ending(outcome)
    assert repeat(crate, outcome).code == 101


# Tests

FAILING_TEST = LIB.replace("super::sign(3), 1", "super::sign(3), 2")
FAILING_DOCTEST = "//! ```\n//! assert_eq!(1, 2);\n//! ```\n\n" + LIB.partition("\n\n")[2]


def test_a_failing_unit_test_fails_in_debug_and_release(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=FAILING_TEST)
    for name in ("unit-tests", "unit-tests-release"):
        outcome = session(crate, name)
        assert outcome.code == 1
        assert "test tests::positive ... FAILED" in outcome.out
        assert "error: sample with default features fails" in ending(outcome)
        again = repeat(crate, outcome)
        assert again.code == 101
        assert "test tests::positive ... FAILED" in again.out


def test_a_failing_doctest_fails_unit_tests_and_release_where_the_crate_asks_for_it(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=FAILING_DOCTEST)
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1
    assert "test src/lib.rs - (line 1) ... FAILED" in outcome.out
    assert repeat(crate, outcome).code == 101
    assert session(crate, "unit-tests-release").code == 0

    crate.with_noxfile('overrides={"unit-tests-release": {"doctests": True}}').commit("doctests in release")
    outcome = session(crate, "unit-tests-release")
    assert outcome.code == 1
    assert "test src/lib.rs - (line 1) ... FAILED" in outcome.out
    assert "--release" in ending(outcome)


@pytest.mark.parametrize("runner", ["cargo", "nextest"])
def test_doctests_that_a_library_switches_off_run_in_no_session(tmp_path: Path, runner: str) -> None:
    """``cargo test`` leaves them out, ``cargo test --doc`` does not."""
    options = f'overrides={{"unit-tests": {{"runner": "{runner}"}}}}'
    crate = crate_in(tmp_path, lib="//! ```\n//! assert!(true);\n//! ```\n" + LIB, options=options)
    quiet = MANIFEST.format(name="quiet").replace(
        "[workspace]", "[lib]\ndoctest = false\n[features]\nextra = []"
    )
    crate.with_file("quiet/Cargo.toml", quiet).with_file("quiet/src/lib.rs", FAILING_DOCTEST)
    members = MANIFEST.format(name="sample").replace("[workspace]", '[workspace]\nmembers = ["quiet"]')
    crate.with_file("Cargo.toml", members)
    outcome = session(crate.commit("a member without doctests"), "unit-tests")
    assert outcome.code == 0, outcome.text
    assert "test src/lib.rs - (line 1) ... ok" in outcome.out


def test_words_after_the_dashes_go_to_cargo_test(tmp_path: Path) -> None:
    lib = LIB.replace("#[test]", "#[test]\n    fn other() {}\n\n    #[test]")
    crate = crate_in(tmp_path, lib=lib).with_file("tests/whole.rs", "#[test]\nfn whole() {}\n").commit("more")
    ran = re.compile(r"^test (\S+) \.\.\. ok$", re.MULTILINE)
    assert ran.findall(session(crate, "unit-tests", "positive").out) == ["tests::positive"]
    for name in ("unit-tests", "unit-tests-release"):  # release chooses targets itself, unless told
        assert ran.findall(session(crate, name, "--test", "whole").out) == ["whole"]
    listed = session(crate, "unit-tests", "--lib", "--", "--list")
    assert "tests::other: test" in listed.out
    assert ran.findall(listed.out) == []
    assert session(crate, "unit-tests-release", "--doc").code == 0


def test_what_cargo_test_does_not_know_either_is_its_own_message(tmp_path: Path) -> None:
    outcome = session(crate_in(tmp_path), "unit-tests", "--nonsense")
    assert outcome.code == 1
    assert "unexpected argument '--nonsense' found" in outcome.err


@pytest.mark.parametrize("name", ["unit-tests", "unit-tests-release"])
def test_a_test_finds_the_examples_built(tmp_path: Path, name: str) -> None:
    """As that of once_cell, which starts one."""
    crate = crate_in(tmp_path).with_file("examples/helper.rs", "fn main() {}\n")
    crate.with_file(
        "tests/start.rs",
        "#[test]\nfn starts() {\n    let exe = std::env::current_exe().unwrap();\n"
        '    let helper = exe.parent().unwrap().with_file_name("examples").join("helper");\n'
        "    assert!(std::process::Command::new(helper).status().unwrap().success());\n}\n",
    )
    outcome = session(crate, name)
    assert outcome.code == 0, outcome.text


def test_nextest_runs_the_tests_and_cargo_the_doctests(tmp_path: Path) -> None:
    good = "//! ```\n//! assert_eq!(1, 1);\n//! ```\n\n" + LIB.partition("\n\n")[2]
    options = 'overrides={"unit-tests": {"runner": "nextest"}}'
    crate = crate_in(tmp_path, lib=good, options=options)
    outcome = session(crate, "unit-tests")
    assert outcome.code == 0, outcome.text
    assert re.search(r"PASS .* sample tests::positive", outcome.err)
    assert "test src/lib.rs - (line 1) ... ok" in outcome.out

    crate.with_lib(FAILING_DOCTEST).commit("failing doctest")
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1
    assert "test src/lib.rs - (line 1) ... FAILED" in outcome.out
    assert repeat(crate, outcome).code == 101

    crate.with_lib(FAILING_TEST).commit("failing test")
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1
    assert re.search(r"FAIL .* sample tests::positive", outcome.err)
    again = repeat(crate, outcome)
    assert again.code == 100
    assert re.search(r"FAIL .* sample tests::positive", again.err)


def test_a_session_ends_at_its_time_limit(tmp_path: Path) -> None:
    lib = "#[test]\nfn endless() {\n    std::thread::sleep(std::time::Duration::from_secs(600));\n}\n"
    crate = crate_in(tmp_path, lib=lib, options='overrides={"unit-tests": {"timeout_minutes": 0.05}}')
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1
    assert "sample with default features fails, as the session's time is up (settings: " in ending(outcome)
    assert re.search(
        r"\n  stopped at the time limit timeout_minutes=0.05 after \d+ s, in run 1 of 1$",
        ending(outcome),
    )


OWNS_A_FILE = """
#[test]
fn owns_a_file() {
    let file = std::path::Path::new("target/owned");
    std::fs::File::create_new(file).expect("another test has it");
    std::thread::sleep(std::time::Duration::from_secs(3));
    std::fs::remove_file(file).unwrap();
}
"""


def test_tests_of_sessions_side_by_side_take_turns(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=OWNS_A_FILE).with_file("tests/coverage", "100\n").commit("coverage")
    names = ("unit-tests", "unit-tests-release", "coverage")
    outcome = untouched(crate, lambda: crate.nox("-j3", "-s", *names))
    assert outcome.code == 0, outcome.text


@pytest.mark.parametrize("name", ["unit-tests", "coverage"])
def test_what_a_session_waits_for_other_tests_is_not_of_its_time(tmp_path: Path, name: str) -> None:
    crate = crate_in(tmp_path, options=f'overrides={{"{name}": {{"timeout_minutes": 0.15}}}}')
    crate.with_file("tests/coverage", "88.89\n").commit("coverage")
    with ThreadPoolExecutor(1) as background:
        with in_turn(crate.directory, Deadline()):
            started = background.submit(session, crate, name)
            time.sleep(10)
            assert not started.done()
        outcome = started.result()
    assert outcome.code == 0, outcome.text
    assert f"Other tests of {crate.directory} run; waiting for them to end." in outcome.out


# Combinations of features

THREE = "a = []\nb = []\nc = []"
ONLY_A_AND_C = (
    LIB
    + """
#[cfg(all(feature = "a", feature = "c", not(feature = "b")))]
#[test]
fn only_with_a_and_c() {
    panic!("found");
}
"""
)


def test_a_bug_under_one_combination_is_found_and_the_combination_named(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=ONLY_A_AND_C, features=THREE)
    outcome = session(crate, "unit-tests", "--lib")
    assert outcome.code == 1
    ran = combinations(outcome)
    assert ran[-1] == "sample with features a, c"
    assert set(ran[:-1]) >= {"sample with all features", "sample with feature a", "sample with feature c"}
    assert ending(outcome) == (
        "error: sample with features a, c fails; repeat it:\n"
        "  cargo test --package=sample --no-default-features --features=a,c --lib\n"
        f"  exit status 101, in run {len(ran)} of 8"
    )
    again = repeat(crate, outcome)
    assert again.code == 101
    assert "test only_with_a_and_c ... FAILED" in again.out


def test_features_and_depth_narrow_the_combinations(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=ONLY_A_AND_C, features=THREE, options='features=["a", "b"]')
    narrow = session(crate, "unit-tests", "--lib")
    assert narrow.code == 0, narrow.text
    assert "sample with features a, c" not in combinations(narrow)
    crate.with_noxfile("depth=1").commit("depth")
    shallow = session(crate, "unit-tests", "--lib")
    assert shallow.code == 0, shallow.text
    assert {"sample with feature a", "sample with feature c"} < set(combinations(shallow))


def test_features_that_exclude_each_other_pass_when_the_table_says_so(tmp_path: Path) -> None:
    lib = (
        '#[cfg(all(feature = "xen", feature = "raw", not(doc)))]\n'
        'compile_error!("xen and raw exclude each other");\n\n' + LIB.partition("\n\n")[2]
    )
    crate = crate_in(
        tmp_path,
        lib=lib,
        features="xen = []\nraw = []\nmore = []",
        table='skip_feature_sets = [["xen", "raw"]]',
    )
    for name in ("build-gnu", "clippy", "doc"):
        outcome = session(crate, name)
        assert outcome.code == 0, outcome.text
    tried = " / ".join(combinations(session(crate, "clippy")))
    assert "xen" in tried
    assert "raw" in tried

    crate.with_file(
        "Cargo.toml", (crate.directory / "Cargo.toml").read_text().replace("skip_feature_sets", "skip_sets")
    )
    outcome = session(crate, "build-gnu")
    assert outcome.code == 1
    assert "skip_sets in [package.metadata.cargo-all-features] is no key that is known" in outcome.err
    assert "xen and raw exclude each other" in outcome.err
    assert "sample with all features fails; repeat it:" in ending(outcome)
    assert repeat(crate, outcome).code == 101


# The machine


def test_a_member_that_needs_what_another_switches_on_is_said_to_run_alone(tmp_path: Path) -> None:
    """As the benchmark of vm-virtio's virtio-queue does."""
    crate = crate_in(tmp_path).with_file(
        "Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["queue", "user"]\n'
    )
    crate.with_file(
        "queue/Cargo.toml", MANIFEST.format(name="queue").replace("[workspace]", "[features]\nmock = []")
    )
    mock = '/// One.\n#[cfg(feature = "mock")]\npub const MOCK: u32 = 1;\n\n#[cfg(test)]'
    crate.with_file("queue/src/lib.rs", LIB.replace("#[cfg(test)]", mock))
    crate.with_file("queue/examples/one.rs", "fn main() {\n    assert_eq!(queue::MOCK, 1);\n}\n")
    dependency = '[dependencies]\nqueue = { path = "../queue", features = ["mock"] }'
    crate.with_file("user/Cargo.toml", MANIFEST.format(name="user").replace("[workspace]", dependency))
    crate.with_file("user/src/lib.rs", LIB)
    for name in ("build-gnu", "clippy", "unit-tests"):
        outcome = session(crate, name)
        assert outcome.code == 0, outcome.text
        assert "Once more as the workspace builds it: the whole workspace without features" in outcome.out
        assert "warning: queue without features fails alone, and passes where" in outcome.err
        assert ": queue with mock. Let the Cargo.toml of queue require" in outcome.err


def test_a_killed_compiler_is_a_failure_that_says_so(tmp_path: Path) -> None:
    killer = script(
        tmp_path / "wrapper", 'case " $* " in *" --crate-name sample "*) kill -KILL $$ ;; esac\nexec "$@"'
    )
    crate = crate_in(tmp_path / "crate")
    names = ("build-gnu", "unit-tests")
    env: dict[str, str | None] = {"RUSTC_WRAPPER": str(killer)}
    outcome = untouched(crate, lambda: crate.nox("-s", *names, env=env))
    assert outcome.code == 1
    for name in names:
        assert "error: sample with default features fails" in outcome.err
        _, _, repeated = outcome.out.partition(f"\n{name} failed\n")
        assert "(signal: 9, SIGKILL: kill)" in repeated.partition(" failed\n")[0]
    assert "exit status 101, in run 1 of 1" in ending(outcome)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clippy", "sample with default features fails"),
        ("doc", "the whole workspace with all features fails"),
        ("coverage", "the tests do not build with coverage instrumentation"),
    ],
)
def test_a_killed_compiler_of_any_kind_is_a_failure_that_says_so(
    tmp_path: Path, name: str, message: str
) -> None:
    killer = script(tmp_path / "killer", 'case " $* " in *" sample "*) kill -KILL $$ ;; esac\nexec "$@"')
    documenter = script(tmp_path / "rustdoc", "kill -KILL $$")
    crate = crate_in(tmp_path / "crate")
    env: dict[str, str | None] = {"RUSTC_WRAPPER": str(killer), "RUSTDOC": str(documenter)}
    outcome = untouched(crate, lambda: crate.nox("-s", name, env=env))
    assert outcome.code == 1
    assert f"error: {message}" in ending(outcome)
    assert "(signal: 9, SIGKILL: kill)" in outcome.err
    assert "Once more" not in outcome.out


def on_a_disk_of(size: int, directory: Path) -> tuple[list[str], str]:
    """Return words before a command that give it a disk of so many KiB, and what shows that it is full.

    Where this machine lets nobody mount one, no file may grow beyond 4 KiB instead.
    """
    directory.mkdir()
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    mount = f'mount -t tmpfs -o size={size}k tmpfs "$0" && exec "$@"'
    words = [*alone, "sh", "-c", mount, str(directory)]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
        return words, "No space left on device (os error 28)"
    return ["prlimit", "--fsize=4096"], "SIGXFSZ"


@pytest.mark.parametrize("size", [4, 32], ids=["for cargo", "for the compiler"])
def test_a_full_disk_is_a_failure_that_says_so(tmp_path: Path, size: int) -> None:
    words, said = on_a_disk_of(size, tmp_path / "small")
    crate = crate_in(tmp_path / "crate")
    command = [*words, sys.executable, "-m", "nox", "-s", "build-gnu"]
    env: dict[str, str | None] = {"CARGO_TARGET_DIR": str(tmp_path / "small")}
    outcome = untouched(crate, lambda: run(command, cwd=crate.directory, env=env))
    assert outcome.code == 1
    assert said in outcome.err
    assert "sample with default features fails; repeat it:" in ending(outcome)
    assert not (crate.directory / "Cargo.lock").exists()


@pytest.mark.parametrize("name", ["clippy", "doc", "unit-tests", "coverage"])
def test_a_full_disk_fails_every_session_that_builds(tmp_path: Path, name: str) -> None:
    words, said = on_a_disk_of(32, tmp_path / "small")
    crate = crate_in(tmp_path / "crate")
    command = [*words, sys.executable, "-m", "nox", "-s", name]
    env: dict[str, str | None] = {"CARGO_TARGET_DIR": str(tmp_path / "small")}
    outcome = untouched(crate, lambda: run(command, cwd=crate.directory, env=env))
    assert outcome.code == 1
    assert "error: " in ending(outcome)
    assert said.partition(" (")[0] in outcome.err
    assert not (crate.directory / "Cargo.lock").exists()


def test_a_disk_without_any_room_is_one_message(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate")
    outcome = session(crate, "build-gnu", env={"CARGO_TARGET_DIR": "/dev/full/target"})
    assert outcome.code == 1
    assert "the directory cannot be made" in ending(outcome)
    assert "--> /dev/full/target/rustvmm-sessions" in ending(outcome)


def test_a_session_that_needs_a_device_says_where_it_is_missing(tmp_path: Path) -> None:
    devices = ["/dev/null", str(tmp_path / "kvm")]
    crate = crate_in(tmp_path / "crate", options=f'overrides={{"unit-tests": {{"devices": {devices}}}}}')
    outcome = session(crate, "unit-tests")
    assert outcome.code == 1
    assert f"error: the device {tmp_path}/kvm is not there" in ending(outcome)
    assert "help: run where the device is, or take it out of devices= in the noxfile" in ending(outcome)
    assert "cargo test" not in outcome.err
    assert session(crate, "unit-tests-release").code == 0


def test_a_session_that_needs_a_device_says_when_it_may_not_be_opened(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(0)
    crate = crate_in(tmp_path / "crate", options=f'overrides={{"unit-tests": {{"devices": ["{device}"]}}}}')
    # root may open everything, unless it gives that up
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*words, sys.executable, "-m", "nox", "-s", "unit-tests"]
    outcome = untouched(crate, lambda: run(command, cwd=crate.directory))
    assert outcome.code == 1
    assert f"error: this user may not open the device {device}" in ending(outcome)
    assert "help: change its permissions" in ending(outcome)
    device.chmod(0o600)
    assert session(crate, "unit-tests").code == 0
