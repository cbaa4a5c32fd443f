"""A few generated workspaces, whose verdicts and figures are those of cargo and cargo-llvm-cov."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.differential import compare, generate

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = (2,)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_generated_workspace_has_no_difference(tmp_path: Path, seed: int) -> None:
    result = compare.run(generate.case(seed), tmp_path / "case", compare.tools(tmp_path))
    assert result.difference is None
    assert result.comparisons > 5
