"""``nox -s reproduce`` and ``rustvmm-sessions reproduce`` with real podman."""

from __future__ import annotations

import json
import os
import platform
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.containers import IMAGE, ours, own_storage
from tests.crates import REPOSITORY, CrateBuilder, Outcome, new_crate, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MACHINE = platform.machine()
LOCAL = ("--engine", "podman", "--image", IMAGE, "--pull", "never")
NOXFILE = """\
import nox
from rustvmm_sessions import register

crate = register(custom_tests="tests.json", pipeline_include="more.yml", overrides={overrides})

@crate.session(tags=["gate"])
def show(session):
    \"\"\"Say where this is.\"\"\"
    crate.run(session, "sh", "-c", "pwd; env | sort")
"""
TESTS = [
    {
        "test_name": "shell",
        "command": "X=1; echo $$X-$$A-$$PWD; cargo build --quiet && ls target; exit 3",
        "platform": [MACHINE],
        "docker_plugin": {"environment": ["A=a b"], "propagate-environment": True},
    }
]
MORE = """\
steps:
  - label: "on the agent"
    command: ls
  - label: "in a container"
    command: ["echo one $$HOME", "echo two; id -u"]
    timeout_in_minutes: 1
    plugins:
      - docker#v5.3.0:
          image: "debian"
          network: "x"
"""


@pytest.fixture(autouse=True, scope="module")
def _storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with own_storage(tmp_path_factory.mktemp("storage")):
        yield


def crate_in(directory: Path, overrides: str = "{}") -> CrateBuilder:
    return (
        new_crate(directory)
        .with_file("noxfile.py", NOXFILE.format(overrides=overrides))
        .with_file("tests.json", json.dumps({"tests": TESTS}))
        .with_file("more.yml", MORE)
        .with_git()
    )


def reproduce(crate: CrateBuilder, *words: str) -> Outcome:
    return crate.nox("-s", "reproduce", "--", *LOCAL, *words)


def test_a_session_runs_as_its_step(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate")

    outcome = reproduce(crate, f"unit-tests-{MACHINE}")

    assert outcome.code == 0, outcome.text
    assert "--privileged" in outcome.err
    assert " /bin/sh -e -c 'nox -s unit-tests'\n" in outcome.err
    assert "test result: ok. 1 passed" in outcome.out
    assert crate.git("status", "--porcelain") == ""
    assert list((crate.directory / "target").iterdir()) == [crate.directory / "target" / ".gitignore"]


def test_a_session_of_the_crates_own_sees_only_what_its_step_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASE_BRANCH", "next")
    crate = crate_in(tmp_path / "crate")

    outcome = reproduce(crate, f"show-{MACHINE}")

    assert outcome.code == 0, outcome.text
    assert outcome.out.startswith(f"{crate.directory}\n")
    assert "BASE_BRANCH" not in outcome.out
    assert "--privileged" not in outcome.err


def test_a_custom_test_of_a_noxfile_is_a_session(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate")

    outcome = reproduce(crate, f"shell-{MACHINE}")

    assert outcome.code == 3
    assert outcome.out == f"1-a b-{crate.directory}\ndebug\nrustvmm-cache\n"  # with nox's bytecode
    assert "shell: exit status 3" in outcome.err
    assert f"shell-{MACHINE} failed: exit status 3" in outcome.err


def test_a_step_of_the_crates_own_pipeline_file(tmp_path: Path) -> None:
    outcome = reproduce(crate_in(tmp_path / "crate"), "in a container")

    assert outcome.code == 0, outcome.text
    assert outcome.out == "one /root\ntwo\n0\n"
    assert "of the docker plugin's options, these mean nothing here: network" in outcome.err


def test_the_image_is_the_steps_unless_another_is_named(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate")

    def image(label: str) -> str:
        outcome = crate.nox("-s", "reproduce", "--", "--engine=podman", "--dry-run", label)
        assert outcome.code == 0, outcome.text
        words = shlex.split(outcome.out)
        return words[words.index("python3") - 1]

    assert image("in a container") == "docker.io/library/debian"
    assert image(f"unit-tests-{MACHINE}") == "docker.io/rustvmm/dev:g8b11be7"


def test_the_riscv64_image_gets_the_command_as_its_entry_point_wants_it(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate")

    outcome = crate.nox("-s", "reproduce", "--", "--engine=podman", "--dry-run", "show-riscv64")
    assert outcome.code == 1
    assert "the pipeline has no step 'show-riscv64'" in outcome.err

    crate.with_file(".platform", "riscv64\n")
    label = "unit-tests-riscv64"
    outcome = crate.nox("-s", "reproduce", "--", "--engine=podman", "--dry-run", label)

    assert outcome.code == 0, outcome.text
    words = shlex.split(outcome.out)
    assert words[-5:] == [
        "docker.io/rustvmm/dev:g8b11be7-riscv",
        *("/bin/sh", "-e", "-c", '"nox -s unit-tests"'),
    ]
    assert "--workdir=/workdir" in words
    assert f"--mount=type=bind,source={crate.directory},target=/workdir" in words


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("on the agent", "the step runs in no container, but on the agent itself"),
        (f"unit-test-{MACHINE}", f"did you mean 'unit-tests-{MACHINE}'?"),
        ("", "the pipeline has no step ''"),
    ],
)
def test_what_cannot_be_reproduced_is_one_message(label: str, message: str, tmp_path: Path) -> None:
    outcome = reproduce(crate_in(tmp_path / "crate"), label)

    assert outcome.code == 1
    assert message in outcome.err
    assert "podman run" not in outcome.err


def test_a_missing_device_and_another_architecture_are_one_message_each(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate", '{"unit-tests": {"devices": ["/dev/no-such"]}}')
    other = "aarch64" if MACHINE == "x86_64" else "x86_64"

    device = reproduce(crate, f"unit-tests-{MACHINE}")
    architecture = reproduce(crate, f"clippy-{other}")

    assert "the device /dev/no-such is not there" in device.err
    if not os.path.exists(f"/proc/sys/fs/binfmt_misc/qemu-{other}"):
        assert f"the step is for {other}, and nothing here ({MACHINE}) runs its programs" in architecture.err


def test_a_described_test_is_shell_with_the_variables_of_an_agent(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate")
    crate.git("remote", "add", "origin", "https://me:secret@example.org/x.git")
    (crate.directory / "noxfile.py").unlink()
    command = [sys.executable, "-m", "rustvmm_sessions.cli", "reproduce", *LOCAL, "-t", "tests.json"]

    failed = run([*command, f"shell-{MACHINE}"], cwd=crate.directory)
    wrong = run([*command, "shel"], cwd=crate.directory)

    assert failed.code == 3
    assert failed.out == f"1-a b-{crate.directory}\ndebug\n"
    assert failed.err.endswith(f"shell-{MACHINE} failed: exit status 3\n")
    assert "--env=BUILDKITE_REPO=https://example.org/x.git" in failed.err
    assert "secret" not in failed.out + failed.err
    assert wrong.code == 2
    assert "the pipeline has no step 'shel'" in wrong.err


def test_the_commands_exit_status_after_sigterm_is_a_shells(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate")
    test = {"test_name": "long", "command": "echo up; sleep 60", "platform": [MACHINE]}
    crate.with_file("long.json", json.dumps({"tests": [test]}))
    words = ["reproduce", *LOCAL, "-t", "long.json", f"long-{MACHINE}"]
    with subprocess.Popen(
        [sys.executable, "-m", "rustvmm_sessions.cli", *words],
        cwd=crate.directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            assert command.stdout is not None
            assert command.stdout.readline() == "up\n"
            command.terminate()
            command.communicate(timeout=30)
        finally:
            command.kill()

    assert command.returncode == 128 + signal.SIGTERM
    assert ours() == []
