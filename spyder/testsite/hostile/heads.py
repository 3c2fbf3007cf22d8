"""Heads of answers that never end, are no heads, or say impossible things."""

from __future__ import annotations

import random

from spyder.testsite.hostile.behaviour import Behaviour, Door, Exchange, Serve, answer, endless, head, steps

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
_BODY = b"\r\n<title>bad</title>"
_NOISE = random.Random(7).randbytes(5000)  # noqa: S311  the same noise everywhere


def _head(name: str, does: str, serve: Serve, *ends: str, title: str | None = None) -> Behaviour:
    return Behaviour(name=name, group="heads", does=does, serve=serve, ends=ends, title=title)


def _status(line: str) -> Serve:
    return steps(f"{line}\r\nContent-Type: text/html\r\nConnection: close\r\n".encode("latin-1") + _BODY)


def _at_the_door(name: str, does: str, greets: Serve, *ends: str) -> Behaviour:
    """Wrong from the first byte of a connection: robots.txt can't be had either."""
    return Behaviour(name=name, group="doors", does=does, serve=greets, door=Door(scheme="http", greets=greets),
                     path="{door}/", ends=ends, most=0)


async def _slowly(to: Exchange) -> None:
    for byte in _OK * 3:
        await to.send(bytes([byte]))
        await to.pause(0.2)
    await to.silence()


BEHAVIOURS = (
    _head("head-never-comes", "takes the request and says nothing", steps("silence"), "failed timeout"),
    _head("head-drip", "sends a byte of the head every 0.2 s", _slowly, "failed timeout"),
    _head("head-stalls", "falls silent in the middle of the head", steps(_OK, "silence"), "failed timeout"),
    _head("head-endless-line", "a header line without end", endless(_OK + b"X-Long: ", b"x" * 10_000),
          "failed header-limit"),
    _head("head-endless-fields", "header fields without end", endless(_OK, b"X-More: and more\r\n" * 100),
          "failed header-limit"),
    _head("head-endless-status-line", "a status line without end", endless(b"HTTP/1.1 200 ", b"OK " * 4000),
          "failed header-limit"),
    _head("head-many-fields", "1,000 header fields", steps(_OK + b"X-Some: thing\r\n" * 1000 + _BODY),
          "failed header-limit"),
    _head("head-large-field", "a header field of 90,000 bytes", steps(_OK + b"X-Large: " + b"x" * 90_000 + b"\r\n"
                                                                      + _BODY), "failed header-limit"),
    _head("cookie-huge", "a cookie of 90,000 bytes", steps(_OK + b"Set-Cookie: a=" + b"x" * 90_000 + b"\r\n" + _BODY),
          "failed header-limit"),
    _head("cookie-thousands", "3,000 cookies", steps(_OK + b"".join(
        b"Set-Cookie: c%d=1\r\n" % number for number in range(3000)) + _BODY), "failed header-limit"),
    _head("cookie-some-hundred", "150 cookies of 300 bytes each", steps(_OK + b"".join(
        b"Set-Cookie: c%d=%s\r\n" % (number, b"x" * 300) for number in range(150)) + _BODY), "done 200"),
    _head("cookie-everywhere", "cookies for the whole web and for top-level domains", steps(
        _OK + b"Set-Cookie: a=1; Domain=com\r\nSet-Cookie: b=1; Domain=.\r\nSet-Cookie: c=1; Domain=127.0.0.1\r\n"
        b"Set-Cookie: \r\nSet-Cookie: =;=;=\r\nSet-Cookie: d=\x01\x02; Max-Age=99999999999999999999\r\n" + _BODY),
        "done 200"),
    _head("head-nul", "a NUL in a header field", steps(_OK + b"X-Nul: a\0b\r\n" + _BODY), "failed protocol"),
    _head("head-control-bytes", "control bytes in a header field",
          steps(_OK + b"X-Control: \x01\x02\x1b[2J\r\n" + _BODY),
          "done 200"),
    _head("head-high-bytes", "bytes beyond ASCII in header fields", steps(_OK + b"X-High: \xff\xfe\xe4\r\n" + _BODY),
          "done 200"),
    _head("head-no-status-line", "fields without a status line", steps(b"Content-Type: text/html\r\n" + _BODY),
          "failed protocol"),
    _head("head-http09", "HTML without any head (HTTP/0.9)", steps(b"<html><title>bad</title></html>"),
          "failed protocol"),
    _head("head-noise", "5,000 random bytes", steps(_NOISE), "failed protocol"),
    _head("head-noise-after-status", "a status line, then random bytes", steps(b"HTTP/1.1 200 OK\r\n" + _NOISE),
          "failed protocol"),
    _head("head-ssh", "answers as an SSH server", steps(b"SSH-2.0-OpenSSH_9.6\r\n", 0.2), "failed protocol"),
    _head("head-smtp", "answers as a mail server", steps(b"220 mail.example ESMTP ready\r\n", 0.2), "failed protocol"),
    _head("head-icy", "answers as a radio station (ICY 200 OK)",
          steps(b"ICY 200 OK\r\nicy-name: x\r\n\r\n", b"\xff" * 500),
          "failed protocol"),
    _head("head-http2-unasked", "answers with HTTP/2 frames", steps(
        b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0d\0\0\0\7\0\0\0\0\0", 0.2), "failed protocol"),
    _head("head-cut", "closes in the middle of the head", steps(_OK), "failed reset"),
    _head("head-nothing", "closes without an answer", steps("close"), "failed reset"),
    _head("head-reset", "resets without an answer", steps("reset"), "failed reset"),
    _head("status-000", "status 000", _status("HTTP/1.1 000 Nothing"), "failed protocol"),
    _head("status-099", "status 099", _status("HTTP/1.1 099 Less"), "failed protocol"),
    _head("status-1000", "status 1000", _status("HTTP/1.1 1000 More"), "failed protocol"),
    _head("status-word", "a word for a status", _status("HTTP/1.1 OK fine"), "failed protocol"),
    _head("status-negative", "status -200", _status("HTTP/1.1 -200 OK"), "failed protocol"),
    _head("status-bare", "a status line without a reason", _status("HTTP/1.1 200"), "done 200", title="bad"),
    _head("status-lower-case", "http/1.1 in small letters", _status("http/1.1 200 OK"), "done 200"),
    _head("version-unknown", "HTTP/3.7", _status("HTTP/3.7 200 OK"), "done 200"),
    _head("informational-flood", "100 Continue without end", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
          "failed header-limit"),
    _head("informational-early-hints", "103 Early Hints, then the answer", steps(
        b"HTTP/1.1 103 Early Hints\r\nLink: </good/1>; rel=preload\r\n\r\n" + answer()), "done 200", title="bad"),
    _head("switching-protocols", "101 Switching Protocols, for which nobody asked", steps(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 0.2),
        "failed protocol"),
    _head("head-folded", "a header field folded over lines (RFC 9112, section 5.2)", steps(
        _OK + b"X-Folded: a\r\n  b\r\n\tc\r\n" + _BODY), "done 200", title="bad"),
    _head("head-bare-line-feeds", "lines that end in LF only", steps(
        b"HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 18\n\n<title>bad</title>"),
        "done 200", title="bad"),
    _head("head-space-before-colon", "a blank between a field's name and the colon", steps(
        _OK + b"X-Space : a\r\n" + _BODY), "done 200"),
    _head("head-no-colon", "a header line without a colon",
          steps(_OK + b"no colon here\r\n" + _BODY), "failed protocol"),
    _head("head-nameless-field", "a header field without a name", steps(_OK + b": value\r\n" + _BODY),
          "done 200"),
    _head("content-type-noise", "a Content-Type that is none", steps(
        b"HTTP/1.1 200 OK\r\nContent-Type: ;;;charset=\"\\,text//html\r\nConnection: close\r\n" + _BODY), "done 200"),
    _head("content-type-missing", "no Content-Type", steps(head(kind="") + b"<!doctype html><title>bad</title>"),
          "done 200"),
    _head("content-type-many", "three Content-Type fields that differ", steps(head(
        "200 OK", "Content-Type: image/png", "Content-Type: text/plain") + _BODY), "done 200"),
    _head("content-type-lies", "HTML that is called an image", steps(answer(kind="image/png")), "done 200"),
    _head("content-type-binary", "binary data that is called HTML", steps(answer(_NOISE * 20)), "done 200"),
    _at_the_door("door-closes", "closes each connection at once", steps("close"), "failed reset"),
    _at_the_door("door-resets", "resets each connection at once", steps("reset"), "failed reset", "failed connect"),
    _at_the_door("door-silent", "takes each connection and says nothing", steps("silence"), "failed timeout"),
    _at_the_door("door-ssh", "an SSH server's banner, then silence", steps(b"SSH-2.0-OpenSSH_9.6\r\n", "silence"),
                 "excluded robots-unreachable"),
    _at_the_door("door-shouts", "sends noise without end, unasked", endless(b"", _NOISE),
                 "excluded robots-unreachable"),
)
