"""What cargo is asked to do for each feature combination, and how that is said."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.rust.messages import artifacts_in, messages_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rustvmm_sessions import catalog
    from rustvmm_sessions.rust.cargo import Cargo
    from rustvmm_sessions.rust.features import Run


_TARGET_OPTIONS = {f"--{kind}{plural}" for kind in ("bin", "test", "example") for plural in ("", "s")} | {
    *("--lib", "--bench", "--benches", "--all-targets", "--doc")
}
"""Options of cargo test that choose targets; it adds them up, and takes --doc alone."""


@dataclass(frozen=True, kw_only=True)
class GateRequest:
    """What a session that cargo does is asked to do.

    Attributes:
        cargo: Cargo in the crate's directory.
        session: The standard session.
        called_from: The directory where nox was called.
        workspace: Whether all members are meant, or the package of the crate's directory.
        vary: Features to vary; None for all.
        depth: The most features to combine; None for no limit.
        doctests: Whether documentation tests run for each combination.
        nextest: Whether cargo-nextest runs the tests; documentation tests run beside it.
        fix: Whether to mend what can be mended, instead of checking.
        listing: Whether only to print the plan.
        partition: The share of the plan to run, (I, N) with I from 1.
        changed: Reference whose merge base with HEAD changes are taken against; empty for
            upstream, None to run all members.
        rest: Words for ``cargo test``.
        deadline: When the session's time is up.
        specs: By which word cargo knows a package whose name is not enough.
    """

    cargo: Cargo
    session: catalog.StandardSession
    called_from: Path
    workspace: bool = True
    vary: tuple[str, ...] | None = None
    depth: int | None = None
    doctests: bool = True
    nextest: bool = False
    fix: bool = False
    listing: bool = False
    partition: tuple[int, int] | None = None
    changed: str | None = None
    rest: tuple[str, ...] = ()
    deadline: Deadline = field(default_factory=Deadline)
    specs: Mapping[str, str] = field(default_factory=dict)


def commands(request: GateRequest, spec: catalog.CargoRun, run: Run, triple: str) -> list[tuple[str, ...]]:
    """Return the cargo commands for one combination."""
    target = (f"--target={triple}",) if triple else ()
    matrix = (*run.arguments(request.specs), *target)
    after = ("--", *spec.after) if spec.after else ()
    if request.fix:
        return [(spec.command[0], "--fix", *spec.command[1:], *matrix, *request.rest)]
    if not spec.tests:
        return [(*spec.command, *matrix, *after)]
    chosen = chosen_targets(request.rest)
    whole = (*spec.command[1:], *matrix, *request.rest)
    documentation = ("test", "--doc", *whole)
    documented = request.doctests and not chosen and has_library(request.cargo, run)
    if request.nextest and "--doc" not in chosen:
        release = ("--cargo-profile=release",) if "--release" in spec.command else ()
        command = ("nextest", "run", "--no-tests=pass", *release, *matrix, *request.rest)
        return [command, documentation] if documented else [command]
    if documented and not own_words(request.rest):
        return [("test", "--tests", *whole), documentation]
    tests = () if request.doctests or chosen else ("--tests",)
    return [("test", *tests, *whole)]


def chosen_targets(rest: tuple[str, ...]) -> set[str]:
    """Return the options among the words for cargo test that choose what is tested."""
    return {word.partition("=")[0] for word in own_words(rest)} & _TARGET_OPTIONS


def own_words(rest: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words for cargo test itself; the others are for the test executables."""
    return rest[: rest.index("--")] if "--" in rest else rest


def has_library(cargo: Cargo, run: Run) -> bool:
    """Whether cargo test --doc has something to test; without a library it is an error."""
    libraries = {"lib", "rlib", "dylib", "cdylib", "staticlib", "proc-macro"}
    return any(
        member.kinds & libraries
        for member in cargo.workspace.members
        if not run.packages or member.name in run.packages
    )


def pasteable(request: GateRequest, command: tuple[str, ...], env: Mapping[str, str]) -> str:
    """Return a command as it is typed where nox was called: with its directory and its variables."""
    root = request.cargo.workspace.root
    place = [] if root == request.called_from.resolve() else [f"cd {shlex.quote(str(root))} &&"]
    variables = [f"{name}={_quoted(text)}" for name, text in {**request.cargo.env, **env}.items()]
    return " ".join([*place, *variables, *map(_quoted, command)])


def _quoted(word: str) -> str:
    """Return a word for a shell; control characters, as in CARGO_ENCODED_RUSTFLAGS, in visible form."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("%", "%%")
    visible = "".join(c if c >= " " else f"\\{ord(c):03o}" for c in escaped)
    return f'"$(printf -- {shlex.quote(visible)})"'


def diagnostics(messages: str, triples: tuple[str, ...] = ()) -> tuple[str, int]:
    """Return what the compiler says in cargo's JSON messages, and how many warnings -D warnings denies.

    What it says of a file that is in several targets, cargo passes on for each of them. Where targets
    are named, cargo gives no flags to what runs while it builds: build scripts, procedural macros and
    what they need.
    """
    flagged = {
        _unit(artifact)
        for artifact in (artifacts_in(messages) if triples else ())
        if any(set(PurePath(name).parts) & set(triples) for name in artifact["filenames"])
    }
    said: dict[str, bool] = {}
    for message in messages_in(messages, "compiler-message"):
        told = message["message"]
        denied = _is_denied(told) and (not triples or _unit(message) in flagged)
        said[told["rendered"]] = said.get(told["rendered"], False) or denied
    return "".join(said), sum(said.values())


def _unit(message: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    return message["package_id"], message["target"]["name"], tuple(message["target"]["kind"])


def _is_denied(told: Mapping[str, Any]) -> bool:
    """Whether -D warnings makes an error of what the compiler says.

    Of lints alone, whose name is their code, and neither of those about what the linker prints nor of
    what ``--force-warn`` asks for.
    """
    lint = (told["code"] or {}).get("code", "")
    forced = any("`--force-warn " in child["message"] for child in told["children"])
    return told["level"] == "warning" and bool(lint) and not lint.startswith("linker_") and not forced
