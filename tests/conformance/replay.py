"""Recorded answers of servers, sent byte for byte to the transport: what it makes of each."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Mapping
from functools import cache

from conformance.verdicts import Row, Verdict, rows
from spyder.fetch.dns import Resolver
from spyder.fetch.guard import Guard
from spyder.fetch.transport import Transport
from spyder.model.clock import SystemClock
from spyder.model.records import CrawlUri, Page
from spyder.model.states import ErrorKind
from spyder.settings import DnsSection, FetchSection, GuardSection

FILES = ("http_curl.jsonl", "http_framing.jsonl")

_BODY = b"x" * 42  #: what WPT's server sends behind the fields
_TIMEOUT = 30.0  #: seconds in which each fetch ends by itself
_SETTINGS = FetchSection(connections=1, timeout=20.0, first_byte_timeout=10.0)
_BY_STATUS = {ErrorKind.HTTP_4XX, ErrorKind.HTTP_5XX, ErrorKind.HTTP_429}

Answer = tuple[Page, bytes]


class _Server:
    """Sends what belongs to the path that is asked for, and closes."""

    def __init__(self, replies: Mapping[str, bytes]) -> None:
        self._replies = replies

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._replies[request.split(b" ")[1].decode().strip("/")])
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):  # the client has had enough
            pass
        finally:
            writer.close()


async def _fetched(replies: Mapping[str, bytes]) -> dict[str, Answer]:
    clock, loop = SystemClock(), asyncio.get_running_loop()
    transport = Transport(_SETTINGS, clock=clock, guard=Guard(GuardSection(policy="off")), loop=loop,
                          resolver=Resolver(DnsSection(), clock=clock, loop=loop))
    answers = {}
    try:
        async with _Server(replies) as url:
            for name in replies:
                future: asyncio.Future[Answer] = loop.create_future()
                transport.fetch(CrawlUri(lease=1, key=b"k", url=url + name),
                                lambda page, body, future=future: future.set_result((page, body)))
                answers[name] = await asyncio.wait_for(future, _TIMEOUT)
    finally:
        transport.close()
    return answers


def replay(replies: Mapping[str, bytes]) -> dict[str, Answer]:
    """What the transport makes of each reply, one fetch for each on a connection of its own."""
    return asyncio.run(_fetched(replies))


def is_complete(page: Page) -> bool:
    """True when the whole answer was read and nothing was wrong with it but, perhaps, its status."""
    return page.failure is None or (page.failure.kind in _BY_STATUS and "; body: " not in page.failure.detail)


def _raw(row: Row) -> bytes:
    """What the server of a row sends."""
    match row.get("kind", "curl"):
        case "content_length":
            return b"HTTP/1.1 200 OK\r\n" + row["headers"].encode("latin-1") + b"\r\n\r\n" + _BODY
        case "status_line":
            return row["status_line"].encode("latin-1") + b"\r\nContent-Type: text/plain\r\n\r\n" + _BODY
        case _:
            return base64.b64decode(row["raw_b64"])


def _framing(row: Row, page: Page, body: bytes) -> tuple[bool, object]:
    """Whether the answer is as WPT says, and what it should be."""
    match row["kind"]:
        case "content_length":
            expected = row["expected_length"]
            is_whole = page.failure is None and len(body) == expected
            return (not is_complete(page) if expected is None else is_whole), expected
        case "status_line":
            expected = row["expected_status"]
            is_refused = page.failure is not None and page.failure.kind is ErrorKind.PROTOCOL
            return (is_refused if expected is None else page.status == expected), expected
        case _:
            return (not is_complete(page) or (page.status, body[:5]) == (200, b"Test.")), row["expected"]


def http_curl(answers: Mapping[str, Answer]) -> Iterator[Verdict]:
    """curl's own cases: complete, or not."""
    for row in rows("http_curl.jsonl"):
        page, body = answers[row["id"]]
        is_right = is_complete(page) == row["expect"].startswith("complete")
        yield _verdict("http_curl.jsonl", row, row["grade"], is_right, row["name"], row["expect"], page, body)


def http_framing(answers: Mapping[str, Answer]) -> Iterator[Verdict]:
    """WPT's cases: what browsers make of answers that are none, or almost."""
    for row in rows("http_framing.jsonl"):
        page, body = answers[row["id"]]
        is_right, expected = _framing(row, page, body)
        what = re.sub(r"\s+", " ", row.get("headers") or row.get("status_line") or row.get("variant", ""))
        yield _verdict("http_framing.jsonl", row, "should", is_right, what, expected, page, body)


def _verdict(file: str, row: Row, grade: str, is_right: bool, what: str, expected: object, page: Page,
             body: bytes) -> Verdict:
    got = (page.status, None if page.failure is None else (page.failure.kind, page.failure.detail), body[:60])
    return Verdict(file=file, id=row["id"], grade=grade, is_right=is_right, what=f"{what} | {expected!r} | {got!r}")


@cache
def http_verdicts(file: str) -> tuple[Verdict, ...]:
    """All verdicts of a file."""
    answers = replay({row["id"]: _raw(row) for row in rows(file)})
    return tuple((http_curl if file == FILES[0] else http_framing)(answers))
