"""``spyder bench``: crawls a site that it generates and serves itself, and shows where time and memory go.

With ``--chaos`` it kills, stops and restarts the crawl's processes meanwhile, and shows that nothing got lost.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from spyder import runtime
from spyder.cli.options import COUNT, COUNT_OR_NONE, PATH, SECONDS, settings_option
from spyder.errors import ApiError, SettingsError
from spyder.model.clock import SystemClock
from spyder.model.states import ExitCode
from spyder.nodes.benchmark import BenchReport, ProcessFigures, bench_settings, measure, process_age
from spyder.nodes.chaos.faults import Aim, FaultKind, Role
from spyder.nodes.chaos.masters import Figures
from spyder.nodes.chaos.plan import ChaosPlan, chaos_settings
from spyder.nodes.chaos.run import ChaosReport, run_chaos
from spyder.settings import Settings, load
from spyder.testsite.site import LocalSite
from spyder.web.client import MasterClient

#: What ``--chaos`` takes for options that are not given, by name: what it takes without stands second.
_DEFAULTS = {"pages": (20_000, 10_000), "hosts": (50, 1), "size": (4_000, 16_000), "links": (10, 30),
             "workers": (2, 1), "per_host": (2, 32)}
#: Seconds that the site lets a crawl under faults take at the least, so that there is time for faults.
_CHAOS_LASTS = 30.0


def _sized(name: str) -> str:
    under_chaos, ordinary = _DEFAULTS[name]
    return f"(default {ordinary:,}; with --chaos {under_chaos:,})"


@click.command()
@click.option("--pages", type=COUNT, metavar="N", help=f"Pages in all {_sized('pages')}.")
@click.option("--hosts", type=COUNT, metavar="N", help=f"Hosts, loopback addresses {_sized('hosts')}.")
@click.option("--size", type=COUNT_OR_NONE, metavar="BYTES", help=f"Of a page {_sized('size')}.")
@click.option("--links", type=COUNT, metavar="N", help=f"Of a page {_sized('links')}.")
@click.option("--latency", type=SECONDS, metavar="S",
              help=f"Before the site answers (default 0; with --chaos such that the crawl takes {_CHAOS_LASTS:g} s).")
@click.option("--workers", type=COUNT, metavar="N",
              help=f"Workers, two processes each {_sized('workers')}, under each of two supervisors.")
@click.option("--concurrency", type=COUNT, default=32, show_default=True, metavar="N", help="Connections of a worker.")
@click.option("--per-host", type=COUNT, metavar="N", help=f"Connections to one host {_sized('per_host')}.")
@click.option("--chaos", is_flag=True, help="Crawl in processes of their own; kill, stop and restart them meanwhile.")
@click.option("--seed", type=int, metavar="N", help="With --chaos: decides which faults come (default: any).")
@click.option("--seconds-between", type=SECONDS, default=2.0, show_default=True, metavar="S",
              help="With --chaos: between two faults, on the average.")
@click.option("--time-limit", type=SECONDS, default=600.0, show_default=True, metavar="S",
              help="With --chaos: the crawl has hung if it takes longer.")
@click.option("--output", type=PATH, metavar="DIR",
              help="The crawl directory, kept afterwards; what an earlier crawl left in it is removed.")
@settings_option
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON on standard output.")
def bench(*, output: Path | None, settings_file: Path | None, as_json: bool, chaos: bool, **options: Any) -> None:
    """Crawl a generated site on loopback without delays, and show speed, CPU time, memory and syncs.

    Everything is durable as in any crawl. Ends with an error unless exactly the site's pages were crawled, each once.

    With --chaos: a log sink, a master and two supervisors with workers crawl as commands of their own, and every few
    seconds one of their processes is killed, stopped for a while, or told to end, and started again. Ends with an error
    unless every page is there all the same, the books balance, and no page was fetched more often than that explains.
    """
    base = load(settings_file)
    for name, (under_chaos, ordinary) in _DEFAULTS.items():
        if options[name] is None:
            options[name] = under_chaos if chaos else ordinary
    if options["latency"] is None:
        in_flight = min(options["hosts"] * options["per_host"], 2 * options["workers"] * options["concurrency"])
        options["latency"] = in_flight * _CHAOS_LASTS / options["pages"] if chaos else 0.0
    try:
        site = LocalSite(options["pages"], hosts=options["hosts"], size=options["size"], links=options["links"],
                         latency=options["latency"])
    except ValueError as error:
        raise SettingsError(str(error)) from None
    starting = process_age()
    with tempfile.TemporaryDirectory(prefix="spyder-bench-") as folder, site:
        directory = output or Path(folder, "crawl")
        if chaos:
            sys.exit(_chaos(base, site, directory, as_json=as_json, **options))
        settings = bench_settings(base, directory=directory, workers=options["workers"],
                                  connections=options["concurrency"], per_host=options["per_host"])
        report = runtime.run(measure(settings, site, starting=starting))
    if as_json:
        click.echo(_as_json(report))
    else:
        console = Console(highlight=False)
        console.print(_table(report), "")
        console.print(*_lines(report, site), sep="\n", soft_wrap=True)
    sys.exit(ExitCode.OK if report.is_complete else ExitCode.BOOKS if not report.is_balanced else ExitCode.ERROR)


def _chaos(base: Settings, site: LocalSite, directory: Path, *, as_json: bool, **options: Any) -> ExitCode:
    """Run it and show what came of it."""
    plan = ChaosPlan(
        seed=random.randrange(1_000_000) if options["seed"] is None else options["seed"],  # noqa: S311  no secret
        workers=options["workers"], between=options["seconds_between"], time_limit=options["time_limit"])
    settings = chaos_settings(base, plan, directory=directory, seeds=site.seeds, connections=options["concurrency"],
                              per_host=options["per_host"])
    report = run_chaos(settings, site, plan, clock=SystemClock(), ask=_ask, tell=_tell)
    if as_json:
        figures = msgspec.to_builtins(report) | {"is_good": report.is_good, "site": msgspec.to_builtins(site.plan)}
        click.echo(msgspec.json.format(msgspec.json.encode(figures)))
    else:
        console = Console(highlight=False)
        console.print(_faults_table(report), "")
        console.print(*_chaos_lines(report, site), sep="\n", soft_wrap=True)
    return ExitCode.OK if report.is_good else ExitCode.ERROR


def _ask(url: str) -> Figures:
    """A master's figures: joins nodes and web, which don't know each other."""
    try:
        return msgspec.convert(MasterClient(url).status(), Figures)
    except msgspec.ValidationError as error:
        raise ApiError(f"what is at {url} does not answer as a master does: {error}") from None


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _faults_table(report: ChaosReport) -> Table:
    """How often each process met each kind of fault."""
    counts = report.kinds()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("fault")
    for role in Role:
        table.add_column(role.value, justify="right")
    for kind in FaultKind:
        table.add_row(kind.value, *(str(counts.get(Aim(kind=kind, role=role), "")) for role in Role))
    return table


def _chaos_lines(report: ChaosReport, site: LocalSite) -> list[str]:
    plan = report.plan
    counters = ", ".join(f"{name} {count:,}" for name, count in report.survived.items() if count) or "none"
    starts = ", ".join(f"{name} {count}" for name, count in report.starts.items())
    lines = [
        f"run       seed {plan.seed}: {len(report.faults):,} faults of {len(report.kinds()):,} kinds in "
        f"{report.wall:.1f} s; {site.plan.pages:,} pages on {site.plan.hosts:,} hosts; {plan.supervisors} supervisors "
        f"of {plan.workers} workers of {report.slots} slots",
        f"starts    {starts}",
        f"survived  {counters} (as last asked of each master)",
        *(f"{check.name:<10}{'' if check.is_met else 'WRONG: '}{check.detail}" for check in report.checks),
    ]
    return [*lines, f"hung      {report.hung}"] if report.hung else lines


def _as_json(report: BenchReport) -> str:
    figures = msgspec.to_builtins(report) | {
        "is_complete": report.is_complete, "pages_per_second": round(report.pages_per_second, 1),
        "cpu_ms_per_page": round(report.cpu_per_page, 4)}
    return msgspec.json.format(msgspec.json.encode(figures)).decode()


def _table(report: BenchReport) -> Table:
    """CPU time by process and stage, and memory."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("process", "stage"):
        table.add_column(name)
    for name in ("CPU ms/page", "share", "CPU s", "peak MB"):
        table.add_column(name, justify="right")

    def row(process: str, stage: str, cpu: float, memory: str = "", style: str = "") -> None:
        table.add_row(process, stage, f"{report.milliseconds(cpu):.3f}", f"{cpu / report.cpu:.0%}", f"{cpu:.2f}",
                      memory, style=style)

    for process in report.processes:
        row(process.name, "", process.cpu, f"{process.memory / 1e6:,.0f}")
        for stage, cpu in _stages(process).items():
            row("", stage, cpu, style="dim")
    row("all", "", report.cpu, f"{sum(process.memory for process in report.processes) / 1e6:,.0f}", style="bold")
    table.add_row("the site", "", f"{report.milliseconds(report.site_cpu):.3f}", "", f"{report.site_cpu:.2f}", "")
    return table


def _stages(process: ProcessFigures) -> dict[str, float]:
    """CPU seconds by stage, and what belongs to none: start-up, the event loop, the sockets."""
    if not process.stages:
        return {}
    return process.stages | {"none of them": max(0.0, process.cpu - sum(process.stages.values()))}


def _lines(report: BenchReport, site: LocalSite) -> list[str]:
    plan, crawled = site.plan, max(1, report.crawled)
    fetch = "never" if report.first_fetch is None else f"{report.first_fetch:.2f} s"
    lease = "never" if report.first_lease is None else f"{report.first_lease:.2f} s after the master's"
    books = "balance" if report.is_balanced else "DO NOT BALANCE"
    check = "each page of the site once" if report.is_complete else (
        f"WRONG: {report.missing:,} pages missing, {report.repeated:,} repeated, {report.strange:,} others")
    return [
        f"site      {plan.pages:,} pages on {plan.hosts:,} hosts, {report.size / crawled / 1000:.1f} kB and "
        f"{plan.links} links a page",
        f"speed     {report.pages_per_second:,.0f} pages/s in {report.wall:.2f} s, start and end included; "
        f"{report.crawled / max(report.fetching, 1e-3):,.0f} pages/s from the first request to the last",
        f"CPU       {report.cpu_per_page:.3f} ms a page in all processes, start included",
        f"start     {report.starting:.2f} s to the crawl's start; first fetch {fetch} later; first lease {lease} start",
        f"syncs     master {report.commits:,} commits of {report.outcomes / max(1, report.commits):.0f} outcomes; "
        f"workers {report.batches:,} batches of {report.batched / max(1, report.batches):.0f} (as last reported)",
        f"leases    {report.lease_batches:,} batches of {report.outcomes / max(1, report.lease_batches):.0f}",
        f"store     {report.store_size / crawled:.0f} bytes a page",
        f"books     {books}; the crawl ended: {report.reason}",
        f"results   {check}",
    ]
