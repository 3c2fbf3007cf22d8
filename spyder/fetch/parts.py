"""The parts of a fetch URL that decide what is sent along: scheme, host, port; and what settings say about hosts."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from spyder.errors import SettingsError, UrlError
from spyder.model.url import parse

_PORTS = {"http": 80, "https": 443}


class UrlParts(NamedTuple):
    """Where a fetch URL leads to."""

    scheme: str
    host: str  #: without port; an IPv6 address without its brackets
    port: int
    path: str  #: path and query as in the URL, beginning with a slash
    userinfo: str  #: as in the URL, percent-encoded; empty when there is none

    @property
    def is_secure(self) -> bool:
        """True when what is sent can't be read on the way."""
        return self.scheme == "https"


def parts_of(url: str) -> UrlParts:
    """The parts of *url*, an http(s) URL in its WHATWG form. Raises :class:`ValueError` for a port that is none."""
    scheme, _, rest = url.partition("://")
    end = next((index for index, char in enumerate(rest) if char in "/?#"), len(rest))
    authority, path = rest[:end], rest[end:].partition("#")[0]
    userinfo, _, place = authority.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        host, port = place, ""
    return UrlParts(scheme, host.removeprefix("[").removesuffix("]"), int(port) if port else _PORTS.get(scheme, 0),
                  path if path.startswith("/") else f"/{path}", userinfo)


def without_userinfo(url: str) -> str:
    """*url* without user and password."""
    scheme, separator, rest = url.partition("://")
    end = next((index for index, char in enumerate(rest) if char in "/?#"), len(rest))
    return f"{scheme}{separator}{rest[:end].rpartition('@')[2]}{rest[end:]}"


def user_and_password(userinfo: str) -> tuple[str, str]:
    """What *userinfo* of a URL means, percent-encoding undone."""
    user, _, password = userinfo.partition(":")
    return unquote_to_bytes(user).decode("utf-8", "replace"), unquote_to_bytes(password).decode("utf-8", "replace")


class HostPattern:
    """What a setting names by ``example.org``, ``example.org:8080``, or ``https://example.org``.

    Without a port it is the scheme's default, without a scheme either one. Raises :class:`SettingsError`, naming
    *key*, when *text* is none of these.
    """

    __slots__ = ("_host", "_port", "_scheme")

    def __init__(self, text: str, key: str) -> None:
        scheme, separator, _ = text.rpartition("://")
        try:
            if scheme not in {"", "http", "https"}:
                raise UrlError(text)
            url = parse(text if separator else f"http://{text}")
            parts = parts_of(url.href)
        except (UrlError, ValueError):
            raise _no_host(text, key) from None
        if not parts.host or "*" in parts.host or parts.path != "/" or parts.userinfo:
            raise _no_host(text, key)
        self._scheme = scheme
        self._host = parts.host
        # a port that is the default of the scheme that stands for none is not to be seen in the parsed URL
        has_port = separator or text.rstrip("/").rpartition("]")[2].rpartition(":")[1]
        self._port = parts.port if has_port else 0

    @property
    def host(self) -> str:
        """The name or address, as :class:`UrlParts` has it."""
        return self._host

    def matches(self, parts: UrlParts) -> bool:
        """True when *parts* are of what is meant."""
        return (self._host == parts.host and self._scheme in {"", parts.scheme}
                and parts.port == (self._port or _PORTS.get(parts.scheme, 0)))


def _no_host(text: str, key: str) -> SettingsError:
    return SettingsError(f"`{key}` {text!r} is no host: expected example.org, example.org:8080 or https://example.org")
