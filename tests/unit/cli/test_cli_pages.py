"""What the commands show: the status page, the answer of `explain`, progress and summary of a crawl."""

from __future__ import annotations

import json

import click
import msgspec
import pytest

from spyder.bus.messages import Load
from spyder.cli.control import status_page
from spyder.cli.explain import answer_page
from spyder.cli.progress import Progress, summary, summary_json
from spyder.cli.text import fits, page
from spyder.frontier.frontier import SeedReport
from spyder.model.records import Books
from spyder.nodes.explanation import Explanation, HostAnswer, UriAnswer
from spyder.nodes.local import CrawlReport
from spyder.nodes.status import FAULTS, Status, WorkerStatus, faults_in_words
from spyder.nodes.watchdog import Cause

WORKER = WorkerStatus(worker="worker:h:1.0:abcd", version="1", state="ready", slots=512, leased=3, pids=(1, 2),
                      load=Load(fetching=2, outbox=1, fetcher_memory=40_000_000, extractor_memory=40_000_000))
STATUS = Status(
    master="master:h:1:ab", version="1", epoch=1, project="default", state="running", reason="", elapsed=10.0,
    books=Books(discovered=10, queued=5, done=5), is_balanced=True, leased=3, active_hosts=2, busy_hosts=1,
    pages_per_second=1.5, counts={"fetches": 7, "bytes": 100, "error/dns": 2}, workers=(WORKER,), cpu=0.5,
    memory=50_000_000, store_size=1000, commits=4, stages={}, first_lease=0.1, faults=dict.fromkeys(FAULTS, 0))


def changed(**fields):
    return msgspec.structs.replace(STATUS, **fields)


def shown(status, width=None):
    """The page, as `spyder status` has the figures, and without colours."""
    workers = [msgspec.to_builtins(one) | {"load": msgspec.structs.asdict(one.load)} for one in status.workers]
    figures = msgspec.structs.asdict(status) | {"books": msgspec.structs.asdict(status.books), "workers": workers}
    return status_page(figures, width)


def rows(text):
    return dict(line.split(maxsplit=1) for line in click.unstyle(text).splitlines() if line and not line[0].isspace())


# -- pages of rows


def test_page_aligns_values_and_wraps_them_under_one_another():
    text = page([("a", "one two three four five six seven eight"), ("longer", "x"), ("", "y")], width=32)
    assert text == ("a       one two three four five\n        six seven eight\nlonger  x\n        y")
    assert fits(text, 32)
    assert not fits(text, 20)
    assert fits(text, None)


def test_page_breaks_no_word_and_wraps_nothing_without_a_terminal():
    url = f"http://a.example/{'x' * 100}"
    assert page([("url", url)], width=40) == f"url  {url}"
    assert "\n" not in page([("a", "word " * 100)])


def test_page_marks_a_row_and_what_goes_on_below_it():
    lines = page([("a", "1"), ("waits", "2"), ("", "3"), ("b", "4")], marked=("waits",)).split("\n")
    assert [line != click.unstyle(line) for line in lines] == [False, True, True, False]


# -- status


def test_status_without_faults_says_none():
    found = rows(shown(STATUS))
    assert found["faults"] == "none"
    assert "stalled" not in found


def test_status_shows_faults_that_there_were_and_why_the_crawl_is_stalled():
    text = shown(changed(stalled="nothing settled for 40 s: no worker is there",
                         faults={**STATUS.faults, "workers_lost": 2, "leases_returned": 1024}))
    assert rows(text)["faults"] == "leases_returned 1,024  workers_lost 2"
    assert rows(text)["stalled"] == "nothing settled for 40 s: no worker is there"
    marked = [line for line in text.splitlines() if line != click.unstyle(line)]
    assert len(marked) == 1
    assert "no worker" in marked[0]


@pytest.mark.parametrize("width", [None, 120, 60])
def test_status_shows_the_trouble_of_a_worker_at_any_width(width):
    load = msgspec.structs.replace(WORKER.load, trouble="its outputs can't be written: no space left on device")
    text = click.unstyle(shown(changed(workers=(WORKER, msgspec.structs.replace(WORKER, load=load))), width))
    assert fits(text, width)
    words = " ".join(text.split())
    assert "ready, but takes nothing: its outputs can't be written: no space left on device" in words
    assert words.count("h:1.0:abcd") == 2
    assert words.count("80.0 MB") == 2


# -- explain


EXPLANATION = Explanation(
    of="http://a.example/x", at="2026-01-02T03:04:05.000Z", is_live=True, project="default",
    uri=UriAnswer(
        url="http://a.example/x", key="00ff", state="queued", summary="waits for its turn", depth=2, attempt=1,
        referrer="http://a.example/", redirects=("http://a.example/y",), status=503, reason="http-5xx",
        reason_words="the server failed", last_at="2026-01-02T03:03:05.000Z", worker="worker:h:1.0:abcd", strikes=1,
        strikes_limit=3, waits=(Cause(kind="delay", text="its host rests", until="2026-01-02T03:04:17.500Z"),
                                Cause(kind="queue", text="3 of its host's URIs come before it")),
        next_at="2026-01-02T05:04:05.000Z", advice="wait"),
    host=HostAnswer(
        host="a.example", key="00", queued=4, leased=1, scheduled=2, settled=1000, failed=3, is_active=True, spent=12,
        budget=1000, errors=2, last_error="connect", leases={"worker:h:1.0:abcd": 1},
        waits=(Cause(kind="delay", text="its host rests"),), next_at="2026-01-02T03:04:05.000Z",
        next_url="http://a.example/1"),
    notes=("a note",))


def test_answer_on_a_url_tells_times_both_ways():
    text = click.unstyle(answer_page(msgspec.to_builtins(EXPLANATION), None))
    assert text.split("\n\n")[0].splitlines() == [
        "url      http://a.example/x",
        "state    queued: waits for its turn",
        "found    2 links from a seed, on http://a.example/, redirected from http://a.example/y",
        "history  1 earlier try failed; last outcome 2026-01-02 03:03:05 UTC (60 s ago): status 503, `http-5xx`: the "
        "server failed; by worker:h:1.0:abcd",
        "strikes  1 of 3: workers died, hung or ran out of memory on it",
        "waits    its host rests, until 2026-01-02 03:04:17 UTC (in 12 s)",
        "         3 of its host's URIs come before it",
        "next     not before 2026-01-02 05:04:05 UTC (in 2.0 h)",
        "do       wait",
        "key      00ff",
        "project  default"]
    assert text.split("\n\n")[1:] == [
        "host    a.example\n"
        "urls    4 queued, 1 leased, 2 to be retried later, 1,000 settled, 3 of them failed\n"
        "leases  worker:h:1.0:abcd 1\n"
        "place   in memory\n"
        "budget  12 of 1,000 pages spent\n"
        "errors  2 in a row, the last one `connect`",
        "note  a note"]


def test_answer_on_a_host_tells_what_it_waits_for_and_which_url_is_next():
    answer = msgspec.structs.replace(EXPLANATION, uri=None, notes=())
    lines = click.unstyle(answer_page(msgspec.to_builtins(answer), None)).splitlines()
    assert lines[-2:] == ["waits   its host rests",
                          "next    http://a.example/1, not before 2026-01-02 03:04:05 UTC (now)"]


@pytest.mark.parametrize(("fields", "found"), [
    ({"is_seed": True, "depth": 0, "referrer": "", "redirects": ()}, "a seed"),
    ({"depth": 0, "referrer": "", "redirects": ()}, "a seed, or where one redirects"),
    ({"depth": 1, "redirects": ()}, "1 link from a seed, on http://a.example/")])
def test_answer_tells_how_a_url_was_found(fields, found):
    uri = msgspec.structs.replace(EXPLANATION.uri, **fields)
    text = answer_page(msgspec.to_builtins(msgspec.structs.replace(EXPLANATION, uri=uri)), None)
    assert rows(text.split("\n\n")[0])["found"] == found


# -- progress and summary


def test_summary_has_a_line_of_faults_only_if_there_were_any():
    report = CrawlReport(reason="done", seeds=SeedReport(), status=STATUS, directory="out")
    assert "faults" not in summary(report)
    assert set(json.loads(summary_json(report))["faults"]) == set(FAULTS)
    report = msgspec.structs.replace(report, status=changed(faults={**STATUS.faults, "workers_lost": 2}))
    assert "\nfaults: workers_lost 2\n" in summary(report)
    assert json.loads(summary_json(report))["faults"]["workers_lost"] == 2


def test_progress_on_a_terminal_shows_faults_and_the_stall(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with Progress(is_quiet=False, seeds=["http://a.example/"]) as progress:
        progress.show(STATUS)
        before = capsys.readouterr().err
        progress.show(changed(stalled="no worker is there", faults={**STATUS.faults, "garbage": 3}))
        after = capsys.readouterr().err
    assert "stalled" not in before
    assert "faults" not in before
    assert "no worker is there" in after
    assert "garbage 3" in after


def test_faults_in_words_leaves_out_what_did_not_happen():
    assert faults_in_words({"garbage": 0}) == ""
    faults = {"garbage": 1200, "workers_lost": 0, "commits_failed": 1}
    assert faults_in_words(faults) == "garbage 1,200  commits_failed 1"
