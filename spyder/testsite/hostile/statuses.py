"""Statuses that were not asked for, do not fit, or ask to wait."""

from __future__ import annotations

from spyder.testsite.hostile.behaviour import Behaviour, Serve, answer, by_turn, head, steps

_PAGE = b"<title>bad</title>"


def _status(name: str, does: str, serve: Serve, *ends: str) -> Behaviour:
    return Behaviour(name=name, group="statuses", does=does, serve=serve, ends=ends)


def _busy(status: str, *fields: str) -> Serve:
    return by_turn(steps(answer(_PAGE, *fields, status=status)), steps(answer(_PAGE)))


def _always(status: str, *fields: str) -> Serve:
    return steps(answer(_PAGE, *fields, status=status))


_TOO_MANY, _BUSY = "429 Too Many Requests", "503 Service Unavailable"

BEHAVIOURS = (
    _status("429-seconds", "429 with Retry-After: 1, then the page", _busy(_TOO_MANY, "Retry-After: 1"), "done 200"),
    _status("429-date", "429 with a date that has passed, then the page", _busy(
        _TOO_MANY, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"), "done 200"),
    _status("429-noise", "429 with a Retry-After that is none, then the page", _busy(
        _TOO_MANY, "Retry-After: soon, \xff"), "done 200"),
    _status("429-huge", "429 with a Retry-After of 300 years, then the page", _busy(
        _TOO_MANY, "Retry-After: 9999999999"), "done 200"),
    _status("429-overflow", "429 with a Retry-After of 400 digits, then the page", _busy(
        _TOO_MANY, f"Retry-After: {'9' * 400}"), "done 200"),
    _status("429-negative", "429 with a negative Retry-After, then the page", _busy(_TOO_MANY, "Retry-After: -5"),
            "done 200"),
    _status("429-always", "429 for ever", _always(_TOO_MANY), "failed http-429"),
    _status("503-seconds", "503 with Retry-After: 1, then the page", _busy(_BUSY, "Retry-After: 1"), "done 200"),
    _status("503-always", "503 for ever", _always(_BUSY, "Retry-After: 0"), "failed http-5xx"),
    _status("500-always", "500 for ever", _always("500 Internal Server Error"), "failed http-500"),
    _status("599-always", "the unknown status 599 for ever", _always("599 What"), "failed http-5xx"),
    _status("204-body", "204 No Content, with content",
            steps(head("204 No Content", length=18) + _PAGE, 0.1), "done 204"),
    _status("205-body", "205 Reset Content, with content",
            steps(answer(_PAGE, status="205 Reset Content")), "done 205"),
    _status("206-unasked", "206 Partial Content, for which nobody asked", steps(answer(
        _PAGE, "Content-Range: bytes 0-17/1000", status="206 Partial Content")), "done 206"),
    _status("304-unasked", "304 Not Modified, although nothing is known", steps(
        b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nConnection: close\r\n\r\n"), "done 304"),
    _status("226-delta", "226 IM Used, a delta for which nobody asked", _always("226 IM Used", "IM: vcdiff"),
            "done 226"),
    _status("299-unknown", "the unknown status 299", _always("299 What"), "done 299"),
    _status("400-always", "400 Bad Request", _always("400 Bad Request"), "failed http-4xx"),
    _status("401-challenge", "401 with a challenge of 50 schemes", _always(
        "401 Unauthorized", "WWW-Authenticate: " + ", ".join(f'S{number} realm="x"' for number in range(50))),
        "failed http-4xx"),
    _status("407-unasked", "407 Proxy Authentication Required, without a proxy", _always(
        "407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="x"'), "failed http-4xx"),
    _status("408-always", "408 Request Timeout for ever", _always("408 Request Timeout"), "failed http-408"),
    _status("421-always", "421 Misdirected Request", _always("421 Misdirected Request"), "failed http-4xx"),
    _status("451-legal", "451 Unavailable For Legal Reasons", _always("451 Unavailable For Legal Reasons"),
            "failed http-4xx"),
    _status("600-status", "status 600", _always("600 Beyond"), "failed protocol"),
    _status("999-status", "status 999, as a large network answers crawlers", _always("999 Request denied"),
            "failed protocol"),
)
