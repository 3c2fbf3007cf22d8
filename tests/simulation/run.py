"""Simulates crawls: ``python tests/simulation/run.py --seeds 100000``; ``--seed N`` tells the story of one."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from simulation.oracle import Violation
from simulation.world import World, run

#: Seeds that one process takes at a time.
_CHUNK = 100


def steps_of(seeds: Iterable[int]) -> tuple[int, list[str]]:
    """The steps that these seeds took, and what was violated."""
    logging.disable(logging.CRITICAL)
    steps, failures = 0, []
    for seed in seeds:
        try:
            steps += run(seed).machine.steps
        except Violation as error:
            failures.append(str(error))
    return steps, failures


def main() -> int:
    """Run what the arguments ask for; 1 when anything was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with all that its processes log")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    if options.seed is not None:
        return _tell(options.seed)
    started = time.monotonic()
    chunks = [range(first, min(first + _CHUNK, options.first + options.seeds))
              for first in range(options.first, options.first + options.seeds, _CHUNK)]
    steps = failed = 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for done, (taken, failures) in enumerate(pool.imap_unordered(steps_of, chunks), 1):
            steps += taken
            failed += len(failures)
            for failure in failures:
                print(failure, "\n")
            if not done % 10:
                print(f"{min(done * _CHUNK, options.seeds):,} seeds, {steps:,} steps, {failed} violated, "
                      f"{time.monotonic() - started:.0f} s", flush=True)
    print(f"{options.seeds:,} seeds, {steps:,} steps in {time.monotonic() - started:.1f} s: {failed} violated")
    return 1 if failed else 0


class _Story(logging.Handler):
    """Puts log records between the events of the simulation."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.note(f"    {record.getMessage()}")


def _tell(seed: int) -> int:
    world = World(seed)
    logging.basicConfig(level=logging.INFO, handlers=[_Story(world)])
    try:
        world.run()
    except Violation as error:
        print("\n".join(world.log))
        print(f"seed {seed} at {world.machine.time:.4f} s: {error}")
        return 1
    print("\n".join(world.log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
