"""Options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

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
