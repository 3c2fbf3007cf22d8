"""A disk that fills up: how much room is kept free, so that what is under way can still be written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

#: Seconds between looks at a disk.
_LOOK = 1.0
#: A so many-th of the reserve must be free beyond it before a trouble is over: else it would come and go.
_RELIEF = 10
#: Errors that pass by themselves, or when somebody makes room: no reason to end for.
_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


class DiskWatch:
    """Says when a disk has less than a reserve free; :meth:`trouble` is cheap enough for every turn of a loop."""

    def __init__(self, path: Path, reserve: int, *, setting: str, free: Callable[[], int] | None = None) -> None:
        """Watch the disk of *path*; *reserve* is in bytes, 0 for none, and *setting* is what sets it.

        *free* returns the bytes that are free, or raises :class:`OSError`; without it the system is asked.
        """
        self._path = path
        self._reserve = reserve
        self._setting = setting
        self._free = free or self._ask
        self._looked_at: float | None = None
        self._is_short = False
        self._trouble = ""

    def trouble(self, now: float) -> str:
        """Why nothing more is to be begun, in one line, or an empty text; *now* in seconds of a monotonic clock.

        The line tells how much is free and so changes while the trouble lasts.
        """
        if self._reserve and (self._looked_at is None or now - self._looked_at >= _LOOK):
            self._looked_at = now
            self._trouble = self._look()
        return self._trouble

    def _look(self) -> str:
        try:
            free = self._free()
        except OSError as error:
            self._is_short = False
            return f"the disk of {self._path} can't be looked at: {error.strerror or type(error).__name__}"
        if free >= self._reserve + (self._reserve // _RELIEF if self._is_short else 0):
            self._is_short = False
            return ""
        if free >= self._reserve:
            return self._trouble
        self._is_short = True
        return (f"only {free / 1e6:.1f} MB are free on the disk of {self._path}, "
                f"less than {self._setting} ({self._reserve / 1e6:.1f} MB)")

    def _ask(self) -> int:
        disk = os.statvfs(self._path)
        return disk.f_bavail * disk.f_frsize


def is_passing(error: OSError) -> bool:
    """True for errors of a disk that is full or fails, after which waiting makes sense."""
    return error.errno in _PASSING
