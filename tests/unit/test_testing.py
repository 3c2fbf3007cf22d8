"""What ``spyder.testing`` offers to tests."""

import pytest

from spyder.errors import UrlError
from spyder.testing import ManualClock, make_page


def test_clock_stands_still_until_it_is_turned():
    clock = ManualClock(now=100.0)
    assert (clock.now(), clock.monotonic()) == (100.0, 0.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 2.5)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_page_is_read_as_a_worker_reads_it():
    page = make_page("http://Example.org/a/#x", '<base href="/b/"><title> A\n b</title><a href="c">é</a>', depth=2,
                     headers={"Link": "</d>; rel=next", "X-Y": "1"})
    assert (page.url, page.status, page.depth) == ("http://example.org/a/", 200, 2)
    assert (page.title, page.charset, page.content_type) == ("A b", "utf-8", "text/html")
    assert list(page.links) == ["http://example.org/b/c", "http://example.org/d"]
    assert page.headers["x-y"] == "1"
    assert page.tree.xpath("//a/text()") == ["é"]
    page.follow("e")
    page.data["n"] = 1
    assert page.links[-1] == "http://example.org/a/e"
    page.drop_links()
    assert not page.links


def test_page_in_another_encoding():
    page = make_page("http://h/", "<p>é".encode("latin-1"), content_type="text/html; charset=latin1")
    assert "é" in page.text


@pytest.mark.parametrize("head", ['<?xml version="1.0" encoding="UTF-8"?>', '<?xml version="1.0" encoding="latin1"?>',
                                  '<meta charset="latin1">'])
def test_tree_of_a_page_that_declares_an_encoding(head):
    assert make_page("http://h/", f"{head}<p>é</p>").tree.xpath("//p/text()") == ["é"]


@pytest.mark.parametrize("text", ["", " \n"])
def test_tree_of_an_empty_page(text):
    assert make_page("http://h/", text).tree.xpath("//p") == []


def test_page_that_is_no_html():
    page = make_page("http://h/x.json", "{}", content_type="application/json")
    assert (page.title, list(page.links), page.body) == ("", [], b"{}")


def test_url_that_is_none():
    with pytest.raises(UrlError):
        make_page("nothing", "")
