"""Log records over ZeroMQ: every process publishes its own, the log sink subscribes to all."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Annotated

import msgspec
import zmq
from msgspec import Meta

from spyder.bus.messages import NO_MESSAGE, brief
from spyder.bus.sockets import Frames, Socket, Sockets
from spyder.errors import MessageError
from spyder.model.limits import MAX_NAME

#: Records kept while no sink is there, and their bytes.
_KEPT, _KEPT_BYTES = 10_000, 16_777_216
#: Characters of a record's text; the rest is cut off.
_MAX_TEXT = 65_536
#: What every topic begins with.
TOPIC = b"spyder."
#: Subscriptions heard at a time.
_BURST = 100
_SUBSCRIBED, _UNSUBSCRIBED = b"\x01", b"\x00"  # first byte of what an XPUB socket hears (ZeroMQ RFC 29)


class LogMessage(msgspec.Struct, kw_only=True, array_like=True):
    """A log record as it travels."""

    logger: Annotated[str, Meta(max_length=MAX_NAME, pattern=r"\A[ -~]*\Z")]
    level: Annotated[int, Meta(ge=0, le=1000)]
    created: Annotated[float, Meta(ge=0, le=1e11)]  #: wall time, seconds
    process: Annotated[str, Meta(max_length=MAX_NAME, pattern=r"\A[a-z]+:[!-~]+\Z")]  #: identity of the sender
    text: Annotated[str, Meta(max_length=_MAX_TEXT)]  #: message, and traceback if there was one


_decoder = msgspec.msgpack.Decoder(LogMessage)


class LogPublisher(logging.Handler):
    """Publishes records under the topic ``spyder.<kind>.<LEVEL>``.

    It never blocks and never raises, keeps what comes before the sink, and gives up the oldest when that is too much.
    """

    def __init__(self, sockets: Sockets, address: str, *, identity: str) -> None:
        super().__init__()
        self._sockets = sockets
        self._socket: Socket | None = sockets.log_publisher(connect=address)
        self._identity = identity
        self._kind = identity.partition(":")[0]
        self._waiting: deque[Frames] = deque()
        self._waiting_bytes = 0
        self._subscriptions: set[bytes] = set()
        self._guard = threading.Lock()  # records come from any thread, sockets want one at a time
        self.dropped = 0  #: records given up because nobody took them

    def emit(self, record: logging.LogRecord) -> None:
        """Publish one record, or keep it until somebody listens."""
        topic = b"%s%s.%s" % (TOPIC, self._kind.encode(), record.levelname.encode("ascii", "replace"))
        payload = msgspec.msgpack.encode(LogMessage(
            logger=ascii(record.name)[1:-1][:MAX_NAME], level=min(max(record.levelno, 0), 1000), created=record.created,
            process=self._identity, text=self._text(record)))
        with self._guard:
            self._waiting.append([topic, payload])
            self._waiting_bytes += len(payload)
            while len(self._waiting) > _KEPT or self._waiting_bytes > _KEPT_BYTES:
                self._waiting_bytes -= len(self._waiting.popleft()[1])
                self.dropped += 1
            self._pump()

    def _text(self, record: logging.LogRecord) -> str:
        """What the record says; of one that can't be put into words, why."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001  a bad log call, or arguments that can't be shown: no reason to fail
            text = f"a log record of {record.pathname}:{record.lineno} can't be written: {brief(error)}"
        return _plain(text[:_MAX_TEXT])[:_MAX_TEXT]

    def pump(self) -> None:
        """Send what has been waiting, if somebody listens now."""
        with self._guard:
            self._pump()

    def _pump(self) -> None:
        socket = self._socket
        if socket is None:
            return
        try:
            self._hear_subscriptions(socket)
            while self._waiting and self._subscriptions:
                socket.send_multipart(self._waiting[0], zmq.NOBLOCK)
                self._waiting_bytes -= len(self._waiting.popleft()[1])
        except zmq.ZMQError:  # the pipe is full, or nothing more is to be heard
            return

    def _hear_subscriptions(self, socket: Socket) -> None:
        """Take note of who listens; anything else that a stranger sends is passed over."""
        for _ in range(_BURST):
            try:
                frame = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if frame[:1] == _SUBSCRIBED and TOPIC.startswith(frame[1:]):
                self._subscriptions.add(frame[1:])
            elif frame[:1] == _UNSUBSCRIBED:
                self._subscriptions.discard(frame[1:])

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
    if not frames[0].startswith(TOPIC):
        raise MessageError("a log message has another topic")
    try:
        message = _decoder.decode(frames[1])
    except NO_MESSAGE as error:
        raise MessageError(f"no log record: {brief(error)}") from None
    record = logging.LogRecord(message.logger, message.level, "", 0, message.text, None, None)
    record.created = message.created
    record.processName = message.process
    return record


def _plain(text: str) -> str:
    """*text* without what UTF-8 can't carry (lone surrogates)."""
    return text.encode("utf-8", "backslashreplace").decode()
