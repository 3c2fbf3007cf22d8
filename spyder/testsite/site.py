"""A generated site on loopback, served by a process of its own: for tests and for ``spyder bench``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

import msgspec

from spyder.testsite.plan import SitePlan

#: Seconds that the server may take to end before it is ended.
_PATIENCE = 5.0


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is told first."""

    plan: SitePlan
    hosts_by: str
    port: int
    keeps_log: bool


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is asked."""

    has_hits: bool = True
    has_log: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was answered."""

    host: int  #: number of the host
    path: str
    status: int
    at: float  #: seconds of the machine's monotonic clock


class SiteReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the server has seen so far."""

    hits: dict[int, int]  #: requests by page
    others: dict[str, int]  #: requests for what isn't there, by path
    requests: int
    first_at: float | None  #: seconds of the machine's monotonic clock
    last_at: float | None
    connections: tuple[int, ...]  #: most connections open at the same time, by host
    concurrent: tuple[int, ...]  #: most requests under way at the same time, by host; counted when there is a latency
    cpu: float  #: seconds of CPU time of the server
    log: tuple[Request, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says."""

    origins: tuple[str, ...] = ()
    report: SiteReport | None = None
    error: str = ""


class LocalSite:
    """A site of *pages* pages on *hosts* hosts, each page reachable from its host's seed; deterministic.

    ::

        with LocalSite(pages=1000, hosts=4, size=8000, links=20) as site:
            crawl(site.seeds)
            assert site.hits() == dict.fromkeys(site.urls(), 1)

    *size* is in bytes. Hosts are the loopback addresses 127.0.0.1, 127.0.0.2 ... at one port, or with
    ``hosts_by="port"`` ports of 127.0.0.1. With *error_every* each so many-th page of a host answers 503 at the first
    time; each answer takes *latency* seconds. With *keeps_log* every request is kept, for :meth:`log`.

    *port* is any free one unless it is given. *prefix* stands before the server's command, so that ``("ip", "netns",
    "exec", name)`` serves the site on the loopback of a network namespace. What the server remembers grows with the
    number of pages, 8 bytes each, and not with the number of requests, unless it keeps the log; :meth:`urls` and
    :meth:`hits` make a text of each page, so with millions of pages rather ask for ``report(has_hits=False)``.
    """

    def __init__(self, pages: int = 1000, *, hosts: int = 1, size: int = 8000, links: int = 20, error_every: int = 0,
                 latency: float = 0.0, hosts_by: Literal["address", "port"] = "address", port: int = 0,
                 prefix: Sequence[str] = (), keeps_log: bool = False) -> None:
        self.plan = SitePlan(pages=pages, hosts=hosts, size=size, links=links, error_every=error_every, latency=latency)
        if port and hosts_by == "port":
            raise ValueError("hosts that are ports can't all have the same one")
        self._start = Start(plan=self.plan, hosts_by=hosts_by, port=port, keeps_log=keeps_log)
        self._command = [*prefix, sys.executable, "-m", "spyder.testsite.server"]
        self._process: subprocess.Popen[bytes] | None = None
        self.origins: tuple[str, ...] = ()  #: ``http://address:port`` of each host

    def __enter__(self) -> Self:
        """Start the server. Raises :class:`OSError` when it can't listen."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.origins = self._ask(self._start).origins
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """End the server."""
        self.close()

    def close(self) -> None:
        """End the server, if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    @property
    def seeds(self) -> tuple[str, ...]:
        """One URL for each host, from which all its pages are reached."""
        return tuple(f"{origin}/" for origin in self.origins)

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._process is not None, "the site is not being served"
        return self._process.pid

    def url(self, page: int) -> str:
        """URL of a page by its number, 0 to ``pages - 1``."""
        return self.origins[page % self.plan.hosts] + self.plan.path(page)

    def urls(self) -> set[str]:
        """The URLs of all pages."""
        return {self.url(page) for page in range(self.plan.pages)}

    def report(self, *, has_hits: bool = True, has_log: bool = False) -> SiteReport:
        """What the server has seen so far, by numbers of pages and hosts."""
        report = self._ask(Question(has_hits=has_hits, has_log=has_log)).report
        assert report is not None
        return report

    def hits(self) -> dict[str, int]:
        """How often each URL was asked for; pages that weren't are left out, as is what isn't there."""
        return {self.url(page): count for page, count in self.report().hits.items()}

    def log(self) -> list[tuple[str, float]]:
        """Every request in order: its URL, and seconds of the machine's monotonic clock. Needs *keeps_log*."""
        if not self._start.keeps_log:
            raise ValueError("the site keeps no log: LocalSite(..., keeps_log=True)")
        return [(self.origins[request.host] + request.path, request.at)
                for request in self.report(has_hits=False, has_log=True).log]

    def connections(self) -> dict[str, int]:
        """The most connections that were open to each host at the same time, by its seed."""
        return dict(zip(self.seeds, self.report(has_hits=False).connections, strict=True))

    def _ask(self, message: Start | Question) -> Answer:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(msgspec.json.encode(message) + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        answer = msgspec.json.decode(line, type=Answer) if line else Answer(error="the site's server died")
        if answer.error:
            raise OSError(f"no local site: {answer.error}")
        return answer
