"""What a worker's processes are told by their supervisor: when they start, and by the lifeline."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import msgspec

from spyder.bus.messages import Gone
from spyder.settings import Settings, from_tree, host_name, to_tree

#: Which part of a worker a process is.
FETCHER, EXTRACTOR, BOTH = "fetcher", "extractor", "both"
#: What the fetcher is asked for through the lifeline: a drained end for good, or to be replaced.
QUIT, RETIRE = b"q", b"r"


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One worker: both its processes get the same."""

    worker: str  #: identity
    folder: str  #: for its ipc:// names and its board; short, since such names are bounded
    index: int  #: of the worker under its supervisor
    settings: dict[str, Any]  #: plain values
    is_profiled: bool = False  #: measure CPU by stage
    is_careful: bool = False  #: one fetch at a time, so that the URI that a fetcher dies on is known
    predecessor: Gone | None = None  #: how the worker ended whose place this one takes

    @property
    def name(self) -> str:
        """Short name for files."""
        return f"w{self.index}-{self.worker.rpartition(':')[2]}"

    @property
    def stage_address(self) -> str:
        """Where the fetcher hands pages to the extractor."""
        stage = self.read_settings().bus.stage
        if stage == "ipc://":
            return f"ipc://{self.folder}/{self.name}.stage"
        return f"inproc://{self.name}" if stage == "inproc://" else stage

    @property
    def board_path(self) -> Path:
        """The shared file of the board."""
        return Path(self.folder) / f"{self.name}.board"

    @property
    def is_one_process(self) -> bool:
        """True when both stages run in one process."""
        return self.read_settings().bus.stage.startswith("inproc://")

    def read_settings(self) -> Settings:
        """The settings, typed."""
        return from_tree(self.settings)


def new_spec(settings: Settings, *, folder: str, index: int, is_profiled: bool = False, is_careful: bool = False,
             predecessor: Gone | None = None) -> WorkerSpec:
    """A worker with a new boot nonce: ``worker:host:pid.index:nonce``."""
    identity = f"worker:{host_name()}:{os.getpid()}.{index}:{secrets.token_hex(4)}"
    return WorkerSpec(worker=identity, folder=folder, index=index, settings=to_tree(settings), is_profiled=is_profiled,
                      is_careful=is_careful, predecessor=predecessor)
