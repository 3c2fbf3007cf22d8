"""TLS against real servers: what is accepted, what is said of the rest, and how connections end."""

import asyncio
import contextlib
import os
import socket
import ssl
import threading

import pytest
from certificates import Certificates, context
from loopback import Server, fetch_all, new_transport

from spyder.errors import SettingsError
from spyder.fetch.tls import in_words
from spyder.model.states import ErrorKind
from spyder.settings import CertificateSection, FetchSection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"
WEAK = ("rsa", "rsa_keygen_bits:1024")


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def good(authority):
    return authority.issue("good")


def fetch(server_context, *urls, **settings):
    """Fetch *urls* (``{port}``) from a server with *server_context*; pages with bodies, and the server."""
    async def main():
        async with Server(OK, tls=server_context) as server:
            transport = new_transport(FetchSection(timeout=9.0, **settings))
            try:
                return await fetch_all(transport, *[url.format(port=server.port) for url in urls]), server
            finally:
                transport.close()
    return asyncio.run(main())


def fetch_once(server_context, reply, **settings):
    """Fetch from a server that sends TLS's alerts, and no farewell after its one *reply*; the page and its body."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        plain, _ = listener.accept()
        with plain, contextlib.suppress(OSError):
            plain.settimeout(5)
            waiting = plain.dup()
            try:
                secure = server_context.wrap_socket(plain, server_side=True)
            except ssl.SSLError:  # the alert is sent: let the client read it before what it sends meets a closed port
                waiting.settimeout(5)
                waiting.recv(65_536)
                raise
            finally:
                waiting.close()
            secure.recv(65_536)
            secure.sendall(reply)
            os.close(secure.detach())
    thread = threading.Thread(target=serve)
    thread.start()

    async def main():
        transport = new_transport(FetchSection(timeout=9.0, **settings))
        try:
            return await fetch_all(transport, f"https://localhost:{listener.getsockname()[1]}/")
        finally:
            transport.close()
    try:
        return asyncio.run(main())[0]
    finally:
        thread.join(10)
        listener.close()


LOCALHOST = "https://localhost:{port}/"


def test_given_a_good_certificate_then_the_page_comes(authority, good):
    [(page, body)], _ = fetch(context(good), LOCALHOST, ca_file=authority.ca_file)
    assert (page.failure, body) == (None, b"page")


@pytest.mark.parametrize(("name", "made", "words"), [
    ("expired", {"end": "20210101000000Z"}, "the certificate has expired"),
    ("future", {"start": "20980101000000Z"}, "the certificate is not yet valid"),
    ("other", {"host": "DNS:other.example"}, "the certificate is for another host"),
    ("wildcard", {"host": "DNS:*.example"}, "the certificate is for another host"),
    ("address", {"host": "IP:127.0.0.9"}, "the certificate is for another host"),
    ("client", {"usage": "clientAuth"}, "the certificate may not be used for this"),
    ("weak", {"key": WEAK}, "the certificate or key is too weak"),
])
def test_given_a_certificate_that_is_not_good_then_the_reason_is_said_in_words(authority, name, made, words):
    stem = authority.issue(name, **made)
    [(page, body)], _ = fetch(context(stem), LOCALHOST, ca_file=authority.ca_file)
    assert (page.failure.kind, page.status, body) == (ErrorKind.TLS, 0, b"")
    assert page.failure.detail.startswith(f"{words}: ")
    [(page, _)], _ = fetch(context(stem), LOCALHOST, ca_file=authority.ca_file, verify_tls=False)
    assert page.failure is None or name == "weak"


def test_given_an_issuer_that_nobody_knows_then_that_is_said(authority, good):
    [(page, _)], _ = fetch(context(good), LOCALHOST)
    assert page.failure.detail.startswith("the certificate's issuer is not known: ")
    [(page, _)], _ = fetch(context(authority.self_signed("self")), LOCALHOST)
    assert page.failure.detail.startswith("the certificate is self-signed: ")


@pytest.mark.parametrize(("version", "least", "is_old"), [
    (ssl.TLSVersion.TLSv1_1, "1.2", True), (ssl.TLSVersion.TLSv1_2, "1.2", False),
    (ssl.TLSVersion.TLSv1_2, "1.3", True), (ssl.TLSVersion.TLSv1_3, "1.3", False)])
@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")
def test_given_a_server_that_speaks_one_version_only_then_one_that_is_too_old_is_refused(
        authority, good, version, least, is_old):
    page, _ = fetch_once(context(good, newest=version), OK, ca_file=authority.ca_file, tls_min_version=least)
    assert (page.failure is not None) == is_old
    if is_old:
        assert (page.failure.kind, page.failure.detail.partition(": ")[0]) == (
            ErrorKind.TLS, "the server speaks too old a version of TLS")


def test_given_a_server_that_wants_a_certificate_then_that_is_said(authority, good):
    page, _ = fetch_once(context(good, client_ca=authority.ca_file), OK, ca_file=authority.ca_file)
    assert (page.failure.kind, page.failure.detail.partition(": ")[0]) == (
        ErrorKind.TLS, "the server wants a client certificate")


def test_given_no_tls_at_the_port_then_that_is_said():
    [(page, _)], _ = fetch(None, LOCALHOST)
    assert page.failure.kind in {ErrorKind.TLS, ErrorKind.TIMEOUT}


@pytest.mark.parametrize("is_locked", [False, True])
def test_given_a_client_certificate_then_its_host_sees_it_and_no_other(authority, good, is_locked, monkeypatch):
    mine = authority.issue("mine", usage="clientAuth")
    key = authority.encrypted("mine", "s3cret") if is_locked else f"{mine}.key"
    monkeypatch.setenv("KEY_PASSWORD", "s3cret")
    server_context = context(good, client_ca=authority.ca_file)

    async def main():
        async with Server(OK, tls=server_context) as server, Server(OK, tls=server_context) as other:
            transport = new_transport(FetchSection(
                ca_file=authority.ca_file, connections=1, timeout=9.0, client_certificates=(CertificateSection(
                    host=f"localhost:{server.port}", certificate=f"{mine}.pem", key=str(key),
                    password="${KEY_PASSWORD}" if is_locked else ""),)))
            try:
                return await fetch_all(transport, f"https://localhost:{server.port}/",
                                       f"https://localhost:{other.port}/", f"https://localhost:{server.port}/")
            finally:
                transport.close()
    (first, _), (second, _), (third, _) = asyncio.run(main())
    assert (first.failure, third.failure) == (None, None)
    assert second.failure.kind in {ErrorKind.TLS, ErrorKind.RESET}


@pytest.mark.parametrize("name", ["certificate", "key"])
def test_given_a_client_certificate_that_is_not_there_then_it_is_refused(good, name):
    files = {"certificate": f"{good}.pem", "key": f"{good}.key", name: "/nowhere.pem"}

    async def main():
        new_transport(FetchSection(client_certificates=(CertificateSection(host="a.example", **files),)))
    with pytest.raises(SettingsError, match=rf"`fetch\.client_certificates\[0\]\.{name}`: there is no file"):
        asyncio.run(main())


# --- how connections end


@pytest.mark.parametrize(("reply", "kind", "body"), [
    (OK, None, b"page"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\n\r\n", None, b"page"),
    (b"HTTP/1.1 200 OK\r\n\r\nhalf a page?", ErrorKind.TRUNCATED, b""),  # RFC 9112, section 9.8
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", ErrorKind.TRUNCATED, b""),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", ErrorKind.TRUNCATED, b""),
    (b"HTTP/1.1 200 OK\r\n", ErrorKind.RESET, b""),
    (b"", ErrorKind.RESET, b""),
])
def test_given_an_end_without_a_farewell_then_only_what_has_no_length_is_doubted(authority, good, reply, kind, body):
    page, found = fetch_once(context(good), reply, ca_file=authority.ca_file)
    assert (page.failure and page.failure.kind, found) == (kind, body), page.failure


@pytest.mark.parametrize(("message", "words"), [
    ("SSL certificate problem: certificate revoked", "the certificate is revoked"),
    ("SSL certificate problem: self-signed certificate in certificate chain",
     "the certificate's issuer is not trusted"),
    ("TLS connect error: error:0A000410:SSL routines::ssl/tls alert handshake failure",
     "the server refuses the handshake, for want of a common cipher or of a certificate of ours"),
    ("OpenSSL SSL_read: error:0A00045C:SSL routines::tlsv13 alert certificate required",
     "the server wants a client certificate"),
    ("TLS connect error: error:0A000458:SSL routines::tlsv1 unrecognized name", "the server does not know the host"),
    ("something new", "something new"),
])
def test_given_what_libcurl_says_then_its_meaning_comes_first(message, words):
    assert in_words(message).startswith(words)
    assert message in in_words(message)
