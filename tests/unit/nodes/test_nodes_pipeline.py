"""One page in, one outcome out, whatever the page or a processor does."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import suppress

import msgspec
import pytest

from spyder import plugins
from spyder.bus.messages import Codec, OutcomeBatch, OutcomeMessage
from spyder.errors import PluginError
from spyder.model.clock import StageTimes
from spyder.model.limits import MAX_LINK_BYTES, MAX_LINKS, MAX_URL
from spyder.model.records import CrawlUri, Failure, Page, PageRecord
from spyder.model.states import ErrorKind, LinkKind, Purpose
from spyder.model.url import UriIdentity
from spyder.nodes import processors
from spyder.nodes.pipeline import Pipeline, SeenLinks
from spyder.nodes.processors import Stage
from spyder.settings import (
    ExtractSection,
    FetchSection,
    ProcessorSection,
    RetrySection,
    RobotsSection,
    ScopeSection,
    Settings,
    TrapsSection,
    read_rules,
)

NOW = 1_700_000_000.0
HTML = b"""<title> A  title </title><a href="/1">1</a><a href="/1#part">again</a><a href="http://b.example/">b</a>
<a href="mailto:x@y.example">m</a><a href="/img.png">i</a>"""


class Worker:
    """A pipeline with its settings, and pages for it."""

    def __init__(self, *calls, timeout=0.0, **sections) -> None:
        settings = Settings(**sections)
        self.identity = UriIdentity(plugins.find("canonical", settings.frontier.canonical),
                                    plugins.find("assignment", "host"))
        stages = [Stage(name=getattr(call, "__name__", "call"), call=call, timeout=timeout) for call in calls]
        self.pipeline = Pipeline(settings, identity=self.identity, stages=stages, times=StageTimes())

    def __call__(self, body=HTML, *, url="http://a.example/", status=200, content_type="text/html", headers=(),
                 failure=None, **uri):
        page = Page(uri=CrawlUri(lease=7, key=self.identity.key(1, url), url=url, **uri), status=status,
                    failure=failure, headers=(("content-type", content_type), *headers), started_at=NOW, elapsed=0.25)
        done = self.pipeline(page, body, now=NOW)
        assert (done.outcome.lease, done.outcome.key, done.outcome.status) == (7, page.uri.key, status)
        if done.record is not None:  # what the sink and the bus will do with it
            msgspec.json.encode(done.record)
        codec = Codec(OutcomeMessage, limit=1 << 26)
        batch = OutcomeBatch(worker="worker:h:1.0:0123abcd", sequence=1, outcomes=(done.outcome,))
        assert codec.decode(codec.encode(batch)) == batch
        return done


def hrefs(done):
    return [link.url for link in done.outcome.links]


# -- pages and links


def test_given_a_page_when_processed_then_record_and_outcome_tell_of_it():
    done = Worker()(depth=2, referrer="http://r.example/")
    assert (done.outcome.failure, done.outcome.elapsed, done.outcome.size) == (None, 0.25, len(HTML))
    assert hrefs(done) == ["http://a.example/1", "http://b.example/", "http://a.example/img.png"]
    record = done.record
    assert isinstance(record, PageRecord)
    assert (record.url, record.final_url, record.title, record.depth, record.status, record.links, record.error) == (
        "http://a.example/", "http://a.example/", "A title", 2, 200, 3, "")
    assert (record.fetched_at, record.elapsed_ms) == ("2023-11-14T22:13:20.000Z", 250.0)
    assert record.referrer == "http://r.example/"
    assert record.digest.startswith("sha1:") and len(record.digest) == 37


def test_given_links_reported_before_when_found_again_then_they_do_not_travel_unless_on_a_shorter_way():
    worker = Worker()
    first = worker(depth=3)
    assert hrefs(worker(url="http://a.example/other", depth=3)) == []
    assert hrefs(worker(url="http://a.example/deeper", depth=9)) == []
    assert hrefs(worker(url="http://a.example/near", depth=1)) == hrefs(first)
    worker.pipeline.forget_links()
    assert hrefs(worker(depth=3)) == hrefs(first)


def test_given_scope_when_processed_then_links_that_it_rules_out_stay_here():
    worker = Worker(scope=ScopeSection(depth=2, exclude=(r"\.png$",), include=("example",)))
    assert hrefs(worker(depth=1)) == ["http://a.example/1", "http://b.example/"]
    assert hrefs(Worker(scope=ScopeSection(depth=2))(depth=2)) == []


def test_given_more_links_than_allowed_when_processed_then_the_rest_is_left_out():
    body = b"".join(b'<a href="/%d">' % number for number in range(50))
    assert len(hrefs(Worker(scope=ScopeSection(max_links=10))(body))) == 10


@pytest.mark.parametrize(("count", "length"), [(MAX_LINKS + 5000, 10), (3000, MAX_URL - 100)])
def test_given_a_processor_that_follows_more_than_a_message_carries_when_processed_then_the_first_are_followed(
        caplog, count, length):
    def follow(page):
        for number in range(count):
            page.follow(f"/{number}?{'x' * length}")

    done = Worker(follow, scope=ScopeSection(max_url_length=MAX_URL))()
    urls = hrefs(done)
    assert 1000 < len(urls) <= MAX_LINKS and len(urls) < count
    assert sum(len(url) for url in urls) <= MAX_LINK_BYTES
    assert urls[3:5] == [f"http://a.example/{number}?{'x' * length}" for number in (0, 1)]
    assert f"the first {len(urls)} are followed" in caplog.text


@pytest.mark.parametrize("content_type", ["", "nonsense;;;", "text/html", "TEXT/HTML ; charset=x", "*/*"])
def test_given_no_media_type_or_html_when_processed_then_the_body_decides_and_it_is_html(content_type):
    done = Worker()(content_type=content_type)
    assert (len(hrefs(done)), done.record.title) == (3, "A  title".replace("  ", " "))


@pytest.mark.parametrize("content_type", ["text/plain", "application/pdf", "image/png", "application/x-unheard-of"])
def test_given_another_media_type_when_processed_then_it_is_no_html(content_type):
    done = Worker()(content_type=content_type)
    assert (hrefs(done), done.record.title, done.outcome.failure) == ([], "", None)


@pytest.mark.parametrize("body", [b"", b"\x00" * 1000, b"\xff\xfe<\x00a\x00", b"<" * 5000, b"<a href='http://[broken'>",
                                  b"<base href='mailto:x'><a href='y'>",
                                  "<title>\ud800</title>".encode("utf-16-le", "surrogatepass"),
                                  b"<title>&#xD800;&#0;</title><a href='&#xD800;'>", b"<div>" * 20_000])
def test_given_a_strange_body_when_processed_then_there_is_an_outcome_all_the_same(body):
    done = Worker()(body)
    assert done.outcome.failure is None
    assert done.record is not None


def test_given_an_extractor_that_fails_when_processed_then_the_outcome_says_so(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no \ud800 tree")
    monkeypatch.setattr("spyder.extract.builtin.read_html", broken)
    done = Worker()()
    assert done.outcome.failure.kind is ErrorKind.EXTRACT
    assert "RuntimeError" in done.outcome.failure.detail
    assert done.record.error == "extract"


# -- redirects


def test_given_a_redirect_when_processed_then_its_target_is_a_link_of_the_same_depth():
    done = Worker(scope=ScopeSection(depth=0))(b"", status=301, headers=(("location", "/moved"),))
    (link,) = done.outcome.links
    assert (link.url, link.kind) == ("http://a.example/moved", LinkKind.REDIRECT)
    assert done.record.final_url == "http://a.example/moved"
    assert done.outcome.failure is None


def test_given_a_seed_that_redirects_out_of_scope_when_processed_then_it_is_followed_and_others_are_not():
    scope = ScopeSection(include=("a\\.example",))
    away = {"status": 302, "headers": (("location", "http://b.example/"),)}
    assert hrefs(Worker(scope=scope)(b"", is_seed=True, **away)) == ["http://b.example/"]
    assert hrefs(Worker(scope=scope)(b"", **away)) == []


@pytest.mark.parametrize(("length", "count"), [(MAX_URL - 100, 1), (MAX_URL, 0)])
def test_given_a_seed_that_redirects_to_a_url_without_end_when_processed_then_it_is_left_out(length, count):
    done = Worker()(b"", status=302, headers=(("location", "/" + "x" * length),), is_seed=True)
    assert len(hrefs(done)) == count


@pytest.mark.parametrize(("length", "fails"), [(1, False), (2, True), (3, True)])
def test_given_a_chain_of_redirects_when_it_is_too_long_then_it_fails_and_ends(length, fails):
    done = Worker(fetch=FetchSection(max_redirects=2))(
        b"", status=302, headers=(("location", "/next"),),
        redirects=tuple(f"http://a.example/{number}" for number in range(length)))
    assert (done.outcome.failure is not None) is fails
    if fails:
        assert done.outcome.failure.kind is ErrorKind.REDIRECT_LIMIT
        assert hrefs(done) == []
        assert done.record.error == "redirect-limit"


# -- failures


def test_given_a_failure_that_will_be_retried_when_processed_then_there_is_no_record_yet():
    worker = Worker(retry=RetrySection(attempts={"http-5xx": 2}))
    failure = Failure(kind=ErrorKind.HTTP_5XX, detail="503")
    assert [worker(b"", status=503, failure=failure, attempt=attempt).record is None for attempt in range(4)] == [
        True, True, False, False]


def test_given_a_final_failure_when_processed_then_the_record_says_why():
    failure = Failure(kind=ErrorKind.HTTP_4XX, detail="404 Not Found")
    done = Worker()(b"not found", status=404, failure=failure, attempt=1)
    assert (done.record.error, done.record.error_detail, done.record.status, done.record.attempt) == (
        "http-4xx", "404 Not Found", 404, 1)
    assert hrefs(done) == []


@pytest.mark.parametrize(("status", "value", "expected"), [
    (429, "120", 120.0), (503, "Tue, 14 Nov 2023 22:14:20 GMT", 60.0), (429, "soon", 0.0), (200, "120", 0.0),
    (429, "-5", 0.0)])
def test_given_retry_after_when_processed_then_the_outcome_carries_seconds(status, value, expected):
    failure = Failure(kind=ErrorKind.HTTP_429) if status != 200 else None
    done = Worker()(b"", status=status, failure=failure, headers=(("retry-after", value),))
    assert done.outcome.retry_after == expected


# -- processors


def test_given_processors_when_run_then_they_see_the_page_in_order_and_what_they_add_is_kept():
    seen = []

    def first(page):
        seen.append(("first", page.url, page.title))
        page.data["words"] = len(page.text.split())

    def second(page):
        seen.append(("second", page.status, page.data["words"]))
        page.follow("extra")
        page.follow("mailto:nobody")
        return {"junk": object()}

    done = Worker(first, second)()
    assert [name for name, *_ in seen] == ["first", "second"]
    assert done.record.data == {"words": seen[1][2]}
    assert hrefs(done)[-1] == "http://a.example/extra"
    assert done.outcome.links[-1].kind is LinkKind.MANUAL


def test_given_a_page_without_success_when_processed_then_processors_are_not_asked():
    asked = []
    worker = Worker(asked.append)
    worker(b"", status=404, failure=Failure(kind=ErrorKind.HTTP_4XX))
    worker(b"", status=301, headers=(("location", "/x"),))
    worker(b"", status=304)
    assert asked == []
    worker(b"", status=204)
    assert len(asked) == 1


def test_given_a_processor_that_drops_links_when_run_then_none_is_followed():
    assert hrefs(Worker(lambda page: page.drop_links())()) == []


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


def raises(error):
    def processor(page):
        page.data["half"] = "done"
        raise error
    return processor


@pytest.mark.parametrize("error", [
    ValueError("bad"), KeyError("x"), RecursionError(), MemoryError(), SystemExit(3), Unprintable(), StopIteration(),
    ValueError("two\nlines"), ValueError("\ud800 no text"), ValueError("x" * 100_000),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "r")],
    ids=lambda error: type(error).__name__)
def test_given_a_processor_that_raises_when_run_then_the_page_fails_with_its_name_and_later_ones_are_not_asked(error):
    asked = []
    done = Worker(raises(error), asked.append)()
    assert done.outcome.failure.kind is ErrorKind.PROCESSOR
    detail = done.outcome.failure.detail
    assert detail.startswith("processor: ") and type(error).__name__ in detail
    assert "\n" not in detail and len(detail) <= 500
    assert asked == []
    assert done.record.error == "processor"
    assert hrefs(done), "its links are followed all the same"


class Opaque:
    """Nothing that JSON could say."""


def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize("value", [Opaque(), {"a": [Opaque()]}, "\ud800", {("a", "b"): 1}, lambda: None, deep()],
                         ids=["object", "nested", "surrogate", "tuple-key", "function", "deep"])
def test_given_data_that_json_cannot_say_when_processed_then_the_page_fails_and_the_worker_goes_on(value):
    def processor(page):
        page.data["good"] = 1
        page.data["bad"] = value
    done = Worker(processor)()
    assert done.outcome.failure.kind is ErrorKind.PROCESSOR
    assert "data" in done.outcome.failure.detail
    assert (done.record.error, done.record.data) == ("processor", {})


def test_given_a_processor_that_raises_after_bad_data_when_processed_then_its_own_failure_counts():
    def processor(page):
        page.data["bad"] = Opaque()
        raise ValueError("mine")
    done = Worker(processor)()
    assert "mine" in done.outcome.failure.detail
    assert done.record.data == {}


def test_given_a_processor_that_raises_when_its_data_are_good_then_the_record_keeps_them():
    assert Worker(raises(ValueError()))().record.data == {"half": "done"}


@pytest.mark.parametrize("data", [None, 5, ["a"], "text"])
def test_given_data_that_is_no_mapping_when_processed_then_the_page_fails(data):
    def processor(page):
        page.data = data
    assert Worker(processor)().outcome.failure.kind is ErrorKind.PROCESSOR


def test_given_a_link_of_an_unknown_kind_when_followed_then_the_page_fails_and_no_master_sees_it():
    done = Worker(lambda page: page.follow("/x", kind="whatever"))()
    assert done.outcome.failure.kind is ErrorKind.PROCESSOR


@pytest.mark.parametrize("target", ["", "#here", "http://[", "\ud800", "javascript:x", None, 5, b"x"])
def test_given_what_is_no_link_when_followed_then_it_is_left_out(target):
    def processor(page):
        page.drop_links()
        page.follow(target)
    assert set(hrefs(Worker(processor)())) <= {"http://a.example/"}


# -- time limits


def test_given_a_processor_that_takes_too_long_when_run_then_the_page_fails_and_the_next_one_is_not_disturbed():
    def slow(page):
        with suppress(Exception):  # as users' code does
            time.sleep(30)
    worker = Worker(slow, timeout=0.02)
    for _ in range(2):
        done = worker()
        assert done.outcome.failure.kind is ErrorKind.PROCESSOR_TIMEOUT
        assert "slow: more than 0.02 s" in done.outcome.failure.detail
        assert done.record.error == "processor-timeout"


def test_given_a_processor_in_time_when_run_then_no_alarm_is_left_behind():

    before = signal.getsignal(signal.SIGALRM)
    assert Worker(lambda page: None, timeout=5.0)().outcome.failure is None
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before


def test_given_another_thread_when_run_then_there_is_no_limit_and_no_error():
    results = []
    thread = threading.Thread(target=lambda: results.append(Worker(lambda page: None, timeout=0.5)()))
    thread.start()
    thread.join(10)
    assert results[0].outcome.failure is None


# -- building


def test_given_sections_when_built_then_classes_get_their_settings_and_functions_are_used_as_they_are(monkeypatch):
    class Counter:
        def __init__(self, *, step):
            self.step = step

        def __call__(self, page):
            page.data["step"] = self.step

    module = type(sys)("given_processors")
    module.Counter, module.function = Counter, lambda page: None
    monkeypatch.setitem(sys.modules, "given_processors", module)
    stages = processors.build([ProcessorSection(use="given_processors:Counter", settings={"step": 3}, timeout=1.5),
                               ProcessorSection(use="given_processors:function")])
    assert [(stage.name, stage.timeout) for stage in stages] == [
        ("given_processors:Counter", 1.5), ("given_processors:function", 5.0)]
    assert stages[0].call.step == 3
    assert stages[1].call is module.function
    with pytest.raises(PluginError, match="Counter"):
        processors.build([ProcessorSection(use="given_processors:Counter", settings={"stride": 3})])


@pytest.mark.parametrize("use", ["", "no_such_module:x", "json:nothing", "json"])
def test_given_a_processor_that_is_not_there_when_built_then_the_error_names_it(use):
    with pytest.raises(PluginError, match=use or "use"):
        processors.build([ProcessorSection(use=use)])


# -- seen links


def test_given_more_links_than_remembered_when_seen_then_memory_is_bounded_and_the_latest_are_known():
    seen = SeenLinks(100)
    for number in range(1000):
        assert seen.is_new(b"%d" % number, 1)
    assert len(seen._young) + len(seen._old) <= 100
    assert not seen.is_new(b"999", 1)
    assert seen.is_new(b"0", 1), "forgotten: it travels again, and the master knows it"


def test_given_the_least_memory_when_links_are_seen_then_it_still_answers():
    seen = SeenLinks(1)
    assert seen.is_new(b"a", 0)
    assert seen.is_new(b"b", 0)


def test_given_what_is_parsed_at_most_when_a_page_is_longer_then_its_end_is_ignored():
    body = b'<a href="/near">' + b" " * 5000 + b'<a href="/far">'
    assert hrefs(Worker(extract=ExtractSection(max_parse_size=1000))(body)) == ["http://a.example/near"]


# -- marks


def test_given_a_header_that_asks_for_it_when_processed_then_the_marks_are_in_the_record_and_no_link_is_followed():
    header = (("x-robots-tag", "noarchive, none"), ("x-robots-tag", "other: nosnippet"))
    done = Worker()(headers=header)
    assert (done.record.marks, hrefs(done)) == (("noarchive", "nofollow", "noindex"), [])
    assert hrefs(Worker()(headers=(*header, ("location", "/to")), status=301)) == ["http://a.example/to"]
    assert len(hrefs(Worker()(headers=(("x-robots-tag", "noindex, other: nofollow"),)))) == 3


def test_given_that_headers_are_not_heeded_when_processed_then_links_are_followed_and_marked_all_the_same():
    done = Worker(robots=RobotsSection(header=False))(headers=(("x-robots-tag", "spyder: nofollow"),))
    assert (done.record.marks, len(hrefs(done))) == (("nofollow",), 3)


@pytest.mark.parametrize(("name", "sections", "marks", "links"), [
    ("robots", {}, ("nofollow", "noindex"), 0),
    ("Spyder", {}, ("nofollow", "noindex"), 0),
    ("mine", {"robots": RobotsSection(agent="mine")}, ("nofollow", "noindex"), 0),
    ("other", {}, (), 3),
    ("robots", {"robots": RobotsSection(meta=False)}, ("nofollow", "noindex"), 3)])
def test_given_a_meta_element_for_us_when_processed_then_its_marks_count(name, sections, marks, links):
    done = Worker(**sections)(f"<meta name={name} content='NoIndex, nofollow'>".encode() + HTML)
    assert (done.record.marks, len(hrefs(done))) == (marks, links)


@pytest.mark.parametrize(("follows", "expected"), [(False, ["http://a.example/b"]), (True, [
    "http://a.example/a", "http://a.example/b"])])
def test_given_links_that_are_not_endorsed_when_processed_then_the_settings_decide(follows, expected):
    worker = Worker(robots=RobotsSection(rel_nofollow=not follows))
    assert hrefs(worker(b"<a href=a rel='nofollow ugc'>1</a><a href=b>2</a>")) == expected


# -- what pages embed


def test_given_embeds_in_the_settings_when_processed_then_they_are_links_of_their_kind():
    body = b"<img src=a><link rel=next href=b><link rel=stylesheet href=c>"
    assert hrefs(Worker()(body)) == []
    done = Worker(extract=ExtractSection(embeds=True))(body)
    assert [(link.url[-1], link.kind) for link in done.outcome.links] == [
        ("b", LinkKind.NAVIGATION), ("a", LinkKind.EMBED), ("c", LinkKind.EMBED)]
    assert hrefs(Worker(extract=ExtractSection(link_elements=True))(body)) == ["http://a.example/b"]


def test_given_the_reader_of_styles_when_pages_have_some_then_what_these_embed_counts():
    body = b"<style>@import 'a'</style><p style='background: url(b)'>"
    assert hrefs(Worker(extract=ExtractSection(embeds=True))(body)) == []
    entries = (*ExtractSection().extractors, "css")
    done = Worker(extract=ExtractSection(embeds=True, extractors=entries))(body)
    assert hrefs(done) == ["http://a.example/a", "http://a.example/b"]
    assert hrefs(Worker(extract=ExtractSection(extractors=entries))(body)) == []


# -- near-duplicates


def repeating(number, *, url="http://a.example/{}"):
    text = " ".join(f"Chapter {letter} of many that stand on this page" for letter in "ABCDEFGHIJKL")
    return {"body": f"<title>Day {number}</title><p>{text}, the {number}th".encode(), "url": url.format(number)}


@pytest.mark.parametrize(("traps", "repeats", "fingerprints", "said"), [
    (TrapsSection(near_duplicates="damp"), [0, 0, 1, 1], 3, 2),
    (TrapsSection(near_duplicates="mark"), [0, 0, 0, 0], 3, 2),
    (TrapsSection(near_duplicates="off"), [0, 0, 0, 0], 0, 0),
    (TrapsSection(near_duplicates="damp", near_pages="all"), [0, 1, 1, 1], 4, 3),
    (TrapsSection(near_duplicates="damp", near_min_text=10_000), [0, 0, 0, 0], 0, 0)])
def test_given_pages_that_repeat_one_another_when_processed_then_records_and_outcomes_say_so_as_the_settings_want(
        traps, repeats, fingerprints, said):
    worker = Worker(traps=traps)
    done = [worker(**repeating(number)) for number in range(1, 5)]
    assert [one.outcome.is_repeat for one in done] == repeats
    assert sum(one.record.fingerprint != "" for one in done) == fingerprints
    assert len({one.record.fingerprint for one in done if one.record.fingerprint}) <= 1
    assert [one.record.near_duplicate_of for one in done if one.record.near_duplicate_of] == [
        f"http://a.example/{4 - said}"] * said


def test_given_pages_of_two_hosts_with_one_text_when_processed_then_neither_repeats_the_other():
    worker = Worker(traps=TrapsSection(near_duplicates="damp", near_pages="all"))
    done = [worker(**repeating(1, url=url)) for url in ("http://a.example/{}", "http://b.example/{}")]
    assert [one.record.near_duplicate_of for one in done] == ["", ""]


# -- what a host must tell before its pages are fetched


def ask_robots(worker, body, *, url="http://a.example/robots.txt", **page):
    done = worker(body, url=url, content_type="text/plain", purpose=Purpose.ROBOTS, **page)
    assert done.record is None
    return done.outcome


def test_given_a_robots_txt_when_read_then_its_rules_are_in_the_outcome_and_no_processor_sees_it():
    seen = []
    body = b"User-agent: spyder\nDisallow: /x\nCrawl-delay: 900\nSitemap: /s.xml\n\nUser-agent: *\nDisallow: /"
    outcome = ask_robots(Worker(seen.append), body)
    assert (outcome.robots.allow, outcome.robots.disallow) == ((), ("/x",))
    assert outcome.robots.crawl_delay == RobotsSection().max_crawl_delay
    assert outcome.robots.sitemaps == ("http://a.example/s.xml",)
    assert (outcome.links, seen, outcome.failure) == ((), [], None)


@pytest.mark.parametrize(("sections", "disallow"), [
    ({"fetch": FetchSection(user_agent="Other/2 (+mail@example.org)")}, ("/o",)),
    ({"robots": RobotsSection(agent="third"), "fetch": FetchSection(user_agent="Other/2")}, ("/t",))])
def test_given_another_agent_when_a_robots_txt_is_read_then_its_groups_count(sections, disallow):
    body = b"User-agent: other\nDisallow: /o\nUser-agent: third\nDisallow: /t\nUser-agent: *\nDisallow: /"
    assert ask_robots(Worker(**sections), body).robots.disallow == disallow


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_given_a_robots_txt_that_is_elsewhere_when_read_then_its_place_is_a_link_whatever_the_scope(status):
    worker = Worker(scope=ScopeSection(exclude=("other",)))
    for _ in range(2):  # nor is it left out because it was reported before
        outcome = ask_robots(worker, b"Disallow: /", status=status, headers=(("location", "//other.example/r?1"),))
        assert outcome.robots is None
        assert [(link.url, link.kind) for link in outcome.links] == [("http://other.example/r?1", LinkKind.REDIRECT)]
        assert outcome.links[0].key == worker.identity.key(1, "http://other.example/r?1")


@pytest.mark.parametrize(("status", "kind"), [(404, ErrorKind.HTTP_4XX), (503, ErrorKind.HTTP_5XX)])
def test_given_no_robots_txt_when_read_then_the_status_is_told_and_the_body_says_nothing(status, kind):
    failure = Failure(kind=kind)
    outcome = ask_robots(Worker(), b"User-agent: *\nDisallow: /", status=status, failure=failure)
    assert (outcome.robots, outcome.links, outcome.failure) == (None, (), failure)


def test_given_a_robots_txt_that_was_cut_at_the_limit_when_read_then_what_is_there_counts():
    too_large = Failure(kind=ErrorKind.BODY_LIMIT)
    outcome = ask_robots(Worker(), b"User-agent: *\nDisallow: /x\n", failure=too_large)
    assert (outcome.robots.disallow, outcome.failure) == (("/x",), None)
    nothing = ask_robots(Worker(), b"", failure=too_large)
    assert (nothing.robots, nothing.failure) == (None, too_large)


@pytest.mark.parametrize("kind", [ErrorKind.DECODE, ErrorKind.TRUNCATED, ErrorKind.TIMEOUT])
def test_given_a_robots_txt_that_did_not_arrive_well_when_read_then_it_is_a_failure_and_no_permission(kind):
    outcome = ask_robots(Worker(), b"", failure=Failure(kind=kind))
    assert (outcome.robots, outcome.failure.kind) == (None, kind)


def test_given_a_look_up_when_it_ends_then_the_address_is_told_and_nothing_is_recorded():
    worker = Worker()
    uri = CrawlUri(lease=7, key=worker.identity.key(1, "http://a.example/"), url="http://a.example/",
                   purpose=Purpose.ADDRESS)
    done = worker.pipeline(Page(uri=uri, ip="192.0.2.7", address_ttl=60.0), b"", now=NOW)
    assert (done.outcome.ip, done.outcome.address_ttl, done.record) == ("192.0.2.7", 60.0, None)


# -- validators, limits, credentials


@pytest.mark.parametrize(("status", "headers", "expected"), [
    (200, (("etag", '"1"'), ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")),
     '"1"\nWed, 21 Oct 2015 07:28:00 GMT'),
    (200, (), ""), (203, (("etag", '"1"'),), ""), (304, (), '"old"\n'), (304, (("etag", '"2"'),), '"2"\n'),
])
def test_given_an_answer_when_processed_then_the_outcome_carries_what_the_next_fetch_asks_with(
        status, headers, expected):
    done = Worker()(b"", status=status, headers=headers, validators='"old"\n')
    assert done.outcome.validators == expected
    assert done.outcome.failure is None
    assert done.record.status == status
    assert Worker(fetch=FetchSection(conditional=False))(b"", headers=headers).outcome.validators == ""


def test_given_a_page_that_failed_when_processed_then_the_next_fetch_asks_for_all_of_it():
    failure = Failure(kind=ErrorKind.TRUNCATED)
    assert Worker()(b"", headers=(("etag", '"1"'),), failure=failure).outcome.validators == ""


def test_given_a_seed_with_a_password_when_processed_then_no_record_shows_it():
    done = Worker()(url="http://me:secret@a.example/x", referrer="http://me:secret@a.example/",
                    redirects=("http://me:secret@a.example/y",), is_seed=True)
    assert b"secret" not in msgspec.json.encode(done.record)
    assert (done.record.url, done.record.referrer) == ("http://a.example/x", "http://a.example/")


def test_given_a_page_of_which_something_was_cut_off_when_processed_then_the_record_names_the_settings():
    worker = Worker()
    page = Page(uri=CrawlUri(lease=7, key=worker.identity.key(1, "http://a.example/"), url="http://a.example/"),
                status=200, limits=("fetch.max_cookies",))
    assert worker.pipeline(page, b"", now=NOW).record.limits == ("fetch.max_cookies",)


# -- sitemaps and limits


SITEMAP = b"""<urlset><url><loc>/1</loc><lastmod>2005-01-01</lastmod><priority>1</priority></url>
<url><loc>/2</loc></url><url><loc>http://b.example/3</loc><lastmod>2005-01-01</lastmod></url></urlset>"""


def test_given_a_sitemap_when_processed_then_hints_travel_with_their_links_also_when_these_are_known():
    worker = Worker()
    for _ in range(2):
        done = worker(SITEMAP, content_type="text/html")
        hints = [(done.outcome.links[hint.index].url, hint.priority, hint.modified) for hint in done.outcome.hints]
        assert hints == [("http://a.example/1", 63, 1_104_537_600.0)]
        assert done.record.media_type == "application/sitemap+xml"
    assert hrefs(done) == ["http://a.example/1"], "the others were reported before"
    assert worker(HTML).record.media_type == ""


def test_given_limits_that_cut_off_when_processed_then_the_record_names_them():
    worker = Worker(scope=ScopeSection(max_links=1), extract=ExtractSection(max_parse_size=100))
    assert worker().record.limits == ("extract.max_parse_size", "scope.max_links")


# -- scope


def rules(*entries):
    return read_rules(list(entries), "test")


def test_given_rules_when_a_page_is_read_then_what_they_keep_out_is_counted_by_their_names():
    worker = Worker(scope=ScopeSection(exclude=(r"\.png$",), depth=5, rules=rules(
        {"name": "no-b", "reject": {"host": "b.example"}})))
    done = worker(b"<a href=/1>1</a><a href=/x/x/x/x>t</a><a href=http://b.example/>b</a><a href=/i.png>i</a>", depth=4)
    assert hrefs(done) == ["http://a.example/1"]
    assert done.outcome.left_out == {"repeating-segments": 1, "no-b": 1, "exclude": 1}
    deep = worker(b"<a href=/far>f</a>", url="http://a.example/2", depth=5)
    assert (hrefs(deep), deep.outcome.left_out) == ([], {"depth": 1})


def test_given_other_rules_when_they_are_used_then_links_are_reported_anew_by_them():
    worker = Worker()
    assert "http://b.example/" in hrefs(worker())
    assert hrefs(worker()) == []
    worker.pipeline.use_rules(rules({"name": "no-b", "reject": {"host": "b.example"}}))
    again = worker()
    assert hrefs(again) == ["http://a.example/1", "http://a.example/img.png"]
    assert again.outcome.left_out == {"no-b": 1}
    worker.pipeline.use_rules(None)
    assert "http://b.example/" in hrefs(worker())


def test_given_a_rejected_media_type_when_a_page_comes_then_it_is_excluded_without_its_content():
    seen = []
    worker = Worker(seen.append, scope=ScopeSection(rules=rules(
        {"name": "no-html", "reject": {"content_type": "text/*", "regex": "/x"}})))
    done = worker(url="http://a.example/x", depth=1)
    assert (done.outcome.failure, done.outcome.links, done.outcome.size) == (Failure(
        kind=ErrorKind.CONTENT_TYPE, detail="rule `no-html` of scope.rules rejects text/html"), (), 0)
    assert (done.record.error, done.record.size, done.record.digest, seen) == ("content-type", 0, "", [])
    assert done.outcome.failure.kind.is_exclusion
    assert worker(url="http://a.example/x", is_seed=True).outcome.failure is None
    assert worker(url="http://a.example/y").outcome.failure is None


def test_given_a_rejected_media_type_without_end_when_a_page_comes_then_what_is_told_of_it_is_short():
    worker = Worker(scope=ScopeSection(rules=rules({"name": "no-images", "reject": {"content_type": "image/*"}})))
    done = worker(b"x", content_type="image/" + "x" * 90_000, depth=1)
    assert done.outcome.failure.kind is ErrorKind.CONTENT_TYPE
    assert len(done.outcome.failure.detail) < 200


def test_given_where_a_seed_redirects_to_then_no_rule_keeps_it_out():
    worker = Worker(scope=ScopeSection(rules=rules({"name": "none", "reject": {"any": True}})))
    found = worker(b"", status=301, headers=(("location", "/x/x/x/x"),), is_seed=True)
    assert hrefs(found) == ["http://a.example/x/x/x/x"]
    other = worker(b"", url="http://a.example/2", status=301, headers=(("location", "/y"),))
    assert (hrefs(other), other.outcome.left_out) == ([], {"none": 1})
