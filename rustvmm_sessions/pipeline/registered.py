"""Templates of sessions: those that a crate registers, and the standard ones under rust-vmm-ci's names."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.catalog import StandardSession
from rustvmm_sessions.config import Override
from rustvmm_sessions.pipeline.model import Template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.config import OwnSession, Settings

STANDARD = "standard session"

_STANDARD_TESTS = (
    "build-gnu",
    "build-musl",
    "style",
    "doc",
    "unittests-gnu",
    "unittests-musl",
    "unittests-gnu-release",
    "unittests-musl-release",
    "clippy",
    "coverage",
    "commit-format",
    "cargo-audit",
)
"""rust-vmm-ci's standard tests in its order."""


def of_crate(settings: Settings, own: Sequence[OwnSession], nox: str) -> tuple[Template, ...]:
    """Return the templates of a crate's sessions: the standard ones, then its own.

    Args:
        settings: What its ``register()`` call says.
        own: Its own sessions.
        nox: The shell command that stands for ``nox``.
    """
    standard = [s for s in catalog.STANDARD if catalog.HELPERS not in s.tags]
    found: list[Template] = []
    for session in standard:
        override = settings.overrides.get(session.name, Override())
        found += _shares(_template(session, override, settings, nox, STANDARD), override.shares)
    for other in own:
        if catalog.HELPERS not in other.tags:
            like = StandardSession(name=other.name, summary="")
            template = _template(like, other.override, settings, nox, "the noxfile")
            found += _shares(template, other.override.shares)
    return tuple(found)


def _shares(template: Template, count: int) -> list[Template]:
    """Return a template for each of the steps that share the session's work."""
    if count == 1:
        return [template]
    shares = [f"{number}/{count}" for number in range(1, count + 1)]
    return [
        replace(template, share=share, command=f"{template.command} -- --partition {share}")
        for share in shares
    ]


def standard_tests(*, of_crates: bool) -> tuple[Template, ...]:
    """Return what rust-vmm-ci runs without a description, each by our session of that name.

    Args:
        of_crates: Whether builds, lints and tests run in each crate's folder.
    """
    found = []
    for test in _STANDARD_TESTS:
        session = catalog.standard(test)
        if session is None:
            raise AssertionError(f"no session has the alias {test!r}")
        by_crate = of_crates and (session.matrix is not None or session.name == "coverage")
        command = f"{'cd {crate_path} && ' if by_crate else ''}nox -s {session.name}"
        found.append(
            Template(
                name=test,
                aliases=(session.name,),
                source=f"session {session.name}",
                command=command,
                platforms=session.platforms,
                docker=_docker(session, Override(), {}),
                timeout_minutes=session.timeout_minutes,
                workspace=not by_crate,
                session=True,
                authored=True,  # the variables' values are, as rust-vmm-ci has them
            )
        )
    return tuple(found)


def _template(
    session: StandardSession, override: Override, settings: Settings, nox: str, source: str
) -> Template:
    extra: dict[str, Any] = {}
    soft_fail = session.soft_fail if override.soft_fail is None else override.soft_fail
    if soft_fail:
        extra["soft_fail"] = True
    if override.skip:
        extra["skip"] = override.skip
    return Template(
        name=session.name,
        aliases=(session.alias,) if session.alias else (),
        source=source,
        command=f"{nox} -s {shlex.quote(session.name)}",
        platforms=session.platforms if override.platforms is None else override.platforms,
        agents=override.agents,
        docker=_docker(session, override, {**settings.env, **override.env}),
        timeout_minutes=math.ceil(override.minutes(session.timeout_minutes)),
        changed=list(override.changed) or None,
        extra=extra,
        session=True,
        omitted="register(skip=...)" if source == STANDARD and session.name in settings.skip else "",
    )


def _docker(session: StandardSession, override: Override, env: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if session.privileged if override.privileged is None else override.privileged:
        options["privileged"] = True
    if session.propagate_environment:
        options["propagate-environment"] = True
    if override.devices:
        options["devices"] = list(override.devices)
    if env:
        options["environment"] = [f"{name}={value}" for name, value in env.items()]
    return options
