"""What a response's body is: the WHATWG MIME Sniffing standard, and what XML, plain text and gzip turn out to hold.

The Content-Type header is the supplied type; the body's first bytes decide where the standard lets them. Beyond it,
whatever is no picture, sound, style or program is looked into for a sitemap or a feed, since many servers send these
as ``text/html`` or ``application/octet-stream``.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import Final

from spyder.extract import xml
from spyder.extract.charset import media_types
from spyder.extract.headers import field
from spyder.model.records import Headers

HEADER_BYTES: Final = 1445  #: of a body that decide (MIME Sniffing, section 5.2, "resource header")

SITEMAP: Final = "application/sitemap+xml"  #: our name for XML whose root is ``urlset`` or ``sitemapindex``
URI_LIST: Final = "text/uri-list"  #: URLs, one a line (RFC 2483, section 5): a sitemap in text
RSS: Final = "application/rss+xml"  #: RSS of whatever version, RDF included
ATOM: Final = "application/atom+xml"
JSON_FEED: Final = "application/feed+json"
XHTML: Final = "application/xhtml+xml"
HTML: Final = "text/html"
GZIP: Final = "application/x-gzip"

_UNKNOWN: Final = frozenset({"", "unknown/unknown", "application/unknown", "*/*"})
#: Values that Apache once sent with everything (section 5.1, "check-for-apache-bug flag"); letter by letter.
_APACHE: Final = frozenset({"text/plain", "text/plain; charset=ISO-8859-1", "text/plain; charset=iso-8859-1",
                            "text/plain; charset=UTF-8"})
_XML: Final = frozenset({"text/xml", "application/xml"})
#: Beginnings of media types in which nobody hides a sitemap.
_OPAQUE: Final = ("image/", "audio/", "video/", "font/", "text/css", "text/javascript", "application/javascript",
                  "application/pdf", "application/postscript", "application/zip", "multipart/", "model/")
_BINARY: Final = re.compile(rb"[\x00-\x08\x0B\x0E-\x1A\x1C-\x1F]")  # section 3, "binary data byte"
_BYTE_ORDER_MARKS: Final = (b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf")

#: A page that begins as nearly all do: nothing further needs to be looked at.
_PLAIN_HTML: Final = re.compile(rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*+(?:<\?xml[^>]*+>[\t\n\f\r ]*+)?"
                                rb"<(?:!doctype[\t\n\f\r ]+html|html|head|body)\b", re.I)
#: Section 7.1: what makes a body of unknown type HTML, up to a space or the tag's end.
_SCRIPTABLE: Final = re.compile(
    rb"[\t\n\f\r ]*(?:<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--)[ >])",
    re.I)
_SCRIPTABLE_XML: Final = re.compile(rb"[\t\n\f\r ]*<\?xml")

#: Sections 6.1, 6.2, 6.3, 6.4 and 7.1: first bytes that say what follows, in the standard's order.
_IMAGES: Final = (
    (re.compile(rb"\0\0[\x01\x02]\0"), "image/x-icon"), (re.compile(rb"BM"), "image/bmp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"), (re.compile(rb"RIFF....WEBPVP", re.S), "image/webp"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"), (re.compile(rb"\xff\xd8\xff"), "image/jpeg"))
_SOUNDS: Final = (
    (re.compile(rb"FORM....AIFF", re.S), "audio/aiff"), (re.compile(rb"ID3"), "audio/mpeg"),
    (re.compile(rb"OggS\0"), "application/ogg"), (re.compile(rb"MThd\0\0\0\x06"), "audio/midi"),
    (re.compile(rb"RIFF....AVI ", re.S), "video/avi"), (re.compile(rb"RIFF....WAVE", re.S), "audio/wave"),
    (re.compile(rb"\x1a\x45\xdf\xa3.{0,34}?\x42\x82[\x80-\xff].{0,8}?webm", re.S), "video/webm"))
_ARCHIVES: Final = ((re.compile(rb"\x1f\x8b\x08"), GZIP), (re.compile(rb"PK\x03\x04"), "application/zip"),
                    (re.compile(rb"Rar \x1a\x07\0"), "application/x-rar-compressed"))
_FONTS: Final = (
    (re.compile(rb".{34}LP", re.S), "application/vnd.ms-fontobject"), (re.compile(rb"\0\x01\0\0"), "font/ttf"),
    (re.compile(rb"OTTO"), "font/otf"), (re.compile(rb"ttcf"), "font/collection"), (re.compile(rb"wOFF"), "font/woff"),
    (re.compile(rb"wOF2"), "font/woff2"))
_DOCUMENTS: Final = ((re.compile(rb"%PDF-"), "application/pdf"),
                     (re.compile(rb"%!PS-Adobe-"), "application/postscript"))

_RSS_1: Final = "http://purl.org/rss/1.0/"
_RSS_0: Final = "http://my.netscape.com/rdf/simple/0.9/"
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ROOTS: Final = {"urlset": SITEMAP, "sitemapindex": SITEMAP, "rss": RSS, "feed": ATOM, "html": XHTML}
#: Bytes of a body that are searched for its root element, at most: comments may stand before it.
_ROOT_BYTES: Final = 65_536
#: Lines that are looked at before a text counts as a list of URLs.
_URL_LINES: Final = 20


@lru_cache(maxsize=4096)
def supplied_type(content_type: str) -> str:
    """The media type that a Content-Type header names, in lower case and without parameters; empty when it names none.

    Of several joined by commas the last one that is a media type and not ``*/*`` (Fetch, "extract a MIME type").
    """
    return next((essence for essence in reversed(media_types(content_type)) if essence != "*/*"), "")


def sniff(body: bytes, content_type: str, headers: Headers = ()) -> str:
    """The media type of *body*, in lower case and without parameters; *content_type* is the header's whole value.

    MIME Sniffing, section 7, refined by the root element of XML, by what is within gzip, and by text that is a list of
    URLs: :data:`SITEMAP`, :data:`URI_LIST`, :data:`RSS`, :data:`ATOM` and :data:`XHTML` are known by content alone.
    X-Content-Type-Options in *headers* is heard; it is about what a browser would run, so a sitemap or a feed is
    recognised all the same.
    """
    supplied = supplied_type(content_type)
    if supplied == HTML and _PLAIN_HTML.match(body):
        return HTML
    nosniff = field(headers, "x-content-type-options").strip().lower() == "nosniff"
    return _refined(computed_type(body[:HEADER_BYTES], supplied, content_type, nosniff=nosniff), body, content_type)


def computed_type(head: bytes, supplied: str, content_type: str = "", *, nosniff: bool = False) -> str:
    """MIME Sniffing, section 7, "MIME type sniffing algorithm", of the first bytes of a body."""
    if supplied in _XML or supplied.endswith("+xml"):
        return supplied
    if supplied in _UNKNOWN:
        return _unknown_type(head, is_scriptable=not nosniff)
    if nosniff:
        return supplied
    if content_type in _APACHE:
        return _text_or_binary(head)
    if supplied == HTML:
        return _mislabelled_feed(head) or supplied
    if supplied.startswith("image/"):
        return _match(_IMAGES, head) or supplied
    if supplied.startswith(("audio/", "video/")) or supplied == "application/ogg":
        return _match(_SOUNDS, head) or _mp4(head) or supplied
    return supplied


def archive_or_font(head: bytes) -> str:
    """What the first bytes of an archive or a font say that it is (sections 6.3 and 6.4); empty for anything else."""
    return _match(_ARCHIVES, head) or _match(_FONTS, head)


def _match(patterns: tuple[tuple[re.Pattern[bytes], str], ...], head: bytes) -> str:
    return next((name for pattern, name in patterns if pattern.match(head)), "")


def _unknown_type(head: bytes, *, is_scriptable: bool) -> str:
    """Section 7.1, "rules for identifying an unknown MIME type"."""
    if is_scriptable:
        if _SCRIPTABLE.match(head):
            return HTML
        if _SCRIPTABLE_XML.match(head):
            return "text/xml"
    found = _match(_DOCUMENTS, head)
    if found and (is_scriptable or found != "application/pdf"):
        return found
    if head.startswith(_BYTE_ORDER_MARKS):
        return "text/plain"
    return (_match(_IMAGES, head) or _match(_SOUNDS, head) or _mp4(head) or _match(_ARCHIVES, head)
            or ("application/octet-stream" if _BINARY.search(head) else "text/plain"))


def _text_or_binary(head: bytes) -> str:
    """Section 7.2, "rules for text or binary"."""
    if head.startswith(_BYTE_ORDER_MARKS) or not _BINARY.search(head):
        return "text/plain"
    return "application/octet-stream"


def _mp4(head: bytes) -> str:
    """Section 6.2.1, "signature for MP4"."""
    size = int.from_bytes(head[:4], "big")
    if size < 12 or size % 4 or len(head) < size or head[4:8] != b"ftyp":
        return ""
    brands = (head[at:at + 3] for at in (8, *range(16, size, 4)))
    return "video/mp4" if b"mp4" in brands else ""


_PROLOG: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[\t\n\f\r ]++|<!--(?:(?!-->).)*+-->|<\?(?:(?!\?>).)*+\?>|<!(?!--)[^>]*+>)*+<", re.S)


def _mislabelled_feed(head: bytes) -> str:
    """Section 7.3, "rules for distinguishing if a resource is a feed or HTML"; empty for HTML."""
    prolog = _PROLOG.match(head)
    if prolog is None:
        return ""
    rest = head[prolog.end():]
    if rest.startswith(b"rss"):
        return RSS
    if rest.startswith(b"feed"):
        return ATOM
    is_rdf = rest.startswith(b"rdf:RDF") and _RSS_1.encode() in rest and _RDF.encode() in rest
    return RSS if is_rdf else ""


def _refined(computed: str, body: bytes, content_type: str) -> str:
    """What XML, text and gzip turn out to be; *computed* for all that is none of them."""
    if computed.startswith(_OPAQUE):
        return computed
    head = body[:_ROOT_BYTES]
    is_gzip = head.startswith(b"\x1f\x8b\x08")
    if is_gzip:
        head, content_type = _inflated_head(head), ""
    is_xml = computed in _XML or computed.endswith("+xml")
    if is_xml or is_gzip or b"<" in head[:64] or head.startswith(_BYTE_ORDER_MARKS):
        found = _root_type(head, content_type)
        if found and (found != XHTML or (is_xml and not is_gzip)):
            return found
    if computed == HTML or is_xml:
        return computed
    if _is_url_list(head):
        return URI_LIST
    return GZIP if is_gzip else computed


def _inflated_head(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _ROOT_BYTES)
    except zlib.error:
        return b""


def _root_type(head: bytes, content_type: str) -> str:
    """The media type that an XML document's root element stands for; empty when it stands for none."""
    for kind, raw, text in xml.tokens(xml.Source(head, content_type, max_size=_ROOT_BYTES).chunks()):
        if kind is xml.START:
            name = raw.rpartition(":")[2]
            if name == "RDF":
                return RSS if _RSS_1 in text or _RSS_0 in text else ""
            return _ROOTS.get(name.lower(), "")
        return ""
    return ""


def _is_url_list(head: bytes) -> bool:
    """True for text whose first lines are all http(s) URLs; comments and empty lines don't count."""
    beginning = head[:16_384].removeprefix(b"\xef\xbb\xbf")
    if b"http" not in beginning[:1024].lower():
        return False
    lines = [line.strip() for line in beginning.splitlines()[:10 * _URL_LINES]]
    if len(head) > len(beginning) and len(lines) > 1:
        lines.pop()  # cut
    urls = [line for line in lines if line and not line.startswith(b"#")][:_URL_LINES]
    return bool(urls) and all(line[:8].lower().startswith((b"http://", b"https://")) and len(line.split()) == 1
                              for line in urls)
