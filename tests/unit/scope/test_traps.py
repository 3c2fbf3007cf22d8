"""Traps end, and what looks a little like one does not: false positives are worse than leaks."""

import itertools
import os
from collections import deque
from pathlib import Path

import pytest

from spyder.frontier.hostlimits import HostLimits
from spyder.model.records import HostRow
from spyder.model.url import parse
from spyder.scope.rules import LinkScope
from spyder.scope.traps import Traps
from spyder.settings import ScopeSection, TrapsSection

NOW = 1_790_000_000.0  #: in 2026
MANUAL = Path("/usr/share/doc/postgresql-doc-15/html")
HEX = "0123456789abcdef" * 2
UUID = "123e4567-e89b-12d3-a456-426614174000"


def find(href, **section):
    return Traps(TrapsSection(**section), now=NOW).find(href)


@pytest.mark.parametrize(("href", "rule"), [
    ("http://h/" + "/".join(map(str, range(21))), "path-depth"),
    ("http://h/a/a/a/a", "repeating-segments"),
    ("http://h/a/x/a/y/a/z/a/", "repeating-segments"),
    ("http://h/a/b/a/b/a/b", "repeating-segments"),
    ("http://h/x/a/b/c/a/b/c/a/b/c/y", "repeating-segments"),
    ("http://h/2024/05/2024/05/2024/05/", "repeating-segments"),
    ("http://h//////x", "repeating-segments"),
    ("http://h/calendar/2099/05", "calendar"),
    ("http://h/calendar/1850/05/", "calendar"),
    ("http://h/calendar/209905", "calendar"),
    ("http://h/2099/05/06/", "calendar"),
    ("http://h/x-2099-05", "calendar"),
    ("http://h/?date=2099-05-06", "calendar"),
    ("http://h/?month=5&year=2099", "calendar"),
    ("http://h/?day=4102444800", "calendar"),
    ("http://h/a;jsessionid=A1/b;jsessionid=B2", "session-id"),
    ("http://h/(S(abc))/(S(def))/x", "session-id"),
    ("http://h/?sid=0123456789abcdef&PHPSESSID=77", "session-id"),
    (f"http://h/s/{HEX}/s/{HEX[::-1]}/s/{HEX[1:]}/p", "session-id"),
    (f"http://h/in/{UUID}/in/{UUID[::-1].replace('-', 'a')}/in/{HEX}/p", "session-id"),
    ("http://h/?a=1&a=1&a=1&a=1", "query-permutations"),
    ("http://h/?" + "&".join(f"p{number}=1" for number in range(41)), "query-permutations"),
    ("http://h/login?next=%25252525252Flogin", "nested-escapes")])
def test_trap_is_found_by_its_name(href, rule):
    href = parse(href).href
    assert find(href) == rule
    assert Traps(TrapsSection(), now=NOW).words(rule, href).count("traps.") >= 1


@pytest.mark.parametrize("href", [
    "http://h/" + "/".join(map(str, range(20))) + "/",
    "http://h/a/a/a",  # three times is a name: com/example/example/Example
    "http://h/a/b/a/b/c",
    "http://h/files/000/000/000/000/012/original.jpg",  # a number, shelved
    "http://h/0/0/0/0/0/0.png",
    "https://web.archive.example/web/20200101000000*/http://example.org/",
    "http://h/a//b//c",
    "http://h/1851/09/18/archives/story.html",  # a newspaper's archive is no calendar
    "http://h/wiki/1066", "http://h/wiki/2100", "http://h/?year=2100", "http://h/?id=2099&month=5",
    "http://h/journal/article/view/2077/11",  # the eleventh file of article 2077
    "http://h/2031/12/31/", "http://h/calendar/1900/01", "http://h/item-2099-77", "http://h/p/20991231999",
    "http://h/?t=4102444800", "http://h/?q=2099-05-06-beta",
    "http://h/index.jsp;jsessionid=0A1B2C", "http://h/(S(abc))/x", "http://h/?sid=12345&id=7",
    f"http://h/orgs/{UUID}/teams/{UUID}/members/{UUID}",
    f"http://h/commit/{HEX}/blob/{HEX}",
    "http://h/?f=2&t=123&start=20&sort=a&dir=desc", "http://h/?f[]=a&f[]=b&f[]=c&f[]=d&f[]=e",
    "http://h/?next=%2Flogin%3Fnext%3D%252Fa%253Fb%25253Dc",
    "http://h/en/docs/en/docs", "http://h/", "http://h/?", "http://h/#"])
def test_what_sites_really_have_is_no_trap(href):
    assert find(parse(href).href) == ""


@pytest.mark.parametrize(("key", "href"), [
    ("path_depth", "http://h/" + "/".join(map(str, range(30)))),
    ("segment_repeats", "http://h/a/x/a/y/a/z/a/"), ("sequence_repeats", "http://h/a/b/a/b/a/b"),
    ("calendar_years", "http://h/2099/05/06/"), ("calendar_from", "http://h/calendar/1850/05/"),
    ("session_ids", "http://h/(S(abc))/(S(def))/x"), ("parameter_repeats", "http://h/?a=1&a=1&a=1&a=1"),
    ("parameters", "http://h/?" + "&".join(f"p{number}=1" for number in range(41))),
    ("escapes", "http://h/%25252525")])
def test_each_rule_can_be_switched_off_and_set(key, href):
    assert find(href) != ""
    assert find(href, **{key: None}) == ""


def test_dates_are_compared_with_the_time_that_was_told():
    traps = Traps(TrapsSection(), now=NOW)
    assert traps.find("http://h/2033/01/01/") == "calendar"
    traps.tell_time(NOW + 2 * 31_556_952)
    assert traps.find("http://h/2033/01/01/") == ""
    assert Traps(TrapsSection()).find("http://h/9999/01/01/") == ""  # nobody said what time it is


@pytest.mark.skipif(not MANUAL.is_dir() and not os.environ.get("CI"), reason="needs postgresql-doc-15")
def test_no_page_of_a_real_manual_is_a_trap():
    traps = Traps(TrapsSection(), now=NOW)
    hrefs = [f"http://docs.example/{path.relative_to(MANUAL.parent).as_posix()}" for path in MANUAL.rglob("*")]
    assert len(hrefs) > 1000
    assert [href for href in hrefs if traps.find(href)] == []


# -- generated traps, walked as a crawl would ------------------------------------------------------------------------


def walk(start, links_of, *, bound, **section):
    """URLs taken in by a crawl of one host from *start*; fails when there are more than *bound*."""
    traps = TrapsSection(**section)
    scope, limits = LinkScope(ScopeSection(mode="any"), traps, now=NOW), HostLimits(traps)
    row = HostRow(key=b"h", name="h", known=1)
    seen, waiting = {start}, deque([start])
    while waiting:
        page = waiting.popleft()
        for link in links_of(page):
            href = parse(page).join(link).href
            if href in seen or not scope.admits(href, 1) or scope.refusal(href, 1) or limits.take_in(row, href):
                continue
            seen.add(href)
            waiting.append(href)
            row.known += 1
            assert len(seen) <= bound, f"still going on: {href}"
    return seen


def test_calendar_that_never_ends_ends():
    def months(page):
        query = dict(part.split("=") for part in parse(page).search[1:].split("&"))
        year, month = int(query["year"]), int(query["month"])
        yield f"?year={year + month // 12}&month={month % 12 + 1}"
        yield f"?year={year - (month == 1)}&month={(month - 2) % 12 + 1}"

    found = walk("http://h/calendar?year=2026&month=9", months, bound=2000)
    assert len(found) == (2031 - 1900 + 1) * 12


def test_calendar_of_days_in_paths_ends():
    def days(page):
        year, month, day = map(int, page.split("/")[4:7])
        day += 1
        if day > 28:
            day, month = 1, month + 1
        if month > 12:
            month, year = 1, year + 1
        yield f"/events/{year}/{month:02}/{day:02}/"

    assert len(walk("http://h/events/2026/09/01/", days, bound=2000)) == 28 * (4 + 5 * 12)


def test_faceted_search_ends():
    names = ["color", "size", "brand", "price"]

    def facets(page):
        chosen = parse(page).search.strip("?").split("&") if parse(page).search else []
        for name, value in itertools.product(names, range(5)):
            yield "?" + "&".join([*chosen, f"{name}={value}"])

    found = walk("http://h/shop", facets, bound=1000, path_queries=100)
    assert len(found) == 1 + 20 + 20 * 20 + 100
    assert {f"http://h/shop?{name}=1" for name in names} <= found


def test_order_of_the_same_parameters_ends():
    def orders(page):
        yield from ("?" + "&".join(f"p{one}=1" for one in order) for order in itertools.permutations(range(5), 4))

    assert len(walk("http://h/list?p0=1", orders, bound=400, path_queries=100)) == 1 + 100


@pytest.mark.parametrize("names", [["self"], ["a", "b"], ["lib", "share", "doc"]])
def test_recursive_symlinks_end(names):
    found = walk("http://h/top/", lambda page: [*(f"{name}/" for name in names), "index.html"], bound=12_000)
    assert {f"http://h/top/{name}/index.html" for name in names} <= found


def test_relative_link_to_a_folder_that_is_none_ends():
    assert len(walk("http://h/shop/", lambda _: ["shop/", "cart/", "item.html"], bound=200)) < 100


@pytest.mark.parametrize("link", [
    "/page{page};jsessionid={number:032X}", "/(S({number:024x}))/page{page}", "/page{page}?PHPSESSID={number:032x}"])
def test_new_session_at_each_page_ends_and_every_page_is_had(link):
    numbers = itertools.count()
    found = walk("http://h/", lambda _: [link.format(page=page, number=next(numbers)) for page in range(5)], bound=600)
    assert len(found) == 1 + 5 * 100


def test_sessions_that_are_appended_end():
    numbers = itertools.count()
    found = walk("http://h/", lambda page: [f"{page.rstrip('/')}/s/{next(numbers):032x}/"], bound=50)
    assert len(found) <= 4


def test_login_that_comes_back_to_itself_ends():
    def login(page):
        path = page.removeprefix("http://h")
        escaped = "".join(f"%{ord(char):02X}" if char in "/?=%&" else char for char in path)
        yield f"/login?next={escaped}"

    assert len(walk("http://h/account", login, bound=20)) <= 5


def test_parameter_that_is_added_with_each_page_ends():
    assert len(walk("http://h/list?sort=a", lambda page: [f"{page}&sort=a", f"{page}&sort=b"], bound=200)) < 200
