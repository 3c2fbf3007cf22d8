"""Sockets with the options that the guarantee needs, and how an event loop reads them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

import zmq

from spyder.bus.auth import check_bind
from spyder.bus.garbage import Garbage
from spyder.errors import BusError
from spyder.settings import BusSection

_log = logging.getLogger(__name__)

#: Messages read from one socket before others get their turn.
_BURST = 64
#: Seconds between looks at a socket whose wake-up might have been missed; its descriptor is edge-triggered.
_SAFETY_LOOK = 0.5
#: Seconds between attempts to send what a socket did not take.
_SEND_RETRY = 0.005
#: Seconds of silence that TCP bears at the least, however quick the heartbeats are.
_LEAST_SILENCE = 1.0
#: Frames of the longest message of the protocol, and one more; what comes beyond that is thrown away.
_FRAMES = 3
#: Frames of one message that are thrown away before others get their turn.
_SURPLUS = 200
#: Bytes of a message to a PUB socket: a subscription is a byte and a topic. A PUSH socket gets none but a handshake.
_MAX_SUBSCRIPTION, _MAX_HANDSHAKE = 2048, 256
#: Sockets of a process at the most: a master has one for each worker, and ZeroMQ's own limit is 1023.
_MAX_SOCKETS = 16_384
#: Longest path of a UNIX socket, without the closing zero (sockaddr_un on Linux).
_IPC_PATH_MAX = 107

Socket = zmq.Socket[bytes]
Frames = list[bytes]


class Sockets:
    """Opens the sockets of one process and closes them all; the one owner of its ZeroMQ context."""

    def __init__(self, settings: BusSection, *, context: zmq.Context[Socket] | None = None) -> None:
        self._settings = settings
        self._owns_context = context is None
        self.context: zmq.Context[Socket] = zmq.Context() if context is None else context
        if context is None:
            self.context.set(zmq.MAX_SOCKETS, _MAX_SOCKETS)
        self._open: dict[Socket, str] = {}  #: and the address that each was bound or connected to

    def publisher(self, *, bind: str | None = None, connect: str | None = None, is_lossy: bool = False) -> Socket:
        """A PUB socket that says EAGAIN instead of dropping (``XPUB_NODROP``).

        One that *is_lossy* drops what a subscriber does not read in time, for that subscriber alone: else a single
        one that does not read would keep everything from all others.
        """
        socket = self._socket(zmq.PUB)
        socket.setsockopt(zmq.XPUB_NODROP, 0 if is_lossy else 1)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_SUBSCRIPTION)
        return self._attach(socket, bind, connect)

    def log_publisher(self, *, connect: str) -> Socket:
        """A PUB socket that also hears of subscriptions (XPUB), so that early records can wait for the sink."""
        socket = self._socket(zmq.XPUB)
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_SUBSCRIPTION)
        return self._attach(socket, None, connect)

    def subscriber(self, *topics: bytes, bind: str | None = None, connect: str | None = None) -> Socket:
        """A SUB socket for *topics*; none means all."""
        socket = self._socket(zmq.SUB)
        for topic in topics or (b"",):
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        return self._attach(socket, bind, connect)

    def push(self, *, bind: str | None = None, connect: str | None = None) -> Socket:
        """A PUSH socket; what bounds it is the count of free slots, so it has no high-water mark."""
        socket = self._socket(zmq.PUSH)
        socket.setsockopt(zmq.SNDHWM, 0)
        # nobody reads what a stranger sends to it: with a mark for that, ZeroMQ would stop looking at a connection that
        # has reached it, never see its end, and go on sending into it
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_HANDSHAKE)
        return self._attach(socket, bind, connect)

    def pull(self, *, bind: str | None = None, connect: str | None = None) -> Socket:
        """A PULL socket."""
        socket = self._socket(zmq.PULL)
        socket.setsockopt(zmq.RCVHWM, 0)
        if not (connect or bind or "").startswith("tcp://"):
            socket.setsockopt(zmq.MAXMSGSIZE, -1)  # pages within a worker: fetch.max_body_size bounds them
        return self._attach(socket, bind, connect)

    def close(self, socket: Socket, *, linger: float | None = None) -> None:
        """Close one socket; what it has not sent yet is sent within *linger* seconds (default: the settings')."""
        self._open.pop(socket, None)
        socket.close(linger=int((self._settings.linger if linger is None else linger) * 1000))

    def is_bound(self, address: str) -> bool:
        """True when one of these sockets has *address*."""
        return address in self._open.values()

    def close_all(self) -> None:
        """Close every socket, then the context: waits at most for ``bus.linger``."""
        for socket in list(self._open):
            self.close(socket)
        if self._owns_context:
            self.context.term()

    def _socket(self, kind: int) -> Socket:
        try:
            socket = self.context.socket(kind)
        except zmq.ZMQError as error:  # too many sockets, or files
            raise BusError(f"no socket can be made: {error.strerror}") from None
        settings = self._settings
        socket.setsockopt(zmq.LINGER, int(settings.linger * 1000))
        socket.setsockopt(zmq.SNDHWM, settings.high_water_mark)
        socket.setsockopt(zmq.RCVHWM, settings.high_water_mark)
        socket.setsockopt(zmq.MAXMSGSIZE, settings.max_message)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._give_up_after(socket, settings.heartbeat * settings.missed)
        socket.setsockopt(zmq.IPV6, 1)
        self._open[socket] = ""
        return socket

    @staticmethod
    def _give_up_after(socket: Socket, silence: float) -> None:
        """Have TCP give a connection up soon after *silence* seconds, so that a new one is made.

        Left to itself, TCP repeats what was lost ever more seldom, up to minutes apart, and a side that only receives
        learns of a reset that the other side had when it asks: after two hours. What is lost with the connection is
        sent again by those who wait for its acknowledgement.
        """
        silence = max(silence, _LEAST_SILENCE)
        patience = int(2000 * silence)  # milliseconds
        socket.setsockopt(zmq.TCP_MAXRT, patience)  # sent, and not acknowledged: TCP_USER_TIMEOUT, RFC 5482
        socket.setsockopt(zmq.CONNECT_TIMEOUT, int(1000 * silence))
        socket.setsockopt(zmq.HANDSHAKE_IVL, patience)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, max(1, round(silence)))
        socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, max(3, round(silence)))

    def _attach(self, socket: Socket, bind: str | None, connect: str | None) -> Socket:
        address = bind if bind is not None else connect
        assert address is not None
        _check_ipc(address)
        if bind is not None:
            check_bind(bind, insecure=self._settings.insecure)
        try:
            if bind is not None:
                socket.bind(bind)
            else:
                socket.connect(address)
        except zmq.ZMQError as error:
            self.close(socket, linger=0)
            verb = "bound" if bind is not None else "connected"
            raise BusError(f"{address} can't be {verb}: {error.strerror}") from None
        self._open[socket] = address
        return socket


def _check_ipc(address: str) -> None:
    path = address.removeprefix("ipc://")
    if path != address and len(path.encode()) > _IPC_PATH_MAX:
        raise BusError(f"{address} is longer than a UNIX socket's path may be ({_IPC_PATH_MAX} bytes): "
                       f"use a shorter folder")


def endpoint(socket: Socket) -> str:
    """The address that a socket was bound to last, with the port that the system chose.

    A socket that also speaks IPv6 names IPv4 addresses as mapped ones (RFC 4291, section 2.5.5.2): that is undone.
    """
    scheme, _, rest = socket.getsockopt_string(zmq.LAST_ENDPOINT).partition("://")
    host, _, port = rest.rpartition(":")
    if host.startswith("[::ffff:"):
        return f"{scheme}://{host.removeprefix('[::ffff:').removesuffix(']')}:{port}"
    return f"{scheme}://{rest}"


def bind_push(sockets: Sockets, pattern: str, number: int) -> tuple[Socket, str]:
    """A worker's PUSH socket from the settings' ``bus.push``, and its address.

    ``tcp://host:first-last`` takes the first free port, ``ipc://folder`` a name in the folder.
    Raises :class:`BusError` when none is free.
    """
    if pattern.startswith("ipc://"):
        address = f"{pattern}/push-{number}"
        Path(pattern.removeprefix("ipc://")).mkdir(parents=True, exist_ok=True)
        return sockets.push(bind=address), address
    head, _, ports = pattern.rpartition(":")
    first, _, last = ports.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        raise BusError(f"bus.push is {pattern!r}: expected tcp://interface:first-last, as tcp://127.0.0.1:7710-7799")
    for port in range(int(first), int(last or first) + 1):
        address = f"{head}:{port}"
        if sockets.is_bound(address):  # so that a range that is used up costs no attempts
            continue
        try:
            return sockets.push(bind=address), address
        except BusError as error:
            if "in use" not in str(error):
                raise
    raise BusError(f"bus.push {pattern}: every port is in use; give it a larger range, one port for each worker")


def reachable(address: str, seen_as: str) -> str:
    """*address* as a peer can connect to it.

    A wildcard interface becomes the host of *seen_as*, an address that the peer reaches already; if that is no TCP
    address, both are on this host.
    """
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and host in {"*", "0.0.0.0", "[::]"}:
        scheme, _, rest = seen_as.partition("://")
        return f"tcp://{rest.rpartition(':')[0] if scheme == 'tcp' else '127.0.0.1'}:{port}"
    return address


def receive(socket: Socket) -> Frames | None:
    """One message, or None when there is none now.

    No message of the protocol has more than two frames. Of one with more the first three come; the others are thrown
    away, piece by piece, since there may be millions: for each piece three empty frames come, which are no message
    either.
    """
    try:
        if socket.getsockopt(zmq.RCVMORE):
            return _throw_away(socket)
        frames = [socket.recv(zmq.NOBLOCK)]
        while len(frames) < _FRAMES and socket.getsockopt(zmq.RCVMORE):
            frames.append(socket.recv(zmq.NOBLOCK))
    except zmq.Again:
        return None
    return frames


def _throw_away(socket: Socket) -> Frames:
    for _ in range(_SURPLUS):
        socket.recv(zmq.NOBLOCK)
        if not socket.getsockopt(zmq.RCVMORE):
            break
    return [b""] * _FRAMES


def send(socket: Socket, frames: Frames) -> bool:
    """Send now; False when the pipe is full."""
    try:
        socket.send_multipart(frames, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


class Sender:
    """Sends in order from the event loop, and keeps what the socket does not take yet.

    A bound PUSH socket says EAGAIN until its peer has connected, which takes a moment after the peer said hello.
    What is kept is bounded by the caller: leases by slots, pages by ``fetch.buffer_size``.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._kept: deque[Frames] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, frames: Frames) -> None:
        """Send now, or as soon as the socket takes it."""
        if self._kept or not send(self._socket, frames):
            self._kept.append(frames)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_SEND_RETRY, self._retry)

    @property
    def is_waiting(self) -> bool:
        """True while something is kept that the socket does not take."""
        return bool(self._kept)

    def _retry(self) -> None:
        self._timer = None
        while self._kept:
            if not send(self._socket, self._kept[0]):
                self._timer = asyncio.get_running_loop().call_later(_SEND_RETRY, self._retry)
                return
            self._kept.popleft()

    def close(self) -> None:
        """Give up what is kept; the socket stays open."""
        if self._timer is not None:
            self._timer.cancel()
        self._kept.clear()


class Poller:
    """Waits, blocking, until one of some sockets or file descriptors can be read: for a stage without an event loop."""

    def __init__(self, *sources: Socket | int) -> None:
        self._poller = zmq.Poller()
        for source in sources:
            self._poller.register(source, zmq.POLLIN)

    def wait(self, milliseconds: int) -> set[Socket | int]:
        """Those that can be read, none when *milliseconds* pass without."""
        return {source for source, _ in self._poller.poll(milliseconds)}

    def forget(self, source: Socket | int) -> None:
        """Wait for *source* no longer."""
        self._poller.unregister(source)


class Reader:
    """Calls *on_message* from the event loop for each message of a receiving socket."""

    def __init__(self, socket: Socket, on_message: Callable[[Frames], None], *,
                 on_burst: Callable[[], None] | None = None, burst: int = _BURST) -> None:
        self._socket = socket
        self._on_message = on_message
        self._on_burst = on_burst
        self._burst = burst
        self._loop = asyncio.get_running_loop()
        self._failures = Garbage(self._loop.time)
        self._fd = int(socket.getsockopt(zmq.FD))
        self._is_closed = False
        self._loop.add_reader(self._fd, self._drain)
        self._timer = self._loop.call_later(_SAFETY_LOOK, self._look)
        self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        """Read what is there: a burst, then the others' turn."""
        if self._is_closed:
            return
        count = 0
        while count < self._burst:
            frames = receive(self._socket)
            if frames is None:
                break
            count += self._burst if len(frames) == _FRAMES else 1  # what is thrown away takes its time
            try:
                self._on_message(frames)
            except Exception as error:  # noqa: BLE001  a message must never end the loop that reads it
                if line := self._failures.take("message that could not be handled", error):
                    _log.error("%s", line, exc_info=error)
            if self._is_closed:
                return
        if count and self._on_burst is not None:
            self._on_burst()
        if count >= self._burst:
            self._loop.call_soon(self._drain)

    def _look(self) -> None:
        if not self._is_closed:
            self._drain()
            self._timer = self._loop.call_later(_SAFETY_LOOK, self._look)

    def close(self) -> None:
        """Stop reading; the socket stays open."""
        if not self._is_closed:
            self._is_closed = True
            self._timer.cancel()
            self._loop.remove_reader(self._fd)
