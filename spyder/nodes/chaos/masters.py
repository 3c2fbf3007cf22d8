"""What masters that come and go say of themselves during a chaos run."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import msgspec

from spyder.errors import SpyderError
from spyder.nodes.status import FAULTS

#: Seconds between questions to the master.
_ASK_EVERY = 0.5


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a master's status."""

    epoch: int
    state: str
    reason: str = ""
    elapsed: float = 0.0
    books: dict[str, int] = msgspec.field(default_factory=dict)
    leased: int = 0
    active_hosts: int = 0
    busy_hosts: int = 0
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    faults: dict[str, int] = msgspec.field(default_factory=dict)
    stalled: str = ""
    workers: tuple[dict[str, object], ...] = ()

    @property
    def settled(self) -> int:
        """URIs to which nothing more happens."""
        return sum(self.books.get(name, 0) for name in ("done", "failed", "excluded", "quarantined"))


#: Asks the master at an address (``http://...``) for its figures; raises :class:`SpyderError` when it can't.
Ask = Callable[[str], Figures]


class Watch:
    """Asks the master for its figures again and again, in a thread: one that stands still must not hold us up."""

    def __init__(self, ask: Callable[[], Figures]) -> None:
        self._ask = ask
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._by_epoch: dict[int, Figures] = {}
        self._trouble = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._ends.set()

    def _run(self) -> None:
        while not self._ends.wait(_ASK_EVERY):
            try:
                status = self._ask()
            except SpyderError as error:
                self._trouble = str(error)
                continue
            self._trouble = ""
            self._by_epoch[status.epoch] = status

    @property
    def last(self) -> Figures | None:
        """Of the last master that answered, its last answer."""
        return self._by_epoch[max(self._by_epoch)] if self._by_epoch else None

    @property
    def settled(self) -> int:
        """URIs settled, as last heard."""
        return self.last.settled if self.last is not None else 0

    def survived(self) -> dict[str, int]:
        """Counters of faults, added up over all masters."""
        total: Counter[str] = Counter()
        for status in list(self._by_epoch.values()):
            total.update(status.faults or {name: status.counts.get(name, 0) for name in FAULTS})
        return dict(sorted(total.items()))

    def describe(self) -> str:
        """The last answer as JSON, and whether the master answers now."""
        text = msgspec.json.format(msgspec.json.encode(self.last)).decode() if self.last is not None else "none ever"
        return f"{text}\n(now: {self._trouble or 'it answers'})"
