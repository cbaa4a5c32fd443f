"""What `init --buildkite` commits, run as an agent runs it: in an image without nox, step by step."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rustvmm_sessions import catalog
from rustvmm_sessions.container import job
from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.tools import find_program
from rustvmm_sessions.vendored import VENDORED
from tests.containers import IMAGE, podman
from tests.crates import REPOSITORY, CrateBuilder, new_crate, run
from tests.integration.gate.test_musl import DEBIANS_TARGET, TOOLCHAIN
from tests.integration.pipeline.test_tools import agent_reads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

pytestmark = pytest.mark.usefixtures("storage")

GATE = [s.name for s in catalog.STANDARD if "gate" in s.tags]
UPLOAD = {"TESTS_TO_SKIP": '["style"]', "BUILDKITE_BRANCH": "work"}
"""Variables of the build, as its pipeline's settings have them."""
NOXFILE = """\
# /// script
# dependencies = ["rustvmm-sessions[tools]", "nox"]
# ///
import nox
from rustvmm_sessions import register

crate = register({options}
    custom_tests="tests.json",
)


@crate.session(platforms=["x86_64"])
def own(session):
    crate.run(session, "sh", "-c", "echo own in $PWD of $HOME")
"""
TESTS = {"test_name": "boot", "command": "pwd; echo booted by $$0", "if_changed": "src/**"}
AGENT = """\
#!/bin/sh
case "$*" in
    "pipeline upload "*) cp "$3" /results/uploaded.yml ;;
    "annotate "*) echo "$*" >>/results/annotations; cat >/dev/null ;;
    *) exit 1 ;;
esac
"""
DRIVER = """\
import json, os, subprocess, sys
for each in json.load(sys.stdin):
    env = {**os.environ, **each["env"]}
    done = subprocess.run(each["argv"], cwd=each["cwd"], env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(json.dumps({"label": each["label"], "code": done.returncode, "text": done.stdout}), flush=True)
"""
"""Runs commands one after another: a container of its own for each would take a second each."""


def in_image(folder: Path, commands: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Run commands in the image, without a network, as root, and return how each ended by its label.

    `folder` has the checkouts; the host's Rust toolchain, cargo-audit and a program for buildkite-agent come
    along, and nothing else of the host.
    """
    (folder / "agent").write_text(AGENT)
    (folder / "agent").chmod(0o755)
    (folder / "driver.py").write_text(DRIVER)
    (folder / "commands.json").write_text(json.dumps(commands))
    (folder / "results").mkdir(exist_ok=True)
    rust = Path(Cargo(directory=REPOSITORY).rustc("--print", "sysroot").strip())
    audit = find_program("cargo-audit", "CARGO_AUDIT")
    assert audit
    volumes = [
        f"{folder / 'crate'}:/workdir",
        f"{folder / 'results'}:/results",
        f"{folder}:{folder}:ro",
        f"{folder / 'agent'}:/usr/bin/buildkite-agent:ro",
        f"{rust}:/root/toolchain:ro",
        f"{audit}:/usr/local/bin/cargo-audit:ro",
        *([f"{DEBIANS_TARGET}:{DEBIANS_TARGET}:ro"] if TOOLCHAIN else []),
    ]
    said = podman(
        *("run", "--rm", "--network=none", "--workdir=/workdir"),
        *(f"--volume={volume}" for volume in volumes),
        *("--env=PATH=/root/toolchain/bin:/usr/local/bin:/usr/bin:/bin", "--env=CARGO_NET_OFFLINE=true"),
        *(f"--env={name}={value}" for name, value in TOOLCHAIN.items()),
        *(IMAGE, "sh", "-c", f"python3 {folder}/driver.py <{folder}/commands.json"),
    )
    return {each["label"]: each for each in map(json.loads, said.splitlines())}


def moved(folder: Path, options: str) -> CrateBuilder:
    """A crate with sessions and tests of its own, a recorded coverage, and an upstream."""
    crate = new_crate(folder / "crate").with_file("tests.json", json.dumps({"tests": [TESTS]}))
    crate.with_file("noxfile.py", NOXFILE.format(options=options)).with_file("Cargo.lock", "version = 4\n")
    crate.with_file(".platform", "x86_64\n")
    recorded = run(["cargo", "generate-lockfile", "--offline"], cwd=crate.directory)
    assert recorded.code == 0, recorded.text
    recorded = crate.coverage("--profile=devel", env={"NOX_SCRIPT_MODE": "none"})
    assert recorded.code == 0, recorded.text
    shutil.rmtree(crate.directory / "target")
    return crate.with_git()


def on_branch(crate: CrateBuilder) -> CrateBuilder:
    """Let a commit be checked: one that is signed off, after what upstream has."""
    crate.git("clone", "--quiet", "--bare", ".", "../upstream.git")
    crate.git("checkout", "--quiet", "-b", "work")
    crate.git("commit", "--quiet", "--allow-empty", "--signoff", "--message", "Change nothing\n\nTo see it.")
    return crate


def advisories(folder: Path) -> None:
    (folder / "advisories" / "crates").mkdir(parents=True)
    run(["git", "init", "--quiet"], cwd=folder / "advisories")


def command(label: str, *argv: str, cwd: str = "/workdir", **env: str) -> dict[str, Any]:
    return {"label": label, "argv": argv, "cwd": cwd, "env": env}


def test_every_step_of_the_gate_passes_in_an_image_without_nox(tmp_path: Path) -> None:
    crate = moved(tmp_path, f'\n    pipeline_command="python3 {VENDORED}",')
    init = [sys.executable, "-m", "rustvmm_sessions.cli", "init", "--yes", "--buildkite", "--pytest"]
    outcome = run([*init, "--dependabot=none"], cwd=crate.directory)
    assert outcome.code == 0, outcome.text
    on_branch(crate.commit("move"))
    advisories(tmp_path)

    # The step that is written down, and what the agent makes of what it uploads.
    (bootstrap,) = yaml.safe_load((crate.directory / ".buildkite/pipeline.yml").read_text())["steps"]
    first = job.job(bootstrap, "sessions")
    uploaded = in_image(tmp_path, [command("sessions", *first.command, **first.variables, **UPLOAD)])
    assert uploaded["sessions"]["code"] == 0, uploaded["sessions"]["text"]
    text = (tmp_path / "results" / "uploaded.yml").read_text()
    assert text == crate.nox("-s", "pipeline", env={**UPLOAD}).out
    steps = {step["label"]: step for step in agent_reads(tmp_path / "results" / "uploaded.yml")}
    assert "fmt" not in steps

    build = {
        "BUILDKITE": "true",
        "BUILDKITE_REPO": f"file://{tmp_path}/upstream.git",
        "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main",
        "RUSTVMM_ADVISORY_DB": str(tmp_path / "advisories"),
    }
    (tmp_path / "crate" / "p.yml").write_text(crate.nox("-s", "pipeline").out)
    steps = {step["label"]: step for step in agent_reads(tmp_path / "crate" / "p.yml")}
    (tmp_path / "crate" / "p.yml").unlink()
    jobs = {label: job.job(step, label) for label, step in steps.items()}
    assert {*steps} == {*(name if name in steps else f"{name}-x86_64" for name in GATE), "own-x86_64", "boot"}
    assert all(each.command[:3] == ("/bin/sh", "-e", "-c") for each in jobs.values())
    pytest_way = command("pytest", "pytest", "--profile=devel", "tests/test_coverage.py", "-rA")
    ended = in_image(
        tmp_path,
        [
            *(
                command(label, *each.command, **each.variables, **build, BUILDKITE_LABEL=label)
                for label, each in jobs.items()
            ),
            pytest_way,
        ],
    )

    for label, each in ended.items():
        assert each["code"] == 0, f"{label}: {each['text']}"
    assert "own in /workdir of /root\n" in ended["own-x86_64"]["text"]
    assert "/workdir\nbooted by sh\n" in ended["boot"]["text"]
    assert "1 commit message as it should be." in ended["commit-format"]["text"]
    assert "1 passed" in ended["pytest"]["text"]
    kept = crate.directory / catalog.RESULTS
    results = {path.stem: json.loads(path.read_text())["result"] for path in kept.glob("*.json")}
    assert {name: results.get(name) for name in [*GATE, "own"]} == dict.fromkeys([*GATE, "own"], "passed")
    assert [*kept.glob("coverage/**/index.html")]
    annotated = (tmp_path / "results" / "annotations").read_text()
    for label in steps:
        session = label.removesuffix("-x86_64")
        assert f"annotate --context={label}/{session} --style=success" in annotated
    assert crate.git("status", "--porcelain") == ""


def test_the_repository_of_this_project_as_a_submodule_runs_the_steps(tmp_path: Path) -> None:
    """The recipe of docs/buildkite.md, from a clone of this very tree."""
    crate = moved(tmp_path, '\n    pipeline_command="python3 rustvmm-sessions/nox",')
    ours = CrateBuilder(tmp_path / "ours")
    listed = CrateBuilder(REPOSITORY).git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file() and not name.startswith(("tests/", "samples/", "docs/")):
            (ours.directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, ours.directory / name)
    ours.with_git()
    add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(ours.directory)]
    crate.git(*add, "rustvmm-sessions")
    on_branch(crate.commit("Add the sessions"))

    ended = in_image(
        tmp_path,
        [
            command("upload", "sh", "-ec", "python3 rustvmm-sessions/nox -s pipeline -- --upload"),
            command("steps", "sh", "-ec", "python3 rustvmm-sessions/nox -s fmt coverage own boot"),
            command(
                "pytest",
                *("pytest", "--profile=devel"),
                "rustvmm-sessions/rustvmm_sessions/integration_tests/test_coverage.py",
            ),
        ],
    )

    for label, each in ended.items():
        assert each["code"] == 0, f"{label}: {each['text']}"
    commands = [
        s["command"] for s in yaml.safe_load((tmp_path / "results/uploaded.yml").read_text())["steps"]
    ]
    assert "python3 rustvmm-sessions/nox -s clippy" in commands
    assert "1 passed" in ended["pytest"]["text"]
    assert crate.git("status", "--porcelain") == ""
