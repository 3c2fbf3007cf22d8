"""Counts all rows of a store and compares them with its books and with each other: nothing lost, nothing twice.

Rows that point to each other stand in different orders. So both sides are summed up, by a hash of what must be equal,
as they stream by; only where two sums differ are rows looked up one by one, to name what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby, islice
from typing import TypeVar

import msgspec

from spyder.contracts import FrontierStore
from spyder.errors import StoreError
from spyder.model.records import Books, HostRow, QueuedUri, UriRow
from spyder.model.states import UriState
from spyder.model.url import HOST_BYTES, PROJECT_BYTES

#: Problems of a project that are described; all are counted.
DESCRIBED = 20
#: Rows looked up at a time where sums differ.
_LOOK_UP = 1024

_BOOKS = Books.__struct_fields__
_T = TypeVar("_T")


class ProjectAudit(msgspec.Struct, kw_only=True):
    """What was found of one project."""

    project: str
    counted: Books  #: from the rows
    kept: Books  #: as the last commit wrote them
    hosts: int = 0
    problems: int = 0  #: rows that contradict each other
    described: list[str] = msgspec.field(default_factory=list)  #: the first :data:`DESCRIBED` of them, in words

    @property
    def is_good(self) -> bool:
        """True when the books say what the rows say, and every row is where the others say that it is."""
        return not self.problems and self.counted == self.kept and self.kept.is_balanced

    def differences(self) -> list[str]:
        """Where the books say something else than the rows, in words."""
        pairs = ((name, getattr(self.kept, name), getattr(self.counted, name)) for name in _BOOKS)
        found = [f"the books say {kept:,} {name}, the rows {counted:,}" for name, kept, counted in pairs
                 if kept != counted]
        return found if found or self.kept.is_balanced else ["the books contradict themselves"]

    def note(self, problem: str) -> None:
        """Count a problem, and describe it if it is one of the first."""
        self.problems += 1
        if len(self.described) < DESCRIBED:
            self.described.append(problem)


def audit(store: FrontierStore) -> list[ProjectAudit]:
    """What the rows of *store* say of each project, by its number.

    Reads everything once, with memory that does not grow with the rows. Nothing may be written meanwhile: *store* is
    opened for reading, or belongs to whoever calls. Raises :class:`spyder.errors.StoreError` when a row can't be read.
    """
    return _Audit(store).run()


def kept_books(store: FrontierStore) -> dict[str, Books]:
    """The books of each project as the last commit wrote them, by its name."""
    return {name.partition("/")[2]: _books(store, number.decode()) for name, number in store.metas("project/").items()}


def _books(store: FrontierStore, number: str) -> Books:
    kept = store.meta(f"books/{number}")
    try:
        return msgspec.msgpack.decode(kept, type=Books) if kept else Books()
    except msgspec.DecodeError as error:
        raise StoreError(f"the books of project number {number} can't be read: {error}") from None


class _Uris:
    """The URI rows of one host."""

    __slots__ = ("host", "queued", "scheduled", "states")

    def __init__(self, host: bytes) -> None:
        self.host = host
        self.states = [0] * (1 + max(UriState))  #: rows by state
        self.queued = 0  #: sum over key and place
        self.scheduled = 0


class _Queue:
    """The rows of one host's queue."""

    __slots__ = ("host", "places", "rows", "top")

    def __init__(self, host: bytes) -> None:
        self.host = host
        self.rows = 0
        self.places = 0  #: sum over key and place
        self.top = b""  #: the highest order


class _Project:
    """What is summed up of one project."""

    def __init__(self, number: int, found: ProjectAudit, *, order: int) -> None:
        self.found = found
        self.prefix = number.to_bytes(PROJECT_BYTES, "big")
        self.top = order.to_bytes(7, "big")  #: the order that was given last
        self.scheduled = 0  #: sum over key and place of the URI rows
        self.due = 0  #: the same of the due rows
        self.indexed = 0  #: sum over the hosts' rows of where they say that they stand in the index
        self.entries = 0  #: the same of the index


class _Audit:
    def __init__(self, store: FrontierStore) -> None:
        self._store = store
        self._names = {int(number): name.partition("/")[2] for name, number in store.metas("project/").items()}
        self._projects: dict[bytes, _Project] = {}
        for number in self._names:
            self._project(number.to_bytes(PROJECT_BYTES, "big"))

    def run(self) -> list[ProjectAudit]:
        rows: Iterator[_Uris | _Queue | HostRow] = merge(
            _uris(self._store), _queues(self._store), self._store.iterate_hosts(), key=_host_of)
        for host, parts in groupby(rows, key=_host_of):
            self._check_host(host, parts)
        for uri in self._store.iterate_due():
            self._project(uri.key).due += hash(uri.key + uri.place)
        for key, host in self._store.iterate_waiting():
            self._project(host).entries += hash(key + host)
        for project in self._projects.values():
            if project.scheduled != project.due:
                _insist(project.found, self._examine_due, project, "scheduled URIs and due rows don't match")
            if project.indexed != project.entries:
                _insist(project.found, self._examine_index, project, "hosts and the index don't match")
        return [project.found for _, project in sorted(self._projects.items())]

    def _project(self, key: bytes) -> _Project:
        """The project of a row's key; rows of one that has no name are a problem."""
        prefix = key[:PROJECT_BYTES]
        project = self._projects.get(prefix)
        if project is None:
            number = int.from_bytes(prefix, "big")
            name = self._names.get(number, "")
            found = ProjectAudit(project=name or f"number {number}", counted=Books(),
                                 kept=_books(self._store, str(number)))
            if not name:
                found.note(f"there are rows of a project with the number {number}, which has no name")
            order = int(self._store.meta(f"order/{number}") or b"0")
            project = self._projects[prefix] = _Project(number, found, order=order)
        return project

    # -- one host ------------------------------------------------------------------------------------------------

    def _check_host(self, key: bytes, parts: Iterable[_Uris | _Queue | HostRow]) -> None:
        uris, queue, row = _Uris(key), _Queue(key), None
        for part in parts:
            match part:
                case _Uris():
                    uris = part
                case _Queue():
                    queue = part
                case HostRow():
                    row = part
        project = self._project(key)
        found = project.found
        found.hosts += 1
        _count(found.counted, uris.states)
        project.scheduled += uris.scheduled
        name = row.name if row is not None else f"host {key.hex()}"
        if row is None:
            found.note(f"{name} has {sum(uris.states):,} URIs, {queue.rows:,} in its queue, and no row of its own")
        else:
            if row.waiting:
                project.indexed += hash(row.waiting + key)
            self._check_host_row(row, uris, queue, found)
        if uris.queued != queue.places:
            _insist(found, lambda found: self._examine_queue(key, name, found), found,
                    f"{name}: its queued URIs and its queue don't match")
        if queue.top > project.top:
            found.note(f"{name}: a place in its queue has the number {int.from_bytes(queue.top, 'big'):,}, and the "
                       f"last one given is {int.from_bytes(project.top, 'big'):,}: a later URI would take that place")

    def _check_host_row(self, row: HostRow, uris: _Uris, queue: _Queue, found: ProjectAudit) -> None:
        settled = sum(uris.states[UriState.DONE:])
        if row.queued != queue.rows:
            found.note(f"{row.name}: its row says {row.queued:,} queued, its queue holds {queue.rows:,}")
        if row.settled != settled:
            found.note(f"{row.name}: its row says {row.settled:,} settled, the rows of its URIs {settled:,}")
        if queue.rows and not row.waiting:
            found.note(f"{row.name}: it has {queue.rows:,} queued URIs and does not stand in the index of hosts with "
                       "work: none of them would be fetched")

    def _examine_queue(self, host: bytes, name: str, found: ProjectAudit) -> None:
        """Name the rows of a host's URIs and of its queue that don't belong together."""
        for key, row in self._store.iterate(host):
            if not key.startswith(host):
                break
            if row.state is UriState.QUEUED:
                queued = self._store.queued_row(key, row)
                if queued is None:
                    found.note(f"{name}: {_name(key, row)} is queued, and its place in the queue is empty")
                elif queued.key != key:
                    found.note(f"{name}: {_name(key, row)} is queued, and its place in the queue holds {queued.url}")
        after = b""
        while rows := self._store.queue(host, after, _LOOK_UP):
            after = rows[-1].place
            self._compare(rows, UriState.QUEUED, f"{name}: the queue holds", found)

    # -- a project -----------------------------------------------------------------------------------------------

    def _examine_due(self, project: _Project) -> None:
        """Name the scheduled URIs and due rows that don't belong together."""
        for key, row in self._store.iterate(project.prefix):
            if not key.startswith(project.prefix):
                break
            if row.state is UriState.SCHEDULED and self._store.queued_row(key, row) is None:
                project.found.note(f"{_name(key, row)} is scheduled, and no due row says when")
        due = (uri for uri in self._store.iterate_due() if uri.key.startswith(project.prefix))
        for rows in _batched(due):
            self._compare(rows, UriState.SCHEDULED, "the due rows hold", project.found)

    def _examine_index(self, project: _Project) -> None:
        """Name the hosts and entries of the index of hosts with work that don't belong together."""
        for row in self._store.iterate_hosts():
            if row.waiting and row.key.startswith(project.prefix):
                entries = self._store.waiting(row.waiting, row.waiting + b"\0", 1)
                if not entries:
                    project.found.note(f"{row.name}: its row says that it stands in the index of hosts with work, and "
                                       f"it does not; {row.queued:,} queued URIs would not be fetched")
                elif entries[0][1] != row.key:
                    project.found.note(f"{row.name}: its place in the index of hosts with work is another host's")
        named = (entry for entry in self._store.iterate_waiting() if entry[1].startswith(project.prefix))
        for batch in _batched(named):
            hosts = self._store.hosts([host for _, host in batch])
            for (key, host), found in zip(batch, hosts, strict=True):
                if found is None:
                    project.found.note(f"the index of hosts with work names host {host.hex()}, which has no row")
                elif found.waiting != key:
                    project.found.note(f"{found.name}: the index of hosts with work names it at a place that its row "
                                       "does not know")

    def _compare(self, rows: list[QueuedUri], state: UriState, where: str, found: ProjectAudit) -> None:
        """Name what waits and should not: rows whose URI is unknown, or waits elsewhere, or no longer."""
        for waiting, row in zip(rows, self._store.uris([waiting.key for waiting in rows]), strict=True):
            if row is None:
                found.note(f"{where} {waiting.url}, which has no row of its own")
            elif row.state is not state:
                found.note(f"{where} {waiting.url}, which is {row.state.name.lower()}")
            elif row.place != waiting.place:
                found.note(f"{where} {waiting.url} at a second place")


def _host_of(part: _Uris | _Queue | HostRow) -> bytes:
    return part.key if isinstance(part, HostRow) else part.host


def _uris(store: FrontierStore) -> Iterator[_Uris]:
    """What the URI rows of each host say; the loop that takes the time."""
    uris = _Uris(b"")
    states = uris.states
    queued, scheduled = UriState.QUEUED, UriState.SCHEDULED
    for key, row in store.iterate():
        host = key[:HOST_BYTES]
        if host != uris.host:
            if uris.host:
                yield uris
            uris = _Uris(host)
            states = uris.states
        state = row.state
        states[state] += 1
        if state is queued:
            uris.queued += hash(key + row.place)
        elif state is scheduled:
            uris.scheduled += hash(key + row.place)
    if uris.host:
        yield uris


def _queues(store: FrontierStore) -> Iterator[_Queue]:
    """What the rows of each host's queue say."""
    queue = _Queue(b"")
    for uri in store.iterate_queue():
        key, place = uri.key, uri.place
        host = key[:HOST_BYTES]
        if host != queue.host:
            if queue.host:
                yield queue
            queue = _Queue(host)
        queue.rows += 1
        queue.places += hash(key + place)
        order = place[1:]
        if order > queue.top:  # noqa: PLR1730  the row-by-row loop: max() takes its time
            queue.top = order
    if queue.host:
        yield queue


def _count(books: Books, states: list[int]) -> None:
    books.discovered += sum(states)
    books.queued += states[UriState.QUEUED]
    books.scheduled += states[UriState.SCHEDULED]
    books.done += states[UriState.DONE]
    books.failed += states[UriState.FAILED]
    books.excluded += states[UriState.EXCLUDED]
    books.quarantined += states[UriState.QUARANTINED]


def _insist(found: ProjectAudit, examine: Callable[[_T], None], subject: _T, otherwise: str) -> None:
    """Sums differ, so something is wrong: what *examine* names, or *otherwise*."""
    before = found.problems
    examine(subject)
    if found.problems == before:
        found.note(otherwise)


def _batched(rows: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(rows)
    while batch := list(islice(rest, _LOOK_UP)):
        yield batch


def _name(key: bytes, row: UriRow) -> str:
    """A URI in words: its URL, or its key where only a row that is missing would know that."""
    return row.url or f"URI {key.hex()}"
