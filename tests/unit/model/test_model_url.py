"""URLs, their identity, and by which name a host is in scope."""

from __future__ import annotations

import ada_url
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spyder.errors import UrlError
from spyder.model.domain import registered_domain
from spyder.model.limits import MAX_URL
from spyder.model.scoping import HostScoping
from spyder.model.url import (
    HOST_BYTES,
    KEY_BYTES,
    PROJECT_BYTES,
    Resolver,
    UriIdentity,
    host_key,
    host_of,
    parse,
    parse_seed,
    resolve_all,
)


@pytest.mark.parametrize(("text", "href"), [
    ("HTTP://Example.ORG", "http://example.org/"), ("http://example.org:80/a/../b#part", "http://example.org/b"),
    ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"), ("http://0x7f.1/", "http://127.0.0.1/"),
    ("http://[::0:1]/", "http://[::1]/"), ("  http://example.org/ ", "http://example.org/"),
    ("http://example.org/?", "http://example.org/?"), ("http://example.org\\x", "http://example.org/x")])
def test_given_a_url_when_parsed_then_it_is_as_the_standard_writes_it_without_fragment(text, href):
    assert parse(text).href == href


@pytest.mark.parametrize(("text", "href"), [
    ("https://\u1e9e.foo.example/", "https://xn--zca.foo.example/"),  # a capital sharp s, once two letters
    ("https://%E1%BA%9E.foo.example/", "https://xn--zca.foo.example/"), ("https://\u2183.example/", "https://xn--r5g.example/"),
    ("https://look\u180eout.example/", "https://lookout.example/"), ("http://a.x\tn--pokxncvks/", "http://a.xn--pokxncvks/"),
    ("http://a.XN--pokxncvks/x#y", "http://a.xn--pokxncvks/x"), ("http://xn--ls8h=/", "http://xn--ls8h=/"),
    ("http://a.example/x/.y/..", "http://a.example/x/"), ("http://a.example//.y/./z", "http://a.example//.y/z"),
    ("http://a.example/^?^", "http://a.example/%5E?^"), ("http://xn--bcher-kva.example/%5E", "http://xn--bcher-kva.example/%5E")])
def test_given_names_and_characters_of_a_newer_standard_when_parsed_then_that_holds(text, href):
    assert parse(text).href == href
    assert resolve_all("http://ss.foo.example/d/", [text.partition("#")[0]], 1) == {href: None}
    assert parse("http://ss.foo.example/d/").join(text).href == href
    assert parse(href).href == href
    assert parse(href).join("b").host == parse(href).host
    assert list(resolve_all(href, ["/b"], 1)) == [parse(href).join("/b").href]


@pytest.mark.parametrize("text", ["", "example.org", "http://", "http://[::1", "http://a b/", "http://\ud800/", "//x",
                                  "http://a.example/\ud800", "http://xn--\udfff/", "http://a\x00b/", "http://[::1]x/",
                                  "http://a:99999/", "http://%00/", "http://" + "[" * 100_000,
                                  b"http://a.example/", None, 7])
def test_given_what_is_no_url_when_parsed_then_the_error_shows_one(text):
    with pytest.raises(UrlError, match=r"https://example\.org/"):
        parse(text)


@pytest.mark.parametrize(("text", "href"), [
    ("example.org", "http://example.org/"), (" example.org:81/x ", "http://example.org:81/x"),
    ("https://example.org", "https://example.org/"), ("localhost:8000", "http://localhost:8000/")])
def test_given_what_a_person_types_when_parsed_as_a_seed_then_http_is_meant(text, href):
    assert parse_seed(text).href == href


@pytest.mark.parametrize("text", ["", "   ", "mailto:a@b.example", "javascript:x", "data:,x", "ftp://a.example/", "http://",
                                  "file:///etc/passwd", "http://a.example/" + "x" * MAX_URL,
                                  "http://a.example/" + "ä" * (MAX_URL // 3)])
def test_given_what_cannot_be_crawled_when_parsed_as_a_seed_then_it_is_refused(text):
    with pytest.raises(UrlError):
        parse_seed(text)


def test_given_references_when_resolved_then_they_are_distinct_fetchable_bounded_and_in_order():
    references = ["b", "/b", "b", "c", "mailto:x", "javascript:x", "http://", "\ud800", "//d.example", "", "ftp://e.example/"]
    base = "http://a.example/dir/page"
    assert list(resolve_all(base, references, 10)) == [
        "http://a.example/dir/b", "http://a.example/b", "http://a.example/dir/c", "http://d.example/", base]
    assert len(resolve_all(base, references, 2)) == 2
    with pytest.raises(UrlError):
        resolve_all("nonsense", references, 2)


@pytest.mark.parametrize("reference", ["http://[", "\ud800", "http://a b/"])
def test_given_a_reference_that_is_none_when_joined_then_there_is_no_url(reference):
    assert parse("http://a.example/").join(reference) is None


@pytest.mark.parametrize("href", ["http://a.example/x", "http://a.example:81/x?y", "http://u:p@a.example/", "https://[::1]:81/",
                                  "http://a.example/?@b.example/"])
def test_given_a_parsed_url_when_its_host_is_cut_from_its_text_then_it_is_the_parsers(href):
    url = parse(href)
    assert host_of(url.href) == url.host


def test_given_a_huge_url_when_parsed_then_it_is_one_and_no_seed():
    text = "http://a.example/" + "é/" * 1_000_000
    assert parse(text).href.startswith("http://a.example/%C3%A9")
    assert parse("http://a.example/").join("y" * 5_000_000).pathname == "/" + "y" * 5_000_000
    with pytest.raises(UrlError, match=r"a URL has [0-9,]+ at the most"):
        parse_seed(text)


PIECES = st.sampled_from([
    "http:", "https:", "HTTP:", "/", "//", "\\", "a", "b.example", "xn--", "-", "%", "%2e", "/.a/", "%41", "%C3%BC",
    "%E1%BA%9E", "ss", "ß", "\u1e9e", "0x7f", "1.", ".", "..", "?", "#", "@", ":", "[", "]", "::1", "80", " ", "\t",
    "\n", "\x00", "\x7f",
    "<", '"', "^", "|", "{", "`", "A", "ä", "\ud800", "\u180e", "é"])


@given(st.sampled_from(["http://ss.example/d/p?q", "https://u:p@a.example:81/d/", "http://[::1]/", "http://xn--zca.example/"]),
       st.lists(PIECES, max_size=9).map("".join))
@example("http://ss.example/", "//%E1%BA%9E.example/x")
@example("http://ss.example/", "http:%E1%BA%9E.example/x")
@example("http://ss.example/", "/\t/%E1%BA%9E.example/x")
@example("http://ss.example/", "\\\\%E1%BA%9E.example/x")
@settings(max_examples=1500, deadline=None)
def test_given_any_reference_when_resolved_quickly_then_it_means_what_it_means_to_the_slow_library(base, reference):
    try:
        exact = ada_url.URL(reference, base).href
    except ValueError:
        exact = ""
    wanted = exact.partition("#")[0] if exact.startswith(("http://", "https://")) else ""
    url = parse(base).join(reference)
    assert (url.href if url and url.is_fetchable else "") == wanted
    assert bool(url) == bool(exact)
    if "#" not in reference:
        assert list(resolve_all(base, [reference], 1)) == ([wanted] if wanted else [])
    if wanted:
        assert parse(wanted).href == wanted


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_given_any_text_when_parsed_as_a_seed_then_there_is_a_fetchable_url_or_an_error(text):
    try:
        url = parse_seed(text)
    except UrlError:
        return
    assert url.href.startswith(("http://", "https://"))
    assert "#" not in url.href
    assert parse(url.href).href == url.href, "parsing is idempotent"
    assert host_of(url.href) == url.host
    assert len(UriIdentity(str, str).key(1, url.href)) == KEY_BYTES


def test_given_urls_when_keyed_then_project_host_and_fingerprint_stand_in_this_order():
    identity = UriIdentity(lambda href: href, lambda host: host)
    key = identity.key(7, "http://a.example/x")
    assert len(key) == KEY_BYTES
    assert key[:PROJECT_BYTES] == b"\x00\x07"
    assert key[:HOST_BYTES] == host_key(7, "a.example")
    assert identity.key(7, "http://a.example/y")[:HOST_BYTES] == key[:HOST_BYTES]
    assert identity.key(7, "http://a.example:81/x")[:HOST_BYTES] != key[:HOST_BYTES]
    assert identity.key(8, "http://a.example/x")[PROJECT_BYTES:] == key[PROJECT_BYTES:]
    assert len({identity.key(7, f"http://a.example/{number}") for number in range(5000)}) == 5000


def test_given_policies_when_keyed_then_equal_canonical_forms_are_one_uri_and_one_queue_may_hold_many_hosts():
    identity = UriIdentity(str.lower, registered_domain)
    assert identity.key(1, "http://a.example/X") == identity.key(1, "http://a.example/x")
    assert identity.queue_of("http://docs.a.example:81/") == "a.example"
    assert identity.key(1, "http://docs.a.example/")[:HOST_BYTES] == identity.key(1, "http://www.a.example/")[:HOST_BYTES]


def test_given_more_hosts_than_are_remembered_when_keyed_then_keys_stay_the_same():
    identity = UriIdentity(str, str)
    before = identity.key(1, "http://first.example/")
    for number in range(5000):
        identity.key(1, f"http://h{number}.example/")
    assert identity.key(1, "http://first.example/") == before
    assert len(identity._host_keys) <= 4096


@pytest.mark.parametrize(("host", "domain"), [
    ("docs.example.co.uk:81", "example.co.uk"), ("example.org", "example.org"), ("user.github.io", "github.io"),
    ("192.168.1.5:8080", "192.168.1.5"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("localhost", "localhost"),
    ("localhost:99", "localhost"), ("co.uk", "co.uk"), ("a.b.c.example.com", "example.com")])
def test_given_a_host_when_asked_for_its_registered_domain_then_the_public_suffix_list_decides(host, domain):
    assert registered_domain(host) == domain


@pytest.mark.parametrize(("mode", "name"), [("host", "www.a.co.uk:81"), ("domain", "a.co.uk"), ("any", None)])
def test_given_a_scope_mode_when_a_host_is_named_then_it_is_by_what_must_be_seeded(mode, name):
    assert HostScoping(mode).name_of("www.a.co.uk:81") == name


REFERENCES = ["", "?q", "?q/r", "x", "./x", "../x", "/x", "//other.example/x", "http://other.example/y", "x?a/b", "..",
              "mailto:a@b", "http://[", ";p", "x y", "\ud800", "a:b"]
PAGES = ["http://a.example/", "http://a.example/d/", "http://a.example/d/p", "http://a.example/d/q?x=/y/z",
         "http://a.example/d?e/f", "https://a.example/d/p", "http://a.example:81/d/p", "http://u:p@a.example/d/p"]


def test_given_pages_of_shared_folders_when_resolved_with_memory_then_each_gets_what_it_gets_without():
    resolver = Resolver(memory=600)  # so small that it begins anew in between
    for page in PAGES * 3:
        for reference in REFERENCES:
            alone = resolve_all(page, [reference], 10)
            assert resolver.resolve_all(page, [reference], 10) == alone, (page, reference)
            assert alone == dict.fromkeys(url.href for url in [parse(page).join(reference)] if url and url.is_fetchable)
