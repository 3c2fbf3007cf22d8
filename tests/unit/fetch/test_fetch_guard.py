"""The guard's judgement, and the networks that the settings allow."""

import pytest

from spyder.errors import SettingsError
from spyder.fetch.guard import Guard
from spyder.fetch.target import Targets
from spyder.model.records import CrawlUri
from spyder.model.states import ErrorKind
from spyder.settings import GuardSection


def objection(address, port=80, *allowed, policy="public"):
    return Guard(GuardSection(policy=policy, allow_private=allowed)).objection(address, port)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_good(address):
    assert objection(address) == ""


@pytest.mark.parametrize(("address", "words"), [
    ("127.0.0.1", '127.0.0.1 is loopback (127.0.0.0/8); `guard.allow_private: ["127.0.0.1:80"]` would allow it'),
    ("fe80::1%eth0", 'link-local (fe80::/10); `guard.allow_private: ["[fe80::1]:80"]`'),
    ("::ffff:10.0.0.1", "the IPv4-mapped form of 10.0.0.1, which is private (10.0.0.0/8)"),
    ("169.254.169.254", "a cloud's metadata service"), ("example.org", "'example.org' is no IP address"),
    ("", "'' is no IP address"), ("0x7f.1", "'0x7f.1' is no IP address"), ("127.1", "'127.1' is no IP address"),
])
def test_other_addresses_are_refused_with_what_would_allow_them(address, words):
    found = objection(address)
    assert words in found
    assert "\n" not in found


def test_switched_off_it_objects_to_nothing():
    assert objection("169.254.169.254", policy="off") == ""


@pytest.mark.parametrize(("allowed", "address", "port", "is_good"), [
    ("10.0.0.0/8", "10.9.9.9", 80, True), ("10.0.0.0/8", "11.0.0.1", 80, True),
    ("10.0.0.0/8", "192.168.0.1", 80, False),
    ("10.0.0.0/8", "::ffff:10.9.9.9", 80, True), ("10.0.0.0/8", "64:ff9b::10.9.9.9", 80, False),
    ("127.0.0.1", "127.0.0.1", 1, True), ("127.0.0.1", "127.0.0.2", 1, False),
    ("127.0.0.1:8000", "127.0.0.1", 8000, True), ("127.0.0.1:8000", "127.0.0.1", 8001, False),
    ("10.0.0.0/8:8000", "10.1.1.1", 8000, True), ("10.0.0.0/8:8000", "10.1.1.1", 80, False),
    ("::1", "::1", 80, True), ("[::1]", "::1", 80, True), ("[::1]:8000", "::1", 8000, True),
    ("[::1]:8000", "::1", 80, False), ("fd00::/8", "fd12::1", 80, True), ("[fd00::/8]:80", "fd12::1", 80, True),
    ("[fd00::/8]:80", "fd12::1", 81, False), ("::ffff:10.0.0.0/104", "10.1.1.1", 80, True),
    ("0.0.0.0/0", "169.254.169.254", 80, False), ("169.254.0.0/16", "169.254.169.254", 80, False),
    ("169.254.0.0/16", "169.254.7.7", 80, True), ("169.254.169.254", "169.254.169.254", 80, True),
    ("169.254.169.254:80", "169.254.169.254", 81, False), ("::/0", "fd00:ec2::254", 80, False),
])
def test_networks_that_are_allowed(allowed, address, port, is_good):
    assert (objection(address, port, allowed) == "") is is_good


@pytest.mark.parametrize(("text", "words"), [
    ("10.0.0.1/8", "did you mean 10.0.0.0/8?"), ("fd00::1/8", "did you mean fd00::/8?"), ("localhost", "no network"),
    ("300.1.1.1", "no network"), ("", "no network"), ("[::1", "no network"), ("10.0.0.0/33", "no network"),
    ("127.0.0.1:0", "a port is a number from 1 to 65535"), ("127.0.0.1:65536", "a port is a number"),
    ("127.0.0.1:http", "no network"), ("[127.0.0.1", "no network"), ("127.0.0.1, 10.0.0.0/8", "no network"),
])
def test_networks_that_cannot_be_read(text, words):
    with pytest.raises(SettingsError) as error:
        Guard(GuardSection(allow_private=("10.0.0.0/8", text)))
    assert str(error.value).startswith(f"`guard.allow_private`: {text!r}")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_judgements_are_remembered_within_bounds():
    guard = Guard(GuardSection())
    for number in range(10_000):
        assert guard.objection(f"10.0.{number >> 8}.{number & 255}", 80)
    assert len(guard._known) <= 4096
    assert guard.objection("8.8.8.8", 80) == ""


@pytest.mark.parametrize(("url", "address", "is_good"), [
    ("http://127.0.0.1:8000/", "127.0.0.1", True), ("http://127.0.0.1:8000/", "127.0.0.2", False),
    ("http://127.0.0.1:8000/", "10.0.0.1", False), ("http://[::1]/", "::1", True),
    ("http://[::1]/", "127.0.0.1", False), ("http://localhost/", "127.0.0.1", True), ("http://localhost/", "::1", True),
    ("http://localhost/", "127.9.9.9", True), ("http://localhost/", "10.0.0.1", False),
    ("http://a.localhost./", "::1", True),
    ("http://example.org/", "127.0.0.1", False), ("http://169.254.169.254/", "169.254.169.254", False),
    ("http://[::ffff:7f00:1]/", "::ffff:127.0.0.1", True), ("http://example.org/", "8.8.8.8", True),
])
def test_what_a_seed_permits(url, address, is_good):
    targets = Targets(Guard(GuardSection()))
    target = targets.target(url)
    permitted = CrawlUri(lease=1, key=b"k", url=url, is_permitted=True)
    assert (targets.objection(permitted, target, address) == "") is is_good
    if address != "8.8.8.8":
        assert targets.objection(CrawlUri(lease=1, key=b"k", url=url), target, address)


@pytest.mark.parametrize("url", ["ftp://a/", "http://", "http:///x", "", "no url", "http://[::1/", "http://a:99999/",
                                 "http://a:0/", "https://a:b/", "file:///etc/passwd", "http://:80/"])
def test_urls_without_a_target(url):
    assert Targets(Guard(GuardSection())).target(url) is None


def test_of_several_addresses_the_good_ones_are_chosen():
    targets = Targets(Guard(GuardSection()))
    uri = CrawlUri(lease=1, key=b"k", url="http://example.org/")
    target = targets.target(uri.url)
    assert targets.choose(uri, target, ("10.0.0.1", "8.8.8.8", "::1", "1.1.1.1")) == (["8.8.8.8", "1.1.1.1"], None)
    good, failure = targets.choose(uri, target, ("10.0.0.1", "::1"))
    assert (good, failure.kind) == ([], ErrorKind.ADDRESS)
    assert failure.detail.startswith("example.org: 10.0.0.1 is private (10.0.0.0/8)")
