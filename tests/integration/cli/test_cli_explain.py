"""``spyder explain`` and the stall in ``spyder status``, with real processes: beside a running master and after it."""

import json
import signal

import pytest
from commands import PAGES, wait_until


def explained(spyder, subject, *which):
    code, out, err = spyder.run("explain", subject, "--json", *which)
    assert (code, err) == (0, "")
    return json.loads(out)


def kinds(answer):
    return [cause["kind"] for cause in answer["waits"]]


def test_running_crawl_explains_urls_and_hosts(spyder, site):
    """Given a crawl in its host's delay, then states and causes are told, and after its end the same from disk."""
    host = f"127.0.0.1:{site.server_port}"
    (spyder.folder / "s.yaml").write_text("robots: {policy: ignore}\n")  # else the first page, too, waits for 90 s
    crawl = spyder.start("crawl", site.url, "--delay", "90", "--output", "mine", "--quiet", "--exclude", "/2[0-9]$",
                         "--settings", "s.yaml")
    wait_until((spyder.folder / "mine/run/api.json").exists)
    wait_until(lambda: spyder.status("--output", "mine")["books"]["done"])
    mine = ("--output", "mine", "--settings", "s.yaml")

    answer = explained(spyder, site.url, *mine)
    assert answer["is_live"]
    assert (answer["uri"]["state"], answer["uri"]["status"]) == ("done", 200)
    assert answer["uri"]["worker"].startswith("worker:")
    answer = explained(spyder, f"{site.url}2", *mine)
    assert (answer["uri"]["state"], kinds(answer["uri"])) == ("queued", ["delay", "queue"])
    assert answer["uri"]["next_at"] > answer["host"]["next_at"] > answer["at"]
    assert (answer["host"]["host"], answer["host"]["is_active"]) == (host, True)
    assert explained(spyder, f"{site.url}25", *mine)["uri"]["rule"] == "exclude"
    assert explained(spyder, "http://other.example/", *mine)["uri"]["summary"].endswith(
        f"its host other.example is none of the seeds' (scope.mode is host); in scope: {host}")
    code, out, err = spyder.run("explain", "127.0.0.1", *mine)
    assert (code, err) == (0, "")
    assert out.startswith(f"host    {host}\nurls    ")
    code, out, err = spyder.run("explain", host[:-1], *mine)
    assert (code, out, err) == (1, "", f"spyder: the frontier knows no host `{host[:-1]}`; did you mean `{host}`?\n")
    code, out, err = spyder.run("explain", "bücher.example", *mine)
    assert (code, out, err) == (1, "", "spyder: the frontier knows no host `xn--bcher-kva.example`\n")

    assert spyder.end(crawl, signal.SIGINT)[0] == 0
    answer = explained(spyder, f"{site.url}2", *mine)
    assert not answer["is_live"]
    assert kinds(answer["uri"]) == ["no-master", "delay", "queue"]
    code, out, err = spyder.run("explain", f"{site.url}2", "--output", "mine/frontier")
    assert (code, err) == (0, "")
    assert "no master is running" in out
    assert out.endswith("\nnote  no master answers: this is what its last commit left\n")


def test_master_without_workers_says_why_nothing_happens(spyder, cluster, site):
    """Given a master with work and no worker, then status and explain say so until one comes."""
    file = cluster(master="{watchdog: 0.5}")
    master = spyder.start("start", "master", "--settings", file)
    master.stdout.readline()
    figures = wait_until(lambda: (found := spyder.status("--settings", file))["stalled"] and found)
    assert figures["stalled"].endswith(": no worker is there: `spyder start worker` starts one")
    assert not any(figures["faults"].values())
    code, page, _ = spyder.run("status", "--settings", file)
    assert code == 0
    assert "\nstalled  nothing settled for " in page
    assert "\nfaults   none\n" in page
    uri = explained(spyder, site.url, "--settings", file)["uri"]
    assert (kinds(uri), uri["next_at"]) == (["no-worker", "robots-first"], "")

    worker = spyder.start("start", "worker", "--settings", file)
    wait_until(lambda: spyder.status("--settings", file)["books"]["done"] == PAGES)
    wait_until(lambda: not spyder.status("--settings", file)["stalled"])
    assert spyder.run("stop", "--settings", file)[0] == 0
    code, _, err = spyder.end(master)
    assert code == 0
    assert err.startswith("spyder: nothing settled for ")
    assert "no worker is there" in err.splitlines()[0]
    assert spyder.end(worker)[0] == 0


@pytest.mark.parametrize("which", [("--output", "nope"), ("--settings", "s.yaml")])
def test_neither_master_nor_frontier_is_one_line(spyder, cluster, which):
    cluster()
    code, out, err = spyder.run("explain", "a.example", *which)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "no master" in err
    assert "holds no frontier" in err


def test_stale_note_of_a_killed_master_does_not_matter(spyder, site):
    site.delay = 0.2
    crawl = spyder.start("crawl", site.url, "--delay", "1", "--output", "mine", "--quiet")
    wait_until((spyder.folder / "mine/run/api.json").exists)
    wait_until(lambda: spyder.status("--output", "mine")["books"]["done"])
    spyder.end(crawl, signal.SIGKILL)
    assert (spyder.folder / "mine/run/api.json").exists()
    answer = explained(spyder, site.url, "--output", "mine")
    assert (answer["is_live"], answer["uri"]["state"]) == (False, "done")
