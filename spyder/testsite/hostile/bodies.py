"""Bodies that have no end, come drop by drop, or are not as long as announced."""

from __future__ import annotations

from spyder.testsite.hostile.behaviour import Behaviour, Serve, answer, endless, head, steps

_PAGE = b"<title>bad</title><p>text"
_BLOCK = b"<p>and so on</p>\n" * 1000
_CHUNKED = head("200 OK", "Transfer-Encoding: chunked")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _body(name: str, does: str, serve: Serve, *ends: str) -> Behaviour:
    return Behaviour(name=name, group="bodies", does=does, serve=serve, ends=ends)


def _lengths(*values: str, body: bytes = _PAGE) -> Serve:
    return steps(head("200 OK", *(f"Content-Length: {value}" for value in values)) + body)


_SIZE = str(len(_PAGE))

BEHAVIOURS = (
    _body("body-endless", "sends without end, no length announced", endless(head(), _BLOCK), "failed body-limit"),
    _body("body-endless-chunked", "sends chunks without end", endless(_CHUNKED, _chunk(_BLOCK)), "failed body-limit"),
    _body("body-huge-length", "announces 10 TB and sends without end",
          endless(head(length=10_000_000_000_000), _BLOCK), "failed body-limit"),
    _body("body-endless-404", "404 with a body without end", endless(head("404 Not Found"), _BLOCK),
          "failed http-4xx"),
    _body("body-drip", "sends a byte every 0.2 s", endless(head(), b"x", pause=0.2), "failed timeout"),
    _body("body-drip-chunked", "sends a chunk of a byte every 0.2 s", endless(_CHUNKED, _chunk(b"x"), pause=0.2),
          "failed timeout"),
    _body("body-stalls", "falls silent in the middle", steps(head(length=10_000) + _PAGE, "silence"),
          "failed timeout"),
    _body("body-never-comes", "a head with a length, then silence", steps(head(length=100), "silence"),
          "failed timeout"),
    _body("body-reset", "resets the connection in the middle", steps(head(length=10_000) + _PAGE, 0.1, "reset"),
          "failed reset"),
    _body("length-too-long", "announces more than it sends, then closes", _lengths("10000"), "failed truncated"),
    _body("length-too-short", "announces fewer bytes than it sends", _lengths("18", body=_PAGE + b"more" * 500),
          "done 200"),
    _body("length-missing", "no length: the connection's end is the body's", steps(head() + _PAGE), "done 200"),
    _body("length-negative", "Content-Length: -1", _lengths("-1"), "failed protocol"),
    _body("length-huge", "Content-Length: 2^64 + 10", _lengths("18446744073709551626"),
          "failed body-limit"),
    _body("length-word", "Content-Length: abc", _lengths("abc"), "failed protocol"),
    _body("length-hex", "Content-Length: 0x19", _lengths("0x19"), "failed protocol"),
    _body("length-plus", "Content-Length with a plus sign", _lengths("+" + _SIZE), "failed protocol"),
    _body("length-empty", "Content-Length without a value", _lengths(""), "failed protocol"),
    _body("length-twice", "Content-Length twice, the same value", _lengths(_SIZE, _SIZE), "done 200"),
    _body("length-list", "Content-Length: n, n", _lengths(f"{_SIZE}, {_SIZE}"), "done 200"),
    _body("length-conflict", "Content-Length twice, different values", _lengths("5", _SIZE), "failed protocol"),
    _body("length-and-chunked", "Content-Length and chunks: chunks count (RFC 9112, section 6.3)",
          steps(head("200 OK", "Transfer-Encoding: chunked", "Content-Length: 3") + _chunk(_PAGE) + b"0\r\n\r\n"),
          "done 200"),
    _body("chunk-no-number", "a chunk's size is no number", steps(_CHUNKED + b"xyz\r\n" + _PAGE), "failed protocol"),
    _body("chunk-negative", "a chunk's size is negative", steps(_CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"),
          "failed protocol"),
    _body("chunk-overflow", "a chunk's size is beyond 64 bits", steps(_CHUNKED + b"F" * 17 + b"\r\n" + _PAGE),
          "failed protocol"),
    _body("chunk-huge", "a chunk of 2^62 bytes, sent without end",
          endless(_CHUNKED + b"4" + b"0" * 15 + b"\r\n", _BLOCK),
          "failed body-limit"),
    _body("chunk-endless-size", "a chunk's size of digits without end", endless(_CHUNKED, b"0" * 10_000),
          "failed protocol"),
    _body("chunk-endless-extension", "a chunk extension without end", endless(_CHUNKED + b"5;x=", b"y" * 10_000),
          "failed timeout"),
    _body("chunk-missing-end", "closes without the last chunk", steps(_CHUNKED + _chunk(_PAGE)), "failed truncated"),
    _body("chunk-cut", "closes in the middle of a chunk", steps(_CHUNKED + b"400\r\n" + _PAGE), "failed truncated"),
    _body("chunk-no-line-end", "no line end after a chunk's data",
          steps(_CHUNKED + b"5\r\nhelloworld" + b"0\r\n\r\n"), "failed protocol"),
    _body("chunk-single-bytes", "20,000 chunks of one byte each",
          steps(_CHUNKED + _chunk(b"<title>bad</title>") + _chunk(b"x") * 20_000 + b"0\r\n\r\n"), "done 200"),
    _body("trailers-bomb", "trailers without end", endless(_CHUNKED + _chunk(_PAGE) + b"0\r\n", b"X-Y: z\r\n" * 500),
          "failed header-limit"),
    _body("trailer-endless", "one trailer line without end",
          endless(_CHUNKED + _chunk(_PAGE) + b"0\r\n", b"x" * 10_000),
          "failed header-limit"),
    _body("transfer-unknown", "a transfer coding that nobody knows",
          steps(head("200 OK", "Transfer-Encoding: wrapped") + _PAGE), "failed decode"),
    _body("answer-unasked", "a second answer behind the first, for a request that nobody sent",
          steps(answer(_PAGE) + answer(b"<title>poison</title>"), 0.3), "done 200"),
)
