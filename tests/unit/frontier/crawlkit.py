"""A frontier under test: one clock, one store, and an audit of the store's rows after every commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from spyder import plugins
from spyder.contracts import Changes, FrontierStore
from spyder.errors import StoreError
from spyder.frontier.frontier import Frontier, Grant
from spyder.frontier.prioritizer import FirstComeFirstServed
from spyder.model.records import CrawlUri, Failure, FetchNotice, Link, Outcome, UriRow
from spyder.model.scoping import HostScoping
from spyder.model.states import ErrorKind, LinkKind, UriState
from spyder.model.url import HOST_BYTES, UriIdentity
from spyder.settings import FrontierSection, LimitsSection, PolitenessSection, RetrySection, RobotsSection
from spyder.stores.memory import MemoryStore
from spyder.testing import ManualClock

EVERYTHING = 1 << 20  #: rows, more than any test has


class AuditedStore:
    """A store that refuses, at the commit, what must never happen, and that fails when it is told to."""

    def __init__(self, store: FrontierStore) -> None:
        self.store = store
        self.failures = 0  #: commits that will fail
        self.commits = 0
        self.settled: Counter[bytes] = Counter()  #: how often each URI was settled
        self.requeued: set[bytes] = set()  #: settled URIs that may be queued again

    def __getattr__(self, name: str):
        return getattr(self.store, name)

    def commit(self, changes: Changes) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("no space left on device")
        for key, row in changes.uris.items():
            self._check_transition(key, self.store.uris([key])[0], row)
        self.store.commit(changes)
        self.commits += 1

    def close(self) -> None:
        """What is in memory stays there: another master opens it."""
        if not isinstance(self.store, MemoryStore):
            self.store.close()

    def _check_transition(self, key: bytes, old: UriRow | None, new: UriRow) -> None:
        assert old is None or not old.state.is_settled or key in self.requeued, f"{old} was settled and became {new}"
        if new.state.is_settled:
            self.settled[key] += 1
            assert new.url, f"a settled row keeps its URL: {new}"
            assert new.place == b""
        else:
            assert new.place, f"a waiting row has a place: {new}"


def audit(frontier: Frontier, store: FrontierStore) -> None:
    """The books balance, and every row of the store is where the others say that it is."""
    books = frontier.books
    assert books.is_balanced, books
    rows = dict(store.iterate())
    states = Counter(row.state for row in rows.values())
    assert (len(rows), states[UriState.QUEUED], states[UriState.SCHEDULED], states[UriState.DONE],
            states[UriState.FAILED], states[UriState.EXCLUDED], states[UriState.QUARANTINED]) == (
        books.discovered, books.queued, books.scheduled, books.done, books.failed, books.excluded, books.quarantined)
    for key, row in rows.items():
        waiting = store.queued_row(key, row)
        if row.state.is_settled:
            assert waiting is None
        else:
            assert waiting is not None, f"{row} points to nothing"
            assert (waiting.key, waiting.place) == (key, row.place)
            assert (waiting.depth, waiting.attempt) == (row.depth, row.attempt)
    index = store.waiting(b"", b"\xff" * 20, EVERYTHING)
    entries = Counter(host for _, host in index)
    queued = resting_entries = 0
    settled = Counter(key[:HOST_BYTES] for key, row in rows.items() if row.state.is_settled)
    for host in store.iterate_hosts():
        rows_of_host = store.queue(host.key, b"", EVERYTHING)
        queued += len(rows_of_host)
        assert len(rows_of_host) == host.queued, host
        for uri in rows_of_host:
            assert rows[uri.key].state is UriState.QUEUED
            assert rows[uri.key].place == uri.place
        assert host.settled == settled[host.key], host
        if host.queued:
            assert entries[host.key] == 1, f"{host.name} has work and stands {entries[host.key]} times in the index"
            assert (host.waiting, host.key) in index
        else:
            resting_entries += entries[host.key]
    assert queued == books.queued
    needed = sum(host.is_needed for host in frontier._hosts)
    assert resting_entries <= needed, "a host without work leaves the index when its last lease ends"
    scheduled = store.due(frontier.project.to_bytes(2, "big") + b"\xff" * 6, EVERYTHING)
    assert len(scheduled) == books.scheduled


class Crawl:
    """A frontier, its clock, its store and what a test says to it; commits are audited."""

    def __init__(self, clock: ManualClock, *, store: FrontierStore | None = None, mode: str = "host",
                 assignment: str = "host", canonical: str = "plain", prioritizer=None, per_host: int = 1,
                 delay: float = 0.0, delay_factor: float = 0.0, pages: int | None = None, project: str = "default",
                 looks_up: bool = False, **sections) -> None:
        self.clock = clock
        self.project = project
        self.store = AuditedStore(store if store is not None else MemoryStore())
        self.mode = mode
        self.settings = FrontierSection(**{"assignment": assignment, "canonical": canonical,
                                           **sections.get("frontier", {})})
        self.politeness = PolitenessSection(**{"per_host": per_host, "delay": delay, "delay_factor": delay_factor,
                                               **sections.get("politeness", {})})
        self.retry = RetrySection(**sections.get("retry", {}))
        self.limits = LimitsSection(pages=pages)
        self.robots = RobotsSection(**{"policy": "ignore", **sections.get("robots", {})})
        self.looks_up = looks_up
        self.prioritizer = prioritizer or FirstComeFirstServed()
        self.identity = UriIdentity(plugins.find("canonical", self.settings.canonical),
                                    plugins.find("assignment", self.settings.assignment))
        self.frontier = self._build()

    def _build(self) -> Frontier:
        return Frontier(store=self.store, clock=self.clock, identity=self.identity, scoping=HostScoping(self.mode),
                        prioritizer=self.prioritizer, frontier=self.settings, politeness=self.politeness,
                        retry=self.retry, limits=self.limits, project=self.project, robots=self.robots, agent="spyder",
                        looks_up=self.looks_up)

    def restart(self, reopen: Callable[[], FrontierStore] | None = None, *, in_good_order: bool = False,
                **changed) -> None:
        """The master dies, and another one opens the same store: what was staged is gone, unless it ends well."""
        if in_good_order:
            self.frontier.close()
        for name, value in changed.items():
            setattr(self, name, value)
        if reopen is not None:
            self.store.store = reopen()
        self.frontier = self._build()

    # -- in

    def seed(self, *urls: str):
        report = self.frontier.add_seeds(urls)
        self.commit()
        return report

    def commit(self) -> None:
        self.frontier.commit()
        audit(self.frontier, self.store)

    def settle(self, *outcomes: Outcome, worker: str = "w") -> None:
        self.frontier.settle(worker, outcomes)
        self.turn()

    def turn(self) -> None:
        self.frontier.maintain()
        self.commit()

    def ok(self, uri: CrawlUri, *links: str, worker: str = "w", **fields) -> None:
        self.settle(self.outcome(uri, *links, **fields), worker=worker)

    def fail(self, uri: CrawlUri, kind: ErrorKind, *links: str, worker: str = "w", **fields) -> None:
        self.settle(self.outcome(uri, *links, failure=Failure(kind=kind), **fields), worker=worker)

    def redirect(self, uri: CrawlUri, target: str, *, worker: str = "w") -> None:
        self.settle(self.outcome(uri, target, kind=LinkKind.REDIRECT, status=301), worker=worker)

    def outcome(self, uri: CrawlUri, *links: str, kind: LinkKind = LinkKind.NAVIGATION, status: int = 200,
                **fields) -> Outcome:
        return Outcome(lease=uri.lease, key=uri.key, status=status, attempt=uri.attempt,
                       links=tuple(Link(url=url, key=self.key(url), kind=kind) for url in links), **fields)

    def release(self, worker: str) -> int:
        returned = self.frontier.release(worker)
        self.turn()
        return returned

    def notice(self, uri: CrawlUri, **fields) -> None:
        self.frontier.fetched([FetchNotice(lease=uri.lease, **fields)])

    # -- out

    def grants(self, room: int = EVERYTHING, **rooms: int) -> list[Grant]:
        return self.frontier.lease(rooms or {"w": room})

    def lease(self, room: int = EVERYTHING, worker: str = "w") -> list[CrawlUri]:
        return [grant.uri for grant in self.frontier.lease({worker: room})]

    def one(self, worker: str = "w") -> CrawlUri:
        """The one URI that may be leased now."""
        uris = self.lease(1, worker)
        assert len(uris) == 1, "nothing can be leased"
        return uris[0]

    def drain(self, answer: Callable[[CrawlUri], Outcome] | None = None, *, limit: int = 10_000) -> list[str]:
        """Serve everything to the end, turning the clock where time is needed; the URLs in the order of leases."""
        served = []
        for _ in range(limit):
            self.turn()
            uris = self.lease()
            served.extend(uri.url for uri in uris)
            for uri in uris:
                self.settle(answer(uri) if answer is not None else self.outcome(uri))
            if self.frontier.is_idle:
                return served
            if not uris:
                self.sleep()
        raise AssertionError(f"no end in sight: {self.frontier.books}")

    def sleep(self) -> None:
        """Turn the clock to when the frontier says that something may become possible."""
        at = self.frontier.next_wake()
        assert at is not None, f"work is left and nothing will wake the crawl: {self.frontier.books}"
        self.clock.advance(max(at - self.clock.now(), 0.001))

    # -- asked

    def key(self, url: str) -> bytes:
        return self.identity.key(self.frontier.project, url)

    def row(self, url: str) -> UriRow | None:
        return self.store.uris([self.key(url)])[0]

    def state(self, url: str) -> UriState | None:
        row = self.row(url)
        return row.state if row is not None else None

    def host(self, url: str):
        return self.store.hosts([self.key(url)[:HOST_BYTES]])[0]


def urls(uris: Iterable[CrawlUri]) -> list[str]:
    return [uri.url for uri in uris]


def pages(host: str, numbers: Sequence[int] | range) -> list[str]:
    return [f"http://{host}/{number}" for number in numbers]
