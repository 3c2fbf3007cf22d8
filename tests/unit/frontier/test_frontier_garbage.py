"""Outcomes that are well-formed and make no sense: what can't be a link is left out, and the books go on."""

from __future__ import annotations

import pytest
from crawlkit import Crawl

from spyder.model.limits import MAX_URL
from spyder.model.records import Failure, FetchNotice, Link, Outcome
from spyder.model.states import ErrorKind, LinkKind
from spyder.settings import RetrySection

KEY = b"k" * 18


@pytest.mark.parametrize("mode", ["host", "domain", "any"])
@pytest.mark.parametrize("kind", [LinkKind.NAVIGATION, LinkKind.REDIRECT])
def test_given_links_that_are_none_when_settled_then_they_are_garbage_and_the_others_are_added(clock, mode, kind):
    crawl = Crawl(clock, mode=mode)
    crawl.seed("http://a.example/")
    [grant] = crawl.frontier.lease({"w": 1})
    bad = [Link(url=url, key=key, kind=kind) for url, key in (
        ("x", KEY), ("", KEY), ("http:/", KEY), ("ftp://a.example/", KEY), ("http://a.example/1", b""),
        ("http://a.example/2", KEY + b"k"), ("http://a.example/3", KEY[:10]),
        ("http://a.example/" + "x" * MAX_URL, KEY))]
    good = Link(url="http://a.example/4", key=crawl.identity.key(1, "http://a.example/4"), kind=kind)
    crawl.settle(Outcome(lease=grant.uri.lease, key=grant.uri.key, status=200, links=(*bad, good, *bad)))
    crawl.commit()
    assert crawl.frontier.counts["garbage"] == 2 * len(bad)
    assert (crawl.frontier.books.discovered, crawl.frontier.books.done) == (2, 1)


@pytest.mark.parametrize("kind", ErrorKind)
def test_given_an_outcome_with_the_largest_numbers_when_settled_then_it_is_settled_or_scheduled(clock, kind):
    crawl = Crawl(clock, retry={"attempts": dict.fromkeys(ErrorKind, 3)})
    assert RetrySection().max_delay < 1e12
    crawl.seed("http://a.example/")
    [grant] = crawl.frontier.lease({"w": 1})
    crawl.frontier.fetched([FetchNotice(lease=grant.uri.lease, elapsed=1e12, trouble=kind, retry_after=1e12),
                            FetchNotice(lease=1 << 62, elapsed=1e12)])
    crawl.settle(Outcome(lease=grant.uri.lease, key=grant.uri.key, status=1 << 48, size=1 << 48, elapsed=1e12,
                         retry_after=1e12, failure=Failure(kind=kind, detail="x" * 10_000), attempt=0))
    crawl.settle(Outcome(lease=1 << 62, key=KEY))
    crawl.commit()
    assert crawl.frontier.books.settled + crawl.frontier.books.scheduled == 1
