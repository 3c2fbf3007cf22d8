"""Query parameters that say who looks at a page, not which page it is: session ids and tracking (``docs/urls.md``).

Adding a name changes canonical forms: raise the versions in ``settings.py``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from typing import Final

#: Session ids whatever their value: PHP, Java, ColdFusion, ASP.NET, osCommerce, Zen Cart, BroadVision.
_SESSIONS: Final = frozenset({
    "jsessionid", "phpsessid", "phpsessionid", "cfid", "cftoken", "asp.net_sessionid", "oscsid", "zenid",
    "bv_sessionid", "bv_engineid"})
#: The same with something behind the name: ASP and JServ make a new name for each server.
_SESSION_STARTS: Final = ("aspsessionid", "jservsessionid")
#: Session ids if their value looks like one: elsewhere these names mean other things.
_PERHAPS_SESSIONS: Final = frozenset({"sid", "lsid", "sessid", "session", "sessionid", "session_id"})
_SESSION_VALUE: Final = re.compile(
    r"(?=[A-Za-z]*[0-9])[0-9A-Za-z]{20,}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

#: By company: Google, Meta, Microsoft, Yandex, X, TikTok, LinkedIn, Pinterest, Reddit, Snapchat, Mailchimp, Marketo,
#: HubSpot, Klaviyo, Vero, Omeda, Drip, Adobe, Openstat, Matomo, Yahoo, Branch, Wunderkind.
_TRACKING: Final = frozenset({
    "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "gad_source", "gad_campaignid", "srsltid", "_ga", "_gl", "fbclid",
    "fb_action_ids", "fb_action_types", "fb_source", "fb_ref", "igshid", "igsh", "msclkid", "yclid", "ysclid", "ymclid",
    "twclid", "ttclid", "li_fat_id", "epik", "rdt_cid", "sccid", "mc_cid", "mc_eid", "mkt_tok", "_hsenc", "_hsmi",
    "__hssc", "__hstc", "__hsfp", "hsctatracking", "_kx", "vero_id", "vero_conv", "oly_anon_id", "oly_enc_id", "__s",
    "s_cid", "s_kwcid", "ef_id", "_openstat", "guccounter", "guce_referrer", "guce_referrer_sig", "_branch_match_id",
    "_branch_referrer", "wickedid"})
_TRACKING_STARTS: Final = ("utm_", "mtm_", "pk_", "piwik_", "matomo_", "hsa_")

#: In a path, behind a semicolon; not behind ``.`` or ``..``, which would become a dot segment.
_PATH_SESSION: Final = re.compile(
    r"(?<!/\.)(?<!/\.\.);(?:(?:jsessionid|phpsessid|sessionid|sid)=|\$sessionid\$)[^;/]*", re.IGNORECASE)
#: ASP.NET without cookies: a segment of its own, ``/(S(4hqa0555fwsecu455xqckv45))/``, before 2.0 ``/(4hqa…)/``.
_PATH_SESSION_SEGMENT: Final = re.compile(
    r"/\((?:(?:[a-z]\([0-9a-z]{24,}\))+|[0-9a-z]{24})\)(?=/)", re.IGNORECASE)


def is_session_id(name: str, value: str) -> bool:
    """True when the query parameter *name* (in lower case) with *value* is a session id."""
    return (name in _SESSIONS or name.startswith(_SESSION_STARTS)
            or (name in _PERHAPS_SESSIONS and _SESSION_VALUE.fullmatch(value) is not None))


def is_tracking(name: str) -> bool:
    """True when the query parameter *name* (in lower case) serves to follow people."""
    return name in _TRACKING or name.startswith(_TRACKING_STARTS)


#: A segment that a parser would resolve (WHATWG URL, section 4.4: single-dot and double-dot segments).
_DOTS: Final = re.compile(r"/(?:\.|%2e){1,2}(?=/|$)", re.IGNORECASE)


def without_session_ids(path: str) -> str:
    """*path* without the session ids in it; as it is when nothing but dots would be left of a segment."""
    without = _PATH_SESSION.sub("", path) if ";" in path else path
    if "/(" in without:
        without = _PATH_SESSION_SEGMENT.sub("", without)
    return path if without != path and _DOTS.search(without) else without


def globs(names: Iterable[str]) -> re.Pattern[str] | None:
    """What matches the names of parameters that fit one of the patterns *names*, as in a shell; None without any."""
    patterns = [fnmatch.translate(name) for name in names]
    return re.compile("|".join(patterns)) if patterns else None
