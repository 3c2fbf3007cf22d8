"""The records that cross a boundary: typed, keyword-only, and compact on the wire (MessagePack arrays)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from spyder.model.limits import (
    MAX_CUTS,
    MAX_DETAIL,
    MAX_LINKS,
    MAX_REDIRECTS,
    MAX_RULES,
    MAX_SCOPE_RULES,
    MAX_SITEMAPS,
    MAX_VALIDATORS,
    LeaseNumber,
    Line,
    Name,
    Natural,
    Seconds,
    UrlText,
)
from spyder.model.states import ErrorKind, LinkKind, Purpose, UriState
from spyder.model.url import KEY_BYTES

Headers = tuple[tuple[str, str], ...]  #: response header fields in order, names in lower case
Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]  #: identity of a URI
Chain = Annotated[tuple[UrlText, ...], Meta(max_length=MAX_REDIRECTS)]  #: of redirects
#: What tells whether a resource has changed (RFC 9110, section 8.8): the ETag, a newline, and the Last-Modified date.
Validators = Annotated[str, Meta(max_length=MAX_VALIDATORS)]


class Record(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Base of all records: fields in declared order; new fields go to the end and have a default."""


class OwnedRecord(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """Base of the records that one owner, the frontier, changes in place."""


#: Links by the rule that keeps them out.
LeftOut = Annotated[dict[Name, Natural], Meta(max_length=MAX_SCOPE_RULES + 100)]


class QueuedUri(Record, frozen=True, kw_only=True):
    """A URI as it waits: everything that a worker needs to fetch it."""

    key: bytes  #: identity, see :mod:`spyder.model.url`
    place: bytes  #: position: in a queue (priority, order) or among the due times
    url: str  #: fetch URL
    depth: int = 0  #: links from a seed
    priority: int = 0  #: higher first; -128 to 127
    attempt: int = 0  #: fetches so far that ended in a retry
    referrer: str = ""  #: URL of the page that linked here, empty for seeds
    redirects: tuple[str, ...] = ()  #: the chain of URLs that redirected here, oldest first
    is_seed: bool = False  #: a seed, or what a seed redirected to
    strikes: int = 0  #: workers that died on it
    embeds: int = 0  #: transclusion hops, see :class:`CrawlUri`
    validators: str = ""  #: of the copy that was fetched before, when there is one


class UriRow(Record, frozen=True, kw_only=True):
    """What the frontier keeps of every URI that it ever accepted; of one that waits, how its last attempt ended."""

    state: UriState
    depth: int = 0
    place: bytes = b""  #: position in its queue or among the due times; empty once settled
    url: str = ""  #: kept once settled; before that it is in the queue's row
    status: int = 0  #: last HTTP status, 0 when there was none
    reason: str = ""  #: last error kind, or why it is excluded or quarantined
    attempt: int = 0  #: fetches that ended in a retry
    settled_at: float = 0.0  #: wall time of the last outcome, seconds
    referrer: str = ""
    worker: str = ""  #: identity of the worker that brought the last outcome, or died on it
    strikes: int = 0  #: workers that died on it
    validators: str = ""  #: ETag and Last-Modified of the copy that was fetched last, see :data:`Validators`


class HostRow(OwnedRecord, kw_only=True):
    """What the frontier keeps of a host's queue: politeness and counts. Mutable: its owner is the frontier."""

    key: bytes  #: host key
    name: str  #: the queue's name, as a rule host and port
    queued: int = 0  #: rows in its queue, leased ones included
    next_at: float = 0.0  #: wall time before which nothing is leased
    errors: int = 0  #: host troubles in a row
    settled: int = 0  #: URIs settled
    failed: int = 0  #: of these, failed
    waiting: bytes = b""  #: its row in the index of hosts with work, empty when it has none
    in_scope: bool = False  #: a seed's host
    last_error: str = ""  #: kind of the last host trouble
    spent: int = 0  #: of the budget of its activation
    address: str = ""  #: IP address of its name, empty while it is not known or not needed
    unanswered: int = 0  #: failed connections in a row
    crawl_delay: float = 0.0  #: seconds that its robots.txt asks for between fetches
    slowdown: float = 0.0  #: seconds that are added to its delay, since it answered 429 or 503
    given_up_until: float = 0.0  #: wall time until which its URIs fail unfetched: nothing answers there
    known: int = 0  #: URIs ever added to it
    repeats: int = 0  #: pages in a row that were near-duplicates of others of the host


class RobotsRules(Record, frozen=True, kw_only=True):
    """What a robots.txt says to us: of all groups only the one that is ours (RFC 9309, section 2.2)."""

    #: Paths that are allowed and disallowed, with ``*`` and ``$``, percent-encoded alike.
    allow: Annotated[tuple[UrlText, ...], Meta(max_length=MAX_RULES)] = ()
    disallow: Annotated[tuple[UrlText, ...], Meta(max_length=MAX_RULES)] = ()
    crawl_delay: Seconds = 0.0  #: seconds between fetches, of Crawl-delay and Request-rate the longer; 0 when neither
    sitemaps: Annotated[tuple[UrlText, ...], Meta(max_length=MAX_SITEMAPS)] = ()


class OriginRow(OwnedRecord, kw_only=True):
    """What must be known of an origin (scheme, host, port) before its pages are fetched. Its owner is the frontier."""

    address: str = ""  #: IP address of its host's name
    address_until: float = 0.0  #: wall time until which that, or the refusal, holds
    refused: str = ""  #: why nothing may be connected to there, in words
    failures: int = 0  #: looks in a row at which nothing answered, or the name had no address
    failed: str = ""  #: kind of the last of them
    look_at: float = 0.0  #: wall time of the next look
    dead_until: float = 0.0  #: wall time until which its URIs fail unfetched
    strikes: int = 0  #: workers that died on its robots.txt
    rules: RobotsRules | None = None  #: of the last robots.txt that could be had; None with a verdict: all is allowed
    verdict: str = ""  #: what its robots.txt says of all URLs: ``rules``, ``allow`` or ``refuse``; empty: not known yet
    verdict_until: float = 0.0  #: wall time until which the verdict holds
    agent: str = ""  #: product token that the rules were read for
    attempts: int = 0  #: fetches of its robots.txt in a row that failed
    retry_at: float = 0.0  #: wall time before which its robots.txt isn't asked for again
    reason: str = ""  #: why its robots.txt can't be had


class Books(OwnedRecord, kw_only=True):
    """The balance of a project: every URI discovered is in exactly one state. Its owner is the frontier."""

    discovered: int = 0
    queued: int = 0  #: rows in queues, leased ones included (leases are in memory only)
    scheduled: int = 0
    done: int = 0
    failed: int = 0
    excluded: int = 0
    quarantined: int = 0

    @property
    def settled(self) -> int:
        """URIs to which nothing more happens."""
        return self.done + self.failed + self.excluded + self.quarantined

    @property
    def is_balanced(self) -> bool:
        """True when nothing is lost and nothing counted twice (``docs/states.md``)."""
        return self.discovered == self.queued + self.scheduled + self.settled and min(
            self.queued, self.scheduled, self.done, self.failed, self.excluded, self.quarantined) >= 0


class CrawlUri(Record, frozen=True, kw_only=True):
    """A lease on its way to a worker."""

    lease: LeaseNumber  #: number of the lease: master epoch in the high bits, unique for ever
    key: Key
    url: UrlText
    depth: Natural = 0
    attempt: Natural = 0
    referrer: UrlText = ""
    redirects: Chain = ()
    is_seed: bool = False
    purpose: Purpose = Purpose.PAGE
    address: Name = ""  #: IP address to connect to, looked up before; empty: look the name up
    validators: Validators = ""  #: of the copy that was fetched before, see :class:`UriRow`
    embeds: Natural = 0  #: transclusion hops: of the last links on the way here, how many in a row embed
    is_permitted: bool = False  #: a seed names this very host and port, which the guard refuses otherwise


class Failure(Record, frozen=True, kw_only=True):
    """Why there is no page, or no good one."""

    kind: ErrorKind
    detail: Line = ""  #: one line for people, cut to so many characters that it fits into any message

    def __post_init__(self) -> None:
        """Cut what a server may have made long: no message may become too large by it."""
        if len(self.detail) > MAX_DETAIL:
            msgspec.structs.force_setattr(self, "detail", f"{self.detail[:MAX_DETAIL - 1]}…")


class Page(Record, frozen=True, kw_only=True):
    """What the fetcher passes on: the header frame; the decoded body travels beside it."""

    uri: CrawlUri
    status: Natural = 0  #: HTTP status, 0 when there was no answer
    failure: Failure | None = None
    headers: Headers = ()
    started_at: Seconds = 0.0  #: wall time, seconds
    elapsed: Seconds = 0.0  #: seconds from start to the last byte
    first_byte: Seconds = 0.0  #: seconds from start to the first byte of the answer
    wire_size: Natural = 0  #: bytes of the body as sent
    ip: Name = ""  #: the server's address
    http_version: Name = ""  #: "1.0", "1.1", "2" or "3"
    address_ttl: Seconds = 0.0  #: of a look-up: seconds that ``ip`` holds, or that there is none
    #: Settings whose limit cut something off that is not an error.
    limits: Annotated[tuple[Name, ...], Meta(max_length=MAX_CUTS)] = ()


class Link(Record, frozen=True, kw_only=True):
    """A link that a worker found and couldn't rule out.

    There are thousands in a message and most are known: the frontier looks at url and key only when it adds one.
    """

    url: str
    key: bytes
    kind: LinkKind = LinkKind.NAVIGATION


class Hint(Record, frozen=True, kw_only=True):
    """What a sitemap or a feed says of a link."""

    index: Natural  #: of the link in its outcome
    priority: Annotated[int, Meta(ge=-128, le=127)] = 0  #: higher first; a sitemap's 0.5 is 0
    modified: Seconds = 0.0  #: wall time of its last change, 0 when nobody says


class Outcome(Record, frozen=True, kw_only=True):
    """How a lease ended: all that the frontier must learn."""

    lease: LeaseNumber
    key: Key
    status: Natural = 0
    failure: Failure | None = None
    elapsed: Seconds = 0.0  #: seconds that the fetch took
    retry_after: Seconds = 0.0  #: seconds that the server asked for, 0 when it didn't
    size: Natural = 0  #: bytes of the decoded body
    links: Annotated[tuple[Link, ...], Meta(max_length=MAX_LINKS)] = ()
    attempt: Natural = 0  #: of the lease: an outcome of an attempt that has ended before counts no more
    ip: Name = ""  #: address that was connected to, or looked up
    address_ttl: Seconds = 0.0  #: of a look-up: seconds that the address holds
    robots: RobotsRules | None = None  #: of a robots.txt that could be read
    validators: Validators = ""  #: of the copy that was fetched
    hints: Annotated[tuple[Hint, ...], Meta(max_length=MAX_LINKS)] = ()  #: about some of the links
    is_repeat: bool = False  #: the page is a near-duplicate of another one of its host
    left_out: LeftOut = msgspec.field(default_factory=dict)  #: links that rules keep out, by rule


class HeldLease(Record, frozen=True, kw_only=True):
    """A lease that a worker has begun and not yet reported: told in its greeting, so that the master takes it up."""

    lease: LeaseNumber
    key: Key
    attempt: Natural = 0
    is_fetching: bool = True  #: its connection is in use


class FetchNotice(Record, frozen=True, kw_only=True):
    """Early word that a lease's connection is free again: it steers politeness and settles nothing."""

    lease: LeaseNumber
    elapsed: Seconds = 0.0
    trouble: ErrorKind | None = None  #: set when the host is in trouble
    retry_after: Seconds = 0.0
    status: Natural = 0  #: HTTP status, 0 when there was no answer


class PageRecord(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One line of ``pages/*.jsonl``: a fetched URI as users read it."""

    url: str
    final_url: str  #: where the content is: the redirect's target for a redirect, else ``url``
    fetched_at: str  #: RFC 3339, UTC
    depth: int = msgspec.field(default=-1)  #: links from a seed
    status: int = 0
    error: str = ""  #: error kind
    error_detail: str = ""
    attempt: int = 0  #: earlier attempts that failed
    redirects: tuple[str, ...] = ()  #: the chain of URLs that led here
    referrer: str = ""
    elapsed_ms: float = 0.0
    first_byte_ms: float = 0.0
    ip: str = ""
    http_version: str = ""
    content_type: str = ""
    charset: str = ""
    wire_size: int = 0
    size: int = 0
    digest: str = ""  #: ``sha1:`` and base 32, of the decoded body
    title: str = ""
    links: int = 0  #: distinct links on the page
    data: dict[str, Any] = msgspec.field(default_factory=dict)  #: what processors added
    limits: tuple[str, ...] = ()  #: settings whose limit cut something off that is not an error, such as links
    marks: tuple[str, ...] = ()  #: what the page asks of its readers: ``noindex``, ``nofollow``, ``noarchive`` ...
    near_duplicate_of: str = ""  #: URL of a page of the same host with nearly the same text
    media_type: str = ""  #: what the body is by its content, when the header says something else
    fingerprint: str = ""  #: of the text, 16 hexadecimal digits: near-duplicates differ in few bits
