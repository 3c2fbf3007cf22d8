"""Why a URI or a host is where it is, what it waits for, which rule keeps a URL out: for people, and never writes.

It reads the store, and asks a running master, as :class:`Live`, for what memory alone knows.
"""

from __future__ import annotations

import difflib
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol, assert_never

import msgspec

from spyder.contracts import FrontierStore
from spyder.errors import SpyderError, StoreError, UrlError
from spyder.frontier import policy
from spyder.frontier.hostlimits import HostLimits
from spyder.model.clock import SystemClock
from spyder.model.records import Books, HostRow, OriginRow, QueuedUri, UriRow
from spyder.model.robots import RobotsMatcher
from spyder.model.scoping import HostScoping
from spyder.model.states import ErrorKind, UriState
from spyder.model.url import (
    HOST_BYTES,
    PROJECT_BYTES,
    Url,
    host_key,
    host_of,
    origin_of,
    parse,
    target_of,
)
from spyder.nodes.explanation import Explanation, HostAnswer, UriAnswer, kind_of, rest_of, words_of
from spyder.nodes.identity import made_with, uri_identity
from spyder.nodes.inspect import open_store, rfc3339
from spyder.nodes.scopedesk import KeptRules, compile_scope, read_kept
from spyder.nodes.watchdog import Cause, Progress, blockade, span
from spyder.scope.rules import LinkScope
from spyder.settings import Settings

#: Rows of a queue, or of the index of hosts with work, that are counted at the most: a running master waits meanwhile.
_LOOK = 1000
#: Names of hosts that are looked through for one that was not found by its key: by a master that waits meanwhile
#: (a tenth of a second), and by a process of its own.
_NAMES_LIVE, _NAMES = 1000, 20_000
#: Names shown in a line.
_SHOWN = 5
#: In the key of a host's entry in the index of hosts with work: waiting for a place (see ``frontier/active.py``).
_WAITING = b"\x01"
_CLASS, _TIME = slice(PROJECT_BYTES, PROJECT_BYTES + 1), slice(PROJECT_BYTES + 1, PROJECT_BYTES + 7)
_DUE_TIME = slice(PROJECT_BYTES, PROJECT_BYTES + 6)
#: Begin what is no name of a host although it looks like one with a port.
_OTHER_SCHEMES = ("mailto:", "javascript:", "data:")
#: Causes that put a time off and don't make it unknown.
_IN_PASSING = frozenset({"queue", "connections", "robots-first"})


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as the master knows it."""

    worker: str
    held: float  #: seconds
    is_fetched: bool = False  #: its connection is free again: the page is being read


class HostActivity(msgspec.Struct, frozen=True, kw_only=True):
    """A host whose queue is in the master's memory."""

    row: HostRow  #: as it is now, newer than the store's
    leases: dict[str, int] = msgspec.field(default_factory=dict)  #: by worker
    fetching: int = 0  #: leases whose connection is in use


class Live(Protocol):
    """What a running master knows beyond its store."""

    def progress(self) -> Progress:
        """Its figures, as its watchdog sees them."""

    def lease_of(self, key: bytes) -> LeaseView | None:
        """The lease of the URI *key*, if it has one."""

    def host_activity(self, host: bytes) -> HostActivity | None:
        """The host with this key, if it is active: in memory."""


def explain(text: str, *, store: FrontierStore, settings: Settings, now: float,
            live: Live | None = None) -> Explanation:
    """All that is known of the URL or the host *text*; *now* is wall time.

    Raises :class:`UrlError` when *text* is neither, :class:`SpyderError` when nobody knows such a host.
    """
    subject = read_subject(text)
    asked = _Asked(store, settings, now, live)
    uri, host = None, None
    if isinstance(subject, Url):
        uri, row = asked.uri(subject)
    else:
        row = asked.find_host(subject)
    if row is not None:
        host = asked.host(row)
    notes = [] if live is not None else ["no master answers: this is what its last commit left"]
    if uri is not None and uri.state == "unknown" and live is None:
        notes.append("rules are judged by the settings given here: options of `spyder crawl` are not kept")
    return Explanation(of=text, at=rfc3339(now), is_live=live is not None, project=asked.project, uri=uri, host=host,
                       notes=tuple(notes))


def explain_offline(text: str, settings: Settings, directory: Path | None = None) -> Explanation:
    """What :func:`explain` says, from the store alone: of the settings, or in *directory*.

    Raises also :class:`StoreError` when there is no frontier.
    """
    with open_store(directory or settings.frontier_directory, store=settings.frontier.store) as store:
        return explain(text, store=store, settings=settings, now=SystemClock().now())


def read_subject(text: str) -> Url | str:
    """The URL that *text* is, or the name of a host: what has neither a scheme nor a path.

    Raises :class:`UrlError` when it is neither.
    """
    text = text.strip()
    if "://" in text or text.startswith(_OTHER_SCHEMES):
        return parse(text)
    url = parse(f"http://{text}")
    if not url.is_fetchable:
        raise UrlError(f"{text[:200]!r} is neither a URL nor a host")
    return url if set(text) & set("/?#") else text


class _Asked:
    """A store, perhaps a master, and one moment."""

    def __init__(self, store: FrontierStore, settings: Settings, now: float, live: Live | None) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self._live = live
        self.project, self._number = _project(store, settings.project.name)
        self._prefix = self._number.to_bytes(PROJECT_BYTES, "big")
        self._identity = uri_identity(made_with(store))

    @cached_property
    def _kept_rules(self) -> KeptRules:
        """The rules as they were edited."""
        return read_kept(self._store, self._number)

    @cached_property
    def _scope(self) -> LinkScope:
        """The rules as the master has them, or would begin with."""
        scope = compile_scope(self._settings, self._kept_rules, now=self._now)
        scope.bind(self._is_seeded)
        return scope

    # -- a URL ----------------------------------------------------------------------------------------------------

    def uri(self, url: Url) -> tuple[UriAnswer, HostRow | None]:
        """The answer on a URL, and its host if anybody knows it."""
        if not url.is_fetchable:
            return UriAnswer(url=url.href, state="unknown", rule="scheme", summary="not in the frontier: "
                             f"{self._scope.words('scheme', url.href)}"), None
        key = self._identity.key(self._number, url.href)
        host, row = self._host_row(key[:HOST_BYTES]), self._store.uris((key,))[0]
        return (self._unknown(url.href, key) if row is None else self._known(url.href, key, row, host)), host

    def _unknown(self, href: str, key: bytes) -> UriAnswer:
        """A URL that is not in the frontier: a rule keeps it out, or no page linked to it."""
        rule, words = self._refusal(href, 0, self._host_row(key[:HOST_BYTES]))
        if rule:
            summary = f"not in the frontier, and a link to it is left out: {words}"
            advice = f"`spyder seed {href}` has it crawled all the same: a seed is always in scope"
        else:
            depth = self._settings.scope.depth
            within = f" up to {depth:,} links from a seed (scope.depth)" if depth is not None else ""
            summary = f"not discovered yet: it is in scope{within}, and no page that was read links to it"
            advice = f"`spyder seed {href}` adds it"
        return UriAnswer(url=href, key=key.hex(), state="unknown", summary=summary, rule=rule, advice=advice)

    def _refusal(self, href: str, depth: int, host: HostRow | None) -> tuple[str, str]:
        """The rule that keeps a link to *href* out, and why, in words; empty when none does."""
        verdict = self._scope.judge(href, depth)
        if not verdict.accepted:
            words = self._scope.words(verdict.rule, href, depth)
            return verdict.rule, words + self._hosts_in_scope() if verdict.rule in {"host", "domain"} else words
        limits = HostLimits(self._settings.traps)
        rule = limits.take_in(host, href) if host is not None else ""
        return rule, limits.words(rule, href) if rule else ""

    def _hosts_in_scope(self) -> str:
        """Some of the hosts, or domains, that seeds brought into scope, to be put behind a rule's words."""
        scoping = HostScoping(self._settings.scope.mode)
        names = dict.fromkeys(scoping.name_of(row.name) or "" for row in self._hosts())
        inside = sorted(name for name in names if self._is_in_scope(name))
        more = f" and {len(inside) - _SHOWN:,} more" if len(inside) > _SHOWN else ""
        return f"; in scope: {', '.join(inside[:_SHOWN])}{more}" if inside else ""

    def _is_seeded(self, href: str) -> bool:
        name = HostScoping(self._settings.scope.mode).name_of(host_of(href))
        return name is None or self._is_in_scope(name)

    def _is_in_scope(self, name: str) -> bool:
        return self._store.meta(f"scope/{self._number}/{name}") is not None

    def _known(self, href: str, key: bytes, row: UriRow, host: HostRow | None) -> UriAnswer:
        """A URI of the frontier."""
        waiting = None if row.state.is_settled else self._store.queued_row(key, row)
        lease = self._live.lease_of(key) if self._live is not None else None
        state, summary, advice = row.state.name.lower(), "", ""
        waits: list[Cause] = []
        next_at = 0.0
        match row.state:
            case UriState.QUEUED if lease is not None:
                doing = "its page is being read" if lease.is_fetched else "it is being fetched, or about to be"
                state, summary = "leased", f"worker {lease.worker} has held it for {span(lease.held)}: {doing}"
            case UriState.QUEUED:
                summary = f"waits for its turn{self._coming_exclusion(href, row, waiting)}"
                waits, next_at = self._waits_in_queue(row, key, host)
            case UriState.SCHEDULED:
                summary = f"waits for its time{self._coming_exclusion(href, row, waiting)}"
                waits, next_at = self._waits_for_time(row, host)
            case UriState.DONE:
                summary = f"its answer had status {row.status}"
            case UriState.FAILED:
                summary = f"{_tries(row)}: {words_of(row.reason)}"
                advice = f"`spyder requeue {href}` has it tried again"
            case UriState.EXCLUDED:
                summary = f"a rule keeps it out: {self._exclusion(href, row)}"
                advice = f"`spyder requeue {href}` has it tried once the rule admits it"
            case UriState.QUARANTINED:
                summary = f"set aside after {row.strikes:,} strikes: {words_of(row.reason)}"
                advice = f"`spyder requeue {href}` has it tried again"
            case _:
                assert_never(row.state)
        kept = waiting.url if waiting is not None else row.url
        if kept and kept != href:
            summary = f"{summary}; known as {kept}, the same page"
        return UriAnswer(
            url=href, key=key.hex(), state=state, summary=summary, depth=row.depth,
            is_seed=waiting is not None and waiting.is_seed, attempt=row.attempt, status=row.status, reason=row.reason,
            referrer=waiting.referrer if waiting is not None else row.referrer,
            redirects=waiting.redirects if waiting is not None else (), reason_words=words_of(row.reason),
            last_at=rfc3339(row.settled_at), worker=row.worker, strikes=row.strikes,
            strikes_limit=self._settings.retry.quarantine_after, waits=tuple(waits), next_at=rfc3339(next_at),
            advice=advice)

    def _exclusion(self, href: str, row: UriRow) -> str:
        """Why a URI is excluded: by a rule of the scope as it is now, if that still is one."""
        kind, _, rule = row.reason.partition(": ")
        known = {view.name for view in self._scope.views}
        if kind in {ErrorKind.SCOPE.value, ErrorKind.TRAP.value} and rule in known:
            return self._scope.words(rule, href, row.depth)
        return words_of(row.reason)

    def _coming_exclusion(self, href: str, row: UriRow, waiting: QueuedUri | None) -> str:
        """What edited rules will do to a URI when its turn comes; empty when they let it pass."""
        if waiting is None:
            return ""
        known = self._origin(waiting.url)
        if known is not None and known.verdict == "rules" and known.rules is not None and self._obeys:
            rule = RobotsMatcher(known.rules).rule_for(target_of(waiting.url))
            if rule is not None and not rule[0]:
                return f"; it is excluded then: {words_of(f'robots: disallow: {rule[1]}')}"
        if waiting.is_seed:
            return ""
        verdict = self._scope.judge(waiting.url, row.depth, waiting.embeds)
        if verdict.accepted or not self._kept_rules.version:
            return ""
        return f"; it is excluded then: {self._scope.words(verdict.rule, href, row.depth)}"

    def _waits_in_queue(self, row: UriRow, key: bytes, host: HostRow | None) -> tuple[list[Cause], float]:
        """What a queued URI waits for, the gravest first, and when it is next at the earliest (0: not known)."""
        if host is None:
            return [], 0.0
        ahead = self._ahead(row, key)
        causes = [*self._crawl_causes(), *self._host_causes(host), *self._origin_causes(row, key)]
        if ahead:
            count = f"{ahead:,}" if ahead < _LOOK else f"{_LOOK:,} or more"
            causes.append(Cause(kind="queue", text=f"{count} of its host's URIs come before it"))
        return causes, self._next_at(causes, host) and self._next_at(causes, host) + ahead * self._delay

    def _waits_for_time(self, row: UriRow, host: HostRow | None) -> tuple[list[Cause], float]:
        """The same of a URI that is scheduled: then it joins the end of its host's queue."""
        due_at = _due_at(row.place)
        causes = [self._retry_cause(row, due_at), *self._crawl_causes()]
        if host is not None:
            causes.extend(cause for cause in self._host_causes(host) if cause.until)
        return causes, max(due_at, self._next_at(causes, host) if host is not None else 0.0)

    def _retry_cause(self, row: UriRow, due_at: float) -> Cause:
        kind = kind_of(row.reason)
        if kind is None or not row.attempt:
            text = f"it is tried again after a worker died on it ({row.reason})" if row.strikes else "it is scheduled"
        else:
            most = max(row.attempt, self._settings.retry.retries(kind))
            text = f"retry {row.attempt:,} of {most:,} after `{kind.value}`"
            ours = policy.retry_delay(kind, row.attempt - 1, 0.0, self._settings.retry)
            if row.settled_at and due_at - row.settled_at > ours + 1:
                text = f"{text}, not before the server asked for it (Retry-After)"
        return Cause(kind="retry", text=text, until=rfc3339(due_at))

    def _ahead(self, row: UriRow, key: bytes) -> int:
        """URIs before this one in its host's queue, counted up to a bound; leased ones are no longer before it."""
        rows = self._store.queue(key[:HOST_BYTES], b"", _LOOK)
        return sum(1 for uri in rows if uri.place < row.place and not self._is_leased(uri.key))

    def _is_leased(self, key: bytes) -> bool:
        return self._live is not None and self._live.lease_of(key) is not None

    # -- what everybody waits for, and what a host does -----------------------------------------------------------

    @property
    def _delay(self) -> float:
        return self._settings.politeness.delay

    def _crawl_causes(self) -> list[Cause]:
        """What keeps the whole crawl from going on."""
        if self._live is not None:
            cause = blockade(self._live.progress())
            return [cause] if cause is not None else []
        causes = [Cause(kind="no-master", text="no master is running")]
        kept = self._store.meta(f"books/{self._number}")
        books = msgspec.msgpack.decode(kept, type=Books) if kept else Books()
        pages = self._settings.limits.pages
        if pages is not None and books.done + books.failed >= pages:
            causes.append(Cause(kind="limit", text="the page limit is reached (limits.pages)"))
        return causes

    def _host_causes(self, row: HostRow) -> list[Cause]:
        """What keeps a host from being served."""
        section, causes = self._settings.frontier, []
        rest = rest_of(row, self._now, self._settings.politeness)
        if row.given_up_until > self._now:
            causes.append(Cause(kind="given-up", until=rfc3339(row.given_up_until), text=(
                f"its host was given up after `{row.last_error}`: what is queued there fails unfetched")))
        elif rest is not None:
            causes.append(rest)
        activity = self._activity(row)
        if activity is not None and activity.fetching >= self._settings.politeness.per_host:
            lost = activity.fetching > sum(activity.leases.values())
            causes.append(Cause(kind="connections", text=(
                f"all {activity.fetching:,} connections to its host are in use (politeness.per_host)"
                + (", maybe still by a worker that fell silent" if lost else ""))))
        if row.waiting[_CLASS] == _WAITING and int.from_bytes(row.waiting[_TIME], "big") / 1000 <= self._now:
            before = len(self._store.waiting(self._prefix + _WAITING, row.waiting, _LOOK))
            count = f"{before:,}" if before < _LOOK else f"{_LOOK:,} or more"
            causes.append(Cause(kind="place", text=f"its host waits for a place in memory, {count} hosts before it "
                                                   f"(frontier.active_queues is {section.active_queues:,})"))
        elif row.spent >= section.queue_budget and activity is not None:
            causes.append(Cause(kind="budget", text=f"its host has spent its budget of {section.queue_budget:,} pages "
                                                    "(frontier.queue_budget) and lets others go first"))
        return causes

    @property
    def _obeys(self) -> bool:
        return self._settings.robots.policy == "obey"

    def _origin(self, href: str) -> OriginRow | None:
        """What is kept of the origin of a fetch URL."""
        kept = self._store.meta(f"origin/{origin_of(href)}/{self._number}")
        return msgspec.msgpack.decode(kept, type=OriginRow) if kept else None

    def _origin_causes(self, row: UriRow, key: bytes) -> list[Cause]:
        """What must be known of the origin of a queued URI before it may be fetched."""
        waiting = self._store.queued_row(key, row)
        if waiting is None:
            return []
        origin = origin_of(waiting.url)
        known = self._origin(waiting.url) or OriginRow()
        if not self._obeys or known.verdict_until > self._now:
            return []
        if known.retry_at > self._now and not known.verdict:
            return [Cause(kind="robots", until=rfc3339(known.retry_at), text=(
                f"the robots.txt of {origin} can't be had ({known.reason}), so nothing is fetched there: asked "
                f"{known.attempts:,} times"))]
        if known.retry_at <= self._now:
            return [Cause(kind="robots-first", text=f"the robots.txt of {origin} is fetched first")]
        return []

    def _next_at(self, causes: list[Cause], row: HostRow) -> float:
        """When a host may be served at the earliest, wall time; 0 when a cause has no end that is known."""
        if any(not cause.until and cause.kind not in _IN_PASSING for cause in causes):
            return 0.0
        return max(self._now, row.next_at)

    def host(self, row: HostRow) -> HostAnswer:
        """The answer on a host."""
        activity = self._activity(row)
        leases = activity.leases if activity is not None else {}
        leased = sum(leases.values())
        first = next((uri for uri in self._store.queue(row.key, b"", min(_LOOK, leased + 1))
                      if not self._is_leased(uri.key)), None)
        retries = [uri for uri in self._store.due(self._prefix + b"\xff" * 6, _LOOK) if uri.key.startswith(row.key)]
        waits, next_at = [], 0.0
        if first is not None:
            waits = [*self._crawl_causes(), *self._host_causes(row)]
            next_at = self._next_at(waits, row)
        elif retries:
            first, next_at = retries[0], _due_at(retries[0].place)
            text = "its next retry waits for its time" if len(retries) > 1 else "its only retry waits for its time"
            waits = [Cause(kind="retry", text=text, until=rfc3339(next_at)), *self._crawl_causes()]
        return HostAnswer(
            host=row.name, key=row.key.hex(), queued=max(0, row.queued - leased), leased=leased,
            scheduled=len(retries), settled=row.settled, failed=row.failed, is_active=activity is not None or (
                self._live is None and row.waiting[_CLASS] not in {b"", _WAITING}),
            spent=row.spent, budget=self._settings.frontier.queue_budget, errors=row.errors, last_error=row.last_error,
            leases=leases, waits=tuple(waits), next_at=rfc3339(next_at),
            next_url=first.url if first is not None else "")

    # -- which host -----------------------------------------------------------------------------------------------

    def find_host(self, name: str) -> HostRow:
        """The host called *name*: with its port, or without when only one has that name.

        Raises :class:`SpyderError` naming the nearest one.
        """
        spellings = dict.fromkeys((parse(f"http://{name}").host, parse(f"https://{name}").host))
        for queue in (*(self._identity.queue_of_host(spelling) for spelling in spellings), name):
            row = self._host_row(host_key(self._number, queue))
            if row is not None:
                return row
        first = next(iter(spellings))
        names = [row.name for row in self._hosts()]
        same = [known for known in names if known.rpartition(":")[0] == first]
        if len(same) == 1:
            return self.find_host(same[0])
        if same:
            raise SpyderError(f"the frontier knows {first} with {len(same):,} ports: name one, as `{min(same)}`")
        near = difflib.get_close_matches(first, names, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise SpyderError(f"the frontier knows no host `{first}`{hint}")

    def _hosts(self) -> list[HostRow]:
        """The project's hosts that are looked through for a name."""
        rows = islice(self._store.iterate_hosts(), _NAMES if self._live is None else _NAMES_LIVE)
        return [row for row in rows if row.key.startswith(self._prefix)]

    def _host_row(self, key: bytes) -> HostRow | None:
        """A host's row: the master's, if it has a newer one than the store."""
        row: HostRow | None = self._store.hosts((key,))[0]
        activity = self._live.host_activity(key) if self._live is not None else None
        return activity.row if activity is not None else row

    def _activity(self, row: HostRow) -> HostActivity | None:
        return self._live.host_activity(row.key) if self._live is not None else None


def _project(store: FrontierStore, name: str) -> tuple[str, int]:
    """Name and number of the project called *name*, or of the only one. Raises :class:`StoreError` if there is none."""
    known = {kept.partition("/")[2]: int(number) for kept, number in store.metas("project/").items()}
    if name not in known and len(known) != 1:
        raise StoreError(f"the frontier has no project `{name}`; known: {', '.join(known) or 'none'}")
    found = name if name in known else next(iter(known))
    return found, known[found]


def _due_at(place: bytes) -> float:
    """The wall time that the place of a scheduled URI tells."""
    return int.from_bytes(place[_DUE_TIME], "big") / 1000


def _tries(row: UriRow) -> str:
    """How often a failed URI was tried, and the status of the last answer."""
    tries = f"tried {row.attempt + 1:,} times" if row.attempt else "tried once"
    return f"{tries}, the answer had status {row.status}" if row.status else tries
