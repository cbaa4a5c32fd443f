"""What a repository needs to use this library: files by what is found in it, and what is left to do."""

from __future__ import annotations

import json
import os.path
import posixpath
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog
from rustvmm_sessions.documents import read_yaml
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.buildkite import DOCKER_PLUGIN
from rustvmm_sessions.pipeline.spelled import MACHINE
from rustvmm_sessions.vendored import VENDORED

if TYPE_CHECKING:
    from rustvmm_sessions.init.takeover import Places

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
    command:{commands}
    agents:
      os: linux
    plugins:
      - {plugin}:
          image: {image}
          always-pull: true
          mount-buildkite-agent: true
          propagate-environment: true
    timeout_in_minutes: {minutes}
"""
_BOOTSTRAPS = re.compile(r"\bpipeline -- --upload\b")
_PLAIN = frozenset(("package-ecosystem", "directory", "schedule", "allow", "groups"))
"""The keys of the entries of dependabot's configuration that are written here."""
MOST_NAMES = 8
"""The most tests of a file that are named."""


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
        session: The first of the sessions that have it.
        runs: How many they are; None for more than can be planned.
        depth: The setting of ``register()`` that leaves few enough, or as few as there can be.
        fewer: How many it leaves.
    """

    session: str
    runs: int | None
    depth: int
    fewer: int


@dataclass(frozen=True, kw_only=True)
class Dependabot:
    """Dependabot's configuration.

    Attributes:
        name: Where it is, or would be.
        text: What it holds; empty where there is none.
        updates: Its entries: the ecosystem, and a pattern of folders from the repository's top.
        plain: Whether it has nothing that is not written here, too.
    """

    name: str = ".github/dependabot.yml"
    text: str = ""
    updates: tuple[tuple[str, str], ...] = ()
    plain: bool = True

    def has(self, kind: str, folder: str) -> bool:
        """Whether it updates that kind of dependencies of a folder."""
        return any(kind == each and fnmatchcase(folder, pattern) for each, pattern in self.updates)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a repository has.

    Attributes:
        place: The crate's directory, from the repository's top; empty at the top.
        member: Whether it is a member of a workspace whose manifest is elsewhere.
        platforms: What .platform says; None without that file.
        custom_tests: Description files, from the crate's directory, with what becomes of their tests.
        left_out: Other description files, and why they are not used.
        of_members: The same of members that are judged by themselves.
        members_tests: Other description files of members.
        skip: Standard sessions that a description leaves out, or has commands of its own for.
        packages: Packages that may be published.
        apart: Folders with a workspace of their own.
        beside: Such folders that a description has tests for: each gets a noxfile, too.
        submodules: Paths of submodules by their names.
        hooks: Buildkite hooks of the repository.
        coverage_configs: The files coverage_config_ARCH.json, those of members too, with their scores.
        recorded: Whether there is tests/coverage.
        workflows: Whether there are GitHub workflows.
        publishing: Packages that are published already, with the workflow that does, none of ours.
        overrides: Settings of standard sessions that custom tests imply.
        calling_old: Other custom tests whose commands call rust-vmm-ci.
        dependabot: Dependabot's configuration.
        renovate: The configuration of renovate; empty where there is none.
        updated: Folders of the crates that dependabot has, from the repository's top.
        buildkite: Whether it is Buildkite's agents that run its tests.
        bootstrap: What `BUILDKITE` holds; empty where there is no such file.
        vendored: Whether there is the zipapp that Buildkite's steps run.
        noxfile: What its noxfile holds; empty where there is none.
        github: Whether GitHub's runners run the sessions.
        tables: What is wrong in the tables that limit the feature matrix.
        many_runs: The feature matrix, if it takes too long for everyday work and no noxfile limits it.
    """

    place: str = ""
    member: bool = False
    platforms: tuple[str, ...] | None = None
    custom_tests: Mapping[str, Places] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    of_members: Mapping[str, Places] = field(default_factory=dict)
    members_tests: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    packages: tuple[Publishable, ...] = ()
    apart: tuple[str, ...] = ()
    beside: tuple[Found, ...] = ()
    submodules: Mapping[str, str]
    hooks: tuple[str, ...] = ()
    coverage_configs: Mapping[str, str] = field(default_factory=dict)
    recorded: bool = False
    workflows: bool = False
    publishing: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    calling_old: tuple[str, ...] = ()
    dependabot: Dependabot = field(default_factory=Dependabot)
    renovate: str = ""
    updated: tuple[str, ...] = ()
    buildkite: bool = False
    bootstrap: str = ""
    vendored: bool = False
    noxfile: str = ""
    github: bool = False
    tables: tuple[str, ...] = ()
    many_runs: ManyRuns | None = None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user asks for.

    Attributes:
        platforms: The platforms; None for what is found, else the usual ones.
        dependabot: ``weekly``, ``monthly`` or ``none``; None for weekly, unless renovate is there.
        publish: Whether packages are to be published from GitHub.
        buildkite: Whether Buildkite's agents are to run the sessions.
        github: Whether GitHub's runners are.
        vendor: Whether the repository keeps the zipapp that Buildkite's steps run; else the image has nox.
        pytest: Whether the coverage check is to be a test of pytest's.
    """

    platforms: tuple[str, ...] | None = None
    dependabot: str | None = None
    publish: bool = False
    buildkite: bool = False
    github: bool = False
    vendor: bool = False
    pytest: bool = False


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
    plan = {}
    for each in (found, *found.beside):
        inside = f"{each.place}/" if each.place else ""
        plan[f"{inside}noxfile.py"] = noxfile(each, nox=_nox(each, found, wishes))
        names = wishes.platforms or each.platforms or catalog.DEFAULT_PLATFORMS
        if set(names) != set(each.platforms or ()):
            plan[f"{inside}.platform"] = "".join(f"{name}\n" for name in names)
    if wishes.dependabot != "none" and (wishes.dependabot or not found.renovate):
        plan[found.dependabot.name] = dependabot(found, wishes)
    plan |= {package.workflow: publishing(package, found) for package in _to_publish(found, wishes)}
    if wishes.buildkite:
        plan[BUILDKITE] = _bootstrap(found, wishes)
    if wishes.pytest:
        plan |= _for_pytest(found, wishes)
    return plan


def _nox(crate: Found, found: Found, wishes: Wishes) -> str:
    """Return what stands for ``nox`` in the steps of a crate, which begin in its folder."""
    if not (wishes.vendor or found.vendored):
        return "nox"
    return f"python3 {shlex.quote(os.path.relpath(VENDORED, crate.place or '.'))}"


def _for_pytest(found: Found, wishes: Wishes) -> dict[str, str]:
    """Return the files by which ``pytest --profile=devel tests/test_coverage.py`` works in a crate."""
    inside, loaded = f"{found.place}/" if found.place else "", ""
    if wishes.vendor or found.vendored:
        there = f'pathlib.Path(__file__).parents[{inside.count("/") + 1}] / "{VENDORED}"'
        loaded = f"import pathlib, sys\n\nsys.path.append(str({there}))  # where it is not installed\n"
    return {
        f"{inside}tests/conftest.py": f'{loaded}pytest_plugins = ["rustvmm_sessions.pytest_plugin"]\n',
        f"{inside}tests/test_coverage.py": "from rustvmm_sessions.integration_tests.test_coverage "
        "import test_coverage as test_coverage\n",
    }


def _bootstrap(found: Found, wishes: Wishes) -> str:
    """Return the pipeline that makes the others: one upload for each noxfile, all into the same build."""
    nox = _nox(found, found, wishes)
    folders = [f"-f {shlex.quote(f'{each.place}/noxfile.py')} " for each in found.beside]
    commands = [f"{nox} {folder}-s pipeline -- --upload" for folder in ["", *folders]]
    lines = f" {commands[0]}" if len(commands) == 1 else "".join(f"\n      - {line}" for line in commands)
    return _BOOTSTRAP.format(
        commands=lines, plugin=DOCKER_PLUGIN, image=catalog.IMAGE, minutes=catalog.TIMEOUT_MINUTES
    )


def noxfile(found: Found, nox: str = "nox") -> str:
    """Return the noxfile with the settings that the repository's files imply.

    What other files say for themselves (.platform, coverage_config_ARCH.json) is not repeated.

    Args:
        found: What the repository has.
        nox: What stands for ``nox`` in Buildkite's steps.
    """
    options = []
    if nox != "nox":
        options.append(f"pipeline_command={json.dumps(nox)}")
    if found.member:
        options.append("workspace=False")
    if found.skip:
        options.append(f"skip={_listed(found.skip)}")
    if found.overrides:
        options.append(f"overrides={_table(found.overrides)}")
    if found.custom_tests:
        one = len(found.custom_tests) == 1
        options.append(f"custom_tests={_listed(tuple(found.custom_tests))[one : -1 if one else None]}")
    call = f"register({', '.join(options)})"
    if len(options) > 1:
        call = "register(\n" + "".join(f"    {option},\n" for option in options) + ")"
    return (
        "# /// script\n"
        '# dependencies = ["rustvmm-sessions[tools]", "nox"]\n'
        "# ///\n"
        f"{'import os' + chr(10) * 2 if MACHINE in json.dumps(found.overrides) else ''}import nox\n"
        "from rustvmm_sessions import register\n\n"
        f"crate = {call}\n\n"
        'if __name__ == "__main__":\n'
        "    nox.main()\n"
    )


def _table(value: Mapping[str, Mapping[str, object]]) -> str:
    """Return a table as Python has it, a row a line where it has several."""
    rows = [f"{_literal(key)}: {_literal(item)}" for key, item in value.items()]
    return (
        f"{{{rows[0]}}}"
        if len(rows) == 1
        else "".join(["{\n", *(f"        {row},\n" for row in rows), "    }"])
    )


def _literal(value: object) -> str:
    """Return a value as Python has it, texts in double quotes."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return str(value)
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and MACHINE in value:
        text = text.replace("{", "{{").replace("}", "}}").replace(MACHINE, "{os.uname().machine}")
        return f"f{text}"
    return text


def _listed(names: tuple[str, ...]) -> str:
    text = json.dumps(names, ensure_ascii=False)
    if len(text) <= 80:
        return text
    return "[\n" + "".join(f"        {json.dumps(name, ensure_ascii=False)},\n" for name in names) + "    ]"


def _to_publish(found: Found, wishes: Wishes) -> list[Publishable]:
    return [p for p in found.packages if wishes.publish and p.name not in found.publishing]


def read_dependabot(name: str, text: str) -> Dependabot:
    """Return what dependabot's configuration says; one that cannot be understood updates nothing.

    Raises:
        UserError: It is no YAML.
    """
    data = read_yaml(text, name).data if text else None
    given = data.get("updates") if isinstance(data, dict) else None
    entries = [entry for entry in given if isinstance(entry, dict)] if isinstance(given, list) else []
    plain = all(entry.keys() <= _PLAIN for entry in entries) and set(data or ()) <= {"version", "updates"}
    updates = [
        (str(entry.get("package-ecosystem")), str(folder).strip("/"))
        for entry in entries
        for folder in (entry.get("directories") or [entry.get("directory")])
    ]
    return Dependabot(name=name, text=text, updates=tuple(updates), plain=plain)


def dependabot(found: Found, wishes: Wishes) -> str:
    """Return dependabot's configuration: one grouped pull request for each kind of dependency.

    One that has all kinds already stays as it is, and one of somebody else's gets those that it lacks.
    """
    interval, there = wishes.dependabot or "weekly", found.dependabot
    places = [each.place for each in (found, *found.beside)]
    rust = {
        place: f"""\
        # Rust dependencies, those in Cargo.lock that others depend on included, in one pull request.
        - package-ecosystem: cargo
          directory: {json.dumps(f"/{place}", ensure_ascii=False)}
          schedule:
            interval: {interval}
          allow:
            - dependency-type: all
          groups:
            rust-dependencies:
              patterns: ["*"]
        """
        for place in (*found.updated, *places)
    }
    workflows = found.workflows or wishes.github or bool(_to_publish(found, wishes))
    kinds = {"github-actions": workflows, "gitsubmodule": bool({*found.submodules} - {OLD_SUBMODULE})}
    others = {
        kind: f"""\
        - package-ecosystem: {kind}
          directory: "/"
          schedule:
            interval: {interval}
        """
        for kind, wanted in kinds.items()
        if wanted
    }
    lacking = [rust[place] for place in places if not there.has("cargo", place)]
    lacking += [entry for kind, entry in others.items() if not there.has(kind, "")]
    if there.text and not lacking and not (there.plain and wishes.dependabot):
        return there.text
    if there.text and not there.plain:
        return _with_entries(there.text, lacking)
    return f"version: 2\nupdates:\n{_indented([*rust.values(), *others.values()], '  ')}"


def _indented(entries: list[str], indent: str) -> str:
    return "".join(textwrap.indent(textwrap.dedent(entry), indent) for entry in entries)


def _with_entries(text: str, entries: list[str]) -> str:
    """Return dependabot's configuration with more entries, indented as those that it has."""
    found = re.search(r"^updates:.*\n(?:[ \t]*(?:#.*)?\n)*( *)- ", text, re.MULTILINE)
    if found is None:
        return text
    end = re.compile(r"^[^\s#-]", re.MULTILINE).search(text, found.end())
    before, after = text[: end.start() if end else None].rstrip("\n"), text[end.start() :] if end else ""
    return f"{before}\n{_indented(entries, found[1])}{after}"


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
    todo = [record for each in (found, *found.beside) if (record := _record(each, found.place))]
    if found.tables:
        todo.append("Correct the tables that limit the feature matrix:\n  " + "\n  ".join(found.tables))
    elif many := found.many_runs:
        todo.append(
            f"Combine fewer features, as {many.session} alone would run cargo "
            f"{many.runs or 'far too many'} times: register(depth={many.depth}) in noxfile.py makes that "
            f"{many.fewer} (nox -s {many.session} -- --list)"
        )
    if found.hooks:
        todo.append(f"To run {', '.join(found.hooks)} on your machine: nox -s setup -- --hooks")
    todo += [
        f"{folder} is a workspace of its own: cd {shlex.quote(folder)} && rustvmm-sessions init"
        for folder in found.apart
    ]
    todo += _left_of_tests(found)
    todo += _left_of_publishing(found, wishes)
    if found.renovate and not wishes.dependabot:
        todo.append(
            f"{found.renovate} has renovate update the dependencies: no dependabot was planned "
            "(`--dependabot weekly` adds it)."
        )
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


def _record(found: Found, start: str) -> str:
    """Return how coverage is recorded, from the folder `start`; empty where it is."""
    if found.recorded:
        return ""
    own = any("/" not in name for name in found.coverage_configs)
    of_members = bool(found.coverage_configs) and not own  # which then stand for themselves
    until = (
        "judged by coverage_config_ARCH.json until then"
        if found.coverage_configs
        else "it has no baseline yet"
    )
    record = "'*/tests/coverage'" if of_members else "tests/coverage"
    folder = (
        ""
        if found.place == start
        else f"cd {shlex.quote(os.path.relpath(f'/{found.place}', f'/{start}'))} && "
    )
    return f"Record the coverage ({until}): {folder}nox -s coverage -- --profile devel && git add {record}"


def _left_of_publishing(found: Found, wishes: Wishes) -> list[str]:
    todo = []
    if wishes.publish and found.publishing:
        workflows = ", ".join(sorted({*found.publishing.values()}))
        todo.append(f"Packages are published already by {workflows}: no workflow was planned for them.")
    pages = [
        f"https://crates.io/crates/{package.name}/settings, {package.workflow.rpartition('/')[2]}"
        for package in _to_publish(found, wishes)
    ]
    if pages:
        todo.append(
            "Trust the workflow on crates.io. A package that is not there yet has no such page: publish its "
            "first version by hand (cargo login && cargo publish --package NAME).\n  " + "\n  ".join(pages)
        )
    return todo


def taken_over(found: Found) -> list[str]:
    """Return what becomes of each file of rust-vmm-ci."""
    said = []
    for each in (found, *found.beside):
        place = os.path.relpath(f"/{each.place}", f"/{found.place}")
        said += [f"{posixpath.normpath(f'{place}/{name}')}{what}" for name, what in _files(each)]
    if OLD_SUBMODULE in found.submodules:
        path = found.submodules[OLD_SUBMODULE]
        said.append(f"{path}: the submodule, which the sessions do not need; removed last")
    return said


def _files(found: Found) -> Iterator[tuple[str, str]]:
    """Yield the files of rust-vmm-ci, from the crate's directory, and what becomes of them."""
    until = "its exclude_path and crate_features hold"
    if not found.recorded:
        until = f"the baseline until there is tests/coverage; {until} then, too"
    of_member = "of a member, which is judged by it"
    for name, score in found.coverage_configs.items():
        yield name, f" (coverage_score {score}): {of_member if '/' in name else until}"
    if found.platforms is not None:
        names = ", ".join(found.platforms)
        yield ".platform", f" ({names}): stays; it says what the pipeline has steps for"
    for name, tests in (*found.custom_tests.items(), *found.of_members.items()):
        own = [test for test, session in tests if not session]
        others = [f"{t} ({session})" if t != session else t for t, session in tests if session]
        parts = ["standard sessions take the place of " + ", ".join(others)] if others else []
        parts += ["its tests are sessions: " + _some(own)] if own else []
        yield name, f": {'; '.join(parts)}"
    for name, why in found.left_out.items():
        yield name, f": left out of the noxfile, {why}"
    for name in found.members_tests:
        yield name, ": stays out of the noxfile; see below"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else ""
    return ", ".join(dict.fromkeys(names[:MOST_NAMES])) + more


def _left_of_tests(found: Found) -> list[str]:
    todo = []
    if found.members_tests:
        todo.append(
            f"Tests described for members are no sessions yet: {', '.join(found.members_tests)}. If their "
            "commands start in this directory, name the files in register(custom_tests=[...])."
        )
    files = [name for name, tests in found.custom_tests.items() if any(session for _, session in tests)]
    if files:
        todo.append(
            "Take the tests whose place a standard session takes out of their file when CI runs the "
            f"sessions: {', '.join(files)}"
        )
    if found.calling_old:
        todo.append(
            f"Custom tests that call {OLD_SUBMODULE}: {', '.join(found.calling_old)}; "
            "docs/moving-from-rust-vmm-ci.md has what takes its place."
        )
    return todo


def _left_of_github(found: Found, wishes: Wishes) -> list[str]:
    todo = []
    if wishes.github:
        todo.append(
            "In GitHub's settings of the repository, require the check `gate` for merging: it sums up the "
            "others, which change with the noxfile."
        )
    if wishes.github or found.github:
        todo += [
            f"{GITHUB} has the sessions of the noxfile at the top alone: let a job of your own run "
            f"`nox -f {shlex.quote(each.place)}/noxfile.py -t gate`."
            for each in found.beside
        ]
    return todo


def _left_of_ci(found: Found, wishes: Wishes) -> list[str]:
    todo = _left_of_github(found, wishes)
    if not (wishes.github or found.github or found.buildkite or wishes.buildkite or found.place):
        todo.append(
            "No CI runs the sessions yet: `rustvmm-sessions init --github` writes a workflow for GitHub, "
            "`--buildkite` a pipeline for Buildkite."
        )
    bootstraps = wishes.buildkite or _BOOTSTRAPS.search(found.bootstrap)
    if bootstraps and not found.buildkite:
        todo.append(
            "For Buildkite, ask an admin of its organization for a pipeline, and add its webhook in GitHub's "
            "settings of the repository (pull request and push events)."
        )
    if bootstraps:
        todo.append(
            "In the settings of the Buildkite pipeline, the only step is `buildkite-agent pipeline upload`, "
            f"which reads {BUILDKITE}."
        )
    elif found.buildkite and found.place:
        todo.append(
            "For Buildkite to run the sessions, let steps of its pipeline run "
            f"`nox -f {shlex.quote(found.place)}/noxfile.py -s NAME`."
        )
    elif found.buildkite and found.bootstrap:
        todo.append(
            f"For Buildkite to run the sessions, add a step to {BUILDKITE} that runs "
            "`nox -s pipeline -- --upload`."
        )
    elif found.buildkite:
        todo.append(
            f"For Buildkite to run the sessions, let `rustvmm-sessions init --buildkite` write {BUILDKITE}; "
            "then, in the settings of this repository's pipeline, replace the steps by one: "
            "`buildkite-agent pipeline upload`."
        )
    nox = _nox(found, found, wishes)
    if wishes.buildkite and nox == "nox":
        todo.append(
            f"Let the image of the steps bring nox and rustvmm-sessions: {catalog.IMAGE} has neither."
        )
    elif wishes.buildkite and found.noxfile and "pipeline_command" not in found.noxfile:
        todo.append(f"Let the steps run it, in noxfile.py: register(pipeline_command={json.dumps(nox)})")
    return todo
