"""What system tests share: the real command in real processes, its records, and its end by any means."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: Seconds after which a command hangs for certain.
PATIENCE = 60.0


class Command:
    """A running ``spyder`` command."""

    def __init__(self, *arguments: str, cwd: Path | None = None, prefix: Sequence[str] = (),
                 environ: Mapping[str, str] | None = None) -> None:
        self.arguments = arguments
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "spyder", *arguments], cwd=cwd, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "COLUMNS": "200", **(environ or {})})

    def wait(self, patience: float = PATIENCE) -> str:
        """Wait for its end; what it printed."""
        try:
            output, _ = self.process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self.kill_all()
            output, _ = self.process.communicate()
            raise AssertionError(f"spyder {' '.join(self.arguments)} did not end in {patience} s:\n{output}") from None
        return output

    def succeed(self, patience: float = PATIENCE) -> str:
        """Wait for its end, which must be a good one."""
        output = self.wait(patience)
        assert self.process.returncode == 0, f"exit code {self.process.returncode}:\n{output}"
        return output

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command itself, not to its children."""
        self.process.send_signal(number)

    def children(self, role: str = "") -> list[int]:
        """Process ids of its worker processes: all, or the ``fetcher`` or ``extractor`` ones."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().split(b"\0")
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except (OSError, ValueError):
                    continue
                is_worker = parent == self.process.pid and b"spyder.nodes.worker" in line
                if is_worker and (not role or role.encode() in line):
                    found.append(int(entry.name))
        return sorted(found)

    def kill_all(self) -> None:
        """End it and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(*arguments: str, **options: Any) -> Iterator[Command]:
    """A command that is ended with all its children when the test is over."""
    command = Command(*arguments, **options)
    try:
        yield command
    finally:
        command.kill_all()
        assert command.process.stdout is not None
        command.process.stdout.close()


def crawl(*arguments: str, output: Path, **options: Any) -> dict[str, Any]:
    """Run ``spyder crawl`` to its end; its summary."""
    with running("crawl", *arguments, "--output", str(output), "--delay", "0", "--json", **options) as command:
        summary: dict[str, Any] = json.loads(command.succeed())
    return summary


def wait_until(condition: Callable[[], object], what: str, patience: float = 30.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience} s for {what}"
        time.sleep(0.02)


def records(crawl_directory: Path) -> list[dict[str, Any]]:
    """All page records; every line of every file must be one."""
    found = []
    for path in sorted((crawl_directory / "pages").glob("*.jsonl")):
        data = path.read_bytes()
        assert not data or data.endswith(b"\n"), f"{path} ends in the middle of a record"
        found.extend(json.loads(line) for line in data.splitlines())
    return found


def by_url(crawl_directory: Path) -> Counter[str]:
    """How many records each URL has."""
    return Counter(record["url"] for record in records(crawl_directory))


def states(crawl_directory: Path) -> Counter[str]:
    """How many URIs of the frontier are in each state, read from the store itself."""
    with running("frontier", "dump", str(crawl_directory)) as command:
        return Counter(json.loads(line)["state"] for line in command.succeed().splitlines())


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports
