"""HTTP/2 that floods, forgets and breaks its own frames (RFC 9113), over TLS and written by hand.

A server that would know what is asked for had to decompress header fields. This one looks for ``/robots.txt`` in them,
plain or compressed, answers it with 404, and misbehaves at everything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from spyder.testsite.hostile.behaviour import Behaviour, Door, Exchange

_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_DATA, _HEADERS, _RESET, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
_ACK = _END_STREAM = 1
_END_HEADERS = 4
#: Static indexes of HPACK (RFC 7541, appendix A): ``:status: 200`` and ``:status: 404``.
_STATUS_200, _STATUS_404 = b"\x88", b"\x8d"

#: ``/robots.txt``, plain and in the Huffman code of HPACK (RFC 7541, appendix B).
_ROBOTS = (b"/robots.txt", bytes.fromhex("62c3c674a174f94f"))

Misbehave = Callable[[Exchange, int], Awaitable[None]]


def _frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _field(name: bytes, value: bytes) -> bytes:
    """A header field, neither indexed nor compressed (RFC 7541, section 6.2.2); up to 126 bytes each."""
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


def _head(stream: int, *, is_last: bool = False, status: bytes = _STATUS_200) -> bytes:
    return _frame(_HEADERS, status + _field(b"content-type", b"text/html"),
                  flags=_END_HEADERS | (_END_STREAM if is_last else 0), stream=stream)


def _speaks(misbehave: Misbehave) -> Callable[[Exchange], Awaitable[None]]:
    """Reads frames; robots.txt is answered 404, everything else by *misbehave* with its stream."""
    async def serve(to: Exchange) -> None:
        await to.read(_PREFACE)
        await to.send(_frame(_SETTINGS))
        while True:
            header = await to.read(9)
            payload = await to.read(int.from_bytes(header[:3], "big"))
            if header[3] == _SETTINGS and not header[4] & _ACK:
                await to.send(_frame(_SETTINGS, flags=_ACK))
            elif header[3] == _PING and not header[4] & _ACK:
                await to.send(_frame(_PING, payload, flags=_ACK))
            elif header[3] == _HEADERS:
                stream = int.from_bytes(header[5:], "big")
                to.ask()
                if any(text in payload for text in _ROBOTS):
                    await to.send(_head(stream, is_last=True, status=_STATUS_404))
                else:
                    await misbehave(to, stream)
                    return
    return serve


def _http2(name: str, does: str, misbehave: Misbehave, *ends: str) -> Behaviour:
    serve = _speaks(misbehave)
    return Behaviour(name=name, group="http2", does=does, ends=ends, path="{door}/bad", serve=serve,
                     door=Door(scheme="https", certificate="good", protocols=("h2",), greets=serve))


def _sends(*parts: bytes) -> Misbehave:
    """Frames, in which stream 0x7fffffff is the request's; then the end."""
    async def misbehave(to: Exchange, stream: int) -> None:
        for part in parts:
            await to.send(part.replace(b"\x7f\xff\xff\xff", stream.to_bytes(4, "big")))
        await to.pause(0.2)
    return misbehave


def _floods(first: bytes, again: bytes) -> Misbehave:
    async def misbehave(to: Exchange, stream: int) -> None:
        number = stream.to_bytes(4, "big")
        await to.send(first.replace(b"\x7f\xff\xff\xff", number))
        flood = again.replace(b"\x7f\xff\xff\xff", number)
        for _ in range(1_000_000):
            await to.send(flood)
    return misbehave


_THIS = 0x7FFFFFFF
_BROKEN = ("failed reset", "failed protocol", "failed truncated")
_FLOODED = (*_BROKEN, "failed timeout", "failed header-limit", "failed connect")
_BODY = b"<title>bad</title>"


async def _silent(to: Exchange, stream: int) -> None:  # noqa: ARG001
    await to.silence()


BEHAVIOURS = (
    _http2("http2-good", "nothing bad: a page in two frames", _sends(
        _head(_THIS) + _frame(_DATA, _BODY, flags=_END_STREAM, stream=_THIS)), "done 200"),
    _http2("http2-silent", "takes the request and says nothing", _silent, "failed timeout"),
    _http2("http2-goaway", "GOAWAY instead of an answer", _sends(_frame(_GOAWAY, bytes(8))), *_BROKEN,
           "failed connect"),
    _http2("http2-reset", "resets the stream", _sends(_frame(_RESET, b"\0\0\0\2", stream=_THIS)), *_BROKEN),
    _http2("http2-reset-flood", "resets the stream, again and again", _floods(b"", _frame(
        _RESET, b"\0\0\0\2", stream=_THIS) * 500), *_FLOODED),
    _http2("http2-settings-flood", "SETTINGS without end, each to be acknowledged", _floods(b"", _frame(
        _SETTINGS, b"\0\4\0\0\xff\xff") * 500), *_FLOODED),
    _http2("http2-ping-flood", "PING without end, each to be answered", _floods(b"", _frame(_PING, bytes(8)) * 500),
           *_FLOODED),
    _http2("http2-continuation-flood", "header fields without end, in CONTINUATION frames", _floods(
        _frame(_HEADERS, _STATUS_200, stream=_THIS), _frame(_CONTINUATION, _field(b"x-more", b"x" * 100) * 50,
                                                            stream=_THIS)), *_FLOODED),
    _http2("http2-compression-bomb", "references to a large field, 4,000 in each frame", _floods(
        _frame(_HEADERS, _STATUS_200 + b"\x40\x06x-bomb\x7f\x81\x1d" + b"b" * 3840, stream=_THIS),
        _frame(_CONTINUATION, b"\xbe" * 4000, stream=_THIS)), *_FLOODED),
    _http2("http2-empty-frames", "empty DATA frames without end", _floods(
        _head(_THIS), _frame(_DATA, b"", stream=_THIS) * 500), *_FLOODED),
    _http2("http2-too-fast", "more data than the window allows, without end", _floods(
        _head(_THIS), _frame(_DATA, b"x" * 16_000, stream=_THIS)), *_FLOODED, "failed body-limit"),
    _http2("http2-large-frame", "a frame larger than agreed on", _sends(_head(_THIS) + _frame(
        _DATA, b"x" * 100_000, stream=_THIS)), *_BROKEN),
    _http2("http2-push", "pushes a page that nobody asked for, although pushing is off", _sends(
        _frame(_PUSH, b"\0\0\0\2\x82\x87\x84", flags=_END_HEADERS, stream=_THIS)), *_BROKEN),
    _http2("http2-no-status", "header fields without a status", _sends(_frame(
        _HEADERS, _field(b"x", b"y"), flags=_END_HEADERS | _END_STREAM, stream=_THIS)), *_BROKEN),
    _http2("http2-bad-compression", "header fields that can't be decompressed", _sends(_frame(
        _HEADERS, b"\xff\xff\xff\xff\xff\x0f", flags=_END_HEADERS, stream=_THIS)), *_BROKEN),
    _http2("http2-stream-zero", "an answer on stream 0", _sends(_frame(
        _HEADERS, _STATUS_200, flags=_END_HEADERS, stream=0)), *_BROKEN, "failed connect"),
    _http2("http2-noise", "noise instead of frames", _sends(bytes(range(256)) * 10), *_FLOODED),
)
