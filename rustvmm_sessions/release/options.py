"""The options of the session release-check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.invocation import add_package_option

if TYPE_CHECKING:
    from rustvmm_sessions.invocation import Invocation, Parser


def add_options(parser: Parser) -> None:
    """Add the options of the session."""
    add = parser.add_argument
    add(
        "--tag",
        default="",
        metavar="TAG",
        help="the tag that is being published, such as v1.2.3; what it publishes is checked",
    )
    add_package_option(parser)


def run(invocation: Invocation) -> None:
    """Check what is about to be published."""
    from rustvmm_sessions.release.check import ReleaseRequest, check_release

    check_release(
        ReleaseRequest(
            cargo=invocation.cargo,
            called_from=invocation.called_from,
            tag=invocation.given.tag,
            packages=tuple(invocation.given.package),
            workspace=invocation.crate.workspace,
            deadline=invocation.deadline,
            report=invocation.report,
        )
    )
