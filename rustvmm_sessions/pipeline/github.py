"""GitHub's rendering of a pipeline: the jobs of a matrix, and the short workflow that asks for them."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.documents import read_yaml
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.model import interpolated, tolerated_by
from rustvmm_sessions.pipeline.registered import is_standard
from rustvmm_sessions.rust.tools import musl_triple
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from rustvmm_sessions.catalog import StandardSession
    from rustvmm_sessions.pipeline.model import Pipeline, Step, Template

ACTIONS = {
    "actions/checkout": "11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2",
    "actions/cache": "5a3ec84eff668545956fd18022155c47e93e2684 # v4.2.3",
    "actions/upload-artifact": "ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2",
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
MAX_MINUTES = 360
"""GitHub's limit on a job."""
DEFAULT_BRANCHES = ("main", "master")
"""The branches that a workflow is for where the repository's own default branch is not known."""
HOOK = ".buildkite/hooks/post-checkout"
"""What prepares a checkout of the repository, on Buildkite's agents, too."""

_COMPONENTS = ("clippy", "llvm-tools", "rustfmt")
_KEPT = frozenset(("soft_fail", "skip"))
_PIN = re.compile(
    r"(?P<before>\buses: *[\"']?)(?P<pin>(?P<action>[\w./-]+)@(?P<reference>[\w./-]+)"
    r"(?:[ \t]+# *(?P<version>\S+))?)"
)
_WORKFLOW = """\
# Its jobs are what the noxfile says: the first one asks for them (`nox -s pipeline -- --explain` shows why).
name: gate
on:
  push: { branches: BRANCHES }
  pull_request:
  merge_group:
permissions: { contents: read }
concurrency:
  group: ${{ github.workflow }}-${{ github.ref }}
  cancel-in-progress: ${{ github.event_name == 'pull_request' }}
jobs:
  plan:
    name: plan
    runs-on: ubuntu-24.04
    outputs: { matrix: "${{ steps.nox.outputs.matrix }}" }
    steps:
      - uses: actions/checkout
        with: { fetch-depth: 0, SUBMODULESpersist-credentials: false }
      - id: nox
        run: |
          pipx run --spec 'rustvmm-sessions[tools]' PLAN --format github-matrix --output "$RUNNER_TEMP/matrix"
          echo "matrix=$(cat "$RUNNER_TEMP/matrix")" >> "$GITHUB_OUTPUT"
  session:
    needs: plan
    if: fromJSON(needs.plan.outputs.matrix).include[0]
    name: ${{ matrix.name }}
    runs-on: ${{ matrix.runner }}
    timeout-minutes: ${{ matrix.minutes }}
    continue-on-error: ${{ matrix.soft_fail }}
    strategy: { fail-fast: false, matrix: "${{ fromJSON(needs.plan.outputs.matrix) }}" }
    env: { COMPONENTS: "${{ matrix.components }}", TARGETS: "${{ matrix.targets }}", DEVICES: "${{ matrix.devices }}" }
    steps:
      - uses: actions/checkout
        with: { fetch-depth: "${{ matrix.fetch_depth }}", submodules: "${{ matrix.submodules }}", persist-credentials: false }
      - id: tools
        run: |
          rustup show active-toolchain || rustup toolchain install
          for name in $COMPONENTS; do rustup component add "$name"; done
          for name in $TARGETS; do rustup target add "$name"; done
          for file in $DEVICES; do if [ -e "$file" ]; then sudo chmod a+rw "$file"; fi; done
          pipx install --quiet --include-deps 'rustvmm-sessions[tools]'
          echo "rustc=$(rustc -vV | sha256sum | cut -c 1-16)" >> "$GITHUB_OUTPUT"
      - uses: actions/cache
        with:
          path: "~/.cargo/registry\\n~/.cargo/git\\nFOLDER"
          key: ${{ matrix.id }}-${{ steps.tools.outputs.rustc }}-${{ hashFiles('**/Cargo.lock', '**/Cargo.toml') }}
          restore-keys: ${{ matrix.id }}-${{ steps.tools.outputs.rustc }}-
      - env: { COMMAND: "${{ matrix.command }}", RUSTVMM_RESULTS: "${{ runner.temp }}/results" }
        run: bash -e -c "$COMMAND"
      - if: always()
        uses: actions/upload-artifact
        with: { name: "${{ matrix.id }}", path: "${{ runner.temp }}/results", if-no-files-found: ignore }
  gate: # the one check that branches and merge queues require
    name: gate
    if: always()
    needs: [plan, session]
    runs-on: ubuntu-24.04
    env: { RESULTS: "${{ needs.plan.result }} ${{ needs.session.result }}", MATRIX: "${{ needs.plan.outputs.matrix }}" }
    steps:
      - run: '[ "$RESULTS" = "success success" ] || [ "$RESULTS $MATRIX" = "success skipped {\\"include\\":[]}" ]'
"""  # noqa: E501 - a line of YAML each


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What jobs and workflow need to know of the repository.

    Attributes:
        branches: Its branches on whose pushes the sessions run.
        submodules: Whether they need its submodules.
        hook: Whether it has `HOOK`.
        place: The crate's folder, from the top; ``.`` at the top.
        command: The words that print the pipeline, before the options of `pipeline.options`.
        workflow: The workflow that it has; empty for none.
    """

    branches: tuple[str, ...] = DEFAULT_BRANCHES
    submodules: bool = False
    hook: bool = False
    place: str = "."
    command: tuple[str, ...] = ("nox", "-s", "pipeline", "--")
    workflow: str = ""


def matrix(pipeline: Pipeline, repository: Repository, *, warn: Callable[[str], None]) -> dict[str, Any]:
    """Return the jobs as the matrix of a GitHub job, each with what it needs.

    Where there would be more than `MAX_JOBS`, a member's sessions on one platform are one job.

    Args:
        pipeline: The pipeline.
        repository: Where it runs.
        warn: Called with what is left out.

    Raises:
        UserError: A step has what GitHub has no form for, or there are too many.
    """
    if pipeline.included:
        steps = counted(len(pipeline.included), "included step")
        warn(f"GitHub's jobs leave out {steps}, in Buildkite's words")
    jobs: dict[str, dict[str, Any]] = {}
    crates: dict[str, list[str]] = {}
    for placement in pipeline.placements:
        if (step := placement.step) and not _is_left_out(step, warn):
            name = _plain(step, step.label)
            id_ = _id(name, jobs)
            jobs[id_] = {"name": name, "id": id_, **_job(placement.template, step, repository)}
            crates.setdefault(placement.crate, []).append(id_)
    if len(jobs) > MAX_JOBS:
        whole = {id_: jobs[id_] for id_ in crates.pop("", [])}
        jobs = _joined(whole, {crate: [jobs[id_] for id_ in ids] for crate, ids in crates.items()})
    if len(jobs) > MAX_JOBS:
        raise UserError(
            f"there would be {len(jobs)} jobs, and GitHub takes {MAX_JOBS}",
            where="--format github-matrix",
            fix="leave some out: register(skip=[...]), or fewer platforms in .platform",
        )
    return {"include": list(jobs.values())}


def workflow(pipeline: Pipeline, repository: Repository, *, warn: Callable[[str], None]) -> str:
    """Return the workflow whose first job asks for the matrix of a pipeline.

    Raises:
        UserError: Its matrix cannot be made, or is empty whatever changes.
    """
    if not matrix(pipeline, repository, warn=warn)["include"]:
        raise UserError(
            "the workflow would have no job", where="--format github", fix="see --explain for the reasons"
        )
    inside = "" if repository.place == "." else f"{repository.place}/"
    enter = f"cd {shlex.quote(repository.place)}\n          " if inside else ""
    text = _WORKFLOW
    for word, value in {
        "BRANCHES": json.dumps(repository.branches, ensure_ascii=False),
        "SUBMODULES": "submodules: recursive, " if repository.submodules else "",
        "PLAN": shlex.join(repository.command),
        "FOLDER": f"{inside}target",
        "          rustup show": f"          {enter}rustup show",
    }.items():
        text = text.replace(word, value, 1)
    for action, pin in ACTIONS.items():
        text = text.replace(f"uses: {action}\n", f"uses: {action}@{pin}\n")
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


def _id(name: str, taken: Container[str]) -> str:
    """Return a job's name as a word for names of artifacts and caches, each job's own."""
    word = re.sub(r"[^\w.+-]+", "-", name, flags=re.ASCII).strip("-") or "job"
    numbered = (f"{word}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([word], numbered) if each not in taken)


def _is_left_out(step: Step, warn: Callable[[str], None]) -> bool:
    """Whether GitHub has no runner for a step, which is said, or it is skipped anyway."""
    for key in ("if" if step.condition else "", *(key for key in step.extra if key not in _KEPT)):
        if key:
            raise UserError(
                f"GitHub has no form for {key!r}",
                where=f"step {step.label!r}",
                fix="leave the step out with TESTS_TO_SKIP and write its job by hand",
            )
    if step.platform not in RUNNERS:
        warn(f"GitHub's jobs leave out {step.label!r}: GitHub has no {step.platform} runner")
    elif step.platform == catalog.AARCH64 and "/dev/kvm" in step.devices:
        warn(f"GitHub's jobs leave out {step.label!r}: GitHub's arm64 runners have no /dev/kvm")
    else:
        return bool(step.extra.get("skip"))
    return True


def _job(template: Template, step: Step, repository: Repository) -> dict[str, Any]:
    platform = step.platform or catalog.X86_64
    emulated = platform == catalog.RISCV64 and step.session
    on_runner = step.session and not emulated
    row = catalog.standard(template.name) if is_standard(template) else None
    tolerated = tolerated_by(step.extra.get("soft_fail"))
    devices = dict.fromkeys((*(() if platform == catalog.AARCH64 else ("/dev/kvm",)), *step.devices))
    prepared = f'BUILDKITE_BUILD_CHECKOUT_PATH="$PWD" bash {HOOK}\n' if repository.hook else ""
    if on_runner and row and catalog.EXTRA in row.tags:
        noxfile = [] if repository.place == "." else ["-f", f"{repository.place}/noxfile.py"]
        prepared += f"{shlex.join(['nox', *noxfile, '-s', 'setup'])}\n"  # nightly, targets, cargo-fuzz
    return {
        "platform": platform,
        "runner": RUNNERS[platform],
        "minutes": step.timeout_minutes * (EMULATION_SLOWDOWN if emulated else 1),
        "soft_fail": "*" in tolerated,
        "command": prepared + _tolerant(_command(step, emulated=emulated), tolerated),
        "components": " ".join(_components(row)) if on_runner else "",
        "targets": musl_triple(platform) if on_runner and _is_for_musl(row) else "",
        "devices": " ".join(devices),
        "fetch_depth": 0 if _reads_history(row) else 1,
        "submodules": "recursive" if repository.submodules else "false",
    }


def _components(row: StandardSession | None) -> tuple[str, ...]:
    """Return the parts of the toolchain that a session needs; all of them for one of the crate's own."""
    return tuple(name for name in _COMPONENTS if row is None or name in row.tools)


def _is_for_musl(row: StandardSession | None) -> bool:
    return row is None or "musl-target" in row.tools


def _reads_history(row: StandardSession | None) -> bool:
    return row is None or "git" in row.tools or row.name == "coverage"


def _joined(
    whole: Mapping[str, dict[str, Any]], members: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, dict[str, Any]]:
    """Return jobs with one more for each member and platform: it runs all of theirs, whichever fail."""
    groups: dict[tuple[str, str, bool], list[Mapping[str, Any]]] = {}
    for crate, jobs in members.items():
        for job in jobs:
            groups.setdefault((crate, job["platform"], job["soft_fail"]), []).append(job)
    found = dict(whole)
    for (crate, platform, soft_fail), group in groups.items():
        name = f"{crate}: {platform}{' (may fail)' if soft_fail else ''}"
        needs = {
            key: " ".join(dict.fromkeys(word for job in group for word in job[key].split()))
            for key in ("components", "targets", "devices")
        }
        each = [f"bash -e -c {shlex.quote(job['command'])} || failed=1" for job in group]
        id_ = _id(name, found)
        found[id_] = {
            **group[0],
            **needs,
            "name": name,
            "id": id_,
            "minutes": min(MAX_MINUTES, sum(job["minutes"] for job in group)),
            "command": "\n".join(["failed=", *each, '[ -z "$failed" ]']),
            "fetch_depth": min(job["fetch_depth"] for job in group),
        }
    return found


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


def _command(step: Step, *, emulated: bool) -> str:
    """Return the shell command of a job: on the runner, under QEMU, or in the step's own image."""
    if emulated:
        setup = (
            "apt-get update --quiet && apt-get install --yes --quiet python3-venv"
            " && python3 -m venv /opt/nox && /opt/nox/bin/pip install --quiet 'rustvmm-sessions[tools]'"
            f" && export PATH=/opt/nox/bin:$PATH && {step.script}"
        )
        results = ("--platform=linux/riscv64", "--env=RUSTVMM_RESULTS")
        emulator = "sudo apt-get update --quiet\nsudo apt-get install --yes --quiet qemu-user-static\n"
        mount = '--volume="$RUSTVMM_RESULTS:$RUSTVMM_RESULTS" '
        return emulator + _docker(step, EMULATED_IMAGE, ["bash", "-ec", setup], *results, mount=mount)
    if not step.session:
        image = str(step.docker.get("image", step.image))
        command = _plain(step, step.word if step.platform == catalog.RISCV64 else step.script)
        return _docker(step, image, ["/bin/sh", "-e", "-c", command])
    given = [
        variable for variable in step.environment if "=" in variable
    ]  # without a value: the runner's own
    prefix = f"export {shlex.join(given)} && " if given else ""
    return f"{prefix}{step.script}"


def _docker(step: Step, image: str, args: list[str], *options: str, mount: str = "") -> str:
    words = ["docker", "run", "--rm", *options, "--workdir=/workdir"]
    if step.docker.get("privileged"):
        words.append("--privileged")
    words += [f"--device={device}" for device in step.devices]
    words += [f"--env={variable}" for variable in step.environment]
    return f'{shlex.join(words)} {mount}--volume="$PWD:/workdir" {shlex.join([image, *args])}'
