"""What files say of a release: changelogs, tags and the workflows that they start, manifests."""

from __future__ import annotations

import pytest

from rustvmm_sessions.pipeline.publishing import ANY, starts, tags_of
from rustvmm_sessions.release import facts
from rustvmm_sessions.release.facts import Heading, Tagged, Workflow, tagged

# The changelogs of rust-vmm's crates have all of these forms.


@pytest.mark.parametrize(
    ("text", "newest"),
    [
        ("# Changelog\n\n## [v0.5.0]\n\n## [v0.4.0]\n", Heading(version="0.5.0", line=3)),
        ("# Upcoming Release\n\n# v0.1.4\n", Heading(version="0.1.4", line=3)),
        (
            "# Changelog\n## [Unreleased]\n### Added\n- 1.2.3 of x\n## 0.15.0 - 2026-01-01\n",
            Heading(version="0.15.0", line=5),
        ),
        ("# Changelog\n## vm-memory v0.18.0\n", Heading(version="0.18.0", line=2)),
        ("# [1.0.0-rc.1+build](https://example.com)\n", Heading(version="1.0.0-rc.1+build", line=1)),
        ("# Changelog\n\nNo release yet; 1.2.3 is near.\n", None),
        ("", None),
    ],
)
def test_the_newest_heading_is_the_first_that_names_a_version(text: str, newest: Heading | None) -> None:
    assert facts.newest_heading(text) == newest


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("## [Unreleased]\n\n### Fixed\n\n- A fault.\n\n## v1.0.0\n", True),
        ("# Upcoming Release\n\n# v1.0.0\n- One.\n", False),
        ("## Unreleased\n\n## v1.0.0\n", False),
        ("## v1.0.0\n- One.\n", False),
    ],
)
def test_entries_of_no_version_are_noticed(text: str, entries: bool) -> None:
    assert facts.has_unreleased_entries(text) is entries


# Tags

ONE = Workflow(name="release-vm-memory.yml", packages=frozenset(["vm-memory"]), tags=("vm-memory-v*",))
OTHER = Workflow(
    name="release-vmm-sys-util.yml", packages=frozenset(["vmm-sys-util"]), tags=("vmm-sys-util-v*",)
)
WHOLE = Workflow(name="publish.yml", packages=frozenset([ANY]), tags=("v*",))
BY_HAND = Workflow(name="publish.yml", packages=frozenset([ANY]), tags=())
MEMBERS = ("vm-memory", "vmm-sys-util")


@pytest.mark.parametrize(
    ("tag", "workflows", "packages", "version"),
    [
        ("vm-memory-v0.18.0", [ONE, OTHER], {"vm-memory"}, "0.18.0"),
        ("v1.2.3", [WHOLE], {ANY}, "1.2.3"),
        ("v1.2.3-rc.1", [WHOLE], {ANY}, "1.2.3-rc.1"),
        ("1.2.3", [BY_HAND], {ANY}, "1.2.3"),
        ("vmm-sys-util-v0.15.0", [BY_HAND], {"vmm-sys-util"}, "0.15.0"),
        ("v1.2.3", [], {ANY}, "1.2.3"),
    ],
)
def test_a_tag_says_what_is_published(
    tag: str, workflows: list[Workflow], packages: set[str], version: str
) -> None:
    assert tagged(tag, workflows, MEMBERS) == Tagged(version=version, packages=frozenset(packages))


@pytest.mark.parametrize(
    ("tag", "workflows", "said"),
    [
        (
            "v0.18.0",
            [ONE, OTHER],
            "no workflow that publishes is started by the tag 'v0.18.0'; their patterns are vm-m",
        ),
        ("vm-memroy-v0.18.0", [ONE], "no workflow that publishes is started by the tag 'vm-memroy-v0.18.0'"),
        (
            "vhost-v0.18.0",
            [BY_HAND],
            "the tag 'vhost-v0.18.0' names a package 'vhost', which is not published from",
        ),
        ("release", [WHOLE], "the tag 'release' names no version"),
        ("v1.2", [WHOLE], "the tag 'v1.2' names no version"),
        ("--help", [WHOLE], "the tag '--help' names no version"),
    ],
)
def test_a_tag_that_publishes_nothing_says_why(tag: str, workflows: list[Workflow], said: str) -> None:
    found = tagged(tag, workflows, MEMBERS)
    assert isinstance(found, str)
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("patterns", "tag", "starting"),
    [
        (["v*"], "v1.2.3", True),
        (["v*"], "vm-memory/v1", False),  # * stops at a slash
        (["**"], "a/v1", True),
        (["v[0-9]+.[0-9]+.[0-9]+"], "v10.2.3", True),
        (["v[0-9]+.[0-9]+.[0-9]+"], "v1.2.3-rc.1", False),
        (["v1.2.3"], "v1x2x3", False),  # a point is a point
        (["v*", "!v*-rc*"], "v1.0.0-rc1", False),
        (["v*", "!v*-rc*"], "v1.0.0", True),
        (["va?1"], "v1", True),
        (["[", "v*"], "v1", True),
        ([], "v1", False),
    ],
)
def test_patterns_are_githubs(patterns: list[str], tag: str, starting: bool) -> None:
    assert starts(patterns, tag) is starting


@pytest.mark.parametrize(
    ("workflow", "tags"),
    [
        ("on:\n  push:\n    tags: ['acpi_tables-v*']  # those\njobs: {}\n", ("acpi_tables-v*",)),
        ("on:\n  push:\n    tags:\n      - v*\n      - '!v*-rc'\n", ("v*", "!v*-rc")),
        ("on:\n  push:\n    tags: v*\n", ("v*",)),
        ("on: push\n", ()),
        ("on:\n  release:\n    types: [published]\n", ()),
        ("on: {push: }\n", ()),
        ("[", ()),
    ],
)
def test_the_tags_of_a_workflow_are_read(workflow: str, tags: tuple[str, ...]) -> None:
    assert tags_of(workflow) == tags


# Manifests and groups

MANIFEST = """\
[workspace.package]
version = "0.1.0"
[package]
name = "one"
version.workspace = true
[dependencies]
two = { path = "../two", version = "1" }
[dependencies.three]
path = "../three"
[target.'cfg(unix)'.dependencies]
four = "1"
"""


@pytest.mark.parametrize(
    ("table", "key", "line"),
    [
        ("package", "name", 4),
        ("package", "version", 5),
        ("dependencies", "two", 7),
        ("dependencies", "three", 8),
        ("package", "license", None),
        ("dependencies", "four", None),
    ],
)
def test_a_key_has_its_line(table: str, key: str, line: int | None) -> None:
    assert facts.line_of(MANIFEST, table, key) == line


def test_members_that_need_each_other_are_one_group() -> None:
    needs = {"a": {"b"}, "b": set(), "c": {"published"}, "d": {"a"}, "e": set()}
    assert facts.groups({name: frozenset(others) for name, others in needs.items()}) == [
        ("a", "b", "d"),
        ("c",),
        ("e",),
    ]
