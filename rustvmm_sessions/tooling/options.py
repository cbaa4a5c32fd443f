"""The options of the sessions setup and doctor, and what they do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.rust.cargo import machine

if TYPE_CHECKING:
    from rustvmm_sessions.invocation import Invocation, Parser


def add_setup_options(parser: Parser) -> None:
    """Add the options of the session setup."""
    parser.add_argument(
        "--hooks", action="store_true", help="run .buildkite/hooks instead, with the variables of an agent"
    )


def run_setup(invocation: Invocation) -> None:
    """Provide the tools that are missing, or run hooks."""
    if invocation.given.hooks:
        from rustvmm_sessions.pipeline.hooks import run_hooks

        run_hooks(invocation.crate.directory)
        return
    from rustvmm_sessions.tooling.setup import provide_tools

    provide_tools(invocation.cargo, invocation.crate.here(machine()))


def add_doctor_options(parser: Parser) -> None:
    """Add the options of the session doctor."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run_doctor(invocation: Invocation) -> None:
    """Print which tools are there."""
    from rustvmm_sessions.tooling.doctor import examine, report

    report(examine(invocation.cargo, invocation.crate.here(machine())), as_json=invocation.given.json)
