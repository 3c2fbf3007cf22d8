"""``spyder requeue`` on a running master, and on a finished crawl."""

import json

from commands import PAGES, wait_until

ERRORS = PAGES + 1  # pages that are linked and not there: 40 to 80


def test_failed_uris_are_requeued_on_a_running_master(spyder, cluster, site):
    """Given a master at rest, when what has failed is requeued, then just that is fetched once more."""
    file = cluster()
    master = spyder.start("start", "all", "--settings", file)
    master.stdout.readline()
    wait_until(lambda: spyder.status("--settings", file)["books"]["failed"] == ERRORS)
    before = list(site.hits)

    code, out, err = spyder.run("requeue", "--state", "failed", "--reason", "http-4xx", "--settings", file)
    assert (code, out, err) == (0, f"{ERRORS} requeued\n", "")
    figures = wait_until(lambda: (found := spyder.status("--settings", file))["counts"].get("requeued")
                         and len(site.hits) == len(before) + ERRORS and not found["books"]["queued"] and found)
    assert figures["is_balanced"]
    assert (figures["books"]["done"], figures["books"]["failed"]) == (PAGES, ERRORS)
    assert sorted(site.hits[len(before):]) == sorted(f"/{number}" for number in range(PAGES, PAGES + ERRORS))

    code, out, err = spyder.run("requeue", f"{site.url}41", f"{site.url}7", f"{site.url}nobody", "--settings", file)
    assert (code, out) == (0, "1 requeued\n")
    assert err == (f"spyder: not in the frontier: {site.url}nobody\n"
                   f"spyder: not requeued: {site.url}7 is done, and that was not asked for\n")
    code, _, err = spyder.run("requeue", "--host", "nobody.example", "--settings", file)
    assert (code, err.count("\n")) == (1, 1)
    assert "the frontier knows no host `nobody.example`" in err
    code, out, _ = spyder.run("frontier", "check", "out")
    assert (code, out.startswith("default: balanced: ")) == (0, True)


def test_a_finished_crawl_is_given_work_again(spyder, site):
    """Given a finished crawl, when URIs are requeued without a master, then the same command fetches just these."""
    crawl = ("crawl", site.url, "--delay", "0", "--output", "mine", "--json")
    assert spyder.run(*crawl)[0] == 0
    del site.hits[:]

    code, out, _ = spyder.run("requeue", "--state", "failed", "--all", "--output", "mine")
    assert (code, out) == (0, f"{ERRORS} requeued; the next start goes on with them\n")
    code, out, _ = spyder.run("frontier", "check", "mine")
    assert (code, f"{ERRORS} queued" in out) == (0, True)
    code, out, _ = spyder.run(*crawl)
    assert (code, json.loads(out)["fetches"], json.loads(out)["failed"]) == (0, ERRORS, ERRORS)
    assert sorted(site.hits) == sorted(f"/{number}" for number in range(PAGES, PAGES + ERRORS))
    assert spyder.run("frontier", "check", "mine")[0] == 0
