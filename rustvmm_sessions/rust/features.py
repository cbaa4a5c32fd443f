"""Which features the tables of a workspace's packages let be on together.

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

A run of several packages is no such subset. For it the tables are read so that what is kept
apart stays apart: nothing is asked for that a table denies (by `denylist`, or by leaving it out of
`allowlist`), what it always includes is asked for, and no whole skip set is on, not even by way of
another member's dependencies. The other keys, and the underscores, are about what is worth
combining, and limit nothing here. Where plain ``--all-features`` would break this, it becomes as
many runs as it takes for each permitted feature to be on in one; where plain default features
would, they become those of them that are permitted. A member with `skip_package` takes part with
its default features in both.
"""

from __future__ import annotations

import os.path
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.wording import nearest

TABLE: Final = "cargo-all-features"
"""The name of the table under ``[package.metadata]``."""


KEYS: Final = (
    "allowlist",
    "always_include_features",
    "denylist",
    "extra_features",
    "max_combination_size",
    "skip_feature_sets",
    "skip_optional_dependencies",
    "skip_package",
)
"""Every key that cargo-all-features 1.12 reads from its table."""


_LISTS: Final = ("allowlist", "always_include_features", "denylist", "extra_features")


Key: TypeAlias = tuple[tuple[str, frozenset[str]], ...]
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
class Link:
    """A member's dependency on another member."""

    key: str  # as the manifest calls it
    target: str  # the other member's name
    optional: bool
    dev: bool
    features: frozenset[str]  # what it asks for, "default" included


@dataclass(frozen=True, kw_only=True)
class Member:
    """A package of the workspace, and what its table says about its features."""

    name: str
    where: str  # its table, for messages
    manifest: str  # see Run
    features: Mapping[str, Sequence[str]]
    optional: tuple[str, ...]  # dependencies, as often as they are declared
    links: tuple[Link, ...]
    listed: tuple[str, ...] = ()  # what is varied; twice if cargo-all-features has it twice
    always: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    skip_sets: tuple[frozenset[str], ...] = ()
    max_size: int | None = None
    skipped: bool = False
    _known: dict[frozenset[str], frozenset[str]] = field(default_factory=dict, compare=False)

    def switched_on(self, asked: Iterable[str]) -> frozenset[str]:
        """Return all that asking for these switches on, as the manifest writes it.

        That is features, ``dep:x`` for an optional dependency, ``x/f`` for a dependency's feature
        and ``x?/f`` for one that waits for ``dep:x``. The union of two results is the result for
        the union. https://doc.rust-lang.org/cargo/reference/features.html#dependency-features
        """
        start = frozenset(asked)
        if start not in self._known:
            on: set[str] = set()
            todo = list(start)
            while todo:
                entry = todo.pop()
                if entry in on:
                    continue
                on.add(entry)
                dependency, slash, _ = entry.partition("/")
                if not slash:
                    todo += self.features.get(entry, ())
                elif dependency in self.optional:  # not so `x?`
                    todo.append(f"dep:{dependency}")
                    todo += {dependency} & self.features.keys()
            self._known[start] = frozenset(on)
        return self._known[start]

    def effect(self, on: frozenset[str]) -> frozenset[str]:
        """Return the resolved feature set: what of `on` makes one build differ from another.

        The name ``default`` is not in it, as no code asks for that feature.
        """
        effect = set()
        for entry in on - {"default"}:
            dependency, waits, feature = entry.partition("?/")
            if not waits:
                effect.add(entry)
            elif dependency not in self.optional or f"dep:{dependency}" in on:
                effect.add(f"{dependency}/{feature}")
        return frozenset(effect)

    def resolved(self, asked: Iterable[str]) -> frozenset[str]:
        """Return the resolved feature set of asking for these."""
        return self.effect(self.switched_on(asked))

    def permits(self, name: str) -> bool:
        """Return whether `name`, or what ``default`` lists, asks for nothing that is denied."""
        asked = self.features.get(name, ()) if name == "default" else (name,)
        return self.denied.isdisjoint(entry.partition("/")[0] for entry in asked)

    def shortened(self, asked: Iterable[str]) -> list[str]:
        """Return the request without what the rest of it implies, in alphabetical order."""
        kept = sorted(asked)
        for name in sorted(asked, key=lambda name: (name == "default", name)):
            rest = [other for other in kept if other != name]
            if self.resolved(rest) == self.resolved(kept):
                kept = rest
        return kept


def members_of(metadata: Mapping[str, Any], warnings: list[str]) -> dict[str, Member]:
    """Return the workspace's members by name, in alphabetical order."""
    root = PurePath(metadata["workspace_root"])
    ids = frozenset(metadata["workspace_members"])
    packages = sorted(
        (package for package in metadata["packages"] if package["id"] in ids),
        key=lambda package: str(package["name"]),
    )
    folders = {PurePath(package["manifest_path"]).parent: package["name"] for package in packages}
    old_root = any(
        package["name"] == folders.get(root) and package["edition"] in ("2015", "2018")
        for package in packages
    )
    if _nearest_table(metadata.get("metadata")):
        warnings.append(
            f"[workspace.metadata.{TABLE}] in {root / 'Cargo.toml'} has no effect: the table is "
            f"each package's own, [package.metadata.{TABLE}]."
        )
    everywhere = frozenset(name for package in packages for name in package["features"])
    members = {}
    for package in packages:
        manifest = os.path.relpath(package["manifest_path"], root)
        member = Member(
            name=package["name"],
            where=f"{package['manifest_path']}, [package.metadata.{TABLE}]",
            manifest=manifest if old_root and manifest != "Cargo.toml" else "",
            features=package["features"],
            optional=tuple(_key(each) for each in package["dependencies"] if each["optional"]),
            links=tuple(
                Link(
                    key=_key(each),
                    target=folders[PurePath(each["path"])],
                    optional=each["optional"],
                    dev=each["kind"] == "dev",
                    features=frozenset(each["features"])
                    | frozenset(["default"] if each["uses_default_features"] else []),
                )
                for each in package["dependencies"]
                if each.get("path") and PurePath(each["path"]) in folders
            ),
        )
        table = _table(member, package.get("metadata"), warnings)
        members[member.name] = _with_table(member, table, everywhere, warnings)
    return members


def _key(dependency: Mapping[str, Any]) -> str:
    return str(dependency["rename"] or dependency["name"])


def nearest_name(name: str, candidates: Iterable[str]) -> str:
    """Return a question that names the nearest candidate; empty if none is near."""
    near = nearest(name, candidates, cutoff=0.6)
    return f" Did you mean {near}?" if near else ""


def _nearest_table(metadata: object) -> str:
    """Return the key of our table in a ``metadata`` table, or a key that looks like it; or ""."""
    if not isinstance(metadata, Mapping):
        return ""
    keys = {str(key).replace("_", "-"): str(key) for key in metadata}
    return TABLE if TABLE in metadata else keys.get(nearest(TABLE, keys, cutoff=0.9), "")


def _table(member: Member, metadata: object, warnings: list[str]) -> Mapping[str, Any]:
    """Return a package's table, empty if it has none; warn of keys that nothing reads."""
    name = _nearest_table(metadata)
    if not name or not isinstance(metadata, Mapping):
        return {}
    if name != TABLE:
        warnings.append(f"{member.name}: [package.metadata.{name}] has no effect. Did you mean {TABLE}?")
        return {}
    table = metadata[TABLE]
    if not isinstance(table, Mapping):
        raise _wrong_type(member, TABLE, "a table", table)
    warnings += [
        f"{member.name}: {key} in [package.metadata.{TABLE}] is no key that is known, so it has no "
        f"effect.{nearest_name(key, KEYS)}"
        for key in sorted(table.keys() - set(KEYS))
    ]
    return table


def _wrong_type(member: Member, key: str, expected: str, value: object) -> UserError:
    return UserError(
        f"{member.name}: {key} must be {expected}, not {value!r}.",
        where=member.where if key == TABLE else f"{member.where}, key {key}",
    )


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _names(member: Member, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not _is_names(value):
        raise _wrong_type(member, key, 'a list of feature names, ["a", "b"]', value)
    return tuple(value)


def _flag(member: Member, table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise _wrong_type(member, key, "true or false", value)
    return value


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _with_table(
    member: Member, table: Mapping[str, Any], everywhere: Collection[str], warnings: list[str]
) -> Member:
    """Return the member with what its table says."""
    lists = {key: _names(member, table, key) for key in _LISTS}
    skip_sets = table.get("skip_feature_sets", [])
    if not isinstance(skip_sets, list) or not all(map(_is_names, skip_sets)):
        expected = 'a list of lists of feature names, [["a", "b"], ["a", "c"]]'
        raise _wrong_type(member, "skip_feature_sets", expected, skip_sets)
    max_size = table.get("max_combination_size")
    if max_size is not None and not _is_size(max_size):
        raise _wrong_type(member, "max_combination_size", "a number from 0", max_size)
    skip_optional = _flag(member, table, "skip_optional_dependencies")
    skipped = _flag(member, table, "skip_package")
    apart = frozenset(name for names in skip_sets for name in names)
    _refuse_exclusive_keys(member, table, lists, apart)

    for key, names in (("denylist", lists["denylist"]), ("skip_feature_sets", sorted(apart))):
        warnings += [
            f"{member.name}: {name} in {key} is not a feature of the package, so it has no effect."
            f"{nearest_name(name, member.features)}"
            for name in names
            if name not in member.features
        ]
    if [] in skip_sets:
        warnings.append(f"{member.name}: an empty set in skip_feature_sets skips every combination.")
    allow, always, extra = (
        [name for name in lists[key] if _can_be_asked(member, key, name, everywhere, warnings)]
        for key in ("allowlist", "always_include_features", "extra_features")
    )
    if lists["allowlist"]:
        listed = allow
        denied = member.features.keys() - set(allow)
    else:
        out = {*lists["denylist"], *always}
        listed = [*_varied(member, skip_optional=skip_optional), *extra]
        listed = [name for name in listed if name not in out]
        denied = set(lists["denylist"])
    if skipped:
        denied = denied | member.features.keys() - member.switched_on(["default"])
    return replace(
        member,
        listed=tuple(listed),
        always=frozenset(always),
        denied=frozenset(denied),
        skip_sets=tuple(map(frozenset, skip_sets)),
        max_size=max_size,
        skipped=skipped,
    )


def _refuse_exclusive_keys(
    member: Member,
    table: Mapping[str, Any],
    lists: Mapping[str, Sequence[str]],
    apart: Collection[str],
) -> None:
    """Raise where cargo-all-features raises too."""
    rivals = [key for key in _LISTS if key != "allowlist" and lists[key]]
    rivals += [k for k in ("max_combination_size", "skip_optional_dependencies") if k in table]
    if lists["allowlist"] and rivals:
        raise UserError(
            f"{member.name}: allowlist and {rivals[0]} exclude each other.",
            where=member.where,
            fix=f"take {rivals[0]} out, or do without allowlist",
        )
    for key, names in (("denylist", lists["denylist"]), ("skip_feature_sets", apart)):
        for name in lists["always_include_features"]:
            if name in names:
                raise UserError(
                    f"{member.name}: {name} is both in always_include_features and in {key}.",
                    where=member.where,
                    fix="take it out of one of the two",
                )


def _can_be_asked(
    member: Member, key: str, name: str, everywhere: Collection[str], warnings: list[str]
) -> bool:
    """Return whether cargo would take the name; warn of another member's, raise for nobody's."""
    if name in member.features or ("/" in name and "?" not in name):
        return True
    if name not in everywhere:
        question = nearest_name(name, member.features)
        raise UserError(
            f"{member.name}: {name} in {key} is not a feature of the package.{question}",
            where=f"{member.where}, key {key}",
        )
    warnings.append(f"{member.name}: {name} in {key} is a feature of another package, so it has no effect.")
    return False


def _varied(member: Member, *, skip_optional: bool) -> list[str]:
    """Return what cargo-all-features varies where no table says otherwise."""
    explicit = {  # dependencies whose `dep:x` is more than the whole of the feature x
        entry.removeprefix("dep:")
        for name, entries in member.features.items()
        for entry in entries
        if entry.startswith("dep:") and list(entries) != [f"dep:{name}"]
    }
    implicit = {
        name for name, entries in member.features.items() if list(entries) == [f"dep:{name}"]
    } - explicit
    dependencies = [] if skip_optional else [n for n in member.optional if n not in explicit]
    return dependencies + [
        name
        for name in member.features
        if name != "default" and not name.startswith("__") and name not in implicit
    ]


def chosen_of(members: Mapping[str, Member], packages: Collection[str] | None) -> tuple[str, ...]:
    """Return the names of the packages to plan for, in alphabetical order."""
    if packages is None:
        return tuple(members)
    for name in [packages] if isinstance(packages, str) else sorted(packages):
        if name not in members:
            raise UserError(
                f"{name} is not a package of the workspace.{nearest_name(name, members)}",
                where="packages",
                fix=f"its packages are {', '.join(members)}",
            )
    return (packages,) if isinstance(packages, str) else tuple(sorted(set(packages)))


def narrowed(members: Mapping[str, Member], features: Collection[str]) -> dict[str, Member]:
    """Return the members with only these features varied and the others denied."""
    wanted = {features} if isinstance(features, str) else set(features)
    varied = {name for member in members.values() for name in (*member.listed, *member.always)}
    for name in sorted(wanted - varied):
        known = any(name in member.features for member in members.values())
        why = "is left out by the tables" if known else "is not a feature of the workspace"
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


# All packages at once --------------------------------------------------------------------------


def fullest(
    metadata: Mapping[str, Any],
    packages: Collection[str],
    *,
    off: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> tuple[Run, dict[str, frozenset[str]]]:
    """Return the run of packages that has as many features on as may go together.

    Args:
        metadata: What ``cargo metadata --format-version 1 --no-deps`` prints.
        packages: Names of members; at least one.
        off: Features that are not asked for, by member.

    Returns:
        The run, and what it leaves off of each member.
    """
    members = {
        name: replace(member, denied=member.denied | off.get(name, frozenset()))
        for name, member in members_of(metadata, []).items()
    }
    _, (key, run) = islice(joint_runs(members, chosen_of(members, packages), []), 2)
    return run, {name: frozenset(members[name].features) - on - {"default"} for name, on in key}


def joint_runs(
    members: Mapping[str, Member], chosen: Sequence[str], notes: list[str]
) -> Iterator[tuple[Key, Run]]:
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
    keys: set[Key] = set()
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
) -> tuple[Key, Run]:
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
