"""Log records over ZeroMQ: every process publishes its own, the log sink subscribes to all."""

from __future__ import annotations

import logging
import threading
from collections import deque

import msgspec
import zmq

from spyder.bus.sockets import Frames, Socket, Sockets
from spyder.errors import MessageError

#: Records kept while no sink is there.
_KEPT = 10_000


class LogMessage(msgspec.Struct, kw_only=True, array_like=True):
    """A log record as it travels."""

    logger: str
    level: int
    created: float  #: wall time, seconds
    process: str  #: identity of the sender
    text: str  #: message, and traceback if there was one


_decoder = msgspec.msgpack.Decoder(LogMessage)


class LogPublisher(logging.Handler):
    """Publishes records under the topic ``spyder.<kind>.<LEVEL>``; never blocks, keeps what comes before the sink."""

    def __init__(self, sockets: Sockets, address: str, *, identity: str) -> None:
        super().__init__()
        self._sockets = sockets
        self._socket: Socket | None = sockets.log_publisher(connect=address)
        self._identity = identity
        self._kind = identity.partition(":")[0]
        self._waiting: deque[Frames] = deque(maxlen=_KEPT)
        self._subscribers = 0
        self._guard = threading.Lock()  # records come from any thread, sockets want one at a time
        self.dropped = 0  #: records given up because nobody took them

    def emit(self, record: logging.LogRecord) -> None:
        """Publish one record, or keep it until somebody listens."""
        try:
            text = self.format(record).encode("utf-8", "backslashreplace").decode()
            payload = msgspec.msgpack.encode(LogMessage(logger=record.name, level=record.levelno,
                                                        created=record.created, process=self._identity, text=text))
        except Exception:  # noqa: BLE001  as the standard handlers do: a bad log call is no reason to fail
            self.handleError(record)
            return
        topic = f"spyder.{self._kind}.{record.levelname}".encode()
        with self._guard:
            if len(self._waiting) == _KEPT:
                self.dropped += 1
            self._waiting.append([topic, payload])
            self._pump()

    def pump(self) -> None:
        """Send what has been waiting, if somebody listens now."""
        with self._guard:
            self._pump()

    def _pump(self) -> None:
        socket = self._socket
        if socket is None:
            return
        self._hear_subscriptions(socket)
        while self._waiting and self._subscribers > 0:
            try:
                socket.send_multipart(self._waiting[0], zmq.NOBLOCK)
            except zmq.ZMQError:
                return
            self._waiting.popleft()

    def _hear_subscriptions(self, socket: Socket) -> None:
        while True:
            try:
                frame = socket.recv(zmq.NOBLOCK)
            except zmq.ZMQError:
                return
            self._subscribers += 1 if frame[:1] == b"\x01" else -1

    def close(self) -> None:
        """Send what can be sent, then let go of the socket."""
        with self._guard:
            self._pump()
            if self._socket is not None:
                self._sockets.close(self._socket)
                self._socket = None
        super().close()


def read_record(frames: Frames) -> logging.LogRecord:
    """The log record in a message. Raises :class:`MessageError` when it holds none."""
    if len(frames) != 2:
        raise MessageError(f"a log message has 2 frames, not {len(frames)}")
    try:
        message = _decoder.decode(frames[1])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"no log record: {error}") from None
    record = logging.LogRecord(message.logger, message.level, "", 0, message.text, None, None)
    record.created = message.created
    record.processName = message.process
    return record
