"""A supervisor's decisions: what hangs, what is too large, how a worker ended, and what follows."""

from __future__ import annotations

import signal

import pytest

from spyder.model.states import ExitCode
from spyder.nodes.spec import BOTH, EXTRACTOR, FETCHER
from spyder.nodes.watch import Death, Final, Kill, Look, Retire, Retired, Succession, Watch, judge, killed
from spyder.settings import WorkerSection

KEY, OTHER = b"k" * 18, b"o" * 18
GB = 1_000_000_000


class Watched:
    """A worker that is looked at every quarter of a second by a clock that the test turns."""

    def __init__(self, *, is_careful=False, **limits) -> None:
        self.limits = WorkerSection(**{"hang_timeout": 10.0, "drain": 4.0, "slots": 8, **limits})
        self.now = 1000.0
        self.watch = Watch(self.limits, linger=1.0, now=self.now, is_careful=is_careful)
        self.beats = {FETCHER: 0, EXTRACTOR: 0}
        self.memory = {FETCHER: GB // 10, EXTRACTOR: GB // 10}
        self.pages = 0

    def look(self):
        return self.watch.look(Look(at=self.now, beats=dict(self.beats), memory=dict(self.memory), pages=self.pages))

    def live(self, seconds, *, moving=(FETCHER, EXTRACTOR)):
        """The verdicts of *seconds* in which the stages *moving* make progress."""
        verdicts = []
        for _ in range(int(seconds * 4)):
            self.now += 0.25
            for stage in moving:
                self.beats[stage] += 1
            verdict = self.look()
            if verdict is not None:
                verdicts.append(verdict)
        return verdicts


# -- hanging


def test_given_both_stages_at_work_when_looked_at_for_long_then_nothing_is_done():
    assert Watched().live(600) == []


@pytest.mark.parametrize(("stuck", "moving"), [(EXTRACTOR, FETCHER), (FETCHER, EXTRACTOR)])
def test_given_a_stage_that_stands_still_when_its_time_is_up_then_it_is_to_blame(stuck, moving):
    worker = Watched()
    worker.live(5)
    assert worker.live(9.75, moving=(moving,)) == []
    first, *_ = worker.live(1, moving=(moving,))
    assert first == Kill(f"its {stuck} made no progress for 10 s (worker.hang_timeout)", stuck)


def test_given_progress_at_the_last_moment_when_looked_at_then_the_time_begins_anew():
    worker = Watched()
    for _ in range(20):
        assert worker.live(9.75, moving=(FETCHER,)) == []
        assert worker.live(0.25) == []


def test_given_a_process_that_is_still_starting_when_looked_at_then_it_has_the_same_time():
    worker = Watched()
    assert worker.live(10, moving=()) == []
    assert worker.live(1, moving=())[0].reason == "its fetcher did not start within 10 s (worker.hang_timeout)"


@pytest.mark.parametrize("pause", [3600.0, -5.0])
def test_given_a_supervisor_that_did_not_run_when_it_looks_again_then_that_time_does_not_count(pause):
    worker = Watched()
    worker.live(5)
    for _ in range(8):
        worker.now += pause  # the whole machine slept
        assert worker.look() is None
    assert worker.live(1.5, moving=(FETCHER,)) == []


def test_given_looks_that_come_late_when_a_stage_hangs_for_good_then_it_is_found_all_the_same():
    worker = Watched()
    worker.live(1)
    for _ in range(12):
        worker.now += 30.0
        worker.beats[FETCHER] += 1
        verdict = worker.look()
    assert isinstance(verdict, Kill)


def test_given_an_extractor_that_has_finished_when_it_stands_still_then_it_does_not_hang():
    worker = Watched()
    worker.live(5)
    del worker.beats[EXTRACTOR]  # the shell leaves it out then
    assert worker.live(60, moving=(FETCHER,)) == []


def test_given_one_process_that_is_both_when_it_hangs_then_the_notes_say_which_stage_is_to_blame():
    worker = Watched()
    worker.memory = {BOTH: GB}
    worker.live(1)
    verdict = worker.live(11, moving=())[0]
    assert verdict == Kill("its process made no progress for 10 s (worker.hang_timeout)", BOTH)
    assert killed(verdict, notes={FETCHER: b"", EXTRACTOR: KEY}).suspects == (KEY,)


# -- sizes


def test_given_a_process_beyond_the_hard_limit_when_looked_at_then_it_is_killed_with_the_figures():
    worker = Watched(memory_hard=2 * GB)
    assert worker.live(5) == []
    worker.memory[FETCHER] = 2_100_000_000
    assert worker.look() == Kill("its fetcher used 2.1 GB of memory, more than worker.memory_hard (2.0 GB)", FETCHER)


def test_given_one_process_that_is_both_when_it_is_too_large_then_it_is_no_stage_that_is_named():
    worker = Watched(memory_hard=GB)
    worker.memory = {BOTH: 2 * GB}
    assert worker.look().reason.startswith("its process used 2.0 GB")


def test_given_a_process_beyond_the_soft_limit_when_looked_at_then_it_retires_once():
    worker = Watched(memory_soft=200_000_000)
    worker.pages = 1
    worker.memory[EXTRACTOR] = 210_000_000
    verdicts = worker.live(5)
    assert verdicts == [
        Retire("its extractor uses 210 MB of memory, more than worker.memory_soft (200 MB)")]
    assert worker.watch.is_retiring


def test_given_a_worker_too_large_from_the_start_when_it_had_no_page_then_it_is_not_replaced_by_its_like():
    worker = Watched(memory_soft=1000)
    assert worker.live(30) == []
    worker.pages = 1
    assert len(worker.live(1)) == 1


def test_given_a_number_of_pages_when_it_is_reached_then_the_worker_retires():
    worker = Watched(max_pages=40)
    worker.pages = 39
    assert worker.live(5) == []
    worker.pages = 43
    assert worker.look() == Retire("it has had 43 pages (worker.max_pages is 40)")


def test_given_a_retiring_worker_when_it_does_not_end_then_it_is_killed_and_nobody_is_to_blame():
    worker = Watched(max_pages=1)  # drain 4, linger 1
    worker.pages = 1
    assert len(worker.live(6)) == 1
    verdict = worker.live(0.5)[0]
    assert verdict == Kill("it did not end within 6 s of being asked to, to be replaced")
    assert killed(verdict, notes={FETCHER: b"", EXTRACTOR: KEY}) == Retired(cut_short=verdict.reason)


def test_given_a_retiring_worker_when_it_hangs_then_its_page_is_a_suspect():
    worker = Watched(max_pages=1, drain=60.0)
    worker.pages = 1
    worker.live(1)
    verdict = worker.live(11, moving=(FETCHER,))[-1]
    assert killed(verdict, notes={FETCHER: OTHER, EXTRACTOR: KEY}) == Death(
        code=ExitCode.ERROR, reason="its extractor made no progress for 10 s (worker.hang_timeout)",
        stages=(EXTRACTOR,), suspects=(KEY,))


@pytest.mark.parametrize(("pages", "seconds"), [(16, 1), (3, 301)])
def test_given_a_careful_worker_when_it_has_lived_through_pages_or_minutes_then_it_is_proven_and_replaced(
        pages, seconds):
    worker = Watched(is_careful=True)
    worker.pages = pages
    verdicts = worker.live(seconds)
    assert len(verdicts) == 1 and isinstance(verdicts[0], Retire) and worker.watch.is_proven
    assert verdicts[0].reason.endswith("one fetch at a time")


def test_given_a_careful_worker_when_it_has_not_lived_through_either_then_it_goes_on():
    worker = Watched(is_careful=True)
    worker.pages = 15
    assert worker.live(299) == [] and not worker.watch.is_proven


# -- ends


def ended(codes, *, fetcher=b"", extractor=b"", is_finished=False, is_retiring=False):
    return judge(codes, notes={FETCHER: fetcher, EXTRACTOR: extractor}, is_finished=is_finished,
                 is_retiring=is_retiring)


@pytest.mark.parametrize("code", [ExitCode.OK, ExitCode.USAGE, ExitCode.ORPHANED, ExitCode.REFUSED,
                                  ExitCode.HARD_DEADLINE])
def test_given_a_fetcher_that_decided_to_end_when_judged_then_it_is_final(code):
    assert ended({FETCHER: code}, extractor=KEY) == Final(code)


def test_given_an_extractor_that_ended_first_in_good_order_when_judged_then_its_fetcher_speaks():
    assert ended({EXTRACTOR: 0, FETCHER: ExitCode.ORPHANED}, is_finished=True) == Final(ExitCode.ORPHANED)
    assert ended({EXTRACTOR: 6, FETCHER: 0}, is_finished=True) == Final(ExitCode.OK)
    assert ended({EXTRACTOR: 0}, is_finished=True) == Final(ExitCode.HARD_DEADLINE)
    assert ended({EXTRACTOR: -11, FETCHER: 0}, is_finished=True) == Final(ExitCode.OK), "after everything was done"


def test_given_an_extractor_that_could_not_begin_when_judged_then_no_other_is_started():
    assert ended({EXTRACTOR: ExitCode.USAGE}) == Final(ExitCode.USAGE)


def test_given_a_signal_when_judged_then_it_is_named_and_the_page_in_hand_is_the_suspect():
    assert ended({EXTRACTOR: -signal.SIGSEGV}, fetcher=OTHER, extractor=KEY) == Death(
        code=ExitCode.ERROR, reason="its extractor was ended by signal 11 (SIGSEGV)", stages=(EXTRACTOR,),
        suspects=(KEY,))


def test_given_a_stage_that_dies_between_pages_when_judged_then_there_is_no_suspect():
    death = ended({EXTRACTOR: -signal.SIGKILL}, fetcher=OTHER)
    assert death == Death(code=ExitCode.ERROR, reason="its extractor was ended by signal 9 (SIGKILL)",
                          stages=(EXTRACTOR,), suspects=(), is_sent=True)


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5, 6, 7, 77])
def test_given_a_processor_that_ends_its_process_when_judged_then_that_is_a_death_whatever_the_code(code):
    death = ended({EXTRACTOR: code}, extractor=KEY)
    assert isinstance(death, Death) and death.suspects == (KEY,)
    assert death.reason == f"its extractor ended with code {code} in the middle of a page"
    assert isinstance(ended({BOTH: code}, extractor=KEY), Death)


@pytest.mark.parametrize(("code", "words"), [(0, "ended with code 0 (OK)"), (1, "ended with code 1 (ERROR)"),
                                             (77, "ended with code 77"), (-64, "was ended by signal 64")])
def test_given_an_extractor_that_ends_without_having_finished_when_judged_then_that_is_a_death(code, words):
    assert ended({EXTRACTOR: code}).reason.startswith(f"its extractor {words}")


def test_given_both_processes_dead_at_once_when_judged_then_both_are_named_and_each_suspect_once():
    death = ended({FETCHER: -9, EXTRACTOR: -9}, fetcher=KEY, extractor=KEY)
    assert death.reason == ("its fetcher was ended by signal 9 (SIGKILL) and its extractor was ended by signal 9 "
                            "(SIGKILL)")
    assert death.suspects == (KEY,) and death.stages == (FETCHER, EXTRACTOR)


@pytest.mark.parametrize(("codes", "is_finished"), [
    ({FETCHER: ExitCode.RETIRED}, False), ({EXTRACTOR: 0, FETCHER: ExitCode.RETIRED}, True), ({FETCHER: 0}, True),
    ({BOTH: ExitCode.RETIRED}, True), ({FETCHER: ExitCode.HARD_DEADLINE}, False), ({EXTRACTOR: 0}, True)])
def test_given_a_worker_that_was_to_retire_when_it_ends_in_good_order_then_it_is_replaced(codes, is_finished):
    assert ended(codes, is_finished=is_finished, is_retiring=True) == Retired()


@pytest.mark.parametrize("code", [ExitCode.ORPHANED, ExitCode.REFUSED, ExitCode.USAGE])
def test_given_a_worker_that_was_to_retire_when_it_has_no_master_then_it_is_not_replaced(code):
    assert ended({FETCHER: code}, is_retiring=True) == Final(code)


# -- what follows

UNEXPLAINED = Death(code=ExitCode.ERROR, reason="r", stages=(EXTRACTOR,))
EXPLAINED = UNEXPLAINED._replace(suspects=(KEY,))
FETCHER_CRASH = Death(code=ExitCode.ERROR, reason="r", stages=(FETCHER,))


def succession():
    return Succession(WorkerSection(restart_delay=0.5, restart_max=4.0))


def test_given_deaths_that_nobody_explains_when_they_follow_each_other_then_each_waits_twice_as_long():
    place = succession()
    assert [place.after_death(UNEXPLAINED, lived=1) for _ in range(6)] == [0.5, 1, 2, 4, 4, 4]
    assert place.after_death(UNEXPLAINED, lived=31) == 0.5, "a stable one begins anew"
    assert place.after_death(UNEXPLAINED, lived=1) == 1


def test_given_a_death_by_a_page_when_others_went_before_then_the_wait_is_the_shortest():
    place = succession()
    for _ in range(4):
        place.after_death(UNEXPLAINED, lived=1)
    assert [place.after_death(EXPLAINED, lived=1) for _ in range(3)] == [0.5] * 3
    assert [place.after_death(UNEXPLAINED, lived=1) for _ in range(2)] == [0.5, 1]


def test_given_a_fetcher_that_dies_without_a_suspect_when_succeeded_then_by_careful_ones_until_one_is_proven():
    place = succession()
    place.after_death(UNEXPLAINED, lived=1)
    assert not place.is_careful, "an extractor says itself what it had in hand"
    place.after_death(FETCHER_CRASH, lived=1)
    assert place.is_careful
    place.after_death(FETCHER_CRASH._replace(suspects=(KEY,)), lived=1)
    place.after_death(UNEXPLAINED, lived=1)
    place.after_retirement(is_proven=False)
    assert place.is_careful
    place.after_retirement(is_proven=True)
    assert not place.is_careful


def test_given_a_fetcher_that_somebody_killed_when_succeeded_then_not_by_a_careful_one():
    place = succession()
    place.after_death(ended({FETCHER: -signal.SIGKILL}), lived=1)
    place.after_death(ended({FETCHER: -signal.SIGTERM}), lived=1)
    assert not place.is_careful
    place.after_death(ended({FETCHER: -signal.SIGBUS}), lived=1)
    assert place.is_careful
