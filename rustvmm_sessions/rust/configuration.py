"""Cargo's configuration files, and the flags and programs that they name."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.rust import cfg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rustvmm_sessions.rust.cargo import Cargo


def configurations(cargo: Cargo) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield cargo's configuration files with their content, the nearest first.

    Files that cargo could not read either are left to cargo to complain about.
    """
    here = cargo.directory.resolve()
    folders = dict.fromkeys([*(folder / ".cargo" for folder in (here, *here.parents)), cargo.home])
    for folder in folders:
        for name in ("config", "config.toml"):
            path = folder / name
            with contextlib.suppress(OSError, ValueError):
                yield path, tomllib.loads(path.read_text())
                break


def runner(cargo: Cargo, triple: str) -> tuple[str, ...]:
    """Return the program that cargo puts before a test executable of `triple`, in words.

    A relative path holds from where it is written, while tests run in their package's directory.
    """
    base, value = cargo.directory, cargo.variable(runner_variable(triple))
    if not value:
        base, value = next(iter(_configured(cargo, triple, "runner")), (base, ""))
    words = value.split() if isinstance(value, str) else list(value)
    if words and "/" in words[0]:
        words[0] = str(base / words[0])
    return tuple(words)


def runner_variable(triple: str) -> str:
    """Return the variable that names that program."""
    return f"CARGO_TARGET_{triple.upper().replace('-', '_')}_RUNNER"


def _configured(cargo: Cargo, triple: str, key: str) -> list[tuple[Path, Any]]:
    """Return what cargo's configuration has as `key` for a target, what counts first at the front.

    That is the directory from which relative paths hold, and the value.
    """
    found = [
        (path.parent.parent, name, table[key])
        for path, content in configurations(cargo)
        for name, table in content.get("target", {}).items()
        if table.get(key)
    ]
    named = [each for each in found if each[1] == triple]
    others = [each for each in found if each[1].startswith("cfg(")]
    facts = cargo.rustc("--print=cfg", f"--target={triple}").splitlines() if others else []
    holding = [each for each in others if cfg.holds(each[1], facts)]
    return [(base, value) for base, _, value in (*named, *holding)]


def rustflags(
    cargo: Cargo, kind: str, flags: tuple[str, ...], *, triple: str = ""
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return what adds `flags` to those that the crate and the user have set.

    Cargo takes the first it finds of: the variable, ``target.*`` of its configuration, ``build.*``.
    So the flags join whichever is in force.

    Args:
        cargo: Cargo in the crate's directory.
        kind: ``rustflags`` or ``rustdocflags``.
        flags: Flags of rustc or rustdoc, a word each.
        triple: The target that is built; empty for the host.

    Returns:
        Arguments for cargo, and variables; one of them is empty.
    """
    variable = kind.upper()
    encoded = f"CARGO_ENCODED_{variable}"
    if encoded in os.environ:
        return (), {encoded: "\x1f".join(filter(None, (os.environ[encoded], *flags)))}
    given = cargo.env.get(variable, os.environ.get(variable))
    if given is not None and any(" " in flag for flag in flags):
        return (), {encoded: "\x1f".join((*given.split(), *flags))}
    if given is not None:
        return (), {variable: " ".join(filter(None, (given, *flags)))}
    by_target = _configured(cargo, triple or cargo.toolchain.host, kind)
    key = "target.'cfg(all())'" if by_target else "build"
    return (f"--config={key}.{kind}={json.dumps(flags)}",), {}


def source_directories(cargo: Cargo) -> tuple[Path, ...]:
    """Return the folders that cargo takes vendored dependencies from."""
    return tuple(
        path.parent.parent / source["directory"]
        for path, content in configurations(cargo)
        for source in content.get("source", {}).values()
        if isinstance(source, dict) and isinstance(source.get("directory"), str)
    )
