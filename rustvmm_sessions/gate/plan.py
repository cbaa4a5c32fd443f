"""Which feature combinations of which packages are worth a run of cargo.

rust-vmm-ci runs ``cargo all-features CMD --workspace``: the whole workspace once per member and
per subset of that member's features, although many subsets switch on the same things. Here
every distinct pair (package, resolved feature set) gets one run, and the workspace two more: with
default features and with all of them, so that features which meet only through another member
are seen too. A run of one package stands alone, so it also finds a member that compiles only
because another member asks more of a shared dependency.

Which subsets a package allows is said by its ``[package.metadata.cargo-all-features]`` table, read
as cargo-all-features 1.12 reads it (its ``src/cargo_metadata.rs`` and ``src/features_finder.rs``):

* Varied are the features other than ``default`` and names starting with two underscores, and the
  optional dependencies that have a feature of their own name (not with
  `skip_optional_dependencies`); then `extra_features`. `allowlist` replaces all that and excludes
  most other keys. `denylist` and `always_include_features` are taken out.
* Each subset of at most `max_combination_size` of them is allowed, save those that hold a whole
  set of `skip_feature_sets`; then `always_include_features` joins each.
* These keys speak of what is asked for, not of what that implies: with ``a = ["b"]`` and
  ``denylist = ["b"]`` the subset ``a`` is allowed, and switches b on.
* `skip_package` leaves a member out.

The two workspace runs are no such subsets. For them the tables are read so that what is kept
apart stays apart: nothing is asked for that a table denies (by `denylist`, or by leaving it out of
`allowlist`), what it always includes is asked for, and no whole skip set is on, not even by way of
another member's dependencies. The other keys, and the underscores, are about what is worth
combining, and limit nothing here. Where plain ``--all-features`` would break this, it becomes as
many runs as it takes for each permitted feature to be on in one; where plain default features
would, they become those of them that are permitted. A member with `skip_package` takes part with
its default features in both.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.gate.tables import (
    Member,
    members_of,
    nearest_name,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

LIMIT: Final = 10_000
"""Runs of one package above which a plan is refused: cargo would be at it for hours."""


_Key: TypeAlias = tuple[tuple[str, frozenset[str]], ...]
"""What a run is: its packages, each with its resolved feature set."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of cargo.

    Attributes:
        packages: Names of the packages to run, alphabetical; empty for the whole workspace.
        features: What to ask for, as cargo's ``--features`` takes it. ``member/feature`` where
            the run is of several packages.
        no_default: Whether the default features stay off. False with no `features` and not
            `all_features` is a plain run.
        all_features: Whether all features are on; then the two others are empty and False.
        manifest: The manifest to start from, relative to the workspace's root; empty for the root's
            own. Needed where cargo's first resolver applies the feature options to the package it
            starts from and to no other: beside a root package of the 2015 or 2018 edition.
    """

    packages: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    no_default: bool = False
    all_features: bool = False
    manifest: str = ""

    def arguments(self, specs: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
        """Return what to put behind ``cargo CMD``, run in the workspace's root directory.

        Args:
            specs: By which word cargo knows a package whose name is not enough.
        """
        arguments = [f"--manifest-path={self.manifest}"] if self.manifest else []
        arguments += [f"--package={specs.get(name, name)}" for name in self.packages] or ["--workspace"]
        if self.all_features:
            arguments.append("--all-features")
        if self.no_default:
            arguments.append("--no-default-features")
        if self.features:
            arguments.append(f"--features={','.join(self.features)}")
        return tuple(arguments)

    def describe(self) -> str:
        """Return the run in words: ``vmm-sys-util with features serde, with-serde``."""
        what = ", ".join(self.packages) or "the whole workspace"
        if self.all_features:
            return f"{what} with all features"
        if not self.no_default:
            return f"{what} with default features"
        if not self.features:
            return f"{what} without features"
        plural = "s" if len(self.features) > 1 else ""
        return f"{what} with feature{plural} {', '.join(self.features)}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs that cover a workspace's features.

    Attributes:
        runs: What to run: first the runs of the whole workspace, then each package's by size.
        predecessor_runs: Package runs that ``cargo all-features CMD --workspace`` would make: the
            sum of the packages' allowed subsets, times the number of packages. What narrows the
            plan (`features`, `depth`) does not count, as it has no such thing.
        distinct: The different pairs (package, resolved feature set) among the planned subsets.
        warnings: What is probably wrong in the tables, one sentence each.
        notes: What the tables changed about the workspace runs, one sentence each.
    """

    runs: tuple[Run, ...]
    predecessor_runs: int
    distinct: int
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def plan(
    metadata: Mapping[str, Any],
    *,
    packages: Collection[str] | None = None,
    features: Collection[str] | None = None,
    depth: int | None = None,
) -> Plan:
    """Return the runs that cover the features of a workspace.

    Args:
        metadata: What ``cargo metadata --format-version 1 --no-deps`` prints.
        packages: Names of the members to plan for; all of them if None. Where some are left out,
            "the whole workspace" becomes ``--package`` for each that is not.
        features: Vary these alone and leave all others off, save `always_include_features` and
            what these imply; names apply to each package that has them. None narrows nothing.
        depth: The largest number of features to vary at once, from 0; where a table's
            `max_combination_size` is smaller, that counts.

    Raises:
        UserError: A table has a value of the wrong type, keys that exclude each other, or a name
            that is no feature; `packages` or `features` has an unknown name; `depth` is no number;
            or a package has more than `LIMIT` different feature sets.
    """
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise UserError(
            f"depth is the largest number of features to combine, not {depth!r}.",
            where="depth",
            fix="give a number from 0, or leave it out",
        )
    warnings: list[str] = []
    members = members_of(metadata, warnings)
    chosen = _chosen(members, packages)
    predecessor = len(chosen) * sum(_count_subsets(members[name]) for name in chosen)
    if features is not None:
        members = _narrowed(members, features)

    notes: list[str] = []
    runs: dict[_Key, Run] = {}
    for key, run in _joint_runs(members, chosen, notes):
        runs.setdefault(key, run)
    distinct = 0
    for member in (members[name] for name in chosen):
        for resolved, subset in _smallest_subsets(member, depth):
            distinct += 1
            # Of one package alone, some subsets are the default or all features over again.
            run = Run(
                packages=(member.name,),
                features=subset,
                no_default=True,
                manifest=member.manifest,
            )
            key = ((member.name, resolved),)
            if runs.setdefault(key, run).no_default:
                runs[key] = run  # a joint run of one package may ask for more than it takes
    return Plan(
        runs=tuple(runs.values()),
        predecessor_runs=predecessor,
        distinct=distinct,
        warnings=tuple(warnings),
        notes=tuple(notes),
    )


def partition(whole: Plan, index: int, count: int) -> Plan:
    """Return share `index` (from 1) of `count` of a plan; its numbers stay those of the whole.

    The shares are disjoint, together they are the plan, and their sizes differ by one at most. The
    runs are dealt out in turn, which spreads the few heavy ones at the front. With more shares than
    runs some are empty.

    Raises:
        UserError: `index` is not in 1 to `count`.
    """
    if not 1 <= index <= count:
        raise _bad_share(f"{index}/{count}")
    return replace(whole, runs=whole.runs[index - 1 :: count])


def parse_partition(text: str) -> tuple[int, int]:
    """Return the share and the number of shares that ``2/5`` stands for: (2, 5).

    Raises:
        UserError: The text is no such share.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None:
        raise _bad_share(text)
    index, count = int(match[1]), int(match[2])
    if not 1 <= index <= count:
        raise _bad_share(text)
    return index, count


def _bad_share(text: str) -> UserError:
    return UserError(
        f"{text!r} is no share of a plan.",
        where="--partition",
        fix="write I/N with I from 1 to N: --partition 2/5 is the second of five shares",
    )


# What the tables say ---------------------------------------------------------------------------


# What the plan was asked for -------------------------------------------------------------------


def _chosen(members: Mapping[str, Member], packages: Collection[str] | None) -> tuple[str, ...]:
    """Return the names of the packages to plan for, in alphabetical order."""
    if packages is None:
        return tuple(members)
    for name in [packages] if isinstance(packages, str) else sorted(packages):
        if name not in members:
            raise UserError(
                f"{name} is no package of the workspace.{nearest_name(name, members)}",
                where="packages",
                fix=f"its packages are {', '.join(members)}",
            )
    return (packages,) if isinstance(packages, str) else tuple(sorted(set(packages)))


def _narrowed(members: Mapping[str, Member], features: Collection[str]) -> dict[str, Member]:
    """Return the members with only these features varied and the others denied."""
    wanted = {features} if isinstance(features, str) else set(features)
    varied = {name for member in members.values() for name in (*member.listed, *member.always)}
    for name in sorted(wanted - varied):
        known = any(name in member.features for member in members.values())
        why = "is left out by the tables" if known else "is no feature of the workspace"
        raise UserError(
            f"{name} cannot be varied: it {why}.{nearest_name(name, varied)}",
            where="register(features=...)",
            fix=f"features that can: {', '.join(sorted(varied)) or 'none'}",
        )
    return {
        name: replace(
            member,
            listed=tuple(each for each in member.listed if each in wanted),
            denied=member.denied | (member.features.keys() - wanted - member.always),
        )
        for name, member in members.items()
    }


# The subsets of one package --------------------------------------------------------------------


def _smallest_subsets(member: Member, depth: int | None) -> list[tuple[frozenset[str], tuple[str, ...]]]:
    """Return each resolved feature set the table allows, with the smallest request for it.

    Requests are in the order of size, then of the alphabet. The subsets are not enumerated: their
    number doubles with every feature. Features join one by one, in alphabetical order, and for
    each outcome only the requests are kept that no other one beats, which is one that is as small,
    and no closer to a skip set. A feature that is on already never joins, as the request without
    it is smaller and allowed, too: parts of allowed subsets are allowed.
    """
    if member.skipped or frozenset() in member.skip_sets:
        return []
    varied = sorted(set(member.listed))
    sizes = (len(varied), member.max_size, depth)
    max_size = min(size for size in sizes if size is not None)
    apart = frozenset().union(*member.skip_sets)
    # For all that is switched on: requests, without what is always included.
    reached: dict[frozenset[str], list[tuple[str, ...]]] = {member.switched_on(member.always): [()]}
    for name in varied:
        more = member.switched_on([name])
        joined = [
            (on | more, (*request, name))
            for on, requests in reached.items()
            if not more <= on
            for request in requests
            if len(request) < max_size
            and not any(skip <= {*request, name} for skip in member.skip_sets if name in skip)
        ]
        for on, request in joined:
            rivals = reached.setdefault(on, [])
            if not any(_beats(rival, request, apart) for rival in rivals):
                rivals[:] = [each for each in rivals if not _beats(request, each, apart)]
                rivals.append(request)
        if sum(map(len, reached.values())) > LIMIT:
            raise _too_many(member, len(varied))

    smallest: dict[frozenset[str], tuple[str, ...]] = {}
    for on, requests in reached.items():
        resolved = member.effect(on)
        best = min(requests, key=_size_and_names)
        if resolved in smallest:
            best = min(best, smallest[resolved], key=_size_and_names)
        smallest[resolved] = best
    return [
        (resolved, tuple(sorted({*member.always, *request})))
        for resolved, request in sorted(smallest.items(), key=lambda it: _size_and_names(it[1]))
    ]


def _size_and_names(request: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    return len(request), request


def _beats(one: tuple[str, ...], other: tuple[str, ...], apart: frozenset[str]) -> bool:
    """Return whether `one` is the better request, now and whatever joins the two."""
    return _size_and_names(one) <= _size_and_names(other) and apart.intersection(one) <= {*other}


def _too_many(member: Member, count: int) -> UserError:
    size = max(
        size
        for size in range(count + 1)
        if sum(math.comb(count, taken) for taken in range(size + 1)) <= LIMIT
    )
    return UserError(
        f"{member.name}: its {count} features make more than {LIMIT} combinations.",
        where=member.where,
        fix=f"set max_combination_size = {size} there or depth={size} in the noxfile, better less "
        f"(depth=1 is {count + 1} combinations), or vary fewer features",
    )


def _count_subsets(member: Member) -> int:
    """Return how many subsets cargo-all-features makes, names listed twice counting twice.

    The features are taken or left one by one, and the subsets counted by what they still lack of
    the skip sets that can still be completed.
    """
    if member.skipped:
        return 0
    names = member.listed
    max_size = len(names) if member.max_size is None else member.max_size
    # For what the skip sets lack: how many subsets there are of 0, 1, 2, ... features.
    counts = {frozenset(member.skip_sets): [1]}
    for index, name in enumerate(names):
        later = frozenset(names[index + 1 :])
        following: dict[frozenset[frozenset[str]], list[int]] = {}
        for lacking, by_size in counts.items():
            for taken in (False, True):
                left = frozenset(skip - {name} if taken else skip for skip in lacking)
                left = frozenset(skip for skip in left if skip <= later)
                grown = following.setdefault(left, [0] * (index + 2))
                for size, count in enumerate(by_size):
                    grown[size + taken] += count
        counts = {lacking: sizes for lacking, sizes in following.items() if frozenset() not in lacking}
        if len(counts) > LIMIT:
            raise UserError(
                f"{member.name}: skip_feature_sets is too much to count by.",
                where=f"{member.where}, key skip_feature_sets",
                fix="name what excludes each other in fewer or smaller sets",
            )
    return sum(
        sum(by_size[: max_size + 1]) for lacking, by_size in counts.items() if frozenset() not in lacking
    )


# All packages at once --------------------------------------------------------------------------


def _joint_runs(
    members: Mapping[str, Member], chosen: Sequence[str], notes: list[str]
) -> Iterator[tuple[_Key, Run]]:
    """Yield the runs of all chosen packages: with default features, then with all features.

    Where tables limit the latter, they are as many as it takes for each permitted feature to be on
    once; some may be the same.
    """
    if not chosen:
        return
    always = {name: members[name].always for name in chosen}

    # The whole list of default features first: it may hold more than names of features.
    usual = [
        (name, feature)
        for name in chosen
        for feature in ("default", *sorted(members[name].features.get("default", ())))
        if feature in members[name].features and members[name].permits(feature)
    ]
    asked = _joined(members, always, usual)
    limited = _other_than(members, asked, dict.fromkeys(chosen, ("default",)))
    if limited:
        notes.append(
            f"The table of {' and of '.join(limited)} denies default features or always includes "
            "others, so the run with default features is one with what the tables permit."
        )
    yield _joint_run(members, asked, plain=None if limited else Run())

    permitted = sorted(
        ((name, feature) for name in chosen for feature in members[name].features),
        key=lambda pair: (pair[1], pair[0]),
    )
    permitted = [(name, feature) for name, feature in permitted if members[name].permits(feature)]
    missing = [pair for pair in permitted if pair[1] != "default"]
    keys: set[_Key] = set()
    while True:
        asked = _joined(members, always, [*missing, *permitted])
        limited = _other_than(members, asked, {name: members[name].features for name in chosen})
        key, run = _joint_run(members, asked, plain=None if limited else Run(all_features=True))
        keys.add(key)
        yield key, run
        on = _unified(members, asked)
        left = [(name, feature) for name, feature in missing if feature not in on[name]]
        if not left or left == missing:
            break
        missing = left
    if limited:
        notes.append(
            f"The table of {' and of '.join(limited)} does not permit all features at once, so the "
            f"run with all features is {len(keys)} with as many as the tables permit."
        )


def _joint_run(
    members: Mapping[str, Member], asked: Mapping[str, frozenset[str]], *, plain: Run | None
) -> tuple[_Key, Run]:
    """Return the run that asks for these, and what it is; `plain` if that does the same."""
    key = tuple((name, members[name].resolved(features)) for name, features in asked.items())
    scope = tuple(asked) if len(asked) == 1 or len(asked) < len(members) else ()
    manifest = members[scope[0]].manifest if len(scope) == 1 else ""
    if plain is not None:
        return key, replace(plain, packages=scope, manifest=manifest)
    features = [
        # A dependency's feature cannot be asked of one member alone.
        feature if len(asked) == 1 or "/" in feature else f"{name}/{feature}"
        for name in asked
        for feature in members[name].shortened(asked[name])
    ]
    return key, Run(packages=scope, features=tuple(features), no_default=True, manifest=manifest)


def _other_than(
    members: Mapping[str, Member],
    asked: Mapping[str, frozenset[str]],
    plain: Mapping[str, Iterable[str]],
) -> list[str]:
    """Return the packages for which `asked` and `plain` resolve to different features."""
    return [
        name
        for name, member in members.items()
        if name in asked and member.resolved(asked[name]) != member.resolved(plain[name])
    ]


def _joined(
    members: Mapping[str, Member],
    asked: Mapping[str, frozenset[str]],
    wanted: Sequence[tuple[str, str]],
) -> dict[str, frozenset[str]]:
    """Return the request with each (package, feature) wanted, in turn, that makes no new clash.

    Halves are tried before single ones: what clashes never stops clashing, so that comes to the
    same, and mostly there is nothing that clashes.
    """
    asked = dict(asked)
    known = _clashes(members, asked)
    todo = [wanted]
    while todo:
        group = todo.pop()
        trial = dict(asked)
        for name, feature in group:
            trial[name] |= {feature}
        if _clashes(members, trial) <= known:
            asked = trial
        elif len(group) > 1:
            half = len(group) // 2
            todo += [group[half:], group[:half]]
    return asked


def _clashes(
    members: Mapping[str, Member], asked: Mapping[str, frozenset[str]]
) -> set[tuple[str, frozenset[str]]]:
    """Return the skip sets, with their package, that are wholly on when all run together."""
    return {
        (name, skip)
        for name, on in _unified(members, asked).items()
        for skip in members[name].skip_sets
        if skip and skip <= on
    }


def _unified(members: Mapping[str, Member], asked: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return what is on in each member, also by way of others, when those asked run together.

    It is an upper bound: dependencies of every kind and platform count, save the development
    dependencies of members that are not run themselves.
    https://doc.rust-lang.org/cargo/reference/features.html#feature-unification
    """
    requests = dict(asked)
    unified: dict[str, frozenset[str]] = {}
    todo = list(asked)
    while todo:
        member = members[todo.pop()]
        on = member.resolved(requests[member.name])
        if unified.get(member.name) == on:
            continue
        unified[member.name] = on
        for link in member.links:
            if (link.dev and member.name not in asked) or (link.optional and f"dep:{link.key}" not in on):
                continue
            prefix = f"{link.key}/"
            request = link.features.union(
                entry.removeprefix(prefix) for entry in on if entry.startswith(prefix)
            )
            requests[link.target] = requests.get(link.target, frozenset()) | request
            todo.append(link.target)
    return unified
