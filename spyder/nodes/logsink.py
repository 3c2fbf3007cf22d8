"""The log sink: takes the log records of all processes and writes a file for each kind of process."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from spyder.bus.garbage import Garbage
from spyder.bus.logpipe import read_record
from spyder.bus.sockets import Frames, Reader, Sockets
from spyder.errors import MessageError
from spyder.model.clock import Clock, SystemClock
from spyder.settings import LogSection

_log = logging.getLogger(__name__)

_FORMAT = "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s"
#: Kinds of processes that get a file of their own; whatever else a stranger makes up shares one.
_KINDS, _OTHERS = frozenset({"master", "worker", "supervisor", "logsink"}), "other"


class LogSink:
    """Writes ``master.log``, ``worker.log``, … in the log directory; each is rotated by size.

    While the files can't be written (a full disk) records are dropped and counted; it goes on by itself.
    """

    def __init__(self, settings: LogSection, directory: Path, *, sockets: Sockets, address: str,
                 clock: Clock | None = None) -> None:
        self._settings = settings
        self._directory = directory
        self._formatter = logging.Formatter(_FORMAT)
        self._files: dict[str, _LogFile] = {}
        self._sockets = sockets
        self._address = address
        self._reader: Reader | None = None
        self._garbage = Garbage((clock or SystemClock()).monotonic)
        self._trouble = ""  #: why nothing can be written
        self._dropped_before = 0  #: records dropped before this trouble
        self.records = 0  #: records written
        self.dropped = 0  #: records that could not be written

    @property
    def garbage(self) -> int:
        """Messages that were no log records."""
        return self._garbage.count

    def start(self) -> None:
        """Bind and begin to write.

        Raises :class:`spyder.errors.BusError` if the address can't be bound, and :class:`OSError` if the folder can't
        be made.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        # all topics, although only some are ours: ZeroMQ throws away what a stranger sends under others in one go,
        # and as long as more comes nobody else would get a turn
        self._reader = Reader(self._sockets.subscriber(bind=self._address), self._take)

    def _take(self, frames: Frames) -> None:
        try:
            record = read_record(frames)
        except MessageError as error:
            if line := self._garbage.take("log message", error):
                _log.warning("%s", line)
            return
        kind = (record.processName or "").partition(":")[0]
        line = self._formatter.format(record) + "\n"
        try:
            self._file(kind).write(line.encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._failed(error)
            return
        self.records += 1
        if self._trouble:
            self._recovered()

    def _failed(self, error: OSError) -> None:
        """Say it once: the records that say so can't be written either, but the console may show them."""
        if not self._trouble:
            self._dropped_before = self.dropped
            self._trouble = error.strerror or type(error).__name__
            _log.error("log files in %s can't be written: %s; records are dropped until they can", self._directory,
                       self._trouble)
        self.dropped += 1

    def _recovered(self) -> None:
        self._trouble = ""
        _log.warning("log files in %s can be written again; %d records were dropped", self._directory,
                     self.dropped - self._dropped_before)

    def _file(self, kind: str) -> _LogFile:
        if kind not in _KINDS:
            kind = _OTHERS
        file = self._files.get(kind)
        if file is None:
            file = self._files[kind] = _LogFile(self._directory / f"{kind}.log", rotate_size=self._settings.rotate_size,
                                                keep=self._settings.keep)
        return file

    def close(self) -> None:
        """Stop, and close the files."""
        if self._reader is not None:
            self._reader.close()
        for file in self._files.values():
            file.close()


class _LogFile:
    """A file that whole lines are appended to; when it is full it becomes ``name.1``, and so on up to *keep*."""

    def __init__(self, path: Path, *, rotate_size: int, keep: int) -> None:
        self._path = path
        self._rotate_size = rotate_size
        self._keep = keep
        self._descriptor: int | None = None
        self._size = 0

    def write(self, line: bytes) -> None:
        """Append *line*, all of it or nothing. Raises :class:`OSError` when it can't be."""
        if self._descriptor is not None and self._size and self._size + len(line) > self._rotate_size:
            self.close()
            self._rotate()
        if self._descriptor is None:
            self._open()
        assert self._descriptor is not None
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):  # no room for the rest
                os.ftruncate(self._descriptor, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self.close()  # opened anew, in case that somebody has removed the folder or mounted another disk
            raise
        self._size += written

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
