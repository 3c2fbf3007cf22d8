"""Crawls a generated site at full speed for a long time and watches memory, file descriptors and threads.

Every few seconds it reads from the system what each of the crawl's processes has. After the warm-up nothing may grow:
memory by no more than ``--bound`` megabytes a minute (the slope of a straight line through the samples, by least
squares), descriptors and threads not at all (the median of the last quarter of the samples beside that of the first).

    python tests/benchmarks/soak.py --minutes 15

The warm-up is five minutes: then about a million URIs are known, and the store's cache and the worker's memory of links
are full. A run of less than ten minutes makes both small, so that they are full soon, and warms up for half its time;
the store's buffers are still finding their size then, so its bound is wide, and only a large leak shows.

Exit code 1 when something grew, or when the crawl ended by itself; 2 when the time after the warm-up is too short to
tell. ``--csv FILE`` writes all samples.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from spyder.testing import LocalSite

MB = 1e6
HOSTS = 20
PAGES_A_SECOND = 3000  #: more than any crawl manages: the site must not come to its end
EARLY = 60.0  #: seconds after which memory is shown first
WARM_UP = 300.0  #: seconds
#: What a run has that is shorter than twice the warm-up: caches that are full soon, and another bound.
SMALL = {"SPYDER_FRONTIER__CACHE": "2097152", "SPYDER_EXTRACT__SEEN_LINKS": "20000"}
BOUND, SMALL_BOUND = 1.0, 20.0  #: megabytes a minute
DESCRIPTORS = 8  #: by which their number may differ: a connection more or less is no growth
LEAST_SAMPLES = 8  #: after the warm-up, for a verdict


class Sample(NamedTuple):
    """What one process has at one time."""

    at: float  #: seconds since the start
    process: str
    memory: int  #: bytes, resident
    descriptors: int
    threads: int


class Verdict(NamedTuple):
    """How one process did, after the warm-up."""

    process: str
    early: float  #: bytes after a minute, or a tenth of the run
    first: float  #: bytes after the warm-up
    last: float
    slope: float  #: bytes a second
    descriptors: tuple[int, int]  #: least and most
    threads: tuple[int, int]
    grows: list[str]  #: what


def sample(at: float, process: str, pid: int) -> Sample | None:
    """A sample of a process; None when it is gone (proc(5))."""
    folder = Path("/proc") / str(pid)
    try:
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        return Sample(at, process, int(status["VmRSS"].split()[0]) * 1024, len(os.listdir(folder / "fd")),
                      int(status["Threads"]))
    except (OSError, KeyError):
        return None


def workers(parent: int) -> dict[str, int]:
    """The fetchers and extractors below a process, by name."""
    found: dict[str, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            is_child = int((path / "stat").read_text().rpartition(")")[2].split()[1]) == parent
        except OSError:
            continue
        if is_child and b"spyder.nodes.worker" in words:
            role = words[words.index(b"spyder.nodes.worker") + 1].decode()
            found[f"{role} {sum(name.startswith(role) for name in found)}"] = int(path.name)
    return found


def judge(process: str, samples: Sequence[Sample], *, early: float, warm_up: float, bound: float) -> Verdict | None:
    """What the samples of one process say after the warm-up, None when they are too few; *bound* in bytes a second."""
    shown = next((one.memory for one in samples if one.at >= early), 0)
    samples = [one for one in samples if one.at >= warm_up]
    if len(samples) < LEAST_SAMPLES:
        return None
    memory = statistics.linear_regression([one.at for one in samples], [one.memory for one in samples])
    quarter = max(1, len(samples) // 4)

    def growth(name: str) -> float:
        values = [getattr(one, name) for one in samples]
        return statistics.median(values[-quarter:]) - statistics.median(values[:quarter])

    grows = [f"memory by {memory.slope * 60 / MB:.2f} MB a minute"] if memory.slope > bound else []
    grows += [f"descriptors by {growth('descriptors'):g}"] if growth("descriptors") > DESCRIPTORS else []
    grows += [f"threads by {growth('threads'):g}"] if growth("threads") > 0 else []
    first, last = (memory.intercept + memory.slope * one.at for one in (samples[0], samples[-1]))
    return Verdict(process, shown, first, last, memory.slope, _span([one.descriptors for one in samples]),
                   _span([one.threads for one in samples]), grows)


def _span(values: list[int]) -> tuple[int, int]:
    return min(values), max(values)


def watch(command: subprocess.Popen[str], site: LocalSite, *, seconds: float, every: float) -> list[Sample]:
    """Samples of all processes until *seconds* have passed; prints a line for each look."""
    samples: list[Sample] = []
    began, asked = time.monotonic(), 0
    last = began
    while time.monotonic() - began < seconds:
        time.sleep(every)
        now = time.monotonic()
        if command.poll() is not None:
            break
        processes = {"master": command.pid, **workers(command.pid)}
        found = [one for name, pid in processes.items() if (one := sample(now - began, name, pid)) is not None]
        samples += found
        requests = site.report(has_hits=False).requests
        print(f"{now - began:7.0f} s {(requests - asked) / (now - last):7,.0f} pages/s  "
              + "  ".join(f"{one.process} {one.memory / MB:.1f} MB {one.descriptors} fds {one.threads} threads"
                          for one in found), flush=True)
        asked, last = requests, now
    return samples


def show(verdicts: Sequence[Verdict], *, pages: int, seconds: float, early: float, warm_up: float,
         bound: float) -> None:
    """The table."""
    print(f"\n{pages:,} pages in {seconds / 60:.1f} minutes, {pages / seconds:,.0f} a second; warm after "
          f"{warm_up:.0f} s; memory may grow by {bound * 60 / MB:g} MB a minute\n")
    print(f"{'process':<14}{f'MB at {early:.0f} s':>12}{'MB when warm':>14}{'MB at the end':>15}{'MB a minute':>13}"
          f"{'fds':>10}{'threads':>10}")
    for one in verdicts:
        print(f"{one.process:<14}{one.early / MB:>12.1f}{one.first / MB:>14.1f}{one.last / MB:>15.1f}"
              f"{one.slope * 60 / MB:>13.2f}{'{}-{}'.format(*one.descriptors):>10}{'{}-{}'.format(*one.threads):>10}"
              f"{'  GROWS: ' + ', '.join(one.grows) if one.grows else ''}")


def soak(options: argparse.Namespace, folder: Path) -> int:
    """One run; the exit code."""
    seconds = options.minutes * 60
    is_short = seconds < 2 * WARM_UP
    early, warm_up = min(EARLY, seconds / 10), seconds / 2 if is_short else WARM_UP
    bound = (options.bound or (SMALL_BOUND if is_short else BOUND)) * MB / 60
    environ = {**os.environ, **(SMALL if is_short else {}), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with LocalSite(int(PAGES_A_SECOND * (seconds + 30)), hosts=HOSTS, size=options.size, links=options.links) as site:
        command = subprocess.Popen(
            [sys.executable, "-m", "spyder", "crawl", *site.seeds, "--delay", "0", "--per-host", "32", "--workers",
             str(options.workers), "--quiet", "--output", str(folder / "crawl")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ)
        try:
            samples = watch(command, site, seconds=seconds, every=options.every)
            is_early = command.poll() is not None
            command.send_signal(signal.SIGINT)
            output, _ = command.communicate(timeout=60)
        finally:
            command.kill()
            command.wait()
        report = site.report(has_hits=False)
    print(output)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([Sample._fields, *samples])
    verdicts = []
    for process in dict.fromkeys(one.process for one in samples):
        kept = [one for one in samples if one.process == process]
        verdict = judge(process, kept, early=early, warm_up=warm_up, bound=bound)
        if verdict is None:
            print(f"too few samples of {process} after {warm_up:.0f} s: take more --minutes, or sample more often")
            return 2
        verdicts.append(verdict)
    crawled = (report.last_at or 0.0) - (report.first_at or 0.0)
    show(verdicts, pages=report.requests, seconds=crawled, early=early, warm_up=warm_up, bound=bound)
    if is_early or command.returncode != 0:
        print(f"the crawl ended by itself, or not well: exit code {command.returncode}")
        return 1
    return int(not verdicts or any(one.grows for one in verdicts))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    parser.add_argument("--bound", type=float,
                        help=f"megabytes a minute that memory may grow by ({BOUND:g}; of a short run {SMALL_BOUND:g})")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=8000, help="bytes of a page")
    parser.add_argument("--links", type=int, default=20, help="links of a page")
    parser.add_argument("--csv", type=Path, help="a file for all samples")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spyder-soak-") as folder:
        return soak(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
