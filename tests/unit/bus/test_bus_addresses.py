"""Addresses: who may bind where, how a wildcard reaches a peer, and where a worker's PUSH socket comes from."""

from __future__ import annotations

import pytest

from spyder.bus.auth import check_bind, is_local
from spyder.bus.sockets import bind_push, reachable
from spyder.errors import BusError

LOCAL = ["ipc:///tmp/x", "inproc://stage", "tcp://127.0.0.1:7701", "tcp://127.8.9.1:1", "tcp://localhost:7701",
         "tcp://[::1]:7701", "tcp://127.0.0.1:*"]
REMOTE = ["tcp://*:7701", "tcp://0.0.0.0:7701", "tcp://[::]:7701", "tcp://192.168.1.5:7701", "tcp://eth0:7701",
          "tcp://example.org:7701", "tcp://localhost.example.org:1", "tcp://0:7701", "tcp://", "nonsense", "",
          "tcp://[fe80::1]:1", "tcp://127.0.0.1.example:1", "tcp://10.0.0.1;127.0.0.1:7701"]


@pytest.mark.parametrize("address", LOCAL)
def test_given_an_address_on_this_host_when_bound_then_it_is_allowed(address):
    assert is_local(address)
    check_bind(address, insecure=False)


@pytest.mark.parametrize("address", REMOTE)
def test_given_an_address_that_others_reach_when_bound_then_it_is_refused_unless_allowed_in_words(address):
    assert not is_local(address)
    with pytest.raises(BusError, match=r"bus\.insecure"):
        check_bind(address, insecure=False)
    check_bind(address, insecure=True)


@pytest.mark.parametrize(("address", "seen_as", "expected"), [
    ("tcp://*:7703", "tcp://10.0.0.7:7701", "tcp://10.0.0.7:7703"),
    ("tcp://0.0.0.0:7703", "tcp://master.example:7701", "tcp://master.example:7703"),
    ("tcp://[::]:7703", "tcp://[fd00::1]:7701", "tcp://[fd00::1]:7703"),
    ("tcp://10.0.0.8:7703", "tcp://10.0.0.7:7701", "tcp://10.0.0.8:7703"),
    ("ipc:///run/x", "tcp://10.0.0.7:7701", "ipc:///run/x"),
    ("tcp://*:7703", "ipc:///run/mgmt", "tcp://127.0.0.1:7703"),
])
def test_given_an_address_of_the_master_when_a_worker_connects_then_a_wildcard_is_the_host_that_it_knows(
        address, seen_as, expected):
    assert reachable(address, seen_as) == expected


class FakeSockets:
    """Binds like a system where some ports are taken."""

    def __init__(self, *taken, own=(), error="Address already in use"):
        self.taken, self.own, self.error, self.tried = set(taken), own, error, []

    def is_bound(self, address):
        return address in self.own

    def push(self, *, bind):
        self.tried.append(bind)
        if bind in self.taken:
            raise BusError(f"{bind} can't be bound: {self.error}")
        return f"socket on {bind}"


def test_given_a_range_of_ports_when_some_are_taken_then_the_first_free_one_is_bound():
    sockets = FakeSockets("tcp://127.0.0.1:7710", "tcp://127.0.0.1:7711")
    assert bind_push(sockets, "tcp://127.0.0.1:7710-7719", 1) == (
        "socket on tcp://127.0.0.1:7712", "tcp://127.0.0.1:7712")


def test_given_a_range_that_is_full_when_bound_then_the_error_says_what_to_do():
    sockets = FakeSockets("tcp://127.0.0.1:7710", "tcp://127.0.0.1:7711")
    with pytest.raises(BusError, match="larger range"):
        bind_push(sockets, "tcp://127.0.0.1:7710-7711", 1)
    assert len(sockets.tried) == 2


def test_given_a_range_that_this_process_has_used_up_when_bound_then_no_port_is_tried_again():
    sockets = FakeSockets(own=("tcp://127.0.0.1:7710", "tcp://127.0.0.1:7711"))
    with pytest.raises(BusError, match="larger range"):
        bind_push(sockets, "tcp://127.0.0.1:7710-7711", 1)
    assert sockets.tried == []


def test_given_another_trouble_than_a_taken_port_when_bound_then_it_is_said_at_once():
    sockets = FakeSockets("tcp://10.9.9.9:7710", error="Cannot assign requested address")
    with pytest.raises(BusError, match="Cannot assign"):
        bind_push(sockets, "tcp://10.9.9.9:7710-7719", 1)
    assert len(sockets.tried) == 1


@pytest.mark.parametrize("pattern", ["tcp://127.0.0.1", "tcp://127.0.0.1:x", "tcp://127.0.0.1:1-x", "tcp://127.0.0.1:-",
                                     "tcp://127.0.0.1:", "nonsense"])
def test_given_a_pattern_that_is_none_when_bound_then_the_error_shows_a_right_one(pattern):
    with pytest.raises(BusError, match="7710-7799"):
        bind_push(FakeSockets(), pattern, 1)


def test_given_a_folder_when_bound_then_it_is_made_and_each_worker_has_a_name_in_it(tmp_path):
    folder = tmp_path / "run" / "push"
    addresses = [bind_push(FakeSockets(), f"ipc://{folder}", number)[1] for number in (1, 2)]
    assert addresses == [f"ipc://{folder}/push-1", f"ipc://{folder}/push-2"]
    assert folder.is_dir()
