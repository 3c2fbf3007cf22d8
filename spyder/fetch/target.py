"""Where a fetch goes: the host and port of its URL, and which addresses may be connected to for it."""

from __future__ import annotations

from dataclasses import dataclass

from spyder.fetch.guard import Guard
from spyder.model.addresses import Address, host_address, host_and_port, is_localhost, is_metadata, parse_address
from spyder.model.limits import MAX_HOST
from spyder.model.records import CrawlUri, Failure
from spyder.model.states import ErrorKind

_REMEMBERED = 4096  #: targets kept in memory
_AUTHORITY = len("https://")  #: a URL's first slash after these ends its authority


@dataclass(frozen=True, slots=True)
class Target:
    """Scheme, host and port of a URL."""

    hostname: str
    port: int
    literal: Address | None  #: the host, when it is an address itself
    is_localhost: bool
    objection: str  #: to the literal address
    firm_objection: str  #: the same for a permitted URI


class Targets:
    """Finds out the targets of URLs, and judges what is connected to for them."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._known: dict[str, Target] = {}

    def target(self, url: str) -> Target | None:
        """The target of the fetch URL *url*; None when it is no http(s) URL with a host and port."""
        end = url.find("/", _AUTHORITY)
        origin = url if end < 0 else url[:end]
        found = self._known.get(origin)
        if found is None:
            if not url.startswith(("http://", "https://")):
                return None
            hostname, port = host_and_port(url)
            literal = host_address(hostname)
            if len(hostname) > MAX_HOST or not hostname or not port or (literal is None and hostname.startswith("[")):
                return None
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            objection = "" if literal is None else self._guard.objection(str(literal), port)
            firm = objection if literal is not None and is_metadata(literal) else ""
            found = self._known[origin] = Target(hostname, port, literal, is_localhost(hostname), objection, firm)
        return found

    def objection(self, uri: CrawlUri, target: Target, address: str) -> str:
        """Why nobody may connect to *address* for *uri*; empty: it may be done.

        A permitted URI may go to the address that its URL gives, or with ``localhost`` to a loopback address, at the
        port that its URL gives, and to nothing else that is not public.
        """
        objection = self._guard.objection(address, target.port)
        if not objection or not uri.is_permitted:
            return objection
        parsed = parse_address(address)
        if parsed is None or is_metadata(parsed):
            return objection
        is_its_own = parsed == target.literal or (target.is_localhost and parsed.is_loopback)
        return "" if is_its_own else objection

    def choose(self, uri: CrawlUri, target: Target, addresses: tuple[str, ...]) -> tuple[list[str], Failure | None]:
        """Those of *addresses* that may be connected to; when there is none, why."""
        good = []
        refusal = ""
        for address in addresses:
            objection = self.objection(uri, target, address)
            if not objection:
                good.append(address)
            refusal = refusal or objection
        if good:
            return good, None
        words = refusal if target.literal is not None else f"{target.hostname}: {refusal}"
        return [], Failure(kind=ErrorKind.ADDRESS, detail=words)
