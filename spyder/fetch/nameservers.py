"""Asks name servers for the addresses of one name; the only module that knows the DNS library."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from spyder.fetch.failures import one_line

_FALLBACK_SERVER = "127.0.0.1"  #: of a system without a resolver file, resolv.conf(5)
_PORT = 53
_PAYLOAD = 1232  #: bytes of an answer over UDP that get through everywhere (DNS flag day 2020)
_MAX_ADDRESSES = 32  #: taken from one answer
_GRACE = 0.05  #: seconds by which our limit is later than the library's, which comes with reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What was found out about one family of addresses."""

    addresses: tuple[str, ...] = ()
    ttl: float = 0.0  #: seconds, of the addresses and the aliases that lead there
    is_missing: bool = False  #: there is no such name
    is_late: bool = False  #: nobody answered in time
    trouble: str = ""  #: why there is no answer

    @property
    def is_empty(self) -> bool:
        """True when the name is there, without an address of this family."""
        return not (self.addresses or self.is_missing or self.is_late or self.trouble)


class Client:
    """Asks *servers* (address and port), or those of the resolver file when there are none.

    Numbers and ports of questions are random, answers to anything else are passed over, a truncated one is asked for
    again over TCP, and another server is asked when one fails.
    """

    def __init__(self, servers: Sequence[tuple[str, int]], resolver_file: Path) -> None:
        self._resolver = resolver = dns.asyncresolver.Resolver(configure=False)
        try:
            resolver.read_resolv_conf(str(resolver_file))
        except (dns.exception.DNSException, ValueError, OSError):
            resolver.nameservers = [_FALLBACK_SERVER]
        if servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
        resolver.use_edns(0, 0, _PAYLOAD)
        resolver.cache = None

    @property
    def servers(self) -> tuple[str, ...]:
        """Whom it asks, in order."""
        return tuple(server if isinstance(server, str) else server.answer_nameserver()
                     for server in self._resolver.nameservers)

    def full_names(self, name: str) -> list[str]:
        """The full names that *name* may mean, in the order in which to ask for them; none when it is no name.

        A name with a dot is asked for as it stands, and then, when it has fewer dots than ``ndots``, with each suffix
        of the search list; a single word the other way round. So no suffix can shadow a name of the web, and a dead
        name with dots enough costs one question.
        """
        if not name:
            return []
        resolver = self._resolver
        suffixes = resolver.search
        if not suffixes and resolver.domain is not None and resolver.domain != dns.name.root:
            suffixes = [resolver.domain]
        dots = name.count(".")
        if dots >= (1 if resolver.ndots is None else resolver.ndots):
            suffixes = []
        try:
            full = dns.name.from_text(f"{name}.")
            longer = [full.relativize(dns.name.root).concatenate(suffix).to_text() for suffix in suffixes]
        except dns.exception.DNSException:  # an empty or too long label, or all is too long
            return []
        return [full.to_text(), *longer] if dots else [*longer, full.to_text()]

    async def ask(self, full_name: str, family: str, seconds: float) -> Reply:
        """Ask for addresses of *family* (``A`` or ``AAAA``) for *seconds* at the most."""
        try:
            async with asyncio.timeout(seconds + _GRACE):
                found = await self._resolver.resolve(full_name, family, search=False, raise_on_no_answer=False,
                                                     lifetime=seconds)
        except dns.resolver.NXDOMAIN:
            return Reply(is_missing=True)
        except (dns.resolver.LifetimeTimeout, TimeoutError) as error:
            return Reply(is_late=True, trouble=_said(error))
        except dns.resolver.NoNameservers as error:
            return Reply(trouble=_said(error) or "no server answers")
        except Exception as error:  # noqa: BLE001 - whatever an answer does to the library: loops, garbage
            return Reply(trouble=f"{type(error).__name__}: {one_line(str(error))}")
        if found.rrset is None:
            return Reply()
        ttl = min([found.rrset.ttl, *(rrset.ttl for rrset in found.chaining_result.cnames)])
        return Reply(addresses=tuple(record.address for record in found.rrset)[:_MAX_ADDRESSES], ttl=ttl)


def _said(error: Exception) -> str:
    """What went wrong with each server, such as ``SERVFAIL from 192.0.2.53``."""
    said = []
    for server, _, port, problem, _ in getattr(error, "kwargs", {}).get("errors", ()):
        words = problem if isinstance(problem, str) else one_line(f"{type(problem).__name__}: {problem}").rstrip(": ")
        place = str(server).removeprefix("Do53:").partition("@")[0]
        said.append(f"{words} from {place}" + (f":{port}" if port != _PORT else ""))
    return ", ".join(dict.fromkeys(said))[:300]
