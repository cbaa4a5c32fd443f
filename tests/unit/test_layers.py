"""What import-linter cannot say of the modules (`lint-imports`; its contracts are in pyproject.toml).

What counts is the source: imports inside functions and under TYPE_CHECKING are imports, too.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import rustvmm_sessions

ROOT = Path(rustvmm_sessions.__file__).parent
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text()
    for path in sorted(ROOT.rglob("*.py"))
}

# Programs are started by process.py alone. The others are programs of their own, which cargo and a
# container engine start.
STARTERS = {"process", "container.enter", "coverage.profile_runner", "gate.start_test"}
STARTING = ("system", "popen", "fork", "exec", "spawn", "posix_spawn")
# A pure module neither asks nor changes the machine; os.path alone does not, as far as it is used on strings.
PURE = {
    *("errors", "page", "wording", "catalog", "settings", "documents", "results", "workflow"),
    *("bench.criterion", "bench.critcmp", "bench.document", "bench.model", "bench.page"),
    *(
        "bench.statistics",
        "bench.summary",
        "bench.table",
        "bench.words",
    ),
    *("commits.rules", "container.model", "container.job"),
    *("coverage.measurement", "coverage.ratchet", "coverage.llvm_export", "coverage.explain"),
    *("coverage.history", "coverage.page", "coverage.sources", "coverage.table"),
    *("coverage.config", "coverage.exclusions", "gate.plan", "gate.words", "init.scaffold", "init.takeover"),
    *("fuzz.libfuzzer", "release.facts", "pipeline.publishing"),
    "gate.passes",
    *("rust.cfg", "rust.features", "rust.reads", "coverage.findings"),
    *("views.annotations", "views.junit", "views.markdown", "views.terminal"),
    *(
        "pipeline.model",
        "pipeline.description",
        "pipeline.compose",
        "pipeline.registered",
        "pipeline.variables",
    ),
    *(
        "pipeline.included",
        "pipeline.script",
        "pipeline.uploads",
        "pipeline.buildkite",
        "pipeline.github",
        "pipeline.changes",
        "pipeline.table",
        "pipeline.custom_tests",
        "pipeline.spelled",
    ),
}
IMPURE = {"glob", "io", "os", "platform", "random", "shutil", "socket", "sys", "tempfile", "time"}
IMPURE |= {f"rustvmm_sessions.{name}" for name in ("console", "files", "process")}


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """Return all that a source is made of."""
    return tuple(ast.walk(ast.parse(source)))


def imports(source: str) -> set[str]:
    """Return what a source imports, wherever in it: modules, and names of modules."""
    found: set[str] = set()
    for node in nodes(source):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def started(source: str) -> set[str]:
    """Return the functions of `os` in a source that start a program."""
    names: set[str] = set()
    for node in nodes(source):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith(STARTING)}


@pytest.mark.parametrize("module", sorted(SOURCES.keys() - STARTERS))
def test_a_module_starts_no_program_by_os(module: str) -> None:
    assert started(SOURCES[module]) == set()


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_module_neither_asks_nor_changes_the_machine(module: str) -> None:
    assert imports(SOURCES[module]) & IMPURE == set()


@pytest.mark.parametrize("program", ["coverage.profile_runner", "gate.start_test"])
def test_a_program_of_its_own_needs_nothing_of_the_package(program: str) -> None:
    found = imports(SOURCES[program])
    assert not {name for name in found if name.startswith("rustvmm_sessions")}


# The tests above are worth what they would find.
@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import os\nos.system('true')", {"system"}),
        ("import os\nos.execvp('a', ['a'])", {"execvp"}),
        ("def f():\n    from os import spawnvp, getpid", {"spawnvp"}),
        ("import os.path\nos.path.join('a', 'b')", set()),
    ],
)
def test_what_starts_a_program_is_found(source: str, names: set[str]) -> None:
    assert started(source) == names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f():\n    import time", {"time"}),
        ("from rustvmm_sessions import files", {"rustvmm_sessions.files"}),
        ("from rustvmm_sessions.process import run", {"rustvmm_sessions.process"}),
        ("import os.path\nfrom pathlib import PurePath", set()),
    ],
)
def test_what_is_not_pure_is_found(source: str, names: set[str]) -> None:
    assert imports(source) & IMPURE == names
