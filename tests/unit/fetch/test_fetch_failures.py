"""Errors get the kind by which the frontier retries, waits or gives up."""

import pytest

from spyder.fetch.failures import curl_failure, judge
from spyder.model.records import Failure
from spyder.model.states import ErrorKind

TRUNCATED = Failure(kind=ErrorKind.TRUNCATED, detail="bytes missing")


@pytest.mark.parametrize(("code", "message", "kind"), [
    (1, "Protocol \"ftp\" is disabled", ErrorKind.URL),
    (6, "Could not resolve host: a", ErrorKind.DNS),
    (56, "Recv failure: Connection reset by peer", ErrorKind.RESET),
    (56, "chunk hex-length longer than 17", ErrorKind.PROTOCOL),
    (56, "Too many response headers, 5000 is max", ErrorKind.HEADER_LIMIT),
    (60, "SSL certificate problem: certificate has expired", ErrorKind.TLS),
    (63, "Exceeded the maximum allowed file size (9)", ErrorKind.BODY_LIMIT),
    (12345, "", ErrorKind.RESET),
])
def test_errors_of_curl(code, message, kind):
    failure = curl_failure(code, message, is_connected=False, max_wire_size=9)
    assert failure.kind is kind
    assert failure.detail


def test_an_unsupported_protocol_after_the_connection_is_the_servers():
    failure = curl_failure(1, "Received HTTP/0.9\nwhen not allowed", is_connected=True, max_wire_size=9)
    assert failure == Failure(kind=ErrorKind.PROTOCOL, detail="Received HTTP/0.9 when not allowed")


@pytest.mark.parametrize(("status", "failure", "expected"), [
    (200, None, None),
    (200, TRUNCATED, TRUNCATED),
    (304, None, None),
    (404, None, Failure(kind=ErrorKind.HTTP_4XX, detail="404")),
    (404, TRUNCATED, Failure(kind=ErrorKind.HTTP_4XX, detail="404; body: truncated")),
    (429, None, Failure(kind=ErrorKind.HTTP_429, detail="429")),
    (599, None, Failure(kind=ErrorKind.HTTP_5XX, detail="599")),
    (500, None, Failure(kind=ErrorKind.HTTP_500, detail="500")),
    (502, None, Failure(kind=ErrorKind.HTTP_5XX, detail="502")),
    (505, None, Failure(kind=ErrorKind.HTTP_501, detail="505")),
    (522, None, Failure(kind=ErrorKind.HTTP_5XX, detail="522")),
    (425, None, Failure(kind=ErrorKind.HTTP_408, detail="425")),
    (600, None, Failure(kind=ErrorKind.PROTOCOL, detail="status 600")),
    (199, TRUNCATED, Failure(kind=ErrorKind.PROTOCOL, detail="status 199")),
])
def test_statuses(status, failure, expected):
    assert judge(status, failure) == expected


@pytest.mark.parametrize(("message", "is_asked", "setting"), [
    ("Operation timed out after 120001 milliseconds with 5 bytes received", True, "fetch.timeout"),
    ("Operation timed out after 120001 milliseconds with 0 bytes received", False, "fetch.timeout"),
    ("Connection timed out after 10001 milliseconds", False, "fetch.connect_timeout"),
    ("SSL connection timeout", False, "fetch.connect_timeout"),
    ("the peer speaks no HTTP/2", True, "fetch.timeout"),
])
def test_a_timeout_names_its_setting(message, is_asked, setting):
    failure = curl_failure(28, message, is_connected=True, is_asked=is_asked, max_wire_size=9)
    assert failure == Failure(kind=ErrorKind.TIMEOUT, detail=f"{message} ({setting})")


@pytest.mark.parametrize(("has_head", "kind"), [(True, ErrorKind.TRUNCATED), (False, ErrorKind.RESET)])
def test_an_end_of_tls_without_a_farewell_is_truncation_once_the_head_is_there(has_head, kind):
    failure = curl_failure(56, "OpenSSL SSL_read: SSL routines::unexpected eof while reading", is_connected=True,
                           has_head=has_head, max_wire_size=9)
    assert failure.kind is kind
