"""The processes of one worker as its supervisor has them: started, looked at, asked to end, killed."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

import msgspec

from spyder.nodes.board import Board, Cell, Note
from spyder.nodes.spec import BOTH, EXTRACTOR, FETCHER, WorkerSpec
from spyder.nodes.watch import Look
from spyder.runtime import resident_memory


class Pair:
    """Fetcher and extractor of one worker, or the one process that is both; its board, until :meth:`close`."""

    def __init__(self, spec: WorkerSpec) -> None:
        """Make the board. Raises :class:`OSError` when it can't be written."""
        self._spec = spec
        self._board = Board(spec.board_path)
        limits = spec.read_settings().worker
        self._is_measured = limits.memory_soft is not None or limits.memory_hard is not None
        self._processes: dict[str, Process] = {}
        self._waits: dict[str, asyncio.Task[int]] = {}

    async def start(self) -> None:
        """Start the processes. Raises :class:`OSError` when one can't be."""
        for role in (BOTH,) if self._spec.is_one_process else (FETCHER, EXTRACTOR):
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "spyder.nodes.worker", role,
                                                           self._spec.name, stdin=PIPE)
            _write(process, msgspec.json.encode(self._spec) + b"\n")
            self._processes[role] = process
            self._waits[role] = asyncio.create_task(process.wait(), name=f"{role} {self._spec.name}")

    def ask(self, request: bytes) -> None:
        """Say :data:`spyder.nodes.spec.QUIT` or ``RETIRE`` to the fetcher, or to the one process that is both."""
        for process in self._processes.values():
            if process.returncode is None:
                _write(process, request)
                return

    def kill(self) -> None:
        """End what is left of it, now."""
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()

    async def one_ended(self, seconds: float) -> bool:
        """Wait until a process has ended, *seconds* at the most; whether one has."""
        done, _ = await asyncio.wait(self._waits.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    async def all_ended(self, seconds: float) -> bool:
        """Wait until all processes have ended, *seconds* at the most; whether they have."""
        if not self._waits:
            return True
        _, pending = await asyncio.wait(self._waits.values(), timeout=seconds)
        return not pending

    def codes(self) -> dict[str, int]:
        """Exit codes of those that have ended, by role; negative for a signal."""
        return {role: wait.result() for role, wait in self._waits.items() if wait.done()}

    def alive(self) -> list[int]:
        """Process ids of those that have not ended."""
        return [self._processes[role].pid for role, wait in self._waits.items() if not wait.done()]

    def look(self, at: float) -> Look:
        """What is to be seen of it at *at*, monotonic seconds."""
        board = self._board
        beats = {FETCHER: board[Cell.FETCHER_BEAT]}
        if not self.is_finished:
            beats[EXTRACTOR] = board[Cell.EXTRACTOR_BEAT]
        memory = {role: resident_memory(process.pid) if self._is_measured else 0
                  for role, process in self._processes.items()}
        return Look(at=at, beats=beats, memory=memory, pages=board[Cell.PAGES])

    @property
    def is_finished(self) -> bool:
        """True when the extractor has done and reported everything, and ends."""
        return bool(self._board[Cell.IS_FINISHED])

    def notes(self) -> dict[str, bytes]:
        """Keys of the URIs that the stages work on, or worked on when they died; empty for none."""
        return {FETCHER: self._board.note(Note.FETCHER), EXTRACTOR: self._board.note(Note.EXTRACTOR)}

    def close(self) -> None:
        """Let go of everything, after the end of the processes; remove the worker's files."""
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        for wait in self._waits.values():
            wait.cancel()
        self._board.close()
        for path in (self._spec.board_path, self._spec.board_path.with_suffix(".stage")):
            path.unlink(missing_ok=True)


def _write(process: Process, data: bytes) -> None:
    """Write to a child, which may be dead by now: its end tells that."""
    assert process.stdin is not None
    with suppress(OSError, RuntimeError):  # uvloop raises the second for a transport that is closed
        process.stdin.write(data)
