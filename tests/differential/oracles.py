"""What cargo, rustdoc and cargo-llvm-cov say of a workspace when they are called directly.

They see a copy of it, which is written with new time stamps after each edit. Where a verdict depends on
denied warnings, that copy's own flags, wherever they stand, end with the flags that deny them.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.differential.render import NOTHING, REPOSITORY, Denied, files, variables, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.differential.workspace import Package, Workspace

FORMAT = ("fmt", "--all", "--", "--check", "--config=format_code_in_doc_comments=true")
LINTS = ("--", "-D", "warnings", "-D", "clippy::undocumented_unsafe_blocks")
COMMANDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], Denied]] = {
    "clippy": (("clippy", "--all-targets"), LINTS, NOTHING),
    "build-gnu": (("build", "--release", "--all-targets"), (), Denied(rustflags=("-D", "warnings"))),
    "unit-tests": (("test",), (), NOTHING),
}
"""What the sessions of the feature matrix do with each combination: words before and behind it."""
DOCUMENTED = Denied(
    rustflags=("--cfg", "RUSTDOC_disable_feature_compat_errors"), rustdocflags=("-D", "warnings")
)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What is called, and the environment that all calls share."""

    host: str
    rustc: str
    llvm_cov: str
    environment: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Line coverage.

    Attributes:
        covered: Lines that the tests reach.
        count: Lines that can be reached.
        files: The same for each file, by its path from the workspace's root.
        reached: Whether each line is reached, by path and number, as the tracefile says.
    """

    covered: int
    count: int
    files: tuple[tuple[str, int, int], ...]
    reached: Mapping[tuple[str, int], bool]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A combination of packages and features: words for cargo, and whether the session has to run it."""

    words: tuple[str, ...]
    sure: bool = True
    joint: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Oracle:
    """Copies of one workspace, and what the tools say of its present state."""

    place: Path
    tools: Tools
    workspace: Workspace
    _written: dict[str, dict[str, str]] = field(default_factory=dict)
    _known: dict[object, subprocess.CompletedProcess[str]] = field(default_factory=dict)

    def now(self, workspace: Workspace) -> None:
        """Take another state of the workspace."""
        self.workspace = workspace
        self._known.clear()

    def _copy(self, name: str, denied: Denied) -> Path:
        """Return the root of a copy of the present state."""
        texts = files(self.workspace, self.tools.host, denied)
        write(self.place / name, texts, self._written.get(name, ()))
        self._written[name] = texts
        return self.place / name / REPOSITORY / self.workspace.top

    def call(
        self,
        words: Sequence[str],
        *,
        copy: str = "plain",
        denied: Denied = NOTHING,
        folder: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a copy."""
        root = self._copy(copy, denied)
        key = (tuple(words), copy, folder)
        if key not in self._known:
            self._known[key] = self._run(words, root / folder, denied)
        return self._known[key]

    def _run(self, words: Sequence[str], cwd: Path, denied: Denied) -> subprocess.CompletedProcess[str]:
        flags = variables(self.workspace, self.tools.host, denied)
        return subprocess.run(
            words,
            cwd=cwd,
            env={**self.tools.environment, **flags},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    @property
    def _home(self) -> str:
        return self.workspace.noxfile

    # Verdicts: what failed, or nothing

    def format(self) -> str:
        """Say what rustfmt does not like."""
        scope = () if self._home else ("--all",)
        words = ["cargo", "fmt", *scope, *FORMAT[2:]]
        done = self.call(words, folder=self._home)
        return "" if done.returncode == 0 else f"{' '.join(words)}\n{done.stdout}{done.stderr}"

    def documentation(self, only: Sequence[str] = ()) -> str:
        """Say what rustdoc does not like."""
        scope = self._scope(only)
        words = ["cargo", "doc", *scope, "--all-features", "--no-deps"]
        done = self.call(words, copy="documented", denied=DOCUMENTED, folder=self._home)
        return "" if done.returncode == 0 else f"{' '.join(words)}\n{done.stderr}"

    def matrix(self, session: str, only: Sequence[str], *, passed: bool) -> str | None:
        """Say what fails although the session passed, or None where it failed and nothing does.

        Where both are right, the answer is empty.
        """
        before, behind, denied = COMMANDS[session]
        copy = session if denied != NOTHING else "plain"
        for run in self.runs(only):
            if not run.sure and passed:
                continue
            words = ["cargo", *before, *run.words, *behind]
            done = self.call(words, copy=copy, denied=denied, folder=self._home)
            if done.returncode == 0:
                continue
            if run.joint and passed:
                joint = ["cargo", *before, *run.joint, *behind]
                if self.call(joint, copy=copy, denied=denied).returncode == 0:
                    continue  # it lacks what other members switch on: a warning is enough
            return f"{' '.join(words)}\n{done.stdout}{done.stderr}" if passed else ""
        return "" if passed else None

    def _scope(self, only: Sequence[str]) -> tuple[str, ...]:
        if self._home:
            return ()
        return tuple(f"--package={name}" for name in only) or ("--workspace",)

    def runs(self, only: Sequence[str]) -> Iterator[Run]:
        """Yield the combinations: all with default and with all features, and each member's subsets."""
        members = [p for p in self.workspace.members if p.name in only or not only]
        if self._home:
            members = [self.workspace.package(self._home)]
        scope = self._scope(only)
        yield Run(words=scope)
        if any(member.table and member.excludes for member in members):
            choices = [_largest(_subsets(member, self.workspace)) for member in members]
            for subsets in itertools.product(*choices):
                asked = [
                    name if self._home else f"{member.name}/{name}"
                    for member, subset in zip(members, subsets, strict=True)
                    for name in subset
                ]
                yield Run(words=(*scope, "--no-default-features", *_features(asked)), sure=False)
        else:
            yield Run(words=(*scope, "--all-features"))
        for member in members:
            alone = () if self._home else (f"--manifest-path={member.folder}/Cargo.toml",)
            for subset in _subsets(member, self.workspace):
                together = ("--workspace", *_features([f"{member.name}/{name}" for name in subset]))
                yield Run(
                    words=(*alone, "--no-default-features", *_features(subset)),
                    joint=() if self._home or len(self.workspace.members) == 1 else together,
                )

    # Figures

    def coverage(self, words: Sequence[str], folder: str, *, excludes: bool) -> Measured | str:
        """Measure with cargo-llvm-cov, in a folder; a text says why that failed."""
        program = [self.tools.llvm_cov, "llvm-cov"]
        pattern = self.workspace.exclude if excludes else ""
        excluded = [f"--ignore-filename-regex={pattern}"] if pattern else []
        done = self.call([*program, "test", "--json", *words, *excluded], folder=folder)
        start = done.stdout.find('{"data"')
        if done.returncode != 0 or start < 0:
            return f"{' '.join(words)}\n{done.stdout[-2000:]}{done.stderr}"
        data = json.JSONDecoder().raw_decode(done.stdout[start:])[0]["data"][0]
        root = self.place / "plain" / REPOSITORY / self.workspace.top
        scope = [word for word in words if word == "--workspace"]
        traced = self.call([*program, "report", "--lcov", *scope, *excluded], folder=folder)
        totals = data["totals"]["lines"]
        return Measured(
            covered=totals["covered"],
            count=totals["count"],
            files=tuple(
                sorted(
                    (
                        os.path.relpath(file["filename"], root),
                        file["summary"]["lines"]["covered"],
                        file["summary"]["lines"]["count"],
                    )
                    for file in data["files"]
                )
            ),
            reached=dict(_reached(traced.stdout, root)),
        )

    def rebuilt(self, before: Workspace) -> set[str]:
        """Return the members that cargo builds anew, or no longer can, where it built `before`."""
        now, self.workspace = self.workspace, before
        _, failed_before = self._built()
        self.workspace = now
        built, failed = self._built()
        return built | (failed - failed_before)

    def _built(self) -> tuple[set[str], set[str]]:
        """Build all targets; return the members that were built anew, and those that do not build."""
        root = self._copy("rebuilt", NOTHING)
        manifests = {os.path.normpath(root / p.folder / "Cargo.toml"): p.name for p in self.workspace.members}
        built, failed = set[str](), set[str]()
        words = ("cargo", "test", "--no-run", "--workspace", "--all-targets", "--message-format=json")
        for features in ((), ("--all-features",)):
            done = self._run((*words, *features), root, NOTHING)
            for line in done.stdout.splitlines():
                message = json.loads(line) if line.startswith("{") else {}
                name = manifests.get(os.path.normpath(message.get("manifest_path", "")), "")
                if message.get("fresh") is False:
                    built.add(name)
                if message.get("message", {}).get("level") == "error":
                    failed.add(name)
        return built - {""}, failed - {""}


def _reached(tracefile: str, root: Path) -> Iterator[tuple[tuple[str, int], bool]]:
    path = ""
    for line in tracefile.splitlines():
        key, _, value = line.partition(":")
        if key == "SF":
            path = os.path.relpath(value, root)
        elif key == "DA":
            number, hits = value.split(",")[:2]
            yield (path, int(number)), int(hits) > 0


def _features(names: Sequence[str]) -> tuple[str, ...]:
    return (f"--features={','.join(names)}",) if names else ()


def _subsets(package: Package, workspace: Workspace) -> list[tuple[str, ...]]:
    """Return the sets of features that the table of cargo-all-features permits."""
    names = [feature.name for feature in package.features]
    names += [d.rename or workspace.package(d.on).name for d in package.dependencies if d.optional]
    subsets = [subset for size in range(len(names) + 1) for subset in itertools.combinations(names, size)]
    if package.table and package.excludes:
        subsets = [subset for subset in subsets if not set(package.excludes) <= set(subset)]
    return subsets


def _largest(subsets: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [one for one in subsets if not any(set(one) < set(other) for other in subsets)]


def changed_lines(repository: Path, base: str, environment: Mapping[str, str]) -> set[tuple[str, int]]:
    """Return the lines that git says are new since a commit, by path from the repository and number."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=repository, env=dict(environment), capture_output=True, text=True, check=True
        )
        return done.stdout

    changed = changed_in(git("-c", "core.quotePath=off", "diff", "-U0", "--no-renames", base, "--"))
    for path in git("-c", "core.quotePath=off", "ls-files", "--others", "--exclude-standard", "-z").split(
        "\0"
    ):
        if path.endswith(".rs"):
            text = (repository / path).read_text()
            changed |= {(path, number) for number in range(1, len(text.splitlines()) + 1)}
    return changed


def changed_in(patch: str) -> set[tuple[str, int]]:
    """Return the new lines of a patch without context, by path and number."""
    changed: set[tuple[str, int]] = set()
    path = ""
    for line in patch.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ ").rstrip("\t").removeprefix("b/")
        elif match := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(match[1]), int(match[2] or 1)
            changed |= {(path, number) for number in range(first, first + count)}
    return changed
