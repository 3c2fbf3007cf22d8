"""One crawl of the whole hostile site: everything ends as documented, memory stays bounded, good pages are all had."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

import yaml

from spyder.testing import Ending, HostileSite
from system.support import Command, records, running

#: Bytes that a fetcher or an extractor may take at the most. The settings let 64 bodies of 4 MB arrive at once.
MOST_MEMORY = 400_000_000
#: Seconds for the whole crawl. It takes half a minute; this is for machines that are busy.
PATIENCE = 240.0


class PeakMemory:
    """The most memory that each process of a command's workers took, as the kernel has it, until it is stopped."""

    def __init__(self, command: Command) -> None:
        self.peaks: dict[tuple[str, int], int] = {}
        self._command = command
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory")
        self._thread.start()

    def _look(self) -> None:
        while not self._is_over.wait(0.2):
            for role in ("fetcher", "extractor"):
                for pid in self._command.children(role):
                    self.peaks[role, pid] = max(self.peaks.get((role, pid), 0), _peak(pid))

    def stop(self) -> dict[str, int]:
        """Bytes by role, and how many processes each had: none may have been replaced."""
        self._is_over.set()
        self._thread.join()
        return {role: max(size for (name, _), size in self.peaks.items() if name == role)
                for role in ("fetcher", "extractor")}


def _peak(pid: int) -> int:
    """``VmHWM`` of a process in bytes; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _endings(output: Path) -> dict[str, Ending]:
    """How each URL ended: its state by the frontier, its title and time by its record."""
    told = {record["url"]: record for record in records(output)}
    endings = {}
    with running("frontier", "dump", str(output)) as command:
        for line in command.succeed().splitlines():
            view = json.loads(line)
            record = told.get(view["url"], {})
            endings[view["url"]] = Ending(
                state=view["state"], status=view.get("status", 0), reason=view.get("reason", "").partition(":")[0],
                title=record.get("title", "") if record else None,
                elapsed=record.get("elapsed_ms", 0.0) / 1000 if record else None)
    return endings


def test_given_the_hostile_site_when_crawled_then_all_ends_as_documented_and_every_good_page_is_had(
        tmp_path: Path, need) -> None:
    need("openssl")
    output = tmp_path / "c"
    with HostileSite() as site:
        settings = site.settings() | {"project": {"seeds": list(site.seeds)}, "worker": {"processes": 2}}
        settings["fetch"]["contact"] = "https://crawler.test/"
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(settings))
        with running("crawl", "--settings", str(tmp_path / "s.yaml"), "--output", str(output), "--json") as command:
            memory = PeakMemory(command)
            try:
                summary = json.loads(command.succeed(PATIENCE))
            finally:
                peaks = memory.stop()
        endings = _endings(output)
        complaints = site.complaints(endings)
        requests = len(site.report().requests)
    processes = Counter(role for role, _ in memory.peaks)
    print(f"\n{len(site.behaviours)} behaviours, "
          f"{requests} requests, {len(endings)} URIs in {summary['elapsed']:.1f} s; "
          f"peak memory: {', '.join(f'{role} {size / 1e6:.0f} MB' for role, size in peaks.items())}")
    assert complaints == []
    assert summary["balanced"] is True
    assert processes == {"fetcher": 2, "extractor": 2}, "no worker died"
    assert all(size < MOST_MEMORY for size in peaks.values()), peaks
    assert {url for url in site.good_pages() if endings[url].text != "done 200"} == set()
