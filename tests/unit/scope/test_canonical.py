"""Canonicalisation policies and their options, rule by rule as in ``docs/urls.md``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spyder.errors import UrlError
from spyder.model.url import parse
from spyder.scope import parameters
from spyder.scope.canonical import ARCHIVE, PLAIN, STANDARD, refined
from spyder.settings import CANONICAL_VERSIONS, FrontierSection

POLICIES = {policy.name: policy for policy in (PLAIN, STANDARD, ARCHIVE)}
PATHS = st.text(alphabet="/%.?&=a~2eEfF6163:é+;@", max_size=30)
ID = "9682993c8daa2c5497996114facdc805"


def made(name="standard", **options):
    section = FrontierSection(canonical=name, **options)
    return refined(POLICIES[name], section)


@pytest.mark.parametrize(("url", "canonical"), [
    ("http://h/%7euser/%41%2f%c3%a9", "http://h/~user/A%2F%C3%A9"),
    ("http://h/?q=%2b%26%7e", "http://h/?q=%2B%26~"),
    ("http://h/%2561", "http://h/%2561"),
    ("http://h/%%36%31", "http://h/%2561"),
    ("http://h/100%?a=%c3&%", "http://h/100%25?%25&a=%C3"),
    ("http://h/a[1]|^{}", "http://h/a%5B1%5D%7C%5E%7B%7D"),
    ("http://h/?a[]={b}|^`\\", "http://h/?a%5B%5D=%7Bb%7D%7C%5E%60%5C"),
    ("http://[::1]/[x]", "http://[::1]/%5Bx%5D"),
    ("http://h/?[::1]", "http://h/?%5B::1%5D"),
    ("http://h/a?", "http://h/a"),
    ("http://h/?", "http://h/"),
    ("http://h/a??", "http://h/a??"),
    ("http://h/a?b=?", "http://h/a?b=?"),
    ("http://h/a?&", "http://h/a"),
    ("http://h/?&&b&a=2&&a=1&", "http://h/?a=2&a=1&b"),
    ("http://h/?a-b&a=1", "http://h/?a=1&a-b"),
    ("http://h/?%62=1&a=2", "http://h/?a=2&b=1"),
    ("http://u%41:p%3a@h/", "http://uA:p%3A@h/")])
def test_given_a_url_when_made_standard_then_certain_spellings_are_equal(url, canonical):
    assert STANDARD(parse(url).href) == canonical
    assert made(drop_query_params=("unheard",))(parse(url).href) == canonical, "the quick way is the slow one"


@pytest.mark.parametrize(("one", "other"), [
    ("http://h/a%2Fb", "http://h/a/b"), ("http://h/?a=1&a=2", "http://h/?a=2&a=1"), ("http://h/A", "http://h/a"),
    ("http://h/a", "http://h/a/"), ("http://h/a", "https://h/a"), ("http://h/?q=a+b", "http://h/?q=a%20b"),
    ("http://h./", "http://h/"), ("http://h//a", "http://h/a"), ("http://h/%25%34%31", "http://h/A"),
    ("http://h/?a=", "http://h/?a"), ("http://www.h.example/", "http://h.example/"), ("http://u@h/", "http://h/"),
    (f"http://h/?PHPSESSID={ID}", "http://h/"), ("http://h/?utm_source=x", "http://h/"),
    ("http://h/index.html", "http://h/")])
def test_given_two_urls_when_made_standard_then_what_may_differ_is_kept_apart(one, other):
    assert STANDARD(parse(one).href) != STANDARD(parse(other).href)


@pytest.mark.parametrize(("one", "other"), [
    ("https://WWW.Example.org/A/", "http://example.org/a"), ("http://www12.example.org/", "http://example.org"),
    ("http://www.www2.example.org/", "http://example.org/"), ("http://u:p@example.org./", "http://example.org/"),
    ("https://example.org:80/", "http://example.org/"), ("http://example.org//a///b", "http://example.org/a/b"),
    ("http://example.org/?B=1&a=2", "http://example.org/?A=2&b=1"), ("http://h/%C3%89?", "http://h/%c3%89"),
    (f"http://h/a/;jsessionid={ID}", "http://h/a"), (f"http://h/a;jsessionid={ID}?x", "http://h/a?x"),
    (f"http://h/?sid={ID}&x=1", "http://h/?x=1"), ("http://h/?CFID=1&CFTOKEN=2&x", "http://h/?x"),
    ("http://h/?ASPSESSIONIDABCDEFGH=ABC&x", "http://h/?x"), ("http://h/(S(4hqa0555fwsecu455xqckv45))/m.aspx", "http://h/m.aspx"),
    ("http://h/(4hqa0555fwsecu455xqckv45)/m.aspx", "http://h/m.aspx"), ("https://[::1]:80/a/", "http://[::1]/a")])
def test_given_two_urls_when_made_as_in_archives_then_they_are_one(one, other):
    assert ARCHIVE(parse(one).href) == ARCHIVE(parse(other).href)


@pytest.mark.parametrize(("one", "other"), [
    ("http://www.com/", "http://com/"), ("http://docs.example.org/", "http://example.org/"),
    ("http://example.org:8080/", "http://example.org/"), ("http://example.org:443/", "http://example.org/"),
    ("http://example.org/a%2Fb", "http://example.org/a/b"), ("http://h/?sid=7", "http://h/"),
    ("http://h/?session=introductiontoprogramming", "http://h/"), ("http://h/index.html", "http://h/"),
    ("http://h/?utm_source=x", "http://h/"), ("http://wwwa.example.org/", "http://example.org/"),
    ("http://h/(abc)/x", "http://h/x"), ("http://h/..;jsessionid=1/b", "http://h/b")])
def test_given_two_urls_when_made_as_in_archives_then_other_pages_stay_others(one, other):
    assert ARCHIVE(parse(one).href) != ARCHIVE(parse(other).href)


@pytest.mark.parametrize(("options", "url", "canonical"), [
    ({"drop_tracking": True}, "http://h/?utm_source=a&x=1&GCLID=2&mc_eid=3&fbclid=4", "http://h/?x=1"),
    ({"drop_tracking": True}, "http://h/?utm=1&source=2", "http://h/?source=2&utm=1"),
    ({"drop_session_ids": True}, f"http://h/A;jsessionid={ID}/b?PHPSESSID=1&x", "http://h/A/b?x"),
    ({"drop_session_ids": True}, "http://h/(S(4hqa0555fwsecu455xqckv45))/(S(4hqa0555fwsecu455xqckv45))/m", "http://h/m"),
    ({"default_documents": True}, "http://h/a/Index.HTML?x", "http://h/a/?x"),
    ({"default_documents": True}, "http://h/a/default.aspx", "http://h/a/"),
    ({"default_documents": True}, "http://h/a/myindex.html", "http://h/a/myindex.html"),
    ({"drop_query_params": ("ref", "x_*")}, "http://h/?ref=1&Ref=2&x_1=3&x=4&re%66=5", "http://h/?Ref=2&x=4"),
    ({"sort_query": False}, "http://h/?b&&a%7e", "http://h/?b&&a~")])
def test_given_an_option_when_added_to_standard_then_its_rule_holds(options, url, canonical):
    assert made(**options)(parse(url).href) == canonical


@pytest.mark.parametrize(("options", "url", "canonical"), [
    ({}, "http://h/%7e?b&a", "http://h/%7e?b&a"), ({"sort_query": True}, "http://h/%7e?b&&a", "http://h/%7e?a&b"),
    ({"drop_tracking": True}, "http://h/%7e?b&&utm_x&a", "http://h/%7e?b&&a"),
    ({"drop_tracking": True}, "http://h/?utm_x", "http://h/"), ({"drop_tracking": True}, "http://h/?", "http://h/?"),
    ({"default_documents": True}, "http://h/index.php?", "http://h/?")])
def test_given_an_option_when_added_to_plain_then_nothing_else_changes(options, url, canonical):
    assert made("plain", **options)(parse(url).href) == canonical


def test_given_archive_with_default_documents_when_they_are_nested_then_the_folder_is_left():
    policy = made("archive", default_documents=True)
    assert policy("http://h/a//index.html/Index.php/") == "http://h/a"
    assert policy("http://h/index.html") == "http://h/"


def test_given_no_option_when_a_policy_is_refined_then_it_is_itself():
    assert refined(STANDARD, FrontierSection(canonical="standard", sort_query=True)) is STANDARD
    assert refined(ARCHIVE, FrontierSection(canonical="archive", drop_session_ids=True)) is ARCHIVE


def test_given_the_policies_when_asked_then_name_and_version_are_the_settings():
    assert {policy.name: policy.version for policy in POLICIES.values()} == CANONICAL_VERSIONS


@pytest.mark.parametrize("href", ["mailto:A@b", "ftp://WWW.h/%41", "data:,%41", "http://", "http:///", ""])
@pytest.mark.parametrize("name", POLICIES)
def test_given_what_is_no_fetch_url_when_made_canonical_then_it_is_left_alone(name, href):
    assert POLICIES[name](href) == href


@given(PATHS)
def test_given_any_path_when_made_standard_then_the_structure_is_kept(path):
    url = parse(f"http://h/{path}")
    canonical = parse(STANDARD(url.href))
    assert canonical.pathname.count("/") == url.pathname.count("/")
    assert canonical.search.count("=") == url.search.count("=")
    assert canonical.host == url.host


PIECES = st.sampled_from([
    "/", "//", "/.", "..", ";", "jsessionid=", ";jsessionid=1", "$sessionid$", "(S(4hqa0555fwsecu455xqckv45))",
    "(4hqa0555fwsecu455xqckv45)", "index.html", "Index.PHP", "default.asp", "?", "&", "=", "a", "B", "%", "%41",
    "%2e", "%2f", "%3B", "%26", "%c3", "é", "[", "]", "|", "^", "{", "`", "\\", "+", "'", '"', " ", "utm_x",
    "PHPSESSID=1",
    f"sid={ID}", "sid=1", "x1", "#", "@", ":", "\ud800"])
ORIGINS = st.sampled_from([
    "http://h", "https://www.example.org", "https://h:80", "http://www1.www.h.example:81", "http://U:p%41@Www.h.example.",
    "http://[::1]", "https://[::1]:80", "http://h..", "http://www", "http://www.com", "http://127.0.0.1:80", "http://www.h.",
    "http://u[@h", "http://.", "http://...", "http://www.bücher.example", "http://1.2.3.."])
OPTIONS = st.fixed_dictionaries({
    "sort_query": st.sampled_from([None, True, False]), "drop_session_ids": st.booleans(),
    "drop_tracking": st.booleans(), "default_documents": st.booleans(),
    "drop_query_params": st.sampled_from([(), ("x?",), ("[a", "*b*"), ("",), ("!",)])})


@given(st.sampled_from(sorted(POLICIES)), OPTIONS, ORIGINS, st.lists(PIECES, max_size=12).map("".join))
@example("archive", {"default_documents": True}, "http://h", "/index.html/;jsessionid=1")
@example("standard", {"drop_session_ids": True}, "http://h", "/.;jsessionid=1/b")
@example("archive", {}, "http://1.2.3..", "/")
@settings(max_examples=1500, deadline=None)
def test_given_any_policy_and_url_when_made_canonical_then_once_is_enough_and_it_is_a_url(name, options, origin, rest):
    policy = made(name, **options)
    try:
        href = parse(origin + "/" + rest).href
    except UrlError:
        return
    once = policy(href)
    assert policy(once) == once
    assert parse(once).href == once, "it parses to itself"
    if name != "archive":
        assert once.startswith(parse(href).scheme)


def test_given_the_documented_parameters_when_compared_then_they_are_those_that_are_dropped():
    text = (Path(__file__).resolve().parents[3] / "docs" / "urls.md").read_text(encoding="utf-8")
    tracking = text.partition("Tracking parameters are")[2].partition("###")[0]
    assert set(re.findall("`([^`]+)`", tracking)) == {*parameters._TRACKING, *parameters._TRACKING_STARTS}
    sessions = set(re.findall("`([^`]+)`", text.partition("Session ids are")[2].partition("- in a path")[0]))
    assert sessions == {*parameters._SESSIONS, *parameters._SESSION_STARTS, *parameters._PERHAPS_SESSIONS}


def test_given_a_session_id_behind_dots_when_dropped_then_no_dot_segment_is_left():
    policy = made("standard", drop_session_ids=True)
    for href in ("http://h/%2e;jsessionid=1", "http://h/a/..;jsessionid=1/b", "http://h/a;jsessionid=1"):
        once = policy(href)
        assert (policy(once), parse(once).href) == (once, once)
    assert policy("http://h/a;jsessionid=1") == "http://h/a"
