"""Which links belong to the crawl, as far as a link tells by itself; the master (``frontier/``) decides on hosts."""

from __future__ import annotations

import re
from typing import Final

from spyder.errors import SettingsError
from spyder.settings import ScopeSection

_SCHEMES: Final = ("http://", "https://")


class LinkScope:
    """The part of scope that needs nothing but the link: scheme, length, depth and the expressions of the settings.

    Raises :class:`SettingsError` naming the expression that is none.
    """

    def __init__(self, settings: ScopeSection) -> None:
        self._max_length = settings.max_url_length
        self._max_depth = settings.depth
        self._include = _compiled("include", settings.include)
        self._exclude = _compiled("exclude", settings.exclude)
        self._has_expressions = bool(self._include or self._exclude)

    def admits(self, href: str, depth: int) -> bool:
        """True when *href*, a fetch URL, *depth* links from a seed, may belong to the crawl."""
        if self._has_expressions or depth:
            return not self.reason(href, depth)
        return len(href) <= self._max_length and href.startswith(_SCHEMES)

    def reason(self, href: str, depth: int) -> str:
        """The rule that keeps *href* out: ``scheme``, ``url-length``, ``depth``, ``exclude`` or ``include``.

        Empty when none does.
        """
        if not href.startswith(_SCHEMES):
            return "scheme"
        if len(href) > self._max_length:
            return "url-length"
        if self._max_depth is not None and depth > self._max_depth:
            return "depth"
        if not self._has_expressions:
            return ""
        if any(expression.search(href) for expression in self._exclude):
            return "exclude"
        if self._include and not any(expression.search(href) for expression in self._include):
            return "include"
        return ""

    def why_not(self, href: str, depth: int | None = None) -> str:
        """What keeps *href* out, in words and with the setting's name; empty when nothing does.

        Of a link whose *depth* nobody knows, None, the depth is not judged.
        """
        match self.reason(href, 0 if depth is None else depth):
            case "scheme":
                return f"only {' and '.join(_SCHEMES)} are crawled"
            case "url-length":
                return f"it has {len(href):,} characters, more than scope.max_url_length ({self._max_length:,})"
            case "depth":
                return f"it is {depth:,} links from a seed, more than scope.depth ({self._max_depth:,})"
            case "exclude":
                found = next(expression.pattern for expression in self._exclude if expression.search(href))
                return f"it matches {found!r} of scope.exclude"
            case "include":
                return f"it matches none of scope.include: {', '.join(repr(one.pattern) for one in self._include)}"
            case _:
                return ""


def _compiled(key: str, expressions: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    compiled = []
    for expression in expressions:
        try:
            compiled.append(re.compile(expression))
        except re.error as error:
            raise SettingsError(f"scope.{key}: {expression!r} is no regular expression: {error}") from None
    return tuple(compiled)
