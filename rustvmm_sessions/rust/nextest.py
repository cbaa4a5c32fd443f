"""What cargo-nextest says of tests: its JUnit file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.results import ESCAPES, Case
from rustvmm_sessions.rust.libtest import failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rustvmm_sessions.results import Report
    from rustvmm_sessions.rust.messages import Place

FAILED = 100
"""The exit status of nextest where tests failed, and nothing else did."""
CONFIGURATION = """\
[profile.default.junit]
path = {file}
store-failure-output = true
"""
"""What makes nextest write it, as the configuration of a tool: the user's own is laid over it."""


def cases(file: Path, features: str) -> Iterator[Case]:
    """Yield the tests of a JUnit file; a test that passed when it ran again has passed.

    Raises:
        ValueError: It is no such file.
    """
    import junitparser  # noqa: PLC0415 - only runs by nextest pay for it

    try:
        suites = junitparser.JUnitXml.fromfile(str(file))
    except (SyntaxError, junitparser.JUnitXmlError) as error:
        raise ValueError(str(error)) from error
    for suite in suites:
        for case in suite:
            failed = [each for each in case.result if not isinstance(each, junitparser.Skipped)]
            ignored = case.result and not failed
            yield Case(
                name=case.name,
                suite=case.classname or suite.name,
                result="failed" if failed else "ignored" if ignored else "passed",
                seconds=case.time,
                output=_said(case.name, *map(_plain, (case.system_out, case.system_err))) if failed else "",
                features=features,
            )


def _plain(text: str | None) -> str:
    return ESCAPES.sub("", text or "")


def _said(name: str, out: str, err: str) -> str:
    """Return what a test printed, without what the harness prints around it."""
    around = {"", "running 1 test", "failures:", f"    {name}", f"---- {name} stdout ----"}
    kept = [
        line
        for line in out.splitlines()
        if line not in around and not line.startswith(("test result: FAILED. 0 passed; ", f"test {name} "))
    ]
    return "\n".join((*kept, err.strip("\n"))).strip("\n")


def tell(report: Report, file: Path, place: Place, features: str) -> None:
    """Report the tests of a JUnit file; where there is none, nextest said why."""
    if not file.exists():
        return
    for case in cases(file, features):
        report.ran(case)
        if case.result == "failed":
            report.found(failure(case, place))
