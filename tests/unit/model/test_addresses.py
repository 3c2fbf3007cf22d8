"""Addresses that are not public, and hosts of URLs that are addresses."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.model.addresses import (
    METADATA,
    host_address,
    host_and_port,
    is_localhost,
    is_metadata,
    parse_address,
    special_range,
    unmapped,
)
from spyder.model.url import parse

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


def judge(text):
    return special_range(parse_address(text))


@pytest.mark.parametrize("text", [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888", "2a00::1",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2606:4700::5efe:8.8.8.8",
])
def test_public_addresses(text):
    assert judge(text) == ""


@pytest.mark.parametrize(("text", "what"), [
    ("0.0.0.0", "this network"), ("0.1.2.3", "this network"), ("10.0.0.0", "private"), ("10.255.255.255", "private"),
    ("100.64.0.1", "shared"), ("127.0.0.1", "loopback"), ("127.255.255.255", "loopback"), ("169.254.1.1", "link-local"),
    ("172.16.0.1", "private"), ("172.31.255.255", "private"), ("192.168.0.1", "private"), ("192.0.0.8", "protocols"),
    ("192.0.2.1", "documentation"), ("198.51.100.1", "documentation"), ("203.0.113.1", "documentation"),
    ("192.88.99.1", "6to4"), ("198.18.0.1", "benchmarks"), ("198.19.255.255", "benchmarks"), ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"), ("240.0.0.1", "reserved"), ("255.255.255.255", "broadcast"),
    ("::", "unspecified"), ("::1", "loopback"), ("::2", "IPv4-compatible form of 0.0.0.2"), ("fc00::1", "private"),
    ("fdff::1", "private"), ("fe80::1", "link-local"), ("fe80::1%eth0", "link-local"), ("febf::1", "link-local"),
    ("fec0::1", "site-local"), ("ff02::1", "multicast"), ("100::1", "discarded"), ("100:0:0:1::1", "dummy"),
    ("2001:2::1", "benchmarks"), ("2001:10::1", "ORCHID"), ("2001:20::1", "ORCHID"), ("2001:1::1", "protocols"),
    ("2001:db8::1", "documentation"), ("3fff::1", "documentation"), ("5f00::1", "segment routing"),
    ("4000::1", "not assigned"), ("1::1", "not assigned"), ("64:ff9b:1::8.8.8.8", "local NAT64"),
    ("::ffff:127.0.0.1", "IPv4-mapped form of 127.0.0.1, which is loopback"), ("::ffff:a00:1", "IPv4-mapped"),
    ("::127.0.0.1", "IPv4-compatible form of 127.0.0.1"), ("::8.8.8.8", "not assigned"),
    ("::ffff:0:127.0.0.1", "IPv4-translated"), ("64:ff9b::127.0.0.1", "NAT64 form of 127.0.0.1"),
    ("64:ff9b::169.254.169.254", f"NAT64 form of 169.254.169.254, which is {METADATA}"),
    ("2002:7f00:1::", "6to4 form of 127.0.0.1"), ("2002:c0a8:101::1", "6to4 form of 192.168.1.1"),
    ("2001:0:7f00:1::", "Teredo form of 127.0.0.1"), ("2001:0:808:808:0:0:80ff:fffe", "Teredo form of 127.0.0.1"),
    ("2001:0:808:808:0:0:f7f7:f7f7", "of Teredo"), ("2606:4700::5efe:10.0.0.1", "ISATAP form of 10.0.0.1"),
    ("2606:4700::200:5efe:10.0.0.1", "ISATAP form of 10.0.0.1"),
    ("169.254.169.254", METADATA), ("169.254.170.2", METADATA), ("100.100.100.200", METADATA),
    ("192.0.0.192", METADATA), ("168.63.129.16", METADATA), ("fd00:ec2::254", METADATA), ("fd20:ce::254", METADATA),
])
def test_addresses_that_are_not_public(text, what):
    assert what in judge(text)


@given(st.ip_addresses())
def test_what_the_standard_library_calls_private_is_never_public(address):
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        assert special_range(address) or unmapped(address).is_global


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_never_better_than_the_bare_one(address):
    for form in (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}", f"::ffff:0:{address}",
                 f"2606:4700::5efe:{address}"):
        assert special_range(ipaddress.ip_address(form)) or not special_range(address)


@pytest.mark.parametrize("form", ["::ffff:{}", "64:ff9b::{}", "::{}", "{}"])
def test_metadata_services_in_every_form(form):
    assert is_metadata(ipaddress.ip_address(form.format("169.254.169.254")))
    assert not is_metadata(ipaddress.ip_address(form.format("169.254.169.1")))


@pytest.mark.parametrize("host", ["0x7f.1", "017700000001", "2130706433", "127.1", "127.0.0.1.",
                                  "\uff11\uff12\uff17.0.0.1", "%31%32%37.0.0.1",
                                  "127\u30020\u30020\u30021", "0177.0.0.01", "0x7F000001"])
def test_every_spelling_of_an_address_is_one_literal(host):
    url = parse(f"http://{host}:8000/")
    assert host_address(url.hostname) == ipaddress.ip_address("127.0.0.1")


@pytest.mark.parametrize(("host", "expected"), [
    ("[::1]", "::1"), ("[::ffff:7f00:1]", "::ffff:127.0.0.1"), ("8.8.8.8", "8.8.8.8"), ("example.org", None),
    ("host1", None), ("localhost", None), ("127.0.0.1..", None), ("[::1", None), ("[]", None), ("", None),
])
def test_hosts_that_are_addresses(host, expected):
    assert host_address(host) == (expected and ipaddress.ip_address(expected))


@pytest.mark.parametrize(("host", "expected"), [
    ("localhost", True), ("localhost.", True), ("a.localhost", True), ("a.b.localhost.", True),
    ("localhost.example.org", False), ("notlocalhost", False), ("127.0.0.1", False), ("localhost..", False)])
def test_names_of_loopback(host, expected):
    assert is_localhost(host) is expected


@pytest.mark.parametrize(("href", "expected"), [
    ("http://example.org/", ("example.org", 80)), ("https://example.org/", ("example.org", 443)),
    ("http://example.org:81/a:b", ("example.org", 81)), ("http://u:p@example.org:81?x", ("example.org", 81)),
    ("http://[::1]/", ("[::1]", 80)), ("http://[::1]:8000/", ("[::1]", 8000)), ("http://a:99999/", ("a", 0)),
    ("http://a:0/", ("a", 0)), ("ftp://a/", ("a", 0)),
])
def test_hosts_and_ports(href, expected):
    assert host_and_port(href) == expected
