"""The web of hosts, crawled with kills and restarts: the servers' own logs show no rule broken and no page missing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest
import yaml

from spyder.testing import HostWeb, WebRules
from spyder.testsite.hostweb.plan import Does, Robots
from spyder.testsite.hostweb.verdict import gaps, open_at_once
from system.support import Command, running, wait_until

IS_LONG = bool(os.environ.get("SPYDER_LONG_TESTS"))
HOSTS = 2000
PAGES = 12 if IS_LONG else 2
#: Seconds for one part of a crawl.
PATIENCE = 1800.0 if IS_LONG else 300.0
RULES = WebRules(delay=0.25, ip_delay=0.05, per_host=1, per_ip=1, max_retry_after=1.0)
#: Upper bounds of the histogram of undercuts, seconds.
BOUNDS = (0.001, 0.002, 0.005, 0.02, 0.1, 1.0)


def _settings(path: Path, web: HostWeb, *, processes: int = 4, **politeness: object) -> Path:
    tree = web.settings() | {
        "project": {"seeds": list(web.seeds)},
        "politeness": {"delay": RULES.delay, "delay_factor": 0.0, "per_host": RULES.per_host,
                       "per_ip": RULES.per_ip, "ip_delay": RULES.ip_delay, "backoff": 0.5, "max_backoff": 1.0,
                       "max_retry_after": RULES.max_retry_after, "slowdown": 0.1, "max_slowdown": 0.2,
                       "park_after": 5, "park_delay": 0.5, "park_factor": 1.0, "max_park_delay": 1.0, "park_looks": 2,
                       **politeness},
        "retry": {"attempts": {"connect": 2, "timeout": 2, "reset": 3, "http-429": 3, "http-5xx": 3},
                  "delay": {"connect": 0.5, "timeout": 0.5, "reset": 0.5, "http-429": 0.5, "http-5xx": 0.5},
                  "factor": 1.0, "max_delay": 1.0},
        "fetch": {"first_byte_timeout": 2.0, "contact": "https://crawler.test/"},
        "worker": {"processes": processes, "slots": 64, "restart_delay": 0.1},
    }
    path.write_text(yaml.safe_dump(tree))
    return path


def _crawling(settings: Path, output: Path) -> AbstractContextManager[Command]:
    return running("crawl", "--settings", str(settings), "--output", str(output), "--json")


def _histogram(undercuts: list[float]) -> str:
    counts = Counter(next((f"< {bound:g} s" for bound in BOUNDS if undercut < bound), "more")
                     for undercut in undercuts if undercut > 0)
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "none"


def _kill(pid: int) -> float:
    """kill -9; when that was."""
    now = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return now


def _figures(web: HostWeb, rules: WebRules) -> str:
    report = web.report(has_log=True)
    measured = gaps(web.hosts, report.requests, rules)
    closest = min(gap.length - gap.needed for gap in measured)
    by_host = open_at_once((one for one in report.connections if one.host >= 0), lambda one: str(one.host))
    by_address = open_at_once(report.connections, lambda one: one.address)
    span = report.requests[-1].start - report.requests[0].start
    return (f"\n{report.count} requests to {len(web.hosts)} hosts in {span:.1f} s; {len(measured)} gaps, the closest "
            f"{closest * 1000:+.1f} ms; undercuts {_histogram([gap.undercut for gap in measured])}; open connections "
            f"(idle ones included) {max(by_host.values())} to one host, {max(by_address.values())} to one address; "
            f"the server's timers were {report.lag * 1000:.0f} ms late at the most, {report.cpu:.1f} s of CPU time")


def test_given_2000_hosts_when_crawled_with_kills_and_restarts_then_no_rule_is_broken_and_no_page_missing(
        tmp_path: Path) -> None:
    output = tmp_path / "c"
    with HostWeb(HOSTS, pages=PAGES) as web:
        settings = _settings(tmp_path / "s.yaml", web)
        total = len(web.allowed()) + HOSTS
        deaths = []
        with _crawling(settings, output) as command:
            wait_until(lambda: web.report().count > total * 0.15, "the first requests", PATIENCE)
            deaths.append(_kill(command.children("fetcher")[0]))
            wait_until(lambda: web.report().count > total * 0.3, "more requests", PATIENCE)
            deaths.append(_kill(command.children("extractor")[-1]))
            wait_until(lambda: web.report().count > total * 0.45, "more requests", PATIENCE)
            orphans = command.children()
            deaths.append(_kill(command.process.pid))
            command.process.wait()
            wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), "the orphans' end", 30)
        with _crawling(settings, output) as command:
            wait_until(lambda: web.report().count > total * 0.65, "more requests", PATIENCE)
            command.signal(signal.SIGTERM)
            command.succeed(60)
        with _crawling(settings, output) as command:
            summary = json.loads(command.succeed(PATIENCE))
        rules = msgspec.structs.replace(RULES, deaths=tuple(deaths))
        print(_figures(web, rules))
        assert web.verdict(rules) == []
        assert web.missed() == set()
        asked = {web.url(web.hosts[request.host], request.path) for request in web.report(has_log=True).requests}
    assert summary["balanced"] is True
    assert asked & web.forbidden() == set()
    _states_are_as_planned(output, web)


def _states_are_as_planned(output: Path, web: HostWeb) -> None:
    """The frontier says of each page what the plan says."""
    with running("frontier", "dump", str(output)) as command:
        views = {view["url"]: view for view in map(json.loads, command.succeed().splitlines())}
    for host in web.hosts:
        for path, does in host.pages:
            view = views.get(web.url(host, path))
            if not host.is_allowed(path):
                assert view is None or view["state"] in {"excluded", "failed"}, view
                if host.robots is Robots.NOTHING:
                    assert view is None or view["state"] == "excluded", view
            elif does is Does.MISSING:
                assert view is not None and (view["state"], view["status"]) == ("failed", 404), view
            else:
                assert view is not None and view["state"] == "done", view


@pytest.mark.parametrize(("per_host", "per_ip"), [(2, 3)])
def test_given_more_connections_than_one_when_crawled_then_never_more_are_used_than_allowed(
        tmp_path: Path, per_host: int, per_ip: int) -> None:
    rules = WebRules(delay=0.0, per_host=per_host, per_ip=per_ip, max_retry_after=0.0)
    with HostWeb(100, pages=8, shared=60, per_address=10, crawl_delay=0.0, latency=0.05) as web:
        settings = _settings(tmp_path / "s.yaml", web, processes=2, delay=0.0, ip_delay=0.0, per_host=per_host,
                             per_ip=per_ip)
        with _crawling(settings, tmp_path / "c") as command:
            command.succeed(PATIENCE)
        requests = web.report(has_log=True).requests
        assert web.verdict(rules) == []
        assert web.missed() == set()
    busiest = Counter[str]()
    for request in requests:
        address = web.hosts[request.host].address
        together = sum(other.start <= request.start < other.end and web.hosts[other.host].address == address
                       for other in requests)
        busiest[address] = max(busiest[address], together)
    assert max(busiest.values()) == per_ip, "the limit was reached, so it was what held"
