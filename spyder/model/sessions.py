"""Session ids in URLs: what servers write into paths and queries where a browser refuses cookies."""

from __future__ import annotations

import re
from typing import Final

#: Java servlets and their like behind a semicolon, ASP.NET without cookies as a segment, many in queries; `sid` alone
#: may be anything, so its value must be a long hexadecimal number.
_SESSION: Final = re.compile(
    r"""
    ;(?:jsessionid|phpsessid|sessionid|session_id|sid|cfid|cftoken)=[^;/?#&]+
    | (?<=/)\((?:[A-Za-z]\([A-Za-z0-9_-]+\))+\)(?=/|$)
    | (?<=[?&;])(?:jsessionid|phpsessid|aspsessionid[a-z]*|sessionid|session_id|sessid|cfid|cftoken|oscsid|osc_sid
        |zenid|s?sid(?==[0-9a-f]{16}))=[^&;\#]+
    """, re.IGNORECASE | re.VERBOSE)
#: One of them is in every session id, in lower case.
_PARTS: Final = ("sid", "sess", "cfid", "cftoken", "zenid", "/(")


def may_have_session(href: str) -> bool:
    """False when there is certainly no session id in *href*; quicker than :func:`count_sessions`."""
    lower = href.lower()
    return any(part in lower for part in _PARTS)


def count_sessions(href: str) -> int:
    """How many session ids *href* has."""
    return len(_SESSION.findall(href))


def without_sessions(href: str) -> str:
    """*href* with a star for each session id: URLs that differ in nothing else become one."""
    return _SESSION.sub("*", href)
