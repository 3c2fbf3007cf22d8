"""Workers that die, hang, or grow too large in a real crawl: they are replaced, the reason is told, no page is lost."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spyder.nodes.status import FAULTS
from spyder.testing import LocalSite
from system.support import Command, by_url, crawl, running, states, wait_until

PAGES = 60
SLOTS = 8
#: Deaths after which a page is set aside.
STRIKES = 2
#: Seconds without progress; long enough for a start on a slow machine.
HANG = 6.0
POISON = "page-17.html"

MODULE = f'''
import ctypes, itertools, os, subprocess, sys, time

kept = []


def is_poison(page):
    return page.url.endswith("{POISON}")


def segfault(page):
    if is_poison(page):
        ctypes.string_at(0)


def leave(page):
    if is_poison(page):
        os._exit(0)


def hold_the_interpreter(page):
    if is_poison(page):
        sum(itertools.repeat(1, 10 ** 15))


def eat(page):
    while is_poison(page):
        kept.append(b"x" * 20_000_000)
        time.sleep(0.02)


def leak(page):
    kept.append(b"x" * 1_000_000)


def work_long(page):
    if is_poison(page):
        time.sleep({HANG * 0.6})


def start_others(page):
    if not kept:
        kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL))
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def _settings(project: Path, processor: str = "", *, timeout: float = 0.0, stage: str = "ipc://", **worker: Any) -> str:
    worker = {"slots": SLOTS, "restart_delay": 0.1, "restart_max": 1.0, "hang_timeout": HANG, **worker}
    lines = [f"bus: {{heartbeat: 0.5, stage: '{stage}'}}", f"worker: {worker}".replace("'", ""),
             f"retry: {{quarantine_after: {STRIKES}, delay: {{worker-died: 0.1}}}}", "extract: {max_parse_time: 2}"]
    if processor:
        lines.append(f"processors: {[{'use': f'mine:{name}', 'timeout': timeout} for name in processor.split()]}")
    path = project / "s.yaml"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@contextmanager
def _crawling(site: LocalSite, settings: str, project: Path) -> Iterator[Command]:
    with running("crawl", *site.seeds, "--output", str(project / "c"), "--delay", "0", "--per-host", "8", "--settings",
                 settings, "--json", cwd=project) as command:
        yield command


def _logged(project: Path, text: str) -> list[str]:
    """Lines of all logs that hold *text*."""
    return [line for path in (project / "c/logs").glob("*.log") for line in path.read_text().splitlines()
            if text in line]


def _faults(summary: dict[str, Any]) -> dict[str, int]:
    """What only happens when something went wrong, and did."""
    return {name: count for name, count in summary["counts"].items() if name in FAULTS and count}


@pytest.mark.parametrize(("processor", "reason", "options"), [
    ("segfault", "its extractor was ended by signal 11 (SIGSEGV)", {}),
    ("leave", "its extractor ended with code 0 in the middle of a page", {}),
    ("hold_the_interpreter", f"its extractor made no progress for {HANG:g} s (worker.hang_timeout)", {"timeout": 1.0}),
    ("hold_the_interpreter", f"its process made no progress for {HANG:g} s (worker.hang_timeout)",
     {"stage": "inproc://"}),
    ("eat", "more than worker.memory_hard (400 MB)", {"memory_hard": 400_000_000}),
], ids=["crash", "exit", "hang", "hang-in-one-process", "memory"])
def test_a_page_that_takes_workers_down_is_set_aside_and_nothing_else_is_lost(
        project: Path, processor: str, reason: str, options: dict[str, Any]) -> None:
    with LocalSite(pages=PAGES, hosts=1, links=6) as site:
        with _crawling(site, _settings(project, processor, **options), project) as command:
            wait_until(lambda: _logged(project, f"died: {reason}" if reason.startswith("its") else reason),
                       "the first death", 60)
            output = command.succeed(90)
        hits = site.hits()
    deaths = _logged(project, "; a new one starts in 0.1 s")
    assert len(deaths) == STRIKES and all(reason in line for line in deaths)
    assert "Traceback" not in output
    assert states(project / "c") == {"done": PAGES - 1, "quarantined": 1}
    poison = next(url for url in site.urls() if url.endswith(POISON))
    assert set(hits) == site.urls() and hits[poison] == STRIKES
    assert sum(hits.values()) - PAGES <= STRIKES * SLOTS
    assert set(by_url(project / "c")) >= site.urls() - {poison}


def test_a_worker_that_leaks_is_replaced_and_nothing_is_fetched_twice(project: Path) -> None:
    pages = 300
    with LocalSite(pages=pages, hosts=2, links=6, latency=0.05) as site:  # slow enough to be looked at in between
        summary = crawl(*site.seeds, "--per-host", "8", "--settings",
                        _settings(project, "leak", memory_soft=180_000_000), output=project / "c", cwd=project)
        assert site.hits() == dict.fromkeys(site.urls(), 1)
    replaced = _logged(project, "more than worker.memory_soft (180 MB)")
    assert replaced and all("is to finish what it holds and to be replaced: its extractor uses" in line
                            for line in replaced)
    assert summary["done"] == pages
    assert by_url(project / "c") == dict.fromkeys(site.urls(), 1)
    assert _faults(summary) == {}


@pytest.mark.parametrize("stage", ["ipc://", "inproc://"])
def test_workers_are_replaced_after_their_pages_and_nothing_is_fetched_twice(project: Path, stage: str) -> None:
    pages = 400
    with LocalSite(pages=pages, hosts=2, links=6, latency=0.05) as site:  # at most 40 pages between two looks
        summary = crawl(*site.seeds, "--per-host", "2", "--settings", _settings(project, stage=stage, max_pages=60),
                        output=project / "c", cwd=project)
        assert site.hits() == dict.fromkeys(site.urls(), 1)
    assert len(_logged(project, "(worker.max_pages is 60)")) >= 2
    assert _logged(project, " died: ") == []
    assert summary["done"] == pages
    assert by_url(project / "c") == dict.fromkeys(site.urls(), 1)
    assert _faults(summary) == {}


def test_a_crashed_fetcher_is_followed_by_a_careful_one_until_that_has_lived_through_it(project: Path) -> None:
    with LocalSite(pages=PAGES, hosts=1, links=6, latency=0.1) as site:
        with _crawling(site, _settings(project), project) as command:
            wait_until(lambda: site.report().requests >= 10, "the first pages")
            os.kill(command.children("fetcher")[0], signal.SIGSEGV)
            command.succeed()
        hits = site.hits()
    assert len(_logged(project, "its fetcher was ended by signal 11 (SIGSEGV); a new one starts in 0.1 s, and fetches "
                                "one page at a time at first")) == 1
    proven = [re.search(r"replaced: it lived through (\d+) pages in \d+ s, one fetch at a time", line)
              for line in _logged(project, "one fetch at a time")]
    assert [found and int(found[1]) >= 2 * SLOTS for found in proven] == [True]
    assert states(project / "c") == {"done": PAGES}
    assert sum(hits.values()) - PAGES <= SLOTS


#: Makes the HTTP client of every fetcher's process crash at the end of one page's transfer, among others under way.
CRASHING_CLIENT = f'''
import sys

if "fetcher" in sys.orig_argv:
    import ctypes

    from spyder.fetch.transport import Transport

    fetch = Transport.fetch

    def crashing(self, uri, on_done):
        def done(page, body):
            if uri.url.endswith("{POISON}"):
                ctypes.string_at(0)
            on_done(page, body)

        fetch(self, uri, done)

    Transport.fetch = crashing
'''


def test_a_page_that_crashes_the_http_client_is_found_by_careful_workers_and_set_aside(project: Path) -> None:
    (project / "sitecustomize.py").write_text(CRASHING_CLIENT)
    path = os.pathsep.join(filter(None, (str(project), os.environ.get("PYTHONPATH"))))
    with LocalSite(pages=PAGES, hosts=1, links=6) as site:
        crawl(*site.seeds, "--per-host", "8", "--settings", _settings(project), output=project / "c", cwd=project,
              environ={"PYTHONPATH": path})
        hits = site.hits()
    deaths = _logged(project, "its fetcher was ended by signal 11 (SIGSEGV); a new one starts")
    assert 1 + STRIKES <= len(deaths) <= 2 * STRIKES, "each strike is found alone, after a death in a crowd at most"
    assert states(project / "c") == {"done": PAGES - 1, "quarantined": 1}
    poison = next(url for url in site.urls() if url.endswith(POISON))
    assert set(hits) == site.urls() and hits[poison] == len(deaths)


def test_a_frozen_fetcher_is_replaced_and_frozen_time_of_all_does_not_count(project: Path) -> None:
    pages = 400
    with (LocalSite(pages=pages, hosts=1, links=6, latency=0.1) as site,
          _crawling(site, _settings(project), project) as command):
        wait_until(lambda: site.report().requests >= 10, "the first pages")
        os.killpg(command.process.pid, signal.SIGSTOP)
        time.sleep(HANG + 2)
        os.killpg(command.process.pid, signal.SIGCONT)
        requests = site.report().requests
        wait_until(lambda: site.report().requests > requests + 20, "the crawl to go on")
        assert _logged(project, " died: ") == []
        frozen = command.children("fetcher")
        os.kill(frozen[0], signal.SIGSTOP)
        wait_until(lambda: _logged(project, f"its fetcher made no progress for {HANG:g} s"), "its death")
        wait_until(lambda: command.children("fetcher") not in ([], frozen), "its successor")
        command.succeed()
    assert len(_logged(project, "; a new one starts in")) == 1
    assert states(project / "c") == {"done": pages}


def test_workers_of_a_dead_supervisor_end_although_one_hangs_in_native_code(project: Path) -> None:
    with LocalSite(pages=PAGES, hosts=1, links=6) as site, _crawling(
            site, _settings(project, "hold_the_interpreter", hang_timeout=1000), project) as command:
        wait_until(lambda: site.hits().get(next(url for url in site.urls() if url.endswith(POISON))), "the poison")
        orphans = command.children()
        assert len(orphans) == 2
        command.signal(signal.SIGKILL)
        command.process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), "the orphans' end", 30)


def test_processors_that_work_long_but_within_their_limits_do_not_hang(project: Path) -> None:
    with LocalSite(pages=20, hosts=1, links=6) as site:
        crawl(*site.seeds, "--settings", _settings(project, "work_long work_long work_long", timeout=HANG * 0.9),
              output=project / "c", cwd=project)
    assert _logged(project, " died: ") == []
    assert states(project / "c") == {"done": 20}


def test_what_a_processor_starts_does_not_keep_its_worker_from_its_end(project: Path) -> None:
    with LocalSite(pages=20, hosts=1, links=6) as site:
        started = time.monotonic()
        crawl(*site.seeds, "--settings", _settings(project, "start_others"), output=project / "c", cwd=project)
        assert time.monotonic() - started < 30
    assert _logged(project, " died: ") == []
