"""What goes beyond a plain GET: conditions, cookies, credentials, client certificates and proxies, fetch by fetch.

A fetch that needs none of it never gets here. What one needs is a :class:`Visit`: it says what is set on the curl
handle, and after each answer whether the fetch is to be tried again at once. Nothing of it stays on a handle: see
:meth:`Visit.is_deep`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import pycurl

from spyder.fetch.auth import Account, Accounts
from spyder.fetch.conditional import conditional_fields
from spyder.fetch.cookies import CookieJar
from spyder.fetch.parts import UrlParts, parts_of, user_and_password, without_userinfo
from spyder.fetch.proxies import Proxy, ProxyPool
from spyder.fetch.proxyerrors import Answer, Blame, verdict
from spyder.fetch.tls import ClientCertificate, ClientCertificates
from spyder.model.clock import Clock
from spyder.model.records import CrawlUri, Failure, Headers
from spyder.model.states import ErrorKind, Purpose
from spyder.settings import FetchSection

_MAX_PROXIES = 3  #: proxies that one fetch tries
_MAX_LOGINS = 2  #: times that a fetch is tried again with credentials: those asked for, and with a new nonce
_UNAUTHORIZED = 401
_PROXY_TYPES = {
    "http": pycurl.PROXYTYPE_HTTP, "https": 2,  # CURLPROXY_HTTPS, which pycurl gives no name
    "socks5": pycurl.PROXYTYPE_SOCKS5, "socks5h": pycurl.PROXYTYPE_SOCKS5_HOSTNAME,
}

Options = dict[int, Any]  #: curl options and their values


class Visit:
    """The extras of one fetch."""

    __slots__ = ("_account", "_authorization", "_certificate", "_extras", "_logins", "_parts", "_tried",
                 "_validators", "failure", "is_robots", "limits", "proxy", "url")

    def __init__(self, extras: Extras, uri: CrawlUri, parts: UrlParts) -> None:
        self._extras = extras
        self._parts = parts
        self._validators = uri.validators if extras.is_conditional else ""
        self.is_robots = uri.purpose is Purpose.ROBOTS
        self._certificate = extras.certificates.find(parts)
        self._account = self._find_account(uri, parts)
        self._authorization = ""  # the field that was sent last
        self._logins = 0  # attempts that were answered by 401
        self._tried: list[Proxy] = []  # proxies that failed this fetch
        self.url = without_userinfo(uri.url) if parts.userinfo else uri.url  #: what curl is told
        self.limits: tuple[str, ...] = ()  #: settings whose limit cut something off
        self.failure: Failure | None = None  #: set when it can't begin, or when there is more to say than curl does
        self.proxy: Proxy | None = None  #: through which it goes
        if not extras.pool.is_direct(parts):
            self._take_proxy("all proxies rest (fetch.proxy_rest)")

    def _find_account(self, uri: CrawlUri, parts: UrlParts) -> Account | None:
        """The account to use: a seed's own, or one of the settings. What a link carries is not ours, and not sent."""
        if parts.userinfo and uri.is_seed and not uri.redirects:
            user, password = user_and_password(parts.userinfo)
            return Account(user, password, "any", self._extras.cnonce)
        return self._extras.accounts.find(parts)

    @property
    def is_deep(self) -> bool:
        """True when options beside URL and header fields are set: the handle is reset as a whole afterwards."""
        return self.proxy is not None or bool(self._tried) or self._certificate is not None

    @property
    def looks_up(self) -> bool:
        """True when the name of the host is looked up here, and not by a proxy."""
        return self.proxy is None or not self.proxy.resolves

    def fields(self) -> list[bytes]:
        """Header fields that are sent beside those of every fetch."""
        fields = conditional_fields(self._validators)
        jar = self._extras.jar
        if jar is not None and not self.is_robots and (
                cookies := jar.field(self._parts, self._extras.clock.now())):
            fields.append(f"Cookie: {cookies}".encode("latin-1"))
        if self._account is not None:
            self._authorization = self._account.field(self._parts.path)
            if self._authorization:
                fields.append(f"Authorization: {self._authorization}".encode())
        return fields

    def options(self) -> Options:
        """Curl options for proxy and client certificate."""
        options: Options = {}
        if self.proxy is not None:
            options.update(_proxy_options(self.proxy))
            is_absolute = self._parts.scheme == "http" and not self.proxy.is_socks  # RFC 9112, section 3.2.2
            options[pycurl.REQUEST_TARGET] = self.url.partition("#")[0] if is_absolute else self._parts.path
        if self._certificate is not None:
            options.update(_certificate_options(self._certificate))
        return options

    def take(self, answer: Answer) -> bool:
        """Learn from how an attempt ended; True when the fetch is to be tried again at once."""
        self.failure = None
        if self.proxy is not None:
            pool = self._extras.pool
            found = verdict(answer, is_tls_proxy=self.proxy.url.startswith("https:"), is_tls=self._parts.is_secure)
            match found.blame:
                case Blame.PROXY | Blame.REFUSAL:
                    if found.blame is Blame.PROXY:
                        pool.failed(self.proxy, found.detail, self._extras.clock.monotonic())
                    self._tried.append(self.proxy)
                    return self._take_proxy(f"{self.proxy.url}: {found.detail}")
                case Blame.SERVER:
                    pool.worked(self.proxy)
                    self.failure = found.failure
                case Blame.UNCLEAR:
                    pool.doubted(self.proxy, found.detail, self._extras.clock.monotonic())
        if not answer.status:
            return False
        if self._extras.jar is not None and not self.is_robots:
            self._keep_cookies(self._extras.jar, answer.headers)
        return self._account is not None and self._judge_login(self._account, answer)

    def _take_proxy(self, reason: str) -> bool:
        """Go through a proxy that works; False when there is none, for *reason* in the end."""
        pool = self._extras.pool
        self.proxy = None
        if len(self._tried) < _MAX_PROXIES:
            self.proxy = pool.pick(self._parts, self._extras.clock.monotonic(), but=self._tried)
        if self.proxy is None:
            self.failure = Failure(kind=ErrorKind.PROXY, detail=f"no proxy works: {reason}")
        return self.proxy is not None

    def _keep_cookies(self, jar: CookieJar, headers: Headers) -> None:
        values = [value for name, value in headers if name == "set-cookie"]
        limit = jar.take(self._parts, values, self._extras.clock.now()) if values else ""
        if limit and limit not in self.limits:
            self.limits += (limit,)

    def _judge_login(self, account: Account, answer: Answer) -> bool:
        if answer.status != _UNAUTHORIZED:
            if self._authorization:
                account.accepted()
            return False
        self._logins += 1
        values = [value for name, value in answer.headers if name == "www-authenticate"]
        return account.challenged(values, self._authorization) and self._logins <= _MAX_LOGINS


class Extras:
    """The extras of a worker's fetches. Raises :class:`spyder.errors.SettingsError` for settings that can't be used.

    *environ* is where ``${NAME}`` in passwords is looked up; *cnonce* makes numbers that nobody can guess.
    """

    def __init__(self, settings: FetchSection, *, clock: Clock, environ: Mapping[str, str] = os.environ,
                 cnonce: Callable[[], str] = secrets.token_hex) -> None:
        self.clock = clock
        self.cnonce = cnonce
        self.is_conditional = settings.conditional
        self.accounts = Accounts(settings.auth, environ=environ, cnonce=cnonce)
        self.certificates = ClientCertificates(settings.client_certificates, environ=environ)
        self.pool = ProxyPool(settings.proxies, no_proxy=settings.no_proxy, rotation=settings.proxy_rotation,
                              rest=settings.proxy_rest, max_rest=settings.max_proxy_rest, environ=environ)
        self.jar = None if settings.cookies == "off" else CookieJar(
            settings.cookies, max_cookies=settings.max_cookies, max_all=settings.max_cookies_in_all,
            max_size=settings.max_cookie_size)
        #: True when every fetch is a visit.
        self.is_on = bool(self.jar is not None or self.accounts or self.certificates or len(self.pool))

    def visit(self, uri: CrawlUri) -> Visit:
        """The extras of *uri*. Raises :class:`ValueError` for what is no URL.

        Unless :attr:`is_on`, only a URI with validators, with a user in its URL, or that is no page, may have any.
        """
        return Visit(self, uri, parts_of(uri.url))

    def close(self) -> None:
        """Say in the log what was used."""
        self.pool.tell()

    def looks_up(self, url: str) -> bool:
        """True when the name of the host of *url* is to be looked up here: no proxy does it."""
        return not len(self.pool) or self.pool.is_direct(parts_of(url)) or not all(
            proxy.resolves for proxy in self.pool.proxies)


def _proxy_options(proxy: Proxy) -> Options:
    scheme = proxy.url.partition(":")[0]
    return {
        pycurl.PROXY: proxy.url.encode(),
        pycurl.PROXYTYPE: _PROXY_TYPES[scheme],
        pycurl.PROXYUSERNAME: proxy.user.encode(),
        pycurl.PROXYPASSWORD: proxy.password.encode(),
        pycurl.PROXYAUTH: pycurl.HTTPAUTH_BASIC,
    }


def _certificate_options(certificate: ClientCertificate) -> Options:
    options: Options = {pycurl.SSLCERT: certificate.certificate, pycurl.SSLKEY: certificate.key}
    if certificate.password:
        options[pycurl.SSLKEYPASSWD] = certificate.password.encode()
    return options
