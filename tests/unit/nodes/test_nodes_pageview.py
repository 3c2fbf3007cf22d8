"""What a processor sees of a page."""

from __future__ import annotations

import pytest

from spyder.contracts import Extraction
from spyder.model.records import CrawlUri, Page
from spyder.model.states import LinkKind
from spyder.nodes.board import STAGE_NAMES, Board, Cell
from spyder.nodes.pageview import FetchedPage


def view(body=b"", *, content_type="text/html", charset="", headers=(), links=()):
    page = Page(uri=CrawlUri(lease=1, key=b"k", url="http://a.example/dir/page", depth=3), status=200,
                headers=(("content-type", content_type), *headers))
    found = Extraction(links=dict.fromkeys(links, LinkKind.NAVIGATION), charset=charset, title="T")
    return FetchedPage(page, body, media_type=content_type.partition(";")[0], extraction=found)


def test_given_a_page_when_asked_then_it_tells_url_status_depth_and_joined_headers():
    page = view(headers=(("x-a", "1"), ("link", "<b>"), ("x-a", "2")))
    assert (page.url, page.status, page.depth) == ("http://a.example/dir/page", 200, 3)
    assert page.headers == {"content-type": "text/html", "x-a": "1, 2", "link": "<b>"}


@pytest.mark.parametrize(("body", "content_type", "text"), [
    ("grün".encode(), "text/plain; charset=utf-8", "grün"),
    ("grün".encode("latin-1"), "text/plain; charset=iso-8859-1", "grün"),
    ("\ufeffgrün".encode("utf-16-le"), "text/plain", "grün"),
    (b"", "application/octet-stream", ""),
])
def test_given_a_body_that_is_no_html_when_read_as_text_then_it_is_decoded_by_its_headers(body, content_type, text):
    assert view(body, content_type=content_type).text == text


@pytest.mark.parametrize("body", [b"\xff\xfe\xfd", b"\x80abc", bytes(range(256))])
def test_given_bytes_that_are_no_text_when_read_as_text_then_nothing_is_raised(body):
    text = view(body, content_type="application/pdf").text
    assert text.encode("utf-8")


def test_given_html_when_asked_for_its_tree_then_xpath_and_css_work():
    page = view(b"<p class=a>one</p><p>two</p>", charset="UTF-8")
    assert page.tree.xpath("string(//p[2])") == "two"
    assert [element.text for element in page.tree.cssselect("p.a")] == ["one"]
    assert page.tree is page.tree


@pytest.mark.parametrize("body", [b"", b"   ", b"<!-- only -->", b"\x00",
                                  b"<?xml version='1.0' encoding='utf-8'?><html><p>x"])
def test_given_a_body_without_elements_when_asked_for_its_tree_then_there_is_one(body):
    assert view(body, charset="UTF-8").tree is not None


def test_given_links_when_followed_then_they_are_resolved_once_and_keep_their_first_kind():
    page = view(links=["http://a.example/x"])
    page.follow("../x")
    page.follow("y?z#part")
    page.follow("//b.example/", kind=LinkKind.EMBED)
    assert page.links == ["http://a.example/x", "http://a.example/dir/y?z", "http://b.example/"]
    assert list(page.found.values()) == [LinkKind.NAVIGATION, LinkKind.MANUAL, LinkKind.EMBED]
    page.links.clear()
    assert len(page.links) == 3, "a copy"
    page.drop_links()
    assert page.links == []


# -- the board


def test_given_a_board_when_two_open_it_then_both_see_the_numbers(tmp_path):
    path = tmp_path / "board"
    mine, other = Board(path), Board(path)
    assert mine[Cell.PAGES] == 0
    mine[Cell.PAGES] = 7
    other[Cell.BYTES] = 1 << 60
    assert (other[Cell.PAGES], mine[Cell.BYTES]) == (7, 1 << 60)
    mine.close()
    other.close()
    again = Board(path)
    assert again[Cell.PAGES] == 7
    again.close()


def test_given_a_board_of_one_process_when_written_then_it_is_read_there():
    board = Board()
    board[Cell.OUTBOX] = 3
    assert board[Cell.OUTBOX] == 3
    board.close()


def test_given_times_by_stage_when_shown_then_they_are_read_as_seconds():
    board = Board()
    assert board.stages() == {}
    board.show_stages({"extract": 1.5, "unknown": 9.0})
    assert board.stages() == {**dict.fromkeys(STAGE_NAMES, 0.0), "extract": 1.5}
    board.close()


def test_given_the_cells_when_counted_then_every_one_has_its_own_place():
    places = [cell for cell in Cell if cell is not Cell.STAGES] + [Cell.STAGES + n for n in range(len(STAGE_NAMES))]
    assert len(set(places)) == len(places)
    board = Board()
    for place in places:
        board[place] = place + 1
    assert [board[place] for place in places] == [place + 1 for place in places]
    board.close()
