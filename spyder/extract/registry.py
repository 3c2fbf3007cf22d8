"""Which extractors read a response: the settings' list, in order, chosen by what the body is."""

from __future__ import annotations

import logging
from collections.abc import Collection

import msgspec

from spyder import plugins
from spyder.bounds import TimeIsUpError, time_limit
from spyder.contracts import Extraction, Extractor, Response
from spyder.errors import PluginError
from spyder.extract.headers import content_type_of, field
from spyder.extract.sniff import sniff
from spyder.model.records import Page
from spyder.settings import Settings

_log = logging.getLogger(__name__)

#: Media types for which the choice is remembered: servers may send any number of them.
_REMEMBERED = 1000


class _Entry(msgspec.Struct, frozen=True):
    name: str
    read: Extractor
    media_types: Collection[str] | None  #: None: it is asked for every response
    timeout: float  #: seconds, 0 for none


class Extractors:
    """The extractors of the settings. Raises :class:`PluginError` naming the one that can't be found or built."""

    def __init__(self, settings: Settings) -> None:
        self._entries = [_built(name, settings) for name in settings.extract.extractors]
        self._for_all = tuple(entry for entry in self._entries if entry.media_types is None)
        self._by_type: dict[str, tuple[_Entry, ...]] = {}

    def __call__(self, page: Page, body: bytes) -> tuple[str, Extraction]:
        """The media type of *body* by its content, empty when there is nothing to look at, and what *page* says.

        Raises what an extractor raises.
        """
        headers, uri = page.headers, page.uri
        content_type, media_type, entries = field(headers, "content-type"), "", self._for_all
        if body and page.status < 300:
            media_type = sniff(body, content_type, headers)
            entries = self._by_type.get(media_type) or self._choose(media_type)
        response = Response(url=uri.url, status=page.status, headers=headers, content_type=content_type,
                            media_type=media_type, body=body, referrer=uri.referrer, nesting=uri.embeds)
        found: Extraction | None = None
        for entry in entries:
            one = entry.read(response) if not entry.timeout else _in_time(entry, response)
            if one is not None:
                found = one if found is None else _merged(found, one)
        return media_type or content_type_of(headers), found or Extraction()

    def _choose(self, media_type: str) -> tuple[_Entry, ...]:
        chosen = tuple(one for one in self._entries if one.media_types is None or media_type in one.media_types)
        if len(self._by_type) < _REMEMBERED:
            self._by_type[media_type] = chosen
        return chosen


def _built(name: str, settings: Settings) -> _Entry:
    part = plugins.find("extractor", name)
    if isinstance(part, type):
        try:
            part = part(settings)
        except PluginError:
            raise
        except Exception as error:  # a user's constructor may raise anything
            raise PluginError(f"extractor `{name}` can't be built with the settings: "
                              f"{type(error).__name__}: {error}") from error
    if not callable(part):
        raise PluginError(f"extractor `{name}` can't be called: an extractor is a function, or a class with `__call__`")
    # the parser of HTML is C code, which no alarm ends, and quick; styles in pages are read by Python
    is_quick = name == "headers" or (name == "html" and "css" not in settings.extract.extractors)
    timeout = 0.0 if is_quick else settings.extract.max_parse_time
    return _Entry(name, part, getattr(part, "media_types", None), timeout)


def _in_time(entry: _Entry, response: Response) -> Extraction | None:
    try:
        with time_limit(entry.timeout, of_cpu=True):
            return entry.read(response)
    except TimeIsUpError:
        _log.warning("extractor %s took more than extract.max_parse_time (%g s) on %s", entry.name, entry.timeout,
                     response.url)
        return Extraction(limits=("extract.max_parse_time",))


def _merged(first: Extraction, other: Extraction) -> Extraction:
    """What two extractors found; the first one's word counts."""
    for url, kind in other.links.items():
        first.links.setdefault(url, kind)
    for url, hint in other.hints.items():
        first.hints.setdefault(url, hint)
    first.title = first.title or other.title
    first.charset = first.charset or other.charset
    first.text = first.text or other.text
    first.limits = tuple(dict.fromkeys((*first.limits, *other.limits)))
    first.marks = tuple(dict.fromkeys((*first.marks, *other.marks)))
    return first
