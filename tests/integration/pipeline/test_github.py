"""GitHub's workflow and action: their judges, and each of their shell steps run as a runner runs it.

.ci/pipeline-tools provides the judges: the schemas, actionlint and zizmor. The steps get GitHub's files and
variables; pipx, rustup and sudo are recorded, nox and cargo are real.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rustvmm_sessions.pipeline import github
from tests.crates import LIB, MANIFEST, REPOSITORY, UPSTREAM_VARIABLES, CrateBuilder, Outcome, new_crate, run

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
TOOLS = CACHE / "rustvmm-sessions" / "pipeline-tools"
GATE = ".github/workflows/gate.yml"
PIPX = """\
#!/bin/sh
echo pipx "$@" >> "$RECORD"
if [ "$1" = run ]; then shift 3; exec "$@"; fi
"""
RECORDED = '#!/bin/sh\necho "${0##*/}" "$@" >> "$RECORD"\n'
UNSET: dict[str, str | None] = dict.fromkeys(
    (*UPSTREAM_VARIABLES, "GITHUB_EVENT_NAME", "TESTS_TO_SKIP", "TIMEOUTS_MIN", "DOCKER_PLUGIN_CONFIG")
)


@dataclass(frozen=True, kw_only=True)
class Runner:
    """A runner's checkout and its files.

    Attributes:
        crate: The checkout.
        temp: RUNNER_TEMP; GitHub's files are there, too.
        env: Variables of the job.
    """

    crate: CrateBuilder
    temp: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, step: Mapping[str, Any], contexts: Mapping[str, str], job: Mapping[str, Any]) -> Outcome:
        """Run a shell step as GitHub does, expressions filled in from contexts."""

        def filled(text: object) -> str:
            return re.sub(r"\${{ (.*?) }}", lambda found: contexts[found[1]], str(text))

        bin_folder = self.temp / "bin"
        bin_folder.mkdir(parents=True, exist_ok=True)
        for name, text in {"pipx": PIPX, "rustup": RECORDED, "sudo": RECORDED}.items():
            (bin_folder / name).write_text(text)
            (bin_folder / name).chmod(0o755)
        script = self.temp / "step.sh"
        script.write_text(step["run"])
        shell = (
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"] if "shell" in step else ["bash", "-e"]
        )
        path = f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        given = {**job.get("env", {}), **step.get("env", {})}
        variables = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.crate.directory),
            "RUNNER_TEMP": str(self.temp),
            "RECORD": str(self.temp / "record"),
            "PATH": path,
            **{f"GITHUB_{name}": str(self.temp / name) for name in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY")},
            **self.env,
            **{name: filled(value) for name, value in given.items()},
        }
        folder = self.crate.directory / filled(step.get("working-directory", "."))
        return run([*shell, str(script)], cwd=folder, env={**UNSET, **variables})

    @property
    def recorded(self) -> list[str]:
        return (self.temp / "record").read_text().splitlines()

    def outputs(self) -> dict[str, str]:
        lines = (self.temp / "OUTPUT").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


def jobs_of(crate: CrateBuilder) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load((crate.directory / GATE).read_text())["jobs"]
    return jobs


def shell_step(job: Mapping[str, Any], **known: str) -> dict[str, Any]:
    (step,) = (s for s in job["steps"] if "run" in s and known.items() <= s.items())
    found: dict[str, Any] = step
    return found


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    """A workspace of two members, one of which needs the other, with the workflow."""
    crate = CrateBuilder(tmp_path_factory.mktemp("origin") / "ws").with_noxfile("members=True")
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["base", "top"]\nresolver = "2"\n')
    for name in ("base", "top"):
        crate.with_file(f"{name}/Cargo.toml", MANIFEST.format(name=name).replace("[workspace]", ""))
        crate.with_file(f"{name}/src/lib.rs", LIB)
    crate.with_file(
        "top/Cargo.toml",
        f'{(crate.directory / "top/Cargo.toml").read_text()}[dependencies]\nbase = {{ path = "../base" }}\n',
    )
    done = crate.nox("-s", "pipeline", "--", "--format", "github", "--output", GATE, env=UNSET)
    assert done.code == 0, done.text
    return crate.with_git()


@pytest.fixture
def runner(origin: CrateBuilder, tmp_path: Path) -> Runner:
    """A checkout as actions/checkout leaves it: a detached head, and the branches of the remote."""
    crate = CrateBuilder(tmp_path / "checkout")
    origin.git("clone", "--quiet", "--no-checkout", f"file://{origin.directory}", str(crate.directory))
    crate.git("checkout", "--quiet", "--detach", "origin/main")
    crate.git("branch", "--quiet", "--delete", "--force", "main")
    return Runner(crate=crate, temp=tmp_path / "temp")


def planned(runner: Runner, **env: str) -> list[str]:
    """Run the first job; return the names of the jobs that it asks for."""
    step = shell_step(jobs_of(runner.crate)["plan"], id="nox")
    runner = Runner(crate=runner.crate, temp=runner.temp, env=env)
    (runner.temp / "OUTPUT").unlink(missing_ok=True)
    done = runner.run(step, {}, {})
    assert done.code == 0, done.text
    return [job["name"] for job in json.loads(runner.outputs()["matrix"])["include"]]


PULL_REQUEST = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main"}


def test_a_pull_request_has_jobs_for_what_changed(runner: Runner) -> None:
    everything = planned(runner, GITHUB_EVENT_NAME="push")
    once = [name for name in everything if ": " not in name]
    assert {"base: clippy-x86_64", "top: clippy-aarch64", "commit-format"} <= {*everything}
    assert planned(runner, **PULL_REQUEST) == once  # nothing changed

    runner.crate.with_file("top/src/lib.rs", f"{LIB}// more\n").commit("top")
    assert planned(runner, **PULL_REQUEST) == [n for n in everything if n in once or n.startswith("top: ")]

    runner.crate.with_file("base/src/lib.rs", f"{LIB}// more\n").commit("base")
    assert planned(runner, **PULL_REQUEST) == everything
    assert planned(runner, GITHUB_EVENT_NAME="merge_group") == everything
    assert runner.recorded[0].startswith("pipx run --spec rustvmm-sessions[tools] nox -s pipeline -- ")


def test_a_plan_that_fails_has_no_matrix(runner: Runner) -> None:
    step = shell_step(jobs_of(runner.crate)["plan"], id="nox")
    runner.crate.with_file("noxfile.py", "import nothing_like_it\n")
    done = runner.run(step, {}, {})
    assert done.code != 0
    assert not (runner.temp / "OUTPUT").exists()


def test_a_checkout_of_one_commit_is_refused_on_a_pull_request(origin: CrateBuilder, tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path)
    crate.git("init", "--quiet")
    crate.git("remote", "add", "origin", f"file://{origin.directory}")
    commit = origin.git("rev-parse", "HEAD").strip()
    crate.git("fetch", "--quiet", "--depth=1", "origin", f"+{commit}:refs/remotes/pull/1/merge")
    crate.git("checkout", "--quiet", "--detach", "refs/remotes/pull/1/merge")
    asked = ("-s", "pipeline", "--", "--format", "github-matrix")
    done = crate.nox(*asked, env={**UNSET, **PULL_REQUEST})
    assert (done.code, done.out) == (1, "")
    assert "this clone is shallow" in done.err
    assert "git fetch --unshallow" in done.err
    assert crate.nox(*asked, env=UNSET).code == 0


def test_the_steps_of_a_job(runner: Runner) -> None:
    planned(runner, GITHUB_EVENT_NAME="push")
    matrix = json.loads(runner.outputs()["matrix"])["include"]
    (entry,) = (job for job in matrix if job["name"] == "base: coverage-x86_64")
    session = jobs_of(runner.crate)["session"]
    contexts = {f"matrix.{name}": str(value) for name, value in entry.items()}
    contexts["runner.temp"] = str(runner.temp)
    device = str(runner.temp / "device")
    contexts |= {"matrix.devices": f"{device} /dev/none", "matrix.targets": "a-unknown-linux-musl"}
    (runner.temp / "device").touch()

    tools = runner.run(shell_step(session, id="tools"), contexts, session)
    assert tools.code == 0, tools.text
    assert re.fullmatch(r"[0-9a-f]{16}", runner.outputs()["rustc"])
    assert runner.recorded[1:] == [
        "rustup show active-toolchain",
        "rustup component add llvm-tools",
        "rustup target add a-unknown-linux-musl",
        f"sudo chmod a+rw {device}",
        "pipx install --quiet --include-deps rustvmm-sessions[tools]",
    ]

    step = shell_step(session, run='bash -e -c "$COMMAND"')
    runner.crate.with_file("base/tests/coverage", "88.9")
    done = runner.run(step, contexts, session)
    assert done.code == 0, done.text
    assert (runner.temp / "results" / "coverage" / "index.html").is_file()
    assert runner.run(step, {**contexts, "matrix.command": "exit 3\ntrue"}, session).code == 3


def test_a_job_of_the_hook_runs_it_first(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate", options="skip=['audit']")
    crate.with_file(".buildkite/hooks/post-checkout", 'echo "hook in $BUILDKITE_BUILD_CHECKOUT_PATH"\n')
    assert crate.nox("-s", "pipeline", "--", "--format=github", f"--output={GATE}", env=UNSET).code == 0
    runner = Runner(crate=crate.with_git(), temp=tmp_path / "temp")
    planned(runner)
    entry = json.loads(runner.outputs()["matrix"])["include"][0]
    contexts = {"matrix.command": entry["command"], "runner.temp": str(runner.temp)}
    contexts |= {f"matrix.{name}": "" for name in ("components", "targets", "devices")}
    session = jobs_of(crate)["session"]
    done = runner.run(shell_step(session, run='bash -e -c "$COMMAND"'), contexts, session)
    assert done.code == 0, done.text
    assert done.out.startswith(f"hook in {crate.directory}\n")


@pytest.mark.parametrize(("commands", "code"), [(("true", "true"), 0), (("false", "true"), 1)])
def test_a_job_of_several_sessions_runs_them_all(
    tmp_path: Path, commands: tuple[str, ...], code: int
) -> None:
    jobs = [
        {"name": "", "id": "", "platform": "x86_64", "soft_fail": False, "minutes": 1, "fetch_depth": 1}
        | {"command": f"echo {n}\n{command}", "components": "", "targets": "", "devices": ""}
        for n, command in enumerate(commands)
    ]
    other, job = github._joined({"it-s-x86_64": {"name": "other"}}, {"it's": jobs}).values()
    assert (other["name"], job["id"]) == ("other", "it-s-x86_64-2")
    done = run(["bash", "-e", "-c", job["command"]], cwd=tmp_path)
    assert (done.code, done.out) == (code, "0\n1\n")


def test_nothing_to_do_is_no_failure(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate")
    own = '@crate.session(changed=["src/**"], platforms=["x86_64"])\ndef mine(session):\n    """Mine."""\n'
    skipped = "import nox\nfrom rustvmm_sessions import catalog, register\n\n"
    skipped += "crate = register(skip=[s.name for s in catalog.STANDARD if s.name != 'pipeline'])\n\n\n"
    crate.with_file("noxfile.py", skipped + own)
    assert crate.nox("-s", "pipeline", "--", "--format=github", f"--output={GATE}", env=UNSET).code == 0
    crate.with_git().git("update-ref", "refs/remotes/origin/main", "HEAD")
    crate.git("remote", "add", "origin", "https://example.com/x")
    crate.with_file("README.md", "read me\n").commit("readme")
    runner = Runner(crate=crate, temp=tmp_path / "temp")
    assert planned(runner, **PULL_REQUEST) == []
    assert gate(runner, "success", "skipped", runner.outputs()["matrix"]) == 0
    assert planned(runner) == ["mine-x86_64"]
    assert gate(runner, "success", "skipped", runner.outputs()["matrix"]) == 1


def gate(runner: Runner, plan: str, session: str, matrix: str) -> int:
    """Return how the last job ends."""
    contexts = {
        "needs.plan.result": plan,
        "needs.session.result": session,
        "needs.plan.outputs.matrix": matrix,
    }
    job = jobs_of(runner.crate)["gate"]
    return runner.run(shell_step(job), contexts, job).code


@pytest.mark.parametrize("result", ["success", "failure", "cancelled", "skipped"])
def test_the_gate_passes_where_all_did(runner: Runner, result: str) -> None:
    one = '{"include":[{"name":"x"}]}'
    assert gate(runner, "success", result, one) == (0 if result == "success" else 1)
    assert gate(runner, result, "skipped", "") == 1
    assert gate(runner, result, "success", one) == (0 if result == "success" else 1)


# The action


def action_steps() -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = yaml.safe_load((REPOSITORY / "action.yml").read_text())["runs"]["steps"]
    return steps


def test_the_steps_of_the_action(tmp_path: Path) -> None:
    echo = '@nox.session\ndef show(session):\n    print(session.posargs, os.environ.get("RUSTVMM_RESULTS"))\n'
    setup = '@nox.session\ndef setup(session):\n    print("all is there")\n'
    crate = CrateBuilder(tmp_path / "crate")
    crate.with_file("a b/noxfile.py", f"import nox, os\n\n\n{echo}\n\n{setup}")
    runner = Runner(crate=crate, temp=tmp_path / "temp", env={"GITHUB_ACTION_PATH": "/a/b"})
    install, tools, session = action_steps()
    inputs = {"inputs.session": "show", "inputs.args": "--x 'a b' $(id)", "inputs.results": ""}
    inputs["inputs.working-directory"] = "a b"

    assert runner.run(install, inputs, {}).code == 0
    assert runner.recorded == ["pipx install --quiet --include-deps /a/b[tools]"]
    done = runner.run(session, inputs, {})
    assert done.code == 0, done.text
    assert "['--x', 'a b', '$(id)'] None\n" in done.out
    plain = runner.run(session, {**inputs, "inputs.args": "", "inputs.results": "found"}, {})
    assert "[] found\n" in plain.out
    assert runner.run(session, {**inputs, "inputs.session": "other"}, {}).code != 0

    done = runner.run(tools, inputs, {})
    assert done.code == 0, done.text
    assert done.out == "all is there\n"
    assert runner.recorded[1:] == ["rustup show active-toolchain"]


# The judges


def assert_schema(name: str, file: Path) -> None:
    checker = TOOLS / "venv" / "bin" / "check-jsonschema"
    done = run([str(checker), "--builtin-schema", name, str(file)], cwd=TOOLS)
    assert done.code == 0, done.text


def assert_workflow(folder: Path) -> None:
    assert (TOOLS / "actionlint").exists(), "the tools are missing: run .ci/pipeline-tools"
    assert_schema("vendor.github-workflows", folder / GATE)
    done = run([str(TOOLS / "actionlint"), str(folder / GATE)], cwd=folder)
    assert done.code == 0, done.text
    assert_safe(folder / GATE)


def assert_safe(file: Path) -> None:
    zizmor = TOOLS / "venv" / "bin" / "zizmor"
    done = run([str(zizmor), "--offline", "--persona", "auditor", str(file)], cwd=file.parent)
    assert done.code == 0, done.text


def test_the_workflow_passes_its_judges(origin: CrateBuilder, tmp_path: Path) -> None:
    assert_workflow(origin.directory)
    below = new_crate(tmp_path / "a crate")
    CrateBuilder(tmp_path).with_git()
    sub = '[submodule "x"]\n\tpath = x\n\turl = https://example.com/x\n'
    CrateBuilder(tmp_path).with_file(".gitmodules", sub)
    done = below.nox("-s", "pipeline", "--", "--format=github", f"--output=../{GATE}", env=UNSET)
    assert done.code == 0, done.text
    assert_workflow(tmp_path)
    assert "nox -f 'a crate/noxfile.py' -s pipeline" in (tmp_path / GATE).read_text()


def test_the_workflow_of_a_description_passes_its_judges(tmp_path: Path) -> None:
    tests = [
        {
            "test_name": "kvm: \"tests\" 'x' ${{ y }}".replace("${{", "$${{"),
            "command": "echo $$HOME \"$$(id)\" 'it'\ncargo test --target {target_platform}-unknown-linux-gnu",
            "platform": ["x86_64", "aarch64", "riscv64"],
            "docker_plugin": {"devices": ["/dev/kvm"], "privileged": True, "environment": ["A=b c", "CI"]},
            "soft_fail": True,
        },
        {"test_name": "style", "command": ["cargo fmt", "true"]},
    ]
    (tmp_path / "t.json").write_text(json.dumps({"tests": tests}))
    (tmp_path / ".platform").write_text("x86_64\naarch64\nriscv64\n")
    command = [sys.executable, "-m", "rustvmm_sessions.cli", "pipeline", "-t", "t.json"]
    done = run([*command, "--format", "github", "--output", GATE], cwd=tmp_path, env=UNSET)
    assert done.code == 0, done.text
    assert_workflow(tmp_path)
    matrix = json.loads(run([*command, "--format", "github-matrix"], cwd=tmp_path, env=UNSET).out)
    kvm, _, style = matrix["include"]
    assert kvm["name"] == "kvm: \"tests\" 'x' ${{ y }}-x86_64"
    assert kvm["command"].startswith("docker run --rm --workdir=/workdir --privileged --device=/dev/kvm ")
    assert style["components"] == style["targets"] == ""


def test_the_action_passes_its_judges() -> None:
    assert_schema("vendor.github-actions", REPOSITORY / "action.yml")
    assert_safe(REPOSITORY / "action.yml")
