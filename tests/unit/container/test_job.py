"""What an agent does for a step, as its docker plugin reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rustvmm_sessions.container.job import Job, job
from rustvmm_sessions.errors import UserError

SHELL = ("/bin/sh", "-e", "-c")
PLAIN = Job(
    label="l",
    image="i",
    command=(*SHELL, "true"),
    entrypoint="",
    devices=(),
    variables={},
    passed=(),
    propagate=False,
    privileged=False,
    timeout_minutes=15,
    ignored=(),
)


def step(docker: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    return {"command": "true", "plugins": [{"docker#v5.3.0": {"image": "i", **(docker or {})}}], **keys}


@pytest.mark.parametrize(
    ("docker", "keys", "changed"),
    [
        ({}, {}, {}),
        ({"always-pull": True, "privileged": True}, {}, {"privileged": True}),
        ({"privileged": False}, {}, {}),
        ({"devices": ["/dev/kvm"]}, {}, {"devices": ("/dev/kvm",)}),
        ({"devices": "/dev/kvm"}, {}, {"devices": ("/dev/kvm",)}),
        ({"environment": ["A=b=c", "D"]}, {}, {"variables": {"A": "b=c"}, "passed": ("D",)}),
        ({"environment": ["A=2"]}, {"env": {"A": 1, "B": True}}, {"variables": {"A": "2", "B": "true"}}),
        ({"propagate-environment": True}, {}, {"propagate": True}),
        ({"shell": ["/bin/bash", "-c"]}, {}, {"command": ("/bin/bash", "-c", "true")}),
        ({"shell": False}, {}, {"command": ("true",)}),
        ({"entrypoint": "/e"}, {}, {"command": ("true",), "entrypoint": "/e"}),
        ({"volumes": ["x"], "network": "n"}, {}, {"ignored": ("network", "volumes")}),
        ({}, {"timeout_in_minutes": 3}, {"timeout_minutes": 3}),
        ({}, {"command": ["cd x", "ls"]}, {"command": (*SHELL, "cd x\nls")}),
        ({}, {"command": None, "commands": ["ls"]}, {"command": (*SHELL, "ls")}),
        ({}, {"command": "echo $$HOME \\$x"}, {"command": (*SHELL, "echo $HOME $x")}),
    ],
)
def test_a_job_is_what_its_step_says(
    docker: dict[str, Any], keys: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert job(step(docker, **keys), "l") == replace(PLAIN, **changed)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"command": "x"}, "runs in no container"),
        ({"command": "x", "plugins": ["docker#v5.3.0"]}, "runs in no container"),
        ({"command": "x", "plugins": [{"docker-compose#v4": {"image": "i"}}]}, "runs in no container"),
        (step(matrix=["a"]), "has a matrix"),
        (step(command=""), "has no command"),
        (step({"devices": [1]}), "devices of the docker plugin is a list of strings"),
        (step({"environment": 1}), "environment of the docker plugin is a list of strings"),
        (step({"shell": "sh"}), "shell of the docker plugin is a list of words"),
    ],
)
def test_what_cannot_run_here_is_one_message(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        job(given, "l")
    assert caught.value.where == "step 'l'"
    assert caught.value.fix


@pytest.mark.parametrize("name", ["docker#v5", "x/docker#v5", "https://y/docker-buildkite-plugin.git#v1"])
def test_the_plugin_is_known_by_its_name(name: str) -> None:
    plugins = ["other", {"cache#v1": None}, {"not-docker#v1": {"image": "j"}}, {name: {"image": "i"}}]
    assert job({"command": "true", "plugins": plugins}, "l") == PLAIN
