"""The states of a URI and the classes of error: the words of ``docs/states.md``."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class UriState(IntEnum):
    """Where a URI is in its life. *Leased* is no stored state: a leased URI's row stays queued until it is settled."""

    QUEUED = 1  #: waits in its host's queue (or is leased to a worker)
    SCHEDULED = 2  #: waits for a due time: a retry, later a recrawl
    DONE = 3  #: answered with 2xx, 304 or a redirect, and recorded
    FAILED = 4  #: final failure: 4xx, a cap, a processor, or retries spent
    EXCLUDED = 5  #: refused by a rule, with its reason
    QUARANTINED = 6  #: set aside because workers died on it

    @property
    def is_settled(self) -> bool:
        """True when nothing more happens to the URI by itself."""
        return self >= UriState.DONE


class ErrorKind(StrEnum):
    """Why a URI gave no page; the value is what records, counters and ``spyder status`` show."""

    DNS = "dns"  #: the name has no address
    CONNECT = "connect"  #: refused, unreachable
    TLS = "tls"  #: handshake or certificate
    TIMEOUT = "timeout"  #: connect, first byte, total time or minimum speed
    RESET = "reset"  #: the connection broke before the answer's end
    TRUNCATED = "truncated"  #: fewer bytes than announced
    PROTOCOL = "protocol"  #: no HTTP, or HTTP that can't be understood
    HTTP_429 = "http-429"  #: 429 Too Many Requests
    HTTP_5XX = "http-5xx"  #: the server is down or overloaded: 502, 503, 504, 52x ...
    HTTP_4XX = "http-4xx"  #: any other client error
    BODY_LIMIT = "body-limit"  #: wire or decoded body beyond its cap
    HEADER_LIMIT = "header-limit"  #: header bytes or lines beyond their cap
    DECODE = "decode"  #: the content coding is broken
    REDIRECT_LIMIT = "redirect-limit"  #: a chain of redirects beyond its cap
    URL = "url"  #: the URL can't be fetched (scheme, syntax)
    EXTRACT = "extract"  #: our own reading of the page failed
    PROCESSOR = "processor"  #: a user's processor raised
    PROCESSOR_TIMEOUT = "processor-timeout"  #: a user's processor took too long
    WORKER_DIED = "worker-died"  #: a worker died, hung or ran out of memory on it
    PROXY = "proxy"  #: no proxy of the settings works
    ADDRESS = "address"  #: the guard refused the address that was about to be connected to
    ROBOTS = "robots"  #: the host's robots.txt forbids it
    ROBOTS_UNREACHABLE = "robots-unreachable"  #: the host's robots.txt can't be had: nothing is allowed then
    SCOPE = "scope"  #: a rule of the scope, after it was queued
    TRAP = "trap"  #: a rule against traps
    CONTENT_TYPE = "content-type"  #: the media type is not wanted
    LANGUAGE = "language"  #: the language is not wanted
    HTTP_408 = "http-408"  #: 408 and 425: the same request may do later
    HTTP_500 = "http-500"  #: 500 and 507: the server failed on this page
    HTTP_501 = "http-501"  #: 501, 505 ...: the server will never answer this

    @property
    def is_host_trouble(self) -> bool:
        """True when the whole host is in trouble, so that its other URIs should wait too."""
        return self in _HOST_TROUBLE

    @property
    def is_exclusion(self) -> bool:
        """True when a rule refused the URI: it is excluded, and has not failed."""
        return self in _EXCLUSIONS

    @property
    def is_transient(self) -> bool:
        """True when trying again later may help."""
        return self in _TRANSIENT


_HOST_TROUBLE = frozenset({ErrorKind.DNS, ErrorKind.CONNECT, ErrorKind.TLS, ErrorKind.TIMEOUT, ErrorKind.RESET,
                           ErrorKind.HTTP_429, ErrorKind.HTTP_5XX})
_TRANSIENT = _HOST_TROUBLE | {ErrorKind.TRUNCATED, ErrorKind.PROXY, ErrorKind.HTTP_408, ErrorKind.HTTP_500}
_EXCLUSIONS = frozenset({ErrorKind.ADDRESS, ErrorKind.ROBOTS, ErrorKind.ROBOTS_UNREACHABLE, ErrorKind.SCOPE,
                         ErrorKind.TRAP, ErrorKind.CONTENT_TYPE, ErrorKind.LANGUAGE})


class Purpose(IntEnum):
    """What a lease is for: pages, or what a host must tell before any page of it may be fetched."""

    PAGE = 1  #: a URI of the crawl
    ROBOTS = 2  #: the robots.txt of an origin, or where it redirects to
    ADDRESS = 3  #: the address of a host's name; nothing is connected to


class LinkKind(IntEnum):
    """How a link was found; it decides depth (a redirect adds none) and, later, transclusion hops."""

    NAVIGATION = 1  #: a, area, frames, HTTP Link
    REDIRECT = 2  #: HTTP Location
    REFRESH = 3  #: meta refresh, HTTP Refresh
    EMBED = 4  #: images, styles, scripts
    MANUAL = 5  #: added by a user's processor
    SITEMAP = 6  #: a sitemap that robots.txt or another sitemap names
    LISTED = 7  #: a page that a sitemap or a feed lists


class ExitCode(IntEnum):
    """What the commands return to the shell; listed in ``docs/operations.md``."""

    OK = 0  #: done as asked
    ERROR = 1  #: something failed that the message explains
    USAGE = 2  #: wrong arguments or settings
    BOOKS = 3  #: the crawl ended, but its books don't balance
    ORPHANED = 4  #: a worker's master stayed away too long
    REFUSED = 5  #: the master refused this worker: version or settings differ
    HARD_DEADLINE = 6  #: a stop took too long and was cut short
    RETIRED = 7  #: a worker drained to be replaced: its soft memory limit, or its number of pages
    INTERRUPTED = 130  #: stopped by a second signal
