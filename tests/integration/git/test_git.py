"""Reading a crate's repository, by real git in temporary repositories."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git.git import Git
from tests.crates import REPOSITORY, CrateBuilder

if TYPE_CHECKING:
    from pathlib import Path


def git(crate: CrateBuilder) -> Git:
    return Git(directory=crate.directory)


# A file of a commit


def test_a_file_is_read_as_a_commit_has_it(upstream: CrateBuilder) -> None:
    record = upstream.directory / "tests" / "coverage"
    record.write_text("not committed\n")

    assert git(upstream).file_at("main", record) == "80.3\n"
    assert git(upstream).file_at("start", record) == "80.1\n"


def test_a_file_is_found_from_a_crate_deeper_in_the_repository(upstream: CrateBuilder) -> None:
    crate = upstream.directory / "crates" / "uart"
    upstream.with_file("crates/uart/tests/a: b", "é\r\n no newline").commit("member")

    assert Git(directory=crate).file_at("HEAD", crate / "tests" / "a: b") == "é\r\n no newline"


@pytest.mark.parametrize("path", ["no/such", "tests"])
def test_what_is_no_file_of_the_commit_is_none(upstream: CrateBuilder, path: str) -> None:
    assert git(upstream).file_at("HEAD", upstream.directory / path) is None


# Without git, or a work tree


def test_without_git_nothing_is_known_and_what_needs_it_says_so(
    upstream: CrateBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    git = Git(directory=upstream.directory)

    assert (git.top, git.remotes, git.commit("HEAD"), git.shallow) == (None, [], None, False)
    for needs in (git.require_repository, git.work_tree):
        with pytest.raises(UserError, match="git"):
            needs()


def test_the_top_of_a_work_tree(upstream: CrateBuilder) -> None:
    below = Git(directory=upstream.directory / "tests")
    assert below.top == below.work_tree() == upstream.directory.resolve()
    inside = Git(directory=upstream.directory / ".git")
    assert inside.top is None
    with pytest.raises(UserError, match="this is not a git work tree"):
        inside.work_tree()


# Where git looks


def test_the_variables_of_a_hook_lead_nowhere_else(upstream: CrateBuilder, tmp_path: Path) -> None:
    """A hook of one repository that runs our sessions in another one."""
    other = CrateBuilder(tmp_path / "other").with_file("file", "").with_git()
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rustvmm_sessions.git.git import Git\n"
        "git = Git(directory=Path(sys.argv[1]))\n"
        "print(git.commit('HEAD'), git.read('status', '--porcelain').stdout, sep='')\n"
    )
    hook = f'#!/bin/sh\n"{sys.executable}" -c "{code}" "{upstream.directory}" >"{tmp_path}/out" || exit 1\n'
    (other.directory / ".git" / "hooks" / "pre-commit").write_text(hook)
    (other.directory / ".git" / "hooks" / "pre-commit").chmod(0o755)

    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(
        ["git", *identity, "commit", "--quiet", "--allow-empty", "--message=hooked"],
        cwd=other.directory,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "GIT_DIR": str(other.directory / ".git"),
            "GIT_WORK_TREE": str(other.directory),
        },
        check=True,
    )

    assert (tmp_path / "out").read_text() == f"{upstream.git('rev-parse', 'HEAD')}"


@pytest.mark.parametrize(
    "variable",
    [
        name
        for name in subprocess.check_output(["git", "rev-parse", "--local-env-vars"], text=True).split()
        if not name.startswith("GIT_CONFIG")
    ],
)
def test_no_variable_that_names_a_place_of_another_repository_is_obeyed(
    upstream: CrateBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))

    assert git(upstream).commit("HEAD") == upstream.git("rev-parse", "HEAD").strip()
    assert git(upstream).line("status", "--porcelain") == ""


def test_a_repository_of_another_user_is_read_and_no_configuration_touched(
    upstream: CrateBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the mount of a container is; git itself refuses it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[alias]\n\tx = y\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    belongs_to_another(upstream.directory, monkeypatch)
    refused = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=upstream.directory, capture_output=True, text=True, check=False
    )
    assert "dubious ownership" in refused.stderr

    assert git(upstream).commit("start") is not None
    assert Git(directory=upstream.directory / "tests").file_at("main", upstream.directory / "tests/coverage")

    assert (home / ".gitconfig").read_text() == "[alias]\n\tx = y\n"
    assert sorted(path.name for path in home.iterdir()) == [".gitconfig"]
    assert "safe" not in (upstream.directory / ".git" / "config").read_text()


def belongs_to_another(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:  # only root may give files away; git can be told to take them for given
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        return
    nobody = 65534
    for path in (directory, *directory.rglob("*")):
        os.chown(path, nobody, nobody)


def test_a_configuration_given_by_variables_stays_in_force(
    upstream: CrateBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.abbrev")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "13")

    assert len(git(upstream).line("rev-parse", "--short", "HEAD") or "") == 13
