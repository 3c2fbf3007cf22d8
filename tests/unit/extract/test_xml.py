import gzip
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.extract import xml
from spyder.extract.xml import Kind


def read(text, *, size=7):
    """Starts as ``<name``, ends as ``</name``, texts joined; the document comes in small pieces."""
    found = []
    for token in xml.tokens(text[at:at + size] for at in range(0, len(text), size)):
        kind, name, content = token
        if kind is not Kind.TEXT:
            found.append((kind, name))
        elif found and found[-1][0] is Kind.TEXT:
            found[-1] = (Kind.TEXT, found[-1][1] + content)
        else:
            found.append((Kind.TEXT, content))
    return [{Kind.START: "<", Kind.END: "</", Kind.TEXT: ""}[kind] + text for kind, text in found]


def decoded(body, content_type="", *, max_size=1 << 20):
    source = xml.Source(body, content_type, max_size=max_size)
    return "".join(source.chunks()), source


@pytest.mark.parametrize(("text", "expected"), [
    ("<a><b x='1'>t</b></a>", ["<a", "<b", "t", "</b", "</a"]),
    ("<a/><b />", ["<a", "</a", "<b", "</b"]),
    ("<a><!-- <b> --><?p <c> ?>t</a>", ["<a", "t", "</a"]),
    ("<a><![CDATA[<b>&amp;]]>]]</a>", ["<a", "<b>&amp;]]", "</a"]),
    ("<!DOCTYPE a><a>", ["<a"]),
    ("<!DOCTYPE a [ <!ENTITY b 'c>d'> <!ELEMENT e ANY> ]><a>&b;t</a>", ["<a", "t", "</a"]),
    ("<a>1 &lt; 2 &amp; &#51; &#x34; &eacute;</a>", ["<a", "1 < 2 & 3 4 é", "</a"]),
    ("<a>x?b=1&c=2&copy=3&;</a>", ["<a", "x?b=1&c=2&copy=3&;", "</a"]),
    ("<a>&#0;&#xD800;&#99999999;</a>", ["<a", "\ufffd\ufffd\ufffd", "</a"]),
    ("<a b='>'>t</a>", ["<a", "t", "</a"]), ('<a b="x>t</a><c/>', ["<a", "t", "</a", "<c", "</c"]),
    ("<a>1 < 2</a>", ["<a", "1 < 2", "</a"]), ("<a>t</a", ["<a", "t"]), ("<a>cut off", ["<a"]),
    ("<a><![CDATA[open", ["<a"]), ("<a><!-- open </a>", ["<a"]), ("", []), ("no tags", [])])
def test_given_a_document_in_pieces_when_read_then_tags_and_texts_come_in_order(text, expected):
    for size in (1, 2, 5, 1000):
        found = read(text, size=size)
        assert found == expected, size


@given(st.text(alphabet="<>/!-[]CDATA?&;#x'\"= ab\n", max_size=60))
def test_given_any_text_when_read_in_pieces_then_it_ends_and_pieces_make_no_tags(text):
    assert read(text, size=1) == read(text, size=3) == read(text, size=1000)


@pytest.mark.parametrize("unit", ["<", "<a", "<a ", "<a b='", "<!--", "<![CDATA[", "<?", "<!", "<!x[", "]]>", "&",
                                  "&#", "&x;",
                                  "<a>", "</a>", "<a><b></a>", "<a b=\"", "<!DOCTYPE [", "] ", "<a \"'", "x"])
def test_given_a_hostile_document_when_read_then_time_is_linear(unit):
    text = "<r>" + unit * (200_000 // len(unit))
    started = time.process_time()
    for _ in xml.events(text[at:at + xml.CHUNK] for at in range(0, len(text), xml.CHUNK)):
        pass
    assert time.process_time() - started < 8.0


def test_given_namespaces_when_read_then_elements_are_told_apart_by_them():
    text = "<s:r xmlns:s='S' xmlns='D'><Loc/><s:loc/><x:loc/><i xmlns='E'><loc/></i><loc/></s:r>"
    assert [(space, name, depth) for kind, depth, space, name, _ in xml.events([text]) if kind is Kind.START] == [
        ("S", "r", 1), ("D", "loc", 2), ("S", "loc", 2), ("x", "loc", 2), ("E", "i", 2), ("E", "loc", 3),
        ("D", "loc", 2)]


def test_given_elements_within_each_other_that_declare_many_prefixes_when_read_then_few_are_kept_at_a_time():
    tags = ["<a " + " ".join(f"xmlns:p{level}x{one}='{one}'" for one in range(2000)) + ">" for level in range(100)]
    text = "<r xmlns:s='S'>" + "".join(tags) + "<s:b/><p0x9:b/><p99x1999:b xmlns:s='T'><s:c/></p99x1999:b>"
    tracemalloc.start()
    try:
        spaces = [space for kind, _, space, name, _ in xml.events(
            text[at:at + xml.CHUNK] for at in range(0, len(text), xml.CHUNK)) if kind is Kind.START and name in "bc"]
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
    assert spaces == ["S", "9", "p99x1999", "T"]


def test_given_elements_that_nobody_closes_when_read_then_each_is_closed_once_with_the_one_around_it():
    events = [(kind.name, name, depth) for kind, depth, _, name, _ in xml.events(["<a><b><c></a></b><d>"])]
    assert events == [("START", "a", 1), ("START", "b", 2), ("START", "c", 3), ("END", "c", 3), ("END", "b", 2),
                      ("END", "a", 1), ("START", "d", 1), ("END", "d", 1)]


def test_given_elements_without_end_within_each_other_when_read_then_depth_is_bounded():
    assert max(event[1] for event in xml.events(["<a>" * 100_000])) == xml.MAX_DEPTH


def test_given_attributes_when_read_then_the_first_of_equal_ones_counts_and_references_are_resolved():
    assert xml.attributes(" a='1&amp;2' b = \"x\" a='3' c=d e") == {"a": "1&2", "b": "x", "c": "d"}


@pytest.mark.parametrize(("body", "content_type", "charset"), [
    ("é".encode(), "", "utf-8"), ("\ufeffé".encode(), "", "utf-8"), ("é".encode("latin-1"), "text/xml; charset=latin1",
                                                                      "windows-1252"),
    ("é".encode("utf-16"), "", "utf-16le"), ("\ufeffé".encode("utf-16-be"), "", "utf-16be"),
    ("<?xml version='1.0' encoding='iso-8859-15'?>é".encode("iso-8859-15"), "", "iso-8859-15"),
    ("<?xml version='1.0' encoding='Shift_JIS'?>日本".encode("shift_jis"), "text/xml", "shift_jis"),
    ("<?xml version='1.0' encoding='no-such'?>é".encode(), "", "utf-8")])
def test_given_xml_in_an_encoding_when_decoded_then_mark_header_and_declaration_say_which(body, content_type, charset):
    text, source = decoded(body, content_type)
    assert text[-1] in "é本"
    assert source.charset == charset


@pytest.mark.parametrize("encoding", ["utf-8", "shift_jis", "gb18030", "utf-16"])
def test_given_characters_at_the_border_of_chunks_when_decoded_then_none_is_torn(encoding):
    text = f"<?xml version='1.0' encoding='{encoding}'?>" + "<a>日本語</a>" * 20_000
    assert decoded(text.encode(encoding))[0] == text


def test_given_gzip_when_decoded_then_members_follow_each_other_and_what_is_broken_ends_it():
    one, two = gzip.compress(b"<a>" + b"x" * 100_000), gzip.compress(b"</a>")
    assert decoded(one + two)[0] == "<a>" + "x" * 100_000 + "</a>"
    assert decoded(one[:-20])[0].startswith("<a>xxx")
    assert decoded(one + b"junk")[0] == "<a>" + "x" * 100_000
    assert decoded(b"\x1f\x8bjunk")[0] == ""
    assert decoded(gzip.compress(b"") * 100_000)[1].is_cut


def test_given_a_bomb_when_decoded_then_no_more_is_inflated_than_allowed():
    text, source = decoded(gzip.compress(bytes(50_000_000)), max_size=100_000)
    assert (len(text), source.is_cut) == (100_000, True)
    assert not decoded(b"x" * 100_000, max_size=100_000)[1].is_cut
