"""The ``spyder`` command: one file per group of commands, no logic of its own."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from spyder import __version__
from spyder.errors import PluginError, SettingsError, SpyderError, UrlError
from spyder.model.states import ExitCode

#: Commands by name: where each is, so that only the one that is called is imported.
_COMMANDS = {
    "crawl": "spyder.cli.crawl:crawl",
    "start": "spyder.cli.start:start",
    "seed": "spyder.cli.control:seed",
    "status": "spyder.cli.control:status",
    "explain": "spyder.cli.explain:explain",
    "stop": "spyder.cli.control:stop",
    "checkpoint": "spyder.cli.checkpoint:checkpoint",
    "requeue": "spyder.cli.requeue:requeue",
    "scope": "spyder.cli.scope:scope",
    "frontier": "spyder.cli.frontier:frontier",
    "init": "spyder.cli.init:init",
    "settings": "spyder.cli.settings:settings",
    "bench": "spyder.cli.bench:bench",
}

class _NeverError(click.UsageError):
    """Stands for an error that an older click does not have."""


#: What click raises, since its version 8.2, to show the help.
_NO_ARGUMENTS: type[click.UsageError] = getattr(click.exceptions, "NoArgsIsHelpError", _NeverError)
#: Errors that are in what the person wrote, not in what happened.
_MISTAKES = (SettingsError, PluginError, UrlError)


class _Lazy(click.Group):
    """A group that imports a command when it is called, and turns refusals into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's arguments
        """The names, in the order of a crawl's life."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now."""
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it refuses becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except SpyderError as error:
            _complain(str(error), ExitCode.USAGE if isinstance(error, _MISTAKES) else ExitCode.ERROR)
        except OSError as error:
            if error.errno == errno.EPIPE:  # `spyder frontier dump | head`
                raise
            _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error), ExitCode.ERROR)

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, complete_var: str | None = None,
             standalone_mode: bool = True, **extra: Any) -> Any:
        """Read the arguments and run the command; wrong ones become one line."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except _NO_ARGUMENTS as error:
            error.show()
            sys.exit(ExitCode.USAGE)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx is not None else "spyder"
            _complain(f"{error.format_message().rstrip('.')}; see `{path} --help`", ExitCode.USAGE)
        except click.ClickException as error:
            _complain(error.format_message(), ExitCode.ERROR)
        except click.Abort:
            _complain("interrupted", ExitCode.INTERRUPTED)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)


def _complain(line: str, code: ExitCode) -> NoReturn:
    """Say what is wrong, in one line, and end."""
    click.echo(f"spyder: {' '.join(line.split())}", err=True)
    sys.exit(code)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="spyder")
def main() -> None:
    """A distributed web crawler that loses nothing.

    `spyder crawl URL` crawls a site with this machine alone; `spyder start master` and `spyder start worker` do it with
    many.
    """
    _fill_standard_streams()


def _fill_standard_streams() -> None:
    """Put the null device where a standard stream was closed: the next file or socket would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
