"""Branches of commits, and the command that checks them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.crates import UPSTREAM_VARIABLES, CrateBuilder, Outcome, run

if TYPE_CHECKING:
    from pathlib import Path

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


def found_the_long_title(outcome: Outcome) -> bool:
    return outcome.code == 1 and "1 fault in 1 of 3 commit messages" in outcome.err


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def many_commits(directory: Path, count: int) -> CrateBuilder:
    """Return a repository with so many good commits after upstream's tip."""
    crate = CrateBuilder(directory).with_file("file", "").with_git()
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD")
    body = "\n".join("a line of the body, as long as they usually are, or nearly" for _ in range(10))
    text = f"A title of usual length\n\n{body}\n\nhttps://example.com/{'x' * 80}\n\n{SIGNED}\n"
    stream = "".join(
        f"commit refs/heads/main\ncommitter T <t@example.com> {1_700_000_000 + n} +0000\n"
        f"data {len(text)}\n{text}\n" + ("from refs/heads/main^0\n" if n == 0 else "")
        for n in range(count)
    )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=crate.directory, input=stream, text=True, check=True
    )
    return crate
