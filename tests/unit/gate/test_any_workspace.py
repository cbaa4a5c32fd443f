"""The plan of any workspace, against the rules of cargo and cargo-all-features.

They are written here once more, as plainly as possible: a fixpoint, and every combination.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.gate.plan import plan
from tests.workspaces import TABLE, dependency, joint, member_of, package, workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rustvmm_sessions.rust.features import Run


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


@cache
def picks(count: int, size: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Choose so many of `count` numbers, in any order; making a strategy takes longer than drawing."""
    return st.sampled_from(tuple(itertools.permutations(range(count), size)))


def some(draw: st.DrawFn, names: Sequence[str], most: int, least: int = 0) -> list[str]:
    """Draw some of the names, each once."""
    size = draw(SIZES[min(least, len(names)), min(most, len(names))])
    return [names[index] for index in draw(picks(len(names), size))]


SIZES = {(least, most): st.integers(least, most) for most in range(7) for least in range(2)}
FLAG = st.booleans()
LINK_KIND = st.sampled_from([None, "build"])
TABLE_KIND = st.sampled_from(["none", "allow", "other"])
MOST_ASKED = st.none() | st.integers(0, 4)
ONE_IN_TEN = st.integers(0, 9).map(lambda number: number == 0)


@st.composite
def packages(draw: st.DrawFn, name: str = "p", lower: Sequence[str] = ()) -> dict[str, Any]:
    """Draw a package, maybe depending on the members `lower`, maybe with a table."""
    names = some(draw, [*NAMES, "x", "__f", "default"], most=6)
    external = {key: draw(FLAG) for key in ("x", "y")}
    links = [
        member_of(
            target,
            optional=draw(FLAG),
            kind=draw(LINK_KIND),
            default=draw(FLAG),
            features=some(draw, NAMES, most=1),
        )
        for target in some(draw, lower, most=2)
    ]
    links += [
        member_of(target, kind="dev", features=some(draw, NAMES, most=1))
        for target in some(draw, lower, most=2)
    ]
    needs = [dependency(key, optional=optional) for key, optional in external.items()] + links
    plain = [each["name"] for each in needs if each["kind"] != "dev"]
    optional = [each["name"] for each in needs if each["optional"]]
    entries = [each for each in names if each != "default"]
    entries += [f"{key}/{feature}" for key in plain for feature in ("a", "b")]
    entries += [f"{key}?/a" for key in optional] + [f"dep:{key}" for key in optional]
    written = {each: some(draw, entries, most=3) for each in names}
    one = package(name, written, needs=needs)
    table = draw_table(draw, sorted(set(one["features"]) - {"default"}))
    if table is not None:
        one["metadata"] = {TABLE: table}
    return one


def draw_table(draw: st.DrawFn, names: Sequence[str]) -> dict[str, Any] | None:
    kind = draw(TABLE_KIND)
    if kind == "none":
        return None
    sets = [some(draw, names, most=3, least=1) for _ in range(draw(SIZES[0, 3 if names else 0]))]
    if kind == "allow":
        return {"allowlist": some(draw, names, most=3), "skip_feature_sets": sets}
    table: dict[str, Any] = {
        "skip_optional_dependencies": draw(FLAG),
        "denylist": some(draw, names, most=3),
        "skip_feature_sets": sets,
        "extra_features": some(draw, names, most=3),
    }
    largest = draw(MOST_ASKED)
    if largest is not None:
        table["max_combination_size"] = largest
    kept_out = {*table["denylist"], *itertools.chain(*table["skip_feature_sets"])}
    table["always_include_features"] = [each for each in some(draw, names, most=3) if each not in kept_out]
    if draw(ONE_IN_TEN):
        table["skip_package"] = True
    return table


MEMBERS = [packages(f"m{index}", [f"m{lower}" for lower in range(index)]) for index in range(3)]


@st.composite
def workspaces(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(SIZES[1, 3])
    return workspace(*(draw(each) for each in MEMBERS[:count]))


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
