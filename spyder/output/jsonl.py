"""Results as JSON lines: ``pages/*.jsonl``, one record per fetched URI."""

from __future__ import annotations

import fcntl
import os
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
    """

    def __init__(self, directory: Path, *, name: str, rotate_size: int) -> None:
        self._directory = directory
        self._name = name
        self._rotate_size = rotate_size
        self._encoder = msgspec.json.Encoder()
        self._lines = bytearray()
        self._file: BinaryIO | None = None
        self._size = 0
        self._is_torn = False  #: behind the size there may be lines that are written again
        self.syncs = 0  #: times that the file was synced

    def open(self) -> None:
        """Take over a file that nobody uses, or begin a new one."""
        self._directory.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            path = self._directory / f"{self._name}-{number:05}.jsonl"
            number += 1
            file = path.open("ab+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # another process writes it
                file.close()
                continue
            except OSError:
                file.close()
                raise
            try:
                size = _cut_torn_line(file)
                if size < self._rotate_size:
                    _sync_directory(self._directory)
                    self._file, self._size = file, size
                    return
            finally:
                if self._file is not file:
                    file.close()

    def write(self, record: PageRecord, page: Page, body: bytes) -> None:  # noqa: ARG002  the contract's arguments
        """Keep one line for the next :meth:`sync`."""
        self._encoder.encode_into(record, self._lines, -1)
        self._lines += b"\n"

    def sync(self) -> None:
        """Append the kept lines and wait until they are on disk. Raises :class:`OSError` when they can't be."""
        if not self._lines:
            return
        if self._file is None:  # the last rotation failed
            self.open()
        self._append()
        if self._size >= self._rotate_size:
            self.close()
            self.open()

    def close(self) -> None:
        """Append what is kept and let go of the file."""
        if self._file is None:
            return
        try:
            if self._lines:
                self._append()
        finally:
            self._file.close()
            self._file = None

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
            os.ftruncate(descriptor, self._size)  # whole records only: the kept lines are written again
            raise
        self._size += len(self._lines)
        self._lines.clear()
        self.syncs += 1


def _cut_torn_line(file: BinaryIO) -> int:
    """Cut off what follows the last newline; returns the size that is left."""
    end = file.seek(0, os.SEEK_END)
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
