"""Whether a link belongs to the crawl: the words in which master, workers and frontier speak of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from spyder.model.domain import registered_domain
from spyder.model.states import ErrorKind, LinkKind

ScopeMode = Literal["host", "domain", "any"]


class HostScoping:
    """Maps a host to the name that must have been seeded for its pages to be in scope."""

    def __init__(self, mode: ScopeMode) -> None:
        self.mode = mode

    def name_of(self, host: str) -> str | None:
        """The host itself, its registered domain, or None when every host is in scope."""
        match self.mode:
            case "host":
                return host
            case "domain":
                return registered_domain(host)
            case "any":
                return None


class Verdict(msgspec.Struct, frozen=True):
    """What the rules of a scope say of a link."""

    accepted: bool | None  #: None: only the master knows, from seeds and list files
    rule: str  #: name of the rule that decides
    is_trap: bool = False  #: it is a rule against traps

    @property
    def kind(self) -> ErrorKind:
        """The kind of error that a refusal is, once the URI is in the frontier."""
        return ErrorKind.TRAP if self.is_trap else ErrorKind.SCOPE

    @property
    def reason(self) -> str:
        """Kind and rule, as a row and an outcome keep it: ``scope: no-shop``."""
        return f"{self.kind.value}: {self.rule}"


class ScopeJudge(Protocol):
    """Decides by the rules that hold now: :class:`spyder.scope.rules.LinkScope` does."""

    def judge(self, href: str, depth: int, embeds: int = 0) -> Verdict:
        """The verdict on *href*, a fetch URL, *depth* links from a seed, the last *embeds* of them embedding."""

    def bind(self, is_seeded: Callable[[str], bool]) -> None:
        """From now on *is_seeded* tells whether a URL is on a host, or domain, of a seed."""


def embeds_after(kind: LinkKind, embeds: int) -> int:
    """Transclusion hops of a link of *kind* on a page that *embeds* of them led to: sitemaps nest as embeds do."""
    if kind is LinkKind.EMBED or kind is LinkKind.SITEMAP:
        return embeds + 1
    return embeds if kind is LinkKind.REDIRECT else 0
