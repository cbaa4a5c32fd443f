"""What the standard sessions do: their options after ``--``, and the action each starts."""

from __future__ import annotations

import argparse
import datetime as dt
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rustvmm_sessions.bench.model import SESSION
from rustvmm_sessions.cargo import Cargo, machine
from rustvmm_sessions.catalog import STANDARD
from rustvmm_sessions.config import Override, Settings, settings
from rustvmm_sessions.console import pass_on
from rustvmm_sessions.container import PULL, Kind
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.model import Backend, Profile, Scope
from rustvmm_sessions.pipeline.options import add_options
from rustvmm_sessions.tools import check_device
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rustvmm_sessions.actions.bench import Delivery
    from rustvmm_sessions.actions.gate import GateRequest
    from rustvmm_sessions.catalog import StandardSession
    from rustvmm_sessions.commits import CommitRules
    from rustvmm_sessions.config import OwnSession
    from rustvmm_sessions.pipeline.model import Pipeline

PROFILE_VARIABLE = "RUSTVMM_PROFILE"


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One run of a standard session.

    Attributes:
        session: Which one.
        settings: What the crate's ``register()`` call says.
        override: What it says of this session.
        given: The options after ``--``.
        rest: Words for ``cargo test``.
        invoked_from: The directory where nox was called, which paths in options start from.
        toolchain: The name after a leading ``+``; empty for cargo's choice.
        own: The crate's own sessions.
    """

    session: StandardSession
    settings: Settings
    override: Override
    given: argparse.Namespace
    rest: tuple[str, ...]
    invoked_from: Path
    toolchain: str
    own: tuple[OwnSession, ...] = ()

    @property
    def cargo(self) -> Cargo:
        """Cargo in the crate's directory, with the session's variables."""
        chosen = {"RUSTUP_TOOLCHAIN": self.toolchain} if self.toolchain else {}
        env = {**self.settings.env, **self.override.env, **chosen}
        return Cargo(directory=self.settings.directory, env=env)

    @property
    def timeout(self) -> float:
        """The session's time limit in seconds."""
        return 60 * self.override.minutes(self.session.timeout_minutes)

    def path(self, name: str) -> Path | None:
        """Return the path that an option gives, or None."""
        value: Path | None = getattr(self.given, name)
        return value and self.invoked_from / value


def run(  # noqa: PLR0913 - all that an invocation is made of
    session: StandardSession,
    *,
    parser: Parser,
    words: Sequence[str],
    settings: Settings,
    override: Override,
    invoked_from: Path,
    own: Sequence[OwnSession] = (),
) -> None:
    """Run a standard session with the words after ``--``; with ``--help``, show its options.

    Raises:
        UserError: An option is wrong, or the session says so.
        CheckFailed: The session's check does not pass.
    """
    toolchain = ""
    if words and words[0].startswith("+") and words[0] != "+":
        toolchain, words = words[0][1:], words[1:]
    given, rest = parser.parse(words)
    if given.help:
        pass_on(parser.format_help(), sys.stdout)
        return
    invocation = Invocation(
        session=session,
        settings=settings,
        override=override,
        given=given,
        rest=rest,
        invoked_from=invoked_from,
        toolchain=toolchain,
        own=tuple(own),
    )
    _SESSIONS[session.name][1](invocation)


class Parser(argparse.ArgumentParser):
    """Options of a session: no abbreviations, and errors that name the options there are."""

    def __init__(self, session: StandardSession) -> None:
        forwards = " [ARGUMENT OF CARGO TEST ...]" if session.forwards else ""
        super().__init__(
            prog=f"nox -s {session.name} --",
            usage=f"nox -s {session.name} -- [+TOOLCHAIN] [OPTION ...]{forwards}",
            add_help=False,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=100, max_help_position=30),
        )
        self.session = session
        self.passes_on = False
        """Whether words after another ``--`` are for sessions that it runs."""
        self.add_argument("--help", action="store_true", help="show this help")

    @property
    def known(self) -> list[str]:
        """The long names of all options."""
        return [string for action in self._actions for string in action.option_strings]

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print before it exits with nox."""
        raise UserError(
            message, where=f"nox -s {self.session.name} --", fix=f"the options are {', '.join(self.known)}"
        )

    def parse(self, words: Sequence[str]) -> tuple[argparse.Namespace, tuple[str, ...]]:
        """Return the options, and the words that the session does not know but forwards."""
        own = list(words[: words.index("--")]) if "--" in words else list(words)
        given, rest = self.parse_known_args(own)
        if self.passes_on and not rest:
            return given, tuple(words[len(own) + 1 :])
        rest += words[len(own) :]
        if rest and not self.session.forwards:
            word = rest[0].partition("=")[0]
            raise UserError(
                f"the session {self.session.name} has no option {word!r}",
                where=f"nox -s {self.session.name} -- {' '.join(words)}",
                fix=f"{did_you_mean(word, self.known)} (all of them: {', '.join(self.known)})",
            )
        return given, tuple(rest)


def parser(session: StandardSession) -> Parser:
    """Return the parser of a session's options."""
    made = Parser(session)
    _SESSIONS[session.name][0](made)
    return made


# coverage


def _coverage_options(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--profile",
        choices=[str(profile) for profile in Profile],  # messages show what is to be typed
        help="ci (default; also by RUSTVMM_PROFILE) or devel, which records",
    )
    backends = [str(backend) for backend in Backend]
    add("--backend", choices=backends, default=str(Backend.AUTO), help="what counts the lines")
    add(
        "--scope",
        choices=[str(scope) for scope in Scope],
        help="all members of the workspace, or this package",
    )
    add("--no-default-features", action="store_true", help="without the crate's default features")
    add(
        "--html",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="DIR",
        help="write HTML pages, and print the path of the first",
    )
    add("--lcov", type=Path, metavar="FILE", help="write an LCOV tracefile")
    add("--cobertura", type=Path, metavar="FILE", help="write a Cobertura report")
    add("--json", type=Path, metavar="FILE", help="write the outcome as JSON, also when the check fails")
    add(
        "--diff",
        nargs="?",
        const="",
        metavar="REF",
        help="coverage of the lines changed since the merge base with REF (default: upstream; nothing is "
        "fetched)",
    )
    add(
        "--repeat",
        type=_count,
        default=1,
        metavar="N",
        help="run the tests N times, name lines not always reached",
    )
    add("--allow-lower", action="store_true", help="let devel record a lower value")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return int(text)


def profile(given: str | None) -> Profile:
    """Return the profile that an option gives, else the one of RUSTVMM_PROFILE, else ``ci``.

    Raises:
        UserError: There is none of that name.
    """
    name = given or os.environ.get(PROFILE_VARIABLE) or Profile.CI
    if name not in list(Profile):
        raise UserError(
            f"there is no profile {name!r}",
            where=f"{PROFILE_VARIABLE}={name}",
            fix=did_you_mean(name, list(Profile)),
        )
    return Profile(name)


def _coverage(invocation: Invocation) -> None:
    from rustvmm_sessions.actions.coverage import CoverageRequest, check_coverage  # noqa: PLC0415 - late

    given, settings = invocation.given, invocation.settings
    chosen = profile(given.profile)
    if given.allow_lower and chosen is not Profile.DEVEL:
        raise UserError(
            "--allow-lower has no meaning under the profile ci, which never writes",
            where="--allow-lower",
            fix="add --profile devel",
        )
    check_coverage(
        CoverageRequest(
            directory=settings.directory,
            profile=chosen,
            scope=Scope(given.scope or (Scope.WORKSPACE if settings.workspace else Scope.CRATE)),
            backend=Backend(given.backend),
            default_features=not given.no_default_features,
            tolerance=settings.coverage_tolerance,
            allow_lower=given.allow_lower,
            repeat=given.repeat,
            html=given.html if given.html == Path() else invocation.path("html"),
            lcov=invocation.path("lcov"),
            cobertura=invocation.path("cobertura"),
            json=invocation.path("json"),
            diff=given.diff,
            timeout=invocation.timeout,
            env=invocation.cargo.env,
        )
    )


# The sessions that cargo does


def _fix_option(parser: Parser) -> None:
    parser.add_argument("--fix", action="store_true", help="mend what can be mended, instead of checking")


def _changed_option(parser: Parser) -> None:
    parser.add_argument(
        "--changed",
        nargs="?",
        const="",
        metavar="REF",
        help="only members touched since the merge base with REF (default: upstream; nothing is fetched), "
        "and their dependents",
    )


def _share(text: str) -> tuple[int, int]:
    from rustvmm_sessions.features import parse_partition  # noqa: PLC0415 - late

    return parse_partition(text)


def _matrix_options(parser: Parser) -> None:
    add = parser.add_argument
    add("--list", action="store_true", help="print the plan and what it saves, run nothing")
    add("--partition", type=_share, metavar="I/N", help="run a share of the plan")
    _changed_option(parser)


_ALLOW = ("--allow-dirty", "--allow-staged", "--allow-no-vcs")


def _clippy_options(parser: Parser) -> None:
    _matrix_options(parser)
    _fix_option(parser)
    for option in _ALLOW:
        parser.add_argument(option, action="store_true", help=f"let --fix change files as cargo's {option}")


def _gate_request(invocation: Invocation) -> GateRequest:
    from rustvmm_sessions.actions.gate import GateRequest  # noqa: PLC0415 - late

    given, settings, override = vars(invocation.given), invocation.settings, invocation.override
    allow = [option for option in _ALLOW if given.get(option[2:].replace("-", "_"))]
    if allow and not given["fix"]:
        raise UserError(f"{allow[0]} has a meaning with --fix only", where=allow[0], fix="add --fix")
    doctests = override.doctests
    return GateRequest(
        cargo=invocation.cargo,
        session=invocation.session,
        called_from=invocation.invoked_from,
        workspace=settings.workspace,
        vary=settings.features,
        depth=settings.depth,
        doctests=invocation.session.name == "unit-tests" if doctests is None else doctests,
        nextest=override.runner == "nextest",
        fix=given.get("fix", False),
        listing=given.get("list", False),
        partition=given.get("partition"),
        changed=given.get("changed"),
        rest=(*allow, *invocation.rest),
        timeout=invocation.timeout,
    )


def _fmt(invocation: Invocation) -> None:
    from rustvmm_sessions.actions.gate import check_format  # noqa: PLC0415 - late

    check_format(_gate_request(invocation))


def _doc(invocation: Invocation) -> None:
    from rustvmm_sessions.actions.gate import build_documentation  # noqa: PLC0415 - late

    build_documentation(_gate_request(invocation))


def _matrix(invocation: Invocation) -> None:
    from rustvmm_sessions.actions.gate import run_matrix  # noqa: PLC0415 - late

    run_matrix(_gate_request(invocation))


# commit-format


def add_commit_format_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that the session and the command have in common."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--message", type=Path, metavar="FILE", help="check the message in FILE instead")
    one.add_argument(
        "--install-hook",
        action="store_true",
        help="check each message as it is written, by a commit-msg hook",
    )


COMMIT_FORMAT: tuple[str, ...] = (sys.executable, "-m", "rustvmm_sessions.cli", "commit-format")
"""The command that does what the session does."""


def _commit_format(invocation: Invocation) -> None:
    from rustvmm_sessions import zipapp  # noqa: PLC0415 - late

    command = COMMIT_FORMAT  # reads the noxfile of the work tree that is committed in, where there is one
    if running := zipapp.archive():
        command = ("env", f"PYTHONPATH={running}", *command)
    check_commit_format(
        invocation.given,
        directory=invocation.settings.directory,
        rules=invocation.settings.commit_format,
        invoked_from=invocation.invoked_from,
        command=(*command, "--message"),
    )


def settings_in(directory: Path) -> Settings:
    """Return what the noxfile in a directory registers; the defaults where there is none.

    Raises:
        UserError: The noxfile cannot be run.
    """
    if not (directory / "noxfile.py").is_file():
        return settings(directory, {})
    from rustvmm_sessions.sessions import settings_of  # noqa: PLC0415 - nox is slow to import

    return settings_of(directory / "noxfile.py")


def override_in(settings: Settings, session: str) -> Override:
    """Return what a crate sets for a session, where nox does not run it; its devices are there.

    Raises:
        UserError: One of them is not.
    """
    override = settings.overrides.get(session, Override())
    for device in override.devices:
        check_device(device)
    return override


def check_commit_format(
    given: argparse.Namespace,
    *,
    directory: Path,
    rules: CommitRules,
    invoked_from: Path,
    command: tuple[str, ...],
) -> None:
    """Do what the options of `add_commit_format_options` say; a hook runs `command`."""
    from rustvmm_sessions.actions import commit_format  # noqa: PLC0415 - late

    request = commit_format.CommitFormatRequest(directory=directory, rules=rules)
    if given.install_hook:
        commit_format.install_hook(request, command)
    elif given.message is not None:
        commit_format.check_message(request, invoked_from / given.message)
    else:
        commit_format.check_commits(request)


# bench


def add_bench_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that the session and the command have in common."""
    parser.set_defaults(command_line=SESSION)
    add = parser.add_argument
    add(
        "--base",
        default="",
        metavar="REF",
        help="compare with the merge base with REF, which is known here (default: upstream, fetched)",
    )
    add("--package", default="", metavar="NAME", help="the package whose benchmarks are meant; or PACKAGE")
    add("--filter", default="", metavar="REGEX", help="only benchmarks in whose id it is found")
    add(
        "--threshold",
        type=_percent,
        metavar="PERCENT",
        help="the slow-down that still passes (default: register(bench=...)'s, else 1)",
    )
    add("--max-minutes", type=_minutes, metavar="N", help="the time for all of it, building included")
    add("--json", type=Path, metavar="FILE", help="write the result with all raw figures")
    add("--html", type=Path, metavar="FILE", help="write a page with all figures")
    add("--critcmp", type=Path, metavar="DIR", help="write both sides as baselines for critcmp")
    outcome = parser.add_mutually_exclusive_group()
    outcome.add_argument("--report-only", action="store_true", help="fail on no verdict")
    outcome.add_argument("--strict", action="store_true", help="fail also where noise hides the answer")
    add(
        "--witness",
        choices=["auto", "off"],
        default="auto",
        help="count instructions by valgrind where it is there and times differ",
    )


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of percent from 0 to 1000")
    return value


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")
    return value


def _bench(invocation: Invocation) -> None:
    minutes = invocation.given.max_minutes
    check_benchmarks(
        invocation.given,
        cargo=invocation.cargo,
        settings=invocation.settings,
        timeout=invocation.timeout if minutes is None else 60 * minutes,
        invoked_from=invocation.invoked_from,
    )


def check_benchmarks(
    given: argparse.Namespace,
    *,
    cargo: Cargo,
    settings: Settings,
    timeout: float | None,
    invoked_from: Path,
) -> None:
    """Do what the options of `add_bench_options` say."""
    from rustvmm_sessions.actions import bench  # noqa: PLC0415 - late

    bench.check_benchmarks(
        bench.BenchRequest(
            cargo=cargo,
            workspace=settings.workspace,
            package=given.package or cargo.variable("PACKAGE"),
            base=given.base,
            filter=given.filter,
            rules=settings.bench,
            threshold=given.threshold,
            timeout=timeout,
            witness=given.witness == "auto",
            delivery=bench_delivery(given, invoked_from),
            command=given.command_line,
        )
    )


def bench_delivery(given: argparse.Namespace, invoked_from: Path) -> Delivery:
    """Return what the options of `add_bench_options` say of the report."""
    from rustvmm_sessions.actions.bench import Delivery  # noqa: PLC0415 - late

    return Delivery(
        json=given.json and invoked_from / given.json,
        html=given.html and invoked_from / given.html,
        critcmp=given.critcmp and invoked_from / given.critcmp,
        strict=given.strict,
        report_only=given.report_only,
    )


# audit, setup, doctor


def _audit_options(parser: Parser) -> None:
    parser.add_argument(
        "--db", type=Path, metavar="DIR", help="a local advisory database; nothing is fetched"
    )


def _audit(invocation: Invocation) -> None:
    from rustvmm_sessions.actions.audit import DATABASE_VARIABLE, AuditRequest, audit  # noqa: PLC0415 - late

    named = os.environ.get(DATABASE_VARIABLE)
    audit(
        AuditRequest(
            cargo=invocation.cargo,
            ignored=invocation.settings.audit_ignore,
            database=invocation.path("db") or (invocation.invoked_from / named if named else None),
            today=dt.datetime.now(tz=dt.UTC).date(),
            timeout=invocation.timeout,
        )
    )


def _setup_options(parser: Parser) -> None:
    parser.add_argument(
        "--hooks", action="store_true", help="run .buildkite/hooks instead, with the variables of an agent"
    )


def _sessions_here(invocation: Invocation) -> dict[str, Override]:
    """Return the sessions that run on this machine: the gate's, and those that the crate has settings for."""
    settings = invocation.settings
    gate = {s.name: Override() for s in STANDARD if "gate" in s.tags and s.name not in settings.skip}
    return {
        name: override
        for name, override in (gate | settings.overrides).items()
        if machine() in (override.platforms or settings.platforms or (machine(),))
    }


def _setup(invocation: Invocation) -> None:
    if invocation.given.hooks:
        from rustvmm_sessions.actions.hooks import run_hooks  # noqa: PLC0415 - late

        run_hooks(invocation.settings.directory)
        return
    from rustvmm_sessions.actions.setup import provide_tools  # noqa: PLC0415 - late

    provide_tools(invocation.cargo, _sessions_here(invocation))


def _doctor_options(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _doctor(invocation: Invocation) -> None:
    from rustvmm_sessions.actions.doctor import examine, report  # noqa: PLC0415 - late

    report(examine(invocation.cargo, _sessions_here(invocation)), as_json=invocation.given.json)


def _pipeline(invocation: Invocation) -> None:
    from rustvmm_sessions.actions.pipeline import deliver, of_sessions  # noqa: PLC0415 - late

    pipeline = of_sessions(invocation.settings, invocation.own, invocation.given.format)
    deliver(pipeline, invocation.given, invocation.invoked_from)


# container, reproduce


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what runs in a container."""
    add = parser.add_argument
    kinds = [str(kind) for kind in Kind]
    add("--engine", choices=kinds, help="(default: the first that works; also by RUSTVMM_CONTAINER_ENGINE)")
    add("--image", default="", metavar="IMAGE", help="another image than CI's")
    add("--pull", choices=PULL, default="missing", help="when to fetch the image (default: missing)")
    add("--dry-run", action="store_true", help="print the command, run nothing")


def _container_options(parser: Parser) -> None:
    parser.passes_on = True
    parser.usage = "nox -s container -- [+TOOLCHAIN] [OPTION ...] [SESSION ...] [-- ARGUMENT ...]"
    parser.add_argument("sessions", nargs="*", metavar="SESSION", help="a session to run; none for a shell")
    add_engine_options(parser)


def _container(invocation: Invocation) -> None:
    from rustvmm_sessions.actions.container import ContainerRequest, run_in_container  # noqa: PLC0415 - late

    given, minutes = invocation.given, invocation.override.timeout_minutes
    if invocation.rest and not given.sessions:
        raise UserError(
            "there is no session that the arguments are for",
            where=f"-- {' '.join(invocation.rest)}",
            fix="name it before the second --: nox -s container -- unit-tests -- ARGUMENT",
        )
    run_in_container(
        ContainerRequest(
            directory=invocation.settings.directory,
            called_from=invocation.invoked_from,
            sessions=tuple(given.sessions),
            arguments=invocation.rest,
            overrides=invocation.settings.overrides,
            engine=given.engine,
            image=given.image,
            pull=given.pull,
            toolchain=invocation.toolchain,
            timeout=None if minutes is None else 60 * minutes,
            dry_run=given.dry_run,
        )
    )


def add_reproduce_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that the session and the command have in common."""
    parser.add_argument("label", nargs="?", default="", metavar="LABEL", help="the step's label")
    add_engine_options(parser)


def _reproduce_options(parser: Parser) -> None:
    parser.usage = "nox -s reproduce -- [+TOOLCHAIN] [OPTION ...] LABEL"
    add_reproduce_options(parser)


def _reproduce(invocation: Invocation) -> None:
    from rustvmm_sessions.actions.pipeline import of_sessions  # noqa: PLC0415 - late

    settings = invocation.settings
    pipeline = of_sessions(settings, invocation.own, "buildkite")
    reproduce_step(pipeline, invocation.given, settings.directory, invocation.toolchain)


def reproduce_step(
    pipeline: Pipeline, given: argparse.Namespace, directory: Path, toolchain: str = ""
) -> None:
    """Do what the options of `add_reproduce_options` say."""
    from rustvmm_sessions.actions.reproduce import ReproduceRequest, reproduce  # noqa: PLC0415 - late

    request = ReproduceRequest(
        directory=directory,
        label=given.label,
        toolchain=toolchain,
        engine=given.engine,
        image=given.image,
        pull=given.pull,
        dry_run=given.dry_run,
    )
    reproduce(pipeline, request)


_SESSIONS: dict[str, tuple[Callable[[Parser], None], Callable[[Invocation], None]]] = {
    "fmt": (_fix_option, _fmt),
    "clippy": (_clippy_options, _matrix),
    "build-gnu": (_matrix_options, _matrix),
    "build-musl": (_matrix_options, _matrix),
    "doc": (_changed_option, _doc),
    "unit-tests": (_matrix_options, _matrix),
    "unit-tests-release": (_matrix_options, _matrix),
    "unit-tests-musl": (_matrix_options, _matrix),
    "unit-tests-musl-release": (_matrix_options, _matrix),
    "coverage": (_coverage_options, _coverage),
    "commit-format": (add_commit_format_options, _commit_format),
    "audit": (_audit_options, _audit),
    "bench": (add_bench_options, _bench),
    "pipeline": (add_options, _pipeline),
    "setup": (_setup_options, _setup),
    "doctor": (_doctor_options, _doctor),
    "container": (_container_options, _container),
    "reproduce": (_reproduce_options, _reproduce),
}
