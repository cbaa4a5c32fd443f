"""The options of the sessions that cargo does, and what they do with them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from rustvmm_sessions import outcomes
from rustvmm_sessions.console import in_ci, say
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.invocation import add_member_options

if TYPE_CHECKING:
    from rustvmm_sessions.gate.commands import GateRequest
    from rustvmm_sessions.gate.plan import Share
    from rustvmm_sessions.invocation import Invocation, Parser


_FIX_HELP = "fix what can be fixed, instead of checking"


def add_fmt_options(parser: Parser) -> None:
    """Add the options of the session fmt."""
    parser.add_argument("--fix", action="store_true", help=_FIX_HELP)
    add_doc_options(parser)


def add_doc_options(parser: Parser) -> None:
    """Add the options of sessions that run cargo once."""
    parser.add_argument("--list", action="store_true", help="print what would run, run nothing")
    add_member_options(parser)


def _share(text: str) -> Share:
    from rustvmm_sessions.gate.plan import parse_partition

    return parse_partition(text)


def add_matrix_options(parser: Parser) -> None:
    """Add the options of sessions with a feature matrix."""
    add = parser.add_argument
    add("--list", action="store_true", help="print the plan and what it saves, run nothing")
    add("--partition", type=_share, metavar="I/N", help="run a share of the plan")
    add_member_options(parser)


def _repetitions(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 2 <= int(text) <= 100_000):
        raise ArgumentTypeError(f"{text!r} is not a number of runs from 2 to 100000")
    return int(text)


def add_test_options(parser: Parser) -> None:
    """Add the options of sessions that run tests."""
    add_matrix_options(parser)
    add = parser.add_argument
    add(
        "--repeat",
        type=_repetitions,
        default=1,
        metavar="N",
        help="run the tests N times, and name those that fail and how often",
    )
    add("--until-fail", action="store_true", help="with --repeat: stop after the first run that fails")
    add(
        "--cached",
        action="store_true",
        help="do not run test executables again that have passed with the same bytes, environment, files "
        "and machine; not in CI",
    )


_ALLOW = ("--allow-dirty", "--allow-staged", "--allow-no-vcs")


def add_clippy_options(parser: Parser) -> None:
    """Add the options of the session clippy."""
    add_matrix_options(parser)
    parser.add_argument("--fix", action="store_true", help=_FIX_HELP)
    for option in _ALLOW:
        parser.add_argument(option, action="store_true", help=f"let --fix change files as cargo's {option}")


def _gate_request(invocation: Invocation) -> GateRequest:
    from rustvmm_sessions.gate.commands import GateRequest
    from rustvmm_sessions.rust.quarantine import Quarantine

    given, crate, settings = vars(invocation.given), invocation.crate, invocation.settings
    choice = invocation.choice
    allow = [option for option in _ALLOW if given.get(option[2:].replace("-", "_"))]
    if allow and not given["fix"]:
        raise UserError(f"{allow[0]} has a meaning with --fix only", where=allow[0], fix="add --fix")
    if given.get("until_fail") and given["repeat"] == 1:
        raise UserError("--until-fail needs --repeat", where="--until-fail", fix="add --repeat N")
    return GateRequest(
        cargo=invocation.cargo,
        session=settings.row,
        called_from=invocation.called_from,
        workspace=crate.workspace,
        vary=crate.features,
        depth=crate.depth,
        alone=crate.alone or bool(choice.members),
        doctests=settings.doctests,
        nextest=settings.nextest,
        fix=given.get("fix", False),
        listing=given.get("list", False),
        partition=given.get("partition"),
        results=outcomes.results_folder(invocation.called_from),
        choice=choice,
        rest=(*allow, *invocation.rest),
        repeat=given.get("repeat", 1),
        until_fail=given.get("until_fail", False),
        quarantine=Quarantine(tests=crate.quarantine),
        deadline=invocation.deadline,
        report=invocation.report,
        cached=_is_cached(invocation),
    )


def _is_cached(invocation: Invocation) -> bool:
    """Whether tests that have passed need not run again; say why not where that is asked for in vain."""
    row, given = invocation.settings.row, vars(invocation.given)
    if not row.forwards or not (given["cached"] or invocation.crate.cached):
        return False
    refused = "--repeat runs them" if given["repeat"] > 1 else "in CI" if in_ci() else ""
    refused = "cargo-nextest starts them" if invocation.settings.nextest else refused
    if refused:
        say(f"All tests run, --cached has no effect: {refused}.")
    return not refused


def run_fmt(invocation: Invocation) -> None:
    """Check the formatting."""
    from rustvmm_sessions.gate.single import check_format

    check_format(_gate_request(invocation))


def run_doc(invocation: Invocation) -> None:
    """Build the documentation."""
    from rustvmm_sessions.gate.single import build_documentation

    build_documentation(_gate_request(invocation))


def run_feature_matrix(invocation: Invocation) -> None:
    """Run a session with a feature matrix."""
    from rustvmm_sessions.gate.matrix import run_matrix

    run_matrix(_gate_request(invocation))
