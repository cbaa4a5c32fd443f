"""What one side's build gives to the other's: what is built of packages that are no path."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rustvmm_sessions.bench.builds import share_dependencies

if TYPE_CHECKING:
    from pathlib import Path

SERDE, SCRIPT, RAN, OWN, LATER = (digit * 16 for digit in "12345")
REGISTRY, PATH = (
    "registry+https://github.com/rust-lang/crates.io-index#serde@1.0.0",
    "path+file:///c#serde@0.1.0",
)


def build(folder: Path, text: str = "theirs") -> str:
    """Make the files of a build; return what cargo says of it."""

    def made(name: str) -> str:
        path = folder / "release" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    for name in (SERDE, SCRIPT, RAN, OWN):
        made(f".fingerprint/serde-{name}/invoked.timestamp")
    made(f"deps/serde-{SERDE}.d")
    made(f"build/serde-{RAN}/output")
    messages: list[tuple[str, str, dict[str, object]]] = [
        ("compiler-artifact", REGISTRY, {"filenames": [made(f"deps/libserde-{SERDE}.rlib")]}),
        ("compiler-artifact", REGISTRY, {"filenames": [made(f"build/serde-{SCRIPT}/build-script-build")]}),
        ("build-script-executed", REGISTRY, {"out_dir": made(f"build/serde-{RAN}/out/x")[:-2]}),
        ("compiler-artifact", PATH, {"filenames": [made(f"deps/libserde-{OWN}.rlib")]}),
    ]
    made(f"deps/libserde-{LATER}.rlib")  # of another build: cargo says nothing of it
    return "\n".join(json.dumps({"reason": why, "package_id": id_, **of}) for why, id_, of in messages)


def test_dependencies_are_brought_and_the_workspace_s_own_packages_are_not(tmp_path: Path) -> None:
    source, target = tmp_path / "one" / "build", tmp_path / "two" / "build"
    share_dependencies(build(source), source, target)
    brought = {path.relative_to(target / "release") for path in target.rglob("*") if path.is_file()}
    assert {str(path) for path in brought} == {
        f"deps/libserde-{SERDE}.rlib",
        f"deps/serde-{SERDE}.d",
        f"build/serde-{SCRIPT}/build-script-build",
        f"build/serde-{RAN}/output",
        f"build/serde-{RAN}/out/x",
        *(f".fingerprint/serde-{name}/invoked.timestamp" for name in (SERDE, SCRIPT, RAN)),
    }
    for path in brought:
        assert (target / "release" / path).stat().st_mtime_ns == (
            source / "release" / path
        ).stat().st_mtime_ns


def test_what_is_there_stays(tmp_path: Path) -> None:
    source, target = tmp_path / "one", tmp_path / "two"
    build(target, "own")
    share_dependencies(build(source), source, target)
    assert {path.read_text() for path in target.rglob("*") if path.is_file()} == {"own"}


def test_what_was_cut_short_is_brought_anew(tmp_path: Path) -> None:
    source, target = tmp_path / "one", tmp_path / "two"
    half = target / "release" / f"build/serde-{RAN}"
    half.mkdir(parents=True)
    (half / "left").touch()
    share_dependencies(build(source), source, target)
    assert sorted(path.name for path in half.iterdir()) == ["out", "output"]
