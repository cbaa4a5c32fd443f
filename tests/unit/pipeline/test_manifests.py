"""Members of a workspace, from manifests alone. The rules are cargo's (workspace.rs: find_path_deps)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.manifests import members

if TYPE_CHECKING:
    from pathlib import Path


def package(root: Path, path: str, dependencies: str = "", name: str = "") -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    name = name or folder.name
    (folder / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nversion = "0.1.0"\n{dependencies}')


def workspace(root: Path, text: str) -> Path:
    (root / "Cargo.toml").write_text(text)
    return root


def test_globs_exclude_and_folders_without_a_manifest(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["crates/*", "one"]\nexclude = ["crates/fuzz"]\n')
    for path in ("crates/b", "crates/a", "crates/fuzz", "one", "not-listed"):
        package(root, path)
    (root / "crates" / "docs").mkdir()
    (root / "crates" / "README.md").write_text("a file")
    assert [m.path for m in members(root)] == ["crates/a", "crates/b", "one"]


def test_a_listed_member_wins_over_exclude(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["fuzz"]\nexclude = ["fuzz"]\n')
    package(root, "fuzz")
    assert [m.path for m in members(root)] == ["fuzz"]


def test_path_dependencies_of_every_kind_are_members_and_needed(tmp_path: Path) -> None:
    root = workspace(
        tmp_path,
        '[workspace]\nmembers = ["app"]\n[workspace.dependencies]\nshared = { path = "libs/shared" }\n',
    )
    package(
        root,
        "app",
        '[dependencies]\nshared = { workspace = true }\nserde = "1"\noutside = { path = "../../outside" }\n'
        '[dev-dependencies]\ntesting = { path = "../libs/testing" }\n'
        "[target.'cfg(unix)'.build-dependencies]\nbuild = { path = '../libs/build' }\n",
    )
    package(root, "libs/shared", '[dependencies]\nbase = { path = "../base" }\n')
    for path in ("libs/base", "libs/testing", "libs/build"):
        package(root, path)
    found = {m.path: m.needs for m in members(root)}
    assert set(found) == {"app", "libs/shared", "libs/base", "libs/testing", "libs/build"}
    assert set(found["app"]) == {"libs/shared", "libs/base", "libs/testing", "libs/build"}
    assert found["libs/shared"] == ("libs/base",)
    assert found["libs/base"] == ()


def test_a_circle_of_dev_dependencies_ends(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["a", "b"]\n')
    package(root, "a", '[dependencies]\nb = { path = "../b" }\n')
    package(root, "b", '[dev-dependencies]\na = { path = "../a" }\n')
    assert {m.path: m.needs for m in members(root)} == {"a": ("b",), "b": ("a",)}


def test_a_package_without_workspace_is_its_only_member(tmp_path: Path) -> None:
    package(tmp_path, ".", '[dependencies]\nsub = { path = "sub" }\n', name="single")
    package(tmp_path, "sub")
    assert [(m.name, m.path, m.needs) for m in members(tmp_path)] == [("single", ".", ("sub",))]


def test_two_stars_do_not_follow_links_in_circles(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["crates/**"]\n')
    package(root, "crates/deep/er")
    (root / "crates" / "deep" / "loop").symlink_to(root / "crates")
    assert [m.path for m in members(root)] == ["crates/deep/er"]


@pytest.mark.parametrize(
    ("manifest", "where", "what"),
    [
        ("[workspace\n", "Cargo.toml:1", "invalid TOML"),
        ('[workspace]\nmembers = "a"\n', "Cargo.toml, workspace.members", "members is a list of paths"),
        ('[workspace]\nmembers = ["gone"]\n', "Cargo.toml, workspace.members", "'gone' has no Cargo.toml"),
        ('[workspace]\nmembers = ["/etc/*"]\n', "Cargo.toml, workspace.members", "no pattern"),
        ('workspace = 3\n[package]\nname = "x"\n', "Cargo.toml, workspace", "workspace is a table"),
        ("[package]\nversion = '1'\n", "Cargo.toml, package.name", "no name"),
        ('[workspace]\nmembers = ["bad"]\n', "bad/Cargo.toml:2", "invalid TOML"),
    ],
)
def test_wrong_manifests_are_named(tmp_path: Path, manifest: str, where: str, what: str) -> None:
    root = workspace(tmp_path, manifest)
    (root / "bad").mkdir()
    (root / "bad" / "Cargo.toml").write_text("[package]\nname = \n")
    with pytest.raises(UserError) as error:
        members(root)
    assert error.value.where == where
    assert what in error.value.what
