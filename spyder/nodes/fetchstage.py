"""The fetcher's decisions: which leases it begins and when, what it tells the master, how it ends. No socket, no sleep.

What it hears comes in by calls; what it wants done goes out through its :class:`FetchPort` and its transport. So the
same code runs in a worker's process (:mod:`spyder.nodes.fetcher`) and in the simulation (``tests/simulation``).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from spyder import __version__
from spyder.bus.dispatch import BatchOrder
from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Available,
    Fetched,
    LeaseBatch,
    Load,
    MasterMessage,
    QuitAck,
    WorkerHeartbeat,
    WorkerMessage,
)
from spyder.bus.mgmt import Membership, Step
from spyder.errors import BusError
from spyder.fetch.retry_after import retry_after_seconds
from spyder.model.clock import Clock
from spyder.model.records import CrawlUri, FetchNotice, HeldLease, Page
from spyder.model.states import ExitCode
from spyder.nodes.board import Board, Cell, Note, Trouble
from spyder.nodes.spec import WorkerSpec
from spyder.settings import digests

_log = logging.getLogger(__name__)

#: Seconds that finished fetches wait for others before the master hears of them.
_NOTICE_DELAY = 0.002
#: Seconds between looks at the extractor's progress while it is what we wait for.
LOOK_INTERVAL = 0.01


class Transport(Protocol):
    """The HTTP client as the stage needs it: :class:`spyder.fetch.transport.Transport`."""

    @property
    def active(self) -> int:
        """Fetches under way."""

    @property
    def free(self) -> int:
        """Fetches that may begin now."""

    def fetch(self, uri: CrawlUri, on_done: Callable[[Page, bytes], None]) -> None:
        """Begin a fetch; *on_done* gets the page and its body, whatever happens."""

    def abort(self) -> list[CrawlUri]:
        """End all fetches at once, without a word."""


class FetchPort(Protocol):
    """What a fetch stage has done for it."""

    def say(self, message: WorkerMessage) -> None:
        """Publish a management message; it may get lost."""

    def connect(self, push: str) -> None:
        """Take leases from the address *push* from now on, and from no other. Raises :class:`BusError` for none."""

    def disconnect(self) -> None:
        """Take no leases."""

    def hand_on(self, page: Page, body: bytes) -> None:
        """Send a page to the extractor."""

    def end_of_pages(self, seconds: float) -> None:
        """Tell the extractor that no page follows, and how long it may wait for acknowledgements."""

    def send_notices_in(self, seconds: float) -> None:
        """Call :meth:`FetchStage.send_notices` in *seconds*."""

    def begin_in(self, seconds: float) -> None:
        """Call :meth:`FetchStage.begin` in *seconds*, unless that is due already."""

    def figures(self) -> tuple[float, int]:
        """CPU seconds and resident bytes of this process."""

    def end(self, code: ExitCode) -> None:
        """The worker has ended; the first code counts."""


class FetchStage:
    """One worker's fetcher. :meth:`beat` is to be called as often as it says."""

    def __init__(self, spec: WorkerSpec, *, port: FetchPort, transport: Transport, board: Board, clock: Clock,
                 pid: int = 0) -> None:
        self._spec = spec
        self._settings = spec.read_settings()
        self._bus = self._settings.bus
        self._port = port
        self._transport = transport
        self._board = board
        self._clock = clock
        self._pid = pid
        self._digests = digests(self._settings)
        self._membership = Membership(
            spec.worker, heartbeat=self._bus.heartbeat, missed=self._bus.missed,
            master_timeout=self._bus.master_timeout, now=clock.monotonic())
        self._predecessor = spec.predecessor  #: to be told to the first master
        self._waiting: deque[CrawlUri] = deque()
        self._fetching: dict[int, CrawlUri] = {}  #: by number of the lease
        self._handed_on: deque[HeldLease] = deque()  #: pages whose outcomes are not acknowledged, in order
        self._acknowledged = 0  #: pages handed on before those
        self._order = BatchOrder(0)
        self._notices: list[FetchNotice] = []
        self._sent_bytes = 0
        self._quit_by: float | None = None  #: deadline for what is under way, once the worker is to end
        self._has_ended_pages = False
        self._end_code = ExitCode.OK
        self.dropped = 0  #: messages that were none
        self.reason = ""  #: why the worker ends before anybody asked it to

    # -- management ----------------------------------------------------------------------------------------------

    def hear(self, message: MasterMessage) -> None:
        """Take a management message."""
        self._step(self._membership.heard(message, self._clock.monotonic()))

    def _step(self, step: Step) -> None:
        match step:
            case Step.JOINED:
                self._join()
            case Step.RESUMED:
                self.begin()
            case Step.GREETING:
                _log.warning("the master does not know this worker any more, or is away: greeting it again")
                self._leave()
            case Step.REFUSED:
                self.reason = f"refused by the master: {self._membership.reason}"
                _log.error("%s", self.reason)
                self._port.end(ExitCode.REFUSED)
            case Step.ORPHANED:
                if not self.is_quitting:
                    self.reason = f"no master at {self._bus.mgmt_master} for {self._bus.master_timeout:g} s: ending"
                    _log.error("%s", self.reason)
                    self.quit(0.0, code=ExitCode.ORPHANED)
            case Step.QUIT:
                self.quit(self._membership.drain)
            case Step.NOTHING:
                pass

    def _join(self) -> None:
        """Take leases from the socket that the welcome names; what was not begun belongs to the old session."""
        welcome = self._membership.welcome
        assert welcome is not None
        self._predecessor = None  # a master has heard it
        self._waiting.clear()
        self._order = BatchOrder(welcome.session)
        try:
            self._port.connect(welcome.push)
        except BusError as error:
            _log.error("a welcome names no address: %s", error)
            self._membership.leave(self._clock.monotonic())
            return
        self._send_heartbeat()
        _log.info("welcome by %s, epoch %d", welcome.master, welcome.epoch)

    def _leave(self) -> None:
        self._waiting.clear()
        self._port.disconnect()

    def beat(self) -> float:
        """Greet until welcome, then send heartbeats; watch for a silent master. Returns seconds to the next beat."""
        self._board.beat(Cell.FETCHER_BEAT)
        now = self._clock.monotonic()
        self._step(self._membership.check(now))
        if self._fetching and self._membership.must_abort(now):
            _log.warning("nobody has heard this worker for too long: %d fetches end, others will begin them",
                         len(self._fetching))
            self._transport.abort()
            self._fetching.clear()
            self._step(self._membership.leave(now))
        if self._membership.is_member or self.is_quitting:
            self._send_heartbeat()
            self.begin()  # what held it up may be over
            return max(LOOK_INTERVAL, min(self._bus.heartbeat, self._membership.abort_at - now))
        self._port.say(Available(
            protocol=PROTOCOL_VERSION, worker=self._spec.worker, version=__version__,
            slots=self._settings.worker.slots, digests=self._digests, pids=(self._pid, self._board[Cell.PID]),
            at=now, held=self._held(), predecessor=self._predecessor))
        interval = self._membership.greeting_interval(now)
        return max(LOOK_INTERVAL, min(interval, self._membership.abort_at - now)) if self._fetching else interval

    def _send_heartbeat(self) -> None:
        welcome = self._membership.welcome
        if welcome is not None:
            self._forget_acknowledged()
            slots = 0 if self.is_quitting or self._board[Cell.TROUBLE] else self._settings.worker.slots
            self._port.say(WorkerHeartbeat(
                worker=self._spec.worker, epoch=welcome.epoch, session=welcome.session, received=self._order.received,
                slots=slots, load=self._load(), at=self._clock.monotonic(),
                held=len(self._waiting) + len(self._fetching) + len(self._handed_on),
                scope=self._board[Cell.SCOPE]))

    def _held(self) -> tuple[HeldLease, ...]:
        """What was begun and is not reported: the next master is to know."""
        self._forget_acknowledged()
        fetching = (HeldLease(lease=uri.lease, key=uri.key, attempt=uri.attempt) for uri in self._fetching.values())
        return (*self._handed_on, *fetching)

    def _forget_acknowledged(self) -> None:
        """Pages are extracted and reported in order: so many as were acknowledged are held no more."""
        board = self._board
        taken = board[Cell.PAGES] + board[Cell.UNREADABLE]  # read before OUTBOX, which the extractor writes first
        acknowledged = taken - board[Cell.OUTBOX]
        while self._acknowledged < acknowledged and self._handed_on:
            self._handed_on.popleft()
            self._acknowledged += 1

    def _load(self) -> Load:
        board = self._board
        cpu, memory = self._port.figures()
        pages = self._acknowledged + len(self._handed_on)
        return Load(
            fetching=len(self._fetching), waiting=len(self._waiting), pages=pages, extracted=board[Cell.PAGES],
            batches=board[Cell.BATCHES], outbox=board[Cell.OUTBOX], dropped=self.dropped + board[Cell.DROPPED],
            resent=board[Cell.RESENT], fetcher_cpu=cpu, extractor_cpu=board[Cell.CPU] / 1e6, fetcher_memory=memory,
            extractor_memory=board[Cell.MEMORY], stages=board.stages(),
            trouble=self._membership.paused or Trouble(board[Cell.TROUBLE]).words)

    # -- leases and pages ----------------------------------------------------------------------------------------

    def take(self, batch: LeaseBatch) -> None:
        """Take leases; :meth:`begin` begins them."""
        if self._order.take(batch) and not self.is_quitting:
            self._waiting.extend(batch.uris)

    def begin(self) -> None:
        """Begin as many fetches as there are connections, unless the extractor is behind, or nobody may."""
        transport, waiting = self._transport, self._waiting
        if not waiting or self._board[Cell.TROUBLE] or not self._membership.may_begin(self._clock.monotonic()):
            return
        while waiting and transport.free:
            if self._sent_bytes - self._board[Cell.BYTES] > self._settings.fetch.buffer_size:
                self._port.begin_in(LOOK_INTERVAL)
                return
            uri = waiting.popleft()
            self._fetching[uri.lease] = uri
            if self._spec.is_careful:
                self._board.write_note(Note.FETCHER, uri.key)
            transport.fetch(uri, self._fetched)

    def _fetched(self, page: Page, body: bytes) -> None:
        """A fetch ended: the page goes on, the master hears that the connection is free, the next one begins."""
        uri = page.uri
        self._fetching.pop(uri.lease, None)
        self._port.hand_on(page, body)
        self._sent_bytes += len(body)
        if self._spec.is_careful:
            self._board.write_note(Note.FETCHER, b"")
        self._handed_on.append(HeldLease(lease=uri.lease, key=uri.key, attempt=uri.attempt, is_fetching=False))
        failure = page.failure
        if failure is None or not failure.kind.is_host_trouble:
            notice = FetchNotice(lease=uri.lease, elapsed=page.elapsed, status=page.status)
        else:
            wish = next((value for name, value in page.headers if name == "retry-after"), "")
            notice = FetchNotice(lease=uri.lease, elapsed=page.elapsed, trouble=failure.kind, status=page.status,
                                 retry_after=retry_after_seconds(wish, self._clock.now()) if wish else 0.0)
        if not self._notices:
            self._port.send_notices_in(_NOTICE_DELAY)
        self._notices.append(notice)
        if self._waiting:
            self.begin()

    def send_notices(self) -> None:
        """Tell the master which connections are free again."""
        notices, self._notices = tuple(self._notices), []
        welcome = self._membership.welcome
        if welcome is not None and notices:
            self._port.say(Fetched(worker=self._spec.worker, session=welcome.session, notices=notices))

    # -- end -----------------------------------------------------------------------------------------------------

    @property
    def is_quitting(self) -> bool:
        """True from :meth:`quit` on: then :meth:`drain` is to be called every :data:`LOOK_INTERVAL`."""
        return self._quit_by is not None

    def quit(self, drain: float, *, code: ExitCode = ExitCode.OK) -> None:
        """End within *drain* seconds for what is under way; what was not begun goes back."""
        if self._quit_by is None:
            self._end_code = code
            self._quit_by = self._clock.monotonic() + drain
            self._waiting.clear()
            self._send_heartbeat()

    def retire(self, drain: float) -> None:
        """End as :meth:`quit` does, to be replaced."""
        self._board[Cell.IS_RETIRING] = 1
        self.quit(drain, code=ExitCode.RETIRED)

    def drain(self) -> bool:
        """Let the transfers end, then the extractor; True when the worker has ended."""
        assert self._quit_by is not None, "quit first"
        now = self._clock.monotonic()
        if not self._has_ended_pages:
            if self._transport.active and now < self._quit_by:
                return False
            self._transport.abort()
            self._fetching.clear()
            self.send_notices()
            patience = 0.0 if self._end_code is ExitCode.ORPHANED else self._quit_by - now + self._bus.linger / 2
            self._port.end_of_pages(max(0.0, patience))
            self._has_ended_pages = True
        is_finished = bool(self._board[Cell.IS_FINISHED])
        if not is_finished and now < self._quit_by + self._bus.linger:
            return False
        self._port.say(QuitAck(worker=self._spec.worker, unacknowledged=self._board[Cell.OUTBOX]))
        self._port.end(self._end_code if is_finished else ExitCode.HARD_DEADLINE)
        return True
