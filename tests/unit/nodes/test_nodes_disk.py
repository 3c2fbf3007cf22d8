"""The reserve of a disk: when it is said to be short, and when that is over."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from spyder.nodes.disk import DiskWatch, is_passing

MB = 1_000_000


class Disk:
    """A disk whose free bytes a test sets, and how often it was looked at."""

    def __init__(self, free: int) -> None:
        self.free: int | OSError = free
        self.looks = 0

    def __call__(self) -> int:
        self.looks += 1
        if isinstance(self.free, OSError):
            raise self.free
        return self.free


def watch(disk, reserve=60 * MB):
    return DiskWatch(Path("/crawl/frontier"), reserve, setting="frontier.reserve", free=disk)


def test_given_a_disk_that_fills_up_when_it_is_below_the_reserve_then_the_line_says_what_is_wrong():
    disk = Disk(60 * MB)
    guard = watch(disk)
    assert guard.trouble(0.0) == ""
    disk.free = 12_345_678
    assert guard.trouble(1.0) == ("only 12.3 MB are free on the disk of /crawl/frontier, "
                                  "less than frontier.reserve (60.0 MB)")


def test_given_a_trouble_when_room_is_made_then_it_is_over_at_a_tenth_more_than_the_reserve():
    disk = Disk(59 * MB)
    guard = watch(disk)
    first = guard.trouble(0.0)
    for now, free, is_trouble in ((1, 60, True), (2, 65, True), (3, 66, False), (4, 60, False), (5, 59, True),
                                  (6, 65, True), (7, 100, False)):
        disk.free = free * MB
        assert bool(guard.trouble(float(now))) is is_trouble, (now, free)
    assert "59.0 MB" in first


def test_given_many_questions_when_asked_then_the_disk_is_looked_at_once_a_second():
    disk = Disk(MB)
    guard = watch(disk)
    for tenth in range(25):
        assert guard.trouble(tenth / 10)
    assert disk.looks == 3


def test_given_no_reserve_when_asked_then_there_is_never_trouble_and_no_look():
    disk = Disk(0)
    assert watch(disk, reserve=0).trouble(0.0) == ""
    assert disk.looks == 0


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EACCES, errno.EIO, errno.ENOTDIR])
def test_given_a_disk_that_cannot_be_looked_at_when_asked_then_that_is_the_trouble_until_it_can(error):
    disk = Disk(OSError(error, os.strerror(error)))
    guard = watch(disk)
    assert guard.trouble(0.0) == f"the disk of /crawl/frontier can't be looked at: {os.strerror(error)}"
    disk.free = 61 * MB
    assert guard.trouble(1.0) == ""


def test_given_a_real_folder_when_asked_then_the_system_says_how_much_is_free(tmp_path):
    assert DiskWatch(tmp_path, 1, setting="x").trouble(0.0) == ""
    assert "less than x (1000000000000.0 MB)" in DiskWatch(tmp_path, 10 ** 18, setting="x").trouble(0.0)
    assert "No such file" in DiskWatch(tmp_path / "gone", 1, setting="x").trouble(0.0)
    (tmp_path / "file").write_text("")
    assert "Not a directory" in DiskWatch(tmp_path / "file" / "below", 1, setting="x").trouble(0.0)


@pytest.mark.parametrize(("error", "passes"), [
    (errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, True), (errno.EACCES, False), (errno.ENOTDIR, False)])
def test_given_an_error_of_a_disk_when_asked_then_a_full_or_failing_one_may_pass(error, passes):
    assert is_passing(OSError(error, "x")) is passes
