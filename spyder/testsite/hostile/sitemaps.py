"""Sitemaps that blow up, loop, or want to read files. Each host's robots.txt names one, and so does a link."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from spyder.testsite.hostile.behaviour import Behaviour, Exchange, Serve, answer, answers, by_path, endless, head

_XMLNS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
_ROBOTS = answers("User-agent: *\nSitemap: {here}/sitemap.xml\n", kind="text/plain")
_GOOD = "{here}/good/3"
_FINE = ("done 200",)


def _urls(*urls: str, before: str = "") -> str:
    return f'<?xml version="1.0"?>{before}<urlset {_XMLNS}>' + "".join(
        f"<url><loc>{url}</loc></url>" for url in urls) + "</urlset>"


def _index(*urls: str) -> str:
    return f'<?xml version="1.0"?><sitemapindex {_XMLNS}>' + "".join(
        f"<sitemap><loc>{url}</loc></sitemap>" for url in urls) + "</sitemapindex>"


def _xml(text: str) -> Serve:
    return answers(text, kind="application/xml")


def _big(make: Callable[[Exchange], bytes], *fields: str, kind: str = "application/xml") -> Serve:
    async def serve(to: Exchange) -> None:
        await to.send(answer(make(to), *fields, kind=kind))
    return serve


def _many(to: Exchange) -> bytes:
    here = to.places["here"]
    good = (f"{here}/good/{number}" for number in (1, 2, 3))
    return _urls(*good, *(f"{here}/item/{number}" for number in range(50_000))).encode()


async def _deeper(to: Exchange) -> None:
    """An index that names another one, for ever."""
    number = to.path.removeprefix("/sitemap").removesuffix(".xml")
    await _xml(_index(f"{{here}}/sitemap{int(number or 0) + 1}.xml"))(to)


async def _item(to: Exchange) -> None:
    await to.send(answer(b"<title>item</title>"))
    to.keep()


def _with_items(sitemap: Serve) -> Serve:
    async def serve(to: Exchange) -> None:
        await (sitemap if to.path.startswith("/sitemap") else _item)(to)
    return serve


def _sitemap(name: str, does: str, serve: Serve, *ends: str, most: int = 40,
             also: tuple[tuple[str, tuple[str, ...]], ...] = ()) -> Behaviour:
    return Behaviour(name=name, group="sitemaps", does=does, robots=_ROBOTS, serve=serve, path="/sitemap.xml",
                     ends=ends or _FINE, also=also, most=most)


def _entities() -> str:
    """The billion laughs: ten levels, each ten times the one below."""
    levels = "".join(f'<!ENTITY l{level} "' + f"&l{level - 1};" * 10 + '">' for level in range(1, 10))
    return f'<!DOCTYPE urlset [<!ENTITY l0 "{"x" * 1000}">{levels}]>'


BEHAVIOURS = (
    _sitemap("sitemap-bomb", "20 MB of URLs in 50 KB of gzip", _big(lambda _: gzip.compress(_urls(
        *["http://127.0.0.1/x"] * 500_000).encode(), mtime=0), kind="application/gzip")),
    _sitemap("sitemap-bomb-coded", "the same as a content coding", _big(lambda _: gzip.compress(_urls(
        *["http://127.0.0.1/x"] * 500_000).encode(), mtime=0), "Content-Encoding: gzip"), "failed body-limit"),
    _sitemap("sitemap-many", "50,000 URLs, good ones first: those beyond the limits are left out", _with_items(_big(_many)),
             most=150),
    _sitemap("sitemap-endless", "URLs without end", _with_items(endless(
        head(kind="application/xml") + f"<urlset {_XMLNS}>".encode(), b"<url><loc>/x</loc></url>" * 500)),
        "failed body-limit"),
    _sitemap("sitemap-loop", "an index that names itself", _xml(_index("{here}/sitemap.xml"))),
    _sitemap("sitemap-loop-two", "two indexes that name each other", by_path({
        "/sitemap.xml": _xml(_index("{here}/sitemap2.xml")), "/sitemap2.xml": _xml(_index("{here}/sitemap.xml"))})),
    _sitemap("sitemap-deep", "an index that names an index, for ever", _deeper),
    _sitemap("sitemap-file", "an entity that reads /etc/passwd (XXE)", _xml(_urls(
        _GOOD, "{here}/&file;", before='<!DOCTYPE urlset [<!ENTITY file SYSTEM "file:///etc/passwd">]>'))),
    _sitemap("sitemap-net", "an entity at an address that is not allowed", _xml(_urls(
        _GOOD, "&net;", before='<!DOCTYPE urlset [<!ENTITY net SYSTEM "{canary}/secret">]>'))),
    _sitemap("sitemap-dtd", "a document type at an address that is not allowed", _xml(_urls(
        _GOOD, before='<!DOCTYPE urlset SYSTEM "{canary}/secret">'))),
    _sitemap("sitemap-laughs", "entities that grow to 10 TB (billion laughs)", _xml(_urls(
        _GOOD, "&l9;", before=_entities()))),
    _sitemap("sitemap-cut", "ends in the middle of an element", _xml(_urls(_GOOD)[:-30])),
    _sitemap("sitemap-html", "an HTML page", answers("<!doctype html><title>Not here</title>")),
    _sitemap("sitemap-noise", "binary noise", _big(lambda _: bytes(range(256)) * 1000)),
    _sitemap("sitemap-odd", "URLs of every kind that is no page, and priorities and dates that are none", _xml(
        _urls(_GOOD, "file:///etc/passwd", "javascript:x", "", " ", "http://[", "x" * 5000).replace(
            "</url>", "<priority>1e999</priority><lastmod>tomorrow</lastmod><changefreq>x</changefreq></url>"))),
    _sitemap("sitemap-inside", "a URL at an address that is not allowed", _xml(_urls(_GOOD, "{canary}/secret")),
             also=(("{canary}/secret", ("excluded address", "excluded robots-unreachable", "absent")),)),
    _sitemap("sitemap-deep-xml", "50,000 nested elements", _xml("<urlset>" + "<url>" * 50_000)),
    _sitemap("sitemap-attributes", "an element with 50,000 attributes", _big(
        lambda _: f"<urlset {' '.join(f'a{number}=' + chr(34) * 2 for number in range(50_000))}>".encode())),
    _sitemap("sitemap-utf-16", "UTF-16 behind a byte order mark", _big(
        lambda to: _urls(to.places["here"] + "/good/3").encode("utf-16"))),
)
