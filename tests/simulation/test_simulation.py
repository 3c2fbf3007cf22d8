"""Crawls in a simulated world of faults, by number: whatever happens, each reachable URI is settled once, politely.

A failing number is reproduced, with its story, by ``python tests/simulation/run.py --seed N``.
"""

from __future__ import annotations

import inspect
import logging
import textwrap
from collections.abc import Iterator

import pytest

from simulation.oracle import Violation
from simulation.world import run
from spyder.bus.dispatch import BatchLog, BatchOrder
from spyder.bus.mgmt import Membership
from spyder.bus.outcomes import Outbox, Positions
from spyder.frontier.active import ActiveHosts
from spyder.frontier.frontier import Frontier
from spyder.frontier.hosts import Address
from spyder.frontier.leases import LeaseTable
from spyder.frontier.origins import Origins
from spyder.frontier.politeness import Politeness
from spyder.nodes.coordinator import Coordinator
from spyder.nodes.extractstage import ExtractStage

#: Seeds of one test, and how many such tests there are.
CHUNK, CHUNKS = 50, 40
#: Seeds within which a mutation must be noticed.
SEARCH = 2000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of crawls log a lot."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_given_a_world_of_faults_when_it_heals_then_everything_was_settled_once_and_politely(chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        run(seed)


def test_given_a_seed_when_run_twice_then_the_same_happens() -> None:
    first, second = run(7), run(7)
    assert first.log == second.log
    assert first.machine.steps == second.machine.steps


def without(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, old: str, new: str) -> None:
    """Change the source of a method: take out what the guarantee rests on. The text must still stand there."""
    function = inspect.unwrap(getattr(owner, method))
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source, f"{owner.__name__}.{method} no longer reads {old!r}: adapt the mutation"
    names: dict[str, object] = {}
    exec(compile(source.replace(old, new), f"<{owner.__name__}.{method} without {old!r}>", "exec"),
         function.__globals__, names)
    monkeypatch.setattr(owner, method, names[method])


#: What is taken out: the part of the guarantee, and the change that removes it.
MUTATIONS = {
    "the ACK": [(Coordinator, "_beat", "acks=acks", "acks={}"),
                (Coordinator, "_acknowledge", "self._port.say(", "str(")],
    "sending outcomes again": [(Outbox, "overdue", "return self.everything(now)", "return []")],
    "sending leases again": [
        (BatchLog, "confirm", "return again", "return []"),
        (Coordinator, "_beaten", "peer.batches.delay(now) > _DEAF_AFTER * self._patience", "False")],
    "the order of lease batches": [(BatchOrder, "take", "batch.number != self.received + 1", "False")],
    "the order of outcome batches": [(Positions, "judge", "sequence > position + 1", "False")],
    "the return of a dead worker's leases": [
        (Frontier, "release", "host.offer(lease.uri)", "pass")],
    "the return of a silent worker's leases": [(Coordinator, "_beat", "self._roster.lost(now)", "()")],
    "the check of the epoch": [
        (Membership, "_heard_heartbeat",
         "(message.master, message.epoch) != (self.welcome.master, self.welcome.epoch)", "False"),
        (Coordinator, "_beaten", "self._port.say(message.worker.encode(), GreetAgain(epoch=self.frontier.epoch))",
         "pass")],
    "the epoch in a lease's number": [
        (LeaseTable, "__init__", "(epoch << EPOCH_SHIFT) + 1", "1"),
        (Frontier, "_settle", "or lease.uri.key != outcome.key or lease.worker != worker", "")],
    "the commit before the ACK": [
        (Coordinator, "turn", "self._commit()\n        self._times.lap(\"commit\")\n        self._acknowledge()",
         "self._acknowledge()\n        self._commit()")],
    "the commit of outcomes before their ACK": [
        (Coordinator, "_settle", "self._to_acknowledge.add(batch.worker)",
         "self._to_acknowledge.add(batch.worker)\n            self._acknowledge()")],
    "the sync before the outcome": [(ExtractStage, "_publish_if_due", "self._sink.sync()", "pass")],
    "outcomes in the outbox": [(ExtractStage, "_acknowledge", "self._outbox.acknowledge(sequence)",
                                "self._outbox.acknowledge(1 << 40)")],
    "the end of the right to begin": [(Membership, "may_begin", "now < self._begin_until", "True")],
    "the end of the right to go on": [(Membership, "must_abort", "now >= self.abort_at", "False")],
    "counting with silent workers": [(Coordinator, "_beat", "hold=self._patience + _ABORT_MARGIN", "hold=0.0")],
    "what a worker holds when it greets": [(Coordinator, "_welcome", "greeting.held", "()")],
    "the rest of hosts after a crash": [(ActiveHosts, "load", "rest is not None", "False")],
    "looking for forgotten leases": [(Coordinator, "_beaten", "if not message.held and", "if False and")],
    "robots.txt before pages": [(Origins, "answer", "return Purpose.ROBOTS", "return Cleared(address=address)")],
    "what robots.txt forbids": [(Origins, "_judge", "rule is None or rule[0]", "True")],
    "connections of an address": [(Address, "due", "self.fetching >= self.limit", "False")],
    "the delay of an address": [(Politeness, "free", "self._ip_delay", "False")],
    "errands of a dead worker": [(Frontier, "release", "self._errands.drop(lease.errand)", "pass")],
    "strikes": [(Coordinator, "_bury", "self.frontier.strike(gone.worker, key, gone.reason)", "None")],
}


#: Where the search begins for what is missed seldom, to save time.
RARE = {"the end of the right to begin": 9080, "the end of the right to go on": 220}


@pytest.mark.parametrize("taken_out", MUTATIONS)
def test_given_a_part_of_the_guarantee_taken_out_when_simulated_then_it_is_noticed(
        taken_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, method, old, new in MUTATIONS[taken_out]:
        without(monkeypatch, owner, method, old, new)
    first = RARE.get(taken_out, 0)
    for seed in range(first, first + SEARCH):
        try:
            run(seed)
        except Violation:
            return
    pytest.fail(f"{SEARCH} simulated crawls did not miss {taken_out}")
