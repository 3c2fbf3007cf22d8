"""How the frontier's rows look as keys and values: what all stores on disk share.

Values are MessagePack arrays in the fields' declared order (never change that order: new fields go to the end and have
a default). What a key says is cut from its value, and defaults at the end of the commonest rows are left out.
"""

from __future__ import annotations

import msgspec

from spyder.errors import StoreError
from spyder.model.records import HostRow, QueuedUri, Record, UriRow
from spyder.model.url import HOST_BYTES, KEY_BYTES

SCHEMA_VERSION = 1  #: raised when a store written before can't be read any more
SCHEMA_KEY = "schema"  #: name of the version among the small values


class _Waiting(Record, frozen=True):
    """What remains of a :class:`QueuedUri` without its key and place."""

    url: str
    depth: int = 0
    referrer: str = ""
    priority: int = 0
    attempt: int = 0
    redirects: tuple[str, ...] = ()
    is_seed: bool = False
    strikes: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode_waiting = msgspec.msgpack.Decoder(_Waiting).decode

decode_uri = msgspec.msgpack.Decoder(UriRow).decode
decode_host = msgspec.msgpack.Decoder(HostRow).decode
encode_host = _encode


def encode_uri(row: UriRow) -> bytes:
    """The value of a URI's row; that of one which was never tried is its first three fields."""
    if row.url or row.settled_at or row.reason or row.attempt or row.strikes or row.status or row.referrer or (
            row.worker):
        return _encode(row)
    return _encode((row.state, row.depth, row.place))


def _encode_waiting(row: QueuedUri) -> bytes:
    if row.priority or row.attempt or row.redirects or row.is_seed or row.strikes:
        return _encode((row.url, row.depth, row.referrer, row.priority, row.attempt, row.redirects, row.is_seed,
                        row.strikes))
    return _encode((row.url, row.depth, row.referrer))


def encode_queued(row: QueuedUri) -> bytes:
    """The value of a queue's row: fingerprint (8 bytes), then the rest. The key is host key and place."""
    return row.key[HOST_BYTES:] + _encode_waiting(row)


def decode_queued(key: bytes, value: bytes) -> QueuedUri:
    """The queue's row at *key* (host key and place)."""
    end = KEY_BYTES - HOST_BYTES
    rest = _decode_waiting(value[end:])
    return QueuedUri(key=key[:HOST_BYTES] + value[:end], place=key[HOST_BYTES:], url=rest.url, depth=rest.depth,
                     priority=rest.priority, attempt=rest.attempt, referrer=rest.referrer, redirects=rest.redirects,
                     is_seed=rest.is_seed, strikes=rest.strikes)


encode_due = _encode_waiting


def decode_due(key: bytes, value: bytes) -> QueuedUri:
    """The scheduled row at *key* (due place and URI key)."""
    rest = _decode_waiting(value)
    return QueuedUri(key=key[-KEY_BYTES:], place=key[:-KEY_BYTES], url=rest.url, depth=rest.depth,
                     priority=rest.priority, attempt=rest.attempt, referrer=rest.referrer, redirects=rest.redirects,
                     is_seed=rest.is_seed, strikes=rest.strikes)


def after_prefix(prefix: bytes) -> bytes:
    """The least key greater than all that begin with *prefix*; empty when there is no such key."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else b""


def check_schema(found: bytes | None, where: object) -> None:
    """Raise :class:`StoreError` unless the store at *where* has this program's version of the schema."""
    if found == b"%d" % SCHEMA_VERSION:
        return
    if found is None or not found.isdigit():
        raise StoreError(f"{where} holds no frontier: its database was not written by Spyder; name another folder")
    age = "a newer" if int(found) > SCHEMA_VERSION else "an older"
    raise StoreError(f"{where} was written by {age} Spyder (schema {int(found)}, this one reads {SCHEMA_VERSION}): "
                     "use that version, or begin anew with --fresh")
