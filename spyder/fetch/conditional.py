"""Conditional GET (RFC 9110, section 13): a page that has not changed since its last fetch is not sent again."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from spyder.model.limits import MAX_VALIDATORS
from spyder.model.records import Headers

_ETAG = re.compile(r"[!-~\x80-\xff]+")  # what may stand in an ETag, the quotes that many servers forget left aside
_DATE = re.compile(r"[ -~]{8,64}")
_COMMON_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")  # nearly all are


def validators_of(headers: Headers) -> str:
    """The validators of an answer as :class:`spyder.model.records.UriRow` keeps them; empty when it has none of use.

    The ETag is kept as the server wrote it, since it is compared with what it will write again; a Last-Modified that
    is no date (RFC 9110, section 5.6.7) is left out, and so is what is longer than any sensible server's.
    """
    etag = modified = ""
    for name, value in headers:
        if name == "etag":
            etag = value
        elif name == "last-modified":
            modified = value
    if not _ETAG.fullmatch(etag):
        etag = ""
    if not _is_date(modified):
        modified = ""
    if len(etag) + 1 + len(modified) > MAX_VALIDATORS:
        etag = ""
    return f"{etag}\n{modified}" if etag or modified else ""


def conditional_fields(validators: str) -> list[bytes]:
    """The request's header fields that ask for news since the copy that *validators* are of."""
    etag, _, modified = validators.partition("\n")
    fields = []
    if _ETAG.fullmatch(etag):
        fields.append(f"If-None-Match: {etag}".encode("latin-1"))
    if _is_date(modified):
        fields.append(f"If-Modified-Since: {modified}".encode("latin-1"))
    return fields


def _is_date(text: str) -> bool:
    if not text or _COMMON_DATE.fullmatch(text):
        return bool(text)
    if not _DATE.fullmatch(text):
        return False
    try:
        parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return False
    return True
