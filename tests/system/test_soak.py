"""The soak: a crawl at full speed keeps its descriptors, its threads and its memory, and a leak would be seen."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "soak.py"
MB = 1_000_000


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_half_a_minute_at_full_speed_leaks_nothing():
    # A megabyte a second would be a kilobyte for each page and more; caches that fill take less.
    done = subprocess.run([sys.executable, str(SCRIPT), "--minutes", "0.5", "--every", "1", "--bound", "60"],
                          capture_output=True, text=True, timeout=180, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GROWS" not in done.stdout
    for process in ("master", "fetcher 0", "extractor 0"):
        assert f"\n{process} " in done.stdout


@pytest.mark.parametrize(("leak", "what"), [
    ({}, []), ({"memory": 0.1 * MB}, ["memory by 6.00 MB a minute"]), ({"descriptors": 1}, ["descriptors by 75"]),
    ({"threads": 0.1}, ["threads by 7"])])
def test_what_grows_after_the_warm_up_is_seen(soak, leak, what):
    grown = {"memory": 80.0 * MB, "descriptors": 30, "threads": 4}

    def sample(at: int):
        warming = MB * max(0, 20 - at)
        return soak.Sample(at, "master", **{name: int(start + leak.get(name, 0) * at + warming * (name == "memory"))
                                            for name, start in grown.items()})

    verdict = soak.judge("master", [sample(at) for at in range(120)], early=5, warm_up=20, bound=MB / 60)
    assert verdict.grows == what
    assert verdict.early == sample(5).memory


def test_too_few_samples_give_no_verdict(soak):
    samples = [soak.Sample(at, "master", MB, 1, 1) for at in range(10)]
    assert soak.judge("master", samples, early=1, warm_up=5, bound=1.0) is None
