"""A disk that is really full: records and logs go on by themselves when there is room, and are whole."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from system.smalldisk import SmallDisk, small_disk

from spyder.bus.logpipe import LogMessage
from spyder.bus.sockets import Sockets, send
from spyder.model.records import CrawlUri, Page, PageRecord
from spyder.nodes.logsink import LogSink
from spyder.output.jsonl import JsonlSink
from spyder.settings import BusSection, LogSection

PAGE = Page(uri=CrawlUri(lease=1, key=bytes(18), url="http://a.example/"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        yield disk


def write(sink: JsonlSink, numbers: range) -> None:
    for number in numbers:
        sink.write(PageRecord(url=f"http://a.example/{number}", final_url="", fetched_at="", title="x" * 500,
                              data={"n": number}), PAGE, b"")


def numbers(folder: Path) -> list[int]:
    """The records of all files; a line that is no whole record fails."""
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        assert not data or data.endswith(b"\n")
        found.extend(json.loads(line)["data"]["n"] for line in data.splitlines())
    return found


@pytest.mark.parametrize("rotate_size", [1 << 30, 20_000])
def test_given_a_full_disk_when_records_are_synced_then_none_is_torn_or_lost_and_it_goes_on_with_room(
        disk, rotate_size):
    sink = JsonlSink(disk.path / "pages", name="pages", rotate_size=rotate_size)
    sink.open()
    write(sink, range(100))
    sink.sync()
    disk.fill(leave=20_000)
    refused, reported = 0, 100
    for number in range(100, 200, 10):
        write(sink, range(number, number + 10))
        try:
            sink.sync()
        except OSError as error:
            assert error.errno == errno.ENOSPC
            refused += 1
            disk.fill(leave=0)
        else:
            assert not refused, "what is full stays full"
            reported = number + 10
        assert numbers(disk.path / "pages") == list(range(reported))
    assert refused > 3
    disk.relieve()
    sink.sync()
    sink.close()
    assert numbers(disk.path / "pages") == list(range(200))


def test_given_a_disk_that_is_full_from_the_start_when_there_is_room_then_records_are_written(disk):
    disk.fill()
    sink = JsonlSink(disk.path / "pages", name="pages", rotate_size=1 << 30)
    try:
        sink.open()  # a tmpfs has room for a folder and for an empty file
    except OSError as error:
        assert error.errno == errno.ENOSPC
    write(sink, range(10))
    with pytest.raises(OSError, match="No space"):
        sink.sync()
    with pytest.raises(OSError, match="No space"):
        sink.close()
    disk.relieve()
    sink.sync()
    sink.close()
    assert numbers(disk.path / "pages") == list(range(10))


def test_given_a_full_disk_when_log_records_come_then_they_are_dropped_and_counted_and_it_is_said_once(
        disk, tmp_path, caplog, capfd):
    sockets = Sockets(BusSection(linger=0.0))
    address = f"ipc://{tmp_path}/log"

    def log(sender, count):
        for number in range(count):
            message = LogMessage(logger="spyder.x", level=20, created=1.0, process="worker:h:1",
                                 text=f"{number} {'x' * 2000}")
            assert send(sender, [b"spyder.worker.INFO", msgspec.msgpack.encode(message)])

    async def until(condition):
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it did not happen")

    async def main():
        sink = LogSink(LogSection(rotate_size=400_000, keep=2), disk.path / "logs", sockets=sockets, address=address)
        sink.start()
        sender = sockets.publisher(connect=address)
        await asyncio.sleep(0.2)  # the subscription is on its way
        log(sender, 100)
        await until(lambda: sink.records == 100)
        disk.fill()
        log(sender, 500)
        await until(lambda: sink.records + sink.dropped == 600)
        assert sink.dropped > 400
        before = sink.dropped
        disk.relieve()
        log(sender, 300)
        await until(lambda: sink.records + sink.dropped == 900)
        assert sink.dropped == before
        sink.close()
        return sink.records

    with caplog.at_level(logging.WARNING):
        records = asyncio.run(main())
    sockets.close_all()
    assert {path.name for path in (disk.path / "logs").iterdir()} == {"worker.log", "worker.log.1", "worker.log.2"}
    lines = [line for path in (disk.path / "logs").iterdir() for line in path.read_bytes().split(b"\n")[:-1]]
    assert 300 <= len(lines) <= records, "older ones were rotated away"
    assert all(line.endswith(b"x" * 2000) and line.count(b"worker:h:1") == 1 for line in lines), "whole lines only"
    said = [record.getMessage() for record in caplog.records if "log files" in record.getMessage()]
    assert ["can't be written: No space left" in said[0], f"{900 - records} records were dropped" in said[1]] == [
        True, True]
    assert len(said) == 2
    assert "Traceback" not in capfd.readouterr().err
