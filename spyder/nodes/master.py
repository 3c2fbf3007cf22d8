"""The master: joins the frontier with the bus. It gives leases out, takes outcomes in, and knows its workers."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections import Counter
from collections.abc import Iterable
from typing import assert_never

import msgspec

from spyder import __version__, plugins
from spyder.bus import sockets as zsockets
from spyder.bus.garbage import Garbage
from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Ack,
    Available,
    Codec,
    Fetched,
    Gone,
    GreetAgain,
    LeaseBatch,
    MasterHeartbeat,
    MasterMessage,
    OutcomeBatch,
    OutcomeMessage,
    Probe,
    Quit,
    QuitAck,
    Refused,
    Welcome,
    WorkerHeartbeat,
    WorkerMessage,
    read_stranger,
)
from spyder.bus.mgmt import GREETING_INTERVAL, Peer, PeerState, Roster
from spyder.bus.outcomes import Delivery, Positions
from spyder.bus.sockets import Frames, Reader, Sender, Socket, Sockets, bind_push
from spyder.errors import BusError, MessageError, StoreError
from spyder.frontier.frontier import Frontier, SeedReport
from spyder.model.clock import Clock, StageTimes, cpu_seconds
from spyder.model.records import CrawlUri
from spyder.model.scoping import HostScoping
from spyder.model.url import UriIdentity
from spyder.nodes.disk import DiskWatch
from spyder.nodes.status import Rate, Status, WorkerStatus
from spyder.runtime import resident_memory, settle_memory
from spyder.settings import Settings, digests, host_name

_log = logging.getLogger(__name__)

#: Seconds between attempts to commit after the store refused.
_COMMIT_RETRY = 1.0
#: Leases given out in one turn, so that messages get their turn too.
_TURN = 256
#: Batches of outcomes that share a commit at the most: more would keep the hosts waiting.
_OUTCOME_BURST = 4
#: Workers turned away that are remembered, so that each is spoken of once.
_REFUSALS_REMEMBERED = 1000
#: Topic that every worker subscribes to.
_ALL = b"all"


class Master:
    """One master over one frontier; :meth:`wait` returns why it ended."""

    def __init__(self, settings: Settings, *, sockets: Sockets, clock: Clock, ends_when_done: bool = False,
                 expects_survivors: bool = True, is_profiled: bool = False) -> None:
        self._settings = settings
        self._bus = settings.bus
        self._sockets = sockets
        self._clock = clock
        self._ends_when_done = ends_when_done
        self._times = StageTimes(enabled=is_profiled)
        self.identity = f"master:{host_name()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.frontier = open_frontier(settings, clock)
        self._roster = Roster(digests=digests(settings), heartbeat=self._bus.heartbeat, missed=self._bus.missed)
        positions = self.frontier.take_positions()
        self._positions = Positions(positions)
        self._survivors: dict[str, int] = {}  #: workers of the last master and the sequence that they still bring
        self._grace_until = 0.0
        if expects_survivors:
            self._survivors = dict.fromkeys(positions, -1)
            self._grace_until = clock.monotonic() + self._bus.heartbeat * self._bus.missed
        self._push: dict[str, _LeasePipe] = {}
        self._from_worker: Codec[WorkerMessage] = Codec(WorkerMessage, limit=self._bus.max_message)
        self._to_worker: Codec[MasterMessage] = Codec(MasterMessage, limit=self._bus.max_message)
        self._leases: Codec[LeaseBatch] = Codec(LeaseBatch, limit=self._bus.max_message)
        self._outcomes: Codec[OutcomeMessage] = Codec(OutcomeMessage, limit=self._bus.max_message)
        self._to_acknowledge: set[str] = set()
        self._readers: list[Reader] = []
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[str] = self._loop.create_future()
        self._wake: asyncio.TimerHandle | None = None
        self._welcome_timer: asyncio.TimerHandle | None = None
        self._is_turn_due = False
        self._is_started = False
        self._is_closed = False
        self._is_broken = False  #: what is staged can't be trusted
        self._beat_task: asyncio.Task[None] | None = None
        self._stopping = ""
        self._trouble = ""  #: why the frontier can't be written
        self._retry_at = 0.0  #: monotonic time of the next attempt then
        self._disk = DiskWatch(settings.frontier_directory,
                               0 if settings.frontier.store == "memory" else settings.frontier.reserve,
                               setting="frontier.reserve")
        self._shortage = ""  #: why nothing more is leased: the disk's reserve
        self._durable: dict[str, int] = {}  #: positions that a commit holds: what may be acknowledged
        self._started_at = clock.monotonic()
        self._first_lease: float | None = None
        self._counts: Counter[str] = Counter()
        self._rate = Rate()
        self._push_number = 0
        self._refusals: set[str] = set()
        self._garbage = Garbage(clock.monotonic)
        self._turned_away = Garbage(clock.monotonic)

    # -- start and end -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind the three addresses and begin to listen. Raises :class:`spyder.errors.BusError` if one can't be."""
        settle_memory()
        self._mgmt_out = self._sockets.publisher(bind=self._bus.mgmt_master, is_lossy=True)
        mgmt_in = self._sockets.subscriber(bind=self._bus.mgmt_worker)
        outcomes_in = self._sockets.subscriber(bind=self._bus.outcomes)
        self._outcomes_address = zsockets.endpoint(outcomes_in)
        self._readers = [Reader(mgmt_in, self._hear, on_burst=self._turn_soon),
                         Reader(outcomes_in, self._take, on_burst=self._turn, burst=_OUTCOME_BURST)]
        self._beat_task = asyncio.create_task(self._beat(), name="heartbeat")
        self._beat_task.add_done_callback(self._task_ended)
        self._is_started = True
        self._turn_soon()

    async def wait(self) -> str:
        """Wait until the crawl is to end; returns the reason: done, limit, or what :meth:`end` was told."""
        return await self._end

    def end(self, reason: str) -> None:
        """Make :meth:`wait` return."""
        if not self._end.done():
            self._end.set_result(reason)

    async def stop(self) -> Status:
        """End in good order: no more leases, workers drain, what they did not do goes back, everything is durable.

        Returns the last figures, with those of the workers from before their end.
        """
        workers = self.status().workers
        self._stopping = "asked to stop"
        deadline = self._clock.monotonic() + self._settings.worker.drain + 2 * self._bus.linger
        for peer in self._roster:
            peer.state = PeerState.QUITTING
        told_at = 0.0
        while len(self._roster) and self._clock.monotonic() < deadline:
            if self._clock.monotonic() - told_at > self._bus.heartbeat / 2:
                told_at = self._clock.monotonic()
                self._say(_ALL, Quit(drain=self._settings.worker.drain))
            await asyncio.sleep(0.005)
        for peer in list(self._roster):
            _log.error("worker %s did not end in time; its leases go back", peer.worker)
            self._part(peer.worker)
        try:
            if not self._is_broken:
                self.frontier.commit()
        except StoreError as error:
            _log.error("the last outcomes can't be written: %s; their pages are fetched again", error)
        status = msgspec.structs.replace(self.status(), workers=workers)
        self.close()
        return status

    def close(self) -> None:
        """Let go of everything but the sockets, whatever happened; does nothing the second time."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._beat_task is not None:
            self._beat_task.cancel()
        for timer in (self._wake, self._welcome_timer):
            if timer is not None:
                timer.cancel()
        for reader in self._readers:
            reader.close()
        for pipe in self._push.values():
            pipe.sender.close()
        try:
            if self._is_broken:
                self.frontier.abandon()
            else:
                self.frontier.close()
        except StoreError as error:
            _log.error("the frontier can't be closed in good order: %s", error)

    def add_seeds(self, urls: Iterable[str]) -> SeedReport:
        """Add seeds durably: when this returns they are in the store."""
        if self._is_broken or self._is_closed or self._trouble:
            raise StoreError(f"no seeds can be taken now: {self._trouble or 'the master is ending'}")
        try:
            report = self.frontier.add_seeds(urls)
        except Exception as error:  # half of the seeds may be staged
            self._break(error)
            raise StoreError(f"the frontier failed: {error}") from error
        try:
            self.frontier.commit()
        except StoreError as error:
            self._commit_failed(error)
            raise
        self._turn_soon()
        return report

    # -- what arrives --------------------------------------------------------------------------------------------

    def _hear(self, frames: Frames) -> None:
        try:
            message = self._from_worker.read(frames)
        except MessageError as error:
            stranger = read_stranger(frames[-1])
            if stranger is None:
                self._drop("management message", error)
                return
            message = stranger
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
                _log.info("worker %s ended, %d outcomes unacknowledged", message.worker, message.unacknowledged)
                if not message.unacknowledged:
                    self._positions.forget(message.worker)
                    self.frontier.forget_position(message.worker)
                self._part(message.worker)
            case Gone():
                if self._roster.get(message.worker) is not None:
                    _log.error("worker %s died: %s; its leases go back", message.worker, message.reason)
                    self._counts["workers_lost"] += 1
                    self._positions.forget(message.worker)
                    self.frontier.forget_position(message.worker)
                    self._part(message.worker)
            case _:
                assert_never(message)

    def _greet(self, greeting: Available) -> None:
        """A worker greets: welcome it, again if it has not heard, anew if it had lost us."""
        if self._stopping:
            self._say(greeting.worker.encode(), Quit(drain=0.0))
            return
        objection = self._roster.objection(greeting)
        if objection:
            self._say(greeting.worker.encode(), Refused(protocol=PROTOCOL_VERSION, reason=objection))
            self._refuse(greeting.worker, objection)
            return
        peer = self._roster.get(greeting.worker)
        if peer is not None and peer.has_beaten:
            _log.warning("worker %s greets again; its leases go back", greeting.worker)
            self._part(greeting.worker)
            peer = None
        if peer is None:
            peer = self._welcome(greeting)
        if peer is not None:
            self._say_welcome(peer)
            self._repeat_welcomes_soon()

    def _welcome(self, greeting: Available) -> Peer | None:
        """A session and a PUSH socket for a worker; None, and it goes on greeting, while no address is free."""
        if len(self._roster) >= self._bus.max_workers:
            self._refuse(greeting.worker, f"worker {greeting.worker} can't be welcome: {len(self._roster)} others are "
                                          f"(bus.max_workers)")
            return None
        try:
            pipe = _LeasePipe(*bind_push(self._sockets, self._bus.push, self._push_number + 1))
        except BusError as error:
            self._refuse(greeting.worker, f"worker {greeting.worker} can't be welcome: {error}")
            return None
        self._push_number += 1
        self._push[greeting.worker] = pipe
        _log.info("worker %s greets: %d slots, version %s", greeting.worker, greeting.slots, greeting.version)
        return self._roster.welcome(greeting, self._clock.monotonic())

    def _say_welcome(self, peer: Peer) -> None:
        self._say(peer.worker.encode(), Welcome(
            master=self.identity, epoch=self.frontier.epoch, session=peer.session, push=self._push[peer.worker].address,
            outcomes=self._outcomes_address))

    def _repeat_welcomes_soon(self) -> None:
        """Repeat welcomes until a probe shows that the worker's extractor, too, has heard."""
        if self._welcome_timer is None:
            self._welcome_timer = self._loop.call_later(GREETING_INTERVAL, self._repeat_welcomes)

    def _repeat_welcomes(self) -> None:
        self._welcome_timer = None
        deaf = [peer for peer in self._roster if not peer.has_probed]
        for peer in deaf:
            self._say_welcome(peer)
        if deaf and not self._stopping:
            self._repeat_welcomes_soon()

    def _beaten(self, message: WorkerHeartbeat) -> None:
        now = self._clock.monotonic()
        peer = self._roster.beat(message, self.frontier.epoch, now)
        if peer is None:
            if not self._stopping:
                self._say(message.worker.encode(), GreetAgain(epoch=self.frontier.epoch))
            return
        for batch in peer.batches.confirm(message.received, now):
            _log.warning("worker %s did not get batch %d: sending it again", peer.worker, batch.number)
            self._counts["batches_resent"] += 1
            self._push[peer.worker].sender.send([self._leases.encode(batch)])

    def _take(self, frames: Frames) -> None:
        """A message on the outcome socket; what can't be settled now is left out, since it comes again."""
        if self._is_broken or self._trouble:
            return
        self._times.start()
        try:
            message = self._outcomes.read(frames)
        except MessageError as error:
            self._drop("outcome message", error)
            return
        self._times.lap("receive")
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
            self._counts["outcomes_unannounced"] += 1  # the worker probes first; what it sent before comes again
            return
        match self._positions.judge(batch.worker, batch.sequence):
            case Delivery.NEW:
                try:
                    self.frontier.settle(batch.worker, batch.outcomes)
                except Exception as error:  # noqa: BLE001  half a batch is staged: only the last commit can be trusted
                    self._break(error)
                    return
                self.frontier.note_position(batch.worker, batch.sequence)
                self._to_acknowledge.add(batch.worker)
                self._times.lap("settle")
            case Delivery.REPEATED:
                self._counts["outcomes_repeated"] += len(batch.outcomes)
                self._to_acknowledge.add(batch.worker)
            case Delivery.GAP:
                self._counts["outcome_gaps"] += 1
        if peer is not None:
            peer.heard_at = self._clock.monotonic()

    def _break(self, error: Exception) -> None:
        """The frontier failed half-way: acknowledge and store nothing more; the last commit holds all that counts."""
        self._is_broken = True
        self._to_acknowledge.clear()
        _log.error("the frontier failed: %s: %s", type(error).__name__, error, exc_info=error)
        self.end(f"task frontier failed: {error}")

    # -- the turn ------------------------------------------------------------------------------------------------

    def _turn_soon(self) -> None:
        """Have a turn when the messages that are there have been read."""
        if not self._is_turn_due and self._is_started:
            self._is_turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Commit, acknowledge, lease: the order that the guarantee rests on."""
        self._is_turn_due = False
        if self._is_closed or self._is_broken or self._clock.monotonic() < self._retry_at:
            return
        self._times.start()
        try:
            self._commit()
            self._times.lap("commit")
            self._acknowledge()
            if self._stopping:
                return
            if not self._is_in_grace() and not self._is_disk_short():
                self._lease()
        except _NotNowError:
            return
        except Exception as error:  # noqa: BLE001  half-way through a decision: better an early end than wrong books
            self._break(error)
            return
        self._times.lap("lease")
        self._end_if_done()
        self._wake_in_time()

    def _commit(self) -> None:
        """What time brings is staged with what came in, and committed; after a failure that comes first."""
        if not self._trouble:
            self.frontier.maintain()
        try:
            if self.frontier.commit():
                self._counts["commits"] += 1
        except StoreError as error:
            self._commit_failed(error)
            raise _NotNowError from error
        if self._trouble:
            _log.warning("the frontier can be written again")
            self._trouble = ""
            self._turn_soon()

    def _commit_failed(self, error: StoreError) -> None:
        """Nothing is acknowledged and nothing leased until a commit succeeds: what workers hold waits with them."""
        if self._trouble != str(error):
            self._trouble = str(error)
            _log.error("the frontier can't be written: %s; trying again every %g s, nothing is lost", error,
                       _COMMIT_RETRY)
        self._counts["commits_failed"] += 1
        self._retry_at = self._clock.monotonic() + _COMMIT_RETRY
        self._wake_in(_COMMIT_RETRY)

    def _acknowledge(self) -> None:
        for worker in self._to_acknowledge:
            position = self._durable[worker] = self._positions.position(worker)
            self._say(worker.encode(), Ack(epoch=self.frontier.epoch, sequence=position))
        self._to_acknowledge.clear()

    def _is_disk_short(self) -> bool:
        """True while the frontier's disk has less free than its reserve: what is under way is settled within that."""
        shortage = self._disk.trouble(self._clock.monotonic())
        if shortage and not self._shortage:
            _log.error("%s: nothing more is fetched until there is room", shortage)
        elif self._shortage and not shortage:
            _log.warning("there is room on the frontier's disk again")
        self._shortage = shortage
        return bool(shortage)

    def _lease(self) -> None:
        """Give every ready worker what it has room for."""
        room = {}
        for peer in self._roster.ready():
            free = peer.slots - self.frontier.held_by(peer.worker)
            if free > 0:
                room[peer.worker] = min(free, _TURN)
        if not room:
            return
        by_worker: dict[str, list[CrawlUri]] = {}
        for grant in self.frontier.lease(room):
            by_worker.setdefault(grant.worker, []).append(grant.uri)
        now = self._clock.monotonic()
        if by_worker and self._first_lease is None:
            self._first_lease = self.elapsed
        for worker, uris in by_worker.items():
            holder = self._roster.get(worker)
            assert holder is not None
            batch = holder.batches.batch(uris, now)
            self._push[worker].sender.send([self._leases.encode(batch)])
            self._counts["batches"] += 1

    def _is_in_grace(self) -> bool:
        """True while outcomes may still come that workers finished under the last master: first these, then leases."""
        if not self._survivors:
            return False
        self._survivors = {worker: last for worker, last in self._survivors.items()
                           if last < 0 or self._positions.position(worker) < last}
        if self._clock.monotonic() >= self._grace_until:
            self._survivors = {}
        return bool(self._survivors)

    def _end_if_done(self) -> None:
        if not self._ends_when_done or self._end.done():
            return
        if self.frontier.is_idle and self.frontier.books.discovered:
            self.end("done")
        elif self.frontier.is_limit_reached and not self.frontier.leased:
            self.end("page limit")
        elif self._settings.limits.time is not None and self.elapsed >= self._settings.limits.time:
            self.end("time limit")

    def _wake_in_time(self) -> None:
        """Have a turn when time alone makes something possible."""
        times = []
        at = self.frontier.next_wake()
        if at is not None and any(peer.slots > self.frontier.held_by(peer.worker) for peer in self._roster.ready()):
            times.append(max(0.0, at - self._clock.now()))
        if self._settings.limits.time is not None and self._ends_when_done and not self._end.done():
            times.append(max(0.0, self._settings.limits.time - self.elapsed))
        if self._survivors:
            times.append(0.05)
        self._wake_in(max(0.001, min(times)) if times else None)

    def _wake_in(self, seconds: float | None) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None if seconds is None else self._loop.call_later(seconds, self._turn_soon)

    # -- workers -------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Send heartbeats, repeat acknowledgements, miss those who don't send theirs."""
        while True:
            acks = {peer.worker: self._durable[peer.worker] for peer in self._roster
                    if peer.has_probed and peer.worker in self._durable}
            self._say(_ALL, MasterHeartbeat(master=self.identity, epoch=self.frontier.epoch, acks=acks,
                                            scope=self.frontier.scope_version))
            for peer in self._roster.lost(self._clock.monotonic()):
                _log.error("worker %s missed %d heartbeats; its leases go back", peer.worker, self._bus.missed)
                self._counts["workers_lost"] += 1
                self._let_go(peer.worker)
            self._rate.note(self._clock.monotonic(), self.frontier.counts["fetches"])
            self._turn_soon()
            await asyncio.sleep(self._bus.heartbeat / 2)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error("task %s died", task.get_name(), exc_info=task.exception())
            self.end(f"task {task.get_name()} died: {task.exception()}")

    def _part(self, worker: str) -> None:
        """A worker is no longer welcome: its socket is closed, its leases go back."""
        if self._roster.remove(worker) is not None:
            self._let_go(worker)

    def _let_go(self, worker: str) -> None:
        pipe = self._push.pop(worker)
        self._durable.pop(worker, None)
        pipe.sender.close()
        self._sockets.close(pipe.socket, linger=0)
        returned = self.frontier.release(worker)
        if returned:
            _log.info("%d leases of %s went back", returned, worker)
        self._turn_soon()

    def _say(self, topic: bytes, message: MasterMessage) -> None:
        zsockets.send(self._mgmt_out, [topic, self._to_worker.encode(message)])

    def _drop(self, what: str, error: MessageError) -> None:
        self._counts["garbage"] += 1
        if line := self._garbage.take(what, error):
            _log.warning("%s", line)

    def _refuse(self, worker: str, why: str) -> None:
        """Say once that *worker* is turned away; a stranger who makes up names does not fill the memory with them."""
        if len(self._refusals) >= _REFUSALS_REMEMBERED:
            self._refusals.clear()
        if worker not in self._refusals:
            self._refusals.add(worker)
            if line := self._turned_away.say(f"refused: {why}"):
                _log.error("%s", line)

    # -- what can be asked ---------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds since start."""
        return self._clock.monotonic() - self._started_at

    @property
    def workers(self) -> int:
        """Workers that are welcome."""
        return len(self._roster)

    def status(self) -> Status:
        """Everything that ``spyder status`` shows."""
        frontier = self.frontier
        running = "running" if self._is_started else "starting"
        pause = self._trouble or self._shortage or self._worker_trouble()
        state = "stopping" if self._stopping else "paused" if pause else running
        return Status(
            master=self.identity, version=__version__, epoch=frontier.epoch, project=self._settings.project.name,
            state=state, reason=self._stopping or pause, elapsed=self.elapsed, books=frontier.books,
            is_balanced=frontier.books.is_balanced, leased=frontier.leased, active_hosts=frontier.active_hosts,
            busy_hosts=frontier.busy_hosts, pages_per_second=self._rate.per_second(),
            counts=dict(sorted((frontier.counts + self._counts).items())),
            workers=tuple(self._worker_status(peer) for peer in self._roster), cpu=cpu_seconds(),
            memory=resident_memory(), store_size=frontier.store_size(), commits=self._counts["commits"],
            stages=dict(self._times.seconds), first_lease=self._first_lease)

    def _worker_trouble(self) -> str:
        """Why no worker takes anything, when none does."""
        troubles = [peer.load.trouble for peer in self._roster]
        return f"{len(troubles)} of {len(troubles)} workers: {troubles[0]}" if troubles and all(troubles) else ""

    def _worker_status(self, peer: Peer) -> WorkerStatus:
        return WorkerStatus(worker=peer.worker, version=peer.greeting.version, state=peer.state.name.lower(),
                            slots=peer.slots, leased=self.frontier.held_by(peer.worker), pids=peer.greeting.pids,
                            load=peer.load)


class _NotNowError(Exception):
    """The frontier can't be written now; the turn ends."""


class _LeasePipe:
    """The PUSH socket of one worker."""

    def __init__(self, socket: Socket, address: str) -> None:
        self.socket = socket
        self.address = address
        self.sender = Sender(socket)


def open_frontier(settings: Settings, clock: Clock) -> Frontier:
    """The frontier that the settings describe, on its store.

    Raises :class:`StoreError` when the store can't be opened or was built otherwise.
    """
    section = settings.frontier
    store = plugins.find("store", section.store).open(settings.frontier_directory, cache=section.cache)
    try:
        prioritizer = plugins.find("prioritizer", section.priority)()
        identity = UriIdentity(plugins.find("canonical", section.canonical),
                               plugins.find("assignment", section.assignment))
        return Frontier(
            store=store, clock=clock, identity=identity, scoping=HostScoping(settings.scope.mode),
            prioritizer=prioritizer, frontier=section, politeness=settings.politeness, retry=settings.retry,
            limits=settings.limits, project=settings.project.name)
    except BaseException:
        store.close()
        raise
