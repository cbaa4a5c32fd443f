"""Where a branch left upstream, by real git in temporary repositories."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.git.upstream import Base, find_base
from tests.crates import CrateBuilder

if TYPE_CHECKING:
    from pathlib import Path


def base_of(crate: CrateBuilder, reference: str = "", *, fetch: bool = False) -> Base:
    return find_base(Git(directory=crate.directory), reference, fetch=fetch, option="--base")


def why_not(crate: CrateBuilder, reference: str = "", *, fetch: bool = False) -> UserError:
    with pytest.raises(UserError) as error:
        base_of(crate, reference, fetch=fetch)
    return error.value


def do(error: UserError, crate: CrateBuilder) -> None:
    """Do what the message says: run the command between its backquotes."""
    command = re.search(r"`git (.*)`", error.fix)
    assert command, error.fix
    subprocess.run(["git", *shlex.split(command[1]), "--quiet"], cwd=crate.directory, check=True)


# The merge base


def test_the_merge_base_is_where_the_branches_part(upstream: CrateBuilder) -> None:
    assert base_of(upstream.clone(), "origin/main").commit == upstream.git("rev-parse", "start").strip()


@pytest.mark.parametrize("name", ["main", "start", "HEAD", "refs/heads/main", "work~1"])
def test_any_name_of_a_commit_will_do(upstream: CrateBuilder, name: str) -> None:
    base = "work" if name == "HEAD" else "start"

    assert base_of(upstream, name).commit == upstream.git("rev-parse", base).strip()


@pytest.mark.parametrize(
    "reference",
    ["no/such", "HEAD:more", "HEAD^{tree}", "a b", "*", "a..b", "\x1b[2J", "é", "--all", "-rf", "--help"],
)
def test_what_names_no_commit_is_an_error(upstream: CrateBuilder, reference: str) -> None:
    assert str(why_not(upstream, reference)).startswith(
        f"{reference!r} names no commit of this repository\n --> {upstream.directory}\nhelp: check"
    )


@pytest.mark.parametrize("reference", ["--upload-pack=touch ran", "--output=ran", "-rf", "--exec=touch ran"])
def test_a_reference_is_never_an_option(upstream: CrateBuilder, reference: str) -> None:
    assert "names no commit" in why_not(upstream, reference).what
    git = Git(directory=upstream.directory)
    assert git.commit(reference) is None
    assert git.file_at(reference, upstream.directory / "more") is None
    assert upstream.git("status", "--porcelain") == ""


def test_a_branch_of_unrelated_history_is_an_error(upstream: CrateBuilder) -> None:
    upstream.git("switch", "--quiet", "--orphan", "other")
    upstream.with_file("other", "").commit("other")

    assert str(why_not(upstream, "main")) == (
        f"HEAD and 'main' have no commit in common\n --> {upstream.directory}\nhelp: name another one"
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

    error = why_not(crate, "origin/main")
    assert str(error).startswith(f"{what}\n --> {crate.directory}\nhelp: ")

    do(error, crate)
    assert base_of(crate, "origin/main").commit == upstream.git("rev-parse", "start").strip()


def test_a_shallow_clone_that_holds_the_merge_base_is_enough(upstream: CrateBuilder) -> None:
    crate = upstream.clone("--depth=3", "--no-single-branch")

    assert base_of(crate, "origin/main").commit == upstream.git("rev-parse", "start").strip()


def test_where_there_is_no_repository_the_message_says_so(tmp_path: Path) -> None:
    assert str(why_not(CrateBuilder(tmp_path), "main")).startswith(
        f"this is not a git repository\n --> {tmp_path}\n"
    )


# The branch that the work goes to


@pytest.fixture
def clone(upstream: CrateBuilder) -> CrateBuilder:
    """A clone of upstream, on a branch of its own, with a second remote that it has fetched nothing of."""
    upstream.git("branch", "feature/x", "main")
    upstream.git("switch", "--quiet", "main")
    crate = upstream.clone()
    crate.git("remote", "add", "fork", "https://127.0.0.1:1/fork.git")
    crate.git("update-ref", "refs/remotes/fork/main", "origin/main~1")
    crate.git("switch", "--quiet", "--create", "own")
    return crate


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, "origin/main", id="the-remote's-default"),
        pytest.param({"BASE_BRANCH": "work"}, "origin/work", id="BASE_BRANCH"),
        pytest.param({"BASE_BRANCH": "x", "GITHUB_BASE_REF": "work"}, "origin/work", id="GITHUB_BASE_REF"),
        pytest.param(
            {"BASE_BRANCH": "x", "GITHUB_BASE_REF": "y", "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "work"},
            "origin/work",
            id="BUILDKITE_PULL_REQUEST_BASE_BRANCH",
        ),
        pytest.param(
            {"BUILDKITE_PULL_REQUEST_BASE_BRANCH": "", "GITHUB_BASE_REF": "", "BASE_BRANCH": "work"},
            "origin/work",
            id="empty-ones",
        ),
        pytest.param({"REMOTE": "fork", "BASE_BRANCH": "main"}, "fork/main", id="REMOTE"),
        pytest.param({"REMOTE": "fork"}, "fork/main", id="REMOTE-without-default"),
        pytest.param({"REMOTE": "FORK-URL", "BASE_BRANCH": "main"}, "fork/main", id="REMOTE-by-URL"),
        pytest.param(
            {"REMOTE": "fork", "BUILDKITE_REPO": "ORIGIN-URL", "BASE_BRANCH": "work"},
            "origin/work",
            id="BUILDKITE_REPO",
        ),
        pytest.param({"BASE_BRANCH": "feature/x"}, "origin/feature/x", id="branch-with-a-slash"),
    ],
)
@pytest.mark.parametrize("fetch", [False, True], ids=["known", "fetched"])
def test_upstream_is_what_the_variables_say_whether_it_is_fetched_or_not(
    clone: CrateBuilder,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    expected: str,
    *,
    fetch: bool,
) -> None:
    urls = {
        "FORK-URL": "https://127.0.0.1:1/fork.git",
        "ORIGIN-URL": clone.git("remote", "get-url", "origin"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, urls.get(value, value).strip())

    base = base_of(clone, fetch=fetch)

    assert (base.name, base.tip) == (expected, clone.git("rev-parse", f"refs/remotes/{expected}").strip())


@pytest.mark.parametrize("pruned", [False, True], ids=["old-branch-kept", "dangling"])
@pytest.mark.parametrize("name", ["main", "trunk"])
def test_a_default_branch_of_another_name_is_asked_for(
    upstream: CrateBuilder, name: str, *, pruned: bool
) -> None:
    """What was ``master`` when this was cloned is so no more; what a clone has as origin/HEAD stays."""
    upstream.git("branch", "--move", "main", "master")
    upstream.git("symbolic-ref", "HEAD", "refs/heads/master")
    crate = upstream.clone()
    upstream.git("branch", "--move", "master", name)
    upstream.git("update-ref", f"refs/heads/{name}", f"{name}~1")
    crate.git("fetch", "--quiet", *(["--prune"] if pruned else []))
    crate.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/master")
    tip = upstream.git("rev-parse", name).strip()

    assert base_of(crate, fetch=True) == Base(
        name=f"origin/{name}", tip=tip, commit=base_of(crate, tip).commit
    )
    if pruned and name == "main":
        assert base_of(crate).tip == tip
    elif pruned:
        error = why_not(crate)
        assert error.what == "the default branch of 'origin' is not known here"
        for command in re.findall("`git ([^`]*)`", error.fix):
            crate.git(*command.split())
        assert base_of(crate).tip == tip


def test_a_remote_that_cannot_be_asked_leaves_what_is_known(
    upstream: CrateBuilder, clone: CrateBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(upstream.directory)

    assert base_of(clone, fetch=True).name == "origin/main"

    assert "taking origin/main as it was fetched last" in capsys.readouterr().err


@pytest.mark.parametrize("fetch", [False, True], ids=["known", "fetched"])
def test_without_any_remote_no_network_is_to_blame(
    upstream: CrateBuilder, monkeypatch: pytest.MonkeyPatch, *, fetch: bool
) -> None:
    error = why_not(upstream, fetch=fetch)
    assert error.what.startswith("this repository has no remote")
    assert error.fix == (
        "add the remote: `git remote add origin URL`, or name what to compare with: `--base REF`"
    )

    upstream.git("remote", "add", "fork", "https://127.0.0.1:1/fork.git")
    error = why_not(upstream, fetch=fetch)
    assert (error.what, error.fix.partition(",")[0]) == (
        "there is no remote 'origin'",
        "name one of fork in the variable REMOTE",
    )

    monkeypatch.setenv("REMOTE", str(upstream.directory))
    monkeypatch.setenv("BASE_BRANCH", "main")
    if fetch:
        assert base_of(upstream, fetch=True).tip == upstream.git("rev-parse", "main").strip()


@pytest.mark.parametrize("depth", range(1, 7))
def test_a_shallow_clone_gives_the_same_answer_or_none(upstream: CrateBuilder, depth: int) -> None:
    """Upstream has merged the first commit of this work, by a way longer than what was cloned."""
    upstream.git("switch", "--quiet", "--create", "side", "work")
    for number in range(4):
        upstream.with_file("side", f"{number}\n").commit(f"side {number}")
    upstream.git("switch", "--quiet", "main")
    upstream.git("merge", "--quiet", "--message=merged", "side")
    upstream.git("switch", "--quiet", "work")
    expected = upstream.git("rev-parse", "work").strip()
    upstream.with_file("more", "more\n").commit("more work")
    upstream.git("switch", "--quiet", "main")
    crate = upstream.clone(f"--depth={depth}", "--no-single-branch")

    if depth < 5:
        assert why_not(crate).what.startswith("this clone is shallow")
    else:
        assert base_of(crate).commit == expected
    assert base_of(crate, fetch=True).commit == expected
    assert base_of(crate).commit == expected
