"""Containers as data: what is to run in one, and the command line that an engine takes for it."""

from __future__ import annotations

import hashlib
import os.path
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog
from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PULL = ("always", "missing", "never")
CLIENT_LABEL = "rustvmm-sessions.client"
"""The label of our containers: the process that started it, as `engines.client` writes it."""
ROOT = "0:0"
"""Whom `entered` starts as."""
CARRIED = "/opt/rustvmm-sessions.pyz"
"""Where a container finds us."""
NOX = "/usr/local/bin/nox"
"""Where a step of the pipeline finds us as the program ``nox``."""
TARGET = "/var/cache/rustvmm-sessions/target"
CARGO = "/var/cache/rustvmm-sessions/cargo"
"""Where the volumes are that keep builds and the registry between containers."""
PASSED = (
    *("BASE_BRANCH", "BUILDKITE_PULL_REQUEST_BASE_BRANCH", "GITHUB_BASE_REF", "REMOTE"),
    *("CARGO_BUILD_JOBS", "CARGO_NET_OFFLINE", "CARGO_TERM_COLOR", "FORCE_COLOR", "NO_COLOR"),
    *("PACKAGE", "RUSTVMM_PROFILE", "RUST_BACKTRACE", "RUST_LOG", "RUST_TEST_THREADS"),
)
"""The variables that sessions see of the caller's. None of them holds a secret, as BUILDKITE_REPO may."""

_IMAGES_OWN = frozenset(
    ["", *(f"/{name}" for name in ("bin", "boot", "dev", "etc", "home", "lib", "lib64", "mnt", "opt"))]
    + [f"/{name}" for name in ("proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var")]
)
"""Directories that an image has itself; a crate mounted over one would hide what is needed."""
_DOCKER_ARCHITECTURES = {catalog.X86_64: "amd64", catalog.AARCH64: "arm64", catalog.RISCV64: "riscv64"}


class Kind(StrEnum):
    """The two engines, which differ in a few options."""

    DOCKER = "docker"
    PODMAN = "podman"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What is known of an engine.

    Attributes:
        kind: Which one.
        program: The client's program.
        rootless: Whether it runs as the caller: root in a container then is the caller outside.
        remapped: Whether root in a container is an unprivileged user outside (docker's userns-remap).
        selinux: Whether the host confines containers by SELinux.
        keeps_groups: Whether it can leave a container the caller's groups (podman with crun).
    """

    kind: Kind
    program: str
    rootless: bool = False
    remapped: bool = False
    selinux: bool = False
    keeps_groups: bool = False


@dataclass(frozen=True, kw_only=True)
class Bind:
    """A file or directory of the host, seen in the container under the path `target`."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume that the engine keeps under a name."""

    name: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Container:
    """What is to run in a container.

    Attributes:
        image: The image.
        command: The program and its arguments.
        pull: When to fetch the image, one of `PULL`.
        entrypoint: The program in place of the image's entry point; empty to keep that.
        user: Whom it starts as; empty for the image's choice.
        name: The container's name; empty for the engine's choice.
        labels: Its labels.
        binds: What it sees of the host.
        volumes: What it keeps.
        devices: Device files of the host, under their own paths.
        variables: Its variables.
        passed: Variables that it gets from the client's environment.
        directory: Its working directory.
        privileged: Whether it may do what root may.
        interactive: Whether it is attached to a terminal.
        platform: The architecture that is asked for; empty for the machine's.
    """

    image: str
    command: tuple[str, ...]
    pull: str = PULL[1]
    entrypoint: str = ""
    user: str = ""
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[Bind, ...] = ()
    volumes: tuple[Volume, ...] = ()
    devices: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] = ()
    directory: str = "/"
    privileged: bool = False
    interactive: bool = False
    platform: str = ""


def command(container: Container, engine: Engine) -> tuple[str, ...]:
    """Return the command that runs a container and removes it when it has ended.

    seccomp is unconfined as on rust-vmm's agents: tests use system calls that the default filter
    refuses. SELinux is told not to confine the container, since the alternative, to relabel the
    mounted files, would change the work tree.

    Raises:
        UserError: The image or a device has a name that the engine would read as something else.
    """
    if not re.fullmatch(r"[\w][\w./:@+-]*", container.image, re.ASCII):
        raise UserError(
            f"invalid image name {container.image!r}",
            where="--image",
            fix=f"write it as docker.io/{catalog.IMAGE}",
        )
    for device in container.devices:
        if ":" in device:
            raise UserError(
                f"the device {device} cannot be given to a container: engines read the colon as a separator",
                where="devices=",
                fix="make a link to it without a colon",
            )
    flags = {
        "--interactive": container.interactive,
        "--tty": container.interactive,
        "--privileged": container.privileged,
        "--security-opt=label=disable": engine.selinux,
        "--userns=host": engine.remapped,
        "--group-add=keep-groups": engine.keeps_groups and bool(container.devices),
    }
    return (
        *(engine.program, "run", "--rm", f"--pull={container.pull}"),
        *([f"--name={container.name}"] if container.name else ()),
        *(f"--label={key}={value}" for key, value in container.labels.items()),
        *([f"--platform={docker_platform(container.platform)}"] if container.platform else ()),
        "--security-opt=seccomp=unconfined",
        *(flag for flag, wanted in flags.items() if wanted),
        *(f"--mount={_mount('bind', b.source, b.target, writable=b.writable)}" for b in container.binds),
        *(f"--mount={_mount('volume', v.name, v.target)}" for v in container.volumes),
        *(f"--device={device}" for device in container.devices),
        *(f"--env={name}={value}" for name, value in container.variables.items()),
        *(f"--env={name}" for name in container.passed),
        *([f"--user={container.user}"] if container.user else ()),
        f"--workdir={container.directory}",
        *([f"--entrypoint={container.entrypoint}"] if container.entrypoint else ()),
        container.image,
        *container.command,
    )


def docker_platform(architecture: str) -> str:
    """Return an architecture as engines write it, such as ``linux/amd64``."""
    return f"linux/{_DOCKER_ARCHITECTURES.get(architecture, architecture)}"


def _mount(kind: str, source: str, target: str, *, writable: bool = True) -> str:
    """Return a mount as both engines read it: a line of CSV, so that a path may hold any character."""
    fields = (f"type={kind}", f"source={source}", f"target={target}")
    return ",".join(_csv(field) for field in (fields if writable else (*fields, "readonly")))


def _csv(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) else text


def entered(who: str, *words: str) -> tuple[str, ...]:
    """Return the words after ``python3`` that let us run a program as the first of a container.

    Args:
        who: As `caller` writes it.
        words: The program and its arguments.
    """
    return (CARRIED, "--enter", who, *words)


def caller(engine: Engine, uid: int, gid: int, groups: Iterable[int]) -> str:
    """Return whom a container's program is to run as, so that files it makes are the caller's.

    ``-`` is root in the container, else ``UID:GID:GROUP,GROUP...``.
    """
    if uid == 0 or engine.rootless:
        return "-"
    return f"{uid}:{gid}:{','.join(map(str, sorted(groups)))}"


def volumes(root: str, image: str, uid: int) -> tuple[Volume, ...]:
    """Return the volumes of a work tree: its builds, and the caller's registry.

    Each work tree has its own builds: two that share a target directory would run each other's
    programs (cargo#17312).
    """
    build = hashlib.sha256(f"{root}\0{image}".encode(errors="surrogateescape")).hexdigest()[:16]
    return (
        Volume(name=f"rustvmm-target-{uid}-{build}", target=TARGET),
        Volume(name=f"rustvmm-cargo-{uid}", target=CARGO),
    )


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the absolute paths that no other one contains, each once, in order."""
    wanted = list(dict.fromkeys(os.path.normpath(path) for path in paths))
    return tuple(path for path in wanted if not any(is_inside(path, other) for other in wanted))


def is_inside(path: str, directory: str) -> bool:
    """Whether a path is below a directory, which it is not itself."""
    return path != directory and path.startswith(directory.rstrip("/") + "/")


def check_place(path: str) -> None:
    """Check that a directory can be mounted where it is on the host.

    Raises:
        UserError: The image has a directory of its own there.
    """
    if path.rstrip("/") in _IMAGES_OWN:
        raise UserError(
            f"{path} cannot be mounted at its own path: it would hide the image's {path}",
            where=path,
            fix="move the repository to a directory of its own",
        )


def qualified(image: str) -> str:
    """Return an image's name as docker completes it; podman would ask which registry is meant."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def emulator(platform: str, machine: str, registered: Mapping[str, str]) -> str:
    """Return the architecture to ask an engine for, empty where it is the machine's own.

    Args:
        platform: What a step is for; empty for any machine.
        machine: The architecture of this one.
        registered: The handlers of binfmt_misc, with the text of their files.

    Raises:
        UserError: It is another one, and nothing here runs its programs.
    """
    if platform in ("", machine):
        return ""
    text = registered.get(f"qemu-{platform}", "")
    flags = re.search(r"^flags: *(\S*)", text, re.MULTILINE)
    # Without F, the interpreter is looked for inside the container, which does not have it.
    if text.startswith("enabled") and flags and "F" in flags.group(1):
        return platform
    raise UserError(
        f"the step is for {platform}, and nothing here ({machine}) runs its programs in containers",
        where=f"/proc/sys/fs/binfmt_misc/qemu-{platform}",
        fix="install qemu-user-static (Debian, Ubuntu), or run the step on such a machine",
    )
