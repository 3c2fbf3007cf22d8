"""The client of the master's HTTP API: what ``spyder seed``, ``status``, ``stop`` and their like call."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from spyder.errors import ApiError, SettingsError
from spyder.settings import Settings

#: Seconds to wait for a connection, and for the master's answer.
_TIMEOUT = (5.0, 30.0)
#: Seconds to wait for an answer that takes as long as the frontier is large.
_LONG = 3600.0
#: Seconds between looks whether a master has ended.
_LOOK = 0.1
#: Seconds that a master may take to end after it serves no longer.
_LAST_WORDS = 10.0


class NoMasterError(ApiError):
    """Nobody listens there."""


class MasterClient:
    """Calls one master."""

    def __init__(self, url: str, *, token: str = "") -> None:
        self._url = url.rstrip("/")
        self.kept: Path | None = None  #: the file that named it; it is gone when the master has ended
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy for the web has no business with our master
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def status(self) -> dict[str, Any]:
        """The master's figures."""
        return self._call("GET", "/api/status")

    def explain(self, text: str) -> dict[str, Any]:
        """What the master knows of a URL or a host. Raises :class:`ApiError` when it knows no such host."""
        return self._call("GET", f"/api/explain?of={quote(text, safe='')}")

    def add_seeds(self, urls: Iterable[str]) -> dict[str, Any]:
        """Add seeds; durable when this returns."""
        return self._call("POST", "/api/seeds", {"urls": list(urls)})

    def stop(self) -> dict[str, Any]:
        """Ask the master to end in good order."""
        return self._call("POST", "/api/stop", {})

    def checkpoint(self, directory: Path) -> dict[str, Any]:
        """Copy the state of the crawl to *directory*, an absolute path on the master's host."""
        return self._call("POST", "/api/checkpoint", {"directory": str(directory)}, patience=_LONG)

    def requeue(self, *, urls: Iterable[str], states: Iterable[str], host: str, reason: str) -> dict[str, Any]:
        """Queue settled URIs again; durable when this returns."""
        return self._call("POST", "/api/requeue", {"urls": list(urls), "states": list(states), "host": host,
                                                   "reason": reason}, patience=_LONG)

    def scope(self) -> dict[str, Any]:
        """The rules of the scope."""
        return self._call("GET", "/api/scope")

    def edit_scope(self, rules: list[Any] | None, *, version: int | None = None) -> dict[str, Any]:
        """Replace the rules of the scope, None: by those of the settings; durable when this returns."""
        return self._call("PUT", "/api/scope", {"rules": rules, "version": version})

    def judge(self, urls: Iterable[str], *, depth: int, embeds: int) -> list[dict[str, Any]]:
        """What the rules say of links to *urls*."""
        verdicts: list[dict[str, Any]] = self._call("POST", "/api/scope/test", {
            "urls": list(urls), "depth": depth, "embeds": embeds})["verdicts"]
        return verdicts

    def _call(self, method: str, path: str, body: Any = None, *, patience: float = _TIMEOUT[1]) -> dict[str, Any]:
        try:
            answer = self._session.request(method, self._url + path, json=body, timeout=(_TIMEOUT[0], patience))
            content = answer.json()
        except requests.ConnectionError:
            raise NoMasterError(
                f"no master answers at {self._url}: is it running, and is `api.port` the same?") from None
        except requests.ReadTimeout:
            raise ApiError(f"the master at {self._url} does not answer within {patience:g} s") from None
        except (requests.RequestException, UnicodeError) as error:
            raise ApiError(f"what is at {self._url} does not answer as a master does: {error}") from None
        if not isinstance(content, dict):
            raise ApiError(f"what is at {self._url} does not answer as a master does")
        if answer.status_code == requests.codes.not_found and "error" in content:
            raise ApiError(str(content["error"]))
        if answer.status_code != requests.codes.ok:
            raise ApiError(f"the master at {self._url} refuses: {content.get('error', answer.status_code)}")
        result: dict[str, Any] = content
        return result


def find_master(settings: Settings, *, needs_file: bool = False) -> MasterClient:
    """The master of these settings: by ``run/api.json`` in the crawl directory, or by ``api.address`` and ``port``.

    Raises :class:`NoMasterError` when *needs_file* and no master has written that file.
    """
    path: Path | None = Path(settings.crawl_directory) / "run" / "api.json"
    assert path is not None
    address, port = settings.api.address, settings.api.port
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        address, port = str(kept["address"]), int(kept["port"])
    except (OSError, ValueError, KeyError, TypeError):
        if needs_file:
            raise NoMasterError(f"no master runs in {settings.crawl_directory}: there is no {path}") from None
        path = None  # no crawl runs in that directory: the settings say where the master is
    host = f"[{address}]" if ":" in address else address
    client = MasterClient(f"http://{host}:{port}", token=settings.api.token)
    client.kept = path
    return client


def wait_until_ended(client: MasterClient, figures: dict[str, Any]) -> dict[str, Any]:
    """Wait until the master, told to stop, has ended; returns its last *figures*."""
    try:
        while True:
            figures = client.status()
            time.sleep(_LOOK)
    except NoMasterError:
        pass
    end = time.monotonic() + _LAST_WORDS
    while client.kept is not None and client.kept.exists() and time.monotonic() < end:
        time.sleep(_LOOK)
    return figures


def read_seeds(name: str) -> list[str]:
    """The seeds in the file *name*, or in standard input for ``-``: one a line, without blank lines and ``#`` comments.

    Raises :class:`SettingsError` when it can't be read.
    """
    try:
        text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        lines = [line.strip() for line in text.decode("utf-8-sig").splitlines()]
    except OSError as error:
        raise SettingsError(f"{name}: can't be read as a list of seeds: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name}: can't be read as a list of seeds: it is not UTF-8 text") from None
    return [line for line in lines if line and not line.startswith("#")]
