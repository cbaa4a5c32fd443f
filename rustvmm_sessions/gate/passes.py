"""Test executables that have passed, and what must be the same for them to pass again without being run.

That is: their bytes, how cargo starts them, their environment, the machine, and the files of the repository,
tracked or not, since a test may read any. Of other packages, what is theirs alone counts only where the
tests are built of the package, or name it in their executable: its sources (``*.rs``) and its programs.
What else a test asks for nobody knows (the clock, the network, luck), so it is called cached, not passed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rustvmm_sessions.results import CaseResult

MOST = 3000
"""How many passes of a session are kept."""

NEVER_READ = frozenset(
    {
        *("_", "SHLVL", "OLDPWD", "COLUMNS", "LINES", "WINDOWID", "TMUX", "TMUX_PANE", "STY", "WINDOW"),
        *("SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "SSH_AUTH_SOCK", "GPG_TTY", "XDG_SESSION_ID"),
        *("TERM_SESSION_ID", "VTE_VERSION", "LS_COLORS", "RUSTVMM_OUTCOMES", "RUSTVMM_RESULTS"),
    }
)
"""Variables that differ from terminal to terminal and that no test asks for; all others count."""


def digest(values: Iterable[str]) -> str:
    """Return a name for a list of texts that no other list has."""
    found = hashlib.sha256()
    for value in values:
        text = value.encode(errors="surrogateescape")
        found.update(b"%d:" % len(text) + text)
    return found.hexdigest()


def environment(variables: Mapping[str, str]) -> str:
    """Return the digest of the variables that a test may read."""
    return digest(
        text for name, value in sorted(variables.items()) if name not in NEVER_READ for text in (name, value)
    )


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The digests of files that a test may read.

    Attributes:
        common: Of all files that count for every test.
        sources: Of each package's sources, by the package's folder.
    """

    common: str
    sources: Mapping[str, str]

    def of(self, packages: Iterable[str], programs: Mapping[str, str]) -> str:
        """Return the digest of what counts for tests.

        Args:
            packages: The folders of the packages that they are built of or name.
            programs: The digests of the programs that they may start, by path.
        """
        sources = (text for path in sorted(packages) for text in (path, self.sources.get(path, "")))
        started = (text for program in sorted(programs.items()) for text in program)
        return digest((self.common, *sources, "", *started))


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A test executable, or the documentation tests of a library, and what must be the same.

    Attributes:
        name: As cargo names it.
        path: The executable, or the library.
        documentation: Whether rustdoc runs its tests.
        files: What was built: the path, and what its package has generated.
        packages: The folders of the packages whose sources count.
        programs: The programs that count.
        parts: The digests, by what they are of.
    """

    name: str
    path: str
    documentation: bool
    files: tuple[str, ...]
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    parts: Mapping[str, str]

    @property
    def announced(self) -> str:
        """What cargo announces it by: the executable's file name, or ``NAME (documentation)``."""
        return self.name if self.documentation else self.path.rpartition("/")[2]

    @property
    def key(self) -> str:
        """What tells it from all that is not the same."""
        return digest((self.path, *(text for part in sorted(self.parts.items()) for text in part)))


@dataclass(frozen=True, kw_only=True)
class Pass:
    """How a suite ended.

    Attributes:
        suite: What has run.
        runs: The feature combinations it belongs to.
        cases: Its tests with their results; None after a failure, which no later pass makes good: what
            fails and passes on the same bytes is flaky.
        unnamed: How many more tests passed, of which only the number is known.
    """

    suite: Suite
    runs: tuple[str, ...]
    cases: tuple[tuple[str, CaseResult], ...] | None = None
    unnamed: int = 0


@dataclass(frozen=True, kw_only=True)
class Book:
    """How suites ended, the latest last.

    Attributes:
        entries: By `Suite.key`.
    """

    entries: Mapping[str, Pass] = field(default_factory=dict)

    def passed(self, suite: Suite) -> Pass | None:
        """Return the pass that makes it needless to run a suite."""
        entry = self.entries.get(suite.key)
        return entry if entry and entry.cases is not None else None

    def with_end(self, ended: Pass) -> Book:
        """Return the book with one more end; after a failure on the same bytes a pass is none."""
        before = self.entries.get(ended.suite.key)
        if before is not None:
            runs = tuple(dict.fromkeys((*before.runs, *ended.runs)))
            ended = replace(before if before.cases is None else ended, runs=runs)
        entries = {key: entry for key, entry in self.entries.items() if key != ended.suite.key}
        return Book(entries=dict([*entries.items(), (ended.suite.key, ended)][-MOST:]))

    def as_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return {key: {**vars(entry), "suite": vars(entry.suite)} for key, entry in self.entries.items()}


def book_of(data: Mapping[str, Any]) -> Book:
    """Return the book that `Book.as_json` has written."""

    def entry(kept: Mapping[str, Any]) -> Pass:
        lists = {name: tuple(kept["suite"][name]) for name in ("files", "packages", "programs")}
        cases = None if kept["cases"] is None else tuple((name, result) for name, result in kept["cases"])
        suite = Suite(**{**kept["suite"], **lists})
        return Pass(suite=suite, runs=tuple(kept["runs"]), cases=cases, unnamed=kept["unnamed"])

    return Book(entries={key: entry(kept) for key, kept in data.items()})
