"""Whose fault it is when a fetch through a proxy fails: the proxy's, the server's behind it, or nobody can tell."""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from spyder.fetch.failures import one_line
from spyder.model.records import Failure, Headers
from spyder.model.states import ErrorKind

_COULDNT_RESOLVE_PROXY, _COULDNT_CONNECT, _TIMED_OUT, _RECV_ERROR, _PROXY = 5, 7, 28, 56, 97  # libcurl-errors(3)
_TLS_ERRORS = frozenset({35, 60, 77, 83, 90, 91})
_NO_ANSWER = frozenset({_TIMED_OUT, 52, 55, _RECV_ERROR})
_CONNECT_STATUS = re.compile(r"CONNECT tunnel failed, response (\d+)")
_PROXY_AUTHENTICATION = 407
#: What a SOCKS proxy says of the server (RFC 1928, section 6), by libcurl's CURLPX_ numbers: 19 connection refused, 20
#: general failure (`ssh -D` says it of any server that it can't reach), 21 host and 22 network unreachable, 24 TTL.
_SERVER_REPLIES = frozenset({19, 20, 21, 22, 24})
_NAME_REPLIES = frozenset({27})  #: the name could not be resolved
_REFUSAL_REPLIES = frozenset({23})  #: not allowed by the proxy's rules


class Answer(msgspec.Struct, kw_only=True):
    """How an attempt ended."""

    status: int  #: 0 when there was no complete head
    headers: Headers = ()
    code: int = 0  #: libcurl's, 0: well
    message: str = ""
    connect_status: int = 0  #: the proxy's status for CONNECT, 0: none
    proxy_error: int = 0  #: libcurl's CURLINFO_PROXY_ERROR
    is_connected: bool = True  #: the connection, to the proxy if there is one, was made


class Blame(Enum):
    """Whose fault it is."""

    NOBODY = "nobody"  #: there is an answer of the server's
    SERVER = "server"  #: the proxy works, and says that it can't reach the server
    PROXY = "proxy"  #: the proxy does not work
    REFUSAL = "refusal"  #: the proxy works, and does not want to go there
    UNCLEAR = "unclear"  #: nothing came, and nobody says why


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whose fault, and why."""

    blame: Blame
    detail: str = ""
    failure: Failure | None = None  #: what the proxy says of the server


def verdict(answer: Answer, *, is_tls_proxy: bool, is_tls: bool) -> Verdict:
    """Whose fault it is that *answer* came through a proxy.

    *is_tls_proxy*: TLS is spoken with the proxy itself; *is_tls*: with the server.
    """
    code, detail = answer.code, one_line(answer.message)
    if answer.status:
        if answer.status == _PROXY_AUTHENTICATION:
            return Verdict(blame=Blame.PROXY, detail="407: it wants other credentials")
        return Verdict(blame=Blame.NOBODY)
    tunnel = _CONNECT_STATUS.search(detail)  # libcurl's code for it has changed over the years
    if tunnel or answer.connect_status not in {0, 200}:
        return _connect_verdict(int(tunnel[1]) if tunnel else answer.connect_status)
    if code in {_COULDNT_RESOLVE_PROXY, _COULDNT_CONNECT} or (code == _TIMED_OUT and not answer.is_connected):
        return Verdict(blame=Blame.PROXY, detail=detail)
    if code == _PROXY:
        return _socks_verdict(answer.proxy_error, detail)
    if is_tls_proxy and code in _TLS_ERRORS and not (is_tls and answer.connect_status):
        return Verdict(blame=Blame.PROXY, detail=detail)
    if code in _NO_ANSWER:
        return Verdict(blame=Blame.UNCLEAR, detail=detail)
    return Verdict(blame=Blame.NOBODY)


def _connect_verdict(status: int) -> Verdict:
    """What a proxy's answer to CONNECT means (RFC 9110, section 9.3.6)."""
    detail = f"the proxy answers CONNECT with {status}"
    if status == _PROXY_AUTHENTICATION:
        return Verdict(blame=Blame.PROXY, detail=detail)
    if status < 500:
        return Verdict(blame=Blame.REFUSAL, detail=detail)
    kind = ErrorKind.TIMEOUT if status == 504 else ErrorKind.CONNECT
    return Verdict(blame=Blame.SERVER, failure=Failure(kind=kind, detail=detail))


def _socks_verdict(error: int, detail: str) -> Verdict:
    if error in _REFUSAL_REPLIES:
        return Verdict(blame=Blame.REFUSAL, detail=detail)
    if error in _NAME_REPLIES:
        return Verdict(blame=Blame.SERVER, failure=Failure(kind=ErrorKind.DNS, detail=detail))
    if error in _SERVER_REPLIES:
        return Verdict(blame=Blame.SERVER, failure=Failure(kind=ErrorKind.CONNECT, detail=detail))
    return Verdict(blame=Blame.PROXY, detail=detail)
