"""Who may be reached: addresses beyond this host are refused unless the settings allow them in words.

Authentication by CURVE finds its place here.
"""

from __future__ import annotations

import ipaddress

from spyder.errors import BusError


def check_bind(address: str, *, insecure: bool) -> None:
    """Refuse to bind *address* beyond loopback, unless *insecure*.

    Raises :class:`BusError` saying what to set.
    """
    if insecure or is_local(address):
        return
    raise BusError(f"{address} can be reached from other hosts, and nothing on it is authenticated: "
                   f"bind to 127.0.0.1 or ipc://, or say `bus.insecure: true` on a network that you trust")


def is_local(address: str) -> bool:
    """True for ``ipc://``, ``inproc://`` and TCP addresses on loopback."""
    scheme, _, rest = address.partition("://")
    if scheme in {"ipc", "inproc"}:
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
