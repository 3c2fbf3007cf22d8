"""Numbered batches of leases for one worker: what a reconnection swallowed is seen and sent again. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from spyder.bus.messages import LeaseBatch
from spyder.model.records import CrawlUri


class BatchLog:
    """The master's side: remembers batches until the worker's heartbeat names them."""

    def __init__(self, session: int, *, resend_after: float) -> None:
        self._session = session
        self._resend_after = resend_after
        self._next = 1
        self._unconfirmed: deque[tuple[LeaseBatch, float]] = deque()  #: and when each was sent last
        self._waiting_since = 0.0  #: when the oldest of these was sent for the first time, or became the oldest

    @property
    def last(self) -> int:
        """Number of the last batch."""
        return self._next - 1

    def batch(self, uris: Sequence[CrawlUri], now: float) -> LeaseBatch:
        """The next batch; *now* in seconds of a monotonic clock."""
        batch = LeaseBatch(session=self._session, number=self._next, uris=tuple(uris))
        self._next += 1
        if not self._unconfirmed:
            self._waiting_since = now
        self._unconfirmed.append((batch, now))
        return batch

    def confirm(self, received: int, now: float) -> list[LeaseBatch]:
        """Take the number of the last batch that the worker got in order; returns what to send again, in order."""
        while self._unconfirmed and self._unconfirmed[0][0].number <= received:
            self._unconfirmed.popleft()
            self._waiting_since = now
        if not self._unconfirmed or now - self._unconfirmed[0][1] < self._resend_after:
            return []
        again = [batch for batch, _ in self._unconfirmed]
        self._unconfirmed = deque((batch, now) for batch in again)
        return again

    def delay(self, now: float) -> float:
        """Seconds for which no batch got through although there are some."""
        return now - self._waiting_since if self._unconfirmed else 0.0


class BatchOrder:
    """The worker's side: takes batches of its session in order, each once."""

    def __init__(self, session: int) -> None:
        self._session = session
        self.received = 0  #: last number taken
        self.refused = 0  #: batches out of order, repeated, or of another session

    def take(self, batch: LeaseBatch) -> bool:
        """True when *batch* is the next one; after a gap the rest comes again."""
        if batch.session != self._session or batch.number != self.received + 1:
            self.refused += 1
            return False
        self.received = batch.number
        return True
