import pytest

from spyder.contracts import Response
from spyder.model.states import LinkKind
from spyder.settings import ExtractSection, ScopeSection, Settings

pytest.importorskip("tinycss2")
from spyder.extract.css import Css


def read(body, *, content_type="text/css", links=100, **extract):
    body = body if isinstance(body, bytes) else body.encode()
    settings = Settings(extract=ExtractSection(**{"embeds": True, **extract}), scope=ScopeSection(max_links=links))
    return Css(settings)(Response(url="http://a.example/css/main.css", status=200, headers=(),
                                  content_type=content_type, media_type="text/css", body=body))


@pytest.mark.parametrize(("sheet", "expected"), [
    ("@import 'a.css'; @import url(b.css) print; @IMPORT \"c.css\" layer(x);", "abc"),
    ("p { background: url( 'a' ) , URL(b) } @media x { @font-face { src: url(c) format('no') } }", "abc"),
    ("p { background: image-set('a' 1x, url(b) 2x); content: 'no'; cursor: url(\\63) }", "abc"),
    ("/* url(no) */ @namespace x url(no); @namespace 'no'; p { b: url(a) }", "a"),
    ("@import 'a'; p { content: 'no' } @charset 'no';", "a"),
    ("p { b: url(a#x) url(#only) url() url(a) url(data:x) url(mailto:x) }", "a"),
    ("p { b: url(a", "a"), ("}}}url(a)]]", "a"), ("@import", ""), ("", "")])
def test_given_a_style_sheet_when_read_then_what_it_embeds_is_found(sheet, expected):
    found = read(sheet)
    assert [url.removeprefix("http://a.example/css/").removesuffix(".css") for url in found.links] == list(expected)
    assert set(found.links.values()) <= {LinkKind.EMBED}


def test_given_encodings_when_read_then_mark_header_and_rule_decide():
    assert read(b'@charset "latin1"; p { b: url(\xe9) }').charset == "windows-1252"
    assert read(b'@charset "utf-16"; p {}').charset == "utf-8"
    assert read("p{}".encode("utf-16")).charset == "utf-16le"
    assert read(b"p{}", content_type="text/css; charset=gbk").charset == "gbk"


def test_given_no_wish_for_embeds_when_read_then_nothing_is_found():
    assert read("p { b: url(a) }", embeds=False) is None


def test_given_caps_when_read_then_what_cuts_off_is_named():
    many = read("".join(f"p {{ b: url({number}) }}" for number in range(50)), links=10)
    assert (len(many.links), many.limits) == (10, ("scope.max_links",))
    long = read("p { b: url(a) }" + " " * 5000 + "p { b: url(b) }", max_parse_size=1000)
    assert (len(long.links), long.limits) == (1, ("extract.max_parse_size",))


@pytest.mark.parametrize("unit", ["(", "{", "url(", "[", "a(", "@import ", "'", "\\", "}"])
def test_given_a_hostile_style_sheet_when_read_then_nothing_is_raised(unit):
    assert read(unit * 20_000).links == {}
