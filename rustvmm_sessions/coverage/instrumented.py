"""Build a crate's tests with coverage instrumentation, run them, and keep what they leave.

The instrumentation is that of cargo-llvm-cov: only the workspace's own packages get it, by way of
cargo's ``RUSTC_WORKSPACE_WRAPPER``, so that dependencies are built as always and the crate's own
rustflags stay in force, and shared with cargo's other builds. The build is kept between runs;
profiles are not, with one exception: a procedural macro or a build script runs while the crate is
compiled, so what it reached is kept as long as the build that it ran in. Such a build shares
nothing, as it has to be made anew now and then.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import files
from rustvmm_sessions.console import tell
from rustvmm_sessions.coverage import profile_runner
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.rust.cargo import Cargo, Package, machine
from rustvmm_sessions.rust.configuration import runner, runner_variable
from rustvmm_sessions.rust.messages import artifacts_in, messages_in
from rustvmm_sessions.rust.turns import in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rustvmm_sessions.process import Finished

_WRAPPER = """\
#!/bin/sh
# Started by cargo as `wrapper rustc ARGUMENT...`. Cargo takes no words beside the path of a wrapper,
# hence a file; it adds fixed words and passes the rest on untouched.
exec "$@" {flags}
"""
_RUNS_WHILE_BUILDING = frozenset({"proc-macro", "custom-build"})


@dataclass(frozen=True, kw_only=True)
class TestSelection:
    """Which tests are built, and how: the arguments of ``cargo test`` that decide what counts.

    Attributes:
        workspace: Every member, else the package of the crate's directory.
        features: None for all features, else those beside the default ones.
        default_features: Whether the default features are on.
    """

    __test__ = False  # not a test class, whatever pytest thinks of its name

    workspace: bool
    features: tuple[str, ...] | None
    default_features: bool = True

    def arguments(self) -> tuple[str, ...]:
        """Return the arguments for cargo."""
        args = ["--workspace"] if self.workspace else []
        if not self.default_features:
            args.append("--no-default-features")
        if self.features is None:
            args += ["--all-features"] if self.default_features else []
        elif self.features:
            args.append(f"--features={','.join(self.features)}")
        return tuple(args)

    def members(self, cargo: Cargo) -> tuple[Package, ...]:
        """Return the packages whose files count."""
        return cargo.workspace.members if self.workspace else (cargo.package,)


@dataclass(frozen=True, kw_only=True)
class Instrumented:
    """An instrumented build.

    Attributes:
        directory: Where it lies, as in a target directory of cargo's.
        objects: The executables and libraries that hold coverage mappings, sorted.
        tests: The test executables by file name, with what each tests.
        triple: The target triple it was built for.
        profiles: Profiles of what ran while it was built.
    """

    directory: Path
    objects: tuple[Path, ...]
    tests: dict[str, str]
    triple: str
    profiles: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class ProfiledTests:
    """The instrumented tests of one crate, in a folder of cargo's target directory.

    Attributes:
        cargo: Cargo in the crate's directory.
        own: Our folder; it holds the build, the profiles and the wrapper.
        selection: Which tests.
        deadline: When the session's time is up.
    """

    cargo: Cargo
    own: Path
    selection: TestSelection
    deadline: Deadline = field(default_factory=Deadline)

    def build(self) -> Instrumented:
        """Build the tests, reusing what earlier runs built.

        Raises:
            CheckFailed: They do not build.
        """
        workspace = self.cargo.workspace
        kept, fresh = self.own / "build-profiles", self.own / "build-profiles.new"
        complete = kept / "complete"
        before = files.read_text(complete)
        complete.unlink(missing_ok=True)
        files.own_directory(self._intermediate)
        _empty(fresh)
        artifacts = self._compile()
        if self._runs_while_building:
            rebuilt = [not artifact["fresh"] for artifact in artifacts]
            if not all(rebuilt) and (any(rebuilt) or before != _listed(artifacts)):
                # A part of the build is older than its profiles, or they are of another selection:
                # only a whole build has them all and no others.
                packages = [f"--package={member.name}" for member in workspace.members]
                clean = ("clean", f"--target-dir={self._target}", *packages)
                self.cargo.read(*clean, env=self._environment(), deadline=self.deadline).check()
                _empty(fresh)
                artifacts = self._compile()
                rebuilt = [True]
            if any(rebuilt):
                shutil.rmtree(kept, ignore_errors=True)
                fresh.rename(kept)
            kept.mkdir(exist_ok=True)  # a build without any test leaves none
            complete.write_text(_listed(artifacts))
        instrumented = self._instrumented(artifacts, tuple(sorted(kept.glob("*.profraw"))))
        self._remove_stale(instrumented)
        return instrumented

    @property
    def _runs_while_building(self) -> bool:
        return any(member.kinds & _RUNS_WHILE_BUILDING for member in self.cargo.workspace.members)

    @property
    def _target(self) -> Path:
        return self.own / "build"

    @property
    def _intermediate(self) -> Path:
        """Where cargo keeps what is in between; before 1.91 it does so in the target directory."""
        shared = self.cargo.metadata.get("build_directory")
        return self._target if shared is None or self._runs_while_building else Path(shared)

    def _compile(self) -> list[dict[str, Any]]:
        """Return cargo's artifact messages of the workspace's members."""
        done = self.cargo.read(
            *self._command("--no-run", "--message-format=json"),
            env=self._environment(),
            echo=True,
            deadline=self.deadline,
        )
        if not done.ok:
            messages = messages_in(done.stdout, "compiler-message")
            said = "".join(message["message"]["rendered"] for message in messages)
            tell(said)
            raise CheckFailed(self._why_not_built(done), output=said + done.stderr)
        members = {member.id for member in self.cargo.workspace.members}
        return [artifact for artifact in artifacts_in(done.stdout) if artifact["package_id"] in members]

    def _why_not_built(self, done: Finished) -> str:
        message = f"the tests do not build with coverage instrumentation ({done.ending})"
        several = any(len(package["features"]) > 1 for package in self.cargo.metadata["packages"])
        if done.timed_out or not several or "--all-features" not in self.selection.arguments():
            return message
        return (
            f"{message}, all features switched on; if these exclude each other, name those to measure "
            f'in coverage_config_{machine()}.json: {{"crate_features": "a,b"}}'
        )

    def _command(self, *options: str) -> tuple[str, ...]:
        return ("test", "--tests", f"--target-dir={self._target}", *self.selection.arguments(), *options)

    def _environment(self) -> dict[str, str | None]:
        flags = "-C instrument-coverage --cfg=coverage"
        if self.cargo.toolchain.nightly:
            flags += " --cfg=coverage_nightly"
        # The path is part of what cargo takes into account, so other flags need another name.
        wrapper = self.own / ("rustc-nightly" if self.cargo.toolchain.nightly else "rustc")
        text = _WRAPPER.format(flags=flags)
        if not wrapper.exists() or wrapper.read_text() != text:
            files.write_atomic(wrapper, text)
            wrapper.chmod(0o755)
        return {
            "RUSTC_WORKSPACE_WRAPPER": str(wrapper),
            "CARGO_BUILD_BUILD_DIR": str(self._intermediate),
            "LLVM_PROFILE_FILE": str(self.own / "build-profiles.new" / "%p-%m.profraw"),
        }

    def _instrumented(self, artifacts: Sequence[dict[str, Any]], profiles: tuple[Path, ...]) -> Instrumented:
        objects: set[Path] = set()
        tests: dict[str, str] = {}
        triple = self.cargo.toolchain.host
        names = {member.id: member.name for member in self.cargo.workspace.members}
        for artifact in artifacts:
            target = artifact["target"]
            if "custom-build" in target["kind"]:
                continue
            objects.update(
                self._gathered(path) for name in artifact["filenames"] if _has_mappings(path := Path(name))
            )
            if artifact["profile"]["test"] and artifact["executable"]:
                executable = Path(artifact["executable"])
                kind = "lib" if "lib" in target["kind"] else target["kind"][0]
                tests[executable.name] = f"{names[artifact['package_id']]}, {kind} {target['name']}"
                first = executable.relative_to(self._intermediate).parts[0]
                triple = first if first != "debug" else triple
        return Instrumented(
            directory=self._target,
            objects=tuple(sorted(objects)),
            tests=tests,
            triple=triple,
            profiles=profiles,
        )

    def _gathered(self, path: Path) -> Path:
        """Return the file as it lies in the target directory, where reporters look for it."""
        if path.is_relative_to(self._target):
            return path
        gathered = self._target / path.relative_to(self._intermediate)
        if not gathered.exists() or _identity(gathered) != _identity(path):
            gathered.parent.mkdir(parents=True, exist_ok=True)
            gathered.unlink(missing_ok=True)
            try:
                os.link(path, gathered)
            except OSError:  # another file system
                shutil.copy2(path, gathered)
        return gathered

    def _remove_stale(self, build: Instrumented) -> None:
        """Remove members' executables of earlier builds: other features, versions, deleted tests.

        They hold mappings of code that no longer exists, which would count as uncovered.
        """
        names = {name.replace("-", "_") for m in self.cargo.metadata["packages"] for name in _names(m)}
        current = {_identity(path) for path in build.objects}
        pattern = re.compile(r"(?:lib)?(.+?)(?:-[0-9a-f]+)?(?:\.so)?")
        folders = [self._target / "debug", self._target / build.triple / "debug"]
        for path in (p for folder in folders for place in (folder, folder / "deps") for p in _entries(place)):
            match = pattern.fullmatch(path.name)
            if (
                match
                and match[1].replace("-", "_") in names
                and _has_mappings(path)
                and _identity(path) not in current
            ):
                path.unlink()

    def run(self, build: Instrumented) -> tuple[Path, ...]:
        """Run the tests of a build; return the profiles they wrote.

        Raises:
            CheckFailed: A test failed, an executable crashed, ran out of time or left no
                profile; the executable is named.
        """
        if not build.tests:
            raise CheckFailed("nothing was measured: the crate has no tests")
        profiles = self.own / "profiles"
        _empty(profiles)
        if "%" in str(profiles):
            raise UserError(
                "LLVM gives % in the path of a profile a meaning of its own",
                where=str(profiles),
                fix="set CARGO_TARGET_DIR to a path without %",
            )
        own_runner = runner(self.cargo, build.triple)
        words = [
            sys.executable,
            "-I",
            "-S",
            str(self._runner_program()),
            str(profiles),
            str(len(own_runner)),
            *own_runner,
        ]
        with in_turn(self.cargo.workspace.root, self.deadline), _without_spaces(words) as started_by:
            done = self.cargo.run(
                *self._command("--no-fail-fast"),
                env={**self._environment(), runner_variable(build.triple): started_by},
                deadline=self.deadline,
            )
        written = tuple(sorted(profiles.glob("*.profraw")))
        started = [path.stem for path in profiles.glob("*.started")]
        silent = [
            name for name in started if not any(profile.name.startswith(f"{name}-") for profile in written)
        ]
        described = ", ".join(f"{build.tests.get(name, name)} ({name})" for name in sorted(silent))
        if not done.ok:
            raise CheckFailed(_why_failed(done, described), output=done.output)
        if silent:
            raise CheckFailed(
                f"no profile was left by {described}: it ended without running its exit handlers"
            )
        if not written:
            raise CheckFailed("nothing was measured: no test executable was run")
        return written

    def _runner_program(self) -> Path:
        """Return the file that cargo runs; from a zipapp it is unpacked first."""
        program = Path(profile_runner.__file__)
        if program.is_file():
            return program
        unpacked = self.own / program.name
        files.write_atomic(
            unpacked, importlib.resources.files(__package__).joinpath(program.name).read_bytes()
        )
        return unpacked


@contextlib.contextmanager
def _without_spaces(words: Sequence[str]) -> Iterator[str]:
    """Give a command that does what `words` do, for a variable that cargo splits at spaces.

    A list in a configuration may have spaces, but cargo refuses to lay one over a string in another.
    The script lies where no space is, which TMPDIR may have.
    """
    if not any(char.isspace() for word in words for char in word):
        yield " ".join(words)
        return
    with tempfile.TemporaryDirectory(prefix="rustvmm-runner-", dir="/tmp") as folder:
        python, script = Path(folder, "python"), Path(folder, "run.py")
        python.symlink_to(sys.executable)
        script.write_text(f"import os, sys\nos.execv({words[0]!a}, [*{words!a}, *sys.argv[1:]])\n", "ascii")
        yield f"{python} -I -S {script}"


def _why_failed(done: Finished, described: str) -> str:
    if done.timed_out:
        ending = f"the tests were {done.ending}"
        return ending + (f" while this ran: {described}" if described else "")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr)
    targets = re.findall(r"error: test failed, to rerun pass `(.*)`", plain)
    signals = re.findall(r"process didn't exit successfully: .*\((signal: .*)\)", plain)
    message = f"tests failed: {', '.join(targets)}" if targets else f"the tests failed ({done.ending})"
    if signals:
        message += f"; {', '.join(signals)}"
    return message + (f"; no profile was left by {described}" if described else "")


def _listed(artifacts: Sequence[dict[str, Any]]) -> str:
    """Return the files of a build, which tell one selection of packages and flags from another."""
    return "".join(f"{name}\n" for name in sorted(n for a in artifacts for n in a["filenames"]))


def _names(package: dict[str, Any]) -> tuple[str, ...]:
    return (package["name"], *(target["name"] for target in package["targets"]))


def _entries(folder: Path) -> tuple[Path, ...]:
    return tuple(folder.iterdir()) if folder.is_dir() else ()


def _has_mappings(path: Path) -> bool:
    """Whether a file that cargo built is an executable or a shared library."""
    return (
        path.suffix not in (".d", ".rlib", ".rmeta", ".o")
        and path.is_file()
        and bool(path.stat().st_mode & 0o111)
    )


def _identity(path: Path) -> tuple[int, int]:
    """Cargo hard-links what it builds; both names are one file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
