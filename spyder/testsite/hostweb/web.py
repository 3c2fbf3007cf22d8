"""The web of hosts as a test has it: its process, its URLs, its log, and the settings that its addresses need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from spyder.testsite.hostweb.plan import Does, HostPlan, WebPlan
from spyder.testsite.hostweb.verdict import WebConnection, WebRequest, WebRules, verdict

#: Seconds that the server may take to end before it is ended.
_PATIENCE = 5.0
#: Bytes of a message's length on the pipe.
_LENGTH = 4


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is asked."""

    has_log: bool = False


class WebReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the server has seen so far."""

    count: int = 0  #: requests
    requests: tuple[WebRequest, ...] = ()  #: in the order of their starts
    connections: tuple[WebConnection, ...] = ()
    lag: float = 0.0  #: seconds by which the server's own timers were late, at the most
    cpu: float = 0.0  #: seconds of CPU time of the server


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says."""

    port: int = 0
    report: WebReport | None = None
    error: str = ""


def send(pipe: IO[bytes], message: WebPlan | Question | Answer) -> None:
    """Write *message* to a pipe, behind its length."""
    data = msgspec.msgpack.encode(message)
    pipe.write(len(data).to_bytes(_LENGTH, "big") + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes:
    """The next message from a pipe; empty at its end."""
    return pipe.read(int.from_bytes(pipe.read(_LENGTH), "big"))


class HostWeb:
    """*hosts* hosts on loopback, each with robots rules, delays, errors and pages of its own, and a log of it all.

    ::

        with HostWeb(hosts=2000) as web:
            crawl(web.seeds, settings=web.settings())
            assert web.verdict(WebRules(delay=1.0)) == []
            assert web.missed() == set()

    Of the hosts *shared* per cent have names, *per_address* of them to an address; of the others every third has a
    name. *pages* are those of a host at the most, beside its first and its private ones. *crawl_delay* (seconds) is
    the longest that a robots.txt asks for, *latency* (seconds) the longest that an answer takes, *seed* that of all
    choices. *agent* is the product token for which some hosts have rules. Linux only, where all of 127.0.0.0/8 is
    loopback.
    """

    def __init__(self, hosts: int = 2000, *, pages: int = 2, seed: int = 1, shared: int = 30, per_address: int = 10,
                 crawl_delay: float = 0.6, latency: float = 0.03, agent: str = "spyder") -> None:
        self.plan = WebPlan(hosts=hosts, pages=pages, seed=seed, shared=shared, per_address=per_address,
                            crawl_delay=crawl_delay, latency=latency, agent=agent)
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        """Start the server. Raises :class:`OSError` when it can't listen."""
        self._process = subprocess.Popen([sys.executable, "-m", "spyder.testsite.hostweb.server"],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self._port = self._ask(self.plan).port
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
    def hosts(self) -> tuple[HostPlan, ...]:
        """All hosts, by their numbers."""
        return self.plan.all

    @property
    def seeds(self) -> tuple[str, ...]:
        """The first page of each host, from which all others are reached."""
        return tuple(self.url(host, "/") for host in self.hosts)

    def settings(self) -> dict[str, dict[str, Any]]:
        """What a crawl needs to reach these hosts: their names, and leave to connect to their addresses."""
        return {"dns": {"hosts": dict(self.plan.names)}, "guard": {"allow_private": ["127.0.0.0/8"]}}

    def url(self, host: HostPlan, path: str) -> str:
        """URL of *path* at *host*."""
        return f"http://{host.name}:{self._port}{path}"

    def allowed(self) -> set[str]:
        """The URLs that a crawl must fetch."""
        return {self.url(host, path) for host, path, _ in self._pages() if host.is_allowed(path)}

    def forbidden(self) -> set[str]:
        """The URLs that are linked to, and that no crawl may fetch."""
        return {self.url(host, path) for host, path, _ in self._pages() if not host.is_allowed(path)}

    def statuses(self) -> dict[str, int]:
        """The status with which each of the :meth:`allowed` URLs answers in the end."""
        last = {Does.MISSING: 404, Does.MOVED: 302, Does.LURES: 302}
        return {self.url(host, path): last.get(does, 200) for host, path, does in self._pages()
                if host.is_allowed(path)}

    def report(self, *, has_log: bool = False) -> WebReport:
        """What the server has seen so far; the log only when asked for."""
        report = self._ask(Question(has_log=has_log)).report
        assert report is not None
        return report

    def verdict(self, rules: WebRules) -> list[str]:
        """What the crawler did that it must not, a line each; empty when it kept all *rules* and robots.txt."""
        return verdict(self.hosts, self.report(has_log=True).requests, rules)

    def missed(self) -> set[str]:
        """The URLs that may be fetched, and that have not yet given the answer that they give in the end."""
        given = {(self.url(self.hosts[request.host], request.path), request.status)
                 for request in self.report(has_log=True).requests}
        return {url for url, status in self.statuses().items() if (url, status) not in given}

    def _pages(self) -> Iterator[tuple[HostPlan, str, Does]]:
        return ((host, path, does) for host in self.hosts for path, does in host.pages)

    def _ask(self, message: WebPlan | Question) -> Answer:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        send(process.stdin, message)
        data = receive(process.stdout)
        answer = msgspec.msgpack.decode(data, type=Answer) if data else Answer(error="its server died")
        if answer.error:
            raise OSError(f"no web of hosts: {answer.error}")
        return answer


