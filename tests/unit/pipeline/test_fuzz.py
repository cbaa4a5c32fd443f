"""Whatever a file or variable holds, the outcome is a pipeline that is right, or one message.

Each test counts what was accepted: a program that refuses everything passes none of them.
"""

from __future__ import annotations

import json
import operator
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions import catalog
from rustvmm_sessions.documents import read_json, read_yaml, write_yaml
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline import buildkite, description, github, included, variables
from rustvmm_sessions.pipeline.compose import compose
from rustvmm_sessions.pipeline.table import explain
from rustvmm_sessions.settings import Platforms

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = st.sampled_from(
    (
        *("", "a", "x86_64", "riscv64", "kvm", "workspace", "{crate}", "${{", "$A", "\\$", "wait"),
        *("devices", "environment", "image", "privileged", "setup", "automatic", "step"),
    )
)
NUMBERS = st.integers(-1, 5) | st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others
VALUES: st.SearchStrategy[Any] = WORDS | st.none() | st.booleans() | NUMBERS | st.text(max_size=3)
for _depth in range(3):
    VALUES = VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(WORDS, VALUES, max_size=3)
VALUES = st.tuples(VALUES).map(operator.itemgetter(0))  # one branch of what it is joined with, not twelve
KEYS = st.sampled_from(
    sorted(description.BUILDKITE_KEYS | description._OWN_KEYS | {"steps", "group", "wait"})
)
NAMES = st.sampled_from(("t", "unit tests", "a: b", "yes", "{crate}", "é"))
LINES = st.sampled_from(
    ("make", "cargo test", "for {target_platform}", "a=b # c", '"quoted"', "$HOME", "$$HOME")
)
PLATFORM = st.sampled_from(("x86_64", "aarch64", "riscv64"))
DOCKER = st.dictionaries(st.sampled_from(["devices", "environment"]), st.lists(WORDS, max_size=2), max_size=2)
TEST = st.fixed_dictionaries(
    {"test_name": NAMES, "command": LINES | st.lists(LINES, min_size=1, max_size=3)},
    optional={
        "platform": PLATFORM | st.lists(PLATFORM, unique=True, max_size=3),
        "docker_plugin": DOCKER | st.none(),
        "timeout_in_minutes": st.integers(1, 90),
        "hypervisor": st.sampled_from(("kvm", "mshv", "")),
    },
)
ODD_KEY = st.dictionaries(KEYS | st.sampled_from(("test_name", "command")), VALUES, max_size=1)
TESTS = st.lists(TEST | st.builds(operator.or_, TEST, ODD_KEY) | VALUES, max_size=2)
PLATFORMS = Platforms(names=("x86_64", "riscv64"), source=".platform")
NO_CHANGES = variables.read({})


def quiet(_: str) -> None:
    pass


def share_accepted(inputs: st.SearchStrategy[Any], examples: int, accept: Callable[[Any], None]) -> float:
    """Return the share of the inputs that `accept` takes without a UserError; its asserts hold for each."""
    taken: list[bool] = []

    @settings(max_examples=examples, deadline=None)
    @given(inputs)
    def attempt(drawn: Any) -> None:
        refused: UserError | None = None
        try:
            accept(drawn)
        except UserError as error:
            refused = error
        assert refused is None or (refused.what and refused.where)
        taken.append(refused is None)

    attempt()
    return sum(taken) / len(taken)


def expected_steps(tests: list[dict[str, Any]]) -> list[tuple[str, str, str, Any, Any]]:
    """Return label, platform, script, minutes and docker's options of the steps that tests come to."""
    steps = []
    for test in tests:
        given_platforms = test.get("platform") or [""]
        command = test["command"]
        script = command if isinstance(command, str) else "\n".join(command)
        for platform in [given_platforms] if isinstance(given_platforms, str) else given_platforms:
            if platform in ("", *PLATFORMS.names):
                label = "-".join(filter(None, (test["test_name"], platform)))
                minutes = test.get("timeout_in_minutes") or catalog.TIMEOUT_MINUTES
                docker = test.get("docker_plugin") or {}
                steps.append(
                    (label, platform, script.replace("{target_platform}", platform), minutes, docker)
                )
    return steps


def as_the_agent_reads(text: str) -> str:
    """Return a text after the interpolation of Buildkite's agent, which knows no variable here."""
    return text.replace("\\$", "$").replace("$$", "$")


def test_descriptions() -> None:
    def accept(tests: Any) -> None:
        templates = description.parse(json.dumps({"tests": tests}), "t.json", of_crates=False, warn=quiet)
        pipeline = compose(templates, PLATFORMS, NO_CHANGES)
        assert [
            (step.label, step.platform, step.script, step.timeout_minutes, step.docker)
            for step in pipeline.steps
        ] == expected_steps(tests)
        assert all(test["test_name"].replace("\n", " ") in explain(pipeline) for test in tests)
        data = buildkite.render(pipeline)
        assert read_yaml(write_yaml(data), "p.yml").data == json.loads(json.dumps(data))

    assert share_accepted(TESTS, 400, accept) > 0.2


def test_jobs_of_github() -> None:
    def accept(tests: Any) -> None:
        templates = description.parse(json.dumps({"tests": tests}), "t.json", of_crates=False, warn=quiet)
        pipeline = compose(templates, PLATFORMS, NO_CHANGES)
        found = github.matrix(pipeline, github.Repository(), warn=quiet)["include"]
        steps = [step for step in pipeline.steps if not step.extra.get("skip")]
        assert [entry["name"] for entry in found] == [as_the_agent_reads(step.label) for step in steps]
        assert [entry["minutes"] for entry in found] == [step.timeout_minutes for step in steps]
        assert len({entry["id"] for entry in found}) == len(found)
        assert all(re.fullmatch(r"[\w.+-]+", entry["id"], re.ASCII) for entry in found)

    assert share_accepted(TESTS, 150, accept) > 0.15


STEP = st.fixed_dictionaries(
    {"label": NAMES, "command": LINES | st.lists(LINES, min_size=1, max_size=3)},
    optional={"env": st.dictionaries(st.just("A"), NAMES), "timeout_in_minutes": st.integers(1, 90)},
)
STEPS = st.lists(STEP | st.builds(operator.or_, STEP, ODD_KEY) | st.just("wait") | VALUES, max_size=3)


def expected_runs(steps: list[Any]) -> list[tuple[str, str]]:
    """Return label and script of the steps that have both, in the ordinary keys."""
    runs = []
    for step in steps:
        command = step.get("command") if isinstance(step, dict) else None
        lines = [command] if isinstance(command, str) else command
        if not lines or not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            continue
        if command and isinstance(step.get("label"), str) and step["label"]:
            runs.append((step["label"], as_the_agent_reads("\n".join(lines))))
    return runs


def test_pipeline_files() -> None:
    def accept(steps: Any) -> None:
        found = included.parse(write_yaml({"steps": steps}), "p.yml")
        assert [step.data for step in found] == steps
        assert buildkite.differences([step.data for step in found], steps) == []
        assert len(buildkite.differences([], steps)) == len(steps)
        runs = [(run.label, run.script) for run in included.commands(found)]
        assert [run for run in runs if run in expected_runs(steps)] == expected_runs(steps)

    assert share_accepted(STEPS | st.lists(STEP, max_size=3) | VALUES, 400, accept) > 0.2


TEXTS = st.text(alphabet="-:{}[]&*!|>%@`'\"#?,~<= \n\tab1", max_size=30)


def test_texts_as_json() -> None:
    def accept(text: str) -> None:
        assert read_json(text, "f").data == json.loads(text)

    assert share_accepted(TEXTS | VALUES.map(json.dumps), 200, accept) > 0.2


def test_texts_as_yaml() -> None:
    def accept(text: str) -> None:
        data = read_yaml(text, "f").data
        assert read_yaml(write_yaml(data), "f").data == data

    assert share_accepted(TEXTS | VALUES.map(json.dumps), 200, accept) > 0.2


NAME_LISTS = st.lists(NAMES, min_size=1, max_size=2)
APPLIED = st.fixed_dictionaries({"tests": NAME_LISTS, "cfg": st.dictionaries(WORDS, VALUES, max_size=2)})
MINUTES = st.dictionaries(NAMES, st.integers(0, 90), max_size=2)
ODD_TEXTS = VALUES.map(json.dumps) | st.text(max_size=5)


@pytest.mark.parametrize("variable", [variables.X86_TAGS, variables.AARCH64_TAGS, variables.DOCKER])
def test_values_of_variables_for_some_tests(variable: str) -> None:
    def accept(value: str) -> None:
        found = variables.read({variable: value})
        applied = {
            variables.X86_TAGS: found.x86_tags,
            variables.AARCH64_TAGS: found.aarch64_tags,
            variables.DOCKER: found.docker,
        }[variable]
        nothing: dict[str, Any] = {"tests": [], "cfg": {}}
        assert {"tests": list(applied.tests), "cfg": applied.cfg} == (json.loads(value or "null") or nothing)

    assert share_accepted(APPLIED.map(json.dumps) | ODD_TEXTS, 70, accept) > 0.1


def test_values_of_the_variable_of_tests_to_skip() -> None:
    def accept(value: str) -> None:
        assert variables.read({variables.SKIP: value}).skip == tuple(json.loads(value or "null") or ())

    assert share_accepted(NAME_LISTS.map(json.dumps) | ODD_TEXTS, 70, accept) > 0.1


def test_values_of_the_variable_of_timeouts() -> None:
    def accept(value: str) -> None:
        minutes = variables.read({variables.TIMEOUTS: value}).timeouts
        assert minutes == (json.loads(value or "null") or {})
        assert all(limit > 0 for limit in minutes.values())

    assert share_accepted(MINUTES.map(json.dumps) | ODD_TEXTS, 70, accept) > 0.1
