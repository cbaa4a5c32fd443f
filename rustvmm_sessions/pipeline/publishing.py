"""Which packages a workflow of GitHub's publishes on crates.io, by any of the usual programs, and when."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.documents import read_yaml
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.script import commands_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ANY = ""
"""Stands for whatever packages are in the folder."""

_RELEASE_PLZ = ("release-plz/action", "marcoieni/release-plz-action")
_TOKEN = re.compile(r"\bCARGO_(REGISTRY|REGISTRIES_CRATES_IO)_TOKEN\b")
_PACKAGE = re.compile(r"(?:-p|--package)=?([\w-]*)(?:[@:].*)?")
_NO_PUBLISHING = ("version", "replace", "hook", "commit", "tag", "push", "owner", "changes", "config")
"""Steps of cargo-release that can be run alone, but for ``publish``."""


def published_by(workflow: str) -> set[str]:
    """Return the names of the packages that a workflow publishes, among them `ANY`; none where it cannot."""
    try:
        data = read_yaml(workflow, "").data
    except UserError:
        return set()
    return {name for step in _steps(data) for name in _published(step)}


def tags_of(workflow: str) -> tuple[str, ...]:
    """Return the patterns of the tags that start a workflow; none where no tag does."""
    try:
        data = read_yaml(workflow, "").data
    except UserError:
        return ()
    part = data
    for key in ("on", "push", "tags"):
        part = part.get(key) if isinstance(part, dict) else None
    return tuple(map(str, part)) if isinstance(part, list) else (part,) if isinstance(part, str) else ()


def starts(patterns: Iterable[str], tag: str) -> bool:
    """Whether a tag starts a workflow, by GitHub's filter patterns; one with ``!`` takes tags out again.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#filter-pattern-cheat-sheet
    """
    found = False
    for pattern in patterns:
        parts = re.findall(r"\*\*|\*|\[[^\]]*\]|[?+]|\\.|.", pattern.removeprefix("!"))
        known = {"**": ".*", "*": "[^/]*", "?": "?", "+": "+"}
        expression = "".join(
            known.get(part) or (part if part.startswith("[") else re.escape(part[-1:])) for part in parts
        )
        try:
            hit = re.fullmatch(expression, tag) is not None
        except re.error:
            hit = False
        found = (found or hit) if not pattern.startswith("!") else (found and not hit)
    return found


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    for entry in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        if isinstance(entry, dict) and ("run" in entry or "uses" in entry):
            yield entry
        else:
            yield from _steps(entry)


def _published(step: dict[str, Any]) -> set[str]:
    action = str(step.get("uses", "")).partition("@")[0].lower()
    given = step.get("with") if isinstance(step.get("with"), dict) else {}
    dry = given.get("dry-run", given.get("dry_run")) in (True, "true") if given else False
    if action in _RELEASE_PLZ:
        return set() if dry or (given and given.get("command") == "release-pr") else {ANY}
    known = [found for words in commands_of(str(step.get("run", ""))) if (found := _of(words)) is not None]
    if known or dry:
        return set().union(*known)
    return {ANY} if _TOKEN.search(json.dumps(step)) else set()


def _of(words: list[str]) -> set[str] | None:
    """Return what a command publishes, nothing for a dry run; None where it is of another kind."""
    names = [word.rpartition("/")[2] for word in words]
    if "release-plz" in names:
        return {ANY} if "release" in names and "--dry-run" not in words else set()
    if "cargo" not in names:
        return None
    rest = names[names.index("cargo") + 1 :]
    subcommands = [word for word in rest if not word.startswith(("-", "+"))]
    match subcommands:
        case ["publish" | "workspaces" | "ws" as program, *_]:
            publishes = (program == "publish" or "publish" in subcommands[1:]) and not {
                "--dry-run",
                "-n",
            } & {*rest}
        case ["release" | "smart-release" as program, *steps]:
            publishes = bool({"--execute", "-x"} & {*rest}) and "--no-publish" not in rest
            publishes = publishes and not (program == "release" and {*steps} & {*_NO_PUBLISHING})
        case _:
            return None
    return _packages(rest) if publishes else set()


def _packages(words: list[str]) -> set[str]:
    """Return the packages that options name; `ANY` where none is named by its plain name."""
    found = set()
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if option := _PACKAGE.fullmatch(word):
            name = _PACKAGE.fullmatch(f"-p{following}") if word in ("-p", "--package") else option
            found.add(name[1] if name else ANY)
    return found or {ANY}
