"""Judges a crawl of the web of hosts by the servers' own log: pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from spyder.testsite.hostweb.plan import HostPlan

#: Seconds within which a server notices that a reader is dead.
_NOTICED = 1.0


class WebRequest(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One request, as the server saw it; times are seconds of the machine's monotonic clock.

    What the server measures is kind to the crawler by the way between them: *start* is taken after the request was
    read, *end* before the last byte is written, so that no crawler is accused that kept its delays.
    """

    host: int
    path: str
    start: float
    end: float  #: last byte, or the connection's end when there was none; infinite while neither has come
    status: int  #: 0 when nothing was answered
    connection: int
    permits: int = -1  #: number of the host whose robots.txt was had with this answer
    is_robots: bool = False  #: asked for on behalf of a robots.txt
    retry_after: float = 0.0  #: seconds that the answer asked to wait
    is_lost: bool = False  #: the connection was reset behind the answer: nobody can say whether it was read


class WebConnection(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One connection; its host is that of its first request, -1 when there was none."""

    number: int
    host: int
    address: str
    opened: float
    closed: float  #: infinite while it is open


class WebRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the crawler had to keep, as its settings say; seconds and connections."""

    delay: float  #: from the end of a fetch to the next one of the same host
    ip_delay: float = 0.0  #: from the end of a fetch to the next one of the same address
    per_host: int = 1  #: requests of one host at the same time
    per_ip: int = 1  #: requests of one address at the same time
    max_retry_after: float = math.inf  #: what a longer Retry-After may be cut to
    #: When a crawler's process was killed (monotonic, seconds): what it had asked for ended then, although the server,
    #: which may read requests of the dead, notices later.
    deaths: tuple[float, ...] = ()
    tolerance: float = 0.005  #: two readings of a clock in two processes


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Between two fetches: how long it was, how long it had to be; seconds."""

    of: str  #: name of the host, or the address
    request: WebRequest  #: that followed
    length: float
    needed: float

    @property
    def undercut(self) -> float:
        """By how much it was too short; negative when it was long enough."""
        return self.needed - self.length


def verdict(hosts: Sequence[HostPlan], log: Iterable[WebRequest], rules: WebRules) -> list[str]:
    """What the crawler did that it must not, a line each; *hosts* are those of the plan, by their numbers."""
    requests = sorted(log, key=lambda request: request.start)
    return [*_forbidden(hosts, requests), *_too_early(hosts, requests), *_undercut(hosts, requests, rules),
            *_too_many(requests, rules.per_host, lambda request: hosts[request.host].name),
            *_too_many(requests, rules.per_ip, lambda request: hosts[request.host].address)]


def gaps(hosts: Sequence[HostPlan], log: Iterable[WebRequest], rules: WebRules) -> list[Gap]:
    """Every gap between two fetches of a host, and of an address, in the order of the fetches that follow.

    A gap runs from the end of the last fetch before to the start of the next. Where more than one may be under way it
    runs from start to start, since a fetch that is let go while another one is under way may arrive after its end.
    """
    requests = sorted(log, key=lambda request: request.start)
    permitted = _permitted(requests)
    by_host, by_address = _Line(rules.per_host, rules.deaths), _Line(rules.per_ip, rules.deaths)
    found: list[Gap] = []
    for request in requests:
        host = hosts[request.host]
        delay = host.crawl_delay if permitted.get(host.number, math.inf) <= request.start else 0.0
        found += by_host.gap(host.name, request, max(rules.delay, delay), rules.max_retry_after)
        found += by_address.gap(host.address, request, rules.ip_delay, 0.0)
    return found


class _Line:
    """The fetches of a host or an address, one after the other."""

    def __init__(self, limit: int, deaths: Sequence[float]) -> None:
        self._limit = limit
        self._deaths = deaths
        self._since: dict[str, float] = {}  # seconds
        self._asked: dict[str, float] = {}  # seconds to wait, by the last answer

    def gap(self, of: str, request: WebRequest, least: float, longest_wait: float) -> Iterator[Gap]:
        """The gap before *request*, unless there is nothing before it, or what is before it has not ended."""
        since = self._since.get(of, -math.inf)
        if -math.inf < since <= request.start:
            yield Gap(of=of, request=request, length=request.start - since,
                      needed=max(least, min(self._asked.get(of, 0.0), longest_wait)))
        self._since[of] = max(since, self._end(request) if self._limit == 1 else request.start)
        self._asked[of] = 0.0 if request.is_lost else request.retry_after

    def _end(self, request: WebRequest) -> float:
        """When *request* ended for whoever asked."""
        if request.status and not request.is_lost:
            return request.end
        return min((death for death in self._deaths if death <= request.end < death + _NOTICED), default=request.end)


def open_at_once(connections: Iterable[WebConnection], key: Callable[[WebConnection], str]) -> dict[str, int]:
    """The most connections that were open at the same time, idle ones included, by what *key* makes of each."""
    changes = sorted(((at, change, key(one)) for one in connections
                      for at, change in ((one.opened, 1), (one.closed, -1))), key=lambda entry: entry[:2])
    now: dict[str, int] = defaultdict(int)
    most: dict[str, int] = defaultdict(int)
    for _, change, name in changes:
        now[name] += change
        most[name] = max(most[name], now[name])
    return dict(most)


def _permitted(requests: Iterable[WebRequest]) -> dict[int, float]:
    """When each host's robots.txt was known first."""
    found: dict[int, float] = {}
    for request in requests:
        if request.permits >= 0 and not request.is_lost:
            found[request.permits] = min(found.get(request.permits, math.inf), request.end)
    return found


def _forbidden(hosts: Sequence[HostPlan], requests: Sequence[WebRequest]) -> Iterator[str]:
    for request in requests:
        host = hosts[request.host]
        if not request.is_robots and not host.is_allowed(request.path):
            yield f"{host.name}{request.path} was fetched, which robots.txt ({host.robots.value}) forbids"


def _too_early(hosts: Sequence[HostPlan], requests: Sequence[WebRequest]) -> Iterator[str]:
    permitted = _permitted(requests)
    for request in requests:
        name = f"{hosts[request.host].name}{request.path}"
        known = permitted.get(request.host)
        if request.is_robots:
            continue
        if known is None:
            yield f"{name} was fetched, and robots.txt never had"
        elif request.start < known:
            yield f"{name} was fetched {known - request.start:.3f} s before robots.txt was had"


def _undercut(hosts: Sequence[HostPlan], requests: Sequence[WebRequest], rules: WebRules) -> Iterator[str]:
    for gap in gaps(hosts, requests, rules):
        if gap.undercut > rules.tolerance:
            yield (f"{gap.of}: {gap.length:.3f} s before {gap.request.path}, not the {gap.needed:g} s that it takes "
                   f"(at {gap.request.start:.3f})")


def _too_many(requests: Sequence[WebRequest], limit: int, key: Callable[[WebRequest], str]) -> Iterator[str]:
    """Requests that begin while as many as there may be are under way."""
    under_way: dict[str, list[float]] = defaultdict(list)
    for request in requests:
        name = key(request)
        ends = [end for end in under_way[name] if end > request.start]
        ends.append(request.end)
        under_way[name] = ends
        if len(ends) > limit:
            yield f"{name}: {len(ends)} fetches at the same time, not {limit} (at {request.start:.3f})"
