"""The process that serves a generated site: a hand-written HTTP/1.1 server, and a pipe on which it answers questions.

Started by :class:`spyder.testing.LocalSite` as ``python -m spyder.testsite.server``. Standard input brings the plan,
then one question a line; standard output takes one answer a line, all of it JSON. The end of standard input ends it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from array import array
from collections import Counter
from typing import Any, cast

import msgspec

from spyder import runtime
from spyder.model.clock import SystemClock, cpu_seconds
from spyder.testsite.plan import PageWriter, SitePlan
from spyder.testsite.site import Answer, Question, Request, SiteReport, Start

#: Bytes of a request's head at the most.
_HEAD_LIMIT = 65_536
#: Paths that are no pages which are counted one by one.
_STRANGE_LIMIT = 10_000
#: Attempts to find a port that is free at every address.
_PORT_ATTEMPTS = 50
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
_MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nNot found\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nBusy\n"
_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nConnection: close\r\n\r\nBad\n"


class Book:
    """What was asked for, and how many at the same time."""

    def __init__(self, start: Start) -> None:
        self._clock = SystemClock()
        self.hits = array("L", bytes(array("L").itemsize * start.plan.pages))
        self.strange: Counter[str] = Counter()
        self.open = [0] * start.plan.hosts
        self.most_open = [0] * start.plan.hosts
        self.active = [0] * start.plan.hosts
        self.most_active = [0] * start.plan.hosts
        self.requests: list[Request] | None = [] if start.keeps_log else None
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.count = 0

    def note(self, host: int, path: str, status: int) -> None:
        """A request, at its arrival."""
        now = self._clock.monotonic()
        if self.first_at is None:
            self.first_at = now
        self.last_at = now
        self.count += 1
        if self.requests is not None:
            self.requests.append(Request(host=host, path=path, status=status, at=now))

    def report(self, question: Question) -> SiteReport:
        """All figures; the log of requests only when asked for."""
        return SiteReport(
            hits={page: count for page, count in enumerate(self.hits) if count} if question.has_hits else {},
            others=dict(self.strange), requests=self.count, first_at=self.first_at, last_at=self.last_at,
            connections=tuple(self.most_open), concurrent=tuple(self.most_active), cpu=cpu_seconds(),
            log=tuple(self.requests or ()) if question.has_log else ())


class Connection(asyncio.Protocol):
    """One connection: requests in, answers out in order, kept alive."""

    def __init__(self, host: int, plan: SitePlan, write_page: PageWriter, book: Book) -> None:
        self._host = host
        self._plan = plan
        self._write_page = write_page
        self._book = book
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        book, host = self._book, self._host
        book.open[host] += 1
        book.most_open[host] = max(book.most_open[host], book.open[host])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Count it no more."""
        self._transport = None
        self._book.open[self._host] -= 1

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        buffer = self._buffer + data if self._buffer else data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head, buffer = buffer[:end], buffer[end + 4:]
            self._asked(head)
        self._buffer = buffer
        if len(buffer) > _HEAD_LIMIT:
            self._answer(_BAD, is_last=True)

    def _asked(self, head: bytes) -> None:
        line = head[:head.find(b"\r")] if b"\r" in head else head
        try:
            method, target, version = line.decode("ascii").split(" ")
        except ValueError:
            self._answer(_BAD, is_last=True)
            return
        answer = self._look_up(target.partition("?")[0])
        if method == "HEAD":
            answer = answer[:answer.find(b"\r\n\r\n") + 4]
        elif method != "GET":
            answer = _BAD
        is_last = version == "HTTP/1.0" or answer is _BAD or b"connection: close" in head.lower()
        if self._plan.latency:
            book = self._book
            book.active[self._host] += 1
            book.most_active[self._host] = max(book.most_active[self._host], book.active[self._host])
            asyncio.get_running_loop().call_later(self._plan.latency, self._answer_late, answer, is_last)
        else:
            self._answer(answer, is_last=is_last)

    def _look_up(self, path: str) -> bytes:
        book, page = self._book, self._plan.page_at(self._host, path)
        if page is None:
            book.note(self._host, path, 404)
            if len(book.strange) < _STRANGE_LIMIT or path in book.strange:
                book.strange[path] += 1
            return _MISSING
        book.hits[page] += 1
        if book.hits[page] == 1 and self._plan.fails_first(page):
            book.note(self._host, path, 503)
            return _BUSY
        book.note(self._host, path, 200)
        body = self._write_page(page)
        return _OK % len(body) + body

    def _answer_late(self, answer: bytes, is_last: bool) -> None:
        self._book.active[self._host] -= 1
        self._answer(answer, is_last=is_last)

    def _answer(self, answer: bytes, *, is_last: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(answer)
        if is_last:
            self._transport.close()


def _address(host: int) -> str:
    """The loopback address of *host*: 127.0.0.1, 127.0.0.2 ..."""
    return f"127.{(host + 1) >> 16}.{(host + 1) >> 8 & 255}.{(host + 1) & 255}"


def _listen(hosts: int, by: str, wanted: int) -> list[socket.socket]:
    """A listening socket for each host: an address each at one port, any unless *wanted*; or a port each."""
    if by == "port":
        return [_bound("127.0.0.1", 0) for _ in range(hosts)]
    for _ in range(1 if wanted else _PORT_ATTEMPTS):
        found = [_bound(_address(0), wanted)]
        try:
            port = found[0].getsockname()[1]
            found += [_bound(_address(host), port) for host in range(1, hosts)]
        except OSError as error:
            for one in found:
                one.close()
            if wanted or error.errno != errno.EADDRINUSE:
                raise
        else:
            return found
    raise OSError(errno.EADDRINUSE, f"no port is free at {hosts} addresses")


def _bound(address: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address, port))
        found.listen(1024)
    except OSError:
        found.close()
        raise
    return found


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    start = msgspec.json.decode(await _line(), type=Start)
    sockets = _listen(start.plan.hosts, start.hosts_by, start.port)
    origins = tuple("http://{}:{}".format(*one.getsockname()) for one in sockets)
    write_page, book = PageWriter(start.plan, origins), Book(start)

    def factory(host: int) -> Any:
        return lambda: Connection(host, start.plan, write_page, book)

    servers = [await loop.create_server(factory(host), sock=one) for host, one in enumerate(sockets)]
    _say(Answer(origins=origins))
    while line := await _line():
        question = msgspec.json.decode(line, type=Question)
        _say(Answer(report=book.report(question)))
    for server in servers:
        server.close()


async def _line() -> bytes:
    """The next line of standard input, waited for in a thread; empty at its end."""
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.readline)


def _say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


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
