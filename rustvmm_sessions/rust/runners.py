"""Programs of ours that cargo starts before each test executable, by its ``runner`` setting."""

from __future__ import annotations

import contextlib
import importlib.resources
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.rust.configuration import runner, runner_variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from rustvmm_sessions.rust.cargo import Cargo


@contextlib.contextmanager
def started_by(
    cargo: Cargo, triples: Sequence[str], program: ModuleType, words: Sequence[str], own: Path
) -> Iterator[dict[str, str]]:
    """Give the variables that let cargo start test executables by a program of ours.

    It is started as ``PROGRAM WORD ... VARIABLE=VALUE COUNT [RUNNER ...] EXECUTABLE [ARGUMENT ...]``: what
    the variable was before, and the user's own runner in COUNT words.

    Args:
        cargo: Cargo in the crate's directory.
        triples: The targets that are built for.
        program: A module that is a program of its own.
        words: Its own words.
        own: Our folder in the target directory.
    """
    python = [sys.executable, "-I", "-S", str(unpacked(program, own))]
    with contextlib.ExitStack() as stack:
        variables = {}
        for triple in triples:
            before, name = runner(cargo, triple), runner_variable(triple)
            restored = f"{name}={cargo.variable(name)}"
            line = [*python, *words, restored, str(len(before)), *before]
            variables[name] = stack.enter_context(_without_spaces(line))
        yield variables


def unpacked(program: ModuleType, own: Path) -> Path:
    """Return the file of a module; from a zipapp it is unpacked to the folder `own` first."""
    path = Path(str(program.__file__))
    if path.is_file():
        return path
    package = importlib.resources.files(program.__name__.rpartition(".")[0])
    files.write_atomic(own / path.name, package.joinpath(path.name).read_bytes())
    return own / path.name


@contextlib.contextmanager
def _without_spaces(words: Sequence[str]) -> Iterator[str]:
    """Give a command that does what `words` do, for a variable that cargo splits at spaces.

    A list in a configuration may have spaces, but cargo refuses to lay one over a string in another.
    The script lies where no space is, which TMPDIR may have.
    """
    if not any(char.isspace() for word in words for char in word):
        yield " ".join(words)
        return
    with tempfile.TemporaryDirectory(prefix="rustvmm-runner-", dir="/tmp") as folder:
        python, script = Path(folder, "python"), Path(folder, "run.py")
        python.symlink_to(sys.executable)
        script.write_text(f"import os, sys\nos.execv({words[0]!a}, [*{words!a}, *sys.argv[1:]])\n", "ascii")
        yield f"{python} -I -S {script}"
