"""Which standard session a shell command of a description spells: by what it runs, whatever its flags."""

from __future__ import annotations

import argparse
import itertools
import posixpath
import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from rustvmm_sessions import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MACHINE = "$(uname -m)"
"""What stands for the machine's architecture in a variable's value."""
EACH_MEMBER = "{crate_path}"
"""The folder of a command that runs in each member's."""

_CARGO = {
    (row.matrix.command[0], "--release" in row.matrix.command, row.matrix.musl): row.name
    for row in catalog.STANDARD
    if row.matrix
} | {(name, False, False): name for name in ("fmt", "doc", "audit")}
"""The sessions by cargo's command, whether it is in release, and whether for musl."""
_PYTEST = {
    "test_coverage.py": "coverage",
    "test_commit_format.py": "commit-format",
    "test_benchmark.py": catalog.BENCH,
}
"""The sessions by rust-vmm-ci's own tests."""
_PREPARING = (["[", "-e", "Cargo.lock", "]"], ["cargo", "generate-lockfile"])
_FREE = (
    *("--workspace", "--all", "--all-targets", "--all-features", "--no-deps", "--no-fail-fast"),
    *("-q", "--quiet", "-v", "--verbose"),
)
"""Options with which cargo runs no more than the session."""
_KINDS = ("--lib", "--bins", "--tests", "--examples", "--benches")
_GATE_S_OWN = {
    "RUSTFLAGS": {"-D", "warnings", "-Dwarnings", "--cfg", "RUSTDOC_disable_feature_compat_errors"},
    "RUSTDOCFLAGS": {"-D", "warnings", "-Dwarnings"},
}
"""Words of variables that say what the gate does without them."""
_TARGET = re.compile(r"(\{target_platform\}|\w+)-unknown-linux-(gnu|musl)")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_OWN = {"fmt": (["--check"], []), "audit": ([], ["--deny", "-D"])}
_AFTER = {
    "fmt": (["--check"], ["--config"]),
    "clippy": ([], ["-D"]),
    "test": (["--nocapture"], ["--test-threads"]),
}
"""Further options of cargo's commands, flags and those with values: before ``--``, and after it."""
_VALUES = {
    "--config": {"format_code_in_doc_comments=true"},
    "--deny": {"warnings"},
    "-D": {"warnings", "clippy::undocumented_unsafe_blocks"},
}
"""The values with which the sessions run them."""
_OPERATORS = ("&&", "||", ";", "\n")
_PUNCTUATION = ";&|()<>\n"


@dataclass(frozen=True, kw_only=True)
class Spelled:
    """What a command runs of a standard session.

    Attributes:
        session: The session's name.
        folder: Where it goes before it runs; empty for nowhere.
        env: Variables that it sets; `MACHINE` stands for the architecture in their values.
        exclude: Members of the workspace that it leaves out.
        target: The architecture that it names; empty for that of the step.
        alone: Whether it means the package in its folder alone.
    """

    session: str
    folder: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    target: str = ""
    alone: bool = False


def spelled(script: str) -> Spelled | None:
    """Return what a script runs of a standard session; None where it runs anything else.

    A choice of features, packages or targets is something else, and so is what only a shell can tell.

    Args:
        script: Shell commands, after Buildkite's interpolation.
    """
    *preparing, words = _commands(script) or [[]]
    folder = ""
    for command in preparing:
        if command[0] == "cd" and len(command) == 2 and "$" not in command[1]:
            folder = posixpath.normpath(posixpath.join(folder, command[1]))
        elif command not in _PREPARING and not all(map(_ASSIGNMENT.fullmatch, command)):
            return None
    env, words = _environment(words)
    if any(char in text.replace(MACHINE, "") for text in env.values() for char in "$`"):
        return None
    known = {"cargo": _of_cargo, "pytest": _of_pytest}
    found = known[words[0]](words[1:]) if words and words[0] in known else None
    if found is None or (found.alone and not folder):
        return None
    return replace(found, folder="" if folder == "." else folder, env={**env, **found.env})


def first_folder(script: str) -> str:
    """Return the folder that a script goes to first; empty where it begins with something else."""
    first, *_ = _commands(script) or [[]]
    return posixpath.normpath(first[1]) if first[:1] == ["cd"] and len(first) == 2 else ""


def _commands(script: str) -> list[list[str]]:
    """Return the simple commands of a script; none where it is more than a list of them."""
    if "'" in script and "$" in script:  # the lexer does not say in which quotes a word was
        return []
    lexer = shlex.shlex(script.strip(), posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    commands: list[list[str]] = [[]]
    try:
        tokens = iter([*lexer])
    except ValueError:
        return []
    for part in tokens:
        words = commands[-1]
        if part == "(" and words and words[-1].endswith("$"):
            words[-1] += f"({' '.join(itertools.takewhile(lambda word: word != ')', tokens))})"
        elif part in _OPERATORS:
            commands.append([])
        elif {*part} <= {*_PUNCTUATION}:
            return []
        else:
            words.append(part)
    return commands if all(commands) else []


def _environment(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the variables that a command is run with, without the gate's own, and its other words."""
    given = [*itertools.takewhile(bool, map(_ASSIGNMENT.fullmatch, words))]
    env = {found[1]: found[2] for found in given if found}
    own = {name for name, text in env.items() if {*text.split()} <= _GATE_S_OWN.get(name, set())}
    return {name: text for name, text in env.items() if name not in own}, words[len(given) :]


def _of_pytest(words: list[str]) -> Spelled | None:
    options = _options(words, ["-s", "-v", "-q", "--no-cleanup"], ["--test-scope", "--profile"], files=True)
    if options is None or len(options["files"]) != 1:
        return None
    name = re.split(r"[ /]", options["files"][0].rstrip(")"))[-1]
    scope, profile = options["--test-scope"], options["--profile"]
    if name not in _PYTEST or {*profile} - {"ci"} or {*scope} - {"crate", "workspace"}:
        return None
    return Spelled(session=_PYTEST[name], alone="crate" in scope)


def _of_cargo(words: list[str]) -> Spelled | None:
    command, *words = words[words[:1] == ["all-features"] :] or [""]
    own = [*itertools.takewhile(lambda word: word != "--", words)]
    flags, valued = _OWN.get(command, ([], []))
    options = _options(own, [*_FREE, *_KINDS, "--release", *flags], ["--target", "--exclude", *valued])
    later = _options(words[len(own) + 1 :], *_AFTER.get(command, ([], [])))
    if options is None or later is None:
        return None
    target = _TARGET.fullmatch([*options["--target"], "{target_platform}-unknown-linux-gnu"][0])
    session = target and _CARGO.get((command, options["--release"], target[2] == "musl"))
    checked = {name: {*options.get(name, []), *later.get(name, [])} - same for name, same in _VALUES.items()}
    some = any(options[kind] for kind in _KINDS) and not options["--all-targets"]
    changing = command == "fmt" and not (options["--check"] or later["--check"])
    if not target or not session or some or changing or any(checked.values()):
        return None
    env = dict(zip(["RUST_TEST_THREADS"], later.get("--test-threads", []), strict=False))
    architecture = "" if target[1] == "{target_platform}" else target[1]
    return Spelled(session=session, exclude=tuple(options["--exclude"]), target=architecture, env=env)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _options(
    words: list[str], flags: Iterable[str], valued: Iterable[str], *, files: bool = False
) -> dict[str, Any] | None:
    """Return options by their names, and files; None where there is anything else."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    for name in flags:
        parser.add_argument(name, action="store_true", dest=name)
    for name in valued:
        parser.add_argument(name, action="append", default=[], dest=name)
    if files:
        parser.add_argument("files", nargs="*")
    try:
        given, rest = parser.parse_known_args(words)
    except ValueError:
        return None
    return None if rest else vars(given)
