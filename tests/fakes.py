"""Programs that stand for real ones in tests: shell scripts that record how they are called."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions.rust import tools
from rustvmm_sessions.rust.cargo import Cargo

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HOST = "x86_64-unknown-linux-gnu"


@dataclass(frozen=True)
class Fakes:
    """A directory of programs, in which ``path`` is all of PATH and ``scripts`` our interpreter's.

    rustc is one of LLVM 99, which no machine has; its sysroot is ``sysroot``.
    """

    directory: Path

    def add(self, name: str, script: str = "") -> Path:
        """Make a program, such as ``path/rustup``, that runs a shell script."""
        program = self.directory / name
        program.parent.mkdir(parents=True, exist_ok=True)
        record = shlex.quote(str(self.directory / "calls"))
        program.write_text(f'#!/bin/sh\necho {program.name} "$@" >>{record}\n{script}\n')
        program.chmod(0o755)
        return program

    def llvm(self, folder: str, version: int = 99, suffix: str = "") -> tools.LlvmTools:
        """Make an llvm-cov and an llvm-profdata of a major version."""
        says = f"echo '  LLVM version {version}.1.2'"
        return tools.LlvmTools(
            cov=self.add(f"{folder}/llvm-cov{suffix}", says),
            profdata=self.add(f"{folder}/llvm-profdata{suffix}", says),
        )

    def rustc(self, llvm: int = 99) -> None:
        self.add(
            "rustc",
            f'case "$*" in\n'
            f"-vV) printf 'release: 9.9.9\\nhost: {HOST}\\nLLVM version: {llvm}.1.0\\n' ;;\n"
            f"*sysroot) echo {shlex.quote(str(self.sysroot))} ;;\n"
            f"esac",
        )

    @property
    def sysroot(self) -> Path:
        """A toolchain as rustup keeps it."""
        return self.directory / "rustup" / "toolchains" / "9.9.9"

    @property
    def sysroot_programs(self) -> str:
        """Where rustup's component llvm-tools lies."""
        return (self.sysroot / "lib" / "rustlib" / HOST / "bin").relative_to(self.directory).as_posix()

    @property
    def cargo(self) -> Cargo:
        return Cargo(directory=self.directory)

    @property
    def calls(self) -> list[str]:
        """How the programs were called, but for rustc and cargo."""
        record = self.directory / "calls"
        lines = record.read_text().splitlines() if record.exists() else []
        return [line for line in lines if not line.startswith(("rustc ", "cargo "))]


def only_fakes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Return a machine that has rustc and cargo and nothing else."""
    for variable in ("LLVM_COV", "LLVM_PROFDATA", "CARGO_LLVM_COV"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(directory / "path"))
    monkeypatch.setenv("RUSTUP_HOME", str(directory / "rustup"))
    monkeypatch.setenv("RUSTC", str(directory / "rustc"))
    monkeypatch.setattr(tools, "scripts_directory", lambda: directory / "scripts")
    fakes = Fakes(directory)
    fakes.rustc()
    fakes.add("path/cargo", "echo cargo 9.9.9")
    return fakes
