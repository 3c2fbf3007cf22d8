"""Workers and the log sink by themselves: what ``spyder start worker`` and ``spyder start logsink`` run."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack

from spyder import runtime
from spyder.bus.sockets import Sockets
from spyder.model.states import ExitCode
from spyder.nodes.checks import make_directory
from spyder.nodes.logsink import LogSink
from spyder.nodes.process import logging_to, pump, socket_folder
from spyder.nodes.supervisor import Supervisor
from spyder.settings import Settings, host_name

_log = logging.getLogger(__name__)

Announce = Callable[[str], None]  #: takes a line for the person who started the process


async def run_workers(settings: Settings, *, announce: Announce) -> ExitCode:
    """``worker.processes`` workers under a supervisor, until the master ends them, a signal, or they end for good."""
    make_directory(settings.crawl_directory, "output.directory")
    sockets = Sockets(settings.bus)
    identity = f"supervisor:{host_name()}:{os.getpid()}"
    closing = ExitStack()
    try:
        with socket_folder() as folder, logging_to(settings, sockets, identity, has_console=True) as publisher:
            supervisor = Supervisor(settings, sockets=sockets, folder=folder)
            supervisor.start()
            pumping = asyncio.create_task(pump(publisher), name="log pump")
            try:
                _log.info("%s keeps %d workers", identity, settings.worker.processes)
                return await _until_workers_end(supervisor, settings, started=lambda: announce(
                    f"{identity}: {settings.worker.processes} workers of {settings.worker.slots} slots for the master "
                    f"at {settings.bus.mgmt_master}"))
            finally:
                closing.enter_context(runtime.hard_deadline(runtime.CLOSE_WITHIN + settings.bus.linger))
                pumping.cancel()
                await supervisor.kill()
    finally:
        with closing:
            sockets.close_all()


async def _until_workers_end(supervisor: Supervisor, settings: Settings, *, started: Callable[[], None]) -> ExitCode:
    asked = asyncio.Event()
    ended = asyncio.create_task(supervisor.wait(), name="workers")
    signalled = asyncio.create_task(asked.wait(), name="signal")
    try:
        with runtime.stop_signals(asked.set):
            started()
            await asyncio.wait((ended, signalled), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return ended.result()
            supervisor.stop()
            await asyncio.wait((ended,), timeout=settings.worker.drain + 3 * settings.bus.linger)
            return ended.result() if ended.done() else ExitCode.HARD_DEADLINE
    finally:
        for task in (ended, signalled):
            task.cancel()
        await asyncio.gather(ended, signalled, return_exceptions=True)


async def run_logsink(settings: Settings, *, announce: Announce) -> int:
    """A log sink at the address of the settings, until a signal; returns the number of records that it wrote."""
    make_directory(settings.log_directory, "log.directory")
    sockets = Sockets(settings.bus)
    sink = LogSink(settings.log, settings.log_directory, sockets=sockets, address=settings.bus.logging)
    identity = f"logsink:{host_name()}:{os.getpid()}"
    try:
        sink.start()
        with logging_to(settings, sockets, identity, has_console=True) as publisher:
            pumping = asyncio.create_task(pump(publisher), name="log pump")
            asked = asyncio.Event()
            with runtime.stop_signals(asked.set):
                announce(f"{identity}: {settings.bus.logging} to {settings.log_directory}")
                _log.info("%s takes records at %s", identity, settings.bus.logging)
                await asked.wait()
            pumping.cancel()
        await asyncio.sleep(0.05)  # its own last records are on their way
        return sink.records
    finally:
        with runtime.hard_deadline(runtime.CLOSE_WITHIN + settings.bus.linger):
            sink.close()
            sockets.close_all()
