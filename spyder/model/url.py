"""URLs by the WHATWG URL standard, and the identity of a URI; the only module that knows the URL libraries.

There are two: can_ada is quick, and some years behind the standard in international names and in one character of
paths; some dot segments it leaves. What it may get wrong goes to ada_url, which takes two to three times as long
(:func:`_is_certain`).

The *fetch URL* is the parsed URL without its fragment. Its *identity* is a key of 18 bytes: project (2), host queue
(8) and fingerprint of the canonical form (8), so that the rows of one host lie together in a store.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import ada_url
import can_ada
import xxhash

from spyder.errors import UrlError
from spyder.model.limits import MAX_URL

PROJECT_BYTES = 2  #: length of the project's number at the head of a key
HOST_BYTES = 10  #: length of a host's key: project and hash of the queue's name
KEY_BYTES = 18  #: length of a URI's key: host's key and fingerprint

FETCHABLE_SCHEMES = frozenset({"http:", "https:"})
_FETCHABLE_STARTS = ("http://", "https://")  # a special scheme's URL always has a host: WHATWG URL, section 4.1


_NO_URL = (ValueError, TypeError, AttributeError)  # no URL; a lone surrogate; no text at all: by library and method


# A text in which no percent sign is part of a host: the first stands behind a host that is written out, or in a path or
# query that follows no host. Before it there are no tabs and newlines, which a parser removes, and no backslashes.
_HOST_IS_PLAIN: Final = re.compile(r"(?:https?:)?//[A-Za-z0-9.-]++(?::[0-9]*+)?[/?#]|(?!//)[!-$&-9;-\[\]-~]*+%")


def _is_certain(text: str, href: str) -> bool:
    """True when can_ada's *href* is surely what *text* means by the standard of today.

    Its tables of names are those of Unicode 15.0, it leaves ``^`` in a path as it is (encoded since November 2024), and
    dot segments at the end of a path with a segment that only begins with a dot, as ``/x/.y/..``. So the text must be
    ASCII, no name be coded or percent-encoded, and no segment begin with a dot. All short texts of the characters that
    matter were compared with ada_url: there is no other difference.
    """
    return (text.isascii() and "^" not in href and "/." not in href and "xn--" not in href
            and ("%" not in text or _HOST_IS_PLAIN.match(text) is not None))


def _exact(text: str, base: str | None = None) -> ada_url.URL | None:
    """What *text* means on a page with the URL *base*, slowly; None when it is no URL."""
    try:
        return ada_url.URL(text, base)
    except _NO_URL:
        return None


class Url:
    """A parsed URL without its fragment: what can be asked of it cheaply. Made by :func:`parse` and :meth:`join`."""

    __slots__ = ("_url", "href")

    def __init__(self, url: Any) -> None:
        """*url* is an object of either library: what is asked of it here has one name in both."""
        href: str = url.href
        if "#" in href:  # never in another place than before the fragment: WHATWG URL, section 4.5
            url.hash = ""
            href = url.href
        self._url = url
        self.href = href

    @property
    def host(self) -> str:
        """Host and, unless it is the scheme's default, port; lower case, IDNA, IPv4 and IPv6 in their one form."""
        host: str = self._url.host
        return host

    @property
    def hostname(self) -> str:
        """Host without port."""
        name: str = self._url.hostname
        return name

    @property
    def scheme(self) -> str:
        """Scheme without the colon."""
        protocol: str = self._url.protocol
        return protocol[:-1]

    @property
    def pathname(self) -> str:
        """The path, beginning with a slash."""
        path: str = self._url.pathname
        return path

    @property
    def search(self) -> str:
        """The query with its question mark, or an empty string."""
        search: str = self._url.search
        return search

    @property
    def is_fetchable(self) -> bool:
        """True for http and https URLs with a host."""
        return self._url.protocol in FETCHABLE_SCHEMES and bool(self._url.host)

    def join(self, reference: str) -> Url | None:
        """*reference* resolved against this URL (WHATWG URL, basic URL parser with a base); None when it is no URL."""
        try:
            quick = self._url + reference
        except _NO_URL:  # also of ada_url's object, which can't be added to
            quick = None
        if quick is None or not _is_certain(reference, quick.href):
            quick = _exact(reference, self.href)
        return None if quick is None else Url(quick)


def parse(text: str) -> Url:
    """The URL that *text* is.

    Raises :class:`UrlError` when it is none (WHATWG URL, section 4.4).
    """
    url: Any
    try:
        url = can_ada.parse(text)
    except _NO_URL:
        url = None
    if url is None or not _is_certain(text, url.href):
        url = _exact(text)
    if url is None:
        raise UrlError(f"{text!r:.200} is not a URL: expected something like https://example.org/")
    return Url(url)


def parse_seed(text: str) -> Url:
    """The fetchable URL that a person typed: ``example.org`` means ``http://example.org/``.

    Raises :class:`UrlError` when it is no URL, longer than any may be, or not http or https.
    """
    text = text.strip()
    if "://" not in text and not text.startswith(("mailto:", "javascript:", "data:")):
        text = f"http://{text}"
    url = parse(text)
    if not url.is_fetchable:
        raise UrlError(f"{text[:200]!r} can't be crawled: expected an http:// or https:// URL")
    if len(url.href) > MAX_URL:
        raise UrlError(f"{text[:200]!r}… has {len(url.href):,} characters: a URL has {MAX_URL:,} at the most")
    return url


class _Base:
    """A page's base URL, for resolving many references: the hot path of extraction."""

    __slots__ = ("_href", "_site", "_url")

    def __init__(self, href: str) -> None:
        """*href* is a :attr:`Url.href`."""
        self._href = href
        self._url: Any = parse(href)._url
        site = href[: href.find("/", 8) + 1] if href.startswith(_FETCHABLE_STARTS) else ""
        self._site = "" if "xn--" in site else site  # for hosts that can_ada surely knows

    def resolve(self, reference: str) -> str:
        """:attr:`Url.href` of the fetchable URL that *reference*, without fragment, means here; or an empty string."""
        try:
            href: str = (self._url + reference).href
            # the links within a site, by what is quickest: see _is_certain
            if self._site and reference.isascii() and "%" not in reference and "^" not in href and (
                    "/." not in href and href.startswith(self._site)):
                return href
            if not _is_certain(reference, href):
                href = ""
        except _NO_URL:
            href = ""
        if not href:
            exact = _exact(reference, self._href)
            href = "" if exact is None else exact.href
        return href if href.startswith(_FETCHABLE_STARTS) else ""


class Resolver:
    """Resolves the references of pages, and remembers what they meant: pages of one folder share most of theirs.

    Exact, and bounded by *memory* characters of text; when it is full it begins anew.
    """

    def __init__(self, *, memory: int = 8_000_000) -> None:
        self._memory = memory
        self._used = 0
        self._folders: dict[str, dict[str, str]] = {}

    def resolve_all(self, base: str, references: Iterable[str], limit: int) -> dict[str, None]:
        """The first *limit* distinct fetchable URLs that *references* mean on a page with base URL *base*, in order.

        Each as :attr:`Url.href`; what is no URL, or not http or https, is left out. *base* is an :attr:`Url.href`.
        *references* must come without fragments: cutting them first makes most repeated ones equal.
        """
        # all but an empty reference and a mere query mean the same on every page of a folder (RFC 3986, section 5.2)
        known = self._folder(base[: base.rindex("/", 0, _path_end(base)) + 1])
        origin: _Base | None = None
        found: dict[str, None] = {}
        for reference in references:
            href = known.get(reference)
            if href is None:
                if origin is None:
                    origin = _Base(base)
                href = origin.resolve(reference)
                if reference and reference[0] != "?":
                    known[reference] = href
                    self._used += len(reference) + len(href)
            if href:
                found[href] = None
                if len(found) >= limit:
                    break
        return found

    def _folder(self, folder: str) -> dict[str, str]:
        if self._used > self._memory:
            self._folders.clear()
            self._used = 0
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = {}
            self._used += len(folder)
        return known


def resolve_all(base: str, references: Iterable[str], limit: int) -> dict[str, None]:
    """What :meth:`Resolver.resolve_all` says, for one page. Raises :class:`UrlError` when *base* is no URL."""
    return Resolver().resolve_all(parse(base).href, references, limit)


def _path_end(href: str) -> int:
    query = href.find("?")
    return len(href) if query < 0 else query


def host_key(project: int, queue: str) -> bytes:
    """The key of a host's queue within a project."""
    return project.to_bytes(PROJECT_BYTES, "big") + xxhash.xxh3_64_digest(queue.encode())


def host_of(href: str) -> str:
    """Host and port of a parsed http(s) URL, cut from its text: quicker than parsing it again.

    *href* must come from :class:`Url`; ``http://user@example.org:81/x`` gives ``example.org:81``.
    """
    authority = href.split("/", 3)[2].split("?", 1)[0]
    return authority.rpartition("@")[2] if "@" in authority else authority


def origin_of(href: str) -> str:
    """Scheme, host and port of a fetch URL, with a slash at the end: ``http://example.org:81/``.

    User names are no part of it (RFC 6454, section 4).
    """
    scheme, _, rest = href.split("/", 3)[:3]
    return f"{scheme}//{host_of(href)}/" if "@" in rest or "?" in rest else f"{scheme}//{rest}/"


def target_of(href: str) -> str:
    """Path and query of a fetch URL, as it stands there."""
    parts = href.split("/", 3)
    return f"/{parts[3]}" if len(parts) > 3 else "/"


def literal_address(origin: str) -> str:
    """The IP address that the host of *origin* is; empty when it is a name.

    A host whose last label is a number is an IPv4 address, written as four numbers (WHATWG URL, section 3.5).
    """
    host = origin.split("/", 3)[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name = host.partition(":")[0]
    return name if name[-1:].isdigit() and name.replace(".", "").isdigit() else ""


def port_of(origin: str) -> int:
    """The port of *origin*, the scheme's default when it names none (WHATWG URL, section 3.1)."""
    port = origin.split("/", 3)[2].rpartition("]")[2].partition(":")[2]
    return int(port) if port else (443 if origin.startswith("https:") else 80)


Canonicalizer = Callable[[str], str]  #: fetch URL to its canonical form
QueueNamer = Callable[[str], str]  #: host (and port) to the name of its queue

_HOSTS_REMEMBERED = 4096  #: host keys kept in memory


class UriIdentity:
    """Turns URLs into keys, by one canonicalisation policy and one assignment of hosts to queues."""

    def __init__(self, canonicalize: Canonicalizer, queue_of: QueueNamer, *, folds_hosts: bool = False) -> None:
        """*folds_hosts* when the canonical form may have another host: its queue is the URL's then."""
        self._canonicalize = canonicalize
        self._folds_hosts = folds_hosts
        self._queue_of = queue_of
        self._host_keys: dict[tuple[int, str], bytes] = {}

    def queue_of(self, href: str) -> str:
        """The name of the queue that the fetch URL *href* belongs to."""
        return self._queue_of(host_of(self._canonicalize(href) if self._folds_hosts else href))

    def queue_of_host(self, host: str) -> str:
        """The name of the queue that the fetch URLs of *host* (and port) belong to."""
        return self.queue_of(f"http://{host}/")

    def key(self, project: int, href: str) -> bytes:
        """The identity of the fetch URL *href* in *project*: :data:`KEY_BYTES` bytes."""
        canonical = self._canonicalize(href)
        host = host_of(canonical if self._folds_hosts else href)
        head = self._host_keys.get((project, host))
        if head is None:
            if len(self._host_keys) >= _HOSTS_REMEMBERED:
                self._host_keys.clear()
            head = self._host_keys[project, host] = host_key(project, self._queue_of(host))
        return head + xxhash.xxh3_64_digest(canonical.encode("utf-8", "surrogatepass"))

    def errand_key(self, host: bytes, what: str) -> bytes:
        """The identity of what is asked about a host, in the form of a URI's; *host* is the host's key."""
        return host + xxhash.xxh3_64_digest(what.encode("utf-8", "surrogatepass"))
