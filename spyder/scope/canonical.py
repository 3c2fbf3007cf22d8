"""Which spellings of a URL are the same page: versioned policies, rule by rule in ``docs/urls.md``."""

from __future__ import annotations

import re
from typing import Final, Protocol

from spyder.scope import parameters
from spyder.settings import CANONICAL_VERSIONS, FrontierSection


class CanonicalPolicy(Protocol):
    """Turns a fetch URL into its canonical form. The frontier's store keeps name, version and options: another form of
    the same URL would be another page.
    """

    @property
    def name(self) -> str:
        """As in the settings."""

    @property
    def version(self) -> int:
        """Raised whenever any URL's canonical form changes."""

    @property
    def folds_hosts(self) -> bool:
        """True when the canonical form may have another host than the URL; its queue is that host's then."""

    def __call__(self, href: str) -> str:
        """The canonical form of *href*, an http(s) URL as the WHATWG URL standard writes it, without fragment.

        Other URLs are returned as they are. Idempotent: the canonical form is its own canonical form. It is a URL, and
        parses to itself.
        """


class Plain:
    """Nothing beyond what the WHATWG URL standard makes equal."""

    name: Final = "plain"
    version: Final = CANONICAL_VERSIONS["plain"]
    folds_hosts: Final = False

    def __call__(self, href: str) -> str:
        """*href* itself."""
        return href


class Standard:
    """One way to write what RFC 3986 and HTML forms make the same: percent-encoding, and the order of parameters."""

    name: Final = "standard"
    version: Final = CANONICAL_VERSIONS["standard"]
    folds_hosts: Final = False

    def __init__(self) -> None:
        self._rules = _Rules(has_normal_encoding=True, is_sorted=True)

    def __call__(self, href: str) -> str:
        """*href* with normal percent-encoding, and with its query's parameters sorted by name."""
        # of all hot paths the hottest: five searches for a character take less time than one for five
        if "%" in href or "[" in href or "|" in href or "]" in href:
            return self._rules(href)
        return _sorted(href) if "?" in href else href


class Archive:
    """What web archives take for the same page: :class:`Standard`, then what Heritrix and the Wayback Machine do."""

    name: Final = "archive"
    version: Final = CANONICAL_VERSIONS["archive"]
    folds_hosts: Final = True

    def __init__(self) -> None:
        self._rules = _Rules(has_normal_encoding=True, is_sorted=True, is_folded=True, has_no_session_ids=True)

    def __call__(self, href: str) -> str:
        """*href* by all of :class:`_Rules` but tracking and default documents."""
        return self._rules(href)


class Refined:
    """A policy with options added to it, or with its sorting taken away."""

    def __init__(self, policy: CanonicalPolicy, section: FrontierSection) -> None:
        is_archive = policy.name == Archive.name
        self.name: Final = policy.name
        self.version: Final = policy.version
        self.folds_hosts: Final = policy.folds_hosts
        self._rules = _Rules(
            has_normal_encoding=policy.name != Plain.name,
            is_sorted=section.sorts_query,
            is_folded=is_archive,
            has_no_session_ids=section.drop_session_ids or is_archive,
            has_no_tracking=section.drop_tracking,
            has_no_default_documents=section.default_documents,
            dropped=section.drop_query_params)

    def __call__(self, href: str) -> str:
        """*href* by the policy's rules and the options'."""
        return self._rules(href)


# By RFC 3986, 2.3: what never needs to be encoded.
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# A triplet, a percent sign that begins none, and what RFC 3986 allows in no path or query but WHATWG leaves there.
_ENCODABLE: Final = re.compile(r"%(?:[0-9A-Fa-f]{2})?|[\[\]|\\^`{}\"<>]")
_TRIPLET: Final = re.compile(r"%[0-9a-f]{2}")
_SLASHES: Final = re.compile(r"//+")
# Heritrix strips www and digits; not from www.com, where nothing that could be a domain would be left.
_WWW: Final = re.compile(r"(?:www[0-9]*\.)+(?=[^.:]+\.[^.:])")
_DEFAULT_NAMES: Final = r"(?:index\.(?:html?|shtml|xhtml|php[345]?|aspx?|jsp|cgi|pl)|default\.(?:html?|aspx?))"
_DEFAULT_DOCUMENT: Final = re.compile(rf"(?<=/){_DEFAULT_NAMES}\Z", re.IGNORECASE)
_DEFAULT_DOCUMENTS: Final = re.compile(rf"(?:/{_DEFAULT_NAMES}|/)+\Z", re.IGNORECASE)


class _Rules:
    """The rules, each of which may be off; in the order in which they are applied."""

    def __init__(self, *, has_normal_encoding: bool, is_sorted: bool, is_folded: bool = False,
                 has_no_session_ids: bool = False, has_no_tracking: bool = False,
                 has_no_default_documents: bool = False, dropped: tuple[str, ...] = ()) -> None:
        self._has_normal_encoding = has_normal_encoding
        self._is_folded = is_folded
        self._is_sorted = is_sorted
        self._has_no_session_ids = has_no_session_ids
        self._has_no_tracking = has_no_tracking
        self._has_no_default_documents = has_no_default_documents
        self._dropped = parameters.globs(dropped)
        self._drops = has_no_session_ids or has_no_tracking or self._dropped is not None
        self._is_for_all = is_folded or has_no_session_ids or has_no_default_documents

    def __call__(self, href: str) -> str:
        """The canonical form of *href*."""
        if not (self._is_for_all or "%" in href or "?" in href or "[" in href or "|" in href or "]" in href):
            return href
        end = href.find("/", 8)
        if end < 0 or not href.startswith(("http://", "https://")):
            return href
        origin, rest = href[:end], href[end:]
        if self._has_normal_encoding:
            origin, rest = _normal_triplets(origin), _normal(rest)
        if self._is_folded:
            origin, rest = _folded_origin(origin), _lower(rest)
        path, mark, query = rest.partition("?")
        path = self._path(path)
        if query and (self._drops or self._is_sorted):
            query = self._query(query)
            mark = "?" if query else ""
        elif not query and self._has_normal_encoding:
            mark = ""
        return f"{origin}{path}{mark}{query}"

    def _path(self, path: str) -> str:
        if self._has_no_session_ids:
            path = parameters.without_session_ids(path)
        if not self._is_folded:
            return _DEFAULT_DOCUMENT.sub("", path) if self._has_no_default_documents else path
        if "//" in path:
            path = _SLASHES.sub("/", path)
        return (_DEFAULT_DOCUMENTS.sub("", path) if self._has_no_default_documents else path.removesuffix("/")) or "/"

    def _query(self, query: str) -> str:
        """*query*, read as a form (WHATWG URL, section 5.1), where an empty parameter is none."""
        parts = query.split("&")
        if self._drops:
            parts = [part for part in parts if not self._is_dropped(part)]
        if self._is_sorted:
            parts = [part for part in parts if part]
            if len(parts) > 1:
                parts.sort(key=_name)  # stable: parameters of one name may be a list
        return "&".join(parts)

    def _is_dropped(self, part: str) -> bool:
        name, _, value = part.partition("=")
        lower = name.lower()
        return ((self._has_no_session_ids and parameters.is_session_id(lower, value))
                or (self._has_no_tracking and parameters.is_tracking(lower))
                or (self._dropped is not None and self._dropped.match(name) is not None))


def _name(part: str) -> str:
    return part.partition("=")[0]


def _normal(text: str) -> str:
    """The percent-encoding of a path and query in its one form (RFC 3986, sections 2.4, 6.2.2.1 and 6.2.2.2).

    Triplets in upper case, unreserved characters as themselves, what RFC 3986 doesn't allow as triplets. A percent sign
    that begins no triplet is ``%25``, before anything is decoded: servers read ``%%36%31`` as ``%61``, and that is
    ``%2561``. Dots make no new dot segments: the WHATWG parser resolves ``%2e`` as it does a dot.
    """
    if "%" in text or "[" in text or "]" in text or "|" in text or _is_odd(text):
        return _ENCODABLE.sub(_encoded, text)
    return text


def _is_odd(text: str) -> bool:
    """True when *text*, of a query, has characters that WHATWG leaves only there."""
    return "{" in text or "}" in text or "^" in text or "`" in text or "\\" in text


def _sorted(href: str) -> str:
    """*href*, which needs no encoding of what may stand in a path, by :class:`Standard`: the quick way."""
    head, _, query = href.partition("?")
    if _is_odd(query):
        query = _ENCODABLE.sub(_encoded, query)
    if "&" in query:
        parts = [part for part in query.split("&") if part]
        parts.sort(key=_name)
        query = "&".join(parts)
    return f"{head}?{query}" if query else head


def _encoded(found: re.Match[str]) -> str:
    text = found[0]
    if len(text) < 3:
        return f"%{ord(text):02X}"
    char = chr(int(text[1:], 16))
    return char if char in _UNRESERVED else text.upper()


def _normal_triplets(origin: str) -> str:
    """User and password are encoded by the URL parser: there are no other triplets than its own, and stray signs."""
    return _normal(origin) if "%" in origin and "[" not in origin else origin


def _lower(text: str) -> str:
    """*text*, in normal encoding, in lower case but for triplets."""
    lower = text.lower()
    return _TRIPLET.sub(_upper, lower) if "%" in lower else lower


def _upper(triplet: re.Match[str]) -> str:
    return triplet[0].upper()


def _folded_origin(origin: str) -> str:
    """``http://`` and the host without ``www``, user, password and final dot; with its port unless that is 80."""
    host = origin.partition("://")[2].rpartition("@")[2].removesuffix(":80")
    name, colon, port = (host, "", "") if host.endswith("]") else host.partition(":")
    if name.startswith("["):
        return f"http://{host}"
    if name.endswith(".") and len(name) > 1 and not name.endswith(".."):
        name = name[:-1]
    return f"http://{_WWW.sub('', name, count=1) if name.startswith('www') else name}{colon}{port}"


PLAIN: Final = Plain()
STANDARD: Final = Standard()
ARCHIVE: Final = Archive()


def refined(policy: CanonicalPolicy, section: FrontierSection) -> CanonicalPolicy:
    """*policy* with the options of the settings; itself when they change nothing."""
    return Refined(policy, section) if section.canonical_options else policy
