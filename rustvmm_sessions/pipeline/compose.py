"""Make steps of templates: for each platform that the crate and the template name, and each member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.pipeline.model import Pipeline, Placement, Step, Template
from rustvmm_sessions.rust.choice import excluded_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rustvmm_sessions.pipeline.variables import Variables
    from rustvmm_sessions.settings import Platforms

GLOBAL_PATHS = ("Cargo.toml", ".buildkite/**", "rust-vmm-ci/**")
"""Paths of a workspace on whose change the shared tests of every member run."""

_METAL = {catalog.AARCH64: "arm", catalog.RISCV64: catalog.X86_64}


@dataclass(frozen=True, kw_only=True)
class Member:
    """A package of a workspace, with what a pipeline needs of it.

    Attributes:
        name: Its name.
        path: Its folder, relative to the workspace's, ``/`` between; ``.`` for the root package.
        changed: The patterns of the files on whose change it is to be tested.
        platforms: What its ``.platform`` says.
        tests: Tests of its own description.
    """

    name: str
    path: str
    changed: tuple[str, ...]
    platforms: Platforms
    tests: tuple[Template, ...] = ()


def compose(templates: Iterable[Template], platforms: Platforms, variables: Variables) -> Pipeline:
    """Return the pipeline of a single crate, or of a workspace as a whole."""
    made: list[Placement] = []
    for template in templates:
        made += _place(template, platforms, variables)
    return Pipeline(placements=tuple(made), platforms=platforms)


def compose_workspace(
    shared: Iterable[Template], members: Sequence[Member], platforms: Platforms, variables: Variables
) -> Pipeline:
    """Return the pipeline of a workspace, with steps for each member that is affected by a change.

    Args:
        shared: Tests of every member, or of the workspace as a whole.
        members: The members; their steps come in the order of their names.
        platforms: What tests of the whole are for.
        variables: Changes from the environment.
    """
    ordered = sorted(members, key=lambda member: member.name)
    everywhere = {m.name: [*dict.fromkeys((*m.changed, *GLOBAL_PATHS))] for m in ordered}
    own = {member.name: [*member.changed] for member in ordered}
    made: list[Placement] = []
    for template in shared:
        if template.workspace:
            made += _place(template, platforms, variables)
            continue
        for member in ordered:
            made += _place(template, member.platforms, variables, member, everywhere[member.name])
    for member in ordered:
        for template in member.tests:
            made += _place(template, member.platforms, variables, member, own[member.name])
    return Pipeline(placements=tuple(made), platforms=platforms)


def _place(
    template: Template,
    platforms: Platforms,
    variables: Variables,
    member: Member | None = None,
    changed: list[str] | None = None,
) -> Iterable[Placement]:
    crate = member.name if member else ""
    omitted = template.omitted or ("TESTS_TO_SKIP" if variables.skips(template) else "")
    named = template.by_member.get(crate, template.platforms)
    if not named and template.platforms:
        omitted = omitted or excluded_by(template.name)
        named = template.platforms
    for platform in named or ("",):
        if omitted:
            yield Placement(template=template, crate=crate, platform=platform, reason=omitted)
        elif platform and platform not in platforms.names:
            reason = f"not in {platforms.source}"
            yield Placement(template=template, crate=crate, platform=platform, reason=reason)
        else:
            step = _step(template, platform, variables, member, changed)
            yield Placement(template=template, crate=crate, platform=platform, step=step)


def _step(
    template: Template, platform: str, variables: Variables, member: Member | None, changed: list[str] | None
) -> Step:
    prefix = f"{member.name}: " if member else ""
    suffix = f"-{platform}" if platform else ""
    share = f" {template.share}" if template.share else ""
    return Step(
        label=f"{prefix}{template.name}{suffix}{share}",
        command=_filled(template, platform, member),
        platform=platform,
        agents=_agents(template, platform, variables),
        image=catalog.RISCV64_IMAGE if platform == catalog.RISCV64 else catalog.IMAGE,
        docker={**template.docker, **variables.docker.of(template)},
        timeout_minutes=variables.minutes(template),
        retry=template.retry,
        condition=template.condition,
        changed=changed if template.changed is None else template.changed,
        extra=template.extra,
        session=template.session,
        authored=template.authored,
    )


def _agents(template: Template, platform: str, variables: Variables) -> Mapping[str, Any]:
    given = {
        "": {},
        catalog.X86_64: variables.x86_tags.of(template),
        catalog.RISCV64: variables.x86_tags.of(template),
        catalog.AARCH64: variables.aarch64_tags.of(template),
    }.get(platform)
    if given:
        return given
    tags = {"os": "linux"}
    if platform:
        tags["platform"] = f"{_METAL.get(platform, platform)}.metal"
    hypervisor = template.hypervisor or variables.hypervisor
    if hypervisor and platform != catalog.RISCV64:
        tags["hypervisor"] = hypervisor
    if template.queue:
        tags["queue"] = template.queue
    return {**tags, **template.agents}


def _filled(template: Template, platform: str, member: Member | None) -> str | tuple[str, ...]:
    """Return the command with its placeholders filled; nothing else in it is touched."""

    def fill(text: str) -> str:
        text = text.replace("{target_platform}", platform)
        return text.replace("{crate_path}", template.crate_path) if template.crate_path else text

    command = (template.of_member(member.name, member.path) if member else template).command
    return fill(command) if isinstance(command, str) else tuple(map(fill, command))
