"""Which answers are wanted, decided by their head alone, so that the body of others is never read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from spyder.model.glob import Globs
from spyder.model.records import Failure, Headers
from spyder.model.states import ErrorKind
from spyder.settings import FetchSection

_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, section 8.3.1, lower case
#: Characters of a media type that are looked at: no registered name is longer (RFC 6838, section 4.2).
_MAX_TYPE: Final = 2 * 127 + 1
SHOWN: Final = 100  #: characters of what a server says of a body that a failure tells


class ContentFilter:
    """Media types and languages that are wanted, by ``fetch.content_types`` and its neighbours."""

    def __init__(self, settings: FetchSection) -> None:
        self._wanted = _globs(settings.content_types)
        self._unwanted = _globs(settings.exclude_content_types)
        self._languages = tuple(language.strip().lower() for language in settings.languages)

    @property
    def is_open(self) -> bool:
        """True when it lets everything through."""
        return self._wanted is None and self._unwanted is None and not self._languages

    def judge(self, status: int, headers: Headers) -> Failure | None:
        """Why an answer with this head is not wanted; None when it is.

        Only answers with 2xx are judged. One that doesn't say what it is, or says it in a way that means nothing,
        passes.
        """
        if not 200 <= status < 300:
            return None
        return self._judge_type(headers) or self._judge_language(headers)

    def _judge_type(self, headers: Headers) -> Failure | None:
        values = [value for name, value in headers if name == "content-type"]
        media_type = values[-1].partition(";")[0].strip()[:_MAX_TYPE].lower() if values else ""
        if not _MEDIA_TYPE.fullmatch(media_type):
            return None
        if self._unwanted is not None and self._unwanted.match(media_type):
            return Failure(kind=ErrorKind.CONTENT_TYPE, detail=f"{media_type[:SHOWN]} (fetch.exclude_content_types)")
        if self._wanted is not None and not self._wanted.match(media_type):
            return Failure(kind=ErrorKind.CONTENT_TYPE, detail=f"{media_type[:SHOWN]} (fetch.content_types)")
        return None

    def _judge_language(self, headers: Headers) -> Failure | None:
        if not self._languages:
            return None
        tags = [tag for name, value in headers if name == "content-language" for tag in _list(value)]
        if not tags or any(_is_within(tag, self._languages) for tag in tags):
            return None
        return Failure(kind=ErrorKind.LANGUAGE, detail=f"{', '.join(tags)[:SHOWN]} (fetch.languages)")


def _list(value: str) -> Iterable[str]:
    return (tag for part in value.split(",") if (tag := part.strip().lower()))


def _is_within(tag: str, ranges: Sequence[str]) -> bool:
    """Basic filtering of RFC 4647, section 3.3.1: ``de`` takes ``de`` and ``de-ch``, and not ``deu``."""
    return any(wanted in {"*", tag} or tag.startswith(f"{wanted}-") for wanted in ranges)


def _globs(patterns: Sequence[str]) -> Globs | None:
    """The patterns of a setting; None when there are none."""
    return Globs(pattern.strip().lower() for pattern in patterns) if patterns else None
