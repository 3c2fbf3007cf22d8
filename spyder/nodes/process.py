"""What every node's process stands on: a folder for ``ipc://`` names, its addresses, and a way for its log records."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import shutil
import tempfile
from collections.abc import Iterator

import msgspec

from spyder.bus.logpipe import LogPublisher
from spyder.bus.sockets import Sockets, reachable
from spyder.settings import Settings

#: What a wildcard address is from this host.
_HERE = "tcp://127.0.0.1:0"
#: Seconds between looks whether kept log records can be sent.
_LOG_PUMP = 0.5


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
        console = Console()
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


class Console(logging.Handler):
    """Writes to standard error what goes there at once: nobody who does not read it, and no full disk, holds us up."""

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self.dropped = 0  #: records that could not be written at once

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, or give it up."""
        try:
            line = self.format(record).encode("utf-8", "backslashreplace")[:select.PIPE_BUF - 1] + b"\n"
            if self._poll.poll(0) == [(self._descriptor, select.POLLOUT)]:
                os.write(self._descriptor, line)
            else:
                self.dropped += 1
        except Exception:  # noqa: BLE001  a bad log call, a closed terminal: the log sink has the record
            self.dropped += 1


async def pump(publisher: LogPublisher) -> None:
    """Send kept log records from time to time, until cancelled."""
    while True:
        await asyncio.sleep(_LOG_PUMP)
        publisher.pump()
