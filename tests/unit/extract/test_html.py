import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.extract import html as html_module
from spyder.extract.html import TITLE_LENGTH, Wanted, meta_refresh, read_html, without_fragment
from spyder.model.states import LinkKind

URL = "http://site.example/dir/page?x"


def read(html, *, url=URL, content_type="text/html; charset=utf-8", limit=100, max_parse_size=1_000_000, **wanted):
    body = html if isinstance(html, bytes) else html.encode()
    return read_html(body, url=url, content_type=content_type, limit=limit, max_parse_size=max_parse_size,
                     wanted=Wanted(**wanted))


def links(html, **options):
    return list(read(html, **options).links)


def test_links_are_absolute_distinct_and_in_document_order():
    html = """<a href=b>1</a><iframe src=/frame></iframe><area href="HTTP://Other.example:80"><a href=" b#x ">2</a>
              <a href=../a>3</a>"""
    assert links(html) == ["http://site.example/dir/b", "http://site.example/frame", "http://other.example/",
                           "http://site.example/a"]


def test_frames_of_a_frameset_are_links():
    assert links("<frameset><frame src=one><frame src=two></frameset>") == [
        "http://site.example/dir/one", "http://site.example/dir/two"]


@pytest.mark.parametrize("html", [
    "<iframe src=''></iframe>", "<a>", "<a name=x>", "<a href='mailto:me@site.example'>",
    "<a href='javascript:void(0)'>", "<a href='http://[::1'>", "<a href='http://a b/'>", "<a href='data:text/html,x'>",
    "<!-- <a href=x> -->", "<script>'<a href=x>'</script>", "<link href=x rel=next>", "<img src=x>", "<form action=x>"])
def test_what_leads_to_no_page_is_no_link(html):
    assert links(html) == []


@pytest.mark.parametrize("html", ["<a href=''>", "<a href='#top'>", "<area href=' '>"])
def test_link_within_the_page_is_a_link_to_the_page(html):
    assert links(html) == [URL]


def test_base_element_moves_all_references_even_earlier_ones():
    html = "<a href=a>1</a><base target=x><base href='/other/'><base href='/ignored/'><a href='#top'>2</a>"
    assert links(html) == ["http://site.example/other/a", "http://site.example/other/"]


@pytest.mark.parametrize("base", ["javascript:1", "data:text/plain,x", "http://[", "mailto:x", ""])
def test_base_that_is_no_http_url_is_ignored(base):
    assert links(f"<base href='{base}'><a href=a>") == ["http://site.example/dir/a"]


def test_base_in_noscript_is_ignored_and_links_there_are_not():
    assert links("<noscript><base href='http://evil.example/'><a href=a></noscript>") == ["http://site.example/dir/a"]


def test_links_for_those_without_scripts_or_frames_count():
    html = "<noscript><meta http-equiv=refresh content='0;plain'></noscript><body><noscript><a href=a>1</a></noscript>"
    assert links(html) == ["http://site.example/dir/plain", "http://site.example/dir/a"]
    assert links("<frameset><frame src=f><noframes><a href=a>1</a></noframes></frameset>") == [
        "http://site.example/dir/f", "http://site.example/dir/a"]


def test_links_in_drawings_and_shadow_roots_count():
    html = "<svg><a xlink:href=a></a><a href=b></a></svg><div><template shadowrootmode=open><a href=c></template></div>"
    assert links(html) == [f"http://site.example/dir/{name}" for name in "abc"]


def test_frames_after_other_things_are_links_of_a_page_without_any():
    assert links("text<frameset><frame src=a><frame src=''></frameset>") == ["http://site.example/dir/a"]
    assert links("<a href=b>text</a><frameset><frame src=a></frameset>") == ["http://site.example/dir/b"]


@pytest.mark.parametrize(("html", "expected"), [
    ("<a href=a rel=nofollow><a href=b>", "b"), ("<a href=a rel='external UGC'><area href=b rel=Sponsored>", ""),
    ("<a href=a rel=nofollow><a href=a>", "a"), ("<a href=a rel=nofollow><a href='a#x'>", "a"),
    ("<a href=a rel=noopener>", "a"), ("<noscript><a href=a rel=nofollow><a href=b></noscript>", "b")])
def test_links_that_are_not_endorsed_are_left_out_where_that_is_asked_for(html, expected):
    assert links(html, endorsed=True) == [f"http://site.example/dir/{name}" for name in expected]
    assert len(links(html)) >= len(expected)


def test_wishes_to_robots_are_told_those_for_us_alone_with_our_name():
    html = """<meta name=Robots content="noindex, nofollow"><meta name=" mybot " content=noarchive>
              <meta name=otherbot content=none><meta name=robots><meta property=robots content=x>"""
    assert read(html, agent="mybot").robots == ("noindex, nofollow", "mybot: noarchive", "")
    assert read(html).robots == ("noindex, nofollow", "")


def test_wishes_to_robots_are_bounded():
    robots = read("<meta name=robots content='" + "x" * 5000 + "'>" * 1 + "<meta name=robots>" * 500).robots
    assert (len(robots), len(robots[0])) == (html_module.MAX_ROBOTS, html_module.ROBOTS_LENGTH)


def test_elements_beyond_the_limit_are_left_out_and_said_so(monkeypatch):
    monkeypatch.setattr(html_module, "MAX_ELEMENTS", 3)
    assert links("<a href=a>" * 3 + "<a href=b>") == ["http://site.example/dir/a"]
    assert read("<a href=a>" * 3).limits == ()
    assert read("<a href=a>" * 4).limits == ("scope.max_links",)


@pytest.mark.parametrize("tag", ["script src=x", "title", "iframe src=f", "style"])
def test_empty_elements_of_xhtml_end_at_once(tag):
    html = f"<html xmlns='http://www.w3.org/1999/xhtml'><head><{tag} /></head><body><a href='a'>x</a></body></html>"
    assert "http://site.example/dir/a" in links(html, content_type="application/xhtml+xml")
    assert "http://site.example/dir/a" not in links(html)


def test_base_url_is_told():
    assert read("<base href=/x/>").base == "http://site.example/x/"
    assert read("<p>").base == URL


def test_visible_text_has_no_scripts_and_styles():
    html = "<title>T</title><style>s</style><p>a<script>x</script><noscript>n</noscript><template>t</template>b"
    assert read(html).visible_text() == "Tab"


def test_refresh_is_a_link_of_its_own_kind():
    html = "<meta http-equiv=Refresh content='5; URL=next#x'><a href=a><meta http-equiv=refresh content='0;late'>"
    assert read(html).links == {
        "http://site.example/dir/next": LinkKind.REFRESH, "http://site.example/dir/a": LinkKind.NAVIGATION}


def test_refresh_of_the_page_itself_is_no_link():
    assert links("<meta http-equiv=refresh content=5><meta name=refresh content='1;x'>") == []


def test_links_beyond_the_limit_are_left_out_and_said_so():
    html = "".join(f"<a href={number}>" for number in range(5))
    assert (links(html, limit=3), read(html, limit=3).truncated) == (
        [f"http://site.example/dir/{number}" for number in range(3)], True)
    assert not read(html, limit=5).truncated


def test_only_the_beginning_of_a_long_page_is_read():
    found = read("<a href=a></a>" + "é" * 50 + "<a href=b></a>", max_parse_size=63, content_type="")
    assert (list(found.links), found.truncated, found.charset) == (["http://site.example/dir/a"], True, "utf-8")


@pytest.mark.parametrize(("html", "title"), [
    ("<title> A \n\t B&amp;C </title><title>second</title>", "A B&C"),
    ("<svg><title>drawing</title></svg><title>page</title>", "page"),
    ("<p>none", ""),
    (f"<title>{'x' * 600}</title>", "x" * TITLE_LENGTH)])
def test_title_is_the_first_one_folded(html, title):
    assert read(html).title == title


@pytest.mark.parametrize(("body", "content_type", "charset", "title"), [
    ("<title>é</title>".encode(), "text/html", "utf-8", "é"),
    (b"<title>\xe9</title>", "text/html", "windows-1252", "é"),
    (b"<meta charset=koi8-r><title>\xc1</title>", "text/html", "koi8-r", "а"),
    (b"<title>\xc1</title>" + b" " * 3000 + b"<meta charset=koi8-r>", "text/html", "koi8-r", "а"),
    ("<title>é</title>".encode("utf-16"), "text/html; charset=gbk", "utf-16le", "é")])
def test_page_is_decoded_as_browsers_do(body, content_type, charset, title):
    found = read(body, content_type=content_type)
    assert (found.charset, found.title) == (charset, title)


def test_query_of_a_link_is_in_the_encoding_of_its_page():
    assert links("<a href='/é?q=é'>".encode("latin-1"), content_type="text/html; charset=iso-8859-1") == [
        "http://site.example/%C3%A9?q=%E9"]


@given(st.one_of(st.binary(max_size=300), st.text("<>a/ href='=base#?:&;\u00e9\0", max_size=300).map(str.encode)))
def test_no_page_breaks_the_reader(body):
    found = read(body, content_type="")
    assert all(href.startswith(("http://", "https://")) and "#" not in href for href in found.links)


@pytest.mark.parametrize("html", [
    "<div>" * 200_000, "<a href=x>" * 20_000, "<b><p>" * 20_000, "<base " * 30_000, "<!--" * 100_000,
    "<meta http-equiv=refresh content='1" + " " * 100_000 + "x'>", "<table><a href=x>" * 20_000])
def test_hostile_nesting_and_repetition_are_read(html):
    assert len(links(html)) <= 1


@pytest.mark.parametrize(("content", "expected"), [
    ("0", (0, "")), (" 3 ", (3, "")), ("3;", (3, "")), ("1.9;url=x", (1, "x")), (".5 x", (0, "x")),
    ("2; URL = 'a b' c", (2, "a b")), ("2, \"x", (2, "x")), ("2;url", (2, "url")), ("2;x'y", (2, "x'y")),
    ("99999999999999999999;x", (999999999999999, "x")), ("2;url= a\n\tb ", (2, "ab")),
    ("", None), ("x", None), ("-1;url=x", None), ("1x", None), ("\u0665;url=x", None)])
def test_refresh_is_read_as_the_standard_says(content, expected):
    assert meta_refresh(content) == expected


@pytest.mark.parametrize(("reference", "expected"), [
    (" a#b ", "a"), ("#", ""), ("\n\t", ""), ("a #b", "a%20"), ("a", "a"), ("?a b  #", "?a b%20%20"), ("\0a\x1f", "a")])
def test_fragment_is_cut_as_the_url_parser_would(reference, expected):
    assert without_fragment(reference) == expected
