"""``spyder scope``: rules that are edited while a crawl runs, and what is said of them without one."""

import json
import signal

from commands import wait_until


def verdicts(spyder, file, *urls):
    code, out, err = spyder.run("scope", "test", "--json", "--settings", file, *urls)
    assert code == 0, err
    return {verdict["url"]: (verdict["accepted"], verdict["rule"]) for verdict in json.loads(out)}


def test_rules_are_edited_while_a_crawl_runs_and_survive_a_restart(spyder, cluster, site):
    """Given a master at rest, when a rule is added, then links are judged by it, also after a restart, until reset."""
    file = cluster(scope="{exclude: ['/2$'], rules: [{name: late, reject: {regex: '/[0-9]{2}$'}}]}")
    master = spyder.start("start", "all", "--settings", file)
    master.stdout.readline()
    idle = lambda: (found := spyder.status("--settings", file))["books"]["done"] and not (  # noqa: E731
        found["books"]["queued"] or found["leased"]) and found
    figures = wait_until(idle)
    assert figures["books"]["done"] == 7  # 0, 1, 3, 4, 7, 8, 9: neither 2 nor what is below it, nor two digits
    assert figures["counts"]["left_out/exclude"] >= 1
    assert figures["counts"]["left_out/late"] >= 1

    code, out, err = spyder.run("scope", "set", "--settings", file, "nothing.yaml")
    assert (code, "nothing.yaml: can't be read" in err) == (2, True)
    code, out, err = spyder.run("scope", "add", "--name", "x", "--reject", "hosst: a", "--settings", file)
    assert (code, "`reject.hosst`: there is no such condition; did you mean `host`?" in err) == (1, True), err
    code, out, err = spyder.run("scope", "remove", "exclude", "--settings", file)
    assert (code, "is a rule of Spyder's own" in err) == (2, True)
    code, out, err = spyder.run("scope", "remove", "late", "--settings", file)
    assert (code, out) == (0, "rules of the scope, version 1, edited: none\n"), err
    code, out, err = spyder.run("scope", "add", "--name", "two", "--accept", "regex: '/2$'", "--settings", file)
    assert (code, out) == (0, "rules of the scope, version 2, edited: two\n"), err
    assert verdicts(spyder, file, f"{site.url}2", f"{site.url}17", "http://other.example/") == {
        f"{site.url}2": (True, "two"), f"{site.url}17": (True, "seeds"), "http://other.example/": (False, "host")}

    code, _, err = spyder.run("seed", "--settings", file, f"{site.url}2")
    assert code == 0, err
    wait_until(lambda: (found := idle()) and found["books"]["done"] == 7 + 15 and found,
               "what 2 leads to, 5 and 6, 11 to 14 and 23 to 30, is in scope now")
    assert "/12" in site.hits  # against scope.exclude
    code, out, _ = spyder.run("explain", "--settings", file, f"{site.url}x/x/x/x")
    assert (code, "its path repeats itself, more than traps.segment_repeats (3)" in " ".join(out.split())) == (0, True)

    assert spyder.end(master, signal.SIGTERM)[0] == 0
    assert verdicts(spyder, file, f"{site.url}2") == {f"{site.url}2": (True, "two")}  # without a master, as it was left
    master = spyder.start("start", "all", "--settings", file)
    master.stdout.readline()
    wait_until(lambda: spyder.status("--settings", file)["workers"])
    assert verdicts(spyder, file, f"{site.url}2") == {f"{site.url}2": (True, "two")}
    code, out, err = spyder.run("scope", "reset", "--settings", file)
    assert (code, out) == (0, "rules of the scope, version 3, those of the settings: late\n"), err
    assert verdicts(spyder, file, f"{site.url}2") == {f"{site.url}2": (False, "exclude")}
    assert spyder.end(master, signal.SIGTERM)[0] == 0


def test_rules_are_shown_and_tested_without_a_master(spyder, cluster):
    file = cluster(scope="{mode: domain, rules: [{name: ban, reject: {host: '*.bad.example'}}]}",
                   project="{seeds: ['http://www.good.example/']}")
    code, out, _ = spyder.run("scope", "show", "--settings", file)
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[1:4]] == ["domain", "seeds", "ban"]
    assert out.splitlines()[-1] == "no master answers: these are the rules that it would begin with"
    assert verdicts(spyder, file, "http://x.good.example/", "http://x.bad.example/") == {
        "http://x.good.example/": (True, "seeds"), "http://x.bad.example/": (False, "ban")}
    code, out, err = spyder.run("scope", "add", "--name", "x", "--reject", "any", "--settings", file)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "no master answers" in err
