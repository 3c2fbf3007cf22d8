"""Tiny real proxies on the loopback interface; every name that they are asked for is this machine."""

import asyncio
import base64
import contextlib
import ipaddress
import re


class _Proxy:
    """Takes connections, one handler each; what it was asked for is in ``asked``, what it let through in ``served``."""

    scheme = ""

    def __init__(self, *, user="", password="", known="", answer="", tls=None):
        self.user, self.password = user, password
        self.known = known or password  # the password that its users were told
        self.answer = answer  # what it does instead of its work
        self.asked = []
        self.heads = []
        self.served = 0
        self.accepted = 0
        self._tls = tls
        self._writers = []
        self._tasks = set()

    async def __aenter__(self):
        self._tasks.clear()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    @property
    def url(self):
        userinfo = f"{self.user}:{self.known}@" if self.user else ""
        return f"{self.scheme}://{userinfo}127.0.0.1:{self.port}"

    async def _serve(self, reader, writer):
        self.accepted += 1
        self._tasks.add(asyncio.current_task())
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if self.answer == "hang":
                await reader.read()
            elif self.answer != "close":
                await self._work(reader, writer)
        writer.close()

    async def _join(self, port, reader, writer):
        """Join the client to this machine's *port*."""
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", port)
        self._writers.append(their_writer)
        self.served += 1

        async def copy(source, target):
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    target.write(data)
                    await target.drain()
                target.close()
        await asyncio.gather(copy(reader, their_writer), copy(their_reader, writer))


class HttpProxy(_Proxy):
    """CONNECT, and requests in absolute-form (RFC 9112, section 3.2.2)."""

    @property
    def scheme(self):
        return "https" if self._tls else "http"

    async def _work(self, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            self.asked.append(f"{method} {target}")
            wanted = b"proxy-authorization: basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).lower()
            if self.user and wanted not in head.lower():
                writer.write(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
                continue
            if self.answer:
                writer.write(b"HTTP/1.1 %s X\r\nX-Proxy: 1\r\nContent-Length: 0\r\n\r\n" % self.answer.encode())
                continue
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connected\r\nX-Proxy: 1\r\n\r\n")
                await self._join(int(target.rpartition(":")[2]), reader, writer)
                return
            authority, _, path = target.partition("://")[2].partition("/")
            fields = [field for field in head.split(b"\r\n")[1:] if not field.lower().startswith(b"proxy-")]
            request = b"\r\n".join((b"GET /%s HTTP/1.1" % path.encode(), *fields))
            writer.write(await self._ask(int(authority.rpartition(":")[2]), request))

    async def _ask(self, port, request):
        """The answer, of a known length, of this machine's *port*."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.served += 1
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            return head + await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
        finally:
            writer.close()


class SocksProxy(_Proxy):
    """SOCKS5 (RFC 1928), with user and password (RFC 1929); *answer* is the reply's number."""

    scheme = "socks5h"

    async def _work(self, reader, writer):
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 2 if self.user else 0
        if method not in methods:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes((5, method)))
        if method:
            _, size = await reader.readexactly(2)
            user = await reader.readexactly(size)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            if (user.decode(), password.decode()) != (self.user, self.password):
                writer.write(b"\x01\x01")
                return
            writer.write(b"\x01\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"{host}:{port}")
        reply = int(self.answer or 0)
        writer.write(bytes((5, reply, 0, 1)) + bytes(6))
        if not reply:
            await self._join(port, reader, writer)
