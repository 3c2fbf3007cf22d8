"""The transport against real servers on the loopback interface."""

import asyncio
import contextlib
import gzip
import logging
import os
import socket
import tracemalloc

import brotli
import pytest
from loopback import Server, fetch_all, free_port, new_transport, uri

from spyder import __version__
from spyder.errors import SettingsError
from spyder.fetch import transport as transport_module
from spyder.fetch.poll import SelectorPoller
from spyder.model.clock import SystemClock
from spyder.model.states import ErrorKind
from spyder.settings import FetchSection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"
MIB = 1 << 20


def answer(body, *fields, status=b"200 OK", length=None):
    size = len(body) if length is None else length
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (
        status, size, b"".join(field + b"\r\n" for field in fields)) + body


def chunked(*chunks, end=b"0\r\n\r\n"):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


# --- what comes back when all is well


def test_a_page(fetch):
    text = b"<p>text</p>" * 3000
    [(page, body)] = fetch([answer(text, b"X-A: 1", b"x-a:  caf\xe9 ", b"Content-Type: text/html")])
    assert body == text
    assert (page.status, page.failure, page.ip, page.http_version) == (200, None, "127.0.0.1", "1.1")
    assert page.headers == (("content-length", str(len(text))), ("x-a", "1"), ("x-a", "caf\xe9"),
                            ("content-type", "text/html"))
    assert page.wire_size == len(text)
    assert 0 < page.first_byte <= page.elapsed < 5
    assert abs(page.started_at - SystemClock().now()) < 60
    assert page.uri.lease == 1


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_the_request(run):
    async def test(transport):
        async with Server(OK) as server:
            await fetch_all(transport, server.url + "a/../b/%7e%2f|'[]^`{}?q=a|b'^&c=%e4#fragment")
            return server.port, server.requests[0].decode().split("\r\n")
    port, lines = run(test, user_agent="Test/1", accept="text/html", accept_language="de")
    assert lines == ["GET /a/../b/%7e%2f|'[]^`{}?q=a|b'^&c=%e4 HTTP/1.1", f"Host: 127.0.0.1:{port}",
                     "User-Agent: Test/1", "Accept: text/html",
                     "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: de", "", ""]


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_the_request_says_who_asks(run):
    async def test(transport):
        async with Server(OK) as server:
            await fetch_all(transport, server.url)
            return server.requests[0].decode().split("\r\n")
    assert {f"User-Agent: Spyder/{__version__} (+me@example.org)", "From: me@example.org"} <= set(
        run(test, contact="me@example.org"))


@pytest.mark.parametrize(("reply", "body"), [
    ([chunked(b"one ", b"two"), "hang"], b"one two"),
    ([chunked(b"one", end=b"0\r\nX-Trailer: 1\r\n\r\n"), "hang"], b"one"),
    ([b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "close"], b"until the end"),
    ([b"HTTP/1.0 200 OK\r\n\r\nold", "close"], b"old"),
    ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK], b"page"),
    ([b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n", "hang"], b""),
    ([answer(b"", b"Content-Encoding: br")], b""),
    ([answer(gzip.compress(b"text"), b"Content-Encoding: GZIP")], b"text"),
    ([answer(brotli.compress(gzip.compress(b"text")), b"Content-Encoding: gzip", b"Content-Encoding: br")], b"text"),
    ([answer(b"text", b"Content-Encoding: UTF-8")], b"text"),
    ([b"HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\nContent-Length: 4\r\n\r\npage", "hang"], b"page"),
    ([b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\none ", 0.02, b"two ", "hang"], b"one two "),
], ids=range(12))
def test_answers(fetch, reply, body):
    [(page, found)] = fetch(reply)
    assert (page.failure, found) == (None, body)
    assert not {"link", "x-trailer"} & {name for name, _ in page.headers}
    assert all(value == "one two" for name, value in page.headers if name == "x-folded")


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
@pytest.mark.parametrize(("status", "kind"), [
    (200, None), (203, None), (301, None), (304, None), (400, ErrorKind.HTTP_4XX), (404, ErrorKind.HTTP_4XX),
    (429, ErrorKind.HTTP_429), (408, ErrorKind.HTTP_408),
    (500, ErrorKind.HTTP_500), (501, ErrorKind.HTTP_501), (503, ErrorKind.HTTP_5XX), (600, ErrorKind.PROTOCOL),
    (999, ErrorKind.PROTOCOL),
])
def test_statuses(fetch, status, kind):
    [(page, body)] = fetch(answer(b"" if status == 304 else b"page", status=b"%d X" % status))
    assert page.status == status
    assert body == (b"" if status == 304 else b"page")
    assert (page.failure and page.failure.kind) == kind
    if status in {404, 503}:
        assert page.failure.detail == str(status)


def test_redirects_are_not_followed(fetch):
    [(page, _)] = fetch(answer(b"", b"Location: http://127.0.0.1:1/", status=b"302 Found"))
    assert (page.status, page.failure, dict(page.headers)["location"]) == (302, None, "http://127.0.0.1:1/")


# --- what goes wrong


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
@pytest.mark.parametrize(("reply", "kind"), [
    ([answer(b"short", length=100), "close"], ErrorKind.TRUNCATED),
    ([chunked(b"one", end=b""), "close"], ErrorKind.TRUNCATED),
    ([chunked(b"one", end=b"5\r\nab"), "close"], ErrorKind.TRUNCATED),
    ([chunked(b"one", end=b"xyz\r\n"), "hang"], ErrorKind.PROTOCOL),
    ([chunked(b"one", end=b"fffffffffffffffffff\r\n"), "hang"], ErrorKind.PROTOCOL),
    ([answer(b"short", length=100), 0.02, "reset"], ErrorKind.RESET),
    (["reset"], ErrorKind.RESET),
    (["close"], ErrorKind.RESET),
    ([b"HTTP/1.1 103 Early Hints\r\n\r\n", "close"], ErrorKind.RESET),
    ([b"HTTP/1.1 200 OK\r\nServ", "close"], ErrorKind.RESET),
    ([b"SSH-2.0-OpenSSH_9\r\n", "hang"], ErrorKind.PROTOCOL),
    ([b"<html>HTTP/0.9</html>", "close"], ErrorKind.PROTOCOL),
    ([b"HTTP/1.1 abc OK\r\n\r\n", "hang"], ErrorKind.PROTOCOL),
    ([b"HTTP/7.1 200 OK\r\n\r\n", "hang"], ErrorKind.PROTOCOL),
    ([b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "hang"], ErrorKind.PROTOCOL),
    ([b"HTTP/1.1 200 OK\r\nA: nul\0\r\n\r\n", "hang"], ErrorKind.PROTOCOL),
    ([b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "hang"], ErrorKind.PROTOCOL),
    ([b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "hang"], ErrorKind.PROTOCOL),
    ([answer(b"no gzip", b"Content-Encoding: gzip")], ErrorKind.DECODE),
    ([answer(gzip.compress(b"text")[:-4], b"Content-Encoding: gzip")], ErrorKind.DECODE),
    ([answer(b"text", b"Content-Encoding: compress")], ErrorKind.DECODE),
], ids=range(21))
def test_broken_answers(fetch, reply, kind):
    [(page, body)] = fetch(reply, timeout=5.0)
    assert page.failure is not None
    assert page.failure.kind is kind, page.failure
    assert page.failure.detail
    assert "\n" not in page.failure.detail
    assert body == b""


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
@pytest.mark.parametrize(("reply", "kind", "cap"), [
    (answer(b"x" * 2000), "body-limit", "fetch.max_wire_size"),
    (chunked(b"x" * 2000), "body-limit", "fetch.max_wire_size"),
    (answer(os.urandom(2000), b"Content-Encoding: gzip"), "body-limit", "fetch.max_wire_size"),
    (answer(gzip.compress(b"x" * 5000), b"Content-Encoding: gzip"), "body-limit", "fetch.max_body_size"),
    (answer(b"", b"A: " + b"x" * 5000), "header-limit", "fetch.max_header_size"),
    (answer(b"", *[b"A: 1"] * 60), "header-limit", "fetch.max_header_count"),
    (b"HTTP/1.1 103 Early Hints\r\nA: 1\r\n\r\n" * 200, "header-limit", "fetch.max_header"),
    (chunked(b"x", end=b"0\r\n" + b"T: 1\r\n" * 200 + b"\r\n"), "header-limit", "fetch.max_header"),
], ids=range(8))
def test_caps(fetch, reply, kind, cap):
    [(page, body)] = fetch([reply, "hang"], max_wire_size=1000, max_body_size=1500, max_header_size=4000,
                           max_header_count=50, timeout=5.0)
    assert page.failure.kind == kind, page.failure
    assert cap in page.failure.detail
    assert body == b""


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
@pytest.mark.parametrize("reply", [
    b"HTTP/1.1 200 OK\r\nA: " + b"x" * 2 * MIB,
    b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 60_000 + b"\r\n" + (b"A: " + b"x" * 60_000 + b"\r\n") * 20,
    b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * 20_000,
], ids=range(3))
def test_header_floods_beyond_what_curl_itself_allows(fetch, reply):
    [(page, _)] = fetch([reply, "hang"], max_header_size=16 * MIB, max_header_count=1_000_000, timeout=5.0)
    assert page.failure.kind is ErrorKind.HEADER_LIMIT, page.failure


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_an_endless_body_is_cut_off_in_bounded_memory(fetch):
    bomb = answer(gzip.compress(b"\0" * 64 * MIB), b"Content-Encoding: gzip")
    tracemalloc.start()
    try:
        [(page, _)] = fetch(bomb, max_body_size=MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert page.failure.kind is ErrorKind.BODY_LIMIT
    assert page.wire_size < 20_000
    assert peak < 4 * MIB


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_the_status_of_an_error_counts_more_than_its_broken_body(fetch):
    [(page, body)] = fetch([answer(b"short", length=100, status=b"404 Not Found"), "close"])
    assert (page.failure.kind, page.failure.detail, body) == (ErrorKind.HTTP_4XX, "404; body: truncated", b"")


@pytest.mark.parametrize("url", [
    "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "http://caf\xe9/", "http://a/\0", "http://[::1",
    "http://", "http://127.0.0.1:99999/", "", "no url", "http://127.0.0.1/a\r\nX: y", "http://127.0.0.1/a b",
])
@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_urls_that_cannot_be_fetched(run, url):
    async def test(transport):
        async with Server(OK) as server:
            return (await fetch_all(transport, server.url, url, server.url), transport.free)
    [_, (page, body), (after, _)], free = run(test, connections=1)
    assert (page.failure.kind, page.status, page.ip, body, free) == (ErrorKind.URL, 0, "", b"", 1)
    assert 0 <= page.elapsed < 5
    assert after.failure is None


def test_a_refused_connection(run):
    async def test(transport):
        return await fetch_all(transport, f"http://127.0.0.1:{free_port()}/")
    [(page, _)] = run(test)
    assert page.failure.kind is ErrorKind.CONNECT


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_a_name_without_an_address(run):
    async def test(transport):
        async with Server(OK) as server:
            return await fetch_all(transport, server.url, "http://no-such-host.invalid/")
    [_, (page, _)] = run(test, connect_timeout=5.0, connections=1)
    assert (page.failure.kind, page.ip, page.headers) == (ErrorKind.DNS, "", ())
    assert "no-such-host.invalid" in page.failure.detail


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
@pytest.mark.parametrize(("scheme", "reply", "limits", "detail"), [
    ("https", "hang", {"connect_timeout": 0.2}, "timed out"),
    ("http", ["hang"], {"first_byte_timeout": 0.2}, "fetch.first_byte_timeout"),
    ("http", [answer(b"x", length=9), "hang"], {"timeout": 0.3, "first_byte_timeout": 0.2}, "timed out"),
    ("http", [answer(b"x", length=9), "hang"], {"min_speed": 100, "min_speed_time": 1}, "fetch.min_speed"),
])
def test_timeouts(run, scheme, reply, limits, detail):
    async def test(transport):
        if scheme == "https":  # a listener that accepts and then says nothing
            with socket.create_server(("127.0.0.1", 0)) as listener:
                return await fetch_all(transport, f"https://127.0.0.1:{listener.getsockname()[1]}/")
        async with Server(reply) as server:
            return await fetch_all(transport, server.url)
    [(page, _)] = run(test, **limits)
    assert page.failure.kind is ErrorKind.TIMEOUT
    assert detail in page.failure.detail
    assert 0.15 < page.elapsed < 4


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_a_slow_answer_within_the_limits_is_no_failure(fetch):
    [(page, body)] = fetch([0.3, answer(b"x", length=2), 0.3, b"y"], first_byte_timeout=0.5, min_speed_time=1)
    assert (page.failure, body) == (None, b"xy")
    assert page.first_byte > 0.25


# --- connections and handles


def test_connections_are_used_again(run):
    async def test(transport):
        async with Server(OK) as server:
            await fetch_all(transport, *[server.url] * 20)
            return server.accepted, len(server.requests)
    assert run(test, connections=4) == (1, 20)


def test_a_connection_that_the_server_closed_is_replaced(run):
    async def test(transport):
        async with Server([OK, "close"], [OK, "close"]) as server:
            results = await fetch_all(transport, server.url)
            await asyncio.sleep(0.05)
            results += await fetch_all(transport, server.url)
            return results, server.accepted
    results, accepted = run(test)
    assert [page.failure for page, _ in results] == [None, None]
    assert accepted == 2


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_idle_connections_are_bounded(run):
    async def test(transport):
        async with contextlib.AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(Server(OK)) for _ in range(12)]
            for server in servers:
                await fetch_all(transport, server.url)
            await asyncio.sleep(0.05)
            return [server.open for server in servers]
    still_open = run(test, connections=1)
    assert sum(still_open) == 4
    assert still_open[-1] == 1


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_nothing_leaks_from_one_fetch_to_the_next(fetch):
    results = fetch(
        [answer(gzip.compress(b"first"), b"Content-Encoding: gzip", b"X-Secret: 1", b"Set-Cookie: a=1")],
        [answer(b"second", b"Content-Encoding: compress")],
        [answer(b"third", status=b"404 Not Found")],
        [answer(b"short", length=100), "close"],
        [b"HTTP/1.1 103 Early Hints\r\nA: 1\r\n" + b"B: 1\r\n" * 600],
        [answer(b"last")],
        connections=1)
    kinds = [page.failure and page.failure.kind for page, _ in results]
    assert kinds == [None, "decode", "http-4xx", "truncated", "header-limit", None]
    page, body = results[-1]
    assert (page.headers, page.status, page.wire_size, body) == ((("content-length", "4"),), 200, 4, b"last")


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_no_cookies_credentials_or_referrers_are_sent_on(run):
    async def test(transport):
        async with Server(answer(b"", b"Set-Cookie: a=1; Path=/")) as server:
            await fetch_all(transport, server.url.replace("//", "//user:secret@"), server.url)
            return server.requests
    for request in run(test, connections=1):
        for name in (b"authorization", b"cookie", b"referer", b"secret"):
            assert name not in request.lower()


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_proxies_of_the_environment_are_not_used(run, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}/")

    async def test(transport):
        async with Server(OK) as server:
            return await fetch_all(transport, server.url)
    [(page, _)] = run(test)
    assert page.failure is None


def test_many_at_once_and_a_next_fetch_from_the_callback(run):
    async def test(transport):
        done = asyncio.get_running_loop().create_future()
        seen, todo = [], [None] * 192

        def on_done(page, body):
            seen.append((page.failure, body))
            if todo:
                todo.pop()
                transport.fetch(uri(server.url), on_done)
            elif len(seen) == 200:
                done.set_result(None)

        async with Server(OK) as server:
            while transport.free:
                transport.fetch(uri(server.url), on_done)
            assert (transport.free, transport.active, seen) == (0, 8, [])
            await asyncio.wait_for(done, 10)
            return seen, server.accepted, transport.free, transport.active
    seen, accepted, free, active = run(test, connections=8)
    assert seen == [(None, b"page")] * 200
    assert (accepted, free, active) == (8, 8, 0)


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_a_callback_that_raises_is_logged_and_the_rest_goes_on(run, caplog):
    def raises(page, body):
        raise ZeroDivisionError

    async def test(transport):
        async with Server(OK) as server:
            transport.fetch(uri(server.url), raises)
            transport.fetch(uri("http://\0"), raises)
            await asyncio.sleep(0.05)
            return await fetch_all(transport, server.url), transport.free
    with caplog.at_level(logging.ERROR):
        [(page, _)], free = run(test, connections=2)
    assert (page.failure, free) == (None, 2)
    assert [record.name for record in caplog.records] == ["spyder.fetch.transport"] * 2


def test_abort_gives_the_uris_back(run):
    async def test(transport):
        async with Server(["hang"]) as server:
            called = []
            transport.fetch(uri(server.url + "1"), lambda *result: called.append(result))
            await asyncio.sleep(0.05)
            transport.fetch(uri(server.url + "2"), lambda *result: called.append(result))
            transport.fetch(uri("http://\0"), lambda *result: called.append(result))
            aborted = [uri.url.removeprefix(server.url) for uri in transport.abort()]
            server.replies = [OK]
            results = await fetch_all(transport, server.url)
            return aborted, called, results[0][0].failure, transport.free
    assert run(test, connections=3) == (["1", "2", "http://\0"], [], None, 3)


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_close_in_a_callback_and_twice(run):
    async def test(transport):
        async with Server(OK) as server:
            transport.fetch(uri(server.url), lambda *_: transport.close())
            transport.fetch(uri("http://\0"), lambda *_: transport.close())
            await asyncio.sleep(0.1)
            transport.close()
    run(test)


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_systems_without_epoll(run, monkeypatch):
    monkeypatch.setattr(transport_module, "new_poller", SelectorPoller)

    async def test(transport):
        async with Server(OK) as server:
            return await fetch_all(transport, *[server.url] * 3, f"http://127.0.0.1:{free_port()}/")
    assert [page.failure and page.failure.kind for page, _ in run(test)] == [None, None, None, "connect"]


# --- TLS and HTTP/2


def test_a_file_of_certificates_that_is_not_there():
    async def build():
        return new_transport(FetchSection(ca_file="/nowhere.pem"))
    with pytest.raises(SettingsError, match=r"fetch\.ca_file: there is no file /nowhere\.pem"):
        asyncio.run(build())


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_certificates(run, nginx, certificate):
    async def test(transport):
        return (await fetch_all(transport, f"https://localhost:{nginx[0]}/page.html"))[0][0]
    page = run(test)
    assert page.failure.kind is ErrorKind.TLS
    assert "certificate" in page.failure.detail
    assert run(test, ca_file=str(certificate[0])).failure is None
    assert run(test, verify_tls=False).failure is None


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_a_server_without_tls(run):
    async def serve(reader, writer):
        await reader.read(1)
        writer.write(answer(b"", status=b"400 Bad Request"))
        writer.close()

    async def test(transport):
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await fetch_all(transport, f"https://127.0.0.1:{port}/")
    [(page, _)] = run(test, timeout=5.0)
    assert page.failure.kind is ErrorKind.TLS


@pytest.mark.parametrize(("version", "scheme", "spoken"), [
    ("1.1", "https", "1.1"), ("2", "https", "2"), ("2-prior-knowledge", "https", "2"),
    ("2-prior-knowledge", "http", "2"),
])
def test_http_versions(run, nginx, version, scheme, spoken):
    async def test(transport):
        root = f"{scheme}://localhost:{nginx[scheme == 'http']}/"
        return await fetch_all(transport, root + "page.html", root + "missing", root + "page.html")
    results = run(test, http_version=version, verify_tls=False)
    assert [(page.status, page.http_version) for page, _ in results] == [(200, spoken), (404, spoken), (200, spoken)]
    for page, body in (results[0], results[2]):
        assert (page.failure, body) == (None, b"<p>page</p>" * 1000)
        assert dict(page.headers)["content-encoding"] == "gzip"
        assert 0 < page.wire_size < len(body)


@pytest.mark.parametrize("run", ["asyncio"], indirect=True)
def test_http2_without_tls_is_not_tried_unasked(fetch):
    [(page, _)] = fetch(OK, http_version="2")
    assert (page.failure, page.http_version) == (None, "1.1")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_given_a_kept_connection_that_breaks_without_an_answer_when_used_again_then_nobody_is_asked_twice(run, end):
    async def test(transport):
        async with Server([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], [0.05, end], [OK]) as server:
            results = await fetch_all(transport, server.url)
            await asyncio.sleep(0.2)
            results += await fetch_all(transport, server.url)
            return results, len(server.requests)
    ((first, _), (second, _)), requests = run(test)
    assert first.failure is None
    assert second.failure.kind == "reset" and second.status == 0
    assert requests == 2, "the second fetch asked once"


def test_given_a_connection_that_is_used_again_at_once_when_the_host_has_closed_it_then_another_one_serves(run):
    async def test(transport):
        async with Server([OK, "close"], [OK, "close"], [OK, "close"], [OK, "close"]) as server:
            return await fetch_all(transport, *[server.url] * 4)
    assert [page.failure for page, _ in run(test)] == [None] * 4
