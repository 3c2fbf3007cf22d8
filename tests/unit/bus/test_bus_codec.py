"""Messages: what was encoded comes back; anything else is a MessageError and nothing worse."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import msgspec
import pytest
from bus_messages import KINDS, MESSAGES, WORKER
from hypothesis import given, settings
from hypothesis import strategies as st

from spyder.bus.garbage import Garbage
from spyder.bus.logpipe import LogMessage, read_record
from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Codec,
    OutcomeMessage,
    Probe,
    read_stranger,
)
from spyder.errors import MessageError

LIMIT = 100_000
CODECS = {name: Codec(kind, limit=LIMIT) for name, kind in KINDS.items()}


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
        if name != kind:
            with pytest.raises(MessageError):
                codec.decode(data)


def test_given_a_message_that_is_too_large_when_decoded_then_it_is_refused_naming_the_setting():
    codec = Codec(OutcomeMessage, limit=10)
    with pytest.raises(MessageError, match=r"bus\.max_message"):
        codec.decode(codec.encode(Probe(worker=WORKER, session=1, sequence=1)))


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
                   (OutcomeMessage, b"\\x94\\xa8outcomes\\xb5worker:h:1.0:0123abcd\\x01"),
                   (MasterMessage, b"\\x94\\xa9heartbeat\\xb3master:h:1:0123abcd\\x01"),
                   (WorkerMessage, b"\\x94\\xa7fetched\\xb5worker:h:1.0:0123abcd\\x01")):
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


# -- fields


def kinds_within(kind):
    """The structs that travel in messages of *kind*, itself included."""
    if isinstance(kind, msgspec.inspect.StructType):
        yield kind
        for field in kind.fields:
            yield from kinds_within(field.type)
    for name in ("types", "item_types"):
        for part in getattr(kind, name, ()):
            yield from kinds_within(part)
    for name in ("item_type", "key_type", "value_type"):
        if hasattr(kind, name):
            yield from kinds_within(getattr(kind, name))


def unbounded(kind):
    """What of a field's type may be of any size; the size of a message bounds it, but nothing else does."""
    match kind:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return kind.ge is None or kind.le is None
        case msgspec.inspect.StrType() | msgspec.inspect.BytesType():
            return kind.max_length is None
        case msgspec.inspect.VarTupleType():
            return kind.max_length is None or unbounded(kind.item_type)
        case msgspec.inspect.DictType():
            return kind.max_length is None or unbounded(kind.key_type) or unbounded(kind.value_type)
        case msgspec.inspect.UnionType():
            return any(unbounded(part) for part in kind.types)
        case msgspec.inspect.EnumType() | msgspec.inspect.BoolType() | msgspec.inspect.NoneType():
            return False
        case msgspec.inspect.StructType():
            return False  # its fields are looked at by themselves
        case _:
            return True


#: Fields without a bound of their own, each with its reason.
UNBOUNDED = {
    "Link.url": "thousands in a message: the frontier looks at those that it adds",
    "Link.key": "as Link.url",
    "Page.headers": "from the worker's own fetcher, which bounds them by fetch.max_header_size",
}


def test_given_all_messages_when_looked_at_then_every_field_has_a_bound():
    found = {f"{kind.cls.__name__}.{field.name}" for union in KINDS.values()
             for kind in kinds_within(msgspec.inspect.type_info(union)) for field in kind.fields
             if unbounded(field.type)}
    assert found == set(UNBOUNDED)


NAN, INFINITE = float("nan"), float("inf")
AVAILABLE = ["available", PROTOCOL_VERSION, WORKER, "1", 3, {}, [], 0.0, [], None]
OUTCOMES = ["outcomes", WORKER, 1, [[1, b"k" * 18, 200, None, 0.5, 0.0, 10, [], 0]]]
LEASES = ["leases", 1, 1, [[1, b"k" * 18, "http://a.example/", 0, 0, "", [], False]]]


def changed(message, path, value):
    """*message* with another value where *path* leads."""
    copy = list(message)
    copy[path[0]] = value if len(path) == 1 else changed(copy[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize(("kind", "message", "path", "values"), [
    ("worker", AVAILABLE, (1,), (-1, 1 << 63, (1 << 64) - 1)),
    ("worker", AVAILABLE, (2,), (
        "", "all", "w", "worker:", "worker:h:1.0:", "worker:h:1.0:0123abc", "worker:h:1.0:0123abcd\n",
        "worker:h:1.0:0123abcd0", "worker:h x:1.0:0123abcd", "worker:h\x00:1.0:0123abcd", "worker:hé:1.0:0123abcd",
        "master:h:1.0:0123abcd", "worker:h:i:1.0:0123abcd", f"worker:{'h' * 200}:1.0:0123abcd", "x" * 50_000)),
    ("worker", AVAILABLE, (3,), ("v" * 201,)),
    ("worker", AVAILABLE, (4,), (-1, 65_537, 1 << 62, 1.0)),
    ("worker", AVAILABLE, (5,), ({"a": "b" * 201}, {"a" * 201: "b"}, {str(number): "" for number in range(101)})),
    ("worker", AVAILABLE, (6,), ([-1], list(range(17)))),
    ("worker", AVAILABLE, (7,), (NAN, INFINITE, -INFINITE, -0.5, 1e300, -1)),
    ("worker", AVAILABLE, (8,), ([[1, b"short"]], [[-1, b"k" * 18]])),
    ("worker", AVAILABLE, (9,), (["gone", WORKER, "x" * 10_001], ["gone", "all", "x"])),
    ("outcomes", OUTCOMES, (2,), (-1, (1 << 48) + 1)),
    ("outcomes", OUTCOMES, (3, 0, 0), (-1, (1 << 62) + 1)),
    ("outcomes", OUTCOMES, (3, 0, 1), (b"", b"k" * 17, b"k" * 19, "k" * 18)),
    ("outcomes", OUTCOMES, (3, 0, 2), (-200, 1 << 62)),
    ("outcomes", OUTCOMES, (3, 0, 3), (["no such kind"], ["dns", "x" * 10_001])),
    ("outcomes", OUTCOMES, (3, 0, 4), (NAN, INFINITE, -1.0)),
    ("outcomes", OUTCOMES, (3, 0, 5), (NAN, INFINITE, -1.0)),
    ("outcomes", OUTCOMES, (3, 0, 6), (-1, 1 << 50)),
    ("leases", LEASES, (3, 0, 2), ("http://a.example/" + "x" * 16_384,)),
    ("leases", LEASES, (3, 0, 6), (["http://a.example/"] * 1001,)),
    ("leases", LEASES, (3,), ([[1, b"k" * 18, ""]] * 65_537,)),
])
def test_given_a_field_out_of_its_bounds_when_decoded_then_the_message_is_refused(kind, message, path, values):
    codec = Codec(KINDS[kind], limit=1 << 24)
    codec.decode(msgspec.msgpack.encode(message))
    for value in values:
        with pytest.raises(MessageError):
            codec.decode(msgspec.msgpack.encode(changed(message, path, value)))


def test_given_what_processes_call_themselves_when_decoded_then_it_is_in_bounds(monkeypatch):
    from spyder.nodes.spec import new_spec
    from spyder.settings import Settings

    for name in ("laptop", "héste x:y/..", "a.b", "", "x" * 300, "0"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        worker = new_spec(Settings(), folder="/tmp", index=12).worker
        message = Probe(worker=worker, session=1, sequence=1)
        assert CODECS["outcomes"].decode(CODECS["outcomes"].encode(message)) == message


def test_given_no_identity_when_compared_then_none_is_the_beginning_of_another():
    codec = CODECS["outcomes"]
    for worker in (WORKER + "0", WORKER + "x", WORKER[:-1], WORKER + ":x"):
        with pytest.raises(MessageError):
            codec.decode(codec.encode(Probe(worker=worker, session=1, sequence=1)))


# -- frames, strangers, and what is said of garbage


@pytest.mark.parametrize("frames", [[], [b"{}"], [b"", b"{}", b""], [b"{}"] * 50])
def test_given_another_number_of_frames_when_read_then_it_is_a_message_error(frames):
    codec = CODECS["outcomes"]
    data = codec.encode(Probe(worker=WORKER, session=1, sequence=1))
    assert codec.read([b"topic", data]) == codec.read([data], count=1) == codec.decode(data)
    with pytest.raises(MessageError, match=f"a message of {len(frames)} frames"):
        codec.read([data if frame else b"" for frame in frames])


@pytest.mark.parametrize("rest", [[], ["0.1", 5], [{"any": "thing"}, None, [1, 2], b"x", 1.5]])
def test_given_a_greeting_of_another_version_when_read_then_protocol_and_worker_are_known(rest):
    data = msgspec.msgpack.encode(["available", PROTOCOL_VERSION + 5, WORKER, *rest])
    stranger = read_stranger(data)
    assert stranger is not None
    assert (stranger.protocol, stranger.worker, stranger.slots) == (PROTOCOL_VERSION + 5, WORKER, 0)


@pytest.mark.parametrize("message", [
    ["available", PROTOCOL_VERSION, WORKER], ["available", 9, "all"], ["available", -1, WORKER], ["gone", 9, WORKER],
    ["available", 9], [], None, 5])
def test_given_no_greeting_of_another_version_when_read_then_there_is_none(message):
    assert read_stranger(msgspec.msgpack.encode(message)) is None


@pytest.mark.parametrize("data", [
    msgspec.msgpack.encode(["\x1b[2J\n" * 10_000, 1]), msgspec.msgpack.encode(
        ["outcomes", WORKER, 1, [[1, b"k" * 18, 0, ["\x1b]0;\n" * 10_000]]]])])
def test_given_garbage_that_is_quoted_in_an_error_when_decoded_then_the_error_is_a_short_plain_line(data):
    with pytest.raises(MessageError) as caught:
        Codec(OutcomeMessage, limit=1 << 20).decode(data)
    assert str(caught.value).isprintable() and str(caught.value).isascii() and len(str(caught.value)) < 1000


def test_given_a_flood_of_garbage_when_taken_then_every_one_counts_and_a_line_a_second_is_said(clock):
    garbage = Garbage(clock.monotonic)
    lines = []
    for _ in range(5000):
        lines.append(garbage.take("management message", MessageError("x" * 5000)))
        clock.advance(0.001)
    said = [line for line in lines if line]
    assert (garbage.count, len(said)) == (5000, 5)
    assert lines[0] == f"dropped a management message: {'x' * 300}"
    assert said[1].endswith("(and 999 more since the last such line)")


# -- log records


def test_given_a_log_message_when_read_then_it_is_a_record_with_its_sender():
    message = LogMessage(logger="spyder.x", level=30, created=12.5, process="worker:h:1", text="100 % %s {}")
    record = read_record([b"spyder.worker.INFO", msgspec.msgpack.encode(message)])
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
        read_record([b"spyder.worker.INFO", data])
