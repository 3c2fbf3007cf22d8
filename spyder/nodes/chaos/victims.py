"""Processes that a chaos run starts and ends: the commands of a crawl, and the workers below them (Linux, proc(5))."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from spyder.nodes.chaos.faults import Role
from spyder.nodes.spec import EXTRACTOR, FETCHER

_PROC = Path("/proc")
_ROLES = {FETCHER.encode(): Role.FETCHER, EXTRACTOR.encode(): Role.EXTRACTOR}


class ProcessId(msgspec.Struct, frozen=True, kw_only=True):
    """A process, told from a later one with the same number."""

    pid: int
    started: int  #: clock ticks since the machine's start


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A process as the system's table shows it."""

    id: ProcessId
    parent: int
    session: int
    state: str  #: one letter: R, S, D, T (stopped), Z ...
    command: tuple[bytes, ...]

    @property
    def role(self) -> Role | None:
        """Fetcher or extractor; None for what is no worker's process."""
        if b"spyder.nodes.worker" not in self.command:
            return None
        return next((role for word, role in _ROLES.items() if word in self.command), None)

    def describe(self) -> str:
        """For people: number, state, command."""
        words = b" ".join(self.command).decode(errors="replace")
        return f"{self.id.pid} {self.state} {_read_text(self.id.pid, 'wchan') or '-'} {words}"


def is_supported() -> bool:
    """True where the system shows its processes as Linux does."""
    return (_PROC / "self" / "stat").exists() and hasattr(os, "pidfd_open")


def entry(pid: int) -> Entry | None:
    """One process; None when it is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return Entry(id=ProcessId(pid=pid, started=int(fields[19])), parent=int(fields[1]), session=int(fields[3]),
                 state=fields[0], command=tuple(command.rstrip(b"\0").split(b"\0")))


def entries() -> Iterator[Entry]:
    """All processes."""
    for path in _PROC.iterdir():
        if path.name.isdecimal():
            found = entry(int(path.name))
            if found is not None:
                yield found


def send(process: ProcessId, number: signal.Signals) -> bool:
    """Send a signal; False when the process is gone, whoever has its number now."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        found = entry(process.pid)
        if found is None or found.id != process or found.state == "Z":
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


class Part:
    """One command of a crawl, in a session of its own, started again and again; its output goes to a file."""

    def __init__(self, role: Role, name: str, arguments: Sequence[str], *, folder: Path,
                 environ: Mapping[str, str]) -> None:
        self.role = role
        self.name = name
        self.output = folder / f"{name.replace(' ', '-')}.out"
        self.starts = 0
        self.sessions: set[int] = set()  #: of all its starts
        self._arguments = [sys.executable, "-m", "spyder", *arguments]
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its last run must have ended."""
        assert self._process is None
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(self._arguments, stdin=subprocess.DEVNULL, stdout=output,
                                             stderr=subprocess.STDOUT, env=self._environ, start_new_session=True)
        self.starts += 1
        self.sessions.add(self._process.pid)

    @property
    def is_running(self) -> bool:
        """True from its start until :meth:`ended` has told of its end."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def ended(self) -> int | None:
        """The exit code of a run that has ended since the last look, negative for a signal; else None."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        return code

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the command itself; False when it has ended."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.send_signal(number)
        return True

    def children(self) -> list[Entry]:
        """Processes of its workers, in the order of their start."""
        if self._process is None:
            return []
        found = [one for one in entries() if one.parent == self._process.pid and one.role is not None]
        return sorted(found, key=lambda one: (one.id.started, one.id.pid))

    def last_line(self) -> str:
        """The last line that it printed."""
        with suppress(OSError):
            lines = self.output.read_text(errors="replace").splitlines()
            return lines[-1] if lines else ""
        return ""

    def kill(self) -> None:
        """End it at once, and wait for that."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def left_over(sessions: set[int]) -> list[Entry]:
    """Processes of Spyder that are still there in one of *sessions*."""
    return [one for one in entries() if one.session in sessions and one.state != "Z"
            and any(b"spyder" in word for word in one.command)]


def _read_text(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_text().strip()
    except OSError:
        return ""
