"""Provide the tools that are missing: by rustup, else by the distribution's packages."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.process import run
from rustvmm_sessions.tools import find_cargo_llvm_cov, find_llvm_tools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rustvmm_sessions.cargo import Cargo

_NO_QUESTIONS = {"DEBIAN_FRONTEND": "noninteractive"}


def provide_tools(cargo: Cargo) -> None:
    """Provide what the sessions of the crate need; what is there already is only named.

    Raises:
        UserError: A tool is missing and cannot be provided here; the message says by what it can.
    """

    def say_waiting() -> None:
        say("another setup is under way; waiting for it to end")

    with files.locked(files.cache_directory() / "setup", on_wait=say_waiting):
        _provide_llvm_tools(cargo)
    tool = find_cargo_llvm_cov()
    say(
        f"cargo-llvm-cov {tool.version}: {tool.path}"
        if tool
        else "cargo-llvm-cov 0.9: not found; coverage uses the LLVM tools alone, with the same figures"
    )


def _provide_llvm_tools(cargo: Cargo) -> None:
    toolchain = cargo.toolchain
    name = f"LLVM {toolchain.llvm_major} tools for rustc {toolchain.release}"
    found = find_llvm_tools(cargo)
    if found is None:
        say(f"{name}: missing")
        for provide in (_by_rustup, _by_apt):
            if provide(cargo):
                found = find_llvm_tools(cargo)
            if found is not None:
                break
    if found is None:
        raise UserError(
            f"{name} could not be provided",
            where=f"rustc's sysroot, /usr/lib/llvm-{toolchain.llvm_major}/bin",
            fix="install them (`rustup component add llvm-tools`, or your distribution's package "
            f"llvm-{toolchain.llvm_major}), or set LLVM_COV and LLVM_PROFDATA to them",
        )
    say(f"{name}: {found.cov}")


def _by_rustup(cargo: Cargo) -> bool:
    rustup = shutil.which("rustup")
    toolchains = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup") / "toolchains"
    sysroot = Path(cargo.rustc("--print", "sysroot").strip())
    if rustup is None or not sysroot.is_relative_to(toolchains):
        return False
    return _step([rustup, "component", "add", f"--toolchain={sysroot.name}", "llvm-tools"], cargo, cargo.env)


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
