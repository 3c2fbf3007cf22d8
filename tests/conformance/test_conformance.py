"""Other projects' cases against Spyder; they lie beside the checkout and are skipped where they do not."""

from __future__ import annotations

import pytest

from conformance.explained import EXPLAINED
from conformance.verdicts import CASES, JUDGES, rows, verdicts_of
from spyder.errors import UrlError
from spyder.model.url import parse
from spyder.scope.canonical import STANDARD

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no conformance cases beside the checkout")

#: Share of a file's ``should`` rows that has to be right.
SHOULD = 0.9


@pytest.mark.parametrize("file", JUDGES)
def test_given_a_file_of_cases_when_judged_then_every_wrong_one_is_explained(file):
    wrong = [verdict for verdict in verdicts_of(file) if not verdict.is_right]
    assert [verdict for verdict in wrong
            if verdict.grade in {"must", "should", "policy"} and verdict.id not in EXPLAINED] == []


@pytest.mark.parametrize("file", JUDGES)
def test_given_a_file_of_cases_when_judged_then_what_most_others_do_is_done(file):
    verdicts = [verdict for verdict in verdicts_of(file) if verdict.grade == "should"]
    wrong = [verdict for verdict in verdicts if not verdict.is_right]
    assert len(wrong) <= (1 - SHOULD) * len(verdicts), wrong


def test_given_the_explained_cases_when_judged_then_each_is_still_answered_otherwise():
    wrong = {verdict.id for file in JUDGES for verdict in verdicts_of(file) if not verdict.is_right}
    assert {name for name in EXPLAINED if not name.startswith(("curl-", "http-"))} - wrong == set()


def test_given_any_url_of_the_cases_when_made_canonical_twice_then_once_is_enough():
    for row in rows("urls_canon.jsonl"):
        try:
            href = parse(row["input"]).href
        except UrlError:
            continue
        once = STANDARD(href)
        assert STANDARD(once) == once == parse(once).href, row
