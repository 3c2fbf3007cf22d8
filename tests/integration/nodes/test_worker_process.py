"""A worker's process as its supervisor starts it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from spyder.model.states import ExitCode


@pytest.mark.parametrize("said", [b"", b'{"worker": "worker:h:1.0:ab", "sett'])
def test_given_a_supervisor_that_died_before_it_had_said_all_when_started_then_a_worker_ends_without_a_word(said):
    done = subprocess.run([sys.executable, "-m", "spyder.nodes.worker", "fetcher"], input=said, capture_output=True,
                          timeout=60, check=False)
    assert done.returncode == ExitCode.ORPHANED
    assert done.stdout == done.stderr == b""
