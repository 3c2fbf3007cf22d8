"""Marks that pages ask for by header fields and meta elements."""

from __future__ import annotations

import pytest

from spyder.extract.robotsmarks import directives, header_directives


@pytest.mark.parametrize(("value", "marks"), [
    ("noindex", {"noindex"}), (" NoIndex ,NOFOLLOW", {"noindex", "nofollow"}), ("none", {"noindex", "nofollow"}),
    ("noarchive, nosnippet, noimageindex", {"noarchive", "nosnippet", "noimageindex"}), ("nocache", {"noarchive"}),
    ("index, follow, all", set()), ("", set()), (",,", set()), ("noindexing", set()), ("noai", {"noai"}),
    ("spyder: noindex, nofollow", {"noindex", "nofollow"}), ("SPYDER : none", {"noindex", "nofollow"}),
    ("other: noindex, nofollow", set()), ("other: noindex, spyder: nofollow", {"nofollow"}),
    ("nofollow, other: noindex", {"nofollow"}), ("*: noindex", {"noindex"}), ("spyderbot: noindex", set()),
    ("unavailable_after: Wed, 25 Jun 2025 15:00:00 GMT, noindex", {"noindex"}),
    ("unavailable_after: 2025-06-25T15:00:00, noindex", {"noindex"}),
    ("unavailable_after: Wednesday, 25-Jun-25 15:00:00 GMT, noindex", {"noindex"}),
    ("max-snippet:-1, max-image-preview:large, max-video-preview: 3, nofollow", {"nofollow"})])
def test_given_a_list_of_directives_when_read_then_those_for_us_and_for_all_are_marks(value, marks):
    assert directives([value], "Spyder") == marks


def test_given_several_fields_when_read_then_their_marks_add_up_and_a_name_counts_for_its_field_only():
    headers = (("x-robots-tag", "other: none"), ("X", "none"), ("x-robots-tag", "noarchive"),
               ("x-robots-tag", "spyder: nofollow"))
    assert header_directives(headers, "spyder") == {"noarchive", "nofollow"}
