"""Containers in tests: the engines of this machine, and the image that .ci/container-image makes."""

from __future__ import annotations

import contextlib
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

from tests.crates import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rustvmm-sessions" / "containers"
SCRIPT = REPOSITORY / ".ci" / "container-image"
NAME = "localhost/rustvmm-sessions-test"
IMAGE = f"{NAME}:{hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:12]}"
ENV: dict[str, str | None] = {"CONTAINERS_CONF": str(CACHE / "containers.conf")}
"""What podman needs on a machine that is a container itself."""
SOMEBODY = 12345
"""A user without a name."""


def docker_client() -> Path:
    """The docker client: the machine's, or the one that .ci/container-image fetches."""
    return Path(shutil.which("docker") or CACHE / "docker")


def podman(*args: str, env: dict[str, str | None] | None = None, user: int | None = None) -> str:
    """Return what ``podman ARGS`` prints; it must succeed."""
    done = subprocess.run(
        ["podman", *args],
        env=_environment(env),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _environment(env: dict[str, str | None] | None) -> dict[str, str]:
    given = {**os.environ, **ENV, **(env or {})}
    return {name: value for name, value in given.items() if value is not None}


def ours(filter_by: str = "label=rustvmm-sessions.client") -> set[str]:
    """The containers of our clients, of all tests that run at this time."""
    return set(podman("ps", "--all", "--quiet", "--no-trunc", "--filter", filter_by).split())


def environment_in(container: str) -> str:
    return podman("inspect", "--format={{.Config.Env}} {{.Mounts}}", container)


def running_with(text: str) -> list[str]:
    """The containers of ours that have a mount or variable with `text` in it, such as a test's directory."""
    found = []
    for container in ours():
        with contextlib.suppress(AssertionError):  # one that is just going
            if text in environment_in(container):
                found.append(container)
    return found


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
            env=_environment(None),
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
