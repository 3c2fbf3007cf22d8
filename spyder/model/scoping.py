"""By which name a host is in scope: the part of scope that both master and workers know."""

from __future__ import annotations

from typing import Literal

from spyder.model.domain import registered_domain

ScopeMode = Literal["host", "domain", "any"]


class HostScoping:
    """Maps a host to the name that must have been seeded for its pages to be in scope."""

    def __init__(self, mode: ScopeMode) -> None:
        self.mode = mode

    def name_of(self, host: str) -> str | None:
        """The host itself, its registered domain, or None when every host is in scope."""
        match self.mode:
            case "host":
                return host
            case "domain":
                return registered_domain(host)
            case "any":
                return None
