"""Which spellings of a URL are the same page: versioned policies, rule by rule in ``docs/urls.md``."""

from __future__ import annotations

import re
from typing import Final, Protocol


class CanonicalPolicy(Protocol):
    """Turns a fetch URL into its canonical form. The frontier's store keeps name and version: another form of the same
    URL would be another page.
    """

    @property
    def name(self) -> str:
        """As in the settings."""

    @property
    def version(self) -> int:
        """Raised whenever any URL's canonical form changes."""

    def __call__(self, href: str) -> str:
        """The canonical form of *href*, an http(s) URL as the WHATWG URL standard writes it, without fragment.

        Idempotent: the canonical form is its own canonical form.
        """


class Plain:
    """Nothing beyond what the WHATWG URL standard makes equal."""

    name: Final = "plain"
    version: Final = 1

    def __call__(self, href: str) -> str:
        """*href* itself."""
        return href


class Standard:
    """What is the same resource by RFC 3986, section 6.2.2, and an empty query is none."""

    name: Final = "standard"
    version: Final = 1

    def __call__(self, href: str) -> str:
        """*href* with normal percent-encoding and without an empty query."""
        if "%" in href:
            href = _normal_percent_encoding(href)
        if href[-1:] != "?":
            return href
        return href[:-1] if href.find("?") == len(href) - 1 else href


PLAIN: Final = Plain()
STANDARD: Final = Standard()

_TRIPLET: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, 2.3


def _normal_percent_encoding(href: str) -> str:
    """Upper-case digits, and unreserved characters as themselves.

    A percent sign that begins no triplet is a mistake of whoever wrote the URL; decoding beside it could make a new
    triplet (``%%36%31`` would become ``%61``), so then only the case of digits changes. Dots make no new dot segments:
    the WHATWG parser resolves ``%2e`` as it does a dot, so such a segment is gone already.
    """
    return _TRIPLET.sub(_upper if _STRAY_PERCENT.search(href) else _decoded, href)


def _upper(triplet: re.Match[str]) -> str:
    return triplet[0].upper()


def _decoded(triplet: re.Match[str]) -> str:
    char = chr(int(triplet[0][1:], 16))
    return char if char in _UNRESERVED else triplet[0].upper()
