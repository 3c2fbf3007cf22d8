"""The supervisor of the workers on one host: starts both processes of each, and starts both anew when one dies."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

import msgspec

from spyder.bus import sockets as zsockets
from spyder.bus.messages import Codec, Gone, WorkerMessage
from spyder.bus.sockets import Sockets
from spyder.model.states import ExitCode
from spyder.nodes.spec import BOTH, EXTRACTOR, FETCHER, WorkerSpec, new_spec
from spyder.settings import Settings

_log = logging.getLogger(__name__)

#: Ends of a worker after which no new one is started.
_FINAL = frozenset({ExitCode.OK, ExitCode.REFUSED, ExitCode.ORPHANED, ExitCode.USAGE, ExitCode.HARD_DEADLINE})
#: A worker that lived for this many seconds starts anew with the shortest delay.
_STABLE_AFTER = 30.0


class Supervisor:
    """Keeps ``worker.processes`` workers running until they end by themselves, or :meth:`stop`."""

    def __init__(self, settings: Settings, *, sockets: Sockets, folder: str, is_profiled: bool = False) -> None:
        self._settings = settings
        self._sockets = sockets
        self._folder = folder
        self._is_profiled = is_profiled
        self._mgmt = sockets.publisher(connect=settings.bus.mgmt_worker)
        self._codec: Codec[WorkerMessage] = Codec(WorkerMessage, limit=settings.bus.max_message)
        self._processes: dict[int, dict[str, Process]] = {}
        self._tasks: list[asyncio.Task[ExitCode]] = []
        self._is_stopping = False
        self._is_killed = False
        self._ending = asyncio.Event()

    def start(self) -> None:
        """Start all workers."""
        for index in range(self._settings.worker.processes):
            self._tasks.append(asyncio.create_task(self._keep(index), name=f"worker {index}"))

    async def wait(self) -> ExitCode:
        """Wait until every worker has ended for good; the worst of their exit codes."""
        done, _ = await asyncio.wait(self._tasks)  # unlike gather, it leaves them alone when it is cancelled
        return max((task.result() for task in done), default=ExitCode.OK)

    def stop(self) -> None:
        """Ask all workers for a drained end."""
        self._is_stopping = True
        self._ending.set()
        for group in self._processes.values():
            _ask_to_end(group)

    async def kill(self) -> None:
        """End all workers at once."""
        self._is_stopping = self._is_killed = True
        self._ending.set()
        for group in self._processes.values():
            for process in group.values():
                if process.returncode is None:
                    process.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, index: int) -> ExitCode:
        """Run one worker; start it anew when it dies, waiting longer each time."""
        delay = self._settings.worker.restart_delay
        loop = asyncio.get_running_loop()
        while True:
            spec = new_spec(self._settings, folder=self._folder, index=index, is_profiled=self._is_profiled)
            started = loop.time()
            try:
                code, reason = await self._run(index, spec)
            except OSError as error:  # no process can be made now
                code, reason = ExitCode.ERROR, f"it can't be started: {error}"
                await self._end_group(index)
            if self._is_stopping or code in _FINAL:
                return code
            self._report(spec.worker, reason)
            if loop.time() - started > _STABLE_AFTER:
                delay = self._settings.worker.restart_delay
            _log.error("worker %s died: %s; a new one starts in %.1f s", spec.worker, reason, delay)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), delay)
            if self._is_stopping:
                return code
            delay = min(delay * 2, self._settings.worker.restart_max)

    async def _end_group(self, index: int) -> None:
        """End what was started of a worker that could not be started whole."""
        for process in self._processes.pop(index, {}).values():
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _run(self, index: int, spec: WorkerSpec) -> tuple[ExitCode, str]:
        """Both processes of one worker, until the first of them ends; the other one shares its fate."""
        roles = (BOTH,) if spec.is_one_process else (FETCHER, EXTRACTOR)
        group = self._processes[index] = {}
        for role in roles:
            group[role] = await _spawn(role, spec)
            if self._is_killed:  # while it was being started
                group[role].kill()
        if self._is_stopping:
            _ask_to_end(group)
        waits = {asyncio.create_task(process.wait(), name=f"{role} {index}"): role for role, process in group.items()}
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        first = waits[next(iter(done))]
        code = group[first].returncode or 0
        if code == 0 and first == EXTRACTOR:
            await asyncio.wait(waits, timeout=self._settings.bus.linger * 2)
            code = group[FETCHER].returncode or 0
        for role, process in group.items():
            if process.returncode is None:
                if role == EXTRACTOR and code == 0:
                    await asyncio.wait(waits, timeout=self._settings.bus.linger)
                if process.returncode is None:
                    process.kill()
        await asyncio.wait(waits)
        for process in group.values():
            if process.stdin is not None:
                process.stdin.close()
        for path in (spec.board_path, spec.board_path.with_suffix(".stage")):
            path.unlink(missing_ok=True)
        return _code(code), f"its {first} {_words(code)}"

    def _report(self, worker: str, reason: str) -> None:
        """Tell the master at once, so that the leases return before heartbeats are missed."""
        payload = self._codec.encode(Gone(worker=worker, reason=reason))
        zsockets.send(self._mgmt, [worker.encode(), payload])


def _ask_to_end(group: dict[str, Process]) -> None:
    for process in group.values():
        if process.stdin is not None and process.returncode is None:
            _write(process, b"q")
            return  # the fetcher, or the one process that is both


async def _spawn(role: str, spec: WorkerSpec) -> Process:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "spyder.nodes.worker", role, stdin=PIPE)
    _write(process, msgspec.json.encode(spec) + b"\n")
    return process


def _write(process: Process, data: bytes) -> None:
    """Write to a child's standard input; one that is dead by now needs to hear nothing, its end is waited for."""
    assert process.stdin is not None
    with suppress(OSError, RuntimeError):  # uvloop: the handler is closed
        process.stdin.write(data)


def _code(code: int) -> ExitCode:
    try:
        return ExitCode(code)
    except ValueError:
        return ExitCode.ERROR


def _words(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
