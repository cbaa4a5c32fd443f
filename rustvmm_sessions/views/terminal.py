"""The end of a run as a terminal shows it: each failure once, the table, and the command that repeats."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions.results import ESCAPES
from rustvmm_sessions.wording import columns, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rustvmm_sessions.results import Finding, Result

MOST_LINES = 40
"""Lines for all failures together, so that they and the table fit a screen; but see `LEAST_LINES`."""
LEAST_LINES = 6
"""Lines that each failed session has."""
_BACKTRACE = re.compile(
    r"^stack backtrace:\n(?:\s+(?:\d+:|at ).*\n?)*(?:note: Some details are omitted.*\n?)?"
    r"|^note: run with `RUST_BACKTRACE=1`.*\n?",
    re.MULTILINE,
)
_COLOURS = {"passed": "32", "failed": "31", "skipped": "33", "bold": "1"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line, with what a colour is for: a result, ``bold``, or nothing."""

    text: str
    style: str = ""

    def coloured(self, text: str) -> str:
        """Return `text`, the line made printable, in its colour."""
        return f"\x1b[{_COLOURS[self.style]}m{text}\x1b[0m" if self.style else text


def end(results: Sequence[Result], seconds: float, room: int | None = None) -> list[Line]:
    """Return what a run ends with; of one session alone its findings, where it failed.

    Args:
        results: Of all its sessions.
        seconds: The wall time of the run.
        room: The columns of the terminal; None for no limit.
    """
    failed = [result for result in results if result.result == "failed"]
    several = len(results) > 1
    if not (failed or several):
        return []
    lines = list(_failures(failed)) if several or (failed and failed[0].findings) else []
    if several:
        lines += [Line(text=""), *_table(results, seconds, room)]
    if failed and (several or lines):
        lines += [Line(text=""), Line(text=f"repeat: {repeat(failed)}", style="bold")]
    return lines


def repeat(failed: Sequence[Result]) -> str:
    """Return the command that runs all sessions again that failed: they were called by one command."""
    words = [shlex.split(result.repeat) for result in failed]
    at = next((number for number, word in enumerate(words[0]) if word == "-s"), None)
    if at is None or any(word[: at + 1] != words[0][: at + 1] for word in words):
        return failed[0].repeat
    return shlex.join((*words[0][: at + 1], *(word[at + 1] for word in words), *words[0][at + 2 :]))


def _failures(failed: Sequence[Result]) -> Iterator[Line]:
    most = max(LEAST_LINES, MOST_LINES // max(len(failed), 1))
    seen: dict[tuple[object, ...], str] = {}
    for result in failed:
        yield Line(text="")
        yield Line(text=f"{result.session} failed{_count(result)}", style="failed")
        if not result.findings:
            said = [*_last(result.output, most // 2), *result.message.splitlines()]
            yield from (Line(text=f"  {line}".rstrip()) for line in said)
            continue
        shown = result.findings[:most]
        room = max(1, most // len(shown))
        for finding in shown:
            key = (finding.kind, finding.title, finding.file, finding.line)
            lines = _finding(finding, room) if key not in seen else [f"{_place(finding)} (see {seen[key]})"]
            yield from (Line(text=f"  {line}".rstrip()) for line in lines)
            seen.setdefault(key, result.session)
        if len(result.findings) > most:
            yield Line(text=f"  and {len(result.findings) - most} more, see above")


def _count(result: Result) -> str:
    if result.tests and result.tests["failed"]:
        return f": {_tests(result).replace('failed', 'tests')}"
    errors = sum(finding.level == "error" for finding in result.findings)
    return f": {counted(errors, 'error')}" if errors > 1 else ""


def _place(finding: Finding) -> str:
    place = f"{finding.file}:{finding.line}: " if finding.file and finding.line else ""
    return f"{place or f'{finding.file}: ' * bool(finding.file)}{finding.title}"


def _finding(finding: Finding, room: int) -> list[str]:
    """Return a finding in at most `room` lines: of what a test prints the end, else the beginning."""
    said = _BACKTRACE.sub("", finding.message).strip("\n").splitlines()
    if finding.kind == "test":
        return [_place(finding), *(f"  {line}" for line in _last("\n".join(said), room - 1))]
    rendered = finding.kind in ("compile", "lint", "doc") and len(said) > 1
    if rendered and room > 3:  # what is wrong, where, and the line itself
        return said if len(said) <= room else [*said[: room - 1], "..."]
    lines = [_place(finding)]
    if not rendered:
        lines += [f"  {line}" for line in (said if len(said) < room else said[: max(room - 2, 0)])]
    return lines


def _last(text: str, most: int) -> list[str]:
    """Return the last lines of a text, and how many there are before."""
    lines = ESCAPES.sub("", text).strip("\n").splitlines()
    if len(lines) <= most:
        return lines
    left_out = len(lines) - most + 1
    return [f"({counted(left_out, 'line')} before)", *lines[left_out:]] if most > 0 else []


def _tests(result: Result) -> str:
    """Return how many tests ran, and how many of them failed."""
    if not result.tests:
        return ""
    ran = result.tests["passed"] + result.tests["failed"]
    return f"{result.tests['failed']} of {ran} failed" if result.tests["failed"] else str(ran)


def _table(results: Sequence[Result], seconds: float, room: int | None) -> list[Line]:
    tests = any(result.tests for result in results)
    heads = ("session", "result", "seconds", *(("tests",) if tests else ()), "what to do")
    rows = [heads]
    for result in results:
        todo = "" if result.result == "passed" else result.fix or "".join(result.message.splitlines()[:1])
        own = (_tests(result),) if tests else ()
        rows.append((result.session, result.result, f"{result.seconds:.1f}", *own, todo))
    ended = [f"{sum(r.result == how for r in results)} {how}" for how in ("failed", "passed", "skipped")]
    total = ", ".join(text for text in ended if not text.startswith("0 "))
    lines = []
    style = ""
    results_by_row = iter(results)
    for number, text in enumerate(columns(rows, right=(2,), most=room)):
        if number and not text.startswith(" "):  # else it is the rest of a row that is wrapped
            style = next(results_by_row).result
        lines.append(Line(text=text, style=style or "bold"))
    what = f"{counted(len(results), 'session')} in {seconds:.1f} s: {total}"
    return [*lines, Line(text=what, style="failed" if "failed" in total else "passed")]
