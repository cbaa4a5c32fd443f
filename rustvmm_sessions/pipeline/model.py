"""What a pipeline is made of: templates, the steps they become, and what decided that."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rustvmm_sessions.documents import Key, Place
    from rustvmm_sessions.settings import Platforms

HYPERVISORS = ("kvm", "mshv")

_SAFE_WORD = re.compile(r"[\w./+-]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Template:
    """A session or a described test, from which a step for each platform is made.

    Attributes:
        name: The session's or test's name.
        aliases: Other names that settings may use for it.
        source: Where it comes from, for people.
        command: A shell command, or several.
        platforms: What it is for; empty for a single step on any machine.
        hypervisor: ``kvm`` or ``mshv``; empty for the pipeline's default.
        queue: The agents' queue, if any.
        agents: More tags of the agents it needs.
        docker: Options of Buildkite's docker plugin.
        condition: Buildkite's condition on the build, if any.
        timeout_minutes: The step's time limit.
        retry: Buildkite's rule for retries.
        changed: Paths on whose change it runs; None where the crate decides.
        crate_path: What ``{crate_path}`` stands for; empty for the crate's folder.
        workspace: Whether it runs once for a workspace, not for each crate of it.
        by_member: What it is for where a member's platforms differ; of a member that it leaves out, none.
        extra: Further keys of a Buildkite step, as they are.
        session: Whether its command runs a session of ours, which needs no container on GitHub.
        share: The share of the session's work that it does, such as ``2/3``; empty for all.
        authored: Whether its texts are written for the agent's interpolation, ``$$`` for ``$``.
        omitted: Why it has no steps; empty where it has.
        place: Says where a key of it stands; None where it is no file's.
    """

    name: str
    source: str
    command: str | tuple[str, ...]
    aliases: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    hypervisor: str = ""
    queue: str = ""
    agents: Mapping[str, Any] = field(default_factory=dict)
    docker: Mapping[str, Any] = field(default_factory=dict)
    condition: str = ""
    timeout_minutes: int = catalog.TIMEOUT_MINUTES
    retry: Any = field(default_factory=lambda: {"automatic": False})
    changed: Any = None
    crate_path: str = ""
    workspace: bool = False
    by_member: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    session: bool = False
    share: str = ""
    authored: bool = False
    omitted: str = ""
    place: Place | None = field(default=None, compare=False)

    def where(self, *path: Key) -> str:
        """Return where it comes from, to the key if it is a file's."""
        return self.place(*path) if self.place else f"{self.name!r}, {self.source}"

    def of_member(self, name: str, path: str) -> Template:
        """Return it for one member of a workspace: ``{crate}`` and ``{crate_path}`` are filled in.

        Raises:
            UserError: The member's folder is no word for a shell.
        """
        place = self.crate_path or path
        for word in (name, *(() if self.crate_path else (path,))):
            if not _SAFE_WORD.fullmatch(word) and any("{crate" in line for line in self._lines):
                raise UserError(
                    f"{word!r} holds characters that mean something to a shell",
                    where=f"the command of {self.name!r}, {self.source}",
                    fix="rename the folder",
                )
        lines = [line.replace("{crate}", name).replace("{crate_path}", place) for line in self._lines]
        return replace(self, command=lines[0] if isinstance(self.command, str) else tuple(lines))

    @property
    def _lines(self) -> tuple[str, ...]:
        return (self.command,) if isinstance(self.command, str) else self.command

    @property
    def names(self) -> tuple[str, ...]:
        """All names that settings may use for it."""
        return (self.name, *self.aliases)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a pipeline.

    Attributes:
        label: What people see.
        command: A shell command, or several.
        platform: What it is for; empty for any machine.
        agents: Tags of the agents that may take it.
        image: The container image it runs in on Buildkite's agents.
        docker: Further options of the docker plugin.
        timeout_minutes: Its time limit.
        retry: Buildkite's rule for retries.
        condition: Buildkite's condition on the build; empty for none.
        changed: Paths on whose change it runs, in Buildkite's form; None for always.
        extra: Further keys of a Buildkite step, as they are.
        session: As of the template.
        authored: As of the template.
    """

    label: str
    command: str | tuple[str, ...]
    platform: str
    agents: Mapping[str, Any]
    image: str
    docker: Mapping[str, Any]
    timeout_minutes: int
    retry: Any
    condition: str
    changed: Any
    extra: Mapping[str, Any]
    session: bool
    authored: bool

    @property
    def script(self) -> str:
        """The command as one shell script."""
        return self.command if isinstance(self.command, str) else "\n".join(self.command)

    @property
    def word(self) -> str:
        """The script as one word for the entry point of `catalog.RISCV64_IMAGE`."""
        return json.dumps(self.script)

    @property
    def devices(self) -> tuple[str, ...]:
        """The device files that it needs."""
        return self._listed("devices")

    @property
    def environment(self) -> tuple[str, ...]:
        """The variables of its container, ``NAME=VALUE``, or ``NAME`` for the build's value."""
        return self._listed("environment")

    def _listed(self, option: str) -> tuple[str, ...]:
        given = self.docker.get(option) or ()
        items = [given] if isinstance(given, str) else given
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise UserError(
                f"{option} of the docker plugin is a list of strings",
                where=f"step {self.label!r}",
                fix="correct its docker_plugin",
            )
        return tuple(items)


@dataclass(frozen=True, kw_only=True)
class Included:
    """A step of the crate's own pipeline file, in Buildkite's words.

    Attributes:
        label: Its label, name or key, else what it is; may be empty.
        data: The step as it is.
        place: Says where a key of it stands.
    """

    label: str
    data: Any
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What became of a template on one platform.

    Attributes:
        template: The template.
        crate: The workspace's member it is for; empty for the whole.
        platform: The platform; empty for any machine.
        step: The step, or None.
        reason: Why there is none.
    """

    template: Template
    crate: str
    platform: str
    step: Step | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A pipeline, and what was decided against.

    Attributes:
        placements: Every template on every platform.
        platforms: The platforms of the crate, in the order of the pipeline.
        included: Steps of the crate's own pipeline file, which come last.
    """

    placements: tuple[Placement, ...]
    platforms: Platforms
    included: tuple[Included, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that were made."""
        return tuple(p.step for p in self.placements if p.step is not None)


def interpolated(text: str) -> str:
    r"""Return `text` as it reaches the shell: ``$$`` and ``\$`` are ``$``; variables stay."""
    return re.sub(r"\\\\|\$\$|\\\$", lambda found: found.group() if found.group() == "\\\\" else "$", text)


def tolerated_by(soft_fail: Any) -> tuple[object, ...]:
    """Return the exit statuses that a step's ``soft_fail`` passes over; ``*`` is any."""
    if soft_fail in (True, "true"):
        return ("*",)
    rules = soft_fail if isinstance(soft_fail, list) else []
    return tuple(rule.get("exit_status", "*") for rule in rules if isinstance(rule, dict))
