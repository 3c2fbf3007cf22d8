"""Options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from spyder.nodes.local import Api
from spyder.nodes.master import Master
from spyder.settings import Settings

PATH = click.Path(path_type=Path)

settings_option = click.option("--settings", "settings_file", type=PATH, metavar="FILE", help="Settings in YAML.")


class Seconds(click.FloatRange):
    """A finite number of seconds, 0 or more."""

    name = "number of seconds"

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number that *value* is."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


SECONDS = Seconds()
COUNT = click.IntRange(min=1)
COUNT_OR_NONE = click.IntRange(min=0)
COUNT.name = COUNT_OR_NONE.name = "whole number"


def serve_api(master: Master, settings: Settings) -> Api:
    """Serve the HTTP API of a master: joins nodes and web, which don't know each other."""
    from spyder.web.api import MasterApi  # its library takes a while to import

    return MasterApi(master, settings)
