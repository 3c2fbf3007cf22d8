"""The frontier itself: takes seeds and outcomes in, gives leases out; all of it decided from state, event and clock.

The caller's order is fixed: any number of ``add_seeds``, ``settle`` and ``maintain``, then ``commit``, then ``lease``.
Nothing staged is leased, and nothing is acknowledged before the commit returned (``docs/architecture.md``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from spyder.contracts import Changes, FrontierStore, Prioritizer
from spyder.errors import StoreError, UrlError
from spyder.frontier import policy
from spyder.frontier.hosts import ActiveHost, HostTable
from spyder.frontier.leases import EPOCH_SHIFT, Lease, LeaseTable
from spyder.model.clock import Clock
from spyder.model.records import Books, CrawlUri, FetchNotice, HostRow, Link, Outcome, QueuedUri, UriRow
from spyder.model.scoping import HostScoping
from spyder.model.states import ErrorKind, LinkKind, UriState
from spyder.model.url import HOST_BYTES, UriIdentity, host_of, parse_seed
from spyder.settings import FrontierSection, LimitsSection, PolitenessSection, RetrySection

#: Classes of entries in the index of hosts with work: active ones come first, so that a restart finds them at once.
_ACTIVE, _WAITING = b"\x00", b"\x01"
_WAIT_CLASS = slice(2, 3)
_WAIT_TIME = slice(3, 9)

#: Hosts read into the active set at a time.
_FILL = 64
#: More hosts than can have been active when the last master ended.
_ALL = 1 << 31
#: Scheduled URIs that become due in one transaction.
_DUE = 512
#: Rows of inactive hosts kept in memory.
_HOSTS_REMEMBERED = 8192
#: Seconds from which on an active host that must rest makes room for one that waits.
_LONG_REST = 5.0


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

    *identity* and *scoping* come from the settings; *epoch* grows with every start of a master on the same store, so
    that leases of an earlier one are told apart.
    """

    def __init__(self, *, store: FrontierStore, clock: Clock, identity: UriIdentity, scoping: HostScoping,
                 prioritizer: Prioritizer, frontier: FrontierSection, politeness: PolitenessSection,
                 retry: RetrySection, limits: LimitsSection, project: str = "default") -> None:
        self._store = store
        self._clock = clock
        self._identity = identity
        self._scoping = scoping
        self._prioritize = prioritizer
        self._settings = frontier
        self._politeness = politeness
        self._retry = retry
        self._limits = limits
        self._changes = Changes()
        self._known: dict[bytes, UriRow | None] = {}  #: rows read for the current transaction
        self._rows: dict[bytes, HostRow] = {}  #: rows of hosts, active and lately used
        self._in_scope: dict[str, bool] = {}  #: lately asked for
        self._hosts = HostTable()
        self._stepping_aside: list[ActiveHost] = []  #: spent hosts that leave when their leases have ended
        self._more_waiting = True  #: hosts with work may wait in the index
        self._next_waiting_at = 0.0
        self._next_due_at: float | None = None
        self.counts: Counter[str] = Counter()  #: what ``spyder status`` shows beside the books
        self.project = self._open_project(project, f"{frontier.canonical}/{frontier.assignment}")
        self._prefix = self.project.to_bytes(2, "big")
        self.epoch = 1 + int(store.meta("epoch") or b"0")
        self._leases = LeaseTable(self.epoch)
        self._load()

    # -- start ---------------------------------------------------------------------------------------------------

    def _open_project(self, name: str, identity_policy: str) -> int:
        """The project's number; refuses a store whose keys were made by another policy."""
        kept = self._store.meta("identity")
        if kept is not None and kept.decode() != identity_policy:
            raise StoreError(f"the frontier was built with frontier.canonical/assignment `{kept.decode()}`, the "
                             f"settings say `{identity_policy}`: set them back, or begin anew with --fresh")
        number = self._store.meta(f"project/{name}")
        if number is not None:
            return int(number)
        new = 1 + len(self._store.metas("project/"))
        self._changes.meta["identity"] = identity_policy.encode()
        self._changes.meta[f"project/{name}"] = str(new).encode()
        return new

    def _load(self) -> None:
        """Books, order and the active hosts, as the last commit left them: not more, however large the store."""
        books = self._store.meta(self._meta("books"))
        self.books = msgspec.msgpack.decode(books, type=Books) if books else Books()
        self._order = int(self._store.meta(self._meta("order")) or b"0")
        self._changes.meta["epoch"] = str(self.epoch).encode()
        self._read_next_due()
        self.commit()
        active = self._store.waiting(self._prefix + _ACTIVE, self._prefix + _WAITING, _ALL)
        for row in self._host_rows([host for _, host in active]):
            if len(self._hosts) < self._settings.active_queues:
                self._activate(row, has_more=True)
            else:  # active_queues was larger then
                self._mark(row, _WAITING, row.next_at)
        self.maintain()
        self.commit()

    def _meta(self, name: str) -> str:
        return f"{name}/{self.project}"

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
                seeds.append((self._identity.key(self.project, url.href), url.href))
        self._read_rows(key for key, _ in seeds)
        for key, href in seeds:
            self._widen_scope(href)
            if self._add(key, href, depth=0, is_seed=True):
                report.added += 1
            else:
                report.known += 1
        return report

    def settle(self, worker: str, outcomes: Sequence[Outcome]) -> None:
        """Stage the outcomes of one batch of *worker*."""
        late = [outcome.key for outcome in outcomes if self._leases.get(outcome.lease) is None]
        self._read_rows([link.key for outcome in outcomes for link in outcome.links] + late)
        now = self._clock.now()
        for outcome in outcomes:
            self._settle(worker, outcome, now)

    def note_position(self, worker: str, sequence: int) -> None:
        """Stage how far the outcomes of *worker* are settled: part of the same transaction as they are."""
        self._changes.meta[f"worker/{worker}"] = str(sequence).encode()

    def positions(self) -> dict[str, int]:
        """How far the outcomes of each worker were settled when the last master ended."""
        return {name.partition("/")[2]: int(value) for name, value in self._store.metas("worker/").items() if value}

    def forget_position(self, worker: str) -> None:
        """Stage that *worker* ended with everything acknowledged."""
        self._changes.meta[f"worker/{worker}"] = b""

    def fetched(self, notices: Iterable[FetchNotice]) -> None:
        """Take early word that connections are free: the hosts' delays begin now."""
        now = self._clock.now()
        for notice in notices:
            lease = self._leases.get(notice.lease)
            if lease is not None and not lease.is_fetched:
                self._connection_freed(lease, notice.elapsed, notice.trouble, notice.retry_after, now)

    def release(self, worker: str) -> int:
        """Take back all leases of *worker*: it is lost, or hands them back. Returns how many; stages delays."""
        now = self._clock.now()
        leases = self._leases.take_all(worker)
        returned = 0
        for lease in leases:
            host = lease.host
            host.leased -= 1
            if not lease.is_fetched:
                self._connection_freed(lease, 0.0, None, 0.0, now)
                self._changes.hosts[host.row.key] = host.row  # no outcome will store the delay
            if not lease.is_superseded:
                returned += 1
                host.offer(lease.uri)
            if host.home == worker:
                host.home = None
            self._retire_if_empty(host)
            self._offer(host)
        self.counts["leases_returned"] += returned
        return returned

    # -- what goes out -------------------------------------------------------------------------------------------

    def maintain(self) -> None:
        """Stage what time brings: due URIs are queued, hosts that wait get the places of those that rest."""
        now = self._clock.now()
        if self._next_due_at is not None and self._next_due_at <= now:
            self._promote_due(now)
        if self._stepping_aside or (self._more_waiting and self._next_waiting_at <= now):
            self._make_room(now)
            self._fill(now)

    def commit(self) -> bool:
        """Make everything staged durable, as one transaction; True when there was anything.

        Raises :class:`StoreError` when the store fails; all stays staged then, and a later commit may succeed.
        """
        if not self._changes:
            return False
        self._changes.meta[self._meta("books")] = msgspec.msgpack.encode(self.books)
        self._changes.meta[self._meta("order")] = str(self._order).encode()
        self._store.commit(self._changes)
        self._changes = Changes()
        self._known.clear()
        if len(self._rows) > _HOSTS_REMEMBERED + len(self._hosts):
            self._rows = {host.row.key: host.row for host in self._hosts}
        return True

    @property
    def has_staged(self) -> bool:
        """True when a commit is due."""
        return bool(self._changes)

    def lease(self, room: Mapping[str, int]) -> list[Grant]:
        """Lease what may be fetched now to the workers that have *room* (free slots by worker), in order of service.

        A host stays with the worker that had it, while that one has room.
        """
        assert not self._changes, "commit first: nothing staged is leased"
        now = self._clock.now()
        free = {worker: slots for worker, slots in room.items() if slots > 0}
        budget = self._page_allowance()
        grants: list[Grant] = []
        while free and len(grants) < budget:
            host = self._hosts.take(now)
            if host is None:
                break
            uri = host.pop(self._store.queue, self._leases.__contains__)
            if uri is None:
                continue
            worker = host.home if host.home in free else max(free, key=free.__getitem__)
            assert worker is not None
            grants.append(self._grant(uri, host, worker, now))
            free[worker] -= 1
            if not free[worker]:
                del free[worker]
        return grants

    def next_wake(self) -> float | None:
        """Wall time at which something may become possible by time alone, or None."""
        if self.is_limit_reached:
            return None
        times = [at for at in (self._hosts.next_at(), self._next_due_at) if at is not None]
        if self._more_waiting:
            times.append(self._next_waiting_at)
        return min(times, default=None)

    # -- what can be asked ---------------------------------------------------------------------------------------

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
        return not (self.books.queued or self.books.scheduled or self._leases or self._changes)

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

    def store_size(self) -> int:
        """Bytes that the store takes."""
        return self._store.size()

    def close(self) -> None:
        """Commit what is staged and close the store, even when the commit fails."""
        try:
            self.commit()
        finally:
            self._store.close()

    # -- settling ------------------------------------------------------------------------------------------------

    def _settle(self, worker: str, outcome: Outcome, now: float) -> None:
        lease = self._leases.get(outcome.lease)
        if lease is None:
            self._settle_late(worker, outcome, now)
            return
        if not lease.is_fetched:
            self._connection_freed(lease, outcome.elapsed, _trouble(outcome), outcome.retry_after, now)
        lease.host.leased -= 1
        self._leases.end(lease)
        if lease.is_superseded:
            self.counts["outcomes_stale"] += 1
            self._add_links(lease.uri, outcome.links)
        else:
            self._apply(lease.uri, lease.host, worker, outcome, now)
        self._retire_if_empty(lease.host)
        self._offer(lease.host)

    def _settle_late(self, worker: str, outcome: Outcome, now: float) -> None:
        """An outcome whose lease has gone back: it settles the URI if nobody else has, and its links count anyway."""
        row = self._row(outcome.key)
        if row is None:
            self.counts["outcomes_unknown"] += 1
            return
        uri = None if row.state.is_settled else self._queued_row(outcome.key, row)
        if uri is None:
            self.counts["outcomes_stale"] += 1
            self._add_links_of_settled(outcome, row)
            return
        self.counts["outcomes_late"] += 1
        if row.state is UriState.SCHEDULED:
            self._changes.schedule.pop((row.place, outcome.key), None)
            self._changes.unschedule.add((row.place, outcome.key))
            self.books.scheduled -= 1
            uri = self._enqueue(uri)
        holder = self._leases.holder_of(outcome.key)
        host = self._hosts.get(outcome.key[:HOST_BYTES])
        if holder is not None:
            self._leases.supersede(holder)
        elif host is not None:
            host.passed_over.add(uri.place)
        self._apply(uri, host, worker, outcome, now)
        if host is not None:
            self._retire_if_empty(host)

    def _apply(self, uri: QueuedUri, host: ActiveHost | None, worker: str, outcome: Outcome, now: float) -> None:
        """Move a queued URI to the state that its outcome calls for."""
        decision = policy.decide(outcome, attempt=uri.attempt, retry=self._retry)
        key, books = uri.key, self.books
        row = host.row if host is not None else self._host_row(key[:HOST_BYTES], uri.url)
        self._drop_from_queue(row.key, uri.place)
        row.queued -= 1
        books.queued -= 1
        self.counts["fetches"] += 1
        self.counts["bytes"] += outcome.size
        if outcome.failure is not None:
            self.counts[f"error/{outcome.failure.kind.value}"] += 1
        if decision.state is UriState.SCHEDULED:
            self._schedule(uri, decision, now)
        else:
            row.settled += 1
            if decision.state is UriState.DONE:
                books.done += 1
            else:
                books.failed += 1
                row.failed += 1
            self._changes.uris[key] = UriRow(
                state=decision.state, depth=uri.depth, url=uri.url, status=outcome.status, reason=decision.reason,
                attempt=uri.attempt, settled_at=now, referrer=uri.referrer, worker=worker)
        if host is not None:
            host.spent += self._cost(outcome)
        elif row.queued == 0:
            self._unmark(row)
        self._changes.hosts[row.key] = row
        self._add_links(uri, outcome.links)

    def _cost(self, outcome: Outcome) -> int:
        """What the outcome takes from its host's budget: trouble costs more than a page."""
        return 1 if _trouble(outcome) is None else self._settings.error_cost

    def _schedule(self, uri: QueuedUri, decision: policy.Decision, now: float) -> None:
        due_at = now + decision.retry_in
        place = self._prefix + _milliseconds(due_at)
        self._changes.schedule[place, uri.key] = msgspec.structs.replace(uri, place=place, attempt=uri.attempt + 1)
        self._changes.uris[uri.key] = UriRow(state=UriState.SCHEDULED, depth=uri.depth, place=place,
                                             reason=decision.reason, attempt=uri.attempt + 1)
        self.books.scheduled += 1
        self.counts["retries"] += 1
        if self._next_due_at is None or due_at < self._next_due_at:
            self._next_due_at = due_at

    def _connection_freed(self, lease: Lease, elapsed: float, trouble: ErrorKind | None, retry_after: float,
                          now: float) -> None:
        """Politeness: the host's next turn counts from now."""
        lease.is_fetched = True
        host, row = lease.host, lease.host.row
        host.fetching -= 1
        if trouble is not None:
            row.errors += 1
            row.last_error = trouble.value
            rest = policy.host_backoff(row.errors, retry_after, self._politeness)
        else:
            row.errors = 0
            rest = policy.politeness_delay(elapsed, self._politeness)
        row.next_at = max(row.next_at, now + rest)
        self._offer(host)

    # -- adding --------------------------------------------------------------------------------------------------

    def _add_links(self, parent: QueuedUri, links: Sequence[Link]) -> None:
        if not links:
            return
        depth, referrer = parent.depth + 1, parent.url
        self._host_rows({link.key[:HOST_BYTES] for link in links})
        for link in links:
            if link.kind is LinkKind.REDIRECT:
                if parent.is_seed:
                    self._widen_scope(link.url)
                elif not self._admits(link.url):
                    continue
                self._add(link.key, link.url, depth=parent.depth, is_seed=parent.is_seed, referrer=parent.referrer,
                          redirects=(*parent.redirects, parent.url))
            elif self._admits(link.url):
                self._add(link.key, link.url, depth=depth, referrer=referrer)

    def _add_links_of_settled(self, outcome: Outcome, row: UriRow) -> None:
        """The links of a page that somebody else has settled: the worker won't send them again, so they count here."""
        parent = QueuedUri(key=outcome.key, place=b"", url=row.url, depth=row.depth, referrer=row.referrer)
        self._add_links(parent, outcome.links)

    def _add(self, key: bytes, href: str, *, depth: int, is_seed: bool = False, referrer: str = "",
             redirects: tuple[str, ...] = ()) -> bool:
        """Stage a URI, unless it is known; True when it is new."""
        row = self._row(key)
        if row is not None:
            if (depth < row.depth or is_seed) and row.state is UriState.QUEUED:
                self._lift(key, row, depth, referrer, is_seed=is_seed)
            return False
        priority = self._prioritize(href, depth=depth, is_seed=is_seed)
        self._enqueue(QueuedUri(key=key, place=b"", url=href, depth=depth, priority=priority, referrer=referrer,
                                redirects=redirects, is_seed=is_seed))
        self.books.discovered += 1
        return True

    def _enqueue(self, uri: QueuedUri) -> QueuedUri:
        """Stage a row at the end of its host's queue, by priority; returns it with its place."""
        self._order += 1
        place = (127 - uri.priority).to_bytes(1, "big") + self._order.to_bytes(7, "big")
        key = uri.key
        host_id = key[:HOST_BYTES]
        uri = QueuedUri(key=key, place=place, url=uri.url, depth=uri.depth, priority=uri.priority, attempt=uri.attempt,
                        referrer=uri.referrer, redirects=uri.redirects, is_seed=uri.is_seed)
        changes = self._changes
        changes.uris[key] = UriRow(state=UriState.QUEUED, depth=uri.depth, place=place, attempt=uri.attempt)
        changes.enqueue[host_id, place] = uri
        row = self._host_row(host_id, uri.url)
        row.queued += 1
        changes.hosts[host_id] = row
        self.books.queued += 1
        host = self._hosts.get(host_id)
        if host is not None:
            host.offer(uri)
            self._offer(host)
        elif not row.waiting:
            self._welcome_host(row, uri)
        return uri

    def _welcome_host(self, row: HostRow, uri: QueuedUri) -> None:
        """A host without work got some: it becomes active if there is room, else it waits in the index."""
        if len(self._hosts) < self._settings.active_queues:
            self._mark(row, _ACTIVE, 0.0)
            host = self._activate(row, has_more=False)
            host.offer(uri)
            self._offer(host)
        else:
            self._mark(row, _WAITING, max(row.next_at, self._clock.now()))
            self._note_waiting(row.next_at)

    def _lift(self, key: bytes, row: UriRow, depth: int, referrer: str, *, is_seed: bool) -> None:
        """A shorter way to a waiting URI was found, its depth is the shortest one; or it became a seed."""
        uri = self._queued_row(key, row)
        if uri is None or key in self._leases or (depth >= uri.depth and (uri.is_seed or not is_seed)):
            return
        depth = min(depth, uri.depth)
        lifted = msgspec.structs.replace(uri, depth=depth, referrer=referrer, is_seed=uri.is_seed or is_seed)
        self._changes.uris[key] = msgspec.structs.replace(row, depth=depth)
        self._changes.enqueue[key[:HOST_BYTES], row.place] = lifted
        host = self._hosts.get(key[:HOST_BYTES])
        if host is not None:
            host.replace(lifted)

    def _drop_from_queue(self, host: bytes, place: bytes) -> None:
        """Stage that a row leaves its queue, also one that entered it in this very transaction."""
        self._changes.enqueue.pop((host, place), None)
        self._changes.dequeue.add((host, place))

    # -- scope ---------------------------------------------------------------------------------------------------

    def _widen_scope(self, href: str) -> None:
        name = self._scoping.name_of(host_of(href))
        if name is not None and not self._is_in_scope(name):
            self._in_scope[name] = True
            self._changes.meta[f"scope/{self.project}/{name}"] = b"1"

    def _admits(self, href: str) -> bool:
        name = self._scoping.name_of(host_of(href))
        if name is None or self._is_in_scope(name):
            return True
        self.counts["links_out_of_scope"] += 1
        return False

    def _is_in_scope(self, name: str) -> bool:
        known = self._in_scope.get(name)
        if known is None:
            meta = f"scope/{self.project}/{name}"
            if len(self._in_scope) > _HOSTS_REMEMBERED:
                self._in_scope.clear()
            known = self._in_scope[name] = meta in self._changes.meta or self._store.meta(meta) is not None
        return known

    # -- hosts ---------------------------------------------------------------------------------------------------

    def _grant(self, uri: QueuedUri, host: ActiveHost, worker: str, now: float) -> Grant:
        lease = self._leases.grant(uri, host, worker)
        host.home = worker
        host.leased += 1
        host.fetching += 1
        if self._politeness.delay:
            host.row.next_at = max(host.row.next_at, now + self._politeness.delay)
        self._offer(host)
        return Grant(worker=worker, uri=CrawlUri(
            lease=lease.number, key=uri.key, url=uri.url, depth=uri.depth, attempt=uri.attempt, referrer=uri.referrer,
            redirects=uri.redirects, is_seed=uri.is_seed))

    def _offer(self, host: ActiveHost) -> None:
        """Put a host into the order of service if it may be served at all."""
        if host.is_offered or host.fetching >= self._politeness.per_host or not host.has_work:
            return
        if host.spent >= self._settings.queue_budget:
            if self._more_waiting and len(self._hosts) >= self._settings.active_queues:
                host.is_offered = True  # not again in this activation
                self._stepping_aside.append(host)
                return
            host.spent = 0
        self._hosts.serve(host)

    def _activate(self, row: HostRow, *, has_more: bool) -> ActiveHost:
        host = ActiveHost(row, page=self._settings.page_in, has_more=has_more)
        self._rows[row.key] = row
        self._hosts.add(host)
        self._offer(host)
        return host

    def _retire_if_empty(self, host: ActiveHost) -> None:
        """A host without queued rows leaves memory and the index."""
        if host.row.queued == 0 and host.leased == 0:
            self._hosts.remove(host)
            self._unmark(host.row)

    def _make_room(self, now: float) -> None:
        """Send hosts away that have spent their budget or must rest for long, while others wait."""
        self._stepping_aside = [host for host in self._stepping_aside if not self._send_away(host, now)]
        wanted = _FILL - (self._settings.active_queues - len(self._hosts))
        for host in list(self._hosts) if wanted > 0 else ():
            if host.row.next_at > now + _LONG_REST and self._send_away(host, now):
                wanted -= 1
                if not wanted:
                    return

    def _send_away(self, host: ActiveHost, now: float) -> bool:
        """Let an active host wait in the index, unless it has leases; True when it is gone."""
        if self._hosts.get(host.row.key) is not host:
            return True
        if host.leased:
            return False
        self._hosts.remove(host)
        self._mark(host.row, _WAITING, max(host.row.next_at, now))
        self._note_waiting(host.row.next_at)
        return True

    def _fill(self, now: float) -> None:
        """Make hosts active that wait and whose time has come, as far as there is room."""
        room = min(self._settings.active_queues - len(self._hosts), _FILL)
        if room <= 0:
            self._next_waiting_at = now + 0.1
            return
        start, stop = self._prefix + _WAITING, self._prefix + b"\x02"
        entries = [entry for entry in self._store.waiting(start, stop, room + len(self._changes.unwait))
                   if entry[0] not in self._changes.unwait][:room]
        due = [host for key, host in entries if _seconds(key[_WAIT_TIME]) <= now]
        for row in self._host_rows(due):
            self._mark(row, _ACTIVE, 0.0)
            self._activate(row, has_more=True)
        staged = [_seconds(key[_WAIT_TIME]) for key in self._changes.wait if key[_WAIT_CLASS] == _WAITING]
        if len(due) == len(entries):
            self._more_waiting = len(entries) == room or bool(staged)
            self._next_waiting_at = now
        else:
            self._next_waiting_at = min([*staged, _seconds(entries[len(due)][0][_WAIT_TIME])])

    def _note_waiting(self, at: float) -> None:
        self._next_waiting_at = min(self._next_waiting_at, at) if self._more_waiting else at
        self._more_waiting = True

    def _mark(self, row: HostRow, kind: bytes, at: float) -> None:
        """Stage the host's entry in the index of hosts with work."""
        self._unmark(row)
        row.waiting = self._prefix + kind + _milliseconds(at) + row.key[2:]
        self._changes.wait[row.waiting] = row.key
        self._changes.unwait.discard(row.waiting)
        self._changes.hosts[row.key] = row

    def _unmark(self, row: HostRow) -> None:
        if row.waiting:
            self._changes.wait.pop(row.waiting, None)
            self._changes.unwait.add(row.waiting)
            row.waiting = b""
            self._changes.hosts[row.key] = row

    # -- due -----------------------------------------------------------------------------------------------------

    def _promote_due(self, now: float) -> None:
        """Stage that scheduled URIs whose time has come are queued again."""
        limit = (int.from_bytes(self._prefix + _milliseconds(now), "big") + 1).to_bytes(8, "big")
        rows = [uri for uri in self._store.due(limit, _DUE) if (uri.place, uri.key) not in self._changes.unschedule]
        for uri in rows:
            self._changes.unschedule.add((uri.place, uri.key))
            self.books.scheduled -= 1
            self._enqueue(uri)
        if len(rows) < _DUE:
            self._read_next_due()

    def _read_next_due(self) -> None:
        """When the first scheduled URI is due, of those that are stored and those that are staged."""
        stop = self._prefix + b"\xff" * 6
        first = [uri for uri in self._store.due(stop, 1 + len(self._changes.unschedule))
                 if (uri.place, uri.key) not in self._changes.unschedule]
        times = [_seconds(uri.place[2:8]) for uri in first[:1]]
        times.extend(_seconds(place[2:8]) for place, _ in self._changes.schedule)
        self._next_due_at = min(times, default=None)

    # -- rows ----------------------------------------------------------------------------------------------------

    def _read_rows(self, keys: Iterable[bytes]) -> None:
        """Read the rows of URIs ahead, in one go."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        if missing:
            self._known.update(zip(missing, self._store.uris(missing), strict=True))

    def _row(self, key: bytes) -> UriRow | None:
        staged = self._changes.uris.get(key)
        if staged is not None:
            return staged
        if key not in self._known:
            self._read_rows((key,))
        return self._known[key]

    def _queued_row(self, key: bytes, row: UriRow) -> QueuedUri | None:
        """The waiting row of a URI, staged or stored."""
        if row.state is UriState.SCHEDULED:
            staged = self._changes.schedule.get((row.place, key))
        else:
            staged = self._changes.enqueue.get((key[:HOST_BYTES], row.place))
        return staged if staged is not None else self._store.queued_row(key, row)

    def _host_rows(self, keys: Iterable[bytes]) -> list[HostRow]:
        """The rows of hosts that the store knows, read in one go and remembered."""
        wanted = list(keys)
        missing = [key for key in wanted if key not in self._rows]
        if missing:
            self._rows.update((row.key, row) for row in self._store.hosts(missing) if row is not None)
        return [self._rows[key] for key in wanted if key in self._rows]

    def _host_row(self, key: bytes, href: str) -> HostRow:
        """The row of a host, a new one if need be."""
        row = self._rows.get(key)
        if row is None:
            found = self._host_rows((key,))
            row = found[0] if found else HostRow(key=key, name=self._identity.queue_of(href))
            self._rows[key] = row
        return row

    def _page_allowance(self) -> int:
        """Leases that ``limits.pages`` still allows."""
        if self._limits.pages is None:
            return 1 << 30
        return self._limits.pages - self.books.done - self.books.failed - len(self._leases)


def _trouble(outcome: Outcome) -> ErrorKind | None:
    """The failure of an outcome, if the whole host is in trouble."""
    failure = outcome.failure
    return failure.kind if failure is not None and failure.kind.is_host_trouble else None


def _milliseconds(at: float) -> bytes:
    """A time as six bytes that sort like it."""
    return max(0, int(at * 1000)).to_bytes(6, "big")


def _seconds(sortable: bytes) -> float:
    """The opposite of :func:`_milliseconds`."""
    return int.from_bytes(sortable, "big") / 1000


def epoch_of(lease: int) -> int:
    """The epoch of the master that gave a lease."""
    return lease >> EPOCH_SHIFT
