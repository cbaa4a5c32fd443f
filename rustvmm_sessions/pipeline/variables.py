"""The six variables of rust-vmm-ci that change steps from Buildkite's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import catalog
from rustvmm_sessions.documents import read_json
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.description import is_minutes
from rustvmm_sessions.pipeline.model import HYPERVISORS, Template
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

X86_TAGS = "X86_LINUX_AGENT_TAGS"
AARCH64_TAGS = "AARCH64_LINUX_AGENT_TAGS"
DOCKER = "DOCKER_PLUGIN_CONFIG"
SKIP = "TESTS_TO_SKIP"
TIMEOUTS = "TIMEOUTS_MIN"
HYPERVISOR = "DEFAULT_AGENT_TAG_HYPERVISOR"


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A configuration for some tests: ``{"tests": [...], "cfg": {...}}``."""

    tests: tuple[str, ...] = ()
    cfg: Mapping[str, Any] = field(default_factory=dict)

    def of(self, template: Template) -> Mapping[str, Any]:
        """Return the configuration if it is for `template`, else nothing."""
        return self.cfg if any(name in self.tests for name in template.names) else {}


@dataclass(frozen=True, kw_only=True)
class Variables:
    """What the variables say, checked.

    Attributes:
        x86_tags: Agent tags in place of those of x86_64 machines.
        aarch64_tags: The same of aarch64 machines.
        docker: Options laid over those of the docker plugin.
        skip: Tests without steps.
        timeouts: Minutes by test.
        hypervisor: The default hypervisor tag; empty for none.
    """

    x86_tags: Applied = field(default_factory=Applied)
    aarch64_tags: Applied = field(default_factory=Applied)
    docker: Applied = field(default_factory=Applied)
    skip: tuple[str, ...] = ()
    timeouts: Mapping[str, int] = field(default_factory=dict)
    hypervisor: str = "kvm"

    def skips(self, template: Template) -> bool:
        """Whether a test is to have no steps."""
        return any(name in self.skip for name in template.names)

    def minutes(self, template: Template) -> int:
        """Return a test's time limit."""
        return next(
            (self.timeouts[name] for name in template.names if name in self.timeouts),
            template.timeout_minutes,
        )

    def check(self, templates: Iterable[Template]) -> None:
        """Check the names in the variables.

        They reach every pipeline of a repository, so the standard names are known to all.

        Raises:
            UserError: A name that no test and no standard session has.
        """
        known = {name for template in templates for name in template.names}
        standard = [s for s in catalog.STANDARD if catalog.HELPERS not in s.tags]
        known |= {name for s in standard for name in (s.name, s.alias) if name} | {"commit-format"}
        for variable, names in (
            (X86_TAGS, self.x86_tags.tests),
            (AARCH64_TAGS, self.aarch64_tags.tests),
            (DOCKER, self.docker.tests),
            (SKIP, self.skip),
            (TIMEOUTS, tuple(self.timeouts)),
        ):
            for name in names:
                if name not in known:
                    raise UserError(
                        f"no test has the name {name!r}", where=variable, fix=did_you_mean(name, known)
                    )


def read(environ: Mapping[str, str]) -> Variables:
    """Read the variables; one that is set but empty is as if unset, save the hypervisor.

    Raises:
        UserError: A value of the wrong form; the variable is named.
    """
    hypervisor = environ.get(HYPERVISOR, "kvm")
    if hypervisor and hypervisor not in HYPERVISORS:
        raise UserError(
            f"there is no hypervisor {hypervisor!r}",
            where=HYPERVISOR,
            fix=f"set it to {' or '.join(HYPERVISORS)}, or to nothing for no tag",
        )
    return Variables(
        x86_tags=_applied(environ, X86_TAGS),
        aarch64_tags=_applied(environ, AARCH64_TAGS),
        docker=_applied(environ, DOCKER),
        skip=_skip(environ),
        timeouts=_timeouts(environ),
        hypervisor=hypervisor,
    )


def _value(environ: Mapping[str, str], variable: str, example: str) -> Any:
    text = environ.get(variable)
    if not text:
        return None
    try:
        return read_json(text, variable).data
    except UserError as error:
        raise UserError(error.what, where=variable, fix=f"write it as {example}") from error


def _applied(environ: Mapping[str, str], variable: str) -> Applied:
    example = '{"tests": ["coverage"], "cfg": {...}}'
    value = _value(environ, variable, example)
    if value is None:
        return Applied()
    if not isinstance(value, dict):
        raise UserError("expected an object", where=variable, fix=f"write it as {example}")
    for key in ("tests", "cfg"):
        if key not in value:
            raise UserError(f'the key "{key}" is missing', where=variable, fix=f"write it as {example}")
    for key in value:
        if key not in ("tests", "cfg"):
            raise UserError(
                f"there is no key {key!r}", where=variable, fix=did_you_mean(key, ("tests", "cfg"))
            )
    tests, cfg = value["tests"], value["cfg"]
    if not _names(tests) or not tests:
        raise UserError("tests is a list of names", where=variable, fix=f"write it as {example}")
    if not isinstance(cfg, dict) or not cfg:
        raise UserError("cfg is an object that is not empty", where=variable, fix=f"write it as {example}")
    return Applied(tests=tuple(tests), cfg=cfg)


def _skip(environ: Mapping[str, str]) -> tuple[str, ...]:
    example = '["coverage", "style"]'
    value = _value(environ, SKIP, example)
    if value is None:
        return ()
    if not _names(value):
        raise UserError("expected a list of names", where=SKIP, fix=f"write it as {example}")
    return tuple(value)


def _timeouts(environ: Mapping[str, str]) -> dict[str, int]:
    example = '{"coverage": 30}'
    value = _value(environ, TIMEOUTS, example)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError("expected an object", where=TIMEOUTS, fix=f"write it as {example}")
    for name, minutes in value.items():
        if not is_minutes(minutes):
            raise UserError(
                f"the timeout of {name!r} is a whole number above 0, not {minutes!r}",
                where=TIMEOUTS,
                fix=f"write it as {example}",
            )
    return value


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
