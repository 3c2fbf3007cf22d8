"""How much of one host, one path and one page is taken in."""

import logging

import pytest

from spyder.frontier import hostlimits
from spyder.frontier.hostlimits import HostLimits
from spyder.model.records import HostRow
from spyder.settings import TrapsSection


def row(**fields):
    return HostRow(key=b"k", name="h", **fields)


def test_host_with_as_many_uris_as_it_may_have_gets_no_more_and_the_log_says_so_once(caplog):
    limits = HostLimits(TrapsSection(host_uris=10))
    with caplog.at_level(logging.WARNING):
        assert limits.take_in(row(known=9), "http://h/a") == ""
        assert limits.take_in(None, "http://new/a") == ""
        assert [limits.take_in(row(known=10), f"http://h/{number}") for number in range(3)] == ["host-uris"] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "h has 10 URIs, as many as traps.host_uris allows: no more of it are taken in"]
    assert limits.words("host-uris", "http://h/a") == "its host h has as many URIs as traps.host_uris allows (10)"


def test_queries_of_many_parameters_count_by_path():
    limits = HostLimits(TrapsSection(path_queries=2))
    assert limits.take_in(None, "http://h/a?x=1&y=1&z=1") == ""
    assert limits.take_in(None, "http://h/a?x=2&y=1&z=1") == ""
    assert limits.take_in(None, "http://h/a?x=3&y=1&z=1") == "path-queries"
    assert limits.take_in(None, "http://h/b?x=3&y=1&z=1") == ""
    assert limits.take_in(None, "http://i/a?x=3&y=1&z=1") == ""
    assert [limits.take_in(None, f"http://h/a?x={number}&y=1") for number in range(9)] == [""] * 9
    assert limits.take_in(None, "http://h/a&b&c?x=1") == ""


def test_session_ids_count_by_what_is_left_without_them():
    limits = HostLimits(TrapsSection(session_variants=2))
    assert [limits.take_in(None, f"http://h/a;jsessionid={number:032X}") for number in range(3)] == [
        "", "", "session-variants"]
    assert limits.take_in(None, "http://h/b;jsessionid=77") == ""
    assert limits.take_in(None, "http://h/a") == ""
    assert "traps.session_variants" in limits.words("session-variants", "http://h/a")


@pytest.mark.parametrize("key", ["host_uris", "path_queries", "session_variants", "max_repeats"])
def test_each_limit_can_be_switched_off(key):
    limits = HostLimits(TrapsSection(**{"host_uris": 1, "path_queries": 1, "session_variants": 1, "max_repeats": 1,
                                        key: None}))
    refused = {limits.take_in(row(known=5), "http://h/") for _ in range(3)}
    refused |= {limits.take_in(None, f"http://h/?a={number}&b=1&c=1") for number in range(3)}
    refused |= {limits.take_in(None, f"http://h/?PHPSESSID={number}") for number in range(3)}
    host = row()
    if not all(limits.note_page(host, is_repeat=True) for _ in range(5)):
        refused.add("repeats")
    names = {"host_uris": "host-uris", "path_queries": "path-queries", "session_variants": "session-variants",
             "max_repeats": "repeats"}
    assert refused == {"", *names.values()} - {names[key]}


def test_near_duplicates_in_a_row_are_followed_no_longer_until_a_page_is_new():
    limits, host = HostLimits(TrapsSection(max_repeats=2)), row()
    assert [limits.note_page(host, is_repeat=repeat) for repeat in (True, True, True, True, False, True)] == [
        True, True, False, False, True, True]
    assert "traps.max_repeats (2)" in limits.words("repeats", "http://h/")


def test_what_is_counted_is_bounded_and_forgetting_makes_it_lenient(monkeypatch):
    monkeypatch.setattr(hostlimits, "_REMEMBERED", 100)
    limits = HostLimits(TrapsSection(session_variants=1))
    assert limits.take_in(None, "http://h/first?PHPSESSID=1") == ""
    assert limits.take_in(None, "http://h/first?PHPSESSID=2") == "session-variants"
    for number in range(1000):
        limits.take_in(None, f"http://h/{number}?PHPSESSID=1")
    assert len(limits._counts._young) + len(limits._counts._old) <= 100
    assert limits.take_in(None, "http://h/first?PHPSESSID=3") == ""
