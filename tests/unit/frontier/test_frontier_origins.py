"""What must be known of an origin before its pages are fetched; parking, slowing down, what is refused unfetched."""

from __future__ import annotations

from itertools import pairwise

import pytest
from crawlkit import Crawl, urls

from spyder.model.records import Failure, RobotsRules
from spyder.model.states import ErrorKind, Purpose, UriState

A, B, C = "http://a.example/", "http://b.example/", "http://c.example/"
DAY = 86_400.0


def obeying(clock, **fields) -> Crawl:
    return Crawl(clock, **{"robots": {"policy": "obey"}, "retry": {"delay": {"http-5xx": 30.0}}, **fields})


def rules(*disallow: str, **fields) -> RobotsRules:
    return RobotsRules(disallow=disallow, **fields)


# -- robots.txt comes first


def test_given_a_new_host_when_leased_then_its_robots_txt_comes_first_and_nothing_else_meanwhile(clock):
    crawl = obeying(clock, per_host=9)
    crawl.seed(A, A + "1")
    uris = crawl.lease()
    assert [(uri.url, uri.purpose) for uri in uris] == [(A + "robots.txt", Purpose.ROBOTS)]
    crawl.ok(uris[0], robots=rules())
    assert urls(crawl.lease()) == [A, A + "1"]
    assert crawl.frontier.books.discovered == 2, "robots.txt is no URI of the crawl"


def test_given_rules_when_a_uri_is_due_then_what_they_forbid_is_excluded_with_the_rule(clock):
    crawl = obeying(clock, per_host=9)
    crawl.seed(A, A + "private/1", A + "private/2", A + "open")
    crawl.ok(crawl.one(), robots=rules("/private"))
    assert urls(crawl.lease()) == [A, A + "open"]
    crawl.turn()
    assert crawl.state(A + "private/1") is crawl.state(A + "private/2") is UriState.EXCLUDED
    assert crawl.row(A + "private/1").reason == "robots: disallow: /private"
    assert crawl.frontier.counts["refused/robots"] == 2


@pytest.mark.parametrize("status", [404, 403, 401, 410])
def test_given_no_robots_txt_then_all_is_allowed(clock, status):
    crawl = obeying(clock)
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.HTTP_4XX, status=status)
    assert urls([crawl.one()]) == [A]


@pytest.mark.parametrize(("kind", "status"), [(ErrorKind.HTTP_5XX, 503), (ErrorKind.HTTP_429, 429),
                                              (ErrorKind.DECODE, 200), (ErrorKind.PROTOCOL, 0)])
def test_given_a_robots_txt_that_can_not_be_had_then_the_host_is_held_and_asked_again_and_then_refused(
        clock, kind, status):
    crawl = obeying(clock, retry={"attempts": {"http-5xx": 2, "http-429": 2}, "delay": {}, "factor": 2.0})
    crawl.seed(A)
    asked = []
    for _ in range(20):
        crawl.turn()
        for uri in crawl.lease():
            assert uri.purpose is Purpose.ROBOTS, "nothing is fetched from a host whose rules nobody knows"
            asked.append(clock.now())
            crawl.fail(uri, kind, status=status)
        crawl.turn()
        if crawl.frontier.is_idle:
            break
        crawl.sleep()
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits == pytest.approx([30.0, 60.0], abs=1.1)
    assert (crawl.state(A), crawl.row(A).reason.partition(":")[0]) == (UriState.EXCLUDED, "robots-unreachable")


def test_given_a_held_host_when_its_robots_txt_can_be_had_then_it_goes_on(clock):
    crawl = obeying(clock)
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.HTTP_5XX, status=503)
    assert crawl.lease() == []
    clock.advance(30.0)
    crawl.turn()
    crawl.ok(crawl.one(), robots=rules())
    clock.advance(5.0)
    assert urls([crawl.one()]) == [A]


def test_given_rules_when_they_are_a_day_old_then_they_are_fetched_again_and_the_old_ones_hold_while_they_can_not_be(
        clock):
    crawl = obeying(clock)
    crawl.seed(A, A + "private", A + "1", A + "2")
    crawl.ok(crawl.one(), robots=rules("/private"))
    crawl.ok(crawl.one())
    clock.advance(DAY + 1)
    again = crawl.one()
    assert again.purpose is Purpose.ROBOTS
    crawl.fail(again, ErrorKind.HTTP_5XX, status=503)
    crawl.sleep()
    crawl.turn()
    assert urls([crawl.one()]) == [A + "1"]
    crawl.turn()
    assert crawl.state(A + "private") is UriState.EXCLUDED


def test_given_rules_when_the_master_is_restarted_then_they_hold_but_not_for_another_agent(clock):
    crawl = obeying(clock)
    crawl.seed(A, A + "private")
    crawl.ok(crawl.one(), robots=rules("/private"))
    crawl.restart()
    assert urls(crawl.lease()) == [A]
    crawl.frontier._origins._agent = "other"
    crawl.restart()
    crawl.frontier._origins._agent = "other"
    assert [uri.purpose for uri in crawl.lease()] == [Purpose.ROBOTS]


def test_given_schemes_and_ports_of_one_name_then_each_origin_has_its_own_rules(clock):
    crawl = obeying(clock, per_host=9, assignment="domain")
    crawl.seed("http://a.example/x", "https://a.example/x", "http://a.example:81/x")
    forbidden = {"http://a.example/robots.txt": ("/x",), "https://a.example/robots.txt": (),
                 "http://a.example:81/robots.txt": ("/y",)}
    served = []
    for _ in range(20):
        crawl.turn()
        for uri in crawl.lease():
            served.append(uri.url)
            if uri.purpose is Purpose.ROBOTS:
                crawl.ok(uri, robots=rules(*forbidden[uri.url]))
            else:
                crawl.ok(uri)
    assert set(served) == {*forbidden, "https://a.example/x", "http://a.example:81/x"}
    assert crawl.frontier.is_idle


# -- redirects of robots.txt


def test_given_a_redirect_to_another_host_when_followed_then_it_is_asked_politely_and_the_rules_are_the_first_ones(
        clock):
    crawl = obeying(clock, per_host=1, delay=5.0, mode="any")
    crawl.seed(A + "private", B + "private")
    first = {uri.url: uri for uri in crawl.lease()}
    crawl.ok(first[B + "robots.txt"], robots=rules())
    crawl.redirect(first[A + "robots.txt"], B + "robots.txt")
    assert crawl.lease() == [], "b rests after its own robots.txt"
    clock.advance(5.0)
    served = crawl.lease()
    assert [(uri.url, uri.purpose) for uri in served] == [(B + "robots.txt", Purpose.ROBOTS)]
    crawl.ok(served[0], robots=rules("/private"))
    clock.advance(5.0)
    assert urls(crawl.lease()) == [B + "private"], "the rules count for a, who asked"
    crawl.turn()
    assert crawl.state(A + "private") is UriState.EXCLUDED


def test_given_six_redirects_then_it_is_as_if_there_were_no_robots_txt(clock):
    crawl = obeying(clock)
    crawl.seed(A)
    for number in range(6):
        uri = crawl.one()
        assert uri.purpose is Purpose.ROBOTS
        crawl.redirect(uri, f"http://r{number}.example/robots.txt")
    assert urls([crawl.one()]) == [A]


def test_given_a_redirect_that_leads_nowhere_then_nothing_is_allowed_by_it(clock):
    crawl = obeying(clock)
    crawl.seed(A)
    crawl.ok(crawl.one(), status=302)
    assert crawl.lease() == []


def test_given_a_redirect_to_a_host_that_is_dead_then_who_asked_is_held(clock):
    crawl = obeying(clock)
    crawl.seed(A)
    crawl.redirect(crawl.one(), B + "robots.txt")
    crawl.fail(crawl.one(), ErrorKind.CONNECT, status=0)
    assert crawl.lease() == []
    assert crawl.frontier.origin(A).attempts == 1
    assert not crawl.frontier.is_idle


# -- workers that die with an errand


@pytest.mark.parametrize("hold", [0.0, 6.0])
def test_given_an_errand_when_its_worker_is_lost_then_it_is_run_again(clock, hold):
    crawl = obeying(clock)
    crawl.seed(A)
    crawl.one("w1")
    crawl.frontier.release("w1", hold=hold)
    crawl.turn()
    clock.advance(hold)
    crawl.turn()
    assert crawl.one("w2").purpose is Purpose.ROBOTS


def test_given_an_errand_when_the_master_is_restarted_then_its_connection_counts_and_its_answer_changes_nothing(clock):
    from spyder.model.records import HeldLease

    crawl = obeying(clock, per_host=1)
    crawl.seed(A)
    errand = crawl.one("w1")
    crawl.restart()
    crawl.frontier.adopt("w1", [HeldLease(lease=errand.lease, key=errand.key)])
    crawl.commit()
    assert crawl.lease(worker="w2") == []
    crawl.ok(errand, worker="w1", robots=rules("/"))
    again = crawl.one("w2")
    assert again.purpose is Purpose.ROBOTS
    crawl.ok(again, worker="w2", robots=rules())
    assert urls([crawl.one("w2")]) == [A]


# -- addresses


def looking_up(clock, **fields) -> Crawl:
    return Crawl(clock, looks_up=True, mode="any", **fields)


def test_given_names_when_leased_then_they_are_looked_up_first_and_pages_carry_the_address(clock):
    crawl = looking_up(clock)
    crawl.seed(A)
    look_up = crawl.one()
    assert (look_up.purpose, look_up.url) == (Purpose.ADDRESS, A)
    assert crawl.lease() == []
    crawl.ok(look_up, status=0, ip="192.0.2.1", address_ttl=60.0)
    page = crawl.one()
    assert (page.url, page.address) == (A, "192.0.2.1")


def test_given_a_literal_address_then_nothing_is_looked_up(clock):
    crawl = looking_up(clock)
    crawl.seed("http://192.0.2.7:8000/", "http://[2001:db8::1]/")
    assert {(uri.url, uri.address, uri.purpose) for uri in crawl.lease()} == {
        ("http://192.0.2.7:8000/", "192.0.2.7", Purpose.PAGE), ("http://[2001:db8::1]/", "2001:db8::1", Purpose.PAGE)}


def test_given_an_address_when_its_time_is_over_then_the_name_is_looked_up_again(clock):
    crawl = looking_up(clock)
    crawl.seed(A, A + "1")
    crawl.ok(crawl.one(), status=0, ip="192.0.2.1", address_ttl=60.0)
    crawl.ok(crawl.one())
    clock.advance(61.0)
    look_up = crawl.one()
    assert look_up.purpose is Purpose.ADDRESS
    crawl.ok(look_up, status=0, ip="192.0.2.2", address_ttl=60.0)
    assert crawl.one().address == "192.0.2.2"


def test_given_an_address_where_nothing_answers_then_another_one_is_looked_for(clock):
    crawl = looking_up(clock, politeness={"backoff": 1.0})
    crawl.seed(A, A + "1")
    crawl.ok(crawl.one(), status=0, ip="192.0.2.1", address_ttl=1000.0)
    crawl.fail(crawl.one(), ErrorKind.CONNECT, status=0)
    clock.advance(2.0)
    look_up = crawl.one()
    assert (look_up.purpose, look_up.address) == (Purpose.ADDRESS, "192.0.2.1")


def test_given_an_address_that_the_guard_refuses_then_its_uris_are_excluded_with_its_reason(clock):
    crawl = looking_up(clock)
    crawl.seed(A, A + "1")
    crawl.settle(crawl.outcome(crawl.one(), status=0, address_ttl=60.0,
                               failure=Failure(kind=ErrorKind.ADDRESS, detail="10.0.0.1 is private")))
    assert crawl.lease() == []
    crawl.turn()
    assert crawl.row(A + "1").reason == "address: 10.0.0.1 is private"
    assert crawl.frontier.is_idle


def test_given_hosts_of_one_address_when_leased_then_its_connections_and_its_delay_are_shared(clock):
    crawl = looking_up(clock, delay=1.0, per_host=1, politeness={"per_ip": 2, "ip_delay": 0.25})
    names = [f"http://h{number}.example/" for number in range(6)]
    crawl.seed(*names)
    for uri in crawl.lease():
        crawl.ok(uri, status=0, ip="192.0.2.1", address_ttl=1000.0)
    clock.advance(1.0)
    crawl.turn()
    begun, under_way = [], []
    for _ in range(200):
        crawl.turn()
        for uri in crawl.lease():
            begun.append((clock.now(), uri.url))
            under_way.append(uri)
        assert len(under_way) <= 2
        if len(under_way) == 2 or (under_way and len(begun) == 6):
            clock.advance(0.1)
            crawl.ok(under_way.pop(0))
        elif not crawl.frontier.is_idle:
            crawl.sleep()
    assert sorted(url for _, url in begun) == names
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(begun)]
    assert min(gaps) >= 0.25 - 1e-6


def test_given_a_crowd_of_hosts_at_one_address_when_leased_then_other_addresses_do_not_wait_for_them(clock):
    crawl = looking_up(clock, delay=1.0, politeness={"per_ip": 1, "ip_delay": 1.0}, frontier={"active_queues": 40})
    crowd = [f"http://c{number}.example/" for number in range(200)]
    crawl.seed(*crowd)
    alone = [f"http://n{number}.example/" for number in range(30)]
    crawl.seed(*alone)
    served, start = {}, clock.now()
    while not set(alone) <= set(served) and clock.now() < start + 600:
        crawl.turn()
        for uri in crawl.lease():
            if uri.purpose is Purpose.ADDRESS:
                name = uri.url[7:].partition(".")[0]
                ip = "192.0.2.1" if name[0] == "c" else f"198.51.100.{name[1:]}"
                crawl.ok(uri, status=0, ip=ip, address_ttl=100_000.0)
            else:
                served[uri.url] = clock.now()
                crawl.ok(uri)
        crawl.turn()
        crawl.sleep()
    assert set(alone) <= set(served)
    assert max(served[url] for url in alone) - start < 60, "the turns of the crowd would take 200 s"


def test_given_an_address_when_the_master_is_restarted_then_it_rests_too(clock):
    crawl = looking_up(clock, delay=1.0, politeness={"ip_delay": 0.5})
    crawl.seed(A, B)
    for uri in crawl.lease():
        crawl.ok(uri, status=0, ip="192.0.2.1", address_ttl=1000.0)
    clock.advance(1.0)
    crawl.turn()
    crawl.one()
    crawl.restart(in_good_order=True)
    assert crawl.lease() == []


# -- trouble


def test_given_a_crawl_delay_when_fetched_then_it_holds_and_survives_a_restart(clock):
    crawl = obeying(clock, delay=1.0, per_host=1)
    crawl.seed(A, A + "1", A + "2")
    crawl.ok(crawl.one(), robots=rules(crawl_delay=20.0))
    clock.advance(19.9)
    assert crawl.lease() == [], "it holds from robots.txt on"
    clock.advance(0.2)
    crawl.ok(crawl.one())
    clock.advance(19.0)
    assert crawl.lease() == []
    crawl.restart()
    clock.advance(19.9)
    assert crawl.lease() == [], "a master that was cut off waits for the whole delay again"
    clock.advance(0.2)
    assert urls(crawl.lease()) == [A + "1"]


def test_given_a_crawl_delay_and_more_connections_than_one_then_nothing_is_leased_before_the_fetch_has_ended(clock):
    crawl = obeying(clock, delay=1.0, per_host=4)
    crawl.seed(A, A + "1", A + "2")
    crawl.ok(crawl.one(), robots=rules(crawl_delay=5.0))
    clock.advance(5.0)
    slow = crawl.one()
    clock.advance(60.0)
    assert crawl.lease() == []
    crawl.ok(slow)
    clock.advance(4.9)
    assert crawl.lease() == []
    clock.advance(0.2)
    assert urls(crawl.lease()) == [A + "1"]


def test_given_a_host_where_nothing_answers_then_it_is_parked_and_given_up_and_its_uris_fail_unfetched(clock):
    crawl = obeying(clock, per_host=5, politeness={"park_after": 3, "park_delay": 30.0, "park_factor": 4.0,
                                                   "park_looks": 2})
    crawl.seed(*(f"{A}{number}" for number in range(500)))
    looks = []
    for _ in range(100):
        crawl.turn()
        for uri in crawl.lease():
            looks.append(clock.now())
            crawl.fail(uri, ErrorKind.CONNECT, status=0)
        crawl.turn()
        if crawl.frontier.is_idle:
            break
        crawl.sleep()
    waits = [round(later - earlier) for earlier, later in pairwise(looks)]
    assert waits == [1, 2, 30, 120], "a look at a time, ever more seldom"
    assert crawl.frontier.books.failed == 500
    assert crawl.row(A + "77").reason.startswith("connect: ")
    crawl.seed(A + "later")
    crawl.lease()
    crawl.turn()
    assert crawl.state(A + "later") is UriState.FAILED, "given up for a day"
    clock.advance(DAY + 1)
    crawl.seed(A + "tomorrow")
    assert crawl.one().purpose is Purpose.ROBOTS


def test_given_many_connections_when_they_break_together_then_that_is_one_trouble(clock):
    crawl = Crawl(clock, per_host=20, politeness={"park_after": 3})
    crawl.seed(*(f"{A}{number}" for number in range(20)))
    for uri in crawl.lease():
        crawl.fail(uri, ErrorKind.RESET, status=0)
    assert (crawl.host(A).errors, crawl.host(A).unanswered) == (1, 1)


@pytest.mark.parametrize("status", [429, 503])
def test_given_a_host_that_says_it_is_too_much_then_its_delay_grows_and_shrinks_again(clock, status):
    kind = ErrorKind.HTTP_429 if status == 429 else ErrorKind.HTTP_5XX
    crawl = Crawl(clock, delay=1.0, politeness={"backoff": 0.0, "slowdown": 2.0, "max_slowdown": 5.0})
    crawl.seed(*(f"{A}{number}" for number in range(20)))
    grown = []
    for _ in range(3):
        clock.advance(100)
        crawl.fail(crawl.one(), kind, status=status)
        grown.append(crawl.host(A).slowdown)
    assert grown == [2.0, 4.0, 5.0]
    assert crawl.host(A).next_at - clock.now() >= 6.0
    clock.advance(100)
    crawl.ok(crawl.one())
    assert crawl.host(A).slowdown == 4.0


# -- permissions, sitemaps, hints


def test_given_seeds_with_literal_addresses_then_they_permit_that_address_and_port_and_no_other(clock):
    crawl = Crawl(clock, mode="any", per_host=9)
    crawl.seed("http://127.0.0.1:8000/", "http://localhost/", "http://a.example/", "http://b.example/")
    permitted = {uri.url: uri.is_permitted for uri in crawl.lease()}
    assert permitted == {"http://127.0.0.1:8000/": True, "http://localhost/": True, "http://a.example/": False,
                         "http://b.example/": False}
    crawl.restart()
    crawl.seed("http://127.0.0.1:8000/x", "http://example.com/")
    seed = next(uri for uri in crawl.lease() if uri.url == A)
    crawl.ok(seed, "http://127.0.0.1:8000/y", "http://127.0.0.1:9000/", "https://localhost/", "http://127.0.0.2:8000/")
    permitted = {uri.url: uri.is_permitted for uri in crawl.lease()}
    assert permitted == {"http://127.0.0.1:8000/y": True, "http://127.0.0.1:9000/": False, "https://localhost/": False,
                         "http://127.0.0.2:8000/": False}


def test_given_sitemaps_in_robots_txt_then_they_belong_to_the_crawl(clock):
    crawl = obeying(clock, per_host=9)
    crawl.seed(A)
    crawl.ok(crawl.one(), robots=rules(sitemaps=(A + "map.xml", "http://elsewhere.example/map.xml", "ftp://x/")))
    crawl.turn()
    assert crawl.state(A + "map.xml") is crawl.state("http://elsewhere.example/map.xml") is UriState.QUEUED
    assert crawl.frontier.books.discovered == 3


def test_given_hints_when_links_are_added_then_priority_counts_and_what_has_changed_is_fetched_again(clock):
    from spyder.model.records import Hint

    crawl = Crawl(clock, per_host=9)
    crawl.seed(A, A + "old", A + "new")
    page, *others = crawl.lease()
    for uri in others:
        crawl.ok(uri)
    fetched = clock.now()
    clock.advance(10_000)
    crawl.store.requeued.add(crawl.key(A + "new"))
    crawl.ok(page, A + "low", A + "high", A + "old", A + "new", hints=(
        Hint(index=0, priority=-10), Hint(index=1, priority=60), Hint(index=2, modified=fetched - 5),
        Hint(index=3, modified=fetched + 5000)))
    assert urls(crawl.lease()) == [A + "high", A + "new", A + "low"]


# -- one origin of several in a queue


def test_given_two_origins_in_one_queue_when_one_is_dead_then_the_other_goes_on_and_only_the_dead_one_fails(clock):
    crawl = obeying(clock, per_host=1, politeness={"park_after": 2, "park_delay": 10.0, "park_looks": 1})
    crawl.seed("https://a.example/login", "http://a.example/1", "http://a.example/2")
    done = []
    for _ in range(60):
        crawl.turn()
        for uri in crawl.lease():
            if uri.url.startswith("https:"):
                crawl.fail(uri, ErrorKind.CONNECT, status=0)
            else:
                done.append((clock.now(), uri.url))
                crawl.ok(uri, robots=rules() if uri.purpose is Purpose.ROBOTS else None)
        crawl.turn()
        if crawl.frontier.is_idle:
            break
        crawl.sleep()
    assert [url for _, url in done] == ["http://a.example/robots.txt", "http://a.example/1", "http://a.example/2"]
    assert done[-1][0] - done[0][0] < 5, "it did not wait for the dead one"
    assert crawl.state("https://a.example/login") is UriState.FAILED
    assert crawl.frontier.books.done == 2


def test_given_a_robots_txt_that_kills_workers_then_it_counts_as_one_that_can_not_be_had(clock):
    crawl = obeying(clock, retry={"quarantine_after": 2, "delay": {"worker-died": 1.0}})
    crawl.seed(A)
    deaths = 0
    for number in range(20):
        crawl.turn()
        for uri in crawl.lease(worker=f"w{number}"):
            deaths += 1
            crawl.frontier.release(f"w{number}")
            crawl.frontier.strike(f"w{number}", uri.key, "it died")
        crawl.turn()
        if crawl.frontier.is_idle:
            break
        crawl.sleep()
    assert deaths == 2
    assert crawl.row(A).reason == "robots-unreachable: robots.txt: worker-died"


def test_given_sitemaps_when_named_by_hosts_out_of_scope_or_against_a_rule_then_they_are_left_out(clock):
    crawl = obeying(clock, per_host=9)
    crawl.seed(A)
    crawl.ok(crawl.one(), robots=rules(sitemaps=tuple(f"http://m{number}.example/s.xml" for number in range(100))))
    crawl.turn()
    assert crawl.frontier.books.discovered == 51
    asked = [uri for uri in crawl.lease() if uri.purpose is Purpose.ROBOTS]
    assert asked
    for uri in asked:
        crawl.ok(uri, robots=rules(sitemaps=("http://further.example/s.xml",)))
    assert crawl.state("http://further.example/s.xml") is None


def test_given_a_literal_address_that_the_guard_refuses_then_its_uris_are_excluded_at_once_with_its_reason(clock):
    crawl = obeying(clock, looks_up=True, mode="any")
    crawl.seed("http://10.0.0.1/", "http://10.0.0.1/1")
    crawl.fail(crawl.one(), ErrorKind.ADDRESS, status=0)
    clock.advance(2)
    assert crawl.lease() == []
    crawl.turn()
    assert crawl.frontier.is_idle
    assert crawl.row("http://10.0.0.1/1").reason.startswith("address: ")


def test_given_a_robots_txt_that_redirects_to_a_forbidden_address_then_nothing_is_allowed_at_once(clock):
    crawl = obeying(clock)
    crawl.seed(A)
    crawl.redirect(crawl.one(), "http://169.254.169.254/robots.txt")
    crawl.fail(crawl.one(), ErrorKind.ADDRESS, status=0)
    crawl.lease()
    crawl.turn()
    assert crawl.row(A).reason.startswith("robots-unreachable: ")
