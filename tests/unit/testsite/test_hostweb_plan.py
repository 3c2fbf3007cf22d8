"""The plan of the web of hosts: the same for the same seed, every kind of host in it, every page linked to."""

from collections import Counter

import pytest

from spyder.testsite.hostweb.plan import Does, Robots, WebPlan


def test_given_the_same_seed_when_planned_then_the_webs_are_equal_and_others_are_not():
    assert WebPlan(hosts=50).all == WebPlan(hosts=50).all != WebPlan(hosts=50, seed=2).all


def test_given_two_thousand_hosts_when_planned_then_every_kind_of_rule_and_page_is_among_them():
    hosts = WebPlan().all
    assert {host.robots for host in hosts} == set(Robots)
    assert {does for host in hosts for _, does in host.pages} == set(Does)
    assert {bool(host.crawl_delay) for host in hosts if host.robots is Robots.DELAY} == {True}
    assert not any(host.crawl_delay for host in hosts if host.robots is not Robots.DELAY)


def test_given_shared_addresses_when_planned_then_their_hosts_have_names_and_others_stand_alone():
    plan = WebPlan(hosts=200, shared=30, per_address=10)
    sizes = Counter(host.address for host in plan.all)
    assert Counter(sizes.values()) == {10: 6, 1: 140}
    assert all(host.name in plan.names for host in plan.all if sizes[host.address] > 1)
    assert any(host.name == host.address for host in plan.all) and set(plan.names.values()) <= set(sizes)
    assert all(address.startswith("127.") for address in sizes)


def test_given_a_host_when_its_links_are_followed_from_the_first_page_then_all_its_pages_are_reached():
    plan = WebPlan(hosts=30, pages=4)
    for host in plan.all:
        assert {"/", *plan.links(host, "/")} == {path for path, _ in host.pages}
        assert dict(host.pages)["/"] is Does.PAGE


def test_given_a_robots_txt_that_lies_elsewhere_when_planned_then_nothing_is_the_matter_with_that_host():
    plan = WebPlan(hosts=300)
    lenders = {plan.lender(host).robots for host in plan.all if host.robots is Robots.ELSEWHERE}
    assert lenders and lenders <= {Robots.NONE, Robots.EMPTY}


@pytest.mark.parametrize("options", [{"hosts": 0}, {"hosts": 60_001}, {"pages": 0}, {"shared": 101},
                                     {"per_address": 0}])
def test_given_what_no_web_can_be_when_planned_then_it_is_refused(options):
    with pytest.raises(ValueError, match="must be"):
        WebPlan(**options)
