"""Which members of a workspace a session judges: all, or those that its options and the crate leave."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from rustvmm_sessions.console import say
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust.cargo import machine
from rustvmm_sessions.rust.changed import changed_members
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rustvmm_sessions.rust.cargo import Cargo
    from rustvmm_sessions.rust.members import Member


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is said of the members to judge.

    Attributes:
        packages: Names, patterns of names, or folders; empty for all members.
        without: The same of members to leave out.
        excluded: Members that the crate leaves out of the session, in the same form.
        excluded_by: Where the crate says so.
        changed: Reference whose merge base with HEAD changes are taken against; empty for
            upstream, None for members whether they changed or not.
        members: Those that are judged by themselves; empty where members are not.
        own: Whether only the package in the crate's directory is meant.
    """

    packages: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    excluded_by: str = ""
    changed: str | None = None
    members: tuple[Member, ...] = ()
    own: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether all members are judged, for which nothing has to be asked."""
        said = self.packages or self.without or self.excluded or self.own or self.changed is not None
        return not said and not any(member.skipped_on(machine()) for member in self.members)


def choose(cargo: Cargo, asked: Choice) -> tuple[str, ...] | None:
    """Return the names of the members to judge, None for the whole workspace; say which, and why.

    Raises:
        UserError: There is no such member, or nothing to compare with.
    """
    if asked.is_plain:
        if asked.members:
            say(f"Members: {', '.join(member.name for member in asked.members)}")
        return None
    folders = _folders(cargo, asked)
    wanted = named(folders, asked.packages, "--package") or tuple(folders)
    without = named(folders, asked.without, "--exclude")
    reasons = left_out(folders, asked, machine())
    for name in wanted:
        if name in reasons:
            say(f"{name} is skipped: {reasons[name]}")
    names = tuple(name for name in wanted if name not in without and name not in reasons)
    if asked.changed is not None:
        touched = {member.package for member in changed_members(cargo, asked.changed)}
        names = tuple(name for name in names if name in touched)
    narrowed = asked.packages or without or reasons
    if asked.members or narrowed:
        say(f"Members: {', '.join(names) or 'none'}")
    return names if narrowed or asked.own or asked.changed is not None else None


def kept(cargo: Cargo, asked: Choice) -> tuple[str, ...]:
    """Return the members of the workspace that the crate leaves in a session; empty for all of them."""
    folders = _folders(cargo, asked)
    reasons = left_out(folders, asked, machine())
    return tuple(name for name in folders if name not in reasons) if reasons else ()


def _folders(cargo: Cargo, asked: Choice) -> dict[str, str]:
    """Return the folders of the members that may be judged, relative to the workspace's, by their names."""
    members = (cargo.package,) if asked.own else cargo.workspace.members
    return {m.name: os.path.relpath(m.directory, cargo.workspace.root) for m in members}


def left_out(folders: Mapping[str, str], asked: Choice, machine: str) -> dict[str, str]:
    """Return the members that the crate leaves out of a session, with the reasons."""
    found = {member.name: member.skipped_on(machine) for member in asked.members}
    by_crate = dict.fromkeys(named(folders, asked.excluded, asked.excluded_by), asked.excluded_by)
    return {name: why for name, why in {**found, **by_crate}.items() if why}


def excluded_by(session: str) -> str:
    """Return where the crate leaves members out of a session."""
    return f"register(overrides={{{session!r}: {{'exclude': ...}}}})"


def named(folders: Mapping[str, str], words: Iterable[str], where: str) -> tuple[str, ...]:
    """Return the members that words mean: by a name, a pattern of names, or a folder.

    Args:
        folders: The members' folders, relative to the workspace's, by their names.
        words: The words; cargo's ``NAME@VERSION`` among them.
        where: Where they come from.

    Raises:
        UserError: There is no such member.
    """
    found: dict[str, None] = {}
    for word in words:
        name, folder = word.partition("@")[0], word and posixpath.normpath(word)
        matching = [n for n in folders if n == name] or [n for n, path in folders.items() if path == folder]
        matching = matching or [n for n in folders if fnmatchcase(n, name)]
        if not matching:
            raise UserError(f"there is no member {word!r}", where=where, fix=did_you_mean(name, folders))
        found |= dict.fromkeys(matching)
    return tuple(found)
