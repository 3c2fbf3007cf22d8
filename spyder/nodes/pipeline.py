"""What happens to a fetched page: extract, scope, processors, record, outcome. One page in, one outcome out."""

from __future__ import annotations

import hashlib
import logging
from base64 import b32encode
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from spyder.extract.headers import field, header_links
from spyder.extract.nearduplicate import NearPages
from spyder.extract.registry import Extractors
from spyder.extract.robotsmarks import NOFOLLOW, header_directives
from spyder.extract.robotstxt import parse_robots
from spyder.fetch.conditional import validators_of
from spyder.fetch.filters import SHOWN
from spyder.fetch.identity import robots_agent
from spyder.fetch.parts import without_userinfo
from spyder.fetch.retry_after import retry_after_seconds
from spyder.model.clock import StageTimes
from spyder.model.limits import MAX_LINK_BYTES, MAX_LINKS, MAX_URL
from spyder.model.records import Failure, Hint, Link, Outcome, Page, PageRecord, RobotsRules
from spyder.model.robots import RobotsVerdict, robots_verdict
from spyder.model.scoping import embeds_after
from spyder.model.states import ErrorKind, LinkKind, Purpose
from spyder.model.url import PROJECT_BYTES, UriIdentity, host_of
from spyder.nodes import processors
from spyder.nodes.pageview import FetchedPage
from spyder.scope.rules import LinkScope, Rules
from spyder.settings import Settings

_log = logging.getLogger(__name__)

#: Links whose last judgement is remembered.
_RECENT = 50_000
#: Links that fit into a message, however long they are.
_MANY = MAX_LINK_BYTES // MAX_URL
#: Greater than any depth.
_NEVER = 1 << 62


class Processed(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a page."""

    outcome: Outcome
    record: PageRecord | None  #: None when the URI will be tried again


class SeenLinks:
    """Links that were reported before, exactly and bounded: two generations, the older one is dropped whole.

    A link found again on a shorter way is reported again, so that the frontier learns its least depth.
    """

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}

    def is_new(self, key: bytes, depth: int) -> bool:
        """True when *key* was not reported at *depth* or less; it counts as reported from now on."""
        known = self._young.get(key)
        if known is None:
            known = self._old.get(key)
        if known is not None and known <= depth:
            return False
        self._young[key] = depth
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        return True


class Pipeline:
    """The extractor's work on one page; everything it needs comes from the settings and two policies."""

    def __init__(self, settings: Settings, *, identity: UriIdentity, stages: Sequence[processors.Stage],
                 times: StageTimes, on_step: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._extract = settings.extract
        self._retry = settings.retry
        self._identity = identity
        self._agent = robots_agent(settings)
        self._stages = stages
        self._scope = LinkScope(settings.scope, settings.traps)
        self._left_out: Counter[str] = Counter()  #: links of the page that rules keep out, by rule
        self._seen = SeenLinks(settings.extract.seen_links)
        self._extractors = Extractors(settings)
        traps = settings.traps
        self._near = None if traps.near_duplicates == "off" else NearPages(
            bits=traps.near_distance, min_text=traps.near_min_text, all_pages=traps.near_pages == "all")
        self._recent: dict[str, int] = {}  #: least depth at which a link was last judged: most links need no more
        self._times = times
        self._on_step = on_step  #: called between processors: there is progress
        self._now = 0.0

    def forget_links(self) -> None:
        """Report all links anew: another frontier listens now."""
        self._seen = SeenLinks(self._extract.seen_links)
        self._recent = {}

    def use_rules(self, rules: Rules | None) -> None:
        """Judge links by *rules* from now on, None: by those of the settings; and report all links anew.

        Raises :class:`spyder.errors.SettingsError` for rules that can't be compiled.
        """
        self._scope = LinkScope(self._settings.scope, self._settings.traps, rules=rules)
        self.forget_links()

    def __call__(self, page: Page, body: bytes, *, now: float) -> Processed:
        """The outcome and the record of *page*; *now* is wall time in seconds. A failure is an outcome, too."""
        self._now = now
        if page.uri.purpose is not Purpose.PAGE:
            return self._prerequisite(page, body)
        self._scope.tell_time(now)
        self._left_out = Counter()
        try:
            return self._process(page, body)
        except Exception as error:  # noqa: BLE001  the stage's edge: whatever a page does to us becomes its outcome
            failure = Failure(kind=ErrorKind.EXTRACT, detail=processors.describe(error))
            return self._result(page, body, failure, view=None)

    def _prerequisite(self, page: Page, body: bytes) -> Processed:
        """What a host must tell before its pages are fetched: an outcome, and no record."""
        uri, failure = page.uri, page.failure
        robots: RobotsRules | None = None
        links: tuple[Link, ...] = ()
        if uri.purpose is Purpose.ROBOTS:
            try:
                robots, links = self._robots(page, body)
            except Exception as error:  # noqa: BLE001  the stage's edge, as above
                failure = Failure(kind=ErrorKind.EXTRACT, detail=processors.describe(error))
            if robots is not None:
                failure = None
        outcome = Outcome(lease=uri.lease, key=uri.key, status=page.status, failure=failure, elapsed=page.elapsed,
                          retry_after=self._retry_after(page), size=len(body), links=links, attempt=uri.attempt,
                          ip=page.ip, address_ttl=page.address_ttl, robots=robots)
        self._times.lap("robots")
        return Processed(outcome=outcome, record=None)

    def _robots(self, page: Page, body: bytes) -> tuple[RobotsRules | None, tuple[Link, ...]]:
        """The rules of a robots.txt, or where it is. One that is too large is read as far as it was fetched."""
        settings, url = self._settings.robots, page.uri.url
        is_cut = page.failure is not None and page.failure.kind is ErrorKind.BODY_LIMIT and bool(body)
        if page.failure is not None and not is_cut:
            return None, ()
        match robots_verdict(page.status):
            case RobotsVerdict.PARSE:
                return parse_robots(body, self._agent, max_size=settings.max_size,
                                    max_crawl_delay=settings.max_crawl_delay, url=url), ()
            case RobotsVerdict.REDIRECT:
                project = int.from_bytes(page.uri.key[:PROJECT_BYTES], "big")
                found = header_links(page.headers, url=url, status=page.status)
                return None, tuple(Link(url=href, key=self._identity.key(project, href), kind=kind)
                                   for href, kind in found.items()
                                   if kind is LinkKind.REDIRECT and len(href) <= MAX_URL)
            case _:
                return None, ()

    def _process(self, page: Page, body: bytes) -> Processed:
        view, failure = None, page.failure
        if failure is None:
            view = self._read(page, body)
            self._heed(page, view)
            self._times.lap("extract")
            if 300 <= page.status < 400 and len(page.uri.redirects) >= self._settings.fetch.max_redirects and any(
                    kind is LinkKind.REDIRECT for kind in view.found.values()):
                failure = Failure(kind=ErrorKind.REDIRECT_LIMIT,
                                  detail=f"more than fetch.max_redirects ({self._settings.fetch.max_redirects})")
                view.drop_links()
            elif refused := self._refused_type(page, view):
                failure, body = refused, b""
                view.drop_links()
            elif self._stages and page.status < 300:
                failure = processors.run(self._stages, view, on_step=self._on_step)
                unwritable = _unwritable(view)  # whatever failed before: the record is written all the same
                failure = failure or unwritable
                self._times.lap("processors")
        return self._result(page, body, failure, view)

    def _refused_type(self, page: Page, view: FetchedPage) -> Failure | None:
        """Why the media type of a page keeps it out of the crawl; None when it does not, and for seeds."""
        if page.status >= 300 or page.uri.is_seed:
            return None
        rule = self._scope.refused_type(view.media_type, page.uri.url, page.uri.depth, page.uri.embeds)
        return Failure(kind=ErrorKind.CONTENT_TYPE, detail=f"rule `{rule}` of scope.rules rejects "
                       f"{view.media_type[:SHOWN] or 'a page without a media type'}") if rule else None

    def _read(self, page: Page, body: bytes) -> FetchedPage:
        """What the extractors say of a page."""
        media_type, found = self._extractors(page, body)
        view = FetchedPage(page, body, media_type=media_type, extraction=found)
        if self._near is not None and found.text is not None:
            url = page.uri.url
            view.near = self._near.look(url, host=host_of(url), title=found.title, size=len(body),
                                        links=len(found.links), text=found.text)
        return view

    def _heed(self, page: Page, view: FetchedPage) -> None:
        """Add the header's marks to those of meta elements; where either says nofollow, keep redirects alone."""
        settings, marks = self._settings.robots, header_directives(page.headers, self._agent)
        if (settings.header and NOFOLLOW in marks) or (settings.meta and NOFOLLOW in view.marks):
            view.found = {href: kind for href, kind in view.found.items() if kind is LinkKind.REDIRECT}
        if marks:
            view.marks = tuple(sorted(marks.union(view.marks)))

    def _result(self, page: Page, body: bytes, failure: Failure | None, view: FetchedPage | None) -> Processed:
        uri = page.uri
        links, hints = self._in_scope(page, view) if view is not None and view.found else ((), ())
        self._times.lap("scope")
        outcome = Outcome(lease=uri.lease, key=uri.key, status=page.status, failure=failure, elapsed=page.elapsed,
                          retry_after=self._retry_after(page), size=len(body), links=links, attempt=uri.attempt,
                          ip=page.ip,
                          validators=_validators(page) if self._settings.fetch.conditional else "",
                          hints=hints,
                          is_repeat=view is not None and view.near is not None and bool(view.near.of)
                          and self._settings.traps.near_duplicates == "damp",
                          left_out=dict(self._left_out))
        if failure is not None and uri.attempt < self._retry.retries(failure.kind):
            return Processed(outcome=outcome, record=None)
        record = self._record(page, body, failure, view)
        self._times.lap("record")
        return Processed(outcome=outcome, record=record)

    def _in_scope(self, page: Page, view: FetchedPage) -> tuple[tuple[Link, ...], tuple[Hint, ...]]:
        """The links that are new here and that the worker can't rule out; the master decides on other hosts.

        Links of which a sitemap or a feed says something are never old: it may be that they have changed.
        """
        project = int.from_bytes(page.uri.key[:PROJECT_BYTES], "big")
        depth, deeper, key_of = page.uri.depth, page.uri.depth + 1, self._identity.key
        scope, is_new, recent = self._scope, self._seen.is_new, self._recent
        admits, refusal, told = scope.admits, scope.refusal, view.hints
        # an embedded link may be in scope where another one to the same URL is not: then it is looked at by itself
        apart = LinkKind.EMBED if scope.judges_embeds else None
        links: list[Link] = []
        hints: list[Hint] = []
        for href, kind in view.found.items():
            is_redirect = kind is LinkKind.REDIRECT
            its_depth = depth if is_redirect else deeper
            name = f"{href} " if kind is apart else href
            if not is_redirect and recent.get(name, _NEVER) <= its_depth and href not in told:
                continue
            recent[name] = its_depth
            if is_redirect and page.uri.is_seed and len(href) <= MAX_URL:  # where a seed leads is in scope
                key = key_of(project, href)
                if is_new(key, its_depth):
                    links.append(Link(url=href, key=key, kind=kind))
                continue
            if not admits(href, its_depth):
                self._left_out[scope.judge(href, its_depth).rule] += 1
                continue
            key = key_of(project, href)
            if not is_new(key + b"e" if kind is apart else key, its_depth) and href not in told:
                continue
            rule = refusal(href, its_depth, embeds_after(kind, page.uri.embeds))
            if rule:
                self._left_out[rule] += 1
            else:
                if (hint := told.get(href)) is not None:
                    hints.append(Hint(index=len(links), priority=hint.priority, modified=hint.modified))
                links.append(Link(url=href, key=key, kind=kind))
        if len(recent) > _RECENT:
            self._recent = {}
        if len(links) > _MANY:
            links = _that_fit(links, _shown(page.uri.url))
        return tuple(links), tuple(hint for hint in hints if hint.index < len(links)) if hints else ()

    def _retry_after(self, page: Page) -> float:
        if page.status not in {429, 503}:
            return 0.0
        return retry_after_seconds(field(page.headers, "retry-after"), self._now)

    def _record(self, page: Page, body: bytes, failure: Failure | None, view: FetchedPage | None) -> PageRecord:
        uri, near = page.uri, view.near if view else None
        final = uri.url
        if view is not None and 300 <= page.status < 400:
            final = next((href for href, kind in view.found.items() if kind is LinkKind.REDIRECT), final)
        return PageRecord(
            url=_shown(uri.url), final_url=_shown(final), fetched_at=_rfc3339(page.started_at), depth=uri.depth,
            status=page.status,
            error=failure.kind.value if failure else "", error_detail=failure.detail if failure else "",
            attempt=uri.attempt, redirects=tuple(map(_shown, uri.redirects)), referrer=_shown(uri.referrer),
            elapsed_ms=round(page.elapsed * 1000, 2), first_byte_ms=round(page.first_byte * 1000, 2), ip=page.ip,
            http_version=page.http_version, content_type=view.content_type if view else "",
            charset=view.charset if view else "", wire_size=page.wire_size, size=len(body),
            digest=_digest(body) if body else "", title=view.title if view else "",
            links=len(view.found) if view else 0, data=dict(view.data) if view else {},
            limits=(*page.limits, *view.limits) if view else page.limits, marks=view.marks if view else (),
            near_duplicate_of=near.of if near else "", fingerprint=f"{near.fingerprint:016x}" if near else "",
            media_type=view.media_type if view and view.media_type != view.content_type else "")


def _shown(url: str) -> str:
    """*url* as records show it: without a user's name and password."""
    return without_userinfo(url) if "@" in url else url


def _validators(page: Page) -> str:
    """What the next fetch of *page* asks with; an answer 304 may leave out what it said before (RFC 9110, 15.4.5)."""
    match page.status:
        case 200 if page.failure is None:
            return validators_of(page.headers)
        case 304:
            return validators_of(page.headers) or page.uri.validators
        case _:
            return ""


def _that_fit(links: list[Link], url: str) -> list[Link]:
    """As many of a page's links as one message can carry; a processor may follow any number."""
    size, count = 0, 0
    for link in links[:MAX_LINKS]:
        size += len(link.url)
        if size > MAX_LINK_BYTES:
            break
        count += 1
    if count < len(links):
        _log.warning("%s has %d links: the first %d are followed", url, len(links), count)
    return links[:count]


def _unwritable(view: FetchedPage) -> Failure | None:
    """Why what processors put into ``page.data`` can't become JSON; it is left out then."""
    try:
        if view.data != {}:
            msgspec.json.encode(dict(view.data))
    except Exception as error:  # noqa: BLE001  the values, and what encodes them, are users' code
        view.data = {}
        return Failure(kind=ErrorKind.PROCESSOR,
                       detail=f"page.data can't be written as JSON: {processors.describe(error)}")
    return None


def _digest(body: bytes) -> str:
    """SHA-1 in base 32, as WARC writes payload digests (ISO 28500:2017, section 5.8)."""
    return "sha1:" + b32encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()


def _rfc3339(at: float) -> str:
    """A wall time as RFC 3339 writes it, in UTC, to the millisecond."""
    milliseconds = int(at * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=16)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().partition("+")[0]
