"""Other projects' cases of refreshes in pages; skipped where they are not there."""

import pytest

from conformance.verdicts import CASES, body_of, rows
from spyder.extract.html import read_html
from spyder.model.states import LinkKind
from spyder.model.url import parse

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no conformance cases beside the checkout")

#: Cases that Spyder answers otherwise on purpose; the reason beside each.
EXPLAINED = {"br-039": "what a page tells those without scripts counts as well"}


def test_refreshes_of_pages_are_those_of_the_cases():
    wrong = []
    for row in rows("links_base_refresh.jsonl"):
        if row["kind"] != "get_meta_refresh":
            continue
        found = read_html(body_of(row), url=parse(row["base_url"]).href, limit=100, max_parse_size=1 << 20,
                          content_type=f"text/html; charset={row['encoding']}").links
        urls = [href for href, kind in found.items() if kind is LinkKind.REFRESH]
        expected = [parse(row["expected"][1]).href] if row["expected"][1] else []
        if (urls == expected) is (row["id"] in EXPLAINED):
            wrong.append((row["id"], urls, expected))
    assert wrong == []
