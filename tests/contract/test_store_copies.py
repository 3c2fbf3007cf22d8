"""Copies of a store: a checkpoint of a running one, and what a store goes on from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spyder.contracts import Changes
from spyder.errors import StoreError, StoreInUseError
from spyder.model.records import HostRow, QueuedUri, UriRow
from spyder.model.states import UriState
from spyder.stores.memory import MemoryStore
from spyder.stores.rocksdb import RocksdbStore

CACHE = 1 << 20  #: bytes
HOST = b"\x00\x01hosthost"


def rows(first: int, last: int) -> Changes:
    """URIs with a queue row each, and what else a transaction holds."""
    changes = Changes(hosts={HOST: HostRow(key=HOST, name="a.example", queued=last)}, wait={b"w": HOST},
                      meta={"last": b"%d" % last})
    for number in range(first, last + 1):
        place = number.to_bytes(8, "big")
        uri = QueuedUri(key=HOST + place, place=place, url=f"https://a.example/{os.urandom(20).hex()}")
        changes.uris[uri.key] = UriRow(state=UriState.QUEUED, place=place)
        changes.enqueue[HOST, place] = uri
        changes.schedule[b"\x00\x01" + place[2:], uri.key] = uri
    return changes


def everything(store: RocksdbStore) -> list[object]:
    return [list(store.iterate()), list(store.iterate_queue()), list(store.iterate_due()),
            list(store.iterate_waiting()), list(store.iterate_hosts()), store.metas("")]


@pytest.fixture
def opened() -> Iterator[Callable[..., RocksdbStore]]:
    """Opens stores that are closed at the end."""
    stores = []

    def opened(directory: Path, **options: bool) -> RocksdbStore:
        stores.append(RocksdbStore.open(directory, cache=CACHE, **options))
        return stores[-1]
    yield opened
    for store in stores:
        store.close()


def test_given_a_store_at_work_when_copied_then_the_copy_has_what_was_committed_and_both_go_on(
        opened: Callable[..., RocksdbStore], tmp_path: Path) -> None:
    store = opened(tmp_path / "one")
    store.commit(rows(1, 50))
    store.commit(rows(51, 80))
    before = everything(store)

    store.checkpoint(tmp_path / "made" / "anew" / "two")
    store.commit(rows(81, 90))

    copy = opened(tmp_path / "made" / "anew" / "two", create=False)
    assert everything(copy) == before
    copy.commit(rows(81, 81))
    assert copy.meta("last") == b"81"
    assert store.meta("last") == b"90"
    assert len(list(store.iterate())) == 90


def test_given_a_copy_when_the_store_rewrites_all_its_tables_then_the_copy_stays_as_it_was(
        opened: Callable[..., RocksdbStore], tmp_path: Path) -> None:
    store = opened(tmp_path / "one")
    store.commit(rows(1, 500))
    store.checkpoint(tmp_path / "two")
    before = everything(store)
    store.commit(Changes(dequeue={(HOST, n.to_bytes(8, "big")) for n in range(1, 501)}))
    store.checkpoint(tmp_path / "three")  # writes what is in memory to tables
    store._database.compact_range(None, None)
    store.close()
    shutil.rmtree(tmp_path / "one")

    assert everything(opened(tmp_path / "two", read_only=True)) == before
    assert list(opened(tmp_path / "three", read_only=True).iterate_queue()) == []


def test_given_an_empty_folder_when_copied_to_then_it_is_taken(
        opened: Callable[..., RocksdbStore], tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    store = opened(tmp_path / "one")
    store.commit(rows(1, 3))

    store.checkpoint(tmp_path / "two")

    assert len(list(opened(tmp_path / "two", read_only=True).iterate())) == 3


@pytest.mark.parametrize(("target", "words"), [
    ("full", "it is not empty: name a new folder"), ("full/file", "it is a file, or in one"),
    ("full/file/in", "it is a file, or in one"), ("/proc/nope", "No such file or directory")])
def test_given_a_folder_that_can_take_no_copy_when_copied_to_then_one_line_says_so_and_nothing_is_changed(
        opened: Callable[..., RocksdbStore], tmp_path: Path, target: str, words: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    store = opened(tmp_path / "one")
    store.commit(rows(1, 3))
    store.checkpoint(tmp_path / "good")

    for copy in (lambda: store.checkpoint(tmp_path / target),
                 lambda: RocksdbStore.restore(tmp_path / "good", tmp_path / target)):
        with pytest.raises(StoreError, match=words) as caught:
            copy()
        assert str(tmp_path / target) in str(caught.value)
        assert "\n" not in str(caught.value)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "good", "one"]
    assert (tmp_path / "full" / "file").read_text() == "mine"
    store.commit(rows(4, 4))


#: Makes a copy under a limit on the size of files, which is what a full disk looks like to a program, then another.
FULL_DISK = """
import resource, sys
from pathlib import Path
from spyder.contracts import Changes
from spyder.errors import StoreError
from spyder.stores.rocksdb import RocksdbStore

folder = Path(sys.argv[1])
store = RocksdbStore.open(folder / "one", cache=1 << 20)
store.commit(Changes(meta={"large": bytes(range(256)) * 2000}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for copy in (lambda: store.checkpoint(folder / "two"), lambda: RocksdbStore.restore(folder / "whole", folder / "two")):
    try:
        copy()
    except StoreError as error:
        print(error)
print(sorted(path.name for path in folder.iterdir()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for attempt in range(3):
    try:
        store.commit(Changes(meta={"later": b"1"}))
        break
    except StoreError as error:
        print("not yet:", error)
store.checkpoint(folder / "two")
store.close()
copy = RocksdbStore.open(folder / "two", cache=1 << 20, create=False)
print(len(copy.meta("large")), copy.meta("later"))
copy.close()
"""


def test_given_a_full_disk_when_copied_then_nothing_is_left_of_it_and_the_store_goes_on(
        opened: Callable[..., RocksdbStore], tmp_path: Path) -> None:
    whole = opened(tmp_path / "whole")
    whole.commit(rows(1, 100))
    whole.close()

    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], text=True, capture_output=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path}/one can't be copied to {tmp_path}/two: IO error")
    assert lines[1].startswith(f"{tmp_path}/whole can't be copied to {tmp_path}/two: File too large")
    assert lines[2] == "['one', 'whole']"
    assert lines[-1] == "512000 b'1'"


def test_given_another_file_system_when_copied_then_the_tables_are_copied(
        opened: Callable[..., RocksdbStore], tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system")
    store = opened(tmp_path / "one")
    store.commit(rows(1, 50))
    with tempfile.TemporaryDirectory(dir=other) as folder:
        store.checkpoint(Path(folder, "two"))
        RocksdbStore.restore(Path(folder, "two"), tmp_path / "three")

        for path in (Path(folder, "two"), tmp_path / "three"):
            copy = opened(path, create=False)
            assert everything(copy) == everything(store)
            copy.close()


def test_given_a_copy_when_a_store_goes_on_from_it_then_the_copy_stays_as_it_is(
        opened: Callable[..., RocksdbStore], tmp_path: Path) -> None:
    store = opened(tmp_path / "one")
    store.commit(rows(1, 50))
    store.checkpoint(tmp_path / "two")

    RocksdbStore.restore(tmp_path / "two", tmp_path / "made" / "three")
    new = opened(tmp_path / "made" / "three", create=False)
    assert everything(new) == everything(store)
    new.commit(rows(51, 60))
    new._database.compact_range(None, None)
    new.close()

    assert everything(opened(tmp_path / "two", read_only=True)) == everything(store)
    assert not (tmp_path / "two" / "LOCK").exists(), "nobody has opened the copy for writing"


def test_given_a_closed_store_with_work_in_its_log_when_restored_then_all_of_it_is_there(
        opened: Callable[..., RocksdbStore], tmp_path: Path) -> None:
    store = opened(tmp_path / "one")
    store.commit(rows(1, 5))
    before = everything(store)
    shutil.copytree(tmp_path / "one", tmp_path / "killed")  # as a killed process leaves it: rows in the log alone
    store.close()

    RocksdbStore.restore(tmp_path / "killed", tmp_path / "two")

    assert everything(opened(tmp_path / "two", create=False)) == before


def test_given_nothing_to_restore_from_when_restored_then_it_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    for source in ("empty", "none"):
        with pytest.raises(StoreError, match=f"{source} holds no frontier: there is nothing of Spyder's in it"):
            RocksdbStore.restore(tmp_path / source, tmp_path / "two")

    assert not (tmp_path / "two").exists()


#: Opens a store for writing and keeps it open.
WRITER = """
import sys
from pathlib import Path
from spyder.stores.rocksdb import RocksdbStore

store = RocksdbStore.open(Path(sys.argv[1]), cache=1 << 20)
print("open", flush=True)
sys.stdin.read()
"""


def test_given_a_store_that_somebody_writes_when_restored_from_then_it_is_refused(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "one")], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"

    with pytest.raises(StoreInUseError, match="one is in use: a master writes it"):
        RocksdbStore.restore(tmp_path / "one", tmp_path / "two")
    assert not (tmp_path / "two").exists()
    process.communicate()
    RocksdbStore.restore(tmp_path / "one", tmp_path / "two")


def test_given_a_closed_store_when_copied_then_that_is_an_error(tmp_path: Path) -> None:
    store = RocksdbStore.open(tmp_path / "one", cache=CACHE)
    store.close()

    with pytest.raises(StoreError, match="it was closed"):
        store.checkpoint(tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_given_a_store_in_memory_when_copied_then_it_says_what_could_be(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"in memory can't be copied .*`frontier.store: rocksdb` can"):
        MemoryStore().checkpoint(tmp_path / "two")
    with pytest.raises(StoreError, match=r"in memory can't go on from .*`frontier.store: rocksdb` can"):
        MemoryStore.restore(tmp_path / "one", tmp_path / "two")
    assert list(tmp_path.iterdir()) == []
