"""TLS that is expired, foreign, ancient, cut, or none at all."""

from __future__ import annotations

from spyder.testsite.hostile.behaviour import Behaviour, Door, Exchange, Serve, answer, by_path, endless, head, steps

#: A fault of the handshake meets robots.txt first: it can't be had, so nothing may be fetched.
_FAULT = ("failed tls",)
_PAGE = b"<title>bad</title>"
_MISSING = steps(answer(b"Not found\n", status="404 Not Found"))
#: A TLS record with a handshake message of random bytes, and one with a fatal alert 40 (RFC 8446, section 6).
_NOISE_RECORD, _ALERT = b"\x16\x03\x03\x00\x10" + bytes(range(16)), b"\x15\x03\x03\x00\x02\x02\x28"


def _tls(name: str, does: str, *ends: str, serve: Serve | None = None, certificate: str = "good",
         is_ancient: bool = False) -> Behaviour:
    """Answered by *serve*, once the handshake is done."""
    return Behaviour(name=name, group="tls", does=does, ends=ends or _FAULT, path="{door}/bad",
                     serve=serve or steps(answer(_PAGE)), most=0 if not ends else 24,
                     door=Door(scheme="https", certificate=certificate, is_ancient=is_ancient))


def _no_tls(name: str, does: str, greets: Serve, *ends: str) -> Behaviour:
    """Something else than TLS at the port of https."""
    return Behaviour(name=name, group="tls", does=does, ends=ends or _FAULT, path="{door}/bad", serve=greets, most=0,
                     door=Door(scheme="https", greets=greets))


async def _cut(to: Exchange) -> None:
    await to.send(head() + _PAGE)
    await to.pause(0.1)
    to.cut()


async def _cut_whole(to: Exchange) -> None:
    await to.send(answer(_PAGE))
    await to.pause(0.1)
    to.cut()


BEHAVIOURS = (
    _tls("tls-good", "nothing bad: a certificate of the test's own authority", "done 200"),
    _tls("tls-expired", "a certificate that has expired", certificate="expired"),
    _tls("tls-not-yet", "a certificate that is not valid yet", certificate="not-yet"),
    _tls("tls-self-signed", "a certificate that signed itself", certificate="self-signed"),
    _tls("tls-other-host", "a certificate for another host", certificate="other-host"),
    _tls("tls-foreign", "a certificate of an unknown authority", certificate="foreign"),
    _tls("tls-ancient", "TLS 1.0 and nothing newer", is_ancient=True),
    _tls("tls-cut", "a body that ends with the connection, without TLS's closing alert: it may be cut", "failed reset",
         "failed truncated", serve=_cut),
    _tls("tls-cut-whole", "all bytes announced, but no closing alert", "done 200", serve=_cut_whole),
    _tls("tls-reset", "resets the connection after the request", "failed reset", serve=steps("reset")),
    _tls("tls-drip", "a byte every 0.2 s, encrypted", "failed timeout", serve=endless(head(), b"x", pause=0.2)),
    _tls("tls-downgrade", "redirects from https to http", "done 302", serve=by_path({"/bad": steps(answer(
        b"<title>moved</title>", "Location: http://127.0.0.1:1/", status="302 Found"))})),
    _no_tls("tls-plain", "plain HTTP at the port of https", steps(answer(_PAGE))),
    _no_tls("tls-silent", "takes the connection and says nothing: the handshake hangs", steps("silence"),
            "failed timeout"),
    _no_tls("tls-closes", "closes the connection in the handshake", steps("close")),
    _no_tls("tls-alert", "refuses every handshake with an alert", steps(_ALERT, 0.2)),
    _no_tls("tls-noise", "random bytes in a handshake record", steps(_NOISE_RECORD, 0.2)),
    _no_tls("tls-endless", "handshake records without end", endless(b"", _NOISE_RECORD * 100)),
)
