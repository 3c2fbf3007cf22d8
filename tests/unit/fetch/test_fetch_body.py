"""Bodies are decoded as browsers do it, and never beyond their caps."""

import gzip
import sys
import tracemalloc
import zlib

import brotli
import pytest

from spyder.fetch.body import BodyError, BodyFullError, BodyReader, content_codings
from spyder.model.states import ErrorKind

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
TEXT = b"".join(b"<p>paragraph %d</p>\n" % number for number in range(20_000))  # some hundred KB


def raw_deflate(data):
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstd.compress,
}


def read(codings, *chunks, wire=64 * MIB, body=64 * MIB):
    reader = BodyReader(codings, max_wire_size=wire, max_body_size=body)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


def split(data, size):
    return [data[start:start + size] for start in range(0, len(data), size)]


def failure(codings, *chunks, **caps):
    with pytest.raises(BodyError) as caught:
        read(codings, *chunks, **caps)
    assert "\n" not in caught.value.failure.detail
    return caught.value.failure


def test_identity_hands_a_single_chunk_on_without_a_copy():
    assert read((), TEXT) is TEXT
    assert read((), *split(TEXT, 1000)) == TEXT
    assert read(()) == b""


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 24])
@pytest.mark.parametrize("coding", ENCODERS)
def test_each_coding_however_the_network_cuts_it(coding, size):
    text = TEXT[:5000] if size == 1 else TEXT
    assert read((coding,), *split(ENCODERS[coding](text), size)) == text


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize("length", [1, 65_535, 65_536, 65_537, 131_072])
def test_lengths_around_the_size_of_a_piece(coding, length):
    text = (TEXT * 2)[:length]
    assert read((coding,), ENCODERS[coding](text)) == text


@pytest.mark.parametrize(("codings", "wire", "body"), [
    (("deflate",), raw_deflate(TEXT), TEXT),
    (("gzip",), gzip.compress(b"one ") + gzip.compress(b"two"), b"one two"),
    (("zstd",), zstd.compress(b"one ") + zstd.compress(b"two"), b"one two"),
    (("gzip",), gzip.compress(b"text") + b"\0" * 100, b"text"),
    (("gzip",), gzip.compress(b"text") + b"\x1f", b"text"),
    (("gzip",), gzip.compress(b"text") + b"garbage" + gzip.compress(b"never"), b"text"),
    (("zstd",), zstd.compress(b"text") + b"garbage", b"text"),
    (("deflate",), zlib.compress(b"text") + b"garbage", b"text"),
    (("gzip",), gzip.compress(b""), b""),
    (("gzip", "br"), brotli.compress(gzip.compress(TEXT)), TEXT),
    (("br", "zstd", "gzip"), gzip.compress(zstd.compress(brotli.compress(TEXT))), TEXT),
    (("gzip", "gzip"), gzip.compress(gzip.compress(TEXT)), TEXT),
], ids=lambda value: str(value) if isinstance(value, tuple) else "")
def test_what_servers_send(codings, wire, body):
    assert read(codings, wire) == body
    assert read(codings, *split(wire, 1 if len(wire) < 1000 else 997)) == body


@pytest.mark.parametrize("coding", ENCODERS)
def test_an_empty_body_is_well_whatever_coding_was_announced(coding):
    assert read((coding,)) == b""
    assert read((coding,), b"") == b""


@pytest.mark.parametrize("coding", ENCODERS)
def test_broken_streams(coding):
    wire = ENCODERS[coding](TEXT)
    assert failure((coding,), wire[:-3]).kind is ErrorKind.DECODE
    assert failure((coding,), wire[:1]).kind is ErrorKind.DECODE
    assert failure((coding,), b"<html>not coded at all</html>").kind is ErrorKind.DECODE
    assert coding.removeprefix("x-") in failure((coding,), wire[:100]).detail


def test_gzip_with_a_wrong_checksum():
    wire = bytearray(gzip.compress(TEXT))
    wire[-6] ^= 0xFF
    assert failure(("gzip",), bytes(wire)).kind is ErrorKind.DECODE


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_bomb_is_stopped_at_the_cap(coding):
    bomb = ENCODERS[coding](b"\0" * (64 * MIB))
    tracemalloc.start()
    try:
        found = failure((coding,), bomb, body=MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.kind is ErrorKind.BODY_LIMIT
    assert found.detail == f"more than {MIB} bytes decoded (fetch.max_body_size)"
    assert peak < MIB + MIB // 2


def test_a_bomb_within_another_is_stopped_at_the_inner_stage():
    bomb = gzip.compress(gzip.compress(b"\0" * (64 * MIB)))
    assert failure(("gzip", "gzip"), bomb, body=MIB).kind is ErrorKind.BODY_LIMIT
    hollow = brotli.compress(gzip.compress(b"") * 4000)  # much inside, nothing in the end
    assert failure(("gzip", "br"), hollow, body=20_000).kind is ErrorKind.BODY_LIMIT


def test_a_flood_of_empty_members_is_stopped():
    assert failure(("gzip",), gzip.compress(b"") * 5000).kind is ErrorKind.DECODE


def test_a_zstd_window_beyond_eight_mebibytes_is_refused():
    coder = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 25})
    wire = coder.compress(TEXT) + coder.flush()
    assert failure(("zstd",), wire).kind is ErrorKind.DECODE


@pytest.mark.parametrize(("caps", "name"), [
    ({"wire": 999}, "fetch.max_wire_size"), ({"body": 999}, "fetch.max_body_size"),
])
def test_caps_of_a_body_without_coding(caps, name):
    assert read((), b"x" * 500, b"x" * 499, **caps) == b"x" * 999
    found = failure((), b"x" * 500, b"x" * 500, **caps)
    assert found.kind is ErrorKind.BODY_LIMIT
    assert name in found.detail


def test_the_cap_of_the_wire_counts_what_was_sent():
    assert failure(("gzip",), b"\x1f" * 100, wire=99).kind is ErrorKind.BODY_LIMIT


@pytest.mark.parametrize(("values", "codings"), [
    ([], ()),
    ([""], ()),
    (["gzip"], ("gzip",)),
    (["GZip"], ("gzip",)),
    (["gzip, br", "zstd"], ("gzip", "br", "zstd")),
    (["identity"], ()),
    (["utf-8"], ()),
    (["none, gzip,,"], ("gzip",)),
])
def test_content_encoding(values, codings):
    assert content_codings(values) == codings


@pytest.mark.parametrize("value", ["compress", "gzip, dcb", "gzip," * 6])
def test_content_encoding_that_cannot_be_undone(value):
    with pytest.raises(BodyError) as caught:
        content_codings([value])
    assert caught.value.failure.kind is ErrorKind.DECODE


# --- ratio, and bodies of which a beginning is enough


@pytest.mark.parametrize("codings", [("gzip",), ("deflate",), ("br",), ("zstd",), ("gzip", "br"), ("zstd", "gzip")])
def test_given_a_bomb_then_it_ends_by_its_ratio_long_before_its_size(codings):
    data = b"\0" * 64 * MIB
    for coding in codings:
        data = ENCODERS[coding](data)
    reader = BodyReader(codings, max_wire_size=1 << 30, max_body_size=1 << 30, max_ratio=200)
    tracemalloc.start()
    try:
        with pytest.raises(BodyError) as error:
            for at in range(0, len(data), 4096):
                reader.feed(data[at:at + 4096])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.value.failure.kind is ErrorKind.BODY_LIMIT
    assert "fetch.max_ratio" in error.value.failure.detail
    assert peak < 8 * MIB


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_given_a_small_body_of_one_letter_then_its_ratio_does_not_matter(coding):
    reader = BodyReader((coding,), max_wire_size=1 << 20, max_body_size=1 << 20, max_ratio=10)
    reader.feed(ENCODERS[coding](b"\0" * MIB))
    assert len(reader.finish()) == MIB


@pytest.mark.parametrize("codings", [(), ("gzip",), ("br", "gzip")])
def test_given_a_body_of_which_a_beginning_is_enough_then_reading_stops_there(codings):
    text = b"".join(b"%d\n" % number for number in range(200_000))
    data = text
    for coding in codings:
        data = ENCODERS[coding](data)
    reader = BodyReader(codings, max_wire_size=10, max_body_size=10, keep=500_000)
    with pytest.raises(BodyFullError):
        for at in range(0, len(data), 1000):
            reader.feed(data[at:at + 1000])
    assert reader.finish() == text[:500_000]


@pytest.mark.parametrize("codings", [(), ("gzip",)])
def test_given_a_body_that_is_shorter_then_all_of_it_is_kept(codings):
    text = b"x" * 500_000
    reader = BodyReader(codings, max_wire_size=10, max_body_size=10, keep=500_000)
    reader.feed(gzip.compress(text) if codings else text)
    assert reader.finish() == text
    broken = BodyReader(("gzip",), max_wire_size=10, max_body_size=10, keep=500_000)
    broken.feed(gzip.compress(text)[:-4])
    with pytest.raises(BodyError, match="ends early"):
        broken.finish()
