"""Retry-After is seconds or a date; anything else is no wish at all."""

import pytest

from spyder.fetch.retry_after import MAX_SECONDS, retry_after_seconds

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(("value", "seconds"), [
    ("120", 120.0),
    (" 0 ", 0.0),
    ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
    ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
    ("Sun Nov  6 08:50:37 1994", 60.0),
    ("Sun, 06 Nov 1994 10:50:37 +0200", 60.0),
    ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_SECONDS),
    ("9" * 5000, MAX_SECONDS),
    ("", 0.0),
    ("-5", 0.0),
    ("1.5", 0.0),
    ("soon", 0.0),
    ("٣", 0.0),
    ("Sun, 99 Nov 1994 08:50:37 GMT", 0.0),
    ("Sun, 06 Nov 1994 08:50:37 +9999999999999999", 0.0),
])
def test_values(value, seconds):
    assert retry_after_seconds(value, NOW) == seconds
