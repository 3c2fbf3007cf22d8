"""Checkpoints: a consistent copy of a running crawl's state, and a crawl that begins with one."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from spyder import __version__, plugins
from spyder.errors import StoreError
from spyder.frontier.frontier import Frontier
from spyder.model.clock import Clock
from spyder.settings import Settings

#: What a checkpoint's folder holds: the store, and the note that is written last.
_STORE, _NOTE = "frontier", "checkpoint.json"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What was copied: ``checkpoint.json``."""

    version: str  #: of Spyder
    master: str
    epoch: int
    made_at: str  #: RFC 3339, UTC
    policy: str  #: canonical form and assignment that the keys were made with
    project: str  #: that the master crawled
    projects: dict[str, dict[str, int]]  #: the books of all projects in the store
    size: int  #: bytes
    elapsed: float  #: seconds that it took
    directory: str = ""  #: where it was written


class Checkpoints:
    """Makes checkpoints of one frontier, one at a time."""

    def __init__(self, frontier: Frontier, settings: Settings, *, master: str, clock: Clock) -> None:
        self._frontier = frontier
        self._settings = settings
        self._master = master
        self._clock = clock
        self._is_busy = False

    async def make(self, directory: Path) -> Checkpoint:
        """Copy all that was committed to *directory*, which is made, or must be empty; nothing must be staged.

        A matter of milliseconds on the store's own file system. For another one the copy is first made here and then
        carried over in a thread, so that the crawl goes on meanwhile. Raises :class:`StoreError` when it can't be made;
        then nothing of it is left.
        """
        if self._is_busy:
            raise StoreError("a checkpoint is being made: wait for its end")
        began = self._clock.monotonic()
        is_new = _make_room(directory)
        self._is_busy = True
        try:
            made_at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds")
            books = await self._copy(directory / _STORE)
            frontier = self._settings.frontier
            checkpoint = Checkpoint(
                version=__version__, master=self._master, epoch=self._frontier.epoch,
                made_at=made_at.replace("+00:00", "Z"), policy=frontier.identity,
                project=self._settings.project.name, projects=books, size=_size(directory),
                elapsed=round(self._clock.monotonic() - began, 3), directory=str(directory))
            _write(directory / _NOTE, msgspec.json.format(msgspec.json.encode(checkpoint)))
        except BaseException as error:  # also an end of the master in the midst of it
            _remove(directory, is_new=is_new)
            if isinstance(error, OSError):
                raise StoreError(f"{directory}: no checkpoint can be written there: {error.strerror}") from None
            raise
        finally:
            self._is_busy = False
        return checkpoint

    async def _copy(self, target: Path) -> dict[str, dict[str, int]]:
        """Copy the store to *target*; returns the books of what was copied."""
        source = self._settings.frontier_directory
        if not source.exists() or source.stat().st_dev == target.parent.stat().st_dev:
            return self._copy_here(target)
        staged = source.with_name(f"{source.name}.checkpoint")
        shutil.rmtree(staged, ignore_errors=True)  # of a master that died over it
        try:
            books = self._copy_here(staged)
            store = plugins.find("store", self._settings.frontier.store)
            carrying = asyncio.ensure_future(asyncio.to_thread(store.restore, staged, target))
            try:
                await asyncio.shield(carrying)
            except asyncio.CancelledError:
                shutil.rmtree(staged, ignore_errors=True)  # which ends the carrying, and that cleans up
                await asyncio.wait([carrying])
                raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return books

    def _copy_here(self, target: Path) -> dict[str, dict[str, int]]:
        books = self._frontier.checkpoint(target)
        return {name: {field: getattr(kept, field) for field in kept.__struct_fields__} for name, kept in books.items()}


def check(directory: Path, settings: Settings, *, has_seeds: bool) -> None:
    """Refuse a crawl with these settings from the checkpoint in *directory*, before anything is removed or written.

    Raises :class:`StoreError` when there is no checkpoint, when its keys were made otherwise than the settings say,
    when nothing would be crawled, and when it is a part of the crawl directory that the crawl would write.
    """
    checkpoint = read(directory)
    policy = settings.frontier.identity
    if checkpoint.policy != policy:
        raise StoreError(f"the checkpoint in {directory} was made with frontier.canonical/assignment "
                         f"`{checkpoint.policy}`, the settings say `{policy}`: set them as they were")
    name = settings.project.name
    if not has_seeds and not checkpoint.projects.get(name, {}).get("discovered"):
        known = ", ".join(f"`{project}`" for project, books in checkpoint.projects.items() if books["discovered"])
        raise StoreError(f"the checkpoint in {directory} has no URIs of project `{name}`, only of {known or 'none'}: "
                         "set `project.name`, or give a seed")
    here, crawl = directory.resolve(), settings.crawl_directory.resolve()
    written = [settings.frontier_directory.resolve(), *(crawl / part for part in ("pages", "logs", "run"))]
    if here == crawl or any(part in (here, here / _STORE) or part in here.parents for part in written):
        raise StoreError(f"{directory} is where this crawl would write: name another folder for the crawl")


def read(directory: Path) -> Checkpoint:
    """The checkpoint in *directory*. Raises :class:`StoreError` when there is none."""
    if not directory.is_dir():
        reason = "it is a file" if directory.exists() else "there is no such folder"
        raise StoreError(f"{directory} holds no checkpoint: {reason}")
    try:
        checkpoint = msgspec.json.decode((directory / _NOTE).read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        raise StoreError(f"{directory} holds no checkpoint: there is no {_NOTE} in it; "
                         f"`spyder checkpoint DIR` makes one of a running crawl") from None
    except OSError as error:
        raise StoreError(f"{directory / _NOTE} can't be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise StoreError(f"{directory / _NOTE} is no checkpoint's: {error}") from None
    return checkpoint


def begin(directory: Path, settings: Settings) -> None:
    """Give the crawl directory of the settings the frontier of the checkpoint in *directory*, which stays as it is.

    Raises :class:`StoreError` when that one has a frontier already.
    """
    target = settings.frontier_directory
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise StoreError(f"{target} is there already: name another crawl directory, begin anew with --fresh, or leave "
                         "--from out to go on with what it holds")
    plugins.find("store", settings.frontier.store).restore(directory / _STORE, target)


def _make_room(directory: Path) -> bool:
    """Make the folder of a checkpoint, unless it is there and empty; True when it was made.

    Raises :class:`StoreError` when it can't be made, or holds anything.
    """
    try:
        is_new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise StoreError(f"{directory} is not empty: name a new folder for the checkpoint")
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"{directory} can't take a checkpoint: it is a file, or in one") from None
    except OSError as error:
        raise StoreError(f"{directory} can't take a checkpoint: {error.strerror}") from None
    return is_new


def _remove(directory: Path, *, is_new: bool) -> None:
    """Remove what was made of a checkpoint."""
    if is_new:
        shutil.rmtree(directory, ignore_errors=True)
        return
    shutil.rmtree(directory / _STORE, ignore_errors=True)
    (directory / _NOTE).unlink(missing_ok=True)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _write(path: Path, text: bytes) -> None:
    """Write a file durably."""
    with path.open("xb") as file:
        file.write(text + b"\n")
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
