"""Which members are judged by themselves, and what their files say of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust.members import of
from rustvmm_sessions.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    from rustvmm_sessions.rust.members import Member

OWN = [
    ".platform",
    "tests/coverage",
    "coverage_config_aarch64.json",
    ".buildkite/custom-tests.json",
    ".buildkite/test_description.json",
]


def write(path: Path, text: str = "x86_64\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def workspace(root: Path, *paths: str) -> Path:
    """Write a virtual workspace whose members are named as their folders' last part."""
    listed = ", ".join(f'"{path}"' for path in paths)
    write(root / "Cargo.toml", f"[workspace]\nmembers = [{listed}]\n")
    for path in paths:
        write(root / path / "Cargo.toml", f'[package]\nname = "{path.rpartition("/")[2]}"\n')
    return root


def members(root: Path, **given: Any) -> list[Member]:
    return list(of(settings(root, given)))


@pytest.mark.parametrize("file", OWN)
def test_members_with_files_of_their_own_are_judged_by_themselves(tmp_path: Path, file: str) -> None:
    root = workspace(tmp_path, "a", "deep/b")
    assert members(root) == []
    write(root / "deep/b" / file)
    assert [(member.name, member.path) for member in members(root)] == [("a", "a"), ("b", "deep/b")]
    assert members(root, members=False) == []
    assert members(root, workspace=False) == []


@pytest.mark.parametrize("file", OWN)
def test_files_of_the_top_are_no_members_own(tmp_path: Path, file: str) -> None:
    root = workspace(tmp_path, "a")
    with (root / "Cargo.toml").open("a") as manifest:
        manifest.write('[package]\nname = "top"\n')
    write(root / file)
    assert members(root) == []
    top, a = members(root, members=True)
    assert (top.name, top.path, top.tests) == ("top", ".", ())
    assert top.platforms == a.platforms
    assert not top.skipped_on("riscv64")


def test_asked_for_they_need_no_files(tmp_path: Path) -> None:
    assert [member.name for member in members(workspace(tmp_path, "a", "b"), members=True)] == ["a", "b"]


def test_platforms_are_the_members_else_the_tops_else_the_default(tmp_path: Path) -> None:
    root = workspace(tmp_path, "a", "b")
    write(root / "a/.platform", "riscv64\n")
    first, second = members(root)
    assert (first.platforms.names, first.platforms.source) == (("riscv64",), "a/.platform")
    assert (second.platforms.names, second.platforms.source) == (("x86_64", "aarch64"), "the defaults")
    write(root / ".platform", "aarch64\n")
    first, second = members(root)
    assert first.platforms.names == ("riscv64",)
    assert (second.platforms.names, second.platforms.source) == (("aarch64",), ".platform")
    given = members(root, platforms=["x86_64"])[1].platforms
    assert (given.names, given.source) == (("x86_64",), "register(platforms=...)")


def test_a_member_is_skipped_on_machines_that_its_own_platforms_leave_out(tmp_path: Path) -> None:
    root = workspace(tmp_path, "a", "b")
    write(root / ".platform", "x86_64\n")
    write(root / "a/.platform", "aarch64\nriscv64\n")
    first, second = members(root)
    assert first.skipped_on("x86_64") == "it is for aarch64, riscv64 (a/.platform), not for x86_64"
    assert first.skipped_on("aarch64") == ""
    assert second.skipped_on("aarch64") == ""


def test_the_files_that_describe_a_members_tests_are_named_from_the_top(tmp_path: Path) -> None:
    root = workspace(tmp_path, "deep/a", "b")
    for name in (".buildkite/test_description.json", ".buildkite/custom-tests.json"):
        write(root / "deep/a" / name)
        write(root / name)
    tests = {member.name: [str(path) for path in member.tests] for member in members(root)}
    assert tests == {
        "a": ["deep/a/.buildkite/custom-tests.json", "deep/a/.buildkite/test_description.json"],
        "b": [],
    }


def test_a_link_to_the_standard_tests_is_no_description_of_a_member(tmp_path: Path) -> None:
    root = workspace(tmp_path, "a")
    write(root / "rust-vmm-ci/.buildkite/test_description.json")
    (root / "a/.buildkite").mkdir()
    (root / "a/.buildkite/test_description.json").symlink_to(
        "../../rust-vmm-ci/.buildkite/test_description.json"
    )
    assert members(root) == []


@pytest.mark.parametrize("manifest", [None, '[package]\nname = "single"\n'])
def test_without_a_workspace_there_are_none(tmp_path: Path, manifest: str | None) -> None:
    if manifest:
        write(tmp_path / "Cargo.toml", manifest)
    write(tmp_path / "tests/coverage", "80.1\n")
    assert members(tmp_path) == []
    with pytest.raises(UserError, match="no workspace beside the noxfile") as caught:
        members(tmp_path, members=True)
    assert caught.value.where == "register(members=True)"


def test_members_and_only_the_own_package_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="take one of them out"):
        settings(tmp_path, {"members": True, "workspace": False})
    with pytest.raises(UserError, match="'yes' is not True or False"):
        settings(tmp_path, {"members": "yes"})


def test_a_platform_file_that_cannot_be_understood_is_named(tmp_path: Path) -> None:
    root = workspace(tmp_path, "a")
    write(root / "a/.platform", "# none\nx86-64\n")
    with pytest.raises(UserError, match="did you mean 'x86_64'") as caught:
        members(root)
    assert caught.value.where == "a/.platform:2"
