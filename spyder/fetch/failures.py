"""Says in our words what went wrong: curl's errors, and the statuses of HTTP."""

from __future__ import annotations

from spyder.fetch.body import wire_limit
from spyder.fetch.tls import in_words
from spyder.model.records import Failure
from spyder.model.states import ErrorKind

NO_ANSWER = Failure(kind=ErrorKind.RESET, detail="the connection ended before the answer's head did")

_TOTAL_TIME = ("Operation timed out", "Operation too slow")  #: how curl's words begin when it was not the connection
_UNSUPPORTED_PROTOCOL, _RECV_ERROR, _FILESIZE_EXCEEDED = 1, 56, 63
_KINDS = {  # by libcurl's error codes, libcurl-errors(3)
    3: ErrorKind.URL,  # URL_MALFORMAT
    5: ErrorKind.DNS,  # COULDNT_RESOLVE_PROXY
    6: ErrorKind.DNS,  # COULDNT_RESOLVE_HOST
    7: ErrorKind.CONNECT,  # COULDNT_CONNECT
    8: ErrorKind.PROTOCOL,  # WEIRD_SERVER_REPLY
    16: ErrorKind.PROTOCOL,  # HTTP2
    18: ErrorKind.TRUNCATED,  # PARTIAL_FILE
    28: ErrorKind.TIMEOUT,  # OPERATION_TIMEDOUT
    35: ErrorKind.TLS,  # SSL_CONNECT_ERROR
    45: ErrorKind.CONNECT,  # INTERFACE_FAILED
    52: ErrorKind.RESET,  # GOT_NOTHING
    53: ErrorKind.TLS,  # SSL_ENGINE_NOTFOUND
    54: ErrorKind.TLS,  # SSL_ENGINE_SETFAILED
    55: ErrorKind.RESET,  # SEND_ERROR
    _RECV_ERROR: ErrorKind.RESET,
    58: ErrorKind.TLS,  # SSL_CERTPROBLEM
    59: ErrorKind.TLS,  # SSL_CIPHER
    60: ErrorKind.TLS,  # PEER_FAILED_VERIFICATION
    61: ErrorKind.DECODE,  # BAD_CONTENT_ENCODING
    64: ErrorKind.TLS,  # USE_SSL_FAILED
    66: ErrorKind.TLS,  # SSL_ENGINE_INITFAILED
    77: ErrorKind.TLS,  # SSL_CACERT_BADFILE
    80: ErrorKind.TLS,  # SSL_SHUTDOWN_FAILED
    82: ErrorKind.TLS,  # SSL_CRL_BADFILE
    83: ErrorKind.TLS,  # SSL_ISSUER_ERROR
    89: ErrorKind.CONNECT,  # NO_CONNECTION_AVAILABLE
    90: ErrorKind.TLS,  # SSL_PINNEDPUBKEYNOTMATCH
    91: ErrorKind.TLS,  # SSL_INVALIDCERTSTATUS
    92: ErrorKind.RESET,  # HTTP2_STREAM
    95: ErrorKind.PROTOCOL,  # HTTP3
    96: ErrorKind.CONNECT,  # QUIC_CONNECT_ERROR
    98: ErrorKind.TLS,  # SSL_CLIENTCERT
    100: ErrorKind.HEADER_LIMIT,  # TOO_LARGE: one field beyond curl's own cap of 100 KB
}
_TLS_END = "unexpected eof"  # OpenSSL: the connection ended without close_notify
_RECEIVE_KINDS = {  # errors in what was received share one code with a broken connection: words of the message tell
    "chunk": ErrorKind.PROTOCOL,
    "alert": ErrorKind.TLS,  # TLS 1.3: a server that refuses us says so after the handshake
    "response headers": ErrorKind.HEADER_LIMIT,  # all fields beyond curl's own caps of 300 KB and 5,000 lines
}


def curl_failure(code: int, message: str, *, is_connected: bool, max_wire_size: int, is_asked: bool = False,
                 has_head: bool = False) -> Failure:
    """What curl's error *code* and *message* mean; what we don't know is a broken connection, which is tried again.

    *is_connected* tells whether there was a server to talk to, *is_asked* whether the request could be sent, *has_head*
    whether the answer's head is complete.
    """
    detail = one_line(message) or f"curl error {code}"
    if code == _FILESIZE_EXCEEDED:
        return wire_limit(max_wire_size)
    if code == _UNSUPPORTED_PROTOCOL:  # a scheme that we don't fetch, or an answer without a head (HTTP/0.9)
        return Failure(kind=ErrorKind.PROTOCOL if is_connected else ErrorKind.URL, detail=detail)
    kind = _KINDS.get(code, ErrorKind.RESET)
    if code == _RECV_ERROR:
        kind = next((found for words, found in _RECEIVE_KINDS.items() if words in detail), kind)
        if has_head and _TLS_END in detail:  # RFC 9112, section 9.8: nobody knows whether that was all
            kind = ErrorKind.TRUNCATED
    if kind is ErrorKind.TLS:
        detail = in_words(detail)
    elif kind is ErrorKind.TIMEOUT:
        is_total = is_asked or detail.startswith(_TOTAL_TIME)
        detail = f"{detail} ({'fetch.timeout' if is_total else 'fetch.connect_timeout'})"
    return Failure(kind=kind, detail=detail)


#: Statuses of an error that have a kind of their own; docs/states.md says why.
_STATUSES = {
    408: ErrorKind.HTTP_408, 425: ErrorKind.HTTP_408, 429: ErrorKind.HTTP_429,
    500: ErrorKind.HTTP_500, 507: ErrorKind.HTTP_500,
    501: ErrorKind.HTTP_501, 505: ErrorKind.HTTP_501, 506: ErrorKind.HTTP_501, 508: ErrorKind.HTTP_501,
    510: ErrorKind.HTTP_501, 511: ErrorKind.HTTP_501,
}


def judge(status: int, failure: Failure | None) -> Failure | None:
    """What an answer with *status* is; the status of an error counts more than a *failure* in its body."""
    if 200 <= status < 400:
        return failure
    if not 400 <= status < 600:
        return Failure(kind=ErrorKind.PROTOCOL, detail=f"status {status}")
    kind = _STATUSES.get(status) or (ErrorKind.HTTP_4XX if status < 500 else ErrorKind.HTTP_5XX)
    return Failure(kind=kind, detail=f"{status}; body: {failure.kind}" if failure else str(status))


def one_line(text: str) -> str:
    """*text* as one line of a sensible length."""
    return " ".join(text.split())[:300]
