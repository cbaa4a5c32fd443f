"""Generated cases: the same for the same seed, sound, and smaller ones sound as well."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.differential import generate, render, shrink
from tests.differential.oracles import changed_in
from tests.differential.traits import TRAITS
from tests.differential.workspace import Case, Check, Dependency, Edit, Package, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "x86_64-unknown-linux-gnu"


def states(case: Case) -> Iterator[Workspace]:
    """Yield the workspace as it is before and after each edit."""
    workspace = case.workspace
    yield workspace
    for step in case.steps:
        if isinstance(step, Edit):
            workspace = step.apply(workspace)
            yield workspace


def sound(workspace: Workspace) -> None:
    """Dependencies lead to packages, manifests are TOML, traits have what they need, texts have no gaps."""
    folders = [package.folder for package in workspace.packages]
    assert len(set(folders)) == len(folders)
    for package in workspace.packages:
        assert {dependency.on for dependency in package.dependencies} <= set(folders)
        assert package.kinds or "program" in package.traits
        for trait in (TRAITS[name] for name in package.traits):
            assert set(trait.needs) <= set(package.traits)
            assert not trait.needs_library or (package.linkable and not package.proc_macro)
    for path, text in render.files(workspace, HOST).items():
        assert not path.startswith("..")
        assert "@" not in path + text
        if path.endswith(".toml"):
            tomllib.loads(text)


def test_a_seed_stands_for_one_case() -> None:
    assert generate.case(7) == generate.case(7)
    assert len({generate.case(seed) for seed in range(50)}) == 50


@pytest.mark.parametrize("first", range(0, 200, 100))
def test_every_state_of_a_case_is_sound(first: int) -> None:
    for seed in range(first, first + 100):
        case = generate.case(seed)
        assert isinstance(case.steps[-1], Check)
        for workspace in states(case):
            sound(workspace)


@pytest.mark.parametrize("seed", range(20))
def test_smaller_cases_are_smaller_and_sound(seed: int) -> None:
    case = generate.case(seed)
    for smaller in shrink.candidates(case):
        assert isinstance(smaller.steps[-1], Check)
        assert smaller != case
        for workspace in states(smaller):
            sound(workspace)


@pytest.mark.parametrize("seed", range(20))
def test_what_shows_in_every_case_shrinks_to_one_plain_package(seed: int) -> None:
    small = shrink.shrink(generate.case(seed), lambda _: True)
    (package,) = small.workspace.packages
    assert [package.name, package.folder] in (["p0", "p0"], ["p0", "."])
    assert replace(package, name="", folder="", member=True) == Package(name="", folder="")
    assert len(small.steps) == 1
    assert small.workspace == Workspace(packages=(package,))


def test_what_needs_two_things_keeps_them_alone() -> None:
    def same(case: Case) -> bool:
        edited = any(isinstance(step, Edit) and step.what == "version" for step in case.steps)
        return edited and any("program" in package.traits for package in case.workspace.packages)

    seed = next(seed for seed in range(1000) if same(generate.case(seed)))
    small = shrink.shrink(generate.case(seed), same)
    assert same(small)
    assert [len(small.workspace.packages), len(small.steps)] == [1, 2]
    assert small.workspace.packages[0].traits == ("program",)


def test_an_edit_writes_what_differs_and_no_more(tmp_path: Path) -> None:
    workspace = Workspace(packages=(Package(name="a", folder="a", traits=("module", "link")),), top="rust")
    before = render.files(workspace, HOST)
    render.write(tmp_path, before, ())
    ages = {path: (tmp_path / path).lstat().st_mtime_ns for path in before}
    after = render.files(Edit(what="drop", package="a", value="module").apply(workspace), HOST)
    render.write(tmp_path, after, before, older=True)

    root = f"{render.REPOSITORY}/rust/a/src"
    assert set(before) - set(after) == {f"{root}/deep/mod.rs", f"{root}/deep/deeper.rs"}
    assert not (tmp_path / root / "deep").exists()
    changed = {path for path in after if (tmp_path / path).lstat().st_mtime_ns != ages[path]}
    assert changed == {f"{root}/lib.rs"}
    assert (tmp_path / root / "lib.rs").stat().st_mtime_ns < ages[f"{root}/lib.rs"] - 1e9 * 86400
    assert (tmp_path / root / "linked.rs").samefile(tmp_path / root / "../../shared/common.rs")


def test_paths_lead_to_dependencies_wherever_these_lie() -> None:
    outside = Package(name="x", folder="../../elsewhere/x", member=False)
    beside = Package(name="b", folder="../b", dependencies=(Dependency(on="../../elsewhere/x"),))
    user = Package(name="a", folder="crates/a", dependencies=(Dependency(on="../b"),))
    files = render.files(Workspace(packages=(outside, beside, user)), HOST)
    for package in (beside, user):
        (manifest,) = (path for path in files if path.endswith(f"/{package.name}/Cargo.toml"))
        (dependency,) = tomllib.loads(files[manifest])["dependencies"].values()
        folder = os.path.normpath(f"{os.path.dirname(manifest)}/{dependency['path']}")  # noqa: PTH120
        assert f"{folder}/Cargo.toml" in files


def test_git_says_which_lines_changed() -> None:
    said = (
        "--- a/x\n+++ b/src/größe und.rs\t\n@@ -1,0 +2,2 @@ fn x\n+a\n+b\n"
        "@@ -9 +11 @@\n-c\n+d\n+++ /dev/null\n@@ -1 +0,0 @@\n"
    )
    assert changed_in(said) == {("src/größe und.rs", line) for line in (2, 3, 11)}
