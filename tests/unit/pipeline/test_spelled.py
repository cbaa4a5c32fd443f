"""Which standard session a command spells, and what it adds."""

from __future__ import annotations

import pytest

from rustvmm_sessions.pipeline.spelled import Spelled, first_folder, spelled

MUSL = "--target {target_platform}-unknown-linux-musl"


@pytest.mark.parametrize(
    ("command", "session"),
    [
        ("cargo fmt --check", "fmt"),
        ("cargo fmt --all -- --check --config format_code_in_doc_comments=true", "fmt"),
        ("cargo clippy -- -Dwarnings", "clippy"),
        ("cargo clippy --bins --examples --all-targets -- -D warnings", "clippy"),
        ("cargo build --release", "build-gnu"),
        ("cargo build --release --target x86_64-unknown-linux-gnu", "build-gnu"),
        (f"cargo all-features build --release {MUSL}", "build-musl"),
        ("RUSTDOCFLAGS='-D warnings' cargo doc --no-deps", "doc"),
        ("cargo all-features test --workspace", "unit-tests"),
        ('RUSTFLAGS="-D warnings" cargo test --release', "unit-tests-release"),
        (f"cargo test {MUSL}", "unit-tests-musl"),
        (f"cargo test --release {MUSL.replace(' x', '=x')}", "unit-tests-musl-release"),
        ("cargo audit -q", "audit"),
        ("cargo generate-lockfile\ncargo audit --deny=warnings", "audit"),
        ("pytest -s rust-vmm-ci/integration_tests/test_coverage.py", "coverage"),
        ("pytest $(find . -name test_commit_format.py)", "commit-format"),
        ("pytest rust-vmm-ci/integration_tests/test_benchmark.py", "bench"),
    ],
)
def test_what_runs_the_same_is_the_session(command: str, session: str) -> None:
    found = spelled(command)

    assert found is not None
    assert (found.session, found.env, found.exclude, found.folder) == (session, {}, (), "")


@pytest.mark.parametrize(
    "command",
    [
        *("", "make", "cargo", "cargo -- fmt", "cargo run", "cargo check --all-targets", "cargo fmt"),
        *("cargo build", "cargo clippy --release", f"cargo clippy {MUSL}", "cargo +nightly test"),
        *("cargo test -p one", "cargo test serial::", "cargo test --lib", "cargo test -- --ignored"),
        *("cargo build --release --features x", "cargo test --no-default-features"),
        *("cargo clippy -- -D clippy::pedantic", "cargo clippy -- -A clippy::all", "cargo test -- --check"),
        *("cargo fmt -- --check --config max_width=80", "cargo fmt --manifest-path fuzz/Cargo.toml --check"),
        *("cargo audit --ignore RUSTSEC-2020-0071", "cargo audit --deny unsound", "cargo test --targe x"),
        *("cargo test --target wasm32-wasi", "cargo test --target", "cargo test $WHICH", "cargo test 'x"),
        *(
            "cargo test && make",
            "make && cargo test",
            "cargo test | tee log",
            "cargo test > log",
            "(cargo test)",
        ),
        *("cargo test &", "A=$(date) cargo test", "A='$(uname -m)' cargo test", "A=`date` cargo test"),
        *("cd $HOME && cargo test", "cd && cargo test", "cargo test # all", "export A=b; cargo test"),
        *("pytest", "pytest test_coverage.pyc", "pytest test_coverage.py test_x.py", "pytest test_x.py"),
        *("pytest test_coverage.py --profile=devel", "pytest test_coverage.py --test-scope=crate"),
        "pytest test_coverage.py --test-scope both",
    ],
)
def test_what_runs_anything_else_is_none(command: str) -> None:
    assert spelled(command) is None


def test_what_is_added_is_told() -> None:
    assert spelled(
        'ROOT=$PWD && cd a && cd ../b/ && RUSTFLAGS="-D warnings -g" X=1 Y="-I$(uname -m)" '
        "cargo test --all --exclude c --exclude=d --target aarch64-unknown-linux-gnu -- --test-threads=1"
    ) == Spelled(
        session="unit-tests",
        folder="b",
        env={"RUSTFLAGS": "-D warnings -g", "X": "1", "Y": "-I$(uname -m)", "RUST_TEST_THREADS": "1"},
        exclude=("c", "d"),
        target="aarch64",
    )
    assert spelled("cd m && pytest x/test_coverage.py --test-scope crate") == Spelled(
        session="coverage", folder="m", alone=True
    )


@pytest.mark.parametrize(
    ("command", "folder"),
    [("cd a/ && make", "a"), ("cd a\nmake", "a"), ("make; cd a", ""), ("cd", ""), ("(cd a)", ""), ("", "")],
)
def test_where_a_command_goes_first(command: str, folder: str) -> None:
    assert first_folder(command) == folder
