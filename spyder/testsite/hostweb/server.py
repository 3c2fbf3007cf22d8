"""The process that serves the web of hosts: quick enough to keep exact times, with a log of requests and connections.

Started by :class:`spyder.testing.HostWeb` as ``python -m spyder.testsite.hostweb.server``. Standard input brings the
plan, then questions; standard output takes an answer to each, MessagePack behind its length. The end of standard input
ends it.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import resource
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import cast

import msgspec

from spyder import runtime
from spyder.model.clock import SystemClock, cpu_seconds
from spyder.testsite.hostweb.plan import Does, HostPlan, Robots, WebPlan
from spyder.testsite.hostweb.verdict import WebConnection, WebRequest
from spyder.testsite.hostweb.web import Answer, Question, WebReport, receive, send

_PORT_ATTEMPTS = 50
_HEAD_LIMIT = 65_536
#: Seconds between two looks at how late the loop is.
_LOOK = 0.05
#: Seconds that a connection which the reader has closed stays open, to see whether there was a reader.
_FAREWELL = 0.1
_PRIVATE = b"Disallow: /private/\nAllow: /private/open\n"
_KINDS = {404: "Not Found", 200: "OK", 302: "Found", 403: "Forbidden", 429: "Too Many Requests",
          503: "Service Unavailable", 400: "Bad Request"}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered; *status* 0 closes the connection without an answer, -1 is no answer at all."""

    status: int
    body: bytes = b""
    kind: str = "text/html"
    location: str = ""
    permits: int = -1
    is_robots: bool = False
    retry_after: int = 0

    def data(self) -> bytes:
        """As it is sent."""
        more = f"Location: {self.location}\r\n" if self.location else ""
        more += f"Retry-After: {self.retry_after}\r\n" if self.retry_after else ""
        return (f"HTTP/1.1 {self.status} {_KINDS[self.status]}\r\nContent-Type: {self.kind}\r\n{more}"
                f"Content-Length: {len(self.body)}\r\n\r\n").encode() + self.body


class Web:
    """What each host answers."""

    def __init__(self, plan: WebPlan, port: int) -> None:
        self._plan = plan
        self._port = port
        self._asked: Counter[tuple[int, str]] = Counter()
        self.by_name = {host.name: host for host in plan.all}
        self._pages = [dict(host.pages) for host in plan.all]

    def reply(self, host: HostPlan, path: str) -> Reply:
        """The answer to a request for *path*."""
        self._asked[host.number, path] += 1
        is_first = self._asked[host.number, path] == 1
        if path == "/robots.txt":
            return self._robots(host, is_first=is_first)
        if path == "/rules.txt" and host.robots is Robots.MOVED:
            return self._rules(host)
        if path.startswith("/rules-for-") and path[11:].isdecimal() and int(path[11:]) < self._plan.hosts:
            return self._rules(self._plan.all[int(path[11:])])
        does = self._pages[host.number].get(path)
        match does:
            case None | Does.MISSING:
                return Reply(status=404)
            case Does.BUSY_ONCE if is_first:
                return Reply(status=503)
            case Does.SLOWER if is_first:
                return Reply(status=429, retry_after=1)
            case Does.BREAKS_ONCE if is_first:
                return Reply(status=0)
            case Does.MOVED:
                return Reply(status=302, location="/")
            case Does.LURES:
                return Reply(status=302, location="/private/secret")
        return self._page(host, path)

    def _page(self, host: HostPlan, path: str) -> Reply:
        links = [*self._plan.links(host, path)]
        if path == "/":
            links += [f"http://{other.name}:{self._port}/" for other in self._plan.neighbours(host)]
        anchors = "".join(f'<a href="{link}">x</a>\n' for link in links)
        text = f"<!doctype html><title>{host.name}{path}</title><p>Page {path} of {host.number}.</p>\n{anchors}"
        return Reply(status=200, body=text.encode())

    def _robots(self, host: HostPlan, *, is_first: bool) -> Reply:
        permits = host.number
        match host.robots:
            case Robots.NONE:
                return Reply(status=404, permits=permits, is_robots=True)
            case Robots.DENIED:
                return Reply(status=403, permits=permits, is_robots=True)
            case Robots.BUSY_ONCE if is_first:
                return Reply(status=503, is_robots=True)
            case Robots.BUSY:
                return Reply(status=503, is_robots=True)
            case Robots.HANGS:
                return Reply(status=-1, is_robots=True)
            case Robots.MOVED:
                return Reply(status=302, location="/rules.txt", is_robots=True)
            case Robots.ELSEWHERE:
                other = self._plan.lender(host)
                return Reply(status=302, is_robots=True,
                             location=f"http://{other.name}:{self._port}/rules-for-{host.number}")
        return self._rules(host)

    def _rules(self, host: HostPlan) -> Reply:
        match host.robots:
            case Robots.EMPTY:
                text = b""
            case Robots.NOTHING:
                text = b"User-agent: *\nDisallow: /\n"
            case Robots.OURS:
                text = (b"User-agent: *\nDisallow: /\n\nUser-agent: %s\n" % self._plan.agent.encode()) + _PRIVATE
            case Robots.DELAY:
                text = b"User-agent: *\n" + _PRIVATE + b"Crawl-delay: %s\n" % str(host.crawl_delay).encode()
            case _:
                text = b"User-agent: *\n" + _PRIVATE
        return Reply(status=200, body=text, kind="text/plain", permits=host.number, is_robots=True)


class Book:
    """The log. Open requests are kept aside until they end."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.requests: list[WebRequest] = []
        self.under_way: set[Connection] = set()
        self.connections: list[WebConnection] = []
        self.open: set[Connection] = set()
        self.count = 0
        self.numbers = 0
        self.lag = 0.0

    def report(self, *, has_log: bool) -> WebReport:
        """All of it, what is under way included."""
        if not has_log:
            return WebReport(count=self.count, lag=self.lag, cpu=cpu_seconds())
        open_requests = (one.request(math.inf) for one in self.under_way)
        requests = sorted([*self.requests, *open_requests], key=lambda request: request.start)
        connections = [*self.connections, *(one.connection(math.inf) for one in self.open)]
        return WebReport(count=self.count, requests=tuple(requests), connections=tuple(connections), lag=self.lag,
                         cpu=cpu_seconds())

    async def watch(self) -> None:
        """Note how late the loop's timers are."""
        while True:
            before = self.clock.monotonic()
            await asyncio.sleep(_LOOK)
            self.lag = max(self.lag, self.clock.monotonic() - before - _LOOK)


class Connection(asyncio.Protocol):
    """One connection: requests in, answers out, one at a time."""

    def __init__(self, web: Web, book: Book, address: str) -> None:
        self._web = web
        self._book = book
        self._address = address
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._opened = 0.0
        self._number = 0
        self._host = -1  # of the first request
        self._at = self._path_host = 0  # of the request under way
        self._path = ""
        self._start = 0.0
        self._last = -1  # place in the log of the last request that ended
        self._reply = Reply(status=-1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        book = self._book
        self._opened = book.clock.monotonic()
        book.numbers += 1
        self._number = book.numbers
        book.open.add(self)

    def eof_received(self) -> bool:
        """Book the end, and wait a little: a reader that is dead answers the last answer with a reset."""
        self._ended(self._book.clock.monotonic())
        asyncio.get_running_loop().call_later(_FAREWELL, self._close)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Book it, and whether the last answer may not have been read."""
        self._ended(self._book.clock.monotonic())
        if exc is not None:
            self._lose()
        self._transport = None

    def _close(self) -> None:
        if self._transport is not None:
            wire = self._transport.get_extra_info("socket")
            if wire.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._lose()
            self._transport.close()

    def _ended(self, now: float) -> None:
        """The connection is over, and so is the request that it cuts off."""
        if self._timer is not None:
            self._timer.cancel()
        if self in self._book.under_way:
            self._reply = Reply(status=0, is_robots=self._reply.is_robots)
            self._end(now)
        if self in self._book.open:
            self._book.open.discard(self)
            self._book.connections.append(self.connection(now))

    def _lose(self) -> None:
        if self._last >= 0:
            requests = self._book.requests
            requests[self._last] = msgspec.structs.replace(requests[self._last], is_lost=True)

    def data_received(self, data: bytes) -> None:
        """Begin with the request, once it is complete."""
        now = self._book.clock.monotonic()
        self._buffer += data
        if len(self._buffer) > _HEAD_LIMIT and self._transport is not None:
            self._transport.abort()
        elif self not in self._book.under_way:
            self._next(now)

    def _next(self, now: float) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head, self._buffer = self._buffer[:end].decode("latin-1"), self._buffer[end + 4:]
        line, *fields = head.split("\r\n")
        words = line.split(" ")
        self._path = words[1] if len(words) == 3 else ""
        name = next((field[5:].strip().rpartition(":")[0] for field in fields if field[:5].lower() == "host:"), "")
        host = self._web.by_name.get(name)
        if host is None or host.address != self._address:
            if self._transport is not None:
                self._transport.write(Reply(status=400).data())
            return
        self._host = host.number if self._host < 0 else self._host
        self._path_host = host.number
        self._start = now
        self._reply = self._web.reply(host, self._path)
        self._book.count += 1
        self._book.under_way.add(self)
        if self._reply.status >= 0:
            self._timer = asyncio.get_running_loop().call_later(host.latency, self._answer)

    def _answer(self) -> None:
        self._timer = None
        transport = self._transport
        if transport is None:
            return
        self._end(self._book.clock.monotonic())  # before the last byte: nobody can have it earlier
        if not self._reply.status:
            transport.close()
            return
        transport.write(self._reply.data())
        if self._buffer:
            self._next(self._book.clock.monotonic())

    def _end(self, now: float) -> None:
        self._book.under_way.discard(self)
        self._last = len(self._book.requests)
        self._book.requests.append(self.request(now))

    def request(self, end: float) -> WebRequest:
        """The request under way, for the log."""
        reply = self._reply
        return WebRequest(host=self._path_host, path=self._path, start=self._start, end=end,
                          status=max(reply.status, 0), connection=self._number, permits=reply.permits,
                          is_robots=reply.is_robots, retry_after=reply.retry_after)

    def connection(self, closed: float) -> WebConnection:
        """Itself, for the log."""
        return WebConnection(number=self._number, host=self._host, address=self._address, opened=self._opened,
                             closed=closed)


def _listen(addresses: Iterable[str]) -> list[socket.socket]:
    """A listening socket at each address, all at one port that is free."""
    first, *more = addresses
    for _ in range(_PORT_ATTEMPTS):
        found = [_bound(first, 0)]
        try:
            found += [_bound(address, found[0].getsockname()[1]) for address in more]
        except OSError as error:
            for one in found:
                one.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return found
    raise OSError(errno.EADDRINUSE, f"no port is free at {len(more) + 1} addresses")


def _bound(address: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address, port))
        found.listen(256)
    except OSError:
        found.close()
        raise
    return found


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    plan = msgspec.msgpack.decode(await _question(), type=WebPlan)
    addresses = list(dict.fromkeys(host.address for host in plan.all))
    _allow_files(len(addresses) + 8000)
    sockets = _listen(addresses)
    web, book = Web(plan, sockets[0].getsockname()[1]), Book()

    def factory(address: str) -> Callable[[], Connection]:
        return lambda: Connection(web, book, address)

    for address, one in zip(addresses, sockets, strict=True):
        await loop.create_server(factory(address), sock=one)
    watch = asyncio.create_task(book.watch(), name="watch over the loop")
    _say(Answer(port=sockets[0].getsockname()[1]))
    while question := await _question():
        _say(Answer(report=book.report(has_log=msgspec.msgpack.decode(question, type=Question).has_log)))
    watch.cancel()


def _allow_files(wanted: int) -> None:
    """Raise the limit of open files, as far as the system lets us; what is missing shows when listening."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def _question() -> bytes:
    """The next message on standard input, waited for in a thread; empty at its end."""
    return await asyncio.to_thread(receive, sys.stdin.buffer)


def _say(message: Answer) -> None:
    send(sys.stdout.buffer, message)


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all; our parent's end is ours
    try:
        runtime.run(_serve())
    except OSError as error:
        _say(Answer(error=str(error)))
    os._exit(0)  # connections that are still open are of no interest


if __name__ == "__main__":
    main()
