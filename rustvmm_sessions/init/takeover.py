"""What becomes of described tests: standard sessions with settings, or sessions of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.pipeline.custom_tests import PACKAGE, replaced, runs_where
from rustvmm_sessions.pipeline.model import tolerated_by
from rustvmm_sessions.settings import settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from rustvmm_sessions.pipeline.custom_tests import CustomTest
    from rustvmm_sessions.pipeline.spelled import Spelled

_KEPT = ("coverage", "commit-format")
"""What rust-vmm-ci checks in Python."""

_ALIASED = tuple(row for row in catalog.STANDARD if row.alias)
"""rust-vmm-ci's standard tests."""
_OF_RUST_VMM_CI = (*_KEPT, catalog.BENCH)
_Meant = tuple["CustomTest", "Spelled"]
Places = tuple[tuple[str, str], ...]
"""Tests, each with the standard session that takes its place, empty where it is a session of its own."""


@dataclass(frozen=True, kw_only=True)
class TakeOver:
    """What a noxfile says so that nothing of the descriptions is lost.

    Attributes:
        skip: Standard sessions that the descriptions leave out, or have commands of their own for.
        overrides: Settings of standard sessions that take the place of tests.
        places: What becomes of each test, by the description's file.
    """

    skip: tuple[str, ...]
    overrides: Mapping[str, Mapping[str, Any]]
    places: Mapping[str, Places]


def take_over(
    described: Mapping[str, Sequence[CustomTest]],
    directory: Path,
    platforms: Collection[str],
    machine: str,
    kept: Collection[str] = _KEPT,
) -> TakeOver:
    """Return what becomes of the tests of description files.

    A file with most of the standard tests is run by Buildkite instead of these, any other one beside
    them. What such a file leaves out is left out here, and what its tests add are settings. In any other
    one, that is so for rust-vmm-ci's own tests alone: the standard tests run without it, too.

    Args:
        described: The tests, by their files.
        directory: The crate's directory.
        platforms: What crate and members are for.
        machine: The architecture of this machine.
        kept: Sessions that are left out only where a test takes their place.
    """
    plain = settings(directory, {})
    meant: dict[str, list[_Meant]] = {}
    instead: set[str] = set()
    for tests in described.values():
        found = [(t, spelled) for t in tests if (spelled := t.spelled) and runs_where(t, spelled, plain)]
        names = {test.name for test in tests if not test.calls_rust_vmm_ci}
        own = {row.name for row in _ALIASED if {row.name, row.alias} & names}
        replacing = 2 * len(own | {spelled.session for _, spelled in found}) > len(_ALIASED)
        if replacing:
            instead |= {row.name for row in _ALIASED if row.name in own or row.name not in kept}
        for test, spelled in found:
            if replacing or (spelled.session in _OF_RUST_VMM_CI and {*spelled.env} <= {*test.env, PACKAGE}):
                meant.setdefault(spelled.session, []).append((test, spelled))
    found_settings = {name: _settings_for(name, tests, platforms, instead) for name, tests in meant.items()}
    overrides = {name: given for name, given in found_settings.items() if given}
    done = {name for name, given in found_settings.items() if given is not None}
    skip = tuple(row.name for row in _ALIASED if row.name in instead - done)
    crate = settings(directory, {"overrides": overrides, "skip": skip})
    places = {
        file: tuple((test.name, replaced(test, crate, machine)) for test in tests)
        for file, tests in described.items()
    }
    return TakeOver(skip=skip, overrides=overrides, places=places)


def _settings_for(
    name: str, meant: Sequence[_Meant], platforms: Collection[str], instead: Collection[str]
) -> dict[str, Any] | None:
    """Return the settings with which a session does what tests did; None where that is several sessions.

    Args:
        name: The session.
        meant: The tests.
        platforms: What crate and members are for.
        instead: The sessions that run only as descriptions say.
    """
    row = catalog.named(name)
    tests, (first, spelled) = [test for test, _ in meant], meant[0]
    if row is None or any(
        (test.agents, each.exclude, each.env.get(PACKAGE))
        != (first.agents, spelled.exclude, spelled.env.get(PACKAGE))
        for test, each in meant
    ):
        return None
    usual = platforms if name == catalog.BENCH else row.platforms
    named = list(dict.fromkeys(platform for test in tests for platform in test.platforms or usual))
    same = {*named} <= {*row.platforms} and not {*row.platforms} & {*platforms} - {*named}
    minutes = max(test.template.timeout_minutes for test in tests)
    privileged = any(test.privileged for test in tests)
    changed = [test.template.changed for test in tests]
    of_each = row.by_member and any(each.folder for _, each in meant)  # whose steps have their own paths
    given = {
        "platforms": [] if same else named,
        "timeout_minutes": minutes if minutes > row.timeout_minutes else 0,
        "devices": list(dict.fromkeys(device for test in tests for device in test.devices)),
        "env": {key: value for _, each in meant for key, value in each.env.items()},
        "agents": first.agents,
        "exclude": list(spelled.exclude),
        "soft_fail": not row.soft_fail
        and all(map(tolerated_by, (t.template.extra.get("soft_fail") for t in tests))),
        "changed": [path for paths in changed for path in _strings(paths)]
        if all(changed) and not of_each
        else [],
    }
    found = {key: value for key, value in given.items() if value}
    unlike = privileged != row.privileged and (privileged or name in instead)
    return {**found, "privileged": privileged} if unlike else found


def _strings(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
