"""Which commits are checked: where the base comes from, in whatever clone."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.crates import CrateBuilder
from tests.integration.commits.branches import check, commit, found_the_long_title

if TYPE_CHECKING:
    from pathlib import Path


def state(crate: CrateBuilder) -> tuple[str, str, str, str]:
    """Return what of a repository is the user's."""
    fetched = crate.directory / ".git" / "FETCH_HEAD"
    return (
        crate.git("for-each-ref"),
        crate.git("status", "--porcelain"),
        (crate.directory / ".git" / "config").read_text(),
        fetched.read_text() if fetched.exists() else "",
    )


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="whole"),
        pytest.param(["--single-branch"], id="one-branch"),
        *(pytest.param([f"--depth={n}"], id=f"depth-{n}") for n in (1, 2, 3, 4, 50)),
        *(pytest.param([f"--depth={n}", "--no-single-branch"], id=f"all-depth-{n}") for n in (1, 3, 33)),
    ],
)
def test_every_clone_gives_the_same_answer_and_keeps_its_references(
    upstream: CrateBuilder, options: list[str]
) -> None:
    crate = upstream.clone(*options)
    before = state(crate)

    outcome = check(crate, BASE_BRANCH="main")

    assert found_the_long_title(outcome), outcome.text
    assert state(crate) == before


def test_github_s_merge_commit_of_depth_1_is_judged_by_the_branch_s_commits(
    upstream: CrateBuilder, tmp_path: Path
) -> None:
    """As actions/checkout leaves it: a single commit, whose parents are not there."""
    crate = CrateBuilder(tmp_path / "checkout").with_file(".keep", "")
    crate.git("init", "--quiet")
    crate.git("remote", "add", "origin", f"file://{upstream.directory}")
    merge = "+refs/pull/1/merge:refs/remotes/pull/1/merge"
    crate.git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", merge)
    crate.git("checkout", "--quiet", "--force", "refs/remotes/pull/1/merge")
    before = state(crate)

    outcome = check(crate, GITHUB_BASE_REF="main")

    assert found_the_long_title(outcome), outcome.text
    assert "merged for a test (merge)" in outcome.out
    assert state(crate) == before


def test_a_shallow_clone_that_cannot_be_deepened_is_refused(upstream: CrateBuilder) -> None:
    crate = upstream.clone("--depth=2", "--no-single-branch")
    shutil.rmtree(upstream.directory)

    outcome = check(crate, BASE_BRANCH="main")

    assert outcome.code == 2
    assert outcome.err.startswith("error: this clone is shallow and cannot be deepened")
    assert "git fetch --unshallow" in outcome.err
    assert "Traceback" not in outcome.text


def test_in_ci_the_base_is_as_the_remote_has_it_now(upstream: CrateBuilder) -> None:
    """An agent keeps its clone for weeks: what is merged meanwhile is not this branch's to answer for."""
    crate = upstream.clone()
    upstream.git("switch", "--quiet", "main")
    upstream.git("merge", "--quiet", "--ff-only", "main")
    commit(upstream, "y" * 70, signed=False)
    crate.git("fetch", "--quiet", "origin", "main:refs/remotes/new")
    crate.git("update-ref", "refs/remotes/origin/main", "refs/remotes/new~1")
    crate.git("reset", "--quiet", "--hard", "refs/remotes/new")
    commit(crate, "good")

    outcome = check(crate, BUILDKITE_PULL_REQUEST_BASE_BRANCH="main")

    assert outcome.code == 0, outcome.text
    assert outcome.out.startswith("1 commit since origin/main")


def test_without_its_remote_ci_takes_what_was_fetched_and_says_so(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    shutil.rmtree(upstream.directory)

    outcome = check(crate, BUILDKITE_PULL_REQUEST_BASE_BRANCH="main")

    assert found_the_long_title(outcome)
    assert "warning: the remote 'origin' cannot be read: " in outcome.err
    assert "taking origin/main as it was fetched last" in outcome.err


def test_a_remote_by_its_address_and_its_default_branch(upstream: CrateBuilder) -> None:
    crate = upstream.clone("--single-branch")
    crate.git("remote", "remove", "origin")

    assert found_the_long_title(check(crate, BUILDKITE_REPO=f"file://{upstream.directory}"))


def test_the_default_branch_may_have_any_name(upstream: CrateBuilder) -> None:
    crate = upstream.clone("--single-branch")
    crate.git("update-ref", "-d", "refs/remotes/origin/HEAD")  # actions/checkout makes none
    upstream.git("branch", "--move", "main", "trunk")

    outcome = check(crate)

    assert found_the_long_title(outcome), outcome.text
    assert "since origin/trunk (" in outcome.out


def test_refs_heads_before_a_branch_is_understood(upstream: CrateBuilder) -> None:
    assert found_the_long_title(check(upstream.clone(), BASE_BRANCH="refs/heads/main"))


@pytest.mark.parametrize(
    "branch",
    ["main:main", "+refs/heads/*:refs/x/*", "*", "a b", "--upload-pack=touch ran", "main..work", "^main"],
)
def test_what_is_no_branch_is_refused_and_nothing_run(upstream: CrateBuilder, branch: str) -> None:
    crate = upstream.clone()
    before = state(crate)

    outcome = check(crate, BASE_BRANCH=branch)

    assert outcome.code == 2
    if "upload" not in branch:
        assert outcome.err.startswith(f"error: invalid branch name {branch!r}\n --> the base branch\n")
    assert "Traceback" not in outcome.text
    assert state(crate) == before


@pytest.mark.parametrize("remote", ["--upload-pack=touch ran", "nowhere", "/no/such", "ext::touch ran"])
def test_what_is_no_remote_is_refused_and_nothing_run(upstream: CrateBuilder, remote: str) -> None:
    crate = upstream.clone()

    outcome = check(crate, REMOTE=remote, BASE_BRANCH="main")

    assert outcome.code == 2
    assert outcome.err.startswith(f"error: the remote {remote!r} cannot be read: ")
    assert crate.git("status", "--porcelain") == ""


@pytest.mark.parametrize("branch", [{}, {"BASE_BRANCH": "main"}])
def test_what_an_address_holds_secret_is_not_printed(upstream: CrateBuilder, branch: dict[str, str]) -> None:
    crate = upstream.clone()
    address = f"https://me:s3c@ret@127.0.0.1/{upstream.directory}"
    crate.git("config", f"url.file://{upstream.directory}.insteadOf", address)
    crate.git("remote", "remove", "origin")

    outcomes = [check(crate, REMOTE=address, **branch), check(crate, REMOTE=f"{address}-gone", **branch)]

    assert [outcome.code for outcome in outcomes] == [1, 2]
    assert f"since https://127.0.0.1/{upstream.directory}/main (" in outcomes[0].out
    assert outcomes[1].err.startswith(f"error: the remote 'https://127.0.0.1/{upstream.directory}-gone' ")
    assert not any("ret@" in outcome.text or "s3c" in outcome.text for outcome in outcomes)


def test_a_missing_branch_is_named(upstream: CrateBuilder) -> None:
    outcome = check(upstream.clone(), BASE_BRANCH="mian")

    assert outcome.code == 2
    assert outcome.err.startswith("error: the remote 'origin' has no branch 'mian'\n")


def test_unrelated_history_is_an_error(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    crate.git("switch", "--quiet", "--orphan", "other")
    commit(crate, "other")

    outcome = check(crate, BASE_BRANCH="main")

    assert outcome.code == 2
    assert outcome.err.startswith("error: HEAD and 'origin/main' have no commit in common\n")


def test_without_repository_or_commit_the_message_says_so(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path)
    assert check(crate).err.startswith("error: this is not a git repository\n")
    crate.git("init", "--quiet")

    outcome = check(crate)

    assert outcome.code == 2
    assert outcome.err.startswith("error: there is no commit yet\n")


def test_a_repository_of_another_user_is_checked_and_no_configuration_touched(
    upstream: CrateBuilder, tmp_path: Path
) -> None:
    crate = upstream.clone()
    (tmp_path / "home").mkdir()
    for path in (crate.directory, *crate.directory.rglob("*")):
        os.chown(path, 65534, 65534) if os.geteuid() == 0 else None
    variables = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "home")}

    assert found_the_long_title(check(crate, BASE_BRANCH="main", **variables))

    assert not list((tmp_path / "home").glob(".gitconfig"))
    assert not list((tmp_path / "home").glob("git"))
