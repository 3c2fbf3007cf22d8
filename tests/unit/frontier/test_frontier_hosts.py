"""Whose turn it is: order, politeness, budgets, hosts in memory, paging, limits, and when to wake up."""

from __future__ import annotations

from collections import Counter

import pytest
from crawlkit import Crawl, pages, urls

from spyder.model.records import Failure
from spyder.model.states import ErrorKind, UriState

A, B, C = "http://a.example/", "http://b.example/", "http://c.example/"


class ByPath:
    """The path's number is the priority."""

    def __call__(self, url, *, depth, is_seed):
        return int(url.rpartition("/")[2] or 0)


# -- order


def test_given_one_host_when_leased_then_first_come_is_first_served(clock):
    crawl = Crawl(clock, per_host=100)
    crawl.seed(*pages("a.example", range(20)))
    assert urls(crawl.lease()) == pages("a.example", range(20))


@pytest.mark.parametrize("page_in", [1, 2, 3, 128])
def test_given_priorities_when_leased_then_higher_comes_first_and_equals_in_order(clock, page_in):
    crawl = Crawl(clock, prioritizer=ByPath(), frontier={"page_in": page_in})
    numbers = [5, -128, 127, 0, 5, 7, 1, 0, -3, 90, 127, 2]
    crawl.seed(*(f"http://a.example/{order}/{number}" for order, number in enumerate(numbers)))
    served = [int(url.rpartition("/")[2]) for url in crawl.drain()]
    assert served == sorted(numbers, reverse=True)


def test_given_a_later_uri_of_higher_priority_when_added_then_it_overtakes_what_is_in_memory_and_on_disk(clock):
    crawl = Crawl(clock, prioritizer=ByPath(), frontier={"page_in": 2})
    crawl.seed(*(f"http://a.example/{order}/0" for order in range(30)))
    crawl.ok(crawl.one())
    crawl.seed("http://a.example/9", "http://a.example/8")
    assert urls([crawl.one()]) == ["http://a.example/9"]


def test_given_hosts_when_leased_then_they_take_turns(clock):
    crawl = Crawl(clock, per_host=1)
    crawl.seed(*pages("a.example", range(3)), *pages("b.example", range(3)), *pages("c.example", range(3)))
    for number in range(3):
        uris = crawl.lease()
        assert urls(uris) == [f"http://{host}.example/{number}" for host in "abc"]
        for uri in uris:
            crawl.ok(uri)


def test_given_workers_when_leasing_then_none_gets_more_than_its_room_and_a_host_stays_with_its_worker(clock):
    crawl = Crawl(clock, per_host=1, mode="any")
    crawl.seed(*(page for host in range(6) for page in pages(f"h{host}.example", range(4))))
    homes: dict[str, set[str]] = {}
    for _ in range(4):
        grants = crawl.grants(w1=3, w2=3, w3=0)
        assert Counter(grant.worker for grant in grants) == {"w1": 3, "w2": 3}
        for grant in grants:
            homes.setdefault(grant.uri.url.split("/")[2], set()).add(grant.worker)
            crawl.ok(grant.uri, worker=grant.worker)
    assert all(len(workers) == 1 for workers in homes.values())


def test_given_a_home_without_room_when_leasing_then_the_host_goes_elsewhere_rather_than_wait(clock):
    crawl = Crawl(clock)
    crawl.seed(*pages("a.example", range(3)))
    crawl.ok(crawl.one("w1"), worker="w1")
    assert [grant.worker for grant in crawl.grants(w1=0, w2=1)] == ["w2"]


# -- politeness


@pytest.mark.parametrize("per_host", [1, 3])
def test_given_per_host_when_leased_then_no_more_are_under_way_and_a_notice_makes_room(clock, per_host):
    crawl = Crawl(clock, per_host=per_host)
    crawl.seed(*pages("a.example", range(10)))
    uris = crawl.lease()
    assert len(uris) == per_host
    assert crawl.lease() == []
    crawl.notice(uris[0])
    assert len(crawl.lease()) == 1, "the connection is free although the outcome is still to come"
    crawl.notice(uris[0])
    crawl.ok(uris[0])
    assert crawl.lease() == [], "the notice and the outcome free it once"


@pytest.mark.parametrize(("elapsed", "rest"), [(0.0, 1.0), (0.3, 1.0), (2.0, 6.0), (1000.0, 30.0)])
def test_given_a_fetch_when_it_ends_then_the_next_waits_for_the_delay_or_longer_after_a_slow_one(clock, elapsed, rest):
    crawl = Crawl(clock, delay=1.0, delay_factor=3.0, politeness={"max_delay": 30.0})
    crawl.seed(*pages("a.example", range(3)))
    uri = crawl.one()
    clock.advance(elapsed)
    crawl.ok(uri, elapsed=elapsed)
    assert crawl.frontier.next_wake() == pytest.approx(clock.now() + rest)
    clock.advance(rest - 0.01)
    assert crawl.lease() == []
    clock.advance(0.02)
    assert len(crawl.lease()) == 1


def test_given_a_notice_when_the_outcome_comes_later_then_the_delay_counts_from_the_notice(clock):
    crawl = Crawl(clock, delay=2.0)
    crawl.seed(*pages("a.example", range(3)))
    uri = crawl.one()
    crawl.notice(uri)
    clock.advance(1.5)
    crawl.ok(uri, elapsed=100.0)
    clock.advance(0.51)
    assert len(crawl.lease()) == 1


def test_given_per_host_2_when_leased_then_even_the_second_connection_begins_after_the_delay(clock):
    crawl = Crawl(clock, delay=1.0, per_host=2)
    crawl.seed(*pages("a.example", range(5)))
    assert len(crawl.lease()) == 1
    clock.advance(1.0)
    assert len(crawl.lease()) == 1
    clock.advance(10.0)
    assert crawl.lease() == []


def test_given_another_host_when_one_rests_then_it_is_served(clock):
    crawl = Crawl(clock, delay=10.0)
    crawl.seed(A, A + "2", B)
    assert urls(crawl.lease()) == [A, B]


def test_given_domains_that_share_a_queue_when_leased_then_they_share_politeness(clock):
    crawl = Crawl(clock, assignment="domain", mode="any")
    crawl.seed("http://www.a.example/", "http://docs.a.example/", B)
    assert urls(crawl.lease()) == ["http://www.a.example/", B]


def test_given_a_resting_host_when_the_master_restarts_then_it_goes_on_resting(clock):
    crawl = Crawl(clock, delay=20.0)
    crawl.seed(A, A + "2")
    crawl.ok(crawl.one())
    until = clock.now() + 20
    clock.advance(5)
    crawl.restart(in_good_order=True)
    assert crawl.lease() == []
    assert crawl.frontier.next_wake() == until
    clock.advance(15)
    assert urls(crawl.lease()) == [A + "2"]


def test_given_a_host_that_was_served_when_the_master_is_cut_off_then_it_rests_for_a_whole_delay(clock):
    crawl = Crawl(clock, delay=20.0)
    crawl.seed(A, A + "2")
    clock.advance(5)
    crawl.lease()  # the last master tells nobody when this fetch ended
    crawl.restart()
    assert crawl.lease() == []
    clock.advance(19.9)
    assert crawl.lease() == []
    clock.advance(0.1)
    assert urls(crawl.lease()) == [A]


def test_given_a_lease_handed_back_when_the_master_restarts_then_the_delay_still_counts_from_there(clock):
    crawl = Crawl(clock, delay=20.0)
    crawl.seed(A, A + "2")
    crawl.one()
    clock.advance(30)
    crawl.release("w")
    crawl.restart()
    assert crawl.lease() == []
    clock.advance(20)
    assert urls(crawl.lease()) == [A]


def test_given_troubles_in_a_row_when_settled_then_the_host_rests_twice_as_long_each_time_up_to_the_limit(clock):
    crawl = Crawl(clock, politeness={"backoff": 2.0, "max_backoff": 10.0}, retry={"attempts": {}})
    crawl.seed(*pages("a.example", range(9)))
    for rest in (2, 4, 8, 10, 10):
        crawl.fail(crawl.one(), ErrorKind.HTTP_5XX)
        assert crawl.host(A).next_at == pytest.approx(clock.now() + rest)
        assert crawl.host(A).last_error == "http-5xx"
        clock.advance(rest + 0.001)
    crawl.ok(crawl.one())
    assert crawl.host(A).errors == 0, "a good answer ends the row"
    crawl.fail(crawl.one(), ErrorKind.TIMEOUT)
    assert crawl.host(A).next_at == pytest.approx(clock.now() + 2)


def test_given_a_failure_of_one_page_when_settled_then_its_host_is_in_no_trouble(clock):
    crawl = Crawl(clock, politeness={"backoff": 100.0})
    crawl.seed(A, A + "2")
    crawl.fail(crawl.one(), ErrorKind.HTTP_4XX)
    assert crawl.host(A).errors == 0
    assert urls(crawl.lease()) == [A + "2"]


def test_given_trouble_in_a_notice_when_it_comes_then_the_host_rests_at_once_and_counts_it_once(clock):
    crawl = Crawl(clock, politeness={"backoff": 50.0})
    crawl.seed(A, A + "2")
    uri = crawl.one()
    crawl.notice(uri, trouble=ErrorKind.HTTP_429, retry_after=70.0)
    assert crawl.lease() == []
    crawl.fail(uri, ErrorKind.HTTP_429, retry_after=70.0)
    assert (crawl.host(A).errors, crawl.host(A).next_at) == (1, clock.now() + 70)


# -- hosts in memory


def test_given_many_hosts_when_few_are_active_then_every_uri_is_served_once_and_the_hosts_share(clock):
    crawl = Crawl(clock, mode="any", frontier={"active_queues": 3, "queue_budget": 2, "page_in": 2})
    hosts = [f"h{number}.example" for number in range(50)]
    crawl.seed(*(page for host in hosts for page in pages(host, range(7))))
    served = []
    while not crawl.frontier.is_idle:
        crawl.turn()
        assert crawl.frontier.active_hosts <= 3
        for uri in crawl.lease():
            served.append(uri.url)
            crawl.ok(uri)
        if not crawl.lease(0) and crawl.frontier.next_wake() is not None:
            clock.advance(0.05)
    assert len(served) == 350 and len(set(served)) == 350
    seen: Counter[str] = Counter()
    for url in served:
        seen[url.split("/")[2]] += 1
        if len(seen) == 50:
            break
    assert max(seen.values()) <= 4, "nobody has its budget of 2 a third time before all had it once"


def test_given_a_host_in_trouble_when_others_wait_then_trouble_costs_more_of_its_budget(clock):
    crawl = Crawl(clock, mode="any", frontier={"active_queues": 1, "queue_budget": 10, "error_cost": 5},
                  politeness={"backoff": 0.0, "max_backoff": 0.0}, retry={"attempts": {}})
    crawl.seed(*pages("a.example", range(12)), B)
    served = []
    while B not in served:
        uri = crawl.one()
        served.append(uri.url)
        crawl.fail(uri, ErrorKind.HTTP_5XX)
    assert len(served) <= 4, "two troubles spend it; one more turn may have been promised by then"


def test_given_a_spent_host_with_leases_when_another_waits_then_it_stays_until_they_have_ended(clock):
    crawl = Crawl(clock, mode="any", per_host=2, frontier={"active_queues": 1, "queue_budget": 1})
    crawl.seed(*pages("a.example", range(9)), B)
    first, second = crawl.lease()
    crawl.ok(first)
    (third,) = crawl.lease()  # promised before the budget was spent
    crawl.ok(second)
    assert crawl.lease() == [], "it has had its budget, and the other one has no place as long as a lease stands"
    assert crawl.frontier.active_hosts == crawl.frontier.busy_hosts == 1
    crawl.ok(third)
    (other,) = crawl.lease()
    assert other.url == B
    crawl.ok(other)
    crawl.turn()
    assert len(crawl.lease()) == 2


def test_given_a_host_that_rests_for_long_when_another_waits_then_it_makes_room_and_comes_back(clock):
    crawl = Crawl(clock, mode="any", frontier={"active_queues": 1}, retry={"attempts": {}})
    crawl.seed(A, A + "2", B)
    crawl.fail(crawl.one(), ErrorKind.HTTP_429, retry_after=100.0)
    clock.advance(0.2)
    crawl.turn()
    crawl.ok(crawl.one())
    assert crawl.state(B) is UriState.DONE
    while not (uris := crawl.lease()):
        crawl.sleep()
        crawl.turn()
    assert urls(uris) == [A + "2"]
    assert 0 <= clock.now() - crawl.host(A).next_at <= 0.11


def test_given_a_far_host_in_the_index_when_another_steps_aside_then_that_one_is_not_forgotten(clock):
    crawl = Crawl(clock, mode="any", frontier={"active_queues": 1, "queue_budget": 1}, retry={"attempts": {}})
    crawl.seed(A, A + "2", *pages("b.example", range(5)))
    crawl.fail(crawl.one(), ErrorKind.HTTP_429, retry_after=1000.0)
    begun = clock.now()
    served = []
    while len(served) < 5:
        crawl.turn()
        for uri in crawl.lease():
            served.append(uri.url)
            crawl.ok(uri)
        if len(served) < 5:
            crawl.sleep()
    assert served == pages("b.example", range(5))
    assert clock.now() - begun < 5, "it does not wait for the host that rests"


def test_given_a_smaller_active_queues_when_the_master_restarts_then_no_host_is_forgotten(clock):
    crawl = Crawl(clock, mode="any", frontier={"active_queues": 10})
    crawl.seed(*(f"http://h{number}.example/{page}" for number in range(10) for page in range(2)))
    settings = type(crawl.settings)(**{"canonical": "plain", "active_queues": 2})
    crawl.restart(settings=settings)
    assert crawl.frontier.active_hosts == 2
    assert len(set(crawl.drain())) == 20


def test_given_a_host_that_is_done_when_it_gets_work_again_then_it_is_served_again(clock):
    crawl = Crawl(clock, delay=3.0)
    crawl.seed(A)
    crawl.ok(crawl.one())
    assert crawl.frontier.active_hosts == 0
    crawl.seed(A + "2")
    assert crawl.lease() == [], "its delay is remembered"
    clock.advance(3)
    assert urls(crawl.lease()) == [A + "2"]


# -- paging


@pytest.mark.parametrize("page_in", [1, 2, 7])
def test_given_queues_larger_than_memory_when_served_then_each_uri_is_leased_once_in_order(clock, page_in):
    crawl = Crawl(clock, per_host=3, frontier={"page_in": page_in})
    crawl.seed(A)
    crawl.ok(crawl.one(), *pages("a.example", range(100)))
    served = crawl.drain()
    assert served == pages("a.example", range(100))


def test_given_a_long_queue_when_added_to_then_memory_holds_a_bounded_head(clock):
    crawl = Crawl(clock, prioritizer=ByPath(), frontier={"page_in": 4})
    crawl.seed(*(f"http://a.example/{order}/{order % 100}" for order in range(400)))
    (host,) = crawl.frontier._hosts
    assert len(host._heap) <= 16
    served = [int(url.rpartition("/")[2]) for url in crawl.drain()]
    assert served == sorted((order % 100 for order in range(400)), reverse=True)


def test_given_each_uri_more_urgent_than_the_last_when_memory_is_trimmed_then_the_tail_is_read_again(clock):
    crawl = Crawl(clock, prioritizer=ByPath(), frontier={"page_in": 2})
    crawl.seed(*pages("a.example", range(60)))
    assert crawl.drain() == pages("a.example", range(59, -1, -1))


def test_given_leases_beyond_the_head_when_the_queue_is_read_again_then_they_are_not_leased_twice(clock):
    crawl = Crawl(clock, prioritizer=ByPath(), per_host=100, frontier={"page_in": 2})
    crawl.seed(*(f"http://a.example/{order}/0" for order in range(20)))
    held = crawl.lease(9)
    crawl.seed(*(f"http://a.example/{order}/9" for order in range(30)))
    others = crawl.lease()
    assert len({uri.key for uri in others}) == len(others) == 41
    assert {uri.key for uri in others}.isdisjoint(uri.key for uri in held)


@pytest.mark.parametrize("taken", [1, 5, 9])
def test_given_leases_beyond_the_head_when_they_return_after_a_trim_then_none_is_lost(clock, taken):
    crawl = Crawl(clock, prioritizer=ByPath(), per_host=100, frontier={"page_in": 2})
    crawl.seed(*(f"http://a.example/{order}/0" for order in range(20)))
    first = crawl.lease(taken)
    crawl.seed(*(f"http://a.example/{order}/9" for order in range(30)))
    crawl.release("w")
    served = crawl.drain()
    assert len(served) == len(set(served)) == 50
    assert set(urls(first)) <= set(served)


def test_given_a_late_outcome_for_a_uri_that_is_only_in_the_store_when_read_then_it_is_not_leased(clock):
    crawl = Crawl(clock, frontier={"page_in": 1})
    crawl.seed(*pages("a.example", range(10)))
    far = pages("a.example", range(10))[9]
    crawl.settle(crawl.outcome(type(crawl.one())(lease=1, key=crawl.key(far), url=far)))
    assert crawl.state(far) is UriState.DONE
    crawl.release("w")
    assert crawl.drain() == pages("a.example", range(9))


# -- limits and waking up


@pytest.mark.parametrize("per_host", [1, 4, 100])
def test_given_a_page_limit_when_crawling_then_exactly_so_many_are_settled(clock, per_host):
    crawl = Crawl(clock, per_host=per_host, pages=7, retry={"delay": {"reset": 1.0}})
    crawl.seed(*pages("a.example", range(30)))
    answers = iter(range(100))
    while not crawl.frontier.is_limit_reached or crawl.frontier.leased:
        crawl.turn()
        for uri in crawl.lease():
            if next(answers) % 3 == 0 and uri.attempt == 0:
                crawl.fail(uri, ErrorKind.RESET)
            else:
                crawl.ok(uri)
        clock.advance(1)
    assert crawl.frontier.books.settled == 7
    assert crawl.lease() == []
    assert crawl.frontier.next_wake() is None


def test_given_leases_under_way_when_leasing_then_they_count_for_the_limit_until_they_go_back(clock):
    crawl = Crawl(clock, per_host=100, pages=5)
    crawl.seed(*pages("a.example", range(30)))
    first = crawl.lease(3, "w1")
    assert len(crawl.lease(100, "w2")) == 2
    assert crawl.lease(100, "w2") == []
    crawl.ok(first[0], worker="w1")
    assert crawl.lease(100, "w2") == []
    crawl.release("w1")
    assert len(crawl.lease(100, "w2")) == 2


def test_given_a_limit_of_0_when_leasing_then_nothing_is_fetched(clock):
    crawl = Crawl(clock, pages=0)
    crawl.seed(A)
    assert crawl.frontier.is_limit_reached
    assert crawl.lease() == []


def test_given_nothing_to_do_when_asked_then_there_is_nothing_to_wake_for(clock):
    crawl = Crawl(clock)
    assert crawl.frontier.is_idle
    assert crawl.frontier.next_wake() is None
    crawl.seed(A)
    assert not crawl.frontier.is_idle
    assert crawl.frontier.next_wake() <= clock.now()
    uri = crawl.one()
    assert crawl.frontier.next_wake() is None, "only the outcome can change something"
    crawl.ok(uri)
    assert crawl.frontier.is_idle


def test_given_retries_when_asked_then_the_first_of_them_wakes_the_crawl(clock):
    crawl = Crawl(clock, mode="any", retry={"delay": {"timeout": 50.0, "reset": 20.0}})
    crawl.seed(A, B)
    first, second = crawl.lease()
    crawl.fail(first, ErrorKind.TIMEOUT)
    assert crawl.frontier.next_wake() == pytest.approx(clock.now() + 50, abs=0.01)
    crawl.fail(second, ErrorKind.RESET)
    assert crawl.frontier.next_wake() == pytest.approx(clock.now() + 20, abs=0.01)
    crawl.restart()
    assert crawl.frontier.next_wake() == pytest.approx(clock.now() + 20, abs=0.01)


def test_given_many_retries_due_at_once_when_maintained_then_all_are_queued_in_a_few_turns(clock):
    crawl = Crawl(clock, per_host=2000, politeness={"backoff": 0.0, "max_backoff": 0.0})
    crawl.seed(*pages("a.example", range(1100)))
    crawl.settle(*(crawl.outcome(uri, failure=Failure(kind=ErrorKind.RESET)) for uri in crawl.lease()))
    assert crawl.frontier.books.scheduled == 1100
    clock.advance(10)
    for _ in range(3):
        assert crawl.frontier.next_wake() <= clock.now()
        crawl.turn()
    assert (crawl.frontier.books.scheduled, crawl.frontier.books.queued) == (0, 1100)


@pytest.mark.parametrize("at", [1_700_000_000.1, 1_700_000_000.0009999, 1_700_000_001.001, 1_699_999_999.9995])
def test_given_the_time_of_a_retry_when_it_is_exactly_now_then_it_is_queued(clock, at):
    crawl = Crawl(clock, retry={"delay": {"reset": 0.0}}, politeness={"backoff": 0.0})
    clock.advance(at - clock.now() + 10)
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.RESET)
    crawl.turn()
    assert crawl.state(A) is UriState.QUEUED
