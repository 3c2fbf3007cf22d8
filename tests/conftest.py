"""What tests of all kinds share: a clock that stands still until it is turned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from spyder.testing import ManualClock


@pytest.fixture(scope="session", autouse=True)
def nobodys_identity(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads, or writes, who the person at the keyboard is."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def need() -> Callable[[str], str]:
    """The path of a program, or of a file; what is missing skips the test on a laptop and fails it in CI."""
    def find(name: str) -> str:
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path is None and os.path.exists(name):
            path = name
        if path is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
        return path

    return find
