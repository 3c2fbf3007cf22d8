"""Joints of the delivery protocol that only the real stages have: what is probed again, what is acknowledged."""

import asyncio
import time
from pathlib import Path

import pytest

from spyder.bus.messages import Ack, Codec, OutcomeBatch, OutcomeMessage, Probe, Welcome
from spyder.bus.sockets import Sockets, receive
from spyder.errors import BusError, StoreError
from spyder.model.clock import SystemClock
from spyder.model.records import Outcome
from spyder.nodes.board import Board
from spyder.nodes.extractor import Extractor
from spyder.nodes.master import Master
from spyder.nodes.spec import new_spec
from spyder.settings import load


@pytest.fixture
def settings(tmp_path: Path):
    folder = f"ipc://{tmp_path}"
    return load(environ={}, overrides={
        "output.directory": str(tmp_path / "c"), "frontier.store": "memory", "bus.linger": 0.0,
        "bus.mgmt_master": f"{folder}/m", "bus.mgmt_worker": f"{folder}/w", "bus.outcomes": f"{folder}/o",
        "bus.logging": f"{folder}/l", "bus.push": folder})


def test_given_an_ack_before_the_probe_when_the_welcome_is_repeated_then_the_probe_is_sent(settings, tmp_path):
    sockets = Sockets(settings.bus)
    try:
        outcomes = sockets.subscriber(bind=settings.bus.outcomes)
        codec: Codec[OutcomeMessage] = Codec(OutcomeMessage, limit=1 << 20)
        extractor = Extractor(new_spec(settings, folder=str(tmp_path), index=0), sockets=sockets, board=Board(),
                              clock=SystemClock(), lifeline=None)

        def welcome(session):
            return Welcome(master="master:1", epoch=1, session=session, push="", outcomes=settings.bus.outcomes)

        def probes():
            found = []
            while (frames := receive(outcomes)) is not None:
                message = codec.decode(frames[-1])
                if isinstance(message, Probe):
                    found.append(message.session)
            return found

        extractor._join(welcome(1))
        extractor._acknowledge(1, 0)
        extractor._join(welcome(2))
        extractor._acknowledge(1, 0)  # of a batch before it: the way counts as open without a probe
        for _ in range(500):
            extractor._join(welcome(2))
            if 2 in probes():
                return
            time.sleep(0.01)  # the subscription is on its way
        pytest.fail("no probe of the second session")
    finally:
        sockets.close_all()


class _FullStore:
    """A store whose commits fail as long as it is told so."""

    def __init__(self, store):
        self._store = store
        self.is_full = False

    def __getattr__(self, name):
        return getattr(self._store, name)

    def commit(self, changes):
        if self.is_full:
            raise StoreError("no space left")
        self._store.commit(changes)


def _joined(settings, test):
    """Run *test* with a master that is told of one worker, and what it says to workers."""
    async def main():
        sockets = Sockets(settings.bus)
        try:
            master = Master(settings, sockets=sockets, clock=SystemClock(), expects_survivors=False)
            said = []
            master._say = lambda topic, message: said.append((topic, message))
            store = master.frontier._ledger.store = _FullStore(master.frontier._ledger.store)
            master._is_started = True
            master._positions.announce("w", 0)
            test(master, store, said)
            master.close()
        finally:
            sockets.close_all()

    asyncio.run(main())


def test_given_a_full_disk_when_outcomes_come_then_nothing_is_acknowledged_until_they_are_stored(settings):
    def test(master, store, said):
        master._settle(OutcomeBatch(worker="w", sequence=1, outcomes=(Outcome(lease=1, key=bytes(18)),)))
        store.is_full = True
        master._turn()
        assert said == [] and master._durable == {} and master.status().state == "paused"
        with pytest.raises(StoreError, match="no space"):
            master.add_seeds(["http://a.example/"])
        store.is_full = False
        master._retry_at = 0.0
        master._turn()
        assert said == [(b"w", Ack(epoch=1, sequence=1))] and master._durable == {"w": 1}
        assert master.status().state == "running"

    _joined(settings, test)


def test_given_a_frontier_that_fails_half_way_when_the_master_ends_then_nothing_of_it_is_stored(settings):
    def test(master, store, said):
        master.frontier.settle = lambda worker, outcomes: 1 / 0
        master._settle(OutcomeBatch(worker="w", sequence=1, outcomes=()))
        master._turn()
        assert said == [] and store.meta("worker/w") is None
        assert master._end.result().startswith("task frontier failed")
        with pytest.raises(StoreError):
            master.add_seeds(["http://a.example/"])

    _joined(settings, test)


def test_given_no_free_port_when_a_worker_greets_then_it_waits_and_the_master_goes_on(settings, monkeypatch):
    from spyder.bus.messages import PROTOCOL_VERSION, Available
    from spyder.settings import digests

    def no_port(*arguments):
        raise BusError("every port is in use")

    def test(master, store, said):
        monkeypatch.setattr("spyder.nodes.master.bind_push", no_port)
        greeting = Available(protocol=PROTOCOL_VERSION, worker="w", version="1", slots=1, digests=digests(settings))
        master._greet(greeting)
        master._greet(greeting)
        assert said == [] and master.workers == 0

    _joined(settings, test)
