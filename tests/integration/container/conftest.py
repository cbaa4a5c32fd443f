"""What tests with containers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.containers import own_storage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let podman keep what a file of tests makes in a place of its own."""
    with own_storage(tmp_path_factory.mktemp("storage")):
        yield
