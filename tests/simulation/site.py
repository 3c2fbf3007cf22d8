"""The simulated web: pages that link to each other, some of which fail, redirect, or kill who reads them."""

from __future__ import annotations

from enum import Enum, auto
from random import Random


class Kind(Enum):
    """How a page answers."""

    GOOD = auto()
    MISSING = auto()  #: 404
    SHAKY = auto()  #: 503 at first, then good
    BROKEN = auto()  #: always 503
    REDIRECT = auto()  #: to its first link
    POISON = auto()  #: kills the extractor that reads it


class Site:
    """Pages by URL: their kind, their links, and what a whole crawl must make of them."""

    def __init__(self, random: Random, *, hosts: int, pages: int, poison: int, trouble: float) -> None:
        urls = [f"http://h{random.randrange(hosts)}.example/{number}" for number in range(pages)]
        self.kinds = dict.fromkeys(urls, Kind.GOOD)
        for url in urls[1:]:
            if random.random() < trouble:
                self.kinds[url] = random.choice([Kind.MISSING, Kind.SHAKY, Kind.BROKEN, Kind.REDIRECT])
        for url in random.sample(urls[1:], poison):
            self.kinds[url] = Kind.POISON
        self.links = {url: tuple(random.choices(urls, k=random.randint(1, 5))) for url in urls}
        self.seeds = [urls[0], random.choice(urls)]

    def reachable(self) -> set[str]:
        """The pages that a crawl finds: nothing lies behind one that gives no page."""
        found, ways = set(self.seeds), list(self.seeds)
        while ways:
            url = ways.pop()
            kind = self.kinds[url]
            links = self.links[url] if kind in {Kind.GOOD, Kind.SHAKY} else (
                self.links[url][:1] if kind is Kind.REDIRECT else ())
            for link in links:
                if link not in found:
                    found.add(link)
                    ways.append(link)
        return found
