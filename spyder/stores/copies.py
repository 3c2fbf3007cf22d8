"""Copies of RocksDB's folders: a place for one, made whole or not at all, and one from a folder that nobody writes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from spyder.errors import StoreError, StoreInUseError

_CHUNK = 1 << 20  #: bytes copied at a time
#: Why a folder can't be made, where the system's word would mislead.
_NO_NEW_FOLDER = {errno.ENOTEMPTY: "it is not empty: name a new folder", errno.ENOTDIR: "it is a file, or in one",
                  errno.EEXIST: "it is a file, or in one"}


@contextmanager
def made_anew(directory: Path) -> Iterator[None]:
    """Within it a store is made in *directory*, which must hold nothing; removed again if that fails."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            directory.rmdir()
    except OSError as error:
        reason = _NO_NEW_FOLDER.get(error.errno or 0) or error.strerror
        raise StoreError(f"{directory} can't take a copy of a frontier: {reason}") from None
    try:
        yield
    except BaseException:
        for left in (directory, directory.with_name(f"{directory.name}.tmp")):  # where RocksDB puts it together
            shutil.rmtree(left, ignore_errors=True)
        raise


@contextmanager
def unwritten(directory: Path) -> Iterator[None]:
    """Within it nobody can write the store in *directory*. Raises :class:`StoreInUseError` if somebody does."""
    with ExitStack() as held:
        try:
            lock = held.enter_context((directory / "LOCK").open("rb"))
            fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # RocksDB's own is of this kind, and exclusive
        except FileNotFoundError:
            pass  # nobody has opened this copy yet
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EAGAIN}:
                raise StoreInUseError(f"{directory} is in use: a master writes it; stop that one, or copy it with "
                                      "`spyder checkpoint`") from None
            raise StoreError(f"{directory} can't be read: {error.strerror}") from None
        yield


def copy_closed(source: Path, directory: Path) -> None:
    """Copy a store that nobody writes, durably; its tables as hard links if possible. Raises :class:`OSError`."""
    directory.mkdir()
    for path in source.iterdir():
        target = directory / path.name
        if path.name == "LOCK" or path.name.startswith("LOG"):
            continue
        if path.suffix == ".sst":
            with suppress(OSError):
                target.hardlink_to(path)
                continue
        with path.open("rb") as old, target.open("xb") as new:
            shutil.copyfileobj(old, new, _CHUNK)
            new.flush()
            os.fsync(new.fileno())
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
