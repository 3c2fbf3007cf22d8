"""How much chaos there is to be, and the settings of a crawl that it comes over."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import msgspec

from spyder.errors import SpyderError
from spyder.settings import Settings

#: Seconds after which what has ended is started again, as an init system does.
RESTART_AFTER = 0.5
#: Ports: four addresses, the API, and one for each worker there may be at the same time, orphans included.
_FIXED_PORTS, _PUSH_PORTS = 5, 64
#: Ports below those that the system takes for outgoing connections (Linux: 32768 and up), which the crawl needs itself.
_PORTS = range(15_000, 32_000)
#: Strikes after which a URI would be quarantined: here it is never its fault.
_NEVER = 1_000_000


class ChaosPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How much chaos; times are in seconds."""

    seed: int = 0
    supervisors: int = 2
    workers: int = 2  #: of each supervisor
    between: float = 2.0  #: two faults, on the average
    until: float = 0.85  #: of the pages settled, then no more faults come
    fault_time: float = 150.0  #: after which no more faults come either
    time_limit: float = 600.0  #: after which the crawl has hung


def chaos_settings(settings: Settings, plan: ChaosPlan, *, directory: Path, seeds: tuple[str, ...], connections: int,
                   per_host: int, slots: int = 64) -> Settings:
    """*settings* for a chaos run: without delays, at free ports of loopback, its outputs in *directory*.

    Restarts and retries come soon, and no URI is quarantined: what kills its workers is not the page.
    """
    replace = msgspec.structs.replace
    first = _free_ports(_FIXED_PORTS + _PUSH_PORTS)
    addresses = [f"tcp://127.0.0.1:{first + number}" for number in range(4)]
    push = first + _FIXED_PORTS
    return replace(
        settings, project=replace(settings.project, seeds=seeds),
        output=replace(settings.output, directory=str(directory)),
        frontier=replace(settings.frontier, directory=None), limits=replace(settings.limits, pages=None, time=None),
        politeness=replace(settings.politeness, delay=0.0, delay_factor=0.0, per_host=per_host, backoff=0.5),
        retry=replace(settings.retry, delay=dict.fromkeys(settings.retry.delay, 1.0), quarantine_after=_NEVER),
        fetch=replace(settings.fetch, connections=connections),
        worker=replace(settings.worker, processes=plan.workers, slots=slots, restart_delay=RESTART_AFTER,
                       restart_max=2.0, drain=5.0),
        bus=replace(settings.bus, mgmt_master=addresses[0], mgmt_worker=addresses[1], outcomes=addresses[2],
                    logging=addresses[3], push=f"tcp://127.0.0.1:{push}-{push + _PUSH_PORTS - 1}", stage="ipc://"),
        api=replace(settings.api, address="127.0.0.1", port=first + 4, token=""),
        log=replace(settings.log, directory=None))


def _free_ports(count: int) -> int:
    """The first of *count* ports of 127.0.0.1 in a row that nobody uses now."""
    for first in random.sample(range(_PORTS.start, _PORTS.stop - count), 100):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise SpyderError(f"no {count} ports in a row are free on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
