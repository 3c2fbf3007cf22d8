"""Loopback servers that send exact bytes, and what else the tests of the transport share."""

import asyncio
import os
import shutil
import socket

import pytest

from spyder.fetch.dns import Resolver
from spyder.fetch.guard import Guard
from spyder.fetch.transport import Transport
from spyder.model.clock import SystemClock
from spyder.model.records import CrawlUri
from spyder.settings import DnsSection, GuardSection

OFF, DNS = GuardSection(policy="off"), DnsSection()


class Server:
    """Answers each request by the next reply; the last one is used again.

    A reply is bytes, or a list of bytes, of seconds to wait, and of ``close``, ``reset`` and ``hang``, or a function
    that makes such of the request. What doesn't end in one of these words keeps the connection open. *tls* is the
    context of a server with TLS.
    """

    def __init__(self, *replies, host="127.0.0.1", tls=None):
        self._host = host
        self._tls = tls
        self.replies = list(replies)
        self.requests = []
        self.accepted = 0  # connections so far
        self.open = 0  # connections that neither side has closed
        self._writers = []
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:  # they see it, or are waiting
            await asyncio.wait(self._tasks, timeout=5)

    async def _serve(self, reader, writer):
        self.accepted += 1
        self.open += 1
        self._tasks.add(asyncio.current_task())
        self._writers.append(writer)
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                reply = reply(self.requests[-1]) if callable(reply) else reply
                for step in reply if isinstance(reply, list) else [reply]:
                    if not await self._do(step, reader, writer):
                        return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _do(self, step, reader, writer):
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case int() | float():
                await asyncio.sleep(step)
            case "hang":
                await reader.read()
            case "reset":
                linger = b"\1\0\0\0\0\0\0\0"
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
                return False
            case "close":
                return False
        return True


def uri(url, **more):
    return CrawlUri(lease=1, key=b"k", url=url, **more)


def new_transport(fetch, *, guard=OFF, dns=DNS, **resolver):
    """A transport on the running loop, which may connect to anything unless *guard* says otherwise."""
    clock, loop = SystemClock(), asyncio.get_running_loop()
    return Transport(fetch, clock=clock, guard=Guard(guard), loop=loop,
                     resolver=Resolver(dns, clock=clock, loop=loop, **resolver))


def run_as_workers_do(main):
    """Run a coroutine on the loop that workers use: uvloop, where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def fetch_all(transport, *urls):
    """Fetch *urls*, texts or leases, one after the other; the pages and bodies."""
    results = []
    for url in urls:
        future = asyncio.get_running_loop().create_future()
        transport.fetch(uri(url) if isinstance(url, str) else url,
                        lambda page, body, future=future: future.set_result((page, body)))
        results.append(await asyncio.wait_for(future, 10))
    return results


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def needs(program):
    """Its path; a missing program skips on a laptop and fails in CI."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return path
