"""Spyder beside other crawlers on a folder of HTML: pages, speed, CPU time and memory of whole process trees.

    python tests/benchmarks/compare.py /usr/share/doc/openjdk-17-jre-headless/api

The folder is served on loopback, by nginx if that is installed. Every crawler follows all links within the site over
32 connections, without delays, robots.txt or cookies; pages are counted from the server's log, CPU time and memory are
the kernel's, of the process and all its children from start to end. Crawlers take turns, run after run; the figures
are medians. Scrapy keeps its queue on disk (JOBDIR), as Spyder does; the others keep nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
CONNECTIONS = 32
SAMPLE = 0.1  #: seconds between looks at the processes
GRACE = 15.0  #: seconds after the time limit until a crawler is interrupted; as many again until it is killed
SUBREAPER = 36  #: PR_SET_CHILD_SUBREAPER, prctl(2)
FLUSH = 1.2  #: seconds after which the server's log is complete

#: What is installed for each peer written in Python, and its script.
PYTHON_PEERS = {
    "scrapy": (["scrapy"], "scrapy_crawl.py"),
    "crawlee": (["crawlee[parsel]"], "crawlee_crawl.py"),
    "bare": (["pycurl", "turbohtml", "can-ada"], "bare_loop.py"),
}
LABELS = {
    "spyder": "Spyder", "scrapy": "Scrapy, CrawlSpider + JOBDIR", "crawlee": "Crawlee for Python, ParselCrawler",
    "wget2": "wget2", "bare": "bare Python loop",
}


class Run(NamedTuple):
    """One crawl by one crawler."""

    pages: int  #: answers with 200 and HTML
    unique: int  #: different ones among them
    wall: float  #: seconds
    cpu: float  #: seconds, user and system, of all processes
    memory: int  #: bytes resident in all processes together, at the peak
    peaks: dict[str, int]  #: bytes resident at the peak, by process
    cpus: dict[str, float]  #: CPU seconds by process, at the last look
    was_stopped: bool  #: by the time limit
    code: int


class Server(NamedTuple):
    """What serves the folder."""

    name: str
    start: str  #: URL
    log: Path


@contextlib.contextmanager
def serving(folder: Path, first: str, work: Path) -> Iterator[Server]:
    """The folder on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = work / "access.log"
    log.touch()
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx:
        config = work / "nginx.conf"
        config.write_text(nginx_config(folder, port, log, work))
        command, name = [nginx, "-p", str(work), "-e", str(work / "error.log"), "-c", str(config)], "nginx"
    else:
        command = [sys.executable, str(HERE / "folder_server.py"), str(folder), str(port), str(log)]
        name = "a small Python server"
    server = subprocess.Popen(command)
    try:
        wait_for(port, server)
        yield Server(name, f"http://127.0.0.1:{port}/{first}", log)
    finally:
        server.terminate()
        server.wait()


def nginx_config(folder: Path, port: int, log: Path, work: Path) -> str:
    """One worker, connections kept alive, a log of tab-separated fields."""
    user = f"user {os.environ.get('USER', 'root')};" if os.geteuid() == 0 else ""
    places = " ".join(f"{kind}_temp_path {work};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    fields = r"$msec\t$status\t$body_bytes_sent\t$request_method\t$sent_http_content_type\t$request_uri"
    return f"""
daemon off; {user} worker_processes 1; pid {work}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    types {{ text/html html htm; text/css css; text/plain txt; application/javascript js; image/png png; image/gif gif;
             image/svg+xml svg; }}
    charset utf-8; sendfile on; tcp_nodelay on; keepalive_timeout 75s; keepalive_requests 10000000; {places}
    log_format pages '{fields}';
    access_log {log} pages buffer=64k flush=1s;
    server {{ listen 127.0.0.1:{port}; root {folder}; index index.html; }}
}}
"""


def wait_for(port: int, server: subprocess.Popen) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    sys.exit("the server does not answer")


def environment(name: str, folder: Path) -> Path:
    """The Python of a virtual environment that holds one peer; made when it isn't there."""
    packages = PYTHON_PEERS[name][0]
    python, done = folder / name / "bin" / "python", folder / name / "installed"
    if not done.exists():
        print(f"installing {' '.join(packages)} in {folder / name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / name)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        done.touch()
    return python


def command(name: str, start: str, out: Path, environments: Path) -> list[str] | None:
    """How a crawler is called; None when it isn't there."""
    if name == "spyder":
        return [sys.executable, "-m", "spyder", "crawl", start, "--delay", "0", "--per-host", str(CONNECTIONS),
                "--concurrency", str(CONNECTIONS), "--quiet", "--output", str(out / "crawl")]
    if name == "wget2":
        found = shutil.which("wget2")
        return [found, "--quiet", "--recursive", "--level=inf", "--no-robots", f"--max-threads={CONNECTIONS}",
                f"--directory-prefix={out}", start] if found else None
    return [str(environment(name, environments)), str(HERE / "peers" / PYTHON_PEERS[name][1])]


def version(name: str, environments: Path) -> str:
    """What was measured, for the table."""
    if name == "wget2":
        return said(["wget2", "--version"]).split()[2]
    if name == "spyder":
        return said([sys.executable, "-m", "spyder", "--version"]).split()[-1]
    packages = [package.partition("[")[0] for package in PYTHON_PEERS[name][0]]
    code = f"import importlib.metadata as m; print(*(m.version(name) for name in {packages!r}))"
    versions = said([str(environment(name, environments)), "-c", code]).split()
    return ", ".join(map(" ".join, zip(packages, versions, strict=True))) if name == "bare" else versions[0]


def said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def label(pid: int) -> str:
    """What a process is within its crawler."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return "?"
    if "spyder.nodes.worker" in words:
        return words[words.index("spyder.nodes.worker") + 1]
    return "master" if "spyder" in words and "crawl" in words else Path(words[0]).name


class Tree:
    """The processes of one crawler: all of its session."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._names: dict[int, str] = {}
        self.memory = 0
        self.peaks: dict[str, int] = {}
        self.cpus: dict[str, float] = {}

    def look(self) -> None:
        total, page, tick = 0, os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) != self._session or fields[0] == "Z":
                continue
            pid, resident = int(entry.name), int(fields[21]) * page
            if self._names.get(pid, "?").startswith(("?", "python", "master")):
                self._names[pid] = label(pid)  # again: a child has its parent's name until it has its own program
            name = self._names[pid]
            total += resident
            self.peaks[name] = max(self.peaks.get(name, 0), resident)
            self.cpus[name] = max(self.cpus.get(name, 0.0), (int(fields[11]) + int(fields[12])) / tick)
        self.memory = max(self.memory, total)


def crawl(command: list[str], server: Server, out: Path, limit: float) -> Run:
    """Run one crawler to its end or the time limit, and all that it started."""
    out.mkdir(parents=True)
    offset, before = server.log.stat().st_size, resource.getrusage(resource.RUSAGE_CHILDREN)
    variables = os.environ | {"START": server.start, "LIMIT": str(limit), "OUT": str(out)}
    started, signals, was_stopped = time.monotonic(), [signal.SIGINT, signal.SIGKILL], False
    with open(out / "output.txt", "wb") as output:
        process = subprocess.Popen(command, env=variables, cwd=out, stdout=output, stderr=output,
                                   start_new_session=True)
        tree, deadline = Tree(process.pid), started + limit + (0 if "wget2" in command[0] else GRACE)
        try:
            while process.poll() is None:
                tree.look()
                if time.monotonic() > deadline:
                    os.killpg(process.pid, signals.pop(0) if len(signals) > 1 else signals[0])
                    deadline, was_stopped = time.monotonic() + GRACE, True
                time.sleep(SAMPLE)
            wall = time.monotonic() - started
        finally:
            end_group(process.pid)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    time.sleep(FLUSH)
    pages, unique = count(server.log, offset)
    return Run(pages, unique, wall, cpu, tree.memory, tree.peaks, tree.cpus, was_stopped or wall >= limit,
               process.returncode)


def end_group(session: int) -> None:
    """End what a crawler left behind: its orphans are ours, so that their CPU time is counted."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-session, 0)


def count(log: Path, offset: int) -> tuple[int, int]:
    """Pages in the log from *offset* on, and different ones among them."""
    with log.open("rb") as file:
        file.seek(offset)
        rows = [line.rstrip(b"\n").split(b"\t") for line in file]
    pages = [row[5] for row in rows if len(row) == 6 and row[1] == b"200" and row[3] == b"GET"
             and row[4].startswith(b"text/html")]
    return len(pages), len(set(pages))


class Row(NamedTuple):
    """Medians of one crawler's runs."""

    name: str
    label: str
    runs: list[Run]

    def of(self, figure) -> float:
        return median(figure(run) for run in self.runs)

    @property
    def speed(self) -> float:
        return self.of(lambda run: run.pages / run.wall)

    @property
    def cpu(self) -> float:
        """Milliseconds a page."""
        return self.of(lambda run: run.cpu / max(1, run.pages) * 1000)


def show(rows: list[Row]) -> None:
    ours = next((row for row in rows if row.name == "spyder"), None)
    print("| crawler | pages | unique | wall s | pages/s | CPU ms/page | peak MB "
          "| pages/s to Spyder's | CPU to Spyder's |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        pages, unique = row.of(lambda run: run.pages), row.of(lambda run: run.unique)
        stopped = " (time limit)" if any(run.was_stopped for run in row.runs) else ""
        speed = f"{row.speed / ours.speed:.2f}" if ours else ""
        cpu = f"{row.cpu / ours.cpu:.2f}" if ours else ""
        print(f"| {row.label} | {pages:,.0f} | {unique:,.0f} | {row.of(lambda run: run.wall):.1f}{stopped} | "
              f"{row.speed:,.0f} | {row.cpu:.2f} | {row.of(lambda run: run.memory) / 1e6:,.0f} | {speed} | {cpu} |")
    print("\nBy process (peak resident memory, CPU time as last seen before its end):\n")
    for row in rows:
        names = list(dict.fromkeys(name for run in row.runs for name in run.peaks))
        parts = [f"{name} {row.of(lambda run, name=name: run.peaks.get(name, 0)) / 1e6:,.0f} MB "
                 f"{row.of(lambda run, name=name: run.cpus.get(name, 0) / max(1, run.pages)) * 1000:.2f} ms/page"
                 for name in names]
        print(f"- {row.label}: {'; '.join(parts)}")
    if ours:
        worker = ours.of(lambda run: sum(run.peaks.get(name, 0) for name in ("fetcher", "extractor")))
        print(f"- Spyder's worker, both processes together: {worker / 1e6:,.0f} MB")
    print("\nSingle runs (pages/s, CPU ms/page):\n")
    for row in rows:
        print(f"- {row.label}: " + "; ".join(f"{run.pages / run.wall:,.0f}, {run.cpu / max(1, run.pages) * 1000:.2f}"
                                             for run in row.runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of HTML files")
    parser.add_argument("--start", default="index.html", help="path of the first page in it")
    parser.add_argument("--peers", default="scrapy,crawlee,wget2,bare", help="with commas between")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds for one crawl")
    parser.add_argument("--runs", type=int, default=3, help="crawls by each crawler")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--environments", type=Path, default=cache / "spyder-benchmarks",
                        help="where the peers are installed, each in a virtual environment of its own")
    args = parser.parse_args()
    names = ["spyder", *(name for name in args.peers.split(",") if name)]
    if unknown := set(names) - set(LABELS):
        sys.exit(f"unknown peers: {', '.join(unknown)}; known: {', '.join(LABELS)}")
    if not (args.folder / args.start).is_file():
        sys.exit(f"{args.folder / args.start} is no file")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1)
    compare(args, names)


def compare(args: argparse.Namespace, names: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="spyder-compare-") as temporary:
        work = Path(temporary)
        with serving(args.folder.resolve(), args.start, work) as server:
            there = [name for name in names if command(name, server.start, work, args.environments)]
            rows = [Row(name, f"{LABELS[name]} {version(name, args.environments)}", []) for name in there]
            for number in range(args.runs):
                for row in rows:
                    out = work / f"{row.name}-{number}"
                    run = crawl(command(row.name, server.start, out, args.environments), server, out, args.time_limit)
                    print(f"run {number + 1}: {row.label}: {run.pages:,} pages in {run.wall:.1f} s, "
                          f"exit code {run.code}", file=sys.stderr, flush=True)
                    if run.pages:
                        row.runs.append(run)
                    else:
                        print((out / "output.txt").read_text()[-2000:], file=sys.stderr)
                    shutil.rmtree(out, ignore_errors=True)
            print(f"\n{args.folder}, served by {server.name}; {args.runs} runs, {CONNECTIONS} connections\n")
            show([row for row in rows if row.runs])
        for name in names:
            if name not in there:
                print(f"\n{name} is not installed: left out")


if __name__ == "__main__":
    main()
