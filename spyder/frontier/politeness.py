"""How long hosts and addresses rest, and how many connections they bear: the master's politeness, pure but for rows."""

from __future__ import annotations

from spyder.frontier import policy
from spyder.frontier.active import ActiveHosts
from spyder.frontier.hosts import ActiveHost
from spyder.model.clock import Clock
from spyder.model.records import HostRow
from spyder.model.states import ErrorKind
from spyder.settings import PolitenessSection


class Fetch:
    """How a fetch ended, as politeness sees it."""

    __slots__ = ("began_at", "crawl_delay", "elapsed", "retry_after", "status", "trouble")

    def __init__(self, *, elapsed: float = 0.0, trouble: ErrorKind | None = None, retry_after: float = 0.0,
                 status: int = 0, began_at: float = 0.0) -> None:
        self.elapsed = elapsed  #: seconds
        self.trouble = trouble  #: the host's, when it is in trouble
        self.retry_after = retry_after  #: seconds that the server asked for
        self.status = status  #: HTTP status, 0 when there was no answer
        self.began_at = began_at  #: wall time; 0 when nobody knows
        self.crawl_delay = 0.0  #: seconds that the robots.txt of its origin asks for


class Politeness:
    """Delays of hosts and of the addresses that they share: the later one counts. Rows are staged by the caller."""

    def __init__(self, settings: PolitenessSection, hosts: ActiveHosts, clock: Clock) -> None:
        self._settings = settings
        self._hosts = hosts
        self._clock = clock
        self._ip_delay = min(settings.ip_delay, settings.delay)  # one host alone is not treated worse for its address

    def begin(self, host: ActiveHost, now: float, *, crawl_delay: float) -> None:
        """A fetch from *host* begins, whose robots.txt asks for *crawl_delay* seconds."""
        row = host.row
        host.connect()
        row.crawl_delay = crawl_delay
        delay = max(self._settings.delay, crawl_delay)
        if delay:
            row.next_at = max(row.next_at, now + delay + row.slowdown)
        if self._ip_delay:
            host.address.next_at = max(host.address.next_at, now + self._ip_delay)

    def end(self, host: ActiveHost, fetch: Fetch, now: float) -> None:
        """A fetch from *host* ended: its next turn counts from now."""
        host.disconnect()
        if fetch.trouble is None or fetch.began_at > host.trouble_at:
            self.rest_after(host.row, fetch, now)
        else:  # begun before its last trouble: the same trouble once more
            self.rest(host.row, fetch.elapsed)
        if fetch.trouble is not None:
            host.trouble_at = now
        self.free(host, now)

    def free(self, host: ActiveHost, now: float) -> None:
        """A connection to the address of *host* is free again."""
        if self._ip_delay:
            host.address.next_at = max(host.address.next_at, now + self._ip_delay)
        self._hosts.wake(host.address)

    def rest(self, row: HostRow, elapsed: float = 0.0) -> None:
        """A host rests for its delay from now on, after a fetch that took *elapsed* seconds."""
        row.next_at = max(row.next_at, self._clock.now() + self._delay(row, elapsed))

    def rest_after(self, row: HostRow, fetch: Fetch, now: float) -> None:
        """How long a host rests after a fetch that maybe met with trouble."""
        row.slowdown = policy.slowdown(row.slowdown, fetch.status, self._settings)
        rest = 0.0
        if fetch.trouble is None:
            row.errors = row.unanswered = 0
            row.given_up_until = 0.0
        else:
            row.errors += 1
            row.last_error = fetch.trouble.value
            row.unanswered = row.unanswered + 1 if fetch.trouble in policy.UNANSWERED else 0
            rest = policy.host_backoff(row.errors, fetch.retry_after, self._settings)
            parking = policy.parking(row.unanswered, self._settings)
            if parking is not None:
                if parking.is_given_up:
                    self._give_up(row, now)
                    return
                rest = max(parking.rest, min(fetch.retry_after, self._settings.max_retry_after))
        delay = max(self._delay(row, fetch.elapsed), fetch.crawl_delay)
        row.next_at = max(row.next_at, now + max(rest, delay))

    def _give_up(self, row: HostRow, now: float) -> None:
        """Nothing answers there: what is queued fails; after a while a single look tells whether it is back."""
        row.given_up_until = now + self._settings.given_up_for
        row.unanswered -= 1
        row.next_at = now

    def _delay(self, row: HostRow, elapsed: float) -> float:
        return max(policy.politeness_delay(elapsed, self._settings), row.crawl_delay) + row.slowdown
