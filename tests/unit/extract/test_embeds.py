import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.extract.css import style_urls
from spyder.extract.embeds import Candidate, srcset_candidates
from spyder.extract.html import Wanted, read_html
from spyder.model.states import LinkKind

URL = "http://site.example/dir/page"
FOLDER = "http://site.example/dir/"


def read(html, **wanted):
    return read_html(html.encode(), url=URL, content_type="text/html; charset=utf-8", limit=100,
                     max_parse_size=1_000_000, wanted=Wanted(**wanted)).links


def embeds(html, **wanted):
    return [href.removeprefix(FOLDER) for href, kind in read(html, embeds=True, **wanted).items()
            if kind is LinkKind.EMBED]


@pytest.mark.parametrize(("html", "expected"), [
    ("<img src=a lowsrc=b>", ["a", "b"]),
    ("<picture><source srcset='a 1x, b 2x'><img src=c></picture>", ["a", "b", "c"]),
    ("<video src=a poster=b><source src=c><track src=d></video><audio src=e></audio>", ["a", "b", "c", "d", "e"]),
    ("<script src=a></script><script>x = '<img src=b>'</script>", ["a"]),
    ("<link rel=Stylesheet href=a><link rel='shortcut icon' href=b><link rel=manifest href=c>", ["a", "b", "c"]),
    ("<link rel=preload href=a imagesrcset='b 1x, c 2x'>", ["a", "b", "c"]),
    ("<link rel=preconnect href=a><link rel=dns-prefetch href=b><link href=c>", []),
    ("<object data=a></object><embed src=b><input type=IMAGE src=c><input src=d>", ["a", "b", "c"]),
    ("<body background=a><table background=b><tr background=c><td background=d>", ["a", "b", "c", "d"]),
    ("<svg><image href=a /><image xlink:href=b /><use href='c#x'/><feImage href=d /><script href=e /></svg>",
     ["a", "b", "c", "d", "e"]),
    ("<img data-src=a><img data-srcset='b 1x, c 2x'><img data-original=d><img data-src='e, f'>",
     ["a", "b", "c", "d", "e", "f"]),
    ("<img data-original-title='No URL' data-source=x data-bg-color=red alt=y>", []),
    ("<meta property=og:image content=a><meta name=Twitter:Image content=b><meta name=description content=c>",
     ["a", "b"]),
    ("<amp-img src=a srcset='b 2x'></amp-img>", ["a", "b"]),
    ("<noscript><img src=a></noscript><template><img src=b></template>", ["a", "b"]),
    ("<img src='data:image/gif;base64,x'><img src=''>", []),
    ("<base href=/other/><img src=a>", ["http://site.example/other/a"])])
def test_what_a_page_embeds(html, expected):
    assert embeds(html) == expected
    assert not [kind for kind in read(html).values() if kind is LinkKind.EMBED]


def test_what_is_linked_and_embedded_is_a_link():
    assert read("<img src=a><a href=a>", embeds=True) == {f"{FOLDER}a": LinkKind.NAVIGATION}


def test_styles_are_read_where_something_reads_them():
    html = "<style>(a</style><p style=(b><svg><style>(c</style></svg><noscript><style>(d</style></noscript><p style=e>"
    assert embeds(html) == []
    assert embeds(html, styles=lambda text: [text[1:]]) == ["a", "c", "d", "b"]


def test_styles_are_read_up_to_a_limit(monkeypatch):
    monkeypatch.setattr("spyder.extract.html.MAX_STYLES", 25)
    found = read_html(b"<p style='x: url(a)'><p style='x: url(bbbbbbbbbbbb)'><p style='x: url(c)'>", url=URL,
                      content_type="", limit=9, max_parse_size=1000, wanted=Wanted(embeds=True, styles=style_urls()))
    assert ([href[-1] for href in found.links], found.limits) == (["a", "c"], ("scope.max_links",))


def test_embeds_count_for_the_limit_after_the_links():
    body = b"<img src=a><img src=b><a href=c><a href=d>"
    found = read_html(body, url=URL, content_type="", limit=3, max_parse_size=1000, wanted=Wanted(embeds=True))
    assert ([href[-1] for href in found.links], found.limits) == (["c", "d", "a"], ("scope.max_links",))


@pytest.mark.parametrize("wanted", [{"link_elements": True}, {"embeds": True}])
def test_link_elements_that_lead_to_pages_are_links_where_asked_for(wanted):
    html = """<link rel=next href=a><link rel='alternate' hreflang=de href=b><link rel=canonical href=c>
              <link rel=whatever href=d><link rel=stylesheet href=e><link rel='' href=f><link rel=pingback href=g>"""
    assert [href[-1] for href, kind in read(html, **wanted).items() if kind is LinkKind.NAVIGATION] == list("abcd")


def candidates(text):
    return [candidate.url for candidate in srcset_candidates(text) if candidate.is_valid]


@pytest.mark.parametrize(("text", "expected"), [
    ("", []), (" , ,", []), ("a", ["a"]), ("a,", ["a"]), ("a,b", ["a,b"]), ("a, b", ["a", "b"]), (",,a,,", ["a"]),
    ("a 1x,b 2x", ["a", "b"]), ("\f a \n 1x \r,\t b", ["a", "b"]), ("a 100w 50h", ["a"]), ("a 50h 100w", ["a"]),
    ("a 1.5e1x", ["a"]), ("a -0x", ["a"]), ("a .5x", ["a"]),
    ("a 1x 1x (, b 1x, ), c", ["c"]), ("a (, b", []), ("a 1x [, b, ]", ["b"]),
    ("data:,a ( , data:,b 1x, ), data:,c", ["data:,c"])])
def test_pictures_of_a_srcset(text, expected):
    assert [url for url in candidates(text) if url != "]"] == expected


@pytest.mark.parametrize("descriptors", [
    "x", "1", "1X", "+1x", "1.x", "-1x", "1e1w", "1.5w", "-1w", "0w", "00w", "1w 1w", "1x 1x", "1w 1x", "1h", "1h 1x",
    "1w 0h", "1w 1h 1h", "(", "1x()", "infx", "nanx", "\u0661x"])
def test_picture_with_descriptors_that_browsers_refuse_is_marked(descriptors):
    assert list(srcset_candidates(f"a {descriptors}, b")) in (
        [Candidate("a", False), Candidate("b", True)], [Candidate("a", False)])


@given(st.text("ab ,()1wx\n", max_size=60))
def test_every_srcset_is_read_to_its_end(text):
    for candidate in srcset_candidates(text):
        assert candidate.url in text
        assert not set(candidate.url) & set(" \n")
