"""Real harnesses of old and new criterion: every benchmark is found by its filter and measured in short."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.bench import compare as bench
from rustvmm_sessions.bench import criterion
from rustvmm_sessions.bench import pairs as bench_runs
from rustvmm_sessions.bench.builds import Executable
from rustvmm_sessions.bench.model import BenchVerdict, TimeUp
from rustvmm_sessions.bench.pairs import Harness, Machine
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed
from tests.crates import CrateBuilder
from tests.integration.sessions import script

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS = ("0.3", "0.4", "0.6", "0.8")

MANIFEST = """\
[package]
name = "versions"
version = "0.1.0"
edition = "2021"

[workspace]

[profile.bench]
opt-level = 0

[dev-dependencies]
"""

BENCHES = """\
use NAME::{criterion_group, criterion_main, BenchmarkId, Criterion};
use std::hint::black_box;
use std::time::Duration;

fn spin(n: u64) -> u64 {
    (0..black_box(n)).fold(1, |x, _| black_box(x ^ n))
}

fn all(c: &mut Criterion) {
    c.bench_function("plain", |b| b.iter(|| spin(10)));
    c.bench_function("with spaces and (regex) $chars^ [a-z]+ #1", |b| b.iter(|| spin(10)));
    let mut group = c.benchmark_group("group");
    group.bench_with_input(BenchmarkId::new("fn/slash", 7), &7, |b, n| b.iter(|| spin(*n)));
    group.finish();
    for end in ["one", "two"] {
        for start in ["more than a hundred bytes ", "sixty-four bytes "] {
            c.bench_function(&(start.repeat(5) + end), |b| b.iter(|| spin(10)));
        }
        let mut group = c.benchmark_group("twice");
        group.bench_function("same", |b| b.iter(|| spin(10)));
        group.finish();
    }
    c.bench_function("col/lide", |b| b.iter(|| spin(10)));
    c.bench_function("col?lide", |b| b.iter(|| spin(10)));
    let mut group = c.benchmark_group("own settings");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.bench_function("5 s", |b| b.iter(|| spin(10)));
    group.finish();
    c.bench_function("slow", |b| b.iter(|| std::thread::sleep(Duration::from_millis(80))));
}

criterion_group!(benches, all);
criterion_main!(benches);
"""

IDS = {
    "plain",
    "with spaces and (regex) $chars^ [a-z]+ #1",
    "group/fn/slash/7",
    *(f"{'more than a hundred bytes ' * 5}{end}" for end in ("one", "two")),
    *(f"{'sixty-four bytes ' * 5}{end}" for end in ("one", "two")),
    "twice/same",
    "twice/same #2",
    "col/lide",
    "col?lide",
    "own settings/5 s",
    "slow",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Harness]:
    """A harness for each version, with the same program on both sides."""
    crate = CrateBuilder(tmp_path_factory.mktemp("versions")).with_lib("")
    manifest = MANIFEST
    for version in VERSIONS:
        name = f"c{version[2:]}"
        manifest += f'{name} = {{ package = "criterion", version = "{version}", default-features = false }}\n'
        crate.with_file(f"benches/{name}.rs", BENCHES.replace("NAME", name))
    for version in VERSIONS:
        manifest += f'\n[[bench]]\nname = "c{version[2:]}"\nharness = false\n'
    crate.with_file("Cargo.toml", manifest)
    done = subprocess.run(
        ["cargo", "bench", "--no-run", "--benches", "--message-format=json-render-diagnostics"],
        cwd=crate.directory,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    known = {criterion.parse_version(m["package_id"]) for m in messages if "package_id" in m} - {None}
    assert known == {(0, int(version[2:])) for version in VERSIONS}
    programs = {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}
    return {
        version: harness(Path(programs[f"c{version[2:]}"]), (0, int(version[2:]))) for version in VERSIONS
    }


def harness(program: Path, version: tuple[int, int] = (0, 5)) -> Harness:
    """Return a harness with one program on both sides."""
    sides = [
        Executable(
            side=side,
            package="versions",
            path=program,
            directory=program.parent,
            env={},
            criterion=version,
        )
        for side in ("base", "HEAD")
    ]
    return Harness(base=sides[0], head=sides[1])


def machine(scratch: Path, seconds: float | None = None) -> Machine:
    minutes = None if seconds is None else seconds / 60
    return Machine(scratch=scratch, processor=None, deadline=Deadline(minutes=minutes))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_benchmark_is_listed_and_has_a_filter_of_its_own_or_shares_one(
    built: Mapping[str, Harness], version: str
) -> None:
    titles = bench_runs.list_titles(built[version].head, Deadline())
    assert len(titles) == len(IDS)
    assert len(criterion.patterns(titles)) == len(IDS) - 2


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_every_benchmark_is_measured_in_short_whatever_its_settings(
    built: Mapping[str, Harness], version: str, tmp_path: Path
) -> None:
    titles = bench_runs.list_titles(built[version].head, Deadline())
    units = [
        bench_runs.try_out(built[version], pattern, machine(tmp_path))
        for pattern in criterion.patterns(titles)
    ]
    assert {id_ for unit in units for id_ in unit.ids} == IDS
    quick = {id_ for unit in units if "--quick" in unit.effort.arguments for id_ in unit.ids}
    assert {"own settings/5 s", "slow"} <= quick
    assert all(unit.seconds < 5 for unit in units)


def test_before_0_4_a_process_takes_seconds_and_measures_the_same(
    built: Mapping[str, Harness], tmp_path: Path
) -> None:
    for pattern, ids in (("^plain$", {"plain"}), ("^twice/same$", {"twice/same", "twice/same #2"})):
        unit = bench_runs.try_out(built["0.3"], pattern, machine(tmp_path))
        assert set(unit.ids) == ids
        assert unit.seconds > 2


# Harnesses that do not do what criterion's do


def test_a_harness_that_lists_nothing_because_it_fails_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = script(tmp_path / "main", "echo no device >&2; exit 3")
    with pytest.raises(CheckFailed, match="versions, HEAD: its benchmarks cannot be listed") as caught:
        bench_runs.list_titles(harness(program).head, Deadline())
    assert "exit status 3" in str(caught.value)
    assert "no device" in capfd.readouterr().err


def test_a_benchmark_that_leaves_no_figures_is_named(tmp_path: Path) -> None:
    program = script(tmp_path / "main", "exit 0")
    with pytest.raises(CheckFailed, match="the benchmark 'a b' left no figures"):
        bench_runs.try_out(harness(program), r"^a b$", machine(tmp_path / "scratch"))


@pytest.mark.parametrize(
    ("benchmark", "sample", "said"),
    [
        ('{"full_id": "x"}', '{"iters": [1], "times": [0]}', "left no figures"),
        ("{}", '{"iters": [1], "times": [1]}', "cannot be read"),
        ("", "", "cannot be read"),
    ],
)
def test_figures_that_are_none_are_refused(tmp_path: Path, benchmark: str, sample: str, said: str) -> None:
    folder = '"$CRITERION_HOME/x/rustvmm"'
    program = script(
        tmp_path / "main",
        f"mkdir -p {folder}\n"
        f"printf '%s' '{benchmark}' > {folder}/benchmark.json\nprintf '%s' '{sample}' > {folder}/sample.json",
    )
    with pytest.raises(CheckFailed, match=said):
        bench_runs.try_out(harness(program), "^x$", machine(tmp_path / "scratch"))


def test_a_benchmark_for_which_there_is_no_time_is_named(tmp_path: Path) -> None:
    program = script(tmp_path / "main", "exec sleep 20")
    with pytest.raises(TimeUp, match="the time was up while 'x' was measured for the first time"):
        bench_runs.try_out(harness(program), "^x$", machine(tmp_path / "scratch", seconds=1.2))


def test_pairs_that_do_not_fit_are_planned_less_of_and_the_last_look_comes_in_time(tmp_path: Path) -> None:
    place = machine(tmp_path / "scratch", seconds=2)
    unit = bench_runs.try_out(sleeping(tmp_path, 0.05), "^x$", place)
    (planned,) = bench_runs.plan([unit], 1, place)
    assert planned.looks.pairs[-1] < 30
    (comparison,) = bench_runs.compare(unit, planned, place, threshold=1)
    assert 1 <= len(comparison.pairs) <= planned.looks.pairs[-1]
    assert set(comparison.pairs) == {(7.5, 7.5)}
    assert place.deadline.left > -0.5


def test_a_time_in_which_nothing_can_be_proven_is_said_beforehand(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unit = bench_runs.try_out(sleeping(tmp_path, 0.0), "^x$", machine(tmp_path / "scratch"))
    units = [replace(unit, seconds=0.1)] * 50
    for seconds, said in ((22, "it takes 45 s more (--max-minutes)"), (200, ""), (None, "")):
        bench._say_plan(units, bench_runs.plan(units, 50, machine(tmp_path, seconds)))
        out, err = capfd.readouterr()
        assert "Measuring 50 benchmarks: " in out
        assert said in err
        assert bool(said) == bool(err)


def test_a_machine_that_gets_slower_costs_pairs_and_no_benchmark(tmp_path: Path) -> None:
    unit = bench_runs.try_out(sleeping(tmp_path, 0.0), "^x$", machine(tmp_path / "scratch"))
    sleeping(tmp_path, 0.3)
    late = machine(tmp_path / "scratch", seconds=8)
    compared = [comparison for _, comparison in bench_runs.compare_all([unit] * 4, late, threshold=1)]
    assert len(compared) == 4
    assert max(len(comparison.pairs) for comparison in compared) <= 5
    assert late.deadline.left > -0.5


def test_a_pair_that_the_end_of_the_time_cuts_short_does_not_count(tmp_path: Path) -> None:
    unit = bench_runs.try_out(sleeping(tmp_path, 0.0), "^x$", machine(tmp_path / "scratch"))
    sleeping(tmp_path, 20)
    late = machine(tmp_path / "scratch", seconds=0.5)
    assert list(bench_runs.compare_all([unit, unit], late, threshold=1)) == []
    assert late.deadline.left > -2


def test_the_witness_is_heard_in_the_time_there_is(tmp_path: Path) -> None:
    unit = bench_runs.try_out(sleeping(tmp_path, 0.0), "^x$", machine(tmp_path / "scratch"))
    ((_, comparison),) = bench_runs.compare_all([unit], machine(tmp_path / "scratch", 1), threshold=1)
    valgrind = script(tmp_path / "valgrind", "exec sleep 20")
    late = machine(tmp_path / "scratch", seconds=0.5)
    assert bench_runs.witness(unit, comparison, valgrind, late) == comparison
    assert late.deadline.left > -2


def test_a_large_setup_does_not_hide_what_the_witness_saw(tmp_path: Path) -> None:
    unit = bench_runs.try_out(sleeping(tmp_path, 0.0), "^x$", machine(tmp_path / "scratch"))
    ((_, comparison),) = bench_runs.compare_all([unit], machine(tmp_path / "scratch", 1), threshold=1)
    slower = replace(
        comparison, judgement=replace(comparison.judgement, verdict=BenchVerdict.REGRESSION, change=0.1)
    )
    valgrind = script(
        tmp_path / "valgrind",
        f"if mkdir {tmp_path}/second 2>&-; then count=10000000; else count=10000020; fi\n"
        'echo "==1== Collected : $count" >&2',
    )
    heard = bench_runs.witness(unit, slower, valgrind, machine(tmp_path))
    assert heard.judgement.verdict is BenchVerdict.REGRESSION
    assert heard.instructions_change == pytest.approx(100 * 20 / (32 * 7.5))


def sleeping(folder: Path, seconds: float) -> Harness:
    """Return a harness whose processes take so long; a later call changes what the first one made."""
    home = '"$CRITERION_HOME/x/rustvmm"'
    program = script(
        folder / "main",
        f"mkdir -p {home}\nsleep {seconds}\n"
        f"""printf '{{"full_id": "x"}}' > {home}/benchmark.json\n"""
        f"""printf '{{"iters": [1, 1], "times": [7, 9]}}' > {home}/sample.json""",
    )
    return harness(program)
