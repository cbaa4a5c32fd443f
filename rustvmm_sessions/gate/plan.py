"""Which feature combinations of which packages are worth a run of cargo.

rust-vmm-ci runs ``cargo all-features CMD --workspace``: the whole workspace once per member and
per subset of that member's features, although many subsets switch on the same things. Here
every distinct pair (package, resolved feature set) gets one run, and the workspace two more: with
default features and with all of them, so that features which meet only through another member
are seen too. A run of one package stands alone, so it also finds a member that compiles only
because another member asks more of a shared dependency.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust import durations
from rustvmm_sessions.rust.features import Key, Member, Run, chosen_of, joint_runs, members_of, narrowed

if TYPE_CHECKING:
    from collections.abc import Collection

LIMIT: Final = 10_000
"""Runs of one package above which a plan is refused: cargo would be at it for hours."""


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
            that is not a feature; `packages` or `features` has an unknown name; `depth` is not a number;
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
    chosen = chosen_of(members, packages)
    predecessor = len(chosen) * sum(_count_subsets(members[name]) for name in chosen)
    if features is not None:
        members = narrowed(members, features)

    notes: list[str] = []
    runs: dict[Key, Run] = {}
    for key, run in joint_runs(members, chosen, notes):
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


Share = tuple[int, int] | tuple[int, int, Mapping[str, int]]
"""Which share, from 1, of how many, and what runs took where that is known (`rust.durations`)."""


def partition(whole: Plan, index: int, count: int, took: Mapping[str, int] = MappingProxyType({})) -> Plan:
    """Return share `index` (from 1) of `count` of a plan; its numbers stay those of the whole.

    Whatever `took` has, the shares are disjoint, and together they are the plan. Heavy runs are dealt out
    first, each to the share that has least. Where nothing is known of their time, a package's runs stay
    together, as they build the same dependencies, unless they are more than a share. With more shares
    than runs some are empty.

    Raises:
        UserError: `index` is not in 1 to `count`.
    """
    if not 1 <= index <= count:
        raise _bad_share(f"{index}/{count}")
    weights = _weights(whole.runs, took)
    groups: dict[object, list[Run]] = {}
    for number, run in enumerate(whole.runs):
        groups.setdefault(number if took or len(run.packages) != 1 else run.packages, []).append(run)
    fair = sum(weights.values()) / count
    pieces: list[list[Run]] = []
    for group in groups.values():
        pieces += [group] if sum(weights[run] for run in group) <= fair else [[run] for run in group]
    loads = [0.0] * count
    mine: set[Run] = set()
    for piece in sorted(pieces, key=lambda piece: -sum(weights[run] for run in piece)):
        lightest = loads.index(min(loads))
        loads[lightest] += sum(weights[run] for run in piece)
        mine.update(piece if lightest == index - 1 else ())
    return replace(whole, runs=tuple(run for run in whole.runs if run in mine))


def _weights(runs: tuple[Run, ...], took: Mapping[str, int]) -> dict[Run, float]:
    """Return what each run takes: as known, else as the others, else a unit for each package."""
    known = {run: durations.of_run(took, run.describe()) for run in runs}
    figures = [seconds for seconds in known.values() if seconds is not None]
    typical = sum(figures) / len(figures) if figures else 0
    packages = len({name for run in runs for name in run.packages}) or 1
    return {
        run: seconds if seconds is not None else typical or len(run.packages) or packages
        for run, seconds in known.items()
    }


def parse_partition(text: str) -> Share:
    """Return the share and the number of shares that ``2/5`` stands for: (2, 5).

    A pipeline adds what runs took: ``2/5:3fa91c=12,5b0d22=3``.

    Raises:
        UserError: The text is no such share.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})(?::(.+))?", text)
    took = durations.unpacked(match[3]) if match and match[3] else None
    if match is None or (match[3] and took is None):
        raise _bad_share(text)
    index, count = int(match[1]), int(match[2])
    if not 1 <= index <= count:
        raise _bad_share(text)
    return (index, count) if took is None else (index, count, took)


def _bad_share(text: str) -> UserError:
    return UserError(
        f"invalid share of a plan {text!r}",
        where="--partition",
        fix="write I/N with I from 1 to N: --partition 2/5 is the second of five shares",
    )


# What the tables say ---------------------------------------------------------------------------


# What the plan was asked for -------------------------------------------------------------------


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
