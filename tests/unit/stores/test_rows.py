from __future__ import annotations

import msgspec
import pytest

from spyder.errors import StoreError
from spyder.model.records import HostRow, QueuedUri, UriRow
from spyder.model.states import UriState
from spyder.stores import rows

HOST = b"\x00\x01hosthost"
KEY = HOST + b"\x00\xfffinger"
PLACE = b"\x7f\x00\x00\x00\x00\x00\x00\x09"

FULL_URI = UriRow(state=UriState.FAILED, depth=3, url="https://example.org/ü", status=503, reason="http-5xx", attempt=4,
                  settled_at=1.7e9 + 0.123, referrer="https://example.org/", worker="w1", strikes=2)
FULL_QUEUED = QueuedUri(key=KEY, place=PLACE, url="https://example.org/ü?q=1", depth=2, priority=-7, attempt=1,
                        referrer="https://example.org/", redirects=("https://a.example/", "https://b.example/"),
                        is_seed=True, strikes=1)


@pytest.mark.parametrize("row", [
    UriRow(state=UriState.QUEUED),
    UriRow(state=UriState.QUEUED, depth=4, place=PLACE),
    UriRow(state=UriState.SCHEDULED, place=PLACE, attempt=1),
    UriRow(state=UriState.DONE, status=200),
    UriRow(state=UriState.DONE, settled_at=0.5),
    UriRow(state=UriState.EXCLUDED, reason="robots"),
    UriRow(state=UriState.QUEUED, referrer="https://example.org/"),
    UriRow(state=UriState.DONE, worker="w"),
    UriRow(state=UriState.DONE, url="u"),
    UriRow(state=UriState.QUEUED, place=PLACE, strikes=1),
    FULL_URI,
])
def test_given_a_uri_row_when_it_is_stored_then_every_field_returns(row: UriRow) -> None:
    assert rows.decode_uri(rows.encode_uri(row)) == row


@pytest.mark.parametrize("row", [
    QueuedUri(key=KEY, place=PLACE, url="https://example.org/"),
    QueuedUri(key=KEY, place=PLACE, url="https://example.org/", depth=1, referrer="https://example.org/x"),
    QueuedUri(key=KEY, place=PLACE, url="https://example.org/", priority=1),
    QueuedUri(key=KEY, place=PLACE, url="https://example.org/", attempt=1),
    QueuedUri(key=KEY, place=PLACE, url="https://example.org/", redirects=("https://example.com/",)),
    QueuedUri(key=KEY, place=PLACE, url="https://example.org/", is_seed=True),
    QueuedUri(key=KEY, place=PLACE, url="https://example.org/", strikes=1),
    FULL_QUEUED,
])
def test_given_a_waiting_row_when_it_is_stored_then_key_and_place_return_from_the_key(row: QueuedUri) -> None:
    assert rows.decode_queued(HOST + PLACE, rows.encode_queued(row)) == row
    assert rows.decode_due(PLACE + KEY, rows.encode_due(row)) == row


def test_given_a_host_row_when_it_is_stored_then_every_field_returns() -> None:
    row = HostRow(key=HOST, name="example.org:8080", queued=70_000, next_at=1.7e9, errors=2, settled=5, failed=1,
                  waiting=b"w\x00", in_scope=True, last_error="dns", spent=7)

    assert rows.decode_host(rows.encode_host(row)) == row


def test_given_an_untried_uri_when_it_is_stored_then_it_takes_few_bytes() -> None:
    uri = rows.encode_uri(UriRow(state=UriState.QUEUED, depth=4, place=PLACE))
    queued = rows.encode_queued(QueuedUri(key=KEY, place=PLACE, url="u" * 30, depth=4, referrer="r" * 30))

    assert len(uri) == 1 + 1 + 1 + 2 + 8
    assert len(queued) == 8 + 1 + 31 + 1 + 31


def test_given_a_value_of_a_later_version_with_more_fields_when_it_is_read_then_the_known_ones_return() -> None:
    value = msgspec.msgpack.encode([1, 2, PLACE, "", 0, "", 0, 0.0, "", "", 0, "", "something new"])

    assert rows.decode_uri(value) == UriRow(state=UriState.QUEUED, depth=2, place=PLACE)


@pytest.mark.parametrize(("prefix", "expected"), [
    (b"a", b"b"), (b"a\xff", b"b"), (b"\x00\x01", b"\x00\x02"), (b"\xff\xff", b""), (b"", b"")])
def test_given_a_prefix_when_the_end_of_its_keys_is_asked_for_then_it_is_tight(prefix: bytes, expected: bytes) -> None:
    assert rows.after_prefix(prefix) == expected


def test_given_this_schema_when_it_is_checked_then_nothing_is_said() -> None:
    rows.check_schema(b"%d" % rows.SCHEMA_VERSION, "here")


@pytest.mark.parametrize(("found", "words"), [
    (b"2", r"here was written by a newer Spyder \(schema 2, this one reads 1\): "
           r"use that version, or begin anew with --fresh"),
    (b"0", r"here was written by an older Spyder \(schema 0, this one reads 1\)"),
    (None, "here holds no frontier"),
    (b"x", "here holds no frontier"),
])
def test_given_another_schema_when_it_is_checked_then_both_versions_are_named(found: bytes | None, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        rows.check_schema(found, "here")
