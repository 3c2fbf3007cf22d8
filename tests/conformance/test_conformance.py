"""Other projects' cases against Spyder; they lie beside the checkout and are skipped where they do not."""

import base64
import gzip
import importlib.util
import json
from pathlib import Path

import pytest

from spyder.errors import UrlError
from spyder.extract.charset import encoding_of_label
from spyder.model.robots import RobotsVerdict, robots_verdict
from spyder.model.url import parse

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT.parent / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no conformance cases beside the checkout")

_spec = importlib.util.spec_from_file_location("spyder_conformance_adapter", Path(__file__).with_name("adapter.py"))
adapter = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(adapter)

OLD_IDNA = "the URL library's tables of international names are older than the case"
NO_UTF_32 = "UTF-32 is no encoding of the web: a browser reads its mark as UTF-16's, its label as none"
ROBOTS_TXT = "robots.txt itself is always allowed: RFC 9309, section 2.2.2"
ITSELF = "a mere fragment leads to the page itself, which is fetched already"

#: Cases that Spyder answers otherwise on purpose, or can't answer yet; the reason beside each.
EXPLAINED = {
    "cs-124": "`< meta` is text, not a tag, to every browser",
    "cs-154": "WHATWG has one big5, with the Hong Kong characters in it",
    "cs-180": NO_UTF_32, "cs-181": NO_UTF_32, "cs-186": NO_UTF_32,
    "cs-184": "the label utf-16 means little-endian, whatever the bytes look like",
    "robots-0216": ROBOTS_TXT, "robots-0222": ROBOTS_TXT,
    **dict.fromkeys(["rs-30", "rs-31"], "401 and 403 allow all: RFC 9309, section 2.3.1.3"),
    "link-0171": ITSELF, "link-0179": ITSELF,
    **dict.fromkeys(["url-0185", "url-0186", "url-0187", "url-0188", "url-0189", "url-0479", "url-0481", "url-0488",
                     "url-0490", "url-0526", "url-0541", "url-0542", "url-0543", "url-0548", "url-0552"], OLD_IDNA),
}


def rows(name):
    with (gzip.open if name.endswith(".gz") else open)(CASES / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def body_of(row, key="html"):
    given = row.get(f"{key}_b64")
    return base64.b64decode(given) if given is not None else row[key].encode("utf-8", "surrogatepass")


def same_encoding(one, other):
    def name(label):
        found = None if label is None else encoding_of_label(label.replace("utf-16-", "utf-16")) or label
        return "gbk" if found == "gb18030" else found

    return name(one) == name(other)


def normal(url):
    try:
        return parse(url).href
    except UrlError:
        return url


def assert_only_explained(failures):
    assert [failure for failure in failures if failure[0] not in EXPLAINED] == []


def test_robots_txt_allows_what_independent_parsers_say():
    failures = []
    for row in rows("robots.jsonl"):
        got = adapter.robots_allowed(body_of(row, "robots_txt"), row["user_agent"], row["url"])
        if row["grade"] in {"must", "should"} and got != row["allowed"]:
            failures.append((row["id"], row["user_agent"], row["url"], row["allowed"], got))
    assert_only_explained(failures)


def test_robots_txt_of_real_sites_allows_what_independent_parsers_say():
    failures = []
    for row in rows("robots_real.jsonl.gz"):
        for agent, url, expected in row["cases"]:
            if adapter.robots_allowed(row["robots_txt"].encode(), agent, url) != expected:
                failures.append((row["host"], agent, url, expected))
    assert failures == []


def test_delays_and_sitemaps_of_robots_txt_are_read():
    failures = []
    for row in rows("robots_extract.jsonl"):
        agent, expected = row["user_agent"], row["expected"]
        kind = "crawl_delay" if row["kind"] == "request_rate" else row["kind"]
        got = adapter.robots_extract(body_of(row, "robots_txt"), " ".join(agent) if isinstance(agent, list) else agent,
                                     kind, row.get("robots_url") or "http://domain.com/robots.txt")
        if row["kind"] == "request_rate" and expected is not None:
            expected = expected[1] / expected[0]
        if isinstance(agent, str | None) and got != expected:
            failures.append((row["id"], row["kind"], expected, got))
    assert_only_explained(failures)


def test_statuses_of_robots_txt_mean_what_the_standard_says():
    meaning = {"allow_all": {RobotsVerdict.ALLOW}, "error": {RobotsVerdict.HOLD},
               "disallow_all_defer": {RobotsVerdict.HOLD, RobotsVerdict.REDIRECT}}  # a redirect that leads nowhere
    assert_only_explained([(row["id"], row["status"], row["expected"]) for row in rows("robots_status.jsonl")
                           if robots_verdict(row["status"]) not in meaning.get(row["expected"], ())])


def test_urls_resolve_as_in_browsers():
    failures = []
    for row in rows("urls_resolve.jsonl"):
        expected = None if row["failure"] else row["expected_href"].split("#")[0]
        got = adapter.resolve(row["base"], row["input"])
        if got != expected:
            failures.append((row["id"], row["input"], row["base"], expected, got))
    assert_only_explained(failures)


def test_equal_urls_have_one_key_and_others_do_not():
    failures = []
    for row in rows("urls_equiv.jsonl"):
        one, other = adapter.dedup_key(row["a"]), adapter.dedup_key(row["b"])
        if row["grade"] == "must" and (one == other and one is not None) != row["same"]:
            failures.append((row["id"], row["a"], row["b"], row["same"], one, other))
    assert_only_explained(failures)


def test_pages_give_their_navigation_links():
    failures = []
    for row in rows("links.jsonl"):
        if row["grade"] != "must" or row["kind"] != "navigation" or row.get("options"):
            continue
        expected = {normal(url) for url in row["expected_links"]}
        got = set(adapter.links(body_of(row), row["content_type"], row["base_url"]))
        forbidden = got & {normal(url) for url in row.get("forbidden_links", [])}
        if forbidden or not (got == expected if row["mode"] == "exact" else got >= expected):
            failures.append((row["id"], row["test"], expected - got, got - expected))
    assert_only_explained(failures)


def test_refreshes_are_read_as_in_browsers():
    failures = []
    for row in rows("links_base_refresh.jsonl"):
        if row["kind"] == "meta_refresh_content":
            got = adapter.meta_refresh(row["content"])
            if (None if got is None else list(got)) != row["expected"]:
                failures.append((row["id"], row["content"], row["expected"], got))
    assert_only_explained(failures)


def test_headers_name_the_encoding_that_browsers_take():
    failures = []
    for row in rows("charset.jsonl"):
        if row["kind"] == "content_type_header" and row["grade"] in {"must", "whatwg"}:
            got = adapter.header_charset(row["content_type"])
            if not same_encoding(got, row["expected_whatwg"]):
                failures.append((row["id"], row["content_type"], row["expected_whatwg"], got))
    assert_only_explained(failures)


def test_documents_are_decoded_as_in_browsers():
    failures = []
    for row in rows("charset.jsonl"):
        declared_nothing = row["kind"] == "body_declared" and row["expected_encoding"] is None
        is_document = row["kind"] in {"http_body", "sniff_html", "body_declared"}
        if not is_document or declared_nothing or row["grade"] == "info":
            continue
        encoding, text = adapter.decode(row["content_type"], base64.b64decode(row["body_b64"]))
        if not same_encoding(encoding, row["expected_whatwg"]) and text != row.get("expected_text"):
            failures.append((row["id"], row["test"], row["content_type"], row["expected_whatwg"], encoding))
    assert_only_explained(failures)


def test_every_label_is_known():
    unknown = [row for row in rows("charset_labels.jsonl") if encoding_of_label(row["label"]) != row["encoding"]]
    assert unknown == []
