"""Say which tools are there, in which version, who needs them, and what provides a missing one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog, tools
from rustvmm_sessions.cargo import INSTALL_RUST, Cargo, machine
from rustvmm_sessions.console import say
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git import Git
from rustvmm_sessions.process import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One tool as it is here.

    Attributes:
        name: The tool, target, device or setting.
        version: Its version; empty where it has none or is not found.
        path: Where it was found; empty where it was not.
        needed_by: The sessions that need it.
        fix: The command that provides it; empty where it is found.
        required: Whether the gate fails without it.
    """

    name: str
    version: str = ""
    path: str = ""
    needed_by: tuple[str, ...]
    fix: str = ""
    required: bool = True

    @property
    def found(self) -> bool:
        """Whether it is there and usable."""
        return not self.fix


def examine(cargo: Cargo, devices: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Look for all that the standard sessions need in the crate's directory.

    Args:
        cargo: Cargo in that directory.
        devices: Device files that the crate's sessions declare.
    """
    everyone = tuple(s.name for s in catalog.STANDARD if "gate" in s.tags)
    findings = [_rust(cargo, everyone)]
    if findings[0].found:
        findings += [_llvm(cargo), _musl(cargo)]
        findings += [_component(cargo, "fmt", "rustfmt"), _component(cargo, "clippy", "clippy")]
    findings += [
        _program("cargo-llvm-cov", "CARGO_LLVM_COV", _needed_by("cargo-llvm-cov"), required=False),
        _program("cargo-audit", "CARGO_AUDIT", _needed_by("cargo-audit")),
        _program("cargo-nextest", "CARGO_NEXTEST", ('runner="nextest"',), required=False),
        _git(cargo),
    ]
    findings += [
        _device(device, required=device in devices) for device in dict.fromkeys((*devices, "/dev/kvm"))
    ]
    return tuple(findings)


def report(findings: Sequence[Finding], *, as_json: bool = False) -> None:
    """Print the findings.

    Raises:
        CheckFailed: Something is missing that the gate needs.
    """
    if as_json:
        rows = [
            {
                "name": f.name,
                "found": f.found,
                "version": f.version or None,
                "path": f.path or None,
                "needed_by": list(f.needed_by),
                "fix": f.fix or None,
            }
            for f in findings
        ]
        say(json.dumps({"schema": 1, "tools": rows}, indent=1))
    else:
        width = max(len(f.name) for f in findings)
        for f in findings:
            state = (
                f"{f.version}  {f.path}".strip()
                if f.found
                else f"missing{'' if f.required else ' (optional)'}"
            )
            say(f"{f.name:<{width}}  {state}")
            if not f.found:
                say(f"{'':<{width}}  needed by {', '.join(f.needed_by)}; {f.fix}")
    missing = [f.name for f in findings if f.required and not f.found]
    if missing:
        raise CheckFailed(
            f"the gate cannot run here: {', '.join(missing)} missing; `nox -s setup` provides what it can"
        )


def _needed_by(tool: str) -> tuple[str, ...]:
    return tuple(s.name for s in catalog.STANDARD if tool in s.tools)


def _rust(cargo: Cargo, needed_by: tuple[str, ...]) -> Finding:
    try:
        toolchain = cargo.toolchain
        sysroot = cargo.rustc("--print", "sysroot").strip()
    except UserError as error:
        return Finding(name="rust", needed_by=needed_by, fix=f"{error.what}; {error.fix or INSTALL_RUST}")
    version = f"{toolchain.release} (LLVM {toolchain.llvm_major})"
    return Finding(name="rust", version=version, path=sysroot, needed_by=needed_by)


def _llvm(cargo: Cargo) -> Finding:
    name, needed_by = "llvm-tools", _needed_by("llvm-tools")
    try:
        found = tools.need_llvm_tools(cargo)
    except UserError as error:
        return Finding(name=name, needed_by=needed_by, fix=f"{error.what}; {error.fix}")
    return Finding(
        name=name, version=str(cargo.toolchain.llvm_major), path=str(found.cov), needed_by=needed_by
    )


def _musl(cargo: Cargo) -> Finding:
    name, needed_by = "musl-target", _needed_by("musl-target")
    try:
        triple = tools.need_musl_target(cargo, machine())
    except UserError as error:
        return Finding(name=name, needed_by=needed_by, fix=error.fix)
    place = cargo.rustc("--print", "target-libdir", "--target", triple).strip()
    return Finding(name=name, version=triple, path=place, needed_by=needed_by)


def _component(cargo: Cargo, subcommand: str, name: str) -> Finding:
    done = cargo.read(subcommand, "--version")
    if not done.ok:
        return Finding(name=name, needed_by=_needed_by(name), fix=f"run `rustup component add {name}`")
    return Finding(name=name, version=_version(done.stdout), needed_by=_needed_by(name))


def _program(name: str, variable: str, needed_by: tuple[str, ...], *, required: bool = True) -> Finding:
    try:
        path = tools.find_program(name, variable)
    except UserError as error:
        return Finding(name=name, needed_by=needed_by, fix=f"{error.what}: {error.fix}", required=required)
    if path is None:
        return Finding(name=name, needed_by=needed_by, fix=tools.SETUP, required=required)
    words: list[str | Path] = [path, name.removeprefix("cargo-"), "--version"]
    done = run(words, read_stdout=True, read_stderr=True, echo=False, timeout=20)
    return Finding(
        name=name, version=_version(done.stdout), path=str(path), needed_by=needed_by, required=required
    )


def _git(cargo: Cargo) -> Finding:
    git = Git(directory=cargo.directory)
    needed_by = ("coverage -- --diff", "clippy -- --changed", "your commits")
    version = git.line("--version")
    if version is None:
        return Finding(name="git", needed_by=needed_by, fix="install git", required=False)
    identity = git.line("config", "user.email")
    if not identity:
        fix = "say who commits: `git config --global user.email you@example.com`"
        return Finding(name="git", needed_by=needed_by, fix=fix, required=False)
    return Finding(name="git", version=_version(version), path=identity, needed_by=needed_by, required=False)


def _device(device: str, *, required: bool) -> Finding:
    needed_by = ("sessions with devices=",) if required else ("tests that start a guest",)
    try:
        tools.check_device(device)
    except UserError as error:
        return Finding(name=device, needed_by=needed_by, fix=f"{error.what}; {error.fix}", required=required)
    return Finding(name=device, path=device, needed_by=needed_by, required=required)


def _version(text: str) -> str:
    match = re.search(r"\d+\.\d+\S*", text)
    return match.group() if match else ""
