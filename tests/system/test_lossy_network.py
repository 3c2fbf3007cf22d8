"""Three hosts over links that lose every fifth packet, are cut for a while, and have all their connections reset.

``SPYDER_LONG_TESTS=1`` makes the site larger and the cut 30 seconds long.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import yaml

from spyder.model.states import ExitCode
from spyder.testing import LocalSite
from system.namespaces import Namespaces, namespaces  # noqa: F401  the fixture
from system.support import Command, by_url, records, states, wait_until

IS_LONG = os.environ.get("SPYDER_LONG_TESTS") == "1"
LOSS = 0.20
PAGES, CUT = (6000, 30.0) if IS_LONG else (2000, 8.0)
HOSTS, LATENCY, PER_HOST = 4, 0.1, 3
SLOTS = 16
PORT = 8000
#: Seconds for which whatever arrives is answered by a reset: every connection is looked after, or used, meanwhile.
RESET = 5.0
#: Seconds in which the last of the old connections must be gone: TCP_USER_TIMEOUT is twice 3 heartbeats, and some.
SOON = 25.0


def _settings(path: Path, directory: Path, address: str, seeds: tuple[str, ...]) -> str:
    path.write_text(yaml.safe_dump({
        "project": {"seeds": list(seeds)},
        "politeness": {"delay": 0.0, "delay_factor": 0.0, "per_host": PER_HOST},
        "fetch": {"connections": 16},
        "worker": {"slots": SLOTS, "restart_delay": 0.1},
        "output": {"directory": str(directory)},
        "bus": {"mgmt_master": f"tcp://{address}:7701", "mgmt_worker": f"tcp://{address}:7702",
                "outcomes": f"tcp://{address}:7703", "logging": f"tcp://{address}:7704",
                "push": f"tcp://{address}:7710-7799", "insecure": True},
    }))
    return str(path)


def test_a_crawl_survives_loss_a_cut_and_a_reset_of_all_connections(
        tmp_path: Path, namespaces: Namespaces, need: Callable[[str], str]) -> None:  # noqa: F811
    need("iptables")
    need("ss")
    output = tmp_path / "c"
    with ExitStack() as stack:
        # Each worker's host serves the same site on its own loopback: what is lost is lost on the way to the master.
        sites = [stack.enter_context(LocalSite(
            PAGES, hosts=HOSTS, size=3000, links=10, latency=LATENCY, port=PORT, prefix=namespaces.prefix(host)))
            for host in (1, 2)]
        pages = sites[0].urls()
        settings = _settings(tmp_path / "s.yaml", output, namespaces.addresses[0], sites[0].seeds)

        def start(host: int, *arguments: str) -> Command:
            command = namespaces.command(host, "start", *arguments, "--settings", settings)
            stack.callback(command.kill_all)
            assert command.process.stdout is not None
            stack.callback(command.process.stdout.close)
            return command

        def served() -> int:
            return sum(site.report(has_hits=False).requests for site in sites)

        namespaces.lose(LOSS)
        began = time.monotonic()
        sink = start(0, "logsink")
        workers = [start(host, "worker", "--processes", "2") for host in (1, 2)]
        master = start(0, "master", "--until-done")
        wait_until(lambda: all(site.report(has_hits=False).requests for site in sites), "the first pages", 60)

        namespaces.cut(2)
        time.sleep(CUT)
        namespaces.heal(2)
        healed, before = time.monotonic(), sites[1].report(has_hits=False).requests
        wait_until(lambda: sites[1].report(has_hits=False).requests > before, "the other host's return", 60)
        back = time.monotonic() - healed

        old = [namespaces.connections(host) for host in range(3)]
        assert all(old)
        undo = namespaces.reset(0)
        time.sleep(RESET)
        undo()
        assert served() < PAGES, "all that happened while there was work"
        wait_until(lambda: not any(known & namespaces.connections(host) for host, known in enumerate(old)),
                   "the end of all old connections", SOON)

        assert f"{PAGES:,} done, 0 failed, 0 left of {PAGES:,} URLs" in master.succeed(240)
        took = time.monotonic() - began
        for worker in workers:
            _end(worker)
        sink.signal(signal.SIGTERM)
        sink.succeed(20)
        lost = namespaces.lost()
        hits = sum((Counter(site.hits()) for site in sites), Counter())
    log = (output / "logs" / "master.log").read_text()
    returns = Counter(re.findall(r"(missed|greets again|died)\b.*its leases go back", log))
    again = sum(hits.values()) - PAGES
    print(f"\n{took:.0f} s, back {back:.1f} s after the cut; {lost} packets lost; leases went back: {dict(returns)}; "
          f"{again} pages fetched again; {len(records(output)) - PAGES} records twice")
    assert min(lost) > 100, "packets were lost on every host's way"
    assert returns["missed"] >= 2, "both workers behind the cut were missed"
    assert set(hits) == pages
    assert set(by_url(output)) == pages and {record["status"] for record in records(output)} == {200}
    assert states(output) == {"done": PAGES}
    assert again <= SLOTS * returns.total(), "only what a worker held when its leases went back was fetched again"
    assert max(hits.values()) <= 1 + returns.total()


def _end(worker: Command) -> None:
    """Workers end with their master, or, if they were deaf to it at that moment, when they are asked to."""
    try:
        worker.process.wait(5)
    except subprocess.TimeoutExpired:
        worker.signal(signal.SIGTERM)
    output = worker.wait(60)
    assert worker.process.returncode in {ExitCode.OK, ExitCode.HARD_DEADLINE}, output
    assert "Traceback" not in output
