"""Heads are read line by line, as curl hands them over."""

import pytest

from spyder.fetch.head import HeadError, HeadReader
from spyder.model.states import ErrorKind


def read(text, *, size=10_000, count=100):
    head = HeadReader(max_size=size, max_count=count)
    for line in text.splitlines(keepends=True):
        head.feed(line)
    return head


def test_a_head():
    head = read(b"HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: a=1\r\nset-cookie:b=2\r\nX-Empty:\r\n\r\n")
    assert (head.status, head.http_version, head.is_complete) == (200, "1.1", True)
    assert head.headers() == (("server", "x"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-empty", ""))


@pytest.mark.parametrize(("text", "status", "version"), [
    (b"HTTP/2 404 \r\n\r\n", 404, "2"),
    (b"HTTP/1.0 301 Moved\n\n", 301, "1.0"),
    (b"HTTP/1.1 200\r\n\r\n", 200, "1.1"),
    (b"HTTP/1.1 abc\r\n\r\n", 0, "1.1"),
    (b"", 0, ""),
])
def test_status_lines(text, status, version):
    head = read(text)
    assert (head.status, head.http_version) == (status, version)


def test_informational_answers_and_trailers_are_dropped():
    head = read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n")
    assert head.status == 200
    for line in (b"B: 2\r\n", b"HTTP/1.1 500 no status line here\r\n", b"\r\n"):
        head.feed(line)
    assert head.status == 200
    assert head.headers() == (("a", "1"),)


@pytest.mark.parametrize(("field", "value"), [
    (b"A: one\r\n two\r\n\t three\r\n", "one two three"),
    (b"A:\r\n one\r\n", "one"),
    (b"A: caf\xe9 \x85\t\r\n", "caf\xe9 \x85"),
    (b"A : b:c\r\n", "b:c"),
    (b"A\r\n", ""),
])
def test_fields(field, value):
    assert read(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n").headers() == (("a", value),)


def test_caps():
    with pytest.raises(HeadError, match="more than 100 bytes of header fields"):
        read(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100 + b"\r\n", size=100)
    assert len(read(b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * 5 + b"\r\n", count=5).headers()) == 5
    with pytest.raises(HeadError, match="more than 5 header fields") as caught:
        read(b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * 6, count=5)
    assert caught.value.failure.kind is ErrorKind.HEADER_LIMIT


@pytest.mark.parametrize("flood", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n" + b"T: 1\r\n" * 100])
def test_informational_answers_and_trailers_count(flood):
    with pytest.raises(HeadError):
        read(flood * 1000)
