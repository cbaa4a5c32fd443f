"""What cargo says in its JSON messages."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def artifacts_in(messages: str) -> Iterator[dict[str, Any]]:
    """Yield what cargo's JSON messages say of each thing that it built."""
    return messages_in(messages, "compiler-artifact")


def messages_in(text: str, reason: str) -> Iterator[dict[str, Any]]:
    """Yield those of cargo's JSON messages that are given for `reason`."""
    for line in text.split("\n"):
        with contextlib.suppress(ValueError):  # what a procedural macro prints
            message = json.loads(line)
            if isinstance(message, dict) and message.get("reason") == reason:
                yield message
