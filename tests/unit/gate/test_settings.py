"""What register() may say of features, tests and advisories, and the one message for what it may not."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import nox
import nox.registry
import pytest

from rustvmm_sessions import outcomes, register
from rustvmm_sessions.catalog import STANDARD
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.settings import Excused, FuzzRules, Settings, TargetRules, override, settings

CRATE = Path("/crate")


def checked(**given: Any) -> Settings:
    return settings(CRATE, given)


def refused(**given: Any) -> str:
    """Return the message for options that register() does not take."""
    with pytest.raises(UserError) as caught:
        checked(**given)
    return str(caught.value)


# features and depth


def test_without_settings_all_features_are_combined() -> None:
    assert checked().features is None
    assert checked().depth is None
    assert checked(features=None, depth=None) == checked()


@pytest.mark.parametrize("names", [["a", "b-c"], ("a", "b-c"), (n for n in ("a", "b-c"))])
def test_features_are_any_list_of_names(names: Any) -> None:
    assert checked(features=names).features == ("a", "b-c")


def test_no_feature_at_all_is_not_all_of_them() -> None:
    assert checked(features=[]).features == ()


@pytest.mark.parametrize("names", ["a", 3, True, [1], [None], [""], ["a", ["b"]]])
def test_features_that_are_no_list_of_names(names: Any) -> None:
    message = refused(features=names)
    assert "--> register(features=...)" in message
    assert "string" in message
    assert "help: correct the noxfile" in message


@pytest.mark.parametrize("depth", [1, 2, 1000])
def test_a_depth(depth: int) -> None:
    assert checked(depth=depth).depth == depth


@pytest.mark.parametrize("depth", [0, -1, 1.0, 2.5, "2", True, False, [], float("inf")])
def test_a_depth_that_is_none(depth: Any) -> None:
    message = refused(depth=depth)
    assert f"{depth!r} is not a whole number from 1" in message
    assert "--> register(depth=...)" in message


@pytest.mark.parametrize(
    ("given", "meant"), [("feature", "features"), ("deph", "depth"), ("audit", "audit_ignore")]
)
def test_a_misspelt_option_is_answered_with_the_nearest(given: str, meant: str) -> None:
    message = refused(**{given: None})
    assert f"there is no option {given!r}" in message
    assert f"did you mean {meant!r}?" in message


# doctests and runner


@pytest.mark.parametrize("name", [n for s in STANDARD if s.forwards for n in (s.name, s.alias)])
def test_sessions_with_tests_take_doctests_and_a_runner(name: str) -> None:
    (own,) = checked(overrides={name: {"doctests": True, "runner": "nextest"}}).overrides.values()
    assert own.doctests is True
    assert own.runner == "nextest"


def test_without_settings_a_session_decides_about_doctests_and_cargo_runs_the_tests() -> None:
    own = override("here", {})
    assert own.doctests is None
    assert own.runner == "cargo"


@pytest.mark.parametrize("value", [1, 0, "yes", "True", [], {}])
def test_doctests_are_on_or_off(value: Any) -> None:
    message = refused(overrides={"unit-tests": {"doctests": value}})
    assert f"{value!r} is not True or False" in message
    assert "register(overrides={'unit-tests': ...}), doctests" in message


@pytest.mark.parametrize(
    ("runner", "todo"),
    [
        ("nexttest", "did you mean 'nextest'?"),
        ("cargo-nextest", "did you mean 'nextest'?"),
        ("Cargo", "did you mean 'cargo'?"),
        ("pytest", "did you mean 'nextest'?"),
        ("", "there are: cargo, nextest"),
        (None, "there are: cargo, nextest"),
        (True, "there are: cargo, nextest"),
        (["nextest"], "did you mean 'nextest'?"),
    ],
)
def test_a_runner_that_is_none(runner: Any, todo: str) -> None:
    message = refused(overrides={"unit-tests": {"runner": runner}})
    assert f"there is no runner {runner!r}" in message
    assert "--> register(overrides={'unit-tests': ...})" in message
    assert todo in message


@pytest.mark.parametrize(("key", "value"), [("doctests", True), ("runner", "nextest"), ("runner", "cargo")])
@pytest.mark.parametrize("name", [s.name for s in STANDARD if not s.forwards])
def test_a_session_without_tests_does_not_take_what_it_would_ignore(name: str, key: str, value: Any) -> None:
    message = refused(overrides={name: {key: value}})
    assert f"{name} runs no tests, so it has no {key!r}" in message
    assert f"--> register(overrides={{{name!r}: ...}})" in message
    assert "help: take it out" in message


# What nox is told


def test_nox_may_run_sessions_side_by_side_unless_they_measure_time_or_are_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nox.registry, "_REGISTRY", {})
    monkeypatch.setattr(outcomes, "collect", lambda: None)
    crate = register()
    crate.session(lambda _: None, name="own")
    registered = nox.registry.get()
    beside_others = [name for name, session in registered.items() if session.allow_parallel]
    assert beside_others == [s.name for s in STANDARD if s.parallel]
    assert set(beside_others) >= {s.name for s in STANDARD if "gate" in s.tags}
    assert {"own", "bench", "setup", "container", "reproduce"}.isdisjoint(beside_others)
    by_default = [name for name, session in registered.items() if session.default]
    assert by_default == [s.name for s in STANDARD if "quick" in s.tags]


# audit_ignore


def test_an_advisory_is_ignored_with_a_reason_and_a_last_day() -> None:
    given = {
        "RUSTSEC-2020-0071": ("no call of localtime_r", "2027-06-30"),
        "CVE-2026-123456": ["behind a feature", "2026-12-31"],
    }
    assert checked(audit_ignore=given).audit_ignore == (
        Excused(name="RUSTSEC-2020-0071", reason="no call of localtime_r", until=dt.date(2027, 6, 30)),
        Excused(name="CVE-2026-123456", reason="behind a feature", until=dt.date(2026, 12, 31)),
    )


@pytest.mark.parametrize("given", [None, {}])
def test_nothing_is_ignored_unless_it_is_said(given: Any) -> None:
    assert checked(audit_ignore=given).audit_ignore == ()


@pytest.mark.parametrize("given", [["RUSTSEC-2020-0071"], "RUSTSEC-2020-0071", 7])
def test_a_list_of_advisories_lacks_the_reasons(given: Any) -> None:
    message = refused(audit_ignore=given)
    assert '{"RUSTSEC-2020-0071": ("why", "2027-06-30")}' in message
    assert "--> register(audit_ignore=...)" in message


@pytest.mark.parametrize(
    "advisory", ["", "time", "RUSTSEC-2020", "rustsec-2020-0071", "RUSTSEC-2020-0071 ", "--db=/x", 7, None]
)
def test_what_is_no_id_of_an_advisory(advisory: Any) -> None:
    message = refused(audit_ignore={advisory: ("why", "2027-06-30")})
    assert f"{advisory!r} is not the id of an advisory, such as RUSTSEC-2020-0071" in message


@pytest.mark.parametrize(
    "entry",
    [
        "why",
        ("why",),
        ("why", "2027-06-30", "more"),
        ("why", None),
        ("why", "30.06.2027"),
        ("why", "2027-06-31"),
        ("why", "soon"),
        ("why", ""),
        ("why", dt.date(2027, 6, 30)),
        ("2027-06-30", "why"),
        None,
        True,
    ],
)
def test_an_advisory_without_a_reason_and_a_day(entry: Any) -> None:
    message = refused(audit_ignore={"RUSTSEC-2020-0071": entry})
    assert 'is not a reason and a last day, ("why", "2027-06-30")' in message
    assert "--> register(audit_ignore=...), RUSTSEC-2020-0071" in message
    assert "help: correct the noxfile" in message


@pytest.mark.parametrize("reason", ["", "  ", "\n", None, 7])
def test_a_reason_that_is_none(reason: Any) -> None:
    message = refused(audit_ignore={"RUSTSEC-2020-0071": (reason, "2027-06-30")})
    assert f"{reason!r} is not a reason" in message


# extra sessions


def test_an_extra_session_is_in_the_gate_where_the_crate_asks_for_it() -> None:
    assert checked().session("fuzz").row.tags == ("extra",)
    assert checked(fuzz={}).session("fuzz").row.tags == ("gate", "extra")
    assert checked(fuzz=None).fuzz is None
    rules = checked(fuzz={"seconds": 300, "corpus": "fuzz/corpus", "targets": ["a", "b"]}).fuzz
    assert rules == FuzzRules(seconds=300, corpus="fuzz/corpus", targets=("a", "b"))
    every = checked(fuzz={}, targets={}, release=True)
    assert every.extra == ("fuzz", "targets", "release-check")
    assert {*every.extra} <= {session.row.name for session in every.here("x86_64")}
    assert not {*every.extra} & {session.row.name for session in checked().here("x86_64")}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (True, 'True is not a dict such as {"seconds": 300}'),
        ({"second": 9}, "there is no option 'second'"),
        ({"seconds": 0}, "0 is not a whole number from 1"),
        ({"seconds": "9"}, "'9' is not a whole number from 1"),
        ({"corpus": "/var/corpus"}, "'/var/corpus' is not a pattern of files in the crate's directory"),
        ({"corpus": "../corpus"}, "'../corpus' is not a pattern"),
        ({"targets": "parse"}, "'parse' is not a list of strings"),
    ],
)
def test_what_fuzz_cannot_be_set_to(given: Any, said: str) -> None:
    message = refused(fuzz=given)
    assert said in message
    assert "--> register(fuzz=...)" in message


def test_a_target_has_what_is_set_for_it_and_the_session_needs_it() -> None:
    rules = {
        "features": ["alloc"],
        "default_features": False,
        "packages": ["a"],
        "rustflags": ["-A", "unused"],
    }
    crate = checked(targets={"x86_64-unknown-none": rules, "x86_64-pc-windows-gnu": {}})
    assert crate.targets == {
        "x86_64-unknown-none": TargetRules(
            features=("alloc",), default_features=False, packages=("a",), rustflags=("-A", "unused")
        ),
        "x86_64-pc-windows-gnu": TargetRules(),
    }
    assert crate.session("targets").triples == ("x86_64-unknown-none", "x86_64-pc-windows-gnu")
    assert crate.session("fuzz").triples == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["x86_64-unknown-none"], "['x86_64-unknown-none'] is not a dict such as"),
        ({"--help": {}}, "'--help' is not a target such as x86_64-unknown-none"),
        ({"": {}}, "'' is not a target such as"),
        ({"x86_64-unknown-none": None}, "None is not a dict such as"),
        ({"x86_64-unknown-none": {"feature": []}}, "help: did you mean 'features'?"),
        ({"x86_64-unknown-none": {"features": ["a b"]}}, "'a b' is not a feature"),
        ({"x86_64-unknown-none": {"default_features": "no"}}, "'no' is not True or False"),
    ],
)
def test_what_targets_cannot_be_set_to(given: Any, said: str) -> None:
    message = refused(targets=given)
    assert said in message
    assert "register(targets=" in message


# exclude


@pytest.mark.parametrize("name", ["build-musl", "fmt", "style", "doc", "coverage", "unittests-gnu"])
def test_members_are_left_out_of_sessions_of_cargo(name: str) -> None:
    (own,) = checked(overrides={name: {"exclude": ["vhost-device-gpu"]}}).overrides.values()
    assert own.exclude == ("vhost-device-gpu",)


@pytest.mark.parametrize("name", ["commit-format", "audit", "pipeline"])
def test_a_session_that_judges_no_members_can_leave_none_out(name: str) -> None:
    message = refused(overrides={name: {"exclude": ["vhost-device-gpu"]}})
    assert f"{name} judges no members one by one, so it can leave none out" in message
    assert f"--> register(overrides={{{name!r}: ...}})" in message


def test_what_helps_is_there_on_every_machine() -> None:
    crate = settings(Path(), {"platforms": ["aarch64"]})
    assert [s.name for s in STANDARD if crate.session(s.name).runs_on("x86_64")] == [
        s.name for s in STANDARD if "helpers" in s.tags
    ]
