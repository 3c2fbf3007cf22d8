"""Fetches through real proxies: which one, what it is told, and what happens when it does not work."""

import asyncio
import contextlib
import ssl
import subprocess

import pytest
from loopback import Server, fetch_all, free_port, needs, new_transport, uri
from proxyservers import HttpProxy, SocksProxy

from spyder.model.states import ErrorKind, Purpose
from spyder.settings import AuthSection, DnsSection, FetchSection, GuardSection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """A context for servers, and the file of the certificate, which is good for 127.0.0.1 and site.example."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run([needs("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "2", "-subj", "/CN=test", "-addext",
                    "subjectAltName=DNS:site.example,IP:127.0.0.1",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, str(folder / "cert.pem")


def through(proxies, *paths, server_tls=None, scheme="http", host="site.example", dns=None, guard=None, replies=(OK,),
            urls=(), **settings):
    """Fetch *paths* of a server, or *urls* with ``{port}``, through *proxies*; pages with bodies, and the server."""
    async def main():
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(Server(*replies, tls=server_tls))
            names = [(await stack.enter_async_context(proxy)).url if not isinstance(proxy, str) else proxy
                     for proxy in proxies]
            transport = new_transport(FetchSection(proxies=tuple(names), **settings), dns=dns or DnsSection(),
                                      guard=guard or GuardSection(policy="off"))
            leases = urls or [f"{scheme}://{host}:{{port}}{path}" for path in paths]
            try:
                return await fetch_all(transport, *[
                    lease.format(port=server.port) if isinstance(lease, str) else lease for lease in leases
                ]), server
            finally:
                transport.close()
    return asyncio.run(main())


def good(results):
    return [(page.status, page.failure, body) for page, body in results] == [(200, None, b"page")] * len(results)


# --- what works


@pytest.mark.parametrize(("user", "password"), [("", ""), ("me", "s3cret")])
def test_given_an_http_proxy_then_plain_pages_are_asked_for_in_absolute_form(user, password):
    proxy = HttpProxy(user=user, password=password)
    results, server = through([proxy], "/a?b=%7e", "/c")
    assert good(results)
    assert proxy.asked == [f"GET http://site.example:{server.port}{path}" for path in ("/a?b=%7e", "/c")]
    assert (server.requests[0].split(b"\r\n")[:2]
            == [b"GET /a?b=%7e HTTP/1.1", b"Host: site.example:%d" % server.port])
    assert not any(b"proxy-" in request.lower() for request in server.requests)
    assert {page.ip for page, _ in results} == {""}


@pytest.mark.parametrize("proxy_tls", [False, True])
def test_given_an_http_proxy_then_secure_pages_are_tunnelled_and_it_sees_nothing_of_ours(tls, proxy_tls):
    context, ca_file = tls
    proxy = HttpProxy(user="me", password="s3cret", tls=context if proxy_tls else None)
    results, server = through([proxy], "/a", "/b", scheme="https", server_tls=context, ca_file=ca_file,
                              cookies="host", replies=[OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=1\r\n\r\n")],
                              auth=(AuthSection(host="https://site.example:1", user="u", password="p"),))
    assert good(results)
    assert proxy.asked == [f"CONNECT site.example:{server.port}"]
    assert not any(word in proxy.heads[0].lower() for word in (b"cookie:", b"\r\nauthorization", b"accept"))
    assert b"Cookie: a=1" in server.requests[1]
    assert all(b"roxy" not in request and b"s3cret" not in request for request in server.requests)
    assert {name for name, _ in results[0][0].headers} == {"content-length", "set-cookie"}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("user", "password"), [("", ""), ("me", "s3cret")])
def test_given_a_socks_proxy_then_it_looks_the_name_up(tls, scheme, user, password):
    context, ca_file = tls
    proxy = SocksProxy(user=user, password=password)
    results, server = through([proxy], "/a", "/b", scheme=scheme, ca_file=ca_file,
                              server_tls=context if scheme == "https" else None)
    assert good(results)
    assert proxy.asked == [f"site.example:{server.port}"]


def test_given_a_socks_proxy_for_addresses_then_we_look_the_name_up_and_the_guard_judges_it():
    proxy = SocksProxy()
    proxy.scheme = "socks5"
    dns = DnsSection(hosts={"site.example": "127.0.0.9"})
    results, server = through([proxy], "/", dns=dns)
    assert good(results)
    assert proxy.asked == [f"127.0.0.9:{server.port}"]
    results, server = through([proxy], "/", dns=dns, guard=GuardSection())
    assert results[0][0].failure.kind is ErrorKind.ADDRESS
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.2:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/"])
def test_given_this_machine_then_no_proxy_is_asked(url):
    proxy = HttpProxy()
    [(page, _)], _ = through([proxy], urls=[url])
    assert proxy.accepted == 0
    assert page.failure is None or page.failure.kind is ErrorKind.CONNECT


def test_given_an_address_in_the_url_then_the_guard_judges_it_though_a_proxy_would_connect():
    proxy = HttpProxy()
    [(page, _)], _ = through([proxy], urls=["http://169.254.169.254:{port}/"], guard=GuardSection())
    assert page.failure.kind is ErrorKind.ADDRESS
    assert proxy.accepted == 0


def test_given_proxies_that_look_names_up_then_a_lease_for_an_address_is_answered_without_one():
    lease = uri("http://no-such-name.invalid/", purpose=Purpose.ADDRESS)
    [(page, _)], _ = through([HttpProxy()], urls=[lease])
    assert (page.failure, page.ip) == (None, "")
    assert page.address_ttl > 0
    [(page, _)], _ = through([HttpProxy()], urls=[lease], no_proxy=(".invalid",),
                             dns=DnsSection(hosts={"no-such-name.invalid": "127.0.0.1"}))
    assert (page.failure, page.ip) == (None, "127.0.0.1")


def test_given_several_proxies_then_a_host_stays_with_one_or_each_fetch_takes_the_next():
    proxies = [HttpProxy() for _ in range(3)]
    assert good(through(proxies, *["/"] * 6)[0])
    assert sorted(len(proxy.asked) for proxy in proxies) == [0, 0, 6]
    proxies = [HttpProxy() for _ in range(3)]
    assert good(through(proxies, *["/"] * 6, proxy_rotation="fetch")[0])
    assert [len(proxy.asked) for proxy in proxies] == [2, 2, 2]


# --- what does not


def bad_proxy(kind):
    return {
        "refused": lambda: f"http://me:s3cret@127.0.0.1:{free_port()}",
        "no name": lambda: "http://no-such-proxy.invalid",
        "socks closes": lambda: SocksProxy(answer="close"),
        "socks hangs": lambda: SocksProxy(answer="hang"),
        "socks password": lambda: SocksProxy(user="me", password="s3cret", known="other"),
        "http password": lambda: HttpProxy(user="me", password="s3cret", known="other"),
    }[kind]()


@pytest.mark.parametrize("kind", ["refused", "no name", "socks closes", "socks password", "http password"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_given_a_proxy_that_does_not_work_then_pages_come_through_another_one_and_it_rests(tls, kind, scheme, caplog):
    context, ca_file = tls
    bad, well = bad_proxy(kind), HttpProxy()
    results, _ = through([bad, well], *["/"] * 4, scheme=scheme, ca_file=ca_file, proxy_rotation="fetch",
                         server_tls=context if scheme == "https" else None, connect_timeout=3.0)
    assert good(results)
    assert "rests for 30 s" in caplog.text
    assert "s3cret" not in caplog.text
    assert "other" not in caplog.text.replace("other credentials", "")
    if not isinstance(bad, str):
        assert bad.accepted == 1


def test_given_proxies_of_several_kinds_then_each_is_asked_in_its_own_form():
    bad, well = HttpProxy(user="me", password="s3cret", known="other"), SocksProxy()
    results, server = through([bad, well], *["/a?b"] * 3, proxy_rotation="fetch")
    assert good(results)
    assert bad.asked == [f"GET http://site.example:{server.port}/a?b"]
    assert {request.split(b"\r\n")[0] for request in server.requests} == {b"GET /a?b HTTP/1.1"}


@pytest.mark.parametrize("kind", ["refused", "http password"])
def test_given_no_proxy_that_works_then_that_is_the_reason_until_one_has_rested(kind):
    bad = bad_proxy(kind)
    results, server = through([bad], "/", "/", proxy_rest=100.0)
    assert [page.failure.kind for page, _ in results] == [ErrorKind.PROXY] * 2
    assert results[0][0].failure.kind.is_transient
    assert "no proxy works: http://127.0.0.1:" in results[0][0].failure.detail
    assert "all proxies rest" in results[1][0].failure.detail
    assert "other" not in results[0][0].failure.detail.replace("other credentials", "")
    assert server.requests == []


def test_given_a_proxy_that_has_rested_then_it_is_tried_again():
    results, _ = through([HttpProxy(answer="407")], "/", "/", proxy_rest=1e-9)
    assert all("407" in page.failure.detail for page, _ in results)


@pytest.mark.parametrize("proxy", [SocksProxy, HttpProxy])
def test_given_a_proxy_that_takes_connections_and_says_nothing_then_it_rests_after_some_fetches(proxy, caplog):
    results, _ = through([proxy(answer="hang")], *["/"] * 6, connect_timeout=0.1, timeout=0.2, proxy_rest=100.0)
    assert {page.failure.kind for page, _ in results[:-1]} <= {ErrorKind.TIMEOUT, ErrorKind.PROXY}
    assert results[-1][0].failure.kind is ErrorKind.PROXY
    assert "rests for 100 s" in caplog.text


@pytest.mark.parametrize(("proxy", "scheme", "kind"), [
    (SocksProxy(answer="5"), "http", ErrorKind.CONNECT), (SocksProxy(answer="4"), "http", ErrorKind.CONNECT),
    (SocksProxy(answer="1"), "http", ErrorKind.CONNECT), (HttpProxy(answer="502"), "https", ErrorKind.CONNECT),
    (HttpProxy(answer="504"), "https", ErrorKind.TIMEOUT), (HttpProxy(answer="502"), "http", ErrorKind.HTTP_5XX),
])
def test_given_a_server_that_a_proxy_can_not_reach_then_the_proxy_is_not_to_blame(proxy, scheme, kind, caplog):
    results, _ = through([proxy], "/", "/", scheme=scheme)
    assert [page.failure.kind for page, _ in results] == [kind] * 2
    assert "rests" not in caplog.text


@pytest.mark.parametrize(("strict", "scheme"), [
    (lambda: SocksProxy(answer="2"), "http"), (lambda: HttpProxy(answer="403"), "https")])
def test_given_a_proxy_that_does_not_want_to_go_there_then_another_one_does_and_it_does_not_rest(
        tls, strict, scheme, caplog):
    context, ca_file = tls
    strict, well = strict(), HttpProxy()
    results, _ = through([strict, well], *["/"] * 4, scheme=scheme, ca_file=ca_file, proxy_rotation="fetch",
                         server_tls=context if scheme == "https" else None)
    assert good(results)
    assert strict.accepted >= 1
    assert "rests" not in caplog.text
    results, _ = through([type(strict)(answer=strict.answer)], "/", scheme=scheme)
    assert results[0][0].failure.kind is ErrorKind.PROXY


def test_given_a_secure_proxy_with_a_certificate_that_nobody_knows_then_it_does_not_work(tls):
    context, ca_file = tls
    proxy = HttpProxy(tls=context)
    results, _ = through([proxy], "/")
    assert results[0][0].failure.kind is ErrorKind.PROXY
    assert "self-signed" in results[0][0].failure.detail
    assert good(through([HttpProxy(tls=context)], "/", ca_file=ca_file)[0])


def test_given_a_handle_that_went_through_a_proxy_then_the_next_fetch_on_it_goes_directly():
    proxy = HttpProxy(user="me", password="s3cret")
    results, server = through([proxy], urls=["http://site.example:{port}/", "http://127.0.0.1:{port}/"] * 2,
                              connections=1)
    assert good(results)
    assert len(proxy.asked) == 2
    assert [page.ip for page, _ in results] == ["", "127.0.0.1"] * 2
    assert not any(b"roxy" in request for request in server.requests)


def test_given_a_total_time_then_further_proxies_have_only_what_is_left_of_it():
    bad = [SocksProxy(answer="hang") for _ in range(3)]
    results, _ = through(bad, "/", connect_timeout=0.4, timeout=0.6)
    assert results[0][0].elapsed < 2
