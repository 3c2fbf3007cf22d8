"""The ``spyder`` command: one file per group of commands, no logic of its own."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from spyder import __version__
from spyder.errors import SettingsError, SpyderError
from spyder.model.states import ExitCode

#: Commands by name: where each is, so that only the one that is called is imported.
_COMMANDS = {
    "crawl": "spyder.cli.crawl:crawl",
    "start": "spyder.cli.start:start",
    "seed": "spyder.cli.control:seed",
    "status": "spyder.cli.control:status",
    "stop": "spyder.cli.control:stop",
    "frontier": "spyder.cli.frontier:frontier",
    "init": "spyder.cli.init:init",
    "settings": "spyder.cli.settings:settings",
    "bench": "spyder.cli.bench:bench",
}


class _Lazy(click.Group):
    """A group that imports a command when it is called, and turns refusals into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SpyderError as error:
            click.echo(f"spyder: {error}", err=True)
            sys.exit(ExitCode.USAGE if isinstance(error, SettingsError) else ExitCode.ERROR)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="spyder")
def main() -> None:
    """A distributed web crawler that loses nothing.

    `spyder crawl URL` crawls a site with this machine alone; `spyder start master` and `spyder start worker` do it with
    many.
    """
