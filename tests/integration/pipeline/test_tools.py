"""Generated pipelines before the real judges; .ci/pipeline-tools provides them.

They are Buildkite's agent, its newest parser, the schema, and cargo.
"""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rustvmm_sessions.pipeline import buildkite, variables
from tests.crates import REPOSITORY, CrateBuilder, Outcome, new_crate, run

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
TOOLS = CACHE / "rustvmm-sessions" / "pipeline-tools"
AGENT = TOOLS / "buildkite-agent"
CORPUS = REPOSITORY / "tests" / "data" / "pipeline-corpus"
COMMAND = [
    sys.executable,
    "-c",
    "import sys; from rustvmm_sessions.cli import main; sys.exit(main())",
    "pipeline",
]

VARIABLES = (
    *(variables.X86_TAGS, variables.AARCH64_TAGS, variables.DOCKER),
    *(variables.SKIP, variables.TIMEOUTS, variables.HYPERVISOR),
)
HARD_TEXTS = (
    *("1e3", "0o17", "010", "0x1f", "1_000", "12:30:45", ".5", ".inf", "+1", "0b1", "2026-01-01", "09"),
    *("yes", "No", "on", "OFF", "y", "true", "~", "null", "=", "<<", "- a", "? a", "a: b", "#a", "a #b"),
    *(
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
        "{a}",
        "[a]",
        "'",
        '"',
        "größe 日本語 🦀",
        "a\nb\n",
        " a\n\tb ",
    ),
    *("{{ matrix.x }}", "C:\\x", "a\\\\b", "\x85\u2028", "$", "$$", "$HOME", "${{ x }}", "${A:-b}", "$$$x"),
)
"""Texts that YAML or the agent's interpolation could make something else of."""


@pytest.fixture(autouse=True, scope="module")
def _no_settings_of_the_build() -> Iterator[None]:
    """Keep what the machine's own CI has set from changing the pipelines here."""
    assert AGENT.exists(), "the tools are missing: run .ci/pipeline-tools"
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("BUILDKITE") or name in VARIABLES:
                patch.delenv(name)
        yield


def corpus_cases() -> list[str]:
    return sorted(
        path.parent.name for path in CORPUS.glob("*/expected.json") if "error" not in path.read_text()[:10]
    )


def generate(folder: Path, *words: str, env: dict[str, str] | None = None) -> Outcome:
    return run([*COMMAND, *words], cwd=folder, env=dict(env or {}))


def agent_reads(file: Path) -> list[dict[str, Any]]:
    """Return the steps as the agent would send them to Buildkite."""
    words = ["pipeline", "upload", "--dry-run", "--format", "json", "--agent-access-token", "x", str(file)]
    done = run([str(AGENT), *words], cwd=file.parent)
    assert done.code == 0, done.text
    steps: list[dict[str, Any]] = json.loads(done.out)["steps"]
    return steps


def newest_parser_reads(file: Path) -> list[dict[str, Any]]:
    done = run([str(TOOLS / "pipeline-parse"), str(file)], cwd=file.parent)
    assert done.code == 0, done.text
    steps: list[dict[str, Any]] = json.loads(done.out)["steps"]
    return steps


def assert_schema(name: str, *files: Path) -> None:
    checker = TOOLS / "venv" / "bin" / "check-jsonschema"
    done = run([str(checker), "--builtin-schema", name, *map(str, files)], cwd=TOOLS)
    assert done.code == 0, done.text


def native(tmp_path: Path, options: str = "") -> CrateBuilder:
    crate = new_crate(tmp_path, options=options)
    own = '@crate.session(platforms=["x86_64"])\ndef build_bzimage(session):\n    """Build."""\n\n\n'
    noxfile = (tmp_path / "noxfile.py").read_text()
    noxfile = noxfile.replace("register(", "crate = register(", 2).replace(
        "import crate = register(", "import register("
    )
    return crate.with_file("noxfile.py", noxfile.replace("if __name__", f"{own}if __name__"))


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All pipelines of the corpus, in files of their own."""
    folder = tmp_path_factory.mktemp("pipelines")
    found = {}
    for name in corpus_cases():
        case = json.loads((CORPUS / name / "case.json").read_text())
        done = generate(CORPUS / name / "repo", *case["argv"], env=case["env"])
        assert done.code == 0, done.err
        found[name] = folder / f"{name}.yml"
        found[name].write_text(done.out)
    return found


def test_the_agent_and_its_newest_parser_read_every_pipeline_of_the_corpus(
    pipelines: dict[str, Path],
) -> None:
    assert len(pipelines) > 40
    for name, file in pipelines.items():
        expected = json.loads((CORPUS / name / "expected.json").read_text())["steps"]
        for steps in (agent_reads(file), newest_parser_reads(file)):
            assert [step["label"] for step in steps] == [step["label"] for step in expected], name


def test_the_schema_takes_every_pipeline_of_the_corpus(pipelines: dict[str, Path]) -> None:
    assert_schema("vendor.buildkite", *pipelines.values())


def test_hard_texts_reach_buildkite_as_they_went_in(tmp_path: Path) -> None:
    env = {f"V{n}": text for n, text in enumerate(HARD_TEXTS)}
    crate = new_crate(tmp_path, options=f"overrides={{'doc': {{'env': {env!r}}}}}")
    done = crate.nox("-s", "pipeline", "--", "--output", "p.yml")
    assert done.code == 0, done.text
    expected = [f"V{n}={text}" for n, text in enumerate(HARD_TEXTS)]
    for read in (agent_reads, newest_parser_reads):
        (step,) = (step for step in read(tmp_path / "p.yml") if step["label"] == "doc")
        (options_of_docker,) = step["plugins"][0].values()
        assert options_of_docker["environment"][1:] == expected  # after RUSTVMM_RESULTS


def test_hard_texts_of_a_description_come_back(tmp_path: Path) -> None:
    texts = [text for text in HARD_TEXTS if "$" not in text]
    tests = [
        {"test_name": text, "command": f"echo {text}", "env": {"A": text}, "key": f"k{number}"}
        for number, text in enumerate(texts)
    ]
    (tmp_path / "t.json").write_text(json.dumps({"tests": tests}))
    (tmp_path / "p.yml").write_text(generate(tmp_path, "-t", "t.json").out)
    for steps in (agent_reads(tmp_path / "p.yml"), newest_parser_reads(tmp_path / "p.yml")):
        assert [(s["label"], s["command"], s["env"]["A"]) for s in steps] == [
            (text, f"echo {text}", text) for text in texts
        ]


SCALARS = (
    "1e3",
    "0o17",
    "017",
    "09",
    "0x1F",
    "1_000",
    "0b11",
    "1.5",
    "yes",
    "on",
    "true",
    "True",
    "~",
    "12:30",
    "a",
)


def test_yaml_is_read_as_the_agent_reads_it(tmp_path: Path) -> None:
    text = "".join(f"- {{command: x, label: l{n}, other: {scalar}}}\n" for n, scalar in enumerate(SCALARS))
    (tmp_path / "in.yml").write_text(f"steps:\n{text}")
    (tmp_path / "none.json").write_text('{"tests": []}')
    done = generate(tmp_path, "-t", "none.json", "--include", "in.yml")
    assert done.code == 0, done.err
    (tmp_path / "out.yml").write_text(done.out)
    assert newest_parser_reads(tmp_path / "out.yml") == newest_parser_reads(tmp_path / "in.yml")
    assert agent_reads(tmp_path / "out.yml") == agent_reads(tmp_path / "in.yml")


@pytest.mark.parametrize("text", ["${{ x }}", "${X", "${X:bad}", "${_}", "${X+y}", "a ${X:-${{}"])
def test_what_we_refuse_to_interpolate_the_agent_refuses(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yml").write_text(yaml.safe_dump({"steps": [{"command": text}]}))
    assert buildkite.refused(text)
    for program in ([str(TOOLS / "pipeline-parse")], [str(AGENT), "pipeline", "upload", "--dry-run"]):
        words = ["--agent-access-token", "x"] if "upload" in program else []
        assert run([*program, *words, "p.yml"], cwd=tmp_path).code != 0


@pytest.mark.parametrize(
    "text", ["$$x ${X} ${X:-a} ${X-$Y} ${X:1:2}", "$(id) $1 $@ $ $_", "\\${{ x }} $${{ x }}"]
)
def test_what_we_pass_its_newest_parser_passes(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yml").write_text(yaml.safe_dump({"steps": [{"command": text}]}))
    assert not buildkite.refused(text)
    newest_parser_reads(tmp_path / "p.yml")


# Sessions


def test_the_session_prints_nothing_but_the_pipeline(tmp_path: Path) -> None:
    crate = native(
        tmp_path, options="platforms=['x86_64', 'aarch64'], pipeline_command='python3 /opt/nox.pyz'"
    )
    crate.with_git()
    done = crate.nox("-s", "pipeline")
    assert done.code == 0, done.text
    steps = {step["label"]: step for step in yaml.safe_load(done.out)["steps"]}
    assert steps["build_bzimage-x86_64"]["command"] == "python3 /opt/nox.pyz -s build_bzimage"
    assert crate.git("status", "--porcelain") == ""
    (tmp_path / "p.yml").write_text(done.out)
    assert [step["label"] for step in agent_reads(tmp_path / "p.yml")] == list(steps)
    assert_schema("vendor.buildkite", tmp_path / "p.yml")


def test_platforms_and_variables_count_for_sessions_too(tmp_path: Path) -> None:
    crate = new_crate(tmp_path).with_file(".platform", "aarch64\n")
    settings: dict[str, str | None] = {
        "TESTS_TO_SKIP": '["style", "doc"]',
        "TIMEOUTS_MIN": '{"unittests-gnu": 40}',
        "AARCH64_LINUX_AGENT_TAGS": '{"tests": ["build-gnu"], "cfg": {"queue": "arm"}}',
    }
    steps = {s["label"]: s for s in yaml.safe_load(crate.nox("-s", "pipeline", env=settings).out)["steps"]}
    assert {label for label in steps if not label.endswith("-aarch64")} == {"commit-format"}
    assert steps["unit-tests-aarch64"]["timeout_in_minutes"] == 40
    assert steps["build-gnu-aarch64"]["agents"] == {"queue": "arm"}

    crate.with_file(".platform", "\n")
    done = crate.nox("-s", "pipeline")
    assert (done.code, done.out) == (1, "")
    assert "the file names no platform" in done.err
    assert "--> .platform" in done.err


def test_an_option_that_the_session_does_not_know_is_named(tmp_path: Path) -> None:
    done = new_crate(tmp_path).nox("-s", "pipeline", "--", "--formt", "github")
    assert (done.code, done.out) == (1, "")
    assert "no option '--formt'" in done.err
    assert "did you mean '--format'?" in done.err


# A step that is really run, and a pipeline that is really uploaded


def test_a_step_runs_under_the_agent_with_the_crates_hook(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate")
    test = {"test_name": "boot", "command": 'grep -q kernel vmlinux && echo "booted for $$BUILDKITE_LABEL"'}
    crate.with_file("t.json", json.dumps({"tests": [test]}))
    hook = crate.directory / ".buildkite" / "hooks" / "post-checkout"
    crate.with_file(".buildkite/hooks/post-checkout", "#!/bin/bash\necho kernel > vmlinux\n")
    hook.chmod(0o755)
    crate.with_git()
    (tmp_path / "p.yml").write_text(generate(crate.directory, "-t", "t.json").out)
    (step,) = agent_reads(tmp_path / "p.yml")

    done = run(
        [
            *(
                str(AGENT),
                "bootstrap",
                "--job",
                "1",
                "--agent",
                "a",
                "--organization",
                "o",
                "--pipeline",
                "p",
            ),
            *("--pipeline-provider", "git", "--repository", crate.directory.as_uri(), "--branch", "main"),
            *("--commit", "HEAD", "--build-path", str(tmp_path / "builds"), "--bin-path", str(TOOLS)),
            *("--hooks-path", str(tmp_path), "--plugins-path", str(tmp_path), "--shell", "/bin/bash -e -c"),
            *("--phases", "checkout,command", "--command", step["command"]),
        ],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "BUILDKITE_LABEL": step["label"]},
    )
    assert done.code == 0, done.text
    assert "Running local post-checkout hook" in done.text
    assert "booted for boot" in done.text


class _Buildkite(http.server.ThreadingHTTPServer):
    """Buildkite's end of an upload: answers with `status` and keeps what came."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.status = status
        self.uploads: list[Any] = []


class _Request(http.server.BaseHTTPRequestHandler):
    server: _Buildkite

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.uploads.append(json.loads(body)["pipeline"])
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""


@pytest.mark.parametrize(("status", "code"), [(200, 0), (422, 1)])
def test_upload_hands_everything_to_the_agent_in_one_piece(tmp_path: Path, status: int, code: int) -> None:
    server = _Buildkite(status)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        (tmp_path / "t.json").write_text(
            json.dumps({"tests": [{"test_name": f"t{n}", "command": "echo $$PWD"} for n in range(3)]})
        )
        done = generate(
            tmp_path,
            *("-t", "t.json", "--upload"),
            env={
                "PATH": f"{TOOLS}:{os.environ['PATH']}",
                "BUILDKITE_AGENT_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "BUILDKITE_AGENT_ACCESS_TOKEN": "x",
                "BUILDKITE_JOB_ID": "1",
            },
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.code == code, done.text
    assert "Traceback" not in done.text
    assert len(server.uploads) == 1
    assert [step["command"] for step in server.uploads[0]["steps"]] == ["echo $PWD"] * 3


def test_a_wrong_pipeline_never_reaches_the_agent(tmp_path: Path) -> None:
    agent = tmp_path / "bin" / "buildkite-agent"
    agent.parent.mkdir()
    agent.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    agent.chmod(0o755)
    tests = [{"test_name": "good", "command": "x"}, {"test_name": "bad", "command": "echo ${{ x }}"}]
    (tmp_path / "t.json").write_text(json.dumps({"tests": tests}))
    done = generate(
        tmp_path, "-t", "t.json", "--upload", env={"PATH": f"{agent.parent}:{os.environ['PATH']}"}
    )
    assert (done.code, done.out) == (2, "")
    assert not (tmp_path / "called").exists()


def test_steps_of_a_pipeline_file_are_sessions(tmp_path: Path) -> None:
    crate = new_crate(tmp_path, options="pipeline_include='.buildkite/pipeline.yml'")
    crate.with_file(
        ".buildkite/pipeline.yml",
        "steps:\n- label: 'build: custom'\n  env: {A: 1e3}\n  command: ['echo A=$$A', 'test $$A = 1000']\n"
        "- wait\n",
    )
    assert "- build: custom -> Run the step of .buildkite/pipeline.yml." in crate.nox("-l").out
    done = crate.nox("-s", "build: custom")
    assert done.code == 0, done.text
    assert "A=1000\n" in done.out
    assert yaml.safe_load(crate.nox("-s", "pipeline").out)["steps"][-1] == "wait"


def test_soft_fail_of_a_pipeline_file_holds_locally(tmp_path: Path) -> None:
    crate = new_crate(tmp_path, options="pipeline_include='p.yml'")
    rules = {"all": "true", "one": "[{exit_status: 3}]", "other": "[{exit_status: 1}]", "none": "false"}
    steps = "".join(
        f"- {{label: {name}, command: exit 3, soft_fail: {rule}}}\n" for name, rule in rules.items()
    )
    crate.with_file("p.yml", f"steps:\n{steps}")
    assert {name: crate.nox("-s", name).code for name in rules} == {"all": 0, "one": 0, "other": 3, "none": 3}
    assert "warning: one: exit status 3; its soft_fail passes over that" in crate.nox("-s", "one").err


def test_a_custom_test_without_platform_is_one_step(tmp_path: Path) -> None:
    tests = [
        {"test_name": "any", "command": "true"},
        {"test_name": "some", "command": "true", "platform": ["x86_64", "aarch64"]},
    ]
    crate = new_crate(tmp_path, options="custom_tests='t.json'").with_file(
        "t.json", json.dumps({"tests": tests})
    )
    labels = [step["label"] for step in yaml.safe_load(crate.nox("-s", "pipeline").out)["steps"]]
    assert labels[-3:] == ["any", "some-x86_64", "some-aarch64"]


@pytest.mark.parametrize("options", ["pipeline_include='p.yml'", "custom_tests='t.json'"])
def test_a_pipeline_of_sessions_that_uploads_itself_is_refused(tmp_path: Path, options: str) -> None:
    command = "nox -s pipeline -- --upload"
    crate = new_crate(tmp_path, options=options)
    crate.with_file("p.yml", f"steps:\n- label: up\n  command: {command}\n")
    crate.with_file("t.json", json.dumps({"tests": [{"test_name": "up", "command": command}]}))
    done = crate.nox("-s", "pipeline")
    assert (done.code, done.out) == (1, "")
    assert "uploads the pipeline that it is part of" in done.err
    assert ("p.yml:3" if "p.yml" in options else "t.json:1, test 'up', key 'command'") in done.err


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ("{label: fmt, command: x}", "there is a session 'fmt' already"),
        ("{label: x}", "the step has no command"),
    ],
)
def test_a_pipeline_file_that_cannot_become_sessions(tmp_path: Path, step: str, what: str) -> None:
    crate = new_crate(tmp_path, options="pipeline_include='p.yml'").with_file("p.yml", f"steps:\n- {step}\n")
    done = crate.nox("-l")
    assert done.code == 2
    assert what in done.err
    assert "Traceback" not in done.err


def test_a_matrix_is_left_to_buildkite(tmp_path: Path) -> None:
    step = "{label: many, command: 'echo {{matrix}}', matrix: [a, b]}"
    crate = new_crate(tmp_path, options="pipeline_include='p.yml'").with_file("p.yml", f"steps:\n- {step}\n")
    done = crate.nox("-s", "many")
    assert done.code == 1
    assert "'many' has a matrix, which Buildkite expands" in done.err


def test_members_are_those_that_cargo_counts(tmp_path: Path) -> None:
    for name in ("ws-exclude", "ws-globs", "ws-root-package"):
        folder = tmp_path / name
        for manifest in (CORPUS / name / "repo").rglob("Cargo.toml"):
            place = folder / manifest.relative_to(CORPUS / name / "repo")
            (place.parent / "src").mkdir(parents=True, exist_ok=True)
            place.write_text(manifest.read_text())
            (place.parent / "src" / "lib.rs").touch()
        (folder / "t.json").write_text('{"tests": [{"test_name": "t", "command": "{crate_path}"}]}')
        ours = yaml.safe_load(generate(folder, "--workspace-selective", "-t", "t.json").out)["steps"]
        done = run(["cargo", "metadata", "--no-deps", "--offline", "--format-version=1"], cwd=folder)
        packages = json.loads(done.out)["packages"]
        directories = [os.path.relpath(Path(p["manifest_path"]).parent, folder) for p in packages]
        assert sorted(step["command"] for step in ours) == sorted(directories), name
