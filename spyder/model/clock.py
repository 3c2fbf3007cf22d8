"""Where time comes from: the only module that reads the machine's clocks."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two views of time, in seconds; parts get one by constructor, so that tests and simulations can turn it."""

    def now(self) -> float:
        """Wall time, seconds since 1970 (UTC): for what is stored or shown."""

    def monotonic(self) -> float:
        """Seconds since some start, never going back: for intervals within one process."""


class SystemClock:
    """The machine's clocks; wall time is read once and goes on with the monotonic clock.

    So a step of the machine's wall clock neither holds a host back nor breaks its delay; a restart takes it in.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Wall time, seconds since 1970 (UTC)."""
        return self._offset + time.monotonic()

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()


def cpu_seconds() -> float:
    """User and system CPU time of this process so far, in seconds."""
    return time.process_time()


class StageTimes:
    """CPU seconds of one thread by stage: what ``spyder bench`` prints.

    ``lap(stage)`` books the time since the last lap; switched off it costs one call.
    """

    def __init__(self, *, enabled: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._last = 0.0
        self._enabled = enabled

    def start(self) -> None:
        """Begin a new stretch: what passed since the last lap belongs to no stage."""
        if self._enabled:
            self._last = time.thread_time()

    def lap(self, stage: str) -> None:
        """Book the thread's CPU time since :meth:`start` or the last lap to *stage*."""
        if self._enabled:
            now = time.thread_time()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
            self._last = now
