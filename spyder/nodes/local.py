"""Everything on this host: a master, its workers and a log sink under one command, or parts of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from spyder import runtime
from spyder.bus.logpipe import LogPublisher
from spyder.bus.sockets import Sockets
from spyder.errors import SettingsError, SpyderError
from spyder.frontier.frontier import SeedReport
from spyder.model.clock import SystemClock
from spyder.nodes import processors
from spyder.nodes.logsink import LogSink
from spyder.nodes.master import Master, Status, open_frontier
from spyder.nodes.supervisor import Supervisor
from spyder.scope.rules import LinkScope
from spyder.settings import Settings, host_name

_log = logging.getLogger(__name__)

#: Seconds between figures for the observer.
_TICK = 0.25
#: What a crawl directory holds; ``--fresh`` removes nothing else.
_PARTS = ("frontier", "pages", "logs", "run")

Observer = Callable[[Status], None]


def _ignore(status: Status) -> None:
    """Show nothing."""


class CrawlReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a crawl on this host ended."""

    reason: str
    seeds: SeedReport
    status: Status
    directory: str


def check(settings: Settings) -> None:
    """Refuse settings that name what isn't there, before anything is started.

    Raises :class:`SettingsError` or :class:`spyder.errors.PluginError`, in one line.
    """
    LinkScope(settings.scope)
    processors.build(settings.processors)
    if "\n" in settings.fetch.user_agent:
        raise SettingsError("`fetch.user_agent` must be one line")


def on_local_bus(settings: Settings, folder: str) -> Settings:
    """*settings* with every address in *folder*: nothing of it can be reached from elsewhere."""
    bus = msgspec.structs.replace(
        settings.bus, mgmt_master=f"ipc://{folder}/mgmt-master", mgmt_worker=f"ipc://{folder}/mgmt-worker",
        outcomes=f"ipc://{folder}/outcomes", logging=f"ipc://{folder}/logging", push=f"ipc://{folder}")
    return msgspec.structs.replace(settings, bus=bus)


@contextlib.contextmanager
def socket_folder() -> Iterator[str]:
    """A folder for ``ipc://`` names, with a short path, gone afterwards."""
    folder = tempfile.mkdtemp(prefix="spyder-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def logging_to(settings: Settings, sockets: Sockets, identity: str) -> Iterator[LogPublisher]:
    """Within it, this process's log records go to the log sink."""
    publisher = LogPublisher(sockets, settings.bus.logging, identity=identity)
    publisher.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger()
    root.addHandler(publisher)
    root.setLevel(settings.log.level.upper())
    try:
        yield publisher
    finally:
        root.removeHandler(publisher)
        publisher.close()


def clear(settings: Settings) -> None:
    """Remove what an earlier crawl left in the crawl directory, unless it is in use.

    Raises :class:`spyder.errors.StoreError` when a master runs on it.
    """
    if settings.frontier_directory.exists() and settings.frontier.store != "memory":
        with contextlib.suppress(SpyderError):  # not openable: cleared; in use: the lock says so below
            open_frontier(settings, SystemClock()).close()
    for part in _PARTS:
        shutil.rmtree(settings.crawl_directory / part, ignore_errors=True)
    if settings.frontier.directory:
        shutil.rmtree(settings.frontier_directory, ignore_errors=True)


async def crawl(settings: Settings, seeds: Sequence[str], *, observe: Observer = _ignore,
                is_profiled: bool = False) -> CrawlReport:
    """Crawl from *seeds* with a master and workers of this host until it is done, a limit is reached, or a signal."""
    with socket_folder() as folder:
        settings = on_local_bus(settings, folder)
        async with node(settings, folder, has_sink=True, has_workers=True, ends_when_done=True,
                        is_profiled=is_profiled) as (master, supervisor):
            report = master.add_seeds(seeds)
            if report.refused and not master.frontier.books.discovered:
                raise SpyderError("; ".join(report.refused))
            watch = asyncio.create_task(_watch(master, observe), name="observer")
            assert supervisor is not None
            end_of_workers = asyncio.create_task(_end_with_workers(master, supervisor), name="workers")
            try:
                with runtime.stop_signals(lambda: master.end("interrupted")):
                    reason = await master.wait()
                    end_of_workers.cancel()
                    status = await master.stop()
                    await _end_workers(supervisor, settings)
            finally:
                watch.cancel()
                end_of_workers.cancel()
            return CrawlReport(reason=reason, seeds=report, status=status, directory=str(settings.crawl_directory))


@contextlib.asynccontextmanager
async def node(settings: Settings, folder: str, *, has_sink: bool, has_workers: bool, ends_when_done: bool,
               is_profiled: bool = False) -> AsyncIterator[tuple[Master, Supervisor | None]]:
    """A running master with its API, and on request a log sink and workers; all of it ended afterwards."""
    sockets = Sockets(settings.bus)
    identity = f"master:{host_name()}:{os.getpid()}"
    sink = LogSink(settings.log, settings.log_directory, sockets=sockets, address=settings.bus.logging)
    supervisor: Supervisor | None = None
    try:
        if has_sink:
            sink.start()
        with logging_to(settings, sockets, identity) as publisher:
            if has_workers:
                supervisor = Supervisor(settings, sockets=sockets, folder=folder, is_profiled=is_profiled)
                supervisor.start()
                await asyncio.sleep(0)  # the children start while the store is opened
            master = Master(settings, sockets=sockets, clock=SystemClock(), ends_when_done=ends_when_done,
                            expects_survivors=not has_workers, is_profiled=is_profiled)
            master.start()
            api = asyncio.create_task(_serve_api(master, settings), name="api")
            pump = asyncio.create_task(_pump(publisher), name="log pump")
            try:
                yield master, supervisor
            finally:
                api.cancel()
                pump.cancel()
                await asyncio.gather(api, pump, return_exceptions=True)
        if has_sink:
            await asyncio.sleep(0.05)  # the last records of all processes are on their way
    finally:
        if supervisor is not None:
            await supervisor.kill()
        sink.close()
        sockets.close_all()


async def _pump(publisher: LogPublisher) -> None:
    while True:
        await asyncio.sleep(0.5)
        publisher.pump()


async def _serve_api(master: Master, settings: Settings) -> None:
    """Serve the HTTP API, and write where it is to ``run/api.json``."""
    await asyncio.sleep(0.2)  # its library takes a while to import; the first fetches go first
    from spyder.web.api import serve

    path = settings.crawl_directory / "run" / "api.json"
    with serve(master, settings.api) as port:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"address": settings.api.address, "port": port, "pid": os.getpid()}))
        try:
            await asyncio.Event().wait()
        finally:
            path.unlink(missing_ok=True)


async def _watch(master: Master, observe: Observer) -> None:
    while True:
        observe(master.status())
        await asyncio.sleep(_TICK)


async def _end_with_workers(master: Master, supervisor: Supervisor) -> None:
    code = await supervisor.wait()
    master.end(f"all workers ended ({code.name.lower().replace('_', ' ')})")


async def _end_workers(supervisor: Supervisor, settings: Settings) -> None:
    supervisor.stop()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(supervisor.wait()), settings.bus.linger * 2)
    await supervisor.kill()


def seeds_from(path: Path) -> Iterable[str]:
    """The seeds in a text file: one a line, blank lines and lines that begin with ``#`` left out.

    Raises :class:`SettingsError` when it can't be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if (text := line.strip()) and not text.startswith("#"):
                    yield text
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read as a list of seeds: {error}") from None
