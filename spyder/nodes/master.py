"""The master's process: the sockets, the timers and the store under a :class:`Coordinator`, which decides."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from spyder import __version__, plugins
from spyder.bus import sockets as zsockets
from spyder.bus.garbage import Garbage
from spyder.bus.messages import Codec, LeaseBatch, MasterMessage, OutcomeMessage, WorkerMessage, read_stranger
from spyder.bus.sockets import Frames, Reader, Sender, Socket, Sockets, bind_push
from spyder.errors import MessageError, StoreError
from spyder.fetch.identity import robots_agent
from spyder.frontier.frontier import Frontier, SeedReport
from spyder.frontier.requeue import RequeueReport, Requeuing
from spyder.model.clock import Clock, StageTimes, cpu_seconds
from spyder.model.scoping import HostScoping
from spyder.nodes.checkpoints import Checkpoint, Checkpoints
from spyder.nodes.coordinator import Coordinator
from spyder.nodes.disk import DiskWatch
from spyder.nodes.explain import explain
from spyder.nodes.explanation import Explanation
from spyder.nodes.identity import uri_identity
from spyder.nodes.inspect import report_imbalance
from spyder.nodes.liveview import LiveView
from spyder.nodes.scopedesk import KeptRules, ScopeDesk, ScopeView, UrlVerdict, compile_scope, read_kept
from spyder.nodes.status import Rate, Status
from spyder.runtime import resident_memory, settle_memory
from spyder.scope.rules import LinkScope
from spyder.settings import Settings, host_name

_log = logging.getLogger(__name__)

#: URIs up to which the end of a crawl counts all rows: a second's work.
_AUDITED = 200_000
#: Batches of outcomes that share a commit at the most: more would keep the hosts waiting.
_OUTCOME_BURST = 4


class Master:
    """One master over one frontier; :meth:`wait` returns why it ended. It is its coordinator's ``MasterPort``."""

    def __init__(self, settings: Settings, *, sockets: Sockets, clock: Clock, ends_when_done: bool = False,
                 expects_survivors: bool = True, is_profiled: bool = False) -> None:
        self._settings = settings
        self._bus = settings.bus
        self._sockets = sockets
        self._clock = clock
        self._times = StageTimes(enabled=is_profiled)
        self.identity = f"master:{host_name()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.frontier, self._desk = _open(settings, clock)
        self._core = Coordinator(
            settings, identity=self.identity, frontier=self.frontier, port=self, clock=clock,
            ends_when_done=ends_when_done, expects_survivors=expects_survivors, times=self._times)
        self._core.use_rules(self._desk.message)
        self._pipes: dict[str, _LeasePipe] = {}
        self._pipe_number = 0
        self._checkpoints = Checkpoints(self.frontier, settings, master=self.identity, clock=clock)
        self._from_worker: Codec[WorkerMessage] = Codec(WorkerMessage, limit=self._bus.max_message)
        self._to_worker: Codec[MasterMessage] = Codec(MasterMessage, limit=self._bus.max_message)
        self._leases: Codec[LeaseBatch] = Codec(LeaseBatch, limit=self._bus.max_message)
        self._outcomes: Codec[OutcomeMessage] = Codec(OutcomeMessage, limit=self._bus.max_message)
        self._readers: list[Reader] = []
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[str] = self._loop.create_future()
        self._wake: asyncio.TimerHandle | None = None
        self._welcome_timer: asyncio.TimerHandle | None = None
        self._is_turn_due = False
        self._is_started = False
        self._is_closed = False
        self._beat_task: asyncio.Task[None] | None = None
        self._rate = Rate()
        self._disk = DiskWatch(settings.frontier_directory,
                               0 if settings.frontier.store == "memory" else settings.frontier.reserve,
                               setting="frontier.reserve")
        self._imbalance = ""  #: what the check of the books found at the end
        self._garbage = Garbage(clock.monotonic)
        self._view = LiveView(self._core, settings, clock)

    # -- start and end -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind the three addresses and begin to listen. Raises :class:`spyder.errors.BusError` if one can't be."""
        settle_memory()
        self._mgmt_out = self._sockets.publisher(bind=self._bus.mgmt_master, is_lossy=True)
        mgmt_in = self._sockets.subscriber(bind=self._bus.mgmt_worker)
        outcomes_in = self._sockets.subscriber(bind=self._bus.outcomes)
        self._core.outcomes = zsockets.endpoint(outcomes_in)
        self._readers = [Reader(mgmt_in, self._hear, on_burst=self.turn_soon),
                         Reader(outcomes_in, self._take, on_burst=self._turn, burst=_OUTCOME_BURST)]
        self._beat_task = asyncio.create_task(self._beat(), name="heartbeat")
        self._beat_task.add_done_callback(self._task_ended)
        self._is_started = True
        self.turn_soon()

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
        self._core.stop()
        deadline = self._clock.monotonic() + self._settings.worker.drain + 2 * self._bus.linger
        told_at = float("-inf")
        while self._core.workers and self._clock.monotonic() < deadline:
            if self._clock.monotonic() - told_at > self._bus.heartbeat / 2:
                told_at = self._clock.monotonic()
                self._core.say_quit()
            await asyncio.sleep(0.005)
        self._core.finish()
        self._check_books()
        status = msgspec.structs.replace(self.status(), workers=workers)
        self.close()
        return status

    def _check_books(self) -> None:
        """Compare the books with the rows that they count, unless these are too many; report what differs."""
        books = self.frontier.books
        if self._core.trouble or (books.is_balanced and books.discovered > _AUDITED):
            return
        self._imbalance = report_imbalance(self.frontier.store, self._settings.log_directory, now=self._clock.now(),
                                           held=books)
        if self._imbalance:
            _log.error("%s", self._imbalance)

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
        for pipe in self._pipes.values():
            pipe.sender.close()
        try:
            if self._core.is_broken:
                self.frontier.abandon()
            else:
                self.frontier.close()
        except StoreError as error:
            _log.error("the frontier can't be closed in good order: %s", error)

    def add_seeds(self, urls: Iterable[str]) -> SeedReport:
        """Add seeds durably: when this returns they are in the store. Raises :class:`StoreError` if they can't be."""
        if self._is_closed:
            raise StoreError("no seeds can be taken now: the master is ending")
        return self._core.add_seeds(urls)

    async def checkpoint(self, directory: str) -> Checkpoint:
        """Copy all that is settled by now to *directory*; the crawl goes on. Raises :class:`StoreError` if it can't."""
        self._core.change(lambda: None, refusal="no checkpoint can be made now")
        return await self._checkpoints.make(Path(directory))

    async def requeue(self, *, urls: Sequence[str] = (), states: Sequence[str] = (), host: str = "",
                      reason: str = "") -> RequeueReport:
        """Queue settled URIs again, durably, in steps between which the crawl goes on.

        Raises :class:`SpyderError` when the request makes no sense, or the store fails; what was requeued by then stays
        requeued.
        """
        work = Requeuing(self.frontier, urls=urls, states=states, host=host, reason=reason)
        while not self._is_closed and self._core.change(work.step, refusal="nothing can be requeued now"):
            await asyncio.sleep(0)
        return work.report

    def scope(self) -> ScopeView:
        """The rules of the scope as they are now."""
        return self._desk.view()

    def edit_scope(self, rules: list[Any] | None, *, version: int | None = None) -> ScopeView:
        """Have *rules*, plain values, stand in for ``scope.rules`` from now on, durably; None: those of the settings.

        Raises :class:`spyder.errors.SettingsError` for wrong ones, :class:`spyder.errors.ConflictError` when they are
        not of *version* any more, :class:`StoreError` when they can't be stored.
        """
        if self._is_closed:
            raise StoreError("the scope can't be changed now: the master is ending")
        kept, scope = self._desk.prepare(rules, version=version, now=self._clock.now())
        try:
            self._core.change(lambda: self._use_rules(kept, scope), refusal="the scope can't be changed now")
        except StoreError as error:
            if self._desk.kept is not kept or self._core.is_broken:
                raise
            raise StoreError(f"{error}; links are judged by the new rules, and they are kept once the disk takes "
                             "them") from error
        _log.warning("the rules of the scope were edited (version %d): %s", kept.version,
                     "those of the settings hold again" if rules is None else f"{len(rules)} rules")
        return self._desk.view()

    def _use_rules(self, kept: KeptRules, scope: LinkScope) -> None:
        """Stage rules: frontier, desk and workers judge by them from now on, whenever the store takes them."""
        self._desk.apply(self.frontier, kept, scope)
        self._core.use_rules(self._desk.message)

    def judge(self, urls: Sequence[str], *, depth: int, embeds: int) -> tuple[UrlVerdict, ...]:
        """What the rules say of links to *urls*. Raises :class:`spyder.errors.UrlError` for what is none."""
        return self._desk.judge(urls, depth=depth, embeds=embeds)

    # -- what arrives --------------------------------------------------------------------------------------------

    def _hear(self, frames: Frames) -> None:
        try:
            message = self._from_worker.read(frames)
        except MessageError as error:
            stranger = read_stranger(frames[-1])
            if stranger is None:
                self._drop("management message", error)
            else:
                self._core.hear(stranger)
        else:
            self._core.hear(message)

    def _take(self, frames: Frames) -> None:
        self._times.start()
        try:
            message = self._outcomes.read(frames)
        except MessageError as error:
            self._drop("outcome message", error)
        else:
            self._times.lap("receive")
            self._core.take(message)

    def _turn(self) -> None:
        self._is_turn_due = False
        if not self._is_closed:
            self._core.turn()

    async def _beat(self) -> None:
        while True:
            self._core.note_disk(self._disk.trouble(self._clock.monotonic()))
            self._core.beat()
            self._desk.tell_time(self._clock.now())
            self._rate.note(self._clock.monotonic(), self.frontier.counts["fetches"])
            self._view.watch()
            await asyncio.sleep(self._bus.heartbeat / 2)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error("task %s died", task.get_name(), exc_info=task.exception())
            self.end(f"task {task.get_name()} died: {task.exception()}")

    def _drop(self, what: str, error: MessageError) -> None:
        self._core.counts["garbage"] += 1
        if line := self._garbage.take(what, error):
            _log.warning("%s", line)

    # -- what the coordinator wants done: its MasterPort -----------------------------------------------------------

    def say(self, topic: bytes, message: MasterMessage) -> None:
        """Publish a management message."""
        zsockets.send(self._mgmt_out, [topic, self._to_worker.encode(message)])

    def open_pipe(self, worker: str) -> str:
        """Bind a PUSH socket for leases of *worker*; returns its address."""
        self._pipe_number += 1
        pipe = self._pipes[worker] = _LeasePipe(*bind_push(self._sockets, self._bus.push, self._pipe_number))
        return pipe.address

    def push(self, worker: str, batch: LeaseBatch) -> None:
        """Send leases to *worker*; what the socket still keeps is not sent again."""
        pipe = self._pipes[worker]
        if batch.number > pipe.last or not pipe.sender.is_waiting:
            pipe.last = max(pipe.last, batch.number)
            pipe.sender.send([self._leases.encode(batch)])

    def close_pipe(self, worker: str) -> None:
        """Close the PUSH socket of *worker* and throw away what was queued there."""
        pipe = self._pipes.pop(worker)
        pipe.sender.close()
        self._sockets.close(pipe.socket, linger=0)

    def turn_soon(self) -> None:
        """Have a turn when the messages that are there have been read."""
        if not self._is_turn_due and self._is_started:
            self._is_turn_due = True
            self._loop.call_soon(self._turn)

    def wake_in(self, seconds: float | None) -> None:
        """Have a turn in *seconds* and not before, unless something happens."""
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None if seconds is None else self._loop.call_later(seconds, self.turn_soon)

    def welcome_again_in(self, seconds: float) -> None:
        """Repeat welcomes in *seconds*."""
        self._welcome_timer = self._loop.call_later(seconds, self._core.repeat_welcomes)

    # -- what can be asked ---------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds since start."""
        return self._core.elapsed

    @property
    def workers(self) -> int:
        """Workers that are welcome."""
        return self._core.workers

    def status(self) -> Status:
        """Everything that ``spyder status`` shows."""
        frontier, core = self.frontier, self._core
        running = "running" if self._is_started else "starting"
        pause = core.pause or core.workers_trouble()
        state = "stopping" if core.stopping else "paused" if pause else running
        return Status(
            master=self.identity, version=__version__, epoch=frontier.epoch, project=self._settings.project.name,
            state=state, reason=core.stopping or pause, elapsed=core.elapsed, books=frontier.books,
            is_balanced=frontier.books.is_balanced and not self._imbalance, leased=frontier.leased,
            active_hosts=frontier.active_hosts,
            busy_hosts=frontier.busy_hosts, pages_per_second=self._rate.per_second(),
            counts=dict(sorted((frontier.counts + core.counts).items())), faults=core.faults(),
            totals=frontier.totals(), workers=core.worker_statuses(), cpu=cpu_seconds(), memory=resident_memory(),
            store_size=frontier.store_size(), commits=core.counts["commits"], stages=dict(self._times.seconds),
            first_lease=core.first_lease, stalled=self._view.stalled)

    def explain(self, text: str) -> Explanation:
        """What ``spyder explain`` says of a URL or a host.

        Raises :class:`spyder.errors.UrlError` when *text* is neither, :class:`spyder.errors.SpyderError` for a host
        that nobody knows.
        """
        return explain(text, store=self.frontier.store, settings=self._settings, now=self._clock.now(),
                       live=self._view)


class _LeasePipe:
    """The PUSH socket of one worker."""

    def __init__(self, socket: Socket, address: str) -> None:
        self.socket = socket
        self.address = address
        self.sender = Sender(socket)
        self.last = 0  #: number of the last batch


def open_frontier(settings: Settings, clock: Clock) -> Frontier:
    """The frontier that the settings describe, on its store.

    Raises :class:`StoreError` when the store can't be opened or was built otherwise.
    """
    return _open(settings, clock)[0]


def _open(settings: Settings, clock: Clock) -> tuple[Frontier, ScopeDesk]:
    """The frontier, and the rules by which it judges."""
    section = settings.frontier
    store = plugins.find("store", section.store).open(settings.frontier_directory, cache=section.cache)
    try:
        prioritizer = plugins.find("prioritizer", section.priority)()
        identity = uri_identity(section)
        number = int(store.meta(f"project/{settings.project.name}") or b"0")
        kept = read_kept(store, number)
        scope = compile_scope(settings, kept, now=clock.now())
        frontier = Frontier(
            store=store, clock=clock, identity=identity, scoping=HostScoping(settings.scope.mode),
            prioritizer=prioritizer, frontier=section, politeness=settings.politeness, retry=settings.retry,
            limits=settings.limits, robots=settings.robots, project=settings.project.name,
            agent=robots_agent(settings), judge=scope, traps=settings.traps)
        return frontier, ScopeDesk(settings, kept, scope)
    except BaseException:
        store.close()
        raise
