"""The samples' READMEs show sessions and patches: so they are run, applied, and compared."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crates import REPOSITORY, CrateBuilder, run

if TYPE_CHECKING:
    from pathlib import Path

UART = REPOSITORY / "samples" / "uart"


def blocks(language: str, sample: Path = UART) -> dict[str, str]:
    """Return the code blocks of a language in a sample's README by their headings."""
    sections = (sample / "README.md").read_text().split("\n## ")[1:]
    return {
        section.partition("\n")[0]: block
        for section in sections
        for block in re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    }


def without_figures(text: str) -> str:
    """Leave the words: compilers count some lines differently, and machines take their time."""
    text = re.sub(r" \(took .*?\)| in (?:a second|\d+ seconds)", "", text)
    text = re.sub(r"\((x86_64|aarch64|riscv64), rustc \S+, by [\w-]+((?:, [^)]*)?)\)", r"(...\2)", text)
    text = re.sub(r"rustc [0-9][^\s)]*", "rustc N", text)
    text = re.sub(r"\d[\d.]*", "N", text)
    return re.sub(r"N(?:(?:-|, )N)*(?:, and N more places)?", "N", text)


def printed(crate: CrateBuilder, *options: str) -> str:
    """Return what a terminal shows, from the figures on."""
    nox = [sys.executable, "-m", "nox", "-s", "coverage", "--", *options]
    outcome = run(["sh", "-c", 'exec "$@" 2>&1', "sh", *nox], cwd=crate.directory)
    return outcome.out[outcome.out.index("measured:") :]


@pytest.fixture(scope="module")
def uart(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    directory: Path = tmp_path_factory.mktemp("samples") / "uart"
    shutil.copytree(UART, directory, ignore=shutil.ignore_patterns("target", "__pycache__", ".nox"))
    return CrateBuilder(directory).with_git()


def test_readme_shows_what_is_printed(uart: CrateBuilder) -> None:
    shown = {heading: without_figures(block) for heading, block in blocks("text").items()}
    (added,) = blocks("rust").values()

    assert without_figures(printed(uart)) == shown["Equal to what `tests/coverage` records"]
    uart.with_file("tests/line_break.rs", added)
    assert without_figures(printed(uart)) == shown["Higher, in the profile `ci`"]
    assert without_figures(printed(uart, "--profile", "devel")) == shown["Higher, in the profile `devel`"]
    (uart.directory / "tests" / "console.rs").unlink()
    assert without_figures(printed(uart)) == shown["Lower"]


def copy(name: str, directory: Path) -> CrateBuilder:
    source = REPOSITORY / "samples" / name
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("target", "__pycache__", ".nox"))
    return CrateBuilder(directory).with_git()


def test_the_guest_runs_where_kvm_is_and_is_missed_where_not(tmp_path: Path) -> None:
    crate = copy("kvm-guest", tmp_path / "kvm-guest")
    outcome = crate.nox("-s", "clippy", "unit-tests", "coverage")
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        assert outcome.code == 0, outcome.text
        assert "guest::tests::prints_the_sum_of_two_registers" in outcome.out
        assert "measured: " in outcome.out
    else:
        assert outcome.code == 1
        assert "the device /dev/kvm" in outcome.err
        assert "running 0 tests" not in outcome.out
    assert crate.git("status", "--porcelain") == ""


def test_members_of_exclusive_features_pass_and_the_readme_shows_what_is_printed(tmp_path: Path) -> None:
    crate = copy("workspace", tmp_path / "workspace")
    shown = blocks("text", REPOSITORY / "samples" / "workspace")
    gate = crate.nox("-s", "fmt", "clippy", "build-gnu", "doc", "unit-tests")
    assert gate.code == 0, gate.text
    listed = crate.nox("-s", "clippy", "--", "--list").out
    assert not re.search(r"features=\S*tap\S*vsock|features=\S*vsock\S*tap", listed)
    assert "--features=tap" in listed
    assert "--features=vsock" in listed

    outcome = crate.coverage()
    assert outcome.code == 0, outcome.text
    *table, last = without_figures(shown["Coverage of the members"]).splitlines()
    assert without_figures(outcome.out).splitlines()[-len(table) :] == table
    assert without_figures(outcome.err).splitlines()[-1] == last
    assert crate.git("status", "--porcelain") == ""

    tap = crate.directory / "backend/src/tap.rs"
    tap.write_text(tap.read_text() + "// more\n")
    listed = crate.nox("-s", "clippy", "--", "--changed", "HEAD", "--list").out
    first, *rest = shown["What a change concerns"].splitlines()
    assert listed.splitlines()[1:4] == rest
    assert listed.split()[0] == first.split()[0]


def test_the_patches_of_the_benchmarks_apply_and_compile(tmp_path: Path) -> None:
    crate = copy("bench", tmp_path / "bench")
    patches = blocks("diff", REPOSITORY / "samples" / "bench")
    assert list(patches) == ["A change that changes nothing", "A slower change", "A faster change"]
    for patch in patches.values():
        crate.with_file("target/change.patch", patch)
        crate.git("apply", "target/change.patch")
        checked = run(["cargo", "check", "--quiet"], cwd=crate.directory)
        assert (checked.code, checked.text) == (0, "")
        crate.git("checkout", "--quiet", "--", ".")
