"""For tests of what is built on Spyder: a clock that stands still, and pages without a network."""

from __future__ import annotations

__all__ = ["ManualClock", "make_page"]
