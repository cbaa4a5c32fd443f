"""The musl sessions with a real musl target: what they build is static, and its tests run."""

from __future__ import annotations

import platform
import shutil
import struct
from pathlib import Path

import pytest

from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.tools import has_target, musl_triple
from tests.crates import REPOSITORY, CrateBuilder
from tests.field.published import published

TRIPLE = musl_triple(platform.machine())
PT_DYNAMIC, PT_INTERP = 2, 3
DT_NEEDED = 1

# Rustup's target where it could be had, else that of Debian's toolchain, from .ci/musl-target.
DEBIAN = {"CARGO": "/usr/bin/cargo", "RUSTC": "/usr/bin/rustc", "RUSTDOC": "/usr/bin/rustdoc"}
DEBIANS_TARGET = Path("/usr/lib/rustlib") / TRIPLE
RUSTUPS = has_target(Cargo(directory=REPOSITORY), TRIPLE)
TOOLCHAIN: dict[str, str | None] = dict(DEBIAN) if DEBIANS_TARGET.exists() and not RUSTUPS else {}


def needs_at_run_time(program: Path) -> list[str]:
    """Return what a 64-bit ELF file wants loaded beside it: an interpreter, shared libraries."""
    data = program.read_bytes()
    assert data[:5] == b"\x7fELF\x02", program
    start, size, count = (
        struct.unpack_from("<Q", data, 32)[0],
        *struct.unpack_from("<HH", data, 54),
    )
    wants = []
    for number in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, start + number * size)
        if kind == PT_INTERP:
            wants.append("an interpreter")
        if kind == PT_DYNAMIC:
            tags = struct.iter_unpack("<QQ", data[offset : offset + length])
            wants += ["a shared library" for tag, _ in tags if tag == DT_NEEDED]
    return wants


def executables(target: Path, profile: str) -> list[Path]:
    folder = target / TRIPLE / profile / "deps"
    return [p for p in folder.iterdir() if not p.suffix and p.stat().st_mode & 0o100]


def sample(name: str, directory: Path) -> CrateBuilder:
    source = REPOSITORY / "samples" / name
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("target", "__pycache__"))
    return CrateBuilder(directory).with_git()


@pytest.mark.parametrize("name", ["uart", "vm-superio"])
def test_what_is_built_for_musl_is_static_and_its_tests_pass(name: str, tmp_path: Path) -> None:
    directory = tmp_path / name
    crate = sample(name, directory) if name == "uart" else published(name, directory)
    target = tmp_path / "target"

    outcome = crate.nox(
        *("-s", "build-musl", "unit-tests-musl", "unit-tests-musl-release"),
        env={**TOOLCHAIN, "CARGO_TARGET_DIR": str(target)},
    )

    assert outcome.code == 0, outcome.text
    assert outcome.out.count(f"--target={TRIPLE}") + outcome.err.count(f"--target={TRIPLE}") >= 3
    assert "test result: ok" in outcome.out
    for profile in ("debug", "release"):
        built = executables(target, profile)
        assert built
        assert {program.name: needs_at_run_time(program) for program in built} == {
            program.name: [] for program in built
        }
    assert crate.git("status", "--porcelain") == ""


def test_a_glibc_program_is_told_from_a_static_one() -> None:
    """The check that the other test relies on can fail."""
    assert needs_at_run_time(Path("/bin/sh").resolve()) != []
