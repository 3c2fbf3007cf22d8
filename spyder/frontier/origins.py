"""What is known of origins: the addresses of their names and their robots.txt, asked for before any page of theirs.

Pure decisions over rows that the ledger keeps; who asks, and when, is decided in :mod:`spyder.frontier.frontier`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, assert_never

import msgspec

from spyder.frontier.ledger import Ledger
from spyder.frontier.policy import host_backoff, parking, retry_delay
from spyder.model.records import OriginRow, Outcome, RobotsRules
from spyder.model.robots import RobotsMatcher, RobotsVerdict, robots_verdict
from spyder.model.states import ErrorKind, Purpose
from spyder.model.url import literal_address, origin_of, target_of
from spyder.settings import PolitenessSection, RetrySection, RobotsSection

#: Origins that are remembered; the others are read from the store when they are asked for.
_REMEMBERED: Final = 8192
#: Bytes of rules that are remembered, roughly: a hostile robots.txt has half a million characters.
_RULES_REMEMBERED: Final = 64_000_000
_RULE_SIZE: Final = 200  #: bytes of a rule beside its text, with its place in a matcher
#: Redirects of a robots.txt that are followed (RFC 9309, section 2.3.1.2).
MAX_HOPS: Final = 5
#: Seconds for which the last good copy is used while no newer one can be had (RFC 9309, section 2.4, allows it).
_STALE: Final = 7 * 86_400.0
#: Seconds for which a literal address stays refused.
_REFUSED: Final = 86_400.0
#: Retries of a robots.txt when the failure is of a class that is not retried for pages.
_RETRIES: Final = 2


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A rule forbids the URI."""

    kind: ErrorKind
    reason: str  #: one line for people


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody knows yet: robots.txt can't be had, and is asked for again at a later time."""

    until: float  #: wall time, seconds


class Dead(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing answers there, and the origin was given up: the URI fails unfetched."""

    kind: ErrorKind


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """The URI may be fetched."""

    address: str = ""  #: to connect to; empty: the worker looks it up
    crawl_delay: float = 0.0  #: seconds that robots.txt asks for


#: What may be done about a URI now: fetch it, never, later, or ask first for what a purpose names.
Answer = Cleared | Refusal | Held | Dead | Purpose


class _Known:
    """An origin's row, and its rules ready to be asked."""

    __slots__ = ("literal", "matcher", "row", "size")

    def __init__(self, row: OriginRow, literal: str) -> None:
        self.row = row
        self.literal = literal
        self.matcher: RobotsMatcher | None = None
        self.size = 0


class Origins:
    """The origins of a project. *looks_up* says that names are looked up before pages are fetched."""

    def __init__(self, ledger: Ledger, robots: RobotsSection, retry: RetrySection, politeness: PolitenessSection, *,
                 agent: str, looks_up: bool) -> None:
        self._ledger = ledger
        self._robots = robots
        self._retry = retry
        self._politeness = politeness
        self._agent = agent
        self._looks_up = looks_up
        self._obeys = robots.policy == "obey"
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._rules_size = 0

    def answer(self, href: str, now: float) -> Answer:
        """What may be done about the fetch URL *href* at *now* (wall time, seconds)."""
        origin = origin_of(href)
        known = self._of(origin)
        row = known.row
        if row.failures:
            if row.dead_until > now:
                return Dead(kind=ErrorKind(row.failed))
            if row.look_at > now:
                return Held(until=row.look_at)
        needs_address = self._looks_up and not known.literal
        if row.refused and row.address_until > now:
            return Refusal(kind=ErrorKind.ADDRESS, reason=row.refused)
        if needs_address and row.address_until <= now:
            return Purpose.ADDRESS
        address = known.literal or (row.address if self._looks_up else "")
        if not self._obeys:
            return Cleared(address=address)
        verdict = row.verdict if row.agent == self._agent else ""
        if (not verdict or row.verdict_until <= now) and row.retry_at <= now:
            return Purpose.ROBOTS
        match verdict:
            case "allow":
                return Cleared(address=address)
            case "rules":
                return self._judge(known, target_of(href), address)
            case "refuse":
                return Refusal(kind=ErrorKind.ROBOTS_UNREACHABLE, reason=row.reason)
            case _:
                return Held(until=row.retry_at)

    def address_for(self, url: str, now: float) -> str | None:
        """The address to connect to for *url*, an errand's; None when it must be looked up first."""
        known = self._of(origin_of(url))
        if known.literal or not self._looks_up:
            return known.literal
        return known.row.address if known.row.address_until > now and not known.row.refused else None

    def failed_address(self, origin: str) -> str:
        """The address of *origin* that could not be connected to: another is looked for; empty when there is none."""
        row = self._of(origin).row
        return row.address if not row.address_until else ""

    def refusal_for(self, url: str, now: float) -> str:
        """Why nothing may be connected to for *url*, as far as is known; empty when nothing forbids it."""
        row = self._of(origin_of(url)).row
        return row.refused if row.address_until > now else ""

    def _judge(self, known: _Known, target: str, address: str) -> Answer:
        rules = known.row.rules
        assert rules is not None
        if known.matcher is None:
            known.matcher = RobotsMatcher(rules)
        rule = known.matcher.rule_for(target)
        if rule is None or rule[0] or target == "/robots.txt":  # itself it can't forbid: RFC 9309, section 2.2.2
            return Cleared(address=address, crawl_delay=rules.crawl_delay)
        return Refusal(kind=ErrorKind.ROBOTS, reason=f"disallow: {rule[1]}")

    # -- what was learnt -----------------------------------------------------------------------------------------

    def note_unanswered(self, origin: str, kind: ErrorKind, now: float) -> None:
        """Stage that nothing answered at *origin*, or its name has no address: it is looked at ever more seldom.

        The times are those at which a host is parked and given up; other origins of the same queue go on meanwhile.
        """
        known = self._of(origin)
        row = known.row
        row.failures += 1
        row.failed = kind.value
        row.dead_until = 0.0
        parked = parking(row.failures, self._politeness)
        if parked is None:
            row.look_at = now + host_backoff(row.failures, 0.0, self._politeness)
        elif parked.is_given_up:
            row.failures -= 1
            row.dead_until = row.look_at = now + self._politeness.given_up_for
        else:
            row.look_at = now + parked.rest
        self._stage(origin, known)

    def strike(self, origin: str, limit: int, now: float) -> bool:
        """Stage that a worker died on the robots.txt of *origin*; True when *limit* did: then it counts as unread."""
        known = self._of(origin)
        known.row.strikes += 1
        is_over = known.row.strikes >= limit
        if is_over:
            self._refuse(known.row, f"robots.txt: {ErrorKind.WORKER_DIED.value}", now)
        else:
            known.row.retry_at = now + retry_delay(ErrorKind.WORKER_DIED, known.row.strikes - 1, 0.0, self._retry)
        self._stage(origin, known)
        return is_over

    def take_address(self, origin: str, outcome: Outcome, now: float) -> None:
        """Stage what a look-up of the name of *origin* gave. That there is no address is its host's trouble."""
        known = self._of(origin)
        if outcome.failure is None:
            known.row.address, known.row.refused = outcome.ip, ""
            if known.row.failed == ErrorKind.DNS.value:
                known.row.failures = 0
        elif outcome.failure.kind is ErrorKind.ADDRESS:
            known.row.address, known.row.refused = "", outcome.failure.detail or "the guard refuses its address"
        else:
            return
        known.row.address_until = now + max(outcome.address_ttl, _REFUSED if known.literal else 1.0)
        self._stage(origin, known)

    def forget_address(self, origin: str) -> None:
        """Stage that the address of *origin* is looked up anew: a connection to it failed."""
        known = self._of(origin)
        if known.row.address and not known.literal:
            known.row.address_until = 0.0
            self._stage(origin, known)

    def take_robots(self, origin: str, outcome: Outcome, now: float) -> tuple[str, ...]:
        """Stage what the fetch of the robots.txt of *origin* gave, redirects followed. Returns its sitemaps."""
        known = self._of(origin)
        row, failure = known.row, outcome.failure
        row.failures = row.strikes = 0
        verdict = robots_verdict(outcome.status) if outcome.status else RobotsVerdict.HOLD
        if failure is not None and failure.kind not in _ANSWERS and verdict is not RobotsVerdict.ALLOW:
            verdict = RobotsVerdict.HOLD  # there was an answer, and it could not be read
        if verdict is RobotsVerdict.PARSE and outcome.robots is None:
            verdict = RobotsVerdict.HOLD
        match verdict:
            case RobotsVerdict.PARSE:
                self._learn(known, "rules", outcome.robots, now)
            case RobotsVerdict.ALLOW:
                self._learn(known, "allow", None, now)
            case RobotsVerdict.REDIRECT | RobotsVerdict.HOLD:  # a redirect that leads nowhere allows nothing
                self._hold(row, outcome, now)
            case _:
                assert_never(verdict)
        self._stage(origin, known)
        return outcome.robots.sitemaps if outcome.robots is not None and verdict is RobotsVerdict.PARSE else ()

    def _learn(self, known: _Known, verdict: str, rules: RobotsRules | None, now: float) -> None:
        row = known.row
        row.verdict, row.rules, row.agent = verdict, rules, self._agent
        row.verdict_until = now + max(self._robots.validity, 1.0)
        row.attempts, row.retry_at, row.reason = 0, 0.0, ""
        self._rules_size -= known.size
        known.matcher = None
        known.size = _size(rules)
        self._rules_size += known.size

    def _hold(self, row: OriginRow, outcome: Outcome, now: float) -> None:
        """Ask again later, as often as a page would be; then nothing of the origin is fetched for a while."""
        failure = outcome.failure
        kind = failure.kind if failure is not None else ErrorKind.PROTOCOL
        row.reason = f"robots.txt: {kind.value}" + (f", status {outcome.status}" if outcome.status else "")
        if row.verdict == "refuse":
            row.verdict = ""
        row.attempts += 1
        wait = retry_delay(kind, row.attempts - 1, outcome.retry_after, self._retry)
        row.retry_at = now + wait
        if row.verdict and row.agent == self._agent and now < row.verdict_until + _STALE:
            return  # the last good copy goes on
        row.verdict = ""
        if kind.is_exclusion or row.attempts > self._retry.attempts.get(kind.value, _RETRIES):
            self._refuse(row, row.reason, now)

    def _refuse(self, row: OriginRow, reason: str, now: float) -> None:
        """Nothing is allowed for a while."""
        row.verdict, row.agent, row.reason = "refuse", self._agent, reason
        row.verdict_until = row.retry_at = now + max(self._robots.validity, 1.0)
        row.attempts = row.strikes = 0

    # -- rows ----------------------------------------------------------------------------------------------------

    def row(self, origin: str) -> OriginRow | None:
        """What is kept of *origin*, for people."""
        stored = self._ledger.read_project_meta(self._meta(origin))
        return msgspec.msgpack.decode(stored, type=OriginRow) if stored else None

    def _of(self, origin: str) -> _Known:
        known = self._known.get(origin)
        if known is not None:
            self._known.move_to_end(origin)
            return known
        row = self.row(origin)
        known = self._known[origin] = _Known(row if row is not None else OriginRow(), literal_address(origin))
        known.size = _size(known.row.rules)
        self._rules_size += known.size
        while len(self._known) > _REMEMBERED or (self._rules_size > _RULES_REMEMBERED and len(self._known) > 1):
            self._rules_size -= self._known.popitem(last=False)[1].size
        return known

    def _stage(self, origin: str, known: _Known) -> None:
        self._ledger.stage_project_meta(self._meta(origin), msgspec.msgpack.encode(known.row))

    @staticmethod
    def _meta(origin: str) -> str:
        return f"origin/{origin}"


#: Failures that come with a status which says what robots.txt is.
_ANSWERS: Final = frozenset({ErrorKind.HTTP_429, ErrorKind.HTTP_4XX, ErrorKind.HTTP_5XX})


def _size(rules: RobotsRules | None) -> int:
    """Bytes that rules take in memory, roughly."""
    return 0 if rules is None else sum(_RULE_SIZE + len(rule) for rule in (*rules.allow, *rules.disallow))
