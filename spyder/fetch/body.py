"""Collects a response body while it arrives, undoing its content codings under a cap."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import brotli

from spyder.errors import SpyderError
from spyder.model.records import Failure
from spyder.model.states import ErrorKind

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ACCEPT_ENCODING = "gzip, deflate, br, zstd"  #: the codings that we ask for

_PIECE = 65_536  #: bytes that are inflated at a time, and so the most by which a cap is passed
_RATIO_FLOOR = 1_048_576  #: decoded bytes up to which a body may be as well compressed as it likes
_MAX_CODINGS = 5  #: codings on one body; servers use one
_MAX_MEMBERS = 4_096  #: gzip members or zstd frames in one body: a flood of empty ones costs time without output
_ZSTD_WINDOW_LOG = 23  #: 8 MiB, the largest window of the content coding (RFC 9659, section 3)
_GZIP, _ZLIB, _RAW = 31, 15, -15  #: zlib's names (wbits) for its three formats
_GZIP_MAGIC = (b"\x1f\x8b",)  #: RFC 1952, section 2.3.1
_ZSTD_MAGIC = (b"\x28\xb5\x2f\xfd", *(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60)))  #: RFC 8878, 3.1
_UNREADABLE = frozenset({"aes128gcm", "bzip2", "compress", "dcb", "dcz", "exi", "lzma", "pack200-gzip", "sdch",
                         "x-bzip2", "x-compress", "xz"})  #: IANA's other codings, and ones seen in the wild
_LIBRARY_ERRORS = (zlib.error, brotli.error, zstd.ZstdError)


class BodyFullError(SpyderError):
    """As much of the body as is wanted is there."""


class BodyError(SpyderError):
    """The body can't be had; :attr:`failure` tells why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


def wire_limit(size: int) -> Failure:
    """The body, as sent, is longer than *size* bytes."""
    return Failure(kind=ErrorKind.BODY_LIMIT, detail=f"more than {size} bytes as sent (fetch.max_wire_size)")


def _broken(detail: str) -> BodyError:
    return BodyError(Failure(kind=ErrorKind.DECODE, detail=detail))


class _Decoder(Protocol):
    """Undoes one coding."""

    name: str

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What *data* (never empty) adds to the output, at most ``_PIECE`` bytes at a time."""

    @property
    def is_complete(self) -> bool:
        """True when the coded stream ended as it should."""


class _Stream(Protocol):
    """What zlib's and zstd's decompressors have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


def _zlib_pieces(stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while True:
        piece = stream.decompress(data, _PIECE)
        if piece:
            yield piece
        data = stream.unconsumed_tail
        if stream.eof or (not data and len(piece) < _PIECE):
            return


def _zstd_pieces(stream: zstd.ZstdDecompressor, data: bytes) -> Iterator[bytes]:
    while True:
        piece = stream.decompress(data, _PIECE)
        if piece:
            yield piece
        if stream.eof or stream.needs_input:
            return
        data = b""


_S = TypeVar("_S", bound=_Stream)


class _Members(Generic[_S]):
    """Formats whose streams may follow each other: gzip (RFC 1952, section 2.2) and zstd (RFC 8878, section 3).

    Bytes after the last stream that begin no other are ignored, as browsers do.
    """

    def __init__(self, name: str, magics: tuple[bytes, ...], new: Callable[[], _S],
                 pieces: Callable[[_S, bytes], Iterator[bytes]]) -> None:
        self.name = name
        self._magics = magics
        self._new = new
        self._pieces = pieces
        self._stream: _S | None = new()
        self._members = 1
        self._held = b""  # between two streams: too few bytes to know whether another one begins
        self._is_over = False

    @property
    def is_complete(self) -> bool:
        return self._stream is None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data and not self._is_over:
            if self._stream is None:
                data = self._held + data
                self._begin(data)
            if self._stream is None:
                return
            yield from self._pieces(self._stream, data)
            if not self._stream.eof:
                return
            data = self._stream.unused_data
            self._stream = None

    def _begin(self, data: bytes) -> None:
        """Start on the next stream if *data* begins one; hold *data* if it is too short to tell."""
        self._held = b""
        if data.startswith(self._magics):
            if self._members == _MAX_MEMBERS:
                raise _broken(f"more than {_MAX_MEMBERS} {self.name} streams in one body")
            self._members += 1
            self._stream = self._new()
        elif any(magic.startswith(data) for magic in self._magics):
            self._held = data
        else:
            self._is_over = True


class _Deflate:
    """The zlib format (RFC 1950), or the bare deflate stream (RFC 1951) that some servers send under this name."""

    name = "deflate"

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None
        self._held = b""

    @property
    def is_complete(self) -> bool:
        return self._stream is not None and self._stream.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._held += data
            if len(self._held) < 2:
                return
            data, self._held = self._held, b""
            # RFC 1950, section 2.2: method 8, and a header that is a multiple of 31
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(_ZLIB if is_zlib else _RAW)
        if not self._stream.eof:
            yield from _zlib_pieces(self._stream, data)


class _Brotli:
    """The brotli format (RFC 7932); bytes after its end are an error, since the library can't tell them apart."""

    name = "br"

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def is_complete(self) -> bool:
        return bool(self._stream.is_finished())

    def pieces(self, data: bytes) -> Iterator[bytes]:
        stream = self._stream
        while True:
            piece: bytes = stream.process(data, output_buffer_limit=_PIECE)
            if piece:
                yield piece
            if len(piece) < _PIECE and stream.can_accept_more_data():  # at the limit it says so with output left
                return
            data = b""


def _gzip() -> _Decoder:
    return _Members("gzip", _GZIP_MAGIC, lambda: zlib.decompressobj(_GZIP), _zlib_pieces)


def _zstd() -> _Decoder:
    options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
    return _Members("zstd", _ZSTD_MAGIC, lambda: zstd.ZstdDecompressor(options=options), _zstd_pieces)


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": _gzip, "x-gzip": _gzip, "deflate": _Deflate, "br": _Brotli, "zstd": _zstd}


def content_codings(values: Iterable[str]) -> tuple[str, ...]:
    """The codings to undo, in the order in which they were applied, from all Content-Encoding fields (RFC 9110, 8.4).

    Words that name no coding (``utf-8``, ``none``) are passed over, as browsers do. Raises :class:`BodyError` for
    registered codings that we can't read, and for more than five.
    """
    names = [name.strip(" \t").lower() for value in values for name in value.split(",")]
    for name in names:
        if name in _UNREADABLE:
            raise _broken(f"content coding {name} is not supported")
    codings = tuple(name for name in names if name in _DECODERS)
    if len(codings) > _MAX_CODINGS:
        raise _broken(f"{len(codings)} content codings on one body")
    return codings


class BodyReader:
    """One body: :meth:`feed` it as it comes, then take it from :meth:`finish`.

    *codings* as by :func:`content_codings`; the caps in bytes. At no time is more than the cap and one piece of 64 KiB
    inflated, at any stage of stacked codings. No stage may give more than *max_ratio* times what was sent; that is
    judged from 1 MiB on, since much can be said of little.

    With *keep* the body ends after that many decoded bytes: :meth:`feed` raises :class:`BodyFullError` when there
    is more, and there is no other limit.
    """

    __slots__ = ("_chunks", "_decoders", "_is_full", "_keep", "_max_body_size", "_max_ratio", "_max_wire_size",
                 "_sizes", "wire_size")

    def __init__(self, codings: Sequence[str], *, max_wire_size: int, max_body_size: int, max_ratio: int = 1 << 62,
                 keep: int = 0) -> None:
        self.wire_size = 0  #: bytes as sent
        self._max_wire_size = keep or max_wire_size
        self._max_body_size = keep + _PIECE if keep else max_body_size
        self._max_ratio = max_ratio
        self._keep = keep
        self._is_full = False
        self._chunks: list[bytes] = []
        self._decoders = [_DECODERS[coding]() for coding in reversed(codings)] if codings else None
        self._sizes = [0] * len(codings)  # bytes that each decoder gave

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body; raises :class:`BodyError` beyond a cap, or when they can't be decoded."""
        self.wire_size += len(chunk)
        if self._keep:
            self._fill(chunk)
        elif self.wire_size > self._max_wire_size:
            raise BodyError(wire_limit(self._max_wire_size))
        elif self._decoders is None:
            if self.wire_size > self._max_body_size:
                raise self._too_long()
            self._chunks.append(chunk)
        elif chunk:
            self._decode(0, chunk)

    def finish(self) -> bytes:
        """The decoded body; raises :class:`BodyError` when a coded stream ends early. An empty body is always well."""
        if self._decoders and self.wire_size and not self._is_full:
            for decoder in self._decoders:
                if not decoder.is_complete:
                    raise _broken(f"{decoder.name}: the stream ends early")
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        return body[:self._keep] if self._keep else body

    def _fill(self, chunk: bytes) -> None:
        """Take *chunk* if there is room; what comes after a full body isn't looked at."""
        size = self.wire_size
        if self._decoders is None:
            self._chunks.append(chunk)
        elif chunk:
            try:
                self._decode(0, chunk)
            except BodyError as error:
                if error.failure.kind is not ErrorKind.BODY_LIMIT:
                    raise
                self._is_full = True
            size = self._sizes[-1]
        if self._is_full or size > self._keep or self.wire_size > self._max_wire_size:
            self._is_full = True
            raise BodyFullError

    def _decode(self, stage: int, data: bytes) -> None:
        """Run *data* through the decoders from *stage* on."""
        assert self._decoders is not None
        if stage == len(self._decoders):
            self._chunks.append(data)
            return
        decoder = self._decoders[stage]
        pieces = decoder.pieces(data)
        while piece := self._next(decoder, pieces):
            size = self._sizes[stage] = self._sizes[stage] + len(piece)
            if size > self._max_body_size:
                raise self._too_long()
            if size > _RATIO_FLOOR and size > self.wire_size * self._max_ratio:
                raise BodyError(Failure(kind=ErrorKind.BODY_LIMIT, detail=(
                    f"decoded more than {self._max_ratio} times as long as sent (fetch.max_ratio)")))
            self._decode(stage + 1, piece)

    @staticmethod
    def _next(decoder: _Decoder, pieces: Iterator[bytes]) -> bytes:
        try:
            return next(pieces, b"")
        except _LIBRARY_ERRORS as error:
            raise _broken(f"{decoder.name}: {error}") from None

    def _too_long(self) -> BodyError:
        return BodyError(Failure(kind=ErrorKind.BODY_LIMIT, detail=(
            f"more than {self._max_body_size} bytes decoded (fetch.max_body_size)")))
