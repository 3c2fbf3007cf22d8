"""Fetches pages over pycurl's multi interface on the event loop, and says in our words what went wrong."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import select
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import certifi
import pycurl

from spyder.errors import SettingsError
from spyder.fetch.body import ACCEPT_ENCODING, BodyError, BodyFullError, BodyReader, content_codings
from spyder.fetch.dns import Answer, Resolver
from spyder.fetch.extras import Extras, Visit
from spyder.fetch.failures import NO_ANSWER, curl_failure, judge, one_line
from spyder.fetch.filters import ContentFilter
from spyder.fetch.guard import Guard
from spyder.fetch.head import HeadError, HeadReader
from spyder.fetch.identity import identity
from spyder.fetch.parts import without_userinfo
from spyder.fetch.poll import new_poller
from spyder.fetch.proxyerrors import Answer as Attempt
from spyder.fetch.target import Target, Targets
from spyder.model.clock import Clock
from spyder.model.records import CrawlUri, Failure, Headers, Page
from spyder.model.states import ErrorKind, Purpose
from spyder.settings import FetchSection

_CurlAddress = tuple[int, int, int, tuple[str, int]]  # family, type, protocol, and address with port
OnDone = Callable[[Page, bytes], None]  #: takes a page and its decoded body

_log = logging.getLogger(__name__)

_RECEIVE_BUFFER = 262_144  #: bytes read from a socket at a time
_IDLE_CONNECTIONS = 4  #: kept open per connection in use: a polite crawl comes back to a host after others
_SWEEP_INTERVAL = 1.0  #: seconds between two looks for transfers that are late
_PAGE = Purpose.PAGE  # looked up once: it is asked for each page
_QUIET_AFTER = 0.1  #: seconds that a kept connection must have been idle to tell whether it was still open
_STOP = -1  #: what a callback returns to make curl end the transfer
_SUPPRESS_CONNECT_HEADERS = 265  #: CURLOPT_SUPPRESS_CONNECT_HEADERS, which pycurl gives no name
_COULDNT_CONNECT, _TIMED_OUT = 7, 28  #: libcurl-errors(3)
_TRIED_ADDRESSES = 3  #: addresses of a name that one fetch tries before it fails
_NO_TARGET = "no http:// or https:// URL with a host and a port"
_FOR_EVER = 86_400.0 * 365  #: seconds that an address holds which a URL gives itself
_LOOKUPS_PER_CONNECTION = 8  #: look-ups that count as one connection in use: they cost less

_TARGET = re.compile("[^:/?#]*://[^/?#]*([^#]*)")  # what follows a URL's authority, without the fragment

_HTTP_VERSIONS = {
    "1.1": pycurl.CURL_HTTP_VERSION_1_1,
    "2": pycurl.CURL_HTTP_VERSION_2TLS,
    "2-prior-knowledge": pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
}

_TLS_VERSIONS = {
    "1.0": pycurl.SSLVERSION_TLSv1_0,
    "1.1": pycurl.SSLVERSION_TLSv1_1,
    "1.2": pycurl.SSLVERSION_TLSv1_2,
    "1.3": pycurl.SSLVERSION_TLSv1_3,
}


@dataclass(slots=True, eq=False)
class _Lookup:
    """A lease that asks for an address only."""

    uri: CrawlUri
    on_done: OnDone
    target: Target | None
    started_at: float  # wall time, seconds
    started: float  # monotonic, seconds


#: Both ends of a connection: address and port there, address and port here. A port here may serve many.
_Place = tuple[str, int, str, int]


class _Sockets:
    """The sockets of curl's connections by their two ends, since curl says no more of one that it uses again."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[_Place, tuple[int, float]] = {}  # descriptor; from when on it was idle, seconds

    def note(self, place: _Place, fd: int) -> None:
        """There is a new connection."""
        self._known.pop(place, None)
        if len(self._known) >= self._limit:
            del self._known[next(iter(self._known))]
        self._known[place] = fd, math.inf

    def free(self, place: _Place, now: float) -> None:
        """The connection is idle from *now* on (monotonic, seconds)."""
        known = self._known.pop(place, None)
        if known is not None:  # those that were in use last are the last to be forgotten
            self._known[place] = known[0], now

    def is_quiet(self, place: _Place, now: float) -> bool:
        """True when the connection was idle for a while, and nothing has come that nobody has read, its end included.

        One that is used again at once, as by a crawl without delays, may be at its end without our knowing.
        """
        known = self._known.get(place)
        if known is None or now - known[1] < _QUIET_AFTER:
            return False
        poll = select.poll()
        poll.register(known[0], select.POLLIN)
        return not poll.poll(0)


class _Slot:
    """One curl handle and the fetch that it is busy with.

    Its options but URL and address are set once, for good. What a :class:`Visit` sets beside them is undone after it.
    """

    visit: Visit | None = None  # what goes beyond a plain fetch; what follows is never set without one
    is_anew = False  # an earlier attempt of the same fetch has ended
    is_cut = False  # there is more of the body than is wanted

    def __init__(self, settings: FetchSection, targets: Targets, extras: Extras, *, sockets: _Sockets,
                 robots_size: int) -> None:
        self.curl = pycurl.Curl()
        self._settings = settings
        self._targets = targets
        self._extras = extras
        self._sockets = sockets
        self._robots_size = robots_size
        self._filter = ContentFilter(settings)
        self._has_extras = extras.is_on
        self._fields = _fields(settings)
        self._opened: socket.socket | None = None  # while curl takes it over
        self._set_up()
        self.reset()

    def _set_up(self) -> None:
        """Set all options of the handle but URL and address."""
        _set_options(self.curl, self._settings)
        self.curl.setopt(pycurl.HTTPHEADER, self._fields)
        self.curl.setopt(pycurl.OPENSOCKETFUNCTION, self._on_open_socket)
        self.curl.setopt(pycurl.SOCKOPTFUNCTION, self._on_socket_made)
        self.curl.setopt(pycurl.PREREQFUNCTION, self._on_request)
        self.curl.setopt(pycurl.HEADERFUNCTION, self._on_header if self._filter.is_open else self._on_judged_header)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._on_body)
        self._pin = ""  # what the handle's option says
        self._has_short_timeout = False

    def reset(self) -> None:
        """Forget the last fetch."""
        if self.visit is not None:
            self._undo(self.visit)
            self.visit = None
            self.is_anew = self.is_cut = False
        self.uri: CrawlUri | None = None
        self.on_done: OnDone | None = None
        self.target: Target | None = None
        self.addresses: list[str] = []  # those of the name that may be tried yet
        self.address = ""  # that of the name which is connected to; empty when the URL gives it itself
        self.lookup: object | None = None  # set while the name is looked up
        self._forget_answer()
        self.started_at = 0.0  # wall time, seconds
        self.started = 0.0  # monotonic, seconds
        self.waited = 0.0  # seconds from then until curl got it: for the look-up, and for addresses that don't answer
        self.elapsed = 0.0  # seconds, when we ended the transfer: curl's own count stands still between events
        self.mark = 0.0  # monotonic, seconds: since then the speed is measured
        self.mark_size = 0  # bytes of the answer at that time
        if self._has_short_timeout:
            self._has_short_timeout = False
            self.curl.setopt(pycurl.TIMEOUT_MS, _milliseconds(self._settings.timeout))

    def _forget_answer(self) -> None:
        self.is_running = False  # in curl's hands
        self.failure: Failure | None = None  # what we, not curl, found wrong
        self.head = HeadReader(max_size=self._settings.max_header_size, max_count=self._settings.max_header_count)
        self.headers: Headers | None = None
        self.body: BodyReader | None = None
        self._is_asked = False  # the request is on its way, over a connection that was open
        self._fd = -1  # of the socket that was opened for it
        self._place: _Place | None = None  # of the connection

    def drop_answer(self, failure: Failure) -> None:
        """What came is not the server's answer but a proxy's, which means *failure*."""
        is_running = self.is_running
        self._forget_answer()
        self.is_running = is_running
        self.failure = failure

    def begin(self, uri: CrawlUri, on_done: OnDone, clock: Clock) -> None:
        """Take on a fetch; a URL that can't be handed to curl becomes :attr:`failure`."""
        self.uri = uri
        self.on_done = on_done
        self.started_at = clock.now()
        self.started = self.mark = clock.monotonic()
        try:
            url = uri.url
            if self._has_extras or uri.validators or "@" in url or uri.purpose is not _PAGE:
                self.visit = self._extras.visit(uri)
                url = self.visit.url
            self.curl.setopt(pycurl.URL, url)
            self.curl.setopt(pycurl.REQUEST_TARGET, _request_target(url))
            if self.visit is not None:
                self._apply(self.visit)
        except (pycurl.error, ValueError, TypeError) as error:  # not ASCII, or with a NUL
            self.failure = Failure(kind=ErrorKind.URL, detail=one_line(str(error)))
        else:
            self.target = self._targets.target(uri.url)

    def begin_anew(self) -> None:
        """Take the same fetch on again, in the way that its visit has decided for."""
        assert self.visit is not None
        self._forget_answer()
        self.is_anew = True
        self._apply(self.visit)

    def _apply(self, visit: Visit) -> None:
        self.failure = visit.failure
        self.curl.setopt(pycurl.HTTPHEADER, [*self._fields, *visit.fields()])
        for option, value in visit.options().items():
            self.curl.setopt(option, value)
        if visit.is_robots:  # libcurl would refuse a long one, of which we read the beginning
            self.curl.setopt(pycurl.MAXFILESIZE_LARGE, 0)

    def _undo(self, visit: Visit) -> None:
        """Make the handle as if there had been no *visit*: nothing secret stays on it."""
        if visit.is_deep:
            self.curl.reset()
            self._set_up()
            return
        self.curl.setopt(pycurl.HTTPHEADER, self._fields)
        if visit.is_robots:
            self.curl.setopt(pycurl.MAXFILESIZE_LARGE, self._settings.max_wire_size)

    def aim(self, address: str, now: float) -> None:
        """Connect to *address*, whatever the host is called; with an empty one, to the address that the URL gives.

        TLS goes by the URL's host all the same. An open connection is used again only for the same host, port and
        address.
        """
        self.address = address
        pin = (f"::[{address}]:" if ":" in address else f"::{address}:") if address else ""
        if pin != self._pin:
            self._pin = pin
            if pin:
                self.curl.setopt(pycurl.CONNECT_TO, [pin])
            else:
                self.curl.unsetopt(pycurl.CONNECT_TO)
        waited = now - self.started
        if waited > 0:
            self.waited = waited
            self.mark = now
            self._has_short_timeout = True
            self.curl.setopt(pycurl.TIMEOUT_MS, _milliseconds(self._settings.timeout - waited))

    def _on_open_socket(self, _purpose: int, curl_address: _CurlAddress) -> socket.socket | int:
        """The guard's last word: this very address is what the kernel will be asked to connect to.

        There is no such call for a connection that is used again; it was judged when it was opened, for the same host,
        port and address, and each fetch is judged before it gets to curl.
        """
        family, kind, protocol, (address, port, *_) = curl_address
        if self.visit is not None and self.visit.proxy is not None:  # the operator's choice; it is what is connected to
            self._opened = socket.socket(family, kind, protocol)
            return self._opened
        assert self.uri is not None
        assert self.target is not None
        objection = (self._targets.objection(self.uri, self.target, address) if port == self.target.port
                     else f"{address}:{port} is not what the URL names")
        if objection:
            self.failure = Failure(kind=ErrorKind.ADDRESS, detail=objection)
            return int(pycurl.SOCKET_BAD)
        self._opened = socket.socket(family, kind, protocol)
        return self._opened

    def _on_socket_made(self, fd: int, _purpose: int) -> int:
        """Close our socket, of which pycurl has made a copy; children are not to have that one either."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        os.set_inheritable(fd, False)
        self._fd = fd
        return int(pycurl.SOCKOPT_OK)

    def _on_request(self, address: str, local: str, port: int, local_port: int) -> int:
        """Allow one request: curl would send it once more by itself when a kept connection breaks without an answer.

        To the host that is a second fetch within milliseconds; whether and when there is one is the master's to say. A
        connection that can be read from before anything was asked is one that the host has closed: that is no request.
        """
        if self._is_asked:
            self.failure = NO_ANSWER
            return int(pycurl.PREREQFUNC_ABORT)
        self._place = address, port, local, local_port
        if self._fd >= 0:
            self._sockets.note(self._place, self._fd)
            self._fd = -1
            self._is_asked = True
        else:
            self._is_asked = self._sockets.is_quiet(self._place, self.started + self.waited)
        return int(pycurl.PREREQFUNC_OK)

    @property
    def size(self) -> int:
        """Bytes of the answer so far."""
        return self.head.size + (self.body.wire_size if self.body else 0)

    def _on_header(self, line: bytes) -> int | None:
        try:
            self.head.feed(line)
        except HeadError as error:
            self.failure = error.failure
            return _STOP
        return None

    def _on_judged_header(self, line: bytes) -> int | None:
        """Take a line; when the head is complete and the page not wanted, the body isn't read."""
        if self._on_header(line) is not None:
            return _STOP
        if self.headers is None and self.head.is_complete:
            self.headers = self.head.headers()
            assert self.uri is not None
            if self.uri.purpose is Purpose.PAGE:
                self.failure = self._filter.judge(self.head.status, self.headers)
        return None if self.failure is None else _STOP

    def _on_body(self, chunk: bytes) -> int | None:
        try:
            if self.body is None:
                self.body = self._new_body()
            self.body.feed(chunk)
        except BodyFullError:
            self.is_cut = True
            return _STOP
        except BodyError as error:
            self.failure = error.failure
            return _STOP
        return None

    def _new_body(self) -> BodyReader:
        self.headers = self.head.headers()
        values = [value for name, value in self.headers if name == "content-encoding"]
        is_robots = self.visit is not None and self.visit.is_robots
        return BodyReader(content_codings(values) if values else (), max_wire_size=self._settings.max_wire_size,
                          max_body_size=self._settings.max_body_size, max_ratio=self._settings.max_ratio,
                          keep=self._robots_size if is_robots else 0)

    def lateness(self, now: float) -> str:
        """Why the fetch takes too long at *now* (monotonic, seconds); empty when it doesn't.

        curl watches over the connection and the time in all. It has no limit for the first byte, and its minimum speed
        would count the wait for that.
        """
        settings = self._settings
        size = self.size
        if not size:
            request_sent = self.curl.getinfo(pycurl.PRETRANSFER_TIME)
            waited = now - self.started - self.waited - request_sent
            is_late = request_sent > 0 and waited > settings.first_byte_timeout
            return f"no answer within {settings.first_byte_timeout:g} s (fetch.first_byte_timeout)" if is_late else ""
        if not self.mark_size or size - self.mark_size >= settings.min_speed * (now - self.mark):
            self.mark, self.mark_size = now, size
        is_slow = settings.min_speed > 0 and now - self.mark >= settings.min_speed_time
        return (f"less than {settings.min_speed} bytes/s for {settings.min_speed_time} s (fetch.min_speed)"
                if is_slow else "")

    def result(self, code: int, message: str) -> tuple[Page, bytes]:
        """The page and its body when curl ended the transfer with *code* (0: well) and *message*."""
        assert self.uri is not None
        failure = self.failure
        if failure is None and code and not self.is_cut:
            failure = curl_failure(code, message, is_connected=bool(self.curl.getinfo(pycurl.PRIMARY_IP)),
                                   max_wire_size=self._settings.max_wire_size, has_head=self.head.is_complete,
                                   is_asked=self.curl.getinfo(pycurl.PRETRANSFER_TIME) > 0)
        body = b""
        if failure is None and self.body is not None:
            try:
                body = self.body.finish()
            except BodyError as error:
                failure = error.failure
        status, visit = self.head.status, self.visit
        getinfo = self.curl.getinfo
        if self._place is not None:
            self._sockets.free(self._place, self.started + self.waited + getinfo(pycurl.TOTAL_TIME))
        return Page(
            uri=self.uri,
            status=status,
            failure=judge(status, failure) if self.head.is_complete else failure or NO_ANSWER,
            headers=self.head.headers() if self.headers is None else self.headers,
            started_at=self.started_at,
            elapsed=self.elapsed or (self.waited + getinfo(pycurl.TOTAL_TIME) if self.is_running else 0.0),
            first_byte=self.waited + getinfo(pycurl.STARTTRANSFER_TIME) if self.head.size else 0.0,
            wire_size=self.body.wire_size if self.body else 0,
            ip=(getinfo(pycurl.PRIMARY_IP) or "") if self.is_running and (visit is None or visit.proxy is None) else "",
            http_version=self.head.http_version,
            limits=() if visit is None else (*(("robots.max_size",) if self.is_cut else ()), *visit.limits),
        ), body

    @property
    def is_proxied(self) -> bool:
        """True when a proxy is what is connected to."""
        return self.visit is not None and self.visit.proxy is not None

    def attempt(self, code: int, message: str) -> Attempt:
        """How the attempt ended that curl says *code* and *message* of."""
        getinfo = self.curl.getinfo
        return Attempt(
            status=self.head.status if self.head.is_complete else 0,
            headers=self.head.headers() if self.headers is None else self.headers, code=code, message=message,
            connect_status=getinfo(pycurl.HTTP_CONNECTCODE), proxy_error=getinfo(pycurl.PROXY_ERROR),
            is_connected=getinfo(pycurl.CONNECT_TIME) > 0)


def _request_target(url: str) -> str:
    """The path and query of *url* as they stand there (RFC 9112, section 3.2.1): curl would rewrite %7e to %7E."""
    match = _TARGET.match(url)
    target = match[1] if match else ""
    return target if target.startswith("/") else f"/{target}"


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def _fields(settings: FetchSection) -> list[str | bytes]:
    """The header fields of every fetch, beside those that curl makes itself."""
    fields: list[str | bytes] = [f"Accept: {settings.accept}", f"Accept-Encoding: {ACCEPT_ENCODING}"]
    if settings.accept_language:
        fields.append(f"Accept-Language: {settings.accept_language}")
    sender = identity(settings)[1]
    if sender:
        fields.append(f"From: {sender}")
    return fields


def _set_options(curl: pycurl.Curl, settings: FetchSection) -> None:
    """Set all options that are the same for every fetch."""
    options = {
        pycurl.NOSIGNAL: 1,
        pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
        pycurl.NOPROXY: "",
        _SUPPRESS_CONNECT_HEADERS: 1,
        pycurl.PROXY: "",  # what the settings don't name is not used, whatever the environment says
        pycurl.FOLLOWLOCATION: 0,  # each redirect is a URI of the frontier
        pycurl.PATH_AS_IS: 1,  # our URLs are normalized already
        pycurl.HTTP09_ALLOWED: 0,
        pycurl.HTTP_VERSION: _HTTP_VERSIONS[settings.http_version],
        pycurl.USERAGENT: identity(settings)[0],
        pycurl.BUFFERSIZE: _RECEIVE_BUFFER,
        pycurl.MAXFILESIZE_LARGE: settings.max_wire_size,
        pycurl.CONNECTTIMEOUT_MS: _milliseconds(settings.connect_timeout),
        pycurl.TIMEOUT_MS: _milliseconds(settings.timeout),
        pycurl.SSL_VERIFYPEER: int(settings.verify_tls),
        pycurl.SSL_VERIFYHOST: 2 if settings.verify_tls else 0,
        pycurl.SSLVERSION: _TLS_VERSIONS[settings.tls_min_version],
        pycurl.CAINFO: settings.ca_file or certifi.where(),
        pycurl.PROXY_CAINFO: settings.ca_file or certifi.where(),
    }
    for option, value in options.items():
        curl.setopt(option, value)


class Transport:
    """HTTP over pycurl's multi interface on the event loop.

    At most ``settings.connections`` fetches run at a time; the caller keeps the queue. libcurl looks no name up:
    *resolver* does, which the transport closes, and *guard* judges the addresses. Raises :class:`SettingsError` when
    ``ca_file`` can't be read. Use it from the loop's thread only.
    """

    def __init__(self, settings: FetchSection, *, clock: Clock, guard: Guard, resolver: Resolver,
                 extras: Extras | None = None, robots_size: int = 524_288,
                 loop: asyncio.AbstractEventLoop | None = None) -> None:
        if settings.ca_file and not Path(settings.ca_file).is_file():
            raise SettingsError(f"fetch.ca_file: there is no file {settings.ca_file}")
        self._clock = clock
        self._timeout = settings.timeout
        self._loop = loop or asyncio.get_running_loop()
        self._resolver = resolver
        self._targets = Targets(guard)
        self._lookups: set[_Lookup] = set()
        self._extras = extras or Extras(settings, clock=clock)
        sockets = _Sockets(4 * _IDLE_CONNECTIONS * settings.connections)
        self._idle = [_Slot(settings, self._targets, self._extras, sockets=sockets, robots_size=robots_size)
                      for _ in range(settings.connections)]
        self._active: dict[pycurl.Curl, _Slot] = {}
        self._refused: list[_Slot] = []  # of the active, those that never got as far as curl
        self._sweep_interval = min(_SWEEP_INTERVAL, settings.first_byte_timeout / 4)
        self._sweeper: asyncio.TimerHandle | None = None
        self._starter: asyncio.Handle | None = None  # set while fetches wait for their first push
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf  # when that rings, in the loop's time
        self._deadline = math.inf  # when curl wants to be called
        self._is_closed = False
        self._poller = new_poller()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAXCONNECTS, _IDLE_CONNECTIONS * settings.connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._loop.add_reader(self._poller.fileno(), self._on_ready)

    @property
    def free(self) -> int:
        """Fetches that could begin now."""
        return max(0, len(self._idle) - math.ceil(len(self._lookups) / _LOOKUPS_PER_CONNECTION))

    @property
    def active(self) -> int:
        """Fetches under way."""
        return len(self._active) + len(self._lookups)

    def fetch(self, uri: CrawlUri, on_done: OnDone) -> None:
        """Begin to fetch *uri*; :attr:`free` must not be 0.

        *on_done* is called later, from the loop and exactly once (unless :meth:`abort` comes first). It may begin the
        next fetch. What it raises is logged.
        """
        if uri.purpose is Purpose.ADDRESS:
            self._look_up(uri, on_done)
            return
        slot = self._idle.pop()
        slot.begin(uri, on_done, self._clock)
        self._active[slot.curl] = slot
        if slot.failure is None:
            self._find_address(slot, uri)
        else:
            self._refuse(slot, slot.failure)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._sweep_interval, self._sweep)

    def _find_address(self, slot: _Slot, uri: CrawlUri) -> None:
        """Decide what *slot* connects to, at once when that is known."""
        target = slot.target
        if target is None:
            self._refuse(slot, Failure(kind=ErrorKind.URL, detail=_NO_TARGET))
        elif target.literal is not None:
            if objection := target.firm_objection if uri.is_permitted else target.objection:
                self._refuse(slot, Failure(kind=ErrorKind.ADDRESS, detail=objection))
            else:
                self._start_transfer(slot, "")
        elif slot.visit is not None and not slot.visit.looks_up:
            self._start_transfer(slot, "")
        elif uri.address and not target.is_localhost:  # of its two addresses the right one is found out at once
            self._take_addresses(slot, (uri.address,))
        elif answer := self._resolver.known(target.hostname):
            self._take_answer(slot, answer)
        else:
            slot.lookup = token = object()
            self._resolver.lookup(target.hostname, partial(self._looked_up, slot, token))

    def _looked_up(self, slot: _Slot, token: object, answer: Answer) -> None:
        if slot.lookup is token:  # else the fetch was aborted
            self._take_answer(slot, answer)

    def _take_answer(self, slot: _Slot, answer: Answer) -> None:
        if answer.failure is not None:
            self._refuse(slot, answer.failure)
        else:
            self._take_addresses(slot, answer.addresses)

    def _take_addresses(self, slot: _Slot, addresses: tuple[str, ...]) -> None:
        assert slot.uri is not None
        assert slot.target is not None
        good, refusal = self._targets.choose(slot.uri, slot.target, addresses)
        if refusal is not None:
            self._refuse(slot, refusal)
        else:
            slot.addresses = good[1:_TRIED_ADDRESSES]
            self._start_transfer(slot, good[0])

    def _start_transfer(self, slot: _Slot, address: str) -> None:
        has_waited = slot.lookup is not None or slot.is_anew
        slot.aim(address, self._clock.monotonic() if has_waited else slot.started)
        slot.lookup = None
        self._multi.add_handle(slot.curl)
        slot.is_running = True
        self._start_soon()

    def _refuse(self, slot: _Slot, failure: Failure) -> None:
        """End a fetch with *failure* before curl sees it."""
        if slot.lookup is not None:
            slot.elapsed = self._clock.monotonic() - slot.started
            slot.lookup = None
        slot.failure = failure
        self._refused.append(slot)
        self._start_soon()

    def _try_next(self, slot: _Slot, code: int) -> bool:
        """True when *slot*, which nothing answered, begins anew with the next address of its name."""
        has_connected = code not in {_COULDNT_CONNECT, _TIMED_OUT} or slot.curl.getinfo(pycurl.CONNECT_TIME) > 0
        if has_connected or not slot.address or slot.failure is not None or slot.is_proxied:
            return False
        assert slot.target is not None
        self._resolver.failed(slot.target.hostname, slot.address)
        now = self._clock.monotonic()
        if not slot.addresses or now - slot.started >= self._timeout:
            return False
        self._multi.remove_handle(slot.curl)
        slot.aim(slot.addresses.pop(0), now)
        self._multi.add_handle(slot.curl)
        return True

    def _try_otherwise(self, slot: _Slot, code: int, message: str) -> bool:
        """True when *slot* begins anew: with credentials that were asked for, or through another proxy."""
        assert slot.visit is not None
        assert slot.uri is not None
        wants_more = slot.visit.take(slot.attempt(code, message))
        if not wants_more or self._clock.monotonic() - slot.started >= self._timeout:
            if slot.visit.failure is not None:
                slot.drop_answer(slot.visit.failure)
            return False
        self._multi.remove_handle(slot.curl)
        slot.begin_anew()
        self._find_address(slot, slot.uri)
        return True

    # -- leases that ask for an address only -------------------------------------------------------------------------

    def _look_up(self, uri: CrawlUri, on_done: OnDone) -> None:
        target = self._targets.target(uri.url)
        lookup = _Lookup(uri, on_done, target, self._clock.now(), self._clock.monotonic())
        self._lookups.add(lookup)
        on_answer = partial(self._address_found, lookup)
        if target is None:
            failure = Failure(kind=ErrorKind.URL, detail=_NO_TARGET)
            self._loop.call_soon(on_answer, Answer((), 0.0, failure))
        elif target.literal is not None:
            self._loop.call_soon(on_answer, Answer((str(target.literal),), math.inf))
        elif not self._extras.looks_up(uri.url):
            self._loop.call_soon(self._address_not_needed, lookup)
        else:
            if uri.address:  # the master's word that nothing answers there
                self._resolver.failed(target.hostname, uri.address)
            self._resolver.lookup(target.hostname, on_answer)

    def _address_found(self, lookup: _Lookup, answer: Answer) -> None:
        if lookup not in self._lookups:  # aborted
            return
        self._lookups.remove(lookup)
        now = self._clock.monotonic()
        uri, failure, address = lookup.uri, answer.failure, ""
        if failure is None and lookup.target is not None:
            good, failure = self._targets.choose(uri, lookup.target, answer.addresses)
            address = next((other for other in good if other != uri.address), uri.address if good else "")
        page = Page(uri=uri, failure=failure, started_at=lookup.started_at, elapsed=now - lookup.started, ip=address,
                    address_ttl=min(max(0.0, answer.until - now), _FOR_EVER))
        self._hand_over(lookup.on_done, page, b"")

    def _address_not_needed(self, lookup: _Lookup) -> None:
        """A proxy looks the name up: there is no address, and nothing wrong with that."""
        if lookup in self._lookups:
            self._lookups.remove(lookup)
            page = Page(uri=lookup.uri, started_at=lookup.started_at, address_ttl=_FOR_EVER)
            self._hand_over(lookup.on_done, page, b"")

    def abort(self) -> list[CrawlUri]:
        """End all fetches at once and return their URIs; their ``on_done`` is not called."""
        slots = list(self._active.values())
        uris = [slot.uri for slot in slots if slot.uri is not None] + [lookup.uri for lookup in self._lookups]
        self._lookups.clear()
        for slot in slots:
            self._release(slot)
        return uris

    def close(self) -> None:
        """Abort what runs and close all connections; nothing may be called afterwards, but closing again."""
        if self._is_closed:
            return
        self._is_closed = True
        self.abort()
        self._extras.close()
        self._resolver.close()
        self._multi.close()
        for slot in self._idle:
            slot.curl.close()
        self._loop.remove_reader(self._poller.fileno())
        self._poller.close()
        self._deadline = math.inf
        for handle in (self._sweeper, self._starter, self._alarm):
            if handle is not None:
                handle.cancel()

    def _on_socket(self, what: int, fd: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        """What curl wants of a socket: its POLL_IN and POLL_OUT are the poller's bits."""
        self._poller.watch(fd, 0 if what == pycurl.POLL_REMOVE else what)

    def _on_timer(self, milliseconds: int) -> None:
        """When curl wants to be called: one timer is armed, for no later than that.

        It is left alone when the time moves back, which happens with each page: :meth:`_on_alarm` looks again.
        """
        if milliseconds < 0:
            self._deadline = math.inf
        elif milliseconds == 0:
            self._start_soon()
        else:
            self._deadline = self._loop.time() + milliseconds / 1000
            if self._deadline < self._alarm_at:
                self._arm()

    def _arm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = self._deadline
        self._alarm = self._loop.call_at(self._deadline, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm_at = math.inf
        if self._loop.time() >= self._deadline:
            self._deadline = math.inf
            self._push()
        if self._deadline < self._alarm_at:
            self._arm()

    def _on_ready(self) -> None:
        """Sockets are ready: the poller's bits are curl's CSELECT bits."""
        act = self._multi.socket_action
        for fd, bits in self._poller.ready():
            act(fd, bits)
        self._collect()

    def _start_soon(self) -> None:
        if self._starter is None:
            self._starter = self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._starter = None
        self._push()

    def _push(self) -> None:
        """Give curl a turn: with the fetches begun since the last one, and with what has become due."""
        self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()

    def _sweep(self) -> None:
        """Look for fetches that are late; also a second chance for curl's own timers."""
        self._sweeper = None
        now = self._clock.monotonic()
        late = []
        for slot in self._active.values():
            if slot.is_running and slot.failure is None and (detail := slot.lateness(now)):
                slot.failure = Failure(kind=ErrorKind.TIMEOUT, detail=detail)
                slot.elapsed = now - slot.started
                if slot.visit is not None:
                    slot.visit.take(slot.attempt(_TIMED_OUT, detail))
                late.append((slot, 0, ""))
        self._finish(late)
        if self._is_closed:
            return
        self._push()
        if self._active and self._sweeper is None and not self._is_closed:
            self._sweeper = self._loop.call_later(self._sweep_interval, self._sweep)

    def _collect(self) -> None:
        """Finish the fetches that ended."""
        _, done, failed = self._multi.info_read()
        ended = [(slot, 0, "") for curl in done
                 if (slot := self._active[curl]).visit is None or not self._try_otherwise(slot, 0, "")]
        for curl, code, message in failed:
            slot = self._active[curl]
            if slot.visit is not None and self._try_otherwise(slot, code, message):
                continue
            if not self._try_next(slot, code):
                ended.append((slot, code, message))
        if self._refused:
            ended += [(slot, 0, "") for slot in self._refused]
        if ended:
            self._finish(ended)

    def _finish(self, ended: Iterable[tuple[_Slot, int, str]]) -> None:
        """Free all slots first, then hand over: whatever an ``on_done`` does meets a transport in order."""
        results = []
        for slot, code, message in ended:
            page, body = slot.result(code, message)
            assert slot.on_done is not None
            results.append((slot.on_done, page, body))
            self._release(slot)
        for on_done, page, body in results:
            self._hand_over(on_done, page, body)

    @staticmethod
    def _hand_over(on_done: OnDone, page: Page, body: bytes) -> None:
        try:
            on_done(page, body)
        except Exception:  # noqa: BLE001 - a mistake of the caller's must not stop the other pages
            _log.exception("%s: the page could not be handed on", without_userinfo(page.uri.url))

    def _release(self, slot: _Slot) -> None:
        del self._active[slot.curl]
        if slot.is_running:
            self._multi.remove_handle(slot.curl)
        elif slot.lookup is None:
            self._refused.remove(slot)
        slot.reset()
        self._idle.append(slot)
