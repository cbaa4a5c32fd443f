"""A step of a rendered pipeline as an agent with Buildkite's docker plugin runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.description import is_minutes
from rustvmm_sessions.pipeline.model import interpolated

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHELL = ("/bin/sh", "-e", "-c")
"""The plugin's shell, unless a step names another or an entry point."""
_KNOWN = frozenset(
    [
        *("image", "always-pull", "privileged", "devices", "environment", "propagate-environment"),
        *("shell", "entrypoint", "mount-buildkite-agent"),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What an agent does for a step.

    Attributes:
        label: The step's label.
        image: The image.
        command: The program and its arguments, after the image's entry point.
        entrypoint: The program in place of that; empty to keep it.
        devices: The device files that it needs.
        variables: Its variables.
        passed: Variables that it takes from the agent's environment.
        propagate: Whether it sees the variables of the build.
        privileged: Whether its container is.
        timeout_minutes: Its time limit.
        ignored: What else the step says of its container, which means nothing here.
    """

    label: str
    image: str
    command: tuple[str, ...]
    entrypoint: str
    devices: tuple[str, ...]
    variables: Mapping[str, str]
    passed: tuple[str, ...]
    propagate: bool
    privileged: bool
    timeout_minutes: int
    ignored: tuple[str, ...]


def job(step: Mapping[str, Any], label: str) -> Job:
    """Return what an agent does for a step of Buildkite's.

    Raises:
        UserError: It runs in no container, is several jobs, or has an option of the wrong form.
    """
    where = f"step {label!r}"
    if "matrix" in step:
        raise UserError(
            "the step has a matrix, of which Buildkite makes several jobs",
            where=where,
            fix="run its session: `nox -s NAME` runs all cases, if the crate registers custom_tests=",
        )
    docker = _docker(step.get("plugins"))
    image = docker.get("image")
    if not isinstance(image, str) or not image:
        raise UserError(
            "the step runs in no container, but on the agent itself",
            where=where,
            fix="run its command here as it is",
        )
    script = _script(step)
    if not script:
        raise UserError("the step has no command", where=where, fix="name one that has")
    variables = {name: _text(value) for name, value in (step.get("env") or {}).items()}
    given = _strings(docker, "environment", where)
    variables |= {name: value for name, sign, value in (entry.partition("=") for entry in given) if sign}
    entrypoint = docker.get("entrypoint") or ""
    shell = docker.get("shell", () if entrypoint else _SHELL)
    minutes: Any = step.get("timeout_in_minutes")
    return Job(
        label=label,
        image=interpolated(image),
        command=(*_words(shell, where), script),
        entrypoint=_text(entrypoint),
        devices=_strings(docker, "devices", where),
        variables={name: interpolated(value) for name, value in variables.items()},
        passed=tuple(entry for entry in given if "=" not in entry),
        propagate=docker.get("propagate-environment") is True,
        privileged=docker.get("privileged") is True,
        timeout_minutes=int(minutes) if is_minutes(minutes) else catalog.TIMEOUT_MINUTES,
        ignored=tuple(sorted(docker.keys() - _KNOWN)),
    )


def _docker(plugins: Any) -> Mapping[str, Any]:
    for plugin in plugins if isinstance(plugins, list) else [plugins]:
        for name, options in plugin.items() if isinstance(plugin, dict) else ():
            plain = str(name).partition("#")[0].removesuffix(".git").rpartition("/")[2]
            if plain in ("docker", "docker-buildkite-plugin"):
                return options if isinstance(options, dict) else {}
    return {}


def _script(step: Mapping[str, Any]) -> str:
    given = step.get("command") or step.get("commands") or ""
    return interpolated("\n".join(map(str, given)) if isinstance(given, list | tuple) else str(given))


def _words(value: Any, where: str) -> tuple[str, ...]:
    if value is False or value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise UserError("shell of the docker plugin is a list of words", where=where, fix="correct it")
    return tuple(interpolated(str(word)) for word in value)


def _strings(docker: Mapping[str, Any], option: str, where: str) -> tuple[str, ...]:
    value = docker.get(option) or ()
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(entry, str) for entry in found):
        raise UserError(f"{option} of the docker plugin is a list of strings", where=where, fix="correct it")
    return tuple(interpolated(entry) for entry in found)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
