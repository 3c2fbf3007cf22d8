"""The resolver against a name server on loopback."""

import asyncio
import itertools

import pytest
from loopback import run_as_workers_do
from nameserver import NameServer

from spyder.errors import SettingsError
from spyder.fetch import dns as dns_module
from spyder.fetch.dns import Resolver, check_settings
from spyder.model.states import ErrorKind
from spyder.settings import DnsSection
from spyder.testing import ManualClock


@pytest.fixture(params=[False, True], ids=["ipv4", "ipv6"])
def is_routed(request, monkeypatch):
    """Whether there is a way to IPv6."""
    monkeypatch.setattr(dns_module, "_has_ipv6_route", lambda: request.param)
    return request.param


@pytest.fixture
def no_ipv6(monkeypatch):
    monkeypatch.setattr(dns_module, "_has_ipv6_route", lambda: False)


@pytest.fixture
def nothing(tmp_path):
    """Files that aren't there."""
    return {"hosts_file": tmp_path / "hosts", "resolver_file": tmp_path / "resolv.conf"}


class Bench:
    """A resolver with its name server, and a clock that stands still."""

    def __init__(self, server, files, **settings):
        self.server = server
        self.clock = ManualClock()
        self.resolver = Resolver(server.settings(**settings) if server else DnsSection(**settings), clock=self.clock,
                                 loop=asyncio.get_running_loop(), **files)

    async def look_up(self, *names):
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in names]
        for name, future in zip(names, futures, strict=True):
            self.resolver.lookup(name, future.set_result)
        async with asyncio.timeout(20):
            return await asyncio.gather(*futures)

    async def addresses(self, name):
        [answer] = await self.look_up(name)
        return answer.addresses

    async def reason(self, name):
        [answer] = await self.look_up(name)
        assert answer.addresses == ()
        assert answer.failure.kind is ErrorKind.DNS
        assert "\n" not in answer.failure.detail
        return answer.failure.detail


def run(test, files, zone=None, **settings):
    """Run *test* with a :class:`Bench`."""
    async def main():
        async with NameServer(**(zone or {})) as server:
            bench = Bench(server, files, **settings)
            try:
                return await test(bench)
            finally:
                bench.resolver.close()
                await asyncio.sleep(0)
    return run_as_workers_do(main())


# --- what comes back


def test_a_name_with_both_families(is_routed, nothing):
    async def test(bench):
        return await bench.addresses("www.test"), sorted(bench.server.questions)
    addresses, questions = run(test, nothing, {"www.test": ["A 60 192.0.2.1", "AAAA 60 2001:db8::1"]})
    if is_routed:
        assert (addresses, questions) == (("2001:db8::1", "192.0.2.1"), ["www.test/A", "www.test/AAAA"])
    else:
        assert (addresses, questions) == (("192.0.2.1",), ["www.test/A"])


def test_a_name_with_ipv6_only(is_routed, nothing):
    async def test(bench):
        return await bench.addresses("www.test")
    assert run(test, nothing, {"www.test": ["AAAA 60 2001:db8::1"]}) == ("2001:db8::1",)


@pytest.mark.parametrize("answer", ["servfail", "silent", "garbage"])
def test_one_family_in_trouble_does_not_keep_the_other_back(answer, nothing, monkeypatch):
    monkeypatch.setattr(dns_module, "_has_ipv6_route", lambda: True)

    async def test(bench):
        return await bench.addresses("www.test")
    assert run(test, nothing, {"www.test": ["A 60 192.0.2.1"], "www.test/AAAA": answer}) == ("192.0.2.1",)


def test_several_addresses_and_a_chain_of_aliases(no_ipv6, nothing):
    async def test(bench):
        [answer] = await bench.look_up("www.test")
        return sorted(answer.addresses), answer.until - bench.clock.monotonic()
    zone = {"www.test": ["CNAME 500 cdn.test", "CNAME 90 edge.test", "A 300 192.0.2.1", "A 300 192.0.2.2"]}
    assert run(test, nothing, zone) == (["192.0.2.1", "192.0.2.2"], pytest.approx(90, abs=0.1))


@pytest.mark.parametrize(("ttl", "holds"), [(0, 60), (59, 60), (600, 600), (999_999, 3600)])
def test_an_answer_holds_for_its_ttl_within_bounds(no_ipv6, nothing, ttl, holds):
    async def test(bench):
        await bench.look_up("www.test")
        bench.clock.advance(holds - 1)
        first = await bench.addresses("www.test")
        bench.clock.advance(2)
        return first, await bench.addresses("www.test"), len(bench.server.questions)
    zone = {"www.test": ([f"A {ttl} 192.0.2.1"], [f"A {ttl} 192.0.2.2"])}
    assert run(test, nothing, zone, min_ttl=60.0, max_ttl=3600.0) == (("192.0.2.1",), ("192.0.2.2",), 2)


def test_one_question_for_all_who_ask_at_the_same_time(no_ipv6, nothing):
    async def test(bench):
        answers = await bench.look_up(*["www.test"] * 50, "WWW.test", "www.test.")
        return {answer.addresses for answer in answers}, bench.server.questions
    assert run(test, nothing, {"www.test": ["A 60 192.0.2.1"]}) == ({("192.0.2.1",)}, ["www.test/A"])


def test_no_more_names_are_remembered_than_the_settings_say(no_ipv6, nothing):
    async def test(bench):
        for name in ("a.test", "b.test", "a.test", "c.test", "a.test", "b.test"):
            await bench.look_up(name)
        return bench.server.questions
    zone = {name: ["A 60 192.0.2.1"] for name in ("a.test", "b.test", "c.test")}
    assert run(test, nothing, zone, cache=2) == ["a.test/A", "b.test/A", "c.test/A", "b.test/A"]


def test_an_address_where_nothing_answers_goes_to_the_end(no_ipv6, nothing):
    async def test(bench):
        first, second, third = await bench.addresses("www.test")
        bench.resolver.failed("www.test", first)
        bench.resolver.failed("www.test", "192.0.2.9")
        bench.resolver.failed("other.test", third)
        assert await bench.addresses("www.test") == (second, third, first)
        bench.resolver.failed("www.test", second)
        assert await bench.addresses("www.test") == (third, first, second)
        bench.clock.advance(100)
        last = await bench.addresses("www.test")
        bench.resolver.failed("localhost", "127.0.0.1")
        return last == (third, first, second) and await bench.addresses("localhost") == ("::1", "127.0.0.1")
    assert run(test, nothing, {"www.test": ["A 60 192.0.2.1", "A 60 192.0.2.2", "A 60 192.0.2.3"]})


# --- what goes wrong


@pytest.mark.parametrize(("answer", "words"), [
    ("nxdomain", "no such name (NXDOMAIN)"), ([], "the name has no address"), ("servfail", "SERVFAIL from 127.0.0.1:"),
    ("refused", "REFUSED from 127.0.0.1:"), ("silent", "no answer within 0.5 s (dns.timeout)"),
    ("garbage", "no answer within 0.5 s (dns.timeout)"),
    (["CNAME 60 a.test", "CNAME 60 b.test", "CNAME 60 a.test"], "ChainTooLong"),
    (["CNAME 60 www.test"], "www.test"), ([f"CNAME 60 a{i}.test" for i in range(40)], "ChainTooLong"),
], ids=range(9))
def test_why_there_is_no_address(is_routed, nothing, answer, words):
    async def test(bench):
        reason = await bench.reason("www.test")
        asked = len(bench.server.questions)
        bench.clock.advance(29)
        assert await bench.reason("www.test") == reason
        assert len(bench.server.questions) == asked  # remembered
        bench.clock.advance(2)
        await bench.reason("www.test")
        assert len(bench.server.questions) > asked
        return reason
    reason = run(test, nothing, {"www.test": answer}, timeout=0.5, negative_ttl=30.0)
    assert reason.startswith("www.test: ")
    assert words in reason


def test_no_server_at_all(no_ipv6, nothing):
    async def main():
        bench = Bench(None, nothing, servers=("127.0.0.1:1",), timeout=0.5)
        return await bench.reason("www.test")
    assert "dns.timeout" in run_as_workers_do(main())


def test_a_truncated_answer_is_asked_for_over_tcp(no_ipv6, nothing):
    async def test(bench):
        return await bench.addresses("www.test"), bench.server.questions
    assert run(test, nothing, {"www.test": "truncated A 60 192.0.2.1"}) == (
        ("192.0.2.1",), ["www.test/A", "www.test/A/tcp"])


@pytest.mark.parametrize("forgery", ["forged", "other"])
def test_answers_to_what_nobody_asked_do_not_count(no_ipv6, nothing, forgery):
    async def test(bench):
        return await bench.addresses("www.test")
    assert run(test, nothing, {"www.test": f"{forgery} A 60 192.0.2.1"}) == ("192.0.2.1",)


def test_numbers_and_ports_of_questions_cannot_be_foretold(no_ipv6, nothing):
    async def test(bench):
        await bench.look_up(*[f"n{i}.test" for i in range(60)])
        return bench.server.ids, bench.server.ports
    ids, ports = run(test, nothing)
    steps = {(after - before) % 65536 for before, after in itertools.pairwise(ids)}
    assert len(ids) == 60
    assert min(len(set(ids)), len(set(ports)), len(steps)) > 50


@pytest.mark.parametrize("name", ["a..b", ".", "x" * 64 + ".test", ".".join(["abcdefg"] * 40), "127.0.0.1.."])
def test_what_is_no_name_is_not_asked_for(no_ipv6, nothing, name):
    async def test(bench):
        return await bench.reason(name), bench.server.questions
    reason, questions = run(test, nothing)
    assert "no name that DNS could know" in reason
    assert questions == []


@pytest.mark.parametrize("name", ["www.invalid", "abcdef.onion", "x.alt"])
def test_names_that_are_never_looked_up(no_ipv6, nothing, name):
    async def test(bench):
        return await bench.reason(name), bench.server.questions
    reason, questions = run(test, nothing)
    assert "never looked up" in reason
    assert questions == []


def test_after_close_nobody_is_told(no_ipv6, nothing):
    async def test(bench):
        told = []
        bench.resolver.lookup("www.test", told.append)
        await asyncio.wait_for(bench.server.asked.wait(), 10)
        active = bench.resolver.active
        bench.resolver.close()
        await asyncio.sleep(0.05)
        return active, bench.resolver.active, told, len(asyncio.all_tasks()) <= 1
    assert run(test, nothing, {"www.test": "silent"}) == (1, 0, [], True)


def test_a_caller_that_raises_does_not_keep_the_answer_from_others(no_ipv6, nothing, caplog):
    def raises(answer):
        raise ZeroDivisionError

    async def test(bench):
        bench.resolver.lookup("www.test", raises)
        return await bench.addresses("www.test")
    assert run(test, nothing, {"www.test": ["A 60 192.0.2.1"]}) == ("192.0.2.1",)
    assert "could not be handed on" in caplog.text


# --- what comes before DNS


def test_static_mappings_come_first(no_ipv6, nothing):
    nothing["hosts_file"].write_text("192.0.2.8 www.test\n")

    async def test(bench):
        names = ["www.test", "a.wild.test", "b.a.wild.test", "deep.a.wild.test", "wild.test", "WWW.test."]
        return [answer.addresses for answer in await bench.look_up(*names)], bench.server.questions
    hosts = {"www.test": "192.0.2.1 2001:db8::1", "*.wild.test": "192.0.2.2", "*.a.wild.test": "192.0.2.3"}
    found, questions = run(test, nothing, hosts=hosts)
    assert found == [("192.0.2.1", "2001:db8::1"), ("192.0.2.2",), ("192.0.2.3",), ("192.0.2.3",), (),
                     ("192.0.2.1", "2001:db8::1")]
    assert questions == ["wild.test/A"]


@pytest.mark.parametrize("name", ["localhost", "a.localhost", "LOCALHOST.", "a.b.localhost."])
def test_localhost_is_loopback_whoever_says_otherwise(no_ipv6, nothing, name):
    nothing["hosts_file"].write_text("192.0.2.1 localhost a.localhost a.b.localhost\n")

    async def test(bench):
        return await bench.addresses(name), bench.server.questions
    assert run(test, nothing, {"a.localhost": ["A 60 192.0.2.1"]}) == (("127.0.0.1", "::1"), [])


def test_the_hosts_file_is_read_again_when_it_changes(no_ipv6, nothing):
    path = nothing["hosts_file"]
    path.write_text("# none\n192.0.2.1  one.test One-Alias.test # words\nnonsense\n::1\n2001:db8::1 one.test\n\xff\n")

    async def test(bench):
        first = [answer.addresses for answer in await bench.look_up("one.test", "one-alias.test")]
        path.write_text("192.0.2.200 one.test\n")
        bench.clock.advance(1)
        second = await bench.addresses("one.test")
        path.unlink()
        bench.clock.advance(1)
        return first, second, await bench.addresses("one.test")
    assert run(test, nothing, {"one.test": ["A 60 192.0.2.3"]}) == (
        [("192.0.2.1", "2001:db8::1"), ("192.0.2.1",)], ("192.0.2.200",), ("192.0.2.3",))


@pytest.mark.parametrize(("options", "name", "asked"), [
    ("", "www.test", ["www.test"]),
    ("", "intranet", ["intranet.corp.test", "intranet.test", "intranet"]),
    ("options ndots:3", "www.test", ["www.test", "www.test.corp.test", "www.test.test"]),
    ("options ndots:3", "a.b.c.test", ["a.b.c.test"]),
    ("options ndots:0", "intranet", ["intranet"]),
])
def test_search_lists_never_come_before_a_name_of_the_web(nothing, monkeypatch, options, name, asked):
    monkeypatch.setattr(dns_module, "_has_ipv6_route", lambda: False)
    nothing["resolver_file"].write_text(f"nameserver 192.0.2.53\nsearch corp.test test\n{options}\n")

    async def test(bench):
        await bench.reason(name)
        return [question.removesuffix("/A") for question in bench.server.questions if question.endswith("/A")]
    assert run(test, nothing) == asked


def test_a_search_list_ends_at_the_first_name_that_is_there(no_ipv6, nothing):
    nothing["resolver_file"].write_text("nameserver 192.0.2.53\ndomain corp.test\n")

    async def test(bench):
        return await bench.addresses("intranet")
    assert run(test, nothing, {"intranet.corp.test": ["A 60 192.0.2.1"]}) == ("192.0.2.1",)


def test_the_systems_servers_are_read_again_when_they_change(no_ipv6, nothing):
    """The port can't be given there, so we look at whom it would ask."""
    path = nothing["resolver_file"]
    path.write_text("nameserver 127.0.0.2\nnonsense\n")

    async def main():
        bench = Bench(None, nothing, timeout=0.2)
        first = list(bench.resolver._current_client().servers)
        path.write_text("nameserver 127.0.0.30\n")
        bench.clock.advance(1)
        second = list(bench.resolver._current_client().servers)
        path.unlink()
        bench.clock.advance(1)
        return first, second, list(bench.resolver._current_client().servers)
    assert run_as_workers_do(main()) == (["127.0.0.2"], ["127.0.0.30"], ["127.0.0.1"])


# --- settings


@pytest.mark.parametrize(("settings", "words"), [
    ({"hosts": {"a.test": "somewhere"}}, "`dns.hosts.a.test` is 'somewhere': expected an IP address"),
    ({"hosts": {"a.test": ""}}, "expected an IP address"),
    ({"hosts": {"a*.test": "192.0.2.1"}}, "'a*.test' is no name"),
    ({"servers": ("dns.test",)}, "`dns.servers`: 'dns.test' is no IP address"),
    ({"servers": ("192.0.2.1:0",)}, "'192.0.2.1:0'"), ({"servers": ("[::1]:dns",)}, "'[::1]:dns'"),
    ({"servers": ("",)}, "''"),
])
def test_settings_that_cannot_be_read(settings, words):
    with pytest.raises(SettingsError) as error:
        check_settings(DnsSection(**settings))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_that_can_be_read():
    check_settings(DnsSection(hosts={"a.test": "192.0.2.1, ::1", "*.b.test": "192.0.2.1"},
                              servers=("192.0.2.1", "192.0.2.1:53", "::1", "[::1]:5353", "[::1]")))
