"""What an outcome means for its URI and its host: pure decisions, no state kept."""

from __future__ import annotations

from typing import Final

import msgspec

from spyder.model.records import Outcome
from spyder.model.states import ErrorKind, UriState
from spyder.settings import PolitenessSection, RetrySection


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a URI."""

    state: UriState
    reason: str = ""
    retry_in: float = 0.0  #: seconds, for SCHEDULED


def decide(outcome: Outcome, *, attempt: int, retry: RetrySection) -> Decision:
    """The state after *outcome*, when *attempt* earlier fetches have already ended in a retry.

    A failure is retried as often as its class is worth, each time ``factor`` times later, never sooner than the server
    asked for (Retry-After, RFC 9110 section 10.2.3).
    """
    failure = outcome.failure
    if failure is None:
        return Decision(state=UriState.DONE)
    if failure.kind.is_exclusion:
        return Decision(state=UriState.EXCLUDED, reason=failure.kind.value)
    if attempt < retry.retries(failure.kind):
        return Decision(state=UriState.SCHEDULED, reason=failure.kind.value,
                        retry_in=retry_delay(failure.kind, attempt, outcome.retry_after, retry))
    return Decision(state=UriState.FAILED, reason=failure.kind.value)


def retry_delay(kind: ErrorKind, attempt: int, retry_after: float, retry: RetrySection) -> float:
    """Seconds before the next attempt: ``delay * factor ** attempt``, cut to ``max_delay``, at least *retry_after*."""
    delay = min(retry.delay.get(kind.value, 30.0) * retry.factor ** min(attempt, 30), retry.max_delay)
    return max(delay, min(retry_after, retry.max_delay))


def politeness_delay(elapsed: float, politeness: PolitenessSection) -> float:
    """Seconds between the end of a fetch that took *elapsed* and the next one to its host."""
    return max(politeness.delay, min(politeness.delay_factor * elapsed, politeness.max_delay))


class Parking(msgspec.Struct, frozen=True, kw_only=True):
    """What follows when nothing answers at a host."""

    rest: float  #: seconds until the next look
    is_given_up: bool = False  #: its URIs fail unfetched from now on


def parking(unanswered: int, politeness: PolitenessSection) -> Parking | None:
    """How a host is parked after *unanswered* failed connections in a row; None while they are too few for that.

    The looks at a parked host come ``park_delay * park_factor ** n`` seconds apart; after ``park_looks`` in vain it is
    given up.
    """
    looks = unanswered - politeness.park_after
    if looks < 0:
        return None
    if politeness.park_looks is not None and looks >= politeness.park_looks:
        return Parking(rest=0.0, is_given_up=True)
    rest = politeness.park_delay * politeness.park_factor ** min(looks, 30)
    return Parking(rest=min(rest, politeness.max_park_delay))


def slowdown(seconds: float, status: int, politeness: PolitenessSection) -> float:
    """Seconds that are added to a host's delay after an answer with *status*, when *seconds* were before.

    A 429 or 503 doubles them, a good answer takes a fifth off.
    """
    if status in _SLOW_DOWN:
        return min(max(2 * seconds, politeness.slowdown), politeness.max_slowdown)
    if not seconds or not 200 <= status < 400:
        return seconds
    return seconds * 0.8 if seconds > _NO_SLOWDOWN else 0.0


def host_backoff(errors: int, retry_after: float, politeness: PolitenessSection) -> float:
    """Seconds that a host rests after its *errors*-th trouble in a row; a server's own wish comes first."""
    growth = min(errors - 1, 30)
    rest = min(politeness.backoff * 2.0 ** growth, politeness.max_backoff)
    return max(rest, min(retry_after, politeness.max_retry_after))


#: Statuses by which a server says that it is too much (RFC 6585, section 4; RFC 9110, section 15.6.4).
_SLOW_DOWN: Final = frozenset({429, 503})
#: Seconds below which a slowdown is none.
_NO_SLOWDOWN: Final = 0.05
#: Trouble of a connection: nothing answered. Any status shows that the host is there.
UNANSWERED: Final = frozenset({ErrorKind.DNS, ErrorKind.CONNECT, ErrorKind.TLS, ErrorKind.TIMEOUT, ErrorKind.RESET})


def host_trouble(outcome: Outcome) -> ErrorKind | None:
    """The failure of an outcome, if the whole host is in trouble."""
    failure = outcome.failure
    return failure.kind if failure is not None and failure.kind.is_host_trouble else None
