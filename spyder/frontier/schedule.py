"""URIs that wait for a time: retries, later recrawls."""

from __future__ import annotations

import msgspec

from spyder.frontier.ledger import Attempt, Ledger, sortable_time, time_of
from spyder.model.records import QueuedUri

#: Scheduled URIs that become due in one transaction.
_BATCH = 512
_TIME = slice(2, 8)


class Schedule:
    """The scheduled URIs of a project, in the store; memory knows only when the first is due."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.next_at: float | None = None  #: wall time at which the first is due
        self._read_next()

    def add(self, uri: QueuedUri, due_at: float, last: Attempt) -> None:
        """Stage that *uri* waits until *due_at* (wall time), after its *last* attempt."""
        place = self._ledger.prefix + sortable_time(due_at)
        self._ledger.schedule(msgspec.structs.replace(uri, place=place), last)
        if self.next_at is None or due_at < self.next_at:
            self.next_at = due_at

    def take_due(self, now: float) -> list[QueuedUri]:
        """Stage that URIs which are due wait no longer; the caller queues them."""
        if self.next_at is None or self.next_at > now:
            return []
        # one more than *now*: what is due in this very millisecond is due
        limit = (int.from_bytes(self._ledger.prefix + sortable_time(now), "big") + 1).to_bytes(8, "big")
        due = [uri for uri in self._ledger.store.due(limit, _BATCH) if not self._ledger.is_unscheduled(uri)]
        for uri in due:
            self._ledger.unschedule(uri)
        if len(due) < _BATCH:
            self._read_next()
        return due

    def _read_next(self) -> None:
        """When the first is due, of those that are stored and those that are staged."""
        changes = self._ledger.changes
        stop = self._ledger.prefix + b"\xff" * 6
        stored = [uri for uri in self._ledger.store.due(stop, 1 + len(changes.unschedule))
                  if not self._ledger.is_unscheduled(uri)]
        times = [time_of(uri.place[_TIME]) for uri in stored[:1]]
        times.extend(time_of(place[_TIME]) for place, _ in changes.schedule)
        self.next_at = min(times, default=None)
