"""The process that serves the hostile site: connections that are answered by the functions of the catalogue.

Started by :class:`spyder.testing.HostileSite` as ``python -m spyder.testsite.hostile.server``. Standard input brings
the names of behaviours, then one question a line; standard output takes one answer a line, all of it JSON. The end of
standard input ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import ssl
import struct
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from spyder import runtime
from spyder.model.clock import SystemClock
from spyder.testsite.hostile import catalogue, certificates
from spyder.testsite.hostile.behaviour import Behaviour, Door, answer
from spyder.testsite.hostile.site import Answer, HostileReport, HostileRequest, Question, Start

#: Bytes of a request's head at the most.
_HEAD_LIMIT = 65_536
#: Seconds after which any exchange ends: a crawler that waits that long has failed its test.
_LONGEST = 120.0
_PORT_ATTEMPTS = 50
_READ = 65_536
_MISSING = answer(b"Not found\n", status="404 Not Found", kind="text/plain")
_GOOD = {"/good/1": "", "/good/2": '<a href="/good/3">on</a>', "/good/3": ""}


class Book:
    """What was asked for."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self.requests: list[HostileRequest] = []
        self.trespasses: list[str] = []
        self.mistakes: list[str] = []

    def note(self, name: str, path: str) -> int:
        """A request, at its arrival; how many there were for *path* at this host, with this one."""
        self.requests.append(HostileRequest(name=name, path=path, at=self._clock.monotonic()))
        self._counts[name, path] += 1
        return self._counts[name, path]

    def report(self) -> HostileReport:
        """All of it."""
        return HostileReport(requests=tuple(self.requests), trespasses=tuple(self.trespasses),
                             mistakes=tuple(self.mistakes))


class Peer:
    """One connection: an :class:`spyder.testsite.hostile.behaviour.Exchange` for each of its requests."""

    def __init__(self, behaviour: Behaviour, places: Mapping[str, str], book: Book, reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter) -> None:
        self.path = ""
        self.count = 0
        self.origin = places["here"]
        self.places = places
        self.is_kept = True
        self._behaviour = behaviour
        self._book = book
        self._reader = reader
        self._writer = writer

    async def request(self) -> bool:
        """Read the next request; False when there is none."""
        try:
            data = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False
        words = data.partition(b"\r\n")[0].decode("latin-1").split(" ")
        self.path = words[1] if len(words) == 3 else "/"
        self.count = self._book.note(self._behaviour.name, self.path)
        self.is_kept = False
        return True

    async def send(self, data: bytes) -> None:
        """Send, and let others have their turn."""
        if self._writer.is_closing():
            raise ConnectionResetError("the peer has left")
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    async def pause(self, seconds: float) -> None:
        """Wait, and notice when the peer leaves."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.silence()
                raise ConnectionResetError("the peer has left")

    async def silence(self) -> None:
        """Until the peer leaves."""
        while await self._reader.read(_READ):
            pass

    async def read(self, size: int) -> bytes:
        """Exactly *size* bytes."""
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the peer has left") from None

    def ask(self) -> None:
        """Count a request of which only the function knows."""
        self._book.note(self._behaviour.name, "")

    def reset(self) -> None:
        """A reset instead of an orderly end (socket(7), SO_LINGER)."""
        wire = self._writer.get_extra_info("socket")
        if wire is not None:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def keep(self) -> None:
        """Another request may follow."""
        self.is_kept = True

    def cut(self) -> None:
        """End without a word of TLS."""
        self._writer.transport.abort()


class Server:
    """All listeners of the site."""

    def __init__(self, start: Start) -> None:
        self.book = Book()
        self._behaviours = catalogue.chosen(start.names)
        self._folder = Path(start.folder)
        self._places: dict[str, Mapping[str, str]] = {}

    async def listen(self) -> Answer:
        """Open all of them; where they are. Raises :class:`OSError`."""
        contexts = await asyncio.to_thread(self._contexts)
        sockets = _listen([*map(catalogue.address_of, self._behaviours), catalogue.BYSTANDER, catalogue.CANARY,
                           catalogue.MORE_CANARIES[0]])
        port: int = sockets[0].getsockname()[1]
        doors = {}
        for behaviour, wire in zip(self._behaviours, sockets, strict=False):
            door = behaviour.door
            if door is not None:
                behind = _bound(catalogue.address_of(behaviour), 0)
                doors[behaviour.name] = behind.getsockname()[1]
                await self._open(behaviour, behind, door, contexts.get(_kind(door)))
            self._places[behaviour.name] = catalogue.places(behaviour, port=port, door=doors.get(behaviour.name, 0))
            await self._open(behaviour, wire, None, None)
        await asyncio.start_server(self._stand_by, sock=sockets[-3], limit=_HEAD_LIMIT)
        for wire in sockets[-2:]:
            await asyncio.start_server(self._trespass, sock=wire)
        with contextlib.suppress(OSError):  # a machine without IPv6
            await asyncio.start_server(self._trespass, catalogue.MORE_CANARIES[1], port)
        return Answer(port=port, doors=doors)

    def _contexts(self) -> dict[tuple[str, tuple[str, ...], bool], ssl.SSLContext]:
        """A TLS context for each kind of door; certificates are made for the addresses that need them."""
        doors = [(one, one.door) for one in self._behaviours if one.door is not None and one.door.certificate]
        if not doors:
            return {}
        made = certificates.make(self._folder, [catalogue.address_of(one) for one, _ in doors])
        return {_kind(door): _context(door, made[door.certificate]) for _, door in doors}

    async def _open(self, behaviour: Behaviour, wire: socket.socket, door: Door | None,
                    context: ssl.SSLContext | None) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = Peer(behaviour, self._places[behaviour.name], self.book, reader, writer)
            try:
                async with asyncio.timeout(_LONGEST):
                    await self._attend(behaviour, peer, door)
            except (OSError, TimeoutError):
                pass
            except Exception as error:  # noqa: BLE001  a mistake in the catalogue, which the report must tell
                self.book.mistakes.append(f"{behaviour.name}: {type(error).__name__}: {error}")
            finally:
                writer.close()

        await asyncio.start_server(serve, sock=wire, limit=_HEAD_LIMIT, ssl=context)

    async def _attend(self, behaviour: Behaviour, peer: Peer, door: Door | None) -> None:
        """One connection, from its first byte to its last."""
        if door is not None and door.greets is not None:
            await door.greets(peer)
            return
        while peer.is_kept and await peer.request():
            path = peer.path.partition("?")[0]
            if path == "/robots.txt" and behaviour.robots is not None:
                await behaviour.robots(peer)
            elif path == "/robots.txt":
                await peer.send(_MISSING)
                peer.keep()
            elif path == "/" and door is None:
                await peer.send(_seed_page(behaviour, peer.places))
                peer.keep()
            elif path in _GOOD:
                await peer.send(answer(f"<!doctype html><title>good</title>{_GOOD[path]}"))
                peer.keep()
            else:
                await behaviour.serve(peer)

    async def _stand_by(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The host that does nothing bad: rules at ``/rules.txt``."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer("User-agent: *\nDisallow: /bad\n", kind="text/plain")
                         if b"/rules.txt " in request else _MISSING)
            await writer.drain()
        writer.close()

    async def _trespass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody came to where nobody may."""
        address = "{}:{}".format(*writer.get_extra_info("sockname")[:2])
        said = b""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                said = await reader.read(200)
        self.book.trespasses.append(f"{address}: {said.split(bytes([13]))[0].decode('latin-1')!r}")
        writer.close()


def _seed_page(behaviour: Behaviour, places: Mapping[str, str]) -> bytes:
    path = behaviour.path
    for name, origin in places.items():
        path = path.replace("{" + name + "}", origin)
    links = "".join(f'<a href="{link}">x</a>' for link in ("/good/1", path, "/good/2"))
    return answer(f"<!doctype html><title>{behaviour.name}</title>{links}")


def _kind(door: Door) -> tuple[str, tuple[str, ...], bool]:
    return door.certificate, door.protocols, door.is_ancient


def _context(door: Door, certificate: certificates.Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    if door.protocols:
        context.set_alpn_protocols(list(door.protocols))
    if door.is_ancient:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _listen(addresses: list[str]) -> list[socket.socket]:
    """A listening socket at each address, all at one port that is free."""
    for _ in range(_PORT_ATTEMPTS):
        found = [_bound(addresses[0], 0)]
        try:
            found += [_bound(address, found[0].getsockname()[1]) for address in addresses[1:]]
        except OSError as error:
            for one in found:
                one.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return found
    raise OSError(errno.EADDRINUSE, f"no port is free at {len(addresses)} addresses")


def _bound(address: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address, port))
        found.listen(256)
        found.setblocking(False)
    except OSError:
        found.close()
        raise
    return found


async def _serve() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # peers that break handshakes
    server = Server(msgspec.json.decode(await _line(), type=Start))
    _say(await server.listen())
    while line := await _line():
        msgspec.json.decode(line, type=Question)
        _say(Answer(report=server.book.report()))


async def _line() -> bytes:
    """The next line of standard input, waited for in a thread; empty at its end."""
    return await asyncio.to_thread(sys.stdin.buffer.readline)


def _say(message: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
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
