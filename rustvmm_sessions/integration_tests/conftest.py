"""Load the plugin where a test is named by its path; ``-p`` has loaded it already elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PLUGIN = "rustvmm_sessions.pytest_plugin"
sys.path.append(str(Path(__file__).parents[2] / "vendor" / "nox.zip"))  # in a checkout of the repository


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Bring the plugin's options before the command line is read."""
    if not pluginmanager.has_plugin(PLUGIN):
        pluginmanager.import_plugin(PLUGIN)
