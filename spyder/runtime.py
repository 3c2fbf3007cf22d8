"""Start and stop of a process: its event loop, its signals, the time that its end may take."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import faulthandler
import gc
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from spyder.model.states import ExitCode

T = TypeVar("T")

#: Seconds after which a process that can't finish its own end is ended hard.
HARD_EXIT_AFTER = 10.0
#: Seconds that stores, files and killed processes may take to be closed and gone at the end of a node.
CLOSE_WITHIN = 30.0
#: Seconds that the line which says so may take.
_TO_SAY_SO = 1.0
#: ``timer_create(2)``: a clock that never goes back, and a function as what is to happen.
_CLOCK_MONOTONIC, _SIGEV_THREAD = 1, 2
#: Objects made and kept before the garbage collector looks at the young ones.
_GC_THRESHOLD = 20_000


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* on the quickest event loop there is; what it leaves behind can't keep the process from its end."""
    atexit.unregister(_exit_by_c_library)  # once is enough
    atexit.register(_exit_by_c_library, HARD_EXIT_AFTER, ExitCode.HARD_DEADLINE)
    with contextlib.ExitStack() as closing, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(main)
        finally:
            closing.enter_context(hard_deadline())


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


def end_hard_after(seconds: float = HARD_EXIT_AFTER, *,
                   code: ExitCode = ExitCode.HARD_DEADLINE) -> Callable[[], None]:
    """From now on the process has *seconds* to end by itself; then it is ended with *code*. Returns what cancels that.

    A thread says so in one line and ends the process; when native code keeps the interpreter from it, or the
    interpreter is gone already, a timer of the C library does it a second later, and says nothing.
    """
    def cut_short() -> None:
        with contextlib.suppress(OSError):
            os.write(2, f"spyder: process {os.getpid()} could not end within {seconds:g} s and is cut short; "
                        "nothing is lost by it\n".encode())
        os._exit(code)

    thread = threading.Timer(seconds, cut_short)
    thread.name = "hard deadline"
    thread.daemon = True
    thread.start()
    cancel_timer = _exit_by_c_library(seconds + _TO_SAY_SO, code)

    def cancel() -> None:
        thread.cancel()
        cancel_timer()

    return cancel


@contextlib.contextmanager
def hard_deadline(seconds: float = HARD_EXIT_AFTER) -> Iterator[None]:
    """Within it, the process is ended after *seconds*, as by :func:`end_hard_after`."""
    cancel = end_hard_after(seconds)
    try:
        yield
    finally:
        cancel()


def _exit_by_c_library(seconds: float, code: int) -> Callable[[], None]:
    """Let the C library call ``_exit(code)`` in a thread of its own after *seconds*; returns what cancels that.

    timer_create(2) with SIGEV_THREAD. Where there is no such call, the watchdog of :mod:`faulthandler` does it, whose
    exit code is always 1.
    """
    import ctypes  # at a process's end only

    class Event(ctypes.Structure):  # struct sigevent
        _fields_ = (("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("notify", ctypes.c_int),
                    ("function", ctypes.c_void_p), ("attributes", ctypes.c_void_p), ("rest", ctypes.c_byte * 32))

    class Times(ctypes.Structure):  # struct itimerspec
        _fields_ = (("interval", ctypes.c_long * 2), ("first", ctypes.c_long * 2))

    timer = ctypes.c_void_p()
    try:
        library = ctypes.CDLL(None)
        event = Event(value=code, notify=_SIGEV_THREAD, function=ctypes.cast(library._exit, ctypes.c_void_p))
        times = Times(first=(int(seconds), int(seconds % 1 * 1e9)))
        is_set = (library.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) == 0
                  and library.timer_settime(timer, 0, ctypes.byref(times), None) == 0)
    except (AttributeError, OSError):
        is_set = False
    if is_set:
        return lambda: library.timer_delete(timer)
    nowhere = open(os.devnull, "w", encoding="ascii")  # noqa: SIM115, PTH123  the watchdog keeps its descriptor
    faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
    return faulthandler.cancel_dump_traceback_later


def resident_memory(process: int | None = None) -> int:
    """Bytes of memory of a process, by its id, that are resident; 0 where the system doesn't say. None is this one."""
    try:
        with open(f"/proc/{process or 'self'}/statm", "rb", buffering=0) as statm:  # noqa: PTH123  read again and again
            return int(statm.read(200).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
