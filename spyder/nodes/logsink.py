"""The log sink: takes the log records of all processes and hands them to ordinary Python logging, a file per kind."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from spyder.bus.logpipe import read_record
from spyder.bus.sockets import Frames, Reader, Sockets
from spyder.errors import MessageError
from spyder.settings import LogSection

_FORMAT = "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s"


class LogSink:
    """Writes ``master.log``, ``worker.log``, … in the log directory; each is rotated by size."""

    def __init__(self, settings: LogSection, directory: Path, *, sockets: Sockets, address: str) -> None:
        self._settings = settings
        self._directory = directory
        self._handlers: dict[str, logging.Handler] = {}
        self._sockets = sockets
        self._address = address
        self._reader: Reader | None = None
        self.records = 0  #: records written
        self.garbage = 0  #: messages that were none

    def start(self) -> None:
        """Bind and begin to write. Raises :class:`spyder.errors.BusError` if the address can't be bound."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._reader = Reader(self._sockets.subscriber(b"spyder.", bind=self._address), self._take)

    def _take(self, frames: Frames) -> None:
        try:
            record = read_record(frames)
        except MessageError:
            self.garbage += 1
            return
        kind = (record.processName or "").partition(":")[0]
        self._handler(kind if kind.isalpha() else "other").handle(record)
        self.records += 1

    def _handler(self, kind: str) -> logging.Handler:
        handler = self._handlers.get(kind)
        if handler is None:
            if len(self._handlers) >= 16:  # a stranger who makes up kinds does not make files without end
                kind = "other"
            handler = RotatingFileHandler(self._directory / f"{kind}.log", maxBytes=self._settings.rotate_size,
                                          backupCount=self._settings.keep, encoding="utf-8")
            handler.setFormatter(logging.Formatter(_FORMAT))
            self._handlers[kind] = handler
        return handler

    def close(self) -> None:
        """Stop, and close the files."""
        if self._reader is not None:
            self._reader.close()
        for handler in self._handlers.values():
            handler.close()
