"""A disk that fills up in the middle of a crawl: it pauses with an alarm, loses nothing, and goes on with room."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from spyder.testing import LocalSite
from system.smalldisk import SmallDisk, small_disk
from system.support import Command, by_url, running, wait_until

PAGES = 1000
MB = 1_000_000
#: Seconds that a paused crawl is watched: it must not fetch, and not end.
WATCHED = 2.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=40) as disk:
        yield disk


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite(pages=PAGES, hosts=3, size=3000, links=20, latency=0.02) as site:
        yield site


def start(site: LocalSite, crawl_directory: Path, tmp_path: Path, /, **sections: dict[str, Any]) -> Any:
    """A crawl of *site* that lasts for some seconds."""
    settings = tmp_path / "s.yaml"
    settings.write_text(yaml.safe_dump({"worker": {"slots": 48}, **sections}))
    return running("crawl", *site.seeds, "--settings", str(settings), "--output", str(crawl_directory), "--delay",
                   "0", "--per-host", "2", "--concurrency", "6", "--json")


def status(output: Path) -> dict[str, Any]:
    with running("status", "--json", "--output", str(output)) as command:
        text = command.wait(30)
    return json.loads(text) if command.process.returncode == 0 else {}


def is_paused(output: Path, reason: str) -> bool:
    figures = status(output)
    return figures.get("state") == "paused" and reason in figures["reason"]


def stands_still(site: LocalSite) -> bool:
    """True when no page was asked for since a moment ago."""
    before = site.report().requests
    time.sleep(0.7)
    return site.report().requests == before


def pause_and_go_on(site: LocalSite, command: Command, disk: SmallDisk, output: Path, *, leave: int,
                    reason: str) -> dict[str, Any]:
    """Fill the disk in the middle of the crawl, see it pause, give the room back; the summary at the end."""
    wait_until(lambda: site.report().requests >= 200, "two hundred pages")
    disk.fill(leave=leave)
    wait_until(lambda: is_paused(output, reason), f"the pause ({reason})")
    wait_until(lambda: stands_still(site), "the last fetches")
    fetched = site.report().requests
    assert fetched < PAGES, "it paused too late to show anything"
    end = time.monotonic() + WATCHED
    while time.monotonic() < end:
        if not leave:
            disk.fill()
        assert is_paused(output, reason)
        assert command.process.poll() is None
    assert site.report().requests == fetched
    children = command.children()
    figures = status(output)
    assert figures["is_balanced"] is True
    disk.relieve()
    wait_until(lambda: status(output).get("state") != "paused", "the end of the pause")
    summary: dict[str, Any] = json.loads(command.succeed(120))
    assert children and all(not Path(f"/proc/{child}").exists() for child in children)
    return summary


def check(site: LocalSite, summary: dict[str, Any], output: Path) -> None:
    """All is there, once, and the books balance."""
    assert summary["reason"] == "done" and summary["done"] == PAGES and summary["balanced"] is True
    assert site.hits() == dict.fromkeys(site.urls(), 1), "nothing was fetched twice"
    assert by_url(output) == dict.fromkeys(site.urls(), 1), "every page has its record"


def test_a_disk_with_less_than_the_reserve_pauses_the_crawl_before_it_is_full(tmp_path, disk, site):
    output = disk.path / "c"
    with start(site, output, tmp_path, frontier={"reserve": 8 * MB}, output={"reserve": 8 * MB}) as command:
        summary = pause_and_go_on(site, command, disk, output, leave=5 * MB,
                                  reason="less than frontier.reserve (8.0 MB)")
    check(site, summary, output)
    log = (output / "logs" / "master.log").read_text()
    assert log.count("nothing more is fetched until there is room") == 1
    assert log.count("there is room on the frontier's disk again") == 1
    assert "Traceback" not in log + (output / "logs" / "worker.log").read_text()


def test_a_disk_that_is_really_full_pauses_the_crawl_and_nothing_is_lost(tmp_path, disk, site):
    output = disk.path / "c"
    with start(site, output, tmp_path, frontier={"reserve": 0}, output={"reserve": 0}) as command:
        summary = pause_and_go_on(site, command, disk, output, leave=0, reason="can't be written")
    check(site, summary, output)
    for path in (output / "logs").iterdir():
        lines = path.read_text().splitlines()
        assert all(line.startswith("20") for line in lines), "log lines are whole, and none is a traceback's"


def test_a_frontier_on_a_full_disk_pauses_the_crawl_and_workers_keep_what_they_have(tmp_path, disk, site):
    output = tmp_path / "c"
    with start(site, output, tmp_path, frontier={"directory": str(disk.path / "frontier"), "reserve": 0},
               output={"reserve": 0}) as command:
        summary = pause_and_go_on(site, command, disk, output, leave=0, reason="frontier can't be written: IO error")
    check(site, summary, output)
    log = (output / "logs" / "master.log").read_text()
    assert summary["counts"]["commits_failed"] > 1 and log.count("the frontier can't be written") <= 2
    assert "the frontier can be written again" in log and "Traceback" not in log


def test_outputs_on_a_full_disk_pause_the_worker_and_the_frontier_goes_on(tmp_path, disk, site):
    output = disk.path / "c"
    with start(site, output, tmp_path, frontier={"directory": str(tmp_path / "frontier"), "reserve": 0},
               log={"directory": str(tmp_path / "logs")}, output={"reserve": 0}) as command:
        summary = pause_and_go_on(site, command, disk, output, leave=0, reason="its outputs can't be written")
    check(site, summary, output)
    log = (tmp_path / "logs" / "worker.log").read_text()
    assert 1 <= log.count("outputs can't be written") <= 3 and log.count("outputs can be written again") >= 1


def test_outputs_with_less_than_their_reserve_pause_the_worker_before_the_disk_is_full(tmp_path, disk, site):
    output = disk.path / "c"
    with start(site, output, tmp_path, frontier={"directory": str(tmp_path / "frontier"), "reserve": 0},
               log={"directory": str(tmp_path / "logs")}, output={"reserve": 8 * MB}) as command:
        summary = pause_and_go_on(site, command, disk, output, leave=5 * MB, reason="less free than output.reserve")
    check(site, summary, output)
    assert "less than output.reserve (8.0 MB)" in (tmp_path / "logs" / "worker.log").read_text()


def test_a_worker_that_is_killed_while_the_disk_is_full_is_replaced_and_waits_for_room(tmp_path, disk, site):
    output = disk.path / "c"
    with start(site, output, tmp_path, frontier={"directory": str(tmp_path / "frontier"), "reserve": 0},
               log={"directory": str(tmp_path / "logs")}, output={"reserve": 0},
               worker={"slots": 48, "restart_delay": 0.1}) as command:
        wait_until(lambda: site.report().requests >= 100, "a hundred pages")
        disk.fill()
        wait_until(lambda: is_paused(output, "its outputs can't be written"), "the pause")
        [extractor] = command.children("extractor")
        os.kill(extractor, signal.SIGKILL)
        wait_until(lambda: command.children("extractor") not in ([], [extractor]), "another worker")
        disk.fill()
        time.sleep(1.0)
        assert command.process.poll() is None
        disk.relieve()
        summary = json.loads(command.succeed(120))
    assert summary["reason"] == "done" and summary["done"] == PAGES and summary["balanced"] is True
    assert set(by_url(output)) == site.urls() == set(site.hits())
    assert sum(site.hits().values()) <= PAGES + 48, "only what the dead worker held was fetched again"


@pytest.mark.parametrize("is_frontier", [True, False])
def test_a_crawl_that_is_stopped_on_a_full_disk_ends_in_time_and_goes_on_later(tmp_path, disk, site, is_frontier):
    output = tmp_path / "c" if is_frontier else disk.path / "c"
    sections = {"frontier": {"directory": str((disk.path if is_frontier else tmp_path) / "frontier"), "reserve": 0},
                "output": {"reserve": 0}, "log": {"directory": str(tmp_path / "logs")},
                "worker": {"slots": 48, "drain": 3.0}}
    with start(site, output, tmp_path, **sections) as command:
        wait_until(lambda: site.report().requests >= 100, "a hundred pages")
        disk.fill()
        wait_until(lambda: is_paused(output, "can't be written"), "the pause")
        command.signal(signal.SIGTERM)
        text = command.wait(30)
        assert "Traceback" not in text and command.process.returncode in {0, 6}
    disk.relieve()
    with start(site, output, tmp_path, **sections) as command:
        summary = json.loads(command.succeed(120))
    assert summary["done"] == PAGES and summary["balanced"] is True
    assert set(by_url(output)) == site.urls() == set(site.hits())
    assert sum(site.hits().values()) <= PAGES + 48, "only what could not be settled was fetched again"
