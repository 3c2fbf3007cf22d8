"""Cases that Spyder answers otherwise on purpose: the reason of each, by the case's id.

``docs/conformance.md`` is written from here. An entry whose case passes fails the tests: take it out.
"""

from __future__ import annotations

from collections.abc import Iterable


def _all(reason: str, ids: str) -> dict[str, str]:
    return dict.fromkeys(ids.split(), reason)


def _merged(parts: Iterable[dict[str, str]]) -> dict[str, str]:
    whole: dict[str, str] = {}
    for part in parts:
        assert not whole.keys() & part.keys(), f"explained twice: {whole.keys() & part.keys()}"
        whole |= part
    return whole


ROBOTS: dict[str, str] = {}

URLS: dict[str, str] = {}

LINKS = {
    **_all("a mere fragment leads to the page itself, which is fetched already", "link-0171 link-0179"),
}

CHARSETS = {
    **_all("`< meta` is text, not a tag, to every browser", "cs-124"),
    **_all("WHATWG has one big5, with the Hong Kong characters in it", "cs-154"),
    **_all("UTF-32 is no encoding of the web: a browser reads its mark as UTF-16's, its label as none",
           "cs-180 cs-181 cs-186"),
    **_all("the label utf-16 means little-endian, whatever the bytes look like", "cs-184"),
}

SITEMAPS: dict[str, str] = {}

HTTP: dict[str, str] = {}

EXPLAINED = _merged((ROBOTS, URLS, LINKS, CHARSETS, SITEMAPS, HTTP))
