"""The one table of what the standard sessions are told and do, and how one of them is run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rustvmm_sessions import audit
from rustvmm_sessions.bench import options as bench
from rustvmm_sessions.commits import options as commits
from rustvmm_sessions.console import pass_on
from rustvmm_sessions.container import options as container
from rustvmm_sessions.coverage import options as coverage
from rustvmm_sessions.fuzz import options as fuzz
from rustvmm_sessions.gate import options as gate
from rustvmm_sessions.invocation import Invocation, Parser
from rustvmm_sessions.pipeline import options as pipeline
from rustvmm_sessions.release import options as release
from rustvmm_sessions.targets import options as targets
from rustvmm_sessions.tooling import options as tooling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rustvmm_sessions.catalog import StandardSession
    from rustvmm_sessions.deadline import Deadline
    from rustvmm_sessions.results import Report
    from rustvmm_sessions.settings import Settings


def run(  # noqa: PLR0913 - all that an invocation is made of
    name: str,
    *,
    words: Sequence[str],
    crate: Settings,
    deadline: Deadline,
    called_from: Path,
    report: Report,
    known: frozenset[str] = frozenset(),
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
    options = parser(settings.row)
    given, rest = options.parse(words)
    if given.help:
        pass_on(options.format_help(), sys.stdout)
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
            known=known,
            report=report,
        )
    )


def begin(invocation: Invocation) -> None:
    """Run a session whose options are parsed already."""
    SESSIONS[invocation.settings.row.name][1](invocation)


def parser(session: StandardSession) -> Parser:
    """Return the parser of a session's options."""
    made = Parser(session)
    SESSIONS[session.name][0](made)
    return made


SESSIONS: dict[str, tuple[Callable[[Parser], None], Callable[[Invocation], None]]] = {
    "fmt": (gate.add_fmt_options, gate.run_fmt),
    "clippy": (gate.add_clippy_options, gate.run_feature_matrix),
    "build-gnu": (gate.add_matrix_options, gate.run_feature_matrix),
    "build-musl": (gate.add_matrix_options, gate.run_feature_matrix),
    "doc": (gate.add_doc_options, gate.run_doc),
    "unit-tests": (gate.add_test_options, gate.run_feature_matrix),
    "unit-tests-release": (gate.add_test_options, gate.run_feature_matrix),
    "unit-tests-musl": (gate.add_test_options, gate.run_feature_matrix),
    "unit-tests-musl-release": (gate.add_test_options, gate.run_feature_matrix),
    "coverage": (coverage.add_options, coverage.run),
    "commit-format": (commits.add_options, commits.run),
    "audit": (audit.add_options, audit.run_audit),
    "bench": (bench.add_options, bench.run),
    "fuzz": (fuzz.add_options, fuzz.run),
    "targets": (targets.add_options, targets.run),
    "release-check": (release.add_options, release.run),
    "pipeline": (pipeline.add_options, pipeline.run),
    "setup": (tooling.add_setup_options, tooling.run_setup),
    "doctor": (tooling.add_doctor_options, tooling.run_doctor),
    "container": (container.add_container_options, container.run_container),
    "reproduce": (container.add_reproduce_session_options, container.run_reproduce),
}
"""What adds the options of each session of the catalog, and what it runs."""
