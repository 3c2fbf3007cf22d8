"""Reading of robots.txt files."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.extract.robotstxt import parse_robots
from spyder.model.limits import MAX_RULES, MAX_SITEMAPS, MAX_URL
from spyder.model.records import RobotsRules
from spyder.model.robots import RobotsMatcher

KIB = 1024
URL = "https://example.org/robots.txt"


def read(text, agent="spyder", *, max_size=500 * KIB, max_crawl_delay=300.0):
    body = text if isinstance(text, bytes) else text.encode()
    return parse_robots(body, agent, max_size=max_size, max_crawl_delay=max_crawl_delay, url=URL)


# -- groups


def test_given_a_group_of_ours_when_read_then_the_group_for_all_says_nothing():
    rules = read("User-agent: *\nDisallow: /\n\nUser-agent: SPYDER\nAllow: /a\nDisallow: /b")
    assert (rules.allow, rules.disallow) == (("/a",), ("/b",))


def test_given_an_empty_group_of_ours_when_read_then_all_is_allowed():
    assert read("User-agent: spyder\n\nUser-agent: *\nDisallow: /").disallow == ("/",)  # one group: RFC 9309, 2.2.1
    assert read("User-agent: spyder\nDisallow:\n\nUser-agent: *\nDisallow: /") == RobotsRules()


def test_given_several_groups_of_one_agent_when_read_then_they_are_one():
    rules = read("user-agent: spyder\ndisallow: /1\nuser-agent: b\ndisallow: /2\nuser-agent: Spyder/2.0\ndisallow: /3")
    assert rules.disallow == ("/1", "/3")


@pytest.mark.parametrize("name", ["spyderbot", "spy", "my-spyder", "spyder-news", "spyder_x"])
def test_given_names_that_only_contain_ours_when_read_then_they_are_others(name):
    assert read(f"User-agent: {name}\nDisallow: /") == RobotsRules()


@pytest.mark.parametrize("name", ["Spyder", "spyder/1.0", "spyder (anything)", "SPYDER *", "spyder<BR>"])
def test_given_our_name_with_something_behind_when_read_then_it_is_ours(name):
    assert read(f"User-agent: {name}\nDisallow: /").disallow == ("/",)


@pytest.mark.parametrize("between", ["Sitemap: https://example.org/s", "Crawl-delay: 3", "Noindex: /x", "<br>", ""])
def test_given_other_lines_between_names_when_read_then_they_do_not_end_the_group(between):
    assert read(f"User-agent: spyder\n{between}\nUser-agent: other\nDisallow: /").disallow == ("/",)


def test_given_rules_before_any_name_when_read_then_they_are_for_nobody():
    assert read("Disallow: /\nUser-agent: other\nDisallow: /x") == RobotsRules()


# -- lines


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_given_any_line_end_and_a_byte_order_mark_when_read_then_the_lines_are_the_same(end, mark):
    text = end.join(["User-agent: spyder", "Disallow: /a # why", "# Allow: /a", "", "\tDISALLOW :\t/b \t"])
    assert read(mark + text.encode()).disallow == ("/a", "/b")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_given_two_bytes_a_character_with_their_mark_when_read_then_they_are_understood(encoding):
    text = "User-agent: *\nDisallow: /ü" if encoding == "utf-16" else "\ufeffUser-agent: *\nDisallow: /ü"
    assert read(text.encode(encoding)).disallow == ("/%C3%BC",)


@pytest.mark.parametrize("line", [
    "Dissallow: /x", "dissalow: /x", "Disalow: /x", "Diasllow: /x", "Disallaw: /x", "Disallow /x", "disallow:/x"])
def test_given_common_mistakes_when_read_then_they_are_understood(line):
    for agent in ("User-agent: *", "useragent: *", "User agent: *", "user-agent *", "USER_AGENT: *"):
        assert read(f"{agent}\n{line}").disallow == ("/x",)


def test_given_bytes_that_are_no_utf_8_when_read_then_they_are_octets_of_the_path():
    assert read(b"User-agent: *\nDisallow: /\xe4\nAllow: /\xc3\xa4").disallow == ("/%E4",)


def test_given_an_allowed_index_page_when_read_then_its_folder_is_allowed_and_no_more():
    matcher = RobotsMatcher(read("User-agent: *\nAllow: /a/index.html\nDisallow: /"))
    assert [matcher.allows(target) for target in ("/a/", "/a/index.html", "/a/b", "/a")] == [True, True, False, False]


# -- bounds


def test_given_a_file_of_500_kib_when_read_then_its_last_line_counts():
    line = "Disallow: /last\n"
    head = "User-agent: *\nAllow: /first\n"
    text = head + "#" * (500 * KIB - len(head) - len(line) - 1) + "\n" + line
    assert len(text) == 500 * KIB
    rules = read(text)
    assert (rules.allow, rules.disallow) == (("/first",), ("/last",))
    assert read(text + "Disallow: /too-far").disallow == ("/last",)


@pytest.mark.parametrize(("size", "disallow"), [(31, ("/a",)), (32, ("/a",)), (40, ("/a",)), (43, ("/a", "/b/c/d"))])
def test_given_a_file_that_is_too_long_when_read_then_the_line_that_is_cut_is_left_out(size, disallow):
    text = "User-agent: *\nDisallow: /a\nDisallow: /b/c/d\nAllow: /"
    assert read(text, max_size=size).disallow == disallow
    assert read(text[:size] if size < 43 else text, max_size=size).disallow == disallow


def test_given_more_than_is_kept_when_read_then_the_record_is_one_that_may_travel():
    text = "User-agent: *\n" + "".join(f"Disallow: /{n}\nAllow: /a{n}\n" for n in range(MAX_RULES + 9)) + "".join(
        f"Sitemap: /{n}\n" for n in range(MAX_SITEMAPS + 9)) + "Disallow: /" + "ä" * MAX_URL
    rules = read(text, max_size=1 << 23)
    assert (len(rules.disallow), len(rules.allow), len(rules.sitemaps)) == (MAX_RULES, MAX_RULES, MAX_SITEMAPS)
    assert len(read("User-agent: *\nDisallow: /" + "ä" * MAX_URL).disallow[0]) == MAX_URL
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(rules), type=RobotsRules) == rules


_WORDS = st.sampled_from([b"user-agent", b"disallow", b"allow", b"crawl-delay", b"request-rate", b"sitemap", b":",
                          b" ", b"*", b"/", b"$", b"%", b"\n", b"\r", b"#", b"spyder", b"\xff", b"\0", b"1", b"1/0",
                          b"9" * 400])


@given(st.lists(st.one_of(_WORDS, st.binary(max_size=5))).map(b"".join))
def test_given_any_bytes_when_read_then_they_give_rules_that_may_travel(body):
    rules = read(body)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(rules), type=RobotsRules) == rules
    assert RobotsMatcher(rules).allows("/robots.txt")


# -- what else it says


@pytest.mark.parametrize(("lines", "seconds"), [
    ("Crawl-delay: 10", 10), ("crawl-delay: .5", 0.5), ("Crawl-delay: 2.5s", 2.5), ("Crawl-delay: x", 0),
    ("Crawl-delay: -1", 0), ("Crawl-delay: 3600", 300), ("Crawl-delay: " + "9" * 400, 300), ("Crawl-delay:", 0),
    ("Request-rate: 1/10", 10), ("Request-rate: 30/5m", 10), ("Request-rate: 2 / 1h", 300), ("Request-rate: 1/x", 0),
    ("Request-rate: 0/10", 0), ("Request-rate: 1/5s 0600-0845", 5), ("Crawl-delay: 2\nRequest-rate: 1/7", 7),
    ("Crawl-delay: 8\nRequest-rate: 1/7", 8)])
def test_given_a_delay_when_read_then_it_is_in_seconds_and_of_two_the_longer(lines, seconds):
    assert read(f"User-agent: *\n{lines}").crawl_delay == seconds
    assert read(f"User-agent: *\nDisallow: /\n{lines}\nAllow: /x").crawl_delay == seconds
    assert read(f"User-agent: *\n{lines}", max_crawl_delay=0.0).crawl_delay == 0


def test_given_delays_between_names_when_read_then_each_is_for_the_names_before_it():
    text = "User-agent: a\nCrawl-delay: 1\nUser-agent: b\nUser-agent: c\nCrawl-delay: 2\nUser-agent: d\nDisallow: /"
    assert [read(text, agent).crawl_delay for agent in "abcd"] == [1, 2, 2, 0]
    assert {read(text, agent).disallow for agent in "abcd"} == {("/",)}


def test_given_sitemaps_anywhere_when_read_then_they_are_absolute_and_distinct_whoever_is_addressed():
    rules = read("Sitemap: https://cdn.example/s.xml\nUser-agent: other\nDisallow: /\nsite-map: /a b.xml\n"
                 "Sitemap: ftp://example.org/x\nSitemap: http://[\nSitemap: https://cdn.example/s.xml\nSitemap: ä.gz")
    assert rules.sitemaps == ("https://cdn.example/s.xml", "https://example.org/a%20b.xml",
                              "https://example.org/%C3%A4.gz")
    assert parse_robots(b"Sitemap: /s\nSitemap: http://a.example/", "x", max_size=99, max_crawl_delay=0).sitemaps == (
        "http://a.example/",)
