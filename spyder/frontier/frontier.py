"""The frontier itself: takes seeds and outcomes in, gives leases out; all of it decided from state, event and clock.

The caller's order is fixed: any number of ``add_seeds``, ``settle`` and ``maintain``, then ``commit``, then ``lease``.
Nothing staged is leased, and nothing is acknowledged before the commit returned (``docs/architecture.md``).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import assert_never

import msgspec

from spyder.contracts import FrontierStore, Prioritizer
from spyder.errors import BooksError, UrlError
from spyder.frontier import policy
from spyder.frontier.active import ActiveHosts
from spyder.frontier.audit import kept_books
from spyder.frontier.errands import NOT_THERE, Errands
from spyder.frontier.hosts import ActiveHost, Errand
from spyder.frontier.leases import Lease, LeaseTable
from spyder.frontier.ledger import Ledger
from spyder.frontier.links import LinkIntake
from spyder.frontier.origins import Cleared, Dead, Held, Origins, Refusal
from spyder.frontier.politeness import Fetch, Politeness
from spyder.frontier.schedule import Schedule
from spyder.frontier.seedscope import RULES, SeedScope
from spyder.frontier.silent import SilentFetches
from spyder.frontier.transitions import Transitions
from spyder.model.clock import Clock
from spyder.model.records import (
    Books,
    CrawlUri,
    Failure,
    FetchNotice,
    HeldLease,
    HostRow,
    OriginRow,
    Outcome,
    QueuedUri,
    UriRow,
)
from spyder.model.scoping import HostScoping, ScopeJudge, Verdict
from spyder.model.states import ErrorKind, Purpose, UriState
from spyder.model.url import HOST_BYTES, UriIdentity, origin_of, parse_seed
from spyder.settings import (
    TRAP_RULES,
    FrontierSection,
    LimitsSection,
    PolitenessSection,
    RetrySection,
    RobotsSection,
    TrapsSection,
)

#: Name of the small value that says that the last master ended in good order.
_CLEAN = "clean"
#: A number of pages that no crawl reaches.
_UNLIMITED = 1 << 62
_SCHEMES = ("http://", "https://")
#: URIs that are refused in one turn, and seconds after which a turn ends: the rest comes in the next one.
_REFUSALS = 1000
_TURN_SECONDS = 0.2
#: Errands whose origin is remembered, for the case that workers died on them.
_ERRANDS = 10_000


class SeedReport(msgspec.Struct, kw_only=True):
    """What became of seeds."""

    added: int = 0
    known: int = 0  #: were in the frontier before
    refused: list[str] = msgspec.field(default_factory=list)  #: a line for each


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A lease and who gets it."""

    worker: str
    uri: CrawlUri


class Frontier:
    """All URIs of one project.

    *identity* and *scoping* come from the settings. The epoch grows with every start of a master on the same store, so
    that leases of an earlier one are told apart.
    """

    def __init__(self, *, store: FrontierStore, clock: Clock, identity: UriIdentity, scoping: HostScoping,
                 prioritizer: Prioritizer, frontier: FrontierSection, politeness: PolitenessSection,
                 retry: RetrySection, limits: LimitsSection, robots: RobotsSection, agent: str,
                 looks_up: bool = True, project: str = "default", judge: ScopeJudge | None = None,
                 traps: TrapsSection | None = None) -> None:
        """Take up what the last commit left. Raises :class:`StoreError` when the store was built otherwise.

        *agent* is our product token in robots.txt; *looks_up*: names are looked up before pages are fetched, so that
        the addresses that hosts share are known.
        """
        self._store = store
        self._clock = clock
        self._identity = identity
        self._limits = limits
        self._ledger = Ledger(store, project)
        self._ledger.check_identity(frontier.identity)
        self._scope = SeedScope(self._ledger, scoping, judge)
        self._schedule = Schedule(self._ledger)
        self._origins = Origins(self._ledger, robots, retry, politeness, agent=agent, looks_up=looks_up)
        self._quarantine_after = retry.quarantine_after
        self._lately_asked: OrderedDict[bytes, str] = OrderedDict()  #: origins by the keys of their errands
        self._hosts = ActiveHosts(self._ledger, frontier, per_host=politeness.per_host, per_ip=politeness.per_ip,
                                  rest_until=clock.now() + min(politeness.ip_delay, politeness.delay))
        self._politeness = Politeness(politeness, self._hosts, clock)
        self._silent = SilentFetches()
        self._fetched_before: set[bytes] = set()  #: keys of URIs whose fetch had ended when their holder was lost
        self.counts: Counter[str] = Counter()  #: of this run: what ``spyder status`` shows beside the books
        earlier = self._ledger.project_meta("counts")
        self._earlier: dict[str, int] = msgspec.msgpack.decode(earlier, type=dict[str, int]) if earlier else {}
        self.epoch = 1 + int(store.meta("epoch") or b"0")
        self._leases = LeaseTable(self.epoch)
        self._uris = Transitions(
            self._ledger, hosts=self._hosts, schedule=self._schedule, clock=clock, identity=identity,
            prioritizer=prioritizer, retry=retry, error_cost=frontier.error_cost, counts=self.counts,
            is_leased=self._leases.__contains__)
        self._links = LinkIntake(self._ledger, self._scope, self._uris, clock=clock, counts=self.counts,
                                 traps=traps if traps is not None else TrapsSection())
        self._errands = Errands(self._ledger, hosts=self._hosts, origins=self._origins, politeness=self._politeness,
                                scope=self._scope, identity=identity, uris=self._uris, uses_sitemaps=robots.sitemaps)
        self._is_rejudging = bool(self.kept_rules)  #: rules were edited: what is queued may be out of scope by now
        self._was_balanced = self.books.is_balanced
        self._ledger.changes.meta["epoch"] = str(self.epoch).encode()
        was_cut_off = not store.meta(_CLEAN)
        self._ledger.changes.meta[_CLEAN] = b""
        self.commit()
        # What was fetched last is not known then: every host that was active rests for a whole delay.
        self._hosts.load(rest=self._politeness.rest if was_cut_off else None)
        self.maintain()
        self.commit()

    # -- what comes in -------------------------------------------------------------------------------------------

    def add_seeds(self, texts: Iterable[str]) -> SeedReport:
        """Stage seeds: always in scope, and their hosts (or domains) with them."""
        report = SeedReport()
        seeds = []
        for text in texts:
            try:
                url = parse_seed(text)
            except UrlError as error:
                report.refused.append(str(error))
            else:
                seeds.append((self._identity.key(self._ledger.project, url.href), url.href))
        self._ledger.read_ahead(key for key, _ in seeds)
        for key, href in seeds:
            self._scope.widen(href)
            self._scope.permit(href)
            if self._uris.add(key, href, depth=0, is_seed=True):
                report.added += 1
            else:
                report.known += 1
        return report

    def settle(self, worker: str, outcomes: Sequence[Outcome]) -> None:
        """Stage the outcomes of one batch of *worker*."""
        late = [outcome.key for outcome in outcomes if self._leases.get(outcome.lease) is None]
        self._ledger.read_ahead([link.key for outcome in outcomes for link in outcome.links] + late)
        now = self._clock.now()
        for outcome in outcomes:
            self._settle(worker, outcome, now)

    def fetched(self, notices: Iterable[FetchNotice]) -> None:
        """Take early word that connections are free: the hosts' delays begin now."""
        now = self._clock.now()
        for notice in notices:
            lease = self._leases.get(notice.lease)
            if lease is not None and not lease.is_fetched:
                self._connection_freed(lease, Fetch(
                    elapsed=notice.elapsed, trouble=notice.trouble, retry_after=notice.retry_after,
                    status=notice.status, began_at=lease.since), now)

    def release(self, worker: str, *, is_lost: bool = True, hold: float = 0.0) -> int:
        """Take back all leases of *worker*, which *is_lost* or hands them back. Returns how many; stages delays.

        A worker that only fell silent may still be fetching: for *hold* seconds its connections count.
        """
        now = self._clock.now()
        returned = 0
        for lease in self._leases.take_all(worker):
            host = lease.host
            host.leased -= 1
            if lease.is_fetched:
                if lease.is_first:
                    self._fetched_before.add(lease.uri.key)
            elif hold:
                self._silent.add(worker, host, now + hold)
            else:
                self._end_unseen(host)
            self._ledger.touch(host.row)  # no outcome will store the delay
            if lease.errand is not None:
                self._errands.drop(lease.errand)
            if lease.is_first:
                returned += 1
                host.offer(lease.uri)
            if host.home == worker:
                host.home = None
            self._hosts.retire_if_empty(host.row)
            self._hosts.offer(host)
        self.counts["leases_returned" if is_lost else "leases_handed_back"] += returned
        return returned

    def adopt(self, worker: str, held: Iterable[HeldLease]) -> int:
        """Take up what *worker* has begun under an earlier welcome and still works on; returns how many leases stand.

        So a master that was restarted, or had given the worker up, neither has these pages fetched again nor lets their
        hosts be visited beyond ``per_host``. What has been settled meanwhile is nobody's any more.
        """
        self._end_silence(self._silent.take_of(worker))
        adopted = 0
        for item in held:
            row = self._own(item.key)
            if self._leases.may_be_given(item.lease):  # of another frontier: this one gives that number itself
                continue
            if row is None:
                self._adopt_foreign(worker, item)
                continue
            if row.state is not UriState.QUEUED or row.attempt != item.attempt or (
                    self._leases.get(item.lease) is not None):
                continue
            uri = self._ledger.waiting_uri(item.key, row)
            if uri is None:
                continue
            host = self._hosts.hold(self._uris.host_row(uri))
            address = self._origins.address_for(uri.url, self._clock.now())
            if address:
                self._hosts.move(host, address)
            lease = self._leases.adopt(item.lease, uri, host, worker, self._clock.now())
            host.leased += 1
            if lease.is_first:
                host.withdraw(uri.place)
                self._fetched_before.discard(uri.key)
                adopted += 1
            self._adopt_connection(lease, is_fetching=item.is_fetching)
        self.counts["leases_adopted"] += adopted
        return adopted

    def _adopt_foreign(self, worker: str, item: HeldLease) -> None:
        """An errand of an earlier welcome: nobody knows any more what was asked, but its connection counts."""
        row = self._ledger.host(item.key[:HOST_BYTES])
        if row is None or not item.key.startswith(self._ledger.prefix) or self._leases.get(item.lease) is not None:
            return
        host = self._hosts.hold(row)
        lease = self._leases.adopt(item.lease, QueuedUri(key=item.key, place=b"", url=""), host, worker,
                                   self._clock.now(), is_foreign=True)
        host.leased += 1
        self._adopt_connection(lease, is_fetching=item.is_fetching)

    def _adopt_connection(self, lease: Lease, *, is_fetching: bool) -> None:
        if is_fetching:
            lease.host.connect()
        else:
            lease.is_fetched = True
            self._rest(lease.host.row)

    def rest_hosts(self) -> None:
        """Stage that every active host rests for a delay: a worker has ended, and nobody knows what it fetched last."""
        for host in self._hosts:
            self._rest(host.row)

    def confirm_end(self, worker: str) -> None:
        """*worker* is known to be dead, or to fetch nothing any more: stages that its connections are free."""
        self._end_silence(self._silent.take_of(worker))

    def strike(self, worker: str, key: bytes, reason: str) -> tuple[str, UriState] | None:
        """Stage that *worker* died on the URI *key*; returns its URL and state, None when nothing changes.

        It waits for a while, so that others come first; at ``retry.quarantine_after`` workers it is set aside. That a
        worker's end is reported twice makes no difference.
        """
        row = self._own(key)
        if row is None and key in self._lately_asked:
            origin = self._lately_asked[key]
            is_over = self._origins.strike(origin, self._quarantine_after, self._clock.now())
            return f"{origin}robots.txt", UriState.QUARANTINED if is_over else UriState.SCHEDULED
        if row is None or row.state.is_settled or (row.strikes and row.worker == worker):
            return None
        uri = self._ledger.waiting_uri(key, row)
        if uri is None:
            return None
        holder = self._leases.holder_of(key)
        if holder is not None:  # somebody else has it by now: that one may die, too, but is not given a second one
            self._leases.supersede(holder)
        host_row = self._uris.strike(uri, row, worker, reason)
        self._hosts.retire_if_empty(host_row)
        return uri.url, self._ledger.changes.uris[key].state

    def requeue(self, key: bytes) -> bool:
        """Stage that a settled URI is queued again, as if it had never been tried; False when it is not settled."""
        return self._uris.requeue(key)

    # -- delivery positions: part of the transaction that settles what they count ----------------------------------

    def note_position(self, worker: str, sequence: int) -> None:
        """Stage how far the outcomes of *worker* are settled."""
        self._ledger.changes.meta[f"worker/{worker}"] = str(sequence).encode()

    def forget_position(self, worker: str) -> None:
        """Stage that *worker* will deliver nothing any more."""
        self._ledger.changes.meta[f"worker/{worker}"] = b""

    def take_positions(self) -> dict[str, int]:
        """How far the outcomes of earlier masters' workers were settled: of those that may still live."""
        return {name.partition("/")[2]: int(value) for name, value in self._store.metas("worker/").items()}

    # -- what goes out -------------------------------------------------------------------------------------------

    def maintain(self) -> None:
        """Stage what time brings: due URIs are queued, hosts that wait get the places of those that rest."""
        now = self._clock.now()
        self._end_silence(self._silent.take_ended(now))
        self._uris.enqueue_due(now)
        self._hosts.maintain(now)

    def commit(self) -> bool:
        """Make everything staged durable, as one transaction; True when there was anything.

        Raises :class:`StoreError` when the store fails; all stays staged then, and a later commit may succeed. Raises
        :class:`BooksError` rather than store a mistake of ours: the last commit is right.
        """
        if not self._ledger.has_staged:
            return False
        if not self.books.is_balanced and self._was_balanced:
            raise BooksError(f"the books don't balance, nothing more is stored: {self.books}")
        self._uris.stage_books()
        self._ledger.stage_project_meta("counts", msgspec.msgpack.encode(self.totals()))
        self._ledger.commit()
        self._ledger.forget_hosts(active=(host.row for host in self._hosts), count=len(self._hosts))
        return True

    @property
    def has_staged(self) -> bool:
        """True when a commit is due."""
        return self._ledger.has_staged

    def lease(self, room: Mapping[str, int]) -> list[Grant]:
        """Lease what may be fetched now to the workers that have *room* (free slots by worker), in order of service.

        A host stays with the worker that had it, while that one has room.
        """
        assert not self._ledger.has_staged, "commit first: nothing staged is leased"
        now = self._clock.now()
        free = {worker: slots for worker, slots in room.items() if slots > 0}
        allowance = self._page_allowance()
        grants: list[Grant] = []
        refusals = 0
        end = self._clock.monotonic() + _TURN_SECONDS
        while free and len(grants) < allowance and refusals < _REFUSALS and self._clock.monotonic() < end:
            host = self._hosts.take(now)
            if host is None:
                break
            worker = host.home if host.home in free else max(free, key=free.__getitem__)
            assert worker is not None
            granted = self._serve(host, worker, now)
            if isinstance(granted, Grant):
                grants.append(granted)
                free[worker] -= 1
                if not free[worker]:
                    del free[worker]
            else:
                refusals += int(granted)
        return grants

    def _serve(self, host: ActiveHost, worker: str, now: float) -> Grant | bool:
        """Do what *host* needs next: lease an errand or a page, or refuse a page (True)."""
        if host.errands:
            return self._run_errand(host.errands.popleft(), host, worker, now)
        uri = host.pop(self._store.queue, self._leases.__contains__)
        return False if uri is None else self._serve_uri(uri, host, worker, now)

    def _serve_uri(self, uri: QueuedUri, host: ActiveHost, worker: str, now: float) -> Grant | bool:
        if host.row.given_up_until > now:
            return self._refuse(uri, host, UriState.FAILED, f"{host.row.last_error}: the host was given up")
        if self._is_rejudging and not (verdict := self.judge(
                uri.url, uri.depth, uri.embeds, is_seed=uri.is_seed)).accepted:
            kind = ErrorKind.TRAP if verdict.rule in TRAP_RULES else ErrorKind.SCOPE
            return self._refuse(uri, host, UriState.EXCLUDED, f"{kind.value}: {verdict.rule}")
        answer = self._origins.answer(uri.url, now)
        match answer:
            case Cleared():
                return self._grant_page(uri, host, worker, answer, now)
            case Refusal():
                return self._refuse(uri, host, UriState.EXCLUDED, f"{answer.kind.value}: {answer.reason}")
            case Dead():
                return self._refuse(uri, host, UriState.FAILED, f"{answer.kind.value}: nothing answers, given up")
            case Held():
                return self._serve_another(uri, host, worker, answer.until, now)
            case Purpose():
                host.offer(uri)
                return self._run_errand(self._errands.ask(answer, uri.url, host), host, worker, now)
            case _:
                assert_never(answer)

    def _serve_another(self, uri: QueuedUri, host: ActiveHost, worker: str, until: float, now: float) -> Grant | bool:
        """The origin of *uri* is held *until* then: what *host* has of other origins goes on, as far as it is known."""
        other = host.pop_if(lambda one: not isinstance(self._origins.answer(one.url, now), Held))
        host.offer(uri)
        if other is not None:
            return self._serve_uri(other, host, worker, now)
        host.row.next_at = max(host.row.next_at, until)
        self._ledger.touch(host.row)
        self._hosts.offer(host)
        return False

    def next_wake(self) -> float | None:
        """Wall time at which something may become possible by time alone, or None."""
        if self.is_limit_reached:
            return None
        times = (self._hosts.next_wake(), self._schedule.next_at, self._silent.next_at)
        return min((at for at in times if at is not None), default=None)

    # -- scope ---------------------------------------------------------------------------------------------------

    @property
    def kept_rules(self) -> bytes | None:
        """The value that :meth:`use_rules` staged last, on this frontier; None: rules were never edited."""
        return self._ledger.project_meta(RULES)

    def use_rules(self, judge: ScopeJudge, kept: bytes) -> None:
        """Judge links by *judge* from now on, and stage *kept*, by which the next master finds these rules."""
        self._scope.use(judge)
        self._is_rejudging = True
        self._ledger.stage_project_meta(RULES, kept)

    def judge(self, href: str, depth: int, embeds: int = 0, *, is_seed: bool = False) -> Verdict:
        """What the rules that hold now say of a URI that is queued already; a seed is always in scope."""
        return Verdict(True, "seeds") if is_seed else self._scope.judge(href, depth, embeds)

    # -- what can be asked ---------------------------------------------------------------------------------------

    @property
    def books(self) -> Books:
        """How many URIs are in which state, what is staged included."""
        return self._uris.books

    @property
    def project(self) -> int:
        """The project's number, part of every key."""
        return self._ledger.project

    @property
    def leased(self) -> int:
        """URIs in the hands of workers."""
        return len(self._leases)

    def held_by(self, worker: str) -> int:
        """Slots of *worker* that are taken."""
        return self._leases.held_by(worker)

    @property
    def is_idle(self) -> bool:
        """True when nothing is queued, scheduled, leased or staged."""
        return not (self.books.queued or self.books.scheduled or self._leases or self._ledger.has_staged)

    @property
    def is_limit_reached(self) -> bool:
        """True when ``limits.pages`` forbids any further lease."""
        return self._page_allowance() <= 0

    @property
    def active_hosts(self) -> int:
        """Hosts in memory."""
        return len(self._hosts)

    @property
    def busy_hosts(self) -> int:
        """Hosts with a lease."""
        return sum(1 for host in self._hosts if host.leased)

    @property
    def scope_version(self) -> int:
        """Grows when seeds widen the scope: links that workers have reported may be worth more now."""
        return self._scope.version

    def totals(self) -> dict[str, int]:
        """:attr:`counts` over all runs on this frontier."""
        return dict(self.counts + Counter(self._earlier))

    def leases_of(self, worker: str) -> list[Lease]:
        """What *worker* holds."""
        return self._leases.of(worker)

    def lease_of(self, key: bytes) -> Lease | None:
        """The lease of the URI *key*, if it has one."""
        return self._leases.holder_of(key)

    def leases_at(self, host: ActiveHost) -> Counter[str]:
        """Leases of a host's URIs by worker: for people, it looks at all leases."""
        return Counter(lease.worker for lease in self._leases if lease.host is host)

    def active_host(self, key: bytes) -> ActiveHost | None:
        """The host with this key, if it is in memory."""
        return self._hosts.get(key)

    def resting_hosts(self, limit: int) -> tuple[Counter[str], bool]:
        """What :meth:`ActiveHosts.resting` says of this moment."""
        return self._hosts.resting(self._clock.now(), limit)

    @property
    def store(self) -> FrontierStore:
        """The store, to be read."""
        return self._store

    def key(self, href: str) -> bytes:
        """The key of a fetch URL in this project."""
        return self._identity.key(self._ledger.project, href)

    def host_key(self, host: str) -> bytes:
        """The key of the queue that *host* (with its port, unless that is the scheme's default) belongs to."""
        return self.key(f"http://{host.lower()}/")[:HOST_BYTES]

    def host(self, key: bytes) -> HostRow | None:
        """The row of a host."""
        return self._ledger.host(key)

    def origin(self, href: str) -> OriginRow | None:
        """What is known of the origin of a fetch URL: its address, and what its robots.txt says."""
        return self._origins.row(origin_of(href))

    def uri(self, key: bytes) -> UriRow | None:
        """The row of a URI."""
        return self._ledger.uri(key)

    def uris(self, after: bytes = b"") -> Iterator[tuple[bytes, UriRow]]:
        """All URIs of the project with a key greater than *after*, by key, as they are stored: for people."""
        prefix = self._ledger.prefix
        return takewhile(lambda row: row[0].startswith(prefix), self._store.iterate(max(after, prefix)))

    def checkpoint(self, directory: Path) -> dict[str, Books]:
        """Copy all that was committed to *directory*; returns the books of every project in the copy, by its name.

        Nothing must be staged. Raises :class:`StoreError` when it can't be copied; then nothing is left there.
        """
        assert not self._ledger.has_staged, "commit first: what is staged is not copied"
        self._store.checkpoint(directory)
        return kept_books(self._store)

    def store_size(self) -> int:
        """Bytes that the store takes."""
        return self._store.size()

    def close(self) -> None:
        """Commit what is staged and close the store, even when the commit fails."""
        self._ledger.changes.meta[_CLEAN] = b"1"
        try:
            self.commit()
        finally:
            self._store.close()

    def abandon(self) -> None:
        """Close the store without a commit: what is staged can't be trusted, the last commit can."""
        self._store.close()

    # -- leasing and politeness ----------------------------------------------------------------------------------

    def _grant_page(self, uri: QueuedUri, host: ActiveHost, worker: str, cleared: Cleared,
                    now: float) -> Grant | bool:
        """Lease a page, unless the address that its host turns out to be at has to rest."""
        if cleared.address and not self._hosts.is_at(host, cleared.address, now):
            host.offer(uri)
            self._hosts.offer(host)
            return False
        lease = self._leases.grant(uri, host, worker, now)
        host.home = worker
        host.leased += 1
        lease.crawl_delay = cleared.crawl_delay
        self._politeness.begin(host, now, crawl_delay=cleared.crawl_delay)
        self._hosts.offer(host)
        return Grant(worker=worker, uri=CrawlUri(
            lease=lease.number, key=uri.key, url=uri.url, depth=uri.depth, attempt=uri.attempt, referrer=uri.referrer,
            redirects=uri.redirects, is_seed=uri.is_seed, address=cleared.address, validators=uri.validators,
            embeds=uri.embeds, is_permitted=self._scope.is_permitted(uri.url)))

    def _refuse(self, uri: QueuedUri, host: ActiveHost, state: UriState, reason: str) -> bool:
        self._uris.refuse(uri, state, reason)
        self._hosts.retire_if_empty(host.row)
        self._hosts.offer(host)
        return True

    def _run_errand(self, errand: Errand, host: ActiveHost, worker: str, now: float) -> Grant | bool:
        """Lease an errand, or what must be known before it can be run."""
        ready = self._errands.prepare(errand, host, now)
        if ready is None:
            return False
        key = self._identity.errand_key(host.row.key, f"{ready.purpose.name} {ready.origin} {ready.hops}")
        lease = self._leases.grant_errand(ready, QueuedUri(key=key, place=b"", url=ready.url), host, worker, now)
        host.home = worker
        host.leased += 1
        self._lately_asked[key] = ready.origin
        if len(self._lately_asked) > _ERRANDS:
            self._lately_asked.popitem(last=False)
        if ready.purpose is Purpose.ROBOTS:
            self._politeness.begin(host, now, crawl_delay=host.row.crawl_delay)
        else:
            lease.is_fetched = True  # a look-up takes no connection of the host
        self.counts[f"errands/{ready.purpose.name.lower()}"] += 1
        self._hosts.offer(host)
        return Grant(worker=worker, uri=CrawlUri(
            lease=lease.number, key=key, url=ready.url, purpose=ready.purpose, address=ready.address,
            is_permitted=self._scope.is_permitted(ready.url)))

    # -- connections -----------------------------------------------------------------------------------------------

    def _connection_freed(self, lease: Lease, fetch: Fetch, now: float) -> None:
        """Politeness: the host's next turn counts from now."""
        lease.is_fetched = True
        host = lease.host
        if lease.errand is not None and not fetch.status:  # nothing answered: that is the trouble of its origin alone
            fetch.trouble = None
            host.disconnect()
            self._politeness.rest(host.row, fetch.elapsed)
            self._politeness.free(host, now)
            self._hosts.offer(host)
            return
        fetch.crawl_delay = lease.crawl_delay
        self._politeness.end(host, fetch, now)
        if fetch.trouble in NOT_THERE and lease.uri.url:
            self._origins.forget_address(origin_of(lease.uri.url))
        if host.row.given_up_until > now and fetch.trouble is not None:
            self._errands.fail_all(host, Failure(kind=fetch.trouble), now)
        self._hosts.offer(host)

    def _end_unseen(self, host: ActiveHost) -> None:
        """A connection is free, and nobody knows how its fetch ended: the host's delay begins now."""
        host.disconnect()
        self._politeness.free(host, self._clock.now())
        self._rest(host.row)
        self._hosts.offer(host)

    def _end_silence(self, hosts: Iterable[ActiveHost]) -> None:
        """Stage that connections of silent workers are free: the hosts' delays begin now."""
        for host in hosts:
            self._end_unseen(host)
            self._hosts.retire_if_empty(host.row)

    def _rest(self, row: HostRow) -> None:
        """Stage that a host rests for a delay from now on."""
        self._politeness.rest(row)
        self._ledger.touch(row)

    def _page_allowance(self) -> int:
        """Leases that ``limits.pages`` still allows."""
        if self._limits.pages is None:
            return _UNLIMITED
        return self._limits.pages - self.books.done - self.books.failed - self._leases.pages

    # -- settling ------------------------------------------------------------------------------------------------

    def _settle(self, worker: str, outcome: Outcome, now: float) -> None:
        lease = self._leases.get(outcome.lease)
        if lease is None or lease.uri.key != outcome.key or lease.worker != worker:
            self._settle_late(worker, outcome, now)
            return
        if not lease.is_fetched:
            self._connection_freed(lease, _fetch_of(outcome, lease.since), now)
        lease.host.leased -= 1
        self._ledger.touch(lease.host.row)
        self._leases.end(lease)
        if lease.errand is not None:
            self._errands.settle(lease.errand, lease.host, outcome, now)
        elif lease.is_foreign:
            pass  # what an earlier master asked
        elif lease.is_superseded:
            self._settle_stale(lease.uri, outcome)
        elif lease.is_second:
            self._settle_late(worker, outcome, now, is_known=True)
        else:
            self._settled(lease.uri, worker, outcome, now)
        self._hosts.retire_if_empty(lease.host.row)
        self._hosts.offer(lease.host)

    def _settle_late(self, worker: str, outcome: Outcome, now: float, *, is_known: bool = False) -> None:
        """An outcome whose lease has gone back (or, if it *is_known*, is not the first): its links count anyway.

        It settles the URI if nobody else has.
        """
        row = self._own(outcome.key)
        if row is None:
            self.counts["outcomes_unknown"] += 1
            return
        uri = None if row.state.is_settled else self._ledger.waiting_uri(outcome.key, row)
        if uri is None or (row.attempt != outcome.attempt and outcome.failure is not None):
            self._settle_stale(_settled_parent(outcome, row) if uri is None else uri, outcome)
            return
        self.counts["outcomes_late"] += 1
        if row.state is UriState.SCHEDULED:
            uri = self._uris.enqueue_early(uri)
        holder = self._leases.holder_of(outcome.key)
        host = self._hosts.get(outcome.key[:HOST_BYTES])
        if holder is not None:
            self._leases.supersede(holder)
        elif host is not None:
            host.withdraw(uri.place)
        host_row = self._settled(uri, worker, outcome, now)
        if not is_known:  # it was fetched under a lease that nobody knows any more: the host has not rested for it
            self._politeness.rest_after(host_row, _fetch_of(outcome, 0.0), now)
        self._hosts.retire_if_empty(host_row)

    def _own(self, key: bytes) -> UriRow | None:
        """The row of a URI that a worker names, if it is one of this project: its books are the ones kept here."""
        return self._ledger.uri(key) if key.startswith(self._ledger.prefix) else None

    def _settle_stale(self, parent: QueuedUri, outcome: Outcome) -> None:
        """An outcome that comes too late to change its URI: the page was fetched twice. Its links count all the same.

        They may be news: a worker tells of each link once.
        """
        self.counts["outcomes_stale"] += 1
        self.counts["fetched_twice"] += 1
        self._links.add(parent, outcome.links, outcome.hints)

    def _settled(self, uri: QueuedUri, worker: str, outcome: Outcome, now: float) -> HostRow:
        """Stage the state that an outcome calls for, and its links; returns the row of the URI's host."""
        if uri.key in self._fetched_before:
            self._fetched_before.discard(uri.key)
            self.counts["fetched_twice"] += 1
        row = self._uris.settle(uri, worker, outcome, now)
        self._links.take(uri, row, outcome)
        return row

def _fetch_of(outcome: Outcome, began_at: float) -> Fetch:
    return Fetch(elapsed=outcome.elapsed, trouble=policy.host_trouble(outcome), retry_after=outcome.retry_after,
                 status=outcome.status, began_at=began_at)


def _settled_parent(outcome: Outcome, row: UriRow) -> QueuedUri:
    """The page of a stale outcome as the parent of its links: the worker won't report them again, so they count."""
    return QueuedUri(key=outcome.key, place=b"", url=row.url, depth=row.depth, referrer=row.referrer)
