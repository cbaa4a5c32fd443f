"""The sessions that run cargo once: formatting and documentation."""

from __future__ import annotations

import shlex

from rustvmm_sessions.console import say
from rustvmm_sessions.errors import CheckFailed
from rustvmm_sessions.gate.commands import (
    GateRequest,
    pasteable,
    start,
)
from rustvmm_sessions.gate.matrix import failure, lockfile
from rustvmm_sessions.rust.cargo import package_specs
from rustvmm_sessions.rust.choice import choose
from rustvmm_sessions.rust.configuration import with_flags
from rustvmm_sessions.rust.tools import need_component

RUSTFMT_CONFIG = "format_code_in_doc_comments=true"


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
        done = cargo.run(*args, env=env, deadline=request.deadline)
        if "could not compile `" in done.stderr:
            # Not rustdoc, but the compiler refuses a crate that others need. Other flags build all
            # dependencies anew, hence only now.
            say("Once more, for crates whose features exclude each other.")
            env |= with_flags(cargo, "rustflags", ("--cfg", DOC_CFG))
            done = cargo.run(*args, env=env, deadline=request.deadline)
    if not done.ok:
        what = f"{', '.join(packages or ['the whole workspace'])} with all features"
        repeat = pasteable(request, (cargo.program, *args), env)
        raise failure(what, repeat, done=done, ending=done.ending, output=done.output)
