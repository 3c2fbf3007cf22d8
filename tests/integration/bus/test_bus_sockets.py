"""Real sockets: what the guarantee needs of ZeroMQ, and how an event loop reads them."""

from __future__ import annotations

import asyncio
import logging
import socket as plain
import threading
import time

import msgspec
import pytest
import zmq

from spyder.bus.logpipe import LogPublisher, read_record
from spyder.bus.sockets import (
    Poller,
    Reader,
    Sender,
    Sockets,
    bind_push,
    endpoint,
    reachable,
    receive,
    send,
)
from spyder.errors import BusError
from spyder.nodes.logsink import LogSink
from spyder.settings import BusSection, LogSection

DEADLINE = 10.0


@pytest.fixture
def make():
    opened = []

    def make(**settings):
        opened.append(Sockets(BusSection(**{"linger": 0.2, **settings})))
        return opened[-1]
    yield make
    for sockets in opened:
        sockets.close_all()


def until(check, what="it"):
    """The first true answer of *check*, asked again and again."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if answer := check():
            return answer
        time.sleep(0.005)
    raise AssertionError(f"{what} did not happen within {DEADLINE} s")


def connect_pub_sub(sockets, *, topics=(), address="tcp://127.0.0.1:*"):
    """A PUB that is known to reach a SUB: a subscription arrives late."""
    subscriber = sockets.subscriber(*topics, bind=address)
    publisher = sockets.publisher(connect=endpoint(subscriber))
    topic = topics[0] if topics else b""
    until(lambda: send(publisher, [topic, b"probe"]) and receive(subscriber), "the subscription")
    assert send(publisher, [topic, b"last probe"])
    until(lambda: (receive(subscriber) or [b"", b""])[1] == b"last probe", "the end of the probes")
    return publisher, subscriber


# -- what the guarantee needs


def test_given_a_full_pipe_when_published_then_it_is_refused_and_nothing_is_dropped(make):
    sockets = make(high_water_mark=10)
    publisher, subscriber = connect_pub_sub(sockets, address="inproc://full")
    sent = 0
    while send(publisher, [b"", b"%d" % sent]):
        sent += 1
        assert sent < 100_000, "the pipe is never full"
    time.sleep(0.05)
    got = []
    while frames := receive(subscriber):
        got.append(int(frames[1]))
    assert got == list(range(sent))
    assert until(lambda: send(publisher, [b"", b"on"]), "room in the pipe")


def test_given_a_topic_when_published_then_only_its_subscribers_hear(make):
    sockets = make()
    publisher, subscriber = connect_pub_sub(sockets, topics=(b"w1", b"all"))
    for topic in (b"w2", b"all", b"w1"):
        assert send(publisher, [topic, topic])
    got = [until(lambda: receive(subscriber)) for _ in range(2)]
    assert [frames[1] for frames in got] == [b"all", b"w1"]


def test_given_a_message_beyond_the_limit_when_received_then_it_never_arrives_and_the_next_one_does(make):
    small, large = make(max_message=1000), make(max_message=1_000_000)
    pull = small.pull(bind="tcp://127.0.0.1:*")
    push = large.push(connect=endpoint(pull))
    until(lambda: send(push, [b"x" * 900]))
    assert until(lambda: receive(pull)) == [b"x" * 900]
    until(lambda: send(push, [b"x" * 5000]))
    time.sleep(0.2)
    until(lambda: send(push, [b"after"]))
    assert until(lambda: receive(pull), "the connection after the large message") == [b"after"]


def test_given_bytes_that_are_no_zeromq_when_they_come_then_the_socket_lives(make):
    sockets = make()
    pull = sockets.pull(bind="tcp://127.0.0.1:*")
    with plain.create_connection(("127.0.0.1", int(endpoint(pull).rpartition(":")[2])), timeout=5) as intruder:
        intruder.sendall(b"GET / HTTP/1.1\r\n\r\n" + b"\xff" * 1000)
    push = sockets.push(connect=endpoint(pull))
    until(lambda: send(push, [b"fine"]))
    assert until(lambda: receive(pull)) == [b"fine"]


def test_given_a_push_without_a_peer_when_sent_then_it_says_so_and_keeps_nothing(make):
    push = make().push(bind="tcp://127.0.0.1:*")
    assert send(push, [b"x"]) is False


def test_given_an_address_in_use_when_bound_then_the_error_names_it(make):
    sockets = make()
    address = endpoint(sockets.pull(bind="tcp://127.0.0.1:*"))
    with pytest.raises(BusError, match=r"tcp://127.0.0.1:\d+ can't be bound: .*in use"):
        sockets.pull(bind=address)


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "foo://x"])
def test_given_an_address_that_is_none_when_connected_then_it_is_a_bus_error(make, address):
    with pytest.raises(BusError, match="can't be connected"):
        make().pull(connect=address)


def test_given_an_address_beyond_this_host_when_bound_then_it_is_refused_before_any_socket_listens(make):
    with pytest.raises(BusError, match=r"bus\.insecure"):
        make().pull(bind="tcp://0.0.0.0:*")


@pytest.mark.parametrize(("address", "host"), [
    ("tcp://127.0.0.1:*", "127.0.0.1"), ("tcp://0.0.0.0:*", "0.0.0.0"), ("tcp://*:*", "[::]"),
    ("tcp://[::1]:*", "[::1]")])
def test_given_a_bound_socket_when_asked_where_then_a_peer_of_another_host_can_be_told(make, address, host):
    bound = endpoint(make(insecure=True).pull(bind=address))
    assert bound.rpartition(":")[0] == f"tcp://{host}"
    if host != "[::1]":
        assert not reachable(bound, "tcp://master.example:7701").startswith(("tcp://0", "tcp://["))


def test_given_a_long_unix_path_when_bound_then_the_error_says_why(make, tmp_path):
    with pytest.raises(BusError, match="107 bytes"):
        make().pull(bind=f"ipc://{tmp_path}/{'x' * 120}")


@pytest.mark.parametrize("pattern", ["tcp", "ipc"])
def test_given_a_push_for_each_worker_when_bound_then_each_reaches_its_own(make, tmp_path, pattern):
    sockets = make()
    with plain.socket() as free:
        free.bind(("127.0.0.1", 0))
        first = free.getsockname()[1]
    pattern = f"tcp://127.0.0.1:{first}-{min(first + 20, 65535)}" if pattern == "tcp" else f"ipc://{tmp_path}/push"
    pushes = [bind_push(sockets, pattern, number) for number in (1, 2)]
    assert pushes[0][1] != pushes[1][1]
    pulls = [sockets.pull(connect=address) for _, address in pushes]
    for number, (push, _) in enumerate(pushes):
        until(lambda push=push, number=number: send(push, [b"%d" % number]))
    assert [until(lambda pull=pull: receive(pull)) for pull in pulls] == [[b"0"], [b"1"]]


def test_given_sockets_with_unsent_messages_when_all_are_closed_then_it_takes_no_longer_than_the_linger(make):
    sockets = make(linger=0.1)
    push = sockets.push(connect="tcp://127.0.0.1:1")
    send(push, [b"never"])
    began = time.monotonic()
    sockets.close_all()
    assert time.monotonic() - began < 2.0
    assert sockets.context.closed


# -- reading


def test_given_a_socket_and_a_descriptor_when_polled_then_those_that_can_be_read_are_named(make):
    sockets = make()
    pull = sockets.pull(bind="inproc://poll")
    push = sockets.push(connect="inproc://poll")
    near, far = plain.socketpair()
    with near, far:
        poller = Poller(pull, near.fileno())
        assert poller.wait(1) == set()
        send(push, [b"x"])
        assert poller.wait(5000) == {pull}
        far.send(b"y")
        assert poller.wait(5000) >= {near.fileno()}
        receive(pull)
        assert poller.wait(5000) == {near.fileno()}
        poller.forget(near.fileno())
        assert poller.wait(1) == set()


def test_given_many_messages_when_read_by_an_event_loop_then_all_come_in_order_and_the_loop_lives_on(make):
    sockets = make(high_water_mark=100_000)

    async def main():
        pull = sockets.pull(bind="tcp://127.0.0.1:*")
        push = sockets.push(connect=endpoint(pull))
        got, bursts, ticks = [], [], 0
        done = asyncio.Event()

        def take(frames):
            got.append(int(frames[0]))
            if len(got) == 5000:
                done.set()
            if got[-1] % 1000 == 0:
                raise RuntimeError("a handler that fails")

        reader = Reader(pull, take, on_burst=lambda: bursts.append(len(got)))
        threading.Thread(target=lambda: [push.send(b"%d" % number) for number in range(5000)]).start()
        while not done.is_set():
            ticks += 1
            await asyncio.sleep(0)
        reader.close()
        reader.close()
        assert got == list(range(5000))
        assert max(after - before for before, after in zip([0, *bursts], bursts, strict=False)) <= 64
        assert ticks > 10, "others have their turn between the bursts"

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_given_messages_that_were_there_before_when_a_reader_begins_then_it_finds_them(make):
    sockets = make()

    async def main():
        pull = sockets.pull(bind="inproc://early")
        push = sockets.push(connect="inproc://early")
        for number in range(3):
            send(push, [b"%d" % number])
        got = []
        reader = Reader(pull, got.append)
        await asyncio.sleep(0.05)
        reader.close()
        send(push, [b"too late"])
        await asyncio.sleep(0.02)
        return got

    assert asyncio.run(main()) == [[b"0"], [b"1"], [b"2"]]


def test_given_a_handler_that_closes_its_reader_when_messages_wait_then_none_is_read_any_more(make):
    sockets = make()

    async def main():
        pull = sockets.pull(bind="inproc://closing")
        push = sockets.push(connect="inproc://closing")
        for number in range(3):
            send(push, [b"%d" % number])
        got = []
        reader = Reader(pull, lambda frames: (got.append(frames), reader.close()))
        await asyncio.sleep(0.05)
        return got, receive(pull)

    assert asyncio.run(main()) == ([[b"0"]], [b"1"])


def test_given_a_peer_that_is_not_there_yet_when_sent_then_the_sender_keeps_the_order(make):
    sockets = make()

    async def main():
        push = sockets.push(bind="tcp://127.0.0.1:*")
        sender = Sender(push)
        for number in range(50):
            sender.send([b"%d" % number])
        pull = sockets.pull(connect=endpoint(push))
        got = []
        reader = Reader(pull, lambda frames: got.append(int(frames[0])))
        while len(got) < 50:
            await asyncio.sleep(0.005)
            if len(got) == 0:
                continue
        sender.send([b"50"])
        while len(got) < 51:
            await asyncio.sleep(0.005)
        reader.close()
        sender.close()
        return got

    assert asyncio.run(asyncio.wait_for(main(), DEADLINE)) == list(range(51))


# -- log records


@pytest.fixture
def logger():
    own = logging.Logger("spyder.given")
    yield own
    for handler in list(own.handlers):
        handler.close()


def publisher_for(sockets, logger, address):
    publisher = LogPublisher(sockets, address, identity="worker:host:1")
    publisher.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(publisher)
    return publisher


def read(subscriber, publisher, count):
    """*count* records, while the publisher goes on looking whether it can send."""
    texts = []

    def look():
        publisher.pump()
        while frames := receive(subscriber):
            texts.append((frames[0], read_record(frames).getMessage()))
        return len(texts) >= count
    until(look, f"{count} records, of which {len(texts)}")
    return texts


def rebind(sockets, address):
    try:
        return sockets.subscriber(bind=address)
    except BusError:
        return None


def free_address():
    with plain.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def test_given_records_before_the_sink_is_there_when_it_comes_then_it_gets_them_in_order(make, logger):
    address = free_address()
    publisher = publisher_for(make(), logger, address)
    for number in range(200):
        logger.warning("early %d", number)
    texts = read(make().subscriber(bind=address), publisher, 200)
    assert texts == [(b"spyder.worker.WARNING", f"early {number}") for number in range(200)]


def test_given_a_sink_that_is_replaced_when_records_go_on_then_the_new_one_gets_them(make, logger):
    address = free_address()
    publisher = publisher_for(make(), logger, address)
    first = make()
    subscriber = first.subscriber(bind=address)
    logger.error("one")
    assert read(subscriber, publisher, 1) == [(b"spyder.worker.ERROR", "one")]
    first.close(subscriber, linger=0)
    time.sleep(0.2)  # what is under way to a sink that dies is lost; the next record finds it dead
    logger.error("while nobody listens")
    again = until(lambda: rebind(first, address), "the address to be free")
    logger.error("again")
    assert [text for _, text in read(again, publisher, 2)] == ["while nobody listens", "again"]


def test_given_no_sink_at_all_when_many_records_come_then_memory_is_bounded_and_the_lost_are_counted(
        make, logger, monkeypatch):
    monkeypatch.setattr("spyder.bus.logpipe._KEPT", 10)
    publisher = publisher_for(make(), logger, free_address())
    for number in range(25):
        logger.info("%d", number)
    assert (len(publisher._waiting), publisher.dropped) == (10, 15)


def test_given_no_sink_at_all_when_large_records_come_then_their_bytes_are_bounded_and_each_is_cut(make, logger):
    publisher = publisher_for(make(), logger, free_address())
    for _ in range(400):
        logger.info("%s", "ä" * 1_000_000)
    assert sum(len(payload) for _, payload in publisher._waiting) <= 16_777_216
    assert publisher.dropped == 400 - len(publisher._waiting) > 100
    assert len(read_record(publisher._waiting[0]).getMessage()) == 65_536


@pytest.mark.parametrize("arguments", [("\ud800 no text",), ("%d items", "three"), ("%s", object())])
def test_given_a_bad_log_call_when_made_then_it_is_no_error_of_the_caller(make, logger, capfd, arguments):
    address = free_address()
    publisher = publisher_for(make(), logger, address)
    logger.info(*arguments)
    logger.info("after")
    subscriber = make().subscriber(bind=address)
    assert capfd.readouterr() == ("", "")
    texts = read(subscriber, publisher, 1)
    while texts[-1][1] != "after":
        texts += read(subscriber, publisher, 1)
    assert len(texts) == 2, "that it can't be written is a record, too"


def test_given_records_of_several_threads_when_published_then_each_arrives_once(make, logger):
    address = free_address()
    publisher = publisher_for(make(), logger, address)
    subscriber = make().subscriber(bind=address)
    threads = [threading.Thread(target=lambda n=n: [logger.info("%d/%d", n, i) for i in range(100)]) for n in range(4)]
    for thread in threads:
        thread.start()
    texts = read(subscriber, publisher, 400)
    for thread in threads:
        thread.join()
    assert len({text for _, text in texts}) == 400


def test_given_garbage_and_records_when_the_log_sink_hears_them_then_the_records_are_in_its_file(make, tmp_path):
    address = free_address()

    async def main():
        sink = LogSink(LogSection(), tmp_path, sockets=make(), address=address)
        sink.start()
        sender = make().publisher(connect=address)
        record = {"logger": "spyder.x", "level": 40, "created": 1.0, "process": "worker:h", "text": "a record"}
        good = msgspec.msgpack.encode(list(record.values()))
        text = ""
        while "a record" not in text:
            for frames in ([b"spyder.worker.ERROR", b"\xc1"], [b"alone"], [b"a", b"b", b"c"],
                           [b"spyder.worker.ERROR", good]):
                send(sender, frames)
            await asyncio.sleep(0.02)
            text = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
        sink.close()
        assert sink.records and sink.garbage
        return text

    assert "worker:h" in asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_given_the_library_when_asked_then_it_is_the_one_that_the_measurements_are_about():
    assert zmq.zmq_version_info() >= (4, 3)


def test_given_a_peer_that_takes_connections_and_says_nothing_then_another_one_is_tried(make):
    with plain.create_server(("127.0.0.1", 0)) as mute:
        make(heartbeat=0.1, missed=1).subscriber(connect=f"tcp://127.0.0.1:{mute.getsockname()[1]}")
        mute.settimeout(DEADLINE)
        first, _ = mute.accept()
        second, _ = mute.accept()
        first.close()
        second.close()


def test_given_heartbeats_when_a_socket_is_opened_then_tcp_gives_up_in_their_time(make):
    socket = make(heartbeat=2.0, missed=5).subscriber(bind="tcp://127.0.0.1:*")
    assert socket.getsockopt(zmq.TCP_MAXRT) == 20_000
    assert socket.getsockopt(zmq.CONNECT_TIMEOUT) == 10_000
    assert socket.getsockopt(zmq.TCP_KEEPALIVE_IDLE) == 10
    assert make(heartbeat=0.01, missed=1).push(bind="tcp://127.0.0.1:*").getsockopt(zmq.TCP_MAXRT) == 2000
