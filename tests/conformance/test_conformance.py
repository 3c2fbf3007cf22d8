"""Other projects' cases against Spyder; they lie beside the checkout and are skipped where they do not."""

from __future__ import annotations

from collections import defaultdict

import pytest

from conformance.explained import EXPLAINED
from conformance.replay import FILES
from conformance.report import PAGE, all_verdicts, page
from conformance.verdicts import CASES, JUDGES, rows, verdicts_of
from spyder.errors import UrlError
from spyder.model.url import parse
from spyder.scope.canonical import ARCHIVE, PLAIN, STANDARD, refined
from spyder.settings import FrontierSection

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no conformance cases beside the checkout")

#: Share of ``should`` rows that has to be right: of all, and of each file that has enough to speak of a share.
SHOULD = 0.9
ENOUGH = 10


@pytest.mark.parametrize("file", JUDGES)
def test_given_a_file_of_cases_when_judged_then_every_wrong_one_is_explained(file):
    wrong = [verdict for verdict in verdicts_of(file) if not verdict.is_right]
    assert [verdict for verdict in wrong
            if verdict.grade in {"must", "should", "policy"} and verdict.id not in EXPLAINED] == []


def test_given_all_cases_when_judged_then_what_most_others_do_is_done():
    by_file = defaultdict(list)
    for verdict in all_verdicts():
        if verdict.grade == "should":
            by_file[verdict.file].append(verdict.is_right)
    shares = {file: sum(rights) / len(rights) for file, rights in by_file.items() if len(rights) >= ENOUGH}
    shares["all"] = sum(map(sum, by_file.values())) / sum(map(len, by_file.values()))
    assert {file: share for file, share in shares.items() if share < SHOULD} == {}


def test_given_the_explained_cases_when_judged_then_each_is_still_answered_otherwise():
    right = {verdict.id for verdict in all_verdicts() if verdict.is_right}
    assert EXPLAINED.keys() & right == set()
    known = {row.get("id") for file in (*JUDGES, *FILES) for row in rows(file)}
    assert EXPLAINED.keys() - known == set()


@pytest.mark.parametrize("options", [
    {}, {"canonical": "plain"}, {"canonical": "archive"}, {"drop_session_ids": True, "drop_tracking": True},
    {"canonical": "archive", "default_documents": True, "sort_query": False, "drop_query_params": ("s*",)}])
def test_given_any_url_of_the_cases_when_made_canonical_twice_then_once_is_enough(options):
    section = FrontierSection(**options)
    policy = refined({"plain": PLAIN, "standard": STANDARD, "archive": ARCHIVE}[section.canonical], section)
    for row in rows("urls_canon.jsonl"):
        try:
            href = parse(row["input"]).href
        except UrlError:
            continue
        once = policy(href)
        assert policy(once) == once == parse(once).href, row


def test_given_the_page_when_compared_with_the_verdicts_then_it_is_true():
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python tests/conformance/report.py --write"
