"""Whatever a file or variable holds, the outcome is a pipeline or one message."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.documents import read_json, read_yaml, write_yaml
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline import buildkite, description, github, included, variables
from rustvmm_sessions.pipeline.compose import compose
from rustvmm_sessions.pipeline.model import Platforms
from rustvmm_sessions.pipeline.table import explain

WORDS = st.sampled_from(
    (
        *("", "a", "x86_64", "riscv64", "kvm", "workspace", "{crate}", "${{", "$A", "\\$", "wait"),
        *("devices", "environment", "image", "privileged", "setup", "automatic", "step"),
    )
)
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-1, 5) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    sorted(description.BUILDKITE_KEYS | description._OWN_KEYS | {"steps", "group", "wait"})
)
DOCKER = st.dictionaries(st.sampled_from(["devices", "environment", "image", "privileged"]), VALUES)
TESTS = st.lists(
    st.builds(
        lambda name, command, more, docker: {
            **more,
            "test_name": name,
            "command": command,
            "docker_plugin": docker,
        },
        st.just("t") | VALUES,
        st.just("make") | VALUES,
        st.dictionaries(KEYS, VALUES, max_size=1),
        DOCKER,
    )
    | VALUES,
    max_size=2,
)
PLATFORMS = Platforms(names=("x86_64", "riscv64"), source=".platform")
NO_CHANGES = variables.read({})


def quiet(_: str) -> None:
    pass


@settings(max_examples=400, deadline=None)
@given(TESTS)
def test_descriptions(tests: Any) -> None:
    text = json.dumps({"tests": tests})
    with contextlib.suppress(UserError):
        templates = description.parse(text, "t.json", of_crates=False, warn=quiet)
        pipeline = compose(templates, PLATFORMS, NO_CHANGES)
        explain(pipeline)
        with contextlib.suppress(UserError):
            github.render(pipeline, warn=quiet)
        data = buildkite.render(pipeline)
        assert read_yaml(write_yaml(data), "p.yml").data == json.loads(json.dumps(data))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, max_size=3) | VALUES)
def test_pipeline_files(steps: Any) -> None:
    with contextlib.suppress(UserError):
        found = included.parse(write_yaml({"steps": steps}), "p.yml")
        list(included.commands(found))
        buildkite.differences([step.data for step in found], [])


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="-:{}[]&*!|>%@`'\"#?,~<= \n\tab1", max_size=30))
def test_texts(text: str) -> None:
    for read in (read_json, read_yaml):
        with contextlib.suppress(UserError):
            read(text, "f")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([variables.X86_TAGS, variables.DOCKER, variables.SKIP, variables.TIMEOUTS]),
    VALUES.map(json.dumps) | st.text(max_size=5),
)
def test_values_of_variables(variable: str, value: str) -> None:
    with contextlib.suppress(UserError):
        variables.read({variable: value}).check(())
