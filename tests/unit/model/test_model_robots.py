"""Matching of robots.txt rules, product tokens and statuses."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.model.records import RobotsRules
from spyder.model.robots import (
    MAX_WILD,
    RobotsMatcher,
    RobotsVerdict,
    normal_pattern,
    normal_target,
    product_token,
    robots_verdict,
)


def matcher(*, allow=(), disallow=()):
    return RobotsMatcher(RobotsRules(allow=tuple(map(normal_pattern, allow)),
                                     disallow=tuple(map(normal_pattern, disallow))))


@pytest.mark.parametrize(("pattern", "target", "matches"), [
    ("/fish", "/fish", True), ("/fish", "/fish.html", True), ("/fish", "/Fish", False), ("/fish", "/catfish", False),
    ("/fish/", "/fish", False), ("/fish*", "/fishheads", True), ("/*.php", "/a/b.php?x=1", True),
    ("/*.php$", "/b.php", True), ("/*.php$", "/b.php?x", False), ("/fish*.php", "/fishheads/cat.php", True),
    ("*", "/", True), ("*cat", "/a/cat", True), ("/$", "/", True), ("/$", "/x", False), ("/a$b", "/a$b", True),
    ("/a$b", "/a", False), ("/**/x", "/a/x", True), ("/*a*a$", "/a", False), ("/*a*a$", "/aa", True),
    ("/*ab$", "/abab", True), ("/x*$", "/xyz", True), ("/*x*$", "/ayz", False), ("/", "/?q", True),
    ("/*?q=", "/p?q=1", True), ("/*ab*ba$", "/aba", False)])
def test_given_a_pattern_when_a_target_is_checked_then_wildcards_and_the_end_mark_mean_what_they_should(
        pattern, target, matches):
    assert matcher(disallow=[pattern]).allows(target) is not matches


@pytest.mark.parametrize(("pattern", "target"), [
    ("/a%7eb", "/a~b"), ("/a~b", "/a%7Eb"), ("/%62ar", "/bar"), ("/a%2fb", "/a%2Fb"), ("/a b", "/a%20b"),
    ("/ツ".encode().decode("latin-1"), "/%E3%83%84"), ("/%e3%83%84", "/%E3%83%84"), ("/a|b", "/a%7Cb"),
    ("/%2A$", "/*"), ("/%24", "/$"), ("/100%", "/100%"), ("/x[1]", "/x[1]")])
def test_given_two_spellings_of_the_same_path_when_compared_then_they_match(pattern, target):
    assert not matcher(disallow=[pattern]).allows(target)


def test_given_an_encoded_slash_when_compared_with_a_slash_then_they_differ():
    assert matcher(disallow=["/a%2Fb"]).allows("/a/b")
    assert matcher(disallow=["/a/b"]).allows("/a%2Fb")


@pytest.mark.parametrize(("allow", "disallow", "target", "rule"), [
    ("/p", "/", "/page", (True, "/p")), ("/folder", "/folder", "/folder/page", (True, "/folder")),
    ("/page", "/*.htm", "/page.htm", (False, "/*.htm")), ("/page", "/*.ph", "/page.php5", (True, "/page")),
    ("/$", "/", "/", (True, "/$")), ("/$", "/", "/page.htm", (False, "/")), ("/a*", "/ab", "/ab", (True, "/a*")),
    ("/a***", "/ab", "/ab", (True, "/a***")), ("/x", "/y", "/z", None)])
def test_given_rules_that_contradict_each_other_when_checked_then_the_longest_decides_and_a_tie_allows(
        allow, disallow, target, rule):
    rules = matcher(allow=[allow], disallow=[disallow])
    assert rules.rule_for(target) == rule
    assert rules.allows(target) is (rule is None or rule[0])


def test_given_a_rule_against_everything_when_robots_txt_itself_is_checked_then_it_is_allowed():
    rules = matcher(disallow=["/"])
    assert rules.allows("/robots.txt")
    assert not rules.allows("/robots.txt.bak")


_PATTERNS = st.lists(st.text("ab/*$", max_size=6).map("/".__add__), max_size=60, unique=True)


def _reference(pattern, target):
    core, anchored = (pattern[:-1], True) if pattern.endswith("$") else (pattern, False)
    expression = ".*".join(map(re.escape, core.split("*"))) + (r"\Z" if anchored else "")
    return re.match(expression, target, re.DOTALL) is not None


@given(_PATTERNS, _PATTERNS, st.text("ab/$", max_size=12).map("/".__add__))
def test_given_any_rules_when_checked_then_the_verdict_is_that_of_regular_expressions(allow, disallow, target):
    rules = matcher(allow=allow, disallow=disallow)
    matching = [(len(normal_pattern(pattern)), is_allowed)
                for patterns, is_allowed in ((allow, True), (disallow, False)) for pattern in patterns
                if _reference(normal_pattern(pattern), normal_target(target))]
    assert rules.allows(target) is (not matching or max(matching)[1])


def test_given_a_pattern_that_makes_regular_expressions_stall_when_checked_then_the_time_is_linear():
    rules = matcher(disallow=["/" + "*a" * 40 + "*b$"])
    began = time.perf_counter()
    for _ in range(100):
        assert rules.allows("/" + "a" * 2000)
    assert time.perf_counter() - began < 2


def test_given_fifty_thousand_rules_when_checked_then_it_does_not_take_a_scan_of_all():
    many = matcher(disallow=[f"/shop/{number}/item" for number in range(49_000)] + [
        f"/*?page{number}=" for number in range(MAX_WILD)])
    began = time.perf_counter()
    for _ in range(1000):
        assert many.allows("/shop/77/other?page=1")
    assert time.perf_counter() - began < 1
    assert not many.allows("/shop/777/item")
    assert not many.allows("/x?page77=")


def test_given_more_wildcards_than_are_kept_when_checked_then_the_rest_forbids_more_and_never_less():
    rules = matcher(disallow=["/short/*x"] + [f"/long/a*{number:09}" for number in range(MAX_WILD)], allow=["/*y"])
    assert not rules.allows("/short/y")
    assert not rules.allows("/long/a-000000007")
    assert rules.allows("/long/a-x")


@pytest.mark.parametrize(("user_agent", "token"), [
    ("Spyder/0.1 (+https://example.org/)", "Spyder"), ("Spyder", "Spyder"), ("my-crawler_x/2", "my-crawler_x"),
    ("MJ12bot/v1", "MJ12bot"), ("Mozilla/5.0 (compatible; Spyder/1.0; +http://x.example/)", "Spyder"),
    ("Mozilla/5.0 (X11; Linux) Gecko (KHTML) (compatible; Foo-bot)", "Foo-bot"), ("Mozilla/5.0 (X11)", "Mozilla"),
    ("", ""), ("(+https://example.org/)", ""), ("/1.0", "")])
def test_given_a_user_agent_when_read_then_its_product_token_is_the_crawlers_name(user_agent, token):
    assert product_token(user_agent) == token


@pytest.mark.parametrize(("verdict", "statuses"), [
    (RobotsVerdict.PARSE, [200, 204, 299]), (RobotsVerdict.REDIRECT, [301, 302, 303, 307, 308]),
    (RobotsVerdict.ALLOW, [400, 401, 403, 404, 410, 451, 499]), (RobotsVerdict.HOLD, [0, 100, 429, 500, 503, 999])])
def test_given_a_status_when_judged_then_the_table_of_the_standard_holds(verdict, statuses):
    assert {robots_verdict(status) for status in statuses} == {verdict}
