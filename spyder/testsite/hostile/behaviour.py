"""What one misbehaviour is: a record of what the server does and how it must end, and the means to do it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

#: Seconds that any fetch of the hostile site may take under the settings that the site recommends: the time in all,
#: the transport's looks for what is late, and a machine that is busy.
WITHIN = 20.0
#: Requests at one host, robots.txt left out, that are no surprise where nothing else is said.
MOST = 24


class Exchange(Protocol):
    """One request, as the function sees it that answers it. What it raises beyond ConnectionError is a mistake."""

    path: str  #: with the query
    count: int  #: how often this path has been asked for at this host, from 1
    origin: str  #: ``http://address:port`` that was asked
    places: Mapping[str, str]  #: origins of others, see :func:`filled`

    async def send(self, data: bytes) -> None:
        """Send *data*; waits while the peer does not read. Raises :class:`ConnectionError` when it is gone."""

    async def pause(self, seconds: float) -> None:
        """Wait; raises :class:`ConnectionError` when the peer leaves meanwhile."""

    async def silence(self) -> None:
        """Say nothing more until the peer leaves."""

    async def read(self, size: int) -> bytes:
        """Exactly *size* bytes from the peer; raises :class:`ConnectionError` when it leaves before."""

    def ask(self) -> None:
        """Count a request that the function read itself."""

    def reset(self) -> None:
        """End the connection with a TCP reset."""

    def keep(self) -> None:
        """Keep the connection open for the next request, which a behaviour does not do by itself."""

    def cut(self) -> None:
        """End the connection without TLS's closing alert (RFC 8446, section 6.1)."""


#: Answers one request; the connection is closed when it returns.
Serve = Callable[[Exchange], Awaitable[None]]
#: One step of an answer: bytes to send, seconds to wait, or ``close``, ``reset``, ``silence``.
Step = bytes | float | str


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A second listener of a behaviour's host, for what is wrong before any request."""

    scheme: str  #: by which the URL asks for it
    certificate: str = ""  #: name of a certificate, see :mod:`spyder.testsite.hostile.certificates`; empty: no TLS
    protocols: tuple[str, ...] = ()  #: that it offers by ALPN (RFC 7301)
    is_ancient: bool = False  #: TLS 1.0 only
    greets: Serve | None = None  #: instead of reading a request


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """One way to behave badly, on a host of its own, with good pages beside it.

    Ends are written as the frontier has them: ``done 200`` (state and status), ``failed timeout`` and ``excluded
    robots`` (state and reason), ``absent`` (never became a URI). With more than one, each is right.
    """

    name: str
    group: str
    does: str  #: what the server does
    ends: tuple[str, ...]  #: of :attr:`path`
    serve: Serve  #: answers all but the good pages and robots.txt
    path: str = "/bad"  #: that is asked for
    robots: Serve | None = None  #: answers robots.txt; None: 404
    also: tuple[tuple[str, tuple[str, ...]], ...] = ()  #: further URLs, see :func:`filled`, and their ends
    within: float = WITHIN  #: seconds that a fetch of :attr:`path` may take
    has_good: bool = True  #: the good pages beside it must all be crawled
    most: int = MOST  #: requests at its host at the most, robots.txt left out
    title: str | None = None  #: of the page, when it must have one
    pause: float = 0.0  #: seconds at the least between two fetches of its host
    door: Door | None = None


def filled(url: str, places: Mapping[str, str]) -> str:
    """*url* with its places filled in: ``{here}``, ``{door}``, ``{canary}`` ... are origins; see the server."""
    for name, origin in places.items():
        url = url.replace("{" + name + "}", origin)
    return url


def head(status: str = "200 OK", *fields: str, length: int | None = None, kind: str = "text/html") -> bytes:
    """An answer's head; without *length* the body ends with the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}" if kind else "", *fields,
             "" if length is None else f"Content-Length: {length}"]
    return "".join(f"{line}\r\n" for line in lines if line).encode("latin-1") + b"\r\n"


def answer(body: bytes | str = b"<title>bad</title>", *fields: str, status: str = "200 OK",
           kind: str = "text/html") -> bytes:
    """A whole answer of the right length."""
    data = body.encode() if isinstance(body, str) else body
    return head(status, *fields, length=len(data), kind=kind) + data


def steps(*parts: Step) -> Serve:
    """An answer by steps, one after the other."""
    async def serve(to: Exchange) -> None:
        for part in parts:
            match part:
                case bytes():
                    await to.send(part)
                case float():
                    await to.pause(part)
                case "reset":
                    to.reset()
                    return
                case "silence":
                    await to.silence()
                case "close":
                    return
                case _:
                    raise ValueError(f"no step of an answer: {part!r}")
    return serve


def answers(body: str = "<title>bad</title>", *fields: str, status: str = "200 OK", kind: str = "text/html") -> Serve:
    """A whole answer of the right length, with the places in it filled in."""
    async def serve(to: Exchange) -> None:
        places = to.places
        await to.send(answer(filled(body, places), *(filled(field, places) for field in fields), status=status,
                             kind=kind))
    return serve


def endless(first: bytes, again: bytes, *, pause: float = 0.0, times: int = 1_000_000) -> Serve:
    """*first*, and then *again* until the peer leaves, with *pause* seconds in between; *times* at the most."""
    async def serve(to: Exchange) -> None:
        await to.send(first)
        for _ in range(times):
            await to.send(again)
            if pause:
                await to.pause(pause)
    return serve


def by_path(pages: Mapping[str, Serve]) -> Serve:
    """Other answers for other paths (without the query); what isn't there is 404."""
    missing = steps(answer(b"Not found\n", status="404 Not Found", kind="text/plain"))

    async def serve(to: Exchange) -> None:
        await pages.get(to.path.partition("?")[0], missing)(to)
    return serve


def by_turn(*turns: Serve) -> Serve:
    """Other answers at other times; the last one stays."""
    async def serve(to: Exchange) -> None:
        await turns[min(to.count, len(turns)) - 1](to)
    return serve
