"""``spyder crawl``: a master and workers of this host, from seeds to the last page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from spyder import runtime
from spyder.cli import contact
from spyder.cli.options import COUNT, COUNT_OR_NONE, PATH, SECONDS, serve_api, settings_option
from spyder.cli.progress import Progress, summary, summary_json
from spyder.errors import SpyderError, UrlError
from spyder.model.states import ExitCode
from spyder.model.url import parse_seed
from spyder.nodes import checkpoints, checks, local
from spyder.nodes.status import exit_code
from spyder.settings import Settings, load


@click.command()
@click.argument("urls", nargs=-1, metavar="URL...")
@click.option("--scope", type=click.Choice(["host", "domain", "any"]),
              help="Which hosts: the seeds' (default), their domains, any.")
@click.option("--include", multiple=True, metavar="REGEX", help="Follow only links that match one of these.")
@click.option("--exclude", multiple=True, metavar="REGEX", help="Follow no link that matches one of these.")
@click.option("--depth", type=COUNT_OR_NONE, metavar="N", help="Links from a seed at the most.")
@click.option("--max-pages", type=COUNT_OR_NONE, metavar="N", help="End after N pages.")
@click.option("--max-time", type=SECONDS, metavar="S", help="End after S seconds.")
@click.option("--delay", type=SECONDS, metavar="S", help="Seconds between fetches of one host (default 1); 0: none.")
@click.option("--per-host", type=COUNT, metavar="N", help="Connections to one host (default 2).")
@click.option("--concurrency", type=COUNT, metavar="N", help="Connections of one worker (default 32).")
@click.option("--workers", type=COUNT, metavar="N", help="Workers, two processes each (default 1).")
@click.option("--output", type=PATH, metavar="DIR", help="The crawl directory (default: HOST.crawl).")
@settings_option
@click.option("--contact", metavar="TEXT", help="URL or e-mail address for complaints, sent with every request.")
@click.option("--user-agent", metavar="TEXT", help="Who you are, if not Spyder.")
@click.option("--from", "source", type=PATH, metavar="DIR", help="Begin with the checkpoint in DIR.")
@click.option("--fresh", is_flag=True, help="Begin anew instead of going on: removes what the directory holds.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on standard output.")
def crawl(*, urls: tuple[str, ...], settings_file: Path | None, source: Path | None, fresh: bool, quiet: bool,
          as_json: bool, **options: Any) -> None:
    """Crawl from the given URLs with this machine alone.

    Needs no settings and no server. Pages are recorded in DIR/pages/*.jsonl, logs in DIR/logs. Ctrl-C stops cleanly;
    the same command goes on where it stopped. With --from no URL is needed: the crawl goes on with what was queued.
    """
    settings = load(settings_file, overrides=_overrides(options, urls, settings_file))
    seeds = urls or settings.project.seeds
    if not seeds and source is None:
        raise click.UsageError("no seed: give at least one URL, or `project.seeds` in the settings file")
    checks.check(settings)
    if source is not None:
        checkpoints.check(source, settings, has_seeds=bool(seeds))
    if fresh:
        checks.clear(settings)
    if source is not None:
        checkpoints.begin(source, settings)
    checks.make_directory(settings.crawl_directory, "output.directory")
    if not quiet:
        settings = contact.ask_once(settings)
    contact.warn(settings, seeds)
    progress = Progress(is_quiet=quiet or as_json, seeds=seeds or (str(source),))
    with progress:
        report = runtime.run(local.crawl(settings, seeds, observe=progress.show, serve_api=serve_api))
    for line in report.seeds.refused:
        click.echo(f"spyder: seed refused: {line}", err=True)
    click.echo(summary_json(report) if as_json else summary(report), nl=True)
    code = exit_code(report.status)
    if report.ended_early and not code:
        raise SpyderError(f"the crawl ended early: {report.reason}; see {report.directory}/logs")
    sys.exit(code if code else ExitCode.OK)


def _overrides(options: dict[str, Any], urls: tuple[str, ...], settings_file: Path | None) -> dict[str, Any]:
    """Settings from the command line, by dotted key."""
    delay = options["delay"]
    overrides = {
        "scope.mode": options["scope"], "scope.depth": options["depth"],
        "scope.include": list(options["include"]) or None, "scope.exclude": list(options["exclude"]) or None,
        "limits.pages": options["max_pages"], "limits.time": options["max_time"],
        "politeness.delay": delay, "politeness.delay_factor": None if delay is None else 0.0,
        "politeness.per_host": options["per_host"], "fetch.connections": options["concurrency"],
        "worker.processes": options["workers"], "fetch.user_agent": options["user_agent"],
        "fetch.contact": options["contact"], "api.port": 0,
    }
    if options["output"] is not None:
        overrides["output.directory"] = str(options["output"])
    elif urls and (settings_file is None or load(settings_file).output.directory == Settings().output.directory):
        overrides["output.directory"] = f"{_first_host(urls)}.crawl"
    return overrides


def _first_host(urls: tuple[str, ...]) -> str:
    """The host of the first URL that can be crawled; raises :class:`UrlError` when none can."""
    refused = []
    for url in urls:
        try:
            return parse_seed(url).hostname
        except UrlError as error:
            refused.append(str(error))
    raise UrlError("; ".join(refused))
