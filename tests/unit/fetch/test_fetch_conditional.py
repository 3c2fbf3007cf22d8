"""Validators of an answer come back in the next request, and nothing else of it does."""

import pytest

from spyder.fetch.conditional import conditional_fields, validators_of
from spyder.model.limits import MAX_VALIDATORS

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(("etag", "modified", "fields"), [
    ('"abc"', DATE, [b'If-None-Match: "abc"', b"If-Modified-Since: " + DATE.encode()]),
    ('W/"abc"', "", [b'If-None-Match: W/"abc"']),
    ("unquoted", "", [b"If-None-Match: unquoted"]),
    ('"caf\xe9"', "", [b'If-None-Match: "caf\xe9"']),
    ("", DATE, [b"If-Modified-Since: " + DATE.encode()]),
    ("", "Wednesday, 21-Oct-15 07:28:00 GMT", [b"If-Modified-Since: Wednesday, 21-Oct-15 07:28:00 GMT"]),
    ("", "yesterday", []), ("", "0", []), ("", "", []), ('"a b"', "", []), ('"a\x01"', "", []),
    ('"' + "x" * 5000 + '"', DATE, [b"If-Modified-Since: " + DATE.encode()]),
])
def test_given_an_answer_then_the_next_request_asks_with_its_validators(etag, modified, fields):
    headers = tuple((name, value) for name, value in (("etag", etag), ("last-modified", modified)) if value)
    validators = validators_of(headers)
    assert len(validators) <= MAX_VALIDATORS
    assert conditional_fields(validators) == fields


@pytest.mark.parametrize("validators", ["", "\n", "a\r\nEvil: 1\n", "\nnow\r\nEvil: 1", '"a"\nx\ny', "\u20ac\n"])
def test_given_validators_that_nobody_wrote_here_then_they_can_not_forge_a_field(validators):
    assert all(b"\n" not in field and b"\r" not in field and b"Evil" not in field
               for field in conditional_fields(validators))
