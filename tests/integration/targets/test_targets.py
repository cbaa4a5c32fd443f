"""targets with real toolchains: rustup's where it has the targets, else Debian's, from .ci/check-targets."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.tools import has_core
from tests.crates import MANIFEST, REPOSITORY, CrateBuilder, new_crate, run
from tests.field.published import published
from tests.integration.gate.test_musl import DEBIAN
from tests.integration.sessions import crate_in, ending, script, session

if TYPE_CHECKING:
    from pathlib import Path

NONE, WINDOWS = "x86_64-unknown-none", "x86_64-pc-windows-gnu"
RUSTUPS = all(has_core(Cargo(directory=REPOSITORY), triple) for triple in (NONE, WINDOWS))
TOOLCHAIN: dict[str, str | None] = {} if RUSTUPS else dict(DEBIAN)

NO_STD = """\
//! A crate for tests.
#![no_std]
#[cfg(feature = "std")]
extern crate std;

/// Returns its argument.
pub fn same(x: u8) -> u8 {
    x
}
"""

# As docs/extra-sessions.md shows it.
SHOWN = """\
error: x86_64-unknown-none: inner 0.1.0 needs std, which the target does not have
inner v0.1.0 (/src/inner)
|-- inner feature "default"
|   `-- middle v0.1.0 (/src/middle)
|       |-- middle feature "default"
|       |   `-- sample v0.1.0 (/src/crate)
|       |       |-- sample feature "default" (command-line)
|       |       `-- sample feature "fast" (command-line)
|       |           `-- sample feature "default" (command-line)
|       `-- middle feature "fast"
|           `-- sample feature "fast" (command-line) (*)
`-- inner feature "std"
    `-- middle feature "fast" (*)
"""


def needs_std(directory: Path) -> CrateBuilder:
    """Return a crate without std, but for what a feature of it makes of a dependency of its dependency."""
    crate = crate_in(
        directory,
        lib=NO_STD,
        features='default = ["fast"]\nfast = ["middle/fast"]\nstd = []\n'
        '[dependencies]\nmiddle = { path = "../middle" }',
        options=f'targets={{"{NONE}": {{"default_features": False}}}}',
    )
    middle = MANIFEST.format(name="middle").replace("[workspace]\n", "")
    middle += '[features]\nfast = ["inner/std"]\n[dependencies]\ninner = { path = "../inner" }\n'
    inner = MANIFEST.format(name="inner").replace("[workspace]\n", "") + "[features]\nstd = []\n"
    beside = CrateBuilder(directory.parent).with_file("middle/Cargo.toml", middle)
    beside.with_file("middle/src/lib.rs", "#![no_std]\nextern crate inner;\n")
    beside.with_file("inner/Cargo.toml", inner)
    beside.with_file("inner/src/lib.rs", '#![cfg_attr(not(feature = "std"), no_std)]\n')
    return crate


def test_what_pulls_std_in_is_named_with_the_path_of_dependencies(tmp_path: Path) -> None:
    crate = needs_std(tmp_path / "crate")
    outcome = session(crate, "targets", env=TOOLCHAIN)
    assert outcome.code == 0, outcome.text
    assert f"{NONE}: passed" in outcome.out

    crate.with_noxfile(f'targets={{"{NONE}": {{"features": ["fast"]}}}}').commit("fast")
    results = {"RUSTVMM_RESULTS": str(crate.directory / "target/results")}
    outcome = session(crate, "targets", env={**TOOLCHAIN, **results})
    assert outcome.code == 1
    assert SHOWN in outcome.err.replace(f"{tmp_path}/", "/src/")
    repeat = ending(outcome).splitlines()[-1].strip()
    assert repeat.endswith(f"cargo check --target={NONE} --workspace --features=fast --lib")
    assert "can't find crate for `std`" in run(["sh", "-c", repeat], cwd=crate.directory, env=TOOLCHAIN).err

    found = json.loads((crate.directory / "target/results/targets.json").read_text())["findings"]
    assert {finding["kind"] for finding in found} == {"target"}
    assert found[0]["title"] == f"{NONE}: inner 0.1.0 needs std, which the target does not have"
    assert "middle" in found[0]["message"]


def test_a_feature_of_the_crate_that_needs_std_names_the_crate(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=NO_STD, features="std = []", options=f'targets={{"{NONE}": {{}}}}')
    outcome = session(crate, "targets", env=TOOLCHAIN)
    assert outcome.code == 1
    assert f"error: {NONE}: sample 0.1.0 needs std, which the target does not have" in outcome.err


WINDOWS_ONLY = """\
//! A crate for tests.

/// Returns a path's separator.
pub fn separator() -> char {
    #[cfg(windows)]
    let unused = 1;
    std::path::MAIN_SEPARATOR
}
"""


def test_warnings_fail_it_and_the_command_that_repeats_it_fails(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, lib=WINDOWS_ONLY, options=f'targets={{"{WINDOWS}": {{}}}}')
    assert session(crate, "clippy").code == 0
    outcome = session(crate, "targets", env=TOOLCHAIN)
    assert outcome.code == 1
    assert "warning: unused variable: `unused`" in outcome.err
    said = ending(outcome)
    assert said.startswith(f"error: the crate fails for {WINDOWS}; repeat it:\n")
    repeated = run(["sh", "-c", said.splitlines()[-1].strip()], cwd=crate.directory, env=TOOLCHAIN)
    assert repeated.code != 0
    assert "error: unused variable: `unused`" in repeated.err
    crate.with_noxfile(f'targets={{"{WINDOWS}": {{"rustflags": ["-A", "unused"]}}}}').commit("flags")
    assert session(crate, "targets", env=TOOLCHAIN).code == 0


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("vm-fdt", {NONE: {"features": ["alloc"], "default_features": False}}),
        ("vm-memory", {WINDOWS: {"features": ["backend-mmap", "backend-atomic"], "default_features": False}}),
    ],
)
def test_published_crates_pass_for_the_targets_that_they_are_for(
    name: str, targets: dict[str, object], tmp_path: Path
) -> None:
    crate = published(name, tmp_path / name).with_noxfile(f"targets={targets!r}").commit("targets")
    outcome = session(crate, "targets", env=TOOLCHAIN)
    assert outcome.code == 0, outcome.text


# What is wrong before anything is checked


def test_missing_targets_are_named_with_the_one_command_that_installs_them(tmp_path: Path) -> None:
    given = '"riscv64gc-unknown-none-elf": {}, "aarch64-unknown-none": {}'
    crate = new_crate(tmp_path / "crate", options=f"targets={{{given}}}").with_git()
    outcome = session(crate, "targets")
    assert outcome.code == 1
    assert "error: riscv64gc-unknown-none-elf, aarch64-unknown-none are missing for rustc" in ending(outcome)
    assert "help: run `rustup target add riscv64gc-unknown-none-elf aarch64-unknown-none`" in ending(outcome)
    outcome = session(crate, "targets", "--target=aarch64-unknown-none")
    assert "error: target aarch64-unknown-none is missing for rustc" in ending(outcome)


@pytest.mark.parametrize(
    ("options", "words", "said"),
    [
        ("", [], 'help: name them: register(targets={"x86_64-unknown-none": {"default_features": False}})'),
        ('targets={"x86_64-unknown-non": {}}', [], "help: did you mean 'x86_64-unknown-none'?"),
        (f'targets={{"{NONE}": {{}}}}', ["--target=x86_64-none"], f"help: did you mean '{NONE}'?"),
        (f'targets={{"{NONE}": {{"packages": ["simple"]}}}}', [], "help: did you mean 'sample'?"),
    ],
)
def test_a_wrong_name_is_one_message(tmp_path: Path, options: str, words: list[str], said: str) -> None:
    crate = new_crate(tmp_path, options=options).with_git()
    outcome = session(crate, "targets", *words, env=TOOLCHAIN)
    assert outcome.code == 1
    assert said in ending(outcome)


def test_doctor_names_a_target_and_setup_adds_it(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate", options='targets={"aarch64-unknown-none": {}}').with_git()
    outcome = session(crate, "doctor", "--json")
    (tool,) = [tool for tool in json.loads(outcome.out)["tools"] if tool["name"] == "aarch64-unknown-none"]
    assert tool["needed_by"] == ["targets"]
    assert tool["fix"] == "run `rustup target add aarch64-unknown-none`"
    rustup = script(tmp_path / "bin/rustup", f'echo "$@" >>{tmp_path}/calls')
    path = f"{rustup.parent}:{os.environ['PATH']}"
    session(crate, "setup", env={"PATH": path})
    assert re.search(
        r"^target add --toolchain=\S+ aarch64-unknown-none$", (tmp_path / "calls").read_text(), re.MULTILINE
    )


def test_members_have_targets_of_their_own(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path).with_file(
        "Cargo.toml", '[workspace]\nmembers = ["one", "two"]\nresolver = "2"\n'
    )
    for name in ("one", "two"):
        manifest = MANIFEST.format(name=name).replace("[workspace]\n", "") + "[features]\nextra = []\n"
        crate.with_file(f"{name}/Cargo.toml", manifest).with_file(f"{name}/src/lib.rs", NO_STD)
    options = f'targets={{"{NONE}": {{"packages": ["one"]}}, "{WINDOWS}": {{"features": ["extra"]}}}}'
    crate.with_noxfile(options).with_git()
    outcome = session(crate, "targets", "--list", env=TOOLCHAIN)
    assert outcome.out.splitlines() == [
        f"cargo check --target={NONE} --package=one --all-features --lib",
        f"cargo check --target={WINDOWS} --workspace --features=extra --lib --bins --examples",
    ]
    outcome = session(crate, "targets", "--list", "--package=two", env=TOOLCHAIN)
    assert outcome.out.splitlines()[-1] == (
        f"cargo check --target={WINDOWS} --package=two --features=extra --lib --bins --examples"
    )
