"""What happens to a fetched page: extract, scope, processors, record, outcome. One page in, one outcome out."""

from __future__ import annotations

import hashlib
import logging
from base64 import b32encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from spyder.extract.headers import field
from spyder.extract.registry import Extractors
from spyder.fetch.retry_after import retry_after_seconds
from spyder.model.clock import StageTimes
from spyder.model.limits import MAX_LINK_BYTES, MAX_LINKS, MAX_URL
from spyder.model.records import Failure, Hint, Link, Outcome, Page, PageRecord
from spyder.model.states import ErrorKind, LinkKind
from spyder.model.url import PROJECT_BYTES, UriIdentity
from spyder.nodes import processors
from spyder.nodes.pageview import FetchedPage
from spyder.scope.rules import LinkScope
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
        self._stages = stages
        self._scope = LinkScope(settings.scope)
        self._seen = SeenLinks(settings.extract.seen_links)
        self._extractors = Extractors(settings)
        self._recent: dict[str, int] = {}  #: least depth at which a link was last judged: most links need no more
        self._times = times
        self._on_step = on_step  #: called between processors: there is progress
        self._now = 0.0

    def forget_links(self) -> None:
        """Report all links anew: another frontier listens now."""
        self._seen = SeenLinks(self._extract.seen_links)
        self._recent = {}

    def __call__(self, page: Page, body: bytes, *, now: float) -> Processed:
        """The outcome and the record of *page*; *now* is wall time in seconds. A failure is an outcome, too."""
        self._now = now
        try:
            return self._process(page, body)
        except Exception as error:  # noqa: BLE001  the stage's edge: whatever a page does to us becomes its outcome
            failure = Failure(kind=ErrorKind.EXTRACT, detail=processors.describe(error))
            return self._result(page, body, failure, view=None)

    def _process(self, page: Page, body: bytes) -> Processed:
        view, failure = None, page.failure
        if failure is None:
            view = self._read(page, body)
            self._times.lap("extract")
            if 300 <= page.status < 400 and len(page.uri.redirects) >= self._settings.fetch.max_redirects and any(
                    kind is LinkKind.REDIRECT for kind in view.found.values()):
                failure = Failure(kind=ErrorKind.REDIRECT_LIMIT,
                                  detail=f"more than fetch.max_redirects ({self._settings.fetch.max_redirects})")
                view.drop_links()
            elif self._stages and page.status < 300:
                failure = processors.run(self._stages, view, on_step=self._on_step)
                unwritable = _unwritable(view)  # whatever failed before: the record is written all the same
                failure = failure or unwritable
                self._times.lap("processors")
        return self._result(page, body, failure, view)

    def _read(self, page: Page, body: bytes) -> FetchedPage:
        """What the extractors say of a page."""
        media_type, found = self._extractors(page, body)
        return FetchedPage(page, body, media_type=media_type, extraction=found)

    def _result(self, page: Page, body: bytes, failure: Failure | None, view: FetchedPage | None) -> Processed:
        uri = page.uri
        links, hints = self._in_scope(page, view) if view is not None and view.found else ((), ())
        self._times.lap("scope")
        outcome = Outcome(lease=uri.lease, key=uri.key, status=page.status, failure=failure, elapsed=page.elapsed,
                          retry_after=self._retry_after(page), size=len(body), links=links, attempt=uri.attempt,
                          hints=hints)
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
        depth, key_of = page.uri.depth, self._identity.key
        admits, is_new, recent = self._scope.admits, self._seen.is_new, self._recent
        told = view.hints
        links: list[Link] = []
        hints: list[Hint] = []
        for href, kind in view.found.items():
            its_depth = depth if kind is LinkKind.REDIRECT else depth + 1
            if kind is not LinkKind.REDIRECT and recent.get(href, _NEVER) <= its_depth and href not in told:
                continue
            recent[href] = its_depth
            if not admits(href, its_depth) and not (
                    kind is LinkKind.REDIRECT and page.uri.is_seed and len(href) <= MAX_URL):
                continue
            key = key_of(project, href)
            if is_new(key, its_depth) or href in told:
                if (hint := told.get(href)) is not None:
                    hints.append(Hint(index=len(links), priority=hint.priority, modified=hint.modified))
                links.append(Link(url=href, key=key, kind=kind))
        if len(recent) > _RECENT:
            self._recent = {}
        if len(links) > _MANY:
            links = _that_fit(links, page.uri.url)
        return tuple(links), tuple(hint for hint in hints if hint.index < len(links)) if hints else ()

    def _retry_after(self, page: Page) -> float:
        if page.status not in {429, 503}:
            return 0.0
        return retry_after_seconds(field(page.headers, "retry-after"), self._now)

    def _record(self, page: Page, body: bytes, failure: Failure | None, view: FetchedPage | None) -> PageRecord:
        uri = page.uri
        final = uri.url
        if view is not None and 300 <= page.status < 400:
            final = next((href for href, kind in view.found.items() if kind is LinkKind.REDIRECT), final)
        return PageRecord(
            url=uri.url, final_url=final, fetched_at=_rfc3339(page.started_at), depth=uri.depth, status=page.status,
            error=failure.kind.value if failure else "", error_detail=failure.detail if failure else "",
            attempt=uri.attempt, redirects=uri.redirects, referrer=uri.referrer,
            elapsed_ms=round(page.elapsed * 1000, 2), first_byte_ms=round(page.first_byte * 1000, 2), ip=page.ip,
            http_version=page.http_version, content_type=view.content_type if view else "",
            charset=view.charset if view else "", wire_size=page.wire_size, size=len(body),
            digest=_digest(body) if body else "", title=view.title if view else "",
            links=len(view.found) if view else 0, data=dict(view.data) if view else {},
            limits=view.limits if view else (), marks=view.marks if view else (),
            media_type=view.media_type if view and view.media_type != view.content_type else "")


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
