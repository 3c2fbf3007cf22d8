"""``spyder settings``: the defaults, their documentation, and the check of a file."""

from __future__ import annotations

from pathlib import Path

import click

from spyder.cli.options import PATH
from spyder.settings import load
from spyder.settings_text import default_yaml, settings_markdown


@click.command()
@click.option("--check", "file", type=PATH, metavar="FILE", help="Say whether FILE would be taken, and what is wrong.")
@click.option("--docs", "as_docs", is_flag=True, help="Write docs/settings.md to standard output.")
def settings(file: Path | None, as_docs: bool) -> None:
    """Write all settings with their defaults as YAML, or check a file of yours."""
    if file is None:
        click.echo(settings_markdown() if as_docs else default_yaml(), nl=False)
        return
    from spyder.nodes.checks import check  # takes a while to import

    check(load(file))
    click.echo(f"{file}: good")
