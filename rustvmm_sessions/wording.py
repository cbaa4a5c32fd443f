"""How messages write numbers and tables, and name what was probably meant."""

from __future__ import annotations

import difflib
import textwrap
import unicodedata
from decimal import Decimal
from itertools import zip_longest
from typing import TYPE_CHECKING

from rustvmm_sessions.errors import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from fractions import Fraction

_NARROWEST = 12
"""No column is made narrower than this to fit a terminal."""
_LONGEST = 200
"""Characters of a foreign text that are shown."""


def counted(number: int | str, noun: str) -> str:
    """Write a number of things: ``1 line``, ``2 lines``."""
    return f"{number} {noun}{'' if str(number) == '1' else 's'}"


def rounded(value: Fraction, decimals: int) -> Decimal:
    """Round half up (0.5 away from zero) to `decimals` decimals, exactly and not through a float."""
    scaled = abs(value) * 10**decimals
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Decimal(f"{whole if value >= 0 else -whole}e-{decimals}")  # arithmetic would obey a context


def nearest(name: str, names: Iterable[str], cutoff: float = 0.5) -> str:
    """Return the entry of `names` most like `name`, or an empty string where none resembles it."""
    matches = difflib.get_close_matches(name, sorted(names), n=1, cutoff=cutoff)
    return matches[0] if matches else ""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return what to do about an unknown name: the nearest one, else all there are."""
    known = sorted(str(known) for known in names)  # of an enumeration, the values
    close = nearest(name, known)
    return f"did you mean {close!r}?" if close else f"there are: {', '.join(known)}"


def columns(
    rows: Sequence[Sequence[str]], right: Collection[int] = (), *, most: int | None = None
) -> list[str]:
    """Align the cells of rows in columns.

    Args:
        rows: The rows, which may be of different lengths; a line break in a cell becomes a space.
        right: The numbers of the columns to align to the right.
        most: The columns of the terminal: cells of the widest columns are wrapped to fit; None for no limit.
    """
    rows = [[cell.replace("\n", " ") for cell in row] for row in rows]
    sizes = [max(map(width, cells)) for cells in zip_longest(*rows, fillvalue="")]
    while most is not None and sum(sizes) + 2 * (len(sizes) - 1) > most and max(sizes) > _NARROWEST:
        sizes[sizes.index(max(sizes))] -= 1
    return [
        "  ".join(
            (str.rjust if number in right else str.ljust)(cell, size + len(cell) - width(cell))
            for number, (cell, size) in enumerate(zip(line, sizes, strict=False))
        ).rstrip()
        for row in rows
        for line in list(zip_longest(*map(_wrapped, row, sizes), fillvalue="")) or [()]
    ]


def _wrapped(cell: str, size: int) -> list[str]:
    return [cell] if width(cell) <= size else textwrap.wrap(cell, size, break_on_hyphens=False)


def width(text: str) -> int:
    """Return the columns of a terminal that printable text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(char) in ("Mn", "Me") else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def one_line(text: str) -> str:
    """Return foreign text as one line, with its middle cut out where it is long."""
    if len(text) > _LONGEST:
        half = _LONGEST // 2 - 1
        text = f"{text[:half]}…{text[-half:]}"
    return escaped(text)


def escaped(text: str) -> str:
    r"""Return foreign text as one line that moves no cursor, newlines written as ``\n``."""
    return "".join(
        char.encode("unicode_escape").decode()
        if char in "\n\t" or unicodedata.category(char) in ("Zl", "Zp")
        else char
        for char in printable(text)
    )
