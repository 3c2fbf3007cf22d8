"""Results as JSON lines: ``pages/*.jsonl``, one record per fetched URI."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from spyder.model.records import Page, PageRecord

#: Bytes read at a time when the end of a torn file is looked for.
_TAIL = 65_536


class JsonlSink:
    """Appends records to ``<directory>/<name>-NNNNN.jsonl``.

    The file is locked while it is in use, so that several processes share a directory. A file that a dead process left
    is taken over: its torn last line, if there is one, is cut off, since nothing in it was acknowledged.

    On a disk that is full or fails nothing gets lost: lines are kept until a sync has succeeded, and what a failed one
    left is cut off and written again. That is needed also where the next sync would succeed without it: a kernel that
    could not write a page says so once, and takes the page for written from then on.
    """

    def __init__(self, directory: Path, *, name: str, rotate_size: int) -> None:
        self._directory = directory
        self._name = name
        self._rotate_size = rotate_size
        self._encoder = msgspec.json.Encoder()
        self._lines = bytearray()
        self._file: BinaryIO | None = None
        self._size = 0  #: bytes that are known to be on disk
        self._is_torn = False  #: behind the size there may be lines that are written again
        self.syncs = 0  #: times that the file was synced

    def open(self) -> None:
        """Take over a file that nobody uses, or begin a new one. After an :class:`OSError` a sync tries again."""
        self._directory.mkdir(parents=True, exist_ok=True)
        number = 0
        while not self._take(self._directory / f"{self._name}-{number:05}.jsonl"):
            number += 1

    def write(self, record: PageRecord, page: Page, body: bytes) -> None:  # noqa: ARG002  the contract's arguments
        """Keep one line for the next :meth:`sync`."""
        start = len(self._lines)
        try:
            self._encoder.encode_into(record, self._lines, -1)
        except BaseException:
            del self._lines[start:]
            raise
        self._lines += b"\n"

    def sync(self) -> None:
        """Append the kept lines and wait until they are on disk. Raises :class:`OSError` when they can't be."""
        if not self._lines:
            return
        if self._file is None:  # the last rotation failed
            self.open()
        self._append()
        if self._size >= self._rotate_size:
            self._let_go()
            with suppress(OSError):  # these lines are on disk: who can't have a new file are the next ones
                self.open()

    def close(self) -> None:
        """Append what is kept and let go of the file. Raises :class:`OSError` when that can't be written."""
        if self._file is None:
            return
        try:
            if self._lines:
                self._append()
        finally:
            self._let_go()

    def _take(self, path: Path) -> bool:
        """Open and lock *path*, if nobody else has, it is not full, and what stands in it can be made durable."""
        file = path.open("ab+")
        size = 0
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = file.seek(0, os.SEEK_END)
            self._size = _cut_torn_line(file, size)
            if self._size >= self._rotate_size:
                return False
            if size:
                os.fdatasync(file.fileno())  # whole lines that its last owner did not live to sync
            _sync_directory(self._directory)
            self._file, self._is_torn = file, False
        except BlockingIOError:  # another process writes it
            return False
        except OSError:
            if not size:
                raise
            return False  # this one can't be written: a new one may be
        finally:
            if self._file is not file:
                file.close()
        return True

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # all that was to be on disk has been synced
                file.close()

    def _append(self) -> None:
        assert self._file is not None, "open first"
        descriptor = self._file.fileno()
        if self._is_torn:
            os.ftruncate(descriptor, self._size)
            self._is_torn = False
        try:
            with memoryview(self._lines) as data:
                done = 0
                while done < len(data):
                    done += os.write(descriptor, data[done:])
            os.fdatasync(descriptor)
        except OSError:
            self._is_torn = True
            with suppress(OSError):  # whole records only, as far as the disk lets us; the next try begins with it
                os.ftruncate(descriptor, self._size)
            raise
        self._size += len(self._lines)
        self._lines.clear()
        self.syncs += 1


def _cut_torn_line(file: BinaryIO, end: int) -> int:
    """Cut off what follows the last newline of a file of *end* bytes; returns the size that is left."""
    position = end
    while position > 0:
        start = max(0, position - _TAIL)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position != end:
        file.truncate(position)
    return position


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
