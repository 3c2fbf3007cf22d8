"""Limits of a worker: which are refused together, and that processors show their steps."""

from __future__ import annotations

import re

import pytest

from spyder.errors import SettingsError
from spyder.model.states import ErrorKind
from spyder.nodes import processors
from spyder.nodes.board import Board, Cell, Note
from spyder.nodes.checks import check
from spyder.nodes.processors import Stage
from spyder.settings import load
from spyder.testing import make_page


def steps(*calls):
    """What is called, in order, for one page; a step is an empty line."""
    seen = []
    stages = [Stage(name=call, call=lambda page, call=call: seen.append(call), timeout=1.0) for call in calls]
    assert processors.run(stages, make_page("http://a.example/"), on_step=lambda: seen.append("")) is None
    return seen


def test_given_processors_when_run_then_there_is_a_step_before_each():
    assert steps("one", "two", "three") == ["", "one", "", "two", "", "three"]
    assert steps() == []


def test_given_a_processor_that_fails_when_run_then_no_further_step_is_made():
    seen = []

    def fails(page):
        raise ValueError("no")

    stages = [Stage(name=name, call=fails, timeout=0.0) for name in ("one", "two")]
    failure = processors.run(stages, make_page("http://a.example/"), on_step=lambda: seen.append(""))
    assert failure is not None and failure.kind is ErrorKind.PROCESSOR and seen == [""]


@pytest.mark.parametrize(("overrides", "line"), [
    ({"worker.hang_timeout": 2.9}, "`worker.hang_timeout` (2.9 s) must be 3 times `bus.heartbeat` (1 s) at the least"),
    ({"bus.heartbeat": 30.0}, "`worker.hang_timeout` (60 s) must be 3 times `bus.heartbeat` (30 s) at the least"),
    ({"processors": ["json:dumps", {"use": "json:loads", "timeout": 60.0}]},
     "`processors[1].timeout` of json:loads (60 s) must be less than `worker.hang_timeout` (60 s)"),
    ({"worker.memory_soft": 2000, "worker.memory_hard": 2000},
     "`worker.memory_soft` (2000) must be less than `worker.memory_hard` (2000)"),
])
def test_given_limits_that_contradict_each_other_when_checked_then_one_line_names_both(overrides, line):
    settings = load(environ={}, overrides=overrides)
    with pytest.raises(SettingsError, match=re.escape(line)) as refused:
        check(settings)
    assert "\n" not in str(refused.value)
    check(settings, has_workers=False)


@pytest.mark.parametrize("overrides", [
    {}, {"worker.hang_timeout": 3.0, "extract.max_parse_time": 1.0,
         "processors": [{"use": "json:loads", "timeout": 2.9}]},
    {"processors": [{"use": "json:loads", "timeout": 0.0}]}, {"worker.memory_soft": 1999, "worker.memory_hard": 2000},
    {"worker.memory_hard": 1}, {"bus.heartbeat": 7.0}])
def test_given_limits_that_fit_when_checked_then_nothing_is_said(overrides):
    check(load(environ={}, overrides=overrides))


def test_given_a_board_that_others_opened_when_written_then_they_see_beats_and_notes(tmp_path):
    supervisors, extractors = Board(tmp_path / "b"), Board(tmp_path / "b")
    assert supervisors.note(Note.EXTRACTOR) == b"" and supervisors[Cell.EXTRACTOR_BEAT] == 0
    extractors.write_note(Note.EXTRACTOR, b"k" * 18)
    extractors.beat(Cell.EXTRACTOR_BEAT)
    assert supervisors.note(Note.EXTRACTOR) == b"k" * 18 and supervisors.note(Note.FETCHER) == b""
    assert supervisors[Cell.EXTRACTOR_BEAT] == 1 and supervisors[Cell.FETCHER_BEAT] == 0
    extractors.write_note(Note.EXTRACTOR, b"")
    extractors.close()
    assert supervisors.note(Note.EXTRACTOR) == b""
    supervisors.close()
