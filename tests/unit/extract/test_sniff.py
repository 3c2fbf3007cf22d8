import gzip
import time

import pytest

from spyder.extract.sniff import archive_or_font, computed_type, sniff, supplied_type

URLSET = b'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>http://a.example/'
RSS = b"<rss version='2.0'><channel>"
RDF = (b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"><channel>')
NOSNIFF = (("x-content-type-options", "NoSniff"),)


@pytest.mark.parametrize(("header", "expected"), [
    ("text/html", "text/html"), (" Text/HTML ;charset=x", "text/html"), ("", ""), ("nonsense", ""), ("text/", ""),
    ("a b/c", ""), ("text/html, text/plain", "text/plain"), ("text/html, */*", "text/html"), ("*/*", ""),
    ("text/html, nonsense", "text/html"), ('text/html; x="a,b/c"', "text/html")])
def test_given_a_header_when_read_then_the_last_media_type_is_the_supplied_one(header, expected):
    assert supplied_type(header) == expected


@pytest.mark.parametrize("content_type", ["", "nonsense", "*/*", "unknown/unknown", "application/unknown"])
@pytest.mark.parametrize(("body", "expected"), [
    (b"<!DOCTYPE html>", "text/html"), (b" \n<!doctype HTML >", "text/html"), (b"<html>", "text/html"),
    (b"<A HREF=x>", "text/html"), (b"<p>", "text/html"), (b"<!-- x -->", "text/html"), (b"<pre>", "text/plain"),
    (b"<bogus>", "text/plain"), (b"<?xml version='1.0'?><x/>", "text/xml"), (b"%PDF-1.7", "application/pdf"),
    (b"%!PS-Adobe-3", "application/postscript"), (b"\xfe\xff\0a", "text/plain"), (b"\xef\xbb\xbfabc", "text/plain"),
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF89a;", "image/gif"), (b"\xff\xd8\xff\xe0", "image/jpeg"),
    (b"RIFF1234WEBPVP8", "image/webp"), (b"BM12", "image/bmp"), (b"\0\0\1\0", "image/x-icon"),
    (b"RIFF1234WAVEfmt", "audio/wave"), (b"OggS\0", "application/ogg"), (b"ID3", "audio/mpeg"),
    (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4"),
    (b"\0\0\0\x18ftypqt  \0\0\0\0qt  qt  ", "application/octet-stream"),
    (b"\x1a\x45\xdf\xa3\x01\x42\x82\x84webm", "video/webm"), (b"PK\3\4", "application/zip"),
    (b"Rar \x1a\7\0", "application/x-rar-compressed"), (b"\x1f\x8b\x08\0nothing", "application/x-gzip"),
    (b"plain\ttext\x1b", "text/plain"), (b"\0\1\2", "application/octet-stream")])
def test_given_no_type_when_sniffed_then_the_first_bytes_say_what_it_is(content_type, body, expected):
    assert sniff(body, content_type) == expected


@pytest.mark.parametrize(("body", "content_type", "expected"), [
    (b"<html>", "text/plain", "text/plain"), (b"\0\1", "text/plain", "application/octet-stream"),
    (b"\0\1", "text/plain; charset=UTF-8", "application/octet-stream"),
    (b"\0\1", "text/plain;charset=utf-8", "text/plain"),
    (b"\xff\xfe\0\1", "text/plain", "text/plain"), (b"\x89PNG\r\n\x1a\n", "text/html", "text/html"),
    (b"\x89PNG\r\n\x1a\n", "image/gif", "image/png"), (b"<html>", "image/gif", "image/gif"),
    (b"OggS\0", "audio/x-unknown", "application/ogg"),
    (b"<html>", "application/octet-stream", "application/octet-stream"),
    (b"%PDF-1.4", "text/html", "text/html"), (b"<html>", "application/xhtml+xml", "application/xhtml+xml"),
    (b"<html xmlns='x'>", "text/xml", "application/xhtml+xml"), (b"<svg>", "image/svg+xml", "image/svg+xml"),
    (b"<x/>", "application/soap+xml", "application/soap+xml"),
    (b"{}", "application/feed+json", "application/feed+json"),
    (b"a{}", "text/css", "text/css")])
def test_given_a_type_when_sniffed_then_the_standard_says_how_far_it_is_believed(body, content_type, expected):
    assert sniff(body, content_type) == expected


def test_given_nosniff_when_sniffed_then_the_header_is_believed_and_nothing_becomes_html():
    assert sniff(b"<html>", "", NOSNIFF) == "text/plain"
    assert sniff(b"\0\1", "text/plain", NOSNIFF) == "text/plain"
    assert sniff(b"\x89PNG\r\n\x1a\n", "image/gif", NOSNIFF) == "image/gif"
    assert sniff(URLSET, "text/html", NOSNIFF) == "application/sitemap+xml", "nothing runs in it"


@pytest.mark.parametrize("content_type", [
    "application/xml", "text/xml", "text/html", "text/html; charset=utf-8", "text/plain", "application/octet-stream",
    "",
    "application/rss+xml", "application/gzip", "application/x-bogus", "binary/octet-stream"])
@pytest.mark.parametrize(("body", "expected"), [
    (URLSET, "application/sitemap+xml"), (b"\xef\xbb\xbf\n<!-- <html> -->" + URLSET, "application/sitemap+xml"),
    (b"<s:sitemapindex xmlns:s='x'>", "application/sitemap+xml"),
    (URLSET.decode().encode("utf-16"), "application/sitemap+xml"),
    (RSS, "application/rss+xml"), (RDF, "application/rss+xml"), (b"<feed xmlns='x'>", "application/atom+xml"),
    (b"<!DOCTYPE rss [<!ENTITY a 'b'>]>" + RSS, "application/rss+xml")])
def test_given_a_sitemap_or_feed_when_sniffed_then_it_is_known_whatever_it_is_called(content_type, body, expected):
    assert sniff(body, content_type) == expected
    assert sniff(gzip.compress(body), content_type.replace("text/html", "application/gzip")) == expected


@pytest.mark.parametrize(("body", "content_type", "is_list"), [
    (b"http://a.example/1\nhttps://a.example/2\n", "text/plain", True),
    (b"http://a.example/", "application/x-bogus", True),
    (b"# pages\r\n\r\nHTTP://a.example/1\r\n", "application/octet-stream", True),
    (b"\xef\xbb\xbfhttp://a.example/", "", True),
    (gzip.compress(b"http://a.example/\n" * 5000), "application/gzip", True),
    (b"http://a.example/ is a page", "text/plain", False), (b"see\nhttp://a.example/", "text/plain", False),
    (b"http://a.example/\nUser-agent: *", "text/plain", False), (b"", "text/plain", False),
    (b"http://a.example/", "text/css", False), (b"http://a.example/", "text/html", False),
    (b"# nothing but http comments", "text/plain", False)])
def test_given_text_when_sniffed_then_it_is_a_list_if_its_first_lines_are_urls(body, content_type, is_list):
    assert (sniff(body, content_type) == "text/uri-list") is is_list


@pytest.mark.parametrize("body", [b"<html><body><rss>", b"<!doctype html><urlset>", b"<div><feed>", b"text <rss>",
                                  b"<!-- <rss> --><html>", b"<rdf:RDF><x>"])
def test_given_html_when_sniffed_then_it_stays_html(body):
    assert sniff(body, "text/html") == "text/html"


@pytest.mark.parametrize(("head", "expected"), [
    (b"PK\3\4", "application/zip"), (b"wOF2", "font/woff2"), (b"OTTO", "font/otf"), (b"\0\1\0\0", "font/ttf"),
    (b"ttcf", "font/collection"), (b"wOFF", "font/woff"), (b"x" * 34 + b"LP", "application/vnd.ms-fontobject"),
    (b"x", "")])
def test_given_fonts_and_archives_when_asked_then_their_names_are_known(head, expected):
    assert archive_or_font(head) == expected


@pytest.mark.parametrize("unit", [b"<!--", b"<?", b"<!", b" ", b"<", b"<a ", b"\0", b"http://a/\n", b"#\n",
                                  b"\x1a\x45\xdf\xa3"])
@pytest.mark.parametrize("content_type", ["", "text/html", "text/xml", "text/plain"])
def test_given_a_strange_body_when_sniffed_then_it_is_quick(unit, content_type):
    body = unit * (2_000_000 // len(unit))
    started = time.process_time()
    assert sniff(body, content_type)
    assert computed_type(body[:1445], supplied_type(content_type), content_type)
    assert time.process_time() - started < 2.0
