"""The checks as pytest tests: options, verdicts and messages are those of the sessions."""

from __future__ import annotations

import re
import sys

import pytest

from tests.crates import REPOSITORY, CrateBuilder, Outcome, new_crate, run

PLUGIN = ["-p", "rustvmm_sessions.pytest_plugin"]
PACKAGE = "rustvmm_sessions.integration_tests"
FOLDER = REPOSITORY / "rustvmm_sessions" / "integration_tests"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    crate = new_crate(tmp_path_factory.mktemp("pytest") / "crate").with_git()
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD")
    assert check(crate, "test_coverage", "--profile=devel").code == 0
    return crate


@pytest.fixture
def crate(built: CrateBuilder) -> CrateBuilder:
    """A crate that is built, and covered less than its record says."""
    built.git("reset", "--quiet", "--hard", "refs/remotes/origin/main")
    return built.with_record("100.0\n").with_noxfile()


def check(crate: CrateBuilder, module: str, *options: str) -> Outcome:
    return pytest_in(crate, *PLUGIN, "--pyargs", f"{PACKAGE}.{module}", *options)


def pytest_in(crate: CrateBuilder, *words: str) -> Outcome:
    no_base = dict.fromkeys(("BASE_BRANCH", "GITHUB_BASE_REF", "BUILDKITE_PULL_REQUEST_BASE_BRANCH"))
    return run(
        [sys.executable, "-m", "pytest", *words], cwd=crate.directory, env={**no_base, "PYTEST_ADDOPTS": None}
    )


def test_devel_records_what_got_better_and_ci_asks_for_it(crate: CrateBuilder) -> None:
    crate.with_record("10.0\n")
    asked = check(crate, "test_coverage")
    assert asked.code == 1
    assert "E   " not in asked.out
    assert "Traceback" not in asked.text
    assert crate.record == "10.0\n"

    assert check(crate, "test_coverage", "--profile=devel").code == 0
    assert crate.record != "10.0\n"
    assert check(crate, "test_coverage", "--profile", "ci").code == 0


def test_the_message_is_the_session_s(crate: CrateBuilder) -> None:
    session = crate.coverage()
    (verdict,) = re.findall("^error: .*$", session.err, re.MULTILINE)

    outcome = check(crate, "test_coverage")

    assert outcome.code == 1
    assert verdict in outcome.out
    report, _, _ = session.out.partition("\ncoverage failed\n")  # after it, nox repeats what failed
    said = [line for line in report.splitlines() if "finished in" not in line]
    assert "tests/coverage" in "".join(said)
    for line in said:  # what it prints is in the captured output
        assert line in outcome.out


def test_what_the_noxfile_says_holds(crate: CrateBuilder) -> None:
    crate.with_noxfile("coverage_tolerance=100")

    assert check(crate, "test_coverage").code == 0


@pytest.mark.parametrize(("module", "session"), [("test_coverage", "coverage"), ("test_benchmark", "bench")])
def test_a_device_that_the_noxfile_names_has_to_be_there(
    crate: CrateBuilder, module: str, session: str
) -> None:
    crate.with_noxfile(f'overrides={{"{session}": {{"devices": ["/dev/no-such"]}}}}')

    outcome = check(crate, module)

    assert outcome.code == 1
    assert "the device /dev/no-such is not there" in outcome.out
    assert "the device /dev/no-such is not there" in crate.nox("-s", session).err


def test_the_package_of_the_noxfile_is_the_one_whose_benchmarks_are_meant(crate: CrateBuilder) -> None:
    crate.with_noxfile('overrides={"bench": {"env": {"PACKAGE": "sampel"}}}')

    for outcome in (check(crate, "test_benchmark"), crate.nox("-s", "bench", "--", "--base=HEAD")):
        assert outcome.code == 1
        assert "there is no member 'sampel'" in outcome.text


def test_an_empty_package_of_the_noxfile_means_none(
    crate: CrateBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKAGE", "sampel")
    crate.with_noxfile('env={"PACKAGE": ""}')

    for outcome in (check(crate, "test_benchmark", "-rA"), crate.nox("-s", "bench", "--", "--base=HEAD")):
        assert outcome.code == 0
        assert "HEAD has no benchmarks" in outcome.text


def test_a_wrong_noxfile_is_one_message(crate: CrateBuilder) -> None:
    crate.with_noxfile("coverage_tolerance=-1")

    outcome = check(crate, "test_coverage")
    command = run([sys.executable, "-m", "rustvmm_sessions.cli", "commit-format"], cwd=crate.directory)

    assert outcome.code == 1
    assert "-1 is no" in outcome.out
    report, _, _ = outcome.out.partition("short test summary info")  # which repeats it where CI is set
    assert report.count(" --> register(coverage_tolerance=...)\n") == 1
    assert "Traceback" not in outcome.text
    assert command.code == 2
    assert command.text == crate.nox("-l").text


def test_outside_of_a_crate_the_message_says_where_to_go(crate: CrateBuilder) -> None:
    outcome = run(
        [sys.executable, "-m", "pytest", *PLUGIN, "--pyargs", f"{PACKAGE}.test_coverage"],
        cwd=crate.directory / "src",
    )

    assert outcome.code == 1
    assert "there is no Cargo.toml here\n" in outcome.out
    assert "help: run this in the crate's directory" in outcome.out


def test_a_noxfile_that_raises_is_named(crate: CrateBuilder) -> None:
    crate.with_file("noxfile.py", "import sys\nsys.exit('not today')\n")

    outcome = check(crate, "test_coverage")

    assert outcome.code == 1
    assert "the noxfile cannot be run: not today" in outcome.out
    assert "Traceback" not in outcome.text


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([str(FOLDER / "test_commit_format.py")], id="file"),
        pytest.param([str(FOLDER), "-k", "commit"], id="folder"),
        pytest.param([*PLUGIN, str(FOLDER / "test_commit_format.py")], id="file-and-plugin"),
        pytest.param([*PLUGIN, "--pyargs", f"{PACKAGE}.test_commit_format"], id="package"),
        pytest.param(["-n2", str(FOLDER), "-k", "commit"], id="xdist"),
        pytest.param([*PLUGIN, "-n2", "--pyargs", f"{PACKAGE}.test_commit_format"], id="package-xdist"),
    ],
)
def test_every_way_to_name_the_tests_has_the_options_and_leaves_no_trace(
    crate: CrateBuilder, words: list[str]
) -> None:
    crate.git("checkout", "--quiet", ".")
    before = crate.git("status", "--porcelain")

    outcome = pytest_in(crate, *words, "--profile=devel", "--no-cleanup", "--test-scope=crate")

    assert outcome.code == 0, outcome.text
    assert "1 passed" in outcome.out
    assert crate.git("status", "--porcelain") == before


def test_all_faults_of_commits_are_shown(crate: CrateBuilder) -> None:
    crate.git("commit", "--quiet", "--allow-empty", "--message", "x" * 61)

    outcome = check(crate, "test_commit_format")

    assert outcome.code == 1
    assert "title: the title has 61 characters, 60 are allowed" in outcome.out
    assert "2 faults in 1 of 1 commit message; see above" in outcome.out


def test_two_runs_at_once_do_not_meet_in_one_build(crate: CrateBuilder) -> None:
    crate.with_record("10.0\n")

    outcome = pytest_in(
        crate, *PLUGIN, "-n2", "--dist=each", "--tx=2*popen", "--pyargs", f"{PACKAGE}.test_coverage",
        "--profile=devel", "-rA",
    )  # fmt: skip

    assert outcome.code == 0, outcome.text
    assert "2 passed" in outcome.out


@pytest.mark.parametrize("option", ["--profile=develop", "--test-scope=all"])
def test_a_wrong_option_names_the_right_ones(crate: CrateBuilder, option: str) -> None:
    outcome = check(crate, "test_commit_format", option)

    assert outcome.code == 4
    assert "invalid choice" in outcome.err


def test_other_test_runs_never_see_the_options(crate: CrateBuilder) -> None:
    """pytest-profiling has an option --profile as well: nothing may be loaded by itself."""
    crate.with_file("tests/test_own.py", "def test_own(): pass\n")

    assert pytest_in(crate, "tests/test_own.py").code == 0
    outcome = pytest_in(crate, "tests/test_own.py", "--profile=devel")

    assert outcome.code == 4
    assert "unrecognized arguments: --profile=devel" in outcome.err


def test_a_conftest_of_init_s_brings_the_options(crate: CrateBuilder) -> None:
    init = [sys.executable, "-m", "rustvmm_sessions.cli", "init", "--yes", "--pytest", "--dependabot=none"]
    assert run(init, cwd=crate.directory).code == 0
    crate.with_record("10.0\n")

    assert pytest_in(crate, "tests/test_coverage.py").code == 1
    assert pytest_in(crate, "--profile=devel", "tests/test_coverage.py").code == 0
    assert crate.record != "10.0\n"
