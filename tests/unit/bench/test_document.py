"""The document of a benchmark run: what it holds, that it is believed in nothing but what was measured."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.bench.document import analyse, from_json, to_json
from rustvmm_sessions.bench.model import BenchReport, BenchVerdict, percent
from rustvmm_sessions.bench.statistics import SUSPICION, detectable
from rustvmm_sessions.errors import UserError
from tests.bench_reports import compared, eight, report

WHERE = "bench.json"


def document(run: BenchReport) -> dict[str, Any]:
    return to_json(run)


def read(data: object) -> BenchReport:
    return from_json(json.dumps(data), WHERE)


def refused(text: str) -> UserError:
    with pytest.raises(UserError) as caught:
        from_json(text, WHERE)
    assert caught.value.fix
    assert len(str(caught.value)) < 400
    return caught.value


# What it holds


def test_the_keys_are_those_of_the_schema_in_its_order() -> None:
    data = document(eight())
    assert list(data) == [
        "schema",
        "base",
        "head",
        "host",
        "verdict",
        "benchmarks",
        "only_in_base",
        "only_in_head",
        "unmeasured",
        "geomean_change_percent",
        "threshold_percent",
        "options",
        "reason",
    ]
    assert list(data["benchmarks"][0]) == [
        "id",
        "verdict",
        "change_percent",
        "interval_percent",
        "pairs",
        "base_ns",
        "head_ns",
        "instructions_change_percent",
        "raw",
        "looks",
        "time_only",
        "note",
    ]


def test_figures_are_those_of_the_pairs() -> None:
    run = report(compared("walk", 5.0, count=31))
    (entry,) = document(run)["benchmarks"]
    (comparison,) = run.benchmarks
    assert entry["pairs"] == len(entry["raw"]) == 31
    assert entry["raw"] == [list(pair) for pair in comparison.pairs]
    assert entry["base_ns"] == sorted(base for base, _ in comparison.pairs)[15]
    assert entry["head_ns"] == sorted(head for _, head in comparison.pairs)[15]
    assert entry["change_percent"] == percent(comparison.judgement.change)
    low, high = entry["interval_percent"]
    assert low < entry["change_percent"] < high
    assert entry["verdict"] == "regression"


def test_infinite_ends_are_null_and_what_is_written_is_plain_json() -> None:
    run = report(compared("walk", count=3))
    (entry,) = document(run)["benchmarks"]
    assert entry["interval_percent"] == [None, None]
    assert math.isinf(run.benchmarks[0].judgement.low)
    json.dumps(document(run), allow_nan=False)


def test_where_nothing_was_measured_there_is_no_host_and_no_mean() -> None:
    data = document(report(verdict=BenchVerdict.IDENTICAL, reason="same executables"))
    assert data["host"] is None
    assert data["geomean_change_percent"] is None
    assert (data["verdict"], data["reason"], data["benchmarks"]) == ("identical", "same executables", [])


# There and back

names = st.text(min_size=1, max_size=90)
times = st.floats(min_value=0.01, max_value=1e10)


some_names = st.lists(names, max_size=2).map(tuple)
benchmarks = st.builds(
    lambda pairs, name, **more: replace(compared(name, **more), pairs=tuple(pairs)),
    st.lists(st.tuples(times, times), min_size=1, max_size=60),
    names,
    instructions_change=st.none() | st.floats(min_value=-100, max_value=1e4),
    time_only=st.booleans(),
    note=st.sampled_from(["", "its group sets the time", f"its group sets it; {SUSPICION}"]),
)
runs = st.builds(
    lambda measured, **more: report(*measured, **more),
    st.lists(benchmarks, max_size=4, unique_by=lambda benchmark: benchmark.id),
    threshold=st.floats(min_value=0, max_value=50),
    verdict=st.sampled_from([BenchVerdict.IDENTICAL, BenchVerdict.NOTHING]),
    only_in_base=some_names,
    only_in_head=some_names,
    unmeasured=some_names,
    reason=st.text(max_size=20),
    options=st.lists(st.sampled_from(["--base=HEAD~1", "--filter==a b", "--witness=off"])).map(tuple),
)


@settings(deadline=None)
@given(runs)
def test_a_run_read_back_is_the_same_bit_for_bit(run: BenchReport) -> None:
    assert from_json(json.dumps(to_json(run), allow_nan=False), WHERE) == run


def test_the_verdicts_of_the_file_are_not_believed() -> None:
    run = eight()
    data = document(run)
    data["verdict"] = "ok"
    for entry in data["benchmarks"]:
        entry.update(verdict="ok", change_percent=0.0, interval_percent=[0.0, 0.0])
    assert read(data) == run
    assert read(data).verdict is BenchVerdict.REGRESSION


@pytest.mark.parametrize("verdict", ["identical", "nothing-to-compare"])
def test_where_nothing_was_measured_the_verdict_stays(verdict: str) -> None:
    run = report(verdict=BenchVerdict(verdict), reason="the base has no benchmarks", only_in_head=("new",))
    assert read(document(run)) == run


def test_keys_of_later_versions_are_passed_over() -> None:
    data = document(eight())
    data["added"] = data["benchmarks"][0]["added"] = 1
    assert read(data) == eight()


# Judged anew


def test_another_threshold_gives_another_verdict() -> None:
    run = report(compared("walk", 5.0))
    assert run.verdict is BenchVerdict.REGRESSION
    assert analyse(run).verdict is BenchVerdict.REGRESSION
    lenient = analyse(run, 10.0)
    assert (lenient.verdict, lenient.threshold) == (BenchVerdict.OK, 10.0)
    assert lenient.benchmarks[0].judgement.change == run.benchmarks[0].judgement.change
    assert analyse(lenient, 1.0) == run


def test_suspicion_comes_and_goes_with_the_verdict_and_leaves_other_notes() -> None:
    run = report(compared("walk", 5.0, instructions_change=0.0, note="its group sets the time"))
    (suspected,) = run.benchmarks
    assert suspected.judgement.verdict is BenchVerdict.INCONCLUSIVE
    assert suspected.note == f"its group sets the time; {SUSPICION}"
    (lenient,) = analyse(run, 10.0).benchmarks
    assert lenient.judgement.verdict is BenchVerdict.OK
    assert lenient.note == "its group sets the time"
    assert analyse(analyse(run, 10.0), 1.0) == analyse(run) == run


def test_instructions_say_nothing_of_a_benchmark_whose_time_is_spent_elsewhere() -> None:
    run = report(compared("ioctl", 5.0, instructions_change=0.0, time_only=True))
    assert run.verdict is BenchVerdict.REGRESSION
    assert run.benchmarks[0].note == ""


def test_what_would_have_been_found_is_above_the_threshold() -> None:
    for comparison in eight().benchmarks:
        assert detectable(comparison.judgement, 1.0) >= 1.0


# What is refused


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "bench.json:1"),
        ("{", "bench.json:1"),
        ('{\n"schema": 1,\n}', "bench.json:3"),
        ("[" * 100_000, "bench.json"),
        ('{"schema": NaN}', "bench.json"),
        (f'{{"schema": {"9" * 5000}}}', "bench.json"),
        ("x" * 5_000_000, "bench.json:1"),
        ("[]", "bench.json"),
        ('"text"', "bench.json"),
        ("null", "bench.json"),
    ],
    ids=["empty", "cut", "comma", "deep", "NaN", "digits", "megabytes", "list", "string", "null"],
)
def test_what_is_no_document_is_refused_by_file_and_line(text: str, where: str) -> None:
    assert refused(text).where == where


@pytest.mark.parametrize("schema", [2, 0, "1", None, True, [1]])
def test_another_schema_is_refused(schema: object) -> None:
    error = refused(json.dumps({**document(eight()), "schema": schema}))
    assert error.where == "bench.json: schema"
    assert "schema of this version, 1" in error.what


BENCHMARK = "benchmarks[2]"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base", None),
        ("base.ref", 1),
        ("base.commit", None),
        ("head.dirty", "no"),
        ("head.commit", ["a"]),
        ("host", "x86_64"),
        ("host.processors", 0),
        ("host.processors", 2.5),
        ("host.processor", -1),
        ("host.load", -0.1),
        ("host.doubts", "none"),
        ("host.doubts[0]", 3),
        ("verdict", "fine"),
        ("verdict", ["ok"]),
        ("threshold_percent", -1),
        ("threshold_percent", "1"),
        ("threshold_percent", True),
        ("options", "--base=HEAD~1"),
        ("options[0]", None),
        ("options[0]", "--base"),
        ("options[0]", "--json=/etc/passwd"),
        ("only_in_base", None),
        ("only_in_base[0]", None),
        ("only_in_head", {"a": 1}),
        ("reason", None),
        ("benchmarks", {}),
        (BENCHMARK, "walk"),
        (f"{BENCHMARK}.id", ""),
        (f"{BENCHMARK}.id", 5),
        (f"{BENCHMARK}.raw", []),
        (f"{BENCHMARK}.raw", "1 2"),
        (f"{BENCHMARK}.raw", [[1.0, 2.0]] * 1001),
        (f"{BENCHMARK}.raw[3]", [1.0]),
        (f"{BENCHMARK}.raw[3]", 1.0),
        (f"{BENCHMARK}.raw[3]", [1.0, 2.0, 3.0]),
        (f"{BENCHMARK}.raw[3][0]", -1.0),
        (f"{BENCHMARK}.raw[3][0]", 0),
        (f"{BENCHMARK}.raw[3][0]", 5e-324),
        (f"{BENCHMARK}.raw[3][1]", 10**400),
        (f"{BENCHMARK}.raw[3][1]", "2"),
        (f"{BENCHMARK}.raw[3][1]", None),
        (f"{BENCHMARK}.raw[3][1]", True),
        (f"{BENCHMARK}.instructions_change_percent", "0"),
        (f"{BENCHMARK}.instructions_change_percent", -101),
        (f"{BENCHMARK}.looks", None),
        (f"{BENCHMARK}.looks.pairs", []),
        (f"{BENCHMARK}.looks.pairs", [60, 30]),
        (f"{BENCHMARK}.looks.pairs", [30, 30]),
        (f"{BENCHMARK}.looks.pairs[0]", 0),
        (f"{BENCHMARK}.looks.wanted", 0),
        (f"{BENCHMARK}.looks.alpha", 0),
        (f"{BENCHMARK}.looks.alpha", 0.5),
        (f"{BENCHMARK}.time_only", 0),
        (f"{BENCHMARK}.note", None),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(key: str, value: object) -> None:
    data = document(eight())
    data["host"]["doubts"] = ["no governor"]
    data["options"] = ["--base=HEAD~1"]
    read(data)
    *path, last = [int(part) if part.isdigit() else part for part in re.findall(r"\w+", key)]
    place: Any = data
    for part in path:
        place = place[part]
    place[last] = value
    assert refused(json.dumps(data)).where == f"bench.json: {key}"


def test_a_second_benchmark_of_the_same_id_is_refused() -> None:
    data = document(eight())
    data["benchmarks"][3]["id"] = data["benchmarks"][1]["id"]
    error = refused(json.dumps(data))
    assert error.where == "bench.json: benchmarks[3].id"
    assert "another benchmark has it, too" in error.what


@pytest.mark.parametrize("verdict", ["ok", "regression", "improvement"])
def test_a_verdict_on_nothing_is_refused(verdict: str) -> None:
    data = document(report())
    data["verdict"] = verdict
    assert refused(json.dumps(data)).where == "bench.json: verdict"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none_are_refused(number: float) -> None:
    data = document(eight())
    data["benchmarks"][0]["raw"][0][0] = number
    assert "is no JSON" in refused(json.dumps(data)).what


def test_a_number_beyond_all_floats_is_refused() -> None:
    text = json.dumps(document(eight())).replace('"load": 0.31', '"load": 1e400')
    assert refused(text).where == "bench.json: host.load"


def _keys(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if not isinstance(data, dict):
        return []
    return [deeper for key in data for deeper in ((*path, key), *_keys(data[key], (*path, key)))]


RECOMPUTED = {
    ("geomean_change_percent",),
    *(
        ("benchmarks", 0, key)
        for key in ("verdict", "change_percent", "interval_percent", "pairs", "base_ns", "head_ns")
    ),
}


def test_a_missing_key_is_refused_by_its_name_unless_it_follows_from_the_pairs() -> None:
    run = report(compared("walk"))
    whole = document(run)
    paths = [*_keys(whole), *(("benchmarks", 0, *path) for path in _keys(whole["benchmarks"][0]))]
    for path in paths:
        data = json.loads(json.dumps(whole))
        place = data
        for part in path[:-1]:
            place = place[part]
        del place[path[-1]]
        if path in RECOMPUTED:
            assert read(data) == run
        else:
            assert f"there is no {path[-1]!r}" in refused(json.dumps(data)).what


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.data(),
)
def test_any_value_in_any_place_is_read_or_refused(value: object, data: st.DataObject) -> None:
    whole = document(report(compared("walk", count=4)))
    entry = whole["benchmarks"][0]
    place = data.draw(
        st.sampled_from([whole, whole["base"], whole["head"], whole["host"], entry, entry["looks"]])
    )
    place[data.draw(st.sampled_from(sorted(place)))] = value
    with contextlib.suppress(UserError):
        assert all(comparison.id for comparison in from_json(json.dumps(whole), WHERE).benchmarks)
