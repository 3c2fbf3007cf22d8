"""The hosts whose turn may come: the active queues in memory, and the order in which they are served."""

from __future__ import annotations

import heapq
import ipaddress
import math
from collections import deque
from collections.abc import Callable, Iterator

from spyder.model.records import HostRow, QueuedUri
from spyder.model.states import Purpose

#: Reads the rows of a queue after a place: the store's ``queue``.
PageIn = Callable[[bytes, bytes, int], list[QueuedUri]]

#: Addresses without a host that are remembered before those that have rested are forgotten.
_ADDRESSES = 4096
#: Entries of hosts that are gone which an address may have in its order of service.
_STALE = 64
#: Bits of an IPv6 address that one server has: the rest it chooses as it likes (RFC 4291, section 2.5.4).
_IPV6_PREFIX = 64


class Address:
    """An IP address: what all hosts on it share. A host whose address nobody knows has one of its own."""

    __slots__ = ("_order", "_room", "at", "fetching", "limit", "next_at")

    def __init__(self, *, limit: float = math.inf, next_at: float = 0.0) -> None:
        self.limit = limit  #: connections at the same time
        self.fetching = 0  #: connections in use
        self.next_at = next_at  #: wall time before which no fetch begins there
        self.at = math.inf  #: for when it stands in the order of service; infinity: it does not
        self._order: list[tuple[float, int, ActiveHost]] = []
        self._room = _STALE  #: entries beyond which those of hosts that are gone are thrown away

    def add(self, host: ActiveHost, turn: int) -> None:
        """Take *host* into its order of service."""
        heapq.heappush(self._order, (host.row.next_at, turn, host))
        if len(self._order) > self._room:
            self._order = [entry for entry in self._order if self._stands(entry[2])]
            heapq.heapify(self._order)
            self._room = 2 * len(self._order) + _STALE

    def _stands(self, host: ActiveHost) -> bool:
        return host.address is self and host.is_offered and not host.is_removed

    def due(self) -> float | None:
        """When its first host may be served (wall time); None when there is none, or all connections are in use."""
        if self.fetching >= self.limit:
            return None
        while self._order:
            at, turn, host = self._order[0]
            if not self._stands(host):
                heapq.heappop(self._order)
            elif host.row.next_at > at:
                heapq.heapreplace(self._order, (host.row.next_at, turn, host))
            else:
                return max(at, self.next_at)
        return None

    def pop(self) -> ActiveHost:
        """Its first host, after :meth:`due`."""
        return heapq.heappop(self._order)[2]

    @property
    def waiting(self) -> int:
        """Hosts in its order of service."""
        return len(self._order)


def address_group(ip: str) -> str:
    """What counts as one address: an IPv4 address, or a network of IPv6 addresses that belongs to one server."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if address.version == 4:
        return ip
    return str(ipaddress.ip_network((int(address), _IPV6_PREFIX), strict=False))


class Errand:
    """What must be known of an origin before anything of it may be fetched: its address, or its robots.txt."""

    __slots__ = ("address", "asks", "hops", "origin", "purpose", "url")

    def __init__(self, purpose: Purpose, origin: str, url: str, *, asks: ActiveHost, hops: int = 0) -> None:
        self.purpose = purpose
        self.origin = origin  #: that it is about
        self.url = url  #: that is asked for: elsewhere, after redirects
        self.asks = asks  #: the host that waits for the answer
        self.hops = hops  #: redirects so far
        self.address = ""  #: to connect to; of a look-up one that did not answer, so that another is found


class ActiveHost:
    """A queue in memory: the head of what the store has of it.

    Every row of the store with a place up to ``loaded_to`` is in ``entries``, leased, or settled; rows beyond it are
    only in the store, and ``has_more`` says that there may be some.
    """

    __slots__ = ("_heap", "_page", "address", "awaits", "errands", "fetching", "has_more", "home", "is_asking",
                 "is_offered", "is_removed", "leased", "loaded_to", "row", "trouble_at")

    def __init__(self, row: HostRow, *, page: int, has_more: bool) -> None:
        self.row = row
        self.address = Address()  #: where it is
        self.awaits = 0  #: robots.txt that it waits for, before any of its URIs may be leased
        self.is_asking = False  #: its address is being looked up: nothing else may be done meanwhile
        self.errands: deque[Errand] = deque()  #: to be run here before anything else
        self.trouble_at = 0.0  #: wall time of its last trouble: what had begun before is the same trouble
        self.is_removed = False  #: active no longer
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
        """True when something of it could be leased, as far as memory knows."""
        if self.is_asking:
            return False
        return bool(self.errands) or (not self.awaits and (bool(self._heap) or self.has_more))

    @property
    def is_needed(self) -> bool:
        """True while somebody works for it, or it works for somebody: it can't leave memory then."""
        return bool(self.leased or self.fetching or self.awaits or self.errands or self.is_asking)

    def connect(self) -> None:
        """A connection to it is in use."""
        self.fetching += 1
        self.address.fetching += 1

    def disconnect(self) -> None:
        """A connection to it is free again."""
        self.fetching -= 1
        self.address.fetching -= 1

    def move(self, address: Address) -> None:
        """It is at *address* from now on, with its connections."""
        self.address.fetching -= self.fetching
        address.fetching += self.fetching
        self.address = address

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

    def pop_if(self, is_good: Callable[[QueuedUri], bool]) -> QueuedUri | None:
        """The first URI in memory that *is_good*; None when there is none. It looks at all of them."""
        found = min((entry for entry in self._heap if is_good(entry[1])), default=None, key=lambda entry: entry[0])
        if found is None:
            return None
        self._heap.remove(found)
        heapq.heapify(self._heap)
        return found[1]

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
    """The active hosts and the order of service: by the time from which each may be served, then by turn.

    Two levels: addresses in order, and at each address its hosts in order. So an address with many hosts costs no more
    than one with a single host, however many of its hosts could be served if it were not for the others.
    """

    def __init__(self, *, per_ip: int, rest_until: float = 0.0) -> None:
        """No address is served before *rest_until*: what was fetched there before is not known."""
        self._per_ip = per_ip
        self._rest_until = rest_until
        self._active: dict[bytes, ActiveHost] = {}
        self._addresses: dict[str, Address] = {}
        self._order: list[tuple[float, int, Address]] = []
        self._turn = 0
        self._now = 0.0  #: when somebody was last served, or was to be: wall time

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
        if host.row.address:
            host.move(self.address(host.row.address))

    def remove(self, host: ActiveHost) -> None:
        """Make a host inactive; what stands of it in the order of service is skipped."""
        self._active.pop(host.row.key, None)
        host.is_removed = True
        host.is_offered = True  # never offered again

    def address(self, ip: str) -> Address:
        """The address *ip*, or the network that counts as one."""
        group = address_group(ip)
        found = self._addresses.get(group)
        if found is None:
            if len(self._addresses) > _ADDRESSES + 2 * len(self._active):
                self._forget_addresses()
            found = self._addresses[group] = Address(limit=self._per_ip, next_at=self._rest_until)
        return found

    def _forget_addresses(self) -> None:
        used = {id(host.address) for host in self}
        self._addresses = {group: address for group, address in self._addresses.items()
                           if id(address) in used or address.fetching or address.next_at > self._now}

    def serve(self, host: ActiveHost) -> None:
        """Put a host into the order of service, unless it stands there."""
        if not host.is_offered:
            host.is_offered = True
            self._turn += 1
            host.address.add(host, self._turn)
            self.wake(host.address)

    def wake(self, address: Address) -> None:
        """Put an address into the order of service, or forward, when one of its hosts can be served earlier."""
        at = address.due()
        if at is not None and at < address.at:
            address.at = at
            self._turn += 1
            heapq.heappush(self._order, (at, self._turn, address))

    def next_at(self) -> float | None:
        """When the first host in order may be served (wall time), or None when there is none."""
        while self._order:
            at, _, address = self._order[0]
            if address.at != at:  # it was moved forward
                heapq.heappop(self._order)
                continue
            due = address.due()
            if due is None:
                address.at = math.inf
                heapq.heappop(self._order)
            elif due > at:
                address.at = due
                self._turn += 1
                heapq.heapreplace(self._order, (due, self._turn, address))
            else:
                return at
        return None

    def take(self, now: float) -> ActiveHost | None:
        """The host whose turn it is at *now*, out of the order of service."""
        self._now = now
        at = self.next_at()
        if at is None or at > now:
            return None
        address = heapq.heappop(self._order)[2]
        address.at = math.inf
        host = address.pop()
        host.is_offered = False
        self.wake(address)
        return host
