"""A crawl in processes of their own under random kill -9, SIGSTOP, SIGTERM and restarts: nothing gets lost."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from spyder.model.clock import SystemClock
from spyder.nodes.chaos.masters import Figures
from spyder.nodes.chaos.plan import ChaosPlan, chaos_settings
from spyder.nodes.chaos.run import run_chaos
from spyder.settings import Settings
from spyder.testing import LocalSite
from spyder.web.client import MasterClient
from system.support import by_url, records, running, states

PAGES, HOSTS, PER_HOST = 20_000, 50, 2
LATENCY = 0.15  #: seconds: with 100 fetches at a time the crawl takes half a minute, faults left out
#: Faults come for 40 seconds: at least twenty of them, whatever the machine.
PLAN = ChaosPlan(seed=20_000, between=1.5, fault_time=40.0, time_limit=300.0)


def _ask(url: str) -> Figures:
    return msgspec.convert(MasterClient(url).status(), Figures)


def test_twenty_thousand_pages_survive_faults_of_every_kind(tmp_path: Path) -> None:
    output = tmp_path / "c"
    with LocalSite(PAGES, hosts=HOSTS, size=4000, links=10, latency=LATENCY) as site:
        settings = chaos_settings(Settings(), PLAN, directory=output, seeds=site.seeds, connections=32,
                                  per_host=PER_HOST)
        report = run_chaos(settings, site, PLAN, clock=SystemClock(), ask=_ask, tell=print)
        hits, pages = site.hits(), site.urls()
    for check in report.checks:
        print(f"{check.name}: {check.detail}")
    print(f"{len(report.faults)} faults in {report.wall:.0f} s; starts {report.starts}; survived {report.survived}")
    assert len(report.faults) >= 20 and len(report.kinds()) >= 6
    assert report.starts["master"] > 1 and report.starts["log sink"] > 1
    assert report.is_good, [report.hung, *(check for check in report.checks if not check.is_met)]
    # What the run says of itself, seen from outside:
    assert set(hits) == set(by_url(output)) == pages
    assert {record["status"] for record in records(output)} == {200}
    assert states(output) == {"done": PAGES}


def test_the_command_shows_what_it_did_and_ends_well(tmp_path: Path) -> None:
    with running("bench", "--chaos", "--json", "--pages", "1500", "--hosts", "10", "--seed", "5",
                 "--seconds-between", "2", "--latency", "0.05", "--workers", "1",
                 "--output", str(tmp_path / "c")) as command:
        output = command.succeed(180)
    figures = json.loads(output[output.index("\n{") + 1:])  # what it tells meanwhile stands before
    assert figures["is_good"] and figures["hung"] == ""
    assert {check["name"] for check in figures["checks"]} == {"pages", "fetches", "outputs", "books", "ends", "logs"}
    assert figures["faults"] and {"at", "kind", "role", "target", "pid"} <= figures["faults"][0].keys()
    assert figures["site"]["pages"] == len(by_url(tmp_path / "c")) == 1500


def test_a_crawl_that_does_not_end_is_told_of_and_not_waited_for(tmp_path: Path) -> None:
    with running("bench", "--chaos", "--pages", "1000", "--latency", "5", "--seconds-between", "60", "--time-limit",
                 "6", "--output", str(tmp_path / "c")) as command:
        output = command.wait(90)
    assert command.process.returncode == 1
    assert "the crawl did not end within 6 s" in output
    assert "hosts with work:" in output and '"epoch": 1' in output and "spyder.nodes.worker" in output
    assert "WRONG" in output
    assert not command.children()
