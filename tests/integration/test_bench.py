"""``spyder bench`` as a command: it crawls its own site, finds every page once, and says what that took."""

import json
import subprocess
import sys

import pytest

BENCH = [sys.executable, "-m", "spyder", "bench"]


def run(*arguments):
    return subprocess.run([*BENCH, *arguments], capture_output=True, text=True, timeout=60)


def test_it_finds_every_page_and_measures_every_process(tmp_path):
    done = run("--pages", "300", "--hosts", "3", "--size", "4000", "--links", "10", "--json", "--output", str(tmp_path))

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["is_complete"]
    assert figures["is_balanced"]
    assert (figures["pages"], figures["crawled"], figures["outcomes"], figures["size"]) == (300, 300, 300, 300 * 4000)
    assert [process["name"] for process in figures["processes"]] == ["master", "fetcher 0", "extractor 0"]
    assert all(process["cpu"] > 0 and process["memory"] > 1e6 for process in figures["processes"])
    assert sum(process["cpu"] for process in figures["processes"]) == pytest.approx(figures["cpu"])
    assert "settle" in figures["processes"][0]["stages"]
    assert 0 < figures["first_fetch"] < figures["wall"]
    assert figures["commits"] > 0
    assert figures["lease_batches"] > 0
    records = [json.loads(line) for path in (tmp_path / "pages").glob("*.jsonl")
               for line in path.read_text().splitlines()]
    assert len({record["url"] for record in records}) == 300


def test_it_prints_a_table():
    done = run("--pages", "50", "--links", "5")

    assert done.returncode == 0, done.stderr
    for word in ("master", "fetcher 0", "extractor 0", "pages/s", "syncs", "each page of the site once"):
        assert word in done.stdout


def test_a_site_that_can_not_be_is_refused_in_one_line():
    done = run("--pages", "2", "--hosts", "3")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "2 pages can't be on 3 hosts" in done.stderr


def test_it_fails_when_pages_are_missing(tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("scope:\n  exclude: ['page-7[.]html']\n")

    done = run("--pages", "60", "--settings", str(settings))

    assert done.returncode == 1
    assert "WRONG" in done.stdout
