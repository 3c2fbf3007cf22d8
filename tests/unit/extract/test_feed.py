import pytest

from spyder.contracts import Response
from spyder.extract.feed import Feed
from spyder.extract.sniff import sniff
from spyder.model.states import LinkKind
from spyder.settings import ExtractSection, Settings

URL = "http://a.example/feed"
RSS = """<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title> The
 feed </title><link>/home</link><atom:link rel="self" href="/feed"/><atom:link rel="next" href="/feed?page=2"/>
<image><url>/logo.png</url><link>/logo-page</link></image>
<item><title>no</title><link>/1</link><guid>urn:x</guid><pubDate>Sat, 01 Jan 2005 00:00:00 GMT</pubDate>
<enclosure url="/1.mp3" type="audio/mpeg"/><media:content url="/1.jpg"/></item>
<item><guid isPermaLink="false">http://a.example/no</guid><link> http://a.example/2?a=1&amp;b=2 </link>
<dc:date>2005-01-01T00:00:00Z</dc:date></item>
<item><guid>http://a.example/3</guid></item><item><title>nothing</title></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:base="/base/"><title>A</title><link href="/"/>
<link rel="self" href="self"/><link rel="prev-archive" href="/old"/>
<entry xml:base="sub/"><link href="1"/><link rel="alternate" hreflang="de" href="1.de"/><link rel="edit" href="no"/>
<link rel="enclosure" href="1.mp3"/><updated>2005-01-01T00:00:00Z</updated><published>2004-01-01</published></entry>
<entry><content src="../2.html"/><link rel='alternate' href='2'/><source><link href='/no'/></source></entry></feed>"""


def read(body, *, content_type="text/xml", **extract):
    body = body.encode()
    return Feed(Settings(extract=ExtractSection(**extract)))(Response(
        url=URL, status=200, headers=(), content_type=content_type, media_type=sniff(body, content_type), body=body))


def of_kind(found, kind):
    return [url.removeprefix("http://a.example") for url, its in found.links.items() if its is kind]


def test_given_rss_when_read_then_items_are_listed_with_their_dates_and_the_feed_has_a_page():
    found = read(RSS)
    assert of_kind(found, LinkKind.LISTED) == ["/1", "/2?a=1&b=2", "/3"]
    assert {url[17:]: hint.modified for url, hint in found.hints.items()} == {
        "1": 1_104_537_600.0, "2?a=1&b=2": 1_104_537_600.0}
    assert {"/home", "/feed?page=2"} <= set(of_kind(found, LinkKind.NAVIGATION))
    assert (found.title, found.charset, of_kind(found, LinkKind.EMBED)) == ("The feed", "utf-8", [])
    assert of_kind(read(RSS, embeds=True), LinkKind.EMBED) == ["/1.mp3", "/1.jpg"]


def test_given_atom_when_read_then_bases_hold_and_the_first_alternate_is_the_page():
    found = read(ATOM, embeds=True)
    assert of_kind(found, LinkKind.LISTED) == ["/base/sub/1", "/base/2"]
    assert of_kind(found, LinkKind.NAVIGATION) == ["/", "/old", "/base/sub/1.de", "/2.html"]
    assert of_kind(found, LinkKind.EMBED) == ["/base/sub/1.mp3"]
    assert found.hints["http://a.example/base/sub/1"].modified == 1_104_537_600.0


def test_given_rdf_when_read_then_its_items_are_listed():
    found = read('<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">'
                 '<channel><title>R</title><link>/home</link></channel><item><link>/1</link></item></rdf:RDF>')
    assert (of_kind(found, LinkKind.LISTED), found.title) == (["/1"], "R")


def test_given_a_json_feed_when_read_then_its_items_are_listed():
    found = read('{"version": "https://jsonfeed.org/version/1.1", "title": "J", "home_page_url": "/home", "items": ['
                 '{"id": 1, "url": "/1", "date_modified": "2005-01-01T00:00:00Z"}, {"external_url": "/2"}, {}]}',
                 content_type="application/feed+json")
    assert (of_kind(found, LinkKind.LISTED), of_kind(found, LinkKind.NAVIGATION)) == (["/1", "/2"], ["/home"])
    assert found.hints["http://a.example/1"].modified == 1_104_537_600.0


def test_given_a_json_feed_with_fields_that_are_null_when_read_then_its_items_are_listed_all_the_same():
    found = read('{"version": "https://jsonfeed.org/version/1.1", "title": null, "home_page_url": null, "next_url": '
                 'null, "items": [null, {"url": "/1", "external_url": null, "date_modified": null, "date_published": '
                 'null}, {"url": null, "external_url": "/2"}]}', content_type="application/feed+json")
    assert (of_kind(found, LinkKind.LISTED), of_kind(found, LinkKind.NAVIGATION)) == (["/1", "/2"], [])
    assert read('{"version": "https://jsonfeed.org/version/1.1", "items": null}',
                content_type="application/feed+json").links == {}


@pytest.mark.parametrize("body", ["", "[", "[1]", '{"items": 3}', '{"items": [{"url": {}}]}', "[" * 100_000,
                                  "\ufeff{}"])
def test_given_what_is_no_json_feed_when_read_then_it_has_no_links(body):
    assert read(body, content_type="application/feed+json").links == {}


def test_given_a_feed_that_takes_too_much_memory_when_read_then_it_ends_there_and_the_limit_is_named():
    body = '{"version": "https://jsonfeed.org/version/1.1", "items": [{"url": "/1"}' + ",{}" * 2_000_000 + "]}"
    found = read(body, content_type="application/feed+json", max_parse_memory=10_000_000)
    assert (found.links, found.limits) == ({}, ("extract.max_parse_memory",))
    assert read(RSS, max_parse_memory=10_000_000).limits == ()


def test_given_more_items_than_allowed_when_read_then_the_rest_is_left_out_and_the_limit_named():
    found = read(RSS, max_sitemap_entries=2)
    assert (of_kind(found, LinkKind.LISTED), found.limits) == (["/1", "/2?a=1&b=2"], ("extract.max_sitemap_entries",))
    assert read(RSS, max_sitemap_size=500).limits == ("extract.max_sitemap_size",)


@pytest.mark.parametrize("body", ["<rss>", "<rss><item><link>/1", "<feed><entry><link href='/1'>", "<rss><item><link>",
                                  "<rss>" + "<item>" * 1000, "<feed xml:base='http://['><entry xml:base=''>"])
def test_given_a_broken_feed_when_read_then_nothing_is_raised(body):
    assert set(of_kind(read(body), LinkKind.LISTED)) <= {"/1"}
