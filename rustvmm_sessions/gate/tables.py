"""What a member says of its features, and of their combinations in its table of cargo-all-features."""

from __future__ import annotations

import os.path
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Final

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
            f"{member.name}: {name} in {key} is no feature of the package, so it has no effect."
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
            f"{member.name}: {name} in {key} is no feature of the package.{question}",
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
