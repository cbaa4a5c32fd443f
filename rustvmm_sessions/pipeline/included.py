"""A crate's own pipeline file: checked, kept as it is, its commands known by label."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.documents import Document, read_yaml
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.buildkite import check, label_of
from rustvmm_sessions.pipeline.description import is_minutes
from rustvmm_sessions.pipeline.model import Included, interpolated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_WORDS = ("wait", "waiter", "block", "manual", "input")
_OF_ALL_STEPS = ("env", "agents", "notify", "image", "secrets", "priority")


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a step of the file runs, as a session of the crate can run it.

    Attributes:
        label: The step's label.
        script: Its command, for a shell.
        env: Its variables.
        timeout_minutes: Its time limit; None for the usual one.
        matrix: Whether Buildkite makes several jobs of it, filling in its command.
        soft_fail: Buildkite's rule for what is no failure.
    """

    label: str
    script: str
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_minutes: int | None = None
    matrix: bool = False
    soft_fail: Any = None


def steps_of(document: Document) -> list[Any]:
    """Return the steps of a pipeline file.

    Raises:
        UserError: It is not one.
    """
    data = document.data
    steps = data.get("steps") if isinstance(data, dict) else data
    if not isinstance(steps, list):
        raise UserError(
            "a list of steps is expected",
            where=f"{document.name}:1",
            fix='write "steps:" and a list below it',
        )
    return steps


def parse(text: str, name: str) -> tuple[Included, ...]:
    """Read a pipeline file for inclusion.

    Raises:
        UserError: It is no pipeline, Buildkite would refuse it, or it sets something for all
            steps, which would reach those of others.
    """
    document = read_yaml(text, name)
    steps = steps_of(document)
    if isinstance(document.data, dict):
        for key in _OF_ALL_STEPS:
            if key in document.data:
                raise UserError(
                    f"{key} is set for all steps, which would reach the sessions' steps too",
                    where=document.where(key),
                    fix="move it into the steps",
                )
    found = []
    for index, step in enumerate(steps):
        path = ("steps", index) if isinstance(document.data, dict) else (index,)
        place = functools.partial(document.where, *path)
        if not isinstance(step, dict) and step not in _WORDS:
            raise UserError(
                f"expected a step, found {step!r}", where=place(), fix='write "wait", or a mapping'
            )
        found.append(Included(label=label_of(step) or _kind(step), data=step, place=place))
    check((step.place, step.data) for step in found)
    return tuple(found)


def _kind(step: Any) -> str:
    return step if isinstance(step, str) else next((word for word in _WORDS if word in step), "")


def commands(included: Iterable[Included]) -> Iterator[Command]:
    """Yield what the steps run, those in groups as well; steps without a label are left out."""
    for step in included:
        yield from _commands(step.data)


def _commands(step: Any) -> Iterator[Command]:
    if not isinstance(step, dict):
        return
    for inner in step.get("steps") or ():
        yield from _commands(inner)
    given = step.get("command") or step.get("commands")
    lines = given if isinstance(given, list) else [given] if given else []
    label = label_of(step)
    if lines and label:
        env = step.get("env") if isinstance(step.get("env"), dict) else {}
        yield Command(
            label=label,
            script=interpolated("\n".join(str(line) for line in lines)),
            env={key: interpolated(_shown(value)) for key, value in (env or {}).items()},
            timeout_minutes=minutes if is_minutes(minutes := step.get("timeout_in_minutes")) else None,
            matrix="matrix" in step,
            soft_fail=step.get("soft_fail"),
        )


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
