"""What the standard sessions do: their options after ``--``, and the action each starts."""

from __future__ import annotations

import argparse
import datetime as dt
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.console import pass_on
from rustvmm_sessions.container.model import PULL, Kind
from rustvmm_sessions.coverage.measurement import Backend, Profile, Scope
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.invocation import Invocation, Parser
from rustvmm_sessions.pipeline.options import add_options
from rustvmm_sessions.rust.cargo import machine
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rustvmm_sessions.bench.compare import Delivery
    from rustvmm_sessions.catalog import StandardSession
    from rustvmm_sessions.deadline import Deadline
    from rustvmm_sessions.gate.matrix import GateRequest
    from rustvmm_sessions.pipeline.model import Pipeline
    from rustvmm_sessions.settings import Settings

PROFILE_VARIABLE = "RUSTVMM_PROFILE"


def run(
    name: str,
    *,
    words: Sequence[str],
    crate: Settings,
    deadline: Deadline,
    called_from: Path,
) -> None:
    """Run a standard session with the words after ``--``; with ``--help``, show its options.

    Raises:
        UserError: An option is wrong, or the session says so.
        CheckFailed: The session's check does not pass.
    """
    settings = crate.session(name)
    toolchain = ""
    if words and words[0].startswith("+") and words[0] != "+":
        toolchain, words = words[0][1:], words[1:]
    known = parser(settings.row)
    given, rest = known.parse(words)
    if given.help:
        pass_on(known.format_help(), sys.stdout)
        return
    begin(
        Invocation(
            crate=crate,
            settings=settings,
            deadline=deadline,
            given=given,
            rest=rest,
            called_from=called_from,
            toolchain=toolchain,
            command=f"nox -s {name} --",
        )
    )


def begin(invocation: Invocation) -> None:
    """Run a session whose options are parsed already."""
    _SESSIONS[invocation.settings.row.name][1](invocation)


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
    from rustvmm_sessions.coverage.check import CoverageRequest, check_coverage  # noqa: PLC0415 - late

    given, crate = invocation.given, invocation.crate
    chosen = profile(given.profile)
    if given.allow_lower and chosen is not Profile.DEVEL:
        raise UserError(
            "--allow-lower has no meaning under the profile ci, which never writes",
            where="--allow-lower",
            fix="add --profile devel",
        )
    check_coverage(
        CoverageRequest(
            cargo=invocation.cargo,
            profile=chosen,
            scope=Scope(given.scope or (Scope.WORKSPACE if crate.workspace else Scope.CRATE)),
            backend=Backend(given.backend),
            default_features=not given.no_default_features,
            tolerance=crate.coverage_tolerance,
            allow_lower=given.allow_lower,
            repeat=given.repeat,
            html=given.html if given.html == Path() else invocation.path("html"),
            lcov=invocation.path("lcov"),
            cobertura=invocation.path("cobertura"),
            json=invocation.path("json"),
            diff=given.diff,
            deadline=invocation.deadline,
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
    from rustvmm_sessions.gate.plan import parse_partition  # noqa: PLC0415 - late

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
    from rustvmm_sessions.gate.matrix import GateRequest  # noqa: PLC0415 - late

    given, crate, settings = vars(invocation.given), invocation.crate, invocation.settings
    allow = [option for option in _ALLOW if given.get(option[2:].replace("-", "_"))]
    if allow and not given["fix"]:
        raise UserError(f"{allow[0]} has a meaning with --fix only", where=allow[0], fix="add --fix")
    return GateRequest(
        cargo=invocation.cargo,
        session=settings.row,
        called_from=invocation.called_from,
        workspace=crate.workspace,
        vary=crate.features,
        depth=crate.depth,
        doctests=settings.doctests,
        nextest=settings.nextest,
        fix=given.get("fix", False),
        listing=given.get("list", False),
        partition=given.get("partition"),
        changed=given.get("changed"),
        rest=(*allow, *invocation.rest),
        deadline=invocation.deadline,
    )


def _fmt(invocation: Invocation) -> None:
    from rustvmm_sessions.gate.matrix import check_format  # noqa: PLC0415 - late

    check_format(_gate_request(invocation))


def _doc(invocation: Invocation) -> None:
    from rustvmm_sessions.gate.matrix import build_documentation  # noqa: PLC0415 - late

    build_documentation(_gate_request(invocation))


def _matrix(invocation: Invocation) -> None:
    from rustvmm_sessions.gate.matrix import run_matrix  # noqa: PLC0415 - late

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


def _commit_format(invocation: Invocation) -> None:
    from rustvmm_sessions import zipapp  # noqa: PLC0415 - late
    from rustvmm_sessions.commits import check as commit_format  # noqa: PLC0415 - late

    given, crate = invocation.given, invocation.crate
    request = commit_format.CommitFormatRequest(directory=crate.directory, rules=crate.commit_format)
    if given.install_hook:
        # It reads the noxfile of the work tree that is committed in, where there is one.
        here: tuple[str, ...] = ("env", f"PYTHONPATH={running}") if (running := zipapp.archive()) else ()
        command = (*here, sys.executable, "-m", "rustvmm_sessions.cli", "commit-format", "--message")
        commit_format.install_hook(request, command)
    elif given.message is not None:
        commit_format.check_message(request, invocation.called_from / given.message)
    else:
        commit_format.check_commits(request)


# bench


def add_bench_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that the session and the command have in common."""
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
    from rustvmm_sessions.bench import compare as bench  # noqa: PLC0415 - late

    given, cargo, deadline = invocation.given, invocation.cargo, invocation.deadline
    if given.max_minutes is not None:
        deadline = replace(deadline, minutes=given.max_minutes, setting="--max-minutes")
    bench.check_benchmarks(
        bench.BenchRequest(
            cargo=cargo,
            workspace=invocation.crate.workspace,
            package=given.package or cargo.variable("PACKAGE"),
            base=given.base,
            filter=given.filter,
            rules=invocation.crate.bench,
            threshold=given.threshold,
            deadline=deadline,
            witness=given.witness == "auto",
            delivery=bench_delivery(given, invocation.called_from),
            command=invocation.command,
        )
    )


def bench_delivery(given: argparse.Namespace, called_from: Path) -> Delivery:
    """Return what the options of `add_bench_options` say of the report."""
    from rustvmm_sessions.bench.compare import Delivery  # noqa: PLC0415 - late

    return Delivery(
        json=given.json and called_from / given.json,
        html=given.html and called_from / given.html,
        critcmp=given.critcmp and called_from / given.critcmp,
        strict=given.strict,
        report_only=given.report_only,
    )


# audit, setup, doctor


def _audit_options(parser: Parser) -> None:
    parser.add_argument(
        "--db", type=Path, metavar="DIR", help="a local advisory database; nothing is fetched"
    )


def _audit(invocation: Invocation) -> None:
    from rustvmm_sessions.audit import DATABASE_VARIABLE, AuditRequest, audit  # noqa: PLC0415 - late

    named = os.environ.get(DATABASE_VARIABLE)
    audit(
        AuditRequest(
            cargo=invocation.cargo,
            ignored=invocation.crate.audit_ignore,
            database=invocation.path("db") or (invocation.called_from / named if named else None),
            today=dt.datetime.now(tz=dt.UTC).date(),
            deadline=invocation.deadline,
        )
    )


def _setup_options(parser: Parser) -> None:
    parser.add_argument(
        "--hooks", action="store_true", help="run .buildkite/hooks instead, with the variables of an agent"
    )


def _setup(invocation: Invocation) -> None:
    if invocation.given.hooks:
        from rustvmm_sessions.pipeline.hooks import run_hooks  # noqa: PLC0415 - late

        run_hooks(invocation.crate.directory)
        return
    from rustvmm_sessions.tooling.setup import provide_tools  # noqa: PLC0415 - late

    provide_tools(invocation.cargo, invocation.crate.here(machine()))


def _doctor_options(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _doctor(invocation: Invocation) -> None:
    from rustvmm_sessions.tooling.doctor import examine, report  # noqa: PLC0415 - late

    report(examine(invocation.cargo, invocation.crate.here(machine())), as_json=invocation.given.json)


def _pipeline(invocation: Invocation) -> None:
    from rustvmm_sessions.pipeline.generate import deliver, of_sessions  # noqa: PLC0415 - late

    pipeline = of_sessions(invocation.crate, invocation.given.format)
    deliver(pipeline, invocation.given, invocation.called_from)


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
    from rustvmm_sessions.container.run import ContainerRequest, run_in_container  # noqa: PLC0415 - late

    given, crate = invocation.given, invocation.crate
    if invocation.rest and not given.sessions:
        raise UserError(
            "there is no session that the arguments are for",
            where=f"-- {' '.join(invocation.rest)}",
            fix="name it before the second --: nox -s container -- unit-tests -- ARGUMENT",
        )
    limited = "container" in crate.overrides and crate.overrides["container"].timeout_minutes is not None
    run_in_container(
        ContainerRequest(
            directory=crate.directory,
            called_from=invocation.called_from,
            sessions=tuple(map(crate.session, given.sessions)),
            arguments=invocation.rest,
            engine=given.engine,
            image=given.image,
            pull=given.pull,
            toolchain=invocation.toolchain,
            deadline=invocation.deadline if limited else replace(invocation.deadline, minutes=None),
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
    from rustvmm_sessions.pipeline.generate import of_sessions  # noqa: PLC0415 - late

    pipeline = of_sessions(invocation.crate, "buildkite")
    reproduce_step(pipeline, invocation.given, invocation.crate.directory, invocation.toolchain)


def reproduce_step(
    pipeline: Pipeline, given: argparse.Namespace, directory: Path, toolchain: str = ""
) -> None:
    """Do what the options of `add_reproduce_options` say."""
    from rustvmm_sessions.container.reproduce import ReproduceRequest, reproduce  # noqa: PLC0415 - late

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
