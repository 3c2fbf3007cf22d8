"""Which proxy a fetch goes through, and which ones rest because they don't work: decisions only, no socket."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from spyder.errors import SettingsError, UrlError
from spyder.fetch.auth import expand
from spyder.fetch.parts import UrlParts, parts_of, user_and_password
from spyder.model.url import parse

_log = logging.getLogger(__name__)

#: Schemes of proxies and their usual ports.
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


_MAX_DOUBTS = 5  #: fetches in a row without an answer after which a proxy rests


class Proxy(msgspec.Struct, kw_only=True, eq=False):
    """One proxy, and how it did."""

    url: str  #: scheme, host and port, without credentials: as logs and figures show it
    user: str = ""
    password: str = ""
    errors: int = 0  #: in a row
    rests_until: float = 0.0  #: monotonic, seconds
    fetches: int = 0  #: that went through it and got an answer
    failures: int = 0  #: that it failed
    doubts: int = 0  #: fetches in a row that brought nothing, by whose fault is not known

    @property
    def is_socks(self) -> bool:
        """True when it forwards connections and reads no HTTP."""
        return self.url.startswith("socks")

    @property
    def resolves(self) -> bool:
        """True when it looks names up itself, so that nobody here knows where a connection leads."""
        return not self.url.startswith("socks5:")


class ProxyPool:
    """The proxies of ``fetch.proxies``. Raises :class:`SettingsError` for entries that can't be used.

    *rotation* ``host``: a host stays with one proxy as long as that works (rendezvous hashing, so that a proxy that
    rests moves no host but its own); ``fetch``: each fetch takes the next one. A proxy that fails rests for *rest*
    seconds, doubled for each failure in a row, *max_rest* at the most; then one fetch tries it again.
    """

    def __init__(self, urls: Sequence[str], *, no_proxy: Sequence[str], rotation: Literal["host", "fetch"],
                 rest: float, max_rest: float, environ: Mapping[str, str]) -> None:
        self._proxies = [_read(url, index, environ) for index, url in enumerate(urls)]
        self._direct = Direct(no_proxy)
        self._is_sticky = rotation == "host"
        self._rest = rest
        self._max_rest = max_rest
        self._next = 0

    def __len__(self) -> int:
        return len(self._proxies)

    @property
    def proxies(self) -> Sequence[Proxy]:
        """All of them, in the order of the settings."""
        return self._proxies

    def is_direct(self, target: UrlParts) -> bool:
        """True when *target* is fetched without a proxy."""
        return not self._proxies or self._direct.matches(target.host)

    def pick(self, target: UrlParts, now: float, *, but: Collection[Proxy] = ()) -> Proxy | None:
        """A proxy that works as far as known at *now* (monotonic, seconds), none of *but*; None when all rest."""
        able = [proxy for proxy in self._proxies if proxy.rests_until <= now and proxy not in but]
        if not able:
            return None
        if self._is_sticky:
            return max(able, key=lambda proxy: _weight(target.host, proxy.url))
        self._next += 1
        return able[self._next % len(able)]

    def worked(self, proxy: Proxy) -> None:
        """*proxy* brought an answer."""
        proxy.fetches += 1
        proxy.doubts = 0
        if proxy.errors:
            _log.info("proxy %s works again", proxy.url)
            proxy.errors, proxy.rests_until = 0, 0.0

    def failed(self, proxy: Proxy, reason: str, now: float) -> None:
        """*proxy* failed by itself: it rests from *now* on, and is tried by one fetch afterwards."""
        proxy.failures += 1
        proxy.doubts = 0
        if proxy.rests_until > now:  # of several fetches at once that it failed, the first counts
            return
        proxy.errors += 1
        rest = min(self._rest * 2.0 ** min(proxy.errors - 1, 30), max(self._max_rest, self._rest))
        proxy.rests_until = now + rest
        _log.warning("proxy %s rests for %g s: %s", proxy.url, rest, reason)


    def tell(self) -> None:
        """Log what each proxy did."""
        for proxy in self._proxies:
            _log.info("proxy %s: %d fetches, %d failures", proxy.url, proxy.fetches, proxy.failures)

    def doubted(self, proxy: Proxy, reason: str, now: float) -> None:
        """No answer came through *proxy*, which may be the server's fault: too many in a row are the proxy's."""
        proxy.doubts += 1
        if proxy.doubts >= _MAX_DOUBTS:
            self.failed(proxy, f"{_MAX_DOUBTS} fetches without an answer, the last one: {reason}", now)


class Direct:
    """What ``fetch.no_proxy`` names. Raises :class:`SettingsError` for what is neither host nor network."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._names: set[str] = set()
        self._domains: list[str] = []
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._is_all = False
        for entry in entries:
            self._add(entry.strip().lower())

    def matches(self, host: str) -> bool:
        """True when *host*, a name or an address, is named."""
        if self._is_all or host in self._names or any(
                host == domain[1:] or host.endswith(domain) for domain in self._domains):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def _add(self, entry: str) -> None:
        if entry == "*":
            self._is_all = True
            return
        try:
            self._networks.append(ipaddress.ip_network(entry.removeprefix("[").removesuffix("]"), strict=False))
            return
        except ValueError:
            pass
        name = entry.removeprefix("*").removeprefix(".")
        try:
            host = parse(f"http://{name}").hostname
        except UrlError:
            host = ""
        if not host or "/" in name or ":" in name:
            raise SettingsError(f"`fetch.no_proxy` {entry!r}: expected a host, .domain, or a network as 10.0.0.0/8")
        if name == entry:
            self._names.add(host)
        else:
            self._domains.append(f".{host}")


def _read(text: str, index: int, environ: Mapping[str, str]) -> Proxy:
    """The proxy that *text* names; a password ``${NAME}`` is taken from the environment."""
    key = f"fetch.proxies[{index}]"
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower()
    userinfo, _, place = rest.rpartition("@")
    try:
        if not separator or scheme not in _PORTS:
            raise UrlError(scheme)
        target = parts_of(parse(f"http://{place}").href)
    except (UrlError, ValueError):
        target = None
    if target is None or not target.host or target.path != "/":  # the text isn't shown: it may hold a password
        raise SettingsError(f"`{key}` is no proxy: expected http://host:port, https://, socks5:// or socks5h://, "
                            "with user:password@ if need be")
    has_port = place.rstrip("/").rpartition("]")[2].rpartition(":")[1]
    host = f"[{target.host}]" if ":" in target.host else target.host
    user, colon, password = userinfo.partition(":")
    if colon and password.startswith("${"):
        password = expand(password, key, environ)
        user, _ = user_and_password(user)
    else:
        user, password = user_and_password(userinfo)
    return Proxy(url=f"{scheme}://{host}:{target.port if has_port else _PORTS[scheme]}", user=user, password=password)


def _weight(host: str, proxy: str) -> bytes:
    return hashlib.blake2b(f"{host} {proxy}".encode(), digest_size=8).digest()
