"""Unit tests start no process and touch no network."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="module")
def _no_processes() -> Iterator[None]:
    def refuse(*args: Any, **_: Any) -> NoReturn:
        raise AssertionError(f"a unit test started a process or a connection: {args!r}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        patch.setattr(socket, "socket", refuse)
        yield
