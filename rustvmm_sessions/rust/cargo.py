"""Cargo and rustc of a crate: which they are, what they know, and how they are run."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import shlex
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import console, files
from rustvmm_sessions.console import is_terminal
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.process import Finished, StartError, command_line, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rustvmm_sessions.deadline import Deadline
    from rustvmm_sessions.process import Listener

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

    @property
    def roots(self) -> list[Path]:
        """Its folder, and those of its members, which may lie beside it."""
        return [self.root, *(member.directory for member in self.members)]


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
        self,
        *args: str,
        env: Mapping[str, str | None] | None = None,
        deadline: Deadline | None = None,
        listener: Listener | None = None,
    ) -> Finished:
        """Run ``cargo ARGS``, its output passed on."""
        try:
            return run(
                [self.program, *args],
                cwd=self.directory,
                env={**self.env, **(env or {})} | _colour(),
                deadline=deadline,
                listener=listener,
            )
        except StartError as error:
            raise _missing("cargo", error) from error

    def read(
        self,
        *args: str,
        env: Mapping[str, str | None] | None = None,
        echo: bool = False,
        deadline: Deadline | None = None,
        listener: Listener | None = None,
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
                listener=listener,
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

    @property
    def package(self) -> Package:
        """The package whose manifest lies in the crate's directory.

        Raises:
            UserError: There is none, as in the directory of a virtual workspace.
        """
        if self.workspace.current is None:
            raise UserError(
                "there is no package beside the noxfile, only a workspace",
                where=str(self.directory),
                fix="leave out --scope crate or workspace=False, or run it in a member's directory",
            )
        return self.workspace.current

    def pasteable(
        self, called_from: Path, command: Sequence[str], env: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """Return a command as it is typed where nox was called: with its directory and its variables."""
        folder = self.directory.resolve()
        place = [] if folder == called_from.resolve() else [f"cd {shlex.quote(str(folder))} &&"]
        variables = [f"{name}={_quoted(text)}" for name, text in {**self.env, **env}.items()]
        return " ".join([*place, *variables, *map(_quoted, command)])


def _quoted(word: str) -> str:
    """Return a word for a shell; control characters, as in CARGO_ENCODED_RUSTFLAGS, in visible form."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("%", "%%")
    visible = "".join(c if c >= " " else f"\\{ord(c):03o}" for c in escaped)
    return f'"$(printf -- {shlex.quote(visible)})"'


def _missing(name: str, error: StartError) -> UserError:
    return UserError(f"{name} cannot be run: {error.what}", where=error.where, fix=INSTALL_RUST)


def coloured() -> bool:
    """Whether cargo's messages are to have colours."""
    if chosen := os.environ.get("CARGO_TERM_COLOR"):
        return chosen == "always" or (chosen == "auto" and is_terminal(sys.stderr))
    return console.coloured(sys.stderr)


def _colour() -> dict[str, str | None]:
    """Let cargo colour what ends on a terminal although it reaches it through us."""
    return {"CARGO_TERM_COLOR": "always"} if coloured() else {}


def messages_format() -> str:
    """Return the option for cargo's JSON messages, whose texts have colours where ours do."""
    return f"--message-format={'json-diagnostic-rendered-ansi' if coloured() else 'json'}"


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
