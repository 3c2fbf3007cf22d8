"""The transaction that is being staged, laid over the store: what was decided, before it is durable."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from spyder.contracts import Changes, FrontierStore
from spyder.errors import StoreError
from spyder.model.records import HostRow, QueuedUri, UriRow
from spyder.model.states import UriState
from spyder.model.url import HOST_BYTES, PROJECT_BYTES

#: Rows of hosts kept in memory beside those of active ones.
_HOSTS_REMEMBERED = 8192


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How the last attempt at a URI ended."""

    at: float  #: wall time, seconds
    worker: str  #: that brought the outcome, or died on it
    reason: str = ""  #: error kind
    status: int = 0  #: HTTP status


class Ledger:
    """Reads see what is staged, then what is stored; :meth:`commit` makes all of it durable at once.

    Rows of hosts are shared objects: whoever changes one stages it with :meth:`touch`.
    """

    def __init__(self, store: FrontierStore, project: str) -> None:
        self.store = store
        self.changes = Changes()
        self._known: dict[bytes, UriRow | None] = {}  #: rows read for the current transaction
        self._hosts: dict[bytes, HostRow] = {}  #: rows of hosts, active and lately used
        self.project = self._project_number(project)
        self.prefix = self.project.to_bytes(PROJECT_BYTES, "big")  #: of every key of the project

    def _project_number(self, name: str) -> int:
        number = self.store.meta(f"project/{name}")
        if number is not None:
            return int(number)
        new = 1 + len(self.store.metas("project/"))
        self.changes.meta[f"project/{name}"] = str(new).encode()
        return new

    def check_identity(self, policy: str) -> None:
        """Refuse a store whose keys were made by another policy: canonicalisation and assignment, by name.

        Raises :class:`StoreError` saying what to do.
        """
        kept = self.store.meta("identity")
        if kept is None:
            self.changes.meta["identity"] = policy.encode()
        elif kept.decode() != policy:
            raise StoreError(f"the frontier was built with frontier.canonical/assignment `{kept.decode()}`, the "
                             f"settings say `{policy}`: set them back, or begin anew with --fresh")

    # -- the transaction -----------------------------------------------------------------------------------------

    @property
    def has_staged(self) -> bool:
        """True when a commit is due."""
        return bool(self.changes)

    def commit(self) -> None:
        """Store everything staged. Raises :class:`StoreError` when the store fails; all stays staged then."""
        self.store.commit(self.changes)
        self.changes = Changes()
        self._known.clear()

    def project_meta(self, name: str) -> bytes | None:
        """A small value of the project."""
        return self.store.meta(f"{name}/{self.project}")

    def read_project_meta(self, name: str) -> bytes | None:
        """A small value of the project, as it is staged or stored."""
        full = f"{name}/{self.project}"
        staged = self.changes.meta.get(full)
        return staged if staged is not None else self.store.meta(full)

    def stage_project_meta(self, name: str, value: bytes) -> None:
        """Stage a small value of the project."""
        self.changes.meta[f"{name}/{self.project}"] = value

    # -- URIs ----------------------------------------------------------------------------------------------------

    def read_ahead(self, keys: Iterable[bytes]) -> None:
        """Read the rows of URIs in one go; :meth:`uri` finds them then."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        if missing:
            self._known.update(zip(missing, self.store.uris(missing), strict=True))

    def uri(self, key: bytes) -> UriRow | None:
        """The row of a URI."""
        staged = self.changes.uris.get(key)
        if staged is not None:
            return staged
        if key not in self._known:
            self.read_ahead((key,))
        return self._known[key]

    def waiting_uri(self, key: bytes, row: UriRow) -> QueuedUri | None:
        """The row in a queue, or among the due times, that *row* points to."""
        if row.state is UriState.SCHEDULED:
            staged = self.changes.schedule.get((row.place, key))
        else:
            staged = self.changes.enqueue.get((key[:HOST_BYTES], row.place))
        return staged if staged is not None else self.store.queued_row(key, row)

    def enqueue(self, uri: QueuedUri) -> None:
        """Stage that *uri* stands in its host's queue at its place; how its last attempt ended stays with it."""
        last = self.uri(uri.key)
        if last is None:
            row = UriRow(state=UriState.QUEUED, depth=uri.depth, place=uri.place)
        else:
            row = UriRow(state=UriState.QUEUED, depth=uri.depth, place=uri.place, attempt=uri.attempt,
                         strikes=uri.strikes, status=last.status, reason=last.reason, settled_at=last.settled_at,
                         worker=last.worker)
        self.changes.uris[uri.key] = row
        self.changes.enqueue[uri.key[:HOST_BYTES], uri.place] = uri

    def dequeue(self, uri: QueuedUri) -> None:
        """Stage that *uri* leaves its queue, also when it entered it in this very transaction."""
        entry = (uri.key[:HOST_BYTES], uri.place)
        self.changes.enqueue.pop(entry, None)
        self.changes.dequeue.add(entry)

    def schedule(self, uri: QueuedUri, last: Attempt) -> None:
        """Stage that *uri* waits for the due time that its place tells; *last* is how it came to that."""
        self.changes.uris[uri.key] = UriRow(
            state=UriState.SCHEDULED, depth=uri.depth, place=uri.place, attempt=uri.attempt, strikes=uri.strikes,
            status=last.status, reason=last.reason, settled_at=last.at, worker=last.worker)
        self.changes.schedule[uri.place, uri.key] = uri

    def unschedule(self, uri: QueuedUri) -> None:
        """Stage that *uri* waits for its due time no longer."""
        self.changes.schedule.pop((uri.place, uri.key), None)
        self.changes.unschedule.add((uri.place, uri.key))

    def is_unscheduled(self, uri: QueuedUri) -> bool:
        """True when a stored due row is gone once this transaction is."""
        return (uri.place, uri.key) in self.changes.unschedule

    # -- hosts ---------------------------------------------------------------------------------------------------

    def hosts(self, keys: Iterable[bytes]) -> list[HostRow]:
        """The rows of those hosts that are known, read in one go and remembered."""
        wanted = list(keys)
        missing = [key for key in wanted if key not in self._hosts]
        if missing:
            self._hosts.update((row.key, row) for row in self.store.hosts(missing) if row is not None)
        return [self._hosts[key] for key in wanted if key in self._hosts]

    def host(self, key: bytes) -> HostRow | None:
        """The row of a host."""
        row = self._hosts.get(key)
        if row is None:
            found = self.hosts((key,))
            row = found[0] if found else None
        return row

    def new_host(self, key: bytes, name: str) -> HostRow:
        """The row of a host that was not known; it is staged when it gets its first URI."""
        row = self._hosts[key] = HostRow(key=key, name=name)
        return row

    def forget_hosts(self, *, active: Iterable[HostRow], count: int) -> None:
        """Bound the memory of rows of hosts, after a commit: the *count* *active* ones stay the objects they are."""
        if len(self._hosts) > _HOSTS_REMEMBERED + count:
            self._hosts = {row.key: row for row in active}

    def touch(self, row: HostRow) -> None:
        """Stage a host's row as it will be when the transaction is committed."""
        self.changes.hosts[row.key] = row


def sortable_time(at: float) -> bytes:
    """A time (wall, seconds) as six bytes of milliseconds that sort like it."""
    return max(0, int(at * 1000)).to_bytes(6, "big")


def time_of(sortable: bytes) -> float:
    """The opposite of :func:`sortable_time`, in seconds."""
    return int.from_bytes(sortable, "big") / 1000
