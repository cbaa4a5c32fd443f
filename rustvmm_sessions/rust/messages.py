"""What cargo, the compiler and rustdoc say: in cargo's JSON messages, and as people read it."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.console import tell
from rustvmm_sessions.results import ESCAPES, MOST_BYTES, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rustvmm_sessions.results import Kind, Level

    Place = Callable[[str], str | None]
    """Returns a file, as the compiler names it, from the repository's top; None outside."""

_SAID = re.compile(
    r"^error(?:\[(?P<code>[^\]]+)\])?: (?P<what>.+)\n +--> (?P<file>.+):(?P<line>\d+):\d+(?P<rest>(?:\n.+)*)",
    re.MULTILINE,
)


class Lines:
    """Cuts a stream into lines; of one without end, the beginning and the end are enough.

    Args:
        line: Takes each line.
        skip: Takes several lines at once, and returns whether that was all there is to do with them.
    """

    def __init__(self, line: Callable[[bytes], None], skip: Callable[[bytes], bool] | None = None) -> None:
        self._line = line
        self._skip = skip
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        whole, end, rest = data.rpartition(b"\n")
        if end:
            whole = bytes(self._rest) + whole
            self._rest.clear()
            if self._skip is None or not self._skip(whole):
                for line in whole.split(b"\n"):
                    self._line(line)
        self._rest += rest
        if len(self._rest) > 4 * MOST_BYTES:
            del self._rest[MOST_BYTES:-MOST_BYTES]

    def finish(self) -> None:
        """Take the end of the stream for the end of a line."""
        if self._rest:
            self._line(bytes(self._rest))
            self._rest.clear()


class Printer:
    """Prints what the compiler says in cargo's JSON messages as it comes, each message once."""

    def __init__(self) -> None:
        self._lines = Lines(self._print)
        self._said: set[int] = set()

    def stdout(self, data: bytes) -> None:
        """Take what comes on standard output."""
        self._lines.feed(data)

    def stderr(self, data: bytes) -> None:
        """Leave what comes on standard error."""

    def _print(self, line: bytes) -> None:
        if b'"compiler-message"' in line:
            for message in messages_in(line.decode(errors="replace"), "compiler-message"):
                text = message["message"]["rendered"]
                if hash(text) not in self._said:
                    self._said.add(hash(text))
                    tell(text)


def artifacts_in(messages: str) -> Iterator[dict[str, Any]]:
    """Yield what cargo's JSON messages say of each thing that it built."""
    return messages_in(messages, "compiler-artifact")


def messages_in(text: str, reason: str) -> Iterator[dict[str, Any]]:
    """Yield those of cargo's JSON messages that are given for `reason`."""
    for line in text.split("\n"):
        with contextlib.suppress(ValueError):  # what a procedural macro prints
            message = json.loads(line)
            if isinstance(message, dict) and message.get("reason") == reason:
                yield message


def finding(told: Mapping[str, Any], place: Place, level: Level = "error") -> Finding | None:
    """Return the finding that a compiler's message is; None for what only sums others up.

    Args:
        told: The field ``message`` of one of cargo's messages.
        place: Where its files are.
        level: What it counts as.
    """
    code = (told["code"] or {}).get("code", "")
    spans = [span for span in told["spans"] if span["is_primary"]]
    if not (code or spans or told["children"]) and told["message"].startswith("aborting due to"):
        return None
    file, line, end_line = None, None, None
    for span in map(_outside_macros, spans[:1]):
        if file := place(span["file_name"]):
            line, end_line = span["line_start"], span["line_end"]
    return Finding(
        kind=_kind(code),
        title=f"{told['message'].splitlines()[0]}{f' ({code})' if code else ''}",
        level=level,
        message=ESCAPES.sub("", told["rendered"] or told["message"]).rstrip(),
        file=file,
        line=line,
        end_line=None if end_line == line else end_line,
    )


def _outside_macros(span: dict[str, Any]) -> dict[str, Any]:
    """Return where the macro is used that a span lies in."""
    while span["file_name"].startswith("<") and span["expansion"]:
        span = span["expansion"]["span"]
    return span


def _kind(code: str) -> Kind:
    if code.startswith("rustdoc::"):
        return "doc"
    return "lint" if code and not re.fullmatch(r"E\d{4}", code) else "compile"


def findings_said(text: str, place: Place) -> Iterator[Finding]:
    """Yield the errors in what the compiler prints for people, as cargo test passes it on."""
    for match in _SAID.finditer(ESCAPES.sub("", text)):
        file, code = place(match["file"]), match["code"] or ""
        yield Finding(
            kind=_kind(code),
            title=f"{match['what']}{f' ({code})' if code else ''}",
            message=match[0],
            file=file,
            line=int(match["line"]) if file else None,
        )


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What the compiler says in cargo's JSON messages.

    Attributes:
        text: All of it, each message once.
        warnings: How many warnings -D warnings denies.
        denied: The errors, and these warnings.
    """

    text: str
    warnings: int
    denied: tuple[Mapping[str, Any], ...]


def diagnostics(messages: str, triples: tuple[str, ...] = ()) -> Diagnostics:
    """Return what the compiler says in cargo's JSON messages, and which warnings -D warnings denies.

    What it says of a file that is in several targets, cargo passes on for each of them. Where targets
    are named, cargo gives no flags to what runs while it builds: build scripts, procedural macros and
    what they need.
    """
    flagged = {
        _unit(artifact)
        for artifact in (artifacts_in(messages) if triples else ())
        if any(set(PurePath(name).parts) & set(triples) for name in artifact["filenames"])
    }
    said: dict[str, Mapping[str, Any] | None] = {}
    for message in messages_in(messages, "compiler-message"):
        told = message["message"]
        denied = _is_denied(told) and (not triples or _unit(message) in flagged)
        if denied or told["level"].startswith("error"):
            said[told["rendered"]] = told
        said.setdefault(told["rendered"], None)
    found = tuple(told for told in said.values() if told)
    warnings = sum(told["level"] == "warning" for told in found)
    return Diagnostics(text="".join(said), warnings=warnings, denied=found)


def _unit(message: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    return message["package_id"], message["target"]["name"], tuple(message["target"]["kind"])


def _is_denied(told: Mapping[str, Any]) -> bool:
    """Whether -D warnings makes an error of what the compiler says.

    Of lints alone, whose name is their code, and neither of those about what the linker prints nor of
    what ``--force-warn`` asks for.
    """
    lint = (told["code"] or {}).get("code", "")
    forced = any("`--force-warn " in child["message"] for child in told["children"])
    return told["level"] == "warning" and bool(lint) and not lint.startswith("linker_") and not forced
