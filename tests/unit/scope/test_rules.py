import pytest

from spyder.errors import SettingsError
from spyder.model.domain import registered_domain
from spyder.model.scoping import HostScoping
from spyder.scope.rules import LinkScope
from spyder.settings import ScopeSection


@pytest.mark.parametrize(("section", "href", "depth", "reason"), [
    ({}, "http://h/", 0, ""),
    ({}, "https://h/a", 99, ""),
    ({}, "ftp://h/", 0, "scheme"),
    ({"max_url_length": 10}, "http://h/a", 0, ""),
    ({"max_url_length": 10}, "http://h/ab", 0, "url-length"),
    ({"depth": 2}, "http://h/", 2, ""),
    ({"depth": 2}, "http://h/", 3, "depth"),
    ({"depth": 0}, "http://h/", 1, "depth"),
    ({"exclude": (r"\.pdf$", "/private/")}, "http://h/private/x", 1, "exclude"),
    ({"exclude": (r"\.pdf$",)}, "http://h/a.pdf?x", 1, ""),
    ({"include": ("/docs/", "/blog/")}, "http://h/blog/x", 0, ""),
    ({"include": ("/docs/",)}, "http://h/shop/", 0, "include"),
    ({"include": ("/docs/",), "exclude": ("/docs/old",)}, "http://h/docs/old", 0, "exclude")])
def test_link_is_admitted_unless_a_rule_keeps_it_out(section, href, depth, reason):
    scope = LinkScope(ScopeSection(**section))
    assert scope.reason(href, depth) == reason
    assert scope.admits(href, depth) is (reason == "")


@pytest.mark.parametrize(("section", "href", "depth", "words"), [
    ({}, "ftp://h/", 0, "only http:// and https:// are crawled"),
    ({"max_url_length": 10}, "http://h/ab", 0, "it has 11 characters, more than scope.max_url_length (10)"),
    ({"depth": 2}, "http://h/", 3, "it is 3 links from a seed, more than scope.depth (2)"),
    ({"exclude": ("/x/", r"\.pdf$")}, "http://h/a.pdf", 1, r"it matches '\\.pdf$' of scope.exclude"),
    ({"include": ("/docs/", "/blog/")}, "http://h/shop/", 0, "it matches none of scope.include: '/docs/', '/blog/'"),
    ({"depth": 2}, "http://h/", 2, "")])
def test_rule_is_told_in_words_with_the_setting(section, href, depth, words):
    assert LinkScope(ScopeSection(**section)).why_not(href, depth) == words


def test_unknown_depth_keeps_no_link_out():
    scope = LinkScope(ScopeSection(depth=0, exclude=("/x",)))
    assert scope.why_not("http://h/") == ""
    assert scope.why_not("http://h/x") == "it matches '/x' of scope.exclude"


@pytest.mark.parametrize("key", ["include", "exclude"])
def test_expression_that_is_none_is_named(key):
    with pytest.raises(SettingsError, match=rf"scope\.{key}: '\(x' is no regular expression"):
        LinkScope(ScopeSection(**{key: ("fine", "(x")}))


@pytest.mark.parametrize(("mode", "host", "admitted"), [
    ("host", "www.example.co.uk", True), ("host", "example.co.uk", False), ("host", "www.example.co.uk:8080", False),
    ("domain", "example.co.uk", True), ("domain", "a.b.example.co.uk:8080", True), ("domain", "other.co.uk", False),
    ("any", "anything.example", True)])
def test_host_is_compared_with_the_seeds(mode, host, admitted):
    scoping = HostScoping(mode)
    seeds = {scoping.name_of("www.example.co.uk")}
    assert (scoping.name_of(host) in seeds) is admitted


@pytest.mark.parametrize(("host", "domain"), [
    ("docs.example.co.uk:81", "example.co.uk"), ("user.github.io", "github.io"), ("localhost:8000", "localhost"),
    ("127.0.0.1:80", "127.0.0.1"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("co.uk", "co.uk"),
    ("www.xn--bcher-kva.de", "xn--bcher-kva.de")])
def test_registered_domain(host, domain):
    assert registered_domain(host) == domain
