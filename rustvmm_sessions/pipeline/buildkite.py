"""Buildkite's rendering of a pipeline, and what its agent and its schema would let pass."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.registered import STANDARD

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from rustvmm_sessions.documents import Key, Place
    from rustvmm_sessions.pipeline.model import Pipeline, Step

DOCKER_PLUGIN = "docker#v5.3.0"

MOST_SHOWN = 40
"""The most characters of a wrong value in a message."""

_KEYS = ("key", "id", "identifier")
_KEY = re.compile(r"(?![0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$)[\w:-]{1,100}", re.ASCII)


def _is_int(value: object, least: float = -math.inf, most: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_truth(value: object) -> bool:
    return isinstance(value, bool) or value in ("true", "false")


_KEY_LIMIT = (
    lambda value: isinstance(value, str) and bool(_KEY.fullmatch(value)),
    "at most 100 letters, digits, -, _ and :, which are no UUID",
)
_SKIP_LIMIT = (
    lambda value: value is None or isinstance(value, bool) or (isinstance(value, str) and len(value) <= 70),
    "true, false, or a reason of at most 70 characters",
)
_STATUS_LIMIT = (lambda value: value == "*" or _is_int(value), 'a number, or "*" for all')
_RULES_LIMIT = (lambda value: _is_truth(value) or isinstance(value, dict), "true, false, or a list of rules")
_LIMITS: dict[tuple[str, ...], tuple[Callable[[Any], bool], str]] = {
    **{(name,): _KEY_LIMIT for name in _KEYS},
    ("skip",): _SKIP_LIMIT,
    ("matrix", "adjustments", "skip"): _SKIP_LIMIT,
    ("soft_fail",): _RULES_LIMIT,
    ("soft_fail", "exit_status"): _STATUS_LIMIT,
    ("retry",): (lambda value: isinstance(value, dict), 'rules, such as {"automatic": false}'),
    ("retry", "automatic"): _RULES_LIMIT,
    ("retry", "automatic", "exit_status"): _STATUS_LIMIT,
    ("retry", "automatic", "limit"): (lambda value: _is_int(value, 0, 10), "a number from 0 to 10"),
    ("retry", "manual"): _RULES_LIMIT,
    ("retry", "manual", "allowed"): (_is_truth, "true or false"),
    ("timeout_in_minutes",): (lambda value: _is_int(value, 1), "a whole number above 0"),
    ("priority",): (_is_int, "a whole number"),
    ("parallelism",): (lambda value: _is_int(value, 0), "a whole number"),
    ("concurrency",): (lambda value: _is_int(value, 1), "a whole number above 0"),
}
"""What Buildkite takes, where not everything: github.com/buildkite/pipeline-schema. Strings with a ``$``
pass, as the agent may make anything of them."""
_LIMITED = frozenset(path[0] for path in _LIMITS)
_OTHER_STEPS = frozenset(["wait", "waiter", "block", "manual", "input", "trigger", "group"])
_NAME = re.compile(r"[^\W\d_]\w*")


def render(pipeline: Pipeline) -> dict[str, Any]:
    """Return the pipeline as Buildkite's data.

    Raises:
        UserError: Buildkite would refuse it, or fail on it later.
    """
    steps: list[tuple[Place, Any]] = [
        (p.template.where, _step(p.step, p.template.where)) for p in pipeline.placements if p.step
    ]
    steps += [(step.place, step.data) for step in pipeline.included]
    check(steps, doubled(pipeline), _left_out_by(pipeline))
    return {"steps": [data for _, data in steps]}


def _left_out_by(pipeline: Pipeline) -> dict[str, str]:
    """Return what leaves each step of a standard session out, by their labels."""
    found = {}
    for placed in pipeline.placements:
        if placed.step and placed.template.source == STANDARD:
            name, crate = placed.template.name, placed.crate
            option = f'overrides={{"{name}": {{"exclude": ["{crate}"]}}}}' if crate else f'skip=["{name}"]'
            found[placed.step.label] = f"register({option})"
    return found


def doubled(pipeline: Pipeline) -> dict[str, int]:
    """Return the labels that several described tests have, as rust-vmm-ci lets them, and how many."""
    counts = Counter(p.step.label for p in pipeline.placements if p.step and p.template.place)
    return {label: count for label, count in counts.items() if count > 1}


def _step(step: Step, place: Place) -> dict[str, Any]:
    command: Any = step.command if isinstance(step.command, str) else list(step.command)
    if step.platform == catalog.RISCV64:
        command = step.word
    data: dict[str, Any] = {
        "label": step.label,
        "command": command,
        "retry": step.retry,
        "agents": step.agents,
        "plugins": [{DOCKER_PLUGIN: {"image": step.image, "always-pull": True, **step.docker}}],
        "timeout_in_minutes": step.timeout_minutes,
    }
    if step.condition:
        data["if"] = step.condition
    if step.changed is not None:
        data["if_changed"] = step.changed
    data.update(step.extra)
    return data if step.authored else _escaped(data, place)


def _escaped(value: Any, place: Place) -> Any:
    """Double every ``$``, so that the agent's interpolation gives the text back."""
    if isinstance(value, str):
        if "\\$" in value:  # the agent would read the pair as an escaped $
            raise UserError(
                f"{value!r} cannot pass through the agent: it reads \\$ as $",
                where=place(),
                fix="write it without the backslash before $",
            )
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escaped(item, place) for key, item in value.items()}
    return [_escaped(item, place) for item in value] if isinstance(value, list) else value


def check(
    steps: Iterable[tuple[Place, Any]],
    doubled: Mapping[str, int] | None = None,
    left_out_by: Mapping[str, str] | None = None,
) -> None:
    """Check steps for what the agent and the schema let pass, and for what interpolation refuses.

    Args:
        steps: The steps, each with what says where its keys stand.
        doubled: Labels that several steps may have, and how many.
        left_out_by: What leaves the step out that has a label.

    Raises:
        UserError: A step without a command, a key or a label twice, a dependency on nothing, an empty
            matrix, a value out of bounds, or a ``$`` that the agent cannot interpolate.
    """
    flat = [found for place, step in steps for found in _flat(place, step)]
    keys: dict[str, str] = {}
    for place, step in flat:
        for key in {step[name] for name in _KEYS if isinstance(step.get(name), str)}:
            if key in keys:
                raise UserError(
                    f"the key {key!r} is given to two steps, {keys[key]!r} and {label_of(step)!r}",
                    where=place("key"),
                    fix="give them different keys; a test with a key can have one platform only",
                )
            keys[key] = label_of(step)
    for place, step in flat:
        _check_step(place, step, keys)
    _check_labels(flat, doubled or {}, left_out_by or {})


def _check_labels(
    flat: Iterable[tuple[Place, dict[str, Any]]], doubled: Mapping[str, int], left_out_by: Mapping[str, str]
) -> None:
    """Raise a UserError if two steps have one label, by which sessions and `reproduce` find them.

    Steps with a matrix may, as their jobs have labels of their own.
    """
    seen: Counter[str] = Counter()
    single: set[str] = set()
    for place, step in flat:
        label = label_of(step)
        runs = any(step.get(key) for key in ("command", "commands"))
        if not label or (_OTHER_STEPS & step.keys() and not runs):
            continue
        if "matrix" not in step:
            single.add(label)
        if seen[label] >= doubled.get(label, 1) and label in single:
            option = left_out_by.get(label)
            raise UserError(
                f"two steps have the label {label!r}",
                where=place("label"),
                fix=f"rename this one, or leave the session's out: {option}"
                if option
                else "rename one of them: sessions and `reproduce` find a step by its label",
            )
        seen[label] += 1


def _check_step(place: Place, step: dict[str, Any], keys: Container[str]) -> None:
    for key in _dependencies(step.get("depends_on")):
        if key not in keys:
            raise UserError(
                f"depends_on names {key!r}, and no step has that key",
                where=place("depends_on"),
                fix="correct the key",
            )
    if not _OTHER_STEPS & step.keys() and not any(step.get(k) for k in ("command", "commands", "plugins")):
        raise UserError("the step has no command", where=place(), fix="add one")
    if "matrix" in step and _is_empty_matrix(step["matrix"]):
        raise UserError("the matrix is empty", where=place("matrix"), fix="add values, or remove it")
    _check_values(place, step)
    for key, text in ((key, text) for key, value in step.items() for text in _texts(value)):
        if problem := refused(text):
            raise UserError(
                f"the agent cannot interpolate {_excerpt(text)!r}: {problem}",
                where=place(key),
                fix="write $$ for a $ that is not the agent's",
            )


def _check_values(place: Place, step: Mapping[str, Any]) -> None:
    for key in (key for key in step if key in _LIMITED and step[key] is not None):
        for path, value in _parts(step[key], (key,)):
            fits, wanted = _LIMITS.get(tuple(name for name in path if isinstance(name, str)), (None, ""))
            if fits and not fits(value) and not (isinstance(value, str) and "$" in value):
                name = ".".join(map(str, path))
                raise UserError(
                    f"Buildkite refuses {name} {_shown(value)}",
                    where=place(*path),
                    fix=f"write {wanted}",
                )
    if "matrix" in step and "parallelism" in step:
        raise UserError(
            "Buildkite refuses parallelism beside a matrix",
            where=place("parallelism"),
            fix="leave one of them out",
        )


def _parts(value: Any, path: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], Any]]:
    """Yield a value and all that is in it, but a list for each of its items, with their paths."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _parts(item, (*path, index))
        return
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _parts(item, (*path, key))


def _shown(value: object) -> str:
    if isinstance(value, str) and len(value) > MOST_SHOWN:
        return f"{value[:MOST_SHOWN]!r}..., of {len(value)} characters"
    return repr(value)


def _flat(place: Place, step: Any) -> Iterator[tuple[Place, dict[str, Any]]]:
    if isinstance(step, dict):
        inner = step.get("steps") or []
        if not isinstance(inner, list):
            raise UserError("steps is a list", where=place("steps"), fix="correct it there")
        yield place, {key: value for key, value in step.items() if key != "steps"} if inner else step
        for index, entry in enumerate(inner):
            yield from _flat(functools.partial(place, "steps", index), entry)


def _dependencies(given: Any) -> Iterator[str]:
    for entry in given if isinstance(given, list) else [given]:
        key = entry.get("step") if isinstance(entry, dict) else entry
        if isinstance(key, str):
            yield key


def _is_empty_matrix(matrix: Any) -> bool:
    setup = matrix.get("setup") if isinstance(matrix, dict) else matrix
    if isinstance(setup, dict):
        return not setup or not all(setup.values())
    return not setup


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "$" in value:
            yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _excerpt(text: str) -> str:
    start = max(0, text.find("$") - 10)
    return text[start : start + 50]


def refused(text: str) -> str:
    r"""Return why the agent would refuse to interpolate `text`, or an empty string.

    The grammar is that of github.com/buildkite/interpolate v0.1.5: ``${NAME}``, ``${NAME:-x}``,
    ``${NAME-x}``, ``${NAME?x}``, ``${NAME:offset:length}``; any ``$`` before something else passes.
    """
    try:
        _expression(text, 0, "")
    except ValueError as error:
        return str(error)
    return ""


def _expression(text: str, at: int, stop: str) -> int:
    while at < len(text) and (not stop or text[at] != stop):
        if text.startswith(("\\\\", "\\$", "$$", "$("), at):
            at += 2
        elif text.startswith("${", at):
            at = _brace(text, at + 2)
        else:
            at += 1
    return at


def _brace(text: str, at: int) -> int:
    name = _NAME.match(text, at)
    if not name:
        raise ValueError(f"a name is expected after ${{, not {text[at : at + 1] or 'the end'!r}")
    at = name.end()
    if text.startswith((":-", "-", "?"), at):
        at = _expression(text, at + (2 if text[at] == ":" else 1), "}")
    elif text.startswith(":", at):
        end = text.find("}", at)
        numbers = text[at + 1 : end].split(":", 1) if end >= 0 else [""]
        if not all(re.fullmatch(r"\s*[-+]?\d+\s*", number) for number in numbers):
            raise ValueError("an offset is expected after the colon")
        at = end
    if not text.startswith("}", at):
        raise ValueError("a closing brace is missing")
    return at + 1


# Comparing


def differences(old: list[Any], new: list[Any]) -> list[str]:
    """Return what changes from one list of steps to another, a line each, for people."""
    before, after = _by_label(old), _by_label(new)
    lines = [f"- {label}" for label in before if label not in after]
    for label, step in after.items():
        if label not in before:
            lines.append(f"+ {label}")
        elif step != before[label]:
            lines += [f"~ {label}: {change}" for change in _changes(before[label], step)]
    kept = [label for label in after if label in before]
    if not lines and kept != [label for label in before if label in after]:
        lines.append("~ the order of the steps")
    return lines


def _by_label(steps: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    seen: Counter[str] = Counter()
    for index, step in enumerate(steps, 1):
        label = label_of(step) or f"step {index}"
        seen[label] += 1
        found[f"{label} ({seen[label]})" if seen[label] > 1 else label] = step
    return found


def label_of(step: Any) -> str:
    """Return what people see of a step; empty where it has nothing to say."""
    if not isinstance(step, dict):
        return ""
    keys = ("label", "name", "group", "block", "input", "key")
    return next((step[key] for key in keys if step.get(key) and isinstance(step[key], str)), "")


def _changes(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            inner = f"{path}.{key}" if path else str(key)
            if key not in new:
                yield f"{inner} goes (was {old[key]!r})"
            elif key not in old:
                yield f"{inner} comes: {new[key]!r}"
            elif old[key] != new[key]:
                yield from _changes(old[key], new[key], inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            if one != other:
                yield from _changes(one, other, f"{path}[{index}]")
    else:
        yield f"{path or 'it'}: {old!r} -> {new!r}"
