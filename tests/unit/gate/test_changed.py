"""Which members of a workspace a change reaches, and why."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest

from rustvmm_sessions.gate.changed import Affected, affected

ROOT = "/repository/ws"


def member(
    name: str, *needs: str, folder: str | None = None, kinds: tuple[str | None, ...] = (None,)
) -> dict[str, Any]:
    """Return a package as `cargo metadata` prints it; `needs` are folders of path dependencies."""
    return {
        "name": name,
        "manifest_path": str(PurePath(ROOT, name if folder is None else folder, "Cargo.toml")),
        "dependencies": [
            {"name": "libc", "kind": None},
            *({"name": n, "kind": kind, "path": str(PurePath(ROOT, n))} for n in needs for kind in kinds),
        ],
    }


def workspace(*members: dict[str, Any]) -> dict[str, Any]:
    return {"workspace_root": ROOT, "packages": list(members)}


CHAIN = workspace(member("base"), member("middle", "base"), member("top", "middle"), member("other"))
"""top needs middle, middle needs base; other stands alone."""


def reached(metadata: dict[str, Any], *paths: str) -> dict[str, str]:
    """Return the members that changed files reach, with the reasons; paths start from the root."""
    found = affected(metadata, [PurePath(ROOT, path) for path in paths])
    return {member.package: member.why for member in found}


def test_nothing_changed_reaches_nothing() -> None:
    assert affected(CHAIN, []) == ()


def test_a_file_reaches_its_member_and_all_that_depend_on_it() -> None:
    assert reached(CHAIN, "base/src/lib.rs") == {
        "base": "base/src/lib.rs changed",
        "middle": "depends on base",
        "top": "depends on middle",
    }
    assert reached(CHAIN, "middle/tests/it.rs") == {
        "middle": "middle/tests/it.rs changed",
        "top": "depends on middle",
    }
    assert list(reached(CHAIN, "other/build.rs")) == ["other"]


def test_a_change_of_its_own_is_the_reason_that_is_named() -> None:
    assert reached(CHAIN, "base/src/lib.rs", "top/src/lib.rs")["top"] == "top/src/lib.rs changed"


def test_members_come_in_the_order_of_the_workspace() -> None:
    assert affected(CHAIN, [PurePath(ROOT, name, "x") for name in ("top", "other", "base")]) == (
        Affected(package="base", why="base/x changed"),
        Affected(package="middle", why="depends on base"),
        Affected(package="top", why="top/x changed"),
        Affected(package="other", why="other/x changed"),
    )


@pytest.mark.parametrize("kind", [None, "dev", "build"])
def test_dependencies_of_every_kind_count(kind: str | None) -> None:
    metadata = workspace(member("base"), member("top", "base", kinds=(kind,)))
    assert list(reached(metadata, "base/src/lib.rs")) == ["base", "top"]


def test_members_that_depend_on_each_other_end() -> None:
    metadata = workspace(member("one", "two", kinds=("dev",)), member("two", "one"))
    assert reached(metadata, "one/a") == {"one": "one/a changed", "two": "depends on one"}


@pytest.mark.parametrize(
    "path",
    [
        "Cargo.toml",
        "Cargo.lock",
        "noxfile.py",
        "rust-toolchain",
        "rust-toolchain.toml",
        "clippy.toml",
        ".clippy.toml",
        ".cargo/config.toml",
        ".cargo/audit/deep.toml",
        "../.cargo/config.toml",
        "../rust-toolchain.toml",
    ],
)
def test_what_all_share_reaches_all(path: str) -> None:
    shown = path if not path.startswith("..") else f"/repository/{path[3:]}"
    changed = [PurePath("/repository", path[3:]) if path.startswith("..") else PurePath(ROOT, path)]
    assert [(m.package, m.why) for m in affected(CHAIN, changed)] == [
        (name, f"{shown} changed") for name in ("base", "middle", "top", "other")
    ]


@pytest.mark.parametrize(
    "path",
    [
        "other/Cargo.toml",
        "other/Cargo.lock",
        "other/noxfile.py",
        "other/.cargo/config.toml",
        "other/clippy.toml",
    ],
)
def test_a_member_s_own_files_of_those_names_reach_the_member(path: str) -> None:
    assert list(reached(CHAIN, path)) == ["other"]


@pytest.mark.parametrize(
    "path", ["README.md", "docs/Cargo.toml", "others/src/lib.rs", ".buildkite/pipeline.yml"]
)
def test_what_belongs_to_no_member_reaches_none(path: str) -> None:
    assert reached(CHAIN, path) == {}


@pytest.mark.parametrize(
    "path", ["/repository/README.md", "/repository/Cargo.toml", "/repository/wsx/Cargo.lock"]
)
def test_files_beside_the_workspace_reach_none(path: str) -> None:
    assert affected(CHAIN, [PurePath(path)]) == ()


def test_a_package_in_the_root_has_what_no_other_member_has() -> None:
    metadata = workspace(member("root", folder="."), member("inner"))
    assert list(reached(metadata, "src/lib.rs")) == ["root"]
    assert list(reached(metadata, "inner/src/lib.rs")) == ["inner"]


def test_a_file_belongs_to_the_innermost_member() -> None:
    metadata = workspace(member("outer"), member("macros", folder="outer/macros"))
    assert list(reached(metadata, "outer/macros/src/lib.rs")) == ["macros"]
    assert list(reached(metadata, "outer/macros.rs")) == ["outer"]


def test_a_path_dependency_that_is_no_member_reaches_those_that_have_it() -> None:
    metadata = workspace(member("base", "vendored/fork"), member("top", "base"), member("other"))
    assert reached(metadata, "vendored/fork/src/lib.rs") == {
        "base": f"depends on {ROOT}/vendored/fork: vendored/fork/src/lib.rs changed",
        "top": "depends on base",
    }


def test_a_path_dependency_outside_the_workspace_counts() -> None:
    shared = {"name": "shared", "kind": None, "path": "/repository/shared"}
    base = member("base")
    base["dependencies"].append(shared)
    found = affected(workspace(base, member("other")), [PurePath("/repository/shared/src/lib.rs")])
    assert [m.package for m in found] == ["base"]
    assert "/repository/shared/src/lib.rs changed" in found[0].why
