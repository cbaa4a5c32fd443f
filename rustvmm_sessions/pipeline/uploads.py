"""Which steps upload the pipeline that they are part of: a build with one never ends."""

from __future__ import annotations

import itertools
import os.path
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.documents import read_yaml
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.model import interpolated
from rustvmm_sessions.pipeline.script import commands_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from rustvmm_sessions.documents import Place

DEFAULT_FILES = tuple(
    f"{folder}.{ending}"
    for folder in ("buildkite", ".buildkite/pipeline", "buildkite/pipeline")
    for ending in ("yml", "yaml", "json")
)
"""What ``buildkite-agent pipeline upload`` reads without a file, the first that there is."""

_FILE = re.compile(r".*\.(ya?ml|json)")
_PROGRAM = re.compile(r"(.*/)?(rustvmm[-_]sessions(\.cli)?|(?P<old>autogenerate_pipeline\.py))")
_DESCRIPTION = re.compile(r"(?:-t|--test-description=?)(.*)")
_SESSIONS = re.compile(r"-[sek]|--sessions?|--keywords")
_SESSION = re.compile(r"(-[sek]|--sessions?=|--keywords=)pipeline")
_READS_ONLY = frozenset(("--check", "--diff", "--explain", "--help"))


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The files that a pipeline is made of.

    Attributes:
        descriptions: Its description files.
        included: The pipeline file whose steps it takes over, if any.
        read: Reads a file of the crate; None where there is none.
    """

    descriptions: frozenset[str]
    included: str = ""
    read: Callable[[str], str | None]


def check(steps: Iterable[tuple[Place, Any]], sources: Sources) -> None:
    """Check steps for an upload of the pipeline that `sources` make.

    Raises:
        UserError: With the place of the first one.
    """
    for place, step in steps:
        if not isinstance(step, dict):
            continue
        inner = step.get("steps") or ()
        check(((_below(place, index), each) for index, each in enumerate(inner)), sources)
        if _uploads_itself(_script(step), sources, frozenset([os.path.normpath(sources.included)])):
            raise UserError(
                "the step uploads the pipeline that it is part of, so the build would never end",
                where=place("command"),
                fix="keep that step in the file that the build starts with, and the others in another file, "
                "such as .buildkite/steps.yml",
            )


def starts_with(text: str, path: Path) -> bool:
    """Whether a pipeline file is the one that a build starts with: one of its steps uploads the pipeline."""
    sources = Sources(descriptions=frozenset(), read=lambda _: text)
    return any(_uploads_itself(_script(step), sources, frozenset()) for step in _steps_of(str(path), sources))


def _below(place: Place, index: int) -> Place:
    return lambda *path: place("steps", index, *path)


def _script(step: dict[str, Any]) -> str:
    given = step.get("command") or step.get("commands") or ""
    return interpolated("\n".join(map(str, given)) if isinstance(given, list | tuple) else str(given))


def _uploads_itself(script: str, sources: Sources, seen: frozenset[str]) -> bool:
    commands = [(words, _makes_it(words, sources)) for words in commands_of(script)]
    upload = next((words for words, made in commands if _is_upload(words, made=made is not None)), None)
    if upload is None:
        return False
    if any(made for _, made in commands):
        return True
    names = [os.path.normpath(word) for words, _ in commands for word in words if _FILE.fullmatch(word)]
    if not names and upload[0] == "\n":
        names = [name for name in DEFAULT_FILES if sources.read(name) is not None][:1]
    if seen & {*names}:
        return True
    return any(
        _uploads_itself(_script(step), sources, seen | {*names})
        for name in names
        for step in _steps_of(name, sources)
    )


def _steps_of(name: str, sources: Sources) -> Iterator[dict[str, Any]]:
    """Yield the steps of another pipeline file, as far as it can be read."""
    try:
        data = read_yaml(sources.read(name) or "", name).data
    except UserError:
        return
    todo = [data]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield part
            todo.append(part.get("steps"))
        elif isinstance(part, list):
            todo += part


def _is_upload(words: list[str], *, made: bool) -> bool:
    agent = ("pipeline", "upload") in itertools.pairwise(words) and "--dry-run" not in words
    return agent or (made and "--upload" in words)


def _makes_it(words: list[str], sources: Sources) -> bool | None:
    """Whether a command prints or uploads this pipeline, or another one; None where it makes none."""
    if _READS_ONLY & {word.partition("=")[0] for word in words} or words[1:2] in (["echo"], ["printf"]):
        return None
    for index, word in enumerate(words):
        program = _PROGRAM.fullmatch(word)
        if program and (program["old"] or "pipeline" in words[index:]):
            described = _value_of(_DESCRIPTION, words[index:])
            return described in sources.descriptions if described else not program["old"]
    before = words[: words.index("--")] if "--" in words else words
    chosen = itertools.dropwhile(lambda word: not _SESSIONS.fullmatch(word), before)
    return ("pipeline" in chosen or any(_SESSION.fullmatch(word) for word in before)) or None


def _value_of(option: re.Pattern[str], words: list[str]) -> str:
    """Return the value of an option, in the next word or in its own; a normal path, or an empty string."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if found := option.fullmatch(word):
            return os.path.normpath(found[1] or following)
    return ""
