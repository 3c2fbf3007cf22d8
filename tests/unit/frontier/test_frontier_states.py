"""Every state of a URI and every way between them; late, repeated and lost outcomes; the balance after each step."""

from __future__ import annotations

import msgspec
import pytest
from crawlkit import Crawl, audit, pages, urls

from spyder.contracts import Changes
from spyder.errors import StoreError
from spyder.frontier.leases import epoch_of
from spyder.model.records import HeldLease, QueuedUri
from spyder.model.states import ErrorKind, LinkKind, UriState
from spyder.stores.memory import MemoryStore
from spyder.stores.rocksdb import RocksdbStore

A, B, C = "http://a.example/", "http://b.example/", "http://c.example/"


@pytest.fixture(params=["memory", "rocksdb"])
def kept(request, tmp_path):
    """Opens the same store again and again."""
    if request.param == "memory":
        store = MemoryStore()
        yield lambda: store
        return
    opened = []

    def reopen():
        for store in opened:
            store.close()
        opened.append(RocksdbStore.open(tmp_path / "frontier", cache=1 << 20))
        return opened[-1]
    yield reopen
    for store in opened:
        store.close()


# -- seeds


def test_given_seeds_when_added_then_they_are_queued_known_ones_are_counted_and_nonsense_is_refused(clock):
    crawl = Crawl(clock)
    report = crawl.seed("a.example", A, "mailto:someone@a.example", "http://", B + "#part", B)
    assert (report.added, report.known, len(report.refused)) == (2, 2, 2)
    assert crawl.state(A) is crawl.state(B) is UriState.QUEUED
    assert crawl.seed(A).known == 1
    assert crawl.frontier.books.discovered == 2


def test_given_a_seed_when_leased_then_the_lease_carries_what_a_worker_needs(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = crawl.one()
    assert (uri.url, uri.key, uri.depth, uri.attempt, uri.is_seed, uri.referrer, uri.redirects) == (
        A, crawl.key(A), 0, 0, True, "", ())
    assert epoch_of(uri.lease) == crawl.frontier.epoch == 1
    assert crawl.frontier.leased == 1 and crawl.frontier.held_by("w") == 1 and crawl.frontier.busy_hosts == 1
    assert crawl.state(A) is UriState.QUEUED, "leasing removes nothing"


def test_given_something_staged_when_leasing_then_it_is_refused_because_nothing_staged_may_be_leased(clock):
    crawl = Crawl(clock)
    crawl.frontier.add_seeds([A])
    assert crawl.frontier.has_staged and not crawl.frontier.is_idle
    with pytest.raises(AssertionError, match="commit first"):
        crawl.lease()


# -- outcomes


def test_given_a_page_when_settled_then_it_is_done_and_its_links_are_queued_with_depth_and_referrer(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.ok(crawl.one(), A + "x", A + "x", A, size=10)
    row = crawl.row(A)
    assert (row.state, row.status, row.settled_at, row.worker, row.url) == (UriState.DONE, 200, clock.now(), "w", A)
    uri = crawl.one()
    assert (uri.url, uri.depth, uri.referrer, uri.is_seed) == (A + "x", 1, A, False)
    assert crawl.frontier.books.discovered == 2
    assert crawl.frontier.counts["bytes"] == 10 and crawl.frontier.counts["fetches"] == 1


@pytest.mark.parametrize("kind", [kind for kind in ErrorKind if not (kind.is_transient or kind.is_exclusion)])
def test_given_a_failure_that_no_retry_mends_when_settled_then_it_is_failed_with_its_reason(clock, kind):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.fail(crawl.one(), kind, A + "x", status=404)
    row = crawl.row(A)
    assert (row.state, row.reason, row.status, row.attempt) == (UriState.FAILED, kind.value, 404, 0)
    assert crawl.host(A).failed == 1
    assert crawl.state(A + "x") is UriState.QUEUED, "the links of a failed page count"
    assert crawl.frontier.counts[f"error/{kind.value}"] == 1


@pytest.mark.parametrize("kind", [kind for kind in ErrorKind if kind.is_transient])
def test_given_a_transient_failure_when_it_repeats_then_it_is_retried_as_often_as_its_class_is_worth(clock, kind):
    crawl = Crawl(clock, politeness={"backoff": 0.0, "max_backoff": 0.0})
    crawl.seed(A)
    begun = clock.now()
    for attempt in range(crawl.retry.attempts[kind.value]):
        uri = crawl.one()
        assert uri.attempt == attempt
        crawl.fail(uri, kind)
        row = crawl.row(A)
        assert (row.state, row.attempt, row.reason) == (UriState.SCHEDULED, attempt + 1, kind.value)
        wait = min(crawl.retry.delay[kind.value] * crawl.retry.factor ** attempt, crawl.retry.max_delay)
        clock.advance(wait - 0.01)
        crawl.turn()
        assert crawl.lease() == [], "not before its time"
        clock.advance(0.011)
        crawl.turn()
        assert crawl.state(A) is UriState.QUEUED
    crawl.fail(crawl.one(), kind)
    assert crawl.state(A) is UriState.FAILED
    assert crawl.row(A).attempt == crawl.retry.attempts[kind.value]
    assert crawl.frontier.is_idle and clock.now() > begun


def test_given_a_retry_when_it_succeeds_then_the_uri_is_done_and_its_row_tells_of_the_attempts(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.RESET)
    crawl.clock.advance(10)
    crawl.turn()
    crawl.ok(crawl.one())
    assert (crawl.state(A), crawl.row(A).attempt, crawl.row(A).reason) == (UriState.DONE, 1, "")


def test_given_a_server_that_names_a_time_when_it_fails_then_the_retry_and_its_host_wait_for_it(clock):
    crawl = Crawl(clock)
    crawl.seed(A, A + "other")
    crawl.fail(crawl.one(), ErrorKind.HTTP_429, retry_after=500.0)
    assert crawl.host(A).next_at == clock.now() + 500
    assert crawl.frontier.next_wake() == pytest.approx(clock.now() + 500, abs=0.01)
    clock.advance(499.5)
    crawl.turn()
    assert crawl.lease() == []
    clock.advance(0.6)
    crawl.turn()
    assert urls(crawl.lease(1)) == [A + "other"], "the retry queues behind what waited"


def test_given_an_absurd_retry_after_when_settled_then_it_is_cut(clock):
    crawl = Crawl(clock, politeness={"max_retry_after": 100.0}, retry={"max_delay": 50.0})
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.HTTP_429, retry_after=1e12)
    assert crawl.host(A).next_at == clock.now() + 100
    clock.advance(50.01)
    crawl.turn()
    assert crawl.state(A) is UriState.QUEUED


# -- links, scope, redirects


def test_given_links_beyond_the_seeds_hosts_when_settled_then_they_are_counted_and_left_out(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.ok(crawl.one(), B, "http://a.example:81/", "http://sub.a.example/", A + "in")
    assert crawl.frontier.books.discovered == 2
    assert crawl.frontier.counts["links_out_of_scope"] == 3


def test_given_domain_scope_when_settled_then_hosts_of_the_same_registered_domain_belong(clock):
    crawl = Crawl(clock, mode="domain")
    crawl.seed("http://www.a.co.uk/")
    crawl.ok(crawl.one(), "http://docs.a.co.uk:81/", "http://b.co.uk/")
    assert crawl.state("http://docs.a.co.uk:81/") is UriState.QUEUED
    assert crawl.state("http://b.co.uk/") is None


def test_given_any_scope_when_settled_then_every_host_belongs(clock):
    crawl = Crawl(clock, mode="any")
    crawl.seed(A)
    crawl.ok(crawl.one(), B)
    assert crawl.state(B) is UriState.QUEUED


def test_given_a_seed_that_redirects_elsewhere_when_settled_then_the_scope_widens_for_good(clock, kept):
    crawl = Crawl(clock, store=kept())
    crawl.seed(A)
    crawl.redirect(crawl.one(), B)
    uri = crawl.one()
    assert (uri.url, uri.depth, uri.is_seed, uri.redirects, uri.referrer) == (B, 0, True, (A,), "")
    crawl.redirect(uri, C)
    assert crawl.one().redirects == (A, B)
    crawl.restart(kept)
    crawl.ok(crawl.one(), B + "later", C + "later", "http://d.example/")
    assert crawl.state(B + "later") is crawl.state(C + "later") is UriState.QUEUED
    assert crawl.state("http://d.example/") is None


def test_given_a_waiting_link_when_it_is_seeded_then_it_is_a_seed_and_its_redirect_widens_the_scope(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.ok(crawl.one(), A + "x")
    assert crawl.seed(A + "x").known == 1
    crawl.restart()
    uri = crawl.one()
    assert (uri.url, uri.is_seed, uri.depth) == (A + "x", True, 0)
    crawl.redirect(uri, B)
    assert crawl.state(B) is UriState.QUEUED


def test_given_a_waiting_seed_when_it_is_seeded_again_or_linked_to_then_nothing_is_written(clock):
    crawl = Crawl(clock)
    crawl.seed(A, A + "x")
    crawl.frontier.add_seeds([A])
    assert not crawl.frontier.has_staged
    crawl.ok(crawl.one(), A + "x")
    assert crawl.one().is_seed


def test_given_a_page_that_redirects_elsewhere_when_settled_then_the_scope_stays(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.ok(crawl.one(), A + "moved")
    crawl.redirect(crawl.one(), B)
    assert crawl.state(B) is None
    assert crawl.frontier.is_idle


def test_given_a_redirect_when_followed_then_depth_and_referrer_are_those_of_the_page_that_linked(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.ok(crawl.one(), A + "1")
    crawl.redirect(crawl.one(), A + "2")
    uri = crawl.one()
    assert (uri.url, uri.depth, uri.referrer, uri.redirects, uri.is_seed) == (A + "2", 1, A, (A + "1",), False)
    crawl.ok(uri, A + "3")
    assert (crawl.one().depth, crawl.row(A + "3").depth) == (2, 2)


def test_given_a_refresh_or_an_embed_when_settled_then_it_is_one_link_further(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = crawl.one()
    crawl.settle(crawl.outcome(uri, A + "refresh", kind=LinkKind.REFRESH))
    assert crawl.row(A + "refresh").depth == 1


def test_given_a_shorter_way_to_a_waiting_uri_when_found_then_its_depth_and_its_childrens_are_the_shortest(clock):
    crawl = Crawl(clock, frontier={"page_in": 1})
    deep = A + "deep"
    crawl.seed(A, A + "second")
    crawl.ok(crawl.one(), A + "1")
    crawl.ok(crawl.one())
    crawl.ok(crawl.one(), deep, *pages("a.example", range(5)))
    assert crawl.row(deep).depth == 2
    crawl.seed(deep)
    assert crawl.row(deep).depth == 0
    uri = crawl.one()
    assert (uri.url, uri.depth) == (deep, 0)
    crawl.ok(uri, A + "child")
    assert crawl.row(A + "child").depth == 1


def test_given_a_longer_way_or_a_settled_uri_when_found_then_nothing_changes(clock):
    crawl = Crawl(clock)
    crawl.seed(A, A + "x")
    crawl.ok(crawl.one(), A + "x", A)
    assert crawl.row(A + "x").depth == 0
    assert crawl.state(A) is UriState.DONE
    assert crawl.frontier.books.discovered == 2


def test_given_the_same_page_by_two_spellings_when_found_then_it_is_known(clock):
    crawl = Crawl(clock, canonical="standard")
    crawl.seed("http://a.example/~x")
    crawl.ok(crawl.one(), "http://a.example/%7ex", "http://a.example/~x?")
    assert crawl.frontier.books.discovered == 1


# -- leases that go back, and late outcomes


def test_given_a_worker_that_is_lost_when_released_then_its_uris_are_leased_again_in_their_old_order(clock):
    crawl = Crawl(clock, per_host=4)
    crawl.seed(*pages("a.example", range(6)))
    first = crawl.lease(3, "w1")
    assert crawl.release("w1") == 3
    assert (crawl.frontier.leased, crawl.frontier.held_by("w1")) == (0, 0)
    again = crawl.lease(4, "w2")
    assert urls(again) == pages("a.example", range(4))
    assert {uri.lease for uri in again}.isdisjoint(uri.lease for uri in first), "a lease's number is never used twice"
    assert crawl.frontier.counts["leases_returned"] == 3
    assert crawl.release("w1") == crawl.release("nobody") == 0


def test_given_a_lease_that_went_back_when_its_outcome_comes_late_then_it_settles_the_queued_uri(clock):
    crawl = Crawl(clock)
    crawl.seed(A, A + "b")
    uri = crawl.one("w1")
    crawl.release("w1")
    crawl.ok(uri, A + "c", worker="w1")
    assert crawl.state(A) is UriState.DONE and crawl.row(A).worker == "w1"
    assert crawl.frontier.counts["outcomes_late"] == 1
    assert crawl.drain() == [A + "b", A + "c"], "the settled one is passed over, its links count"


@pytest.mark.parametrize("holder_says", ["ok", "fail", "lost"])
def test_given_another_holder_when_the_late_outcome_settles_then_the_holders_own_is_stale(clock, holder_says):
    crawl = Crawl(clock, per_host=2)
    crawl.seed(A)
    old = crawl.one("w1")
    crawl.release("w1")
    new = crawl.one("w2")
    crawl.ok(old, A + "x", worker="w1")
    assert crawl.state(A) is UriState.DONE
    assert (crawl.frontier.leased, crawl.frontier.held_by("w2")) == (0, 1), "the slot is taken until the holder reports"
    if holder_says == "ok":
        crawl.ok(new, A + "x", A + "y", worker="w2")
        assert crawl.state(A + "y") is UriState.QUEUED, "links count also in a stale outcome"
    elif holder_says == "fail":
        crawl.fail(new, ErrorKind.HTTP_5XX, worker="w2")
    else:
        assert crawl.release("w2") == 0, "a settled URI does not go back"
        crawl.turn()
    assert crawl.frontier.held_by("w2") == 0
    assert crawl.row(A).worker == "w1"
    crawl.drain()
    assert crawl.store.settled[crawl.key(A)] == 1


@pytest.mark.parametrize("is_lost", [False, True])
def test_given_a_superseded_lease_when_the_uri_is_leased_anew_then_the_old_holders_end_is_only_its_own(clock, is_lost):
    crawl = Crawl(clock, per_host=9, politeness={"backoff": 0.0}, retry={"delay": {"truncated": 1.0}})
    crawl.seed(A)
    old = crawl.one("w1")
    crawl.release("w1")
    second = crawl.one("w2")
    crawl.fail(old, ErrorKind.TRUNCATED, worker="w1")
    clock.advance(2)
    crawl.turn()
    third = crawl.one("w3")
    assert (third.key, crawl.frontier.leased) == (second.key, 1)
    if is_lost:
        assert crawl.release("w2") == 0
    else:
        crawl.ok(second, worker="w2")
    assert (crawl.frontier.leased, crawl.frontier.held_by("w2"), crawl.frontier.held_by("w3")) == (1, 0, 1)
    assert crawl.lease() == []
    crawl.ok(third, worker="w3")
    assert crawl.row(A).worker == "w3"


def test_given_a_scheduled_retry_when_a_late_outcome_is_good_then_the_uri_is_done_without_it(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    old = crawl.one("w1")
    crawl.release("w1")
    crawl.fail(crawl.one("w2"), ErrorKind.TIMEOUT, worker="w2")
    assert crawl.state(A) is UriState.SCHEDULED
    crawl.ok(old, worker="w1")
    assert crawl.state(A) is UriState.DONE
    assert crawl.frontier.is_idle
    assert crawl.frontier.books.scheduled == 0
    clock.advance(1000)
    crawl.turn()
    assert crawl.lease() == []


def test_given_a_scheduled_retry_when_a_late_outcome_fails_too_then_it_is_scheduled_once(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    old = crawl.one("w1")
    crawl.release("w1")
    crawl.fail(crawl.one("w2"), ErrorKind.CONNECT, worker="w2")
    crawl.fail(old, ErrorKind.CONNECT, worker="w1")
    assert (crawl.state(A), crawl.row(A).attempt) == (UriState.SCHEDULED, 1), "one attempt ends once"
    assert crawl.frontier.books.scheduled == 1
    assert crawl.frontier.counts["outcomes_stale"] == 1


def test_given_both_in_one_batch_when_settled_then_the_uri_is_settled_once(clock):
    crawl = Crawl(clock, per_host=2)
    crawl.seed(A)
    old = crawl.one("w1")
    crawl.release("w1")
    new = crawl.one("w2")
    crawl.settle(crawl.outcome(old), crawl.outcome(new), crawl.outcome(old), worker="w1")
    assert crawl.store.settled[crawl.key(A)] == 1
    assert crawl.frontier.counts["outcomes_stale"] == 2
    assert crawl.frontier.is_idle


def test_given_a_settled_uri_when_its_outcome_comes_again_then_it_is_stale_and_its_new_links_are_added(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = crawl.one()
    crawl.ok(uri)
    crawl.ok(uri, A + "x")
    assert crawl.frontier.counts["outcomes_stale"] == 1
    assert (crawl.row(A + "x").depth, crawl.one().referrer) == (1, A)


def test_given_a_uri_that_nobody_knows_when_an_outcome_names_it_then_it_is_counted_and_dropped(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = crawl.one()
    other = Crawl(clock)
    other.seed(B)
    other.ok(uri, A + "x")
    assert other.frontier.counts["outcomes_unknown"] == 1
    assert other.frontier.books.discovered == 1


def test_given_an_outcome_of_an_earlier_master_when_it_comes_then_it_settles_by_its_key(clock, kept):
    crawl = Crawl(clock, store=kept())
    crawl.seed(A, A + "b")
    old = crawl.one()
    crawl.restart(kept)
    assert crawl.frontier.epoch == 2
    new = crawl.one()
    assert (new.url, epoch_of(new.lease)) == (A, 2)
    crawl.ok(old)
    assert crawl.state(A) is UriState.DONE
    crawl.ok(new)
    assert crawl.frontier.counts["outcomes_stale"] == 1
    assert crawl.drain() == [A + "b"]


def test_given_an_uncommitted_uri_when_a_late_outcome_names_it_then_it_settles_in_the_same_transaction(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.store.failures = 1
    uri = crawl.one()
    link = A + "x"
    made_up = crawl.outcome(uri, link)
    crawl.frontier.settle("w", [made_up])
    late = crawl.outcome(type(uri)(lease=1 << 60, key=crawl.key(link), url=link))
    crawl.frontier.settle("w", [late])
    with pytest.raises(StoreError):
        crawl.frontier.commit()
    crawl.commit()
    assert crawl.state(link) is UriState.DONE
    assert crawl.frontier.is_idle


# -- transactions


def test_given_a_store_that_fails_when_committing_then_all_stays_staged_until_it_works_again(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = crawl.one()
    crawl.store.failures = 3
    crawl.frontier.settle("w", [crawl.outcome(uri, A + "x")])
    crawl.frontier.note_position("w", 1)
    for _ in range(3):
        with pytest.raises(StoreError, match="no space"):
            crawl.frontier.commit()
        assert crawl.frontier.has_staged
        assert crawl.state(A) is UriState.QUEUED
        crawl.frontier.maintain()
    crawl.frontier.settle("w", [crawl.outcome(uri)])
    assert crawl.frontier.commit() is True
    audit(crawl.frontier, crawl.store)
    assert crawl.state(A) is UriState.DONE
    assert crawl.state(A + "x") is UriState.QUEUED
    assert crawl.store.meta("worker/w") == b"1"
    assert crawl.frontier.commit() is False, "nothing is left to commit"


def test_given_a_store_that_fails_when_closing_then_it_is_closed_all_the_same(clock, tmp_path):
    crawl = Crawl(clock, store=RocksdbStore.open(tmp_path / "frontier", cache=1 << 20))
    crawl.frontier.add_seeds([A])
    crawl.store.failures = 1
    with pytest.raises(StoreError, match="no space"):
        crawl.frontier.close()
    RocksdbStore.open(tmp_path / "frontier", cache=1 << 20).close()  # it would be locked


def test_given_a_staged_batch_when_the_master_dies_then_nothing_of_it_is_stored(clock, kept):
    crawl = Crawl(clock, store=kept())
    crawl.seed(A)
    uri = crawl.one()
    crawl.frontier.settle("w", [crawl.outcome(uri, A + "x")])
    crawl.frontier.note_position("w", 7)
    crawl.restart(kept)
    assert crawl.state(A) is UriState.QUEUED
    assert crawl.state(A + "x") is None
    assert crawl.frontier.take_positions() == {}
    assert crawl.one().url == A


def test_given_positions_when_masters_follow_each_other_then_they_count_until_they_are_forgotten(clock, kept):
    crawl = Crawl(clock, store=kept())
    crawl.frontier.note_position("old", 3)
    crawl.commit()
    crawl.restart(kept)
    assert crawl.frontier.take_positions() == {"old": 3}
    crawl.frontier.note_position("new", 5)
    crawl.frontier.note_position("gone", 6)
    crawl.frontier.forget_position("gone")
    crawl.commit()
    crawl.restart(kept)
    assert crawl.frontier.take_positions() == {"old": 3, "new": 5}, "a master that died at once has heard nobody"
    crawl.frontier.forget_position("old")
    crawl.commit()
    assert crawl.store.metas("worker/") == {"worker/new": b"5"}


def test_given_work_in_every_state_when_the_master_dies_then_the_next_one_finds_all_of_it(clock, kept):
    crawl = Crawl(clock, store=kept(), mode="any", per_host=2, frontier={"active_queues": 2})
    crawl.seed(A, A + "2", A + "3", B, C, "http://d.example/")
    first, second = crawl.lease(2)
    crawl.ok(first)
    crawl.fail(second, ErrorKind.TRUNCATED)
    before = crawl.frontier.books
    crawl.restart(kept)
    audit(crawl.frontier, crawl.store)
    assert crawl.frontier.books == before
    served = crawl.drain()
    assert len(served) == len(set(served)) == 5
    assert set(crawl.store.settled.values()) == {1}


def test_given_positions_of_workers_when_noted_and_forgotten_then_a_restart_shows_what_is_left(clock, kept):
    crawl = Crawl(clock, store=kept())
    crawl.frontier.note_position("worker:1", 5)
    crawl.frontier.note_position("worker:2", 6)
    crawl.commit()
    crawl.frontier.forget_position("worker:2")
    crawl.commit()
    crawl.restart(kept)
    assert crawl.frontier.take_positions() == {"worker:1": 5}


@pytest.mark.parametrize("changed", [{"canonical": "standard"}, {"assignment": "domain"}])
def test_given_another_identity_policy_when_opened_then_the_store_is_refused(clock, changed):
    crawl = Crawl(clock, canonical="plain")
    crawl.seed(A)
    with pytest.raises(StoreError, match="plain/host"):
        Crawl(clock, store=crawl.store.store, **{"canonical": "plain", **changed})
    Crawl(clock, store=crawl.store.store, canonical="plain")


def test_given_rows_of_another_project_when_crawling_then_they_are_left_alone(clock):
    crawl = Crawl(clock)
    store = crawl.store.store
    foreign = QueuedUri(key=b"\x00\x02" + b"k" * 16, place=b"\x00\x02" + b"\x00" * 6, url=B)
    store.commit(Changes(schedule={(foreign.place, foreign.key): foreign}))
    crawl.restart()
    crawl.frontier.maintain()
    assert crawl.frontier.next_wake() is None
    assert crawl.frontier.is_idle


# -- what comes from elsewhere


def test_given_an_outcome_of_another_project_when_settled_then_these_books_do_not_change(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = crawl.one()
    crawl.release("w")
    foreign = msgspec.structs.replace(crawl.outcome(uri), lease=1, key=b"\x00\x07" + uri.key[2:])
    crawl.settle(foreign)
    assert crawl.frontier.counts["outcomes_unknown"] == 1
    assert crawl.frontier.books.done == 0


def test_given_another_workers_outcome_with_a_standing_lease_when_settled_then_the_lease_stands_no_more_for_its_holder(
        clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = crawl.one("w1")
    crawl.ok(uri, worker="w2")
    assert crawl.state(A) is UriState.DONE
    assert crawl.frontier.held_by("w1") == 1, "it keeps its slot until it reports"
    crawl.ok(uri, worker="w1")
    assert crawl.frontier.held_by("w1") == 0
    assert crawl.frontier.counts["outcomes_stale"] == 1


def test_given_a_lease_of_another_frontier_when_it_is_told_then_its_number_is_not_taken_up(clock):
    crawl = Crawl(clock)
    crawl.seed(A, A + "2")
    uri = crawl.one()
    crawl.release("w")
    strange = HeldLease(lease=uri.lease + 1, key=uri.key)
    assert crawl.frontier.adopt("w", [strange]) == 0
    crawl.turn()
    assert crawl.one().lease == uri.lease + 1
