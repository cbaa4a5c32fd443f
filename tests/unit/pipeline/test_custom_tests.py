"""Description files of custom tests: how they are read, and what sessions they become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rustvmm_sessions import catalog
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline import custom_tests
from rustvmm_sessions.pipeline.custom_tests import CustomTest, commands, parse
from rustvmm_sessions.pipeline.model import tolerated_by
from rustvmm_sessions.settings import Override, Settings

TAKEN = {"clippy", "coverage", "commit-format"}


def read(*tests: dict[str, Any]) -> tuple[CustomTest, ...]:
    return parse(json.dumps({"tests": tests}), "tests.json", pytest.fail)


def a_test(name: str = "x", command: str = "make", **given: Any) -> CustomTest:
    (test,) = read({"test_name": name, "command": command, **given})
    return test


def sessions(tests: Any, taken: set[str], **overrides: Override) -> dict[str, list[CustomTest]]:
    skip = frozenset({session.name for session in catalog.STANDARD} - taken)
    crate = Settings(directory=Path(), skip=skip, overrides=overrides)
    found: dict[str, list[CustomTest]] = {}
    for test in custom_tests.sessions(tests, crate, "x86_64"):
        found.setdefault(test.session, []).append(test)
    return found


def run(test: CustomTest, members: Any = ()) -> list[str]:
    return [text for _, text in commands(test, "x86_64", members)]


# Reading


def test_what_concerns_a_local_run_is_read() -> None:
    docker = {"devices": ["/dev/kvm:/dev/kvm:rwm", "/dev/vhost-net"], "environment": ["A=1=2", "HOME"]}
    test = a_test(platform="x86_64", timeout_in_minutes=20, docker_plugin=docker, env={"B": 1})

    assert test.platforms == ("x86_64",)
    assert test.template.timeout_minutes == 20
    assert test.devices == ("/dev/kvm", "/dev/vhost-net")
    assert test.env == {"A": "1=2"}


def test_what_a_step_of_its_session_needs_is_kept() -> None:
    test = a_test(
        platform=["x86_64"],
        docker_plugin={"privileged": True, "devices": ["/dev/kvm"]},
        hypervisor="mshv",
        queue="big",
        if_changed=["src/**"],
    )

    assert test.override == Override(
        timeout_minutes=15,
        platforms=("x86_64",),
        privileged=True,
        devices=("/dev/kvm",),
    )
    assert test.agents == {"hypervisor": "mshv", "queue": "big"}
    assert test.template.changed == ["src/**"]
    assert a_test().override == Override(timeout_minutes=15, privileged=False)


def test_what_is_wrong_or_odd_is_said_as_the_pipeline_says_it() -> None:
    with pytest.raises(UserError) as error:
        a_test(plarform=["x86_64"])
    assert str(error.value).splitlines() == [
        "a test has no key 'plarform'",
        " --> tests.json:1, test 'x', key 'plarform'",
        "help: did you mean 'platform'?",
    ]
    said: list[str] = []
    parse('{"tests": [{"test_name": "x", "command": "y", "label": "z"}]}', "f.json", said.append)
    assert said == ["f.json:1, test 'x', key 'label': it is ignored; test_name and platform set it"]


# Names


def test_a_name_that_has_a_meaning_keeps_it() -> None:
    found = sessions([a_test("clippy", "cargo clippy -p x"), a_test("clippy", "make clippy")], TAKEN)

    assert {name: [t.command for t in tests] for name, tests in found.items()} == {
        "clippy-2": ["cargo clippy -p x"],
        "clippy-3": ["make clippy"],
    }


def test_tests_of_one_name_for_other_machines_are_one_session() -> None:
    tests = [a_test("unit", "a", platform=["x86_64", "aarch64"]), a_test("unit", "b", platform=["riscv64"])]

    (session,) = sessions(tests, TAKEN).values()

    assert [test.command for test in session if test.is_for("x86_64")] == ["a"]
    assert [test.command for test in session if test.is_for("riscv64")] == ["b"]


def test_the_same_command_is_there_once() -> None:
    tests = [
        a_test("same", "a"),
        a_test("same", "b"),
        a_test("same", "a", hypervisor="mshv"),
        a_test("same", "b"),
    ]

    assert list(sessions(tests, TAKEN)) == ["same", "same-2"]


def test_rust_vmm_ci_s_own_tests_are_the_standard_sessions() -> None:
    coverage = a_test("coverage", 'pytest $(find . -type f -name "test_coverage.py")')
    commits = a_test("commits", "pytest rust-vmm-ci/integration_tests/test_commit_format.py")

    assert sessions([coverage, commits], TAKEN) == {}
    assert list(sessions([coverage, commits], {"clippy"})) == ["coverage", "commits"]


@pytest.mark.parametrize(
    "command",
    [
        'cd staging && pytest $(find .. -type f -name "test_coverage.py")',
        "pytest rust-vmm-ci/integration_tests/test_coverage.py && make",
        ["pytest rust-vmm-ci/integration_tests/test_coverage.py", "make"],
        "RUSTFLAGS=-g pytest rust-vmm-ci/integration_tests/test_coverage.py",
    ],
)
def test_what_does_more_than_the_coverage_stays(command: Any) -> None:
    test = a_test("of staging", command)

    assert list(sessions([test], TAKEN)) == ["of staging"]
    assert test.calls_rust_vmm_ci


def test_coverage_of_an_architecture_is_the_session_s_where_that_runs() -> None:
    test = a_test("arm", "pytest rust-vmm-ci/integration_tests/test_coverage.py", platform=["aarch64"])

    assert list(sessions([test], TAKEN)) == ["arm"]
    assert sessions([test], TAKEN, coverage=Override(platforms=("x86_64", "aarch64"))) == {}


BENCHMARK = "pytest -s rust-vmm-ci/integration_tests/test_benchmark.py"
BOTH = ["x86_64", "aarch64"]


def test_rust_vmm_ci_s_benchmark_is_the_session_bench_where_that_runs() -> None:
    test = a_test("performance", BENCHMARK, platform=BOTH)

    assert sessions([test], {"bench"}, bench=Override(platforms=(*BOTH, "riscv64"))) == {}
    assert list(sessions([test], {"bench"}, bench=Override(platforms=("x86_64",)))) == ["performance"]
    assert list(sessions([test], {"bench"})) == ["performance"]  # it is for aarch64
    assert sessions([a_test("performance", BENCHMARK, platform=["aarch64"])], {"bench"}) == {}
    assert list(sessions([test], set(), bench=Override(platforms=tuple(BOTH)))) == ["performance"]


@pytest.mark.parametrize(
    ("command", "environment"), [(BENCHMARK, ["PACKAGE=one"]), (f"PACKAGE=one {BENCHMARK}", ["PACKAGE=two"])]
)
def test_a_benchmark_of_a_package_is_that_package_s(command: str, environment: list[str]) -> None:
    docker = {"environment": environment}
    test = a_test("performance", command, platform=["aarch64"], docker_plugin=docker)

    assert sessions([test], {"bench"}, bench=Override(env={"PACKAGE": "one"})) == {}
    assert list(sessions([test], {"bench"}, bench=Override(env={"PACKAGE": "two"}))) == ["performance"]
    assert list(sessions([test], {"bench"})) == ["performance"]


@pytest.mark.parametrize(
    "command",
    [
        f"RUSTFLAGS=-g {BENCHMARK}",
        f"cd one && {BENCHMARK}",
        f"{BENCHMARK} && make",
        f"{BENCHMARK}\nmake",
        "pytest tests/test_benchmark.pyc",
    ],
)
def test_what_does_more_than_the_benchmark_stays(command: str) -> None:
    test = a_test("performance", command, platform=["aarch64"])

    assert list(sessions([test], {"bench"})) == ["performance"]


def test_coverage_on_agents_and_devices_of_its_own_is_the_session_s_with_those_settings() -> None:
    docker = {"privileged": True, "devices": ["/dev/mshv"]}
    command = 'pytest $(find . -type f -name "test_coverage.py")'
    test = a_test("cov", command, platform=["x86_64"], hypervisor="mshv", docker_plugin=docker)
    on_kvm = a_test("on kvm", command, platform=["x86_64"])

    fitting = Override(devices=("/dev/mshv", "/dev/kvm"), agents={"hypervisor": "mshv"})
    assert list(sessions([test, on_kvm], TAKEN, coverage=fitting)) == ["on kvm"]
    assert list(sessions([test, on_kvm], TAKEN)) == ["cov"]


# Commands


def test_a_command_is_what_buildkite_leaves_of_it() -> None:
    test = a_test(command=r"echo $$PWD \$HOME $(uname) {target_platform} ${X:-{}}", platform=["x86_64"])

    assert run(test) == ["echo $PWD $HOME $(uname) x86_64 ${X:-{}}"]


def test_several_commands_are_one_script() -> None:
    (test,) = read({"test_name": "x", "command": ["a", "b"]})

    assert run(test) == ["a\nb"]


def test_a_matrix_is_run_case_by_case() -> None:
    matrix = {
        "setup": {"feature": ["xen", "rawfd"], "libc": ["gnu", "musl"]},
        "adjustments": [
            {"with": {"feature": "xen", "libc": "musl"}, "skip": True},
            {"with": {"feature": "x", "libc": "y"}},
        ],
    }
    test = a_test(command="{{ matrix.feature }}-{{matrix.libc}}", matrix=matrix)

    assert run(test) == ["xen-gnu", "rawfd-gnu", "rawfd-musl", "x-y"]
    assert run(a_test(command="-p {{ matrix }}", matrix=["a", 1, True])) == ["-p a", "-p 1", "-p true"]


def test_words_choose_a_case_of_the_matrix() -> None:
    test = a_test(command="{{matrix.a}}-{{matrix.b}}", matrix={"setup": {"a": ["x", "y"], "b": [1, 2]}})

    assert [text for _, text in commands(test, "x86_64", (), ("y", "2"))] == ["y-2"]
    with pytest.raises(UserError) as caught:
        commands(test, "x86_64", (), ("y", "3"))
    assert caught.value.fix == "choose one of: x 1; x 2; y 1; y 2"


def test_a_command_for_crates_runs_for_each() -> None:
    test = a_test(command="cd {crate_path} && cargo test -p {crate}")

    assert run(test, [("one", "crates/one"), ("two", ".")]) == [
        "cd crates/one && cargo test -p one",
        "cd . && cargo test -p two",
    ]
    placed = a_test(command="cd {crate_path} && make", crate_path="crates/one")
    assert not placed.per_crate
    assert run(placed) == ["cd crates/one && make"]


@pytest.mark.parametrize(
    ("soft", "tolerated"),
    [
        (None, []),
        (False, []),
        (True, ["*"]),
        ("true", ["*"]),
        ([{"exit_status": 3}], [3]),
        ([{"exit_status": "*"}], ["*"]),
        ([{"exit_status": 3}, {"exit_status": 1}], [3, 1]),
        ([{}], ["*"]),
        ("false", []),
    ],
)
def test_soft_fail_names_what_is_no_failure(soft: Any, tolerated: list[object]) -> None:
    assert [*tolerated_by(soft)] == tolerated
