"""The expressions of cargo's ``target.'cfg(...)'`` tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_COMBINED: dict[str, Callable[[list[bool]], bool]] = {
    "cfg": all,
    "all": all,
    "any": any,
    "not": lambda results: not all(results),
}


def holds(expression: str, facts: Collection[str]) -> bool:
    """Return whether an expression holds for a target; one that is malformed does not.

    https://doc.rust-lang.org/reference/conditional-compilation.html has the grammar.

    Args:
        expression: As the table's name has it: ``cfg(all(unix, target_arch = "x86_64"))``.
        facts: What ``rustc --print cfg`` says of the target: ``unix``, ``target_arch="x86_64"``.
    """
    try:
        return _holds(re.findall(r'"[^"]*"|\w+|[(),=]', expression)[::-1], facts)
    except LookupError:
        return False


def _holds(left: list[str], facts: Collection[str]) -> bool:
    """Evaluate the next predicate of the words that are left, the nearest last."""
    name = left.pop()
    if left and left[-1] == "(":
        left.pop()
        results = []
        while left[-1] != ")":
            results.append(_holds(left, facts))
            if left[-1] == ",":
                left.pop()
        left.pop()
        return _COMBINED[name](results)
    if left and left[-1] == "=":
        left.pop()
        return f"{name}={left.pop()}" in facts
    return name == "true" or name in facts
