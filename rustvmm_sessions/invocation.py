"""One run of a session: the words after ``--``, parsed once, and the settings that hold for it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from rustvmm_sessions.console import terminal_columns
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.results import Report
from rustvmm_sessions.rust import members
from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.choice import Choice, excluded_by
from rustvmm_sessions.wording import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rustvmm_sessions.catalog import StandardSession
    from rustvmm_sessions.deadline import Deadline
    from rustvmm_sessions.settings import SessionSettings, Settings


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One run of a standard session, by nox, by the command or by pytest.

    Attributes:
        crate: What the crate's ``register()`` call says.
        settings: What holds for this session.
        deadline: When its time is up.
        given: The options.
        rest: Words for ``cargo test``, or for the sessions in a container.
        called_from: The directory where it was called, which paths in options start from.
        toolchain: The name after a leading ``+``; empty for cargo's choice.
        command: The command line that asks for it, without options.
        known: The names of all sessions of the noxfile.
        report: What it finds goes there.
    """

    crate: Settings
    settings: SessionSettings
    deadline: Deadline
    given: argparse.Namespace
    called_from: Path
    rest: tuple[str, ...] = ()
    toolchain: str = ""
    command: str = ""
    known: frozenset[str] = frozenset()
    report: Report = field(default_factory=Report)

    @property
    def choice(self) -> Choice:
        """Which members are to be judged."""
        given = self.given
        return Choice(
            packages=tuple(given.package),
            without=tuple(given.exclude),
            excluded=self.settings.exclude,
            excluded_by=excluded_by(self.settings.row.name),
            changed=given.changed,
            members=members.of(self.crate),
            own=not self.crate.workspace,
        )

    @property
    def cargo(self) -> Cargo:
        """Cargo in the crate's directory, with the session's variables."""
        chosen = {"RUSTUP_TOOLCHAIN": self.toolchain} if self.toolchain else {}
        return Cargo(directory=self.crate.directory, env={**self.settings.env, **chosen})

    def path(self, name: str) -> Path | None:
        """Return the path that an option gives, or None."""
        value: Path | None = getattr(self.given, name)
        return value and self.called_from / value


def add_package_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names members of a workspace."""
    parser.add_argument(
        "-p",
        "--package",
        action="append",
        default=[],
        metavar="NAME",
        help="only this member, by its name or folder; may be repeated",
    )


def add_member_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose members of a workspace."""
    add_package_option(parser)
    add = parser.add_argument
    add("--exclude", action="append", default=[], metavar="NAME", help="all members but this one")
    add(
        "--changed",
        nargs="?",
        const="",
        metavar="REF",
        help="only members touched since the merge base with REF (default: upstream; nothing is fetched), "
        "and their dependents",
    )


def long_options(parser: argparse.ArgumentParser) -> list[str]:
    """Return the long names of all options of a parser."""
    strings = (string for action in parser._actions for string in action.option_strings)  # noqa: SLF001
    return [string for string in strings if string.startswith("--")]


class Parser(argparse.ArgumentParser):
    """Options of a session: no abbreviations, and errors that name the options there are."""

    def __init__(self, session: StandardSession) -> None:
        forwards = " [ARGUMENT OF CARGO TEST ...]" if session.forwards else ""
        super().__init__(
            prog=f"nox -s {session.name} --",
            usage=f"nox -s {session.name} -- [+TOOLCHAIN] [OPTION ...]{forwards}",
            add_help=False,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(
                prog, width=min(100, terminal_columns() or 100), max_help_position=30
            ),
        )
        self.session = session
        self.passes_on = False
        """Whether words after another ``--`` are for sessions that it runs."""
        self.add_argument("--help", action="store_true", help="show this help")

    @property
    def known(self) -> list[str]:
        """The long names of all options."""
        return long_options(self)

    @property
    def options(self) -> str:
        """What a message says of them."""
        return f"the options are {', '.join(self.known)}"

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print before it exits with nox."""
        raise UserError(message, where=f"nox -s {self.session.name} --", fix=self.options)

    def parse(self, words: Sequence[str]) -> tuple[argparse.Namespace, tuple[str, ...]]:
        """Return the options, and the words that the session does not know but forwards."""
        own = list(words[: words.index("--")]) if "--" in words else list(words)
        given, rest = self.parse_known_args(own)
        if self.passes_on and not rest:
            return given, tuple(words[len(own) + 1 :])
        rest += words[len(own) :]
        if rest and not self.session.forwards:
            word = rest[0].partition("=")[0]
            close = nearest(word, self.known)
            raise UserError(
                f"the session {self.session.name} has no option {word!r}",
                where=f"nox -s {self.session.name} -- {' '.join(words)}",
                fix=(f"did you mean {close!r}? " if close else "") + self.options,
            )
        return given, tuple(rest)
