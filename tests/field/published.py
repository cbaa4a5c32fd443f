"""Published rust-vmm crates, pinned, as cargo vendors them, each made a git repository."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.crates import CrateBuilder

PINNED = {
    "vmm-sys-util": "0.15.0",
    "vm-superio": "0.8.2",
    "vm-device": "0.1.0",
    "event-manager": "0.4.2",
    "seccompiler": "0.5.0",
    "vm-allocator": "0.1.4",
    "acpi_tables": "0.2.1",
    "vm-fdt": "0.3.0",
    "vm-memory": "0.18.0",
}
ALL = {**PINNED, "vm-memory": "0.18.0"}

JOINED = ("acpi_tables", "event-manager", "vm-device", "vmm-sys-util")
"""Those of them that are joined; event-manager depends on vmm-sys-util."""


def vendored() -> Path:
    """Return the folder with the sources of all pinned crates, fetched once per machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rustvmm-sessions"
    manifest = '[package]\nname = "pinned"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\n'
    manifest += "".join(f'{name} = "={version}"\n' for name, version in ALL.items())
    place = cache / f"published-{hashlib.sha256(manifest.encode()).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "published.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            (place / "src").mkdir(parents=True)
            (place / "Cargo.toml").write_text(manifest)
            (place / "src" / "lib.rs").touch()
            subprocess.run(
                ["cargo", "vendor", "--quiet", "--versioned-dirs", "vendor"],
                cwd=place,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            (place / "complete").touch()
    return place / "vendor"


def published(name: str, directory: Path) -> CrateBuilder:
    """Return a copy of a pinned crate with nothing added but the five-line noxfile."""
    shutil.copytree(vendored() / f"{name}-{ALL[name]}", directory)
    (directory / ".cargo-checksum.json").unlink()  # cargo vendor's own
    return CrateBuilder(directory).with_noxfile().with_git()


def joined(directory: Path) -> CrateBuilder:
    """Return a workspace of four pinned crates, joined as rust-vmm's monorepo joins them: by paths.

    Without benchmarks, whose criterion takes longer to build than all the rest.
    """
    kept = shutil.ignore_patterns("Cargo.lock", "*.orig", ".cargo-checksum.json", ".cargo_vcs_info.json")
    for name in JOINED:
        shutil.copytree(vendored() / f"{name}-{PINNED[name]}", directory / name, ignore=kept)
    manifest = directory / "event-manager" / "Cargo.toml"
    sections = re.split(r"^(?=\[)", manifest.read_text(), flags=re.MULTILINE)
    left = [s for s in sections if not s.startswith(("[[bench]]", "[dev-dependencies.criterion]"))]
    dependency = "[dependencies.vmm-sys-util]\n"
    assert len(sections) - len(left) == 2
    assert dependency in manifest.read_text()
    manifest.write_text("".join(left).replace(dependency, f'{dependency}path = "../vmm-sys-util"\n'))
    shutil.rmtree(directory / "event-manager" / "benches")
    members = ", ".join(f'"{name}"' for name in JOINED)
    crate = CrateBuilder(directory)
    crate.with_file("Cargo.toml", f'[workspace]\nmembers = [{members}]\nresolver = "2"\n')
    subprocess.run(["cargo", "generate-lockfile", "--quiet"], cwd=directory, check=True)
    return crate.with_noxfile().with_git()
