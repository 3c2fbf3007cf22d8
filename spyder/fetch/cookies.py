"""Cookies by draft-ietf-httpbis-rfc6265bis-20, in memory, bounded, and never sent where they don't belong.

Left aside is what needs a page that people look at: SameSite and HttpOnly mean nothing to a client that runs no scripts
and has no "other site" from which a request could come.
"""

from __future__ import annotations

import re
from calendar import monthrange, timegm
from collections.abc import Iterable
from typing import Literal

import msgspec

from spyder.fetch.parts import UrlParts
from spyder.model.domain import is_public_suffix, registered_domain

_MAX_ATTRIBUTE = 1024  #: octets of an attribute's value (section 5.6)
_MAX_AGE = 400 * 86_400.0  #: seconds that a cookie lives at the most (section 5.5)
_MAX_FIELD = 8_190  #: octets of the field that is sent: what common servers take in one line
_NEVER = float("inf")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OWS = " \t"
_IP = re.compile(r"[0-9.]+|.*:.*")  # addresses in their WHATWG form

# section 5.1.1: what a date is made of
_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D|$)")
_DAY = re.compile(r"(\d{1,2})(?:\D|$)")
_YEAR = re.compile(r"(\d{2,4})(?:\D|$)")
_MONTHS = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)}


class _Cookie(msgspec.Struct, kw_only=True):
    """One cookie as it is kept (section 5.7)."""

    name: str
    value: str
    domain: str
    path: str
    is_host_only: bool
    is_secure: bool
    expires: float  #: wall time, seconds
    created: int  #: number, in the order in which they came
    used: int  #: the same for the last time that it was set or sent


class CookieJar:
    """The cookies of one worker.

    *mode* ``host``: each host has cookies of its own, and none goes to another host, whatever their Domain says.
    ``project``: as browsers do, over all hosts of the project. At most *max_cookies* are kept per host (by ``project``
    per registered domain), *max_all* in all, and none with more than *max_size* octets of name and value.
    """

    def __init__(self, mode: Literal["host", "project"], *, max_cookies: int, max_all: int, max_size: int) -> None:
        self._is_shared = mode == "project"
        self._max_cookies = max_cookies
        self._max_all = max_all
        self._max_size = max_size
        self._sites: dict[str, dict[tuple[str, str, str], _Cookie]] = {}  # the one used last at the end
        self._count = 0
        self._clock = 0

    def __len__(self) -> int:
        return self._count

    def field(self, target: UrlParts, now: float) -> str:
        """The value of the Cookie field for a request to *target* at *now* (wall time, seconds); empty when none."""
        site = self._sites.get(self._site_of(target.host))
        if not site:
            return ""
        path = target.path.partition("?")[0]
        found = [cookie for cookie in site.values() if cookie.expires > now and _is_for(cookie, target, path)]
        found.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
        pairs, size = [], -2
        for cookie in found:
            pair = f"{cookie.name}={cookie.value}" if cookie.name else cookie.value
            size += 2 + len(pair)
            if size > _MAX_FIELD:
                break
            cookie.used = self._tick()
            pairs.append(pair)
        return "; ".join(pairs)

    def take(self, target: UrlParts, values: Iterable[str], now: float) -> str:
        """Keep the cookies of an answer from *target*: *values* of its Set-Cookie fields, decoded as Latin-1.

        Returns the setting whose limit something was dropped for, or an empty string.
        """
        limit = ""
        for value in values:
            if len(value) > self._max_size + _MAX_ATTRIBUTE * 8:
                limit = "fetch.max_cookie_size"
                continue
            pair, _, rest = value.partition(";")
            if _CONTROL.search(value):
                continue
            name, separator, text = pair.partition("=")
            if not separator:
                name, text = "", pair
            name, text = name.strip(_OWS), text.strip(_OWS)
            if len(name) + len(text) > self._max_size:
                limit = "fetch.max_cookie_size"
            elif (name or text) and (cookie := self._new(name, text, rest, target, now)) is not None:
                limit = self._keep(target.host, cookie, now, is_secure=target.is_secure) or limit
        return limit

    def _new(self, name: str, value: str, rest: str, target: UrlParts, now: float) -> _Cookie | None:
        """The cookie that a field makes (sections 5.6 and 5.7); None when it must be ignored."""
        attributes = _attributes(rest)
        domain = attributes.get("domain", "").removeprefix(".").lower()
        if domain and is_public_suffix(domain):
            if domain != target.host:
                return None
            domain = ""
        if domain and not _domain_matches(target.host, domain):
            return None
        path = attributes.get("path", "")
        has_root = path == "/"
        if not path.startswith("/"):
            path = _default_path(target.path)
        is_secure = "secure" in attributes
        if is_secure and not target.is_secure:
            return None
        prefix = (name or value).lower()
        if prefix.startswith(("__secure-", "__host-")) and not (name and is_secure):
            return None
        if prefix.startswith("__host-") and (domain or not has_root):
            return None
        return _Cookie(name=name, value=value, domain=domain or target.host, path=path, is_host_only=not domain,
                       is_secure=is_secure, expires=_expiry(attributes, now), created=self._tick(), used=self._clock)

    def _keep(self, host: str, cookie: _Cookie, now: float, *, is_secure: bool) -> str:
        name = self._site_of(host)
        site = self._sites.pop(name, None) or {}
        key = cookie.name, cookie.domain, cookie.path
        if is_secure or not _is_shadowing(cookie, site.values()):
            old = site.pop(key, None)
            if old is not None:
                cookie.created = old.created
                self._count -= 1
            if cookie.expires > now:
                site[key] = cookie
                self._count += 1
        limit = self._evict(site, now) if len(site) > self._max_cookies else ""
        if site:
            self._sites[name] = site
        while self._count > self._max_all:
            oldest = next(iter(self._sites))
            self._count -= len(self._sites.pop(oldest))
            limit = "fetch.max_cookies_in_all"
        return limit

    def _evict(self, site: dict[tuple[str, str, str], _Cookie], now: float) -> str:
        """Make room in *site* (section 5.7): what has expired, then what is not secure, then what was used last."""
        for key, cookie in list(site.items()):
            if cookie.expires <= now:
                del site[key]
                self._count -= 1
        limit = ""
        while len(site) > self._max_cookies:
            key = min(site, key=lambda key: (site[key].is_secure, site[key].used))
            del site[key]
            self._count -= 1
            limit = "fetch.max_cookies"
        return limit

    def _site_of(self, host: str) -> str:
        return registered_domain(host) if self._is_shared and not _IP.fullmatch(host) else host

    def _tick(self) -> int:
        self._clock += 1
        return self._clock


def _attributes(rest: str) -> dict[str, str]:
    """The attributes of a field by lower-case name; the last of equal ones counts."""
    found: dict[str, str] = {}
    for part in rest.split(";"):
        name, _, value = part.partition("=")
        value = value.strip(_OWS)
        if len(value) <= _MAX_ATTRIBUTE:
            found[name.strip(_OWS).lower()] = value
    return found


def _expiry(attributes: dict[str, str], now: float) -> float:
    """When the cookie ends, wall time; Max-Age counts more than Expires, and neither more than 400 days."""
    age = attributes.get("max-age", "")
    if re.fullmatch(r"-?[0-9]+", age):
        return now + min(float(age[:20]), _MAX_AGE) if not age.startswith("-") else 0.0
    at = cookie_date(attributes["expires"]) if "expires" in attributes else None
    return _NEVER if at is None else min(at, now + _MAX_AGE)


def cookie_date(text: str) -> float | None:
    """The wall time in seconds that *text* means as a cookie's date (section 5.1.1); None when it means none."""
    time = day = month = year = None
    for token in _DELIMITERS.split(text):
        if time is None and (match := _TIME.match(token)):
            time = int(match[1]), int(match[2]), int(match[3])
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS[token[:3].lower()]
        elif year is None and (match := _YEAR.match(token)):
            year = int(match[1])
            year += 1900 if 70 <= year <= 99 else 2000 if year <= 69 else 0
    if time is None or day is None or month is None or year is None:
        return None
    if not (day and year >= 1601 and time[0] <= 23 and time[1] <= 59 and time[2] <= 59):
        return None
    return float(timegm((year, month, day, *time))) if day <= monthrange(year, month)[1] else None


def _is_for(cookie: _Cookie, target: UrlParts, path: str) -> bool:
    if cookie.is_secure and not target.is_secure:
        return False
    if cookie.is_host_only:
        if cookie.domain != target.host:
            return False
    elif not _domain_matches(target.host, cookie.domain):
        return False
    return _path_matches(path, cookie.path)


def _domain_matches(host: str, domain: str) -> bool:
    """Section 5.1.3."""
    return host == domain or (host.endswith(f".{domain}") and not _IP.fullmatch(host))


def _path_matches(path: str, prefix: str) -> bool:
    """Section 5.1.4."""
    return path == prefix or (path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix)] == "/"))


def _default_path(path: str) -> str:
    """Section 5.1.4."""
    return path.partition("?")[0].rpartition("/")[0] or "/"


def _is_shadowing(cookie: _Cookie, others: Iterable[_Cookie]) -> bool:
    """True when a cookie from an insecure answer would hide a secure one of the same name (section 5.7)."""
    return any(other.is_secure and other.name == cookie.name and _path_matches(cookie.path, other.path)
               and (_domain_matches(cookie.domain, other.domain) or _domain_matches(other.domain, cookie.domain))
               for other in others)
