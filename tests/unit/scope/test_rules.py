"""Rules of a scope: which one decides, what a worker can't know, and what is refused."""

import itertools

import pytest

from spyder.errors import SettingsError
from spyder.model.domain import registered_domain
from spyder.model.scoping import HostScoping, Verdict, embeds_after
from spyder.model.states import ErrorKind, LinkKind
from spyder.scope.rules import LinkScope, read_lists
from spyder.settings import ScopeSection, TrapsSection, read_rules

SEED = "www.seed.example"


def rule(name, *, accept=None, reject=None):
    return {"name": name, "accept": accept} if accept is not None else {"name": name, "reject": reject}


def make(*rules, lists=None, is_master=True, **section):
    """A scope of *rules* as they are written in settings, with one seed."""
    scope = LinkScope(ScopeSection(rules=read_rules(list(rules), "test"), **section), lists=lists)
    if is_master:
        scoping = HostScoping(scope._settings.mode)
        scope.bind(lambda href: scoping.name_of(href.split("/")[2]) == scoping.name_of(SEED))
    return scope


def decision(scope, href, depth=1, embeds=0):
    verdict = scope.judge(href, depth, embeds)
    return verdict.accepted, verdict.rule


# -- the keys of the settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("section", "href", "depth", "expected"), [
    ({}, f"http://{SEED}/", 0, (True, "seeds")),
    ({}, f"https://{SEED}/a", 99, (True, "seeds")),
    ({}, "http://other.example/", 1, (False, "host")),
    ({"mode": "domain"}, "http://docs.seed.example/", 1, (True, "seeds")),
    ({"mode": "domain"}, "http://other.example/", 1, (False, "domain")),
    ({"mode": "any"}, "http://other.example/", 1, (True, "any")),
    ({}, f"ftp://{SEED}/", 0, (False, "scheme")),
    ({"max_url_length": 26}, f"http://{SEED}/abc", 0, (False, "url-length")),
    ({"max_url_length": 27}, f"http://{SEED}/abc", 0, (True, "seeds")),
    ({"depth": 2}, f"http://{SEED}/", 2, (True, "seeds")),
    ({"depth": 2}, f"http://{SEED}/", 3, (False, "depth")),
    ({"depth": 0}, f"http://{SEED}/", 1, (False, "depth")),
    ({"exclude": (r"\.pdf$", "/private/")}, f"http://{SEED}/private/x", 1, (False, "exclude")),
    ({"exclude": (r"\.pdf$",)}, f"http://{SEED}/a.pdf?x", 1, (True, "seeds")),
    ({"include": ("/docs/", "/blog/")}, f"http://{SEED}/blog/x", 0, (True, "seeds")),
    ({"include": ("/docs/",)}, f"http://{SEED}/shop/", 0, (False, "include")),
    ({"include": ("/docs/",)}, "http://other.example/docs/", 0, (False, "host")),
    ({"include": ("/docs/",), "exclude": ("/docs/old",)}, f"http://{SEED}/docs/old", 0, (False, "exclude"))])
def test_keys_of_the_settings_are_rules_in_their_documented_order(section, href, depth, expected):
    assert decision(make(**section), href, depth) == expected


@pytest.mark.parametrize(("section", "href", "depth", "words"), [
    ({}, "ftp://h/", 0, "only http:// and https:// are crawled"),
    ({"max_url_length": 10}, "http://h/ab", 0, "it has 11 characters, more than scope.max_url_length (10)"),
    ({"depth": 2}, "http://h/", 3, "it is 3 links from a seed, more than scope.depth (2)"),
    ({"exclude": ("/x/", r"\.pdf$")}, "http://h/a.pdf", 1, r"it matches '\\.pdf$' of scope.exclude"),
    ({"include": ("/docs/", "/blog/")}, "http://h/shop/", 0, "it matches none of scope.include: '/docs/', '/blog/'"),
    ({}, "http://h:8/", 0, "its host h:8 is none of the seeds' (scope.mode is host)"),
    ({"mode": "domain"}, f"http://{SEED}/", 0, "it is on a domain of the seeds (scope.mode)"),
    ({"mode": "any"}, "http://h/", 0, "every host is in scope (scope.mode)"),
    ({}, f"http://{SEED}/a/a/a/a", 0,
     "its path repeats itself, more than traps.segment_repeats (3) or traps.sequence_repeats (2) allow")])
def test_deciding_rule_is_told_in_words_with_its_setting(section, href, depth, words):
    scope = make(**section)
    assert scope.words(scope.judge(href, depth).rule, href, depth) == words


def test_all_rules_are_shown_in_the_order_in_which_they_are_judged():
    scope = make(rule("a", accept={"host": "a.example"}), "limits", rule("b", reject={"depth": 3, "scheme": "http"}),
                 include=("x",), exclude=("y",), depth=5)
    traps = ["path-depth", "repeating-segments", "calendar", "session-id", "query-permutations", "nested-escapes"]
    assert [view.name for view in scope.views] == [
        "host", "seeds", "include", "exclude", "a", "depth", "url-length", *traps, "b", "scheme"]
    shown = {view.name: (view.decision, view.condition, view.origin) for view in scope.views}
    assert shown["a"] == ("accept", "host a.example", "scope.rules")
    assert shown["b"] == ("reject", "scheme http, more than 3 links from a seed", "scope.rules")


def test_what_is_switched_off_is_no_rule():
    off = TrapsSection(path_depth=None, segment_repeats=None, sequence_repeats=None, calendar_years=None,
                       session_ids=None, parameters=None, parameter_repeats=None, escapes=None)
    scope = LinkScope(ScopeSection(mode="any"), off, now=1.8e9)
    assert [view.name for view in scope.views] == ["any", "url-length", "scheme"]
    wild = "http://h/" + "a/b/" * 30 + "2099-01-01/;jsessionid=1/;jsessionid=2?" + "a=1&" * 100 + "%25252525"
    assert scope.judge(wild, 1) == Verdict(accepted=True, rule="any")


# -- rules of one's own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("condition", "holds", "not_holds"), [
    ({"regex": r"\?page=\d+$"}, "http://h/x?page=12", "http://h/x?page=a"),
    ({"regex": ["^http://a/", "b$"]}, "http://a/x", "http://c/a"),
    ({"regex": ["(x)\\1", "(?i)ABC", "q"]}, "http://h/abc", "http://h/x"),
    ({"regex": ["(x)\\1", "(?i)ABC", "q"]}, "http://h/xx", "http://h/xyx"),
    ({"host": "A.Example"}, "http://a.example:81/x", "http://b.a.example/"),
    ({"host": "a.example:81"}, "http://a.example:81/x", "http://a.example/"),
    ({"host": "*.example.org"}, "https://x.y.example.org/", "https://example.org/"),
    ({"host": ["*.a", "b.*"]}, "http://b.x/", "http://a/"),
    ({"host": "10.0.0.*"}, "http://10.0.0.7:80/", "http://10.0.1.7/"),
    ({"host": "[::1]"}, "http://[::1]:81/", "http://[::2]/"),
    ({"host": "bücher.example"}, "http://xn--bcher-kva.example/", "http://bcher.example/"),
    ({"domain": "example.org"}, "http://a.b.example.org/", "http://notexample.org/"),
    ({"domain": "example.org"}, "http://example.org:8080/", "http://example.org.evil.example/"),
    ({"domain": "docs.example.org"}, "http://x.docs.example.org/", "http://www.example.org/"),
    ({"surt": "http://(org,example,"}, "https://www.example.org/x", "http://example.com/"),
    ({"surt": "https://example.org/docs/"}, "http://example.org/docs/a", "http://example.org/blog/"),
    ({"surt": ["example.org", "+http://(com,b,)/x", "+http://(com,b,)/xyz"]}, "http://b.com/xa", "http://b.com/y"),
    ({"path_depth": 2}, "http://h/a/b/c", "http://h/a/b/?x=/c/d"),
    ({"path_depth": 0}, "http://h/a", "http://h/"),
    ({"query_length": 3}, "http://h/?abcd", "http://h/abcd?abc"),
    ({"query_length": 0}, "http://h/?a", "http://h/a?"),
    ({"url_length": 9}, "http://h/a", "http://h/"),
    ({"scheme": "https"}, "https://h/", "http://h/"),
    ({"scheme": ["https", "http"]}, "http://h/", "ftp://h/"),
    ({"host": "h", "query_length": 0}, "http://h/?a", "http://i/?a"),
    ("any", "http://h/", "ftp://h/")])
def test_condition_holds_for_the_one_and_not_for_the_other(condition, holds, not_holds):
    scope = make(rule("x", accept=condition))
    assert decision(scope, holds) == (True, "x")
    assert scope.judge(not_holds, 1).rule != "x"


def test_depth_and_embedding_are_conditions():
    scope = make(rule("far", reject={"depth": 3}), rule("parts", accept={"embeds": 2}))
    assert decision(scope, f"http://{SEED}/", 3) == (True, "seeds")
    assert decision(scope, f"http://{SEED}/", 4) == (False, "far")
    assert decision(scope, "http://cdn.example/x.css", 4, 1) == (True, "parts")
    assert decision(scope, "http://cdn.example/x.css", 4, 2) == (True, "parts")
    assert decision(scope, "http://cdn.example/x.css", 4, 3) == (False, "far")


@pytest.mark.parametrize(("kind", "before", "after"), [
    (LinkKind.EMBED, 0, 1), (LinkKind.EMBED, 1, 2), (LinkKind.REDIRECT, 2, 2), (LinkKind.NAVIGATION, 2, 0)])
def test_transclusion_hops_are_the_last_embedding_links_in_a_row(kind, before, after):
    assert embeds_after(kind, before) == after


def test_last_rule_that_holds_decides():
    rules = [rule("no", reject={"host": "a.example"}), rule("yes", accept={"regex": "/keep/"}),
             rule("never", reject={"regex": "/keep/not/"})]
    scope = make(*rules, mode="any")
    assert decision(scope, "http://a.example/") == (False, "no")
    assert decision(scope, "http://a.example/keep/") == (True, "yes")
    assert decision(scope, "http://a.example/keep/not/") == (False, "never")


def test_rules_of_ones_own_come_after_exclude_and_before_the_limits():
    keep = rule("keep", accept={"host": "a.example"})
    scope = make(keep, exclude=("/x/",), depth=2)
    assert decision(scope, "http://a.example/x/") == (True, "keep")
    assert decision(scope, "http://a.example/x/", 3) == (False, "depth")
    assert decision(scope, "http://a.example/x/x/x/x/") == (False, "repeating-segments")


def test_rules_behind_the_limits_win_over_traps_but_not_over_the_scheme():
    scope = make("limits", rule("keep", accept={"regex": "a.example"}), depth=2)
    assert decision(scope, "http://a.example/x/x/x/x/", 9) == (True, "keep")
    assert scope.admits("http://a.example/x/x/x/x/", 9)
    assert decision(scope, "ftp://a.example/") == (False, "scheme")


def test_verdict_says_which_kind_of_error_a_queued_uri_would_have():
    scope = make(rule("no", reject={"host": SEED}))
    assert scope.judge(f"http://{SEED}/", 1).kind is ErrorKind.SCOPE
    assert scope.judge(f"http://{SEED}/", 1).reason == "scope: no"
    assert scope.judge(f"http://{SEED}/a/a/a/a/", 1).reason == "trap: repeating-segments"


# -- what only the master knows --------------------------------------------------------------------------------------


def test_worker_passes_on_what_depends_on_seeds_and_decides_the_rest():
    scope = make(rule("no", reject={"host": "bad.example"}), rule("yes", accept={"host": "good.example"}),
                 is_master=False)
    assert decision(scope, "http://unknown.example/") == (None, "seeds")
    assert scope.refusal("http://unknown.example/", 1) == ""
    assert decision(scope, "http://bad.example/") == (False, "no")
    assert scope.refusal("http://bad.example/", 1) == "no"
    assert decision(scope, "http://good.example/") == (True, "yes")


def test_worker_decides_when_what_it_does_not_know_makes_no_difference():
    closed = make(rule("none", reject={"any": True}), rule("again", accept={"seeds": True, "regex": "/x/"}),
                  is_master=False)
    assert decision(closed, "http://h/y") == (False, "none")
    assert decision(closed, "http://h/x/") == (None, "again")
    open_to_all = make(rule("listed", accept={"file": "l"}), mode="any", is_master=False)
    assert decision(open_to_all, "http://h/") == (True, "any")


def test_every_worker_verdict_agrees_with_the_master_or_leaves_it_open():
    conditions = [{"any": True}, {"seeds": True}, {"host": SEED}, {"file": "l"}, {"seeds": True, "regex": "/x"}]
    hrefs = [f"http://{SEED}/", f"http://{SEED}/x", "http://b.example/", "http://b.example/x"]
    for kinds in itertools.product(("accept", "reject"), repeat=2):
        for chosen in itertools.product(conditions, repeat=2):
            rules = [{"name": f"r{n}", kind: condition} for n, (kind, condition) in
                     enumerate(zip(kinds, chosen, strict=True))]
            master, worker = make(*rules, lists={"l": ["b.example"]}), make(*rules, is_master=False)
            for href in hrefs:
                known, guess = master.judge(href, 1), worker.judge(href, 1)
                assert known.accepted is not None
                assert guess.accepted in {None, known.accepted}, (rules, href)


# -- list files ------------------------------------------------------------------------------------------------------


def test_list_file_holds_hosts_domains_prefixes_and_expressions(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("""\ufeff# what we leave out
exact.example   # one host
*.glob.example
.domain.example
+http://(org,surt,
https://folder.example/docs/

~ \\.zip$
""")
    rules = read_rules([rule("no", reject={"file": str(path)})], "test")
    scope = LinkScope(ScopeSection(mode="any", rules=rules), lists=read_lists(rules))
    out = ["http://exact.example/", "http://a.glob.example/", "http://domain.example/", "http://x.domain.example:8/",
           "http://www.surt.org/x", "http://folder.example/docs/1", "http://any.example/x.zip"]
    inside = ["http://x.exact.example/", "http://glob.example/", "http://xdomain.example/", "http://surt.com/",
              "http://folder.example/", "http://any.example/x.zip?", "http://what.example/"]
    assert [scope.judge(href, 1).rule for href in out] == ["no"] * len(out)
    assert [scope.judge(href, 1).rule for href in inside] == ["any"] * len(inside)


@pytest.mark.parametrize(("line", "words"), [
    ("~ (x", "line 2: '~ (x' is no regular expression: missing ), unterminated subpattern at position 0"),
    ("a b", "line 2: 'a b' is no host: expected something like www.example.org or *.example.org"),
    (".*.example", "line 2: '*.example' is no domain: expected something like example.org"),
    ("+http://(org example", "line 2: ")])
def test_wrong_line_is_named_with_its_file(tmp_path, line, words):
    path = tmp_path / "list.txt"
    path.write_text(f"a.example\n{line}\n")
    rules = read_rules([rule("no", reject={"file": str(path)})], "test")
    with pytest.raises(SettingsError) as caught:
        LinkScope(ScopeSection(rules=rules), lists=read_lists(rules))
    assert str(caught.value).startswith(f"scope.rules: `no`: {path}, {words}")
    assert "\n" not in str(caught.value)


def test_list_file_that_is_not_there_is_named(tmp_path):
    rules = read_rules([rule("no", reject={"file": str(tmp_path / "none")})], "test")
    with pytest.raises(SettingsError, match=r"scope\.rules: `no`: .*none: can't be read: No such file"):
        read_lists(rules)


# -- content types ---------------------------------------------------------------------------------------------------


def test_content_type_is_judged_once_a_page_is_there():
    scope = make(rule("films", reject={"content_type": ["video/*", "Application/ZIP"]}),
                 rule("trailers", accept={"content_type": "video/*", "host": "t.example"}), mode="any")
    assert decision(scope, "http://h/x.mp4") == (True, "any")
    assert scope.refused_type("video/mp4", "http://h/x.mp4", 1) == "films"
    assert scope.refused_type("application/zip", "http://h/x", 1) == "films"
    assert scope.refused_type("text/html", "http://h/", 1) == ""
    assert scope.refused_type("video/mp4", "http://t.example/x.mp4", 1) == ""


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["include", "exclude"])
def test_expression_that_is_none_is_named(key):
    with pytest.raises(SettingsError, match=rf"scope\.{key}: '\(x' is no regular expression"):
        LinkScope(ScopeSection(**{key: ("fine", "(x")}))


@pytest.mark.parametrize(("condition", "words"), [
    ({"regex": "(x"}, "`regex`: '(x' is no regular expression: missing ), unterminated subpattern at position 0"),
    ({"host": "a b"}, "`host`: 'a b' is no host: expected something like www.example.org or *.example.org"),
    ({"host": "http://a/"}, "`host`: 'http://a/' is no host: expected something like www.example.org"),
    ({"domain": "*.a"}, "`domain`: '*.a' is no domain: expected something like example.org"),
    ({"scheme": "ftp"}, "`scheme` 'ftp': only http and https are crawled"),
    ({"surt": "http://(org example"}, "`surt`: "),
    ({"content_type": "a/b", "seeds": True}, "`content_type` is judged by workers, which know neither `seeds`")])
def test_condition_that_makes_no_sense_is_refused_in_one_line(condition, words):
    with pytest.raises(SettingsError) as caught:
        make(rule("r", reject=condition))
    assert str(caught.value).startswith(f"scope.rules: `r`: {words}"), caught.value


def test_seeds_are_no_condition_where_every_host_is_in_scope():
    with pytest.raises(SettingsError, match=r"`r`: `seeds` says nothing while scope\.mode is any"):
        make(rule("r", reject={"seeds": True}), mode="any")


@pytest.mark.parametrize(("mode", "host", "admitted"), [
    ("host", "www.example.co.uk", True), ("host", "example.co.uk", False), ("host", "www.example.co.uk:8080", False),
    ("domain", "example.co.uk", True), ("domain", "a.b.example.co.uk:8080", True), ("domain", "other.co.uk", False),
    ("any", "anything.example", True)])
def test_host_is_compared_with_the_seeds(mode, host, admitted):
    scoping = HostScoping(mode)
    seeds = {scoping.name_of("www.example.co.uk")}
    assert (scoping.name_of(host) in seeds) is admitted


@pytest.mark.parametrize(("host", "domain"), [
    ("docs.example.co.uk:81", "example.co.uk"), ("user.github.io", "github.io"), ("localhost:8000", "localhost"),
    ("127.0.0.1:80", "127.0.0.1"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("co.uk", "co.uk"),
    ("www.xn--bcher-kva.de", "xn--bcher-kva.de")])
def test_registered_domain(host, domain):
    assert registered_domain(host) == domain
