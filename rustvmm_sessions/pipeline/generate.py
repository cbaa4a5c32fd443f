"""Build a pipeline from a crate's files and sessions, and print, write, check, explain or upload it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog, files, outcomes
from rustvmm_sessions.console import pass_on, say, tell, terminal_columns, warn
from rustvmm_sessions.documents import read_yaml, write_yaml
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.pipeline import (
    buildkite,
    changes,
    custom_tests,
    description,
    included,
    registered,
    uploads,
    variables,
)
from rustvmm_sessions.pipeline.compose import Member, compose, compose_workspace
from rustvmm_sessions.rust import durations, manifests, members, reads
from rustvmm_sessions.rust.cargo import machine
from rustvmm_sessions.rust.members import DEFAULTS, PLATFORM_FILE, platforms_of, read_platforms
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from rustvmm_sessions.pipeline.custom_tests import CustomTest
    from rustvmm_sessions.pipeline.github import Repository
    from rustvmm_sessions.pipeline.model import Included, Pipeline, Template
    from rustvmm_sessions.settings import Settings

RUST_VMM_CI = "rust-vmm-ci"
"""The submodule that the sessions take the place of."""
CRATE_DESCRIPTION = ".buildkite/test_description.json"
_MOST_BYTES = 1 << 26
"""More than a pipeline of 500 crates has."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a crate without a noxfile asks for.

    Attributes:
        directory: The crate's directory.
        description: The test description; None for the standard tests.
        platforms: The file that lists the platforms; None for ``.platform``.
        selective: Whether steps are for the members of a workspace that changed.
        include: A pipeline file of the crate's own.
    """

    directory: Path
    description: Path | None = None
    platforms: Path | None = None
    selective: bool = False
    include: Path | None = None


def of_description(asked: Described) -> Pipeline:
    """Return the pipeline of a test description, or of the standard tests.

    Raises:
        UserError: A file or variable is wrong.
    """
    wished = variables.read(os.environ)
    platforms = read_platforms(asked.directory, asked.platforms or PLATFORM_FILE) or DEFAULTS
    if asked.description is None:
        templates = registered.standard_tests(of_crates=asked.selective)
    else:
        text = _text(asked.directory, asked.description)
        templates = description.parse(text, str(asked.description), of_crates=asked.selective, warn=warn)
    if asked.selective:
        found = _members(asked.directory, shared=asked.description)
        wished.check([*templates, *(test for member in found for test in member.tests)])
        pipeline = compose_workspace(templates, found, platforms, wished)
    else:
        wished.check(templates)
        pipeline = compose(templates, platforms, wished)
    return _finished(pipeline, (), asked.directory, asked.include)


def of_sessions(crate: Settings, form: str, called_from: Path | None = None) -> Pipeline:
    """Return the pipeline of a crate's registered sessions.

    Args:
        crate: What its ``register()`` call says, and the sessions of its own.
        form: One of `pipeline.options.FORMATS`; GitHub's jobs have nox installed, and write pages.
        called_from: Where nox was called, which RUSTVMM_RESULTS starts from; None for the crate's directory.

    Raises:
        UserError: A file or variable is wrong.
    """
    wished = variables.read(os.environ)
    platforms, judged = platforms_of(crate), members.of(crate)
    place = _place_of(crate.directory)
    on_github = form != "buildkite"
    nox = "nox" if on_github else crate.pipeline_command
    if place != ".":
        nox = f"cd {shlex.quote(place)} && {nox}"
    tests = custom_tests_of(crate)
    shared = [test for test in tests if not test.member]
    results = "" if on_github else os.path.relpath(catalog.RESULTS, place)
    kept = outcomes.results_folder(called_from or crate.directory)
    facts = registered.Facts(
        nox=nox,
        results=results,
        pages='"$RUSTVMM_RESULTS"' if on_github else results,
        members=judged,
        measured_on=members.measured_on(crate.directory),
        benchmarks=manifests.has_benchmarks(crate.directory, catalog.HARNESS),
        took=lambda session: durations.kept(kept, session) if kept else {},
    )
    templates = registered.of_crate(crate, shared, facts)
    own = {m.name: tuple(test.step(nox) for test in tests if test.member == m.name) for m in judged}
    wished.check([*templates, *(step for steps in own.values() for step in steps)])
    if judged:
        changed = _changed(crate.directory, reads.shared_patterns(place), place)
        composed = [
            Member(
                name=member.name,
                path=member.path,
                changed=changed[member.path],
                platforms=member.platforms,
                tests=own[member.name],
            )
            for member in judged
        ]
        pipeline = compose_workspace(templates, composed, platforms, wished)
    else:
        pipeline = compose(templates, platforms, wished)
    return _finished(
        _within(pipeline, place), [test.template for test in tests], crate.directory, crate.pipeline_include
    )


def _within(pipeline: Pipeline, place: str) -> Pipeline:
    """Return a pipeline whose labels name its noxfile's folder, unless they name a member.

    A build may have the steps of several noxfiles.
    """
    if place == ".":
        return pipeline
    prefix = f"{place}: "
    placements = [
        replace(p, step=replace(p.step, label=prefix + p.step.label.removeprefix(prefix)))
        if p.step and not p.crate
        else p
        for p in pipeline.placements
    ]
    return replace(pipeline, placements=tuple(placements))


def custom_tests_of(crate: Settings, warn: Callable[[str], None] = lambda _: None) -> tuple[CustomTest, ...]:
    """Return the tests of a crate's description files that become sessions.

    Raises:
        UserError: There is no such file, or it is wrong.
    """
    found: list[CustomTest] = []
    for name in crate.custom_tests:
        text = files.read_text(crate.directory / name)
        if text is None:
            raise UserError(
                "there is no such file", where=f"register(custom_tests={name!r})", fix="correct the path"
            )
        found += custom_tests.parse(text, name, warn)
    named = {Path(os.path.normpath(name)) for name in crate.custom_tests}
    for member in members.of(crate):
        for path in (path for path in member.tests if path not in named):
            text = _text(crate.directory, path)
            found += custom_tests.parse(text, str(path), warn, (member.name, member.path))
    return custom_tests.sessions(found, crate, machine())


def read_included(directory: Path, name: Path) -> tuple[Included, ...]:
    """Return the steps of a crate's own pipeline file.

    Raises:
        UserError: There is no such file, or it is no pipeline.
    """
    return included.parse(_text(directory, name), str(name))


def _finished(
    pipeline: Pipeline, tests: Iterable[Template], directory: Path, include: Path | None
) -> Pipeline:
    """Return a pipeline with the steps of the crate's own file.

    Raises:
        UserError: A step, or a test that one of its sessions runs, uploads the pipeline again.
    """
    pipeline = replace(pipeline, included=read_included(directory, include) if include else ())
    placed = (p.template for p in pipeline.placements if p.step and p.template.place)
    described = [*tests, *(template for template in placed if not template.session)]
    sources = uploads.Sources(
        descriptions=frozenset(os.path.normpath(test.source) for test in described),
        included=str(include or ""),
        read=lambda name: files.read_text(directory / name),
    )
    uploads.check(((test.where, {"command": test.command}) for test in described), sources)
    uploads.check(((step.place, step.data) for step in pipeline.included), sources)
    for label in buildkite.doubled(pipeline):
        warn(f"two tests have the label {label!r}; `reproduce` takes neither until one has another test_name")
    return pipeline


def _text(directory: Path, name: Path) -> str:
    text = files.read_text(directory / name)
    if text is None:
        raise UserError("there is no such file", where=str(name), fix="correct the path")
    return text


def _members(directory: Path, shared: Path | None) -> list[Member]:
    changed = _changed(directory, manifests.shared(directory))
    found = []
    for path, name in manifests.members(directory).items():
        folder = Path(path)
        described = folder / CRATE_DESCRIPTION
        is_shared = shared and (directory / described).resolve() == (directory / shared).resolve()
        text = None if is_shared else files.read_text(directory / described)
        tests: tuple[Template, ...] = ()
        if text is not None:
            tests = description.parse(text, str(described), of_crates=True, warn=warn)
        found.append(
            Member(
                name=name,
                path=path,
                changed=changed[path],
                platforms=read_platforms(directory, folder / PLATFORM_FILE) or DEFAULTS,
                tests=tests,
            )
        )
    return found


def _changed(directory: Path, beside: tuple[str, ...], place: str = ".") -> dict[str, tuple[str, ...]]:
    """Return the patterns of the files on whose change each member is to be tested, by its folder.

    Args:
        directory: The workspace's folder.
        beside: Patterns that concern every member.
        place: The workspace's folder, from the repository's top.
    """
    packages = manifests.packages(directory)
    found = {}
    for package in (package for package in packages.values() if package.member):
        changed, unknown = reads.patterns(packages, package.path, place)
        if unknown:
            warn(f"the steps of {package.name} run on every change: {unknown}")
        found[package.path] = (*changed, *beside)
    return found


def _place_of(directory: Path) -> str:
    """Return the crate's folder from the top of its repository, where steps start; ``.`` without git."""
    from rustvmm_sessions.git.git import Git

    with contextlib.suppress(UserError):
        return os.path.relpath(directory.resolve(), Git(directory=directory).work_tree().resolve())
    return "."


# What is done with it


def deliver(
    pipeline: Pipeline,
    given: argparse.Namespace,
    *,
    crate: Path,
    called_from: Path,
    command: tuple[str, ...] = (),
) -> None:
    """Do with a pipeline what the options of `pipeline.options` say.

    Args:
        pipeline: The pipeline.
        given: The options.
        crate: The crate's directory.
        called_from: Where paths in options start from.
        command: The words that print this pipeline; empty for those of the session.

    Raises:
        UserError: It cannot be rendered, read or written.
        CheckFailed: ``--check`` found another pipeline, or the agent did not take it.
    """
    _check_options(given)
    event = os.environ.get("GITHUB_EVENT_NAME") if given.format == "github-matrix" else None
    if given.changed is not None or event == "pull_request":
        pipeline = _narrowed(pipeline, crate, given.changed or "")
    compared = next((called_from / path for path in (given.output, given.check, given.diff) if path), None)
    before = ""
    if compared and given.format == "github":  # whose pins may be newer than ours
        before = files.read_text(compared, most_bytes=_MOST_BYTES) or ""
    text = rendered(pipeline, given.format, crate, before, command)
    if given.explain:
        from rustvmm_sessions.pipeline.table import explain

        say(explain(pipeline, terminal_columns()))
    elif given.output:
        _write(called_from / given.output, text)
    elif given.check:
        _check(called_from / given.check, text, given.format)
        _check_vendored(crate)
    elif given.diff:
        changes = _differences(called_from / given.diff, text, given.format)
        say("\n".join(changes) if changes else "no difference")
    elif given.upload:
        if not pipeline.steps and not pipeline.included:
            raise CheckFailed(
                "the pipeline has no step, so nothing is uploaded\n"
                "help: `nox -s pipeline -- --explain` says why each is left out"
            )
        _upload(text)
    else:
        pass_on(text.encode(), sys.stdout)


def _check_options(given: argparse.Namespace) -> None:
    if given.upload and given.format != "buildkite":
        raise UserError(
            "only Buildkite's pipelines are uploaded",
            where="--upload",
            fix="leave --format out, or use --output",
        )
    if given.changed is not None and given.format == "github":
        raise UserError(
            "a workflow is not for one change",
            where="--changed",
            fix="leave it out, or use --format github-matrix, which is what the workflow asks for",
        )


def _narrowed(pipeline: Pipeline, crate: Path, reference: str) -> Pipeline:
    """Return a pipeline with the steps that changes concern; say how many."""
    from rustvmm_sessions.git.changes import changes_since
    from rustvmm_sessions.git.git import Git

    since = changes_since(Git(directory=crate), reference)
    found = changes.narrowed(pipeline, since.files, since.base.name)
    changed, steps = counted(len(since.files), "file"), counted(len(pipeline.steps), "step")
    base = f"{since.base.commit[:12]} (merge base with {since.base.name})"
    tell(f"Changed since {base}: {changed}; {len(found.steps)} of {steps}.\n")
    return found


def rendered(
    pipeline: Pipeline, form: str, crate: Path, before: str = "", command: tuple[str, ...] = ()
) -> str:
    """Return a pipeline in one of `pipeline.options.FORMATS`.

    Args:
        pipeline: The pipeline.
        form: The format.
        crate: The crate's directory.
        before: What the file holds that the text is for.
        command: As of `deliver`.
    """
    if form == "buildkite":
        return write_yaml(buildkite.render(pipeline))
    from rustvmm_sessions.pipeline import github

    repository = _repository(pipeline, crate, before, command)
    if form == "github":
        return github.workflow(pipeline, repository, warn=warn)
    jobs = github.matrix(pipeline, repository, warn=warn)
    return f"{json.dumps(jobs, separators=(',', ':'))}\n"


def _repository(pipeline: Pipeline, crate: Path, workflow: str, command: tuple[str, ...]) -> Repository:
    """Return what jobs and workflow need to know of the repository.

    Its branch is not known in every clone, that of actions/checkout for one: what the workflow has holds
    there. The submodule rust-vmm-ci is for a crate's own steps; the standard sessions need none of it.
    """
    from rustvmm_sessions.git.git import Git
    from rustvmm_sessions.git.upstream import default_branch
    from rustvmm_sessions.pipeline import github

    git, place = Git(directory=crate), _place_of(crate)
    branch = default_branch(git)
    submodules = git.submodules()
    own = any(p.step and not registered.is_standard(p.template) for p in pipeline.placements)
    noxfile = ("-f", f"{place}/noxfile.py") if place != "." else ()
    return github.Repository(
        branches=(branch,) if branch else github.branches_of(workflow) or github.DEFAULT_BRANCHES,
        submodules=bool(submodules) and (own or any(name != RUST_VMM_CI for name in submodules)),
        hook=((git.top or crate) / github.HOOK).is_file(),
        place=place,
        command=command or ("nox", *noxfile, "-s", "pipeline", "--"),
        workflow=workflow,
    )


def _write(path: Path, text: str) -> None:
    path = path.resolve()
    with files.locked(path):
        files.write_atomic(path, text)


def _differences(path: Path, text: str, form: str) -> list[str]:
    found = files.read_text(path, most_bytes=_MOST_BYTES)
    if found is None:
        raise UserError("there is no such file", where=str(path), fix="write it with --output")
    old = read_yaml(found, str(path))
    new = read_yaml(text, "the pipeline").data
    if form != "buildkite":
        return buildkite.differences([old.data], [new])
    return buildkite.differences(included.steps_of(old), new["steps"])


def _check(path: Path, text: str, form: str) -> None:
    if form == "buildkite" and uploads.starts_with(files.read_text(path, most_bytes=_MOST_BYTES) or "", path):
        say(f"{path} uploads the pipeline when a build starts")
        return
    changes = _differences(path, text, form)
    if changes:
        raise CheckFailed(
            "\n".join(
                [f"{path} is not the pipeline of today:", *changes, "help: write it anew with --output"]
            )
        )
    say(f"{path} is up to date")


def _check_vendored(directory: Path) -> None:
    """Say how the zipapp that the agents run differs from what runs here, or from what is asked for."""
    from rustvmm_sessions.vendored import RENEW, vendored

    found = vendored(directory)
    if found and found.differs:
        message = f"{found.path}: {found.differs}\nhelp: renew it: `{RENEW}`"
        if found.wrong:
            raise CheckFailed(message)
        warn(message)


def _upload(text: str) -> None:
    """Hand the pipeline to buildkite-agent in one piece: it takes all of it or nothing."""
    from rustvmm_sessions.process import run
    from rustvmm_sessions.rust.tools import find_program

    agent = find_program("buildkite-agent", "BUILDKITE_AGENT")
    if agent is None:
        raise UserError(
            "there is no buildkite-agent that could take the pipeline",
            where="PATH",
            fix="in a container, set `mount-buildkite-agent: true` for the docker plugin of the step",
        )
    with tempfile.TemporaryDirectory(prefix="rustvmm-pipeline-") as folder:
        file = Path(folder) / "pipeline.yml"
        file.write_text(text, encoding="utf-8")
        run([agent, "pipeline", "upload", file]).check()
