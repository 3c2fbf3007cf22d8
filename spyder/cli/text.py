"""How figures and tables look on a terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Collection, Sequence

import click

#: Columns between a row's name and its value.
_GAP = 2
#: Columns for values at the least, however narrow the terminal is.
_NARROWEST = 24


def duration(seconds: float) -> str:
    """*seconds* as people read them: ``1.5 s``, ``2:03.4``, ``1:02:03``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02.0f}"
    return f"{minutes}:{rest:04.1f}" if minutes else f"{rest:.1f} s"


def megabytes(size: float) -> str:
    """*size* in bytes as megabytes."""
    return f"{size / 1e6:,.1f} MB"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Columns under *head*, the first *left* of them flush left, the others flush right."""
    widths = [max(len(line[index]) for line in (head, *rows)) for index in range(len(head))]
    return "\n".join("  ".join(
        cell.ljust(width) if index < left else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip() for line in (head, *rows))


def terminal_width() -> int | None:
    """Columns of the terminal that standard output is, None when it is none: then nothing is wrapped."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fits(text: str, width: int | None) -> bool:
    """True when no line of *text* is longer than *width* columns."""
    return width is None or max(map(len, text.split("\n"))) <= width


def page(rows: Sequence[tuple[str, str]], *, width: int | None = None, marked: Collection[str] = ()) -> str:
    """Values under one another behind their names, wrapped to *width* columns; those of *marked* names stand out.

    A row without a name goes on with the one before it.
    """
    indent = max((len(name) for name, _ in rows), default=0) + _GAP
    lines, is_marked = [], False
    for name, value in rows:
        is_marked = name in marked if name else is_marked
        wrapped = [value] if width is None else textwrap.wrap(
            value, max(width - indent, _NARROWEST), break_long_words=False, break_on_hyphens=False) or [""]
        for index, line in enumerate(wrapped):
            text = f"{name if index == 0 else '':<{indent}}{line}".rstrip()
            lines.append(click.style(text, fg="yellow", bold=True) if is_marked else text)
    return "\n".join(lines)
