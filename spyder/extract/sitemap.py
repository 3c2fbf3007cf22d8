"""Sitemaps (sitemaps.org): XML, indexes of sitemaps, and lists of URLs in text; plain or gzip, read as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spyder.bounds import MemoryLimit, TimeIsUpError
from spyder.contracts import Extraction, Response
from spyder.extract import sniff, xml
from spyder.extract.dates import modified_at
from spyder.extract.listing import Listing
from spyder.extract.xml import START, TEXT
from spyder.model.states import LinkKind
from spyder.settings import Settings

#: What an entry is, by its element.
_ITEMS: Final = {"url": LinkKind.LISTED, "sitemap": LinkKind.SITEMAP}
_OWN: Final = frozenset({"loc", "lastmod", "priority"})  #: elements of an entry that are read
#: Elements of extensions that hold the URL of something that the page embeds, by their prefix's usual name.
_EMBEDS: Final = {"image": {"loc"}, "video": {"thumbnail_loc", "content_loc", "player_loc", "content_segment_loc"}}
_MAX_EXTENSIONS: Final = 2000  #: links of one entry beside its own: Google allows 1,000 images
_XHTML: Final = "http://www.w3.org/1999/xhtml"
_MAX_TEXT: Final = 20_000  #: characters of an element that are kept: more than any URL has


class Sitemap:
    """Pages and further sitemaps that a sitemap lists, with their priority and date of last change."""

    media_types = frozenset({sniff.SITEMAP, sniff.URI_LIST})

    def __init__(self, settings: Settings) -> None:
        extract = settings.extract
        self._has_embeds = extract.embeds
        self._max_size = extract.max_sitemap_size
        self._max_entries = extract.max_sitemap_entries
        self._max_depth = extract.max_sitemap_depth
        self._location = extract.sitemap_location
        self._memory = MemoryLimit(extract.max_parse_memory)

    def __call__(self, response: Response) -> Extraction:
        """What the sitemap lists."""
        source = xml.source_of(response, max_size=self._max_size)
        listing = Listing(response.url, location=self._location, robots=response.referrer)
        limits = []
        is_text = response.media_type == sniff.URI_LIST
        entries = _lines(source) if is_text else _entries(source, has_embeds=self._has_embeds)
        try:
            with self._memory:
                for count, entry in enumerate(entries):
                    if count >= self._max_entries or listing.is_full:
                        limits.append("extract.max_sitemap_entries")
                        break
                    if entry.kind is LinkKind.SITEMAP and response.nesting >= self._max_depth:
                        limits.append("extract.max_sitemap_depth")
                        break
                    entry.add_to(listing)
        except TimeIsUpError:
            limits.append("extract.max_parse_time")
        except MemoryError:
            limits.append("extract.max_parse_memory")
        if source.is_cut:
            limits.append("extract.max_sitemap_size")
        return listing.extraction(charset=source.charset, limits=tuple(limits))


def _priority(text: str) -> int:
    """A sitemap's priority, 0.0 to 1.0 with 0.5 for ordinary pages, as -64 to 63; 0 when there is none."""
    try:
        value = float(text) if text else 0.5
    except ValueError:
        return 0
    return max(-64, min(63, round((value - 0.5) * 127))) if 0.0 <= value <= 1.0 else 0


class _Entry:
    """One ``url`` or ``sitemap`` element."""

    __slots__ = ("alternates", "embeds", "kind", "locs", "modified", "priority")

    def __init__(self, kind: LinkKind, *locs: str) -> None:
        self.kind = kind
        self.locs = list(locs)  #: more than one where somebody forgot to begin the next entry
        self.modified = ""
        self.priority = ""
        self.alternates: list[str] = []
        self.embeds: list[str] = []

    def take(self, field: str, text: str, *, has_embeds: bool) -> None:
        """Take the text of an element."""
        match field:
            case "loc":
                self.locs.append(text)
            case "own":  # what stands in an entry without a `loc` is taken for one
                self.locs = self.locs or [text]
            case "lastmod":
                self.modified = text
            case "priority":
                self.priority = text
            case _:
                if has_embeds and len(self.embeds) < _MAX_EXTENSIONS:
                    self.embeds.append(text)

    def add_to(self, listing: Listing) -> None:
        """Add its links."""
        modified, priority = modified_at(self.modified), _priority(self.priority)
        for href in self.locs:
            listing.add(href, self.kind, modified=modified, priority=priority)
        for href in self.alternates:
            listing.add(href, LinkKind.NAVIGATION)
        for href in self.embeds:
            listing.add(href, LinkKind.EMBED)


def _lines(source: xml.Source) -> Iterator[_Entry]:
    """The lines of a sitemap in text that are URLs."""
    rest = ""
    for chunk in source.chunks():
        *lines, rest = (rest + chunk).replace("\r", "\n").split("\n")
        yield from map(_line, filter(_is_url, lines))
        rest = rest[:_MAX_TEXT]
    if _is_url(rest) and not source.is_cut:
        yield _line(rest)


def _is_url(line: str) -> bool:
    return line.lstrip()[:8].lower().startswith(("http://", "https://"))


def _line(line: str) -> _Entry:
    return _Entry(LinkKind.LISTED, line.strip())


def _entries(source: xml.Source, *, has_embeds: bool) -> Iterator[_Entry]:
    """The entries of a sitemap in XML; one that the document's end cuts off counts as far as it goes."""
    home = ""  #: the root's namespace
    entry: _Entry | None = None
    field, at, text = "", 0, ""  #: the element whose text is gathered, its depth, and that text
    for kind, depth, space, name, content in xml.events(source.chunks()):
        if kind is TEXT:
            if field and len(text) < _MAX_TEXT:
                text += content
        elif kind is START:
            if depth == 1:
                home = space
            elif depth == 2:
                entry = _Entry(_ITEMS[name]) if name in _ITEMS else None
                field, at, text = "own", depth, ""
            elif entry is not None and (found := _field(entry, depth, space if space != home else "", name, content)):
                field, at, text = found, depth, ""
        elif entry is not None:
            if field and depth == at:
                entry.take(field, text.strip(), has_embeds=has_embeds)
                field = ""
            if depth == 2:
                yield entry
                entry = None


def _field(entry: _Entry, depth: int, space: str, name: str, attributes: str) -> str:
    """Which of an entry's fields an element is, empty for none; *space* is empty for the sitemap's own."""
    if not space:
        return name if depth == 3 and name in _OWN else ""
    if name == "link" and space in {_XHTML, "xhtml"}:
        found = xml.attributes(attributes)
        if found.get("rel", "").lower() == "alternate" and (href := found.get("href", "")) and (
                len(entry.alternates) < _MAX_EXTENSIONS):
            entry.alternates.append(href)
        return ""
    extension = next((one for one in _EMBEDS if space == one or f"/sitemap-{one}/" in space), "")
    return "embed" if extension and name in _EMBEDS[extension] else ""
