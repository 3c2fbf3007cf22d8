"""Every message of the protocol, typed; ``docs/protocol.md`` draws who sends which to whom."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from spyder.errors import MessageError
from spyder.model.records import CrawlUri, FetchNotice, HeldLease, Outcome, Record

#: Raised with every change that an older peer would misread; the handshake compares it.
PROTOCOL_VERSION = 2


# -- worker to master, management ----------------------------------------------------------------------------------


class Available(Record, frozen=True, kw_only=True, tag="available"):
    """A worker greets: repeated until WELCOME or REFUSED comes. ``protocol`` stays the first field for ever."""

    protocol: int
    worker: str  #: identity: worker:host:pid.index:nonce
    version: str  #: Spyder's version, for people
    slots: int  #: leases that it can hold
    digests: dict[str, str] = msgspec.field(default_factory=dict)  #: of the shared settings, by section
    pids: tuple[int, ...] = ()  #: fetcher and extractor
    at: float = 0.0  #: seconds of the worker's own clock: the welcome tells it back
    held: tuple[HeldLease, ...] = ()  #: begun under an earlier welcome, and not reported yet
    predecessor: Gone | None = None  #: how the worker ended whose place this one took


class WorkerHeartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """A worker lives: sent by its fetcher process, where no user code runs."""

    worker: str
    epoch: int  #: of the master that it belongs to
    session: int  #: of the welcome that it belongs to
    received: int  #: number of the last lease batch that came in order
    slots: int  #: leases that it can hold now; 0 while it can't take any
    load: Load | None = None
    at: float = 0.0  #: seconds of the worker's own clock: the master tells it back
    held: int = 0  #: leases of this session that are not reported and acknowledged yet


class Load(Record, frozen=True, kw_only=True):
    """How a worker does: what ``spyder status`` and ``spyder bench`` show."""

    fetching: int = 0  #: connections in use
    waiting: int = 0  #: leases not begun
    pages: int = 0  #: pages passed on so far
    extracted: int = 0  #: pages extracted so far
    batches: int = 0  #: batches of outcomes made durable and published so far
    outbox: int = 0  #: outcomes not acknowledged
    dropped: int = 0  #: messages that were none, or too large
    fetcher_cpu: float = 0.0  #: seconds
    extractor_cpu: float = 0.0  #: seconds
    fetcher_memory: int = 0  #: bytes, resident
    extractor_memory: int = 0  #: bytes, resident
    trouble: str = ""  #: why it takes nothing, in words
    stages: dict[str, float] = msgspec.field(default_factory=dict)  #: CPU seconds by stage, when measured
    resent: int = 0  #: batches of outcomes sent again


class Fetched(Record, frozen=True, kw_only=True, tag="fetched"):
    """Connections that are free again: politeness counts from here. A hint; outcomes say it again."""

    worker: str
    session: int
    notices: tuple[FetchNotice, ...]


class QuitAck(Record, frozen=True, kw_only=True, tag="quit-ack"):
    """A worker ends: the leases that are left go back; what is unacknowledged is fetched again."""

    worker: str
    unacknowledged: int = 0  #: outcomes that no master took in time


class Gone(Record, frozen=True, kw_only=True, tag="gone"):
    """How a worker ended that died or was killed: its supervisor says so, and its successor in every greeting."""

    worker: str
    reason: str
    suspects: tuple[bytes, ...] = ()  #: keys of the URIs that its stages were working on


WorkerMessage = Available | WorkerHeartbeat | Fetched | QuitAck | Gone


# -- master to worker, management ----------------------------------------------------------------------------------


class Welcome(Record, frozen=True, kw_only=True, tag="welcome"):
    """The master knows the worker: where its leases come from and where its outcomes go."""

    master: str  #: identity, the topic of outcomes
    epoch: int
    session: int  #: tells this welcome from earlier ones
    push: str  #: address of the worker's PUSH socket
    outcomes: str  #: address of the master's SUB socket
    heard: float = 0.0  #: the greeting's time on the worker's clock: from there the right to begin fetches counts

    def is_same(self, other: Welcome) -> bool:
        """True for the repetition of one welcome; two masters that began with empty frontiers count alike."""
        return (self.master, self.epoch, self.session) == (other.master, other.epoch, other.session)

    def is_after(self, other: Welcome) -> bool:
        """False for a welcome of the same master that is not later than *other*."""
        return (self.master, self.epoch) != (other.master, other.epoch) or self.session > other.session


class Refused(Record, frozen=True, kw_only=True, tag="refused"):
    """The worker can't take part."""

    protocol: int
    reason: str


class MasterHeartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """The master lives; ``acks`` repeats how far each worker's outcomes are settled."""

    master: str
    epoch: int
    acks: dict[str, int] = msgspec.field(default_factory=dict)
    scope: int = 0  #: grows when seeds widen the scope: links reported before may be worth more now
    heard: dict[str, float] = msgspec.field(default_factory=dict)  #: ``at`` of each worker's last heartbeat
    paused: str = ""  #: why no fetch is to begin; empty when all is well


class Ack(Record, frozen=True, kw_only=True, tag="ack"):
    """Outcomes up to and with this sequence are durable at the master. Sent after each commit, and for a probe."""

    epoch: int
    sequence: int


class GreetAgain(Record, frozen=True, kw_only=True, tag="greet-again"):
    """The master doesn't know (or no longer knows) the worker: it throws away what it had not begun, and greets."""

    epoch: int


class Pause(Record, frozen=True, kw_only=True, tag="pause"):
    """Begin no fetch until told to."""

    reason: str


class Resume(Record, frozen=True, kw_only=True, tag="resume"):
    """Go on after a pause."""


class Quit(Record, frozen=True, kw_only=True, tag="quit"):
    """End: begin nothing, finish what is under way within ``drain`` seconds, report, acknowledge."""

    drain: float


MasterMessage = Welcome | Refused | MasterHeartbeat | Ack | GreetAgain | Pause | Resume | Quit


# -- leases and outcomes -------------------------------------------------------------------------------------------


class LeaseBatch(Record, frozen=True, kw_only=True, tag="leases"):
    """PUSH from the master: leases for one worker, numbered from 1 within a session."""

    session: int
    number: int
    uris: tuple[CrawlUri, ...]


class OutcomeBatch(Record, frozen=True, kw_only=True, tag="outcomes"):
    """PUB from a worker: outcomes whose outputs are on disk, numbered from 1 within a worker's life."""

    worker: str
    sequence: int
    outcomes: tuple[Outcome, ...]


class Probe(Record, frozen=True, kw_only=True, tag="probe"):
    """PUB from a worker until acknowledged: the way for outcomes is open."""

    worker: str
    session: int
    sequence: int  #: all up to it was acknowledged by some master
    last: int = 0  #: sequence of the last batch that it keeps


OutcomeMessage = OutcomeBatch | Probe

T = TypeVar("T")


class Codec(Generic[T]):
    """MessagePack to messages of one kind, and back; built with a union of message types."""

    def __init__(self, kind: object, *, limit: int) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self._encoder = msgspec.msgpack.Encoder()
        self._limit = limit

    def encode(self, message: T) -> bytes:
        """*message* as bytes."""
        return self._encoder.encode(message)

    def decode(self, data: bytes) -> T:
        """The message in *data*. Raises :class:`MessageError` when it is none of this kind, or too large."""
        if len(data) > self._limit:
            raise MessageError(f"{len(data)} bytes are more than bus.max_message ({self._limit})")
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MessageError(f"no message of this protocol: {error}") from None
