"""What members measure, and what the table says of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions.coverage.instrumented import run_while_building
from rustvmm_sessions.coverage.measurement import (
    Backend,
    Decision,
    Lines,
    Measurement,
    Recorded,
    Verdict,
)
from rustvmm_sessions.coverage.members import Judged, feature_sets, table
from rustvmm_sessions.coverage.outcome import Outcome
from rustvmm_sessions.coverage.request import CoverageRequest
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.rust.cargo import Cargo

if TYPE_CHECKING:
    from rustvmm_sessions.settings import FeatureSets

BOTH = (("xen",), ("postcopy",))


@pytest.mark.parametrize(
    ("own", "of_all", "features", "expected"),
    [
        ((("a",),), BOTH, {"xen", "postcopy"}, (("a",),)),
        (None, BOTH, {"xen", "postcopy", "more"}, BOTH),
        (None, BOTH, {"xen"}, (("xen",), ())),
        (None, BOTH, set(), ()),
        (None, ((),), {"xen"}, ((),)),
        (None, (), {"xen"}, ()),
        (None, (("a", "xen"), ("b", "xen")), {"xen"}, (("xen",),)),
    ],
)
def test_a_member_builds_its_own_sets_else_what_it_knows_of_those_of_all(
    own: FeatureSets | None, of_all: FeatureSets, features: set[str], expected: FeatureSets
) -> None:
    assert feature_sets(own, of_all, features) == expected


def package(name: str, *kinds: str, **uses: str | None) -> dict[str, Any]:
    """Describe a package as ``cargo metadata`` does; `uses` are dependencies by their kinds."""
    dependencies = [{"name": used, "kind": kind} for used, kind in uses.items()]
    return {"name": name, "targets": [{"kind": [kind]} for kind in kinds], "dependencies": dependencies}


def test_macros_build_scripts_and_what_these_use_run_while_others_are_built() -> None:
    packages = [
        package("plain", "lib", macro=None),
        package("macro", "proc-macro", helper=None, tested="dev"),
        package("helper", "lib", deep=None, published=None),
        package("deep", "lib"),
        package("tested", "lib"),
        package("scripted", "lib", "custom-build", generator="build"),
        package("generator", "lib"),
    ]
    assert run_while_building(packages) == {"macro", "helper", "deep", "scripted", "generator"}
    assert run_while_building([package("plain", "lib"), package("other", "bin", plain=None)]) == set()


def judged(name: str, outcome: Outcome, error: CheckFailed | UserError | None = None) -> Judged:
    request = CoverageRequest(cargo=Cargo(directory=Path("/w", name)), package=name, folder=f"crates/{name}")
    return Judged(request=request, outcome=outcome, error=error)


def measured(verdict: Verdict, *, passed: bool, wrote: bool = False, recorded: bool = True) -> Outcome:
    lines = Lines(covered=3, count=4)
    record = Recorded(path=Path("/w"), percent=Fraction(80), decimals=1, tolerance=Fraction(0))
    return Outcome(
        measurement=Measurement(
            arch="x86_64", toolchain="1.95.0", backend=Backend.CARGO, lines=lines, files=()
        ),
        recorded=record if recorded else None,
        decision=Decision(verdict=verdict, passed=passed, write=wrote),
        passed=passed,
        wrote=wrote,
    )


def test_the_table_says_of_each_member_what_to_do() -> None:
    failed = CheckFailed("it is not what is recorded")
    rows = table(
        [
            judged("same", measured(Verdict.EQUAL, passed=True)),
            judged("new", measured(Verdict.NONE, passed=True, wrote=True, recorded=False)),
            judged("better", measured(Verdict.HIGHER, passed=False), failed),
            judged("worse", measured(Verdict.LOWER, passed=False), failed),
            judged("broken", Outcome(), CheckFailed("tests failed: --lib\nmore")),
            judged("wrong", Outcome(), UserError("no JSON", where="x:1", fix="correct it")),
        ]
    )
    assert [row.split("  ")[0] for row in rows] == [
        *("member", "same", "new", "better", "worse", "broken", "wrong")
    ]
    endings = [
        "what to do",
        "80.0 %    equal",
        "recorded  git add crates/new/tests/coverage",
        "higher    nox -s coverage -- --package better --profile devel",
        "lower     nox -s coverage -- --package worse --html",
        "failed    tests failed: --lib",
        "failed    correct it",
    ]
    for row, ending in zip(rows, endings, strict=True):
        assert row.endswith(ending)
