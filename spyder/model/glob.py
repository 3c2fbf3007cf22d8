"""Patterns in which `*` stands for any text, matched in time that is linear in the text's length."""

from __future__ import annotations

from collections.abc import Iterable


class Globs:
    """Patterns of which one is to match all of a text."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._whole: set[str] = set()
        self._starts: dict[str, None] = {}  #: of patterns that go on with any text
        self._ends: dict[str, None] = {}  #: of patterns that begin with any text
        self._others: list[tuple[str, tuple[str, ...], str]] = []  #: start, pieces between stars in order, end
        self._simple: tuple[tuple[str, ...], tuple[str, ...]] | None = None  #: starts and ends, once they are asked for
        for pattern in patterns:
            self.add(pattern)

    def add(self, pattern: str) -> None:
        """Add a pattern."""
        start, *pieces = pattern.split("*")
        if not pieces:
            self._whole.add(pattern)
            return
        end, between = pieces[-1], tuple(filter(None, pieces[:-1]))
        if between or (start and end):
            self._others.append((start, between, end))
        elif start:
            self._starts[start] = None
        else:
            self._ends[end] = None
        self._simple = None

    def match(self, text: str) -> bool:
        """True when one of them matches all of *text*."""
        starts, ends = self._simple = self._simple or (tuple(self._starts), tuple(self._ends))
        return (text in self._whole or text.endswith(ends) or text.startswith(starts)
                or any(_matches(text, *other) for other in self._others))


def _matches(text: str, start: str, between: tuple[str, ...], end: str) -> bool:
    """Each piece is taken where it is found first: what is left for the others is never less than elsewhere."""
    last = len(text) - len(end)
    if not text.startswith(start) or not text.endswith(end):
        return False
    at = len(start)
    for piece in between:
        found = text.find(piece, at, last)
        if found < 0:
            return False
        at = found + len(piece)
    return at <= last
