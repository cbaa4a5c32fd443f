"""What a session fails is what cargo fails with ``-D warnings``, and so does the command that repeats it.

Real cargo, rustc, clippy, rustdoc and cargo-nextest, stable and nightly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.rust.cargo import Cargo
from tests.crates import LIB, MANIFEST, run
from tests.integration.sessions import crate_in, repeat, session

if TYPE_CHECKING:
    from pathlib import Path


# Warnings

UNUSED = "fn unused() {}\n"
SCRIPT = "fn main() {{\n    {}\n}}\n"


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A crate that makes the compiler warn: its library, files beside it, and flags of its own."""

    lib: str = LIB
    files: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def build_script(line: str, **given: str) -> Warned:
    return Warned(files={"build.rs": SCRIPT.format(line), **given})


WARNINGS = {
    "nothing": Warned(),
    "a lint": Warned(lib=UNUSED),
    "in a test": Warned(files={"tests/it.rs": UNUSED}),
    "a lint that the source asks for": Warned(lib="#![warn(missing_docs)]\npub fn f() {}\n"),
    "a group that the source asks for": Warned(lib="#![warn(unused)]\n" + UNUSED),
    "all that the source warns of": Warned(lib="#![warn(missing_docs, warnings)]\n" + UNUSED),
    "all that a module warns of": Warned(lib="#[warn(warnings)]\nmod m {\n    fn unused() {}\n}\n"),
    "one beside what a module warns of": Warned(
        lib=UNUSED + "#[warn(warnings)]\nmod m {\n    fn unused() {}\n}\n"
    ),
    "allowed": Warned(lib="#![allow(warnings)]\n" + UNUSED),
    "expected in vain": Warned(lib="#![expect(dead_code)]\n"),
    "forced": Warned(lib=UNUSED, flags=("--force-warn", "dead_code")),
    "capped": Warned(lib=UNUSED, flags=("--cap-lints", "warn")),
    "asked for by a flag": Warned(lib="pub fn f() {}\n", flags=("-Wmissing-docs",)),
    "of the compiler, no lint": Warned(flags=("-Ctarget-feature=+unknown-one",)),
    "of the linker": build_script(
        'println!("cargo::rustc-link-arg=-Wl,-z,unknown-word");', **{"src/main.rs": "fn main() {}\n"}
    ),
    "of a build script, its own": build_script('println!("cargo::warning=mind this");'),
    "in a build script": build_script("let unused = 1;"),
}


@pytest.mark.parametrize(
    ("case", "toolchain", "target"),
    [
        *((case, "stable", False) for case in WARNINGS),
        *((case, "nightly", False) for case in ("a lint", "all that a module warns of", "of the linker")),
        *((case, "stable", True) for case in ("a lint", "capped", "in a build script")),
    ],
)
def test_a_warning_fails_where_deny_warnings_does(
    tmp_path: Path, case: str, toolchain: str, *, target: bool
) -> None:
    given = WARNINGS[case]
    crate = crate_in(tmp_path / "crate", lib=given.lib)
    for name, text in given.files.items():
        crate.with_file(name, text)
    host = Cargo(directory=tmp_path, env={"RUSTUP_TOOLCHAIN": toolchain}).toolchain.host
    lines = [f"rustflags = {[*given.flags]}", *([f'target = "{host}"'] if target else [])]
    crate.with_file(".cargo/config.toml", "\n".join(["[build]", *lines])).commit("more")

    right = run(
        ["cargo", "build", "--release", "--all-targets", f"--target-dir={tmp_path}/right"],
        cwd=crate.directory,
        env={"RUSTUP_TOOLCHAIN": toolchain, "RUSTFLAGS": " ".join([*given.flags, "-Dwarnings"])},
    )
    (crate.directory / "Cargo.lock").unlink()
    outcome = session(crate, "build-gnu", f"+{toolchain}")

    assert (outcome.code == 0) == (right.code == 0), outcome.text
    if outcome.code:
        assert repeat(crate, outcome).code == right.code == 101


# Every kind of failure


@dataclass(frozen=True, kw_only=True)
class Failing:
    """A session that fails, and what its output and that of the command that repeats it have in common."""

    session: str
    says: str
    lib: str = LIB
    files: dict[str, str] = field(default_factory=dict)
    features: str = ""
    options: str = ""
    words: tuple[str, ...] = ()
    env: dict[str, str | None] = field(default_factory=dict)


TWO = LIB.replace("super::sign(3), 1", "super::sign(3), 2")
BROKEN = "pub fn f() -> u8 {\n    true\n}\n"
DOCTEST = "//! ```\n//! assert_eq!(1, 2);\n//! ```\n"
EXCLUSIVE = (
    '#![allow(unexpected_cfgs)]\n#[cfg(all(feature = "a", feature = "b", '
    'not(any(doc, RUSTDOC_disable_feature_compat_errors))))]\ncompile_error!("a or b");\n'
)
NEXTEST = 'overrides={"unit-tests": {"runner": "nextest"}}'
FAILURES = {
    "a warning": Failing(session="build-gnu", lib=UNUSED, says="`unused` is never used"),
    "a warning of a build script": Failing(
        session="build-gnu", files={"build.rs": SCRIPT.format("let unused = 1;")}, says="`unused`"
    ),
    "a warning beside the caller's flags": Failing(
        session="build-gnu",
        lib="#[cfg(mine)]\nfn unused() {}\n",
        env={"CARGO_ENCODED_RUSTFLAGS": "--cfg\x1fmine\x1f--check-cfg\x1fcfg(mine, yours)"},
        says="`unused` is never used",
    ),
    "a build": Failing(session="build-gnu", lib=BROKEN, says="mismatched types"),
    "one combination of features": Failing(
        session="build-gnu",
        lib='#[cfg(all(feature = "a", not(feature = "b")))]\n' + BROKEN,
        features="a = []\nb = []",
        says="mismatched types",
    ),
    "another toolchain": Failing(
        session="build-gnu", lib="#![feature(no_such_one)]\n", words=("+nightly",), says="no_such_one"
    ),
    "a lint of clippy": Failing(
        session="clippy", lib="pub fn f() -> u8 {\n    return 1;\n}\n", says="unneeded `return`"
    ),
    "documentation": Failing(session="doc", lib="//! [`nothing`]\n", says="unresolved link"),
    "documentation with flags of the crate": Failing(
        session="doc",
        lib='#![doc = word!()]\n#[macro_export]\nmacro_rules! word { () => { "[`nothing`]" } }\n',
        files={".cargo/config.toml": '[build]\nrustdocflags = "--cfg mine"\n'},
        says="unresolved link",
    ),
    "documentation of features that exclude each other": Failing(
        session="doc",
        lib="//! [`nothing`]\n",
        files={
            "Cargo.toml": f'{MANIFEST.format(name="sample")}[dependencies]\nmemory = {{ path = "memory" }}\n',
            "memory/Cargo.toml": MANIFEST.format(name="memory").replace(
                "[workspace]", "[features]\na = []\nb = []"
            ),
            "memory/src/lib.rs": EXCLUSIVE,
        },
        says="unresolved link",
    ),
    "a test": Failing(session="unit-tests", lib=TWO, says="left: 1"),
    "a test in release": Failing(session="unit-tests-release", lib=TWO, says="left: 1"),
    "a test that does not build": Failing(
        session="unit-tests", files={"tests/it.rs": BROKEN}, says="mismatched types"
    ),
    "a documentation test": Failing(session="unit-tests", lib=DOCTEST, says="left: 1"),
    "a test that was asked for": Failing(session="unit-tests", lib=TWO, words=("posi",), says="left: 1"),
    "a target that was asked for": Failing(session="unit-tests", lib=TWO, words=("--lib",), says="left: 1"),
    "a test run by nextest": Failing(session="unit-tests", lib=TWO, options=NEXTEST, says="left: 1"),
    "a documentation test beside nextest": Failing(
        session="unit-tests", lib=DOCTEST, options=NEXTEST, says="left: 1"
    ),
    "a variable of the crate": Failing(
        session="unit-tests",
        lib=LIB.replace("1);", '1);\n        assert_eq!(env!("WORD"), "x");'),
        options="env={'WORD': 'it\\'s\\n$HOME'}",
        says="$HOME",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_the_command_that_repeats_fails_for_the_same_reason(tmp_path: Path, case: str) -> None:
    given = FAILURES[case]
    crate = crate_in(tmp_path, lib=given.lib, features=given.features, options=given.options)
    for name, text in given.files.items():
        crate.with_file(name, text)
    if given.files:
        crate.commit("more")
    outcome = session(crate, given.session, *given.words, env=given.env)

    assert outcome.code == 1
    assert given.says in outcome.text
    again = repeat(crate, outcome)
    assert again.code != 0
    assert given.says in again.text
