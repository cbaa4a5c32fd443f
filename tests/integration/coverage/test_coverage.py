"""Measuring: real cargo, rustc and LLVM, compared with cargo-llvm-cov called directly.

Every figure is counts per file, and the yardstick is always a fresh target directory: what a kept
build gives must be what cargo-llvm-cov counts when it starts from nothing.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rustvmm_sessions.rust.cargo import Cargo, machine
from tests.crates import LIB, MANIFEST, CrateBuilder, new_crate, run
from tests.integration.coverage.measuring import BACKENDS, Variables, both, directly, measure

# What may change between runs of one crate

HOST = Cargo(directory=Path.cwd()).toolchain.host
RUNNER_VARIABLE = f"CARGO_TARGET_{HOST.upper().replace('-', '_')}_RUNNER"


@pytest.fixture(scope="module")
def built_changing(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    return CrateBuilder(tmp_path_factory.mktemp("changing")).with_files_of("changing").with_noxfile()


@pytest.fixture
def changing(built_changing: CrateBuilder) -> CrateBuilder:
    """One crate for all tests, each of which finds the build that the one before it left."""
    built_changing.with_files_of("changing", "tests")
    for name in (config_file(), ".cargo/config.toml"):
        (built_changing.directory / name).unlink(missing_ok=True)
    return built_changing


def member_manifest(name: str, rest: str = "") -> str:
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n\n{rest}'


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
    lib = (changing.directory / "src/lib.rs").read_text()
    changing.with_file("src/more.rs", "pub fn more() {}\n").with_lib(f"{lib}pub mod more;\n")
    before = both(changing)
    changing.with_file(config_file(), '{"exclude_path": "src/more"}')
    without = both(changing)
    (changing.directory / config_file()).unlink()
    assert both(changing) == before
    changing.with_lib(lib)
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
    profiles = list(own.glob("profiles/0/*.profraw"))
    assert profiles
    for place in (own, own / "build", own / "build/debug", own / "profiles", own / "profiles/0", tmp_path):
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


def test_nothing_is_shared_with_other_builds(tmp_path: Path) -> None:
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
    assert "Compiling other" in built

    program = crate.directory / "target/debug/sample"
    before = program.stat().st_ino
    crate.with_lib(LIB + "// more\n")
    assert "Compiling sample" in crate.coverage().err
    assert program.stat().st_ino == before
    assert run([str(program)], cwd=tmp_path).code == 0
    assert not list(tmp_path.glob("*.profraw"))


def test_a_build_directory_of_the_users_is_left_alone(tmp_path: Path) -> None:
    """With one, cargo would put executables and programs in different places, and a test finds none."""
    crate = new_crate(tmp_path / "crate")
    variables: Variables = {"CARGO_BUILD_BUILD_DIR": f"{tmp_path}/build"}
    assert both(crate, env=variables) == {"src/lib.rs": (8, 9)}
    assert not (tmp_path / "build").exists()
    crate.with_lib(LIB.replace("(3), 1)", "(-3), -1)"))
    assert both(crate, env=variables) == directly(crate, "--all-features", env=variables)


def test_a_path_may_have_spaces_signs_and_letters_of_any_alphabet(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "it's a crâte [c++] (1) 机 𝄞").with_file("src/größe.rs", "pub fn one() {}\n")
    crate.with_lib('#[path = "größe.rs"]\npub mod size;\n' + LIB.replace("//!", "//"))
    counts = both(crate)
    assert counts == directly(crate, "--all-features")
    assert set(counts) == {"src/lib.rs", "src/größe.rs"}


def test_a_path_may_have_commas(tmp_path: Path) -> None:
    """At which cargo-llvm-cov, merging profiles itself, would split their list."""
    assert both(new_crate(tmp_path / "mine, yours")) == {"src/lib.rs": (8, 9)}


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
    last = outcome.err.strip().splitlines()[-2]  # before nox's own
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
    assert outcome.text.count("error[E0308]: mismatched types\n --> src/lib.rs:2:5") == 1
    assert (
        "the tests do not build with coverage instrumentation: `sample` (lib test): "
        "error[E0308]: mismatched types\n" in outcome.err
    )
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
    assert "error: one of a and b" in outcome.out.partition("coverage failed")[2]

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
