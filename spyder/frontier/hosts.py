"""The hosts whose turn may come: the active queues in memory, and the order in which they are served."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from spyder.model.records import HostRow, QueuedUri

#: Reads the rows of a queue after a place: the store's ``queue``.
PageIn = Callable[[bytes, bytes, int], list[QueuedUri]]


class ActiveHost:
    """A queue in memory: the head of what the store has of it.

    Every row of the store with a place up to ``loaded_to`` is in ``entries``, leased, or settled; rows beyond it are
    only in the store, and ``has_more`` says that there may be some.
    """

    __slots__ = ("_heap", "_page", "fetching", "has_more", "home", "is_offered", "leased", "loaded_to", "row")

    def __init__(self, row: HostRow, *, page: int, has_more: bool) -> None:
        self.row = row
        self.leased = 0  #: leases not yet ended
        self.fetching = 0  #: connections in use: by leases, and maybe by workers that fell silent
        self.home: str | None = None  #: worker that had it last
        self.is_offered = False  #: stands in the order of service
        self.loaded_to = b""
        self.has_more = has_more
        self._page = page
        self._heap: list[tuple[bytes, QueuedUri]] = []

    @property
    def has_work(self) -> bool:
        """True when a URI of it could be leased, as far as memory knows."""
        return bool(self._heap) or self.has_more

    def offer(self, uri: QueuedUri) -> None:
        """Take note of a row that was added to the queue, or came back to it."""
        place = uri.place
        if place <= self.loaded_to:
            heapq.heappush(self._heap, (place, uri))
            if len(self._heap) > 4 * self._page:
                self._trim()
        elif not self.has_more and len(self._heap) < 2 * self._page:
            heapq.heappush(self._heap, (place, uri))
            self.loaded_to = place
        else:
            self.has_more = True

    def replace(self, uri: QueuedUri) -> None:
        """Take the new version of a waiting URI, if it is in memory."""
        for index, (place, old) in enumerate(self._heap):
            if old.key == uri.key:
                self._heap[index] = (place, uri)
                return

    def withdraw(self, place: bytes) -> None:
        """Offer the row at *place* no longer: it left the queue, or is leased, by another way than :meth:`pop`."""
        if place <= self.loaded_to:
            self._heap = [entry for entry in self._heap if entry[0] != place]
            heapq.heapify(self._heap)

    def pop(self, page_in: PageIn, is_leased: Callable[[bytes], bool]) -> QueuedUri | None:
        """The URI whose turn it is, or None when the queue is empty; the store's row stays where it is."""
        if not self._heap and not self._load(page_in, is_leased):
            return None
        return heapq.heappop(self._heap)[1]

    def _load(self, page_in: PageIn, is_leased: Callable[[bytes], bool]) -> bool:
        """Read on in the store; False when nothing is left there."""
        while self.has_more and not self._heap:
            rows = page_in(self.row.key, self.loaded_to, self._page)
            self.has_more = len(rows) == self._page
            if rows:
                self.loaded_to = rows[-1].place
                self._heap = [(uri.place, uri) for uri in rows if not is_leased(uri.key)]
        return bool(self._heap)

    def _trim(self) -> None:
        """Let the store keep the tail: memory holds a bounded head."""
        self._heap.sort()
        del self._heap[2 * self._page:]
        self.loaded_to = self._heap[-1][0]
        self.has_more = True


class HostTable:
    """The active hosts and the order of service: by the time from which each may be served, then by turn."""

    def __init__(self) -> None:
        self._active: dict[bytes, ActiveHost] = {}
        self._order: list[tuple[float, int, ActiveHost]] = []
        self._turn = 0

    def __len__(self) -> int:
        """Number of active hosts."""
        return len(self._active)

    def __iter__(self) -> Iterator[ActiveHost]:
        """All active hosts."""
        return iter(self._active.values())

    def get(self, key: bytes) -> ActiveHost | None:
        """The active host with this key."""
        return self._active.get(key)

    def add(self, host: ActiveHost) -> None:
        """Make a host active."""
        self._active[host.row.key] = host

    def remove(self, host: ActiveHost) -> None:
        """Make a host inactive; what stands of it in the order of service is skipped."""
        self._active.pop(host.row.key, None)
        host.is_offered = True  # never offered again

    def serve(self, host: ActiveHost) -> None:
        """Put a host into the order of service, unless it stands there."""
        if not host.is_offered:
            host.is_offered = True
            self._turn += 1
            heapq.heappush(self._order, (host.row.next_at, self._turn, host))

    def next_at(self) -> float | None:
        """When the first host in order may be served (wall time), or None when there is none."""
        while self._order:
            at, _, host = self._order[0]
            if self._active.get(host.row.key) is not host:
                heapq.heappop(self._order)
            elif host.row.next_at > at:
                self._turn += 1
                heapq.heapreplace(self._order, (host.row.next_at, self._turn, host))
            else:
                return at
        return None

    def take(self, now: float) -> ActiveHost | None:
        """The host whose turn it is at *now*, out of the order of service."""
        at = self.next_at()
        if at is None or at > now:
            return None
        host = heapq.heappop(self._order)[2]
        host.is_offered = False
        return host
