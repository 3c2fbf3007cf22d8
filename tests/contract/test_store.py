"""What every frontier store must do, held against each of them; then what one on disk must do beyond that."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spyder.contracts import Changes, FrontierStore
from spyder.errors import StoreError
from spyder.model.records import HostRow, QueuedUri, UriRow
from spyder.model.states import UriState
from spyder.stores.memory import MemoryStore
from spyder.stores.rocksdb import RocksdbStore
from spyder.stores.rows import SCHEMA_VERSION

CACHE = 1 << 20  #: bytes
P1, P2 = b"\x00\x01", b"\x00\x02"
A, B, LAST = P1 + b"aaaaaaaa", P1 + b"aaaaaaab", P1 + b"\xff" * 8  # B is the key right after A


def place(number: int) -> bytes:
    return number.to_bytes(8, "big")


def due_place(project: bytes, milliseconds: int) -> bytes:
    return project + milliseconds.to_bytes(6, "big")


def uri_key(host: bytes, number: int) -> bytes:
    return host + (number * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big")


def queued(host: bytes, number: int, at: bytes | None = None) -> QueuedUri:
    return QueuedUri(key=uri_key(host, number), place=at or place(number), url=f"https://example.org/{number}", depth=1,
                     referrer="https://example.org/")


def enqueue(*uris: QueuedUri) -> Changes:
    return Changes(enqueue={(uri.key[:10], uri.place): uri for uri in uris})


def schedule(*uris: QueuedUri) -> Changes:
    return Changes(schedule={(uri.place, uri.key): uri for uri in uris})


@pytest.fixture(params=[MemoryStore, RocksdbStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrontierStore]:
    opened: FrontierStore = request.param.open(tmp_path / "frontier", cache=CACHE)
    yield opened
    opened.close()


# --- the contract ---------------------------------------------------------------------------------------------------


def test_given_a_new_store_when_it_is_read_then_it_is_empty_but_for_its_schema(store: FrontierStore) -> None:
    assert store.uris([uri_key(A, 1)]) == [None]
    assert store.uris([]) == []
    assert store.hosts([A]) == [None]
    assert store.queue(A, b"", 10) == []
    assert store.due(due_place(P1, 10**12), 10) == []
    assert store.waiting(b"", b"\xff", 10) == []
    assert store.metas("") == {"schema": b"%d" % SCHEMA_VERSION}
    assert store.meta("epoch") is None
    for rows in (store.iterate(), store.iterate_hosts(), store.iterate_queue(), store.iterate_due(),
                 store.iterate_waiting()):
        assert list(rows) == []


def test_given_committed_uris_when_read_then_rows_stand_in_the_order_asked_for(store: FrontierStore) -> None:
    first = UriRow(state=UriState.QUEUED, depth=2, place=place(7))
    second = UriRow(state=UriState.DONE, url="https://example.org/ü", status=200, settled_at=1.5, worker="w")
    one, two, three = (uri_key(A, n) for n in (1, 2, 3))

    store.commit(Changes(uris={one: first, two: second}))

    assert store.uris([three, two, one, two]) == [None, second, first, second]
    assert store.uris((one,)) == [first]


def test_given_a_uri_when_it_is_committed_again_then_the_last_row_counts(store: FrontierStore) -> None:
    key = uri_key(A, 1)
    store.commit(Changes(uris={key: UriRow(state=UriState.QUEUED, place=place(1))}))

    store.commit(Changes(uris={key: UriRow(state=UriState.DONE, status=200)}))

    assert store.uris([key]) == [UriRow(state=UriState.DONE, status=200)]


def test_given_a_queue_when_read_then_rows_come_by_place_after_the_one_named(store: FrontierStore) -> None:
    uris = [queued(A, n) for n in (5, 1, 300, 70_000)]
    store.commit(enqueue(*uris))

    assert [uri.place for uri in store.queue(A, b"", 10)] == [place(n) for n in (1, 5, 300, 70_000)]
    assert store.queue(A, b"", 2) == [uris[1], uris[0]]
    assert store.queue(A, place(5), 10) == [uris[2], uris[3]]
    assert store.queue(A, place(6), 10) == [uris[2], uris[3]]
    assert store.queue(A, place(70_000), 10) == []
    assert store.queue(A, b"", 0) == []


def test_given_neighbouring_hosts_when_a_queue_is_read_then_it_holds_only_its_own(store: FrontierStore) -> None:
    store.commit(enqueue(queued(A, 1), queued(B, 2), queued(LAST, 3), queued(P2 + A[2:], 4)))

    assert store.queue(A, b"", 10) == [queued(A, 1)]
    assert store.queue(B, b"", 10) == [queued(B, 2)]
    assert store.queue(LAST, b"", 10) == [queued(LAST, 3)]
    assert store.queue(P1 + b"aaaaaaac", b"", 10) == []


def test_given_a_queue_when_rows_are_dequeued_then_the_others_stay(store: FrontierStore) -> None:
    store.commit(enqueue(*(queued(A, n) for n in range(1, 6))))

    store.commit(Changes(dequeue={(A, place(1)), (A, place(2)), (A, place(4)), (A, place(99)), (B, place(3))}))

    assert [uri.place for uri in store.queue(A, b"", 10)] == [place(3), place(5)]


def test_given_a_queue_when_all_is_dequeued_and_put_again_then_it_is_there_again(store: FrontierStore) -> None:
    store.commit(enqueue(queued(A, 1)))
    store.commit(Changes(dequeue={(A, place(1))}))
    assert store.queue(A, b"", 10) == []

    store.commit(enqueue(queued(A, 1)))

    assert store.queue(A, b"", 10) == [queued(A, 1)]


def test_given_a_key_in_a_put_and_a_delete_when_committed_then_it_is_put(store: FrontierStore) -> None:
    due = queued(A, 1, due_place(P1, 5))
    changes = Changes(enqueue={(A, place(1)): queued(A, 1)}, dequeue={(A, place(1))},
                      schedule={(due.place, due.key): due}, unschedule={(due.place, due.key)},
                      wait={b"w": A}, unwait={b"w"})

    store.commit(changes)
    store.commit(changes)

    assert store.queue(A, b"", 10) == [queued(A, 1)]
    assert store.due(due_place(P1, 6), 10) == [due]
    assert store.waiting(b"", b"\xff", 10) == [(b"w", A)]


def test_given_scheduled_rows_when_due_is_read_then_only_earlier_ones_of_the_project_come(store: FrontierStore) -> None:
    early, late = queued(A, 1, due_place(P1, 1000)), queued(B, 2, due_place(P1, 2000))
    twin = queued(B, 3, due_place(P1, 1000))
    other, before = queued(P2 + A[2:], 4, due_place(P2, 500)), queued(b"\0\0" + A[2:], 5, due_place(b"\0\0", 500))
    store.commit(schedule(late, early, twin, other, before))

    assert store.due(due_place(P1, 1000), 10) == []
    assert store.due(due_place(P1, 1001), 10) == [early, twin]
    assert store.due(due_place(P1, 10**12), 10) == [early, twin, late]
    assert store.due(due_place(P1, 10**12), 2) == [early, twin]
    assert store.due(due_place(P2, 501), 10) == [other]

    store.commit(Changes(unschedule={(early.place, early.key), (early.place, late.key)}))

    assert store.due(due_place(P1, 10**12), 10) == [twin, late]


def test_given_the_index_of_waiting_hosts_when_a_range_is_read_then_its_stop_is_left_out(store: FrontierStore) -> None:
    store.commit(Changes(wait={b"a1": A, b"a2": B, b"a3": LAST, b"b": A}))

    assert store.waiting(b"a", b"b", 10) == [(b"a1", A), (b"a2", B), (b"a3", LAST)]
    assert store.waiting(b"a2", b"a3", 10) == [(b"a2", B)]
    assert store.waiting(b"a", b"c", 2) == [(b"a1", A), (b"a2", B)]

    store.commit(Changes(unwait={b"a1", b"zz"}, wait={b"a2": LAST}))

    assert store.waiting(b"a", b"c", 10) == [(b"a2", LAST), (b"a3", LAST), (b"b", A)]


def test_given_a_host_row_when_its_owner_changes_it_then_the_store_does_not_see_that(store: FrontierStore) -> None:
    row = HostRow(key=A, name="a.example", queued=3)
    store.commit(Changes(hosts={A: row}))

    row.queued = 4
    [read] = store.hosts([A])
    assert read is not None
    read.queued = 5
    [listed] = store.iterate_hosts()
    listed.queued = 6

    assert store.hosts([B, A]) == [None, HostRow(key=A, name="a.example", queued=3)]


def test_given_small_values_when_read_by_prefix_then_those_come_by_name(store: FrontierStore) -> None:
    store.commit(Changes(meta={"books/1": b"x", "books/2": b"z", "book": b"y", "c/é": b"\x00\xff"}))

    assert store.meta("books/2") == b"z"
    assert store.meta("c/é") == b"\x00\xff"
    assert list(store.metas("books/").items()) == [("books/1", b"x"), ("books/2", b"z")]
    assert list(store.metas("")) == ["book", "books/1", "books/2", "c/é", "schema"]
    assert store.metas("z") == {}


def test_given_an_empty_small_value_when_committed_then_it_removes_the_old_one(store: FrontierStore) -> None:
    store.commit(Changes(meta={"worker/1": b"7", "worker/2": b"8"}))
    store.commit(Changes(meta={"worker/1": b"", "never": b""}))

    assert store.meta("worker/1") is None
    assert store.metas("worker/") == {"worker/2": b"8"}
    assert store.meta("never") is None


def test_given_uris_when_iterated_then_they_come_by_key_after_the_one_named(store: FrontierStore) -> None:
    keys = sorted(uri_key(host, n) for host in (A, B) for n in range(50))
    store.commit(Changes(uris={key: UriRow(state=UriState.QUEUED, depth=n) for n, key in enumerate(keys)}))

    assert [key for key, _ in store.iterate()] == keys
    assert [row.depth for _, row in store.iterate(keys[59])] == list(range(60, 100))
    assert list(store.iterate(keys[-1])) == []


def test_given_hosts_when_iterated_then_they_come_by_key(store: FrontierStore) -> None:
    store.commit(Changes(hosts={key: HostRow(key=key, name=key.hex()) for key in (LAST, B, A)}))

    assert [row.key for row in store.iterate_hosts()] == [A, B, LAST]


def test_given_queues_of_any_host_when_iterated_then_all_rows_come_by_host_and_place(store: FrontierStore) -> None:
    uris = [queued(host, n) for host in (LAST, P2 + A[2:], A, B) for n in (300, 1, 70_000)]
    store.commit(enqueue(*uris))

    assert list(store.iterate_queue()) == sorted(uris, key=lambda uri: (uri.key[:10], uri.place))

    store.commit(Changes(dequeue={(uri.key[:10], uri.place) for uri in uris[1:]}))

    assert list(store.iterate_queue()) == uris[:1]


def test_given_scheduled_rows_of_any_project_when_iterated_then_all_come_by_time_and_key(store: FrontierStore) -> None:
    rows = [queued(host, n, due_place(host[:2], at)) for at in (2000, 7) for host in (P2 + A[2:], B, A) for n in (2, 1)]
    store.commit(schedule(*rows))

    assert list(store.iterate_due()) == sorted(rows, key=lambda uri: (uri.place, uri.key))

    store.commit(Changes(unschedule={(uri.place, uri.key) for uri in rows[1:]}))

    assert list(store.iterate_due()) == rows[:1]


def test_given_the_index_of_waiting_hosts_when_iterated_then_all_entries_come_by_key(store: FrontierStore) -> None:
    store.commit(Changes(wait={b"b": A, b"a": LAST, b"\xff": B, b"a\0": A}))

    assert list(store.iterate_waiting()) == [(b"a", LAST), (b"a\0", A), (b"b", A), (b"\xff", B)]

    store.commit(Changes(unwait={b"a", b"b"}))

    assert list(store.iterate_waiting()) == [(b"a\0", A), (b"\xff", B)]


def test_given_a_uri_when_its_waiting_row_is_asked_for_then_the_state_says_where_it_is(store: FrontierStore) -> None:
    in_queue, in_schedule = queued(A, 1), queued(A, 2, due_place(P1, 5))
    store.commit(Changes(enqueue={(A, in_queue.place): in_queue},
                         schedule={(in_schedule.place, in_schedule.key): in_schedule}))

    def look(uri: QueuedUri, state: UriState) -> QueuedUri | None:
        return store.queued_row(uri.key, UriRow(state=state, place=uri.place))

    assert look(in_queue, UriState.QUEUED) == in_queue
    assert look(in_schedule, UriState.SCHEDULED) == in_schedule
    assert look(in_queue, UriState.SCHEDULED) is None
    assert look(in_schedule, UriState.QUEUED) is None
    assert look(queued(B, 1), UriState.QUEUED) is None
    assert look(in_queue, UriState.DONE) is None


def test_given_no_changes_when_committed_then_nothing_happens(store: FrontierStore) -> None:
    store.commit(Changes())

    assert list(store.iterate()) == []


def test_given_any_work_when_compared_with_sorted_rows_then_a_store_answers_the_same(store: FrontierStore) -> None:
    chance = random.Random(7)
    hosts = [A, B, LAST, P2 + A[2:]]
    queues: dict[tuple[bytes, bytes], QueuedUri] = {}
    dues: dict[tuple[bytes, bytes], QueuedUri] = {}
    uris: dict[bytes, UriRow] = {}
    waits: dict[bytes, bytes] = {}
    for _ in range(120):
        changes = Changes()
        for _ in range(chance.randrange(8)):
            uri = queued(chance.choice(hosts), chance.randrange(40))
            due = queued(uri.key[:10], chance.randrange(40), due_place(uri.key[:2], chance.randrange(20)))
            changes.enqueue[uri.key[:10], uri.place] = uri
            changes.dequeue.add((chance.choice(hosts), place(chance.randrange(40))))
            changes.schedule[due.place, due.key] = due
            changes.uris[uri.key] = UriRow(state=UriState.QUEUED, place=uri.place, attempt=chance.randrange(3))
            changes.wait[bytes([chance.randrange(30)])] = uri.key[:10]
            changes.unwait.add(bytes([chance.randrange(30)]))
            if dues:
                changes.unschedule.add(chance.choice(sorted(dues)))
        for rows, gone, new in ((queues, changes.dequeue, changes.enqueue),
                                (dues, changes.unschedule, changes.schedule), (waits, changes.unwait, changes.wait)):
            for key in gone:
                rows.pop(key, None)
            rows.update(new)
        uris |= changes.uris
        store.commit(changes)

        host, limit = chance.choice(hosts), chance.randrange(12)
        after = chance.choice([b"", place(chance.randrange(40))])
        before, first, last = due_place(host[:2], chance.randrange(22)), bytes([chance.randrange(30)]), b"\x14"
        assert store.queue(host, after, limit) == [
            uri for (owner, at), uri in sorted(queues.items()) if owner == host and at > after][:limit]
        assert store.due(before, limit) == [
            uri for (at, _), uri in sorted(dues.items()) if before[:2] <= at < before][:limit]
        assert store.waiting(first, last, limit) == [
            entry for entry in sorted(waits.items()) if first <= entry[0] < last][:limit]
    assert list(store.iterate()) == sorted(uris.items())


# --- opening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MemoryStore, RocksdbStore])
@pytest.mark.parametrize("options", [{"read_only": True}, {"create": False}])
def test_given_no_store_when_one_should_exist_then_opening_is_refused(
        kind: type[MemoryStore] | type[RocksdbStore], options: dict[str, bool], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no frontier: "):
        kind.open(tmp_path / "none", cache=CACHE, **options)

    assert not (tmp_path / "none").exists()


def test_given_a_folder_without_a_store_when_opened_for_reading_then_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no frontier: there is nothing of Spyder's in it"):
        RocksdbStore.open(tmp_path, cache=CACHE, read_only=True)


def test_given_a_file_where_the_folder_should_be_when_opened_then_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="can't be opened: "):
        RocksdbStore.open(tmp_path / "file", cache=CACHE)


def test_given_a_closed_store_when_opened_again_then_all_is_there(tmp_path: Path) -> None:
    due = queued(A, 2, due_place(P1, 5))
    row = HostRow(key=A, name="a.example", queued=1, waiting=b"w", in_scope=True)
    store = RocksdbStore.open(tmp_path / "a" / "b", cache=CACHE)
    store.commit(Changes(uris={uri_key(A, 1): UriRow(state=UriState.QUEUED, place=place(1))}, hosts={A: row},
                         enqueue={(A, place(1)): queued(A, 1)}, schedule={(due.place, due.key): due}, wait={b"w": A},
                         meta={"epoch": b"3"}))
    store.close()
    store.close()

    store = RocksdbStore.open(tmp_path / "a" / "b", cache=CACHE, create=False)

    assert store.uris([uri_key(A, 1)]) == [UriRow(state=UriState.QUEUED, place=place(1))]
    assert store.hosts([A]) == [row]
    assert store.queue(A, b"", 10) == [queued(A, 1)]
    assert store.due(due_place(P1, 6), 10) == [due]
    assert store.waiting(b"", b"\xff", 10) == [(b"w", A)]
    assert store.meta("epoch") == b"3"
    assert store.size() > 0
    store.close()


def test_given_a_closed_store_when_it_is_read_or_written_then_that_is_an_error(tmp_path: Path) -> None:
    store = RocksdbStore.open(tmp_path, cache=CACHE)
    store.close()

    for call in (lambda: store.meta("x"), lambda: store.uris([b"x"]), lambda: store.queue(A, b"", 1),
                 lambda: store.commit(Changes(meta={"x": b""}))):
        with pytest.raises(StoreError):
            call()


@pytest.mark.parametrize(("version", "age"), [(b"2", "a newer"), (b"0", "an older")])
@pytest.mark.parametrize("read_only", [False, True])
def test_given_a_store_of_another_schema_when_opened_then_both_versions_are_named(
        version: bytes, age: str, read_only: bool, tmp_path: Path) -> None:
    store = RocksdbStore.open(tmp_path, cache=CACHE)
    store.commit(Changes(meta={"schema": version}))
    store.close()

    words = rf"by {age} Spyder \(schema {version.decode()}, this one reads 1\): use that version, or begin anew"
    for _ in range(2):  # a refused store is left as it was, and unlocked
        with pytest.raises(StoreError, match=words):
            RocksdbStore.open(tmp_path, cache=CACHE, read_only=read_only)


def test_given_a_store_without_schema_but_with_rows_when_opened_then_it_is_refused(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(RocksdbStore, "_check_schema", lambda self, **_: None)
        store = RocksdbStore.open(tmp_path / "rows", cache=CACHE)
        store.commit(enqueue(queued(A, 1)))
        store.close()
        RocksdbStore.open(tmp_path / "begun", cache=CACHE).close()

    with pytest.raises(StoreError, match="was not written by Spyder"):
        RocksdbStore.open(tmp_path / "rows", cache=CACHE)
    RocksdbStore.open(tmp_path / "begun", cache=CACHE).close()  # its first process died early: nothing to lose


@pytest.mark.parametrize("read_only", [False, True])
def test_given_a_damaged_manifest_when_opened_then_the_damage_is_named(read_only: bool, tmp_path: Path) -> None:
    RocksdbStore.open(tmp_path, cache=CACHE).close()
    for manifest in tmp_path.glob("MANIFEST-*"):
        manifest.write_bytes(b"\x00garbage" * 20)

    with pytest.raises(StoreError, match=r"is damaged: .*Corruption.* begin anew with --fresh"):
        RocksdbStore.open(tmp_path, cache=CACHE, read_only=read_only)


def test_given_a_damaged_table_when_a_queue_is_read_then_it_is_an_error_and_not_an_end(tmp_path: Path) -> None:
    store = RocksdbStore.open(tmp_path, cache=CACHE)
    store.commit(enqueue(*(QueuedUri(key=uri_key(A, n), place=place(n), url=os.urandom(40).hex())
                           for n in range(5000))))
    store.close()
    table = max(tmp_path.glob("*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(table.read_bytes())
    middle = len(data) // 2
    data[middle:middle + 64] = bytes(64)
    table.write_bytes(data)

    store = RocksdbStore.open(tmp_path, cache=CACHE)
    assert len(store.queue(A, b"", 10)) == 10
    with pytest.raises(StoreError, match="can't be read: Corruption"):
        store.queue(A, b"", 5000)
    with pytest.raises(StoreError, match="can't be read: Corruption"):
        list(store.iterate_queue())
    store.close()


def test_given_an_open_store_when_its_process_opens_it_again_then_it_is_in_use(tmp_path: Path) -> None:
    store = RocksdbStore.open(tmp_path, cache=CACHE)

    with pytest.raises(StoreError, match="is in use: another master writes it"):
        RocksdbStore.open(tmp_path, cache=CACHE)

    store.commit(Changes(meta={"x": b"y"}))
    assert store.meta("x") == b"y"
    store.close()


def test_given_a_row_that_is_no_row_when_read_then_it_is_a_store_error(tmp_path: Path) -> None:
    store = RocksdbStore.open(tmp_path, cache=CACHE)
    store.commit(Changes(wait={b"w": A}))
    store._uris.put(uri_key(A, 1), b"\xc1")
    store._queues.put(A + place(1), b"12345678\xc1")

    with pytest.raises(StoreError, match="can't be read"):
        store.uris([uri_key(A, 1)])
    with pytest.raises(StoreError, match="can't be read"):
        store.queue(A, b"", 1)
    with pytest.raises(StoreError, match="can't be read"):
        list(store.iterate())
    store.close()


def test_given_a_read_only_store_when_committed_then_it_is_refused(tmp_path: Path) -> None:
    RocksdbStore.open(tmp_path, cache=CACHE).close()
    store = RocksdbStore.open(tmp_path, cache=CACHE, read_only=True)

    with pytest.raises(StoreError, match="read only"):
        store.commit(Changes(meta={"x": b"y"}))
    store.close()


# --- with a process beside ------------------------------------------------------------------------------------------

#: Commits numbered batches (a URI, its place in a queue, a number in meta) and prints each number once it is stored.
WRITER = """
import sys
from pathlib import Path
from spyder.contracts import Changes
from spyder.model.records import QueuedUri, UriRow
from spyder.model.states import UriState
from spyder.stores.rocksdb import RocksdbStore

store = RocksdbStore.open(Path(sys.argv[1]), cache=1 << 20)
host, ballast, number = b"\\0\\1hosthost", int(sys.argv[2]), 0
print("open", flush=True)
for _ in sys.stdin if sys.argv[3] == "asked" else iter(int, 1):
    number += 1
    place = number.to_bytes(8, "big")
    uri = QueuedUri(key=host + place, place=place, url="https://example.org/", referrer="x" * 50)
    changes = Changes(uris={uri.key: UriRow(state=UriState.QUEUED, place=place)}, enqueue={(host, place): uri},
                      meta={"number": b"%d" % number})
    for extra in range(ballast):
        changes.uris[place + extra.to_bytes(10, "big")] = UriRow(state=UriState.DONE, url="https://example.org/")
    store.commit(changes)
    print(number, flush=True)
"""
WRITER_HOST = b"\0\1hosthost"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts WRITER on the test's folder and waits until it has opened the store."""
    processes: list[subprocess.Popen[str]] = []

    def start(*, ballast: int = 0, when: str = "at once", script: str = WRITER) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(ballast), when], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def stored_up_to(store: RocksdbStore) -> int:
    """The number of the last commit, after a look that it and all before it are there completely."""
    number = int(store.meta("number") or 0)
    keys = [WRITER_HOST + place(n) for n in range(1, number + 2)]
    assert [row is not None for row in store.uris(keys)] == [True] * number + [False]
    assert [uri.key for uri in store.queue(WRITER_HOST, b"", number + 10)] == keys[:-1]
    return number


@pytest.mark.parametrize("ballast", [0, 2000])
def test_given_a_writer_when_it_is_killed_then_every_commit_it_reported_is_there(
        writer: Callable[..., subprocess.Popen[str]], ballast: int, tmp_path: Path) -> None:
    process = writer(ballast=ballast)
    assert process.stdout is not None
    for _ in range(60):
        process.stdout.readline()

    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()

    reported = max([60, *(int(line) for line in rest.split("\n")[:-1])])
    store = RocksdbStore.open(tmp_path, cache=CACHE, create=False)
    assert reported <= stored_up_to(store) <= reported + 1
    store.commit(Changes(meta={"number": b"0"}))
    store.close()


def test_given_a_process_that_writes_when_another_wants_to_then_it_is_refused(
        writer: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    writer(when="asked")

    with pytest.raises(StoreError, match="is in use: another master writes it"):
        RocksdbStore.open(tmp_path, cache=CACHE)


def test_given_a_process_that_writes_when_another_reads_then_it_sees_each_commit(
        writer: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = writer(when="asked")
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(1, 6):
        process.stdin.write("go\n")
        process.stdin.flush()
        process.stdout.readline()

        store = RocksdbStore.open(tmp_path, cache=CACHE, read_only=True)
        assert stored_up_to(store) == number
        store.close()
    assert len(list(tmp_path.glob("LOG*"))) == 1, "a reader leaves the writer's own files alone"


def test_given_a_busy_writer_when_another_reads_then_it_sees_a_whole_state_no_older_than_its_opening(
        writer: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = writer(ballast=2000)  # so that tables are written and removed all the time
    assert process.stdout is not None
    for _ in range(5):
        for _ in range(60):
            number = int(process.stdout.readline())

        store = RocksdbStore.open(tmp_path, cache=CACHE, read_only=True)
        assert stored_up_to(store) >= number
        store.close()


#: Commits under a limit on the size of files, which is what a full disk looks like to a program.
FULL_DISK = """
import resource, sys
from pathlib import Path
from spyder.contracts import Changes
from spyder.errors import StoreError
from spyder.stores.rocksdb import RocksdbStore

print("open", flush=True)
folder = Path(sys.argv[1])
store = RocksdbStore.open(folder, cache=1 << 20)
store.commit(Changes(meta={"before": b"1"}))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
for changes in (Changes(meta={"whole": b"2", "large": bytes(300_000)}), Changes(meta={"later": b"3"})):
    try:
        store.commit(changes)
        print("stored")
    except StoreError as error:
        print(error)
print(store.meta("before"), store.meta("whole"), store.meta("later"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.commit(Changes(meta={"whole": b"2", "later": b"3"}))
print(store.meta("before"), store.meta("whole"), store.meta("later"))
store.close()
store = RocksdbStore.open(folder, cache=1 << 20)
print(store.meta("before"), store.meta("whole"), store.meta("later"))
store.close()
"""


def test_given_a_full_disk_when_committed_then_the_reason_is_named_and_it_goes_on_once_there_is_room(
        writer: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = writer(script=FULL_DISK)

    output, _ = process.communicate()

    first, second, *rest = output.splitlines()
    assert f"{tmp_path} can't be written: IO error" in first
    assert "File too large" in first
    assert second == first + " (File too large)"
    assert rest == ["b'1' None None", "b'1' b'2' b'3'", "b'1' b'2' b'3'"]


def test_given_a_copy_of_the_files_of_a_running_store_when_opened_then_it_is_a_whole_state(tmp_path: Path) -> None:
    store = RocksdbStore.open(tmp_path / "one", cache=CACHE)
    store.commit(enqueue(queued(A, 1)))

    shutil.copytree(tmp_path / "one", tmp_path / "two")

    copy = RocksdbStore.open(tmp_path / "two", cache=CACHE)
    assert copy.queue(A, b"", 10) == [queued(A, 1)]
    copy.close()
    store.close()


def test_given_a_new_folder_when_opened_then_it_takes_few_threads_and_files(tmp_path: Path) -> None:
    threads = len(os.listdir("/proc/self/task")) if Path("/proc/self/task").exists() else 0
    store = RocksdbStore.open(tmp_path, cache=CACHE)

    assert len(list(tmp_path.glob("LOG*"))) == 1
    if threads:
        assert len(os.listdir("/proc/self/task")) <= threads + 8
    store.close()


def test_given_a_folder_that_somebody_removed_when_its_size_is_asked_then_it_is_none(tmp_path: Path) -> None:
    store = RocksdbStore.open(tmp_path / "frontier", cache=CACHE)
    assert store.size() > 0
    shutil.rmtree(tmp_path / "frontier")

    assert store.size() == 0
    store.close()
