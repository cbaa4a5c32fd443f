"""The session bench on a crate with real criterion benchmarks, built by cargo on both sides."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench_crates import BenchCrate, bench_crate, read_json, state
from tests.crates import LIB, MANIFEST, REPOSITORY, CrateBuilder, new_crate, run
from tests.integration.sessions import script

QUICK = ("--filter", "^spin$")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BenchCrate:
    """The crate; cargo keeps what its dependencies are built to."""
    return bench_crate(tmp_path_factory.mktemp("bench"), "bench={'time_only': ['^never']}")


@pytest.fixture
def crate(built: BenchCrate) -> BenchCrate:
    """The crate as its base is."""
    return built.reset()


def test_a_slow_down_is_found_measured_and_reported(crate: BenchCrate, tmp_path: Path) -> None:
    crate.with_steps(2200)
    (crate.directory / "untracked").write_text("mine")
    crate.crate.git("add", "src/lib.rs")
    summary = tmp_path / "summary.md"
    outcome = crate.bench(
        "--json",
        str(tmp_path / "out.json"),
        "--html",
        str(tmp_path / "page.html"),
        "--critcmp",
        str(tmp_path / "base lines"),
        env={"GITHUB_STEP_SUMMARY": str(summary)},
    )
    assert outcome.code == 1
    assert "slower than the base by more than 1 %: spin" in outcome.err
    assert f"Baselines: critcmp --target-dir '{tmp_path / 'base lines'}' base head" in outcome.out
    data = read_json(tmp_path / "out.json")
    assert (data["schema"], data["verdict"], data["head"]["dirty"]) == (1, "regression", True)
    assert data["base"] == {
        "ref": "origin/main",
        "commit": crate.crate.git("rev-parse", "origin/main").strip(),
    }
    spin, other, chase = data["benchmarks"]
    assert [b["id"] for b in (spin, other, chase)] == ["spin", "other/with (odd) chars+ [a]", "chase"]
    low, high = spin["interval_percent"]
    assert 5 < low < spin["change_percent"] < high < 15
    assert spin["instructions_change_percent"] == pytest.approx(10, abs=0.5)
    assert len(spin["raw"]) == spin["pairs"] >= 30
    assert other["verdict"] == "ok"
    assert "spin" in (tmp_path / "page.html").read_text()
    assert "spin" in summary.read_text()
    assert list((tmp_path / "base lines").rglob("estimates.json"))
    again = run(
        [
            *(sys.executable, "-m", "rustvmm_sessions.cli", "bench", "--threshold=1.5"),
            *("--analyse", str(tmp_path / "out.json")),
        ],
        cwd=tmp_path,
    )
    assert again.code == 1
    assert "1 of 3 benchmarks got slower" in again.out
    assert "  nox -s bench -- --threshold 1.5 --filter '^(spin)$'" in again.out


def test_report_only_passes_and_an_improvement_is_one(crate: BenchCrate) -> None:
    assert crate.with_steps(2400).bench("--report-only", *QUICK).code == 0
    faster = crate.reset().with_steps(1600).bench("--witness=off", *QUICK)
    assert faster.code == 0
    assert "faster after 30 pairs" in faster.out


def test_a_threshold_accepts_what_is_below_it_and_is_asked_for_again(crate: BenchCrate) -> None:
    outcome = crate.with_steps(2200).bench("--threshold", "25", *QUICK)
    assert (outcome.code, "ok after 30 pairs" in outcome.out) == (0, True)
    options = ("--base", "HEAD", "--threshold", "2", "--witness=off")
    outcome = crate.bench(*options, *QUICK, env={"PACKAGE": "kernels"})
    again = "--base HEAD --package kernels --threshold 2 --witness off --filter '^(spin)$'"
    assert f"nox -s bench -- {again}\n" in outcome.out


def test_equal_programs_are_not_measured(crate: BenchCrate, tmp_path: Path) -> None:
    crate.with_lib("/// Some dependent work.", "/// Some dependent work, explained.")
    crate.crate.commit("explain")
    outcome = crate.bench("--json", str(tmp_path / "out.json"))
    assert outcome.code == 0
    assert "both builds give the same program" in outcome.out
    assert read_json(tmp_path / "out.json")["verdict"] == "identical"
    assert "Measuring" not in outcome.out


def test_without_a_change_nothing_is_even_built(crate: BenchCrate) -> None:
    outcome = crate.bench()
    assert (outcome.code, "cargo bench" in outcome.err) == (0, False)
    assert "the work tree is clean, and HEAD is the base" in outcome.out


def test_a_change_in_time_alone_is_suspected_to_be_the_hosts_unless_time_is_all(crate: BenchCrate) -> None:
    crate.with_lib("RING: usize = 512", "RING: usize = 4_000_000")
    only = ("--filter", "^chase$")
    suspected = crate.bench(*only)
    assert suspected.code == 0
    assert "both builds execute the same instructions" in suspected.out
    assert crate.bench("--strict", *only).code == 1
    assert crate.bench("--witness=off", *only).code == 1
    crate.crate.with_noxfile("bench={'time_only': ['^chase']}")
    assert crate.bench(*only).code == 1


def test_a_panicking_benchmark_is_named_and_fails_whatever_is_asked(crate: BenchCrate) -> None:
    crate.with_benches("|| kernels::spin(black_box(kernels::STEPS))", '|| -> u64 { panic!("no ring") }')
    outcome = crate.bench("--report-only", *QUICK)
    assert outcome.code == 1
    assert "kernels, HEAD: the benchmark 'spin' failed (exit status 101)" in outcome.err
    assert "no ring" in outcome.err


def test_benchmarks_of_one_side_are_listed_and_compared_with_nothing(
    crate: BenchCrate, tmp_path: Path
) -> None:
    crate.with_benches('"spin"', '"spun"')
    outcome = crate.bench("--filter", "^sp", "--json", str(tmp_path / "out.json"))
    data = read_json(tmp_path / "out.json")
    assert (outcome.code, data["verdict"]) == (0, "nothing-to-compare")
    assert (data["only_in_base"], data["only_in_head"]) == (["spin"], ["spun"])


def test_a_base_without_benchmarks_or_package_passes_and_says_so(crate: BenchCrate) -> None:
    crate.crate.git("checkout", "--quiet", "--orphan", "before")
    crate.crate.git("rm", "-q", "--cached", "-r", ".")
    manifest = (crate.directory / "Cargo.toml").read_text()
    crate.crate.with_file("Cargo.toml", manifest.split("[dev-dependencies]")[0])
    crate.crate.git("add", "Cargo.toml", "src")
    crate.crate.git("commit", "-q", "-m", "before there were benchmarks")
    crate.crate.with_file("Cargo.toml", manifest).commit("all of it")
    none = crate.bench("--base", "HEAD~1")
    assert none.code == 0
    assert 'the base has no benchmarks: no target `[[bench]] name = "main"`' in none.out
    crate.crate.with_file("Cargo.toml", manifest.replace('"kernels"', '"kernel"')).commit("rename it")
    gone = crate.bench("--base", "HEAD~1", env={"PACKAGE": "kernel"})
    assert gone.code == 0
    assert "the base has no package kernel" in gone.out
    other = crate.bench("--base", "HEAD~1", "--package", "kernal")
    assert other.code == 1
    assert "did you mean 'kernel'?" in other.err


def test_benchmarks_of_another_name_are_named(tmp_path: Path) -> None:
    crate = new_crate(tmp_path).with_file("benches/parse.rs", "fn main() {}\n").with_git()
    outcome = crate.with_lib(LIB + "// more\n").nox("-s", "bench", "--", "--base", "HEAD")
    assert outcome.code == 0
    assert 'HEAD has no benchmarks: no target `[[bench]] name = "main"`, only parse.' in outcome.out


def test_a_package_that_criterion_needs_as_published_is_told_from_that(tmp_path: Path) -> None:
    """As memchr and itoa, which criterion depends on; this criterion is empty and quickly built."""
    crate = new_crate(tmp_path)
    crate.with_published("sample", "0.0.9").with_published("criterion", "0.5.0", 'sample = "0.0.9"')
    crate.with_file(
        "Cargo.toml",
        MANIFEST.format(name="sample")
        + '[dev-dependencies]\ncriterion = "0.5"\n[[bench]]\nname = "main"\nharness = false\n',
    )
    crate.with_file("benches/main.rs", "fn main() {}\n").with_git().with_lib(LIB + "// no change\n")
    outcome = crate.nox("-s", "bench", "--", "--base", "HEAD", "--package", "sample")
    assert outcome.code == 0, outcome.text
    assert "both builds give the same program" in outcome.out


def test_members_are_chosen_as_everywhere(tmp_path: Path) -> None:
    """By an empty criterion, which is quickly built."""
    crate = new_crate(tmp_path).with_published("criterion", "0.5.0")
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["one", "two", "three"]\nresolver = "2"\n')
    harness = '[dev-dependencies]\ncriterion = "0.5"\n[[bench]]\nname = "main"\nharness = false\n'
    for name in ("one", "two", "three"):
        crate.with_file(f"{name}/Cargo.toml", MANIFEST.format(name=name).replace("[workspace]", harness))
        crate.with_file(f"{name}/src/lib.rs", "").with_file(f"{name}/benches/main.rs", "fn main() {}\n")
    crate.with_git().with_file("three/src/lib.rs", "// no change\n")

    named = crate.nox("-s", "bench", "--", "--base=HEAD", "--package=one", "--package", "two/")
    assert named.code == 0, named.text
    assert "Members: one, two\n" in named.out
    assert "both builds give the same program" in named.out
    assert "Compiling three" not in named.text
    changed = crate.nox("-s", "bench", "--", "--base=HEAD", "--changed=HEAD", "--exclude=three")
    assert changed.code == 0, changed.text
    assert "no member is to be compared" in changed.out
    assert "Compiling" not in changed.text


def test_a_harness_that_is_not_criterions_is_refused(crate: BenchCrate) -> None:
    crate.crate.with_file("benches/main.rs", "fn main() {}\n")
    crate._edited("Cargo.toml", "criterion = { version", "# criterion = { version")
    outcome = crate.bench()
    assert outcome.code == 1
    assert "the benchmarks of kernels do not use criterion" in outcome.err
    # Criterion is there, and cargo's own harness.
    crate.reset()._edited("Cargo.toml", "harness = false\n", "")
    crate.crate.with_file("benches/main.rs", "use criterion as _;\n#[test] fn one() {}\n").commit("forget it")
    outcome = crate.with_benches("one", "other").bench("--base", "HEAD")
    assert outcome.code == 1
    assert "it is cargo's own, for want of `harness = false`" in outcome.err
    assert '`[[bench]] name = "main" harness = false`' in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--filter", "nothing like it"), "no benchmark matches --filter 'nothing like it'"),
        (("--filter", "(spin"), "invalid regular expression '(spin'"),
        (("--base", "no-such-branch"), "'no-such-branch' names no commit"),
        (("--base=--output=x",), "'--output=x' names no commit"),
        (("--threshold", "much"), "'much' is not a number of percent"),
        (("--max-minutes", "0"), "'0' is not a number of minutes above 0"),
        (
            ("--json", "no/folder/out.json"),
            "there: its directory does not exist",
        ),
        (("--html", "."), "the report cannot be written there: a directory has that name"),
        (("--critcmp", "Cargo.toml"), "the directory cannot be made"),
        (("--strict", "--report-only"), "not allowed with argument"),
        (("--treshold", "2"), "did you mean '--threshold'?"),
    ],
)
def test_a_wrong_option_is_one_message(crate: BenchCrate, options: tuple[str, ...], said: str) -> None:
    outcome = crate.with_steps(2100).bench(*options)
    assert outcome.code == 1
    assert said in outcome.err
    assert "Measuring" not in outcome.out


def test_the_time_for_all_of_it_holds(crate: BenchCrate) -> None:
    crate.with_steps(2010)
    crate.bench("--filter", "no such")  # builds
    started = time.monotonic()
    outcome = crate.bench("--max-minutes", "0.15")
    assert time.monotonic() - started < 15
    assert outcome.code in {0, 1}
    assert "Measuring 3 benchmarks" in outcome.out
    short = crate.bench("--max-minutes", "0.001")
    assert short.code == 1
    assert "time" in short.err


def test_what_the_user_sets_for_criterion_is_not_written_to(crate: BenchCrate, tmp_path: Path) -> None:
    outcome = crate.with_steps(2200).bench(*QUICK, env={"CRITERION_HOME": str(tmp_path / "criterion")})
    assert "slower after" in outcome.out
    assert not (tmp_path / "criterion").exists()


def test_crates_with_one_target_directory_have_their_builds_apart(crate: BenchCrate, tmp_path: Path) -> None:
    other = bench_crate(tmp_path)
    for one in (crate, other):
        one.with_steps(2100).bench("--package", "nope", env={"CARGO_TARGET_DIR": str(tmp_path / "target")})
    assert len(list((tmp_path / "target" / "rustvmm-bench").iterdir())) == 2


def test_buildkite_gets_an_annotation(crate: BenchCrate, tmp_path: Path) -> None:
    script(tmp_path / "bin" / "buildkite-agent", f'{{ printf "%s\\n" "$@"; cat; }} > {tmp_path}/said')
    outcome = crate.with_steps(2200).bench(
        *QUICK, env={"BUILDKITE": "true", "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    )
    assert outcome.code == 1
    words = (tmp_path / "said").read_text()
    assert words.startswith(
        "annotate\n--context=bench\n--style=error\n### bench failed: 1 of 1 benchmark got slower"
    )
    assert "| `spin` |" in words


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_what_is_the_users_and_the_next_one_works(
    crate: BenchCrate, how: signal.Signals
) -> None:
    crate.with_steps(2200)
    before = state(crate.directory)
    for seconds in (0.5, 1.0, 4.0):
        nox = subprocess.Popen(
            [sys.executable, "-m", "nox", "-s", "bench", "--", *QUICK],
            cwd=crate.directory,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        nox.send_signal(how)
        nox.wait(timeout=30)
        after = state(crate.directory)
        if how == signal.SIGKILL:  # cargo makes it for its builds; the next run removes it
            after["files"].pop("Cargo.lock", None)
        assert after == before
    assert "slower after" in crate.crate.nox("-s", "bench", "--", *QUICK).out
    assert state(crate.directory) == before


def test_two_runs_at_once_take_turns(crate: BenchCrate) -> None:
    crate.with_steps(2200)
    command = [sys.executable, "-m", "nox", "-s", "bench", "--", *QUICK]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    both = [
        subprocess.Popen(
            command, cwd=crate.directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    texts = [process.communicate(timeout=120)[0] for process in both]
    assert all("slower after" in text for text in texts)
    assert sum("Another run compares benchmarks here" in text for text in texts) == 1


def test_pytest_and_the_command_give_the_same_verdict(crate: BenchCrate) -> None:
    crate.with_steps(2200)
    before = state(crate.directory)
    command = run([sys.executable, "-m", "rustvmm_sessions.cli", "bench", *QUICK], cwd=crate.directory)
    assert (command.code, "slower than the base by more than 1 %: spin" in command.err) == (1, True)
    assert "  rustvmm-sessions bench --filter '^spin$' --report-only" in command.out
    test = run(
        [
            *(sys.executable, "-m", "pytest", "-p", "rustvmm_sessions.pytest_plugin", "--pyargs", "-q"),
            *("-p", "no:cacheprovider", "rustvmm_sessions.integration_tests.test_benchmark"),
        ],
        cwd=crate.directory,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert test.code == 1
    assert "slower than the base by more than 1 %: spin" in test.out
    assert state(crate.directory) == before


def test_the_base_is_found_from_a_shallow_clone_or_without_a_branch(
    crate: BenchCrate, tmp_path: Path
) -> None:
    source = f"file://{crate.directory.parent / 'origin'}"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", "--", source, str(tmp_path / "new")], check=True)
    clone = CrateBuilder(tmp_path / "new")
    clone.git("checkout", "--quiet", "--detach")
    commit = clone.git("rev-parse", "HEAD")[:12]
    # That there is no such package is known after the base has been checked out, and before it is built.
    clone.with_lib("// another").commit("change it")
    outcome = clone.nox("-s", "bench", "--", "--package", "nope")
    assert f"Base: {commit}, the merge base with origin/main." in outcome.out
    assert "there is no member 'nope'" in outcome.err
    unreachable = clone.nox("-s", "bench", env={"BASE_BRANCH": "main", "REMOTE": "https://localhost:1/none"})
    assert unreachable.code == 1
    assert "cannot be read" in unreachable.err
    known = clone.nox("-s", "bench", "--", "--base", "HEAD~1", "--package", "nope", env={"REMOTE": "none"})
    assert "there is no member 'nope'" in known.err


@pytest.mark.parametrize("branch", ["--upload-pack=touch x", "-main", "no..such"])
def test_a_branch_that_looks_like_an_option_is_none(crate: BenchCrate, branch: str) -> None:
    outcome = crate.with_steps(2100).bench(env={"BASE_BRANCH": branch})
    assert outcome.code == 1
    assert "branch" in outcome.err
    assert not list(Path(crate.directory).rglob("x"))
