"""Names to addresses, on the event loop: settings, the hosts file, then DNS; one look-up per name, remembered."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spyder.errors import SettingsError
from spyder.model.addresses import is_localhost, parse_address, special_range
from spyder.model.clock import Clock
from spyder.model.records import Failure
from spyder.model.states import ErrorKind
from spyder.settings import DnsSection

if TYPE_CHECKING:
    from spyder.fetch.nameservers import Client, Reply

_log = logging.getLogger(__name__)

HOSTS_FILE = Path("/etc/hosts")
RESOLVER_FILE = Path("/etc/resolv.conf")

_LOOPBACK = ("127.0.0.1", "::1")
_NEVER_ASKED = frozenset({"invalid", "onion", "alt"})  #: RFC 6761, 6.4; RFC 7686; RFC 9476: top-level domains
_PORT = 53
_AT_ONCE = 100  #: names that are asked for at the same time; each has one or two sockets
_FAILED = 32  #: addresses of one name that are remembered as not answering
_LEAST_WAIT = 0.05  #: seconds for a question at the least
_SECOND_FAMILY_WAIT = 0.3  #: seconds that one family's addresses wait for the other's (RFC 8305, section 3: 0.05)
_ROUTE_VALIDITY = 60.0  #: seconds that we believe to know whether there is a way to IPv6
_IPV6_PROBE = "2001:4860:4860::8888"  #: a public address; nothing is sent to it

@dataclass(frozen=True, slots=True)
class Answer:
    """What a name means: addresses in the order in which to try them, or why there are none."""

    addresses: tuple[str, ...]
    until: float  #: monotonic time, seconds, to which it holds
    failure: Failure | None = None


OnAnswer = Callable[[Answer], None]


class Resolver:
    """Looks names up; at most ``settings.cache`` of them are remembered. Use it from the loop's thread only.

    Raises :class:`SettingsError` when a mapping or a server's address can't be read.
    """

    def __init__(self, settings: DnsSection, *, clock: Clock, loop: asyncio.AbstractEventLoop,
                 hosts_file: Path = HOSTS_FILE, resolver_file: Path = RESOLVER_FILE) -> None:
        self._settings = settings
        self._clock = clock
        self._loop = loop
        self._static = _static(settings.hosts)
        self._hosts_file = _WatchedFile(hosts_file)
        self._resolver_file = _WatchedFile(resolver_file)
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._servers = [_server(text) for text in settings.servers]
        self._client: Client | None = None
        self._known: OrderedDict[str, Answer] = OrderedDict()  # by name, the one longest unused first
        self._failed: OrderedDict[str, tuple[str, ...]] = OrderedDict()  # addresses where nothing answered, by name
        self._asking: dict[str, tuple[asyncio.Task[None], list[OnAnswer]]] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._has_ipv6 = False
        self._route_until = -1.0

    @property
    def active(self) -> int:
        """Names that are being asked for."""
        return len(self._asking)

    def known(self, name: str) -> Answer | None:
        """What *name* (a URL's host, no address) means, if that needs no question to a server."""
        name = name.removesuffix(".").lower()
        now = self._clock.monotonic()
        answer: Answer | None
        if found := self._static_addresses(name):
            answer = Answer(found, now + self._settings.max_ttl)
        elif is_localhost(name):
            answer = Answer(_LOOPBACK, now + self._settings.max_ttl)
        elif found := self._from_hosts_file(name):
            answer = Answer(found, now + self._settings.min_ttl)
        else:
            answer = self._known.get(name)
            if answer is None or answer.until <= now:
                return None
            self._known.move_to_end(name)
        return self._sorted(name, answer)

    def lookup(self, name: str, on_answer: OnAnswer) -> None:
        """Find out what *name* means; *on_answer* is called later, from the loop and once, unless :meth:`close` comes.

        Who asks for a name that is being asked for already gets the same answer.
        """
        name = name.removesuffix(".").lower()
        answer = self.known(name)
        if answer is not None:
            self._loop.call_soon(on_answer, answer)
            return
        if name in self._asking:
            self._asking[name][1].append(on_answer)
            return
        task = self._loop.create_task(self._find(name), name=f"look-up of {name[:100]}")
        self._asking[name] = task, [on_answer]

    def failed(self, name: str, address: str) -> None:
        """Nothing answers at *address*: the other addresses of *name* come first from now on."""
        name = name.removesuffix(".").lower()
        before = self._failed.pop(name, ())
        self._failed[name] = (*(other for other in before if other != address), address)[-_FAILED:]
        while len(self._failed) > self._settings.cache:
            self._failed.popitem(last=False)

    def _sorted(self, name: str, answer: Answer) -> Answer:
        """*answer* with the addresses where nothing answered at its end, the latest one last."""
        failed = self._failed.get(name)
        if failed is None:
            return answer
        addresses = [address for address in answer.addresses if address not in failed]
        addresses += [address for address in failed if address in answer.addresses]
        return Answer(tuple(addresses), answer.until, answer.failure)

    def close(self) -> None:
        """End all look-ups; nobody is told."""
        asking, self._asking = self._asking, {}
        for task, _ in asking.values():
            task.cancel()

    # -- one look-up ---------------------------------------------------------------------------------------------

    async def _find(self, name: str) -> None:
        try:
            async with self._at_once:
                answer = await self._ask(name)
        except Exception as error:  # noqa: BLE001 - a mistake of ours is not to keep the lease for ever
            _log.exception("the look-up of %s failed in an unforeseen way", name)
            answer = self._no_address(f"{name}: {type(error).__name__}: {error}")
        self._known[name] = answer
        self._known.move_to_end(name)
        while len(self._known) > self._settings.cache:
            self._known.popitem(last=False)
        _, waiting = self._asking.pop(name)
        answer = self._sorted(name, answer)
        for on_answer in waiting:
            try:
                on_answer(answer)
            except Exception:  # noqa: BLE001 - a mistake of one caller's is not the others'
                _log.exception("%s: the answer could not be handed on", name)

    async def _ask(self, name: str) -> Answer:
        """Ask for *name* as it stands, and then for what the search list makes of it."""
        if name.rpartition(".")[2] in _NEVER_ASKED:
            return self._no_address(f"{name}: no such name (it is never looked up)")
        client = self._current_client()
        names = client.full_names(name)
        if not names:
            return self._no_address(f"{name[:100]}: no name that DNS could know")
        deadline = self._clock.monotonic() + self._settings.timeout
        replies: list[Reply] = []
        for full_name in names:
            replies = await self._ask_both(full_name, client, deadline)
            if any(reply.addresses or reply.trouble for reply in replies):
                break
        return self._answer(name, replies)

    async def _ask_both(self, full_name: str, client: Client, deadline: float) -> list[Reply]:
        """Ask for both families at once; for IPv6 only as a last resort when there is no way to it."""
        prefers_ipv6 = self._is_ipv6_routed()
        first = asyncio.ensure_future(self._ask_one(full_name, "A", client, deadline))
        futures = [first]
        try:
            if not prefers_ipv6:
                reply = await first
                if not reply.is_empty:
                    return [reply]
            second = asyncio.ensure_future(self._ask_one(full_name, "AAAA", client, deadline))
            futures = [second, first] if prefers_ipv6 else [first, second]
            done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            has_addresses = any(future.result().addresses for future in done)
            await asyncio.wait(futures, timeout=_SECOND_FAMILY_WAIT if has_addresses else None)
            return [future.result() for future in futures if future.done()]
        finally:
            for future in futures:
                future.cancel()

    async def _ask_one(self, full_name: str, family: Literal["A", "AAAA"], client: Client, deadline: float) -> Reply:
        seconds = max(_LEAST_WAIT, deadline - self._clock.monotonic())
        reply = await client.ask(full_name, family, seconds)
        if reply.is_late:
            told = f"no answer within {self._settings.timeout:g} s (dns.timeout)"
            reply = replace(reply, trouble=f"{told}: {reply.trouble}" if reply.trouble else told)
        return reply

    def _answer(self, name: str, replies: list[Reply]) -> Answer:
        """What both families' answers mean together."""
        settings = self._settings
        addresses = tuple(address for reply in replies for address in reply.addresses)
        if addresses:
            ttl = min(reply.ttl for reply in replies if reply.addresses)
            return Answer(addresses, self._clock.monotonic() + min(max(ttl, settings.min_ttl), settings.max_ttl))
        trouble = next((reply.trouble for reply in replies if reply.trouble), "")
        if trouble:
            return self._no_address(f"{name}: {trouble}")
        is_missing = any(reply.is_missing for reply in replies)
        return self._no_address(f"{name}: " + ("no such name (NXDOMAIN)" if is_missing else "the name has no address"))

    def _no_address(self, detail: str) -> Answer:
        return Answer((), self._clock.monotonic() + self._settings.negative_ttl,
                      Failure(kind=ErrorKind.DNS, detail=detail))

    # -- where answers come from ---------------------------------------------------------------------------------

    def _static_addresses(self, name: str) -> tuple[str, ...]:
        static = self._static
        if not static:
            return ()
        found = static.get(name)
        rest = name
        while found is None and "." in rest:
            rest = rest.partition(".")[2]
            found = static.get(f"*.{rest}")
        return found or ()

    def _from_hosts_file(self, name: str) -> tuple[str, ...]:
        if self._hosts_file.has_changed(self._clock.monotonic()):
            self._hosts = _read_hosts(self._hosts_file.path)
        return self._hosts.get(name, ())

    def _current_client(self) -> Client:
        """Who asks DNS; made anew when the system's resolver file changes."""
        if self._resolver_file.has_changed(self._clock.monotonic()) or self._client is None:
            from spyder.fetch.nameservers import Client  # its library is large, and not every crawl needs it

            self._client = Client(self._servers, self._resolver_file.path)
        return self._client

    def _is_ipv6_routed(self) -> bool:
        """True when this host has a public IPv6 address to connect from: then IPv6 comes first (RFC 6724)."""
        now = self._clock.monotonic()
        if now >= self._route_until:
            self._route_until = now + _ROUTE_VALIDITY
            self._has_ipv6 = _has_ipv6_route()
        return self._has_ipv6


class _WatchedFile:
    """Tells when a file has changed; looks once a second at the most."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark: tuple[int, int, int] | None = (-1, -1, -1)
        self._next_look = -1.0

    def has_changed(self, now: float) -> bool:
        """True at first, and when the file is another one than at the last call."""
        if now < self._next_look:
            return False
        self._next_look = now + 1.0
        try:
            status = self.path.stat()
        except OSError:
            mark = None
        else:
            mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        has_changed = mark != self._mark
        self._mark = mark
        return has_changed


def check_settings(settings: DnsSection) -> None:
    """Refuse mappings and servers that can't be read. Raises :class:`SettingsError`."""
    _static(settings.hosts)
    for text in settings.servers:
        _server(text)


def _static(hosts: dict[str, str]) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, text in hosts.items():
        addresses = tuple(text.replace(",", " ").split())
        if not addresses or any(parse_address(address) is None for address in addresses):
            raise SettingsError(f"`dns.hosts.{name}` is {text!r}: expected an IP address, or several with spaces "
                                "between them")
        if not name or "*" in name.removeprefix("*."):
            raise SettingsError(f"`dns.hosts`: {name!r} is no name: expected one like www.example.org or *.example.org")
        found[name.lower().removesuffix(".")] = addresses
    return found


def _server(text: str) -> tuple[str, int]:
    host, port = text, str(_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if parse_address(host) is None or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"`dns.servers`: {text!r} is no IP address, with or without a port: expected something "
                            "like 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353")
    return host, int(port)


def _read_hosts(path: Path) -> dict[str, tuple[str, ...]]:
    """The mappings of a hosts(5) file; lines that are none are passed over."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if parse_address(address) is not None:
            for name in names:
                key = name.lower().removesuffix(".")
                found[key] = (*found.get(key, ()), address)
    return found


def _has_ipv6_route() -> bool:
    """Ask the kernel which address it would connect from; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((_IPV6_PROBE, _PORT))
            source = parse_address(probe.getsockname()[0])
    except OSError:
        return False
    return source is not None and not special_range(source)
