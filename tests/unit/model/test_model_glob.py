import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.model.glob import Globs

_TEXT = st.text("ab.", max_size=12)


@given(patterns=st.lists(st.text("ab.*", max_size=8), max_size=4), text=_TEXT)
def test_given_any_patterns_when_matched_then_stars_stand_for_any_text(patterns, text):
    expected = any(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) for pattern in patterns)
    assert Globs(patterns).match(text) == expected


@pytest.mark.parametrize(("pattern", "text", "expected"), [
    ("aba", "aba", True), ("ab*ba", "aba", False), ("ab*ba", "abba", True), ("a*b*c", "a-c-b-c", True),
    ("*", "", True), ("**", "x", True), ("*b*", "ac", False), ("", "", True), ("", "a", False),
])
def test_given_pieces_that_could_overlap_when_matched_then_each_character_counts_once(pattern, text, expected):
    assert Globs([pattern]).match(text) is expected


@pytest.mark.parametrize(("pattern", "text"), [
    ("*a" * 60 + ".example.org", "a" * 20_000 + ".example.net"), ("*a" * 60 + "b*c", "a" * 20_000),
    ("*/*+xml", "a/" * 50_000), ("*" * 1000 + "a", "b" * 50_000),
])
def test_given_many_stars_and_a_text_that_nearly_matches_when_matched_then_time_is_linear(pattern, text):
    globs = Globs([pattern])
    started = time.process_time()
    assert not globs.match(text)
    assert time.process_time() - started < 1.0
