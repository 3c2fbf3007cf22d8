"""What curl's and WPT's servers send, against the transport: no answer stops it, and most are judged as there."""

from __future__ import annotations

import pytest

from conformance.explained import EXPLAINED
from conformance.replay import FILES, http_verdicts, replay
from conformance.verdicts import CASES

#: Share of ``http_curl`` whose recorded verdict is ours.
AGREEMENT = 0.95

has_cases = pytest.mark.skipif(not CASES.is_dir(), reason="no conformance cases beside the checkout")


@has_cases
@pytest.mark.parametrize("file", FILES)
def test_given_recorded_answers_when_fetched_then_each_ends_and_every_other_verdict_is_explained(file):
    assert [verdict for verdict in http_verdicts(file) if not verdict.is_right and verdict.id not in EXPLAINED] == []


@has_cases
def test_given_curls_cases_when_fetched_then_the_verdict_is_curls():
    verdicts = http_verdicts("http_curl.jsonl")
    wrong = [verdict for verdict in verdicts if not verdict.is_right]
    assert len(wrong) <= (1 - AGREEMENT) * len(verdicts), wrong


def test_given_own_answers_when_fetched_then_complete_ones_are_told_from_others():
    answers = replay({
        "whole": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "missing": b"HTTP/1.1 404 No\r\n\r\n<p>no",
        "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "nothing": b"", "noise": b"\x00\xff\r\n\r\n",
        "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi"})
    kinds = {name: page.failure and str(page.failure.kind) for name, (page, _) in answers.items()}
    assert kinds == {"whole": None, "missing": "http-4xx", "cut": "truncated", "nothing": "reset", "noise": "protocol",
                     "chunk": "protocol"}
    assert answers["whole"][1] == b"hi"
