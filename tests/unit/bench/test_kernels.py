"""The kernels that bench is measured by differ in nothing but what they are asked to differ in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.perf.bench_kernels import KERNELS, Kernel, write_kernels

if TYPE_CHECKING:
    from pathlib import Path


def changed_lines(one: Path, other: Path) -> list[tuple[str, str]]:
    """Return the lines of two crates that are not the same, file by file."""
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    return [
        (before, after)
        for file in files
        for before, after in zip(
            (one / file).read_text().splitlines(), (other / file).read_text().splitlines(), strict=True
        )
        if before != after
    ]


def test_two_builds_of_the_same_work_differ_in_a_string_of_the_same_length(tmp_path: Path) -> None:
    write_kernels(tmp_path / "base")
    write_kernels(tmp_path / "head", mark="modified")
    assert changed_lines(tmp_path / "base", tmp_path / "head") == [
        ('static MARK: [u8; 8] = *b"original";', 'static MARK: [u8; 8] = *b"modified";')
    ]


def test_a_slow_down_is_one_number(tmp_path: Path) -> None:
    write_kernels(tmp_path / "base")
    write_kernels(tmp_path / "head", percent=5)
    assert changed_lines(tmp_path / "base", tmp_path / "head") == [
        ("const PERCENT: usize = 0;", "const PERCENT: usize = 5;")
    ]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_percents_of_the_steps_are_whole(kernel: Kernel) -> None:
    assert kernel.steps % 100 == 0
