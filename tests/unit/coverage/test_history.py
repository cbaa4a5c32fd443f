"""The record's course: read from git's log, told in a table, as JSON, as a chart and as a badge."""

from __future__ import annotations

import datetime as dt
import json
from fractions import Fraction
from xml.etree import ElementTree as ET

import pytest

from rustvmm_sessions.coverage import history
from rustvmm_sessions.coverage.history import History, Release


def day(date: str) -> int:
    return int(dt.datetime.fromisoformat(f"{date}T12:00:00+00:00").timestamp())


def entry(commit: str, date: str, lines: str, before: str = "") -> str:
    """Return what git prints of a commit that makes the record `lines` of what was `before`."""
    old = "".join(f"-{line}\n" for line in before.split("|") if line)
    new = "".join(f"+{line}\n" for line in lines.split("|") if line)
    head = "diff --git a/tests/coverage b/tests/coverage\nindex 1..2 100644\n--- a\n+++ b/tests/coverage\n"
    return f"\0{commit * 40} {day(date)} what {commit} did\n\n{head}@@ -1 +1 @@\n{old}{new}"


LOG = "".join(
    (  # the newest first
        entry("f", "2026-06-01", "90.0|x86_64 90/100 rustc-1.95.0", "aarch64 8/9 rustc-1.9"),
        entry("e", "2026-05-01", "89.0|x86_64 89/100 rustc-1.95.0|aarch64 80/90 rustc-1.95.0"),
        entry("d", "2026-04-01", "90.0|x86_64 90/100 rustc-1.95.0|aarch64 80/90 rustc-1.95.0"),
        entry("c", "2026-03-01", "words"),
        entry("b", "2026-02-01", "84.1", "84.9"),
        entry("a", "2026-01-01", "84.9"),
    )
)  # fmt: skip
DELETED = entry("c", "2026-03-01", "", "80.1").replace("index 1..2", "deleted file mode 100644\nindex 1..0")
RELEASES = (
    Release(tag="v0", commit="0" * 40, time=day("2025-01-01")),
    Release(tag="v1", commit="b" * 40, time=day("2026-02-01")),
    Release(tag="v2", commit="9" * 40, time=day("2026-05-15")),
)


def course(log: str = LOG) -> History:
    return History(
        path="tests/coverage",
        versions=history.read_log(log),
        releases=RELEASES,
        address="https://github.com/o/r/commit/",
    )


def test_a_log_becomes_versions_the_oldest_first() -> None:
    versions = course().versions
    assert [version.commit[0] for version in versions] == list("abcdef")
    assert [version.file and version.file.percent for version in versions] == [
        *("84.9", "84.1", None, "90.0", "89.0", "90.0")
    ]
    assert (versions[0].date, versions[0].title) == ("2026-01-01", "what a did")


def test_what_a_patch_keeps_belongs_to_the_version() -> None:
    log = (
        entry("a", "2026-01-01", "").removesuffix("\n")
        + "\n-80\n+81\n x86_64 81/100 rustc-1.95.0\n\\ No newline at end\n"
    )
    (version,) = history.read_log(log)
    assert version.file is not None
    assert str(version.file) == "81\nx86_64 81/100 rustc-1.95.0\n"


def test_a_deleted_record_is_none_and_ends_the_line() -> None:
    log = f"{DELETED}{entry('b', '2026-02-01', '80.1')}{entry('a', '2026-01-01', '80')}"
    found = course(log)
    assert [version.values for version in found.versions][-1] == {}
    assert found.remarks == []
    assert "none  " in history.table(found)[2]
    ends = [
        float((line.get("x2") or "").rstrip("%")) for line in drawn(log).findall(".//g[@class='s0']/line")
    ]
    assert max(ends) == pytest.approx(100 * 59 / 181, abs=0.1)


def test_an_empty_record_cannot_be_read() -> None:
    assert "1 version cannot be read." in course(entry("a", "2026-01-01", "", "80.1")).remarks


def test_only_what_changed_is_a_point_and_lower_than_before_is_lowered() -> None:
    rows = [
        (version.commit[0], {name: (point.shown, point.lowered) for name, point in points.items()})
        for version, points in course().rows
    ]
    assert rows == [
        ("a", {"all architectures": ("84.9 %", False)}),
        ("b", {"all architectures": ("84.1 %", True)}),
        ("c", {}),
        ("d", {"x86_64": ("90/100 lines, 90.00 %", False), "aarch64": ("80/90 lines, 88.89 %", False)}),
        ("e", {"x86_64": ("89/100 lines, 89.00 %", True)}),
        ("f", {"x86_64": ("90/100 lines, 90.00 %", False)}),
    ]


def config(arch: str, content: str, before: str = "") -> str:
    """Return git's patch of a configuration."""
    name = f"crate/coverage_config_{arch}.json"
    head = f"diff --git a/{name} b/{name}\nindex 1..2 100644\n--- a/{name}\n+++ b/{name}\n"
    return f"{head}@@ -1 +1 @@\n{before}+{content}\n"


def test_before_there_is_a_record_the_score_counts() -> None:
    def commit(name: str, *patches: str) -> str:
        return f"\0{name * 40} {day('2026-01-01')} {name}\n\n{''.join(patches)}"

    record = entry("d", "2026-01-01", "85.00|x86_64 85/100 rustc-1.95.0").partition("\n\n")[2]
    log = (
        commit("d", record),
        commit(
            "c",
            config("x86_64", '{"coverage_score": 84.1, "exclude_path": "x"}', '-{"coverage_score": 84.1}\n'),
        ),
        commit("b", config("x86_64", '{"coverage_score": 84.1}', '-{"coverage_score": 85.4}\n')),
        commit(
            "a", config("aarch64", '{"crate_features": ""}'), config("x86_64", '{"coverage_score": 85.4}')
        ),
    )
    found = course("".join(log))
    values = [
        {name: (point.shown, point.lowered) for name, point in points.items()} for _, points in found.rows
    ]
    assert values == [
        {"x86_64": ("85.4 %", False)},
        {"x86_64": ("84.1 %", True)},
        {"x86_64": ("85/100 lines, 85.00 %", False)},
    ]
    assert history.as_json(found)["versions"][0]["scores"] == {"x86_64": 85.4}


def test_a_score_is_no_record_to_be_lower_than() -> None:
    record = entry("b", "2026-01-02", "85.0|x86_64 85/100 rustc-1.95.0")
    patch = config("x86_64", '{"coverage_score": 85.1}')
    score = f"\0{'a' * 40} {day('2026-01-01')} a\n\n{patch}"
    assert not any(point.lowered for _, points in course(record + score).rows for point in points.values())


def test_the_table_has_the_newest_first_and_releases_between() -> None:
    lines = history.table(course())
    assert [line.split("  ")[0] for line in lines] == [
        *("date", "2026-06-01", "2026-05-15", "2026-05-01", "2026-04-01", "2026-03-01", "2026-02-01"),
        *("2026-02-01", "2026-01-01", "2025-01-01", "1 version cannot be read."),
    ]
    assert lines[3].split()[1:6] == ["eeeeeeeeeeee", "89/100", "lines,", "89.00", "%"]
    assert lines[3].split()[6] == "lowered"
    assert "not readable" in lines[5]
    assert lines[6].endswith("release v1")


def test_a_shallow_clone_says_so() -> None:
    cut = History(path="x", versions=(), shallow=True)
    assert "git fetch --unshallow" in history.table(cut)[-1]


def test_the_json_has_all_of_it() -> None:
    document = history.as_json(course())
    assert json.loads(json.dumps(document)) == document
    assert [version["lowered"] for version in document["versions"]] == [
        [],
        ["all architectures"],
        [],
        [],
        ["x86_64"],
        [],
    ]
    assert document["versions"][3] == {
        "commit": "d" * 40,
        "date": "2026-04-01",
        "title": "what d did",
        "percent": 90.0,
        "architectures": {
            "x86_64": {"covered": 90, "count": 100, "percent": 90.0, "toolchain": "1.95.0"},
            "aarch64": {"covered": 80, "count": 90, "percent": pytest.approx(800 / 9), "toolchain": "1.95.0"},
        },
        "scores": {},
        "lowered": [],
    }
    assert document["releases"][1] == {"tag": "v1", "commit": "b" * 40, "date": "2026-02-01"}


def drawn(log: str = LOG) -> ET.Element:
    return ET.fromstring(history.chart(course(log), day("2026-07-01")))  # noqa: S314 - our own


def test_points_of_the_chart_lead_to_commits_and_lowered_ones_are_marked() -> None:
    links = drawn().findall(".//a")
    assert [link.get("href", "")[-40] for link in links] == ["d", "e", "f", "a", "b", "d"]
    marks = [link.find("svg") for link in links]
    lowered = [mark is not None and "bad" in (mark.get("class") or "") for mark in marks]
    assert lowered == [False, True, False, False, True, False]
    assert links[4].get("aria-label") == "all architectures, 2026-02-01: 84.1 %, lowered"


def test_a_value_is_drawn_as_high_as_it_is_and_ends_where_its_line_goes() -> None:
    groups = [group for group in drawn().findall(".//g") if (group.get("class") or "").startswith("s")]
    heights = [float((svg.get("y") or "").rstrip("%")) for group in groups for svg in group.findall("a/svg")]
    assert heights[4] > heights[3] > heights[1] > heights[0] == heights[2]  # the lower, the further down
    ends = [
        max(float((line.get("x2") or "").rstrip("%")) for line in group.findall("line")) for group in groups
    ]
    assert ends[1] == pytest.approx(100 * 90 / 181, abs=0.1)  # bare percentages end with the fourth version
    assert ends[0] == 100
    assert ends[2] == pytest.approx(100 * 151 / 181, abs=0.1)  # the sixth has no aarch64


def test_releases_since_the_first_version_are_on_the_chart() -> None:
    titles = [title.text for title in drawn().findall(".//g[@class='releases']/g/title")]
    assert titles == ["v2", "v1"]


def test_one_version_makes_a_chart_too_and_none_makes_none() -> None:
    assert drawn(entry("a", "2026-01-01", "100")).findall(".//a")
    assert history.chart(course(""), 0) == ""


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/rust-vmm/vhost.git", "https://github.com/rust-vmm/vhost/commit/"),
        ("https://token:x@github.com/o/r", "https://github.com/o/r/commit/"),
        ("git@github.com:o/r.git", "https://github.com/o/r/commit/"),
        ("ssh://git@gitlab.com:22/group/sub/r.git", "https://gitlab.com/group/sub/r/-/commit/"),
        ("https://codeberg.org/o/r/", "https://codeberg.org/o/r/commit/"),
        ("https://example.com/o/r", ""),
        ('https://github.com/o/r"><script>', ""),
        ("/srv/git/github.com/r", ""),
        ("origin", ""),
        ("", ""),
    ],
)
def test_commits_have_an_address_on_the_forges_that_are_known(remote: str, address: str) -> None:
    assert history.address_of_commits(remote) == address


def test_tags_are_releases_of_the_member_where_it_has_any() -> None:
    listed = (
        f"v1.0\0{'a' * 40}\0{day('2026-02-01')}\0\0\n"
        f"vm-memory-v0.2\0{'t' * 40}\0\0{'b' * 40}\0{day('2026-01-01')}\n"
    )
    both = history.read_tags(listed, "")
    assert [(release.tag, release.commit[0], release.date) for release in both] == [
        ("vm-memory-v0.2", "b", "2026-01-01"),
        ("v1.0", "a", "2026-02-01"),
    ]
    assert [release.tag for release in history.read_tags(listed, "vm-memory")] == ["vm-memory-v0.2"]
    assert history.read_tags(listed, "vhost") == both


@pytest.mark.parametrize(
    ("percent", "shown"),
    [(Fraction(100), "100.0 %"), (Fraction(9005, 100), "90.1 %"), (Fraction(0), "0.0 %")],
)
def test_a_badge_says_the_percentage(percent: Fraction, shown: str) -> None:
    badge = ET.fromstring(history.badge(percent))  # noqa: S314 - our own
    texts = [element.text for element in badge.iter() if element.tag.endswith("text")]
    assert texts == ["coverage", shown]
