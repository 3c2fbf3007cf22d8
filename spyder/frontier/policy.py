"""What an outcome means for its URI and its host: pure decisions, no state kept."""

from __future__ import annotations

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


def host_backoff(errors: int, retry_after: float, politeness: PolitenessSection) -> float:
    """Seconds that a host rests after its *errors*-th trouble in a row; a server's own wish comes first."""
    growth = min(errors - 1, 30)
    rest = min(politeness.backoff * 2.0 ** growth, politeness.max_backoff)
    return max(rest, min(retry_after, politeness.max_retry_after))


def host_trouble(outcome: Outcome) -> ErrorKind | None:
    """The failure of an outcome, if the whole host is in trouble."""
    failure = outcome.failure
    return failure.kind if failure is not None and failure.kind.is_host_trouble else None
