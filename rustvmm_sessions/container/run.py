"""Run sessions, or a shell, in the container image that CI uses."""

from __future__ import annotations

import os
import re
import sys
import tomllib
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog, files, zipapp
from rustvmm_sessions.console import is_terminal, say, warn
from rustvmm_sessions.container import engines
from rustvmm_sessions.container.model import (
    CARRIED,
    CLIENT_LABEL,
    NOX,
    PASSED,
    ROOT,
    TARGET,
    Bind,
    Container,
    Engine,
    caller,
    check_place,
    command,
    docker_platform,
    entered,
    is_inside,
    outermost,
    volumes,
)
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.process import attached, command_line, run
from rustvmm_sessions.rust.cargo import machine
from rustvmm_sessions.rust.tools import check_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rustvmm_sessions.settings import SessionSettings

DEFAULT_IMAGE = f"docker.io/{catalog.IMAGE}"
KVM = "/dev/kvm"

_SHELL = ("sh", "-c", 'exec "$(command -v bash || echo sh)"')
_ENGINE_FAILED = 125
_NOT_RUN = (_ENGINE_FAILED, 126, 127)
"""Exit statuses of both engines: they failed themselves, or the program could not be started."""


@dataclass(frozen=True, kw_only=True)
class ContainerRequest:
    """What is to run in a container.

    Attributes:
        directory: The crate's directory.
        called_from: The directory where nox was called.
        sessions: The sessions to run; none for a shell.
        arguments: Words for them.
        engine: The engine asked for; None to take what works.
        image: The image; empty for the one that CI uses.
        pull: When to fetch it, one of `container.PULL`.
        toolchain: The toolchain for cargo; empty for its choice.
        deadline: When the session's time is up; one without limit leaves as long as the sessions have.
        dry_run: Whether only to print the command.
    """

    directory: Path
    called_from: Path
    sessions: tuple[SessionSettings, ...] = ()
    arguments: tuple[str, ...] = ()
    engine: str | None = None
    image: str = ""
    pull: str = "missing"
    toolchain: str = ""
    deadline: Deadline = field(default_factory=Deadline)
    dry_run: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The sessions by name."""
        return tuple(session.row.name for session in self.sessions)


def run_in_container(request: ContainerRequest) -> None:
    """Run sessions in a container, or a shell where none is named.

    Raises:
        UserError: There is no engine, image, device or terminal, or the work tree cannot be mounted.
        CheckFailed: A session failed there.
    """
    for name in ("container", "reproduce"):
        if name in request.names:
            raise UserError(
                "a container has no engine for another one", where=name, fix="name the sessions to run"
            )
    on_terminal = is_terminal(sys.stdin) and is_terminal(sys.stdout)
    if not (request.sessions or on_terminal or request.dry_run):
        raise UserError(
            "a shell needs a terminal",
            where="nox -s container",
            fix="name sessions: nox -s container -- unit-tests",
        )
    engine = engines.find(request.engine, needed=not request.dry_run)
    trees = mounts(request.directory)
    carried = str(zipapp.carried())
    image = request.image or DEFAULT_IMAGE
    container = Container(
        image=image,
        pull=request.pull,
        entrypoint="python3",
        user=ROOT,
        command=entered(who(engine), *(_nox(request, trees) if request.sessions else _SHELL)),
        binds=(*trees, Bind(source=carried, target=CARRIED), Bind(source=carried, target=NOX)),
        volumes=volumes(trees[0].source, image, os.getuid()),
        devices=_devices(request),
        variables=_variables(request),
        passed=passed((*PASSED, "TERM") if not request.sessions else PASSED),
        directory=_working_directory(request, trees),
        privileged=any(session.privileged for session in request.sessions),
        interactive=not request.sessions and on_terminal,
    )
    if request.dry_run:
        say(command_line(command(container, engine)))
        return
    status = launch(engine, container, deadline=_deadline(request))
    if status:
        what = f"{', '.join(request.names)} failed" if request.sessions else "the shell ended"
        raise CheckFailed(f"{what} in the container: exit status {status}", status=status)


def launch(engine: Engine, container: Container, *, deadline: Deadline) -> int:
    """Run a container to its end, however that comes; return its exit status as shells give it.

    It is named and labelled, so that it can be removed here if its client did not come to that, or
    by a later call if this process did not either.

    Raises:
        UserError: The engine could not start it.
        CheckFailed: Its time was up.
        KeyboardInterrupt: After a stop signal, whose number it has, once it is gone.
    """
    engines.remove_leftovers(engine)
    container = replace(container, pull=_pull(engine, container))
    name = f"rustvmm-{uuid.uuid4().hex[:12]}"
    words = command(replace(container, name=name, labels={CLIENT_LABEL: engines.client()}), engine)
    ended, said = False, ""
    try:
        if container.interactive:
            status = attached(words)
        else:
            done = run(words, deadline=deadline)
            status, said = done.returncode, done.stderr
            if done.timed_out:
                raise CheckFailed(f"the container was {done.ending}")
        ended = status >= 0
    finally:
        if not ended:
            engines.remove(engine, name)
    lines = [line for line in said.strip().splitlines() if line and "--help" not in line]
    # A program's own exit status may be one of these; then the last word is not the engine's.
    spoke = bool(lines) and lines[-1].startswith(("docker: ", "Error: "))
    if status in _NOT_RUN and spoke:
        raise _not_run(engine, container, lines[-1])
    if status == _ENGINE_FAILED and container.interactive:  # what was said is on the terminal alone
        raise _not_run(engine, container, "")
    return status if ended else 128 - status


def _pull(engine: Engine, container: Container) -> str:
    """Return when to fetch the image: also where it is here for another architecture.

    A step of another one leaves its image under the same name, and engines would run that, emulated.
    """
    found = engines.image_platform(engine, container.image)
    wanted = _wanted_platform(container)
    if container.pull == "always" or found in ("", wanted):
        return container.pull
    if container.pull == "missing":
        return "always"
    raise UserError(
        f"the image {container.image} is here for {found}, and not for {wanted}",
        where=f"{engine.kind}, --pull=never",
        fix="let it be fetched by --pull missing, or name another by --image",
    )


def _wanted_platform(container: Container) -> str:
    return docker_platform(container.platform or machine())


def _not_run(engine: Engine, container: Container, said: str) -> UserError:
    """Return why an engine did not run a container, by what it said and what is there."""
    program = container.entrypoint or container.command[0]
    if re.search(rf"\bexec.*\b{re.escape(program)}\b", said):
        return UserError(
            f"{program} cannot be started in the image",
            where=container.image,
            fix=f"use an image that has it, such as {DEFAULT_IMAGE}",
        )
    unseen = next((bind.source for bind in container.binds if bind.source in said), "")
    if unseen and "permission denied" in said.lower():
        return UserError(
            f"{engine.kind} may not see {unseen}, as on network and FUSE file systems that let in one user",
            where=said,
            fix="use podman as that user, or clone it to a file system of this machine",
        )
    found, wanted = engines.image_platform(engine, container.image), _wanted_platform(container)
    if found != wanted:
        never = container.pull == "never"
        return UserError(
            f"the image {container.image} is not here"
            + (f" for {wanted}" if found else "")
            + ("" if never else ", and could not be fetched"),
            where=f"{engine.kind}, --pull={container.pull}" + ("" if never or not said else f": {said}"),
            fix="name another by --image" + (", or let it be fetched by --pull missing" if never else ""),
        )
    return UserError(
        f"{engine.kind} could not run the container",
        where=said or container.image,
        fix="the command is above; see what it says by itself",
    )


def who(engine: Engine) -> str:
    """Return whom programs in a container are to run as, so that files they make are ours."""
    return caller(engine, os.getuid(), os.getgid(), os.getgroups())


def kept_in(build: str) -> dict[str, str]:
    """Return the variables by which what is made in a container lands in the volume of its builds.

    The cache, where bench has upstream's work tree, lies at another path than the host's: the
    repository is the same, and git has one note for a path. Git is also kept from forgetting the
    user's linked work trees, which cannot be seen from inside, when it tidies up.
    """
    return {
        "CARGO_TARGET_DIR": build,
        "XDG_CACHE_HOME": f"{build}/rustvmm-cache",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "gc.worktreePruneExpire",
        "GIT_CONFIG_VALUE_0": "never",
    }


def passed(names: Sequence[str]) -> tuple[str, ...]:
    """Return those of the variables that are set."""
    return tuple(name for name in names if name in os.environ)


# What the container sees


def mounts(directory: Path) -> tuple[Bind, ...]:
    """Return what a container is to see of the host for a crate; the work tree comes first.

    Every path is the same inside, so that coverage data and messages name it, and what git writes
    down of a linked worktree or a submodule holds.

    Raises:
        UserError: The work tree cannot be written, or hides something of the image.
    """
    git = Git(directory=directory)
    top = git.top
    written = [str(top)] if top else []
    read: list[str] = []
    if top:
        for option in ("--git-dir", "--git-common-dir"):
            found = (directory / (git.line("rev-parse", option) or "")).resolve()
            written.append(str(found))
            read += _alternates(found / "objects")
    written += [str(_workspace(directory))]
    roots = outermost(written)
    for root in roots:
        check_place(root)
        _check_writable(root)
    others = [path for path in outermost(read) if not any(path == r or is_inside(path, r) for r in roots)]
    return (
        *(Bind(source=root, target=root, writable=True) for root in roots),
        *(Bind(source=path, target=path) for path in others),
    )


def _alternates(objects: Path) -> Iterator[str]:
    """Yield the folders that a clone made by ``--shared`` or ``--reference`` has its objects in."""
    todo, seen = [objects], set()
    while todo:
        folder = todo.pop()
        if folder in seen:
            continue
        seen.add(folder)
        if folder != objects:
            yield str(folder)
        listed = files.read_text(folder / "info" / "alternates") or ""
        todo += [(folder / line).resolve() for line in listed.splitlines() if line and line[0] != "#"]


def _workspace(directory: Path) -> Path:
    """Return the folder of the workspace around a package, else its own."""
    for folder in (directory, *directory.parents):
        try:
            manifest = tomllib.loads((folder / "Cargo.toml").read_text())
        except (OSError, ValueError):
            continue
        if "workspace" in manifest:
            return folder
    return directory


def _check_writable(root: str) -> None:
    if os.access(root, os.W_OK):
        return
    read_only = os.statvfs(root).f_flag & os.ST_RDONLY
    raise UserError(
        "the work tree is on a read-only file system"
        if read_only
        else "the work tree may not be written by this user",
        where=root,
        fix="copy or clone it to where sessions can write",
    )


def _devices(request: ContainerRequest) -> tuple[str, ...]:
    declared = dict.fromkeys(device for session in request.sessions for device in session.devices)
    for device in declared:
        check_device(device)
    if KVM not in declared and os.path.exists(KVM):  # noqa: PTH110 - no error where it may not be looked at
        try:
            check_device(KVM)
            declared[KVM] = None
        except UserError as error:
            warn(f"{error.what}; the container has none")
    return tuple(declared)


def _variables(request: ContainerRequest) -> dict[str, str]:
    variables = kept_in(TARGET)
    if request.toolchain:
        variables["RUSTUP_TOOLCHAIN"] = request.toolchain
    if is_terminal(sys.stderr) and not passed(("NO_COLOR", "FORCE_COLOR")):
        variables["FORCE_COLOR"] = "1"
    return variables


def _working_directory(request: ContainerRequest, trees: Sequence[Bind]) -> str:
    """Return where nox was called, from where paths in options start, if that is mounted."""
    called = str(request.called_from.resolve())
    seen = any(called == bind.target or is_inside(called, bind.target) for bind in trees)
    return called if seen else str(request.directory)


def _nox(request: ContainerRequest, trees: Sequence[Bind]) -> tuple[str, ...]:
    elsewhere = _working_directory(request, trees) != str(request.directory)
    return (
        *("python3", CARRIED),
        *(["-f", str(request.directory / "noxfile.py")] if elsewhere else ()),
        *("-s", *request.names),
        *(["--", *request.arguments] if request.arguments else ()),
    )


def _deadline(request: ContainerRequest) -> Deadline:
    """Return the limit that is set, else what the sessions have together, and some for the image."""
    if request.deadline.minutes is not None:
        return request.deadline
    minutes = sum(session.timeout_minutes for session in request.sessions) + catalog.TIMEOUT_MINUTES
    return replace(request.deadline, minutes=minutes, setting="total timeout_minutes")
