import gzip

import pytest

from spyder.contracts import Response
from spyder.extract.dates import modified_at
from spyder.extract.sitemap import Sitemap
from spyder.extract.sniff import sniff
from spyder.model.limits import MAX_LINKS
from spyder.model.states import LinkKind
from spyder.settings import ExtractSection, Settings

URL = "http://a.example/deep/sitemap.xml"
HEAD = ('<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" '
        'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1" xmlns:xhtml="http://www.w3.org/1999/xhtml" '
        'xmlns:video="http://www.google.com/schemas/sitemap-video/1.1">')
YEAR_2005 = 1_104_537_600.0


def read(body, *, url=URL, referrer="", nesting=0, content_type="text/xml", **extract):
    body = body if isinstance(body, bytes) else body.encode()
    return Sitemap(Settings(extract=ExtractSection(**extract)))(Response(
        url=url, status=200, headers=(), content_type=content_type, media_type=sniff(body, content_type), body=body,
        referrer=referrer, nesting=nesting))


def listed(*entries, **options):
    return read(HEAD + "".join(f"<url>{entry}</url>" for entry in entries) + "</urlset>", **options)


def test_given_a_sitemap_when_read_then_pages_come_in_order_with_date_and_priority():
    found = listed("<loc>http://a.example/1</loc><lastmod>2005-01-01</lastmod><priority>1.0</priority>",
                   "<loc> /2 </loc>", "<priority>0.0</priority><loc>3?a=1&amp;b=2#x</loc>",
                   "<loc><![CDATA[http://a.example/4?a&b]]></loc><lastmod/><priority>0.5</priority>")
    assert found.links == dict.fromkeys(
        ["http://a.example/1", "http://a.example/2", "http://a.example/deep/3?a=1&b=2", "http://a.example/4?a&b"],
        LinkKind.LISTED)
    assert {url: (hint.priority, hint.modified) for url, hint in found.hints.items()} == {
        "http://a.example/1": (63, YEAR_2005), "http://a.example/deep/3?a=1&b=2": (-64, 0.0)}
    assert found.limits == ()


def test_given_an_index_when_read_then_it_leads_to_sitemaps_until_it_is_too_deep():
    body = "<sitemapindex><sitemap><loc>/1.xml</loc><lastmod>2005</lastmod></sitemap></sitemapindex>"
    assert read(body, nesting=3).links == {"http://a.example/1.xml": LinkKind.SITEMAP}
    assert read(body, nesting=3).hints["http://a.example/1.xml"].modified == YEAR_2005
    too_deep = read(body, nesting=4)
    assert (too_deep.links, too_deep.limits) == ({}, ("extract.max_sitemap_depth",))
    assert read(body, nesting=0, max_sitemap_depth=0).limits == ("extract.max_sitemap_depth",)


@pytest.mark.parametrize("body", [
    "<urlset><url><loc>http://a.example/1</lo", "<urlset><url><loc>http://a.example/1</loc><url><loc>",
    "<urlset xmlns='x'><url xmlns=''><loc>http://a.example/1</loc>", "<URLSET><URL><LOC>http://a.example/1</LOC></URL>",
    "<s:urlset xmlns:s='y'><s:url><s:loc>http://a.example/1</s:loc></s:url>", "<urlset><url>http://a.example/1</url>",
    "<urlset><url><loc><url>http://a.example/1</url></loc></url>", "<urlset><url><loc>a.example/1</loc></url>",
    "<urlset><url><loc>\nhttp://a.example/\n1\n</loc></url>", "<urlset><url><loc>http://a.example/1</loc></urlset>"])
def test_given_a_broken_sitemap_when_read_then_it_is_read_as_far_as_it_makes_sense(body):
    assert list(read(body).links) == ["http://a.example/1"]


@pytest.mark.parametrize("loc", ["", "&secret;", "<xi:include href='file:///etc/passwd' parse='text'/>", "mailto:x",
                                 "http://[", "javascript:1", "#top", "file:///etc/passwd"])
def test_given_an_entry_that_is_no_page_when_read_then_it_is_left_out(loc):
    body = f"<!DOCTYPE urlset [<!ENTITY secret SYSTEM 'file:///etc/passwd'>]><urlset><url><loc>{loc}</loc></url></urlset>"
    assert read(body).links == {}


def test_given_entities_that_multiply_when_read_then_nothing_grows():
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    found = read(f"<!DOCTYPE urlset [<!ENTITY l0 'lol'>{entities}]><urlset><url><loc>/x&l11;</loc></url></urlset>")
    assert list(found.links) == ["http://a.example/x"]


def test_given_extensions_when_read_then_languages_are_links_and_pictures_only_if_asked():
    entry = ('<loc>/1</loc><xhtml:link rel="alternate" hreflang="de" href="/de"/><xhtml:link rel="next" href="/no"/>'
             '<image:image><image:loc>/i.png</image:loc><image:license>/no</image:license></image:image>'
             '<video:video><video:thumbnail_loc>/t.png</video:thumbnail_loc><video:title>/no</video:title></video:video>')
    assert listed(entry).links == {"http://a.example/1": LinkKind.LISTED, "http://a.example/de": LinkKind.NAVIGATION}
    assert listed(entry, embeds=True).links == {
        "http://a.example/1": LinkKind.LISTED, "http://a.example/de": LinkKind.NAVIGATION,
        "http://a.example/i.png": LinkKind.EMBED, "http://a.example/t.png": LinkKind.EMBED}
    both = listed('<loc>/1</loc><xhtml:link rel="alternate" href="/2"/>', "<loc>/2</loc>").links
    assert both == dict.fromkeys(["http://a.example/1", "http://a.example/2"], LinkKind.LISTED)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress])
def test_given_a_sitemap_in_text_when_read_then_its_lines_are_pages(wrap):
    body = wrap(b"\xef\xbb\xbfhttp://a.example/1\r\nhttps://b.example/?a=1&b=2\r# no\n\nhttp://a.example/3")
    assert list(read(body, content_type="text/plain").links) == [
        "http://a.example/1", "https://b.example/?a=1&b=2", "http://a.example/3"]


@pytest.mark.parametrize(("location", "referrer", "expected"), [
    ("any", "", "1234"), ("host", "", "12"), ("path", "", "1"), ("host", "http://b.example/robots.txt", "123"),
    ("path", "http://b.example/robots.txt", "13"), ("host", "http://b.example/page", "12")])
def test_given_rules_of_location_when_read_then_only_pages_that_may_be_listed_are(location, referrer, expected):
    found = listed("<loc>/deep/1</loc>", "<loc>/2</loc>", "<loc>http://b.example/3</loc>", "<loc>http://c.example/4</loc>",
                   sitemap_location=location, referrer=referrer)
    assert "".join(url[-1] for url in found.links) == expected


def test_given_pages_of_another_host_when_read_then_what_is_said_of_them_does_not_count():
    entries = [f"<loc>{loc}</loc><priority>1</priority>" for loc in (
        "http://a.example/", "http://www.a.example/", "http://b.example/", "http://c.example/")]
    assert list(listed(*entries).hints) == ["http://a.example/", "http://www.a.example/"]
    assert "http://b.example/" in listed(*entries, referrer="https://b.example/robots.txt").hints


def test_given_caps_when_read_then_each_that_cuts_off_is_named():
    entries = [f"<loc>/{number}</loc>" for number in range(30)]
    found = listed(*entries, max_sitemap_entries=10)
    assert (len(found.links), found.limits) == (10, ("extract.max_sitemap_entries",))
    assert listed(*entries[:10], max_sitemap_entries=10).limits == ()
    found = listed(*entries, max_sitemap_size=600)
    assert 0 < len(found.links) < 30
    assert found.limits == ("extract.max_sitemap_size",)
    assert list(found.links)[-1] == f"http://a.example/{len(found.links) - 1}", "no URL is cut"


def test_given_a_bomb_when_read_then_no_more_than_allowed_is_inflated():
    body = gzip.compress((HEAD + "<url><loc>/1</loc></url>").encode() + b" " * 60_000_000)
    found = read(body, max_sitemap_size=1_000_000)
    assert (list(found.links), found.limits) == (["http://a.example/1"], ("extract.max_sitemap_size",))


def test_given_entries_with_many_languages_when_read_then_all_links_fit_into_an_outcome():
    links = "".join(f'<xhtml:link rel="alternate" href="/{number}"/>' for number in range(3000))
    found = listed(*[links.replace('href="/', f'href="/{entry}/') + f"<loc>/{entry}</loc>" for entry in range(60)])
    assert len(found.links) <= MAX_LINKS


@pytest.mark.parametrize(("text", "expected"), [
    ("2005", YEAR_2005), ("2005-01", YEAR_2005), ("2005-01-01", YEAR_2005), (" 2005-01-01T00:00Z ", YEAR_2005),
    ("2005-01-01T01:00:00+01:00", YEAR_2005), ("2004-12-31T19:00:00-0500", YEAR_2005), ("20050101", YEAR_2005),
    ("2005-01-01 00:00:00 UTC", YEAR_2005), ("2005-01-01T00:00:00.250Z", YEAR_2005 + 0.25),
    ("2005-01-01T00:00:00,5", YEAR_2005 + 0.5), ("Sat, 01 Jan 2005 00:00:00 GMT", YEAR_2005),
    ("Sat, 01 Jan 05 01:00:00 +0100", YEAR_2005), ("1 Jan 2005 00:00 UT", YEAR_2005),
    ("", 0.0), ("soon", 0.0), ("2005-13-01", 0.0), ("0000-00-00", 0.0), ("1969-12-31", 0.0), ("9999-12-31T99:99", 0.0),
    ("2005-01-01T24:00:00Z", YEAR_2005 + 86_400), ("1" * 1000, 0.0), ("Sat, 99 Foo 2005", 0.0)])
def test_given_a_date_when_read_then_it_is_a_time(text, expected):
    assert modified_at(text) == expected or (text.startswith("9999") and modified_at(text) >= 0)
