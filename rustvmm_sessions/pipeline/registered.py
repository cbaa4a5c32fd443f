"""Templates of sessions: those that a crate registers, and the standard ones under rust-vmm-ci's names."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.pipeline.model import Template
from rustvmm_sessions.rust.choice import excluded_by, named
from rustvmm_sessions.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.pipeline.custom_tests import CustomTest
    from rustvmm_sessions.rust.members import Member
    from rustvmm_sessions.settings import SessionSettings

STANDARD = "standard session"
_BY_NAME = "session "

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


def of_crate(
    crate: Settings, tests: Sequence[CustomTest], nox: str, members: Sequence[Member] = ()
) -> tuple[Template, ...]:
    """Return the templates of a crate's sessions: the standard ones, custom tests, then its own.

    Args:
        crate: What its ``register()`` call says, and the sessions of its own.
        tests: The custom tests that are sessions.
        nox: The shell command that stands for ``nox``.
        members: The members that are judged by themselves; sessions of cargo's are of each of them then.
    """
    found: list[Template] = []
    for row in catalog.STANDARD:
        if catalog.HELPERS not in row.tags:
            omitted = "register(skip=...)" if row.name in crate.skip else ""
            by_member = members if row.by_member else ()
            found += _templates(crate.session(row.name), nox, STANDARD, omitted, by_member)
    found += [replace(test.step(nox), workspace=True) for test in tests]
    for own in crate.own:
        if catalog.HELPERS not in own.tags and not own.described:
            found += _templates(crate.session(own.name), nox, "the noxfile")
    return tuple(found)


def is_standard(template: Template) -> bool:
    """Whether it is a standard session, and not something of the crate's own."""
    return template.source == STANDARD or template.source.startswith(_BY_NAME)


def _templates(
    session: SessionSettings, nox: str, source: str, omitted: str = "", members: Sequence[Member] = ()
) -> list[Template]:
    """Return a template for each of the steps that share the session's work."""
    template = _template(session, nox, source, omitted)
    words = "--package {crate}" if members else ""
    folders = {member.name: member.path for member in members}
    out = named(folders, session.exclude, excluded_by(session.row.name)) if members else ()
    template = replace(
        template,
        workspace=not members,
        by_member={m.name: () if m.name in out else _platforms(session, m) for m in members},
    )
    numbers = range(1, session.shares + 1)
    shares = [f"{number}/{session.shares}" for number in numbers] if session.shares > 1 else [""]
    return [
        replace(template, share=each, command=_with(template.command, words, each and f"--partition {each}"))
        for each in shares
    ]


def _with(command: object, *options: str) -> str:
    given = [option for option in options if option]
    return " ".join([str(command), *(["--", *given] if given else [])])


def _platforms(session: SessionSettings, member: Member) -> tuple[str, ...]:
    """Return what a session's steps for a member are for."""
    unsaid = session.steps_for == session.row.platforms
    return member.measured_on if unsaid and session.row.name == "coverage" else session.steps_for


def standard_tests(*, of_crates: bool) -> tuple[Template, ...]:
    """Return what rust-vmm-ci runs without a description, each by our session of that name.

    Args:
        of_crates: Whether builds, lints and tests run in each crate's folder.
    """
    found, plain = [], Settings(directory=Path())
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
                source=f"{_BY_NAME}{session.name}",
                command=command,
                platforms=session.platforms,
                docker=_docker(plain.session(session.name)),
                timeout_minutes=session.timeout_minutes,
                workspace=not by_crate,
                session=True,
                authored=True,  # the variables' values are, as rust-vmm-ci has them
            )
        )
    return tuple(found)


def _template(session: SessionSettings, nox: str, source: str, omitted: str) -> Template:
    row = session.row
    extra: dict[str, Any] = {}
    if session.soft_fail:
        extra["soft_fail"] = True
    if session.skip:
        extra["skip"] = session.skip
    return Template(
        name=row.name,
        aliases=(row.alias,) if row.alias else (),
        source=source,
        command=f"{nox} -s {shlex.quote(row.name)}",
        platforms=session.steps_for,
        agents=session.agents,
        docker=_docker(session),
        timeout_minutes=math.ceil(session.timeout_minutes),
        changed=list(session.changed) or None,
        extra=extra,
        session=True,
        omitted=omitted,
    )


def _docker(session: SessionSettings) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if session.privileged:
        options["privileged"] = True
    if session.row.propagate_environment:
        options["propagate-environment"] = True
    if session.devices:
        options["devices"] = list(session.devices)
    if session.env:
        options["environment"] = [f"{name}={value}" for name, value in session.env.items()]
    return options
