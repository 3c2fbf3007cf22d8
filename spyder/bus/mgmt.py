"""The management bus as two state machines: the master's roster of workers, a worker's membership. Pure.

Handshake: a worker repeats AVAILABLE until WELCOME; its extractor then repeats PROBE on the outcome socket until ACK.
Only a worker that has sent heartbeats of the current session *and* probed is ready for leases: by then every way has
carried a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto

from spyder.bus.dispatch import BatchLog
from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Available,
    GreetAgain,
    Load,
    MasterHeartbeat,
    Pause,
    Quit,
    Refused,
    Resume,
    Welcome,
    WorkerHeartbeat,
)

#: Seconds between repeated greetings and probes.
GREETING_INTERVAL = 0.05
#: Seconds between greetings when no master has answered for long.
_LONGEST_GREETING_INTERVAL = 1.0


class PeerState(Enum):
    """Where a worker stands with the master."""

    WELCOMED = auto()  #: greeted; not every way is known to work yet
    READY = auto()  #: may get leases
    QUITTING = auto()  #: told to end


class Peer:
    """One worker as the master sees it."""

    __slots__ = ("at", "batches", "greeting", "has_beaten", "has_probed", "heard_at", "load", "push", "scope",
                 "session", "slots", "state")

    def __init__(self, greeting: Available, session: int, batches: BatchLog, push: str, now: float) -> None:
        self.greeting = greeting
        self.push = push  #: address of its PUSH socket
        self.session = session
        self.batches = batches
        self.heard_at = now  #: monotonic seconds
        self.at = greeting.at  #: the worker's own time of what was heard last
        self.slots = greeting.slots
        self.state = PeerState.WELCOMED
        self.load = Load()
        self.scope = -1  #: number of the rules by which it judges links; -1: it has not said
        self.has_probed = False
        self.has_beaten = False

    @property
    def worker(self) -> str:
        """The worker's identity."""
        return self.greeting.worker


class Roster:
    """All workers of a master: who they are, whether they live, and whether they are ready."""

    def __init__(self, *, digests: Mapping[str, str], heartbeat: float, missed: int) -> None:
        self._digests = dict(digests)
        self._patience = heartbeat * missed
        self._resend_after = heartbeat * 2
        self._peers: dict[str, Peer] = {}
        self._sessions = 0

    def __iter__(self) -> Iterator[Peer]:
        """All workers that are welcome."""
        return iter(self._peers.values())

    def __len__(self) -> int:
        """How many workers are welcome."""
        return len(self._peers)

    def get(self, worker: str) -> Peer | None:
        """The peer with this identity."""
        return self._peers.get(worker)

    def objection(self, greeting: Available) -> str:
        """Why a worker can't take part, in one line; empty when it can."""
        if greeting.protocol != PROTOCOL_VERSION:
            return (f"worker {greeting.worker} ({greeting.version}) speaks protocol {greeting.protocol}, this master "
                    f"{PROTOCOL_VERSION}: run the same version of Spyder on both")
        different = sorted(name for name, digest in self._digests.items() if greeting.digests.get(name) != digest)
        if different:
            return (f"worker {greeting.worker} has other settings than the master in section "
                    f"{', '.join(f'`{name}`' for name in different)}: start both with the same settings file")
        return ""

    def welcome(self, greeting: Available, push: str, now: float) -> Peer:
        """A new session for a worker that greets, with its leases at *push*; the caller has ended an older one."""
        self._sessions += 1
        peer = Peer(greeting, self._sessions, BatchLog(self._sessions, resend_after=self._resend_after), push, now)
        self._peers[greeting.worker] = peer
        return peer

    def beat(self, message: WorkerHeartbeat, epoch: int, now: float) -> Peer | None:
        """Note a heartbeat; None when the worker, or its session, is not known and it must greet again."""
        peer = self._peers.get(message.worker)
        if peer is None or message.session != peer.session or message.epoch != epoch:
            return None
        peer.heard_at = now
        if message.at < peer.at:  # overtaken by a later one
            return peer
        peer.at = message.at
        peer.slots = message.slots
        peer.scope = message.scope
        peer.has_beaten = True
        if message.load is not None:
            peer.load = message.load
        _settle_readiness(peer)
        return peer

    def probed(self, worker: str, session: int) -> Peer | None:
        """Note that a probe came through; None when it belongs to no current session."""
        peer = self._peers.get(worker)
        if peer is None or peer.session != session:
            return None
        peer.has_probed = True
        _settle_readiness(peer)
        return peer

    def lost(self, now: float) -> list[Peer]:
        """The workers that have not been heard of for too long; they are no longer welcome."""
        silent = [peer for peer in self._peers.values() if now - peer.heard_at > self._patience]
        for peer in silent:
            del self._peers[peer.worker]
        return silent

    def remove(self, worker: str) -> Peer | None:
        """A worker is gone."""
        return self._peers.pop(worker, None)

    def ready(self) -> list[Peer]:
        """The workers that may get leases."""
        return [peer for peer in self._peers.values() if peer.state is PeerState.READY]


def _settle_readiness(peer: Peer) -> None:
    if peer.state is PeerState.WELCOMED and peer.has_probed and peer.has_beaten:
        peer.state = PeerState.READY


class Step(Enum):
    """What a message, or time, means for a worker."""

    NOTHING = auto()
    JOINED = auto()  #: a new welcome: connect to its addresses, throw away what is not begun
    RESUMED = auto()  #: fetches may begin again
    GREETING = auto()  #: alone again: throw away what is not begun
    REFUSED = auto()
    QUIT = auto()
    ORPHANED = auto()  #: no master for ``master_timeout``


class Membership:
    """A worker's belonging to a master, as its fetcher sees it; times are monotonic seconds."""

    def __init__(self, worker: str, *, heartbeat: float, missed: int, master_timeout: float, now: float) -> None:
        self.worker = worker
        self._heartbeat = heartbeat
        self._patience = heartbeat * missed
        self._master_timeout = master_timeout
        self._heard_at = now
        self._begin_until = 0.0
        self.paused = ""  #: why the master wants no fetch to begin
        self.welcome: Welcome | None = None
        self._left: Welcome | None = None  #: the last one that counts no more
        self.reason = ""  #: of a refusal
        self.drain = 0.0  #: seconds, of a quit

    @property
    def is_member(self) -> bool:
        """True from a welcome until the master is lost."""
        return self.welcome is not None

    def may_begin(self, now: float) -> bool:
        """True while fetches may begin: the master can't have given this worker up.

        Only what the worker itself has said, and the master has heard, proves that: messages that waited in a buffer
        while either of them was stopped prove nothing.
        """
        return self.welcome is not None and now < self._begin_until and not self.paused

    def must_abort(self, now: float) -> bool:
        """True when what is being fetched is somebody else's by now: the master counts on it (``frontier.silent``)."""
        return now >= self.abort_at

    @property
    def abort_at(self) -> float:
        """When :meth:`must_abort` becomes true, if nothing is heard until then."""
        return self._begin_until + self._patience

    def leave(self, now: float) -> Step:
        """Belong to no master: greet it again."""
        return self._leave(now)

    def heard(self, message: object, now: float) -> Step:
        """Take a message of the master to this worker or to all."""
        match message:
            case Welcome():
                self._heard_at = now
                last = self.welcome or self._left
                if last is not None and not message.is_after(last):
                    return Step.NOTHING  # repeated, or overtaken
                self.welcome = message
                self._allow(message.heard)
                return Step.JOINED
            case Refused():
                self.reason = message.reason
                return Step.REFUSED
            case MasterHeartbeat():
                return self._heard_heartbeat(message, now)
            case GreetAgain():
                return self._leave(now)
            case Quit():
                self.drain = message.drain
                return Step.QUIT
            case Pause():
                self._heard_at = now
                self.paused = message.reason
                return Step.NOTHING
            case Resume():
                self._heard_at = now
                self.paused = ""
                return Step.RESUMED
            case _:
                self._heard_at = now
                return Step.NOTHING

    def _heard_heartbeat(self, message: MasterHeartbeat, now: float) -> Step:
        self._heard_at = now
        if self.welcome is not None and (message.master, message.epoch) != (self.welcome.master, self.welcome.epoch):
            return self._leave(now)
        could_begin = self.may_begin(now)
        self.paused = message.paused
        self._allow(message.heard.get(self.worker, 0.0))
        return Step.RESUMED if not could_begin and self.may_begin(now) else Step.NOTHING

    def _allow(self, heard: float) -> None:
        """The master has heard what this worker said at *heard* (its own time): it won't give it up before this."""
        self._begin_until = max(self._begin_until, heard + self._patience)

    def _leave(self, now: float) -> Step:
        self._heard_at = now
        if self.welcome is None:
            return Step.NOTHING
        self._left, self.welcome = self.welcome, None
        return Step.GREETING

    def greeting_interval(self, now: float) -> float:
        """Seconds to the next greeting: short at first, longer the longer no master is heard."""
        return min(max(GREETING_INTERVAL, (now - self._heard_at) / 20), _LONGEST_GREETING_INTERVAL)

    def check(self, now: float) -> Step:
        """Take note of time: a silent master is greeted again; one that stays away for too long orphans the worker."""
        silence = now - self._heard_at
        if silence > self._master_timeout:
            return Step.ORPHANED
        if silence > self._patience and self.welcome is not None:
            self._left, self.welcome = self.welcome, None
            return Step.GREETING
        return Step.NOTHING
