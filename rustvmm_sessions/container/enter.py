"""The first process of a container: prepares it, runs a program, passes signals on, reaps orphans.

A first process gets no signal that it does not handle, and nobody else reaps what its children
leave behind; so it is not the program itself. Started by the zipapp, in a container as root:
``python3 rustvmm-sessions.pyz --enter WHO PROGRAM [ARGUMENT ...]``, WHO as `container.caller`
writes it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rustvmm_sessions.container.model import CARGO, TARGET
from rustvmm_sessions.rust.cargo import Cargo

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_KEPT = ("registry", "git")
"""What is worth keeping of cargo's home: what was downloaded."""


@dataclass(frozen=True, kw_only=True)
class _User:
    uid: int
    gid: int
    groups: tuple[int, ...]


def main(words: list[str]) -> int:
    """Run a program as the caller; return its exit status, 128 + N after signal N."""
    who, *command = words
    user = _user(who)
    cargo = Cargo(directory=Path.cwd())
    _keep_downloads(cargo.home, user)
    if user:
        _welcome(user, cargo.home, cargo.rustup_home)
    return _supervise(command, user)


def _user(who: str) -> _User | None:
    if who == "-":
        return None
    uid, gid, groups = who.split(":")
    return _User(uid=int(uid), gid=int(gid), groups=tuple(int(group) for group in groups.split(",") if group))


def _keep_downloads(cargo_home: Path, user: _User | None) -> None:
    """Let cargo download into the volume, unless the image brings downloads of its own."""
    if not Path(CARGO).is_dir():
        return
    for name in _KEPT:
        kept, place = Path(CARGO, name), cargo_home / name
        kept.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # not empty: the image's own downloads
            cargo_home.mkdir(parents=True, exist_ok=True)
            if place.is_dir() and not place.is_symlink():
                place.rmdir()
            place.symlink_to(kept)
        _give(kept, user)


def _welcome(user: _User, cargo_home: Path, rustup_home: Path) -> None:
    """Give the caller a home, and a way to a toolchain that is installed in root's."""
    os.environ["CARGO_HOME"] = str(cargo_home)
    if rustup_home.is_dir():
        os.environ["RUSTUP_HOME"] = str(rustup_home)
    for place in (Path(TARGET), Path(CARGO), cargo_home):
        if place.exists():
            _give(place, user)
    for place in (cargo_home, rustup_home):
        for folder in place.parents:
            with contextlib.suppress(OSError):
                if not folder.stat().st_mode & 0o001:
                    folder.chmod(folder.stat().st_mode | 0o001)
    for stream in range(3):  # else /dev/stdout and /dev/tty may not be opened by their names
        with contextlib.suppress(OSError):
            if os.isatty(stream) or stat.S_ISFIFO(os.fstat(stream).st_mode):
                os.fchown(stream, user.uid, -1)
    home = Path(tempfile.mkdtemp(prefix="home-"))
    _give(home, user)
    os.environ["HOME"] = str(home)
    try:
        pwd.getpwuid(user.uid)
    except KeyError:
        with contextlib.suppress(OSError), Path("/etc/passwd").open("a") as names:
            names.write(f"caller:x:{user.uid}:{user.gid}::{home}:/bin/sh\n")


def _give(place: Path, user: _User | None) -> None:
    if user and place.stat().st_uid != user.uid:
        os.chown(place, user.uid, user.gid)


def _supervise(command: list[str], user: _User | None) -> int:
    waited = {*_PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)  # until they are waited for; none is lost
    child = os.fork()
    if child == 0:
        _become(command, user, waited)
    while True:
        signum = signal.sigwait(waited)
        if signum == signal.SIGCHLD:
            status = _reap(child)
            if status is not None:
                return status
        elif signum != signal.SIGINT or not os.isatty(0):  # a terminal sends it to the child itself
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signum)


def _become(command: list[str], user: _User | None, blocked: set[signal.Signals]) -> None:
    """Turn into the program; what fails here is told by the exit status that shells use."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        for signum in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(signum, signal.SIG_DFL)
        if user:
            os.setgroups(user.groups)
            os.setgid(user.gid)
            os.setuid(user.uid)
        os.execvp(command[0], command)  # noqa: S606 - no shell
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]!r} in the container: {error.strerror}\n")
    finally:
        os._exit(127)


def _reap(child: int) -> int | None:
    """Reap all that has ended; return the child's exit status if it is among them."""
    ended = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                ended = code if code >= 0 else 128 - code
    return ended
