"""Messages: what was encoded comes back; anything else is a MessageError and nothing worse."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyder.bus.logpipe import LogMessage, read_record
from spyder.bus.messages import (
    Ack,
    Available,
    Codec,
    Fetched,
    Gone,
    GreetAgain,
    LeaseBatch,
    Load,
    MasterHeartbeat,
    MasterMessage,
    OutcomeBatch,
    OutcomeMessage,
    Pause,
    Probe,
    Quit,
    QuitAck,
    Refused,
    Resume,
    Welcome,
    WorkerHeartbeat,
    WorkerMessage,
)
from spyder.errors import MessageError
from spyder.model.records import CrawlUri, Failure, FetchNotice, Link, Outcome, Page
from spyder.model.states import ErrorKind, LinkKind

LIMIT = 100_000
KINDS = {"worker": WorkerMessage, "master": MasterMessage, "outcomes": OutcomeMessage, "leases": LeaseBatch,
         "page": Page}
CODECS = {name: Codec(kind, limit=LIMIT) for name, kind in KINDS.items()}

URI = CrawlUri(lease=1 << 41, key=b"\x00" * 18, url="http://ä.example/", redirects=("http://b.example/",), is_seed=True)
MESSAGES = [
    ("worker", Available(protocol=1, worker="w", version="1", slots=3, digests={"a": "b"}, pids=(1, 2))),
    ("worker", WorkerHeartbeat(worker="w", epoch=1, session=2, received=3, slots=4, load=Load(stages={"x": 0.5}))),
    ("worker", Fetched(worker="w", session=1, notices=(FetchNotice(lease=1, trouble=ErrorKind.DNS),))),
    ("worker", QuitAck(worker="w", unacknowledged=2)),
    ("worker", Gone(worker="w", reason="signal 9")),
    ("master", Welcome(master="m", epoch=1, session=2, push="tcp://a:1", outcomes="tcp://a:2")),
    ("master", Refused(protocol=2, reason="no")),
    ("master", MasterHeartbeat(master="m", epoch=1, acks={"w": 5})),
    ("master", Ack(epoch=1, sequence=2)),
    ("master", GreetAgain(epoch=1)),
    ("master", Pause(reason="x")),
    ("master", Resume()),
    ("master", Quit(drain=1.5)),
    ("outcomes", Probe(worker="w", session=1, sequence=0, last=7)),
    ("outcomes", OutcomeBatch(worker="w", sequence=1, outcomes=(Outcome(
        lease=1, key=b"k", status=503, failure=Failure(kind=ErrorKind.HTTP_5XX, detail="x"), retry_after=1.0,
        links=(Link(url="http://a.example/", key=b"k", kind=LinkKind.REDIRECT),)),))),
    ("leases", LeaseBatch(session=1, number=2, uris=(URI,))),
    ("page", Page(uri=URI, status=200, headers=(("a", "b"),))),
]


@pytest.mark.parametrize(("kind", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_given_a_message_when_encoded_and_decoded_then_it_is_the_same(kind, message):
    codec = CODECS[kind]
    assert codec.decode(codec.encode(message)) == message


@pytest.mark.parametrize(("kind", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_given_a_message_when_cut_anywhere_then_it_is_refused(kind, message):
    codec = CODECS[kind]
    data = codec.encode(message)
    for end in range(len(data)):
        with pytest.raises(MessageError):
            codec.decode(data[:end])
    with pytest.raises(MessageError):
        codec.decode(data + b"\x00")


@pytest.mark.parametrize(("kind", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_given_a_message_when_read_as_another_kind_then_it_is_refused(kind, message):
    data = CODECS[kind].encode(message)
    for name, codec in CODECS.items():
        if name != kind and not (isinstance(message, WorkerHeartbeat | MasterHeartbeat)):
            with pytest.raises(MessageError):
                codec.decode(data)


def test_given_a_message_that_is_too_large_when_decoded_then_it_is_refused_naming_the_setting():
    codec = Codec(OutcomeMessage, limit=10)
    with pytest.raises(MessageError, match=r"bus\.max_message"):
        codec.decode(codec.encode(Probe(worker="w" * 20, session=1, sequence=1)))


@pytest.mark.parametrize("data", [
    b"", b"\xc1", b"\x90", b"\x91\xa5leases", b"\x91\x91" * 1000, b"\x81" * 90_000, b"\x91" * 90_000,
    msgspec.msgpack.encode(["leases", 1, 1, [[1, b"k", "http://\u00e9".encode("latin-1")]]]),
    b"\x94\xa6leases\x01\x01\x91\x93\x01\xc4\x01k\xa2\xff\xfe",
    msgspec.msgpack.encode(["leases", "1", 1, []]), msgspec.msgpack.encode(["leases", 1.5, 1, []]),
    msgspec.msgpack.encode({"type": "leases"}), msgspec.msgpack.encode(["nothing", 1]),
    msgspec.msgpack.encode(["leases", 1, 1, {"a": 1}]), msgspec.msgpack.encode(None)],
    ids=range(15))
@pytest.mark.parametrize("kind", KINDS)
def test_given_garbage_when_decoded_then_it_is_a_message_error(kind, data):
    with pytest.raises(MessageError):
        CODECS[kind].decode(data)


@given(st.binary(max_size=300), st.sampled_from(sorted(KINDS)))
@settings(max_examples=150, deadline=None)
def test_given_any_bytes_when_decoded_then_there_is_a_message_or_a_message_error(data, kind):
    with suppress(MessageError):
        CODECS[kind].decode(data)


@given(st.sampled_from(MESSAGES), st.data())
@settings(max_examples=150, deadline=None)
def test_given_a_message_with_some_bytes_changed_when_decoded_then_there_is_a_message_or_a_message_error(case, data):
    kind, message = case
    raw = bytearray(CODECS[kind].encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 0x9F))
    with suppress(MessageError):
        CODECS[kind].decode(bytes(raw))


_HUGE = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from spyder.bus.messages import Codec, LeaseBatch, MasterMessage, OutcomeMessage, WorkerMessage
from spyder.errors import MessageError
for kind, head in ((LeaseBatch, b"\\x94\\xa6leases\\x01\\x01"),
                   (OutcomeMessage, b"\\x94\\xa8outcomes\\xa1w\\x01"),
                   (MasterMessage, b"\\x94\\xa9heartbeat\\xa1m\\x01"),
                   (WorkerMessage, b"\\x94\\xa7fetched\\xa1w\\x01")):
    for count in (b"\\xdd\\xff\\xff\\xff\\xff", b"\\xdf\\xff\\xff\\xff\\xff",
                  b"\\xdb\\xff\\xff\\xff\\xff", b"\\xc6\\xff\\xff\\xff\\xff",
                  b"\\xdd\\x10\\x00\\x00\\x00"):
        try:
            Codec(kind, limit=1000).decode(head + count)
        except MessageError:
            continue
        raise SystemExit(f"{kind} took {count}")
"""


def test_given_a_message_that_claims_billions_of_elements_when_decoded_then_it_is_refused_without_the_memory():
    done = subprocess.run([sys.executable, "-c", _HUGE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr[-2000:]) == (0, "")


# -- log records


def test_given_a_log_message_when_read_then_it_is_a_record_with_its_sender():
    message = LogMessage(logger="spyder.x", level=30, created=12.5, process="worker:h:1", text="100 % %s {}")
    record = read_record([b"topic", msgspec.msgpack.encode(message)])
    assert (record.name, record.levelno, record.created, record.processName, record.getMessage()) == (
        "spyder.x", 30, 12.5, "worker:h:1", "100 % %s {}")


@given(st.lists(st.binary(max_size=100), max_size=4))
@settings(max_examples=100, deadline=None)
def test_given_any_frames_when_read_as_a_log_record_then_there_is_a_record_or_a_message_error(frames):
    with suppress(MessageError):
        read_record(frames)


@pytest.mark.parametrize("data", [b"\x91" * 5000, b"\x95\xa1\xff\x01\xcb" + b"\x00" * 8 + b"\xa1w\xa1t", b"\x90"])
def test_given_garbage_when_read_as_a_log_record_then_it_is_a_message_error(data):
    with pytest.raises(MessageError):
        read_record([b"t", data])
