"""URLs by the WHATWG URL standard, and the identity of a URI; the only module that knows the URL library.

The *fetch URL* is the parsed URL without its fragment. Its *identity* is a key of 18 bytes: project (2), host queue
(8) and fingerprint of the canonical form (8), so that the rows of one host lie together in a store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import can_ada
import xxhash

from spyder.errors import UrlError
from spyder.model.limits import MAX_URL

PROJECT_BYTES = 2  #: length of the project's number at the head of a key
HOST_BYTES = 10  #: length of a host's key: project and hash of the queue's name
KEY_BYTES = 18  #: length of a URI's key: host's key and fingerprint

FETCHABLE_SCHEMES = frozenset({"http:", "https:"})
_FETCHABLE_STARTS = ("http://", "https://")  # a special scheme's URL always has a host: WHATWG URL, section 4.1


class Url:
    """A parsed URL without its fragment: what can be asked of it cheaply."""

    __slots__ = ("_url", "href")

    def __init__(self, url: can_ada.URL) -> None:
        if url.has_hash():
            url.hash = ""
        self._url = url
        self.href: str = url.href

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
            return Url(self._url + reference)
        except (ValueError, TypeError):  # no URL, or a lone surrogate
            return None


def parse(text: str) -> Url:
    """The URL that *text* is.

    Raises :class:`UrlError` when it is none (WHATWG URL, section 4.4).
    """
    try:
        return Url(can_ada.parse(text))
    except (ValueError, TypeError):  # no URL, or a lone surrogate
        raise UrlError(f"{text[:200]!r} is not a URL: expected something like https://example.org/") from None


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
        origin: can_ada.URL | None = None
        found: dict[str, None] = {}
        for reference in references:
            href = known.get(reference)
            if href is None:
                if origin is None:
                    origin = can_ada.parse(base)
                href = _resolve(origin, reference)
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


def _resolve(origin: can_ada.URL, reference: str) -> str:
    """The fetchable URL that *reference* means, or an empty string."""
    try:
        href: str = (origin + reference).href
    except (ValueError, TypeError):  # TypeError: a lone surrogate, which no URL can carry
        return ""
    return href if href.startswith(_FETCHABLE_STARTS) else ""


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

    def __init__(self, canonicalize: Canonicalizer, queue_of: QueueNamer) -> None:
        self._canonicalize = canonicalize
        self._queue_of = queue_of
        self._host_keys: dict[tuple[int, str], bytes] = {}

    def queue_of(self, href: str) -> str:
        """The name of the queue that the fetch URL *href* belongs to."""
        return self._queue_of(host_of(href))

    def key(self, project: int, href: str) -> bytes:
        """The identity of the fetch URL *href* in *project*: :data:`KEY_BYTES` bytes."""
        host = host_of(href)
        head = self._host_keys.get((project, host))
        if head is None:
            if len(self._host_keys) >= _HOSTS_REMEMBERED:
                self._host_keys.clear()
            head = self._host_keys[project, host] = host_key(project, self._queue_of(host))
        return head + xxhash.xxh3_64_digest(self._canonicalize(href).encode("utf-8", "surrogatepass"))

    def errand_key(self, host: bytes, what: str) -> bytes:
        """The identity of what is asked about a host, in the form of a URI's; *host* is the host's key."""
        return host + xxhash.xxh3_64_digest(what.encode("utf-8", "surrogatepass"))
