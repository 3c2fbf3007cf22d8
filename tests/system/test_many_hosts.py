"""Master, workers and log sink as separate commands: over tcp on one host, then on three hosts."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import yaml

from spyder.testing import LocalSite
from system.namespaces import Namespaces, namespaces  # noqa: F401  the fixture
from system.support import Command, by_url, free_ports, records, running, wait_until

PAGES = 1500


def _settings(path: Path, directory: Path, address: str, seeds: list[str], **bus: object) -> str:
    """A settings file; only addresses tell one host from many."""
    first, second, third, fourth, api, *push = free_ports(15)
    tree = {
        "project": {"seeds": seeds},
        "politeness": {"delay": 0.0, "delay_factor": 0.0, "per_host": 64},
        "fetch": {"connections": 16},
        "worker": {"slots": 32, "restart_delay": 0.1},
        "output": {"directory": str(directory)},
        "api": {"port": api},
        "bus": {"mgmt_master": f"tcp://{address}:{first}", "mgmt_worker": f"tcp://{address}:{second}",
                "outcomes": f"tcp://{address}:{third}", "logging": f"tcp://{address}:{fourth}",
                "push": f"tcp://{address}:{min(push)}-{max(push)}", "heartbeat": 0.5, **bus},
    }
    path.write_text(yaml.safe_dump(tree))
    return str(path)


def _status(settings: str) -> dict[str, object]:
    with running("status", "--json", "--settings", settings) as command:
        output = command.wait(20)
    return json.loads(output) if command.process.returncode == 0 else {}


def _is_up(settings: str, workers: int) -> bool:
    status = _status(settings)
    return len(status.get("workers", ())) == workers and all(
        worker["state"] == "ready" for worker in status["workers"])  # type: ignore[index,union-attr]


def test_parts_over_tcp_crawl_the_site_once_and_share_the_work(tmp_path: Path) -> None:
    with LocalSite(pages=PAGES, hosts=1, size=3000, latency=0.01) as site, ExitStack() as stack:
        settings = _settings(tmp_path / "s.yaml", tmp_path / "c", "127.0.0.1", [])
        sink = stack.enter_context(running("start", "logsink", "--settings", settings))
        workers = [stack.enter_context(running("start", "worker", "--processes", "2", "--settings", settings))
                   for _ in range(2)]
        master = stack.enter_context(running("start", "master", "--until-done", "--settings", settings))
        wait_until(lambda: _is_up(settings, 4), "four workers")
        with running("seed", *site.seeds, "--settings", settings) as seed:
            assert "1" in seed.succeed(20)
        assert "1,500 done" in master.succeed()
        for worker in workers:
            worker.succeed(20)
        sink.signal(signal.SIGTERM)
        sink.succeed(20)
        assert site.hits() == dict.fromkeys(site.urls(), 1)
    assert by_url(tmp_path / "c") == dict.fromkeys(site.urls(), 1)
    log = (tmp_path / "c" / "logs" / "worker.log").read_text()
    identities = {line.split()[3] for line in log.splitlines()}
    assert len(identities) == 4, "the log sink has records of every worker"


def test_stop_ends_master_and_workers(tmp_path: Path) -> None:
    with LocalSite(pages=PAGES, hosts=1, latency=0.02) as site, ExitStack() as stack:
        settings = _settings(tmp_path / "s.yaml", tmp_path / "c", "127.0.0.1", list(site.seeds))
        worker = stack.enter_context(running("start", "worker", "--settings", settings))
        master = stack.enter_context(running("start", "master", "--settings", settings))
        wait_until(lambda: site.report().requests > 50, "some pages")
        with running("stop", "--settings", settings) as stop:
            stop.succeed(30)
        assert "stopped by" in master.succeed(30)
        worker.succeed(30)
        assert all(count == 1 for count in site.hits().values() if count)
        assert len(records(tmp_path / "c")) == site.report().requests - 1, "robots.txt has no record"


def test_a_killed_master_comes_back_to_its_workers(tmp_path: Path) -> None:
    with LocalSite(pages=PAGES, hosts=1, size=2000, latency=0.01) as site, ExitStack() as stack:
        settings = _settings(tmp_path / "s.yaml", tmp_path / "c", "127.0.0.1", list(site.seeds))
        worker = stack.enter_context(running("start", "worker", "--processes", "2", "--settings", settings))
        master = stack.enter_context(running("start", "master", "--settings", settings))
        wait_until(lambda: site.report().requests > 200, "some pages")
        before = worker.children()
        master.kill_all()
        again = stack.enter_context(running("start", "master", "--until-done", "--settings", settings))
        assert "1,500 done" in again.succeed()
        assert worker.children() == [] or set(worker.children()) <= set(before), "the same workers went on"
        worker.succeed(20)
        hits = site.hits()
    assert set(hits) == site.urls()
    assert sum(count - 1 for count in hits.values()) <= 2 * 32, "only what was in flight was fetched again"
    assert set(by_url(tmp_path / "c")) == site.urls()


def test_a_worker_with_other_settings_is_refused_with_the_reason(tmp_path: Path) -> None:
    with ExitStack() as stack:
        settings = _settings(tmp_path / "s.yaml", tmp_path / "c", "127.0.0.1", [])
        stack.enter_context(running("start", "master", "--settings", settings))
        other = yaml.safe_load(Path(settings).read_text()) | {"scope": {"mode": "any"}}
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
        worker = stack.enter_context(running("start", "worker", "--settings", str(tmp_path / "other.yaml")))
        output = worker.wait(30)
        assert worker.process.returncode == 5
        assert "`scope`" in output and "Traceback" not in output


def test_three_hosts_crawl_the_site_once_and_share_the_work(
        tmp_path: Path, namespaces: Namespaces) -> None:  # noqa: F811  what the fixture gives
    address = namespaces.addresses[0]
    page_count = 400
    site_folder = tmp_path / "site"
    site_folder.mkdir()
    for page in range(page_count):
        links = "".join(f'<a href="/{(page * 3 + step) % page_count}.html">x</a>' for step in range(1, 8))
        (site_folder / f"{page}.html").write_text(f"<title>{page}</title><p>{'text ' * 200}{links}")
    with ExitStack() as stack:
        access = stack.enter_context((tmp_path / "access").open("w"))
        server = subprocess.Popen(
            ["ip", "netns", "exec", namespaces.names[0], "python3", "-c", _SERVER, address, str(site_folder)],
            stdout=subprocess.PIPE, stderr=access, text=True)
        stack.callback(server.wait)
        stack.callback(server.kill)
        assert server.stdout is not None
        stack.callback(server.stdout.close)
        assert server.stdout.readline().strip() == "ready"
        settings = _settings(tmp_path / "s.yaml", tmp_path / "c", address, [f"http://{address}:8000/0.html"],
                             insecure=True)

        def start(host: int, *arguments: str) -> Command:
            command = namespaces.command(host, "start", *arguments, "--settings", settings)
            stack.callback(command.kill_all)
            assert command.process.stdout is not None
            stack.callback(command.process.stdout.close)
            return command

        sink = start(0, "logsink")
        workers = [start(host, "worker", "--processes", "2") for host in (1, 2)]
        master = start(0, "master", "--until-done")
        assert f"{page_count} done" in master.succeed()
        for worker in workers:
            worker.succeed(20)
        sink.signal(signal.SIGTERM)
        sink.succeed(20)
    requests = [line.split() for line in (tmp_path / "access").read_text().splitlines()]
    assert sorted(path for _, path in requests) == sorted(
        ["/robots.txt", *(f"/{page}.html" for page in range(page_count))])
    assert {client for client, _ in requests} == set(namespaces.addresses[1:]), "both hosts did work"
    assert len(by_url(tmp_path / "c")) == page_count
    log = (tmp_path / "c" / "logs" / "worker.log").read_text()
    assert len({line.split()[3] for line in log.splitlines() if " welcome by " in line}) == 4


_SERVER = """
import functools, http.server, sys, time
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        sys.stderr.write(f"{self.client_address[0]} {self.path}\\n"); sys.stderr.flush()
        time.sleep(0.02)
        super().do_GET()
    def log_message(self, *arguments): pass
handler = functools.partial(Handler, directory=sys.argv[2])
server = http.server.ThreadingHTTPServer((sys.argv[1], 8000), handler)
server.daemon_threads = True
print("ready", flush=True)
server.serve_forever()
"""
