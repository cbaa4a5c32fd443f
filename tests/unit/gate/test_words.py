"""What words for cargo test and nextest come to for single packages."""

from __future__ import annotations

from typing import Any

import pytest

from rustvmm_sessions.gate.words import parse
from rustvmm_sessions.rust.features import Run

PACKAGE: dict[str, Any] = {
    "name": "one",
    "features": {"default": ["a"], "a": ["b"], "b": [], "c": []},
    "targets": [
        {"kind": ["lib"], "name": "one", "doctest": True},
        {"kind": ["test"], "name": "it", "doctest": False, "required-features": ["b"]},
        {"kind": ["test"], "name": "other", "doctest": False},
    ],
}
PLUGIN: dict[str, Any] = {
    "name": "plugin",
    "features": {},
    "targets": [{"kind": ["cdylib"], "name": "plugin", "doctest": False}],
}
TOOL: dict[str, Any] = {
    "name": "tool",
    "features": {},
    "targets": [{"kind": ["bin"], "name": "tool", "doctest": False}],
}


@pytest.mark.parametrize(
    ("words", "of_one", "of_plugin", "of_tool"),
    [
        ("", "", "", ""),
        ("sums -- --nocapture", *["sums -- --nocapture"] * 3),
        ("--lib", "--lib", "--lib", None),
        ("--doc", "--doc", None, None),
        ("--test it", "--test it", None, None),
        ("--test=o*", "--test=o*", None, None),
        ("--test it --bin tool -q", "--test it -q", None, "--bin tool -q"),
        ("--lib --test nothing", "--lib", "--lib", None),
        ("--bins", "--bins", "--bins", "--bins"),
        ("--test", "--test", "--test", "--test"),  # cargo lists what there is
        ("--jobs 2 it", "--jobs 2 it", "--jobs 2 it", "--jobs 2 it"),
    ],
)
def test_targets_that_a_package_lacks_are_passed_over(
    words: str, of_one: str | None, of_plugin: str | None, of_tool: str | None
) -> None:
    for package, right in ((PACKAGE, of_one), (PLUGIN, of_plugin), (TOOL, of_tool)):
        left = parse(words.split()).of_run(Run(packages=(package["name"],)), [package])
        assert (None if left is None else " ".join(left.given)) == right


@pytest.mark.parametrize(
    ("run", "there"),
    [
        (Run(), True),
        (Run(all_features=True), True),
        (Run(no_default=True), False),
        (Run(no_default=True, features=("c",)), False),
        (Run(no_default=True, features=("a",)), True),
        (Run(no_default=True, features=("one/b",)), True),
        (Run(no_default=True, features=("two/b",)), False),
    ],
)
def test_a_target_is_there_with_the_features_that_it_requires(run: Run, *, there: bool) -> None:
    assert (parse(["--test", "it"]).of_run(run, [PACKAGE]) is not None) == there


@pytest.mark.parametrize(
    ("words", "beside"),
    [
        ("", ""),
        ("one", "one"),
        ("one two -- --skip three", "-- one two --skip three"),
        ("--retries 2 -j 4 --no-fail-fast --profile ci", "--no-fail-fast"),
        ("--release --cargo-profile bench --build-jobs=2", "--release --profile=bench --jobs=2"),
        ("--features a --locked", "--features a --locked"),
        ("-E test(one)", None),
        ("--filterset=test(one)", None),
        ("--partition hash:1/2", None),
        ("--run-ignored all", None),
    ],
)
def test_cargo_gets_what_it_knows_of_words_for_nextest(words: str, beside: str | None) -> None:
    given = parse(words.split(), nextest=True).for_cargo()
    assert (None if given is None else " ".join(given)) == beside
