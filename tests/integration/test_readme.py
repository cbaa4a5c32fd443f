"""What README and docs show is what is printed; the site builds, and its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crates import REPOSITORY, CrateBuilder, new_crate, run
from tests.documents import PAGES, Block, blocks
from tests.integration.test_samples import without_figures

if TYPE_CHECKING:
    from pathlib import Path

SHOWN = [block for page in PAGES for block in blocks(page) if block.language == "console"]


WRONG_OPTION = """\
error: there is no option 'workspce'
 --> register()
help: did you mean 'workspace'?
"""


def test_the_message_for_a_wrong_option_is_the_one_shown(tmp_path: Path) -> None:
    crate = new_crate(tmp_path, options="workspce=False")
    outcome = crate.nox("-l")
    assert outcome.code == 2
    assert outcome.err == WRONG_OPTION
    assert outcome.err in (REPOSITORY / "README.md").read_text()


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: f"{block.page.name}-{block.text[:30].strip()}")
def test_commands_print_what_the_page_shows(block: Block, tmp_path: Path) -> None:
    directory = tmp_path / "sample"
    ignored = shutil.ignore_patterns("target", "__pycache__", ".nox")
    shutil.copytree(REPOSITORY / block.place, directory, ignore=ignored)
    crate = CrateBuilder(directory).with_git()
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        words = shlex.split(command)
        program = [sys.executable, "-m", "nox"] if words[0] == "nox" else words[:1]
        outcome = run(["sh", "-c", 'exec "$@" 2>&1', "sh", *program, *words[1:]], cwd=crate.directory)
        pattern = re.escape(without_figures(expected)).replace(re.escape("...\n"), r"(?:.*\n)*?")
        assert re.search(pattern, without_figures(outcome.out)), outcome.out


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    site = tmp_path / "site"
    built = run([sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={site}"], cwd=REPOSITORY)
    assert built.code == 0, built.text
    settings = (site / "settings" / "index.html").read_text()
    assert "<code>coverage_features</code>" in settings
    assert "<!-- options" not in settings


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", *REPOSITORY.glob("samples/*/README.md")], ids=str)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link
