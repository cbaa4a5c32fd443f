"""A few generated workspaces, whose verdicts and figures are those of cargo and cargo-llvm-cov."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.differential import compare, generate
from tests.differential.workspace import Case, Check, Dependency, Edit, Feature, Package, Workspace

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = (2,)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_generated_workspace_has_no_difference(tmp_path: Path, seed: int) -> None:
    result = compare.run(generate.case(seed), tmp_path / "case", compare.tools(tmp_path))
    assert result.difference is None
    assert result.comparisons > 5


def test_a_program_with_a_hyphen_is_found_by_its_test(tmp_path: Path) -> None:
    """Cargo names it in a variable that is no identifier: a shell as rustc's wrapper may drop that."""
    package = Package(name="with-hyphen", folder=".", traits=("program", "itest-child"))
    case = Case(workspace=Workspace(packages=(package,)), steps=(Check(session="coverage"),))
    assert compare.run(case, tmp_path / "case", compare.tools(tmp_path)).difference is None


@pytest.mark.parametrize("outside", ["package", "member"])
def test_what_lies_outside_of_the_repository_may_have_changed(tmp_path: Path, outside: str) -> None:
    other = Package(name="other", folder="../other", member=outside == "member")
    user = Package(name="user", folder="user", dependencies=(Dependency(on="../other"),))
    case = Case(
        workspace=Workspace(packages=(other, user)),
        steps=(
            Edit(what="size", package="../other", value="1"),
            Check(session="unit-tests", options=("--changed", "start")),
        ),
    )
    assert compare.run(case, tmp_path / "case", compare.tools(tmp_path)).difference is None


def test_what_never_built_has_not_changed(tmp_path: Path) -> None:
    features = (Feature(name="one"), Feature(name="two"))
    package = Package(name="a", folder="a", features=features, excludes=("one", "two"))
    check = Check(session="unit-tests", options=("--changed", "start"))
    case = Case(workspace=Workspace(packages=(package,)), steps=(Edit(what="notes"), check))
    assert compare.run(case, tmp_path / "case", compare.tools(tmp_path)).difference is None
