"""Measuring: real cargo, rustc and LLVM, compared with cargo-llvm-cov called directly.

Every figure is counts per file, and the yardstick is always a fresh target directory: what a kept
build gives must be what cargo-llvm-cov counts when it starts from nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from rustvmm_sessions.rust.cargo import Cargo, machine
from rustvmm_sessions.rust.tools import find_cargo_llvm_cov, need_llvm_tools
from tests.crates import LIB, MANIFEST, CrateBuilder, new_crate, run

Counts = dict[str, tuple[int, int]]
Variables = dict[str, str | None]

BACKENDS = ("cargo", "cargo-llvm-cov")


def measure(crate: CrateBuilder, *options: str, env: Variables | None = None) -> Counts:
    """Return what our coverage session counts, as {path: (covered, count)}."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "out.json")
        outcome = crate.coverage(*options, f"--json={report}", env=env)
        content = json.loads(report.read_text())
    assert content["lines"], outcome.text
    counts = {file["path"]: (file["covered"], file["count"]) for file in content["files"]}
    assert content["lines"]["covered"] == sum(covered for covered, _ in counts.values())
    assert content["lines"]["count"] == sum(count for _, count in counts.values())
    return counts


def directly(crate: CrateBuilder, *options: str, env: Variables | None = None) -> Counts:
    """Return what ``cargo llvm-cov test`` counts in a target directory of its own."""
    tool, llvm = find_cargo_llvm_cov(), need_llvm_tools(Cargo(directory=crate.directory))
    assert tool is not None
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "out.json")
        outcome = run(
            [
                str(tool.path),
                *("llvm-cov", "test", "--json", "--skip-functions", f"--output-path={report}"),
                *options,
            ],
            cwd=crate.directory,
            env={
                "CARGO_TARGET_DIR": str(Path(place, "target")),
                "LLVM_COV": str(llvm.cov),
                "LLVM_PROFDATA": str(llvm.profdata),
                **(env or {}),
            },
        )
        assert outcome.code == 0, outcome.text
        files = json.loads(report.read_text())["data"][0]["files"]
    root = Cargo(directory=crate.directory).workspace.root
    lines = {file["filename"]: file["summary"]["lines"] for file in files}
    return {
        (Path(name).relative_to(root) if Path(name).is_relative_to(root) else Path(name)).as_posix(): (
            counted["covered"],
            counted["count"],
        )
        for name, counted in lines.items()
    }


def both(crate: CrateBuilder, *options: str, env: Variables | None = None) -> Counts:
    """Return what both backends count, which is the same."""
    by_cargo, by_tool = (measure(crate, *options, f"--backend={name}", env=env) for name in BACKENDS)
    assert by_cargo == by_tool
    return by_cargo


# A workspace with everything that a naive count gets wrong

ROOT_MANIFEST = """\
[package]
name = "everything"
version = "0.1.0"
edition = "2021"

[features]
default = ["loud"]
loud = []
quiet = []

[dependencies]
outside = { path = "../outside" }

[[bench]]
name = "speed"
harness = false

[workspace]
members = ["shapes", "user"]
"""

ROOT_LIB = """\
//! Flags, features, generated code and dependencies.

#[cfg(test)]
mod lib_tests;
#[cfg(test)]
mod tests;

include!(concat!(env!("OUT_DIR"), "/generated.rs"));

/// Is there only with the flag that the crate's own configuration sets.
#[cfg(configured)]
pub fn configured() -> &'static str {
    let word = env!("WORD");
    word
}

/// Is there only with the default feature.
#[cfg(feature = "loud")]
pub fn loud() -> u32 {
    outside::twice(2)
}

/// Is there only with the other feature; no test reaches it.
#[cfg(feature = "quiet")]
pub fn quiet() -> u32 {
    let one = 1;
    one
}

/// Reached by the binary alone.
pub fn greeting(name: &str) -> String {
    if name.is_empty() {
        return String::from("hello");
    }
    format!("hello {name}")
}
"""

ROOT_MAIN = """\
fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    println!("{}", everything::greeting(&name));
}
"""

BUILD_SCRIPT = """\
use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let place = env::var("OUT_DIR").unwrap();
    fs::write(
        Path::new(&place).join("generated.rs"),
        "pub fn generated() -> u32 {\\n    7\\n}\\n",
    )
    .unwrap();
}
"""

HELPED_TEST = """\
fn helper(x: u32) -> u32 {
    if x > 100 {
        return 0;
    }
    x
}

#[test]
fn helps() {
    assert_eq!(helper(1), 1);
}
"""

SHAPES_LIB = """\
//! A procedural macro: its lines are reached while the compiler runs.

use proc_macro::TokenStream;

/// Expands to the number; only the tests of this crate use the third.
#[proc_macro]
pub fn number(input: TokenStream) -> TokenStream {
    let text = input.to_string();
    if text == "one" {
        return "1".parse().unwrap();
    }
    if text == "two" {
        return two();
    }
    if text == "three" {
        return "3".parse().unwrap();
    }
    "2".parse().unwrap()
}

fn two() -> TokenStream {
    let text = "2";
    text.parse().unwrap()
}

#[cfg(test)]
mod tests {
    #[test]
    fn arithmetic() {
        assert_eq!(1 + 1, 2);
    }
}
"""

USER_LIB = """\
//! Uses the macro.

/// Both shapes of the macro.
pub fn sum(more: bool) -> u32 {
    if more {
        return shapes::number!(one) + shapes::number!(two);
    }
    0
}

#[cfg(test)]
mod tests {
    #[test]
    fn sums() {
        assert_eq!(super::sum(true), 3);
    }
}
"""


def member_manifest(name: str, rest: str = "") -> str:
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n\n{rest}'


def with_macro_members(crate: CrateBuilder) -> CrateBuilder:
    """Add the members ``shapes``, a procedural macro, and ``user``, which uses it."""
    return (
        crate.with_file("shapes/Cargo.toml", member_manifest("shapes", "[lib]\nproc-macro = true\n"))
        .with_file("shapes/src/lib.rs", SHAPES_LIB)
        .with_file(
            "shapes/tests/use.rs", "#[test]\nfn three() {\n    assert_eq!(shapes::number!(three), 3);\n}\n"
        )
        .with_file(
            "user/Cargo.toml", member_manifest("user", '[dependencies]\nshapes = { path = "../shapes" }\n')
        )
        .with_file("user/src/lib.rs", USER_LIB)
    )


def everything(directory: Path) -> CrateBuilder:
    outside = CrateBuilder(directory / "outside")
    outside.with_file("Cargo.toml", member_manifest("outside"))
    outside.with_lib(
        "pub fn twice(x: u32) -> u32 {\n    if x > 9 {\n        return 0;\n    }\n    2 * x\n}\n"
    )
    return (
        with_macro_members(new_crate(directory / "everything"))
        .with_file("Cargo.toml", ROOT_MANIFEST)
        .with_lib(ROOT_LIB)
        .with_file("src/main.rs", ROOT_MAIN)
        .with_file("build.rs", BUILD_SCRIPT)
        .with_file(
            ".cargo/config.toml", '[build]\nrustflags = ["--cfg=configured"]\n[env]\nWORD = "from_config"\n'
        )
        .with_file("src/lib_tests.rs", HELPED_TEST)
        .with_file(
            "src/tests.rs",
            "#[test]\nfn configured() {\n"
            '    assert_eq!(super::configured(), std::env::var("WORD").unwrap());\n'
            "    assert_eq!(super::generated(), 7);\n"
            '    #[cfg(feature = "loud")]\n    assert_eq!(super::loud(), 4);\n}\n',
        )
        .with_file(
            "tests/command.rs",
            HELPED_TEST + "\n#[test]\nfn greets() {\n"
            '    let out = std::process::Command::new(env!("CARGO_BIN_EXE_everything"))\n'
            '        .arg("you")\n        .output()\n        .unwrap();\n'
            '    assert_eq!(out.stdout, b"hello you\\n");\n}\n',
        )
        .with_file("examples/show.rs", HELPED_TEST + "\nfn main() {}\n")
        .with_file("benches/speed.rs", 'fn main() {\n    everything::greeting("");\n}\n')
    )


@dataclass(frozen=True)
class Measured:
    """One crate, measured by us cold and warm, and directly."""

    crate: CrateBuilder
    cold: Counts
    warm: Counts
    by_tool: Counts
    yardstick: Counts


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    crate = everything(tmp_path_factory.mktemp("measured"))
    return Measured(
        crate=crate,
        cold=measure(crate, "--backend=cargo"),
        warm=measure(crate, "--backend=cargo"),
        by_tool=measure(crate, "--backend=cargo-llvm-cov"),
        yardstick=directly(crate, "--workspace", "--all-features"),
    )


def test_both_backends_count_cold_and_warm_what_cargo_llvm_cov_counts_itself(measured: Measured) -> None:
    assert measured.cold == measured.yardstick
    assert measured.warm == measured.yardstick
    assert measured.by_tool == measured.yardstick


def test_tests_examples_benches_and_what_is_outside_the_workspace_do_not_count(measured: Measured) -> None:
    assert set(measured.cold) == {"src/lib.rs", "src/main.rs", "shapes/src/lib.rs", "user/src/lib.rs"}


def test_a_program_that_an_integration_test_starts_is_counted(measured: Measured) -> None:
    assert measured.cold["src/main.rs"] == (4, 4)


# The scope


def test_scope_crate_in_a_root_package_counts_that_package_alone(measured: Measured) -> None:
    counts = both(measured.crate, "--scope=crate")
    assert counts == directly(measured.crate, "--all-features")
    assert set(counts) == {"src/lib.rs", "src/main.rs"}


@pytest.mark.parametrize("member", ["user", "shapes"])
def test_scope_crate_in_a_members_directory_counts_that_member_alone(measured: Measured, member: str) -> None:
    """Also after a run of the whole workspace, in which more of the macro was reached."""
    measure(measured.crate, "--backend=cargo")
    crate = CrateBuilder(measured.crate.directory / member).with_noxfile("workspace=False")
    counts = both(crate)
    assert counts == directly(crate, "--all-features")
    assert set(counts) == {f"{member}/src/lib.rs"}


def test_scope_workspace_in_a_members_directory_counts_all_members(measured: Measured) -> None:
    crate = CrateBuilder(measured.crate.directory / "user").with_noxfile("workspace=False")
    assert both(crate, "--scope=workspace") == measured.yardstick


# Kept builds and procedural macros


@dataclass(frozen=True)
class Macros:
    """A workspace of a macro and its user, restored before each test, with its figure."""

    crate: CrateBuilder
    yardstick: Counts


@pytest.fixture(scope="module")
def built_macros(tmp_path_factory: pytest.TempPathFactory) -> Macros:
    crate = new_crate(tmp_path_factory.mktemp("macros") / "macros")
    (crate.directory / "src/lib.rs").unlink()
    with_macro_members(crate).with_file(
        "Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["shapes", "user"]\n'
    )
    return Macros(crate=crate, yardstick=directly(crate, "--workspace", "--all-features"))


@pytest.fixture
def macros(built_macros: Macros) -> Macros:
    with_macro_members(built_macros.crate)
    assert measure(built_macros.crate, "--backend=cargo") == built_macros.yardstick
    return built_macros


def test_an_unchanged_build_keeps_what_the_macro_reached_in_it(macros: Macros) -> None:
    assert both(macros.crate) == macros.yardstick


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param("user/src/lib.rs", "    0\n", "    1 - 1\n", id="the user alone"),
        pytest.param("user/src/lib.rs", " + shapes::number!(two)", " + 2", id="a use of the macro"),
        pytest.param("shapes/src/lib.rs", '"two" {', '"zwei" {', id="the macro"),
    ],
)
def test_after_an_edit_the_macro_counts_as_in_a_fresh_build(
    macros: Macros, file: str, old: str, new: str
) -> None:
    path = macros.crate.directory / file
    path.write_text(path.read_text().replace(old, new))
    counts = both(macros.crate)
    assert counts == directly(macros.crate, "--workspace", "--all-features")
    assert (counts["shapes/src/lib.rs"] == macros.yardstick["shapes/src/lib.rs"]) == (old == "    0\n")


def test_after_a_build_that_stopped_half_way_the_macro_counts_as_in_a_fresh_build(macros: Macros) -> None:
    macros.crate.with_file("shapes/src/lib.rs", SHAPES_LIB + "// edited\n")
    macros.crate.with_file("user/src/lib.rs", "syntax error")
    assert macros.crate.coverage().code == 1
    macros.crate.with_file("user/src/lib.rs", USER_LIB)
    assert both(macros.crate) == macros.yardstick


@pytest.mark.parametrize(
    "other", [{"RUSTFLAGS": "--cfg short"}, {"RUSTUP_TOOLCHAIN": "nightly"}], ids=["flags", "toolchain"]
)
def test_with_other_flags_or_another_toolchain_and_back_the_macro_counts_as_in_a_fresh_build(
    macros: Macros, other: Variables
) -> None:
    text = USER_LIB.replace(
        "    if more {", "    #[cfg(short)]\n    return 3;\n    #[cfg(not(short))]\n    if more {"
    )
    macros.crate.with_file("user/src/lib.rs", text)
    before = both(macros.crate)
    assert both(macros.crate, env=other) == directly(macros.crate, "--workspace", "--all-features", env=other)
    assert both(macros.crate) == before == directly(macros.crate, "--workspace", "--all-features")


# What may change between runs of one crate

CHANGING_LIB = (
    LIB
    + """
/// Is there only with the default feature.
#[cfg(feature = "loud")]
pub fn loud() -> u32 {
    1
}

/// Is there only with the other feature.
#[cfg(feature = "quiet")]
pub fn quiet() -> u32 {
    let one = 1;
    one
}

/// Is there only with a flag of the compiler.
#[cfg(configured)]
pub fn configured() -> u32 {
    let one = 1;
    let two = 2;
    one + two
}

/// Is there only with a stable compiler, as cargo-llvm-cov tells them apart.
#[cfg(not(coverage_nightly))]
pub fn stable() -> u32 {
    1
}

/// Reached from tests/ alone.
pub fn far() -> u32 {
    1
}
"""
)
FAR_TEST = "#[test]\nfn far() {\n    assert_eq!(sample::far(), 1);\n}\n"
HOST = Cargo(directory=Path.cwd()).toolchain.host
RUNNER_VARIABLE = f"CARGO_TARGET_{HOST.upper().replace('-', '_')}_RUNNER"


@pytest.fixture(scope="module")
def built_changing(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    crate = new_crate(tmp_path_factory.mktemp("changing"))
    return crate.with_lib(CHANGING_LIB).with_file(
        "Cargo.toml",
        MANIFEST.format(name="sample") + '[features]\ndefault = ["loud"]\nloud = []\nquiet = []\n',
    )


@pytest.fixture
def changing(built_changing: CrateBuilder) -> CrateBuilder:
    """One crate for all tests, each of which finds the build that the one before it left."""
    built_changing.with_file("tests/far.rs", FAR_TEST)
    for name in (config_file(), ".cargo/config.toml"):
        (built_changing.directory / name).unlink(missing_ok=True)
    return built_changing


def config_file() -> str:
    return f"coverage_config_{machine()}.json"


@pytest.mark.parametrize(
    ("config", "ours", "direct"),
    [
        pytest.param("{}", [], ["--all-features"], id="all"),
        pytest.param('{"crate_features": ""}', [], [], id="default"),
        pytest.param('{"crate_features": "quiet"}', [], ["--features=quiet"], id="one more"),
        pytest.param(
            '{"crate_features": "quiet"}',
            ["--no-default-features"],
            ["--no-default-features", "--features=quiet"],
            id="one alone",
        ),
        pytest.param("{}", ["--no-default-features"], ["--no-default-features"], id="none"),
    ],
)
def test_a_changed_feature_set_counts_as_a_fresh_build(
    changing: CrateBuilder, config: str, ours: list[str], direct: list[str]
) -> None:
    changing.with_file(config_file(), config)
    assert both(changing, *ours) == directly(changing, *direct)


@pytest.mark.parametrize(
    "config",
    [
        '[build]\nrustflags = ["--cfg=configured"]\n',
        f'[target.{HOST}]\nrustflags = ["--cfg", "configured"]\n',
        '[target."cfg(unix)"]\nrustflags = ["--cfg=configured"]\n',
        f'[build]\ntarget = "{HOST}"\nrustflags = ["--cfg=configured"]\n',
    ],
    ids=["build", "target", "cfg", "build for a named target"],
)
def test_flags_of_cargos_configuration_stay_in_force(changing: CrateBuilder, config: str) -> None:
    changing.with_file(".cargo/config.toml", config)
    counts = both(changing)
    assert counts == directly(changing, "--all-features")
    assert counts["src/lib.rs"] == (11, 27)


def test_flags_of_the_variable_replace_those_of_the_configuration(changing: CrateBuilder) -> None:
    changing.with_file(".cargo/config.toml", '[build]\nrustflags = ["--cfg=other"]\n')
    env: Variables = {"RUSTFLAGS": "--cfg configured"}
    counts = both(changing, env=env)
    assert counts == directly(changing, "--all-features", env=env)


def test_a_deleted_test_no_longer_counts(changing: CrateBuilder) -> None:
    before = both(changing)
    (changing.directory / "tests/far.rs").unlink()
    after = both(changing)
    assert after == directly(changing, "--all-features")
    assert after != before


def test_an_exclusion_holds_as_long_as_it_is_there(changing: CrateBuilder) -> None:
    changing.with_file("src/more.rs", "pub fn more() {}\n").with_lib(CHANGING_LIB + "pub mod more;\n")
    before = both(changing)
    changing.with_file(config_file(), '{"exclude_path": "src/more"}')
    without = both(changing)
    (changing.directory / config_file()).unlink()
    assert both(changing) == before
    changing.with_lib(CHANGING_LIB)
    assert set(before) - set(without) == {"src/more.rs"}


def test_another_toolchain_counts_as_a_fresh_build_and_so_does_the_first_one_then(
    changing: CrateBuilder,
) -> None:
    before = both(changing)
    yardstick = directly(changing, "--all-features", env={"RUSTUP_TOOLCHAIN": "nightly"})
    assert both(changing, "+nightly") == yardstick
    assert both(changing) == before


def test_profiles_of_earlier_runs_never_count(tmp_path: Path) -> None:
    deep = LIB.replace(
        "(3), 1);",
        '(3), 1);\n        if std::env::var("DEEP").is_ok() {\n            super::sign(-1);\n        }',
    )
    crate = new_crate(tmp_path).with_lib(deep)
    shallow = both(crate)
    deeper = both(crate, env={"DEEP": "1"})
    own = tmp_path / "target/rustvmm-coverage"
    profiles = list(own.glob("profiles/*.profraw"))
    assert profiles
    for place in (own, own / "build", own / "build/debug", own / "profiles", tmp_path):
        place.mkdir(exist_ok=True)
        for profile in profiles:
            shutil.copyfile(profile, place / "left.profraw")
    assert deeper != shallow
    assert both(crate) == shallow


# Places


@pytest.mark.parametrize("chosen", ["{place}/chosen", "../chosen"], ids=["absolute", "relative"])
def test_the_target_directory_that_the_variable_names_is_used(tmp_path: Path, chosen: str) -> None:
    crate = new_crate(tmp_path / "crate")
    variables: Variables = {"CARGO_TARGET_DIR": chosen.format(place=tmp_path)}
    assert both(crate, env=variables) == {"src/lib.rs": (8, 9)}
    assert (tmp_path / "chosen/rustvmm-coverage").is_dir()
    assert not (crate.directory / "target").exists()


def test_two_clones_with_one_target_directory_are_not_taken_for_each_other(tmp_path: Path) -> None:
    """Cargo itself runs the tests of the first in the second: cargo#17312."""
    first, second = (new_crate(tmp_path / name) for name in ("first", "second"))
    second.with_lib(LIB.replace("        return -1;\n", "        let less = -1;\n        return less;\n"))
    variables: Variables = {"CARGO_TARGET_DIR": str(tmp_path / "target")}
    assert both(first, env=variables) == {"src/lib.rs": (8, 9)}
    assert both(second, env=variables) == {"src/lib.rs": (8, 10)}
    assert both(first, env=variables) == {"src/lib.rs": (8, 9)}


def test_dependencies_are_shared_with_other_builds_and_nothing_else_is(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate").with_file(".gitignore", "__pycache__/\n")
    crate.with_file("src/main.rs", "fn main() {\n    assert_eq!(sample::sign(other::one()), 1);\n}\n")
    crate.with_file(
        "Cargo.toml", MANIFEST.format(name="sample") + '[dependencies]\nother.path = "../other"\n'
    )
    crate.with_file("../other/Cargo.toml", MANIFEST.format(name="other"))
    crate.with_file("../other/src/lib.rs", "pub fn one() -> i32 {\n    1\n}\n")
    build = ["cargo", "build", "--offline"]

    assert "Compiling other" in crate.coverage().err
    crate.git("init", "--quiet")
    assert "target" not in crate.git("status", "--porcelain")  # we made it, so it ignores itself
    built = run(build, cwd=crate.directory).err
    assert "Compiling sample" in built
    assert "Compiling other" not in built

    program = crate.directory / "target/debug/sample"
    before = program.stat().st_ino
    crate.with_lib(LIB + "// more\n")
    assert "Compiling sample" in crate.coverage().err
    assert program.stat().st_ino == before
    assert run([str(program)], cwd=tmp_path).code == 0
    assert not list(tmp_path.glob("*.profraw"))


@pytest.mark.parametrize("place", ["the same file system", "another"])
def test_the_build_directory_that_the_variable_names_is_used(tmp_path: Path, place: str) -> None:
    crate = new_crate(tmp_path / "crate")
    memory = Path("/dev/shm")  # no hard link leads there from a disk
    elsewhere = place == "another" and os.access(memory, os.W_OK)
    with tempfile.TemporaryDirectory(dir=memory if elsewhere else tmp_path) as directory:
        variables: Variables = {"CARGO_BUILD_BUILD_DIR": f"{directory}/build"}
        assert both(crate, env=variables) == {"src/lib.rs": (8, 9)}
        assert list(Path(directory).glob("build/debug/deps/sample-*"))
        crate.with_lib(LIB.replace("(3), 1)", "(-3), -1)"))
        assert both(crate, env=variables) == directly(crate, "--all-features", env=variables)


def test_a_path_may_have_spaces_signs_and_letters_of_any_alphabet(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "it's a crâte [c++] (1) 机 𝄞").with_file("src/größe.rs", "pub fn one() {}\n")
    crate.with_lib('#[path = "größe.rs"]\npub mod size;\n' + LIB.replace("//!", "//"))
    counts = both(crate)
    assert counts == directly(crate, "--all-features")
    assert set(counts) == {"src/lib.rs", "src/größe.rs"}


def test_a_path_may_have_commas_which_cargo_llvm_cov_cannot_have(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "mine, yours")
    outcome = crate.coverage("--profile=devel")
    assert outcome.code == 0
    assert "measured: 8/9 lines, 88.89 %" in outcome.out
    assert "by cargo)" in outcome.out

    refused = crate.coverage("--backend=cargo-llvm-cov")
    assert refused.code == 1
    assert "cargo-llvm-cov cannot read profiles in a path with a comma" in refused.err
    assert str(crate.directory / "target") in refused.err


# Runners

RUNNER = '#!/bin/sh\necho "$1" >> "$RUNNER_LOG"\nshift\nexec "$@"\n'


def with_runner(directory: Path) -> CrateBuilder:
    """Return a workspace, whose tests cargo runs in the member's directory, and a runner in its root."""
    crate = CrateBuilder(directory)
    crate.with_noxfile(f'env={{"RUNNER_LOG": {str(directory / "log")!r}}}')
    crate.with_file("Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["member"]\n')
    crate.with_file("member/Cargo.toml", member_manifest("member")).with_file("member/src/lib.rs", LIB)
    crate.with_file("tools/run.sh", RUNNER)
    (directory / "tools/run.sh").chmod(0o755)
    return crate


def test_a_runner_of_the_variable_runs_the_tests(tmp_path: Path) -> None:
    crate = with_runner(tmp_path)
    counts = measure(crate, env={RUNNER_VARIABLE: f"{crate.directory}/tools/run.sh by-variable"})
    assert counts == {"member/src/lib.rs": (8, 9)}
    assert (crate.directory / "log").read_text() == "by-variable\n"


@pytest.mark.parametrize("place", ["crate", "it's a crate"])
@pytest.mark.parametrize("value", ['"tools/run.sh by-config"', '["tools/run.sh", "by-config"]'])
def test_a_runner_of_cargos_configuration_runs_the_tests(tmp_path: Path, place: str, value: str) -> None:
    crate = with_runner(tmp_path / place).with_file(
        ".cargo/config.toml", f"[target.{HOST}]\nrunner = {value}\n"
    )
    assert measure(crate) == {"member/src/lib.rs": (8, 9)}
    assert (crate.directory / "log").read_text() == "by-config\n"


def test_a_runner_for_another_machine_is_left_alone(tmp_path: Path) -> None:
    crate = with_runner(tmp_path).with_file(
        ".cargo/config.toml",
        "[target.'cfg(target_os = \"emscripten\")']\nrunner = 'node'\n"
        "[target.'cfg(not(windows))']\nrunner = 'tools/run.sh by-expression'\n",
    )
    assert measure(crate) == {"member/src/lib.rs": (8, 9)}
    assert (crate.directory / "log").read_text() == "by-expression\n"


# Tests and builds that fail

ENDING_TEST = """\
extern "C" {
    fn _exit(code: i32) -> !;
}

#[test]
fn ends() {
    assert_eq!(sample::sign(1), 1);
    match std::env::var("ENDING").as_deref() {
        Ok("abort") => std::process::abort(),
        Ok("_exit") => unsafe { _exit(0) },
        Ok("exit") => std::process::exit(3),
        Ok("hang") => std::thread::sleep(std::time::Duration::from_secs(60)),
        Ok("slow") => std::thread::sleep(std::time::Duration::from_secs(6)),
        Ok("panic") => panic!("the reason why"),
        _ => {}
    }
}
"""


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    """A crate whose tests/second.rs ends as the variable ENDING says; it is built already."""
    crate = new_crate(tmp_path_factory.mktemp("ending")).with_file("tests/second.rs", ENDING_TEST)
    assert measure(crate) == {"src/lib.rs": (8, 9)}
    return crate


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("abort", "SIGABRT"),
        ("_exit", "no profile was left by sample, test second (second-"),
        ("exit", "tests failed: --test second"),
        ("panic", "tests failed: --test second"),
    ],
)
def test_a_test_that_ends_badly_is_named_and_nothing_is_recorded(
    ending: CrateBuilder, tmp_path: Path, how: str, message: str
) -> None:
    outcome = ending.coverage("--profile=devel", f"--json={tmp_path / 'out.json'}", env={"ENDING": how})
    assert outcome.code == 1
    last = outcome.err.strip().splitlines()[-1]
    assert message in last
    assert "second" in last
    assert "measured:" not in outcome.out
    assert not (ending.directory / "tests/coverage").exists()
    assert json.loads((tmp_path / "out.json").read_text())["passed"] is False


def test_the_output_of_a_failing_test_is_shown(ending: CrateBuilder) -> None:
    assert "the reason why" in ending.coverage(env={"ENDING": "panic"}).out


def test_a_test_that_exceeds_the_time_limit_is_named(ending: CrateBuilder) -> None:
    ending.with_noxfile('overrides={"coverage": {"timeout_minutes": 0.1}}')
    outcome = ending.coverage("--profile=devel", env={"ENDING": "hang"})
    assert outcome.code == 1
    assert "the tests were stopped at the time limit timeout_minutes=0.1 after" in outcome.err
    assert "while this ran: sample, test second (second-" in outcome.err
    assert not (ending.directory / "tests/coverage").exists()


def test_a_time_limit_is_for_the_build_and_all_runs_together(ending: CrateBuilder) -> None:
    ending.with_noxfile('overrides={"coverage": {"timeout_minutes": 0.2}}')
    outcome = ending.coverage("--profile=devel", "--repeat=3", env={"ENDING": "slow"})
    assert outcome.code == 1
    assert "the tests were stopped at the time limit timeout_minutes=0.2 after" in outcome.err
    assert not (ending.directory / "tests/coverage").exists()


def test_a_runner_that_drops_the_profile_is_noticed(ending: CrateBuilder) -> None:
    outcome = ending.coverage("--profile=devel", env={RUNNER_VARIABLE: "env LLVM_PROFILE_FILE=/dev/null"})
    assert outcome.code == 1
    assert "no profile was left by sample, lib sample (sample-" in outcome.err
    assert not (ending.directory / "tests/coverage").exists()


def test_an_error_of_the_compiler_is_shown_once(tmp_path: Path) -> None:
    outcome = new_crate(tmp_path).with_lib('pub fn f() -> u32 {\n    "text"\n}\n').coverage("--profile=devel")
    assert outcome.code == 1
    assert outcome.text.count("error[E0308]: mismatched types") == 1
    assert "src/lib.rs:2:5" in outcome.err
    assert "the tests do not build with coverage instrumentation" in outcome.err
    assert "exclude each other" not in outcome.err
    assert not (tmp_path / "tests").exists()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_crate_without_a_line_that_can_be_covered_says_so(tmp_path: Path, backend: str) -> None:
    """Of macros or traits alone, as cfg-if."""
    crate = new_crate(tmp_path).with_lib("//! No code.\n")
    outcome = crate.coverage("--profile=devel", f"--backend={backend}")
    assert outcome.code == 1
    assert "nothing was measured: no line of the crate can be covered" in outcome.err
    assert not (tmp_path / "tests").exists()


def test_where_features_exclude_each_other_it_says_how_to_choose(tmp_path: Path) -> None:
    """As those of log, which has six for the highest level alone."""
    both = '#[cfg(all(feature = "a", feature = "b"))]\ncompile_error!("one of a and b");\n'
    manifest = MANIFEST.format(name="sample") + "\n[features]\na = []\nb = []\n"
    crate = new_crate(tmp_path).with_file("Cargo.toml", manifest).with_lib(LIB + both)
    outcome = crate.nox("-s", "fmt", "coverage")
    config = f"coverage_config_{machine()}.json"
    choose = f'if these exclude each other, name those to measure in {config}: {{"crate_features": "a,b"}}'
    assert choose in outcome.err
    assert "error: one of a and b" in outcome.out.partition("coverage failed:")[2]

    crate.with_file(config, '{"crate_features": "a"}')
    assert measure(crate)
    crate.with_file(config, '{"crate_features": "a,b"}')
    assert "exclude each other" not in crate.coverage().err


def test_a_macro_may_print_braces_while_it_runs(tmp_path: Path) -> None:
    crate = new_crate(tmp_path)
    crate.with_file(
        "Cargo.toml",
        member_manifest("sample", '[dependencies]\nloud = { path = "loud" }\n[workspace]\n'),
    )
    crate.with_file("loud/Cargo.toml", member_manifest("loud", "[lib]\nproc-macro = true\n"))
    crate.with_file(
        "loud/src/lib.rs",
        "use proc_macro::TokenStream;\n#[proc_macro]\npub fn five(_: TokenStream) -> TokenStream {\n"
        '    println!("{{five}}");\n    println!("{{\\"five\\": 5}}");\n    "5".parse().unwrap()\n}\n',
    )
    crate.with_lib(LIB + "pub const FIVE: u32 = loud::five!();\n")
    assert both(crate) == directly(crate, "--workspace", "--all-features")


@pytest.mark.parametrize(
    ("manifest", "lib", "message"),
    [
        (
            "",
            "pub fn one() -> u32 {\n    1\n}\n",
            "no test reached a line of the crate; there ran sample, lib sample (sample-",
        ),
        ("", "", "no coverage data found"),
        ("[lib]\ntest = false\n", LIB, "the crate has no tests"),
    ],
    ids=["no test", "no code", "tests switched off"],
)
def test_where_nothing_is_measured_nothing_is_recorded(
    tmp_path: Path, manifest: str, lib: str, message: str
) -> None:
    crate = new_crate(tmp_path).with_lib(lib).with_file("build.rs", "fn main() {}\n")
    crate.with_file("Cargo.toml", MANIFEST.format(name="sample") + manifest)
    for backend in BACKENDS:
        outcome = crate.coverage("--profile=devel", f"--backend={backend}")
        assert outcome.code == 1
        assert message in outcome.err
        assert not (tmp_path / "tests").exists()


# What is odd about the configuration


def test_odd_configuration_is_named_with_file_and_line(changing: CrateBuilder) -> None:
    changing.with_file(
        config_file(),
        '{\n"exclude_path": "src/lost,src/lib",\n"exclude_path": "src/gone|benches",\n"exclude_paths": ""\n}',
    )
    path = changing.directory / config_file()
    err = changing.coverage().err
    assert f"warning: {path}:3: the key 'exclude_path' is given twice; the last one counts" in err
    assert (
        f"warning: {path}:4: the key 'exclude_paths' is unknown and ignored; did you mean 'exclude_path'?"
        in err
    )
    assert f"warning: {path}: exclude_path: 'src/gone' matches no source file" in err
    assert f"warning: {path}: exclude_path: 'benches' matches no source file" in err
    assert "src/lost" not in err
