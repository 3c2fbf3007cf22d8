"""The audit of a frontier's rows: it says nothing of a good one, and names every kind of damage."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest
from crawlkit import Crawl, pages

from spyder.contracts import Changes, FrontierStore
from spyder.errors import StoreError
from spyder.frontier.audit import DESCRIBED, ProjectAudit, audit, kept_books
from spyder.model.records import Books, HostRow, QueuedUri, UriRow
from spyder.model.states import ErrorKind, UriState
from spyder.model.url import HOST_BYTES
from spyder.stores.memory import MemoryStore
from spyder.stores.rocksdb import RocksdbStore

A, B, C = "http://a.example/", "http://b.example/", "http://c.example/"
LATER, GONE = "http://b.example/later", "http://b.example/gone"


@pytest.fixture(params=["memory", "rocksdb"])
def store(request, tmp_path):
    opened = MemoryStore() if request.param == "memory" else RocksdbStore.open(tmp_path / "f", cache=1 << 20)
    yield opened
    opened.close()


@pytest.fixture
def crawl(clock, store) -> Crawl:
    """A frontier with URIs in every state: three hosts, of which one waits for its place and one has nothing left."""
    crawl = Crawl(clock, store=store, mode="any", frontier={"active_queues": 2}, politeness={"backoff": 0.0})
    crawl.seed(*pages("a.example", range(5)), B, C)
    for uri in crawl.lease(2):
        crawl.ok(uri, LATER, GONE) if uri.url == B else crawl.ok(uri)
    for url, kind in ((LATER, ErrorKind.HTTP_5XX), (GONE, ErrorKind.HTTP_4XX)):
        while crawl.state(url) is UriState.QUEUED:
            for uri in crawl.lease(1):
                crawl.fail(uri, kind) if uri.url == url else crawl.ok(uri)
            crawl.turn()
    states = {crawl.state(url) for url in (*pages("a.example", range(5)), B, C, LATER, GONE)}
    assert states == {UriState.QUEUED, UriState.SCHEDULED, UriState.DONE, UriState.FAILED}
    return crawl


def one(store: FrontierStore) -> ProjectAudit:
    [found] = audit(store)
    return found


def queued_row(crawl: Crawl, url: str) -> QueuedUri:
    row = crawl.row(url)
    assert row is not None
    queued = crawl.store.queued_row(crawl.key(url), row)
    assert queued is not None
    return queued


def waiting_url(crawl: Crawl) -> str:
    """The last page of the first host: it waits in a queue."""
    assert crawl.state(A + "4") is UriState.QUEUED
    return A + "4"


# -- a good frontier


def test_given_a_frontier_in_every_state_when_audited_then_its_books_are_the_rows_and_nothing_is_wrong(crawl):
    found = one(crawl.store)
    assert (found.project, found.problems, found.described, found.differences()) == ("default", 0, [], [])
    assert found.is_good
    assert found.counted == found.kept == crawl.frontier.books
    assert found.counted.discovered == 9
    assert found.hosts == 3


def test_given_a_crawl_when_it_is_audited_after_every_commit_then_nothing_is_ever_wrong(clock, store):
    crawl = Crawl(clock, store=store, mode="any", per_host=2, delay=1.0,
                  frontier={"active_queues": 2, "queue_budget": 3})
    crawl.seed(A, B, C)
    crawl.store.store = checked = _Checked(store)
    crawl.drain(lambda uri: crawl.outcome(uri, *(f"{uri.url}{n}" for n in range(3)) if uri.depth < 2 else ()))
    assert checked.audits > 30
    assert one(store).counted.done == 39


class _Checked:
    """A store that is audited after every commit."""

    def __init__(self, store: FrontierStore) -> None:
        self._store = store
        self.audits = 0

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    def commit(self, changes: Changes) -> None:
        self._store.commit(changes)
        self.audits += 1
        assert [found for found in audit(self._store) if not found.is_good] == []


def test_given_two_projects_in_a_store_when_audited_then_each_has_its_own_books(clock, store):
    first = Crawl(clock, store=store)
    first.seed(A, A + "2")
    store.commit(Changes(meta={"project/second": b"2", "books/2": msgspec.msgpack.encode(Books(discovered=1, done=1))}))

    default, second = audit(store)

    assert (default.project, default.is_good, default.counted.queued) == ("default", True, 2)
    assert (second.project, second.is_good, second.hosts) == ("second", False, 0)
    assert second.differences() == ["the books say 1 discovered, the rows 0", "the books say 1 done, the rows 0"]
    assert kept_books(store) == {"default": default.kept, "second": second.kept}


def test_given_an_empty_store_when_audited_then_there_is_nothing_to_say(store):
    assert audit(store) == []
    assert kept_books(store) == {}


# -- damage


class Damage(NamedTuple):
    """A kind of damage, and what the audit must say of it."""

    name: str
    make: Callable[[Crawl], Changes]
    words: str  #: in a problem, or in a difference: a regular expression


def _books(**changed: int) -> Callable[[Crawl], Changes]:
    def make(crawl: Crawl) -> Changes:
        books = {name: getattr(crawl.frontier.books, name) + changed.get(name, 0) for name in Books.__struct_fields__}
        return Changes(meta={"books/1": msgspec.msgpack.encode(Books(**books))})
    return make


def _host(**changed: object) -> Callable[[Crawl], Changes]:
    def make(crawl: Crawl) -> Changes:
        row = crawl.host(A)
        for name, value in changed.items():
            setattr(row, name, getattr(row, name) + value if isinstance(value, int) else value)
        return Changes(hosts={row.key: row})
    return make


def _moved(crawl: Crawl, url: str, **changed: object) -> Changes:
    """The URI's row says something else."""
    row = crawl.row(url)
    return Changes(uris={crawl.key(url): msgspec.structs.replace(row, **changed)})


def _lost(url: str) -> Callable[[Crawl], Changes]:
    """The URI's row is gone, as by a broken disk: no transaction does that."""
    def make(crawl: Crawl) -> Changes:
        del crawl.store.store._uris[crawl.key(url)]
        return Changes()
    return make


def _lost_host(crawl: Crawl) -> Changes:
    del crawl.store.store._hosts[crawl.host(A).key]
    return Changes()


def _dequeued(crawl: Crawl) -> Changes:
    uri = queued_row(crawl, waiting_url(crawl))
    return Changes(dequeue={(uri.key[:HOST_BYTES], uri.place)})


def _queued_twice(crawl: Crawl) -> Changes:
    uri = queued_row(crawl, waiting_url(crawl))
    again = msgspec.structs.replace(uri, place=uri.place[:1] + bytes(7))
    return Changes(enqueue={(uri.key[:HOST_BYTES], again.place): again})


def _orphan_in_queue(crawl: Crawl) -> Changes:
    key, place = crawl.key(A + "unknown"), b"\x7f" + bytes(7)
    uri = QueuedUri(key=key, place=place, url=A + "unknown")
    return Changes(enqueue={(key[:HOST_BYTES], place): uri})


def _queue_of_nobody(crawl: Crawl) -> Changes:
    key, place = crawl.key("http://nobody.example/"), b"\x7f" + bytes(7)
    return Changes(enqueue={(key[:HOST_BYTES], place): QueuedUri(key=key, place=place, url="http://nobody.example/")})


def _another_in_place(crawl: Crawl) -> Changes:
    uri = queued_row(crawl, waiting_url(crawl))
    other = msgspec.structs.replace(uri, key=crawl.key(A + "other"), url=A + "other")
    return Changes(enqueue={(uri.key[:HOST_BYTES], uri.place): other})


def _unscheduled(crawl: Crawl) -> Changes:
    uri = queued_row(crawl, LATER)
    return Changes(unschedule={(uri.place, uri.key)})


def _due_twice(crawl: Crawl) -> Changes:
    uri = queued_row(crawl, LATER)
    again = msgspec.structs.replace(uri, place=uri.place[:2] + b"\xf0" * 6)
    return Changes(schedule={(again.place, again.key): again})


def _orphan_due(crawl: Crawl) -> Changes:
    uri = QueuedUri(key=crawl.key(C + "unknown"), place=b"\0\1" + b"\xf0" * 6, url=C + "unknown")
    return Changes(schedule={(uri.place, uri.key): uri})


def _not_in_index(crawl: Crawl) -> Changes:
    return Changes(unwait={crawl.host(A).waiting})


def _twice_in_index(crawl: Crawl) -> Changes:
    row = crawl.host(A)
    return Changes(wait={b"\0\1\1" + b"\0" * 6 + row.key[2:]: row.key})


def _index_of_another(crawl: Crawl) -> Changes:
    return Changes(wait={crawl.host(A).waiting: crawl.host(B).key})


def _index_of_nobody(crawl: Crawl) -> Changes:
    key = crawl.key("http://nobody.example/")[:HOST_BYTES]
    return Changes(wait={b"\0\1\1" + b"\0" * 6 + key[2:]: key})


def _uri_of_no_host(crawl: Crawl) -> Changes:
    return Changes(uris={crawl.key("http://nobody.example/"): UriRow(state=UriState.DONE, url="http://nobody.example/")})


def _row_of_no_project(crawl: Crawl) -> Changes:
    return Changes(hosts={b"\0\7" + b"k" * 8: HostRow(key=b"\0\7" + b"k" * 8, name="seven.example")})


DAMAGES = [
    Damage("a settled row is lost: a new one in its place", lambda crawl: _moved(crawl, B, state=UriState.FAILED),
           "the books say 1 failed, the rows 2"),
    Damage("a row appears", lambda crawl: Changes(uris={
        crawl.key(B + "new"): UriRow(state=UriState.EXCLUDED, url=B + "new")}), "the books say 0 excluded, the rows 1"),
    *(Damage(f"{name} off by one", _books(**{name: -1}), f" {name}, the rows ") for name in Books.__struct_fields__),
    Damage("balanced and wrong", _books(queued=1, done=-1), " queued, the rows "),
    Damage("done URI lost", _lost(B), r"the books say \d done, the rows \d"),
    Damage("failed URI lost", _lost(GONE), "b.example: its row says 2 settled, the rows of its URIs 1"),
    Damage("queued URI lost", _lost(A + "4"), "the queue holds http://a.example/4, which has no row of its own"),
    Damage("scheduled URI lost", _lost(LATER), "the due rows hold http://b.example/later, which has no row of its own"),
    Damage("host lost", _lost_host, "host 0001[0-9a-f]{16} has 5 URIs, . in its queue, and no row of its own"),
    Damage("host lost: index", _lost_host, "the index of hosts with work names host 0001[0-9a-f]{16}, which has no"),
    Damage("queue row deleted", _dequeued, "is queued, and its place in the queue is empty"),
    Damage("queue row deleted: count of the host", _dequeued, r"a.example: its row says \d queued, its queue holds \d"),
    Damage("queued twice", _queued_twice, "a.example: the queue holds http://a.example/4 at a second place"),
    Damage("queue row without a URI", _orphan_in_queue, "the queue holds http://a.example/unknown, which has no row"),
    Damage("queue without a host", _queue_of_nobody, "1 in its queue, and no row of its own"),
    Damage("another URI in its place", _another_in_place, "its place in the queue holds http://a.example/other"),
    Damage("URI says that it waits elsewhere", lambda crawl: _moved(crawl, waiting_url(crawl), place=b"elsewhere"),
           "the queue holds http://a.example/4 at a second place"),
    Damage("settled URI in a queue", lambda crawl: _moved(crawl, waiting_url(crawl), state=UriState.DONE, place=b""),
           "the queue holds http://a.example/4, which is done"),
    Damage("settled again", lambda crawl: _moved(crawl, waiting_url(crawl), state=UriState.DONE, place=b""),
           r"a.example: its row says \d settled, the rows of its URIs \d"),
    Damage("due row deleted", _unscheduled, "is scheduled, and no due row says when"),
    Damage("due twice", _due_twice, "the due rows hold http://b.example/later at a second place"),
    Damage("due row without a URI", _orphan_due, "the due rows hold http://c.example/unknown, which has no row"),
    Damage("settled URI is due", lambda crawl: _moved(crawl, LATER, state=UriState.FAILED, place=b""),
           "the due rows hold http://b.example/later, which is failed"),
    Damage("host's queued off by one", _host(queued=1), r"a.example: its row says \d queued, its queue holds \d"),
    Damage("host's settled off by one", _host(settled=-1),
           r"a.example: its row says \d settled, the rows of its URIs \d"),
    Damage("host does not know its place in the index", _host(waiting=b""),
           r"a.example: it has \d queued URIs and does not stand in the index of hosts with work"),
    Damage("host is named where it does not know", _host(waiting=b""),
           "a.example: the index of hosts with work names it at a place that its row does not know"),
    Damage("host missing in the index", _not_in_index, "a.example: its row says that it stands in the index"),
    Damage("host twice in the index", _twice_in_index, "a.example: the index of hosts with work names it at a place"),
    Damage("another host in its place", _index_of_another, "its place in the index of hosts with work is another"),
    Damage("a host without a row in the index", _index_of_nobody, "which has no row"),
    Damage("URI without a host", _uri_of_no_host, "has 1 URIs, 0 in its queue, and no row of its own"),
    Damage("order goes back", lambda crawl: Changes(meta={"order/1": b"2"}), "a later URI would take that place"),
    Damage("a project without a name", _row_of_no_project, "a project with the number 7, which has no name"),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_given_a_good_frontier_when_it_is_damaged_then_the_audit_names_what_is_wrong(crawl, damage):
    assert one(crawl.store).is_good
    crawl.store.store.commit(damage.make(crawl))

    found = audit(crawl.store)

    assert not all(project.is_good for project in found)
    said = [line for project in found for line in (*project.differences(), *project.described)]
    assert any(re.search(damage.words, line) for line in said), said
    assert all("don't match" not in line for line in said), "what differs is named"


def test_given_books_that_contradict_themselves_when_audited_then_that_is_a_difference(crawl):
    crawl.store.store.commit(_books(queued=1)(crawl))
    found = one(crawl.store)
    assert not found.kept.is_balanced
    assert found.differences() == [f"the books say {found.kept.queued} queued, the rows {found.counted.queued}"]


def test_given_damage_everywhere_when_audited_then_all_is_counted_and_the_first_problems_are_described(clock, store):
    crawl = Crawl(clock, store=store)
    crawl.seed(*pages("a.example", range(100)))
    for number in range(100):
        uri = queued_row(crawl, f"{A}{number}")
        store.commit(Changes(dequeue={(uri.key[:HOST_BYTES], uri.place)}))

    found = one(store)

    assert found.problems == 101  # each URI, and the host's count
    assert len(found.described) == DESCRIBED
    assert found.differences() == [], "the rows of the URIs are all there"


def test_given_books_that_are_none_when_audited_then_that_is_an_error(crawl):
    crawl.store.store.commit(Changes(meta={"books/1": b"\xc1"}))

    with pytest.raises(StoreError, match="the books of project number 1 can't be read"):
        audit(crawl.store)


def test_given_a_row_that_can_not_be_read_when_audited_then_that_is_an_error(clock, tmp_path):
    store = RocksdbStore.open(tmp_path, cache=1 << 20)
    Crawl(clock, store=store).seed(A)
    store._queues.put(b"\0\1" + b"x" * 16, b"12345678\xc1")

    with pytest.raises(StoreError, match="can't be read"):
        audit(store)
    store.close()
