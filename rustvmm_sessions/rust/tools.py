"""Where the programs are that sessions need, and the command that provides a missing one."""

from __future__ import annotations

import os
import re
import shutil
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rustvmm_sessions.rust.cargo import Cargo

SETUP = "run `nox -s setup`, which provides it"
_OLDEST_CARGO_LLVM_COV = (0, 9)


@dataclass(frozen=True, kw_only=True)
class LlvmTools:
    """llvm-cov and llvm-profdata of rustc's LLVM."""

    cov: Path
    profdata: Path


@dataclass(frozen=True, kw_only=True)
class CargoLlvmCov:
    """The cargo-llvm-cov in use."""

    path: Path
    version: str


def scripts_directory() -> Path:
    """Return where this interpreter's packages put their programs; not always on PATH."""
    return Path(sysconfig.get_path("scripts"))


def named_program(variable: str) -> Path | None:
    """Return the program that a variable names, None where it is not set.

    Raises:
        UserError: It names something that cannot be run.
    """
    named = os.environ.get(variable, "")
    if not named:
        return None
    found = shutil.which(named)
    if found is None:
        raise UserError(
            f"the variable {variable} names a program that is not there",
            where=f"{variable}={named}",
            fix=f"correct it, or unset {variable}",
        )
    return Path(found)


def find_programs(name: str) -> Iterator[Path]:
    """Yield the programs of this name: our interpreter's, then those on PATH."""
    for directory in _directories():
        found = shutil.which(name, path=directory)
        if found:
            yield Path(found)


def find_program(name: str, variable: str) -> Path | None:
    """Return the program that `variable` names, else the first of `find_programs`, or None.

    Raises:
        UserError: The variable names something that cannot be run.
    """
    return named_program(variable) or next(find_programs(name), None)


def _directories() -> list[str]:
    path = os.environ.get("PATH", "").split(os.pathsep)
    return [str(scripts_directory()), *(directory for directory in path if directory)]


def find_llvm_tools(cargo: Cargo) -> LlvmTools | None:
    """Return the LLVM tools that read the profiles of `cargo`'s rustc, or None.

    Looked for in this order: the variables LLVM_COV and LLVM_PROFDATA, our interpreter's scripts
    directory, PATH (also as ``llvm-cov-22``), rustc's sysroot (rustup's component llvm-tools), and
    ``/usr/lib/llvm-22/bin``. Tools of another major version cannot read the profiles: they are
    passed over, save those that a variable names, which are an error.

    Raises:
        UserError: A variable names a tool that is missing or of another major version.
    """
    major = cargo.toolchain.llvm_major
    named = _named_llvm_tools(major)
    if named is not None:
        return named
    for directory in _directories():
        for suffix in (f"-{major}", ""):
            cov = shutil.which(f"llvm-cov{suffix}", path=directory)
            profdata = shutil.which(f"llvm-profdata{suffix}", path=directory)
            if cov and profdata and (suffix or llvm_major(cov) == llvm_major(profdata) == major):
                return LlvmTools(cov=Path(cov), profdata=Path(profdata))
    sysroot = Path(cargo.rustc("--print", "sysroot").strip())
    for place in (
        sysroot / "lib" / "rustlib" / cargo.toolchain.host / "bin",
        Path(f"/usr/lib/llvm-{major}/bin"),
    ):
        cov = shutil.which("llvm-cov", path=str(place))
        profdata = shutil.which("llvm-profdata", path=str(place))
        if cov and profdata:
            return LlvmTools(cov=Path(cov), profdata=Path(profdata))
    return None


def _named_llvm_tools(major: int) -> LlvmTools | None:
    cov, profdata = named_program("LLVM_COV"), named_program("LLVM_PROFDATA")
    if cov is None and profdata is None:
        return None
    cov = cov or (profdata and profdata.with_name(profdata.name.replace("profdata", "cov")))
    profdata = profdata or (cov and cov.with_name(cov.name.replace("cov", "profdata")))
    if cov is None or profdata is None:
        raise AssertionError("one of the two was found")
    for variable, tool in (("LLVM_COV", cov), ("LLVM_PROFDATA", profdata)):
        found = llvm_major(str(tool)) if tool.exists() else None
        if found != major:
            raise UserError(
                f"rustc needs the tools of LLVM {major}, this one is "
                + (f"of LLVM {found}" if found else "missing or does not say its version"),
                where=f"{variable}={tool}",
                fix="unset LLVM_COV and LLVM_PROFDATA, or point both to matching tools",
            )
    return LlvmTools(cov=cov, profdata=profdata)


def llvm_major(tool: str) -> int | None:
    """Return the major version that an LLVM tool says it has, or None."""
    match = re.search(r"LLVM version (\d+)\.", _said(tool, "--version"))
    return int(match.group(1)) if match else None


def _said(*command: str) -> str:
    """Return what a tool prints; nothing where it cannot be started."""
    try:
        return run(command, read_stdout=True, read_stderr=True, echo=False, timeout=20).stdout
    except UserError:
        return ""


def need_llvm_tools(cargo: Cargo) -> LlvmTools:
    """Return the LLVM tools as `find_llvm_tools` does.

    Raises:
        UserError: There are none of the right version; the message has the command.
    """
    found = find_llvm_tools(cargo)
    if found is None:
        major = cargo.toolchain.llvm_major
        raise UserError(
            f"llvm-cov and llvm-profdata of LLVM {major} are missing (rustc {cargo.toolchain.release} "
            f"writes profiles that only LLVM {major} reads)",
            where=f"LLVM_COV, PATH, rustc's sysroot, /usr/lib/llvm-{major}/bin",
            fix=SETUP,
        )
    return found


def find_cargo_llvm_cov() -> CargoLlvmCov | None:
    """Return the first cargo-llvm-cov of version 0.9 or newer; older ones count differently.

    Raises:
        UserError: The variable CARGO_LLVM_COV names a missing or an older one.
    """
    # For what it runs itself, cargo-llvm-cov sets the variable to 1.
    named = named_program("CARGO_LLVM_COV") if os.environ.get("CARGO_LLVM_COV") != "1" else None
    for path in [named] if named else find_programs("cargo-llvm-cov"):
        match = re.search(r"(\d+)\.(\d+)\.\d+\S*", _said(str(path), "llvm-cov", "--version"))
        if match and (int(match[1]), int(match[2])) >= _OLDEST_CARGO_LLVM_COV:
            return CargoLlvmCov(path=path, version=match.group())
        if named:
            raise UserError(
                "cargo-llvm-cov 0.9 or newer is needed, this one "
                + (f"is {match.group()}" if match else "does not say its version"),
                where=f"CARGO_LLVM_COV={named}",
                fix="unset CARGO_LLVM_COV, or point it to a newer one",
            )
    return None


def need_component(cargo: Cargo, subcommand: str, component: str) -> None:
    """Check that ``cargo SUBCOMMAND`` works with the crate's toolchain.

    Raises:
        UserError: It does not; the message has the command that provides it.
    """
    if not cargo.read(subcommand, "--version").ok:
        raise UserError(
            f"cargo {subcommand} does not work with rustc {cargo.toolchain.release}: {component} is missing",
            where=f"the toolchain of {cargo.directory}",
            fix=f"run `rustup component add {component}`",
        )


def need_nightly(cargo: Cargo) -> Cargo:
    """Return cargo with a nightly toolchain: the one in use where it is one, else rustup's ``nightly``.

    Raises:
        UserError: There is none; the message has the command that installs it.
    """
    if cargo.toolchain.nightly:
        return cargo
    nightly = replace(cargo, env={**cargo.env, "RUSTUP_TOOLCHAIN": "nightly"})
    try:
        found = nightly.toolchain.nightly
    except UserError:
        found = False
    if not found:
        raise UserError(
            f"a nightly toolchain is needed, and cargo has rustc {cargo.toolchain.release}",
            where=f"the toolchain of {cargo.directory}",
            fix="run `rustup toolchain install nightly --profile minimal`",
        )
    return nightly


def musl_triple(arch: str) -> str:
    """Return the musl target of an architecture."""
    return "riscv64gc-unknown-linux-musl" if arch == "riscv64" else f"{arch}-unknown-linux-musl"


def need_musl_target(cargo: Cargo, arch: str) -> str:
    """Return the musl target of this machine.

    Raises:
        UserError: The toolchain has no standard library for it.
    """
    triple = musl_triple(arch)
    if not has_target(cargo, triple):
        raise UserError(
            f"the target {triple} is missing for rustc {cargo.toolchain.release}",
            where=f"the toolchain of {cargo.directory}",
            fix=f"run `rustup target add {triple}`",
        )
    return triple


def has_target(cargo: Cargo, triple: str) -> bool:
    """Return whether the toolchain has a standard library for a target."""
    return _has_library(cargo, triple, "std")


def has_core(cargo: Cargo, triple: str) -> bool:
    """Return whether it has what every target has, such as those without an operating system."""
    return _has_library(cargo, triple, "core")


def _has_library(cargo: Cargo, triple: str, name: str) -> bool:
    place = Path(cargo.rustc("--print", "target-libdir", "--target", triple).strip())
    return place.is_dir() and any(place.glob(f"lib{name}-*"))


def check_device(device: str) -> None:
    """Check that a device file is there and may be opened by this user.

    Raises:
        UserError: It is not; the message says how it gets so.
    """
    if not os.path.exists(device):  # noqa: PTH110 - no error where it may not be looked at
        raise UserError(
            f"the device {device} is not there",
            where=device,
            fix="run on a machine with virtualisation switched on, or load its module: `sudo modprobe kvm`"
            if device == "/dev/kvm"
            else "run where the device is, or take it out of devices= in the noxfile",
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise UserError(
            f"this user may not open the device {device}",
            where=device,
            fix="join the group that owns it, and log in anew: `sudo usermod -aG kvm $USER`"
            if device == "/dev/kvm"
            else "change its permissions",
        )
