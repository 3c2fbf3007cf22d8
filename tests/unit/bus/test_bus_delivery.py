"""Leases and outcomes over ways that lose, repeat and reorder: what arrives is everything, once and in order."""

from __future__ import annotations

import random

import pytest

from spyder.bus.dispatch import BatchLog, BatchOrder
from spyder.bus.messages import LeaseBatch
from spyder.bus.outcomes import Delivery, Outbox, Positions
from spyder.model.records import CrawlUri


def uris(*numbers):
    return [CrawlUri(lease=number, key=b"k", url=f"http://a.example/{number}") for number in numbers]


def numbers(batches):
    return [batch.number for batch in batches]


# -- leases


def test_given_batches_when_sent_then_they_are_numbered_from_1_within_their_session():
    log = BatchLog(7, resend_after=2.0)
    first, second = log.batch(uris(1, 2), 0.0), log.batch(uris(3), 0.0)
    assert (first.session, first.number, second.number) == (7, 1, 2)
    assert [uri.lease for uri in first.uris] == [1, 2]


def test_given_a_worker_that_got_everything_when_it_confirms_then_nothing_is_sent_again():
    log = BatchLog(1, resend_after=2.0)
    for _ in range(3):
        log.batch(uris(1), 0.0)
    assert log.confirm(3, 100.0) == []
    assert log.confirm(0, 200.0) == [], "an old heartbeat brings nothing back"
    assert log.delay(300.0) == 0.0


def test_given_a_gap_when_it_is_old_enough_then_all_from_there_is_sent_again_in_order_and_not_at_once_again():
    log = BatchLog(1, resend_after=2.0)
    for at in (0.0, 0.5, 1.0):
        log.batch(uris(1), at)
    assert log.confirm(1, 2.4) == [], "the second is young"
    assert numbers(log.confirm(1, 2.5)) == [2, 3]
    assert log.confirm(1, 4.0) == []
    assert numbers(log.confirm(2, 4.5)) == [3]
    assert log.delay(10.0) == 5.5, "counted from when the third became the oldest"


def test_given_batches_out_of_order_repeated_or_of_another_session_when_they_arrive_then_they_are_refused():
    order = BatchOrder(1)
    one, two, three = (LeaseBatch(session=1, number=number, uris=()) for number in (1, 2, 3))
    assert [order.take(batch) for batch in (two, one, one, three, two)] == [False, True, False, False, True]
    assert order.take(LeaseBatch(session=2, number=3, uris=())) is False
    assert (order.received, order.refused) == (2, 4)


@pytest.mark.parametrize("seed", range(100))
def test_given_a_way_that_loses_batches_when_heartbeats_go_on_then_every_lease_arrives_once_in_order(seed):
    chance = random.Random(seed)
    loss = chance.choice([0.0, 0.2, 0.7])
    log, order = BatchLog(1, resend_after=1.0), BatchOrder(1)
    way: list[LeaseBatch] = []
    sent, taken, now = 0, [], 0.0
    while len(taken) < 60:
        assert now < 5000, "nothing gets through"
        now += chance.random()
        if sent < 60 and chance.random() < 0.5:
            count = chance.randint(1, 5)
            way.append(log.batch(uris(*range(sent, sent + count)), now))
            sent += count
        heard = chance.choice([order.received, max(0, order.received - 1)])  # a heartbeat may be an old one
        way.extend(log.confirm(heard, now))
        if way and chance.random() < 0.1:
            way.clear()  # a reconnection swallows what is under way
        while way and chance.random() < 0.8:
            batch = way.pop(0)
            if chance.random() >= loss and order.take(batch):
                taken.extend(uri.lease for uri in batch.uris)
    assert taken == list(range(len(taken)))


# -- outcomes


def test_given_batches_when_kept_then_they_wait_for_their_acknowledgement():
    outbox = Outbox(resend_after=1.0)
    for count in (3, 4):
        outbox.keep(b"%d" % outbox.next_sequence, count, 0.0)
    assert (len(outbox), outbox.outcomes, outbox.next_sequence, outbox.acknowledged) == (2, 7, 3, 0)
    outbox.acknowledge(1)
    outbox.acknowledge(0)
    outbox.acknowledge(1)
    assert (len(outbox), outbox.outcomes, outbox.acknowledged) == (1, 4, 1)


def test_given_a_batch_that_is_overdue_when_asked_then_all_come_again_oldest_first_and_their_time_begins_anew():
    outbox = Outbox(resend_after=1.0)
    outbox.keep(b"1", 1, 0.0)
    outbox.keep(b"2", 1, 0.9)
    assert outbox.overdue(0.99) == []
    assert outbox.overdue(1.0) == [b"1", b"2"]
    assert outbox.overdue(1.5) == []
    assert outbox.resent == 2
    assert Outbox(resend_after=1.0).overdue(100.0) == []


def test_given_an_acknowledgement_of_what_was_never_sent_when_it_comes_then_it_reaches_no_further_than_the_sent():
    outbox = Outbox(resend_after=1.0)
    outbox.keep(b"1", 1, 0.0)
    outbox.acknowledge(99)
    assert (len(outbox), outbox.acknowledged, outbox.next_sequence) == (0, 1, 2)


def test_given_sequences_when_judged_then_only_the_next_one_is_new():
    positions = Positions()
    assert [positions.judge("w", number) for number in (2, 1, 1, 3, 2, 0)] == [
        Delivery.GAP, Delivery.NEW, Delivery.REPEATED, Delivery.GAP, Delivery.NEW, Delivery.REPEATED]
    assert positions.judge("other", 1) is Delivery.NEW
    assert (positions.position("w"), positions.position("nobody")) == (2, 0)


def test_given_positions_of_the_last_master_when_a_worker_announces_itself_then_the_higher_one_counts():
    positions = Positions({"w": 5})
    assert "w" in positions and "new" not in positions
    assert positions.announce("w", 3) == 5
    assert positions.announce("w", 8) == 8
    assert positions.judge("w", 9) is Delivery.NEW
    assert positions.announce("new", 0) == 0
    assert "new" in positions
    positions.forget("w")
    positions.forget("w")
    assert "w" not in positions


class Master:
    """As much of a master as delivery needs: it commits what it settled, or dies before."""

    def __init__(self):
        self.durable: tuple[dict[str, int], list[int]] = ({}, [])
        self.begin()

    def begin(self):
        self.positions = Positions(self.durable[0])
        self.settled = list(self.durable[1])
        self.announced = False

    def take(self, sequence, payload):
        if self.announced and self.positions.judge("w", sequence) is Delivery.NEW:
            self.settled.append(payload)

    def commit(self):
        self.durable = ({"w": self.positions.position("w")}, list(self.settled))
        return self.positions.position("w")


@pytest.mark.parametrize("seed", range(150))
def test_given_loss_repetition_and_masters_that_die_when_all_is_acknowledged_then_each_batch_was_settled_once(seed):
    chance = random.Random(seed)
    loss = chance.choice([0.0, 0.1, 0.5])
    outbox, master = Outbox(resend_after=1.0), Master()
    way: list[tuple[int, bytes]] = []
    acks: list[int] = []
    now, total = 0.0, 40
    while outbox.acknowledged < total:
        now += 0.3
        assert now < 5000, "no end"
        if not master.announced:
            if chance.random() >= loss:
                master.positions.announce("w", outbox.acknowledged)
                master.announced = True
                way.extend(_frames(outbox.everything(now)))
        elif outbox.next_sequence <= total and chance.random() < 0.6:
            payload = b"%d" % outbox.next_sequence
            outbox.keep(payload, 1, now)
            way.append((int(payload), payload))
        way.extend(_frames(outbox.overdue(now)))
        for sequence, payload in way[:chance.randint(0, len(way))]:
            del way[0]
            for _ in range(chance.choice([1, 1, 2])):
                if chance.random() >= loss:
                    master.take(sequence, int(payload))
        if chance.random() < 0.5:
            acks.append(master.commit())
        if acks and chance.random() < 0.7:
            acknowledged = acks.pop(chance.randrange(len(acks)))
            if chance.random() >= loss:
                outbox.acknowledge(acknowledged)
        if chance.random() < 0.03:
            master.begin()
            acks.clear()  # they named the epoch of the old master
            way = [] if chance.random() < 0.5 else way
    assert master.commit() == total
    assert master.durable[1] == list(range(1, total + 1))
    assert (len(outbox), outbox.outcomes) == (0, 0)


def _frames(payloads):
    return [(int(payload), payload) for payload in payloads]
