"""The extractor stage: pages in, records to disk, outcomes out; all user code runs here, and may block."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from spyder import plugins
from spyder.bus import sockets as zsockets
from spyder.bus.garbage import Garbage
from spyder.bus.messages import Ack, Codec, MasterHeartbeat, MasterMessage, OutcomeBatch, OutcomeMessage, Probe, Welcome
from spyder.bus.mgmt import GREETING_INTERVAL
from spyder.bus.outcomes import Outbox
from spyder.bus.sockets import Frames, Poller, Sockets, reachable
from spyder.contracts import Sink
from spyder.errors import BusError, MessageError, SpyderError
from spyder.model.clock import Clock, StageTimes, cpu_seconds
from spyder.model.records import Outcome, Page
from spyder.model.states import ExitCode
from spyder.model.url import UriIdentity
from spyder.nodes import processors
from spyder.nodes.board import Board, Cell, Note, Trouble
from spyder.nodes.disk import DiskWatch, is_passing
from spyder.nodes.pipeline import Pipeline
from spyder.nodes.spec import WorkerSpec
from spyder.output.jsonl import JsonlSink
from spyder.runtime import resident_memory, settle_memory
from spyder.settings import Settings, host_name

_log = logging.getLogger(__name__)

#: Pages between looks at the management bus.
_BURST = 32
#: Seconds without a page after which what is finished is not kept waiting any longer.
_IDLE = 0.02
#: Bytes of links after which a batch is published, so that no message grows without bound.
_BATCH_BYTES = 4_000_000
#: Seconds between attempts to write after the disk refused.
_DISK_RETRY = 1.0
#: Milliseconds between looks while the disk is what we wait for.
_DISK_WAIT = 100
#: Seconds between figures on the board.
_FIGURES = 0.25


class Extractor:
    """One worker's extractor: a blocking loop, one page after the other."""

    def __init__(self, spec: WorkerSpec, *, sockets: Sockets, board: Board, clock: Clock, lifeline: int | None,
                 pump_log: Callable[[], None] | None = None) -> None:
        self._spec = spec
        self._settings: Settings = spec.read_settings()
        self._bus = self._settings.bus
        self._sockets = sockets
        self._board = board
        self._clock = clock
        self._lifeline = lifeline
        self._pump_log = pump_log  #: sends log records that were kept until the sink was there
        self._times = StageTimes(enabled=spec.is_profiled)
        self._pages: Codec[Page] = Codec(Page, limit=self._bus.max_message)
        self._from_master: Codec[MasterMessage] = Codec(MasterMessage, limit=self._bus.max_message)
        self._to_master: Codec[OutcomeMessage] = Codec(OutcomeMessage, limit=self._bus.max_message)
        self._outbox = Outbox(resend_after=2 * self._bus.heartbeat)
        self._finished: list[Outcome] = []
        self._finished_bytes = 0
        self._first_at = 0.0
        self._last_page_at = 0.0
        self._welcome: Welcome | None = None
        self._publisher: zsockets.Socket | None = None
        self._is_open = False  #: the way for outcomes has carried a probe
        self._next_probe = 0.0
        self._next_figures = 0.0
        self._retry_disk_at = 0.0
        self._is_sink_open = False
        self._unwritable = ""  #: why outputs can't be written
        self._shortage = ""  #: that their disk has less free than its reserve
        self._is_pipe_full = False
        self._scope_version = 0
        self._end_at: float | None = None
        self._counts = {"pages": 0, "bytes": 0, "batches": 0}
        self._garbage = Garbage(clock.monotonic)
        self._pipeline = self._build_pipeline()
        pages = Path(self._settings.output.directory) / "pages"
        self._sink: Sink = JsonlSink(pages, name=f"pages-{host_name()}",
                                     rotate_size=self._settings.output.rotate_size)
        self._disk = DiskWatch(pages, self._settings.output.reserve, setting="output.reserve")

    def _build_pipeline(self) -> Pipeline:
        settings = self._settings
        identity = UriIdentity(plugins.find("canonical", settings.frontier.canonical),
                               plugins.find("assignment", settings.frontier.assignment))
        return Pipeline(settings, identity=identity, stages=processors.build(settings.processors), times=self._times)

    def run(self) -> ExitCode:
        """Work until the fetcher says that no page follows and all outcomes are acknowledged, or time is up."""
        settle_memory()
        self._board[Cell.PID] = os.getpid()
        self._pull = self._sockets.pull(connect=self._spec.stage_address)
        self._mgmt = self._sockets.subscriber(self._spec.worker.encode(), b"all", connect=self._bus.mgmt_master)
        self._open_sink()
        signs = [self._mgmt] if self._lifeline is None else [self._mgmt, self._lifeline]
        everything, all_but_pages = Poller(self._pull, *signs), Poller(*signs)
        while not self._is_done():
            if self._must_wait_for_disk():
                ready = all_but_pages.wait(_DISK_WAIT)
            else:
                ready = everything.wait(self._wait_milliseconds())
            if self._lifeline in ready and self._end_at is None:
                self._end_by(self._bus.linger)
                for poller in (everything, all_but_pages):
                    poller.forget(self._lifeline)
            self._take_pages()
            self._hear()
            self._publish_if_due()
            self._repeat_if_due()
            self._show_figures()
            self._board.beat(Cell.EXTRACTOR_BEAT)
        return self._finish()

    def _open_sink(self) -> None:
        """Open the outputs; on a full disk that is tried again. Raises :class:`SpyderError` when they can't be."""
        try:
            self._sink.open()
        except OSError as error:
            if not is_passing(error):
                raise SpyderError(f"outputs can't be opened: {error}") from None
            self._disk_failed(error)
            return
        self._is_sink_open = True
        self._disk_works()

    # -- pages ---------------------------------------------------------------------------------------------------

    def _take_pages(self) -> None:
        self._times.start()
        for _ in range(_BURST):
            if self._is_batch_full():
                return
            frames = zsockets.receive(self._pull)
            if frames is None:
                return
            if len(frames) == 1 and not frames[0]:
                self._end_by(self._settings.worker.drain)
                return
            self._take(frames)

    def _take(self, frames: Frames) -> None:
        try:
            header, body = frames
            page = self._pages.decode(header)
        except (MessageError, ValueError) as error:
            self._drop("page", error)
            return
        self._times.lap("receive")
        self._board.write_note(Note.EXTRACTOR, page.uri.key)
        processed = self._pipeline(page, body, now=self._clock.now())
        self._board.beat(Cell.EXTRACTOR_BEAT)
        self._board.write_note(Note.EXTRACTOR, b"")
        if processed.record is not None:
            self._sink.write(processed.record, page, body)
        self._times.lap("record")
        now = self._clock.monotonic()
        if not self._finished:
            self._first_at = now
        self._last_page_at = now
        self._finished.append(processed.outcome)
        self._finished_bytes += sum(len(link.url) + 64 for link in processed.outcome.links)
        counts, board = self._counts, self._board
        counts["pages"] += 1
        counts["bytes"] += len(body)
        board[Cell.PAGES] = counts["pages"]
        board[Cell.BYTES] = counts["bytes"]

    # -- outcomes ------------------------------------------------------------------------------------------------

    def _publish_if_due(self) -> None:
        """Outputs before outcomes: sync what was written, then publish what it belongs to."""
        if not self._finished:
            return
        now = self._clock.monotonic()
        is_due = (self._is_batch_full()
                  or now - self._first_at >= self._settings.output.sync_interval
                  or now - self._last_page_at >= _IDLE or self._end_at is not None)
        if not is_due or now < self._retry_disk_at:
            return
        self._times.start()
        try:
            self._sink.sync()
        except OSError as error:
            self._disk_failed(error)
            return
        self._is_sink_open = True
        self._disk_works()
        self._times.lap("output")
        batch = OutcomeBatch(worker=self._spec.worker, sequence=self._outbox.next_sequence,
                             outcomes=tuple(self._finished))
        payload = self._to_master.encode(batch)
        self._outbox.keep(payload, len(self._finished), now)
        self._finished = []
        self._finished_bytes = 0
        self._counts["batches"] += 1
        self._board[Cell.BATCHES] = self._counts["batches"]
        self._board[Cell.OUTBOX] = self._outbox.outcomes
        if self._is_open and not self._is_pipe_full:
            self._send([payload])
        self._times.lap("publish")

    def _disk_failed(self, error: OSError) -> None:
        self._retry_disk_at = self._clock.monotonic() + _DISK_RETRY
        if self._unwritable != str(error):
            self._unwritable = str(error)
            _log.error("outputs can't be written: %s; trying again every %g s, nothing is lost", error, _DISK_RETRY)
        self._show_trouble()

    def _disk_works(self) -> None:
        if self._unwritable:
            self._unwritable = ""
            _log.warning("outputs can be written again")
            self._show_trouble()

    def _watch_disk(self) -> None:
        """See to the reserve of the outputs' disk: what is under way is written within it."""
        if not self._is_sink_open and not self._finished and self._clock.monotonic() >= self._retry_disk_at:
            self._open_sink()
        shortage = self._disk.trouble(self._clock.monotonic())
        if shortage and not self._shortage:
            _log.error("%s: nothing more is fetched here until there is room", shortage)
        elif self._shortage and not shortage:
            _log.warning("there is room on the outputs' disk again")
        self._shortage = shortage
        self._show_trouble()

    def _show_trouble(self) -> None:
        self._board[Cell.TROUBLE] = (
            Trouble.UNWRITABLE if self._unwritable else Trouble.SHORT if self._shortage else Trouble.NONE)

    def _send(self, payloads: list[bytes]) -> None:
        """Publish in order; what the pipe does not take now is sent again with all that follows."""
        assert self._publisher is not None and self._welcome is not None
        topic = self._welcome.master.encode()
        self._is_pipe_full = False
        for payload in payloads:
            if not zsockets.send(self._publisher, [topic, payload]):
                self._is_pipe_full = True
                return

    def _repeat_if_due(self) -> None:
        """Probe until the way is open; send again what the master has not acknowledged."""
        now = self._clock.monotonic()
        if self._welcome is None or self._publisher is None:
            return
        if not self._is_open:
            if now >= self._next_probe:
                self._next_probe = now + GREETING_INTERVAL
                self._send_probe(self._welcome)
            return
        overdue = self._outbox.overdue(now)
        if overdue:
            _log.info("sending %d batches of outcomes again", len(overdue))
            self._send(overdue)

    def _send_probe(self, welcome: Welcome) -> None:
        probe = Probe(worker=self._spec.worker, session=welcome.session, sequence=self._outbox.acknowledged,
                      last=self._outbox.next_sequence - 1)
        self._send([self._to_master.encode(probe)])

    # -- management ----------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        for _ in range(_BURST):
            frames = zsockets.receive(self._mgmt)
            if frames is None:
                return
            try:
                message = self._from_master.read(frames)
            except MessageError as error:
                self._drop("management message", error)
                continue
            match message:
                case Welcome():
                    self._join(message)
                case Ack():
                    self._acknowledge(message.epoch, message.sequence)
                case MasterHeartbeat():
                    self._acknowledge(message.epoch, message.acks.get(self._spec.worker))
                    if message.scope != self._scope_version:  # what was out of scope may be in it now
                        self._scope_version = message.scope
                        self._pipeline.forget_links()
                case _:
                    pass

    def _join(self, welcome: Welcome) -> None:
        """A new welcome: outcomes go to its address, after a probe has shown that they arrive."""
        old = self._welcome
        if old is not None and old.is_same(welcome):
            if self._is_open:  # repeated only while no probe of this session has come through
                self._send_probe(welcome)
            return
        if old is not None and (old.master, old.epoch) != (welcome.master, welcome.epoch):
            self._pipeline.forget_links()  # its frontier may be another one, to which they are new
        if old is None or old.outcomes != welcome.outcomes:
            if self._publisher is not None:
                self._sockets.close(self._publisher, linger=0)
                self._publisher = None
            try:
                self._publisher = self._sockets.publisher(connect=reachable(welcome.outcomes, self._bus.mgmt_master))
            except BusError as error:
                _log.error("a welcome names no address: %s", error)
                self._welcome = None
                return
        self._welcome = welcome
        self._is_open = False
        self._next_probe = 0.0

    def _acknowledge(self, epoch: int, sequence: int | None) -> None:
        if self._welcome is None or epoch != self._welcome.epoch or sequence is None:
            return
        self._outbox.acknowledge(sequence)
        self._board[Cell.OUTBOX] = self._outbox.outcomes
        if not self._is_open:
            self._is_open = True
            self._send(self._outbox.everything(self._clock.monotonic()))

    # -- time and end --------------------------------------------------------------------------------------------

    def _wait_milliseconds(self) -> int:
        """How long to wait for a message at most."""
        if self._finished:
            return 0 if self._is_batch_full() else int(_IDLE * 1000)
        if self._end_at is not None or not self._is_open:
            return 20
        return 200

    def _is_batch_full(self) -> bool:
        """True when what is finished is to be made durable before any further page is taken."""
        return len(self._finished) >= self._settings.output.sync_pages or self._finished_bytes >= _BATCH_BYTES

    def _must_wait_for_disk(self) -> bool:
        """True while the outputs can't be written and no further page can be taken."""
        return self._clock.monotonic() < self._retry_disk_at and self._is_batch_full()

    def _end_by(self, seconds: float) -> None:
        if self._end_at is None:
            self._end_at = self._clock.monotonic() + seconds

    def _is_done(self) -> bool:
        if self._end_at is None:
            return False
        return (not self._finished and not len(self._outbox)) or self._clock.monotonic() >= self._end_at

    def _finish(self) -> ExitCode:
        try:
            self._sink.close()
        except OSError as error:
            _log.error("outputs can't be written at the end: %s; their pages are fetched again", error)
        self._next_figures = 0.0
        self._show_figures()
        self._board[Cell.OUTBOX] = self._outbox.outcomes + len(self._finished)
        self._board[Cell.IS_FINISHED] = 1
        return ExitCode.OK if not len(self._outbox) and not self._finished else ExitCode.HARD_DEADLINE

    def _show_figures(self) -> None:
        now = self._clock.monotonic()
        if now >= self._next_figures:
            self._next_figures = now + _FIGURES
            self._watch_disk()
            self._board[Cell.CPU] = int(cpu_seconds() * 1e6)
            self._board[Cell.MEMORY] = resident_memory()
            if self._pump_log is not None:
                self._pump_log()
            self._board[Cell.DROPPED] = self._garbage.count
            if self._spec.is_profiled:
                self._board.show_stages(self._times.seconds)

    def _drop(self, what: str, error: Exception) -> None:
        if line := self._garbage.take(what, error):
            _log.warning("%s", line)
