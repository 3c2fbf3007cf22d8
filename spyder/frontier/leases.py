"""Which worker holds which URI: the leases, in memory only, because a leased URI's row stays in its queue."""

from __future__ import annotations

from collections.abc import Iterator

from spyder.frontier.hosts import ActiveHost, Errand
from spyder.model.records import QueuedUri

#: A lease's number is the master's epoch shifted by this, and a count: unique for ever.
EPOCH_SHIFT = 40


class Lease:
    """One URI in the hands of one worker."""

    __slots__ = ("crawl_delay", "errand", "host", "is_fetched", "is_foreign", "is_second", "is_superseded",
                 "number", "since", "uri", "worker")

    def __init__(self, number: int, uri: QueuedUri, host: ActiveHost, worker: str, since: float) -> None:
        self.number = number
        self.uri = uri
        self.host = host
        self.worker = worker
        self.since = since  #: wall time at which it was granted, or taken up
        self.crawl_delay = 0.0  #: seconds that the robots.txt of its origin asks for
        self.is_fetched = False  #: its connection is free again
        self.is_superseded = False  #: somebody else's late outcome settled the URI
        self.is_second = False  #: another worker has got the URI meanwhile: whose outcome comes first counts
        self.errand: Errand | None = None  #: what it is for, when it is for no URI of the crawl
        self.is_foreign = False  #: an errand of an earlier master: only its connection counts

    @property
    def is_first(self) -> bool:
        """True when a URI goes back to its queue with this lease."""
        return not (self.is_superseded or self.is_second or self.is_foreign or self.errand is not None)


class LeaseTable:
    """All leases, by number, by URI and by holder."""

    def __init__(self, epoch: int) -> None:
        self._next = (epoch << EPOCH_SHIFT) + 1
        self._leases: dict[int, Lease] = {}
        self._by_key: dict[bytes, Lease] = {}
        self._by_worker: dict[str, dict[int, Lease]] = {}
        self._pages = 0

    def __len__(self) -> int:
        """URIs that are leased, errands among them."""
        return len(self._by_key)

    @property
    def pages(self) -> int:
        """Leases of pages: errands left out, and each page counted once for each worker that has it."""
        return self._pages

    def __contains__(self, key: bytes) -> bool:
        """True when the URI *key* is leased."""
        return key in self._by_key

    def grant(self, uri: QueuedUri, host: ActiveHost, worker: str, now: float) -> Lease:
        """A new lease of *uri* to *worker*."""
        number = self._next
        self._next += 1
        lease = self._by_key[uri.key] = self._book(number, uri, host, worker, now)
        return lease

    def grant_errand(self, errand: Errand, uri: QueuedUri, host: ActiveHost, worker: str, now: float) -> Lease:
        """A new lease for *errand*; *uri* says what is asked for."""
        lease = self.grant(uri, host, worker, now)
        lease.errand = errand
        self._pages -= 1
        return lease

    def adopt(self, number: int, uri: QueuedUri, host: ActiveHost, worker: str, now: float, *,
              is_foreign: bool = False) -> Lease:
        """A lease of an earlier welcome, or of an earlier master, that *worker* still works on.

        When another worker has got the URI meanwhile, both fetch it; this one takes a slot and a connection, too.
        """
        lease = self._book(number, uri, host, worker, now)
        if is_foreign:
            lease.is_foreign = True
            self._pages -= 1
        elif uri.key in self._by_key:
            lease.is_second = True
        else:
            self._by_key[uri.key] = lease
        return lease

    def may_be_given(self, number: int) -> bool:
        """True when this table will give the lease with this number itself."""
        return number >= self._next

    def _book(self, number: int, uri: QueuedUri, host: ActiveHost, worker: str, now: float) -> Lease:
        self._pages += 1
        lease = self._leases[number] = Lease(number, uri, host, worker, now)
        held = self._by_worker.get(worker)
        if held is None:
            held = self._by_worker[worker] = {}
        held[number] = lease
        return lease

    def get(self, number: int) -> Lease | None:
        """The lease with this number, if it still stands."""
        return self._leases.get(number)

    def holder_of(self, key: bytes) -> Lease | None:
        """The lease of the URI *key*, if it has one."""
        return self._by_key.get(key)

    def end(self, lease: Lease) -> None:
        """Forget a lease: its outcome is settled, or it goes back."""
        del self._leases[lease.number]
        self._uncount(lease)
        self._by_worker[lease.worker].pop(lease.number, None)
        if self._by_key.get(lease.uri.key) is lease:
            del self._by_key[lease.uri.key]

    def supersede(self, lease: Lease) -> None:
        """The URI is settled by another's outcome; the holder keeps its slot until it reports or is lost."""
        lease.is_superseded = True
        if self._by_key.get(lease.uri.key) is lease:
            del self._by_key[lease.uri.key]

    def of(self, worker: str) -> list[Lease]:
        """The leases of *worker*."""
        return list(self._by_worker.get(worker, {}).values())

    def held_by(self, worker: str) -> int:
        """Slots of *worker* that are taken."""
        return len(self._by_worker.get(worker, ()))

    def take_all(self, worker: str) -> list[Lease]:
        """End all leases of *worker* and return them: it is lost, or it hands them back."""
        leases = list(self._by_worker.pop(worker, {}).values())
        for lease in leases:
            del self._leases[lease.number]
            self._uncount(lease)
            if self._by_key.get(lease.uri.key) is lease:
                del self._by_key[lease.uri.key]
        return leases

    def _uncount(self, lease: Lease) -> None:
        if lease.errand is None and not lease.is_foreign:
            self._pages -= 1

    def __iter__(self) -> Iterator[Lease]:
        """All leases that stand."""
        return iter(self._by_key.values())


def epoch_of(lease: int) -> int:
    """The epoch of the master that gave the lease with this number."""
    return lease >> EPOCH_SHIFT
