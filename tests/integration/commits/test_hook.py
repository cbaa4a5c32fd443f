"""One message, and the hook that checks it as it is committed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.crates import CrateBuilder, Outcome, run
from tests.integration.commits.branches import COMMAND, SIGNED, check, write
from tests.integration.sessions import script


def test_one_message_is_checked(upstream: CrateBuilder, tmp_path: Path) -> None:
    crate = upstream.clone()
    good = write(tmp_path / "good", f"Title\n\nText\n\n{SIGNED}\n# a comment of git's {'x' * 80}\n")
    bad = write(tmp_path / "bad", f"{'x' * 61}\nText\n")

    fixup = write(tmp_path / "fixup", f"fixup! {'x' * 61}\n")

    assert check(crate, f"--message={good}").code == 0
    assert check(crate, f"--message={fixup}").code == 0
    outcome = check(crate, f"--message={bad}")

    assert outcome.code == 1
    assert [line.partition(":")[0] for line in outcome.out.splitlines()] == [
        "title",
        "blank-line",
        "sign-off",
    ]


@pytest.mark.parametrize("name", ["missing", "folder", "latin"])
def test_a_message_that_cannot_be_read_is_a_wrong_call(
    upstream: CrateBuilder, tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")

    outcome = check(upstream.clone(), f"--message={tmp_path / name}")

    assert outcome.code == 2
    assert str(tmp_path / name) in outcome.err
    assert "Traceback" not in outcome.text


def test_the_hook_stops_a_bad_commit_and_lets_good_ones_and_fixups_pass(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    assert check(crate, "--install-hook").code == 0

    def attempt(*options: str) -> int:
        return run(["git", "commit", "--quiet", "--allow-empty", *options], cwd=crate.directory).code

    assert attempt("--message=unsigned") == 1
    assert attempt("--signoff", "--message=#12 signed") == 0
    assert attempt("--fixup=HEAD") == 0
    assert attempt("--no-verify", "--message=unsigned") == 0
    assert (
        run(["git", "merge", "--quiet", "--no-edit", "--no-ff", "origin/main"], cwd=crate.directory).code == 0
    )
    assert crate.git("log", "--first-parent", "--format=%s", "-4").splitlines()[1:] == [
        "unsigned",
        "fixup! #12 signed",
        "#12 signed",
    ]


def test_the_hook_lets_merges_pass_also_with_conflicts_and_amended(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path).with_file("file", "").with_git()
    crate.git("switch", "--quiet", "--create", "work")
    crate.with_file("file", "work").commit("work")
    crate.git("switch", "--quiet", "main")
    crate.with_file("file", "main").commit("main")
    assert check(crate.with_identity(), "--install-hook").code == 0

    def attempt(*words: str, date: str | None = None) -> int:
        return run(["git", *words], cwd=crate.directory, env={"GIT_AUTHOR_DATE": date}).code

    assert attempt("merge", "--quiet", "work") == 1
    assert attempt("commit", "--quiet", "--all", "--message=unsigned", date="2001-02-03T04:05:06Z") == 0
    assert attempt("commit", "--quiet", "--amend", "--message=Better words") == 0
    assert attempt("commit", "--quiet", "--allow-empty", "--message=unsigned") == 1
    assert crate.git("log", "--first-parent", "--format=%s").splitlines() == ["Better words", "main", "start"]


def test_the_hook_reads_the_encoding_that_commits_have(upstream: CrateBuilder, tmp_path: Path) -> None:
    crate = upstream.clone()
    crate.git("config", "i18n.commitEncoding", "latin1")
    check(crate, "--install-hook")
    (tmp_path / "message").write_bytes(f"caf\xe9 {'x' * 55}\n\n{SIGNED}\n".encode("latin-1"))
    attempt = ["git", "commit", "--quiet", "--allow-empty", f"--file={tmp_path / 'message'}"]

    assert run(attempt, cwd=crate.directory).code == 0
    crate.git("config", "i18n.commitEncoding", "no-such")
    outcome = check(crate, f"--message={tmp_path / 'message'}")

    assert outcome.code == 2
    assert outcome.err.startswith("error: there is no encoding 'no-such'\n")


@pytest.mark.parametrize(("cleanup", "code"), [("scissors", 0), ("strip", 1)])
def test_the_hook_reads_what_git_will_leave_of_a_message(
    upstream: CrateBuilder, tmp_path: Path, cleanup: str, code: int
) -> None:
    crate = upstream.clone()
    crate.git("config", "commit.cleanup", cleanup)
    check(crate, "--install-hook")
    (tmp_path / "message").write_text(f"#12 mends it\n\n{'x' * 61}\n\n{SIGNED}\n")
    editor = f"cp {shlex.quote(str(tmp_path / 'message'))}"

    attempt = ["git", "commit", "--quiet", "--allow-empty"]
    outcome = run(attempt, cwd=crate.directory, env={"GIT_EDITOR": editor})

    assert outcome.code == code, outcome.text


def test_installing_the_hook_again_changes_nothing(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    check(crate, "--install-hook")
    hook = crate.directory / ".git" / "hooks" / "commit-msg"
    before = hook.read_text()

    outcome = check(crate, "--install-hook")

    assert outcome.out == f"The hook is installed already: {hook}\n"
    assert hook.read_text() == before


def attempted(crate: CrateBuilder, title: str) -> Outcome:
    """Try to commit with a sign-off."""
    command = ["git", "commit", "--quiet", "--allow-empty", "--signoff", "-m", title]
    return run(command, cwd=crate.directory)


@pytest.mark.parametrize("folder", ["", "a member"])
def test_beside_a_hook_of_somebody_else_s_the_line_that_is_advised_works(
    upstream: CrateBuilder, folder: str
) -> None:
    crate = upstream.clone()
    member = CrateBuilder(crate.directory / folder).with_noxfile('commit_format={"title": 40}')
    hook = write(crate.directory / ".git" / "hooks" / "commit-msg", '#!/bin/sh\nexec true "$@"\n')
    hook.chmod(0o755)

    outcome = check(member, "--install-hook")

    assert outcome.code == 2
    assert "there is a commit-msg hook already" in outcome.err
    assert hook.read_text() == '#!/bin/sh\nexec true "$@"\n'
    (line,) = re.findall(r"help: add the line `(.*)` right below its first line\n", outcome.err)
    write(hook, f'#!/bin/sh\n{line}\nexec true "$@"\n')
    assert [attempted(crate, "x" * length).code for length in (40, 41)] == [0, 1]


def test_beside_a_hook_in_another_language_the_command_is_named(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    write(crate.directory / ".git" / "hooks" / "commit-msg", "#!/usr/bin/env python3\n")

    outcome = check(crate, "--install-hook")

    assert f'let it run `{shlex.join(COMMAND)} --message "$1"`, and fail where that fails' in outcome.err


@pytest.mark.parametrize("folder", ["", "a member"])
@pytest.mark.parametrize("made", ["pre-commit: https://pre-commit.com", "prek: https://github.com/j178/prek"])
def test_beside_pre_commit_s_hook_a_hook_of_its_configuration_is_advised(
    upstream: CrateBuilder, tmp_path: Path, made: str, folder: str
) -> None:
    """Its hook ends by exec, and is written anew by each `pre-commit install`."""
    crate = upstream.clone()
    member = CrateBuilder(crate.directory / folder).with_noxfile('commit_format={"title": 40}')
    text = f'#!/usr/bin/env bash\n# File generated by {made}\nexec pre-commit "$@"\n'
    hook = write(crate.directory / ".git" / "hooks" / "commit-msg", text)

    outcome = check(member, "--install-hook")

    assert outcome.code == 2
    assert hook.read_text() == text
    advised = outcome.err[outcome.err.index("- repo:") : outcome.err.index("at the end of")]
    ((repository,),) = [yaml.safe_load(advised)]
    (entry,) = repository["hooks"]
    assert (repository["repo"], entry["stages"]) == ("local", ["commit-msg"])
    for length, code in ((40, 0), (41, 1)):
        message = write(tmp_path / "message", f"{'x' * length}\n\n{SIGNED}\n")
        words = [*shlex.split(entry["entry"]), os.path.relpath(message, crate.directory)]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        assert run(words, cwd=crate.directory, env={"PATH": path}).code == code


@pytest.mark.parametrize("noxfile", [False, True])
def test_a_hook_whose_python_is_gone_says_what_to_do(
    upstream: CrateBuilder,
    tmp_path: Path,
    noxfile: bool,
) -> None:
    crate = upstream.clone()
    if noxfile:
        crate.with_noxfile()
    python = tmp_path / "environment" / "python"
    python.parent.mkdir()
    command = [str(python), *COMMAND[1:]]
    script(python, f'exec {shlex.quote(sys.executable)} "$@"')
    assert run([*command, "--install-hook"], cwd=crate.directory).code == 0
    hook = crate.directory / ".git" / "hooks" / "commit-msg"
    write(hook, hook.read_text().replace(sys.executable, str(python)))  # as a real environment's
    assert [attempted(crate, title).code for title in ("Good", "x" * 61)] == [0, 1]

    shutil.rmtree(python.parent)
    outcome = attempted(crate, "Good")

    assert outcome.code == 1
    again = "nox -s commit-format -- --install-hook" if noxfile else "rustvmm-sessions commit-format"
    assert "error: the commit message was not checked: " in outcome.err
    assert f"help: install the hook again: `{again}" in outcome.err
    assert 'or remove it: `rm ".git/hooks/commit-msg"`' in outcome.err


def test_on_a_branch_that_lacks_the_member_its_hook_judges_by_the_usual_rules(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    member = CrateBuilder(crate.directory / "member").with_noxfile('commit_format={"title": 40}')
    assert check(member, "--install-hook").code == 0
    shutil.rmtree(member.directory)

    assert [attempted(crate, "x" * length).code for length in (60, 61)] == [0, 1]


def test_where_hooks_are_switched_off_none_is_installed(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    crate.git("config", "core.hooksPath", "")

    outcome = check(crate, "--install-hook")

    assert outcome.code == 2
    assert outcome.err.startswith("error: core.hooksPath is empty: git runs no hooks here\n")
    assert crate.git("status", "--porcelain") == ""


def test_hooks_that_other_repositories_use_as_well_are_not_touched(
    upstream: CrateBuilder, tmp_path: Path
) -> None:
    crate = upstream.clone()
    crate.git("config", "core.hooksPath", str(tmp_path / "hooks"))

    outcome = check(crate, "--install-hook")

    assert outcome.code == 2
    assert "core.hooksPath leads out of this repository" in outcome.err
    assert not (tmp_path / "hooks").exists()


@pytest.mark.parametrize("how", ["hooksPath", "link", "untracked"])
def test_hooks_that_are_committed_are_not_touched(upstream: CrateBuilder, how: str) -> None:
    crate = upstream.clone().with_file("hooks/pre-push", "#!/bin/sh\n")
    if how != "untracked":
        crate.commit("hooks")
    if how == "link":
        shutil.rmtree(crate.directory / ".git/hooks")
        (crate.directory / ".git/hooks").symlink_to("../hooks")
    else:
        crate.git("config", "core.hooksPath", "hooks")
    before = crate.git("status", "--porcelain", "--untracked-files=all")

    outcome = check(crate, "--install-hook")

    assert outcome.code == 2
    assert "the hook would be committed" in outcome.err
    assert 'call `rustvmm-sessions commit-format --message "$1"` in its commit-msg' in outcome.err
    assert crate.git("status", "--porcelain", "--untracked-files=all") == before


def test_a_hooks_folder_that_git_ignores_takes_the_hook(upstream: CrateBuilder) -> None:
    crate = upstream.clone().with_file(".hooks/.gitignore", "*\n")
    crate.git("config", "core.hooksPath", ".hooks")

    assert check(crate, "--install-hook").code == 0
    assert attempted(crate, "x" * 61).code == 1


def test_message_and_hook_exclude_each_other(upstream: CrateBuilder) -> None:
    assert check(upstream.clone(), "--install-hook", "--message=x").code == 2
