"""What a crate's own files and its ``register()`` call say, checked once and then passed on."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from rustvmm_sessions import catalog
from rustvmm_sessions.bench.model import BenchRules
from rustvmm_sessions.commits import CommitRules
from rustvmm_sessions.documents import read_json
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.wording import did_you_mean

SCORE_TOLERANCE = Fraction(1, 2)
"""Points by which rust-vmm-ci lets coverage differ from ``coverage_score``."""

_KEYS = ("coverage_score", "exclude_path", "crate_features")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\\\]])*\]|.", re.DOTALL)
"""An escaped character, a set in brackets, or any other character of a regular expression."""


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
class CoverageConfig:
    """The content of ``coverage_config_ARCH.json``; all of it may be missing.

    Attributes:
        path: Where the file is, or would be.
        score: ``coverage_score`` in percent.
        exclude: Regular expressions on absolute paths, of files that do not count.
        features: None for all features, else those beside the default ones.
        warnings: What is odd about the file but does not stop anything.
    """

    path: Path
    score: Fraction | None = None
    exclude: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


def parse_coverage_config(text: str, path: Path) -> CoverageConfig:
    """Read ``coverage_config_ARCH.json``.

    ``exclude_path`` separates its patterns by ``|``, or by commas as the oldest crates do.

    Raises:
        UserError: Invalid JSON, a value of the wrong type, a score outside 0 to 100, a pattern
            that is no regular expression; file and line are named.
    """
    document = read_json(text, str(path), number=_decimal, allow_twice=True)
    data = document.data
    warnings = [
        f"{document.at(*keys)}: the key {keys[-1]!r} is given twice; the last one counts"
        for keys in document.twice
    ]
    if not isinstance(data, dict):
        raise UserError(
            "an object is expected",
            where=document.at(),
            fix='write {"coverage_score": 80.1, "exclude_path": ""}',
        )
    warnings += [
        f"{document.at(key)}: the key {key!r} is unknown and ignored; {did_you_mean(key, _KEYS)}"
        for key in data
        if key not in _KEYS
    ]

    def string(key: str) -> str | None:
        value = data.get(key)
        if value is not None and not isinstance(value, str):
            raise UserError(
                f"{key} is a string, not {type(value).__name__}",
                where=document.at(key),
                fix=f'write "{key}": "..."',
            )
        return value

    features = string("crate_features")
    return CoverageConfig(
        path=path,
        score=_score(data.get("coverage_score"), document.at("coverage_score")),
        exclude=_patterns(string("exclude_path") or "", document.at("exclude_path")),
        features=None if features is None else tuple(f for f in re.split(r"[,\s]+", features) if f),
        warnings=tuple(warnings),
    )


def _score(value: Any, where: str) -> Fraction | None:  # noqa: ANN401 - any JSON
    if value is None:
        return None
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not number or not 0 <= value <= 100:
        raise UserError(
            f"coverage_score is a number from 0 to 100, not {value if number else repr(value)}",
            where=where,
            fix='write "coverage_score": 80.1',
        )
    return Fraction(value)


def _decimal(text: str) -> Decimal:
    """Read a number exactly, unless its exponent is one that no float has: that would take for ever."""
    number = float(text)
    return Decimal(text if 0 < abs(number) < math.inf else number)


def _patterns(value: str, where: str) -> tuple[str, ...]:
    patterns = split_patterns(value)
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(
                f"exclude_path: {pattern!r} is no regular expression: {error}",
                where=where,
                fix="correct the pattern",
            ) from error
    return patterns


def split_patterns(value: str) -> tuple[str, ...]:
    """Split ``exclude_path`` at each ``|`` and comma that stands outside all brackets."""
    patterns = [""]
    depth = 0
    for token in _TOKEN.findall(value):
        if token in ("|", ",") and depth == 0:
            patterns.append("")
            continue
        patterns[-1] += token
        depth += (token in ("(", "{")) - (token in (")", "}"))
    return tuple(stripped for pattern in patterns if (stripped := pattern.strip()))


@dataclass(frozen=True, kw_only=True)
class Override:
    """What a crate sets for one session.

    Attributes:
        timeout_minutes: Its time limit.
        devices: Device files that it needs, such as ``/dev/kvm``.
        env: Variables laid over the caller's while it runs.
        platforms: Architectures it is for; None for those of the crate.
        doctests: Whether documentation tests run with each feature combination; None for the
            session's own default.
        runner: What runs its tests, ``cargo`` or ``nextest``.
        changed: Paths on whose change its step of a pipeline runs; empty for always.
        privileged: Whether its pipeline steps run in a privileged container; None for the
            session's own default.
        agents: Tags of the agents that take its steps, laid over the usual ones.
        soft_fail: Whether the build passes when its steps fail; None as for `privileged`.
        skip: Why its steps are in the pipeline but not run; empty where they are.
        shares: How many steps its feature matrix is spread over, each by ``--partition``; a session
            of the crate's own finds that in ``session.posargs``.
    """

    timeout_minutes: float | None = None
    devices: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] | None = None
    doctests: bool | None = None
    runner: str = "cargo"
    changed: tuple[str, ...] = ()
    privileged: bool | None = None
    agents: dict[str, str] = field(default_factory=dict)
    soft_fail: bool | None = None
    skip: str = ""
    shares: int = 1

    def minutes(self, default: float) -> float:
        """Return the time limit, or `default`."""
        return default if self.timeout_minutes is None else self.timeout_minutes


@dataclass(frozen=True, kw_only=True)
class OwnSession:
    """A session of the crate's own, as far as the pipeline needs to know it."""

    name: str
    tags: tuple[str, ...]
    override: Override


@dataclass(frozen=True, kw_only=True)
class IgnoredAdvisory:
    """An advisory that a crate lives with.

    Attributes:
        advisory: Its id, such as ``RUSTSEC-2020-0071``.
        reason: Why it does no harm.
        until: The last day on which it is ignored.
    """

    advisory: str
    reason: str
    until: dt.date


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a crate's ``register()`` call says, checked.

    Attributes:
        directory: The crate's directory.
        workspace: Whether the whole workspace is meant, or the package in `directory`.
        env: Variables laid over the caller's in every session.
        skip: Standard sessions that are not registered.
        overrides: Settings of single sessions, by the session's name.
        platforms: Architectures the crate is for; None where it does not say.
        coverage_tolerance: Points by which coverage may differ from the record; None for 0, and
            for 0.5 where ``coverage_score`` is the baseline.
        features: Features to vary; None for all.
        depth: The most features to combine; None for no limit.
        audit_ignore: Advisories the crate lives with.
        bench: What is asked of benchmarks.
        commit_format: What is asked of commit messages.
        custom_tests: Description files of custom tests, from the crate's directory.
        pipeline_command: The shell command that stands for ``nox`` in Buildkite's steps.
        pipeline_include: A pipeline file of the crate's own, whose steps come last.
    """

    directory: Path
    workspace: bool = True
    features: tuple[str, ...] | None = None
    depth: int | None = None
    audit_ignore: tuple[IgnoredAdvisory, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    skip: frozenset[str] = frozenset()
    overrides: dict[str, Override] = field(default_factory=dict)
    platforms: tuple[str, ...] | None = None
    coverage_tolerance: Fraction | None = None
    bench: BenchRules = field(default_factory=BenchRules)
    commit_format: CommitRules = field(default_factory=CommitRules)
    custom_tests: tuple[str, ...] = ()
    pipeline_command: str = "nox"
    pipeline_include: Path | None = None


RUNNERS = ("cargo", "nextest")
OPTIONS = (
    "workspace",
    "features",
    "depth",
    "env",
    "skip",
    "overrides",
    "platforms",
    "coverage_tolerance",
    "audit_ignore",
    "bench",
    "commit_format",
    "custom_tests",
    "pipeline_command",
    "pipeline_include",
)
"""The options of ``register()``."""


def settings(directory: Path, given: Mapping[str, Any]) -> Settings:
    """Check the options of a ``register()`` call.

    Raises:
        UserError: An unknown option, session or key (with the nearest right name), or a value of
            the wrong type.
    """
    _known("register()", given, OPTIONS)
    workspace = given.get("workspace", True)
    if not isinstance(workspace, bool):
        raise _wrong("register(workspace=...)", "True or False", workspace)
    depth = given.get("depth")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 1):
        raise _wrong("register(depth=...)", "a whole number from 1", depth)
    features = given.get("features")
    names = _strings("register(skip=...)", given.get("skip"))
    custom = given.get("custom_tests")
    include = _string("register(pipeline_include=...)", given.get("pipeline_include"))
    return Settings(
        directory=directory,
        workspace=workspace,
        features=None if features is None else _strings("register(features=...)", features),
        depth=depth,
        audit_ignore=_ignored("register(audit_ignore=...)", given.get("audit_ignore") or {}),
        env=_environment("register(env=...)", given.get("env")),
        skip=frozenset(_session("register(skip=...)", name) for name in names),
        overrides=_overrides("register(overrides=...)", given.get("overrides")),
        platforms=_platforms("register(platforms=...)", given.get("platforms")),
        coverage_tolerance=_points("register(coverage_tolerance=...)", given.get("coverage_tolerance")),
        bench=_bench("register(bench=...)", given.get("bench")),
        commit_format=_commit_format("register(commit_format=...)", given.get("commit_format")),
        custom_tests=_strings("register(custom_tests=...)", [custom] if isinstance(custom, str) else custom),
        pipeline_command=_string("register(pipeline_command=...)", given.get("pipeline_command")) or "nox",
        pipeline_include=Path(include) if include else None,
    )


def _commit_format(where: str, value: object) -> CommitRules:
    given = _options(where, {} if value is None else value, CommitRules, example='{"title": 72}')
    default = CommitRules()
    lengths = {key: given.get(key, getattr(default, key)) for key in ("title", "body")}
    for key, length in lengths.items():
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise _wrong(f"{where}, {key}", "a whole number from 1", length)
    signed_off = given.get("signed_off", default.signed_off)
    if not isinstance(signed_off, bool):
        raise _wrong(f"{where}, signed_off", "True or False", signed_off)
    exempt = _strings(f"{where}, exempt", given.get("exempt", default.exempt))
    return CommitRules(**lengths, signed_off=signed_off, exempt=exempt)


def _bench(where: str, value: object) -> BenchRules:
    given = _options(where, {} if value is None else value, BenchRules, example='{"threshold": 2}')
    threshold = _points(f"{where}, threshold", given.get("threshold"))
    patterns = _strings(f"{where}, time_only", given.get("time_only"))
    for pattern in patterns:
        expression(pattern, f"{where}, time_only")
    return BenchRules(
        threshold=BenchRules().threshold if threshold is None else float(threshold), time_only=patterns
    )


def expression(text: str, where: str) -> re.Pattern[str]:
    """Compile a regular expression that a user wrote.

    Raises:
        UserError: It is none.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(
            f"{text!r} is no regular expression: {error}", where=where, fix="correct it"
        ) from error


def _overrides(where: str, given: object) -> dict[str, Override]:
    if given is None:
        return {}
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
        without_use = [key for key in ("doctests", "runner") if key in value]
        if without_use and not (standard and standard.forwards):
            raise UserError(
                f"{session} runs no tests, so it has no {without_use[0]!r}",
                where=place,
                fix="take it out, or set it for a session that runs tests",
            )
    return checked


def own_session(where: str, name: str, tags: object, given: Mapping[str, Any]) -> OwnSession:
    """Check what a crate says of a session of its own; `where` names the place in messages."""
    if name.startswith("-"):
        raise _wrong(f"{where}, name", "a name that nox can be given: no dash comes first", name)
    checked = override(where, given)
    for key in ("doctests", "runner"):
        if key in given:
            raise UserError(
                f"{key!r} is for sessions that run a feature matrix", where=where, fix="take it out"
            )
    return OwnSession(name=name, tags=_strings(f"{where}, tags", tags), override=checked)


def override(where: str, value: object) -> Override:
    """Check the settings of one session; `where` names the place in messages."""
    given = _options(where, value, Override, example='{"timeout_minutes": 30}')
    minutes = given.get("timeout_minutes")
    if minutes is not None and (
        isinstance(minutes, bool) or not isinstance(minutes, int | float) or not minutes > 0
    ):
        raise _wrong(f"{where}, timeout_minutes", "a number of minutes above 0", minutes)
    flags = {name: given.get(name) for name in ("doctests", "privileged", "soft_fail")}
    for name, flag in flags.items():
        if flag is not None and not isinstance(flag, bool):
            raise _wrong(f"{where}, {name}", "True or False", flag)
    shares = given.get("shares", 1)
    if isinstance(shares, bool) or not isinstance(shares, int) or not 1 <= shares <= 100:
        raise _wrong(f"{where}, shares", "a whole number from 1 to 100", shares)
    runner = given.get("runner", "cargo")
    if runner not in RUNNERS:
        raise UserError(f"there is no runner {runner!r}", where=where, fix=did_you_mean(str(runner), RUNNERS))
    return Override(
        **flags,
        runner=runner,
        timeout_minutes=minutes,
        devices=_strings(f"{where}, devices", given.get("devices")),
        env=_environment(f"{where}, env", given.get("env")),
        platforms=_platforms(f"{where}, platforms", given.get("platforms")),
        changed=_strings(f"{where}, changed", given.get("changed")),
        agents=_environment(f"{where}, agents", given.get("agents")),
        skip=_string(f"{where}, skip", given.get("skip")),
        shares=shares,
    )


def _options(where: str, value: object, dataclass: type[Any], *, example: str) -> Mapping[str, Any]:
    """Check that a value is a dict with fields of a dataclass."""
    if not isinstance(value, Mapping):
        raise _wrong(where, f"a dict such as {example}", value)
    _known(where, value, tuple(f.name for f in fields(dataclass)))
    return value


def _known(where: str, given: Iterable[Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise UserError(f"there is no option {name!r}", where=where, fix=did_you_mean(str(name), known))


def _session(where: str, name: object) -> str:
    found = catalog.standard(name) if isinstance(name, str) else None
    if found is None:
        raise UserError(
            f"there is no standard session {name!r}",
            where=where,
            fix=did_you_mean(str(name), [s.name for s in catalog.STANDARD]),
        )
    return found.name


def _string(where: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, "a non-empty string", value)
    return value


def _strings(where: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong(where, "a list of strings", value)
    items = tuple(value)
    for item in items:
        if not isinstance(item, str) or not item:
            raise _wrong(where, "a non-empty string", item)
    return items


def _environment(where: str, value: object) -> dict[str, str]:
    if value is None:
        return {}
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


def _platforms(where: str, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = _strings(where, value)
    for name in names:
        check_platform(name, where)
    if not names:
        raise _wrong(where, "at least one platform", value)
    return names


def _ignored(where: str, value: object) -> tuple[IgnoredAdvisory, ...]:
    example = 'a dict such as {"RUSTSEC-2020-0071": ("why it does no harm", "2027-06-30")}'
    if not isinstance(value, Mapping):
        raise _wrong(where, example, value)
    ignored = []
    for advisory, entry in value.items():
        if not isinstance(advisory, str) or not re.fullmatch(r"[A-Z]+-\d{4}-\d{4,}", advisory):
            raise _wrong(where, "the id of an advisory, such as RUSTSEC-2020-0071", advisory)
        try:
            reason, until = entry
            day = dt.date.fromisoformat(until)
        except (TypeError, ValueError):
            raise _wrong(
                f"{where}, {advisory}", 'a reason and a last day, ("why", "2027-06-30")', entry
            ) from None
        if not isinstance(reason, str) or not reason.strip():
            raise _wrong(f"{where}, {advisory}", "a reason", reason)
        ignored.append(IgnoredAdvisory(advisory=advisory, reason=reason, until=day))
    return tuple(ignored)


def _points(where: str, value: object) -> Fraction | None:
    if value is None:
        return None
    if (
        isinstance(value, int | float | Decimal | Fraction)
        and not isinstance(value, bool)
        and 0 <= value <= 100
    ):
        return Fraction(str(value))
    raise _wrong(where, "a number of points from 0 to 100", value)


def _wrong(where: str, expected: str, value: object) -> UserError:
    return UserError(f"{value!r} is not {expected}", where=where, fix="correct the noxfile")
