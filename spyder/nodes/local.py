"""Everything on this host: a master, its workers and a log sink under one command, or parts of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from spyder import plugins, runtime
from spyder.bus.logpipe import LogPublisher
from spyder.bus.sockets import Sockets, reachable
from spyder.errors import SettingsError, SpyderError, StoreError, StoreInUseError, UrlError
from spyder.frontier.frontier import SeedReport
from spyder.model.clock import SystemClock
from spyder.model.states import ExitCode
from spyder.nodes import processors
from spyder.nodes.logsink import LogSink
from spyder.nodes.master import Master, Status
from spyder.nodes.supervisor import Supervisor
from spyder.scope.rules import LinkScope
from spyder.settings import Settings, host_name

_log = logging.getLogger(__name__)

#: Seconds between figures for the observer.
_TICK = 0.25
#: What a crawl directory holds; ``--fresh`` removes nothing else.
_PARTS = ("frontier", "pages", "logs", "run")

#: Seconds that a crawl goes on before its API is served: its library takes a while to import, fetches go first.
_API_DELAY = 0.2
#: What a wildcard address is from this host.
_HERE = "tcp://127.0.0.1:0"

Observer = Callable[[Status], None]
Announce = Callable[[str], None]  #: takes a line for the person who started the process


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


# -- what is refused before anything starts ------------------------------------------------------------------------


def check(settings: Settings, *, has_workers: bool = True) -> None:
    """Refuse settings that name what isn't there, before anything is started; make the crawl directory.

    Processors are built only where workers are to run (*has_workers*). Raises :class:`SettingsError` or
    :class:`spyder.errors.PluginError`, in one line.
    """
    LinkScope(settings.scope)
    plugins.find("canonical", settings.frontier.canonical)
    plugins.find("assignment", settings.frontier.assignment)
    if has_workers:
        processors.build(settings.processors)
    if "\n" in settings.fetch.user_agent:
        raise SettingsError("`fetch.user_agent` must be one line")
    if settings.api.address not in {"127.0.0.1", "::1", "localhost"}:
        from spyder.web.api import check_address  # its library takes a while to import

        check_address(settings.api)
    for key in ("mgmt_master", "mgmt_worker", "outcomes", "logging"):
        _check_address(key, getattr(settings.bus, key))


def _check_address(key: str, address: str) -> None:
    scheme, separator, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    is_good = (scheme == "ipc" and bool(rest)) or (
        scheme == "tcp" and bool(host) and port.isdigit() and 0 < int(port) < 65536)
    if not separator or not is_good:
        raise SettingsError(f"`bus.{key}` is {address!r}: expected tcp://host:port, as tcp://127.0.0.1:7701, "
                            "or ipc:///path")


def make_directory(path: Path, key: str) -> None:
    """Make the folder *path* that the setting *key* names.

    Raises :class:`SettingsError` when nothing can be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise SettingsError(f"{path} (`{key}`) is a file: name a folder") from None
    except NotADirectoryError:
        raise SettingsError(f"{path} (`{key}`) can't be made: a part of it is a file") from None
    except OSError as error:
        raise SettingsError(f"{path} (`{key}`) can't be made: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise SettingsError(f"{path} (`{key}`) can't be written: permission denied")


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


def connectable(settings: Settings) -> Settings:
    """*settings* as a process on the master's own host connects by them: wildcard interfaces become loopback."""
    bus = settings.bus
    return msgspec.structs.replace(settings, bus=msgspec.structs.replace(
        bus, mgmt_master=reachable(bus.mgmt_master, _HERE), mgmt_worker=reachable(bus.mgmt_worker, _HERE),
        logging=reachable(bus.logging, _HERE)))


@contextlib.contextmanager
def logging_to(settings: Settings, sockets: Sockets, identity: str, *,
               has_console: bool = False) -> Iterator[LogPublisher]:
    """Within it, this process's log records go to the log sink, and with *has_console* warnings to standard error."""
    publisher = LogPublisher(sockets, reachable(settings.bus.logging, _HERE), identity=identity)
    publisher.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [publisher]
    if has_console:
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(logging.Formatter("spyder: %(message)s"))
        console.setLevel(logging.WARNING)
        handlers.append(console)
    root = logging.getLogger()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(settings.log.level.upper())
    try:
        yield publisher
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        publisher.close()


def clear(settings: Settings) -> None:
    """Remove what an earlier crawl left in the crawl directory, unless it is in use.

    Raises :class:`spyder.errors.StoreError` when a master runs on it.
    """
    if settings.frontier_directory.exists() and settings.frontier.store != "memory":
        try:
            plugins.find("store", settings.frontier.store).open(settings.frontier_directory, cache=1 << 20).close()
        except StoreInUseError:
            raise
        except StoreError:
            pass  # damaged or of another version: that is what --fresh is for
    for part in _PARTS:
        shutil.rmtree(settings.crawl_directory / part, ignore_errors=True)
    if settings.frontier.directory:
        shutil.rmtree(settings.frontier_directory, ignore_errors=True)


# -- a master, alone or with all that belongs to it -----------------------------------------------------------------


async def crawl(settings: Settings, seeds: Sequence[str], *, observe: Observer = lambda _: None,
                is_profiled: bool = False) -> CrawlReport:
    """Crawl from *seeds* with a master and workers of this host until it is done, a limit is reached, or a signal.

    Raises :class:`UrlError` when no seed can be crawled.
    """
    with socket_folder() as folder:
        settings = on_local_bus(settings, folder)
        async with node(settings, folder, has_sink=True, has_workers=True, ends_when_done=True,
                        is_profiled=is_profiled) as running:
            return await _drive(running, settings, seeds, observe=observe)


async def run_master(settings: Settings, *, ends_when_done: bool, has_workers: bool = False,
                     announce: Announce) -> CrawlReport:
    """A master at the addresses of the settings, with workers and a log sink in one if asked for.

    It begins with ``project.seeds``, takes more by its API, and ends when it is told to, by a signal, or, with
    *ends_when_done*, with the crawl. Raises what :func:`crawl` raises.
    """
    with socket_folder() as folder:
        async with node(settings, folder, has_sink=has_workers, has_workers=has_workers,
                        ends_when_done=ends_when_done, has_console=True) as running:
            def started(seeds: SeedReport) -> None:
                for line in seeds.refused:
                    _log.warning("seed refused: %s", line)
                workers = f", {settings.worker.processes} workers" if has_workers else ""
                announce(f"master {running.master.identity}: mgmt {settings.bus.mgmt_master}, "
                         f"API {running.api.url}{workers}")

            return await _drive(running, settings, settings.project.seeds, started=started)


class Node(NamedTuple):
    """What runs in a master's process."""

    master: Master
    supervisor: Supervisor | None
    api: Api


async def _drive(running: Node, settings: Settings, seeds: Sequence[str], *,
                 observe: Observer = lambda _: None,
                 started: Callable[[SeedReport], None] = lambda _: None) -> CrawlReport:
    """Add the seeds, wait for the end of the crawl or a signal, and end all in good order."""
    master, supervisor, _ = running
    report = master.add_seeds(seeds)
    if report.refused and not master.frontier.books.discovered:
        await master.stop()
        raise UrlError("; ".join(report.refused))
    watch = asyncio.create_task(_watch(master, observe), name="observer")
    end_of_workers = asyncio.create_task(_end_with_workers(master, supervisor), name="workers")
    try:
        with runtime.stop_signals(lambda: master.end("interrupted")):
            started(report)
            reason = await master.wait()
            end_of_workers.cancel()
            status = await master.stop()
            if supervisor is not None:
                await _end_workers(supervisor, settings)
    finally:
        watch.cancel()
        end_of_workers.cancel()
    return CrawlReport(reason=reason, seeds=report, status=status, directory=str(settings.crawl_directory))


@contextlib.asynccontextmanager
async def node(settings: Settings, folder: str, *, has_sink: bool, has_workers: bool, ends_when_done: bool,
               is_profiled: bool = False, has_console: bool = False) -> AsyncIterator[Node]:
    """A running master with its API, and on request a log sink and workers; all of it ended afterwards.

    With *has_console* the API is up before it is entered; else it is served a little later.
    """
    make_directory(settings.crawl_directory, "output.directory")
    if has_sink:
        make_directory(settings.log_directory, "log.directory")
    sockets = Sockets(settings.bus)
    identity = f"master:{host_name()}:{os.getpid()}"
    sink = LogSink(settings.log, settings.log_directory, sockets=sockets, address=settings.bus.logging)
    supervisor: Supervisor | None = None
    api: Api | None = None
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
            api = Api(master, settings)
            tasks = [asyncio.create_task(_pump(publisher), name="log pump")]
            try:
                await _start(master, api if has_console else None)
                if not has_console:
                    tasks.append(asyncio.create_task(_open_later(api), name="api"))
                yield Node(master, supervisor, api)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                api.close()
        if has_sink:
            await asyncio.sleep(0.05)  # the last records of all processes are on their way
    finally:
        if supervisor is not None:
            await supervisor.kill()
        sink.close()
        sockets.close_all()
        if api is not None:
            api.forget()


async def _start(master: Master, api: Api | None) -> None:
    """Start the master, and its API if there is one to wait for; what can't be had leaves nothing open."""
    try:
        master.start()
    except SpyderError:
        master.frontier.close()
        raise
    try:
        if api is not None:
            api.open()
    except (SpyderError, OSError):
        await master.stop()
        raise


class Api:
    """The HTTP API over a master, and the file ``run/api.json`` in the crawl directory that says where it listens."""

    def __init__(self, master: Master, settings: Settings) -> None:
        self._master = master
        self._settings = settings.api
        self._path = settings.crawl_directory / "run" / "api.json"
        self._serving = contextlib.ExitStack()
        self.url = ""  #: empty until it is open

    def open(self) -> None:
        """Serve. Raises :class:`SpyderError` when the address can't be bound."""
        from spyder.web.api import serve

        port = self._serving.enter_context(serve(self._master, self._settings))
        address = self._settings.address
        self.url = f"http://{f'[{address}]' if ':' in address else address}:{port}"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"address": address, "port": port, "pid": os.getpid()}), encoding="utf-8")
        new.replace(self._path)

    def close(self) -> None:
        """Serve no longer."""
        self._serving.close()

    def forget(self) -> None:
        """Remove the file: who waits for the master's end sees that all its addresses are free."""
        if self.url:
            self._path.unlink(missing_ok=True)


async def _open_later(api: Api) -> None:
    await asyncio.sleep(_API_DELAY)
    try:
        api.open()
    except (SpyderError, OSError) as error:
        _log.warning("this crawl can't be asked for its status: %s", error)


# -- workers and the log sink by themselves --------------------------------------------------------------------------


async def run_workers(settings: Settings, *, announce: Announce) -> ExitCode:
    """``worker.processes`` workers under a supervisor, until the master ends them, a signal, or they end for good."""
    make_directory(settings.crawl_directory, "output.directory")
    sockets = Sockets(settings.bus)
    identity = f"supervisor:{host_name()}:{os.getpid()}"
    try:
        with socket_folder() as folder, logging_to(settings, sockets, identity, has_console=True) as publisher:
            supervisor = Supervisor(settings, sockets=sockets, folder=folder)
            supervisor.start()
            pump = asyncio.create_task(_pump(publisher), name="log pump")
            try:
                _log.info("%s keeps %d workers", identity, settings.worker.processes)
                return await _until_workers_end(supervisor, settings, started=lambda: announce(
                    f"{identity}: {settings.worker.processes} workers of {settings.worker.slots} slots for the master "
                    f"at {settings.bus.mgmt_master}"))
            finally:
                pump.cancel()
                await supervisor.kill()
    finally:
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
            pump = asyncio.create_task(_pump(publisher), name="log pump")
            asked = asyncio.Event()
            with runtime.stop_signals(asked.set):
                announce(f"{identity}: {settings.bus.logging} to {settings.log_directory}")
                _log.info("%s takes records at %s", identity, settings.bus.logging)
                await asked.wait()
            pump.cancel()
        await asyncio.sleep(0.05)  # its own last records are on their way
        return sink.records
    finally:
        sink.close()
        sockets.close_all()


# -- their common parts ----------------------------------------------------------------------------------------------


async def _pump(publisher: LogPublisher) -> None:
    while True:
        await asyncio.sleep(0.5)
        publisher.pump()


async def _watch(master: Master, observe: Observer) -> None:
    while True:
        observe(master.status())
        await asyncio.sleep(_TICK)


async def _end_with_workers(master: Master, supervisor: Supervisor | None) -> None:
    if supervisor is None:
        return
    code = await supervisor.wait()
    master.end(f"all workers ended ({code.name.lower().replace('_', ' ')})")


async def _end_workers(supervisor: Supervisor, settings: Settings) -> None:
    supervisor.stop()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(supervisor.wait()), settings.bus.linger * 2)
    await supervisor.kill()
