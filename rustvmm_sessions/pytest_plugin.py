"""The pytest plugin of `rustvmm_sessions.integration_tests`; it is never loaded by itself.

``pytest -p rustvmm_sessions.pytest_plugin --pyargs rustvmm_sessions.integration_tests``, in the
crate's directory. What the crate's noxfile registers, its tolerance for one, holds here as well.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions import noxfile
from rustvmm_sessions.coverage.measurement import Profile, Scope
from rustvmm_sessions.coverage.options import profile_of
from rustvmm_sessions.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from rustvmm_sessions.settings import Settings

_SHARED = ("attr", "attrs", "packaging")
"""The packages that nox and pytest have in common."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add rust-vmm-ci's options."""
    pluginmanager.set_blocked("profiling")  # pytest-profiling has a --profile, too
    group = parser.getgroup("rustvmm-sessions")
    try:
        group.addoption(
            "--profile",
            choices=[str(profile) for profile in Profile],
            help="ci (default; also by RUSTVMM_PROFILE) or devel, which records better coverage",
        )
    except ValueError as error:
        raise pytest.UsageError(
            "another plugin has an option --profile; leave it out: `-p no:profiling` for pytest-profiling"
        ) from error
    group.addoption("--no-cleanup", action="store_true", help="write a coverage report as HTML, and keep it")
    group.addoption(
        "--test-scope",
        choices=[str(scope) for scope in Scope],
        help="all members of the workspace (default), or the package in this directory",
    )


@pytest.fixture(scope="session")
def profile(request: pytest.FixtureRequest) -> Profile:
    """The profile that checks run with."""
    return profile_of(request.config.getoption("--profile"))


@pytest.fixture(scope="session")
def no_cleanup(request: pytest.FixtureRequest) -> bool:
    """Whether reports are kept."""
    return bool(request.config.getoption("--no-cleanup"))


@pytest.fixture(scope="session")
def crate_settings(request: pytest.FixtureRequest) -> Settings:
    """The settings of the crate in the directory where pytest was called."""
    with _packages_of_nox():
        settings = noxfile.settings_in(request.config.invocation_params.dir)
    scope = request.config.getoption("--test-scope")
    return replace(settings, workspace=scope == Scope.WORKSPACE) if scope else settings


@contextlib.contextmanager
def _packages_of_nox() -> Iterator[None]:
    """Let nox in a zip file import what is packed with it; pytest may have loaded an older attrs."""
    found = importlib.util.find_spec("nox")
    place = Path(found.origin).parents[1] if found and found.origin else Path()
    if not place.is_file():
        yield
        return
    others = {name: sys.modules[name] for name in [*sys.modules] if name.partition(".")[0] in _SHARED}
    for name in others:
        del sys.modules[name]
    sys.path.insert(0, str(place))
    try:
        yield
    finally:
        sys.path.remove(str(place))
        sys.modules.update(others)


@pytest.hookimpl(hookwrapper=True)  # the older form: pluggy has the newer one from 1.2
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Show a check's verdict and a user's error as the sessions do: one message, no traceback."""
    del item
    report = (yield).get_result()
    if call.excinfo is not None and isinstance(call.excinfo.value, UserError | CheckFailed):
        report.longrepr = f"error: {call.excinfo.value}"
