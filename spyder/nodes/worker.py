"""A worker's process: reads its specification, runs the fetcher stage, the extractor stage, or both.

Started by the supervisor as ``python -m spyder.nodes.worker ROLE NAME``, with the specification as the first line of
standard input; the name is for people, and for the other process of the same worker. The rest of that pipe is the
lifeline: a byte asks for a drained end, its end means that the supervisor is dead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from spyder import runtime
from spyder.bus.logpipe import LogPublisher
from spyder.bus.sockets import Sockets
from spyder.errors import SpyderError
from spyder.model.clock import SystemClock
from spyder.model.states import ExitCode
from spyder.nodes.board import Board, Cell
from spyder.nodes.process import pump
from spyder.nodes.processors import describe
from spyder.nodes.spec import BOTH, EXTRACTOR, FETCHER, RETIRE, WorkerSpec

_log = logging.getLogger(__name__)

#: Seconds between looks whether the other process of the worker has ended.
_OTHER_INTERVAL = 0.05


def main(role: str) -> int:
    """Run one role until the worker is to end; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all; the master decides
    try:
        spec = msgspec.json.decode(_first_line(), type=WorkerSpec)
    except msgspec.DecodeError:  # cut short: the supervisor died while it told us
        return ExitCode.ORPHANED
    lifeline = _take_lifeline()
    settings = spec.read_settings()
    sockets = Sockets(settings.bus)
    publisher = LogPublisher(sockets, settings.bus.logging, identity=spec.worker)
    publisher.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=settings.log.level.upper(), handlers=[publisher])
    try:
        board = Board(spec.board_path)
        code = _run(role, spec, sockets, board, publisher, lifeline=lifeline)
    except SpyderError as error:
        _log.error("%s ends: %s", role, error)
        _tell(f"{spec.worker}: {error}")
        code = ExitCode.USAGE
    except Exception as error:  # noqa: BLE001  the process's edge: the log has it all, a person one line
        _log.exception("%s failed", role)
        _tell(f"{spec.worker}: its {role} failed: {describe(error)}; logs/worker.log says where")
        code = ExitCode.ERROR
    _end_soon(spec, code)
    if _is_cut(lifeline):
        _end_other(role, spec)
    logging.getLogger().removeHandler(publisher)
    publisher.close()
    sockets.close_all()
    return code


def _run(role: str, spec: WorkerSpec, sockets: Sockets, board: Board, publisher: LogPublisher, *,
         lifeline: int) -> ExitCode:
    match role:
        case "fetcher":
            board[Cell.FETCHER_PID] = os.getpid()
            return runtime.run(_fetch(spec, sockets, board, publisher, lifeline=lifeline))
        case "extractor":
            return _extract(spec, sockets, board, publisher, lifeline=lifeline)
        case "both":
            return _run_both(spec, sockets, board, publisher, lifeline=lifeline)
        case _:
            raise SpyderError(f"unknown role {role!r}: expected {FETCHER}, {EXTRACTOR} or {BOTH}")


async def _fetch(spec: WorkerSpec, sockets: Sockets, board: Board, publisher: LogPublisher, *,
                 lifeline: int) -> ExitCode:
    from spyder.nodes.fetcher import Fetcher  # the extractor's process has no use for an HTTP client

    fetcher = Fetcher(spec, sockets=sockets, board=board, clock=SystemClock())
    loop = asyncio.get_running_loop()
    settings = spec.read_settings()
    if threading.current_thread() is threading.main_thread():
        loop.add_signal_handler(signal.SIGTERM, fetcher.quit, settings.worker.drain)

    def pulled() -> None:
        request = os.read(lifeline, 1)
        if request == RETIRE:
            fetcher.retire(settings.worker.drain)
        elif request:
            fetcher.quit(settings.worker.drain)
        else:
            loop.remove_reader(lifeline)
            fetcher.quit(0.0)
            _end_soon(spec, ExitCode.HARD_DEADLINE)  # whatever comes: nobody is left who would end it

    loop.add_reader(lifeline, pulled)
    pumping = asyncio.create_task(pump(publisher), name="log pump")
    code = ExitCode.ERROR
    try:
        code = await fetcher.run()
    finally:
        _end_soon(spec, code)
        pumping.cancel()
        if fetcher.reason and not spec.index:  # its siblings end for the same reason: one line is enough
            _tell(fetcher.reason)
    return code


def _extract(spec: WorkerSpec, sockets: Sockets, board: Board, publisher: LogPublisher, *,
             lifeline: int) -> ExitCode:
    from spyder.nodes.extractor import Extractor  # the fetcher's process has no use for a parser

    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # its fetcher tells it when no page follows
    return Extractor(spec, sockets=sockets, board=board, clock=SystemClock(), lifeline=lifeline,
                     pump_log=publisher.pump).run()


def _run_both(spec: WorkerSpec, sockets: Sockets, board: Board, publisher: LogPublisher, *,
              lifeline: int) -> ExitCode:
    """Both stages in one process: the fetcher's loop in a thread, user code in the main thread, where limits work."""
    codes: list[ExitCode] = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    seen, held = os.pipe()  # the extractor's lifeline: the fetcher's end is its sign to end, too

    def fetch() -> None:
        try:
            codes.append(runtime.run(_fetch(spec, sockets, board, publisher, lifeline=lifeline)))
        except SpyderError as error:
            _log.error("fetcher ends: %s", error)
            _tell(f"{spec.worker}: {error}")
            codes.append(ExitCode.USAGE)
        finally:
            os.close(held)

    thread = threading.Thread(target=fetch, name="fetcher", daemon=True)
    thread.start()
    _extract(spec, sockets, board, publisher, lifeline=seen)
    thread.join(timeout=spec.read_settings().bus.linger)
    return codes[0] if codes else ExitCode.ERROR


def _tell(line: str) -> None:
    """Say why the worker ends to the person who started it: there may be no log sink."""
    print(f"spyder: {line}", file=sys.stderr, flush=True)  # noqa: T201


def _first_line() -> bytes:
    """The specification: one line, read byte for byte so that nothing of the lifeline is taken."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in {b"\n", b""}:
        line += byte
    return bytes(line)


def _take_lifeline() -> int:
    """The lifeline as a descriptor of its own: processes that users' code starts must not inherit it as their input."""
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lifeline


def _end_soon(spec: WorkerSpec, code: ExitCode) -> None:
    """From now on nothing keeps this process from its end; sockets may linger meanwhile."""
    runtime.end_hard_after(runtime.HARD_EXIT_AFTER + 4 * spec.read_settings().bus.linger,
                           code=code or ExitCode.HARD_DEADLINE)


def _is_cut(lifeline: int) -> bool:
    """True when the supervisor is dead."""
    readable, _, _ = select.select([lifeline], [], [], 0)
    return bool(readable) and not os.read(lifeline, 1)


def _end_other(role: str, spec: WorkerSpec) -> None:
    """End the worker's other process should it hang: there is no supervisor any more that would.

    Its fetcher has waited for the extractor already; the extractor gives its fetcher time to end.
    """
    try:
        board = Board(spec.board_path)
    except OSError:  # somebody has cleared up
        return
    if role == BOTH or (role == FETCHER and board[Cell.IS_FINISHED]):
        return
    other, pid = (EXTRACTOR, board[Cell.PID]) if role == FETCHER else (FETCHER, board[Cell.FETCHER_PID])
    patience = 0.0 if role == FETCHER else 3 * spec.read_settings().bus.linger
    clock = SystemClock()
    deadline = clock.monotonic() + patience
    while pid and _is_running(pid, other, spec.name):
        if clock.monotonic() >= deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(_OTHER_INTERVAL)


def _is_running(pid: int, role: str, name: str) -> bool:
    """Whether the process *pid* is that part of that worker, and not another one that got its number."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-3:-1] == [role.encode(), name.encode()]
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
