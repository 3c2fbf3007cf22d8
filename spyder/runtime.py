"""Start and stop of a process: its event loop, its signals, its watched tasks."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from spyder.model.states import ExitCode

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds after which a process that can't finish its own end is ended hard.
HARD_EXIT_AFTER = 10.0
#: Objects made and kept before the garbage collector looks at the young ones.
_GC_THRESHOLD = 20_000


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* on the quickest event loop there is."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for every platform
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@contextlib.contextmanager
def stop_signals(on_stop: Callable[[], None]) -> Iterator[None]:
    """Within it, the first SIGINT or SIGTERM calls *on_stop*, a second one ends the process at once.

    What the second one cuts off is in the frontier and in its outputs' last sync: nothing is lost by it.
    """
    loop = asyncio.get_running_loop()
    seen = 0

    def received() -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            on_stop()
        else:
            os._exit(ExitCode.INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def settle_memory() -> None:
    """Tell the garbage collector that what was imported stays, and to look less often for cycles: pages leave few."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)


def end_hard_after(seconds: float = HARD_EXIT_AFTER) -> None:
    """From now on the process has *seconds* to end by itself; then it is ended, saying where it hung."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.stderr)


def resident_memory() -> int:
    """Bytes of memory of this process that are resident; 0 where the system doesn't say."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123  read once a second
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
