"""The clock of a conversation: simulated, so that only what happens counts, or the real one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Protocol

#: Times of a conversation are whole milliseconds, in seconds: sums of cycles stay comparable.
DECIMALS = 3
#: A cycle that begins less than this late (seconds) counts as begun in time.
TOLERANCE = 0.02


class Clock(Protocol):
    """Says when a cycle begins."""

    @property
    def name(self) -> Literal["simulated", "real-time"]:
        """Which of the two it is."""

    def begin(self, due: float) -> float:
        """Wait for `due`, in seconds from the first call; the time at which the cycle begins."""


class Simulated:
    """Computing takes no time: every cycle begins when it is due."""

    name: Literal["simulated"] = "simulated"

    def begin(self, due: float) -> float:
        """`due` itself."""
        return due


class RealTime:
    """Computing takes the time that it takes: after a slow cycle the next one begins late."""

    name: Literal["real-time"] = "real-time"

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._now, self._sleep = now, sleep
        self._start: float | None = None

    def begin(self, due: float) -> float:
        """Sleep until `due`; later than `due` if that has passed already."""
        if self._start is None:
            self._start = self._now() - due
        early = due - (self._now() - self._start)
        if early > 0:
            self._sleep(early)
        now = self._now() - self._start
        return due if now < due + TOLERANCE else round(now, DECIMALS)
