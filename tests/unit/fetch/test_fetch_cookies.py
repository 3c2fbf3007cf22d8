"""Cookies are kept and sent by RFC 6265bis, bounded, and never sent where they don't belong."""

import pytest

from spyder.fetch.cookies import CookieJar, cookie_date
from spyder.fetch.parts import parts_of

NOW = 1_800_000_000.0
DAY = 86_400.0


def make_jar(mode="project", max_cookies=50, max_all=5000, max_size=4096):
    return CookieJar(mode, max_cookies=max_cookies, max_all=max_all, max_size=max_size)


def sent(jar, url, now=NOW):
    return jar.field(parts_of(url), now)


def keep(jar, url, *values, now=NOW):
    return jar.take(parts_of(url), values, now)


@pytest.mark.parametrize(("value", "url", "expected"), [
    ("a=1", "http://www.example.org/", "a=1"),
    ("a=1", "https://www.example.org/x?y", "a=1"),
    ("a=1", "http://www.example.org:81/", "a=1"),  # cookies don't tell ports apart (section 8.5)
    ("a=1", "http://example.org/", ""),
    ("a=1", "http://sub.www.example.org/", ""),
    ("a=1; Domain=example.org", "http://example.org/", "a=1"),
    ("a=1; Domain=.Example.ORG", "http://other.example.org/", "a=1"),
    ("a=1; domain=example.org", "http://badexample.org/", ""),
    ("a=1; Domain=other.org", "http://www.example.org/", ""),
    ("a=1; Domain=sub.www.example.org", "http://sub.www.example.org/", ""),
    ("a=1; Domain=org", "http://www.example.org/", ""),
    ("a=1; Path=/docs", "http://www.example.org/docs", "a=1"),
    ("a=1; Path=/docs", "http://www.example.org/docs/x?q", "a=1"),
    ("a=1; Path=/docs", "http://www.example.org/docsx", ""),
    ("a=1; Path=/docs", "http://www.example.org/", ""),
    ("a=1; Path=docs", "http://www.example.org/", "a=1"),
    ("a=1; Max-Age=10", "http://www.example.org/", "a=1"),
    ("a=1; Max-Age=0", "http://www.example.org/", ""),
    ("a=1; Max-Age=-5", "http://www.example.org/", ""),
    ("a=1; Max-Age=x", "http://www.example.org/", "a=1"),
    ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://www.example.org/", ""),
    ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=10", "http://www.example.org/", "a=1"),
    ("a=1; Expires=nonsense", "http://www.example.org/", "a=1"),
    ("a", "http://www.example.org/", "a"),
    ("=a", "http://www.example.org/", "a"),
    ("a=", "http://www.example.org/", "a="),
    ("", "http://www.example.org/", ""),
    (" a = b=c ; Path=/", "http://www.example.org/", "a=b=c"),
    ('a="b c"', "http://www.example.org/", 'a="b c"'),
    ("a=\x01", "http://www.example.org/", ""),
    ("a=\tb", "http://www.example.org/", "a=b"),
    ("a=caf\xe9", "http://www.example.org/", "a=caf\xe9"),
    ("a=1; HttpOnly; SameSite=Strict; Unknown=x", "http://www.example.org/", "a=1"),
    ("a=1; Secure", "http://www.example.org/", ""),  # from an answer that anybody could have changed
])
def test_given_a_cookie_when_a_url_is_fetched_then_it_is_sent_where_it_belongs(value, url, expected):
    jar = make_jar()
    keep(jar, "http://www.example.org/", value)
    assert sent(jar, url) == expected


@pytest.mark.parametrize(("value", "is_kept"), [
    ("__Secure-a=1; Secure", True), ("__Secure-a=1", False), ("__secure-a=1", False),
    ("__Host-a=1; Secure; Path=/", True), ("__Host-a=1; Secure", False), ("__Host-a=1; Path=/", False),
    ("__Host-a=1; Secure; Path=/; Domain=www.example.org", False), ("__HOST-a=1; Secure; Path=/x", False),
    ("=__Host-a=1; Secure; Path=/", False), ("__Host-a", False),
])
def test_given_a_name_with_a_promise_then_the_cookie_is_kept_only_if_it_holds(value, is_kept):
    jar = make_jar()
    keep(jar, "https://www.example.org/x/y", value)
    assert len(jar) == is_kept


def test_given_a_secure_cookie_then_it_is_sent_over_tls_only_and_nobody_without_tls_replaces_it():
    jar = make_jar()
    keep(jar, "https://a.example.org/", "id=good; Secure; Domain=example.org")
    keep(jar, "http://a.example.org/", "id=bad; Domain=example.org", "id=worse", "other=1")
    assert sent(jar, "http://a.example.org/") == "other=1"
    assert sent(jar, "https://a.example.org/") == "id=good; other=1"


def test_given_the_mode_host_then_no_cookie_goes_to_another_host_whatever_its_domain():
    jar = make_jar("host")
    keep(jar, "http://www.example.org/", "a=1; Domain=example.org", "b=2")
    assert sent(jar, "http://www.example.org/") == "a=1; b=2"
    assert sent(jar, "http://example.org/") == sent(jar, "http://other.example.org/") == ""


@pytest.mark.parametrize(("host", "domain", "other"), [
    ("me.github.io", "github.io", "you.github.io"), ("a.co.uk", "co.uk", "b.co.uk"), ("a.test", "test", "b.test"),
])
def test_given_a_public_suffix_then_neighbours_share_no_cookie(host, domain, other):
    jar = make_jar()
    keep(jar, f"http://{host}/", f"a=1; Domain={domain}")
    assert sent(jar, f"http://{host}/") == sent(jar, f"http://{other}/") == ""


@pytest.mark.parametrize(("host", "domain", "other"), [
    ("127.0.0.1", "0.0.1", "9.0.0.1"), ("127.0.0.1", "127.0.0.1", "1.127.0.0.1"), ("[::1]", "::1", "[::2]"),
])
def test_given_an_address_then_its_cookies_stay_with_it(host, domain, other):
    jar = make_jar()
    keep(jar, f"http://{host}/", f"a=1; Domain={domain}", "b=2")
    assert sent(jar, f"http://{host}/").endswith("b=2")
    assert sent(jar, f"http://{other}/") == ""


def test_given_a_public_suffix_that_is_itself_a_host_then_its_cookie_is_its_own():
    jar = make_jar()
    keep(jar, "http://localhost/", "a=1; Domain=localhost")
    assert sent(jar, "http://localhost/") == "a=1"


def test_given_several_cookies_then_longer_paths_come_first_and_older_ones_before_younger():
    jar = make_jar()
    keep(jar, "http://h.example/", "a=1; Path=/", "b=2; Path=/x", "c=3; Path=/")
    keep(jar, "http://h.example/", "a=4; Path=/")
    assert sent(jar, "http://h.example/x") == "b=2; a=4; c=3"


def test_given_the_time_when_a_cookie_has_expired_then_it_is_not_sent():
    jar = make_jar()
    keep(jar, "http://h.example/", "a=1; Max-Age=10", f"b=2; Max-Age={10**30}",
         "c=3; Expires=Fri, 31 Dec 9999 23:59:59 GMT")
    assert sent(jar, "http://h.example/", NOW + 9) == "a=1; b=2; c=3"
    assert sent(jar, "http://h.example/", NOW + 11) == "b=2; c=3"
    assert sent(jar, "http://h.example/", NOW + 401 * DAY) == ""


def test_given_too_many_cookies_of_a_host_then_expired_insecure_and_long_unused_ones_go_first():
    jar = make_jar(max_cookies=3)
    assert keep(jar, "https://h.example/", "old=1", "safe=1; Secure", "used=1; Path=/used", "short=1; Max-Age=1",
                now=NOW - 10) == "fetch.max_cookies"
    assert keep(jar, "https://h.example/", "new=1") == "" or len(jar) == 3
    assert len(jar) == 3
    assert "safe=1" in sent(jar, "https://h.example/used")
    assert "old=1" not in sent(jar, "https://h.example/used")


def test_given_too_many_cookies_in_all_then_those_of_the_host_that_was_heard_of_least_lately_go():
    jar = make_jar(max_all=10)
    for host in range(6):
        limit = keep(jar, f"http://h{host}.example/", "a=1", "b=2")
    assert limit == "fetch.max_cookies_in_all"
    assert len(jar) == 10
    assert sent(jar, "http://h0.example/") == ""
    assert sent(jar, "http://h5.example/") == "a=1; b=2"


def test_given_a_large_cookie_then_it_is_dropped_and_the_limit_named():
    jar = make_jar(max_size=100)
    assert keep(jar, "http://h.example/", "a=" + "x" * 100, "b=2") == "fetch.max_cookie_size"
    assert keep(jar, "http://h.example/", "a=" + "x" * 1_000_000) == "fetch.max_cookie_size"
    assert sent(jar, "http://h.example/") == "b=2"


def test_given_many_large_cookies_then_the_field_stays_within_what_servers_take():
    jar = make_jar()
    keep(jar, "http://h.example/", *[f"c{number}={'x' * 4000}" for number in range(50)])
    field = sent(jar, "http://h.example/")
    assert 8000 < len(field) <= 8190
    assert field.startswith("c0=")


@pytest.mark.parametrize(("text", "at"), [
    ("Wed, 09 Jun 2021 10:18:14 GMT", 1623233894), ("Wednesday, 09-Jun-21 10:18:14 GMT", 1623233894),
    ("Wed Jun  9 10:18:14 2021", 1623233894), ("9 jun 2021 10:18:14", 1623233894),
    ("10:18:14 9 JUNE 21", 1623233894), ("1 Jan 1970 0:0:0", 0), ("1 Jan 70 00:00:00", 0),
    ("31 Feb 2021 10:18:14", None), ("29 Feb 2021 0:0:0", None), ("29 Feb 2024 0:0:0", 1709164800),
    ("31 Dec 2021 23:59:59", 1640995199), ("9 Jun 2021 24:00:00", None), ("9 Jun 2021", None),
    ("9 Jun 1600 10:18:14", None), ("0 Jun 2021 10:18:14", None), ("", None), ("tomorrow", None),
])
def test_given_the_text_of_a_date_then_it_is_read_as_cookies_dates_are(text, at):
    assert cookie_date(text) == at
