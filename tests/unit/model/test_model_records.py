"""Records, states and time: what the other parts take for granted of them."""

from __future__ import annotations

import msgspec
import pytest

from spyder.model.clock import StageTimes, SystemClock
from spyder.model.records import Books, CrawlUri, HostRow, Outcome, PageRecord, QueuedUri, Record, UriRow
from spyder.model.states import ErrorKind, ExitCode, UriState

KEY = b"k" * 18


@pytest.mark.parametrize("record", [
    QueuedUri(key=KEY, place=b"p", url="http://a.example/"), UriRow(state=UriState.DONE, url="http://a.example/"),
    CrawlUri(lease=1 << 62, key=KEY, url="http://a.example/"), Outcome(lease=1, key=KEY), Books(discovered=3),
    HostRow(key=b"h", name="a.example")], ids=lambda record: type(record).__name__)
def test_given_a_record_when_it_travels_then_it_comes_back_equal_and_an_older_reader_skips_what_is_new(record):
    data = msgspec.msgpack.encode(record)
    assert msgspec.msgpack.decode(data, type=type(record)) == record
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(data), "a field of a later version"])
    assert msgspec.msgpack.decode(longer, type=type(record)) == record


def test_given_a_record_when_changed_then_it_refuses():
    uri = QueuedUri(key=KEY, place=b"p", url="http://a.example/")
    with pytest.raises(AttributeError):
        uri.depth = 3


def all_records(kind=Record):
    for child in kind.__subclasses__():
        yield child
        yield from all_records(child)


@pytest.mark.parametrize("kind", sorted(all_records(), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_given_a_kind_of_record_when_looked_at_then_it_is_compact_frozen_and_can_grow(kind):
    config = kind.__struct_config__
    assert (config.frozen, config.array_like) == (True, True)
    required = [field.required for field in msgspec.structs.fields(kind)]
    assert required == sorted(required, reverse=True), "fields with defaults stand at the end, where new ones go"


@pytest.mark.parametrize(("books", "is_balanced"), [
    (Books(), True), (Books(discovered=6, queued=1, scheduled=1, done=1, failed=1, excluded=1, quarantined=1), True),
    (Books(discovered=2, queued=1), False), (Books(discovered=1, queued=1, done=1), False),
    (Books(discovered=1, queued=2, done=-1), False), (Books(discovered=0, scheduled=-1, queued=1), False)])
def test_given_books_when_asked_then_they_balance_only_when_each_uri_is_in_one_state(books, is_balanced):
    assert books.is_balanced is is_balanced


def test_given_states_when_asked_then_those_of_waiting_uris_are_not_settled():
    assert {state for state in UriState if not state.is_settled} == {UriState.QUEUED, UriState.SCHEDULED}


def test_given_kinds_of_error_when_asked_then_trouble_of_a_host_is_worth_a_retry_and_a_page_s_own_is_not():
    trouble = {kind for kind in ErrorKind if kind.is_host_trouble}
    assert trouble == {ErrorKind.DNS, ErrorKind.CONNECT, ErrorKind.TLS, ErrorKind.TIMEOUT, ErrorKind.RESET,
                       ErrorKind.HTTP_429, ErrorKind.HTTP_5XX}
    assert {kind for kind in ErrorKind if kind.is_transient} == trouble | {
        ErrorKind.TRUNCATED, ErrorKind.PROXY, ErrorKind.HTTP_408, ErrorKind.HTTP_500}


def test_given_exit_codes_when_compared_then_each_has_its_own_number_that_a_shell_can_show():
    assert len({int(code) for code in ExitCode}) == len(ExitCode)
    assert all(0 <= code < 256 for code in ExitCode)


def test_given_a_page_record_when_written_then_what_is_empty_is_left_out():
    url = "http://a.example/"
    record = PageRecord(url=url, final_url=url, fetched_at="2026-01-01T00:00:00.000Z", depth=0)
    assert msgspec.json.decode(msgspec.json.encode(record)).keys() == {"url", "final_url", "fetched_at", "depth"}


# -- time


def test_given_the_machine_s_clock_when_its_wall_time_is_set_then_a_running_process_goes_on_evenly(monkeypatch):
    machine = {"wall": 1000.0, "monotonic": 5.0}
    monkeypatch.setattr("time.time", lambda: machine["wall"])
    monkeypatch.setattr("time.monotonic", lambda: machine["monotonic"])
    clock = SystemClock()
    assert (clock.now(), clock.monotonic()) == (1000.0, 5.0)
    machine.update(wall=500.0, monotonic=7.0)
    assert (clock.now(), clock.monotonic()) == (1002.0, 7.0)


def test_given_stage_times_when_switched_off_then_nothing_is_booked():
    times = StageTimes()
    times.start()
    times.lap("extract")
    assert times.seconds == {}


def test_given_stage_times_when_lapped_then_each_stage_gets_what_passed_since_the_last(monkeypatch):
    now = iter([1.0, 1.5, 1.75, 10.0, 10.25])
    monkeypatch.setattr("time.thread_time", lambda: next(now))
    times = StageTimes(enabled=True)
    times.start()
    times.lap("a")
    times.lap("b")
    times.start()
    times.lap("a")
    assert times.seconds == {"a": 0.75, "b": 0.25}
