"""Words for ``cargo test`` or cargo-nextest, and what they come to for single packages.

A session runs cargo once for each of many packages and features, where the words were written for one
run of the workspace: ``--test it`` passes over members without that target there, and fails alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rustvmm_sessions.rust.features import Run

_NAMED = {"--bin": "bin", "--test": "test", "--example": "example", "--bench": "bench"}
_CHOOSE_TARGETS = {
    *_NAMED,
    *(f"{option}s" for option in _NAMED),
    "--benches",
    "--lib",
    "--all-targets",
    "--doc",
}
_CHOOSE_FEATURES = {"-F", "--features", "--all-features", "--no-default-features"}
_ALL_PACKAGES = {"--workspace", "--all"}
_VALUED = {
    *(*_NAMED, "-F", "--features"),
    *("-j", "--jobs", "--target", "--target-dir", "--profile", "--manifest-path", "--message-format"),
    *("--color", "--config", "-Z", "--lockfile-path", "-C"),
}
"""Options of cargo test that have a value."""

_NEXTEST_FOR_CARGO = {"--cargo-profile": "--profile", "--build-jobs": "--jobs"}
_NEXTEST_CHOOSES = {
    *("-E", "--filterset", "--filter-expr", "--partition", "--run-ignored", "--platform-filter"),
    *("-R", "--rerun", "--archive-file", "--binaries-metadata"),
}
_NEXTEST_VALUED = {
    *_NEXTEST_FOR_CARGO,
    *_NEXTEST_CHOOSES,
    *("-P", "--profile", "-j", "--jobs", "--test-threads", "--retries", "--flaky-result", "--max-fail"),
    *("--debugger", "--tracer", "--no-tests", "--stress-count", "--stress-duration", "--failure-output"),
    *("--success-output", "--status-level", "--final-status-level", "--show-progress", "--message-format"),
    *("--message-format-version", "--max-progress-running", "--cargo-message-format", "--config-file"),
    *("--tool-config-file", "--user-config-file", "--archive-format", "--extract-to", "--cargo-metadata"),
    *("--workspace-remap", "--target-dir-remap"),
}
_NEXTEST_FLAGS = {
    *("--fail-fast", "--no-capture", "--nocapture", "--ignore-default-filter", "--no-output-indent"),
    *("--hide-progress-bar", "--no-input-handler", "--cargo-quiet", "--cargo-verbose", "--no-pager"),
}
"""Options of nextest that cargo test does not have, or that mean something else to it."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """An option with its value, or a filter.

    Attributes:
        given: The words as they were given.
        option: The option's name; empty for a filter.
        value: Its value, None where it has none.
    """

    given: tuple[str, ...]
    option: str = ""
    value: str | None = None


@dataclass(frozen=True, kw_only=True)
class TestWords:
    """What follows ``--`` of a session that runs tests.

    Attributes:
        words: Options and filters, without those for all packages.
        after: From another ``--`` on: words for the test executables.
        nextest: Whether nextest gets them.
    """

    __test__ = False  # not a test class, whatever pytest thinks of its name

    words: tuple[Word, ...] = ()
    after: tuple[str, ...] = ()
    nextest: bool = False

    @property
    def given(self) -> tuple[str, ...]:
        """The words, less those for all packages."""
        return tuple(each for word in self.words for each in word.given) + self.after

    @property
    def options(self) -> frozenset[str]:
        """The names of all options."""
        return frozenset(word.option for word in self.words if word.option)

    @property
    def targets(self) -> frozenset[str]:
        """The options that choose what is tested; cargo test adds them up, and takes --doc alone."""
        return self.options & _CHOOSE_TARGETS

    @property
    def choose_features(self) -> bool:
        """Whether they say which features are on."""
        return bool(self.options & _CHOOSE_FEATURES)

    def of_run(self, run: Run, packages: Sequence[Mapping[str, Any]]) -> TestWords | None:
        """Return the words without targets that a run's packages lack; None where nothing is left.

        Args:
            run: The run, whose features a target may require.
            packages: Its packages, as ``cargo metadata`` prints them.
        """
        if not self.targets:
            return self
        there = [
            word for word in self.words if any(self._is_there(word, package, run) for package in packages)
        ]
        if not any(word.option in _CHOOSE_TARGETS for word in there):
            return None
        return replace(self, words=tuple(there))

    def _is_there(self, word: Word, package: Mapping[str, Any], run: Run) -> bool:
        if word.option == "--lib":
            return any(
                {"bin", "test", "example", "bench", "custom-build"}.isdisjoint(t["kind"])
                for t in package["targets"]
            )
        if word.option == "--doc":
            return has_doctests([package])
        kind = _NAMED.get(word.option)
        if kind is None or word.value is None:
            return True
        return any(
            kind in target["kind"]
            and fnmatchcase(target["name"], word.value)
            and (self.choose_features or _on(package, run).issuperset(target.get("required-features", ())))
            for target in package["targets"]
        )

    def without(self, *options: str) -> tuple[str, ...]:
        """Return the options, less some and what is for the test executables."""
        return tuple(
            each for word in self.words if word.option and word.option not in options for each in word.given
        )

    def for_cargo(self) -> tuple[str, ...] | None:
        """Return the words for cargo test beside nextest; None where only nextest can choose so."""
        if self.options & _NEXTEST_CHOOSES:
            return None
        words: list[str] = []
        filters: list[str] = []
        for word in self.words:
            if word.option in _NEXTEST_FOR_CARGO:
                words.append(f"{_NEXTEST_FOR_CARGO[word.option]}={word.value}")
            elif not word.option:
                filters += word.given
            elif word.option not in _NEXTEST_VALUED | _NEXTEST_FLAGS:
                words += word.given
        after = self.after
        if len(filters) > 1:  # cargo itself takes one
            after, filters = ("--", *filters, *after[1:]), []
        return (*words, *filters, *after)


def parse(words: Sequence[str], *, nextest: bool = False) -> TestWords:
    """Read words for cargo test, or for nextest."""
    valued = _VALUED | _NEXTEST_VALUED if nextest else _VALUED
    end = words.index("--") if "--" in words else len(words)
    left = list(reversed(words[:end]))
    found: list[Word] = []
    while left:
        word = left.pop()
        option, joined, value = word.partition("=")
        if not word.startswith("--"):
            option, value = (word[:2], word[2:].removeprefix("=")) if word.startswith("-") else ("", "")
            joined = value
        if option not in valued:
            found.append(Word(given=(word,), option=option))
        elif joined or not left:
            found.append(Word(given=(word,), option=option, value=value if joined else None))
        else:
            value = left.pop()
            found.append(Word(given=(word, value), option=option, value=value))
    return TestWords(
        words=tuple(word for word in found if word.option not in _ALL_PACKAGES),
        after=tuple(words[end:]),
        nextest=nextest,
    )


def has_doctests(packages: Iterable[Mapping[str, Any]]) -> bool:
    """Whether packages can have documentation tests; where none can, ``cargo test --doc`` is an error."""
    return any(target["doctest"] for package in packages for target in package["targets"])


def without_doctests(packages: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return packages whose library says ``doctest = false``, which ``cargo test --doc`` does not respect."""
    return frozenset(
        package["name"]
        for package in packages
        for target in package["targets"]
        if not target["doctest"] and {"lib", "rlib", "proc-macro"} & set(target["kind"])
    )


def _on(package: Mapping[str, Any], run: Run) -> frozenset[str]:
    """Return the features of a package that a run switches on, as far as the package itself says."""
    features = package["features"]
    if run.all_features:
        return frozenset(features)
    on: set[str] = set()
    todo = [name.removeprefix(f"{package['name']}/") for name in run.features]
    todo += [] if run.no_default else ["default"]
    while todo:
        name = todo.pop()
        if name not in on:
            on.add(name)
            todo += features.get(name, ())
    return frozenset(on)
