"""The hostile site over real sockets: it does what its catalogue says, and knows who asked."""

import http.client
import socket
import ssl
import time
from urllib.parse import urlsplit

import pytest

from spyder.testing import HostileSite


def ask(url, *, patience=5.0, context=None):
    """What a plain socket gets for *url* until the server is done, or 20,000 bytes, within *patience* seconds."""
    deadline = time.monotonic() + patience
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), patience) as wire:
        if parts.scheme == "https":
            wire = context.wrap_socket(wire, server_hostname=parts.hostname)
        with wire:
            wire.sendall(f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            data = b""
            while len(data) < 20_000 and (more := wire.recv(65_536)):
                data += more
                wire.settimeout(max(0.01, deadline - time.monotonic()))
    return data


def get(url):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_given_a_site_when_its_seed_is_read_then_it_leads_to_the_bad_page_and_to_good_ones():
    with HostileSite(["length-negative"]) as site:
        status, text = get(site.seeds[0])
        assert status == 200 and 'href="/bad"' in text and 'href="/good/1"' in text and 'href="/good/2"' in text
        assert 'href="/good/3"' in get(f"{site.seeds[0]}good/2")[1]
        assert {get(url)[0] for url in site.good_pages()} == {200}
        assert get(f"{site.seeds[0]}robots.txt")[0] == 404
        assert b"Content-Length: -1" in ask(site.url("length-negative"))
        assert [request.path for request in site.report().requests] == [
            "/", "/good/2", *(urlsplit(url).path for url in site.good_pages()), "/robots.txt", "/bad"]


def test_given_bodies_without_end_when_read_then_they_go_on():
    with HostileSite(["body-endless", "head-endless-fields", "robots-endless"]) as site:
        assert len(ask(site.url("body-endless"))) >= 20_000
        assert b"\r\n\r\n" not in ask(site.url("head-endless-fields"))
        assert len(ask(f"{site.places(site.behaviours[-1])['here']}/robots.txt")) >= 20_000


def test_given_an_answer_by_drops_when_the_reader_leaves_then_the_site_goes_on():
    with HostileSite(["body-drip", "head-never-comes"]) as site:
        for name in ("body-drip", "head-never-comes"):
            with pytest.raises(TimeoutError):
                ask(site.url(name), patience=0.3)
        assert get(site.seeds[0])[0] == 200
        assert site.report().mistakes == ()


def test_given_resets_when_asked_then_the_connection_breaks():
    with HostileSite(["head-reset", "door-resets"]) as site:
        for name in ("head-reset", "door-resets"):
            with pytest.raises(ConnectionResetError):
                ask(site.url(name))
        assert [get(seed)[0] for seed in site.seeds] == [200, 200]


@pytest.mark.parametrize(("name", "problem"), [
    ("tls-good", ""), ("tls-expired", "expired"), ("tls-not-yet", "not yet valid"), ("tls-self-signed", "self"),
    ("tls-other-host", "IP address mismatch"), ("tls-foreign", "issuer certificate")])
def test_given_certificates_when_verified_then_each_is_wrong_in_its_own_way(need, name, problem):
    need("openssl")
    with HostileSite([name]) as site:
        context = ssl.create_default_context(cafile=site.ca_file)
        if not problem:
            assert b"<title>bad</title>" in ask(site.url(name), context=context)
            return
        with pytest.raises(ssl.SSLCertVerificationError, match=problem):
            ask(site.url(name), context=context)


def test_given_tls_1_0_when_an_ancient_client_comes_then_it_is_really_spoken(need):
    need("openssl")
    with HostileSite(["tls-ancient"]) as site:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
        parts = urlsplit(site.url("tls-ancient"))
        with socket.create_connection((parts.hostname, parts.port), 5) as wire, context.wrap_socket(wire) as safe:
            assert safe.version() == "TLSv1"


def test_given_forbidden_addresses_when_somebody_goes_there_then_the_site_says_so():
    with HostileSite(["redirect-private", "redirect-six-loopback"]) as site:
        answer = ask(site.url("redirect-private"))
        target = answer.partition(b"Location: ")[2].partition(b"\r")[0].decode()
        assert target == site.places(site.behaviours[0])["canary"] + "/secret"
        assert site.complaints({})[-1].startswith("redirect-six-loopback")
        ask(target)
        deadline = time.monotonic() + 10
        while not site.report().trespasses and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [line.partition(": ")[2] for line in site.report().trespasses] == ["'GET /secret HTTP/1.1'"]
        assert site.complaints({})[-1].startswith("forbidden address: 127.66.6.6:")


def test_given_answers_by_turn_when_asked_again_then_the_next_one_comes():
    with HostileSite(["429-seconds"]) as site:
        assert b" 429 " in ask(site.url("429-seconds"))
        assert b" 200 " in ask(site.url("429-seconds"))
