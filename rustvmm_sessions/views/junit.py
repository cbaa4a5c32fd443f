"""A session's result as JUnit XML, which CI services and editors show as tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from junitparser import TestCase, TestSuite

    from rustvmm_sessions.results import Case, Finding, Result

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold, even escaped."""


def xml(result: Result) -> str:
    """Return the JUnit XML: tests by suite and features, and what else was found as tests that failed.

    A session without tests is itself one, so that it shows as passed, failed or skipped.
    """
    import junitparser  # noqa: PLC0415 - only runs that are asked for it pay for it

    document = junitparser.JUnitXml(_text(result.session))
    suites: dict[tuple[str, str], TestSuite] = {}
    for case in result.cases:
        key = case.suite, case.features
        if key not in suites:
            suites[key] = junitparser.TestSuite(_text(case.suite))
            if case.features:
                suites[key].add_property("features", _text(case.features))
        suites[key].append(_case(case))  # add_testcase() counts all again each time
    titles = {case.title for case in result.cases}
    errors = [f for f in result.findings if f.level == "error" and f.title not in titles]
    own = junitparser.TestSuite(_text(result.session))
    for finding in errors:
        own.append(_failed(result, finding))
    if not (errors or suites) or (result.result == "failed" and not result.findings):
        own.append(_whole(result))
    for suite in (*suites.values(), *([own] if len(own) else [])):
        suite.update_statistics()
        document.add_testsuite(suite)
    document.update_statistics()
    document.time = result.seconds
    written = document.tostring()
    text = written if isinstance(written, str) else written.decode()
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _case(case: Case) -> TestCase:
    import junitparser  # noqa: PLC0415

    made = junitparser.TestCase(_text(case.name), classname=_text(case.suite), time=case.seconds)
    if case.result == "failed":
        failure = junitparser.Failure(_text(case.output.partition("\n")[0]))
        failure.text = _text(case.output)
        made.result = [failure]
        made.system_out = _text(case.output)
    elif case.result != "passed":
        made.result = [junitparser.Skipped(case.result)]
        if case.output:
            made.system_out = _text(case.output)
    return made


def _failed(result: Result, finding: Finding) -> TestCase:
    import junitparser  # noqa: PLC0415

    where = f"{finding.file}:{finding.line}: " if finding.file and finding.line else ""
    made = junitparser.TestCase(_text(f"{where}{finding.title}"), classname=_text(result.session))
    failure = junitparser.Failure(_text(finding.title), finding.kind)
    failure.text = _text(f"{where}{finding.message or finding.title}")
    made.result = [failure]
    return made


def _whole(result: Result) -> TestCase:
    import junitparser  # noqa: PLC0415

    made = junitparser.TestCase(_text(result.session), classname=_text(result.session), time=result.seconds)
    if result.result == "failed":
        failure = junitparser.Failure(_text(result.message.partition("\n")[0]))
        failure.text = _text(result.message)
        made.result = [failure]
        if result.output:
            made.system_out = _text(result.output)
    elif result.result == "skipped":
        made.result = [junitparser.Skipped(_text(result.message))]
    return made


def _text(text: str) -> str:
    return _NOT_XML.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
