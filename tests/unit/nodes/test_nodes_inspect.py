"""The check of a frontier's books: what the command prints and returns, and the report that a master leaves."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from unit.frontier.crawlkit import Crawl, pages

from spyder.cli import main
from spyder.contracts import Changes
from spyder.frontier.audit import DESCRIBED
from spyder.model.records import Books
from spyder.model.states import ExitCode
from spyder.model.url import HOST_BYTES
from spyder.nodes.inspect import report_imbalance
from spyder.stores.rocksdb import RocksdbStore

A = "http://a.example/"
NOW = 1_700_000_000.0


@pytest.fixture
def store(tmp_path):
    opened = RocksdbStore.open(tmp_path / "crawl" / "frontier", cache=1 << 20)
    yield opened
    opened.close()


@pytest.fixture
def crawl(clock, store):
    crawl = Crawl(clock, store=store)
    crawl.seed(*pages("a.example", range(40)))
    crawl.ok(crawl.one())
    return crawl


def check(folder: Path, *options: str):
    return CliRunner().invoke(main, ["frontier", "check", str(folder), *options])


def lose_a_place(crawl: Crawl, url: str) -> None:
    row = crawl.row(url)
    crawl.store.store.commit(Changes(dequeue={(crawl.key(url)[:HOST_BYTES], row.place)}))


@pytest.mark.parametrize("folder", ["crawl", "crawl/frontier"])
def test_given_a_good_frontier_when_checked_beside_its_master_then_one_line_says_so(crawl, tmp_path, folder):
    done = check(tmp_path / folder)

    assert done.exit_code == ExitCode.OK
    assert done.stdout == ("default: balanced: 40 discovered = 39 queued + 0 scheduled + 1 done + 0 failed + "
                           "0 excluded + 0 quarantined; 1 hosts\n")
    found = json.loads(check(tmp_path / folder, "--json").stdout)
    assert [(one["project"], one["is_good"], one["counted"]["queued"]) for one in found] == [("default", True, 39)]


def test_given_a_damaged_frontier_when_checked_then_it_says_what_and_ends_with_the_code_for_it(crawl, tmp_path):
    for number in range(1, 31):
        lose_a_place(crawl, f"{A}{number}")
    crawl.store.store.commit(Changes(meta={"books/1": msgspec.msgpack.encode(Books(discovered=41, queued=40, done=1))}))

    done = check(tmp_path / "crawl")

    assert done.exit_code == ExitCode.BOOKS
    first, *lines = done.stdout.splitlines()
    assert first == "default: NOT BALANCED: 2 counts differ, 31 rows contradict others"
    assert lines[:3] == ["  the books say 41 discovered, the rows 40", "  the books say 40 queued, the rows 39",
                         "  a.example: its row says 39 queued, its queue holds 9"]
    assert lines[-1] == f"  ... and {31 - DESCRIBED} more of this kind"
    assert len(lines) == 2 + DESCRIBED + 1
    done = check(tmp_path / "crawl", "--json")
    assert done.exit_code == ExitCode.BOOKS
    [found] = json.loads(done.stdout)
    assert (found["is_good"], found["problems"], found["kept"]["queued"]) == (False, 31, 40)


def test_given_nothing_to_check_when_checked_then_one_line_says_so(tmp_path):
    done = check(tmp_path / "nope")
    assert (done.exit_code, done.stdout) == (ExitCode.ERROR, "")
    assert done.stderr == f"spyder: {tmp_path}/nope holds no frontier: there is no such folder\n"


def test_given_good_books_when_a_master_asks_then_nothing_is_written(crawl, tmp_path):
    assert report_imbalance(crawl.store, tmp_path / "logs", now=NOW, held=crawl.frontier.books) == ""
    assert not (tmp_path / "logs").exists()


def test_given_a_lost_row_when_a_master_asks_then_the_report_has_the_whole_audit(crawl, tmp_path):
    lose_a_place(crawl, A + "7")

    line = report_imbalance(crawl.store, tmp_path / "logs", now=NOW, held=crawl.frontier.books)

    path = tmp_path / "logs" / "books-20231114T221320.000000Z.json"
    assert line == f"the books don't balance: a.example: its row says 39 queued, its queue holds 38; see {path}"
    report = json.loads(path.read_text())
    assert (report["at"], report["held"]["queued"]) == ("2023-11-14T22:13:20.000Z", 39)
    [found] = report["projects"]
    assert found["problems"] == 2
    assert any("its place in the queue is empty" in line for line in found["described"])


def test_given_a_count_that_went_wrong_in_memory_when_a_master_asks_then_that_is_reported_too(crawl, tmp_path):
    held = msgspec.structs.replace(crawl.frontier.books, queued=38)

    line = report_imbalance(crawl.store, tmp_path, now=NOW, held=held)

    assert line.startswith("the books don't balance: the master's count and the store's differ; see ")
    [path] = tmp_path.glob("books-*.json")
    assert json.loads(path.read_text())["held"]["queued"] == 38


def test_given_a_place_where_nothing_can_be_written_when_a_master_asks_then_the_line_still_tells(crawl, tmp_path):
    lose_a_place(crawl, A + "7")
    (tmp_path / "file").write_text("")

    line = report_imbalance(crawl.store, tmp_path / "file", now=NOW)

    assert line.startswith("the books don't balance: a.example: its row says 39 queued, its queue holds 38; the report")


def test_given_a_store_that_can_not_be_read_when_a_master_asks_then_the_line_says_that(crawl, tmp_path):
    crawl.store.store._queues.put(crawl.key(A)[:HOST_BYTES] + b"x" * 8, b"12345678\xc1")

    assert report_imbalance(crawl.store, tmp_path, now=NOW).startswith("the books can't be checked: ")
