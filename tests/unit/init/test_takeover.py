"""What becomes of every test of rust-vmm's own descriptions: nothing is lost."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rustvmm_sessions.init.takeover import TakeOver, take_over
from rustvmm_sessions.pipeline.custom_tests import CustomTest, parse

DATA = Path(__file__).parents[2] / "data" / "descriptions"
BOTH = ["x86_64", "aarch64"]
ALL = [*BOTH, "riscv64"]
OWN = ""
"""It stays a session of its own."""
SAME = {
    "build-gnu": "build-gnu",
    "build-musl": "build-musl",
    "style": "fmt",
    "doc": "doc",
    "unittests-gnu": "unit-tests",
    "unittests-musl": "unit-tests-musl",
    "unittests-gnu-release": "unit-tests-release",
    "unittests-musl-release": "unit-tests-musl-release",
    "clippy": "clippy",
    "coverage": "coverage",
    "commit-format": "commit-format",
    "cargo-audit": "audit",
}
STAGING = (
    *("build-gnu", "build-musl", "style", "doc", "unittests-gnu", "unittests-musl", "clippy"),
    *("coverage", "cargo-audit"),
)
BINDGEN = {"env": {"BINDGEN_EXTRA_CLANG_ARGS": "-I/usr/include/$(uname -m)-linux-gnu"}}
ON_BOTH = {"platforms": BOTH}
SOFT = {"soft_fail": True}
SOFT_AND_PLAIN = {**SOFT, "privileged": False}
GPU_AND_MEDIA = {"exclude": ["vhost-device-gpu", "vhost-device-media"]}


@dataclass(frozen=True, kw_only=True)
class Case:
    """The descriptions of a noxfile, by their files' names in the data, and what becomes of their tests."""

    files: dict[str, dict[str, str]]
    member: dict[str, tuple[str, str]] = field(default_factory=dict)
    directory: Path = Path("/x")
    above: str = ""
    platforms: list[str] = field(default_factory=lambda: BOTH)
    skip: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)


MONOREPO = Case(
    files={
        "rust-vmm": {**SAME, "cross-crate-check": OWN},
        "rust-vmm-event-manager": {"performance": "bench"},
        "rust-vmm-vm-memory": {"miri": OWN, "check-windows-build": OWN},
    },
    member={
        "rust-vmm-event-manager": ("event-manager", "event-manager"),
        "rust-vmm-vm-memory": ("vm-memory", "vm-memory"),
    },
    platforms=ALL,  # of two members
    overrides={
        **dict.fromkeys(["build-gnu", "clippy", "unit-tests", "unit-tests-release", "coverage"], ON_BOTH),
        "bench": {"platforms": BOTH, "env": {"PACKAGE": "event-manager"}, "changed": ["event-manager/*"]},
    },
)
VHOST_DEVICE = Case(
    files={"vhost-device-main": {**SAME, "check-warnings": OWN}},
    overrides={
        **dict.fromkeys(["build-gnu", "clippy", "doc", "unit-tests", "unit-tests-release"], BINDGEN),
        **dict.fromkeys(["build-musl", "unit-tests-musl", "unit-tests-musl-release"], GPU_AND_MEDIA),
    },
)
VHOST_DEVICE_STAGING = Case(
    files={
        "vhost-device-staging": {
            **{f"staging: {name}": SAME[name] for name in STAGING},
            "staging: unittests-gnu-no-defaults": OWN,
            "staging: check-warnings": OWN,
        }
    },
    directory=Path("/x/staging"),
    above="../",
    skip=("unit-tests-release", "unit-tests-musl-release", "commit-format"),
    overrides={
        **dict.fromkeys(["build-musl", "clippy", "coverage", "audit"], SOFT),
        **dict.fromkeys(["unit-tests", "unit-tests-musl"], SOFT_AND_PLAIN),
    },
)
VM_VIRTIO = Case(
    files={
        "vm-virtio": dict.fromkeys(
            [
                *("build-gnu-backend-stdio", "build-musl-backend-stdio", "fuzz-fmt", "fuzz-input-tests"),
                *("fuzz-build", "fuzz-virtio-queue", "fuzz-virtio-queue-ser", "fuzz-vsock-packet"),
                *("fuzz-virtio-blk", "prove-virtio-queue"),
            ],
            OWN,
        )
    }
)
VMM_REFERENCE = Case(
    files={
        "vmm-reference": {"run": OWN},
        "vmm-reference-vm-vcpu-ref": {"vm-vcpu_coverage": "coverage"},
    },
    member={"vmm-reference-vm-vcpu-ref": ("vm-vcpu-ref", "src/vm-vcpu-ref")},
)
VFIO = Case(files={"vfio": dict.fromkeys(["build-mshv", "clippy-mshv", "build-nohv", "clippy-nohv"], OWN)})
VHOST = Case(files={"vhost": {}})
CASES = (MONOREPO, VHOST_DEVICE, VHOST_DEVICE_STAGING, VM_VIRTIO, VMM_REFERENCE, VFIO, VHOST)


def described(case: Case) -> dict[str, tuple[CustomTest, ...]]:
    return {
        name: parse(
            (DATA / f"{name}.json").read_text(), f"{case.above}{name}", pytest.fail, case.member.get(name)
        )
        for name in case.files
    }


def of_tests(*tests: dict[str, Any], platforms: list[str] = BOTH) -> TakeOver:
    found = parse(json.dumps({"tests": tests}), "tests.json", pytest.fail)
    return take_over({"tests.json": found}, Path("/x"), platforms, "x86_64")


@pytest.mark.parametrize("case", CASES)
def test_every_test_of_a_repository_has_a_place(case: Case) -> None:
    tests = described(case)

    found = take_over(
        tests, case.directory, case.platforms, "x86_64", *([("coverage",)] if case.above else [])
    )

    assert {name: dict(places) for name, places in found.places.items()} == case.files
    assert {name: len(places) for name, places in found.places.items()} == {
        name: len(each) for name, each in tests.items()
    }
    assert (found.skip, found.overrides) == (case.skip, case.overrides)


def test_every_description_of_the_data_is_tried() -> None:
    assert {path.stem for path in DATA.glob("*.json")} == {name for case in CASES for name in case.files}


def test_beside_the_standard_tests_only_the_same_is_replaced() -> None:
    found = of_tests(
        {"test_name": "again", "command": "cargo test --workspace"},
        {"test_name": "logging", "command": "RUST_LOG=debug cargo test --workspace"},
        {"test_name": "some", "command": "cargo test --workspace --exclude gpu"},
        {"test_name": "kvm", "command": "cargo test", "docker_plugin": {"devices": ["/dev/kvm"]}},
        {"test_name": "mshv", "command": "cargo test", "hypervisor": "mshv"},
    )

    expected = {"again": "unit-tests", **dict.fromkeys(["logging", "some", "kvm", "mshv"], OWN)}
    assert dict(found.places["tests.json"]) == expected
    assert (found.skip, found.overrides) == ((), {})


@pytest.mark.parametrize(
    "given",
    [
        {"if": "build.branch == 'main'"},
        {"retry": {"automatic": True}},
        {"env": {"A": "b"}},
        {"soft_fail": [{"exit_status": 3}]},
        {"skip": "not yet"},
        {"matrix": ["a"]},
        {"if_changed": {"include": "a"}},
        {"docker_plugin": {"environment": ["HOME"]}},
        {"docker_plugin": {"image": "x"}},
        {"docker_plugin": {"propagate-environment": True}},
    ],
)
def test_what_no_setting_says_stays_a_test(given: dict[str, Any]) -> None:
    found = of_tests({"test_name": "clippy", "command": "cargo clippy -- -D warnings", **given})

    assert found.places["tests.json"] == (("clippy", OWN),)


def test_a_session_that_would_be_several_is_left_to_its_tests() -> None:
    tests = [{"test_name": name, "command": f"make {name}"} for name in SAME if name != "unittests-gnu"]
    tests += [
        {"test_name": "unittests-gnu", "command": "cargo test", "hypervisor": hypervisor}
        for hypervisor in ("kvm", "mshv")
    ]

    found = of_tests(*tests)

    assert "unit-tests" in found.skip
    assert not any(place for _, place in found.places["tests.json"])


def test_a_description_with_commands_of_its_own_keeps_them() -> None:
    found = of_tests(*({"test_name": name, "command": f"make {name}"} for name in SAME))

    assert {*found.skip} == {*SAME.values()}
    assert not any(place for _, place in found.places["tests.json"])


def test_paths_time_limits_and_devices_of_described_tests_are_settings() -> None:
    tests = json.loads((DATA / "vhost-device-main.json").read_text())["tests"]
    docker = {"privileged": True, "devices": ["/dev/kvm"], "environment": ["A=b"]}
    (test,) = (test for test in tests if test["test_name"] == "unittests-musl")
    test.update(if_changed=["src/**"], timeout_in_minutes=40, docker_plugin=docker, queue="big")

    assert of_tests(*tests).overrides["unit-tests-musl"] == {
        **GPU_AND_MEDIA,
        "changed": ["src/**"],
        "timeout_minutes": 40,
        "devices": ["/dev/kvm"],
        "env": {"A": "b"},
        "agents": {"queue": "big"},
    }


# rust-vmm-ci's own tests, beside the standard ones

BENCHMARK = "pytest -s rust-vmm-ci/integration_tests/test_benchmark.py"
COVERAGE = 'pytest $(find . -type f -name "test_coverage.py")'


def a_test(command: str, **given: Any) -> dict[str, Any]:
    return {"test_name": f"{command} {given}", "command": command, **given}


def test_the_settings_of_bench_are_those_of_the_tests_it_replaces() -> None:
    docker = {"environment": ["PACKAGE=one"], "devices": ["/dev/kvm"]}
    on_arm = a_test(BENCHMARK, platform=["aarch64"], docker_plugin=docker)
    longer = a_test(BENCHMARK, timeout_in_minutes=90, docker_plugin=docker)

    assert of_tests(a_test("make")).overrides == {}
    assert of_tests(a_test(BENCHMARK, platform=BOTH), platforms=[]).overrides == {
        "bench": {"platforms": BOTH}
    }
    assert of_tests(on_arm, longer).overrides == {
        "bench": {
            "platforms": ["aarch64", "x86_64"],
            "timeout_minutes": 90,
            "devices": ["/dev/kvm"],
            "env": {"PACKAGE": "one"},
        }
    }
    assert of_tests(on_arm, a_test(BENCHMARK)).overrides == {}  # another package
    assert of_tests(a_test(f"RUSTFLAGS=-g {BENCHMARK}", platform=["aarch64"])).overrides == {}


def test_coverage_on_agents_and_devices_of_its_own_is_the_session_s_with_those_settings() -> None:
    docker = {"privileged": True, "devices": ["/dev/mshv"]}
    test = a_test(COVERAGE, platform=["x86_64"], hypervisor="mshv", docker_plugin=docker)

    found = of_tests(test, a_test("make"), a_test("pytest x/test_commit_format.py"))

    assert found.overrides == {"coverage": {"devices": ["/dev/mshv"], "agents": {"hypervisor": "mshv"}}}
    assert of_tests(test, a_test(COVERAGE, platform=["x86_64"])).overrides == {}  # two kinds of agents
