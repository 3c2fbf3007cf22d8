"""What strangers can make happen without end: all of it is counted, and now and then a case is worth a line."""

from __future__ import annotations

from collections.abc import Callable

#: Characters of an error that a line quotes.
_QUOTED = 300
#: Seconds between lines at the least: a flood of garbage must not become a flood of log records.
_INTERVAL = 1.0


class Garbage:
    """Counts what could not be read, or was refused, and says when to log it."""

    def __init__(self, monotonic: Callable[[], float], *, interval: float = _INTERVAL) -> None:
        """*monotonic* gives seconds that never go back, as a clock's or an event loop's."""
        self._monotonic = monotonic
        self._interval = interval
        self._next_at: float | None = None
        self._unsaid = 0
        self.count = 0  #: of all, said or not

    def take(self, what: str, error: Exception) -> str:
        """Count one; the line to log, or an empty text while the last line is fresh. A line tells how many it is for.

        *what* came instead of a message: its kind, as ``outcome message``.
        """
        return self.say(f"dropped a {what}: {str(error)[:_QUOTED]}")

    def say(self, line: str) -> str:
        """Count one of which *line* tells; the line to log, or an empty text, as :meth:`take` does."""
        self.count += 1
        now = self._monotonic()
        if self._next_at is not None and now < self._next_at:
            self._unsaid += 1
            return ""
        self._next_at = now + self._interval
        others, self._unsaid = self._unsaid, 0
        return f"{line} (and {others:,} more since the last such line)" if others else line
