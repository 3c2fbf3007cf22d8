"""Delivery of outcomes over sockets that may lose them: the worker's outbox and the master's positions. Pure."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

import msgspec


class OutboxEntry(msgspec.Struct, kw_only=True):
    """A published batch that is kept until it is acknowledged."""

    sequence: int
    count: int  #: outcomes in it
    payload: bytes
    sent_at: float  #: monotonic seconds


class Outbox:
    """The worker's side: keeps every batch until the master says that it is durable there."""

    def __init__(self, *, resend_after: float) -> None:
        self._entries: deque[OutboxEntry] = deque()
        self._resend_after = resend_after
        self._next = 1
        self.acknowledged = 0  #: highest sequence acknowledged
        self.outcomes = 0  #: outcomes kept
        self.resent = 0  #: batches sent again

    def __len__(self) -> int:
        """Batches kept."""
        return len(self._entries)

    @property
    def next_sequence(self) -> int:
        """The sequence that the next batch gets."""
        return self._next

    def keep(self, payload: bytes, count: int, now: float) -> None:
        """Keep the batch with :attr:`next_sequence`; the caller sends it."""
        self._entries.append(OutboxEntry(sequence=self._next, count=count, payload=payload, sent_at=now))
        self._next += 1
        self.outcomes += count

    def acknowledge(self, sequence: int) -> None:
        """The master has settled everything up to *sequence*; later or repeated acknowledgements do no harm."""
        while self._entries and self._entries[0].sequence <= sequence:
            self.outcomes -= self._entries.popleft().count
        self.acknowledged = max(self.acknowledged, min(sequence, self._next - 1))

    def overdue(self, now: float) -> list[bytes]:
        """The batches to send again, oldest first: all, when the oldest has waited for too long."""
        if not self._entries or now - self._entries[0].sent_at < self._resend_after:
            return []
        return self.everything(now)

    def everything(self, now: float) -> list[bytes]:
        """All kept batches, oldest first, for a master that is new."""
        for entry in self._entries:
            entry.sent_at = now
        self.resent += len(self._entries)
        return [entry.payload for entry in self._entries]


class Delivery(Enum):
    """What to do with a batch that arrived."""

    NEW = auto()  #: settle it
    REPEATED = auto()  #: settled before: acknowledge it again
    GAP = auto()  #: an earlier one is missing: drop it, it comes again


class Positions:
    """The master's side: the last sequence settled of each worker."""

    def __init__(self, known: dict[str, int] | None = None) -> None:
        self._positions = dict(known or {})

    def __contains__(self, worker: str) -> bool:
        """True when *worker* has delivered before, or been announced."""
        return worker in self._positions

    def announce(self, worker: str, sequence: int) -> int:
        """A worker's probe says that all up to *sequence* was acknowledged by some master; returns the position."""
        self._positions[worker] = max(self._positions.get(worker, 0), sequence)
        return self._positions[worker]

    def judge(self, worker: str, sequence: int) -> Delivery:
        """Whether a batch is the next one of its worker; moves the position when it is."""
        position = self._positions.get(worker, 0)
        if sequence <= position:
            return Delivery.REPEATED
        if sequence > position + 1:
            return Delivery.GAP
        self._positions[worker] = sequence
        return Delivery.NEW

    def position(self, worker: str) -> int:
        """The last sequence taken of *worker*, 0 for none."""
        return self._positions.get(worker, 0)

    def forget(self, worker: str) -> None:
        """The worker ended with nothing left to deliver."""
        self._positions.pop(worker, None)
