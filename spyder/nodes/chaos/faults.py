"""What a chaos run does to a crawl's processes: the kinds of faults, the order in which they come, what they explain.

Pure: a seed in, decisions out. :mod:`spyder.nodes.chaos.run` carries them out.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

#: Seconds for which a process stands still, at the least and at the most.
STANDSTILL = (0.5, 8.0)


class Role(StrEnum):
    """A process of a crawl that faults are aimed at."""

    MASTER = "master"
    SUPERVISOR = "supervisor"
    LOGSINK = "log sink"
    FETCHER = "fetcher"
    EXTRACTOR = "extractor"


class FaultKind(StrEnum):
    """What is done to a process."""

    KILL = "kill -9"
    TERM = "SIGTERM"
    STOP = "SIGSTOP"


class Aim(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What is done, and to whom."""

    kind: FaultKind
    role: Role

    def __str__(self) -> str:
        """In words, as the report shows it."""
        return f"{self.kind.value} {self.role.value}"


#: All faults, each as often as it comes in one deal. A worker has no life without its supervisor and gets no SIGTERM.
DECK: tuple[Aim, ...] = (
    *[Aim(kind=FaultKind.KILL, role=role) for role in Role],
    *[Aim(kind=FaultKind.STOP, role=role) for role in Role],
    *[Aim(kind=FaultKind.TERM, role=role) for role in (Role.MASTER, Role.SUPERVISOR, Role.LOGSINK)],
    Aim(kind=FaultKind.KILL, role=Role.FETCHER), Aim(kind=FaultKind.KILL, role=Role.EXTRACTOR),
)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault as it was carried out."""

    at: float  #: seconds since the start of the run
    kind: FaultKind
    role: Role
    target: str  #: the process, as people call it
    pid: int
    seconds: float  #: for which it stood still; 0 for those that end a process
    settled: int  #: URIs settled by then, as last asked

    @property
    def aim(self) -> Aim:
        """Its kind and role."""
        return Aim(kind=self.kind, role=self.role)


class Dice:
    """Chooses faults, targets and times from a seed: the same seed makes the same choices."""

    def __init__(self, seed: int, *, between: float) -> None:
        self._random = random.Random(seed)  # noqa: S311  a crawl's troubles need no secrecy
        self._between = between
        self._deal: list[Aim] = []

    def pause(self) -> float:
        """Seconds until the next fault: *between* on the average, from a half to one and a half of it."""
        return self._between * self._random.uniform(0.5, 1.5)

    def aim(self) -> Aim:
        """The next fault: all of :data:`DECK` come before one comes more often than it stands there."""
        if not self._deal:
            self._deal = list(DECK)
            self._random.shuffle(self._deal)
        return self._deal.pop()

    def choose(self, count: int) -> int:
        """Which of *count* targets, from 0."""
        return self._random.randrange(count)

    def standstill(self) -> float:
        """Seconds for which a process stands still."""
        return self._random.uniform(*STANDSTILL)


def workers_hit(aim: Aim, *, processes: int, supervisors: int) -> int:
    """Workers whose leases may be fetched again because of a fault, with *processes* workers for each supervisor.

    A master that is away, or stands still for longer than its workers wait, takes back what all of them hold. A
    supervisor that stands still harms nobody, and nobody needs the log sink.
    """
    match aim.role:
        case Role.MASTER:
            return processes * supervisors
        case Role.SUPERVISOR:
            return 0 if aim.kind is FaultKind.STOP else processes
        case Role.FETCHER | Role.EXTRACTOR:
            return 1
        case Role.LOGSINK:
            return 0


def explained(faults: Iterable[Fault], *, slots: int, processes: int, supervisors: int) -> tuple[int, int]:
    """How many fetches of one page, and how many of all, beyond the first of each, faults explain at the most.

    Each fault makes a page be fetched once more at the most, and no more pages than the *slots* of the workers it hits.
    """
    hits: Sequence[int] = [workers_hit(fault.aim, processes=processes, supervisors=supervisors) for fault in faults]
    return sum(count > 0 for count in hits), slots * sum(hits)
