"""A master's figures: what ``spyder status`` and the progress of a crawl show."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from spyder.bus.messages import Load
from spyder.model.records import Books
from spyder.model.states import ExitCode


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as ``spyder status`` shows it."""

    worker: str
    version: str
    state: str
    slots: int
    leased: int
    pids: tuple[int, ...]
    load: Load


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The master as ``spyder status`` shows it."""

    master: str
    version: str
    epoch: int
    project: str
    state: str  #: starting, running, paused, stopping
    reason: str  #: of the state, in words
    elapsed: float  #: seconds since start
    books: Books
    is_balanced: bool
    leased: int
    active_hosts: int
    busy_hosts: int
    pages_per_second: float  #: over the last seconds
    counts: dict[str, int]
    workers: tuple[WorkerStatus, ...]
    cpu: float  #: seconds of the master
    memory: int  #: bytes of the master, resident
    store_size: int  #: bytes on disk
    commits: int
    stages: dict[str, float]  #: CPU seconds by stage, when measured
    first_lease: float | None  #: seconds from the master's start to the first lease
    faults: dict[str, int] = msgspec.field(default_factory=dict)  #: by name, every one of :data:`FAULTS`
    stalled: str = ""  #: why nothing is settled although there is work, as the watchdog found
    totals: dict[str, int] = msgspec.field(default_factory=dict)  #: ``counts`` over all runs on this frontier


#: What only happens when something went wrong, and how often: all of it is zero in a crawl without faults.
FAULTS = (
    "fetched_twice",  #: URIs fetched again after a fetch that had ended
    "outcomes_repeated",  #: outcomes received twice
    "outcomes_stale",  #: outcomes of URIs that another outcome had settled
    "outcomes_late",  #: outcomes that settled a URI after their lease had gone back
    "outcomes_unknown",  #: outcomes of URIs that the frontier does not know
    "outcome_gaps",  #: batches of outcomes that came out of order
    "leases_returned",  #: leases taken back from workers that were lost
    "leases_forgotten",  #: leases taken back from workers that do not know of them
    "batches_resent",  #: batches of leases sent again
    "outcomes_resent",  #: batches of outcomes sent again
    "frames_dropped",  #: messages that a worker or a log publisher gave up
    "garbage",  #: messages that were none
    "workers_lost",  #: workers that died, hung, or fell silent
    "rules_unconfirmed",  #: workers that did not take the rules of the scope in time
    "commits_failed",  #: transactions that the store refused
)


def faults_in_words(faults: Mapping[str, int]) -> str:
    """The *faults* that there were, in a line; empty when there was none."""
    return "  ".join(f"{name} {count:,}" for name, count in faults.items() if count)


class Rate:
    """Events per second over the last few seconds."""

    def __init__(self, *, window: float = 5.0) -> None:
        self._window = window
        self._notes: list[tuple[float, int]] = []

    def note(self, at: float, total: int) -> None:
        """Take the total at a time (monotonic seconds)."""
        self._notes.append((at, total))
        while len(self._notes) > 2 and at - self._notes[1][0] >= self._window:
            self._notes.pop(0)

    def per_second(self) -> float:
        """The rate, 0 before there are two totals."""
        if len(self._notes) < 2:
            return 0.0
        (first_at, first), (last_at, last) = self._notes[0], self._notes[-1]
        return (last - first) / max(last_at - first_at, 1e-6)


def exit_code(status: Status) -> ExitCode:
    """What the end of a crawl returns to the shell: an imbalance is never a success."""
    return ExitCode.OK if status.is_balanced else ExitCode.BOOKS
