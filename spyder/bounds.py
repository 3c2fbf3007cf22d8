"""Keeps code that reads what strangers sent within its time and its memory."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

#: Uses of :class:`MemoryLimit` between looks at how large the process is.
_LOOK_EVERY: Final = 64


class TimeIsUpError(BaseException):
    """Raised into code that takes too long; no ``except Exception`` in it swallows this."""


@contextmanager
def time_limit(seconds: float, *, of_cpu: bool = False) -> Iterator[None]:
    """Raise :class:`TimeIsUpError` in the main thread after *seconds*; 0, and any other thread: there is no limit.

    The seconds are those on the wall, or with *of_cpu* those that this process had a processor for. Limits of a kind
    don't nest. A C function that does not come back to the interpreter is not ended.
    """
    timer, alarm = (signal.ITIMER_PROF, signal.SIGPROF) if of_cpu else (signal.ITIMER_REAL, signal.SIGALRM)
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(alarm, _time_is_up)
    signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(alarm, old)


def _time_is_up(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  a signal handler's arguments
    raise TimeIsUpError


class MemoryLimit:
    """While it is entered, this process gets *size* more bytes than it had, at the most: then :class:`MemoryError`.

    By the soft limit of the process's data (``setrlimit(2)``, RLIMIT_DATA), so that it holds for C code as well; where
    the system does not say how large that is, there is no limit.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._uses = 0
        self._limit = 0  #: bytes, 0 for none
        self._before: tuple[int, int] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    def __enter__(self) -> None:
        if self._uses % _LOOK_EVERY == 0:
            self._limit = _data_bytes() + self._size if self._size and _data_bytes() else 0
        self._uses += 1
        if self._limit:
            soft, hard = self._before = resource.getrlimit(resource.RLIMIT_DATA)
            highest = min((one for one in (soft, hard) if one != resource.RLIM_INFINITY), default=self._limit)
            resource.setrlimit(resource.RLIMIT_DATA, (min(self._limit, highest), hard))

    def __exit__(self, *_: object) -> None:
        if self._limit:
            resource.setrlimit(resource.RLIMIT_DATA, self._before)


def _data_bytes() -> int:
    """Bytes of this process's data, 0 where the system doesn't say (proc(5), ``statm``)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0
