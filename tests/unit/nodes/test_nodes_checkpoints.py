"""Checkpoints: what is copied, what is refused, that nothing half-made stays, and how a crawl begins with one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from unit.frontier.crawlkit import Crawl, pages

from spyder.errors import StoreError
from spyder.frontier.audit import audit
from spyder.model.states import UriState
from spyder.nodes import checkpoints
from spyder.nodes.checkpoints import Checkpoints
from spyder.settings import Settings, load
from spyder.stores.memory import MemoryStore
from spyder.stores.rocksdb import RocksdbStore

A = "http://a.example/"
CACHE = 1 << 20


def settings_for(directory: Path, **overrides: object) -> Settings:
    return load(environ={}, overrides={"output.directory": str(directory), "frontier.canonical": "plain", **overrides})


@pytest.fixture
def store(tmp_path):
    opened = RocksdbStore.open(tmp_path / "crawl" / "frontier", cache=CACHE)
    yield opened
    opened.close()


@pytest.fixture
def crawl(clock, store):
    """Ten URIs, of which three are done and two are leased."""
    crawl = Crawl(clock, store=store, per_host=9)
    crawl.seed(*pages("a.example", range(10)))
    for uri in crawl.lease(3):
        crawl.ok(uri)
    crawl.lease(2)
    return crawl


@pytest.fixture
def maker(crawl, clock, tmp_path):
    return Checkpoints(crawl.frontier, settings_for(tmp_path / "crawl"), master="master:1", clock=clock)


def make(maker: Checkpoints, directory: Path) -> checkpoints.Checkpoint:
    return asyncio.run(maker.make(directory))


def audited(directory: Path):
    """What is in a store, which must be in order."""
    opened = RocksdbStore.open(directory, cache=CACHE, read_only=True)
    try:
        [found] = audit(opened)
    finally:
        opened.close()
    assert found.is_good, (found.differences(), found.described)
    return found.counted


# -- making one


def test_given_a_running_crawl_when_copied_then_the_copy_is_a_crawl_directory_with_its_note(maker, crawl, tmp_path):
    made = make(maker, tmp_path / "copies" / "one")

    note = json.loads((tmp_path / "copies" / "one" / "checkpoint.json").read_text())
    assert note["projects"] == {"default": {"discovered": 10, "queued": 7, "scheduled": 0, "done": 3, "failed": 0,
                                            "excluded": 0, "quarantined": 0}}
    assert (note["master"], note["epoch"], note["project"], note["policy"]) == ("master:1", 1, "default", "plain/host")
    assert note["made_at"] == "2023-11-14T22:13:20.000Z"
    assert note["size"] == made.size > 1000
    assert made.directory == str(tmp_path / "copies" / "one")
    assert audited(tmp_path / "copies" / "one" / "frontier") == crawl.frontier.books
    assert checkpoints.read(tmp_path / "copies" / "one") == made


def test_given_a_copy_when_the_crawl_goes_on_then_the_copy_stays_as_it_was(maker, crawl, tmp_path):
    make(maker, tmp_path / "one")
    crawl.release("w")
    crawl.drain()
    make(maker, tmp_path / "two")

    assert audited(tmp_path / "one" / "frontier").done == 3
    assert audited(tmp_path / "two" / "frontier").done == 10


def test_given_something_staged_when_copied_then_it_is_refused_as_a_mistake_of_the_caller(maker, crawl, tmp_path):
    crawl.frontier.add_seeds([A + "new"])
    with pytest.raises(AssertionError, match="commit first"):
        make(maker, tmp_path / "one")
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize(("target", "words"), [
    ("full", "is not empty: name a new folder"), ("full/file", "it is a file, or in one"),
    ("full/file/in", "it is a file, or in one"), ("/proc/nope/x", "can't take a checkpoint"),
    ("x" * 300, "File name too long")])
def test_given_a_folder_that_can_take_none_when_copied_then_one_line_says_so(maker, tmp_path, target, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")

    with pytest.raises(StoreError, match=words) as caught:
        make(maker, tmp_path / target)

    assert "\n" not in str(caught.value)
    assert (tmp_path / "full" / "file").read_text() == "mine"
    make(maker, tmp_path / "good")


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("breaks", ["store", "note"])
def test_given_a_copy_that_fails_half_way_when_it_ends_then_nothing_of_it_is_left(
        maker, store, tmp_path, monkeypatch, is_there, breaks):
    if is_there:
        (tmp_path / "one").mkdir()

    def fail(*_):
        (tmp_path / "one" / "frontier").mkdir(exist_ok=True)
        raise OSError(28, "No space left on device")
    with monkeypatch.context() as patched:
        patched.setattr(*((store, "checkpoint") if breaks == "store" else (checkpoints, "_write")), fail)
        with pytest.raises(StoreError, match="one: no checkpoint can be written there: No space left on device"):
            make(maker, tmp_path / "one")

    assert (tmp_path / "one").exists() == is_there
    assert list(tmp_path.glob("one/*")) == []
    make(maker, tmp_path / "one")


def test_given_a_store_in_memory_when_copied_then_it_is_refused_in_one_line_and_nothing_is_made(clock, tmp_path):
    crawl = Crawl(clock, store=MemoryStore())
    maker = Checkpoints(crawl.frontier, settings_for(tmp_path / "c", **{"frontier.store": "memory"}), master="m",
                        clock=clock)
    with pytest.raises(StoreError, match="a frontier in memory can't be copied"):
        make(maker, tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        yield Path(folder)


def test_given_another_file_system_when_copied_then_the_crawl_goes_on_meanwhile(
        maker, crawl, store, tmp_path, elsewhere):
    async def both() -> None:
        carrying = asyncio.create_task(maker.make(elsewhere / "one"))
        await asyncio.sleep(0)
        assert (tmp_path / "crawl" / "frontier.checkpoint").exists(), "the copy is made here, and carried over"
        with pytest.raises(StoreError, match="a checkpoint is being made"):
            await maker.make(tmp_path / "second")
        crawl.release("w")
        crawl.drain()
        await carrying
    asyncio.run(both())

    assert audited(elsewhere / "one" / "frontier").done == 3
    assert not (tmp_path / "crawl" / "frontier.checkpoint").exists()
    assert not (tmp_path / "second").exists()


def test_given_a_master_that_ends_in_the_midst_when_copying_elsewhere_then_nothing_is_left(
        maker, store, tmp_path, elsewhere, monkeypatch):
    restore = RocksdbStore.restore

    async def interrupted() -> None:
        loop, has_begun = asyncio.get_running_loop(), asyncio.Event()

        def slow(source: Path, target: Path) -> None:
            loop.call_soon_threadsafe(has_begun.set)
            while source.exists():
                os.sched_yield()
            restore(source, target)
        monkeypatch.setattr(RocksdbStore, "restore", staticmethod(slow))
        carrying = asyncio.create_task(maker.make(elsewhere / "one"))
        await has_begun.wait()
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
    asyncio.run(interrupted())

    assert not (elsewhere / "one").exists()
    assert not (tmp_path / "crawl" / "frontier.checkpoint").exists()


# -- beginning with one


def test_given_a_checkpoint_when_a_crawl_begins_with_it_then_it_has_all_of_it_and_the_checkpoint_stays(
        maker, clock, tmp_path):
    make(maker, tmp_path / "one")
    settings = settings_for(tmp_path / "new")

    checkpoints.check(tmp_path / "one", settings, has_seeds=False)
    checkpoints.begin(tmp_path / "one", settings)

    second = RocksdbStore.open(tmp_path / "new" / "frontier", cache=CACHE, create=False)
    crawl = Crawl(clock, store=second)
    assert crawl.frontier.epoch == 2
    assert sorted(crawl.drain()) == sorted(pages("a.example", range(3, 10)))
    second.close()
    assert audited(tmp_path / "new" / "frontier").done == 10
    assert audited(tmp_path / "one" / "frontier").done == 3
    checkpoints.begin(tmp_path / "one", settings_for(tmp_path / "third"))


def test_given_a_checkpoint_when_it_is_used_as_a_crawl_directory_itself_then_the_crawl_goes_on_in_it(
        maker, clock, tmp_path):
    make(maker, tmp_path / "one")
    store = RocksdbStore.open(settings_for(tmp_path / "one").frontier_directory, cache=CACHE, create=False)
    crawl = Crawl(clock, store=store)
    assert len(crawl.drain()) == 7
    assert crawl.state(A + "9") is UriState.DONE
    store.close()


def test_given_a_crawl_directory_with_a_frontier_when_a_crawl_begins_then_it_is_refused(maker, tmp_path):
    make(maker, tmp_path / "one")
    for settings in (settings_for(tmp_path / "crawl"),
                     settings_for(tmp_path / "c", **{"frontier.directory": str(tmp_path / "crawl" / "frontier")})):
        with pytest.raises(StoreError, match=r"crawl/frontier is there already: .* leave --from out to go on"):
            checkpoints.begin(tmp_path / "one", settings)
    assert audited(tmp_path / "crawl" / "frontier").done == 3


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda one: shutil.rmtree(one), "one holds no checkpoint: there is no such folder"),
    (lambda one: (shutil.rmtree(one), one.write_text("")), "one holds no checkpoint: it is a file"),
    (lambda one: (one / "checkpoint.json").unlink(), "one holds no checkpoint: there is no checkpoint.json in it; "
                                                     "`spyder checkpoint DIR` makes one"),
    (lambda one: (one / "checkpoint.json").write_text("{"), "checkpoint.json is no checkpoint's: "),
    (lambda one: (one / "checkpoint.json").write_text("{}"), "checkpoint.json is no checkpoint's: "),
], ids=["no folder", "a file", "no note", "no JSON", "another note"])
def test_given_no_checkpoint_when_a_crawl_is_to_begin_then_it_is_refused_in_one_line(maker, tmp_path, spoil, words):
    make(maker, tmp_path / "one")
    spoil(tmp_path / "one")
    with pytest.raises(StoreError, match=words) as caught:
        checkpoints.check(tmp_path / "one", settings_for(tmp_path / "new"), has_seeds=True)
    assert "\n" not in str(caught.value)


def test_given_a_checkpoint_without_its_store_when_a_crawl_begins_then_it_is_refused(maker, tmp_path):
    make(maker, tmp_path / "one")
    shutil.rmtree(tmp_path / "one" / "frontier")
    with pytest.raises(StoreError, match="one/frontier holds no frontier"):
        checkpoints.begin(tmp_path / "one", settings_for(tmp_path / "new"))
    assert not (tmp_path / "new" / "frontier").exists()


@pytest.mark.parametrize(("overrides", "has_seeds", "words"), [
    ({"frontier.canonical": "standard"}, True, "was made with frontier.canonical/assignment `plain/host`, the settings "
                                               "say `standard-2/host`: set them as they were"),
    ({"project.name": "news"}, False, "has no URIs of project `news`, only of `default`: set `project.name`, or"),
])
def test_given_other_settings_when_a_crawl_is_to_begin_then_it_says_what_to_do(
        maker, tmp_path, overrides, has_seeds, words):
    make(maker, tmp_path / "one")
    settings = settings_for(tmp_path / "new", **overrides)
    with pytest.raises(StoreError, match=words):
        checkpoints.check(tmp_path / "one", settings, has_seeds=has_seeds)


def test_given_another_project_with_seeds_when_a_crawl_is_to_begin_then_it_may(maker, tmp_path):
    make(maker, tmp_path / "one")
    settings = settings_for(tmp_path / "new", **{"project.name": "news"})
    checkpoints.check(tmp_path / "one", settings, has_seeds=True)


@pytest.mark.parametrize(("one", "overrides"), [
    ("new", {}), ("new/pages", {}), ("new/logs/one", {}), ("new/frontier", {}), ("one", {"frontier.directory": "one"}),
    ("one", {"frontier.directory": "one/frontier"})], ids=str)
def test_given_a_checkpoint_within_what_the_crawl_writes_when_it_is_to_begin_then_it_is_refused(
        maker, tmp_path, one, overrides, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(maker, tmp_path / one)
    with pytest.raises(StoreError, match="is where this crawl would write: name another folder"):
        checkpoints.check(tmp_path / one, settings_for(tmp_path / "new", **overrides), has_seeds=True)
    checkpoints.check(tmp_path / one, settings_for(tmp_path / "elsewhere"), has_seeds=True)
