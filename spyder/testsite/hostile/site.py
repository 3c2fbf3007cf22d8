"""The hostile site as a test has it: its process, its URLs, what it saw, and settings for a crawl of it."""

from __future__ import annotations

import copy
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from spyder.testsite.hostile import catalogue
from spyder.testsite.hostile.behaviour import Behaviour, filled
from spyder.testsite.hostile.verdict import Ending, complaints

#: Seconds that the server may take to end before it is ended.
_PATIENCE = 5.0

#: Small limits, so that every behaviour comes to its end within seconds; the table of ends holds under these.
_SETTINGS: dict[str, dict[str, Any]] = {
    "scope": {"mode": "any", "depth": 8, "max_links": 60},
    "traps": {"host_uris": 140, "path_queries": 50, "session_variants": 20},
    "politeness": {"delay": 0.0, "delay_factor": 0.0, "ip_delay": 0.0, "per_host": 1, "backoff": 0.1,
                   "max_backoff": 0.4, "max_retry_after": 1.0, "slowdown": 0.1, "max_slowdown": 0.2,
                   "park_after": 2, "park_delay": 0.3, "park_factor": 1.0, "max_park_delay": 0.5, "park_looks": 1},
    "retry": {"attempts": {"connect": 1, "timeout": 1, "reset": 1, "http-429": 1, "http-5xx": 2},
              "delay": {"connect": 0.1, "timeout": 0.1, "reset": 0.1, "http-429": 0.1, "http-5xx": 0.1},
              "factor": 1.0, "max_delay": 1.0},
    "fetch": {"connect_timeout": 4.0, "first_byte_timeout": 4.0, "timeout": 8.0, "min_speed": 100,
              "min_speed_time": 3, "max_wire_size": 4_194_304, "max_body_size": 4_194_304, "max_header_size": 65_536,
              "max_header_count": 200, "max_redirects": 5, "connections": 64},
}


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is told first."""

    names: tuple[str, ...]  #: of the behaviours
    folder: str  #: for certificates


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is asked: what it has seen."""


class HostileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request that the server read."""

    name: str  #: of the behaviour
    path: str  #: with the query; empty for one of HTTP/2, which this server can't read
    at: float  #: seconds of the machine's monotonic clock


class HostileReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the server has seen so far."""

    requests: tuple[HostileRequest, ...] = ()
    trespasses: tuple[str, ...] = ()  #: connections to addresses that were not allowed, with what was said there
    mistakes: tuple[str, ...] = ()  #: of the server itself: there should be none


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says."""

    port: int = 0
    doors: dict[str, int] = {}  #: ports of doors, by behaviour
    report: HostileReport | None = None
    error: str = ""


class HostileSite:
    """Hosts on loopback that misbehave, one for each behaviour, with good pages beside each.

    ::

        with HostileSite() as site:
            crawl(site.seeds, settings=site.settings())
            assert site.complaints(endings) == []

    *wanted* are names of behaviours or of groups; all of them when there are none. TLS and HTTP/2 need the command
    ``openssl``. The table of behaviours and of how each must end is ``docs/hostile.md``, and
    :attr:`behaviours` has the same as records. Linux only, where all of 127.0.0.0/8 is loopback.
    """

    def __init__(self, wanted: Iterable[str] = ()) -> None:
        self.behaviours: tuple[Behaviour, ...] = catalogue.chosen(wanted)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._port = 0
        self._doors: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Start the server. Raises :class:`OSError` when it can't listen, or can't make its certificates."""
        self._folder = tempfile.TemporaryDirectory(prefix="spyder-hostile-")
        self._process = subprocess.Popen([sys.executable, "-m", "spyder.testsite.hostile.server"],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            answer = self._ask(Start(names=tuple(one.name for one in self.behaviours), folder=self._folder.name))
        except BaseException:
            self.close()
            raise
        self._port, self._doors = answer.port, answer.doors
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """End the server."""
        self.close()

    def close(self) -> None:
        """End the server, if it runs, and remove its certificates."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def seeds(self) -> tuple[str, ...]:
        """A page on each host that links to what is bad and to good pages."""
        return tuple(f"{self.places(one)['here']}/" for one in self.behaviours)

    @property
    def ca_file(self) -> str:
        """File of the authority that signed the good certificates: what a client must trust."""
        assert self._folder is not None, "the site is not being served"
        return str(Path(self._folder.name) / "authority.pem")

    def settings(self) -> dict[str, dict[str, Any]]:
        """Settings of a crawl of this site: limits under which the table holds, and what its addresses need."""
        settings = copy.deepcopy(_SETTINGS)
        settings["guard"] = {"allow_private": [catalogue.NETWORK]}
        settings["dns"] = {"hosts": dict.fromkeys(catalogue.CANARY_NAMES, catalogue.CANARY)}
        if any(one.door is not None and one.door.certificate for one in self.behaviours):
            settings["fetch"]["ca_file"] = self.ca_file
        return settings

    def places(self, behaviour: Behaviour) -> Mapping[str, str]:
        """Origins by the names that stand for them in the behaviour's URLs, ``here`` above all."""
        return catalogue.places(behaviour, port=self._port, door=self._doors.get(behaviour.name, 0))

    def url(self, name: str) -> str:
        """The URL where the behaviour *name* is met. Raises :class:`KeyError` when there is none."""
        behaviour = {one.name: one for one in self.behaviours}[name]
        places = self.places(behaviour)
        return filled(behaviour.path if "{" in behaviour.path else "{here}" + behaviour.path, places)

    def good_pages(self) -> set[str]:
        """The URLs of all good pages that a crawl must reach in spite of what stands beside them."""
        return {f"{self.places(one)['here']}/good/{number}" for one in self.behaviours if one.has_good
                for number in (1, 2, 3)}

    def report(self) -> HostileReport:
        """What the server has seen so far."""
        report = self._ask(Question()).report
        assert report is not None
        return report

    def complaints(self, endings: Mapping[str, Ending]) -> list[str]:
        """What *endings*, by URL, and the server's own log have against the table: nothing when all is well."""
        report = self.report()
        requests: dict[str, list[tuple[str, float]]] = {}
        for request in report.requests:
            requests.setdefault(request.name, []).append((request.path, request.at))
        found = [line for one in self.behaviours
                 for line in complaints(one, self.places(one), endings, requests.get(one.name, []))]
        return [*found, *(f"forbidden address: {line}" for line in report.trespasses),
                *(f"mistake of the server: {line}" for line in report.mistakes)]

    def _ask(self, message: Start | Question) -> Answer:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(msgspec.json.encode(message) + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        answer = msgspec.json.decode(line, type=Answer) if line else Answer(error="its server died")
        if answer.error:
            raise OSError(f"no hostile site: {answer.error}")
        return answer
