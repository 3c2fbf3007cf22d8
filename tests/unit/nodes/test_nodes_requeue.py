"""Requeueing while no master runs: the frontier's own settings count, and the next master finds what it must know."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from unit.frontier.crawlkit import Crawl, pages

from spyder.cli import main
from spyder.contracts import Changes
from spyder.errors import SettingsError, SpyderError, StoreError, StoreInUseError
from spyder.frontier.audit import audit
from spyder.model.records import Failure
from spyder.model.states import ErrorKind, UriState
from spyder.nodes.requeue import requeue_offline
from spyder.settings import load
from spyder.stores.rocksdb import RocksdbStore

A = "http://a.example/"
FAILURE = Failure(kind=ErrorKind.HTTP_4XX)


@pytest.fixture
def settings(tmp_path):
    return load(environ={}, overrides={"output.directory": str(tmp_path / "c")})


@pytest.fixture
def opened(settings):
    """Opens the frontier's store; closed at the end."""
    stores = []

    def opened() -> RocksdbStore:
        for store in stores:
            store.close()
        stores.append(RocksdbStore.open(settings.frontier_directory, cache=1 << 20))
        return stores[-1]
    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def finished(clock, opened):
    """A finished crawl of ten pages, of which three have failed; its keys were made otherwise than by default."""
    store = opened()
    crawl = Crawl(clock, store=store, canonical="plain", assignment="domain")
    crawl.seed(*pages("www.a.example", range(10)))
    crawl.drain(lambda uri: crawl.outcome(uri, **({"failure": FAILURE} if uri.url[-1] in "357" else {})))
    crawl.frontier.note_position("worker:1", 41)
    crawl.commit()
    store.close()
    return crawl


def test_given_a_finished_crawl_when_requeued_without_a_master_then_the_next_start_goes_on_with_them(
        finished, opened, settings, clock):
    report = requeue_offline(settings, clock, states=["failed"])

    assert (report.requeued, report.unknown, report.refused) == (3, [], [])
    finished.restart(opened)
    [found] = audit(finished.store)
    assert found.is_good
    assert finished.frontier.take_positions() == {"worker:1": 41}, "as if the last master had ended just now"
    assert sorted(finished.drain()) == [f"http://www.a.example/{number}" for number in (3, 5, 7)]


def test_given_urls_when_requeued_without_a_master_then_they_are_found_by_the_frontiers_own_keys(
        finished, opened, settings, clock):
    report = requeue_offline(settings, clock, urls=["http://www.a.example/3", A], host="www.a.example")
    assert (report.requeued, report.unknown) == (1, [A])
    finished.restart(opened)
    assert finished.state("http://www.a.example/3") is UriState.QUEUED


def test_given_a_request_that_is_refused_when_requeued_then_the_frontier_is_as_before_and_unlocked(
        finished, opened, settings, clock):
    with pytest.raises(SpyderError, match=r"knows no host `nobody.example`"):
        requeue_offline(settings, clock, host="nobody.example")
    finished.restart(opened)
    assert finished.frontier.books.failed == 3


def test_given_a_master_that_writes_when_requeued_without_it_then_it_is_refused(finished, opened, settings, clock):
    opened()
    with pytest.raises(StoreInUseError):
        requeue_offline(settings, clock, states=["failed"])


def test_given_no_frontier_when_requeued_then_none_is_made(settings, clock):
    with pytest.raises(StoreError, match="holds no frontier"):
        requeue_offline(settings, clock, states=["failed"])
    assert not settings.crawl_directory.exists()


def test_given_a_project_of_another_name_when_requeued_then_it_is_the_only_one_or_must_be_named(
        finished, opened, settings, clock, tmp_path):
    store = opened()
    number = store.meta("project/default")
    store.commit(Changes(meta={"project/default": b"", "project/news": number}))
    store.close()
    assert requeue_offline(settings, clock, states=["failed"]).requeued == 3

    store = opened()
    store.commit(Changes(meta={"project/more": b"2"}))
    store.close()
    with pytest.raises(SettingsError, match=r"has no project `default`, but `more`, `news`: set `project.name`"):
        requeue_offline(settings, clock, states=["failed"])


# -- the command


def requeue(*arguments: str):
    return CliRunner().invoke(main, ["requeue", *arguments])


def test_given_the_command_without_a_master_when_run_then_it_does_so_itself(finished, opened, settings):
    done = requeue("--output", str(settings.crawl_directory), "--state", "failed", "--reason", "http-4xx")
    assert (done.exit_code, done.stdout) == (0, "3 requeued; the next start goes on with them\n")
    done = requeue("--output", str(settings.crawl_directory), "--all")
    assert (done.exit_code, done.stdout) == (0, "0 requeued\n")


def test_given_urls_that_are_not_requeued_when_run_then_each_is_named_and_the_code_says_so(finished, settings):
    done = requeue("--output", str(settings.crawl_directory), "http://www.a.example/1", A)
    assert (done.exit_code, done.stdout) == (1, "0 requeued\n")
    assert done.stderr == (f"spyder: not in the frontier: {A}\nspyder: not requeued: http://www.a.example/1 is done, "
                           "and that was not asked for\n")


def test_given_a_master_without_an_api_when_run_then_one_line_says_that_it_is_in_use(finished, opened, settings):
    opened()
    done = requeue("--output", str(settings.crawl_directory), "--all")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "is in use: another master writes it" in done.stderr
    assert done.stderr.count("\n") == 1
