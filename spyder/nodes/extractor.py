"""The extractor's process: the sockets and the waiting around an :class:`ExtractStage`; all user code runs here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from spyder.bus import sockets as zsockets
from spyder.bus.garbage import Garbage
from spyder.bus.messages import Codec, MasterMessage
from spyder.bus.sockets import Frames, Poller, Sockets, reachable
from spyder.errors import MessageError, SpyderError
from spyder.model.clock import Clock, StageTimes, cpu_seconds
from spyder.model.records import Page
from spyder.model.states import ExitCode
from spyder.nodes import processors
from spyder.nodes.board import Board, Cell
from spyder.nodes.disk import DiskWatch
from spyder.nodes.extractstage import ExtractStage
from spyder.nodes.identity import uri_identity
from spyder.nodes.pipeline import Pipeline
from spyder.nodes.spec import WorkerSpec
from spyder.nodes.spool import Spool
from spyder.output.jsonl import JsonlSink
from spyder.runtime import resident_memory, settle_memory
from spyder.settings import Settings, host_name

_log = logging.getLogger(__name__)

#: Pages between looks at the management bus.
_BURST = 32
#: Milliseconds between looks while the disk is what we wait for.
_DISK_WAIT = 100
#: Seconds between figures on the board.
_FIGURES = 0.25


class Extractor:
    """One worker's extractor: a blocking loop, one page after the other. It is its stage's ``ExtractPort``."""

    def __init__(self, spec: WorkerSpec, *, sockets: Sockets, board: Board, clock: Clock, lifeline: int | None,
                 pump_log: Callable[[], None] | None = None) -> None:
        self._spec = spec
        settings = self._settings = spec.read_settings()
        self._bus = settings.bus
        self._sockets = sockets
        self._board = board
        self._clock = clock
        self._lifeline = lifeline
        self._pump_log = pump_log  #: sends log records that were kept until the sink was there
        self._times = StageTimes(enabled=spec.is_profiled)
        self._pages: Codec[Page] = Codec(Page, limit=self._bus.max_message)
        self._from_master: Codec[MasterMessage] = Codec(MasterMessage, limit=self._bus.max_message)
        self._garbage = Garbage(clock.monotonic)
        self._publisher: zsockets.Socket | None = None
        self._next_figures = 0.0
        output = Path(settings.output.directory)
        self._disk = DiskWatch(output / "pages", settings.output.reserve, setting="output.reserve")
        self._stage = ExtractStage(
            spec, port=self, pipeline=_build_pipeline(settings, self._times, lambda: board.beat(Cell.EXTRACTOR_BEAT)),
            sink=JsonlSink(output / "pages", name=f"pages-{host_name()}", rotate_size=settings.output.rotate_size),
            spool=Spool(output / "outbox", name=spec.name, limit=self._bus.max_message),
            board=board, clock=clock, times=self._times)

    def run(self) -> ExitCode:
        """Work until the fetcher says that no page follows and all outcomes are acknowledged, or time is up."""
        settle_memory()
        self._board[Cell.PID] = os.getpid()
        self._pull = self._sockets.pull(connect=self._spec.stage_address)
        self._mgmt = self._sockets.subscriber(self._spec.worker.encode(), b"all", connect=self._bus.mgmt_master)
        stage = self._stage
        try:
            stage.open()
        except OSError as error:
            raise SpyderError(f"outputs can't be opened: {error}") from None
        signs = [self._mgmt] if self._lifeline is None else [self._mgmt, self._lifeline]
        everything, all_but_pages = Poller(self._pull, *signs), Poller(*signs)
        while not stage.is_done:
            if stage.must_wait_for_disk:
                ready = all_but_pages.wait(_DISK_WAIT)
            else:
                ready = everything.wait(int(stage.wait_seconds() * 1000))
            if self._lifeline in ready and not stage.is_ending:
                stage.end_by(self._bus.linger)
                for poller in (everything, all_but_pages):
                    poller.forget(self._lifeline)
            self._take_pages()
            self._hear()
            stage.note_disk(self._disk.trouble(self._clock.monotonic()))
            stage.work()
            self._show_figures()
            self._board.beat(Cell.EXTRACTOR_BEAT)
        code = stage.finish()
        self._next_figures = 0.0
        self._show_figures()
        return code

    # -- what arrives --------------------------------------------------------------------------------------------

    def _take_pages(self) -> None:
        self._times.start()
        for _ in range(_BURST):
            if self._stage.is_batch_full:
                return
            frames = zsockets.receive(self._pull)
            if frames is None:
                return
            if len(frames) == 1:
                self._stage.end_by(_seconds(frames[0], default=self._settings.worker.drain))
                return
            self._take(frames)

    def _take(self, frames: Frames) -> None:
        try:
            header, body = frames
            page = self._pages.decode(header)
        except (MessageError, ValueError) as error:
            self._drop("page", error)
            self._board[Cell.UNREADABLE] += 1
            self._board[Cell.BYTES] += len(frames[-1])
            return
        self._times.lap("receive")
        self._stage.take(page, body)

    def _hear(self) -> None:
        for _ in range(_BURST):
            frames = zsockets.receive(self._mgmt)
            if frames is None:
                return
            try:
                message = self._from_master.read(frames)
            except MessageError as error:
                self._drop("management message", error)
            else:
                self._stage.hear(message)

    def _drop(self, what: str, error: Exception) -> None:
        self._board[Cell.DROPPED] += 1
        if line := self._garbage.take(what, error):
            _log.warning("%s", line)

    # -- what the stage wants done: its ExtractPort ------------------------------------------------------------------

    def connect(self, outcomes: str) -> None:
        """Publish to the address *outcomes* from now on."""
        if self._publisher is not None:
            self._sockets.close(self._publisher, linger=0)
            self._publisher = None
        self._publisher = self._sockets.publisher(connect=reachable(outcomes, self._bus.mgmt_master))

    def publish(self, topic: bytes, payload: bytes) -> bool:
        """Publish a message of the outcome socket; False when the pipe is full."""
        assert self._publisher is not None, "connect first"
        return zsockets.send(self._publisher, [topic, payload])

    def _show_figures(self) -> None:
        now = self._clock.monotonic()
        if now >= self._next_figures:
            self._next_figures = now + _FIGURES
            self._board[Cell.CPU] = int(cpu_seconds() * 1e6)
            self._board[Cell.MEMORY] = resident_memory()
            if self._pump_log is not None:
                self._pump_log()
            if self._spec.is_profiled:
                self._board.show_stages(self._times.seconds)


def _build_pipeline(settings: Settings, times: StageTimes, on_step: Callable[[], None]) -> Pipeline:
    return Pipeline(settings, identity=uri_identity(settings.frontier),
                    stages=processors.build(settings.processors), times=times, on_step=on_step)


def _seconds(frame: bytes, *, default: float) -> float:
    """The time that the message which ends the pages allows."""
    try:
        return float(frame)
    except ValueError:
        return default
