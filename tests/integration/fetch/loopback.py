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

    A reply is bytes, or a list of bytes, of seconds to wait, and of ``close``, ``reset`` and ``hang``. What doesn't
    end in one of these keeps the connection open.
    """

    def __init__(self, *replies):
        self.replies = list(replies)
        self.requests = []
        self.accepted = 0  # connections so far
        self.open = 0  # connections that neither side has closed
        self._writers = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # lets the handlers see it

    async def _serve(self, reader, writer):
        self.accepted += 1
        self.open += 1
        self._writers.append(writer)
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
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


def uri(url):
    return CrawlUri(lease=1, key=b"k", url=url)


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
    """Fetch *urls* one after the other; the pages and bodies."""
    results = []
    for url in urls:
        future = asyncio.get_running_loop().create_future()
        transport.fetch(uri(url), lambda page, body, future=future: future.set_result((page, body)))
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
