"""``spyder crawl`` as a user runs it: whole sites, limits, interruptions."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from spyder.testing import LocalSite
from system.support import by_url, crawl, records, running, states, wait_until


def test_every_page_is_fetched_once_and_recorded_once(tmp_path: Path) -> None:
    with LocalSite(pages=600, hosts=3, size=3000, links=12) as site:
        summary = crawl(*site.seeds, "--per-host", "8", output=tmp_path / "c")
        hits = site.hits()
    assert hits == dict.fromkeys(site.urls(), 1)
    assert summary["done"] == summary["discovered"] == 600
    assert summary["balanced"] is True and summary["reason"] == "done"
    assert by_url(tmp_path / "c") == dict.fromkeys(site.urls(), 1)
    assert states(tmp_path / "c") == {"done": 600}


def test_scope_host_touches_no_other_host(tmp_path: Path) -> None:
    with LocalSite(pages=100, hosts=1) as site, LocalSite(pages=100, hosts=1) as other:
        summary = crawl(site.seeds[0], output=tmp_path / "c")
        assert summary["done"] == 100
        assert other.report().requests == 0


def test_a_record_tells_what_was_fetched(tmp_path: Path) -> None:
    with LocalSite(pages=20, hosts=1, size=2000) as site:
        crawl(site.seeds[0], output=tmp_path / "c")
    found = records(tmp_path / "c")
    seed = next(record for record in found if record["url"] == site.seeds[0])
    assert seed["status"] == 200 and seed["depth"] == 0 and seed["final_url"] == site.seeds[0]
    assert seed["content_type"] == "text/html" and seed["digest"].startswith("sha1:")
    assert seed["size"] == seed["wire_size"] > 1000 and seed["links"] > 0 and seed["fetched_at"].endswith("Z")
    linked = next(record for record in found if record["depth"] == 1)
    assert linked["referrer"] == site.seeds[0]


def test_server_errors_are_tried_again_and_settle_once(tmp_path: Path) -> None:
    settings = tmp_path / "s.yaml"
    settings.write_text("retry:\n  delay: {http-5xx: 0.2}\npoliteness:\n  backoff: 0.05\n")
    with LocalSite(pages=60, hosts=1, error_every=10) as site:
        summary = crawl(site.seeds[0], "--settings", str(settings), output=tmp_path / "c")
        hits = site.hits()
    assert summary["done"] == 60 and summary["failed"] == 0
    assert summary["errors"]["http-5xx"] == sum(count - 1 for count in hits.values()) > 0
    assert by_url(tmp_path / "c") == dict.fromkeys(site.urls(), 1)


@pytest.mark.parametrize("limit", [1, 37])
def test_max_pages_is_exact_and_the_rest_waits(tmp_path: Path, limit: int) -> None:
    with LocalSite(pages=200, hosts=2) as site:
        first = crawl(*site.seeds, "--max-pages", str(limit), "--per-host", "8", output=tmp_path / "c")
        assert first["done"] == limit and first["reason"] == "page limit"
        assert sum(site.hits().values()) == limit
        rest = crawl(*site.seeds, "--per-host", "8", output=tmp_path / "c")
        assert rest["done"] == 200 and site.hits() == dict.fromkeys(site.urls(), 1)


def test_max_time_ends_a_slow_crawl(tmp_path: Path) -> None:
    with LocalSite(pages=500, hosts=1, latency=0.05) as site:
        summary = crawl(site.seeds[0], "--max-time", "1.5", output=tmp_path / "c")
    assert summary["reason"] == "time limit" and 0 < summary["done"] < 500
    assert summary["balanced"] is True


def test_depth_counts_links_from_the_seed(tmp_path: Path) -> None:
    with LocalSite(pages=300, hosts=1, links=5) as site:
        crawl(site.seeds[0], "--depth", "2", output=tmp_path / "c")
    depths = {record["depth"] for record in records(tmp_path / "c")}
    assert depths == {0, 1, 2}


def test_one_process_per_worker_gives_the_same_result(tmp_path: Path) -> None:
    settings = tmp_path / "s.yaml"
    settings.write_text("bus:\n  stage: inproc://\n")
    with LocalSite(pages=200, hosts=2) as site:
        summary = crawl(*site.seeds, "--settings", str(settings), output=tmp_path / "c")
        assert site.hits() == dict.fromkeys(site.urls(), 1)
    assert summary["done"] == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_crawl_goes_on_where_it_stopped(tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "c"
    with LocalSite(pages=400, hosts=1, latency=0.01) as site:
        with running("crawl", site.seeds[0], "--output", str(output), "--delay", "0", "--per-host", "8") as command:
            wait_until(lambda: site.report().requests >= 100, "a hundred pages")
            command.signal(number)
            assert "the same command goes on" in command.succeed(20)
        assert 100 <= site.report().requests < 400
        summary = crawl(site.seeds[0], "--per-host", "8", output=output)
        assert site.hits() == dict.fromkeys(site.urls(), 1), "a clean stop finishes what is in flight"
    assert summary["done"] == 400 and by_url(output) == dict.fromkeys(site.urls(), 1)


def test_a_finished_crawl_has_nothing_left_to_do_and_fresh_begins_anew(tmp_path: Path) -> None:
    with LocalSite(pages=30, hosts=1) as site:
        crawl(site.seeds[0], output=tmp_path / "c")
        again = crawl(site.seeds[0], output=tmp_path / "c")
        assert again["fetches"] == 0 and again["reason"] == "done"
        fresh = crawl(site.seeds[0], "--fresh", output=tmp_path / "c")
        assert fresh["fetches"] == 30


def test_a_second_crawl_on_the_same_directory_is_refused_and_does_no_harm(tmp_path: Path) -> None:
    output = tmp_path / "c"
    with (LocalSite(pages=300, hosts=1, latency=0.02) as site,
          running("crawl", site.seeds[0], "--output", str(output), "--delay", "0", "--json") as first):
        wait_until(lambda: site.report().requests >= 10, "the first pages")
        for extra in ([], ["--fresh"]):
            with running("crawl", site.seeds[0], "--output", str(output), *extra) as second:
                text = second.wait(20)
            assert second.process.returncode != 0
            assert "in use" in text and "Traceback" not in text
        summary = json.loads(first.succeed())
    assert summary["done"] == 300
