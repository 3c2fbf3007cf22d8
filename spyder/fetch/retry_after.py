"""Reads the Retry-After header field: how long a server asks to be left alone."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_SECONDS = 366 * 86_400.0  #: seconds; a longer wish is cut to this, so that sums with it stay plain numbers
_MAX_LENGTH = 64  #: characters; no date and no sensible number is longer


def retry_after_seconds(value: str, now: float) -> float:
    """Seconds to wait from *now* (wall time, seconds since 1970), by RFC 9110, section 10.2.3.

    *value* is a number of seconds or an HTTP-date (section 5.6.7, obsolete forms too). What is neither, or lies in the
    past, is 0.0; more than :data:`MAX_SECONDS` is cut to it.
    """
    value = value.strip()[:_MAX_LENGTH]
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_SECONDS)
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # the asctime form names no zone: HTTP-dates are UTC
            date = date.replace(tzinfo=UTC)
        return min(max(date.timestamp() - now, 0.0), MAX_SECONDS)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
