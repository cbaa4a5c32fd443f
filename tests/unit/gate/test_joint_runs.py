"""The runs of several members together, with default and with all features."""

from __future__ import annotations

import pytest

from rustvmm_sessions.gate.plan import plan
from rustvmm_sessions.rust.features import Run
from tests.workspaces import commands, dependency, joint, member_of, package, workspace


def test_a_denied_feature_is_left_out_of_the_run_with_all_features() -> None:
    made = plan(workspace(package("p", {"a": [], "b": [], "bad": []}, table={"denylist": ["bad"]})))

    assert commands(made) == [
        "--package=p",
        "--package=p --no-default-features --features=a,b",
        "--package=p --no-default-features --features=a",
        "--package=p --no-default-features --features=b",
    ]


def test_a_denied_feature_that_others_bring_does_not_change_the_run_with_all_features() -> None:
    made = plan(workspace(package("p", {"a": ["b"], "b": []}, table={"denylist": ["b"]})))

    assert commands(made) == ["--package=p", "--package=p --all-features"]
    assert made.notes == ()


@pytest.mark.parametrize("key", ["denylist", "skip_feature_sets"])
def test_default_features_that_a_table_forbids_are_left_out(key: str) -> None:
    table = {"denylist": ["xen"], "skip_feature_sets": [["std", "xen"]]}[key]
    one = package("p", {"default": ["std", "xen"], "std": [], "xen": []}, table={key: table})

    made = plan(workspace(one, package("q")))

    assert joint(made)[0].arguments() == (
        "--workspace",
        "--no-default-features",
        "--features=p/std",
    )
    assert "default features" in made.notes[0]


def test_default_features_are_run_with_what_is_always_included() -> None:
    table = {"always_include_features": ["backend"]}
    one = package("p", {"default": ["std"], "std": [], "backend": [], "x": []}, table=table)

    made = plan(workspace(one, package("q", {"default": ["y"], "y": []})))

    assert commands(made)[:2] == [
        "--workspace --no-default-features --features=p/backend,p/default,q/default",
        "--workspace --all-features",
    ]


def test_denying_the_name_default_does_not_deny_what_it_stands_for() -> None:
    table = {"denylist": ["default"]}
    made = plan(workspace(package("p", {"default": ["a"], "a": []}, table=table)))

    assert commands(made) == ["--package=p", "--package=p --no-default-features"]
    assert made.warnings == made.notes == ()


def test_features_that_would_meet_only_through_other_members_do_not() -> None:
    """Neither front's own table knows of a clash; both together would make one in the back."""
    made = plan(
        workspace(
            package(
                "back",
                {"xen": [], "postcopy": []},
                table={"skip_feature_sets": [["xen", "postcopy"]]},
            ),
            package("front-live", {"live": ["back/postcopy"]}, needs=[member_of("back")]),
            package("front-xen", {"xen": ["back/xen"]}, needs=[member_of("back")]),
        )
    )

    lists = [run.features for run in joint(made)]
    assert lists == [
        (),
        ("back/postcopy", "front-live/live"),
        ("back/xen", "front-xen/xen"),
    ]


def test_a_clash_that_is_always_there_limits_nothing_else() -> None:
    table = {"skip_feature_sets": [["a", "b"]]}
    made = plan(
        workspace(
            package("back", {"a": [], "b": []}, table=table),
            package("front", {"c": []}, needs=[member_of("back", features=["a", "b"])]),
        )
    )

    assert joint(made) == [Run(), Run(all_features=True)]


def test_the_development_dependencies_of_members_not_run_do_not_count() -> None:
    members = (
        package("back", {"a": [], "b": []}, table={"skip_feature_sets": [["a", "b"]]}),
        package("mid", needs=[member_of("back", kind="dev", features=["a"])]),
        package("front", {"c": ["back/b"]}, needs=[member_of("back"), member_of("mid")]),
    )

    # Beside mid's tests, front's feature would make both meet.
    assert [run.features for run in joint(plan(workspace(*members)))] == [(), ("back/a",)]
    assert commands(plan(workspace(*members), packages=["front"])) == [
        "--package=front",
        "--package=front --all-features",
    ]


def test_a_feature_of_an_optional_member_switches_the_member_on() -> None:
    made = plan(
        workspace(
            package("back", {"a": [], "b": []}, table={"skip_feature_sets": [["a", "b"]]}),
            package(
                "front",
                {"with-back": ["dep:back"], "x": ["back/b"], "y": []},
                needs=[member_of("back", optional=True, features=["a"])],
            ),
        )
    )

    # With x, front makes a and b meet in back, whatever else is on.
    assert [run.features for run in joint(made)] == [
        (),
        ("back/a", "front/with-back", "front/y"),
        ("back/b", "front/y"),
    ]


def test_a_dependency_s_feature_is_not_asked_of_a_member() -> None:
    table = {"always_include_features": ["serde/derive"], "denylist": ["bad"]}
    one = package("p", {"a": [], "bad": []}, needs=[dependency("serde")], table=table)

    made = plan(workspace(one, package("q", {"b": []})))

    assert [run.features for run in joint(made)] == [
        ("serde/derive",),
        ("p/a", "serde/derive", "q/b"),
    ]


def test_a_run_of_the_workspace_that_equals_another_is_made_once() -> None:
    made = plan(workspace(package("p", {"default": ["a"], "a": []}), package("q")))

    assert joint(made) == [Run()]


def test_an_optional_member_counts_only_where_it_is_on() -> None:
    made = plan(
        workspace(
            package("back", {"a": [], "b": []}, table={"skip_feature_sets": [["a", "b"]]}),
            package(
                "front",
                {"with-back": ["dep:back"], "x": ["back?/b"]},
                needs=[member_of("back", optional=True, features=["a"])],
            ),
        )
    )

    assert [run.features for run in joint(made)] == [
        (),
        ("back/a", "front/with-back"),
        ("back/b", "front/x"),
    ]


def test_no_feature_needs_a_run_with_all_features() -> None:
    assert commands(plan(workspace(package("p")))) == ["--package=p"]


def test_an_old_root_package_does_not_take_the_features_meant_for_another_member() -> None:
    """With cargo's first resolver they are the starting package's, whatever --package says."""
    made = plan(
        workspace(
            package("root", {"r": []}, folder="", edition="2018"),
            package("member", {"m": []}, edition="2018"),
        )
    )

    assert commands(made)[2:] == [
        "--manifest-path=member/Cargo.toml --package=member --no-default-features",
        "--manifest-path=member/Cargo.toml --package=member --no-default-features --features=m",
        "--package=root --no-default-features",
        "--package=root --no-default-features --features=r",
    ]
