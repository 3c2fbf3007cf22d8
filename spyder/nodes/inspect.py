"""Reads a frontier for people: its hosts, one URI, all of them, and whether its books are true.

Never writes to it, and may run beside a master.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from spyder import __version__, plugins
from spyder.contracts import FrontierStore
from spyder.errors import SpyderError, StoreError
from spyder.frontier.audit import ProjectAudit, audit, kept_books
from spyder.model.records import Books, HostRow, UriRow
from spyder.model.states import UriState
from spyder.model.url import HOST_BYTES, PROJECT_BYTES, host_key, parse_seed
from spyder.nodes.identity import made_with, uri_identity
from spyder.settings import FrontierSection

#: Names of the states, as they are shown and asked for.
STATES = tuple(state.name.lower() for state in UriState)

_DUE_TIME = slice(PROJECT_BYTES, PROJECT_BYTES + 6)  # milliseconds, see spyder.frontier.frontier


class UriView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A URI as people read it: one line of ``spyder frontier dump``."""

    url: str
    state: str
    project: str
    host: str  #: the queue's name
    depth: int = msgspec.field(default=-1)  #: links from a seed
    status: int = 0  #: last HTTP status
    reason: str = ""  #: error kind, or the rule that excluded it
    attempt: int = 0  #: fetches that ended in a retry
    referrer: str = ""
    settled_at: str = ""  #: RFC 3339, UTC
    due_at: str = ""  #: of a scheduled one; RFC 3339, UTC
    priority: int = 0
    redirects: tuple[str, ...] = ()  #: the chain of URLs that led here; kept while it waits
    is_seed: bool = False  #: kept while it waits
    worker: str = ""  #: that brought the outcome


class HostView(msgspec.Struct, frozen=True, kw_only=True):
    """A host's queue as people read it."""

    project: str
    host: str
    queued: int  #: leased ones included
    settled: int
    failed: int  #: of the settled ones
    next_at: str  #: before which nothing is fetched from it; RFC 3339, UTC; empty: at any time
    errors: int  #: host troubles in a row
    last_error: str
    is_active: bool  #: has work, and its queue is in the master's memory


class FrontierView:
    """A frontier opened for reading: what was committed when it was opened."""

    def __init__(self, store: FrontierStore) -> None:
        self._store = store
        self._projects = {int(number): name.partition("/")[2] for name, number in store.metas("project/").items()}
        self.made_with = made_with(store)  #: by which keys were made
        self._identity = uri_identity(self.made_with)
        self._names: dict[bytes, str] = {}

    def books(self) -> dict[str, Books]:
        """The books of each project."""
        return kept_books(self._store)

    def audit(self) -> list[ProjectAudit]:
        """What all rows say of each project, and whether its books say the same."""
        return audit(self._store)

    def hosts(self) -> Iterator[HostView]:
        """All hosts."""
        for row in self._store.iterate_hosts():
            yield HostView(
                project=self._project(row.key), host=row.name, queued=row.queued, settled=row.settled,
                failed=row.failed, next_at=rfc3339(row.next_at), errors=row.errors, last_error=row.last_error,
                is_active=row.waiting[PROJECT_BYTES:PROJECT_BYTES + 1] == b"\x00")

    def find(self, url: str) -> list[UriView]:
        """The URI in each project that knows it.

        Raises :class:`spyder.errors.UrlError` when *url* is none that could be crawled.
        """
        href = parse_seed(url).href
        keys = [self._identity.key(number, href) for number in self._projects]
        return [self._view(key, row) for key, row in zip(keys, self._store.uris(keys), strict=True) if row is not None]

    def uris(self, *, states: frozenset[str] = frozenset(), host: str = "") -> Iterator[UriView]:
        """All URIs, or those in one of *states*, of one *host* (with its port, unless that is the scheme's default).

        Raises :class:`SpyderError` when no project knows *host*.
        """
        for prefix in self._prefixes(host):
            for key, row in self._store.iterate(prefix):
                if not key.startswith(prefix):
                    break
                if not states or row.state.name.lower() in states:
                    yield self._view(key, row)

    def _prefixes(self, host: str) -> list[bytes]:
        if not host:
            return [b""]
        queue = self._identity.queue_of_host(host.lower())
        keys = [host_key(number, queue) for number in self._projects]
        found = [key for key, row in zip(keys, self._store.hosts(keys), strict=True) if row is not None]
        if not found:
            near = difflib.get_close_matches(queue, [row.name for row in self._store.iterate_hosts()], n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise SpyderError(f"the frontier knows no host `{host}`{hint}")
        return found

    def _project(self, key: bytes) -> str:
        return self._projects.get(int.from_bytes(key[:PROJECT_BYTES], "big"), "?")

    def _host(self, key: bytes) -> str:
        if key not in self._names:
            row: HostRow | None = self._store.hosts((key,))[0]
            self._names[key] = row.name if row is not None else "?"
        return self._names[key]

    def _view(self, key: bytes, row: UriRow) -> UriView:
        queued = None if row.state.is_settled else self._store.queued_row(key, row)
        due_at = int.from_bytes(row.place[_DUE_TIME], "big") / 1000 if row.state is UriState.SCHEDULED else 0.0
        return UriView(
            url=queued.url if queued is not None else row.url, state=row.state.name.lower(), project=self._project(key),
            host=self._host(key[:HOST_BYTES]), depth=row.depth, status=row.status, reason=row.reason,
            attempt=row.attempt, referrer=queued.referrer if queued is not None else row.referrer,
            settled_at=rfc3339(row.settled_at), due_at=rfc3339(due_at),
            priority=queued.priority if queued is not None else 0,
            redirects=queued.redirects if queued is not None else (),
            is_seed=queued.is_seed if queued is not None else False, worker=row.worker)


@contextlib.contextmanager
def open_for_reading(directory: Path, *, store: str = "rocksdb") -> Iterator[FrontierView]:
    """The frontier in *directory*: a crawl directory, or the frontier's own folder.

    Raises :class:`StoreError` when there is none.
    """
    with open_store(directory, store=store) as opened:
        yield FrontierView(opened)


@contextlib.contextmanager
def open_store(directory: Path, *, store: str = "rocksdb") -> Iterator[FrontierStore]:
    """The store of that frontier. Raises :class:`StoreError` when there is none."""
    if not directory.is_dir():
        reason = "it is a file" if directory.exists() else "there is no such folder"
        raise StoreError(f"{directory} holds no frontier: {reason}")
    own = directory / "frontier"
    opened: FrontierStore = plugins.find("store", store).open(
        own if own.is_dir() else directory, cache=FrontierSection().cache, read_only=True, create=False)
    try:
        yield opened
    finally:
        opened.close()


def report_imbalance(store: FrontierStore, logs: Path, *, now: float, held: Books | None = None) -> str:
    """Audit *store*, and unless all is well write what was found to ``books-<time>.json`` in the folder *logs*.

    *now* is wall time; *held* are the books in a master's memory, which may contradict those that are stored. Returns a
    line for log and status, empty when rows and books agree. Nothing is raised: what keeps the audit or its report from
    being made is said in the line.
    """
    try:
        projects = audit(store)
    except StoreError as error:
        return f"the books can't be checked: {error}"
    if (held is None or held.is_balanced) and all(project.is_good for project in projects):
        return ""
    lines = [line for project in projects for line in (*project.differences(), *project.described)]
    line = lines[0] if lines else "the master's count and the store's differ"
    at = datetime.fromtimestamp(now, UTC)
    path = logs / f"books-{at:%Y%m%dT%H%M%S.%fZ}.json"
    report = {"version": __version__, "at": rfc3339(now), "held": held, "projects": as_trees(projects)}
    try:
        logs.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(_by_name(report))) + b"\n")
    except OSError as error:
        return f"the books don't balance: {line}; the report can't be written: {error.strerror}"
    return f"the books don't balance: {line}; see {path}"


def verdict(found: ProjectAudit) -> str:
    """What the audit of a project found, in lines."""
    if found.is_good:
        return f"{found.project}: balanced: {equation(found.counted)}; {found.hosts:,} hosts"
    wrong = [*found.differences(), *found.described]
    if found.problems > len(found.described):
        wrong.append(f"... and {found.problems - len(found.described):,} more of this kind")
    return "\n".join([f"{found.project}: NOT BALANCED: {len(found.differences()):,} counts differ, "
                      f"{found.problems:,} rows contradict others", *(f"  {line}" for line in wrong)])


def equation(books: Books) -> str:
    """The books in a line, as people read them."""
    return (f"{books.discovered:,} discovered = {books.queued:,} queued + {books.scheduled:,} scheduled + "
            f"{books.done:,} done + {books.failed:,} failed + {books.excluded:,} excluded + "
            f"{books.quarantined:,} quarantined")


def as_trees(projects: list[ProjectAudit]) -> list[dict[str, Any]]:
    """Audits as plain values with names, for JSON."""
    return [{"is_good": project.is_good, "differences": project.differences(), **_by_name(project)}
            for project in projects]


def _by_name(value: Any) -> Any:
    """*value* with records as mappings, also those that are stored as mere lists."""
    if isinstance(value, msgspec.Struct):
        return {name: _by_name(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {name: _by_name(item) for name, item in value.items()}
    return value


def rfc3339(at: float) -> str:
    """Wall time in seconds as text, empty for 0."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else ""
