"""``spyder start``, ``seed``, ``status``, ``stop`` and ``frontier`` with real processes over tcp on loopback."""

import json
import signal
import socket

from commands import PAGES, records, wait_until

from spyder.model.states import ExitCode

ERRORS = PAGES + 1  # pages that are linked and not there: 40 to 80


def test_parts_find_each_other_and_crawl(spyder, cluster, site):
    """Given a master, workers and a log sink as separate commands, when it is done, then all of it was fetched once."""
    file = cluster()
    sink = spyder.start("start", "logsink", "--settings", file)
    assert sink.stdout.readline().startswith("logsink:")
    master = spyder.start("start", "master", "--until-done", "--settings", file)
    up = master.stdout.readline()
    assert up.startswith("master master:")
    assert "mgmt tcp://127.0.0.1:" in up
    assert "API http://127.0.0.1:" in up
    worker = spyder.start("start", "worker", "--processes", "2", "--settings", file)

    code, out, err = spyder.end(master)
    assert (code, err) == (0, "")
    assert out == f"master ended: done; {PAGES} done, {ERRORS} failed, 0 left of {PAGES + ERRORS} URLs\n"
    code, out, err = spyder.end(worker)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("supervisor:")
    assert out.splitlines()[-1] == "workers ended: in good order"
    code, out, _ = spyder.end(sink, signal.SIGTERM)
    assert code == 0
    assert out.startswith("log sink ended: ")

    assert sorted(site.hits) == sorted(set(site.hits))
    assert len(records(spyder.folder / "out")) == PAGES + ERRORS
    logs = {path.stem: path.read_text() for path in (spyder.folder / "out/logs").iterdir()}
    assert set(logs) == {"logsink", "master", "supervisor", "worker"}
    assert logs["worker"].count("welcome by") == 2


def test_master_waits_for_seeds_and_stops_when_told(spyder, cluster, site):
    """Given a master without seeds and no log sink, when seeds are added, then it crawls on until `spyder stop`."""
    file = cluster(project="{seeds: []}")
    master = spyder.start("start", "master", "--settings", file)
    master.stdout.readline()
    worker = spyder.start("start", "worker", "--settings", file)
    worker.stdout.readline()

    code, out, err = spyder.run("seed", site.url, "ftp://h/", "--settings", file)
    assert (code, out) == (0, "1 added, 0 known before, 1 refused\n")
    assert err == "spyder: seed refused: 'ftp://h/' can't be crawled: expected an http:// or https:// URL\n"
    code, out, err = spyder.run("seed", "ftp://h/", "--settings", file)
    assert (code, out) == (1, "0 added, 0 known before, 1 refused\n")
    code, out, _ = spyder.run("seed", "--file", "-", "--settings", file, stdin=f"# mine\n\n{site.url}5\n{site.url}6\n")
    assert (code, out.endswith(", 0 refused\n")) == (0, True)

    wait_until(lambda: spyder.status("--settings", file)["books"]["done"] == PAGES)
    figures = wait_until(lambda: (found := spyder.status("--settings", file))["books"]["failed"] == ERRORS and found)
    assert figures["is_balanced"]
    assert figures["state"] == "running"
    assert figures["counts"]["error/http-4xx"] == ERRORS
    assert [one["state"] for one in figures["workers"]] == ["ready"]
    assert figures["workers"][0]["load"]["extractor_memory"] > 1_000_000
    code, page, _ = spyder.run("status", "--settings", file)
    assert code == 0
    assert "they balance" in page
    assert f"{PAGES} done" in page
    assert f"http-4xx {ERRORS}" in page

    code, out, err = spyder.run("frontier", "ls", "out")  # beside the running master
    assert (code, err) == (0, "")
    assert f"127.0.0.1:{site.server_port}" in out

    code, out, err = spyder.run("stop", "--settings", file)
    assert (code, err) == (0, "")
    assert f"ended: {PAGES} done, {ERRORS} failed, 0 left" in out
    code, out, _ = spyder.end(master)
    assert code == 0
    assert out.startswith("master ended: stopped by `spyder stop`")
    assert spyder.end(worker)[0] == 0
    assert not (spyder.folder / "out/run/api.json").exists()
    code, _, err = spyder.run("status", "--settings", file)
    assert code == 1
    assert err.startswith("spyder: no master answers at http://127.0.0.1:")
    assert err.count("\n") == 1


def test_all_in_one_is_interrupted_and_goes_on(spyder, cluster, site):
    """Given `start all`, when it is stopped by a signal and started again, then no page is fetched twice."""
    site.delay = 0.05
    file = cluster()
    first = spyder.start("start", "all", "--until-done", "--settings", file)
    first.stdout.readline()
    wait_until(lambda: len(site.hits) > 5)
    code, out, err = spyder.end(first, signal.SIGTERM)
    assert (code, err) == (0, "")
    assert out.startswith("master ended: interrupted; ")
    assert 0 < len(records(spyder.folder / "out")) < PAGES
    code, out, err = spyder.run("start", "all", "--until-done", "--settings", file)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"master ended: done; {PAGES} done, {ERRORS} failed, 0 left of {PAGES + ERRORS} URLs"
    assert len(site.hits) == len(set(site.hits)) == PAGES + ERRORS + 1, "robots.txt, too, is fetched once"
    assert (spyder.folder / "out/logs/worker.log").exists()


def test_stop_finds_a_running_crawl_by_its_directory(spyder, site):
    """Given `spyder crawl`, when its directory is named, then status and stop find it, and the frontier can be read."""
    site.delay = 0.1
    crawl = spyder.start("crawl", site.url, "--delay", "0.1", "--output", "mine", "--json")
    wait_until((spyder.folder / "mine/run/api.json").exists)
    assert spyder.status("--output", "mine")["project"] == "default"
    wait_until(lambda: spyder.status("--output", "mine")["books"]["done"])
    code, out, _ = spyder.run("frontier", "dump", "mine", "--state", "queued")
    assert code == 0
    assert all(json.loads(line)["state"] == "queued" for line in out.splitlines())
    code, out, _ = spyder.run("stop", "--no-wait", "--output", "mine")
    assert (code, out.endswith("is stopping\n")) == (0, True)
    code, out, _ = spyder.end(crawl)
    assert code == 0
    assert json.loads(out)["reason"] == "stopped by `spyder stop`"
    assert json.loads(out)["balanced"]


def test_refused_worker_says_why_on_both_sides(spyder, cluster):
    """Given a worker with another scope than the master, then it ends with a code and a line, and the master tells."""
    file, other = cluster(), cluster("other.yaml", scope="{depth: 3}")
    master = spyder.start("start", "master", "--settings", file)
    master.stdout.readline()
    code, out, err = spyder.run("start", "worker", "--processes", "2", "--settings", other)
    assert code == ExitCode.REFUSED
    assert out.splitlines()[-1] == "workers ended: refused by the master"
    assert err.count("\n") == 1
    assert err.startswith("spyder: refused by the master: worker worker:")
    assert "other settings than the master in section `scope`" in err
    code, _, err = spyder.end(master, signal.SIGINT)
    assert code == 0
    assert "refused: worker worker:" in err
    assert all(line.startswith("spyder: refused: ") for line in err.splitlines())


def test_worker_without_a_master_ends_by_itself(spyder, cluster):
    code, out, err = spyder.run("start", "worker", "--settings", cluster(master_timeout=1))
    assert code == ExitCode.ORPHANED
    assert out.splitlines()[-1] == "workers ended: without a master"
    assert err.count("\n") == 1
    assert err.startswith("spyder: no master at tcp://127.0.0.1:")


def test_worker_without_a_master_stops_on_a_signal(spyder, cluster):
    worker = spyder.start("start", "worker", "--processes", "2", "--settings", cluster())
    worker.stdout.readline()
    code, out, err = spyder.end(worker, signal.SIGTERM)
    assert (code, out, err) == (0, "workers ended: in good order\n", "")


def test_addresses_in_use_are_refused_in_one_line(spyder, cluster):
    file = cluster()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command in ("master", "all"):
            code, out, err = spyder.run("start", command, "--settings", cluster("api.yaml", api=port))
            assert (code, out, err.count("\n")) == (1, "", 1)
            assert f"can't listen on 127.0.0.1:{port}" in err
        bus = f"{{mgmt_master: 'tcp://127.0.0.1:{port}'}}"
        code, out, err = spyder.run("start", "master", "--settings", cluster("bus.yaml", bus=bus))
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert f"tcp://127.0.0.1:{port} can't be bound" in err
        bus = f"{{logging: 'tcp://127.0.0.1:{port}'}}"
        code, out, err = spyder.run("start", "logsink", "--settings", cluster("log.yaml", bus=bus))
        assert (code, out, err.count("\n")) == (1, "", 1)
    master = spyder.start("start", "master", "--settings", file)
    master.stdout.readline()
    code, out, err = spyder.run("start", "master", "--settings", file)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "is in use: another master writes it" in err


def test_addresses_beyond_this_host_need_a_word(spyder, cluster):
    code, out, err = spyder.run("start", "master", "--settings", cluster(bus="{mgmt_master: 'tcp://*:1'}"))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "bus.insecure" in err


def test_frontier_is_read_without_a_master(spyder, site):
    code, _, err = spyder.run("crawl", site.url, "--delay", "0", "--output", "mine", "--quiet")
    assert (code, err) == (0, "")
    host = f"127.0.0.1:{site.server_port}"
    for folder in ("mine", "mine/frontier"):
        code, out, _ = spyder.run("frontier", "ls", folder)
        assert code == 0
        assert out.splitlines()[1].split()[:5] == [host, "default", "0", str(PAGES), str(ERRORS)]
    code, out, _ = spyder.run("frontier", "ls", "mine", "--json")
    assert json.loads(out)["settled"] == PAGES + ERRORS
    code, out, _ = spyder.run("frontier", "show", "mine", f"{site.url}3")
    shown = json.loads(out)
    assert (code, shown["state"], shown["status"], shown["depth"]) == (0, "done", 200, 2)
    assert shown["referrer"] == f"{site.url}1"
    assert shown["settled_at"].endswith("Z")
    assert spyder.run("frontier", "show", "mine", f"{site.url}nope")[0] == 1

    lines = [json.loads(line) for line in spyder.run("frontier", "dump", "mine")[1].splitlines()]
    assert {line["url"] for line in lines} == {record["url"] for record in records(spyder.folder / "mine")}
    failed = [json.loads(line) for line in spyder.run("frontier", "dump", "mine", "--state", "failed")[1].splitlines()]
    assert len(failed) == ERRORS
    assert {line["reason"] for line in failed} == {"http-4xx"}
    assert len(spyder.run("frontier", "dump", "mine", "--host", host)[1].splitlines()) == PAGES + ERRORS
    code, out, err = spyder.run("frontier", "dump", "mine", "--host", f"{host}0")
    assert (code, out) == (1, "")
    assert f"did you mean `{host}`?" in err


def test_scheduled_uris_show_when_they_are_due(spyder):
    (spyder.folder / "s.yaml").write_text("robots: {policy: ignore}\n")
    crawl = spyder.start("crawl", "http://127.0.0.1:1/", "--output", "mine", "--quiet", "--settings", "s.yaml")
    wait_until((spyder.folder / "mine/run/api.json").exists)
    wait_until(lambda: spyder.status("--output", "mine")["books"]["scheduled"])
    assert spyder.end(crawl, signal.SIGINT)[0] == 0
    uri = json.loads(spyder.run("frontier", "dump", "mine")[1])
    assert (uri["state"], uri["reason"], uri["attempt"], uri["is_seed"]) == ("scheduled", "connect", 1, True)
    assert uri["due_at"] > "2026"


def test_module_runs_as_the_command_does(spyder):
    code, out, _ = spyder.run("--version")
    assert (code, out.startswith("spyder, version ")) == (0, True)
