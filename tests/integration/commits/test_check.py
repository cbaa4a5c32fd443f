"""The commit check on real repositories: by the session, by the command, and as a hook."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.crates import UPSTREAM_VARIABLES, CrateBuilder, Outcome, run
from tests.integration.sessions import script

COMMAND = [sys.executable, "-m", "rustvmm_sessions.cli", "commit-format"]
SIGNED = "Signed-off-by: Test <test@example.com>"


def check(crate: CrateBuilder, *options: str, **variables: str) -> Outcome:
    """Run the command with only the given ones of CI's variables."""
    env: dict[str, str | None] = {**dict.fromkeys(UPSTREAM_VARIABLES), **variables}
    return run([*COMMAND, *options], cwd=crate.directory, env=env)


def commit(crate: CrateBuilder, title: str, *paragraphs: str, signed: bool = True) -> str:
    text = "\n\n".join([title, *paragraphs, *([SIGNED] if signed else [])])
    crate.git("commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "--message", text)
    return crate.git("rev-parse", "--short", "HEAD").strip()


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    crate = CrateBuilder(tmp_path_factory.mktemp("upstream")).with_file("file", "").with_git()
    for number in range(200):
        commit(crate, f"main {number}", signed=False)  # what is merged is not judged again
    crate.git("switch", "--quiet", "--create", "work", "HEAD~30")
    commit(crate, "first of the work")
    commit(crate, "x" * 61)
    commit(crate, "last of the work")
    crate.git("switch", "--quiet", "--detach", "main")
    crate.git("merge", "--quiet", "--no-ff", "--message=merged for a test", "work")
    crate.git("update-ref", "refs/pull/1/merge", "HEAD")
    crate.git("switch", "--quiet", "main")
    return crate


@pytest.fixture
def upstream(made_once: CrateBuilder, tmp_path: Path) -> CrateBuilder:
    """A repository with 200 commits on main, and a branch of three from 30 commits before its tip."""
    shutil.copytree(made_once.directory, tmp_path / "upstream")
    return CrateBuilder(tmp_path / "upstream")


def found_the_long_title(outcome: Outcome) -> bool:
    return outcome.code == 1 and "1 fault in 1 of 3 commit messages" in outcome.err


# What is said


def test_all_faults_of_all_commits_are_said_with_what_mends_them(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    wrong = commit(crate, "x" * 61, "y" * 76, signed=False)
    last = commit(crate, "squash! first of the work", signed=False)
    base = crate.git("merge-base", "origin/main", "HEAD")[:12]

    outcome = check(crate, BASE_BRANCH="main")

    assert outcome.code == 1
    assert outcome.out.splitlines()[-12:] == [
        f"{wrong} {'x' * 61}",
        "  title: the title has 61 characters, 60 are allowed",
        f"  help: git rebase --interactive {wrong}^  # and mark {wrong} as reword",
        f"  body: line 3 has 76 characters, 75 are allowed: {'y' * 40}...",
        f"  help: git rebase --interactive {wrong}^  # and mark {wrong} as reword",
        "  sign-off: there is no trailer Signed-off-by: Name <address>",
        f"  help: git rebase --signoff {base}",
        f"{last} squash! first of the work",
        "  fixup: squash! commits are to be squashed into those they mend",
        f"  help: git rebase --interactive --autosquash {base}",
        "  sign-off: there is no trailer Signed-off-by: Name <address>",
        "  help: git commit --amend --no-edit --signoff",
    ]
    assert outcome.err == "error: 6 faults in 3 of 5 commit messages; see above\n"


def test_the_commands_mend_what_they_are_named_for(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    crate.git("reset", "--quiet", "--hard", "HEAD~2")
    for title in ("unsigned", "unsigned, too"):
        commit(crate, title, signed=False)
    outcome = check(crate, BASE_BRANCH="main")
    (rebase,) = {line for line in outcome.out.splitlines() if "git rebase --signoff" in line}

    crate.git(*rebase.split("git ")[1].split())

    assert check(crate, BASE_BRANCH="main").code == 0


def test_good_commits_pass(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    crate.git("reset", "--quiet", "--hard", "HEAD~2")

    outcome = check(crate, BASE_BRANCH="main")

    assert outcome.code == 0
    assert outcome.out.endswith("1 commit message as it should be.\n")


def test_no_commits_are_said_to_be_none(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    crate.git("switch", "--quiet", "--detach", "origin/main~3")

    outcome = check(crate, BASE_BRANCH="main")

    assert outcome.code == 0
    assert outcome.out.startswith("There are no commits between origin/main (")
    assert outcome.out.endswith("and HEAD: nothing to check.\n")


def test_merges_and_dependabot_s_commits_are_named_and_not_checked(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    bot = "dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>"
    crate.git("commit", "--quiet", "--allow-empty", f"--author={bot}", "--message", "Bump " + "x" * 80)
    crate.git("merge", "--quiet", "--no-ff", "--message=Merge it", "origin/main")
    other = "dependabot <dependabot@example.com>"
    crate.git("commit", "--quiet", "--allow-empty", f"--author={other}", "--message", "Bump " + "x" * 80)

    outcome = check(crate, BASE_BRANCH="main")

    assert outcome.out.count("not checked: ") == 2
    assert "Merge it (merge)" in outcome.out
    assert "(by 49699333+dependabot[bot]@users.noreply.github.com)" in outcome.out
    assert "3 faults in 2 of 4 commit messages" in outcome.err


def test_what_the_terminal_cannot_show_is_escaped(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    commit(crate, "größer ☃", signed=False)

    outcome = check(crate, BASE_BRANCH="main", PYTHONIOENCODING="ascii")

    assert outcome.code == 1
    assert r" gr\xf6\xdfer \u2603" in outcome.out
    assert "Traceback" not in outcome.text


def test_control_characters_in_a_message_do_not_reach_the_terminal(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    commit(crate, "a\x1b[2Jb" + "x" * 60, signed=False)

    outcome = check(crate, BASE_BRANCH="main")

    assert "a\\x1b[2Jb" in outcome.out
    assert "\x1b" not in outcome.text


def test_trailers_are_those_that_git_finds(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    crate.git("reset", "--quiet", "--hard", "HEAD~2")
    commit(
        crate,
        "Title",
        "Text",
        f"Fixes: 1\nreviewed-BY : {'x' * 80} <x@y>\n (with a note)\n{SIGNED}",
        signed=False,
    )
    assert check(crate, BASE_BRANCH="main").code == 0

    commit(crate, "Title", SIGNED, "An afterthought.", signed=False)
    outcome = check(crate, BASE_BRANCH="main")

    assert outcome.code == 1
    assert "the Signed-off-by line is no trailer" in outcome.out


@pytest.mark.parametrize("setting", ["core.commentChar=S", "trailer.separators=%", "color.ui=always"])
def test_a_verdict_does_not_depend_on_the_user_s_settings(
    upstream: CrateBuilder, tmp_path: Path, setting: str
) -> None:
    crate = upstream.clone()
    crate.git("config", *setting.split("="))
    good = write(tmp_path / "good", f"Title\n\n{SIGNED}\n")
    edited: dict[str, str] = {"GIT_EDITOR": ":"}  # as git says that there was no editor

    assert found_the_long_title(check(crate, BASE_BRANCH="main"))
    assert check(crate, f"--message={good}", **edited).code == 0


def test_what_git_complains_about_is_said(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    crate.git("config", "color.ui", "bogus")

    outcome = check(crate, BASE_BRANCH="main")

    assert outcome.code == 2
    assert outcome.err.startswith("error: git cannot do its part: ")
    assert "bogus" in outcome.err
    assert "Traceback" not in outcome.text


def test_a_broken_repository_is_not_said_to_be_none(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    with (crate.directory / ".git" / "config").open("a") as file:
        file.write("[broken\n")

    outcome = check(crate, BASE_BRANCH="main")

    assert outcome.code == 2
    assert outcome.err.startswith("error: git cannot read this repository: fatal: bad config line ")


def test_a_directory_that_is_gone_is_one_message(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'

    outcome = run(["sh", "-c", script, "sh", str(gone), *COMMAND], cwd=tmp_path)

    assert outcome.code == 2
    assert outcome.err.startswith("error: the directory in which this was called is gone\n")


# Where the base comes from


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
        assert outcome.err.startswith(f"error: {branch!r} is no name of a branch\n --> the base branch\n")
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
    assert check(crate).err.startswith("error: this is no git repository\n")
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


# One message, and the hook


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


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


# What the noxfile says


def test_the_command_judges_by_the_crate_s_own_rules(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    assert found_the_long_title(check(crate, BASE_BRANCH="main"))
    crate.with_noxfile('commit_format={"title": 72}')
    assert check(crate, BASE_BRANCH="main").code == 0

    crate.with_noxfile('commit_format={"titel": 72}')
    outcome = check(crate, BASE_BRANCH="main")
    assert outcome.code == 2
    assert "did you mean 'title'?" in outcome.err
    assert "Traceback" not in outcome.text


def test_the_command_s_hook_judges_by_them_too(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    member = CrateBuilder(crate.directory / "it's a member").with_noxfile('commit_format={"title": 72}')
    assert check(member, "--install-hook").code == 0

    def attempt(title: str) -> int:
        command = ["git", "commit", "--quiet", "--allow-empty", "--signoff", "-m", title]
        return run(command, cwd=crate.directory).code

    assert attempt("x" * 72) == 0
    assert attempt("x" * 73) == 1


def test_the_session_judges_by_the_crate_s_own_rules(upstream: CrateBuilder) -> None:
    crate = upstream.clone()
    env: dict[str, str | None] = {**dict.fromkeys(UPSTREAM_VARIABLES), "BASE_BRANCH": "main"}
    crate.with_noxfile()
    assert "1 fault in 1 of 3 commit messages" in crate.nox("-s", "commit-format", env=env).err

    crate.with_noxfile('commit_format={"title": 72}')
    assert crate.nox("-s", "commit-format", env=env).code == 0


def test_the_session_s_hook_judges_by_them_too(upstream: CrateBuilder) -> None:
    crate = upstream.clone().with_noxfile('commit_format={"title": 72, "signed_off": False}')
    assert crate.nox("-s", "commit-format", "--", "--install-hook").code == 0

    def attempt(title: str) -> int:
        return run(["git", "commit", "--quiet", "--allow-empty", "-m", title], cwd=crate.directory).code

    assert attempt("x" * 72) == 0
    assert attempt("x" * 73) == 1


def test_where_the_noxfile_is_not_there_the_hook_judges_by_the_usual_rules(upstream: CrateBuilder) -> None:
    """An old branch, say."""
    crate = upstream.clone().with_noxfile('commit_format={"title": 72}')
    assert crate.nox("-s", "commit-format", "--", "--install-hook").code == 0
    (crate.directory / "noxfile.py").unlink()

    def attempt(title: str) -> int:
        command = ["git", "commit", "--quiet", "--allow-empty", "--signoff", "-m", title]
        return run(command, cwd=crate.directory).code

    assert attempt("x" * 60) == 0
    assert attempt("x" * 61) == 1


# Speed


def test_2000_commits_take_no_second_over_git_s_own_time(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path / "many").with_file("file", "").with_git()
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD")
    body = "\n".join("a line of the body, as long as they usually are, or nearly" for _ in range(10))
    text = f"A title of usual length\n\n{body}\n\nhttps://example.com/{'x' * 80}\n\n{SIGNED}\n"
    stream = "".join(
        f"commit refs/heads/main\ncommitter T <t@example.com> {1_700_000_000 + n} +0000\n"
        f"data {len(text)}\n{text}\n" + ("from refs/heads/main^0\n" if n == 0 else "")
        for n in range(2000)
    )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=crate.directory, input=stream, text=True, check=True
    )

    def seconds(args: list[str]) -> float:
        started = time.perf_counter()
        done = run(args, cwd=crate.directory, env=dict.fromkeys(UPSTREAM_VARIABLES))
        assert done.code == 0, done.text
        return time.perf_counter() - started

    log = ["git", "log", "--format=%H%x00%B%x00%(trailers:only,unfold)", "origin/main..HEAD"]
    own = min(seconds(log) for _ in range(3))
    ours = min(seconds(COMMAND) for _ in range(3))

    assert ours - own <= 1.0
