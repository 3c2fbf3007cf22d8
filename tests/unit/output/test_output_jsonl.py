"""JSON lines on disk: whole, synced, shared by several processes, and whole again after a disk that was full."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys

import pytest

from spyder.model.records import CrawlUri, Page, PageRecord
from spyder.output import jsonl
from spyder.output.jsonl import JsonlSink

PAGE = Page(uri=CrawlUri(lease=1, key=b"k", url="http://a.example/"))


@pytest.fixture
def make(tmp_path):
    sinks = []

    def make(*, rotate_size=1 << 20, name="pages-host"):
        sinks.append(JsonlSink(tmp_path / "pages", name=name, rotate_size=rotate_size))
        sinks[-1].open()
        return sinks[-1]
    yield make
    for sink in sinks:
        sink.close()


def record(number):
    return PageRecord(url=f"http://a.example/{number}", final_url="http://a.example/",
                      fetched_at="2026-01-01T00:00:00.000Z", title="Grün\u2028\n", data={"n": number})


def write(sink, *numbers):
    for number in numbers:
        sink.write(record(number), PAGE, b"")


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "pages").iterdir())


def numbers(tmp_path):
    """The records of all files; a line that is no whole record fails."""
    found = []
    for path in sorted((tmp_path / "pages").iterdir()):
        data = path.read_bytes()
        assert not data or data.endswith(b"\n")
        found.extend(json.loads(line)["data"]["n"] for line in data.split(b"\n")[:-1])
    return found


def test_given_records_when_synced_then_they_are_lines_of_json_on_disk_and_not_before(make, tmp_path):
    sink = make()
    write(sink, 1, 2)
    assert numbers(tmp_path) == []
    sink.sync()
    assert numbers(tmp_path) == [1, 2]
    line = json.loads((tmp_path / "pages" / "pages-host-00000.jsonl").read_bytes().splitlines()[0])
    assert (line["url"], line["title"], "error" in line) == ("http://a.example/1", "Grün\u2028\n", False)


def test_given_nothing_new_when_synced_then_the_disk_is_left_alone(make):
    sink = make()
    sink.sync()
    assert sink.syncs == 0
    write(sink, 1)
    sink.sync()
    sink.sync()
    assert sink.syncs == 1


def test_given_records_when_synced_then_their_file_was_synced_after_the_last_byte(make, monkeypatch):
    calls = []
    write_, sync_ = os.write, os.fdatasync
    monkeypatch.setattr(os, "write", lambda fd, data: (calls.append("write"), write_(fd, data))[1])
    monkeypatch.setattr(os, "fdatasync", lambda fd: (calls.append("sync"), sync_(fd))[1])
    sink = make()
    write(sink, 1, 2, 3)
    sink.sync()
    assert calls == ["write", "sync"]


def test_given_a_kernel_that_takes_little_at_a_time_when_synced_then_all_is_written(make, monkeypatch, tmp_path):
    write_ = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write_(fd, data[:7]))
    sink = make()
    write(sink, 1, 2)
    sink.sync()
    assert numbers(tmp_path) == [1, 2]


def test_given_two_sinks_of_one_name_when_open_then_each_has_a_file_of_its_own(make, tmp_path):
    first, second = make(), make()
    write(first, 1)
    write(second, 2)
    first.sync()
    second.sync()
    assert files(tmp_path) == ["pages-host-00000.jsonl", "pages-host-00001.jsonl"]
    first.close()
    third = make()
    write(third, 3)
    third.sync()
    assert numbers(tmp_path) == [1, 3, 2], "the file that was let go is taken over"


def test_given_a_file_that_another_process_holds_when_opened_then_it_is_left_alone(make, tmp_path):
    code = ("import sys; from pathlib import Path; from spyder.output.jsonl import JsonlSink\n"
            "sink = JsonlSink(Path(sys.argv[1]), name='pages-host', rotate_size=1000); sink.open()\n"
            "print('open', flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "pages")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        write(sink := make(), 1)
        sink.sync()
        other.kill()
        other.communicate(timeout=10)
    assert (tmp_path / "pages" / "pages-host-00000.jsonl").stat().st_size == 0
    assert (tmp_path / "pages" / "pages-host-00001.jsonl").stat().st_size > 0
    assert make()._size == 0, "the lock of a dead process is gone"


@pytest.mark.parametrize(("left", "kept"), [
    (b'{"data":{"n":1}}\n{"data":{"n":2', b'{"data":{"n":1}}\n'), (b'{"torn', b""), (b"", b""),
    (b'{"data":{"n":1}}\n', b'{"data":{"n":1}}\n'), (b'{"data":{"n":1}}\n' + b"x" * 200_000, b'{"data":{"n":1}}\n'),
    (b"\x00" * 70_000, b""), (b'{"data":{"n":1}}\n' + b"x" * (jsonl._TAIL - 1), b'{"data":{"n":1}}\n'),
    (b'{"data":{"n":1}}\n' + b"x" * jsonl._TAIL, b'{"data":{"n":1}}\n')], ids=range(8))
def test_given_a_torn_last_line_of_a_dead_process_when_taken_over_then_it_is_cut_off(make, tmp_path, left, kept):
    path = tmp_path / "pages" / "pages-host-00000.jsonl"
    path.parent.mkdir()
    path.write_bytes(left)
    sink = make()
    assert path.read_bytes() == kept
    write(sink, 9)
    sink.sync()
    assert numbers(tmp_path) == ([1] if kept else []) + [9]


def test_given_a_full_file_when_synced_then_the_next_records_go_to_a_new_one(make, tmp_path):
    sink = make(rotate_size=300)
    for number in range(6):
        write(sink, number)
        sink.sync()
    sink.close()
    assert numbers(tmp_path) == list(range(6))
    sizes = [(tmp_path / "pages" / name).stat().st_size for name in files(tmp_path)]
    assert len(sizes) > 2
    assert all(300 <= size < 600 for size in sizes[:-1]) and sizes[-1] < 300
    write(again := make(rotate_size=300), 6)
    again.sync()
    assert [(tmp_path / "pages" / name).stat().st_size for name in files(tmp_path)][:-1] == sizes[:-1], "full ones stay"


def failing(error, *, times, after=0):
    """A stand-in for a function of os: *times* failures after *after* good calls."""
    calls = []

    def wrap(function):
        def call(*args):
            calls.append(args)
            if after < len(calls) <= after + times:
                raise OSError(error, os.strerror(error))
            return function(*args)
        return call
    return wrap


def test_given_a_disk_that_is_full_halfway_when_synced_then_the_file_keeps_whole_records_and_the_next_try_writes_all(
        make, monkeypatch, tmp_path):
    sink = make()
    write(sink, 1)
    sink.sync()
    write_, calls = os.write, []

    def half(fd, data):
        calls.append(len(data))
        if len(calls) in {1, 3}:
            return write_(fd, data[:20])
        if len(calls) in {2, 4}:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_(fd, data)
    monkeypatch.setattr(os, "write", half)
    write(sink, 2, 3)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            sink.sync()
        assert numbers(tmp_path) == [1]
        write(sink, 3 + len(calls))
    sink.sync()
    assert numbers(tmp_path) == [1, 2, 3, 5, 7]
    assert sink.syncs == 2


def test_given_a_sync_that_fails_when_repeated_then_the_records_are_written_again_and_stand_there_once(
        make, monkeypatch, tmp_path):
    sink = make()
    monkeypatch.setattr(os, "fdatasync", failing(errno.EIO, times=2)(os.fdatasync))
    write(sink, 1, 2)
    for _ in range(2):
        with pytest.raises(OSError):
            sink.sync()
        assert numbers(tmp_path) == []
    sink.sync()
    assert numbers(tmp_path) == [1, 2]


def test_given_a_torn_write_that_cannot_even_be_cut_when_repeated_then_no_torn_line_is_left(
        make, monkeypatch, tmp_path):
    sink = make()
    write(sink, 1)
    sink.sync()
    monkeypatch.setattr(os, "fdatasync", failing(errno.EIO, times=1)(os.fdatasync))
    monkeypatch.setattr(os, "ftruncate", failing(errno.EIO, times=1)(os.ftruncate))
    write(sink, 2)
    with pytest.raises(OSError):
        sink.sync()
    sink.sync()
    assert numbers(tmp_path) == [1, 2]


@pytest.mark.parametrize(("function", "times"), [("_sync_directory", 2), ("_cut_torn_line", 4)])
def test_given_a_rotation_that_fails_when_the_disk_recovers_then_records_go_on_in_a_new_file(
        make, monkeypatch, tmp_path, function, times):
    sink = make(rotate_size=10)
    monkeypatch.setattr(jsonl, function, failing(errno.ENOSPC, times=times)(getattr(jsonl, function)))
    write(sink, 1)
    sink.sync()
    assert numbers(tmp_path) == [1], "it is on disk: that there is no new file concerns only what comes later"
    write(sink, 2)
    with pytest.raises(OSError):
        sink.sync()
    sink.sync()
    assert numbers(tmp_path) == [1, 2]
    sink.close()


class Kernel:
    """A kernel whose disk fails, as Linux does it: a page that could not be written is said once, and is clean then.

    So what a failed sync was for is on disk only if it is written again before the sync that succeeds.
    """

    def __init__(self, monkeypatch, fails):
        self._fails = fails
        self._real = {name: getattr(os, name) for name in ("write", "fdatasync", "ftruncate")}
        self._dirty = {}  # by file: what was written since the last sync, and where
        self._disk = {}  # by file: what it has there; bytes that were never written to the disk are zeros
        for name in self._real:
            monkeypatch.setattr(os, name, getattr(self, name))

    def _maybe_fail(self, call):
        if error := self._fails(call):
            raise OSError(error, os.strerror(error))

    def write(self, descriptor, data):
        file, end = os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size
        written = 0
        try:
            self._maybe_fail("write")
            written = self._real["write"](descriptor, data)
        except OSError:
            written = self._real["write"](descriptor, data[:len(data) // 2])  # part of it is there all the same
            raise
        finally:
            self._dirty.setdefault(file, []).append((end, bytes(data[:written])))
        return written

    def fdatasync(self, descriptor):
        file = os.fstat(descriptor).st_ino
        dirty = self._dirty.pop(file, [])
        self._maybe_fail("fdatasync")
        disk = self._disk.setdefault(file, bytearray())
        for at, data in dirty:
            disk.extend(bytes(max(0, at - len(disk))))
            disk[at:at + len(data)] = data

    def ftruncate(self, descriptor, size):
        self._maybe_fail("ftruncate")
        self._real["ftruncate"](descriptor, size)
        file = os.fstat(descriptor).st_ino
        self._dirty[file] = [(at, data[:size - at]) for at, data in self._dirty.get(file, []) if at < size]
        del self._disk.get(file, bytearray())[size:]

    def content(self, path):
        """What the disk has of a file."""
        return bytes(self._disk.get(path.stat().st_ino, b"")).ljust(path.stat().st_size, b"\0")


def on_disk(kernel, tmp_path):
    """The records that would be there after a power failure; a line that is none fails."""
    return [json.loads(line)["data"]["n"] for path in sorted((tmp_path / "pages").iterdir())
            for line in kernel.content(path).splitlines()]


def test_given_a_sync_that_fails_once_when_the_next_one_succeeds_then_the_records_are_really_on_disk(
        make, monkeypatch, tmp_path):
    failures = [errno.EIO]
    kernel = Kernel(monkeypatch, lambda call: failures.pop() if call == "fdatasync" and failures else 0)
    sink = make()
    write(sink, 1, 2)
    with pytest.raises(OSError):
        sink.sync()
    sink.sync()
    assert on_disk(kernel, tmp_path) == [1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_given_a_disk_that_fails_at_any_call_when_synced_then_what_was_reported_is_on_disk_once_and_whole(
        make, monkeypatch, tmp_path, seed):
    chance = random.Random(seed)
    odds = chance.choice([0.05, 0.3, 0.6])
    errors = [errno.ENOSPC, errno.EDQUOT, errno.EIO]
    kernel = Kernel(monkeypatch, lambda call: chance.choice(errors) if chance.random() < odds else 0)

    def flaky(function):
        def call(*args, **options):
            if chance.random() < odds:
                raise OSError(chance.choice(errors), "failed")
            return function(*args, **options)
        return call

    monkeypatch.setattr(jsonl, "_sync_directory", flaky(jsonl._sync_directory))
    monkeypatch.setattr(jsonl.Path, "open", flaky(jsonl.Path.open))
    (tmp_path / "pages").mkdir()
    sink = JsonlSink(tmp_path / "pages", name="pages-host", rotate_size=1200)
    reported, kept, number = [], [], 0
    for _ in range(60):
        for _ in range(chance.randrange(4)):
            number += 1
            kept.append(number)
            write(sink, number)
        try:
            sink.sync()
        except OSError:
            continue
        reported += kept
        kept = []
        assert on_disk(kernel, tmp_path) == reported
    odds = 0.0
    sink.sync()
    sink.close()
    assert numbers(tmp_path) == list(range(1, number + 1))


def test_given_a_file_that_cannot_be_made_durable_when_taken_over_then_a_new_one_is_begun(make, monkeypatch, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "pages-host-00000.jsonl").write_bytes(b'{"data":{"n":7}}\n')
    monkeypatch.setattr(os, "fdatasync", failing(errno.EIO, times=1)(os.fdatasync))
    write(sink := make(), 1)
    sink.sync()
    assert numbers(tmp_path) == [7, 1]
    assert files(tmp_path) == ["pages-host-00000.jsonl", "pages-host-00001.jsonl"]


def test_given_a_file_that_fails_when_closed_then_its_records_are_on_disk_and_the_sink_goes_on(make, tmp_path):
    sink = make(rotate_size=10)
    file = sink._file

    class Failing:
        def __getattr__(self, name):
            return getattr(file, name)

        def close(self):
            file.close()
            raise OSError(errno.EIO, "failed")

    sink._file = Failing()
    write(sink, 1)
    sink.sync()
    write(sink, 2)
    sink.sync()
    assert numbers(tmp_path) == [1, 2]


def test_given_a_record_that_is_none_when_written_then_nothing_of_it_stays(make, tmp_path):
    sink = make()
    write(sink, 1)
    with pytest.raises(TypeError):
        sink.write(PageRecord(url="u", final_url="f", fetched_at="now", data={"n": object()}), PAGE, b"")
    write(sink, 2)
    sink.sync()
    assert numbers(tmp_path) == [1, 2]


def test_given_records_that_were_not_synced_when_closed_then_they_are_written(make, tmp_path):
    sink = make()
    write(sink, 1)
    sink.close()
    sink.close()
    assert numbers(tmp_path) == [1]


def test_given_a_disk_that_is_full_when_closed_then_it_is_said_and_the_file_is_let_go(make, monkeypatch, tmp_path):
    sink = make()
    write(sink, 1)
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", failing(errno.ENOSPC, times=9)(os.write))
        with pytest.raises(OSError):
            sink.close()
    write(other := make(), 2)
    other.sync()
    assert files(tmp_path) == ["pages-host-00000.jsonl"]
    assert numbers(tmp_path) == [2]


@pytest.mark.parametrize("blocked", ["pages"])
def test_given_a_folder_that_cannot_be_made_when_opened_then_it_is_an_os_error(tmp_path, blocked):
    (tmp_path / blocked).write_text("a file")
    with pytest.raises(OSError):
        JsonlSink(tmp_path / blocked, name="x", rotate_size=10).open()
