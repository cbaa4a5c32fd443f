"""The options of the sessions container and reproduce, and what they do with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog
from rustvmm_sessions.container.model import PULL, Kind
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from rustvmm_sessions.invocation import Invocation, Parser
    from rustvmm_sessions.pipeline.model import Pipeline


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what runs in a container."""
    add = parser.add_argument
    kinds = [str(kind) for kind in Kind]
    add("--engine", choices=kinds, help="(default: the first that works; also by RUSTVMM_CONTAINER_ENGINE)")
    add("--image", default="", metavar="IMAGE", help="another image than CI's")
    add("--pull", choices=PULL, default="missing", help="when to fetch the image (default: missing)")
    add("--dry-run", action="store_true", help="print the command, run nothing")


def add_container_options(parser: Parser) -> None:
    """Add the options of the session container."""
    parser.passes_on = True
    parser.usage = "nox -s container -- [+TOOLCHAIN] [OPTION ...] [SESSION ...] [-- ARGUMENT ...]"
    parser.add_argument("sessions", nargs="*", metavar="SESSION", help="a session to run; none for a shell")
    add_engine_options(parser)


def run_container(invocation: Invocation) -> None:
    """Run sessions, or a shell, in a container."""
    from rustvmm_sessions.container.run import ContainerRequest, run_in_container

    given, crate = invocation.given, invocation.crate
    if invocation.rest and not given.sessions:
        raise UserError(
            "there is no session that the arguments are for",
            where=f"-- {' '.join(invocation.rest)}",
            fix="name it before the second --: nox -s container -- unit-tests -- ARGUMENT",
        )
    for name in given.sessions:
        if name not in invocation.known:
            meant = catalog.standard(name)
            raise UserError(
                f"there is no session {name!r}",
                where=f"nox -s container -- {name}",
                fix=f"did you mean {meant.name!r}?" if meant else did_you_mean(name, invocation.known),
            )
    limited = "container" in crate.overrides and crate.overrides["container"].timeout_minutes is not None
    run_in_container(
        ContainerRequest(
            directory=crate.directory,
            called_from=invocation.called_from,
            sessions=tuple(map(crate.session, given.sessions)),
            arguments=invocation.rest,
            engine=given.engine,
            image=given.image,
            pull=given.pull,
            toolchain=invocation.toolchain,
            deadline=invocation.deadline if limited else replace(invocation.deadline, minutes=None),
            dry_run=given.dry_run,
        )
    )


def add_reproduce_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that the session and the command have in common."""
    parser.add_argument("label", nargs="?", default="", metavar="LABEL", help="the step's label")
    add_engine_options(parser)


def add_reproduce_session_options(parser: Parser) -> None:
    """Add the options of the session reproduce."""
    parser.usage = "nox -s reproduce -- [+TOOLCHAIN] [OPTION ...] LABEL"
    add_reproduce_options(parser)


def run_reproduce(invocation: Invocation) -> None:
    """Run a step of the crate's pipeline."""
    from rustvmm_sessions.pipeline.generate import of_sessions

    pipeline = of_sessions(invocation.crate, "buildkite")
    reproduce_step(pipeline, invocation.given, invocation.crate.directory, invocation.toolchain)


def reproduce_step(
    pipeline: Pipeline, given: argparse.Namespace, directory: Path, toolchain: str = ""
) -> None:
    """Do what the options of `add_reproduce_options` say."""
    from rustvmm_sessions.container.reproduce import ReproduceRequest, reproduce

    request = ReproduceRequest(
        directory=directory,
        label=given.label,
        toolchain=toolchain,
        engine=given.engine,
        image=given.image,
        pull=given.pull,
        dry_run=given.dry_run,
    )
    reproduce(pipeline, request)
