"""How figures and tables look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence


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
