"""Warnings on standard error: nobody who does not read them, and no full disk, holds a process up."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from spyder.nodes.process import Console


@pytest.fixture
def console():
    opened = []

    def console(descriptor):
        logger = logging.Logger("spyder.given")
        handler = Console(descriptor)
        handler.setFormatter(logging.Formatter("spyder: %(message)s"))
        logger.addHandler(handler)
        opened.append(descriptor)
        return logger, handler
    yield console
    for descriptor in opened:
        os.close(descriptor)


def test_given_somebody_who_reads_when_logged_then_there_is_a_line_for_each_record(console):
    reading, writing = os.pipe()
    logger, handler = console(writing)
    logger.warning("%d of %s", 1, "grün\ud800")
    logger.error("two\nlines")
    assert os.read(reading, 1000).decode() == "spyder: 1 of grün\\ud800\nspyder: two\nlines\n"
    assert handler.dropped == 0
    os.close(reading)


def test_given_nobody_who_reads_when_logged_without_end_then_nothing_waits_and_the_rest_is_dropped(console):
    reading, writing = os.pipe()
    logger, handler = console(writing)
    for _ in range(500):
        logger.warning("x" * 10_000)
    assert 0 < handler.dropped < 500
    before = handler.dropped
    assert os.read(reading, 1 << 20).count(b"\n") == 500 - before
    logger.warning("again")
    assert (handler.dropped, os.read(reading, 100)) == (before, b"spyder: again\n")
    os.close(reading)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_given_a_full_disk_when_logged_then_it_is_dropped_without_a_word(console, capfd):
    logger, handler = console(os.open("/dev/full", os.O_WRONLY))
    logger.warning("first")
    logger.warning("second")
    assert handler.dropped == 2
    assert capfd.readouterr() == ("", "")


def test_given_a_reader_that_is_gone_or_a_bad_call_when_logged_then_it_is_dropped_without_a_word(console, capfd):
    reading, writing = os.pipe()
    logger, handler = console(writing)
    logger.warning("%d items", "three")
    os.close(reading)
    logger.warning("first")
    assert handler.dropped == 2
    assert capfd.readouterr() == ("", "")
