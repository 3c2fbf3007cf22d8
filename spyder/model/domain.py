"""Registered domains by the Public Suffix List."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList  # costs 30 ms, and most crawls don't ask

    return PublicSuffixList(only_icann=True)


@lru_cache(maxsize=8192)
def registered_domain(host: str) -> str:
    """The registered domain of *host* (a port is cut off): ``docs.example.co.uk:81`` gives ``example.co.uk``.

    Only the ICANN part of the list counts, so that ``user.github.io`` belongs to ``github.io``. An IP address, a
    single label or a public suffix itself stands for itself.
    """
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name.startswith("[") or name.replace(".", "").isdigit():
        return name
    return _suffixes().privatesuffix(name) or name


@lru_cache(maxsize=1)
def _all_suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


@lru_cache(maxsize=8192)
def is_public_suffix(name: str) -> bool:
    """True when unrelated people register names below *name*: ``co.uk``, ``github.io``, and every single label.

    Here the whole list counts, as it does for browsers: its use is to keep cookies apart.
    """
    return "." not in name or bool(_all_suffixes().publicsuffix(name) == name)
