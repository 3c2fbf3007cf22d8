"""SURTs, and the prefixes that seed lists mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyder.errors import UrlError
from spyder.model.surt import surt, surt_for_match, surt_prefix
from spyder.model.url import parse, parse_seed


@pytest.mark.parametrize(("url", "expected"), [
    ("http://www.example.org/Path?Q=1", "http://(org,example,www,)/Path?Q=1"),
    ("https://example.org", "https://(org,example,)/"),
    ("http://example.org:8080/", "http://(org,example,:8080)/"),
    ("http://user:word@example.org:81/", "http://(org,example,:81@user:word)/"),
    ("http://a@example.org/", "http://(org,example,@a)/"),
    ("http://192.168.1.5/x", "http://(192.168.1.5)/x"), ("http://0x7f.1:81/", "http://(127.0.0.1:81)/"),
    ("http://[::1]:81/", "http://([::1]:81)/"), ("http://localhost/", "http://(localhost,)/"),
    ("http://bücher.example/", "http://(example,xn--bcher-kva,)/"),
    ("http://example.org/a:b@c/(d)", "http://(org,example,)/a:b@c/(d)")])
def test_given_a_url_when_written_as_a_surt_then_its_host_begins_with_the_top(url, expected):
    assert surt(parse(url).href) == expected


@pytest.mark.parametrize(("url", "expected"), [
    ("HTTPS://User@WWW.Example.org./Path?Q=%C3", "http://(org,example,www,)/path?q=%c3"),
    ("http://example.org:443/", "http://(org,example,:443)/"), ("https://[::A]/", "http://([::a])/")])
def test_given_a_url_when_made_ready_for_prefixes_then_spellings_of_one_site_are_equal(url, expected):
    assert surt_for_match(parse(url).href) == expected


@pytest.mark.parametrize(("line", "prefix"), [
    ("example.org", "http://(org,example,"), ("http://www.Example.org", "http://(org,example,www,"),
    ("https://example.org", "http://(org,example,"), ("https://example.org/", "http://(org,example,)/"),
    ("http://example.org/a/b.html", "http://(org,example,)/a/"), ("http://example.org/a/b/", "http://(org,example,)/a/b/"),
    ("example.org/a", "http://(org,example,)/"), ("example.org/a?x=/b/c", "http://(org,example,)/"),
    ("http://example.org?x", "http://(org,example,)/"), ("http://example.org/A/../B/c", "http://(org,example,)/b/"),
    ("http://example.org:8080", "http://(org,example,:8080)"), ("http://example.org:80", "http://(org,example,"),
    ("http://10.0.0.1", "http://(10.0.0.1)"), ("http://[::1]/x", "http://([::1])/"),
    ("http://user@example.org/", "http://(org,example,)/"), ("+example.org", "http://(org,example,"),
    ("+http://(org,Example,", "http://(org,example,"), ("+https://(org,example,www,)/A", "http://(org,example,www,)/a"),
    ("http://example.org/a/(b)", "http://(org,example,)/a/"),
    ("http://(org", "http://(org"), ("http://(", "http://("),
    ("  + http://(org,example,   # all of it", "http://(org,example,"),
    ("example.org/a/#part", "http://(org,example,)/a/"), ("http://example.org/#part", "http://(org,example,)/")])
def test_given_a_line_of_a_seed_list_when_read_then_its_prefix_is_the_one_that_was_meant(line, prefix):
    assert surt_prefix(line) == prefix


@pytest.mark.parametrize("line", ["", "+", "# only this", "(org,example,", "ftp://(org,example,", "//(org,", "http://[",
                                  "mailto:a@b.example", "http://(org,example, www"])
def test_given_a_line_that_means_nothing_when_read_then_it_is_refused(line):
    with pytest.raises(UrlError):
        surt_prefix(line)


@pytest.mark.parametrize(("prefix", "url", "is_in"), [
    ("example.org", "https://docs.example.org:81/x", True), ("example.org", "http://badexample.org/", False),
    ("example.org", "http://example.org.evil.example/", False), ("www.example.org", "http://example.org/", False),
    ("http://example.org/a/", "http://example.org/A/b", True),
    ("http://example.org/a/", "http://x.example.org/a/b", False),
    ("http://10.0.0.1", "http://10.0.0.12/", False), ("http://10.0.0.1", "http://10.0.0.1/", True),
    ("http://example.org:80", "http://example.org/", True), ("http://example.org:81", "http://example.org:812/", False),
    ("+http://(org,", "http://anything.org/", True), ("+http://(", "http://10.0.0.1/", True)])
def test_given_a_prefix_when_compared_with_a_url_then_it_takes_what_lies_below_it(prefix, url, is_in):
    assert surt_for_match(parse(url).href).startswith(surt_prefix(prefix)) == is_in


@given(st.text(alphabet="ab.:/?#@[]()%+é-1 ", max_size=40))
@settings(max_examples=300, deadline=None)
def test_given_any_text_when_read_as_a_url_then_its_own_prefix_takes_it(text):
    try:
        url = parse_seed(text)
        prefix = surt_prefix(text)
    except UrlError:
        return
    if text.lstrip().startswith("+"):
        return
    assert surt_for_match(url.href).startswith(prefix)
    assert surt(url.href).startswith(f"{url.scheme}://(")
