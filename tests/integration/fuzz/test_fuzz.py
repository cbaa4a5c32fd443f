"""fuzz with the real cargo-fuzz, a nightly toolchain and libFuzzer, on a crate with a planted bug."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.errors import CheckFailed
from rustvmm_sessions.fuzz.run import FuzzRequest, fuzz
from rustvmm_sessions.results import Report
from rustvmm_sessions.rust.cargo import Cargo
from tests.crates import MANIFEST, REPOSITORY, CrateBuilder, new_crate, run
from tests.integration.sessions import ending, script, session

if TYPE_CHECKING:
    from pathlib import Path

BUG = "data[data[2] as usize]"
FINE = "data[3]"
HANG = "if data[2] == b'?' { loop { std::thread::sleep(std::time::Duration::from_secs(1)) } } else { 0 }"
LIB = """\
//! A crate for tests.

/// Reads the byte that a header points to.
pub fn parse(data: &[u8]) -> u8 {{
    if data.len() > 3 && data[0] == b'V' && data[1] == b'M' {{
        return {read};
    }}
    0
}}
"""
FUZZ_MANIFEST = """\
[package]
name = "sample-fuzz"
version = "0.0.0"
edition = "2021"

[package.metadata]
cargo-fuzz = true

[dependencies]
libfuzzer-sys = "0.4"
sample = { path = ".." }

[[bin]]
name = "header"
path = "fuzz_targets/header.rs"
"""
TARGET = """\
#![no_main]
use libfuzzer_sys::fuzz_target;
use sample::parse;

fuzz_target!(|data: &[u8]| {
    std::hint::black_box(parse(data));
});
"""
KEPT = "target/rustvmm-fuzz/fuzz"
# libFuzzer is C++, which takes a minute to optimise.
FAST: dict[str, str | None] = {"CXXFLAGS": "-O0 -g0"}

# As docs/extra-sessions.md shows it.
SHOWN = """\
error: fuzzing found 1 failing input:
  header: crash: index out of bounds: the len is 4 but the index is 255 (/crate/src/lib.rs:6)
  cd /crate/fuzz && RUSTUP_TOOLCHAIN=nightly cargo-fuzz run --target-dir=/crate/target/rustvmm-fuzz/fuzz/build header /crate/target/rustvmm-fuzz/fuzz/artifacts/header/crash-90caa4641034d39765df201dd7c9c8303175016c
"""  # noqa: E501


def without_figures(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{40}\b|\b\d+\b", "N", text.replace("'", ""))


def lib(read: str) -> str:
    return LIB.format(read=read)


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    """A crate whose fuzz target is built but once."""
    directory = tmp_path_factory.mktemp("fuzz") / "a crate"
    crate = new_crate(directory, options='fuzz={"seconds": 30}').with_lib(lib(BUG))
    crate.with_file("fuzz/Cargo.toml", f"{FUZZ_MANIFEST}\n[workspace]\n")
    return crate.with_file("fuzz/fuzz_targets/header.rs", TARGET).with_git()


def test_a_planted_bug_is_found_minimized_and_held_by_a_test(crate: CrateBuilder) -> None:
    outcome = session(crate, "fuzz", env={**FAST, "RUSTVMM_RESULTS": str(crate.directory / "target/results")})
    assert outcome.code == 1, outcome.text
    (line,) = re.findall(r"^  header: crash: index out of bounds: .* \((.*)\)$", outcome.err, re.MULTILINE)
    assert line == f"{crate.directory}/src/lib.rs:6"

    said = ending(outcome).replace(str(crate.directory), "/crate") + "\n"
    assert without_figures(re.sub(r"\S+/cargo-fuzz run", "cargo-fuzz run", said)) == without_figures(SHOWN)

    (kept,) = (crate.directory / KEPT / "artifacts/header").glob("crash-*")
    assert kept.read_bytes()[:2] == b"VM"
    assert kept.stat().st_size <= 6

    # The test fails as the target does, and passes where the bug is gone.
    (test,) = re.findall(r"^(#\[test\]\n.*?^\})", outcome.out, re.MULTILINE | re.DOTALL)
    crate.with_file("tests/found.rs", test)
    failing = run(["cargo", "test", "--test=found"], cwd=crate.directory)
    assert "index out of bounds: the len is" in failing.text
    crate.with_lib(lib(FINE))
    assert run(["cargo", "test", "--test=found"], cwd=crate.directory).code == 0
    crate.git("clean", "--quiet", "--force", "tests")
    crate.git("checkout", "--quiet", "src")

    # The one command repeats it, from anywhere.
    repeated = run(["sh", "-c", outcome.err.splitlines()[-2].strip()], cwd=crate.directory.parent, env=FAST)
    assert "index out of bounds: the len is" in repeated.err

    result = json.loads((crate.directory / "target/results/fuzz.json").read_text())
    (finding,) = result["findings"]
    assert (finding["kind"], finding["file"], finding["line"]) == ("fuzz", "src/lib.rs", 6)
    assert test in finding["message"]
    assert result["fix"] == outcome.err.splitlines()[-2].strip()


def test_regressions_are_known_inputs_and_nothing_is_fuzzed(crate: CrateBuilder) -> None:
    long = "VM\x7f" + 60 * "."
    crate.with_file("fuzz/corpus/header/one", "1").with_file("fuzz/corpus/header/two", "VM\x01..")
    crate.with_file("fuzz/artifacts/header/crash-3", long).commit("inputs")
    outcome = session(crate, "fuzz", "--regressions", env=FAST)
    assert outcome.code == 1
    assert "max_total_time" not in outcome.err
    found = re.findall(r"^header: (\d+) known inputs, 2 of them fail$", outcome.out, re.MULTILINE)
    assert int(found[0]) >= 4  # those of fuzzing, too
    assert "error: fuzzing found 2 failing inputs:" in ending(outcome)

    # What is new is minimized, and kept as it was found, too.
    artifacts = crate.directory / KEPT / "artifacts/header"
    found = [
        path
        for path in (artifacts / "before-minimizing").glob("crash-*")
        if path.read_bytes() == long.encode()
    ]
    assert len(found) == 1
    assert max(path.stat().st_size for path in artifacts.glob("crash-*")) <= 6

    crate.with_lib(lib(FINE))
    outcome = session(crate, "fuzz", "--regressions", env=FAST)
    assert outcome.code == 0, outcome.text
    assert "none of them fails" in outcome.out


def test_a_corpus_is_kept_and_what_reaches_nothing_new_is_removed(
    crate: CrateBuilder, tmp_path: Path
) -> None:
    crate.with_lib(lib(FINE))
    for number in range(5):  # of these, one is enough
        CrateBuilder(tmp_path).with_file(f"my corpus/header/{number}", f"VM{number}same")
    outcome = session(crate, "fuzz", "--seconds=1", "--corpus", str(tmp_path / "my corpus"), env=FAST)
    assert outcome.code == 0, outcome.text
    assert re.search(
        r"^header: [\d,]+ executions, [\d,]+ per second, coverage \d+, corpus \d+$", outcome.out, re.MULTILINE
    )
    names = sorted(path.name for path in (tmp_path / "my corpus/header").iterdir())
    assert len({"0", "1", "2", "3", "4"} & {*names}) <= 1
    assert re.search(
        rf"^header: {len(names)} of \d+ inputs kept, which reach as much$", outcome.out, re.MULTILINE
    )


def test_ctrl_c_keeps_the_corpus(crate: CrateBuilder, tmp_path: Path) -> None:
    crate.with_lib(lib(FINE))
    words = ["-s", "fuzz", "--", "--seconds=300", f"--corpus={tmp_path}"]
    environment = {**os.environ, "CXXFLAGS": "-O0 -g0", "PYTHONPATH": str(REPOSITORY)}
    nox = subprocess.Popen(
        [sys.executable, "-m", "nox", *words],
        cwd=crate.directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    end = time.monotonic() + 300
    while not list(tmp_path.glob("header/*")) and time.monotonic() < end:
        time.sleep(0.1)
    nox.send_signal(signal.SIGINT)
    said, _ = nox.communicate(timeout=30)
    assert nox.returncode == 130
    kept = list(tmp_path.glob("header/*"))
    assert kept
    assert (
        f"header: {len(kept)} new inputs in {tmp_path}/header\n".replace("1 new inputs", "1 new input")
        in said
    )


def test_a_hang_is_found_and_not_minimized(crate: CrateBuilder, tmp_path: Path) -> None:
    crate.with_lib(lib(HANG)).with_file("fuzz/corpus/header/slow", "VM? See.")
    report = Report(crate.directory)
    cargo = Cargo(directory=crate.directory, env={"CXXFLAGS": "-O0 -g0"})
    with pytest.raises(CheckFailed, match=r"header: hang: timeout after \d seconds"):
        fuzz(FuzzRequest(cargo=cargo, called_from=tmp_path, regressions=True, hang=1, report=report))
    (finding,) = report.findings
    assert (finding.file, finding.line) == ("src/lib.rs", 6)
    (kept,) = (crate.directory / KEPT / "artifacts/header").glob("hang-*")
    assert kept.read_bytes() == b"VM? See."
    kept.unlink()
    (crate.directory / "fuzz/corpus/header/slow").unlink()


# What is wrong before anything is fuzzed; nothing is built


def test_what_is_missing_is_named_with_what_provides_it(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "none").with_git()
    outcome = session(crate, "fuzz")
    assert outcome.code == 1
    assert ending(outcome) == (
        f"error: there are no fuzz targets\n --> {crate.directory}/fuzz\n"
        "help: make the first with `cargo fuzz init`, which writes fuzz/Cargo.toml"
    )
    crate.with_file("fuzz/Cargo.toml", f"{FUZZ_MANIFEST}\n[workspace]\n")
    crate.with_file("fuzz/fuzz_targets/header.rs", TARGET).commit("targets")
    outcome = session(crate, "fuzz", "--target=headr")
    assert "error: there is no fuzz target 'headr'" in ending(outcome)
    assert "help: did you mean 'header'?" in ending(outcome)
    rustc = script(tmp_path / "rustc", '[ -z "$RUSTUP_TOOLCHAIN" ] || exit 1\nexec rustc "$@"')
    outcome = session(crate, "fuzz", env={"RUSTC": str(rustc), "RUSTUP_TOOLCHAIN": None})
    assert "error: a nightly toolchain is needed, and cargo has rustc " in ending(outcome)
    assert "help: run `rustup toolchain install nightly --profile minimal`" in ending(outcome)


@pytest.mark.parametrize("member", [True, False], ids=["a member", "beside a member"])
def test_targets_are_found_in_a_workspace(tmp_path: Path, member: bool) -> None:
    crate = CrateBuilder(tmp_path)
    place = "fuzz" if member else "one/fuzz"
    manifest = FUZZ_MANIFEST.replace('".."', '"../one"') if member else f"{FUZZ_MANIFEST}\n[workspace]\n"
    members = '"one", "fuzz"' if member else '"one"'
    crate.with_file("Cargo.toml", f"[workspace]\nmembers = [{members}]\n")
    crate.with_file("one/Cargo.toml", MANIFEST.format(name="sample").replace("[workspace]\n", ""))
    crate.with_file("one/src/lib.rs", lib(FINE)).with_noxfile().with_file(f"{place}/Cargo.toml", manifest)
    crate.with_file(f"{place}/fuzz_targets/header.rs", TARGET).with_git()
    failing = script(tmp_path / "target/cargo-fuzz", 'echo "$PWD" "$@"; exit 9')
    outcome = session(crate, "fuzz", env={"CARGO_FUZZ": str(failing)})
    assert outcome.code == 1
    build = tmp_path / "target/rustvmm-fuzz" / place.replace("/", "-") / "build"
    assert f"{tmp_path}/{place} build --target-dir={build}\n" in outcome.out
    assert f"error: the fuzz targets of {tmp_path}/{place} do not build: exit status 9" in ending(outcome)
