"""A run as Markdown, for annotations of Buildkite and job summaries of GitHub."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rustvmm_sessions.bench import words
from rustvmm_sessions.bench.model import BenchVerdict
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from rustvmm_sessions.bench.model import BenchReport, Comparison

MOST_BYTES = 1 << 20
"""What both take at most."""

_HEAD = "| benchmark | base | now | change | between | verdict |\n|:--|--:|--:|--:|:-:|:--|\n"


def _code(text: str) -> str:
    """Write a code span, in which nothing has a meaning.

    A backtick would end it, and renderers differ on bars in code inside a table: a name that has
    one is written in HTML, with every character that could have a meaning by its number.
    """
    line = words.one_line(text)
    return f"<code>{_entities(line)}</code>" if re.search(r"[`|]", line) or not line.strip() else f"`{line}`"


def _text(text: str) -> str:
    return _entities(words.one_line(text))


def _entities(text: str) -> str:
    return re.sub(r"[^\w ,;()-]|_", lambda match: f"&#{ord(match[0])};", text)


ESCAPED = words.Markup(code=_code, text=_text)


def markdown(report: BenchReport, most_bytes: int = MOST_BYTES) -> str:
    """Return the report as Markdown of at most `most_bytes`, what matters most first.

    Benchmarks that find no place are counted in a sentence.
    """
    compared = f"{words.revision(report.base, ESCAPED)} → {words.revision(report.head, ESCAPED)}"
    start = f"### {words.conclusion(report, ESCAPED)}\n\n{compared}\n\n"
    about = [
        *words.findings(report, ESCAPED),
        *words.sides(report, ESCAPED),
        *words.remarks(report, ESCAPED),
        *([words.machine(report.host, ESCAPED)] if report.host else []),
    ]
    steps = (f"\n{why}\n\n    {command}\n" for why, command in words.next_steps(report))
    end = "".join((*(f"- {sentence}\n" for sentence in about), *steps))
    if not report.benchmarks:
        return start + end
    rows = [_row(comparison) for comparison in words.ranked(report)]
    room = most_bytes - len(f"{start}{_HEAD}{_left_out(len(rows))}\n{end}".encode())
    shown: list[str] = []
    for row in rows:
        room -= len(row.encode())
        if room < 0:
            break
        shown.append(row)
    cut = _left_out(len(rows) - len(shown)) if len(shown) < len(rows) else ""
    return f"{start}{_HEAD}{''.join(shown)}{cut}\n{end}"


def _left_out(number: int) -> str:
    return (
        f"\n{counted(number, 'more benchmark')} found no room here; "
        "the page and the JSON document have them all.\n"
    )


def _row(comparison: Comparison) -> str:
    judgement = comparison.judgement
    verdict = words.VERDICTS[judgement.verdict]
    cells = (
        _code(comparison.id),
        *(words.duration(time) for time in comparison.medians),
        words.change(judgement),
        words.interval(judgement),
        verdict if judgement.verdict is BenchVerdict.OK else f"**{verdict}**",
    )
    return f"| {' | '.join(cells)} |\n"
