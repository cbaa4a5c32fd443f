"""What init writes for Buildkite and GitHub, and what it finds there."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from rustvmm_sessions.documents import read_yaml
from rustvmm_sessions.init import scaffold
from tests.crates import CrateBuilder, new_crate
from tests.integration.init.repositories import BOTH, contents, init, written


def jobs(crate: CrateBuilder) -> dict[str, str]:
    """Return the commands of the jobs that the workflow will have."""
    done = crate.nox("-s", "pipeline", "--", "--format=github-matrix", env={"GITHUB_EVENT_NAME": None})
    assert done.code == 0, done.text
    return {job["name"]: job["command"] for job in json.loads(done.out)["include"]}


def test_a_workflow_asks_for_the_pipeline_of_the_noxfile_and_a_second_run_changes_nothing(
    crate: CrateBuilder,
) -> None:
    test = {"test_name": "build-x", "command": "true", "platform": ["x86_64"], "timeout_in_minutes": 7}
    crate.with_file(".buildkite/custom-tests.json", json.dumps({"tests": [test]}))
    options = ("--yes", "--github", "--platforms", "x86_64", "--dependabot=none")

    outcome = init(crate, *options)

    assert outcome.code == 0, outcome.text
    assert written(crate) == [
        ".buildkite/custom-tests.json",
        ".github/workflows/gate.yml",
        ".platform",
        "noxfile.py",
    ]
    assert "+++ b/.github/workflows/gate.yml" in outcome.out
    checked = crate.nox("-s", "pipeline", "--", "--format=github", "--check=.github/workflows/gate.yml")
    assert checked.code == 0, checked.text
    assert jobs(crate)["build-x-x86_64"] == "nox -s build-x"
    assert not any("aarch64" in name for name in jobs(crate))
    before = contents(crate)
    assert init(crate, *options).out.startswith("Nothing to write.\n")
    assert init(crate, "--yes", "--github", "--dependabot=none").out.startswith("Nothing to write.\n")
    assert contents(crate) == before


def test_platforms_are_read_as_the_pipeline_reads_them(crate: CrateBuilder) -> None:
    crate.with_file(".platform", "# the agents we have\n\nx86_64\n  s390x\n").commit("platforms")

    outcome = init(crate, "--yes", "--github")

    assert outcome.code == 0, outcome.text
    assert ".platform" not in written(crate)
    checked = crate.nox("-s", "pipeline", "--", "--format=github", "--check=.github/workflows/gate.yml")
    assert checked.code == 0, checked.text


def checkouts(crate: CrateBuilder, name: str, job: str) -> list[dict[str, object]]:
    text = (crate.directory / ".github/workflows" / name).read_text()
    return [
        step["with"]
        for step in yaml.safe_load(text)["jobs"][job]["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]


@pytest.mark.parametrize(
    ("name", "tests", "gate", "publish"),
    [
        ("third_party/dep", [], "recursive", "recursive"),
        ("rust-vmm-ci", [], None, None),
        ("rust-vmm-ci", [{"test_name": "own", "command": "rust-vmm-ci/own.sh"}], "recursive", None),
    ],
)
def test_workflows_check_out_the_submodules_that_they_need(
    crate: CrateBuilder, name: str, tests: list[dict[str, str]], gate: str | None, publish: str | None
) -> None:
    crate.with_file(".gitmodules", f'[submodule "{name}"]\n\tpath = {name}\n\turl = https://example.com/x\n')
    if tests:
        crate.with_file(".buildkite/custom-tests.json", json.dumps({"tests": tests}))

    outcome = init(crate, "--yes", "--github", "--publish")

    assert outcome.code == 0, outcome.text
    assert [checkout.get("submodules") for checkout in checkouts(crate, "gate.yml", "plan")] == [gate]
    assert [each.get("submodules") for each in checkouts(crate, "publish.yml", "publish")] == [publish]


def test_a_workflow_is_for_the_repository_s_own_default_branch(crate: CrateBuilder) -> None:
    def branches() -> object:
        return read_yaml((crate.directory / scaffold.GITHUB).read_text(), "").data["on"]["push"]["branches"]

    crate.git("branch", "--move", "trunk")
    crate.git("clone", "--quiet", "--bare", ".", "../origin.git")
    crate.git("remote", "add", "origin", "../origin.git")
    crate.git("fetch", "--quiet", "origin")
    crate.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone")
    write = ("-s", "pipeline", "--", "--format=github", f"--output={scaffold.GITHUB}")
    check = (*write[:-1], f"--check={scaffold.GITHUB}")
    init(crate, "--yes", "--github")
    assert branches() == ["main", "master"]

    crate.git("remote", "set-head", "origin", "trunk")
    assert crate.nox(*check).code == 1
    assert crate.nox(*write).code == 0
    assert branches() == ["trunk"]

    crate.git("remote", "set-head", "origin", "--delete")  # as actions/checkout leaves it
    assert crate.nox(*check).code == 0
    assert "Nothing to write" in init(crate, "--yes", "--github").out


def test_what_dependabot_has_raised_is_no_difference_and_stays(crate: CrateBuilder) -> None:
    init(crate, "--yes", "--github", "--publish")
    raised = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0"
    names = [scaffold.GITHUB, ".github/workflows/publish.yml"]
    for name in names:
        text = (crate.directory / name).read_text()
        crate.with_file(name, re.sub("actions/checkout@.*", raised, text))
    before = contents(crate)

    assert crate.nox("-s", "pipeline", "--", "--format=github", f"--check={names[0]}").code == 0
    assert crate.nox("-s", "pipeline", "--", "--format=github", f"--output={names[0]}").code == 0
    again = init(crate, "--yes", "--github", "--publish", *(f"--replace={name}" for name in names))

    assert "Nothing to write." in again.out
    assert "Kept" not in again.out
    assert contents(crate) == before


def test_a_workflow_asks_a_noxfile_that_is_there_already(crate: CrateBuilder) -> None:
    noxfile = (
        "import nox\nfrom rustvmm_sessions import register\n\n"
        'crate = register(skip=["audit"], platforms=["aarch64"])\n\n\n'
        '@crate.session(timeout_minutes=99)\ndef mine(session):\n    """Mine."""\n'
    )
    crate.with_file("noxfile.py", noxfile)

    outcome = init(crate, "--yes", "--github")

    assert outcome.code == 0, outcome.text
    assert "Kept: noxfile.py is not what it would be" in outcome.out
    assert "mine-aarch64" in jobs(crate)
    assert not any("audit" in name or name == "clippy-x86_64" for name in jobs(crate))
    checked = crate.nox("-s", "pipeline", "--", "--format=github", "--check=.github/workflows/gate.yml")
    assert checked.code == 0, checked.text


def test_a_noxfile_that_cannot_be_run_is_one_message_and_nothing_is_written(crate: CrateBuilder) -> None:
    crate.with_file("noxfile.py", "import nothing_like_it\n").commit("noxfile")

    outcome = init(crate, "--yes", "--github")

    assert outcome.code == 2
    assert "error: the noxfile cannot be run: No module named 'nothing_like_it'" in outcome.err
    assert f"--> {crate.directory}/noxfile.py" in outcome.err
    assert "Traceback" not in outcome.text
    assert written(crate) == []


@pytest.mark.parametrize("option", ["--buildkite", "--github"])
def test_a_pipeline_file_that_is_there_is_kept_until_it_is_named(crate: CrateBuilder, option: str) -> None:
    name = ".buildkite/pipeline.yml" if option == "--buildkite" else ".github/workflows/gate.yml"
    crate.with_file(name, "steps: []\n").commit("mine")

    outcome = init(crate, "--yes", option)

    assert f"Kept: {name} is not what it would be; `--replace {name}` makes it so:" in outcome.out
    assert (crate.directory / name).read_text() == "steps: []\n"
    assert init(crate, "--yes", option, f"--replace={name}").code == 0
    assert (crate.directory / name).read_text() != "steps: []\n"


@pytest.mark.parametrize("option", ["--buildkite", "--github"])
def test_a_pipeline_of_a_crate_below_the_top_is_refused(crate: CrateBuilder, option: str) -> None:
    new_crate(crate.directory / "inner")
    (crate.directory / "inner/noxfile.py").unlink()

    outcome = init(crate, "--yes", option, cwd=crate.directory / "inner")

    assert outcome.code == 2
    assert "a pipeline runs nox at the repository's top" in outcome.err
    assert "`nox -f inner/noxfile.py -s NAME`" in outcome.err
    assert not (crate.directory / "inner/noxfile.py").exists()


def test_a_workflow_that_publishes_already_is_not_doubled(crate: CrateBuilder) -> None:
    crate.with_file(".github/workflows/release.yml", "jobs: {x: {steps: [{run: cargo publish}]}}\n")

    outcome = init(crate, "--yes", "--publish")

    assert "Packages are published already by .github/workflows/release.yml" in outcome.out
    assert not (crate.directory / ".github/workflows/publish.yml").exists()


@pytest.mark.parametrize(
    ("step", "publishes"),
    [
        ("uses: release-plz/action@v0.5", True),
        ("run: cargo +stable publish --locked", True),
        ("run: cargo publish --package sample", True),
        ("run: cargo publish --package other", False),
        ("run: cargo publish --dry-run", False),
    ],
)
def test_another_way_to_publish_is_seen(crate: CrateBuilder, step: str, *, publishes: bool) -> None:
    crate.with_file(".github/workflows/release.yml", f"jobs: {{x: {{steps: [{{{step}}}]}}}}\n")

    outcome = init(crate, "--dry-run", "--publish").out

    assert ("published already by .github/workflows/release.yml" in outcome) == publishes
    assert (".github/workflows/publish.yml" in outcome) != publishes
    assert ("first version by hand (cargo login && cargo publish" in outcome) != publishes


@pytest.mark.parametrize(
    "name",
    ["renovate.json", ".github/renovate.json5", ".gitlab/renovate.json", ".renovaterc", "package.json"],
)
def test_beside_renovate_dependabot_is_left_out_unless_it_is_asked_for(
    crate: CrateBuilder, name: str
) -> None:
    crate.with_file(name, '{"renovate": {}}').commit("renovate")

    outcome = init(crate, "--yes")

    assert f"- {name} has renovate update the dependencies: no dependabot was planned" in outcome.out
    assert not (crate.directory / ".github/dependabot.yml").exists()
    init(crate, "--yes", "--dependabot=weekly")
    assert (crate.directory / ".github/dependabot.yml").exists()


def test_a_dependabot_configuration_of_the_user_s_is_not_written_anew(crate: CrateBuilder) -> None:
    has = (
        "version: 2\nupdates:\n# ours\n- package-ecosystem: cargo\n  directories: [/, /staging/]\n"
        "  open-pull-requests-limit: 9\n  schedule: {interval: daily}\n"
    )
    crate.with_file(".github/dependabot.yml", has).with_file("package.json", "{}")
    assert "dependabot.yml" not in init(crate, "--yes").out
    assert (crate.directory / ".github/dependabot.yml").read_text() == has

    lacks = has.replace("[/, /staging/]", '["/x*"]') + "# end\nregistries: {}\n"
    crate.with_file(".github/dependabot.yml", lacks)
    assert "Kept: .github/dependabot.yml is not what" in init(crate, "--yes").out
    init(crate, "--yes", "--replace=.github/dependabot.yml")
    text = (crate.directory / ".github/dependabot.yml").read_text()
    assert text.startswith(lacks.partition("registries")[0])
    assert [entry["package-ecosystem"] for entry in yaml.safe_load(text)["updates"]] == ["cargo", "cargo"]
    assert yaml.safe_load(text)["updates"][1]["directory"] == "/"
    assert "dependabot.yml" not in init(crate, "--yes").out


def test_a_dependabot_configuration_that_is_none_is_one_message(crate: CrateBuilder) -> None:
    crate.with_file(".github/dependabot.yml", "updates: [\n")
    outcome = init(crate, "--yes")
    assert outcome.code == 2
    assert "--> .github/dependabot.yml:" in outcome.err


def test_custom_tests_that_call_the_submodule_are_named(crate: CrateBuilder) -> None:
    test = {"test_name": "old", "command": "./rust-vmm-ci/test_run.py"}
    crate.with_file(".buildkite/custom-tests.json", json.dumps({"tests": [test]}))

    assert "Custom tests that call rust-vmm-ci: old; docs/" in init(crate, "--yes").out


def test_custom_tests_of_the_submodule_s_tests_become_settings_of_the_sessions(crate: CrateBuilder) -> None:
    folder = "rust-vmm-ci/integration_tests"
    tests = [
        {"test_name": "performance", "command": f"pytest -s {folder}/test_benchmark.py", "platform": BOTH},
        {"test_name": "cov", "command": f"pytest {folder}/test_coverage.py"},
    ]
    crate.with_file(".buildkite/custom-tests.json", json.dumps({"tests": tests}))
    crate.with_file("benches/main.rs", "fn main() {}\n")

    outcome = init(crate, "--yes", "--github")

    assert outcome.code == 0, outcome.text
    assert (
        'crate = register(\n    overrides={"bench": {"platforms": ["x86_64", "aarch64"]}},\n'
        '    custom_tests=".buildkite/custom-tests.json",\n)\n'
    ) in (crate.directory / "noxfile.py").read_text()
    assert "standard sessions take the place of performance (bench), cov (coverage)\n" in outcome.out
    assert "Custom tests that call rust-vmm-ci" not in outcome.out
    assert "custom]" not in crate.nox("-l").out
    steps = crate.nox("-s", "pipeline").out
    assert "- label: bench-x86_64\n" in steps
    assert "- label: bench-aarch64\n" in steps
    assert "performance" not in steps
    assert "Nothing to write." in init(crate, "--yes", "--github").out
