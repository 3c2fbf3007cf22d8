"""What is not wanted is known by the head of the answer alone."""

import pytest

from spyder.fetch.filters import ContentFilter
from spyder.settings import FetchSection


def judged(status=200, headers=(), **settings):
    failure = ContentFilter(FetchSection(**settings)).judge(status, headers)
    return failure and (failure.kind.value, failure.detail)


@pytest.mark.parametrize(("content_type", "is_wanted"), [
    ("text/html", True), ("TEXT/HTML; charset=utf-8", True), ("text/plain", True), ("application/xhtml+xml", True),
    ("application/atom+xml", True), ("image/png", False), ("application/json", False), ("application/xml", False),
    ("text", True), ("", True), ("what is this?", True), ("a/b/c", True), (" application/json ;x", False),
])
def test_given_wanted_types_then_others_are_not_and_what_says_nothing_passes(content_type, is_wanted):
    found = judged(headers=(("content-type", content_type),), content_types=("text/*", "Application/*+XML"))
    assert (found is None) == is_wanted
    assert judged(headers=(), content_types=("text/*",)) is None


def test_given_a_type_that_is_not_wanted_then_the_setting_is_named():
    png = (("content-type", "image/png"),)
    assert judged(headers=png, content_types=("text/*",)) == ("content-type", "image/png (fetch.content_types)")
    assert judged(headers=png, exclude_content_types=("image/*",)) == (
        "content-type", "image/png (fetch.exclude_content_types)")
    assert judged(headers=png, content_types=("*/*",), exclude_content_types=("video/*",)) is None


@pytest.mark.parametrize("settings", [
    {"content_types": ("text/*",)}, {"exclude_content_types": ("image/*",)}, {"languages": ("en",)}])
def test_given_a_head_without_end_then_what_is_told_of_it_is_short(settings):
    _, detail = judged(headers=(("content-type", "image/" + "x" * 90_000), ("content-language", "x" * 90_000)),
                       **settings)
    assert len(detail) < 150


@pytest.mark.parametrize(("values", "is_wanted"), [
    (["en"], True), (["en-GB"], True), (["EN-gb, de"], True), (["fr", "de-CH-1996"], True), (["fr"], False),
    (["english"], False), (["fr, it"], False), ([], True), ([""], True), ([" , "], True),
])
def test_given_wanted_languages_then_one_of_the_answers_must_be_among_them(values, is_wanted):
    headers = tuple(("content-language", value) for value in values)
    found = judged(headers=headers, languages=("en", "de"))
    assert (found is None) == is_wanted
    if not is_wanted:
        assert found[0] == "language"
        assert "fetch.languages" in found[1]


@pytest.mark.parametrize("status", [301, 304, 404, 503])
def test_given_an_answer_that_is_no_page_then_it_is_not_judged(status):
    assert judged(status, (("content-type", "image/png"),), content_types=("text/*",)) is None


def test_given_no_settings_then_the_filter_is_open():
    assert ContentFilter(FetchSection()).is_open
    assert not ContentFilter(FetchSection(languages=("en",))).is_open
