"""The simulated web: pages that link to each other, some of which fail, redirect, or kill who reads them; and hosts,
which have addresses and robots.txt files."""

from __future__ import annotations

from enum import Enum, auto
from random import Random

from spyder.model.records import RobotsRules


class Kind(Enum):
    """How a page answers."""

    GOOD = auto()
    MISSING = auto()  #: 404
    SHAKY = auto()  #: 503 at first, then good
    BROKEN = auto()  #: always 503
    REDIRECT = auto()  #: to its first link
    POISON = auto()  #: kills the extractor that reads it


class Robots(Enum):
    """How a host's robots.txt answers."""

    NONE = auto()  #: 404
    RULES = auto()  #: some pages are forbidden
    SHAKY = auto()  #: 503 at first, then rules
    ELSEWHERE = auto()  #: a redirect to another host, where the rules are


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
        self.addresses = {f"h{number}.example": f"192.0.2.{random.randrange(max(1, hosts // 2))}"
                          for number in range(hosts)}
        self.robots = {host: random.choice(list(Robots)) for host in self.addresses}
        self.forbidden = {url for url in urls if self.robots[url.split("/")[2]] is not Robots.NONE
                          and int(url.rpartition("/")[2]) % 4 == 3}

    def rules(self, host: str) -> RobotsRules:
        """What the robots.txt of *host* says."""
        mine = f"http://{host}/"
        return RobotsRules(disallow=tuple(f"/{url[len(mine):]}$" for url in sorted(self.forbidden)
                                          if url.startswith(mine)))

    def robots_elsewhere(self, host: str) -> str:
        """Where the robots.txt of *host* redirects to."""
        hosts = sorted(self.addresses)
        return f"http://{hosts[(hosts.index(host) + 1) % len(hosts)]}/robots-of-{host}"

    def reachable(self, *, obeys: bool) -> set[str]:
        """The pages that a crawl finds: nothing lies behind one that gives no page, or is forbidden if it *obeys*."""
        found, ways = set(self.seeds), list(self.seeds)
        while ways:
            url = ways.pop()
            if obeys and url in self.forbidden:
                continue
            kind = self.kinds[url]
            links = self.links[url] if kind in {Kind.GOOD, Kind.SHAKY} else (
                self.links[url][:1] if kind is Kind.REDIRECT else ())
            for link in links:
                if link not in found:
                    found.add(link)
                    ways.append(link)
        return found
