"""``spyder bench``: crawls a site that it generates and serves itself, and shows where time and memory go."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from spyder import runtime
from spyder.cli.options import COUNT, COUNT_OR_NONE, PATH, settings_option
from spyder.errors import SettingsError
from spyder.model.states import ExitCode
from spyder.nodes.benchmark import BenchReport, ProcessFigures, bench_settings, measure, process_age
from spyder.settings import load
from spyder.testsite.site import LocalSite


@click.command()
@click.option("--pages", type=COUNT, default=10_000, show_default=True, metavar="N", help="Pages in all.")
@click.option("--hosts", type=COUNT, default=1, show_default=True, metavar="N", help="Hosts (loopback addresses).")
@click.option("--size", type=COUNT_OR_NONE, default=16_000, show_default=True, metavar="BYTES", help="Of a page.")
@click.option("--links", type=COUNT, default=30, show_default=True, metavar="N", help="Of a page.")
@click.option("--workers", type=COUNT, default=1, show_default=True, metavar="N", help="Workers, two processes each.")
@click.option("--concurrency", type=COUNT, default=32, show_default=True, metavar="N", help="Connections of a worker.")
@click.option("--per-host", type=COUNT, default=32, show_default=True, metavar="N", help="Connections to one host.")
@click.option("--output", type=PATH, metavar="DIR",
              help="The crawl directory, kept afterwards; what an earlier crawl left in it is removed.")
@settings_option
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON on standard output.")
def bench(*, output: Path | None, settings_file: Path | None, as_json: bool, **options: int) -> None:
    """Crawl a generated site on loopback without delays, and show speed, CPU time, memory and syncs.

    Everything is durable as in any crawl. Ends with an error unless exactly the site's pages were crawled, each once.
    """
    base = load(settings_file)
    try:
        site = LocalSite(options["pages"], hosts=options["hosts"], size=options["size"], links=options["links"])
    except ValueError as error:
        raise SettingsError(str(error)) from None
    starting = process_age()
    with tempfile.TemporaryDirectory(prefix="spyder-bench-") as folder, site:
        settings = bench_settings(base, directory=output or Path(folder, "crawl"), workers=options["workers"],
                                  connections=options["concurrency"], per_host=options["per_host"])
        report = runtime.run(measure(settings, site, starting=starting))
    if as_json:
        click.echo(_as_json(report))
    else:
        console = Console(highlight=False)
        console.print(_table(report), "")
        console.print(*_lines(report, site), sep="\n", soft_wrap=True)
    sys.exit(ExitCode.OK if report.is_complete else ExitCode.BOOKS if not report.is_balanced else ExitCode.ERROR)


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
