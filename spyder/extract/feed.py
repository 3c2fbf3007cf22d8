"""Feeds: RSS 0.9 to 2.0, RDF, and Atom (RFC 4287), read as a stream; JSON Feed."""

from __future__ import annotations

from typing import Final

import msgspec

from spyder.bounds import MemoryLimit, TimeIsUpError
from spyder.contracts import Extraction, Response
from spyder.extract import sniff, xml
from spyder.extract.dates import modified_at
from spyder.extract.html import TITLE_LENGTH
from spyder.extract.listing import Listing
from spyder.extract.xml import START, TEXT
from spyder.model.states import LinkKind
from spyder.model.url import Url
from spyder.settings import Settings

_ATOM: Final = frozenset({"http://www.w3.org/2005/Atom", "http://purl.org/atom/ns#", "atom"})
_MEDIA: Final = frozenset({"http://search.yahoo.com/mrss/", "http://search.yahoo.com/mrss", "media"})
_ITEMS: Final = frozenset({"item", "entry"})
_DATES: Final = frozenset({"pubdate", "date", "updated", "published", "modified", "issued"})
#: Relations of Atom links to further pages of the feed (RFC 5005, sections 3 and 4).
_PAGING: Final = frozenset({"next", "previous", "prev", "first", "last", "prev-archive", "next-archive", "current"})
_MAX_TEXT: Final = 20_000  #: characters of an element that are kept


class Feed:
    """The pages that a feed's items lead to, with the date of their last change, and the feed's own page."""

    media_types = frozenset({sniff.RSS, sniff.ATOM, sniff.JSON_FEED})

    def __init__(self, settings: Settings) -> None:
        extract = settings.extract
        self._has_embeds = extract.embeds
        self._max_size = extract.max_sitemap_size
        self._max_entries = extract.max_sitemap_entries
        self._memory = MemoryLimit(extract.max_parse_memory)

    def __call__(self, response: Response) -> Extraction:
        """What the feed lists."""
        listing = _Found(response.url, has_embeds=self._has_embeds, max_entries=self._max_entries)
        source = xml.source_of(response, max_size=self._max_size)
        limits = []
        try:
            with self._memory:
                if response.media_type == sniff.JSON_FEED:
                    _read_json(response.body, listing)
                else:
                    _read_xml(source, listing)
        except TimeIsUpError:
            limits.append("extract.max_parse_time")
        except MemoryError:
            limits.append("extract.max_parse_memory")
        if listing.is_over:
            limits.append("extract.max_sitemap_entries")
        if source.is_cut:
            limits.append("extract.max_sitemap_size")
        return listing.extraction(title=" ".join(listing.title.split())[:TITLE_LENGTH], charset=source.charset,
                                  limits=tuple(limits))


class _Item:
    """What is known of an item until it ends."""

    def __init__(self) -> None:
        self.pages: list[tuple[str, Url | None]] = []
        self.others: list[tuple[str, Url | None]] = []
        self.identity = ""
        self.modified = 0.0


class _Found(Listing):
    """The links of a feed, and its title."""

    def __init__(self, url: str, *, has_embeds: bool, max_entries: int) -> None:
        super().__init__(url)
        self.title = ""
        self.is_over = False  #: there were more items than are taken
        self._has_embeds = has_embeds
        self._left = max_entries

    def take(self, item: _Item) -> None:
        """Take an item: its first link is its page, further ones are links like others."""
        if self._left <= 0 or self.is_full:
            self.is_over = True
            return
        self._left -= 1
        pages = item.pages or ([(item.identity, None)] if item.identity else [])
        for href, base in pages[:1]:
            self.add(href, LinkKind.LISTED, base=base, modified=item.modified)
        for href, base in (*pages[1:], *item.others):
            self.add(href, LinkKind.NAVIGATION, base=base)

    def embed(self, href: str, base: Url | None) -> None:
        """Take a file that an item embeds, if any is wanted."""
        if self._has_embeds and href and not self.is_full:
            self.add(href, LinkKind.EMBED, base=base)


def _read_xml(source: xml.Source, found: _Found) -> None:
    item: _Item | None = None
    item_depth, field, at, text = 0, "", 0, ""
    bases: list[tuple[int, Url]] = []  #: of xml:base: the element's depth, and what it means
    for kind, depth, space, name, content in xml.events(source.chunks()):
        if kind is TEXT:
            if field and len(text) < _MAX_TEXT:
                text += content
        elif kind is START:
            if "xml:base" in content:
                _enter_base(bases, depth, xml.attributes(content).get("xml:base", ""), found)
            base = bases[-1][1] if bases else None
            if name in _ITEMS and item is None:
                item, item_depth = _Item(), depth
            elif item is None or depth == item_depth + 1 or space in _MEDIA:
                is_read = _see(name, space, content, item=item, base=base, found=found)
                if is_read:
                    field, at, text = name, depth, ""
        else:
            if field and depth == at:
                _take_text(field, text.strip(), item=item, base=bases[-1][1] if bases else None, found=found)
                field = ""
            if item is not None and depth == item_depth:
                found.take(item)
                item = None
                if found.is_over:
                    return
            while bases and bases[-1][0] >= depth:
                bases.pop()


def _enter_base(bases: list[tuple[int, Url]], depth: int, reference: str, found: _Found) -> None:
    """XML Base (https://www.w3.org/TR/xmlbase/): relative to the one around it."""
    base = (bases[-1][1] if bases else found.base).join(reference.strip())
    if base is not None and base.is_fetchable:
        bases.append((depth, base))


def _see(name: str, space: str, attributes: str, *, item: _Item | None, base: Url | None, found: _Found) -> bool:
    """Take what an element's attributes say; True when its text is to be read, too."""
    match name:
        case "link" if attributes and (link := xml.attributes(attributes)).get("href"):
            _atom_link(link, item=item, base=base, found=found)
            return False
        case "enclosure" | "content" | "thumbnail" if "url" in attributes:
            found.embed(xml.attributes(attributes).get("url", ""), base)
            return False
        case "guid":
            return item is not None and xml.attributes(attributes).get("isPermaLink", "true").lower() == "true"
        case "content":
            if item is not None and (href := xml.attributes(attributes).get("src", "")):
                item.others.append((href, base))
            return False
        case "link" | "title":
            return space not in _MEDIA
        case _:
            return item is not None and name in _DATES


def _atom_link(link: dict[str, str], *, item: _Item | None, base: Url | None, found: _Found) -> None:
    """RFC 4287, section 4.2.7; a link without a relation is an alternate."""
    relation, href = link.get("rel", "alternate").strip().lower(), link["href"]
    if relation == "enclosure":
        found.embed(href, base)
    elif relation in _PAGING or (relation == "alternate" and item is None):
        found.add(href, LinkKind.NAVIGATION, base=base)
    elif relation == "alternate" and item is not None:
        item.pages.append((href, base))


def _take_text(field: str, text: str, *, item: _Item | None, base: Url | None, found: _Found) -> None:
    if not text:
        return
    match field:
        case "link":
            if item is None:
                found.add(text, LinkKind.NAVIGATION, base=base)
            else:
                item.pages.append((text, base))
        case "guid":
            if item is not None and text.lower().startswith(("http://", "https://")):
                item.identity = text
        case "title":
            if item is None:
                found.title = found.title or text
        case _:
            if item is not None:
                item.modified = max(item.modified, modified_at(text))


class _JsonItem(msgspec.Struct):
    """Null is how many programs write what there is not."""

    url: str | None = None
    external_url: str | None = None
    date_modified: str | None = None
    date_published: str | None = None


class _JsonFeed(msgspec.Struct):
    title: str | None = None
    home_page_url: str | None = None
    next_url: str | None = None
    items: list[_JsonItem | None] | None = None


def _read_json(body: bytes, found: _Found) -> None:
    """https://www.jsonfeed.org/version/1.1/; what is no such feed has no links."""
    try:
        feed = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"), type=_JsonFeed, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    found.title = feed.title or ""
    for href in (feed.home_page_url, feed.next_url):
        found.add(href or "", LinkKind.NAVIGATION)
    for one in filter(None, feed.items or ()):
        item = _Item()
        item.pages = [(href, None) for href in (one.url, one.external_url) if href]
        item.modified = modified_at(one.date_modified or one.date_published or "")
        found.take(item)
        if found.is_over:
            return
