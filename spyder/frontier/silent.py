"""Fetches of workers that fell silent: nobody knows whether they go on, so they count with their hosts for a while."""

from __future__ import annotations

from spyder.frontier.hosts import ActiveHost


class SilentFetches:
    """Connections that may still be in use although their lease has gone back.

    A worker begins nothing once the master has not answered its heartbeats for ``bus.heartbeat * bus.missed``, and ends
    what it began after as long again. So after that time the connection is free, whatever became of the worker; it is
    free earlier when the worker is known to be dead, or greets and tells what it holds.
    """

    def __init__(self) -> None:
        self._fetches: list[tuple[float, str, ActiveHost]] = []

    @property
    def next_at(self) -> float | None:
        """Wall time at which the first of them ends at the latest."""
        return min((until for until, _, _ in self._fetches), default=None)

    def add(self, worker: str, host: ActiveHost, until: float) -> None:
        """Count a fetch of *worker* until *until* (wall time)."""
        self._fetches.append((until, worker, host))

    def take_ended(self, now: float) -> list[ActiveHost]:
        """The hosts of those that have ended by *now*, one for each fetch."""
        if not self._fetches:
            return []
        ended = [host for until, _, host in self._fetches if until <= now]
        self._fetches = [entry for entry in self._fetches if entry[0] > now]
        return ended

    def take_of(self, worker: str) -> list[ActiveHost]:
        """The hosts of those of *worker*: now it is known how it does."""
        found = [host for _, whose, host in self._fetches if whose == worker]
        self._fetches = [entry for entry in self._fetches if entry[1] != worker]
        return found
