"""Which URIs of a host come first: the built-in prioritizers."""

from __future__ import annotations


class FirstComeFirstServed:
    """All URIs alike: the order of discovery, which is breadth first."""

    def __call__(self, url: str, *, depth: int, is_seed: bool) -> int:  # noqa: ARG002  the contract's arguments
        """Always 0."""
        return 0
