"""URIs that are brought back: their states, the books, and what a request means."""

from __future__ import annotations

import msgspec
import pytest
from crawlkit import Crawl, audit, pages, urls

from spyder.contracts import Changes
from spyder.errors import SpyderError
from spyder.frontier import requeue
from spyder.frontier.audit import audit as full_audit
from spyder.frontier.requeue import RequeueReport, Requeuing
from spyder.model.records import Books, Failure
from spyder.model.states import ErrorKind, UriState
from spyder.stores.memory import MemoryStore
from spyder.stores.rocksdb import RocksdbStore

FAILURE = Failure(kind=ErrorKind.HTTP_5XX)
A, B = "http://a.example/", "http://b.example/"


@pytest.fixture(params=["memory", "rocksdb"])
def store(request, tmp_path):
    opened = MemoryStore() if request.param == "memory" else RocksdbStore.open(tmp_path / "f", cache=1 << 20)
    yield opened
    opened.close()


def settle_as(crawl: Crawl, url: str, state: UriState, reason: str = "") -> None:
    """Make a queued URI what no outcome makes it yet, as a master would have stored it: in row, host and books."""
    while crawl.state(url) is UriState.QUEUED:
        for uri in crawl.lease(1):
            crawl.ok(uri)
    row, host = crawl.row(url), crawl.host(url)
    books = msgspec.structs.replace(crawl.frontier.books)
    books.done -= 1
    name = state.name.lower()
    setattr(books, name, getattr(books, name) + 1)
    if state is UriState.FAILED:
        host.failed += 1
    crawl.store.store.commit(Changes(
        uris={crawl.key(url): msgspec.structs.replace(row, state=state, reason=reason, attempt=2, strikes=3)},
        hosts={host.key: host}, meta={"books/1": msgspec.msgpack.encode(books)}))
    crawl.restart()
    crawl.commit()


def ask(crawl: Crawl, **request) -> RequeueReport:
    """Work a request off as a master does; the rows are audited after every commit."""
    work = Requeuing(crawl.frontier, **request)
    crawl.store.requeued = {key for key, row in crawl.store.iterate() if row.state.is_settled}
    goes_on = True
    while goes_on:
        goes_on = work.step()
        crawl.commit()
    assert [found.described or found.differences() for found in full_audit(crawl.store) if not found.is_good] == []
    return work.report


# -- one URI


@pytest.mark.parametrize("state", [UriState.DONE, UriState.FAILED, UriState.EXCLUDED, UriState.QUARANTINED])
def test_given_a_settled_uri_when_requeued_then_it_is_as_if_never_tried_and_the_books_balance(clock, store, state):
    crawl = Crawl(clock, store=store)
    crawl.seed(A)
    crawl.ok(crawl.one(), A + "1", A + "2")
    settle_as(crawl, A + "1", state, "why")
    before = msgspec.structs.replace(crawl.frontier.books)
    settled, failed = crawl.host(A).settled, crawl.host(A).failed
    crawl.store.requeued.add(crawl.key(A + "1"))

    assert crawl.frontier.requeue(crawl.key(A + "1"))
    assert not crawl.frontier.requeue(crawl.key(A + "1")), "once"
    crawl.commit()

    row = crawl.row(A + "1")
    assert (row.state, row.attempt, row.strikes, row.url, row.depth) == (UriState.QUEUED, 0, 0, "", 1)
    waiting = crawl.store.queued_row(crawl.key(A + "1"), row)
    assert (waiting.url, waiting.attempt, waiting.strikes) == (A + "1", 0, 0)
    assert (waiting.referrer, waiting.is_seed) == (A, False)
    books = crawl.frontier.books
    assert (books.discovered, books.queued) == (before.discovered, before.queued + 1)
    assert books.settled == before.settled - 1
    name = state.name.lower()
    assert getattr(books, name) == getattr(before, name) - 1
    assert (crawl.host(A).settled, crawl.host(A).failed) == (settled - 1, failed - (state is UriState.FAILED))
    assert crawl.frontier.counts["requeued"] == 1
    assert A + "1" in crawl.drain()
    assert crawl.state(A + "1") is UriState.DONE
    assert crawl.frontier.books == Books(discovered=3, done=3)


def test_given_a_uri_that_waits_or_is_unknown_when_requeued_then_nothing_is_staged(clock, store):
    crawl = Crawl(clock, store=store)
    crawl.seed(A)
    uri = crawl.one()
    assert not crawl.frontier.requeue(uri.key), "leased"
    crawl.fail(uri, ErrorKind.HTTP_5XX)
    assert crawl.state(A) is UriState.SCHEDULED
    assert not crawl.frontier.requeue(uri.key)
    assert not crawl.frontier.requeue(crawl.key(B))
    assert not crawl.frontier.has_staged


def test_given_a_failed_uri_when_requeued_then_it_has_all_its_retries_again(clock, store):
    crawl = Crawl(clock, store=store, retry={"attempts": {"http-5xx": 2}}, politeness={"backoff": 0.0})
    crawl.seed(A)
    assert crawl.drain(lambda uri: crawl.outcome(uri, failure=FAILURE)) == [A] * 3
    assert crawl.state(A) is UriState.FAILED

    assert ask(crawl, urls=[A]).requeued == 1

    assert crawl.drain(lambda uri: crawl.outcome(uri, failure=FAILURE)) == [A] * 3
    assert crawl.state(A) is UriState.FAILED


def test_given_a_seed_when_requeued_then_it_still_widens_the_scope_by_where_it_redirects_to(clock, store):
    crawl = Crawl(clock, store=store, retry={"attempts": {}})
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.TRUNCATED)

    ask(crawl, urls=[A])
    uri = crawl.one()
    assert uri.is_seed
    crawl.redirect(uri, B)

    assert crawl.state(B) is UriState.QUEUED


def test_given_a_finished_crawl_when_a_uri_is_requeued_and_the_master_restarts_then_it_is_fetched(clock, store):
    crawl = Crawl(clock, store=store, retry={"attempts": {}})
    crawl.seed(A, B)
    crawl.drain(lambda uri: crawl.outcome(uri, failure=FAILURE) if uri.url == B else crawl.outcome(uri))
    assert crawl.frontier.is_idle

    ask(crawl, urls=[B])
    crawl.restart()

    audit(crawl.frontier, crawl.store)
    assert crawl.drain() == [B]


def test_given_a_host_in_its_rest_when_one_of_its_uris_is_requeued_then_it_rests_on(clock, store):
    crawl = Crawl(clock, store=store, retry={"attempts": {}}, politeness={"backoff": 100.0})
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.TIMEOUT)

    ask(crawl, urls=[A])

    assert crawl.lease() == []
    clock.advance(100)
    assert urls(crawl.lease()) == [A]


# -- requests


@pytest.fixture
def mixed(clock, store) -> Crawl:
    """Two hosts with URIs in all settled states."""
    crawl = Crawl(clock, store=store, mode="any")
    crawl.seed(*pages("a.example", range(5)), *pages("b.example", range(3)))
    for url, state, reason in (
            (A + "1", UriState.FAILED, "http-5xx"), (A + "2", UriState.FAILED, "http-4xx"),
            (A + "3", UriState.QUARANTINED, "worker-died: killed by signal 9"), (A + "4", UriState.EXCLUDED, "robots"),
            (B + "1", UriState.QUARANTINED, "worker-died: hung"), (B + "2", UriState.FAILED, "http-5xx")):
        settle_as(crawl, url, state, reason)
    crawl.drain()
    return crawl


def queued(crawl: Crawl) -> set[str]:
    return {uri.url for uri in crawl.store.iterate_queue()}


@pytest.mark.parametrize(("request_", "expected"), [
    ({}, {A + "3", B + "1"}),
    ({"states": ["quarantined"]}, {A + "3", B + "1"}),
    ({"states": ["failed"]}, {A + "1", A + "2", B + "2"}),
    ({"states": ["failed", "excluded"]}, {A + "1", A + "2", B + "2", A + "4"}),
    ({"host": "b.example"}, {B + "1"}),
    ({"host": "A.example", "states": ["failed"]}, {A + "1", A + "2"}),
    ({"states": ["failed"], "reason": "http-5xx"}, {A + "1", B + "2"}),
    ({"reason": "signal 9"}, {A + "3"}),
    ({"reason": "nothing like it"}, set()),
    ({"states": ["failed"], "reason": "http-5xx", "host": "b.example"}, {B + "2"}),
    ({"urls": [A + "1", A + "3", A + "4"]}, {A + "1", A + "3", A + "4"}),
    ({"urls": ["a.example/1#part", B + "2"], "states": ["failed"]}, {A + "1", B + "2"}),
    ({"urls": [A + "1", B + "2"], "host": "b.example"}, {B + "2"}),
], ids=str)
def test_given_a_request_when_worked_off_then_exactly_those_that_it_means_are_queued(mixed, request_, expected):
    report = ask(mixed, **request_)
    assert queued(mixed) == expected
    assert report.requeued == len(expected)
    assert report.unknown == []
    assert sorted(mixed.drain()) == sorted(expected)


def test_given_urls_that_can_not_be_requeued_when_asked_then_each_is_named_with_the_reason(mixed):
    mixed.seed(A + "new")

    report = ask(mixed, urls=[A + "nobody", "ftp://x/", A + "0", A + "new", A + "1", A + "1"], states=["failed"])

    assert report.requeued == 1
    assert report.unknown == [A + "nobody"]
    assert report.refused == [
        "'ftp://x/' can't be crawled: expected an http:// or https:// URL",
        f"{A}0 is done, and that was not asked for",
        f"{A}new is queued: it will be fetched anyway",
        f"{A}1 is queued: it will be fetched anyway"]


@pytest.mark.parametrize(("request_", "words"), [
    ({"host": "c.example"}, "the frontier knows no host `c.example`"),
    ({"states": ["done"]}, "nothing is requeued that is `done`: known are quarantined, failed, excluded"),
])
def test_given_a_request_that_makes_no_sense_when_taken_then_it_is_refused_and_nothing_is_staged(
        mixed, request_, words):
    with pytest.raises(SpyderError, match=words):
        Requeuing(mixed.frontier, **request_)
    assert not mixed.frontier.has_staged


def test_given_more_than_fits_a_transaction_when_worked_off_then_each_step_is_bounded(clock, store, monkeypatch):
    monkeypatch.setattr(requeue, "_BATCH", 7)
    monkeypatch.setattr(requeue, "_LOOKED_AT", 20)
    crawl = Crawl(clock, store=store, mode="any", retry={"attempts": {}}, politeness={"backoff": 0.0})
    crawl.seed(*pages("a.example", range(100)), *pages("b.example", range(50)))
    crawl.drain(lambda uri: crawl.outcome(uri, **({"failure": FAILURE} if A in uri.url else {})))
    crawl.store.requeued = {key for key, _ in crawl.store.iterate()}
    work = Requeuing(crawl.frontier, states=["failed"])
    before, steps, done = 0, 1, []
    while work.step():
        crawl.commit()
        assert work.report.requeued - before <= 7
        before, steps = work.report.requeued, steps + 1
        done.extend(uri.url for uri in crawl.lease(2))  # the crawl goes on between the steps
    crawl.commit()
    assert work.report.requeued == 100
    assert steps >= 100 / 7
    assert done, "what is requeued is leased while the rest is looked for"


def test_given_rows_of_another_project_when_requeued_then_they_are_left_alone(clock, store):
    crawl = Crawl(clock, store=store, retry={"attempts": {}})
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.TRUNCATED)
    row = crawl.row(A)
    other = b"\0\2" + crawl.key(A)[2:]
    store.commit(Changes(uris={other: row}))
    work = Requeuing(crawl.frontier, states=["failed"])
    crawl.store.requeued.add(crawl.key(A))

    assert work.step() is False
    crawl.frontier.commit()

    assert work.report.requeued == 1
    assert store.uris([other]) == [row]
