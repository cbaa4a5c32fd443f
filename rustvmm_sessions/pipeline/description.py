"""The test description files of rust-vmm-ci: ``{"tests": [{"test_name": ..., "command": ...}]}``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from rustvmm_sessions import catalog
from rustvmm_sessions.documents import Document, read_json
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline.model import HYPERVISORS, Template
from rustvmm_sessions.settings import check_platform
from rustvmm_sessions.wording import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

BUILDKITE_KEYS = frozenset(
    (
        *("agents", "allow_dependency_failure", "artifact_paths", "branches", "cache"),
        *("cancel_on_build_failing", "commands", "concurrency", "concurrency_group", "concurrency_method"),
        *("depends_on", "env", "id", "identifier", "if", "if_changed", "image", "key", "label", "matrix"),
        *("name", "notify", "parallelism", "plugins", "priority", "retry", "secrets", "signature", "skip"),
        *("soft_fail", "timeout_in_minutes", "type"),
    )
)
"""The keys of a command step beside ``command`` (buildkite.com/docs/pipelines/configure/step-types)."""
SCOPES = ("crate", "workspace")

_OWN_KEYS = frozenset(
    (
        *("test_name", "command", "platform", "hypervisor", "docker_plugin", "conditional", "queue"),
        *("crate_path", "scope", "retry", "if_changed", "timeout_in_minutes"),
    )
)
_KNOWN = _OWN_KEYS | BUILDKITE_KEYS
_SET_ELSEWHERE = {
    "label": "test_name and platform",
    "agents": "platform, hypervisor and queue",
    "plugins": "docker_plugin",
}
_PLACEHOLDER = re.compile(r"\{(target_platform|crate|crate_path)\}")


def parse(text: str, name: str, *, of_crates: bool, warn: Callable[[str], None]) -> tuple[Template, ...]:
    """Read a description.

    Args:
        text: The file's text.
        name: The file's name, for messages.
        of_crates: Whether its tests may run for single crates of a workspace, so that
            ``{crate}`` and ``{crate_path}`` have a meaning.
        warn: Called with what is odd but stops nothing.

    Raises:
        UserError: With file, line, test and key.
    """
    document = read_json(text, name)
    if not isinstance(document.data, dict):
        raise UserError(
            'an object with the key "tests" is expected',
            where=f"{name}:1",
            fix='write {"tests": [...]}',
        )
    if "tests" not in document.data:
        raise UserError('the key "tests" is missing', where=f"{name}:1", fix='write {"tests": [...]}')
    tests = document.data["tests"]
    if not isinstance(tests, list):
        raise UserError(
            "tests is a list of tests", where=document.where("tests"), fix="write [ ] around them"
        )
    return tuple(
        _Test(document, index, test, of_crates=of_crates, warn=warn).template()
        for index, test in enumerate(tests)
    )


@dataclass(frozen=True)
class _Test:
    """One test of a description, being checked."""

    document: Document
    index: int
    test: Any
    of_crates: bool
    warn: Callable[[str], None]

    def where(self, *path: str | int) -> str:
        name = self.test.get("test_name") if isinstance(self.test, dict) else None
        note = f"test {name!r}" if isinstance(name, str) and name else f"test {self.index + 1}"
        return self.document.where("tests", self.index, *path, note=note)

    def wrong(self, key: str, expected: str, fix: str = "") -> NoReturn:
        raise UserError(
            f"{key} is {expected}, not {_shown(self.test[key])}",
            where=self.where(key),
            fix=fix or "correct it there",
        )

    def string(self, key: str) -> str:
        value = self.test.get(key)
        if value is None:
            return ""
        return value if isinstance(value, str) else self.wrong(key, "a string")

    def template(self) -> Template:
        if not isinstance(self.test, dict):
            raise UserError(
                f"a test is an object, not {_shown(self.test)}",
                where=self.where(),
                fix='write {"test_name": ..., "command": ...}',
            )
        for key in ("test_name", "command"):
            if self.test.get(key) in (None, "", []):
                self._check_keys()
                raise UserError(f'the key "{key}" is missing', where=self.where(), fix="add it")
        self._check_keys()
        name, command, platforms = self.string("test_name"), self._command(), self._platforms()
        workspace = self._scope() == "workspace"
        crate_path = self.string("crate_path")
        for used in _PLACEHOLDER.findall("\n".join([command] if isinstance(command, str) else command)):
            self._check_placeholder(used, platforms, crate=self.of_crates and not workspace, path=crate_path)
        given = {key: value for key, value in self.test.items() if key not in _SET_ELSEWHERE}
        return Template(
            name=name,
            source=self.document.name,
            command=command,
            platforms=platforms,
            hypervisor=self._hypervisor(),
            queue=self.string("queue"),
            docker=self._object("docker_plugin"),
            condition=self.string("conditional") or self.string("if"),
            timeout_minutes=self._timeout(),
            retry=given.get("retry") or {"automatic": False},
            changed=given.get("if_changed"),
            crate_path=crate_path,
            workspace=workspace,
            extra={k: v for k, v in given.items() if k not in _OWN_KEYS and k != "if"},
            authored=True,
            place=self.where,
        )

    def _check_keys(self) -> None:
        for key in self.test:
            if key in _KNOWN:
                if key in _SET_ELSEWHERE:
                    self.warn(f"{self.where(key)}: it is ignored; {_SET_ELSEWHERE[key]} set it")
                continue
            if meant := misspelt(key, _KNOWN):
                raise UserError(
                    f"a test has no key {key!r}", where=self.where(key), fix=f"did you mean {meant!r}?"
                )
            self.warn(f"{self.where(key)}: not a key of a test or of a Buildkite step; passed on as it is")

    def _command(self) -> str | tuple[str, ...]:
        command = self.test["command"]
        if isinstance(command, str):
            return command
        if isinstance(command, list) and all(isinstance(line, str) for line in command):
            return tuple(command)
        return self.wrong("command", "a string or a list of strings")

    def _platforms(self) -> tuple[str, ...]:
        given = self.test.get("platform") or []
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
            self.wrong("platform", "a list of platforms", 'write ["x86_64", "aarch64"]')
        for name in names:
            check_platform(name, self.where("platform"))
        return tuple(names)

    def _scope(self) -> str:
        scope = self.string("scope") or "crate"
        if scope not in SCOPES:
            raise UserError(
                f"there is no scope {scope!r}", where=self.where("scope"), fix=did_you_mean(scope, SCOPES)
            )
        return scope

    def _hypervisor(self) -> str:
        hypervisor = self.string("hypervisor")
        if hypervisor and hypervisor not in HYPERVISORS:
            raise UserError(
                f"there is no hypervisor {hypervisor!r}",
                where=self.where("hypervisor"),
                fix=f"the hypervisors are {' and '.join(HYPERVISORS)}",
            )
        return hypervisor

    def _object(self, key: str) -> dict[str, Any]:
        value = self.test.get(key)
        if value is not None and not isinstance(value, dict):
            self.wrong(key, "an object")
        return value or {}

    def _timeout(self) -> int:
        minutes = self.test.get("timeout_in_minutes")
        if minutes is None:
            return catalog.TIMEOUT_MINUTES
        if not is_minutes(minutes):
            self.wrong("timeout_in_minutes", "a whole number above 0")
        return int(minutes)

    def _check_placeholder(self, used: str, platforms: tuple[str, ...], *, crate: bool, path: str) -> None:
        if used == "target_platform" and not platforms:
            raise UserError(
                "the command has {target_platform}, but the test has no platform",
                where=self.where("command"),
                fix='add "platform": ["x86_64", "aarch64"]',
            )
        if used != "target_platform" and not crate and not (used == "crate_path" and path):
            raise UserError(
                f"the command has {{{used}}}, but the test is not run for a single crate",
                where=self.where("command"),
                fix="call with --workspace-selective"
                + (', or give the test a "crate_path"' if used == "crate_path" else ""),
            )


def is_minutes(value: object) -> bool:
    """Whether `value` is a time limit: a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def misspelt(key: str, known: frozenset[str]) -> str:
    """Return the key that was probably meant, or an empty string where none resembles it."""
    close = nearest(key, known, cutoff=0.755)  # "comments" is as near to "commands" as 0.75
    return close or next((k for k in sorted(known) if len(key) >= 4 and k.startswith(f"{key}_")), "")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
