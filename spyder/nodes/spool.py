"""Outcomes that a worker could not report before its end: kept beside its outputs, reported by the next worker there.

A file holds batches as they were published, each behind its length; it appears whole or not at all. Who reports one
holds a lock on it, and removes it when the master has acknowledged all of it.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from spyder.bus.messages import Codec, OutcomeBatch
from spyder.errors import MessageError
from spyder.model.records import Outcome

_log = logging.getLogger(__name__)

_LENGTH_BYTES = 4
_SUFFIX = ".outcomes"


class Spool:
    """The folder of such files; *name* is unique for each worker."""

    def __init__(self, directory: Path, *, name: str, limit: int) -> None:
        self._directory = directory
        self._name = name
        self._codec: Codec[OutcomeBatch] = Codec(OutcomeBatch, limit=limit)
        self._claimed: list[tuple[Path, BinaryIO]] = []

    def claim(self) -> list[tuple[Outcome, ...]]:
        """The batches that earlier workers left and nobody else reports; unreadable files are set aside by name."""
        batches: list[tuple[Outcome, ...]] = []
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            try:
                file = path.open("rb")
            except OSError:  # somebody has just reported it
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not path.exists():
                    raise BlockingIOError  # reported and removed between our two looks
                batches.extend(self._read(file.read()))
            except BlockingIOError:
                file.close()
            except OSError as error:  # the disk: perhaps the next worker can read it
                _log.error("%s can't be read now: %s", path, error)
                file.close()
            except MessageError as error:
                _log.error("%s holds no outcomes: %s; its pages are fetched again, it stays as *.bad", path, error)
                file.close()
                with suppress(OSError):
                    path.rename(path.with_name(f"{path.name}.bad"))
            else:
                self._claimed.append((path, file))
        if batches:
            _log.info("%d batches of outcomes of earlier workers are to be reported", len(batches))
        return batches

    def _read(self, data: bytes) -> list[tuple[Outcome, ...]]:
        batches = []
        start = 0
        while start < len(data):
            end = start + _LENGTH_BYTES + int.from_bytes(data[start:start + _LENGTH_BYTES], "big")
            if end > len(data):
                raise MessageError("it ends in the middle of a batch")
            batches.append(self._codec.decode(data[start + _LENGTH_BYTES:end]).outcomes)
            start = end
        return batches

    def keep(self, payloads: Sequence[bytes]) -> None:
        """Write published batches to a file and return when it is on disk. Raises :class:`OSError` if it can't be."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{self._name}{_SUFFIX}"
        new = path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                for payload in payloads:
                    file.write(len(payload).to_bytes(_LENGTH_BYTES, "big"))
                    file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def release(self, *, is_reported: bool) -> None:
        """Let go of what was claimed; remove it when it *is_reported*, by us or as a part of what we kept."""
        for path, file in self._claimed:
            if is_reported:
                path.unlink(missing_ok=True)
            file.close()
        self._claimed.clear()
