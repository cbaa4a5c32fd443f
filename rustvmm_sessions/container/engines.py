"""Docker and podman on this machine: which one answers, what it is like, and what we left running."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.container.model import CLIENT_LABEL, Engine, Kind
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.process import Finished, run

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "RUSTVMM_CONTAINER_ENGINE"
_ANSWERS = 30
"""Seconds that an engine has for an answer."""
_INSTALL = "install podman or docker: `sudo apt-get install podman`"


def find(asked: str | None, *, needed: bool = True) -> Engine:
    """Return the engine to use: the one asked for by option or variable, else the first that answers.

    A docker client is often there without its engine; then podman is used.

    Args:
        asked: The option's value.
        needed: Whether the engine has to answer; one that is asked for by name then need not.

    Raises:
        UserError: There is none, or it does not answer; the message says which and why.
    """
    where = "--engine" if asked else VARIABLE
    name = asked or os.environ.get(VARIABLE)
    if name and name not in list(Kind):
        raise UserError(
            f"there is no engine {name!r}", where=f"{where}={name}", fix=f"name one of {', '.join(Kind)}"
        )
    return _named(Kind(name), f"{where}={name}", needed=needed) if name else _first()


def _named(kind: Kind, where: str, *, needed: bool) -> Engine:
    program = shutil.which(kind)
    if program is None:
        raise UserError(f"{kind} is not there", where=f"{where}, PATH", fix=_INSTALL)
    answer = _ask(kind, program)
    if isinstance(answer, Engine):
        return answer
    if not needed:
        return Engine(kind=kind, program=kind, selinux=_selinux())
    raise _silent(kind, answer)


def _first() -> Engine:
    problems: dict[Kind, str] = {}
    for kind in Kind:
        program = shutil.which(kind)
        if program is not None:
            answer = _ask(kind, program)
            if isinstance(answer, Engine):
                return answer
            problems[kind] = answer
    if not problems:
        raise UserError("there is no container engine", where="PATH", fix=_INSTALL)
    if len(problems) == 1:
        raise _silent(*next(iter(problems.items())))
    raise UserError(
        "neither docker nor podman works here",
        where="; ".join(f"{kind}: {problem}" for kind, problem in problems.items()),
        fix="fix one of them; `--engine NAME` shows its message alone",
    )


def _silent(kind: Kind, problem: str) -> UserError:
    if "permission denied" in problem.lower():
        return UserError(
            f"{kind} may not be used by this user",
            where=problem,
            fix="join the group that owns its socket, and log in anew: `sudo usermod -aG docker $USER`"
            if kind is Kind.DOCKER
            else "correct the permissions of its storage",
        )
    return UserError(
        f"{kind} is there, but its engine does not answer",
        where=problem,
        fix="start it: `sudo systemctl start docker`; or install podman, which needs no service"
        if kind is Kind.DOCKER
        else "see what `podman info` says",
    )


def _ask(kind: Kind, program: str) -> Engine | str:
    """Return what an engine says of itself, or why it does not answer."""
    asked = ["info", "--format", "{{json .}}" if kind is Kind.DOCKER else "json"]
    done = _quiet([program, *asked])
    try:
        found = json.loads(done.stdout) if done.stdout.strip() else {}
    except ValueError:
        found = {}
    reason = _last_line(done.stderr) or done.ending
    if not isinstance(found, dict):
        return reason
    if isinstance(found.get("host"), dict):  # podman, which may be called docker
        return _podman(kind, found["host"])
    if kind is Kind.DOCKER and found.get("ServerVersion"):
        options = [str(option) for option in found.get("SecurityOptions") or ()]
        return Engine(
            kind=Kind.DOCKER,
            program=kind,
            rootless=any(option.startswith("name=rootless") for option in options),
            remapped=any(option.startswith("name=userns") for option in options),
            selinux=_selinux(),
        )
    errors = found.get("ServerErrors") or [reason]
    return str(errors[0])


def _podman(name: str, host: Mapping[str, Any]) -> Engine:
    rootless = bool(host.get("security", {}).get("rootless"))
    return Engine(
        kind=Kind.PODMAN,
        program=name,
        rootless=rootless,
        selinux=_selinux(),
        keeps_groups=rootless and host.get("ociRuntime", {}).get("name") == "crun",
    )


def _selinux() -> bool:
    return Path("/sys/fs/selinux/enforce").exists()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def _quiet(args: list[str]) -> Finished:
    return run(args, read_stdout=True, read_stderr=True, echo=False, timeout=_ANSWERS)


def image_platform(engine: Engine, image: str) -> str:
    """Return what an image in the engine's storage is for, as ``linux/amd64``; empty if it is not there."""
    form = "--format={{.Os}}/{{.Architecture}}"
    return _quiet([engine.program, "image", "inspect", form, image]).stdout.strip()


# What is left of clients that were killed


def client() -> str:
    """Return the value of `CLIENT_LABEL` for this process.

    A process is known by its number together with its start; both mean something only on one
    machine since it was booted, in one namespace of process numbers, and to one user.
    """
    return f"{_surroundings()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(value: str) -> bool:
    """Whether the process that a label names could be seen from here, and has ended."""
    around, _, process = value.partition("/")
    pid, _, started = process.partition("/")
    return around == _surroundings() and pid.isdecimal() and _started(int(pid)) != started


def _surroundings() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}.{Path('/proc/self/ns/pid').stat().st_ino}.{os.getuid()}"


def _started(pid: int) -> str:
    """Return when a process began, in clock ticks since boot; empty where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def remove_leftovers(engine: Engine) -> None:
    """Remove containers whose client was killed before it could do so."""
    listed = _quiet(
        [engine.program, "ps", "--all", "--quiet", "--no-trunc", f"--filter=label={CLIENT_LABEL}"]
    )
    ids = listed.stdout.split()
    if not ids:
        return
    form = f'{{{{.Id}}}} {{{{index .Config.Labels "{CLIENT_LABEL}"}}}}'
    said = _quiet([engine.program, "container", "inspect", f"--format={form}", *ids]).stdout
    for line in said.splitlines():
        container, _, value = line.partition(" ")
        if is_gone(value):
            remove(engine, container)


def remove(engine: Engine, container: str) -> None:
    """Stop a container at once and remove it; one that is not there is as good."""
    _quiet([engine.program, "kill", container])  # else podman waits before it removes by force
    _quiet([engine.program, "rm", "--force", container])
