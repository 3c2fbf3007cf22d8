"""What `spyder explain` says: of a URI in each state, for each cause of waiting, for each rule, and of a host."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from unit.frontier.crawlkit import Crawl, pages

from spyder.contracts import Changes
from spyder.errors import SpyderError, StoreError, UrlError
from spyder.model.records import RobotsRules, UriRow
from spyder.model.states import ErrorKind, UriState
from spyder.model.url import HOST_BYTES
from spyder.nodes.explain import HostActivity, LeaseView, explain, read_subject
from spyder.nodes.explanation import ERROR_WORDS
from spyder.nodes.inspect import rfc3339
from spyder.nodes.watchdog import Progress
from spyder.settings import load
from spyder.stores.memory import MemoryStore

A = "http://a.example/"
WELL = Progress(now=0.0, settled=0, workers=1, ready=1, free=512)


@dataclass
class View:
    """A running master, as far as a frontier without workers shows one."""

    crawl: Crawl
    figures: Progress = WELL
    held: dict[bytes, float] = field(default_factory=dict)  #: seconds

    def progress(self):
        return self.figures

    def lease_of(self, key):
        lease = self.crawl.frontier.lease_of(key)
        return lease and LeaseView(worker=lease.worker, held=self.held.get(key, 0.0), is_fetched=lease.is_fetched)

    def host_activity(self, key):
        host = self.crawl.frontier.active_host(key)
        return host and HostActivity(row=host.row, fetching=host.fetching, leases=dict(
            self.crawl.frontier.leases_at(host)))


def ask(crawl, text, *, live=True, view=None, scope=None, **figures):
    rules = {"mode": crawl.mode, **(scope or {})}
    settings = msgspec.structs.replace(
        load(environ={}, overrides={f"scope.{key}": value for key, value in rules.items()}),
        frontier=crawl.settings, politeness=crawl.politeness, retry=crawl.retry, limits=crawl.limits,
        robots=crawl.robots)
    view = view or View(crawl, msgspec.structs.replace(WELL, **figures))
    return explain(text, store=crawl.store, settings=settings, now=crawl.clock.now(), live=view if live else None)


def waits(answer):
    return [(cause.kind, cause.text, cause.until) for cause in answer.waits]


def kinds(answer):
    return [cause.kind for cause in answer.waits]


def put(crawl, url, **fields):
    """A row as the frontier would keep it."""
    crawl.store.store.commit(Changes(uris={crawl.key(url): UriRow(url=url, **fields)}))


# -- states


def test_given_a_queued_uri_that_may_be_leased_then_it_waits_for_nothing(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = ask(crawl, "http://A.example:80/#top").uri
    assert (uri.url, uri.key) == (A, crawl.key(A).hex())
    assert (uri.state, uri.summary, uri.is_seed, uri.depth) == ("queued", "waits for its turn", True, 0)
    assert (uri.waits, uri.next_at) == ((), rfc3339(clock.now()))


@pytest.mark.parametrize(("is_fetched", "doing"), [
    (False, "it is being fetched, or about to be"), (True, "its page is being read")])
def test_given_a_leased_uri_then_it_names_the_holder_and_since_when(clock, is_fetched, doing):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = crawl.one("worker:h:1.0:abc")
    if is_fetched:
        crawl.notice(uri)
    answer = ask(crawl, A, view=View(crawl, held={uri.key: 12.3}))
    assert (answer.uri.state, answer.uri.waits, answer.uri.next_at) == ("leased", (), "")
    assert answer.uri.summary == f"worker worker:h:1.0:abc has held it for 12 s: {doing}"
    assert (answer.host.queued, answer.host.leased, answer.host.leases) == (0, 1, {"worker:h:1.0:abc": 1})


def test_given_a_done_uri_then_its_last_outcome_is_told(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.ok(crawl.one(), f"{A}b", status=200, worker="w1")
    answer = ask(crawl, A)
    assert (answer.uri.state, answer.uri.summary) == ("done", "its answer had status 200")
    assert (answer.uri.worker, answer.uri.last_at, answer.uri.advice) == ("w1", rfc3339(clock.now()), "")
    assert ask(crawl, f"{A}b").uri.referrer == A
    assert (answer.host.host, answer.host.settled, answer.host.next_url) == ("a.example", 1, f"{A}b")


@pytest.mark.parametrize("attempts", [0, 2])
def test_given_a_failed_uri_then_it_tells_the_reason_and_what_to_do(clock, attempts):
    crawl = Crawl(clock, retry={"attempts": {"http-5xx": attempts}, "delay": {"http-5xx": 0.0}},
                  politeness={"backoff": 0.0, "slowdown": 0.0})
    crawl.seed(A)
    for _ in range(attempts + 1):
        crawl.turn()
        crawl.fail(crawl.one(), ErrorKind.HTTP_5XX, status=503)
    uri = ask(crawl, A).uri
    assert (uri.state, uri.status, uri.reason, uri.attempt) == ("failed", 503, "http-5xx", attempts)
    tries = "tried 3 times" if attempts else "tried once"
    assert uri.summary == f"{tries}, the answer had status 503: the server failed"
    assert uri.advice == f"`spyder requeue {A}` has it tried again"


def test_given_a_quarantined_uri_then_it_tells_the_strikes_the_last_worker_and_what_to_do(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    for worker in ("w1", "w2", "w3"):
        crawl.clock.advance(1000)
        crawl.turn()
        crawl.one(worker)
        crawl.frontier.release(worker)
        crawl.frontier.strike(worker, crawl.key(A), "killed by signal 11")
        crawl.commit()
    uri = ask(crawl, A).uri
    assert (uri.state, uri.strikes, uri.strikes_limit, uri.worker) == ("quarantined", 3, 3, "w3")
    assert uri.summary == "set aside after 3 strikes: killed by signal 11"
    assert uri.advice == f"`spyder requeue {A}` has it tried again"


def test_given_an_excluded_uri_then_it_tells_the_rule(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    put(crawl, f"{A}x", state=UriState.EXCLUDED, reason="robots.txt")
    uri = ask(crawl, f"{A}x").uri
    assert (uri.state, uri.summary) == ("excluded", "a rule keeps it out: robots.txt")
    assert uri.advice == f"`spyder requeue {A}x` has it tried once the rule admits it"


def test_given_another_spelling_of_a_known_page_then_the_known_one_is_told(clock):
    crawl = Crawl(clock, canonical="standard")
    crawl.seed(f"{A}%7ep")
    uri = ask(crawl, f"{A}~p").uri
    assert (uri.state, uri.summary) == ("queued", f"waits for its turn; known as {A}%7ep, the same page")


# -- why it waits


def test_given_a_uri_behind_others_then_it_tells_how_many_and_the_earliest_time(clock):
    crawl = Crawl(clock, delay=2.0)
    crawl.seed(*pages("a.example", range(5)))
    crawl.one()
    uri = ask(crawl, f"{A}3").uri
    until = rfc3339(clock.now() + 2)
    assert waits(uri) == [
        ("delay", "its host rests: politeness: the delay after its last fetch", until),
        ("connections", "all 1 connections to its host are in use (politeness.per_host)", ""),
        ("queue", "2 of its host's URIs come before it", "")]
    assert uri.next_at == rfc3339(clock.now() + 2 + 2 * 2)


def test_given_a_connection_of_a_silent_worker_then_it_says_so(clock):
    crawl = Crawl(clock)
    crawl.seed(A, f"{A}b")
    crawl.one()
    crawl.frontier.release("w", hold=6.0)
    crawl.commit()
    assert waits(ask(crawl, A).uri) == [
        ("connections", "all 1 connections to its host are in use (politeness.per_host), "
                        "maybe still by a worker that fell silent", "")]


def test_given_very_many_uris_before_it_then_they_are_counted_up_to_a_bound(clock):
    crawl = Crawl(clock)
    crawl.seed(*pages("a.example", range(1100)))
    assert waits(ask(crawl, f"{A}1099").uri) == [("queue", "1,000 or more of its host's URIs come before it", "")]


@pytest.mark.parametrize(("troubles", "text"), [
    (1, "its host rests: back-off after `connect`"),
    (3, "its host rests: back-off after 3 troubles in a row, the last one `connect`")])
def test_given_a_host_in_trouble_then_its_uris_wait_for_its_back_off(clock, troubles, text):
    crawl = Crawl(clock, retry={"attempts": {}}, politeness={"backoff": 10.0})
    crawl.seed(*pages("a.example", range(5)))
    for _ in range(troubles):
        clock.advance(100)
        crawl.fail(crawl.one(), ErrorKind.CONNECT)
    until = rfc3339(clock.now() + 10 * 2 ** (troubles - 1))
    answer = ask(crawl, f"{A}4")
    assert waits(answer.uri)[0] == ("back-off", text, until)
    assert (answer.host.errors, answer.host.last_error) == (troubles, "connect")
    assert answer.uri.next_at == until or troubles == 1


def test_given_a_server_that_asked_for_time_then_that_is_told(clock):
    crawl = Crawl(clock, politeness={"backoff": 1.0})
    crawl.seed(A, f"{A}b")
    crawl.fail(crawl.one(), ErrorKind.HTTP_429, status=429, retry_after=900.0)
    until = rfc3339(clock.now() + 900)
    assert waits(ask(crawl, f"{A}b").uri) == [
        ("retry-after", "its host rests: the server asked for it (Retry-After) with `http-429`", until)]
    uri = ask(crawl, A).uri
    assert (uri.state, uri.next_at) == ("scheduled", until)
    assert waits(uri)[0] == (
        "retry", "retry 1 of 5 after `http-429`, not before the server asked for it (Retry-After)", until)


def test_given_a_scheduled_retry_then_it_tells_which_one_and_when_and_how_the_last_try_ended(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.fail(crawl.one("w7"), ErrorKind.RESET, worker="w7")
    uri = ask(crawl, A).uri
    due = rfc3339(clock.now() + 5)
    assert (uri.state, uri.summary, uri.attempt) == ("scheduled", "waits for its time", 1)
    assert (uri.reason, uri.worker, uri.last_at) == ("reset", "w7", rfc3339(clock.now()))
    assert uri.reason_words == "the connection broke before the answer's end"
    assert waits(uri)[0] == ("retry", "retry 1 of 3 after `reset`", due)
    assert uri.next_at == due


def test_given_a_host_that_rests_for_longer_than_the_retry_then_both_are_told_and_the_later_time_counts(clock):
    crawl = Crawl(clock, politeness={"backoff": 60.0})
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.RESET)
    uri = ask(crawl, A).uri
    assert kinds(uri) == ["retry", "back-off"]
    assert uri.next_at == rfc3339(clock.now() + 60)


def test_given_a_uri_that_a_worker_died_on_then_its_second_try_says_so(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    crawl.one("w1")
    crawl.frontier.release("w1")
    crawl.frontier.strike("w1", crawl.key(A), "it hung for 60 s")
    crawl.commit()
    uri = ask(crawl, A).uri
    assert waits(uri)[0] == ("retry", "it is tried again after a worker died on it (it hung for 60 s)",
                             rfc3339(clock.now() + 5))
    assert (uri.strikes, uri.worker) == (1, "w1")


def test_given_a_host_without_a_place_in_memory_then_it_tells_how_many_wait_before_it(clock):
    crawl = Crawl(clock, frontier={"active_queues": 1})
    crawl.seed(A)
    for host in "bcd":
        clock.advance(1)
        crawl.seed(f"http://{host}.example/")
    answer = ask(crawl, "http://d.example/")
    assert waits(answer.uri) == [
        ("place", "its host waits for a place in memory, 2 hosts before it (frontier.active_queues is 1)", "")]
    assert (answer.uri.next_at, answer.host.is_active) == ("", False)
    assert ask(crawl, A).host.is_active


def test_given_a_host_whose_budget_is_spent_then_it_lets_others_go_first(clock):
    crawl = Crawl(clock, per_host=2, frontier={"active_queues": 1, "queue_budget": 1})
    crawl.seed(*pages("a.example", range(4)))
    crawl.seed("http://b.example/")
    first, _ = crawl.lease(2)
    crawl.frontier.settle("w", [crawl.outcome(first)])
    crawl.commit()
    answer = ask(crawl, f"{A}2")
    assert waits(answer.uri) == [
        ("budget", "its host has spent its budget of 1 pages (frontier.queue_budget) and lets others go first", "")]
    assert (answer.host.spent, answer.host.budget) == (1, 1)


@pytest.mark.parametrize(("figures", "cause"), [
    ({"trouble": "no space left on device"}, ("disk", "the frontier can't be written: no space left on device", "")),
    ({"low_disk": "3 MB are free"}, ("disk", "nothing more is fetched: 3 MB are free", "")),
    ({"held": "asked to stop"}, ("held", "the crawl is held: asked to stop", "")),
    ({"is_limit_reached": True}, ("limit", "the page limit is reached (limits.pages)", "")),
    ({"is_in_grace": True},
     ("grace", "the master waits for the outcomes of workers that the last master knew", "")),
    ({"workers": 0, "ready": 0, "free": 0},
     ("no-worker", "no worker is there: `spyder start worker` starts one", "")),
    ({"workers": 3, "ready": 0, "free": 0}, ("not-ready", "3 workers are there and none ready", "")),
    ({"free": 0, "troubles": {"w": "its disk is full"}}, ("workers", "workers take nothing: w: its disk is full", "")),
    ({"free": 0}, ("slots", "no worker has a free slot", ""))])
@pytest.mark.parametrize("state", ["queued", "scheduled"])
def test_given_a_crawl_that_gives_nothing_out_then_its_uris_tell_why_and_no_time(clock, figures, cause, state):
    crawl = Crawl(clock)
    crawl.seed(A)
    if state == "scheduled":
        crawl.fail(crawl.one(), ErrorKind.TRUNCATED)
    answer = ask(crawl, A, **figures)
    assert answer.uri.state == state
    assert cause in waits(answer.uri)
    if state == "queued":
        assert (answer.uri.next_at, answer.host.next_at, answer.host.next_url) == ("", "", A)
    assert cause in waits(answer.host)


def test_given_no_master_then_that_is_the_first_cause_and_a_note(clock):
    crawl = Crawl(clock, pages=1)
    crawl.seed(A, f"{A}b")
    crawl.ok(crawl.one())
    answer = ask(crawl, f"{A}b", live=False)
    assert waits(answer.uri) == [("no-master", "no master is running", ""),
                                 ("limit", "the page limit is reached (limits.pages)", "")]
    assert not answer.is_live
    assert answer.notes == ("no master answers: this is what its last commit left",)
    assert ask(crawl, f"{A}b").notes == ()


# -- which rule keeps it out


@pytest.mark.parametrize(("scope", "url", "rule", "words"), [
    ({"exclude": [r"\.pdf$"]}, f"{A}x.pdf", "exclude", r"it matches '\\.pdf$' of scope.exclude"),
    ({"include": ["/docs/"]}, f"{A}x", "include", "it matches none of scope.include: '/docs/'"),
    ({"max_url_length": 20}, f"{A}{'x' * 20}", "url-length",
     "it has 37 characters, more than scope.max_url_length (20)"),
    ({}, "http://a.example:81/", "host",
     "its host a.example:81 is none of the seeds' (scope.mode is host); in scope: a.example, b.example"),
    ({"mode": "domain"}, "http://c.other/", "domain",
     "its registered domain c.other is none of the seeds' (scope.mode is domain); in scope: a.example, b.example")])
def test_given_a_url_that_a_rule_keeps_out_then_the_rule_is_told_and_how_to_have_it_all_the_same(
        clock, scope, url, rule, words):
    crawl = Crawl(clock)
    crawl.seed(A, "http://b.example/")
    uri = ask(crawl, url, scope=scope).uri
    assert (uri.state, uri.rule) == ("unknown", rule)
    assert uri.summary == f"not in the frontier, and a link to it is left out: {words}"
    assert uri.advice == f"`spyder seed {url}` has it crawled all the same: a seed is always in scope"


def test_given_a_domain_of_the_seeds_then_its_hosts_are_in_scope_and_others_not(clock):
    crawl = Crawl(clock, mode="domain")
    crawl.seed("http://www.example.org/")
    assert ask(crawl, "http://docs.example.org/").uri.rule == ""
    assert ask(crawl, "http://docs.example.net/").uri.summary.endswith("; in scope: example.org")


def test_given_many_hosts_in_scope_then_a_few_are_named(clock):
    crawl = Crawl(clock)
    crawl.seed(*(f"http://{letter}.example/" for letter in "abcdefgh"))
    summary = ask(crawl, "http://z.example/").uri.summary
    assert summary.endswith("; in scope: a.example, b.example, c.example, d.example, e.example and 3 more")


@pytest.mark.parametrize("url", ["ftp://a.example/x", "mailto:a@b.example", "javascript:void(0)"])
def test_given_a_url_that_is_never_crawled_then_its_scheme_is_the_rule(clock, url):
    crawl = Crawl(clock)
    crawl.seed(A)
    answer = ask(crawl, url)
    assert (answer.uri.rule, answer.uri.key, answer.uri.advice, answer.host) == ("scheme", "", "", None)
    assert answer.uri.summary == "not in the frontier: only http:// and https:// are crawled"


@pytest.mark.parametrize(("scope", "within"), [({}, ""), ({"depth": 3}, " up to 3 links from a seed (scope.depth)")])
def test_given_a_url_that_nobody_linked_to_then_it_is_not_discovered_and_in_scope(clock, scope, within):
    crawl = Crawl(clock)
    crawl.seed(A)
    uri = ask(crawl, f"{A}new", scope=scope).uri
    assert (uri.state, uri.rule) == ("unknown", "")
    assert uri.summary == f"not discovered yet: it is in scope{within}, and no page that was read links to it"
    assert uri.advice == f"`spyder seed {A}new` adds it"


def test_given_no_master_and_an_unknown_url_then_it_is_said_whose_rules_are_judged(clock):
    crawl = Crawl(clock, mode="any")
    crawl.seed(A)
    assert ask(crawl, "http://new.example/", live=False).notes[1].startswith("rules are judged by the settings given")


# -- a host


@pytest.mark.parametrize("name", ["a.example:8080", "A.Example:8080", "a.example"])
def test_given_a_host_with_or_without_its_port_then_it_is_found(clock, name):
    crawl = Crawl(clock)
    crawl.seed("http://a.example:8080/x", "http://b.example/")
    answer = ask(crawl, name)
    assert answer.uri is None
    assert (answer.host.host, answer.host.queued, answer.host.key) == (
        "a.example:8080", 1, crawl.key("http://a.example:8080/")[:HOST_BYTES].hex())
    assert (answer.host.next_url, answer.host.next_at) == ("http://a.example:8080/x", rfc3339(clock.now()))


@pytest.mark.parametrize("name", ["s.example", "s.example:443"])
def test_given_a_host_of_https_then_its_default_port_is_none(clock, name):
    crawl = Crawl(clock)
    crawl.seed("https://s.example/")
    assert ask(crawl, name).host.host == "s.example"


def test_given_a_name_with_several_ports_then_one_is_asked_for(clock):
    crawl = Crawl(clock)
    crawl.seed("http://a.example:8081/", "http://a.example:8080/")
    with pytest.raises(SpyderError, match=r"knows a\.example with 2 ports: name one, as `a\.example:8080`"):
        ask(crawl, "a.example")


@pytest.mark.parametrize(("name", "hint"), [("exampel.org", "; did you mean `example.org`?"), ("zzz", "")])
def test_given_a_host_that_nobody_knows_then_the_nearest_is_named(clock, name, hint):
    crawl = Crawl(clock)
    crawl.seed("http://example.org/")
    with pytest.raises(SpyderError) as error:
        ask(crawl, name)
    assert str(error.value) == f"the frontier knows no host `{name}`{hint}"


def test_given_a_queue_of_a_domain_then_each_of_its_hosts_leads_there(clock):
    crawl = Crawl(clock, assignment="domain")
    crawl.seed("http://www.example.org/", "http://docs.example.org/")
    assert ask(crawl, "docs.example.org").host.host == "example.org"
    assert ask(crawl, "example.org").host.queued == 2


def test_given_a_host_with_nothing_but_retries_then_the_next_one_is_told(clock):
    crawl = Crawl(clock)
    crawl.seed(A, f"{A}b", "http://b.example/")
    for uri in crawl.lease():
        crawl.fail(uri, ErrorKind.TRUNCATED)
    clock.advance(1)
    crawl.fail(crawl.one(), ErrorKind.TRUNCATED)
    host = ask(crawl, "a.example").host
    assert (host.queued, host.scheduled, host.is_active) == (0, 2, False)
    assert waits(host) == [("retry", "its next retry waits for its time", rfc3339(clock.now() + 4))]
    assert (host.next_url, host.next_at) == (A, rfc3339(clock.now() + 4))


def test_given_a_host_whose_first_uri_is_leased_then_the_next_one_is_told(clock):
    crawl = Crawl(clock, per_host=2)
    crawl.seed(*pages("a.example", range(3)))
    crawl.one()
    host = ask(crawl, "a.example").host
    assert (host.queued, host.leased, host.next_url) == (2, 1, f"{A}1")


def test_given_a_settled_host_then_it_waits_for_nothing(clock):
    crawl = Crawl(clock, delay=5.0)
    crawl.seed(A)
    crawl.fail(crawl.one(), ErrorKind.HTTP_4XX, status=404)
    host = ask(crawl, "a.example").host
    assert (host.queued, host.settled, host.failed, host.waits, host.next_at) == (0, 1, 1, (), "")


# -- what is asked


@pytest.mark.parametrize("text", ["http://[", "a b", "", "https://", "://x"])
def test_given_what_is_neither_url_nor_host_then_it_is_refused_in_one_line(text):
    with pytest.raises(UrlError) as error:
        read_subject(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "href"), [
    ("https://a.example/x#y", "https://a.example/x"), (" a.example/x ", "http://a.example/x"),
    ("a.example?q", "http://a.example/?q")])
def test_given_a_scheme_or_a_path_then_it_is_a_url(text, href):
    subject = read_subject(text)
    assert subject.href == href


@pytest.mark.parametrize("text", ["a.example", "localhost:8000", "[::1]:80", "127.0.0.1"])
def test_given_neither_then_it_is_a_host(text):
    assert read_subject(text) == text


def test_given_another_project_name_then_the_only_project_is_meant(clock):
    crawl = Crawl(clock)
    crawl.seed(A)
    settings = load(environ={}, overrides={"project.name": "other"})
    assert explain(A, store=crawl.store, settings=settings, now=clock.now()).project == "default"


def test_given_an_empty_store_then_it_says_so(clock):
    with pytest.raises(StoreError, match="the frontier has no project `default`; known: none"):
        explain(A, store=MemoryStore(), settings=load(environ={}), now=clock.now())


def test_every_kind_of_error_has_words():
    assert set(ERROR_WORDS) == set(ErrorKind)
    assert all(ERROR_WORDS.values())


# -- what must be known of an origin first


def test_given_a_host_whose_robots_txt_can_not_be_had_then_the_answer_says_so_and_until_when(clock):
    crawl = Crawl(clock, robots={"policy": "obey"}, retry={"delay": {"http-5xx": 30.0}}, politeness={"backoff": 0.0})
    crawl.seed("http://192.0.2.1/")
    settings = load(environ={})
    answer = explain("http://192.0.2.1/", store=crawl.store, settings=settings, now=clock.now())
    assert "robots-first" in [cause.kind for cause in answer.uri.waits]
    crawl.fail(crawl.one(), ErrorKind.HTTP_5XX, status=503)
    clock.advance(5)
    answer = explain("http://192.0.2.1/", store=crawl.store, settings=settings, now=clock.now())
    cause = next(cause for cause in answer.uri.waits if cause.kind == "robots")
    assert "status 503" in cause.text
    assert cause.until


def test_given_rules_that_forbid_a_queued_url_then_the_answer_names_the_rule(clock):
    crawl = Crawl(clock, robots={"policy": "obey"}, per_host=9)
    crawl.seed("http://192.0.2.1/", "http://192.0.2.1/private/1")
    crawl.ok(crawl.one(), robots=RobotsRules(disallow=("/private",)))
    settings = load(environ={})
    answer = explain("http://192.0.2.1/private/1", store=crawl.store, settings=settings, now=clock.now())
    assert "robots.txt forbids it (disallow: /private)" in answer.uri.summary
    crawl.lease()
    crawl.turn()
    answer = explain("http://192.0.2.1/private/1", store=crawl.store, settings=settings, now=clock.now())
    assert answer.uri.state == "excluded"
    assert "disallow: /private" in answer.uri.reason_words


def test_given_a_host_that_was_given_up_then_the_answer_says_so(clock):
    crawl = Crawl(clock, politeness={"park_after": 1, "park_looks": 0}, retry={"attempts": {}})
    crawl.seed(A, A + "1")
    crawl.fail(crawl.one(), ErrorKind.CONNECT, status=0)
    answer = explain(A + "1", store=crawl.store, settings=load(environ={}), now=clock.now())
    assert "given-up" in [cause.kind for cause in answer.uri.waits]
