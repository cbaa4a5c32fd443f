"""Templates of sessions: those that a crate registers, and the standard ones under rust-vmm-ci's names."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.pipeline.model import Template
from rustvmm_sessions.rust import durations
from rustvmm_sessions.rust.choice import excluded_by, named
from rustvmm_sessions.settings import BenchRules, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
_PAGES = {"coverage": "coverage", catalog.BENCH: "bench.html"}
"""Where sessions that make pages write them, in the folder for results."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the steps of a crate's sessions depend on, beside its settings.

    Attributes:
        nox: The shell command that stands for ``nox``.
        results: The folder for results, from where ``nox`` starts; empty where steps do not name it.
        pages: The same for pages, as a word for a shell.
        members: The members that are judged by themselves; sessions of cargo's are of each of them then.
        measured_on: The platforms that the coverage of the whole is recorded or configured for.
        benchmarks: Whether there are any.
        took: Says what the runs of a session took, as far as it is known (`rust.durations`).
    """

    nox: str
    results: str = ""
    pages: str = ""
    members: tuple[Member, ...] = ()
    measured_on: tuple[str, ...] = (catalog.X86_64,)
    benchmarks: bool = False
    took: Callable[[str], Mapping[str, float]] = lambda _: {}


def of_crate(crate: Settings, tests: Sequence[CustomTest], facts: Facts) -> tuple[Template, ...]:
    """Return the templates of a crate's sessions: the standard ones, custom tests, then its own.

    Args:
        crate: What its ``register()`` call says, and the sessions of its own.
        tests: The custom tests that are sessions.
        facts: What else they depend on.
    """
    found: list[Template] = []
    for row in catalog.STANDARD:
        if crate.session(row.name).row.in_pipeline:
            found += _templates(crate, row.name, facts, STANDARD)
    found += [replace(test.step(facts.nox), workspace=True) for test in tests]
    for own in crate.own:
        if catalog.HELPERS not in own.tags and not own.described:
            found += _templates(crate, own.name, facts, "the noxfile")
    return tuple(found)


def is_standard(template: Template) -> bool:
    """Whether it is a standard session, and not something of the crate's own."""
    return template.source == STANDARD or template.source.startswith(_BY_NAME)


def _templates(crate: Settings, name: str, facts: Facts, source: str) -> list[Template]:
    """Return a template for each of the steps that share a session's work."""
    session, standard = crate.session(name), source == STANDARD
    given = crate.overrides.get(name)
    unsaid = standard and name == "coverage" and not (given and given.platforms)
    if unsaid:
        session = replace(session, steps_for=facts.measured_on)
    members = facts.members if session.row.by_member else ()
    folders = {member.name: member.path for member in members}
    out = named(folders, session.exclude, excluded_by(name)) if members else ()
    template = replace(
        _template(session, facts, source, _omitted(crate, name, facts) if standard else ""),
        workspace=not members,
        by_member={
            m.name: () if m.name in out else m.measured_on if unsaid else session.steps_for for m in members
        },
    )
    page = _PAGES.get(name, "") if standard and facts.pages else ""
    numbers = range(1, session.shares + 1)
    shares = [f"{number}/{session.shares}" for number in numbers] if session.shares > 1 else [""]
    took = durations.packed(facts.took(name)) if session.shares > 1 else ""
    by = took and f":{took}"
    command = template.command
    words = ("--package {crate}" if members else "", page and f"--html {facts.pages}/{page}")
    return [
        replace(template, share=each, command=_with(command, *words, each and f"--partition {each}{by}"))
        for each in shares
    ]


def _with(command: object, *options: str) -> str:
    given = [option for option in options if option]
    return " ".join([str(command), *(["--", *given] if given else [])])


def _omitted(crate: Settings, name: str, facts: Facts) -> str:
    """Return why a standard session has no steps; empty where it has."""
    if name in crate.skip:
        return "register(skip=...)"
    if name != catalog.BENCH:
        return ""
    if crate.bench == BenchRules() and name not in crate.overrides:
        return "register() sets nothing for bench"
    return "" if facts.benchmarks else f'no [[bench]] name = "{catalog.HARNESS}"'


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


def _template(session: SessionSettings, facts: Facts, source: str, omitted: str) -> Template:
    row = session.row
    extra: dict[str, Any] = {}
    if session.soft_fail:
        extra["soft_fail"] = True
    if session.skip:
        extra["skip"] = session.skip
    docker = _docker(session)
    if facts.results:
        docker |= {"propagate-environment": True, "mount-buildkite-agent": True}
        docker["environment"] = [f"RUSTVMM_RESULTS={facts.results}", *docker.get("environment", ())]
        extra["artifact_paths"] = [f"{catalog.RESULTS}/**/*"]
    return Template(
        name=row.name,
        aliases=(row.alias,) if row.alias else (),
        source=source,
        command=f"{facts.nox} -s {shlex.quote(row.name)}",
        platforms=session.steps_for,
        agents=session.agents,
        docker=docker,
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
