"""A small disk that is really full when it is: a tmpfs of its own, which takes root to mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_BLOCK = 4096


class SmallDisk:
    """A mounted disk, and a file on it that takes the room of others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free(self) -> int:
        """Bytes that are free."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def fill(self, *, leave: int = 0) -> None:
        """Take all room but *leave* bytes; what others give free meanwhile, too."""
        with self._ballast.open("ab") as ballast, suppress(OSError):
            while (size := self.free - leave) >= _BLOCK or not leave:
                os.write(ballast.fileno(), bytes(min(max(size, _BLOCK), 1 << 20)))

    def relieve(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@contextmanager
def small_disk(path: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a disk at *path*; where that is not allowed the test is skipped on a laptop, and fails in CI."""
    path.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)],
                              capture_output=True, text=True)
        reason = done.stderr.strip() if done.returncode else ""
    except FileNotFoundError:
        reason = "there is no mount"
    if reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no tmpfs can be mounted: {reason}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
