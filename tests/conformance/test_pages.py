"""Other projects' cases of base URLs, refreshes, pictures and embeds in pages; skipped where they are not there."""

import base64
import json
from pathlib import Path

import pytest

from spyder.extract.embeds import srcset_candidates
from spyder.extract.html import Wanted, read_html
from spyder.model.states import LinkKind
from spyder.model.url import parse

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no conformance cases beside the checkout")

#: Cases that Spyder answers otherwise on purpose, by kind and id; the reason beside each.
EXPLAINED = {
    ("get_meta_refresh", "br-039"): "what a page tells those without scripts counts as well",
    ("srcset", "br-149"): "a descriptor that is none makes browsers leave the picture out, as WPT has it",
}
#: Stands for the URL of a page that has none.
NOWHERE = "http://nowhere.example/"


def rows(name, *kinds):
    with (CASES / name).open(encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if row["kind"] in kinds]


def read(row, **wanted):
    body = base64.b64decode(row["html_b64"]) if row.get("html_b64") is not None else row["html"].encode(
        "utf-8", "surrogatepass")
    return read_html(body, url=parse(row["base_url"] or NOWHERE).href,
                     content_type=row.get("content_type") or f"text/html; charset={row['encoding']}",
                     limit=10_000, max_parse_size=1 << 24, wanted=Wanted(**wanted))


def without_fragments(urls):
    return {parse(url).href for url in urls}


def explained(row, is_right):
    """True when the answer is right, or wrong on purpose; what is right must not be explained."""
    return is_right is not ((row["kind"], row["id"]) in EXPLAINED)


def test_base_urls_are_those_of_the_cases():
    wrong = [row for row in rows("links_base_refresh.jsonl", "get_base_url")
             if not explained(row, read(row).base == parse(row["expected"] or NOWHERE).href)]
    assert wrong == []


def test_refreshes_of_pages_are_those_of_the_cases():
    wrong = []
    for row in rows("links_base_refresh.jsonl", "get_meta_refresh"):
        found = [href for href, kind in read(row).links.items() if kind is LinkKind.REFRESH]
        expected = [parse(row["expected"][1]).href] if row["expected"][1] else []
        if not explained(row, found == expected):
            wrong.append((row["id"], found, expected))
    assert wrong == []


def test_pictures_of_srcsets_are_those_that_browsers_know():
    wrong = []
    for row in rows("links_base_refresh.jsonl", "srcset"):
        found = [candidate.url for candidate in srcset_candidates(row["srcset"]) if candidate.is_valid]
        is_right = set(row["must_contain"]) <= set(found) and not (row["no_valid_candidate"] and found)
        if not explained(row, is_right):
            wrong.append((row["id"], row["srcset"], row["must_contain"], found))
    assert wrong == []


def test_pages_give_all_that_they_lead_to_and_embed():
    wrong = []
    for row in rows("links.jsonl", "all"):
        found, expected = set(read(row, embeds=True).links), without_fragments(row["expected_links"])
        if not expected <= found or without_fragments(row.get("forbidden_links", [])) & found:
            wrong.append((row["id"], row["test"], expected - found))
    assert wrong == []
