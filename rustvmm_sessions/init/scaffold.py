"""What a repository needs to use this library: files by what is found in it, and what is left to do."""

from __future__ import annotations

import json
import os.path
import re
import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from rustvmm_sessions import catalog
from rustvmm_sessions.errors import UserError

OLD_SUBMODULE = "rust-vmm-ci"

MOST_RUNS = 100
"""Runs of cargo in one session above which a crate is told how to have fewer."""

BUILDKITE = ".buildkite/pipeline.yml"
WORKFLOWS = ".github/workflows/"
GITHUB = f"{WORKFLOWS}gate.yml"
_BOOTSTRAP = """\
# The only step that is written down: it makes the others from the noxfile when a build starts.
# What they will be, and why: nox -s pipeline -- --explain
steps:
  - label: ":pipeline: sessions"
    command: nox -s pipeline -- --upload
    agents:
      os: linux
    timeout_in_minutes: 5
"""
_UPDATED = re.compile(r'^ *- package-ecosystem: "?cargo"?\n *directory: "/([^"\\\n]*)"$', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Publishable:
    """A package that may be published on crates.io.

    Attributes:
        name: Its name.
        alone: Whether it is the only package of the repository.
    """

    name: str
    alone: bool

    @property
    def workflow(self) -> str:
        """The file of its workflow."""
        return f"{WORKFLOWS}publish{'' if self.alone else f'-{self.name}'}.yml"

    @property
    def tags(self) -> str:
        """The tags that publish it."""
        return "v*" if self.alone else f"{self.name}-v*"


@dataclass(frozen=True, kw_only=True)
class ManyRuns:
    """A feature matrix of more than `MOST_RUNS`.

    Attributes:
        runs: How many they are; None for more than can be planned.
        depth: The setting of ``register()`` that leaves few enough, or as few as there can be.
        fewer: How many it leaves.
    """

    runs: int | None
    depth: int
    fewer: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a repository has.

    Attributes:
        place: The crate's directory, from the repository's top; empty at the top.
        member: Whether it is a member of a workspace whose manifest is elsewhere.
        platforms: What .platform says; None without that file.
        custom_tests: Description files, from the crate's directory.
        members_tests: The same of members of the workspace.
        redefined: Standard sessions that a description file has commands of its own for.
        packages: Packages that may be published.
        apart: Folders with a workspace of their own.
        submodules: Paths of submodules by their names.
        hooks: Buildkite hooks of the repository.
        coverage_config: Whether there is a coverage_config_ARCH.json.
        recorded: Whether there is tests/coverage.
        workflows: Whether there are GitHub workflows.
        publishing: Workflows that publish already, others than ours.
        overrides: Settings of standard sessions that custom tests imply.
        replaced: Custom tests that a standard session takes the place of, with its name.
        calling_old: Other custom tests whose commands call rust-vmm-ci.
        dependabot: Where dependabot's configuration is, or would be.
        updated: Folders of the crates that it has, from the repository's top.
        buildkite: Whether it is Buildkite's agents that run its tests.
        github: Whether GitHub's runners run the sessions.
        many_runs: The feature matrix, if it takes too long for everyday work and no noxfile limits it.
    """

    place: str = ""
    member: bool = False
    platforms: tuple[str, ...] | None = None
    custom_tests: tuple[str, ...] = ()
    members_tests: tuple[str, ...] = ()
    redefined: tuple[str, ...] = ()
    packages: tuple[Publishable, ...] = ()
    apart: tuple[str, ...] = ()
    submodules: Mapping[str, str]
    hooks: tuple[str, ...] = ()
    coverage_config: bool = False
    recorded: bool = False
    workflows: bool = False
    publishing: tuple[str, ...] = ()
    overrides: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    calling_old: tuple[str, ...] = ()
    dependabot: str = ".github/dependabot.yml"
    updated: tuple[str, ...] = ()
    buildkite: bool = False
    github: bool = False
    many_runs: ManyRuns | None = None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user asks for.

    Attributes:
        platforms: The platforms; None for what is found, else the usual ones.
        dependabot: ``weekly``, ``monthly`` or ``none``.
        publish: Whether packages are to be published from GitHub.
        buildkite: Whether Buildkite's agents are to run the sessions.
        github: Whether GitHub's runners are.
    """

    platforms: tuple[str, ...] | None = None
    dependabot: str = "weekly"
    publish: bool = False
    buildkite: bool = False
    github: bool = False


def planned(found: Found, wishes: Wishes) -> dict[str, str]:
    """Return the files to be there, from the repository's top, with their text.

    All but `GITHUB`, which only the registered sessions say.

    Raises:
        UserError: A pipeline is wanted for a crate that is not at the repository's top.
    """
    if found.place and (wishes.buildkite or wishes.github):
        raise UserError(
            "a pipeline runs nox at the repository's top, and the crate is not there",
            where=found.place,
            fix="leave --buildkite and --github out, and let steps of your own run `nox -f "
            f"{shlex.quote(found.place)}/noxfile.py -s NAME`",
        )
    inside = f"{found.place}/" if found.place else ""
    plan = {f"{inside}noxfile.py": noxfile(found)}
    names = wishes.platforms or found.platforms or catalog.DEFAULT_PLATFORMS
    if set(names) != set(found.platforms or ()):
        plan[f"{inside}.platform"] = "".join(f"{name}\n" for name in names)
    if wishes.dependabot != "none":
        plan[found.dependabot] = dependabot(found, wishes)
    if wishes.publish and not found.publishing:
        plan |= {package.workflow: publishing(package, found) for package in found.packages}
    if wishes.buildkite:
        plan[BUILDKITE] = _BOOTSTRAP
    return plan


def noxfile(found: Found) -> str:
    """Return the noxfile with the settings that the repository's files imply.

    What other files say for themselves (.platform, coverage_config_ARCH.json) is not repeated.
    """
    options = []
    if found.member:
        options.append("workspace=False")
    if found.redefined:
        options.append(f"skip={_listed(found.redefined)}")
    if found.overrides:
        options.append(f"overrides={_literal(found.overrides)}")
    if found.custom_tests:
        one = len(found.custom_tests) == 1
        options.append(f"custom_tests={_listed(found.custom_tests)[one : -1 if one else None]}")
    call = f"register({', '.join(options)})"
    if len(options) > 1:
        call = "register(\n" + "".join(f"    {option},\n" for option in options) + ")"
    return (
        "# /// script\n"
        '# dependencies = ["rustvmm-sessions[tools]", "nox"]\n'
        "# ///\n"
        "import nox\n"
        "from rustvmm_sessions import register\n\n"
        f"crate = {call}\n\n"
        'if __name__ == "__main__":\n'
        "    nox.main()\n"
    )


def _literal(value: object) -> str:
    """Return a value as Python has it, texts in double quotes."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _listed(names: tuple[str, ...]) -> str:
    text = json.dumps(names, ensure_ascii=False)
    if len(text) <= 80:
        return text
    return "[\n" + "".join(f"        {json.dumps(name, ensure_ascii=False)},\n" for name in names) + "    ]"


def updated(dependabot: str) -> list[str]:
    """Return the folders of the crates that dependabot's configuration has, as `dependabot` writes it."""
    return _UPDATED.findall(dependabot)


def dependabot(found: Found, wishes: Wishes) -> str:
    """Return dependabot's configuration: one grouped pull request for each kind of dependency."""
    entries = [
        f"""\
        # Rust dependencies, those in Cargo.lock that others depend on included, in one pull request.
        - package-ecosystem: cargo
          directory: {json.dumps(f"/{place}", ensure_ascii=False)}
          schedule:
            interval: {wishes.dependabot}
          allow:
            - dependency-type: all
          groups:
            rust-dependencies:
              patterns: ["*"]
        """
        for place in dict.fromkeys((*found.updated, found.place))
    ]
    published = wishes.publish and bool(found.packages)
    kinds = [("github-actions", found.workflows or published or wishes.github)]
    kinds.append(("gitsubmodule", any(name != OLD_SUBMODULE for name in found.submodules)))
    entries += [
        f"""\
        - package-ecosystem: {kind}
          directory: "/"
          schedule:
            interval: {wishes.dependabot}
        """
        for kind, wanted in kinds
        if wanted
    ]
    body = "".join(textwrap.indent(textwrap.dedent(entry), "  ") for entry in entries)
    return f"version: 2\nupdates:\n{body}"


def publishing(package: Publishable, found: Found) -> str:
    """Return a workflow that publishes a package when its tag is pushed, without a stored token."""
    inside = f"        working-directory: {json.dumps(found.place)}\n" if found.place else ""
    submodules = "          submodules: recursive\n" if {*found.submodules} - {OLD_SUBMODULE} else ""
    return f"""\
name: Publish {package.name} to crates.io

on:
  push:
    tags: ["{package.tags}"]

permissions: {{}}

jobs:
  publish:
    runs-on: ubuntu-latest
    permissions:
      contents: read
      id-token: write # crates.io gives a token to the workflow that it trusts
    steps:
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
{submodules}      - uses: rust-lang/crates-io-auth-action@v1
        id: auth
      - run: cargo publish --package {package.name}
{inside}        env:
          CARGO_REGISTRY_TOKEN: ${{{{ steps.auth.outputs.token }}}}
"""


def left_to_do(found: Found, wishes: Wishes) -> list[str]:
    """Return what cannot be done here, each with the exact commands or the page."""
    todo = []
    if not found.recorded:
        start = (
            "judged by coverage_config_ARCH.json until then"
            if found.coverage_config
            else "it has no baseline yet"
        )
        todo.append(
            f"Record the coverage ({start}): nox -s coverage -- --profile devel && git add tests/coverage"
        )
    if many := found.many_runs:
        todo.append(
            f"Combine fewer features, as clippy alone would run cargo {many.runs or 'far too many'} times: "
            f"register(depth={many.depth}) in noxfile.py makes that {many.fewer} (nox -s clippy -- --list)"
        )
    if found.hooks:
        todo.append(f"To run {', '.join(found.hooks)} on your machine: nox -s setup -- --hooks")
    todo += [
        f"{folder} is a workspace of its own: cd {shlex.quote(folder)} && rustvmm-sessions init"
        for folder in found.apart
    ]
    todo += _left_of_tests(found)
    if wishes.publish and found.publishing:
        todo.append(
            f"Packages are published already by {', '.join(found.publishing)}: no workflow was planned."
        )
    elif wishes.publish:
        todo += [
            f"Trust the workflow on crates.io: https://crates.io/crates/{package.name}/settings, "
            f"{package.workflow.rpartition('/')[2]}"
            for package in found.packages
        ]
    todo += _left_of_ci(found, wishes)
    if OLD_SUBMODULE in found.submodules:
        path = shlex.quote(os.path.relpath(found.submodules[OLD_SUBMODULE], found.place or "."))
        todo.append(
            "When CI runs without it, remove the submodule:\n"
            f"  git submodule deinit --force -- {path}\n"
            f"  git rm --force -- {path}\n"
            f'  rm -rf "$(git rev-parse --git-path modules/{OLD_SUBMODULE})"\n'
            f'  git commit --signoff --message "Remove the submodule {OLD_SUBMODULE}"'
        )
    return todo


def _left_of_tests(found: Found) -> list[str]:
    todo = []
    if found.members_tests:
        todo.append(
            f"Tests described for members are no sessions yet: {', '.join(found.members_tests)}. If their "
            "commands start in this directory, name the files in register(custom_tests=[...])."
        )
    if found.replaced:
        pairs = ", ".join(f"{test} ({session})" for test, session in found.replaced.items())
        todo.append(
            f"Sessions do what these custom tests did by {OLD_SUBMODULE}: {pairs}. "
            "Take the tests out of their file when CI runs the sessions."
        )
    if found.calling_old:
        todo.append(
            f"Custom tests that call {OLD_SUBMODULE}: {', '.join(found.calling_old)}; "
            "docs/moving-from-rust-vmm-ci.md has what takes its place."
        )
    return todo


def _left_of_ci(found: Found, wishes: Wishes) -> list[str]:
    todo = []
    if wishes.github:
        todo.append(
            "After changes of the noxfile, write the workflow anew: "
            f"nox -s pipeline -- --format github --output {GITHUB}"
        )
    elif not (found.github or found.buildkite or wishes.buildkite or found.place):
        todo.append(
            "No CI runs the sessions yet: `rustvmm-sessions init --github` writes a workflow for GitHub, "
            "`--buildkite` a pipeline for Buildkite."
        )
    if found.buildkite or wishes.buildkite:
        todo.append(
            "For Buildkite, ask an admin of its organization for a pipeline, and add its webhook in GitHub's "
            "settings of the repository (pull request and push events)."
        )
    if wishes.buildkite:
        todo.append(
            "In that pipeline's settings, the only step is `buildkite-agent pipeline upload`, which reads "
            f"{BUILDKITE}; the agents need nox (pip install nox), which brings the rest."
        )
    return todo
