"""The plan of a generated site: which pages there are, where they link to, and what their bytes are. Pure."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

#: Of the links beyond the tree's own, each so many-th leads to any host.
_CROSS_LINK_EVERY = 5
#: Bytes of text from which pages are cut; a page that is larger repeats it.
_TEXT_SIZE = 200_000
#: Links that are kept written.
_ANCHORS = 200_000
_HEAD = (b'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Page %d</title></head>\n'
         b"<body><h1>Page %d</h1>\n<ul>\n%s</ul>\n")
_WORDS = ("frontier", "lease", "page", "queue", "host", "link", "settle", "batch", "of", "the", "a", "and", "is",
          "that", "with", "before", "crawl", "order", "every", "record", "in", "to", "worker", "it", "one",
          "by", "sync", "seed")
#: Primes by which a page's further links are spread over the site.
_BY_PAGE, _BY_TURN, _BY_NUMBER = 15_485_863, 1_299_709, 104_729


class SitePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a :class:`LocalSite` is made of; equal plans give equal sites, byte for byte.

    Page *n* belongs to host ``n % hosts`` and is number ``n // hosts`` there. Each host's pages form a tree below its
    seed, so that every page is reached; further links lead to pages of the same host and of others.
    """

    pages: int = 1000  #: in all
    hosts: int = 1
    size: int = 8000  #: bytes of a page; the least it can be is what its links take
    links: int = 20  #: of a page, the tree's own included
    error_every: int = 0  #: each so many-th page of a host answers 503 when it is asked for first; 0: none
    latency: float = 0.0  #: seconds before an answer

    def __post_init__(self) -> None:
        """Refuse what no site can be: :class:`ValueError`."""
        if not 1 <= self.hosts <= self.pages:
            raise ValueError(f"{self.pages} pages can't be on {self.hosts} hosts: each has one at the least")
        if self.links < 1 or self.size < 0 or self.error_every < 0 or self.latency < 0:
            raise ValueError("links must be 1 or more; size, error_every and latency 0 or more")

    @property
    def branching(self) -> int:
        """Links of a page that the tree needs."""
        return max(1, self.links // 2)

    def pages_of(self, host: int) -> int:
        """Pages of *host*."""
        return (self.pages - host + self.hosts - 1) // self.hosts

    def targets(self, page: int) -> list[int]:
        """The pages that *page* links to, in order, without itself and without repetition: ``links``, or a few less."""
        hosts = self.hosts
        number, host = divmod(page, hosts)
        own = self.pages_of(host)
        first = number * self.branching + 1
        children = range(first, min(first + self.branching, own))
        more = range(self.links - len(children))
        spread, step = page * _BY_PAGE, _BY_TURN + number * _BY_NUMBER
        if hosts == 1:
            targets = [*children, *[(spread + turn * step) % own for turn in more]]
        else:
            targets = [(spread + turn * step) % own * hosts + host for turn in more]
            targets[::_CROSS_LINK_EVERY] = [(spread + turn * step) % self.pages for turn in more[::_CROSS_LINK_EVERY]]
            targets = [*[child * hosts + host for child in children], *targets]
        found = dict.fromkeys(targets)
        found.pop(page, None)
        return list(found)

    def path(self, page: int) -> str:
        """Path of *page* at its host."""
        number = page // self.hosts
        return f"/section-{number // 100}/page-{number}.html" if number else "/"

    def page_at(self, host: int, path: str) -> int | None:
        """The page at *path* of *host*, if there is one."""
        if path == "/":
            return host
        tail = path[path.rfind("-") + 1:-5]
        if not tail.isdecimal() or len(tail) > 12:
            return None
        page = int(tail) * self.hosts + host
        return page if page < self.pages and self.path(page) == path else None

    def fails_first(self, page: int) -> bool:
        """True when *page* answers 503 when it is asked for first."""
        return bool(self.error_every) and page // self.hosts % self.error_every == self.error_every - 1


class PageWriter:
    """Writes the pages of a plan, given the origins (``http://address:port``) of its hosts."""

    def __init__(self, plan: SitePlan, origins: tuple[str, ...]) -> None:
        self._plan = plan
        self._origins = origins
        self._text, self._ends = _text()
        self._anchors: dict[int, bytes] = {}  # of links within a host

    def __call__(self, page: int) -> bytes:
        """The bytes of *page*: HTML, ``plan.size`` of them if its links leave room for that."""
        plan = self._plan
        host = page % plan.hosts
        known, hosts = self._anchors.get, plan.hosts
        anchors = [(known(target) if hosts == 1 or target % hosts == host else None) or self._anchor(target, host)
                   for target in plan.targets(page)]
        head = _HEAD % (page, page, b"".join(anchors))
        tail = b"</body></html>\n"
        return head + self._filler(plan.size - len(head) - len(tail)) + tail

    def _anchor(self, target: int, host: int) -> bytes:
        """The link to *target*, relative on its own host."""
        number, at = divmod(target, self._plan.hosts)
        origin = "" if at == host else self._origins[at]
        path = f"section-{number // 100}/page-{number}.html" if number else ""
        anchor = f'<li><a href="{origin}/{path}">Page {target}</a></li>\n'.encode()
        if at == host and len(self._anchors) < _ANCHORS:
            self._anchors[target] = anchor
        return anchor

    def _filler(self, size: int) -> bytes:
        """*size* bytes of paragraphs, whole ones and then blanks; none when *size* is below 0."""
        if size <= 0:
            return b""
        whole, rest = divmod(size, len(self._text))
        cut = self._ends[bisect_right(self._ends, rest) - 1]
        return self._text * whole + self._text[:cut] + b" " * (rest - cut)


def _text() -> tuple[bytes, list[int]]:
    """Paragraphs as documentation has them, a tag for each dozen words; and where each ends."""
    chance = random.Random(1)  # noqa: S311  the same text everywhere
    parts, ends, length = [], [0], 0
    while length < _TEXT_SIZE:
        paragraph = f"<p>{' '.join(_phrases(chance))}.</p>\n".encode()
        parts.append(paragraph)
        length += len(paragraph)
        ends.append(length)
    return b"".join(parts), ends


def _phrases(chance: random.Random) -> Iterator[str]:
    for index in range(chance.randint(2, 6)):
        words = " ".join(chance.choices(_WORDS, k=8))
        name = chance.choice(_WORDS)
        yield f'{words} <code class="name">{name}</code>' if index % 2 else f"{words} <em>{name}</em> &amp; so on"
