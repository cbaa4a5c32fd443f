"""Containers in tests: the engines of this machine, and the image that .ci/container-image makes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.container.model import CLIENT_LABEL
from tests.crates import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rustvmm-sessions" / "containers"
SCRIPT = REPOSITORY / ".ci" / "container-image"
NAME = "localhost/rustvmm-sessions-test"
IMAGE = f"{NAME}:{hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:12]}"
CONTAINERS_CONF = str(CACHE / "containers.conf")
"""What podman needs on a machine that is a container itself."""
SOMEBODY = 12345
"""A user without a name."""


def docker_client() -> Path:
    """The docker client: the machine's, or the one that .ci/container-image fetches."""
    return Path(shutil.which("docker") or CACHE / "docker")


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep other processes' tests from podman meanwhile: it has one set of locks for all storages of a user.

    Side by side, a container that had ended was sometimes left, and its client waited for ever.
    """
    with (CACHE / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def own_storage(directory: Path) -> Iterator[None]:
    """Let podman keep containers and volumes in a directory, which goes at the end; images it also finds.

    So that calls in one file of tests do not clean up after those in another, nor after the user's.
    """
    with one_at_a_time(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", CONTAINERS_CONF)
        images = podman("info", "--format={{.Store.GraphRoot}}").strip()
        names = podman("images", "--format={{.Repository}}:{{.Tag}}").split()
        assert IMAGE in names, f"the image is missing: run {SCRIPT}"
        (directory / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{directory}/graph"\nrunroot = "{directory}/run"\n'
            f'[storage.options]\nadditionalimagestores = ["{images}"]\n'
        )
        patch.setenv("CONTAINERS_STORAGE_CONF", str(directory / "storage.conf"))
        try:
            yield
        finally:
            podman("rm", "--all", "--force")
            # A podman that tidies up after a container is let end; one that was cut off leaves a mount.
            assert eventually(lambda: not _in_use(directory))
            storage = f"{directory}/graph/overlay"
            if f" {storage} " in Path("/proc/self/mounts").read_text():
                subprocess.run(["umount", storage], check=True)
            shutil.rmtree(directory)


def _in_use(directory: Path) -> bool:
    """Whether a process has the directory in its arguments or variables."""
    name = os.fsencode(directory) + b"/"
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if name in (process / "cmdline").read_bytes() + (process / "environ").read_bytes():
                return True
    return False


def podman(*args: str, env: dict[str, str] | None = None, user: int | None = None) -> str:
    """Return what ``podman ARGS`` prints; it must succeed. Another user has the variables `env` alone."""
    done = subprocess.run(
        ["podman", *args],
        env=None if user is None else {"PATH": os.environ["PATH"], **(env or {})},
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ours() -> list[str]:
    """The containers of our clients, running or not."""
    return podman("ps", "--all", "--quiet", "--no-trunc", f"--filter=label={CLIENT_LABEL}").split()


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether something comes to hold within some time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@contextlib.contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that every user can look into; pytest's own are its user's alone."""
    with tempfile.TemporaryDirectory(prefix="rustvmm-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def docker_service(directory: Path) -> Iterator[str]:
    """Podman's service behind docker's API, for the real docker client; gives DOCKER_HOST.

    It runs as root, and whoever may write to its socket may use it: docker's way. This podman does not
    say which operating system it is for, which the client asks before it accepts devices.
    """
    inner, outer = directory / "podman.sock", directory / "docker.sock"
    with (
        subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{inner}"],
            stderr=subprocess.DEVNULL,
        ) as service,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        try:
            assert eventually(inner.exists)
            listener.bind(str(outer))
            outer.chmod(0o666)
            listener.listen()
            threading.Thread(target=_forward_all, args=(listener, inner), daemon=True).start()
            yield f"unix://{outer}"
        finally:
            listener.close()
            service.kill()


def _forward_all(listener: socket.socket, inner: Path) -> None:
    with contextlib.suppress(OSError):  # until it is closed
        while True:
            client, _ = listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(inner))
            threading.Thread(target=_forward, args=(client, server, b""), daemon=True).start()
            said = b"\r\nOstype: linux\r\nDocker-Experimental:"
            threading.Thread(target=_forward, args=(server, client, said), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket, added: bytes) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data.replace(b"\r\nDocker-Experimental:", added, 1) if added else data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
