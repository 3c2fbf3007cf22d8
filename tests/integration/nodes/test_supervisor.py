"""What a supervisor tells of a worker's death, to the master by a real socket and to the successor; real processes."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from spyder.bus.messages import Available, Codec, Gone, WorkerMessage
from spyder.bus.sockets import Sockets, receive
from spyder.model.states import ExitCode
from spyder.nodes import supervisor as module
from spyder.nodes.board import Board, Cell, Note
from spyder.nodes.spec import EXTRACTOR, FETCHER
from spyder.nodes.supervisor import Supervisor
from spyder.settings import load

KEY, OTHER = b"k" * 18, b"o" * 18
PATIENCE = 60.0


class Bench:
    """A supervisor of one worker, and the socket at which a master would hear both."""

    def __init__(self, folder: Path, **overrides):
        bus = f"ipc://{folder}"
        self.settings = load(environ={}, overrides={
            "output.directory": str(folder / "c"), "bus.linger": 0.5, "bus.mgmt_master": f"{bus}/m",
            "bus.mgmt_worker": f"{bus}/w", "bus.outcomes": f"{bus}/o", "bus.logging": f"{bus}/l", "bus.push": bus,
            "worker.restart_delay": 0.1, **overrides})
        self.sockets = Sockets(self.settings.bus)
        self.heard: list[WorkerMessage] = []
        self._inbox = self.sockets.subscriber(bind=self.settings.bus.mgmt_worker)
        self._codec: Codec[WorkerMessage] = Codec(WorkerMessage, limit=1 << 20)
        self.supervisor = Supervisor(self.settings, sockets=self.sockets, folder=str(folder))
        self.specs = []

    async def until(self, condition):
        """Listen until *condition* returns something true; returns that."""
        for _ in range(int(PATIENCE / 0.02)):
            while (frames := receive(self._inbox)) is not None:
                self.heard.append(self._codec.decode(frames[-1]))
            if (value := condition()):
                return value
            await asyncio.sleep(0.02)
        raise AssertionError("it did not happen")

    def greeting(self):
        """The newest worker's latest, once it names both processes."""
        return next((message for message in reversed(self.heard) if isinstance(message, Available)
                     and message.worker == self.specs[-1].worker and all(message.pids)), None)

    def gone(self):
        return [message for message in self.heard if isinstance(message, Gone)]

    async def in_hand(self, **keys):
        """Wait for a worker with *keys* on its board, by stage; its process ids by stage."""
        greeting = await self.until(self.greeting)
        board = Board(self.specs[-1].board_path)
        await self.until(lambda: board[Cell.FETCHER_BEAT] and board[Cell.EXTRACTOR_BEAT])
        for stage, key in keys.items():
            board.write_note(Note[stage.upper()], key)
        board.close()
        return dict(zip((FETCHER, EXTRACTOR), greeting.pids, strict=True))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a test with a :class:`Bench` whose supervisor has started; ends what is left."""
    def run(test, **overrides):
        async def main():
            bench = Bench(tmp_path, **overrides)

            def new_spec(*arguments, **options):
                bench.specs.append(original(*arguments, **options))
                return bench.specs[-1]

            original = module.new_spec
            monkeypatch.setattr(module, "new_spec", new_spec)
            try:
                bench.supervisor.start()
                await test(bench)
            finally:
                await bench.supervisor.kill()
                bench.sockets.close_all()

        asyncio.run(main())
    return run


@pytest.mark.parametrize(("role", "number", "reason", "suspects", "is_careful"), [
    (EXTRACTOR, signal.SIGSEGV, "its extractor was ended by signal 11 (SIGSEGV)", (KEY,), False),
    (FETCHER, signal.SIGABRT, "its fetcher was ended by signal 6 (SIGABRT)", (), True),
    (FETCHER, signal.SIGKILL, "its fetcher was ended by signal 9 (SIGKILL)", (), False),
])
def test_given_a_stage_that_dies_when_a_page_was_in_hand_then_master_and_successor_hear_of_it(
        run, role, number, reason, suspects, is_careful):
    async def test(bench):
        pids = await bench.in_hand(extractor=KEY)
        os.kill(pids[role], number)
        await bench.until(bench.gone)
        expected = Gone(worker=bench.specs[0].worker, reason=reason, suspects=suspects)
        assert bench.gone() == [expected]
        await bench.until(lambda: len(bench.specs) == 2)
        assert bench.specs[1].predecessor == expected and bench.specs[1].is_careful is is_careful
        assert (await bench.until(bench.greeting)).predecessor == expected
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values()), "both share one fate"
        assert not bench.specs[0].board_path.exists()

    run(test)


def test_given_a_stage_that_is_frozen_when_its_time_is_up_then_it_is_killed_and_only_its_page_is_named(run):
    async def test(bench):
        pids = await bench.in_hand(extractor=KEY, fetcher=OTHER)
        os.kill(pids[EXTRACTOR], signal.SIGSTOP)
        await bench.until(bench.gone)
        assert bench.gone() == [Gone(worker=bench.specs[0].worker, suspects=(KEY,), reason=(
            "its extractor made no progress for 5 s (worker.hang_timeout)"))]

    run(test, **{"worker.hang_timeout": 5.0})


def test_given_a_worker_beyond_its_memory_when_looked_at_then_it_is_killed_with_the_figure(run):
    async def test(bench):
        await bench.until(bench.gone)
        gone = bench.gone()[0]
        assert " of memory, more than worker.memory_hard (1 MB)" in gone.reason and gone.suspects == ()

    run(test, **{"worker.memory_hard": 1_000_000})


def test_given_a_supervisor_that_is_stopped_when_its_worker_has_no_master_then_it_ends_in_good_order(run):
    async def test(bench):
        await bench.until(bench.greeting)
        bench.supervisor.stop()
        assert await asyncio.wait_for(bench.supervisor.wait(), PATIENCE) is ExitCode.OK
        assert bench.gone() == [] and len(bench.specs) == 1

    run(test)


def test_given_a_worker_that_is_to_retire_when_it_is_frozen_then_it_is_killed_without_blame_and_replaced_at_once(run):
    async def test(bench):
        pids = await bench.in_hand(extractor=KEY)
        os.kill(pids[EXTRACTOR], signal.SIGSTOP)
        board = Board(bench.specs[0].board_path)
        board[Cell.PAGES] = 5
        board.close()
        await bench.until(bench.gone)
        assert bench.gone() == [Gone(worker=bench.specs[0].worker, reason=(
            "it did not end within 1.5 s of being asked to, to be replaced"))]
        assert (await bench.until(bench.greeting)).predecessor == bench.gone()[0]

    run(test, **{"worker.max_pages": 5, "worker.drain": 0.5, "worker.restart_delay": 1000.0})


def test_given_no_room_for_a_board_when_started_then_it_is_tried_again_until_there_is(run, monkeypatch):
    full = [True]

    def board(path):
        if full[0]:
            raise OSError(28, "No space left on device")
        return Board(path)

    monkeypatch.setattr("spyder.nodes.pair.Board", board)

    async def test(bench):
        await bench.until(lambda: len(bench.specs) == 3)
        assert bench.gone()[0].reason == "it can't be started: [Errno 28] No space left on device"
        full[0] = False
        await bench.until(bench.greeting)

    run(test)
