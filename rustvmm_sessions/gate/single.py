"""The sessions that run cargo once: formatting and documentation."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from rustvmm_sessions.console import say
from rustvmm_sessions.errors import CheckFailed
from rustvmm_sessions.gate.commands import GateRequest, pasteable, placed, start
from rustvmm_sessions.gate.matrix import failure, lockfile
from rustvmm_sessions.results import ESCAPES, Finding
from rustvmm_sessions.rust.cargo import messages_format, package_specs
from rustvmm_sessions.rust.choice import choose
from rustvmm_sessions.rust.configuration import with_flags
from rustvmm_sessions.rust.messages import Printer, diagnostics, finding, findings_said
from rustvmm_sessions.rust.tools import need_component

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rustvmm_sessions.process import Finished

RUSTFMT_CONFIG = "format_code_in_doc_comments=true"
_DIFFERENCE = re.compile(
    r"^Diff in (?P<file>.+?)(?::| at line )(?P<line>\d+):\n(?P<lines>(?:[-+ ].*\n|\n)*)", re.MULTILINE
)

DOC_CFG = "RUSTDOC_disable_feature_compat_errors"
"""Lets crates whose features exclude each other document all of them at once."""


def check_format(request: GateRequest) -> None:
    """Check the formatting with rustfmt, or correct it with `GateRequest.fix`.

    Raises:
        CheckFailed: Something is not formatted.
        UserError: There is no manifest, or cargo refuses it.
    """
    packages = choose(request.cargo, request.choice)
    if packages is not None and not packages:
        say("Nothing to run.")
        return
    need_component(request.cargo, "fmt", "rustfmt")
    scope = ["--all"] if packages is None else [f"--package={name}" for name in packages]
    args = ("fmt", *scope, "--", *([] if request.fix else ["--check"]), "--config", RUSTFMT_CONFIG)
    if request.listing:
        say(shlex.join(("cargo", *args)))
        return
    done = request.cargo.run(*args, deadline=request.deadline)
    if done.ok:
        return
    for each in (
        *unformatted(done.stdout, request.report.file),
        *findings_said(done.stderr, placed(request)),
    ):
        request.report.found(each)
    if request.fix or done.timed_out or "Diff in " not in done.stdout:
        _ = request.cargo.metadata  # where the manifest is what is wrong, it says so
        said = "" if done.timed_out else "; see what it says above"
        raise CheckFailed(f"rustfmt failed: {done.ending}{said}", output=done.output)
    words = [f"--package={name}" for name in packages or () if request.workspace]
    fix = shlex.join(("nox", "-s", "fmt", "--", "--fix", *words))
    raise CheckFailed(
        f"the formatting is not rustfmt's; `{fix}` corrects it",
        fix=fix,
        output=done.output,
    )


def unformatted(said: str, place: Callable[[str], str | None]) -> Iterator[Finding]:
    """Yield what ``rustfmt --check`` prints: a difference for each place that it would change."""
    for match in _DIFFERENCE.finditer(ESCAPES.sub("", said)):
        file, line = place(match["file"]), int(match["line"])
        lines = match["lines"].splitlines()
        changed = [number for number, text in enumerate(lines) if text.startswith(("-", "+"))]
        before = sum(not text.startswith("+") for text in lines[: changed[0]]) if changed else 0
        removed = sum(text.startswith("-") for text in lines)
        first = line + before
        yield Finding(
            kind="format",
            title="rustfmt formats this differently",
            message=match["lines"].rstrip("\n"),
            file=file,
            line=first if file else None,
            end_line=first + removed - 1 if file and removed > 1 else None,
        )


def build_documentation(request: GateRequest) -> None:
    """Build the documentation of all members with all features, warnings denied.

    Raises:
        CheckFailed: rustdoc has something to say.
    """
    packages = choose(request.cargo, request.choice)
    if packages is not None and not packages:
        say("Nothing to run.")
        return
    cargo = start(request)
    env = with_flags(cargo, "rustdocflags", ("-D", "warnings"))
    if request.listing:
        named = [f"--package={name}" for name in packages or ()] or ["--workspace"]
        say(shlex.join(("cargo", "doc", *named, "--all-features", "--no-deps")))
        return
    with lockfile(cargo):
        specs = {} if packages is None else package_specs(cargo)
        scope = [f"--package={specs.get(name, name)}" for name in packages or ()] or ["--workspace"]
        args: tuple[str, ...] = ("doc", *scope, "--all-features", "--no-deps")
        done = _document(request, args, env)
        if "could not compile `" in done.stderr:
            # Not rustdoc, but the compiler refuses a crate that others need. Other flags build all
            # dependencies anew, hence only now.
            say("Once more, for crates whose features exclude each other.")
            env |= with_flags(cargo, "rustflags", ("--cfg", DOC_CFG))
            done = _document(request, args, env)
    if not done.ok:
        said = diagnostics(done.stdout)
        for told in said.denied:
            if each := finding(told, placed(request)):
                request.report.found(each)
        what = f"{', '.join(packages or ['the whole workspace'])} with all features"
        repeat = pasteable(request, (cargo.program, *args), env)
        raise failure(what, repeat, done=done, ending=done.ending, output=said.text + done.stderr)


def _document(request: GateRequest, args: Sequence[str], env: Mapping[str, str]) -> Finished:
    words = (*args, messages_format())
    return start(request).read(*words, env=env, echo=True, deadline=request.deadline, listener=Printer())
