"""kill -9 of any process: nothing is missing afterwards, and what is fetched twice was in flight."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from spyder.testing import LocalSite
from system.support import Command, by_url, crawl, running, states, wait_until

PAGES = 400
SLOTS = 64


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(f"worker:\n  slots: {SLOTS}\n  restart_delay: 0.1\n")
    return path


def _crawling(site: LocalSite, settings: Path, output: Path) -> AbstractContextManager[Command]:
    return running("crawl", site.seeds[0], "--output", str(output), "--delay", "0", "--per-host", "8", "--settings",
                   str(settings), "--json")


@pytest.mark.parametrize("role", ["fetcher", "extractor"])
def test_a_killed_stage_loses_nothing(tmp_path: Path, settings: Path, role: str) -> None:
    output = tmp_path / "c"
    with LocalSite(pages=PAGES, hosts=1, latency=0.01) as site:
        with _crawling(site, settings, output) as command:
            wait_until(lambda: site.report().requests >= 80, "the first pages")
            os.kill(command.children(role)[0], signal.SIGKILL)
            command.succeed()
        hits = site.hits()
    assert set(hits) == site.urls()
    assert sum(count - 1 for count in hits.values()) <= SLOTS
    assert set(by_url(output)) == site.urls()
    assert states(output) == {"done": PAGES}


def test_a_killed_master_loses_nothing(tmp_path: Path, settings: Path) -> None:
    output = tmp_path / "c"
    with LocalSite(pages=PAGES, hosts=1, latency=0.01) as site:
        with _crawling(site, settings, output) as command:
            wait_until(lambda: site.report().requests >= 80, "the first pages")
            orphans = command.children()
            command.signal(signal.SIGKILL)
            command.process.wait()
            wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), "the orphans' end", 15)
        summary = crawl(site.seeds[0], "--per-host", "8", "--settings", str(settings), output=output)
        hits = site.hits()
    assert summary["done"] == PAGES and summary["balanced"] is True
    assert set(hits) == site.urls()
    assert sum(count - 1 for count in hits.values()) <= SLOTS
    assert set(by_url(output)) == site.urls()


def test_everything_killed_again_and_again_ends_complete(tmp_path: Path, settings: Path) -> None:
    output = tmp_path / "c"
    with LocalSite(pages=PAGES, hosts=2, latency=0.01) as site:
        for goal in (60, 140, 220):
            with running("crawl", *site.seeds, "--output", str(output), "--delay", "0", "--per-host", "4",
                         "--settings", str(settings)) as command:
                wait_until(lambda goal=goal: site.report().requests >= goal, f"{goal} requests")
                command.kill_all()
        summary = crawl(*site.seeds, "--per-host", "8", "--settings", str(settings), output=output)
        hits = site.hits()
    assert summary["done"] == PAGES and summary["balanced"] is True
    assert set(hits) == site.urls() == set(by_url(output))
    assert sum(count - 1 for count in hits.values()) <= 3 * SLOTS
