"""``spyder start``: the parts of a crawl by themselves, on one host or on many."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from spyder import runtime
from spyder.cli import contact
from spyder.cli.options import COUNT, serve_api, settings_option
from spyder.errors import SpyderError
from spyder.model.states import ExitCode
from spyder.nodes import checks, local, parts
from spyder.nodes.status import exit_code
from spyder.settings import load

_until_done = click.option("--until-done", is_flag=True,
                           help="End when the crawl is done, or at a limit of the settings.")

#: How workers ended, in words.
_ENDS = {
    ExitCode.OK: "in good order", ExitCode.REFUSED: "refused by the master", ExitCode.ORPHANED: "without a master",
    ExitCode.HARD_DEADLINE: "cut short: what they held goes back to the queue",
    ExitCode.USAGE: "unable to start",
}


@click.group()
def start() -> None:
    """Start the parts of a crawl by themselves: they find each other by the addresses in the settings."""


@start.command()
@settings_option
@_until_done
def master(settings_file: Path | None, until_done: bool) -> None:
    """Start a master: it keeps the frontier and waits for workers, `spyder seed` and `spyder stop`.

    It begins with `project.seeds`. Without --until-done it goes on when nothing is left to fetch.
    """
    _run_master(settings_file, until_done=until_done, has_workers=False)


@start.command("all")
@settings_option
@_until_done
def everything(settings_file: Path | None, until_done: bool) -> None:
    """Start master, workers and log sink in one; workers of other hosts may join."""
    _run_master(settings_file, until_done=until_done, has_workers=True)


@start.command()
@settings_option
@click.option("--processes", type=COUNT, metavar="N", help="Workers, two processes each (default 1).")
def worker(settings_file: Path | None, processes: int | None) -> None:
    """Start workers of this host under their supervisor; SIGTERM and Ctrl-C let them finish what they hold."""
    settings = load(settings_file, overrides={"worker.processes": processes})
    checks.check(settings)
    code = runtime.run(parts.run_workers(settings, announce=_say))
    _say(f"workers ended: {_ENDS.get(code, code.name.lower())}")
    sys.exit(code)


@start.command()
@settings_option
def logsink(settings_file: Path | None) -> None:
    """Start a log sink: it writes the log records of all processes to files."""
    settings = load(settings_file)
    checks.check(settings, has_workers=False)
    records = runtime.run(parts.run_logsink(settings, announce=_say))
    _say(f"log sink ended: {records:,} records")


def _run_master(settings_file: Path | None, *, until_done: bool, has_workers: bool) -> None:
    settings = load(settings_file)
    checks.check(settings, has_workers=has_workers)
    contact.warn(settings, settings.project.seeds)
    report = runtime.run(local.run_master(settings, ends_when_done=until_done, has_workers=has_workers,
                                          serve_api=serve_api, announce=_say))
    books = report.status.books
    _say(f"master ended: {report.reason}; {books.done:,} done, {books.failed:,} failed, "
         f"{books.queued + books.scheduled:,} left of {books.discovered:,} URLs")
    code = exit_code(report.status)
    if code:
        _say("THE BOOKS DO NOT BALANCE: please report this with the crawl directory; see `spyder frontier check`")
    elif report.ended_early:
        raise SpyderError(f"the crawl ended early: {report.reason}; see {settings.log_directory}")
    sys.exit(code)


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
