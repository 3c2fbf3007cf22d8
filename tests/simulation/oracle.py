"""What must never happen, checked at every step from outside: at the store, at the servers, at each acknowledgement."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulation.machine import KilledError
from simulation.site import Kind
from spyder.contracts import Changes
from spyder.errors import StoreError
from spyder.model.records import CrawlUri, Outcome, UriRow
from spyder.model.states import Purpose, UriState
from spyder.settings import PolitenessSection
from spyder.stores.memory import MemoryStore

if TYPE_CHECKING:
    from simulation.world import World

#: Seconds by which rounding may differ.
_ROUNDING = 1e-6
#: Commits between whole audits.
_AUDIT_EVERY = 25


class Violation(AssertionError):
    """The guarantee was broken."""


def demand(condition: object, what: str) -> None:
    """Raise :class:`Violation` unless *condition* holds."""
    if not condition:
        raise Violation(what)


class Disk:
    """The frontier's store: it outlives its masters, refuses when it is full, and is where processes like to die."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rows = MemoryStore()
        self.is_full = False
        self.death_chance = 0.0  #: that the master dies in a commit
        self.settled: Counter[bytes] = Counter()
        self.commits = 0

    def __getattr__(self, name: str):
        return getattr(self.rows, name)

    def close(self) -> None:
        """What is in memory stays there: another master opens it."""

    def commit(self, changes: Changes) -> None:
        """Store *changes*, or die before or after it."""
        random = self._world.machine.random
        dies = bool(self.death_chance) and random.random() < self.death_chance
        if dies and random.random() < 0.5:
            raise KilledError
        if self.is_full:
            raise StoreError("no space left on device")
        for key, row in changes.uris.items():
            self._check(key, self.rows.uris([key])[0], row)
        self.rows.commit(changes)
        self.commits += 1
        if dies:
            raise KilledError

    def _check(self, key: bytes, old: UriRow | None, new: UriRow) -> None:
        demand(old is None or not old.state.is_settled, f"{old} was settled and became {new}")
        if new.state.is_settled:
            self.settled[key] += 1
            if new.state is UriState.EXCLUDED:
                demand(new.url in self._world.site.forbidden, f"{new.url} is excluded: {new.reason}")
            elif new.state is not UriState.QUARANTINED:
                demand(self._world.records[new.url], f"{new.url} is settled and its record is not on disk")


class Servers:
    """The hosts as they see the crawl: how many connections at a time, how soon after the last one."""

    def __init__(self, world: World, politeness: PolitenessSection) -> None:
        self._world = world
        self._per_host = politeness.per_host
        self._delay = politeness.delay
        self._per_ip = max(politeness.per_ip, politeness.per_host)
        self._ip_delay = min(politeness.ip_delay, politeness.delay)
        self._active: Counter[str] = Counter()
        self._ended_at: dict[str, float] = {}
        self._ip_used_at: dict[str, float] = {}
        self._asked_for_rules: set[str] = set()
        self.fetches: Counter[str] = Counter()  #: by URL

    def begin(self, uri: CrawlUri) -> None:
        """A connection begins."""
        url, host, now = uri.url, uri.url.split("/")[2], self._world.machine.time
        if self._world.obeys and uri.purpose is Purpose.PAGE:
            demand(url not in self._world.site.forbidden, f"{url} is fetched although robots.txt forbids it")
            demand(host in self._asked_for_rules, f"{url} is fetched before the robots.txt of its host")
        if uri.purpose is Purpose.ROBOTS:
            self._asked_for_rules.add(host)
        if self._world.looks_up:
            self._begin_at(uri, self._world.site.addresses[host], now)
        self._active[host] += 1
        demand(self._active[host] <= self._per_host,
               f"{host} has {self._active[host]} connections at {now:.3f}, more than {self._per_host}")
        if self._per_host == 1 and host in self._ended_at:
            rest = now - self._ended_at[host]
            demand(rest >= self._delay - _ROUNDING,
                   f"{host} rested {rest:.3f} s before {url} at {now:.3f}, less than {self._delay}")
        self.fetches[url] += 1

    def _begin_at(self, uri: CrawlUri, ip: str, now: float) -> None:
        """A connection to an address begins."""
        demand(uri.address == ip, f"{uri.url} is at {ip}, the lease says {uri.address!r}")
        self._active[ip] += 1
        demand(self._active[ip] <= self._per_ip, f"{ip} has {self._active[ip]} connections, more than {self._per_ip}")
        rest = now - self._ip_used_at.get(ip, -1e9)
        demand(rest >= self._ip_delay - _ROUNDING or self._per_ip > 1,
               f"{ip} rested {rest:.3f} s before {uri.url} at {now:.3f}, less than {self._ip_delay}")
        self._ip_used_at[ip] = now

    def end(self, url: str) -> None:
        """A connection ends."""
        host = url.split("/")[2]
        self._active[host] -= 1
        self._ended_at[host] = self._world.machine.time
        if self._world.looks_up:
            ip = self._world.site.addresses[host]
            self._active[ip] -= 1
            self._ip_used_at[ip] = self._world.machine.time


class Acknowledgements:
    """Every outcome that a worker may forget is in the store."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._published: defaultdict[str, dict[int, Sequence[Outcome]]] = defaultdict(dict)

    def published(self, worker: str, sequence: int, outcomes: Sequence[Outcome]) -> None:
        """Note what a batch holds."""
        self._published[worker][sequence] = outcomes

    def acknowledged(self, worker: str, sequence: int) -> None:
        """The master says that *worker* may forget everything up to *sequence*."""
        batches = self._published[worker]
        for number in [number for number in batches if number <= sequence]:
            for outcome in batches.pop(number):
                row = self._world.disk.rows.uris([outcome.key])[0]
                if row is None and (outcome.ip or outcome.robots or outcome.lease in self._world.errands):
                    continue
                demand(row is not None and (row.state.is_settled or row.attempt > outcome.attempt),
                       f"batch {number} of {worker} is acknowledged, and the store has {row} for {outcome}")


def check_balance(world: World) -> None:
    """The books of a live master balance with the rows of its store, whatever happened."""
    master = world.master
    if master is None:
        return
    books = master.core.frontier.books
    demand(books.is_balanced, f"the books don't balance: {books}")
    if not master.core.frontier.has_staged and world.disk.commits % _AUDIT_EVERY == 0:
        check_rows(world)


def check_rows(world: World) -> None:
    """Count the rows of the store."""
    assert world.master is not None
    books = world.master.core.frontier.books
    rows = dict(world.disk.rows.iterate())
    states = Counter(row.state for row in rows.values())
    counted = (len(rows), *(states[state] for state in UriState))
    kept = (books.discovered, books.queued, books.scheduled, books.done, books.failed, books.excluded,
            books.quarantined)
    demand(counted == kept, f"the books say {kept}, the rows {counted}")
    for key, row in rows.items():
        waiting = world.disk.rows.queued_row(key, row)
        demand((waiting is None) == row.state.is_settled, f"{row} and its row in the queue {waiting}")


def check_end(world: World) -> None:
    """Everything reachable was settled, once, as it had to be; nothing was fetched more often than faults explain."""
    check_rows(world)
    site, disk = world.site, world.disk
    states = {row.url: row.state for _, row in disk.rows.iterate()}
    reachable = site.reachable(obeys=world.obeys)
    demand(set(states) == reachable, f"missing {reachable - set(states)}, too many {set(states) - reachable}")
    for url, state in states.items():
        expected = {Kind.MISSING: UriState.FAILED, Kind.BROKEN: UriState.FAILED,
                    Kind.POISON: UriState.QUARANTINED}.get(site.kinds[url], UriState.DONE)
        if world.obeys and url in site.forbidden:
            expected = UriState.EXCLUDED
        demand(state is expected, f"{url} ({site.kinds[url].name}) is {state.name}, expected {expected.name}")
    demand(all(count == 1 for count in disk.settled.values()), f"settled more than once: {disk.settled}")
    fetched = reachable - site.forbidden if world.obeys else reachable
    necessary = sum(world.fetches_needed(url) for url in fetched)
    repeated = sum(count for url, count in world.servers.fetches.items() if url in reachable) - necessary
    demand(repeated <= world.faults * world.slots or world.is_network_bad,
           f"{repeated} repeated fetches after {world.faults} faults")
    if not world.faults and not world.is_network_bad:
        assert world.master is not None
        wrong = {name: count for name, count in world.master.core.faults().items() if count}
        demand(not wrong, f"without a fault these are counted: {wrong}")
        demand(repeated == 0, f"without a fault {repeated} pages were fetched again")
