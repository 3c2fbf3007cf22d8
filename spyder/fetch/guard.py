"""The guard: says of each address that is about to be connected to why that must not happen, or nothing."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from spyder.errors import SettingsError
from spyder.model.addresses import Address, Network, is_metadata, parse_address, special_range, unmapped
from spyder.settings import GuardSection

_MAPPED_BITS = 96  #: length of the prefix before the IPv4 address in an IPv4-mapped one
_REMEMBERED = 4096  #: judgements kept in memory

#: ``10.0.0.0/8``, ``127.0.0.1:8000``, ``fd00::/8``, ``[::1]:8000``, ``[fd00::/8]:80``.
_BRACKETED = re.compile(r"\[(?P<network>[^\]]*)\](?::(?P<port>[0-9]+))?")
_PLAIN = re.compile(r"(?P<network>[^:\[\]]+)(?::(?P<port>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class _Permit:
    """A network, all of it or one port, that the settings allow."""

    network: Network
    port: int | None

    def covers(self, address: Address, port: int) -> bool:
        return address in self.network and self.port in {None, port}


class Guard:
    """Judges addresses by ``guard`` of the settings. Raises :class:`SettingsError` for permits that can't be read."""

    def __init__(self, settings: GuardSection) -> None:
        self._is_off = settings.policy == "off"
        self._permits = tuple(_permit(text) for text in settings.allow_private)
        self._known: dict[tuple[str, int], str] = {}

    def objection(self, address: str, port: int) -> str:
        """Why nothing may connect to *address* and *port*, in one line with what would allow it; empty: it may."""
        known = self._known.get((address, port))
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[address, port] = self._judge(address, port)
        return known

    def _judge(self, address: str, port: int) -> str:
        if self._is_off:
            return ""
        parsed = parse_address(address)
        if parsed is None:
            return f"{address[:100]!r} is no IP address"
        what = special_range(parsed)
        if not what or self._is_permitted(unmapped(parsed), port):
            return ""
        literal = f"{parsed}:{port}" if parsed.version == 4 else f"[{parsed}]:{port}"
        return f'{address} is {what}; `guard.allow_private: ["{literal}"]` would allow it'

    def _is_permitted(self, address: Address, port: int) -> bool:
        """By the settings; a metadata service must be named itself: a network may hold one that nobody thought of."""
        return any(permit.covers(address, port) for permit in self._permits
                   if not is_metadata(address) or permit.network.num_addresses == 1)


def _permit(text: str) -> _Permit:
    """What one line of ``guard.allow_private`` allows."""
    match = _BRACKETED.fullmatch(text) or _PLAIN.fullmatch(text)
    network, port = (match["network"], match["port"]) if match else (text, None)
    where = f"`guard.allow_private`: {text!r}"
    try:
        found = ipaddress.ip_network(network)
    except ValueError as error:
        near = _with_host_bits(network)
        if near:
            raise SettingsError(f"{where} has bits set beyond its length: did you mean {near}?") from None
        raise SettingsError(f"{where} is no network ({error}): expected something like 10.0.0.0/8, 127.0.0.1:8000 "
                            "or [::1]:8000") from None
    if port is not None and not 0 < int(port) < 65536:
        raise SettingsError(f"{where}: a port is a number from 1 to 65535")
    if found.version == 6 and found.prefixlen >= _MAPPED_BITS and unmapped(found.network_address).version == 4:
        found = ipaddress.ip_network((int(found.network_address) & 0xFFFF_FFFF, found.prefixlen - _MAPPED_BITS))
    return _Permit(found, None if port is None else int(port))


def _with_host_bits(network: str) -> str:
    try:
        return str(ipaddress.ip_network(network, strict=False))
    except ValueError:
        return ""
