"""A crate's custom tests, as rust-vmm-ci's description files have them, and the sessions they become."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline import description
from rustvmm_sessions.pipeline.model import interpolated
from rustvmm_sessions.pipeline.spelled import EACH_MEMBER, MACHINE, Spelled, spelled
from rustvmm_sessions.settings import Override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rustvmm_sessions.pipeline.model import Template
    from rustvmm_sessions.settings import Settings

_OF_RUST_VMM_CI = re.compile(
    r"rust-vmm-ci|\btest_(coverage|commit_format|benchmark|run)\b|\btest_(cov|com|ben)\w*\*|\bautogenerate_pipeline\b"
)

PACKAGE = "PACKAGE"
"""The variable that names the package whose benchmarks are meant."""


@dataclass(frozen=True, kw_only=True)
class CustomTest:
    """A test of a description file, and the session that it is.

    Attributes:
        template: The test with all its keys, of which the pipeline makes its steps.
        session: The name of its session; empty before there is one.
        member: The member of the workspace that describes it; empty for the crate as a whole.
        folder: The folder of that member, relative to the workspace's.
    """

    template: Template
    session: str = ""
    member: str = ""
    folder: str = ""

    @property
    def name(self) -> str:
        """``test_name``."""
        return self.template.name

    @property
    def full_name(self) -> str:
        """The name with the member's before it."""
        return f"{self.member}: {self.name}" if self.member else self.name

    @property
    def command(self) -> str:
        """A shell command of one or more lines, for Buildkite's interpolation."""
        command = self.template.command
        return command if isinstance(command, str) else "\n".join(command)

    @property
    def platforms(self) -> tuple[str, ...]:
        """The architectures it is for; empty for all."""
        return self.template.platforms

    @property
    def devices(self) -> tuple[str, ...]:
        """Device files of the docker plugin that it needs."""
        return tuple(device.partition(":")[0] for device in _strings(self.template.docker.get("devices")))

    @property
    def env(self) -> dict[str, str]:
        """Variables that the docker plugin sets."""
        pairs = _strings(self.template.docker.get("environment"))
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    @property
    def privileged(self) -> bool:
        """Whether the docker plugin's container is privileged."""
        return self.template.docker.get("privileged") in (True, "true")

    @property
    def agents(self) -> dict[str, str]:
        """Tags of the agents that take it, the hypervisor among them."""
        tags = {"hypervisor": self.template.hypervisor, "queue": self.template.queue}
        return {key: tag for key, tag in tags.items() if tag}

    @property
    def skipped(self) -> bool:
        """Whether Buildkite skips it."""
        return bool(self.template.extra.get("skip"))

    @property
    def cases(self) -> tuple[dict[str, str], ...]:
        """The cases of its matrix, values by dimension; one without any where it has no matrix."""
        return tuple(_cases(self.template.extra.get("matrix")))

    @property
    def per_crate(self) -> bool:
        """Whether it runs once for each member of a workspace."""
        return "{crate}" in self.command or ("{crate_path}" in self.command and not self.template.crate_path)

    @property
    def spelled(self) -> Spelled | None:
        """What it runs of a standard session, if nothing else, and if settings say all its keys."""
        template, extra = self.template, self.template.extra
        docker = {"privileged", "devices", "environment", "propagate-environment"}
        plain = (
            not template.condition
            and template.retry == {"automatic": False}
            and not isinstance(template.changed, Mapping)
            and extra.keys() <= {"soft_fail"}
            and not isinstance(extra.get("soft_fail"), list)
            and template.docker.keys() <= docker
            and len(self.env) == len(_strings(template.docker.get("environment")))
        )
        found = spelled(interpolated(self.command)) if plain else None
        if found is None or (found.target and {*self.platforms} != {found.target}):
            return None
        env = {**self.env, **found.env}
        folder = template.crate_path if found.folder == EACH_MEMBER else ""
        if found.session == catalog.BENCH and self.member and found.folder == self.folder:
            env.setdefault(PACKAGE, self.member)
        return replace(found, folder=folder or found.folder, env=env)

    @property
    def calls_rust_vmm_ci(self) -> bool:
        """Whether it needs something of rust-vmm-ci, which may be found by its name alone."""
        return bool(_OF_RUST_VMM_CI.search(self.command))

    @property
    def override(self) -> Override:
        """The settings with which its session runs here."""
        return Override(
            timeout_minutes=self.template.timeout_minutes,
            devices=self.devices,
            env=self.env,
            platforms=self.platforms or None,
            privileged=self.privileged,
        )

    def is_for(self, machine: str) -> bool:
        """Whether it runs on an architecture."""
        return not self.platforms or machine in self.platforms

    def step(self, nox: str) -> Template:
        """Return what its steps are made of: the test as it is described, but for what it runs.

        Args:
            nox: The shell command that stands for ``nox``.
        """
        dimensions = [f"matrix.{name}" if name else "matrix" for name in self.cases[0]] if self.cases else []
        case = [f"{{{{{dimension}}}}}" for dimension in dimensions]
        words = ["-s", self.session, *(["--", *case] if case else [])]
        name = self.session.removeprefix(self.full_name.removesuffix(self.name))  # labels have the member
        renamed = () if name == self.name else (self.name,)
        command = f"{nox} {shlex.join(words)}".replace("$", "$$")  # the agent's interpolation takes one away
        return replace(self.template, name=name, aliases=renamed, command=command, session=True)


def parse(
    text: str, name: str, warn: Callable[[str], None], member: tuple[str, str] | None = None
) -> tuple[CustomTest, ...]:
    """Read a description file.

    Args:
        text: Its text.
        name: Its name, for messages.
        warn: Called with what is odd.
        member: Name and folder of the member of the workspace whose file it is; None for no member's.

    Raises:
        UserError: With file, line, test and key.
    """
    tests = description.parse(text, name, of_crates=True, warn=warn)
    if member is None:
        return tuple(CustomTest(template=test) for test in tests)
    name, folder = member
    return tuple(
        CustomTest(template=test.of_member(name, folder), member=name, folder=folder) for test in tests
    )


def _strings(value: object) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def replaced(test: CustomTest, crate: Settings, machine: str) -> str:
    """Return the standard session that takes a test's place, or an empty string.

    Args:
        test: The test.
        crate: What the crate leaves out, and sets for that session.
        machine: The architecture of this machine, which variables may name.
    """
    found = test.spelled
    if found is None or found.session in crate.skip or not runs_where(test, found, crate):
        return ""
    session = crate.session(found.session)
    if session.steps_for and not {*test.platforms} <= {*session.steps_for}:
        return ""
    if test.template.docker.get("propagate-environment") and not session.row.propagate_environment:
        return ""
    env, given = (
        {name: text.replace(MACHINE, machine) for name, text in each.items()}
        for each in (found.env, session.env)
    )
    same = (
        test.agents == session.agents
        and {*test.devices} <= {*session.devices}
        and {*found.exclude} <= {*session.exclude}
        and env.items() <= given.items()
        and env.get(PACKAGE) == given.get(PACKAGE)
    )
    return found.session if same else ""


def runs_where(test: CustomTest, found: Spelled, crate: Settings) -> bool:
    """Whether a test starts where the session does: in the crate's folder, or in those of its members."""
    up = PurePosixPath(test.template.source).parts.count("..")  # of a folder above, where such tests start
    if up:
        return not found.alone and found.folder == "/".join(crate.directory.parts[-up:])
    if found.session == "coverage" and found.folder and crate.members is False:
        return False
    return found.folder in ("", test.folder or EACH_MEMBER)


def sessions(tests: Iterable[CustomTest], crate: Settings, machine: str) -> tuple[CustomTest, ...]:
    """Return the tests that become sessions, with the names of these.

    Nothing replaces anything: a test whose name is taken by another meaning gets ``NAME-2``. And
    nothing runs twice: tests of the same command are one session, and tests that a standard session
    takes the place of are none.
    """
    taken = {session.name for session in catalog.STANDARD} - crate.skip
    found: dict[str, list[CustomTest]] = {}
    for test in tests:
        if replaced(test, crate, machine):
            continue
        for number in itertools.count(1):
            name = test.full_name if number == 1 else f"{test.full_name}-{number}"
            others = found.setdefault(name, [])
            known = any(_same(other, test) for other in others)
            if known or (name not in taken and not any(_overlap(other, test) for other in others)):
                others.append(replace(test, session=name))
                break
    return tuple(test for same in found.values() for test in same)


def _same(one: CustomTest, other: CustomTest) -> bool:
    return (one.command, one.cases, one.platforms) == (other.command, other.cases, other.platforms)


def _overlap(one: CustomTest, other: CustomTest) -> bool:
    return not one.platforms or not other.platforms or bool({*one.platforms} & {*other.platforms})


def commands(
    test: CustomTest, machine: str, members: Iterable[tuple[str, str]] = (), chosen: Sequence[str] = ()
) -> list[tuple[str, str]]:
    r"""Return what to run on a machine: for each case its name and its shell command.

    Buildkite's interpolation turns ``$$`` and ``\$`` into ``$``; the rest is left to the shell.

    Args:
        test: The test.
        machine: What ``{target_platform}`` stands for.
        members: Names and folders of the workspace's members, for ``{crate}`` and ``{crate_path}``.
        chosen: The values of the only case of the matrix to run; empty for all.

    Raises:
        UserError: The matrix has no such case.
    """
    cases = [case for case in test.cases if not chosen or (*case.values(),) == (*chosen,)]
    if not cases:
        known = "; ".join(" ".join(case.values()) for case in test.cases)
        raise UserError(
            f"the matrix of {test.session} has no case {' '.join(chosen)!r}",
            where=f"nox -s {test.session} --",
            fix=f"choose one of: {known}",
        )
    command = interpolated(test.command).replace("{target_platform}", machine)
    places = list(members) if test.per_crate else [("", test.template.crate_path)]
    found = []
    for (name, path), case in itertools.product(places, cases):
        text = command.replace("{crate}", name).replace("{crate_path}", test.template.crate_path or path)
        for key, value in case.items():
            variable = re.escape(f"matrix.{key}" if key else "matrix")
            text = value.join(re.split(rf"\{{\{{\s*{variable}\s*\}}\}}", text))
        found.append((", ".join(filter(None, (name, *case.values()))), text))
    return found


def _cases(matrix: Any) -> Iterator[dict[str, str]]:
    """Yield the cases of a matrix: values by dimension, the only one of a list without a name."""
    setup = matrix.get("setup", []) if isinstance(matrix, Mapping) else matrix
    adjustments = matrix.get("adjustments", []) if isinstance(matrix, Mapping) else []
    dimensions = setup if isinstance(setup, Mapping) else {"": setup} if setup else {}
    cases = [
        dict(zip(dimensions, map(_word, values), strict=True))
        for values in itertools.product(*dimensions.values())
    ]
    for adjustment in adjustments:
        given = adjustment.get("with")
        case = {
            key: _word(value) for key, value in (given if isinstance(given, Mapping) else {"": given}).items()
        }
        cases = [other for other in cases if other != case]
        if not adjustment.get("skip"):
            cases.append(case)
    yield from cases


def _word(value: object) -> str:
    """Return a value of a matrix as Buildkite writes it into a command."""
    return str(value).lower() if isinstance(value, bool) else str(value)
