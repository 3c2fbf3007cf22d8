"""A running master as its watchdog and ``spyder explain`` see it: figures of coordinator and frontier, nothing else."""

from __future__ import annotations

import logging

from spyder.bus.mgmt import Peer, PeerState
from spyder.model.clock import Clock
from spyder.nodes.coordinator import Coordinator
from spyder.nodes.explain import HostActivity, LeaseView
from spyder.nodes.watchdog import Details, Holder, Progress, Watchdog, slowest_page
from spyder.settings import Settings

_log = logging.getLogger(__name__)

#: Hosts waiting on disk that are looked at to tell why all rest.
_HOSTS = 2000


class LiveView:
    """Fulfils :class:`spyder.nodes.explain.Live`; :meth:`watch` is to be called with every heartbeat."""

    def __init__(self, core: Coordinator, settings: Settings, clock: Clock) -> None:
        self.stalled = ""  #: what the watchdog says
        self._core = core
        self._frontier = core.frontier
        self._clock = clock
        self._watchdog = Watchdog(settings.master.watchdog, slow_page=slowest_page(settings))

    def watch(self) -> None:
        """Have the watchdog look, and log what it wants logged."""
        verdict = self._watchdog.look(self._clock.monotonic(), self.progress(), self.details)
        self.stalled = verdict.stalled
        if verdict.log is not None:
            _log.log(logging.WARNING if verdict.is_alarm else logging.INFO, "%s", verdict.log)

    def progress(self) -> Progress:
        """The master's figures."""
        core, frontier = self._core, self._frontier
        books, ready = frontier.books, core.roster.ready()
        return Progress(
            now=self._clock.now(), settled=frontier.counts["fetches"] + books.settled,
            returned=frontier.counts["leases_returned"], queued=books.queued - frontier.leased,
            scheduled=books.scheduled, leased=frontier.leased, workers=core.workers, ready=len(ready),
            free=core.free_slots, troubles={peer.worker: peer.load.trouble for peer in ready if peer.load.trouble},
            trouble=core.trouble, low_disk=core.low_disk, held=core.stopping,
            is_limit_reached=frontier.is_limit_reached, is_in_grace=core.is_in_grace,
            next_wake=frontier.next_wake())

    def details(self) -> Details:
        """What takes a walk over workers, leases and hosts to know."""
        now, frontier = self._clock.now(), self._frontier
        holders = []
        for peer in self._core.roster:
            leases = frontier.leases_of(peer.worker)
            if leases:
                holders.append(Holder(worker=peer.worker, leases=len(leases),
                                      oldest=now - min(lease.since for lease in leases)))
        resting, is_cut = frontier.resting_hosts(_HOSTS)
        unready = {peer.worker: _missing(peer) for peer in self._core.roster if peer.state is not PeerState.READY}
        return Details(unready=unready, holders=tuple(holders), resting=resting, is_cut=is_cut)

    def lease_of(self, key: bytes) -> LeaseView | None:
        """The lease of the URI *key*, if it has one."""
        lease = self._frontier.lease_of(key)
        return None if lease is None else LeaseView(
            worker=lease.worker, held=self._clock.now() - lease.since, is_fetched=lease.is_fetched)

    def host_activity(self, host: bytes) -> HostActivity | None:
        """The host with this key, if it is active."""
        active = self._frontier.active_host(host)
        return None if active is None else HostActivity(
            row=active.row, fetching=active.fetching, leases=dict(self._frontier.leases_at(active)))


def _missing(peer: Peer) -> str:
    """Why a worker gets no leases."""
    if peer.state is PeerState.QUITTING:
        return "it is ending"
    missing = [what for what, is_there in (("heartbeat", peer.has_beaten), ("probe", peer.has_probed)) if not is_there]
    return f"welcomed, but no {' and no '.join(missing)} of it has come"
