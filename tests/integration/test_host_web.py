"""The web of hosts over real sockets: each host answers by its own rules, and the log has exact times."""

import http.client
import math
import socket
import time

import pytest

from spyder.testing import HostWeb, WebRules
from spyder.testsite.hostweb.plan import Does, Robots
from spyder.testsite.hostweb.verdict import open_at_once


@pytest.fixture(scope="module")
def web():
    with HostWeb(hosts=120, pages=3, crawl_delay=0.2, latency=0.01) as web:
        yield web


def get(web, host, path, *, connection=None):
    port = int(web.seeds[0].rstrip("/").rpartition(":")[2])
    own = connection or http.client.HTTPConnection(host.address, port, timeout=5)
    try:
        own.request("GET", path, headers={"Host": f"{host.name}:{port}"})
        answer = own.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        if connection is None:
            own.close()


def first(web, robots):
    return next(host for host in web.hosts if host.robots is robots)


def test_given_hosts_of_every_kind_when_robots_is_asked_for_then_each_answers_its_own(web):
    assert get(web, first(web, Robots.NONE), "/robots.txt")[0] == 404
    assert get(web, first(web, Robots.DENIED), "/robots.txt")[0] == 403
    assert get(web, first(web, Robots.EMPTY), "/robots.txt")[2] == ""
    assert "Disallow: /private/" in get(web, first(web, Robots.RULES), "/robots.txt")[2]
    assert "User-agent: spyder" in get(web, first(web, Robots.OURS), "/robots.txt")[2]
    slow = first(web, Robots.DELAY)
    assert f"Crawl-delay: {slow.crawl_delay}" in get(web, slow, "/robots.txt")[2]
    assert "Disallow: /\n" in get(web, first(web, Robots.NOTHING), "/robots.txt")[2]
    assert [get(web, first(web, Robots.BUSY), "/robots.txt")[0] for _ in range(2)] == [503, 503]
    assert [get(web, first(web, Robots.BUSY_ONCE), "/robots.txt")[0] for _ in range(2)] == [503, 200]
    assert get(web, first(web, Robots.MOVED), "/robots.txt")[1]["Location"] == "/rules.txt"
    lent = first(web, Robots.ELSEWHERE)
    assert get(web, lent, "/robots.txt")[1]["Location"].endswith(f"/rules-for-{lent.number}")
    assert "Disallow: /private/" in get(web, web.plan.lender(lent), f"/rules-for-{lent.number}")[2]


@pytest.mark.parametrize(("does", "statuses"), [
    (Does.MISSING, [404, 404]), (Does.BUSY_ONCE, [503, 200]), (Does.SLOWER, [429, 200]), (Does.MOVED, [302, 302])])
def test_given_pages_in_a_mood_when_asked_twice_then_they_answer_as_planned(does, statuses):
    with HostWeb(hosts=300) as web:
        host, path = next((host, path) for host in web.hosts for path, mood in host.pages if mood is does)
        assert [get(web, host, path)[0] for _ in range(2)] == statuses


def test_given_a_careful_reader_when_judged_then_nothing_is_said_and_a_careless_one_is_named():
    with HostWeb(hosts=40, shared=0, latency=0.0) as web:
        host = next(host for host in web.hosts if host.robots is Robots.RULES)
        get(web, host, "/robots.txt")
        time.sleep(0.1)
        get(web, host, "/")
        assert web.verdict(WebRules(delay=0.1)) == []
        assert any("not the 0.3 s" in line for line in web.verdict(WebRules(delay=0.3)))
        assert web.url(host, "/") not in web.missed() and web.url(host, "/page-1") in web.missed()
        get(web, host, "/private/secret")
        assert any("robots.txt (rules) forbids" in line for line in web.verdict(WebRules(delay=0.0)))
        assert web.url(host, "/private/secret") in web.forbidden()


def test_given_a_host_that_hangs_when_the_reader_leaves_then_the_log_has_the_fetch_and_its_end(web):
    host = first(web, Robots.HANGS)
    port = int(web.seeds[0].rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection(host.address, port, timeout=0.3)
    connection.request("GET", "/robots.txt", headers={"Host": f"{host.name}:{port}"})
    with pytest.raises(TimeoutError):
        connection.getresponse()
    fetch = web.report(has_log=True).requests[-1]
    assert (fetch.host, fetch.end, fetch.status) == (host.number, math.inf, 0)
    connection.close()
    deadline = time.monotonic() + 10
    while web.report(has_log=True).requests[-1].end == math.inf and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 0.29 < web.report(has_log=True).requests[-1].end - fetch.start < 10


def test_given_a_kept_connection_when_used_twice_then_it_is_one_in_the_log():
    with HostWeb(hosts=3, shared=0) as web:
        host = web.hosts[0]
        port = int(web.seeds[0].rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPConnection(host.address, port, timeout=5)
        for path in ("/robots.txt", "/"):
            get(web, host, path, connection=connection)
        connection.close()
        report = web.report(has_log=True)
        assert {request.connection for request in report.requests} == {report.connections[0].number}
        assert open_at_once(report.connections, lambda one: one.address) == {host.address: 1}
        assert all(request.end - request.start >= host.latency for request in report.requests)


def test_given_an_answer_that_is_not_read_when_the_reader_dies_then_the_log_says_so():
    with HostWeb(hosts=3, shared=0) as web:
        host = next(host for host in web.hosts if host.robots is not Robots.HANGS)
        port = int(web.seeds[0].rstrip("/").rpartition(":")[2])
        with socket.create_connection((host.address, port), 5) as wire:
            wire.sendall(f"GET /robots.txt HTTP/1.1\r\nHost: {host.name}:{port}\r\n\r\n".encode())
            wire.recv(1, socket.MSG_PEEK)
        deadline = time.monotonic() + 10
        while not web.report(has_log=True).requests[0].is_lost and time.monotonic() < deadline:
            time.sleep(0.01)
        assert web.report(has_log=True).requests[0].is_lost
        get(web, host, "/robots.txt")
        assert not web.report(has_log=True).requests[1].is_lost


def test_given_a_reader_that_died_before_its_answer_came_when_it_comes_then_the_log_says_so():
    with HostWeb(hosts=60, shared=0, latency=0.3) as web:
        host = max((host for host in web.hosts if host.robots is Robots.EMPTY), key=lambda host: host.latency)
        port = int(web.seeds[0].rstrip("/").rpartition(":")[2])
        with socket.create_connection((host.address, port), 5) as wire:
            wire.sendall(f"GET /robots.txt HTTP/1.1\r\nHost: {host.name}:{port}\r\n\r\n".encode())
        deadline = time.monotonic() + 10
        while (not (log := web.report(has_log=True).requests) or log[0].end == math.inf) and (
                time.monotonic() < deadline):
            time.sleep(0.01)
        request = web.report(has_log=True).requests[0]
        assert request.status == 0 and request.permits == -1, "it left before"
