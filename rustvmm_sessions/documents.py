"""JSON and YAML with the line of every key, so that a message can say where something stands.

YAML is read as Buildkite's agent reads it (go-yaml v3, YAML 1.2 with a little of 1.1), not as PyYAML
does: there ``yes`` is a string and ``1e3`` and ``0o17`` are numbers.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 60
MAX_NODES = 500_000
"""More than any file of 1 MiB has, unless its aliases multiply."""

Key = str | int
Keys = tuple[Key, ...]
Places = Iterator[tuple[Keys, int]]
"""The path of every key and list item, with its line from 1."""
Place = Callable[..., str]
"""Says where a part stands that a path of keys leads to, for messages."""


@dataclass(frozen=True)
class Document:
    """A file's content and where its parts stand.

    Attributes:
        name: The file's name, or the variable's.
        data: Its content: dicts with string keys, lists, strings, numbers, booleans, None.
        places: Lists where its parts stand; walked on errors only.
        twice: The paths of keys that are given more than once; the last one counts.
    """

    name: str
    data: Any
    places: Callable[[], Places]
    twice: tuple[Keys, ...] = ()

    @cached_property
    def _lines(self) -> dict[Keys, int]:
        return dict(self.places())

    def at(self, *path: Key) -> str:
        """Return ``FILE:LINE`` of a path, or of the nearest part around it."""
        return f"{self.name}:{self._lines.get(self._known(path), 1)}"

    def where(self, *path: Key, note: str = "") -> str:
        """Return ``FILE:LINE, NOTE, key 'KEY'`` of a path, or of the nearest part around it."""
        key = (self._known(path) or (0,))[-1]
        return ", ".join(filter(None, (self.at(*path), note, f"key {key!r}" if isinstance(key, str) else "")))

    def _known(self, path: Keys) -> Keys:
        return next((path[:n] for n in range(len(path), 0, -1) if path[:n] in self._lines), ())


# JSON


def read_json(
    text: str, name: str, *, number: Callable[[str], Any] | None = None, allow_twice: bool = False
) -> Document:
    """Read JSON strictly: no key twice, no NaN, no number beyond a float.

    Args:
        text: The text.
        name: The file's name, for messages.
        number: Reads numbers with a point or an exponent; the caller then refuses those that are not finite.
        allow_twice: Whether a key may be given more than once.

    Raises:
        UserError: With the line.
    """
    doubled = False

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        made = dict(pairs)
        doubled = doubled or len(made) != len(pairs)
        return made

    def finite(word: str) -> float:
        if math.isfinite(value := float(word)):
            return value
        problem = f"{word} is not a JSON number" if word[-1].isalpha() else f"the number {word} is too large"
        start = next((part.start() for part in _JSON_PART.finditer(text) if part.group() == word), 0)
        raise json.JSONDecodeError(problem, text, start)

    try:
        constant = None if number else finite
        data = json.loads(
            text, object_pairs_hook=table, parse_float=number or finite, parse_constant=constant
        )
        _check_depth(data)
    except (ValueError, RecursionError) as error:
        message = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(
            f"invalid JSON: {getattr(error, 'msg', message)}",
            where=f"{name}:{getattr(error, 'lineno', 1)}",
            fix="correct it there",
        ) from error
    document = Document(name, data, functools.partial(_json_places, text))
    if not doubled:
        return document
    lines: dict[Keys, list[int]] = {}
    for path, line in document.places():
        lines.setdefault(path, []).append(line)
    twice = {p: n[0] for p, n in lines.items() if len(n) > 1 >= len(lines.get(p[:-1], ()))}
    if allow_twice:
        return replace(document, twice=tuple(twice))
    path, line = next(iter(twice.items()))
    raise UserError(
        f"the key {path[-1]!r} is given twice, first in line {line}",
        where=document.at(*path),
        fix="leave one of them",
    )


def _check_depth(data: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            if isinstance(value, dict | list):
                _check_depth(value, depth + 1)


_JSON_PART = re.compile(r'("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}\[\],]|[^\s{}\[\],:"]+')
"""A key and its colon, another string, a bracket, a comma, or a word."""


def _json_places(text: str) -> Places:
    """Yield the path and line of every key and list item; a key given twice comes twice."""
    path: list[Key] = []  # of the part that is read: in an object it ends in a string, in a list in a number
    line, position = 1, 0
    for part in _JSON_PART.finditer(text):
        line += text.count("\n", position, part.start())
        position = part.start()
        word = part.group()
        if part[1]:
            path[-1] = json.loads(part[1])
            yield tuple(path), line
        elif word in ("}", "]"):
            path.pop()
        else:
            last = path[-1] if path else ""
            if isinstance(last, int) and word == ",":
                path[-1] = last + 1
            elif isinstance(last, int):
                yield tuple(path), line
            if word in ("{", "["):
                path.append("" if word == "{" else 0)


# YAML

_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    "": None,
    **dict.fromkeys(("~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def read_yaml(text: str, name: str) -> Document:
    """Read one YAML document as Buildkite's agent does.

    Raises:
        UserError: Invalid YAML, a key twice, keys that are no strings, aliases without end; with
            the line.
    """
    import yaml  # noqa: PLC0415 - only what reads YAML pays for it

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        node = yaml.compose(text, Loader=loader)
        data = None if node is None else _Builder(name, text).build(node)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None)
        message = "it is nested too deeply" if isinstance(error, RecursionError) else problem or str(error)
        raise UserError(
            f"invalid YAML: {message}",
            where=f"{name}:{mark.line + 1 if mark else 1}",
            fix="correct it there",
        ) from error
    return Document(name, data, lambda: _yaml_places(node))


class _Builder:
    """Builds data from the nodes of one document."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.left = MAX_NODES

    def build(self, node: Any, depth: int = 0) -> Any:
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            raise self.error(node, "aliases or nesting without end")
        if node.id == "scalar":
            plain = not node.style and not self.text.startswith(("!", "&"), node.start_mark.index)
            return scalar(node.value) if plain else node.value
        if node.id == "sequence":
            return [self.build(item, depth + 1) for item in node.value]
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.id != "scalar":
                raise self.error(key, "a key is a list or a mapping")
            content = self.build(value, depth + 1)
            if key.value == "<<" and not key.style:
                tables = content if isinstance(content, list) else [content]
                if not all(isinstance(table, dict) for table in tables):
                    raise self.error(key, "<< merges something else than a mapping")
                for table in tables:  # the first to have a key wins
                    merged = {**table, **merged}
            elif key.value in made:
                raise self.error(key, f"the key {key.value!r} is given twice")
            else:
                made[key.value] = content
        return made | {key: value for key, value in merged.items() if key not in made}

    def error(self, node: yaml.Node, what: str) -> UserError:
        return UserError(what, where=f"{self.name}:{node.start_mark.line + 1}", fix="correct it there")


def scalar(text: str) -> Any:
    """Return what a plain scalar is to go-yaml v3 (resolve.go)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    if _INT.fullmatch(text):
        old_octal = re.fullmatch(r"[-+]?0[0-7]+", digits)
        return int(digits, 8 if old_octal else 0)
    return float(digits) if _FLOAT.fullmatch(digits) else text


def _yaml_places(node: Any, path: Keys = ()) -> Places:
    """Yield the path and line of every key and list item."""
    if node is None or node.id == "scalar":
        return
    for number, item in enumerate(node.value):
        marked, value = item if node.id == "mapping" else (item, item)
        below = (*path, marked.value if node.id == "mapping" else number)
        yield below, marked.start_mark.line + 1
        yield from _yaml_places(value, below)


# Writing YAML

_PLAIN = re.compile(r"[A-Za-z/_](?:[\w ./@+=,$(){}\[\]~^*;<>|&'\"\\%!?-]|:(?=[^\s])|(?<=\S)#)*", re.ASCII)
_LOOKALIKES = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_FLAT = re.compile("[^\x20-\x7e\n\t\xa0-\u2027\u2030-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def write_yaml(data: Any) -> str:
    """Return `data` as YAML that YAML 1.1 (PyYAML) and 1.2 (Buildkite's agent) read alike.

    For the 20,000 steps of 500 crates this takes 0.7 s and 36 MB. PyYAML's dumper takes 5 s with its C
    extension, 18 s without it as in the zipapp, and 160 MB; its strings need the same care as here.

    Raises:
        UserError: A string holds half a surrogate pair, which no file can.
    """
    lines: list[str] = []
    _write(data, "", lines)
    text = "\n".join(lines) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"the character \\u{ord(text[error.start]):04x} is half of a pair",
            where=f"the pipeline's line {text[: error.start].rpartition(chr(10))[2].strip()!r}",
            fix="write the character itself",
        ) from None
    return text


def _write(data: Any, indent: str, lines: list[str]) -> None:
    """Append the lines of a mapping, a list or a scalar that stands on lines of its own."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            head = f"{indent}{_line(key)}:"
            if isinstance(value, dict | list | tuple) and value:
                lines.append(head)
                _write(value, indent + "  " if isinstance(value, dict) else indent, lines)
            else:
                lines.append(f"{head} {_scalar(value, indent)}")
    elif isinstance(data, list | tuple) and data:
        for item in data:
            if isinstance(item, dict | list | tuple) and item:
                start = len(lines)
                _write(item, indent + "  ", lines)
                lines[start] = f"{indent}- {lines[start][len(indent) + 2 :]}"
            else:
                lines.append(f"{indent}- {_scalar(item, indent)}")
    else:
        lines.append(f"{indent}{_scalar(data, indent)}")


def _scalar(value: Any, indent: str) -> str:
    if isinstance(value, str):
        return _text(value, indent + "  ")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):  # YAML 1.1 wants a point and a signed exponent
        mantissa, _, exponent = repr(value).partition("e")
        return mantissa + (("" if "." in mantissa else ".0") + f"e{int(exponent):+}" if exponent else "")
    return str(value) if isinstance(value, int) else ("{}" if isinstance(value, dict) else "[]")


def _text(text: str, indent: str) -> str:
    rows = text.split("\n")
    if (
        len(rows) > 1
        and rows[0][:1] not in ("", " ", "\t")
        and not _FLAT.search(text)
        and all(row.strip() or not row for row in rows)
        and rows[-2:] != ["", ""]
    ):
        chomp = "" if not rows[-1] else "-"
        body = rows if chomp else rows[:-1]
        return "\n".join([f"|{chomp}", *(f"{indent}{row}" if row else "" for row in body)])
    return _line(text)


@functools.lru_cache(maxsize=10_000)
def _line(text: str) -> str:
    if _PLAIN.fullmatch(text) and not text.endswith(" ") and text.lower() not in _LOOKALIKES:
        return text
    return _ESCAPED.sub(lambda c: f"\\u{ord(c.group()):04x}", json.dumps(text, ensure_ascii=False))
