"""The generated site over real sockets: it serves every page, and knows what it was asked for."""

import http.client
import re
import subprocess
import sys
import threading
import time
from urllib.parse import urljoin, urlsplit

import pytest

from spyder.testing import LocalSite


class Browser:
    """Fetches over one kept-alive connection to each host."""

    def __init__(self):
        self.connections = {}

    def get(self, url, method="GET"):
        parts = urlsplit(url)
        connection = self.connections.setdefault(parts.netloc, http.client.HTTPConnection(parts.netloc, timeout=10))
        connection.request(method, parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def close(self):
        for connection in self.connections.values():
            connection.close()


@pytest.fixture
def browser():
    browser = Browser()
    yield browser
    browser.close()


def crawl(browser, seeds):
    waiting = list(seeds)
    found = set(waiting)
    for url in waiting:
        status, body = browser.get(url)
        assert status == 200
        new = {urljoin(url, href) for href in re.findall(r'href="([^"]+)"', body.decode())} - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("hosts_by", ["address", "port"])
def test_links_from_the_seeds_lead_to_all_pages_and_each_is_counted(browser, hosts_by):
    with LocalSite(200, hosts=4, size=3000, links=8, hosts_by=hosts_by) as site:
        assert crawl(browser, site.seeds) == site.urls()
        assert site.hits() == dict.fromkeys(site.urls(), 1)
        assert site.connections() == dict.fromkeys(site.seeds, 1)
        assert site.report().requests == 200
        assert site.report().cpu > 0


def test_each_host_alone_is_reached_from_its_seed(browser):
    with LocalSite(90, hosts=3) as site:
        seed = site.seeds[1]
        waiting, found = [seed], {seed}
        for url in waiting:
            hrefs = re.findall(r'href="(/[^"]*)"', browser.get(url)[1].decode())
            new = {urljoin(url, href) for href in hrefs} - found
            found |= new
            waiting += new

        assert found == {url for url in site.urls() if url.startswith(seed)}


def test_what_is_not_there_is_a_404_and_counted_apart(browser):
    with LocalSite(5) as site:
        assert browser.get(site.seeds[0] + "robots.txt")[0] == 404
        assert browser.get(site.seeds[0], method="HEAD") == (200, b"")
        assert browser.get(site.seeds[0], method="POST")[0] == 400
        assert site.report().others == {"/robots.txt": 1}


def test_errors_are_answered_once(browser):
    with LocalSite(9, error_every=3) as site:
        first = [browser.get(site.url(page))[0] for page in range(9)]
        second = [browser.get(site.url(page))[0] for page in range(9)]

        assert first == [200, 200, 503] * 3
        assert second == [200] * 9


def test_the_log_has_every_request_with_its_time(browser):
    with LocalSite(3, keeps_log=True) as site:
        before = time.monotonic()
        for page in (0, 2, 0):
            browser.get(site.url(page))
        log = site.log()

        assert [url for url, _ in log] == [site.url(0), site.url(2), site.url(0)]
        assert before <= log[0][1] <= log[1][1] <= log[2][1] <= time.monotonic()
    with LocalSite(1) as site, pytest.raises(ValueError, match="keeps no log"):
        site.log()


def test_latency_and_concurrency_are_seen():
    with LocalSite(4, latency=0.2) as site:
        browsers = [Browser() for _ in range(3)]
        threads = [threading.Thread(target=browser.get, args=(site.url(page),))
                   for page, browser in enumerate(browsers)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert time.monotonic() - started >= 0.2
        assert site.report().concurrent == (3,)
        assert site.connections() == {site.seeds[0]: 3}
        for browser in browsers:
            browser.close()


def test_requests_that_come_together_or_in_pieces_are_answered_in_order():
    import socket

    with LocalSite(3, size=1000) as site:
        parts = urlsplit(site.seeds[0])
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\nGET /section-0/page-1.html HTTP/1.1\r\n\r\nGET /nothing HT")
            time.sleep(0.05)
            connection.sendall(b"TP/1.1\r\nConnection: close\r\n\r\n")
            answers = b"".join(iter(lambda: connection.recv(65_536), b""))

        assert re.findall(rb"HTTP/1.1 (\d+)|<title>(Page \d)", answers) == [
            (b"200", b""), (b"", b"Page 0"), (b"200", b""), (b"", b"Page 1"), (b"404", b"")]


def test_the_server_ends_with_its_parent():
    code = ("import os\nfrom spyder.testing import LocalSite\nsite = LocalSite(1)\nsite.__enter__()\n"
            "print(site.pid, flush=True)\nos._exit(1)")
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20).stdout)

    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("the server lives on")


def test_a_port_can_be_chosen_and_is_refused_when_it_is_taken(browser):
    with LocalSite(20, hosts=2) as first:
        port = urlsplit(first.seeds[0]).port
        with pytest.raises(OSError, match="in use"):
            LocalSite(20, hosts=2, port=port).__enter__()
    with LocalSite(20, hosts=2, port=port, prefix=("env", "A=B")) as site:
        assert site.seeds == (f"http://127.0.0.1:{port}/", f"http://127.0.0.2:{port}/")
        assert browser.get(site.url(7))[0] == 200


def test_hosts_that_are_ports_have_no_common_port():
    with pytest.raises(ValueError, match="same one"):
        LocalSite(20, hosts=2, hosts_by="port", port=8000)
