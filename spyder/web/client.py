"""The client of the master's HTTP API: what ``spyder seed``, ``status`` and ``stop`` call."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests

from spyder.errors import ApiError
from spyder.settings import Settings

#: Seconds to wait for the master's answer.
_TIMEOUT = 30.0


class MasterClient:
    """Calls one master."""

    def __init__(self, url: str, *, token: str = "") -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy for the web has no business with our master
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def status(self) -> dict[str, Any]:
        """The master's figures."""
        return self._call("GET", "/api/status")

    def add_seeds(self, urls: Iterable[str]) -> dict[str, Any]:
        """Add seeds; durable when this returns."""
        return self._call("POST", "/api/seeds", {"urls": list(urls)})

    def stop(self) -> dict[str, Any]:
        """Ask the master to end in good order."""
        return self._call("POST", "/api/stop", {})

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        try:
            answer = self._session.request(method, self._url + path, json=body, timeout=_TIMEOUT)
            content = answer.json()
        except requests.ConnectionError:
            raise ApiError(f"no master answers at {self._url}: is it running, and is `api.port` the same?") from None
        except requests.RequestException as error:
            raise ApiError(f"the master at {self._url} does not answer as it should: {error}") from None
        if answer.status_code != requests.codes.ok:
            raise ApiError(f"the master at {self._url} refuses: {content.get('error', answer.status_code)}")
        result: dict[str, Any] = content
        return result


def find_master(settings: Settings) -> MasterClient:
    """The master of these settings: by ``run/api.json`` in the crawl directory, or by ``api.address`` and ``port``."""
    path = Path(settings.crawl_directory) / "run" / "api.json"
    address, port = settings.api.address, settings.api.port
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        address, port = str(kept["address"]), int(kept["port"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no crawl runs in that directory: the settings say where the master is
    host = f"[{address}]" if ":" in address else address
    return MasterClient(f"http://{host}:{port}", token=settings.api.token)
