"""Run a repository's Buildkite hooks on a developer's machine."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.process import run

if TYPE_CHECKING:
    from pathlib import Path

HOOKS = ("post-checkout", "pre-command")
"""The repository's hooks that an agent runs before a step's command, in its order."""

_OF_A_SHELL = re.compile(r"#!\s*(\S*/env\s+)?(\S*/)?(bash|dash|ksh|sh|zsh)(\s|$)")


def run_hooks(directory: Path) -> None:
    """Run the hooks of ``.buildkite/hooks`` that prepare a machine, in the agent's order.

    Each script's path is shown first. It runs in the top of the work tree with the variables that
    an agent sets.

    Raises:
        CheckFailed: A hook failed; it is named.
        UserError: There is no hook, or nothing that could run it.
    """
    git = Git(directory=directory)
    top = git.top or directory
    folder = top / ".buildkite" / "hooks"
    found = [folder / name for name in HOOKS if (folder / name).is_file()]
    if not found:
        raise UserError(
            "there is no hook to run", where=str(folder), fix=f"a hook is a file named {' or '.join(HOOKS)}"
        )
    env = agent_variables(git, top)
    for hook in found:
        say(f"Running the hook {hook}")
        done = run(_command(hook), cwd=top, env=env)
        if not done.ok:
            raise CheckFailed(f"the hook {hook}: {done.ending}", output=done.output)


def _command(hook: Path) -> list[str]:
    """Return the command that runs a hook as an agent does.

    The shell that its first line names, bash without one, sources it: what fails in between ends it
    with ``-e`` alone, and ``return`` is understood. A script of another language is run.
    """
    first = (files.read_text(hook, encoding="latin-1") or "").partition("\n")[0].strip()
    if not first.startswith("#!"):
        first = "#!bash"
    if not _OF_A_SHELL.match(first):
        return [str(hook)]
    return [*first[2:].split(maxsplit=1), "-c", '. "$0"', str(hook)]


def agent_variables(git: Git, top: Path) -> dict[str, str]:
    """Return what an agent would set for a build of HEAD; what is set already stays."""
    made = {
        "CI": "true",
        "BUILDKITE": "true",
        "BUILDKITE_AGENT_NAME": "local",
        "BUILDKITE_BRANCH": git.line("symbolic-ref", "--quiet", "--short", "HEAD") or "HEAD",
        "BUILDKITE_BUILD_CHECKOUT_PATH": str(top),
        "BUILDKITE_BUILD_ID": "local",
        "BUILDKITE_BUILD_NUMBER": "0",
        "BUILDKITE_BUILD_PATH": str(top.parent),
        "BUILDKITE_COMMIT": git.commit("HEAD") or "HEAD",
        "BUILDKITE_JOB_ID": "local",
        "BUILDKITE_PIPELINE_SLUG": top.name,
        "BUILDKITE_PULL_REQUEST": "false",
        "BUILDKITE_REPO": git.line("remote", "get-url", "origin") or str(top),
    }
    return {name: os.environ.get(name, value) for name, value in made.items()}
