"""Sessions of a crate's own, its custom tests, steps before sessions, and Buildkite's hooks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed
from rustvmm_sessions.pipeline.custom_tests import CustomTest
from rustvmm_sessions.pipeline.model import Template
from rustvmm_sessions.pipeline.shell import run_custom_test
from rustvmm_sessions.results import Report
from rustvmm_sessions.rust.cargo import Cargo, machine
from tests.crates import MANIFEST, REPOSITORY, CrateBuilder, new_crate

if TYPE_CHECKING:
    from pathlib import Path

NOXFILE = """\
import nox
from rustvmm_sessions import register

crate = register({options})

{body}
"""


@pytest.fixture
def crate(tmp_path: Path) -> CrateBuilder:
    return new_crate(tmp_path / "crate").with_git()


def with_tests(crate: CrateBuilder, *tests: dict[str, Any], options: str = "") -> CrateBuilder:
    return crate.with_file("tests.json", json.dumps({"tests": tests})).with_noxfile(
        f'custom_tests="tests.json"{options}'
    )


def with_body(crate: CrateBuilder, body: str, options: str = "") -> CrateBuilder:
    return crate.with_file("noxfile.py", NOXFILE.format(body=body, options=options))


# Custom tests


def test_a_custom_test_runs_as_the_agent_runs_it(crate: CrateBuilder) -> None:
    command = "echo $$((1 + 1)) \\$0 $FROM {target_platform}; false; echo never"
    given = {"docker_plugin": {"environment": ["FROM=docker"]}, "platform": [machine()]}
    with_tests(crate, {"test_name": "a: b (c)", "command": command, **given})

    outcome = crate.nox("-s", "a: b (c)")

    assert outcome.code == 1
    assert outcome.out.startswith("2 sh docker ")
    assert "never\n" not in outcome.out
    assert "a: b (c): exit status 1" in outcome.err


def test_everything_runs_once_per_meaning_and_nothing_is_replaced(crate: CrateBuilder) -> None:
    """rust-vmm-ci's test_run.py keeps the last test of a name, whatever it is for."""
    with_tests(
        crate,
        {"test_name": "fmt", "command": "touch ran-fmt"},
        {"test_name": "same", "command": "touch ran-a"},
        {"test_name": "same", "command": "touch ran-b"},
        {"test_name": "same", "command": "touch ran-a", "hypervisor": "mshv"},
        {"test_name": "coverage", "command": 'pytest $(find . -name "test_coverage.py")'},
        {"test_name": "riscv", "command": "touch ran-riscv", "platform": ["riscv64"]},
    )
    listed = crate.nox("-l").out

    names = [line.split()[1] for line in listed.splitlines() if line.startswith(("- ", "* "))]
    assert len(names) == len(set(names))
    assert names[-4:] == ["fmt-2", "same", "same-2", "riscv"]
    outcome = crate.nox("-t", "custom")
    assert outcome.code == 0, outcome.text
    assert sorted(path.name for path in crate.directory.glob("ran-*")) == ["ran-a", "ran-b", "ran-fmt"]
    assert "riscv is for riscv64, this machine is" in outcome.text


def test_the_steps_of_custom_tests_have_what_their_description_says(crate: CrateBuilder) -> None:
    with_tests(
        crate,
        {
            "test_name": "unittests-gnu",
            "command": "cargo test",
            "platform": ["x86_64"],
            "hypervisor": "mshv",
            "docker_plugin": {"privileged": True, "devices": ["/dev/null"]},
        },
        {"test_name": "unittests-gnu", "command": "cargo test --lib", "platform": ["aarch64"]},
        options=', skip=["unit-tests"]',
    )

    steps = {step["label"]: step for step in yaml.safe_load(crate.nox("-s", "pipeline").out)["steps"]}

    (here,) = steps["unittests-gnu-x86_64"]["plugins"][0].values()
    (there,) = steps["unittests-gnu-aarch64"]["plugins"][0].values()
    assert (here["privileged"], here["devices"]) == (True, ["/dev/null"])
    assert {"privileged", "devices"}.isdisjoint(there)
    assert steps["unittests-gnu-x86_64"]["agents"]["hypervisor"] == "mshv"
    assert steps["unittests-gnu-aarch64"]["agents"]["hypervisor"] == "kvm"


def test_a_test_that_may_fail_is_a_warning(crate: CrateBuilder) -> None:
    with_tests(crate, {"test_name": "soft", "command": "exit 3", "soft_fail": True})

    outcome = crate.nox("-s", "soft")

    assert outcome.code == 0
    assert "warning: soft: exit status 3; its soft_fail passes over that" in outcome.err


def test_in_a_member_s_folder_tests_start_at_the_repository_s_top(crate: CrateBuilder) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["a", "deep/b"]\nresolver = "2"\n')
    for place in ("a", "deep/b"):
        manifest = MANIFEST.format(name=place[-1]).replace("\n[workspace]\n", "")
        crate.with_file(f"{place}/Cargo.toml", manifest).with_file(f"{place}/src/lib.rs", "")
    commands = ["pwd", "cd {crate_path} && pwd && echo {crate}"]
    tests = [{"test_name": f"t{number}", "command": command} for number, command in enumerate(commands)]
    member = CrateBuilder(crate.directory / "deep/b")
    with_tests(member, *tests, options=", workspace=False").commit("member")

    assert member.nox("-s", "t0").out == f"{crate.directory}\n"
    outcome = member.nox("-s", "t1")
    assert outcome.out.split() == ["t1:", "b", str(member.directory), "b"]


def test_tracked_files_that_a_custom_test_changes_are_named(crate: CrateBuilder) -> None:
    command = "echo '# more' >>Cargo.toml; echo '// more' >>src/lib.rs; echo new >new"
    with_tests(crate, {"test_name": "edits", "command": command}).commit("add a test")
    crate.with_file("src/lib.rs", "// of the user\n")

    outcome = crate.nox("-s", "edits")

    assert outcome.code == 0
    assert (
        "warning: tracked files changed while the command ran: Cargo.toml, src/lib.rs; "
        "`git restore -- Cargo.toml` takes that back\n" in outcome.err
    )
    assert (crate.directory / "src/lib.rs").read_text() == "// of the user\n// more\n"


def test_a_custom_test_that_changes_nothing_says_nothing_of_the_users_edits(crate: CrateBuilder) -> None:
    with_tests(crate, {"test_name": "reads", "command": "cat Cargo.toml"}).commit("add a test")
    crate.with_file("src/lib.rs", "// of the user\n")
    (crate.directory / "Cargo.toml").touch()

    assert "changed" not in crate.nox("-s", "reads").text


def test_words_that_a_custom_test_cannot_take_are_refused(crate: CrateBuilder) -> None:
    with_tests(crate, {"test_name": "one", "command": "touch ran"})

    outcome = crate.nox("-s", "one", "--", "--list")

    assert outcome.code == 1
    assert "the session one takes no options\n --> nox -s one -- --list" in outcome.err
    assert not (crate.directory / "ran").exists()


def test_a_time_limit_ends_the_shell_and_what_it_started(crate: CrateBuilder) -> None:
    test = CustomTest(template=Template(name="slow", source="", command="sleep 60 & sleep 60"))

    with pytest.raises(CheckFailed, match=r"slow: stopped at the time limit timeout_minutes=0.02 after 1 s"):
        run_custom_test(Cargo(directory=crate.directory), test, (), Deadline(minutes=0.02), Report())


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("missing.json", "", "there is no such file"),
        ("tests.json", '{"tests": [{"test_nam": "x", "command": "y"}]}', "did you mean 'test_name'?"),
        ("tests.json", '{"tests": [', "tests.json:1"),
    ],
)
def test_a_wrong_description_is_one_message(crate: CrateBuilder, name: str, text: str, what: str) -> None:
    crate.with_file("tests.json", text).with_noxfile(f'custom_tests=["{name}"]')

    outcome = crate.nox("-l")

    assert outcome.code == 2
    assert outcome.err.count("error: ") == 1
    assert what in outcome.err
    assert "Traceback" not in outcome.text


# Steps before sessions

STEP = """\
@crate.before("one", "two")
def test_kernel(session):
    crate.run(session, "sh", "-c", "echo made >>made")
    {then}
"""
SESSIONS = """\
@crate.session
def one(session):
    crate.run(session, "cat", "made")

@crate.session(name="two")
def _(session):
    crate.run(session, "cat", "made")
"""


@pytest.mark.parametrize("options", [[], ["-j2"]])
def test_a_step_runs_once_before_all_its_sessions(crate: CrateBuilder, options: list[str]) -> None:
    with_body(crate, SESSIONS + "\n" + STEP.format(then=""))

    outcome = crate.nox(*options, "-s", "one", "two")

    assert outcome.code == 0, outcome.text
    assert (crate.directory / "made").read_text() == "made\n"
    assert crate.nox("-s", "one").code == 0
    assert (crate.directory / "made").read_text() == "made\nmade\n"


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ('crate.run(session, "false")', "false: exit status 1"),
        ("raise OSError('no space')", "OSError: no space"),
        ("raise KeyError", "KeyError: "),
        ("session.error('no kernel')", "no kernel"),
    ],
)
def test_a_failed_step_is_named_and_fails_every_session(crate: CrateBuilder, then: str, why: str) -> None:
    with_body(crate, SESSIONS + "\n" + STEP.format(then=then))

    outcome = crate.nox("-s", "one", "two")

    assert outcome.code == 1
    assert f"the step test_kernel before one failed: {why}" in outcome.err
    assert f"the step test_kernel failed before: {why}" in outcome.err
    assert (crate.directory / "made").read_text() == "made\n"
    assert "+ cat made" not in outcome.err


def test_a_step_may_come_before_a_standard_session_by_either_name(crate: CrateBuilder) -> None:
    body = '@crate.before("style")\ndef prepare(session):\n    crate.run(session, "touch", "prepared")\n'
    with_body(crate, body)

    assert crate.nox("-s", "fmt").code == 0
    assert (crate.directory / "prepared").exists()


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ('crate.before("unit-test")', "did you mean 'unit-tests'?"),
        ("crate.before()", "no session is named"),
        ("@crate.before\ndef prepare(session): pass", "no session is named"),
        ('crate.before("audit")', "there is no session 'audit' yet"),
    ],
)
def test_a_step_before_nothing_is_an_error(crate: CrateBuilder, call: str, what: str) -> None:
    with_body(crate, call, options='skip=["audit"]')

    outcome = crate.nox("-l")

    assert outcome.code == 2
    assert what in outcome.err
    assert "Traceback" not in outcome.text


def test_a_session_of_the_crate_s_own_says_where_and_when_it_runs(crate: CrateBuilder) -> None:
    body = (
        '@crate.session(platforms=["x86_64", "aarch64"], devices=["/dev/null"],\n'
        '               timeout_minutes=1, tags=["gate"], env={"OWN": "yes"}, changed=["src/**"])\n'
        "def own(session):\n"
        '    crate.run(session, "sh", "-c", "echo own=$OWN")\n'
    )
    with_body(crate, body)

    assert crate.nox("-s", "own").out == "own=yes\n"


def test_a_time_limit_is_for_all_that_a_session_runs(crate: CrateBuilder) -> None:
    body = (
        "import time\n\n"
        "@crate.session(timeout_minutes=0.05)\n"
        "def own(session):\n"
        '    crate.run(session, "sleep", "2")\n'
        '    crate.run(session, "sleep", "60")\n\n'
        "@crate.session(timeout_minutes=0.01)\n"
        "def late(session):\n"
        "    time.sleep(1)\n"
        '    crate.cargo(session, "--version")\n'
    )
    with_body(crate, body)

    outcome = crate.nox("-s", "own", "late")

    assert "error: sleep 60: stopped at the time limit timeout_minutes=0.05 after 1 s" in outcome.err
    assert "error: cargo --version: not started, past the time limit timeout_minutes=0.01" in outcome.err


def test_a_step_before_a_standard_session_is_of_its_time(crate: CrateBuilder) -> None:
    step = 'import time\n\n@crate.before("fmt")\ndef slow(session):\n    time.sleep(1)\n'
    with_body(crate, step, 'overrides={"fmt": {"timeout_minutes": 0.01}}')

    outcome = crate.nox("-s", "fmt")

    said = "rustfmt failed: not started, past the time limit timeout_minutes=0.01"
    assert f"error: {said}" in outcome.err


@pytest.mark.parametrize(
    ("options", "what", "where"),
    [
        ('tags="gate"', "'gate' is not a list of strings", "@crate.session, own, tags"),
        ("tags=[1]", "1 is not a non-empty string", "@crate.session, own, tags"),
        ('name="--x"', "'--x' is not a name that nox can be given", "@crate.session, own, name"),
        ('runner="nextest"', "'runner' is for sessions that run", "@crate.session, own"),
    ],
)
def test_a_wrong_option_of_a_session_is_one_message(
    crate: CrateBuilder, options: str, what: str, where: str
) -> None:
    with_body(crate, f"@crate.session({options})\ndef own(session):\n    pass\n")

    outcome = crate.nox("-l")

    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {what}")
    assert f"\n --> {where}\n" in outcome.err
    assert "Traceback" not in outcome.text


# Hooks


def test_hooks_run_as_on_an_agent_after_their_path_is_shown(crate: CrateBuilder) -> None:
    crate.with_file(".buildkite/hooks/pre-command", 'echo "second in $PWD"\n')
    crate.with_file(
        ".buildkite/hooks/post-checkout",
        "set -u; [[ $BUILDKITE = true ]]\n"
        'echo "$BUILDKITE_BUILD_CHECKOUT_PATH $BUILDKITE_COMMIT $BUILDKITE_BRANCH"\n',
    ).with_file(".buildkite/hooks/pre-exit", "echo never\n")
    top, head = crate.directory, crate.git("rev-parse", "HEAD").strip()

    outcome = crate.nox("-s", "setup", "--", "--hooks")

    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        f"Running the hook {top}/.buildkite/hooks/post-checkout",
        f"{top} {head} main",
        f"Running the hook {top}/.buildkite/hooks/pre-command",
        f"second in {top}",
    ]


def test_a_hook_goes_on_after_what_fails_unless_it_says_otherwise(crate: CrateBuilder) -> None:
    crate.with_file(".buildkite/hooks/post-checkout", "false\necho on\nreturn 0\necho never\n")
    crate.with_file(".buildkite/hooks/pre-command", "#!/usr/bin/env bash\nset -e\nfalse\necho never\n")

    outcome = crate.nox("-s", "setup", "--", "--hooks")

    assert outcome.code == 1
    assert "on" in outcome.out.splitlines()
    assert "never" not in outcome.out
    assert "pre-command: exit status 1" in outcome.err


def test_a_hook_is_of_the_language_that_its_first_line_names(crate: CrateBuilder) -> None:
    crate.with_file(".buildkite/hooks/post-checkout", '#!/bin/sh -u\necho "$- ${BASH_VERSION-no bash}"\n')
    crate.with_file(".buildkite/hooks/pre-command", "#!/usr/bin/env python3\nprint('by', 'python')\n")
    (crate.directory / ".buildkite/hooks/pre-command").chmod(0o755)

    outcome = crate.nox("-s", "setup", "--", "--hooks")

    assert outcome.code == 0, outcome.text
    assert "u" in outcome.out.splitlines()[1]
    assert outcome.out.splitlines()[-1] == "by python"


def test_a_failing_hook_is_named_and_ends_the_run(crate: CrateBuilder) -> None:
    crate.with_file(".buildkite/hooks/post-checkout", "exit 7\n")
    crate.with_file(".buildkite/hooks/pre-command", "echo never\n")

    outcome = crate.nox("-s", "setup", "--", "--hooks")

    assert outcome.code == 1
    assert f"the hook {crate.directory}/.buildkite/hooks/post-checkout: exit status 7" in outcome.err
    assert "never" not in outcome.out


def test_without_hooks_the_message_says_where_they_would_be(crate: CrateBuilder) -> None:
    outcome = crate.nox("-s", "setup", "--", "--hooks")

    assert outcome.code == 1
    assert "there is no hook to run" in outcome.err
    assert f"--> {crate.directory}/.buildkite/hooks" in outcome.err


# How nox ends


def test_a_custom_tests_exit_status_is_noxs_where_it_runs_alone(crate: CrateBuilder) -> None:
    with_tests(
        crate,
        *(
            {"test_name": name, "command": command, "platform": [machine()]}
            for name, command in (
                ("three", "exit 3"),
                ("killed", "kill -KILL $$$$"),
                ("good", ":"),
            )
        ),
    )

    alone = crate.nox("-s", "three")
    killed = crate.nox("-s", "killed")
    with_another = crate.nox("-s", "three", "good")
    reported = crate.nox("--report", "report.json", "-s", "three")

    assert (alone.code, killed.code) == (3, 128 + signal.SIGKILL)
    assert "error: three: exit status 3\n" in alone.err
    assert with_another.code == 1
    assert "Session good was successful" in with_another.err
    assert reported.code == 1
    assert json.loads((crate.directory / "report.json").read_text())["sessions"][0]["result"] == "aborted"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("script", ["crate.run(session, 'sh', '-c', 'echo up; exec sleep 60')", "wait()"])
def test_after_a_stop_signal_the_exit_status_is_a_shells(
    crate: CrateBuilder, script: str, signum: signal.Signals
) -> None:
    """While a program runs, and between programs."""
    body = f"""\
import time

def wait():
    print("up", flush=True)
    time.sleep(60)

@crate.session
def own(session):
    {script}
"""
    with_body(crate, body)
    with subprocess.Popen(
        [sys.executable, "-m", "nox", "-s", "own"],
        cwd=crate.directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as nox:
        try:
            assert nox.stdout is not None
            assert nox.stdout.readline() == "up\n"
            nox.send_signal(signum)
            _, err = nox.communicate(timeout=30)
        finally:
            nox.kill()

    assert nox.returncode == 128 + signum
    assert "Session own interrupted." in err
    assert "Traceback" not in err
