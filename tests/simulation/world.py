"""One simulated crawl: everything comes from a seed, and everything is checked while it runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from random import Random

import msgspec

from simulation.actors import SimMaster, SimWorker, answer
from simulation.machine import KilledError, Machine, Network
from simulation.oracle import Acknowledgements, Disk, Servers, Violation, check_balance, check_end, demand
from simulation.site import Kind, Site
from spyder.bus.messages import Gone
from spyder.errors import StoreError
from spyder.model.records import CrawlUri, Page
from spyder.model.states import ExitCode
from spyder.settings import (
    BusSection,
    FetchSection,
    FrontierSection,
    OutputSection,
    PolitenessSection,
    RetrySection,
    RobotsSection,
    Settings,
    WorkerSection,
)

#: Seconds after the last fault in which the crawl must come to its end.
PATIENCE = 400.0


class World:
    """A site, a master, workers under their supervisors, and what happens to them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        random = Random(seed)
        self.machine = Machine(random)
        self.network = Network(self.machine)
        self.intensity = random.choice([0.0, 0.3, 1.0, 1.0, 2.0])
        self.slots = random.choice([2, 6, 16])
        self.settings = _settings(random, self.slots)
        self.site = Site(random, hosts=random.choice([1, 3, 6]), pages=random.choice([3, 12, 30]),
                         poison=random.choice([0, 0, 1]), trouble=random.choice([0.0, 0.3]))
        self.is_network_bad = self.intensity > 0 and random.random() < 0.6
        self.fault_until = random.choice([4.0, 10.0, 20.0]) if self.intensity else 0.0
        self.is_local = self.intensity > 0 and random.random() < 0.2  #: all die with the master, as of ``spyder crawl``
        self.has_long_fetches = random.random() < 0.2  #: then no worker stands still: its connections would, too
        if self.has_long_fetches:  # what holds for less than a fetch takes would be asked for again and again
            self.settings = msgspec.structs.replace(
                self.settings, robots=msgspec.structs.replace(self.settings.robots, validity=86_400.0))
        self.faults = 0
        self.disk = Disk(self)
        self.servers = Servers(self, self.settings.politeness)
        self.obeys = self.settings.robots.policy == "obey"
        self.looks_up = random.random() < 0.5
        self.address_ttl = 1000.0 if self.has_long_fetches else random.choice([2.0, 1000.0])
        self.errands: set[int] = set()  #: leases that are for no page
        self.acknowledgements = Acknowledgements(self)
        self.records: Counter[str] = Counter()  #: durable records by URL
        self.spools: defaultdict[str, list[list[bytes]]] = defaultdict(list)
        self.claimed: set[int] = set()
        self.full_hosts: set[str] = set()
        self.leased: set[int] = set()
        self.master: SimMaster | None = None
        self.workers: list[SimWorker] = []
        self._masters = 0
        self._worker_number = 0
        self._is_over = False
        self._has_seeds = False
        self.log: list[str] = []

    # -- the run

    def run(self) -> None:
        """Crawl; raises :class:`Violation` when the guarantee is broken."""
        machine, random = self.machine, self.machine.random
        if self.is_network_bad:
            self.network.drop = random.choice([0.0, 0.05, 0.3])
            self.network.repeat = random.choice([0.0, 0.05, 0.3])
            self.network.lag = random.choice([0.0, 0.1, 0.5])
        if self.intensity:
            self.disk.death_chance = random.choice([0.0, 0.0, 0.02])
            machine.at(self.fault_until, self._heal)
            machine.at(random.random(), self._next_fault)
        self._start_master()
        for number in range(random.choice([2, 3] if self.has_long_fetches else [1, 2, 3])):
            self._start_worker(f"host{number}")
        if not machine.run(self._is_crawled, deadline=self.fault_until + PATIENCE):
            raise Violation(f"it hangs: {self._situation()}")
        assert self.master is not None
        demand(self.master.ended == "done", f"it ended: {self.master.ended}")
        self._stop()
        check_end(self)

    def _is_crawled(self) -> bool:
        master = self.master
        return (master is not None and bool(master.ended) and self.machine.time >= self.fault_until
                and not master.is_stopped and not master.core.stopping and not self.disk.is_full and not self.full_hosts
                and not any(worker.is_stopped or worker.extractor.is_stopped for worker in self.workers))

    def _stop(self) -> None:
        """The end of a crawl: every worker ends, and nothing stays behind."""
        master = self.master
        assert master is not None
        self._is_over = True
        master.core.stop()
        limit = self.machine.time + self.settings.worker.drain + 2 * self.settings.bus.linger

        def quit_again() -> None:
            master.core.say_quit()
            master.after(self.settings.bus.heartbeat / 2, quit_again)

        quit_again()
        demand(self.machine.run(lambda: not master.core.workers, deadline=limit), "workers did not end in time")
        master.core.finish()

    def note(self, text: str) -> None:
        """Remember what happened, for a failure's report."""
        self.log.append(f"{self.machine.time:9.4f} {text}")

    def _situation(self) -> str:
        master = self.master
        if master is None:
            return "no master"
        workers = [(worker.identity, worker.is_alive, worker.stage._held()) for worker in self.workers]
        return f"{master.core.frontier.books}, {master.core.frontier.leased} leased, {master.core.faults()}, {workers}"

    def check(self) -> None:
        """What must hold at each turn of the master."""
        check_balance(self)

    # -- processes

    def _start_master(self) -> None:
        expects = self._masters > 0 and not self.is_local
        self._masters += 1
        self.note(f"master {self._masters} starts")
        try:
            self.master = SimMaster(self, self._masters, expects_survivors=expects)
            if not self._has_seeds:
                self.master.core.add_seeds(self.site.seeds)
                self._has_seeds = True
        except KilledError:
            self.master_died()
        except Exception as error:  # the disk is full: its init system tries again
            if "no space" not in str(error):
                raise
            self.master = None
            self.machine.at(self.machine.time + 1.0, self._start_master)

    def master_died(self) -> None:
        """The master is gone; its init system starts another one."""
        self.note("master dies")
        self.faults += 1
        if self.master is not None:
            self.master.is_alive = False
        self.master = None
        self.machine.at(self.machine.time + self.machine.random.choice([0.1, 1.0, 6.0]), self._start_master)
        if self.is_local:
            for worker in list(self.workers):
                self.worker_died(worker, "its master's process is dead", is_told=False)

    def _stop_master(self) -> None:
        """SIGTERM: it ends in good order, its workers with it; then both are started again."""
        master = self.master
        if master is None or master.is_stopped or self.disk.is_full:
            return
        self.faults += 1
        self.note("master is asked to stop")
        master.core.stop()
        master.core.say_quit()
        limit = self.settings.worker.drain + 2 * self.settings.bus.linger

        def finish() -> None:
            if self.master is master:
                master.core.finish()
                with suppress(StoreError):  # the master logs it
                    master.core.frontier.close()
                master.is_alive = False
                self.master = None
                self.machine.at(self.machine.time + 0.3, self._start_master)

        master.after(limit, finish)

    def _start_worker(self, host: str, predecessor: Gone | None = None) -> None:
        self._worker_number += 1
        self.workers = [worker for worker in self.workers if worker.is_alive]
        try:
            self.workers.append(SimWorker(self, host, self._worker_number, predecessor))
        except KilledError:
            self._restart(host, predecessor)
        else:
            self.note(f"{self.workers[-1].identity} starts")

    def worker_died(self, worker: SimWorker, reason: str, *suspects: bytes, is_told: bool = True) -> None:
        """A worker is dead; its supervisor tells the master, and starts another one."""
        if not worker.is_alive:
            return
        self.note(f"{worker.identity}: {reason}")
        self.faults += 1
        worker.die()
        gone = Gone(worker=worker.identity, reason=reason, suspects=suspects)
        self.to_master(worker.host, lambda master: master.hear(gone))
        self._restart(worker.host, gone if is_told else None)

    def _restart(self, host: str, predecessor: Gone | None) -> None:
        if not self._is_over:
            self.machine.at(self.machine.time + 0.2, lambda: self._start_worker(host, predecessor))

    def worker_ended(self, worker: SimWorker) -> None:
        """A worker ended by itself; when that was for no master, somebody starts one again later."""
        self.note(f"{worker.identity} ends: {worker.exit_code}")
        if worker.exit_code is not ExitCode.OK:
            self.faults += 1
        worker.die()
        if not self._is_over:
            self.machine.at(self.machine.time + 1.0, lambda: self._start_worker(worker.host))

    def poisoned(self, worker: SimWorker, key: bytes) -> None:
        """A page kills the extractor that reads it."""
        self.worker_died(worker, "its extractor was ended by signal 11", key)
        raise KilledError

    def worker(self, identity: str) -> SimWorker | None:
        """The living worker with this identity."""
        return next((worker for worker in self.workers if worker.is_alive and worker.identity == identity), None)

    def to_master(self, host: str, action: Callable[[SimMaster], None]) -> None:
        """Send something to the master that lives now."""
        master = self.master
        if master is not None:
            self.network.send(host, master, lambda: action(master), is_up=True)

    # -- faults

    def _next_fault(self) -> None:
        machine, random = self.machine, self.machine.random
        if machine.time >= self.fault_until:
            return
        if self.has_long_fetches:
            random.choice([self._cut_long, self._cut_long, self._kill_worker, self._kill_master])()
            machine.at(machine.time + random.expovariate(0.2), self._next_fault)
            return
        random.choice([
            self._kill_worker, self._kill_worker, self._kill_master, self._stop_worker, self._cut, self._cut_long,
            self._mute, self._mute, self._quit_worker, self._stop_master, self._pause_master, self._fill_disk,
            self._fill_outputs])()
        machine.at(machine.time + random.expovariate(self.intensity / 2), self._next_fault)

    def _some_worker(self) -> SimWorker | None:
        alive = [worker for worker in self.workers if worker.is_alive]
        return self.machine.random.choice(alive) if alive else None

    def _kill_worker(self) -> None:
        worker = self._some_worker()
        if worker is not None:
            self.worker_died(worker, "killed")

    def _kill_master(self) -> None:
        if self.master is not None:
            self.master_died()

    def _stop_worker(self) -> None:
        worker = self._some_worker()
        if worker is None or self.has_long_fetches:
            return
        self.faults += 1
        process = self.machine.random.choice([worker, worker.extractor])
        seconds = self.machine.random.choice([0.3, 2.0, 8.0])
        self.note(f"{process.name} stands still for {seconds} s")
        process.stop()
        self.machine.at(self.machine.time + seconds, process.resume)

    def _pause_master(self) -> None:
        master = self.master
        if master is None:
            return
        self.faults += 1
        seconds = self.machine.random.choice([0.3, 2.0, 8.0])
        self.note(f"{master.name} stands still for {seconds} s")
        master.stop()
        self.machine.at(self.machine.time + seconds, master.resume)

    def _cut(self, seconds: float = 1.5) -> None:
        worker = self._some_worker()
        if worker is None:
            return
        self.faults += 1
        self.note(f"{worker.host} is cut off for {seconds} s")
        self.network.cut.add(worker.host)
        self.machine.at(self.machine.time + seconds, lambda: self.network.cut.discard(worker.host))

    def _mute(self) -> None:
        worker = self._some_worker()
        if worker is None:
            return
        self.faults += 1
        seconds = self.machine.random.choice([2.0, 9.0])
        self.note(f"{worker.host} is not heard for {seconds} s")
        self.network.mute.add(worker.host)
        self.machine.at(self.machine.time + seconds, lambda: self.network.mute.discard(worker.host))

    def _cut_long(self) -> None:
        self._cut(self.machine.random.choice([5.0, 12.0]))

    def _quit_worker(self) -> None:
        worker = self._some_worker()
        if worker is not None:
            self.faults += 1
            self.note(f"{worker.identity} is asked to stop")
            worker.run(worker.quit)

    def _fill_disk(self) -> None:
        self.faults += 1
        self.note("the master's disk is full")
        self.disk.is_full = True
        self.machine.at(self.machine.time + 3.0, self._empty_disk)

    def _empty_disk(self) -> None:
        self.disk.is_full = False

    def _fill_outputs(self) -> None:
        worker = self._some_worker()
        if worker is not None:
            self.faults += 1
            self.note(f"the disk of {worker.host} is full")
            self.full_hosts.add(worker.host)
            self.machine.at(self.machine.time + 3.0, lambda: self.full_hosts.discard(worker.host))

    def _heal(self) -> None:
        """From now on nothing goes wrong any more."""
        self.network.drop = self.network.repeat = self.network.lag = 0.0
        self.disk.death_chance = 0.0

    # -- the web

    def answer(self, uri: CrawlUri, elapsed: float) -> Page:
        """What the web says to a request."""
        return answer(self, uri, elapsed)

    def fetch_time(self) -> float:
        """Seconds that a fetch takes."""
        random = self.machine.random
        times = [0.01, 0.3, 20.0] if self.has_long_fetches else [0.001, 0.01, 0.05, 0.3, 1.5]
        return random.choice(times) * (0.5 + random.random())

    def loses_page(self) -> bool:
        """A page that arrives at the extractor damaged: rarer than anything else."""
        if self.is_network_bad and self.machine.time < self.fault_until and self.machine.random.random() < 0.003:
            self.faults += 1
            return True
        return False

    def fetches_needed(self, url: str) -> int:
        """How often a page is fetched when all goes well."""
        retries = self.settings.retry.attempts["http-5xx"]
        return {Kind.SHAKY: 2, Kind.BROKEN: 1 + retries,
                Kind.POISON: self.settings.retry.quarantine_after}.get(self.site.kinds[url], 1)


def _settings(random: Random, slots: int) -> Settings:
    per_host = random.choice([1, 1, 2])
    retry = RetrySection()
    return msgspec.structs.replace(
        _BASE,
        frontier=FrontierSection(
            store="memory", canonical="plain", active_queues=random.choice([1, 2, 100]),
            queue_budget=random.choice([1, 5, 1000]), page_in=random.choice([1, 3, 128])),
        politeness=PolitenessSection(per_host=per_host, delay=random.choice([0.0, 0.05, 0.6]) if per_host == 1 else 0.0,
                                     delay_factor=0.0, backoff=0.1, max_backoff=0.5, slowdown=0.05, max_slowdown=0.2,
                                     per_ip=random.choice([1, 2, 8]), ip_delay=random.choice([0.0, 0.02, 0.3])),
        robots=RobotsSection(policy=random.choice(["obey", "ignore"]), validity=random.choice([3.0, 86_400.0])),
        retry=msgspec.structs.replace(retry, attempts={**retry.attempts, "http-5xx": 2},
                                      delay={**retry.delay, "http-5xx": 0.3, "worker-died": 0.3}, factor=2.0),
        bus=BusSection(master_timeout=random.choice([5.0, 300.0])),
        worker=WorkerSection(slots=slots, drain=random.choice([0.5, 3.0])),
        fetch=FetchSection(connections=random.choice([1, 4])),
        output=OutputSection(sync_pages=random.choice([1, 3, 256])))


_BASE = Settings()


def run(seed: int) -> World:
    """Run one seed; raises :class:`Violation` with the story of what happened."""
    world = World(seed)
    try:
        world.run()
    except Exception as error:
        story = "\n".join(world.log[-40:])
        what = f"{type(error).__name__}: {error}"
        raise Violation(f"seed {seed} at {world.machine.time:.3f} s: {what}\n{story}") from None
    return world
