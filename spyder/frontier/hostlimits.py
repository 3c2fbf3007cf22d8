"""Limits against hosts that go on for ever: how much of one host, one path and one page is taken in.

They are the master's, which alone sees all URIs of a host. The counts of paths are kept in bounded memory and not
stored: what is forgotten only makes the limits more lenient.
"""

from __future__ import annotations

import logging
from typing import Final

from spyder.model.records import HostRow
from spyder.model.sessions import may_have_session, without_sessions
from spyder.model.url import host_of
from spyder.settings import TrapsSection

_log = logging.getLogger(__name__)

#: Hosts whose limit is told in the log; it goes on counting for the others.
_TOLD: Final = 1000
#: Paths whose queries are counted, at the most: about 10 MB.
_REMEMBERED: Final = 100_000
#: Parameters from which on queries count as permutations: `?f=2&t=123` is how many a forum names its pages.
_MANY_PARAMETERS: Final = 3


class HostLimits:
    """Asked before a URI is taken in, and after each page."""

    def __init__(self, settings: TrapsSection) -> None:
        self._settings = settings
        self._counts = _Counts(_REMEMBERED)
        self._told: set[bytes] = set()

    def take_in(self, row: HostRow | None, href: str) -> str:
        """The limit that keeps a new URI out; empty when none does, and then it counts.

        *row* is that of its host, None for a host that is new as well.
        """
        section = self._settings
        if row is not None and section.host_uris is not None and row.known >= section.host_uris:
            self._tell(row)
            return "host-uris"
        wanted: list[str] = []
        if section.path_queries is not None and href.count("&") >= _MANY_PARAMETERS - 1:
            path, separator, query = href.partition("?")
            if separator and query.count("&") >= _MANY_PARAMETERS - 1:
                path = without_sessions(path) if may_have_session(path) else path
                if self._counts.get(path) >= section.path_queries:
                    return "path-queries"
                wanted.append(path)
        if section.session_variants is not None and ("=" in href or "(" in href) and may_have_session(href):
            shape = without_sessions(href)
            if shape != href:
                if self._counts.get(shape) >= section.session_variants:
                    return "session-variants"
                wanted.append(shape)
        for text in wanted:
            self._counts.add(text)
        return ""

    def _tell(self, row: HostRow) -> None:
        """Say once of a host that it is cut off: nobody should wonder where its other pages are."""
        if row.key not in self._told and len(self._told) < _TOLD:
            self._told.add(row.key)
            _log.warning("%s has %d URIs, as many as traps.host_uris allows: no more of it are taken in", row.name,
                         row.known)

    def note_page(self, row: HostRow, *, is_repeat: bool) -> bool:
        """Take note of a page that was read; True when its links are to be followed.

        Once ``traps.max_repeats`` pages of a host in a row were near-duplicates of others of it, those that go on
        being such are not followed, until one is not.
        """
        row.repeats = row.repeats + 1 if is_repeat else 0
        return self._settings.max_repeats is None or row.repeats <= self._settings.max_repeats

    def words(self, rule: str, href: str) -> str:
        """Why the limit *rule* keeps *href* out, in words and with the setting's name."""
        section = self._settings
        match rule:
            case "host-uris":
                return f"its host {host_of(href)} has as many URIs as traps.host_uris allows ({section.host_uris:,})"
            case "path-queries":
                return (f"its path has as many queries of {_MANY_PARAMETERS} or more parameters as traps.path_queries "
                        f"allows ({section.path_queries:,})")
            case "session-variants":
                return ("as many URLs as traps.session_variants allows differ from it in nothing but a session id "
                        f"({section.session_variants:,})")
            case _:
                return f"its host has more near-duplicates in a row than traps.max_repeats ({section.max_repeats})"


class _Counts:
    """Counts by text, exact and bounded: two generations, of which the older one is dropped whole."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}

    def get(self, text: str) -> int:
        """The count of *text*."""
        key = hash(text)  # 64 bits, and other ones in each process: nothing of it is stored
        return self._young.get(key) or self._old.get(key, 0)

    def add(self, text: str) -> None:
        """Count *text* once more."""
        key = hash(text)
        self._young[key] = 1 + (self._young.get(key) or self._old.get(key, 0))
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
