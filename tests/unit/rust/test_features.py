"""The fullest set of features that may go together."""

from __future__ import annotations

from typing import Any

import pytest

from rustvmm_sessions.rust.features import Run, fullest
from tests.workspaces import member_of, package, workspace

APART = {"skip_feature_sets": [["xen", "postcopy"]]}


def vhost(table: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return package(
        "vhost", {"default": ["net"], "net": [], "postcopy": [], "xen": []}, table=table, **options
    )


def test_without_a_table_all_features_go_together() -> None:
    run, off = fullest(workspace(vhost()), ["vhost"])
    assert run == Run(packages=("vhost",), all_features=True)
    assert off == {"vhost": frozenset()}


@pytest.mark.parametrize(
    ("table", "features", "off"),
    [
        (APART, ("default", "postcopy"), {"xen"}),
        ({"denylist": ["xen"]}, ("default", "postcopy"), {"xen"}),
        ({"allowlist": ["xen"]}, ("xen",), {"net", "postcopy"}),
        (
            {"skip_feature_sets": [["net", "postcopy"]], "always_include_features": ["xen"]},
            ("default", "xen"),
            {"postcopy"},
        ),
    ],
)
def test_what_the_table_keeps_apart_stays_apart(
    table: dict[str, Any], features: tuple[str, ...], off: set[str]
) -> None:
    run, left = fullest(workspace(vhost(table)), ["vhost"])
    assert run == Run(packages=("vhost",), features=features, no_default=True)
    assert left == {"vhost": off}


def test_it_stays_apart_by_way_of_another_member_too() -> None:
    user = package("user", {"xen": ["vhost/xen"]}, needs=[member_of("vhost", features=["postcopy"])])
    run, off = fullest(workspace(user, vhost(APART)), ["user"])
    assert run == Run(packages=("user",), no_default=True)
    assert off == {"user": {"xen"}}


def test_several_packages_ask_each_for_its_own() -> None:
    other = package("other", {"fast": []})
    run, off = fullest(workspace(other, vhost(APART), package("third")), ["other", "vhost"])
    assert run.packages == ("other", "vhost")
    assert run.features == ("other/fast", "vhost/default", "vhost/postcopy")
    assert off == {"other": frozenset(), "vhost": {"xen"}}


def test_what_one_revision_leaves_off_the_other_does_too() -> None:
    """The base has no table yet, or another one; what only one of them knows is no matter."""
    _, off = fullest(workspace(vhost(APART)), ["vhost"])
    run, _ = fullest(workspace(vhost()), ["vhost"], off={**off, "gone": frozenset({"x"})})
    assert run.features == ("default", "postcopy")
    run, _ = fullest(workspace(vhost({"denylist": ["net"]})), ["vhost"], off=off)
    assert run.features == ("postcopy",)
