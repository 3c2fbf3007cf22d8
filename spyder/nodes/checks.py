"""What is refused before anything starts, and what is cleared for a fresh start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from spyder import plugins
from spyder.errors import SettingsError, StoreError, StoreInUseError
from spyder.extract.registry import Extractors
from spyder.nodes import processors
from spyder.scope.rules import LinkScope
from spyder.settings import Settings, check_api_address

#: What a crawl directory holds; ``--fresh`` removes nothing else.
_PARTS = ("frontier", "pages", "outbox", "logs", "run")
#: Heartbeats that a worker that makes no progress is given at the least.
_BEATS = 3


def check(settings: Settings, *, has_workers: bool = True) -> None:
    """Refuse settings that name what isn't there, before anything is started; make the crawl directory.

    Processors are built only where workers are to run (*has_workers*). Raises :class:`SettingsError` or
    :class:`spyder.errors.PluginError`, in one line.
    """
    LinkScope(settings.scope)
    plugins.find("canonical", settings.frontier.canonical)
    plugins.find("assignment", settings.frontier.assignment)
    if has_workers:
        _check_limits(settings)
        processors.build(settings.processors)
        Extractors(settings)
    if "\n" in settings.fetch.user_agent:
        raise SettingsError("`fetch.user_agent` must be one line")
    check_api_address(settings.api)
    for key in ("mgmt_master", "mgmt_worker", "outcomes", "logging"):
        _check_bus_address(key, getattr(settings.bus, key))


def _check_limits(settings: Settings) -> None:
    """Refuse limits of a worker that another one makes senseless: it would be killed for what it may do."""
    worker, heartbeat = settings.worker, settings.bus.heartbeat
    if worker.hang_timeout < _BEATS * heartbeat:
        raise SettingsError(f"`worker.hang_timeout` ({worker.hang_timeout:g} s) must be {_BEATS} times `bus.heartbeat` "
                            f"({heartbeat:g} s) at the least: a fetcher shows its progress once a heartbeat")
    if settings.extract.max_parse_time >= worker.hang_timeout:
        raise SettingsError(f"`extract.max_parse_time` ({settings.extract.max_parse_time:g} s) must be less than "
                            f"`worker.hang_timeout` ({worker.hang_timeout:g} s), or 0 for none")
    for index, processor in enumerate(settings.processors):
        if processor.timeout >= worker.hang_timeout:
            raise SettingsError(f"`processors[{index}].timeout` of {processor.use} ({processor.timeout:g} s) must be "
                                f"less than `worker.hang_timeout` ({worker.hang_timeout:g} s), or 0 for none")
    if worker.memory_soft is not None and worker.memory_hard is not None and worker.memory_soft >= worker.memory_hard:
        raise SettingsError(f"`worker.memory_soft` ({worker.memory_soft}) must be less than `worker.memory_hard` "
                            f"({worker.memory_hard})")


def _check_bus_address(key: str, address: str) -> None:
    scheme, separator, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    is_good = (scheme == "ipc" and bool(rest)) or (
        scheme == "tcp" and bool(host) and port.isdigit() and 0 < int(port) < 65536)
    if not separator or not is_good:
        raise SettingsError(f"`bus.{key}` is {address!r}: expected tcp://host:port, as tcp://127.0.0.1:7701, "
                            "or ipc:///path")


def make_directory(path: Path, key: str) -> None:
    """Make the folder *path* that the setting *key* names.

    Raises :class:`SettingsError` when nothing can be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise SettingsError(f"{path} (`{key}`) is a file: name a folder") from None
    except NotADirectoryError:
        raise SettingsError(f"{path} (`{key}`) can't be made: a part of it is a file") from None
    except OSError as error:
        raise SettingsError(f"{path} (`{key}`) can't be made: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise SettingsError(f"{path} (`{key}`) can't be written: permission denied")


def clear(settings: Settings) -> None:
    """Remove what an earlier crawl left in the crawl directory, unless it is in use.

    Raises :class:`spyder.errors.StoreError` when a master runs on it.
    """
    if settings.frontier_directory.exists() and settings.frontier.store != "memory":
        try:
            plugins.find("store", settings.frontier.store).open(settings.frontier_directory, cache=1 << 20).close()
        except StoreInUseError:
            raise
        except StoreError:
            pass  # damaged or of another version: that is what --fresh is for
    for part in _PARTS:
        shutil.rmtree(settings.crawl_directory / part, ignore_errors=True)
    if settings.frontier.directory:
        shutil.rmtree(settings.frontier_directory, ignore_errors=True)
