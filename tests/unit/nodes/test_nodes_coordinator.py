"""The coordinator with a port that only writes down: acknowledgements, refusals, and what a dead worker leaves."""

import pytest

from spyder import plugins
from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Ack,
    Available,
    Gone,
    GreetAgain,
    OutcomeBatch,
    Pause,
    Probe,
    Resume,
    ScopeRules,
    Welcome,
    WorkerHeartbeat,
)
from spyder.errors import BusError, StoreError
from spyder.frontier.frontier import Frontier
from spyder.frontier.prioritizer import FirstComeFirstServed
from spyder.model.records import HeldLease, Outcome
from spyder.model.scoping import HostScoping
from spyder.model.states import UriState
from spyder.model.url import UriIdentity
from spyder.nodes.coordinator import Coordinator
from spyder.settings import RobotsSection, digests, load
from spyder.stores.memory import MemoryStore
from spyder.testing import ManualClock

A = "http://a.example/"


class Store:
    """A store in memory that outlives its masters, and whose commits fail as long as it is told so."""

    def __init__(self):
        self._store = MemoryStore()
        self.is_full = False

    def __getattr__(self, name):
        return getattr(self._store, name)

    def commit(self, changes):
        if self.is_full:
            raise StoreError("no space left")
        self._store.commit(changes)

    def close(self):
        pass


class Scene:
    """A coordinator, what it was told to do, and a worker's side of the talk."""

    def __init__(self, **overrides):
        self.clock = ManualClock()
        self.store = Store()
        self.settings = load(environ={}, overrides={
            "politeness.delay": 0.0, "politeness.delay_factor": 0.0, **overrides})
        self.has_ports = True
        self.pipes = []
        self.start()

    def start(self, *, expects_survivors=False):
        settings = self.settings
        self.said, self.pushed, self.ended = [], [], []
        frontier = Frontier(
            store=self.store, clock=self.clock, identity=UriIdentity(
                plugins.find("canonical", "plain"), plugins.find("assignment", "host")),
            scoping=HostScoping("any"), prioritizer=FirstComeFirstServed(), frontier=settings.frontier,
            politeness=settings.politeness, retry=settings.retry, limits=settings.limits,
            robots=RobotsSection(policy="ignore"), agent="spyder", looks_up=False)
        self.master = Coordinator(settings, identity="master:h:1:abc", frontier=frontier, port=self, clock=self.clock,
                                  expects_survivors=expects_survivors)

    # the port
    def say(self, topic, message):
        self.said.append((topic, message))

    def open_pipe(self, worker):
        if not self.has_ports:
            raise BusError("every port is in use")
        self.pipes.append(worker)
        return f"ipc://{worker}"

    def push(self, worker, batch):
        self.pushed.append((worker, batch))

    def close_pipe(self, worker):
        self.pipes.remove(worker)

    def turn_soon(self):
        pass

    def wake_in(self, seconds):
        pass

    def welcome_again_in(self, seconds):
        pass

    def end(self, reason):
        self.ended.append(reason)

    # a worker
    def greet(self, worker="w", **fields):
        self.master.hear(Available(protocol=PROTOCOL_VERSION, worker=worker, version="1", slots=8,
                                   digests=digests(self.settings), **fields))

    def join(self, worker="w", **fields):
        self.greet(worker, **fields)
        welcome = self.heard(Welcome, worker)[-1]
        self.beat(worker, welcome.session)
        self.master.take(Probe(worker=worker, session=welcome.session, sequence=0))
        self.master.turn()
        return welcome.session

    def beat(self, worker, session, **fields):
        self.master.hear(WorkerHeartbeat(worker=worker, epoch=self.master.frontier.epoch, session=session,
                                         **{"received": 0, "slots": 8, "held": 1, **fields}))

    def heard(self, kind, worker="w"):
        return [message for topic, message in self.said
                if isinstance(message, kind) and topic in {worker.encode(), b"all"}]

    def leased(self, worker="w"):
        return [uri for to, batch in self.pushed for uri in batch.uris if to == worker]

    def done(self, uri, *, worker="w", sequence=1):
        self.master.take(OutcomeBatch(worker=worker, sequence=sequence, outcomes=(
            Outcome(lease=uri.lease, key=uri.key, status=200, attempt=uri.attempt),)))

    def row(self, uri):
        return self.store.uris([uri.key])[0]


@pytest.fixture
def scene():
    return Scene()


def test_given_a_full_disk_when_outcomes_come_then_nothing_is_acknowledged_until_they_are_stored(scene):
    session = scene.join()
    scene.master.add_seeds([A])
    scene.master.turn()
    scene.done(scene.leased()[0])
    scene.said.clear()
    scene.store.is_full = True
    scene.master.turn()
    assert scene.heard(Ack) == []
    assert [message.reason for message in scene.heard(Pause)] == ["no space left"]
    with pytest.raises(StoreError, match="no space"):
        scene.master.add_seeds(["http://b.example/"])
    scene.store.is_full = False
    scene.clock.advance(1.0)
    scene.master.turn()
    assert [ack.sequence for ack in scene.heard(Ack)] == [1]
    assert len(scene.heard(Resume)) == 1
    assert scene.master.pause == ""
    assert session == 1


def test_given_a_frontier_that_fails_half_way_when_the_master_ends_then_nothing_of_it_is_stored(scene):
    scene.join()
    scene.master.frontier.settle = lambda worker, outcomes: 1 / 0
    scene.said.clear()
    scene.master.take(OutcomeBatch(worker="w", sequence=1, outcomes=()))
    scene.master.turn()
    assert scene.heard(Ack) == []
    assert scene.store.meta("worker/w") == b"0"
    assert scene.ended[0].startswith("task frontier failed")
    with pytest.raises(StoreError):
        scene.master.add_seeds([A])


def test_given_no_free_port_when_a_worker_greets_then_it_waits_and_the_master_goes_on(scene):
    scene.has_ports = False
    scene.greet()
    scene.greet()
    assert scene.said == [] and scene.master.workers == 0
    scene.has_ports = True
    scene.greet()
    assert scene.master.workers == 1


def test_given_more_workers_than_allowed_when_one_greets_then_it_waits():
    scene = Scene(**{"bus.max_workers": 1})
    scene.greet("w1")
    scene.greet("w2")
    assert scene.heard(Welcome, "w1") and not scene.heard(Welcome, "w2")


def test_given_a_worker_that_fell_silent_when_its_time_is_over_then_its_leases_go_to_another_one():
    scene = Scene(**{"politeness.per_host": 1})
    session = scene.join()
    scene.master.add_seeds([A])
    scene.master.turn()
    scene.clock.advance(3.1)
    scene.master.beat()
    scene.join("w2")
    assert scene.leased("w2") == [], "the silent one may still be fetching from that host"
    scene.beat("w", session)
    assert scene.heard(GreetAgain)
    scene.clock.advance(3.6)
    scene.beat("w2", 2)
    scene.master.turn()
    assert [uri.url for uri in scene.leased("w2")] == [A]
    assert scene.master.faults()["leases_returned"] == 1
    assert scene.master.faults()["workers_lost"] == 1


def test_given_a_restarted_master_when_a_worker_tells_what_it_holds_then_nobody_else_gets_it(scene):
    scene.join()
    scene.master.add_seeds([A, f"{A}2"])
    scene.master.turn()
    first, second = scene.leased()
    scene.start(expects_survivors=True)
    held = (HeldLease(lease=first.lease, key=first.key), HeldLease(lease=second.lease, key=second.key,
                                                                  is_fetching=False))
    scene.join(held=held)
    scene.join("w2")
    assert scene.leased() == scene.leased("w2") == []
    scene.done(first)
    scene.done(second, sequence=2)
    scene.master.turn()
    assert scene.master.frontier.books.done == 2
    assert set(scene.master.faults().values()) == {0}


def test_given_a_worker_that_forgot_a_lease_when_it_says_that_it_holds_none_then_the_lease_goes_back(scene):
    session = scene.join()
    scene.master.add_seeds([A])
    scene.master.turn()
    scene.beat("w", session, received=0, held=0)  # sent before the batch came
    assert scene.master.frontier.leased == 1
    scene.beat("w", session, received=1, held=0)
    assert scene.master.frontier.leased == 0
    assert scene.master.faults()["leases_forgotten"] == 1
    scene.master.turn()
    assert len(scene.leased()) == 2


def test_given_a_page_that_workers_die_on_when_it_took_three_then_it_is_quarantined_with_the_reason():
    scene = Scene(**{"retry.delay": {"worker-died": 1.0}})
    scene.master.add_seeds([A])
    for number in range(1, 4):
        scene.join(f"w{number}")
        scene.clock.advance(100)
        scene.beat(f"w{number}", number)
        scene.master.turn()
        uri = scene.leased(f"w{number}")[0]
        gone = Gone(worker=f"w{number}", reason="its extractor was ended by signal 11", suspects=(uri.key,))
        scene.master.hear(gone)
        scene.master.hear(gone)
        scene.greet("next", predecessor=gone)  # it is said again, and counts once
        scene.master.turn()
        assert scene.row(uri).strikes == number
    assert scene.row(uri).state is UriState.QUARANTINED
    assert scene.row(uri).reason == "its extractor was ended by signal 11"
    assert scene.master.frontier.books.is_balanced and scene.master.frontier.books.quarantined == 1


def test_given_low_disk_when_noted_then_nothing_is_leased_and_outcomes_are_still_settled(scene):
    scene.join()
    scene.master.add_seeds([A, "http://b.example/"])
    scene.master.turn()
    (first, *_) = scene.leased()
    scene.master.note_disk("only 1 MB is free")
    scene.master.add_seeds(["http://c.example/"])
    scene.done(first)
    scene.master.turn()
    assert scene.row(first).state is UriState.DONE
    assert len(scene.leased()) == 2
    scene.master.note_disk("")
    scene.master.turn()
    assert len(scene.leased()) == 3


def test_given_books_that_do_not_balance_when_they_would_be_stored_then_the_last_commit_stays_and_the_crawl_ends(scene):
    scene.join()
    scene.master.add_seeds([A, "http://b.example/"])
    scene.master.turn()
    first, _ = scene.leased()
    scene.done(first)
    scene.master.frontier.books.done += 1
    scene.said.clear()
    scene.master.turn()
    assert "books don't balance" in scene.ended[0]
    assert scene.heard(Ack) == []
    assert scene.row(first).state is UriState.QUEUED


def test_given_an_error_half_way_when_a_worker_is_buried_then_nothing_more_is_stored_and_the_crawl_ends(scene):
    scene.join()
    scene.master.add_seeds([A])
    scene.master.turn()
    scene.master.frontier.release = lambda worker, **options: 1 / 0
    scene.master.hear(Gone(worker="w", reason="its fetcher was ended by signal 9"))
    scene.master.turn()
    assert scene.ended[0].startswith("task frontier failed") and scene.master.is_broken


def test_given_low_disk_when_hosts_are_due_then_the_master_does_not_wake_up_for_them(scene):
    wishes = []
    scene.wake_in = wishes.append
    scene.join()
    scene.master.add_seeds([A])
    scene.master.note_disk("only 1 MB is free")
    scene.master.turn()
    assert wishes[-1] is None
    scene.master.note_disk("")
    scene.master.turn()
    assert len(scene.leased()) == 1


def test_given_edited_rules_when_a_worker_has_not_confirmed_them_then_it_gets_no_lease(scene):
    session = scene.join()
    rules = ScopeRules(number=5, rules="[]")
    scene.master.use_rules(rules)
    assert scene.heard(ScopeRules) == [rules]
    scene.master.add_seeds(["http://a.example/"])
    scene.master.turn()
    assert (scene.leased(), scene.master.free_slots) == ([], 0)
    scene.master.beat()  # one message may get lost
    assert scene.heard(ScopeRules) == [rules, rules]
    scene.beat("w", session, scope=5)
    scene.master.turn()
    assert [uri.url for uri in scene.leased()] == ["http://a.example/"]
    scene.master.beat()
    assert scene.heard(ScopeRules) == [rules, rules]


def test_given_edited_rules_when_a_worker_never_confirms_them_then_it_is_said_once_and_is_its_trouble(scene, caplog):
    session = scene.join()
    scene.master.use_rules(ScopeRules(number=5, rules="[]"))
    for seconds in (4.9, 5.0, 0.2):
        scene.beat("w", session)
        scene.master.beat()
        scene.clock.advance(seconds)
    assert [record.message for record in caplog.records if "rules of the scope" in record.message] == []
    for _ in range(3):
        scene.beat("w", session)
        scene.master.beat()
    said = [record.message for record in caplog.records if "rules of the scope" in record.message]
    assert len(said) == scene.master.counts["rules_unconfirmed"] == 1
    assert said[0].startswith("worker w has not taken")
    assert "rules of the scope" in scene.master.worker_statuses()[0].load.trouble
    scene.beat("w", session, scope=5)
    scene.master.beat()
    assert scene.master.worker_statuses()[0].load.trouble == ""


def test_given_edited_rules_when_a_worker_joins_then_it_is_told_them_with_its_welcome(scene):
    rules = ScopeRules(number=5, rules="[]")
    scene.master.use_rules(rules)
    assert scene.heard(ScopeRules) == []
    scene.greet()
    assert scene.heard(ScopeRules) == [rules]


def test_given_the_rules_of_the_settings_when_a_worker_judges_by_others_then_it_is_told(scene):
    session = scene.join()
    scene.beat("w", session, scope=5)  # of another master
    scene.master.add_seeds(["http://a.example/"])
    scene.master.turn()
    scene.master.beat()
    assert (scene.leased(), scene.heard(ScopeRules)) == ([], [ScopeRules(number=0)])
