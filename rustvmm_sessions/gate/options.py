"""The options of the sessions that cargo does, and what they do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from rustvmm_sessions.gate.commands import GateRequest
    from rustvmm_sessions.invocation import Invocation, Parser


def add_fix_option(parser: Parser) -> None:
    """Add the option that corrects what it can."""
    parser.add_argument("--fix", action="store_true", help="mend what can be mended, instead of checking")


def add_changed_option(parser: Parser) -> None:
    """Add the option that chooses members by what changed."""
    parser.add_argument(
        "--changed",
        nargs="?",
        const="",
        metavar="REF",
        help="only members touched since the merge base with REF (default: upstream; nothing is fetched), "
        "and their dependents",
    )


def _share(text: str) -> tuple[int, int]:
    from rustvmm_sessions.gate.plan import parse_partition

    return parse_partition(text)


def add_matrix_options(parser: Parser) -> None:
    """Add the options of sessions with a feature matrix."""
    add = parser.add_argument
    add("--list", action="store_true", help="print the plan and what it saves, run nothing")
    add("--partition", type=_share, metavar="I/N", help="run a share of the plan")
    add_changed_option(parser)


_ALLOW = ("--allow-dirty", "--allow-staged", "--allow-no-vcs")


def add_clippy_options(parser: Parser) -> None:
    """Add the options of the session clippy."""
    add_matrix_options(parser)
    add_fix_option(parser)
    for option in _ALLOW:
        parser.add_argument(option, action="store_true", help=f"let --fix change files as cargo's {option}")


def _gate_request(invocation: Invocation) -> GateRequest:
    from rustvmm_sessions.gate.commands import GateRequest

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
        alone=crate.alone,
        doctests=settings.doctests,
        nextest=settings.nextest,
        fix=given.get("fix", False),
        listing=given.get("list", False),
        partition=given.get("partition"),
        changed=given.get("changed"),
        rest=(*allow, *invocation.rest),
        deadline=invocation.deadline,
    )


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
