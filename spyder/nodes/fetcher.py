"""The fetcher stage: leases in, pages out to the extractor, and the worker's voice on the management bus."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque

from spyder import __version__
from spyder.bus import sockets as zsockets
from spyder.bus.dispatch import BatchOrder
from spyder.bus.garbage import Garbage
from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Available,
    Codec,
    Fetched,
    LeaseBatch,
    Load,
    MasterMessage,
    Pause,
    QuitAck,
    Resume,
    WorkerHeartbeat,
    WorkerMessage,
)
from spyder.bus.mgmt import GREETING_INTERVAL, Membership, Step
from spyder.bus.sockets import Frames, Reader, Sender, Sockets, reachable
from spyder.errors import BusError, MessageError
from spyder.fetch.retry_after import retry_after_seconds
from spyder.fetch.transport import Transport
from spyder.model.clock import Clock, cpu_seconds
from spyder.model.records import CrawlUri, FetchNotice, Page
from spyder.model.states import ExitCode
from spyder.nodes.board import Board, Cell, Trouble
from spyder.nodes.spec import WorkerSpec
from spyder.runtime import resident_memory, settle_memory
from spyder.settings import digests

_log = logging.getLogger(__name__)

#: Seconds that finished fetches wait for others before the master hears of them.
_NOTICE_DELAY = 0.002
#: Seconds between looks at the extractor's progress while it is what we wait for.
_LOOK_INTERVAL = 0.01
#: Frames of the message that tells the extractor that no page follows.
END_OF_PAGES: Frames = [b""]


class Fetcher:
    """One worker's fetcher; :meth:`run` returns when the worker is to end."""

    def __init__(self, spec: WorkerSpec, *, sockets: Sockets, board: Board, clock: Clock) -> None:
        self._spec = spec
        self._settings = spec.read_settings()
        self._bus = self._settings.bus
        self._sockets = sockets
        self._board = board
        self._clock = clock
        self._transport = Transport(self._settings.fetch, clock=clock)
        self._membership = Membership(
            spec.worker, heartbeat=self._bus.heartbeat, missed=self._bus.missed,
            master_timeout=self._bus.master_timeout, now=clock.monotonic())
        self._from_master: Codec[MasterMessage] = Codec(MasterMessage, limit=self._bus.max_message)
        self._to_master: Codec[WorkerMessage] = Codec(WorkerMessage, limit=self._bus.max_message)
        self._leases: Codec[LeaseBatch] = Codec(LeaseBatch, limit=self._bus.max_message)
        self._pages: Codec[Page] = Codec(Page, limit=self._bus.max_message)
        self._waiting: deque[CrawlUri] = deque()
        self._order = BatchOrder(0)
        self._notices: list[FetchNotice] = []
        self._notice_timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._pull: zsockets.Socket | None = None
        self._pull_reader: Reader | None = None
        self._sent_pages = 0
        self._sent_bytes = 0
        self._garbage = Garbage(clock.monotonic)
        self._paused = ""
        self._is_quitting = False
        self.reason = ""  #: why the worker ends before anybody asked it to
        self._next_heartbeat = 0.0
        self._end: asyncio.Future[ExitCode] = asyncio.get_running_loop().create_future()

    async def run(self) -> ExitCode:
        """Greet, fetch, and end when told to, when refused, or when the master stays away."""
        settle_memory()
        self._pages_out = Sender(self._sockets.push(bind=self._spec.stage_address))
        self._mgmt_out = self._sockets.publisher(connect=self._bus.mgmt_worker)
        mgmt_in = self._sockets.subscriber(self._spec.worker.encode(), b"all", connect=self._bus.mgmt_master)
        reader = Reader(mgmt_in, self._hear)
        beat = asyncio.create_task(self._beat(), name="heartbeat")
        beat.add_done_callback(self._beat_ended)
        try:
            return await self._end
        finally:
            beat.cancel()
            reader.close()
            self._disconnect()
            self._transport.close()

    def quit(self, drain: float) -> None:
        """End in good order within *drain* seconds."""
        if not self._is_quitting:
            self._is_quitting = True
            self._waiting.clear()
            self._quit_task = asyncio.create_task(self._finish(drain), name="finish")
            self._quit_task.add_done_callback(self._beat_ended)

    # -- management ----------------------------------------------------------------------------------------------

    def _hear(self, frames: Frames) -> None:
        try:
            message = self._from_master.read(frames)
        except MessageError as error:
            self._drop("management message", error)
            return
        match message:
            case Pause():
                self._paused = message.reason
            case Resume():
                self._paused = ""
                self._begin()
            case _:
                self._step(self._membership.heard(message, self._clock.monotonic()))

    def _step(self, step: Step) -> None:
        match step:
            case Step.JOINED:
                self._join()
            case Step.GREETING:
                _log.warning("the master does not know this worker any more, or is away: greeting it again")
                self._disconnect()
            case Step.REFUSED:
                self.reason = f"refused by the master: {self._membership.reason}"
                _log.error("%s", self.reason)
                self._finish_with(ExitCode.REFUSED)
            case Step.ORPHANED:
                self.reason = f"no master at {self._bus.mgmt_master} for {self._bus.master_timeout:g} s: ending"
                _log.error("%s", self.reason)
                self._orphaned()
            case Step.QUIT:
                self.quit(self._membership.drain)
            case Step.NOTHING:
                pass

    def _join(self) -> None:
        """Take leases from the socket that the welcome names; what was not begun belongs to the old session."""
        welcome = self._membership.welcome
        assert welcome is not None
        self._disconnect()
        self._order = BatchOrder(welcome.session)
        try:
            self._pull = self._sockets.pull(connect=reachable(welcome.push, self._bus.mgmt_master))
        except BusError as error:
            _log.error("a welcome names no address: %s", error)
            self._membership.welcome = None
            return
        self._pull_reader = Reader(self._pull, self._take, on_burst=self._begin)
        self._send_heartbeat()
        _log.info("welcome by %s, epoch %d", welcome.master, welcome.epoch)

    def _disconnect(self) -> None:
        self._waiting.clear()
        if self._pull_reader is not None and self._pull is not None:
            self._pull_reader.close()
            self._sockets.close(self._pull, linger=0)
            self._pull = self._pull_reader = None

    async def _beat(self) -> None:
        """Greet until welcome, then send heartbeats; watch for a silent master."""
        while True:
            self._board.beat(Cell.FETCHER_BEAT)
            now = self._clock.monotonic()
            self._step(self._membership.check(now))
            if not self._membership.is_member and not self._is_quitting:
                self._send(Available(
                    protocol=PROTOCOL_VERSION, worker=self._spec.worker, version=__version__,
                    slots=self._settings.worker.slots, digests=digests(self._settings),
                    pids=(os.getpid(), self._board[Cell.PID])))
                await asyncio.sleep(GREETING_INTERVAL)
                continue
            self._send_heartbeat()
            self._begin()
            await asyncio.sleep(self._bus.heartbeat)

    def _beat_ended(self, task: asyncio.Task[None]) -> None:
        """A task that dies ends the worker, with its reason: its supervisor starts a new one."""
        if not task.cancelled() and task.exception() is not None:
            _log.error("task %s died", task.get_name(), exc_info=task.exception())
            self._finish_with(ExitCode.ERROR)

    def _send_heartbeat(self) -> None:
        welcome = self._membership.welcome
        if welcome is not None:
            slots = 0 if self._is_quitting or self._board[Cell.TROUBLE] else self._settings.worker.slots
            self._send(WorkerHeartbeat(worker=self._spec.worker, epoch=welcome.epoch, session=welcome.session,
                                       received=self._order.received, slots=slots, load=self._load()))

    def _load(self) -> Load:
        board = self._board
        return Load(
            fetching=self._transport.active, waiting=len(self._waiting), pages=self._sent_pages,
            extracted=board[Cell.PAGES], batches=board[Cell.BATCHES], outbox=board[Cell.OUTBOX],
            dropped=self._garbage.count + board[Cell.DROPPED], fetcher_cpu=cpu_seconds(),
            extractor_cpu=board[Cell.CPU] / 1e6, fetcher_memory=resident_memory(),
            extractor_memory=board[Cell.MEMORY], stages=board.stages(),
            trouble=self._paused or Trouble(board[Cell.TROUBLE]).words)

    def _send(self, message: WorkerMessage) -> bool:
        return zsockets.send(self._mgmt_out, [self._spec.worker.encode(), self._to_master.encode(message)])

    # -- leases and pages ----------------------------------------------------------------------------------------

    def _take(self, frames: Frames) -> None:
        try:
            batch = self._leases.read(frames, count=1)
        except MessageError as error:
            self._drop("lease batch", error)
            return
        if self._order.take(batch) and not self._is_quitting:
            self._waiting.extend(batch.uris)

    def _begin(self) -> None:
        """Begin as many fetches as there are connections, unless the extractor is behind."""
        transport, waiting = self._transport, self._waiting
        while waiting and transport.free and not self._paused:
            if self._board[Cell.TROUBLE]:  # the next heartbeat looks again
                return
            if self._sent_bytes - self._board[Cell.BYTES] > self._settings.fetch.buffer_size:
                self._look_later()
                return
            transport.fetch(waiting.popleft(), self._fetched)

    def _fetched(self, page: Page, body: bytes) -> None:
        """A fetch ended: the page goes on, the master hears that the connection is free, the next one begins."""
        self._pages_out.send([self._pages.encode(page), body])
        self._sent_pages += 1
        self._sent_bytes += len(body)
        failure = page.failure
        if failure is None or not failure.kind.is_host_trouble:
            notice = FetchNotice(lease=page.uri.lease, elapsed=page.elapsed)
        else:
            wish = next((value for name, value in page.headers if name == "retry-after"), "")
            notice = FetchNotice(lease=page.uri.lease, elapsed=page.elapsed, trouble=failure.kind,
                                 retry_after=retry_after_seconds(wish, self._clock.now()) if wish else 0.0)
        self._notices.append(notice)
        if self._notice_timer is None:
            self._notice_timer = asyncio.get_running_loop().call_later(_NOTICE_DELAY, self._send_notices)
        if self._waiting:
            self._begin()

    def _send_notices(self) -> None:
        self._notice_timer = None
        notices, self._notices = tuple(self._notices), []
        welcome = self._membership.welcome
        if welcome is not None and notices:
            self._send(Fetched(worker=self._spec.worker, session=welcome.session, notices=notices))

    def _look_later(self) -> None:
        if self._look_timer is None:
            self._look_timer = asyncio.get_running_loop().call_later(_LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        self._look_timer = None
        self._begin()

    # -- end -----------------------------------------------------------------------------------------------------

    async def _finish(self, drain: float) -> None:
        """Let the transfers end, then the extractor; what is not done by *drain* seconds goes back as leases."""
        deadline = self._clock.monotonic() + drain
        while self._transport.active and self._clock.monotonic() < deadline:
            await asyncio.sleep(_LOOK_INTERVAL)
        self._transport.abort()
        self._send_notices()
        self._pages_out.send(END_OF_PAGES)
        while not self._board[Cell.IS_FINISHED] and self._clock.monotonic() < deadline + self._bus.linger:
            await asyncio.sleep(_LOOK_INTERVAL)
        self._send(QuitAck(worker=self._spec.worker, unacknowledged=self._board[Cell.OUTBOX]))
        self._finish_with(ExitCode.OK if self._board[Cell.IS_FINISHED] else ExitCode.HARD_DEADLINE)

    def _orphaned(self) -> None:
        self._pages_out.send(END_OF_PAGES)
        self._finish_with(ExitCode.ORPHANED)

    def _finish_with(self, code: ExitCode) -> None:
        if not self._end.done():
            self._end.set_result(code)

    def _drop(self, what: str, error: MessageError) -> None:
        if line := self._garbage.take(what, error):
            _log.warning("%s", line)
