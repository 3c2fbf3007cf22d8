"""Errands: what must be known of an origin before its pages are fetched is asked for, and what was found out is noted.

An errand is a lease without a URI of the crawl: it is in memory only. One that gets lost is asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence

from spyder.frontier.active import ActiveHosts
from spyder.frontier.hosts import ActiveHost, Errand
from spyder.frontier.ledger import Ledger
from spyder.frontier.origins import MAX_HOPS, Origins
from spyder.frontier.politeness import Politeness
from spyder.frontier.seedscope import SeedScope
from spyder.frontier.transitions import Transitions
from spyder.model.limits import MAX_URL
from spyder.model.records import Failure, Outcome
from spyder.model.states import ErrorKind, LinkKind, Purpose
from spyder.model.url import HOST_BYTES, KEY_BYTES, UriIdentity, origin_of

_SCHEMES = ("http://", "https://")
#: Statuses of redirects that are followed (RFC 9309, section 2.3.1.2).
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Sitemaps on other hosts that one robots.txt may name.
_ELSEWHERE = 50
#: Failures after which the address is looked up anew.
NOT_THERE = frozenset({ErrorKind.CONNECT, ErrorKind.TIMEOUT})


class Errands:
    """Who asks for what, and where. All of it is staged in the ledger."""

    def __init__(self, ledger: Ledger, *, hosts: ActiveHosts, origins: Origins, politeness: Politeness,
                 scope: SeedScope, identity: UriIdentity, uris: Transitions, uses_sitemaps: bool) -> None:
        self._ledger = ledger
        self._hosts = hosts
        self._origins = origins
        self._politeness = politeness
        self._scope = scope
        self._identity = identity
        self._uris = uris
        self._uses_sitemaps = uses_sitemaps

    def ask(self, purpose: Purpose, href: str, host: ActiveHost) -> Errand:
        """What *host* must know before *href* may be fetched."""
        origin = origin_of(href)
        if purpose is Purpose.ADDRESS:
            return self._look_up(origin, host)
        host.awaits += 1
        return Errand(purpose, origin, f"{origin}robots.txt", asks=host)

    def prepare(self, errand: Errand, host: ActiveHost, now: float) -> Errand | None:
        """The errand that can be run now: the look-up of an address comes before the fetch of a robots.txt.

        None when *host* has to wait, or the errand came to nothing.
        """
        if errand.purpose is Purpose.ADDRESS:
            host.is_asking = True
            return errand
        refused = self._origins.refusal_for(errand.url, now)
        if refused:
            self._take_robots(errand, _failed(Failure(kind=ErrorKind.ADDRESS, detail=refused)), now)
            self._hosts.offer(host)
            return None
        address = self._origins.address_for(errand.url, now)
        if address is None:
            host.errands.appendleft(errand)
            host.is_asking = True
            return self._look_up(origin_of(errand.url), host)
        if address and not self._hosts.is_at(host, address, now):
            host.errands.appendleft(errand)
            self._hosts.offer(host)
            return None
        errand.address = address
        return errand

    def _look_up(self, origin: str, host: ActiveHost) -> Errand:
        errand = Errand(Purpose.ADDRESS, origin, origin, asks=host)
        errand.address = self._origins.failed_address(origin)
        return errand

    def settle(self, errand: Errand, host: ActiveHost, outcome: Outcome, now: float) -> None:
        """Stage what an errand that was run at *host* found out."""
        if errand.purpose is Purpose.ADDRESS:
            self._take_address(errand, host, outcome, now)
            return
        target = next((link.url for link in outcome.links if link.kind is LinkKind.REDIRECT), "")
        if target and outcome.status in _REDIRECTS and target.startswith(_SCHEMES) and len(target) <= MAX_URL:
            self._follow_robots(errand, target, now)
        else:
            self._take_robots(errand, outcome, now)

    def drop(self, errand: Errand) -> None:
        """An errand ended, or got lost: the host that asked goes on, and asks again if need be."""
        if errand.purpose is Purpose.ADDRESS:
            errand.asks.is_asking = False
        else:
            errand.asks.awaits -= 1
        self._hosts.offer(errand.asks)
        self._hosts.retire_if_empty(errand.asks.row)

    def fail_all(self, host: ActiveHost, failure: Failure, now: float) -> None:
        """Nothing can be done at *host* now: stages that whoever waits for a robots.txt there is told so."""
        errands = list(host.errands)
        host.errands.clear()
        for errand in errands:
            self._take_robots(errand, _failed(failure), now)

    def _take_address(self, errand: Errand, host: ActiveHost, outcome: Outcome, now: float) -> None:
        self._origins.take_address(errand.origin, outcome, now)
        if outcome.failure is None:
            if outcome.ip:
                self._hosts.move(host, outcome.ip)
        elif outcome.failure.kind is not ErrorKind.ADDRESS:
            self._origins.note_unanswered(errand.origin, outcome.failure.kind, now)
            self._fail_those_for(errand.origin, host, outcome.failure, now)
        self._ledger.touch(host.row)
        self.drop(errand)

    def _follow_robots(self, errand: Errand, target: str, now: float) -> None:
        """The robots.txt is elsewhere: it is fetched there as anything else is, for the origin that asked."""
        if errand.hops >= MAX_HOPS:  # as if there were none: RFC 9309, section 2.3.1.2
            self._take_robots(errand, Outcome(lease=0, key=bytes(KEY_BYTES), status=404), now)
            return
        key = self._identity.key(self._ledger.project, target)[:HOST_BYTES]
        row = self._ledger.host(key)
        if row is None:
            row = self._ledger.new_host(key, self._identity.queue_of(target))
        self._hosts.give_errand(self._hosts.hold(row), Errand(
            Purpose.ROBOTS, errand.origin, target, asks=errand.asks, hops=errand.hops + 1))

    def _take_robots(self, errand: Errand, outcome: Outcome, now: float) -> None:
        """A robots.txt was read, or can't be had: who waits for it goes on."""
        failure = outcome.failure
        if failure is not None and failure.kind is ErrorKind.ADDRESS and not errand.hops:
            self._origins.take_address(errand.origin, outcome, now)
        elif failure is None or not failure.kind.is_host_trouble or outcome.status or errand.hops:
            sitemaps = self._origins.take_robots(errand.origin, outcome, now)
            if self._uses_sitemaps and sitemaps and self._scope.admits(errand.origin):
                self._add_sitemaps(errand.origin, sitemaps)
            if outcome.robots is not None and outcome.robots.crawl_delay:  # from this very fetch on
                errand.asks.row.crawl_delay = outcome.robots.crawl_delay
                self._politeness.rest(errand.asks.row)
                self._ledger.touch(errand.asks.row)
        else:  # nothing answered
            self._origins.note_unanswered(errand.origin, failure.kind, now)
            if failure.kind in NOT_THERE:
                self._origins.forget_address(errand.origin)
        self.drop(errand)

    def _add_sitemaps(self, origin: str, urls: Sequence[str]) -> None:
        """Stage the sitemaps that the robots.txt of *origin*, which is in scope, names.

        Those elsewhere belong to the crawl as well, up to a number of them, unless a rule but the seeds' is against it.
        """
        elsewhere = 0
        for url in urls:
            if not url.startswith(_SCHEMES) or len(url) > MAX_URL:
                continue
            verdict = self._scope.judge(url, 1)
            is_foreign = verdict.rule == self._scope.mode and not verdict.accepted
            elsewhere += is_foreign
            if verdict.accepted or (is_foreign and elsewhere <= _ELSEWHERE):
                self._uris.add(self._identity.key(self._ledger.project, url), url, depth=1,
                               referrer=f"{origin}robots.txt")

    def _fail_those_for(self, origin: str, host: ActiveHost, failure: Failure, now: float) -> None:
        """Stage that errands which wait at *host* for the address of *origin* came to nothing."""
        failed = [errand for errand in host.errands if origin_of(errand.url) == origin]
        for errand in failed:
            host.errands.remove(errand)
            self._take_robots(errand, _failed(failure), now)


def _failed(failure: Failure) -> Outcome:
    return Outcome(lease=0, key=bytes(KEY_BYTES), failure=failure)
