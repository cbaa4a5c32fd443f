"""No benchmark is slower than upstream's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.actions.bench import BenchRequest, check_benchmarks
from rustvmm_sessions.cargo import Cargo
from rustvmm_sessions.model import Scope
from rustvmm_sessions.standard import override_in

if TYPE_CHECKING:
    from rustvmm_sessions.config import Settings


def test_bench(crate_settings: Settings, test_scope: Scope) -> None:
    """Both sides, the changes and what they prove are in the output."""
    override = override_in(crate_settings, "bench")
    cargo = Cargo(directory=crate_settings.directory, env={**crate_settings.env, **override.env})
    check_benchmarks(
        BenchRequest(
            cargo=cargo,
            workspace=test_scope is Scope.WORKSPACE,
            package=cargo.variable("PACKAGE"),
            rules=crate_settings.bench,
        )
    )
