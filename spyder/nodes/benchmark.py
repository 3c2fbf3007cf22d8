"""Measures a crawl of a site that is fully known: speed, CPU time by process and stage, memory, syncs, start-up."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Protocol

import msgspec

from spyder.errors import SpyderError
from spyder.model.clock import SystemClock, cpu_seconds
from spyder.nodes import checks, local
from spyder.nodes.spec import EXTRACTOR, FETCHER
from spyder.nodes.status import Status
from spyder.settings import Settings


class Seen(Protocol):
    """What the site's server saw; times are seconds of the machine's monotonic clock."""

    @property
    def first_at(self) -> float | None:
        """The first request."""

    @property
    def last_at(self) -> float | None:
        """The last request."""

    @property
    def requests(self) -> int:
        """Requests, of whatever kind."""

    @property
    def cpu(self) -> float:
        """CPU seconds of the server."""


class Site(Protocol):
    """The site that is crawled: :class:`spyder.testing.LocalSite` is one."""

    @property
    def seeds(self) -> tuple[str, ...]:
        """Where the crawl begins."""

    def urls(self) -> set[str]:
        """All its pages."""

    def report(self, *, has_hits: bool = True) -> Seen:
        """What its server saw."""


class ProcessFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the crawl."""

    name: str  #: master, or fetcher or extractor with the worker's number
    cpu: float  #: CPU seconds, user and system
    memory: int  #: bytes, resident, at its peak
    stages: dict[str, float]  #: CPU seconds by stage


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; times are in seconds, sizes in bytes."""

    pages: int  #: of the site
    crawled: int  #: of them that are among the results
    missing: int  #: pages of the site that are not among the results
    strange: int  #: results that are no pages of the site
    repeated: int  #: results beyond the first of a page
    is_balanced: bool
    reason: str  #: why the crawl ended
    wall: float  #: from the crawl's start until its last process had ended
    fetching: float  #: from the first request to the last
    size: int  #: of all bodies
    cpu: float  #: of all processes, the start of their interpreters included; the site's left out
    site_cpu: float
    processes: tuple[ProcessFigures, ...]
    starting: float  #: from the start of this process to the crawl's start, the site's start left out
    first_lease: float | None  #: after the master's start
    first_fetch: float | None  #: after the crawl's start
    commits: int  #: of the master, each with a sync
    outcomes: int  #: settled
    batches: int  #: of the workers as they last reported, each with a sync of its outputs
    batched: int  #: outcomes in them
    lease_batches: int  #: messages that brought leases
    store_size: int

    @property
    def is_complete(self) -> bool:
        """True when every page was crawled, once, and the books balance."""
        return not (self.missing or self.strange or self.repeated) and self.is_balanced

    @property
    def pages_per_second(self) -> float:
        """Pages by the wall clock, start and end included."""
        return self.crawled / self.wall

    @property
    def cpu_per_page(self) -> float:
        """CPU milliseconds for a page, of all processes."""
        return self.milliseconds(self.cpu)

    def milliseconds(self, seconds: float) -> float:
        """*seconds* of the whole crawl as milliseconds for a page."""
        return seconds / max(1, self.crawled) * 1000


class _Sampler:
    """CPU time and peak memory of the workers' processes, read from the system while they run."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}  #: seconds by process
        self.memory: dict[str, int] = {}  #: bytes by process
        self.stages: dict[str, dict[str, float]] = {}  #: share of the process's CPU time, by process and stage
        self.batches: dict[int, tuple[int, int]] = {}  #: batches and the outcomes in them, by worker

    def observe(self, status: Status) -> None:
        """Take the figures of a moment: what the workers say of themselves, and what the system says."""
        for worker in status.workers:
            number, load = _number(worker.worker), worker.load
            self._note(f"fetcher {number}", load.fetcher_cpu, load.fetcher_memory)
            self._note(f"extractor {number}", load.extractor_cpu, load.extractor_memory)
            self.batches[number] = (load.batches, load.extracted)
            if load.stages and load.extractor_cpu:
                shares = {stage: seconds / load.extractor_cpu for stage, seconds in load.stages.items()}
                self.stages[f"extractor {number}"] = shares
        for name, pid in _workers_processes().items():
            self._note(name, _cpu_of(pid), _peak_of(pid))

    def _note(self, name: str, cpu: float, memory: int) -> None:
        self.cpu[name] = max(cpu, self.cpu.get(name, 0.0))
        self.memory[name] = max(memory, self.memory.get(name, 0))


def _number(worker: str) -> int:
    """Which of its supervisor's workers one is: ``worker:host:pid.NUMBER:nonce``."""
    return int(worker.split(":")[-2].rpartition(".")[2])


def _workers_processes() -> dict[str, int]:
    """Process ids of the workers that this process has started; empty where the system doesn't say."""
    found: dict[str, int] = {}
    try:
        pids = [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
        for pid in sorted(pids):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            role = next((role for role in (FETCHER, EXTRACTOR) if role in words), None)
            if role is not None:
                found[f"{role} {sum(name.startswith(role) for name in found)}"] = pid
    except OSError:
        return {}  # one has just ended
    return found


def _cpu_of(pid: int) -> float:
    """User and system seconds of a process; 0 when it is gone or the system doesn't say (proc(5), ``stat``)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_of(pid: int) -> int:
    """Bytes that were resident at the most; 0 when the process is gone or the system doesn't say (``VmHWM``)."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:")), 0)


def process_age() -> float:
    """Seconds since this process was started; 0 where the system doesn't say (proc(5), ``stat`` and ``uptime``)."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return 0.0
    return uptime - started / os.sysconf("SC_CLK_TCK")


def bench_settings(settings: Settings, *, directory: Path, connections: int, per_host: int, workers: int) -> Settings:
    """*settings* without delays, everything durable as always, and its output in *directory*."""
    replace = msgspec.structs.replace
    return replace(
        settings, output=replace(settings.output, directory=str(directory)),
        frontier=replace(settings.frontier, directory=None), limits=replace(settings.limits, pages=None, time=None),
        politeness=replace(settings.politeness, delay=0.0, delay_factor=0.0, per_host=per_host),
        fetch=replace(settings.fetch, connections=connections), worker=replace(settings.worker, processes=workers),
        api=replace(settings.api, port=0))


async def measure(settings: Settings, site: Site, *, starting: float = 0.0) -> BenchReport:
    """Crawl *site* and measure it; *starting* is how many seconds the caller took until now.

    The CPU time of the master is that of the calling process since its start, and the workers' that of all its
    children that have ended: so it is to be called once, by a process that does little else. Raises
    :class:`SpyderError` when the crawl directory is in use.
    """
    clock, sampler = SystemClock(), _Sampler()
    checks.check(settings)
    checks.clear(settings)
    started_at = clock.monotonic()
    report = await local.crawl(settings, site.seeds, observe=sampler.observe, is_profiled=True)
    wall = clock.monotonic() - started_at
    own, children = cpu_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN)
    seen, status = site.report(has_hits=False), report.status
    sampler.observe(status)
    crawled, strange, repeated, size = _results(settings.crawl_directory / "pages", pages := site.urls())
    return BenchReport(
        pages=len(pages), crawled=crawled, missing=len(pages) - crawled, strange=strange, repeated=repeated,
        is_balanced=status.is_balanced, reason=report.reason, wall=wall, size=size,
        fetching=(seen.last_at or 0.0) - (seen.first_at or 0.0), cpu=own + children.ru_utime + children.ru_stime,
        site_cpu=seen.cpu, processes=_processes(sampler, status, own, children), starting=starting,
        first_lease=status.first_lease, first_fetch=None if seen.first_at is None else seen.first_at - started_at,
        commits=status.commits, outcomes=status.counts.get("fetches", 0),
        batches=sum(batches for batches, _ in sampler.batches.values()),
        batched=sum(pages for _, pages in sampler.batches.values()), lease_batches=status.counts.get("batches", 0),
        store_size=status.store_size)


def _processes(sampler: _Sampler, status: Status, own: float,
               children: resource.struct_rusage) -> tuple[ProcessFigures, ...]:
    """All processes; what the workers used after their last sample is shared out in proportion."""
    sampled = sum(sampler.cpu.values())
    factor = (children.ru_utime + children.ru_stime) / sampled if sampled else 1.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    master = ProcessFigures(name="master", cpu=own, memory=peak, stages=status.stages)
    return (master, *(ProcessFigures(name=name, cpu=cpu * factor, memory=sampler.memory.get(name, 0),
                                     stages={stage: share * cpu * factor
                                             for stage, share in sampler.stages.get(name, {}).items()})
                      for name, cpu in sorted(sampler.cpu.items(), key=_order)))


def _order(item: tuple[str, float]) -> tuple[int, bool]:
    """A worker's fetcher before its extractor, worker after worker."""
    role, _, number = item[0].partition(" ")
    return int(number), role == EXTRACTOR


class _Line(msgspec.Struct):
    """What is read of a record."""

    url: str
    status: int = 0
    error: str = ""
    size: int = 0


def _results(folder: Path, pages: set[str]) -> tuple[int, int, int, int]:
    """Of the results: pages of the site, others, repetitions, and bytes of the bodies."""
    decode = msgspec.json.Decoder(_Line).decode
    seen: set[str] = set()
    strange = repeated = size = 0
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            for row in file:
                line = decode(row)
                if line.url not in pages or line.error or line.status != 200:
                    strange += 1
                elif line.url in seen:
                    repeated += 1
                else:
                    seen.add(line.url)
                    size += line.size
    if not seen:
        raise SpyderError(f"nothing was crawled; see {folder.parent}/logs")
    return len(seen), strange, repeated, size
