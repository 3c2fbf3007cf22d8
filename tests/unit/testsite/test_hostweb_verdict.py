"""The verdict on a crawl of the web of hosts: a good log passes, and every kind of bad one is found."""

import math

import pytest

from spyder.testsite.hostweb.plan import Does, HostPlan, Robots
from spyder.testsite.hostweb.verdict import WebConnection, WebRequest, WebRules, gaps, open_at_once, verdict


def host(number, robots=Robots.RULES, *, address=None, crawl_delay=0.0):
    name = f"host-{number}.web.test"
    return HostPlan(number=number, name=name, address=address or f"127.41.0.{number + 1}", robots=robots,
                    crawl_delay=crawl_delay, latency=0.0, pages=(("/", Does.PAGE), ("/private/secret", Does.PAGE)))


def asked(number, path, start, end, **more):
    fields = {"host": number, "path": path, "start": start, "end": end, "status": 200, "connection": 1}
    return WebRequest(**fields | more)


def robots(number, start, end, **more):
    return asked(number, "/robots.txt", start, end, permits=number, is_robots=True, **more)


RULES = WebRules(delay=1.0)
ONE = [host(0)]
GOOD = [robots(0, 0.0, 0.1), asked(0, "/", 1.1, 1.2), asked(0, "/page-1", 2.2, 2.3)]


def test_given_a_log_that_keeps_every_rule_when_judged_then_nothing_is_said():
    assert verdict(ONE, GOOD, RULES) == []
    assert verdict(ONE, reversed(GOOD), RULES) == []


@pytest.mark.parametrize(("robots_kind", "path", "is_forbidden"), [
    (Robots.RULES, "/private/secret", True), (Robots.RULES, "/private/open", False), (Robots.OURS, "/private/x", True),
    (Robots.NONE, "/private/secret", False), (Robots.DENIED, "/private/secret", False), (Robots.NOTHING, "/", True),
    (Robots.BUSY, "/", True), (Robots.HANGS, "/", True)])
def test_given_a_fetch_of_a_forbidden_page_when_judged_then_it_is_named(robots_kind, path, is_forbidden):
    found = verdict([host(0, robots_kind)], [robots(0, 0.0, 0.1), asked(0, path, 2.0, 2.1)], RULES)
    assert bool(found) is is_forbidden
    assert all(f"host-0.web.test{path} was fetched, which robots.txt" in line for line in found)


def test_given_a_page_without_robots_when_judged_then_that_is_said():
    assert verdict(ONE, GOOD[1:], RULES) == ["host-0.web.test/ was fetched, and robots.txt never had",
                                             "host-0.web.test/page-1 was fetched, and robots.txt never had"]


def test_given_a_page_while_robots_is_under_way_when_judged_then_that_is_said():
    found = verdict(ONE, [robots(0, 0.0, 2.0), asked(0, "/", 1.5, 1.6)], WebRules(delay=0.0, per_host=2, per_ip=2))
    assert found == ["host-0.web.test/ was fetched 0.500 s before robots.txt was had"]


def test_given_a_robots_answer_that_decides_nothing_when_judged_then_pages_behind_it_are_too_early():
    busy = asked(0, "/robots.txt", 0.0, 0.1, status=503, is_robots=True)
    log = [busy, asked(0, "/", 2.0, 2.1), robots(0, 4.0, 4.1)]
    assert verdict(ONE, log, RULES) == ["host-0.web.test/ was fetched 2.100 s before robots.txt was had"]


def test_given_rules_from_another_host_when_judged_then_they_permit_the_one_they_are_for():
    elsewhere = asked(1, "/rules-for-0", 0.2, 0.3, permits=0, is_robots=True)
    hosts = [host(0, Robots.ELSEWHERE), host(1)]
    assert verdict(hosts, [elsewhere, asked(0, "/", 2.0, 2.1)], RULES) == []
    assert len(verdict(hosts, [elsewhere, asked(1, "/", 2.0, 2.1)], RULES)) == 1


@pytest.mark.parametrize(("start", "is_undercut"), [(1.1, False), (1.096, False), (1.09, True), (0.2, True)])
def test_given_a_delay_when_a_fetch_follows_then_more_than_the_tolerance_is_an_undercut(start, is_undercut):
    found = verdict(ONE, [robots(0, 0.0, 0.1), asked(0, "/", start, start + 0.1)], RULES)
    assert bool(found) is is_undercut
    assert all("host-0.web.test: " in line and "not the 1 s" in line for line in found)


def test_given_a_crawl_delay_when_robots_is_known_then_it_counts_from_the_next_fetch_on():
    hosts = [host(0, Robots.DELAY, crawl_delay=3.0)]
    assert verdict(hosts, [robots(0, 0.0, 0.1), asked(0, "/", 3.1, 3.2), asked(0, "/p", 6.2, 6.3)], RULES) == []
    assert len(verdict(hosts, [robots(0, 0.0, 0.1), asked(0, "/", 1.1, 1.2), asked(0, "/p", 3.2, 3.3)], RULES)) == 2


def test_given_a_retry_after_when_the_next_fetch_comes_then_it_must_have_waited():
    busy = asked(0, "/p", 1.1, 1.2, status=429, retry_after=5.0)
    log = [GOOD[0], busy, asked(0, "/", 3.0, 3.1)]
    assert len(verdict(ONE, log, RULES)) == 1
    assert verdict(ONE, log, WebRules(delay=1.0, max_retry_after=1.5)) == []
    assert verdict(ONE, [*log[:2], asked(0, "/", 6.2, 6.3)], RULES) == []


def test_given_an_answer_that_may_not_have_been_read_when_judged_then_nothing_that_it_said_counts():
    busy = asked(0, "/p", 1.1, 1.2, status=429, retry_after=5.0, is_lost=True)
    assert verdict(ONE, [GOOD[0], busy, asked(0, "/", 3.0, 3.1)], RULES) == []
    unread = [robots(0, 0.0, 0.1, is_lost=True), asked(0, "/", 2.0, 2.1)]
    assert verdict(ONE, unread, RULES) == ["host-0.web.test/ was fetched, and robots.txt never had"]


@pytest.mark.parametrize(("end", "status", "is_undercut"), [
    (1.3, 0, False), (1.3, 200, True), (9.0, 0, True)])
def test_given_a_reader_that_was_killed_when_its_fetch_ends_later_for_the_server_then_it_ended_with_the_reader(
        end, status, is_undercut):
    log = [GOOD[0], asked(0, "/", 1.15, end, status=status), asked(0, "/p", 2.2 if end < 2 else 9.9, 10.0)]
    rules = WebRules(delay=1.0, deaths=(1.1,))
    assert bool(verdict(ONE, log, rules)) is is_undercut
    assert verdict(ONE, log, RULES)


def test_given_two_hosts_of_one_address_when_judged_then_the_delay_of_the_address_counts_between_them():
    hosts = [host(0, address="127.42.0.1"), host(1, address="127.42.0.1")]
    log = [robots(0, 0.0, 0.1), robots(1, 0.15, 0.2)]
    assert verdict(hosts, log, WebRules(delay=1.0)) == []
    assert verdict(hosts, log, WebRules(delay=1.0, ip_delay=0.05)) == []
    found = verdict(hosts, log, WebRules(delay=1.0, ip_delay=0.08))
    assert len(found) == 1 and found[0].startswith("127.42.0.1: 0.050 s before /robots.txt, not the 0.08 s")


def test_given_fetches_at_the_same_time_when_judged_then_limits_of_host_and_address_are_held():
    hosts = [host(0, address="127.42.0.1"), host(1, address="127.42.0.1")]
    log = [robots(0, 0.0, 9.0), asked(0, "/robots.txt", 1.0, 9.0, is_robots=True), robots(1, 2.0, 9.0)]
    free = WebRules(delay=0.0, per_host=2, per_ip=3)
    assert verdict(hosts, log, free) == []
    assert len(verdict(hosts, log, WebRules(delay=0.0, per_host=1, per_ip=3))) == 1
    assert len(verdict(hosts, log, WebRules(delay=0.0, per_host=2, per_ip=2))) == 1
    assert len(verdict(hosts, log, WebRules(delay=0.0, per_host=2, per_ip=1))) == 2


def test_given_a_fetch_that_never_ends_when_another_begins_then_both_are_under_way():
    log = [robots(0, 0.0, 0.1), asked(0, "/", 2.0, math.inf), asked(0, "/p", 9.0, 9.1)]
    assert ["2 fetches at the same time" in line for line in verdict(ONE, log, RULES)] == [True, True]


def test_given_more_than_one_connection_when_gaps_are_measured_then_they_run_from_start_to_start():
    log = [robots(0, 0.0, 5.0), asked(0, "/robots.txt", 1.5, 2.0, is_robots=True), asked(0, "/", 5.01, 5.1)]
    rules = WebRules(delay=1.0, per_host=2, per_ip=2)
    assert [round(gap.length, 2) for gap in gaps(ONE, log, rules) if gap.of == "host-0.web.test"] == [1.5, 3.51]
    assert verdict(ONE, log, rules) == []


def test_given_a_log_when_gaps_are_measured_then_each_says_what_it_is_of_and_what_it_needed():
    found = [gap for gap in gaps(ONE, GOOD, RULES) if gap.of == "host-0.web.test"]
    assert [(round(gap.length, 3), gap.needed, gap.request.path) for gap in found] == [
        (1.0, 1.0, "/"), (1.0, 1.0, "/page-1")]
    assert max(gap.undercut for gap in found) == pytest.approx(0.0)


def test_given_connections_when_counted_then_idle_ones_count_until_they_are_closed():
    def one(opened, closed):
        return WebConnection(number=1, host=0, address="a", opened=opened, closed=closed)
    assert open_at_once([one(0, 1), one(1, 2), one(3, math.inf), one(4, 5)], lambda _: "a") == {"a": 2}
    assert open_at_once([one(0, 1), one(1, 2)], lambda _: "a") == {"a": 1}
