"""``spyder requeue``: brings settled URIs back into their queues, through a running master or without one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from spyder.cli.control import master_settings, which_master
from spyder.model.clock import SystemClock
from spyder.model.states import ExitCode
from spyder.settings import Settings
from spyder.web.client import NoMasterError, find_master


@click.command()
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option("--state", "states", multiple=True, type=click.Choice(["quarantined", "failed", "excluded"]),
              help="Those in this state (default: quarantined; for named URLs all three).")
@click.option("--host", default="", metavar="HOST", help="Those of one host, with its port if it has one.")
@click.option("--reason", default="", metavar="TEXT", help="Those whose reason contains TEXT.")
@click.option("--all", "is_all", is_flag=True, help="All of them, of every host and for any reason.")
@which_master
def requeue(*, urls: tuple[str, ...], states: tuple[str, ...], host: str, reason: str, is_all: bool,
            settings_file: Path | None, output: Path | None) -> None:
    """Queue URIs again that were quarantined or have failed: as if they had never been tried.

    Durable when it returns. Without a running master the frontier of the crawl directory is changed itself, and the
    next start goes on with it.
    """
    if not (urls or host or reason or is_all):
        raise click.UsageError("which ones? Name URLs, --host, --reason, or --all")
    settings = master_settings(settings_file, output)
    asked: dict[str, Any] = {"urls": list(urls), "states": list(states), "host": host, "reason": reason}
    try:
        report = find_master(settings, needs_file=output is not None).requeue(**asked)
        requeued, unknown, refused, where = report["requeued"], report["unknown"], report["refused"], ""
    except NoMasterError:
        if not settings.frontier_directory.exists():
            raise
        requeued, unknown, refused = _offline(settings, asked)
        where = "; the next start goes on with them" if requeued else ""
    for url in unknown:
        click.echo(f"spyder: not in the frontier: {url}", err=True)
    for line in refused:
        click.echo(f"spyder: not requeued: {line}", err=True)
    click.echo(f"{requeued:,} requeued{where}")
    sys.exit(ExitCode.ERROR if urls and not requeued else ExitCode.OK)


def _offline(settings: Settings, asked: dict[str, Any]) -> tuple[int, list[str], list[str]]:
    from spyder.nodes.requeue import requeue_offline  # takes a while to import

    report = requeue_offline(settings, SystemClock(), **asked)
    return report.requeued, report.unknown, report.refused
