"""What files say of a release: headings of a changelog, versions of tags, lines of a manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.pipeline.publishing import ANY, published_by, starts, tags_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_VERSION = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_HEADING = re.compile(rf"^\#{{1,3}} *\[?(?:[\w-]+[ -])?v?(?P<version>{_VERSION})\b", re.MULTILINE)
_SECTION = re.compile(
    r"^#{1,3} *\[?(?:unreleased|upcoming)\b.*\n(?P<text>(?:(?!#{1,2} ).*(?:\n|\Z))*)",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(rf"(?:(?P<name>.+?)[-/@])?v?(?P<version>{_VERSION})")


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The newest version that a changelog has, and the line of its heading."""

    version: str
    line: int


def newest_heading(text: str) -> Heading | None:
    """Return the first heading that names a version, None where none does."""
    match = _HEADING.search(text)
    if match is None:
        return None
    return Heading(version=match["version"], line=text.count("\n", 0, match.start()) + 1)


def has_unreleased_entries(text: str) -> bool:
    """Whether a section such as "Unreleased" or "Upcoming Release" has entries."""
    return any(re.search(r"^\s*[-*+] ", match["text"], re.MULTILINE) for match in _SECTION.finditer(text))


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A workflow that publishes: the packages, or `ANY`, and the patterns of tags that start it."""

    name: str
    packages: frozenset[str]
    tags: tuple[str, ...]


def publishing(workflows: Mapping[str, str]) -> tuple[Workflow, ...]:
    """Return those that publish, of workflows by their names."""
    read = (
        Workflow(name=name, packages=frozenset(published_by(text)), tags=tags_of(text))
        for name, text in workflows.items()
    )
    return tuple(workflow for workflow in read if workflow.packages)


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """What a tag publishes: the packages, or `ANY`, and the version that it names."""

    version: str
    packages: frozenset[str]


def tagged(tag: str, workflows: Iterable[Workflow], members: Iterable[str]) -> Tagged | str:
    """Return what a tag publishes, or why it publishes nothing."""
    match = _TAG.fullmatch(tag)
    if match is None:
        return f"the tag {tag!r} names no version"
    publishing = [workflow for workflow in workflows if workflow.tags]
    started = [workflow for workflow in publishing if starts(workflow.tags, tag)]
    if publishing and not started:
        patterns = ", ".join(pattern for workflow in publishing for pattern in workflow.tags)
        return f"no workflow that publishes is started by the tag {tag!r}; their patterns are {patterns}"
    packages = frozenset[str]().union(*(workflow.packages for workflow in started)) or frozenset([ANY])
    if ANY in packages and match["name"]:
        if match["name"] not in members:
            return f"the tag {tag!r} names a package {match['name']!r}, which is not published from here"
        packages = frozenset([match["name"]])
    return Tagged(version=match["version"], packages=packages)


def line_of(manifest: str, table: str, key: str) -> int | None:
    """Return the line of a key in a table of a manifest; None where it stands elsewhere, or nowhere."""
    inside = False
    for number, line in enumerate(manifest.splitlines(), 1):
        if line.lstrip().startswith("["):
            inside = line.strip().startswith(f"[{table}")
            if line.strip() == f"[{table}.{key}]":
                return number
        elif inside and re.match(rf"\s*\"?{re.escape(key)}\"?\s*[.=]", line):
            return number
    return None


def dependencies_on_members(
    package: Mapping[str, Any], folders: Mapping[str, str]
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the dependencies by path that are published with a package, with the member that each is.

    A development dependency without a version is left out of what is published.

    Args:
        package: What ``cargo metadata`` says of the package.
        folders: The members' names by their folders.
    """
    for each in package["dependencies"]:
        if each.get("path") in folders and not (each["kind"] == "dev" and each["req"] == "*"):
            yield each, folders[each["path"]]


def groups(needs: Mapping[str, frozenset[str]]) -> list[tuple[str, ...]]:
    """Return packages in groups, each with all that it needs directly or not; what needs nothing is alone.

    Args:
        needs: For each package the others that are in no registry yet.
    """
    left, found = dict(needs), []
    together: dict[str, set[str]] = {name: {name} for name in needs}
    for name, others in needs.items():
        for other in others & needs.keys():
            joined = together[name] | together[other]
            for each in joined:
                together[each] = joined
    while left:
        name = next(iter(left))
        found.append(tuple(each for each in needs if each in together[name]))
        for each in together[name]:
            left.pop(each, None)
    return found
