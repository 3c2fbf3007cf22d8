import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.extract.headers import content_type_of, header_links, link_targets
from spyder.model.states import LinkKind

URL = "http://site.example/dir/page"


@pytest.mark.parametrize(("headers", "expected"), [
    ((("content-type", " Text/HTML ; charset=utf-8"),), "text/html"),
    ((("content-type", "text/html, text/plain"),), "text/html"),
    ((("x", "y"), ("content-type", "a/b"), ("content-type", "c/d")), "a/b"),
    ((), "")])
def test_content_type_is_the_bare_media_type(headers, expected):
    assert content_type_of(headers) == expected


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_redirect_leads_to_its_location(status):
    headers = (("location", " /new#x "), ("location", "/second"))
    assert header_links(headers, url=URL, status=status) == {"http://site.example/new": LinkKind.REDIRECT}


@pytest.mark.parametrize("status", [200, 201, 304, 404])
def test_location_of_another_answer_is_no_link(status):
    assert header_links((("location", "/new"),), url=URL, status=status) == {}


@pytest.mark.parametrize("location", ["", "mailto:x", "http://[", "javascript:1"])
def test_location_that_can_not_be_fetched_is_no_link(location):
    assert header_links((("location", location),), url=URL, status=301) == {}


@pytest.mark.parametrize("location", ["/é", "/é".encode().decode("latin-1")])
def test_location_in_utf_8_is_understood(location):
    assert list(header_links((("location", location),), url=URL, status=301)) == ["http://site.example/%C3%A9"]


def test_refresh_field_is_a_link():
    assert header_links((("refresh", "0; url=next"),), url=URL, status=200) == {
        "http://site.example/dir/next": LinkKind.REFRESH}
    assert header_links((("refresh", "30"),), url=URL, status=200) == {}


def test_link_fields_lead_to_pages():
    headers = (("link", '<a>; rel="next", <style.css>; rel=preload; as=style'), ("link", "</b>; rel=PREV"))
    assert header_links(headers, url=URL, status=200) == {
        "http://site.example/dir/a": LinkKind.NAVIGATION, "http://site.example/b": LinkKind.NAVIGATION}


@pytest.mark.parametrize(("value", "targets"), [
    ("<a>", ["a"]),
    ("<a;b,c>; rel=next", ["a;b,c"]),
    ('<a>; title="x, <no>; rel=preload"; rel=next', ["a"]),
    ('<a>; rel="preload next"', ["a"]),
    ('<a>; rel="shortcut icon", <b>; rel=canonical', ["b"]),
    ("<a>; rel=next; rel=preload", ["a"]),
    ("<a>; crossorigin; rel=preconnect,<b>;rel=next", ["b"]),
    (", ,<a> ; rel = next ;, <b>", ["a", "b"]),
    ("<a>; rel=\"ne\\xt\"", ["a"]),
    ("nonsense", []), ("<a", []), ("", [])])
def test_link_field_is_read_as_rfc_8288_says(value, targets):
    assert link_targets(value) == targets


@given(st.text(alphabet='<>;,="\\ relnxtpoad\u00e9', max_size=60))
def test_no_link_field_breaks_the_reader(value):
    header_links((("link", value), ("location", value), ("refresh", value)), url=URL, status=301)


def test_content_location_is_a_link_unless_it_is_the_page_itself():
    assert header_links((("content-location", "page.en#x"),), url=URL, status=200) == {
        "http://site.example/dir/page.en": LinkKind.NAVIGATION}
    assert header_links((("content-location", "/dir/page"),), url=URL, status=200) == {}
