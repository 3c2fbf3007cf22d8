"""The extractor's decisions: records are synced, then outcomes published and kept until acknowledged. No sockets.

What it hears comes in by calls; what it wants done goes out through its :class:`ExtractPort` and its sink. So the same
code runs in a worker's process (:mod:`spyder.nodes.extractor`) and in the simulation (``tests/simulation``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from spyder.bus.messages import (
    Ack,
    Codec,
    MasterHeartbeat,
    MasterMessage,
    OutcomeBatch,
    OutcomeMessage,
    Probe,
    ScopeRules,
    Welcome,
)
from spyder.bus.mgmt import GREETING_INTERVAL
from spyder.bus.outcomes import Outbox
from spyder.contracts import Sink
from spyder.errors import BusError, SettingsError
from spyder.model.clock import Clock, StageTimes
from spyder.model.records import Outcome, Page
from spyder.model.states import ExitCode
from spyder.nodes.board import Board, Cell, Note, Trouble
from spyder.nodes.disk import is_passing
from spyder.nodes.pipeline import Processed
from spyder.nodes.scopedesk import from_text
from spyder.nodes.spec import WorkerSpec
from spyder.scope.rules import Rules

_log = logging.getLogger(__name__)

#: Seconds without a page after which what is finished is not kept waiting any longer.
_IDLE = 0.02
#: Bytes of links and rules after which a batch is published, so that no message grows without bound.
_BATCH_BYTES = 4_000_000
#: Seconds between attempts to write after the disk refused.
_DISK_RETRY = 1.0


class PagePipeline(Protocol):
    """What happens to a page: :class:`spyder.nodes.pipeline.Pipeline`."""

    def __call__(self, page: Page, body: bytes, *, now: float) -> Processed:
        """The outcome and the record of *page*."""

    def forget_links(self) -> None:
        """Report all links anew."""

    def use_rules(self, rules: Rules | None) -> None:
        """Judge links by *rules*, None: by those of the settings. Raises :class:`SettingsError` for wrong ones."""


class ExtractPort(Protocol):
    """What an extract stage has done for it."""

    def connect(self, outcomes: str) -> None:
        """Publish to the address *outcomes* from now on, and to no other. Raises :class:`BusError` for none."""

    def publish(self, topic: bytes, payload: bytes) -> bool:
        """Publish a message of the outcome socket; False when the pipe is full. It may get lost."""


class OutcomeSpool(Protocol):
    """Where outcomes outlive their worker: :class:`spyder.nodes.spool.Spool`."""

    def claim(self) -> list[tuple[Outcome, ...]]:
        """The batches that earlier workers left."""

    def keep(self, payloads: Sequence[bytes]) -> None:
        """Write published batches and return when they are on disk. Raises :class:`OSError` if they can't be."""

    def release(self, *, is_reported: bool) -> None:
        """Let go of what was claimed; remove it when it *is_reported*."""


class ExtractStage:
    """One worker's extractor. :meth:`work` is to be called after anything else, and every :meth:`wait_seconds`."""

    def __init__(self, spec: WorkerSpec, *, port: ExtractPort, pipeline: PagePipeline, sink: Sink, spool: OutcomeSpool,
                 board: Board, clock: Clock, times: StageTimes | None = None) -> None:
        self._spec = spec
        self._settings = spec.read_settings()
        self._port = port
        self._pipeline = pipeline
        self._sink = sink
        self._spool = spool
        self._board = board
        self._clock = clock
        self._times = times or StageTimes()
        self._codec: Codec[OutcomeMessage] = Codec(OutcomeMessage, limit=self._settings.bus.max_message)
        self._outbox = Outbox(resend_after=2 * self._settings.bus.heartbeat)
        self._finished: list[Outcome] = []
        self._finished_bytes = 0
        self._first_at = 0.0
        self._last_page_at = 0.0
        self._welcome: Welcome | None = None
        self._is_open = False  #: the way for outcomes has carried a probe
        self._next_probe = 0.0
        self._retry_disk_at = 0.0
        self._is_sink_open = False
        self._unwritable = ""  #: why outputs can't be written
        self._shortage = ""  #: that their disk has less free than its reserve
        self._is_pipe_full = False
        self._scope_version = 0
        self._end_at: float | None = None
        self._spooled = 0  #: sequence of the last batch that an earlier worker left

    def open(self) -> None:
        """Open the outputs and take up what earlier workers could not report.

        On a full disk the outputs are opened later. Raises :class:`OSError` for what does not pass by itself.
        """
        self._open_sink()
        for outcomes in self._spool.claim():
            self._spooled = self._outbox.next_sequence
            self._keep(outcomes, count=0)

    def _open_sink(self) -> None:
        try:
            self._sink.open()
        except OSError as error:
            if not is_passing(error):
                raise
            self._disk_failed(error)
        else:
            self._is_sink_open = True
            self._disk_works()

    # -- pages ---------------------------------------------------------------------------------------------------

    def take(self, page: Page, body: bytes) -> None:
        """Take one page from the fetcher."""
        board = self._board
        board.write_note(Note.EXTRACTOR, page.uri.key)
        processed = self._pipeline(page, body, now=self._clock.now())
        board.write_note(Note.EXTRACTOR, b"")
        if processed.record is not None:
            self._sink.write(processed.record, page, body)
        self._times.lap("record")
        now = self._clock.monotonic()
        if not self._finished:
            self._first_at = now
        self._last_page_at = now
        self._finished.append(processed.outcome)
        self._finished_bytes += _size_of(processed.outcome)
        board[Cell.OUTBOX] += 1  # before PAGES: the fetcher reads them the other way round
        board[Cell.BYTES] += len(body)
        board[Cell.PAGES] += 1
        board.beat(Cell.EXTRACTOR_BEAT)

    # -- outcomes ------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Publish what is due, and again what the master has not acknowledged."""
        self._publish_if_due()
        self._repeat_if_due()

    def _publish_if_due(self) -> None:
        """Outputs before outcomes: sync what was written, then publish what it belongs to."""
        if not self._finished:
            return
        now = self._clock.monotonic()
        is_due = (self.is_batch_full
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
        outcomes, self._finished, self._finished_bytes = tuple(self._finished), [], 0
        payload = self._keep(outcomes, count=len(outcomes))
        self._board[Cell.BATCHES] += 1
        if self._is_open and not self._is_pipe_full:
            self._send([payload])
        self._times.lap("publish")

    def _keep(self, outcomes: tuple[Outcome, ...], *, count: int) -> bytes:
        """Put outcomes into the outbox; returns them as they are published."""
        payload = self._codec.encode(OutcomeBatch(worker=self._spec.worker, sequence=self._outbox.next_sequence,
                                                  outcomes=outcomes))
        self._outbox.keep(payload, count, self._clock.monotonic())
        return payload

    def _send(self, payloads: list[bytes]) -> None:
        """Publish in order; what the pipe does not take now is sent again with all that follows."""
        assert self._welcome is not None
        topic = self._welcome.master.encode()
        self._is_pipe_full = False
        for payload in payloads:
            if not self._port.publish(topic, payload):
                self._is_pipe_full = True
                return

    def _repeat_if_due(self) -> None:
        """Probe until the way is open; send again what the master has not acknowledged."""
        now = self._clock.monotonic()
        if self._welcome is None:
            return
        if not self._is_open:
            if now >= self._next_probe:
                self._next_probe = now + GREETING_INTERVAL
                self._send_probe(self._welcome)
            return
        overdue = self._outbox.overdue(now)
        if overdue:
            _log.info("sending %d batches of outcomes again", len(overdue))
            self._board[Cell.RESENT] += len(overdue)
            self._send(overdue)

    def _send_probe(self, welcome: Welcome) -> None:
        self._send([self._codec.encode(Probe(
            worker=self._spec.worker, session=welcome.session, sequence=self._outbox.acknowledged,
            last=self._outbox.next_sequence - 1))])

    # -- management ----------------------------------------------------------------------------------------------

    def hear(self, message: MasterMessage) -> None:
        """Take a management message."""
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
            case ScopeRules():
                self._use_rules(message)
            case _:
                pass

    def _use_rules(self, message: ScopeRules) -> None:
        """The rules of the scope were edited: the heartbeat tells the master that they hold here."""
        if message.number == self._board[Cell.SCOPE]:
            return
        try:
            self._pipeline.use_rules(from_text(message.rules))
        except SettingsError as error:
            _log.error("edited rules of the scope can't be used: %s", error)
            return
        self._board[Cell.SCOPE] = message.number
        _log.info("links are judged by edited rules from now on" if message.number else
                  "links are judged by the rules of the settings again")

    def _join(self, welcome: Welcome) -> None:
        """A new welcome: outcomes go to its address, after a probe has shown that they arrive."""
        old = self._welcome
        if old is not None and old.is_same(welcome):
            if self._is_open:  # repeated only while no probe of this session has come through
                self._send_probe(welcome)
            return
        if old is not None and not welcome.is_after(old):
            return  # overtaken by a later one
        if old is not None and (old.master, old.epoch) != (welcome.master, welcome.epoch):
            self._pipeline.forget_links()  # its frontier may be another one, to which they are new
        if old is None or old.outcomes != welcome.outcomes:
            try:
                self._port.connect(welcome.outcomes)
            except BusError as error:
                _log.error("a welcome names no address: %s", error)
                self._welcome = None
                self._is_open = False
                return
        self._welcome = welcome
        self._is_open = False
        self._next_probe = 0.0

    def _acknowledge(self, epoch: int, sequence: int | None) -> None:
        if self._welcome is None or epoch != self._welcome.epoch or sequence is None:
            return
        before = self._outbox.outcomes
        self._outbox.acknowledge(sequence)
        self._board[Cell.OUTBOX] -= before - self._outbox.outcomes
        if self._spooled and self._outbox.acknowledged >= self._spooled:
            self._spooled = 0
            self._spool.release(is_reported=True)
        if not self._is_open:
            self._is_open = True
            self._send(self._outbox.everything(self._clock.monotonic()))

    # -- time, disk and end --------------------------------------------------------------------------------------

    def wait_seconds(self) -> float:
        """How long to wait for a message at most."""
        if self._finished:
            return 0.0 if self.is_batch_full else _IDLE
        if self._end_at is not None or (self._welcome is not None and not self._is_open):
            return _IDLE
        return 0.2

    @property
    def is_batch_full(self) -> bool:
        """True when what is finished is to be made durable before any further page is taken."""
        return len(self._finished) >= self._settings.output.sync_pages or self._finished_bytes >= _BATCH_BYTES

    @property
    def must_wait_for_disk(self) -> bool:
        """True while the outputs can't be written and no further page can be taken."""
        return self._clock.monotonic() < self._retry_disk_at and self.is_batch_full

    def note_disk(self, shortage: str) -> None:
        """Take why the outputs' disk has too little room, empty when all is well; open the outputs if that is due."""
        if not self._is_sink_open and not self._finished and self._clock.monotonic() >= self._retry_disk_at:
            self._open_sink()
        if shortage and not self._shortage:
            _log.error("%s: nothing more is fetched here until there is room", shortage)
        elif self._shortage and not shortage:
            _log.warning("there is room on the outputs' disk again")
        self._shortage = shortage
        self._show_trouble()

    def _disk_failed(self, error: OSError) -> None:
        self._retry_disk_at = self._clock.monotonic() + _DISK_RETRY
        if self._unwritable != str(error):
            self._unwritable = str(error)
            _log.error("outputs can't be written: %s; trying again every %g s, nothing is lost", error, _DISK_RETRY)
        self._show_trouble()

    def _disk_works(self) -> None:
        if self._unwritable:
            self._unwritable = ""
            self._retry_disk_at = 0.0
            _log.warning("outputs can be written again")
            self._show_trouble()

    def _show_trouble(self) -> None:
        self._board[Cell.TROUBLE] = (
            Trouble.UNWRITABLE if self._unwritable else Trouble.SHORT if self._shortage else Trouble.NONE)

    def end_by(self, seconds: float) -> None:
        """No page follows: end when everything is acknowledged, or in *seconds*."""
        if self._end_at is None:
            self._end_at = self._clock.monotonic() + seconds

    @property
    def is_ending(self) -> bool:
        """True when no page follows."""
        return self._end_at is not None

    @property
    def is_done(self) -> bool:
        """True when there is nothing left to do, or no time."""
        if self._end_at is None:
            return False
        return (not self._finished and not len(self._outbox)) or self._clock.monotonic() >= self._end_at

    def finish(self) -> ExitCode:
        """Close the outputs, keep what nobody has acknowledged for the next worker here, and say that this is all."""
        try:
            self._sink.close()
        except OSError as error:
            _log.error("outputs can't be written at the end: %s; their pages are fetched again", error)
        unreported = self._outbox.everything(self._clock.monotonic())
        try:
            if unreported:
                self._spool.keep(unreported)
                _log.warning("%d batches of outcomes are left for the next worker here", len(unreported))
            self._spool.release(is_reported=True)
        except OSError as error:
            self._spool.release(is_reported=False)
            _log.error("unreported outcomes can't be written: %s; their pages are fetched again", error)
        self._board[Cell.IS_FINISHED] = 1
        return ExitCode.OK if not unreported and not self._finished else ExitCode.HARD_DEADLINE


def _size_of(outcome: Outcome) -> int:
    """About the bytes that an outcome takes in a message, but for what is small in all of them."""
    size = sum(len(link.url) + 64 for link in outcome.links)
    if outcome.robots is not None:
        rules = outcome.robots
        size += sum(len(text) + 8 for texts in (rules.allow, rules.disallow, rules.sitemaps) for text in texts)
    return size
