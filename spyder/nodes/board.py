"""The board of a worker: numbers that its two processes show each other, in a small shared file."""

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
    OUTBOX = 3  #: outcomes not acknowledged
    DROPPED = 4  #: messages that were none
    CPU = 5  #: microseconds
    MEMORY = 6  #: bytes, resident
    IS_FINISHED = 7  #: 1 when everything is done and reported
    TROUBLE = 8  #: 1 while outputs can't be written
    PID = 9  #: of the extractor
    STAGES = 16  #: microseconds of CPU by stage, in the order of STAGE_NAMES


STAGE_NAMES = ("receive", "extract", "scope", "processors", "record", "output", "publish")

_CELLS = 32


class Board:
    """An array of whole numbers in memory that two processes share, or in this process's own."""

    def __init__(self, path: Path | None = None) -> None:
        size = _CELLS * 8
        if path is None:
            self._map = mmap.mmap(-1, size)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if os.fstat(descriptor).st_size < size:
                    os.ftruncate(descriptor, size)
                self._map = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        self._cells = memoryview(self._map).cast("q")

    def __getitem__(self, cell: int) -> int:
        """The number in *cell*."""
        return self._cells[cell]

    def __setitem__(self, cell: int, value: int) -> None:
        """Show *value* in *cell*: eight aligned bytes, seen whole by the other process."""
        self._cells[cell] = value

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
