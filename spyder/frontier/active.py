"""Which hosts are active, and which wait on disk for their place: a bounded number is in memory, however many exist.

Every host with queued URIs has an entry in the store's index of hosts with work. Active ones sort first there, so that
a restart finds them at once; the others sort by the time from which they may be served.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

from spyder.frontier.hosts import ActiveHost, Address, Errand, HostTable
from spyder.frontier.ledger import Ledger, sortable_time, time_of
from spyder.model.records import HostRow, QueuedUri
from spyder.settings import FrontierSection

_ACTIVE, _WAITING, _END = b"\x00", b"\x01", b"\x02"
_CLASS, _TIME = slice(2, 3), slice(3, 9)

#: Hosts that get a place in one transaction.
_FILL = 64
#: More entries than there can be active ones.
_ALL = 1 << 31
#: Seconds from which on an active host that must rest makes room for one that waits.
_LONG_REST = 5.0
#: Hosts at one address that may wait for their turn in memory while others wait for a place.
_CROWD = 32
#: Seconds between looks for a free place while hosts wait.
_LOOK = 0.1


class ActiveHosts:
    """The active hosts in their order of service, and the way in and out of memory."""

    def __init__(self, ledger: Ledger, settings: FrontierSection, *, per_host: int, per_ip: int,
                 rest_until: float = 0.0) -> None:
        """*per_host* and *per_ip* connections at the same time; no address is served before *rest_until*."""
        self._ledger = ledger
        self._settings = settings
        self._per_host = per_host
        self._table = HostTable(per_ip=max(per_ip, per_host), rest_until=rest_until)
        self._stepping_aside: list[ActiveHost] = []  #: spent hosts that leave when their leases have ended
        self._more_waiting = True  #: hosts with work may wait in the index
        self._next_waiting_at = 0.0

    def __len__(self) -> int:
        """How many are active."""
        return len(self._table)

    def __iter__(self) -> Iterator[ActiveHost]:
        """All active hosts."""
        return iter(self._table)

    def get(self, key: bytes) -> ActiveHost | None:
        """The active host with this key."""
        return self._table.get(key)

    def load(self, *, rest: Callable[[HostRow], None] | None = None) -> None:
        """Take up the hosts that were active when the last master ended, after *rest* saw to each of them."""
        entries = self._ledger.store.waiting(self._ledger.prefix + _ACTIVE, self._ledger.prefix + _WAITING, _ALL)
        for row in self._ledger.hosts([host for _, host in entries]):
            if rest is not None:
                rest(row)
                self._ledger.touch(row)
            if not row.queued:  # it was active for a silent worker's fetch alone
                self._unmark(row)
            elif len(self._table) < self._settings.active_queues:
                self._activate(row, has_more=True)
            else:  # active_queues was larger then
                self._mark(row, _WAITING, row.next_at)

    # -- order of service ----------------------------------------------------------------------------------------

    def take(self, now: float) -> ActiveHost | None:
        """The host whose turn it is at *now*, out of the order of service."""
        while (host := self._table.take(now)) is not None:
            if host.fetching < self._limit(host):  # else it was taken up while it stood in the order
                return host
        return None

    def _limit(self, host: ActiveHost) -> int:
        """Connections that a host may have: one while nothing answers there, and where robots.txt asks for a delay."""
        return 1 if host.row.unanswered or host.row.crawl_delay else self._per_host

    def offer(self, host: ActiveHost) -> None:
        """Put a host into the order of service if it may be served at all."""
        if host.is_offered or host.fetching >= self._limit(host) or not host.has_work:
            return
        if host.row.spent >= self._settings.queue_budget and not host.errands:
            if self._more_waiting and len(self._table) >= self._settings.active_queues:
                host.is_offered = True  # not again in this activation
                self._stepping_aside.append(host)
                return
            host.row.spent = 0
        self._table.serve(host)

    def give_errand(self, host: ActiveHost, errand: Errand) -> None:
        """Let *host* run an errand, also one that is about to make room for others."""
        host.errands.append(errand)
        if host in self._stepping_aside:
            self._stepping_aside.remove(host)
            host.is_offered = False
        self.offer(host)

    def wake(self, address: Address) -> None:
        """A connection to *address* is free: another host there may be served."""
        self._table.wake(address)

    def move(self, host: ActiveHost, ip: str) -> None:
        """Stage that *host* is at the address *ip* from now on."""
        address = self._table.address(ip)
        if address is not host.address:
            former = host.address
            host.move(address)
            self._table.wake(former)
            if host.is_offered and not host.is_removed:
                host.is_offered = False
                self._table.serve(host)
            if host.row.address != ip:
                host.row.address = ip
                self._ledger.touch(host.row)

    def is_at(self, host: ActiveHost, ip: str, now: float) -> bool:
        """Stage that *host* is at *ip*, if it was elsewhere; False when nothing may be fetched there at *now*."""
        if host.row.address == ip and host.address.limit != math.inf:
            return True  # its turn came by that address
        self.move(host, ip)
        return host.address.next_at <= now and host.address.fetching < host.address.limit

    def next_wake(self) -> float | None:
        """Wall time at which a host may be served, or may get a place; None when neither is in sight."""
        at = self._table.next_at()
        if not self._more_waiting:
            return at
        return self._next_waiting_at if at is None else min(at, self._next_waiting_at)

    def resting(self, now: float, limit: int) -> tuple[Counter[str], bool]:
        """Hosts with queued URIs whose time has not come, by the kind of their last trouble (empty: only the delay).

        At the most *limit* of those that wait in the index are looked at; True when there are more.
        """
        start = self._ledger.prefix + _WAITING + sortable_time(now)
        entries = self._ledger.store.waiting(start, self._ledger.prefix + _END, limit + 1)
        rows = [host.row for host in self._table if host.row.queued]
        rows.extend(self._ledger.hosts([host for _, host in entries[:limit]]))
        return (Counter(row.last_error if row.errors else "" for row in rows if row.next_at > now),
                len(entries) > limit)

    # -- in and out of memory ------------------------------------------------------------------------------------

    def take_in(self, row: HostRow, uri: QueuedUri, now: float) -> None:
        """Stage what follows when *uri* was queued at the host of *row*: it is offered, activated, or it waits."""
        host = self._table.get(row.key)
        if host is None and not row.waiting:
            if len(self._table) >= self._settings.active_queues:
                self._mark(row, _WAITING, max(row.next_at, now))
                self._note_waiting(row.next_at)
                return
            host = self._begin(row, has_more=False)
        if host is not None:
            host.offer(uri)
            self.offer(host)

    def retire_if_empty(self, row: HostRow) -> None:
        """Stage that a host without queued rows leaves memory and the index."""
        host = self._table.get(row.key)
        if row.queued == 0 and (host is None or not host.is_needed):
            if host is not None:
                self._table.remove(host)
            self._unmark(row)

    def maintain(self, now: float) -> None:
        """Stage that hosts which wait get the places of those that rest or have spent their budget."""
        if self._stepping_aside or (self._more_waiting and self._next_waiting_at <= now):
            self._make_room(now)
            self._fill(now)

    def hold(self, row: HostRow) -> ActiveHost:
        """The active host of *row*, staged to become active if it waits: somebody is fetching from it."""
        host = self._table.get(row.key)
        return host if host is not None else self._begin(row, has_more=True)

    def _begin(self, row: HostRow, *, has_more: bool) -> ActiveHost:
        """Stage that a host gets a place, with a whole budget."""
        row.spent = 0
        self._mark(row, _ACTIVE, 0.0)
        return self._activate(row, has_more=has_more)

    def _activate(self, row: HostRow, *, has_more: bool) -> ActiveHost:
        host = ActiveHost(row, page=self._settings.page_in, has_more=has_more)
        self._table.add(host)
        self.offer(host)
        return host

    def _make_room(self, now: float) -> None:
        self._stepping_aside = [host for host in self._stepping_aside if not self._send_away(host, now)]
        wanted = _FILL - (self._settings.active_queues - len(self._table))
        for host in list(self._table) if wanted > 0 else ():
            is_crowded = host.is_offered and host.address.waiting > _CROWD
            if (host.row.next_at > now + _LONG_REST or is_crowded) and self._send_away(host, now):
                wanted -= 1
                if not wanted:
                    return

    def _send_away(self, host: ActiveHost, now: float) -> bool:
        """Let an active host wait in the index, unless it has leases; True when it is gone."""
        if self._table.get(host.row.key) is not host:
            return True
        if host.is_needed:
            return False
        self._table.remove(host)
        at = max(host.row.next_at, now)
        if host.address.waiting > _CROWD:  # it would be back before its turn
            at = max(at, now + _LONG_REST)
        self._mark(host.row, _WAITING, at)
        self._note_waiting(at)
        return True

    def _fill(self, now: float) -> None:
        """Make hosts active that wait and whose time has come, as far as there is room."""
        room = min(self._settings.active_queues - len(self._table), _FILL)
        if room <= 0:
            self._next_waiting_at = now + _LOOK
            return
        entries = self._first_waiting(room)
        due = [host for key, host in entries if time_of(key[_TIME]) <= now]
        for row in self._ledger.hosts(due):
            self._begin(row, has_more=True)
        staged = [time_of(key[_TIME]) for key in self._ledger.changes.wait if key[_CLASS] == _WAITING]
        if len(due) == len(entries):
            self._more_waiting = len(entries) == room or bool(staged)
            self._next_waiting_at = now
        else:
            self._next_waiting_at = min([*staged, time_of(entries[len(due)][0][_TIME])])

    def _first_waiting(self, limit: int) -> list[tuple[bytes, bytes]]:
        """The first entries of the index, without those that are staged to leave it."""
        prefix, gone = self._ledger.prefix, self._ledger.changes.unwait
        entries = self._ledger.store.waiting(prefix + _WAITING, prefix + _END, limit + len(gone))
        return [entry for entry in entries if entry[0] not in gone][:limit]

    def _note_waiting(self, at: float) -> None:
        self._next_waiting_at = min(self._next_waiting_at, at) if self._more_waiting else at
        self._more_waiting = True

    def _mark(self, row: HostRow, kind: bytes, at: float) -> None:
        """Stage the host's entry in the index of hosts with work."""
        self._unmark(row)
        row.waiting = self._ledger.prefix + kind + sortable_time(at) + row.key[len(self._ledger.prefix):]
        self._ledger.changes.wait[row.waiting] = row.key
        self._ledger.changes.unwait.discard(row.waiting)
        self._ledger.touch(row)

    def _unmark(self, row: HostRow) -> None:
        if row.waiting:
            self._ledger.changes.wait.pop(row.waiting, None)
            self._ledger.changes.unwait.add(row.waiting)
            row.waiting = b""
            self._ledger.touch(row)
