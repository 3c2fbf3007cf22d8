"""The supervisor of the workers on one host: starts them, watches them, and starts anew those that die or hang."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import assert_never

from spyder.bus import sockets as zsockets
from spyder.bus.messages import Codec, Gone, WorkerMessage
from spyder.bus.sockets import Sockets
from spyder.model.states import ExitCode
from spyder.nodes.pair import Pair
from spyder.nodes.spec import EXTRACTOR, FETCHER, QUIT, RETIRE, WorkerSpec, new_spec
from spyder.nodes.watch import Death, End, Final, Kill, Retire, Retired, Succession, Watch, is_orderly, judge, killed
from spyder.settings import Settings

_log = logging.getLogger(__name__)

#: Seconds between looks at a worker.
LOOK_INTERVAL = 0.5
#: Seconds that a killed process may take to be gone: one that waits for a broken disk can't even be killed.
_TO_DIE = 10.0
_CAREFUL = ", and fetches one page at a time at first"


class Supervisor:
    """Keeps ``worker.processes`` workers running until they end by themselves, or :meth:`stop`."""

    def __init__(self, settings: Settings, *, sockets: Sockets, folder: str, is_profiled: bool = False) -> None:
        self._settings = settings
        self._folder = folder
        self._is_profiled = is_profiled
        self._mgmt = sockets.publisher(connect=settings.bus.mgmt_worker)
        self._codec: Codec[WorkerMessage] = Codec(WorkerMessage, limit=settings.bus.max_message)
        self._pairs: dict[int, Pair] = {}
        self._tasks: list[asyncio.Task[ExitCode]] = []
        self._is_stopping = False
        self._is_killed = False
        self._ending = asyncio.Event()

    def start(self) -> None:
        """Start all workers."""
        for index in range(self._settings.worker.processes):
            self._tasks.append(asyncio.create_task(self._keep(index), name=f"worker {index}"))

    async def wait(self) -> ExitCode:
        """Wait until every worker has ended for good; the worst of their exit codes."""
        done, _ = await asyncio.wait(self._tasks)  # unlike gather, it leaves them alone when it is cancelled
        return max((task.result() for task in done), default=ExitCode.OK)

    def stop(self) -> None:
        """Ask all workers for a drained end."""
        self._is_stopping = True
        self._ending.set()
        for pair in self._pairs.values():
            pair.ask(QUIT)

    async def kill(self) -> None:
        """End all workers at once."""
        self._is_stopping = self._is_killed = True
        self._ending.set()
        for pair in self._pairs.values():
            pair.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, index: int) -> ExitCode:
        """Run one worker, and another in its place when it dies or is to be replaced."""
        succession = Succession(self._settings.worker)
        predecessor: Gone | None = None
        loop = asyncio.get_running_loop()
        while True:
            spec = new_spec(self._settings, folder=self._folder, index=index, is_profiled=self._is_profiled,
                            is_careful=succession.is_careful, predecessor=predecessor)
            started = loop.time()
            watch = Watch(self._settings.worker, linger=self._settings.bus.linger, now=started,
                          is_careful=spec.is_careful)
            end = await self._run(index, spec, watch)
            predecessor, delay = None, 0.0
            match end:
                case Final():
                    return end.code
                case Retired():
                    succession.after_retirement(is_proven=watch.is_proven)
                    if end.cut_short:
                        _log.warning("worker %s is replaced: %s", spec.worker, end.cut_short)
                        predecessor = self._report(Gone(worker=spec.worker, reason=end.cut_short))
                case Death():
                    delay = succession.after_death(end, lived=loop.time() - started)
                    if not self._is_killed:
                        _log.error("worker %s died: %s%s", spec.worker, end.reason, "" if self._is_stopping else
                                   f"; a new one starts in {delay:.1f} s{_CAREFUL if succession.is_careful else ''}")
                        predecessor = self._report(Gone(worker=spec.worker, reason=end.reason, suspects=end.suspects))
                case _:
                    assert_never(end)
            if delay and not self._is_stopping:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), delay)
            if self._is_stopping:
                return end.code if isinstance(end, Death) else ExitCode.OK

    async def _run(self, index: int, spec: WorkerSpec, watch: Watch) -> End:
        """The processes of one worker until their end: they share one fate."""
        try:
            pair = self._pairs[index] = Pair(spec)
        except OSError as error:  # no room for its board
            return Death(code=ExitCode.ERROR, reason=f"it can't be started: {error}")
        try:
            await pair.start()
            if self._is_killed:  # while it was being started
                pair.kill()
            elif self._is_stopping:
                pair.ask(QUIT)
            return await self._until_ended(pair, spec, watch)
        except OSError as error:  # no process can be made now
            await self._end(pair, spec)
            return Death(code=ExitCode.ERROR, reason=f"it can't be started: {error}")
        finally:
            del self._pairs[index]
            pair.kill()
            pair.close()

    async def _until_ended(self, pair: Pair, spec: WorkerSpec, watch: Watch) -> End:
        """Watch a worker until one of its processes ends, or has to be; then see the other one's end."""
        loop = asyncio.get_running_loop()
        while not await pair.one_ended(LOOK_INTERVAL):
            match watch.look(pair.look(loop.time())):
                case Kill() as kill:
                    await self._end(pair, spec)
                    return killed(kill, notes=pair.notes())
                case Retire(reason=reason):
                    _log.info("worker %s is to finish what it holds and to be replaced: %s", spec.worker, reason)
                    pair.ask(RETIRE)
                case None:
                    pass
        codes, is_finished, note = pair.codes(), pair.is_finished, pair.notes()[EXTRACTOR]
        if all(is_orderly(role, code, note=note, is_finished=is_finished) for role, code in codes.items()):
            if FETCHER in codes:
                await pair.all_ended(self._settings.bus.linger)
            elif is_finished:  # its fetcher, which speaks for both, follows
                await pair.all_ended(self._settings.bus.linger * 2)
                codes |= {role: code for role, code in pair.codes().items() if role == FETCHER}
        await self._end(pair, spec)
        return judge(codes, notes=pair.notes(), is_finished=is_finished, is_retiring=watch.is_retiring)

    async def _end(self, pair: Pair, spec: WorkerSpec) -> None:
        """End what is left of a worker."""
        pair.kill()
        if not await pair.all_ended(_TO_DIE):
            _log.error("processes %s of worker %s were killed and do not end: does a disk not answer?",
                       ", ".join(map(str, pair.alive())), spec.worker)

    def _report(self, gone: Gone) -> Gone:
        """Tell the master at once, so that the leases return before heartbeats are missed."""
        zsockets.send(self._mgmt, [gone.worker.encode(), self._codec.encode(gone)])
        return gone
