"""The tables of cargo-all-features: what each key does, and what is refused or warned about."""

from __future__ import annotations

from typing import Any

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.gate.plan import plan
from tests.workspaces import TABLE, commands, dependency, member_of, package, requests, workspace


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, ["", "A", "B", "C", "x", "A C", "A x", "B C", "B x", "C x", "A C x", "B C x"]),
        ({"skip_feature_sets": [["C"]]}, ["", "A", "B", "x", "A x", "B x"]),
        (
            {"skip_feature_sets": [["x", "C"]]},
            ["", "A", "B", "C", "x", "A C", "A x", "B C", "B x"],
        ),
        # B brings A, but what is skipped is what is asked for.
        (
            {"skip_feature_sets": [["A"]]},
            ["", "B", "C", "x", "B C", "B x", "C x", "B C x"],
        ),
        # B alone would do, but is skipped with nothing: it takes the way round.
        ({"skip_feature_sets": [["B", "C"], ["x"]]}, ["", "A", "B", "C", "A C"]),
        ({"skip_optional_dependencies": True}, ["", "A", "B", "C", "A C", "B C"]),
        (
            {"skip_optional_dependencies": True, "extra_features": ["x"], "denylist": ["C"]},
            ["", "A", "B", "x", "A x", "B x"],
        ),
        ({"allowlist": ["A", "x"]}, ["", "A", "x", "A x"]),
        ({"allowlist": []}, ["", "A", "B", "C", "x", "A C", "A x", "B C", "B x", "C x", "A C x", "B C x"]),
        ({"denylist": ["C", "x"]}, ["", "A", "B"]),
        ({"denylist": ["A"]}, ["", "B", "C", "x", "B C", "B x", "C x", "B C x"]),
        ({"always_include_features": ["A"], "denylist": ["C"]}, ["A", "A B", "A x", "A B x"]),
        ({"max_combination_size": 0}, [""]),
        ({"max_combination_size": 1}, ["", "A", "B", "C", "x"]),
        ({"max_combination_size": 9, "denylist": ["x", "C"]}, ["", "A", "B"]),
        ({"max_combination_size": 1, "always_include_features": ["A"]}, ["A", "A B", "A C", "A x"]),
        ({"skip_package": True}, []),
    ],
)
def test_each_key_of_the_table_does_what_cargo_all_features_does(
    table: dict[str, Any], expected: list[str]
) -> None:
    one = package("p", {"A": [], "B": ["A"], "C": ["dep:y"]}, optional=["x", "y"], table=table)

    made = plan(workspace(one, package("other")))

    assert [each.replace(",", " ") for each in requests(made, "p")] == expected
    assert made.warnings == ()


def test_the_size_of_a_combination_limits_what_is_asked_for_not_what_that_brings() -> None:
    table = {"max_combination_size": 1}
    made = plan(workspace(package("p", {"a": [], "b": [], "ab": ["a", "b"]}, table=table)))

    assert requests(made, "p") == ["a", "b"]
    assert commands(made)[1] == "--package=p --all-features"


def test_a_set_that_only_a_detour_may_ask_for_is_not_lost() -> None:
    # {all} comes to {a, b, all}; with c it is skipped, and then a, b, c are not the same.
    written = {"a": ["b"], "b": ["a"], "c": []}
    made = plan(workspace(package("p", written, table={"skip_feature_sets": [["a", "c"]]})))

    assert made.distinct == 4
    assert "b,c" in [",".join(run.features) for run in made.runs]


def test_subsets_that_the_predecessor_makes_twice_are_counted_twice() -> None:
    made = plan(workspace(package("p", {"a": [], "b": []}, table={"extra_features": ["a"]})))

    assert made.predecessor_runs == 8
    assert made.distinct == 4


def test_skip_package_counts_no_subsets_but_the_package_is_there_in_the_others_runs() -> None:
    made = plan(
        workspace(
            package("p", {"default": ["a"], "a": [], "b": []}, table={"skip_package": True}),
            package("q", {"c": []}),
        )
    )

    assert commands(made) == [
        "--workspace",
        "--workspace --no-default-features --features=p/default,q/c",
        "--package=q --no-default-features",
        "--package=q --no-default-features --features=c",
    ]
    assert made.predecessor_runs == 2 * 2


# What is wrong with a table ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "key", "expected"),
    [
        ({"denylist": "a"}, "denylist", "a list of feature names"),
        ({"denylist": ["a", 1]}, "denylist", "a list of feature names"),
        ({"allowlist": {"a": True}}, "allowlist", "a list of feature names"),
        ({"extra_features": None}, "extra_features", "a list of feature names"),
        ({"always_include_features": True}, "always_include_features", "a list of feature names"),
        # The predecessor takes each name for an empty set, and runs nothing at all.
        ({"skip_feature_sets": ["a", "b"]}, "skip_feature_sets", "a list of lists"),
        ({"skip_feature_sets": [["a", 1]]}, "skip_feature_sets", "a list of lists"),
        ({"skip_feature_sets": "a"}, "skip_feature_sets", "a list of lists"),
        ({"skip_optional_dependencies": "yes"}, "skip_optional_dependencies", "true or false"),
        ({"skip_package": 1}, "skip_package", "true or false"),
        ({"max_combination_size": "2"}, "max_combination_size", "a number from 0"),
        ({"max_combination_size": True}, "max_combination_size", "a number from 0"),
        ({"max_combination_size": -1}, "max_combination_size", "a number from 0"),
        ({"max_combination_size": 1.5}, "max_combination_size", "a number from 0"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(table: Any, key: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(workspace(package("p", {"a": [], "b": []}, table=table)))

    assert f"p: {key} must be {expected}" in caught.value.what
    assert repr(table[key]) in caught.value.what
    assert caught.value.where == f"/ws/p/Cargo.toml, [package.metadata.{TABLE}], key {key}"


def test_a_table_that_is_none_is_named() -> None:
    with pytest.raises(UserError, match="p: cargo-all-features must be a table, not True"):
        plan(workspace(package("p", metadata={TABLE: True})))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("always_include_features", ["b"]),
        ("denylist", ["b"]),
        ("extra_features", ["b"]),
        ("max_combination_size", 2),
        ("skip_optional_dependencies", False),
    ],
)
def test_what_an_allowlist_excludes_is_refused(key: str, value: Any) -> None:
    table = {"allowlist": ["a"], key: value}

    with pytest.raises(UserError, match=f"p: allowlist and {key} exclude each other"):
        plan(workspace(package("p", {"a": [], "b": []}, table=table)))


@pytest.mark.parametrize(("key", "value"), [("denylist", ["a"]), ("skip_feature_sets", [["a", "b"]])])
def test_what_is_always_included_cannot_be_kept_out(key: str, value: Any) -> None:
    table = {"always_include_features": ["b", "a"], key: value}

    with pytest.raises(UserError, match=f"is both in always_include_features and in {key}"):
        plan(workspace(package("p", {"a": [], "b": []}, table=table)))


@pytest.mark.parametrize("key", ["allowlist", "always_include_features", "extra_features"])
def test_a_feature_that_cargo_would_not_know_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=f"with_serde in {key} .* Did you mean with-serde"):
        plan(workspace(package("p", {"with-serde": []}, table={key: ["with_serde"]})))


def test_a_feature_that_only_another_member_knows_is_left_out_with_a_warning() -> None:
    table = {"always_include_features": ["xen"]}
    made = plan(workspace(package("p", {"a": []}, table=table), package("q", {"xen": []})))

    assert requests(made, "p") == ["", "a"]
    assert made.warnings == (
        "p: xen in always_include_features is a feature of another package, so it has no effect.",
    )


def test_a_dependency_s_feature_may_be_asked_for() -> None:
    table = {"extra_features": ["serde/derive"]}
    made = plan(workspace(package("p", {"a": []}, needs=[dependency("serde")], table=table)))

    assert requests(made, "p") == ["serde/derive", "a,serde/derive"]


@pytest.mark.parametrize(
    ("one", "warning"),
    [
        (
            package("p", table={"skip_feature_set": [["a"]]}),
            "p: skip_feature_set in [package.metadata.cargo-all-features] is no key that is known, "
            "so it has no effect. Did you mean skip_feature_sets?",
        ),
        (
            package("p", table={"whatever": 1}),
            "p: whatever in [package.metadata.cargo-all-features] is no key that is known, so it "
            "has no effect.",
        ),
        (
            package("p", metadata={"cargo_all_features": {"denylist": ["a"]}}),
            "p: [package.metadata.cargo_all_features] has no effect. Did you mean cargo-all-features?",
        ),
        (
            package("p", {"a": []}, table={"skip_feature_sets": [["a", "bee"]]}),
            "p: bee in skip_feature_sets is not a feature of the package, so it has no effect.",
        ),
        (
            package("p", {"a": []}, table={"skip_feature_sets": [[]]}),
            "p: an empty set in skip_feature_sets skips every combination.",
        ),
    ],
)
def test_what_has_no_effect_is_warned_about(one: dict[str, Any], warning: str) -> None:
    assert plan(workspace(one)).warnings == (warning,)


def test_an_empty_skip_set_leaves_the_plain_runs() -> None:
    made = plan(workspace(package("p", {"a": []}, table={"skip_feature_sets": [[]]})))

    assert commands(made) == ["--package=p", "--package=p --all-features"]
    assert made.predecessor_runs == made.distinct == 0

    front = package("q", {"with-p": ["dep:p"]}, needs=[member_of("p", optional=True)])
    whole = workspace(package("p", {"a": []}, table={"skip_feature_sets": [[]]}), front)
    assert "--package=q --all-features" in commands(plan(whole, packages=["q"]))


def test_a_table_of_the_workspace_is_warned_about() -> None:
    (warning,) = plan(workspace(package("p"), metadata={TABLE: {"denylist": ["a"]}})).warnings

    assert "[workspace.metadata.cargo-all-features] in /ws/Cargo.toml has no effect" in warning


@pytest.mark.parametrize("metadata", [None, 5, {}, {"docs": {"rs": {"all-features": True}}}])
def test_other_metadata_is_nothing_to_speak_of(metadata: Any) -> None:
    assert plan(workspace(package("p", metadata=metadata), metadata=metadata)).warnings == ()
