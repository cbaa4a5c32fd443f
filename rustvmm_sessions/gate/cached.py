"""Skip tests that have passed in the same surroundings: what is looked at, kept, and told to cargo."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import resource
import shlex
import stat
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import files
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.gate import start_test
from rustvmm_sessions.gate.passes import Book, Contents, Pass, Suite, book_of, digest, environment
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.rust import manifests, reads
from rustvmm_sessions.rust.cargo import own_folder
from rustvmm_sessions.rust.configuration import configurations, configured_targets, runner
from rustvmm_sessions.rust.messages import artifacts_in, messages_in
from rustvmm_sessions.rust.runners import started_by, unpacked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from rustvmm_sessions.gate.commands import GateRequest
    from rustvmm_sessions.rust import libtest
    from rustvmm_sessions.rust.cargo import Cargo

_SCHEMA = 1
_WHOLE = 1 << 28
"""Bytes above which a file is known by its size and time stamps alone."""
_FRESH = 2.0
"""Seconds after which a change shows in the time stamps, whatever the file system's clock."""
_RAW = re.compile(r"-[0-9a-f]{16}$")


@dataclass
class Known:
    """Digests of files, each kept as long as size, inode and time stamps are what they were.

    Attributes:
        before: Of the sessions before, by path: what the file was, its digest, the names found in it.
        now: Of this session.
    """

    before: Mapping[str, Any]
    now: dict[str, Any] = field(default_factory=dict)

    def digest(self, path: str, names: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
        """Return a file's digest, and which of these names it has in it; of what is no file, what it is."""
        try:
            status = os.stat(path)  # noqa: PTH116 - of thousands of files
        except OSError as error:
            return f"{error.strerror}", ()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _WHOLE:
            return f"{status.st_mode} {status.st_size} {status.st_mtime_ns}", tuple(names)
        about = digest(names) if names else ""
        was = [status.st_mode, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, about]
        entry = self.now.get(path) or self.before.get(path)
        if entry is None or entry[0] != was:
            data = Path(path).read_bytes()
            found = [name for name in names if name.encode() in data]
            entry = [was, f"{status.st_mode:o} {hashlib.sha256(data).hexdigest()}", found]
        if time.time() - max(status.st_mtime, status.st_ctime) > _FRESH:
            self.now[path] = entry
        return entry[1], tuple(entry[2])


@dataclass(kw_only=True)
class Cached:
    """What a session knows of test executables that have passed.

    Attributes:
        cargo: Cargo where it starts.
        triples: The targets that are built for.
        own: Our folder in the target directory.
        file: Where it is kept.
        book: How suites ended.
        known: The digests of files.
        surroundings: The parts that all suites of the session share.
        flaky: The names of tests that may fail.
    """

    cargo: Cargo
    triples: tuple[str, ...]
    own: Path
    file: Path
    book: Book
    known: Known
    surroundings: Mapping[str, str]
    flaky: frozenset[str]

    def __post_init__(self) -> None:
        root = self.cargo.workspace.root.resolve()
        self._packages = manifests.packages(root)
        self._top = Git(directory=root).top or root
        self._root = root
        names = {m.name for m in self.cargo.workspace.members}
        self._members = {n: spelled for n in names for spelled in [tuple({n, n.replace("-", "_")})]}

    # What is looked at

    def contents(self) -> Contents:
        """Return the digests of the files that tests may read, as they are now."""
        common: list[str] = []
        sources: dict[str, list[str]] = {}
        target = self.cargo.workspace.target_directory
        for path in files.files_in(self._top):
            if path.is_relative_to(target) or "__pycache__" in path.parts:
                continue
            text = str(path)
            link = os.readlink(text) if path.is_symlink() else ""  # noqa: PTH115 - as it is written
            place = os.path.relpath(text, self._root)
            owner = reads.owner(self._packages, place) if text.endswith(".rs") else ""
            lines = sources.setdefault(owner, []) if owner else common
            lines += [text, link, self.known.digest(text)[0]]
        return Contents(
            common=digest(common),
            sources={path: digest(lines) for path, lines in sources.items()},
        )

    def suites(self, messages: str, selected: Collection[str]) -> tuple[Suite, ...]:
        """Return what ``cargo test`` is going to run of a build, as cargo's messages tell it.

        Args:
            messages: What ``cargo test --no-run`` prints.
            selected: The ids of the packages whose tests run.
        """
        artifacts = list(artifacts_in(messages))
        tests = [a for a in artifacts if a["profile"]["test"] and a["executable"]]
        libraries = [a for a in artifacts if a["target"]["doctest"] and not a["profile"]["test"]]
        contents = self.contents()
        generated = {m["package_id"]: m["out_dir"] for m in messages_in(messages, "build-script-executed")}
        outside = [
            name
            for a in artifacts
            if a["package_id"].startswith("path+") and not self._is_below_top(a["manifest_path"])
            for name in a["filenames"]
        ]
        found = []
        for artifact in (*tests, *libraries):
            if artifact["package_id"] not in selected:
                continue
            documentation = artifact in libraries
            path = str(artifact["executable"] or artifact["filenames"][0])
            folder = os.path.relpath(Path(artifact["manifest_path"]).parent.resolve(), self._root)
            programs = _programs(Path(path).parent.parent)
            built, named = self._built_and_named(path, folder, programs)
            out = generated.get(artifact["package_id"])
            suite = Suite(
                name=_name(artifact, documentation=documentation),
                path=path,
                documentation=documentation,
                files=(
                    path,
                    *(outside if documentation else ()),
                    *(map(str, files.files_in(Path(out))) if out else ()),
                ),
                packages=tuple(sorted(built)),
                programs=tuple(path for path, n in programs.items() if documentation or n in named),
                parts={},
            )
            found.append(self._looked_at(suite, contents))
        return tuple(found)

    def _looked_at(self, suite: Suite, contents: Contents) -> Suite:
        """Return a suite with the parts that it has now."""
        return replace(
            suite,
            parts={
                "what was built": digest(self.known.digest(file)[0] for file in suite.files),
                "files that it may read": contents.of(
                    suite.packages, {path: self.known.digest(path)[0] for path in suite.programs}
                ),
                **self.surroundings,
            },
        )

    def would_skip(self, run: str) -> tuple[str, ...]:
        """Return the names of suites of a feature combination that would not run, as they are built now."""
        known = [each.suite for each in self.book.entries.values() if run in each.runs]
        contents = self.contents()
        now = (self._looked_at(suite, contents) for suite in known)
        return tuple(dict.fromkeys(suite.name for suite in now if self.book.passed(suite)))

    def _is_below_top(self, path: str) -> bool:
        return Path(path).resolve().is_relative_to(self._top)

    def _built_and_named(
        self, path: str, folder: str, programs: Mapping[str, str]
    ) -> tuple[set[str], set[str]]:
        """Return the folders of packages that an executable is built of or names, and all names in it."""
        spelled = {name for names in self._members.values() for name in names}
        named = {*self.known.digest(path, sorted({*spelled, *programs.values()}))[1]}
        built = {package.path for package, _ in reads.built_of(self._packages, folder)}
        built |= {
            package.path
            for package in self._packages.values()
            if named.intersection(self._members.get(package.name, (package.name,)))
        }
        return built, named

    # What cargo is told, and what it has done

    @contextlib.contextmanager
    def starting(self, skip: Sequence[Suite], args: Sequence[str]) -> Iterator[tuple[dict[str, str], Path]]:
        """Give variables by which ``cargo ARGS`` skips suites, and the file that names those it started."""
        with (
            tempfile.TemporaryDirectory(prefix="rustvmm-tests-") as temporary,
            contextlib.ExitStack() as stack,
        ):
            folder = Path(temporary)
            (folder / "skipped").write_text("\n".join(suite.path for suite in skip))
            variables: dict[str, str] = {}
            if "--doc" not in args:
                runners = started_by(self.cargo, self.triples, start_test, [temporary], self.own)
                variables |= stack.enter_context(runners)
            if "--tests" not in args:
                variables["RUSTDOC"] = str(self._rustdoc(folder))
            yield variables, folder / "started"

    def _rustdoc(self, folder: Path) -> Path:
        """Return a program that cargo starts in rustdoc's place."""
        before = self.cargo.variable("RUSTDOC")
        found = (
            (path, content.get("build", {}).get("rustdoc")) for path, content in configurations(self.cargo)
        )
        place, configured = next(((path, name) for path, name in found if name), (Path(), ""))
        program = before or (str(place.parent.parent / configured) if "/" in configured else configured)
        starter = unpacked(start_test, self.own)
        line = [sys.executable, "-I", "-S", starter, folder, f"RUSTDOC={before}", 1, program or "rustdoc"]
        path = folder / "rustdoc"
        path.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, line))} "$@"\n')
        path.chmod(0o755)
        return path

    def ended(
        self, suites: Collection[Suite], run: str, started: Path, heard: Iterable[libtest.Suite], *, ok: bool
    ) -> None:
        """Note how suites of a run ended that cargo has started in turn: of a failure, the last is the cause.

        Not where files are not what they were when the suites were looked at, or a test may fail.
        """
        paths = started.read_text().split("\n") if started.exists() else []
        by_path = {suite.path: suite for suite in suites}
        ran = [by_path[path] for path in paths if path in by_path]
        left = list(heard)
        contents = self.contents()
        for suite in ran:
            of_suite = [each for each in left if each.name == suite.name]
            of_suite = of_suite if suite.documentation else of_suite[:1]
            left = [each for each in left if each not in of_suite]
            cases = [(name, result) for each in of_suite for name, (result, _) in each.results.items()]
            if self._looked_at(suite, contents).key != suite.key or self.flaky & {*dict(cases)}:
                continue
            if suite is ran[-1] and not ok:
                self.book = self.book.with_end(Pass(suite=suite, runs=(run,)))
                continue
            total = sum(each.totals["passed"] for each in of_suite)
            unnamed = total - sum(result == "passed" for _, result in cases)
            ended = Pass(suite=suite, runs=(run,), cases=tuple(cases), unnamed=unnamed)
            self.book = self.book.with_end(ended)

    def save(self) -> None:
        """Keep what is known for the next session."""
        data = {"schema": _SCHEMA, "files": self.known.now, "passes": self.book.as_json()}
        with contextlib.suppress(UserError):  # a full disk: then the next session takes its time
            files.write_atomic(self.file, json.dumps(data))


def known_passes(request: GateRequest, cargo: Cargo, triple: str) -> Cached:
    """Return what is known of the tests of a session."""
    own = own_folder(cargo.workspace, "rustvmm-sessions")
    file = own / f"passed-{request.session.name}.json"
    kept = _read(file)
    triples = (triple,) if triple else configured_targets(cargo) or (cargo.toolchain.host,)
    configured = [f"{path}\n{content}" for path, content in configurations(cargo)]
    started = [word for each in triples for word in (each, *runner(cargo, each))]
    return Cached(
        cargo=cargo,
        triples=triples,
        own=own,
        file=file,
        book=book_of(kept["passes"]),
        known=Known(kept["files"]),
        flaky=frozenset(test.name for test in request.quarantine.tests),
        surroundings={
            "how cargo starts it": digest(
                (*request.words.given, "", *started, *configured, cargo.rustc("-vV"))
            ),
            "the environment": environment({**os.environ, **cargo.env}),
            "the machine": digest(_machine()),
        },
    )


def _read(file: Path) -> dict[str, Any]:
    with contextlib.suppress(UserError, ValueError):
        data = json.loads(files.read_text(file, most_bytes=1 << 27) or "{}")
        if isinstance(data, dict) and data.get("schema") == _SCHEMA:
            return data
    return {"files": {}, "passes": {}}


def _name(artifact: Mapping[str, Any], *, documentation: bool) -> str:
    """Return the name of a suite, as cargo announces it."""
    target = artifact["target"]
    if documentation:
        return f"{target['name'].replace('-', '_')} (documentation)"
    source = os.path.relpath(target["src_path"], Path(artifact["manifest_path"]).parent)
    return f"{_RAW.sub('', Path(artifact['executable']).name)} ({source})"


def _programs(place: Path) -> dict[str, str]:
    """Return the programs and dynamic libraries that cargo has put in a folder, with the names they go by."""
    found = {}
    for path in (*place.glob("*"), *place.glob("examples/*"), *place.glob("deps/*.so")):
        program = path.suffix == ".so" or (os.access(path, os.X_OK) and not _RAW.search(path.name))
        if program and path.is_file():
            raw = path.parent.name == "deps"
            found[str(path)] = path.name if raw else path.stem.removeprefix("lib")
    return found


def _machine() -> Iterator[str]:
    """Yield what a test may find of the machine: kernel, processors, rights, limits and devices."""
    yield from platform.uname()
    yield from map(str, (os.getuid(), os.geteuid(), sorted(os.getgroups()), sorted(os.sched_getaffinity(0))))
    yield from (
        str(resource.getrlimit(getattr(resource, n))) for n in dir(resource) if n.startswith("RLIMIT_")
    )
    for name in ("/proc/cmdline", "/proc/sys/kernel/osrelease", "/etc/ld.so.cache", "/etc/localtime"):
        with contextlib.suppress(OSError):
            yield digest((name, Path(name).read_bytes().decode("latin-1")))
    with contextlib.suppress(OSError):
        described = re.findall(
            r"^(?:model name|flags|Features)\s*:.*$", Path("/proc/cpuinfo").read_text(), re.MULTILINE
        )
        yield from sorted({*described})
    for folder in ("/dev", "/dev/net", "/dev/vfio", "/dev/vhost"):
        with contextlib.suppress(OSError):
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
                if not re.match(r"tty|vcs|pt|loop|fd$|std", entry.name):
                    status, usable = entry.stat(follow_symlinks=False), os.access(entry, os.R_OK | os.W_OK)
                    yield f"{entry.path} {status.st_mode} {status.st_rdev} {usable}"
