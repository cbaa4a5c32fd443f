"""Our work tree for another commit: what it holds, and what stays as it is, with real git."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions import files
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git import worktree
from rustvmm_sessions.git.git import Git
from tests.bench_crates import state
from tests.crates import CrateBuilder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def crate(tmp_path: Path) -> CrateBuilder:
    """A repository of two commits, with work in every place that is the user's."""
    crate = CrateBuilder(tmp_path / "the crate").with_file("a", "one").with_git()
    crate.with_file("a", "two").with_file("b/c", "new").commit("second")
    crate.with_file("a", "stashed").git("stash")
    crate.with_file("a", "staged").git("add", "a")
    return crate.with_file("a", "dirty").with_file("untracked", "mine")


def checked_out(crate: CrateBuilder, directory: Path, reference: str = "HEAD~1") -> Path:
    """Check out a commit; all that is the user's stays as it was."""
    before = state(crate.directory)
    git = Git(directory=crate.directory)
    commit = git.commit(reference)
    assert commit
    worktree.check_out(git, commit, directory)
    assert state(crate.directory) == before
    return directory


def test_it_holds_the_commit_and_nothing_else(crate: CrateBuilder, tmp_path: Path) -> None:
    base = checked_out(crate, tmp_path / "base")
    assert (base / "a").read_text() == "one"
    assert not (base / "b").exists()
    assert "detached" in crate.git("worktree", "list", "--porcelain")


def test_it_is_used_again_for_another_commit(crate: CrateBuilder, tmp_path: Path) -> None:
    base = checked_out(crate, tmp_path / "base")
    (base / "left over").write_text("x")
    (base / "target").mkdir()
    (base / "target" / "ignored").write_text("x")
    assert (checked_out(crate, base, "HEAD") / "a").read_text() == "two"
    assert sorted(path.name for path in base.iterdir()) == [".git", ".gitignore", "a", "b"]


@pytest.mark.parametrize("left", ["index.lock", "gone", "no work tree", "other repository", "half", "locked"])
def test_what_a_killed_run_left_does_no_harm(crate: CrateBuilder, tmp_path: Path, left: str) -> None:
    base = checked_out(crate, tmp_path / "base")
    match left:
        case "index.lock":
            (crate.directory / ".git/worktrees/base/index.lock").touch()
        case "gone":
            shutil.rmtree(base)
        case "no work tree":
            shutil.rmtree(base)
            base.mkdir()
            (base / "a").write_text("other")
        case "other repository":
            shutil.rmtree(base)
            CrateBuilder(base).with_file("a", "theirs").with_git()
        case "locked":
            (crate.directory / ".git/worktrees/base/locked").write_text("initializing")
            (base / ".git").unlink()
        case _:
            (base / ".git").unlink()
    assert (checked_out(crate, base, "HEAD") / "a").read_text() == "two"


def test_no_hook_of_the_users_runs(crate: CrateBuilder, tmp_path: Path) -> None:
    hook = crate.directory / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    base = checked_out(crate, tmp_path / "base")
    assert (checked_out(crate, base, "HEAD") / "a").read_text() == "two"


def test_submodules_that_are_here_come_along(crate: CrateBuilder, tmp_path: Path) -> None:
    inner = CrateBuilder(tmp_path / "inner").with_file("lib.rs", "old").with_git()
    crate.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.directory), "dep")
    crate.commit("submodule")
    crate.with_file("dep/lib.rs", "new")
    CrateBuilder(crate.directory / "dep").commit("newer")
    crate.commit("newer submodule")
    base = checked_out(crate, tmp_path / "base")
    assert (base / "dep/lib.rs").read_text() == "old"
    assert (checked_out(crate, base, "HEAD") / "dep/lib.rs").read_text() == "new"


def test_a_submodule_without_the_commit_is_said(
    crate: CrateBuilder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = CrateBuilder(tmp_path / "inner").with_file("lib.rs", "old").with_git()
    crate.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.directory), "dep")
    missing = "1" * 40
    crate.git("update-index", "--cacheinfo", f"160000,{missing},dep")
    crate.git("commit", "--quiet", "--message", "a commit nobody has")
    base = checked_out(crate, tmp_path / "base", "HEAD")
    assert not (base / "dep/lib.rs").exists()
    assert "the submodule dep has no commit 111111111111" in capsys.readouterr().err


@pytest.mark.parametrize("how", [("--cone",), ("--cone", "--sparse-index"), ("--no-cone",)])
def test_of_a_sparse_checkout_it_is_whole_and_stays_so(tmp_path: Path, how: tuple[str, ...]) -> None:
    crate = CrateBuilder(tmp_path / "crate").with_file("a/in", "1").with_file("b/out", "1").with_git()
    crate.with_file("a/in", "2").with_file("b/new", "2").commit("second")
    crate.git("sparse-checkout", "set", *how, "a")
    base = tmp_path / "base"
    crate.git("worktree", "add", "--quiet", "--detach", str(base), "HEAD~1")
    assert not (base / "b/out").exists(), "git's own is as sparse, as one that was left here may be"
    for directory in (base, tmp_path / "another"):
        for reference, names in (("HEAD~1", {"in", "out"}), ("HEAD", {"in", "out", "new"})):
            checked_out(crate, directory, reference)
            assert {path.name for path in directory.glob("[ab]/*")} == names
            assert CrateBuilder(directory).git("status", "--porcelain") == ""
            CrateBuilder(directory).git("checkout", "--quiet", "--force", "--detach", "HEAD")
            assert {path.name for path in directory.glob("[ab]/*")} == names
    assert not (crate.directory / "b").exists()


def test_what_git_refuses_is_one_message(crate: CrateBuilder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="git cannot check out 111111111111") as caught:
        worktree.check_out(Git(directory=crate.directory), "1" * 40, tmp_path / "base")
    assert str(tmp_path / "base") in str(caught.value)


def test_a_linked_work_tree_of_the_users_has_its_own(crate: CrateBuilder, tmp_path: Path) -> None:
    crate.git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "linked"))
    base = tmp_path / "base"
    git = Git(directory=tmp_path / "linked")
    worktree.check_out(git, git.commit("HEAD~1") or "", base)
    assert (base / "a").read_text() == "one"


def test_folders_of_work_trees_that_are_gone_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    gone, here = tmp_path / "gone", tmp_path / "here"
    gone.mkdir()
    here.mkdir()
    old = worktree.own_place(gone)
    (old / "base").mkdir()
    gone.rmdir()
    new = worktree.own_place(here)
    assert (old.exists(), new.is_dir()) == (False, True)
    assert new.parent == files.cache_directory() / "bench"


def test_in_a_subdirectory_of_the_repository_all_of_it_is_checked_out(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path / "mono").with_file("one/a", "1").with_file("two/b", "2").with_git()
    git = Git(directory=crate.directory / "two")
    worktree.check_out(git, git.commit("HEAD") or "", tmp_path / "base")
    assert (tmp_path / "base/one/a").read_text() == "1"
    assert (
        subprocess.run(
            ["git", "-C", str(tmp_path / "base"), "status", "--porcelain"], capture_output=True, check=True
        ).stdout
        == b""
    )
