import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.model.url import parse
from spyder.scope.canonical import PLAIN, STANDARD

PATHS = st.text(alphabet="/%.?&=a~2eEfF6163:é+;@", max_size=30)


@pytest.mark.parametrize(("url", "canonical"), [
    ("http://h/%7euser/%41%2f%c3%a9", "http://h/~user/A%2F%C3%A9"),
    ("http://h/?q=%2b%26%7e", "http://h/?q=%2B%26~"),
    ("http://h/%2561", "http://h/%2561"),
    ("http://h/%%36%31", "http://h/%%36%31"),
    ("http://h/100%?a=%c3", "http://h/100%?a=%C3"),
    ("http://h/a?", "http://h/a"),
    ("http://h/?", "http://h/"),
    ("http://h/a??", "http://h/a??"),
    ("http://h/a?b=?", "http://h/a?b=?"),
    ("http://h/a?&", "http://h/a?&"),
    ("http://u%41:p%3a@h/", "http://uA:p%3A@h/")])
def test_standard_makes_certain_spellings_equal(url, canonical):
    assert STANDARD(parse(url).href) == canonical


@pytest.mark.parametrize(("one", "other"), [
    ("http://h/a%2Fb", "http://h/a/b"), ("http://h/?a=1&b=2", "http://h/?b=2&a=1"), ("http://h/A", "http://h/a"),
    ("http://h/a", "http://h/a/"), ("http://h/a", "https://h/a"), ("http://h/?q=a+b", "http://h/?q=a%20b"),
    ("http://h./", "http://h/"), ("http://h//a", "http://h/a"), ("http://h/%25%34%31", "http://h/A")])
def test_standard_keeps_apart_what_may_differ(one, other):
    assert STANDARD(parse(one).href) != STANDARD(parse(other).href)


def test_plain_changes_nothing():
    assert PLAIN("http://h/%7e?") == "http://h/%7e?"


def test_policies_have_name_and_version():
    assert [(policy.name, policy.version) for policy in (PLAIN, STANDARD)] == [("plain", 1), ("standard", 1)]


@given(PATHS)
def test_standard_is_idempotent(path):
    once = STANDARD(parse(f"http://h/{path}").href)
    assert STANDARD(once) == once


@given(PATHS)
def test_standard_gives_a_url_that_parses_to_itself(path):
    once = STANDARD(parse(f"http://h/{path}").href)
    assert parse(once).href == once


@given(PATHS)
def test_standard_keeps_the_structure(path):
    url = parse(f"http://h/{path}")
    canonical = parse(STANDARD(url.href))
    assert canonical.pathname.count("/") == url.pathname.count("/")
    assert canonical.search.count("&") == url.search.count("&")
    assert canonical.host == url.host
