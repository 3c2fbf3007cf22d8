"""A fetched page as processors see it: what costs something is made when it is first asked for."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import cached_property
from typing import Any

from spyder.contracts import Extraction
from spyder.extract.charset import decode, sniff
from spyder.extract.headers import content_type_of
from spyder.extract.nearduplicate import Near
from spyder.model.records import Page
from spyder.model.states import LinkKind
from spyder.model.url import parse


class FetchedPage:
    """The view that the contract :class:`spyder.contracts.PageView` describes."""

    def __init__(self, page: Page, body: bytes, *, media_type: str, extraction: Extraction) -> None:
        self._page = page
        self.body = body
        self.content_type = content_type_of(page.headers)
        self.media_type = media_type
        self.charset = extraction.charset
        self.title = extraction.title
        self.found = extraction.links  #: what the pipeline follows after the processors
        self.hints = extraction.hints  #: about some of them
        self.limits = extraction.limits
        self.marks = extraction.marks
        self.near: Near | None = None  #: the page that it nearly repeats, when it was looked for one
        self.data: MutableMapping[str, Any] = {}

    @property
    def url(self) -> str:
        """The URL that was fetched."""
        return self._page.uri.url

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._page.status

    @property
    def depth(self) -> int:
        """Links from a seed."""
        return self._page.uri.depth

    @cached_property
    def headers(self) -> dict[str, str]:
        """Response header fields by lower-case name."""
        fields: dict[str, str] = {}
        for name, value in self._page.headers:
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        return fields

    @cached_property
    def text(self) -> str:
        """The body decoded to text."""
        return decode(self.body, self.charset or sniff(self.body, self.headers.get("content-type", "")))

    @cached_property
    def tree(self) -> Any:
        """The page as an ``lxml.html`` element."""
        from lxml import etree, html  # costs 40 ms at start, and not every crawl asks

        parser = html.HTMLParser(encoding="utf-8")  # lxml refuses a text that declares an encoding, so it gets bytes
        try:
            return html.document_fromstring(self.text.encode(), parser=parser)
        except etree.ParserError:  # no element in it
            return html.document_fromstring("<html></html>")

    @property
    def links(self) -> list[str]:
        """The absolute URLs found on the page."""
        return list(self.found)

    def follow(self, url: str, *, kind: LinkKind = LinkKind.MANUAL) -> None:
        """Add a link, absolute or relative to the page; what is no http(s) URL is left out.

        Raises :class:`ValueError` when there is no such *kind*.
        """
        target = parse(self.url).join(url)
        kind = LinkKind(kind)  # the master would refuse any other
        if target is not None and target.is_fetchable:
            self.found.setdefault(target.href, kind)

    def drop_links(self) -> None:
        """Follow nothing from this page."""
        self.found.clear()
