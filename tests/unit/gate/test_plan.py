"""The feature matrix: every distinct feature set once, and what may not meet never meets."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.gate.plan import LIMIT, Plan, parse_partition, partition, plan
from rustvmm_sessions.rust import durations
from rustvmm_sessions.rust.features import Run
from tests.workspaces import (
    VM_MEMORY,
    VMM_SYS_UTIL,
    commands,
    dependency,
    joint,
    member_of,
    package,
    requests,
    workspace,
)

if TYPE_CHECKING:
    from collections.abc import Collection


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
        "vhost: test_utils in denylist is not a feature of the package, so it has no effect. "
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

    with pytest.raises(UserError) as caught:
        plan(workspace(one))

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
    with pytest.raises(UserError, match=r"not a feature of the workspace\. Did you mean with-serde"):
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


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans of packages with some combinations each, and runs of all of them."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5))
    joint = (Run(), Run(all_features=True)) if len(sizes) > 1 else ()
    alone = (
        Run(packages=(f"p{n}",), features=(f"f{f}",), no_default=True)
        for n, s in enumerate(sizes)
        for f in range(s)
    )
    return Plan(runs=(*joint, *alone), predecessor_runs=0, distinct=0)


@given(data=st.data(), whole=plans(), count=st.integers(1, 6))
def test_shares_are_the_plan_whatever_is_known_of_its_runs(
    data: st.DataObject, whole: Plan, count: int
) -> None:
    seconds = st.floats(0, 1000)
    timed = data.draw(st.lists(st.sampled_from(whole.runs), unique=True))
    took = {run.describe(): data.draw(seconds) for run in timed} | {"of another plan": 1e6}
    word = durations.packed(took if data.draw(st.booleans()) else {})

    shares = []
    for index in range(1, count + 1):
        given = parse_partition(f"{index}/{count}" + (word and f":{word}"))
        shares.append(partition(whole, *given).runs)

    assert sorted(run.describe() for share in shares for run in share) == sorted(
        run.describe() for run in whole.runs
    )
    assert all([run for run in whole.runs if run in share] == list(share) for share in shares)


@given(whole=plans(), count=st.integers(1, 6), data=st.data())
def test_no_share_is_heavier_than_a_fair_one_and_a_run(whole: Plan, count: int, data: st.DataObject) -> None:
    took = {run.describe(): data.draw(st.integers(1, 1000)) for run in whole.runs}
    figures = durations.unpacked(durations.packed(took))
    assert figures is not None

    loads = [
        sum(took[run.describe()] for run in partition(whole, index + 1, count, figures).runs)
        for index in range(count)
    ]

    assert max(loads) <= sum(took.values()) / count + max(took.values())


def test_a_package_s_runs_stay_together_where_nothing_is_known_of_their_time() -> None:
    def names(index: int, **given: int) -> list[str]:
        known = {durations.packed({what: 1}).partition("=")[0]: seconds for what, seconds in given.items()}
        return [run.packages[0] for run in partition(whole, index, 2, known).runs]

    packages = ("a", "a", "b", "b", "b", "c")
    runs = (Run(packages=(name,), features=(f"f{n}",), no_default=True) for n, name in enumerate(packages))
    whole = Plan(runs=tuple(runs), predecessor_runs=0, distinct=0)
    assert (names(1), names(2)) == (["b", "b", "b"], ["a", "a", "c"])
    known = {run.describe(): 10 for run in whole.runs} | {"a with feature f0": 60}
    assert (names(1, **known), names(2, **known)) == (["a"], ["a", "b", "b", "b", "c"])


def test_a_package_that_is_more_than_a_share_is_divided() -> None:
    whole = plan(workspace(package("p", {name: [] for name in "abcd"})))
    sizes = [len(partition(whole, index, 3).runs) for index in (1, 2, 3)]
    assert sum(sizes) == len(whole.runs)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("index", "count"), [(0, 5), (6, 5), (1, 0), (-1, 5)])
def test_a_share_that_is_none_is_refused(index: int, count: int) -> None:
    with pytest.raises(UserError):
        partition(plan(workspace(package("p"))), index, count)


def test_a_share_is_written_as_a_fraction() -> None:
    assert parse_partition("2/5") == (2, 5)
    assert parse_partition("1/1") == (1, 1)
    assert parse_partition("1/2:3fa91c=12,5b0d22=3") == (1, 2, {"3fa91c": 12, "5b0d22": 3})


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
        "1/5:",
        "1/5:x",
        "1/5:3fa91c=",
        "1/5:3fa91c=1,",
        "1/5:3fa91c=-1",
        "9" * 9,
    ],
)
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--partition 2/5"):
        parse_partition(text)
