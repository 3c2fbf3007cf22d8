"""Every message of the protocol, typed; ``docs/protocol.md`` draws who sends which to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from spyder.errors import MessageError
from spyder.model.limits import (
    MAX_LEASES,
    MAX_RULES_TEXT,
    MAX_WORKERS,
    Address,
    Line,
    MasterName,
    Name,
    Natural,
    Seconds,
    WorkerName,
)
from spyder.model.records import CrawlUri, FetchNotice, HeldLease, Key, Outcome, Record

#: Raised with every change that an older peer would misread; the handshake compares it.
PROTOCOL_VERSION = 3

Slots = Annotated[int, Meta(ge=0, le=MAX_LEASES)]  #: leases that a worker can hold
Pids = Annotated[tuple[Natural, ...], Meta(max_length=16)]
Digests = Annotated[dict[Name, Name], Meta(max_length=100)]
Stages = Annotated[dict[Name, Seconds], Meta(max_length=100)]
Suspects = Annotated[tuple[Key, ...], Meta(max_length=16)]
Held = Annotated[tuple[HeldLease, ...], Meta(max_length=MAX_LEASES)]
Notices = Annotated[tuple[FetchNotice, ...], Meta(max_length=MAX_LEASES)]
Uris = Annotated[tuple[CrawlUri, ...], Meta(max_length=MAX_LEASES)]
RulesText = Annotated[str, Meta(max_length=MAX_RULES_TEXT)]
Outcomes = Annotated[tuple[Outcome, ...], Meta(max_length=MAX_LEASES)]
NumberByWorker = Annotated[dict[Name, Natural], Meta(max_length=MAX_WORKERS)]
SecondsByWorker = Annotated[dict[Name, Seconds], Meta(max_length=MAX_WORKERS)]


# -- worker to master, management ----------------------------------------------------------------------------------


class Available(Record, frozen=True, kw_only=True, tag="available"):
    """A worker greets: repeated until WELCOME or REFUSED comes. ``protocol``, ``worker`` stay the first for ever."""

    protocol: Natural
    worker: WorkerName  #: identity: worker:host:pid.index:nonce
    version: Name  #: Spyder's version, for people
    slots: Slots  #: leases that it can hold
    digests: Digests = msgspec.field(default_factory=dict)  #: of the shared settings, by section
    pids: Pids = ()  #: fetcher and extractor
    at: Seconds = 0.0  #: seconds of the worker's own clock: the welcome tells it back
    held: Held = ()  #: begun under an earlier welcome, and not reported yet
    predecessor: Gone | None = None  #: how the worker ended whose place this one took


class WorkerHeartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """A worker lives: sent by its fetcher process, where no user code runs."""

    worker: WorkerName
    epoch: Natural  #: of the master that it belongs to
    session: Natural  #: of the welcome that it belongs to
    received: Natural  #: number of the last lease batch that came in order
    slots: Slots  #: leases that it can hold now; 0 while it can't take any
    load: Load | None = None
    at: Seconds = 0.0  #: seconds of the worker's own clock: the master tells it back
    held: Natural = 0  #: leases of this session that are not reported and acknowledged yet
    scope: Natural = 0  #: number of the rules by which it judges links, see :class:`ScopeRules`


class Load(Record, frozen=True, kw_only=True):
    """How a worker does: what ``spyder status`` and ``spyder bench`` show."""

    fetching: Natural = 0  #: connections in use
    waiting: Natural = 0  #: leases not begun
    pages: Natural = 0  #: pages passed on so far
    extracted: Natural = 0  #: pages extracted so far
    batches: Natural = 0  #: batches of outcomes made durable and published so far
    outbox: Natural = 0  #: outcomes not acknowledged
    dropped: Natural = 0  #: messages that were none, or too large
    fetcher_cpu: Seconds = 0.0  #: seconds
    extractor_cpu: Seconds = 0.0  #: seconds
    fetcher_memory: Natural = 0  #: bytes, resident
    extractor_memory: Natural = 0  #: bytes, resident
    trouble: Line = ""  #: why it takes nothing, in words
    stages: Stages = msgspec.field(default_factory=dict)  #: CPU seconds by stage, when measured
    resent: Natural = 0  #: batches of outcomes sent again


class Fetched(Record, frozen=True, kw_only=True, tag="fetched"):
    """Connections that are free again: politeness counts from here. A hint; outcomes say it again."""

    worker: WorkerName
    session: Natural
    notices: Notices


class QuitAck(Record, frozen=True, kw_only=True, tag="quit-ack"):
    """A worker ends: the leases that are left go back; what is unacknowledged is fetched again."""

    worker: WorkerName
    unacknowledged: Natural = 0  #: outcomes that no master took in time


class Gone(Record, frozen=True, kw_only=True, tag="gone"):
    """How a worker ended that died or was killed: its supervisor says so, and its successor in every greeting."""

    worker: WorkerName
    reason: Line
    suspects: Suspects = ()  #: keys of the URIs that its stages were working on


WorkerMessage = Available | WorkerHeartbeat | Fetched | QuitAck | Gone


# -- master to worker, management ----------------------------------------------------------------------------------


class Welcome(Record, frozen=True, kw_only=True, tag="welcome"):
    """The master knows the worker: where its leases come from and where its outcomes go."""

    master: MasterName  #: identity, the topic of outcomes
    epoch: Natural
    session: Natural  #: tells this welcome from earlier ones
    push: Address  #: address of the worker's PUSH socket
    outcomes: Address  #: address of the master's SUB socket
    heard: Seconds = 0.0  #: the greeting's time on the worker's clock: from there the right to begin fetches counts

    def is_same(self, other: Welcome) -> bool:
        """True for the repetition of one welcome; two masters that began with empty frontiers count alike."""
        return (self.master, self.epoch, self.session) == (other.master, other.epoch, other.session)

    def is_after(self, other: Welcome) -> bool:
        """False for a welcome that was overtaken: not later than *other*, or to an older greeting."""
        if (self.master, self.epoch) == (other.master, other.epoch):
            return self.session > other.session
        return self.heard >= other.heard


class Refused(Record, frozen=True, kw_only=True, tag="refused"):
    """The worker can't take part."""

    protocol: Natural
    reason: Line


class MasterHeartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """The master lives; ``acks`` repeats how far each worker's outcomes are settled."""

    master: MasterName
    epoch: Natural
    acks: NumberByWorker = msgspec.field(default_factory=dict)
    scope: Natural = 0  #: grows when seeds widen the scope: links reported before may be worth more now
    heard: SecondsByWorker = msgspec.field(default_factory=dict)  #: ``at`` of each worker's last heartbeat
    paused: Line = ""  #: why no fetch is to begin; empty when all is well


class Ack(Record, frozen=True, kw_only=True, tag="ack"):
    """Outcomes up to and with this sequence are durable at the master. Sent after each commit, and for a probe."""

    epoch: Natural
    sequence: Natural


class GreetAgain(Record, frozen=True, kw_only=True, tag="greet-again"):
    """The master doesn't know (or no longer knows) the worker: it throws away what it had not begun, and greets."""

    epoch: Natural


class Pause(Record, frozen=True, kw_only=True, tag="pause"):
    """Begin no fetch until told to."""

    reason: Line


class Resume(Record, frozen=True, kw_only=True, tag="resume"):
    """Go on after a pause."""


class ScopeRules(Record, frozen=True, kw_only=True, tag="scope-rules"):
    """Judge links by these rules: repeated to a worker until its heartbeat names their number."""

    number: Natural  #: tells these rules from others; 0: those of the settings
    rules: RulesText = ""  #: as ``scope.rules``, in JSON; empty: those of the settings


class Quit(Record, frozen=True, kw_only=True, tag="quit"):
    """End: begin nothing, finish what is under way within ``drain`` seconds, report, acknowledge."""

    drain: Seconds


MasterMessage = Welcome | Refused | MasterHeartbeat | Ack | GreetAgain | Pause | Resume | Quit | ScopeRules


# -- leases and outcomes -------------------------------------------------------------------------------------------


class LeaseBatch(Record, frozen=True, kw_only=True, tag="leases"):
    """PUSH from the master: leases for one worker, numbered from 1 within a session."""

    session: Natural
    number: Natural
    uris: Uris


class OutcomeBatch(Record, frozen=True, kw_only=True, tag="outcomes"):
    """PUB from a worker: outcomes whose outputs are on disk, numbered from 1 within a worker's life."""

    worker: WorkerName
    sequence: Natural
    outcomes: Outcomes


class Probe(Record, frozen=True, kw_only=True, tag="probe"):
    """PUB from a worker until acknowledged: the way for outcomes is open."""

    worker: WorkerName
    session: Natural
    sequence: Natural  #: all up to it was acknowledged by some master
    last: Natural = 0  #: sequence of the last batch that it keeps


OutcomeMessage = OutcomeBatch | Probe

T = TypeVar("T")

#: What decoding raises for bytes that are no message: wrong ones, text that is no UTF-8, and what is nested too deeply
#: or claims to be larger than memory.
NO_MESSAGE = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError, MemoryError)


def brief(error: Exception) -> str:
    """*error* as part of a line: what it quotes of a message may be of any length, and hold any character."""
    return "".join(character if " " <= character <= "~" else "?" for character in str(error)[:200])


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
        except NO_MESSAGE as error:
            raise MessageError(f"no message of this protocol: {brief(error)}") from None

    def read(self, frames: Sequence[bytes], *, count: int = 2) -> T:
        """The message in the last of *count* frames: a topic goes before it, or with *count* 1 nothing.

        Raises :class:`MessageError` as :meth:`decode` does, and for any other number of frames.
        """
        if len(frames) != count:
            raise MessageError(f"a message of {len(frames)} frames, not {count}")
        return self.decode(frames[-1])


class Stranger(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="available"):
    """What a greeting of any version begins with."""

    protocol: Natural
    worker: WorkerName


_stranger = msgspec.msgpack.Decoder(Stranger)


def read_stranger(data: bytes) -> Available | None:
    """The greeting of a worker that speaks another version, whatever follows in it; None when *data* is no such thing.

    So that it can be told why it is refused.
    """
    try:
        found = _stranger.decode(data)
    except NO_MESSAGE:
        return None
    if found.protocol == PROTOCOL_VERSION:
        return None
    return Available(protocol=found.protocol, worker=found.worker, version="another version", slots=0)
