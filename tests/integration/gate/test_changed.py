"""Whatever cargo builds anew after a change is reached by it: random workspaces, with cargo as the judge."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.rust.dep_info import with_dep_info
from rustvmm_sessions.rust.manifests import packages
from rustvmm_sessions.rust.reads import affected, patterns
from tests.crates import CrateBuilder, run

if TYPE_CHECKING:
    from pathlib import Path

    from rustvmm_sessions.rust.reads import Package

OFFLINE = '[source.crates-io]\nreplace-with = "none"\n[source.none]\ndirectory = "vendor"\n'
BUILD_SCRIPTS = (
    'fn main() { println!("cargo::rerun-if-changed=UPshared/t0.txt"); }\n',
    'fn main() { println!("cargo:rerun-if-changed={}", ["UPshared", "t1.txt"].join("/")); }\n',
    'fn main() { let _ = std::fs::read("UPshared/t2.txt"); }\n',
    'fn main() { println!("cargo::rustc-cfg=something"); }\n',
)
LINES = (
    'const A: &str = include_str!("../UPshared/t0.txt");\n',
    'const B: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/UPREADME.md"));\n',
    '#[path = "../UPshared/m1.rs"]\nmod one;\n',
    '#[path = "../UPshared/m2.rs"]\nmod two;\n',
    "mod linked;\n",
)


def workspace(directory: Path, chance: random.Random) -> CrateBuilder:
    """Return a workspace whose packages read each other and what lies beside them, in many ways."""
    crate = CrateBuilder(directory)
    (directory / "vendor").mkdir()
    crate.with_file(".cargo/config.toml", OFFLINE).with_file("README.md", "read me\n")
    for number in range(3):
        crate.with_file(f"shared/t{number}.txt", "text\n")
    crate.with_file("shared/m1.rs", 'pub mod below;\npub const T: &str = include_str!("t1.txt");\n')
    crate.with_file("shared/m2.rs", "pub fn m() {}\n").with_file("shared/below.rs", "pub fn n() {}\n")
    folders = ["fork", "a", "deep/b", "a/inner", "c", "d"][: chance.randint(4, 6)]
    for number, folder in enumerate(folders):
        package(crate, number, folders, chance)
        up = "../" * (folder.count("/") + 1)
        lines = chance.sample(LINES, chance.randint(0, 3))
        crate.with_file(f"{folder}/src/lib.rs", "".join(["#![allow(unused)]\n", *lines]).replace("UP", up))
        crate.with_file(f"{folder}/build.rs", chance.choice(BUILD_SCRIPTS).replace("UP", up))
        (directory / folder / "src/linked.rs").symlink_to(f"../{up}shared/m2.rs")
        other = f'const T: &str = include_str!("../{up}{chance.choice(folders[: number + 1])}/src/lib.rs");\n'
        crate.with_file(f"{folder}/tests/it.rs", f"#![allow(unused)]\n{other}")
    members = ", ".join(f'"{folder}"' for folder in folders[1:])
    patch = "".join(f'p{number} = {{ path = "{folders[number]}" }}\n' for number in range(2))
    whole = f'[workspace]\nresolver = "2"\nmembers = [{members}]\nexclude = ["fork"]\n'
    return crate.with_file("Cargo.toml", f"{whole}[patch.crates-io]\n{patch}")


def package(crate: CrateBuilder, number: int, folders: list[str], chance: random.Random) -> None:
    """Write a manifest that needs some of the packages before it, the first two perhaps as published."""
    folder = folders[number]
    up = "../" * (folder.count("/") + 1)
    manifest = f'[package]\nname = "p{number}"\nversion = "1.0.0"\nedition = "2021"\n'
    for other in range(number):
        kinds = [
            k for k in ("dependencies", "dev-dependencies", "build-dependencies") if chance.random() < 0.3
        ]
        by_patch = other < 2 and chance.random() < 0.5
        how = 'version = "1"' if by_patch else f'path = "{up}{folders[other]}"'
        manifest += "".join(f"[{kind}.p{other}]\n{how}\n" for kind in kinds)
    crate.with_file(f"{folder}/Cargo.toml", manifest)


def built(crate: CrateBuilder) -> set[str]:
    """Build all targets; return the names of the packages of which cargo built something anew."""
    done = run(
        ["cargo", "check", "--workspace", "--all-targets", "--message-format=json"], cwd=crate.directory
    )
    assert done.code == 0, done.err
    said = [json.loads(line) for line in done.out.splitlines()]
    anew = [m["package_id"] for m in said if m["reason"] == "compiler-artifact" and not m["fresh"]]
    return {package_id.rpartition("#")[2].partition("@")[0] for package_id in anew}


@pytest.mark.parametrize("seed", range(5))
def test_what_cargo_builds_anew_is_reached(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    crate = workspace(tmp_path, chance)
    known = packages(tmp_path)
    names = built(crate)
    noted = with_dep_info(known, tmp_path, tmp_path / "target")
    by_name = {package.name: package for package in known.values()}
    files = [os.path.relpath(p, tmp_path) for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink()]
    files = sorted(f for f in files if f.endswith((".rs", ".txt", ".md")) and not f.startswith("target/"))
    reached = set[str]()

    for name in chance.sample(files, 8):
        with (tmp_path / name).open("a") as file:
            file.write("// more\n")
        anew = {package for package in built(crate) if by_name[package].member}
        reached |= anew
        assert anew <= {member.package for member in affected(known, [name])}, name
        assert anew <= {member.package for member in affected(noted, [name])}, name
        for package in anew:
            assert matches(known, by_name[package], name), f"{name} is in no pattern of {package}"
    assert names == by_name.keys()
    assert reached  # some changes were of what is built


def matches(known: dict[str, Package], package: Package, name: str) -> bool:
    """Whether a file is in the patterns on which a pipeline tests a member."""
    found, _ = patterns(known, package.path)
    return any(p in ("**", name) or (p.endswith("/**") and name.startswith(p[:-2])) for p in found)
