"""What stands on the wire: codings and bombs, addresses and names of hosts."""

import asyncio
import contextlib
import gzip
import socket
import sys
import zlib

import brotli
import pytest
from loopback import Server, fetch_all, new_transport

from spyder.model.states import ErrorKind
from spyder.model.url import parse
from spyder.settings import DnsSection, FetchSection

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": lambda data: brotli.compress(data, quality=5),
            "zstd": zstd.compress}


def fetch(reply, url="http://127.0.0.1:{port}/", *, host="127.0.0.1", dns=None, **settings):
    """Fetch *url* from a server at *host*; the page, its body, and the request."""
    async def main():
        async with Server(reply, host=host) as server:
            transport = new_transport(FetchSection(timeout=9.0, **settings), dns=dns or DnsSection())
            try:
                [(page, body)] = await fetch_all(transport, parse(url.format(port=server.port)).href)
            finally:
                transport.close()
            return page, body, server.requests[0]
    return asyncio.run(main())


def coded(data, *codings):
    for coding in codings:
        data = ENCODERS[coding](data)
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s" % (
        ", ".join(codings).encode(), len(data), data)


@pytest.mark.parametrize("codings", [("gzip",), ("deflate",), ("br",), ("zstd",), ("gzip", "br"), ("zstd", "gzip")])
def test_given_a_coding_then_the_page_comes_as_it_was_written(codings):
    text = "".join(f"<p>caf\xe9 {number}</p>" for number in range(20_000)).encode()
    page, body, request = fetch(coded(text, *codings))
    assert (page.failure, body) == (None, text)
    assert page.wire_size < len(text) / 2
    assert b"Accept-Encoding: gzip, deflate, br, zstd\r\n" in request


@pytest.mark.parametrize("codings", [("gzip",), ("deflate",), ("br",), ("zstd",), ("gzip", "gzip"), ("br", "zstd")])
def test_given_a_bomb_then_the_limit_that_ends_it_is_named(codings):
    page, body, _ = fetch(coded(b"\0" * 32 * MIB, *codings), max_body_size=64 * MIB)
    assert (page.failure.kind, body) == (ErrorKind.BODY_LIMIT, b"")
    assert "fetch.max_ratio" in page.failure.detail


def test_given_a_page_that_is_well_compressed_then_it_is_no_bomb():
    table = b"".join(b"<tr><td>%d</td><td>0.00</td><td></td></tr>\n" % number for number in range(100_000))
    page, body, _ = fetch(coded(table, "gzip"))
    assert (page.failure, len(body)) == (None, len(table))
    assert len(table) > 4 * MIB


def test_given_an_ipv6_address_for_a_host_then_it_is_fetched():
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback address")
    page, body, request = fetch(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage",
                                "http://[0:0:0:0:0:0:0:1]:{port}/", host="::1")
    assert (page.failure, body, page.ip) == (None, b"page", "::1")
    assert b"\r\nHost: [::1]:" in request


def test_given_a_host_beyond_ascii_then_its_idna_form_is_asked_for():
    page, body, request = fetch(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage", "http://B\xfccher.Example:{port}/",
                                dns=DnsSection(hosts={"xn--bcher-kva.example": "127.0.0.1"}))
    assert (page.failure, body, page.ip) == (None, b"page", "127.0.0.1")
    assert b"\r\nHost: xn--bcher-kva.example:" in request
