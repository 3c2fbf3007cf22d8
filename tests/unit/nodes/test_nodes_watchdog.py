"""The watchdog of a master: what it says of each kind of stall, when it says it, and when it keeps quiet."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from spyder.nodes.watchdog import Details, Holder, Progress, Watchdog, slowest_page, span
from spyder.settings import load
from spyder.testing import ManualClock

PATIENCE = 30.0
SLOW_PAGE = 120.0
BEAT = 0.5

#: A crawl in good health: work, a worker with free slots, and the next host's turn now.
WELL = Progress(now=0.0, settled=5, queued=120, workers=1, ready=1, free=512)


@dataclass
class Watch:
    """A master's heartbeats, as the watchdog sees them."""

    clock: ManualClock = field(default_factory=ManualClock)
    patience: float = PATIENCE
    logs: list[str] = field(default_factory=list)
    stalled: str = ""
    is_alarm: bool = False
    asked: int = 0  #: how often it wanted details

    def __post_init__(self):
        self.dog = Watchdog(self.patience, slow_page=SLOW_PAGE)
        self.started = self.clock.now()

    def look(self, details=None, *, turn_in=None, **changed):
        """One heartbeat; *turn_in* is the next host's turn in seconds from now."""
        wake = None if turn_in is None else self.clock.now() + turn_in
        progress = msgspec.structs.replace(WELL, now=self.clock.now(), **{"next_wake": wake, **changed})

        def ask():
            self.asked += 1
            return details or Details()

        verdict = self.dog.look(self.clock.monotonic(), progress, ask)
        self.stalled, self.is_alarm = verdict.stalled, verdict.is_alarm
        if verdict.log is not None:
            self.logs.append(verdict.log)
        return verdict

    def go_on(self, seconds, details=None, **changed):
        """Heartbeats of the same figures for *seconds*."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(BEAT)
            self.look(details, **changed)
        return self.stalled


@pytest.fixture
def watch():
    return Watch()


def held(worker="w", leases=3, oldest=0.0):
    return Details(holders=(Holder(worker=worker, leases=leases, oldest=oldest),))


# -- the causes


@pytest.mark.parametrize(("figures", "details", "words"), [
    ({"trouble": "no space left on device"}, None, "the frontier can't be written: no space left on device"),
    ({"low_disk": "3 MB are free, less than frontier.reserve"}, None,
     "nothing more is fetched: 3 MB are free, less than frontier.reserve"),
    ({"workers": 0, "ready": 0, "free": 0}, None, "no worker is there: `spyder start worker` starts one"),
    ({"workers": 0, "ready": 0, "free": 0, "returned": 7}, None,
     "no worker is there: `spyder start worker` starts one; 7 leases came back from workers that are lost"),
    ({"workers": 2, "ready": 0, "free": 0}, Details(unready={"a": "no heartbeat", "b": "no probe"}),
     "2 workers are there and none ready: a: no heartbeat; b: no probe"),
    ({"free": 0, "troubles": {"w": "its outputs can't be written"}}, None,
     "workers take nothing: w: its outputs can't be written"),
    ({"free": 0, "workers": 5, "ready": 5, "troubles": dict.fromkeys("abcde", "full")}, None,
     "workers take nothing: a: full; b: full; c: full; and 2 more"),
    ({"free": 0}, None, "no worker has a free slot"),
    ({"is_limit_reached": True, "scheduled": 3}, None, "the page limit is reached (limits.pages); 123 URIs are left"),
    ({"is_limit_reached": True, "workers": 0, "ready": 0, "free": 0}, None,
     "the page limit is reached (limits.pages); 120 URIs are left"),
    ({"is_in_grace": True}, None, "the master waits for the outcomes of workers that the last master knew"),
    ({"next_wake": None}, None,
     "queued 120, scheduled 0, leased 0, 1 of 1 workers ready, free slots 512, no next turn: "
     "this is a bug, please report it")])
def test_given_a_known_cause_when_patience_is_over_then_the_stall_is_told_in_one_line(watch, figures, details, words):
    watch.look(details, **{**figures, "returned": 0})
    watch.go_on(PATIENCE, details, **figures)
    assert (watch.stalled, watch.logs) == ("", [])
    watch.go_on(BEAT, details, **figures)
    assert watch.stalled == f"nothing settled for {PATIENCE + BEAT:.0f} s: {words}"
    assert watch.logs == [watch.stalled]
    assert "\n" not in watch.stalled


@pytest.mark.parametrize(("figures", "is_alarm"), [
    ({"workers": 0, "ready": 0, "free": 0}, True), ({"trouble": "disk"}, True), ({"next_wake": None}, True),
    ({"is_limit_reached": True}, False), ({"is_in_grace": True}, False)])
def test_given_a_stall_when_somebody_must_act_then_it_is_an_alarm(watch, figures, is_alarm):
    watch.look(**figures)
    watch.go_on(PATIENCE + BEAT, **figures)
    assert watch.is_alarm is is_alarm


@pytest.mark.parametrize(("resting", "is_cut", "words"), [
    ({"connect": 1}, False, "the only host with work rests until {at}, after `connect` trouble"),
    ({"": 1}, False, "the only host with work rests until {at}, for their delay"),
    ({"connect": 9, "": 3}, False,
     "every host with work rests: 12 hosts, the first until {at}, 9 of them after `connect` trouble"),
    ({"dns": 5_000}, True,
     "every host with work rests: more than 5,000 hosts, the first until {at}, after `dns` trouble")])
def test_given_hosts_that_rest_for_long_then_it_tells_how_many_until_when_and_why(watch, resting, is_cut, words):
    details = Details(resting=resting, is_cut=is_cut)
    turn = watch.clock.now() + 300
    watch.look(details, next_wake=turn)
    watch.go_on(PATIENCE + BEAT, details, next_wake=turn)
    assert watch.stalled == f"nothing settled for 30 s: {words.format(at='2023-11-14 22:18:20 UTC')}"
    assert not watch.is_alarm
    watch.go_on(300 - PATIENCE, details, next_wake=turn)
    assert watch.stalled.endswith(words.format(at="2023-11-14 22:18:20 UTC")), "its turn has come: no other cause yet"
    assert len(watch.logs) == 1


@pytest.mark.parametrize(("scheduled", "words"), [
    (2, "2 retries wait for their time, the first until 2023-11-14 22:18:20 UTC"),
    (1, "the last URI, a retry, waits until 2023-11-14 22:18:20 UTC")])
@pytest.mark.parametrize("workers", [0, 1])
def test_given_nothing_but_retries_then_it_tells_when_the_first_is_due(watch, scheduled, words, workers):
    figures = {"queued": 0, "scheduled": scheduled, "next_wake": watch.clock.now() + 300, "workers": workers,
               "ready": workers, "free": 512 * workers}
    watch.look(**figures)
    watch.go_on(PATIENCE + BEAT, **figures)
    assert watch.stalled == f"nothing settled for 30 s: {words}"
    assert not watch.is_alarm


def test_given_leases_without_an_outcome_for_longer_than_any_page_may_take_then_it_names_the_holders(watch):
    def details():
        oldest = watch.clock.monotonic()
        return Details(holders=(Holder(worker="a", leases=1, oldest=oldest - 20),
                                Holder(worker="b", leases=4, oldest=oldest)))

    watch.look(details(), leased=5)
    while watch.clock.monotonic() <= SLOW_PAGE:
        watch.go_on(BEAT, details(), leased=5, troubles={"a": "its outputs can't be written"})
        assert watch.stalled == ""
    watch.go_on(PATIENCE / 4, details(), leased=5, troubles={"a": "its outputs can't be written"})
    assert "no outcome comes: worker b has held 4 leases for up to 12" in watch.stalled
    assert "; worker a has held 1 lease for up to 10" in watch.stalled
    assert watch.stalled.endswith(" (its outputs can't be written)")
    assert watch.is_alarm


def test_given_leases_that_come_back_again_and_again_then_it_tells_that_workers_are_lost(watch):
    watch.look(leased=3)
    watch.go_on(SLOW_PAGE, held(oldest=5), leased=3, returned=40)
    assert watch.stalled == ""
    watch.go_on(PATIENCE / 4 + BEAT, held(oldest=5), leased=3, returned=40)
    assert "40 leases came back without an outcome: workers die or fall silent" in watch.stalled


def test_given_a_crash_loop_when_a_worker_is_there_for_a_while_then_the_stall_is_not_over(watch):
    alone = {"workers": 0, "ready": 0, "free": 0, "returned": 3}
    watch.look()
    watch.go_on(PATIENCE + BEAT, **alone)
    assert "no worker is there" in watch.stalled
    watch.go_on(PATIENCE, held(oldest=2), leased=3, returned=3)
    assert "no worker is there" in watch.stalled
    assert len(watch.logs) == 1


def test_given_a_turn_that_is_overdue_for_longer_than_patience_then_it_says_that_this_is_a_bug(watch):
    turn = watch.clock.now()
    watch.look(next_wake=turn)
    watch.go_on(2 * PATIENCE, next_wake=turn)
    assert watch.stalled == ""
    watch.go_on(PATIENCE / 2, next_wake=turn)
    assert watch.stalled.endswith("queued 120, scheduled 0, leased 0, 1 of 1 workers ready, free slots 512, "
                                  "next turn overdue by 68 s: this is a bug, please report it")
    assert watch.is_alarm


def test_given_a_turn_that_is_always_about_to_come_then_it_says_that_this_is_a_bug(watch):
    watch.look(turn_in=0.1)
    watch.go_on(3 * PATIENCE, turn_in=0.1)
    assert watch.stalled.endswith("next turn in 0.1 s: this is a bug, please report it")


def test_given_a_far_turn_and_no_host_that_rests_then_it_says_that_this_is_a_bug(watch):
    turn = watch.clock.now() + 3600
    watch.look(next_wake=turn)
    watch.go_on(PATIENCE + BEAT, next_wake=turn)
    assert watch.stalled.endswith("next turn in 59 min: this is a bug, please report it")


def test_given_leases_under_way_when_another_host_is_not_served_though_it_could_be_then_it_says_so(watch):
    turn = watch.clock.now()
    watch.look(held(), leased=1, next_wake=turn)
    watch.go_on(PATIENCE, held(oldest=20), leased=1, next_wake=turn)
    assert watch.stalled == ""
    watch.go_on(BEAT, held(oldest=20), leased=1, next_wake=turn)
    assert watch.stalled.endswith("leased 1, 1 of 1 workers ready, free slots 512, next turn overdue by 30 s: "
                                  "this is a bug, please report it")


# -- no false alarm


def test_given_a_delay_shorter_than_patience_then_nothing_is_told(watch):
    """A host with a delay of 25 s, whose pages take 20 s: 45 s from outcome to outcome."""
    for settled in range(6, 12):
        turn = watch.clock.now() + 25
        watch.go_on(25, Details(resting={"": 1}), settled=settled, next_wake=turn)
        began = watch.clock.monotonic()
        while watch.clock.monotonic() < began + 20:
            watch.go_on(BEAT, held(oldest=watch.clock.monotonic() - began), settled=settled, leased=1,
                        next_wake=turn + 30)
    assert watch.logs == []
    assert watch.asked > 0, "the case was not one that needed a look"


def test_given_a_host_that_is_due_within_patience_then_nothing_is_told(watch):
    turn = watch.clock.now() + 59
    watch.look(Details(resting={"connect": 1}), next_wake=turn)
    watch.go_on(59.5, Details(resting={"connect": 1}), next_wake=turn)
    assert watch.logs == []


@pytest.mark.parametrize("queued", [0, 120])
def test_given_a_slow_page_under_way_then_nothing_is_told_before_its_time_is_over(watch, queued):
    watch.look(held(leases=1), leased=1, queued=queued)
    while watch.clock.monotonic() < SLOW_PAGE:
        watch.go_on(BEAT, held(leases=1, oldest=watch.clock.monotonic()), leased=1, queued=queued)
    assert watch.logs == []


def test_given_leases_that_go_out_and_no_outcome_then_the_leases_are_the_cause_and_no_bug(watch):
    """A worker fetches and its extractor hangs: hosts are served, and the next one's turn is always near."""
    watch.look(leased=1)
    while watch.clock.monotonic() < SLOW_PAGE:
        watch.go_on(BEAT, held(oldest=watch.clock.monotonic()), leased=1, turn_in=0.1)
    assert watch.logs == []
    watch.go_on(PATIENCE, held(oldest=watch.clock.monotonic() + 1), leased=1, turn_in=0.1)
    assert len(watch.logs) == 1
    assert "no outcome comes" in watch.stalled


def test_given_many_slow_pages_in_rounds_when_leases_wait_for_a_connection_then_nothing_is_told(watch):
    """Every connection has a page that takes 100 s; further leases wait behind them for longer than that."""
    for settled in range(6, 10):
        watch.go_on(100, held(leases=480, oldest=watch.clock.monotonic()), settled=settled, leased=480, free=32)
    assert watch.logs == []


def test_given_a_page_after_a_long_rest_then_the_stall_is_over_when_it_begins(watch):
    turn = watch.clock.now() + 300
    watch.look(next_wake=turn)
    watch.go_on(300, Details(resting={"connect": 1}), next_wake=turn)
    assert watch.stalled
    watch.go_on(PATIENCE, held(oldest=10), leased=1)
    assert watch.stalled == ""
    assert watch.logs[1:] == ["no longer stalled, after 300 s"]


@pytest.mark.parametrize("figures", [
    {"queued": 0}, {"queued": 0, "workers": 0, "ready": 0, "free": 0}, {"held": "paused"}, {"held": "asked to stop"},
    {"held": "paused", "workers": 0, "ready": 0, "free": 0}])
def test_given_a_finished_or_a_held_crawl_then_nothing_is_told_however_long_it_lasts(watch, figures):
    watch.look(**figures)
    watch.go_on(100 * PATIENCE, **figures)
    assert (watch.stalled, watch.logs, watch.asked) == ("", [], 0)


def test_given_seeds_after_an_idle_hour_then_patience_begins_with_them(watch):
    watch.go_on(3600, queued=0)
    watch.go_on(PATIENCE, workers=0, ready=0, free=0)
    assert watch.logs == []
    watch.go_on(2 * BEAT, workers=0, ready=0, free=0)
    assert "no worker is there" in watch.stalled


def test_given_a_master_that_was_stopped_for_long_then_patience_begins_anew(watch):
    turn = watch.clock.now()
    watch.look(held(), leased=3, next_wake=turn)
    watch.clock.advance(1000)
    watch.look(held(oldest=1000), leased=3, next_wake=turn)
    watch.go_on(PATIENCE, held(oldest=1000), leased=3, next_wake=turn)
    assert watch.logs == []


# -- what is logged, and what it costs


def test_given_a_stall_that_goes_on_then_it_is_logged_again_after_ten_times_patience(watch):
    figures = {"workers": 0, "ready": 0, "free": 0}
    watch.look(**figures)
    watch.go_on(PATIENCE * 10, **figures)
    assert len(watch.logs) == 1
    watch.go_on(PATIENCE * 2, **figures)
    assert [text.partition(": ")[0] for text in watch.logs] == ["nothing settled for 30 s", "nothing settled for 330 s"]


def test_given_another_cause_then_it_is_logged_at_once(watch):
    watch.look(workers=0, ready=0, free=0)
    watch.go_on(PATIENCE + BEAT, workers=0, ready=0, free=0)
    watch.go_on(PATIENCE / 4 + BEAT, Details(unready={"w": "no probe"}), ready=0, free=0)
    assert len(watch.logs) == 2
    assert watch.logs[1].endswith("1 worker is there and none ready: w: no probe")


@pytest.mark.parametrize("figures", [{"settled": 6}, {"queued": 0}, {"held": "paused"}])
def test_given_a_stall_when_it_ends_then_that_is_logged_once(watch, figures):
    watch.look(workers=0, ready=0, free=0)
    watch.go_on(100, workers=0, ready=0, free=0)
    watch.go_on(20, **figures)
    assert watch.stalled == ""
    assert watch.logs[1:] == ["no longer stalled, after 100 s"]


def test_given_progress_then_no_details_are_asked_for(watch):
    for settled in range(6, 200):
        watch.go_on(1.0, settled=settled, leased=500, turn_in=0)
    assert watch.asked == 0


def test_given_a_stall_then_details_are_asked_for_a_few_times_in_each_patience(watch):
    watch.look(Details(resting={"": 1}), turn_in=9000)
    watch.go_on(PATIENCE * 10, Details(resting={"": 1}), next_wake=watch.clock.now() + 9000)
    assert 20 <= watch.asked <= 40


def test_given_the_settings_then_the_slowest_page_has_the_time_of_fetch_processors_and_report():
    processors = [{"use": "a:b", "timeout": 7.0}, {"use": "c:d", "timeout": 3.0}]
    settings = load(environ={}, overrides={"fetch.timeout": 50.0, "bus.heartbeat": 2.0, "output.sync_interval": 0.5,
                                           "processors": processors})
    assert slowest_page(settings) == 50 + 7 + 3 + 0.5 + 4


@pytest.mark.parametrize(("seconds", "text"), [(0.14, "0.1 s"), (0.96, "1 s"), (95.2, "95 s"), (599, "599 s"),
                                               (600, "10 min"), (7199, "120 min"), (7200, "2.0 h"), (90_000, "25.0 h")])
def test_span(seconds, text):
    assert span(seconds) == text
