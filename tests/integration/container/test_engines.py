"""Which engine is taken, with the real docker client and podman, and scripts in place of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.container import engines
from rustvmm_sessions.container.model import Engine, Kind
from rustvmm_sessions.errors import UserError
from tests.containers import CONTAINERS_CONF, docker_client, docker_service, one_at_a_time
from tests.fakes import Fakes

if TYPE_CHECKING:
    from pathlib import Path

DOCKER = {"ServerVersion": "28.2.2", "SecurityOptions": ["name=seccomp,profile=builtin"]}
PODMAN = {"host": {"security": {"rootless": False}, "ociRuntime": {"name": "runc"}}}


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """A machine without any engine."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv(engines.VARIABLE, raising=False)
    monkeypatch.setattr(engines, "_selinux", lambda: False)
    return Fakes(tmp_path)


def answers(fakes: Fakes, kind: str, said: object) -> None:
    fakes.add(f"path/{kind}", f"echo '{json.dumps(said)}'")


def silent(fakes: Fakes, kind: str, why: str) -> None:
    fakes.add(f"path/{kind}", f"echo '{{}}'; echo '{why}' >&2; exit 1")


def message(asked: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        engines.find(asked)
    return str(caught.value)


# With the real ones


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH, with the docker client, whose engine is not there."""
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "docker").symlink_to(docker_client())
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("CONTAINERS_CONF", CONTAINERS_CONF)
    return folder


def test_a_docker_client_without_an_engine_says_so(path: Path) -> None:
    for asked in (None, "docker"):
        assert message(asked).startswith(
            "docker is there, but its engine does not answer\n --> Cannot connect to the Docker daemon"
        )


def test_a_docker_client_without_an_engine_gives_way_to_podman(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/usr/sbin")

    assert engines.find(None).kind is Kind.PODMAN


def test_docker_that_answers_is_taken_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.MonkeyPatch.context() as all_programs:
        all_programs.setenv("PATH", f"{path}:/usr/bin:/usr/sbin")
        with one_at_a_time(), docker_service(path.parent) as host:
            monkeypatch.setenv("DOCKER_HOST", host)
            found = engines.find(None)

    assert (found.kind, found.rootless, found.remapped) == (Kind.DOCKER, False, False)


def test_an_engine_whose_socket_is_not_for_this_user_is_one_message(fakes: Fakes) -> None:
    """What docker's client says then; root may use any socket, so it is not the real one here."""
    silent(
        fakes, "docker", "permission denied while trying to connect to the Docker daemon socket at unix:///x"
    )

    assert message() == (
        "docker may not be used by this user\n"
        " --> permission denied while trying to connect to the Docker daemon socket at unix:///x\n"
        "help: join the group that owns its socket, and log in anew: `sudo usermod -aG docker $USER`"
    )


# What they say


@pytest.mark.parametrize(
    ("said", "facts"),
    [
        (DOCKER, {}),
        ({**DOCKER, "SecurityOptions": None}, {}),
        ({**DOCKER, "SecurityOptions": ["name=rootless"]}, {"rootless": True}),
        ({**DOCKER, "SecurityOptions": ["name=seccomp", "name=userns"]}, {"remapped": True}),
    ],
)
def test_docker_as_it_says_it_is(fakes: Fakes, said: object, facts: dict[str, bool]) -> None:
    answers(fakes, "docker", said)

    assert engines.find(None) == Engine(kind=Kind.DOCKER, program="docker", **facts)


@pytest.mark.parametrize("name", ["podman", "docker"])
@pytest.mark.parametrize(
    ("security", "runtime", "facts"),
    [
        ({"rootless": False}, "crun", {}),
        ({"rootless": True}, "runc", {"rootless": True}),
        ({"rootless": True}, "crun", {"rootless": True, "keeps_groups": True}),
    ],
)
def test_podman_as_it_says_it_is_under_either_name(
    fakes: Fakes, name: str, security: dict[str, bool], runtime: str, facts: dict[str, bool]
) -> None:
    answers(fakes, name, {"host": {"security": security, "ociRuntime": {"name": runtime}}})

    assert engines.find(None) == Engine(kind=Kind.PODMAN, program=name, **facts)


def test_an_old_client_that_succeeds_without_an_engine_is_not_believed(fakes: Fakes) -> None:
    answers(fakes, "docker", {"ServerVersion": "", "ServerErrors": ["Cannot connect"]})
    answers(fakes, "podman", PODMAN)

    assert engines.find(None).kind is Kind.PODMAN
    assert " --> Cannot connect\n" in message("docker")


def test_selinux_is_told_apart(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_selinux", lambda: True)
    answers(fakes, "podman", PODMAN)

    assert engines.find(None).selinux


# Which one


def test_option_and_variable_choose(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(fakes, "docker", DOCKER)
    answers(fakes, "podman", PODMAN)

    assert engines.find(None).kind is Kind.DOCKER
    assert engines.find("podman").kind is Kind.PODMAN
    monkeypatch.setenv(engines.VARIABLE, "podman")
    assert engines.find(None).kind is Kind.PODMAN
    assert engines.find("docker").kind is Kind.DOCKER


def test_an_unknown_engine_in_the_variable_is_one_message(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engines.VARIABLE, "rkt")

    assert message() == (
        "there is no engine 'rkt'\n --> RUSTVMM_CONTAINER_ENGINE=rkt\nhelp: name one of docker, podman"
    )


def test_without_an_engine_there_is_one_message(fakes: Fakes) -> None:
    install = "help: install podman or docker: `sudo apt-get install podman`"

    assert message() == f"there is no container engine\n --> PATH\n{install}"
    assert message("docker") == f"docker is not there\n --> --engine=docker, PATH\n{install}"


def test_where_neither_works_both_reasons_are_given(fakes: Fakes) -> None:
    silent(fakes, "docker", "no daemon")
    silent(fakes, "podman", "no storage")

    assert message() == (
        "neither docker nor podman works here\n"
        " --> docker: no daemon; podman: no storage\n"
        "help: fix one of them; `--engine NAME` shows its message alone"
    )
    assert message("podman") == (
        "podman is there, but its engine does not answer\n --> no storage\nhelp: see what `podman info` says"
    )


def test_a_dry_run_needs_no_engine_that_answers(fakes: Fakes) -> None:
    silent(fakes, "docker", "no daemon")

    assert engines.find("docker", needed=False) == Engine(kind=Kind.DOCKER, program="docker")
