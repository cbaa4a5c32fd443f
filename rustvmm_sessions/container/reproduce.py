"""Run one step of a pipeline here as Buildkite's agent does."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog, zipapp
from rustvmm_sessions.console import say, warn
from rustvmm_sessions.container import engines
from rustvmm_sessions.container.job import Job, job
from rustvmm_sessions.container.model import (
    CARRIED,
    NOX,
    ROOT,
    Bind,
    Container,
    command,
    emulator,
    entered,
    qualified,
    volumes,
)
from rustvmm_sessions.container.run import kept_in, launch, mounts, passed, who
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.files import own_directory
from rustvmm_sessions.git.git import Git, without_credentials
from rustvmm_sessions.pipeline import buildkite
from rustvmm_sessions.pipeline.hooks import agent_variables
from rustvmm_sessions.process import command_line
from rustvmm_sessions.rust.cargo import machine
from rustvmm_sessions.rust.tools import check_device
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rustvmm_sessions.pipeline.model import Pipeline

_WORKDIR = "/workdir"
"""Where agents mount the checkout, and where `catalog.RISCV64_IMAGE` copies it from."""
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


@dataclass(frozen=True, kw_only=True)
class ReproduceRequest:
    """Which step is to run, and how.

    Attributes:
        directory: The crate's directory.
        label: The step's label, such as ``unit-tests-x86_64``.
        engine: The engine asked for; None to take what works.
        pull: When to fetch the image, one of `container.PULL`.
        image: An image in place of the step's; empty for the step's.
        toolchain: The toolchain for cargo; empty for its choice.
        dry_run: Whether only to print the command.
    """

    directory: Path
    label: str
    engine: str | None = None
    pull: str = "missing"
    image: str = ""
    toolchain: str = ""
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A step, and what only the pipeline knows of it."""

    job: Job
    platform: str
    session: bool


def reproduce(pipeline: Pipeline, request: ReproduceRequest) -> None:
    """Run a step in its image with its devices, variables and command.

    Raises:
        UserError: There is no such step, or this machine cannot run it.
        CheckFailed: It failed.
    """
    found = _step(pipeline, request.label)
    if found.job.ignored:
        warn(f"of the docker plugin's options, these mean nothing here: {', '.join(found.job.ignored)}")
    for device in found.job.devices:
        check_device(device)
    engine = engines.find(request.engine, needed=not request.dry_run)
    container = _container(found, request, who(engine))
    if request.dry_run:
        say(command_line(command(container, engine)))
        return
    own_directory(request.directory / "target")
    status = launch(engine, container, deadline=Deadline(minutes=found.job.timeout_minutes))
    if status:
        raise CheckFailed(f"{request.label} failed: exit status {status}", status=status)


def _step(pipeline: Pipeline, label: str) -> _Found:
    made = {step.label: step for step in pipeline.steps}
    if label in buildkite.doubled(pipeline):
        raise UserError(
            f"two steps have the label {label!r}", where="nox -s pipeline", fix="rename one of the tests"
        )
    flat = _flat(buildkite.render(pipeline)["steps"])
    steps = {buildkite.label_of(step): step for step in flat if "steps" not in step}
    if label not in steps or not label:
        raise UserError(
            f"the pipeline has no step {label!r}",
            where="nox -s pipeline",
            fix=did_you_mean(label, filter(None, steps)),
        )
    ours = made.get(label)
    return _Found(
        job=job(steps[label], label),
        platform=ours.platform if ours else _platform(steps[label]),
        session=ours is not None and ours.session,
    )


def _flat(steps: Any) -> list[dict[str, Any]]:
    found = []
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, dict):
            found += [step, *_flat(step.get("steps"))]
    return found


def _platform(step: Mapping[str, Any]) -> str:
    """Return what a step of the crate's own file is for, by the tags of the agents it asks for."""
    tags = step.get("agents")
    tag = str(tags.get("platform", "")) if isinstance(tags, dict) else ""
    return {"x86_64.metal": catalog.X86_64, "arm.metal": catalog.AARCH64}.get(tag, "")


def _container(found: _Found, request: ReproduceRequest, whom: str) -> Container:
    told = found.job
    trees = mounts(request.directory)
    directory = str(request.directory)
    image = request.image or qualified(told.image)
    build, downloads = volumes(trees[0].source, image, os.getuid())
    variables = {**_build_variables(found, Path(trees[0].source)), **told.variables}
    if request.toolchain:
        variables["RUSTUP_TOOLCHAIN"] = request.toolchain
    container = Container(
        image=image,
        pull=request.pull,
        entrypoint=told.entrypoint,
        command=told.command,
        devices=told.devices,
        variables=variables,
        passed=passed(told.passed),
        privileged=told.privileged,
    )
    if found.platform == catalog.RISCV64:
        # An x86_64 image that does the emulation itself: its entry point takes the command as it is.
        return replace(
            container,
            platform=emulator(catalog.X86_64, machine(), _registered()),
            binds=(*trees, Bind(source=directory, target=_WORKDIR, writable=True)),
            volumes=(replace(build, target=f"{_WORKDIR}/target"),),
            directory=_WORKDIR,
        )
    carried = str(zipapp.carried())
    target = f"{directory}/target"  # where commands look for what they have built
    if told.entrypoint:
        start: dict[str, Any] = {
            "entrypoint": "python3",
            "command": entered(whom, told.entrypoint, *told.command),
        }
    else:
        start = {"command": ("python3", *entered(whom, *told.command))}
    return replace(
        container,
        **start,
        user=ROOT,
        platform=emulator(found.platform, machine(), _registered()),
        binds=(
            *trees,
            Bind(source=carried, target=CARRIED),
            *([Bind(source=carried, target=NOX)] if found.session else ()),
        ),
        volumes=(replace(build, target=target), downloads),
        variables={**kept_in(target), **variables},
        directory=directory,
    )


def _build_variables(found: _Found, top: Path) -> dict[str, str]:
    """Return the variables of the build, for a step that sees them; a URL without what it may hold secret."""
    if not found.job.propagate:
        return {}
    variables = agent_variables(Git(directory=top), top)
    return {name: without_credentials(value) for name, value in variables.items()}


def _registered() -> dict[str, str]:
    """Return the handlers of binfmt_misc, as far as they can be read."""
    found = {}
    for path in _BINFMT.glob("qemu-*"):
        try:
            found[path.name] = path.read_text()
        except OSError:
            continue
    return found
