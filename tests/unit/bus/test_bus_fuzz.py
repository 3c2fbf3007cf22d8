"""Bad bytes: whatever is done to a message, reading it gives a message or a MessageError, and takes no memory.

The seeds are fixed, so that a failure comes again; SPYDER_FUZZ=100 tries a hundred times as much.
"""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
from collections import Counter

import msgspec
import pytest
from bus_messages import KINDS, MESSAGES, WORKER

from spyder.bus.logpipe import LogMessage, read_record
from spyder.bus.messages import Codec, MasterMessage, OutcomeMessage, WorkerMessage, read_stranger
from spyder.errors import MessageError
from spyder.model.records import Page

FACTOR = int(os.environ.get("SPYDER_FUZZ", "1"))
LIMIT = 1 << 20
CODECS = {name: Codec(kind, limit=LIMIT) for name, kind in KINDS.items()}
LOG = LogMessage(logger="spyder.x", level=30, created=12.5, process="worker:h:1", text="text")


def read_log(data):
    read_record([b"spyder.worker.INFO", data])


def read_greeting(data):
    if read_stranger(data) is None:
        raise MessageError("none")


#: By name: what reads it, and a good one.
CASES = {**{f"{kind}-{type(message).__name__}": (CODECS[kind].decode, CODECS[kind].encode(message))
            for kind, message in MESSAGES},
         "log-LogMessage": (read_log, msgspec.msgpack.encode(LOG)),
         "stranger": (read_greeting, msgspec.msgpack.encode(["available", 9, WORKER, {}, [1]]))}

#: Beginnings of values that claim to be large (MessagePack: array 32, map 32, str 32, bin 32, ext 32, and 16).
CLAIMS = [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"], [b"\xdc", b"\xde", b"\xda", b"\xc5", b"\xc8"]


def attempt(decode, data):
    """``good`` or ``refused``; anything else is the test's failure."""
    try:
        decode(data)
    except MessageError:
        return "refused"
    return "good"


def atom(chance):
    """Any one value."""
    return chance.choice([
        lambda: chance.choice([b"\xc0", b"\xc1", b"\xc2", b"\xc3"]), lambda: bytes([chance.randrange(128)]),
        lambda: bytes([chance.randrange(0xE0, 256)]), lambda: b"\xcf" + chance.randbytes(8),
        lambda: b"\xd3" + chance.randbytes(8), lambda: b"\xca" + chance.randbytes(4),
        lambda: b"\xcb" + chance.choice([chance.randbytes(8), struct.pack(">d", float("nan")),
                                         struct.pack(">d", float("-inf")), struct.pack(">d", 1e308)]),
        lambda: b"\xc4\x12" + chance.randbytes(18), lambda: msgspec.msgpack.encode(WORKER),
        lambda: msgspec.msgpack.encode(chance.choice(["dns", "", "http://a.example/", "ä" * 300])),
        lambda: b"\xd9\x05" + chance.randbytes(5), lambda: b"\xd6\xff" + chance.randbytes(4),
        lambda: b"\xd7\xff" + chance.randbytes(8), lambda: b"\xc7\x0c\xff" + chance.randbytes(12),
        lambda: b"\xc7\x04\x01abcd"])()


def value(chance, depth=0):
    """Any value, with others in it."""
    kind = chance.random()
    count = chance.randrange(4)
    if depth < 4 and kind < 0.2:
        return bytes([0x90 + count]) + b"".join(value(chance, depth + 1) for _ in range(count))
    if depth < 4 and kind < 0.3:
        return bytes([0x80 + count]) + b"".join(value(chance, depth + 1) for _ in range(2 * count))
    return atom(chance)


def parts_of(data):
    """The encoded elements of the array *data*."""
    return [msgspec.msgpack.encode(part) for part in msgspec.msgpack.decode(data)]


def array(parts):
    return b"\xdc" + struct.pack(">H", len(parts)) + b"".join(parts)


def mutants(data, chance, count):
    """Changed copies of *data*: bits, bytes, elements, insertions, and bytes that have nothing to do with it."""
    parts = parts_of(data)
    for _ in range(count):
        kind = chance.randrange(6)
        if kind == 0:
            yield chance.randbytes(chance.randrange(200))
        elif kind == 1:
            copy = bytearray(data)
            for _ in range(chance.randrange(1, 4)):
                copy[chance.randrange(len(copy))] ^= 1 << chance.randrange(8)
            yield bytes(copy)
        elif kind == 2:
            at = chance.randrange(len(data))
            yield data[:at] + chance.randbytes(chance.randrange(1, 9)) + data[at + chance.randrange(9):]
        elif kind == 3:
            copy = list(parts)
            if copy:
                copy[chance.randrange(len(copy))] = value(chance)
            yield array(copy)
        elif kind == 4:
            copy = list(parts)
            chance.shuffle(copy)
            yield array(copy)
        else:
            yield array(parts[:1] + [value(chance) for _ in range(chance.randrange(len(parts) + 3))])


@pytest.mark.parametrize("name", CASES)
def test_given_a_message_when_anything_is_changed_then_there_is_a_message_or_a_message_error(name):
    decode, data = CASES[name]
    chance = random.Random(f"{name} 1")
    seen = Counter(attempt(decode, mutant) for mutant in mutants(data, chance, 2000 * FACTOR))
    assert seen["refused"] > 200 * FACTOR, "it takes nearly anything"


@pytest.mark.parametrize("name", CASES)
def test_given_a_message_when_cut_at_any_length_then_it_is_refused(name):
    decode, data = CASES[name]
    assert attempt(decode, data) == "good"
    assert {attempt(decode, data[:end]) for end in range(len(data))} == {"refused"}


@pytest.mark.parametrize("name", CASES)
def test_given_fields_of_a_later_version_when_read_then_they_are_passed_over(name):
    decode, data = CASES[name]
    parts = parts_of(data)
    for extra in (b"\xc0", b"\x05", msgspec.msgpack.encode({"a": [1, 2, {"b": b"c"}]}), b"\xc4\x02ab"):
        assert attempt(decode, array([*parts, extra])) == "good"


@pytest.mark.parametrize("name", [name for name in CASES if name not in {"page-Page", "log-LogMessage"}])
def test_given_another_tag_when_read_then_it_is_refused(name):
    decode, data = CASES[name]
    parts = parts_of(data)
    for tag in ("", "x", "welcome2", "a" * 5000, 0, -1, 1 << 63, None, True, 1.5, b"available", [], {}, ["available"]):
        assert attempt(decode, array([msgspec.msgpack.encode(tag), *parts[1:]])) == "refused"
    assert attempt(decode, array(parts[1:])) == "refused"


def hostile(data):
    """Messages that claim to hold what they don't, at every element, and nests without end."""
    parts = parts_of(data)
    for at in range(len(parts) + 1):
        head = parts[:at]
        for claims, lengths in zip(CLAIMS, ((">I", (0xFFFFFFFF, 0x10000000, 0xFFFFF)), (">H", (0xFFFF,))), strict=True):
            for claim in claims:
                for length in lengths[1]:
                    yield array([*head, claim + struct.pack(lengths[0], length)])
                    yield array([*head, claim + struct.pack(lengths[0], length) + b"\x00" * 500])
        for nest in (b"\x91", b"\x81", b"\x81\xa1a", b"\x92\x01", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01"):
            yield array([*head, nest * 50_000])
    for count in (b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdf\xff\xff\xff\xff"):
        yield count
        yield count + b"".join(parts)


@pytest.mark.parametrize("name", CASES)
def test_given_huge_claims_and_deep_nests_when_read_then_they_are_refused_and_take_no_memory(name):
    decode, data = CASES[name]
    tracemalloc.start()
    try:
        peak = 0
        for bad in hostile(data):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            assert attempt(decode, bad) == "refused"
            peak = max(peak, tracemalloc.get_traced_memory()[1] - before)
        assert peak < 600_000, "more than the message itself, its error, and a stack of frames"
    finally:
        tracemalloc.stop()


def test_given_a_great_many_bad_messages_when_read_then_nothing_of_them_stays():
    chance = random.Random(3)
    bad = [mutant for decode, data in CASES.values() for mutant in mutants(data, chance, 20 * FACTOR)]
    decoders = [decode for decode, _ in CASES.values()]

    def read_all():
        for decode in decoders:
            for data in bad:
                attempt(decode, data)

    read_all()
    tracemalloc.start()
    try:
        read_all()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            read_all()
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("kind", "element", "head"), [
    (OutcomeMessage, msgspec.msgpack.encode([1, b"k" * 18]), ["outcomes", WORKER, 1]),
    (WorkerMessage, msgspec.msgpack.encode([1]), ["fetched", WORKER, 1]),
    (WorkerMessage, msgspec.msgpack.encode([1, b"k" * 18]),
     ["available", 2, WORKER, "1", 1, {}, [], 0.0]),
    (MasterMessage, b"", ["heartbeat", "master:h:1:0123abcd", 1]),
    (Page, msgspec.msgpack.encode(["", ""]), [[1, b"k" * 18, "http://a.example/"], 200, None]),
], ids=["outcomes", "notices", "held", "acks", "headers"])
def test_given_a_message_full_of_the_smallest_things_when_read_then_its_memory_is_in_proportion(kind, element, head):
    if element:
        count = 65_536
        tail = b"\xdd" + struct.pack(">I", count) + element * count
    else:
        count = 10_000
        tail = b"\xdf" + struct.pack(">I", count) + b"".join(b"\xa5%05d\x01" % number for number in range(count))
    data = array([*[msgspec.msgpack.encode(part) for part in head], tail])
    codec = Codec(kind, limit=1 << 26)
    tracemalloc.start()
    try:
        assert attempt(codec.decode, data) == "good"
        assert tracemalloc.get_traced_memory()[1] < 64 * len(data)
    finally:
        tracemalloc.stop()
