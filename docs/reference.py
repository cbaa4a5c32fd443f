"""What the site takes from the code: the options of ``register()``, from where they are declared."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rustvmm_sessions.settings import (
    BenchRules,
    CommitRules,
    FuzzRules,
    Override,
    Settings,
    TargetRules,
    default_of,
)

TABLES = {
    "register": Settings,
    "overrides": Override,
    "bench": BenchRules,
    "commit_format": CommitRules,
    "fuzz": FuzzRules,
    "targets": TargetRules,
}


def table(name: str) -> str:
    """Return a Markdown table of the options of ``register()``, or of the keys of one of them."""
    rows = [
        f"| `{option.name}` | {_default(default_of(option))} | {_code(option.metadata['what'])} |"
        for option in fields(TABLES[name])
        if option.metadata
    ]
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *rows])


def _default(value: Any) -> str:
    if value is None or value in ((), {}, "") or not isinstance(value, bool | int | float | str):
        return ""
    return f"`{value!r}`"


def _code(text: str) -> str:
    """Escape what Markdown reads, but for code."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables where a page asks for them; MkDocs calls this for each page."""
    for name in TABLES:
        markdown = markdown.replace(f"<!-- options: {name} -->", table(name))
    return markdown
