"""Reading a crate's repository, by real git in temporary repositories."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git import Git
from tests.crates import REPOSITORY, UPSTREAM_VARIABLES, CrateBuilder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*UPSTREAM_VARIABLES, *(name for name in os.environ if name.startswith("GIT_"))):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    directory = tmp_path_factory.mktemp("upstream")
    repository = CrateBuilder(directory).with_file("tests/coverage", "80.1\n").with_git()
    repository.git("tag", "start")
    repository.with_file("tests/coverage", "80.2\n").commit("second")
    repository.with_file("tests/coverage", "80.3\n").commit("third")
    repository.git("switch", "--quiet", "--create", "work", "start")
    repository.with_file("more", "text\n").commit("work")
    return repository


@pytest.fixture
def upstream(made_once: CrateBuilder, tmp_path: Path) -> CrateBuilder:
    """A repository where main has two commits after the one that the branch work starts from."""
    shutil.copytree(made_once.directory, tmp_path / "upstream")
    return CrateBuilder(tmp_path / "upstream")


def git(crate: CrateBuilder) -> Git:
    return Git(directory=crate.directory)


def do(error: UserError, crate: CrateBuilder) -> None:
    """Do what the message says: run the command between its backquotes."""
    command = re.search(r"`git (.*)`", error.fix)
    assert command, error.fix
    subprocess.run(["git", *shlex.split(command[1]), "--quiet"], cwd=crate.directory, check=True)


# The merge base


def test_the_merge_base_is_where_the_branches_part(upstream: CrateBuilder) -> None:
    assert git(upstream.clone()).merge_base("origin/main") == upstream.git("rev-parse", "start").strip()


@pytest.mark.parametrize("name", ["main", "start", "HEAD", "refs/heads/main", "work~1"])
def test_any_name_of_a_commit_will_do(upstream: CrateBuilder, name: str) -> None:
    base = "work" if name == "HEAD" else "start"

    assert git(upstream).merge_base(name) == upstream.git("rev-parse", base).strip()


@pytest.mark.parametrize(
    "reference",
    ["no/such", "", "HEAD:more", "HEAD^{tree}", "a b", "*", "a..b", "\x1b[2J", "é", "--all", "-rf", "--help"],
)
def test_what_names_no_commit_is_an_error(upstream: CrateBuilder, reference: str) -> None:
    with pytest.raises(UserError) as error:
        git(upstream).merge_base(reference)

    assert str(error.value).startswith(
        f"{reference!r} names no commit of this repository\n  where: {upstream.directory}\n  to do: check"
    )


@pytest.mark.parametrize("reference", ["--upload-pack=touch ran", "--output=ran", "-rf", "--exec=touch ran"])
def test_a_reference_is_never_an_option(upstream: CrateBuilder, reference: str) -> None:
    with pytest.raises(UserError, match="names no commit"):
        git(upstream).merge_base(reference)
    assert git(upstream).commit(reference) is None
    assert git(upstream).file_at(reference, upstream.directory / "more") is None
    assert upstream.git("status", "--porcelain") == ""


def test_a_branch_of_unrelated_history_is_an_error(upstream: CrateBuilder) -> None:
    upstream.git("switch", "--quiet", "--orphan", "other")
    upstream.with_file("other", "").commit("other")

    with pytest.raises(UserError) as error:
        git(upstream).merge_base("main")

    assert str(error.value) == (
        f"HEAD and 'main' have no commit in common\n  where: {upstream.directory}\n  to do: name another one"
    )


@pytest.mark.parametrize(
    ("options", "what"),
    [
        pytest.param(
            ["--depth=1", "--no-single-branch"],
            "this clone is shallow: the merge base of HEAD and 'origin/main' is not in it",
            id="shallow",
        ),
        pytest.param(
            ["--depth=1"],
            "this clone is shallow, and 'origin/main' names no commit of it",
            id="shallow-and-one-branch",
        ),
        pytest.param(
            ["--single-branch"], "'origin/main' names no commit of this repository", id="one-branch"
        ),
    ],
)
def test_where_the_merge_base_was_not_fetched_the_command_fetches_it(
    upstream: CrateBuilder, options: list[str], what: str
) -> None:
    crate = upstream.clone(*options)

    with pytest.raises(UserError) as error:
        git(crate).merge_base("origin/main")
    assert str(error.value).startswith(f"{what}\n  where: {crate.directory}\n  to do: ")

    do(error.value, crate)
    assert git(crate).merge_base("origin/main") == upstream.git("rev-parse", "start").strip()


def test_a_shallow_clone_that_holds_the_merge_base_is_enough(upstream: CrateBuilder) -> None:
    crate = upstream.clone("--depth=3", "--no-single-branch")

    assert git(crate).merge_base("origin/main") == upstream.git("rev-parse", "start").strip()


def test_where_there_is_no_repository_the_message_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        Git(directory=tmp_path).merge_base("main")

    assert str(error.value).startswith(f"this is no git repository\n  where: {tmp_path}\n")


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


# The branch that the work goes to


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, "origin/work", id="the-remote's-default"),
        pytest.param({"BASE_BRANCH": "b"}, "origin/b", id="BASE_BRANCH"),
        pytest.param({"BASE_BRANCH": "b", "GITHUB_BASE_REF": "g"}, "origin/g", id="GITHUB_BASE_REF"),
        pytest.param(
            {"BASE_BRANCH": "b", "GITHUB_BASE_REF": "g", "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "k"},
            "origin/k",
            id="BUILDKITE_PULL_REQUEST_BASE_BRANCH",
        ),
        pytest.param(
            {"BUILDKITE_PULL_REQUEST_BASE_BRANCH": "", "GITHUB_BASE_REF": "", "BASE_BRANCH": "b"},
            "origin/b",
            id="empty-ones",
        ),
        pytest.param({"REMOTE": "fork", "BASE_BRANCH": "b"}, "fork/b", id="REMOTE"),
        pytest.param({"REMOTE": "fork"}, "fork/main", id="REMOTE-without-default"),
        pytest.param({"REMOTE": "FORK-URL", "BASE_BRANCH": "b"}, "fork/b", id="REMOTE-by-URL"),
        pytest.param(
            {"REMOTE": "fork", "BUILDKITE_REPO": "ORIGIN-URL", "BASE_BRANCH": "b"},
            "origin/b",
            id="BUILDKITE_REPO",
        ),
        pytest.param({"BASE_BRANCH": "feature/x"}, "origin/feature/x", id="branch-with-a-slash"),
    ],
)
def test_upstream_is_what_the_variables_say(
    upstream: CrateBuilder,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    expected: str,
) -> None:
    crate = upstream.clone()
    crate.git("remote", "add", "fork", "https://example.com/fork.git")
    urls = {"FORK-URL": "https://example.com/fork.git", "ORIGIN-URL": f"file://{upstream.directory}"}
    for name, value in variables.items():
        monkeypatch.setenv(name, urls.get(value, value))

    assert git(crate).upstream() == expected


def test_upstream_without_any_remote_is_the_main_branch_of_origin(upstream: CrateBuilder) -> None:
    assert git(upstream).upstream() == "origin/main"


# Where git looks


def test_the_variables_of_a_hook_lead_nowhere_else(upstream: CrateBuilder, tmp_path: Path) -> None:
    """A hook of one repository that runs our sessions in another one."""
    other = CrateBuilder(tmp_path / "other").with_file("file", "").with_git()
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rustvmm_sessions.git import Git\n"
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
