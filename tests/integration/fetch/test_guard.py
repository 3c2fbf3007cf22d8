"""Nothing that the guard refuses is reached: each time a real listener says whether anybody came."""

import asyncio
import contextlib
import os
from types import SimpleNamespace

import pytest
from loopback import Server, new_transport, run_as_workers_do
from nameserver import NameServer

from spyder.fetch import target as target_module
from spyder.fetch import transport as transport_module
from spyder.model.records import CrawlUri
from spyder.model.states import ErrorKind, Purpose
from spyder.model.url import parse
from spyder.settings import DnsSection, FetchSection, GuardSection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"
PUBLIC = GuardSection()
OFF = GuardSection(policy="off")
FETCH = {"connections": 2, "connect_timeout": 5.0, "timeout": 10.0}


@pytest.fixture
def nothing(tmp_path):
    """Files that aren't there."""
    return {"hosts_file": tmp_path / "hosts", "resolver_file": tmp_path / "resolv.conf"}


class Listener:
    """A server on one port of 127.0.0.1, and of ::1 and 127.0.0.2 when asked; it counts who connects."""

    def __init__(self, *addresses):
        self._addresses = addresses or ("127.0.0.1",)
        self.reached = dict.fromkeys(self._addresses, 0)
        self.hosts = []

    async def __aenter__(self):
        self._stack = contextlib.AsyncExitStack()
        self.port = 0
        for address in self._addresses:
            server = await asyncio.start_server(self._serve, address, self.port)
            self.port = server.sockets[0].getsockname()[1]
            self._stack.callback(server.close)
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()
        await asyncio.sleep(0)

    async def _serve(self, reader, writer):
        self.reached[writer.get_extra_info("sockname")[0]] += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.hosts.append(head.partition(b"Host: ")[2].partition(b"\r\n")[0].decode())
                writer.write(OK)
        writer.close()


def lease(url, **fields):
    return CrawlUri(lease=1, key=b"k", url=url, **fields)


async def fetch(transport, *uris):
    """Fetch one after the other; the pages."""
    pages = []
    for uri in uris:
        future = asyncio.get_running_loop().create_future()
        transport.fetch(uri, lambda page, _, future=future: future.set_result(page))
        pages.append(await asyncio.wait_for(future, 20))
    return pages


def run(test, nothing, *, guard=PUBLIC, dns=None):
    """Run *test* with a transport."""
    async def main():
        transport = new_transport(FetchSection(**FETCH), guard=guard, dns=dns or DnsSection(), **nothing)
        try:
            return await test(transport)
        finally:
            transport.close()
            await asyncio.sleep(0)
    return run_as_workers_do(main())


def run_with_names(test, nothing, zone, *, guard=PUBLIC, min_ttl=0.0, **settings):
    """Run *test* with a transport and the name server that it asks."""
    async def main():
        async with NameServer(**zone) as server:
            dns = server.settings(min_ttl=min_ttl, **settings)
            transport = new_transport(FetchSection(**FETCH), guard=guard, dns=dns, **nothing)
            try:
                return await test(transport, server)
            finally:
                transport.close()
                await asyncio.sleep(0)
    return run_as_workers_do(main())


SPELLINGS = ["127.0.0.1", "0x7f.1", "0x7f000001", "017700000001", "2130706433", "127.1", "127.0.1", "127.0.0.1.",
             "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "%31%32%37.0.0.1", "0177.0.0.01", "user@127.0.0.1",
             "localhost", "LOCALHOST", "localhost.", "a.localhost", "0.0.0.0", "0", "[::ffff:127.0.0.1]",
             "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]"]
#: What no server can be had for here: refused before a socket is made.
ELSEWHERE = ["169.254.169.254", "[::ffff:169.254.169.254]", "2852039166", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]",
             "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[::127.0.0.1]", "[fe80::1]", "[fec0::1]",
             "[fd00:ec2::254]", "100.100.100.200", "100.64.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "198.18.0.1",
             "224.0.0.1", "255.255.255.255", "[ff02::1]", "168.63.129.16", "192.0.0.192", "[2001:db8::1]", "240.0.0.1"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_loopback_is_reached(nothing, spelling):
    async def test(transport):
        async with Listener() as listener:
            [page] = await fetch(transport, lease(parse(f"http://{spelling}:{listener.port}/").href))
            return page, listener.reached["127.0.0.1"]
    page, reached = run(test, nothing)
    assert (page.failure.kind, page.status, reached) == (ErrorKind.ADDRESS, 0, 0)
    assert "`guard.allow_private:" in page.failure.detail
    page, reached = run(test, nothing, guard=OFF)  # the very same would be reached
    assert (page.failure, page.status, reached) == (None, 200, 1)


@pytest.mark.parametrize("spelling", ["[::1]", "[0:0::1]", "[::]", "localhost"])
def test_no_spelling_of_ipv6_loopback_is_reached(nothing, spelling):
    async def test(transport):
        async with Listener("::1") as listener:
            [page] = await fetch(transport, lease(parse(f"http://{spelling}:{listener.port}/").href))
            return page, listener.reached["::1"]
    page, reached = run(test, nothing)
    assert (page.failure.kind, reached) == (ErrorKind.ADDRESS, 0)
    page, reached = run(test, nothing, guard=OFF)
    assert (page.failure, reached) == (None, 1)


@pytest.mark.parametrize("host", ["0x7f.1", "127.1", "2130706433", "017700000001", "127.0.0.1..", "[::1", "1.2.3.4.5"])
def test_a_url_that_no_parser_of_ours_wrote_reaches_nothing_either(nothing, host):
    """curl would know these spellings; a message that carries one is not from our master."""
    async def test(transport):
        async with Listener() as listener:
            pages = await fetch(transport, lease(f"http://{host}:{listener.port}/"),
                                lease(f"http://example.org@{host}:{listener.port}/", is_permitted=True))
            return [page.failure.kind for page in pages], listener.reached["127.0.0.1"]
    kinds, reached = run(test, nothing, dns=DnsSection(servers=("127.0.0.1:1",), timeout=0.2))
    assert reached == 0
    assert set(kinds) <= {ErrorKind.DNS, ErrorKind.URL, ErrorKind.ADDRESS}


@pytest.mark.parametrize("host", ELSEWHERE)
def test_no_socket_is_made_for_what_is_not_public(nothing, host, monkeypatch):
    made = []
    monkeypatch.setattr(transport_module, "socket", SimpleNamespace(socket=lambda *args: made.append(args)))

    async def test(transport):
        url = parse(f"http://{host}/latest/meta-data/").href
        return await fetch(transport, *[lease(url, purpose=purpose) for purpose in Purpose])
    pages = run(test, nothing)
    assert [page.failure.kind for page in pages] == [ErrorKind.ADDRESS] * 3
    assert {page.ip for page in pages} == {""}
    assert made == []


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"])
def test_names_that_resolve_to_forbidden_addresses(nothing, address):
    family = "AAAA" if ":" in address else "A"

    async def test(transport, _):
        async with Listener() as listener:
            url = f"http://www.test:{listener.port}/"
            pages = await fetch(transport, lease(url), lease(url, purpose=Purpose.ADDRESS), lease(url, address=address))
            return pages, listener.reached["127.0.0.1"]
    zone = {"www.test": [f"{family} 60 {address}"]}
    pages, reached = run_with_names(test, nothing, zone)
    assert [page.failure.kind for page in pages] == [ErrorKind.ADDRESS] * 3
    assert all(page.failure.detail.startswith(f"www.test: {address} is ") for page in pages)
    assert reached == 0
    pages, reached = run_with_names(test, nothing, zone, guard=OFF)
    assert [page.failure for page in pages] == [None] * 3
    assert reached == 1  # one connection for both pages


def test_mappings_of_the_settings_and_of_the_hosts_file_are_judged_alike(nothing):
    nothing["hosts_file"].write_text("127.0.0.1 file.test\n")

    async def test(transport):
        async with Listener() as listener:
            pages = await fetch(transport, *[lease(f"http://{name}.test:{listener.port}/") for name in ("file", "set")])
            return [page.failure and page.failure.kind for page in pages], listener.reached["127.0.0.1"]
    dns = DnsSection(hosts={"set.test": "127.0.0.1"})
    assert run(test, nothing, dns=dns) == ([ErrorKind.ADDRESS] * 2, 0)
    assert run(test, nothing, dns=dns, guard=GuardSection(allow_private=("127.0.0.1",))) == ([None] * 2, 2)


def test_of_several_addresses_only_the_allowed_one_is_reached(nothing):
    async def test(transport, _):
        async with Listener("127.0.0.1", "127.0.0.2") as listener:
            url = f"http://www.test:{listener.port}/"
            found, page = await fetch(transport, lease(url, purpose=Purpose.ADDRESS), lease(url))
            return found.ip, page.ip, page.failure, listener.reached
    found = run_with_names(test, nothing, {"www.test": ["A 60 127.0.0.1", "A 60 10.0.0.1", "A 60 127.0.0.2"]},
                           guard=GuardSection(allow_private=("127.0.0.2",)))
    assert found == ("127.0.0.2", "127.0.0.2", None, {"127.0.0.1": 0, "127.0.0.2": 1})


def test_rebinding_between_look_up_and_connection(nothing):
    """The name server says a good address once, and after that a forbidden one, with a TTL of 0."""
    async def test(transport, server):
        async with Listener("127.0.0.1", "127.0.0.2") as listener:
            url = f"http://www.test:{listener.port}/"
            [found] = await fetch(transport, lease(url, purpose=Purpose.ADDRESS))
            pages = await fetch(transport, lease(url, address=found.ip), lease(url, address=found.ip), lease(url))
            return found.ip, pages, listener.reached, len(server.questions)
    zone = {"www.test": (["A 0 127.0.0.2"], ["A 0 127.0.0.1"])}
    found, pages, reached, asked = run_with_names(test, nothing, zone, guard=GuardSection(allow_private=("127.0.0.2",)))
    assert found == "127.0.0.2"
    assert [page.failure and page.failure.kind for page in pages] == [None, None, ErrorKind.ADDRESS]
    assert [page.ip for page in pages] == ["127.0.0.2", "127.0.0.2", ""]
    assert (reached, asked) == ({"127.0.0.1": 0, "127.0.0.2": 1}, 2)
    found, pages, reached, _ = run_with_names(test, nothing, zone, guard=OFF)
    assert (pages[-1].failure, reached) == (None, {"127.0.0.1": 1, "127.0.0.2": 1})


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/", "http://[::ffff:7f00:1]:{}/", "http://www.test:{}/"])
def test_the_connection_itself_is_judged_when_all_that_was_judged_before_is_outwitted(nothing, monkeypatch, url):
    monkeypatch.setattr(target_module.Targets, "choose", lambda self, uri, target, addresses: (list(addresses), None))
    target_of = target_module.Targets.target

    def harmless(self, text):
        found = target_of(self, text)
        return target_module.Target(found.hostname, found.port, found.literal, found.is_localhost, "", "")
    monkeypatch.setattr(target_module.Targets, "target", harmless)

    async def test(transport, _):
        async with Listener() as listener:
            [page] = await fetch(transport, lease(url.format(listener.port)))
            return page.failure and page.failure.kind, listener.reached["127.0.0.1"]
    zone = {"www.test": ["A 60 127.0.0.1"]}
    assert run_with_names(test, nothing, zone) == (ErrorKind.ADDRESS, 0)
    assert run_with_names(test, nothing, zone, guard=OFF) == (None, 1)


# --- what a seed permits


@pytest.mark.parametrize("pin", ["", "127.0.0.1"])
@pytest.mark.parametrize(("host", "address"), [
    ("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("a.localhost", "127.0.0.1"), ("localhost", "::1"),
    ("[::1]", "::1"), ("[::ffff:7f00:1]", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"),
])
def test_a_permitted_uri_reaches_its_host_and_port(nothing, host, address, pin):
    async def test(transport):
        async with Listener(address) as listener:
            url = f"http://{host}:{listener.port}/"
            pages = await fetch(transport, lease(url, is_permitted=True, address=pin), lease(url, address=pin),
                                lease(url, is_permitted=True, address=pin, purpose=Purpose.ROBOTS))
            return [page.failure and page.failure.kind for page in pages], listener.reached[address]
    assert run(test, nothing) == ([None, ErrorKind.ADDRESS, None], 1)


def test_a_permitted_uri_reaches_nothing_else(nothing):
    async def test(transport, _):
        async with Listener("127.0.0.1", "127.0.0.2") as listener:
            port = listener.port
            pages = await fetch(
                transport, lease(f"http://www.test:{port}/", is_permitted=True),
                lease(f"http://127.0.0.1:{port}/", address="127.0.0.2"),
                lease(f"http://www.test:{port}/", address="127.0.0.1", is_permitted=True),
                lease(f"http://localhost.:{port}/", address="10.0.0.1"),
                lease("http://169.254.169.254/", is_permitted=True))
            return [page.failure.kind for page in pages], listener.reached
    kinds, reached = run_with_names(test, nothing, {"www.test": ["A 60 127.0.0.1", "A 60 127.0.0.2"]})
    assert kinds == [ErrorKind.ADDRESS] * 5
    assert reached == {"127.0.0.1": 0, "127.0.0.2": 0}


def test_localhost_by_way_of_dns_is_loopback_only(nothing):
    async def test(transport):
        return await fetch(transport, lease("http://localhost:1/", is_permitted=True, purpose=Purpose.ADDRESS),
                           lease("http://x.localhost:1/", is_permitted=True))
    good, bad = run(test, nothing, dns=DnsSection(hosts={"x.localhost": "10.0.0.1"}))
    assert (good.ip, good.failure, bad.failure.kind) == ("127.0.0.1", None, ErrorKind.ADDRESS)
    assert good.address_ttl > 0


# --- look-ups, and connections to what was looked up


def test_a_look_up_connects_to_nothing(nothing):
    async def test(transport, server):
        async with Listener() as listener:
            url = f"http://www.test:{listener.port}/robots.txt"
            page, again = await fetch(transport, *[lease(url, purpose=Purpose.ADDRESS)] * 2)
            return page, again, listener.reached["127.0.0.1"], server.questions
    page, again, reached, questions = run_with_names(test, nothing, {"www.test": ["A 90 127.0.0.1"]}, guard=OFF)
    assert (page.status, page.failure, page.ip, page.headers) == (0, None, "127.0.0.1", ())
    assert 80 < again.address_ttl <= page.address_ttl <= 90
    assert 0 <= page.elapsed < 10
    assert (reached, questions) == (0, ["www.test/A"])


@pytest.mark.parametrize(("answer", "words"), [("nxdomain", "NXDOMAIN"), ("servfail", "SERVFAIL")])
def test_look_ups_that_fail(nothing, answer, words):
    async def test(transport, _):
        return await fetch(transport, lease("http://www.test/", purpose=Purpose.ADDRESS), lease("http://www.test/"))
    pages = run_with_names(test, nothing, {"www.test": answer}, negative_ttl=50.0)
    for page in pages:
        assert (page.failure.kind, page.status, page.ip) == (ErrorKind.DNS, 0, "")
        assert words in page.failure.detail
    assert 40 < pages[0].address_ttl <= 50
    assert pages[1].address_ttl == 0


@pytest.mark.parametrize(("host", "ip"), [("93.184.216.34", "93.184.216.34"), ("[2606:4700::1111]", "2606:4700::1111")])
def test_a_look_up_of_an_address_is_answered_by_itself(nothing, host, ip):
    async def test(transport):
        return await fetch(transport, *[lease(url, purpose=Purpose.ADDRESS) for url in (f"http://{host}/", "x:")])
    page, wrong = run(test, nothing)
    assert (page.ip, page.failure) == (ip, None)
    assert wrong.failure.kind is ErrorKind.URL


def test_a_look_up_that_names_an_address_gets_another_one(nothing):
    """So the master says that nothing answers at the one it has."""
    async def test(transport, _):
        async def ip(avoided):
            [page] = await fetch(transport, lease("http://www.test/", purpose=Purpose.ADDRESS, address=avoided))
            return page.ip
        first = await ip("")
        second = await ip(first)
        return first, second, await ip(second), await ip("")
    zone = {"www.test": ["A 60 1.1.1.1", "A 60 8.8.8.8"], "one.test": ["A 60 1.1.1.1"]}
    first, second, third, last = run_with_names(test, nothing, zone, min_ttl=60.0)
    assert {first, second} == {"1.1.1.1", "8.8.8.8"}
    assert (third, last) == (first, first)


def test_connections_to_one_address_are_used_again_and_not_for_another(nothing):
    async def test(transport, _):
        async with Listener("127.0.0.1", "127.0.0.2") as listener:
            url = f"http://www.test:{listener.port}/"
            one, two, none = (lease(url, address=address) for address in ("127.0.0.1", "127.0.0.2", ""))
            pages = await fetch(transport, one, one, none, two, one, two, lease(f"http://other.test:{listener.port}/"))
            return [page.ip for page in pages], listener.reached, listener.hosts, listener.port
    zone = {"www.test": ["A 60 127.0.0.1"], "other.test": ["A 60 127.0.0.1"]}
    ips, reached, hosts, port = run_with_names(test, nothing, zone, guard=OFF)
    assert ips == ["127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2", "127.0.0.1"]
    assert reached == {"127.0.0.1": 2, "127.0.0.2": 1}  # hosts share an address, never a connection
    assert hosts == [f"www.test:{port}"] * 6 + [f"other.test:{port}"]


def test_the_next_address_is_tried_when_nothing_answers(nothing):
    async def test(transport, _):
        async with Listener("127.0.0.2") as listener:
            url = f"http://www.test:{listener.port}/"
            pages = await fetch(transport, lease(url), lease(url, purpose=Purpose.ADDRESS),
                                lease(url, address="127.0.0.1"))
            return [(page.ip, page.failure and page.failure.kind) for page in pages], listener.reached
    zone = {"www.test": ["A 60 127.0.0.1", "A 60 127.0.0.2", "A 60 127.0.0.3"]}
    found, reached = run_with_names(test, nothing, zone, guard=OFF, min_ttl=60.0)
    assert found[:2] == [("127.0.0.2", None), ("127.0.0.2", None)]
    assert found[2][1] is ErrorKind.CONNECT
    assert reached == {"127.0.0.2": 1}


def test_what_is_no_address_is_connected_to_by_nobody(nothing):
    async def test(transport):
        async with Listener() as listener:
            pages = await fetch(transport, *[lease(f"http://www.test:{listener.port}/", address=address) for address in
                                             ("localhost", "127.1", "[::1]", "1.1.1.1:80:127.0.0.1:1")])
            return [page.failure.kind for page in pages], listener.reached["127.0.0.1"]
    assert run(test, nothing) == ([ErrorKind.ADDRESS] * 4, 0)


def test_the_time_of_the_look_up_counts(nothing):
    async def test(transport, _):
        async with Server([0.2, OK]) as server:
            [page] = await fetch(transport, lease(f"http://www.test:{server.port}/"))
            return page
    page = run_with_names(test, nothing, {"www.test": ["A 60 127.0.0.1"]}, guard=OFF)
    assert page.failure is None
    assert 0.2 <= page.first_byte <= page.elapsed < 10


def test_abort_and_close_end_look_ups_at_once(nothing):
    async def test(transport, server):
        told = []
        for purpose in (Purpose.ADDRESS, Purpose.PAGE):
            transport.fetch(lease("http://www.test/", purpose=purpose), lambda *result: told.append(result))
        await asyncio.wait_for(server.asked.wait(), 10)
        before = transport.active, transport.free
        aborted = [uri.purpose for uri in transport.abort()]
        after = transport.active, transport.free
        transport.fetch(lease("http://www.test/"), lambda *result: told.append(result))
        transport.close()
        await asyncio.sleep(0.05)
        return before, sorted(aborted), after, told
    assert run_with_names(test, nothing, {"www.test": "silent"}) == (
        (2, 0), [Purpose.PAGE, Purpose.ADDRESS], (0, 2), [])


def test_many_look_ups_take_little_of_the_room_for_pages(nothing):
    async def test(transport, _):
        loop = asyncio.get_running_loop()
        done = []
        while transport.free:
            transport.fetch(lease(f"http://n{len(done) + transport.active}.test/", purpose=Purpose.ADDRESS),
                            lambda page, body: done.append(page.failure.kind))
        active = transport.active
        while len(done) < active:
            await asyncio.sleep(0.01)
        return active, set(done), transport.free, loop.is_running()
    assert run_with_names(test, nothing, {}) == (9, {ErrorKind.DNS}, 2, True)


def test_children_do_not_inherit_connections(nothing, monkeypatch):
    inherited = []
    made = transport_module._Slot._on_socket_made

    def look(self, fd, purpose):
        result = made(self, fd, purpose)
        inherited.append(os.get_inheritable(fd))
        return result
    monkeypatch.setattr(transport_module._Slot, "_on_socket_made", look)

    async def test(transport):
        async with Server(OK) as server:
            return (await fetch(transport, lease(server.url)))[0].failure
    assert run(test, nothing, guard=OFF) is None
    assert inherited == [False]
