"""HTTP/2 servers that attack: each fetch ends in time with a reason, and the next one goes well."""

import asyncio
import contextlib
import resource
import struct

import pytest
from loopback import Server, fetch_all, new_transport

from spyder.model.states import ErrorKind
from spyder.settings import FetchSection

# RFC 9113, section 6
DATA, HEADERS, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
STATUS_200 = b"\x88"  # RFC 7541, appendix A
FLOOD = 500_000  #: bytes written at a time


def frame(kind, payload=b"", *, flags=0, stream=1):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field without indexing (RFC 7541, section 6.2.2), of less than 127 bytes each."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def bomb():
    """One large field in the table, and then thousands of references to it (RFC 7541, section 6.2.1)."""
    return STATUS_200 + b"\x40\x01x\x7f\x81\x1f" + b"v" * 4096 + b"\xbe" * 16_000


GOOD = frame(HEADERS, STATUS_200, flags=END_HEADERS) + frame(DATA, b"page", flags=END_STREAM)

#: What the server sends once, what it repeats for ever, and the kinds of failure that the fetch may end with.
ATTACKS = {
    "endless continuation": (frame(HEADERS, STATUS_200), frame(CONTINUATION, literal(b"a", b"b" * 100)),
                             {ErrorKind.RESET, ErrorKind.PROTOCOL, ErrorKind.HEADER_LIMIT}),
    "endless empty continuation": (frame(HEADERS, STATUS_200), frame(CONTINUATION),
                                   {ErrorKind.RESET, ErrorKind.PROTOCOL, ErrorKind.TIMEOUT}),
    "flood of goaway": (b"", frame(GOAWAY, struct.pack(">II", 0x7FFFFFFF, 0), stream=0),
                        {ErrorKind.RESET, ErrorKind.PROTOCOL, ErrorKind.TIMEOUT}),
    "flood of resets": (b"", frame(RST, struct.pack(">I", 8)), {ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "flood of pings": (b"", frame(PING, b"12345678", stream=0), {ErrorKind.RESET, ErrorKind.PROTOCOL,
                                                                 ErrorKind.TIMEOUT}),
    "flood of settings": (b"", frame(SETTINGS, struct.pack(">HI", 3, 100), stream=0),
                          {ErrorKind.RESET, ErrorKind.PROTOCOL, ErrorKind.TIMEOUT}),
    "flood of windows": (b"", frame(WINDOW, struct.pack(">I", 1), stream=0),
                         {ErrorKind.RESET, ErrorKind.PROTOCOL, ErrorKind.TIMEOUT}),
    "flood of empty data": (frame(HEADERS, STATUS_200, flags=END_HEADERS), frame(DATA),
                            {ErrorKind.RESET, ErrorKind.PROTOCOL, ErrorKind.TIMEOUT}),
    "flood of informational heads": (b"", frame(HEADERS, b"\x08\x03103" + literal(b"a", b"b"), flags=END_HEADERS),
                                     {ErrorKind.HEADER_LIMIT, ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "flood of unknown frames": (b"", frame(200, b"x" * 1000), {ErrorKind.RESET, ErrorKind.PROTOCOL,
                                                               ErrorKind.TIMEOUT}),
    "endless body": (frame(HEADERS, STATUS_200, flags=END_HEADERS), frame(DATA, b"x" * 16_000),
                     {ErrorKind.BODY_LIMIT, ErrorKind.RESET, ErrorKind.PROTOCOL}),  # also beyond its window
    "header bomb": (frame(HEADERS, bomb()[:16_000]) + frame(CONTINUATION, bomb()[16_000:], flags=END_HEADERS), b"",
                    {ErrorKind.HEADER_LIMIT, ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "push": (frame(PUSH, struct.pack(">I", 2) + STATUS_200, flags=END_HEADERS), b"",
             {ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "one reset": (frame(RST, struct.pack(">I", 2)), b"", {ErrorKind.RESET}),
    "goaway for this stream": (frame(GOAWAY, struct.pack(">II", 0, 0), stream=0), b"", {ErrorKind.RESET,
                                                                                       ErrorKind.PROTOCOL}),
    "goaway with an error": (frame(GOAWAY, struct.pack(">II", 0, 2), stream=0), b"",
                             {ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "headers of a stream that is none": (frame(HEADERS, STATUS_200, flags=END_HEADERS, stream=2), b"",
                                         {ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "garbage": (b"x" * 10_000, b"", {ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "broken compression": (frame(HEADERS, b"\xff" * 100, flags=END_HEADERS), b"",
                           {ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "no status": (frame(HEADERS, literal(b"a", b"b"), flags=END_HEADERS), b"", {ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "status twice": (frame(HEADERS, STATUS_200 * 2, flags=END_HEADERS), b"", {ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "data before the head": (frame(DATA, b"x"), b"", {ErrorKind.RESET, ErrorKind.PROTOCOL}),
    "fewer bytes than announced": (
        frame(HEADERS, STATUS_200 + literal(b"content-length", b"9"), flags=END_HEADERS)
        + frame(DATA, b"half", flags=END_STREAM), b"", {ErrorKind.TRUNCATED, ErrorKind.RESET, ErrorKind.PROTOCOL}),
}


class Attacker:
    """Speaks as much HTTP/2 as it takes to be asked for a page; then it sends *once*, and *again* without end."""

    def __init__(self, once, again):
        self._once, self._again = once, again
        self._tasks, self._writers = set(), []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.wait(self._tasks, timeout=5)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(24)
            writer.write(frame(SETTINGS, stream=0))
            kind = None
            while kind != HEADERS:
                head = await reader.readexactly(9)
                kind = head[3]
                await reader.readexactly(int.from_bytes(head[:3], "big"))
            writer.write(frame(SETTINGS, flags=1, stream=0) + self._once)
            await writer.drain()
            while self._again:
                writer.write(self._again * (FLOOD // len(self._again)))
                await writer.drain()
                await asyncio.sleep(0)  # a flood into a buffer never waits: the client is on this very loop
            await reader.read()
        writer.close()


@pytest.mark.parametrize("attack", ATTACKS)
def test_given_an_attack_then_the_fetch_ends_in_time_and_the_next_one_is_well(attack):
    once, again, kinds = ATTACKS[attack]

    async def main():
        settings = FetchSection(http_version="2-prior-knowledge", timeout=2.0, first_byte_timeout=1.5, connections=1,
                                max_wire_size=1_000_000)
        async with Attacker(once, again) as attacker, Attacker(GOOD, b"") as good:
            transport = new_transport(settings)
            try:
                return await asyncio.wait_for(fetch_all(transport, attacker.url, good.url), 20)
            finally:
                transport.close()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (page, body), (after, good_body) = asyncio.run(main())
    assert page.failure.kind in kinds, page.failure
    assert page.failure.detail
    assert body == b""
    assert page.elapsed < 15
    assert (after.failure, after.http_version, good_body) == (None, "2", b"page")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_given_a_server_that_speaks_no_http2_then_the_fetch_ends_in_time_and_says_so():
    async def main():
        async with Server(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage") as server:
            transport = new_transport(FetchSection(http_version="2-prior-knowledge", timeout=2.0))
            try:
                return await fetch_all(transport, server.url)
            finally:
                transport.close()
    [(page, _)] = asyncio.run(main())
    assert page.failure.kind in {ErrorKind.PROTOCOL, ErrorKind.RESET, ErrorKind.TIMEOUT}
    assert "HTTP/2" in page.failure.detail
