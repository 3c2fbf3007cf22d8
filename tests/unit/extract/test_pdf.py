import io
import time

import pytest

from spyder.contracts import Response
from spyder.model.states import LinkKind
from spyder.settings import ExtractSection, ScopeSection, Settings

pypdf = pytest.importorskip("pypdf")
from spyder.extract.pdf import Pdf  # noqa: E402  after the library is known to be there


def document(*targets, title="A\n title"):
    writer = pypdf.PdfWriter()
    for target in targets:
        writer.add_blank_page(100, 100)
        writer.add_uri(len(writer.pages) - 1, target, pypdf.generic.RectangleObject((0, 0, 9, 9)))
    if not targets:
        writer.add_blank_page(100, 100)
    writer.add_metadata({"/Title": title})
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def read(body, *, links=100, **extract):
    settings = Settings(extract=ExtractSection(**extract), scope=ScopeSection(max_links=links))
    return Pdf(settings)(Response(url="http://a.example/dir/x.pdf", status=200, headers=(), content_type="",
                                  media_type="application/pdf", body=body))


def test_given_a_pdf_when_read_then_the_links_of_its_annotations_and_its_title_are_found():
    found = read(document("http://b.example/#x", "../c", "mailto:x", "http://b.example/"))
    assert found.links == {"http://b.example/": LinkKind.NAVIGATION, "http://a.example/c": LinkKind.NAVIGATION}
    assert (found.title, found.limits) == ("A title", ())


def test_given_caps_when_read_then_what_cuts_off_is_named():
    body = document(*(f"/{number}" for number in range(20)))
    assert read(body, max_parse_size=100).limits == ("extract.max_parse_size",)
    found = read(body, links=5)
    assert (len(found.links), found.limits) == (5, ("scope.max_links",))


@pytest.mark.parametrize("body", [b"", b"%PDF-1.7", b"%PDF-1.7\n" + b"\0" * 5000, b"%PDF-1.4\nstartxref\n-5\n%%EOF",
                                  b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 1 0 R/Kids[1 0 R 1 0 R]"
                                  b"/Count 99999999>>endobj\n"
                                  b"trailer<</Root 1 0 R>>\nstartxref\n9\n%%EOF"])
def test_given_what_is_no_good_pdf_when_read_then_nothing_is_raised_and_it_is_quick(body):
    started = time.process_time()
    assert read(body).links == {}
    assert time.process_time() - started < 10.0


def test_given_any_damage_when_read_then_nothing_is_raised():
    body = document("http://b.example/", "http://c.example/")
    for at in range(0, len(body), 7):
        read(body[:at] + b"\xff" + body[at + 1:])
        if at % 70 == 0:
            read(body[:at])
