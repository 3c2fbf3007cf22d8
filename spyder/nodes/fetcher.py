"""The fetcher's process: the sockets, the HTTP client and the timers around a :class:`FetchStage`, which decides."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine

import msgspec

from spyder.bus import sockets as zsockets
from spyder.bus.garbage import Garbage
from spyder.bus.messages import Codec, LeaseBatch, MasterMessage, WorkerMessage
from spyder.bus.sockets import Frames, Reader, Sender, Sockets, reachable
from spyder.errors import MessageError
from spyder.fetch.dns import Resolver
from spyder.fetch.guard import Guard
from spyder.fetch.transport import Transport
from spyder.model.clock import Clock, cpu_seconds
from spyder.model.records import Page
from spyder.model.states import ExitCode
from spyder.nodes.board import Board
from spyder.nodes.fetchstage import LOOK_INTERVAL, FetchStage
from spyder.nodes.spec import WorkerSpec
from spyder.runtime import resident_memory, settle_memory

_log = logging.getLogger(__name__)


class Fetcher:
    """One worker's fetcher; :meth:`run` returns when the worker is to end. It is its stage's ``FetchPort``."""

    def __init__(self, spec: WorkerSpec, *, sockets: Sockets, board: Board, clock: Clock) -> None:
        self._spec = spec
        settings = spec.read_settings()
        self._bus = settings.bus
        self._sockets = sockets
        fetch = msgspec.structs.replace(settings.fetch, connections=1) if spec.is_careful else settings.fetch
        loop = asyncio.get_running_loop()
        self._transport = Transport(fetch, clock=clock, guard=Guard(settings.guard), loop=loop,
                                    robots_size=settings.robots.max_size,
                                    resolver=Resolver(settings.dns, clock=clock, loop=loop))
        self._stage = FetchStage(spec, port=self, transport=self._transport, board=board, clock=clock, pid=os.getpid())
        self._from_master: Codec[MasterMessage] = Codec(MasterMessage, limit=self._bus.max_message)
        self._to_master: Codec[WorkerMessage] = Codec(WorkerMessage, limit=self._bus.max_message)
        self._leases: Codec[LeaseBatch] = Codec(LeaseBatch, limit=self._bus.max_message)
        self._pages: Codec[Page] = Codec(Page, limit=self._bus.max_message)
        self._garbage = Garbage(clock.monotonic)
        self._pull: zsockets.Socket | None = None
        self._pull_reader: Reader | None = None
        self._begin_timer: asyncio.TimerHandle | None = None
        self._loop = loop
        self._quit_task: asyncio.Task[None] | None = None
        self._end: asyncio.Future[ExitCode] = self._loop.create_future()

    @property
    def reason(self) -> str:
        """Why the worker ended before anybody asked it to; empty when it was asked."""
        return self._stage.reason

    async def run(self) -> ExitCode:
        """Greet, fetch, and end when told to, when refused, or when the master stays away."""
        settle_memory()
        self._pages_out = Sender(self._sockets.push(bind=self._spec.stage_address))
        self._mgmt_out = self._sockets.publisher(connect=self._bus.mgmt_worker)
        mgmt_in = self._sockets.subscriber(self._spec.worker.encode(), b"all", connect=self._bus.mgmt_master)
        reader = Reader(mgmt_in, self._hear)
        beat = self._watched(self._beat(), "heartbeat")
        try:
            return await self._end
        finally:
            beat.cancel()
            reader.close()
            self.disconnect()
            self._transport.close()

    def quit(self, drain: float) -> None:
        """End in good order within *drain* seconds."""
        self._stage.quit(drain)
        self._drain_soon()

    def retire(self, drain: float) -> None:
        """End in good order within *drain* seconds, to be replaced."""
        self._stage.retire(drain)
        self._drain_soon()

    def _drain_soon(self) -> None:
        if self._stage.is_quitting and self._quit_task is None:
            self._quit_task = self._watched(self._drain(), "drain")

    async def _drain(self) -> None:
        while not self._stage.drain():
            await asyncio.sleep(LOOK_INTERVAL)

    async def _beat(self) -> None:
        while True:
            seconds = self._stage.beat()
            self._drain_soon()
            await asyncio.sleep(seconds)

    def _watched(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """A task that ends the worker if it dies, with its reason: its supervisor starts a new one."""
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error("task %s died", task.get_name(), exc_info=task.exception())
            self.end(ExitCode.ERROR)

    # -- what arrives --------------------------------------------------------------------------------------------

    def _hear(self, frames: Frames) -> None:
        try:
            message = self._from_master.read(frames)
        except MessageError as error:
            self._drop("management message", error)
        else:
            self._stage.hear(message)
            self._drain_soon()

    def _take(self, frames: Frames) -> None:
        try:
            batch = self._leases.read(frames, count=1)
        except MessageError as error:
            self._drop("lease batch", error)
        else:
            self._stage.take(batch)

    def _drop(self, what: str, error: MessageError) -> None:
        self._stage.dropped += 1
        if line := self._garbage.take(what, error):
            _log.warning("%s", line)

    # -- what the stage wants done: its FetchPort --------------------------------------------------------------------

    def say(self, message: WorkerMessage) -> None:
        """Publish a management message."""
        zsockets.send(self._mgmt_out, [self._spec.worker.encode(), self._to_master.encode(message)])

    def connect(self, push: str) -> None:
        """Take leases from the address *push* from now on."""
        self.disconnect()
        self._pull = self._sockets.pull(connect=reachable(push, self._bus.mgmt_master))
        self._pull_reader = Reader(self._pull, self._take, on_burst=self._stage.begin)

    def disconnect(self) -> None:
        """Take no leases."""
        if self._pull_reader is not None and self._pull is not None:
            self._pull_reader.close()
            self._sockets.close(self._pull, linger=0)
            self._pull = self._pull_reader = None

    def hand_on(self, page: Page, body: bytes) -> None:
        """Send a page to the extractor."""
        self._pages_out.send([self._pages.encode(page), body])

    def end_of_pages(self, seconds: float) -> None:
        """Tell the extractor that no page follows: a message of one frame, the seconds that it may take."""
        self._pages_out.send([b"%.3f" % seconds])

    def send_notices_in(self, seconds: float) -> None:
        """Send notices in *seconds*."""
        self._loop.call_later(seconds, self._stage.send_notices)

    def begin_in(self, seconds: float) -> None:
        """Begin fetches in *seconds*, unless that is due already."""
        if self._begin_timer is None:
            self._begin_timer = self._loop.call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._begin_timer = None
        self._stage.begin()

    def figures(self) -> tuple[float, int]:
        """CPU seconds and resident bytes of this process."""
        return cpu_seconds(), resident_memory()

    def end(self, code: ExitCode) -> None:
        """Make :meth:`run` return."""
        if not self._end.done():
            self._end.set_result(code)
