"""A session's result as annotations of GitHub, which shows ten errors, warnings and notices of a step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rustvmm_sessions.results import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rustvmm_sessions.results import Level, Result

MOST = 10
"""Annotations of a level that GitHub shows of one step."""
_MOST_CHARACTERS = 4000


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """What a workflow command of that name annotates."""

    name: Level
    message: str
    properties: Mapping[str, str] = field(default_factory=dict)


def annotated(result: Result) -> Iterator[Annotation]:
    """Yield the annotations of a result; why a session failed that found no error is one as well."""
    findings = list(result.findings)
    if result.result == "failed" and not any(finding.level == "error" for finding in findings):
        findings.insert(0, Finding(kind="test", title=f"{result.session} failed", message=result.message))
    seen: Counter[Level] = Counter()
    for finding in findings:
        seen[finding.level] += 1
        if seen[finding.level] <= MOST:
            yield _annotation(finding)


def _annotation(finding: Finding) -> Annotation:
    place = {}
    if finding.file is not None:
        place["file"] = finding.file
        if finding.line:
            place["line"] = str(finding.line)
            place["endLine"] = str(finding.end_line or finding.line)
    message = finding.message or finding.title
    if len(message) > _MOST_CHARACTERS:
        message = f"{message[:_MOST_CHARACTERS]}\n[...]"
    return Annotation(name=finding.level, message=message, properties={**place, "title": finding.title})
