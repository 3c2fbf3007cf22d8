"""A coordinator as its watchdog and `spyder explain` see it."""

from __future__ import annotations

import logging

import pytest
from unit.frontier.crawlkit import Crawl
from unit.nodes.test_nodes_coordinator import A, Scene

from spyder.bus.messages import Load, OutcomeBatch
from spyder.errors import StoreError
from spyder.model.records import FetchNotice, Outcome
from spyder.model.states import ErrorKind
from spyder.model.url import HOST_BYTES
from spyder.nodes.liveview import LiveView
from spyder.nodes.watchdog import Holder

PATIENCE = 10.0


class Watched(Scene):
    """A scene with a live view."""

    def start(self, **options):
        super().start(**options)
        self.view = LiveView(self.master, self.settings, self.clock)

    def seed(self, *urls):
        self.master.add_seeds(urls)
        self.master.turn()

    def leased(self):
        return [uri for _, batch in self.pushed for uri in batch.uris]

    def key(self, url):
        return next(uri.key for uri in self.leased() if uri.url == url)

    def wait(self, seconds):
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(0.5)
            self.view.watch()
        return self.view.stalled


@pytest.fixture
def scene():
    return Watched(**{"master.watchdog": PATIENCE, "politeness.per_host": 2, "fetch.timeout": 20.0})


def test_given_seeds_and_no_worker_then_progress_counts_them_and_the_watchdog_says_so(scene, caplog):
    caplog.set_level(logging.INFO, "spyder.nodes.liveview")
    scene.seed(A, f"{A}b")
    progress = scene.view.progress()
    assert (progress.queued, progress.leased, progress.workers, progress.has_work) == (2, 0, 0, True)
    assert "no worker is there" in scene.wait(PATIENCE + 2)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    session = scene.join()
    lease = scene.leased()[0]
    scene.master.take(OutcomeBatch(worker="w", sequence=1, outcomes=(Outcome(lease=lease.lease, key=lease.key),)))
    scene.master.turn()
    assert scene.wait(1) == ""
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert session == 1


def test_given_a_worker_without_a_probe_then_it_is_told_what_is_missing(scene):
    scene.greet()
    scene.seed(A)
    assert scene.view.details().unready == {"w": "welcomed, but no heartbeat and no probe of it has come"}
    scene.beat("w", 1)
    assert scene.view.details().unready == {"w": "welcomed, but no probe of it has come"}
    scene.join("v")
    assert set(scene.view.details().unready) == {"w"}
    scene.master.stop()
    assert scene.view.details().unready == {"w": "it is ending", "v": "it is ending"}
    assert scene.view.progress().held == "asked to stop"


def test_given_leases_then_their_holder_and_age_are_known(scene):
    scene.join()
    scene.seed(A, f"{A}b", f"{A}c")
    scene.clock.advance(12)
    progress = scene.view.progress()
    assert (progress.queued, progress.leased, progress.ready, progress.free) == (1, 2, 1, 6)
    assert scene.view.details().holders == (Holder(worker="w", leases=2, oldest=12.0),)
    lease = scene.view.lease_of(scene.key(A))
    assert (lease.worker, lease.held, lease.is_fetched) == ("w", 12.0, False)
    activity = scene.view.host_activity(scene.key(A)[:HOST_BYTES])
    assert (activity.row.name, activity.leases, activity.fetching) == ("a.example", {"w": 2}, 2)
    scene.master.frontier.fetched([FetchNotice(lease=scene.leased()[0].lease)])
    assert scene.view.lease_of(scene.leased()[0].key).is_fetched
    assert scene.view.host_activity(scene.key(A)[:HOST_BYTES]).fetching == 1
    assert scene.view.lease_of(b"nobody") is None
    assert scene.view.host_activity(b"nobody") is None


def test_given_leases_without_an_outcome_then_the_watchdog_names_their_holder(scene):
    scene.join()
    scene.seed(A)
    scene.wait(20)
    assert scene.view.stalled == ""
    assert "no outcome comes: worker w has held 1 lease for up to 2" in scene.wait(10)


def test_given_a_worker_in_trouble_then_its_words_are_passed_on(scene):
    session = scene.join()
    scene.beat("w", session, slots=0, load=Load(trouble="its outputs can't be written"))
    scene.seed(A)
    assert scene.view.progress().troubles == {"w": "its outputs can't be written"}
    assert scene.wait(PATIENCE + 2).endswith("workers take nothing: w: its outputs can't be written")


@pytest.mark.parametrize(("active_queues", "limit", "expected"), [
    (1000, 1, ({"": 2, "connect": 1}, False)), (1, 10, ({"": 2, "connect": 1}, False)), (1, 1, ({"": 1}, True))])
def test_given_hosts_that_rest_then_they_are_counted_in_memory_and_on_disk(clock, active_queues, limit, expected):
    crawl = Crawl(clock, politeness={"delay": 100.0, "backoff": 100.0}, retry={"attempts": {}},
                  frontier={"active_queues": active_queues})
    crawl.seed(*(f"http://{host}.example/{page}" for host in "abc" for page in (1, 2)), "http://d.example/")
    served = []
    while len(served) < 4 and clock.monotonic() < 50:
        clock.advance(0.2)
        crawl.turn()
        for uri in crawl.lease():
            served.append(uri.url)
            if uri.url.startswith("http://b."):
                crawl.fail(uri, ErrorKind.CONNECT)
            else:
                crawl.ok(uri)
    assert crawl.frontier.resting_hosts(limit) == expected


@pytest.mark.parametrize("what", ["trouble", "low_disk"])
def test_given_a_full_disk_then_the_reason_of_the_pause_is_passed_on(scene, what):
    scene.seed(A)
    if what == "trouble":
        scene.store.is_full = True
        with pytest.raises(StoreError):
            scene.seed(f"{A}b")
        words = "the frontier can't be written: no space left"
    else:
        scene.master.note_disk("3 MB are free, less than frontier.reserve")
        words = "nothing more is fetched: 3 MB are free, less than frontier.reserve"
    assert getattr(scene.view.progress(), what) in words
    assert scene.wait(PATIENCE + 2).endswith(words)
