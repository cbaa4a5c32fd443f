"""Bringing the files of this library to a repository."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.crates import MANIFEST, CrateBuilder
from tests.integration.init.repositories import contents, init, written

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
    crate.with_file("benches/main.rs", "fn main() {}\n")

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


def test_tests_that_members_describe_elsewhere_are_named(crate: CrateBuilder) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["one"]\nresolver = "2"\n')
    crate.with_file("one/Cargo.toml", MANIFEST.format(name="one").replace("\n[workspace]\n", ""))
    crate.with_file("one/src/lib.rs", "")
    for name in ("tests.json", "custom-tests.json"):
        crate.with_file(f"one/.buildkite/{name}", '{"tests": [{"test_name": "x", "command": "cd one"}]}')

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
