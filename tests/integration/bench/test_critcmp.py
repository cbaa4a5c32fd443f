"""The baselines of a benchmark run, as the real critcmp reads them (the extra ``tools`` has it)."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.bench.critcmp import baselines
from tests.bench_reports import compared, eight, report

if TYPE_CHECKING:
    from rustvmm_sessions.bench.model import BenchReport

CRITCMP = Path(sys.executable).with_name("critcmp")


def written(run: BenchReport, directory: Path) -> Path:
    for path, text in baselines(run).items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory


def critcmp(directory: Path, *options: str) -> str:
    done = subprocess.run(
        [CRITCMP, "--color", "never", "--target-dir", directory, *options],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_critcmp_shows_both_sides_and_the_ratio(tmp_path: Path) -> None:
    run = report(
        compared("queue/pop", 25.0, base=400.0, noise=0.1),
        compared("queue/push", -20.0, base=90.0, noise=0.1),
    )
    directory = written(run, tmp_path)
    assert critcmp(directory, "--baselines").split() == ["base", "head"]
    text = critcmp(directory, "base", "head")
    pop = next(line for line in text.splitlines() if line.startswith("queue/pop"))
    push = next(line for line in text.splitlines() if line.startswith("queue/push"))
    base, head = (statistics.fmean(times) for times in zip(*run.benchmarks[0].pairs, strict=True))
    assert f"{base:.1f}±" in pop
    assert f"{head:.1f}±" in pop
    assert pop.split()[1] == "1.00"
    assert "1.25" in pop.split()
    assert push.split()[1] == "1.25"
    assert "1.00" in push.split()


def test_critcmp_reads_every_benchmark(tmp_path: Path) -> None:
    text = critcmp(written(eight(), tmp_path), "base", "head")
    for comparison in eight().benchmarks:
        assert any(line.startswith(f"{comparison.id} ") for line in text.splitlines())


@pytest.mark.parametrize(
    "names",
    [
        ("A_B", "a/b", "a b", "a_b", "a_b-2"),
        ("..", ".", "/", "../../outside", "/tmp/outside"),
        ("x" * 300 + "1" + "x" * 300, "x" * 300 + "2" + "x" * 300),
        ("base", "head", "change", "new"),
        ("日本", "中国", "bad\udcff", "nul\0"),
        ("-", "--", "two\nlines", "con", "a."),
    ],
)
def test_ids_that_share_a_directory_stay_apart_and_inside(names: tuple[str, ...], tmp_path: Path) -> None:
    run = report(*(compared(name, count=8) for name in names))
    files = baselines(run)
    assert len({path.casefold() for path in files}) == 4 * len(names)
    for path in files:
        parts = PurePosixPath(path).parts
        assert len(parts) == 4
        assert parts[0] == "criterion"
        assert parts[1] not in (".", "..")
        assert len(parts[1].encode()) < 80
        assert parts[2] in ("base", "head")
    lines = critcmp(written(run, tmp_path), "base", "head").splitlines()
    assert len(lines) == 2 + len(names)


def test_estimates_are_those_of_the_processes() -> None:
    run = report(compared("walk", 5.0, count=30))
    times = [head for _, head in run.benchmarks[0].pairs]
    estimates = json.loads(baselines(run)["criterion/walk/head/estimates.json"])
    assert estimates["mean"]["point_estimate"] == statistics.fmean(times)
    assert estimates["median"]["point_estimate"] == statistics.median(times)
    assert estimates["std_dev"]["point_estimate"] == statistics.stdev(times)
    for statistic in ("mean", "median", "median_abs_dev", "std_dev"):
        interval = estimates[statistic]["confidence_interval"]
        assert interval["confidence_level"] == 0.95
        assert interval["lower_bound"] < estimates[statistic]["point_estimate"] < interval["upper_bound"]
        assert estimates[statistic]["standard_error"] > 0
    ordered = sorted(times)
    median = estimates["median"]["confidence_interval"]
    assert (median["lower_bound"], median["upper_bound"]) == (
        ordered[9],
        ordered[20],
    )  # the sign test's, of 30


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_pairs_are_enough_to_be_shown(count: int, tmp_path: Path) -> None:
    text = critcmp(written(report(compared("walk", count=count)), tmp_path), "base", "head")
    assert "walk" in text


def test_a_run_that_measured_nothing_has_no_baselines() -> None:
    assert baselines(report()) == {}
