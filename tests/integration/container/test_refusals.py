"""What is wrong with the image, the engine or the call is one message."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.rust.cargo import machine
from tests.containers import IMAGE, podman
from tests.fakes import Fakes
from tests.integration.container.calls import LOCAL, contain, small

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("storage")


def test_an_image_that_is_missing_is_one_message(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")

    outcome = contain(crate, "--image", "localhost/no-such-image", "show")

    assert outcome.code == 1
    assert "the image localhost/no-such-image is not here\n --> podman, --pull=never\n" in outcome.err


def test_an_image_that_is_here_for_another_architecture_is_not_run(tmp_path: Path) -> None:
    """As after `reproduce` of another architecture's step, which fetches it under the same name."""
    crate = small(tmp_path / "crate")
    image = "localhost/rustvmm-sessions-other:1"
    (tmp_path / "files").mkdir()
    subprocess.run(["tar", "-cf", tmp_path / "image.tar", "-C", tmp_path / "files", "."], check=True)
    other = "arm64" if machine() == "x86_64" else "amd64"
    podman("import", "--quiet", f"--arch={other}", str(tmp_path / "image.tar"), image)

    outcome = contain(crate, "--image", image, "show")

    assert outcome.code == 1
    assert f"the image {image} is here for linux/{other}, and not for linux/" in outcome.err
    assert "podman run" not in outcome.err

    fetched = contain(crate, "--pull", "missing", "--image", image, "show")

    assert fetched.code == 1
    assert "podman run --rm --pull=always " in fetched.err
    assert f"the image {image} is not here for linux/" in fetched.err


def test_an_image_without_python_is_one_message(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    image = "localhost/rustvmm-sessions-empty:1"
    (tmp_path / "files").mkdir()
    subprocess.run(["tar", "-cf", tmp_path / "image.tar", "-C", tmp_path / "files", "."], check=True)
    podman("import", "--quiet", str(tmp_path / "image.tar"), image)

    outcome = contain(crate, "--image", image, "show")

    assert outcome.code == 1
    assert f"python3 cannot be started in the image\n --> {image}\n" in outcome.err


def test_a_work_tree_that_the_engine_may_not_see_is_one_message(tmp_path: Path) -> None:
    """As on FUSE without allow_root, or NFS with root_squash; docker's client exits with 126 then."""
    crate = small(tmp_path / "crate")
    said = f"docker: Error response from daemon: stat {crate.directory}: permission denied."
    fakes = Fakes(tmp_path)
    answer = json.dumps({"ServerVersion": "28.2.2"})
    help_line = "See 'docker run --help'."
    fakes.add(
        "path/docker",
        f"case $1 in info) echo {shlex.quote(answer)};; run) echo {shlex.quote(said)} >&2; "
        f"echo {shlex.quote(help_line)} >&2; exit 126;; esac",
    )

    outcome = crate.nox(
        *("-s", "container", "--", "--engine=docker", *LOCAL, "show"),
        env={"PATH": f"{tmp_path}/path:{os.environ['PATH']}"},
    )

    assert outcome.code == 1
    assert f"docker may not see {crate.directory}, as on network and FUSE file systems" in outcome.err
    assert f" --> {said}\n" in outcome.err


@pytest.mark.parametrize("session", ["container", "reproduce"])
def test_a_container_in_a_container_is_one_message(session: str, tmp_path: Path) -> None:
    outcome = contain(small(tmp_path / "crate"), session)

    assert outcome.code == 1
    assert f"a container has no engine for another one\n --> {session}\n" in outcome.err


def test_the_image_has_neither_pip_nor_nox() -> None:
    script = "import importlib.util as u; print([n for n in ('pip', 'ensurepip', 'nox') if u.find_spec(n)])"

    assert podman("run", "--rm", IMAGE, "python3", "-c", script) == "[]\n"
