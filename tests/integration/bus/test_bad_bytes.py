"""Bad bytes at the sockets of real processes: no crash, no growth, counted; and the crawl goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import signal
import socket as plain
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pytest
import yaml
import zmq
from strangers import Peers, Plain, descriptors, garbage, port_of, resident, shake, try_send
from system.support import Command, by_url, free_ports, running, wait_until

from spyder.bus.logpipe import LogMessage, LogPublisher
from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Available,
    Codec,
    Fetched,
    Gone,
    LeaseBatch,
    MasterHeartbeat,
    MasterMessage,
    OutcomeBatch,
    OutcomeMessage,
    Pause,
    Probe,
    Quit,
    QuitAck,
    Welcome,
    WorkerHeartbeat,
    WorkerMessage,
)
from spyder.bus.sockets import Reader, Sockets, endpoint, receive, send
from spyder.errors import MessageError
from spyder.model.records import CrawlUri, FetchNotice, Link, Outcome
from spyder.settings import BusSection, digests, load
from spyder.testing import LocalSite

PAGES = 800
MIB = 1 << 20
#: Times that everything is tried; SPYDER_FUZZ=10 tries ten times as much.
ROUNDS = 2 * int(os.environ.get("SPYDER_FUZZ", "1"))
#: Bytes by which a process may grow under attack: what its sockets hold, and what the allocator keeps.
GROWTH = 120 * MIB
LIMIT = 1 << 26
WORKER_CODEC: Codec[WorkerMessage] = Codec(WorkerMessage, limit=LIMIT)
MASTER_CODEC: Codec[MasterMessage] = Codec(MasterMessage, limit=LIMIT)
OUTCOME_CODEC: Codec[OutcomeMessage] = Codec(OutcomeMessage, limit=LIMIT)
LEASE_CODEC: Codec[LeaseBatch] = Codec(LeaseBatch, limit=LIMIT)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    opened = Sockets(BusSection(linger=0.0, high_water_mark=1000))
    yield opened
    opened.close_all()


@pytest.fixture
def peers() -> Iterator[Peers]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    strangers = Peers(context=context)
    yield strangers
    strangers.leave()
    context.term()


def until_received(socket, patience=10.0):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if (frames := receive(socket)) is not None:
            return frames
        time.sleep(0.005)
    raise AssertionError("nothing came")


# -- sockets


@pytest.mark.parametrize("count", [3, 4, 50, 150_000])
def test_given_a_message_of_many_frames_when_received_then_no_piece_of_it_is_a_message_and_the_next_one_is_whole(
        sockets, peers, count):
    pull = sockets.pull(bind="tcp://127.0.0.1:*")
    push = peers.connect(zmq.PUSH, endpoint(pull))
    for number in (1, 2):
        push.send_multipart([b"topic", b"payload"] * (count // 2) + [b"last"] * (count % 2))
        push.send_multipart([b"topic", b"good %d" % number])
    codec: Codec[OutcomeMessage] = Codec(OutcomeMessage, limit=100)
    good, longest = [], 0.0
    while len(good) < 2:
        until = time.perf_counter()
        frames = receive(pull)
        longest = max(longest, time.perf_counter() - until)
        if frames is None:
            time.sleep(0.001)
        elif len(frames) == 2:
            good.append(frames[1])
        else:
            with pytest.raises(MessageError):
                codec.read(frames)
    assert good == [b"good 1", b"good 2"]
    assert longest < 0.5, "the others get their turn"


def test_given_a_message_of_a_million_frames_when_it_is_read_then_the_event_loop_goes_on(sockets, peers):
    pull = sockets.pull(bind="tcp://127.0.0.1:*")
    push = peers.connect(zmq.PUSH, endpoint(pull))
    longest, good = 0.0, []

    async def tick():
        nonlocal longest
        while not good:
            last = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - last)

    async def main():
        reader = Reader(pull, lambda frames: good.append(frames) if len(frames) == 2 else None)
        try:
            await asyncio.wait_for(tick(), 60)
        finally:
            reader.close()

    push.send_multipart([b""] * 300_000)
    push.send_multipart([b"topic", b"good"])
    asyncio.run(main())
    assert good == [[b"topic", b"good"]]
    assert longest < 0.5


@pytest.mark.parametrize("is_lossy", [True, False])
def test_given_a_subscriber_that_does_not_read_when_published_then_it_keeps_all_from_the_others_unless_lossy(
        sockets, is_lossy):
    publisher = sockets.publisher(bind="tcp://127.0.0.1:*", is_lossy=is_lossy)
    good = sockets.subscriber(b"all", connect=endpoint(publisher))
    with plain.socket() as deaf:
        deaf.setsockopt(plain.SOL_SOCKET, plain.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port_of(endpoint(publisher))))
        shake(deaf, b"SUB")
        deaf.sendall(b"\x00\x04\x01all")
        wait_until(lambda: send(publisher, [b"all", b"probe"]) and receive(good), "a subscription")
        time.sleep(0.3)  # the deaf one's, too
        refused = heard = 0
        for _ in range(20_000):
            refused = 0 if send(publisher, [b"all", b"x" * 2000]) else refused + 1
            while receive(good):
                heard += 1
            if refused:
                time.sleep(0.005)
            if refused > 100:
                break
    assert (refused > 100) is not is_lossy, "the management bus must be lossy"
    assert heard > (10_000 if is_lossy else 500)


def test_given_a_peer_that_sends_to_a_push_socket_when_it_says_more_than_a_greeting_then_it_is_disconnected(sockets):
    push = sockets.push(bind="tcp://127.0.0.1:*")
    with plain.create_connection(("127.0.0.1", port_of(endpoint(push))), timeout=5) as stranger:
        shake(stranger, b"PULL")
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                stranger.sendall(b"\x02" + struct.pack(">Q", 1000) + b"x" * 1000)
                time.sleep(0.001)


def test_given_a_thief_at_a_push_socket_when_it_is_gone_then_all_goes_to_the_true_peer_again(sockets):
    push = sockets.push(bind="tcp://127.0.0.1:*")
    pull = sockets.pull(connect=endpoint(push))
    wait_until(lambda: send(push, [b"probe"]) and receive(pull), "the connection")
    thieves = [plain.create_connection(("127.0.0.1", port_of(endpoint(push))), timeout=5) for _ in range(5)]
    for thief in thieves:
        shake(thief, b"PULL")
        thief.sendall(b"\x00\x00" * 1000)  # what nobody at a PUSH socket reads
    for _ in range(100):
        send(push, [b"some are stolen"])
    for thief in thieves:
        thief.close()
    numbers: list[int] = []

    def all_arrive():
        for number in range(20):
            send(push, [b"%d" % number])
        numbers.clear()
        end = time.monotonic() + 1
        while len(numbers) < 20 and time.monotonic() < end:
            if (frames := receive(pull)) and frames[0].isdigit():
                numbers.append(int(frames[0]))
        return numbers == list(range(20))

    wait_until(all_arrive, "the thieves to be forgotten")


def test_given_a_false_log_sink_when_it_talks_then_the_publisher_goes_on_and_counts_on_no_one(sockets, peers):
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    publisher = LogPublisher(sockets, address, identity="worker:h:1")
    logger = logging.Logger("spyder.given")
    logger.addHandler(publisher)
    stranger = peers._context.socket(zmq.XSUB)
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.bind(address)
    peers._sockets.append(stranger)
    for _ in range(50):
        for frame in (b"\x00spyder.", b"\x01other.", b"\x02x", b"", b"\x00", b"\x01spyder.x", b"\x01" + b"x" * 200):
            stranger.send(frame)
    logger.warning("first")
    time.sleep(0.2)
    publisher.pump()
    assert len(publisher._waiting) == 1, "nobody who wants all records listens"
    stranger.send(b"\x01")

    def heard():
        publisher.pump()
        return stranger.poll(10)

    wait_until(heard, "a record")
    assert b"first" in stranger.recv_multipart()[1]


def test_given_a_handler_that_fails_for_every_message_when_flooded_then_the_log_is_not(sockets, peers, caplog):
    pull = sockets.pull(bind="tcp://127.0.0.1:*")
    push = peers.connect(zmq.PUSH, endpoint(pull))
    seen = []

    def fail(frames):
        seen.append(frames)
        raise ValueError("no message")

    async def main():
        reader = Reader(pull, fail)
        while len(seen) < 3000:
            await asyncio.sleep(0.01)
        reader.close()

    for _ in range(3000):
        push.send(b"x")
    started = time.monotonic()
    asyncio.run(asyncio.wait_for(main(), 30))
    lines = [record for record in caplog.records if "could not be handled" in record.getMessage()]
    assert 1 <= len(lines) <= 2 + (time.monotonic() - started)


# -- a master, its log sink and a worker among strangers


class Bus:
    """Addresses for one crawl over TCP, and its settings file."""

    def __init__(self, folder: Path, **sections: dict[str, object]) -> None:
        first, second, third, fourth, api, *push = free_ports(15)
        self.mgmt_master, self.mgmt_worker, self.outcomes, self.logging = (
            f"tcp://127.0.0.1:{port}" for port in (first, second, third, fourth))
        self.push = [f"tcp://127.0.0.1:{port}" for port in sorted(push)]
        tree: dict[str, dict[str, object]] = {
            "politeness": {"delay": 0.0, "delay_factor": 0.0, "per_host": 64},
            "fetch": {"connections": 8, "connect_timeout": 2.0},
            "worker": {"slots": 32, "restart_delay": 0.1},
            "output": {"directory": str(folder / "c"), "reserve": 0}, "frontier": {"reserve": 0},
            "api": {"port": api},
            "bus": {"mgmt_master": self.mgmt_master, "mgmt_worker": self.mgmt_worker, "outcomes": self.outcomes,
                    "logging": self.logging, "push": f"tcp://127.0.0.1:{min(push)}-{max(push)}", "heartbeat": 0.5}}
        for name, section in sections.items():
            tree[name] = {**tree.get(name, {}), **section}
        self.path = folder / "s.yaml"
        self.path.write_text(yaml.safe_dump(tree))
        self.settings = load(self.path, environ={})

    def status(self) -> dict[str, object]:
        with running("status", "--json", "--settings", str(self.path)) as command:
            output = command.wait(20)
        return json.loads(output) if command.process.returncode == 0 else {}

    @property
    def all(self) -> list[str]:
        return [self.mgmt_master, self.mgmt_worker, self.outcomes, self.logging, self.push[0]]


def made_up(number: int) -> str:
    return f"worker:stranger:{number}.0:{number:08x}"


def lies(chance: random.Random, settings) -> tuple[list[bytes], list[bytes]]:
    """Well-formed messages of workers that do not exist: to the management and to the outcome socket."""
    management, outcomes = [], []
    for number in range(2000):
        worker = made_up(number)
        management.append(WORKER_CODEC.encode(chance.choice([
            Available(protocol=PROTOCOL_VERSION, worker=worker, version="x" * 200, slots=65_536,
                      digests=digests(settings)),
            Available(protocol=PROTOCOL_VERSION, worker=worker, version="1", slots=5, digests={"scope": "other"}),
            Available(protocol=PROTOCOL_VERSION + number, worker=worker, version="1", slots=5),
            WorkerHeartbeat(worker=worker, epoch=1, session=chance.randrange(4), received=1 << 48, slots=500),
            Fetched(worker=worker, session=1, notices=(FetchNotice(lease=1 << 40, elapsed=1e9),) * 100),
            QuitAck(worker=worker), Gone(worker=worker, reason="\x1b[2J\n" * 100, suspects=(b"k" * 18,))])))
        outcome = Outcome(lease=(1 << 40) + number, key=chance.randbytes(18), retry_after=1e11, links=tuple(
            Link(url=url, key=key) for url, key in (("x", b""), ("http://", b"k" * 18), ("http://a.example/", b"k"))))
        outcomes.append(OUTCOME_CODEC.encode(chance.choice([
            OutcomeBatch(worker=worker, sequence=1, outcomes=(outcome,) * 3),
            OutcomeBatch(worker=worker, sequence=1 << 48, outcomes=()),
            Probe(worker=worker, session=number % 5, sequence=1 << 48, last=1 << 48)])))
    return management, outcomes


def bad_names(settings) -> list[bytes]:
    """Greetings whose identity is none: odd characters, topics of others, ten megabytes."""
    names = ["", "all", "w", "worker:", "worker:\n:1.0:00000000", "worker:é:1.0:00000000", "worker:h:1.0:0000000g",
             "worker:h:1.0:00000000\x00", "../../etc", "x" * 10_000_000]
    return [msgspec.msgpack.encode(["available", PROTOCOL_VERSION, name, "1", 5, digests(settings)]) for name in names]


def attack(bus: Bus, peers: Peers, chance: random.Random) -> int:
    """Everything that strangers can do, once; returns how many messages they sent to the master."""
    raw = [Plain(address, chance) for address in bus.all]
    for stranger in raw:
        stranger.attack(94)
    management, outcomes = lies(chance, bus.settings)
    log = msgspec.msgpack.encode(LogMessage(logger="spyder.x", level=30, created=1.0, process="worker:h:1", text="lie"))
    for kind in (zmq.REQ, zmq.DEALER, zmq.PUSH, zmq.PULL, zmq.SUB, zmq.PUB, zmq.PAIR, zmq.ROUTER, zmq.STREAM):
        for address in bus.all[:4]:
            peer = peers.connect(kind, address)
            if kind in {zmq.REQ, zmq.DEALER, zmq.PUSH}:
                try_send_once(peer, [b"topic", b"message"])
    sent = 0
    for address, good in ((bus.mgmt_worker, management), (bus.outcomes, outcomes), (bus.logging, [log])):
        peer = peers.connect(zmq.PUB, address)
        time.sleep(0.3)  # the subscription is on its way
        for frames in garbage(chance, good, 3000):
            sent += try_send(peer, frames) and address != bus.logging
        for message in good:
            try_send(peer, [b"topic", message])
        try_send(peer, [b"f"] * 20_000)
    peer = peers.connect(zmq.PUB, bus.mgmt_worker)
    time.sleep(0.3)
    for message in bad_names(bus.settings):
        sent += try_send(peer, [b"topic", message])
    time.sleep(0.5)
    for stranger in raw:
        stranger.leave()
    peers.leave()
    return sent


def try_send_once(peer, frames):
    with suppress(zmq.ZMQError):  # its type is refused by the other side
        peer.send_multipart(frames, zmq.NOBLOCK)


def test_given_strangers_at_every_port_when_crawling_then_nothing_ends_nothing_grows_and_every_page_is_there(
        tmp_path, peers):
    chance = random.Random(7)
    bus = Bus(tmp_path)
    with LocalSite(pages=PAGES, hosts=1, size=2000, latency=0.08) as site, ExitStack() as stack:
        parts: dict[str, Command] = {
            name: stack.enter_context(running("start", *arguments, "--settings", str(bus.path)))
            for name, arguments in (("sink", ["logsink"]), ("worker", ["worker"]), ("master", ["master"]))}
        wait_until(lambda: [w["state"] for w in bus.status().get("workers", ())] == ["ready"], "the worker")
        with running("seed", *site.seeds, "--settings", str(bus.path)) as seed:
            seed.succeed(20)
        wait_until(lambda: site.report().requests > 20, "the first pages")
        children = parts["worker"].children()
        pids = {"master": parts["master"].process.pid, "sink": parts["sink"].process.pid,
                **{f"child {index}": pid for index, pid in enumerate(children)}}
        before = {name: (resident(pid), descriptors(pid)) for name, pid in pids.items()}
        started = time.monotonic()
        sent = 0
        for _ in range(ROUNDS):
            sent += attack(bus, peers, chance)
        lasted = time.monotonic() - started
        assert parts["master"].process.poll() is None and parts["sink"].process.poll() is None
        wait_until(lambda: bus.status().get("books", {}).get("done") == PAGES, "all pages", 120)
        status = bus.status()
        after = {name: (resident(pid), descriptors(pid)) for name, pid in pids.items()}
        figures = {name: (f"{(after[name][0] - before[name][0]) / MIB:+.1f} MiB", f"{before[name][1]} fds",
                          f"{after[name][1]} fds") for name in pids}
        print(f"{sent} bad messages in {lasted:.1f} s, {status['counts']['garbage']} counted; {figures}")
        assert status["is_balanced"] is True and status["books"]["discovered"] == PAGES
        assert status["counts"]["garbage"] > sent * 0.8
        for name in pids:
            assert after[name][0] - before[name][0] < GROWTH, figures
            assert after[name][1] <= before[name][1] + 12, figures
        assert parts["worker"].children() == children, "no part of the worker was ended"
        with running("stop", "--settings", str(bus.path)) as stop:
            stop.succeed(30)
        output = parts["master"].succeed(30)
        parts["worker"].succeed(30)
        parts["sink"].signal(signal.SIGTERM)
        output += parts["sink"].succeed(30)
        assert "Traceback" not in output
        assert set(site.hits()) == site.urls() and max(site.hits().values()) == 1
    assert by_url(tmp_path / "c") == dict.fromkeys(site.urls(), 1)
    logs = tmp_path / "c" / "logs"
    assert {path.name for path in logs.iterdir()} <= {"master.log", "worker.log", "supervisor.log", "logsink.log"}
    said = re.findall(r"dropped a \w+ message|refused: worker", "".join(path.read_text() for path in logs.iterdir()))
    assert 4 <= len(said) <= 10 + 4 * (lasted + 5), "a line a second for each kind"


def test_given_strangers_who_greet_without_end_when_a_true_worker_comes_then_it_is_welcome_once_they_are_gone(
        tmp_path, peers):
    bus = Bus(tmp_path, bus={"max_workers": 3})
    with LocalSite(pages=50, hosts=1) as site, ExitStack() as stack:
        master = stack.enter_context(running("start", "master", "--until-done", "--settings", str(bus.path)))
        wait_until(lambda: bus.status(), "the master")
        peer = peers.connect(zmq.PUB, bus.mgmt_worker)
        time.sleep(0.3)
        before = descriptors(master.process.pid)
        seen: list[int] = []
        for number in range(6000):
            try_send(peer, [b"t", WORKER_CODEC.encode(Available(
                protocol=PROTOCOL_VERSION, worker=made_up(number), version="1", slots=5,
                digests=digests(bus.settings)))])
            if number % 2000 == 1999:
                seen.append(len(bus.status()["workers"]))
        assert max(seen) == 3, "as many as may be, and no more"
        assert descriptors(master.process.pid) <= before + 12
        stack.enter_context(running("start", "worker", "--settings", str(bus.path)))
        with running("seed", *site.seeds, "--settings", str(bus.path)) as seed:
            seed.succeed(20)
        assert "50 done" in master.succeed()


# -- a worker and a false master


class FalseMaster:
    """What a worker takes for its master."""

    def __init__(self, bus: Bus, sockets: Sockets) -> None:
        self._bus = bus
        self.out = sockets.publisher(bind=bus.mgmt_master)
        self._mgmt = sockets.subscriber(bind=bus.mgmt_worker)
        self._outcomes = sockets.subscriber(bind=bus.outcomes)
        self.push = sockets.push(bind=bus.push[0])
        self.name = "master:h:1:00000000"
        self.worker = ""
        self.heard = 0.0  #: when the worker spoke last, by its own clock
        self.settled: dict[int, Outcome] = {}
        self.heartbeats = 0

    def say(self, message) -> None:
        send(self.out, [self.worker.encode(), MASTER_CODEC.encode(message)])

    def listen(self) -> None:
        while (frames := receive(self._mgmt)) is not None:
            message = WORKER_CODEC.read(frames)
            if isinstance(message, Available):
                self.worker, self.heard = message.worker, message.at
            elif isinstance(message, WorkerHeartbeat):
                self.heartbeats += 1
                self.heard = message.at
                self.say(MasterHeartbeat(master=self.name, epoch=1, heard={self.worker: self.heard}))
        while (frames := receive(self._outcomes)) is not None:
            message = OUTCOME_CODEC.read(frames)
            if isinstance(message, Probe):
                self.say(MasterHeartbeat(master=self.name, epoch=1, acks={self.worker: message.sequence}))
            elif isinstance(message, OutcomeBatch):
                self.settled.update({outcome.lease: outcome for outcome in message.outcomes})
                self.say(MasterHeartbeat(master=self.name, epoch=1, acks={self.worker: message.sequence}))

    def welcome(self, session: int, **changes: object) -> None:
        welcome = Welcome(master=self.name, epoch=1, session=session, push=self._bus.push[0],
                          outcomes=self._bus.outcomes, heard=self.heard)
        self.say(msgspec.structs.replace(welcome, **changes))

    def until(self, condition, what: str) -> None:
        def look() -> object:
            self.listen()
            return condition()
        wait_until(look, what)


def test_given_a_false_master_when_it_sends_garbage_and_lies_then_the_worker_goes_on(tmp_path, sockets, peers):
    chance = random.Random(5)
    bus = Bus(tmp_path)
    master = FalseMaster(bus, sockets)
    with running("start", "worker", "--settings", str(bus.path)) as worker:
        master.until(lambda: master.worker and len(worker.children()) == 2, "a greeting")
        children = worker.children()
        topic = master.worker.encode()
        good = [MASTER_CODEC.encode(message) for message in (
            MasterHeartbeat(master=master.name, epoch=1), Pause(reason="x"), Quit(drain=1.0))]
        session = 10
        for address in ("foo://x", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "tcp://no host:1",
                        "ipc://" + "x" * 150, "inproc://nowhere", "tcp://127.0.0.1:1"):
            for field in ("push", "outcomes"):
                session += 1
                master.welcome(session, **{field: address})
                time.sleep(0.05)
        for frames in garbage(chance, good, 5000):
            try_send(master.out, [topic, *frames[1:]])
        master.welcome(77)
        master.until(lambda: master.heartbeats > 1, "a heartbeat")
        before = {pid: (resident(pid), descriptors(pid)) for pid in children}
        urls = ["x", "", "http://", "http://[", "ftp://a.example/", "http://127.0.0.1:1/", "http:// /", "\x00",
                "http://127.0.0.1:1/" + "x" * 16_000, "file:///etc/passwd", "http://a:b@127.0.0.1:1/\n"]
        leases = tuple(CrawlUri(lease=number, key=bytes(18), url=url) for number, url in enumerate(urls))
        batches = [LEASE_CODEC.encode(LeaseBatch(session=session, number=number, uris=leases))
                   for session, number in ((1, 1), (77, 5), (77, 0), (0, 1))]
        stranger = peers.connect(zmq.PUSH, bus.push[0])  # of the wrong type for a PUSH socket: refused
        del stranger
        for frames in garbage(chance, batches, 5000):
            try_send(master.push, frames)
        for batch in batches:
            try_send(master.push, [batch])
        last = LEASE_CODEC.encode(LeaseBatch(session=77, number=1, uris=leases))

        def is_settled() -> bool:
            try_send(master.push, [last])  # again and again, as a master does: garbage may have cost the connection
            return len(master.settled) == len(urls)

        master.until(is_settled, "an outcome for each lease")
        assert all(outcome.failure is not None for outcome in master.settled.values())
        for frames in garbage(chance, good, 10_000):
            try_send(master.out, [topic, *frames[1:]])
        for pid in children:
            assert resident(pid) - before[pid][0] < GROWTH
            assert descriptors(pid) <= before[pid][1] + 8
        assert worker.children() == children, "no part of the worker was ended"
        master.until(lambda: master.heartbeats > 3, "more heartbeats")
        master.say(Quit(drain=1.0))
        assert "Traceback" not in worker.succeed(30)
