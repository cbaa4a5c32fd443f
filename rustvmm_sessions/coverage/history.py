"""The record's course, as a table, as JSON, as a chart and as a badge.

It is that of ``tests/coverage``, and before a crate has one that of ``coverage_score``.
"""

from __future__ import annotations

import datetime as dt
import html
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.coverage import ratchet
from rustvmm_sessions.coverage.config import parse_coverage_config
from rustvmm_sessions.coverage.ratchet import RECORD
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.page import Range, text
from rustvmm_sessions.wording import columns, counted, rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from fractions import Fraction

    from rustvmm_sessions.coverage.ratchet import CoverageFile

MARKS = ('<circle r="4.5"/>', '<path d="M-4-4h8v8h-8z"/>', '<path d="M0-5.5 5.5 0 0 5.5-5.5 0z"/>')
"""Of the first, second and third series."""
LOWERED = '<path d="M-6-4h12L0 7z"/>'
_FORGES = {
    "github.com": "/commit/",
    "gitlab.com": "/-/commit/",
    "codeberg.org": "/commit/",
    "bitbucket.org": "/commits/",
}
_CONFIGURATION = re.compile(r"coverage_config_(\w+)\.json$")
_REMOTE = re.compile(r"(?:\w+://)?(?:[^/@]*@)?([\w.-]+)(?::\d+)?[:/]+([\w./~-]+?)(?:\.git)?/?")


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of the record.

    Attributes:
        commit: The commit on the first-parent line that brought it.
        time: The committer's, in seconds since 1970.
        title: The commit's.
        file: What the record says; None where there is none, or it cannot be read.
        scores: The ``coverage_score`` of each architecture's configuration, which counts without a record.
        readable: Whether all that the commit changed can be read.
    """

    commit: str
    time: int
    title: str
    file: CoverageFile | None
    scores: Mapping[str, Fraction] = field(default_factory=dict)
    readable: bool = True

    @property
    def values(self) -> dict[str, tuple[Fraction, str]]:
        """What is recorded by architecture, and how that is shown."""
        if not self.readable:
            return {}
        if self.file:
            return self.file.values
        return {arch: (score, f"{float(score):g} %") for arch, score in self.scores.items()}

    @property
    def date(self) -> str:
        """The day, in UTC."""
        return dt.datetime.fromtimestamp(self.time, dt.UTC).date().isoformat()


@dataclass(frozen=True, kw_only=True)
class Release:
    """A tag on HEAD's history."""

    tag: str
    commit: str
    time: int

    @property
    def date(self) -> str:
        """The day of its commit, in UTC."""
        return dt.datetime.fromtimestamp(self.time, dt.UTC).date().isoformat()


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value that was recorded first, or changed.

    Attributes:
        version: The version that has it.
        percent: The value.
        shown: How it is written.
        lowered: Whether the value before was higher.
    """

    version: Version
    percent: Fraction
    shown: str
    lowered: bool


@dataclass(frozen=True, kw_only=True)
class History:
    """The record's course.

    Attributes:
        path: The record, from the repository's top.
        versions: The oldest first.
        releases: The oldest first.
        shallow: Whether the clone is: older versions are not in it.
        address: What a commit's hash makes a web address of; empty where the forge is not known.
        package: The member whose record it is; empty for the crate's.
    """

    path: str
    versions: tuple[Version, ...]
    releases: tuple[Release, ...] = ()
    shallow: bool = False
    address: str = ""
    package: str = ""

    @property
    def rows(self) -> list[tuple[Version, dict[str, Point]]]:
        """The versions, each with the values that are new in it, by architecture."""
        found = []
        before: dict[str, Point] = {}
        for version in self.versions:
            new: dict[str, Point] = {}
            for name, (percent, shown) in version.values.items():
                old = before.get(name)
                if old is None or old.shown != shown:
                    # A score may have been rounded up, and is not compared with counts.
                    like = old is not None and ("lines" in old.shown) is ("lines" in shown)
                    lowered = old is not None and like and percent < old.percent
                    new[name] = Point(version=version, percent=percent, shown=shown, lowered=lowered)
            if version.readable:
                before = {name: new.get(name) or before[name] for name in version.values}
            found.append((version, new))
        return found

    @property
    def series(self) -> tuple[str, ...]:
        """The architectures, and that of bare percentages; those that changed most often come first."""
        return tuple(name for name, _ in Counter(name for _, new in self.rows for name in new).most_common())

    @property
    def remarks(self) -> list[str]:
        """What is to be known about it."""
        said = []
        if self.shallow:
            said.append(
                "This clone is shallow: the first version shown may be older, those before it are missing. "
                "Run `git fetch --unshallow`."
            )
        if unread := sum(not version.readable for version in self.versions):
            said.append(f"{counted(unread, 'version')} cannot be read.")
        return said


def read_log(log: str) -> tuple[Version, ...]:
    """Read what ``git log -p`` prints of these files, each commit after a NUL; the newest comes first.

    The patches have all of a file as context, so that the lines they do not remove are the version. Commits
    that change neither the record nor a score are left out.
    """
    versions: list[Version] = []
    for entry in reversed(log.split("\0")[1:]):
        header, _, patches = entry.partition("\n")
        commit, time, title = header.split(" ", 2)
        before = (versions[-1].file, versions[-1].scores) if versions else (None, {})
        file, scores = before[0], dict(before[1])
        readable = True
        for name, content in _texts(patches):
            arch = _CONFIGURATION.search(name)
            try:
                if arch is None:
                    file = None
                    file = None if content is None else ratchet.parse(content, Path(RECORD))
                else:
                    scores.pop(arch[1], None)
                    score = None if content is None else parse_coverage_config(content, Path(name)).score
                    if score is not None:
                        scores[arch[1]] = score
            except UserError:
                readable = False
        if not readable or (file, scores) != before:
            versions.append(
                Version(
                    commit=commit, time=int(time), title=title, file=file, scores=scores, readable=readable
                )
            )
    return tuple(versions)


def _texts(patches: str) -> Iterator[tuple[str, str | None]]:
    """Yield the name and the new text of each file; None of a deleted one."""
    for patch in re.split(r"^diff --git ", patches, flags=re.MULTILINE)[1:]:
        name, _, rest = patch.partition("\n")
        lines = re.findall(r"^[ +](.*)$", rest.partition("\n@@ ")[2].partition("\n")[2], re.MULTILINE)
        yield name, None if "\ndeleted file mode " in f"\n{rest}" else "\n".join(lines)


def read_tags(listed: str, package: str) -> tuple[Release, ...]:
    """Read what ``git for-each-ref`` prints of tags: name, commit and time of each, after a NUL.

    Of a member those that begin with its name count, where there are any.
    """
    releases = []
    for line in listed.splitlines():
        tag, *facts = line.split("\0")
        commit, time = [word for word in facts if word][-2:]  # an annotated tag's own come first
        releases.append(Release(tag=tag, commit=commit, time=int(time)))
    own = [release for release in releases if package and release.tag.startswith(package)]
    return tuple(sorted(own or releases, key=lambda release: release.time))


def address_of_commits(remote: str) -> str:
    """Return what a commit's hash makes a web address of; empty where the forge is not known."""
    match = _REMOTE.fullmatch(remote)
    return f"https://{match[1]}/{match[2]}{_FORGES[match[1]]}" if match and match[1] in _FORGES else ""


# For the terminal and for programs


def table(history: History, most: int | None = None) -> list[str]:
    """Return the lines that show the versions and the releases, the newest first, in `most` columns."""
    rows: list[tuple[tuple[float, int], tuple[str, ...]]] = []
    for number, (version, points) in enumerate(history.rows):
        cells = [
            f"{point.shown}{' lowered' if point.lowered else ''}" if (point := points.get(name)) else ""
            for name in history.series
        ]
        if not version.values:
            cells[:1] = ["none" if version.readable else "not readable"]
        rows.append(((number, 0), (version.date, version.commit[:12], *cells, version.title)))
    blank = [""] * len(history.series)
    for release in history.releases:
        place = sum(version.time <= release.time for version in history.versions) - 0.5
        rows.append(
            ((place, release.time), (release.date, release.commit[:12], *blank, f"release {release.tag}"))
        )
    rows.sort(key=lambda row: row[0], reverse=True)
    listed = [("date", "commit", *history.series, "title"), *(row for _, row in rows)]
    return [*columns(listed, most=most), *history.remarks]


def as_json(history: History) -> dict[str, Any]:
    """Return the history as JSON of schema 1."""

    def version(one: Version, points: dict[str, Point]) -> dict[str, Any]:
        file = one.file
        return {
            "commit": one.commit,
            "date": one.date,
            "title": one.title,
            "percent": float(file.percent) if file else None,
            "architectures": {
                record.arch: {
                    "covered": record.lines.covered,
                    "count": record.lines.count,
                    "percent": float(record.lines.percent),
                    "toolchain": record.toolchain,
                }
                for record in (file.records if file else ())
            },
            "scores": {arch: float(score) for arch, score in one.scores.items()},
            "lowered": [name for name, point in points.items() if point.lowered],
        }

    return {
        "schema": 1,
        "path": history.path,
        "package": history.package,
        "shallow": history.shallow,
        "versions": [version(*row) for row in history.rows],
        "releases": [{"tag": r.tag, "commit": r.commit, "date": r.date} for r in history.releases],
    }


def badge(percent: Fraction) -> str:
    """Return a badge as SVG."""
    value = f"{rounded(percent, 1)} %"
    left, right = 62, 14 + 7 * len(value)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="coverage: {value}"><title>coverage: {value}</title>'
        f'<clipPath id="c"><rect width="{left + right}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#c)"><path fill="#444d56" d="M0 0h{left}v20H0z"/>'
        f'<path fill="#0060a8" d="M{left} 0h{right}v20H{left}z"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14">coverage</text>'
        f'<text x="{left + right / 2:g}" y="14">{value}</text></g></svg>\n'
    )


# The chart of a page


def chart(history: History, now: int) -> str:
    """Return the figure of a history; `now`, in seconds since 1970, is its right end."""
    rows = [row for row in history.rows if row[0].readable]
    values = [float(point.percent) for _, points in rows for point in points.values()]
    if not values:
        return ""
    margin = max((max(values) - min(values)) * 0.12, 0.5)
    axis = Range(min(values) - margin, min(max(values) + margin, 100.5))
    first = rows[0][0].time
    last = max(now, *(version.time for version, _ in rows), first + 1)

    def x(time: int) -> float:
        return 100 * (max(time, first) - first) / (last - first)

    steps = axis.steps()
    labels = "".join(f'<span style="top:{axis.place(at):.1f}%">{at:.6g} %</span>' for at in steps)
    grid = "".join(_line(0, axis.place(at), 100, axis.place(at)) for at in steps)
    key = "".join(
        _key(f"s{number % 3}", MARKS[number % 3], name) for number, name in enumerate(history.series)
    )
    if any(point.lowered for _, points in rows for point in points.values()):
        key += _key("bad", LOWERED, "lowered")
    drawn = "".join(
        _course(rows, name, f"s{number % 3}", MARKS[number % 3], axis, x, history.address)
        for number, name in enumerate(history.series)
    )
    lines, names = _releases(history.releases, first, x)
    day = dt.datetime.fromtimestamp(last, dt.UTC).date().isoformat()
    return (
        f'<figure class="course"><figcaption>{key}</figcaption>\n'
        f'<div class="tags" aria-hidden="true">{names}</div>'
        f'<div class="chart"><div class="y" aria-hidden="true">{labels}</div>'
        '<svg role="group" aria-label="recorded coverage over time">'
        f'<g class="grid">{grid}</g>{lines}{drawn}</svg></div>\n'
        f'<p class="x"><span>{rows[0][0].date}</span><span>{day}</span></p></figure>\n'
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.2f}%" y1="{y1:.2f}%" x2="{x2:.2f}%" y2="{y2:.2f}%"/>'


def _key(kind: str, mark: str, name: str) -> str:
    drawn = f'<svg class="mark {kind}" viewBox="-8 -8 16 16" aria-hidden="true">{mark}</svg>'
    return f'<span class="series">{drawn}{text(name)}</span>'


def _course(  # noqa: PLR0913, PLR0917 - what a line is drawn by
    rows: Sequence[tuple[Version, dict[str, Point]]],
    name: str,
    kind: str,
    mark: str,
    axis: Range,
    x: Callable[[int], float],
    address: str,
) -> str:
    """Draw one series: a value holds until the next one, or until its line is gone."""
    marks, lines = [], []
    held: tuple[float, float] | None = None
    for version, points in rows:
        at = x(version.time)
        point = points.get(name)
        gone = name not in version.values
        if held and (point or gone):
            lines.append(_line(*held, at, held[1]))
            held = None if gone else held
        if point is None:
            continue
        height = axis.place(float(point.percent))
        if held:
            lines.append(_line(at, held[1], at, height))
        held = (at, height)
        said = text(f"{name}, {version.date}: {point.shown}{', lowered' if point.lowered else ''}")
        drawn = (
            f'<svg x="{at:.2f}%" y="{height:.2f}%" class="mark {"bad" if point.lowered else kind}" '
            f'overflow="visible"><title>{said}</title>{LOWERED if point.lowered else mark}</svg>'
        )
        link = html.escape(address + version.commit)
        marks.append(f'<a href="{link}" aria-label="{said}">{drawn}</a>' if address else drawn)
    if held:
        lines.append(_line(*held, 100, held[1]))
    return f'<g class="{kind}">{"".join(lines)}{"".join(marks)}</g>'


def _releases(releases: Iterable[Release], first: int, x: Callable[[int], float]) -> tuple[str, str]:
    """Draw a line for each release, and name those that have room, the newest first."""
    lines, names = [], []
    free = 101.0
    for release in sorted(releases, key=lambda release: -release.time):
        if release.time < first:
            continue
        at = x(release.time)
        lines.append(f"<g><title>{text(release.tag)}</title>{_line(at, 0, at, 100)}</g>")
        if at <= free:
            names.append(f'<span style="right:{100 - at:.2f}%">{text(release.tag)}</span>')
            free = at - 1.2 * len(release.tag) - 1
    return f'<g class="releases">{"".join(lines)}</g>', "".join(names)
