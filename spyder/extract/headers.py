"""Links that stand in a response's header fields: Location, Link, Refresh and Content-Location."""

from __future__ import annotations

import re
from typing import Final

from spyder.extract.embeds import RESOURCES, SERVICES
from spyder.extract.html import meta_refresh, without_fragment
from spyder.model.records import Headers
from spyder.model.states import LinkKind
from spyder.model.url import resolve_all

#: Statuses whose Location is another place of the same thing (RFC 9110, section 15.4); 304 to 306 have none.
REDIRECTS: Final = frozenset({300, 301, 302, 303, 307, 308})

#: Relations that lead to a part of the page or to a service, not to a page.
NO_PAGES: Final = RESOURCES | SERVICES

_TARGET: Final = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER: Final = re.compile(r"""\s*;\s*([^\s=;,"]*)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;,]*)))?""", re.DOTALL)


def content_type_of(headers: Headers) -> str:
    """The media type in lower case and without parameters, empty when there is none; of several the first."""
    return field(headers, "content-type").partition(";")[0].partition(",")[0].strip().lower()


def field(headers: Headers, name: str) -> str:
    """The value of the first field called *name* (in lower case), empty when there is none."""
    return next((value for key, value in headers if key == name), "")


def header_links(headers: Headers, *, url: str, status: int) -> dict[str, LinkKind]:
    """The distinct http(s) URLs that the header fields of *url*'s response lead to, absolute and without fragments.

    Location counts with the statuses of :data:`REDIRECTS` only, Refresh by :func:`spyder.extract.html.meta_refresh`,
    Link (RFC 8288) unless all its relations are :data:`NO_PAGES`. Of several Location or Refresh fields the first
    counts. A Refresh or Content-Location (RFC 9110, section 8.7) of the page itself is no link.
    """
    links: dict[str, LinkKind] = {}
    if status in REDIRECTS and (location := field(headers, "location")):
        _add(links, url, location, LinkKind.REDIRECT)
    refresh, targets = "", []
    for name, value in headers:
        if name == "link":
            targets += link_targets(value)
        elif name == "refresh":
            refresh = refresh or value
        elif name == "content-location":
            _add(links, url, value, LinkKind.NAVIGATION, without=url)
    if refresh and (found := meta_refresh(_utf_8(refresh))) is not None and found[1]:
        _add(links, url, found[1], LinkKind.REFRESH)
    for target in targets:
        _add(links, url, target, LinkKind.NAVIGATION)
    return links


def link_targets(value: str) -> list[str]:
    """The targets of a Link field that lead to pages, as written; reading stops where the syntax breaks.

    RFC 8288, section 3 and appendix B.2. A link without a relation counts: nothing says that it is no page.
    """
    targets: list[str] = []
    at = 0
    while (target := _TARGET.match(value, at)) is not None:
        at = target.end()
        relations: list[str] | None = None
        while (parameter := _PARAMETER.match(value, at)) is not None:
            at = parameter.end()
            if relations is None and parameter[1].lower() == "rel":
                relations = (parameter[2] or parameter[3] or "").lower().split()
        if not relations or not NO_PAGES.issuperset(relations):
            targets.append(target[1])
    return targets


def _add(links: dict[str, LinkKind], url: str, reference: str, kind: LinkKind, *, without: str = "") -> None:
    for href in resolve_all(url, (without_fragment(_utf_8(reference)),), 1):
        if href != without:
            links.setdefault(href, kind)


def _utf_8(value: str) -> str:
    """Field values are bytes read as Latin-1; those that are UTF-8, as browsers take a Location to be, become so."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
