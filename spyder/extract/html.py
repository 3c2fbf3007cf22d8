"""What an HTML page says of itself and of others: title, encoding and navigation links."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec
import turbohtml

from spyder.extract.charset import declared_encoding, decode, encode_query
from spyder.model.states import LinkKind
from spyder.model.url import Resolver, parse

TITLE_LENGTH: Final = 500  #: characters of a title that are kept

_LINK_TAGS: Final = ("a", "area", "frame", "iframe", "meta")
_TAGS: Final = (*_LINK_TAGS, "base", "title", "noscript", "noframes")
_STRIPPED: Final = "".join(map(chr, range(0x21)))  # C0 controls and space: WHATWG URL, section 4.4, step 1
_IGNORED: Final = {ord(char): None for char in "\t\n\r"}  # the same, step 3
_REFRESH: Final = re.compile(r"[\t\n\f\r ]*(?:([0-9]+)[0-9.]*|\.[0-9.]*)(?=[\t\n\f\r ;,]|\Z)"
                             r"[\t\n\f\r ]*[;,]?[\t\n\f\r ]*(.*)", re.DOTALL)
_REFRESH_URL: Final = re.compile(r"""(?:[uU][rR][lL][\t\n\f\r ]*=[\t\n\f\r ]*)?(?:"([^"]*)|'([^']*)|(.*))""", re.DOTALL)
_MAX_REFRESH_DIGITS: Final = 15


class HtmlLinks(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What :func:`read_html` found."""

    title: str  #: of the document, white space folded, at most :data:`TITLE_LENGTH` characters
    links: dict[str, LinkKind]  #: distinct http(s) URLs in document order, absolute, without fragments
    charset: str  #: the document's encoding, by its WHATWG name in lower case
    truncated: bool  #: True when the page is longer, or has more links, than was asked for


def read_html(body: bytes, *, url: str, content_type: str, limit: int, max_parse_size: int,
              resolver: Resolver | None = None) -> HtmlLinks:
    """Read the page *body* that was fetched from *url*, an absolute URL without a fragment.

    *content_type* is the header's whole value; *limit* the number of links and *max_parse_size* the bytes of the body
    that are read at the most. References to the page itself by an empty URL or a mere fragment are no links. Broken
    markup never raises: the tree is the one that browsers build (WHATWG HTML, section 13.2), and links that they show
    only to those without scripts or frames count as well. A *resolver* that is kept makes further pages cheaper.
    """
    too_long = len(body) > max_parse_size
    charset, document = _document(_beginning(body, max_parse_size) if too_long else body, content_type)
    found = _Findings(document)
    base = found.base_url(url)
    references = found.references
    if base == url:
        references.pop("", None)
    if charset != "utf-8":
        references = dict.fromkeys(encode_query(reference, charset) for reference in references)
    resolve_all = (resolver or Resolver()).resolve_all
    links = dict.fromkeys(resolve_all(base, references, limit + 1), LinkKind.NAVIGATION)
    too_many = len(links) > limit
    if too_many:
        links.popitem()
    if found.refresh:
        links.update((href, LinkKind.REFRESH) for href in resolve_all(base, (encode_query(found.refresh, charset),), 1)
                     if href in links)
    return HtmlLinks(title=found.title, links=links, charset=charset, truncated=too_long or too_many)


def meta_refresh(content: str) -> tuple[float, str] | None:
    """Seconds and URL of a ``refresh`` pragma or header; None when *content* is malformed.

    WHATWG HTML, "shared declarative refresh steps". The URL is not resolved yet, but without the tabs and newlines that
    the URL parser ignores; it is empty when the page itself is meant.
    """
    match = _REFRESH.match(content)
    if match is None:
        return None
    seconds, rest = match[1] or "0", match[2]
    if not rest:
        return float(seconds[:_MAX_REFRESH_DIGITS]), ""
    url = _REFRESH_URL.match(rest)
    assert url is not None
    return float(seconds[:_MAX_REFRESH_DIGITS]), (url[1] or url[2] or url[3] or "").translate(_IGNORED).strip(_STRIPPED)


def without_fragment(reference: str) -> str:
    """A URL reference as written, without its fragment and the white space around it."""
    kept, fragment, _ = reference.strip(_STRIPPED).partition("#")
    if fragment and kept.endswith(" "):  # these spaces belong to the URL, but at its end they would be stripped
        return kept.rstrip(" ") + "%20" * (len(kept) - len(kept.rstrip(" ")))
    return kept


def _beginning(body: bytes, size: int) -> bytes:
    """At most *size* bytes of a longer *body*, not ending within a character of UTF-8."""
    for end in range(size, max(size - 4, 0), -1):
        if body[end] & 0xC0 != 0x80:
            return body[:end]
    return body[:size]


def _document(body: bytes, content_type: str) -> tuple[str, turbohtml.Document]:
    """The encoding and the tree. Without a declaration the parser decides, as it also sees late ``meta`` elements."""
    charset = declared_encoding(body, content_type)
    if charset is not None:
        return charset, turbohtml.parse(decode(body, charset), positions=False, scripting=True)
    document = turbohtml.parse(body, positions=False, scripting=True)
    return str(document.encoding).lower(), document


class _Findings:
    """The elements of a document that matter, visited once in document order; URLs as written."""

    __slots__ = ("_base", "_raw", "references", "refresh", "title")

    def __init__(self, document: turbohtml.Document) -> None:
        self._base: str | None = None
        self.refresh = ""
        self.title = ""
        self._raw: dict[str, None] = {}  # distinct first: repeated links are common, and cutting each costs more
        self._visit(document.iter_elements(_TAGS))
        self.references = {
            without_fragment(text) if "#" in text else text.strip(_STRIPPED): None for text in self._raw}

    def base_url(self, url: str) -> str:
        """The document base URL (WHATWG HTML, section 2.4.3): *url*, or what the first ``base`` element says."""
        if self._base is None:
            return url
        base = parse(url).join(self._base)
        return base.href if base is not None and base.is_fetchable else url

    def _visit(self, elements: Iterable[turbohtml.Element]) -> None:
        raw = self._raw
        for element in elements:
            tag = element.tag
            reference = element.attr("href") if tag == "a" else self._other(tag, element)
            if reference is not None:
                raw[reference] = None

    def _other(self, tag: str, element: turbohtml.Element) -> str | None:
        match tag:
            case "area":
                return element.attr("href")
            case "frame" | "iframe":
                return element.attr("src")
            case "meta":
                return self._see_meta(element)
            case "base":
                self._see_base(element)
            case "title":
                self._see_title(element)
            case _:  # to the parser, what such an element holds is text
                self._visit(turbohtml.parse_fragment(element.text, positions=False).iter_elements(_LINK_TAGS))
        return None

    def _see_base(self, element: turbohtml.Element) -> None:
        if self._base is None and element.closest("template") is None:
            self._base = element.attr("href")

    def _see_title(self, element: turbohtml.Element) -> None:
        if not self.title and element.namespace is turbohtml.Namespace.HTML:
            self.title = " ".join(element.text.split())[:TITLE_LENGTH]

    def _see_meta(self, element: turbohtml.Element) -> str | None:
        if self.refresh or (element.attr("http-equiv") or "").lower() != "refresh":
            return None
        refresh = meta_refresh(element.attr("content") or "")
        if refresh is None or not refresh[1]:
            return None
        self.refresh = without_fragment(refresh[1])
        return self.refresh
