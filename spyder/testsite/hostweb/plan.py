"""The plan of a web of hosts: addresses, robots rules, pages, and what each of them answers. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property

import msgspec

#: Networks of hosts with an address of their own, and of addresses that many share.
_OWN, _SHARED = "127.41", "127.42"
_PER_NET = 250
#: One in so many hosts with an address of its own has a name.
_NAMED_EVERY = 3


class Robots(StrEnum):
    """What a host answers when it is asked for robots.txt."""

    NONE = "none"  #: 404
    EMPTY = "empty"  #: 200 without rules
    DENIED = "denied"  #: 403: as if there were none (RFC 9309, section 2.3.1.3)
    RULES = "rules"  #: some paths are forbidden
    OURS = "ours"  #: the same for one crawler by its name, and everything is forbidden to others
    DELAY = "delay"  #: rules, and a Crawl-delay
    MOVED = "moved"  #: redirects to rules on the same host
    ELSEWHERE = "elsewhere"  #: redirects to rules on another host
    BUSY_ONCE = "busy-once"  #: 503, the next time rules
    NOTHING = "nothing"  #: everything is forbidden
    BUSY = "busy"  #: 503 for ever: nothing may be fetched (section 2.3.1.4)
    HANGS = "hangs"  #: never answers: nothing may be fetched

    @property
    def has_rules(self) -> bool:
        """True when ``/private/`` is forbidden, but for ``/private/open``."""
        return self in _WITH_RULES

    @property
    def forbids_all(self) -> bool:
        """True when no page may be fetched."""
        return self in {Robots.NOTHING, Robots.BUSY, Robots.HANGS}


_WITH_RULES = {Robots.RULES, Robots.OURS, Robots.DELAY, Robots.MOVED, Robots.ELSEWHERE, Robots.BUSY_ONCE}
#: How many hosts of each kind there are, by weight.
_WEIGHTS = {Robots.NONE: 22, Robots.EMPTY: 6, Robots.DENIED: 6, Robots.RULES: 26, Robots.OURS: 6, Robots.DELAY: 12,
            Robots.MOVED: 5, Robots.ELSEWHERE: 4, Robots.BUSY_ONCE: 4, Robots.NOTHING: 5, Robots.BUSY: 3,
            Robots.HANGS: 1}


class Does(StrEnum):
    """What a page answers."""

    PAGE = "page"  #: HTML with links
    MISSING = "missing"  #: 404
    BUSY_ONCE = "busy-once"  #: 503, the next time the page
    SLOWER = "slower"  #: 429 with Retry-After: 1, the next time the page
    BREAKS_ONCE = "breaks-once"  #: closes the connection without an answer, the next time the page
    MOVED = "moved"  #: redirects to ``/`` of the same host
    LURES = "lures"  #: redirects to a forbidden page of the same host


_MOODS = (Does.MISSING, Does.BUSY_ONCE, Does.SLOWER, Does.BREAKS_ONCE, Does.MOVED, Does.LURES)
#: One in so many pages is in a mood.
_MOODY_EVERY = 6


class HostPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One host."""

    number: int
    name: str  #: as it stands in URLs: a name, or its address
    address: str
    robots: Robots
    crawl_delay: float  #: seconds that its robots.txt asks for, 0 when it does not
    latency: float  #: seconds before each answer
    pages: tuple[tuple[str, Does], ...]  #: paths, ``/`` first

    def is_allowed(self, path: str) -> bool:
        """True when *path* may be fetched, once robots.txt is known."""
        if self.robots.forbids_all:
            return False
        return not (self.robots.has_rules and path.startswith("/private/")) or path == "/private/open"


class WebPlan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a :class:`spyder.testing.HostWeb` is made of; equal plans give equal webs."""

    hosts: int = 2000
    pages: int = 2  #: of a host at the most, beside ``/`` and the private ones
    seed: int = 1  #: of the choices
    shared: int = 30  #: per cent of hosts that share an address with others
    per_address: int = 10  #: hosts that share one
    crawl_delay: float = 0.6  #: seconds, the longest that a robots.txt asks for; the shortest is half of it
    latency: float = 0.03  #: seconds before an answer at the most
    agent: str = "spyder"  #: product token for which some robots.txt have rules of their own

    def __post_init__(self) -> None:
        """Refuse what no web can be: :class:`ValueError`."""
        if not 1 <= self.hosts <= 60_000 or self.pages < 1 or not 0 <= self.shared <= 100 or self.per_address < 1:
            raise ValueError("hosts must be 1 to 60,000, pages and per_address 1 or more, shared a percentage")

    @cached_property
    def all(self) -> tuple[HostPlan, ...]:
        """All hosts."""
        chance = random.Random(self.seed)  # noqa: S311  the same web for the same seed
        return tuple(self._host(number, chance) for number in range(self.hosts))

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The address of each name: what ``dns.hosts`` must map."""
        return {host.name: host.address for host in self.all if host.name != host.address}

    def _host(self, number: int, chance: random.Random) -> HostPlan:
        sharing = self.hosts * self.shared // 100
        if number < sharing:
            place, network = number // self.per_address, _SHARED
        else:
            place, network = number - sharing, _OWN
        address = f"{network}.{place // _PER_NET}.{place % _PER_NET + 1}"
        has_name = number < sharing or number % _NAMED_EVERY == 0
        robots = chance.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
        paths = ["/", *(f"/page-{page}" for page in range(1, chance.randint(1, self.pages) + 1)), "/private/secret",
                 *(["/private/open"] if chance.random() < 0.3 else [])]
        return HostPlan(
            number=number, name=f"host-{number}.web.test" if has_name else address, address=address, robots=robots,
            crawl_delay=round(chance.uniform(0.5, 1) * self.crawl_delay, 3) if robots is Robots.DELAY else 0.0,
            latency=round(chance.uniform(0, self.latency), 4),
            pages=tuple((path, _does(path, chance)) for path in paths))

    def links(self, host: HostPlan, path: str) -> list[str]:
        """Paths of the same host that *path* links to."""
        return [other for other, _ in host.pages if other != path]

    def neighbours(self, host: HostPlan) -> list[HostPlan]:
        """Hosts that the first page of *host* links to as well."""
        return [self.all[(host.number * 7 + step) % self.hosts] for step in (1, 11)]

    def lender(self, host: HostPlan) -> HostPlan:
        """The host that has the robots.txt of *host*, when that is elsewhere: one with which nothing is the matter."""
        others = (self.all[(host.number + step) % self.hosts] for step in range(1, self.hosts))
        return next((other for other in others if other.robots in {Robots.NONE, Robots.EMPTY}), host)


def _does(path: str, chance: random.Random) -> Does:
    """What the page at *path* does: first pages and private ones are always in order, so that all others are found."""
    if path.startswith("/page-") and chance.randrange(_MOODY_EVERY) == 0:
        return chance.choice(_MOODS)
    return Does.PAGE
