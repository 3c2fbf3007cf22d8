"""``spyder checkpoint``: a copy of a running crawl's state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spyder.cli.control import running_master, which_master
from spyder.cli.options import PATH
from spyder.cli.text import duration, megabytes


@click.command()
@click.argument("directory", type=PATH, metavar="DIR")
@which_master
def checkpoint(directory: Path, settings_file: Path | None, output: Path | None) -> None:
    """Copy the state of a running crawl to DIR on the master's host, consistently; the crawl goes on.

    DIR is made, or must be empty. `spyder crawl --from DIR` begins a crawl with it.
    """
    made = running_master(settings_file, output).checkpoint(directory.absolute())
    for name, books in made["projects"].items():
        click.echo(f"{name}: {_counts(books)}")
    click.echo(f"{megabytes(made['size'])} in {duration(made['elapsed'])}: {made['directory']}")


def _counts(books: dict[str, Any]) -> str:
    return f"{books['discovered']:,} URIs: " + ", ".join(
        f"{count:,} {state}" for state, count in books.items() if count and state != "discovered")
