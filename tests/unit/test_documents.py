"""JSON and YAML with places; YAML that both of its versions read alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rustvmm_sessions.documents import read_json, read_yaml, write_yaml
from rustvmm_sessions.errors import UserError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
DATA: st.SearchStrategy[Any] = SCALARS
for _depth in range(3):  # st.recursive takes twice the time
    DATA = DATA | st.lists(DATA, max_size=3) | st.dictionaries(TEXT, DATA, max_size=3)
LOOKALIKES = (
    *("1e3", "0o17", "010", "0x1f", "1_000", "12:30:45", ".5", "-.inf", ".nan", "+1", "0b1", "1e+22"),
    *("yes", "No", "on", "OFF", "y", "true", "~", "null", "", " ", "=", "<<", "2026-01-01", "-", "- a"),
    *("? a", "tilde ~", "größe, 日本語 ✓ 🦀", "\x85\u2028\ufeff", "$HOME", "$$PWD", "{{ matrix.x }}"),
    *("a: b", "a:", ":a", "a #b", "#a", "a#b", "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "{a}", "[a]"),
    *("'", '"', "a'b", 'say "hi"', "a\nb", "a\nb\n", "a\n\n", "\na", " a\nb", "a\n b\n", "a\n \nb"),
    *("\ta\nb", "a\tb\n\tc", "a\r\nb", "a \nb"),
    *("---\na", "...", "\x00\x07\x1b", "a" * 300, "C:\\x", "\\", "trailing "),
)


@pytest.mark.parametrize("text", LOOKALIKES)
def test_a_string_stays_one(text: str) -> None:
    for data in ({"k": text}, [text], {text: 1}, [[text, {"a": text}]], {"a": [{"b": text, "c": text}]}):
        assert yaml.safe_load(write_yaml(data)) == data
        assert read_yaml(write_yaml(data), "x").data == data


@settings(max_examples=300)
@given(DATA)
@example({"a": 1e22, "b": 1.5e-7, "c": 1e16, "d": -0.0})
@example([[], {}, [[]], [{}], {"a": []}])
def test_anything_comes_back(data: Any) -> None:
    text = write_yaml(data)
    assert yaml.safe_load(text) == data
    assert read_yaml(text, "x").data == data


def test_commands_are_readable() -> None:
    data = {"command": "cargo test --all -- -D warnings", "script": "set -e\n\tls\n\nls\n", "name": "a: b"}
    assert write_yaml(data) == (
        'command: cargo test --all -- -D warnings\nscript: |\n  set -e\n  \tls\n\n  ls\nname: "a: b"\n'
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("True", True),
        ("1e3", 1000.0),
        ("0o17", 15),
        ("017", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("0b11", 3),
        ("09", 9.0),
        ("1.5", 1.5),
        ("12:30", "12:30"),
        ("~", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("-", "-"),
    ],
)
def test_scalars_are_what_the_agent_takes_them_for(text: str, value: object) -> None:
    got = read_yaml(f"[{text}]" if text != "-" else '["-"]', "x").data[0]
    assert (got, type(got)) == (value, type(value))


def test_merge_keys_are_merged_and_own_keys_win() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 9\n"
    assert read_yaml(text, "f").data["z"] == {"a": 9, "b": 2, "c": 4}


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ('{"a": 1,\n "b": 2,\n "a": 3}', "'a' is given twice, first in line 1", "f.json:3"),
        ('{"t": [{"a": 1},\n {"a": {"b": 1,\n\n "b": 2}}]}', "'b' is given twice", "f.json:4"),
        ('{"a":\n 1,}', "invalid JSON", "f.json:2"),
        ('{"a": NaN}', "NaN is not a JSON number", "f.json:1"),
        ('{"a": "NaN",\n "b": [1,\n NaN]}', "NaN is not a JSON number", "f.json:3"),
        ('{"a": 1e999}', "1e999 is too large", "f.json:1"),
        ('{"1e999": "-1e999",\n "b": -1e999}', "-1e999 is too large", "f.json:2"),
        ("", "invalid JSON", "f.json:1"),
        ("[" * 100_000, "nested too deeply", "f.json:1"),
        ("[" * 500 + "]" * 500, "nested too deeply", "f.json:1"),
        (f"[{'9' * 5000}]", "invalid JSON", "f.json:1"),
    ],
)
def test_wrong_json_is_named_with_its_line(text: str, what: str, where: str) -> None:
    with pytest.raises(UserError) as error:
        read_json(text, "f.json")
    assert what in error.value.what
    assert error.value.where == where


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("a: 1\nb: 2\na: 3\n", "'a' is given twice", "f.yml:3"),
        ("a: [1\nb: 2\n", "invalid YAML", "f.yml:2"),
        ("a: 1\n? [b]\n: 2\n", "a key is a list", "f.yml:2"),
        ("a: &a [*a]\n", "without end", "f.yml:1"),
        ("a: *b\n", "undefined alias", "f.yml:1"),
        ("a: 1\n---\nb: 2\n", "another document", "f.yml:2"),
        ("a: \x07\n", "control characters are not allowed", "f.yml:1"),
        ("[" * 500 + "]" * 500, "without end", "f.yml:1"),
        ("a: {<<: 1}\n", "<< merges something else", "f.yml:1"),
    ],
)
def test_wrong_yaml_is_named_with_its_line(text: str, what: str, where: str) -> None:
    with pytest.raises(UserError) as error:
        read_yaml(text, "f.yml")
    assert what in error.value.what
    assert error.value.where == where


def test_aliases_do_not_multiply_without_end() -> None:
    levels = "".join(f"l{n + 1}: &l{n + 1} [{', '.join([f'*l{n}'] * 10)}]\n" for n in range(8))
    with pytest.raises(UserError, match="without end"):
        read_yaml(f"l0: &l0 [x]\n{levels}", "f.yml")


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UserError, match="half of a pair"):
        write_yaml({"a": "\ud800"})


def test_every_part_of_json_has_its_line() -> None:
    strings = ("", "a", "{[,:]}", 'a": "b', "\\", '\\"', "a\nb", "\x85\u2028\t", "😀")
    data: dict[str, Any] = {text: {"list": [text, [], [{text: text}], {}], "more": text} for text in strings}
    for ensure_ascii in (False, True):
        for separators in ((",", ":"), (" , ", " :\t")):
            text = json.dumps(data, indent=1, ensure_ascii=ensure_ascii, separators=separators)
            document = read_json(text, "f")
            lines = text.split("\n")
            found = dict(document.places())
            assert len(found) == len(strings) * 9
            for path, line in found.items():
                value: Any = data
                for key in path:
                    value = value[key]
                start = path[-1] if isinstance(path[-1], str) else value if isinstance(value, str) else None
                if start is not None:
                    start = json.dumps(start, ensure_ascii=ensure_ascii)
                assert lines[line - 1].strip().startswith(start or ("[", "{"))


def test_a_key_that_is_given_twice_is_named_once_where_that_is_allowed() -> None:
    text = '{"a": {"b": 1},\n "c": 1,\n "a": {"b": 2,\n "c": 3},\n "d": [{"e": 1, "e": 2}]}'
    document = read_json(text, "f", allow_twice=True)
    assert document.twice == (("a",), ("d", 0, "e"))
    assert (document.at("a"), document.at("d", 0, "e")) == ("f:3", "f:5")


def test_a_place_is_the_nearest_part_that_there_is() -> None:
    document = read_json('{"tests": [\n {"a": 1},\n {"b": [1,\n  2]}]}', "f.json")
    assert document.where("tests", 1, "b", 1) == "f.json:4"
    assert document.where("tests", 1, "b") == "f.json:3, key 'b'"
    assert document.where("tests", 0, "missing", note="test 'x'") == "f.json:2, test 'x'"
