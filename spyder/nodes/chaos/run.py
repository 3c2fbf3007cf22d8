"""A crawl of a known site in processes of their own, which are killed, stopped and restarted until little is left.

What :mod:`.faults` decides is done here to :mod:`.victims`, and :mod:`.verdict` says whether anything got lost.
``spyder bench --chaos`` shows the report.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from spyder.errors import SpyderError
from spyder.model.clock import Clock
from spyder.model.states import ExitCode
from spyder.nodes import checks, inspect
from spyder.nodes.chaos import victims
from spyder.nodes.chaos.faults import Aim, Dice, Fault, FaultKind, Role, explained
from spyder.nodes.chaos.masters import Ask, Figures, Watch
from spyder.nodes.chaos.plan import RESTART_AFTER, ChaosPlan
from spyder.nodes.chaos.verdict import (
    Check,
    check_books,
    check_fetches,
    check_logs,
    check_outputs,
    check_pages,
    read_outputs,
)
from spyder.nodes.chaos.victims import Part, ProcessId
from spyder.settings import ENVIRONMENT_PREFIX, Settings, to_tree

#: Seconds between looks at the processes.
_TICK = 0.02
#: Seconds that the workers may take to end by themselves once the crawl is done.
_LAST_WORDS = 10.0
#: Seconds that a process may take to end once it is asked to, its drain and its standstills left out.
_END_PATIENCE = 30.0
#: Exit codes of a process that was asked to end, by us or by the master; a signal that came before it could be heard.
_GOOD_ENDS = frozenset({ExitCode.OK, ExitCode.HARD_DEADLINE, -signal.SIGTERM})
_SIGNALS = {FaultKind.KILL: signal.SIGKILL, FaultKind.TERM: signal.SIGTERM, FaultKind.STOP: signal.SIGSTOP}
#: Lines of each log that tell what hung.
_TAIL = 15


class Site(Protocol):
    """The site that is crawled: :class:`spyder.testing.LocalSite` is one."""

    @property
    def seeds(self) -> tuple[str, ...]:
        """Where the crawl begins."""

    def urls(self) -> set[str]:
        """All its pages."""

    def hits(self) -> dict[str, int]:
        """How often each was asked for."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one of the commands."""

    at: float  #: seconds since the start of the run
    name: str
    code: int  #: exit code, negative for a signal
    is_explained: bool  #: by a fault, or by the end of the master


class ChaosReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, and what came of it; times are in seconds."""

    plan: ChaosPlan
    pages: int  #: of the site
    slots: int  #: of each worker
    wall: float
    faults: tuple[Fault, ...]
    ends: tuple[End, ...]
    starts: dict[str, int]  #: of each command
    checks: tuple[Check, ...]
    hung: str  #: what hung, and all that is known of it; empty when the crawl came to its end
    status: Figures | None  #: of the last master, as last asked
    survived: dict[str, int]  #: counters of faults over all masters, as last asked of each

    @property
    def is_good(self) -> bool:
        """True when the crawl ended and all checks hold."""
        return not self.hung and all(check.is_met for check in self.checks)

    def kinds(self) -> dict[Aim, int]:
        """How often each kind of fault came."""
        return dict(Counter(fault.aim for fault in self.faults))


Tell = Callable[[str], None]  #: takes a line for the person who waits


def run_chaos(settings: Settings, site: Site, plan: ChaosPlan, *, clock: Clock, ask: Ask,
              tell: Tell = lambda _: None) -> ChaosReport:
    """Crawl *site* under faults, and check what came of it; for *settings* see :mod:`spyder.nodes.chaos.plan`.

    Ends every process that it started, whatever happens. Raises :class:`SpyderError` where processes can't be watched,
    and when the crawl directory is in use.
    """
    if not victims.is_supported():
        raise SpyderError("a chaos run watches its processes in /proc and signals them by pidfd: it needs Linux 5.3")
    checks.check(settings)
    checks.clear(settings)
    checks.make_directory(settings.crawl_directory, "output.directory")
    run = _Run(settings, site, plan, clock=clock, ask=ask, tell=tell)
    with run.processes():
        run.crawl()
    return run.report()


class _Run:
    """One run: the commands, the faults, and what is known of the master."""

    def __init__(self, settings: Settings, site: Site, plan: ChaosPlan, *, clock: Clock, ask: Ask, tell: Tell) -> None:
        self._settings = settings
        self._site = site
        self._plan = plan
        self._clock = clock
        self._tell = tell
        self._dice = Dice(plan.seed, between=plan.between)
        self._started_at = clock.monotonic()
        self._watch = Watch(lambda: ask(f"http://{settings.api.address}:{settings.api.port}"))
        self._parts = self._commands()
        self._faults: list[Fault] = []
        self._ends: list[End] = []
        self._still: dict[ProcessId, float] = {}  #: processes that stand still, until when
        self._restarts: dict[str, float] = {}  #: names of commands that have ended, and when they start again
        self._causes: dict[str, FaultKind] = {}  #: what we did to a command since its start
        self._asked_at: dict[str, float] = {}  #: commands that were asked to end, and when
        self._hurt_at: dict[str, float] = {}  #: commands that had a child killed, and when last
        self._is_over = False
        self._hung = ""
        self._pages = site.urls()
        self._wall = 0.0

    def _commands(self) -> tuple[Part, ...]:
        folder = self._settings.crawl_directory / "run"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "chaos.yaml"  # what is JSON is YAML
        file.write_bytes(msgspec.json.format(msgspec.json.encode(to_tree(self._settings))))
        environ = {name: value for name, value in os.environ.items()
                   if not (name.startswith(ENVIRONMENT_PREFIX) and "__" in name)}  # the file has them all

        def part(role: Role, name: str, *arguments: str) -> Part:
            return Part(role, name, ("start", *arguments, "--settings", str(file)), folder=folder, environ=environ)

        return (part(Role.LOGSINK, "log sink", "logsink"), part(Role.MASTER, "master", "master", "--until-done"),
                *(part(Role.SUPERVISOR, f"supervisor {number}", "worker")
                  for number in range(1, self._plan.supervisors + 1)))

    # -- the run -------------------------------------------------------------------------------------------------

    @contextmanager
    def processes(self) -> Iterator[None]:
        """All commands started; afterwards none of their processes is left."""
        try:
            for part in self._parts:
                part.start()
            self._watch.start()
            yield
        finally:
            self._watch.stop()
            for part in self._parts:
                part.kill()
            for one in victims.left_over(self._sessions()):
                victims.send(one.id, signal.SIGKILL)

    def crawl(self) -> None:
        """Let it crawl, with faults until enough is settled, and wait for its end; returns when it hangs, too."""
        next_fault: float | None = self._dice.pause()
        aim: Aim | None = None
        while not self._is_over and not self._hung:
            time.sleep(_TICK)
            self._look_after()
            now = self._elapsed
            if next_fault is not None and now >= next_fault:
                if self._has_had_enough(now):
                    next_fault = None
                    self._tell(f"{now:6.1f} s  no more faults: {self._watch.settled:,} of {len(self._pages):,} pages")
                    continue
                aim = aim or self._dice.aim()
                if self._do(aim):
                    aim, next_fault = None, now + self._dice.pause()
            if now >= self._plan.time_limit:
                self._hang(f"the crawl did not end within {self._plan.time_limit:g} s")
        if not self._hung:
            self._end_all()
        self._wall = self._elapsed

    def report(self) -> ChaosReport:
        """Everything, checked; to be called when all processes have ended."""
        plan, slots = self._plan, self._settings.worker.slots
        return ChaosReport(
            plan=plan, pages=len(self._pages), slots=slots, wall=self._wall, faults=tuple(self._faults),
            ends=tuple(self._ends), starts={part.name: part.starts for part in self._parts}, checks=self._checks(),
            hung=self._hung, status=self._watch.last, survived=self._watch.survived())

    @property
    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._started_at

    def _has_had_enough(self, now: float) -> bool:
        return self._watch.settled >= self._plan.until * len(self._pages) or now >= self._plan.fault_time

    def _sessions(self) -> set[int]:
        return set().union(*(part.sessions for part in self._parts))

    # -- faults --------------------------------------------------------------------------------------------------

    def _do(self, aim: Aim) -> bool:
        """Carry a fault out; False when there is nobody now to whom it could be done."""
        match aim.role:
            case Role.FETCHER | Role.EXTRACTOR:
                return self._hit_worker(aim)
            case Role.MASTER | Role.SUPERVISOR | Role.LOGSINK:
                return self._hit_part(aim)

    def _hit_worker(self, aim: Aim) -> bool:
        found = [(part, child) for part in self._parts for child in part.children()
                 if child.role is aim.role and child.id not in self._still]
        if not found:
            return False
        part, child = found[self._dice.choose(len(found))]
        seconds = self._dice.standstill() if aim.kind is FaultKind.STOP else 0.0
        if not victims.send(child.id, _SIGNALS[aim.kind]):
            return False
        if aim.kind is FaultKind.KILL:
            self._hurt_at[part.name] = self._elapsed
        self._note(aim, f"{aim.role.value} of {part.name}", child.id, seconds)
        return True

    def _hit_part(self, aim: Aim) -> bool:
        found = [part for part in self._parts if part.role is aim.role and part.is_running
                 and self._id(part) not in self._still
                 and (part.name not in self._asked_at or aim.kind is FaultKind.KILL)]
        if not found:
            return False
        part = found[self._dice.choose(len(found))]
        process, seconds = self._id(part), 0.0
        if process is None or not part.signal(_SIGNALS[aim.kind]):
            return False
        match aim.kind:
            case FaultKind.KILL | FaultKind.TERM:
                self._causes[part.name] = aim.kind
                self._asked_at[part.name] = self._elapsed
            case FaultKind.STOP:
                seconds = self._dice.standstill()
        self._note(aim, part.name, process, seconds)
        return True

    def _note(self, aim: Aim, target: str, process: ProcessId, seconds: float) -> None:
        now = self._elapsed
        if seconds:
            self._still[process] = now + seconds
        fault = Fault(at=round(now, 3), kind=aim.kind, role=aim.role, target=target, pid=process.pid,
                      seconds=round(seconds, 3), settled=self._watch.settled)
        self._faults.append(fault)
        self._tell(f"{now:6.1f} s  {aim.kind.value} {target}, process {process.pid}"
                   + (f", for {seconds:.1f} s" if seconds else "") + f"; {fault.settled:,} pages settled")

    @staticmethod
    def _id(part: Part) -> ProcessId | None:
        found = victims.entry(part.pid) if part.is_running else None
        return found.id if found is not None else None

    # -- looking after the processes -----------------------------------------------------------------------------

    def _look_after(self) -> None:
        """Let go on what has stood still for long enough, and start again what has ended."""
        now = self._elapsed
        for process in [process for process, until in self._still.items() if now >= until]:
            victims.send(process, signal.SIGCONT)
            del self._still[process]
        for part in self._parts:
            code = part.ended()
            if code is not None:
                self._has_ended(part, code, now)
            elif part.is_running:
                self._watch_end_of(part, now)
            elif now >= self._restarts.get(part.name, 0.0) and not self._is_over:
                part.start()

    def _has_ended(self, part: Part, code: int, now: float) -> None:
        cause = self._causes.pop(part.name, None)
        self._asked_at.pop(part.name, None)
        is_done = part.role is Role.MASTER and code == ExitCode.OK and "ended: done;" in part.last_line()
        is_explained = is_done or (cause is FaultKind.KILL and code == -signal.SIGKILL) or (
            code in self._good_ends(part, now) and (cause is not None or part.role is Role.SUPERVISOR))
        self._ends.append(End(at=round(now, 3), name=part.name, code=code, is_explained=is_explained))
        self._restarts[part.name] = now + RESTART_AFTER
        if not is_explained:
            self._tell(f"{now:6.1f} s  {part.name} ended by itself with code {code}: {part.last_line()}")
        if is_done:
            self._is_over = True

    def _good_ends(self, part: Part, now: float) -> frozenset[int]:
        """Exit codes of a command that was asked to end; a worker that was killed meanwhile makes it an error."""
        hurt_at = self._hurt_at.get(part.name)
        was_hurt = hurt_at is not None and now - hurt_at < self._settings.worker.drain + _END_PATIENCE
        return _GOOD_ENDS | {ExitCode.ERROR} if was_hurt else _GOOD_ENDS

    def _watch_end_of(self, part: Part, now: float) -> None:
        """A command that was asked to end must do so."""
        asked = self._asked_at.get(part.name)
        if asked is not None and now - asked > _END_PATIENCE + self._settings.worker.drain:
            self._hang(f"{part.name} was asked to end {now - asked:.0f} s ago")

    def _end_all(self) -> None:
        """The crawl is done: its workers end by themselves, the log sink when it is asked to."""
        deadline = self._elapsed + _LAST_WORDS
        while any(part.is_running for part in self._parts if part.role is Role.SUPERVISOR) and (
                self._elapsed < deadline):
            time.sleep(_TICK)
            self._look_after()
        for part in self._parts:
            if part.signal(signal.SIGTERM):  # a supervisor that was started after the master's end greets nobody
                self._causes[part.name] = FaultKind.TERM
                self._asked_at[part.name] = self._elapsed
        while any(part.is_running for part in self._parts) and not self._hung:
            time.sleep(_TICK)
            self._look_after()
        deadline = self._elapsed + _END_PATIENCE
        while victims.left_over(self._sessions()) and not self._hung:
            time.sleep(_TICK)
            self._look_after()
            if self._elapsed > deadline:
                self._hang("processes are left")

    def _hang(self, what: str) -> None:
        """Write down all that is known of what hangs."""
        lines = [what, "", "processes (number, state, where in the kernel, command):"]
        lines += [one.describe() for one in victims.left_over(self._sessions())]
        lines += ["", "status:", self._watch.describe(), "", "hosts with work:"]
        try:
            with inspect.open_for_reading(self._settings.crawl_directory) as view:
                lines += [msgspec.json.encode(host).decode() for host in view.hosts() if host.queued]
                lines += [f"{name}: {books}" for name, books in view.books().items()]
        except SpyderError as error:
            lines.append(f"the frontier can't be read: {error}")
        for path in self._log_files():
            tail = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
            lines += ["", f"{path.name}:", *tail]
        self._hung = "\n".join(lines)
        self._tell(self._hung)

    # -- the verdict ---------------------------------------------------------------------------------------------

    def _checks(self) -> tuple[Check, ...]:
        plan, settings = self._plan, self._settings
        outputs = read_outputs(settings.crawl_directory / "pages")
        page_bound, total_bound = explained(self._faults, slots=settings.worker.slots, processes=plan.workers,
                                            supervisors=plan.supervisors)
        return (
            check_pages(self._pages, outputs),
            check_fetches(self._site.hits(), self._pages, page_bound=page_bound, total_bound=total_bound),
            check_outputs(outputs), check_books(settings, len(self._pages)), self._check_ends(),
            check_logs(self._log_files()))

    def _check_ends(self) -> Check:
        strange = [f"{end.name} with code {end.code} at {end.at:.1f} s" for end in self._ends if not end.is_explained]
        hung = ", and what hung was ended by force" if self._hung else ", no process left"
        return Check(name="ends", is_met=not strange and not self._hung, detail=(
            f"{len(self._ends):,} ends of commands" + (f"; by themselves: {'; '.join(strange)}" if strange
                                                       else ", all explained by faults") + hung))

    def _log_files(self) -> list[Path]:
        return [*self._settings.log_directory.glob("*.log*"), *(part.output for part in self._parts
                                                                if part.output.exists())]
