"""The generated site: every page is reached, sizes are as asked, and the same plan gives the same bytes."""

import pytest

from spyder.extract.html import read_html
from spyder.testsite.plan import PageWriter, SitePlan

PLANS = [SitePlan(), SitePlan(pages=997, hosts=13, links=7), SitePlan(pages=60, links=1), SitePlan(pages=1),
         SitePlan(pages=3, links=40), SitePlan(pages=50, hosts=50, links=5)]


def origins(plan):
    return tuple(f"http://127.0.0.{host + 1}:8000" for host in range(plan.hosts))


def reached(plan, seed):
    """The pages of the seed's host that links within the host lead to."""
    found, waiting = {seed}, [seed]
    for page in waiting:
        new = {target for target in plan.targets(page) if target % plan.hosts == seed} - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("plan", PLANS, ids=repr)
def test_every_page_is_reached_from_the_seed_of_its_host(plan):
    for host in range(plan.hosts):
        assert reached(plan, host) == set(range(host, plan.pages, plan.hosts))
        assert len(reached(plan, host)) == plan.pages_of(host)


@pytest.mark.parametrize("plan", PLANS, ids=repr)
def test_links_lead_to_other_pages_of_the_site_once_each(plan):
    for page in range(plan.pages):
        targets = plan.targets(page)
        assert page not in targets
        assert len(set(targets)) == len(targets) <= plan.links
        assert all(0 <= target < plan.pages for target in targets)


@pytest.mark.parametrize("plan", PLANS, ids=repr)
def test_paths_lead_back_to_their_pages(plan):
    for page in range(plan.pages):
        assert plan.page_at(page % plan.hosts, plan.path(page)) == page


@pytest.mark.parametrize("path", ["", "/x", "/section-0/page-1000.html", "/section-1/page-3.html", "/page-3.html",
                                  "/section-0/page-03.html", "/section-0/page-3.htm", "/section-0/page-²1.html"])
def test_other_paths_are_no_pages(path):
    assert SitePlan(pages=1000).page_at(0, path) is None


@pytest.mark.parametrize("size", [8000, 16_000, 450_000])
def test_a_page_has_the_bytes_and_the_links_that_were_asked_for(size):
    plan = SitePlan(pages=1000, hosts=3, size=size)
    write = PageWriter(plan, origins(plan))
    for page in (0, 1, 500, 999):
        body = write(page)
        found = read_html(body, url=f"{origins(plan)[page % 3]}{plan.path(page)}", content_type="text/html", limit=1000,
                          max_parse_size=1_000_000)
        assert len(body) == size
        assert found.title == f"Page {page}"
        assert list(found.links) == [origins(plan)[target % 3] + plan.path(target) for target in plan.targets(page)]


def test_a_page_too_small_for_its_links_is_as_long_as_these():
    plan = SitePlan(size=10)

    body = PageWriter(plan, origins(plan))(0)

    assert body.count(b"<a ") == len(plan.targets(0))
    assert body.endswith(b"</body></html>\n")


def test_the_same_plan_gives_the_same_site():
    plan = SitePlan(pages=30, hosts=2)

    first, second = PageWriter(plan, origins(plan)), PageWriter(plan, origins(plan))

    assert [first(page) for page in range(30)] == [second(page) for page in reversed(range(30))][::-1]


@pytest.mark.parametrize("wrong", [{"pages": 0}, {"pages": 2, "hosts": 3}, {"hosts": 0}, {"links": 0}, {"size": -1},
                                   {"error_every": -1}, {"latency": -0.1}])
def test_what_no_site_can_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be|can't be"):
        SitePlan(**wrong)


def test_every_third_page_fails_first():
    plan = SitePlan(pages=10, error_every=3)

    assert [page for page in range(10) if plan.fails_first(page)] == [2, 5, 8]
    assert not any(SitePlan(pages=10).fails_first(page) for page in range(10))
