"""What a page asks of robots beyond robots.txt: X-Robots-Tag fields and robots meta elements become marks.

There is no standard; the rules are those that search engines document (Google Search Central, "Robots meta tag,
data-nosnippet, and X-Robots-Tag specifications").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from spyder.model.records import Headers

NOFOLLOW: Final = "nofollow"

#: Directives that are kept, and the marks that they are. All else (``all``, ``max-snippet:`` ...) asks for nothing.
_MARKS: Final = {
    "noindex": ("noindex",),
    "nofollow": (NOFOLLOW,),
    "none": ("noindex", NOFOLLOW),
    "noarchive": ("noarchive",),
    "nocache": ("noarchive",),
    "nosnippet": ("nosnippet",),
    "noimageindex": ("noimageindex",),
    "noai": ("noai",),
    "noimageai": ("noimageai",),
}
#: Directives with a value: what stands before their colon is no robot's name.
_VALUED: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_NAME: Final = re.compile(r"\s*([A-Za-z0-9_*-]+)\s*:")
_HEADER: Final = "x-robots-tag"


def header_directives(headers: Headers, agent: str) -> frozenset[str]:
    """The marks of all X-Robots-Tag fields that are for all robots or for *agent*, our product token."""
    return directives((value for name, value in headers if name == _HEADER), agent)


def directives(values: Iterable[str], agent: str) -> frozenset[str]:
    """The marks that *values* ask for, each a list as ``noindex, nofollow`` or ``agent: noindex, nofollow``.

    A name counts up to the next one, or the end of its value. Marks for *agent* and for all robots add up; those for
    others are left out. ``none`` is ``noindex`` and ``nofollow``, ``nocache`` is ``noarchive``.
    """
    marks: set[str] = set()
    for value in values:
        is_for_us = True
        for part in value.split(","):
            name, directive = _NAME.match(part), part
            if name is not None and name[1].lower() not in _VALUED:
                is_for_us = name[1].lower() in {agent.lower(), "*"}
                directive = part[name.end() :]
            if is_for_us:
                marks.update(_MARKS.get(directive.strip().lower(), ()))
    return frozenset(marks)
