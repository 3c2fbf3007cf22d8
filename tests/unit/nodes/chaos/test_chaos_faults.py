"""The dice of a chaos run: one seed makes the same choices, every kind of fault comes, and the bound is counted."""

from __future__ import annotations

from collections import Counter

import pytest

from spyder.nodes.chaos.faults import DECK, STANDSTILL, Aim, Dice, Fault, FaultKind, Role, explained, workers_hit


def fault(kind: FaultKind, role: Role) -> Fault:
    return Fault(at=1.0, kind=kind, role=role, target="x", pid=1, seconds=0.0, settled=0)


def test_given_one_seed_when_thrown_twice_then_all_choices_are_the_same():
    def choices(seed: int) -> list[object]:
        dice = Dice(seed, between=2.0)
        return [(dice.aim(), dice.pause(), dice.choose(4), dice.standstill()) for _ in range(50)]

    assert choices(1) == choices(1)
    assert choices(1) != choices(2)


def test_given_one_deal_when_all_are_drawn_then_each_comes_as_often_as_it_stands_there():
    dice = Dice(7, between=2.0)
    assert Counter(dice.aim() for _ in DECK) == Counter(DECK)
    assert Counter(dice.aim() for _ in DECK) == Counter(DECK)


def test_given_the_deck_then_every_process_is_killed_and_stopped_and_no_worker_gets_a_sigterm():
    for role in Role:
        assert {Aim(kind=FaultKind.KILL, role=role), Aim(kind=FaultKind.STOP, role=role)} <= set(DECK)
    assert {aim.role for aim in DECK if aim.kind is FaultKind.TERM} == {Role.MASTER, Role.SUPERVISOR, Role.LOGSINK}


def test_given_many_throws_then_pauses_and_standstills_keep_their_bounds():
    dice = Dice(3, between=2.0)
    pauses, stills = [dice.pause() for _ in range(500)], [dice.standstill() for _ in range(500)]
    assert min(pauses) >= 1.0 and max(pauses) <= 3.0
    assert 1.8 < sum(pauses) / 500 < 2.2
    assert min(stills) >= STANDSTILL[0] and max(stills) <= STANDSTILL[1]


@pytest.mark.parametrize(("kind", "role", "workers"), [
    (FaultKind.KILL, Role.FETCHER, 1), (FaultKind.STOP, Role.EXTRACTOR, 1), (FaultKind.KILL, Role.SUPERVISOR, 3),
    (FaultKind.TERM, Role.SUPERVISOR, 3), (FaultKind.STOP, Role.SUPERVISOR, 0), (FaultKind.KILL, Role.MASTER, 6),
    (FaultKind.STOP, Role.MASTER, 6), (FaultKind.KILL, Role.LOGSINK, 0)])
def test_given_a_fault_when_asked_then_it_hits_the_workers_below_its_process(kind, role, workers):
    assert workers_hit(Aim(kind=kind, role=role), processes=3, supervisors=2) == workers


def test_given_faults_when_counted_then_they_explain_slots_of_the_workers_they_hit_and_no_more():
    faults = [fault(FaultKind.KILL, Role.FETCHER), fault(FaultKind.KILL, Role.MASTER),
              fault(FaultKind.KILL, Role.LOGSINK)]
    assert explained(faults, slots=10, processes=2, supervisors=2) == (2, 10 * (1 + 4))
    assert explained([], slots=10, processes=2, supervisors=2) == (0, 0)
