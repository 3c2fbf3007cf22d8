"""The frontier's rows in RocksDB, the embedded default: the only module that knows rocksdict.

What is peculiar about rocksdict 0.3 and held off here: it raises plain ``Exception``; its ``items()`` ends silently
where a block can't be read, so rows are read by its bare iterator and the iterator's status; the database stays locked
until every object made from it is let go; and opening writes a small file into the folder, read-only opening too.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import starmap
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, Self, TypeVar, cast

from rocksdict import (
    AccessType,
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from spyder.contracts import Changes
from spyder.errors import StoreError, StoreInUseError
from spyder.model.records import HostRow, QueuedUri, UriRow
from spyder.model.states import UriState
from spyder.model.url import HOST_BYTES, PROJECT_BYTES
from spyder.stores import copies, rows

logger = logging.getLogger(__name__)

T = TypeVar("T")

RocksdbError = Exception  # rocksdict has no class of its own

KIB, MIB = 1 << 10, 1 << 20
WRITE_BUFFERS = 24 * MIB  #: bytes of rows in memory before they go to files, all column families together
WAL_BYTES = 48 * MIB  #: bytes of write-ahead log, and so of work to do again after a crash, at the most
OPEN_FILES = 256  #: table files that a writer keeps open
OPEN_ATTEMPTS = 20  #: a reader meets files that the writer has just removed: it looks again
OPEN_PAUSE = 0.02  #: seconds between them

BLOCK_BYTES = 8 * KIB  #: bytes of a block before compression: what one read of a row decompresses
BLOOM_BITS = 10  #: a row: of a hundred keys that are not there, one is looked for on disk
#: Column families and the bytes of rows that each may buffer.
#: Bytes that a folder must take before a database there is opened anew after a failed write.
_ROOM = MIB
FAMILIES = {"uris": 12 * MIB, "queues": 8 * MIB, "due": 2 * MIB, "hosts": 4 * MIB, "waiting": 2 * MIB, "meta": MIB}


class RocksdbStore:
    """A :class:`spyder.contracts.FrontierStore` in a folder of its own; :meth:`open` builds it."""

    def __init__(self, database: Rdict, directory: Path, *, cache: int) -> None:
        self._directory = directory
        self._cache = cache
        self._synced = WriteOptions()
        self._synced.sync = True
        self._failure = ""  #: why nothing can be written until it is opened anew
        self._undo = ExitStack()
        self._attach(database)

    def _attach(self, database: Rdict) -> None:
        self._database = database
        self._families = [database.get_column_family(name) for name in FAMILIES]
        self._uris, self._queues, self._due, self._hosts, self._waiting, self._meta = self._families
        self._handles = [database.get_column_family_handle(name) for name in FAMILIES]

    @classmethod
    def open(cls, directory: Path, *, cache: int, read_only: bool = False, create: bool = True) -> Self:
        """The store in *directory*, with *cache* bytes of memory for its blocks.

        A read-only one shows what was committed when it was opened, also beside a running writer. Raises
        :class:`StoreError` when there is no store and none may be made (*create*), when another process writes it,
        when it is damaged, and when its schema is of another version.
        """
        exists = (directory / "CURRENT").exists()
        if not exists and (read_only or not create):
            reason = "there is nothing of Spyder's in it" if directory.is_dir() else "there is no such folder"
            raise StoreError(f"{directory} holds no frontier: {reason}")
        with ExitStack() as undo:
            scratch = undo.enter_context(TemporaryDirectory(prefix="spyder-")) if read_only else ""
            try:
                database = _open_for_reading(directory, cache, scratch) if read_only else _open(directory, cache)
            except StoreError:
                raise
            except RocksdbError as error:
                raise _opening_failed(directory, error) from None
            store = cls(database, directory, cache=cache)
            undo.callback(store._release)
            store._check_schema(can_write=not read_only)
            store._undo = undo.pop_all()
        return store

    def _check_schema(self, *, can_write: bool) -> None:
        found = self.meta(rows.SCHEMA_KEY)
        if found is None and can_write and self._is_empty():
            self.commit(Changes(meta={rows.SCHEMA_KEY: b"%d" % rows.SCHEMA_VERSION}))
        else:
            rows.check_schema(found, self._directory)

    def _is_empty(self) -> bool:
        """True for a new store, and for one whose first process died before it wrote the schema."""
        return not any(next(self._rows(family, lambda *_: True), False) for family in (*self._families, self._database))

    def commit(self, changes: Changes) -> None:
        """Store *changes* as one write batch and return when it is on disk.

        After a failure (a full disk) nothing of the batch is stored, and RocksDB takes no writes until it is opened
        anew: that is what the next commit does, once the folder takes a file again. Reads work meanwhile.
        """
        if self._failure:
            self._open_again()
        if not changes:
            return
        if not self._handles:
            raise StoreError(f"{self._directory} can't be written: it was closed")
        batch = WriteBatch(raw_mode=True)
        self._fill(batch, changes)
        try:
            self._database.write(batch, self._synced)
        except RocksdbError as error:
            self._failure = _reason(error)
            raise StoreError(f"{self._directory} can't be written: {self._failure}") from None

    def _open_again(self) -> None:
        """Open the database anew after a failed write, if there is room now. Raises :class:`StoreError` if not."""
        try:
            with TemporaryFile(dir=self._directory) as probe:
                probe.write(bytes(_ROOM))
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            raise StoreError(f"{self._directory} can't be written: {self._failure} ({error.strerror})") from None
        self._release()
        try:
            self._attach(_open(self._directory, self._cache))
        except RocksdbError as error:
            raise _opening_failed(self._directory, error) from None
        logger.warning("%s can be written again", self._directory)
        self._failure = ""

    def _fill(self, batch: WriteBatch, changes: Changes) -> None:
        """Put *changes* into *batch*: deletes first, so that a put of the same key stays."""
        uris, queues, due, hosts, waiting, meta = self._handles
        put, delete = batch.put, batch.delete
        for host, place in changes.dequeue:
            delete(host + place, queues)
        for place, key in changes.unschedule:
            delete(place + key, due)
        for key in changes.unwait:
            delete(key, waiting)
        encode_uri, encode_queued = rows.encode_uri, rows.encode_queued
        for key, row in changes.uris.items():
            put(key, encode_uri(row), uris)
        for (host, place), queued in changes.enqueue.items():
            put(host + place, encode_queued(queued), queues)
        for (place, key), queued in changes.schedule.items():
            put(place + key, rows.encode_due(queued), due)
        for key, host_row in changes.hosts.items():
            put(key, rows.encode_host(host_row), hosts)
        for key, host in changes.wait.items():
            put(key, host, waiting)
        for name, value in changes.meta.items():
            if value:
                put(name.encode(), value, meta)
            else:
                delete(name.encode(), meta)

    def uris(self, keys: Sequence[bytes]) -> list[UriRow | None]:
        """The rows of URIs, in the order of *keys*, None where there is none."""
        decode = rows.decode_uri
        with self._reading():
            return [None if value is None else decode(value) for value in _many(self._uris, keys)]

    def hosts(self, keys: Sequence[bytes]) -> list[HostRow | None]:
        """The rows of hosts, in the order of *keys*, None where there is none."""
        decode = rows.decode_host
        with self._reading():
            return [None if value is None else decode(value) for value in _many(self._hosts, keys)]

    def queue(self, host: bytes, after: bytes, limit: int) -> list[QueuedUri]:
        """The first *limit* rows of a host's queue whose place is greater than *after*, by place."""
        start = host + after + b"\0" if after else host  # the least key greater than the place
        return list(self._rows(self._queues, rows.decode_queued, start, rows.after_prefix(host), limit))

    def due(self, before: bytes, limit: int) -> list[QueuedUri]:
        """The first *limit* scheduled rows of the project of *before* whose due place is less than that, by place."""
        return list(self._rows(self._due, rows.decode_due, before[:PROJECT_BYTES], before, limit))

    def waiting(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """The first *limit* entries (key, host key) of the index of hosts with work, start <= key < stop, by key."""
        return list(self._rows(self._waiting, lambda key, host: (key, host), start, stop, limit))

    def meta(self, key: str) -> bytes | None:
        """A small value by name."""
        with self._reading():
            value: bytes | None = self._meta.get(key.encode())
            return value

    def metas(self, prefix: str) -> dict[str, bytes]:
        """All small values whose name begins with *prefix*, by name."""
        start = prefix.encode()
        return dict(self._rows(self._meta, lambda name, value: (name.decode(), value), start, rows.after_prefix(start)))

    def iterate(self, after: bytes = b"") -> Iterator[tuple[bytes, UriRow]]:
        """All URI rows with a key greater than *after*, by key, as they are when the first is asked for."""
        decode = rows.decode_uri
        with self._reading():
            for key, value in self._all_rows(self._uris, after + b"\0" if after else b""):
                yield key, decode(value)

    def iterate_hosts(self) -> Iterator[HostRow]:
        """All host rows, by key, as they are when the first is asked for."""
        with self._reading():
            for _, value in self._all_rows(self._hosts):
                yield rows.decode_host(value)

    def iterate_queue(self) -> Iterator[QueuedUri]:
        """All rows of all queues, by host key and place, as they are when the first is asked for."""
        with self._reading():
            yield from starmap(rows.decode_queued, self._all_rows(self._queues))

    def iterate_due(self) -> Iterator[QueuedUri]:
        """All scheduled rows of all projects, by due place and URI key, as they are when the first is asked for."""
        with self._reading():
            yield from starmap(rows.decode_due, self._all_rows(self._due))

    def iterate_waiting(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries (key, host key) of the index of hosts with work, by key, as they are when the first is asked."""
        with self._reading():
            yield from self._all_rows(self._waiting)

    def queued_row(self, key: bytes, row: UriRow) -> QueuedUri | None:
        """The queue's or schedule's row that *row*, the row of the URI at *key*, points to."""
        with self._reading():
            if row.state is UriState.SCHEDULED:
                due_key = row.place + key
                value = self._due.get(due_key)
                return None if value is None else rows.decode_due(due_key, value)
            if row.state is UriState.QUEUED:
                queue_key = key[:HOST_BYTES] + row.place
                value = self._queues.get(queue_key)
                return None if value is None else rows.decode_queued(queue_key, value)
        return None

    def _rows(self, family: Rdict, decode: Callable[[bytes, bytes], T], start: bytes = b"", stop: bytes = b"",
              limit: int = -1) -> Iterator[T]:
        """The rows of *family* with start <= key < stop (no *stop*: to the end), *limit* at the most, by key."""
        bounds = ReadOptions()
        if stop:
            bounds.set_iterate_upper_bound(stop)  # so that RocksDB never walks over the deleted rows of the next host
        try:
            cursor = family.iter(bounds)
            cursor.seek(start)
            valid, key, value, step = cursor.valid, cursor.key, cursor.value, cursor.next
            while limit and valid():
                yield decode(key(), value())
                step()
                limit -= 1
            cursor.status()  # raises if a block couldn't be read: that is no end
        except RocksdbError as error:
            raise self._reading_failed(error) from None

    def _all_rows(self, family: Rdict, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All rows of *family* with start <= key, by key, read ahead and past the cache, in a third of the time."""
        bounds = ReadOptions()
        bounds.set_readahead_size(MIB)
        bounds.fill_cache(False)  # type: ignore[call-arg]  # the stub forgets it; what the crawl reads is worth more
        items: Iterator[Any] = family.items(from_key=start or None, read_opt=bounds)
        row: tuple[bytes, bytes] = (b"", b"")
        for row in items:
            yield row
        if row[0]:
            start = row[0] + b"\0"
        # was that the end, or a block that can't be read?
        yield from self._rows(family, lambda key, value: (key, value), start)

    def checkpoint(self, directory: Path) -> None:
        """Make *directory* a copy of all that was committed.

        Tables become hard links, which takes no time and no room, or are copied where the file system is another one;
        what is in memory goes to a table first. Nothing else is done meanwhile: RocksDB's binding lets no other thread
        run. Raises :class:`StoreError` when *directory* holds anything or can't be made; nothing is left there then.
        """
        with copies.made_anew(directory):
            if not self._handles:
                raise StoreError(f"{self._directory} can't be copied: it was closed")
            try:
                Checkpoint(self._database).create_checkpoint(str(directory))
            except RocksdbError as error:
                raise StoreError(f"{self._directory} can't be copied to {directory}: {_reason(error)}") from None

    @classmethod
    def restore(cls, checkpoint: Path, directory: Path) -> None:
        """Make *directory* a store with what is in *checkpoint*, which stays as it is.

        Its tables, which are never changed, become hard links where the file system allows that. Raises
        :class:`StoreError` when *directory* holds anything, or there is nothing to take.
        """
        if not (checkpoint / "CURRENT").exists():
            raise StoreError(f"{checkpoint} holds no frontier: there is nothing of Spyder's in it")
        with copies.made_anew(directory), copies.unwritten(checkpoint):
            try:
                copies.copy_closed(checkpoint, directory)
            except OSError as error:
                raise StoreError(f"{checkpoint} can't be copied to {directory}: {error.strerror}") from None

    def size(self) -> int:
        """Bytes of the table files and of the write-ahead log; 0 when somebody has removed the folder."""
        total = 0
        with suppress(FileNotFoundError):
            for path in self._directory.iterdir():
                if path.suffix in {".sst", ".log"}:
                    with suppress(FileNotFoundError):  # a compaction has just removed it
                        total += path.stat().st_size
        return total

    def close(self) -> None:
        """Write out what is buffered and let go of the folder; may be called twice.

        An iterator that is still held keeps the folder locked. A failure is only logged: every commit is on disk.
        """
        self._undo.close()

    def _release(self) -> None:
        """Close all that holds the database; then it writes its buffers out and unlocks the folder."""
        self._handles.clear()  # each of them, too, holds the database
        for part in (*self._families, self._database):
            try:
                part.close()
            except RocksdbError as error:
                if not self._failure:  # else it has been raised
                    self._failure = _reason(error)
                    logger.warning("%s: %s, while it was closed; nothing that was committed is lost", self._directory,
                                   self._failure)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Translate what RocksDB and a damaged row raise."""
        try:
            yield
        except StoreError:
            raise
        except RocksdbError as error:
            raise self._reading_failed(error) from None

    def _reading_failed(self, error: Exception) -> StoreError:
        return StoreError(f"{self._directory} can't be read: {_reason(error)}")


def _many(family: Rdict, keys: Sequence[bytes]) -> list[bytes | None]:
    """The values at *keys*, by one call into RocksDB."""
    values: Any = family.get(list(keys))
    return cast(list[bytes | None], values)


def _open(directory: Path, cache: int) -> Rdict:
    options = _database_options()
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_max_open_files(OPEN_FILES)
    return Rdict(str(directory), options, _families(directory, cache))


def _open_for_reading(directory: Path, cache: int, scratch: str) -> Rdict:
    """Open for reading while a writer may go on.

    It can remove files while they are looked up. A table that has gone is an error; a write-ahead log that has gone
    would be a gap that RocksDB doesn't see, so the logs are compared.
    """
    for attempt in range(OPEN_ATTEMPTS):
        options = _database_options()
        options.set_max_open_files(-1)  # all are opened now and stay readable after the writer has removed them
        options.set_db_log_dir(scratch)  # else RocksDB would move the writer's own
        logs = _write_ahead_logs(directory)
        try:
            database = Rdict(str(directory), options, _families(directory, cache),
                             AccessType.read_only(error_if_log_file_exist=False))
        except RocksdbError:  # the last one is the caller's
            if attempt == OPEN_ATTEMPTS - 1:
                raise
        else:
            if logs <= _write_ahead_logs(directory):
                return database
            database.close()
        time.sleep(OPEN_PAUSE)
    raise StoreError(f"{directory} can't be read just now: its writer is too busy; try again")


def _write_ahead_logs(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("*.log")}


def _database_options() -> Options:
    options = Options(raw_mode=True)
    options.set_db_write_buffer_size(WRITE_BUFFERS)
    options.set_max_total_wal_size(WAL_BYTES)
    options.set_max_background_jobs(2)
    options.set_max_file_opening_threads(2)
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())  # up to a last record that was half written
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(MIB)
    options.set_max_manifest_file_size(4 * MIB)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


def _families(directory: Path, cache: int) -> dict[str, Options]:
    """Options by column family: ours, and unknown ones of a later schema, without which RocksDB doesn't open."""
    blocks = Cache(cache)
    names = Rdict.list_cf(str(directory)) if (directory / "CURRENT").exists() else []
    return {name: _family_options(name, blocks) for name in (*FAMILIES, *names)}


def _family_options(name: str, blocks: Cache) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(blocks)
    table.set_block_size(BLOCK_BYTES)
    table.set_bloom_filter(BLOOM_BITS, block_based=False)
    table.set_format_version(5)
    table.set_index_type(BlockBasedIndexType.two_level_index_search())  # index and filters are cached by parts,
    table.set_partition_filters(True)  # so that memory depends on the hosts in use, not on the URIs known
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options = Options(raw_mode=True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(FAMILIES.get(name, MIB))
    options.set_max_write_buffer_number(2)
    options.set_target_file_size_base(16 * MIB)
    options.set_max_bytes_for_level_base(64 * MIB)
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_compression_type(DBCompressionType.lz4())
    if name != "uris":  # read in order; URIs are looked up at random, where LZ4 is 10 % quicker and 6 % larger
        options.set_bottommost_compression_type(DBCompressionType.zstd())
    return options


def _reason(error: Exception) -> str:
    """What RocksDB said, as one line."""
    return " ".join(str(error).split())


def _opening_failed(directory: Path, error: Exception) -> StoreError:
    reason = _reason(error)
    if "LOCK:" in reason:
        return StoreInUseError(f"{directory} is in use: another master writes it; stop that one, "
                               f"or name another folder")
    if "olumn famil" in reason:
        return StoreError(f"{directory} holds no frontier: its database was not written by Spyder; name another folder")
    if "Corruption" in reason:
        return StoreError(f"{directory} is damaged: {reason}; put back a copy of it, or begin anew with --fresh")
    return StoreError(f"{directory} can't be opened: {reason}")
