"""The frontier's rows in memory: for tests, simulations and crawls that nobody wants to continue."""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, Self, TypeVar

from spyder.contracts import Changes
from spyder.errors import StoreError
from spyder.model.records import HostRow, QueuedUri, UriRow
from spyder.model.states import UriState
from spyder.model.url import HOST_BYTES, PROJECT_BYTES
from spyder.stores.rows import SCHEMA_KEY, SCHEMA_VERSION

K = TypeVar("K", bytes, tuple[bytes, bytes])
V = TypeVar("V")


class _Sorted(Generic[K, V]):
    """A mapping with its keys in order; rows come and go mostly at its ends, where a list is quick."""

    __slots__ = ("keys", "rows")

    def __init__(self) -> None:
        self.keys: list[K] = []
        self.rows: dict[K, V] = {}

    def put(self, key: K, row: V) -> None:
        if key not in self.rows:
            insort(self.keys, key)
        self.rows[key] = row

    def drop(self, key: K) -> None:
        if self.rows.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]


def _first(entry: tuple[bytes, object]) -> bytes:
    return entry[0]


class MemoryStore:
    """A :class:`spyder.contracts.FrontierStore` that is gone with its process."""

    def __init__(self) -> None:
        self._uris: dict[bytes, UriRow] = {}
        self._hosts: dict[bytes, HostRow] = {}
        self._queues: defaultdict[bytes, _Sorted[bytes, QueuedUri]] = defaultdict(_Sorted)
        self._due: _Sorted[tuple[bytes, bytes], QueuedUri] = _Sorted()
        self._waiting: _Sorted[bytes, bytes] = _Sorted()
        self._meta: dict[str, bytes] = {SCHEMA_KEY: b"%d" % SCHEMA_VERSION}

    @classmethod
    def open(cls, directory: Path, *, cache: int, read_only: bool = False, create: bool = True) -> Self:  # noqa: ARG003
        """An empty store; *directory* and *cache* mean nothing to it.

        Raises :class:`StoreError` when it should exist already: no other process can have filled it.
        """
        if read_only or not create:
            raise StoreError("a frontier in memory holds no frontier: it ended with the process that filled it")
        return cls()

    def commit(self, changes: Changes) -> None:
        """Store *changes*; of a key in both a put and a delete, the put stays."""
        for host, place in changes.dequeue:
            if (queue := self._queues.get(host)) is not None:
                queue.drop(place)
                if not queue.rows:
                    del self._queues[host]
        for due_key in changes.unschedule:
            self._due.drop(due_key)
        for key in changes.unwait:
            self._waiting.drop(key)
        for (host, place), queued in changes.enqueue.items():
            self._queues[host].put(place, queued)
        for due_key, queued in changes.schedule.items():
            self._due.put(due_key, queued)
        for key, host in changes.wait.items():
            self._waiting.put(key, host)
        for key, row in changes.hosts.items():
            self._hosts[key] = copy.copy(row)  # its owner goes on changing it
        self._uris.update(changes.uris)
        for name, value in changes.meta.items():
            if value:
                self._meta[name] = value
            else:
                self._meta.pop(name, None)

    def uris(self, keys: Sequence[bytes]) -> list[UriRow | None]:
        """The rows of URIs, in the order of *keys*, None where there is none."""
        get = self._uris.get
        return [get(key) for key in keys]

    def hosts(self, keys: Sequence[bytes]) -> list[HostRow | None]:
        """Copies of the rows of hosts, in the order of *keys*, None where there is none."""
        return [copy.copy(self._hosts.get(key)) for key in keys]

    def queue(self, host: bytes, after: bytes, limit: int) -> list[QueuedUri]:
        """The first *limit* rows of a host's queue whose place is greater than *after*, by place."""
        queue = self._queues.get(host)
        if queue is None:
            return []
        start = bisect_right(queue.keys, after)
        return [queue.rows[place] for place in queue.keys[start:start + limit]]

    def due(self, before: bytes, limit: int) -> list[QueuedUri]:
        """The first *limit* scheduled rows of the project of *before* whose due place is less than that, by place."""
        keys = self._due.keys
        start = bisect_left(keys, (before[:PROJECT_BYTES], b""))
        stop = bisect_left(keys, (before, b""))
        return [self._due.rows[key] for key in keys[start:min(stop, start + limit)]]

    def waiting(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """The first *limit* entries (key, host key) of the index of hosts with work, start <= key < stop, by key."""
        keys = self._waiting.keys
        first = bisect_left(keys, start)
        return [(key, self._waiting.rows[key]) for key in keys[first:min(bisect_left(keys, stop), first + limit)]]

    def meta(self, key: str) -> bytes | None:
        """A small value by name."""
        return self._meta.get(key)

    def metas(self, prefix: str) -> dict[str, bytes]:
        """All small values whose name begins with *prefix*, by name."""
        return {key: value for key, value in sorted(self._meta.items()) if key.startswith(prefix)}

    def iterate(self, after: bytes = b"") -> Iterator[tuple[bytes, UriRow]]:
        """All URI rows with a key greater than *after*, by key."""
        return ((key, row) for key, row in sorted(self._uris.items()) if key > after)

    def iterate_hosts(self) -> Iterator[HostRow]:
        """Copies of all host rows, by key."""
        return (copy.copy(row) for _, row in sorted(self._hosts.items()))

    def iterate_queue(self) -> Iterator[QueuedUri]:
        """All rows of all queues, by host key and place."""
        return (queue.rows[place] for _, queue in sorted(self._queues.items(), key=_first) for place in queue.keys)

    def iterate_due(self) -> Iterator[QueuedUri]:
        """All scheduled rows of all projects, by due place and URI key."""
        return (self._due.rows[key] for key in self._due.keys)

    def iterate_waiting(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries (key, host key) of the index of hosts with work, by key."""
        return ((key, self._waiting.rows[key]) for key in self._waiting.keys)

    def checkpoint(self, directory: Path) -> None:
        """Raises :class:`StoreError`: nobody else could read it."""
        raise StoreError(f"a frontier in memory can't be copied to {directory}: `frontier.store: rocksdb` can")

    @classmethod
    def restore(cls, checkpoint: Path, directory: Path) -> None:  # noqa: ARG003  the contract's arguments
        """Raises :class:`StoreError`: it would be gone before anybody could use it."""
        raise StoreError(f"a frontier in memory can't go on from {checkpoint}: `frontier.store: rocksdb` can")

    def queued_row(self, key: bytes, row: UriRow) -> QueuedUri | None:
        """The queue's or schedule's row that *row*, the row of the URI at *key*, points to."""
        if row.state is UriState.SCHEDULED:
            return self._due.rows.get((row.place, key))
        if row.state is UriState.QUEUED and (queue := self._queues.get(key[:HOST_BYTES])) is not None:
            return queue.rows.get(row.place)
        return None

    def size(self) -> int:
        """Always 0: nothing is on disk."""
        return 0

    def close(self) -> None:
        """Let go of all rows."""
        self.__init__()  # type: ignore[misc]
