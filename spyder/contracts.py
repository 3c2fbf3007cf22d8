"""Every extension point of Spyder: what a part of yours must offer, and what it may rely on.

A part is named in the settings: built-in ones by a short name, yours by ``module:Class``. Built-in parts use the very
same contracts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import msgspec

from spyder.model.records import Headers, HostRow, Page, PageRecord, QueuedUri, UriRow
from spyder.model.states import LinkKind

__all__ = [
    "Changes",
    "Extraction",
    "Extractor",
    "FrontierStore",
    "LinkHint",
    "PageView",
    "Prioritizer",
    "Processor",
    "QueueAssignment",
    "Response",
    "Sink",
]


class PageView(Protocol):
    """A fetched page as processors see it."""

    @property
    def url(self) -> str:
        """The URL that was fetched."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def depth(self) -> int:
        """Links from a seed."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Response header fields by lower-case name; repeated ones are joined with ", " (RFC 9110, section 5.3)."""

    @property
    def content_type(self) -> str:
        """Media type by the Content-Type header, in lower case, without parameters."""

    @property
    def media_type(self) -> str:
        """Media type by the content, the header being a hint: ``docs/extraction.md``."""

    @property
    def charset(self) -> str:
        """Name of the character encoding that :attr:`text` was decoded with, by the WHATWG Encoding standard."""

    @property
    def body(self) -> bytes:
        """The body after content decoding."""

    @property
    def text(self) -> str:
        """The body decoded to text; what can't be decoded becomes U+FFFD."""

    @property
    def title(self) -> str:
        """The document's title, white space folded."""

    @property
    def tree(self) -> Any:
        """The page as an ``lxml.html`` element, parsed when first asked for: ``page.tree.xpath(...)``."""

    @property
    def links(self) -> Sequence[str]:
        """The absolute URLs found on the page, before scope."""

    @property
    def data(self) -> MutableMapping[str, Any]:
        """What goes into the record's ``data``: put plain values (text, numbers, lists, mappings) in."""

    def follow(self, url: str, *, kind: LinkKind = LinkKind.MANUAL) -> None:
        """Add a link, absolute or relative to the page; scope still decides."""

    def drop_links(self) -> None:
        """Follow nothing from this page."""


class Response(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A response as extractors see it."""

    url: str  #: that was fetched: absolute, without a fragment
    status: int  #: HTTP status
    headers: Headers  #: response header fields in order, names in lower case
    content_type: str  #: the Content-Type header's whole value, empty when there is none
    media_type: str  #: what the body is, in lower case and without parameters: ``docs/extraction.md``
    body: bytes  #: after content decoding
    referrer: str = ""  #: URL of the page that linked here, empty for seeds
    nesting: int = 0  #: sitemaps or embedding pages in a row that led here


class LinkHint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a sitemap or a feed says of a link."""

    priority: int = 0  #: -64 to 63, higher first
    modified: float = 0.0  #: wall time of its last change in seconds, 0 when nobody says


class Extraction(msgspec.Struct, kw_only=True, gc=False):
    """What an extractor read from a response."""

    links: dict[str, LinkKind] = msgspec.field(default_factory=dict)  #: distinct http(s) URLs, absolute, in order
    hints: dict[str, LinkHint] = msgspec.field(default_factory=dict)  #: about some of the links, by URL
    title: str = ""  #: white space folded
    charset: str = ""  #: encoding, by its WHATWG name in lower case
    limits: tuple[str, ...] = ()  #: settings whose limit cut something off, as ``scope.max_links``
    marks: tuple[str, ...] = ()  #: what the page asks of its readers, as ``noindex``
    text: Callable[[], str] | None = None  #: gives the visible text, once: near-duplicates are known by it


@runtime_checkable
class Extractor(Protocol):
    """Finds links, and what else a response says of itself: ``html``, ``sitemap`` and the like, or yours.

    A class, built once per worker as ``Class(settings)`` with all :class:`spyder.settings.Settings`, or a plain
    function. Those with an attribute ``media_types`` (a collection of media types in lower case) are asked for
    responses of these types with a 2xx status and a body; those without it for every response. Of what several
    extractors say of one response, the first one's title and encoding count, and the first one's kind of a link. What
    it raises fails the page; more than ``extract.max_parse_time`` ends it, and what the others found counts.
    """

    def __call__(self, response: Response) -> Extraction | None:
        """What *response* says; None when that is nothing."""


@runtime_checkable
class Processor(Protocol):
    """Yours: a class built with its settings as keyword arguments, or a plain function.

    Called in the worker's extractor process, in the order of the settings, once per page with a 2xx status. What it
    raises fails the page with that reason; more than its time limit does, too. The rest of the crawl goes on.
    """

    def __call__(self, page: PageView) -> object:
        """Look at *page*, add to ``page.data`` or its links. The returned value is not used."""


class Sink(Protocol):
    """Takes records of pages, in batches, and makes them durable before their outcomes are published."""

    def open(self) -> None:
        """Get ready to write; called once, in the process that writes."""

    def write(self, record: PageRecord, page: Page, body: bytes) -> None:
        """Take one record; it may be kept in memory until :meth:`sync`."""

    def sync(self) -> None:
        """Return when all that was written is on disk; raise :class:`OSError` if it can't be."""

    def close(self) -> None:
        """Sync and let go of all files."""


class QueueAssignment(Protocol):
    """Decides which URIs share a queue, and with it politeness."""

    def __call__(self, host: str) -> str:
        """The name of the queue that *host* (with its port, unless that is the scheme's default) belongs to."""


class Prioritizer(Protocol):
    """Decides which URIs of a host come first."""

    def __call__(self, url: str, *, depth: int, is_seed: bool) -> int:
        """The priority, -128 to 127, higher first; equal ones are first come, first served."""


class Changes(msgspec.Struct, kw_only=True):
    """One transaction of the frontier: all of it is stored, or none."""

    uris: dict[bytes, UriRow] = msgspec.field(default_factory=dict)  #: by URI key
    enqueue: dict[tuple[bytes, bytes], QueuedUri] = msgspec.field(default_factory=dict)  #: by host key and place
    dequeue: set[tuple[bytes, bytes]] = msgspec.field(default_factory=set)
    schedule: dict[tuple[bytes, bytes], QueuedUri] = msgspec.field(default_factory=dict)  #: by due place and URI key
    unschedule: set[tuple[bytes, bytes]] = msgspec.field(default_factory=set)
    hosts: dict[bytes, HostRow] = msgspec.field(default_factory=dict)  #: by host key
    wait: dict[bytes, bytes] = msgspec.field(default_factory=dict)  #: index of hosts with work: its key to the host key
    unwait: set[bytes] = msgspec.field(default_factory=set)
    #: Books, delivery positions, epoch, ...; an empty value removes.
    meta: dict[str, bytes] = msgspec.field(default_factory=dict)

    def __bool__(self) -> bool:
        """True when there is anything to store."""
        return bool(self.uris or self.enqueue or self.dequeue or self.schedule or self.unschedule or self.hosts
                    or self.wait or self.unwait or self.meta)


class FrontierStore(Protocol):
    """Where the frontier's rows are kept, ordered by key. One process writes; ``tests/contract`` holds all to this.

    Built by :meth:`open`; every method raises :class:`spyder.errors.StoreError` when the storage fails.
    """

    @classmethod
    def open(cls, directory: Path, *, cache: int, read_only: bool = False, create: bool = True) -> Self:
        """The store in *directory*, with *cache* bytes of memory for what it reads.

        A read-only one shows what was committed when it was opened, also beside a running writer. Refused when there is
        no store and none may be made (*create*), when another process writes it, when it is damaged, and when its
        schema is of another version.
        """

    def commit(self, changes: Changes) -> None:
        """Store *changes* as one transaction and return when it is durable. A key in both a put and a delete is put."""

    def uris(self, keys: Sequence[bytes]) -> list[UriRow | None]:
        """The rows of URIs, in the order of *keys*, None where there is none."""

    def hosts(self, keys: Sequence[bytes]) -> list[HostRow | None]:
        """The rows of hosts, in the order of *keys*, None where there is none."""

    def queue(self, host: bytes, after: bytes, limit: int) -> list[QueuedUri]:
        """The first *limit* rows of a host's queue whose place is greater than *after*, by place."""

    def due(self, before: bytes, limit: int) -> list[QueuedUri]:
        """The first *limit* scheduled rows of the project of *before* whose due place is less than that, by place."""

    def waiting(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """The first *limit* entries (key, host key) of the index of hosts with work, start <= key < stop, by key."""

    def meta(self, key: str) -> bytes | None:
        """A small value by name."""

    def metas(self, prefix: str) -> dict[str, bytes]:
        """All small values whose name begins with *prefix*."""

    def iterate(self, after: bytes = b"") -> Iterable[tuple[bytes, UriRow]]:
        """All URI rows with a key greater than *after*, by key: for people, not for the crawl."""

    def queued_row(self, key: bytes, row: UriRow) -> QueuedUri | None:
        """The queue's or schedule's row that *row* points to."""

    def iterate_hosts(self) -> Iterable[HostRow]:
        """All host rows, by key: for people, not for the crawl."""

    def iterate_queue(self) -> Iterable[QueuedUri]:
        """All rows of all queues, by host key and place: for the audit, not for the crawl."""

    def iterate_due(self) -> Iterable[QueuedUri]:
        """All scheduled rows of all projects, by due place and URI key: for the audit, not for the crawl."""

    def iterate_waiting(self) -> Iterable[tuple[bytes, bytes]]:
        """All entries (key, host key) of the index of hosts with work, by key: for the audit, not for the crawl."""

    def checkpoint(self, directory: Path) -> None:
        """Make *directory* a copy of all that was committed: a store of the same kind, which :meth:`restore` takes.

        Refused when *directory* holds anything, and when the storage can't be copied. After a failure nothing is left
        there. The store can be read and written afterwards as before.
        """

    @classmethod
    def restore(cls, checkpoint: Path, directory: Path) -> None:
        """Make *directory* a store with what is in *checkpoint*, which stays as it is.

        Refused when *directory* holds anything, when there is no store in *checkpoint*, and when a process writes it.
        After a failure nothing is left in *directory*.
        """

    def size(self) -> int:
        """Bytes that the store takes on disk, roughly; 0 for one in memory."""

    def close(self) -> None:
        """Let go of the storage; nothing may be called afterwards."""


