"""Everything on this host under one command: a master, its API, and on request workers and a log sink."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import msgspec

from spyder import runtime
from spyder.bus.sockets import Sockets
from spyder.errors import SpyderError, UrlError
from spyder.frontier.frontier import SeedReport
from spyder.model.clock import SystemClock
from spyder.nodes.checks import make_directory
from spyder.nodes.logsink import LogSink
from spyder.nodes.master import Master
from spyder.nodes.process import connectable, logging_to, on_local_bus, pump, socket_folder
from spyder.nodes.status import Status
from spyder.nodes.supervisor import Supervisor
from spyder.settings import Settings, host_name

_log = logging.getLogger(__name__)

#: Seconds between figures for the observer.
_TICK = 0.25
#: Seconds that a crawl goes on before its API is served: its library takes a while to import, fetches go first.
_API_DELAY = 0.2

Observer = Callable[[Status], None]
Announce = Callable[[str], None]  #: takes a line for the person who started the process


class Api(Protocol):
    """A master's API that is being served; who joins nodes with it is the command line."""

    url: str

    def close(self) -> None:
        """Serve no longer."""

    def forget(self) -> None:
        """Remove what tells others where it was: by then all addresses are free."""


#: Serves the API of a master; raises :class:`SpyderError` or :class:`OSError` when it can't.
ServeApi = Callable[[Master, Settings], Api]


class CrawlReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a master's run ended."""

    reason: str
    seeds: SeedReport
    status: Status
    directory: str

    @property
    def ended_early(self) -> bool:
        """True when something broke that kept the crawl from its end."""
        return self.reason.startswith(("all workers", "task"))


async def crawl(settings: Settings, seeds: Sequence[str], *, observe: Observer = lambda _: None,
                serve_api: ServeApi | None = None, is_profiled: bool = False) -> CrawlReport:
    """Crawl from *seeds* with a master and workers of this host until it is done, a limit is reached, or a signal.

    Raises :class:`UrlError` when no seed can be crawled.
    """
    with socket_folder() as folder:
        settings = on_local_bus(settings, folder)
        async with node(settings, folder, has_sink=True, has_workers=True, ends_when_done=True,
                        is_profiled=is_profiled) as running:
            serving = asyncio.create_task(_serve_later(running, serve_api, settings), name="api")
            try:
                return await _drive(running, settings, seeds, observe=observe)
            finally:
                serving.cancel()


async def run_master(settings: Settings, *, ends_when_done: bool, has_workers: bool = False, serve_api: ServeApi,
                     announce: Announce) -> CrawlReport:
    """A master at the addresses of the settings, with workers and a log sink in one if asked for.

    It begins with ``project.seeds``, takes more by its API, and ends when it is told to, by a signal, or, with
    *ends_when_done*, with the crawl. Raises what :func:`crawl` raises.
    """
    with socket_folder() as folder:
        async with node(settings, folder, has_sink=has_workers, has_workers=has_workers,
                        ends_when_done=ends_when_done, has_console=True) as running:
            running.api = serve_api(running.master, settings)
            seeds = _add_seeds(running.master, settings.project.seeds)
            for line in seeds.refused:
                _log.warning("seed refused: %s", line)
            workers = f", {settings.worker.processes} workers" if has_workers else ""
            announce(f"master {running.master.identity}: mgmt {settings.bus.mgmt_master}, "
                     f"API {running.api.url}{workers}")
            return await _drive(running, settings, (), added=seeds)


class Node:
    """What runs in a master's process."""

    def __init__(self, master: Master, supervisor: Supervisor | None) -> None:
        self.master = master
        self.supervisor = supervisor
        self.api: Api | None = None


@contextlib.asynccontextmanager
async def node(settings: Settings, folder: str, *, has_sink: bool, has_workers: bool, ends_when_done: bool,
               is_profiled: bool = False, has_console: bool = False) -> AsyncIterator[Node]:
    """A running master, and on request a log sink and workers; all of it, and its API, ended afterwards."""
    make_directory(settings.crawl_directory, "output.directory")
    if has_sink:
        make_directory(settings.log_directory, "log.directory")
    sockets = Sockets(settings.bus)
    identity = f"master:{host_name()}:{os.getpid()}"
    sink = LogSink(settings.log, settings.log_directory, sockets=sockets, address=settings.bus.logging)
    running: Node | None = None
    supervisor: Supervisor | None = None
    closing = contextlib.ExitStack()
    try:
        if has_sink:
            sink.start()
        with logging_to(settings, sockets, identity, has_console=has_console) as publisher:
            if has_workers:
                supervisor = Supervisor(connectable(settings), sockets=sockets, folder=folder, is_profiled=is_profiled)
                supervisor.start()
                await asyncio.sleep(0)  # the children start while the store is opened
            master = Master(settings, sockets=sockets, clock=SystemClock(), ends_when_done=ends_when_done,
                            expects_survivors=not has_workers, is_profiled=is_profiled)
            pumping = asyncio.create_task(pump(publisher), name="log pump")
            try:
                master.start()
                running = Node(master, supervisor)
                yield running
            finally:
                closing.enter_context(runtime.hard_deadline(runtime.CLOSE_WITHIN + settings.bus.linger))
                pumping.cancel()
                if running is not None and running.api is not None:
                    running.api.close()
                master.close()
        if has_sink:
            await asyncio.sleep(0.05)  # the last records of all processes are on their way
    finally:
        with closing, runtime.hard_deadline(runtime.CLOSE_WITHIN + settings.bus.linger):
            if supervisor is not None:
                await supervisor.kill()
            sink.close()
            sockets.close_all()
            if running is not None and running.api is not None:
                running.api.forget()


def _add_seeds(master: Master, seeds: Sequence[str]) -> SeedReport:
    report = master.add_seeds(seeds)
    if report.refused and not master.frontier.books.discovered:
        raise UrlError("; ".join(report.refused))
    return report


async def _drive(running: Node, settings: Settings, seeds: Sequence[str], *, observe: Observer = lambda _: None,
                 added: SeedReport | None = None) -> CrawlReport:
    """Add the seeds, wait for the end of the crawl or a signal, and end all in good order."""
    master, supervisor = running.master, running.supervisor
    report = added if added is not None else _add_seeds(master, seeds)
    watch = asyncio.create_task(_watch(master, observe), name="observer")
    end_of_workers = asyncio.create_task(_end_with_workers(master, supervisor), name="workers")
    try:
        with runtime.stop_signals(lambda: master.end("interrupted")):
            reason = await master.wait()
            end_of_workers.cancel()
            with runtime.hard_deadline(settings.worker.drain + 4 * settings.bus.linger + runtime.CLOSE_WITHIN):
                status = await master.stop()
                if supervisor is not None:
                    await _end_workers(supervisor, settings)
    finally:
        watch.cancel()
        end_of_workers.cancel()
    return CrawlReport(reason=reason, seeds=report, status=status, directory=str(settings.crawl_directory))


async def _serve_later(running: Node, serve_api: ServeApi | None, settings: Settings) -> None:
    if serve_api is None:
        return
    await asyncio.sleep(_API_DELAY)
    try:
        running.api = serve_api(running.master, settings)
    except (SpyderError, OSError) as error:
        _log.warning("this crawl can't be asked for its status: %s", error)


async def _watch(master: Master, observe: Observer) -> None:
    while True:
        observe(master.status())
        await asyncio.sleep(_TICK)


async def _end_with_workers(master: Master, supervisor: Supervisor | None) -> None:
    if supervisor is None:
        return
    try:
        code = await supervisor.wait()
    except Exception as error:  # noqa: BLE001  a supervisor that fails leaves no workers: its reason ends the crawl
        _log.exception("the supervisor failed")
        master.end(f"all workers ended: {error}")
        return
    master.end(f"all workers ended ({code.name.lower().replace('_', ' ')})")


async def _end_workers(supervisor: Supervisor, settings: Settings) -> None:
    supervisor.stop()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(supervisor.wait()), settings.bus.linger * 2)
    await supervisor.kill()
