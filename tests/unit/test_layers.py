"""The layers of DESIGN.md, "Folders": a module imports from lower layers and its own, from no other.

What counts is the source: imports inside functions and under TYPE_CHECKING are imports, too.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rustvmm_sessions

PACKAGE = "rustvmm_sessions"
ROOT = Path(rustvmm_sessions.__file__).parent

# Every module has its place here; a folder's name stands for the modules in it.
LAYERS = (
    {"errors", "model", "wording"},
    {
        "bench",
        "catalog",
        "cfg",
        "changed",
        "commits",
        "config",
        "container",
        "custom_tests",
        "documents",
        "explain",
        "features",
        "llvm_export",
        "pipeline",
        "ratchet",
        "scaffold",
    },  # pure
    {"console", "deadline", "files", "outcomes", "process"},
    {"cargo", "engines", "git", "host", "manifests", "tools", "upstream", "worktree", "zipapp"},
    {"actions"},
    {"cli", "integration_tests", "invocation", "noxfile", "pytest_plugin", "sessions", "standard"},
    {""},  # the package itself: the public names
)
PURE = 1  # the highest layer that knows nothing of the machine

# What only one module may import
RESERVED = {"subprocess": "process", "nox": "sessions"}
# Programs are started by process.py alone. profile_runner.py and enter.py are programs of their own, which
# cargo and a container engine start.
STARTING = {"system", "popen", "fork", "forkpty"}
STARTING_PREFIXES = ("exec", "spawn", "posix_spawn")
STARTERS = {"process", "actions.enter", "actions.profile_runner"}
STARTING_MODULES = {"asyncio", "multiprocessing", "pty"}
# Modules that ask or change the machine; os.path alone does neither as far as it is used on strings.
IMPURE = {"glob", "io", "os", "platform", "random", "shutil", "socket", "sys", "tempfile", "time"}


def module_of(path: Path) -> str:
    """Return a file's module, without the package: ``actions.coverage``, empty for the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


SOURCES = {module_of(path): path.read_text() for path in sorted(ROOT.rglob("*.py"))}


def layer_of(module: str) -> int | None:
    """Return the layer of a module, None where the table has no place for it."""
    return next((n for n, layer in enumerate(LAYERS) if {module, module.partition(".")[0]} & layer), None)


def imports(module: str, source: str) -> set[str]:
    """Return the full names of the modules that a module imports, wherever in its source."""
    found: set[str] = set()
    modules = {f"{PACKAGE}.{name}" for name in SOURCES}
    package = [PACKAGE, *filter(None, module.split("."))]
    if module and not any(name.startswith(f"{module}.") for name in SOURCES):
        package.pop()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                base = package[: len(package) - node.level + 1]
                origin = ".".join([*base, origin] if origin else base)
            for alias in node.names:
                name = f"{origin}.{alias.name}"
                found.add(name if name in modules else origin)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            found |= {str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)}
    return found


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def taken_from_os(source: str) -> set[str]:
    """Return the functions of `os` in a source that start a program."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            names |= {alias.name for alias in node.names}
    return {name for name in names if name in STARTING or name.startswith(STARTING_PREFIXES)}


def wrongs(module: str, source: str) -> list[str]:
    """Return what a module does that its layer may not."""
    own = layer_of(module)
    if own is None:
        return [f"{module} has no layer: give it one in {Path(__file__).name}"]
    found = []
    for name in sorted(imports(module, source)):
        top, _, inner = name.partition(".")
        if top == PACKAGE:
            layer = layer_of(inner)
            if layer is None or layer > own:
                found.append(f"{module} (layer {own}) imports {name} (layer {layer})")
        elif RESERVED.get(top, module) != module:
            found.append(f"{module} imports {top}, which only {RESERVED[top]} may")
        elif top in STARTING_MODULES:
            found.append(f"{module} imports {top}, which starts processes")
        elif own <= PURE and name in IMPURE:
            found.append(f"{module} is pure and imports {name}")
    if module not in STARTERS:
        found += [f"{module} starts a program by os.{name}" for name in sorted(taken_from_os(source))]
    return found


@pytest.mark.parametrize("module", SOURCES, ids=lambda module: module or "__init__")
def test_a_module_keeps_to_its_layer(module: str) -> None:
    assert wrongs(module, SOURCES[module]) == []


def test_the_table_names_no_module_twice_and_none_that_is_gone() -> None:
    names = [name for layer in LAYERS for name in layer]
    assert len(names) == len(set(names))
    assert set(names) <= set(SOURCES)


@pytest.mark.parametrize("name", RESERVED)
def test_who_alone_may_import_something_does(name: str) -> None:
    assert [module for module in SOURCES if name in imports(module, SOURCES[module])] == [RESERVED[name]]


# The test above is worth what it would find.
@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("model", "from rustvmm_sessions import ratchet", "imports rustvmm_sessions.ratchet (layer 1)"),
        ("ratchet", "import rustvmm_sessions.process as p", "imports rustvmm_sessions.process (layer 2)"),
        ("ratchet", "from rustvmm_sessions.files import locked", "imports rustvmm_sessions.files (layer 2)"),
        (
            "files",
            "def f():\n    from rustvmm_sessions.git import Git",
            "imports rustvmm_sessions.git (layer 3)",
        ),
        (
            "git",
            "if TYPE_CHECKING:\n    from rustvmm_sessions.actions import setup",
            "actions.setup (layer 4)",
        ),
        (
            "git",
            "from .actions.setup import provide_tools",
            "imports rustvmm_sessions.actions.setup (layer 4)",
        ),
        ("git", "from . import sessions", "imports rustvmm_sessions.sessions (layer 5)"),
        ("actions.setup", "from ..sessions import Crate", "imports rustvmm_sessions.sessions (layer 5)"),
        ("actions.setup", "from .. import sessions", "imports rustvmm_sessions.sessions (layer 5)"),
        ("actions.setup", "from rustvmm_sessions import register", "imports rustvmm_sessions (layer 6)"),
        ("sessions", "import rustvmm_sessions", "imports rustvmm_sessions (layer 6)"),
        ("git", "import_module('rustvmm_sessions.sessions')", "imports rustvmm_sessions.sessions (layer 5)"),
        ("git", "from rustvmm_sessions.utils import x", "imports rustvmm_sessions.utils (layer None)"),
        ("utils", "", "utils has no layer"),
        ("git", "import subprocess", "imports subprocess, which only process may"),
        ("files", "def f():\n    from subprocess import run", "imports subprocess, which only process may"),
        ("actions.setup", "import nox.sessions", "imports nox, which only sessions may"),
        ("git", "import asyncio.subprocess", "imports asyncio, which starts processes"),
        ("tools", "import os\nos.system('true')", "starts a program by os.system"),
        ("actions.setup", "import os\nos.execvp('a', ['a'])", "starts a program by os.execvp"),
        ("git", "from os import spawnvp", "starts a program by os.spawnvp"),
        ("config", "import os", "config is pure and imports os"),
        ("ratchet", "def f():\n    import time", "ratchet is pure and imports time"),
    ],
)
def test_what_is_not_allowed_is_found(module: str, source: str, wrong: str) -> None:
    (found,) = wrongs(module, source)
    assert wrong in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("config", "from rustvmm_sessions import catalog"),
        ("features", "import os.path"),
        ("llvm_export", "from pathlib import PurePath"),
        ("process", "import subprocess, os"),
        ("sessions", "import nox"),
        ("sessions", "def f():\n    from rustvmm_sessions.actions.coverage import check_coverage"),
        ("actions.coverage", "from . import setup\nfrom .reporters import Reporter\nfrom ..git import Git"),
        ("actions.profile_runner", "import os\nos.execvp('a', ['a'])"),
        ("", "from rustvmm_sessions import sessions\nfrom rustvmm_sessions.errors import UserError"),
        ("", "from .errors import UserError"),
    ],
)
def test_what_is_allowed_is_not_found(module: str, source: str) -> None:
    assert wrongs(module, source) == []


def test_a_program_of_its_own_needs_nothing_of_the_package() -> None:
    found = imports("actions.profile_runner", SOURCES["actions.profile_runner"])
    assert not {name for name in found if name.startswith(PACKAGE)}
