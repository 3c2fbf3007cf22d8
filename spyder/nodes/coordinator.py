"""The master's decisions: whom it welcomes, what it gives out, settles and acknowledges. No socket, no sleep.

What it hears and when comes in by calls; what it wants done goes out through its :class:`MasterPort`. So the same code
runs on sockets (:mod:`spyder.nodes.master`) and in the simulation (``tests/simulation``).
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar, assert_never

import msgspec

from spyder.bus.garbage import Garbage
from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Ack,
    Available,
    Fetched,
    Gone,
    GreetAgain,
    LeaseBatch,
    MasterHeartbeat,
    MasterMessage,
    OutcomeBatch,
    OutcomeMessage,
    Pause,
    Probe,
    Quit,
    QuitAck,
    Refused,
    Resume,
    ScopeRules,
    Welcome,
    WorkerHeartbeat,
    WorkerMessage,
)
from spyder.bus.mgmt import GREETING_INTERVAL, Peer, PeerState, Roster
from spyder.bus.outcomes import Delivery, Positions
from spyder.errors import BusError, StoreError
from spyder.frontier.frontier import Frontier, SeedReport
from spyder.model.clock import Clock, StageTimes
from spyder.model.records import CrawlUri
from spyder.nodes.status import FAULTS, WorkerStatus
from spyder.settings import Settings, digests

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: Topic that every worker subscribes to.
ALL = b"all"
#: Seconds between attempts to commit after the store refused.
_COMMIT_RETRY = 1.0
#: Leases given out in one turn, so that messages get their turn too.
_TURN = 256
#: After so many times its patience a worker that gets no leases although it beats is given new sockets.
_DEAF_AFTER = 3
#: Seconds that a worker may need to notice that its time is over.
_ABORT_MARGIN = 0.5
#: Seconds after which a worker should have said that it judges by the rules that were edited.
_RULES_PATIENCE = 10.0
#: Workers that have parted and are remembered, so that old news of them is known as such.
_BURIED = 1000
#: Complaints that are all said; those that follow, one a second.
_SAID_AT_ONCE = 5
#: Complaints that are said once each; with more, the first are forgotten.
_COMPLAINTS = 1000


class MasterPort(Protocol):
    """What a coordinator has done for it."""

    def say(self, topic: bytes, message: MasterMessage) -> None:
        """Publish a management message to one worker, or to :data:`ALL`; it may get lost."""

    def open_pipe(self, worker: str) -> str:
        """Bind a PUSH socket for leases of *worker*; returns its address. Raises :class:`BusError` if none is free."""

    def push(self, worker: str, batch: LeaseBatch) -> None:
        """Send leases to *worker*; they may get lost."""

    def close_pipe(self, worker: str) -> None:
        """Close the PUSH socket of *worker*, and with it what was queued there."""

    def turn_soon(self) -> None:
        """Call :meth:`Coordinator.turn` when the messages that are there have been read."""

    def wake_in(self, seconds: float | None) -> None:
        """Call :meth:`Coordinator.turn` in *seconds*, instead of any earlier wish; None: not at all."""

    def welcome_again_in(self, seconds: float) -> None:
        """Call :meth:`Coordinator.repeat_welcomes` in *seconds*."""

    def end(self, reason: str) -> None:
        """The crawl is to end; the first reason counts."""


class Coordinator:
    """One master's decisions over one frontier.

    *expects_survivors*: workers of an earlier master may still live. Turns come when asked for (:class:`MasterPort`),
    :meth:`beat` every half ``bus.heartbeat``.
    """

    def __init__(self, settings: Settings, *, identity: str, frontier: Frontier, port: MasterPort, clock: Clock,
                 ends_when_done: bool = False, expects_survivors: bool = True,
                 times: StageTimes | None = None) -> None:
        self.identity = identity
        self.frontier = frontier
        self.outcomes = ""  #: address of the SUB socket for outcomes
        self.counts: Counter[str] = Counter()
        self.first_lease: float | None = None  #: seconds from the start to the first lease
        self.stopping = ""  #: why the master ends, once it does
        self.trouble = ""  #: why the frontier can't be written
        self.is_broken = False  #: what is staged can't be trusted
        self._settings = settings
        self._bus = settings.bus
        self._port = port
        self._clock = clock
        self._ends_when_done = ends_when_done
        self._times = times or StageTimes()
        self._patience = self._bus.heartbeat * self._bus.missed
        self._roster = Roster(digests=digests(settings), heartbeat=self._bus.heartbeat, missed=self._bus.missed)
        positions = frontier.take_positions()
        self._positions = Positions(positions)
        self._durable: dict[str, int] = {}  #: positions that a commit holds: what may be acknowledged
        self._to_acknowledge: set[str] = set()
        self._survivors: dict[str, int] = {}  #: workers of the last master and the sequence that they still bring
        self._grace_until = 0.0
        self._started_at = clock.monotonic()
        if expects_survivors:  # what they are fetching ends within twice their patience, or they tell of it
            self._survivors = dict.fromkeys(positions, -1)
            self._grace_until = self._started_at + 2 * self._patience + _ABORT_MARGIN
        self._buried: OrderedDict[str, float] = OrderedDict()  #: workers known to be dead, and since when
        self._retry_at = 0.0  #: monotonic time of the next attempt to commit, while there is trouble
        self._low_disk = ""  #: why nothing more is fetched although the frontier can be written
        self._said_pause = ""
        self._rules = ScopeRules(number=0)  #: of the scope: what every worker must judge links by
        self._strays: dict[str, float] = {}  #: workers that judge by other rules, and since when (monotonic)
        self._told_of: set[str] = set()  #: those of them that were complained about
        self._welcomes_again = False
        self._last_at: OrderedDict[str, float] = OrderedDict()  #: when workers that have parted spoke last
        self._complaints: set[str] = set()
        self._turned_away = Garbage(clock.monotonic)
        self._dropped = 0  #: frames dropped by workers that have parted
        self._resent = 0  #: batches of outcomes sent again by workers that have parted

    def change(self, change: Callable[[], T], *, refusal: str) -> T:
        """Stage a *change* of the frontier that a person asks for, and make it durable; returns what it returns.

        Raises :class:`StoreError` when it can't be stored, beginning with *refusal* when it was not even tried.
        """
        if self.is_broken or self.stopping or self.trouble:
            raise StoreError(f"{refusal}: {self.trouble or 'the master is ending'}")
        try:
            result = change()
        except Exception as error:  # half of it may be staged
            self._break_off(error)
            raise StoreError(f"the frontier failed: {error}") from error
        try:
            self.frontier.commit()
        except StoreError as error:
            self._commit_failed(error)
            raise
        self._port.turn_soon()
        return result

    def add_seeds(self, urls: Iterable[str]) -> SeedReport:
        """Add seeds durably: when this returns they are in the store. Raises :class:`StoreError` if they can't be."""
        return self.change(lambda: self.frontier.add_seeds(urls), refusal="no seeds can be taken now")

    def use_rules(self, rules: ScopeRules) -> None:
        """The rules of the scope were edited: no worker gets a lease before it has said that it judges by them."""
        self._rules = rules
        self._strays.clear()
        if len(self._roster):
            self._port.say(ALL, rules)

    # -- what arrives --------------------------------------------------------------------------------------------

    def hear(self, message: WorkerMessage) -> None:
        """Take a management message; an error half-way ends the master, and the last commit holds all that counts."""
        if self.is_broken:
            return
        try:
            self._hear(message)
        except Exception as error:  # noqa: BLE001  half of what it means may be staged
            self._break_off(error)

    def _hear(self, message: WorkerMessage) -> None:
        match message:
            case Fetched():
                peer = self._roster.get(message.worker)
                if peer is not None and peer.session == message.session:
                    self.frontier.fetched(message.notices)
            case WorkerHeartbeat():
                self._beaten(message)
            case Available():
                self._greet(message)
            case QuitAck():
                self._ended(message)
            case Gone():
                self._bury(message)
            case _:
                assert_never(message)

    def _greet(self, greeting: Available) -> None:
        """A worker greets: welcome it, again if it has not heard, anew if it had lost us."""
        if greeting.predecessor is not None:
            self._bury(greeting.predecessor)
        if self.stopping:
            self._port.say(greeting.worker.encode(), Quit(drain=0.0))
            return
        objection = self._roster.objection(greeting)
        if objection:
            self._port.say(greeting.worker.encode(), Refused(protocol=PROTOCOL_VERSION, reason=objection))
            self._complain(f"refused: {objection}")
            return
        if greeting.worker in self._buried or greeting.at < self._last_at.get(greeting.worker, 0.0):
            return  # it was overtaken, by the news of the worker's death or by what the worker said later
        peer = self._roster.get(greeting.worker)
        if peer is not None and peer.has_beaten:
            if greeting.at <= peer.at:
                return
            _log.warning("worker %s greets again; what it had not begun goes back", greeting.worker)
            self._part(greeting.worker, hold=2 * self._patience + _ABORT_MARGIN)  # what it holds is taken up at once
            peer = None
        if peer is None:
            peer = self._welcome(greeting)
        if peer is not None:
            self._say_welcome(peer)
            self._repeat_welcomes_soon()

    def _welcome(self, greeting: Available) -> Peer | None:
        """A session and a PUSH socket for a worker; None, and it goes on greeting, while there is no room for it."""
        if len(self._roster) >= self._bus.max_workers:
            self._complain(f"more workers greet than bus.max_workers ({self._bus.max_workers}) allows")
            return None
        try:
            push = self._port.open_pipe(greeting.worker)
        except BusError as error:
            self._complain(f"worker {greeting.worker} can't be welcome: {error}")
            return None
        adopted = self.frontier.adopt(greeting.worker, greeting.held)
        _log.info("worker %s greets: %d slots, version %s, %d leases begun before", greeting.worker, greeting.slots,
                  greeting.version, adopted)
        return self._roster.welcome(greeting, push, self._clock.monotonic())

    def _say_welcome(self, peer: Peer) -> None:
        self._port.say(peer.worker.encode(), Welcome(
            master=self.identity, epoch=self.frontier.epoch, session=peer.session, push=peer.push,
            outcomes=self.outcomes, heard=peer.greeting.at))
        if self._rules.number:
            self._port.say(peer.worker.encode(), self._rules)

    def _repeat_welcomes_soon(self) -> None:
        """Repeat welcomes until a probe shows that the worker's extractor, too, has heard."""
        if not self._welcomes_again:
            self._welcomes_again = True
            self._port.welcome_again_in(GREETING_INTERVAL)

    def repeat_welcomes(self) -> None:
        """Welcome those again whose probe has not come."""
        self._welcomes_again = False
        deaf = [peer for peer in self._roster if not peer.has_probed]
        for peer in deaf:
            self._say_welcome(peer)
        if deaf and not self.stopping:
            self._repeat_welcomes_soon()

    def _beaten(self, message: WorkerHeartbeat) -> None:
        now = self._clock.monotonic()
        peer = self._roster.beat(message, self.frontier.epoch, now)
        if peer is None:
            if not self.stopping and message.worker not in self._buried:
                self._port.say(message.worker.encode(), GreetAgain(epoch=self.frontier.epoch))
            return
        if peer.batches.delay(now) > _DEAF_AFTER * self._patience:
            _log.error("worker %s has got no leases for %.0f s although it lives: it is to greet again", peer.worker,
                       peer.batches.delay(now))
            self._part(peer.worker, hold=2 * self._patience + _ABORT_MARGIN)  # until it tells what it holds
            self._port.say(message.worker.encode(), GreetAgain(epoch=self.frontier.epoch))
            return
        for batch in peer.batches.confirm(message.received, now):
            _log.warning("worker %s did not get batch %d: sending it again", peer.worker, batch.number)
            self.counts["batches_resent"] += 1
            self._port.push(peer.worker, batch)
        if not message.held and message.received == peer.batches.last and self.frontier.held_by(peer.worker):
            returned = self.frontier.release(peer.worker)
            self.counts["leases_forgotten"] += returned
            _log.error("worker %s does not know of %d leases that it got; they go back", peer.worker, returned)

    def _ended(self, message: QuitAck) -> None:
        """A worker ended in good order: what it did not do goes back, what it could not report it has kept on disk."""
        if self._roster.get(message.worker) is None:
            return
        _log.info("worker %s ended, %d outcomes unacknowledged", message.worker, message.unacknowledged)
        if not message.unacknowledged:
            self._forget_position(message.worker)
        self._remember_end(message.worker)
        self._part(message.worker, is_lost=False)

    def _bury(self, gone: Gone) -> None:
        """A worker is dead: its leases go back at once, and what it died on gets a strike. Heard twice, counted once.

        Its last outcomes may still be on their way: its position is kept for a while.
        """
        if gone.worker in self._buried:
            return
        self._remember_end(gone.worker)
        if self._survivors.pop(gone.worker, 0) < 0:  # it served the last master, and never told this one what it held
            self.frontier.rest_hosts()
        _log.error("worker %s died: %s; its leases go back", gone.worker, gone.reason)
        self.counts["workers_lost"] += 1
        self._part(gone.worker)
        self.frontier.confirm_end(gone.worker)
        for key in gone.suspects:
            struck = self.frontier.strike(gone.worker, key, gone.reason)
            if struck is not None:
                url, state = struck
                _log.error("worker %s died on %s, which is %s now: %s", gone.worker, url, state.name.lower(),
                           gone.reason)
        self._port.turn_soon()

    def _remember_end(self, worker: str) -> None:
        self._buried[worker] = self._clock.monotonic()
        while len(self._buried) > _BURIED:
            self._forget_position(self._buried.popitem(last=False)[0])

    def _forget_position(self, worker: str) -> None:
        if worker in self._positions:
            self._positions.forget(worker)
            self.frontier.forget_position(worker)

    def take(self, message: OutcomeMessage) -> None:
        """Take a message of the outcome socket; what can't be settled now is left out, since it comes again."""
        if self.is_broken or self.trouble:
            return
        match message:
            case Probe():
                self._probed(message)
            case OutcomeBatch():
                self._settle(message)
            case _:
                assert_never(message)

    def _probed(self, probe: Probe) -> None:
        if self._roster.probed(probe.worker, probe.session) is None:
            return
        position = self._positions.announce(probe.worker, probe.sequence)
        self.frontier.note_position(probe.worker, position)
        if probe.worker in self._survivors:
            self._survivors[probe.worker] = probe.last
        self._to_acknowledge.add(probe.worker)

    def _settle(self, batch: OutcomeBatch) -> None:
        peer = self._roster.get(batch.worker)
        if batch.worker not in self._positions:
            self.counts["outcomes_unannounced"] += 1  # the worker probes first; what it sent before comes again
            return
        match self._positions.judge(batch.worker, batch.sequence):
            case Delivery.NEW:
                try:
                    self.frontier.settle(batch.worker, batch.outcomes)
                except Exception as error:  # noqa: BLE001  half a batch is staged: only the last commit can be trusted
                    self._break_off(error)
                    return
                self.frontier.note_position(batch.worker, batch.sequence)
                self._to_acknowledge.add(batch.worker)
                self._times.lap("settle")
            case Delivery.REPEATED:
                self.counts["outcomes_repeated"] += len(batch.outcomes)
                self._to_acknowledge.add(batch.worker)
            case Delivery.GAP:
                self.counts["outcome_gaps"] += 1
        if peer is not None:
            peer.heard_at = self._clock.monotonic()

    def _break_off(self, error: Exception) -> None:
        """The frontier failed half-way: acknowledge and store nothing more; the last commit holds all that counts."""
        self.is_broken = True
        self._to_acknowledge.clear()
        _log.error("the frontier failed: %s: %s", type(error).__name__, error, exc_info=error)
        self._port.end(f"task frontier failed: {error}")

    # -- the turn ------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Commit, acknowledge, lease: the order that the guarantee rests on."""
        if self.is_broken or self._clock.monotonic() < self._retry_at:
            return
        self._times.start()
        try:
            self._await_survivors()
            self._commit()
            self._times.lap("commit")
            self._acknowledge()
            if self.stopping:
                return
            if not self._low_disk and not self.is_in_grace:
                self._lease()
        except _NotNowError:
            return
        except Exception as error:  # noqa: BLE001  half-way through a decision: better an early end than wrong books
            self._break_off(error)
            return
        self._times.lap("lease")
        if self.frontier.has_staged:  # URIs were refused: that is to be durable, too
            self._port.turn_soon()
        self._end_if_done()
        self._wake_in_time()

    def _commit(self) -> None:
        """What time brings is staged with what came in, and committed; after a failure that comes first."""
        if not self.trouble:
            self.frontier.maintain()
        try:
            if self.frontier.commit():
                self.counts["commits"] += 1
        except StoreError as error:
            self._commit_failed(error)
            raise _NotNowError from error
        if self.trouble:
            _log.warning("the frontier can be written again")
            self.trouble = ""
            self._say_pause()
            self._port.turn_soon()

    def _commit_failed(self, error: StoreError) -> None:
        """Nothing is acknowledged and nothing leased until a commit succeeds: what workers hold waits with them."""
        if self.trouble != str(error):
            self.trouble = str(error)
            _log.error("the frontier can't be written: %s; trying again every %g s, nothing is lost", error,
                       _COMMIT_RETRY)
            self._say_pause()
        self.counts["commits_failed"] += 1
        self._retry_at = self._clock.monotonic() + _COMMIT_RETRY
        self._port.wake_in(_COMMIT_RETRY)

    def _acknowledge(self) -> None:
        for worker in self._to_acknowledge:
            position = self._positions.position(worker)
            if self._roster.get(worker) is not None:
                self._durable[worker] = position
            self._port.say(worker.encode(), Ack(epoch=self.frontier.epoch, sequence=position))
        self._to_acknowledge.clear()

    def _lease(self) -> None:
        """Give every ready worker what it has room for."""
        room = {}
        for peer in self._ready():
            free = peer.slots - self.frontier.held_by(peer.worker)
            if free > 0:
                room[peer.worker] = min(free, _TURN)
        if not room:
            return
        by_worker: dict[str, list[CrawlUri]] = {}
        for grant in self.frontier.lease(room):
            by_worker.setdefault(grant.worker, []).append(grant.uri)
        now = self._clock.monotonic()
        if by_worker and self.first_lease is None:
            self.first_lease = self.elapsed
        for worker, uris in by_worker.items():
            holder = self._roster.get(worker)
            assert holder is not None
            self._port.push(worker, holder.batches.batch(uris, now))
            self.counts["batches"] += 1

    def _ready(self) -> list[Peer]:
        """The workers that may get leases: what they report is in scope by the rules that hold now."""
        return [peer for peer in self._roster.ready() if peer.scope == self._rules.number]

    @property
    def is_in_grace(self) -> bool:
        """True while outcomes may still come that workers finished under the last master: first these, then leases."""
        return bool(self._survivors)

    def _await_survivors(self) -> None:
        """Wait for the last master's workers no longer once they have delivered, or when they must be dead."""
        if not self._survivors:
            return
        self._survivors = {worker: last for worker, last in self._survivors.items()
                           if last < 0 or self._positions.position(worker) < last}
        if self._clock.monotonic() >= self._grace_until:
            unheard = [worker for worker, last in self._survivors.items() if last < 0]
            for worker in unheard:
                self.frontier.forget_position(worker)
            if unheard:
                self.frontier.rest_hosts()
            self._survivors = {}

    def _end_if_done(self) -> None:
        if not self._ends_when_done:
            return
        if self.frontier.is_idle and self.frontier.books.discovered:
            self._port.end("done")
        elif self.frontier.is_limit_reached and not self.frontier.leased:
            self._port.end("page limit")
        elif self._settings.limits.time is not None and self.elapsed >= self._settings.limits.time:
            self._port.end("time limit")

    def _wake_in_time(self) -> None:
        """Have a turn when time alone makes something possible."""
        times = []
        at = self.frontier.next_wake()
        if at is not None and self.free_slots and not self._low_disk and not self.is_in_grace:
            times.append(max(0.0, at - self._clock.now()))
        if self._settings.limits.time is not None and self._ends_when_done:
            times.append(max(0.0, self._settings.limits.time - self.elapsed))
        if self._survivors:
            times.append(0.05)
        self._port.wake_in(max(0.001, min(times)) if times else None)

    # -- workers -------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Send heartbeats, repeat acknowledgements, miss those who don't send theirs. Every half ``bus.heartbeat``."""
        if self.is_broken:
            return
        try:
            self._beat()
        except Exception as error:  # noqa: BLE001  as in :meth:`hear`
            self._break_off(error)

    def _beat(self) -> None:
        now = self._clock.monotonic()
        acks = {peer.worker: self._durable[peer.worker] for peer in self._roster
                if peer.has_probed and peer.worker in self._durable}
        self._port.say(ALL, MasterHeartbeat(
            master=self.identity, epoch=self.frontier.epoch, acks=acks, scope=self.frontier.scope_version,
            heard={peer.worker: peer.at for peer in self._roster}, paused=self.pause))
        self._tell_strays(now)
        for peer in self._roster.lost(now):
            _log.error("worker %s missed %d heartbeats; its leases go back", peer.worker, self._bus.missed)
            self.counts["workers_lost"] += 1
            self._let_go(peer, hold=self._patience + _ABORT_MARGIN)
        for worker in [worker for worker, since in self._buried.items() if now - since > self._patience]:
            self._forget_position(worker)  # the worker itself stays known: its end may be reported again
        self._port.turn_soon()

    def _tell_strays(self, now: float) -> None:
        """Repeat the rules to workers that judge by others; of those that never hear it is said once."""
        strays = [peer.worker for peer in self._roster if peer.has_beaten and peer.scope != self._rules.number]
        before = self._strays
        self._strays = {worker: before.get(worker, now) for worker in strays}
        for worker in strays:
            self._port.say(worker.encode(), self._rules)
            if self._is_stray(worker, now) and worker not in self._told_of:
                self.counts["rules_unconfirmed"] += 1
                _log.error("worker %s has not taken the rules of the scope for %.0f s, and gets no leases: restart it",
                           worker, now - self._strays[worker])
        self._told_of = {worker for worker in strays if self._is_stray(worker, now)}

    def _is_stray(self, worker: str, now: float) -> bool:
        return now - self._strays.get(worker, now) >= _RULES_PATIENCE

    def _trouble_of(self, peer: Peer) -> str:
        """Why a worker takes nothing, in words; empty when it does."""
        if not peer.load.trouble and peer.worker in self._told_of:
            return "it has not taken the rules of the scope: restart it"
        return peer.load.trouble

    def _part(self, worker: str, *, is_lost: bool = True, hold: float = 0.0) -> None:
        """A worker is no longer welcome: its socket is closed, its leases go back."""
        peer = self._roster.remove(worker)
        if peer is not None:
            self._let_go(peer, is_lost=is_lost, hold=hold)

    def _let_go(self, peer: Peer, *, is_lost: bool = True, hold: float = 0.0) -> None:
        self._durable.pop(peer.worker, None)
        self._last_at[peer.worker] = peer.at
        while len(self._last_at) > _BURIED:
            self._last_at.popitem(last=False)
        self._dropped += peer.load.dropped
        self._resent += peer.load.resent
        self._port.close_pipe(peer.worker)
        returned = self.frontier.release(peer.worker, is_lost=is_lost, hold=hold)
        if returned:
            _log.info("%d leases of %s went back", returned, peer.worker)
        self._port.turn_soon()

    def _complain(self, line: str) -> None:
        """Log an error that may repeat itself, once."""
        if line not in self._complaints:
            if len(self._complaints) >= _COMPLAINTS:
                self._complaints.clear()
            self._complaints.add(line)
            if len(self._complaints) <= _SAID_AT_ONCE:
                _log.error("%s", line)
            elif complaint := self._turned_away.say(line):
                _log.error("%s", complaint)

    # -- pause and end -------------------------------------------------------------------------------------------

    @property
    def pause(self) -> str:
        """Why nothing more is fetched now; empty when all is well."""
        return self.trouble or self._low_disk

    def workers_trouble(self) -> str:
        """Why no worker takes anything, when none does."""
        troubles = [self._trouble_of(peer) for peer in self._roster]
        return f"{len(troubles)} of {len(troubles)} workers: {troubles[0]}" if troubles and all(troubles) else ""

    def note_disk(self, trouble: str) -> None:
        """Take what is wrong with the frontier's disk, empty when all is well: with little room nothing is leased."""
        if trouble and not self._low_disk:
            _log.error("%s: nothing more is fetched until there is room", trouble)
        elif self._low_disk and not trouble:
            _log.warning("there is room on the frontier's disk again")
            self._port.turn_soon()
        self._low_disk = trouble
        self._say_pause()

    def _say_pause(self) -> None:
        """Tell workers at once when a pause begins or ends; heartbeats repeat it."""
        if bool(self.pause) != bool(self._said_pause):
            self._said_pause = self.pause
            self._port.say(ALL, Pause(reason=self.pause) if self.pause else Resume())

    def stop(self) -> None:
        """From now on give out nothing, and let all workers end."""
        self.stopping = "asked to stop"
        for peer in self._roster:
            peer.state = PeerState.QUITTING

    def say_quit(self) -> None:
        """Tell all workers to end; to be repeated while there are any."""
        self._port.say(ALL, Quit(drain=self._settings.worker.drain))

    def finish(self) -> None:
        """Take back what workers hold that did not end in time, and commit for the last time."""
        for peer in list(self._roster):
            _log.error("worker %s did not end in time; its leases go back", peer.worker)
            self._part(peer.worker)
        try:
            if not self.is_broken:
                self.frontier.commit()
        except StoreError as error:
            _log.error("the last outcomes can't be written: %s; their pages are fetched again", error)

    # -- what can be asked ---------------------------------------------------------------------------------------

    @property
    def roster(self) -> Roster:
        """All workers that are welcome."""
        return self._roster

    @property
    def low_disk(self) -> str:
        """Why nothing more is fetched although the frontier can be written; empty when all is well."""
        return self._low_disk

    @property
    def elapsed(self) -> float:
        """Seconds since start."""
        return self._clock.monotonic() - self._started_at

    @property
    def workers(self) -> int:
        """Workers that are welcome."""
        return len(self._roster)

    @property
    def free_slots(self) -> int:
        """Leases that ready workers have room for."""
        return sum(max(0, peer.slots - self.frontier.held_by(peer.worker)) for peer in self._ready())

    def faults(self) -> dict[str, int]:
        """Everything that went wrong and was survived, by the names of :data:`FAULTS`."""
        counts = self.frontier.counts + self.counts
        counts["frames_dropped"] += self._dropped + sum(peer.load.dropped for peer in self._roster)
        counts["outcomes_resent"] += self._resent + sum(peer.load.resent for peer in self._roster)
        return {name: counts[name] for name in FAULTS}

    def worker_statuses(self) -> tuple[WorkerStatus, ...]:
        """All workers as ``spyder status`` shows them."""
        return tuple(WorkerStatus(
            worker=peer.worker, version=peer.greeting.version, state=peer.state.name.lower(), slots=peer.slots,
            leased=self.frontier.held_by(peer.worker), pids=peer.greeting.pids,
            load=msgspec.structs.replace(peer.load, trouble=self._trouble_of(peer)))
            for peer in self._roster)


class _NotNowError(Exception):
    """The frontier can't be written now; the turn ends."""
