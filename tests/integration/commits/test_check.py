"""The commit check on real repositories: by the session, by the command, and as a hook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crates import UPSTREAM_VARIABLES, CrateBuilder, run
from tests.integration.commits.branches import (
    COMMAND,
    SIGNED,
    check,
    commit,
    found_the_long_title,
    many_commits,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

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
        "  fixup: squash! commits are to be squashed into those they fix",
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
    assert outcome.err.startswith("error: git failed: ")
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


def test_2000_commits_are_checked(tmp_path: Path) -> None:
    outcome = check(many_commits(tmp_path / "many", 2000))

    assert outcome.code == 0, outcome.text
    assert outcome.out.endswith("2000 commit messages as they should be.\n")


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
