"""Extractors as entries: which are asked, in which order, and what happens when one fails or takes too long."""

import logging
import sys

import pytest

from spyder.contracts import Extraction, Extractor, LinkHint
from spyder.errors import PluginError
from spyder.extract import builtin
from spyder.extract.registry import Extractors
from spyder.model.records import CrawlUri, Page
from spyder.model.states import LinkKind
from spyder.settings import ExtractSection, ScopeSection, Settings

HTML = b"<!doctype html><title>T</title><a href=/1>"
MAP = b"<urlset><url><loc>/2</loc><lastmod>2005-01-01</lastmod></url></urlset>"


@pytest.fixture
def mine(monkeypatch):
    module = type(sys)("given_extractors")
    monkeypatch.setitem(sys.modules, "given_extractors", module)
    return module


def extract(body=HTML, *, status=200, content_type="text/html", headers=(), scope=None, **section):
    page = Page(uri=CrawlUri(lease=0, key=bytes(18), url="http://a.example/", referrer="http://r.example/", embeds=2),
                status=status, headers=(("content-type", content_type), *headers))
    settings = Settings(extract=ExtractSection(**section), scope=scope or ScopeSection())
    return Extractors(settings)(page, body)


def paths(found):
    return [url.removeprefix("http://a.example") for url in found.links]


def test_given_the_defaults_when_read_then_the_body_decides_who_is_asked():
    assert (extract()[0], paths(extract()[1])) == ("text/html", ["/1"])
    media_type, found = extract(MAP)
    assert (media_type, paths(found), len(found.hints)) == ("application/sitemap+xml", ["/2"], 1)
    media_type, found = extract(b"\x89PNG\r\n\x1a\n", content_type="image/png")
    assert (media_type, found.links) == ("image/png", {})


def test_given_an_answer_without_success_when_read_then_only_its_headers_count():
    media_type, found = extract(status=301, headers=(("location", "/new"),))
    assert (media_type, found.links) == ("text/html", {"http://a.example/new": LinkKind.REDIRECT})
    assert paths(extract(b"", headers=(("link", "</3>"),))[1]) == ["/3"]


def test_given_a_list_when_read_then_order_counts_and_what_is_not_in_it_is_off():
    headers = (("link", "</3>"),)
    assert paths(extract(headers=headers)[1]) == ["/1", "/3"]
    assert paths(extract(headers=headers, extractors=("headers", "html"))[1]) == ["/3", "/1"]
    assert paths(extract(headers=headers, extractors=("html",))[1]) == ["/1"]
    assert extract(MAP, extractors=("html", "headers"))[1].links == {}


def test_given_one_of_your_own_when_read_then_it_is_asked_for_its_types_and_the_first_word_counts(mine):
    seen = []

    class Mine:
        media_types = ("text/html",)

        def __init__(self, settings):
            self.links = settings.scope.max_links

        def __call__(self, response):
            seen.append((response.url, response.media_type, response.referrer, response.nesting, self.links))
            return Extraction(links={"http://a.example/1": LinkKind.EMBED, "http://a.example/9": LinkKind.MANUAL},
                              title="mine", marks=("noindex",), hints={"http://a.example/9": LinkHint(priority=3)})

    def everything(response):
        seen.append(response.status)

    mine.Mine, mine.everything = Mine, everything
    assert issubclass(Mine, Extractor)
    names = ("html", "given_extractors:Mine", "given_extractors:everything")
    _, found = extract(extractors=names)
    assert (paths(found), found.title, found.marks) == (["/1", "/9"], "T", ("noindex",))
    assert found.links["http://a.example/1"] is LinkKind.NAVIGATION
    assert found.hints["http://a.example/9"].priority == 3
    extract(MAP, extractors=names)
    extract(b"", status=302, extractors=names)
    assert seen == [("http://a.example/", "text/html", "http://r.example/", 2, 6000), 200, 200, 302]


@pytest.mark.parametrize("name", ["htlm", "no_such_module:x", "given_extractors:nothing", "given_extractors:NUMBER",
                                  "given_extractors:Broken"])
def test_given_an_entry_that_can_not_be_built_when_started_then_one_line_names_it(mine, name):
    class Broken:
        def __init__(self, settings):
            raise ValueError("no")

    mine.NUMBER, mine.Broken = 3, Broken
    with pytest.raises(PluginError, match=name) as caught:
        extract(extractors=(name,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "library"), [("css", "tinycss2"), ("pdf", "pypdf")])
def test_given_a_library_that_is_not_there_when_started_then_its_extra_is_named(monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(PluginError, match=rf"`{name}` needs .* {library}: pip install 'spyder-crawler\[{name}\]'"):
        extract(extractors=(name,))


def test_given_styles_in_a_page_when_read_then_they_are_looked_into_if_asked():
    pytest.importorskip("tinycss2")
    body = b"<!doctype html><style>@import 'a.css'; p { b: url(b.png) }</style><p style='background: url(c.png)'>"
    names = ("html", "headers", "css")
    assert sorted(paths(extract(body, extractors=names, embeds=True)[1])) == ["/a.css", "/b.png", "/c.png"]
    assert paths(extract(body, extractors=names)[1]) == []


def test_given_one_that_takes_too_long_when_read_then_it_is_ended_and_what_others_found_counts(mine, caplog):
    def slow(response):
        while True:
            pass

    mine.slow = slow
    with caplog.at_level(logging.WARNING):
        _, found = extract(extractors=("given_extractors:slow", "html"), max_parse_time=0.05)
    assert (paths(found), found.limits) == (["/1"], ("extract.max_parse_time",))
    assert "given_extractors:slow" in caplog.text


def test_given_more_than_a_page_may_have_when_read_then_each_limit_is_named():
    body = HTML + b"".join(b"<a href=/%d>" % number for number in range(20)) + b" " * 5000
    _, found = extract(body, scope=ScopeSection(max_links=5), max_parse_size=1000)
    assert (len(found.links), found.limits) == (5, ("extract.max_parse_size", "scope.max_links"))
    assert extract(HTML * 2)[1].limits == ()


def test_given_a_page_that_takes_too_much_memory_when_read_then_it_has_no_links_and_the_limit_is_named(monkeypatch):
    monkeypatch.setattr(builtin, "_HARMLESS", 1000)
    bomb = b"<!doctype html><a href=/1>" + b"".join(b"<html a%d=1>" % number for number in range(12_000))
    _, found = extract(bomb, max_parse_memory=50_000_000)
    assert (found.links, found.limits) == ({}, ("extract.max_parse_memory",))
    assert paths(extract(b"x" * 2000 + HTML, max_parse_memory=50_000_000)[1]) == ["/1"], "the limit is gone"
