"""IP addresses: which are public, what the others are for, and which hosts of URLs are addresses themselves.

The ranges are those of IANA's special-purpose address registries (RFC 6890 and its successors), multicast, what was
given up, and the addresses at which clouds answer their own machines. What is not listed and not among the IPv6
addresses that are handed out (2000::/3) is not public either.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from spyder.model.url import host_of

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = "a cloud's metadata service"  #: an answer of :func:`special_range`: such addresses give away credentials

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNASSIGNED = "not assigned for public use"

_METADATA_ADDRESSES = (
    "169.254.169.254",  # AWS, Azure, Google, DigitalOcean, OpenStack, Oracle ...
    "169.254.169.253",  # AWS: name server
    "169.254.170.2", "169.254.170.23",  # AWS: credentials of containers
    "169.254.42.42",  # Scaleway
    "169.254.0.23",  # Tencent
    "100.100.100.200",  # Alibaba
    "168.63.129.16",  # Azure: its WireServer, at an address that looks public
    "192.0.0.192",  # Oracle, first generation
    "fd00:ec2::254", "fd00:ec2::23",  # AWS
    "fd20:ce::254",  # Google
    "fd00:42::42",  # Scaleway
)

_V4_RANGES = (
    ("0.0.0.0/8", "this network"),  # RFC 791, section 3.2
    ("10.0.0.0/8", "private"),  # RFC 1918
    ("100.64.0.0/10", "shared behind a carrier's NAT"),  # RFC 6598
    ("127.0.0.0/8", "loopback"),  # RFC 1122, section 3.2.1.3
    ("169.254.0.0/16", "link-local"),  # RFC 3927
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved for protocols"),  # RFC 6890
    ("192.0.2.0/24", "for documentation"),  # RFC 5737
    ("192.31.196.0/24", "reserved for AS112"),  # RFC 7535
    ("192.52.193.0/24", "reserved for AMT relays"),  # RFC 7450
    ("192.88.99.0/24", "of 6to4 relays, which are given up"),  # RFC 7526
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "reserved for AS112"),  # RFC 7534
    ("198.18.0.0/15", "for benchmarks"),  # RFC 2544
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),  # RFC 5771
    ("255.255.255.255/32", "broadcast"),  # RFC 8190
    ("240.0.0.0/4", "reserved"),  # RFC 1112, section 4
)

_V6_RANGES = (
    ("::1/128", "loopback"),  # RFC 4291
    ("::/128", "unspecified"),
    ("64:ff9b:1::/48", "of a local NAT64"),  # RFC 8215
    ("100::/64", "for traffic to be discarded"),  # RFC 6666
    ("100:0:0:1::/64", "a dummy prefix"),  # RFC 9780
    ("2001:10::/28", "an ORCHID"),  # RFC 4843
    ("2001:20::/28", "an ORCHID"),  # RFC 7343
    ("2001:2::/48", "for benchmarks"),  # RFC 5180
    ("2001::/32", "of Teredo"),  # RFC 4380: no server has its home there
    ("2001::/23", "reserved for protocols"),  # RFC 2928
    ("2001:db8::/32", "for documentation"),  # RFC 3849
    ("2620:4f:8000::/48", "reserved for AS112"),  # RFC 7534
    ("3fff::/20", "for documentation"),  # RFC 9637
    ("5f00::/16", "for segment routing"),  # RFC 9602
    ("fc00::/7", "private"),  # RFC 4193
    ("fe80::/10", "link-local"),  # RFC 4291
    ("fec0::/10", "site-local, which is given up"),  # RFC 3879
    ("ff00::/8", "multicast"),
)

_METADATA_SET = frozenset(ipaddress.ip_address(text) for text in _METADATA_ADDRESSES)
_RANGES: dict[int, tuple[tuple[Network, str], ...]] = {
    4: tuple((ipaddress.ip_network(text), what) for text, what in _V4_RANGES),
    6: tuple((ipaddress.ip_network(text), what) for text, what in _V6_RANGES),
}
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")  # RFC 4291, section 2.4, and IANA's registry of unicast addresses
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, section 2.5.5.1
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")  # RFC 2765, section 2.1
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052, section 2.1
_ISATAP = 0x00005EFE  # RFC 5214, section 6.1: the third quarter of the address, but for the bit "universal"


def parse_address(text: str) -> Address | None:
    """The IP address that *text* is, None when it is none. A zone (``%eth0``) is left out, brackets are not taken."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return ipaddress.IPv6Address(int(address))
    return address


def unmapped(address: Address) -> Address:
    """*address*, or the IPv4 address that an IPv4-mapped one means on the wire (RFC 4291, section 2.5.5.2)."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=4096)
def special_range(address: Address) -> str:
    """What *address* is for when it is not a public one, in words with its range; empty for a public one.

    An address that carries an IPv4 address (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) is judged by
    that as well.
    """
    if address in _METADATA_SET:
        return METADATA
    if isinstance(address, ipaddress.IPv6Address):
        for kind, embedded in _embedded(address):
            if what := special_range(embedded):
                return f"{kind} of {embedded}, which is {what}"
    for network, what in _RANGES[address.version]:
        if address in network:
            return f"{what} ({network})"
    if isinstance(address, ipaddress.IPv4Address):
        return ""
    is_public = address in _PUBLIC_V6 or address in _NAT64 or address.ipv4_mapped is not None
    return "" if is_public else _UNASSIGNED


def _embedded(address: ipaddress.IPv6Address) -> list[tuple[str, ipaddress.IPv4Address]]:
    """The IPv4 addresses that *address* carries, each with the name of the way in which it does."""
    number = int(address)
    low = ipaddress.IPv4Address(number & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None:
        return [("the IPv4-mapped form", low)]
    if address in _COMPATIBLE and number > 1:  # all but the unspecified address and loopback
        return [("the IPv4-compatible form", low)]
    if address in _TRANSLATED:
        return [("the IPv4-translated form", low)]
    if address in _NAT64:
        return [("the NAT64 form", low)]
    found = []
    if address.sixtofour is not None:  # RFC 3056, section 2
        found.append(("the 6to4 form", address.sixtofour))
    if address.teredo is not None:  # RFC 4380, section 4: the server, and the client with all bits turned
        found += [("the Teredo form", part) for part in address.teredo]
    if number >> 32 & 0xFCFF_FFFF == _ISATAP:
        found.append(("the ISATAP form", low))
    return found


@lru_cache(maxsize=4096)
def host_address(hostname: str) -> Address | None:
    """The IP address that a URL's host (without port; lower case, as :mod:`spyder.model.url` gives it) is, or None."""
    if hostname.startswith("["):
        return parse_address(hostname[1:-1]) if hostname.endswith("]") else None
    return parse_address(hostname) if hostname[-1:].isdigit() else None


def is_localhost(hostname: str) -> bool:
    """True for ``localhost`` and all names below it: they mean loopback addresses and nothing else (RFC 6761, 6.3)."""
    name = hostname.removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def host_and_port(href: str) -> tuple[str, int]:
    """Host and port of a fetch URL, the scheme's default port where none is given; port 0 when it can't be one."""
    authority = host_of(href)
    head, colon, tail = authority.rpartition(":")
    if colon and not tail.endswith("]"):
        port = int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 6 else 0
        return head, port if port < 65536 else 0
    return authority, _DEFAULT_PORTS.get(href.partition(":")[0], 0)


def is_metadata(address: Address) -> bool:
    """True when *address* is that of a cloud's metadata service, or carries it."""
    return address in _METADATA_SET or (
        isinstance(address, ipaddress.IPv6Address) and any(part in _METADATA_SET for _, part in _embedded(address)))
