"""Users other than root, rootless podman, and the docker client before podman's service."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rustvmm_sessions.container.model import CLIENT_LABEL
from tests.containers import (
    CONTAINERS_CONF,
    IMAGE,
    SOMEBODY,
    docker_client,
    docker_service,
    eventually,
    ours,
    podman,
    public_directory,
)
from tests.crates import run
from tests.integration.container.calls import HANGS, LOCAL, SECONDS, ZIPAPP, client, small

pytestmark = pytest.mark.usefixtures("storage")


def give(directory: Path, user: int) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def as_somebody(
    directory: Path, zipapp: Path, *words: str, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run ``nox -s container`` as another user, from the zipapp: the library itself is root's."""
    return subprocess.run(
        ["/usr/bin/python3", zipapp, "-s", "container", "--", *words],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1", **env},
        user=SOMEBODY,
        group=SOMEBODY,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_rootless_podman_leaves_files_that_are_the_callers() -> None:
    with public_directory() as directory:
        home = directory / "home"
        run([sys.executable, "-m", "rustvmm_sessions.cli", "zipapp"], cwd=directory)
        small(home / "crate")
        (home / "run").mkdir()
        settings = Path(CONTAINERS_CONF).read_text()
        (home / "containers.conf").write_text(settings[: settings.index("default_ulimits")])
        give(home, SOMEBODY)
        names = {"CONTAINERS_CONF": "containers.conf", "XDG_RUNTIME_DIR": "run", "HOME": ""}
        env = {name: str(home / place) for name, place in names.items()}
        try:
            image = rootless_image(directory, env)
            done = as_somebody(
                home / "crate", directory / ZIPAPP, "--engine=podman", f"--image={image}", "show", env=env
            )
        finally:
            podman("unshare", "rm", "-rf", f"{home}/.local", env=env, user=SOMEBODY)
            os.kill(int((home / "run" / "libpod" / "tmp" / "pause.pid").read_text()), signal.SIGKILL)

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith(f"0\n{home}/crate\n")
        assert (home / "crate" / "made").stat().st_uid == SOMEBODY


def rootless_image(directory: Path, env: dict[str, str]) -> str:
    """Give a user without a range of other users an image with python3; all of it is root's."""
    left_out = (
        *("./usr/lib/llvm-*", "./usr/lib/x86_64-linux-gnu/lib[LMr]*", "./usr/lib/gcc", "./usr/lib/rustlib"),
        *("./usr/share", "./usr/lib/git-core", "./usr/bin/*-linux-gnu-*", "./var"),
    )
    tar = directory / "image.tar"
    options = ["--one-file-system", "--owner=0", "--group=0", *(f"--exclude={path}" for path in left_out)]
    mount = f"--mount=type=bind,source={directory},target=/mnt"
    podman("run", "--rm", mount, IMAGE, "tar", *options, "-C", "/", "-cf", "/mnt/image.tar", ".")
    image = "localhost/plain:1"
    podman("import", "--quiet", str(tar), image, env=env, user=SOMEBODY)
    tar.unlink()
    return image


def test_a_user_of_docker_gets_files_that_are_the_callers() -> None:
    """The real docker client, whose engine runs as root; a toolchain in root's home is reachable."""
    with public_directory() as directory, docker_service(directory) as host:
        home = directory / "home"
        run([sys.executable, "-m", "rustvmm_sessions.cli", "zipapp"], cwd=directory)
        small(home / "crate")
        give(home, SOMEBODY)
        env = {
            "HOME": str(home),
            "DOCKER_HOST": host,
            "PATH": f"{docker_client().parent}:{os.environ['PATH']}",
        }
        words = ("--engine=docker", *LOCAL, "show", "unit-tests")

        done = as_somebody(home / "crate", directory / ZIPAPP, *words, env=env)

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith(f"{SOMEBODY}\n{home}/crate\nstart\n")
        assert "test result: ok. 1 passed" in done.stdout
        if os.path.exists("/dev/kvm") and Path("/dev/kvm").stat().st_mode & 0o006 == 0:
            assert "this user may not open the device /dev/kvm; the container has none" in done.stderr
        owners = {path.stat().st_uid for path in (home / "crate").rglob("*")}
        assert owners == {SOMEBODY}


def test_a_socket_that_is_not_for_this_user_is_one_message() -> None:
    with public_directory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "docker.sock"))
        (directory / "docker.sock").chmod(0o600)
        run([sys.executable, "-m", "rustvmm_sessions.cli", "zipapp"], cwd=directory)
        small(directory / "crate")
        give(directory / "crate", SOMEBODY)
        path = f"{docker_client().parent}:{os.environ['PATH']}"
        env = {"HOME": str(directory), "DOCKER_HOST": f"unix://{directory}/docker.sock", "PATH": path}

        done = as_somebody(directory / "crate", directory / ZIPAPP, "--engine=docker", "show", env=env)

    assert done.returncode == 1
    assert "docker may not be used by this user\n --> permission denied" in done.stderr


def test_the_docker_client_is_stopped_as_well(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    with docker_service(tmp_path) as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", host)
        patch.setenv("PATH", f"{docker_client().parent}:{os.environ['PATH']}")
        with client(crate, "--engine=docker") as started:
            asked = time.monotonic()
            started.send_signal(signal.SIGTERM)
            started.communicate(timeout=HANGS)
            assert time.monotonic() - asked < SECONDS
        assert eventually(lambda: ours() == [])


def test_the_docker_client_takes_the_command_line(tmp_path: Path) -> None:
    """Its parser comes before the connection: without an engine, only that is what it complains about."""
    crate = small(tmp_path / 'a, b: "c"')
    path = f"{docker_client().parent}:{os.environ['PATH']}"
    env: dict[str, str | None] = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PATH": path}
    outcome = crate.nox("-s", "container", "--", "--engine=docker", "--dry-run", "unit-tests", env=env)
    assert outcome.code == 0, outcome.text
    words = shlex.split(outcome.out)

    taken = run([word for word in words if not word.startswith("--device=")], cwd=tmp_path, env=env)
    whole = run(words, cwd=tmp_path, env=env)  # for a device, the client asks the engine first
    refused = run([*words[:2], "--no-such-flag", *words[2:]], cwd=tmp_path, env=env)

    assert "Cannot connect to the Docker daemon" in taken.err
    assert "Cannot connect to the Docker daemon" in whole.err or "unknown server OS" in whole.err
    assert "unknown flag: --no-such-flag" in refused.err


def test_labels_name_the_client(tmp_path: Path) -> None:
    with client(small(tmp_path / "crate")) as started:
        (container,) = ours()
        labels = json.loads(podman("inspect", "--format={{json .Config.Labels}}", container))
        assert labels[CLIENT_LABEL].split("/")[1] == str(started.pid)
