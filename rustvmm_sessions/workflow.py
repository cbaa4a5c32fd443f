"""GitHub's workflow commands: the lines of a log that its runner obeys, written and defused."""

from __future__ import annotations

import re

# The runner obeys a line that begins with `::`, after whatever .NET trims, and `##[` anywhere in a line.
# Lines end with a newline or a carriage return. More than it trims is looked through; text needs none of it.
_ASCII = rb"[\x00-\x09\x0b\x0c\x0e-\x20\x7f\x85\xa0]"
_WIDE = rb"\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8f\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80|\xef\xbb\xbf"
_COMMAND = re.compile(rb"((?:\A|(?<=[\r\n]))(?:" + _ASCII + b"|" + _WIDE + rb")*:(?=:))|(##(?=\[))")


def command(name: str, message: str, **properties: str) -> str:
    """Return a command, without the newline; what is in message and properties is data."""
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name}{' ' if given else ''}{given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def defused(printed: bytes) -> bytes:
    """Return what somebody else wrote so that it commands nothing: a space is in each command's mark.

    It ends with a line, or what is printed next could complete a command.
    """
    if b"::" in printed or b"##[" in printed:
        printed = _COMMAND.sub(rb"\g<0> ", printed)
    return printed if printed.endswith((b"\n", b"\r")) else printed + b"\n"
