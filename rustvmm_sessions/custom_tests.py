"""A crate's custom tests, as rust-vmm-ci's description files have them, and the sessions they become."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.config import Override
from rustvmm_sessions.pipeline import description
from rustvmm_sessions.pipeline.model import interpolated

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from rustvmm_sessions.pipeline.model import Template

_OURS = re.compile(r"pytest\s[^;&|\n]*\btest_(coverage|commit_format)\.py\b[^;&|\n]*")
_BENCHMARK = re.compile(r"(?:PACKAGE=([\w-]+)\s+)?pytest\s[^;&|\n]*\btest_benchmark\.py\b[^;&|\n]*")
"""rust-vmm-ci's own tests, which are standard sessions here."""
_OF_RUST_VMM_CI = re.compile(r"rust-vmm-ci|\btest_(coverage|commit_format|benchmark)\.py\b")

_PACKAGE = "PACKAGE"


@dataclass(frozen=True, kw_only=True)
class CustomTest:
    """A test of a description file, as far as a session can be it.

    Attributes:
        name: ``test_name``.
        command: A shell command of one or more lines, for Buildkite's interpolation.
        platforms: The architectures it is for; empty for all.
        timeout_minutes: Its time limit.
        crate_path: What ``{crate_path}`` stands for; empty for each member's folder.
        devices: Device files of the docker plugin that it needs.
        env: Variables that the docker plugin sets.
        privileged: Whether the docker plugin's container is privileged.
        agents: Tags of the agents that take it, the hypervisor among them.
        changed: Paths on whose change it runs; empty for always.
        soft_fail: Exit statuses that do not count as a failure; None among them for all.
        matrix: Buildkite's matrix as it is; None for none.
    """

    name: str
    command: str
    platforms: tuple[str, ...] = ()
    timeout_minutes: int
    crate_path: str = ""
    devices: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    privileged: bool = False
    agents: dict[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    soft_fail: tuple[int | None, ...] = ()
    matrix: Any = None

    @property
    def per_crate(self) -> bool:
        """Whether it runs once for each member of a workspace."""
        return "{crate}" in self.command or ("{crate_path}" in self.command and not self.crate_path)

    @property
    def own_session(self) -> str:
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
        """The settings of its session."""
        return Override(
            timeout_minutes=self.timeout_minutes,
            devices=self.devices,
            env=self.env,
            platforms=self.platforms or None,
            privileged=self.privileged,
            agents=self.agents,
            changed=self.changed,
        )

    def is_for(self, machine: str) -> bool:
        """Whether it runs on an architecture."""
        return not self.platforms or machine in self.platforms

    def tolerates(self, status: int) -> bool:
        """Whether an exit status is no failure."""
        return None in self.soft_fail or status in self.soft_fail


def parse(text: str, name: str, warn: Callable[[str], None]) -> tuple[CustomTest, ...]:
    """Read a description file; `name` names it in messages, `warn` is called with what is odd.

    Raises:
        UserError: With file, line, test and key.
    """
    return tuple(_test(read) for read in description.parse(text, name, of_crates=True, warn=warn))


def _test(template: Template) -> CustomTest:
    docker = template.docker
    agents = {"hypervisor": template.hypervisor, "queue": template.queue}
    return CustomTest(
        name=template.name,
        command=template.command if isinstance(template.command, str) else "\n".join(template.command),
        platforms=template.platforms,
        timeout_minutes=template.timeout_minutes,
        crate_path=template.crate_path,
        devices=tuple(device.partition(":")[0] for device in _strings(docker.get("devices"))),
        env=dict(pair.split("=", 1) for pair in _strings(docker.get("environment")) if "=" in pair),
        privileged=docker.get("privileged") in (True, "true"),
        agents={key: tag for key, tag in agents.items() if tag},
        changed=tuple(_strings(template.changed)),
        soft_fail=_soft_fail(template.extra.get("soft_fail")),
        matrix=template.extra.get("matrix"),
    )


def _strings(value: object) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def _soft_fail(value: object) -> tuple[int | None, ...]:
    if value in (True, "true"):
        return (None,)
    statuses = [entry.get("exit_status") for entry in value] if isinstance(value, list) else []
    return tuple(status if isinstance(status, int) else None for status in statuses)


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
        by_session.setdefault(test.own_session, []).append(test)
    found = {name: _settings_for(name, same, platforms) for name, same in by_session.items()}
    return {name: settings for name, settings in found.items() if settings}


def _settings_for(name: str, tests: list[CustomTest], platforms: Sequence[str]) -> dict[str, Any]:
    session, first = catalog.standard(name), tests[0]
    if session is None or any((t.package, t.agents) != (first.package, first.agents) for t in tests):
        return {}
    usual = platforms if name == catalog.BENCH else session.platforms
    named = list(dict.fromkeys(platform for test in tests for platform in test.platforms or usual))
    minutes = max(test.timeout_minutes for test in tests)
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


def replaced(test: CustomTest, taken: Container[str], overrides: Mapping[str, Override]) -> str:
    """Return the standard session that takes a test's place, or an empty string.

    Args:
        test: The test.
        taken: The standard sessions that there are.
        overrides: What the crate sets for them.
    """
    name = test.own_session
    session = catalog.standard(name)
    if session is None or name not in taken:
        return ""
    override = overrides.get(name, Override())
    platforms = override.platforms or session.platforms
    if platforms and not {*test.platforms} <= {*platforms}:
        return ""
    same = (
        test.agents == override.agents
        and {*test.devices} <= {*override.devices}
        and (name != catalog.BENCH or test.package == override.env.get(_PACKAGE, ""))
    )
    return name if same else ""


def sessions(
    tests: Iterable[CustomTest], taken: Container[str], overrides: Mapping[str, Override]
) -> dict[str, tuple[CustomTest, ...]]:
    """Return the sessions that tests become: names, and a test for each of several architectures.

    Nothing replaces anything: a test whose name is taken by another meaning gets ``NAME-2``. And
    nothing runs twice: the same command is registered once, and rust-vmm-ci's own tests are not,
    where the standard session of that meaning is.
    """
    found: dict[str, tuple[CustomTest, ...]] = {}
    for test in tests:
        if replaced(test, taken, overrides):
            continue
        for number in itertools.count(1):
            name = test.name if number == 1 else f"{test.name}-{number}"
            others = found.get(name, ())
            if any(
                (o.command, o.matrix, o.platforms) == (test.command, test.matrix, test.platforms)
                for o in others
            ):
                break
            if name not in taken and not any(_overlap(other, test) for other in others):
                found[name] = (*others, test)
                break
    return found


def _overlap(one: CustomTest, other: CustomTest) -> bool:
    return not one.platforms or not other.platforms or bool({*one.platforms} & {*other.platforms})


def commands(
    test: CustomTest, machine: str, members: Iterable[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    r"""Return what to run on a machine: for each case its name and its shell command.

    Buildkite's interpolation turns ``$$`` and ``\$`` into ``$``; the rest is left to the shell.

    Args:
        test: The test.
        machine: What ``{target_platform}`` stands for.
        members: Names and folders of the workspace's members, for ``{crate}`` and ``{crate_path}``.
    """
    command = interpolated(test.command).replace("{target_platform}", machine)
    places = list(members) if test.per_crate else [("", test.crate_path)]
    found = []
    for (name, path), case in itertools.product(places, _matrix(test.matrix)):
        text = command.replace("{crate}", name).replace("{crate_path}", test.crate_path or path)
        for key, value in case.items():
            variable = re.escape(f"matrix.{key}" if key else "matrix")
            text = value.join(re.split(rf"\{{\{{\s*{variable}\s*\}}\}}", text))
        found.append((", ".join(filter(None, (name, *case.values()))), text))
    return found


def _matrix(matrix: Any) -> Iterator[dict[str, str]]:  # noqa: ANN401 - any JSON
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
