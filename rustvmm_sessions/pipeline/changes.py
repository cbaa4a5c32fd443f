"""Which steps a change concerns, by their ``if_changed``, as Buildkite's agent decides it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.pipeline.model import Pipeline

_WORKFLOWS = ".github/workflows/"
_TOKEN = re.compile(r"\\.|(?<![^/{,])\*\*/|/\*\*(?=$|[,}])|\*\*|\[\^?[^\]]+\]|.", re.DOTALL)
_MEANING = {
    "**/": "(?:.*/)?",
    "/**": "(?:/.*)?",
    "**": ".*",
    "*": "[^/]*",
    "?": "[^/]",
    "{": "(?:",
    "}": ")",
    ",": "|",
}


def narrowed(pipeline: Pipeline, files: Sequence[str], since: str) -> Pipeline:
    """Return a pipeline without the steps that run only when other files change.

    A changed workflow may change what each of them does: then all of them stay.

    Args:
        pipeline: The pipeline.
        files: What changed, from the repository's top.
        since: What it changed since, in words.
    """
    if any(file.startswith(_WORKFLOWS) for file in files):
        return pipeline
    reason = f"nothing it reads has changed since {since}"
    placements = (
        p if p.step is None or concerns(p.step.changed, files) else replace(p, step=None, reason=reason)
        for p in pipeline.placements
    )
    return replace(pipeline, placements=tuple(placements))


def concerns(changed: Any, files: Sequence[str]) -> bool:
    """Whether one of the files is among those that an ``if_changed`` names; what is none names all."""
    include, exclude = changed, None
    if isinstance(changed, dict):
        include, exclude = changed.get("include"), changed.get("exclude")
    if include is None:
        return True
    return any(_matches(include, file) and not (exclude and _matches(exclude, file)) for file in files)


def _matches(patterns: Any, file: str) -> bool:
    given = patterns if isinstance(patterns, list) else [patterns]
    return any(_expression(str(pattern)).fullmatch(file) for pattern in given)


def _expression(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a glob pattern in Buildkite's syntax.

    A folder's ``FOLDER/**`` is the folder, too, which is what git lists where a submodule changes.
    """
    try:
        return re.compile("".join(map(_part, _TOKEN.findall(pattern))), re.DOTALL)
    except re.error as error:
        raise UserError(
            f"invalid pattern {pattern!r}: {error.msg}",
            where="if_changed",
            fix="close its braces and brackets, or escape them with a backslash",
        ) from error


def _part(token: str) -> str:
    if token in _MEANING:
        return _MEANING[token]
    if token.startswith("[") and len(token) > 1:
        negated = token[1] == "^"
        characters = re.sub(r"([\\^\[])", r"\\\1", token[1 + negated : -1])
        return f"[{'^' * negated}{characters}]"
    return re.escape(token[-1])
