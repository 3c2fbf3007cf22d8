"""What an HTML page says of itself and of others: title, encoding, wishes to robots, links, and what it embeds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

import msgspec
import turbohtml

from spyder.extract import embeds
from spyder.extract.charset import decode, encode_query, is_xhtml, sniff
from spyder.model.states import LinkKind
from spyder.model.url import Resolver, parse

TITLE_LENGTH: Final = 500  #: characters of a title that are kept
MAX_ELEMENTS: Final = 250_000  #: elements with links that are looked at in one page
MAX_STYLES: Final = 262_144  #: characters of styles within one page that are read for URLs
MAX_ROBOTS: Final = 50  #: robots meta elements that count
ROBOTS_LENGTH: Final = 1000  #: characters of each

_LINK_TAGS: Final = ("a", "area", "frame", "iframe", "meta")
_TAGS: Final = (*_LINK_TAGS, "base", "title", "noscript", "noframes")
_TAGS_AND_LINK: Final = (*_TAGS, "link")
_ALL_LINKS: Final = (*_LINK_TAGS, *embeds.TAGS, "style")
_EVERYTHING: Final = (*_TAGS, *embeds.TAGS, "style")
_STYLE_URLS: Final = re.compile(r"[(\\]|@import", re.IGNORECASE)  #: what a style without URLs may lack
_UNSEEN: Final = "script, style, noscript, noframes, template"
_UNENDORSED: Final = frozenset({"nofollow", "ugc", "sponsored"})
#: Elements that an XHTML parser closes at ``/>``, where an HTML parser takes all that follows for their text.
_SELF_CLOSED: Final = re.compile(
    r"<(script|style|title|textarea|iframe|noscript|noframes|noembed|xmp)\b([^<>]*)/>")
_STRIPPED: Final = "".join(map(chr, range(0x21)))  # C0 controls and space: WHATWG URL, section 4.4, step 1
_IGNORED: Final = {ord(char): None for char in "\t\n\r"}  # the same, step 3
_REFRESH: Final = re.compile(r"[\t\n\f\r ]*(?:([0-9]+)[0-9.]*|\.[0-9.]*)(?=[\t\n\f\r ;,]|\Z)"
                             r"[\t\n\f\r ]*[;,]?[\t\n\f\r ]*(.*)", re.DOTALL)
_REFRESH_URL: Final = re.compile(r"""(?:[uU][rR][lL][\t\n\f\r ]*=[\t\n\f\r ]*)?(?:"([^"]*)|'([^']*)|(.*))""", re.DOTALL)
_MAX_REFRESH_DIGITS: Final = 15


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What else :func:`read_html` is to look for, beyond navigation."""

    embeds: bool = False  #: images, styles, scripts and media; includes *link_elements*
    styles: Callable[[str], Iterable[str]] | None = None  #: gives the URLs of a style sheet, for embedded ones
    link_elements: bool = False  #: ``link`` elements that lead to pages: next, alternate, canonical ...
    endorsed: bool = False  #: leave out what only links with rel=nofollow, ugc or sponsored lead to
    agent: str = ""  #: our product token in lower case: meta elements of this name are for us, as those for all robots


NAVIGATION: Final = Wanted()


class HtmlLinks(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What :func:`read_html` found."""

    title: str  #: of the document, white space folded, at most :data:`TITLE_LENGTH` characters
    links: dict[str, LinkKind]  #: distinct http(s) URLs in document order, absolute, without fragments; embeds at last
    charset: str  #: the document's encoding, by its WHATWG name in lower case
    base: str  #: the document base URL
    robots: tuple[str, ...] = ()  #: contents of robots meta elements, those for us alone as ``agent: content``
    limits: tuple[str, ...] = ()  #: settings whose limit cut something off
    document: turbohtml.Document

    @property
    def truncated(self) -> bool:
        """True when the page is longer, or has more links, than was asked for."""
        return bool(self.limits)

    def visible_text(self) -> str:
        """The text of the document without scripts and styles. It may be asked for once: the tree is changed by it."""
        return self.document.remove(_UNSEEN).text


def read_html(body: bytes, *, url: str, content_type: str, limit: int, max_parse_size: int,
              resolver: Resolver | None = None, wanted: Wanted = NAVIGATION) -> HtmlLinks:
    """Read the page *body* that was fetched from *url*, an absolute URL without a fragment.

    *content_type* is the header's whole value; *limit* the number of links and *max_parse_size* the bytes of the body
    that are read at the most. A link to the page itself, such as a mere fragment, is one like others. Broken markup
    never raises: the tree is the one that browsers build (WHATWG HTML, section 13.2), and links that they show only to
    those without scripts or frames count as well. A *resolver* that is kept makes further pages cheaper.
    """
    too_long = len(body) > max_parse_size
    charset, text = _text_of(_beginning(body, max_parse_size) if too_long else body, content_type)
    document = _parse(text)
    found = _Findings(document, wanted)
    if not found.references and "<frame" in text.lower():
        found.references = _stray_frames(text)
    base = found.base_url(url)
    resolve_all = (resolver or Resolver()).resolve_all

    def resolved(references: Iterable[str], count: int) -> dict[str, None]:
        if charset != "utf-8":
            references = dict.fromkeys(encode_query(reference, charset) for reference in references)
        return resolve_all(base, references, count)

    links = dict.fromkeys(resolved(_cut(found.references), limit + 1), LinkKind.NAVIGATION)
    if found.embedded and len(links) <= limit:
        for href in resolved(_cut(found.embedded), limit + 1):
            links.setdefault(href, LinkKind.EMBED)
    too_many = found.is_cut or len(links) > limit
    while len(links) > limit:
        links.popitem()
    if found.refresh:
        links.update((href, LinkKind.REFRESH) for href in resolved((found.refresh,), 1) if href in links)
    limits = ("extract.max_parse_size",) * too_long + ("scope.max_links",) * too_many
    return HtmlLinks(title=found.title, links=links, charset=charset, base=base, robots=tuple(found.robots),
                     limits=limits, document=document)


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


def _cut(references: Iterable[str]) -> dict[str, None]:
    """Distinct references without fragments."""
    return {without_fragment(text) if "#" in text else text.strip(_STRIPPED): None for text in references}


def _text_of(body: bytes, content_type: str) -> tuple[str, str]:
    """The encoding, and the text as an HTML parser is to see it."""
    charset = sniff(body, content_type)
    text = decode(body, charset)
    return charset, _SELF_CLOSED.sub(r"<\1\2></\1>", text) if is_xhtml(content_type) else text


def _parse(text: str) -> turbohtml.Document:
    """The tree; declarative shadow roots stay templates, since what is in a root doesn't come up among the elements."""
    return turbohtml.parse(text, positions=False, scripting=True, allow_declarative_shadow_roots=False)


def _stray_frames(text: str) -> dict[str, None]:
    """References of frames that browsers don't show, since something else came before the frameset."""
    tokens = islice(turbohtml.tokenize(text), MAX_ELEMENTS)
    return {source: None for token in tokens if token.tag == "frame" and (source := token.attr("src"))}


class _Findings:
    """The elements of a document that matter, visited once in document order; URLs as written."""

    __slots__ = ("_base", "_styles_left", "_wanted", "embedded", "is_cut", "references", "refresh", "robots", "title")

    def __init__(self, document: turbohtml.Document, wanted: Wanted) -> None:
        self._base: str | None = None
        self._wanted = wanted
        self._styles_left = MAX_STYLES
        self.refresh = ""
        self.title = ""
        self.robots: list[str] = []
        self.references: dict[str, None] = {}  #: distinct: repeated links are common, and cutting each costs more
        self.embedded: dict[str, None] = {}
        self.is_cut = False  #: there are more elements than :data:`MAX_ELEMENTS`, or styles than :data:`MAX_STYLES`
        self._visit(document, _EVERYTHING if wanted.embeds else _TAGS_AND_LINK if wanted.link_elements else _TAGS)
        if wanted.embeds and wanted.styles is not None:
            for element in document.select("[style]"):
                self._see_style(element.attr("style") or "")

    def base_url(self, url: str) -> str:
        """The document base URL (WHATWG HTML, section 2.4.3): *url*, or what the first ``base`` element says."""
        if self._base is None:
            return url
        base = parse(url).join(self._base)
        return base.href if base is not None and base.is_fetchable else url

    def _visit(self, root: turbohtml.Node, tags: tuple[str, ...]) -> None:
        elements = root.iter_elements(tags)
        found, endorsed = self.references, self._wanted.endorsed
        for element in islice(elements, MAX_ELEMENTS):
            tag = element.tag
            if tag == "a":
                reference = element.attr("href")
                if reference is None:
                    reference = element.attr("xlink:href")  # in a drawing
                elif endorsed and (relations := element.attr("rel")) is not None and not _endorses(relations):
                    continue
            else:
                reference = self._other(tag, element)
            if reference is not None:
                found[reference] = None
        self.is_cut = self.is_cut or next(elements, None) is not None

    def _other(self, tag: str, element: turbohtml.Element) -> str | None:
        match tag:
            case "area":
                is_left_out = self._wanted.endorsed and not _endorses(element.attr("rel") or "")
                return None if is_left_out else element.attr("href")
            case "frame" | "iframe":
                return element.attr("src") or None
            case "meta":
                return self._see_meta(element)
            case "base":
                self._see_base(element)
            case "title":
                self._see_title(element)
            case "noscript" | "noframes":  # to the parser, what such an element holds is text
                self._visit(turbohtml.parse_fragment(element.text, positions=False),
                            _ALL_LINKS if self._wanted.embeds else _LINK_TAGS)
            case "link":
                return self._see_link(element)
            case "style":
                self._see_style(element.text)
            case _:
                self.embedded.update(dict.fromkeys(embeds.embedded(element, tag)))
        return None

    def _see_base(self, element: turbohtml.Element) -> None:
        if self._base is None and (href := element.attr("href")) is not None and element.closest("template") is None:
            self._base = href

    def _see_title(self, element: turbohtml.Element) -> None:
        if not self.title and element.namespace is turbohtml.Namespace.HTML:
            self.title = " ".join(element.text.split())[:TITLE_LENGTH]

    def _see_style(self, text: str) -> None:
        if self._wanted.styles is None or _STYLE_URLS.search(text) is None:
            return
        if len(text) > self._styles_left:
            self.is_cut = True
            return
        self._styles_left -= len(text)
        self.embedded.update(dict.fromkeys(self._wanted.styles(text)))

    def _see_link(self, element: turbohtml.Element) -> str | None:
        relations = (element.attr("rel") or "").lower().split()
        href = element.attr("href") or None
        if embeds.RESOURCES.isdisjoint(relations):
            return None if embeds.SERVICES.issuperset(relations) else href
        if self._wanted.embeds:
            self.embedded.update(dict.fromkeys(embeds.link_embeds(element)))
        return None

    def _see_meta(self, element: turbohtml.Element) -> str | None:
        if (element.attr("http-equiv") or "").lower() == "refresh":
            return self._see_refresh(element)
        name = (element.attr("name") or "").strip().lower()
        if name in {"robots", self._wanted.agent} and name and len(self.robots) < MAX_ROBOTS:
            content = (element.attr("content") or "")[:ROBOTS_LENGTH]
            self.robots.append(content if name == "robots" else f"{name}: {content}")
        elif self._wanted.embeds and (url := embeds.meta_embed(element)):
            self.embedded[url] = None
        return None

    def _see_refresh(self, element: turbohtml.Element) -> str | None:
        refresh = None if self.refresh else meta_refresh(element.attr("content") or "")
        if refresh is None or not refresh[1]:
            return None
        self.refresh = without_fragment(refresh[1])
        return self.refresh


def _endorses(relations: str) -> bool:
    """False for the ``rel`` of a link that its page doesn't vouch for (HTML, section 4.6.7; ugc, sponsored: Google)."""
    return _UNENDORSED.isdisjoint(relations.lower().split())
