"""Three hosts in network namespaces, joined by links that can lose packets, be cut, and be reset."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from system.support import Command

_HUB = "br0"


class Namespaces:
    """Three hosts in network namespaces, joined by a bridge in the first one."""

    def __init__(self) -> None:
        self.names = [f"spyder{os.getpid() % 10_000}-{index}" for index in range(3)]
        self.addresses = [f"10.177.{os.getpid() % 200}.{index + 1}" for index in range(3)]

    def __enter__(self) -> Namespaces:
        for name in self.names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        hub = self.names[0]
        run("ip", "-n", hub, "link", "add", _HUB, "type", "bridge")
        run("ip", "-n", hub, "addr", "add", f"{self.addresses[0]}/24", "dev", _HUB)
        run("ip", "-n", hub, "link", "set", _HUB, "up")
        for index in (1, 2):
            run("ip", "link", "add", f"sv{index}", "netns", self.names[index], "type", "veth", "peer", "name",
                f"sh{index}", "netns", hub)
            run("ip", "-n", hub, "link", "set", f"sh{index}", "master", _HUB, "up")
            run("ip", "-n", self.names[index], "addr", "add", f"{self.addresses[index]}/24", "dev", f"sv{index}")
            run("ip", "-n", self.names[index], "link", "set", f"sv{index}", "up")
        return self

    def __exit__(self, *error: object) -> None:
        for name in self.names:
            run("ip", "netns", "del", name)

    def prefix(self, host: int) -> tuple[str, ...]:
        """What makes a command run on one of the hosts."""
        return ("ip", "netns", "exec", self.names[host])

    def command(self, host: int, *arguments: str) -> Command:
        """A ``spyder`` command on one of the hosts."""
        return Command(*arguments, prefix=self.prefix(host))

    # -- trouble on the links between the first host and the others ----------------------------------------------

    def lose(self, probability: float) -> None:
        """From now on each packet that arrives over a link is lost with *probability*, in both directions."""
        for host in range(3):
            self._rule("-A", host, "-i", self._link(host), "-m", "statistic", "--mode", "random", "--probability",
                       str(probability), "-j", "DROP")

    def lost(self) -> list[int]:
        """Packets that each host has lost so."""
        found = []
        for host in range(3):
            table = run(*self.prefix(host), "iptables", "-L", "INPUT", "-v", "-x", "-n")
            found.append(sum(int(line.split()[0]) for line in table.splitlines() if "statistic mode random" in line))
        return found

    def cut(self, host: int) -> None:
        """Let nothing pass between the first host and another one."""
        self._rule("-I", host, "-i", self._link(host), "-j", "DROP")
        self._rule("-I", 0, "-s", self.addresses[host], "-j", "DROP")

    def heal(self, host: int) -> None:
        """Undo :meth:`cut`."""
        self._rule("-D", host, "-i", self._link(host), "-j", "DROP")
        self._rule("-D", 0, "-s", self.addresses[host], "-j", "DROP")

    def reset(self, host: int) -> Callable[[], None]:
        """Answer whatever TCP arrives at a host with a reset, until what is returned is called."""
        rule = ("-i", self._link(host), "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")
        self._rule("-I", host, *rule)
        return lambda: self._rule("-D", host, *rule)

    def connections(self, host: int) -> set[str]:
        """TCP connections of a host over its link, as ``local peer``."""
        table = run(*self.prefix(host), "ss", "-H", "-t", "-n", "state", "established")
        ends = [tuple(line.split()[2:4]) for line in table.splitlines()]
        return {f"{local} {peer}" for local, peer in ends if _is_over_link(local, peer)}

    def _link(self, host: int) -> str:
        return f"sv{host}" if host else _HUB

    def _rule(self, action: str, host: int, *rule: str) -> None:
        run(*self.prefix(host), "iptables", action, "INPUT", *rule)


def _is_over_link(local: str, peer: str) -> bool:
    """True for a connection between two hosts; addresses may stand in IPv6's form."""
    ends = [end.rpartition(":")[0].strip("[]").removeprefix("::ffff:") for end in (local, peer)]
    return ends[0] != ends[1] and not ends[0].startswith("127.")


def run(*command: str) -> str:
    """Run a command that must succeed; what it prints."""
    environ = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@pytest.fixture
def namespaces(need: Callable[[str], str]) -> Iterator[Namespaces]:
    """Three hosts, gone afterwards; needs root."""
    need("ip")
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("network namespaces need root")
    with Namespaces() as three:
        yield three
