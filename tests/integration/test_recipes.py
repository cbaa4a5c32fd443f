"""The recipes of docs/own-sessions.md, in a noxfile, with a cargo that records how it is called."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.crates import REPOSITORY, CrateBuilder, new_crate
from tests.documents import blocks
from tests.fakes import Fakes

if TYPE_CHECKING:
    from pathlib import Path

HEAD = (
    "from pathlib import Path\n\nimport nox\nfrom rustvmm_sessions import register\n\ncrate = register()\n\n"
)


@pytest.fixture
def crate(tmp_path: Path) -> CrateBuilder:
    page = REPOSITORY / "docs" / "own-sessions.md"
    recipes = [block.text for block in blocks(page) if "@crate.session" in block.text]
    made = new_crate(tmp_path / "crate").with_git()
    return made.with_file("noxfile.py", HEAD + "\n\n".join(recipes)).commit("recipes")


def test_miri_and_kani_get_their_words_and_variables(crate: CrateBuilder, tmp_path: Path) -> None:
    fakes = Fakes(tmp_path / "fakes")
    fakes.add("path/cargo", 'echo "$RUSTUP_TOOLCHAIN $MIRIFLAGS" >&2')
    env: dict[str, str | None] = {"PATH": f"{fakes.directory}/path:{os.environ['PATH']}"}
    outcome = crate.nox("-s", "miri", "--", "ring::", env=env)
    assert outcome.code == 0, outcome.text
    assert "nightly -Zmiri-disable-isolation" in outcome.err
    outcome = crate.nox("-s", "kani", env=env)
    assert outcome.code == 0, outcome.text
    calls = (fakes.directory / "calls").read_text().splitlines()
    assert calls == [
        "cargo miri test ring::",
        "cargo kani --harness=verify_spec_2_6_7_2",
        "cargo kani --harness=verify_add_used",
    ]


def test_a_finding_fails_the_session_and_is_in_its_result(crate: CrateBuilder) -> None:
    assert crate.nox("-s", "unfinished").code == 0
    crate.with_file("src/later.rs", "pub fn later() {\n    todo!()\n}\n")
    outcome = crate.nox("-s", "unfinished", env={"RUSTVMM_RESULTS": "target/results"})
    assert outcome.code == 1
    assert "error: 1 finding: todo!() in the sources" in outcome.err
    result = json.loads((crate.directory / "target/results/unfinished.json").read_text())
    (finding,) = result["findings"]
    assert (finding["kind"], finding["level"]) == ("lint", "error")
    assert (finding["file"], finding["line"]) == ("src/later.rs", 2)
