"""A worker's process: reads its specification, runs the fetcher stage, the extractor stage, or both.

Started by the supervisor as ``python -m spyder.nodes.worker ROLE``, with the specification as the first line of
standard input. The rest of that pipe is the lifeline: a line asks for a drained end, its end means that the supervisor
is dead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading

import msgspec

from spyder import runtime
from spyder.bus.logpipe import LogPublisher
from spyder.bus.sockets import Sockets
from spyder.errors import SpyderError
from spyder.model.clock import SystemClock
from spyder.model.states import ExitCode
from spyder.nodes.board import Board
from spyder.nodes.process import pump
from spyder.nodes.spec import BOTH, EXTRACTOR, FETCHER, WorkerSpec

_log = logging.getLogger(__name__)

def main(role: str) -> int:
    """Run one role until the worker is to end; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all; the master decides
    try:
        spec = msgspec.json.decode(_first_line(), type=WorkerSpec)
    except msgspec.DecodeError:  # cut short: the supervisor died while it told us
        return ExitCode.ORPHANED
    settings = spec.read_settings()
    sockets = Sockets(settings.bus)
    publisher = LogPublisher(sockets, settings.bus.logging, identity=spec.worker)
    publisher.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=settings.log.level.upper(), handlers=[publisher])
    try:
        code = _run(role, spec, sockets, publisher)
    except SpyderError as error:
        _log.error("%s ends: %s", role, error)
        _tell(f"{spec.worker}: {error}")
        code = ExitCode.USAGE
    runtime.end_hard_after()
    logging.getLogger().removeHandler(publisher)
    publisher.close()
    sockets.close_all()
    return code


def _run(role: str, spec: WorkerSpec, sockets: Sockets, publisher: LogPublisher) -> ExitCode:
    board = Board(None if role == BOTH else spec.board_path)
    match role:
        case "fetcher":
            return runtime.run(_fetch(spec, sockets, board, publisher, lifeline=0))
        case "extractor":
            return _extract(spec, sockets, board, publisher, lifeline=0)
        case "both":
            return _run_both(spec, sockets, board, publisher)
        case _:
            raise SpyderError(f"unknown role {role!r}: expected {FETCHER}, {EXTRACTOR} or {BOTH}")


async def _fetch(spec: WorkerSpec, sockets: Sockets, board: Board, publisher: LogPublisher, *,
                 lifeline: int | None) -> ExitCode:
    from spyder.nodes.fetcher import Fetcher  # the extractor's process has no use for an HTTP client

    fetcher = Fetcher(spec, sockets=sockets, board=board, clock=SystemClock())
    loop = asyncio.get_running_loop()
    settings = spec.read_settings()
    if threading.current_thread() is threading.main_thread():
        loop.add_signal_handler(signal.SIGTERM, fetcher.quit, settings.worker.drain)

    def pulled() -> None:
        assert lifeline is not None
        loop.remove_reader(lifeline)
        asked = os.read(lifeline, 1)
        fetcher.quit(settings.worker.drain if asked else settings.bus.linger)

    if lifeline is not None:
        loop.add_reader(lifeline, pulled)
    pumping = asyncio.create_task(pump(publisher), name="log pump")
    try:
        return await fetcher.run()
    finally:
        pumping.cancel()
        if fetcher.reason and not spec.index:  # its siblings end for the same reason: one line is enough
            _tell(fetcher.reason)


def _extract(spec: WorkerSpec, sockets: Sockets, board: Board, publisher: LogPublisher, *,
             lifeline: int | None) -> ExitCode:
    from spyder.nodes.extractor import Extractor  # the fetcher's process has no use for a parser

    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # its fetcher tells it when no page follows
    return Extractor(spec, sockets=sockets, board=board, clock=SystemClock(), lifeline=lifeline,
                     pump_log=publisher.pump).run()


def _run_both(spec: WorkerSpec, sockets: Sockets, board: Board, publisher: LogPublisher) -> ExitCode:
    """Both stages in one process: the fetcher's loop in a thread, user code in the main thread, where limits work."""
    codes: list[ExitCode] = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    seen, held = os.pipe()  # the extractor's lifeline: the fetcher's end is its sign to end, too

    def fetch() -> None:
        try:
            codes.append(runtime.run(_fetch(spec, sockets, board, publisher, lifeline=0)))
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
