"""Dates as sitemaps and feeds write them: W3C date and time, RFC 822, and what people make of both."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import mktime_tz, parsedate_tz
from typing import Final

#: https://www.w3.org/TR/NOTE-datetime, and what stands in its place: a space for the T, no seconds, no zone, no colons.
_W3C: Final = re.compile(
    r"(\d{4})(?:-?(\d{1,2})(?:-?(\d{1,2})(?:[Tt ]\s*(\d{1,2}):?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?"
    r"\s*(?:([Zz]|UTC|GMT)|([+-])(\d{2}):?(\d{2})?)?)?)?)?")
_MAX_LENGTH: Final = 64


def modified_at(text: str) -> float:
    """The time that *text* means, in seconds since 1970 (UTC); 0 when it means none, or one before 1970.

    A missing day or month is the first, a missing time midnight, a missing zone UTC.
    """
    text = text.strip()[:_MAX_LENGTH]
    match = _W3C.match(text)
    if match is not None and (match.end() == len(text) or match[3] is not None):  # something may follow a whole date
        return _w3c(match)
    found = parsedate_tz(text)
    if found is None:
        return 0.0
    try:
        return max(0.0, float(mktime_tz(found)))
    except (ValueError, OverflowError):
        return 0.0


def _w3c(match: re.Match[str]) -> float:
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    try:
        at = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        at += timedelta(hours=int(hour or 0), minutes=int(minute or 0), seconds=min(int(second or 0), 59))
        zone = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
        at += -zone if sign == "+" else zone
        return max(0.0, at.timestamp() + float(f"0.{(fraction or '0')[:6]}"))
    except (ValueError, OverflowError):
        return 0.0
