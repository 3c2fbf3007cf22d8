"""The checks after a chaos run find what they are there for: each sees a crawl that is well, and one that is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spyder.model.records import Books
from spyder.nodes.chaos.verdict import books_of, check_fetches, check_logs, check_outputs, check_pages, read_outputs
from spyder.nodes.inspect import HostView, UriView

PAGES = {"http://a/1", "http://a/2", "http://a/3"}


def record(url: str, **fields: object) -> bytes:
    return json.dumps({"url": url, "status": 200, **fields}).encode() + b"\n"


@pytest.fixture
def outputs(tmp_path: Path):
    def write(*rows: bytes, name: str = "pages-host-00000.jsonl"):
        (tmp_path / name).write_bytes(b"".join(rows))
        return read_outputs(tmp_path)

    return write


def test_given_a_record_of_each_page_then_pages_and_outputs_are_good(outputs):
    found = outputs(*(record(url) for url in sorted(PAGES)))
    assert check_pages(PAGES, found).is_met
    assert check_outputs(found).is_met
    assert (found.files, found.records, found.twice) == (1, 3, 0)


def test_given_a_page_twice_then_it_is_counted_and_no_fault(outputs):
    found = outputs(*(record(url) for url in sorted(PAGES)), record("http://a/1"))
    assert check_pages(PAGES, found).is_met and check_outputs(found).is_met
    assert found.twice == 1
    assert "1 of them stand twice" in check_outputs(found).detail


@pytest.mark.parametrize("rows", [
    [record("http://a/1"), record("http://a/2")],  # one is missing
    [*map(record, sorted(PAGES)), record("http://b/1")],  # one is none of the site
    [record("http://a/1"), record("http://a/2"), record("http://a/3", status=500)],  # one has only a failure
    [*map(record, sorted(PAGES)), record("http://a/1", status=0, error="timeout")],  # one failed as well
])
def test_given_other_records_than_the_sites_pages_then_pages_are_wrong(outputs, rows):
    assert not check_pages(PAGES, outputs(*rows)).is_met


@pytest.mark.parametrize("tail", [b'{"url": "http://a/9", "sta', b"\x00\x00\n", record("http://a/9")[:-1]])
def test_given_a_torn_line_then_outputs_are_wrong_and_name_it(outputs, tail):
    found = outputs(record("http://a/1"), tail)
    assert found.unreadable == ("pages-host-00000.jsonl:2",)
    assert not check_outputs(found).is_met


def test_given_no_file_at_all_then_outputs_are_wrong(tmp_path):
    assert not check_outputs(read_outputs(tmp_path)).is_met


def test_given_repeats_within_the_bound_then_fetches_are_good_and_beyond_it_wrong():
    hits = {"http://a/1": 3, "http://a/2": 2, "http://a/3": 1}
    assert check_fetches(hits, PAGES, page_bound=2, total_bound=3).is_met
    assert not check_fetches(hits, PAGES, page_bound=1, total_bound=3).is_met
    assert not check_fetches(hits, PAGES, page_bound=2, total_bound=2).is_met
    assert "2 pages served more than once, 3 times at the most" in check_fetches(
        hits, PAGES, page_bound=2, total_bound=3).detail


def test_given_a_page_that_was_never_served_then_fetches_are_wrong():
    assert not check_fetches({"http://a/1": 1}, PAGES, page_bound=9, total_bound=9).is_met


class View:
    """A frontier of three pages."""

    def __init__(self, books: Books, states: list[str], waiting: int = 0) -> None:
        self._books, self._states, self._waiting = books, states, waiting

    def books(self):
        return {"p": self._books}

    def uris(self):
        return (UriView(url=f"http://a/{number}", state=state, project="p", host="a")
                for number, state in enumerate(self._states))

    def hosts(self):
        return [HostView(project="p", host="a", queued=self._waiting, settled=3, failed=0, next_at="", errors=0,
                         last_error="", is_active=False)]


def test_given_books_that_say_what_the_rows_say_then_they_are_good():
    assert books_of(View(Books(discovered=3, done=3), ["done"] * 3), "p", 3).is_met


@pytest.mark.parametrize("view", [
    View(Books(discovered=3, done=2), ["done"] * 2),  # no balance
    View(Books(discovered=3, done=3), ["done", "done"]),  # a row is lost
    View(Books(discovered=3, done=3), ["done", "done", "queued"]),  # a row says otherwise
    View(Books(discovered=3, done=2, queued=1), ["done", "done", "queued"], 1),  # not at the end
    View(Books(discovered=3, done=3), ["done"] * 3, 1),  # a host still waits for something
    View(Books(discovered=3, done=2, failed=1), ["done", "done", "failed"]),  # one failed
])
def test_given_books_that_are_wrong_then_it_is_found(view):
    assert not books_of(view, "p", 3).is_met


def test_given_logs_with_kills_only_then_they_are_good(tmp_path):
    (tmp_path / "supervisor.log").write_text(
        "x worker worker:h:1.0:ab died: its fetcher was ended by signal 9; a new one starts in 0.5 s\n")
    assert check_logs(tmp_path.glob("*")).is_met


@pytest.mark.parametrize("line", [
    "Traceback (most recent call last):",
    "x worker worker:h:1.0:ab died: its extractor ended with code 1; a new one starts in 0.5 s",
    "x worker worker:h:1.0:ab died: its fetcher was ended by signal 11; a new one starts in 0.5 s",
])
def test_given_a_traceback_or_a_worker_that_died_by_itself_then_logs_are_wrong(tmp_path, line):
    (tmp_path / "supervisor.log").write_text(f"all is well\n{line}\n")
    check = check_logs(tmp_path.glob("*"))
    assert not check.is_met
    assert "supervisor.log:2" in check.detail
