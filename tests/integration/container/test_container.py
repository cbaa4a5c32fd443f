"""``nox -s container`` with real podman; .ci/container-image provides it and an image without pip."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.container import engines
from rustvmm_sessions.container.model import CLIENT_LABEL, volumes
from rustvmm_sessions.rust.cargo import machine
from tests.containers import IMAGE, ours, podman
from tests.crates import CrateBuilder, run
from tests.integration.container.calls import HANGS, SECONDS, ZIPAPP, client, contain, sample, small

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("storage")


# Sessions


def test_unit_tests_and_coverage_of_a_sample(tmp_path: Path) -> None:
    crate = sample("uart", tmp_path / "uart")

    outcome = contain(crate, "unit-tests", "coverage")

    assert outcome.code == 0, outcome.text
    assert "test device::tests::snapshot_survives_a_restore ... ok" in outcome.out
    assert "measured: 470/507 lines, 92.70 %" in outcome.out
    assert f"Compiling uart v0.1.0 ({crate.directory})" in outcome.err
    assert not (crate.directory / "target").exists()
    assert crate.git("status", "--porcelain") == ""
    assert ours() == []


def test_arguments_and_the_profile_reach_the_session(tmp_path: Path) -> None:
    crate = sample("uart", tmp_path / "uart")
    (crate.directory / "tests" / "coverage").unlink()

    outcome = contain(crate, "coverage", "--", "--profile", "devel", "--lcov", "lines.info")

    assert outcome.code == 0, outcome.text
    assert (crate.directory / "tests" / "coverage").read_text().startswith("92.70\nx86_64 470/507 rustc-")
    assert f"SF:{crate.directory}/src/device.rs\n" in (crate.directory / "lines.info").read_text()


def test_builds_and_downloads_are_kept_in_volumes(tmp_path: Path) -> None:
    crate = sample("uart", tmp_path / "uart")
    first, second = (contain(crate, "unit-tests-release") for _ in range(2))

    assert (first.code, second.code) == (0, 0), first.text + second.text
    assert "Compiling uart" in first.err
    assert "Compiling uart" not in second.err
    build, downloads = volumes(str(crate.directory), IMAGE, os.getuid())
    assert {build.name, downloads.name} <= set(podman("volume", "ls", "--quiet").split())


@pytest.mark.skipif(not os.path.exists("/dev/kvm"), reason="this machine has no /dev/kvm")
def test_kvm(tmp_path: Path) -> None:
    crate = sample("kvm-guest", tmp_path / "kvm-guest")
    # The crates come along: the image may not know the way to a registry that the machine has.
    subprocess.run(["cargo", "vendor", "--quiet"], cwd=crate.directory, check=True)
    source = '[source.crates-io]\nreplace-with = "vendor"\n[source.vendor]\ndirectory = "vendor"\n'
    crate.with_file(".cargo/config.toml", source)

    outcome = contain(crate, "unit-tests")

    assert outcome.code == 0, outcome.text
    assert "--device=/dev/kvm" in outcome.err
    assert "test result: ok" in outcome.out


def test_a_declared_device_that_is_missing_is_the_message_of_the_session(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate", 'overrides={"unit-tests": {"devices": ["/dev/no-such"]}}')

    outcome = contain(crate, "unit-tests")

    assert outcome.code == 1
    assert "the device /dev/no-such is not there\n --> /dev/no-such\n" in outcome.err
    assert "podman run" not in outcome.err


def test_a_session_that_fails_fails_the_caller(tmp_path: Path) -> None:
    outcome = contain(small(tmp_path / "crate"), "fail")

    assert outcome.code == 1
    assert "error: false: exit status 1" in outcome.err
    assert "error: fail failed in the container: exit status 1" in outcome.err


@pytest.mark.parametrize("status", [3, 125, 127])  # the last two are also what engines say of themselves
def test_a_custom_tests_exit_status_is_that_of_the_caller(status: int, tmp_path: Path) -> None:
    crate = small(tmp_path / "crate", 'custom_tests="tests.json"')
    test = {"test_name": "custom", "command": f"exit {status}", "platform": [machine()]}
    crate.with_file("tests.json", json.dumps({"tests": [test]}))

    outcome = contain(crate, "custom")

    assert outcome.code == status, outcome.text
    assert f"error: custom failed in the container: exit status {status}" in outcome.err


def test_a_custom_test_gets_the_devices_and_rights_of_its_description(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate", 'custom_tests="tests.json", skip=["unit-tests", "coverage"]')
    tests = [
        {"test_name": "unittests-gnu", "command": "true", "docker_plugin": {"devices": ["/dev/null"]}},
        {"test_name": "coverage", "command": "true"},
        {"test_name": "more", "command": "true", "docker_plugin": {"privileged": True}},
    ]
    crate.with_file("tests.json", json.dumps({"tests": tests}))

    given = {
        name: shlex.split(contain(crate, "--dry-run", name).out)
        for name in ("unittests-gnu", "coverage", "more")
    }

    assert [name for name, words in given.items() if "--privileged" in words] == ["more"]
    assert [name for name, words in given.items() if "--device=/dev/null" in words] == ["unittests-gnu"]


def test_sessions_see_what_they_need_of_the_environment_and_no_secret(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    secrets = {"GITHUB_TOKEN": "secret-1", "BUILDKITE_REPO": "https://user:secret-2@example.org/x.git"}

    outcome = contain(crate, "show", env={**secrets, "RUST_BACKTRACE": "full", "BASE_BRANCH": "next"})

    assert outcome.code == 0, outcome.text
    assert "secret-" not in outcome.text
    assert "\nRUST_BACKTRACE=full\n" in outcome.out
    assert "\nBASE_BRANCH=next\n" in outcome.out
    assert f"\n{crate.directory}\n" in outcome.out


def test_a_dry_run_prints_a_command_that_can_be_pasted(tmp_path: Path) -> None:
    crate = small(tmp_path / "a crate: with, all 'of' \"it\"")

    outcome = contain(crate, "--dry-run", "show")

    assert outcome.code == 0, outcome.text
    (line,) = outcome.out.splitlines()
    assert not (crate.directory / "made").exists()
    pasted = run(["sh", "-c", line], cwd=tmp_path)
    assert pasted.code == 0, pasted.text
    assert f"\n{crate.directory}\nstart\n" in pasted.out
    assert (crate.directory / "made").exists()
    assert CLIENT_LABEL not in line  # whose client is gone at once, so that any call would end it


# Paths and repositories


@pytest.mark.parametrize("name", ["with space", "a:b", "a,b", 'a"b', "a'b", "a$b;c", "größe", "=x"])
def test_a_path_may_hold_any_character(name: str, tmp_path: Path) -> None:
    crate = small(tmp_path / name)

    outcome = contain(crate, "show")

    assert outcome.code == 0, outcome.text
    assert outcome.out.startswith(f"0\n{crate.directory}\nstart\n")
    assert (crate.directory / "made").stat().st_uid == os.getuid()


def test_a_linked_worktree_a_submodule_and_a_shared_clone_find_their_repository(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    crate.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    crate.git("clone", "--quiet", "--shared", str(crate.directory), str(tmp_path / "shared"))
    around = CrateBuilder(tmp_path / "around").with_file("README", "").with_git()
    around.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(crate.directory), "sub")

    for place in (tmp_path / "linked", tmp_path / "shared", around.directory / "sub"):
        outcome = contain(CrateBuilder(place), "show")
        assert outcome.code == 0, outcome.text
        assert f"\n{place}\nstart\n" in outcome.out


def test_the_users_linked_work_trees_outlive_gits_tidying(tmp_path: Path) -> None:
    """Git forgets those that it has not seen for three months; from inside it sees none."""
    crate = small(tmp_path / "crate")
    crate.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    noted = crate.directory / ".git" / "worktrees" / "linked"
    long_ago = time.time() - 120 * 24 * 60 * 60
    for path in (noted, *noted.iterdir()):
        os.utime(path, (long_ago, long_ago))

    outcome = contain(crate, "tidy")

    assert outcome.code == 0, outcome.text
    assert noted.is_dir()


def test_bench_keeps_both_builds_in_the_volume(tmp_path: Path) -> None:
    """Upstream's work tree, too, apart from that of the host's bench, which git notes in the same place."""
    crate = small(tmp_path / "crate")
    stub = '[package]\nname = "criterion"\nversion = "0.5.1"\n'  # the real one takes a minute to build
    crate.with_file("criterion/Cargo.toml", stub).with_file("criterion/src/lib.rs", "")
    more = '[dev-dependencies]\ncriterion.path = "criterion"\n[[bench]]\nname = "main"\nharness = false\n'
    crate.with_file("Cargo.toml", (crate.directory / "Cargo.toml").read_text() + more)
    crate.with_file("benches/main.rs", 'fn main() { println!("x: benchmark") }\n').commit("Add x")
    crate.with_file("src/lib.rs", (crate.directory / "src/lib.rs").read_text() + "// more\n")

    first, second = (contain(crate, "bench", "--", "--base", "HEAD") for _ in range(2))

    for outcome in (first, second):
        assert outcome.code == 0, outcome.text
        assert "both builds give the same program" in outcome.out
    assert first.err.count("Compiling sample") == 2
    assert "Compiling" not in second.err
    assert "/var/cache/rustvmm-sessions/target/" in crate.git("worktree", "list").splitlines()[1]


def test_a_member_of_a_workspace_sees_the_workspace(tmp_path: Path) -> None:
    crate = sample("workspace", tmp_path / "workspace")
    shutil.rmtree(crate.directory / ".git")

    member = CrateBuilder(crate.directory / "ring").with_noxfile("workspace=False")
    outcome = contain(member, "clippy", "--", "--list")

    assert outcome.code == 0, outcome.text
    assert "cargo clippy" in outcome.out


def test_a_read_only_work_tree_is_one_message(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    subprocess.run(["mount", "--bind", crate.directory, crate.directory], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", crate.directory], check=True)
        outcome = contain(crate, "show")
    finally:
        subprocess.run(["umount", crate.directory], check=True)

    assert outcome.code == 1
    assert f"the work tree is on a read-only file system\n --> {crate.directory}\n" in outcome.err
    assert "podman run" not in outcome.err


# How it ends


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_the_container_within_seconds(signum: signal.Signals, tmp_path: Path) -> None:
    with client(small(tmp_path / "crate")) as started:
        (_container,) = ours()
        asked = time.monotonic()
        started.send_signal(signum)
        started.communicate(timeout=HANGS)

        assert time.monotonic() - asked < SECONDS
        assert started.returncode == 128 + signum
    assert ours() == []


def test_the_time_limit_ends_the_container(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate", 'overrides={"container": {"timeout_minutes": 0.1}}')
    began = time.monotonic()

    outcome = contain(crate, "wait")

    assert outcome.code == 1
    assert "the container was stopped at the time limit timeout_minutes=0.1 after" in outcome.err
    assert 6 <= time.monotonic() - began < 6 + SECONDS
    assert ours() == []


def test_two_at_once_do_not_clash(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    with client(crate) as first:
        second = contain(crate, "show")

        assert second.code == 0, second.text
        assert len(ours()) == 1
        assert first.poll() is None


def test_what_a_killed_client_leaves_the_next_call_removes(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    with client(crate) as started:
        started.kill()
        started.wait(HANGS)
    left = ours()
    assert len(left) == 1

    outcome = contain(crate, "show")

    assert outcome.code == 0, outcome.text
    assert ours() == []


def test_a_client_is_known_by_its_number_and_its_start() -> None:
    own = engines.client()
    around, pid, started = own.split("/")
    with subprocess.Popen(["sleep", "0"]) as ended:
        ended.wait()

    assert not engines.is_gone(own)
    assert engines.is_gone(f"{around}/{ended.pid}/{started}")
    assert engines.is_gone(f"{around}/{pid}/{int(started) - 1}")
    assert not engines.is_gone(f"another machine/{ended.pid}/{started}")


# The zipapp by itself


def test_the_zipapp_runs_coverage_in_an_image_without_pip(tmp_path: Path) -> None:
    crate = sample("uart", tmp_path / "uart")
    made = run([sys.executable, "-m", "rustvmm_sessions.cli", "zipapp"], cwd=tmp_path)
    assert made.code == 0, made.text

    said = podman(
        *("run", "--rm", f"--volume={tmp_path}:/x", "--workdir=/x/uart", "--network=none", IMAGE),
        *("python3", f"/x/{ZIPAPP}", "-s", "coverage"),
    )

    assert "measured: 470/507 lines, 92.70 %" in said
    assert not (crate.directory / ".nox").exists() or not any((crate.directory / ".nox").glob("*_script*"))
