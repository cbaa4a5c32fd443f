"""Patterns of exclude_path: what llvm-cov understands, in Python's words, and what it does not."""

from __future__ import annotations

import re

import pytest

from rustvmm_sessions.coverage.exclusions import PatternError, python_pattern

MEANT = [
    ("bind[[:alpha:]]+\\.rs", "/c/bindings.rs", "/c/bind1.rs"),
    ("[[:<:]]gen[[:>:]]", "/c/gen/a.rs", "/c/regent.rs"),
    ("a[^/]b", "a-b", "a/b"),
    ("a[]x]b", "a]b", "ab"),
    ("a[[]b", "a[b", "ab"),
    (r"a[\.]b", "a\\b", "axb"),
    ("a[a&&b]b", "a&b", "axb"),
    ("x{2,3}", "xx", "x"),
    ("x{,3}y", "x{,3}y", "xxy"),
    ("x{y", "x{y", "xy"),
    (r"\.rs$", "a.rs", "a_rs"),
    (r"(a)\1", "aa", "ab"),
    ("src/(a|b)\\.rs", "src/b.rs", "src/c.rs"),
]


@pytest.mark.parametrize(("pattern", "matching", "other"), MEANT)
def test_a_pattern_means_in_python_what_it_means_to_llvm_cov(pattern: str, matching: str, other: str) -> None:
    assert re.search(python_pattern(pattern), matching)
    assert not re.search(python_pattern(pattern), other)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pattern", [pattern for pattern, _, _ in MEANT])
def test_python_warns_of_no_pattern(pattern: str) -> None:
    re.compile(python_pattern(pattern))


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"\bgen\b", r"`\b` has no meaning"),
        (r"v\d+", r"`\d` has no meaning in it but the character itself; write [0-9]"),
        (r"\Agen", "write ^"),
        ("(?!src)", "`(?` has no meaning"),
        ("(?:a|b)", "`(?` has no meaning"),
        ("a*?", "`?` repeats nothing, or a repetition"),
        ("a++", "`+` repeats nothing, or a repetition"),
        ("a{2}{3}", "`{3}` repeats nothing"),
        ("*.rs", "`*` repeats nothing"),
        (r"[\w-]", "a backslash stands for itself"),
        ("[[:word:]]", "there is no class `[:word:]`"),
        ("[[.a.]]", "are not known here"),
        ("(a|)", "an alternative is empty"),
        ("(|a)", "an alternative is empty"),
        ("()", "an alternative is empty"),
        ("[a", "a `[` is not closed"),
        ("(a", "unterminated"),
        ("a)", "unbalanced"),
        ("a\\", "a backslash stands at its end"),
    ],
)
def test_what_llvm_cov_understands_otherwise_or_not_at_all_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(PatternError, match=re.escape(why)):
        python_pattern(pattern)
