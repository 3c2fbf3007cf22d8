"""Decisions about a worker, from what its supervisor sees: that it hangs or is too large, how it ended, what follows.

Pure: looks, codes and times in, verdicts out. The shell is :mod:`spyder.nodes.supervisor`.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import NamedTuple

from spyder.model.states import ExitCode
from spyder.nodes.spec import BOTH, EXTRACTOR, FETCHER
from spyder.settings import WorkerSection

#: Seconds that count between two looks at the most: in the rest the supervisor itself was stopped, or the machine.
_LONGEST_LOOK = 1.0
#: A careful worker that has lived through this many times its slots, in pages, is replaced by one that is not,
_CAREFUL_ROUNDS = 2
#: or through this many seconds.
_CAREFUL_SECONDS = 300.0
#: A worker that lived for this many seconds starts anew with the shortest delay.
_STABLE_AFTER = 30.0

#: Ends of a fetcher that are no accident; an extractor's is none when it had finished, or could not begin.
_ORDERLY = frozenset({ExitCode.OK, ExitCode.USAGE, ExitCode.ORPHANED, ExitCode.REFUSED, ExitCode.HARD_DEADLINE,
                      ExitCode.RETIRED})
#: Signals that come from outside, a person or a system without memory: they say nothing about the pages under way.
_SENT = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


class Look(NamedTuple):
    """What is seen of a worker at one moment."""

    at: float  #: monotonic seconds
    beats: Mapping[str, int]  #: by stage: changes as long as it makes progress; 0 before its start
    memory: Mapping[str, int]  #: by process: bytes, resident; 0 when no limit is set
    pages: int  #: extracted so far


class Kill(NamedTuple):
    """The worker is to be ended at once."""

    reason: str  #: in words that go on from the worker's name
    process: str = ""  #: which process is to blame; empty: none, and so no page either


class Retire(NamedTuple):
    """The worker is to finish what it holds and to be replaced."""

    reason: str  #: in words that go on from the worker's name


class Watch:
    """One worker's life, look by look. *now* is monotonic seconds."""

    def __init__(self, limits: WorkerSection, *, linger: float, now: float, is_careful: bool = False) -> None:
        self._limits = limits
        self._to_retire = limits.drain + 2 * linger
        self._is_careful = is_careful
        self._last = now
        self._lived = 0.0  #: seconds that this worker could be seen to live
        self._beats: dict[str, int] = {}
        self._moved: dict[str, float] = {}
        self._retiring_since: float | None = None
        self.is_proven = False  #: a careful one that has lived through its time

    @property
    def is_retiring(self) -> bool:
        """True when it was told to finish and be replaced."""
        return self._retiring_since is not None

    def look(self, seen: Look) -> Kill | Retire | None:
        """What is to be done now. :class:`Retire` comes once."""
        self._lived += min(max(0.0, seen.at - self._last), _LONGEST_LOOK)
        self._last = seen.at
        kill = self._hang(seen) or self._size(seen)
        if kill is not None:
            return kill
        if self._retiring_since is not None:
            if self._lived - self._retiring_since <= self._to_retire:
                return None
            return Kill(f"it did not end within {self._to_retire:g} s of being asked to, to be replaced")
        reason = self._reason_to_retire(seen)
        if not reason:
            return None
        self._retiring_since = self._lived
        return Retire(reason)

    def _hang(self, seen: Look) -> Kill | None:
        limit = self._limits.hang_timeout
        for stage, beat in seen.beats.items():
            if beat != self._beats.get(stage):
                self._beats[stage] = beat
                self._moved[stage] = self._lived
            elif self._lived - self._moved[stage] >= limit:
                process = BOTH if BOTH in seen.memory else stage  # where both are one, either may hold the other up
                what = "made no progress for" if beat else "did not start within"
                return Kill(f"its {_name(process)} {what} {limit:g} s (worker.hang_timeout)", process)
        return None

    def _size(self, seen: Look) -> Kill | None:
        limit = self._limits.memory_hard
        for process, size in seen.memory.items():
            if limit is not None and size > limit:
                return Kill(f"its {_name(process)} used {_bytes(size)} of memory, more than worker.memory_hard "
                            f"({_bytes(limit)})", process)
        return None

    def _reason_to_retire(self, seen: Look) -> str:
        limits, pages = self._limits, seen.pages
        enough = _CAREFUL_ROUNDS * limits.slots
        if self._is_careful and (pages >= enough or self._lived >= _CAREFUL_SECONDS):
            self.is_proven = True
            return f"it lived through {pages} pages in {self._lived:.0f} s, one fetch at a time"
        if limits.max_pages is not None and pages >= limits.max_pages:
            return f"it has had {pages} pages (worker.max_pages is {limits.max_pages})"
        for process, size in seen.memory.items():
            # a worker that is too large before its first page would be followed by its like, without end
            if limits.memory_soft is not None and size > limits.memory_soft and pages:
                return (f"its {_name(process)} uses {_bytes(size)} of memory, more than worker.memory_soft "
                        f"({_bytes(limits.memory_soft)})")
        return ""


class Death(NamedTuple):
    """A worker came to an end that nobody asked for, or had to be killed."""

    code: ExitCode
    reason: str
    stages: tuple[str, ...] = ()  #: to blame
    suspects: tuple[bytes, ...] = ()  #: keys of the URIs that these were working on
    is_sent: bool = False  #: by a signal from outside


class Final(NamedTuple):
    """A worker ended for good: no other follows it."""

    code: ExitCode


class Retired(NamedTuple):
    """A worker ended to be replaced."""

    cut_short: str = ""  #: why it had to be killed in the end


End = Death | Final | Retired


def is_orderly(process: str, code: int, *, note: bytes, is_finished: bool) -> bool:
    """Whether *process* ended as asked, or as it decided by itself: no accident.

    *note* is the extractor's: with one it ended in the middle of a page, whatever the code (``os._exit`` in a
    processor). *is_finished*: the extractor had finished; what happens in its process after that hurts nobody.
    """
    if process == FETCHER:
        return code in _ORDERLY
    if note:
        return False
    return code in _ORDERLY if process == BOTH else is_finished or code == ExitCode.USAGE


def judge(codes: Mapping[str, int], *, notes: Mapping[str, bytes], is_finished: bool, is_retiring: bool) -> End:
    """What the end of the processes in *codes*, exit codes by process, means.

    *codes* holds those that ended first, or, after an orderly end, all; *notes* the URIs by stage.
    """
    note = notes.get(EXTRACTOR, b"")
    guilty = {process: code for process, code in codes.items()
              if not is_orderly(process, code, note=note, is_finished=is_finished)}
    if guilty:
        stages = tuple(stage for process in guilty for stage in _stages(process))
        return Death(
            code=_exit_code(max(guilty.values())), stages=stages, suspects=suspects(stages, notes),
            reason=" and ".join(f"its {_name(process)} {_words(code, note=note if process != FETCHER else b'')}"
                                for process, code in guilty.items()),
            is_sent=all(-code in _SENT for code in guilty.values()))
    voice = next((process for process in (FETCHER, BOTH) if process in codes), None)
    if voice is not None:
        code = ExitCode(codes[voice])
    elif is_finished:  # and its fetcher did not follow
        code = ExitCode.HARD_DEADLINE
    else:  # the extractor could not begin
        code = ExitCode.USAGE
    is_replaced = code == ExitCode.RETIRED or (is_retiring and code in {ExitCode.OK, ExitCode.HARD_DEADLINE})
    return Retired() if is_replaced else Final(code)


def killed(kill: Kill, *, notes: Mapping[str, bytes]) -> Death | Retired:
    """What the end of a worker means that had to be killed; *notes* are the URIs by stage, read after its death."""
    if not kill.process:
        return Retired(cut_short=kill.reason)
    stages = _stages(kill.process)
    return Death(code=ExitCode.ERROR, reason=kill.reason, stages=stages, suspects=suspects(stages, notes))


def suspects(stages: tuple[str, ...], notes: Mapping[str, bytes]) -> tuple[bytes, ...]:
    """Keys of the URIs that *stages* were working on, each once; what another stage had in hand is innocent."""
    return tuple(dict.fromkeys(notes[stage] for stage in stages if notes.get(stage)))


class Succession:
    """What follows each worker in one place under its supervisor: how soon, and how careful."""

    def __init__(self, limits: WorkerSection) -> None:
        self._limits = limits
        self._delay = limits.restart_delay
        self.is_careful = False  #: the next one fetches one page at a time

    def after_death(self, death: Death, *, lived: float) -> float:
        """Seconds to wait after *death*, of a worker that lived for *lived* seconds.

        The wait doubles with each death that nobody can explain. A suspect explains one: it gets a strike, and is set
        aside when it has too many, so the others need not wait for it. A fetcher that dies with many transfers under
        way leaves no suspect: those after it fetch one page at a time until one has lived through that.
        """
        if FETCHER in death.stages and not death.suspects and not death.is_sent:
            self.is_careful = True
        if death.suspects or lived > _STABLE_AFTER:
            self._delay = self._limits.restart_delay
        delay = self._delay
        if not death.suspects:
            self._delay = min(delay * 2, self._limits.restart_max)
        return delay

    def after_retirement(self, *, is_proven: bool) -> None:
        """The next one starts at once, and is careful no more when that has been lived through."""
        if is_proven:
            self.is_careful = False


def _stages(process: str) -> tuple[str, ...]:
    return (FETCHER, EXTRACTOR) if process == BOTH else (process,) if process else ()


def _name(process: str) -> str:
    return "process" if process == BOTH else process


def _bytes(count: int) -> str:
    """A size as people write it, by powers of 1000 as everywhere in Spyder."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _exit_code(code: int) -> ExitCode:
    try:
        return ExitCode(code)
    except ValueError:
        return ExitCode.ERROR


def _words(code: int, *, note: bytes) -> str:
    if code < 0:
        try:
            return f"was ended by signal {-code} ({signal.Signals(-code).name})"
        except ValueError:  # a real-time signal
            return f"was ended by signal {-code}"
    if note:
        return f"ended with code {code} in the middle of a page"
    try:
        return f"ended with code {code} ({ExitCode(code).name})"
    except ValueError:
        return f"ended with code {code}"
