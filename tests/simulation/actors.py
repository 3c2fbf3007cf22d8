"""The simulated processes: the program's own cores, joined to a simulated network, disk and web."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.machine import KilledError, Process, ProcessClock
from simulation.site import Kind, Robots
from spyder import plugins
from spyder.bus.messages import (
    Ack,
    Codec,
    Gone,
    LeaseBatch,
    MasterHeartbeat,
    MasterMessage,
    OutcomeBatch,
    OutcomeMessage,
    WorkerMessage,
)
from spyder.frontier.frontier import Frontier
from spyder.frontier.prioritizer import FirstComeFirstServed
from spyder.model.records import CrawlUri, Failure, Link, Outcome, Page, PageRecord
from spyder.model.scoping import HostScoping
from spyder.model.states import ErrorKind, ExitCode, LinkKind, Purpose, UriState
from spyder.model.url import UriIdentity
from spyder.nodes.board import Board, Cell
from spyder.nodes.coordinator import Coordinator
from spyder.nodes.extractstage import ExtractStage
from spyder.nodes.fetchstage import LOOK_INTERVAL, FetchStage
from spyder.nodes.pipeline import Processed, SeenLinks

if TYPE_CHECKING:
    from simulation.world import World

_CODEC: Codec[OutcomeMessage] = Codec(OutcomeMessage, limit=1 << 20)
IDENTITY = UriIdentity(plugins.find("canonical", "plain"), plugins.find("assignment", "host"))
#: Seconds in which a connection between two processes comes about.
_CONNECT = 0.02


class SimMaster(Process):
    """A master's process: a coordinator over the disk, and its port."""

    def __init__(self, world: World, number: int, *, expects_survivors: bool) -> None:
        super().__init__(world.machine, f"master{number}")
        self.world = world
        self.pipes: dict[str, int] = {}  #: number of the PUSH socket by worker
        self.ended = ""
        self._pipe_number = 0
        self._wake = 0
        self._is_turn_due = False
        self.clock = ProcessClock(world.machine, world.machine.random.random() * 1000)
        settings = world.settings
        frontier = Frontier(
            store=world.disk, clock=self.clock, identity=IDENTITY, scoping=HostScoping("any"),
            prioritizer=FirstComeFirstServed(), frontier=settings.frontier, politeness=settings.politeness,
            retry=settings.retry, limits=settings.limits, robots=settings.robots, agent="spyder",
            looks_up=world.looks_up)
        self.core = Coordinator(settings, identity=f"{self.name}:{world.machine.random.random()}", frontier=frontier,
                                port=self, clock=self.clock, ends_when_done=True, expects_survivors=expects_survivors)
        self.core.outcomes = self.name
        self.after(0.0, self._beat)
        self.turn_soon()

    def _beat(self) -> None:
        self.core.beat()
        self.after(self.world.settings.bus.heartbeat / 2, self._beat)

    def _turn(self) -> None:
        self._is_turn_due = False
        self.core.turn()
        self.world.check()

    def hear(self, message: WorkerMessage) -> None:
        """A management message arrives."""
        self.core.hear(message)
        self.turn_soon()

    def take(self, payload: bytes) -> None:
        """A message arrives at the outcome socket."""
        self.core.take(_CODEC.decode(payload))
        self.turn_soon()

    def on_killed(self) -> None:
        self.world.master_died()

    # -- its port

    def say(self, topic: bytes, message: MasterMessage) -> None:
        self._check_acknowledgements(topic, message)
        for worker in self.world.workers:
            if topic in {b"all", worker.identity.encode()}:
                for process in (worker, worker.extractor):
                    if process.is_alive and process.hears_from(self):
                        self.world.network.send(worker.host, process, lambda to=process: to.hear(message))

    def _check_acknowledgements(self, topic: bytes, message: MasterMessage) -> None:
        match message:
            case Ack():
                self.world.acknowledgements.acknowledged(topic.decode(), message.sequence)
            case MasterHeartbeat():
                for worker, sequence in message.acks.items():
                    self.world.acknowledgements.acknowledged(worker, sequence)
            case _:
                pass

    def open_pipe(self, worker: str) -> str:
        self._pipe_number += 1
        self.pipes[worker] = self._pipe_number
        return f"{self.name}/{worker}/{self._pipe_number}"

    def push(self, worker: str, batch: LeaseBatch) -> None:
        for uri in batch.uris:
            if uri.purpose is not Purpose.PAGE:
                self.world.errands.add(uri.lease)
                continue
            row = self.world.disk.rows.uris([uri.key])[0]
            assert row is not None
            if row.state is not UriState.QUEUED and uri.lease not in self.world.leased:
                raise AssertionError(f"{uri.url} is leased and stored as {row}")
            self.world.leased.add(uri.lease)
        number = self.pipes[worker]
        found = self.world.worker(worker)
        if found is not None:
            address = f"{self.name}/{worker}/{number}"
            self.world.network.send(found.host, found, lambda: found.take(address, batch))

    def close_pipe(self, worker: str) -> None:
        del self.pipes[worker]

    def turn_soon(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            self.after(0.0, self._turn)

    def wake_in(self, seconds: float | None) -> None:
        self._wake += 1
        if seconds is not None:
            number = self._wake
            self.after(seconds, lambda: self.turn_soon() if number == self._wake else None)

    def welcome_again_in(self, seconds: float) -> None:
        self.after(seconds, self.core.repeat_welcomes)

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason


class Spec:
    """What a worker's stages are told: as ``WorkerSpec``, without the serialisation."""

    is_careful = False
    is_profiled = False

    def __init__(self, world: World, worker: str, predecessor: Gone | None) -> None:
        self.worker = worker
        self.name = worker
        self.predecessor = predecessor
        self._settings = world.settings

    def read_settings(self):
        return self._settings


class SimWorker(Process):
    """A worker: the fetcher's process, which owns the extractor's; both have one fate."""

    def __init__(self, world: World, host: str, number: int, predecessor: Gone | None) -> None:
        super().__init__(world.machine, f"fetcher{number}")
        self.world = world
        self.host = host  #: where its supervisor and its disk are: it outlives the worker
        self.identity = f"worker:{host}:1.{number}:{number:08x}"
        self.exit_code: ExitCode | None = None
        self.board = Board()
        self.clock = ProcessClock(world.machine, world.machine.random.random() * 1000)
        self._transport = SimTransport(self)
        self._spec = Spec(world, self.identity, predecessor)
        self.extractor = SimExtractor(self)
        self._push = ""
        self._heard: dict[str, float] = {}
        self.stage = FetchStage(self._spec, port=self, transport=self._transport, board=self.board, clock=self.clock)
        self._is_draining = False
        self.after(world.machine.random.random() * 0.1, self._beat)

    def hears_from(self, master: SimMaster) -> bool:
        """A subscription takes a moment to reach a new master, and is gone with the old one."""
        since = self._heard.setdefault(master.name, self.machine.time)
        return self.machine.time - since >= _CONNECT

    def _beat(self) -> None:
        seconds = self.stage.beat()
        self._drain_soon()
        self.after(seconds, self._beat)

    def _drain_soon(self) -> None:
        if self.stage.is_quitting and not self._is_draining:
            self._is_draining = True
            self._drain()

    def _drain(self) -> None:
        if not self.stage.drain():
            self.after(5 * LOOK_INTERVAL, self._drain)

    def hear(self, message: MasterMessage) -> None:
        """A management message arrives."""
        self.stage.hear(message)
        self._drain_soon()

    def take(self, address: str, batch: LeaseBatch) -> None:
        """Leases arrive, if the socket that they came by is still the one."""
        if address == self._push:
            self.stage.take(batch)
            self.stage.begin()

    def quit(self) -> None:
        """SIGTERM."""
        self.stage.quit(self.world.settings.worker.drain)
        self._drain_soon()

    def die(self) -> None:
        """Both processes are gone, with all that they had in memory."""
        self.is_alive = self.extractor.is_alive = False
        self._transport.abort()

    def on_killed(self) -> None:
        self.world.worker_died(self, "it died")

    # -- its port

    def say(self, message: WorkerMessage) -> None:
        self.world.to_master(self.host, lambda master: master.hear(message))

    def connect(self, push: str) -> None:
        self._push = push

    def disconnect(self) -> None:
        self._push = ""

    def hand_on(self, page: Page, body: bytes) -> None:
        self.extractor.after(0.0002, lambda: self.extractor.take(page))

    def end_of_pages(self, seconds: float) -> None:
        self.extractor.after(0.0002, lambda: self.extractor.end_by(seconds))

    def send_notices_in(self, seconds: float) -> None:
        self.after(seconds, self.stage.send_notices)

    def begin_in(self, seconds: float) -> None:
        self.after(seconds, self.stage.begin)

    def figures(self) -> tuple[float, int]:
        return 0.0, 0

    def end(self, code: ExitCode) -> None:
        if self.exit_code is None:
            self.exit_code = code
            self.world.worker_ended(self)


class SimTransport:
    """Fetches from the simulated web."""

    def __init__(self, worker: SimWorker) -> None:
        self._worker = worker
        self._running: dict[int, str] = {}
        self._number = 0

    @property
    def active(self) -> int:
        return len(self._running)

    @property
    def free(self) -> int:
        return self._worker.world.settings.fetch.connections - len(self._running)

    def fetch(self, uri: CrawlUri, on_done) -> None:
        world, machine = self._worker.world, self._worker.machine
        self._number += 1
        number = self._number
        self._running[number] = uri.url
        is_look_up = uri.purpose is Purpose.ADDRESS
        if not is_look_up:
            world.servers.begin(uri)
        page = world.answer(uri, elapsed := world.fetch_time())
        open_now = [True]

        def server_ends() -> None:
            if open_now and number in self._running and not is_look_up:
                open_now.clear()
                world.servers.end(uri.url)

        def done() -> None:
            if self._running.pop(number, None) is not None:
                on_done(page, b"")

        self._ends = getattr(self, "_ends", {})
        self._ends[number] = server_ends
        machine.at(machine.time + elapsed, server_ends)
        machine.at(machine.time + elapsed, lambda: self._worker.run(done))

    def abort(self) -> list[CrawlUri]:
        for number in list(self._running):
            self._ends[number]()
            del self._running[number]
        return []


class SimExtractor(Process):
    """The extractor's process: its stage, with a sink whose unsynced lines die with it."""

    def __init__(self, worker: SimWorker) -> None:
        super().__init__(worker.machine, worker.name.replace("fetcher", "extractor"))
        self.worker = worker
        self.world = worker.world
        self._lines: list[PageRecord] = []
        self._seen = SeenLinks(self.world.settings.extract.seen_links)
        self._heard: dict[str, float] = {}
        self._master = ""
        self._timer = 0
        self._is_finished = False
        self.stage = ExtractStage(worker._spec, port=self, pipeline=self, sink=self,
                                  spool=SimSpool(self.world, worker.host), board=worker.board, clock=worker.clock)
        self.stage.open()
        self._work_soon()

    hears_from = SimWorker.hears_from

    def _work_soon(self) -> None:
        """One round of the stage's loop, and the next one when it wants it."""
        if self._is_finished:
            return
        self.stage.work()
        if self.stage.is_done:
            self._is_finished = True
            self.stage.finish()
            return
        self._timer += 1
        number = self._timer
        wait = self.stage.wait_seconds()
        self.after(max(0.001, wait), lambda: self._work_soon() if number == self._timer else None)

    def hear(self, message: MasterMessage) -> None:
        """A management message arrives."""
        if not self._is_finished:
            self.stage.hear(message)
            self._work_soon()

    def take(self, page: Page) -> None:
        """A page arrives."""
        if self._is_finished:
            return
        if self.stage.must_wait_for_disk or self.stage.is_batch_full:
            self.after(0.01, lambda: self.take(page))
            return
        if self.world.loses_page():
            self.worker.board[Cell.UNREADABLE] += 1
            return
        self.stage.take(page, b"")
        self._work_soon()

    def end_by(self, seconds: float) -> None:
        """No page follows."""
        self.stage.end_by(seconds)
        self._work_soon()

    def on_killed(self) -> None:
        self.world.worker_died(self.worker, "its extractor died")

    # -- its port

    def connect(self, outcomes: str) -> None:
        self._master = outcomes

    def publish(self, topic: bytes, payload: bytes) -> bool:
        message = _CODEC.decode(payload)
        if isinstance(message, OutcomeBatch):
            self.world.acknowledgements.published(message.worker, message.sequence, message.outcomes)
        wanted = self._master
        self.world.to_master(self.worker.host, lambda master: master.take(payload) if master.name == wanted else None)
        return True

    # -- its pipeline

    def __call__(self, page: Page, body: bytes, *, now: float) -> Processed:
        uri = page.uri
        if uri.purpose is not Purpose.PAGE:
            return self._errand(page)
        if self.world.site.kinds[uri.url] is Kind.POISON:
            self.world.poisoned(self.worker, uri.key)
        links = []
        if page.failure is None:
            kind = LinkKind.REDIRECT if page.status == 301 else LinkKind.NAVIGATION
            targets = self.world.site.links[uri.url][:1] if page.status == 301 else self.world.site.links[uri.url]
            for url in targets:
                key = IDENTITY.key(1, url)
                if self._seen.is_new(key, uri.depth + (page.status != 301)):
                    links.append(Link(url=url, key=key, kind=kind))
        outcome = Outcome(lease=uri.lease, key=uri.key, status=page.status, failure=page.failure, elapsed=page.elapsed,
                          links=tuple(links), attempt=uri.attempt)
        is_final = page.failure is None or uri.attempt >= self.world.settings.retry.retries(page.failure.kind)
        record = PageRecord(url=uri.url, final_url=uri.url, fetched_at="") if is_final else None
        return Processed(outcome=outcome, record=record)

    def _errand(self, page: Page) -> Processed:
        uri, site = page.uri, self.world.site
        links, rules = (), None
        if uri.purpose is Purpose.ROBOTS and page.failure is None:
            host = robots_of(uri.url)
            if page.status == 301:
                target = site.robots_elsewhere(host)
                links = (Link(url=target, key=IDENTITY.key(1, target), kind=LinkKind.REDIRECT),)
            else:
                rules = site.rules(host)
        return Processed(record=None, outcome=Outcome(
            lease=uri.lease, key=uri.key, status=page.status, failure=page.failure, elapsed=page.elapsed, links=links,
            robots=rules, ip=page.ip, address_ttl=page.address_ttl))

    def forget_links(self) -> None:
        self._seen = SeenLinks(self.world.settings.extract.seen_links)

    # -- its sink

    def open(self) -> None:
        pass

    def write(self, record: PageRecord, page: Page, body: bytes) -> None:
        self._lines.append(record)

    def sync(self) -> None:
        world = self.world
        dies = bool(world.disk.death_chance) and world.machine.random.random() < world.disk.death_chance / 3
        if dies and world.machine.random.random() < 0.5:
            raise KilledError
        if self.worker.host in world.full_hosts:
            raise OSError(28, "No space left on device")
        for record in self._lines:
            world.records[record.url] += 1
        self._lines.clear()
        if dies:
            raise KilledError

    def close(self) -> None:
        self.sync()


class SimSpool:
    """What workers of one host left on its disk."""

    def __init__(self, world: World, host: str) -> None:
        self._world = world
        self._files = world.spools[host]
        self._claimed: list[list[bytes]] = []

    def claim(self):
        self._claimed = [file for file in self._files if id(file) not in self._world.claimed]
        self._world.claimed.update(id(file) for file in self._claimed)
        return [_CODEC.decode(payload).outcomes for file in self._claimed for payload in file]

    def keep(self, payloads) -> None:
        self._files.append(list(payloads))

    def release(self, *, is_reported: bool) -> None:
        for file in self._claimed:
            self._world.claimed.discard(id(file))
            if is_reported:
                self._files.remove(file)
        self._claimed = []


def answer(world: World, uri: CrawlUri, elapsed: float) -> Page:
    """What the web says to a request."""
    failure, status = None, 200
    if uri.purpose is Purpose.ADDRESS:
        return Page(uri=uri, ip=world.site.addresses[uri.url.split("/")[2]], address_ttl=world.address_ttl,
                    elapsed=elapsed)
    if uri.purpose is Purpose.ROBOTS:
        return robots_answer(world, uri, elapsed)
    match world.site.kinds[uri.url]:
        case Kind.MISSING:
            status, failure = 404, Failure(kind=ErrorKind.HTTP_4XX)
        case Kind.BROKEN:
            status, failure = 503, Failure(kind=ErrorKind.HTTP_5XX)
        case Kind.SHAKY if world.servers.fetches[uri.url] <= 1:
            status, failure = 503, Failure(kind=ErrorKind.HTTP_5XX)
        case Kind.REDIRECT:
            status = 301
        case _:
            pass
    return Page(uri=uri, status=status, failure=failure, elapsed=elapsed)


def robots_of(url: str) -> str:
    """The host whose robots.txt *url* is."""
    _, _, host, path = url.split("/")
    return path.removeprefix("robots-of-") if path != "robots.txt" else host


def robots_answer(world: World, uri: CrawlUri, elapsed: float) -> Page:
    """What a robots.txt says."""
    failure, status = None, 200
    match world.site.robots[robots_of(uri.url)]:
        case Robots.NONE:
            status, failure = 404, Failure(kind=ErrorKind.HTTP_4XX)
        case Robots.SHAKY if world.servers.fetches[uri.url] <= 1:
            status, failure = 503, Failure(kind=ErrorKind.HTTP_5XX)
        case Robots.ELSEWHERE if uri.url.endswith("/robots.txt"):
            status = 301
        case _:
            pass
    return Page(uri=uri, status=status, failure=failure, elapsed=elapsed)
