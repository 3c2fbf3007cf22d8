"""The board of a worker: numbers that its processes show each other and their supervisor, in a small shared file."""

from __future__ import annotations

import mmap
import os
from enum import IntEnum
from pathlib import Path


class Cell(IntEnum):
    """Where a number stands; each is written by one process only, the extractor unless said otherwise."""

    PAGES = 0  #: pages taken from the fetcher
    BYTES = 1  #: bytes of their bodies
    BATCHES = 2  #: batches of outcomes published
    OUTBOX = 3  #: outcomes not acknowledged, those included that are not published yet
    DROPPED = 4  #: messages that were none
    CPU = 5  #: microseconds
    MEMORY = 6  #: bytes, resident
    IS_FINISHED = 7  #: 1 when everything is done and reported
    TROUBLE = 8  #: not 0 while no page is to be begun: a :class:`Trouble`
    PID = 9  #: of the extractor's process
    EXTRACTOR_BEAT = 10  #: changes as long as the extractor makes progress
    FETCHER_BEAT = 11  #: the same of the fetcher, which writes it
    UNREADABLE = 12  #: messages from the fetcher that were no page
    IS_RETIRING = 13  #: 1 when the worker ends to be replaced; written by the fetcher
    RESENT = 14  #: batches of outcomes sent again
    FETCHER_PID = 15  #: of the fetcher's process, which writes it
    SCOPE = 31  #: number of the rules by which links are judged
    STAGES = 16  #: microseconds of CPU by stage, in the order of STAGE_NAMES


class Trouble(IntEnum):
    """Why a worker takes nothing."""

    NONE = 0
    UNWRITABLE = 1
    SHORT = 2

    @property
    def words(self) -> str:
        """What status says."""
        return _TROUBLES[self]


_TROUBLES = ("", "its outputs can't be written", "its outputs' disk has less free than output.reserve")

STAGE_NAMES = ("receive", "extract", "scope", "processors", "record", "output", "publish")

_CELLS = 32
#: Bytes of a note: its length, then a URI's key.
_NOTE_BYTES = 32


class Note(IntEnum):
    """Which URI a stage is working on: what its supervisor finds when it died."""

    FETCHER = 0
    EXTRACTOR = 1


class Board:
    """An array of whole numbers in memory that processes share by the file *path*, or in this process's own."""

    def __init__(self, path: Path | None = None) -> None:
        size = _CELLS * 8 + len(Note) * _NOTE_BYTES
        if path is None:
            self._map = mmap.mmap(-1, size)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)  # a full disk is an error here, not a signal later
                self._map = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        self._cells = memoryview(self._map)[:_CELLS * 8].cast("q")

    def __getitem__(self, cell: int) -> int:
        """The number in *cell*."""
        return self._cells[cell]

    def __setitem__(self, cell: int, value: int) -> None:
        """Show *value* in *cell*: eight aligned bytes, seen whole by the other processes."""
        self._cells[cell] = value

    def beat(self, cell: int) -> None:
        """Show that there is progress."""
        self._cells[cell] += 1

    def write_note(self, note: Note, key: bytes) -> None:
        """Say that a stage works on the URI *key* from now on; an empty key: on none."""
        start = _CELLS * 8 + note * _NOTE_BYTES
        self._map[start] = 0
        self._map[start + 1:start + 1 + len(key)] = key
        self._map[start] = len(key)

    def note(self, note: Note) -> bytes:
        """The key of the URI that a stage works on, or worked on when it died; empty for none."""
        start = _CELLS * 8 + note * _NOTE_BYTES
        return self._map[start + 1:start + 1 + self._map[start]]

    def stages(self) -> dict[str, float]:
        """CPU seconds by stage, empty when none was measured."""
        seconds = {name: self._cells[Cell.STAGES + index] / 1e6 for index, name in enumerate(STAGE_NAMES)}
        return seconds if any(seconds.values()) else {}

    def show_stages(self, seconds: dict[str, float]) -> None:
        """Show CPU seconds by stage."""
        for index, name in enumerate(STAGE_NAMES):
            self._cells[Cell.STAGES + index] = int(seconds.get(name, 0.0) * 1e6)

    def close(self) -> None:
        """Let go of the memory."""
        self._cells.release()
        self._map.close()
