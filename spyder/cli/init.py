"""``spyder init``: a project of one's own that works as it is."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from spyder.cli.contact import ask_once
from spyder.cli.options import PATH
from spyder.errors import SpyderError
from spyder.nodes.checks import has_contact
from spyder.settings import load

#: The files of a project; in the folder ``skeleton`` those of Python end in ``.in``: no tool shall take them for ours.
_FILES = ("spyder.yaml", "processors.py", "test_processors.py", "README.md")


@click.command()
@click.argument("directory", type=PATH, metavar="DIR")
def init(directory: Path) -> None:
    """Make a project in DIR: settings, a processor of your own, its test, a README. Nothing is overwritten."""
    if directory.exists() and not directory.is_dir():
        raise SpyderError(f"{directory} is a file: name a folder")
    there = [name for name in _FILES if (directory / name).exists()]
    if there:
        raise SpyderError(f"{directory} has a {there[0]} already: name another folder")
    directory.mkdir(parents=True, exist_ok=True)
    skeleton = resources.files("spyder.cli") / "skeleton"
    for name in _FILES:
        (directory / name).write_bytes((skeleton / (f"{name}.in" if name.endswith(".py") else name)).read_bytes())
    click.echo(f"{directory}: {', '.join(_FILES)}")
    if not has_contact(ask_once(load()).fetch):
        click.echo("nobody is named whom sites may write to: set fetch.contact in spyder.yaml")
    click.echo(f"next: cd {directory}, set project.seeds in spyder.yaml, then spyder crawl --settings spyder.yaml")
