"""Crates with sessions for containers, and ``nox -s container`` with podman and the local image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.containers import IMAGE
from tests.crates import REPOSITORY, CrateBuilder, Outcome, new_crate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HANGS = 60
"""Seconds after which something that should have ended is taken to hang."""
SECONDS = 12
"""What "within seconds" means: the grace that tests have to clean up, and some."""
ZIPAPP = "rustvmm-sessions.pyz"
LOCAL = ("--image", IMAGE, "--pull", "never")
PODMAN = ("--engine=podman", *LOCAL)

NOXFILE = """\
import nox
from rustvmm_sessions import register

crate = register({options})

@crate.session
def show(session):
    \"\"\"Say who and where this is, and leave a file.\"\"\"
    crate.run(session, "sh", "-c", "id -u >/dev/stdout; pwd; touch made; git log --format=%s; env | sort")

@crate.session
def wait(session):
    \"\"\"Take a long time.\"\"\"
    crate.run(session, "sh", "-c", "echo waiting; exec sleep 300")

@crate.session
def tidy(session):
    \"\"\"Let git tidy up, as it does by itself now and then.\"\"\"
    crate.run(session, "git", "gc", "--quiet")

@crate.session
def fail(session):
    \"\"\"Fail.\"\"\"
    crate.run(session, "false")
"""


def small(directory: Path, options: str = "") -> CrateBuilder:
    crate = new_crate(directory).with_file("noxfile.py", NOXFILE.format(options=options))
    return crate.with_git()


def sample(name: str, directory: Path) -> CrateBuilder:
    ignored = shutil.ignore_patterns("target", "__pycache__", ".nox")
    shutil.copytree(REPOSITORY / "samples" / name, directory, ignore=ignored)
    return CrateBuilder(directory).with_git()


def contain(crate: CrateBuilder, *words: str, env: dict[str, str | None] | None = None) -> Outcome:
    """Run ``nox -s container -- WORDS`` with podman and the local image."""
    return crate.nox("-s", "container", "--", "--engine", "podman", *LOCAL, *words, env=env)


@contextmanager
def client(crate: CrateBuilder, *words: str, session: str = "wait") -> Iterator[subprocess.Popen[str]]:
    """Start a client whose session takes long, and wait until that runs."""
    command = [
        sys.executable,
        "-m",
        "nox",
        "-s",
        "container",
        "--",
        "--engine=podman",
        *LOCAL,
        *words,
        session,
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"}
    with subprocess.Popen(
        command,
        cwd=crate.directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "waiting\n", started.communicate()[1]
            yield started
        finally:
            started.kill()
