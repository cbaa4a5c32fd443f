"""What all HTML pages share: one look, and nothing that they would load from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

GENERATOR = '<meta name="generator" content="rustvmm-sessions">'
"""By this a page of ours is known."""


def document(*, title: str, body: str, style: str = "", script: str = "") -> str:
    """Return a page; it runs no script but the one given, and loads nothing.

    Args:
        title: HTML of the title.
        body: HTML of the body.
        style: CSS beside `STYLE`.
        script: JavaScript, which the page must do without where scripts are off.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"; script-src 'sha256-{digest}'" if script else ""
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"{GENERATOR}\n",
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; ',
            f"style-src 'unsafe-inline'{scripts}\">\n",
            f"<title>{title}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n",
            body,
            f"<script>{script}</script>\n" if script else "",
            "</body>\n</html>\n",
        )
    )


def text(value: str) -> str:
    """Return foreign text as HTML, control characters written as escapes."""
    return html.escape(printable(value))


def badge(kind: str, mark: str, label: str) -> str:
    """Return a verdict: its mark, which tells it apart where colours do not, and its word.

    Args:
        kind: ``good``, ``bad``, ``ok`` or ``undecided``: its colour.
        mark: SVG around (0, 0), 12 units across.
        label: HTML of the word.
    """
    drawn = f'<svg class="mark" viewBox="-8 -8 16 16" aria-hidden="true">{mark}</svg>'
    return f'<span class="badge {kind}">{drawn}{label}</span>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values, which are HTML, as a list."""
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>\n" for name, value in rows)
    return f"<dl>\n{items}</dl>\n"


@dataclass(frozen=True)
class Range:
    """The values of a vertical axis; those outside lie at its ends."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value lies, in percent from the top."""
        return 100 * (self.high - min(max(value, self.low), self.high)) / (self.high - self.low)

    def holds(self, value: float) -> bool:
        """Whether a value is not outside."""
        return self.low <= value <= self.high

    def steps(self) -> list[float]:
        """Return three to six round values."""
        rough = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step) + 1)]


STYLE = """
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--soft:#59636e;--line:#e4e8ec;--zero:#8c959f;
--panel:#f6f8fa;--bad:#b34700;--good:#0060a8;--ok:#59636e;--undecided:#1b1f24}
@media (prefers-color-scheme:dark){:root{--bg:#0d1117;--ink:#e6edf3;--soft:#9aa4af;--line:#262c34;
--zero:#6e7681;--panel:#151b23;--bad:#ff9d57;--good:#6cb6ff;--ok:#9aa4af;--undecided:#e6edf3}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1.25rem clamp(.75rem,3vw,2rem) 3rem;background:var(--bg);
color:var(--ink);font:15px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums}
h1{margin:.2rem 0 .4rem;font-size:1.5rem;line-height:1.25;text-wrap:balance}
h2{margin:2rem 0 .5rem;font-size:1.1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere}
pre{margin:.25rem 0 1rem;padding:.6rem .8rem;background:var(--panel);border:1px solid var(--line);
border-radius:6px;white-space:pre-wrap}
p{margin:.4rem 0}ul{margin:.4rem 0;padding-left:1.2rem}small{color:var(--soft);font-size:.86em}
header{padding-left:.9rem;border-left:5px solid var(--ok)}
header.bad{border-color:var(--bad)}header.good{border-color:var(--good)}
header.undecided{border-color:var(--undecided);border-left-style:double}
header p{color:var(--soft)}
.badge{white-space:nowrap;font-weight:600}
.badge .mark{width:15px;height:15px;vertical-align:-2px;margin-right:.35em}
.bad .badge,.badge.bad{color:var(--bad)}.good .badge,.badge.good{color:var(--good)}
.badge.ok{color:var(--ok);font-weight:400}.badge.undecided{color:var(--undecided)}
.mark{fill:var(--ok);stroke:none}.bad .mark,.mark.bad{fill:var(--bad)}.good .mark,.mark.good{fill:var(--good)}
.undecided .mark{fill:var(--bg);stroke:var(--undecided);stroke-width:1.8}
:focus-visible{outline:2px solid var(--good);outline-offset:2px}
figure{margin:0}figcaption{font-size:.86em;margin-bottom:.5rem}
.chart{display:grid;grid-template-columns:4.6rem 1fr;height:10rem}
.chart svg{width:100%;height:10rem;display:block;overflow:visible}
.y{position:relative;font-size:.8em;color:var(--soft)}
.y span{position:absolute;right:.6rem;transform:translateY(-50%);white-space:nowrap}
.x{display:flex;justify-content:space-between;padding-left:4.6rem}
.grid{stroke:var(--line)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(15rem,100%),1fr));gap:.5rem 1.5rem;
margin:.4rem 0}
dl div{min-width:0}dt{color:var(--soft);font-size:.86em}dd{margin:0;overflow-wrap:anywhere}
"""
