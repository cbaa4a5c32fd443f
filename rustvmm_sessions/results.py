"""What a session found, as data: findings, tests, figures, and how it ended. All reports are views of it."""

from __future__ import annotations

import hashlib
import os.path
import re
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

SCHEMA = 1
MOST_BYTES = 1 << 16
"""What is kept of a message or of a test's output: its beginning and its end."""

ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][0-9A-Z]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
"""Colours, character sets and links of a terminal."""

Kind = Literal[
    "test",
    "compile",
    "lint",
    "format",
    "doc",
    "coverage",
    "commit",
    "advisory",
    "bench",
    "fuzz",
    "target",
    "release",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
Level = Literal["error", "warning", "notice"]
LEVELS: tuple[Level, ...] = get_args(Level)
CaseResult = Literal["passed", "failed", "ignored", "cached", "quarantined"]
CASE_RESULTS: tuple[CaseResult, ...] = get_args(CaseResult)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that a session found.

    Attributes:
        kind: What it is.
        title: What is wrong, in one line.
        level: ``error`` for what the session denies.
        message: All that is said of it; of a failed test its own output.
        file: Relative to the repository's top; None where there is none in the repository.
        line: In the source, from 1.
        end_line: The last line, where that is another.
    """

    kind: Kind
    title: str
    level: Level = "error"
    message: str = ""
    file: str | None = None
    line: int | None = None
    end_line: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One test that ran, or was left out.

    Attributes:
        name: With its modules; of a documentation test as rustdoc names it.
        suite: The package and the target that it is of, such as ``vm-memory (lib)``.
        result: How it ended.
        seconds: Wall time, None where it is not known.
        output: What it printed; empty where it passed.
        features: The feature combination it was built with.
    """

    name: str
    suite: str
    result: CaseResult
    seconds: float | None = None
    output: str = ""
    features: str = ""

    @property
    def title(self) -> str:
        """The title of the finding that it is where it failed."""
        return f"test {self.name} failed in {self.suite}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of figures that summaries show.

    Attributes:
        title: What it is of; empty where the verdict says so.
        head: The names of its columns, of which the first has names.
        rows: Its rows, those that matter most first.
        right: The numbers of the columns that have figures.
        folded: Whether it is only unfolded to look something up.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one session ended, and all that it found.

    Attributes:
        session: Its name.
        result: ``passed``, ``failed`` or ``skipped``.
        seconds: Wall time.
        message: Why it failed or was skipped, and what to do.
        fix: What to do, in one line; empty where the first line of `message` says it.
        repeat: The command that runs the session again, as it is typed where nox was called.
        findings: In the order in which they were found.
        tests: How many cases there are of each result; None where the session runs no tests.
        cases: The tests, in the order in which they ended.
        figures: What summaries show beside the verdict: names and values, such as
            ``("line coverage", "96.06 % (949 of 984)")``.
        output: The end of what the failing program printed.
        verdict: What it came to, in one sentence, where `message` does not say so.
        tables: Figures for summaries.
        notes: Sentences for summaries.
        steps: What to do next: what for, and the command.
    """

    session: str
    result: Literal["passed", "failed", "skipped"]
    seconds: float
    message: str = ""
    fix: str = ""
    repeat: str = ""
    findings: tuple[Finding, ...] = ()
    tests: dict[str, int] | None = None
    cases: tuple[Case, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
    output: str = ""
    verdict: str = ""
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    steps: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as the JSON of schema 1."""
        return {
            "schema": SCHEMA,
            "session": self.session,
            "result": self.result,
            "seconds": round(self.seconds, 3),
            "message": self.message,
            "fix": self.fix,
            "repeat": self.repeat,
            "findings": [asdict(finding) for finding in self.findings],
            "tests": self.tests,
        }


def from_json(data: dict[str, Any]) -> Result:
    """Return the result that `Result.as_json` has written; fields that it leaves out may be added."""
    known = {field.name: data[field.name] for field in fields(Result) if field.name in data}
    return replace(Result(**known), findings=tuple(Finding(**each) for each in data["findings"]))


class Report:
    """Collects what one run of a session finds.

    Attributes:
        directory: The crate's directory.
        top: The top of its repository, which files of findings are relative to.
        figures: What summaries show beside the verdict, by name.
        verdict, tables, notes, steps: As `Result` has them.
    """

    def __init__(self, directory: Path | None = None, top: Path | None = None) -> None:
        self.directory = directory or Path("/")
        self.top = top or self.directory
        self.figures: dict[str, str] = {}
        self.verdict = ""
        self.tables: list[Table] = []
        self.notes: list[str] = []
        self.steps: list[tuple[str, str]] = []
        self._findings: dict[Finding, Finding] = {}
        self._cases: list[Case] = []
        self._unnamed: Counter[CaseResult] = Counter()

    def file(self, path: str | Path) -> str | None:
        """Return a file, absolute or from the crate's directory, as findings name it; None outside."""
        absolute = Path(os.path.normpath(self.directory / path))
        return absolute.relative_to(self.top).as_posix() if absolute.is_relative_to(self.top) else None

    def apart(self) -> Report:
        """Return an empty report of the same repository, for what may come to nothing; else `add` it."""
        return Report(self.directory, self.top)

    def add(self, other: Report) -> None:
        """Add all that another report has."""
        self._findings = other._findings | self._findings
        self._cases += other._cases
        self._unnamed += other._unnamed
        self.figures |= other.figures

    def found(self, finding: Finding) -> None:
        """Add a finding; one that several feature combinations come to counts once."""
        kept = replace(finding, message=clipped(finding.message))
        self._findings.setdefault(replace(finding, message=""), kept)

    def ran(self, case: Case) -> None:
        """Add a test; what one prints that passed is not kept."""
        self._cases.append(replace(case, output="" if case.result == "passed" else clipped(case.output)))

    def unnamed(self, results: Counter[CaseResult]) -> None:
        """Count tests of which only the number is known."""
        self._unnamed += results

    @property
    def nameless(self) -> Counter[CaseResult]:
        """How many tests there are so far of which only the number is known."""
        return self._unnamed

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings so far."""
        return tuple(self._findings.values())

    @property
    def cases(self) -> tuple[Case, ...]:
        """The tests so far."""
        return tuple(self._cases)

    def result(self, **ended: Any) -> Result:
        """Return the result of the session; `ended` are the other fields of `Result`."""
        counts = Counter(case.result for case in self._cases) + self._unnamed
        return Result(
            findings=self.findings,
            tests={name: counts[name] for name in CASE_RESULTS} if counts else None,
            cases=self.cases,
            figures=tuple(self.figures.items()),
            verdict=self.verdict,
            tables=tuple(self.tables),
            notes=tuple(self.notes),
            steps=tuple(self.steps),
            **ended,
        )


def clipped(text: str, most: int = MOST_BYTES) -> str:
    """Return a text with its middle taken out, at whole lines, where it is longer than `most`."""
    if len(text) <= most:
        return text
    head, tail = text[: most // 4], text[-most // 2 :]
    head, tail = head[: head.rfind("\n") + 1] or head, tail[tail.find("\n") + 1 :] or tail
    return f"{head}[... {len(text) - len(head) - len(tail)} characters left out ...]\n{tail}"


def file_name(session: str) -> str:
    """Return a name for files about a session, which may be called ``vm-memory: build/x``."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", session).strip("-.")[:100]
    digest = hashlib.sha256(session.encode(errors="surrogateescape")).hexdigest()[:8]
    return safe if safe == session else f"{safe}-{digest}".lstrip("-")
