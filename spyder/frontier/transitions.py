"""What moves a URI from one state to another: each change with the books, the host's counts and the queue's row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec

from spyder.contracts import Prioritizer
from spyder.frontier import policy
from spyder.frontier.active import ActiveHosts
from spyder.frontier.ledger import Attempt, Ledger
from spyder.frontier.schedule import Schedule
from spyder.model.clock import Clock
from spyder.model.records import Books, HostRow, Outcome, QueuedUri, UriRow
from spyder.model.states import ErrorKind, UriState
from spyder.model.url import HOST_BYTES, UriIdentity, literal_address, origin_of
from spyder.settings import RetrySection

#: Characters of a reason that are kept.
_REASON = 500
_NOT_MODIFIED = 304


class Transitions:
    """The state of every URI; ``docs/states.md`` draws the arrows. All of it is staged in the ledger."""

    def __init__(self, ledger: Ledger, *, hosts: ActiveHosts, schedule: Schedule, clock: Clock, identity: UriIdentity,
                 prioritizer: Prioritizer, retry: RetrySection, error_cost: int, counts: Counter[str],
                 is_leased: Callable[[bytes], bool]) -> None:
        """*error_cost* is what trouble takes from a host's budget; *is_leased* tells of a URI's key."""
        self._ledger = ledger
        self._hosts = hosts
        self._schedule = schedule
        self._clock = clock
        self._identity = identity
        self._prioritize = prioritizer
        self._retry = retry
        self._error_cost = error_cost
        self._is_leased = is_leased
        self.counts = counts
        books = ledger.project_meta("books")
        self.books = msgspec.msgpack.decode(books, type=Books) if books else Books()
        self._order = int(ledger.project_meta("order") or b"0")

    def stage_books(self) -> None:
        """Stage the books, which are stored with what they count."""
        self._ledger.stage_project_meta("books", msgspec.msgpack.encode(self.books))
        self._ledger.stage_project_meta("order", str(self._order).encode())

    def add(self, key: bytes, href: str, *, depth: int, is_seed: bool = False, referrer: str = "",
            redirects: tuple[str, ...] = (), embeds: int = 0, hint: int = 0) -> bool:
        """Stage a URI, unless it is known; True when it is new. *hint* is added to its priority."""
        row = self._ledger.uri(key)
        if row is not None:
            if (depth < row.depth or is_seed) and row.state is UriState.QUEUED:
                self._lift(key, row, depth, referrer, is_seed=is_seed)
            return False
        priority = self._prioritize(href, depth=depth, is_seed=is_seed)
        if hint:
            priority = min(max(priority + hint, -128), 127)
        uri = self._enqueue(QueuedUri(key=key, place=b"", url=href, depth=depth, priority=priority, referrer=referrer,
                                      redirects=redirects, is_seed=is_seed, embeds=embeds))
        self.books.discovered += 1
        self.host_row(uri).known += 1
        return True

    def enqueue_due(self, now: float) -> None:
        """Stage that scheduled URIs whose time has come are queued."""
        for uri in self._schedule.take_due(now):
            self.books.scheduled -= 1
            self._enqueue(uri)

    def enqueue_early(self, uri: QueuedUri) -> QueuedUri:
        """Stage that a scheduled URI is queued before its time; returns it with its place."""
        self._ledger.unschedule(uri)
        self.books.scheduled -= 1
        return self._enqueue(uri)

    def _enqueue(self, uri: QueuedUri) -> QueuedUri:
        """Stage a URI at the end of its host's queue, by priority; returns it with its place."""
        self._order += 1
        place = (127 - uri.priority).to_bytes(1, "big") + self._order.to_bytes(7, "big")
        uri = QueuedUri(key=uri.key, place=place, url=uri.url, depth=uri.depth, priority=uri.priority,
                        attempt=uri.attempt, referrer=uri.referrer, redirects=uri.redirects, is_seed=uri.is_seed,
                        strikes=uri.strikes, embeds=uri.embeds, validators=uri.validators)
        self._ledger.enqueue(uri)
        row = self.host_row(uri)
        row.queued += 1
        self._ledger.touch(row)
        self.books.queued += 1
        self._hosts.take_in(row, uri, self._clock.now())
        return uri

    def _lift(self, key: bytes, row: UriRow, depth: int, referrer: str, *, is_seed: bool) -> None:
        """A shorter way to a waiting URI was found, its depth is the shortest one; or it became a seed."""
        uri = self._ledger.waiting_uri(key, row)
        if uri is None or self._is_leased(key) or (depth >= uri.depth and (uri.is_seed or not is_seed)):
            return
        lifted = msgspec.structs.replace(uri, depth=min(depth, uri.depth), referrer=referrer,
                                         is_seed=uri.is_seed or is_seed)
        self._ledger.enqueue(lifted)
        host = self._hosts.get(key[:HOST_BYTES])
        if host is not None:
            host.replace(lifted)

    def settle(self, uri: QueuedUri, worker: str, outcome: Outcome, now: float) -> HostRow:
        """Move a queued URI to the state that its outcome calls for; returns the row of its host."""
        decision = policy.decide(outcome, attempt=uri.attempt, retry=self._retry)
        row = self.host_row(uri)
        self._ledger.dequeue(uri)
        row.queued -= 1
        self.books.queued -= 1
        self._count(outcome)
        match decision.state:
            case UriState.SCHEDULED:
                again = msgspec.structs.replace(uri, attempt=uri.attempt + 1)
                self._schedule.add(again, now + decision.retry_in, Attempt(
                    at=now, worker=worker, reason=decision.reason, status=outcome.status))
                self.books.scheduled += 1
                self.counts["retries"] += 1
            case _:
                self._count_settled(row, decision.state)
        if decision.state.is_settled:
            reason = decision.reason
            if decision.state is UriState.EXCLUDED and outcome.failure is not None and outcome.failure.detail:
                reason = f"{reason}: {outcome.failure.detail[:_REASON]}"
            self._ledger.changes.uris[uri.key] = UriRow(
                state=decision.state, depth=uri.depth, url=uri.url, status=outcome.status, reason=reason,
                attempt=uri.attempt, settled_at=now, referrer=uri.referrer, worker=worker, strikes=uri.strikes,
                validators=outcome.validators or (uri.validators if outcome.status == _NOT_MODIFIED else ""))
        if self._hosts.get(row.key) is not None:  # trouble takes more from its budget than a page
            row.spent += 1 if policy.host_trouble(outcome) is None else self._error_cost
        self._ledger.touch(row)
        return row

    def refuse(self, uri: QueuedUri, state: UriState, reason: str) -> HostRow:
        """Settle a queued URI unfetched, as excluded or failed for *reason*; returns the row of its host."""
        row = self.host_row(uri)
        self._ledger.dequeue(uri)
        row.queued -= 1
        self.books.queued -= 1
        self._count_settled(row, state)
        self._ledger.changes.uris[uri.key] = UriRow(
            state=state, depth=uri.depth, url=uri.url, reason=reason[:_REASON], attempt=uri.attempt,
            settled_at=self._clock.now(), referrer=uri.referrer, strikes=uri.strikes)
        self._ledger.touch(row)
        self.counts[f"refused/{reason.partition(':')[0]}"] += 1
        return row

    def _count_settled(self, row: HostRow, state: UriState) -> None:
        row.settled += 1
        match state:
            case UriState.DONE:
                self.books.done += 1
            case UriState.EXCLUDED:
                self.books.excluded += 1
            case UriState.QUARANTINED:
                self.books.quarantined += 1
            case _:
                row.failed += 1
                self.books.failed += 1

    def _count(self, outcome: Outcome) -> None:
        self.counts["fetches"] += 1
        self.counts["bytes"] += outcome.size
        if outcome.failure is not None:
            self.counts[f"error/{outcome.failure.kind.value}"] += 1

    def strike(self, uri: QueuedUri, row: UriRow, worker: str, reason: str) -> HostRow:
        """Stage that *worker* died on a waiting URI: it waits for a while, or is set aside for good.

        Returns the row of its host.
        """
        now = self._clock.now()
        host = self._take_out(uri, row)
        uri = msgspec.structs.replace(uri, strikes=uri.strikes + 1)
        self.counts["strikes"] += 1
        if uri.strikes >= self._retry.quarantine_after:
            self._count_settled(host, UriState.QUARANTINED)
            self._ledger.touch(host)
            self._ledger.changes.uris[uri.key] = UriRow(
                state=UriState.QUARANTINED, depth=uri.depth, url=uri.url, reason=reason, attempt=uri.attempt,
                settled_at=now, referrer=uri.referrer, worker=worker, strikes=uri.strikes)
        else:
            delay = policy.retry_delay(ErrorKind.WORKER_DIED, uri.strikes - 1, 0.0, self._retry)
            self._schedule.add(uri, now + delay, Attempt(at=now, worker=worker, reason=reason))
            self.books.scheduled += 1
        return host

    def requeue(self, key: bytes) -> bool:
        """Stage that a settled URI is queued again, as if it had never been tried; False when it is not settled.

        It goes to the end of its host's queue. The chain of redirects that led to it is forgotten.
        """
        row = self._ledger.uri(key)
        if row is None or not row.state.is_settled or not row.url:
            return False
        is_seed = row.depth == 0  # a seed, or what one redirected to: nothing else is there without a link
        uri = QueuedUri(key=key, place=b"", url=row.url, depth=row.depth, referrer=row.referrer, is_seed=is_seed,
                        priority=self._prioritize(row.url, depth=row.depth, is_seed=is_seed),
                        validators=row.validators)
        host = self.host_row(uri)
        host.settled -= 1
        match row.state:
            case UriState.DONE:
                self.books.done -= 1
            case UriState.FAILED:
                host.failed -= 1
                self.books.failed -= 1
            case UriState.EXCLUDED:
                self.books.excluded -= 1
            case _:
                self.books.quarantined -= 1
        self._enqueue(uri)
        self.counts["requeued"] += 1
        return True

    def _take_out(self, uri: QueuedUri, row: UriRow) -> HostRow:
        """Stage that a waiting URI leaves its queue or the schedule; returns the row of its host."""
        host_row = self.host_row(uri)
        if row.state is UriState.SCHEDULED:
            self._ledger.unschedule(uri)
            self.books.scheduled -= 1
            return host_row
        self._ledger.dequeue(uri)
        host_row.queued -= 1
        self.books.queued -= 1
        host = self._hosts.get(host_row.key)
        if host is not None:
            host.withdraw(uri.place)
        self._ledger.touch(host_row)
        return host_row

    def host_row(self, uri: QueuedUri) -> HostRow:
        """The row of a URI's host, a new one if need be."""
        key = uri.key[:HOST_BYTES]
        row = self._ledger.host(key)
        if row is None:
            row = self._ledger.new_host(key, self._identity.queue_of(uri.url))
            row.address = literal_address(origin_of(uri.url))
        return row
