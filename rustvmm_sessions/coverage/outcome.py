"""What became of a coverage run, and the JSON of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.coverage.measurement import Verdict
from rustvmm_sessions.coverage.ratchet import RECORD
from rustvmm_sessions.rust.cargo import machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.coverage.measurement import (
        Backend,
        ChangedLines,
        Decision,
        FileCoverage,
        Lines,
        Measurement,
        Recorded,
    )
    from rustvmm_sessions.coverage.request import CoverageRequest


@dataclass(kw_only=True)
class Outcome:
    """What is known so far; the JSON file says all of it, also when the run stops half-way."""

    toolchain: str | None = None
    backend: Backend | None = None
    measurement: Measurement | None = None
    recorded: Recorded | None = None
    decision: Decision | None = None
    changed: ChangedLines | None = None
    lcov: str = ""
    commands: list[str] = field(default_factory=list)
    passed: bool = False
    wrote: bool = False


def as_json(request: CoverageRequest, outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as the JSON of schema 1; what was not measured is null."""
    measurement, recorded, changed = outcome.measurement, outcome.recorded, outcome.changed

    def lines(value: Lines | None) -> dict[str, Any]:
        return {"covered": value.covered if value else None, "count": value.count if value else None}

    source = "none"
    if recorded is not None:
        source = RECORD if recorded.path == request.directory / RECORD else "coverage_config"
    return {
        "schema": 1,
        "profile": request.profile,
        "verdict": outcome.decision.verdict if outcome.decision else Verdict.NONE,
        "passed": outcome.passed,
        "wrote": outcome.wrote,
        "arch": machine(),
        "toolchain": outcome.toolchain,
        "backend": outcome.backend,
        "lines": {**lines(measurement.lines), "percent": float(measurement.lines.percent)}
        if measurement
        else None,
        "recorded": {
            "source": source,
            "percent": float(recorded.percent) if recorded else None,
            **lines(recorded.lines if recorded else None),
            "tolerance": float(recorded.tolerance) if recorded else None,
        },
        "files": _files(measurement.files if measurement else ()),
        "unstable": [{"path": u.path, "line": u.line} for u in (measurement.unstable if measurement else ())],
        "diff": {
            "base": changed.base,
            **lines(changed.lines),
            "percent": float(changed.lines.percent) if changed.lines.count else None,
            "required": None if request.patch is None else float(request.patch),
            "files": _files(changed.files),
        }
        if changed
        else None,
        "members": [],
    }


def _files(covered: Sequence[FileCoverage]) -> list[dict[str, Any]]:
    return [
        {
            "path": file.path,
            "covered": file.lines.covered,
            "count": file.lines.count,
            "uncovered": [list(span) for span in file.uncovered],
        }
        for file in covered
    ]
