"""``spyder seed``, ``status`` and ``stop``: talk to a running master through its HTTP API."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from spyder.cli.options import PATH, settings_option
from spyder.cli.text import duration, fits, megabytes, page, table, terminal_width
from spyder.model.states import ExitCode
from spyder.nodes.status import faults_in_words
from spyder.settings import Settings, load
from spyder.web.client import MasterClient, find_master, read_seeds, wait_until_ended

#: States of the books in the order in which they are shown.
_STATES = ("queued", "leased", "scheduled", "done", "failed", "excluded", "quarantined")

F = TypeVar("F", bound=Callable[..., Any])


def which_master(command: F) -> F:
    """The options that name a running master: ``settings_file`` and ``output``."""
    output = click.option("--output", type=PATH, metavar="DIR", help="The crawl directory of a running `spyder crawl`.")
    return settings_option(output(command))


@click.command()
@click.argument("urls", nargs=-1, metavar="URL...")
@click.option("--file", "file", metavar="F", help="A file with a URL a line; - reads standard input.")
@which_master
def seed(urls: tuple[str, ...], file: str | None, settings_file: Path | None, output: Path | None) -> None:
    """Add seeds to a running master; they are durable when this returns."""
    wanted = [*urls, *(read_seeds(file) if file is not None else ())]
    if not wanted:
        raise click.UsageError("no seed: give at least one URL, or --file")
    report = running_master(settings_file, output).add_seeds(wanted)
    for line in report["refused"]:
        click.echo(f"spyder: seed refused: {line}", err=True)
    click.echo(f"{report['added']:,} added, {report['known']:,} known before, {len(report['refused']):,} refused")
    sys.exit(ExitCode.ERROR if len(report["refused"]) == len(wanted) else ExitCode.OK)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything that the master says, as JSON.")
@which_master
def status(as_json: bool, settings_file: Path | None, output: Path | None) -> None:
    """Show a running master: workers, queues, rates, the balance of the books."""
    figures = running_master(settings_file, output).status()
    click.echo(json.dumps(figures, indent=2) if as_json else status_page(figures, terminal_width()))


@click.command()
@click.option("--wait/--no-wait", default=True, help="Wait until the master has ended (default).")
@which_master
def stop(wait: bool, settings_file: Path | None, output: Path | None) -> None:
    """End a running master and its workers in good order; a later start goes on where it stopped."""
    client = running_master(settings_file, output)
    figures = client.status()
    client.stop()
    if not wait:
        click.echo(f"{figures['master']} is stopping")
        return
    figures = wait_until_ended(client, figures)
    books = figures["books"]
    click.echo(f"{figures['master']} ended: {books['done']:,} done, {books['failed']:,} failed, "
               f"{books['queued'] + books['scheduled']:,} left of {books['discovered']:,} URLs")


def running_master(settings_file: Path | None, output: Path | None) -> MasterClient:
    """The master that the options name. Raises :class:`spyder.errors.ApiError` when there is none."""
    return find_master(master_settings(settings_file, output), needs_file=output is not None)


def master_settings(settings_file: Path | None, output: Path | None) -> Settings:
    """The settings by which the options name a master."""
    return load(settings_file, overrides={"output.directory": None if output is None else str(output)})


def status_page(figures: dict[str, Any], width: int | None) -> str:
    """The figures as a page of text, *width* columns wide."""
    counts, books = figures["counts"], dict(figures["books"])
    books["leased"] = figures["leased"]
    books["queued"] = max(0, books["queued"] - books["leased"])  # the frontier's books count leased ones as queued
    state = figures["state"] + (f" ({figures['reason']})" if figures["reason"] else "")
    errors = {name.removeprefix("error/"): count for name, count in counts.items() if name.startswith("error/")}
    elapsed = max(figures["elapsed"], 1e-6)
    rows = [
        ("master", f"{figures['master']}, version {figures['version']}, epoch {figures['epoch']}"),
        ("project", figures["project"]),
        ("state", state),
        *([("stalled", figures["stalled"])] if figures["stalled"] else []),
        ("elapsed", duration(figures["elapsed"])),
        ("rate", f"{figures['pages_per_second']:,.1f} pages/s now, {counts.get('fetches', 0) / elapsed:,.1f} overall, "
                 f"{megabytes(counts.get('bytes', 0))} fetched"),
        ("books", f"{books['discovered']:,} discovered = "
                  + " + ".join(f"{books[name]:,} {name}" for name in _STATES)),
        ("", "they balance" if figures["is_balanced"] else "THEY DO NOT BALANCE: please report this"),
        ("errors", ", ".join(f"{name} {count:,}" for name, count in sorted(errors.items())) or "none"),
        ("faults", faults_in_words(figures["faults"]) or "none"),
        ("hosts", f"{figures['active_hosts']:,} active, {figures['busy_hosts']:,} busy"),
        ("process", f"{megabytes(figures['memory'])} memory, {figures['cpu']:,.1f} s CPU, "
                    f"{figures['commits']:,} commits, {megabytes(figures['store_size'])} store"),
        ("workers", f"{len(figures['workers']):,}"),
    ]
    text = page(rows, width=width, marked=("stalled",))
    return f"{text}\n\n{_workers(figures['workers'], width)}" if figures["workers"] else text


def _workers(workers: list[dict[str, Any]], width: int | None) -> str:
    """The workers as a table, the trouble of one below it; a few lines for each where that is too wide."""
    head = ("worker", "state", "slots", "leased", "fetching", "outbox", "memory", "CPU")
    rows = [_cells(worker) for worker in workers]
    text = table(head, rows, left=2)
    if not fits(text, width):
        return page([(row[0], ", ".join([_trouble(worker) or row[1], *(
            f"{cell} {name}" for name, cell in zip(head[2:], row[2:], strict=True))]))
            for row, worker in zip(rows, workers, strict=True)], width=width)
    first, *lines = text.split("\n")
    for line, worker in zip(lines, workers, strict=True):
        trouble = page([("", _trouble(worker))], width=width) if _trouble(worker) else ""
        first = f"{first}\n{line}" + (click.style(f"\n{trouble}", fg="yellow", bold=True) if trouble else "")
    return first


def _cells(worker: dict[str, Any]) -> tuple[str, ...]:
    load_ = worker["load"]
    return (worker["worker"].removeprefix("worker:"), worker["state"], f"{worker['slots']:,}", f"{worker['leased']:,}",
            f"{load_['fetching']:,}", f"{load_['outbox']:,}",
            megabytes(load_["fetcher_memory"] + load_["extractor_memory"]),
            f"{load_['fetcher_cpu'] + load_['extractor_cpu']:,.1f} s")


def _trouble(worker: dict[str, Any]) -> str:
    trouble = worker["load"]["trouble"]
    return f"{worker['state']}, but takes nothing: {trouble}" if trouble else ""
