"""Which URIs share a queue and its politeness: the built-in assignments."""

from __future__ import annotations

from spyder.model.domain import registered_domain


def by_host(host: str) -> str:
    """A queue for each host and port."""
    return host


def by_domain(host: str) -> str:
    """A queue for each registered domain: all hosts of one organisation share its politeness."""
    return registered_domain(host)
