"""Notices that nothing is settled although there is work, and finds out why: decisions alone, no clock, no socket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from spyder.settings import Settings

#: Times the patience after which a stall that goes on is logged again.
_LOG_AGAIN = 10
#: Looks into the details of a stall within one patience.
_LOOKS = 4
#: Seconds from now on that count as "its turn has come".
_IMMINENT = 1.0
#: Seconds between two looks, at the least, that show that the master itself was stopped.
_STOPPED = 5.0


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why something waits."""

    kind: str  #: a word for programs
    text: str  #: a line for people
    until: str = ""  #: when it ends, as far as that is known; RFC 3339, UTC


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A master at a heartbeat: figures that are cheap to fill."""

    now: float  #: wall time
    settled: int  #: grows with every outcome, and with every URI that is settled
    returned: int = 0  #: leases so far that came back without an outcome
    queued: int = 0  #: URIs that wait in queues, without leased ones
    scheduled: int = 0  #: URIs that wait for a time
    leased: int = 0
    workers: int = 0  #: that are welcome
    ready: int = 0  #: of these, that may get leases
    free: int = 0  #: slots of ready workers that hold no lease
    troubles: dict[str, str] = msgspec.field(default_factory=dict)  #: ready workers that take nothing, and why
    trouble: str = ""  #: why the frontier can't be written
    low_disk: str = ""  #: why nothing more is fetched although it can be
    held: str = ""  #: why nothing is to be leased although all is well: somebody paused or stops the crawl
    is_limit_reached: bool = False  #: ``limits.pages`` forbids further leases
    is_in_grace: bool = False  #: outcomes of the last master's workers come first
    next_wake: float | None = None  #: wall time at which something may be leased, None when no time is known

    @property
    def has_work(self) -> bool:
        """True when the crawl is not finished."""
        return bool(self.queued or self.scheduled or self.leased)


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A worker with leases."""

    worker: str
    leases: int
    oldest: float  #: seconds that it has held the first of them


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What takes a walk over workers, leases and hosts to know: asked for only when nothing has been settled."""

    unready: dict[str, str] = msgspec.field(default_factory=dict)  #: workers that get no leases yet, what is missing
    holders: tuple[Holder, ...] = ()
    #: Hosts with queued URIs whose time has not come, by the kind of their last trouble; "" when it is only the delay.
    resting: dict[str, int] = msgspec.field(default_factory=dict)
    is_cut: bool = False  #: there are more such hosts than were counted


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the watchdog found."""

    stalled: str = ""  #: why nothing is settled; empty when all is well
    log: str | None = None  #: what to log now
    is_alarm: bool = False  #: somebody should do something about it


class Watchdog:
    """Tells a crawl that waits for good reason from one that hangs.

    *patience* is how many seconds may pass with work and without an outcome before it asks why; *slow_page* how many a
    page may be under way while nothing is wrong (:func:`slowest_page`).
    """

    def __init__(self, patience: float, *, slow_page: float = 0.0) -> None:
        self._patience = patience
        self._slow_page = max(patience, slow_page)
        self._settled = -1
        self._returned = 0
        self._since = 0.0  #: monotonic time of the last sign of progress
        self._looked_at = 0.0
        self._judged_at: float | None = None
        self._imminent_since: float | None = None
        self._cause: Cause | None = None  #: of the present stall
        self._began = 0.0  #: when it began: the last progress before it
        self._logged: tuple[str, float] = ("", 0.0)  #: kind of cause and time

    def look(self, now: float, progress: Progress, details: Callable[[], Details]) -> Verdict:
        """Judge the figures at *now* (monotonic seconds); *details* is called when they leave a question."""
        was_stopped = now - self._looked_at > max(self._patience, _STOPPED)  # what came meanwhile is not yet read
        self._looked_at = now
        if progress.settled != self._settled or progress.held or not progress.has_work or was_stopped:
            self._settled, self._returned, self._since = progress.settled, progress.returned, now
            self._judged_at = self._imminent_since = None
            return self._end(now)
        silence = now - self._since
        if silence <= self._patience:
            return Verdict()
        if self._judged_at is None or now - self._judged_at >= self._patience / _LOOKS:
            self._judged_at = now
            cause = self._judge(now, silence, progress, details)
            if cause is None:
                return self._end(now)
            self._cause, self._began = cause, self._since
        return self._tell(now, silence)

    def _tell(self, now: float, silence: float) -> Verdict:
        """The verdict on the present stall; logged when it is new, for another reason, or goes on for long."""
        if self._cause is None:
            return Verdict()
        text = f"nothing settled for {span(silence)}: {self._cause.text}"
        kind, at = self._logged
        is_alarm = self._cause.kind not in _PATIENCE_HELPS
        if kind == self._cause.kind and now - at < _LOG_AGAIN * self._patience:
            return Verdict(stalled=text, is_alarm=is_alarm)
        self._logged = (self._cause.kind, now)
        return Verdict(stalled=text, log=text, is_alarm=is_alarm)

    def _end(self, now: float) -> Verdict:
        """The verdict that all is well; logged when it was not."""
        if self._cause is None:
            return Verdict()
        self._cause, self._logged = None, ("", 0.0)
        return Verdict(log=f"no longer stalled, after {span(now - self._began)}")

    # -- why ------------------------------------------------------------------------------------------------------

    def _judge(self, now: float, silence: float, progress: Progress, details: Callable[[], Details]) -> Cause | None:
        """Why nothing is settled; None when that is as it should be, the present cause when it can't be told yet."""
        blocked = blockade(progress)
        if blocked is not None and _is_decisive(blocked, progress):
            return self._explained(blocked, progress, details)
        if progress.leased:
            return self._judge_leases(silence, progress, details())
        if blocked is not None and blocked.kind == "slots":  # taken by leases whose URIs others have settled
            return blocked
        return self._judge_times(now, silence, progress, details)

    def _explained(self, cause: Cause, progress: Progress, details: Callable[[], Details]) -> Cause:
        """A cause with what only the details tell."""
        text = cause.text
        returned = progress.returned - self._returned
        if cause.kind == "not-ready":
            text = f"{text}: {_join(details().unready)}"
        if cause.kind in {"no-worker", "not-ready"} and returned:
            text = f"{text}; {returned:,} leases came back from workers that are lost"
        if cause.kind == "limit":
            text = f"{text}; {progress.queued + progress.scheduled:,} URIs are left"
        return msgspec.structs.replace(cause, text=text)

    def _judge_leases(self, silence: float, progress: Progress, details: Details) -> Cause | None:
        """Leases are out: pages may be slow, but not slower than the limits of the settings."""
        oldest = max((holder.oldest for holder in details.holders), default=0.0)
        if min(oldest, silence) > self._slow_page:
            return Cause(kind="leases", text="no outcome comes: " + "; ".join(
                f"worker {holder.worker} has held {holder.leases:,} {_leases(holder.leases)} for up to "
                f"{span(holder.oldest)}{_troubled(progress.troubles.get(holder.worker, ''))}"
                for holder in sorted(details.holders, key=lambda holder: -holder.oldest)[:3]))
        if (progress.queued and progress.free and progress.next_wake is not None
                and progress.now - progress.next_wake > self._patience):  # a time that moves on is leasing at work
            return self._unexplained(progress)
        returned = progress.returned - self._returned
        if not returned:
            return None
        if silence <= self._slow_page:
            return self._cause
        return Cause(kind="lost", text=f"{returned:,} leases came back without an outcome: workers die or fall silent, "
                                       "the log says how")

    def _judge_times(self, now: float, silence: float, progress: Progress,
                     details: Callable[[], Details]) -> Cause | None:
        """Nothing is leased and slots are free: only time can be what is waited for."""
        if progress.next_wake is None:
            return self._unexplained(progress)
        if self._is_overdue(now, progress):
            return self._unexplained(progress)
        wait = progress.next_wake - progress.now
        if wait <= _IMMINENT:
            return self._cause
        if silence + wait <= 2 * self._patience:
            return None
        until = f"until {at_time(progress.next_wake)}"
        if not progress.queued:
            several = f"{progress.scheduled:,} retries wait for their time, the first {until}"
            return Cause(kind="retries",
                         text=several if progress.scheduled > 1 else f"the last URI, a retry, waits {until}")
        found = details()
        hosts = sum(found.resting.values())
        if not hosts:
            return self._unexplained(progress)
        if hosts == 1:
            return Cause(kind="rest", text=f"the only host with work rests {until}{_most(found.resting)}")
        count = f"more than {hosts:,}" if found.is_cut else f"{hosts:,}"
        return Cause(kind="rest",
                     text=f"every host with work rests: {count} hosts, the first {until}{_most(found.resting)}")

    def _is_overdue(self, now: float, progress: Progress) -> bool:
        """True when the next turn has been about to come, or should have come, for longer than patience."""
        if progress.next_wake is None or progress.next_wake - progress.now > _IMMINENT:
            self._imminent_since = None
            return False
        if self._imminent_since is None:
            self._imminent_since = now
        return now - self._imminent_since > self._patience

    def _unexplained(self, progress: Progress) -> Cause:
        """No cause that is known: all figures for the report."""
        if progress.next_wake is None:
            turn = "no next turn"
        elif progress.next_wake < progress.now:
            turn = f"next turn overdue by {span(progress.now - progress.next_wake)}"
        else:
            turn = f"next turn in {span(progress.next_wake - progress.now)}"
        return Cause(kind="bug", text=(
            f"queued {progress.queued:,}, scheduled {progress.scheduled:,}, leased {progress.leased:,}, "
            f"{progress.ready:,} of {progress.workers:,} workers ready, free slots {progress.free:,}, {turn}: "
            "this is a bug, please report it"))


#: Causes that end by themselves, or that somebody wanted: no reason for an alarm.
_PATIENCE_HELPS = frozenset({"rest", "retries", "limit", "grace", "held"})


def _is_decisive(cause: Cause, progress: Progress) -> bool:
    """False when leases that are out, or times that are far, say more than *cause*."""
    match cause.kind:
        case "limit":
            return not progress.leased
        case "no-worker" | "not-ready":
            return bool(progress.queued or progress.leased)
        case "slots":
            return False
        case _:
            return True


def blockade(progress: Progress) -> Cause | None:
    """What keeps the whole crawl from leasing anything, the gravest first; None when nothing does."""
    if progress.trouble:
        return Cause(kind="disk", text=f"the frontier can't be written: {progress.trouble}")
    if progress.low_disk:
        return Cause(kind="disk", text=f"nothing more is fetched: {progress.low_disk}")
    if progress.held:
        return Cause(kind="held", text=f"the crawl is held: {progress.held}")
    if progress.is_limit_reached:
        return Cause(kind="limit", text="the page limit is reached (limits.pages)")
    if progress.is_in_grace:
        return Cause(kind="grace", text="the master waits for the outcomes of workers that the last master knew")
    if not progress.workers:
        return Cause(kind="no-worker", text="no worker is there: `spyder start worker` starts one")
    if not progress.ready:
        return Cause(kind="not-ready", text=f"{_workers(progress.workers)} and none ready")
    if not progress.free and len(progress.troubles) == progress.ready:
        return Cause(kind="workers", text=f"workers take nothing: {_join(progress.troubles)}")
    if not progress.free:
        return Cause(kind="slots", text="no worker has a free slot")
    return None


def slowest_page(settings: Settings) -> float:
    """Seconds that a page may be under way by the limits of the settings: its fetch, processors, sync and report."""
    return (settings.fetch.timeout + sum(processor.timeout for processor in settings.processors)
            + settings.output.sync_interval + 2 * settings.bus.heartbeat)


def span(seconds: float) -> str:
    """A number of seconds for a line of text: ``95 s``, ``12 min``, ``3.5 h``."""
    if seconds < 0.95:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def at_time(at: float) -> str:
    """A wall time for a line of text, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _join(words: dict[str, str]) -> str:
    """What a few of the workers say."""
    shown = [f"{worker}: {said}" for worker, said in list(words.items())[:3]]
    return "; ".join(shown) + (f"; and {len(words) - 3} more" if len(words) > 3 else "")


def _most(resting: dict[str, int]) -> str:
    """Why most hosts rest."""
    kind, count = max(resting.items(), key=lambda item: item[1])
    total = sum(resting.values())
    why = f"after `{kind}` trouble" if kind else "for their delay"
    return f", {why}" if count == total else f", {count:,} of them {why}"


def _workers(count: int) -> str:
    return "1 worker is there" if count == 1 else f"{count:,} workers are there"


def _leases(count: int) -> str:
    return "lease" if count == 1 else "leases"


def _troubled(words: str) -> str:
    return f" ({words})" if words else ""
