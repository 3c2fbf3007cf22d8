"""For tests of what is built on Spyder: a clock that stands still, pages without a network, sites on loopback."""

from __future__ import annotations

from collections.abc import Mapping

from spyder.contracts import PageView
from spyder.extract.registry import Extractors
from spyder.model.records import CrawlUri, Page
from spyder.model.url import parse
from spyder.nodes.pageview import FetchedPage
from spyder.settings import Settings
from spyder.testsite.hostile.site import HostileSite
from spyder.testsite.hostile.verdict import Ending
from spyder.testsite.hostweb.verdict import WebRules
from spyder.testsite.hostweb.web import HostWeb
from spyder.testsite.site import LocalSite

__all__ = ["Ending", "HostWeb", "HostileSite", "LocalSite", "ManualClock", "WebRules", "make_page"]


class ManualClock:
    """A :class:`spyder.model.clock.Clock` that a test turns: it stands still until :meth:`advance`."""

    def __init__(self, *, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._elapsed = 0.0

    def now(self) -> float:
        """Wall time, seconds since 1970 (UTC)."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that this clock was turned on by, since it was made."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Turn both views of time on by *seconds*, 0 or more."""
        if seconds < 0:
            raise ValueError(f"time doesn't go back: {seconds}")
        self._now += seconds
        self._elapsed += seconds


def make_page(url: str, html: str | bytes = "", *, status: int = 200, depth: int = 0,
              content_type: str = "text/html; charset=utf-8", headers: Mapping[str, str] | None = None) -> PageView:
    """The page that a processor would get if *url* answered with *html*, read as a worker reads it.

    Text is sent as UTF-8; give bytes and a *content_type* to test another encoding. *headers* are further response
    header fields. Raises :class:`spyder.errors.UrlError` when *url* is no URL.
    """
    href = parse(url).href
    body = html.encode() if isinstance(html, str) else html
    fields = (("content-type", content_type), *((name.lower(), value) for name, value in (headers or {}).items()))
    page = Page(uri=CrawlUri(lease=0, key=b"", url=href, depth=depth), status=status, headers=fields)
    media_type, found = Extractors(Settings())(page, body)
    return FetchedPage(page, body, media_type=media_type, extraction=found)
