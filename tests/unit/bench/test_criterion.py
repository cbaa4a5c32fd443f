"""Criterion's harness from outside: filters, lists and files as its versions have them."""

from __future__ import annotations

import json
import re

import pytest

from rustvmm_sessions.bench import criterion

LONG = (
    "a name of more than a hundred bytes, which criterion cuts off where it lists its benchmarks, and says so"
)


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("spin: benchmark\nwalk/16: benchmark\n", ("spin", "walk/16")),
        ("spin: bench\n", ("spin",)),  # 0.3
        ("Gnuplot not found\nspin: benchmark\n\n1 test, 2 benchmarks\n", ("spin",)),
        ("a: b: benchmark\n", ("a: b",)),
        ("", ()),
    ],
)
def test_titles_are_read_off_the_list(text: str, titles: tuple[str, ...]) -> None:
    assert criterion.parse_list(text) == titles


@pytest.mark.parametrize(
    "title", ["spin", "with space", "a/b/7", "(x) [y]+ {z}* ^$ |? .", "back\\slash", "#1", "a-b & c~d", "µs"]
)
def test_a_filter_selects_its_benchmark_alone(title: str) -> None:
    (pattern,) = criterion.patterns([title])
    assert re.search(pattern, title)
    assert not re.search(pattern, f"{title}x")
    assert not re.search(pattern, f"x{title}")


@pytest.mark.parametrize("char", " #&-~/'\"<>:;!@%,=`")
def test_what_means_nothing_in_rusts_expressions_is_not_escaped(char: str) -> None:
    assert criterion.escape(f"a{char}b") == f"a{char}b"  # a needless backslash is an error there


def test_benchmarks_that_no_filter_tells_apart_share_one() -> None:
    assert criterion.patterns(["same", "same #2", "same #3", "other"]) == ("^same$", "^other$")
    assert criterion.patterns(["only #2"]) == ("^only #2$",)
    cut = f"{LONG[:100]}..."
    assert criterion.patterns([cut, f"{cut} #2"]) == (f"^{criterion.escape(LONG[:100])}",)


@pytest.mark.parametrize(
    ("title", "cut"),
    [("short...", False), (f"{LONG[:100]}...", True), (LONG[:100], False), (f"{'µ' * 50}...", True)],
)
def test_a_title_that_is_cut_off_is_known(title: str, cut: bool) -> None:
    assert criterion.is_cut(title) is cut


def result(full_id: str, title: str | None) -> tuple[str, float]:
    names = {"full_id": full_id, "directory_name": "x", **({"title": title} if title else {})}
    return criterion.parse_result(
        json.dumps(names), json.dumps({"iters": [1.0, 2.0, 3.0], "times": [10.0, 20.0, 36.0]})
    )


def test_a_result_has_the_benchmarks_id_and_its_time_per_iteration() -> None:
    assert result("a/b", "a/b") == ("a/b", 10.0)
    assert result("a/b", "a/b #2") == ("a/b #2", 10.0)
    assert result(LONG, f"{LONG[:100]}...")[0] == LONG
    assert result("a", None)[0] == "a"


@pytest.mark.parametrize(
    ("benchmark", "sample"),
    [
        ("{}", '{"iters": [1], "times": [1]}'),
        ('{"full_id": "a"}', "{}"),
        ('{"full_id": "a"}', '{"iters": [0], "times": [1]}'),
        ('{"full_id": "a"}', '{"iters": [], "times": []}'),
        ('{"full_id": "a"}', '{"iters": [1], "times": ["x"]}'),
        ("not json", "{}"),
        ('["a"]', "{}"),
    ],
)
def test_what_criterion_did_not_write_is_refused(benchmark: str, sample: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        criterion.parse_result(benchmark, sample)


@pytest.mark.parametrize(
    ("package_id", "version"),
    [
        ("registry+https://github.com/rust-lang/crates.io-index#criterion@0.5.1", (0, 5)),
        ("criterion 0.3.6 (registry+https://github.com/rust-lang/crates.io-index)", (0, 3)),
        ("path+file:///home/me/criterion#0.8.2", (0, 8)),
        ("path+file:///home/me/criterion.rs#criterion@0.8.2", (0, 8)),
        ("registry+https://github.com/rust-lang/crates.io-index#criterion-plot@0.5.0", None),
        ("registry+https://github.com/rust-lang/crates.io-index#half@2.7.1", None),
    ],
)
def test_criterions_version_is_read_off_cargos_package_id(
    package_id: str, version: tuple[int, int] | None
) -> None:
    assert criterion.parse_version(package_id) == version


def test_old_versions_take_whole_seconds_and_new_ones_what_is_short() -> None:
    (whole,) = criterion.efforts((0, 3))
    assert "--measurement-time=1" in whole.arguments
    short, quick = criterion.efforts((0, 4))
    assert short.limit is not None
    assert quick.limit is None
    assert "--quick" in criterion.arguments(quick, "^x$")
    assert criterion.arguments(short, "^x$")[-1] == "^x$"
