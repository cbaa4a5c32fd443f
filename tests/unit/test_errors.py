"""Messages: what, where, to do; and nothing in them that a terminal would obey."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.errors import CheckFailed, UserError, printable


def test_a_message_says_what_where_and_what_to_do() -> None:
    error = UserError("the file is empty", where="tests/coverage:1", fix="git checkout -- tests/coverage")
    assert str(error) == ("the file is empty\n --> tests/coverage:1\nhelp: git checkout -- tests/coverage")


def test_a_message_leaves_out_what_it_does_not_know() -> None:
    assert str(UserError("the disk is full")) == "the disk is full"
    assert str(UserError("the disk is full", fix="free some space")) == (
        "the disk is full\nhelp: free some space"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Übergröße, 大きさ", "Übergröße, 大きさ"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("real\rfake", r"real\rfake"),
        ("ring\a nul\0 delete\x7f next\x85", r"ring\x07 nul\x00 delete\x7f next\x85"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("zero\u200bwidth, \ufeffmark, \U000e0001tag", r"zero\u200bwidth, \ufeffmark, \U000e0001tag"),
        ("not UTF-8: \udcff", r"not UTF-8: \udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@settings(deadline=None)
@given(st.text(st.characters()))
def test_nothing_escapes_escaping(text: str) -> None:
    shown = printable(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"]
    assert printable(shown) == shown
    shown.encode()


def test_a_value_of_any_length_leaves_a_message_that_can_be_read() -> None:
    value = f"begin {'x' * 200_000} end"
    message = str(UserError(f"bad value {value!r}", where=value, fix=f"correct it\n{value}"))
    assert len(message) < 5_000
    assert message.startswith("bad value 'begin xxx")
    assert message.count("xxx[...]xxx") == message.count("xxx end") == 3
    assert str(UserError("x" * 1000)) == "x" * 1000


def test_foreign_text_is_escaped_in_every_part_of_a_message() -> None:
    message = str(UserError("no \x1b[31m", where="branch \x1b[32m", fix="delete \x1b[33m"))
    assert message == "no \\x1b[31m\n --> branch \\x1b[32m\nhelp: delete \\x1b[33m"
    assert str(CheckFailed("test \x1b[31m failed")) == "test \\x1b[31m failed"
