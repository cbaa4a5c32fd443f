"""Bringing the files of this library to a repository."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml

from rustvmm_sessions import catalog
from rustvmm_sessions.init import scaffold
from rustvmm_sessions.pipeline import included
from tests.crates import MANIFEST, REPOSITORY, CrateBuilder, Outcome, new_crate, run

BOTH = ["x86_64", "aarch64"]
COMMAND = [sys.executable, "-m", "rustvmm_sessions.cli", "init"]


def init(crate: CrateBuilder, *options: str, cwd: Path | None = None) -> Outcome:
    return run([*COMMAND, *options], cwd=cwd or crate.directory)


def contents(crate: CrateBuilder) -> dict[str, str]:
    listed = crate.git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    return {name: (crate.directory / name).read_text() for name in listed if name}


@pytest.fixture
def crate(tmp_path: Path) -> CrateBuilder:
    crate = new_crate(tmp_path / "crate")
    (crate.directory / "noxfile.py").unlink()
    return crate.with_git()


def written(crate: CrateBuilder) -> list[str]:
    return sorted(
        line[3:] for line in crate.git("status", "--porcelain", "--untracked-files=all").splitlines()
    )


# What is written


def test_a_crate_gets_a_noxfile_that_works_and_a_second_run_changes_nothing(crate: CrateBuilder) -> None:
    outcome = init(crate, "--yes")

    assert outcome.code == 0, outcome.text
    assert written(crate) == [".github/dependabot.yml", ".platform", "noxfile.py"]
    assert (crate.directory / ".platform").read_text() == "x86_64\naarch64\n"
    assert crate.nox("-s", "fmt").code == 0
    before = contents(crate)
    again = init(crate, "--yes")
    assert again.code == 0
    assert again.out.startswith("Nothing to write.\n")
    assert contents(crate) == before


def test_the_noxfile_names_its_dependencies_as_a_script_does(crate: CrateBuilder) -> None:
    init(crate, "--yes")

    lines = (crate.directory / "noxfile.py").read_text().splitlines()
    block = [line.removeprefix("# ") for line in lines[1 : lines.index("# ///", 1)]]
    assert tomllib.loads("\n".join(block)) == {"dependencies": ["rustvmm-sessions[tools]", "nox"]}


def test_custom_tests_become_sessions(crate: CrateBuilder) -> None:
    test = {"test_name": "build-x", "command": "true", "platform": ["x86_64", "aarch64"]}
    crate.with_file(".buildkite/custom-tests.json", json.dumps({"tests": [test]}))
    crate.with_file(".buildkite/other.json", '{"not": "tests"}')

    init(crate, "--yes")

    assert 'custom_tests=".buildkite/custom-tests.json"' in (crate.directory / "noxfile.py").read_text()
    assert crate.nox("-s", "build-x").code == 0


def test_tests_in_place_of_the_standard_ones_leave_those_out(crate: CrateBuilder) -> None:
    names = [
        "style",
        "clippy",
        "doc",
        "build-gnu",
        "build-musl",
        "unittests-gnu",
        "unittests-musl",
        "cargo-audit",
    ]
    tests = [{"test_name": name, "command": f"echo {name}"} for name in names]
    crate.with_file(".buildkite/main-tests.json", json.dumps({"tests": tests}))

    init(crate, "--yes")

    listed = crate.nox("-l").out
    assert "clippy [gate,custom]" in listed
    assert "clippy-2" not in listed
    assert "- fmt" not in listed
    assert "commit-format [gate]" in listed
    assert "unit-tests-release" not in listed  # whose name is in no description


def test_what_a_replaced_test_needs_is_set_for_its_session(crate: CrateBuilder) -> None:
    test = {
        "test_name": "coverage",
        "command": "pytest rust-vmm-ci/integration_tests/test_coverage.py",
        "platform": ["x86_64"],
        "hypervisor": "mshv",
        "docker_plugin": {"privileged": True, "devices": ["/dev/mshv"]},
    }
    bench = {
        "test_name": "bench",
        "command": "pytest rust-vmm-ci/integration_tests/test_benchmark.py",
        "platform": ["aarch64"],
        "docker_plugin": {"privileged": True},
    }
    crate.with_file(".buildkite/custom-tests.json", json.dumps({"tests": [test, bench]}))

    init(crate, "--yes")

    steps = {step["label"]: step for step in yaml.safe_load(crate.nox("-s", "pipeline").out)["steps"]}
    assert steps["coverage-x86_64"]["agents"]["hypervisor"] == "mshv"
    (docker,) = steps["coverage-x86_64"]["plugins"][0].values()
    assert docker["devices"] == ["/dev/mshv"]
    (docker,) = steps["bench-aarch64"]["plugins"][0].values()
    assert docker["privileged"] is True
    assert "custom]" not in crate.nox("-l").out


def test_a_description_that_cannot_be_used_is_left_out_and_said(crate: CrateBuilder) -> None:
    crate.with_file(".buildkite/custom-tests.json", '{"tests": [{"test_name": "x", "comand": "y"}]}')

    outcome = init(crate, "--yes")

    assert outcome.code == 0
    assert "warning: .buildkite/custom-tests.json is left out of the noxfile:" in outcome.err
    assert "custom_tests" not in (crate.directory / "noxfile.py").read_text()


def test_a_description_of_rust_vmm_ci_is_that_of_the_standard_sessions(
    crate: CrateBuilder, tmp_path: Path
) -> None:
    names = ["style", "clippy", "doc", "build-gnu", "build-musl", "unittests-gnu", "unittests-musl"]
    tests = [{"test_name": name, "command": f"echo {name}"} for name in names]
    old = CrateBuilder(tmp_path / "old").with_file(
        ".buildkite/test_description.json", json.dumps({"tests": tests})
    )
    old.with_git()
    add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"]
    crate.git(*add, str(old.directory), "rust-vmm-ci")
    (crate.directory / ".buildkite").mkdir()
    (crate.directory / ".buildkite/standard.json").symlink_to(
        "../rust-vmm-ci/.buildkite/test_description.json"
    )

    outcomes = [init(crate, "--dry-run")]
    crate.git("submodule", "deinit", "--quiet", "--force", "--all")
    outcomes += [init(crate, "--dry-run")]

    for outcome in outcomes:
        assert "+crate = register()\n" in outcome.out
        assert outcome.err == ""


def test_tests_that_members_describe_are_named(crate: CrateBuilder) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["one"]\nresolver = "2"\n')
    crate.with_file("one/Cargo.toml", MANIFEST.format(name="one").replace("\n[workspace]\n", ""))
    crate.with_file("one/src/lib.rs", "")
    crate.with_file("one/.buildkite/tests.json", '{"tests": [{"test_name": "x", "command": "cd one"}]}')

    outcome = init(crate, "--yes")

    assert "- Tests described for members are no sessions yet: one/.buildkite/tests.json." in outcome.out


def test_each_publishable_package_gets_a_workflow(crate: CrateBuilder) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["one", "two", "three"]\nresolver = "2"\n')
    for name, publish in (("one", ""), ("two", "publish = false"), ("three", 'publish = ["crates-io"]')):
        manifest = MANIFEST.format(name=f"{name}-vm").replace("\n[workspace]\n", f"{publish}\n")
        crate.with_file(f"{name}/Cargo.toml", manifest).with_file(f"{name}/src/lib.rs", "")

    outcome = init(crate, "--yes", "--publish", "--dependabot=none")

    workflows = sorted(path.name for path in (crate.directory / ".github/workflows").iterdir())
    assert workflows == ["publish-one-vm.yml", "publish-three-vm.yml"]
    text = (crate.directory / ".github/workflows/publish-one-vm.yml").read_text()
    assert 'tags: ["one-vm-v*"]' in text
    assert "run: cargo publish --package one-vm\n" in text
    assert "https://crates.io/crates/one-vm/settings, publish-one-vm.yml" in outcome.out


def test_a_single_package_is_published_by_v_tags(crate: CrateBuilder) -> None:
    init(crate, "--yes", "--publish", "--dependabot=monthly", "--platforms", "x86_64", "riscv64")

    assert 'tags: ["v*"]' in (crate.directory / ".github/workflows/publish.yml").read_text()
    assert "interval: monthly" in (crate.directory / ".github/dependabot.yml").read_text()
    assert (crate.directory / ".platform").read_text() == "x86_64\nriscv64\n"


# Pipelines


def test_a_workflow_is_the_pipeline_of_the_noxfile_and_a_second_run_changes_nothing(
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
    text = (crate.directory / ".github/workflows/gate.yml").read_text()
    assert "build-x-x86_64" in text
    assert "platform: aarch64" not in text
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


def checkouts(crate: CrateBuilder, name: str) -> list[dict[str, object]]:
    text = (crate.directory / ".github/workflows" / name).read_text()
    return [
        step["with"]
        for job in yaml.safe_load(text)["jobs"].values()
        for step in job["steps"]
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
    assert [checkout.get("submodules") for checkout in checkouts(crate, "gate.yml")] == [gate]
    assert [checkout.get("submodules") for checkout in checkouts(crate, "publish.yml")] == [publish]


def test_a_workflow_is_for_the_repository_s_own_default_branch(crate: CrateBuilder) -> None:
    def branches() -> object:
        return yaml.safe_load((crate.directory / scaffold.GITHUB).read_text())["on"]["push"]["branches"]

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


def test_a_workflow_is_of_the_sessions_that_a_noxfile_has_already(crate: CrateBuilder) -> None:
    noxfile = (
        "import nox\nfrom rustvmm_sessions import register\n\n"
        'crate = register(skip=["audit"], platforms=["aarch64"])\n\n\n'
        '@crate.session(timeout_minutes=99)\ndef mine(session):\n    """Mine."""\n'
    )
    crate.with_file("noxfile.py", noxfile)

    outcome = init(crate, "--yes", "--github")

    assert outcome.code == 0, outcome.text
    assert "Kept: noxfile.py is not what it would be" in outcome.out
    text = (crate.directory / ".github/workflows/gate.yml").read_text()
    assert "mine-aarch64" in text
    assert "audit" not in text
    assert "clippy-x86_64" not in text
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


def test_buildkite_gets_a_step_that_makes_the_others(crate: CrateBuilder) -> None:
    outcome = init(crate, "--yes", "--buildkite")

    assert outcome.code == 0, outcome.text
    text = (crate.directory / ".buildkite/pipeline.yml").read_text()
    (step,) = included.parse(text, "pipeline.yml")
    assert step.data["command"] == "nox -s pipeline -- --upload"
    assert "the only step is `buildkite-agent pipeline upload`" in outcome.out
    agent = crate.directory.parent / "bin" / "buildkite-agent"
    agent.parent.mkdir()
    agent.write_text('#!/bin/sh\ncat "$3"\n')
    agent.chmod(0o755)
    words = step.data["command"].split()
    uploaded = run(
        [sys.executable, "-m", *words],
        cwd=crate.directory,
        env={"PATH": f"{agent.parent}:{os.environ['PATH']}"},
    )
    assert "label: coverage-x86_64" in uploaded.out
    assert init(crate, "--yes", "--buildkite").out.startswith("Nothing to write.\n")


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

    outcome = init(crate, "--yes", "--github")

    assert outcome.code == 0, outcome.text
    assert (
        'crate = register(\n    overrides={"bench": {"platforms": ["x86_64", "aarch64"]}},\n'
        '    custom_tests=".buildkite/custom-tests.json",\n)\n'
    ) in (crate.directory / "noxfile.py").read_text()
    assert "custom tests did by rust-vmm-ci: performance (bench), cov (coverage)." in outcome.out
    assert "Custom tests that call rust-vmm-ci" not in outcome.out
    assert "custom]" not in crate.nox("-l").out
    steps = crate.nox("-s", "pipeline").out
    assert "- label: bench-x86_64\n" in steps
    assert "- label: bench-aarch64\n" in steps
    assert "performance" not in steps
    assert "Nothing to write." in init(crate, "--yes", "--github").out


# What is kept


def test_what_is_left_to_do_is_of_the_ci_that_the_crate_has(crate: CrateBuilder) -> None:
    none = init(crate, "--dry-run").out
    assert "No CI runs the sessions yet: `rustvmm-sessions init --github`" in none
    assert "webhook" not in none

    github = init(crate, "--yes", "--github").out + init(crate, "--yes").out
    assert "No CI" not in github
    assert "webhook" not in github

    crate.with_file(".buildkite/hooks/pre-command", "true\n")
    buildkite = init(crate, "--yes").out
    assert "let `rustvmm-sessions init --buildkite` write .buildkite/pipeline.yml; then, in" in buildkite
    crate.with_file(".buildkite/pipeline.yml", "steps: []\n")
    assert "add a step to .buildkite/pipeline.yml that runs `nox -s pipeline" in init(crate, "--yes").out
    written = init(crate, "--yes", "--buildkite", "--replace=.buildkite/pipeline.yml").out
    for said in (buildkite, written, init(crate, "--yes").out):
        assert "ask an admin" not in said
        assert "`buildkite-agent pipeline upload`" in said


def test_a_repository_without_buildkite_needs_an_admin_for_its_pipeline(crate: CrateBuilder) -> None:
    assert "add its webhook" in init(crate, "--dry-run", "--buildkite").out


def test_each_file_of_rust_vmm_ci_is_named_with_what_becomes_of_it(crate: CrateBuilder) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["one"]\nresolver = "2"\n')
    crate.with_file("one/Cargo.toml", MANIFEST.format(name="one").replace("\n[workspace]\n", ""))
    crate.with_file("one/src/lib.rs", "").with_file(
        "one/coverage_config_x86_64.json", '{"coverage_score": 7}'
    )
    for name, text in (("x86_64", '{"coverage_score": 80.5}'), ("aarch64", "{}")):
        crate.with_file(f"coverage_config_{name}.json", text)
    own = [{"test_name": f"t{number}", "command": "true"} for number in range(10)]
    old = {"test_name": "cov", "command": 'pytest $(find . -type f -name "test_coverage.py")'}
    for name, tests in (("a", [*own, old]), ("b", []), ("c", [{"test_name": "x"}])):
        crate.with_file(f".buildkite/{name}.json", json.dumps({"tests": tests}))
    crate.with_file(".platform", "x86_64\n").with_file(
        ".gitmodules", '[submodule "rust-vmm-ci"]\n\tpath = ci\n\turl = https://example.com/x\n'
    )

    said = init(crate, "--dry-run").out.partition("Found of rust-vmm-ci")[2].partition("Left to do")[0]

    until = "the baseline until there is tests/coverage; its exclude_path and crate_features hold then, too"
    assert said.splitlines()[1:] == [
        f"- coverage_config_aarch64.json (coverage_score none): {until}",
        f"- coverage_config_x86_64.json (coverage_score 80.5): {until}",
        "- one/coverage_config_x86_64.json (coverage_score 7): of a member; read by a noxfile in its folder",
        "- .platform (x86_64): stays; it says what the pipeline has steps for",
        "- .buildkite/a.json: its tests are sessions: t0, t1, t2, t3, t4, t5, t6, t7 and 2 more; "
        "standard sessions take the place of cov",
        "- .buildkite/b.json: left out of the noxfile, as it has no test",
        "- .buildkite/c.json: left out of the noxfile, for what is said above",
        "- ci: the submodule, which the sessions do not need; removed last",
    ]
    init(crate, "--yes")
    assert "Found of rust-vmm-ci" not in init(crate, "--yes").out


@pytest.mark.parametrize(
    "command",
    [
        'cd x && pytest $(find .. -type f -name "test_coverage.py")',
        'ROOT=$$PWD && cd x && pytest $(find "$$ROOT" -path "*/integration_tests/test_coverage.py")',
        "pytest $(find . -name 'test_com*')",
        "find . -name test_benchmark.py | xargs pytest",
        "python3 $(find . -name test_run.py)",
        "./ci/anything",
    ],
)
def test_calls_of_the_submodule_are_known_in_any_form(crate: CrateBuilder, command: str) -> None:
    crate.with_file(".gitmodules", '[submodule "rust-vmm-ci"]\n\tpath = ci\n\turl = https://example.com/x\n')
    tests = [
        {"test_name": "old", "command": command},
        {"test_name": "new", "command": "pytest test_run_x.py"},
    ]
    crate.with_file(".buildkite/custom-tests.json", json.dumps({"tests": tests}))

    assert "- Custom tests that call rust-vmm-ci: old; docs/" in init(crate, "--dry-run").out


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (6, None),
        (8, "would run cargo 256 times: register(depth=3) in noxfile.py makes that 94 "),
        (40, "would run cargo far too many times: register(depth=1) in noxfile.py makes that 42 "),
    ],
)
def test_a_crate_of_many_features_is_told_how_to_combine_fewer(
    crate: CrateBuilder, count: int, said: str | None
) -> None:
    names = "".join(f"f{number} = []\n" for number in range(count))
    crate.with_file("Cargo.toml", MANIFEST.format(name="sample") + f"\n[features]\n{names}")
    outcome = init(crate, "--yes")
    assert outcome.code == 0, outcome.text
    assert (said or "Left to do:") in outcome.out
    assert ("Combine fewer" in outcome.out) == (said is not None)
    assert "Combine fewer" not in init(crate, "--yes").out  # the noxfile may say so by now


def test_a_misspelt_table_is_corrected_before_features_are_combined(crate: CrateBuilder) -> None:
    names = "".join(f"f{number} = []\n" for number in range(8))
    manifest = MANIFEST.format(name="sample") + f"\n[features]\n{names}"
    crate.with_file("Cargo.toml", f"{manifest}\n[package.metadata.cargo-all-feature]\ndenylist = []\n")
    outcome = init(crate, "--dry-run").out
    assert (
        "Correct the tables that limit the feature matrix:\n    sample: [package.metadata.cargo-all"
        in outcome
    )
    assert "Combine fewer" not in outcome


def test_a_noxfile_without_a_feature_matrix_needs_no_depth(crate: CrateBuilder) -> None:
    names = "".join(f"f{number} = []\n" for number in range(8))
    crate.with_file("Cargo.toml", MANIFEST.format(name="sample") + f"\n[features]\n{names}")
    aliases = [session.alias for session in catalog.STANDARD if session.matrix]
    tests = [{"test_name": name, "command": "cargo x"} for name in (*aliases, "style", "doc")]
    crate.with_file(".buildkite/tests.json", json.dumps({"tests": tests}))
    outcome = init(crate, "--dry-run").out
    assert '"clippy",' in outcome
    assert "Combine fewer" not in outcome


def test_a_file_that_differs_is_kept_and_shown_and_replaced_only_by_name(crate: CrateBuilder) -> None:
    crate.with_file("noxfile.py", "import nox\n").with_file(".platform", "x86_64").commit("own")

    outcome = init(crate, "--yes")

    assert outcome.code == 0
    assert "Kept: noxfile.py is not what it would be; `--replace noxfile.py` makes it so:" in outcome.out
    assert "-import nox\n" not in outcome.out.partition("Kept:")[0]
    assert (crate.directory / "noxfile.py").read_text() == "import nox\n"
    assert (crate.directory / ".platform").read_text() == "x86_64"
    init(crate, "--yes", "--replace", "noxfile.py")
    assert "register(" in (crate.directory / "noxfile.py").read_text()
    assert (crate.directory / ".platform").read_text() == "x86_64"


def test_a_platform_that_is_named_twice_is_one(crate: CrateBuilder) -> None:
    init(crate, "--yes", "--platforms", "riscv64", "x86_64", "riscv64")

    assert (crate.directory / ".platform").read_text() == "riscv64\nx86_64\n"


def test_a_file_that_is_not_planned_cannot_be_replaced(crate: CrateBuilder) -> None:
    outcome = init(crate, "--yes", "--replace", "noxfil.py")

    assert outcome.code == 2
    assert "did you mean 'noxfile.py'?" in outcome.err
    assert written(crate) == []


@pytest.mark.parametrize("options", [[], ["--publish"]])
def test_without_terminal_and_yes_nothing_is_written(crate: CrateBuilder, options: list[str]) -> None:
    outcome = init(crate, *options)

    assert outcome.code == 2
    assert "+crate = register()" in outcome.out
    assert "there is no terminal to ask on: nothing is written" in outcome.err
    assert written(crate) == []


def test_a_dry_run_shows_and_writes_nothing(crate: CrateBuilder) -> None:
    outcome = init(crate, "--dry-run", "--yes")

    assert outcome.code == 0
    assert "+crate = register()" in outcome.out
    assert written(crate) == []


def test_a_dry_run_is_a_patch_that_makes_what_would_be_written(crate: CrateBuilder, tmp_path: Path) -> None:
    crate.with_file("noxfile.py", "import nox").with_file(".github/dependabot.yml", "version: 2\n").commit(
        "c"
    )
    options = ["--github", "--replace", "noxfile.py", "--replace", ".github/dependabot.yml"]

    (tmp_path / "patch").write_text(init(crate, "--dry-run", *options).out)

    crate.git("apply", str(tmp_path / "patch"))
    assert "Nothing to write." in init(crate, "--github").out


def test_a_file_that_only_ends_its_lines_otherwise_is_shown_so(crate: CrateBuilder) -> None:
    init(crate, "--yes")
    noxfile = crate.directory / "noxfile.py"
    noxfile.write_text(noxfile.read_text().replace("\n", "\r\n"))

    outcome = init(crate, "--dry-run")

    assert "\n-import nox\\r\n" in outcome.out
    assert "\n+import nox\n" in outcome.out


@pytest.mark.parametrize(("answer", "count"), [("y", 3), ("yes", 3), ("", 0), ("n", 0), ("\x04", 0)])
def test_on_a_terminal_it_asks(crate: CrateBuilder, answer: str, count: int) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        COMMAND,
        cwd=crate.directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=follower,
        stdout=subprocess.PIPE,
    ) as process:
        os.write(leader, answer.encode() + b"\n")
        out = process.communicate(timeout=60)[0].decode()
    os.close(leader)
    os.close(follower)

    assert process.returncode == 0
    assert "? [y/N]" in out
    assert len(written(crate)) == count


def test_what_cannot_be_written_leaves_nothing_behind(crate: CrateBuilder) -> None:
    crate.with_file(".github", "a file where a folder is needed\n").commit("in the way")

    outcome = init(crate, "--yes")

    assert outcome.code == 2
    assert "Traceback" not in outcome.text
    assert written(crate) == []


def test_a_link_out_of_the_repository_is_not_followed(crate: CrateBuilder, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (crate.directory / ".github").symlink_to(tmp_path / "outside")

    outcome = init(crate, "--yes")

    assert outcome.code == 2
    assert "a symbolic link leads out of the repository" in outcome.err
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (crate.directory / "noxfile.py").exists()


def test_success_without_a_reader_means_that_all_is_written(crate: CrateBuilder) -> None:
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run([*COMMAND, "--yes"], cwd=crate.directory, stdout=write, check=False)

    os.close(write)
    assert done.returncode == 0
    assert written(crate) == [".github/dependabot.yml", ".platform", "noxfile.py"]


def test_interrupted_it_writes_all_or_nothing(crate: CrateBuilder) -> None:
    for wait in (0.05, 0.15, 0.25, 0.3, 0.35, 0.4):
        process = subprocess.Popen(
            [*COMMAND, "--yes"],
            cwd=crate.directory,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(wait)
        process.terminate()
        process.wait()

        assert written(crate) in ([], [".github/dependabot.yml", ".platform", "noxfile.py"])
        crate.git("clean", "--quiet", "--force", "-d")


# Unusual repositories


def test_without_a_manifest_the_message_says_where_there_is_one(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path).with_file("README", "").with_git()
    none = init(crate)
    assert none.code == 2
    assert none.err.startswith("error: there is no Cargo.toml here\n")
    crate.with_file("b/Cargo.toml", MANIFEST.format(name="b")).with_file("b/src/lib.rs", "")
    crate.with_file("a/Cargo.toml", MANIFEST.format(name="a")).with_file("a/src/lib.rs", "")

    several = init(crate)

    assert several.code == 2
    assert several.err.startswith("error: there is no Cargo.toml here; there is one in a, b\n")
    assert "help: run it there: cd a" in several.err


def test_the_command_that_goes_to_the_manifest_is_quoted(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path).with_file("my crate/Cargo.toml", MANIFEST.format(name="b"))

    assert "help: run it there: cd 'my crate'\n" in init(crate.with_git()).err


def test_a_crate_in_a_folder_of_the_repository_has_its_files_where_they_count(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path).with_file("README", "").with_git()
    crate.with_file("rust/Cargo.toml", MANIFEST.format(name="inner")).with_file("rust/src/lib.rs", "").commit(
        "c"
    )

    outcome = init(crate, "--yes", "--publish", cwd=tmp_path / "rust")

    assert outcome.code == 0, outcome.text
    assert written(crate) == [
        ".github/dependabot.yml",
        ".github/workflows/publish.yml",
        "rust/.platform",
        "rust/noxfile.py",
    ]
    assert 'directory: "/rust"' in (tmp_path / ".github/dependabot.yml").read_text()
    assert 'working-directory: "rust"' in (tmp_path / ".github/workflows/publish.yml").read_text()


def test_a_second_workspace_joins_the_first_in_dependabot_s_configuration(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path).with_file("README", "").with_git()

    def join(name: str) -> list[str]:
        crate.with_file(f"{name}/Cargo.toml", MANIFEST.format(name="c")).with_file(f"{name}/src/lib.rs", "")
        init(crate, "--yes", "--replace", ".github/dependabot.yml", cwd=tmp_path / name)
        text = (tmp_path / ".github/dependabot.yml").read_text()
        return re.findall(r'directory: "(.*)"', text)

    assert join("the first é") == ["/the first é"]
    assert join("second") == ["/the first é", "/second"]
    assert join("the first é") == ["/the first é", "/second"]
    shutil.rmtree(tmp_path / "the first é")
    assert join("third") == ["/second", "/third"]


def test_the_entry_of_a_workspace_stands_for_its_members(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path).with_file("Cargo.toml", '[workspace]\nmembers = ["a"]\n').with_git()
    crate.with_file("a/Cargo.toml", MANIFEST.format(name="a").replace("[workspace]", ""))
    crate.with_file("a/src/lib.rs", "")
    old = '  - package-ecosystem: "cargo"\n    directory: "/a"\n    schedule:\n      interval: weekly\n'
    crate.with_file(".github/dependabot.yml", f"version: 2\nupdates:\n{old}")

    init(crate, "--yes", "--replace", ".github/dependabot.yml")

    assert re.findall(r'directory: "(.*)"', (tmp_path / ".github/dependabot.yml").read_text()) == ["/"]


def test_two_crates_in_folders_are_published_by_tags_of_their_own(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path).with_file("README", "")
    for name in ("one", "two"):
        crate.with_file(f"{name}/Cargo.toml", MANIFEST.format(name=name)).with_file(f"{name}/src/lib.rs", "")
    crate.with_git()

    outcomes = [
        init(crate, "--yes", "--publish", "--dependabot=none", cwd=tmp_path / name) for name in ("one", "two")
    ]

    assert not any("Kept" in outcome.out for outcome in outcomes)
    for name in ("one", "two"):
        assert f'tags: ["{name}-v*"]' in (tmp_path / f".github/workflows/publish-{name}.yml").read_text()


def test_a_root_package_with_members_and_a_workspace_apart(crate: CrateBuilder) -> None:
    crate.with_file("Cargo.toml", MANIFEST.format(name="root") + 'members = ["sub"]\nexclude = ["fuzz"]\n')
    crate.with_file("sub/Cargo.toml", MANIFEST.format(name="sub").replace("[workspace]", ""))
    crate.with_file("sub/src/lib.rs", "").with_file("fuzz/src/lib.rs", "")
    crate.with_file("fuzz/Cargo.toml", MANIFEST.format(name="fuzz"))

    outcome = init(crate, "--yes", "--publish")

    assert outcome.code == 0, outcome.text
    assert "- fuzz is a workspace of its own: cd fuzz && rustvmm-sessions init" in outcome.out
    assert sorted(path.name for path in (crate.directory / ".github/workflows").iterdir()) == [
        "publish-root.yml",
        "publish-sub.yml",
    ]
    assert "register()" in (crate.directory / "noxfile.py").read_text()
    member = init(crate, "--dry-run", cwd=crate.directory / "sub")
    assert "+crate = register(workspace=False)" in member.out


@pytest.mark.parametrize("place", [".", "inner"])
@pytest.mark.parametrize("linked", [False, True])
def test_the_commands_that_remove_the_submodule_work(
    crate: CrateBuilder, tmp_path: Path, place: str, *, linked: bool
) -> None:
    crate.with_file("inner/Cargo.toml", MANIFEST.format(name="inner")).with_file("inner/src/lib.rs", "")
    old = CrateBuilder(tmp_path / "old").with_file("Cargo.toml", MANIFEST.format(name="old")).with_git()
    add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--name", "rust-vmm-ci"]
    crate.git(*add, str(old.directory), "ci/rust-vmm-ci")
    crate.commit("submodule")
    if linked:
        crate.git("worktree", "add", "--quiet", str(tmp_path / "linked"))
        crate = CrateBuilder(tmp_path / "linked")
        crate.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    modules = Path(crate.git("rev-parse", "--path-format=absolute", "--git-path", "modules").rstrip())
    assert (modules / "rust-vmm-ci").is_dir()

    outcome = init(crate, "--yes", cwd=crate.directory / place)

    assert "ci/rust-vmm-ci is a workspace of its own" not in outcome.out
    lines = outcome.out.partition("remove the submodule:\n")[2].splitlines()
    commands = [line.strip() for line in lines if line.startswith("    ")]
    assert len(commands) == 4
    for command in commands[:3]:
        subprocess.run(["sh", "-c", command], cwd=crate.directory / place, check=True, capture_output=True)
    assert not (crate.directory / "ci" / "rust-vmm-ci").exists()
    assert not (modules / "rust-vmm-ci").exists()
    assert "rust-vmm-ci" not in (crate.directory / ".gitmodules").read_text()


def test_a_wrong_platform_file_is_one_message(crate: CrateBuilder) -> None:
    crate.with_file(".platform", "x86_64\narm64\n")

    outcome = init(crate, "--yes")

    assert outcome.code == 2
    assert "there is no platform 'arm64'" in outcome.err
    assert f"--> {crate.directory}/.platform:2" in outcome.err
