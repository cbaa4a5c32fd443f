"""The README of samples/uart shows a session as it prints: so it is run, and compared."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.crates import REPOSITORY, CrateBuilder

if TYPE_CHECKING:
    from pathlib import Path

UART = REPOSITORY / "samples" / "uart"


def blocks(language: str) -> dict[str, str]:
    """Return the README's code blocks of a language by their headings."""
    sections = (UART / "README.md").read_text().split("\n## ")[1:]
    return {
        section.partition("\n")[0]: block
        for section in sections
        for block in re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    }


def without_figures(text: str) -> str:
    """Leave the words: compilers count some lines differently, and machines take their time."""
    text = re.sub(r" \(took .*?\)| in (?:a second|\d+ seconds)", "", text)
    text = re.sub(r"\((x86_64|aarch64|riscv64), rustc \S+, by \S+\)", "(...)", text)
    text = re.sub(r"rustc [0-9][^\s)]*", "rustc N", text)
    text = re.sub(r"\d[\d.]*", "N", text)
    return re.sub(r"N(?:(?:-|, )N)*(?:, and N more places)?", "N", text)


def printed(crate: CrateBuilder, *options: str) -> str:
    outcome = crate.coverage(*options)
    last = [line for line in outcome.err.splitlines() if line.startswith("nox > Session")][-1]
    return outcome.out[outcome.out.index("measured:") :] + last + "\n"


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
