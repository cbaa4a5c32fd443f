"""When a session's time is up: one clock for all that it does, from its start to its end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Deadline:
    """A time limit that began when this was made; `dataclasses.replace` keeps the beginning.

    Attributes:
        minutes: The limit; None for no limit.
        setting: Where it is set, for messages.
    """

    minutes: float | None = None
    setting: str = "timeout_minutes"
    _started: float = field(default_factory=time.monotonic, compare=False)

    @property
    def left(self) -> float:
        """Seconds left: 0 or less once the time is up, infinite without limit."""
        if self.minutes is None:
            return math.inf
        return self._started + 60 * self.minutes - time.monotonic()

    @property
    def limit(self) -> str:
        """The limit in words."""
        return f"the time limit {self.setting}={self.minutes:g}" if self.minutes else "no time limit"

    def prolong(self, seconds: float) -> None:
        """Give back time that was spent waiting for others."""
        self._started += seconds
