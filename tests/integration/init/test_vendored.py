"""What init keeps in a repository for Buildkite's agents, whose image has no nox."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
import yaml

from rustvmm_sessions import catalog, zipapp
from rustvmm_sessions.pipeline.buildkite import DOCKER_PLUGIN
from rustvmm_sessions.vendored import DIGEST, RENEW, VENDORED
from tests.crates import CrateBuilder, Outcome, run
from tests.integration.init.repositories import init, written

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = "/usr/bin/python3"
"""Debian's Python, which has neither nox nor this library."""


@pytest.fixture
def moved(crate: CrateBuilder) -> CrateBuilder:
    """A crate whose repository keeps the zipapp."""
    outcome = init(crate, "--yes", "--buildkite", "--dependabot=none")
    assert outcome.code == 0, outcome.text
    return crate.commit("move")


def other_version(crate: CrateBuilder, version: str) -> None:
    """Put another version in the place of the crate's zipapp and of the file beside it."""
    path = crate.directory / VENDORED
    with zipfile.ZipFile(path) as opened:
        parts = {name: opened.read(name) for name in opened.namelist()}
    with zipfile.ZipFile(path, "w") as made:
        for name, data in parts.items():
            text = data.replace(b"\nVersion: 1.0.0\n", f"\nVersion: {version}\n".encode())
            made.writestr(name, text if name.startswith("rustvmm_sessions-") else data)
    beside = subprocess.run(
        ["sha256sum", path.name], cwd=path.parent, capture_output=True, text=True, check=True
    )
    crate.with_file(DIGEST, beside.stdout)


def bootstrap(crate: CrateBuilder) -> dict[str, object]:
    (step,) = yaml.safe_load((crate.directory / ".buildkite/pipeline.yml").read_text())["steps"]
    return dict(step)


def upload(crate: CrateBuilder, agent: str, **env: str) -> Outcome:
    """Run the step that uploads, in a Python that has nothing, with a program for buildkite-agent."""
    program = crate.directory.parent / "bin" / "buildkite-agent"
    program.parent.mkdir(exist_ok=True)
    program.write_text(agent)
    program.chmod(0o755)
    command = str(bootstrap(crate)["command"]).replace("python3", f"{PYTHON} -S", 1)
    return run(
        ["/bin/sh", "-e", "-c", command],
        cwd=crate.directory,
        env={"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": None, **env},
    )


def test_the_repository_keeps_the_zipapp_and_its_steps_run_it(crate: CrateBuilder) -> None:
    outcome = init(crate, "--yes", "--buildkite", "--dependabot=none")

    assert outcome.code == 0, outcome.text
    assert written(crate) == [".buildkite/pipeline.yml", VENDORED, DIGEST, ".platform", "noxfile.py"]
    assert (crate.directory / VENDORED).read_bytes() == zipapp.build()
    assert (
        run(
            ["sha256sum", "--check", f"{VENDORED}.sha256".rpartition("/")[2]],
            cwd=crate.directory / ".buildkite",
        ).code
        == 0
    )
    beside = (crate.directory / DIGEST).read_text()
    assert "rustvmm-sessions==1.0.0" in beside
    assert f"# {RENEW}\n" in beside
    noxfile = (crate.directory / "noxfile.py").read_text()
    assert f'register(pipeline_command="python3 {VENDORED}")' in noxfile
    steps = yaml.safe_load(crate.nox("-s", "pipeline").out)["steps"]
    assert all(step["command"].startswith(f"python3 {VENDORED} -s ") for step in steps)
    for again in ([], ["--buildkite"]):
        assert init(crate, "--yes", "--dependabot=none", *again).out.startswith("Nothing to write.\n")


def test_the_step_that_uploads_runs_in_the_image_with_the_agent_s_program(moved: CrateBuilder) -> None:
    step = bootstrap(moved)

    assert step["command"] == f"python3 {VENDORED} -s pipeline -- --upload"
    options = {
        "image": catalog.IMAGE,
        "always-pull": True,
        "mount-buildkite-agent": True,
        "propagate-environment": True,
    }
    assert step["plugins"] == [{DOCKER_PLUGIN: options}]


def test_what_is_uploaded_is_what_the_session_prints_from_the_committed_tree_alone(
    moved: CrateBuilder, tmp_path: Path
) -> None:
    clone = CrateBuilder(tmp_path / "clone")
    moved.git("clone", "--quiet", ".", str(clone.directory))
    variables = {"TESTS_TO_SKIP": '["doc"]'}  # of the pipeline's settings

    outcome = upload(clone, '#!/bin/sh\ncat "$3"\n', **variables)

    assert outcome.code == 0, outcome.text
    assert outcome.out == moved.nox("-s", "pipeline", env={**variables}).out
    assert "label: coverage-x86_64" in outcome.out
    assert "label: doc" not in outcome.out
    assert clone.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("agent", "env", "said"),
    [
        ("#!/bin/sh\necho refused >&2; exit 3\n", {}, "/bin/buildkite-agent pipeline upload "),
        (
            "#!/bin/sh\ntouch called\n",
            {"TESTS_TO_SKIP": '["nothing-like-it"]'},
            "error: no test has the name 'nothing-like-it'",
        ),
        (
            "#!/bin/sh\ntouch called\n",
            {"PATH": "/usr/bin:/bin"},
            "error: there is no buildkite-agent that could take the pipeline",
        ),
    ],
    ids=["the agent refuses", "a wrong variable", "no agent"],
)
def test_an_upload_that_fails_is_one_message_and_fails_the_step(
    moved: CrateBuilder, agent: str, env: dict[str, str], said: str
) -> None:
    outcome = upload(moved, agent, **env)

    assert outcome.code == 1, outcome.text
    assert outcome.err.count("error: ") == 1, outcome.err
    assert said in outcome.err
    assert "Traceback" not in outcome.text
    assert not (moved.directory / "called").exists()


def test_a_pipeline_without_a_step_is_not_uploaded(moved: CrateBuilder) -> None:
    sessions = [s.name for s in catalog.STANDARD if catalog.HELPERS not in s.tags]
    moved.with_noxfile(f"skip={sessions}")

    outcome = upload(moved, "#!/bin/sh\ntouch called\n")

    assert outcome.code == 1
    assert "error: the pipeline has no step, so nothing is uploaded\n" in outcome.err
    assert not (moved.directory / "called").exists()


def test_an_image_that_brings_nox_needs_no_zipapp(crate: CrateBuilder) -> None:
    outcome = init(crate, "--yes", "--buildkite", "--no-vendor")

    assert not (crate.directory / VENDORED).exists()
    assert bootstrap(crate)["command"] == "nox -s pipeline -- --upload"
    assert "crate = register()\n" in (crate.directory / "noxfile.py").read_text()
    assert f"Let the image of the steps bring nox and rustvmm-sessions: {catalog.IMAGE} has" in outcome.out


def test_one_that_is_there_is_kept_until_it_is_named_and_renewed_with_the_file_beside(
    moved: CrateBuilder,
) -> None:
    other_version(moved, "0.9.0")
    before = (moved.directory / VENDORED).read_bytes(), (moved.directory / DIGEST).read_text()

    kept = init(moved, "--yes", "--buildkite", "--dependabot=none").out

    assert f"Kept: {VENDORED} is not what it would be; `--replace {VENDORED}` makes it so:" in kept
    assert "\n-rustvmm-sessions 0.9.0, " in kept
    assert "\n+rustvmm-sessions 1.0.0, " in kept
    assert ((moved.directory / VENDORED).read_bytes(), (moved.directory / DIGEST).read_text()) == before
    init(moved, "--yes", "--buildkite", "--dependabot=none", f"--replace={VENDORED}")
    assert written(moved) == []

    other_version(moved, "0.9.0")
    assert (
        run([sys.executable, "-m", "rustvmm_sessions.cli", *RENEW.split()[1:]], cwd=moved.directory).code == 0
    )
    assert moved.git("diff", "HEAD", "--stat") == ""


def test_another_version_than_what_runs_or_is_asked_for_is_said(moved: CrateBuilder) -> None:
    ask = {"NOX_SCRIPT_MODE": "none"}  # else nox makes an environment with what is asked for

    def said(name: str) -> Outcome:
        options = ("--", "--check=.buildkite/pipeline.yml") if name == "pipeline" else ()
        return moved.nox("-s", name, *options, env={**ask})

    assert "renew it" not in said("pipeline").text + said("doctor").text

    other_version(moved, "1.2.0")
    runs = said("pipeline")
    assert runs.code == 0
    assert f"{VENDORED}: its version is 1.2.0, and this is 1.0.0\nhelp: renew it: `{RENEW}`" in runs.err
    assert "its version is 1.2.0, and this is 1.0.0; renew it" in said("doctor").out

    noxfile = (moved.directory / "noxfile.py").read_text()
    moved.with_file("noxfile.py", noxfile.replace("[tools]", "[tools]<1.2"))
    asked = said("pipeline")
    assert asked.code == 1
    assert "its version is 1.2.0, and the noxfile asks for rustvmm-sessions[tools]<1.2\n" in asked.err
    assert "the noxfile asks for rustvmm-sessions[tools]<1.2; renew it" in said("doctor").out

    moved.with_file("noxfile.py", noxfile)
    moved.with_file(DIGEST, f"{'0' * 64}  rustvmm-sessions.pyz\n")
    assert f"its SHA-256 is not that in {DIGEST}\n" in said("pipeline").err
    moved.with_file(VENDORED, "no zip")
    assert "it is no zipapp of rustvmm-sessions\n" in said("pipeline").err


def test_a_noxfile_that_is_there_is_told_what_its_steps_have_to_run(crate: CrateBuilder) -> None:
    crate.with_noxfile().commit("noxfile")

    outcome = init(crate, "--yes", "--buildkite")

    assert f'register(pipeline_command="python3 {VENDORED}")' in outcome.out.partition("Left to do")[2]


def test_a_zipapp_that_git_ignores_is_said(crate: CrateBuilder) -> None:
    crate.with_file(".gitignore", "*.pyz\n").commit("ignore")

    outcome = init(crate, "--yes", "--buildkite")

    assert (
        f"warning: git ignores {VENDORED}; the agents need it: `git add --force -- {VENDORED}`" in outcome.err
    )
