"""Say which tools are there, in which version, who needs them, and what provides a missing one."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions.console import say, terminal_columns
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.process import run
from rustvmm_sessions.rust import tools
from rustvmm_sessions.rust.cargo import INSTALL_RUST, Cargo, machine
from rustvmm_sessions.vendored import RENEW, Vendored, vendored
from rustvmm_sessions.wording import columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rustvmm_sessions.settings import SessionSettings


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One tool as it is here.

    Attributes:
        name: The tool, target, device or setting.
        version: Its version; empty where it has none or is not found.
        path: Where it was found; empty where it was not.
        needed_by: The sessions that need it.
        fix: The command that provides it; empty where it is found.
        required: Whether the sessions in `needed_by` fail without it.
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

    @property
    def missed(self) -> bool:
        """Whether a session fails for lack of it."""
        return not self.found and self.required and bool(self.needed_by)


def examine(cargo: Cargo, sessions: Sequence[SessionSettings]) -> tuple[Finding, ...]:
    """Look for all that sessions need in the crate's directory.

    Args:
        cargo: Cargo in that directory.
        sessions: Those that are to run here.
    """

    def names(needs: Callable[[SessionSettings], bool]) -> tuple[str, ...]:
        return tuple(session.row.name for session in sessions if needs(session))

    def needed_by(tool: str) -> tuple[str, ...]:
        return names(lambda session: tool in session.row.tools)

    def using(device: str) -> tuple[str, ...]:
        return names(lambda session: device in session.devices)

    everyone = names(lambda _: True)

    def building_for(triple: str) -> tuple[str, ...]:
        return names(lambda session: triple in session.triples)

    triples = dict.fromkeys(triple for session in sessions for triple in session.triples)
    findings = [_cargo(cargo, everyone), _rust(cargo, everyone)]
    if all(finding.found for finding in findings):
        findings += [
            _llvm(cargo, needed_by("llvm-tools")),
            _musl(cargo, needed_by("musl-target")),
            _component(cargo, "fmt", "rustfmt", needed_by("rustfmt")),
            _component(cargo, "clippy", "clippy", needed_by("clippy")),
            *(_target(cargo, triple, building_for(triple)) for triple in triples),
        ]
    findings += [
        _program("cargo-llvm-cov", "CARGO_LLVM_COV", needed_by("cargo-llvm-cov"), required=False),
        _program("cargo-audit", "CARGO_AUDIT", needed_by("cargo-audit")),
        _program("cargo-nextest", "CARGO_NEXTEST", names(lambda session: session.nextest)),
        _program("cargo-fuzz", "CARGO_FUZZ", needed_by("cargo-fuzz")),
        _nightly(cargo, needed_by("nightly")),
        *_git(cargo, needed_by("git"), needed_by("git-identity")),
    ]
    if kept := vendored(cargo.directory):
        findings.append(_vendored(kept))
    for device in dict.fromkeys([*(d for session in sessions for d in session.devices), "/dev/kvm"]):
        findings.append(_device(device, using(device)))
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
        table = []
        for f in findings:
            there = f"{f.version}  {f.path}".strip() if f.found or f.path else ""
            table.append((f.name, there or f"missing{'' if f.missed else ' (optional)'}"))
            if not f.found:
                needed = f"needed by {', '.join(f.needed_by)}; " if f.needed_by else ""
                table.append(("", f"{needed}{f.fix}"))
        for line in columns(table, most=terminal_columns()):
            say(line)
    missing = [f.name for f in findings if f.missed]
    if missing:
        raise CheckFailed(
            f"the gate cannot run here: {', '.join(missing)} missing; `nox -s setup` provides what it can"
        )


def _cargo(cargo: Cargo, needed_by: tuple[str, ...]) -> Finding:
    try:
        done = cargo.read("--version")
    except UserError as error:
        return Finding(name="cargo", needed_by=needed_by, fix=f"{error.what}; {error.fix}")
    if not done.ok:
        return Finding(name="cargo", needed_by=needed_by, fix=f"{done.stderr.strip()}; {INSTALL_RUST}")
    path = shutil.which(cargo.program) or ""
    return Finding(name="cargo", version=_version(done.stdout), path=path, needed_by=needed_by)


def _rust(cargo: Cargo, needed_by: tuple[str, ...]) -> Finding:
    try:
        toolchain = cargo.toolchain
        sysroot = cargo.rustc("--print", "sysroot").strip()
    except UserError as error:
        return Finding(name="rust", needed_by=needed_by, fix=f"{error.what}; {error.fix}")
    version = f"{toolchain.release} (LLVM {toolchain.llvm_major})"
    return Finding(name="rust", version=version, path=sysroot, needed_by=needed_by)


def _llvm(cargo: Cargo, needed_by: tuple[str, ...]) -> Finding:
    try:
        found = tools.need_llvm_tools(cargo)
    except UserError as error:
        return Finding(name="llvm-tools", needed_by=needed_by, fix=f"{error.what}; {error.fix}")
    version = str(cargo.toolchain.llvm_major)
    return Finding(name="llvm-tools", version=version, path=str(found.cov), needed_by=needed_by)


def _musl(cargo: Cargo, needed_by: tuple[str, ...]) -> Finding:
    try:
        triple = tools.need_musl_target(cargo, machine())
    except UserError as error:
        return Finding(name="musl-target", needed_by=needed_by, fix=error.fix)
    place = cargo.rustc("--print", "target-libdir", "--target", triple).strip()
    return Finding(name="musl-target", version=triple, path=place, needed_by=needed_by)


def _nightly(cargo: Cargo, needed_by: tuple[str, ...]) -> Finding:
    try:
        nightly = tools.need_nightly(cargo)
    except UserError as error:
        return Finding(name="nightly", needed_by=needed_by, fix=error.fix)
    place = nightly.rustc("--print", "sysroot").strip()
    return Finding(name="nightly", version=nightly.toolchain.release, path=place, needed_by=needed_by)


def _target(cargo: Cargo, triple: str, needed_by: tuple[str, ...]) -> Finding:
    try:
        fix = "" if tools.has_core(cargo, triple) else f"run `rustup target add {triple}`"
    except UserError as error:
        fix = f"{error.what}; {error.fix}"
    return Finding(name=triple, version="" if fix else "installed", needed_by=needed_by, fix=fix)


def _component(cargo: Cargo, subcommand: str, name: str, needed_by: tuple[str, ...]) -> Finding:
    try:
        tools.need_component(cargo, subcommand, name)
    except UserError as error:
        return Finding(name=name, needed_by=needed_by, fix=error.fix)
    version = _version(cargo.read(subcommand, "--version").stdout)
    return Finding(name=name, version=version, needed_by=needed_by)


def _program(name: str, variable: str, needed_by: tuple[str, ...], *, required: bool = True) -> Finding:
    try:
        path = tools.find_program(name, variable)
        if path is None:
            return Finding(name=name, needed_by=needed_by, fix=tools.SETUP, required=required)
        words: list[str | Path] = [path, name.removeprefix("cargo-"), "--version"]
        done = run(words, read_stdout=True, read_stderr=True, echo=False, timeout=20)
    except UserError as error:
        return Finding(name=name, needed_by=needed_by, fix=f"{error.what}; {error.fix}", required=required)
    if not done.ok:
        fix = f"{path} does not work ({done.ending}); install it anew"
        return Finding(name=name, needed_by=needed_by, fix=fix, required=required)
    return Finding(
        name=name, version=_version(done.stdout), path=str(path), needed_by=needed_by, required=required
    )


def _git(cargo: Cargo, needed_by: tuple[str, ...], signed_by: tuple[str, ...]) -> list[Finding]:
    """Return what is known of git, which options such as ``--changed`` need, too, and of who commits."""
    git = Git(directory=cargo.directory)
    try:
        version = git.line("--version") or ""
    except UserError as error:
        return [Finding(name="git", needed_by=needed_by, fix=error.fix)]
    identity = git.line("config", "user.email")
    return [
        Finding(name="git", version=_version(version), path=shutil.which("git") or "", needed_by=needed_by),
        Finding(
            name="git-identity",
            version=identity or "",
            needed_by=signed_by,
            required=False,  # commits may be others'
            fix="" if identity else "say who commits: `git config --global user.email you@example.com`",
        ),
    ]


def _vendored(kept: Vendored) -> Finding:
    fix = f"{kept.differs}; renew it: `{RENEW}`" if kept.differs else ""
    return Finding(name="agents' zipapp", version=kept.version, path=str(kept.path), needed_by=(), fix=fix)


def _device(device: str, needed_by: tuple[str, ...]) -> Finding:
    try:
        tools.check_device(device)
    except UserError as error:
        return Finding(name=device, needed_by=needed_by, fix=f"{error.what}; {error.fix}")
    return Finding(name=device, path=device, needed_by=needed_by)


def _version(text: str) -> str:
    match = re.search(r"\d+\.\d+\S*", text)
    return match.group() if match else ""
