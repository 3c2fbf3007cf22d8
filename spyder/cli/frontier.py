"""``spyder frontier``: read a frontier, or check it, with or without a running master; nothing is ever written."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from spyder.cli.options import PATH
from spyder.cli.text import table
from spyder.errors import SpyderError
from spyder.model.states import ExitCode
from spyder.nodes import inspect

_directory = click.argument("directory", type=PATH, metavar="DIR")


@click.group()
def frontier() -> None:
    """Read a frontier: DIR is a crawl directory or the frontier's own folder. A master may be running on it."""


@frontier.command("ls")
@_directory
@click.option("--json", "as_json", is_flag=True, help="A JSON object for each host.")
def list_hosts(directory: Path, as_json: bool) -> None:
    """List the hosts: how many URIs wait, how many are settled, and when the next may be fetched."""
    with inspect.open_for_reading(directory) as view:
        hosts = list(view.hosts())
        books = view.books()
    if as_json:
        for host in hosts:
            click.echo(msgspec.json.encode(host))
        return
    rows = [(host.host, host.project, f"{host.queued:,}", f"{host.settled - host.failed:,}", f"{host.failed:,}",
             host.next_at or "-", f"{host.last_error} x {host.errors}" if host.errors else "-")
            for host in sorted(hosts, key=lambda host: (-host.queued, host.host))]
    click.echo(table(("host", "project", "queued", "done", "failed", "next", "trouble"), rows, left=2))
    for name, book in books.items():
        balance = "" if book.is_balanced else "; THE BOOKS DO NOT BALANCE"
        click.echo(f"{name}: {inspect.equation(book)}{balance}")


@frontier.command()
@_directory
@click.argument("url", metavar="URL")
def show(directory: Path, url: str) -> None:
    """Show what the frontier knows of one URL, as JSON."""
    with inspect.open_for_reading(directory) as view:
        found = view.find(url)
    if not found:
        raise SpyderError(f"{url} is not in the frontier")
    for uri in found:
        click.echo(msgspec.json.format(msgspec.json.encode(uri)))


@frontier.command()
@_directory
@click.option("--state", "states", multiple=True, type=click.Choice(inspect.STATES), help="Only those in this state.")
@click.option("--host", default="", metavar="HOST", help="Only those of one host, with its port if it has one.")
def dump(directory: Path, states: tuple[str, ...], host: str) -> None:
    """Write every URI as a line of JSON."""
    encoder = msgspec.json.Encoder()
    with inspect.open_for_reading(directory) as view:
        for uri in view.uris(states=frozenset(states), host=host):
            sys.stdout.buffer.write(encoder.encode(uri) + b"\n")
        sys.stdout.buffer.flush()


@frontier.command()
@_directory
@click.option("--json", "as_json", is_flag=True, help="Everything that was found, as JSON.")
def check(directory: Path, as_json: bool) -> None:
    """Count all rows and compare them with the books; a line for each project, and what is wrong.

    Ends with 0 when every URI is where the books say, with 3 when not.
    """
    with inspect.open_for_reading(directory) as view:
        found = view.audit()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(inspect.as_trees(found))))
    else:
        for project in found:
            click.echo(inspect.verdict(project))
    sys.exit(ExitCode.OK if all(project.is_good for project in found) else ExitCode.BOOKS)
