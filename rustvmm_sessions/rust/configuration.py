"""Cargo's configuration of a crate: its files and variables, and what they come to for a target."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeAlias

from rustvmm_sessions.rust import cfg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rustvmm_sessions.rust.cargo import Cargo

_File: TypeAlias = tuple[Path, dict[str, Any]]
_Files: TypeAlias = list[_File]
_INCLUDE = (1, 94)
_RUSTDOCFLAGS_BY_CFG = (1, 96)
"""The first releases of cargo that know ``include``, and rustdocflags of ``target.'cfg(...)'``."""


def configuration_files(cargo: Cargo) -> Iterator[_File]:
    """Yield cargo's configuration files with their content, the nearest first.

    Files that cargo could not read either are left to cargo to complain about.
    """
    here = cargo.directory.resolve()
    folders = dict.fromkeys([*(folder / ".cargo" for folder in (here, *here.parents)), cargo.home])
    for folder in folders:
        for name in ("config", "config.toml"):
            if found := _read(folder / name):
                yield from found
                break


def _read(path: Path) -> _Files:
    with contextlib.suppress(OSError, ValueError):
        return [(path, tomllib.loads(path.read_text()))]
    return []


def configurations(cargo: Cargo, more: Sequence[Path] = ()) -> _Files:
    """Return cargo's configuration files and those that they include, what counts first at the front.

    Args:
        cargo: Cargo in the crate's directory.
        more: Files that cargo gets by ``--config``, in this order.
    """
    found = [
        *(each for path in reversed(more) for each in _read(path)),
        *configuration_files(cargo),
    ]
    if any("include" in content for _, content in found) and _release(cargo) >= _INCLUDE:
        return [each for path, content in found for each in _with_included(path, content, ())]
    return found


def _with_included(path: Path, content: dict[str, Any], around: tuple[Path, ...]) -> Iterator[_File]:
    yield path, content
    entries = content.get("include")
    for entry in reversed(entries if isinstance(entries, list) else [entries]):
        name = entry.get("path") if isinstance(entry, dict) else entry
        included = Path(os.path.normpath(path.parent / name)) if isinstance(name, str) else path
        if included not in (path, *around):  # cargo refuses a circle
            for _, inner in _read(included):
                yield from _with_included(included, inner, (path, *around))


def _release(cargo: Cargo) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", cargo.toolchain.release)[:2]))


def source_directories(cargo: Cargo) -> tuple[Path, ...]:
    """Return the folders that cargo takes vendored dependencies from."""
    return tuple(
        path.parent.parent / source["directory"]
        for path, content in configurations(cargo)
        for source in content.get("source", {}).values()
        if isinstance(source, dict) and isinstance(source.get("directory"), str)
    )


def rustc_wrapper(cargo: Cargo) -> str:
    """Return the program that cargo is told to start rustc by; empty for none."""
    for name in ("RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER"):
        if name in {**os.environ, **cargo.env}:
            return cargo.variable(name)
    for path, content in configurations(cargo):
        if wrapper := content.get("build", {}).get("rustc-wrapper"):
            return str(path.parent.parent / wrapper) if "/" in wrapper else str(wrapper)
    return ""


def runner(cargo: Cargo, triple: str) -> tuple[str, ...]:
    """Return the program that cargo puts before a test executable of `triple`, in words.

    A relative path holds from where it is written, while tests run in their package's directory.
    """
    base, value = cargo.directory, cargo.variable(runner_variable(triple))
    if not value:
        files = configurations(cargo)
        keys = (triple, *_matching(cargo, files, triple, "runner"))
        found = [each for key in keys for each in _values(files, "target", key, "runner") if each[1]]
        if found:
            base, value = found[0][0].parent.parent, found[0][1]
    words = value.split() if isinstance(value, str) else list(value)
    if words and "/" in words[0]:
        words[0] = str(base / words[0])
    return tuple(words)


def runner_variable(triple: str) -> str:
    """Return the variable that names that program."""
    return _variable(triple, "runner")


def with_flags(
    cargo: Cargo, kind: str, flags: Sequence[str], *, triple: str = "", config: Sequence[Path] = ()
) -> dict[str, str]:
    """Return the variables by which cargo adds `flags` to those that the crate and the user have set.

    Cargo takes the first it finds of: the variables, ``target.*``, ``build.*``. So one variable stands
    for all, with what was in force before; only where that differs from target to target, one for each.

    Args:
        cargo: Cargo in the crate's directory.
        kind: ``rustflags`` or ``rustdocflags``.
        flags: Flags of rustc or rustdoc, a word each.
        triple: The target that is built; empty for those of the configuration, else the host.
        config: Files that cargo gets by ``--config``, in this order.
    """
    plain, encoded = (
        cargo.env.get(n, os.environ.get(n)) for n in (kind.upper(), f"CARGO_ENCODED_{kind.upper()}")
    )
    if encoded is not None or plain is not None:
        before = (plain or "").split(" ") if encoded is None else encoded.split("\x1f")
    else:
        files = configurations(cargo, config)
        by_build = _words(cargo, files, "build", kind, variable=f"CARGO_BUILD_{kind.upper()}")
        targets = (triple,) if triple else _targets(cargo, files) or (cargo.toolchain.host,)
        by_target = {target: _of_target(cargo, files, kind, target) for target in targets}
        if len({words or by_build for words in by_target.values()}) > 1:
            own = {
                t: cargo.variable(_variable(t, kind)).split() if by_target[t] else by_build for t in targets
            }
            return {_variable(target, kind): " ".join((*words, *flags)) for target, words in own.items()}
        before = [*(by_target[targets[0]] or by_build)]
    words = [*filter(None, before), *flags]
    if encoded is not None or any(word.split() != [word] for word in words):
        return {f"CARGO_ENCODED_{kind.upper()}": "\x1f".join(words)}
    return {kind.upper(): " ".join(words)}


def _of_target(cargo: Cargo, files: _Files, kind: str, triple: str) -> tuple[str, ...]:
    words = _words(cargo, files, "target", triple, kind, variable=_variable(triple, kind))
    if kind == "rustflags" or _release(cargo) >= _RUSTDOCFLAGS_BY_CFG:
        for key in _matching(cargo, files, triple, kind):
            words += _words(cargo, files, "target", key, kind)
    return words


def _matching(cargo: Cargo, files: _Files, triple: str, key: str) -> list[str]:
    """Return the expressions that hold for a target, of those that the configuration sets `key` for."""
    names = {name for _, tables in _values(files, "target") if isinstance(tables, dict) for name in tables}
    expressions = sorted(n for n in names if n.startswith("cfg(") and _values(files, "target", n, key))
    if not expressions:
        return []
    named = _words(cargo, files, "target", triple, "rustflags", variable=_variable(triple, "rustflags"))
    built = _words(cargo, files, "build", "rustflags", variable="CARGO_BUILD_RUSTFLAGS")
    given = cargo.variable("RUSTFLAGS").split()
    flags = given or named or built  # which may set what an expression asks for
    facts = cargo.rustc("--print=cfg", f"--target={triple}", *flags).splitlines()
    return [expression for expression in expressions if cfg.holds(expression, facts)]


def configured_targets(cargo: Cargo) -> tuple[str, ...]:
    """Return the targets that cargo builds for where it is told of none; none of them is the host."""
    return _targets(cargo, configurations(cargo))


def _targets(cargo: Cargo, files: _Files) -> tuple[str, ...]:
    values = [value for _, value in _values(files, "build", "target")]
    variable = cargo.variable("CARGO_BUILD_TARGET")
    if values and isinstance(values[0], list):
        names = [name for value in reversed(values) if isinstance(value, list) for name in value]
        names += variable.split()
    else:
        names = [variable] if variable else values[:1]
    host = cargo.toolchain.host
    found = (PurePath(name).stem if name.endswith(".json") else name for name in map(str, names))
    return tuple(dict.fromkeys(host if name == "host-tuple" else name for name in found))


def _variable(triple: str, key: str) -> str:
    return f"CARGO_TARGET_{triple.upper().replace('-', '_')}_{key.upper()}"


def _values(files: _Files, *keys: str) -> list[tuple[Path, Any]]:
    """Return what files set under the keys, what counts first at the front."""
    found = []
    for path, content in files:
        value: Any = content
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found.append((path, value))
    return found


def _words(cargo: Cargo, files: _Files, *keys: str, variable: str = "") -> tuple[str, ...]:
    """Return a list of words that may be given as a string, too, as cargo merges it.

    Lists of several files are joined, of strings the nearest counts; a variable adds its own.
    """
    values = [value for _, value in _values(files, *keys)]
    words = values[0].split() if values and isinstance(values[0], str) else []
    words += [str(word) for value in reversed(values) if isinstance(value, list) for word in value]
    return (*words, *cargo.variable(variable).split())
