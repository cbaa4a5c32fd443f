"""Cargo and rustc of a crate: which they are, what they know, and how they are run."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import platform
import re
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rustvmm_sessions import files
from rustvmm_sessions.console import warn
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.process import Finished, StartError, command_line, run
from rustvmm_sessions.rust import cfg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rustvmm_sessions.deadline import Deadline

INSTALL_RUST = "install Rust from https://rustup.rs, or correct PATH"


def machine() -> str:
    """Return the architecture as file names and pipelines spell it: ``x86_64``, ``aarch64``."""
    name = platform.machine()
    return "aarch64" if name == "arm64" else name


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """The Rust toolchain that cargo uses in a directory.

    Attributes:
        release: Version of rustc, such as ``1.95.0`` or ``1.97.0-nightly``.
        host: Target triple of the machine.
        llvm_major: Major version of the LLVM in rustc, such as 22.
    """

    release: str
    host: str
    llvm_major: int

    @property
    def nightly(self) -> bool:
        """Whether unstable features are available."""
        return self.release.endswith(("-nightly", "-dev")) or os.environ.get("RUSTC_BOOTSTRAP") == "1"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A member of the workspace.

    Attributes:
        id: Cargo's package id.
        name: Its name.
        directory: Where its manifest lies.
        kinds: The kinds of its targets: ``lib``, ``bin``, ``test``, ``proc-macro``,
            ``custom-build`` and so on.
    """

    id: str
    name: str
    directory: Path
    kinds: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What ``cargo metadata`` says of the workspace around a directory.

    Attributes:
        root: The workspace's directory.
        target_directory: Where cargo builds, `CARGO_TARGET_DIR` and configuration respected.
        members: Its packages.
        current: The member whose manifest lies in the crate's directory, None in a virtual root.
    """

    root: Path
    target_directory: Path
    members: tuple[Package, ...]
    current: Package | None


@dataclass(frozen=True, kw_only=True)
class Cargo:
    """Cargo in one crate's directory.

    Attributes:
        directory: The crate's directory.
        env: Variables laid over the caller's for every run.
    """

    directory: Path
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """The cargo to run: the variable CARGO names one, else PATH has it."""
        return self.variable("CARGO") or "cargo"

    @property
    def home(self) -> Path:
        """Where cargo keeps what it downloads, and the user's configuration."""
        return self.directory / (self.variable("CARGO_HOME") or Path.home() / ".cargo")

    @property
    def rustup_home(self) -> Path:
        """Where rustup keeps toolchains."""
        return self.directory / (self.variable("RUSTUP_HOME") or Path.home() / ".rustup")

    def variable(self, name: str) -> str:
        """Return a variable as programs run here have it; empty where it is not set."""
        return self.env.get(name, os.environ.get(name, ""))

    def run(
        self, *args: str, env: Mapping[str, str | None] | None = None, deadline: Deadline | None = None
    ) -> Finished:
        """Run ``cargo ARGS``, its output passed on."""
        try:
            return run(
                [self.program, *args],
                cwd=self.directory,
                env={**self.env, **(env or {})} | _colour(),
                deadline=deadline,
            )
        except StartError as error:
            raise _missing("cargo", error) from error

    def read(
        self,
        *args: str,
        env: Mapping[str, str | None] | None = None,
        echo: bool = False,
        deadline: Deadline | None = None,
    ) -> Finished:
        """Run ``cargo ARGS`` and keep its standard output; with `echo`, show command and messages."""
        try:
            return run(
                [self.program, *args],
                cwd=self.directory,
                env={**self.env, **(env or {})} | (_colour() if echo else {}),
                read_stdout=True,
                read_stderr=not echo,
                echo=echo,
                deadline=deadline,
            )
        except StartError as error:
            raise _missing("cargo", error) from error

    def run_tool(self, tool: Path, *args: str, deadline: Deadline | None = None) -> Finished:
        """Run a subcommand of cargo that is a program of its own, its output passed on."""
        return run([tool, *args], cwd=self.directory, env={**self.env} | _colour(), deadline=deadline)

    def rustc(self, *args: str) -> str:
        """Return what ``rustc ARGS`` prints; rustc as cargo picks it: the variable RUSTC, else PATH."""
        named = self.variable("RUSTC")
        try:
            done = run(
                [named or "rustc", *args],
                cwd=self.directory,
                env={**self.env, "RUST_BACKTRACE": "0"},  # rustup adds one to its messages
                read_stdout=True,
                read_stderr=True,
                echo=False,
            )
        except StartError as error:
            raise _missing("rustc", error) from error
        if not done.ok:
            chosen = self.variable("RUSTUP_TOOLCHAIN")
            install = "install the toolchain that the directory asks for: `rustup toolchain install`"
            if "rustup default" in done.stderr:  # its advice where nothing asks for one
                install = "choose a toolchain: `rustup default stable`"
            if chosen:
                install = f"install it: `{command_line(('rustup', 'toolchain', 'install', chosen))}`"
            raise UserError(
                f"rustc {' '.join(args)}: {done.stderr.strip() or done.ending}",
                where=f"RUSTC={named}" if named else str(self.directory),
                fix="correct the variable RUSTC, or unset it" if named else install,
            )
        return done.stdout

    @functools.cached_property
    def toolchain(self) -> Toolchain:
        """The toolchain in this directory.

        Raises:
            UserError: There is none, or it does not say what it is.
        """
        text = self.rustc("-vV")
        facts = dict(line.partition(": ")[::2] for line in text.splitlines())
        major = re.match(r"\d+", facts.get("LLVM version", ""))
        if not major or "host" not in facts or "release" not in facts:
            raise UserError(
                "rustc -vV does not say its release, host and LLVM version",
                where=text.strip(),
                fix="use a rustc built with LLVM",
            )
        return Toolchain(release=facts["release"], host=facts["host"], llvm_major=int(major.group()))

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """``cargo metadata`` of the workspace's own packages, as cargo prints it.

        Raises:
            UserError: There is no manifest here, or cargo refuses it.
        """
        if not (self.directory / "Cargo.toml").is_file():
            raise UserError(
                "there is no Cargo.toml here",
                where=str(self.directory),
                fix="run this in the crate's directory, which is also the place of noxfile.py",
            )
        done = self.read("metadata", "--format-version=1", "--no-deps")
        if not done.ok:
            _ = self.toolchain  # where that is what is wrong, it says so
            raise UserError(
                f"cargo metadata refuses the manifest:\n{done.stderr.strip()}",
                where=str(self.directory / "Cargo.toml"),
                fix="correct the manifest",
            )
        data: dict[str, Any] = json.loads(done.stdout)
        return data

    @functools.cached_property
    def workspace(self) -> Workspace:
        """The workspace around this directory."""
        data = self.metadata
        members = tuple(
            Package(
                id=package["id"],
                name=package["name"],
                directory=Path(package["manifest_path"]).parent,
                kinds=frozenset(kind for target in package["targets"] for kind in target["kind"]),
            )
            for package in data["packages"]
        )
        here = self.directory.resolve()
        return Workspace(
            root=Path(data["workspace_root"]),
            target_directory=Path(data["target_directory"]),
            members=members,
            current=next((member for member in members if member.directory.resolve() == here), None),
        )


def _missing(name: str, error: StartError) -> UserError:
    return UserError(f"{name} cannot be run: {error.what}", where=error.where, fix=INSTALL_RUST)


def coloured() -> bool:
    """Whether cargo's messages are to have colours."""
    if chosen := os.environ.get("CARGO_TERM_COLOR"):
        return chosen == "always" or (chosen == "auto" and sys.stderr.isatty())
    if os.environ.get("NO_COLOR"):
        return False
    return sys.stderr.isatty() or bool(os.environ.get("FORCE_COLOR"))


def _colour() -> dict[str, str | None]:
    """Let cargo colour what ends on a terminal although it reaches it through us."""
    return {"CARGO_TERM_COLOR": "always"} if coloured() else {}


def own_folder(workspace: Workspace, name: str) -> Path:
    """Return a folder of ours in the target directory; in a common one it is the workspace's alone.

    What we keep there is of one work tree: its Cargo.lock as it was found, what its tests reached.
    And in a common target directory cargo takes what it built of one clone for the other's
    (cargo#17312), unless rustc's wrapper, which coverage has in such a folder, has another path.
    """
    own = workspace.target_directory / name
    return files.own_directory(
        own if own.is_relative_to(workspace.root) else own / files.name_of(workspace.root)
    )


def package_specs(cargo: Cargo, *, make: bool = True) -> dict[str, str]:
    """Return the members that their name is not enough for, with the word that cargo knows them by.

    A crate that many depend on is, as it is published, a dependency of its own dependencies, too.
    Cargo calls its name ambiguous then; with the member's folder it is not.

    Args:
        cargo: Cargo in the crate's directory.
        make: Whether to make a missing Cargo.lock, which alone knows all names.
    """
    lock = cargo.workspace.root / "Cargo.lock"
    published = any(
        each["source"] for package in cargo.metadata["packages"] for each in package["dependencies"]
    )
    if make and published and not lock.exists():
        cargo.read("generate-lockfile", echo=True)  # where it fails, so does the command that is to come
    names = Counter(re.findall(r'^name = "([^"]+)"', files.read_text(lock) or "", re.MULTILINE))
    members = cargo.workspace.members
    return {m.name: f"{m.directory.as_uri()}#{m.name}" for m in members if names[m.name] > 1}


@contextlib.contextmanager
def lockfile_kept(workspace: Workspace, keep: Path, *, reuse: bool = True) -> Iterator[None]:
    """Leave Cargo.lock as it is found, whatever cargo does to it in between.

    Cargo makes a missing lock file and completes an outdated one. What it made of the one found
    here is kept in the folder `keep` for the next run, so that neither time nor versions are lost.
    Of sessions that run at the same time the first notes what is there, and the last puts it back.
    What a killed session left is put back by the next one where nobody else can have made it;
    elsewhere it stays, and a warning names a copy of what was there. Without `reuse` cargo starts
    from what is found, in a work tree that is as clean as it was.
    """
    lock, found, made = workspace.root / "Cargo.lock", keep / "Cargo.lock.found", keep / "Cargo.lock.made"
    begun = keep / "Cargo.lock.begun"
    with _opened(keep / "Cargo.lock.turn") as turn, _opened(keep / "Cargo.lock.users") as users:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if _is_only_holder(users) and not (begun.exists() and _left_by_killed(lock, found, made)):
            _begin_with(lock, found, made, begun, reuse=reuse)
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if _is_only_holder(users):
                _put_back(lock, found, made)
                begun.unlink(missing_ok=True)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("ab")
    except OSError as error:
        raise files.unwritable("the target directory cannot be written", path, error) from error


def _is_only_holder(file: IO[bytes]) -> bool:
    """Whether no other process has the file locked; then it is ours alone."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _left_by_killed(lock: Path, found: Path, made: Path) -> bool:
    """Whether a lock file that differs from what a killed session found is not the user's.

    It is not where there was none, or where it is what a run made of it before, unless git has it by now.
    """
    left, before = files.read_text(lock), files.read_text(found)
    return left != before and (before is None or left == files.read_text(made)) and _is_uncommitted(lock)


def _keep_a_copy(lock: Path, found: Path) -> None:
    """Keep what a killed session found, where the lock file is another one now that may be the user's."""
    if found.exists() and files.read_text(lock) != files.read_text(found) and _is_uncommitted(lock):
        kept = found.replace(found.with_name("Cargo.lock.before"))
        warn(f"{lock} was changed by a run that was killed, or by you since; what it was before is in {kept}")


def _is_uncommitted(lock: Path) -> bool:
    """Whether a file in a repository is untracked, or not as it was added last."""
    return bool(Git(directory=lock.parent).line("ls-files", "--others", "--modified", "--", lock.name))


def _begin_with(lock: Path, found: Path, made: Path, begun: Path, *, reuse: bool) -> None:
    if begun.exists():
        _keep_a_copy(lock, found)
    before = files.read_text(lock)
    known = reuse and made.exists() and files.read_text(found) == before
    if not known:
        made.unlink(missing_ok=True)
        if before is None:
            found.unlink(missing_ok=True)
        else:
            files.write_atomic(found, before)
    begun.touch()
    if known:
        lock.write_text(made.read_text())


def _put_back(lock: Path, found: Path, made: Path) -> None:
    before, after = files.read_text(found), files.read_text(lock)
    if after is None or after == before:
        return
    with contextlib.suppress(UserError):  # a full disk: then the next run takes its time
        files.write_atomic(made, after)
    if before is None:
        lock.unlink()
    else:
        files.write_atomic(lock, before)


def configurations(cargo: Cargo) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield cargo's configuration files with their content, the nearest first.

    Files that cargo could not read either are left to cargo to complain about.
    """
    here = cargo.directory.resolve()
    folders = dict.fromkeys([*(folder / ".cargo" for folder in (here, *here.parents)), cargo.home])
    for folder in folders:
        for name in ("config", "config.toml"):
            path = folder / name
            with contextlib.suppress(OSError, ValueError):
                yield path, tomllib.loads(path.read_text())
                break


def runner(cargo: Cargo, triple: str) -> tuple[str, ...]:
    """Return the program that cargo puts before a test executable of `triple`, in words.

    A relative path holds from where it is written, while tests run in their package's directory.
    """
    base, value = cargo.directory, cargo.variable(runner_variable(triple))
    if not value:
        base, value = next(iter(_configured(cargo, triple, "runner")), (base, ""))
    words = value.split() if isinstance(value, str) else list(value)
    if words and "/" in words[0]:
        words[0] = str(base / words[0])
    return tuple(words)


def runner_variable(triple: str) -> str:
    """Return the variable that names that program."""
    return f"CARGO_TARGET_{triple.upper().replace('-', '_')}_RUNNER"


def _configured(cargo: Cargo, triple: str, key: str) -> list[tuple[Path, Any]]:
    """Return what cargo's configuration has as `key` for a target, what counts first at the front.

    That is the directory from which relative paths hold, and the value.
    """
    found = [
        (path.parent.parent, name, table[key])
        for path, content in configurations(cargo)
        for name, table in content.get("target", {}).items()
        if table.get(key)
    ]
    named = [each for each in found if each[1] == triple]
    others = [each for each in found if each[1].startswith("cfg(")]
    facts = cargo.rustc("--print=cfg", f"--target={triple}").splitlines() if others else []
    holding = [each for each in others if cfg.holds(each[1], facts)]
    return [(base, value) for base, _, value in (*named, *holding)]


def rustflags(
    cargo: Cargo, kind: str, flags: tuple[str, ...], *, triple: str = ""
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return what adds `flags` to those that the crate and the user have set.

    Cargo takes the first it finds of: the variable, ``target.*`` of its configuration, ``build.*``.
    So the flags join whichever is in force.

    Args:
        cargo: Cargo in the crate's directory.
        kind: ``rustflags`` or ``rustdocflags``.
        flags: Flags of rustc or rustdoc, a word each.
        triple: The target that is built; empty for the host.

    Returns:
        Arguments for cargo, and variables; one of them is empty.
    """
    variable = kind.upper()
    encoded = f"CARGO_ENCODED_{variable}"
    if encoded in os.environ:
        return (), {encoded: "\x1f".join(filter(None, (os.environ[encoded], *flags)))}
    given = cargo.env.get(variable, os.environ.get(variable))
    if given is not None and any(" " in flag for flag in flags):
        return (), {encoded: "\x1f".join((*given.split(), *flags))}
    if given is not None:
        return (), {variable: " ".join(filter(None, (given, *flags)))}
    by_target = _configured(cargo, triple or cargo.toolchain.host, kind)
    key = "target.'cfg(all())'" if by_target else "build"
    return (f"--config={key}.{kind}={json.dumps(flags)}",), {}


def source_directories(cargo: Cargo) -> tuple[Path, ...]:
    """Return the folders that cargo takes vendored dependencies from."""
    return tuple(
        path.parent.parent / source["directory"]
        for path, content in configurations(cargo)
        for source in content.get("source", {}).values()
        if isinstance(source, dict) and isinstance(source.get("directory"), str)
    )
