"""What sitemaps and feeds have in common: entries with a URL, a date and a priority, each a link with its hint."""

from __future__ import annotations

import re
from typing import Final

from spyder.contracts import Extraction, LinkHint
from spyder.extract.html import without_fragment
from spyder.model.limits import MAX_LINKS
from spyder.model.states import LinkKind
from spyder.model.url import Url, parse

#: How a host begins that somebody wrote without a scheme.
_WWW: Final = re.compile(r"www\.[a-z0-9-]+\.", re.IGNORECASE)


class Listing:
    """The links of one sitemap or feed, as they are found."""

    def __init__(self, url: str, *, location: str = "any", robots: str = "") -> None:
        self.links: dict[str, LinkKind] = {}
        self.hints: dict[str, LinkHint] = {}
        self.base = parse(url)
        self._location = location
        self._folder = url[:url.rindex("/", 0, _path_end(url)) + 1]
        self._own = {self.base.host}
        if robots.endswith("/robots.txt"):  # its host named this sitemap, and so vouches for what it says of that host
            self._own.add(parse(robots).host)
        self._names = {host.removeprefix("www.") for host in self._own}

    @property
    def is_full(self) -> bool:
        """True when no further link fits into an outcome."""
        return len(self.links) >= MAX_LINKS

    def add(self, reference: str, kind: LinkKind, *, base: Url | None = None, modified: float = 0.0,
            priority: int = 0) -> bool:
        """Take a link, absolute or relative to *base* (the document itself if not given); False for none.

        What is said of pages of other hosts is left out: it is for them to say.
        """
        if self.is_full:
            return False
        url = self._resolved(reference, base or self.base)
        if url is None or not url.is_fetchable:
            return False
        if kind is LinkKind.LISTED and not self._may_list(url):
            return True
        if self.links.setdefault(url.href, kind) is not kind and kind is not LinkKind.NAVIGATION:
            self.links[url.href] = kind  # what is listed as well counts as that
        if (modified or priority) and url.host.removeprefix("www.") in self._names:
            self.hints.setdefault(url.href, LinkHint(priority=priority, modified=modified))
        return True

    def extraction(self, *, title: str = "", charset: str = "", limits: tuple[str, ...] = ()) -> Extraction:
        """All that was taken."""
        return Extraction(links=self.links, hints=self.hints, title=title, charset=charset, limits=limits)

    def _resolved(self, reference: str, base: Url) -> Url | None:
        reference = without_fragment("".join(reference.split()) if "\n" in reference else reference)
        if not reference:
            return None
        host = reference.split("/", 1)[0].lower()
        if ":" not in host and (_WWW.match(host) or (host == base.hostname and "." in host)):
            reference = f"{base.scheme}://{reference}"
        return base.join(reference)

    def _may_list(self, url: Url) -> bool:
        match self._location:
            case "host":
                return url.host in self._own
            case "path":  # https://www.sitemaps.org/protocol.html#location
                return url.href.startswith(self._folder) or (url.host in self._own and url.host != self.base.host)
            case _:
                return True


def _path_end(href: str) -> int:
    query = href.find("?")
    return len(href) if query < 0 else query
