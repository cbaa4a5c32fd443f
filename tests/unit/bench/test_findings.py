"""Benchmarks that got slower, as findings."""

from __future__ import annotations

import pytest

from rustvmm_sessions.bench.compare import findings
from tests.bench_reports import eight


@pytest.mark.parametrize(("fails", "level"), [(True, "error"), (False, "warning")])
def test_what_is_slower_is_an_error_where_the_verdict_fails(fails: bool, level: str) -> None:
    found = list(findings(eight(), fails=fails, strict=False))
    assert found
    assert {(f.kind, f.level) for f in found} == {("bench", level)}
    assert all(": slower, +" in f.title for f in found)
    assert all(" -> " in f.message for f in found)


def test_what_cannot_be_decided_is_one_only_where_that_fails() -> None:
    undecided = [f for f in findings(eight(), fails=True, strict=True) if ": undecided, " in f.title]
    assert undecided
    assert not any(": undecided, " in f.title for f in findings(eight(), fails=True, strict=False))
