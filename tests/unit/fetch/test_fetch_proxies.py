"""Which proxy a fetch goes through, which ones rest, and whose fault a failure is."""

import pytest

from spyder.errors import SettingsError
from spyder.fetch.parts import parts_of
from spyder.fetch.proxies import Direct, ProxyPool
from spyder.fetch.proxyerrors import Answer, Blame, verdict

THREE = ("http://p1.example:3128", "socks5h://p2.example", "https://p3.example:8443")


def pool(*urls, no_proxy=(), rotation="host", environ=None):
    return ProxyPool(urls or THREE, no_proxy=no_proxy, rotation=rotation, rest=30.0, max_rest=100.0,
                     environ=environ or {})


def pick(proxies, url, now=0.0, but=()):
    found = proxies.pick(parts_of(url), now, but=but)
    return found and found.url


def hosts(count):
    return [f"http://h{number}.example/" for number in range(count)]


def test_given_sticky_rotation_then_a_host_stays_with_its_proxy_and_hosts_are_spread():
    proxies = pool()
    chosen = {url: pick(proxies, url) for url in hosts(300)}
    assert chosen == {url: pick(proxies, f"{url}x?y") for url in chosen}
    counts = [list(chosen.values()).count(proxy.url) for proxy in proxies.proxies]
    assert min(counts) > 60


def test_given_a_proxy_that_rests_then_only_its_own_hosts_move():
    proxies = pool()
    before = {url: pick(proxies, url) for url in hosts(100)}
    bad = proxies.proxies[0]
    proxies.failed(bad, "refused", 0.0)
    after = {url: pick(proxies, url, 1.0) for url in before}
    assert bad.url not in after.values()
    assert all(after[url] == proxy for url, proxy in before.items() if proxy != bad.url)


def test_given_rotation_by_fetch_then_each_takes_its_turn():
    proxies = pool(rotation="fetch")
    assert sorted(pick(proxies, "http://h.example/") for _ in range(3)) == sorted(p.url for p in proxies.proxies)


def test_given_errors_in_a_row_then_the_rest_doubles_up_to_its_maximum_and_an_answer_ends_it(caplog):
    proxies = pool("http://me:secret@p.example:3128")
    proxy, now, rests = proxies.proxies[0], 0.0, []
    for _ in range(4):
        proxies.failed(proxy, "refused", now)
        proxies.failed(proxy, "of a fetch that was under way", now + 1)
        rests.append(proxy.rests_until - now)
        assert pick(proxies, "http://h.example/", proxy.rests_until - 1) is None
        now = proxy.rests_until
        assert pick(proxies, "http://h.example/", now) == "http://p.example:3128"
    assert rests == [30.0, 60.0, 100.0, 100.0]
    proxies.worked(proxy)
    assert (proxy.errors, proxy.fetches, proxy.failures) == (0, 1, 8)
    proxies.failed(proxy, "refused", now)
    assert proxy.rests_until == now + 30.0
    assert "proxy http://p.example:3128 rests for 30 s: refused" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO"):
        proxies.tell()
    assert caplog.messages == ["proxy http://p.example:3128: 1 fetches, 9 failures"]
    assert "secret" not in caplog.text


def test_given_fetches_without_an_answer_then_only_many_in_a_row_are_the_proxys_fault():
    proxies = pool("http://p.example")
    proxy = proxies.proxies[0]
    for _ in range(4):
        proxies.doubted(proxy, "timed out", 0.0)
    proxies.worked(proxy)
    for _ in range(4):
        proxies.doubted(proxy, "timed out", 0.0)
    assert proxy.rests_until == 0.0
    proxies.doubted(proxy, "timed out", 0.0)
    assert proxy.rests_until == 30.0


@pytest.mark.parametrize(("text", "url", "user", "password", "resolves"), [
    ("http://p.example", "http://p.example:80", "", "", True),
    ("HTTP://P.example:3128/", "http://p.example:3128", "", "", True),
    ("https://p.example", "https://p.example:443", "", "", True),
    ("socks5://10.0.0.1", "socks5://10.0.0.1:1080", "", "", False),
    ("socks5h://me:p%40ss@[::1]:81", "socks5h://[::1]:81", "me", "p@ss", True),
    ("http://me:${SECRET}@p.example", "http://p.example:80", "me", "s3:cret@", True),
])
def test_given_a_proxy_in_the_settings_then_its_parts_are_read(text, url, user, password, resolves):
    proxy = pool(text, environ={"SECRET": "s3:cret@"}).proxies[0]
    assert (proxy.url, proxy.user, proxy.password, proxy.resolves) == (url, user, password, resolves)


@pytest.mark.parametrize("text", ["p.example:3128", "ftp://p.example", "http://", "http://u:secret@p.example/x",
                                  "socks4://p.example", "http://u:secret@p example", "http://u:${secret}@p.example"])
def test_given_no_proxy_in_the_settings_then_it_is_refused_without_its_password(text):
    with pytest.raises(SettingsError, match=r"`fetch\.proxies\[0\]`") as refusal:
        pool(text)
    assert "u:" not in str(refusal.value)


@pytest.mark.parametrize(("entry", "hosts", "others"), [
    ("localhost", ["localhost"], ["a.localhost", "localhost.example"]),
    ("h.example", ["h.example"], ["www.h.example"]),
    (".h.example", ["h.example", "www.h.example"], ["badh.example"]),
    ("*.h.example", ["www.h.example"], ["badh.example"]),
    ("10.0.0.0/8", ["10.1.2.3"], ["11.0.0.1", "10.example"]),
    ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]), ("::1", ["::1"], ["::2"]), ("[::1]", ["::1"], ["::2"]),
    ("*", ["a.example", "::2"], []), ("B\xfccher.example", ["xn--bcher-kva.example"], []),
])
def test_given_what_goes_without_a_proxy_then_that_and_nothing_else_does(entry, hosts, others):
    direct = Direct([entry])
    assert [direct.matches(host) for host in hosts] == [True] * len(hosts)
    assert [direct.matches(host) for host in others] == [False] * len(others)


@pytest.mark.parametrize("entry", ["", "http://h.example", "h.example:80", "10.0.0.0/99", "a b"])
def test_given_what_is_no_host_then_it_is_refused(entry):
    with pytest.raises(SettingsError, match=r"`fetch\.no_proxy`"):
        Direct([entry])


@pytest.mark.parametrize(("answer", "blame", "words"), [
    ({"status": 200}, Blame.NOBODY, ""),
    ({"status": 502}, Blame.NOBODY, ""),
    ({"status": 407}, Blame.PROXY, "407"),
    ({"code": 5, "message": "Could not resolve proxy: p"}, Blame.PROXY, "resolve"),
    ({"code": 7, "message": "Failed to connect to p port 1"}, Blame.PROXY, "connect"),
    ({"code": 28, "message": "Connection timed out", "is_connected": False}, Blame.PROXY, "timed out"),
    ({"code": 28, "message": "Operation timed out"}, Blame.UNCLEAR, "timed out"),
    ({"code": 52, "message": "Empty reply from server"}, Blame.UNCLEAR, "Empty"),
    ({"code": 56, "message": "CONNECT tunnel failed, response 407", "connect_status": 407}, Blame.PROXY, "407"),
    ({"code": 56, "message": "CONNECT tunnel failed, response 403", "connect_status": 403}, Blame.REFUSAL, "403"),
    ({"code": 56, "message": "CONNECT tunnel failed, response 502", "connect_status": 502}, Blame.SERVER, "connect"),
    ({"code": 56, "message": "CONNECT tunnel failed, response 504", "connect_status": 504}, Blame.SERVER, "timeout"),
    ({"code": 7, "message": "CONNECT tunnel failed, response 502", "connect_status": 502}, Blame.SERVER, "connect"),
    ({"code": 97, "message": "rejected", "proxy_error": 12}, Blame.PROXY, "rejected"),
    ({"code": 97, "message": "refused", "proxy_error": 19}, Blame.SERVER, "connect"),
    ({"code": 97, "message": "no such name", "proxy_error": 27}, Blame.SERVER, "dns"),
    ({"code": 97, "message": "not allowed", "proxy_error": 23}, Blame.REFUSAL, "not allowed"),
    ({"code": 60, "message": "self-signed", "connect_status": 200}, Blame.NOBODY, ""),
    ({"code": 18, "message": "transfer closed"}, Blame.NOBODY, ""),
])
def test_given_a_failure_then_it_is_known_whose_fault_it_is(answer, blame, words):
    found = verdict(Answer(**{"status": 0, **answer}), is_tls_proxy=False, is_tls=True)
    assert found.blame is blame
    assert words in (found.failure.kind if found.failure else found.detail)


@pytest.mark.parametrize(("is_tls", "connect_status", "blame"), [
    (True, 0, Blame.PROXY), (True, 200, Blame.NOBODY), (False, 0, Blame.PROXY)])
def test_given_trouble_with_tls_then_it_is_the_proxys_as_long_as_it_was_not_asked_to_connect(
        is_tls, connect_status, blame):
    answer = Answer(status=0, code=60, message="certificate has expired", connect_status=connect_status)
    assert verdict(answer, is_tls_proxy=True, is_tls=is_tls).blame is blame
