"""What strangers do to sockets: bytes that are no ZeroMQ, frames that are no messages, messages that are lies."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import zmq

#: ZMTP 3.0 (ZeroMQ RFC 23): the greeting of a client that uses the NULL mechanism.
GREETING = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00NULL" + bytes(48)


def ready(kind: bytes) -> bytes:
    """The READY command of a socket of *kind*."""
    body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    return b"\x04" + bytes([len(body)]) + body


def shake(connection: socket.socket, kind: bytes) -> None:
    """Be a ZeroMQ socket of *kind*: the whole handshake."""
    greet(connection)
    connection.sendall(ready(kind))
    connection.recv(4096)  # what the other side is


def greet(connection: socket.socket) -> None:
    """The first half of the handshake. What comes after it in the same packet ZeroMQ does not look at for seconds."""
    connection.sendall(GREETING)
    seen = b""
    while len(seen) < len(GREETING) and (piece := connection.recv(len(GREETING) - len(seen))):
        seen += piece


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """Open files and sockets of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Plain:
    """Raw TCP connections to a port where ZeroMQ listens."""

    def __init__(self, address: str, chance: random.Random) -> None:
        self._address = ("127.0.0.1", port_of(address))
        self._chance = chance
        self._held: list[socket.socket] = []

    def attack(self, rounds: int) -> None:
        """Say something strange, and leave, or stay connected."""
        sayings = [
            (False, self._chance.randbytes(4000)), (False, b""), (False, b"GET / HTTP/1.1\r\n\r\n"),
            (False, GREETING[:10]), (False, GREETING[:40]), (False, GREETING), (False, b"\x01\x00" * 500),
            (False, b"\xff" * 64), (True, b""), (True, self._chance.randbytes(4000)),
            *((True, ready(kind) + tail) for kind in (b"PUB", b"PUSH", b"SUB", b"REQ", b"PULL", b"\xff" * 200)
              for tail in (
                  b"\x02" + struct.pack(">Q", 1 << 62) + b"x" * 1000,  # frames without end
                  b"\x02" + struct.pack(">Q", 1 << 25) + b"x" * 100_000,
                  b"\x04\xff" + b"x" * 255, b"\x01\x00" * 5000, b"\x00\x04\x01all" * 500, self._chance.randbytes(500))),
            (True, b"\x06" + struct.pack(">Q", 1 << 62) + b"READY"),
        ]
        for number in range(rounds):
            greets, saying = sayings[number % len(sayings)]
            with suppress(OSError):
                connection = socket.create_connection(self._address, timeout=0.5)
                if greets:
                    greet(connection)
                connection.sendall(saying)
                if number % 3:
                    connection.close()
                else:
                    self._held.append(connection)

    def leave(self) -> None:
        for connection in self._held:
            connection.close()
        self._held.clear()


class Peers:
    """ZeroMQ sockets of a stranger, of right and wrong types, connected to an address."""

    def __init__(self, *, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context = context
        self._sockets: list[zmq.Socket[bytes]] = []

    def connect(self, kind: int, address: str, **options: bytes) -> zmq.Socket[bytes]:
        peer = self._context.socket(kind)
        peer.setsockopt(zmq.LINGER, 0)
        peer.setsockopt(zmq.SNDHWM, 100_000)
        if kind == zmq.SUB:
            peer.setsockopt(zmq.SUBSCRIBE, b"")
        peer.connect(address)
        self._sockets.append(peer)
        return peer

    def leave(self) -> None:
        for peer in self._sockets:
            peer.close(linger=0)
        self._sockets.clear()


def try_send(peer: zmq.Socket[bytes], frames: list[bytes]) -> bool:
    """Send, or wait a moment: a flood that ZeroMQ itself drops is none."""
    for _ in range(200):
        try:
            peer.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:
            time.sleep(0.005)
        else:
            return True
    return False


def garbage(chance: random.Random, good: list[bytes], count: int) -> list[list[bytes]]:
    """*count* messages of frames that are none: random, truncated, changed, too many, too few."""
    made = []
    for _ in range(count):
        data = bytearray(chance.choice(good))
        match chance.randrange(8):
            case 0:
                made.append([chance.randbytes(20), chance.randbytes(chance.randrange(300))])
            case 1:
                made.append([b"topic", bytes(data[:chance.randrange(len(data))])])
            case 2:
                for _ in range(3):
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                made.append([b"topic", b"\xc1" + bytes(data)])
            case 3:
                made.append([bytes(data)])
            case 4:
                made.append([b""])
            case 5:
                made.append([bytes(data)] * chance.choice([3, 50]))
            case 6:
                made.append([b"t", b"\xdd\xff\xff\xff\xff" + chance.randbytes(50)])
            case _:
                made.append([b"t", msgspec.msgpack.encode([chance.choice(["available", "outcomes", "x"]), -1, "all"])])
    return made
