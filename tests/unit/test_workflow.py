"""GitHub's workflow commands: what we write is read back as meant, and what others write is no command."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.workflow import command, defused


def read(line: str) -> tuple[str, dict[str, str], str] | None:
    """Read a line as GitHub's runner does (ActionCommand.TryParseV2, TryParse); any name is known to it."""
    trimmed = line.lstrip()
    if trimmed.startswith("::") and (end := trimmed.find("::", 2)) > 0:
        name, _, rest = trimmed[2:end].partition(" ")
        pairs = (pair.split("=", 1) for pair in rest.strip().split(",") if "=" in pair)
        values = {key.strip(): unescaped(value, ":,") for key, value in pairs}
        return name, values, unescaped(trimmed[end + 2 :], "")
    if (start := line.find("##[")) >= 0 and (end := line.find("]", start)) > 0:
        return line[start + 3 : end], {}, line[end + 1 :]
    return None


def unescaped(text: str, more: str) -> str:
    for char in f"\r\n{more}%":
        text = text.replace(f"%{ord(char):02X}", char)
    return text


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MARKS = ("::", ":", "##[", "#", "[", "]", "error", "\n", "\r", " ", "\t", "\u2003", "\ufeff", "\x85", "%")
FOREIGN = st.lists(st.sampled_from(MARKS) | TEXT, max_size=12).map("".join)


@settings(deadline=None)
@given(FOREIGN, FOREIGN, FOREIGN)
def test_a_command_is_read_as_it_is_meant(message: str, title: str, file: str) -> None:
    line = command("error", message, file=file, title=title, line="3")
    assert re.search(r"[\r\n]", line) is None
    name, properties, data = read(line) or ("", {}, "")
    assert (name, data) == ("error", message)
    assert properties == {"file": file, "title": title, "line": "3"}


@settings(deadline=None)
@given(st.lists(FOREIGN.filter(bool), min_size=1, max_size=4))
def test_what_others_print_is_no_command_however_it_comes(pieces: list[str]) -> None:
    printed = b"".join(defused(piece.encode()) for piece in pieces).decode()
    assert [read(line) for line in re.split(r"[\r\n]", printed)].count(None) == len(
        re.split(r"[\r\n]", printed)
    )
    kept = re.sub(r"[ \n]", "", printed)
    assert kept == re.sub(r"[ \n]", "", "".join(pieces))


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"::error::x\n", b": :error::x\n"),
        (b" \t::add-mask::x\n", b" \t: :add-mask::x\n"),
        (b"10 %\r::stop-commands::x\n", b"10 %\r: :stop-commands::x\n"),
        (b"a ##[error]b\n", b"a ## [error]b\n"),
        (b"\xff\xfe::x::\n", b"\xff\xfe::x::\n"),
        (b"test a::b ... ok\n", b"test a::b ... ok\n"),
        (b"test a::b ... ", b"test a::b ... \n"),
    ],
)
def test_other_lines_stay_as_they_are(printed: bytes, shown: bytes) -> None:
    assert defused(printed) == shown
