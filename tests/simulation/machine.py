"""The simulated machine: time, processes that are killed and stopped, and a network that loses and reorders."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random


class KilledError(BaseException):
    """Raised inside a process at the moment of its death; nothing that it staged survives."""


class Process:
    """Something that runs code at certain times, until it is killed; while it is stopped, time passes it by."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.is_alive = True
        self.is_stopped = False
        self._backlog: list[Callable[[], None]] = []

    def run(self, action: Callable[[], None]) -> None:
        """Run *action* in this process, unless it is dead; a stopped one does it when it goes on."""
        if not self.is_alive:
            return
        if self.is_stopped:
            self._backlog.append(action)
            return
        try:
            action()
        except KilledError:
            self.on_killed()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run *action* in *seconds*."""
        self.machine.at(self.machine.time + seconds, lambda: self.run(action))

    def stop(self) -> None:
        """SIGSTOP."""
        self.is_stopped = True

    def resume(self) -> None:
        """SIGCONT: what has piled up is done now, messages and timers in any order."""
        self.is_stopped = False
        backlog, self._backlog = self._backlog, []
        if self.machine.random.random() < 0.5:
            self.machine.random.shuffle(backlog)
        for action in backlog:
            self.run(action)

    def on_killed(self) -> None:
        """What follows when this process dies while it works."""
        self.is_alive = False


class ProcessClock:
    """A process's clocks: wall time is shared, the monotonic one begins where it likes."""

    def __init__(self, machine: Machine, offset: float) -> None:
        self._machine = machine
        self._offset = offset

    def now(self) -> float:
        """Wall time."""
        return 1_700_000_000.0 + self._machine.time

    def monotonic(self) -> float:
        """Seconds since some start of this process's own."""
        return self._machine.time + self._offset


class Machine:
    """Time, and what happens at which time. The same seed gives the same run."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.time = 0.0
        self.steps = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Have *action* happen at *time*."""
        self._number += 1
        heapq.heappush(self._events, (max(time, self.time), self._number, action))

    def run(self, until: Callable[[], bool], *, deadline: float) -> bool:
        """Let things happen until *until* holds; False when *deadline* comes first."""
        while self._events and not until():
            time, _, action = heapq.heappop(self._events)
            if time > deadline:
                return False
            self.time = time
            self.steps += 1
            action()
        return until()


class Network:
    """Carries messages between processes; how badly is told by the chances."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.drop = 0.0  #: chance that a message is lost
        self.repeat = 0.0  #: chance that it arrives twice
        self.lag = 0.0  #: chance that it comes late, and so after later ones
        self.longest_lag = 2.0
        self.cut: set[str] = set()  #: names of workers that nothing reaches, and from which nothing comes
        self.mute: set[str] = set()  #: names of workers that hear, and are not heard
        self.lost = 0
        self.sent = 0

    def send(self, whose: str, to: Process, action: Callable[[], None], *, is_up: bool = False) -> None:
        """Carry a message for the worker *whose*, or of it (*is_up*); *action* is what it does where it arrives."""
        random = self._machine.random
        self.sent += 1
        if whose in self.cut or (is_up and whose in self.mute) or (self.drop and random.random() < self.drop):
            self.lost += 1
            return
        for _ in range(2 if self.repeat and random.random() < self.repeat else 1):
            delay = 0.0005
            if self.lag and random.random() < self.lag:
                delay += random.random() * random.choice([0.01, 0.3, self.longest_lag])
            to.after(delay, action)
