"""A checkpoint of a crawl at work: the crawl goes on, and another one begins with the copy."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from spyder.testing import LocalSite
from system.support import by_url, crawl, running, states, wait_until

PAGES = 160


def command(*arguments: str, patience: float = 60.0) -> str:
    """Run a command to its good end; what it printed."""
    with running(*arguments) as started:
        return started.succeed(patience)


def checked(directory: Path) -> dict[str, int]:
    """The books of a frontier in which everything is in its place."""
    [found] = json.loads(command("frontier", "check", str(directory), "--json"))
    assert found["is_good"]
    books: dict[str, int] = found["counted"]
    return books


def test_a_checkpoint_is_a_consistent_copy_and_a_crawl_begins_with_it(tmp_path: Path) -> None:
    first, copy, second = tmp_path / "first", tmp_path / "copies" / "one", tmp_path / "second"
    with LocalSite(pages=PAGES, hosts=2, latency=0.01) as site:
        with running("crawl", *site.seeds, "--output", str(first), "--delay", "0.1", "--per-host", "2",
                     "--json") as at_work:
            wait_until(lambda: site.report().requests >= 16, "a tenth of the pages")
            said = command("checkpoint", str(copy), "--output", str(first))
            assert f"{copy}" in said
            assert " URIs: " in said
            left = json.loads((copy / "checkpoint.json").read_text())["projects"]["default"]
            assert 0 < left["done"] < PAGES
            assert left["queued"] > 0
            assert checked(copy) == left
            summary = json.loads(at_work.succeed())
        assert summary["reason"] == "done"
        assert summary["counts"].get("workers_lost", 0) == summary["counts"].get("leases_returned", 0) == 0
        hits = site.hits()
        assert hits == dict.fromkeys(site.urls(), 1), "the checkpoint disturbs nothing"

        again = crawl("--from", str(copy), output=second)
        assert again["reason"] == "done" and again["balanced"] is True
        assert again["done"] == PAGES
        assert again["fetches"] == PAGES - left["done"], "what was done when the copy was made is not fetched again"
        settled_in_copy = {url for url, count in site.hits().items() if count == 1}
        assert len(settled_in_copy) == left["done"]
    for directory in (first, second):
        books = checked(directory)
        assert books["done"] == books["discovered"] == PAGES
        assert states(directory) == {"done": PAGES}
    assert checked(copy) == left, "a crawl that begins with it leaves it as it is"
    assert set(by_url(second)) == site.urls() - settled_in_copy


def test_a_crawl_from_a_checkpoint_is_stopped_and_goes_on(tmp_path: Path) -> None:
    first, copy, second = tmp_path / "first", tmp_path / "copy", tmp_path / "second"
    with LocalSite(pages=PAGES, hosts=1, latency=0.01) as site:
        with running("crawl", site.seeds[0], "--output", str(first), "--delay", "0.1") as at_work:
            wait_until(lambda: site.report().requests >= 20, "the first pages")
            command("checkpoint", str(copy), "--output", str(first))
            at_work.signal(signal.SIGTERM)
            at_work.succeed()
        with running("crawl", "--from", str(copy), "--output", str(second), "--delay", "0.1") as at_work:
            before = site.report().requests
            wait_until(lambda: site.report().requests >= before + 20, "more pages")
            at_work.signal(signal.SIGTERM)
            at_work.succeed()
        with running("crawl", "--from", str(copy), "--output", str(second)) as refused:
            text = refused.wait()
        assert refused.process.returncode == 1
        assert "is there already" in text and "leave --from out to go on" in text
        summary = crawl(site.seeds[0], output=second)
        assert summary["done"] == PAGES
    assert checked(second)["done"] == PAGES


def test_a_checkpoint_itself_is_a_crawl_directory(tmp_path: Path) -> None:
    first, copy = tmp_path / "first", tmp_path / "copy"
    with LocalSite(pages=60, hosts=1, latency=0.02) as site:
        with running("crawl", site.seeds[0], "--output", str(first), "--delay", "0.5") as at_work:
            wait_until(lambda: site.report().requests >= 5, "the first pages")
            command("checkpoint", str(copy), "--output", str(first))
            with running("checkpoint", str(copy), "--output", str(first)) as again:
                assert "is not empty: name a new folder" in again.wait()
            assert again.process.returncode == 1
            at_work.kill_all()
        assert crawl(site.seeds[0], output=copy)["done"] == 60
    assert checked(copy)["done"] == 60
