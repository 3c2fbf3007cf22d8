"""Given a random site graph and a random order of events, when the crawl ends, then each URI was settled once."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from crawlkit import Crawl, audit

from spyder.errors import StoreError
from spyder.model.records import CrawlUri, Failure, FetchNotice, Link, Outcome
from spyder.model.states import ErrorKind, LinkKind, UriState
from spyder.testing import ManualClock

DELAY, FACTOR, MAX_DELAY = 1.0, 2.0, 5.0


class Site:
    """A graph of pages on some hosts, each with its way to answer."""

    def __init__(self, chance: random.Random) -> None:
        hosts = [f"h{number}.example" for number in range(chance.choice([1, 3, 8]))]
        self.all = [f"http://{host}/{page}" for host in hosts for page in range(chance.choice([2, 6, 15]))]
        self.links = {url: chance.sample(self.all, min(len(self.all), chance.randrange(5))) for url in self.all}
        self.seeds = chance.sample(self.all, chance.randint(1, 2))
        self.kinds = {url: chance.choices(["ok", "gone", "flaky", "down", "redirect"], [10, 2, 2, 1, 2])[0]
                      for url in self.all}

    def target(self, url: str) -> str:
        return self.all[(self.all.index(url) * 7 + 3) % len(self.all)]

    def reachable(self) -> set[str]:
        found, todo = set(), list(self.seeds)
        while todo:
            url = todo.pop()
            if url in found:
                continue
            found.add(url)
            if self.kinds[url] in {"ok", "flaky"}:
                todo.extend(self.links[url])
            elif self.kinds[url] == "redirect":
                todo.append(self.target(url))
        return found


class World:
    """Workers that crawl a :class:`Site`, lose leases, repeat themselves and come late; a master that dies."""

    def __init__(self, seed: int, clock: ManualClock) -> None:
        self.chance = chance = random.Random(seed)
        self.site = Site(chance)
        self.per_host = chance.choice([1, 2, 4])
        self.crawl = Crawl(
            clock, mode="any", per_host=self.per_host, delay=chance.choice([0.0, DELAY]), delay_factor=FACTOR,
            frontier={"active_queues": chance.choice([1, 2, 100]), "queue_budget": chance.choice([1, 3, 100]),
                      "page_in": chance.choice([1, 2, 64])},
            politeness={"max_delay": MAX_DELAY, "backoff": 1.0, "max_backoff": 60.0},
            retry={"attempts": {"http-5xx": 3}, "delay": {"http-5xx": chance.choice([0.0, 3.0])}, "factor": 2.0,
                   "max_delay": 8.0})
        self.clock = clock
        self.held: dict[int, tuple[str, CrawlUri]] = {}  #: leases that stand, as far as workers know
        self.late: list[tuple[str, CrawlUri]] = []  #: leases that went back, whose outcomes may still come
        self.superseded: set[int] = set()  #: leases whose URI another's outcome has settled meanwhile
        self.told: list[tuple[str, Outcome]] = []  #: outcomes that were settled
        self.fetches: defaultdict[str, int] = defaultdict(int)
        self.open: defaultdict[str, set[int]] = defaultdict(set)  #: connections by host, as the frontier may know
        self.ready_at: dict[str, float] = {}  #: the least time of the next lease, by host
        self.durable_at: dict[str, float] = {}  #: the same, of what was committed

    def begin(self) -> None:
        self.crawl.seed(*self.site.seeds)

    # -- events

    def lease(self, room: int = 0) -> int:
        frontier, now = self.crawl.frontier, self.clock.now()
        if frontier.has_staged:
            return 0
        rooms = {worker: room or self.chance.randrange(4) for worker in ("w1", "w2", "w3")}
        grants = frontier.lease(rooms)
        for grant in grants:
            uri, host = grant.uri, _host(grant.uri.url)
            assert uri.lease not in self.held
            assert uri.key not in {other.key for _, other in self.held.values() if other.lease not in self.superseded}
            assert len(self.open[host]) < self.per_host, "more connections than per_host"
            assert now >= self.ready_at.get(host, 0.0) - 1e-6, "sooner than the delay allows"
            self.open[host].add(uri.lease)
            self.held[uri.lease] = (grant.worker, uri)
        for worker, slots in rooms.items():
            assert sum(grant.worker == worker for grant in grants) <= slots
        return len(grants)

    def answer(self, uri: CrawlUri) -> Outcome:
        """What the site says; each fetch has its own duration."""
        url, site = uri.url, self.site
        self.fetches[url] += 1
        elapsed = self.chance.choice([0.0, 0.1, 1.0, 60.0])
        failure, links, kind, status = None, [], LinkKind.NAVIGATION, 200
        match site.kinds[url]:
            case "ok":
                links = site.links[url]
            case "gone":
                failure, status = Failure(kind=ErrorKind.HTTP_4XX), 404
            case "down":
                failure, status = Failure(kind=ErrorKind.HTTP_5XX), 503
            case "flaky" if self.fetches[url] == 1:
                failure, status = Failure(kind=ErrorKind.HTTP_5XX), 503
            case "flaky":
                links = site.links[url]
            case "redirect":
                links, kind, status = [site.target(url)], LinkKind.REDIRECT, 302
        return Outcome(lease=uri.lease, key=uri.key, status=status, failure=failure, elapsed=elapsed,
                       links=tuple(Link(url=link, key=self.crawl.key(link), kind=kind) for link in links))

    def freed(self, uri: CrawlUri, elapsed: float, *, has_trouble: bool) -> None:
        host = _host(uri.url)
        if uri.lease in self.open[host]:
            self.open[host].discard(uri.lease)
            rest = 1.0 if has_trouble else max(self.crawl.politeness.delay, min(FACTOR * elapsed, MAX_DELAY))
            self.ready_at[host] = max(self.ready_at.get(host, 0.0), self.clock.now() + rest)

    def settle(self, limit: int = 8) -> None:
        held = list(self.held.values())
        if not held:
            return
        worker = self.chance.choice(held)[0]
        mine = [uri for holder, uri in held if holder == worker]
        outcomes = [self.answer(uri) for uri in self.chance.sample(mine, min(len(mine), self.chance.randint(1, limit)))]
        for outcome in outcomes:
            self.freed(self.held.pop(outcome.lease)[1], outcome.elapsed, has_trouble=_is_trouble(outcome))
        self.say(worker, outcomes)

    def say(self, worker: str, outcomes: list[Outcome]) -> None:
        keys = {outcome.key for outcome in outcomes}
        self.superseded.update(lease for lease, (_, uri) in self.held.items() if uri.key in keys)
        self.crawl.frontier.settle(worker, outcomes)
        self.told.extend((worker, outcome) for outcome in outcomes)

    def notice(self) -> None:
        """A connection is free; the outcome comes later and says so again."""
        if self.held:
            _, uri = self.chance.choice(list(self.held.values()))
            self.crawl.frontier.fetched([FetchNotice(lease=uri.lease, elapsed=1.0)])
            self.freed(uri, 1.0, has_trouble=False)

    def lose(self) -> None:
        worker = self.chance.choice(["w1", "w2", "w3"])
        expected = sum(holder == worker for holder, _ in self.held.values())
        assert self.crawl.frontier.release(worker) <= expected
        self.forget(lambda holder: holder == worker)
        assert self.crawl.frontier.held_by(worker) == 0

    def forget(self, is_lost) -> None:
        for lease, (worker, uri) in list(self.held.items()):
            if is_lost(worker):
                del self.held[lease]
                self.freed(uri, 0.0, has_trouble=False)
                self.late.append((worker, uri))

    def come_late(self) -> None:
        if self.late:
            worker, uri = self.late.pop(self.chance.randrange(len(self.late)))
            self.say(worker, [self.answer(uri)])

    def repeat(self) -> None:
        """An outcome arrives twice. One that ended in a retry is known by its worker's sequence alone: not here."""
        done = [(worker, outcome) for worker, outcome in self.told if not _is_trouble(outcome)]
        if done:
            worker, outcome = self.chance.choice(done)
            self.superseded.update(lease for lease, (_, uri) in self.held.items() if uri.key == outcome.key)
            self.crawl.frontier.settle(worker, [outcome])

    def commit(self) -> None:
        if self.chance.random() < 0.1:
            self.crawl.store.failures = 1
        self.crawl.frontier.maintain()
        try:
            self.crawl.frontier.commit()
        except StoreError:
            assert self.crawl.frontier.has_staged, "a failed commit keeps all that was staged"
            return
        self.durable_at = dict(self.ready_at)
        audit(self.crawl.frontier, self.crawl.store)

    def die(self) -> None:
        """The master dies: what is not committed is gone there, and comes again from the workers' outboxes."""
        self.crawl.store.failures = 0
        self.crawl.restart()
        audit(self.crawl.frontier, self.crawl.store)
        for worker, outcome in self.told:
            if self.chance.random() < 0.3 or self._is_open(outcome):
                self.crawl.frontier.settle(worker, [outcome])
        self.forget(lambda worker: True)
        for connections in self.open.values():
            connections.clear()
        self.ready_at = {}
        for host in self.crawl.store.iterate_hosts():
            self.ready_at[host.name] = host.next_at

    def _is_open(self, outcome: Outcome) -> bool:
        row = self.crawl.store.uris([outcome.key])[0]
        return row is not None and not row.state.is_settled and not _is_trouble(outcome)

    def step(self) -> None:
        event = self.chance.choices(
            [self.lease, self.settle, self.notice, self.lose, self.come_late, self.repeat, self.commit, self.die,
             lambda: self.clock.advance(self.chance.choice([0.01, 0.7, 3.0, 10.0]))],
            [20, 20, 4, 2, 4, 3, 25, 1, 10])[0]
        event()
        assert self.crawl.frontier.active_hosts <= self.crawl.settings.active_queues

    def finish(self) -> None:
        """No more accidents: the crawl must end by itself."""
        self.crawl.store.failures = 0
        idle = 0
        for _ in range(5000):
            self.crawl.turn()
            if self.crawl.frontier.is_idle:
                return
            if self.lease(room=8) or self.held:
                idle = 0
                while self.held:
                    self.settle(limit=100)
                continue
            idle += 1
            assert idle < 100, f"work is left, time passes, and nothing is leased: {self.crawl.frontier.books}"
            self.sleep()
        raise AssertionError(f"no end: {self.crawl.frontier.books}")


    def sleep(self) -> None:
        """Nothing is under way: the frontier must wake up as soon as the first host, or the first retry, may go on."""
        crawl, now = self.crawl, self.clock.now()
        hosts = [host.next_at for host in crawl.store.iterate_hosts() if host.queued]
        due = [int.from_bytes(uri.place[2:8], "big") / 1000 for uri in crawl.store.due(b"\x00\x01" + b"\xff" * 6, 1)]
        wake = crawl.frontier.next_wake()
        assert wake is not None
        assert wake <= max(now, min(hosts + due)) + 0.11, f"oversleeps by {wake - max(now, min(hosts + due)):.3f} s"
        self.clock.advance(max(wake - now, 0.001))


def _host(url: str) -> str:
    return url.split("/")[2]


def _is_trouble(outcome: Outcome) -> bool:
    return outcome.failure is not None and outcome.failure.kind.is_host_trouble


@pytest.mark.parametrize("seed", range(300))
def test_given_random_events_when_the_crawl_ends_then_every_reachable_uri_was_settled_once(clock, seed):
    world = World(seed, clock)
    world.begin()
    for _ in range(world.chance.choice([20, 150])):
        world.step()
    world.finish()
    crawl, site = world.crawl, world.site
    expected = {crawl.key(url): url for url in site.reachable()}
    rows = dict(crawl.store.iterate())
    assert rows.keys() == expected.keys()
    for key, url in expected.items():
        allowed = {"ok": {UriState.DONE}, "redirect": {UriState.DONE}, "gone": {UriState.FAILED},
                   "flaky": {UriState.DONE, UriState.FAILED}, "down": {UriState.FAILED}}[site.kinds[url]]
        assert rows[key].state in allowed, (url, rows[key])
        assert rows[key].url == url
        assert crawl.store.settled[key] == 1
    audit(crawl.frontier, crawl.store)
