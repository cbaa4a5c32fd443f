"""A crate's custom tests, as rust-vmm-ci's description files have them, and the sessions they become."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline import description
from rustvmm_sessions.pipeline.model import interpolated
from rustvmm_sessions.settings import Override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rustvmm_sessions.pipeline.model import Template
    from rustvmm_sessions.settings import Settings

_OURS = re.compile(r"pytest\s[^;&|\n]*\btest_(coverage|commit_format)\.py\b[^;&|\n]*")
_BENCHMARK = re.compile(r"(?:PACKAGE=([\w-]+)\s+)?pytest\s[^;&|\n]*\btest_benchmark\.py\b[^;&|\n]*")
"""rust-vmm-ci's own tests, which are standard sessions here."""
_OF_RUST_VMM_CI = re.compile(
    r"rust-vmm-ci|\btest_(coverage|commit_format|benchmark|run)\b|\btest_(cov|com|ben)\w*\*|\bautogenerate_pipeline\b"
)

_PACKAGE = "PACKAGE"


@dataclass(frozen=True, kw_only=True)
class CustomTest:
    """A test of a description file, and the session that it is.

    Attributes:
        template: The test with all its keys, of which the pipeline makes its steps.
        session: The name of its session; empty before there is one.
        member: The member of the workspace that describes it; empty for the crate as a whole.
    """

    template: Template
    session: str = ""
    member: str = ""

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
    def means(self) -> str:
        """The standard session of what it runs of rust-vmm-ci, and of nothing else; empty for none."""
        if _BENCHMARK.fullmatch(self.command.strip()):
            return catalog.BENCH
        ours = _OURS.fullmatch(self.command.strip())
        return ours[1].replace("_", "-") if ours else ""

    @property
    def calls_rust_vmm_ci(self) -> bool:
        """Whether it needs something of rust-vmm-ci, which may be found by its name alone."""
        return bool(_OF_RUST_VMM_CI.search(self.command))

    @property
    def package(self) -> str:
        """The package whose benchmarks it means; empty for all."""
        prefixed = _BENCHMARK.fullmatch(self.command.strip())
        return (prefixed and prefixed[1]) or self.env.get(_PACKAGE, "")

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
    return tuple(CustomTest(template=test.of_member(*member), member=member[0]) for test in tests)


def _strings(value: object) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def settings_for(tests: Iterable[CustomTest], platforms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the settings with which standard sessions do what tests did, by the sessions' names.

    None where there is no such test, or where tests for several packages or kinds of agents would
    be several sessions.

    Args:
        tests: The crate's custom tests.
        platforms: What a benchmark is for that does not say.
    """
    by_session: dict[str, list[CustomTest]] = {}
    for test in tests:
        by_session.setdefault(test.means, []).append(test)
    found = {name: _settings_for(name, same, platforms) for name, same in by_session.items()}
    return {name: settings for name, settings in found.items() if settings}


def _settings_for(name: str, tests: list[CustomTest], platforms: Sequence[str]) -> dict[str, Any]:
    session, first = catalog.standard(name), tests[0]
    if session is None or any((t.package, t.agents) != (first.package, first.agents) for t in tests):
        return {}
    usual = platforms if name == catalog.BENCH else session.platforms
    named = list(dict.fromkeys(platform for test in tests for platform in test.platforms or usual))
    minutes = max(test.template.timeout_minutes for test in tests)
    env = {key: value for test in tests for key, value in test.env.items()}
    settings = {
        "platforms": named if {*named} != {*session.platforms} else [],
        "timeout_minutes": minutes if minutes > session.timeout_minutes else 0,
        "privileged": any(test.privileged for test in tests) and not session.privileged,
        "devices": list(dict.fromkeys(device for test in tests for device in test.devices)),
        "env": env | ({_PACKAGE: first.package} if first.package else {}),
        "agents": first.agents,
    }
    return {key: value for key, value in settings.items() if value}


def replaced(test: CustomTest, crate: Settings) -> str:
    """Return the standard session that takes a test's place, or an empty string.

    Args:
        test: The test.
        crate: What the crate leaves out, and sets for that session.
    """
    name = test.means
    if not name or name in crate.skip:
        return ""
    session = crate.session(name)
    if session.steps_for and not {*test.platforms} <= {*session.steps_for}:
        return ""
    same = (
        test.agents == session.agents
        and {*test.devices} <= {*session.devices}
        and (name != catalog.BENCH or test.package == session.env.get(_PACKAGE, ""))
    )
    return name if same else ""


def sessions(tests: Iterable[CustomTest], crate: Settings) -> tuple[CustomTest, ...]:
    """Return the tests that become sessions, with the names of these.

    Nothing replaces anything: a test whose name is taken by another meaning gets ``NAME-2``. And
    nothing runs twice: tests of the same command are one session, and rust-vmm-ci's own tests are
    none, where the standard session of that meaning is.
    """
    taken = {session.name for session in catalog.STANDARD} - crate.skip
    found: dict[str, list[CustomTest]] = {}
    for test in tests:
        if not test.member and replaced(test, crate):
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
