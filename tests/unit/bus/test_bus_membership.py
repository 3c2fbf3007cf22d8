"""Who belongs to whom: the roster of the master and the membership of a worker, message by message."""

from __future__ import annotations

import pytest

from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Ack,
    Available,
    GreetAgain,
    Load,
    MasterHeartbeat,
    Pause,
    Quit,
    Refused,
    Welcome,
    WorkerHeartbeat,
)
from spyder.bus.mgmt import Membership, PeerState, Roster, Step

DIGESTS = {"scope": "aa", "frontier": "bb"}
W = "worker:host:1.0:nonce"


def roster():
    return Roster(digests=DIGESTS, heartbeat=1.0, missed=3)


def available(worker=W, *, protocol=PROTOCOL_VERSION, digests=DIGESTS, slots=8):
    return Available(protocol=protocol, worker=worker, version="1", slots=slots, digests=digests)


def beat(session, *, worker=W, epoch=1, slots=8, load=None):
    return WorkerHeartbeat(worker=worker, epoch=epoch, session=session, received=0, slots=slots, load=load)


# -- the master's side


def test_given_a_greeting_when_welcomed_then_the_worker_is_ready_only_after_a_heartbeat_and_a_probe():
    book = roster()
    peer = book.welcome(available(), "push", 0.0)
    assert (peer.state, list(book), len(book), peer.worker) == (PeerState.WELCOMED, [peer], 1, W)
    assert book.beat(beat(peer.session), 1, 0.1) is peer
    assert book.ready() == []
    assert book.probed(W, peer.session) is peer
    assert book.ready() == [peer]


def test_given_the_probe_first_when_the_heartbeat_follows_then_the_worker_is_ready_too():
    book = roster()
    peer = book.welcome(available(), "push", 0.0)
    book.probed(W, peer.session)
    assert book.ready() == []
    book.beat(beat(peer.session), 1, 0.1)
    assert book.ready() == [peer]


def test_given_a_heartbeat_when_heard_then_slots_and_load_are_those_that_it_names():
    book = roster()
    peer = book.welcome(available(slots=8), "push", 0.0)
    book.beat(beat(peer.session, slots=0, load=Load(fetching=3)), 1, 0.5)
    assert (peer.slots, peer.load.fetching, peer.heard_at) == (0, 3, 0.5)
    book.beat(beat(peer.session, slots=4), 1, 0.6)
    assert (peer.slots, peer.load.fetching) == (4, 3)


@pytest.mark.parametrize("wrong", [{"worker": "unknown"}, {"session": 99}, {"epoch": 7}])
def test_given_a_heartbeat_of_no_current_session_when_heard_then_the_worker_must_greet_again(wrong):
    book = roster()
    peer = book.welcome(available(), "push", 0.0)
    message = {"session": peer.session, **wrong}
    assert book.beat(beat(message.pop("session"), **message), 1, 5.0) is None
    assert (peer.heard_at, peer.has_beaten) == (0.0, False)


def test_given_a_probe_of_an_old_session_when_heard_then_it_opens_no_way():
    book = roster()
    old = book.welcome(available(), "push", 0.0)
    new = book.welcome(available(), "push", 1.0)
    assert new.session != old.session
    assert book.probed(W, old.session) is None
    assert book.probed("unknown", new.session) is None
    book.beat(beat(new.session), 1, 1.0)
    assert book.ready() == []


def test_given_a_worker_that_greets_again_when_welcomed_then_nothing_of_its_old_session_counts():
    book = roster()
    old = book.welcome(available(), "push", 0.0)
    book.beat(beat(old.session), 1, 0.0)
    book.probed(W, old.session)
    book.welcome(available(), "push", 1.0)
    assert len(book) == 1
    assert book.ready() == []
    assert book.beat(beat(old.session), 1, 1.0) is None


def test_given_silence_when_it_is_longer_than_the_heartbeats_allow_then_the_worker_is_lost_once():
    book = roster()
    peer = book.welcome(available(), "push", 10.0)
    other = book.welcome(available("other"), "push", 12.0)
    assert book.lost(13.0) == []
    assert book.lost(13.01) == [peer]
    assert book.lost(13.01) == []
    assert book.get(W) is None and book.get("other") is other
    assert book.remove("other") is other and book.remove("other") is None


def test_given_a_worker_that_was_told_to_end_when_it_goes_on_beating_then_it_gets_no_leases():
    book = roster()
    peer = book.welcome(available(), "push", 0.0)
    book.probed(W, peer.session)
    peer.state = PeerState.QUITTING
    book.beat(beat(peer.session), 1, 0.0)
    assert book.ready() == []


@pytest.mark.parametrize(("greeting", "words"), [
    (available(protocol=PROTOCOL_VERSION + 1), ["protocol", "same version"]),
    (available(digests={"scope": "aa", "frontier": "other"}), ["`frontier`", "same settings"]),
    (available(digests={}), ["`frontier`", "`scope`"]),
])
def test_given_another_version_or_other_settings_when_a_worker_greets_then_the_objection_names_them(greeting, words):
    objection = roster().objection(greeting)
    assert all(word in objection for word in (*words, W)), objection


def test_given_equal_settings_when_a_worker_greets_then_there_is_no_objection():
    assert roster().objection(available(digests={**DIGESTS, "more": "cc"})) == ""


# -- the worker's side


def welcome(*, epoch=1, session=1, master="master:host:1"):
    return Welcome(master=master, epoch=epoch, session=session, push="tcp://127.0.0.1:1", outcomes="tcp://127.0.0.1:2")


def membership(now=0.0):
    return Membership(W, heartbeat=1.0, missed=3, master_timeout=60.0, now=now)


def test_given_a_welcome_when_heard_then_the_worker_joins_once():
    member = membership()
    assert not member.is_member
    assert member.heard(welcome(), 0.0) is Step.JOINED
    assert member.heard(welcome(), 0.1) is Step.NOTHING, "welcomes are repeated"
    assert member.is_member
    assert member.heard(welcome(session=2), 0.2) is Step.JOINED, "a new session begins anew"
    assert member.heard(welcome(epoch=2, session=2), 0.3) is Step.JOINED


def test_given_another_master_with_equal_numbers_when_it_welcomes_then_the_worker_joins():
    member = membership()
    member.heard(welcome(), 0.0)
    assert member.heard(welcome(master="master:host:2"), 0.1) is Step.JOINED


@pytest.mark.parametrize("heartbeat", [
    MasterHeartbeat(master="master:host:1", epoch=2), MasterHeartbeat(master="master:host:2", epoch=1)])
def test_given_the_heartbeat_of_another_master_when_heard_then_the_worker_greets_again(heartbeat):
    member = membership()
    member.heard(welcome(), 0.0)
    assert member.heard(MasterHeartbeat(master="master:host:1", epoch=1), 0.5) is Step.NOTHING
    assert member.heard(heartbeat, 1.0) is Step.GREETING
    assert not member.is_member
    assert member.heard(heartbeat, 1.0) is Step.NOTHING, "it greets already"


def test_given_a_master_that_forgot_the_worker_when_it_says_so_then_the_worker_greets_again():
    member = membership()
    assert member.heard(GreetAgain(epoch=1), 0.0) is Step.NOTHING
    member.heard(welcome(), 0.0)
    assert member.heard(GreetAgain(epoch=1), 0.1) is Step.GREETING


def test_given_a_refusal_when_heard_then_its_reason_is_kept():
    member = membership()
    assert member.heard(Refused(protocol=9, reason="speaks protocol 1"), 0.0) is Step.REFUSED
    assert member.reason == "speaks protocol 1"


def test_given_quit_when_heard_then_it_carries_the_time_to_drain():
    member = membership()
    member.heard(welcome(), 0.0)
    assert member.heard(Quit(drain=7.0), 0.0) is Step.QUIT
    assert member.drain == 7.0


def test_given_a_silent_master_when_time_passes_then_the_worker_greets_and_ends_by_itself_at_last():
    member = membership()
    member.heard(welcome(), 0.0)
    assert member.check(3.0) is Step.NOTHING
    assert member.check(3.1) is Step.GREETING
    assert member.check(3.2) is Step.NOTHING
    assert member.check(60.0) is Step.NOTHING
    assert member.check(60.1) is Step.ORPHANED


@pytest.mark.parametrize("message", [welcome(), MasterHeartbeat(master="master:host:1", epoch=1),
                                     Ack(epoch=1, sequence=1), Pause(reason="x")])
def test_given_any_word_of_the_master_when_heard_then_the_silence_is_over(message):
    member = membership()
    member.heard(welcome(), 0.0)
    member.heard(message, 2.9)
    assert member.check(5.8) is Step.NOTHING
    assert member.check(6.0) is Step.GREETING


def test_given_no_master_at_all_when_the_time_is_up_then_the_worker_is_orphaned():
    member = membership(now=100.0)
    assert member.check(159.0) is Step.NOTHING
    assert member.check(160.1) is Step.ORPHANED
