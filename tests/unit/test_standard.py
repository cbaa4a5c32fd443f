"""What stands after ``--``: a session's own options, +TOOLCHAIN, and what goes on to cargo test."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions import audit, cli, noxfile, standard
from rustvmm_sessions.bench import compare as bench
from rustvmm_sessions.catalog import STANDARD, StandardSession
from rustvmm_sessions.catalog import standard as named
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.fuzz import run as fuzzing
from rustvmm_sessions.gate import matrix, single
from rustvmm_sessions.invocation import Invocation, Parser
from rustvmm_sessions.results import Report
from rustvmm_sessions.rust.choice import Choice
from rustvmm_sessions.settings import Excused, Override, OwnSession, Settings, settings

if TYPE_CHECKING:
    from rustvmm_sessions.audit import AuditRequest
    from rustvmm_sessions.fuzz.run import FuzzRequest
    from rustvmm_sessions.gate.commands import GateRequest

CRATE = Path("/crate")
CALLER = Path("/home/me")
FORWARDING = [s for s in STANDARD if s.forwards]
CLOSED = [s for s in STANDARD if not s.forwards and s.name not in ("container", "reproduce")]
MATRIX = [s for s in STANDARD if s.matrix is not None]


def session(name: str) -> StandardSession:
    found = named(name)
    assert found is not None
    return found


def by_name(session: StandardSession) -> str:
    return session.name


def parse(name: str, *words: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the options that differ from what they are without words, and the words for cargo test."""
    parser = standard.parser(session(name))
    plain, _ = parser.parse([])
    given, rest = parser.parse(words)
    return {key: value for key, value in vars(given).items() if value != getattr(plain, key)}, rest


KNOWN = frozenset({*(session.name for session in STANDARD), "own", "own(feature='one')"})


def run(
    name: str,
    *words: str,
    settings: Settings | None = None,
    override: Override | None = None,
    deadline: Deadline | None = None,
) -> None:
    crate = settings or Settings(directory=CRATE)
    if override:
        crate = replace(crate, overrides={**crate.overrides, name: override})
    standard.run(
        name,
        words=words,
        crate=crate,
        deadline=deadline or Deadline(),
        called_from=CALLER,
        report=Report(),
        known=KNOWN,
    )


def refused(name: str, *words: str) -> str:
    """Return the message that a session has for these words; it must not have begun."""
    with pytest.raises(UserError) as caught:
        run(name, *words)
    return str(caught.value)


@pytest.fixture
def invocations(monkeypatch: pytest.MonkeyPatch) -> list[Invocation]:
    """The runs of sessions, which do nothing."""
    begun: list[Invocation] = []
    for name, (options, _) in list(standard.SESSIONS.items()):
        monkeypatch.setitem(standard.SESSIONS, name, (options, begun.append))
    return begun


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[GateRequest]:
    """What the sessions that cargo does are asked to do; it is not done."""
    asked: list[GateRequest] = []
    for place, action in ((single, "check_format"), (single, "build_documentation"), (matrix, "run_matrix")):
        monkeypatch.setattr(place, action, asked.append)
    return asked


def test_every_session_of_the_table_can_be_run() -> None:
    assert list(standard.SESSIONS) == [s.name for s in STANDARD]


# --help


@pytest.mark.parametrize("session", STANDARD, ids=by_name)
def test_help_lists_every_option_and_runs_nothing(
    session: StandardSession, invocations: list[Invocation], capsys: pytest.CaptureFixture[str]
) -> None:
    run(session.name, "--help")
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: nox -s {session.name} -- [+TOOLCHAIN] [OPTION ...]")
    assert ("ARGUMENT OF CARGO TEST" in shown) == session.forwards
    for option in standard.parser(session).known:
        assert re.search(rf"^  (-\w \w+, )?{option}\b", shown, re.MULTILINE)
    assert invocations == []


def test_the_options_are_those_of_the_contract() -> None:
    members = ["--package", "--exclude", "--changed"]
    matrix = ["--help", "--list", "--partition", *members]
    clippy = [*matrix, "--fix", "--allow-dirty", "--allow-staged", "--allow-no-vcs"]
    for each in MATRIX:
        own = clippy if each.name == "clippy" else matrix
        tests = [*matrix, "--repeat", "--until-fail", "--cached"]
        assert standard.parser(each).known == (tests if each.forwards else own)
    assert standard.parser(session("fmt")).known == ["--help", "--fix", "--list", *members]
    assert standard.parser(session("doc")).known == ["--help", "--list", *members]
    assert standard.parser(session("audit")).known == ["--help", "--db"]
    fuzz = ["--help", "--seconds", "--target", "--jobs", "--corpus", "--regressions"]
    assert standard.parser(session("fuzz")).known == fuzz
    assert standard.parser(session("targets")).known == ["--help", "--target", "--list", *members]
    assert standard.parser(session("release-check")).known == ["--help", "--tag", "--package"]
    assert standard.parser(session("doctor")).known == ["--help", "--json"]
    assert standard.parser(session("setup")).known == ["--help", "--hooks"]
    assert standard.parser(session("commit-format")).known == ["--help", "--message", "--install-hook"]


# Words that a session does not know


@pytest.mark.parametrize(
    "words", [["--nonsense"], ["serial::"], ["-x"], ["--", "--list"], ["--"], ["+"], ["-"]]
)
@pytest.mark.parametrize("session", CLOSED, ids=by_name)
def test_a_session_without_tests_refuses_what_it_does_not_know(
    session: StandardSession, words: list[str], invocations: list[Invocation]
) -> None:
    message = refused(session.name, *words)
    assert f"the session {session.name} has no option {words[0]!r}" in message
    assert f"nox -s {session.name} -- {' '.join(words)}" in message
    assert message.count(f"the options are {', '.join(standard.parser(session).known)}") == 1
    assert message.count(" --help") == 1
    assert invocations == []


@pytest.mark.parametrize(
    ("name", "word", "meant"),
    [
        ("clippy", "--lis", "--list"),
        ("clippy", "--allow-dir", "--allow-dirty"),
        ("build-gnu", "--part=1/2", "--partition"),
        ("doc", "--change", "--changed"),
        ("fmt", "--fi", "--fix"),
        ("doctor", "--jso", "--json"),
        ("coverage", "--prof=devel", "--profile"),
    ],
)
def test_an_abbreviation_is_no_option_but_the_nearest_one_is_named(name: str, word: str, meant: str) -> None:
    message = refused(name, word)
    assert f"no option {word.partition('=')[0]!r}" in message
    assert f"did you mean {meant!r}?" in message


@pytest.mark.parametrize(
    "words",
    [
        ["serial::"],
        ["serial::", "--lib", "-v"],
        ["--part", "1/2", "--lis"],  # abbreviations are cargo's business
        ["--test", "console", "--", "--nocapture", "--test-threads=1"],
        ["--", "--list", "--partition", "1/2", "--help"],  # the test executable has a --list too
        ["--", "a", "--", "b"],
        ["-j", "1", "--features=a b"],
        ["a b", "", "-1"],
    ],
)
@pytest.mark.parametrize("session", FORWARDING, ids=by_name)
def test_a_session_with_tests_passes_on_what_it_does_not_know(
    session: StandardSession, words: list[str]
) -> None:
    assert parse(session.name, *words) == ({}, tuple(words))


def test_own_options_are_taken_from_among_the_words_for_cargo_test() -> None:
    given, rest = parse("unit-tests", "serial::", "--partition", "2/3", "--lib", "--list", "--", "--exact")
    assert given == {"partition": (2, 3), "list": True}
    assert rest == ("serial::", "--lib", "--", "--exact")


# Values


@pytest.mark.parametrize(
    "share", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/2 ", "½", "1//2", "1.0/2", "1/9999999"]
)
@pytest.mark.parametrize("name", ["clippy", "unit-tests"])
def test_a_share_that_is_none_is_one_message(name: str, share: str) -> None:
    message = refused(name, f"--partition={share}")
    assert f"invalid share of a plan {share!r}" in message
    assert "--partition 2/5" in message


@pytest.mark.parametrize("words", [["--partition"], ["--partition", "--list"]])
def test_a_share_must_be_said(words: list[str]) -> None:
    message = refused("clippy", *words)
    assert "argument --partition: expected one argument" in message
    assert "the options are --help, --list, --partition" in message


def test_a_flag_takes_no_value() -> None:
    assert "argument --list: ignored explicit argument 'x'" in refused("clippy", "--list=x")


def test_changed_may_name_a_reference() -> None:
    assert parse("clippy", "--changed") == ({"changed": ""}, ())
    assert parse("clippy", "--changed", "v1.0") == ({"changed": "v1.0"}, ())
    assert parse("unit-tests", "--changed=main", "serial::") == ({"changed": "main"}, ("serial::",))
    assert parse("doc", "--changed=") == ({"changed": ""}, ())


@pytest.mark.parametrize("option", ["--allow-dirty", "--allow-staged", "--allow-no-vcs"])
def test_what_only_matters_to_a_fix_is_refused_without(option: str, requests: list[GateRequest]) -> None:
    assert "add --fix" in refused("clippy", option)
    assert requests == []
    run("clippy", "--fix", option)
    assert requests[0].fix
    assert requests[0].rest == (option,)


# +TOOLCHAIN


@pytest.mark.parametrize("session", STANDARD, ids=by_name)
def test_a_toolchain_is_chosen_by_the_first_word(
    session: StandardSession, invocations: list[Invocation]
) -> None:
    own = {"RUSTUP_TOOLCHAIN": "1.70.0", "A": "1"}
    run(
        session.name,
        "+nightly",
        settings=Settings(directory=CRATE, env=own),
        override=Override(env={"B": "2"}),
    )
    assert invocations[0].cargo.env == {"RUSTUP_TOOLCHAIN": "nightly", "A": "1", "B": "2"}
    assert invocations[0].cargo.directory == CRATE
    assert invocations[0].rest == ()


def test_without_one_the_crate_s_variables_are_all(invocations: list[Invocation]) -> None:
    own = Settings(directory=CRATE, env={"A": "1", "B": "1"})
    run("unit-tests", settings=own, override=Override(env={"B": "2"}))
    assert invocations[0].cargo.env == {"A": "1", "B": "2"}


def test_a_later_word_is_no_toolchain(invocations: list[Invocation]) -> None:
    run("unit-tests", "--lib", "+nightly")
    assert invocations[0].cargo.env == {}
    assert invocations[0].rest == ("--lib", "+nightly")
    assert "has no option '+nightly'" in refused("clippy", "--list", "+nightly")


def test_other_words_follow_a_toolchain(invocations: list[Invocation]) -> None:
    run("unit-tests", "+nightly", "--list", "serial::")
    assert invocations[0].toolchain == "nightly"
    assert invocations[0].given.list
    assert invocations[0].rest == ("serial::",)


# What is asked of the actions


def test_a_session_asks_for_all_that_the_crate_sets(requests: list[GateRequest]) -> None:
    own = settings(CRATE, {"workspace": False, "features": ["a", "b"], "depth": 2})
    chosen = ("-p", "one", "--package=two", "--exclude", "t*", "--changed", "main")
    words = ("--list", "--partition", "1/2", *chosen, "--", "--exact")
    deadline = Deadline(minutes=2.5)
    run(
        "unit-tests-release",
        *words,
        settings=own,
        override=Override(runner="nextest", exclude=("three",)),
        deadline=deadline,
    )
    (asked,) = requests
    assert asked.cargo.directory == CRATE
    assert asked.called_from == CALLER
    assert (asked.workspace, asked.vary, asked.depth) == (False, ("a", "b"), 2)
    assert (asked.listing, asked.partition) == (True, (1, 2))
    assert asked.choice == Choice(
        packages=("one", "two"),
        without=("t*",),
        excluded=("three",),
        excluded_by="register(overrides={'unit-tests-release': {'exclude': ...}})",
        changed="main",
        own=True,
    )
    assert asked.rest == ("--", "--exact")
    assert asked.nextest
    assert asked.deadline is deadline


def test_a_session_without_settings_runs_everything(requests: list[GateRequest]) -> None:
    run("clippy")
    (asked,) = requests
    assert (asked.workspace, asked.vary, asked.depth) == (True, None, None)
    assert (asked.listing, asked.partition, asked.fix) == (False, None, False)
    assert asked.choice.is_plain
    assert not asked.nextest


@pytest.mark.parametrize("session", FORWARDING, ids=by_name)
def test_doctests_run_once_unless_the_crate_says_otherwise(
    session: StandardSession, requests: list[GateRequest]
) -> None:
    for setting in (None, True, False):
        run(session.name, override=Override(doctests=setting))
    assert [each.doctests for each in requests] == [session.name == "unit-tests", True, False]


def test_the_advisory_database_is_named_by_option_or_variable_from_where_nox_was_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[AuditRequest] = []
    monkeypatch.setattr(audit, "audit", asked.append)
    ignored = {"RUSTSEC-2020-0071": ("no call of localtime_r", "2027-06-30")}
    monkeypatch.delenv("RUSTVMM_ADVISORY_DB", raising=False)
    run("audit", settings=settings(CRATE, {"audit_ignore": ignored}))
    monkeypatch.setenv("RUSTVMM_ADVISORY_DB", "db")
    run("audit")
    run("audit", "--db", "other")
    run("audit", "--db=/other")
    assert [each.database for each in asked] == [None, CALLER / "db", CALLER / "other", Path("/other")]
    assert [type(entry) for entry in asked[0].ignored] == [Excused]


def test_fuzz_is_asked_for_what_the_crate_sets_or_the_words_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[FuzzRequest] = []
    monkeypatch.setattr(fuzzing, "fuzz", asked.append)
    rules = {"seconds": 300, "corpus": "fuzz/corpus", "targets": ["parse"]}
    run("fuzz")
    run("fuzz", settings=settings(CRATE, {"fuzz": rules}))
    words = ("--seconds=9", "--target", "a", "--target=b", "--jobs", "2", "--corpus", "kept", "--regressions")
    run("fuzz", *words, settings=settings(CRATE, {"fuzz": rules}))
    assert [(a.seconds, a.targets, a.jobs, a.corpus, a.regressions) for a in asked] == [
        (60, (), 1, None, False),
        (300, ("parse",), 1, CRATE / "fuzz/corpus", False),
        (9, ("a", "b"), 2, CALLER / "kept", True),
    ]
    for word in ("--seconds=0", "--seconds=x", "--jobs=-1"):
        option, _, value = word.partition("=")
        assert f"argument {option}: invalid number from 1 value: '{value}'" in refused("fuzz", word)


def test_doctor_and_setup_are_told_which_sessions_run_on_this_machine(
    invocations: list[Invocation],
) -> None:
    elsewhere, here = Override(platforms=("x86_64",)), Override(platforms=("aarch64",))
    of_crate = Settings(
        directory=CRATE,
        overrides={"audit": elsewhere, "doc": here},
        own=(OwnSession(name="guest", override=here),),
    )
    run("doctor", settings=replace(of_crate, skip=frozenset(["fmt"])))
    run("doctor", settings=replace(of_crate, platforms=("riscv64",)))
    gate = [s.name for s in STANDARD if "gate" in s.tags and s.name not in ("fmt", "audit")]
    first, second = (invocation.crate.here("aarch64") for invocation in invocations)
    assert [found.row.name for found in first] == [*gate, "bench", "guest"]
    assert [(found.row.name, found.platforms) for found in second] == [
        ("doc", ("aarch64",)),
        ("guest", ("aarch64",)),
    ]


ENGINE_OPTIONS = ["--help", "--engine", "--image", "--pull", "--dry-run"]


@pytest.mark.parametrize("name", ["container", "reproduce"])
def test_what_runs_in_a_container_has_the_options_of_the_contract(name: str) -> None:
    assert standard.parser(session(name)).known == ENGINE_OPTIONS
    assert "did you mean '--engine'?" in refused(name, "--engin")
    assert "choose from" in refused(name, "--engine", "rkt")
    assert "choose from" in refused(name, "--pull=sometimes")


@pytest.mark.parametrize(
    ("words", "sessions", "rest"),
    [
        ([], [], ()),
        (["unit-tests", "coverage"], ["unit-tests", "coverage"], ()),
        (["--pull", "never", "doc", "--", "--changed"], ["doc"], ("--changed",)),
        (["unit-tests", "--", "--list", "--", "--exact"], ["unit-tests"], ("--list", "--", "--exact")),
        (["+nightly", "doc"], ["doc"], ()),
    ],
)
def test_words_after_another_pair_of_dashes_are_for_the_sessions_in_the_container(
    words: list[str], sessions: list[str], rest: tuple[str, ...], invocations: list[Invocation]
) -> None:
    run("container", *words)
    assert invocations[0].given.sessions == sessions
    assert invocations[0].rest == rest


def test_words_for_sessions_need_a_session() -> None:
    assert "there is no session that the arguments are for" in refused("container", "--", "--list")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("unit-test", "did you mean 'unit-tests'?"),
        ("style", "did you mean 'fmt'?"),
        ("own(feature='on')", "did you mean \"own(feature='one')\"?"),
        ("q", "there are: audit, bench, build-gnu"),
    ],
)
def test_a_session_that_is_not_there_starts_no_container(name: str, meant: str) -> None:
    message = refused("container", "doc", name)
    assert f"there is no session {name!r}" in message
    assert meant in message


def test_a_container_is_asked_for_all_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from rustvmm_sessions.container import run as container

    asked: list[container.ContainerRequest] = []
    monkeypatch.setattr(container, "run_in_container", asked.append)
    crate = Settings(directory=CRATE, overrides={"doc": Override(devices=("/dev/null",))})
    options = ("--engine=docker", "--image=i", "--pull=always", "--dry-run")
    run(
        "container",
        "+nightly",
        *options,
        "doc",
        "--",
        "--changed",
        settings=crate,
        override=Override(timeout_minutes=2),
        deadline=Deadline(minutes=2),
    )
    run("container")

    assert asked[0] == container.ContainerRequest(
        directory=CRATE,
        called_from=CALLER,
        sessions=(crate.session("doc"),),
        arguments=("--changed",),
        engine="docker",
        image="i",
        pull="always",
        toolchain="nightly",
        deadline=Deadline(minutes=2),
        dry_run=True,
    )
    assert asked[1] == container.ContainerRequest(directory=CRATE, called_from=CALLER)


def test_a_session_has_one_time_limit_by_nox_by_the_command_and_by_pytest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[bench.BenchRequest] = []
    monkeypatch.setattr(bench, "check_benchmarks", asked.append)
    monkeypatch.chdir(tmp_path)
    for crate in (
        Settings(directory=tmp_path),
        settings(tmp_path, {"overrides": {"bench": {"timeout_minutes": 5}}}),
    ):
        monkeypatch.setattr(noxfile, "settings_in", lambda _, crate=crate: crate)
        deadline = Deadline(minutes=crate.session("bench").timeout_minutes)
        standard.run("bench", words=[], crate=crate, deadline=deadline, called_from=tmp_path, report=Report())
        assert cli.main(["bench"]) == 0
        noxfile.run("bench", [], crate)
        assert cli.main(["bench", "--max-minutes=7"]) == 0
    assert [each.deadline.minutes for each in asked] == [60, 60, 60, 7, 5, 5, 5, 7]


def test_a_parser_is_argparse_s_that_raises_instead_of_ending_the_process() -> None:
    parser = standard.parser(session("clippy"))
    assert isinstance(parser, argparse.ArgumentParser)
    with pytest.raises(UserError, match="anything"):
        Parser.error(parser, "anything")
