"""What a crate's own files and its ``register()`` call say, checked once and then passed on."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rustvmm_sessions import catalog
from rustvmm_sessions.catalog import StandardSession
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    _Table = TypeVar("_Table", bound=DataclassInstance)

RUNNERS = ("cargo", "nextest")
DEPENDABOT = (
    "49699333+dependabot[bot]@users.noreply.github.com",
    "27856297+dependabot-preview[bot]@users.noreply.github.com",
    "support@dependabot.com",
)
"""The addresses that dependabot commits with; a look-alike is anybody's."""


def check_platform(name: str, where: str) -> None:
    """Raise a UserError if there is no such platform."""
    if name not in catalog.KNOWN_PLATFORMS:
        raise UserError(
            f"there is no platform {name!r}", where=where, fix=did_you_mean(name, catalog.PLATFORMS)
        )


def parse_platforms(text: str, where: str) -> tuple[str, ...]:
    """Read a ``.platform`` file: a platform a line, comments after ``#`` in lines of their own.

    Raises:
        UserError: It names no platform, or an unknown one.
    """
    names = []
    for number, line in enumerate(text.splitlines(), 1):
        name = line.strip()
        if name and not name.startswith("#"):
            check_platform(name, f"{where}:{number}")
            names.append(name)
    if not names:
        raise UserError(
            "the file names no platform",
            where=where,
            fix="write one a line, such as x86_64, or remove the file",
        )
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, kw_only=True)
class Platforms:
    """The platforms that a crate is for, and what says so."""

    names: tuple[str, ...]
    source: str


# What register() takes

Check = Callable[[str, object], Any]
"""Returns a value as it is kept; `UserError`, with the place that comes first, where it is wrong."""


def option(check: Check, what: str, default: Any = None) -> Any:
    """Declare an option of ``register()``, or a key of one of its tables, in the one place that has it.

    Args:
        check: What a value must be.
        what: What it means, for people.
        default: What holds where it is not given.
    """
    metadata = {"check": check, "what": what}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def default_of(declared: Field[Any]) -> Any:
    """Return what holds where an option is not given."""
    factory = declared.default_factory
    return declared.default if factory is MISSING else factory()


# What a value must be

FeatureSets = tuple[tuple[str, ...], ...]
"""The features of several builds."""


def _wrong(where: str, expected: str, value: object) -> UserError:
    return UserError(f"{value!r} is not {expected}", where=where, fix="correct the noxfile")


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, "True or False", value)
    return value


def _count(most: int | None = None, *, least: int = 1) -> Callable[[str, object], int]:
    expected = f"a whole number from {least}" + ("" if most is None else f" to {most}")

    def check(where: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= (most or value):
            raise _wrong(where, expected, value)
        return value

    return check


def _minutes(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise _wrong(where, "a number of minutes above 0", value)
    return value


def _up_to_100(expected: str) -> Callable[[str, object], Fraction]:
    def check(where: str, value: object) -> Fraction:
        if (
            isinstance(value, int | float | Decimal | Fraction)
            and not isinstance(value, bool)
            and 0 <= value <= 100
        ):
            return Fraction(str(value))
        raise _wrong(where, f"{expected} from 0 to 100", value)

    return check


_points = _up_to_100("a number of points")
_percent = _up_to_100("a percentage")


def _string(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, "a non-empty string", value)
    return value


def _strings(where: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong(where, "a list of strings", value)
    items = tuple(value)
    for item in items:
        if not isinstance(item, str) or not item:
            raise _wrong(where, "a non-empty string", item)
    return items


def _features_of_builds(where: str, value: object) -> dict[str, FeatureSets]:
    if isinstance(value, Mapping):
        return {_string(where, name): _feature_sets(where, sets) for name, sets in value.items()}
    return {"": _feature_sets(where, value)}


def _feature_sets(where: str, value: object) -> FeatureSets:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong(where, 'a list of lists of features such as [["xen"], ["postcopy"]]', value)
    sets = tuple(_features(where, each) for each in value)
    if not sets:
        raise _wrong(where, "at least one list of features; [[]] has the default features alone", value)
    return tuple(dict.fromkeys(sets))


def _features(where: str, value: object) -> tuple[str, ...]:
    names = _strings(where, value)
    for name in names:
        if name.startswith("-") or any(char.isspace() or char == "," for char in name):
            raise _wrong(where, "a feature", name)
    return names


def _files(where: str, value: object) -> tuple[str, ...]:
    return _strings(where, [value] if isinstance(value, str) else value)


def _patterns_of_ids(where: str, value: object) -> tuple[str, ...]:
    patterns = _strings(where, value)
    for pattern in patterns:
        expression(pattern, where)
    return patterns


def _below(where: str, value: object) -> tuple[str, ...]:
    patterns = _strings(where, value)
    for pattern in patterns:
        path = Path(pattern)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise _wrong(where, "a pattern of files in the crate's directory", pattern)
    return patterns


def _folder(where: str, value: object) -> str:
    return _below(where, [_string(where, value)])[0]


def _environment(where: str, value: object) -> dict[str, str]:
    good = isinstance(value, Mapping) and all(
        isinstance(name, str)
        and name
        and "=" not in name
        and isinstance(text, str)
        and "\0" not in name + text
        for name, text in value.items()
    )
    if not good or not isinstance(value, Mapping):
        raise _wrong(where, 'a dict of strings such as {"RUST_BACKTRACE": "1"}', value)
    return dict(value)


def _platforms(where: str, value: object) -> tuple[str, ...]:
    names = _strings(where, value)
    for name in names:
        check_platform(name, where)
    if not names:
        raise _wrong(where, "at least one platform", value)
    return names


def _one_of(known: Sequence[str], what: str) -> Callable[[str, object], str]:
    def check(where: str, value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise UserError(f"there is no {what} {value!r}", where=where, fix=did_you_mean(str(value), known))
        return value

    return check


def _session(where: str, name: object) -> str:
    found = catalog.standard(name) if isinstance(name, str) else None
    known = [session.name for session in catalog.STANDARD]
    return found.name if found else _one_of(known, "standard session")(where, name)


def _sessions(where: str, value: object) -> frozenset[str]:
    return frozenset(_session(where, name) for name in _strings(where, value))


def _excused(pattern: str, what: str, example: str) -> Callable[[str, object], tuple[Excused, ...]]:
    """Return the check of a dict whose keys match `pattern` and are `what`, such as `example`."""

    def check(where: str, value: object) -> tuple[Excused, ...]:
        if not isinstance(value, Mapping):
            raise _wrong(where, f'a dict such as {{"{example}": ("why", "2027-06-30")}}', value)
        found = []
        for name, entry in value.items():
            if not isinstance(name, str) or not re.fullmatch(pattern, name):
                raise _wrong(where, f"{what}, such as {example}", name)
            try:
                reason, until = entry
                day = dt.date.fromisoformat(until)
            except (TypeError, ValueError):
                raise _wrong(
                    f"{where}, {name}", 'a reason and a last day, ("why", "2027-06-30")', entry
                ) from None
            if not isinstance(reason, str) or not reason.strip():
                raise _wrong(f"{where}, {name}", "a reason", reason)
            found.append(Excused(name=name, reason=reason, until=day))
        return tuple(found)

    return check


def expression(text: str, where: str) -> re.Pattern[str]:
    """Compile a regular expression that a user wrote.

    Raises:
        UserError: It is none.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(
            f"invalid regular expression {text!r}: {error}", where=where, fix="correct it"
        ) from error


def _checked(
    made: type[_Table],
    where: str,
    value: object,
    *,
    example: str = "",
    place: str = "{where}, {name}",
    **fixed: Any,
) -> _Table:
    """Return a table of options as the dataclass `made` declares them, beside its `fixed` fields.

    None means not given, but for options whose default is True or a name.
    """
    if not isinstance(value, Mapping):
        raise _wrong(where, f"a dict such as {example}", value)
    options = {f.name: f for f in fields(made) if f.metadata}
    for name in value:
        _one_of(tuple(options), "option")(where, name)
    checked = {
        name: options[name].metadata["check"](place.format(where=where, name=name), each)
        for name, each in value.items()
        if each is not None or (options[name].default and isinstance(options[name].default, bool | str))
    }
    return made(**fixed, **checked)


def _table(made: type[_Table], example: str) -> Callable[[str, object], _Table]:
    return lambda where, value: _checked(made, where, value, example=example)


def _targets(where: str, given: object) -> dict[str, TargetRules]:
    example = '{"x86_64-unknown-none": {"default_features": False}}'
    if not isinstance(given, Mapping):
        raise _wrong(where, f"a dict such as {example}", given)
    for triple in given:
        if not isinstance(triple, str) or not re.fullmatch(r"\w[\w.-]*", triple):
            raise _wrong(where, "a target such as x86_64-unknown-none", triple)
    return {
        triple: _checked(
            TargetRules, f"register(targets={{{triple!r}: ...}})", rules, example='{"features": []}'
        )
        for triple, rules in given.items()
    }


def override(where: str, value: object) -> Override:
    """Check what a crate sets for one session; `where` names the place in messages."""
    return _checked(Override, where, value, example='{"timeout_minutes": 30}')


def _overrides(where: str, given: object) -> dict[str, Override]:
    if not isinstance(given, Mapping):
        raise _wrong(where, 'a dict such as {"coverage": {"timeout_minutes": 30}}', given)
    checked: dict[str, Override] = {}
    for name, value in given.items():
        session = _session(where, name)
        if session in checked:
            raise UserError(
                f"the session {session!r} is given twice, by both its names",
                where=where,
                fix="put all its settings in one place",
            )
        place = f"register(overrides={{{name!r}: ...}})"
        checked[session] = override(place, value)
        standard = catalog.standard(session)
        if checked[session].shares > 1 and not (standard and standard.matrix):
            raise UserError(
                f"{session} has no feature matrix to share",
                where=place,
                fix="take shares out, or set it for a session that has one, such as unit-tests",
            )
        if checked[session].exclude and not (standard and standard.chooses_members):
            raise UserError(
                f"{session} judges no members one by one, so it can leave none out",
                where=place,
                fix="take exclude out, or set it for a session of cargo's, such as build-musl",
            )
        without_use = [key for key in ("doctests", "runner") if key in value]
        if without_use and not (standard and standard.forwards):
            raise UserError(
                f"{session} runs no tests, so it has no {without_use[0]!r}",
                where=place,
                fix="take it out, or set it for a session that runs tests",
            )
    return checked


# The options


@dataclass(frozen=True, kw_only=True)
class Excused:
    """What does not fail a session until a date.

    Attributes:
        name: The id of an advisory, or the name of a test.
        reason: Why.
        until: The last day on which it is excused.
    """

    name: str
    reason: str
    until: dt.date


@dataclass(frozen=True, kw_only=True)
class BenchRules:
    """What a crate asks of its benchmarks: the keys of ``register(bench={...})``."""

    threshold: float = option(
        lambda where, value: float(_points(where, value)), "the slow-down in percent that still passes", 1.0
    )
    time_only: tuple[str, ...] = option(
        _patterns_of_ids,
        "regular expressions on ids of benchmarks dominated by system calls, where instruction counts are "
        "meaningless",
        (),
    )
    files: tuple[str, ...] = option(
        _below,
        "patterns of files and folders that git ignores and the base needs: they are copied to it",
        (),
    )


@dataclass(frozen=True, kw_only=True)
class FuzzRules:
    """What a crate asks of fuzzing: the keys of ``register(fuzz={...})``."""

    seconds: int = option(_count(), "how long each target is fuzzed", 60)
    corpus: str | None = option(
        _folder,
        "a folder in the crate's directory where inputs are kept and minimized; by default in the target "
        "directory, beside the inputs of fuzz/corpus",
    )
    targets: tuple[str, ...] = option(_strings, "the only targets to fuzz; by default all", ())


@dataclass(frozen=True, kw_only=True)
class TargetRules:
    """What a crate asks of one target: the keys of ``register(targets={TRIPLE: {...}})``."""

    features: tuple[str, ...] | None = option(
        _features,
        "the features to switch on beside the default ones; left out, all that go together, and none without "
        "the default ones",
    )
    default_features: bool = option(_flag, "whether the default features are on", default=True)
    packages: tuple[str, ...] = option(_strings, "the members that are for this target; by default all", ())
    rustflags: tuple[str, ...] = option(_strings, "more flags of rustc, a word each", ())


@dataclass(frozen=True, kw_only=True)
class CommitRules:
    """What a crate asks of commit messages: the keys of ``register(commit_format={...})``."""

    title: int = option(_count(), "the most characters of a title", 60)
    body: int = option(_count(), "the most characters of a line of the body, URLs not counted", 75)
    signed_off: bool = option(_flag, "whether a Signed-off-by trailer is required", default=True)
    exempt: tuple[str, ...] = option(
        _strings, "authors, by address, whose commits are not checked", DEPENDABOT
    )


@dataclass(frozen=True, kw_only=True)
class Override:
    """What a crate sets for one session: the keys of ``register(overrides={NAME: {...}})``.

    They are those of ``@crate.session`` as well. None where the crate does not say.
    """

    timeout_minutes: float | None = option(_minutes, "the time limit")
    devices: tuple[str, ...] = option(_strings, "device files that it needs", ())
    env: dict[str, str] = option(_environment, "variables laid over those of the crate", {})
    platforms: tuple[str, ...] | None = option(
        _platforms, "the architectures it is for; elsewhere it is skipped, and says so"
    )
    doctests: bool | None = option(_flag, "whether documentation tests run for each feature combination")
    runner: str = option(_one_of(RUNNERS, "runner"), "what runs the tests: cargo or nextest", "cargo")
    changed: tuple[str, ...] = option(_strings, "paths on whose change its steps run; by default always", ())
    privileged: bool | None = option(_flag, "whether its steps run in a privileged container")
    agents: dict[str, str] = option(_environment, "more tags of the agents that take its steps", {})
    soft_fail: bool | None = option(_flag, "whether the build passes when it fails")
    skip: str = option(_string, "why Buildkite is to skip its steps", "")
    shares: int = option(_count(100), "how many steps the feature matrix is spread over", 1)
    exclude: tuple[str, ...] = option(
        _strings, "members of the workspace to leave out, by name or folder", ()
    )


@dataclass(frozen=True, kw_only=True)
class OwnSession:
    """A session that the crate adds to the standard ones.

    Attributes:
        name: Its name.
        tags: As in ``nox -t TAG``.
        override: What the crate sets for it.
        described: Whether a file describes it, which has the steps of the pipeline, too.
        alias: The name of all that differ in their parameters alone; empty where there are none.
    """

    name: str
    alias: str = ""
    tags: tuple[str, ...] = ()
    override: Override
    described: bool = False


def own_session(where: str, name: str, tags: Iterable[str], given: Mapping[str, Any]) -> OwnSession:
    """Check what a crate says of a session of its own; `where` names the place in messages."""
    if name.startswith("-"):
        raise _wrong(f"{where}, name", "a name that nox can be given: no dash comes first", name)
    checked = override(where, given)
    for key in ("doctests", "runner", "exclude"):
        if key in given:
            raise UserError(
                f"{key!r} is for sessions that run a feature matrix", where=where, fix="take it out"
            )
    return OwnSession(name=name, tags=_strings(f"{where}, tags", tags), override=checked)


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """All that holds for one session: what the crate sets, over what the table says.

    Attributes:
        row: The session's row of the table; of the crate's own session, one that says nothing more.
        timeout_minutes: The time limit for all of it.
        env: The crate's variables, and the session's over them.
        devices: Device files that it needs.
        platforms: The architectures it runs on here; empty for all.
        steps_for: The architectures its steps are for; empty for a single step on any machine.
        doctests: Whether documentation tests run for each feature combination.
        nextest: Whether cargo-nextest runs the tests.
        changed: Paths on whose change its steps run; empty for always.
        privileged: Whether its containers are privileged.
        agents: More tags of the agents that take its steps.
        soft_fail: Whether the build passes when it fails.
        skip: Why Buildkite skips its steps; empty where it does not.
        shares: How many steps the feature matrix is spread over.
        exclude: Members of the workspace that are left out.
        triples: Targets of rustc that it needs.
    """

    row: StandardSession
    timeout_minutes: float
    env: Mapping[str, str]
    devices: tuple[str, ...]
    platforms: tuple[str, ...]
    steps_for: tuple[str, ...]
    doctests: bool
    nextest: bool
    changed: tuple[str, ...]
    privileged: bool
    agents: Mapping[str, str]
    soft_fail: bool
    skip: str
    shares: int
    exclude: tuple[str, ...]
    triples: tuple[str, ...] = ()

    def runs_on(self, machine: str) -> bool:
        """Whether it is for an architecture."""
        return not self.platforms or machine in self.platforms


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a crate's ``register()`` call says, checked, and the sessions that the crate adds.

    Attributes:
        directory: The crate's directory.
        own: The sessions beside the standard ones.
    """

    directory: Path
    own: tuple[OwnSession, ...] = ()
    workspace: bool = option(
        _flag, "whether sessions mean the whole workspace, or only the noxfile's own package", default=True
    )
    members: bool | None = option(
        _flag,
        "whether each member of the workspace is judged by itself; by default where members have a "
        "coverage_config_ARCH.json, tests/coverage, .platform or custom tests of their own",
    )
    features: tuple[str, ...] | None = option(
        _strings, "the features to vary in builds, clippy and tests; all by default"
    )
    depth: int | None = option(_count(), "the most features to combine; no limit by default")
    alone: bool = option(
        _flag,
        "whether a member fails that passes only with the features that other members switch on",
        default=False,
    )
    cached: bool = option(
        _flag,
        "whether test executables are not run again that have passed with the same bytes, environment, files "
        "and machine, as by --cached; not in CI",
        default=False,
    )
    env: dict[str, str] = option(_environment, "variables laid over the caller's in every session", {})
    skip: frozenset[str] = option(
        _sessions, "standard sessions to leave out, by their names or rust-vmm-ci's", frozenset()
    )
    overrides: dict[str, Override] = option(
        _overrides,
        "settings of single sessions, such as "
        '{"coverage": {"timeout_minutes": 30, "devices": ["/dev/kvm"]}}; '
        "the keys are those of rustvmm_sessions.settings.Override",
        {},
    )
    platforms: tuple[str, ...] | None = option(
        _platforms, "the architectures the crate is for: x86_64, aarch64, riscv64"
    )
    coverage_tolerance: Fraction | None = option(
        _points,
        "points by which coverage may differ from tests/coverage; by default 0, and 0.5 where "
        "coverage_score is the baseline",
    )
    patch_coverage: Fraction | None = option(
        _percent, "the percentage of the lines changed since the merge base that tests must cover"
    )
    coverage_reruns: int = option(
        _count(100, least=0),
        "how often tests run again at most where measured and recorded coverage differ, to find lines that "
        "not every run reaches; 0 for never",
        3,
    )
    coverage_features: dict[str, FeatureSets] = option(
        _features_of_builds,
        'features that are measured by a build each and count together, such as [["xen"], ["postcopy"]]; '
        "they take the place of crate_features, default features stay on; of single members "
        '{"vhost": [["xen"], ["postcopy"]]}',
        {},
    )
    audit_ignore: tuple[Excused, ...] = option(
        _excused(r"[A-Z]+-\d{4}-\d{4,}", "the id of an advisory", "RUSTSEC-2020-0071"),
        "advisories to ignore until a date, each with a reason: "
        '{"RUSTSEC-2020-0071": ("no call of localtime_r", "2027-06-30")}',
        (),
    )
    quarantine: tuple[Excused, ...] = option(
        _excused(r"\S.*", "the exact name of a test", "tests::name"),
        "tests, by their exact names, that may fail until a date, each with a reason: "
        '{"tests::two_writers": ("races with the reader, #12", "2027-06-30")}',
        (),
    )
    bench: BenchRules = option(
        _table(BenchRules, '{"threshold": 2}'),
        'what is asked of benchmarks, such as {"threshold": 2}; '
        "the keys are those of rustvmm_sessions.settings.BenchRules",
        BenchRules(),
    )
    fuzz: FuzzRules | None = option(
        _table(FuzzRules, '{"seconds": 300}'),
        'makes fuzz part of the gate and the pipeline: {} or such as {"seconds": 300}; '
        "the keys are those of rustvmm_sessions.settings.FuzzRules",
    )
    release: bool = option(_flag, "whether release-check is part of the gate and the pipeline", default=False)
    targets: dict[str, TargetRules] | None = option(
        _targets,
        "the targets that the crate is checked for beside the machine's own, as part of the gate and the "
        'pipeline, such as {"x86_64-unknown-none": {"default_features": False}}; '
        "the keys are those of rustvmm_sessions.settings.TargetRules",
    )
    commit_format: CommitRules = option(
        _table(CommitRules, '{"title": 72}'),
        'what is asked of commit messages, such as {"title": 72}; '
        "the keys are those of rustvmm_sessions.settings.CommitRules",
        CommitRules(),
    )
    custom_tests: tuple[str, ...] = option(
        _files,
        "description files of rust-vmm-ci, such as .buildkite/custom-tests.json, whose tests become "
        "sessions; their commands are shell, run by sh -e -c",
        (),
    )
    pipeline_command: str = option(
        _string,
        "the shell command that stands for nox in Buildkite's steps, where an image carries it in another "
        "form, such as python3 /opt/nox.pyz",
        "nox",
    )
    pipeline_include: Path | None = option(
        lambda where, value: Path(_string(where, value)),
        "a pipeline file of the crate's own, such as .buildkite/steps.yml: its steps become part of the "
        "pipeline, and what they run becomes sessions",
    )

    @property
    def extra(self) -> tuple[str, ...]:
        """The extra sessions that the crate asks for in its gate."""
        asked = {"fuzz": self.fuzz is not None, "targets": self.targets is not None}
        asked["release-check"] = self.release
        return tuple(name for name, asks in asked.items() if asks)

    def session(self, name: str) -> SessionSettings:
        """Return all that holds for a session of the crate's own, or a standard one."""
        own = next((each for each in self.own if name in (each.name, each.alias)), None)
        tags, alias = (own.tags, own.alias) if own else ((), "")
        plain = StandardSession(name=name, alias=alias, summary="", tags=tags)
        row = plain if own else catalog.named(name) or plain
        if row.name in self.extra:
            row = replace(row, tags=("gate", *row.tags))
        given = own.override if own else self.overrides.get(name, Override())
        return SessionSettings(
            row=row,
            timeout_minutes=row.timeout_minutes if given.timeout_minutes is None else given.timeout_minutes,
            env={**self.env, **given.env},
            devices=given.devices,
            platforms=given.platforms or (() if catalog.HELPERS in row.tags else self.platforms or ()),
            steps_for=given.platforms or row.platforms,
            doctests=row.doctests if given.doctests is None else given.doctests,
            nextest=given.runner == "nextest",
            changed=given.changed,
            privileged=row.privileged if given.privileged is None else given.privileged,
            agents=given.agents,
            soft_fail=row.soft_fail if given.soft_fail is None else given.soft_fail,
            skip=given.skip,
            shares=given.shares,
            exclude=given.exclude,
            triples=tuple(self.targets or ()) if row.name == "targets" else (),
        )

    def here(self, machine: str) -> tuple[SessionSettings, ...]:
        """Return the sessions that run on a machine: gate, bench, and those that the crate speaks of."""
        tags = {"gate", catalog.BENCH}
        rows = (self.session(s.name).row for s in catalog.STANDARD if s.name not in self.skip)
        usual = [row.name for row in rows if tags & {*row.tags}]
        names = dict.fromkeys((*usual, *self.overrides, *(own.name for own in self.own)))
        return tuple(found for name in names if (found := self.session(name)).runs_on(machine))


def settings(directory: Path, given: Mapping[str, Any]) -> Settings:
    """Check the options of a ``register()`` call.

    Raises:
        UserError: An unknown option, session or key (with the nearest right name), or a value of
            the wrong type.
    """
    made = _checked(Settings, "register()", given, place="register({name}=...)", directory=directory)
    if made.members and not made.workspace:
        raise UserError(
            "members=True judges all members, workspace=False only the noxfile's own package",
            where="register(members=..., workspace=...)",
            fix="take one of them out",
        )
    return made
