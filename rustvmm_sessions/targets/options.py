"""The options of the session targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.invocation import add_member_options
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rustvmm_sessions.invocation import Invocation, Parser
    from rustvmm_sessions.settings import TargetRules


def add_options(parser: Parser) -> None:
    """Add the options of the session."""
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="TRIPLE",
        help="only this target; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="print what would run, run nothing")
    add_member_options(parser)


def run(invocation: Invocation) -> None:
    """Check the crate for each target."""
    from rustvmm_sessions.targets.check import TargetsRequest, check_targets

    check_targets(
        TargetsRequest(
            cargo=invocation.cargo,
            called_from=invocation.called_from,
            targets=_chosen(invocation.crate.targets or {}, invocation.given.target),
            choice=invocation.choice,
            workspace=invocation.crate.workspace,
            listing=invocation.given.list,
            deadline=invocation.deadline,
            report=invocation.report,
        )
    )


def _chosen(targets: Mapping[str, TargetRules], names: Sequence[str]) -> dict[str, TargetRules]:
    """Return the targets to check.

    Raises:
        UserError: There are none, or not one of that name.
    """
    if not targets:
        raise UserError(
            "no targets are set",
            where="register()",
            fix='name them: register(targets={"x86_64-unknown-none": {"default_features": False}})',
        )
    for name in names:
        if name not in targets:
            raise UserError(
                f"{name!r} is not one of the crate's targets",
                where="--target",
                fix=did_you_mean(name, targets),
            )
    return {name: rules for name, rules in targets.items() if not names or name in names}
