"""Spyder as the conformance runner sees it: plain functions over the public parts."""

from __future__ import annotations

from spyder.errors import UrlError
from spyder.extract import charset, html
from spyder.extract.embeds import srcset_candidates
from spyder.extract.registry import Extractors
from spyder.extract.robotstxt import parse_robots
from spyder.model.records import CrawlUri, Page, RobotsRules
from spyder.model.robots import RobotsMatcher, RobotsVerdict, product_token, robots_verdict
from spyder.model.states import LinkKind
from spyder.model.url import parse
from spyder.scope.canonical import STANDARD
from spyder.settings import from_tree

_LIMIT = 100_000
_MAX_PARSE_SIZE = 1 << 24


def robots_allowed(robots: bytes, agent: str, url: str) -> bool:
    """Whether *robots* allows *agent* to fetch *url*."""
    parsed = parse(resolve("http://example.com/", url) or "")
    return RobotsMatcher(_rules(robots, agent)).allows(parsed.pathname + parsed.search)


def robots_extract(robots: bytes, agent: str | None, kind: str, robots_url: str) -> float | list[str] | None:
    """The ``crawl_delay`` (None: none) or the ``sitemaps`` of *robots*."""
    rules = _rules(robots, agent or "*", robots_url)
    return list(rules.sitemaps) if kind == "sitemaps" else rules.crawl_delay or None


def robots_status(status: int) -> str:
    """What an answer with *status* to /robots.txt means; a redirect counts when no further one is followed."""
    match robots_verdict(status):
        case RobotsVerdict.HOLD | RobotsVerdict.REDIRECT:
            return "disallow_all_defer"
        case RobotsVerdict.ALLOW:
            return "allow_all"
        case RobotsVerdict.PARSE:
            return "parse"


def _rules(robots: bytes, agent: str, url: str = "") -> RobotsRules:
    return parse_robots(robots, product_token(agent), max_size=1 << 19, max_crawl_delay=1e9, url=url)


def resolve(base: str | None, href: str) -> str | None:
    """The absolute URL without its fragment; None when it is no URL."""
    try:
        if base is None:
            return parse(href).href
        url = parse(base).join(href)
    except UrlError:
        return None
    return url.href if url is not None else None


def dedup_key(url: str) -> str | None:
    """Equal keys: the same page. None when *url* is no URL."""
    href = resolve(None, url)
    return None if href is None else STANDARD(href)


def links(body: bytes, content_type: str, base_url: str) -> list[str]:
    """The navigation links of a page."""
    return list(html.read_html(body, url=parse(base_url).href, content_type=content_type or "", limit=_LIMIT,
                               max_parse_size=_MAX_PARSE_SIZE).links)


def all_links(body: bytes, content_type: str, base_url: str) -> list[str]:
    """Its links, and what it embeds."""
    return list(html.read_html(body, url=parse(base_url).href, content_type=content_type or "", limit=_LIMIT,
                               max_parse_size=_MAX_PARSE_SIZE, wanted=html.Wanted(embeds=True)).links)


def decode(content_type: str | None, body: bytes) -> tuple[str, str]:
    """Name of the encoding, and the text."""
    encoding = charset.sniff(body, content_type or "")
    return encoding, charset.decode(body, encoding)


def header_charset(content_type: str | None) -> str | None:
    """The encoding that the header names; the cases call WHATWG's big5 as Python calls the codec that has its table."""
    name = charset.header_charset(content_type or "")
    return "big5hkscs" if name == "big5" else name


def meta_refresh(content: str) -> tuple[float, str] | None:
    """Seconds and URL."""
    return html.meta_refresh(content)


def sitemap(body: bytes, content_type: str | None, url: str, location: str = "any") -> list[str]:
    """The pages and sitemaps that a sitemap or feed lists; *location* as `extract.sitemap_location`."""
    settings = from_tree({"extract": {"sitemap_location": location}})
    page = Page(uri=CrawlUri(lease=0, key=bytes(18), url=parse(url).href), status=200,
                headers=(("content-type", content_type or ""),))
    _, found = Extractors(settings)(page, body)
    return [href for href, kind in found.links.items() if kind in {LinkKind.LISTED, LinkKind.SITEMAP}]


def base_url(body: bytes, encoding: str, url: str) -> str:
    """The base URL of a page in *encoding*."""
    return _read(body, encoding, url).base


def page_refresh(body: bytes, encoding: str, url: str) -> str | None:
    """Where a page leads by itself."""
    links = _read(body, encoding, url).links.items()
    return next((href for href, kind in links if kind is LinkKind.REFRESH), None)


def _read(body: bytes, encoding: str, url: str) -> html.HtmlLinks:
    return html.read_html(body, url=parse(url).href, limit=_LIMIT,
                          content_type=f"text/html; charset={encoding}", max_parse_size=_MAX_PARSE_SIZE)


def srcset(text: str) -> list[str]:
    """The URLs in it that browsers choose from."""
    return [candidate.url for candidate in srcset_candidates(text) if candidate.is_valid]
