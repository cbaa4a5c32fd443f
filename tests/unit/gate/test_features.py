"""The feature matrix: every distinct feature set once, and what may not meet never meets."""

from __future__ import annotations

import itertools
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.gate.plan import LIMIT, Plan, parse_partition, partition, plan
from rustvmm_sessions.rust.features import Run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

TABLE = "cargo-all-features"

# What `cargo metadata --no-deps` prints, as far as it matters ------------------------------------


def dependency(  # noqa: PLR0913 - cargo has as many keys
    name: str,
    *,
    optional: bool = False,
    kind: str | None = None,
    features: Sequence[str] = (),
    default: bool = True,
    rename: str | None = None,
    path: str | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "rename": rename,
        "optional": optional,
        "kind": kind,
        "features": list(features),
        "uses_default_features": default,
        **({"path": path} if path else {}),
    }


def member_of(folder: str, **options: Any) -> dict[str, Any]:
    """Return a dependency on another member."""
    return dependency(folder, path=f"/ws/{folder}", **options)


def package(  # noqa: PLR0913 - a manifest has as many sections
    name: str,
    features: Mapping[str, Sequence[str]] | None = None,
    *,
    optional: Iterable[str] = (),
    needs: Iterable[dict[str, Any]] = (),
    table: Any = None,
    metadata: Any = None,
    folder: str | None = None,
    edition: str = "2021",
) -> dict[str, Any]:
    """Return a package; like cargo, with a feature per optional dependency that no `dep:` names."""
    written = {key: list(entries) for key, entries in (features or {}).items()}
    needs = [*needs, *(dependency(each, optional=True) for each in optional)]
    explicit = {entry for entries in written.values() for entry in entries}
    for each in needs:
        key = each["rename"] or each["name"]
        if each["optional"] and f"dep:{key}" not in explicit:
            written.setdefault(key, [f"dep:{key}"])
    path = "/ws" + (f"/{name}" if folder is None else folder)
    return {
        "name": name,
        "id": f"path+file://{path}#{name}@0.1.0",
        "manifest_path": f"{path}/Cargo.toml",
        "edition": edition,
        "features": written,
        "dependencies": needs,
        "metadata": metadata if table is None else {TABLE: table},
    }


def workspace(*packages: dict[str, Any], metadata: Any = None) -> dict[str, Any]:
    return {
        "packages": list(packages),
        "workspace_members": [each["id"] for each in packages],
        "workspace_root": "/ws",
        "metadata": metadata,
    }


def commands(made: Plan) -> list[str]:
    return [" ".join(run.arguments()) for run in made.runs]


def requests(made: Plan, name: str) -> list[str]:
    """Return the feature lists that are run for one package without its default features."""
    return [",".join(run.features) for run in made.runs if run.packages == (name,) and run.no_default]


def joint(made: Plan) -> list[Run]:
    """Return the runs of more than one package."""
    return [run for run in made.runs if len(run.packages) != 1]


# Published crates -------------------------------------------------------------------------------


VMM_SYS_UTIL = package(
    "vmm-sys-util",
    {"with-serde": ["serde", "serde_derive"]},
    optional=["serde", "serde_derive"],
)

VM_MEMORY = package(
    "vm-memory",
    {
        "default": ["rawfd"],
        "backend-mmap": ["dep:libc", "dep:winapi"],
        "backend-bitmap": ["dep:libc", "dep:winapi"],
        "backend-atomic": ["arc-swap"],
        "rawfd": ["dep:libc"],
        "xen": ["backend-mmap", "bitflags", "vmm-sys-util"],
        "iommu": ["dep:rangemap"],
    },
    optional=["arc-swap", "bitflags", "libc", "rangemap", "vmm-sys-util", "winapi"],
    table={"skip_optional_dependencies": True},
)


def vhost_workspace(*, denied: str = "test-utils") -> dict[str, Any]:
    apart = [["xen", "postcopy"]]
    return workspace(
        package(
            "vhost",
            {
                "default": [],
                "postcopy": [],
                "test-utils": [],
                "vhost-user": [],
                "vhost-user-backend": ["vhost-user"],
                "xen": ["vm-memory/xen"],
            },
            needs=[dependency("vm-memory")],
            table={"skip_feature_sets": apart, "denylist": [denied]},
        ),
        package(
            "vhost-user-backend",
            {
                "xen": ["vm-memory/xen", "vhost/xen"],
                "postcopy": ["vhost/postcopy", "userfaultfd"],
            },
            optional=["userfaultfd"],
            needs=[
                dependency("vm-memory"),
                member_of("vhost", features=["vhost-user-backend"]),
                member_of("vhost", kind="dev", features=["test-utils"]),
            ],
            table={"skip_feature_sets": apart},
        ),
    )


def test_a_feature_that_implies_others_is_not_run_again_with_them() -> None:
    made = plan(workspace(VMM_SYS_UTIL))

    assert commands(made) == [
        "--package=vmm-sys-util",
        "--package=vmm-sys-util --all-features",
        "--package=vmm-sys-util --no-default-features --features=serde",
        "--package=vmm-sys-util --no-default-features --features=serde_derive",
        "--package=vmm-sys-util --no-default-features --features=serde,serde_derive",
    ]
    assert (made.predecessor_runs, made.distinct) == (8, 5)


def test_members_without_features_are_run_alone_and_together() -> None:
    made = plan(workspace(package("vm-superio-ser"), package("vm-superio")))

    assert commands(made) == [
        "--workspace",
        "--package=vm-superio --no-default-features",
        "--package=vm-superio-ser --no-default-features",
    ]
    assert (made.predecessor_runs, made.distinct) == (4, 2)


def test_optional_dependencies_that_are_skipped_are_still_in_the_run_with_all_features() -> None:
    made = plan(workspace(VM_MEMORY))

    assert (made.predecessor_runs, made.distinct, len(made.runs)) == (64, 48, 48)
    assert commands(made)[:3] == [
        "--package=vm-memory",
        "--package=vm-memory --all-features",
        "--package=vm-memory --no-default-features",
    ]
    assert "rawfd" not in requests(made, "vm-memory"), "that is the run with default features"
    assert "arc-swap" not in requests(made, "vm-memory")
    assert made.warnings == made.notes == ()


def test_features_kept_apart_are_apart_in_the_joint_runs_and_each_is_in_one() -> None:
    made = plan(vhost_workspace())

    assert [run.arguments() for run in joint(made)] == [
        ("--workspace",),
        (
            "--workspace",
            "--no-default-features",
            "--features=vhost/postcopy,vhost/vhost-user-backend,vhost-user-backend/postcopy",
        ),
        (
            "--workspace",
            "--no-default-features",
            "--features=vhost/vhost-user-backend,vhost/xen,"
            "vhost-user-backend/userfaultfd,vhost-user-backend/xen",
        ),
    ]
    assert made.notes == (
        "The table of vhost and of vhost-user-backend does not permit all features at once, so the "
        "run with all features is 2 with as many as the tables permit.",
    )
    for subset in requests(made, "vhost") + requests(made, "vhost-user-backend"):
        assert not {"xen", "postcopy"} <= set(subset.split(","))
        assert "test-utils" not in subset
    assert made.predecessor_runs == 2 * (12 + 6)


def test_a_misspelt_feature_in_the_denylist_denies_nothing_and_is_warned_about() -> None:
    made = plan(vhost_workspace(denied="test_utils"))

    assert made.warnings == (
        "vhost: test_utils in denylist is no feature of the package, so it has no effect. "
        "Did you mean test-utils?",
    )
    assert "test-utils" in requests(made, "vhost")


# What asking for a feature switches on ----------------------------------------------------------


def test_a_request_is_the_smallest_that_comes_to_the_same() -> None:
    made = plan(workspace(package("p", {"a": [], "b": [], "c": ["a", "b"], "d": ["c"], "e": ["d"]})))

    # None of them, and e with all it brings, are the two plain runs.
    assert requests(made, "p") == ["a", "b", "c", "d", "a,b"]


def test_of_equally_small_requests_the_first_in_the_alphabet_is_run() -> None:
    made = plan(workspace(package("p", {"z": ["m"], "m": ["z"], "q": []})))

    assert requests(made, "p") == ["m", "q"]

    # (a, c) would be the first, but is skipped; (b, c) is found before (a, z).
    written = {"a": ["b"], "b": ["a"], "c": ["z"], "z": ["c"], "more": []}
    table = {"skip_feature_sets": [["a", "c"], ["b", "more"], ["z", "more"]]}
    made = plan(workspace(package("p", written, table=table), package("q")))
    assert "a,z" in requests(made, "p")
    assert "b,c" not in requests(made, "p")


def test_default_is_no_part_of_what_a_request_comes_to() -> None:
    table = {"allowlist": ["default", "a"]}
    made = plan(workspace(package("p", {"default": ["a"], "a": []}, table=table), package("q")))

    assert requests(made, "p") == ["", "a"]


def test_features_that_only_differ_in_a_dependency_s_feature_are_different() -> None:
    needs = [dependency("serde")]
    made = plan(workspace(package("p", {"a": ["serde/derive"], "b": ["serde/alloc"]}, needs=needs)))

    assert made.distinct == 4


def test_a_feature_of_an_optional_dependency_brings_the_dependency_and_its_feature() -> None:
    made = plan(workspace(package("p", {"a": ["serde/derive"]}, optional=["serde"])))

    # {}, serde, a = a + serde
    assert requests(made, "p") == ["serde"]
    assert made.distinct == 3


def test_a_weak_feature_counts_only_where_its_dependency_is_on() -> None:
    made = plan(workspace(package("p", {"a": ["b"], "b": ["serde?/derive"], "c": ["b"]}, optional=["serde"])))

    assert made.distinct == 10  # {b}, {a, b}, {b, c}, {a, b, c} and none, with and without serde
    key = plan(workspace(package("p", {"a": ["serde?/derive"], "b": ["serde?/derive", "a"]})))
    assert key.distinct == 3


@pytest.mark.parametrize(("entry", "distinct"), [("serde/derive", 3), ("serde?/derive", 4)])
def test_a_weak_feature_does_not_switch_its_dependency_s_namesake_on(entry: str, distinct: int) -> None:
    written = {"a": ["dep:serde", entry], "serde": ["dep:serde"]}

    assert plan(workspace(package("p", written, optional=["serde"]))).distinct == distinct


def test_a_dependency_hidden_behind_dep_is_no_feature_of_its_own() -> None:
    made = plan(workspace(package("p", {"std": ["dep:libc"], "x": []}, optional=["libc"])))

    assert requests(made, "p") == ["std", "x"]
    assert made.predecessor_runs == 4
    made = plan(workspace(package("p", {"std": ["dep:libc"], "libc": ["dep:libc"]}, optional=["libc"])))
    assert made.distinct == 4, "here it was given one"


def test_a_weak_feature_of_a_dependency_that_is_off_comes_to_nothing() -> None:
    made = plan(workspace(package("p", {"default": ["serde?/derive"]}, optional=["serde"])))

    assert commands(made) == [
        "--package=p",  # the same as without default features
        "--package=p --all-features",
        "--package=p --no-default-features --features=serde",
    ]


def test_a_renamed_dependency_goes_by_its_new_name() -> None:
    needs = [dependency("serde", rename="serde1", optional=True)]
    made = plan(workspace(package("p", {"x": ["serde1/derive"]}, needs=needs)))

    assert requests(made, "p") == ["serde1"]


def test_default_and_internal_features_are_not_varied() -> None:
    made = plan(workspace(package("p", {"default": ["a"], "a": [], "b": [], "__internal": []})))

    assert commands(made) == [
        "--package=p",
        "--package=p --all-features",
        "--package=p --no-default-features",
        "--package=p --no-default-features --features=b",
        "--package=p --no-default-features --features=a,b",
    ]
    assert made.predecessor_runs == 4


# The table --------------------------------------------------------------------------------------


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


# The runs with default and with all features ----------------------------------------------------


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


# Parts of the matrix ----------------------------------------------------------------------------


def test_one_crate_of_a_monorepo_is_planned_as_if_it_were_alone() -> None:
    whole = workspace(package("other", {"x": [], "y": []}), VMM_SYS_UTIL)

    assert plan(whole, packages=["vmm-sys-util"]) == plan(workspace(VMM_SYS_UTIL))


def test_some_members_are_run_together_by_name() -> None:
    whole = workspace(package("a", {"x": []}), package("b"), package("c"))

    made = plan(whole, packages=["c", "a"])

    assert commands(made) == [
        "--package=a --package=c",
        "--package=a --package=c --all-features",
        "--package=a --no-default-features",
        "--package=a --no-default-features --features=x",
        "--package=c --no-default-features",
    ]
    assert made.predecessor_runs == 3 * 2


def test_no_member_is_no_run() -> None:
    assert plan(workspace(package("a")), packages=[]).runs == ()


def test_only_the_named_features_are_varied_and_the_others_stay_off() -> None:
    one = package("p", {"default": ["std"], "std": [], "a": [], "b": ["std"], "c": []})

    made = plan(workspace(one), features=["a", "b"])

    assert commands(made) == [
        "--package=p --no-default-features",
        "--package=p --no-default-features --features=a,b",
        "--package=p --no-default-features --features=a",
        "--package=p --no-default-features --features=b",
    ]
    assert made.predecessor_runs == 16


def test_narrowing_to_nothing_leaves_what_is_always_included() -> None:
    table = {"always_include_features": ["a"]}
    made = plan(workspace(package("p", {"a": [], "b": []}, table=table)), features=[])

    assert commands(made) == ["--package=p --no-default-features --features=a"]


def test_narrowing_does_not_deny_what_is_always_included() -> None:
    table = {"always_include_features": ["a"]}
    one = package(
        "p",
        {"default": ["a", "b", "serde/derive"], "a": [], "b": [], "c": []},
        needs=[dependency("serde")],
        table=table,
    )

    assert commands(plan(workspace(one), features=["b"]))[0] == "--package=p"


def test_depth_limits_the_size_of_combinations() -> None:
    one = package("p", {"a": [], "b": [], "c": []})

    assert requests(plan(workspace(one), depth=1), "p") == ["a", "b", "c"]
    assert commands(plan(workspace(one), depth=0)) == ["--package=p", "--package=p --all-features"]
    assert plan(workspace(one), depth=5) == plan(workspace(one))


# Size -------------------------------------------------------------------------------------------


def test_many_features_in_a_chain_are_a_few_runs() -> None:
    chain = {f"f{index:02}": [f"f{index + 1:02}"] for index in range(60)} | {"f60": []}

    made = plan(workspace(package("p", chain)))

    assert made.distinct == 62
    assert made.predecessor_runs == 2**61
    assert max(len(run.features) for run in made.runs) == 1


@pytest.mark.parametrize("step", [1, -1])
def test_a_large_skip_set_is_no_trouble(step: int) -> None:
    names = [f"f{index:02}" for index in range(30)][::step]
    chain = {name: names[index + 1 : index + 2] for index, name in enumerate(names)}

    made = plan(workspace(package("p", chain, table={"skip_feature_sets": [names]})))

    assert made.distinct == 31
    assert made.predecessor_runs == 2**30 - 1


def test_many_features_that_all_exclude_each_other_are_a_few_runs() -> None:
    names = [f"f{index:02}" for index in range(40)]
    table = {"skip_feature_sets": [list(pair) for pair in itertools.combinations(names, 2)]}

    made = plan(workspace(package("p", {name: [] for name in names}, table=table)))

    assert made.distinct == made.predecessor_runs == 41
    assert len(made.runs) == 41


def test_too_many_sets_are_refused_with_the_setting_that_helps() -> None:
    one = package("p", {f"f{index:02}": [] for index in range(24)})
    start = time.monotonic()

    with pytest.raises(UserError) as caught:
        plan(workspace(one))

    assert time.monotonic() - start < 20
    assert "24 features" in caught.value.what
    assert "max_combination_size = 3 " in caught.value.fix
    assert "depth=3" in caught.value.fix
    assert "depth=1 is 25 combinations" in caught.value.fix
    made = plan(workspace(one), depth=3)
    assert made.distinct == 1 + 24 + 276 + 2024 < LIMIT
    assert made.predecessor_runs == 2**24


def test_the_order_in_the_metadata_does_not_matter() -> None:
    metadata = vhost_workspace()
    made = plan(metadata)

    for seed in range(5):
        shuffled = random.Random(seed)
        again = vhost_workspace()
        shuffled.shuffle(again["packages"])
        shuffled.shuffle(again["workspace_members"])
        for each in again["packages"]:
            pairs = list(each["features"].items())
            shuffled.shuffle(pairs)
            each["features"] = dict(pairs)
            shuffled.shuffle(each["dependencies"])
        assert plan(again) == made


def test_packages_outside_the_workspace_are_not_planned() -> None:
    metadata = workspace(package("p"))
    metadata["packages"].append(package("from-crates-io", {"x": []}, table={"denylist": 5}))

    assert commands(plan(metadata)) == ["--package=p"]


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
            "p: bee in skip_feature_sets is no feature of the package, so it has no effect.",
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


# What is wrong with a call ----------------------------------------------------------------------


@pytest.mark.parametrize("depth", [-1, True, "2", 1.5])
def test_a_depth_that_is_none_is_refused(depth: Any) -> None:
    with pytest.raises(UserError, match="depth"):
        plan(workspace(package("p")), depth=depth)


@pytest.mark.parametrize("packages", [["vmm-sysutil"], "vmm-sysutil"])
def test_an_unknown_package_is_refused(packages: Collection[str]) -> None:
    with pytest.raises(UserError, match="Did you mean vmm-sys-util"):
        plan(workspace(VMM_SYS_UTIL), packages=packages)


def test_an_unknown_feature_is_refused() -> None:
    with pytest.raises(UserError, match=r"no feature of the workspace\. Did you mean with-serde"):
        plan(workspace(VMM_SYS_UTIL), features=["with_serde"])


def test_a_feature_that_the_table_leaves_out_cannot_be_varied() -> None:
    with pytest.raises(UserError, match="arc-swap cannot be varied: it is left out by the tables"):
        plan(workspace(VM_MEMORY), features=["arc-swap"])


# Words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (Run(), "the whole workspace with default features"),
        (Run(all_features=True), "the whole workspace with all features"),
        (Run(packages=("p",), no_default=True), "p without features"),
        (Run(packages=("p",), features=("a",), no_default=True), "p with feature a"),
        (Run(packages=("p", "q"), features=("a", "b"), no_default=True), "p, q with features a, b"),
    ],
)
def test_a_run_says_what_it_is(run: Run, words: str) -> None:
    assert run.describe() == words


# Shares -----------------------------------------------------------------------------------------


@given(count=st.integers(1, 20), size=st.integers(0, 50))
def test_the_shares_of_a_plan_are_the_plan(count: int, size: int) -> None:
    whole = Plan(
        runs=tuple(Run(packages=(f"p{index}",)) for index in range(size)),
        predecessor_runs=100,
        distinct=size,
    )

    shares = [partition(whole, index + 1, count) for index in range(count)]

    dealt = [run for share in shares for run in share.runs]
    assert len(dealt) == len(whole.runs)
    assert set(dealt) == set(whole.runs)
    sizes = [len(share.runs) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert {(share.predecessor_runs, share.distinct) for share in shares} == {(100, size)}


@pytest.mark.parametrize(("index", "count"), [(0, 5), (6, 5), (1, 0), (-1, 5)])
def test_a_share_that_is_none_is_refused(index: int, count: int) -> None:
    with pytest.raises(UserError):
        partition(plan(workspace(package("p"))), index, count)


def test_a_share_is_written_as_a_fraction() -> None:
    assert parse_partition("2/5") == (2, 5)
    assert parse_partition("1/1") == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0/5",
        "6/5",
        "a/b",
        "1",
        "1/",
        "/5",
        "1/0",
        "-1/5",
        "1/5/5",
        " 1/5",
        "1/5\n",
        "\u0661/\u0665",
        "1.0/5",
        "9" * 9,
    ],
)
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--partition 2/5"):
        parse_partition(text)


# Any workspace ----------------------------------------------------------------------------------
#
# Below, cargo's and cargo-all-features' rules once more, as plainly as possible: a fixpoint, and
# every combination.


def naive_on(one: Mapping[str, Any], asked: Iterable[str]) -> set[str]:
    """Return what asking for these switches on in a package, with `x/f` for dependencies."""
    table: dict[str, list[str]] = one["features"]
    optional = {each["rename"] or each["name"] for each in one["dependencies"] if each["optional"]}
    on = set(asked)
    weak: set[str] = set()
    while True:
        before = len(on)
        for entry in list(on):
            for implied in table.get(entry, []):
                (weak if "?" in implied else on).add(implied)
            if "/" in entry and entry.split("/")[0] in optional:
                on.add("dep:" + entry.split("/")[0])
                on |= {entry.split("/")[0]} & set(table)
        if len(on) == before:
            break
    # Unlike `x/f`, this switches no feature x on.
    for name, feature in (entry.split("?/") for entry in weak):
        if name not in optional or f"dep:{name}" in on:
            on.add(f"{name}/{feature}")
    return on


def naive_resolved(one: Mapping[str, Any], asked: Iterable[str]) -> frozenset[str]:
    return frozenset(naive_on(one, asked) - {"default"})


def naive_subsets(one: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return what cargo-all-features asks for, subset by subset."""
    table = table_of(one)
    written: dict[str, list[str]] = one["features"]
    always = table.get("always_include_features", [])
    if table.get("skip_package"):
        return []
    if table.get("allowlist"):
        names = list(table["allowlist"])
    else:
        named = {(name, entry[4:]) for name in written for entry in written[name] if entry[:4] == "dep:"}
        elsewhere = {key for name, key in named if not (name == key and written[name] == [f"dep:{key}"])}
        implicit = {key for name, key in named if name == key} - elsewhere
        names = []
        if not table.get("skip_optional_dependencies"):
            for each in one["dependencies"]:
                key = each["rename"] or each["name"]
                if each["optional"] and key not in elsewhere:
                    names.append(key)
        names += [name for name in written if name != "default" and name[:2] != "__" and name not in implicit]
        names += table.get("extra_features", [])
        names = [name for name in names if name not in table.get("denylist", []) + always]
    largest = table.get("max_combination_size", len(names))
    return [
        (*subset, *always)
        for size in range(largest + 1)
        for subset in itertools.combinations(names, size)
        if not any(set(skip) <= set(subset) for skip in table.get("skip_feature_sets", []))
    ]


def naive_unified(metadata: Mapping[str, Any], asked: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return what is on in each member when these are run together."""
    ones = {each["name"]: each for each in metadata["packages"]}
    asks = {name: set(names) for name, names in asked.items()}
    while True:
        on = {name: naive_on(ones[name], names) for name, names in asks.items()}
        before = {name: set(names) for name, names in asks.items()}
        for name, names in on.items():
            for each in ones[name]["dependencies"]:
                key, target = each["name"], each.get("path", "").removeprefix("/ws/")
                off = each["optional"] and f"dep:{key}" not in names
                if target in ones and not off and (each["kind"] != "dev" or name in asked):
                    asks.setdefault(target, set()).update(
                        each["features"],
                        ["default"] if each["uses_default_features"] else [],
                        [entry.split("/")[1] for entry in names if entry.startswith(f"{key}/")],
                    )
        if asks == before:
            return on


def table_of(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a package's table, empty if it has none."""
    return dict((one["metadata"] or {}).get(TABLE, {}))


NAMES = ["a", "b", "c", "d", "e"]


@st.composite
def packages(draw: st.DrawFn, name: str = "p", lower: Sequence[str] = ()) -> dict[str, Any]:
    """Draw a package, maybe depending on the members `lower`, maybe with a table."""
    names = draw(st.lists(st.sampled_from([*NAMES, "x", "__f", "default"]), unique=True, max_size=6))
    external = {key: draw(st.booleans()) for key in ("x", "y")}
    links = [
        member_of(
            target,
            optional=draw(st.booleans()),
            kind=draw(st.sampled_from([None, "build"])),
            default=draw(st.booleans()),
            features=draw(st.lists(st.sampled_from(NAMES), max_size=1)),
        )
        for target in draw(st.lists(st.sampled_from(lower), unique=True) if lower else st.just([]))
    ]
    links += [
        member_of(target, kind="dev", features=draw(st.lists(st.sampled_from(NAMES), max_size=1)))
        for target in draw(st.lists(st.sampled_from(lower), unique=True) if lower else st.just([]))
    ]
    needs = [dependency(key, optional=optional) for key, optional in external.items()] + links
    plain = [each["name"] for each in needs if each["kind"] != "dev"]
    optional = [each["name"] for each in needs if each["optional"]]
    entries = [each for each in names if each != "default"]
    entries += [f"{key}/{feature}" for key in plain for feature in ("a", "b")]
    entries += [f"{key}?/a" for key in optional] + [f"dep:{key}" for key in optional]
    written = {each: draw(st.lists(st.sampled_from(entries), max_size=3, unique=True)) for each in names}
    one = package(name, written, needs=needs)
    table = draw(tables(sorted(set(one["features"]) - {"default"})))
    if table is not None:
        one["metadata"] = {TABLE: table}
    return one


@st.composite
def tables(draw: st.DrawFn, names: Sequence[str]) -> dict[str, Any] | None:
    some = st.lists(st.sampled_from(names), unique=True, max_size=3) if names else st.just([])
    pair = st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=3) if names else some
    sets = st.lists(pair, max_size=3 if names else 0)
    kind = draw(st.sampled_from(["none", "allow", "other"]))
    if kind == "none":
        return None
    if kind == "allow":
        return {"allowlist": draw(some), "skip_feature_sets": draw(sets)}
    table: dict[str, Any] = {
        "skip_optional_dependencies": draw(st.booleans()),
        "denylist": draw(some),
        "skip_feature_sets": draw(sets),
        "extra_features": draw(some),
    }
    if draw(st.booleans()):
        table["max_combination_size"] = draw(st.integers(0, 4))
    kept_out = {*table["denylist"], *itertools.chain(*table["skip_feature_sets"])}
    table["always_include_features"] = [each for each in draw(some) if each not in kept_out]
    if draw(st.integers(0, 9)) == 0:
        table["skip_package"] = True
    return table


@st.composite
def workspaces(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(1, 3))
    names = [f"m{index}" for index in range(count)]
    return workspace(*(draw(packages(each, names[:index])) for index, each in enumerate(names)))


def asked_of(run: Run, metadata: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return what a run asks of each package, read from its arguments as cargo would."""
    ones = {each["name"]: each for each in metadata["packages"]}
    chosen = run.packages or tuple(ones)
    if run.all_features:
        return {name: set(ones[name]["features"]) for name in chosen}
    asked: dict[str, set[str]] = {name: set() for name in chosen}
    if not run.no_default:
        return {name: {"default"} for name in chosen}
    for feature in run.features:
        name, slash, own = feature.partition("/")
        if slash and name in chosen and own in ones[name]["features"]:
            asked[name].add(own)
        else:
            asked[chosen[0]].add(feature)
    return asked


def size_and_names(request: Iterable[str]) -> tuple[int, list[str]]:
    return len(set(request)), sorted(set(request))


@settings(max_examples=300, deadline=None)
@given(workspaces())
def test_no_allowed_subset_is_lost_and_no_run_is_made_twice(metadata: dict[str, Any]) -> None:
    made = plan(metadata)

    ones = {each["name"]: each for each in metadata["packages"]}
    allowed = {name: naive_subsets(ones[name]) for name in ones}
    assert made.predecessor_runs == len(ones) * sum(map(len, allowed.values()))
    done = [
        tuple((name, naive_resolved(ones[name], asked)) for name, asked in asked_of(run, metadata).items())
        for run in made.runs
    ]
    assert len(set(done)) == len(done)
    distinct = 0
    for name, subsets in allowed.items():
        smallest: dict[frozenset[str], Any] = {}
        for subset in subsets:
            resolved = naive_resolved(ones[name], subset)
            if resolved not in smallest or size_and_names(subset) < size_and_names(smallest[resolved]):
                smallest[resolved] = subset
        distinct += len(smallest)
        for resolved, subset in smallest.items():
            run = made.runs[done.index(((name, resolved),))]
            assert not run.no_default or list(run.features) == sorted(set(subset))
        if len(ones) > 1:  # then a package's own runs are its subsets and nothing else
            own = [run for run in made.runs if run.packages == (name,)]
            assert len(own) == len(smallest)
    assert made.distinct == distinct


def naive_clashes(
    metadata: Mapping[str, Any], asked: Mapping[str, Iterable[str]]
) -> set[tuple[str, frozenset[str]]]:
    """Return the skip sets that are wholly on in their package when these are run together."""
    unified = naive_unified(metadata, asked)
    return {
        (each["name"], frozenset(skip))
        for each in metadata["packages"]
        for skip in table_of(each).get("skip_feature_sets", [])
        if set(skip) <= unified.get(each["name"], set())
    }


def permitted(one: Mapping[str, Any]) -> set[str]:
    """Return the features that a joint run may ask for."""
    table = table_of(one)
    names = set(one["features"]) - {"default"}
    if table.get("skip_package"):
        names &= naive_on(one, ["default"])
    if table.get("allowlist"):
        names &= set(table["allowlist"])
    return names - set(table.get("denylist", []))


@settings(max_examples=300, deadline=None)
@given(workspaces())
def test_what_the_tables_keep_apart_is_apart_in_the_joint_runs(metadata: dict[str, Any]) -> None:
    made = plan(metadata)

    ones = {each["name"]: each for each in metadata["packages"]}
    always = {name: set(table_of(ones[name]).get("always_include_features", [])) for name in ones}
    unavoidable = naive_clashes(metadata, always)
    together = [asked_of(run, metadata) for run in joint(made) if len(ones) > 1]
    for asked in together:
        assert naive_clashes(metadata, asked) <= unavoidable
        for name, names in asked.items():
            on = naive_resolved(ones[name], names)
            assert on >= always[name]
            # It is no more than asking for all that is permitted, in whatever words.
            most = {*permitted(ones[name]), *always[name]}
            if set(ones[name]["features"].get("default", [])) & set(ones[name]["features"]) <= most:
                most.add("default")
            assert on <= naive_resolved(ones[name], most)
    for name, one in ones.items():
        for feature in permitted(one):
            wish = {**always, name: always[name] | {feature}}
            if together and naive_clashes(metadata, wish) <= unavoidable:
                assert any(feature in naive_unified(metadata, asked)[name] for asked in together)


@settings(max_examples=300, deadline=None)
@given(packages())
def test_the_plain_runs_of_one_package_are_no_more_than_its_table_permits(
    one: dict[str, Any],
) -> None:
    always = set(table_of(one).get("always_include_features", []))
    unavoidable = naive_clashes(workspace(one), {"p": always})
    for run in plan(workspace(one)).runs:
        asked = asked_of(run, workspace(one))
        if not run.no_default:
            assert naive_clashes(workspace(one), asked) <= unavoidable
            assert naive_resolved(one, asked["p"]) >= always
