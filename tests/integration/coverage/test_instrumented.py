"""Where tests run, what is instrumented, what a kept build may not count, and what tests start."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from rustvmm_sessions.coverage.exclusions import python_pattern
from rustvmm_sessions.rust.cargo import Cargo, machine
from rustvmm_sessions.rust.tools import has_target, musl_triple, need_llvm_tools
from tests.crates import LIB, MANIFEST, CrateBuilder, new_crate, run
from tests.integration.coverage.measuring import BACKENDS, both, directly, measure

FINDS_PROGRAM = """\
#[test]
fn runs() {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().unwrap().parent().unwrap().join("sample");
    let out = std::process::Command::new(program).output().unwrap();
    assert_eq!(out.stdout, b"hello\\n");
}
"""
HELLO = 'fn main() {\n    println!("hello");\n}\n'


def test_a_test_finds_this_builds_program_beside_itself(tmp_path: Path) -> None:
    crate = new_crate(tmp_path).with_file("src/main.rs", HELLO).with_file("tests/run.rs", FINDS_PROGRAM)
    cold = both(crate)
    assert cold["src/main.rs"] == (3, 3)
    run(["cargo", "build", "--offline"], cwd=tmp_path)
    assert both(crate) == cold == directly(crate, "--all-features")
    crate.with_file("src/main.rs", HELLO.replace("hello", "bye"))
    assert crate.coverage().code == 1


NESTED_TEST = """\
#[test]
fn a_workspace_of_its_own_uses_the_macro() {
    let done = std::process::Command::new(env!("CARGO"))
        .args(["run", "--offline", "--target-dir", env!("CARGO_TARGET_TMPDIR")])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    std::fs::remove_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
}
"""


def test_what_a_test_compiles_by_a_workspace_of_its_own_is_instrumented(tmp_path: Path) -> None:
    """As trybuild does; the programs of that workspace are not ours to run, and leave no profile."""
    manifest = MANIFEST.format(name="shape").replace("[workspace]", "[lib]\nproc-macro = true\n[workspace]")
    crate = new_crate(tmp_path).with_file("Cargo.toml", manifest + 'exclude = ["cases"]\n')
    crate.with_lib(
        "use proc_macro::TokenStream;\n\n#[proc_macro]\npub fn one(_: TokenStream) -> TokenStream {\n"
        '    "1".parse().unwrap()\n}\n\n#[test]\nfn works() {}\n'
    )
    crate.with_file("tests/cases.rs", NESTED_TEST)
    crate.with_file("cases/Cargo.toml", MANIFEST.format(name="case") + '[dependencies]\nshape.path = ".."\n')
    crate.with_file("cases/src/main.rs", "fn main() {\n    assert_eq!(shape::one!(), 1);\n}\n")
    cold = both(crate)
    assert cold == directly(crate, "--all-features")
    assert both(crate) == cold


def test_tested_examples_of_other_features_and_versions_count_no_more(tmp_path: Path) -> None:
    manifest = MANIFEST.format(name="sample") + '[features]\nx = []\n[[example]]\nname = "ex"\ntest = true\n'
    crate = new_crate(tmp_path).with_file("Cargo.toml", manifest)
    crate.with_lib(LIB + '#[cfg(feature = "x")]\npub fn only_x() -> u32 {\n    7\n}\n')
    crate.with_file("examples/ex.rs", "fn main() {}\n#[test]\nfn e() {\n    sample::sign(1);\n}\n")
    assert both(crate)["src/lib.rs"][1] == 12
    crate.with_file(f"coverage_config_{machine()}.json", '{"crate_features": ""}')
    assert both(crate) == {"src/lib.rs": (8, 9)} == directly(crate)
    crate.with_file("Cargo.toml", manifest.replace("0.1.0", "0.2.0"))
    assert both(crate) == {"src/lib.rs": (8, 9)}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param("src/lib.rs", "sign(3), 1", "sign(3), 2", id="source"),
        pytest.param("src/value.txt", "7", "8", id="included"),
        pytest.param("build.rs", "=7", "=8", id="build script"),
        pytest.param("input.txt", "7", "8", id="what a build script reads"),
    ],
)
def test_a_file_replaced_by_an_older_one_is_built(tmp_path: Path, name: str, old: str, new: str) -> None:
    test = (
        '#[test]\nfn values() {\n    assert_eq!(include_str!("value.txt"), "7");\n'
        '    assert_eq!((env!("BUILT"), env!("READ")), ("7", "7"));\n}\n'
    )
    called = "lib-sample" if name.startswith("src/") else "sample"  # whose files begin with lib, too
    crate = new_crate(tmp_path, name=called).with_lib(LIB + test)
    crate.with_file("src/value.txt", "7").with_file("input.txt", "7")
    crate.with_file(
        "build.rs",
        'fn main() {\n    println!("cargo::rerun-if-changed=input.txt");\n'
        '    println!("cargo::rustc-env=BUILT=7");\n'
        '    println!("cargo::rustc-env=READ={}", std::fs::read_to_string("input.txt").unwrap());\n}\n',
    )
    assert measure(crate)
    path = tmp_path / name
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, (1_000_000_000, 1_000_000_000))
    outcome = crate.coverage()
    assert outcome.code == 1
    assert "test result: FAILED" in outcome.out


def test_an_older_file_of_equal_content_is_not_built_again(tmp_path: Path) -> None:
    crate = new_crate(tmp_path)
    assert measure(crate)
    os.utime(tmp_path / "src/lib.rs", (1_000_000_000, 1_000_000_000))
    assert "Compiling" not in crate.coverage().err


# What tests start

CHILD_TEST = """\
#[test]
fn starts() {{
    let done = std::process::Command::new("sh")
        .args(["-c", {script:?}, env!("CARGO_BIN_EXE_sample")])
        .output()
        .unwrap();
    assert_eq!(done.stdout, b"hello\\n");
}}
"""


def with_child(directory: Path, script: str) -> CrateBuilder:
    test = CHILD_TEST.replace("{script:?}", json.dumps(script)).replace("{{", "{").replace("}}", "}")
    crate = new_crate(directory).with_file("src/main.rs", HELLO).with_file("tests/child.rs", test)
    return crate.with_git()


def test_a_child_without_environment_leaves_the_work_tree_as_it_was(tmp_path: Path) -> None:
    crate = with_child(tmp_path, 'exec env -i "$0"').with_file("default_1_0_2.profraw", "mine")
    assert both(crate)["src/main.rs"] == (0, 3)
    assert list(tmp_path.glob("**/default_*.profraw")) == [tmp_path / "default_1_0_2.profraw"]


def test_a_child_whose_umask_forbids_all_is_counted(tmp_path: Path) -> None:
    crate = with_child(tmp_path, 'umask 0777; exec "$0"')
    assert both(crate)["src/main.rs"] == (3, 3)
    profiles = list((tmp_path / "target/rustvmm-coverage/profiles").glob("*/child-*.profraw"))
    assert {oct(path.stat().st_mode & 0o777) for path in profiles} == {"0o600"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_profile_that_cannot_be_read_is_named_with_its_test(tmp_path: Path, backend: str) -> None:
    """Cut off, as on a full disk, and empty."""
    crate = with_child(tmp_path, ': > "${LLVM_PROFILE_FILE%-%p*}-1-1.profraw"; exec "$0"')
    outcome = crate.coverage("--profile=devel", f"--backend={backend}")
    assert outcome.code == 0
    assert re.search(r"a profile of a program that sample, test child \(child-.*-1-1\.profraw", outcome.err)
    assert "To leave the test out of coverage" in outcome.err


def test_a_test_executables_own_profile_must_be_readable(tmp_path: Path) -> None:
    crate = with_child(tmp_path, "echo hello; ulimit -f 0; trap '' XFSZ")
    limited = "#[test]\nfn limited() {\n    unsafe { libc_limit() };\n}\n"
    declared = (
        '#[repr(C)]\nstruct Limit(u64, u64);\nextern "C" {\n'
        "    fn setrlimit(what: i32, limit: *const Limit) -> i32;\n"
        "    fn signal(number: i32, handler: usize) -> usize;\n}\n"
        "unsafe fn libc_limit() {\n    signal(25, 1);\n    setrlimit(1, &Limit(16, 16));\n}\n"
    )
    crate.with_file("tests/child.rs", declared + limited)
    outcome = crate.coverage("--profile=devel")
    assert outcome.code == 1
    assert "the profile of sample, test child (child-" in outcome.err
    assert not (tmp_path / "tests/coverage").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_a_test_that_changes_its_root_is_not_said_to_have_ended_badly(tmp_path: Path) -> None:
    manifest = MANIFEST.format(name="sample") + '[[test]]\nname = "caged"\nharness = false\n'
    crate = new_crate(tmp_path / "crate").with_file("Cargo.toml", manifest)
    (tmp_path / "cage").mkdir()
    crate.with_file(
        "tests/caged.rs",
        f'fn main() {{\n    std::os::unix::fs::chroot("{tmp_path}/cage").unwrap();\n'
        '    std::env::set_current_dir("/").unwrap();\n    sample::sign(1);\n}\n',
    )
    outcome = crate.coverage()
    assert outcome.code == 1
    assert re.search(r"no profile was left by sample, test caged .* or changed its root folder", outcome.err)


# Targets, and what does not build


def test_a_procedural_macro_beside_a_program_for_the_hosts_own_target_is_one_target(tmp_path: Path) -> None:
    """The macro's tests are built for the host, the program's for the target of that name."""
    manifest = MANIFEST.format(name="shape").replace("[workspace]", "[lib]\nproc-macro = true\n[workspace]")
    crate = new_crate(tmp_path).with_file("Cargo.toml", manifest).with_lib("#[test]\nfn works() {}\n")
    crate.with_file("src/main.rs", "fn main() {}\n\n#[test]\nfn works() {\n    main();\n}\n")
    host = Cargo(directory=tmp_path).toolchain.host
    crate.with_file(".cargo/config.toml", f'[build]\ntarget = "{host}"\n')
    assert both(crate) == directly(crate, "--all-features")


def test_what_is_built_for_several_targets_is_counted_by_the_backend_cargo(tmp_path: Path) -> None:
    cargo = Cargo(directory=tmp_path)
    other = musl_triple(machine())
    if not has_target(cargo, other):
        pytest.skip(f"there is no target {other}")
    targets = json.dumps([cargo.toolchain.host, other])
    crate = new_crate(tmp_path).with_file(".cargo/config.toml", f"[build]\ntarget = {targets}\n")
    assert measure(crate) == measure(crate, "--backend=cargo") == {"src/lib.rs": (8, 9)}
    refused = crate.coverage("--backend=cargo-llvm-cov")
    assert refused.code == 1
    assert "--backend=cargo" in refused.err.splitlines()[-2]


@pytest.mark.parametrize(
    ("manifest", "build", "words"),
    [
        ('rust-version = "1.999"\n', "", "the toolchain is too old: sample@0.1.0 requires rustc 1.999"),
        (
            "",
            'fn main() {\n    panic!("no header");\n}\n',
            "the build script of `sample v0.1.0` failed: no header",
        ),
        (
            "",
            'fn main() {\n    println!("cargo::rustc-link-lib=nowhere");\n}\n',
            "does not link: the system library `nowhere` is missing",
        ),
        ('[dependencies]\nno-such-crate-here = "1"\n', "", "cargo did not build the tests: "),
    ],
    ids=["rust-version", "build script", "system library", "dependency"],
)
def test_what_does_not_build_for_another_reason_is_told_apart(
    tmp_path: Path, manifest: str, build: str, words: str
) -> None:
    head, workspace = MANIFEST.format(name="sample").split("\n\n")
    crate = new_crate(tmp_path).with_file(
        "Cargo.toml", f"{head}\n{manifest}\n{workspace}\n[features]\na = []\nb = []\n"
    )
    if build:
        crate.with_file("build.rs", build)
    outcome = crate.coverage(env={"CARGO_NET_OFFLINE": "true"})
    assert outcome.code == 1
    assert words in outcome.err.strip().splitlines()[-2]
    assert "crate_features" not in outcome.err


# exclude_path


def test_patterns_leave_out_of_the_report_what_they_match_in_python(tmp_path: Path) -> None:
    """Held against llvm-cov itself, for files of many names."""
    names = ("bindings", "bind1", "regent", "gen", "aa", "ab", "x_1", "x-y", "b{,3}c")
    modules = "".join(f'#[path = "{name}.rs"]\nmod m{number};\n' for number, name in enumerate(names))
    calls = "".join(f"    m{number}::f();\n" for number in range(len(names)))
    (tmp_path / "main.rs").write_text(f"{modules}fn main() {{\n{calls}}}\n")
    for name in names:
        (tmp_path / f"{name}.rs").write_text("pub fn f() {\n    std::hint::black_box(1);\n}\n")
    cargo = Cargo(directory=tmp_path)
    llvm = need_llvm_tools(cargo)
    for command in (
        ["rustc", "-Cinstrument-coverage", "main.rs", "-o", "program"],
        [str(tmp_path / "program")],
        [str(llvm.profdata), "merge", "-sparse", "a.profraw", "-o", "a.profdata"],
    ):
        done = run(command, cwd=tmp_path, env={"LLVM_PROFILE_FILE": str(tmp_path / "a.profraw")})
        assert done.code == 0, done.text
    patterns = (
        *("bind[[:alpha:]]+\\.rs", "bind[[:digit:]]", "[[:<:]]gen[[:>:]]", "gen", r"/(a)\1\.rs$"),
        *("b\\{,3\\}c", "/b{,3}c", "a{2}", "[[:alnum:]]_[^a]", "x[_-].", "[]x]-", "(gen|x_1)\\.rs"),
        *("^/.*/ab\\.rs$", r"[\.]rs"),
    )
    for pattern in patterns:
        export = subprocess.run(
            [
                *(str(llvm.cov), "export", "-format=text", "-summary-only", "-instr-profile=a.profdata"),
                *("-object=program", f"-ignore-filename-regex={pattern}"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        kept = {Path(file["filename"]).stem for file in json.loads(export.stdout)["data"][0]["files"]}
        ours = {
            n for n in (*names, "main") if not re.search(python_pattern(pattern), str(tmp_path / f"{n}.rs"))
        }
        assert kept == ours, pattern
