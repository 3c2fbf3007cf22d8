"""Pages of a host whose texts are nearly the same: SimHash fingerprints, and a bounded memory of them."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec
import xxhash

MAX_TEXT: Final = 1_000_000  #: characters of a text that are looked at
HOSTS: Final = 512  #: hosts that are remembered
PAGES: Final = 256  #: pages of a host that are remembered
PAGES_IN_ALL: Final = 32_768  #: pages of all hosts that are remembered
BITS: Final = 64
#: Pieces that a text must have for each bit in which it may differ. Of a short text one piece is a large part, and
#: chance counts for more: all that pages of 1,000 bytes have in common may be their frame.
PIECES_A_BIT: Final = 12

#: Where texts are cut into pieces: some letters, and for other scripts three of the 64 octets within a UTF-8 character.
_CUTS: Final = b"fpw,\x85\x9f\xb3"
_WHITE: Final = b"\t\n\v\f\r "
_DIGITS: Final = b"0123456789"
_FOLD: Final = bytes(ord("0") if octet in _DIGITS else 0x0A if octet in _CUTS else octet for octet in range(256))
_NUMBERS: Final = re.compile(r"[0-9]+")
_SIZE_BITS: Final = 8  #: leading bits of a size that count when sizes are compared: steps of 0.4 to 0.8 %
_SMALL: Final = 13  #: bits of a size below which the steps get no smaller: 32 bytes
_ALIKE: Final = 3  #: pages of one size and number of links, after which a further one is looked at


def fingerprint(text: str, *, min_text: int) -> int | None:
    """A number of :data:`BITS` bits: nearly equal texts have nearly equal ones. None for less than *min_text* bytes.

    SimHash (Charikar 2002; Manku, Jain and Das Sarma 2007): each bit is what most of the text's features have there.
    The features are pieces of the text, cut where its own characters say so, some 30 octets long: like overlapping
    shingles of words, which cost five times as much, an insertion changes one or two of them. Digits count as equal,
    white space as nothing, also for *min_text*.
    """
    pieces = _pieces(text, min_text)
    return None if pieces is None else _majority(pieces)


def _pieces(text: str, min_text: int) -> set[bytes] | None:
    octets = text[:MAX_TEXT].encode("utf-8", "replace").translate(_FOLD, _WHITE)
    return None if len(octets) < min_text else set(octets.split(b"\n"))


def _majority(pieces: set[bytes]) -> int:
    """The bits that are set in more than half of the hashes of *pieces*."""
    hashes, count = b"".join(map(xxhash.xxh3_64_digest, pieces)), len(pieces)
    ones = int.from_bytes(b"\1" * count, "big")
    masks = [ones << bit for bit in reversed(range(8))]
    columns = [int.from_bytes(hashes[octet::8], "big") for octet in range(8)]
    half = count // 2
    return int("".join(["1" if (column & mask).bit_count() > half else "0" for column in columns for mask in masks]), 2)


def distance(one: int, other: int) -> int:
    """Bits in which two fingerprints differ: 0 for equal texts, about 32 for unrelated ones."""
    return (one ^ other).bit_count()


class Near(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What :meth:`NearPages.look` found."""

    fingerprint: int
    of: str = ""  #: URL of a page that the text nearly repeats, empty when there is none


class _Host:
    """What is remembered of one host."""

    __slots__ = ("pages", "shapes", "titles")

    def __init__(self) -> None:
        self.pages: dict[int, str] = {}  #: fingerprints and URLs, oldest first
        self.titles: set[int] = set()  #: hashes of titles without numbers
        self.shapes: dict[int, int] = {}  #: how often a size with a number of links came

    def is_alike(self, title: str, size: int, links: int) -> bool:
        """True when the page looks like others before it; it counts as one of them from now on."""
        name = hash(_NUMBERS.sub("0", title)) if title else 0
        excess = max(size.bit_length(), _SMALL) - _SIZE_BITS
        shape = (links * BITS + excess << _SIZE_BITS) + (size >> excess)
        seen = self.shapes.get
        alike = seen(shape, 0)
        is_alike = alike + seen(shape - 1, 0) + seen(shape + 1, 0) >= _ALIKE or (name != 0 and name in self.titles)
        if len(self.titles) >= PAGES or len(self.shapes) >= PAGES:
            self.titles.clear()
            self.shapes.clear()
        self.titles.add(name)
        self.shapes[shape] = alike + 1
        return is_alike

    def nearest(self, mark: int, bits: int) -> str:
        """URL of the page whose fingerprint is the nearest, of those within *bits* bits; empty when there is none."""
        if mark in self.pages or not self.pages:
            return self.pages.get(mark, "")
        best = min(self.pages, key=lambda other: (mark ^ other).bit_count())
        return self.pages[best] if distance(mark, best) <= bits else ""

    def remember(self, mark: int, url: str) -> int:
        """Keep a page; the oldest one makes room. Returns how many more are kept now."""
        before = len(self.pages)
        if before >= PAGES:
            del self.pages[next(iter(self.pages))]
        self.pages[mark] = url
        return len(self.pages) - before


class NearPages:
    """Finds pages that nearly repeat another one of their host, among those that came lately.

    Of each host :data:`PAGES` texts are remembered, of :data:`HOSTS` hosts that were lately met, and of all together
    :data:`PAGES_IN_ALL`. A page that repeats one is not remembered itself, so that all that are alike are said to
    repeat the same. To make a fingerprint costs about as much as to read the page: unless *all_pages*, only those are
    looked at that look like others of their host before, which have the same title, numbers aside, or are one more of
    one size and number of links. So the first ones of many are not found.
    """

    def __init__(self, *, bits: int, min_text: int, all_pages: bool) -> None:
        self._bits = bits
        self._min_text = min_text
        self._all_pages = all_pages
        self._hosts: OrderedDict[str, _Host] = OrderedDict()  #: the one met last at the end
        self._pages = 0  #: remembered, of all hosts

    def look(self, url: str, *, host: str, title: str, size: int, links: int, text: Callable[[], str]) -> Near | None:
        """Look at the page *url* with *size* bytes and that many *links*; None when it is not worth it.

        Its visible *text* is asked for only if it is needed.
        """
        known = self._host(host)
        is_alike = self._all_pages or known.is_alike(title, size, links)
        pieces = _pieces(text(), self._min_text) if is_alike else None
        if pieces is None:
            return None
        mark = _majority(pieces)
        of = known.nearest(mark, min(self._bits, len(pieces) // PIECES_A_BIT))
        if of and of != url:
            return Near(fingerprint=mark, of=of)
        self._pages += known.remember(mark, url)
        while self._pages > PAGES_IN_ALL and len(self._hosts) > 1:
            self._forget_one()
        return Near(fingerprint=mark)

    def _host(self, name: str) -> _Host:
        known = self._hosts.get(name)
        if known is None:
            if len(self._hosts) >= HOSTS:
                self._forget_one()
            known = self._hosts[name] = _Host()
        else:
            self._hosts.move_to_end(name)
        return known

    def _forget_one(self) -> None:
        _, oldest = self._hosts.popitem(last=False)
        self._pages -= len(oldest.pages)
