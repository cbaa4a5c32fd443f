"""Run a case: make the workspace, edit it, and hold each session against its oracle."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crates import REPOSITORY as LIBRARY
from tests.differential.oracles import Measured, Oracle, Tools, changed_lines
from tests.differential.render import NOTHING, REPOSITORY, files, variables, write
from tests.differential.workspace import Edit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.differential.workspace import Case, Check, Workspace

START = "start"
"""The branch at the workspace's first state."""
SILENT = {"build", "build-writes", "build-cfg"}
"""Traits with a build script that does not say what it reads."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where a session and its oracle disagree.

    Attributes:
        check: What was run.
        kind: In which way, in words that stay the same while the case shrinks.
        expected: What the oracle says.
        found: What the session says.
        output: What the session printed.
    """

    check: Check
    kind: str
    expected: str
    found: str
    output: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a case: how much was compared, and the first difference."""

    comparisons: int
    difference: Difference | None = None


class _Found(Exception):  # noqa: N818 - it is no error of this program
    """Ends a case at its first difference."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.kind)
        self.difference = difference


def tools(place: Path) -> Tools:
    """Return the tools, with a home for cargo in which crates.io is empty.

    Raises:
        SystemExit: cargo-llvm-cov or LLVM's tools are missing.
    """
    home, registry = place / "cargo-home", place / "registry"
    home.mkdir(parents=True, exist_ok=True)
    registry.mkdir(exist_ok=True)
    source = f'[source.crates-io]\nreplace-with = "empty"\n[source.empty]\ndirectory = "{registry}"\n'
    (home / "config.toml").write_text(source)
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    about = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    major = about["LLVM version"].partition(".")[0]
    folder = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    program = shutil.which("cargo-llvm-cov", path=folder)
    if program is None:
        raise SystemExit("cargo-llvm-cov is missing: install the extra `tools`")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not re.match(
            r"CI$|(GIT|NOX|RUSTVMM|GITHUB|BUILDKITE|CARGO|RUST(?!UP)|FORCE_COLOR|REMOTE|BASE_BRANCH)", name
        )
    }
    environment |= {
        "NO_COLOR": "1",
        "CARGO_HOME": str(home),
        "CARGO_LLVM_COV_SETUP": "no",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "XDG_CACHE_HOME": str(place / "cache"),
    }
    for variable, name in (("LLVM_COV", "llvm-cov"), ("LLVM_PROFDATA", "llvm-profdata")):
        own = Path(f"/usr/lib/llvm-{major}/bin/{name}")
        found = str(own) if own.exists() else _of_sysroot(name, about["host"])
        environment[variable] = found
    return Tools(host=about["host"], rustc=about["release"], llvm_cov=program, environment=environment)


def _of_sysroot(name: str, host: str) -> str:
    sysroot = subprocess.run(
        ["rustc", "--print=sysroot"], capture_output=True, text=True, check=True
    ).stdout.strip()
    path = Path(sysroot, "lib/rustlib", host, "bin", name)
    if not path.exists():
        raise SystemExit(f"{name} of rustc's LLVM version is missing: rustup component add llvm-tools")
    return str(path)


def run(case: Case, place: Path, given: Tools) -> Result:
    """Run a case in a folder, which is emptied first, up to its first difference."""
    shutil.rmtree(place, ignore_errors=True)
    trial = _Trial(place=place, tools=given, workspace=case.workspace)
    trial.begin()
    try:
        for step in case.steps:
            if isinstance(step, Edit):
                trial.edit(step)
            else:
                trial.check(step)
    except _Found as found:
        return Result(comparisons=trial.comparisons, difference=found.difference)
    return Result(comparisons=trial.comparisons)


@dataclass(kw_only=True)
class _Trial:
    """A case while it runs."""

    place: Path
    tools: Tools
    workspace: Workspace
    comparisons: int = 0
    edits: list[Edit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = self.workspace
        self.oracle = Oracle(place=self.place / "oracle", tools=self.tools, workspace=self.workspace)

    @property
    def _repository(self) -> Path:
        return self.place / "own" / REPOSITORY

    @property
    def _home(self) -> Path:
        return self._repository / self.workspace.top / self.workspace.noxfile

    def begin(self) -> None:
        """Make the workspace, as a repository with one commit."""
        self._write(self.workspace)
        self._git("init", "--quiet", "--initial-branch=main")
        if "lock" in self.workspace.traits:
            root = self._repository / self.workspace.top
            self._call(["cargo", "generate-lockfile", "--quiet"], root)
        self._commit("Start")
        self._git("branch", START)

    def _write(self, workspace: Workspace, *, older: bool = False) -> None:
        before = files(self.workspace, self.tools.host) if (self.place / "own").exists() else {}
        write(self.place / "own", files(workspace, self.tools.host), before, older=older)
        self.workspace = workspace

    def edit(self, edit: Edit) -> None:
        """Make a change."""
        self._write(edit.apply(self.workspace), older=edit.older)
        self.oracle.now(self.workspace)
        self.edits.append(edit)
        if edit.commit:
            self._commit(edit.what)

    def _git(self, *words: str) -> str:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        return self._call(["git", *identity, *words], self._repository).stdout

    def _commit(self, title: str) -> None:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", title)

    def _call(
        self, words: Sequence[str], cwd: Path, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {**self.tools.environment, **(more or {})}
        return subprocess.run(
            words,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    # Comparisons

    def check(self, check: Check) -> None:
        """Run a session and compare.

        Raises:
            _Found: There is a difference.
        """
        if check.session == "coverage":
            self._coverage(check)
        else:
            self._verdict(check)

    def _session(self, check: Check, *more: str) -> subprocess.CompletedProcess[str]:
        """Run a session, which leaves the work tree as it was and has no traceback."""
        before = self._git("status", "--porcelain")
        words = [sys.executable, "-m", "nox", "-s", check.session, "--", *check.options, *more]
        flags = variables(self.workspace, self.tools.host, NOTHING)
        done = self._call(words, self._home, {**flags, "PYTHONPATH": str(LIBRARY)})
        self._compare(check, "traceback", expected=False, found="Traceback (most" in done.stderr, done=done)
        after = self._git("status", "--porcelain")
        self._compare(check, "work tree", expected=before, found=after, done=done)
        return done

    def _compare(
        self,
        check: Check,
        kind: str,
        *,
        expected: object,
        found: object,
        done: subprocess.CompletedProcess[str],
    ) -> None:
        self.comparisons += 1
        if expected != found:
            output = done.stdout + done.stderr
            raise _Found(
                Difference(check=check, kind=kind, expected=str(expected), found=str(found), output=output)
            )

    def _verdict(self, check: Check) -> None:
        only: tuple[str, ...] = ()
        if "--changed" in check.options:
            only = self._chosen(check)
        if "--package" in check.options:
            only = (check.options[check.options.index("--package") + 1],)
        done = self._session(check)
        passed = done.returncode == 0
        if "--changed" in check.options and not only:
            self._compare(check, "fails with nothing to do", expected=True, found=passed, done=done)
            return
        if check.session == "fmt":
            said: str | None = self.oracle.format()
        elif check.session == "doc":
            said = self.oracle.documentation(only)
        else:
            said = self.oracle.matrix(check.session, only, passed=passed)
        if check.session in ("fmt", "doc") and not passed:
            said = "" if said else None
        self._compare(check, "fails and should pass", expected=False, found=said is None, done=done)
        self._compare(check, "passes and should fail", expected="", found=said, done=done)

    def _chosen(self, check: Check) -> tuple[str, ...]:
        """Return the members that a session chooses by what changed, which have to be enough."""
        done = self._session(replace(check, session="unit-tests"), "--list")
        names = [member.name for member in self.workspace.members]
        lines = [line for line in done.stdout.splitlines() if line.startswith("cargo ")]
        said = {match for line in lines for match in re.findall(r"--package=(?:\S*[#/])?([\w-]+)", line)}
        if any(" --workspace" in line for line in lines):
            said = set(names)
        kept = [flags for flags in self.first.flags if "variable" not in flags.place]
        now = [flags for flags in self.workspace.flags if "variable" in flags.place]  # no change of a file
        rebuilt = self.oracle.rebuilt(replace(self.first, flags=(*kept, *now)))
        self._compare(check, "members not chosen", expected=[], found=sorted(rebuilt - said), done=done)
        silent = any(SILENT & set(package.traits) for package in self.workspace.packages)
        unseen = any(package.folder.startswith(("..", ".")) for package in self.workspace.packages)
        if all(edit.what == "notes" for edit in self.edits) and not silent and not unseen:
            self._compare(check, "members chosen for nothing", expected=[], found=sorted(said), done=done)
        return tuple(name for name in names if name in said)

    def _coverage(self, check: Check) -> None:
        crate = bool(self.workspace.noxfile) or "crate" in check.options
        words = [] if crate else ["--workspace"]
        folder = self.workspace.noxfile
        asked = self.workspace.crate_features
        package, excludes = "", True
        if "--package" in check.options:  # the member's own configuration and record hold
            package = check.options[check.options.index("--package") + 1]
            folder = next(member.folder for member in self.workspace.members if member.name == package)
            words, excludes = [], folder == "."
            asked = asked if excludes else None
        if "--no-default-features" in check.options:
            words.append("--no-default-features")
        elif asked is None:
            words.append("--all-features")
        if asked:
            words.append(f"--features={asked}")
        measured = self.oracle.coverage(words, folder, excludes=excludes)
        report = self.place / "coverage.json"
        report.unlink(missing_ok=True)
        home = self._repository / self.workspace.top / folder if package else self._home
        with self._recorded(check, measured, home / "tests/coverage"):
            done = self._session(check, "--json", str(report))
        document: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
        if package:
            document |= next((m for m in document.get("members", ()) if m["package"] == package), {})
        if isinstance(measured, str) and "failed to collect object files" in measured:
            return  # cargo-llvm-cov does not see build.target in a file that cargo's configuration includes
        if isinstance(measured, str) or measured.covered == 0:
            self._compare(check, "measures what fails", expected=None, found=document.get("lines"), done=done)
            self._compare(
                check, "passes and should fail", expected=False, found=done.returncode == 0, done=done
            )
            self._compare(check, "verdict", expected="none", found=document.get("verdict", "none"), done=done)
            return
        root = self._repository / self.workspace.top
        lines = document.get("lines") or {}
        found = (lines.get("covered"), lines.get("count"))
        if found != (None, None) or done.returncode == 0:
            own = [
                (os.path.relpath(root / file["path"], root), file["covered"], file["count"])
                for file in document["files"]
            ]
            theirs, ours = Counter(measured.files), Counter(own)
            moved = sorted(((theirs - ours) + (ours - theirs)).elements())
            self._compare(check, "files", expected=[], found=moved, done=done)
        self._compare(check, "lines", expected=(measured.covered, measured.count), found=found, done=done)
        verdict = {"less": "higher", "more": "lower", "none": "none"}.get(check.record, "equal")
        self._compare(check, "verdict", expected=verdict, found=document["verdict"], done=done)
        passed = done.returncode == 0
        self._compare(check, "passed", expected=verdict == "equal", found=passed, done=done)
        if document.get("diff"):
            self._diff(check, measured, document["diff"], done)

    def _diff(
        self, check: Check, measured: Measured, found: Any, done: subprocess.CompletedProcess[str]
    ) -> None:
        top = self.workspace.top
        reached = {(os.path.normpath(Path(top, p)), n): hit for (p, n), hit in measured.reached.items()}
        changed = changed_lines(self._repository, START, self.tools.environment) & reached.keys()
        expected = (sum(reached[line] for line in changed), len(changed))
        own = (found["covered"], found["count"])
        self._compare(check, "changed lines", expected=expected, found=own, done=done)

    @contextmanager
    def _recorded(self, check: Check, measured: Measured | str, file: Path) -> Iterator[None]:
        """Let something be recorded for a moment."""
        if isinstance(measured, str) or check.record == "none":
            yield
            return
        covered = measured.covered + {"less": -1, "more": 1}.get(check.record, 0)
        percent = Decimal(100 * covered) / measured.count if measured.count else Decimal(0)
        text = f"{percent.quantize(Decimal('0.01'), ROUND_HALF_UP)}\n"
        if check.record != "percent":
            arch = self.tools.host.partition("-")[0]
            text += f"{arch} {covered}/{measured.count} rustc-{self.tools.rustc}\n"
        there = file.parent.exists()
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        try:
            yield
        finally:
            if there:
                file.unlink()
            else:
                shutil.rmtree(file.parent)
