"""The pipeline of registered sessions, for Buildkite's agents and for GitHub's runners."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions import catalog
from rustvmm_sessions.documents import read_yaml
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline import buildkite, changes, custom_tests, description, github
from rustvmm_sessions.pipeline.compose import compose
from rustvmm_sessions.pipeline.model import Included
from rustvmm_sessions.pipeline.registered import Facts, of_crate
from rustvmm_sessions.pipeline.table import explain
from rustvmm_sessions.pipeline.variables import Variables
from rustvmm_sessions.rust import durations
from rustvmm_sessions.settings import OwnSession, Platforms, override, settings

if TYPE_CHECKING:
    from rustvmm_sessions.pipeline.custom_tests import CustomTest
    from rustvmm_sessions.pipeline.model import Pipeline

REPOSITORY = github.Repository()
PLAIN = Facts(nox="nox")
ALL = Platforms(names=catalog.PLATFORMS, source=".platform")


def own(name: str, *tags: str, **given: Any) -> OwnSession:
    return OwnSession(name=name, tags=tags, override=override("@crate.session", given))


def pipeline(
    *sessions: OwnSession,
    platforms: Platforms = ALL,
    facts: Facts = PLAIN,
    skip_standard: bool = False,
    described: tuple[CustomTest, ...] = (),
    **options: Any,
) -> Pipeline:
    if skip_standard:
        options["skip"] = [s.name for s in catalog.STANDARD]
    crate = replace(settings(Path(), options), own=sessions)
    templates = of_crate(crate, custom_tests.sessions(described, crate, "x86_64"), facts)
    return compose(templates, platforms, Variables())


def steps(made: Pipeline) -> dict[str, dict[str, Any]]:
    return {step["label"]: step for step in buildkite.render(made)["steps"]}


def docker(step: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = step["plugins"][0][buildkite.DOCKER_PLUGIN]
    return options


def test_standard_sessions_are_steps_and_helpers_are_not() -> None:
    made = steps(pipeline())
    assert {"fmt", "doc", "unit-tests-x86_64", "unit-tests-riscv64", "coverage-x86_64"} <= made.keys()
    assert not {"coverage-aarch64", "unit-tests-musl-riscv64", "fmt-x86_64"} & made.keys()
    assert not any(label.startswith(("setup", "doctor", "pipeline")) for label in made)
    assert made["clippy-aarch64"] == {
        "label": "clippy-aarch64",
        "command": "nox -s clippy",
        "retry": {"automatic": False},
        "agents": {"os": "linux", "platform": "arm.metal", "hypervisor": "kvm"},
        "plugins": [{"docker#v5.3.0": {"image": "rustvmm/dev:g8b11be7", "always-pull": True}}],
        "timeout_in_minutes": 15,
    }
    assert docker(made["unit-tests-x86_64"])["privileged"] is True


def test_an_extra_session_has_steps_where_the_crate_asks_for_it() -> None:
    assert not any(label.startswith("fuzz") for label in steps(pipeline()))
    made = steps(pipeline(fuzz={}))
    assert [label for label in made if label.startswith("fuzz")] == ["fuzz-x86_64", "fuzz-aarch64"]
    assert made["fuzz-x86_64"]["command"] == "nox -s fuzz"
    assert made["fuzz-x86_64"]["timeout_in_minutes"] == 60
    assert "fuzz-x86_64" not in steps(pipeline(fuzz={}, skip=["fuzz"]))
    assert {"targets-x86_64", "release-check"} <= steps(pipeline(targets={}, release=True)).keys()


def test_a_matrix_is_spread_over_steps_that_do_a_share_each() -> None:
    given = {"clippy": {"shares": 3, "platforms": ["x86_64"]}}
    made = pipeline(own("mine", shares=2, platforms=["x86_64"]), overrides=given)
    commands = {label: step["command"] for label, step in steps(made).items()}
    shared = {label: command for label, command in commands.items() if "--partition" in command}
    assert shared == {
        "clippy-x86_64 1/3": "nox -s clippy -- --partition 1/3",
        "clippy-x86_64 2/3": "nox -s clippy -- --partition 2/3",
        "clippy-x86_64 3/3": "nox -s clippy -- --partition 3/3",
        "mine-x86_64 1/2": "nox -s mine -- --partition 1/2",
        "mine-x86_64 2/2": "nox -s mine -- --partition 2/2",
    }
    assert re.search(r"^clippy 2/3 +standard session +yes", explain(made), re.MULTILINE)
    assert jobs(made)["clippy-x86_64 3/3"]["command"] == "nox -s clippy -- --partition 3/3"
    assert jobs(made)["clippy-x86_64 3/3"]["id"] == "clippy-x86_64-3-3"


def test_the_steps_of_a_matrix_divide_it_by_the_same_figures() -> None:
    facts = Facts(nox="nox", took=lambda name: {"p with all features": 7} if name == "clippy" else {})
    given = {"clippy": {"shares": 2, "platforms": ["x86_64"]}, "doc": {"platforms": ["x86_64"]}}
    made = pipeline(facts=facts, overrides=given)
    word = durations.packed({"p with all features": 7})
    commands = [step["command"] for label, step in steps(made).items() if label.startswith("clippy")]
    assert commands == [f"nox -s clippy -- --partition {n}/2:{word}" for n in (1, 2)]


EVERY_KEY = {
    "test_name": "kernel: boot $$HOME",
    "command": ["cd {target_platform}", "make $$PWD ${BUILDKITE_BRANCH:-main}"],
    "platform": ["x86_64", "riscv64"],
    "hypervisor": "mshv",
    "queue": "big",
    "docker_plugin": {
        "image": "example/image:1",
        "devices": ["/dev/kvm:/dev/kvm:rwm"],
        "environment": ["A=$$B", "HOME"],
        "privileged": True,
        "propagate-environment": True,
    },
    "conditional": "build.branch == 'main'",
    "timeout_in_minutes": 40,
    "retry": {"automatic": {"limit": 2}},
    "if_changed": ["src/**"],
    "soft_fail": [{"exit_status": 3}],
    "skip": "until the kernel boots",
    "env": {"C": "$$D"},
    "artifact_paths": ["a/*.log"],
    "priority": 3,
    "parallelism": 1,
}


@pytest.mark.parametrize(
    ("test", "command"),
    [
        (EVERY_KEY, "nox -s 'kernel: boot $$$$HOME'"),
        ({"test_name": "any machine", "command": "make"}, "nox -s 'any machine'"),
        ({"test_name": "m", "command": "x {{matrix}}", "matrix": ["a", "b"]}, "nox -s m -- '{{matrix}}'"),
        (
            {
                "test_name": "m",
                "command": "x {{matrix.a}} {{ matrix.b }}",
                "matrix": {"setup": {"a": [1], "b": [2]}},
            },
            "nox -s m -- '{{matrix.a}}' '{{matrix.b}}'",
        ),
    ],
    ids=["every key", "any machine", "matrix", "matrix of two"],
)
def test_a_described_test_has_the_same_step_by_both_ways_but_for_its_command(
    test: dict[str, Any], command: str
) -> None:
    text = json.dumps({"tests": [test]})
    direct = compose(description.parse(text, "F", of_crates=False, warn=pytest.fail), ALL, Variables())
    by_session = pipeline(described=custom_tests.parse(text, "F", pytest.fail), skip_standard=True)

    expected = [{**step, "command": command} for step in buildkite.render(direct)["steps"]]
    for step in expected:
        if step["label"].endswith("riscv64"):  # whose image's entry point wants one word
            step["command"] = json.dumps(command)
    assert buildkite.render(by_session)["steps"] == expected


def test_tests_of_one_command_and_other_agents_keep_a_step_each() -> None:
    tests = [{"test_name": "same", "command": "make", "platform": ["x86_64"]}]
    tests += [{**tests[0], "hypervisor": "mshv"}, {**tests[0], "command": "other"}]
    read = custom_tests.parse(json.dumps({"tests": tests}), "F", pytest.fail)

    made = buildkite.render(pipeline(described=read, skip_standard=True))["steps"]

    assert [(step["label"], step["command"], step["agents"]["hypervisor"]) for step in made] == [
        ("same-x86_64", "nox -s same", "kvm"),
        ("same-x86_64", "nox -s same", "mshv"),
        ("same-2-x86_64", "nox -s same-2", "kvm"),
    ]


@pytest.mark.parametrize(
    ("name", "shares", "what"),
    [
        ("unit-tests", 0, "0 is not a whole number from 1 to 100"),
        ("unit-tests", True, "True is not a whole number from 1 to 100"),
        ("unit-tests", "3", "'3' is not a whole number from 1 to 100"),
        ("coverage", 2, "coverage has no feature matrix to share"),
    ],
)
def test_shares_that_cannot_be_are_refused(name: str, shares: Any, what: str) -> None:
    with pytest.raises(UserError) as error:
        pipeline(overrides={name: {"shares": shares}})
    assert error.value.what == what


def test_steps_run_on_a_change_of_the_paths_that_a_session_names() -> None:
    made = steps(
        pipeline(
            own("mine", changed=["docs/**"], platforms=["x86_64"]),
            overrides={"fmt": {"changed": ["src/**", "*.rs"]}},
        )
    )
    assert made["mine-x86_64"]["if_changed"] == ["docs/**"]
    assert made["fmt"]["if_changed"] == ["src/**", "*.rs"]
    assert "if_changed" not in made["doc"]


def spelt_out(table: str) -> str:
    """Write the reasons, which stand once below a table, into its cells."""
    notes = dict(re.findall(r"^(\(\d+\)) (.*)$", table, re.MULTILINE))
    assert len(set(notes.values())) == len(notes)
    return re.sub(r"\b(no|skipped) (\(\d+\))", lambda cell: f"{cell[1]}: {notes[cell[2]]}", table)


def test_the_table_says_why_a_session_has_no_step() -> None:
    table = explain(
        pipeline(own("bz", platforms=["x86_64"]), skip=["clippy"], overrides={"doc": {"skip": "why"}})
    )
    rows = {line.split()[0]: line for line in spelt_out(table).splitlines() if line}
    assert rows["clippy"].count("no: register(skip=...)") == 3
    assert "skipped: why" in rows["doc"]
    assert "the noxfile" in rows["bz"]
    assert rows["bz"].count("no: not for this platform") == 2


def test_riscv64_runs_in_its_image_on_x86_64() -> None:
    step = steps(pipeline())["clippy-riscv64"]
    assert step["command"] == '"nox -s clippy"'
    assert step["agents"] == {"os": "linux", "platform": "x86_64.metal"}
    assert docker(step)["image"] == "rustvmm/dev:g8b11be7-riscv"


def test_overrides_reach_the_steps() -> None:
    made = steps(
        pipeline(
            env={"ALL": "1"},
            overrides={
                "unittests-gnu": {
                    "timeout_minutes": 29.5,
                    "devices": ["/dev/kvm"],
                    "privileged": False,
                    "env": {"A": "b c"},
                    "agents": {"queue": "big", "hypervisor": "mshv"},
                },
                "coverage": {"soft_fail": True, "platforms": ["aarch64"]},
                "doc": {"skip": "broken upstream"},
            },
        )
    )
    step = made["unit-tests-x86_64"]
    assert step["timeout_in_minutes"] == 30
    assert step["agents"] == {
        "os": "linux",
        "platform": "x86_64.metal",
        "hypervisor": "mshv",
        "queue": "big",
    }
    assert docker(step) == {
        "image": "rustvmm/dev:g8b11be7",
        "always-pull": True,
        "devices": ["/dev/kvm"],
        "environment": ["ALL=1", "A=b c"],
    }
    assert [label for label in made if label.startswith("coverage")] == ["coverage-aarch64"]
    assert made["coverage-aarch64"]["soft_fail"] is True
    assert made["doc"]["skip"] == "broken upstream"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"privileged": "yes"}, "'yes' is not True or False"),
        ({"soft_fail": 1}, "1 is not True or False"),
        ({"agents": ["queue"]}, "is not a dict"),
        ({"skip": True}, "True is not a non-empty string"),
        ({"privilege": True}, "no option 'privilege'"),
    ],
)
def test_wrong_overrides(given: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError) as error:
        settings(Path(), {"overrides": {"coverage": given}})
    assert what in str(error.value)


def test_own_sessions_follow_unless_they_are_helpers() -> None:
    made = steps(
        pipeline(
            own("build_bzimage", "gate", platforms=["x86_64"], timeout_minutes=20),
            own("everywhere"),
            own("flamegraph", "helpers"),
            skip_standard=True,
        )
    )
    assert list(made) == [
        "build_bzimage-x86_64",
        "everywhere-x86_64",
        "everywhere-aarch64",
        "everywhere-riscv64",
    ]
    assert made["build_bzimage-x86_64"]["timeout_in_minutes"] == 20


def test_steps_of_sessions_have_labels_of_their_own() -> None:
    made = pipeline(overrides={"fmt": {"platforms": ["x86_64"]}})
    same = replace(made, placements=(*made.placements, made.placements[0]))
    with pytest.raises(UserError, match="two steps have the label 'fmt-x86_64'"):
        steps(same)


def test_a_reason_that_buildkite_refuses_is_refused() -> None:
    with pytest.raises(UserError, match="of 71 characters") as caught:
        steps(pipeline(overrides={"fmt": {"skip": "x" * 71}}))
    assert "'fmt', standard session" in str(caught.value)


WITH_BENCHMARKS = Facts(nox="nox", benchmarks=True)


def test_bench_is_one_optional_step_on_arm_that_knows_the_base_of_the_build() -> None:
    made = steps(pipeline(facts=WITH_BENCHMARKS, bench={"threshold": 2}))
    assert [label for label in made if label.startswith("bench")] == ["bench-aarch64"]
    step = made["bench-aarch64"]
    assert (step["command"], step["soft_fail"]) == ("nox -s bench", True)
    assert step["agents"]["platform"] == "arm.metal"
    (options,) = step["plugins"][0].values()
    assert options["propagate-environment"] is True


@pytest.mark.parametrize(
    ("facts", "options", "reason"),
    [
        (WITH_BENCHMARKS, {}, "no: register() sets nothing for bench"),
        (PLAIN, {"bench": {"threshold": 2}}, 'no: no [[bench]] name = "main"'),
        (WITH_BENCHMARKS, {"bench": {"threshold": 2}}, "yes"),
        (WITH_BENCHMARKS, {"overrides": {"bench": {"env": {"PACKAGE": "x"}}}}, "yes"),
    ],
)
def test_bench_has_a_step_where_there_are_benchmarks_and_something_is_set_for_it(
    facts: Facts, options: dict[str, Any], reason: str
) -> None:
    made = pipeline(facts=facts, **options)

    assert ("bench-aarch64" in steps(made)) == (reason == "yes")
    assert re.search(rf"^bench .* {re.escape(reason)}( |$)", spelt_out(explain(made)), re.MULTILINE)


def test_coverage_has_a_step_where_it_is_recorded_or_configured_unless_the_crate_says() -> None:
    facts = Facts(nox="nox", measured_on=("aarch64", "riscv64"))

    def labels(**options: Any) -> list[str]:
        return [label for label in steps(pipeline(facts=facts, **options)) if label.startswith("coverage")]

    assert labels() == ["coverage-aarch64", "coverage-riscv64"]
    assert labels(platforms=Platforms(names=("aarch64",), source=".platform")) == ["coverage-aarch64"]
    assert labels(overrides={"coverage": {"platforms": ["x86_64"]}}) == ["coverage-x86_64"]


def test_steps_of_sessions_keep_their_results_and_pages() -> None:
    results = "../target/rustvmm-results"
    facts = Facts(nox="cd a && nox", results=results, pages=results, benchmarks=True)
    made = steps(pipeline(own("mine", env={"A": "b"}), facts=facts, overrides={"bench": {}}))

    for step in made.values():
        assert step["artifact_paths"] == ["target/rustvmm-results/**/*"]
        options = docker(step)
        assert options["environment"][0] == "RUSTVMM_RESULTS=../target/rustvmm-results"
        # What the build is for, and the agent's program: annotations need both.
        assert options["propagate-environment"] is options["mount-buildkite-agent"] is True
    assert docker(made["mine-x86_64"])["environment"][1:] == ["A=b"]
    pages = {label: step["command"] for label, step in made.items() if "--html" in step["command"]}
    assert pages == {
        "coverage-x86_64": "cd a && nox -s coverage -- --html ../target/rustvmm-results/coverage",
        "bench-aarch64": "cd a && nox -s bench -- --html ../target/rustvmm-results/bench.html",
    }


@pytest.mark.parametrize(
    ("label", "fix"),
    [
        ("coverage-x86_64", 'rename this one, or leave the session\'s out: register(skip=["coverage"])'),
        ("mine-x86_64", "rename one of them: sessions and `reproduce` find a step by its label"),
    ],
)
def test_a_label_of_a_session_and_of_the_crate_s_own_step_names_which_to_leave_out(
    label: str, fix: str
) -> None:
    included = Included(label=label, data={"label": label, "command": "x"}, place=lambda *_: "steps.yml:3")
    with pytest.raises(UserError, match=f"two steps have the label '{label}'") as caught:
        steps(replace(pipeline(own("mine")), included=(included,)))
    assert (caught.value.where, caught.value.fix) == ("steps.yml:3", fix)


def test_dollars_of_literal_texts_are_doubled_for_the_agent_only() -> None:
    made = pipeline(
        own("a $b: 'c'", platforms=["x86_64"]), facts=Facts(nox="python3 $HOME/nox.pyz"), skip_standard=True
    )
    (step,) = buildkite.render(made)["steps"]
    assert step["label"] == "a $$b: 'c'-x86_64"
    assert step["command"] == "python3 $$HOME/nox.pyz -s 'a $$b: '\"'\"'c'\"'\"''"
    assert list(jobs(made)) == ["a $b: 'c'-x86_64"]


def test_what_the_agent_cannot_give_back_is_refused() -> None:
    made = pipeline(own("x", env={"A": "\\$B"}), skip_standard=True)
    with pytest.raises(UserError, match="cannot pass through the agent"):
        buildkite.render(made)


def fail(text: str) -> None:
    raise AssertionError(text)


# GitHub


def jobs(
    made: Pipeline, warnings: list[str] | None = None, repository: github.Repository = REPOSITORY
) -> dict[str, dict[str, Any]]:
    found: list[str] = [] if warnings is None else warnings
    return {job["name"]: job for job in github.matrix(made, repository, warn=found.append)["include"]}


def workflow(**given: Any) -> dict[str, Any]:
    text = github.workflow(pipeline(), github.Repository(**given), warn=fail)
    data: dict[str, Any] = read_yaml(text, "gate.yml").data
    return data


def test_a_job_says_what_it_needs() -> None:
    facts = Facts(nox="nox", pages='"$RUSTVMM_RESULTS"', benchmarks=True)
    found = jobs(pipeline(facts=facts, overrides={"bench": {}}))
    assert found["bench-aarch64"]["command"] == 'nox -s bench -- --html "$RUSTVMM_RESULTS"/bench.html'
    assert found["clippy-aarch64"] == {
        "name": "clippy-aarch64",
        "id": "clippy-aarch64",
        "platform": "aarch64",
        "runner": "ubuntu-24.04-arm",
        "minutes": 15,
        "soft_fail": False,
        "command": "nox -s clippy",
        "components": "clippy",
        "targets": "",
        "devices": "",
        "fetch_depth": 1,
        "submodules": "false",
    }
    assert found["fmt"]["runner"] == "ubuntu-24.04"
    assert found["coverage-x86_64"]["components"] == "llvm-tools"
    assert found["build-musl-aarch64"]["targets"] == "aarch64-unknown-linux-musl"
    assert [name for name, job in found.items() if job["fetch_depth"] == 0] == [
        *("coverage-x86_64", "commit-format", "bench-aarch64")
    ]
    assert found["unit-tests-x86_64"]["devices"] == "/dev/kvm"
    emulated = found["clippy-riscv64"]
    assert (emulated["runner"], emulated["minutes"], emulated["components"]) == ("ubuntu-24.04", 60, "")
    for part in ("--platform=linux/riscv64", "nox -s clippy", "--env=RUSTVMM_RESULTS", "qemu-user-static"):
        assert part in emulated["command"]


@pytest.mark.parametrize(
    ("place", "setup"), [(".", "nox -s setup\n"), ("a b", "nox -f 'a b/noxfile.py' -s setup\n")]
)
def test_an_extra_session_is_set_up_first(place: str, setup: str) -> None:
    made = pipeline(fuzz={}, targets={"x86_64-unknown-none": {}})
    found = github.matrix(made, github.Repository(place=place), warn=fail)["include"]
    commands = {job["name"]: job["command"] for job in found}
    assert commands["fuzz-x86_64"] == f"{setup}nox -s fuzz"
    assert commands["targets-x86_64"] == f"{setup}nox -s targets"
    assert "setup" not in commands["clippy-x86_64"]


def test_a_session_of_the_crate_s_own_may_need_anything() -> None:
    made = pipeline(own("mine", platforms=["x86_64"], devices=["/dev/vhost-net"]), skip_standard=True)
    job = jobs(made)["mine-x86_64"]
    assert job["components"] == "clippy llvm-tools rustfmt"
    assert job["targets"] == "x86_64-unknown-linux-musl"
    assert job["devices"] == "/dev/kvm /dev/vhost-net"
    assert job["fetch_depth"] == 0


def test_what_a_repository_has_reaches_its_jobs() -> None:
    found = jobs(pipeline(), repository=github.Repository(submodules=True, hook=True))
    assert found["fmt"]["submodules"] == "recursive"
    hook = 'BUILDKITE_BUILD_CHECKOUT_PATH="$PWD" bash .buildkite/hooks/post-checkout'
    assert found["fmt"]["command"] == f"{hook}\nnox -s fmt"


def test_names_of_artifacts_are_one_word_and_each_job_s_own() -> None:
    tests = [{"test_name": name, "command": "true"} for name in ("a: b/c", "a b c", "a-b-c")]
    templates = description.parse(json.dumps({"tests": tests}), "t.json", of_crates=False, warn=fail)
    found = github.matrix(compose(templates, ALL, Variables()), REPOSITORY, warn=fail)["include"]
    assert [job["id"] for job in found] == ["a-b-c", "a-b-c-2", "a-b-c-3"]


def test_the_workflow_runs_for_merge_queues_and_on_the_usual_default_branches() -> None:
    on = {"push": {"branches": ["main", "master"]}, "pull_request": None, "merge_group": None}
    assert workflow()["on"] == on
    assert workflow(branches=("a: b",))["on"]["push"] == {"branches": ["a: b"]}


def test_the_jobs_of_the_workflow_are_asked_for() -> None:
    plan, session, gate = (workflow()["jobs"][name] for name in ("plan", "session", "gate"))
    asked = "pipx run --spec 'rustvmm-sessions[tools]' nox -s pipeline -- --format github-matrix --output "
    assert plan["steps"][-1]["run"].startswith(asked)
    assert session["strategy"]["matrix"] == "${{ fromJSON(needs.plan.outputs.matrix) }}"
    used = set(re.findall(r"matrix\.(\w+) *}}", str(session)))
    assert used == jobs(pipeline())["fmt"].keys() - {"platform"}
    assert (gate["if"], gate["needs"]) == ("always()", ["plan", "session"])
    words = ("rustvmm-sessions", "pipeline", "--test-description", "a b.json")
    other = workflow(command=words)["jobs"]["plan"]["steps"][-1]["run"]
    assert "rustvmm-sessions pipeline --test-description 'a b.json' --format github-matrix" in other


def test_the_workflow_of_a_crate_below_the_top_enters_it() -> None:
    tools, cache = workflow(place="a crate")["jobs"]["session"]["steps"][1:3]
    assert tools["run"].startswith("cd 'a crate'\nrustup show")
    assert cache["with"]["path"].splitlines()[-1] == "a crate/target"


def test_the_workflow_checks_out_the_submodules_that_are_needed() -> None:
    for submodules in (True, False):
        plan = workflow(submodules=submodules)["jobs"]["plan"]["steps"][0]["with"]
        assert plan.get("submodules") == ("recursive" if submodules else None)


SHA = "08c6903cd8c0fde910a37f88322edcfb5dd907a8"


@pytest.mark.parametrize(
    ("pin", "kept"),
    [
        (f"{SHA} # v5.0.0", True),
        (f"{SHA} # v4.2.3", True),
        (f"{SHA} # v4.2", True),
        (f"{SHA} # v4.1.9", False),
        (f"{SHA} # v3", False),
        (f"{SHA}", True),
        (f"{SHA} # pinned", True),
        ("v5", True),
        ("v4", True),
        ("v3", False),
        ("main", True),
    ],
)
def test_a_pin_that_was_raised_stays(pin: str, *, kept: bool) -> None:
    def made(before: str) -> str:
        return github.workflow(pipeline(), github.Repository(workflow=before), warn=fail)

    text = made("")
    before = re.sub("actions/checkout@.*", f"actions/checkout@{pin}", text)
    assert (made(before) == before) == kept
    assert (made(before) == text) == (not kept)
    assert f"actions/checkout@{SHA}" in made(
        re.sub("actions/checkout@.*", f'"actions/checkout@{SHA}" # v9', text)
    )


@pytest.mark.parametrize("workflow", ["", "[", "5", "on: push", "on: {push: }", "on: {push: {branches: }}"])
def test_a_file_that_is_no_workflow_says_nothing_of_branches(workflow: str) -> None:
    assert github.branches_of(workflow) == ()
    assert github.branches_of("on: {push: {branches: [trunk, 5]}}") == ("trunk",)


def test_the_workflow_has_least_permissions_and_pinned_actions() -> None:
    text = github.workflow(pipeline(), REPOSITORY, warn=fail)
    data = read_yaml(text, "gate.yml").data
    assert data["permissions"] == {"contents": "read"}
    uses = [step["uses"] for job in data["jobs"].values() for step in job["steps"] if "uses" in step]
    assert len(uses) == 4
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", use) for use in uses)
    assert text.count("actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2\n") == 2


def test_what_github_cannot_do_is_said() -> None:
    warnings: list[str] = []
    made = pipeline(
        own("kvm", devices=["/dev/kvm"]), own("off", skip="why"), own("s390x"), skip_standard=True
    )
    assert list(jobs(made, warnings)) == [
        "kvm-x86_64",
        "kvm-riscv64",
        "s390x-x86_64",
        "s390x-aarch64",
        "s390x-riscv64",
    ]
    assert warnings == ["GitHub's jobs leave out 'kvm-aarch64': GitHub's arm64 runners have no /dev/kvm"]


def test_a_job_passes_over_the_statuses_that_soft_fail_names() -> None:
    def made(soft_fail: Any) -> dict[str, Any]:
        test = {"test_name": "x", "command": "exit 3", "soft_fail": soft_fail}
        text = json.dumps({"tests": [test]})
        templates = description.parse(text, "t.json", of_crates=False, warn=fail)
        return jobs(compose(templates, ALL, Variables()))["x"]

    plain = made(None)
    assert made(True) == made([{"exit_status": "*"}, {"exit_status": 1}]) == {**plain, "soft_fail": True}
    named = made([{"exit_status": 3}, {"exit_status": 4}])
    assert named["soft_fail"] is False
    assert f"bash -e -c {shlex.quote(plain['command'])} || case $? in 3|4) echo " in named["command"]


def test_too_many_jobs_and_none_at_all_are_refused() -> None:
    many = pipeline(*(own(f"s{n}") for n in range(100)), skip_standard=True)
    with pytest.raises(UserError, match="300 jobs"):
        github.matrix(many, REPOSITORY, warn=fail)
    with pytest.raises(UserError, match="no job"):
        github.workflow(pipeline(skip_standard=True), REPOSITORY, warn=fail)
    assert github.matrix(pipeline(skip_standard=True), REPOSITORY, warn=fail) == {"include": []}


# Only what changed


@pytest.mark.parametrize(
    ("pattern", "file", "matches"),
    [
        ("**", "a/b", True),
        ("a/**", "a/b/c", True),
        ("a/**", "a", True),
        ("a/**", "ab", False),
        ("**.go,go.mod", "x/y.go", True),
        ("**.go,go.mod", "go.mod", True),
        ("**.go,go.mod", "go.sum", False),
        ("**/x.rs", "x.rs", True),
        ("a/**/x", "a/x", True),
        ("a/**/x", "a/b/c/x", True),
        ("*.rs", "a/b.rs", False),
        ("{a,b/*}/x", "b/c/x", True),
        ("{,a}b", "b", True),
        ("[ab]?", "a1", True),
        ("[^a]", "a", False),
        ("[a-c]", "b", True),
        (r"\*", "*", True),
        (r"\*", "x", False),
        ("a.b", "axb", False),
        (["x", "a*"], "ab", True),
        ({"include": "src/**"}, "src/x", True),
        ({"include": "src/**", "exclude": ["src/doc/**"]}, "src/doc/x", False),
        (None, "x", True),
    ],
)
def test_patterns_mean_what_they_mean_to_buildkite(pattern: Any, file: str, *, matches: bool) -> None:
    assert changes.concerns(pattern, [file]) == matches
    assert changes.concerns(pattern, []) == (pattern is None)


@pytest.mark.parametrize("pattern", ["{a", "a}", "[z-a]"])
def test_a_pattern_that_is_none_is_one_message(pattern: str) -> None:
    with pytest.raises(UserError, match=f"invalid pattern '{re.escape(pattern)}'"):
        changes.concerns(pattern, ["a"])


def test_steps_of_other_files_are_left_out() -> None:
    made = pipeline(own("mine", changed=["src/**"], platforms=["x86_64"]), own("other", platforms=["x86_64"]))
    left = changes.narrowed(made, ["README.md"], "origin/main")
    assert {*jobs(made)} - {*jobs(left)} == {"mine-x86_64"}
    assert "nothing it reads has changed since origin/main" in explain(left)
    assert changes.narrowed(made, ["src/x", "y"], "main") == made
    assert changes.narrowed(made, [".github/workflows/gate.yml"], "main") == made
