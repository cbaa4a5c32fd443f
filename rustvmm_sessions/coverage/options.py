"""The options of the session coverage, and what it does with them."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.console import in_ci, is_terminal
from rustvmm_sessions.coverage.measurement import Backend, Profile, Scope
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.invocation import add_member_options
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from rustvmm_sessions.coverage.request import CoverageRequest
    from rustvmm_sessions.invocation import Invocation, Parser


PROFILE_VARIABLE = "RUSTVMM_PROFILE"


def add_options(parser: Parser) -> None:
    """Add the options of the session."""
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
    add_member_options(parser)
    add("--no-default-features", action="store_true", help="without the crate's default features")
    add(
        "--html",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="DIR",
        help="write HTML pages, and print the path of the first",
    )
    add("--open", action="store_true", help="open the pages in a browser; implies --html")
    add("--lcov", type=Path, metavar="FILE", help="write an LCOV tracefile")
    add("--cobertura", type=Path, metavar="FILE", help="write a Cobertura report")
    add("--badge", type=Path, metavar="FILE", help="write an SVG badge with the percentage")
    add(
        "--history",
        action="store_true",
        help="measure nothing; show the versions of tests/coverage that git has, with --json as JSON",
    )
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
        "--diff-fail-under",
        type=_percent,
        metavar="PERCENT",
        help="fail where less of the changed lines is covered; looks at them as --diff does",
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


def _percent(text: str) -> Fraction:
    try:
        value = Fraction(Decimal(text))
    except (ArithmeticError, ValueError):
        value = Fraction(-1)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"invalid percentage {text!r}; a number from 0 to 100 is expected")
    return value


def profile_of(given: str | None) -> Profile:
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


def run(invocation: Invocation) -> None:
    """Measure coverage as the options say."""
    from rustvmm_sessions.coverage.check import check_coverage
    from rustvmm_sessions.coverage.members import check_members
    from rustvmm_sessions.coverage.request import CoverageRequest
    from rustvmm_sessions.rust.quarantine import Quarantine

    given, crate = invocation.given, invocation.crate
    chosen = profile_of(given.profile)
    if given.allow_lower and chosen is not Profile.DEVEL:
        raise UserError(
            "--allow-lower has no meaning under the profile ci, which never writes",
            where="--allow-lower",
            fix="add --profile devel",
        )
    patch = crate.patch_coverage if given.diff_fail_under is None else given.diff_fail_under
    screen = shutil.get_terminal_size() if is_terminal(sys.stdout) and not in_ci() else None
    html = Path() if given.open and given.html is None else given.html
    request = CoverageRequest(
        cargo=invocation.cargo,
        profile=chosen,
        scope=Scope(given.scope or (Scope.WORKSPACE if crate.workspace else Scope.CRATE)),
        backend=Backend(given.backend),
        feature_sets=crate.coverage_features.get("", ()),
        default_features=not given.no_default_features,
        tolerance=crate.coverage_tolerance,
        allow_lower=given.allow_lower,
        repeat=given.repeat,
        reruns=crate.coverage_reruns,
        html=Path() if html == Path() else invocation.called_from / html if html else None,
        open=given.open,
        lcov=invocation.path("lcov"),
        cobertura=invocation.path("cobertura"),
        json=invocation.path("json"),
        badge=invocation.path("badge"),
        diff="" if given.diff is None and patch is not None else given.diff,
        look=in_ci() or html is not None or screen is not None,
        patch=patch,
        screen=screen,
        deadline=invocation.deadline,
        report=invocation.report,
        quarantine=Quarantine(tests=crate.quarantine),
    )
    if given.history:
        _show_history(request, invocation)
    elif given.scope is None:
        check_members(request, invocation.choice, crate.coverage_features)
    elif given.package or given.exclude or given.changed is not None:
        raise UserError(
            "--scope leaves no choice of members",
            where=f"--scope {given.scope}",
            fix="take it out, or --package, --exclude and --changed",
        )
    else:
        check_coverage(request)


def _show_history(request: CoverageRequest, invocation: Invocation) -> None:
    from rustvmm_sessions.coverage.versions import show_history

    given = invocation.given
    for name in ("html", "open", "lcov", "cobertura", "diff", "diff_fail_under", "allow_lower", "scope"):
        if getattr(given, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            raise UserError(
                f"--history measures nothing: {option} has no meaning with it",
                where=f"--history {option}",
                fix="take one of them out",
            )
    show_history(request, invocation.choice)
