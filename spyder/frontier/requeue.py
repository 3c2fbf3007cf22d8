"""Which settled URIs are queued again: found in steps, so that a master can do other things between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from spyder.errors import SpyderError, UrlError
from spyder.frontier.frontier import Frontier
from spyder.model.records import UriRow
from spyder.model.states import UriState
from spyder.model.url import parse_seed

#: States that URIs are brought back from.
REQUEUED_FROM = (UriState.QUARANTINED, UriState.FAILED, UriState.EXCLUDED)

#: URIs queued again in one transaction, and rows looked at for them, at the most.
_BATCH, _LOOKED_AT = 512, 8192


class RequeueReport(msgspec.Struct, kw_only=True):
    """What became of a request."""

    requeued: int = 0
    unknown: list[str] = msgspec.field(default_factory=list)  #: URLs that the frontier does not know
    refused: list[str] = msgspec.field(default_factory=list)  #: a line for each URL that was named and stays as it is


class Requeuing:
    """A request that is worked off: call :meth:`step` and commit, again and again, until it says that nothing is left.

    Either *urls* are named, or all URIs of the project are meant. Of these, those count that are in one of *states*, on
    *host* (with its port, unless that is the scheme's default) if that is not empty, and whose reason contains
    *reason*. Without *states*: what is quarantined, and of named URLs also what has failed or is excluded.
    """

    def __init__(self, frontier: Frontier, *, urls: Sequence[str] = (), states: Iterable[str] = (), host: str = "",
                 reason: str = "") -> None:
        """Take a request. Raises :class:`SpyderError` when it names a state or host that is none."""
        self.report = RequeueReport()
        self._frontier = frontier
        self._urls = deque(urls)
        self._is_named = bool(urls)
        self._states = _states(states, is_named=self._is_named)
        self._reason = reason
        self._host = b""
        if host:
            self._host = frontier.host_key(host)
            if frontier.host(self._host) is None:
                raise SpyderError(f"the frontier knows no host `{host}`: `spyder frontier ls` lists them")
        self._after = self._host

    def step(self) -> bool:
        """Stage the next few; False when nothing is left to do."""
        return self._step_named() if self._is_named else self._step_all()

    def _step_named(self) -> bool:
        for _ in range(min(len(self._urls), _BATCH)):
            self._requeue_named(self._urls.popleft())
        return bool(self._urls)

    def _requeue_named(self, url: str) -> None:
        try:
            key = self._frontier.key(parse_seed(url).href)
        except UrlError as error:
            self.report.refused.append(str(error))
            return
        row = self._frontier.uri(key)
        if row is None:
            self.report.unknown.append(url)
        elif row.state in (UriState.QUEUED, UriState.SCHEDULED):
            self.report.refused.append(f"{url} is {row.state.name.lower()}: it will be fetched anyway")
        elif not (self._is_meant(key, row) and self._requeue(key)):
            reason = f" ({row.reason})" if row.reason else ""
            self.report.refused.append(f"{url} is {row.state.name.lower()}{reason}, and that was not asked for")

    def _step_all(self) -> bool:
        requeued = 0
        for looked_at, (key, row) in enumerate(self._frontier.uris(self._after)):
            if looked_at >= _LOOKED_AT or requeued >= _BATCH:
                return True
            if not key.startswith(self._host):
                return False
            self._after = key
            if self._is_meant(key, row):
                requeued += self._requeue(key)
        return False

    def _is_meant(self, key: bytes, row: UriRow) -> bool:
        return row.state in self._states and self._reason in row.reason and key.startswith(self._host)

    def _requeue(self, key: bytes) -> bool:
        is_requeued = self._frontier.requeue(key)
        self.report.requeued += is_requeued
        return is_requeued


def _states(names: Iterable[str], *, is_named: bool) -> frozenset[UriState]:
    known = {state.name.lower(): state for state in REQUEUED_FROM}
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise SpyderError(f"nothing is requeued that is `{name}`: known are {', '.join(known)}")
    if wanted:
        return frozenset(known[name] for name in wanted)
    return frozenset(REQUEUED_FROM) if is_named else frozenset({UriState.QUARANTINED})
