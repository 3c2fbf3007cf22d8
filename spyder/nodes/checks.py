"""What is refused before anything starts, and what is cleared for a fresh start."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from spyder import plugins
from spyder.errors import SettingsError, StoreError, StoreInUseError, UrlError
from spyder.extract.registry import Extractors
from spyder.fetch import dns
from spyder.fetch.extras import Extras
from spyder.fetch.guard import Guard
from spyder.model.clock import SystemClock
from spyder.model.robots import product_token
from spyder.model.url import parse_seed
from spyder.nodes import processors
from spyder.nodes.identity import uri_identity
from spyder.scope.rules import LinkScope, read_lists
from spyder.settings import FetchSection, Settings, check_api_address

_CONTACT = re.compile(r"https?://[^\s()<>\"/]+[^\s()<>\"]*|[^\s()<>\"@,;:]+@[^\s()<>\"@,;:]+")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")

#: What a crawl directory holds; ``--fresh`` removes nothing else.
_PARTS = ("frontier", "pages", "outbox", "logs", "run")
#: Heartbeats that a worker that makes no progress is given at the least.
_BEATS = 3


def check(settings: Settings, *, has_workers: bool = True) -> None:
    """Refuse settings that name what isn't there, before anything is started; make the crawl directory.

    Processors are built only where workers are to run (*has_workers*). Raises :class:`SettingsError` or
    :class:`spyder.errors.PluginError`, in one line.
    """
    LinkScope(settings.scope, settings.traps, lists=read_lists(settings.scope.rules))
    uri_identity(settings.frontier)
    if has_workers:
        _check_limits(settings)
        processors.build(settings.processors)
        Extractors(settings)
        Extras(settings.fetch, clock=SystemClock())
    _check_identity(settings)
    Guard(settings.guard)
    dns.check_settings(settings.dns)
    if "\n" in settings.fetch.user_agent:
        raise SettingsError("`fetch.user_agent` must be one line")
    check_api_address(settings.api)
    for key in ("mgmt_master", "mgmt_worker", "outcomes", "logging"):
        _check_bus_address(key, getattr(settings.bus, key))


def check_contact(contact: str) -> None:
    """Refuse what is no way to reach a person; empty is good. Raises :class:`SettingsError`."""
    if contact and not (contact.isascii() and contact.isprintable() and _CONTACT.fullmatch(contact)):
        raise SettingsError(f"`fetch.contact` is {contact!r}: expected a URL, as https://example.org/our-crawler, "
                            "or an e-mail address")


def _check_identity(settings: Settings) -> None:
    """Refuse names that servers could not read or robots.txt files not call."""
    check_contact(settings.fetch.contact)
    user_agent = settings.fetch.user_agent
    if not (user_agent.isascii() and user_agent.isprintable()):
        raise SettingsError(f"`fetch.user_agent` is {user_agent!r}: it must be one line of ASCII characters")
    if user_agent and not product_token(user_agent):
        raise SettingsError(f"`fetch.user_agent` is {user_agent!r}: it must begin with a name by which robots.txt "
                            "files can call it, as in `Example/1.0 (+https://example.org/our-crawler)`")
    if settings.robots.agent and not _TOKEN.fullmatch(settings.robots.agent):
        raise SettingsError(f"`robots.agent` is {settings.robots.agent!r}: expected a name of letters, digits, - and _")


def has_contact(settings: FetchSection) -> bool:
    """True when servers are told where to complain: by ``contact``, or in a user agent of one's own."""
    return bool(settings.contact) or "://" in settings.user_agent or "@" in settings.user_agent


def is_anonymous(settings: Settings, seeds: Iterable[str]) -> bool:
    """True when a crawl from *seeds* goes beyond this host, and servers are not told whom to write to."""
    return not has_contact(settings.fetch) and not all(map(_is_here, seeds))


def _is_here(seed: str) -> bool:
    """True when *seed* is on this host's loopback, or nowhere."""
    try:
        name = parse_seed(seed).hostname
    except UrlError:
        return True
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


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
