"""What ``spyder explain`` answers: the records, and the words for errors and rests."""

from __future__ import annotations

import msgspec

from spyder.frontier import policy
from spyder.model.records import HostRow
from spyder.model.states import ErrorKind
from spyder.nodes.inspect import rfc3339
from spyder.nodes.watchdog import Cause
from spyder.settings import PolitenessSection

#: Seconds by which two times that mean the same may differ: one is kept in milliseconds.
_BLUR = 0.5
#: What each kind of error means.
ERROR_WORDS = {
    ErrorKind.DNS: "the name of its host has no address",
    ErrorKind.CONNECT: "its host refuses the connection, or can't be reached",
    ErrorKind.TLS: "no secure connection: handshake or certificate",
    ErrorKind.TIMEOUT: "no answer in time",
    ErrorKind.RESET: "the connection broke before the answer's end",
    ErrorKind.TRUNCATED: "fewer bytes came than were announced",
    ErrorKind.PROTOCOL: "the answer is no HTTP that can be understood",
    ErrorKind.HTTP_429: "the server wants fewer requests",
    ErrorKind.HTTP_408: "the server wants the same request again later",
    ErrorKind.HTTP_500: "the server failed on this page",
    ErrorKind.HTTP_501: "the server can't ever answer such a request",
    ErrorKind.HTTP_5XX: "the server failed",
    ErrorKind.HTTP_4XX: "the server refuses it",
    ErrorKind.BODY_LIMIT: "its body is larger than fetch.max_wire_size or fetch.max_body_size, or a bomb",
    ErrorKind.HEADER_LIMIT: "its header is larger than fetch.max_header_size or fetch.max_header_count",
    ErrorKind.DECODE: "its content coding is broken or unknown",
    ErrorKind.REDIRECT_LIMIT: "more redirects led here than fetch.max_redirects",
    ErrorKind.URL: "it is a URL that can't be fetched",
    ErrorKind.EXTRACT: "reading the page failed; `error_detail` of its record says how",
    ErrorKind.PROCESSOR: "a processor failed; `error_detail` of its record says how",
    ErrorKind.PROCESSOR_TIMEOUT: "a processor took longer than its limit",
    ErrorKind.WORKER_DIED: "a worker died, hung or ran out of memory on it",
    ErrorKind.PROXY: "no proxy of fetch.proxies works",
    ErrorKind.ADDRESS: "the guard refuses its address",
    ErrorKind.ROBOTS: "robots.txt forbids it",
    ErrorKind.ROBOTS_UNREACHABLE: "its host's robots.txt can't be had, and nothing is allowed until it can",
    ErrorKind.SCOPE: "a rule of the scope forbids it",
    ErrorKind.TRAP: "a rule against traps forbids it",
    ErrorKind.CONTENT_TYPE: "its media type is not wanted (fetch.content_types, fetch.exclude_content_types)",
    ErrorKind.LANGUAGE: "its language is not wanted (fetch.languages)",
}


class HostAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a host's queue. Times are RFC 3339, UTC; empty: none."""

    host: str  #: the queue's name, as a rule host and port
    key: str  #: hexadecimal
    queued: int  #: URIs that wait, without leased ones
    leased: int
    scheduled: int  #: retries of it, as far as they are among the first thousand of all hosts
    settled: int
    failed: int  #: of the settled ones
    is_active: bool  #: in memory, so that its turn may come
    spent: int  #: of its budget of pages
    budget: int
    errors: int  #: troubles in a row
    last_error: str
    leases: dict[str, int]  #: by worker
    waits: tuple[Cause, ...]
    next_at: str  #: when it is next, at the earliest
    next_url: str


class UriAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a URL. Times are RFC 3339, UTC; empty: none."""

    url: str  #: as it is fetched
    key: str = ""  #: hexadecimal; empty for what can't be fetched
    state: str  #: a state, or leased, or unknown
    summary: str  #: the state in words
    rule: str = ""  #: that keeps an unknown one out, by its name
    depth: int = -1  #: links from a seed
    is_seed: bool = False
    referrer: str = ""
    redirects: tuple[str, ...] = ()
    attempt: int = 0  #: fetches that ended in a retry
    status: int = 0  #: of the last outcome
    reason: str = ""  #: error kind of the last outcome, or why it is excluded or quarantined
    reason_words: str = ""
    last_at: str = ""  #: of the last outcome
    worker: str = ""  #: that brought the last outcome, or died on it
    strikes: int = 0  #: workers that died on it
    strikes_limit: int = 0  #: that it takes to be quarantined
    waits: tuple[Cause, ...] = ()
    next_at: str = ""  #: when it is next, at the earliest
    advice: str = ""  #: what one may do


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``spyder explain``."""

    of: str  #: what was asked
    at: str  #: RFC 3339, UTC
    is_live: bool  #: a master answered; else it is what the last commit left
    project: str
    uri: UriAnswer | None = None
    host: HostAnswer | None = None
    notes: tuple[str, ...] = ()


def rest_of(row: HostRow, now: float, politeness: PolitenessSection) -> Cause | None:
    """Why the host of *row* must not be fetched from yet; None when it may."""
    if row.next_at <= now:
        return None
    if not row.errors:
        kind, text = "delay", "politeness: the delay after its last fetch"
    elif policy.parking(row.unanswered, politeness) is not None:
        kind = "parked"
        text = f"nothing answers there, {row.unanswered:,} times in a row, the last time `{row.last_error}`"
    elif row.next_at - now > policy.host_backoff(row.errors, 0.0, politeness) + _BLUR:  # more than ours can be
        kind, text = "retry-after", f"the server asked for it (Retry-After) with `{row.last_error}`"
    else:
        kind = "back-off"
        text = f"back-off after `{row.last_error}`" if row.errors == 1 else (
            f"back-off after {row.errors:,} troubles in a row, the last one `{row.last_error}`")
    return Cause(kind=kind, text=f"its host rests: {text}", until=rfc3339(row.next_at))


def kind_of(reason: str) -> ErrorKind | None:
    """The kind of error that *reason* is; None when it is another reason."""
    name = reason.partition(":")[0]
    return ErrorKind(name) if name in set(ErrorKind) else None


def words_of(reason: str) -> str:
    """What a reason means."""
    kind = kind_of(reason)
    if kind is None:
        return reason
    detail = reason.partition(": ")[2]
    return f"{ERROR_WORDS[kind]} ({detail})" if detail else ERROR_WORDS[kind]
