"""Which links belong to the crawl: what a worker can decide of a link, and what the master can of its host."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final, Literal, assert_never

from spyder.errors import SettingsError
from spyder.model.domain import registered_domain
from spyder.settings import ScopeSection

__all__ = ["HostScope", "LinkScope", "registered_domain"]

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


class HostScope:
    """The part of scope that needs the seeds: whether a link's host is theirs. The master decides it."""

    def __init__(self, mode: Literal["host", "domain", "any"]) -> None:
        self.mode = mode

    def group(self, host: str) -> str:
        """What seeds and links are compared by: the host with its port, its registered domain, or nothing."""
        match self.mode:
            case "host":
                return host
            case "domain":
                return registered_domain(host)
            case "any":
                return ""
            case _:
                assert_never(self.mode)

    def admits(self, host: str, seeds: Container[str]) -> bool:
        """True when *host* (with its port, unless that is the scheme's default) belongs to the crawl.

        *seeds* holds the :meth:`group` of each seed's host.
        """
        return self.mode == "any" or self.group(host) in seeds


def _compiled(key: str, expressions: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    compiled = []
    for expression in expressions:
        try:
            compiled.append(re.compile(expression))
        except re.error as error:
            raise SettingsError(f"scope.{key}: {expression!r} is no regular expression: {error}") from None
    return tuple(compiled)
