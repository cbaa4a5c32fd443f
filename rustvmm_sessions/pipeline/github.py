"""GitHub's rendering of a pipeline: one workflow, a matrix over sessions and platforms."""

from __future__ import annotations

import contextlib
import math
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.documents import read_yaml, write_yaml
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.model import interpolated, tolerated_by
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rustvmm_sessions.pipeline.model import Pipeline, Step

ACTIONS = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "actions/setup-python": ("a26af69be951a213d495a4c3e4e4022e16d87065", "v5.6.0"),
    "actions/cache": ("5a3ec84eff668545956fd18022155c47e93e2684", "v4.2.3"),
    "docker/setup-qemu-action": ("29109295f81e9208d7d86ff1c6c12d2833863392", "v3.6.0"),
}
"""The actions used, by commit: a tag can be moved."""

RUNNERS = {
    "": "ubuntu-24.04",
    catalog.X86_64: "ubuntu-24.04",
    catalog.AARCH64: "ubuntu-24.04-arm",
    catalog.RISCV64: "ubuntu-24.04",
}
EMULATED_IMAGE = "docker.io/library/rust:1-trixie"
"""Where riscv64 sessions run, under QEMU."""
EMULATION_SLOWDOWN = 4
MAX_JOBS = 256
"""GitHub's limit on a matrix."""
DEFAULT_BRANCHES = ("main", "master")
"""The branches that a workflow is for where the repository's own default branch is not known."""

_PACKAGES = "nox 'rustvmm-sessions[tools]'"
_KEPT = frozenset(("soft_fail", "skip"))
_PIN = re.compile(
    r"(?P<before>\buses: *[\"']?)(?P<pin>(?P<action>[\w./-]+)@(?P<reference>[\w./-]+)"
    r"(?:[ \t]+# *(?P<version>\S+))?)"
)
_HOOK = ".buildkite/hooks/post-checkout"
_HAS_KVM = "matrix.platform != 'aarch64'"

_KVM = """\
echo 'KERNEL=="kvm", GROUP="kvm", MODE="0666", OPTIONS+="static_node=kvm"' \\
  | sudo tee /etc/udev/rules.d/99-kvm.rules
sudo udevadm control --reload-rules
sudo udevadm trigger --name-match=kvm
"""
_TOOLCHAIN = """\
rustup show active-toolchain || rustup toolchain install
echo "toolchain=$(rustc -vV | sha256sum | cut -c 1-16)" >> "$GITHUB_OUTPUT"
"""
_COVERAGE_SUMMARY = """\
import json, os, pathlib

path = pathlib.Path(os.environ["COVERAGE"])
if path.exists():
    outcome = json.loads(path.read_text())
    lines, recorded = outcome["lines"], outcome["recorded"]
    text = f"{lines['covered']} of {lines['count']} lines, {lines['percent']} %"
    known = recorded["percent"] is not None
    text += f"; {outcome['verdict']}, {recorded['source']} has {recorded['percent']} %" if known else ""
    escape = {ord(c): f"%{ord(c):02X}" for c in "%\\r\\n:,"}
    print(f"::{'notice' if outcome['passed'] else 'error'} title=coverage::{text}")
    for unstable in outcome["unstable"]:
        file = unstable["path"].translate(escape)
        print(f"::warning file={file},line={unstable['line']}::only some runs reach this line")
    rows = [(f["count"] - f["covered"], f["path"], f["count"]) for f in outcome["files"]]
    with open(os.environ["GITHUB_STEP_SUMMARY"], "a") as summary:
        print("### Coverage", "", text, "", sep="\\n", file=summary)
        print("| file | lines not covered | lines |", "|---|---|---|", sep="\\n", file=summary)
        for missed, name, count in sorted(rows, key=lambda row: (-row[0], row[1])):
            print(f"| `{name}` | {missed} | {count} |", file=summary)
"""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What a workflow needs to know of the repository.

    Attributes:
        branches: Its branches on whose pushes the sessions run.
        submodules: Whether they need its submodules.
        workflow: The workflow that it has; empty for none.
    """

    branches: tuple[str, ...] = DEFAULT_BRANCHES
    submodules: bool = False
    workflow: str = ""


def render(pipeline: Pipeline, repository: Repository, *, warn: Callable[[str], None]) -> str:
    """Return the pipeline as a workflow.

    Args:
        pipeline: The pipeline.
        repository: Where it runs.
        warn: Called with what the workflow leaves out.

    Raises:
        UserError: A step has what GitHub has no form for, or there are too many.
    """
    if pipeline.included:
        steps = counted(len(pipeline.included), "included step")
        warn(f"the workflow leaves out {steps}, in Buildkite's words")
    if any(step.changed is not None for step in pipeline.steps):
        warn("GitHub has no if_changed: the workflow's jobs run on every change")
    jobs = [entry for step in pipeline.steps if (entry := _entry(step, warn))]
    if len(jobs) > MAX_JOBS:
        raise UserError(
            f"the workflow would have {len(jobs)} jobs, and GitHub takes {MAX_JOBS}",
            where="--format github",
            fix="leave some out with TESTS_TO_SKIP or .platform",
        )
    if not jobs:
        raise UserError(
            "the workflow would have no job", where="--format github", fix="see --explain for the reasons"
        )
    native = all(step.session for step in pipeline.steps)
    data = {
        "name": "gate",
        "on": {
            "push": {"branches": list(repository.branches)},
            "pull_request": None,
            "merge_group": None,
        },
        "permissions": {"contents": "read"},
        "concurrency": {
            "group": "${{ github.workflow }}-${{ github.ref }}",
            "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
        },
        "jobs": {"session": _job(jobs, native=native, submodules=repository.submodules)},
    }
    text = write_yaml(data)
    for action, (commit, version) in ACTIONS.items():
        text = text.replace(f"{action}@{commit}\n", f"{action}@{commit} # {version}\n")
    return with_newer_pins(text, repository.workflow)


def branches_of(workflow: str) -> tuple[str, ...]:
    """Return the branches on whose pushes a workflow runs; none where it is no workflow of this form."""
    with contextlib.suppress(UserError, TypeError, KeyError):
        branches = read_yaml(workflow, "").data["on"]["push"]["branches"]
        return tuple(branch for branch in branches if isinstance(branch, str))
    return ()


def with_newer_pins(text: str, before: str) -> str:
    """Return a workflow with the versions of actions that `before` has, but for those that are older.

    So an update by dependabot or renovate stays. A commit without a version beside it may be any.
    """
    ours = {found["action"]: found for found in _PIN.finditer(text)}
    for found in _PIN.finditer(before):
        pin = ours.get(found["action"])
        if pin and _version(found) >= _version(pin)[: len(_version(found))]:
            ours[found["action"]] = found
    return _PIN.sub(lambda pin: f"{pin['before']}{ours[pin['action']]['pin']}", text)


def _version(pin: re.Match[str]) -> tuple[float, ...]:
    """Return the version that a pin names, as far as it does; more than any where it names none."""
    named = re.match(r"v?(\d+(?:\.\d+)*)$", pin["version"] or pin["reference"])
    return tuple(map(int, named[1].split("."))) if named else (math.inf,)


def _entry(step: Step, warn: Callable[[str], None]) -> dict[str, Any] | None:
    for key in ("if" if step.condition else "", *(key for key in step.extra if key not in _KEPT)):
        if key:
            raise UserError(
                f"GitHub has no form for {key!r}",
                where=f"step {step.label!r}",
                fix="leave the step out with TESTS_TO_SKIP and write its job by hand",
            )
    if step.platform not in RUNNERS:
        warn(f"the workflow has no {step.label!r}: GitHub has no {step.platform} runner")
        return None
    if step.platform == catalog.AARCH64 and "/dev/kvm" in step.devices:
        warn(f"the workflow has no {step.label!r}: GitHub's arm64 runners have no /dev/kvm")
        return None
    if step.extra.get("skip"):
        return None
    emulated = step.platform == catalog.RISCV64 and step.session
    tolerated = tolerated_by(step.extra.get("soft_fail"))
    return {
        "label": _literal(_plain(step, step.label)),
        "platform": step.platform or catalog.X86_64,
        "runner": RUNNERS[step.platform],
        "minutes": step.timeout_minutes * (EMULATION_SLOWDOWN if emulated else 1),
        "soft_fail": "*" in tolerated,
        "command": _literal(_tolerant(_command(step, emulated=emulated), tolerated)),
    }


def _tolerant(command: str, statuses: Sequence[object]) -> str:
    """Return a command that succeeds where it ends with one of the statuses; ``*`` is left to GitHub."""
    if not statuses or "*" in statuses:
        return command
    passed = "|".join(map(str, statuses))
    note = 'echo "::warning::the exit status is one that soft_fail passes over"'
    return f"bash -e -c {shlex.quote(command)} || case $? in {passed}) {note} ;; *) exit $? ;; esac"


def _plain(step: Step, text: str) -> str:
    """Return a text as the agent's interpolation would leave it, variables untouched."""
    return interpolated(text) if step.authored else text


def _literal(text: str) -> str:
    """Keep GitHub from evaluating what looks like an expression of its own."""
    return text.replace("${{", "${{ '${{' }}")


def _command(step: Step, *, emulated: bool) -> str:
    """Return the shell command of a job: on the runner, under QEMU, or in the step's own image."""
    if emulated:
        setup = (
            "apt-get update --quiet && apt-get install --yes --quiet python3-venv"
            f" && python3 -m venv /opt/nox && /opt/nox/bin/pip install --quiet {_PACKAGES}"
            f" && export PATH=/opt/nox/bin:$PATH && {step.script}"
        )
        return _docker(step, EMULATED_IMAGE, ["bash", "-ec", setup], "--platform=linux/riscv64")
    if not step.session:
        image = str(step.docker.get("image", step.image))
        command = _plain(step, step.word if step.platform == catalog.RISCV64 else step.script)
        return _docker(step, image, ["/bin/sh", "-e", "-c", command])
    reports = ' -- --json "$COVERAGE"' if step.label == f"coverage-{step.platform}" else ""
    given = [
        variable for variable in step.environment if "=" in variable
    ]  # without a value: the runner's own
    prefix = f"export {shlex.join(given)} && " if given else ""
    return f"{prefix}{step.script}{reports}"


def _docker(step: Step, image: str, args: list[str], *options: str) -> str:
    words = ["docker", "run", "--rm", *options, "--workdir=/workdir"]
    if step.docker.get("privileged"):
        words.append("--privileged")
    words += [f"--device={device}" for device in step.devices]
    words += [f"--env={variable}" for variable in step.environment]
    return f'{shlex.join(words)} --volume="$PWD:/workdir" {shlex.join([image, *args])}'


def _job(jobs: list[dict[str, Any]], *, native: bool, submodules: bool) -> dict[str, Any]:
    host = "matrix.platform != 'riscv64'"
    checkout: dict[str, Any] = {"fetch-depth": 0, "persist-credentials": False}
    if submodules:
        checkout["submodules"] = "recursive"
    steps: list[dict[str, Any]] = [{"uses": _pinned("actions/checkout"), "with": checkout}]
    if native:
        steps += [
            {"uses": _pinned("actions/setup-python"), "if": host, "with": {"python-version": "3.13"}},
            {"name": "Rust toolchain", "id": "rust", "shell": "bash", "run": _TOOLCHAIN},
            {
                "uses": _pinned("actions/cache"),
                "with": {
                    "path": "~/.cargo/registry\n~/.cargo/git\ntarget",
                    "key": "${{ matrix.label }}-${{ steps.rust.outputs.toolchain }}"
                    "-${{ hashFiles('**/Cargo.lock', '**/Cargo.toml') }}",
                    "restore-keys": "${{ matrix.label }}-${{ steps.rust.outputs.toolchain }}-",
                },
            },
        ]
    steps.append({"name": "Access to /dev/kvm", "if": _HAS_KVM, "run": _KVM})
    if native and any(job["platform"] == catalog.RISCV64 for job in jobs):
        steps.append(
            {
                "uses": _pinned("docker/setup-qemu-action"),
                "if": "matrix.platform == 'riscv64'",
                "with": {"platforms": "riscv64"},
            }
        )
    if native:
        steps.append(
            {"name": "Tools", "if": host, "run": f"python -m pip install {_PACKAGES}\nnox -s setup\n"}
        )
    steps += [
        {
            "name": "Post-checkout hook",
            "if": f"hashFiles('{_HOOK}') != ''",
            "shell": "bash",
            "env": {"BUILDKITE_BUILD_CHECKOUT_PATH": "${{ github.workspace }}"},
            "run": f"bash {_HOOK}",
        },
        {
            "name": "Run",
            "shell": "bash",
            "env": {"COMMAND": "${{ matrix.command }}", "COVERAGE": "${{ runner.temp }}/coverage.json"},
            "run": 'bash -e -c "$COMMAND"',
        },
    ]
    if native and any(job["label"].startswith("coverage-") for job in jobs):
        steps.append(
            {
                "name": "Coverage summary",
                "if": "always() && startsWith(matrix.label, 'coverage-')",
                "shell": "python",
                "env": {"COVERAGE": "${{ runner.temp }}/coverage.json"},
                "run": _COVERAGE_SUMMARY,
            }
        )
    return {
        "name": "${{ matrix.label }}",
        "runs-on": "${{ matrix.runner }}",
        "timeout-minutes": "${{ matrix.minutes }}",
        "continue-on-error": "${{ matrix.soft_fail }}",
        "strategy": {"fail-fast": False, "matrix": {"include": jobs}},
        "steps": steps,
    }


def _pinned(action: str) -> str:
    return f"{action}@{ACTIONS[action][0]}"
