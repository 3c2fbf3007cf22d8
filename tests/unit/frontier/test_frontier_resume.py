"""A crawl that was stopped or killed goes on as if it never had been: on disk, closed and opened again."""

from __future__ import annotations

import pytest
from crawlkit import Crawl, audit, pages, urls

from spyder.errors import StoreError
from spyder.frontier.audit import audit as full_audit
from spyder.model.records import Failure
from spyder.model.states import ErrorKind, UriState
from spyder.settings import PolitenessSection, RetrySection
from spyder.stores.rocksdb import RocksdbStore

A, B, C = "http://a.example/", "http://b.example/", "http://c.example/"


@pytest.fixture
def kept(tmp_path):
    """Opens the same store again and again; what was open is closed first."""
    opened = []

    def reopen() -> RocksdbStore:
        for store in opened:
            store.close()
        opened.append(RocksdbStore.open(tmp_path / "frontier", cache=1 << 20))
        return opened[-1]
    yield reopen
    for store in opened:
        store.close()


@pytest.fixture(params=["stopped", "killed"])
def resume(request, kept):
    """Ends a crawl's master, in good order or not, and starts another one on what it left."""
    def resume(crawl: Crawl, **changed) -> None:
        if request.param == "stopped":
            crawl.frontier.close()
        crawl.restart(kept, **changed)
        audit(crawl.frontier, crawl.store)
        assert [found.described or found.differences() for found in full_audit(crawl.store) if not found.is_good] == []
    return resume


def next_urls(crawl: Crawl) -> list[str]:
    """The URLs in the order in which they are served, one at a time, each answered at once."""
    served = []
    while uris := crawl.lease(1):
        served.append(uris[0].url)
        crawl.ok(uris[0])
    return served


# -- politeness


def test_given_a_host_at_rest_after_a_slow_fetch_when_resumed_then_it_rests_to_the_same_moment(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), delay=2.0, delay_factor=3.0)
    crawl.seed(A, A + "2")
    crawl.ok(crawl.one(), elapsed=5.0)
    until = clock.now() + 15
    clock.advance(10)

    resume(crawl)

    assert crawl.frontier.next_wake() == pytest.approx(until)
    clock.advance(4.9)
    assert crawl.lease() == []
    clock.advance(0.1)
    assert urls(crawl.lease()) == [A + "2"]


def test_given_a_host_in_trouble_when_resumed_then_its_rest_and_the_count_of_troubles_go_on(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), politeness={"backoff": 4.0}, retry={"attempts": {}})
    crawl.seed(*pages("a.example", range(4)))
    crawl.fail(crawl.one(), ErrorKind.TIMEOUT)
    clock.advance(4)
    crawl.fail(crawl.one(), ErrorKind.CONNECT)
    until = clock.now() + 8

    resume(crawl)

    assert (crawl.host(A).errors, crawl.host(A).last_error) == (2, "connect")
    assert crawl.lease() == []
    assert crawl.frontier.next_wake() == pytest.approx(until)
    clock.advance(8)
    crawl.fail(crawl.one(), ErrorKind.TIMEOUT)
    assert crawl.frontier.next_wake() == pytest.approx(clock.now() + 16), "the third in a row rests twice as long again"


def test_given_a_retry_after_when_resumed_then_the_host_waits_for_the_time_that_the_server_named(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), politeness={"max_retry_after": 3600.0})
    crawl.seed(A, A + "2")
    crawl.fail(crawl.one(), ErrorKind.HTTP_429, retry_after=600.0)
    until = clock.now() + 600
    clock.advance(100)

    resume(crawl)

    assert crawl.lease() == []
    assert crawl.frontier.next_wake() == pytest.approx(until)
    assert crawl.state(A) is UriState.SCHEDULED
    clock.advance(500)
    crawl.turn()
    assert sorted(urls(crawl.lease())) in ([A + "2"], [A])


def test_given_hosts_that_rest_on_disk_when_resumed_then_each_comes_back_at_its_time(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), mode="any", frontier={"active_queues": 1}, politeness={"backoff": 50.0},
                  retry={"attempts": {}})
    crawl.seed(A, A + "2", B, B + "2", C)
    for host in (A, B):
        uri = crawl.one()
        assert uri.url == host
        crawl.fail(uri, ErrorKind.TIMEOUT)
        clock.advance(1)
        crawl.turn()
    begun = clock.now()

    resume(crawl)

    served = {}
    while not crawl.frontier.is_idle:
        crawl.turn()
        for uri in crawl.lease():
            served[uri.url] = clock.now() - begun
            crawl.ok(uri)
        if not crawl.frontier.is_idle:
            crawl.sleep()
    assert served[C] < 1
    assert 48 <= served[A + "2"] < 49
    assert 49 <= served[B + "2"] < 50


def test_given_a_host_that_was_just_leased_when_the_master_is_killed_then_the_next_one_keeps_the_delay(clock, kept):
    crawl = Crawl(clock, store=kept(), delay=20.0)
    crawl.seed(A, A + "2")
    crawl.one()
    clock.advance(1)

    crawl.restart(kept)

    assert crawl.lease() == [], "its fetch began a second ago, or is still under way"


def test_given_a_host_in_trouble_when_the_outcome_comes_to_the_next_master_then_the_host_rests(clock, kept):
    crawl = Crawl(clock, store=kept(), delay=1.0, politeness={"backoff": 50.0})
    crawl.seed(A, A + "2")
    uri = crawl.one()
    clock.advance(5)
    crawl.restart(kept)

    crawl.fail(uri, ErrorKind.HTTP_429, retry_after=100.0)

    assert crawl.state(A) is UriState.SCHEDULED
    assert crawl.host(A).errors == 1
    assert crawl.lease() == []


# -- queues, budgets, priorities


def test_given_leases_and_a_queue_when_resumed_then_all_are_served_in_their_old_order(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), per_host=4, frontier={"page_in": 2})
    crawl.seed(*pages("a.example", range(9)))
    first, *_ = crawl.lease(4)
    crawl.ok(first)

    resume(crawl)

    assert next_urls(crawl) == pages("a.example", range(1, 9))


class ByNumber:
    """Higher numbers first, or lower ones."""

    def __init__(self, sign: int = 1) -> None:
        self._sign = sign

    def __call__(self, url: str, *, depth: int, is_seed: bool) -> int:
        return self._sign * int(url.rpartition("/")[2])


def test_given_priorities_when_resumed_then_they_stand_and_later_uris_have_those_of_the_new_settings(
        clock, kept, resume):
    crawl = Crawl(clock, store=kept(), prioritizer=ByNumber())
    crawl.seed(*pages("a.example", (1, 5, 3, 4)))
    crawl.ok(crawl.one())

    resume(crawl, prioritizer=ByNumber(-1))
    crawl.seed(*pages("a.example", (2, 0)))

    assert next_urls(crawl) == pages("a.example", (4, 3, 1, 0, 2))


def test_given_a_uri_queued_after_a_restart_when_served_then_it_stands_behind_those_from_before(clock, kept, resume):
    crawl = Crawl(clock, store=kept())
    for number in range(4):
        crawl.seed(f"{A}{number}")
        resume(crawl)
    assert next_urls(crawl) == pages("a.example", range(4))


def test_given_a_host_that_has_spent_its_budget_when_resumed_then_it_does_not_get_another_one(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), mode="any", frontier={"active_queues": 1, "queue_budget": 10})
    crawl.seed(*pages("a.example", range(30)), B)
    served = []
    for number in range(30):
        uri = crawl.one()
        served.append(uri.url)
        crawl.ok(uri)
        if number == 7:
            resume(crawl)
        crawl.turn()
        if uri.url == B:
            break
    assert served[-1] == B
    assert len(served) <= 12, "8 before the restart, 2 after it, and one that was promised"


# -- retries


def test_given_a_scheduled_retry_when_resumed_then_it_comes_at_its_time_with_all_that_it_was(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), retry={"delay": {"truncated": 100.0}, "attempts": {"truncated": 2}})
    crawl.seed(A)
    crawl.redirect(crawl.one(), A + "there")
    crawl.fail(crawl.one(), ErrorKind.TRUNCATED)
    until = clock.now() + 100
    clock.advance(60)

    resume(crawl)

    assert crawl.lease() == []
    assert crawl.frontier.next_wake() == pytest.approx(until, abs=0.002)
    clock.advance(39.9)
    crawl.turn()
    assert crawl.lease() == []
    clock.advance(0.2)
    crawl.turn()
    uri = crawl.one()
    assert (uri.url, uri.attempt, uri.redirects, uri.is_seed) == (A + "there", 1, (A,), True)


def test_given_a_time_that_passed_while_nothing_ran_when_resumed_then_the_retry_is_queued_at_once(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), retry={"delay": {"truncated": 100.0}})
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.TRUNCATED)
    clock.advance(5000)

    resume(crawl)

    assert [(uri.url, uri.attempt) for uri in crawl.lease()] == [(A, 1)]


def test_given_spent_attempts_when_resumed_then_they_are_not_given_again(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), retry={"attempts": {"truncated": 2}})
    crawl.seed(A)
    fetches = 0
    while crawl.state(A) is not UriState.FAILED:
        crawl.fail(crawl.one(), ErrorKind.TRUNCATED)
        fetches += 1
        resume(crawl)
        if crawl.state(A) is UriState.SCHEDULED:
            crawl.sleep()
            crawl.turn()
    assert fetches == 3
    assert crawl.row(A).attempt == 2


# -- changed settings apply


def test_given_another_delay_when_resumed_then_it_counts_from_the_next_fetch_on(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), delay=20.0)
    crawl.seed(*pages("a.example", range(3)))
    crawl.ok(crawl.one())

    resume(crawl, politeness=PolitenessSection(per_host=1, delay=2.0, delay_factor=0.0))

    assert crawl.lease() == [], "the time that was set stands"
    clock.advance(20)
    crawl.ok(crawl.one())
    clock.advance(2)
    assert urls(crawl.lease()) == [A + "2"]


def test_given_more_connections_to_a_host_when_resumed_then_it_gets_them(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), per_host=1)
    crawl.seed(*pages("a.example", range(5)))
    assert len(crawl.lease()) == 1
    crawl.release("w")

    resume(crawl, politeness=PolitenessSection(per_host=3, delay=0.0, delay_factor=0.0))

    assert len(crawl.lease()) == 3


@pytest.mark.parametrize(("attempts", "further"), [(1, 1), (4, 3)])
def test_given_another_number_of_retries_when_resumed_then_it_counts_for_what_waits(
        clock, kept, resume, attempts, further):
    crawl = Crawl(clock, store=kept(), retry={"attempts": {"truncated": 2}})
    crawl.seed(A)
    for _ in range(2):
        crawl.fail(crawl.one(), ErrorKind.TRUNCATED)
        crawl.sleep()
        crawl.turn()

    resume(crawl, retry=RetrySection(attempts={"truncated": attempts}, delay={"truncated": 1.0}))

    failure = Failure(kind=ErrorKind.TRUNCATED)
    assert crawl.drain(lambda uri: crawl.outcome(uri, failure=failure)) == [A] * further
    assert crawl.state(A) is UriState.FAILED


def test_given_a_page_limit_when_resumed_with_another_then_pages_of_both_runs_count(clock, kept, resume):
    crawl = Crawl(clock, store=kept(), pages=3)
    crawl.seed(*pages("a.example", range(10)))
    assert len(next_urls(crawl)) == 3
    assert crawl.frontier.is_limit_reached

    crawl.limits = type(crawl.limits)(pages=7)
    resume(crawl)

    assert len(next_urls(crawl)) == 4
    assert crawl.frontier.is_limit_reached


def test_given_a_wider_scope_when_resumed_then_links_from_now_on_are_in_it(clock, kept, resume):
    crawl = Crawl(clock, store=kept())
    crawl.seed(A, A + "2")
    crawl.ok(crawl.one(), B)
    assert crawl.state(B) is None

    resume(crawl, mode="any")
    crawl.ok(crawl.one(), B)

    assert crawl.state(B) is UriState.QUEUED


# -- incompatible state is refused


@pytest.mark.parametrize(("changed", "words"), [
    ({"canonical": "standard"}, r"built with frontier.canonical/assignment `plain/host`, the settings say "
                                r"`standard-2/host`: set them back, or begin anew with --fresh"),
    ({"assignment": "domain"}, r"`plain/host`, the settings say `plain/domain`: set them back"),
])
def test_given_settings_that_keys_were_made_with_when_they_differ_then_it_says_what_to_do_and_harms_nothing(
        clock, kept, changed, words):
    crawl = Crawl(clock, store=kept())
    crawl.seed(A, B)
    with pytest.raises(StoreError, match=words) as caught:
        Crawl(clock, store=kept(), **changed)
    assert "\n" not in str(caught.value)

    crawl.restart(kept)
    assert crawl.frontier.epoch == 2, "a refused start is none"
    assert sorted(crawl.drain()) == [A, B]


def test_given_another_project_when_resumed_then_both_keep_their_own_queues_and_books(clock, kept):
    crawl = Crawl(clock, store=kept())
    crawl.seed(A, A + "2")
    crawl.ok(crawl.one())

    other = Crawl(clock, store=kept(), project="second")
    other.frontier.add_seeds([A, B, C])
    other.frontier.commit()
    assert sorted(urls(other.lease())) == [A, B, C]

    crawl.restart(kept)
    assert urls(crawl.lease()) == [A + "2"]
    first, second = full_audit(crawl.store)
    assert (first.project, first.counted.done, first.counted.queued) == ("default", 1, 1)
    assert (second.project, second.counted.discovered, second.counted.queued) == ("second", 3, 3)
    assert first.is_good and second.is_good
