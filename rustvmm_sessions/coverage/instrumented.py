"""Build a crate's tests with coverage instrumentation, run them, and keep what they leave.

The instrumentation is that of cargo-llvm-cov 0.9: a wrapper of every rustc adds it to crates by name,
those of the workspace, so that dependencies are built as always, the crate's own rustflags stay in
force, and what tests compile (trybuild's cases, a workspace of their own) is instrumented, too. All
of it lies in one target directory: test executables find the crate's programs where cargo puts them.
The build is kept between runs; profiles are not, with one exception: a procedural macro or a build
script runs while the crate is compiled, so what it reached is kept as long as the build that it ran in.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import files
from rustvmm_sessions.console import say, tell, warn
from rustvmm_sessions.coverage import explain, profile_runner
from rustvmm_sessions.coverage.kept_build import KeptBuild
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.results import Report
from rustvmm_sessions.rust.cargo import Cargo, Package, Workspace, machine, package_specs
from rustvmm_sessions.rust.configuration import rustc_wrapper, source_directories
from rustvmm_sessions.rust.libtest import SuiteListener
from rustvmm_sessions.rust.libtest import tell as tell_tests
from rustvmm_sessions.rust.messages import artifacts_in, finding, messages_in
from rustvmm_sessions.rust.quarantine import Quarantine, is_complete
from rustvmm_sessions.rust.runners import started_by
from rustvmm_sessions.rust.turns import in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rustvmm_sessions.process import Finished

_WRAPPER = """\
#!{shell}
# Started by cargo as `wrapper rustc ARGUMENT...`.
name= last=
for word; do
    case $last in --crate-name) name=$word ;; esac
    last=$word
done
case $name in
{names}) exec {wrapper}"$@" {flags} ;;
esac
exec {wrapper}"$@"
"""
_DEFAULT_PROFILE = re.compile(r"default(_[0-9]+)+\.profraw")
LEAVE_OUT = (
    "To leave the test out of coverage: `#[cfg_attr(coverage, ignore)]`, with cfg(coverage) "
    "among the check-cfg of [lints.rust] unexpected_cfgs in Cargo.toml."
)
_RUNS_WHILE_BUILDING = frozenset({"proc-macro", "custom-build"})


@dataclass(frozen=True, kw_only=True)
class TestSelection:
    """Which tests are built, and how: the arguments of ``cargo test`` that decide what counts.

    Attributes:
        workspace: Every member, else the package of the crate's directory.
        feature_sets: The features of each build: None for all, else those beside the default ones.
        default_features: Whether the default features are on.
    """

    __test__ = False  # not a test class, whatever pytest thinks of its name

    workspace: bool
    feature_sets: tuple[tuple[str, ...] | None, ...]
    default_features: bool = True

    @property
    def builds(self) -> tuple[tuple[str, ...], ...]:
        """The arguments for cargo, of each build."""
        return tuple(self._arguments(features) for features in self.feature_sets)

    def _arguments(self, features: tuple[str, ...] | None) -> tuple[str, ...]:
        args = ["--workspace"] if self.workspace else []
        if not self.default_features:
            args.append("--no-default-features")
        if features is None:
            args += ["--all-features"] if self.default_features else []
        elif features:
            args.append(f"--features={','.join(features)}")
        return tuple(args)

    def members(self, cargo: Cargo) -> tuple[Package, ...]:
        """Return the packages whose files count."""
        return cargo.workspace.members if self.workspace else (cargo.package,)


@dataclass(frozen=True, kw_only=True)
class Instrumented:
    """An instrumented build, of one set of features or of several.

    Attributes:
        directory: A folder with links to the objects, which lie in it as in a target directory.
        objects: The executables and libraries that hold coverage mappings, sorted.
        tests: The test executables by file name, with what each tests.
        triples: The target triples it was built for.
        profiles: Profiles of what ran while it was built.
    """

    directory: Path
    objects: tuple[Path, ...]
    tests: dict[str, str]
    triples: tuple[str, ...]
    profiles: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class ProfiledTests:
    """The instrumented tests of one crate, in a folder of cargo's target directory.

    Attributes:
        cargo: Cargo in the crate's directory.
        own: Our folder; it holds the build, the profiles and the wrapper.
        selection: Which tests.
        deadline: When the session's time is up.
        report: What tests and the compiler say goes there.
        quarantine: The tests that may fail.
    """

    cargo: Cargo
    own: Path
    selection: TestSelection
    deadline: Deadline = field(default_factory=Deadline)
    report: Report = field(default_factory=Report)
    quarantine: Quarantine = field(default_factory=Quarantine)

    def build(self) -> Instrumented:
        """Build the tests, reusing what earlier runs built.

        Raises:
            CheckFailed: They do not build.
        """
        kept, fresh = self._target / "build-profiles", self._target / "build-profiles.new"
        complete = kept / "complete"
        before = files.read_text(complete)
        self._write_wrapper()
        complete.unlink(missing_ok=True)
        self._kept_build.remove_outdated()
        _empty(fresh)
        builds = self._compile_all()
        if not self._run_while_building:
            return self._instrumented(builds, ())
        rebuilt = _rebuilt(builds)
        if not all(rebuilt) and (any(rebuilt) or before != _listed(builds)):
            # A part of the build is older than its profiles, or they are of another selection:
            # only a whole build has them all and no others.
            specs = package_specs(self.cargo)
            packages = [f"--package={specs.get(m.name, m.name)}" for m in self.cargo.workspace.members]
            clean = ("clean", *self._places, *packages)
            self.cargo.read(*clean, env=self._environment(), deadline=self.deadline).check()
            _empty(fresh)
            builds = self._compile_all()
            rebuilt = [True]
        if any(rebuilt):
            shutil.rmtree(kept, ignore_errors=True)
            fresh.rename(kept)
        kept.mkdir(exist_ok=True)  # a build without any test leaves none
        complete.write_text(_listed(builds))
        return self._instrumented(builds, tuple(sorted(kept.glob("*.profraw"))))

    @functools.cached_property
    def _run_while_building(self) -> frozenset[str]:
        """The members whose lines count and may be reached while the compiler runs."""
        counts = {member.name for member in self.selection.members(self.cargo)}
        return run_while_building(self.cargo.metadata["packages"]) & counts

    @property
    def _target(self) -> Path:
        """The target directory; with unstable features the same toolchain builds other things.

        Profiles of a build hold as long as nobody else builds there. So a member whose lines are reached
        while the compiler runs has a directory of its own, and those beside it have one together.
        """
        name = "build"
        if not self.selection.workspace and run_while_building(self.cargo.metadata["packages"]):
            name = f"build-{self.cargo.package.name}" if self._run_while_building else "build-members"
        return self.own / (f"{name}-nightly" if self.cargo.toolchain.nightly else name)

    @property
    def _places(self) -> tuple[str, ...]:
        """Arguments that let cargo build there; a variable would reach the cargo that a test starts."""
        build = f"--config=build.build-dir={json.dumps(str(self._target))}"
        moved = self.cargo.metadata.get("build_directory", "") != self.cargo.metadata["target_directory"]
        return (f"--target-dir={self._target}", *((build,) if moved else ()))

    @property
    def _kept_build(self) -> KeptBuild:
        home = self.cargo.home
        return KeptBuild(
            directory=self._target,
            root=self.cargo.workspace.root,
            immutable=(home / "registry", home / "git", *source_directories(self.cargo)),
        )

    def _compile_all(self) -> list[list[dict[str, Any]]]:
        """Return cargo's artifact messages of each build, and link what these built."""
        _empty(self._objects)
        builds: list[list[dict[str, Any]]] = []
        scripts: dict[Path, Path] = {}
        for arguments in self.selection.builds:
            artifacts, ran = self._compile(arguments)
            self._link(artifacts, len(builds))
            builds.append(artifacts)
            scripts.update(ran)
        self._kept_build.note(scripts.items())
        return builds

    def _compile(self, arguments: Sequence[str]) -> tuple[list[dict[str, Any]], dict[Path, Path]]:
        """Return cargo's artifact messages of members, and the output folders of their build scripts."""
        done = self.cargo.read(
            *self._command(arguments, "--no-run", "--message-format=json"),
            env=self._environment(),
            echo=True,
            deadline=self.deadline,
        )
        if not done.ok:
            messages = [message["message"] for message in messages_in(done.stdout, "compiler-message")]
            said = "".join(message["rendered"] for message in messages)
            tell(said)
            errors = [message["rendered"] for message in messages if message["level"] == "error"]
            for message in messages:
                if message["level"] == "error" and (each := finding(message, self._place)):
                    self.report.found(each)
            raise CheckFailed(self._why_not_built(done, errors, arguments), output=said + done.stderr)
        members = {member.id: member.directory for member in self.cargo.workspace.members}
        scripts = messages_in(done.stdout, "build-script-executed")
        ran = {
            Path(script["out_dir"]): members[script["package_id"]]
            for script in scripts
            if script["package_id"] in members
        }
        return [each for each in artifacts_in(done.stdout) if each["package_id"] in members], ran

    def _why_not_built(self, done: Finished, errors: Sequence[str], arguments: Sequence[str]) -> str:
        if done.timed_out:
            return f"the tests were not built within their time: {done.ending}"
        why, does_not_compile = explain.not_built(done.stderr, errors, done.ending)
        several = any(len(package["features"]) > 1 for package in self.cargo.metadata["packages"])
        if not does_not_compile or not several or "--all-features" not in arguments:
            return why + self._which(arguments)
        return (
            f"{why}; all features are switched on: if these exclude each other, name those to measure "
            f'in coverage_config_{machine()}.json: {{"crate_features": "a,b"}}, or those of several builds '
            'that are to count together: register(coverage_features=[["a"], ["b"]])'
        )

    def _which(self, arguments: Sequence[str]) -> str:
        """Say which of several builds it is."""
        several = len(self.selection.feature_sets) > 1
        return f", with {' '.join(arguments) or 'the default features'}" if several else ""

    def _command(self, arguments: Sequence[str], *options: str) -> tuple[str, ...]:
        return ("test", "--tests", *self._places, *arguments, *options)

    @property
    def _wrapper(self) -> Path:
        return self._target / "rustc"

    def _write_wrapper(self) -> None:
        """Write what starts rustc; crates whose instrumentation it changes are built from nothing."""
        flags = "-C instrument-coverage --cfg=coverage"
        if self.cargo.toolchain.nightly:
            flags += " --cfg=coverage_nightly"
        packages = self.cargo.metadata["packages"]
        libraries = {
            crate_name(name) for package in packages for name in (package["name"], *_libraries(package))
        }
        known = self._target / "instrumented"
        listed = "".join(f"{name}\n" for name in sorted(libraries))
        if files.read_text(known) != listed:
            shutil.rmtree(self._target, ignore_errors=True)
            self._target.mkdir(parents=True)
            known.write_text(listed)
        names = {crate_name(target["name"]) for package in packages for target in package["targets"]}
        names |= libraries | {f"{crate_name(package['name'])}_tests" for package in packages}  # trybuild's
        wrapper = rustc_wrapper(self.cargo)
        text = _WRAPPER.format(
            # Other shells drop variables like CARGO_BIN_EXE_vhost-device, whose names they cannot use.
            shell=shutil.which("bash") or "/bin/sh",
            names="|".join(shlex.quote(name) for name in sorted(names)),
            wrapper=f"{shlex.quote(wrapper)} " if wrapper else "",
            flags=flags,
        )
        if files.read_text(self._wrapper) != text:
            files.write_atomic(self._wrapper, text)
            self._wrapper.chmod(0o755)

    def _environment(self) -> dict[str, str | None]:
        return {
            "RUSTC_WRAPPER": str(self._wrapper),
            "CARGO_LLVM_COV": "1",  # as cargo-llvm-cov sets it; tests and build scripts look at it
            "LLVM_PROFILE_FILE": str(self._target / "build-profiles.new" / "%p-%m.profraw"),
        }

    def _instrumented(
        self, builds: Sequence[Sequence[dict[str, Any]]], profiles: tuple[Path, ...]
    ) -> Instrumented:
        tests: dict[str, str] = {}
        triples: set[str] = set()
        names = {member.id: member.name for member in self.cargo.workspace.members}
        for artifact in (each for artifacts in builds for each in artifacts):
            target = artifact["target"]
            if artifact["profile"]["test"] and artifact["executable"]:
                executable = Path(artifact["executable"])
                kind = "lib" if "lib" in target["kind"] else target["kind"][0]
                tests[executable.name] = f"{names[artifact['package_id']]}, {kind} {target['name']}"
                triples.add(executable.relative_to(self._target).parts[0])
        host = self.cargo.toolchain.host
        return Instrumented(
            directory=self._objects,
            objects=tuple(sorted(path for path in self._objects.rglob("*") if path.is_file())),
            tests=tests,
            triples=tuple(sorted({host if triple == "debug" else triple for triple in triples})) or (host,),
            profiles=profiles,
        )

    @property
    def _objects(self) -> Path:
        return self.own / "objects"

    def _link(self, artifacts: Sequence[dict[str, Any]], number: int) -> None:
        """Link the objects of a build into a folder that looks like a target directory and has no others.

        cargo-llvm-cov takes all that it finds, and what was built of other features, of an earlier version
        or of a deleted test has mappings that would count, too. The links are hard ones: each build puts
        programs of its own in the place of those of the build before.
        """
        for artifact in artifacts:
            if "custom-build" in artifact["target"]["kind"]:
                continue
            for path in filter(has_mappings, map(Path, artifact["filenames"])):
                place = self._objects / path.parent.relative_to(self._target)
                place.mkdir(parents=True, exist_ok=True)
                if not any(link.samefile(path) for link in place.iterdir()):
                    _hard_link(path, place / (f"{path.name}.{number}" if number else path.name))

    def run(self, build: Instrumented, *, again: bool = False) -> tuple[Path, ...]:
        """Run the tests of a build; return the profiles they wrote.

        Args:
            build: What was built.
            again: Whether they have run before: then only those that fail are reported.

        Raises:
            CheckFailed: A test failed, an executable crashed, ran out of time or left no
                profile; the executable is named.
        """
        if not build.tests:
            raise CheckFailed("nothing was measured: the crate has no tests")
        profiles = self.own / "profiles"
        _empty(profiles)
        self._forget_compiled_by_tests()
        written: list[Path] = []
        for number, arguments in enumerate(self.selection.builds):
            folder = profiles / str(number)
            folder.mkdir()
            written += self._run(build, arguments, folder, again=again)
        if not written:
            raise CheckFailed("nothing was measured: no test executable was run")
        return tuple(written)

    def _run(
        self, build: Instrumented, arguments: Sequence[str], profiles: Path, *, again: bool
    ) -> list[Path]:
        if "%" in str(profiles):
            raise UserError(
                "LLVM gives % in the path of a profile a meaning of its own",
                where=str(profiles),
                fix="set CARGO_TARGET_DIR to a path without %",
            )
        with contextlib.ExitStack() as stack:
            runners = stack.enter_context(
                started_by(self.cargo, build.triples, profile_runner, [str(profiles)], self.own)
            )
            stack.enter_context(in_turn(self.cargo.workspace.root, self.deadline))
            stack.enter_context(_without_litter(self.cargo.workspace))
            listener = SuiteListener()
            try:
                done = self.cargo.run(
                    *self._command(arguments, "--no-fail-fast"),
                    env={**self._environment(), **runners},
                    deadline=self.deadline,
                    listener=listener,
                )
            finally:
                heard, suites = self.report.apart(), listener.suites()
                tell_tests(heard, suites, self._place, " ".join(arguments), again=again)
                excused = self.quarantine.settle(heard, self.report)
        written = sorted(profiles.glob("*.profraw"))
        for path in written:
            with contextlib.suppress(PermissionError):  # another user's: LLVM says that it cannot read it
                path.chmod(0o600)  # a test's umask may be 0777
        started = [path.stem for path in profiles.glob("*.started") if path.stem in build.tests]
        silent = [
            name for name in started if not any(profile.name.startswith(f"{name}-") for profile in written)
        ]
        described = ", ".join(f"{build.tests.get(name, name)} ({name})" for name in sorted(silent))
        excused = excused if is_complete(suites, done.stderr) and not done.timed_out else ()
        for line in excused:
            warn(line)
        if not done.ok and not excused:
            raise CheckFailed(_why_failed(done, described) + self._which(arguments), output=done.output)
        if silent:
            say(LEAVE_OUT)
            raise CheckFailed(
                f"no profile was left by {described}: it ended without running its exit handlers (_exit, "
                "abort), or changed its root folder, its user or its rights and cannot write to "
                f"{profiles}",
                fix=LEAVE_OUT,
            )
        return written

    def _place(self, name: str) -> str | None:
        return self.report.file(self.cargo.workspace.root / name)

    def _forget_compiled_by_tests(self) -> None:
        """Let trybuild and ui_test compile their cases anew, and what these use with our instrumentation.

        They do so in the crate's own target directory, as cargo-llvm-cov knows.
        """
        target = self.cargo.workspace.target_directory
        names = "|".join(re.escape(m.name).replace(r"\-", "[-_]") for m in self.cargo.workspace.members)
        ours = re.compile(rf"(lib)?({names})(-[0-9a-f]{{7,}})?")
        for path in sorted((target / "tests" / "trybuild").rglob("*")):
            if ours.fullmatch(path.name.partition(".")[0]):
                _remove(path)
        lock = files.read_text(self.cargo.workspace.root / "Cargo.lock", most_bytes=1 << 26) or ""
        if '\nname = "ui_test"\n' in lock:
            _remove(target / "ui")


@contextlib.contextmanager
def _without_litter(workspace: Workspace) -> Iterator[None]:
    """Remove the profiles of programs that do not know where theirs belongs: started without variables.

    They write them where they run, as rustc has built into them, and cargo-llvm-cov does not count them.
    """
    before = set(_default_profiles(workspace))
    try:
        yield
    finally:
        for path in set(_default_profiles(workspace)) - before:
            path.unlink(missing_ok=True)


def _default_profiles(workspace: Workspace) -> Iterator[Path]:
    for root in {workspace.root, *(member.directory for member in workspace.members)}:
        for folder, folders, names in os.walk(root):
            folders[:] = [n for n in folders if n != ".git" and Path(folder, n) != workspace.target_directory]
            yield from (Path(folder, name) for name in names if _DEFAULT_PROFILE.fullmatch(name))


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


def _listed(builds: Sequence[Sequence[dict[str, Any]]]) -> str:
    """Return the files of the builds, which tell one selection of packages and flags from another."""
    names = {name for artifacts in builds for artifact in artifacts for name in artifact["filenames"]}
    return "".join(f"{name}\n" for name in sorted(names))


def _rebuilt(builds: Sequence[Sequence[dict[str, Any]]]) -> list[bool]:
    """Return for each artifact whether it was built now, by its own build or one before."""
    new: set[tuple[str, ...]] = set()
    rebuilt = []
    for artifact in (each for artifacts in builds for each in artifacts):
        key = (*artifact["filenames"], *artifact["features"])
        if not artifact["fresh"]:
            new.add(key)
        rebuilt.append(key in new)
    return rebuilt


def run_while_building(packages: Sequence[dict[str, Any]]) -> frozenset[str]:
    """Return the packages whose code may run while others are built: macros, build scripts, what these use.

    Args:
        packages: The members as ``cargo metadata`` knows them.
    """
    known = {package["name"]: package for package in packages}

    def kinds(package: dict[str, Any]) -> set[str]:
        return {kind for target in package["targets"] for kind in target["kind"]}

    found = {name for name, package in known.items() if kinds(package) & _RUNS_WHILE_BUILDING}
    waiting = list(found)
    while waiting:
        used = {each["name"] for each in known[waiting.pop()]["dependencies"] if each["kind"] != "dev"}
        waiting += used & known.keys() - found
        found |= used & known.keys()
    return frozenset(found)


def crate_name(name: str) -> str:
    """Return the name that rustc knows a package or a target by."""
    return name.replace("-", "_")


def _libraries(package: dict[str, Any]) -> Iterator[str]:
    yield from (t["name"] for t in package["targets"] if {"lib", "rlib", "proc-macro"} & set(t["kind"]))


def has_mappings(path: Path) -> bool:
    """Whether a file that cargo built is an executable or a shared library."""
    return (
        path.suffix not in (".d", ".rlib", ".rmeta", ".o")
        and path.is_file()
        and bool(path.stat().st_mode & 0o111)
    )


def _hard_link(path: Path, link: Path) -> None:
    try:
        link.hardlink_to(path)
    except OSError:  # a file system without
        shutil.copy2(path, link)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
