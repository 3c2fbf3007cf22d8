"""Grows a frontier's store by the frontier's own kind of work and prints speed, bytes and start-up time on the way.

Each outcome settles the next URI of one of the active hosts, looks up ten candidate links and enqueues those that are
new; 256 outcomes are one commit. ``outcomes/s`` counts the time inside the store, ``of the run`` all of it, the making
of the rows included.

    python tests/benchmarks/store_growth.py --uris 100000,1000000
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from array import array
from collections import deque
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from spyder.contracts import Changes, FrontierStore
from spyder.model.records import HostRow, QueuedUri, UriRow
from spyder.model.states import UriState
from spyder.model.url import host_key
from spyder.stores.rocksdb import RocksdbStore

BATCH = 256  #: outcomes of one commit
CANDIDATES = 10  #: links of a page that the store is asked for
OWN_HOST = 0.85  #: share of the links that stay on the page's host
PAGE_IN = 32  #: rows of a queue read at a time
SEEDS = 8  #: URIs of a host at the start
BUDGET = 1000  #: outcomes of a host before another takes its place
CACHE = 32 << 20  #: bytes
INDEX = b"\x00\x01w"  #: head of the index of hosts with work
WORKER = "worker-01.example.org:4f1a9c02"


def fingerprint(host: int, number: int) -> bytes:
    """Eight bytes that look random, for page *number* of *host* (the finalizer of splitmix64)."""
    mask = (1 << 64) - 1
    z = (host * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return (z ^ z >> 31).to_bytes(8, "big")


class Active:
    """A host whose queue is being worked on."""

    __slots__ = ("left", "number", "page", "place", "row")

    def __init__(self, number: int, row: HostRow) -> None:
        self.number, self.row, self.left, self.place = number, row, BUDGET, b""
        self.page: deque[QueuedUri] = deque()


class Sample(NamedTuple):
    """One line of the table."""

    uris: int
    rate: float
    run_rate: float
    size: int
    rss: int
    start_ms: float


class Growth:
    """The frontier's work on *store*: *hosts* in all, *active* at the same time, *fresh* new links of a page."""

    def __init__(self, store: FrontierStore, *, hosts: int, active: int, fresh: int, seed: int) -> None:
        self.store = store
        self.hosts, self.fresh = hosts, fresh
        self.random = random.Random(seed)
        self.pages = array("L", bytes(8 * hosts))  # URIs known, by host
        self.inside = 0.0  #: seconds in the store
        self.uris = self.outcomes = self.order = 0
        self.rows: dict[int, HostRow] = {}  # of the commit under way
        self.changes = Changes()
        self.live: dict[int, HostRow] = {}  # of the active hosts
        self.active: list[Active] = []
        for number in range(active):
            for _ in range(SEEDS):
                self.discover(number, 0, "")
            self.changes.wait.clear()
            self.active.append(self.activate(number))
        self.commit()

    def activate(self, number: int) -> Active:
        active = Active(number, self.host_row(number))
        self.live[number] = active.row
        active.row.waiting = b"active"
        return active

    def key_of(self, host: int) -> bytes:
        return host_key(1, f"www.site-{host}.example")

    def url(self, host: int, number: int) -> str:
        section, page = divmod(number * 2654435761 % 1000003, 997)
        return f"https://www.site-{host}.example/articles/section-{section}/page-{page}-{number}.html"

    def timed(self, call, *args):
        start = time.perf_counter()
        try:
            return call(*args)
        finally:
            self.inside += time.perf_counter() - start

    def host_row(self, host: int) -> HostRow:
        row = self.live.get(host) or self.rows.get(host)
        if row is None:
            key = self.key_of(host)
            row = self.timed(self.store.hosts, [key])[0] if self.pages[host] > 1 else None
            row = row or HostRow(key=key, name=f"www.site-{host}.example")
            self.rows[host] = row
        return row

    def discover(self, host: int, depth: int, referrer: str) -> None:
        number = self.pages[host]
        self.pages[host] += 1
        self.order += 1
        row = self.host_row(host)
        row.queued += 1
        key, place = row.key + fingerprint(host, number), self.order.to_bytes(8, "big")
        self.changes.uris[key] = UriRow(state=UriState.QUEUED, depth=depth, place=place)
        self.changes.enqueue[row.key, place] = QueuedUri(key=key, place=place, url=self.url(host, number), depth=depth,
                                                         referrer=referrer)
        if not row.waiting:
            row.waiting = INDEX + self.order.to_bytes(8, "big")
            self.changes.wait[row.waiting] = host.to_bytes(4, "big")
        self.changes.hosts[row.key] = row
        self.uris += 1

    def next_of(self, active: Active) -> QueuedUri:
        if not active.page:
            active.page.extend(self.timed(self.store.queue, active.row.key, active.place, PAGE_IN))
            active.place = active.page[-1].place
        return active.page.popleft()

    def swap(self, slot: int) -> None:
        """The host has spent its budget: it goes to the end of the index, the first one there takes its place."""
        old = self.active[slot]
        self.order += 1
        old.row.waiting = INDEX + self.order.to_bytes(8, "big") if old.row.queued else b""
        if old.row.queued:
            self.changes.wait[old.row.waiting] = old.number.to_bytes(4, "big")
        self.changes.hosts[old.row.key] = old.row
        del self.live[old.number]
        self.commit()
        entry, number = self.timed(self.store.waiting, INDEX, INDEX + b"\xff", 1)[0]
        self.changes.unwait.add(entry)
        self.active[slot] = self.activate(int.from_bytes(number, "big"))

    def settle(self, active: Active) -> tuple[int, QueuedUri]:
        uri = self.next_of(active)
        row = active.row
        row.queued -= 1
        row.settled += 1
        active.left -= 1
        self.changes.dequeue.add((row.key, uri.place))
        self.changes.uris[uri.key] = UriRow(state=UriState.DONE, depth=uri.depth, url=uri.url, status=200,
                                            settled_at=1.7e9 + self.outcomes / 997, referrer=uri.referrer,
                                            worker=WORKER)
        self.changes.hosts[row.key] = row
        self.outcomes += 1
        return active.number, uri

    def batch(self) -> None:
        """256 outcomes in one commit, about eight of each of the hosts it touches."""
        slots = [self.random.randrange(len(self.active)) for _ in range(BATCH // 8)]
        for slot in slots:
            if self.active[slot].left <= 0 or not self.active[slot].row.queued:
                self.swap(slot)
        settled = []
        for slot in slots:
            active = self.active[slot]
            settled += [self.settle(active) for _ in range(min(8, active.row.queued))]
        known: list[bytes] = []
        for host, _ in settled:
            key = self.live[host].key
            known += [key + fingerprint(host, self.random.randrange(self.pages[host]))
                      for _ in range(CANDIDATES - self.fresh)]
        links = [(host if self.random.random() < OWN_HOST else self.random.randrange(self.hosts), uri)
                 for host, uri in settled for _ in range(self.fresh)]
        asked = known + [self.key_of(host) + fingerprint(host, self.pages[host]) for host, _ in links]
        found = self.timed(self.store.uris, asked)
        for (host, uri), row in zip(links, found[len(known):], strict=True):
            if row is None:
                self.discover(host, uri.depth + 1, uri.url)
        self.commit()

    def commit(self) -> None:
        self.changes.meta["books/1"] = b"%d" % self.uris
        self.timed(self.store.commit, self.changes)
        self.changes = Changes()
        self.rows = {}

    def grow(self, uris: int) -> tuple[float, float]:
        """Work until *uris* are known; outcomes a second, inside the store and of the run, of the last stretch."""
        outcomes, inside, start = self.outcomes, self.inside, time.perf_counter()
        while self.uris < uris:
            self.batch()
        done = self.outcomes - outcomes
        return done / (self.inside - inside), done / (time.perf_counter() - start)


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure(directory: Path, sizes: list[int], *, hosts: int, active: int, fresh: int, seed: int) -> None:
    growth = Growth(RocksdbStore.open(directory, cache=CACHE), hosts=hosts, active=active, fresh=fresh, seed=seed)
    print(f"{'URIs':>12} {'outcomes/s':>11} {'of the run':>11} {'bytes/URI':>10} {'RSS MB':>8} {'start ms':>9}")
    for size in sizes:
        rate, run_rate = growth.grow(size)
        rss = resident()
        growth.store.close()
        start = time.perf_counter()
        growth.store = RocksdbStore.open(directory, cache=CACHE)
        growth.store.waiting(INDEX, INDEX + b"\xff", active)
        took = time.perf_counter() - start
        print(f"{growth.uris:>12,} {rate:>11,.0f} {run_rate:>11,.0f} {growth.store.size() / growth.uris:>10.1f} "
              f"{rss / 1e6:>8.0f} {took * 1000:>9.1f}", flush=True)
    growth.store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uris", default="100000,1000000", help="sizes to stop at, with commas between")
    parser.add_argument("--dir", type=Path, help="an empty folder for the store; else a temporary one")
    parser.add_argument("--hosts", type=int, default=1_000_000, help="hosts that links may lead to")
    parser.add_argument("--active-hosts", type=int, default=5000)
    parser.add_argument("--new-links", type=int, default=6, help=f"new ones among the {CANDIDATES} links of a page")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    directory = args.dir or Path(tempfile.mkdtemp(prefix="store-growth-"))
    try:
        measure(directory, [int(size) for size in args.uris.split(",")], hosts=args.hosts, active=args.active_hosts,
                fresh=args.new_links, seed=args.seed)
    finally:
        if args.dir is None:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
